//! Telling people, by SNS.

use std::collections::BTreeMap;

use aws_sdk_sns::types::MessageAttributeValue;
use signalbox_model::notice::{Notice, chat};

use crate::config::{ConfigError, Environment};
use crate::error::AwsError;

/// Lets one publish to a topic.
pub trait Publish: Send + Sync {
    /// Publishes a message. SNS gives no token for standard topics: publishing twice is two mails, so callers publish last, or
    /// leave a mark of having published.
    ///
    /// # Errors
    /// Where SNS refuses or fails.
    fn publish(
        &self,
        topic_arn: &str,
        notice: &Notice,
        attributes: &BTreeMap<String, String>,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// SNS.
#[derive(Debug, Clone)]
pub struct Sns {
    client: aws_sdk_sns::Client,
    /// The topic to which a chat channel is subscribed, if one is.
    chat_topic_arn: Option<String>,
}

impl Sns {
    /// The port over the SDK. Where `CHAT` is `true`, what is published to `NOTICES_TOPIC_ARN` is for a chat channel too. No other
    /// topic ever is: the approvals' mails have links that are for one person.
    ///
    /// # Errors
    /// Where `CHAT` is neither `true` nor `false`, or is `true` without a topic.
    pub fn new(environment: &Environment, sdk: &aws_config::SdkConfig) -> Result<Self, ConfigError> {
        let chat_topic_arn = if environment.parsed_or("CHAT", false)? {
            Some(environment.required("NOTICES_TOPIC_ARN")?.to_owned())
        } else {
            None
        };
        Ok(Self {
            client: aws_sdk_sns::Client::new(sdk),
            chat_topic_arn,
        })
    }
}

impl Publish for Sns {
    async fn publish(
        &self,
        topic_arn: &str,
        notice: &Notice,
        attributes: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        let operation = "sns:Publish";
        let request = self.client.publish().topic_arn(topic_arn).subject(notice.subject());
        let mut request = if self.chat_topic_arn.as_deref() == Some(topic_arn) {
            request.message_structure("json").message(chat::with_chat(notice))
        } else {
            request.message(notice.body())
        };
        for (name, value) in attributes {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build();
            let value = value.map_err(|_| AwsError::incomplete(operation, "MessageAttributes.DataType"))?;
            request = request.message_attributes(name, value);
        }
        request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
