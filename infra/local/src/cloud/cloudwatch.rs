//! CloudWatch: metrics and alarms.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ApiError, Caller, Cloud, events, sagemaker, sns};
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
}

/// The values of one minute.
#[derive(Debug)]
struct Minute {
    /// Minutes since the epoch.
    number: i64,
    values: Vec<f64>,
}

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
    since: Timestamp,
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
    if resource.kind != "AWS::CloudWatch::Alarm" {
        return Err(resource.unsupported("this resource type"));
    }
    let properties: AlarmProperties = resource.read()?;
    let statistic = match (
        properties.statistic.as_deref(),
        properties.extended_statistic.as_deref(),
    ) {
        (Some("Average"), None) => Statistic::Average,
        (Some("Sum"), None) => Statistic::Sum,
        (Some("Minimum"), None) => Statistic::Minimum,
        (Some("Maximum"), None) => Statistic::Maximum,
        (Some("SampleCount"), None) => Statistic::SampleCount,
        (None, Some(text)) => {
            let percent = text.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok());
            let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
            Statistic::Percentile(percent.ok_or_else(|| resource.unsupported(format!("the statistic {text}")))?)
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
        since: cloud.now(),
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

/// Records one value.
pub(crate) fn put_metric(cloud: &mut Cloud, namespace: &str, name: &str, dimensions: &[(&str, &str)], value: f64) {
    let number = cloud.now().as_second().div_euclid(60);
    let key = metric_key(namespace, name, dimensions);
    let watching = cloud.cloudwatch.watching.get(&key).cloned().unwrap_or_default();
    let minutes = cloud.cloudwatch.metrics.entry(key).or_default();
    match minutes.back_mut() {
        Some(minute) if minute.number == number => minute.values.push(value),
        _ => minutes.push_back(Minute {
            number,
            values: vec![value],
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
    let now = cloud.now();
    let Some(alarm) = cloud.cloudwatch.alarms.get_mut(name) else {
        return;
    };
    if alarm.ticking {
        return;
    }
    alarm.ticking = true;
    let period = alarm.period_seconds;
    let next = (now.as_second().div_euclid(period) + 1) * period;
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

/// The statistic of each of the last periods, newest first.
fn datapoints(cloud: &Cloud, alarm: &Alarm) -> Vec<Option<f64>> {
    let end = cloud.now().as_second().div_euclid(alarm.period_seconds) * alarm.period_seconds;
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
            alarm.statistic.of(&mut values)
        })
        .collect()
}

fn evaluate(cloud: &mut Cloud, name: &str) {
    let Some(alarm) = cloud.cloudwatch.alarms.get(name) else {
        return;
    };
    let points = datapoints(cloud, alarm);
    let known: Vec<f64> = points.iter().filter_map(|point| *point).collect();
    let breaching = points.iter().filter(|point| match point {
        Some(value) => alarm.breaches(*value),
        None => alarm.missing == Gap::Breaching,
    });
    let breaching = breaching.count();
    let (state, counted) = if breaching >= alarm.datapoints_to_alarm {
        ("ALARM", breaching)
    } else if known.is_empty() && alarm.missing == Gap::Missing {
        ("INSUFFICIENT_DATA", 0)
    } else if known.is_empty() && alarm.missing == Gap::Ignore {
        (alarm.state, 0)
    } else {
        ("OK", alarm.evaluation_periods - breaching)
    };
    let busy = !known.is_empty() || state == "ALARM";
    if state != alarm.state {
        let was = if state == "ALARM" { "was" } else { "was not" };
        let values: Vec<String> = known.iter().map(|value| format!("{value}")).collect();
        let reason = if known.is_empty() {
            format!(
                "Threshold Crossed: no datapoints were received for {} periods",
                alarm.evaluation_periods
            )
        } else {
            format!(
                "Threshold Crossed: {counted} out of the last {} datapoints [{}] {was} {} the threshold ({}) (minimum {} datapoints \
                 for {} -> {state} transition).",
                alarm.evaluation_periods,
                values.join(", "),
                alarm.words(),
                alarm.threshold,
                alarm.datapoints_to_alarm,
                alarm.state,
            )
        };
        let data = json!({
            "version": "1.0", "queryDate": stamp(cloud.now()), "statistic": alarm.statistic.name(), "period": alarm.period_seconds,
            "recentDatapoints": known, "threshold": alarm.threshold,
        });
        set_state(cloud, name, state, reason, &data);
    }
    let Some(alarm) = cloud.cloudwatch.alarms.get_mut(name) else {
        return;
    };
    alarm.ticking = false;
    if busy {
        tick(cloud, name);
    }
}

/// `2019-10-02T17:04:40.989+0000`.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}

fn set_state(cloud: &mut Cloud, name: &str, state: &'static str, reason: String, data: &Value) {
    let now = cloud.now();
    let Some(alarm) = cloud.cloudwatch.alarms.get_mut(name) else {
        return;
    };
    let side = |state: &str, reason: &str, since: Timestamp| json!({"value": state, "reason": reason, "timestamp": stamp(since)});
    let previous = side(alarm.state, &alarm.reason, alarm.since);
    alarm.state = state;
    alarm.reason = reason;
    alarm.since = now;
    let mut current = side(alarm.state, &alarm.reason, alarm.since);
    if let Some(members) = current.as_object_mut() {
        members.insert("reasonData".to_owned(), data.to_string().into());
    }
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
        let region = cloud.target().region.clone();
        let message = json!({
            "AlarmName": name, "AlarmArn": arn, "NewStateValue": state, "NewStateReason": reason,
            "StateChangeTime": stamp(now), "Region": region, "AWSAccountId": cloud.target().account,
        });
        let subject: String = format!("ALARM: \"{name}\" in {region}").chars().take(99).collect();
        for action in actions {
            if let Err(error) = sns::publish_as_service(cloud, &action, Some(&subject), &message.to_string()) {
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
        "DescribeAlarms" => {
            let names = list("AlarmNames");
            let wanted = |(name, alarm): &(&String, &Alarm)| {
                (names.is_empty() || names.iter().any(|wanted| wanted.as_str() == Some(name)))
                    && name.starts_with(text("AlarmNamePrefix"))
                    && (text("StateValue").is_empty() || text("StateValue") == alarm.state)
            };
            let alarms = cloud
                .cloudwatch
                .alarms
                .iter()
                .filter(wanted)
                .map(|(name, alarm)| describe(name, alarm));
            Ok(json!({"MetricAlarms": alarms.collect::<Vec<_>>(), "CompositeAlarms": []}))
        }
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
            set_state(
                cloud,
                name,
                state,
                text("StateReason").to_owned(),
                &json!({"version": "1.0"}),
            );
            // The next evaluation puts it right again.
            tick(cloud, name);
            Ok(json!({}))
        }
        "PutMetricData" => {
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
                for value in one.into_iter().chain(many.iter().filter_map(Value::as_f64)) {
                    put_metric(cloud, text("Namespace"), name, &dimensions, value);
                }
            }
            Ok(json!({}))
        }
        "ListMetrics" => {
            let wanted = |(namespace, name, _): &&MetricKey| {
                (text("Namespace").is_empty() || text("Namespace") == namespace)
                    && (text("MetricName").is_empty() || text("MetricName") == name)
            };
            let metrics = cloud.cloudwatch.metrics.keys().filter(wanted).map(|(namespace, name, dimensions)| {
                json!({"Namespace": namespace, "MetricName": name, "Dimensions": pairs(dimensions)})
            });
            Ok(json!({"Metrics": metrics.collect::<Vec<_>>()}))
        }
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("the local cloud has no cloudwatch:{operation}"),
        )),
    }
}

