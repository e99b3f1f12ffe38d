//! SQS: the queues that keep what could not be handled.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::{Value, json};

use super::codepipeline::declaration::optional_number;
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
    #[serde(rename = "SqsManagedSseEnabled")]
    _sse: Option<bool>,
    #[serde(rename = "KmsMasterKeyId")]
    _kms_key: Option<String>,
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
                messages: VecDeque::new(),
            };
            cloud.sqs.queues.insert(name.unwrap_or_default(), queue);
            Ok(())
        }
        // Which services may send: those that the stack itself has wired do.
        "AWS::SQS::QueuePolicy" => Ok(()),
        _ => Err(resource.unsupported("this resource type")),
    }
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
    #[expect(
        clippy::cast_precision_loss,
        reason = "a queue of 2^52 messages is not to be expected"
    )]
    let visible = count as f64;
    cloudwatch::put_metric(
        cloud,
        "AWS/SQS",
        "ApproximateNumberOfMessagesVisible",
        &[("QueueName", &name)],
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
        _ => Err(ApiError::new(
            "InvalidAction",
            format!("the local cloud has no sqs:{operation}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::cloud::testing::deploy;

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
