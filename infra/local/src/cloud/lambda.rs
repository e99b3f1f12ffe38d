//! Lambda: functions, asynchronous invocation with its retries, function URLs.
//!
//! [`versions`] has versions and aliases, and which version an invocation runs; [`settings`] what else a function is told by its
//! configuration; [`api`] the calls.

mod api;
mod settings;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

pub use self::api::Started;
pub(crate) use self::api::{arn_asked, call};
use self::settings::{Logging, Tracing};
use self::versions::{Alias, LATEST, Named, version_to_run};
pub(crate) use self::versions::{move_alias, publish_version, published_aliases};
use super::effect::{Effect, EffectId, InvocationOutcome, Invoke};
use super::iam::{self, Acting, Ask};
use super::{ApiError, Caller, Cloud, cloudwatch, sqs};
use crate::template::{Resource, TemplateError};

/// How long Lambda waits before the first and before the second retry of an asynchronous invocation.
const RETRY_WAITS: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_mins(2)];

/// The longest that Lambda waits before it tries again what it has throttled.
const THROTTLED_WAIT_MAX: SignedDuration = SignedDuration::from_mins(5);

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
    logging: Logging,
    access_key_id: String,
    /// The number of the newest version; those before it are kept too. 0 where none was published.
    newest: u64,
    aliases: BTreeMap<String, Alias>,
    /// How asynchronous invocations are tried, by the qualifier that they were made with.
    invoke_configs: BTreeMap<String, InvokeConfig>,
    /// The qualifiers that have a URL.
    urls: BTreeSet<String>,
    /// Whether it sends traces to X-Ray.
    is_traced: bool,
    /// How many of its invocations may run at the same time, where some were reserved for it.
    reserved: Option<usize>,
}

/// How asynchronous invocations are tried.
#[derive(Debug, Clone, Copy)]
struct InvokeConfig {
    retries_max: usize,
    age_max: SignedDuration,
}

/// What Lambda does where nothing is said: two retries, and no event older than six hours.
const INVOKE_CONFIG: InvokeConfig = InvokeConfig {
    retries_max: 2,
    age_max: SignedDuration::from_hours(6),
};

/// An invocation that runs.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    function: String,
    /// The alias or version that was asked for.
    qualifier: Option<String>,
    /// The version that ran last.
    version: String,
    accepted: Timestamp,
    request_id: String,
    payload: Value,
    /// How many tries were made before; `None` for a synchronous one, which is tried once.
    tries: Option<usize>,
    /// How often it was put off because as many ran as may.
    throttled: u32,
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
    /// How many of its invocations may run at the same time, where some are reserved for it.
    pub reserved: Option<usize>,
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
    tracing_config: Option<Tracing>,
    reserved_concurrent_executions: Option<usize>,
    #[serde(default)]
    logging_config: Logging,
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
struct PermissionProperties {
    action: String,
    function_name: String,
    principal: String,
    source_arn: Option<String>,
    source_account: Option<String>,
    function_url_auth_type: Option<String>,
    invoked_via_function_url: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct InvokeConfigProperties {
    function_name: String,
    qualifier: String,
    maximum_retry_attempts: Option<usize>,
    maximum_event_age_in_seconds: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UrlProperties {
    target_function_arn: String,
    qualifier: Option<String>,
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
            let name = Named::parse(&properties.function_name, Some(&properties.qualifier));
            let name = name.map_err(|error| resource.wrong(error.message))?;
            let function = name.found(cloud).ok_or_else(|| resource.wrong("no such function"))?;
            let retries_max = properties.maximum_retry_attempts.unwrap_or(INVOKE_CONFIG.retries_max);
            let age = properties.maximum_event_age_in_seconds.unwrap_or(21_600);
            if retries_max > 2 || !(60..=21_600).contains(&age) {
                return Err(resource.wrong("at most 2 retries and an age of 60 to 21600 seconds"));
            }
            let config = InvokeConfig {
                retries_max,
                age_max: SignedDuration::from_secs(age.into()),
            };
            function
                .invoke_configs
                .insert(name.qualifier_or_latest().to_owned(), config);
            Ok(())
        }
        "AWS::Lambda::Url" => {
            let properties: UrlProperties = resource.read()?;
            if properties.auth_type != "NONE" {
                return Err(resource.unsupported(format!("AuthType {}", properties.auth_type)));
            }
            let name = Named::parse(&properties.target_function_arn, properties.qualifier.as_deref());
            let name = name.map_err(|error| resource.wrong(error.message))?;
            let function = name.found(cloud).ok_or_else(|| resource.wrong("no such function"))?;
            function.urls.insert(name.qualifier_or_latest().to_owned());
            Ok(())
        }
        "AWS::Lambda::Version" => versions::deploy_version(cloud, resource),
        "AWS::Lambda::Alias" => versions::deploy_alias(cloud, resource),
        "AWS::Lambda::Permission" => deploy_permission(cloud, resource),
        _ => Err(resource.unsupported("this resource type")),
    }
}

