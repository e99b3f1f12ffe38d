//! The log: a line of JSON for each thing that is said, with what it is about on top.
//!
//! What a line is about is known before and beside it: the invocation and the model from the start, the release and the version as
//! soon as the handler has learnt them, which it says once, by [`release`] and the like. Every line after that bears it, those of
//! the metrics and of errors too, so that one query finds all that the nine functions have said of a release. What a line says
//! itself is stronger: it may be about another version than the one at hand.
//!
//! The fields of the current invocation are its task's; there is nothing global, and no I/O but the line.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};
use signalbox_model::lineage::Trigger;
use signalbox_model::names::{ModelPackageArn, ReleaseId};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::config::Environment;
use crate::dry_run;
use crate::memory::lock;

tokio::task_local! {
    static CURRENT: RefCell<Invocation>;
}

/// Whose log it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The function's name.
    pub function: String,
    /// Its version, `$LATEST` where it has none.
    pub function_version: String,
    /// The model that it works for.
    pub model: String,
}

impl Origin {
    /// As Lambda and the template say in the environment. What is missing there is empty: a log begins before the configuration is
    /// known to be right.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        let of = |name| environment.optional(name).unwrap_or_default().to_owned();
        Self {
            function: of("AWS_LAMBDA_FUNCTION_NAME"),
            function_version: of("AWS_LAMBDA_FUNCTION_VERSION"),
            model: of("MODEL_NAME"),
        }
    }
}

/// Lines that are kept instead of being written to the standard output: for tests.
pub type Lines = Arc<Mutex<Vec<String>>>;

/// The handling of one event, and what its lines are about.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    origin: Origin,
    request_id: String,
    about: About,
    lines: Option<Lines>,
}

/// What is learnt while an event is handled.
#[derive(Debug, Clone, Default)]
struct About {
    release: Option<String>,
    version: Option<u32>,
    trigger: Option<&'static str>,
    execution: Option<String>,
}

impl Invocation {
    /// The invocation with Lambda's request id.
    #[must_use]
    pub fn new(origin: &Origin, request_id: &str) -> Self {
        Self {
            origin: origin.clone(),
            request_id: request_id.to_owned(),
            ..Self::default()
        }
    }

    /// The version of the function, `$LATEST` where it has none.
    #[must_use]
    pub fn function_version(&self) -> &str {
        &self.origin.function_version
    }

    /// Keeps the lines there.
    #[must_use]
    pub fn kept(mut self, lines: &Lines) -> Self {
        self.lines = Some(Arc::clone(lines));
        self
    }

