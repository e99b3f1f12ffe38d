//! The public models of the services: what a call may say, and what its answer must.
//!
//! The models are those of `infra/local/shapes`, parsed once per service into shapes that refer to each other by index. Validation
//! is on the path of every call: it allocates nothing unless it finds an error.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::cloud::{ApiError, Service};

mod check;
mod pattern;

use self::check::{Checker, Fault};
use self::pattern::Pattern;

/// Where a shape stands in its model.
pub(crate) type ShapeId = usize;

/// A service's model.
#[derive(Debug)]
pub(crate) struct Model {
    /// The namespace of the service's XML answers.
    pub(crate) xml_namespace: Option<String>,
    /// The API version that a query must ask for.
    pub(crate) api_version: String,
    /// What stands before the dot of `X-Amz-Target`.
    pub(crate) target_prefix: Option<String>,
    /// Whether the service speaks JSON 1.0 (1.1 otherwise).
    pub(crate) json_1_0: bool,
    operations: HashMap<String, Operation>,
    shapes: Vec<Shape>,
}

/// What one operation takes and gives.
#[derive(Debug)]
pub(crate) struct Operation {
    /// The shape of the input.
    pub(crate) input: Option<ShapeId>,
    /// The shape of the output.
    pub(crate) output: Option<ShapeId>,
    /// The element around the result in a query answer.
    pub(crate) wrapper: Option<String>,
}

/// One shape: its kind and its bounds.
#[derive(Debug)]
pub(crate) struct Shape {
    /// What it is, with what it is made of.
    pub(crate) kind: Kind,
    min: Option<f64>,
    max: Option<f64>,
    pattern: Option<Pattern>,
    /// The allowed values in the model's order; empty where any is.
    allowed: Vec<String>,
}

/// The kinds of shape.
#[derive(Debug)]
pub(crate) enum Kind {
    /// `string`
    String,
    /// `blob`: a base64 string in the values.
    Blob,
    /// `boolean`
    Boolean,
    /// `integer` and `long`
    Integer {
        /// `long`
        long: bool,
    },
    /// `float` and `double`
    Float,
    /// `timestamp`: epoch seconds in the values.
    Timestamp,
    /// `list`
    List(Part),
    /// `map`
    Map(Part, Part),
    /// `structure`
    Structure {
        /// The members, sorted by name.
        members: Vec<(String, Part)>,
        /// The names of the required ones.
        required: Vec<String>,
    },
}

/// A reference to a shape.
#[derive(Debug)]
pub(crate) struct Part {
    /// The shape.
    pub(crate) shape: ShapeId,
    /// The name on the wire, where it is another than the member's.
    pub(crate) wire_name: Option<String>,
}

impl Model {
    /// The operation of that name.
    pub(crate) fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.get(name)
    }

    /// The shape of that id.
    pub(crate) fn shape(&self, id: ShapeId) -> Option<&Shape> {
        self.shapes.get(id)
    }
}

/// The member of that name.
pub(crate) fn member<'a>(members: &'a [(String, Part)], name: &str) -> Option<&'a Part> {
    let at = members.binary_search_by(|(member, _)| member.as_str().cmp(name)).ok()?;
    members.get(at).map(|(_, part)| part)
}

/// The model files as they are written.
#[derive(Deserialize)]
struct ModelFile {
    metadata: Metadata,
    operations: HashMap<String, OperationFile>,
    shapes: BTreeMap<String, ShapeFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    api_version: String,
    json_version: Option<String>,
    target_prefix: Option<String>,
    xml_namespace: Option<String>,
}

#[derive(Deserialize)]
struct OperationFile {
    input: Option<String>,
    output: Option<String>,
    wrapper: Option<String>,
}

