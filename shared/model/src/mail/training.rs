//! Mails about trainings that came to no release.

use super::text::{ROWS_MAX, Text, plain};
use crate::evidence::{Champion, compare, number, trigger_words};
use crate::lineage::Trigger;
use crate::metrics::Metrics;
use crate::names::ModelName;
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
}

/// Tells that a training ended without a version to release. `step` is the pipeline step that failed; `numbers` what the evaluation
/// wrote, where it came that far; `execution` the ARN of the SageMaker pipeline execution.
#[must_use]
pub fn training_failed(
    model: &ModelName,
    trigger: Trigger,
    commit: Option<&str>,
    step: Option<&str>,
    reason: &str,
    numbers: Option<&Metrics>,
    execution: &str,
) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "A training of {model} ended without a version to release. What serves now stays as it is."
    ));
    text.item("Trigger", trigger_words(trigger));
    text.optional("Commit", commit.unwrap_or_default());
    text.optional("Step", step.unwrap_or_default());
    text.item("Reason", reason);
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
    text.notice(&format!("[signalbox] {model} training failed"))
}
