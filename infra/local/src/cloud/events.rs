//! EventBridge: the default bus, rules and their targets.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::delivery::{self, Next, RetryPolicy};
use super::iam::{self, Acting, Ask};
use super::{ApiError, Caller, Cloud, codepipeline, lambda, sns, sqs};
use crate::pattern::Pattern;
use crate::template::{Resource, TemplateError};

/// EventBridge, as policies name it.
const PRINCIPAL: &str = "events.amazonaws.com";

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    rules: BTreeMap<String, Rule>,
    /// What was put, for tests.
    #[cfg(test)]
    put: Vec<Value>,
}

#[derive(Debug)]
struct Rule {
    arn: String,
    description: Option<String>,
    text: String,
    pattern: Pattern,
    enabled: bool,
    targets: Vec<Target>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Target {
    id: String,
    arn: String,
    role_arn: Option<String>,
    input: Option<String>,
    input_transformer: Option<InputTransformer>,
    dead_letter_config: Option<DeadLetterConfig>,
    #[serde(default)]
    retry_policy: RetryPolicy,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct InputTransformer {
    #[serde(default)]
    input_paths_map: BTreeMap<String, String>,
    input_template: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeadLetterConfig {
    arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RuleProperties {
    name: Option<String>,
    description: Option<String>,
    event_pattern: Value,
    state: Option<String>,
    #[serde(default)]
    targets: Vec<Target>,
}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// Delivery of an event: the bus is asynchronous, so that nobody who puts an event is in the midst of something when it arrives.
    Deliver(Box<Value>),
    /// A delivery that failed is tried again.
    Retry(Box<Delivery>),
}

/// An event on its way to one target of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    rule_arn: String,
    target: Target,
    event: Value,
    since: Timestamp,
    /// How many tries were made before.
    retries: u32,
    /// What the last try failed with.
    error: Option<ApiError>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    if resource.kind != "AWS::Events::Rule" {
        return Err(resource.unsupported("this resource type"));
    }
    let properties: RuleProperties = resource.read()?;
    let pattern = Pattern::parse(&properties.event_pattern).map_err(|reason| resource.wrong(reason))?;
    for target in &properties.targets {
        let service = target.arn.split(':').nth(2).unwrap_or_default();
        if !["lambda", "sns", "sqs", "codepipeline"].contains(&service) {
            return Err(resource.unsupported(format!("the target {}", target.arn)));
        }
        if service == "codepipeline" && target.role_arn.is_none() {
            return Err(resource.wrong(format!("the target `{}` needs a RoleArn", target.id)));
        }
        target.retry_policy.check(resource)?;
        for path in target
            .input_transformer
            .iter()
            .flat_map(|transformer| transformer.input_paths_map.values())
        {
            if !path.starts_with("$.") || path.contains(['[', '*', '?']) {
                return Err(resource.unsupported(format!("the input path `{path}`")));
            }
        }
    }
    let rule = Rule {
        arn: resource.arn().to_owned(),
        description: properties.description,
        text: properties.event_pattern.to_string(),
        pattern,
        enabled: properties.state.is_none_or(|state| state == "ENABLED"),
        targets: properties.targets,
    };
    let name = properties.name.unwrap_or_else(|| resource.physical_id.clone());
    cloud.events.rules.insert(name, rule);
    Ok(())
}

/// Puts an event onto the default bus.
pub(crate) fn put(cloud: &mut Cloud, source: &str, detail_type: &str, resources: Vec<String>, detail: Value) {
    let id = cloud.uuid();
    let target = cloud.target();
    let event = json!({
        "version": "0",
        "id": id,
        "detail-type": detail_type,
        "source": source,
        "account": target.account,
        "time": seconds(cloud.now()),
        "region": target.region,
        "resources": resources,
        "detail": detail,
    });
    #[cfg(test)]
    cloud.events.put.push(event.clone());
    cloud.after(
        SignedDuration::ZERO,
        super::Timer::Events(Timer::Deliver(Box::new(event))),
    );
}

/// The events so far.
#[cfg(test)]
pub(crate) fn put_so_far(cloud: &Cloud) -> &[Value] {
    &cloud.events.put
}

/// The events so far, which are then forgotten.
#[cfg(test)]
pub(crate) fn take(cloud: &mut Cloud) -> Vec<Value> {
    std::mem::take(&mut cloud.events.put)
}

/// EventBridge's times have no fraction of a second.
fn seconds(time: jiff::Timestamp) -> String {
    jiff::Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

fn deliver(cloud: &mut Cloud, event: &Value) {
    let rules = cloud.events.rules.values();
    let matching = rules.filter(|rule| rule.enabled && rule.pattern.matches(event));
    let targets: Vec<(String, Target)> = matching
        .flat_map(|rule| rule.targets.iter().map(|target| (rule.arn.clone(), target.clone())))
        .collect();
    let since = cloud.now();
    for (rule_arn, target) in targets {
        let delivery = Delivery {
            rule_arn,
            target,
            event: event.clone(),
            since,
            retries: 0,
            error: None,
        };
        attempt(cloud, delivery);
    }
}

/// Tries to invoke the target.
fn attempt(cloud: &mut Cloud, delivery: Delivery) {
    let result = invoke(cloud, &delivery);
    settle(cloud, delivery, result);
}

fn invoke(cloud: &mut Cloud, delivery: &Delivery) -> Result<(), ApiError> {
    let Delivery { target, event, .. } = delivery;
    delivery::reach(cloud, &target.arn)?;
    let input = input(target, event);
    let source = (PRINCIPAL, delivery.rule_arn.as_str());
    match target.arn.split(':').nth(2).unwrap_or_default() {
        "lambda" => lambda::invoke_as_service(cloud, source, &target.arn, input),
        "codepipeline" => start_pipeline(cloud, &delivery.rule_arn, target),
        // The topic's subscribers see the JSON text, a string with its quotation marks.
        "sns" => sns::publish_as_service(cloud, source, &target.arn, None, &input.to_string()),
        _ if sqs::exists(cloud, &target.arn) => {
            sqs::send_as_service(cloud, source, &target.arn, &input.to_string(), json!({}))
        }
        _ => Err(sqs::missing()),
    }
}

/// What comes of a try: a failed one is made again by the target's retry policy, unless nothing but a person can help, and is a dead
/// letter at the end, as <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html> has it.
fn settle(cloud: &mut Cloud, delivery: Delivery, result: Result<(), ApiError>) {
    let Err(error) = result else {
        return;
    };
    let data = json!({"target": delivery.target.arn, "error": error.to_string(), "retries": delivery.retries});
    cloud.note("events", &delivery.rule_arn, "delivery-failed", data);
    let next = delivery
        .target
        .retry_policy
        .next(delivery.retries, delivery.since, cloud.now());
    let in_vain = matches!(error_code(&error), "NO_PERMISSIONS" | "NO_RESOURCE");
    let delivery = Delivery {
        error: Some(error),
        ..delivery
    };
    match next {
        _ if in_vain => give_up(cloud, &delivery, None),
        Next::Wait(wait) => cloud.after(wait, super::Timer::Events(Timer::Retry(Box::new(delivery)))),
        Next::GiveUp(exhausted) => give_up(cloud, &delivery, Some(exhausted)),
    }
}

/// What a dead letter calls a target's error.
fn error_code(error: &ApiError) -> &'static str {
    let code = error.code.as_str();
    if code.starts_with("AccessDenied") || code == "AuthorizationError" || error.status == 403 {
        "NO_PERMISSIONS"
    } else if code.ends_with("NotFoundException") || code.ends_with("NonExistentQueue") || error.status == 404 {
        "NO_RESOURCE"
    } else if code.contains("Throttl") || code.starts_with("TooManyRequests") || error.status == 429 {
        "THROTTLING"
    } else {
        "ERROR_FROM_TARGET"
    }
}

fn give_up(cloud: &mut Cloud, delivery: &Delivery, exhausted: Option<&str>) {
    let Some(queue) = &delivery.target.dead_letter_config else {
        return;
    };
    let error = delivery.error.as_ref();
    let attributes = delivery::attributes(&[
        ("RULE_ARN", Some(&delivery.rule_arn)),
        ("TARGET_ARN", Some(&delivery.target.arn)),
        ("ERROR_CODE", error.map(error_code)),
        ("ERROR_MESSAGE", error.map(|error| error.message.as_str())),
        ("EXHAUSTED_RETRY_CONDITION", exhausted),
        ("RETRY_ATTEMPTS", Some(&delivery.retries.to_string())),
    ]);
    let (source, body) = ((PRINCIPAL, delivery.rule_arn.as_str()), delivery.event.to_string());
    if let Err(error) = sqs::send_as_service(cloud, source, &queue.arn, &body, attributes) {
        sqs::lost(cloud, &queue.arn, &body, &error);
    }
}

/// Starts a pipeline in the name of the target's role.
fn start_pipeline(cloud: &mut Cloud, rule_arn: &str, target: &Target) -> Result<(), ApiError> {
    let acting = Acting {
        service: PRINCIPAL,
        role_arn: target.role_arn.as_deref().unwrap_or_default(),
        source_arn: rule_arn,
        session: &target.id,
    };
    let ask = Ask::new("codepipeline:StartPipelineExecution", target.arn.as_str());
    iam::as_service(cloud, &acting, &[ask])
        .map_err(|denied| ApiError::new("AccessDeniedException", denied.to_string()))?;
    codepipeline::start_from_event(cloud, &target.arn)
}

fn input(target: &Target, event: &Value) -> Value {
    if let Some(input) = &target.input {
        return serde_json::from_str(input).unwrap_or_else(|_| input.as_str().into());
    }
    let Some(transformer) = &target.input_transformer else {
        return event.clone();
    };
    // `"…<variable>…"` is a text, whose variables are put in as they are; `{…<variable>…}` is JSON, with the variables' JSON.
    let template = transformer.input_template.trim();
    let is_text = template.starts_with('"');
    let mut filled = template.to_owned();
    for (name, path) in &transformer.input_paths_map {
        let mut value = event;
        for part in path.trim_start_matches("$.").split('.') {
            value = value.get(part).unwrap_or(&Value::Null);
        }
        let text = match value {
            Value::Null if is_text => String::new(),
            Value::String(text) if is_text => {
                // Inside of a JSON text, without its own quotation marks.
                let escaped = Value::from(text.as_str()).to_string();
                escaped.trim_matches('"').to_owned()
            }
            value => value.to_string(),
        };
        filled = filled.replace(&format!("<{name}>"), &text);
    }
    serde_json::from_str(&filled).unwrap_or(Value::String(filled))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    source: Option<String>,
    detail_type: Option<String>,
    detail: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
    event_bus_name: Option<String>,
}

fn put_events(cloud: &mut Cloud, input: &Value) -> Value {
    let entries = input
        .get("Entries")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut failed = 0;
    let mut results = Vec::with_capacity(entries.len());
    for entry in entries {
        let refused = |code: &str, message: &str| json!({"ErrorCode": code, "ErrorMessage": message});
        let result = match serde_json::from_value::<Entry>(entry) {
            Ok(Entry {
                source: Some(source),
                detail_type: Some(kind),
                detail: Some(detail),
                resources,
                event_bus_name,
            }) => {
                let detail = serde_json::from_str::<Value>(&detail);
                let bus = event_bus_name.unwrap_or_else(|| "default".to_owned());
                match detail {
                    _ if source.starts_with("aws.") => {
                        refused("NotAuthorizedForSourceException", "Not authorized for the source.")
                    }
                    _ if bus.rsplit('/').next() != Some("default") => {
                        refused("ResourceNotFoundException", "Event bus does not exist.")
                    }
                    Ok(detail @ Value::Object(_)) => {
                        put(cloud, &source, &kind, resources, detail);
                        json!({"EventId": cloud.uuid()})
                    }
                    _ => refused("MalformedDetail", "Detail is malformed."),
                }
            }
            Ok(Entry { source: None, .. }) => refused(
                "InvalidArgument",
                "Parameter Source is not valid. Reason: Source is a required argument.",
            ),
            Ok(Entry { detail_type: None, .. }) => refused(
                "InvalidArgument",
                "Parameter DetailType is not valid. Reason: DetailType is a required argument.",
            ),
            Ok(_) => refused(
                "InvalidArgument",
                "Parameter Detail is not valid. Reason: Detail is a required argument.",
            ),
            Err(error) => refused("InvalidArgument", &error.to_string()),
        };
        failed += usize::from(result.get("ErrorCode").is_some());
        results.push(result);
    }
    json!({"FailedEntryCount": failed, "Entries": results})
}

fn test_event_pattern(input: &Value) -> Result<Value, ApiError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let invalid = |reason: String| ApiError::new("InvalidEventPatternException", reason);
    let pattern: Value = serde_json::from_str(text("EventPattern"))
        .map_err(|error| invalid(format!("Event pattern is not valid. Reason: {error}")))?;
    let pattern = Pattern::parse(&pattern).map_err(invalid)?;
    let event: Value = serde_json::from_str(text("Event"))
        .map_err(|error| ApiError::validation(format!("Parameter Event is not valid. Reason: {error}")))?;
    let missing = ["id", "account", "source", "time", "region", "resources", "detail-type"]
        .into_iter()
        .find(|name| event.get(name).is_none());
    if let Some(missing) = missing {
        return Err(ApiError::validation(format!(
            "Parameter Event is not valid. Reason: {missing} is a required field."
        )));
    }
    Ok(json!({"Result": pattern.matches(&event)}))
}

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, _caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let describe = |name: &str, rule: &Rule| {
        json!({
            "Name": name,
            "Arn": rule.arn,
            "EventPattern": rule.text,
            "State": if rule.enabled { "ENABLED" } else { "DISABLED" },
            "Description": rule.description.clone().unwrap_or_default(),
            "EventBusName": "default",
        })
    };
    let rule = |cloud: &Cloud, name: &str| {
        let rule = cloud.events.rules.get_key_value(name);
        let missing = || {
            ApiError::new(
                "ResourceNotFoundException",
                format!("Rule {name} does not exist on EventBus default."),
            )
        };
        rule.map(|(name, rule)| (describe(name, rule), rule.targets.clone()))
            .ok_or_else(missing)
    };
    match operation {
        "PutEvents" => Ok(put_events(cloud, input)),
        "TestEventPattern" => test_event_pattern(input),
        "DescribeRule" => Ok(rule(cloud, text("Name"))?.0),
        "ListRules" => {
            let rules = cloud
                .events
                .rules
                .iter()
                .filter(|(name, _)| name.starts_with(text("NamePrefix")));
            Ok(json!({"Rules": rules.map(|(name, rule)| describe(name, rule)).collect::<Vec<_>>()}))
        }
        "ListTargetsByRule" => {
            let (_, targets) = rule(cloud, text("Rule"))?;
            let targets = targets.iter().map(|target| json!({"Id": target.id, "Arn": target.arn}));
            Ok(json!({"Targets": targets.collect::<Vec<_>>()}))
        }
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("the local cloud has no events:{operation}"),
        )),
    }
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    match timer {
        Timer::Deliver(event) => deliver(cloud, &event),
        Timer::Retry(delivery) => {
            if delivery.target.retry_policy.is_over(delivery.since, cloud.now()) {
                give_up(cloud, &delivery, Some("MaximumEventAgeInSeconds"));
            } else {
                let retries = delivery.retries + 1;
                attempt(cloud, Delivery { retries, ..*delivery });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_transformed() {
        let target = |template: &str| Target {
            id: "t".into(),
            arn: "arn:aws:sns:eu-west-1:1:t".into(),
            role_arn: None,
            input: None,
            input_transformer: Some(InputTransformer {
                input_paths_map: [("who", "$.detail.who"), ("none", "$.detail.none")]
                    .map(|(name, path)| (name.to_owned(), path.to_owned()))
                    .into(),
                input_template: template.into(),
            }),
            dead_letter_config: None,
            retry_policy: RetryPolicy::default(),
        };
        let event = json!({"detail": {"who": "a \"b\"\n"}});
        for (template, expected) in [
            ("\"by <who>, <none>.\"", json!("by a \"b\"\n, .")),
            (
                "{\"who\": <who>, \"none\": <none>}",
                json!({"who": "a \"b\"\n", "none": null}),
            ),
        ] {
            assert_eq!(input(&target(template), &event), expected, "{template}");
        }
    }

    const RULE: &str = r#"
Resources:
  Look:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: look, Handler: bootstrap, Runtime: provided.al2023, Role: r, Code: {Binary: look}}
  Dead: {Type: AWS::SQS::Queue, Properties: {QueueName: dead}}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      Name: all
      EventPattern: {source: [test]}
      Targets:
        - Id: look
          Arn: !GetAtt Look.Arn
          RetryPolicy: {MaximumRetryAttempts: 3, MaximumEventAgeInSeconds: 3600}
          DeadLetterConfig: {Arn: !GetAtt Dead.Arn}
"#;

    #[test]
    fn dead_letters_say_what_was_tried() {
        const LOOK: &str = "arn:aws:lambda:eu-west-1:123456789012:function:look";
        let by_count = Some("MaximumRetryAttempts");
        for (code, seconds, expected) in [
            ("TooManyRequestsException", 7, ("THROTTLING", "3", by_count)),
            ("ServiceException", 7, ("ERROR_FROM_TARGET", "3", by_count)),
            ("ResourceNotFoundException", 0, ("NO_RESOURCE", "0", None)),
            ("AccessDeniedException", 0, ("NO_PERMISSIONS", "0", None)),
        ] {
            let mut cloud = crate::cloud::testing::deploy(RULE).unwrap();
            let start = cloud.now();
            cloud.break_deliveries(LOOK, ApiError::new(code, "in order to see"));
            put(&mut cloud, "test", "Test", Vec::new(), json!({"n": 1}));
            if seconds > 0 {
                cloud.advance(start + SignedDuration::from_secs(seconds - 1));
                assert!(cloud.dead_letters().is_empty(), "{code}");
            }
            cloud.advance(start + SignedDuration::from_secs(seconds));
            let letters = cloud.dead_letters();
            let [letter] = letters.as_slice() else {
                panic!("{code}: {letters:?}")
            };
            let attribute = |name: &str| letter["attributes"][name]["StringValue"].as_str();
            let said = (
                attribute("ERROR_CODE").unwrap(),
                attribute("RETRY_ATTEMPTS").unwrap(),
                attribute("EXHAUSTED_RETRY_CONDITION"),
            );
            assert_eq!(said, expected, "{code}");
            assert_eq!(attribute("ERROR_MESSAGE"), Some("in order to see"));
            assert_eq!(attribute("TARGET_ARN"), Some(LOOK));
            assert_eq!(
                attribute("RULE_ARN"),
                Some("arn:aws:events:eu-west-1:123456789012:rule/all")
            );
            let event: Value = serde_json::from_str(letter["body"].as_str().unwrap()).unwrap();
            assert_eq!(event["detail"], json!({"n": 1}), "the event itself");
        }
    }
}
