//! Lambda's REST: `/2015-03-31/functions/NAME/…`.

use bytes::Bytes;
use http::{Method, Request, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::{Answer, Backend, access_key, header};
use crate::cloud::effect::{InvocationOutcome, Invoke};
use crate::cloud::{ApiError, Cloud, Service, Started};

/// The headers of `Invoke` that are members of its input.
const HEADERS: [(&str, &str); 5] = [
    ("x-amz-invocation-type", "InvocationType"),
    ("x-amz-log-type", "LogType"),
    ("x-amz-client-context", "ClientContext"),
    ("x-amz-durable-execution-name", "DurableExecutionName"),
    ("x-amz-tenant-id", "TenantId"),
];

/// A call that waits for a function.
#[derive(Debug)]
pub struct Pending {
    /// What is to be run. It is not among the cloud's effects.
    pub invoke: Invoke,
}

impl Pending {
    /// Tells the cloud what came of the invocation, and gives the response to the call.
    #[must_use]
    pub fn finish(self, cloud: &mut Cloud, outcome: InvocationOutcome) -> Response<Bytes> {
        let Invoke {
            id,
            version,
            request_id,
            ..
        } = self.invoke;
        let (payload, is_error) = payload(&request_id, &outcome);
        let mut answer = Answer::new(200, "application/json", payload.to_string());
        answer = answer.header("x-amz-executed-version", &version);
        if is_error {
            answer = answer.header("x-amz-function-error", "Unhandled");
        }
        cloud.finish_invocation(id, outcome);
        answer.response(cloud.now(), request_id)
    }
}

/// What a caller sees of an outcome, and whether it is an error.
fn payload(request_id: &str, outcome: &InvocationOutcome) -> (Value, bool) {
    let error = |kind: &str, message: String| (json!({"errorType": kind, "errorMessage": message}), true);
    match outcome {
        InvocationOutcome::Answer(answer) => (answer.clone(), false),
        InvocationOutcome::Error { kind, message } => error(kind, message.clone()),
        InvocationOutcome::Killed(reason) => {
            let kind = if reason.contains("timed out") {
                "Sandbox.Timedout"
            } else {
                "Runtime.ExitError"
            };
            error(kind, format!("RequestId: {request_id} Error: {reason}"))
        }
    }
}

/// Answers one request, unless a function has to run first.
pub(super) fn call(backend: &mut impl Backend, request: &Request<Bytes>) -> Result<Answer, Box<Pending>> {
    match answered(backend, request) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(pending)) => Err(pending),
        Err(error) => Ok(refusal(&error)),
    }
}

fn refusal(error: &ApiError) -> Answer {
    let who = if error.status < 500 { "User" } else { "Service" };
    let body = json!({"Type": who, "Message": error.message}).to_string();
    Answer::new(error.status, "application/json", body).header("x-amzn-errortype", &error.code)
}

fn answered(backend: &mut impl Backend, request: &Request<Bytes>) -> Result<Result<Answer, Box<Pending>>, ApiError> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let path = request.uri().path().trim_start_matches('/');
    let parts: Vec<String> = path.split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let key = access_key(request)?;
    match (request.method(), parts.as_slice()) {
        (&Method::POST, ["2015-03-31", "functions", name, "invocations"]) => {
            let mut input = Map::new();
            input.insert("FunctionName".to_owned(), json!(name));
            let query = request.uri().query().unwrap_or_default();
            let qualifier = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "Qualifier");
            if let Some((_, qualifier)) = qualifier {
                input.insert("Qualifier".to_owned(), json!(qualifier));
            }
            for (name, member) in HEADERS {
                let value = header(request, name);
                if !value.is_empty() {
                    input.insert(member.to_owned(), json!(value));
                }
            }
            Ok(match backend.invoke(&key, &Value::Object(input), request.body())? {
                Started::Checked => Ok(status(204)),
                Started::Accepted => Ok(status(202)),
                Started::Run(invoke) => Err(Box::new(Pending { invoke })),
            })
        }
        (&Method::GET, ["2015-03-31", "functions", name, "aliases", alias]) => {
            let input = json!({"FunctionName": name, "Name": alias});
            let answer = backend.call(&key, Service::Lambda, "GetAlias", &input)?;
            Ok(Ok(Answer::new(200, "application/json", answer.to_string())))
        }
        (method, _) => {
            let message = format!(
                "The local cloud answers Invoke and GetAlias, not {method} {}.",
                request.uri().path()
            );
            let error = ApiError::new("UnknownOperationException", message);
            Err(ApiError { status: 404, ..error })
        }
    }
}

fn status(status: u16) -> Answer {
    Answer {
        status,
        ..Answer::empty()
    }
}
