//! An HTTP client for the SDK that answers from a list and writes down what it was asked, for the tests of the adapters: so a test
//! sees what goes over the wire, in the protocol of the service, and nothing goes out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// What the service answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// That it has done it: the output, in JSON or CBOR as the request is.
    Output(Value),
    /// That it has done it: the body as it is, XML or an object's content.
    Text(String),
    /// That the function that it invoked has failed: what Lambda says of that.
    FunctionError(String),
    /// That it has not: the status, the error's code and its message, in the protocol of the request.
    Refusal(u16, &'static str, String),
}

/// An output.
pub(crate) fn output(members: Value) -> Answer {
    Answer::Output(members)
}

/// A body as it is.
pub(crate) fn text(body: impl Into<String>) -> Answer {
    Answer::Text(body.into())
}

/// A refusal with status 400.
pub(crate) fn refusal(code: &'static str, message: &str) -> Answer {
    Answer::Refusal(400, code, message.to_owned())
}

/// Seconds since the epoch, as the answers of JSON services have them; [`time`] is the same.
pub(crate) const SECONDS: f64 = 1_774_000_000.5;

/// [`SECONDS`] as the ports return it.
pub(crate) fn time() -> Timestamp {
    "2026-03-20T09:46:40.5Z".parse().unwrap()
}

/// The `Date` of every answer, which [`time`] is half a second after.
const DATE: &str = "Fri, 20 Mar 2026 09:46:40 GMT";

/// The client.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Recorded {
    /// A client that gives these answers, one a request.
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            requests: Arc::default(),
        }
    }

    /// The configuration of an SDK client that asks here, and asks once.
    pub(crate) fn sdk(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys(
                "AKID", "secret", None,
            )))
            .http_client(self.clone())
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .stalled_stream_protection(aws_config::stalled_stream_protection::StalledStreamProtectionConfig::disabled())
            .build()
    }

    /// The requests as texts, in their order.
    ///
    /// # Panics
    /// Where an answer was not asked for.
    pub(crate) fn requests(&self) -> String {
        let left = self.answers.lock().unwrap().len();
        assert_eq!(left, 0, "answers that nothing has asked for");
        self.requests.lock().unwrap().join("\n\n")
    }
}

impl HttpConnector for Recorded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let described = describe(&request);
        let answer = self.answers.lock().unwrap().pop_front();
        let Some(answer) = answer else {
            panic!("no answer is left for\n{described}");
        };
        self.requests.lock().unwrap().push(described);
        HttpConnectorFuture::ready(respond(Protocol::of(&request), answer))
    }
}

impl HttpClient for Recorded {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// How a service talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Json,
    Cbor,
    Query,
    RestXml,
}

impl Protocol {
    fn of(request: &HttpRequest) -> Self {
        let headers = request.headers();
        let form = |kind: &str| kind.contains("form-urlencoded");
        if headers.get("smithy-protocol") == Some("rpc-v2-cbor") {
            Self::Cbor
        } else if headers.get("x-amz-target").is_some() || request.uri().contains("/2015-03-31/functions/") {
            // Lambda has JSON too, under addresses.
            Self::Json
        } else if headers.get("content-type").is_some_and(form) {
            Self::Query
        } else {
            Self::RestXml
        }
    }
}

/// The request as a text: what is asked, and the body in lines. Where an order means nothing, it is the alphabet's.
fn describe(request: &HttpRequest) -> String {
    let uri: http::Uri = request.uri().parse().unwrap();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let target = request.headers().get("x-amz-target").map(|target| format!(" {target}"));
    let body = request.body().bytes().unwrap();
    let body = match Protocol::of(request) {
        Protocol::Json => pretty(serde_json::from_slice(body).unwrap()),
        Protocol::Cbor => pretty(cbor::decode(body)),
        Protocol::Query => form(std::str::from_utf8(body).unwrap()),
        Protocol::RestXml => String::from_utf8(body.to_vec()).unwrap(),
    };
    let line = format!("{} {path}{}", request.method(), target.unwrap_or_default());
    if body.is_empty() {
        line
    } else {
        format!("{line}\n{body}")
    }
}

fn respond(protocol: Protocol, answer: Answer) -> Result<HttpResponse, ConnectorError> {
    let failed = matches!(answer, Answer::FunctionError(_));
    let (status, body) = match (answer, protocol) {
        (Answer::Text(body) | Answer::FunctionError(body), _) => (200, body.into_bytes()),
        (Answer::Output(value), Protocol::Json) => (200, value.to_string().into_bytes()),
        (Answer::Output(value), Protocol::Cbor) => (200, cbor::encode(&value)),
        (Answer::Output(_), Protocol::Query | Protocol::RestXml) => panic!("services that answer in XML need the text"),
        (Answer::Refusal(status, code, message), protocol) => (status, refused(protocol, code, &message)),
    };
    let mut response = http::Response::builder().status(status).header("date", DATE);
    if protocol == Protocol::Cbor {
        response = response.header("smithy-protocol", "rpc-v2-cbor");
    }
    if failed {
        response = response.header("x-amz-function-error", "Unhandled");
    }
    let response = response.body(SdkBody::from(body)).unwrap();
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}

