//! The mail about a push that was not trained.

use super::text::{Text, plain};
use crate::build::{Build, safe_url};
use crate::evidence::one_line;
use crate::names::ModelName;
use crate::notice::Notice;

/// How many characters of a stage's name a subject has.
const STAGE_CHARS_MAX: usize = 20;

/// An action of the train pipeline that has failed.
#[derive(Debug, Clone, Copy)]
pub struct FailedAction<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The stage.
    pub stage: &'a str,
    /// The action.
    pub action: &'a str,
    /// What CodePipeline says of the failure.
    pub reason: Option<&'a str>,
    /// The build that it was, if it was one and can be read.
    pub build: Option<&'a Build>,
    /// Where what it has logged is, where that is not the build's own address.
    pub log_url: Option<&'a str>,
    /// Where the execution of the pipeline is seen.
    pub execution_url: &'a str,
}

/// Tells that an action of the train pipeline has failed, and so nothing was trained.
#[must_use]
pub fn action_failed(model: &ModelName, failed: &FailedAction<'_>) -> Notice {
    let FailedAction { build, .. } = *failed;
    let mut text = Text::new();
    text.paragraph(&format!(
        "A push to {model} was not trained: the action {} of the pipeline {} failed. Nothing was released, and the endpoint serves what \
         it served.",
        plain(failed.action),
        plain(failed.pipeline),
    ));
    text.item("Stage", failed.stage);
    text.optional(
        "Phase",
        build.and_then(Build::failed_phase).map_or("", |phase| &phase.name),
    );
    // What the failed phase says has the command and its exit code; what CodePipeline says of a build is less.
    match build.map(Build::failure_lines).filter(|lines| !lines.is_empty()) {
        Some(lines) => text.quote("Reason", &lines.join("\n")),
        None => text.item("Reason", failed.reason.unwrap_or("CodePipeline gives none")),
    }
    let log_url = build.and_then(|build| build.log_url.as_deref()).or(failed.log_url);
    if let Some(url) = log_url.and_then(safe_url) {
        text.line("Log:");
        text.link(url);
    }
    if let Some(url) = safe_url(failed.execution_url) {
        text.line("Execution:");
        text.link(url);
    }
    text.paragraph("Push a fix; or, where the cause was not in the code, retry the stage in CodePipeline's console.");
    let stage = one_line(failed.stage, STAGE_CHARS_MAX);
    text.notice(&format!("[signalbox] {model} push not trained: {stage} failed"))
}
