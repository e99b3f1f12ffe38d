//! What there is to read: alarms, metrics, and the statistics of one.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::{ApiError, Cloud};
use super::{Alarm, Comparison, Gap, MetricKey, Minute, Statistic, metric_key, seconds};

/// How many alarms a page has unless it is said; AWS's most is a hundred.
const ALARMS: usize = 50;

/// How many metrics a page has, as AWS documents it.
const METRICS: usize = 500;

/// How many datapoints an answer has at most, as AWS documents it.
const DATAPOINTS_MAX: i64 = 1440;

fn text<'a>(input: &'a Value, name: &str) -> &'a str {
    input.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(input: &'a Value, name: &str) -> &'a [Value] {
    input.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One page of what is sorted by a key: the token is the last key of the page before.
fn page<T>(items: Vec<(String, T)>, input: &Value, size: usize) -> Result<(Vec<T>, Option<String>), ApiError> {
    let after = match text(input, "NextToken") {
        "" => None,
        token => {
            let key = BASE64_STANDARD.decode(token).ok();
            let key = key.and_then(|key| String::from_utf8(key).ok());
            Some(key.ok_or_else(|| ApiError::new("InvalidNextToken", "The next token specified is invalid."))?)
        }
    };
    let mut rest = items
        .into_iter()
        .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
    let page: Vec<(String, T)> = rest.by_ref().take(size).collect();
    let last = page.last().map(|(key, _)| BASE64_STANDARD.encode(key));
    let token = last.filter(|_| rest.next().is_some());
    Ok((page.into_iter().map(|(_, item)| item).collect(), token))
}

fn with_token(mut answer: Value, token: Option<String>) -> Value {
    if let (Some(token), Some(members)) = (token, answer.as_object_mut()) {
        members.insert("NextToken".to_owned(), token.into());
    }
    answer
}

/// `DescribeAlarms`: the metric alarms; there are no others.
pub(super) fn alarms(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let (names, prefix, state) = (
        list(input, "AlarmNames"),
        text(input, "AlarmNamePrefix"),
        text(input, "StateValue"),
    );
    if !names.is_empty() && !prefix.is_empty() {
        return Err(ApiError::new(
            "ValidationError",
            "AlarmNamePrefix can't be specified together with AlarmNames",
        ));
    }
    let types = list(input, "AlarmTypes");
    let wanted = |(name, alarm): &(&String, &Alarm)| {
        (types.is_empty() || types.iter().any(|kind| kind == "MetricAlarm"))
            && (names.is_empty() || names.iter().any(|wanted| wanted.as_str() == Some(name)))
            && name.starts_with(prefix)
            && (state.is_empty() || state == alarm.state)
            && has_action(alarm, text(input, "ActionPrefix"))
    };
    let alarms = cloud.cloudwatch.alarms.iter().filter(wanted);
    let alarms = alarms
        .map(|(name, alarm)| (name.clone(), describe(name, alarm)))
        .collect();
    let size = input.get("MaxRecords").and_then(Value::as_u64);
    let size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(ALARMS);
    let (alarms, token) = page(alarms, input, size)?;
    Ok(with_token(
        json!({"MetricAlarms": alarms, "CompositeAlarms": []}),
        token,
    ))
}

fn has_action(alarm: &Alarm, prefix: &str) -> bool {
    prefix.is_empty() || alarm.actions.iter().any(|action| action.starts_with(prefix))
}

fn describe(name: &str, alarm: &Alarm) -> Value {
    let (namespace, metric, dimensions) = &alarm.metric;
    let comparison = match alarm.comparison {
        Comparison::Greater => "GreaterThanThreshold",
        Comparison::GreaterOrEqual => "GreaterThanOrEqualToThreshold",
        Comparison::Less => "LessThanThreshold",
        Comparison::LessOrEqual => "LessThanOrEqualToThreshold",
    };
    let missing = match alarm.missing {
        Gap::Missing => "missing",
        Gap::NotBreaching => "notBreaching",
        Gap::Breaching => "breaching",
        Gap::Ignore => "ignore",
    };
    let mut described = json!({
        "AlarmName": name, "AlarmArn": alarm.arn, "AlarmDescription": alarm.description, "Namespace": namespace,
        "MetricName": metric, "Dimensions": pairs(dimensions), "Period": alarm.period_seconds,
        "EvaluationPeriods": alarm.evaluation_periods, "DatapointsToAlarm": alarm.datapoints_to_alarm,
        "Threshold": alarm.threshold, "ComparisonOperator": comparison, "TreatMissingData": missing,
        "StateValue": alarm.state, "StateReason": alarm.reason,
        "StateUpdatedTimestamp": seconds(alarm.updated), "StateTransitionedTimestamp": seconds(alarm.since),
        "AlarmConfigurationUpdatedTimestamp": seconds(alarm.created),
        "ActionsEnabled": true, "AlarmActions": alarm.actions, "OKActions": [], "InsufficientDataActions": [],
    });
    let member = if matches!(alarm.statistic, Statistic::Percentile(_)) {
        "ExtendedStatistic"
    } else {
        "Statistic"
    };
    if let Some(members) = described.as_object_mut() {
        members.insert(member.to_owned(), alarm.statistic.name().into());
        if let Some(data) = &alarm.reason_data {
            members.insert("StateReasonData".to_owned(), data.as_str().into());
        }
    }
    described
}

fn pairs(dimensions: &[(String, String)]) -> Vec<Value> {
    dimensions
        .iter()
        .map(|(name, value)| json!({"Name": name, "Value": value}))
        .collect()
}

/// `ListMetrics`.
pub(super) fn metrics(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let (namespace, name) = (text(input, "Namespace"), text(input, "MetricName"));
    let has = |dimensions: &[(String, String)], filter: &Value| {
        dimensions.iter().any(|(name, value)| {
            let wanted = filter.get("Value").and_then(Value::as_str);
            name == text(filter, "Name") && wanted.is_none_or(|wanted| wanted == value)
        })
    };
    let filters = list(input, "Dimensions");
    let wanted = |(of, called, dimensions): &&MetricKey| {
        (namespace.is_empty() || namespace == of)
            && (name.is_empty() || name == called)
            && filters.iter().all(|filter| has(dimensions, filter))
    };
    let metrics = cloud.cloudwatch.metrics.keys().filter(wanted).map(|key| {
        let (namespace, name, dimensions) = key;
        let shown = json!({"Namespace": namespace, "MetricName": name, "Dimensions": pairs(dimensions)});
        (json!(key).to_string(), shown)
    });
    // The keys' own order is not their texts'.
    let mut metrics: Vec<_> = metrics.collect();
    metrics.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (metrics, token) = page(metrics, input, METRICS)?;
    Ok(with_token(json!({ "Metrics": metrics }), token))
}

/// `GetMetricStatistics`: periods count from the start time, rounded down to its minute, on; one without a value is left out.
pub(super) fn statistics(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let wrong = |what: &str| ApiError::new("InvalidParameterValue", what);
    let period = input.get("Period").and_then(Value::as_i64).unwrap_or_default();
    if period < 60 || period % 60 != 0 {
        return Err(wrong("The parameter Period must be a multiple of 60."));
    }
    let time = |name: &str| {
        let seconds = input.get(name).and_then(Value::as_f64);
        let time = seconds.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok());
        let time = time.and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok());
        time.ok_or_else(|| wrong(&format!("The parameter {name} is no time.")))
    };
    let start = time("StartTime")?.as_second().div_euclid(60) * 60;
    let end = time("EndTime")?.as_second();
    if start >= end {
        return Err(wrong(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    if (end - start).div_euclid(period) > DATAPOINTS_MAX {
        return Err(ApiError::new(
            "InvalidParameterCombination",
            format!(
                "You have requested up to {} datapoints, which exceeds the limit of {DATAPOINTS_MAX}. You may reduce the datapoints \
                 requested by increasing Period, or decreasing the time range.",
                (end - start).div_euclid(period)
            ),
        ));
    }
    let (plain, extended) = (list(input, "Statistics"), list(input, "ExtendedStatistics"));
    if plain.is_empty() == extended.is_empty() {
        return Err(ApiError::new(
            "InvalidParameterCombination",
            "Exactly one of the parameters Statistics and ExtendedStatistics must be specified.",
        ));
    }
    let plain: Vec<Statistic> = plain
        .iter()
        .filter_map(|name| Statistic::named(name.as_str()?))
        .collect();
    let percentiles = extended.iter().map(|name| {
        let name = name.as_str().unwrap_or_default();
        Statistic::percentile(name)
            .map(|statistic| (name, statistic))
            .ok_or_else(|| {
                wrong(&format!(
                    "The value {name} for parameter ExtendedStatistics is not supported."
                ))
            })
    });
    let percentiles = percentiles.collect::<Result<Vec<_>, _>>()?;
    let dimensions: Vec<(&str, &str)> = list(input, "Dimensions")
        .iter()
        .map(|dimension| (text(dimension, "Name"), text(dimension, "Value")))
        .collect();
    let name = text(input, "MetricName");
    let minutes = cloud
        .cloudwatch
        .metrics
        .get(&metric_key(text(input, "Namespace"), name, &dimensions));
    let unit = text(input, "Unit");
    let inside =
        |minute: &&Minute| (start..end).contains(&(minute.number * 60)) && (unit.is_empty() || unit == minute.unit);
    let mut periods = std::collections::BTreeMap::<(i64, &str), Vec<f64>>::new();
    for minute in minutes.into_iter().flatten().filter(inside) {
        let from = start + (minute.number * 60 - start).div_euclid(period) * period;
        periods.entry((from, &minute.unit)).or_default().extend(&minute.values);
    }
    let datapoints = periods.into_iter().map(|((from, unit), mut values)| {
        let mut point = serde_json::Map::new();
        point.insert("Timestamp".to_owned(), from.into());
        point.insert("Unit".to_owned(), unit.into());
        for statistic in &plain {
            point.insert(statistic.name(), json!(statistic.of(&mut values)));
        }
        if !percentiles.is_empty() {
            let of = percentiles
                .iter()
                .map(|(name, statistic)| ((*name).to_owned(), json!(statistic.of(&mut values))));
            point.insert("ExtendedStatistics".to_owned(), Value::Object(of.collect()));
        }
        Value::Object(point)
    });
    Ok(json!({"Label": name, "Datapoints": datapoints.collect::<Vec<_>>()}))
}
