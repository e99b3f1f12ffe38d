//! What a function's configuration says of traces and logs.

use serde::Deserialize;

/// `TracingConfig`. Nothing is traced here, but the role is asked for what traces need.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Tracing {
    mode: Mode,
}

impl Tracing {
    /// Whether each run is traced.
    pub(super) fn is_active(self) -> bool {
        self.mode == Mode::Active
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Mode {
    Active,
    PassThrough,
}

/// `LoggingConfig`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Logging {
    log_format: Option<Format>,
    log_group: Option<String>,
    application_log_level: Option<Level>,
    #[serde(rename = "SystemLogLevel")]
    _system_log_level: Option<Level>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Format {
    Text,
    #[serde(rename = "JSON")]
    Json,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

impl Logging {
    /// The log group of the function of that name.
    pub(super) fn group(&self, function: &str) -> String {
        self.log_group
            .clone()
            .unwrap_or_else(|| format!("/aws/lambda/{function}"))
    }

    /// The variables by which Lambda tells a runtime how to log: the format where it was chosen, the level where the format is JSON.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let format = self.log_format.map(|format| match format {
            Format::Text => "Text",
            Format::Json => "JSON",
        });
        let level = self.application_log_level.map(Level::name);
        let level = level.filter(|_| self.log_format == Some(Format::Json));
        [("AWS_LAMBDA_LOG_FORMAT", format), ("AWS_LAMBDA_LOG_LEVEL", level)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect()
    }
}
