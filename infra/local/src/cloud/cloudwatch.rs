//! CloudWatch: metrics, alarms and dashboards.

mod dashboard;
mod embedded;
mod read;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub(crate) use self::versions::follow_version;
use super::{ApiError, Caller, Cloud, codedeploy, events, sagemaker, sns};
use crate::template::{Resource, TemplateError};

/// How many minutes of a metric are kept: more than any alarm of the train looks back.
const MINUTES_KEPT: usize = 180;

/// A metric: namespace, name, dimensions in order of their names.
type MetricKey = (String, String, Vec<(String, String)>);

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    metrics: BTreeMap<MetricKey, VecDeque<Minute>>,
    alarms: BTreeMap<String, Alarm>,
    /// The alarms that look at a metric.
    watching: BTreeMap<MetricKey, Vec<String>>,
    dashboards: BTreeMap<String, dashboard::Dashboard>,
    /// How long a value is on its way until an alarm can look at it.
    delay: SignedDuration,
}

impl Cloud {
    /// From now on a value reaches CloudWatch so long after it was measured: alarms become what they become that much later. Metrics
    /// come late on AWS, and how late is not promised.
    pub fn delay_metrics(&mut self, by: SignedDuration) {
        self.cloudwatch.delay = by;
    }
}

/// The values of one minute that came with the same unit.
#[derive(Debug)]
struct Minute {
    /// Minutes since the epoch.
    number: i64,
    /// `Count`, `Seconds`; `None` where it was not said.
    unit: String,
    values: Vec<f64>,
}

/// The unit of values that came without one.
const NO_UNIT: &str = "None";

