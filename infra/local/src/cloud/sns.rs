//! SNS: topics, subscriptions with filter policies, and what is published.
//!
//! [`message`] is what is published, [`deliver`] brings it to a subscription.

mod deliver;
mod message;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::deliver::Delivery;
pub use self::deliver::HttpsDelivery;
pub(crate) use self::deliver::{Timer, on_timer};
use self::message::Message;
use super::effect::Mail;
use super::iam::{self, Acting, Ask, Denied};
use super::{ApiError, Caller, Cloud};
use crate::pattern::Pattern;
use crate::template::{Resource, TemplateError};

/// SNS, as policies name it.
const PRINCIPAL: &str = "sns.amazonaws.com";

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By ARN.
    topics: BTreeMap<String, Topic>,
    subscriptions: Vec<Subscription>,
    inbox: Vec<Mail>,
    https: Vec<HttpsDelivery>,
    /// What was published, for tests: topic, subject, message.
    #[cfg(test)]
    published: Vec<(String, Option<String>, String)>,
}

/// What was published so far: topic, subject, message.
#[cfg(test)]
pub(crate) fn published_so_far(cloud: &Cloud) -> &[(String, Option<String>, String)] {
    &cloud.sns.published
}

#[derive(Debug, Default)]
struct Topic {
    display_name: String,
    /// The key of KMS that its messages are encrypted with: an id, an ARN or an alias.
    key: Option<String>,
}

#[derive(Debug)]
struct Subscription {
    arn: String,
    topic_arn: String,
    protocol: String,
    endpoint: String,
    filter: Option<(Value, Pattern)>,
    /// The queue of its redrive policy.
    dead_letters: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TopicProperties {
    #[serde(rename = "TopicName")]
    _name: Option<String>,
    display_name: Option<String>,
    kms_master_key_id: Option<String>,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SubscriptionProperties {
    topic_arn: String,
    protocol: String,
    endpoint: String,
    filter_policy: Option<Value>,
    filter_policy_scope: Option<String>,
    redrive_policy: Option<RedrivePolicy>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RedrivePolicy {
    dead_letter_target_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PolicyProperties {
    topics: Vec<String>,
    policy_document: Value,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::SNS::Topic" => {
            let properties: TopicProperties = resource.read()?;
            let topic = Topic {
                display_name: properties.display_name.unwrap_or_default(),
                key: properties.kms_master_key_id,
            };
            cloud.sns.topics.insert(resource.arn().to_owned(), topic);
            Ok(())
        }
        "AWS::SNS::Subscription" => {
            let properties: SubscriptionProperties = resource.read()?;
            if !["email", "https", "lambda", "sqs"].contains(&properties.protocol.as_str()) {
                return Err(resource.unsupported(format!("the protocol {}", properties.protocol)));
            }
            if properties.protocol == "https" && !properties.endpoint.starts_with("https://") {
                return Err(resource.wrong(format!(
                    "the endpoint `{}` of the protocol https does not begin with https://",
                    properties.endpoint
                )));
            }
            let dead_letters = properties.redrive_policy.map(|policy| policy.dead_letter_target_arn);
            if let Some(queue) = &dead_letters
                && queue.split(':').nth(2) != Some("sqs")
            {
                return Err(resource.wrong(format!("the dead-letter queue `{queue}` is no queue of SQS")));
            }
            if properties
                .filter_policy_scope
                .is_some_and(|scope| scope != "MessageAttributes")
            {
                return Err(resource.unsupported("FilterPolicyScope MessageBody"));
            }
            let filter = match properties.filter_policy {
                Some(policy) => Some((
                    policy.clone(),
                    Pattern::parse(&policy).map_err(|reason| resource.wrong(reason))?,
                )),
                None => None,
            };
            cloud.sns.subscriptions.push(Subscription {
                arn: resource.physical_id.clone(),
                topic_arn: properties.topic_arn,
                protocol: properties.protocol,
                endpoint: properties.endpoint,
                filter,
                dead_letters,
            });
            Ok(())
        }
        "AWS::SNS::TopicPolicy" => {
            let properties: PolicyProperties = resource.read()?;
            let kind = "AWS::SNS::TopicPolicy";
            iam::attach_policy(cloud, resource, kind, &properties.policy_document, &properties.topics)
        }
        _ => Err(resource.unsupported("this resource type")),
    }
}

/// The key of KMS that a topic's messages are encrypted with, by id, ARN or alias.
pub(crate) fn key_of<'a>(cloud: &'a Cloud, topic_arn: &str) -> Option<&'a str> {
    cloud.sns.topics.get(topic_arn)?.key.as_deref()
}

