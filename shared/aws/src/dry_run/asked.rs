//! What a request asks for, by what goes over the wire, and whether that only reads.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

/// What the names of operations that only read begin with.
const READING: [&str; 5] = ["BatchGet", "Describe", "Get", "Head", "List"];

/// An operation of a service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// By its name in IAM: `cloudwatch`.
    service: String,
    operation: Operation,
}

#[derive(Debug, PartialEq, Eq)]
enum Operation {
    /// By the name that it has over the wire.
    Named(String),
    /// One of S3's, which are told apart by method and address, with as much of a name as the SDK gives it.
    Object { reads: bool, name: String },
    /// Something else.
    Unknown(String),
}

impl Asked {
    /// Reads a request as the SDK signs it.
    pub(super) fn by(request: &HttpRequest) -> Self {
        let service = signed_for(request).unwrap_or("unknown").to_owned();
        let operation = operation(&service, request);
        Self { service, operation }
    }

    /// `sns:Publish`.
    pub(super) fn name(&self) -> String {
        let (Operation::Named(operation) | Operation::Object { name: operation, .. } | Operation::Unknown(operation)) =
            &self.operation;
        format!("{}:{operation}", self.service)
    }

    /// Whether it changes nothing.
    pub(super) fn reads(&self) -> bool {
        match &self.operation {
            // A MAC is made of what one has already, and kept nowhere.
            Operation::Named(name) if self.service == "kms" && matches!(name.as_str(), "GenerateMac" | "VerifyMac") => {
                true
            }
            Operation::Named(name) => {
                let mut rests = READING.iter().filter_map(|verb| name.strip_prefix(verb));
                rests.any(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
            }
            Operation::Object { reads, .. } => *reads,
            Operation::Unknown(_) => false,
        }
    }
}

/// The service that the signature is for: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
fn signed_for(request: &HttpRequest) -> Option<&str> {
    let signature = request.headers().get("authorization")?;
    let (_, scope) = signature.split_once("Credential=")?;
    let (scope, _) = scope.split_once("/aws4_request")?;
    let (_, service) = scope.rsplit_once('/')?;
    // The one service of the train that signs by another name than IAM knows it by.
    Some(if service == "monitoring" { "cloudwatch" } else { service })
}

fn operation(service: &str, request: &HttpRequest) -> Operation {
    let headers = request.headers();
    let (path, query) = request.uri().split_once('?').unwrap_or((request.uri(), ""));
    let method = request.method();
    // JSON: `X-Amz-Target: SageMaker.DescribeEndpoint`.
    if let Some(target) = headers.get("x-amz-target") {
        let name = target.rsplit_once('.').map_or(target, |(_, name)| name);
        return Operation::Named(name.to_owned());
    }
    // CBOR: `/service/SageMaker/operation/DescribeEndpoint`.
    if headers.get("smithy-protocol") == Some("rpc-v2-cbor") {
        return match path.rsplit_once("/operation/") {
            Some((_, name)) => Operation::Named(name.to_owned()),
            None => Operation::Unknown(method.to_owned()),
        };
    }
    // Query: `Action=Publish&Version=…` in the body.
    let form = |kind: &str| kind.contains("form-urlencoded");
    if headers.get("content-type").is_some_and(form) {
        let body = request.body().bytes().and_then(|body| std::str::from_utf8(body).ok());
        let action = body.and_then(|body| value("Action", body));
        return action.map_or_else(
            || Operation::Unknown(method.to_owned()),
            |name| Operation::Named(name.to_owned()),
        );
    }
    if service == "s3" {
        let listed = || (value("list-type", query) == Some("2")).then_some("ListObjectsV2");
        let name = value("x-id", query).or_else(listed).unwrap_or(method);
        return Operation::Object {
            reads: matches!(method, "GET" | "HEAD"),
            name: name.to_owned(),
        };
    }
    let name = if service == "lambda" && path.ends_with("/invocations") {
        "Invoke"
    } else {
        method
    };
    Operation::Unknown(name.to_owned())
}

/// A field of a form.
fn value<'a>(name: &str, form: &'a str) -> Option<&'a str> {
    let mut fields = form.split('&').filter_map(|field| field.split_once('='));
    fields.find(|(field, _)| *field == name).map(|(_, value)| value)
}