#[derive(Debug)]
struct Alarm {
    arn: String,
    description: String,
    metric: MetricKey,
    statistic: Statistic,
    period_seconds: i64,
    evaluation_periods: usize,
    datapoints_to_alarm: usize,
    threshold: f64,
    comparison: Comparison,
    missing: Gap,
    actions: Vec<String>,
    state: &'static str,
    reason: String,
    /// `StateReasonData`: JSON.
    reason_data: Option<String>,
    /// When the state became what it is.
    since: Timestamp,
    /// When the state or its reason was set last.
    updated: Timestamp,
    created: Timestamp,
    /// Whether a timer is set: an alarm whose metric has no data is not looked at again and again.
    ticking: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Statistic {
    Average,
    Sum,
    Minimum,
    Maximum,
    SampleCount,
    Percentile(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// What a period without data counts as: `TreatMissingData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    Missing,
    NotBreaching,
    Breaching,
    Ignore,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AlarmProperties {
    alarm_name: Option<String>,
    #[serde(default)]
    alarm_description: String,
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    statistic: Option<String>,
    extended_statistic: Option<String>,
    period: Number,
    evaluation_periods: Number,
    datapoints_to_alarm: Option<Number>,
    threshold: Number,
    comparison_operator: String,
    treat_missing_data: Option<String>,
    #[serde(default)]
    alarm_actions: Vec<String>,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Dimension {
    name: String,
    value: String,
}

/// CloudFormation takes numbers as texts too.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Number {
    Number(f64),
    Text(String),
}

impl Number {
    fn read(&self, resource: &Resource, name: &str) -> Result<f64, TemplateError> {
        let number = match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        };
        number
            .filter(|number| number.is_finite())
            .ok_or_else(|| resource.wrong(format!("`{name}` is not a number")))
    }

    fn whole(&self, resource: &Resource, name: &str) -> Result<i64, TemplateError> {
        let number = self.read(resource, name)?;
        #[expect(clippy::cast_possible_truncation, reason = "whole and small, as is checked")]
        let whole = number as i64;
        if number.fract() == 0.0 && (1.0..=86_400.0).contains(&number) {
            Ok(whole)
        } else {
            Err(resource.wrong(format!("`{name}` is not a whole number from 1 to 86400")))
        }
    }
}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// The end of a period of an alarm.
    Evaluate(String),
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    if resource.kind == "AWS::CloudWatch::Dashboard" {
        return dashboard::deploy(cloud, resource);
    }
    if resource.kind != "AWS::CloudWatch::Alarm" {
        return Err(resource.unsupported("this resource type"));
    }
    let properties: AlarmProperties = resource.read()?;
    let plain = properties.statistic.as_deref();
    let statistic = match (plain.map(Statistic::named), properties.extended_statistic.as_deref()) {
        (Some(Some(statistic)), None) => statistic,
        (None, Some(text)) => {
            Statistic::percentile(text).ok_or_else(|| resource.unsupported(format!("the statistic {text}")))?
        }
        _ => {
            return Err(resource
                .wrong("exactly one of `Statistic` and `ExtendedStatistic` is needed, of those that CloudWatch has"));
        }
    };
    let comparison = match properties.comparison_operator.as_str() {
        "GreaterThanThreshold" => Comparison::Greater,
        "GreaterThanOrEqualToThreshold" => Comparison::GreaterOrEqual,
        "LessThanThreshold" => Comparison::Less,
        "LessThanOrEqualToThreshold" => Comparison::LessOrEqual,
        other => return Err(resource.unsupported(format!("the comparison {other}"))),
    };
    let missing = match properties.treat_missing_data.as_deref() {
        None | Some("missing") => Gap::Missing,
        Some("notBreaching") => Gap::NotBreaching,
        Some("breaching") => Gap::Breaching,
        Some("ignore") => Gap::Ignore,
        Some(other) => return Err(resource.wrong(format!("`TreatMissingData` is `{other}`"))),
    };
    let name = properties.alarm_name.unwrap_or_else(|| resource.physical_id.clone());
    let dimensions: Vec<(&str, &str)> = properties
        .dimensions
        .iter()
        .map(|dimension| (dimension.name.as_str(), dimension.value.as_str()))
        .collect();
    let metric = metric_key(&properties.namespace, &properties.metric_name, &dimensions);
    let evaluation_periods = properties.evaluation_periods.whole(resource, "EvaluationPeriods")?;
    let datapoints = match &properties.datapoints_to_alarm {
        Some(count) => count.whole(resource, "DatapointsToAlarm")?,
        None => evaluation_periods,
    };
    let count = |count: i64| usize::try_from(count).unwrap_or(1);
    let alarm = Alarm {
        arn: resource.arn().to_owned(),
        description: properties.alarm_description,
        metric: metric.clone(),
        statistic,
        period_seconds: properties.period.whole(resource, "Period")?,
        evaluation_periods: count(evaluation_periods),
        datapoints_to_alarm: count(datapoints),
        threshold: properties.threshold.read(resource, "Threshold")?,
        comparison,
        missing,
        actions: properties.alarm_actions,
        state: "INSUFFICIENT_DATA",
        reason: "Unchecked: Initial alarm creation".to_owned(),
        reason_data: None,
        since: cloud.now(),
        updated: cloud.now(),
        created: cloud.now(),
        ticking: false,
    };
    cloud.cloudwatch.watching.entry(metric).or_default().push(name.clone());
    cloud.cloudwatch.alarms.insert(name.clone(), alarm);
    tick(cloud, &name);
    Ok(())
}

fn metric_key(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> MetricKey {
    let mut dimensions: Vec<(String, String)> = dimensions
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    dimensions.sort();
    (namespace.to_owned(), name.to_owned(), dimensions)
}

/// Records one value without a unit.
pub(crate) fn put_metric(cloud: &mut Cloud, namespace: &str, name: &str, dimensions: &[(&str, &str)], value: f64) {
    put_metric_in(cloud, namespace, name, dimensions, NO_UNIT, &[value]);
}

/// Records values of a unit.
fn put_metric_in(
    cloud: &mut Cloud,
    namespace: &str,
    name: &str,
    dimensions: &[(&str, &str)],
    unit: &str,
    values: &[f64],
) {
    let number = cloud.now().as_second().div_euclid(60);
    let key = metric_key(namespace, name, dimensions);
    let watching = cloud.cloudwatch.watching.get(&key).cloned().unwrap_or_default();
    let minutes = cloud.cloudwatch.metrics.entry(key).or_default();
    let this_minute = minutes
        .iter_mut()
        .rev()
        .take_while(|minute| minute.number == number)
        .find(|minute| minute.unit == unit);
    match this_minute {
        Some(minute) => minute.values.extend_from_slice(values),
        None => minutes.push_back(Minute {
            number,
            unit: unit.to_owned(),
            values: values.to_vec(),
        }),
    }
    if minutes.len() > MINUTES_KEPT {
        minutes.pop_front();
    }
    for alarm in watching {
        tick(cloud, &alarm);
    }
}

/// An alarm's state.
pub(crate) fn alarm_state(cloud: &Cloud, name: &str) -> Option<String> {
    cloud.cloudwatch.alarms.get(name).map(|alarm| alarm.state.to_owned())
}

/// Sets the timer for the end of the alarm's period, unless one is set.
fn tick(cloud: &mut Cloud, name: &str) {
    let (now, delay) = (cloud.now(), cloud.cloudwatch.delay);
    let Some(alarm) = cloud.cloudwatch.alarms.get_mut(name) else {
        return;
    };
    if alarm.ticking {
        return;
    }
    alarm.ticking = true;
    let period = alarm.period_seconds;
    // Of the period whose values are on their way now.
    let next = ((now - delay).as_second().div_euclid(period) + 1) * period + delay.as_secs();
    let wait = SignedDuration::from_secs(next - now.as_second());
    cloud.after(wait, super::Timer::CloudWatch(Timer::Evaluate(name.to_owned())));
}

impl Alarm {
    fn breaches(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Greater => value > self.threshold,
            Comparison::GreaterOrEqual => value >= self.threshold,
            Comparison::Less => value < self.threshold,
            Comparison::LessOrEqual => value <= self.threshold,
        }
    }

    fn words(&self) -> &'static str {
        match self.comparison {
            Comparison::Greater => "greater than",
            Comparison::GreaterOrEqual => "greater than or equal to",
            Comparison::Less => "less than",
            Comparison::LessOrEqual => "less than or equal to",
        }
    }
}

