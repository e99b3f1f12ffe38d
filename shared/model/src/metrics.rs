//! The numbers of an evaluation.
//!
//! The registry holds only the S3 address of an evaluation report. The report is what `evaluate.py` wrote:
//! `{"metrics": {"accuracy": 0.93, …}}`, or SageMaker's model quality form, where each metric is `{"value": 0.93, …}` one level
//! further in (`{"binary_classification_metrics": {"accuracy": {"value": 0.93}}}`).

use std::collections::BTreeMap;

use serde_json::Value;

/// Metrics by name; every value is finite.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct Metrics(BTreeMap<String, f64>);

/// Why a report can't be judged.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// Not JSON. `NaN` and `Infinity`, which Python writes for such floats, are not JSON either.
    #[error("the evaluation report is not JSON (Python's `NaN` and `Infinity` are not JSON either)")]
    NotJson(#[source] serde_json::Error),
    /// A metric is there but no finite number.
    #[error("metric `{name}` in the evaluation report is {found}, which is not a finite number")]
    NotANumber {
        /// The metric's name.
        name: String,
        /// What stands there instead.
        found: String,
    },
    /// There is no object with metrics in it.
    #[error("the evaluation report holds no metrics; write {{\"metrics\": {{\"accuracy\": 0.93}}}}")]
    Empty,
}

impl Metrics {
    /// Reads an evaluation report.
    ///
    /// # Errors
    /// Where the report is not JSON, holds no metric, or a metric is not a finite number: such a model can't be judged, and so
    /// must not be released.
    pub fn from_report(report: &[u8]) -> Result<Self, MetricsError> {
        let report: Value = serde_json::from_slice(report).map_err(MetricsError::NotJson)?;
        let groups = report.as_object().ok_or(MetricsError::Empty)?;
        let mut metrics = BTreeMap::new();
        for (name, value) in groups.values().filter_map(Value::as_object).flatten() {
            let value = value.get("value").unwrap_or(value);
            match value {
                Value::Number(number) => {
                    let number = number.as_f64().filter(|number| number.is_finite());
                    let number = number.ok_or_else(|| not_a_number(name, value))?;
                    metrics.insert(name.clone(), number);
                }
                // Confusion matrices and curves are objects and arrays: evidence, but not metrics.
                Value::Object(_) | Value::Array(_) => {}
                Value::Null | Value::Bool(_) | Value::String(_) => return Err(not_a_number(name, value)),
            }
        }
        if metrics.is_empty() {
            Err(MetricsError::Empty)
        } else {
            Ok(Self(metrics))
        }
    }

    /// The metric of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// All metrics, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for Metrics {
    /// Collects metrics; values that are not finite are left out.
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(metrics: I) -> Self {
        let finite = metrics.into_iter().filter(|(_, value)| value.is_finite());
        Self(finite.map(|(name, value)| (name.into(), value)).collect())
    }
}

fn not_a_number(name: &str, value: &Value) -> MetricsError {
    MetricsError::NotANumber {
        name: name.to_owned(),
        found: value.to_string().chars().take(80).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let expected: Metrics = [("accuracy", 0.93)].into_iter().collect();
        for report in [
            r#"{"metrics": {"accuracy": 0.93}}"#,
            r#"{"binary_classification_metrics": {"accuracy": {"value": 0.93, "standard_deviation": "NaN"}}}"#,
            r#"{"version": 0.0, "metrics": {"accuracy": 0.93, "confusion_matrix": {"0": {"0": 3}}, "roc": [0, 1]}}"#,
        ] {
            assert_eq!(Metrics::from_report(report.as_bytes()).unwrap(), expected, "{report}");
        }
    }

    #[test]
    fn what_is_not_finite_is_no_metric() {
        let metrics: Metrics = [("auc", 0.9), ("loss", f64::NAN), ("gain", f64::INFINITY)]
            .into_iter()
            .collect();
        assert_eq!(metrics.iter().collect::<Vec<_>>(), [("auc", 0.9)]);
        assert_eq!((metrics.get("auc"), metrics.get("loss")), (Some(0.9), None));
        assert!(!metrics.is_empty());
        assert!([("loss", f64::NAN)].into_iter().collect::<Metrics>().is_empty());
    }

    #[test]
    fn refusals() {
        for (report, message) in [
            ("", "not JSON"),
            ("accuracy=0.9", "not JSON"),
            (r#"{"metrics": {"accuracy": NaN}}"#, "not JSON"),
            (r#"{"metrics": {"accuracy": Infinity}}"#, "not JSON"),
            (r#"{"metrics": {"accuracy": "NaN"}}"#, "metric `accuracy`"),
            (r#"{"metrics": {"accuracy": null}}"#, "metric `accuracy`"),
            (r#"{"metrics": {"accuracy": {"value": "high"}}}"#, "metric `accuracy`"),
            (r#"{"metrics": {}}"#, "no metrics"),
            (r#"{"accuracy": 0.9}"#, "no metrics"),
            ("[]", "no metrics"),
        ] {
            let error = Metrics::from_report(report.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(message), "{report}: {error}");
        }
    }
}
