//! SQS: the queues that keep what could not be handled.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::{Value, json};

use super::codepipeline::declaration::optional_number;
use super::iam::{self, Acting, Ask, Denied};
use super::{ApiError, Caller, Cloud, cloudwatch};
use crate::template::{Resource, TemplateError};

/// The service's state: queues by name.
#[derive(Debug, Default)]
pub(crate) struct State {
    queues: BTreeMap<String, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    arn: String,
    url: String,
    /// The key of KMS that its messages are encrypted with.
    key: Option<String>,
    messages: VecDeque<Message>,
}

#[derive(Debug, Clone)]
struct Message {
    id: String,
    body: String,
    attributes: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct QueueProperties {
    queue_name: Option<String>,
    #[serde(rename = "MessageRetentionPeriod")]
    _retention: Option<Value>,
    kms_master_key_id: Option<String>,
    #[serde(rename = "SqsManagedSseEnabled")]
    _sse: Option<bool>,
    #[serde(default, deserialize_with = "optional_number")]
    kms_data_key_reuse_period_seconds: Option<u32>,
    // Nothing takes a message out of a queue here: it is never hidden from others, and never sent on to another queue.
    #[serde(default, deserialize_with = "optional_number")]
    visibility_timeout: Option<u32>,
    #[serde(rename = "RedriveAllowPolicy")]
    _redrive_allow: Option<Value>,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PolicyProperties {
    queues: Vec<String>,
    policy_document: Value,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::SQS::Queue" => {
            let properties: QueueProperties = resource.read()?;
            for (name, seconds, bounds) in [
                (
                    "KmsDataKeyReusePeriodSeconds",
                    properties.kms_data_key_reuse_period_seconds,
                    60..=86_400,
                ),
                ("VisibilityTimeout", properties.visibility_timeout, 0..=43_200),
            ] {
                if let Some(seconds) = seconds.filter(|seconds| !bounds.contains(seconds)) {
                    let (least, most) = (bounds.start(), bounds.end());
                    return Err(resource.wrong(format!("{name} {seconds} is not {least} to {most}")));
                }
            }
            let name = properties
                .queue_name
                .or_else(|| resource.arn().rsplit(':').next().map(str::to_owned));
            let queue = Queue {
                arn: resource.arn().to_owned(),
                url: resource.physical_id.clone(),
                key: properties.kms_master_key_id,
                messages: VecDeque::new(),
            };
            cloud.sqs.queues.insert(name.unwrap_or_default(), queue);
            Ok(())
        }
        "AWS::SQS::QueuePolicy" => {
            let properties: PolicyProperties = resource.read()?;
            let arn = |url: &String| cloud.arn("sqs", url.rsplit('/').next().unwrap_or_default());
            let arns: Vec<String> = properties.queues.iter().map(arn).collect();
            iam::attach_policy(
                cloud,
                resource,
                "AWS::SQS::QueuePolicy",
                &properties.policy_document,
                &arns,
            )
        }
        _ => Err(resource.unsupported("this resource type")),
    }
}

/// The key of KMS that a queue's messages are encrypted with, by id, ARN or alias.
pub(crate) fn key_of<'a>(cloud: &'a Cloud, queue_arn: &str) -> Option<&'a str> {
    let queue = cloud.sqs.queues.get(queue_arn.rsplit(':').next()?)?;
    queue.key.as_deref()
}

/// Sends a message as a service does in its own name, on account of the resource of that ARN: the queue's policy, and its key's, have
/// to let it.
///
/// # Errors
/// `AccessDenied` where they do not.
pub(crate) fn send_as_service(
    cloud: &mut Cloud,
    (service, source_arn): (&str, &str),
    queue_arn: &str,
    body: &str,
    attributes: Value,
) -> Result<(), ApiError> {
    let ask = Ask::new("sqs:SendMessage", queue_arn);
    iam::in_own_name(cloud, service, source_arn, &ask).map_err(|denied| access_denied(&denied))?;
    send(cloud, queue_arn, body, attributes);
    Ok(())
}

/// The same in the name of a role.
///
/// # Errors
/// `AccessDenied` where the role may not.
pub(crate) fn send_in_role(
    cloud: &mut Cloud,
    acting: &Acting<'_>,
    queue_arn: &str,
    body: &str,
    attributes: Value,
) -> Result<(), ApiError> {
    let ask = Ask::new("sqs:SendMessage", queue_arn);
    iam::as_service(cloud, acting, &[ask]).map_err(|denied| access_denied(&denied))?;
    send(cloud, queue_arn, body, attributes);
    Ok(())
}

/// A dead letter that may not be sent is lost.
pub(crate) fn lost(cloud: &mut Cloud, queue_arn: &str, body: &str, error: &ApiError) {
    cloud.note(
        "sqs",
        queue_arn,
        "lost",
        json!({"body": body, "error": error.to_string()}),
    );
}

fn access_denied(denied: &Denied) -> ApiError {
    let error = ApiError::new("AccessDenied", denied.to_string());
    ApiError { status: 403, ..error }
}

/// Sends a message to the queue of that ARN; a queue that isn't there loses it, which is noted.
pub(crate) fn send(cloud: &mut Cloud, queue_arn: &str, body: &str, attributes: Value) {
    let name = queue_arn.rsplit(':').next().unwrap_or_default().to_owned();
    let id = cloud.uuid();
    let Some(queue) = cloud.sqs.queues.get_mut(&name) else {
        cloud.note("sqs", queue_arn, "lost", json!({"body": body}));
        return;
    };
    queue.messages.push_back(Message {
        id,
        body: body.to_owned(),
        attributes,
    });
    let count = queue.messages.len();
    cloud.note("sqs", &name, "kept", json!({"messages": count}));
    measure(cloud, &name, count);
}