fn pairs(dimensions: &[(String, String)]) -> Vec<Value> {
    dimensions
        .iter()
        .map(|(name, value)| json!({"Name": name, "Value": value}))
        .collect()
}

fn describe(name: &str, alarm: &Alarm) -> Value {
    let (namespace, metric, dimensions) = &alarm.metric;
    let comparison = match alarm.comparison {
        Comparison::Greater => "GreaterThanThreshold",
        Comparison::GreaterOrEqual => "GreaterThanOrEqualToThreshold",
        Comparison::Less => "LessThanThreshold",
        Comparison::LessOrEqual => "LessThanOrEqualToThreshold",
    };
    let mut described = json!({
        "AlarmName": name, "AlarmArn": alarm.arn, "AlarmDescription": alarm.description, "Namespace": namespace,
        "MetricName": metric, "Dimensions": pairs(dimensions), "Period": alarm.period_seconds,
        "EvaluationPeriods": alarm.evaluation_periods, "Threshold": alarm.threshold, "ComparisonOperator": comparison,
        "StateValue": alarm.state, "StateReason": alarm.reason, "StateUpdatedTimestamp": alarm.since.as_second(),
        "ActionsEnabled": true, "AlarmActions": alarm.actions,
    });
    let member = if matches!(alarm.statistic, Statistic::Percentile(_)) {
        "ExtendedStatistic"
    } else {
        "Statistic"
    };
    if let Some(members) = described.as_object_mut() {
        members.insert(member.to_owned(), alarm.statistic.name().into());
    }
    described
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
        since: cloud.now(),
        ticking: false,
    };
    cloud.cloudwatch.alarms.insert(name.to_owned(), alarm);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics() {
        for (statistic, expected) in [
            (Statistic::Average, 2.5),
            (Statistic::Sum, 10.0),
            (Statistic::Minimum, 1.0),
            (Statistic::Maximum, 4.0),
            (Statistic::SampleCount, 4.0),
            (Statistic::Percentile(99.0), 4.0),
            (Statistic::Percentile(50.0), 2.0),
            (Statistic::Percentile(0.0), 1.0),
        ] {
            assert_eq!(statistic.of(&mut [4.0, 1.0, 3.0, 2.0]), Some(expected), "{statistic:?}");
        }
        assert_eq!(Statistic::Sum.of(&mut []), None);
    }
}
