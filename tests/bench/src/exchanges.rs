//! An event, and what AWS answers to the calls for it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

/// What is replayed for one function. Kept by `tests/tests/exchanges.rs`.
#[derive(Debug, Clone, Deserialize)]
pub struct Replayed {
    /// The function's environment.
    pub environment: BTreeMap<String, String>,
    /// The event.
    pub event: Value,
    /// The calls, in the order in which they were made.
    pub calls: Vec<Call>,
}

/// A call and its answer.
#[derive(Debug, Clone, Deserialize)]
pub struct Call {
    /// What is sent.
    pub request: Request,
    /// What comes back.
    pub response: Response,
}

/// What is sent, without what differs each time: signature, date, length.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    /// `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers that say what is asked for.
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(flatten)]
    pub body: Body,
}

/// What comes back.
#[derive(Debug, Clone, Deserialize)]
pub struct Response {
    /// 200.
    pub status: u16,
    /// The headers that the SDK reads.
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(flatten)]
    pub body: Body,
}

/// A body.
#[derive(Debug, Clone, Deserialize)]
pub enum Body {
    /// As it is.
    #[serde(rename = "text")]
    Text(String),
    /// What is no text.
    #[serde(rename = "base64")]
    Base64(String),
}

impl Body {
    /// The bytes.
    ///
    /// # Errors
    /// Where the file has something else than base64.
    pub fn bytes(&self) -> Result<Bytes> {
        match self {
            Self::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Self::Base64(text) => Ok(BASE64_STANDARD.decode(text).context("base64")?.into()),
        }
    }
}

impl Call {
    /// What the call is known by: the operation, or the method and the path where the protocol has it there.
    #[must_use]
    pub fn key(&self) -> String {
        let target = self.request.headers.get("x-amz-target").map(String::as_str);
        key(&self.request.method, &self.request.path, target)
    }
}

/// What a request is known by: not by its query, in which the SDK names the operation for S3.
#[must_use]
pub fn key(method: &str, path: &str, target: Option<&str>) -> String {
    match target {
        Some(target) => target.to_owned(),
        None => format!("{method} {}", path.split('?').next().unwrap_or(path)),
    }
}

/// What is replayed for that function.
///
/// # Errors
/// Where the file is not there or can't be read.
pub fn of(function: &str) -> Result<Replayed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("exchanges/{function}.snap"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    // A snapshot begins with a head of its own.
    let body = text.splitn(3, "---\n").nth(2).context("no snapshot")?;
    serde_json::from_str(body).with_context(|| path.display().to_string())
}

/// The functions for which something is kept.
///
/// # Errors
/// Where the directory can't be read.
pub fn functions() -> Result<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("exchanges");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&path).with_context(|| path.display().to_string())? {
        let name = entry?.file_name();
        names.extend(
            name.to_str()
                .and_then(|name| name.strip_suffix(".snap"))
                .map(str::to_owned),
        );
    }
    names.sort();
    Ok(names)
}
