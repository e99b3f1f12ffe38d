//! The gate: what a registered version must meet to be offered for approval.
//!
//! An expression in CEL (<https://cel.dev>) over `metrics`, the candidate's, and `champion`, those of the version that serves, or
//! null where none does. CEL is not Turing-complete and has no side effects, so that a parameter can hold it safely.

use std::collections::{BTreeSet, HashMap};

use cel::{Context, Program, Value};

use crate::metrics::Metrics;

/// The longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 1000;

/// What the gate says of a candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Whether the candidate passed.
    pub held: bool,
    /// Why, with the expression and the numbers.
    pub text: String,
    /// The same without the expression, in characters that customer metadata takes.
    pub short: String,
}

/// Why a gate can't be evaluated: a person must mend the parameter or the evaluation.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum GateError {
    /// Not CEL.
    #[error("the gate expression `{expression}` does not parse: {reason}; mend the parameter GateExpression")]
    Syntax {
        /// The expression.
        expression: String,
        /// What the parser says.
        reason: String,
    },
    /// The expression asks for a metric that the evaluation does not have.
    #[error(
        "the gate expression `{expression}` names `{name}`, which the evaluation report does not have; it has {found}"
    )]
    AbsentMetric {
        /// The expression.
        expression: String,
        /// `metrics.recal` for one.
        name: String,
        /// The metrics that there are.
        found: String,
    },
    /// Evaluation failed, or its result is no truth value.
    #[error("the gate expression `{expression}` can't be evaluated: {reason}; mend the parameter GateExpression")]
    Evaluation {
        /// The expression.
        expression: String,
        /// What went wrong.
        reason: String,
    },
}

/// Evaluates the gate.
///
/// # Errors
/// Where the expression does not parse, names an absent metric, or is not a condition.
pub fn evaluate(expression: &str, metrics: &Metrics, champion: Option<&Metrics>) -> Result<Verdict, GateError> {
    let error = |reason: String| GateError::Evaluation {
        expression: expression.to_owned(),
        reason,
    };
    let syntax = |reason: String| GateError::Syntax {
        expression: expression.to_owned(),
        reason,
    };
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(syntax(format!("it is longer than {EXPRESSION_BYTES_MAX} bytes")));
    }
    let program = Program::compile(expression).map_err(|error| syntax(one_line(&error.to_string())))?;
    let named = named_metrics(expression);
    // Looked up beforehand, so that `champion == null || metrics.recal > 0.5` is refused with the first version already.
    for (variable, name) in &named {
        let from = if variable == "metrics" { Some(metrics) } else { champion };
        if let Some(from) = from.filter(|from| from.get(name).is_none()) {
            return Err(GateError::AbsentMetric {
                expression: expression.to_owned(),
                name: format!("{variable}.{name}"),
                found: from.iter().map(|(name, _)| name).collect::<Vec<_>>().join(", "),
            });
        }
    }
    let mut context = Context::default();
    context.add_variable_from_value("metrics", map(metrics));
    context.add_variable_from_value("champion", champion.map_or(Value::Null, map));
    match program.execute(&context) {
        Ok(Value::Bool(held)) => {
            let verdict = if held { "held" } else { "not held" };
            let values = values(&named, metrics, champion);
            let (with, alone) = match values.as_str() {
                "" => (String::new(), String::new()),
                values => (format!(", with {values}"), format!(": {values}")),
            };
            Ok(Verdict {
                held,
                text: format!("{verdict}: {expression}{with}"),
                short: format!("{verdict}{alone}"),
            })
        }
        Ok(other) => Err(error(format!("its result is {}, not true or false", other.type_of()))),
        Err(cause) => Err(error(one_line(&cause.to_string()))),
    }
}

fn map(metrics: &Metrics) -> Value {
    let entries: HashMap<String, f64> = metrics.iter().map(|(name, value)| (name.to_owned(), value)).collect();
    entries.into()
}

fn values(named: &BTreeSet<(String, String)>, metrics: &Metrics, champion: Option<&Metrics>) -> String {
    let values = named.iter().rev().filter_map(|(variable, name)| {
        let from = if variable == "metrics" { Some(metrics) } else { champion };
        Some(format!("{variable}.{name} = {}", shown(from?.get(name)?)))
    });
    let mut values: Vec<String> = values.collect();
    if champion.is_none() && named.iter().any(|(variable, _)| variable == "champion") {
        values.push("no champion yet".to_owned());
    }
    values.join(" and ")
}

