//! Counting what happens, for CloudWatch.
//!
//! A count is a line of the log in CloudWatch's embedded metric format, from which CloudWatch makes the metric: no call, no permission,
//! nothing that can fail.
//! See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::log;

/// The namespace of the train's metrics.
pub const NAMESPACE: &str = "signalbox";

/// Lets one count.
pub trait Count: Send + Sync {
    /// Counts one occurrence of that metric, for these dimensions, and the model.
    fn one(&self, metric: &'static str, dimensions: &[(&'static str, &str)]);
}

/// The log of a function.
#[derive(Debug, Clone)]
pub struct EmbeddedMetrics {
    model: String,
}

impl EmbeddedMetrics {
    /// Counts for that model.
    #[must_use]
    pub fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
        }
    }

    fn line(&self, metric: &str, dimensions: &[(&'static str, &str)], now: Timestamp) -> String {
        let dimensions = std::iter::once(("Model", self.model.as_str())).chain(dimensions.iter().copied());
        let dimensions: Vec<_> = dimensions.collect();
        let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
        // What CloudWatch makes no dimension of is there for those who search the log.
        let mut line: Map<String, Value> = log::fields();
        let directive =
            json!({"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": [{"Name": metric, "Unit": "Count"}]});
        let about = json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive]});
        line.insert("_aws".to_owned(), about);
        line.insert(metric.to_owned(), 1.into());
        line.extend(
            dimensions
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::from(*value))),
        );
        Value::Object(line).to_string()
    }
}

impl Count for EmbeddedMetrics {
    fn one(&self, metric: &'static str, dimensions: &[(&'static str, &str)]) {
        // Nothing has happened that could be counted.
        if !crate::dry_run::is_on() {
            log::write(&self.line(metric, dimensions, Timestamp::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_line_that_cloudwatch_reads() {
        let dimensions = [("Trigger", "data"), ("Reason", "Running")];
        let now = "2026-03-08T03:00:00Z".parse().unwrap();
        let line = EmbeddedMetrics::new("churn").line("RetrainingsSuppressed", &dimensions, now);
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
}