impl Statistic {
    fn named(name: &str) -> Option<Self> {
        match name {
            "Average" => Some(Self::Average),
            "Sum" => Some(Self::Sum),
            "Minimum" => Some(Self::Minimum),
            "Maximum" => Some(Self::Maximum),
            "SampleCount" => Some(Self::SampleCount),
            _ => None,
        }
    }

    /// `p99.9`.
    fn percentile(name: &str) -> Option<Self> {
        let percent = name.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok());
        let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
        percent.map(Self::Percentile)
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of requests"
    )]
    fn of(self, values: &mut [f64]) -> Option<f64> {
        if values.is_empty() {
            return None;
        }
        let sum: f64 = values.iter().sum();
        let count = values.len() as f64;
        values.sort_by(f64::total_cmp);
        match self {
            Self::Average => Some(sum / count),
            Self::Sum => Some(sum),
            Self::Minimum => values.first().copied(),
            Self::Maximum => values.last().copied(),
            Self::SampleCount => Some(count),
            Self::Percentile(percent) => {
                let rank = (percent / 100.0 * count).ceil().max(1.0) as usize;
                values.get(rank.min(values.len()) - 1).copied()
            }
        }
    }

    fn name(self) -> String {
        match self {
            Self::Average => "Average".to_owned(),
            Self::Sum => "Sum".to_owned(),
            Self::Minimum => "Minimum".to_owned(),
            Self::Maximum => "Maximum".to_owned(),
            Self::SampleCount => "SampleCount".to_owned(),
            Self::Percentile(percent) => format!("p{percent}"),
        }
    }
}

/// A period of an alarm: when it began, how many values it has, and their statistic where there are any.
#[derive(Debug)]
struct Point {
    from: Timestamp,
    count: usize,
    value: Option<f64>,
}

/// When the last period ended of which all values have come, in seconds since the epoch.
fn last_end(cloud: &Cloud, alarm: &Alarm) -> i64 {
    let known = (cloud.now() - cloud.cloudwatch.delay).as_second();
    known.div_euclid(alarm.period_seconds) * alarm.period_seconds
}

