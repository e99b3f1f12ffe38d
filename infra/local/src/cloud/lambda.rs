//! Lambda: functions, asynchronous invocation with its retries, function URLs.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::effect::{Effect, EffectId, InvocationOutcome, Invoke};
use super::{ApiError, Caller, Cloud, sqs};
use crate::template::{Resource, TemplateError};

/// How long Lambda waits before the first and before the second retry of an asynchronous invocation.
const RETRY_WAITS: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_mins(2)];

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    functions: BTreeMap<String, Function>,
    running: BTreeMap<EffectId, Invocation>,
    invocations: BTreeMap<String, u64>,
}

/// A function.
#[derive(Debug)]
struct Function {
    role_arn: String,
    binary: String,
    environment: BTreeMap<String, String>,
    timeout_seconds: u32,
    memory_mib: u32,
    dead_letters: Option<String>,
    retries_max: usize,
    has_url: bool,
    access_key_id: String,
}

/// An invocation that runs.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    function: String,
    request_id: String,
    payload: Value,
    /// How many tries were made before; `None` for a synchronous one, which is tried once.
    tries: Option<usize>,
}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// The next try of an asynchronous invocation.
    Retry(Box<Invocation>),
}

/// A function, as a front end needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Its name.
    pub name: String,
    /// The binary that it runs.
    pub binary: String,
    /// How long it may run.
    pub timeout_seconds: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct FunctionProperties {
    function_name: Option<String>,
    role: String,
    code: Code,
    #[serde(default = "default_timeout")]
    timeout: u32,
    #[serde(default = "default_memory")]
    memory_size: u32,
    #[serde(default)]
    environment: Environment,
    dead_letter_config: Option<DeadLetterConfig>,
    #[serde(rename = "Runtime")]
    _runtime: String,
    #[serde(rename = "Handler")]
    _handler: String,
    #[serde(rename = "Architectures")]
    _architectures: Option<Value>,
    #[serde(rename = "Description")]
    _description: Option<String>,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
    #[serde(rename = "TracingConfig")]
    _tracing: Option<Value>,
    #[serde(rename = "LoggingConfig")]
    _logging: Option<Value>,
}

fn default_timeout() -> u32 {
    3
}