/// The queue's depth, for its alarm.
fn measure(cloud: &mut Cloud, name: &str, count: usize) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a queue of 2^52 messages is not to be expected"
    )]
    let visible = count as f64;
    cloudwatch::put_metric(
        cloud,
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        &[("QueueName", name)],
        visible,
    );
}

/// Whether there is a queue of that ARN.
pub(crate) fn exists(cloud: &Cloud, queue_arn: &str) -> bool {
    let name = queue_arn.rsplit(':').next().unwrap_or_default();
    cloud.sqs.queues.contains_key(name)
}

/// The error for a queue that is not there.
pub(crate) fn missing() -> ApiError {
    let message = "The specified queue does not exist.";
    ApiError::new("AWS.SimpleQueueService.NonExistentQueue", message)
}

impl Cloud {
    /// The messages in all queues: what could not be handled or delivered.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<Value> {
        let messages = self.sqs.queues.values().flat_map(|queue| &queue.messages);
        messages
            .map(|message| json!({"body": message.body, "attributes": message.attributes}))
            .collect()
    }
}

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, _caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let queue = |cloud: &Cloud, name: &str| {
        cloud
            .sqs
            .queues
            .get(name)
            .map(|queue| (queue.arn.clone(), queue.url.clone(), queue.messages.len()))
    };
    let name = if text("QueueName").is_empty() {
        text("QueueUrl").rsplit('/').next().unwrap_or_default()
    } else {
        text("QueueName")
    };
    match operation {
        "ListQueues" => {
            let urls: Vec<&str> = cloud.sqs.queues.values().map(|queue| queue.url.as_str()).collect();
            Ok(json!({"QueueUrls": urls}))
        }
        "GetQueueUrl" => Ok(json!({"QueueUrl": queue(cloud, name).ok_or_else(missing)?.1})),
        "GetQueueAttributes" => {
            let (arn, _, count) = queue(cloud, name).ok_or_else(missing)?;
            Ok(json!({"Attributes": {"QueueArn": arn, "ApproximateNumberOfMessages": count.to_string()}}))
        }
        // Messages stay: who looks at a dead-letter queue does not mean to empty it.
        "ReceiveMessage" => {
            let count = input.get("MaxNumberOfMessages").and_then(Value::as_u64).unwrap_or(1);
            let queue = cloud.sqs.queues.get(name).ok_or_else(missing)?;
            let messages = queue
                .messages
                .iter()
                .take(usize::try_from(count).unwrap_or(10))
                .map(|message| {
                    json!({
                        "MessageId": message.id, "ReceiptHandle": message.id, "Body": message.body,
                        "MessageAttributes": message.attributes,
                    })
                });
            Ok(json!({"Messages": messages.collect::<Vec<_>>()}))
        }
        // That it is gone already is no error.
        "DeleteMessage" => {
            let queue = cloud.sqs.queues.get_mut(name).ok_or_else(missing)?;
            queue.messages.retain(|message| message.id != text("ReceiptHandle"));
            let count = queue.messages.len();
            measure(cloud, name, count);
            Ok(json!({}))
        }
        _ => Err(ApiError::new(
            "InvalidAction",
            format!("the local cloud has no sqs:{operation}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::cloud::Service;
    use crate::cloud::testing::{call, deploy};

    #[test]
    fn a_message_that_was_dealt_with_is_deleted() {
        let mut cloud = deploy("Resources: {Q: {Type: AWS::SQS::Queue, Properties: {QueueName: q}}}").unwrap();
        let arn = cloud.arn("sqs", "q");
        for body in ["one", "two"] {
            super::send(&mut cloud, &arn, body, json!({}));
        }
        let url =
            call(&mut cloud, Service::Sqs, "GetQueueUrl", &json!({"QueueName": "q"})).unwrap()["QueueUrl"].clone();
        let received = call(&mut cloud, Service::Sqs, "ReceiveMessage", &json!({"QueueUrl": url})).unwrap();
        let handle = received["Messages"][0]["ReceiptHandle"].clone();
        for _ in 0..2 {
            let input = json!({"QueueUrl": url, "ReceiptHandle": handle});
            call(&mut cloud, Service::Sqs, "DeleteMessage", &input).unwrap();
        }
        let left: Vec<_> = cloud
            .dead_letters()
            .iter()
            .map(|letter| letter["body"].clone())
            .collect();
        assert_eq!(left, ["two"]);
    }

    #[test]
    fn queues_have_bounds() {
        for (properties, words) in [
            (
                "{KmsMasterKeyId: alias/k, KmsDataKeyReusePeriodSeconds: '300', VisibilityTimeout: 0}",
                None,
            ),
            ("{RedriveAllowPolicy: {redrivePermission: denyAll}}", None),
            (
                "{KmsDataKeyReusePeriodSeconds: 59}",
                Some("KmsDataKeyReusePeriodSeconds 59 is not 60 to 86400"),
            ),
            (
                "{VisibilityTimeout: 43201}",
                Some("VisibilityTimeout 43201 is not 0 to 43200"),
            ),
            ("{RedrivePolicy: {}}", Some("unknown field `RedrivePolicy`")),
        ] {
            let template = format!("Resources: {{Q: {{Type: AWS::SQS::Queue, Properties: {properties}}}}}");
            let error = deploy(&template).err().map(|error| error.to_string());
            match words {
                None => assert_eq!(error, None, "{properties}"),
                Some(words) => assert!(error.as_ref().is_some_and(|error| error.contains(words)), "{error:?}"),
            }
        }
    }
}