/// A permission is a statement of the function's policy, and of that of the qualifier's alone where the function's name has one.
fn deploy_permission(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    let properties: PermissionProperties = resource.read()?;
    let arn = arn_of(cloud, &properties.function_name);
    let mut equal = serde_json::Map::new();
    let via_url = properties.invoked_via_function_url.map(|via| via.to_string());
    for (key, value) in [
        ("aws:SourceAccount", properties.source_account),
        ("lambda:FunctionUrlAuthType", properties.function_url_auth_type),
        ("lambda:InvokedViaFunctionUrl", via_url),
    ] {
        if let Some(value) = value {
            equal.insert(key.to_owned(), value.into());
        }
    }
    let mut condition = serde_json::Map::new();
    if let Some(source) = properties.source_arn {
        condition.insert("ArnLike".to_owned(), json!({"aws:SourceArn": source}));
    }
    if !equal.is_empty() {
        condition.insert("StringEquals".to_owned(), equal.into());
    }
    let principal = match properties.principal.as_str() {
        service if service.ends_with(".amazonaws.com") => json!({"Service": service}),
        other => json!({"AWS": other}),
    };
    let statement = json!({
        "Effect": "Allow", "Principal": principal, "Action": properties.action, "Resource": arn, "Condition": condition,
    });
    let document = json!({"Statement": [statement]});
    iam::attach_policy(cloud, resource, "AWS::Lambda::Permission", &document, &[arn])
}

