//! AWS's wire protocols: one HTTP request becomes one call of the cloud, and what the cloud says becomes the answer.
//!
//! JSON 1.0 and 1.1 (`X-Amz-Target`), RPC v2 CBOR, the query protocol with XML answers, S3's REST, path style, and Lambda's. All of
//! them meet in [`Value`]s as the JSON protocols have them: timestamps are epoch seconds, blobs base64 strings. Signatures aren't
//! verified: the access key alone says who calls.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Map, Value, json};

use crate::cloud::{ApiError, Cloud, Service, Started};
use crate::shapes::{self, MODELLED, Model, Operation};

mod cbor;
mod chunked;
mod lambda;
mod query;
mod s3;
mod xml;

pub use self::lambda::Pending;

/// What is to be done about a request.
#[derive(Debug)]
pub enum Routed {
    /// It is answered.
    Answer(Response<Bytes>),
    /// It waits for a function (Lambda's `Invoke`, `RequestResponse`): the front end runs [`Pending::invoke`], and has the answer from
    /// [`Pending::finish`]. The cloud must not be locked meanwhile, as the function makes calls of its own.
    Invoke(Box<Pending>),
}

/// Takes one request to an AWS API: whatever the request holds, it comes to a response, for which a function may have to run first.
///
/// ```
/// # use std::sync::Mutex;
/// # use local::cloud::Cloud;
/// # use local::cloud::effect::{InvocationOutcome, Invoke};
/// # use local::wire::{self, Routed};
/// # type Request = http::Request<bytes::Bytes>;
/// # type Response = http::Response<bytes::Bytes>;
/// fn answer(cloud: &Mutex<Cloud>, request: Request, mut run: impl FnMut(Invoke) -> InvocationOutcome) -> Option<Response> {
///     // Unlocked again before the function runs.
///     let routed = wire::route(&mut *cloud.lock().ok()?, request);
///     Some(match routed {
///         Routed::Answer(response) => response,
///         Routed::Invoke(pending) => {
///             let outcome = run(pending.invoke.clone());
///             pending.finish(&mut *cloud.lock().ok()?, outcome)
///         }
///     })
/// }
/// ```
pub fn route(cloud: &mut Cloud, request: Request<Bytes>) -> Routed {
    routed(cloud, &request)
}

/// What the protocols need of the cloud.
trait Backend {
    /// The time to put on answers.
    fn now(&self) -> Timestamp;
    /// An id for a request.
    fn request_id(&mut self) -> String;
    /// One call by the owner of the access key.
    fn call(&mut self, access_key: &str, service: Service, operation: &str, input: &Value) -> Result<Value, ApiError>;
    /// Lambda's `Invoke` by the owner of the access key.
    fn invoke(&mut self, access_key: &str, input: &Value, payload: &[u8]) -> Result<Started, ApiError>;
}

impl Backend for Cloud {
    fn now(&self) -> Timestamp {
        Cloud::now(self)
    }

    fn request_id(&mut self) -> String {
        self.uuid()
    }

    fn call(&mut self, access_key: &str, service: Service, operation: &str, input: &Value) -> Result<Value, ApiError> {
        let caller = self.caller_of(access_key);
        Cloud::call(self, &caller, service, operation, input)
    }

    fn invoke(&mut self, access_key: &str, input: &Value, payload: &[u8]) -> Result<Started, ApiError> {
        let caller = self.caller_of(access_key);
        self.invoke_function(&caller, input, payload)
    }
}