/// The last periods, newest first.
fn datapoints(cloud: &Cloud, alarm: &Alarm) -> Vec<Point> {
    let end = last_end(cloud, alarm);
    let minutes = cloud.cloudwatch.metrics.get(&alarm.metric);
    let count = i64::try_from(alarm.evaluation_periods).unwrap_or(1);
    (0..count)
        .map(|back| {
            let to = end - back * alarm.period_seconds;
            let from = to - alarm.period_seconds;
            let inside = |minute: &&Minute| (from..to).contains(&(minute.number * 60));
            let recent = minutes.into_iter().flat_map(|minutes| minutes.iter().rev());
            let recent = recent.take_while(|minute| minute.number * 60 >= from).filter(inside);
            let mut values: Vec<f64> = recent.flat_map(|minute| minute.values.iter().copied()).collect();
            Point {
                from: Timestamp::from_second(from).unwrap_or(cloud.now()),
                count: values.len(),
                value: alarm.statistic.of(&mut values),
            }
        })
        .collect()
}

fn evaluate(cloud: &mut Cloud, name: &str) {
    let Some(alarm) = cloud.cloudwatch.alarms.get(name) else {
        return;
    };
    let points = datapoints(cloud, alarm);
    let missing = points.iter().filter(|point| point.value.is_none()).count();
    let is_missing = missing == points.len();
    let breaching = points.iter().filter(|point| match point.value {
        Some(value) => alarm.breaches(value),
        None => alarm.missing == Gap::Breaching,
    });
    let breaching = breaching.count();
    let state = if breaching >= alarm.datapoints_to_alarm {
        "ALARM"
    } else if is_missing && alarm.missing == Gap::Missing {
        "INSUFFICIENT_DATA"
    } else if alarm.missing == Gap::Ignore && breaching + missing >= alarm.datapoints_to_alarm {
        // Those that are missing would decide it.
        alarm.state
    } else {
        "OK"
    };
    let newest = cloud.cloudwatch.metrics.get(&alarm.metric).and_then(VecDeque::back);
    let on_its_way = newest.is_some_and(|minute| minute.number * 60 >= last_end(cloud, alarm));
    let busy = !is_missing || on_its_way || state == "ALARM";
    if state != alarm.state {
        let reason = reason(alarm, &points, state, breaching);
        let data = reason_data(alarm, &points, cloud.now());
        set_state(cloud, name, state, reason, Some(data.to_string()));
    }
    let Some(alarm) = cloud.cloudwatch.alarms.get_mut(name) else {
        return;
    };
    alarm.ticking = false;
    if busy {
        tick(cloud, name);
    }
}

/// Why an alarm has become what it is, in CloudWatch's words.
fn reason(alarm: &Alarm, points: &[Point], state: &str, breaching: usize) -> String {
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let known = points.iter().filter_map(|point| Some((point, point.value?)));
    let known: Vec<String> = known
        .map(|(point, value)| format!("{value:?} ({})", point.from.strftime("%d/%m/%y %H:%M:%S")))
        .collect();
    if known.is_empty() {
        let count = points.len();
        let treated = match alarm.missing {
            Gap::Breaching => "Breaching",
            Gap::NotBreaching => "NonBreaching",
            Gap::Missing | Gap::Ignore => {
                let were = if count == 1 { "was" } else { "were" };
                return format!("Insufficient Data: {} {were} unknown.", plural(count, "datapoint"));
            }
        };
        let were = if count == 1 { "was" } else { "were" };
        return format!(
            "Threshold Crossed: no datapoints were received for {} and {} {were} treated as [{treated}].",
            plural(count, "period"),
            plural(count, "missing datapoint"),
        );
    }
    let (was, counted) = if state == "ALARM" {
        ("was", breaching)
    } else {
        ("was not", points.len() - breaching)
    };
    format!(
        "Threshold Crossed: {counted} out of the last {} datapoints [{}] {was} {} the threshold ({:?}) (minimum {} for {} -> {state} \
         transition).",
        points.len(),
        known.join(", "),
        alarm.words(),
        alarm.threshold,
        plural(alarm.datapoints_to_alarm, "datapoint"),
        alarm.state,
    )
}