#[derive(Deserialize)]
struct ShapeFile {
    r#type: String,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default, rename = "enum")]
    allowed: Vec<String>,
    pattern: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    #[serde(default)]
    members: BTreeMap<String, Reference>,
    member: Option<Reference>,
    key: Option<Reference>,
    value: Option<Reference>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reference {
    Same(String),
    Renamed(String, String),
}

/// Reads a model file.
fn parse(text: &str) -> Result<Model, String> {
    let file: ModelFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let ids: HashMap<&str, ShapeId> = file
        .shapes
        .keys()
        .enumerate()
        .map(|(id, name)| (name.as_str(), id))
        .collect();
    let id = |name: &str| ids.get(name).copied().ok_or_else(|| format!("no shape {name}"));
    let part = |reference: &Reference| {
        let (name, wire_name) = match reference {
            Reference::Same(name) => (name, None),
            Reference::Renamed(name, wire_name) => (name, Some(wire_name.clone())),
        };
        Ok::<_, String>(Part {
            shape: id(name)?,
            wire_name,
        })
    };
    let mut shapes = Vec::with_capacity(file.shapes.len());
    for (name, shape) in &file.shapes {
        let of = |reference: &Option<Reference>| {
            part(
                reference
                    .as_ref()
                    .ok_or_else(|| format!("the shape {name} does not say what it is made of"))?,
            )
        };
        let kind = match shape.r#type.as_str() {
            "string" => Kind::String,
            "blob" => Kind::Blob,
            "boolean" => Kind::Boolean,
            "integer" => Kind::Integer { long: false },
            "long" => Kind::Integer { long: true },
            "float" | "double" => Kind::Float,
            "timestamp" => Kind::Timestamp,
            "list" => Kind::List(of(&shape.member)?),
            "map" => Kind::Map(of(&shape.key)?, of(&shape.value)?),
            "structure" => {
                let mut members = Vec::with_capacity(shape.members.len());
                for (member, reference) in &shape.members {
                    members.push((member.clone(), part(reference)?));
                }
                let required = shape.required.clone();
                Kind::Structure { members, required }
            }
            other => return Err(format!("the shape {name} is of the unknown type {other}")),
        };
        shapes.push(Shape {
            kind,
            min: shape.min,
            max: shape.max,
            pattern: shape.pattern.as_deref().map(Pattern::new),
            allowed: shape.allowed.clone(),
        });
    }
    let mut operations = HashMap::with_capacity(file.operations.len());
    for (name, operation) in &file.operations {
        let shape = |name: &Option<String>| name.as_deref().map(id).transpose();
        let (input, output) = (shape(&operation.input)?, shape(&operation.output)?);
        let wrapper = operation.wrapper.clone();
        operations.insert(name.clone(), Operation { input, output, wrapper });
    }
    Ok(Model {
        xml_namespace: file.metadata.xml_namespace,
        api_version: file.metadata.api_version,
        json_1_0: file.metadata.json_version.as_deref() == Some("1.0"),
        target_prefix: file.metadata.target_prefix,
        operations,
        shapes,
    })
}

/// The models, one static per service.
macro_rules! models {
    ($($service:ident: $file:literal),* $(,)?) => {
        /// The services that have a model.
        pub(crate) const MODELLED: &[Service] = &[$(Service::$service),*];

        fn parsed(service: Service) -> Option<&'static Result<Model, String>> {
            match service {
                $(Service::$service => {
                    static MODEL: LazyLock<Result<Model, String>> =
                        LazyLock::new(|| parse(include_str!(concat!("../../shapes/", $file, ".json"))));
                    Some(&MODEL)
                })*
                // The path says what an operation takes.
                Service::S3 => None,
            }
        }
    };
}

models! {
    ApplicationAutoScaling: "application-autoscaling",
    CloudWatch: "cloudwatch",
    CodeBuild: "codebuild",
    CodeCommit: "codecommit",
    CodeDeploy: "codedeploy",
    CodePipeline: "codepipeline",
    Events: "events",
    Kms: "kms",
    Lambda: "lambda",
    SageMaker: "sagemaker",
    Sns: "sns",
    Sqs: "sqs",
    Sts: "sts",
}

/// A service's model; none for S3. (A test parses every file.)
pub(crate) fn model(service: Service) -> Option<&'static Model> {
    parsed(service)?.as_ref().ok()
}

