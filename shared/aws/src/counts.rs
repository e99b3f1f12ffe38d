//! Counting and measuring what happens, for CloudWatch.
//!
//! A value is a line of the log in CloudWatch's embedded metric format, from which CloudWatch makes the metric: no call, no permission,
//! nothing that can fail. The line has what every line of the [log](crate::log) has, so that from a metric there is a way to the
//! release that it came from.
//! See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
//!
//! What is marked somewhere when it has happened is counted first and marked then, as people are told first: who dies in between counts
//! it once more, but nothing that has happened is missing from the numbers, and without a death in between it is counted once.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::log;

/// The namespace of the train's metrics.
pub const NAMESPACE: &str = "signalbox";

/// A metric of the train's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What its values are, in CloudWatch's word.
    pub unit: Unit,
    /// The dimensions that it has beside `Model`, in the order in which their values are given.
    pub dimensions: &'static [&'static str],
}

/// What the values of a metric are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "CloudWatch's own words")]
pub enum Unit {
    Count,
    Seconds,
}

impl Unit {
    /// CloudWatch's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
        }
    }
}

const fn metric(name: &'static str, unit: Unit, dimensions: &'static [&'static str]) -> Metric {
    Metric { name, unit, dimensions }
}

/// Trainings that were started without a push.
pub const RETRAININGS_STARTED: Metric = metric("RetrainingsStarted", Unit::Count, &["Trigger"]);
/// Trainings without a push that were asked for in vain, and why.
pub const RETRAININGS_SUPPRESSED: Metric = metric("RetrainingsSuppressed", Unit::Count, &["Trigger", "Reason"]);
/// Releases that have ended, by the word of their [`Outcome`](signalbox_model::package::Outcome). One that was deployed and taken back
/// later counts as both, and so does one whose failed stage was retried and has ended otherwise then.
pub const RELEASES: Metric = metric("Releases", Unit::Count, &["Outcome"]);
/// Versions that were taken back, while they were deployed or after, by the word of their [`Cause`](signalbox_model::undo::Cause).
pub const ROLLBACKS: Metric = metric("Rollbacks", Unit::Count, &["Cause"]);
/// From a push to the moment at which its version was marked as deployed; of the version's first release.
pub const PUSH_TO_SERVING: Metric = metric("PushToServing", Unit::Seconds, &[]);
/// The same, from when a training without a push was asked for.
pub const TRIGGER_TO_SERVING: Metric = metric("TriggerToServing", Unit::Seconds, &[]);
/// From when an approval began to wait to the decision of a person.
pub const APPROVAL_WAIT: Metric = metric("ApprovalWait", Unit::Seconds, &[]);
/// How long the release that is under way has not moved, at every look: the longest, where several are. Zero where none is.
pub const RELEASE_IDLE: Metric = metric("ReleaseIdle", Unit::Seconds, &[]);

/// All metrics that the train publishes.
pub const METRICS: &[Metric] = &[
    RETRAININGS_STARTED,
    RETRAININGS_SUPPRESSED,
    RELEASES,
    ROLLBACKS,
    PUSH_TO_SERVING,
    TRIGGER_TO_SERVING,
    APPROVAL_WAIT,
    RELEASE_IDLE,
];

/// Lets one count.
pub trait Count: Send + Sync {
    /// Counts one occurrence, for the model and these values of the metric's dimensions, in their order.
    fn one(&self, metric: &Metric, values: &[&str]);
}

/// Lets one measure durations.
pub trait Measure: Send + Sync {
    /// Says how many seconds it took, or takes by now. A metric of durations has no dimension but the model.
    fn seconds(&self, metric: &Metric, seconds: u64);
}

/// The log of a function.
#[derive(Debug, Clone)]
pub struct EmbeddedMetrics {
    model: String,
}

impl EmbeddedMetrics {
    /// Counts and measures for that model.
    #[must_use]
    pub fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
        }
    }

    fn write(&self, metric: &Metric, values: &[&str], value: u64) {
        // In a dry run nothing has happened that could be counted.
        if !crate::dry_run::is_on() {
            log::write(&self.line(metric, values, value, Timestamp::now()));
        }
    }

    fn line(&self, metric: &Metric, values: &[&str], value: u64, now: Timestamp) -> String {
        let names = metric.dimensions.iter().copied();
        let dimensions = std::iter::once(("Model", self.model.as_str())).chain(names.zip(values.iter().copied()));
        let dimensions: Vec<_> = dimensions.collect();
        let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
        // What CloudWatch makes no dimension of is there for those who search the log.
        let mut line: Map<String, Value> = log::fields();
        let of = json!({"Name": metric.name, "Unit": metric.unit.as_str()});
        let directive = json!({"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": [of]});
        let about = json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive]});
        line.insert("_aws".to_owned(), about);
        line.insert(metric.name.to_owned(), value.into());
        line.extend(
            dimensions
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::from(*value))),
        );
        Value::Object(line).to_string()
    }
}