    /// The fields that every line has now.
    fn fields(&self) -> Map<String, Value> {
        let Self {
            origin,
            request_id,
            about,
            ..
        } = self;
        let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
        let fields = [
            ("requestId", text(request_id)),
            ("function", text(&origin.function)),
            ("functionVersion", text(&origin.function_version)),
            ("model", text(&origin.model)),
            ("release", about.release.as_deref().and_then(text)),
            ("version", about.version.map(Value::from)),
            ("trigger", about.trigger.and_then(text)),
            ("execution", about.execution.as_deref().and_then(text)),
        ];
        let known = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        known.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Handles an event: all lines of the future are the invocation's.
pub async fn within<F: Future>(invocation: Invocation, handling: F) -> F::Output {
    CURRENT.scope(RefCell::new(invocation), handling).await
}

/// From here on it is about that release (CodePipeline execution id), or about that rollback, which is one in its own pipeline.
pub fn release(release: &ReleaseId) {
    note(|about| about.release = Some(release.to_string()));
}

/// From here on it is about that version.
pub fn version(package: &ModelPackageArn) {
    version_number(package.version());
}

/// From here on it is about the version with that number. A release that was known before is of the version before.
pub fn version_number(version: u32) {
    note(|about| {
        if about.version.is_some_and(|before| before != version) {
            about.release = None;
        }
        about.version = Some(version);
    });
}

/// From here on it is about a training that this made start.
pub fn trigger(trigger: Trigger) {
    note(|about| about.trigger = Some(trigger.as_str()));
}

/// From here on it is about that training: a SageMaker pipeline execution, by its ARN.
pub fn execution(arn: &str) {
    note(|about| about.execution = Some(arn.to_owned()));
}

/// What was learnt is of something else than what comes now: a sweep looks at one after the other.
pub fn anew() {
    note(|about| *about = About::default());
}

/// Outside of an invocation there is nothing to note it on, as in a handler's tests.
fn note(learn: impl FnOnce(&mut About)) {
    let _ = CURRENT.try_with(|current| learn(&mut current.borrow_mut().about));
}

/// The fields of the current invocation; none outside of one.
#[must_use]
pub fn fields() -> Map<String, Value> {
    let current = CURRENT.try_with(|current| current.borrow().fields());
    let mut fields = current.unwrap_or_default();
    if dry_run::is_on() {
        fields.insert("dryRun".to_owned(), true.into());
    }
    fields
}

/// Writes a line, which ends without a line end, to where Lambda reads it, or where the invocation keeps its lines.
pub fn write(line: &str) {
    let kept = CURRENT.try_with(|current| current.borrow().lines.clone());
    match kept.ok().flatten() {
        Some(lines) => lock(&lines).push(line.to_owned()),
        None => println!("{line}"),
    }
}

/// What turns the events of `tracing` into lines; the level is `RUST_LOG`'s, or `info`; `RUST_LOG` may have one for each target. Lines
/// outside of an invocation are the origin's.
#[must_use]
pub fn subscriber(origin: &Origin) -> impl Subscriber + Send + Sync + use<> {
    let asked = std::env::var("RUST_LOG").ok();
    // Not `EnvFilter`, which could also look at spans and values: it brings an engine of regular expressions.
    let filter: Targets = asked
        .and_then(|asked| asked.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let outside = Invocation::new(origin, "").fields();
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Json { outside })
        .with_writer(|| Output);
    tracing_subscriber::registry().with(filter).with(lines)
}

/// Logs from now on, panics too: those would be lines of plain text.
pub fn begin(origin: &Origin) {
    // A second time, as in a test, the first one stays.
    let _ = tracing::subscriber::set_global_default(subscriber(origin));
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        tracing::error!(at, error = panic.payload_as_str(), "the function has panicked");
    }));
}

/// Where the formatted lines go.
struct Output;

impl io::Write for Output {
    /// Called once for each event, with its whole line.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(String::from_utf8_lossy(bytes).trim_end_matches('\n'));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Formats an event as a line of JSON.
struct Json {
    outside: Map<String, Value>,
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    // CloudWatch stamps every line with its own time.
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let mut fields = fields();
        if fields.is_empty() {
            fields.clone_from(&self.outside);
        }
        let line = Line {
            level: event.metadata().level().as_str(),
            target: event.metadata().target(),
            fields,
            said,
        };
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// A line, in the order in which people read it. No name is there twice.
struct Line<'a> {
    level: &'a str,
    target: &'a str,
    fields: Map<String, Value>,
    said: Said,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("level", self.level)?;
        if let Some(message) = &self.said.message {
            line.serialize_entry("message", message)?;
        }
        let stronger = |name: &String| self.said.fields.contains_key(name);
        for (name, value) in self.fields.iter().filter(|(name, _)| !stronger(name)) {
            line.serialize_entry(name, value)?;
        }
        for (name, value) in &self.said.fields {
            line.serialize_entry(name, value)?;
        }
        line.serialize_entry("target", self.target)?;
        line.end()
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: Option<String>,
    fields: Map<String, Value>,
}

impl Said {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        // Those of the line itself.
        let name = match field.name() {
            name @ ("level" | "target") => format!("{name}_"),
            name => name.to_owned(),
        };
        self.fields.insert(name, value.into());
    }
}

impl Visit for Said {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = Some(value.to_owned());
        } else {
            self.put(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests;