/// The ARN of a function that is given by name, by name and qualifier, or by ARN; the qualifier stays.
fn arn_of(cloud: &Cloud, name_or_arn: &str) -> String {
    if name_or_arn.starts_with("arn:") {
        name_or_arn.to_owned()
    } else {
        cloud.arn("lambda", &format!("function:{name_or_arn}"))
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
        logging: properties.logging_config,
        access_key_id,
        newest: 0,
        aliases: BTreeMap::new(),
        invoke_configs: BTreeMap::new(),
        urls: BTreeSet::new(),
        is_traced: properties.tracing_config.is_some_and(Tracing::is_active),
        reserved: properties.reserved_concurrent_executions,
    };
    cloud.lambda.functions.insert(name, function);
    Ok(())
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

pub(crate) fn not_found(cloud: &Cloud, name: &str) -> ApiError {
    let arn = cloud.arn("lambda", &format!("function:{name}"));
    ApiError {
        status: 404,
        ..ApiError::new("ResourceNotFoundException", format!("Function not found: {arn}"))
    }
}

/// Invokes a function as a service does in its own name, on account of the resource of that ARN: the function's policy has to let it.
///
/// # Errors
/// `AccessDeniedException` where it does not; else as [`invoke_async`].
pub(crate) fn invoke_as_service(
    cloud: &mut Cloud,
    (service, source_arn): (&str, &str),
    name_or_arn: &str,
    payload: Value,
) -> Result<(), ApiError> {
    let ask = Ask::new("lambda:InvokeFunction", arn_of(cloud, name_or_arn));
    iam::in_own_name(cloud, service, source_arn, &ask).map_err(|denied| access_denied(&denied))?;
    invoke_async(cloud, name_or_arn, payload)
}

/// The same in the name of a role.
///
/// # Errors
/// `AccessDeniedException` where the role may not; else as [`invoke_async`].
pub(crate) fn invoke_in_role(
    cloud: &mut Cloud,
    acting: &Acting<'_>,
    name_or_arn: &str,
    payload: Value,
) -> Result<(), ApiError> {
    let ask = Ask::new("lambda:InvokeFunction", arn_of(cloud, name_or_arn));
    iam::as_service(cloud, acting, &[ask]).map_err(|denied| access_denied(&denied))?;
    invoke_async(cloud, name_or_arn, payload)
}

fn access_denied(denied: &iam::Denied) -> ApiError {
    let error = ApiError::new("AccessDeniedException", denied.to_string());
    ApiError { status: 403, ..error }
}

/// What Lambda itself does in the function's role with every invocation. Logs and traces that it may not write are lost.
///
/// # Errors
/// `AccessDeniedException` where the role does not let Lambda in.
fn enter_role(cloud: &mut Cloud, name: &str, request_id: &str) -> Result<(), ApiError> {
    let Some(function) = cloud.lambda.functions.get(name) else {
        return Err(not_found(cloud, name));
    };
    let (role_arn, group, is_traced) = (
        function.role_arn.clone(),
        function.logging.group(name),
        function.is_traced,
    );
    let mut asks = iam::logs::asks(cloud, &group, request_id);
    if is_traced {
        asks.extend(["xray:PutTraceSegments", "xray:PutTelemetryRecords"].map(|action| Ask::new(action, "*")));
    }
    let source_arn = arn_of(cloud, name);
    let acting = acting(&role_arn, &source_arn, name);
    iam::try_as_service(cloud, &acting, &asks).map_err(|_| {
        let error = ApiError::new(
            "AccessDeniedException",
            "The role defined for the function cannot be assumed by Lambda.",
        );
        ApiError { status: 403, ..error }
    })?;
    iam::logs::written(cloud, &group);
    Ok(())
}

/// Lambda in a function's role.
fn acting<'a>(role_arn: &'a str, source_arn: &'a str, name: &'a str) -> Acting<'a> {
    Acting {
        service: "lambda.amazonaws.com",
        role_arn,
        source_arn,
        session: name,
    }
}

/// Invokes a function asynchronously, by its name or ARN with or without a qualifier: retried twice, then kept in its dead-letter
/// queue.
pub(crate) fn invoke_async(cloud: &mut Cloud, name_or_arn: &str, payload: Value) -> Result<(), ApiError> {
    let name = Named::parse(name_or_arn, None)?;
    invoke(cloud, name, payload, Some(0)).map(|_| ())
}

/// Begins an invocation; `tries` as in [`Invocation`].
fn invoke(cloud: &mut Cloud, name: Named, payload: Value, tries: Option<usize>) -> Result<EffectId, ApiError> {
    let invocation = invocation(cloud, name, payload, tries)?;
    if tries.is_none() && is_full(cloud, &invocation.function) {
        return Err(rate_exceeded());
    }
    Ok(run(cloud, invocation))
}

/// Whether as many invocations of a function run as were reserved for it.
fn is_full(cloud: &Cloud, function: &str) -> bool {
    let reserved = cloud.lambda.functions.get(function).and_then(|known| known.reserved);
    reserved.is_some_and(|reserved| {
        let running = cloud.lambda.running.values();
        running.filter(|running| running.function == function).count() >= reserved
    })
}

/// What a caller who does not wait in a queue is told then.
fn rate_exceeded() -> ApiError {
    ApiError {
        status: 429,
        ..ApiError::new("TooManyRequestsException", "Rate Exceeded.")
    }
}

/// An invocation of a version that is there.
fn invocation(cloud: &mut Cloud, name: Named, payload: Value, tries: Option<usize>) -> Result<Invocation, ApiError> {
    let version = version_to_run(cloud, &name).ok_or_else(|| not_found(cloud, &name.to_string()))?;
    let request_id = cloud.uuid();
    enter_role(cloud, &name.function, &request_id)?;
    Ok(Invocation {
        request_id,
        accepted: cloud.now(),
        function: name.function,
        qualifier: name.qualifier,
        version,
        payload,
        tries,
        throttled: 0,
    })
}