/// What an answer is made of before the headers that every answer has.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Answer {
    fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE.as_str().to_owned(), content_type.to_owned())],
            body: body.into(),
        }
    }

    /// A success that says nothing.
    fn empty() -> Self {
        Self {
            status: 200,
            ..Self::default()
        }
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The response, with the headers that every answer has.
    fn response(self, now: Timestamp, request_id: String) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            // A value that HTTP can't carry is left out rather than the whole answer.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        let date = DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&now)
            .unwrap_or_default();
        for (name, value) in [(DATE, date), (HeaderName::from_static("x-amzn-requestid"), request_id)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// A request's protocol, and the operation where the head already names it.
enum Protocol<'a> {
    Json {
        target: &'a str,
    },
    Cbor {
        service: &'a str,
        operation: &'a str,
    },
    Query {
        parameters: &'a [u8],
    },
    S3,
    Lambda,
    /// Another service's REST, or nothing at all.
    Unknown,
}

fn routed(backend: &mut impl Backend, request: &Request<Bytes>) -> Routed {
    let request_id = backend.request_id();
    let protocol = protocol(request);
    let answer = match protocol {
        Protocol::Json { target } => json_call(backend, request, target),
        Protocol::Cbor { service, operation } => cbor_call(backend, request, service, operation),
        Protocol::Query { parameters } => query_call(backend, request, parameters, &request_id),
        Protocol::S3 => s3::call(backend, request, &request_id),
        Protocol::Lambda => match lambda::call(backend, request) {
            Ok(answer) => answer,
            Err(pending) => return Routed::Invoke(pending),
        },
        Protocol::Unknown => {
            let message = format!(
                "No API of the local cloud answers {} {}.",
                request.method(),
                request.uri().path()
            );
            json_refusal(&ApiError {
                status: 404,
                ..ApiError::new("UnknownOperationException", message)
            })
        }
    };
    Routed::Answer(answer.response(backend.now(), request_id))
}

/// A header's text, empty where the request has none.
fn header<'a>(request: &'a Request<Bytes>, name: &str) -> &'a str {
    request
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn protocol(request: &Request<Bytes>) -> Protocol<'_> {
    let target = header(request, "x-amz-target");
    if !target.is_empty() {
        return Protocol::Json { target };
    }
    if header(request, "smithy-protocol") == "rpc-v2-cbor" {
        let mut parts = request.uri().path().trim_start_matches('/').split('/');
        let (service, name) = match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("service"), Some(service), Some("operation"), Some(name), None) => (service, name),
            _ => return Protocol::Unknown,
        };
        return Protocol::Cbor {
            service,
            operation: name,
        };
    }
    let scope = credential(request).map(|credential| credential.service);
    // A payload is of whatever type its sender says.
    if scope.as_deref() == Some("lambda") {
        return Protocol::Lambda;
    }
    if header(request, "content-type").starts_with("application/x-www-form-urlencoded")
        && scope.as_deref() != Some("s3")
    {
        return Protocol::Query {
            parameters: request.body(),
        };
    }
    let parameters = request.uri().query().unwrap_or_default();
    if request.method() == Method::GET && parameters.split('&').any(|part| part.starts_with("Action=")) {
        return Protocol::Query {
            parameters: parameters.as_bytes(),
        };
    }
    match scope.as_deref() {
        None | Some("s3") => Protocol::S3,
        Some(_) => Protocol::Unknown,
    }
}

/// What a signature says of its signer.
#[derive(Debug, PartialEq, Eq)]
struct Credential {
    access_key: String,
    /// As in signatures: `sns`, `monitoring`.
    service: String,
}

/// The credential of the signature, in the header or (for a presigned URL) in the query.
fn credential(request: &Request<Bytes>) -> Option<Credential> {
    let text = match header(request, AUTHORIZATION.as_str()).split_once("Credential=") {
        Some((_, rest)) => rest.split([',', ' ']).next().unwrap_or_default().to_owned(),
        None => form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
            .find(|(name, _)| name == "X-Amz-Credential")
            .map(|(_, value)| value.into_owned())?,
    };
    // An access key has no slash, but what a person sets as one may.
    let mut parts = text.rsplitn(5, '/').skip(1);
    let (service, _region, _date, access_key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (access_key, service) = (access_key.to_owned(), service.to_owned());
    Some(Credential { access_key, service })
}

/// The signer's access key, or the refusal of a request that nobody signed.
fn access_key(request: &Request<Bytes>) -> Result<String, ApiError> {
    credential(request)
        .map(|credential| credential.access_key)
        .ok_or_else(|| ApiError {
            status: 403,
            ..ApiError::new("MissingAuthenticationTokenException", "Missing Authentication Token")
        })
}

/// The service that `X-Amz-Target` or an RPC path means.
fn by_target(prefix: &str) -> Option<(Service, &'static Model)> {
    MODELLED
        .iter()
        .filter_map(|service| Some((*service, shapes::model(*service)?)))
        .find(|(_, model)| model.target_prefix.as_deref() == Some(prefix))
}

fn unknown_service(name: &str) -> ApiError {
    let message = format!("No API of the local cloud is called {name}.");
    ApiError {
        status: 404,
        ..ApiError::new("UnknownOperationException", message)
    }
}

fn serialization(message: impl Into<String>) -> ApiError {
    ApiError::new("SerializationException", message)
}

/// The operation of that name.
fn operation<'m>(service: Service, model: &'m Model, name: &str) -> Result<&'m Operation, ApiError> {
    model
        .operation(name)
        .ok_or_else(|| shapes::unknown_operation(service, name))
}

