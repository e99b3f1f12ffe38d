//! The evaluation reports of a version and of the champion, and the gate's expression over them: three lines, the expression first.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use signalbox_model::evidence::{Direction, compare};
use signalbox_model::gate::{EXPRESSION_BYTES_MAX, GateError, evaluate};
use signalbox_model::metrics::Metrics;
use signalbox_model::package::metadata_value;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let expression = lines.next().unwrap_or_default();
    let mut report = || lines.next().and_then(|text| Metrics::from_report(text.as_bytes()).ok());
    let (metrics, champion) = (report(), report());
    for metrics in [&metrics, &champion].into_iter().flatten() {
        read(metrics);
        judged(metrics);
    }
    let metrics = metrics.unwrap_or_default();
    compared(&metrics, champion.as_ref());
    evaluated(expression, &metrics, champion.as_ref());
});

/// What is read can be judged: numbers, each finite, at least one; and written as a report it is read as the same.
fn read(metrics: &Metrics) {
    assert!(!metrics.is_empty() && metrics.iter().all(|(_, value)| value.is_finite()));
    let written = json!({ "metrics": metrics }).to_string();
    let again = Metrics::from_report(written.as_bytes()).ok();
    assert!(again.is_some_and(|again| {
        let near = |a: f64, b: f64| a == b || (a - b).abs() <= 1e-15 * a.abs().max(b.abs());
        again.iter().count() == metrics.iter().count()
            && again
                .iter()
                .zip(metrics.iter())
                .all(|(again, read)| again.0 == read.0 && near(again.1, read.1))
    }));
}

/// A gate that is a comparison says what the comparison says.
fn judged(metrics: &Metrics) {
    let is_name = |name: &str| {
        let mut chars = name.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    for (name, value) in metrics.iter().filter(|(name, _)| is_name(name)).take(3) {
        for threshold in [value, 0.5, -value] {
            let expression = format!("metrics.{name} > {threshold:?}");
            match evaluate(&expression, metrics, None) {
                Ok(verdict) => assert_eq!(verdict.held, value > threshold, "{expression}: {}", verdict.text),
                // A word of CEL's own, `in` for one.
                Err(error) => assert!(matches!(error, GateError::Syntax { .. }), "{error}"),
            }
            let champion = format!("champion == null || champion.{name} <= {threshold:?}");
            if let Ok(verdict) = evaluate(&champion, metrics, Some(metrics)) {
                assert_eq!(verdict.held, value <= threshold, "{champion}: {}", verdict.text);
            }
        }
    }
}

/// Every metric of either is a row, and no difference passes for a better one where there is none.
fn compared(metrics: &Metrics, champion: Option<&Metrics>) {
    let rows = compare(metrics, champion);
    for (name, value) in metrics.iter() {
        assert!(rows.iter().any(|row| row.name == name && row.value == Some(value)));
    }
    for row in rows {
        assert_eq!(
            row.direction == Direction::Unknown,
            row.value.is_none() || row.champion.is_none()
        );
    }
}

/// A verdict is one of two words and its numbers, which the version's metadata keeps: by that word alone it may be released.
fn evaluated(expression: &str, metrics: &Metrics, champion: Option<&Metrics>) {
    match evaluate(expression, metrics, champion) {
        Ok(verdict) => {
            assert!(expression.len() <= EXPRESSION_BYTES_MAX);
            let word = if verdict.held { "held" } else { "not held" };
            assert!(
                verdict.text.starts_with(&format!("{word}: ")) && verdict.short.starts_with(word),
                "{}",
                verdict.text
            );
            assert_eq!(metadata_value(&verdict.short).starts_with("held"), verdict.held);
            let again = evaluate(expression, metrics, champion).ok();
            assert_eq!(again, Some(verdict), "the same every time");
        }
        Err(GateError::AbsentMetric { name, .. }) => {
            let known =
                |metrics: &Metrics, of: &str| name.strip_prefix(of).is_some_and(|name| metrics.get(name).is_some());
            assert!(expression.contains(name.rsplit('.').next().unwrap_or_default()));
            assert!(!known(metrics, "metrics.") && !champion.is_some_and(|champion| known(champion, "champion.")));
        }
        Err(_) => {}
    }
}
