//! Telling people, by SNS.

use std::collections::BTreeMap;

use aws_sdk_sns::types::MessageAttributeValue;
use signalbox_model::notice::Notice;

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
pub struct Sns(aws_sdk_sns::Client);

impl Sns {
    /// The port over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_sns::Client::new(sdk))
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
        let mut request = self
            .0
            .publish()
            .topic_arn(topic_arn)
            .subject(notice.subject())
            .message(notice.body());
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