/// Queues the run of an invocation. An asynchronous one, where as many run as may, is tried again after a second, then after two, and so
/// on up to every five minutes; that is none of its retries.
fn run(cloud: &mut Cloud, mut invocation: Invocation) -> EffectId {
    if invocation.tries.is_some() && is_full(cloud, &invocation.function) {
        let wait = SignedDuration::from_secs(1 << invocation.throttled.min(9)).min(THROTTLED_WAIT_MAX);
        let age = cloud.now().duration_since(invocation.accepted).saturating_add(wait);
        if age > invoke_config(cloud, &invocation).age_max {
            give_up(cloud, &invocation, "Rate Exceeded.", 429);
        } else {
            invocation.throttled += 1;
            cloud.after(wait, super::Timer::Lambda(Timer::Retry(Box::new(invocation))));
        }
        cloud.effects_made += 1;
        return cloud.effects_made;
    }
    let made = begin(cloud, invocation);
    let id = made.id;
    cloud.effects.push_back(Effect::Invoke(made));
    id
}

/// Takes an invocation down as running; whoever calls this has to see that it is run.
fn begin(cloud: &mut Cloud, invocation: Invocation) -> Invoke {
    let function = cloud.lambda.functions.get(&invocation.function);
    let timeout_seconds = function.map_or(3, |function| function.timeout_seconds);
    *cloud.lambda.invocations.entry(invocation.function.clone()).or_default() += 1;
    cloud.effects_made += 1;
    let invoke = Invoke {
        id: cloud.effects_made,
        function: invocation.function.clone(),
        qualifier: invocation.qualifier.clone(),
        version: invocation.version.clone(),
        request_id: invocation.request_id.clone(),
        payload: invocation.payload.clone(),
        timeout_seconds,
    };
    cloud.lambda.running.insert(invoke.id, invocation);
    invoke
}

/// Lambda's own metrics of an invocation that has ended: of the function, of the qualifier, and of the version behind an alias.
fn measure(cloud: &mut Cloud, invocation: &Invocation, has_failed: bool) {
    let name = invocation.function.as_str();
    let errors = if has_failed { 1.0 } else { 0.0 };
    let resource = invocation
        .qualifier
        .as_ref()
        .map(|qualifier| format!("{name}:{qualifier}"));
    let mut dimensions = vec![("FunctionName", name)];
    for (metric, value) in [("Invocations", 1.0), ("Errors", errors)] {
        cloudwatch::put_metric(cloud, "AWS/Lambda", metric, &dimensions, value);
    }
    let Some(resource) = &resource else { return };
    dimensions.push(("Resource", resource));
    let mut sets = vec![dimensions.clone()];
    if invocation.qualifier.as_ref() != Some(&invocation.version) {
        dimensions.push(("ExecutedVersion", &invocation.version));
        sets.push(dimensions);
    }
    for set in sets {
        for (metric, value) in [("Invocations", 1.0), ("Errors", errors)] {
            cloudwatch::put_metric(cloud, "AWS/Lambda", metric, &set, value);
        }
    }
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
                reserved: function.reserved,
            })
            .collect()
    }

    /// The environment of a function's `$LATEST`, but for `AWS_LAMBDA_RUNTIME_API`, which the front end knows.
    #[must_use]
    pub fn function_environment(&self, name: &str) -> Option<BTreeMap<String, String>> {
        self.version_environment(name, LATEST)
    }

    /// The environment of a version of a function, `$LATEST` or a number, as [`function_environment`](Self::function_environment).
    #[must_use]
    pub fn version_environment(&self, name: &str, version: &str) -> Option<BTreeMap<String, String>> {
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
            ("AWS_LAMBDA_FUNCTION_VERSION", version.to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mib.to_string()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", function.logging.group(name)),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "local".to_owned()),
            ("_HANDLER", "bootstrap".to_owned()),
            ("TZ", ":UTC".to_owned()),
        ];
        environment.extend(own.map(|(variable, value)| (variable.to_owned(), value)));
        environment.extend(function.logging.environment());
        Some(environment)
    }

    /// How often each function was run, retries included.
    #[must_use]
    pub fn invocations(&self) -> &BTreeMap<String, u64> {
        &self.lambda.invocations
    }

    /// Invokes a function by its URL, which is of `NAME`, or of `NAME:ALIAS`; the outcome is the front end's to pass on.
    ///
    /// # Errors
    /// Where the function, or the alias, has no URL, or its policy does not let everybody use it; where its role does not let Lambda in.
    pub fn invoke_url(&mut self, function: &str, event: Value) -> Result<EffectId, ApiError> {
        let name = Named::parse(function, None)?;
        let found = self.lambda.functions.get(&name.function);
        if !found.is_some_and(|function| function.urls.contains(name.qualifier_or_latest())) {
            let error = ApiError::new("AccessDeniedException", "Forbidden");
            return Err(ApiError { status: 403, ..error });
        }
        let arn = arn_of(self, function);
        // A public URL needs both: one for the URL, one for the function behind it.
        for ask in [
            Ask::new("lambda:InvokeFunctionUrl", arn.as_str()).with("lambda:FunctionUrlAuthType", "NONE"),
            Ask::new("lambda:InvokeFunction", arn.as_str()).with("lambda:InvokedViaFunctionUrl", "true"),
        ] {
            iam::as_anyone(self, &ask).map_err(|_| {
                let error = ApiError::new("AccessDeniedException", "Forbidden");
                ApiError { status: 403, ..error }
            })?;
        }
        invoke(self, name, event, None)
    }

    /// Tells what came of an invocation.
    pub fn finish_invocation(&mut self, id: EffectId, outcome: InvocationOutcome) {
        let Some(invocation) = self.lambda.running.remove(&id) else {
            return;
        };
        measure(self, &invocation, !matches!(outcome, InvocationOutcome::Answer(_)));
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
        let config = invoke_config(self, &invocation);
        let wait = RETRY_WAITS.get(tries).copied().unwrap_or(SignedDuration::from_mins(2));
        let age = self.now().duration_since(invocation.accepted).saturating_add(wait);
        if tries < config.retries_max && age <= config.age_max {
            let next = Invocation {
                tries: Some(tries + 1),
                ..invocation
            };
            self.after(wait, super::Timer::Lambda(Timer::Retry(Box::new(next))));
        } else {
            give_up(self, &invocation, &error, 200);
        }
    }
}

