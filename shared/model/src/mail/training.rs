//! Mails about trainings that came to no release.

use super::text::{ROWS_MAX, Text, plain};
use crate::evidence::{Champion, asked_for, compare, number, utc, why};
use crate::failures::Row;
use crate::lineage::Lineage;
use crate::metrics::Metrics;
use crate::names::{ModelName, job_log_url};
use crate::notice::Notice;

/// Tells that a trained version did not pass its gate. `verdict` says which rule did not hold, in words.
#[must_use]
pub fn gate_not_met(
    model: &ModelName,
    version: u32,
    verdict: &str,
    metrics: &Metrics,
    champion: Option<&Champion>,
) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "{model} v{version} was trained but did not pass its gate, so it is rejected. What serves now stays as it is."
    ));
    text.item("Gate", verdict);
    text.blank();
    let rows = compare(metrics, champion.map(|champion| &champion.metrics));
    text.metrics(version, &rows, champion);
    text.notice(&format!("[signalbox] {model} v{version} gate not met"))
        .about(model, version)
}

/// Tells that somebody approved in the registry what had not passed its gate. `verdict` is the gate's.
#[must_use]
pub fn approved_in_vain(model: &ModelName, version: u32, verdict: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "{model} v{version} was approved in the model registry, but it had not passed its gate. No approval makes up for that: the \
         version is rejected again and not released. What serves now stays as it is."
    ));
    text.item("Gate", verdict);
    text.blank();
    text.paragraph(
        "To release such a version, change the stack's GateExpression or AccuracyThreshold, and train it again.",
    );
    text.notice(&format!(
        "[signalbox] {model} v{version}: approved in vain, gate not met"
    ))
    .about(model, version)
}

/// A training that ended without a version to release.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    /// The ARN of the SageMaker pipeline execution.
    pub execution: &'a str,
    /// Why it was trained.
    pub lineage: &'a Lineage,
    /// The pipeline step that failed, where one did.
    pub step: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
    /// The ARN of the failed step's job, where it has one.
    pub job: Option<&'a str>,
    /// What the evaluation wrote, where it came that far.
    pub numbers: Option<&'a Metrics>,
    /// The row of such trainings that it ends, where it is not alone.
    pub row: Option<Row>,
}

/// Tells that a training ended without a version to release.
#[must_use]
pub fn training_failed(model: &ModelName, failed: &Failed<'_>) -> Notice {
    let Failed {
        execution,
        lineage,
        step,
        reason,
        job,
        numbers,
        row,
    } = *failed;
    let mut text = Text::new();
    text.paragraph(&format!(
        "A training of {model} ended without a version to release. What serves now stays as it is."
    ));
    if let Some(row) = row {
        text.paragraph(&in_a_row(&row));
    }
    text.item("Trigger", &why(lineage));
    text.optional("Commit", lineage.commit.as_deref().unwrap_or_default());
    text.optional("New data", &asked_for(lineage).unwrap_or_default());
    text.optional("Step", step.unwrap_or_default());
    text.item("Reason", reason);
    if let Some(log) = job.and_then(job_log_url) {
        text.line("Log:");
        text.link(&log);
    }
    text.line("Execution:");
    // Unbroken, as it is there to be copied.
    text.link(&plain(execution));
    match numbers.filter(|numbers| !numbers.is_empty()) {
        Some(numbers) => {
            text.heading("Metrics");
            for (name, value) in numbers.iter().take(ROWS_MAX) {
                text.item(name, &number(value));
            }
        }
        None => text.paragraph("There are no metrics: no usable evaluation report was found."),
    }
    let times = row.map(|row| format!(", {} in a row", row.count)).unwrap_or_default();
    text.notice(&format!("[signalbox] {model} training failed{times}"))
}

fn in_a_row(row: &Row) -> String {
    let since = row
        .since
        .map(|since| format!(" since {}", utc(since)))
        .unwrap_or_default();
    let untold = match row.untold - 1 {
        0 => String::new(),
        untold => format!(" You were not told of {untold} of those before it."),
    };
    format!(
        "It is number {} in a row of the trainings that nobody pushed and that ended so{since}.{untold} As long as that goes on, you are \
         told once a day at most.",
        row.count
    )
}
