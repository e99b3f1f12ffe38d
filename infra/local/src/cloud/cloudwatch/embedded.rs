//! Metrics in a function's log: CloudWatch's embedded metric format.
//!
//! See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>. A line
//! that is none, or that breaks the specification, is just log: CloudWatch takes out of it what can be taken and says nothing.

use serde_json::{Map, Value};

use super::super::Cloud;
use super::{NO_UNIT, put_metric_in};

/// The most metrics of a directive.
const METRICS_MAX: usize = 100;

/// The most values of a metric in one line.
const VALUES_MAX: usize = 100;

/// The most dimensions of a metric.
const DIMENSIONS_MAX: usize = 30;

/// The longest name and the longest value of a dimension, in characters.
const CHARACTERS_MAX: usize = 1024;

/// Values that a line has for a metric.
#[derive(Debug, PartialEq)]
struct Embedded<'a> {
    namespace: &'a str,
    name: &'a str,
    unit: &'a str,
    dimensions: Vec<(&'a str, &'a str)>,
    values: Vec<f64>,
}

impl Cloud {
    /// Takes a line that a function has logged. Metrics in it become CloudWatch's; they count as of now: the function's clock is the
    /// machine's, not the cloud's. What is said of a trigger, and so of what came of it, is noted.
    pub fn log_line(&mut self, function: &str, line: &str) {
        // Most lines are not for this, and are not to be read.
        if !line.contains("CloudWatchMetrics") && !line.contains("\"trigger\"") {
            return;
        }
        let Ok(Value::Object(line)) = serde_json::from_str(line) else {
            return;
        };
        // The other functions' lines bear the trigger too, of a training that has started.
        let is = |name: &str| line.get(name).is_some_and(Value::is_string);
        let of_retrain = line.get("target").and_then(Value::as_str) == Some("retrain");
        if of_retrain && is("trigger") && is("message") && (is("reason") || is("execution")) {
            let members = ["level", "message", "trigger", "reason", "execution"];
            let of = |name: &str| Some((name.to_owned(), line.get(name)?.clone()));
            let data: Map<String, Value> = members.into_iter().filter_map(of).collect();
            self.note("lambda", function, "logged", Value::Object(data));
        }
        for Embedded {
            namespace,
            name,
            unit,
            dimensions,
            values,
        } in embedded(&line)
        {
            put_metric_in(self, namespace, name, &dimensions, unit, &values);
        }
    }
}

fn embedded(line: &Map<String, Value>) -> Vec<Embedded<'_>> {
    let about = line.get("_aws");
    // Without its time the line is not one of these.
    if about.and_then(|about| about.get("Timestamp")?.as_u64()).is_none() {
        return Vec::new();
    }
    let directives = about.and_then(|about| about.get("CloudWatchMetrics")?.as_array());
    let mut found = Vec::new();
    for directive in directives.into_iter().flatten() {
        let list = |name: &str| {
            directive
                .get(name)
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice)
        };
        let Some(namespace) = directive.get("Namespace").and_then(fitting) else {
            continue;
        };
        for set in list("Dimensions") {
            let Some(dimensions) = dimensions(line, set) else {
                continue;
            };
            for metric in list("Metrics").iter().take(METRICS_MAX) {
                let Some(name) = metric.get("Name").and_then(fitting) else {
                    continue;
                };
                let Some(values) = line.get(name).and_then(values) else {
                    continue;
                };
                found.push(Embedded {
                    namespace,
                    name,
                    unit: metric.get("Unit").and_then(Value::as_str).unwrap_or(NO_UNIT),
                    dimensions: dimensions.clone(),
                    values,
                });
            }
        }
    }
    found
}

/// The dimensions of a set, with their values; nothing where one has none.
fn dimensions<'a>(line: &'a Map<String, Value>, set: &'a Value) -> Option<Vec<(&'a str, &'a str)>> {
    let names = set.as_array().filter(|names| names.len() <= DIMENSIONS_MAX)?;
    let dimension = |name: &'a Value| {
        let name = fitting(name)?;
        Some((name, line.get(name).and_then(fitting)?))
    };
    names.iter().map(dimension).collect()
}

fn fitting(text: &Value) -> Option<&str> {
    text.as_str()
        .filter(|text| (1..=CHARACTERS_MAX).contains(&text.chars().count()))
}