/// How an asynchronous invocation is tried.
fn invoke_config(cloud: &Cloud, invocation: &Invocation) -> InvokeConfig {
    let qualifier = invocation.qualifier.as_deref().unwrap_or(LATEST);
    let function = cloud.lambda.functions.get(&invocation.function);
    let config = function.and_then(|function| function.invoke_configs.get(qualifier));
    config.copied().unwrap_or(INVOKE_CONFIG)
}

/// An asynchronous invocation is tried no more: it is kept in the function's dead-letter queue, where it has one.
fn give_up(cloud: &mut Cloud, invocation: &Invocation, error: &str, code: u16) {
    let name = &invocation.function;
    let Some(known) = cloud.lambda.functions.get(name) else {
        return;
    };
    let (Some(queue), role_arn) = (known.dead_letters.clone(), known.role_arn.clone()) else {
        return;
    };
    let attribute = |value: &str| json!({"DataType": "String", "StringValue": value});
    let attributes = json!({
        "RequestID": attribute(&invocation.request_id),
        "ErrorCode": {"DataType": "Number", "StringValue": code.to_string()},
        "ErrorMessage": attribute(&error.chars().take(1024).collect::<String>()),
    });
    let body = invocation.payload.to_string();
    let source_arn = arn_of(cloud, name);
    let acting = acting(&role_arn, &source_arn, name);
    if let Err(error) = sqs::send_in_role(cloud, &acting, &queue, &body, attributes) {
        sqs::lost(cloud, &queue, &body, &error);
    }
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    match timer {
        Timer::Retry(mut invocation) => {
            // An alias may point elsewhere by now.
            let name = Named {
                function: invocation.function.clone(),
                qualifier: invocation.qualifier.clone(),
            };
            if let Some(version) = version_to_run(cloud, &name) {
                invocation.version = version;
            }
            // It was let in before, and roles do not change: what is asked again is what each run writes.
            drop(enter_role(cloud, &invocation.function, &invocation.request_id));
            run(cloud, *invocation);
        }
    }
}
