//! EventBridge: the default bus, rules and their targets.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Caller, Cloud, codepipeline, lambda, sns, sqs};
use crate::pattern::Pattern;
use crate::template::{Resource, TemplateError};

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
    #[serde(rename = "RetryPolicy")]
    _retry: Option<Value>,
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
    for (rule_arn, target) in targets {
        let input = input(&target, event);
        let service = target.arn.split(':').nth(2).unwrap_or_default();
        let done = match service {
            "lambda" => lambda::invoke_async(cloud, &target.arn, input),
            "codepipeline" => codepipeline::start_from_event(cloud, &target.arn),
            // The topic's subscribers see the JSON text, a string with its quotation marks.
            "sns" => sns::publish_as_service(cloud, &target.arn, None, &input.to_string()),
            _ => {
                sqs::send(cloud, &target.arn, &input.to_string(), json!({}));
                Ok(())
            }
        };
        if let Err(error) = done {
            cloud.note(
                "events",
                &rule_arn,
                "delivery-failed",
                json!({"target": target.arn, "error": error.to_string()}),
            );
            if let Some(queue) = &target.dead_letter_config {
                let attribute = |value: &str| json!({"DataType": "String", "StringValue": value});
                let attributes = json!({
                    "RULE_ARN": attribute(&rule_arn),
                    "TARGET_ARN": attribute(&target.arn),
                    "ERROR_CODE": attribute(&error.code),
                    "ERROR_MESSAGE": attribute(&error.message),
                });
                sqs::send(cloud, &queue.arn, &event.to_string(), attributes);
            }
        }
    }
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
            _retry: None,
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
}