fn refused(protocol: Protocol, code: &str, message: &str) -> Vec<u8> {
    let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    match protocol {
        Protocol::Json => json!({"__type": code, "message": message}).to_string().into_bytes(),
        Protocol::Cbor => cbor::encode(&json!({"__type": format!("com.amazonaws#{code}"), "message": message})),
        Protocol::Query => format!("<ErrorResponse>{error}</ErrorResponse>").into_bytes(),
        Protocol::RestXml => error.into_bytes(),
    }
}

fn pretty(value: Value) -> String {
    serde_json::to_string_pretty(&sorted(value)).unwrap()
}

/// The SDK writes its hash maps in any order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by(|(name, _), (other, _)| name.cmp(other));
            Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (name, sorted(value)))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        value => value,
    }
}

/// A form's fields, one a line.
fn form(body: &str) -> String {
    let field = |field: &str| {
        let (name, value) = field.split_once('=').unwrap();
        format!("{} = {}", plain(name), plain(value))
    };
    body.split('&').map(field).collect::<Vec<_>>().join("\n")
}

/// Undoes the percent-encoding.
fn plain(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}

/// As much of CBOR (RFC 8949) as the calls of the adapters are written in.
mod cbor {
    use serde_json::{Map, Value};

    const BREAK: u8 = 0xff;

    pub(super) fn decode(mut bytes: &[u8]) -> Value {
        let value = value(&mut bytes);
        assert!(bytes.is_empty(), "bytes after the CBOR value");
        value
    }

    fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(count);
        *bytes = rest;
        taken
    }

    fn value(bytes: &mut &[u8]) -> Value {
        let first = take(bytes, 1)[0];
        let low = first & 0x1f;
        let argument = match low {
            0..=23 => Some(usize::from(low)),
            24..=27 => {
                let number = take(bytes, 1 << (low - 24));
                Some(number.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
            }
            31 => None,
            _ => panic!("a reserved CBOR head {first:#04x}"),
        };
        let more = |bytes: &mut &[u8], read: usize| match argument {
            Some(length) => read < length,
            None if bytes[0] == BREAK => {
                take(bytes, 1);
                false
            }
            None => true,
        };
        match (first >> 5, argument) {
            (0, Some(number)) => Value::from(number),
            (3, Some(length)) => Value::from(std::str::from_utf8(take(bytes, length)).unwrap()),
            (4, _) => {
                let mut values = Vec::new();
                while more(bytes, values.len()) {
                    values.push(value(bytes));
                }
                Value::Array(values)
            }
            (5, _) => {
                let mut members = Map::new();
                while more(bytes, members.len()) {
                    let name = value(bytes).as_str().unwrap().to_owned();
                    members.insert(name, value(bytes));
                }
                Value::Object(members)
            }
            (7, Some(20)) => Value::Bool(false),
            (7, Some(21)) => Value::Bool(true),
            _ => panic!("no call of the adapters has the CBOR head {first:#04x}"),
        }
    }

    pub(super) fn encode(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(value, &mut bytes);
        bytes
    }

    fn head(major: u8, argument: usize, bytes: &mut Vec<u8>) {
        let argument = u32::try_from(argument).unwrap();
        bytes.push(major << 5 | 26);
        bytes.extend(argument.to_be_bytes());
    }

    fn write(value: &Value, bytes: &mut Vec<u8>) {
        match value {
            // All the floats in an answer are times: seconds since the epoch, tagged so.
            Value::Number(number) if number.is_f64() => {
                bytes.extend([0xc1, 0xfb]);
                bytes.extend(number.as_f64().unwrap().to_be_bytes());
            }
            Value::Number(number) => {
                head(0, usize::try_from(number.as_u64().unwrap()).unwrap(), bytes);
            }
            Value::String(text) => {
                head(3, text.len(), bytes);
                bytes.extend(text.as_bytes());
            }
            Value::Array(values) => {
                head(4, values.len(), bytes);
                values.iter().for_each(|value| write(value, bytes));
            }
            Value::Object(members) => {
                head(5, members.len(), bytes);
                for (name, value) in members {
                    write(&Value::from(name.as_str()), bytes);
                    write(value, bytes);
                }
            }
            other => panic!("no answer to the adapters has {other}"),
        }
    }
}
