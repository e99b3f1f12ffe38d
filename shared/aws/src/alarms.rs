//! CloudWatch alarms.

use aws_sdk_cloudwatch::types::{MetricAlarm, StateValue};
use signalbox_model::alarm::Firing;
use signalbox_model::rollout::Alarm;

use crate::error::AwsError;
use crate::registry::timestamp;

/// Lets one see whether alarms fire.
pub trait ReadAlarms: Send + Sync {
    /// Those of the alarms (up to a hundred names) that are there, as they are now.
    ///
    /// # Errors
    /// Whatever CloudWatch says.
    fn alarms(&self, names: &[String]) -> impl Future<Output = Result<Vec<Alarm>, AwsError>> + Send;
}

/// Lets one see what fires.
pub trait ReadFiring: Send + Sync {
    /// Those of the metric alarms (up to a hundred names) that fire now. Composite alarms are not among them: who may read those may read
    /// every alarm of the account.
    ///
    /// # Errors
    /// Whatever CloudWatch says.
    fn firing(&self, names: &[String]) -> impl Future<Output = Result<Vec<Firing>, AwsError>> + Send;
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

impl Alarms {
    async fn described(&self, names: &[String], state: Option<StateValue>) -> Result<Vec<MetricAlarm>, AwsError> {
        if names.is_empty() {
            // An empty list would mean all alarms of the account.
            return Ok(Vec::new());
        }
        let request = self.0.describe_alarms().set_alarm_names(Some(names.to_vec()));
        let answer = request.set_state_value(state).send().await;
        let answer = answer.map_err(|error| AwsError::of("cloudwatch:DescribeAlarms", &error))?;
        Ok(answer.metric_alarms.unwrap_or_default())
    }
}

impl ReadFiring for Alarms {
    async fn firing(&self, names: &[String]) -> Result<Vec<Firing>, AwsError> {
        let alarms = self.described(names, Some(StateValue::Alarm)).await?;
        let firing = |alarm: &MetricAlarm| {
            // When its state became ALARM; the other time moves with every evaluation whose reason is another.
            let since = alarm.state_transitioned_timestamp().or(alarm.state_updated_timestamp());
            let reason = alarm.state_reason().unwrap_or_default();
            let since = since.and_then(timestamp)?;
            Some(Firing::new(
                alarm.alarm_name()?,
                reason,
                alarm.state_reason_data(),
                since,
            ))
        };
        // Asked twice: a service that knows no such filter answers with all of them.
        let fires = |alarm: &&MetricAlarm| alarm.state_value() == Some(&StateValue::Alarm);
        Ok(alarms.iter().filter(fires).filter_map(firing).collect())
    }
}

impl ReadAlarms for Alarms {
    async fn alarms(&self, names: &[String]) -> Result<Vec<Alarm>, AwsError> {
        let alarms = self.described(names, None).await?;
        let alarm = |alarm: &MetricAlarm| {
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
        Ok(alarms.iter().filter_map(alarm).collect())
    }
}

#[cfg(test)]
mod tests;