/// A number, or a list of them.
fn values(value: &Value) -> Option<Vec<f64>> {
    match value {
        Value::Number(number) => Some(vec![number.as_f64()?]),
        Value::Array(numbers) if (1..=VALUES_MAX).contains(&numbers.len()) => {
            numbers.iter().map(Value::as_f64).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cloud::Service;
    use crate::cloud::testing::{call, deploy};

    fn line(directives: &Value) -> Map<String, Value> {
        let line = json!({
            "_aws": {"Timestamp": 1_772_442_000_000_i64, "CloudWatchMetrics": directives},
            "Model": "churn", "Reason": "Running", "Empty": "", "Number": 7,
            "Count": 1, "Latency": [1.5, 2.5], "None": [], "Mixed": [1, "two"], "Text": "9",
        });
        line.as_object().unwrap().clone()
    }

    #[test]
    fn what_can_be_taken_is_taken() {
        let count = json!([{"Name": "Count", "Unit": "Count"}]);
        for (what, directives, expected) in [
            (
                "one",
                json!([{"Namespace": "n", "Dimensions": [["Model"]], "Metrics": count}]),
                1,
            ),
            (
                "each set",
                json!([{"Namespace": "n", "Dimensions": [["Model"], ["Reason", "Model"], []], "Metrics": count}]),
                3,
            ),
            (
                "no set",
                json!([{"Namespace": "n", "Dimensions": [], "Metrics": count}]),
                0,
            ),
            ("no dimensions", json!([{"Namespace": "n", "Metrics": count}]), 0),
            ("no namespace", json!([{"Dimensions": [[]], "Metrics": count}]), 0),
            (
                "a dimension without a value",
                json!([{"Namespace": "n", "Dimensions": [["Other"], ["Model"]], "Metrics": count}]),
                1,
            ),
            (
                "an empty value",
                json!([{"Namespace": "n", "Dimensions": [["Empty"]], "Metrics": count}]),
                0,
            ),
            (
                "a number as value",
                json!([{"Namespace": "n", "Dimensions": [["Number"]], "Metrics": count}]),
                0,
            ),
            (
                "two directives",
                json!([{"Namespace": "n", "Dimensions": [[]], "Metrics": count},
                {"Namespace": "m", "Dimensions": [[]], "Metrics": count}]),
                2,
            ),
            (
                "values that are none",
                json!([{"Namespace": "n", "Dimensions": [[]],
                "Metrics": [{"Name": "None"}, {"Name": "Mixed"}, {"Name": "Text"}, {"Name": "Missing"}, {"Unit": "Count"}, 3]}]),
                0,
            ),
            ("not a list", json!({"Namespace": "n"}), 0),
            ("nothing in it", json!([null, 3, "n", []]), 0),
        ] {
            assert_eq!(embedded(&line(&directives)).len(), expected, "{what}");
        }
        let latency = json!([{"Namespace": "n", "Dimensions": [["Reason", "Model"]],
            "Metrics": [{"Name": "Latency", "Unit": "Milliseconds", "StorageResolution": 1}]}]);
        let expected = Embedded {
            namespace: "n",
            name: "Latency",
            unit: "Milliseconds",
            dimensions: vec![("Reason", "Running"), ("Model", "churn")],
            values: vec![1.5, 2.5],
        };
        assert_eq!(embedded(&line(&latency)), [expected]);
        let mut timeless = line(&latency);
        timeless["_aws"].as_object_mut().unwrap().remove("Timestamp");
        assert_eq!(embedded(&timeless), []);
    }

    #[test]
    fn a_line_becomes_a_metric_and_another_is_just_log() {
        let mut cloud = deploy("Resources: {Data: {Type: AWS::S3::Bucket}}").unwrap();
        for line in [
            "",
            "CloudWatchMetrics",
            "{\"_aws\": {\"CloudWatchMetrics\": ",
            "[\"CloudWatchMetrics\"]",
            "{\"message\": \"of CloudWatchMetrics\"}",
            "{\"_aws\": \"CloudWatchMetrics\"}",
        ] {
            cloud.log_line("f", line);
        }
        let listed = call(&mut cloud, Service::CloudWatch, "ListMetrics", &json!({})).unwrap();
        assert_eq!(listed["Metrics"], json!([]));
        let directive = json!([{"Namespace": "signalbox", "Dimensions": [["Model", "Reason"]],
            "Metrics": [{"Name": "Count", "Unit": "Count"}]}]);
        let line = Value::Object(line(&directive)).to_string();
        cloud.log_line("f", &line);
        cloud.log_line("f", &line);
        let asked = json!({"Namespace": "signalbox", "MetricName": "Count", "Period": 60, "Statistics": ["Sum"],
            "Dimensions": [{"Name": "Reason", "Value": "Running"}, {"Name": "Model", "Value": "churn"}],
            "StartTime": cloud.now().as_second() - 60, "EndTime": cloud.now().as_second() + 60});
        let answer = call(&mut cloud, Service::CloudWatch, "GetMetricStatistics", &asked).unwrap();
        let expected = json!([{"Timestamp": cloud.now().as_second(), "Unit": "Count", "Sum": 2.0}]);
        assert_eq!(answer["Datapoints"], expected);
        assert_eq!(cloud.take_happenings(), []);
    }

    #[test]
    fn what_is_said_of_a_trigger_is_noted() {
        let mut cloud = deploy("Resources: {Data: {Type: AWS::S3::Bucket}}").unwrap();
        let said = json!({"level": "WARN", "message": "suppressed: no training is started", "trigger": "data", "reason": "running",
            "target": "retrain"});
        for line in [
            said.to_string(),
            json!({"trigger": 3, "message": "m"}).to_string(),
            "\"trigger\"".to_owned(),
        ] {
            cloud.log_line("retrain", &line);
        }
        let noted = cloud.take_happenings();
        assert_eq!(noted.len(), 1);
        assert_eq!((noted[0].subject.as_str(), noted[0].what), ("retrain", "logged"));
        assert_eq!(
            (&noted[0].data["reason"], noted[0].data.get("target")),
            (&json!("running"), None)
        );
    }
}
