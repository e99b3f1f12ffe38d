//! Trying a version of a function before it gets traffic: what it is sent, what it answers, and whether that is good.
//!
//! It is sent an event in an envelope that asks for a dry run: the handler runs, and no call of it that changes anything leaves the
//! process (`shared/aws/src/dry_run.rs`). So a version that can't start, that lacks a variable or a permission, or that can't read
//! what it is sent, is found out before an event is lost to it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The one member of an event that asks for a dry run.
///
/// Who may invoke the function may ask for one, and changes nothing by it. From outside nobody can: what comes by a function URL is always
/// an object that Lambda makes, with `version`, `requestContext` and more at its top, and the visitor's words deeper in; what comes by SNS
/// has `Records` there, by EventBridge `source` and `detail`, and CodePipeline's `CodePipeline.job`.
pub const DRY_RUN: &str = "signalbox:dry-run";

/// The error code of a call that a dry run has held back.
pub const HELD: &str = "Held";

/// How much of a text that a version says is repeated, in characters.
const CHARS_MAX: usize = 1000;

/// The event that asks for a dry run of `event`.
#[must_use]
pub fn envelope(event: Value) -> Value {
    json!({ DRY_RUN: event })
}

/// Takes the event out of the envelope.
///
/// # Errors
/// The event itself, where it asks for no dry run.
pub fn open(mut event: Value) -> Result<Value, Value> {
    let members = event.as_object_mut().filter(|members| members.len() == 1);
    match members.and_then(|members| members.remove(DRY_RUN)) {
        Some(event) => Ok(event),
        None => Err(event),
    }
}

/// What a dry run answers. Operations are named as their service and the API do, `sns:Publish`; each is there once, in the order of
/// the first call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version that ran: `AWS_LAMBDA_FUNCTION_VERSION`.
    pub version: String,
    /// What was asked of AWS and answered, be it that there is no such thing.
    pub read: Vec<String>,
    /// What was held back, since it would change something.
    pub held: Vec<String>,
    /// What AWS refused for want of a permission.
    pub refused: Vec<String>,
    /// Of which kind the handler's answer is, [`sort_of`] it: pages and links stay where they are.
    pub answer: Value,
    /// Why the handler ended without an answer: the chain of causes.
    pub error: Option<String>,
}

impl Report {
    /// The report as a function answers it.
    #[must_use]
    pub fn answer(&self) -> Value {
        json!({ "dryRun": self })
    }

    /// Reads what a function has answered; `None` where that is no report.
    #[must_use]
    pub fn read_from(answer: &Value) -> Option<Self> {
        Self::deserialize(answer.get("dryRun")?).ok()
    }
}

/// What may be told of an answer: its JSON type, and its status where it is a function URL's.
#[must_use]
pub fn sort_of(answer: &Value) -> Value {
    match (kind_of(answer), answer.get("statusCode")) {
        ("null", _) => Value::Null,
        (kind, Some(status)) if status.is_number() => json!({"type": kind, "statusCode": status}),
        (kind, _) => json!({ "type": kind }),
    }
}

/// What may be told of an error's chain of causes: no links, and not at any length.
#[must_use]
pub fn told_of(error: &str) -> String {
    let linkless = error.split_inclusive(char::is_whitespace).map(|word| {
        let plain = word.to_ascii_lowercase();
        let links = ["http://", "https://"].iter().filter_map(|scheme| plain.find(scheme));
        match links.min() {
            Some(start) => format!("{}(a link) ", word.get(..start).unwrap_or_default()),
            None => word.to_owned(),
        }
    });
    linkless
        .collect::<String>()
        .trim_end()
        .chars()
        .take(CHARS_MAX)
        .collect()
}

/// What came of invoking a version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Invocation {
    /// Whether the function failed: Lambda's `FunctionError`, `Unhandled` for one.
    pub function_error: Option<String>,
    /// What it answered, or what Lambda says of its failure: `errorType` and `errorMessage`.
    pub payload: Value,
}

/// What a version should answer.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The version that was to be run.
    pub version: &'a str,
    /// What may be held: the calls by which the function changes anything.
    pub held: &'a [&'a str],
    /// What may be refused.
    pub refused: &'a [&'a str],
}

/// Why a version gets no traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The process or the handler failed instead of answering.
    Crashed {
        /// The error's type, or Lambda's word for it.
        kind: String,
        /// What Lambda says of it.
        message: String,
    },
    /// The answer is no dry run's; it is of this JSON type.
    NoReport(&'static str),
    /// Another version has answered.
    OtherVersion {
        /// The one that should.
        expected: String,
        /// The one that did.
        answered: String,
    },
    /// AWS refuses a call that the function makes.
    Refused(String),
    /// The function would do what it has no business with.
    Unexpected(String),
    /// The handler failed, and not for what was held.
    Failed(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crashed { kind, message } => {
                write!(
                    f,
                    "it ended with `{kind}` instead of answering: {message}; see the version's log"
                )
            }
            Self::NoReport(kind) => write!(f, "it knows no dry run: it answered with JSON of type {kind}"),
            Self::OtherVersion { expected, answered } => {
                write!(
                    f,
                    "version `{answered}` has answered where version `{expected}` was invoked"
                )
            }
            Self::Refused(operation) => {
                write!(
                    f,
                    "AWS refuses `{operation}`: add the permission to the function's role"
                )
            }
            Self::Unexpected(operation) => write!(
                f,
                "it would call `{operation}`, which is not among the calls that are expected of it: add that to the samples of \
                 check-version if it is meant"
            ),
            Self::Failed(error) => write!(f, "the handler failed, and not for what was held back: {error}"),
        }
    }
}

/// Why the version gets no traffic; nothing, where it may have it.
#[must_use]
pub fn judge(expected: Expected<'_>, invocation: &Invocation) -> Vec<Fault> {
    let payload = &invocation.payload;
    if let Some(kind) = &invocation.function_error {
        let text = |name: &str| payload.get(name).and_then(Value::as_str);
        return vec![Fault::Crashed {
            kind: text("errorType").unwrap_or(kind).to_owned(),
            message: told_of(text("errorMessage").unwrap_or("no message")),
        }];
    }
    let Some(report) = Report::read_from(payload) else {
        return vec![Fault::NoReport(kind_of(payload))];
    };
    let mut faults = Vec::new();
    if report.version != expected.version {
        let (expected, answered) = (expected.version.to_owned(), report.version.clone());
        faults.push(Fault::OtherVersion { expected, answered });
    }
    let not_in = |known: &[&str], operation: &&String| !known.contains(&operation.as_str());
    let refused = report
        .refused
        .iter()
        .filter(|operation| not_in(expected.refused, operation));
    faults.extend(refused.cloned().map(Fault::Refused));
    let held = report.held.iter().filter(|operation| not_in(expected.held, operation));
    faults.extend(held.cloned().map(Fault::Unexpected));
    if let Some(error) = &report.error {
        // A call that was held back fails with that code, and the chain of causes leads to it.
        let by_holding = !report.held.is_empty() && error.contains(&format!(": {HELD}: "));
        // What is refused has been told, or is expected.
        let by_refusal = report
            .refused
            .iter()
            .any(|refused| error.contains(&format!("{refused}: ")));
        if !by_holding && !by_refusal {
            faults.push(Fault::Failed(told_of(error)));
        }
    }
    faults
}

/// The JSON type.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests;