/// Publishes as another service does in its own name, on account of the resource of that ARN, without attributes: the topic's
/// policy, and its key's, have to let it.
///
/// # Errors
/// `AuthorizationError` where they do not; else what SNS refuses.
pub(crate) fn publish_as_service(
    cloud: &mut Cloud,
    (service, source_arn): (&str, &str),
    topic_arn: &str,
    subject: Option<&str>,
    message: &str,
) -> Result<(), ApiError> {
    let ask = Ask::new("sns:Publish", topic_arn);
    iam::in_own_name(cloud, service, source_arn, &ask).map_err(|denied| not_authorized(&denied))?;
    publish(cloud, topic_arn, subject, message, None, &Map::new()).map(|_| ())
}

fn not_authorized(denied: &Denied) -> ApiError {
    let error = ApiError::new("AuthorizationError", denied.to_string());
    ApiError { status: 403, ..error }
}

/// The same in the name of a role.
///
/// # Errors
/// `AuthorizationError` where the role may not; else what SNS refuses.
pub(crate) fn publish_in_role(
    cloud: &mut Cloud,
    acting: &Acting<'_>,
    topic_arn: &str,
    subject: Option<&str>,
    message: &str,
) -> Result<(), ApiError> {
    let ask = Ask::new("sns:Publish", topic_arn);
    iam::as_service(cloud, acting, &[ask]).map_err(|denied| not_authorized(&denied))?;
    publish(cloud, topic_arn, subject, message, None, &Map::new()).map(|_| ())
}

/// Subscribes an https endpoint to a topic, as a service does that has its notifications sent; once is enough.
pub(crate) fn subscribe_https(cloud: &mut Cloud, topic_arn: &str, endpoint: &str) -> Result<(), ApiError> {
    if !cloud.sns.topics.contains_key(topic_arn) {
        return Err(no_topic());
    }
    let known = |known: &Subscription| known.topic_arn == topic_arn && known.endpoint == endpoint;
    if !cloud.sns.subscriptions.iter().any(known) {
        let arn = format!("{topic_arn}:{}", cloud.uuid());
        cloud.sns.subscriptions.push(Subscription {
            arn,
            topic_arn: topic_arn.to_owned(),
            protocol: "https".to_owned(),
            endpoint: endpoint.to_owned(),
            filter: None,
            dead_letters: None,
        });
    }
    Ok(())
}

fn no_topic() -> ApiError {
    let error = ApiError::new("NotFound", "Topic does not exist");
    ApiError { status: 404, ..error }
}