/// The same as data, as alarms of one metric have it: the recent values oldest first, the evaluated periods newest first.
fn reason_data(alarm: &Alarm, points: &[Point], now: Timestamp) -> Value {
    let recent: Vec<f64> = points.iter().rev().filter_map(|point| point.value).collect();
    let evaluated = points.iter().map(|point| match point.value {
        Some(value) => json!({"timestamp": stamp(point.from), "sampleCount": as_number(point.count), "value": value}),
        None => json!({"timestamp": stamp(point.from)}),
    });
    let mut data = json!({
        "version": "1.0", "queryDate": stamp(now), "statistic": alarm.statistic.name(), "period": alarm.period_seconds,
        "recentDatapoints": recent, "threshold": alarm.threshold, "evaluatedDatapoints": evaluated.collect::<Vec<_>>(),
    });
    let first = points.iter().rev().find(|point| point.value.is_some());
    if let (Some(first), Some(members)) = (first, data.as_object_mut()) {
        members.insert("startDate".to_owned(), stamp(first.from).into());
    }
    data
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn as_number(count: usize) -> f64 {
    count as f64
}

/// `2019-10-02T17:04:40.989+0000`.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}

/// Epoch seconds with thousandths, as the API's times are.
fn seconds(time: Timestamp) -> f64 {
    SignedDuration::from_millis(time.as_millisecond()).as_secs_f64()
}

/// Sets an alarm's state and its reason. Where the state is another than before, that is told.
fn set_state(cloud: &mut Cloud, name: &str, state: &'static str, reason: String, data: Option<String>) {
    let now = cloud.now();
    let Some(alarm) = cloud.cloudwatch.alarms.get_mut(name) else {
        return;
    };
    let side = |alarm: &Alarm| {
        let mut side = json!({"value": alarm.state, "reason": alarm.reason, "timestamp": stamp(alarm.updated)});
        if let (Some(data), Some(members)) = (&alarm.reason_data, side.as_object_mut()) {
            members.insert("reasonData".to_owned(), data.as_str().into());
        }
        side
    };
    let previous = side(alarm);
    let changes = alarm.state != state;
    alarm.state = state;
    alarm.reason = reason;
    alarm.reason_data = data;
    alarm.updated = now;
    if !changes {
        return;
    }
    alarm.since = now;
    let current = side(alarm);
    let (namespace, metric, dimensions) = &alarm.metric;
    let dimensions: Map<String, Value> = dimensions
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let configuration = json!({
        "description": alarm.description,
        "metrics": [{
            "id": "m1",
            "metricStat": {
                "metric": {"dimensions": dimensions, "name": metric, "namespace": namespace},
                "period": alarm.period_seconds,
                "stat": alarm.statistic.name(),
            },
            "returnData": true,
        }],
    });
    let (arn, actions, reason) = (alarm.arn.clone(), alarm.actions.clone(), alarm.reason.clone());
    let (description, before) = (alarm.description.clone(), previous.get("value").cloned());
    let detail =
        json!({"alarmName": name, "configuration": configuration, "previousState": previous, "state": current});
    cloud.note("cloudwatch", name, "alarm", json!({"state": state, "reason": reason}));
    events::put(
        cloud,
        "aws.cloudwatch",
        "CloudWatch Alarm State Change",
        vec![arn.clone()],
        detail,
    );
    if state == "ALARM" {
        sagemaker::on_alarm(cloud, name);
        codedeploy::on_alarm(cloud, name);
        let region = cloud.target().region.clone();
        let message = json!({
            "AlarmName": name, "AlarmDescription": description, "AlarmArn": arn, "NewStateValue": state, "NewStateReason": reason,
            "OldStateValue": before, "StateChangeTime": stamp(now), "Region": region, "AWSAccountId": cloud.target().account,
        });
        let subject: String = format!("ALARM: \"{name}\" in {region}").chars().take(99).collect();
        for action in actions {
            let source = ("cloudwatch.amazonaws.com", arn.as_str());
            if let Err(error) = sns::publish_as_service(cloud, source, &action, Some(&subject), &message.to_string()) {
                cloud.note(
                    "cloudwatch",
                    name,
                    "action-failed",
                    json!({"action": action, "error": error.to_string()}),
                );
            }
        }
    }
}

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, _caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let list = |name: &str| input.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    match operation {
        "DescribeAlarms" => read::alarms(cloud, input),
        "GetDashboard" => dashboard::get(cloud, text("DashboardName")),
        "ListDashboards" => Ok(dashboard::list(cloud, text("DashboardNamePrefix"))),
        "GetMetricStatistics" => read::statistics(cloud, input),
        "ListMetrics" => read::metrics(cloud, input),
        "SetAlarmState" => {
            let name = text("AlarmName");
            if !cloud.cloudwatch.alarms.contains_key(name) {
                return Err(ApiError {
                    status: 404,
                    ..ApiError::new("ResourceNotFound", format!("{name} does not exist"))
                });
            }
            let state = match text("StateValue") {
                "ALARM" => "ALARM",
                "OK" => "OK",
                _ => "INSUFFICIENT_DATA",
            };
            let data = input.get("StateReasonData").and_then(Value::as_str).map(str::to_owned);
            if data
                .as_deref()
                .is_some_and(|data| serde_json::from_str::<Value>(data).is_err())
            {
                return Err(ApiError::new("InvalidFormat", "StateReasonData is not valid JSON"));
            }
            set_state(cloud, name, state, text("StateReason").to_owned(), data);
            // The next evaluation puts it right again.
            tick(cloud, name);
            Ok(json!({}))
        }
        "PutMetricData" => {
            // Before anything is written: a value that were counted once instead of often would be a wrong one.
            for member in ["Counts", "StatisticValues"] {
                if list("MetricData").iter().any(|datum| datum.get(member).is_some()) {
                    let message = format!("the local cloud takes no {member} of a metric; send the values");
                    return Err(ApiError::new("InvalidParameterCombination", message));
                }
            }
            for datum in list("MetricData") {
                let name = datum.get("MetricName").and_then(Value::as_str).unwrap_or_default();
                let dimensions = datum
                    .get("Dimensions")
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default();
                let part = |dimension: &Value, part: &str| {
                    dimension
                        .get(part)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                let dimensions: Vec<(String, String)> = dimensions
                    .iter()
                    .map(|dimension| (part(dimension, "Name"), part(dimension, "Value")))
                    .collect();
                let dimensions: Vec<(&str, &str)> = dimensions
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                let one = datum.get("Value").and_then(Value::as_f64);
                let many = datum
                    .get("Values")
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default();
                let values: Vec<f64> = one.into_iter().chain(many.iter().filter_map(Value::as_f64)).collect();
                let unit = datum.get("Unit").and_then(Value::as_str).unwrap_or(NO_UNIT);
                put_metric_in(cloud, text("Namespace"), name, &dimensions, unit, &values);
            }
            Ok(json!({}))
        }
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("the local cloud has no cloudwatch:{operation}"),
        )),
    }
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    match timer {
        Timer::Evaluate(name) => evaluate(cloud, &name),
    }
}