/// A metric as people are shown it: six decimals are more than an evaluation can tell apart.
#[must_use]
pub fn shown(value: f64) -> String {
    let text = format!("{value:.6}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    // What is smaller than that, or larger than digits can show, is written as it is.
    if short.len() > 15 || (value != 0.0 && matches!(short, "0" | "-0")) {
        value.to_string()
    } else {
        short.to_owned()
    }
}

/// `metrics.NAME` and `champion.NAME` wherever the expression has them outside of its string literals.
fn named_metrics(expression: &str) -> BTreeSet<(String, String)> {
    let mut named = BTreeSet::new();
    let mut rest = expression;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        if first == '"' || first == '\'' {
            let inside = rest.get(1..).unwrap_or_default();
            rest = inside
                .find(first)
                .and_then(|end| inside.get(end + 1..))
                .unwrap_or_default();
            before = first;
            continue;
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !word(before) && before != '.' {
            for variable in ["metrics", "champion"] {
                let Some(after) = rest
                    .strip_prefix(variable)
                    .and_then(|after| after.trim_start().strip_prefix('.'))
                else {
                    continue;
                };
                let after = after.trim_start();
                let name = after.split(|c| !word(c)).next().unwrap_or_default();
                // A name that is called is a method, `metrics.exists(…)`, not a metric.
                let called = after
                    .get(name.len()..)
                    .is_some_and(|after| after.trim_start().starts_with('('));
                if !name.is_empty() && !called {
                    named.insert((variable.to_owned(), name.to_owned()));
                }
            }
        }
        before = first;
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    named
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = "champion == null || metrics.accuracy > champion.accuracy";

    fn metrics(accuracy: f64) -> Metrics {
        [("accuracy", accuracy), ("f1", 0.5)].into_iter().collect()
    }

    #[test]
    fn verdicts() {
        for (expression, accuracy, champion, expected) in [
            (DEFAULT, 0.9, None, true),
            (DEFAULT, 0.9, Some(0.8), true),
            (DEFAULT, 0.9, Some(0.9), false),
            (DEFAULT, 0.8, Some(0.9), false),
            ("metrics.accuracy >= 0.9 && metrics.f1 > 0.4", 0.9, None, true),
            ("metrics.accuracy >= 0.91", 0.9, None, false),
            ("metrics.exists(name, metrics[name] > 0.8)", 0.9, None, true),
            ("'metrics.nothing' != ''", 0.9, None, true),
        ] {
            let champion = champion.map(metrics);
            let verdict = evaluate(expression, &metrics(accuracy), champion.as_ref()).unwrap();
            assert_eq!(verdict.held, expected, "{expression}: {verdict:?}");
        }
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.9, "0.9"),
            (0.906_077_348, "0.906077"),
            (0.0, "0"),
            (1e-9, "0.000000001"),
            (-1e-9, "-0.000000001"),
            (-12.5, "-12.5"),
            (3.0, "3"),
            // The widest that is rounded, and one digit more.
            (12_345_678.123_456_7, "12345678.123457"),
            (123_456_789.123_456_7, "123456789.1234567"),
            // Not the digits of the binary number that is nearest to it.
            (1e23, "100000000000000000000000"),
        ] {
            assert_eq!(shown(value), expected);
        }
    }

    #[test]
    fn verdicts_have_the_numbers() {
        let verdict = evaluate(DEFAULT, &metrics(0.9), Some(&metrics(0.93))).unwrap();
        assert_eq!(
            verdict.text,
            "not held: champion == null || metrics.accuracy > champion.accuracy, with metrics.accuracy = 0.9 and champion.accuracy = 0.93"
        );
        let verdict = evaluate(DEFAULT, &metrics(0.9), None).unwrap();
        assert_eq!(verdict.short, "held: metrics.accuracy = 0.9 and no champion yet");
        assert_eq!(crate::package::metadata_value(&verdict.short), verdict.short);
        let verdict = evaluate("metrics.accuracy > 0.8", &metrics(0.9), None).unwrap();
        assert_eq!(verdict.short, "held: metrics.accuracy = 0.9");
        let verdict = evaluate("1 < 2", &metrics(0.9), None).unwrap();
        assert_eq!((verdict.text.as_str(), verdict.short.as_str()), ("held: 1 < 2", "held"));
    }

    #[test]
    fn what_cannot_be_evaluated_says_why() {
        for (expression, words) in [
            // With the place, which the parser draws below the expression.
            ("metrics.accuracy >", "does not parse: ERROR: <input>:1:19: "),
            ("", "does not parse"),
            (
                "champion == null || metrics.recal > 0.5",
                "names `metrics.recal`, which the evaluation report does not have; it has accuracy, f1",
            ),
            ("metrics.accuracy", "not true or false"),
            (
                "precision > 0.5",
                "can't be evaluated: Undeclared reference to 'precision'; mend",
            ),
            ("metrics['recal'] > 0.5", "can't be evaluated: No such key: recal; mend"),
        ] {
            let error = evaluate(expression, &metrics(0.9), None).unwrap_err().to_string();
            assert!(
                error.contains(words) && error.contains(expression),
                "{expression}: {error}"
            );
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        let sized = |bytes: usize| evaluate(&format!("{:<bytes$}", "true"), &metrics(0.9), None);
        assert!(sized(EXPRESSION_BYTES_MAX).is_ok());
        let error = sized(EXPRESSION_BYTES_MAX + 1).unwrap_err().to_string();
        assert!(error.contains("it is longer than 1000 bytes"), "{error}");
    }

    #[test]
    fn metrics_are_named_outside_of_texts_and_other_words() {
        for (expression, expected) in [
            ("metrics.a > champion.b_2", &["champion.b_2", "metrics.a"][..]),
            ("metrics . a > 1.0 && metrics.a < 2.0", &["metrics.a"]),
            ("(metrics.a)", &["metrics.a"]),
            ("1.0<metrics.a", &["metrics.a"]),
            ("'metrics.a' != '' && metrics.b > 0.0", &["metrics.b"]),
            ("\"it's\" == 'metrics.a' || metrics.b > 0.0", &["metrics.b"]),
            ("'é'==metrics.a", &["metrics.a"]),
            // The text does not end.
            ("'metrics.a", &[]),
            ("my_metrics.a > x.metrics.b", &[]),
            ("metrics1.a > metrics", &[]),
            ("metrics['a'] > 0.0", &[]),
            ("metrics.exists (name, true)", &[]),
            ("metrics.", &[]),
        ] {
            let named = named_metrics(expression);
            let named: Vec<_> = named
                .iter()
                .map(|(variable, name)| format!("{variable}.{name}"))
                .collect();
            assert_eq!(named, expected, "{expression}");
        }
    }
}
