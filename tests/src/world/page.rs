//! The function URLs, as those see them who open a link.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use local::cloud::effect::{EffectId, InvocationOutcome};
use serde_json::{Value, json};

use super::World;

/// What a function URL answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The document.
    pub body: String,
}

impl World {
    /// Opens a link: GET.
    ///
    /// # Errors
    /// Where the function URL does not answer.
    pub fn open(&mut self, link: &str) -> Result<(u16, String)> {
        let answer = self.request("GET", link, "")?;
        Ok((answer.status, answer.body))
    }

    /// Decides by the link as the page's form does: the same address, POST.
    ///
    /// # Errors
    /// Where the function URL does not answer.
    pub fn decide(&mut self, link: &str, decision: &str, comment: &str) -> Result<(u16, String)> {
        let comment = comment.replace(' ', "+");
        let answer = self.request("POST", link, &format!("decision={decision}&comment={comment}"))?;
        Ok((answer.status, answer.body))
    }

    /// Sends any request to a function URL; the body is a form's.
    ///
    /// # Errors
    /// Where the function URL does not answer.
    pub fn request(&mut self, method: &str, link: &str, body: &str) -> Result<Answer> {
        let id = self.send_request(method, link, body)?;
        self.answer(id).context("the page did not answer")?
    }

    /// Sends a request to a function URL and does not wait for the answer; [`answer`](Self::answer) has it later. The body is a form's.
    ///
    /// # Errors
    /// Where there is no such function URL.
    pub fn send_request(&mut self, method: &str, link: &str, body: &str) -> Result<EffectId> {
        let (path, query) = link.split_once('?').unwrap_or((link, ""));
        let function = path
            .split("/function-url/")
            .nth(1)
            .context("not a function URL")?
            .trim_matches('/')
            .to_owned();
        let now = self.cloud().now();
        let event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": query,
            "headers": {"content-type": "application/x-www-form-urlencoded", "host": "127.0.0.1:4566"},
            "requestContext": {
                "accountId": "anonymous", "apiId": "local", "domainName": "127.0.0.1:4566", "domainPrefix": "local",
                "http": {"method": method, "path": "/", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test"},
                "requestId": "request", "routeKey": "$default", "stage": "$default",
                "time": "02/Mar/2026:09:00:00 +0000", "timeEpoch": now.as_millisecond(),
            },
            "body": body, "isBase64Encoded": false,
        });
        let id = self.cloud().invoke_url(&function, event)?;
        self.settle()?;
        Ok(id)
    }

    /// What a function URL has answered, once it has: what the page shows, or why there is none.
    pub fn answer(&mut self, request: EffectId) -> Option<Result<Answer>> {
        let outcome = self.url_answers.remove(&request)?;
        Some(page(outcome))
    }
}

/// What a function URL's visitor gets.
fn page(outcome: InvocationOutcome) -> Result<Answer> {
    match outcome {
        InvocationOutcome::Answer(answer) => {
            let status = answer.get("statusCode").and_then(Value::as_u64).unwrap_or(200);
            let headers = answer.get("headers").cloned().unwrap_or_else(|| json!({}));
            let body = answer.get("body").and_then(Value::as_str).unwrap_or_default();
            Ok(Answer {
                status: u16::try_from(status)?,
                headers: serde_json::from_value(headers)?,
                body: body.to_owned(),
            })
        }
        other => bail!("the page did not answer: {other:?}"),
    }
}
