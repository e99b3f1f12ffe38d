//! SNS: topics, subscriptions with filter policies, mail.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::effect::{Effect, Mail};
use super::{ApiError, Caller, Cloud, lambda, sqs};
use crate::pattern::Pattern;
use crate::template::{Resource, TemplateError};

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By ARN.
    topics: BTreeMap<String, Topic>,
    subscriptions: Vec<Subscription>,
    inbox: Vec<Mail>,
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
}

#[derive(Debug)]
struct Subscription {
    arn: String,
    topic_arn: String,
    protocol: String,
    endpoint: String,
    filter: Option<(Value, Pattern)>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TopicProperties {
    #[serde(rename = "TopicName")]
    _name: Option<String>,
    display_name: Option<String>,
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
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::SNS::Topic" => {
            let properties: TopicProperties = resource.read()?;
            let topic = Topic {
                display_name: properties.display_name.unwrap_or_default(),
            };
            cloud.sns.topics.insert(resource.arn().to_owned(), topic);
            Ok(())
        }
        "AWS::SNS::Subscription" => {
            let properties: SubscriptionProperties = resource.read()?;
            if !["email", "lambda", "sqs"].contains(&properties.protocol.as_str()) {
                return Err(resource.unsupported(format!("the protocol {}", properties.protocol)));
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
            });
            Ok(())
        }
        // Which services may publish: those that the stack itself has wired do.
        "AWS::SNS::TopicPolicy" => Ok(()),
        _ => Err(resource.unsupported("this resource type")),
    }
}

/// Publishes as another service does, without attributes.
pub(crate) fn publish_as_service(
    cloud: &mut Cloud,
    topic_arn: &str,
    subject: Option<&str>,
    message: &str,
) -> Result<(), ApiError> {
    publish(cloud, topic_arn, subject, message, &Map::new()).map(|_| ())
}

/// Publishes; returns the message's id.
fn publish(
    cloud: &mut Cloud,
    topic_arn: &str,
    subject: Option<&str>,
    message: &str,
    attributes: &Map<String, Value>,
) -> Result<String, ApiError> {
    if !cloud.sns.topics.contains_key(topic_arn) {
        let error = ApiError::new("NotFound", "Topic does not exist");
        return Err(ApiError { status: 404, ..error });
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
    let targets: Vec<(String, String, String)> = subscribed
        .map(|subscription| {
            (
                subscription.arn.clone(),
                subscription.protocol.clone(),
                subscription.endpoint.clone(),
            )
        })
        .collect();
    for (arn, protocol, endpoint) in targets {
        if protocol == "email" {
            mail(cloud, topic_arn, &endpoint, subject, message);
            continue;
        }
        let notification = notification(cloud, &id, topic_arn, subject, message, attributes);
        if protocol == "lambda" {
            let record = json!({
                "EventVersion": "1.0", "EventSubscriptionArn": arn, "EventSource": "aws:sns", "Sns": notification,
            });
            if let Err(error) = lambda::invoke_async(cloud, &endpoint, json!({"Records": [record]})) {
                cloud.note(
                    "sns",
                    topic_arn,
                    "delivery-failed",
                    json!({"endpoint": endpoint, "error": error.to_string()}),
                );
            }
        } else {
            sqs::send(cloud, &endpoint, &notification.to_string(), json!({}));
        }
    }
    Ok(id)
}

fn notification(
    cloud: &Cloud,
    id: &str,
    topic_arn: &str,
    subject: Option<&str>,
    message: &str,
    attributes: &Map<String, Value>,
) -> Value {
    let attributes: Map<String, Value> = attributes
        .iter()
        .map(|(name, value)| {
            let part = |part: &str| value.get(part).cloned().unwrap_or_default();
            (
                name.clone(),
                json!({"Type": part("DataType"), "Value": part("StringValue")}),
            )
        })
        .collect();
    json!({
        "Type": "Notification",
        "MessageId": id,
        "TopicArn": topic_arn,
        "Subject": subject,
        "Message": message,
        "Timestamp": format!("{:.3}", cloud.now()),
        // Nobody here checks a signature; the members are always there.
        "SignatureVersion": "1",
        "Signature": "local",
        "SigningCertURL": format!("https://sns.{}.amazonaws.com/local.pem", cloud.target().region),
        "UnsubscribeURL": format!("https://sns.{}.amazonaws.com/?Action=Unsubscribe", cloud.target().region),
        "MessageAttributes": attributes,
    })
}

fn mail(cloud: &mut Cloud, topic_arn: &str, to: &str, subject: Option<&str>, message: &str) {
    let mail = Mail {
        number: cloud.sns.inbox.len() + 1,
        time: cloud.now(),
        to: to.to_owned(),
        subject: subject.unwrap_or("AWS Notification Message").to_owned(),
        body: message.to_owned(),
        topic_arn: topic_arn.to_owned(),
    };
    cloud.note(
        "sns",
        topic_arn,
        "mail",
        json!({"to": mail.to, "subject": mail.subject, "number": mail.number}),
    );
    cloud.sns.inbox.push(mail.clone());
    cloud.effect(|_| Effect::Mail(mail));
}

impl Cloud {
    /// The mails that were sent so far, oldest first.
    #[must_use]
    pub fn inbox(&self) -> &[Mail] {
        &self.sns.inbox
    }
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
            Err(ApiError {
                status: 404,
                ..ApiError::new("NotFound", "Topic does not exist")
            })
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
            let id = publish(cloud, text("TopicArn"), subject, text("Message"), &attributes)?;
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
            let name = cloud
                .sns
                .topics
                .get(arn)
                .map(|topic| topic.display_name.clone())
                .unwrap_or_default();
            Ok(json!({"Attributes": {
                "TopicArn": arn, "DisplayName": name, "SubscriptionsConfirmed": count.to_string(), "SubscriptionsPending": "0",
                "Owner": cloud.target().account,
            }}))
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
            if !["email", "sqs"].contains(&text("Protocol")) {
                let message = "Invalid parameter: Protocol: the local cloud delivers to email and sqs";
                return Err(ApiError::new("InvalidParameter", message));
            }
            let arn = format!("{}:{}", text("TopicArn"), cloud.uuid());
            cloud.sns.subscriptions.push(Subscription {
                arn: arn.clone(),
                topic_arn: text("TopicArn").to_owned(),
                protocol: text("Protocol").to_owned(),
                endpoint: text("Endpoint").to_owned(),
                filter: None,
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
