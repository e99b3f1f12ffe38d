//! retrain: starts training without a push: by schedule, for new data, for drift.
//!
//! Counts and compares, and starts the version of the SageMaker pipeline that the last push left there. What asks for the training
//! is its token, so that the same schedule, count or alarm delivered twice starts one.

use anyhow::Context;
use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::runtime::Function;
use signalbox_aws::storage::{CountObjects, S3};
use signalbox_aws::training::{ListTrainings, Pipelines, Start, StartTrainings};
use signalbox_model::event::Event;
use signalbox_model::names::ModelName;
use signalbox_model::retraining::{Cause, Decision, decide};

/// How many executions are looked at for one that runs, and for the last push.
const EXECUTIONS_MAX: u8 = 50;

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model.
    pub model: ModelName,
    /// Where the data is.
    pub bucket: String,
    /// Where in the bucket.
    pub data_prefix: String,
    /// How many new objects start a training.
    pub threshold_objects: u32,
    /// How long after a training none is started here.
    pub cooldown: SignedDuration,
}

/// The function.
#[derive(Debug)]
pub struct Retrain {
    settings: Settings,
    pipelines: Pipelines,
    objects: S3,
}

impl Function for Retrain {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let settings = Settings {
            model: environment.parsed("MODEL_NAME")?,
            bucket: environment.required("ARTIFACT_BUCKET")?.to_owned(),
            data_prefix: environment.required("DATA_PREFIX")?.to_owned(),
            threshold_objects: environment.parsed("DATA_THRESHOLD_OBJECTS")?,
            cooldown: SignedDuration::from_mins(environment.parsed("COOLDOWN_MINUTES")?),
        };
        Ok(Self {
            settings,
            pipelines: Pipelines::new(sdk),
            objects: S3::new(sdk),
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        handle(&self.settings, &self.pipelines, &self.objects, event).await
    }
}

#[derive(Debug, Deserialize)]
struct Scheduled {
    trigger: ScheduledTrigger,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScheduledTrigger {
    Schedule,
    Data,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlarmChanged {
    alarm_name: String,
    state: AlarmState,
}

#[derive(Debug, Deserialize)]
struct AlarmState {
    value: String,
    #[serde(default)]
    reason: String,
}

/// Handles one event.
///
/// # Errors
/// Where the event is none that this function takes, or AWS fails: Lambda then tries again.
pub async fn handle(
    settings: &Settings,
    pipelines: &(impl ListTrainings + StartTrainings),
    objects: &impl CountObjects,
    event: Value,
) -> Result<Value, anyhow::Error> {
    let event = Event::parse(event)?;
    let now = event
        .time
        .context("the event has no `time`; the schedule's Input sets it to <aws.scheduler.scheduled-time>")?;
    let pipeline = settings.model.as_str();
    let executions = pipelines.executions(pipeline, EXECUTIONS_MAX).await?;
    let cause = match event.kind() {
        ("signalbox", "Retrain") => match event.detail::<Scheduled>()?.trigger {
            ScheduledTrigger::Schedule => Cause::Schedule { due: now },
            ScheduledTrigger::Data => {
                // Without a training there is nothing that data could be newer than, and counting is spared.
                let since = executions.first().and_then(|last| last.started_at);
                let (bucket, prefix, threshold) = (&settings.bucket, &settings.data_prefix, settings.threshold_objects);
                let new_objects = match since {
                    Some(since) => objects.count_newer(bucket, prefix, since, threshold).await?,
                    None => 0,
                };
                Cause::Data { new_objects, threshold }
            }
        },
        ("aws.cloudwatch", "CloudWatch Alarm State Change") => {
            let alarm: AlarmChanged = event.detail()?;
            if alarm.state.value != "ALARM" {
                tracing::info!(
                    alarm = alarm.alarm_name,
                    state = alarm.state.value,
                    "not an alarm that fires"
                );
                return Ok(Value::Null);
            }
            Cause::Drift {
                alarm: alarm.alarm_name,
                reason: alarm.state.reason,
                fired: now,
            }
        }
        _ => return Err(event.unknown().into()),
    };
    start(
        pipelines,
        pipeline,
        &decide(&cause, &executions, settings.cooldown, now),
        now,
    )
    .await
}

async fn start(
    pipelines: &impl StartTrainings,
    pipeline: &str,
    decision: &Decision,
    now: Timestamp,
) -> Result<Value, anyhow::Error> {
    match decision {
        Decision::Suppressed(reason) => {
            tracing::info!(reason, "no training is started");
        }
        Decision::Start { token, lineage } => {
            let display_name = format!("{}-{}", lineage.trigger.as_str(), now.as_second());
            let start = Start {
                pipeline,
                version: None,
                token,
                display_name: &display_name,
                description: &lineage.to_description(),
            };
            let arn = pipelines.start(&start).await?;
            tracing::info!(execution = arn, trigger = lineage.trigger.as_str(), "training started");
        }
    }
    Ok(Value::Null)
}

#[cfg(test)]
mod tests;