fn json_call(backend: &mut impl Backend, request: &Request<Bytes>, target: &str) -> Answer {
    let mut answered = || {
        let (prefix, name) = target.rsplit_once('.').unwrap_or((target, ""));
        let (service, model) = by_target(prefix).ok_or_else(|| unknown_service(prefix))?;
        let operation = operation(service, model, name)?;
        let input = if request.body().is_empty() {
            Value::Object(Map::new())
        } else {
            serde_json::from_slice(request.body())
                .map_err(|error| serialization(format!("The body is not JSON: {error}")))?
        };
        let output = backend.call(&access_key(request)?, service, name, &input)?;
        if operation.output.is_none() {
            return Ok(Answer::empty());
        }
        let output = if output.is_null() {
            Value::Object(Map::new())
        } else {
            output
        };
        let version = if model.json_1_0 {
            "application/x-amz-json-1.0"
        } else {
            "application/x-amz-json-1.1"
        };
        Ok(Answer::new(200, version, output.to_string()))
    };
    answered().unwrap_or_else(|error| json_refusal(&error))
}

fn json_refusal(error: &ApiError) -> Answer {
    let body = json!({"__type": error.code, "message": error.message}).to_string();
    Answer::new(error.status, "application/x-amz-json-1.1", body).header("x-amzn-errortype", &error.code)
}

fn cbor_call(backend: &mut impl Backend, request: &Request<Bytes>, prefix: &str, name: &str) -> Answer {
    let found = by_target(prefix).ok_or_else(|| unknown_service(prefix));
    let mut answered = || {
        let (service, model) = found.clone()?;
        let operation = operation(service, model, name)?;
        let input = if request.body().is_empty() {
            Value::Object(Map::new())
        } else {
            cbor::decode(request.body()).map_err(serialization)?
        };
        let output = backend.call(&access_key(request)?, service, name, &input)?;
        let Some(shape) = operation.output else {
            return Ok(Answer::empty());
        };
        let output = if output.is_null() {
            Value::Object(Map::new())
        } else {
            output
        };
        Ok(Answer::new(
            200,
            "application/cbor",
            cbor::encode(model, shape, &output),
        ))
    };
    let answer = answered().unwrap_or_else(|error: ApiError| {
        let namespace = found.as_ref().map_or("local", |(service, _)| service.prefix());
        let kind = format!("com.amazonaws.{namespace}#{}", error.code);
        let body = cbor::encode_plain(&json!({"__type": kind, "message": error.message}));
        Answer::new(error.status, "application/cbor", body)
    });
    answer.header("smithy-protocol", "rpc-v2-cbor")
}

fn query_call(backend: &mut impl Backend, request: &Request<Bytes>, parameters: &[u8], request_id: &str) -> Answer {
    let mut namespace = "";
    let mut answered = || {
        // This protocol has another name for a request that nobody signed.
        let credential = credential(request).ok_or_else(|| ApiError {
            status: 403,
            ..ApiError::new("MissingAuthenticationToken", "Request is missing Authentication Token")
        })?;
        let service = match credential.service.as_str() {
            "sns" => Service::Sns,
            "sts" => Service::Sts,
            "monitoring" => Service::CloudWatch,
            other => return Err(unknown_service(other)),
        };
        let model = shapes::model(service).ok_or_else(|| unknown_service(service.prefix()))?;
        namespace = model.xml_namespace.as_deref().unwrap_or_default();
        let form = query::parse(parameters).map_err(|message| ApiError::new("MalformedQueryString", message))?;
        if form.action.is_empty() {
            return Err(ApiError::new(
                "MissingAction",
                "The request must contain the parameter Action.",
            ));
        }
        let known = model
            .operation(&form.action)
            .filter(|_| form.version == model.api_version);
        let operation = known.ok_or_else(|| {
            let message = format!("Could not find operation {} for version {}", form.action, form.version);
            ApiError::new("InvalidAction", message)
        })?;
        let input = form.input(model, operation);
        let output = backend.call(&credential.access_key, service, &form.action, &input)?;
        Ok(query::answer(model, &form.action, operation, &output, request_id))
    };
    match answered() {
        Ok(xml) => Answer::new(200, "text/xml", xml),
        Err(ApiError { code, message, status }) => Answer::new(
            status,
            "text/xml",
            query::refusal(namespace, &code, &message, status, request_id),
        ),
    }
}

/// The answer's length, for an answer whose body stays away.
fn with_length(answer: Answer, length: u64) -> Answer {
    answer.header(CONTENT_LENGTH.as_str(), &length.to_string())
}

#[cfg(test)]
mod tests;