fn default_memory() -> u32 {
    128
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Code {
    binary: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Environment {
    #[serde(default)]
    variables: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeadLetterConfig {
    target_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct InvokeConfigProperties {
    function_name: String,
    #[serde(rename = "Qualifier")]
    _qualifier: Option<String>,
    maximum_retry_attempts: Option<usize>,
    #[serde(rename = "MaximumEventAgeInSeconds")]
    _age: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UrlProperties {
    target_function_arn: String,
    auth_type: String,
    #[serde(rename = "InvokeMode")]
    _invoke_mode: Option<String>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::Lambda::Function" => deploy_function(cloud, resource),
        "AWS::Lambda::EventInvokeConfig" => {
            let properties: InvokeConfigProperties = resource.read()?;
            let function = named(cloud, &properties.function_name).ok_or_else(|| resource.wrong("no such function"))?;
            function.retries_max = properties.maximum_retry_attempts.unwrap_or(2).min(2);
            Ok(())
        }
        "AWS::Lambda::Url" => {
            let properties: UrlProperties = resource.read()?;
            if properties.auth_type != "NONE" {
                return Err(resource.unsupported(format!("AuthType {}", properties.auth_type)));
            }
            let function =
                named(cloud, &properties.target_function_arn).ok_or_else(|| resource.wrong("no such function"))?;
            function.has_url = true;
            Ok(())
        }
        // Who may invoke is asked of the services that invoke, all of which the stack itself has wired.
        "AWS::Lambda::Permission" => Ok(()),
        _ => Err(resource.unsupported("this resource type")),
    }
}

fn deploy_function(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    let properties: FunctionProperties = resource.read()?;
    let name = properties.function_name.unwrap_or_else(|| resource.physical_id.clone());
    let mut environment = BTreeMap::new();
    for (variable, value) in properties.environment.variables {
        let value = match value {
            Value::String(text) => text,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => return Err(resource.wrong(format!("the environment variable `{variable}` is not a text"))),
        };
        environment.insert(variable, value);
    }
    let access_key_id = format!("ASIA{}", cloud.token(16).to_ascii_uppercase());
    let function = Function {
        role_arn: properties.role,
        binary: properties.code.binary,
        environment,
        timeout_seconds: properties.timeout,
        memory_mib: properties.memory_size,
        dead_letters: properties.dead_letter_config.map(|config| config.target_arn),
        retries_max: 2,
        has_url: false,
        access_key_id,
    };
    cloud.lambda.functions.insert(name, function);
    Ok(())
}

/// The name in `NAME` or `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
fn name_of(name_or_arn: &str) -> &str {
    name_or_arn.rsplit(':').next().unwrap_or(name_or_arn)
}

fn named<'a>(cloud: &'a mut Cloud, name_or_arn: &str) -> Option<&'a mut Function> {
    cloud.lambda.functions.get_mut(name_of(name_or_arn))
}

/// Who has that access key.
pub(crate) fn function_with_key(cloud: &Cloud, access_key_id: &str) -> Option<Caller> {
    let (name, function) = cloud
        .lambda
        .functions
        .iter()
        .find(|(_, function)| function.access_key_id == access_key_id)?;
    Some(Caller::Function {
        name: name.clone(),
        role_arn: function.role_arn.clone(),
    })
}

fn not_found(cloud: &Cloud, name: &str) -> ApiError {
    let arn = cloud.arn("lambda", &format!("function:{name}"));
    ApiError {
        status: 404,
        ..ApiError::new("ResourceNotFoundException", format!("Function not found: {arn}"))
    }
}

/// Invokes a function asynchronously: retried twice, then kept in its dead-letter queue.
pub(crate) fn invoke_async(cloud: &mut Cloud, name_or_arn: &str, payload: Value) -> Result<(), ApiError> {
    let name = name_of(name_or_arn).to_owned();
    if !cloud.lambda.functions.contains_key(&name) {
        return Err(not_found(cloud, &name));
    }
    let request_id = cloud.uuid();
    run(
        cloud,
        Invocation {
            function: name,
            request_id,
            payload,
            tries: Some(0),
        },
    );
    Ok(())
}

fn run(cloud: &mut Cloud, invocation: Invocation) -> EffectId {
    let timeout_seconds = cloud
        .lambda
        .functions
        .get(&invocation.function)
        .map_or(3, |function| function.timeout_seconds);
    *cloud.lambda.invocations.entry(invocation.function.clone()).or_default() += 1;
    let id = cloud.effect(|id| {
        Effect::Invoke(Invoke {
            id,
            function: invocation.function.clone(),
            request_id: invocation.request_id.clone(),
            payload: invocation.payload.clone(),
            timeout_seconds,
        })
    });
    cloud.lambda.running.insert(id, invocation);
    id
}

impl Cloud {
    /// The functions.
    #[must_use]
    pub fn functions(&self) -> Vec<FunctionInfo> {
        let functions = self.lambda.functions.iter();
        functions
            .map(|(name, function)| FunctionInfo {
                name: name.clone(),
                binary: function.binary.clone(),
                timeout_seconds: function.timeout_seconds,
            })
            .collect()
    }

    /// A function's environment, but for `AWS_LAMBDA_RUNTIME_API`, which the front end knows.
    #[must_use]
    pub fn function_environment(&self, name: &str) -> Option<BTreeMap<String, String>> {
        let function = self.lambda.functions.get(name)?;
        let target = self.target();
        let mut environment = function.environment.clone();
        let own = [
            ("AWS_ACCESS_KEY_ID", function.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("AWS_SESSION_TOKEN", "local".to_owned()),
            ("AWS_REGION", target.region.clone()),
            ("AWS_DEFAULT_REGION", target.region.clone()),
            ("AWS_ENDPOINT_URL", target.base_url.clone()),
            ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mib.to_string()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "local".to_owned()),
            ("_HANDLER", "bootstrap".to_owned()),
            ("TZ", ":UTC".to_owned()),
        ];
        environment.extend(own.map(|(variable, value)| (variable.to_owned(), value)));
        Some(environment)
    }

    /// How often each function was run, retries included.
    #[must_use]
    pub fn invocations(&self) -> &BTreeMap<String, u64> {
        &self.lambda.invocations
    }

    /// Invokes a function by its URL; the outcome is the front end's to pass on.
    ///
    /// # Errors
    /// Where the function has no URL.
    pub fn invoke_url(&mut self, function: &str, event: Value) -> Result<EffectId, ApiError> {
        if !self
            .lambda
            .functions
            .get(function)
            .is_some_and(|function| function.has_url)
        {
            let error = ApiError::new("AccessDeniedException", "Forbidden");
            return Err(ApiError { status: 403, ..error });
        }
        let request_id = self.uuid();
        Ok(run(
            self,
            Invocation {
                function: function.to_owned(),
                request_id,
                payload: event,
                tries: None,
            },
        ))
    }

    /// Tells what came of an invocation.
    pub fn finish_invocation(&mut self, id: EffectId, outcome: InvocationOutcome) {
        let Some(invocation) = self.lambda.running.remove(&id) else {
            return;
        };
        let error = match outcome {
            InvocationOutcome::Answer(_) => return,
            InvocationOutcome::Error { kind, message } => format!("{kind}: {message}"),
            InvocationOutcome::Killed(reason) => reason,
        };
        let function = invocation.function.clone();
        self.note(
            "lambda",
            &function,
            "failed",
            json!({"error": error, "requestId": invocation.request_id}),
        );
        let Some(tries) = invocation.tries else { return };
        let (retries_max, dead_letters) = match self.lambda.functions.get(&function) {
            Some(function) => (function.retries_max, function.dead_letters.clone()),
            None => return,
        };
        if tries < retries_max {
            let wait = RETRY_WAITS.get(tries).copied().unwrap_or(SignedDuration::from_mins(2));
            let next = Invocation {
                tries: Some(tries + 1),
                ..invocation
            };
            self.after(wait, super::Timer::Lambda(Timer::Retry(Box::new(next))));
        } else if let Some(queue) = dead_letters {
            let attribute = |value: String| json!({"DataType": "String", "StringValue": value});
            let attributes = json!({
                "RequestID": attribute(invocation.request_id),
                "ErrorCode": {"DataType": "Number", "StringValue": "200"},
                "ErrorMessage": attribute(error.chars().take(1024).collect()),
            });
            sqs::send(self, &queue, &invocation.payload.to_string(), attributes);
        }
    }
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    match timer {
        Timer::Retry(invocation) => {
            run(cloud, *invocation);
        }
    }
}
