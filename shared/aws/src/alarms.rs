//! CloudWatch alarms.

use aws_sdk_cloudwatch::types::StateValue;
use signalbox_model::rollout::Alarm;

use crate::error::AwsError;

/// Lets one see whether alarms fire.
pub trait ReadAlarms: Send + Sync {
    /// Those of the alarms (up to a hundred names) that are there, as they are now.
    ///
    /// # Errors
    /// Whatever CloudWatch says.
    fn alarms(&self, names: &[String]) -> impl Future<Output = Result<Vec<Alarm>, AwsError>> + Send;
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
    async fn alarms(&self, names: &[String]) -> Result<Vec<Alarm>, AwsError> {
        if names.is_empty() {
            // An empty list would mean all alarms of the account.
            return Ok(Vec::new());
        }
        let request = self.0.describe_alarms().set_alarm_names(Some(names.to_vec()));
        let answer = request.send().await;
        let answer = answer.map_err(|error| AwsError::of("cloudwatch:DescribeAlarms", &error))?;
        let alarm = |alarm: &aws_sdk_cloudwatch::types::MetricAlarm| {
            // Metric math has its periods inside the metrics.
            let window = alarm
                .period()
                .zip(alarm.evaluation_periods())
                .and_then(|(period, periods)| u32::try_from(period.saturating_mul(periods)).ok());
            Some(Alarm {
                name: alarm.alarm_name()?.to_owned(),
                firing: alarm.state_value() == Some(&StateValue::Alarm),
                reason: alarm.state_reason().unwrap_or_default().to_owned(),
                window_seconds: window,
            })
        };
        Ok(answer.metric_alarms().iter().filter_map(alarm).collect())
    }
}

#[cfg(test)]
mod tests;