impl Count for EmbeddedMetrics {
    fn one(&self, metric: &Metric, values: &[&str]) {
        self.write(metric, values, 1);
    }
}

impl Measure for EmbeddedMetrics {
    fn seconds(&self, metric: &Metric, seconds: u64) {
        self.write(metric, &[], seconds);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_count_is_a_line_that_cloudwatch_reads() {
        let now = "2026-03-08T03:00:00Z".parse().unwrap();
        let line = EmbeddedMetrics::new("churn").line(&RETRAININGS_SUPPRESSED, &["data", "Running"], 1, now);
        assert!(!line.contains('\n'));
        let line: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "_aws": {
                "Timestamp": 1_772_938_800_000_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "signalbox",
                    "Dimensions": [["Model", "Trigger", "Reason"]],
                    "Metrics": [{"Name": "RetrainingsSuppressed", "Unit": "Count"}],
                }],
            },
            "Model": "churn", "Trigger": "data", "Reason": "Running",
            "RetrainingsSuppressed": 1,
        });
        assert_eq!(line, expected);
    }

    #[tokio::test]
    async fn a_duration_is_in_seconds_and_has_what_every_line_has() {
        let origin = log::Origin {
            function: "churn-update-endpoint".into(),
            function_version: "7".into(),
            model: "churn".into(),
        };
        let lines = log::Lines::default();
        let invocation = log::Invocation::new(&origin, "8f0a").kept(&lines);
        let measured = log::within(invocation, async {
            log::version_number(7);
            EmbeddedMetrics::new("churn").seconds(&PUSH_TO_SERVING, 5400);
        });
        measured.await;
        let lines = lines.lock().unwrap();
        let line: Value = serde_json::from_str(&lines[0]).unwrap();
        let metric = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(metric["Dimensions"], json!([["Model"]]));
        assert_eq!(metric["Metrics"], json!([{"Name": "PushToServing", "Unit": "Seconds"}]));
        for (name, expected) in [
            ("PushToServing", json!(5400)),
            ("requestId", json!("8f0a")),
            ("function", json!("churn-update-endpoint")),
            ("functionVersion", json!("7")),
            ("model", json!("churn")),
            ("version", json!(7)),
        ] {
            assert_eq!(line[name], expected, "{name}");
        }
    }

    proptest! {
        /// CloudWatch takes no broken line for a metric: whatever a dimension's value is, it stays within the line.
        #[test]
        fn a_count_of_anything_is_one_line(model in any::<String>(), values in any::<[String; 2]>(), value: u64) {
            let now = Timestamp::UNIX_EPOCH;
            let [trigger, reason] = values.each_ref().map(String::as_str);
            let line = EmbeddedMetrics::new(&model).line(&RETRAININGS_SUPPRESSED, &[trigger, reason], value, now);
            prop_assert!(!line.contains(['\n', '\r']));
            let line: Value = serde_json::from_str(&line).unwrap();
            let read = [&line["Model"], &line["Trigger"], &line["Reason"], &line["RetrainingsSuppressed"]];
            prop_assert_eq!(read, [&json!(model), &json!(trigger), &json!(reason), &json!(value)]);
        }
    }

    #[test]
    fn no_metric_and_no_dimension_is_there_twice() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            let durations = metric.unit == Unit::Seconds;
            assert!(!durations || metric.dimensions.is_empty(), "{metric:?}");
            assert!(!metric.dimensions.contains(&"Model"), "{metric:?}");
        }
    }
}
