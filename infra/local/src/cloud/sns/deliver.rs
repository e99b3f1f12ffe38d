//! Deliveries: to functions, queues, mail and https endpoints, with what becomes of those that fail.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::super::effect::{Effect, Mail};
use super::super::{self as cloud_of, ApiError, Cloud, chatbot, delivery, lambda, sqs};

use super::PRINCIPAL;

/// How often a delivery to a function or a queue is tried again where the receiver is at fault.
const RETRIES_MAX: u32 = 100_015;

/// A message on its way to one subscription.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(super) subscription_arn: String,
    pub(super) topic_arn: String,
    pub(super) protocol: String,
    pub(super) endpoint: String,
    /// The queue of the subscription's redrive policy.
    pub(super) dead_letters: Option<String>,
    /// What is delivered, as SNS wraps it.
    pub(super) notification: Value,
    pub(super) retries: u32,
}

/// What was delivered to an https endpoint. Nothing is sent there: it is kept, as mails are.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct HttpsDelivery {
    /// Its number, from 1.
    pub number: usize,
    /// When it was delivered.
    pub time: Timestamp,
    /// The address.
    pub endpoint: String,
    /// The body of the request: the notification, with the message's text for https.
    pub notification: Value,
}

/// Makes one try.
pub(super) fn attempt(cloud: &mut Cloud, delivery: Delivery) {
    if let Err(error) = deliver(cloud, &delivery) {
        failed(cloud, delivery, &error);
    }
}

fn deliver(cloud: &mut Cloud, delivery: &Delivery) -> Result<(), ApiError> {
    let Delivery {
        endpoint, notification, ..
    } = delivery;
    delivery::reach(cloud, endpoint)?;
    let source = (PRINCIPAL, delivery.topic_arn.as_str());
    match delivery.protocol.as_str() {
        "email" => mail(cloud, &delivery.topic_arn, endpoint, notification),
        "lambda" => {
            let record = json!({
                "EventVersion": "1.0", "EventSubscriptionArn": delivery.subscription_arn, "EventSource": "aws:sns",
                "Sns": notification,
            });
            return lambda::invoke_as_service(cloud, source, endpoint, json!({"Records": [record]}));
        }
        "https" if endpoint == chatbot::ENDPOINT => chatbot::receive(cloud, &delivery.topic_arn, notification),
        "https" => keep(cloud, endpoint, notification),
        _ if sqs::exists(cloud, endpoint) => {
            return sqs::send_as_service(cloud, source, endpoint, &notification.to_string(), json!({}));
        }
        _ => return Err(sqs::missing()),
    }
    Ok(())
}

/// What comes of a try that failed, as <https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html> has it: where SNS is
/// at fault, whose endpoint is gone or lets it in no longer, there is no other; where the receiver is, many.
fn failed(cloud: &mut Cloud, delivery: Delivery, error: &ApiError) {
    let data = json!({"endpoint": delivery.endpoint, "error": error.to_string(), "retries": delivery.retries});
    cloud.note("sns", &delivery.topic_arn, "delivery-failed", data);
    if is_of_the_receiver(error) && delivery.retries < RETRIES_MAX {
        let wait = wait(delivery.retries);
        let retries = delivery.retries + 1;
        let next = Timer::Retry(Box::new(Delivery { retries, ..delivery }));
        cloud.after(wait, cloud_of::Timer::Sns(next));
    } else if let Some(queue) = &delivery.dead_letters {
        let (source, body) = (
            (PRINCIPAL, delivery.topic_arn.as_str()),
            delivery.notification.to_string(),
        );
        if let Err(error) = sqs::send_as_service(cloud, source, queue, &body, json!({})) {
            sqs::lost(cloud, queue, &body, &error);
        }
    }
}

fn is_of_the_receiver(error: &ApiError) -> bool {
    let code = error.code.as_str();
    error.status >= 500 || error.status == 429 || code.starts_with("TooManyRequests") || code.contains("Throttl")
}

/// How long SNS waits before a retry of an endpoint that AWS manages: three at once, two a second apart, ten with a growing wait, the
/// rest every 20 seconds. How the ten grow is not documented.
fn wait(retries: u32) -> SignedDuration {
    let seconds = match retries {
        0..3 => 0,
        3..5 => 1,
        5..15 => (1 << ((retries - 5) / 2)).min(20),
        _ => 20,
    };
    SignedDuration::from_secs(seconds)
}

fn mail(cloud: &mut Cloud, topic_arn: &str, to: &str, notification: &Value) {
    let text = |member: &str| notification.get(member).and_then(Value::as_str);
    let mail = Mail {
        number: cloud.sns.inbox.len() + 1,
        time: cloud.now(),
        to: to.to_owned(),
        subject: text("Subject").unwrap_or("AWS Notification Message").to_owned(),
        body: text("Message").unwrap_or_default().to_owned(),
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

fn keep(cloud: &mut Cloud, endpoint: &str, notification: &Value) {
    let kept = HttpsDelivery {
        number: cloud.sns.https.len() + 1,
        time: cloud.now(),
        endpoint: endpoint.to_owned(),
        notification: notification.clone(),
    };
    let topic = notification.get("TopicArn").and_then(Value::as_str).unwrap_or_default();
    let data = json!({"endpoint": endpoint, "subject": notification.get("Subject"), "number": kept.number});
    cloud.note("sns", topic, "https", data);
    cloud.sns.https.push(kept);
}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// A delivery that failed is tried again.
    Retry(Box<Delivery>),
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    let Timer::Retry(delivery) = timer;
    attempt(cloud, *delivery);
}

/// A notification, as SNS wraps a message for functions, queues and https endpoints.
pub(super) fn notification(
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

impl Cloud {
    /// The mails that were sent so far, oldest first.
    #[must_use]
    pub fn inbox(&self) -> &[Mail] {
        &self.sns.inbox
    }

    /// What was delivered to https endpoints so far, oldest first. What chats were told is in [`chat`](Self::chat).
    #[must_use]
    pub fn https_deliveries(&self) -> &[HttpsDelivery] {
        &self.sns.https
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_of_a_managed_endpoint_take_23_days() {
        let first: Vec<i64> = (0..16).map(|retry| wait(retry).as_secs()).collect();
        assert_eq!(first, [0, 0, 0, 1, 1, 1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 20]);
        let all: i64 = (0..RETRIES_MAX).map(|retry| wait(retry).as_secs()).sum();
        assert_eq!(all / 86_400, 23);
    }
}