/// Checks a call's input against the service's model: required members, types, enums, patterns and bounds, all the way down.
/// Members that the model does not know are ignored, as AWS does. S3, which has no model here, passes.
///
/// # Errors
/// In the service's words: `ValidationException`, or what the service calls it, with every violation;
/// `SerializationException` where a value is of the wrong JSON type; `UnknownOperationException`.
pub fn validate(service: Service, operation: &str, input: &Value) -> Result<(), ApiError> {
    let Some(model) = model(service) else { return Ok(()) };
    let Some(found) = model.operation(operation) else {
        return Err(unknown_operation(service, operation));
    };
    let Some(shape) = found.input else { return Ok(()) };
    let mut checker = Checker::new(model);
    checker.check(shape, input);
    if checker.faults.is_empty() {
        return Ok(());
    }
    Err(refusal(service, &checker.faults))
}

/// Checks an answer against the service's model, as [`validate`] does a call; members that the model does not know are faults.
///
/// # Errors
/// Every fault, in one line.
pub fn check_output(service: Service, operation: &str, output: &Value) -> Result<(), String> {
    let Some(model) = model(service) else { return Ok(()) };
    let found = model
        .operation(operation)
        .ok_or_else(|| format!("{} has no operation {operation}", service.prefix()))?;
    let Some(shape) = found.output else {
        return match output {
            Value::Null => Ok(()),
            Value::Object(members) if members.is_empty() => Ok(()),
            _ => Err(format!("{operation} answers nothing, but this answers {output}")),
        };
    };
    let mut checker = Checker::new(model);
    checker.report_unknown = true;
    checker.check(shape, output);
    if checker.faults.is_empty() {
        return Ok(());
    }
    let faults: Vec<String> = checker.faults.iter().map(Fault::to_string).collect();
    Err(faults.join("; "))
}

/// The service has no such operation.
pub(crate) fn unknown_operation(service: Service, operation: &str) -> ApiError {
    match service {
        Service::Sns | Service::Sts => {
            let version = model(service)
                .map(|model| model.api_version.as_str())
                .unwrap_or_default();
            let message = format!("Could not find operation {operation} for version {version}");
            ApiError::new("InvalidAction", message)
        }
        _ => ApiError::new(
            "UnknownOperationException",
            format!(
                "The {} API of the local cloud has no operation {operation}.",
                service.prefix()
            ),
        ),
    }
}

/// The service's refusal of an input with faults.
fn refusal(service: Service, faults: &[Fault]) -> ApiError {
    if let Some(fault) = faults.iter().find(|fault| fault.is_serialization()) {
        let code = match service {
            Service::Sns | Service::Sts => "MalformedInput",
            _ => "SerializationException",
        };
        return ApiError::new(code, fault.constraint());
    }
    match (service, faults.first()) {
        // SNS and SQS name the first parameter that is wrong, in sentences of their own.
        (Service::Sns, Some(fault)) => {
            let reason = if fault.is_missing() {
                "no value for required parameter"
            } else {
                fault.constraint()
            };
            ApiError::new(
                "InvalidParameter",
                format!("Invalid parameter: {} Reason: {reason}", fault.parameter()),
            )
        }
        (Service::Sqs, Some(fault)) if fault.is_missing() => {
            let message = format!("The request must contain the parameter {}.", fault.parameter());
            ApiError::new("MissingParameter", message)
        }
        (Service::Sqs, Some(fault)) => {
            let (parameter, reason) = (fault.parameter(), fault.constraint());
            let message = format!("Value for parameter {parameter} is invalid. Reason: {reason}.");
            ApiError::new("InvalidParameterValue", message)
        }
        _ => {
            let code = match service {
                Service::CloudWatch | Service::Sts => "ValidationError",
                _ => "ValidationException",
            };
            let errors = if faults.len() == 1 { "error" } else { "errors" };
            let texts: Vec<String> = faults.iter().map(Fault::to_string).collect();
            let message = format!("{} validation {errors} detected: {}", faults.len(), texts.join("; "));
            ApiError::new(code, message)
        }
    }
}

#[cfg(test)]
mod tests;