/// Publishes; returns the message's id.
fn publish(
    cloud: &mut Cloud,
    topic_arn: &str,
    subject: Option<&str>,
    message: &str,
    structure: Option<&str>,
    attributes: &Map<String, Value>,
) -> Result<String, ApiError> {
    if !cloud.sns.topics.contains_key(topic_arn) {
        return Err(no_topic());
    }
    let invalid = |what: &str| ApiError::new("InvalidParameter", format!("Invalid parameter: {what}"));
    if let Some(subject) = subject {
        let fits = |c: char| !c.is_control();
        if subject.is_empty() || subject.chars().count() >= 100 || !subject.chars().all(fits) {
            return Err(invalid("Subject"));
        }
    }
    if message.is_empty() {
        return Err(invalid("Empty message"));
    }
    if message.len() > 262_144 {
        return Err(invalid("Message too long"));
    }
    let texts = Message::read(message, structure)?;
    #[cfg(test)]
    cloud
        .sns
        .published
        .push((topic_arn.to_owned(), subject.map(str::to_owned), message.to_owned()));
    let id = cloud.uuid();
    let values: Map<String, Value> = attributes
        .iter()
        .filter_map(|(name, attribute)| Some((name.clone(), attribute.get("StringValue")?.clone())))
        .collect();
    let values = Value::Object(values);
    let subscribed = cloud.sns.subscriptions.iter().filter(|subscription| {
        let passes = subscription
            .filter
            .as_ref()
            .is_none_or(|(_, filter)| filter.matches(&values));
        subscription.topic_arn == topic_arn && passes
    });
    let deliveries: Vec<Delivery> = subscribed
        .map(|subscription| Delivery {
            subscription_arn: subscription.arn.clone(),
            topic_arn: topic_arn.to_owned(),
            protocol: subscription.protocol.clone(),
            endpoint: subscription.endpoint.clone(),
            dead_letters: subscription.dead_letters.clone(),
            notification: deliver::notification(
                cloud,
                &id,
                topic_arn,
                subject,
                texts.text(&subscription.protocol),
                attributes,
            ),
            retries: 0,
        })
        .collect();
    for delivery in deliveries {
        deliver::attempt(cloud, delivery);
    }
    Ok(id)
}

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, _caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let subscription = |subscription: &Subscription| {
        json!({
            "SubscriptionArn": subscription.arn,
            "TopicArn": subscription.topic_arn,
            "Protocol": subscription.protocol,
            "Endpoint": subscription.endpoint,
            "Owner": subscription.topic_arn.split(':').nth(4).unwrap_or_default(),
        })
    };
    let topic = |cloud: &Cloud, arn: &str| {
        if cloud.sns.topics.contains_key(arn) {
            Ok(())
        } else {
            Err(no_topic())
        }
    };
    match operation {
        "Publish" => {
            let attributes = input
                .get("MessageAttributes")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            let subject = input.get("Subject").and_then(Value::as_str);
            let structure = input.get("MessageStructure").and_then(Value::as_str);
            let id = publish(
                cloud,
                text("TopicArn"),
                subject,
                text("Message"),
                structure,
                &attributes,
            )?;
            Ok(json!({"MessageId": id}))
        }
        "ListTopics" => {
            let topics: Vec<Value> = cloud.sns.topics.keys().map(|arn| json!({"TopicArn": arn})).collect();
            Ok(json!({"Topics": topics}))
        }
        "GetTopicAttributes" => {
            let arn = text("TopicArn");
            topic(cloud, arn)?;
            let count = cloud
                .sns
                .subscriptions
                .iter()
                .filter(|subscription| subscription.topic_arn == arn)
                .count();
            let found = cloud.sns.topics.get(arn);
            let name = found.map(|topic| topic.display_name.clone()).unwrap_or_default();
            let mut attributes = json!({
                "TopicArn": arn, "DisplayName": name, "SubscriptionsConfirmed": count.to_string(), "SubscriptionsPending": "0",
                "Owner": cloud.target().account,
            });
            if let (Some(key), Some(members)) = (found.and_then(|topic| topic.key.as_ref()), attributes.as_object_mut())
            {
                members.insert("KmsMasterKeyId".to_owned(), key.as_str().into());
            }
            Ok(json!({ "Attributes": attributes }))
        }
        "ListSubscriptionsByTopic" => {
            topic(cloud, text("TopicArn"))?;
            let all = cloud
                .sns
                .subscriptions
                .iter()
                .filter(|subscription| subscription.topic_arn == text("TopicArn"));
            Ok(json!({"Subscriptions": all.map(subscription).collect::<Vec<_>>()}))
        }
        "Subscribe" => {
            topic(cloud, text("TopicArn"))?;
            if !["email", "https", "sqs"].contains(&text("Protocol")) {
                let message = "Invalid parameter: Protocol: the local cloud delivers to email, https and sqs";
                return Err(ApiError::new("InvalidParameter", message));
            }
            let arn = format!("{}:{}", text("TopicArn"), cloud.uuid());
            cloud.sns.subscriptions.push(Subscription {
                arn: arn.clone(),
                topic_arn: text("TopicArn").to_owned(),
                protocol: text("Protocol").to_owned(),
                endpoint: text("Endpoint").to_owned(),
                filter: None,
                dead_letters: None,
            });
            Ok(json!({"SubscriptionArn": arn}))
        }
        "Unsubscribe" => {
            cloud
                .sns
                .subscriptions
                .retain(|subscription| subscription.arn != text("SubscriptionArn"));
            Ok(json!({}))
        }
        _ => Err(ApiError::new(
            "InvalidAction",
            format!("the local cloud has no sns:{operation}"),
        )),
    }
}