/// Tells the sum of a metric's values and their number, for tests.
#[cfg(test)]
pub(crate) fn sum(cloud: &Cloud, namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> (f64, usize) {
    let minutes = cloud.cloudwatch.metrics.get(&metric_key(namespace, name, dimensions));
    let values = || {
        minutes
            .into_iter()
            .flatten()
            .flat_map(|minute| minute.values.iter().copied())
    };
    (values().sum(), values().count())
}

/// Puts an alarm of that name and state there, without telling anyone, for tests.
#[cfg(test)]
pub(crate) fn set_alarm(cloud: &mut Cloud, name: &str, state: &'static str) {
    let alarm = Alarm {
        arn: cloud.arn("cloudwatch", &format!("alarm:{name}")),
        description: String::new(),
        metric: metric_key("test", name, &[]),
        statistic: Statistic::Average,
        period_seconds: 60,
        evaluation_periods: 1,
        datapoints_to_alarm: 1,
        threshold: 0.0,
        comparison: Comparison::Greater,
        missing: Gap::Ignore,
        actions: Vec::new(),
        state,
        reason: String::new(),
        reason_data: None,
        since: cloud.now(),
        updated: cloud.now(),
        created: cloud.now(),
        ticking: false,
    };
    cloud.cloudwatch.alarms.insert(name.to_owned(), alarm);
}
