//! CloudWatch alarms.

use aws_sdk_cloudwatch::types::StateValue;

use crate::error::AwsError;

/// Lets one see whether alarms fire.
pub trait ReadAlarms: Send + Sync {
    /// Those of the alarms (up to a hundred names) that are in ALARM.
    ///
    /// # Errors
    /// Whatever CloudWatch says.
    fn firing(&self, names: &[String]) -> impl Future<Output = Result<Vec<String>, AwsError>> + Send;
}

/// CloudWatch.
#[derive(Debug, Clone)]
pub struct Alarms(aws_sdk_cloudwatch::Client);

impl Alarms {
    /// The port over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_cloudwatch::Client::new(sdk))
    }
}

impl ReadAlarms for Alarms {
    async fn firing(&self, names: &[String]) -> Result<Vec<String>, AwsError> {
        if names.is_empty() {
            // An empty list would mean all alarms of the account.
            return Ok(Vec::new());
        }
        let request = self
            .0
            .describe_alarms()
            .set_alarm_names(Some(names.to_vec()))
            .state_value(StateValue::Alarm);
        let answer = request
            .send()
            .await
            .map_err(|error| AwsError::of("cloudwatch:DescribeAlarms", &error))?;
        let names = answer.metric_alarms().iter().filter_map(|alarm| alarm.alarm_name());
        Ok(names.map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests;
