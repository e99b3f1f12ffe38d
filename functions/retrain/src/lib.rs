//! retrain: starts training without a push: by schedule, for new data, for drift.
//!
//! Looks at the trainings so far, at what has arrived and at what fires, and starts the version of the SageMaker pipeline that the last
//! green build became, or says why not. What a look needs to know of the one before is in the executions' lineage; the token of a
//! training follows from the one before it, so that whatever asks twice, or at the same time, starts one.

mod arrivals;

use anyhow::Context;
use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::alarms::{Alarms, ReadFiring};
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::counts::{Count, EmbeddedMetrics, RETRAININGS_STARTED, RETRAININGS_SUPPRESSED};
use signalbox_aws::endpoints::{Endpoints, ReadEndpoints};
use signalbox_aws::log;
use signalbox_aws::releases::{ReadUndecided, Releases};
use signalbox_aws::runtime::Function;
use signalbox_aws::storage::{ListObjects, ReadObjects, S3, WriteObjects};
use signalbox_aws::training::{ListTrainings, Pipelines, Start, StartTrainings};
use signalbox_model::alarm::Firing;
use signalbox_model::arrivals::Thresholds;
use signalbox_model::definition::WINDOW_PARAMETERS;
use signalbox_model::event::Event;
use signalbox_model::names::ModelName;
use signalbox_model::retraining::{Cause, Decision, Plan, Policy, Suppressed, decide, new_since};
use signalbox_model::training::Execution;

/// How many executions are looked at, for one that runs and for the last green build: as many as one call lists.
const EXECUTIONS_MAX: u8 = 100;

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model.
    pub model: ModelName,
    /// Where the data is.
    pub bucket: String,
    /// Where in the bucket.
    pub data_prefix: String,
    /// How much new data starts a training.
    pub thresholds: Thresholds,
    /// The alarms that start a training.
    pub alarms: Vec<String>,
    /// The release pipeline.
    pub release_pipeline: String,
    /// When a training waits.
    pub policy: Policy,
}

/// The function.
#[derive(Debug)]
pub struct Retrain {
    settings: Settings,
    pipelines: Pipelines,
    objects: S3,
    alarms: Alarms,
    releases: Releases,
    endpoints: Endpoints,
    counts: EmbeddedMetrics,
}

impl Function for Retrain {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let model: ModelName = environment.parsed("MODEL_NAME")?;
        // A threshold of zero is none.
        let threshold =
            |name: &'static str| Ok(Some(environment.parsed(name)?).filter(|threshold: &u64| *threshold > 0));
        Ok(Self {
            counts: EmbeddedMetrics::new(model.as_str()),
            settings: Settings {
                model,
                bucket: environment.required("ARTIFACT_BUCKET")?.to_owned(),
                data_prefix: environment.required("DATA_PREFIX")?.to_owned(),
                thresholds: Thresholds {
                    objects: threshold("DATA_THRESHOLD_OBJECTS")?,
                    bytes: threshold("DATA_THRESHOLD_BYTES")?,
                },
                alarms: environment.list("RETRAIN_ALARMS"),
                release_pipeline: environment.required("RELEASE_PIPELINE")?.to_owned(),
                policy: Policy {
                    cooldown: SignedDuration::from_mins(environment.parsed("COOLDOWN_MINUTES")?),
                    while_waiting: environment.parsed("RETRAIN_WHILE_WAITING")?,
                },
            },
            pipelines: Pipelines::new(sdk),
            objects: S3::new(sdk),
            alarms: Alarms::new(sdk),
            releases: Releases::new(sdk),
            endpoints: Endpoints::new(sdk),
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            pipelines: &self.pipelines,
            objects: &self.objects,
            alarms: &self.alarms,
            releases: &self.releases,
            endpoints: &self.endpoints,
            counts: &self.counts,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, P, O, A, R, E, C> {
    /// List trainings, and start one.
    pub pipelines: &'a P,
    /// List data; keep how far it was counted.
    pub objects: &'a O,
    /// See which alarms fire.
    pub alarms: &'a A,
    /// See whether a version is not decided on yet.
    pub releases: &'a R,
    /// See which version serves.
    pub endpoints: &'a E,
    /// Count what was started and what was not.
    pub counts: &'a C,
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

/// Handles one event.
///
/// # Errors
/// Where the event is none that this function takes, or AWS fails: Lambda then tries again.
pub async fn handle<P, O, A, R, E, C>(
    settings: &Settings,
    ports: &Ports<'_, P, O, A, R, E, C>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    P: ListTrainings + StartTrainings,
    O: ListObjects + ReadObjects + WriteObjects,
    A: ReadFiring,
    R: ReadUndecided,
    E: ReadEndpoints,
    C: Count,
{
    let event = Event::parse(event)?;
    let now = event
        .time
        .context("the event has no `time`; the schedule's Input sets it to <aws.scheduler.scheduled-time>")?;
    match event.kind() {
        ("signalbox", "Retrain") => match event.detail::<Scheduled>()?.trigger {
            ScheduledTrigger::Schedule => {
                let executions = executions(settings, ports).await?;
                consider(settings, ports, &Cause::Schedule { due: now }, &executions).await?;
            }
            ScheduledTrigger::Data => look(settings, ports, now).await?,
        },
        ("aws.cloudwatch", "CloudWatch Alarm State Change") => {
            let Some(firing) = Firing::told_by(&event)? else {
                tracing::info!("not an alarm that fires");
                return Ok(Value::Null);
            };
            let executions = executions(settings, ports).await?;
            consider(settings, ports, &Cause::Drift { firing, seen: now }, &executions).await?;
        }
        _ => return Err(event.unknown().into()),
    }
    Ok(Value::Null)
}

async fn executions<P: ListTrainings, O, A, R, E, C>(
    settings: &Settings,
    ports: &Ports<'_, P, O, A, R, E, C>,
) -> Result<Vec<Execution>, anyhow::Error> {
    let pipeline = settings.model.as_str();
    Ok(ports.pipelines.executions(pipeline, EXECUTIONS_MAX).await?)
}

/// Looks whether an alarm fires that got no training, because its event was lost or came at the wrong time, and whether enough data
/// has arrived.
async fn look<P, O, A, R, E, C>(
    settings: &Settings,
    ports: &Ports<'_, P, O, A, R, E, C>,
    now: Timestamp,
) -> Result<(), anyhow::Error>
where
    P: ListTrainings + StartTrainings,
    O: ListObjects + ReadObjects + WriteObjects,
    A: ReadFiring,
    R: ReadUndecided,
    E: ReadEndpoints,
    C: Count,
{
    let executions = executions(settings, ports).await?;
    for firing in ports.alarms.firing(&settings.alarms).await? {
        let cause = Cause::Drift { firing, seen: now };
        if consider(settings, ports, &cause, &executions).await? {
            return Ok(());
        }
    }
    // Without a training there is nothing that data could be newer than.
    if executions.is_empty() || !settings.thresholds.any() {
        return Ok(());
    }
    let since = new_since(&executions).unwrap_or(Timestamp::UNIX_EPOCH);
    let count = arrivals::count(settings, ports.objects, since).await?;
    let cause = Cause::Data {
        arrived: count.arrived(),
        whole: count.is_whole(),
        thresholds: settings.thresholds,
        seen: now,
    };
    consider(settings, ports, &cause, &executions).await?;
    Ok(())
}

/// Starts a training for that cause, or says why not. Whether one was started.
async fn consider<P, O, A, R, E, C>(
    settings: &Settings,
    ports: &Ports<'_, P, O, A, R, E, C>,
    cause: &Cause,
    executions: &[Execution],
) -> Result<bool, anyhow::Error>
where
    P: StartTrainings,
    R: ReadUndecided,
    E: ReadEndpoints,
    C: Count,
{
    log::trigger(cause.trigger());
    let mut decision = decide(cause, executions, &settings.policy);
    if matches!(decision, Decision::Start(_))
        && !settings.policy.while_waiting
        && let Some(release) = ports.releases.undecided(&settings.release_pipeline).await?
    {
        decision = Decision::Suppressed(Suppressed::Waiting { release });
    }
    let trigger = cause.trigger().as_str();
    match decision {
        Decision::Start(plan) => {
            let arn = start(settings, ports, *plan).await?;
            log::execution(&arn);
            tracing::info!("training started");
            ports.counts.one(&RETRAININGS_STARTED, &[trigger]);
            Ok(true)
        }
        Decision::Suppressed(suppressed) => {
            let reason = suppressed.to_string();
            if suppressed.is_in_vain() {
                tracing::warn!(reason, "suppressed: no training is started");
                let values = [trigger, suppressed.as_str()];
                ports.counts.one(&RETRAININGS_SUPPRESSED, &values);
            } else {
                tracing::info!(reason, "no training is started");
            }
            Ok(false)
        }
    }
}

/// Starts it; returns the execution's ARN.
async fn start<P, O, A, R, E, C>(
    settings: &Settings,
    ports: &Ports<'_, P, O, A, R, E, C>,
    plan: Plan,
) -> Result<String, anyhow::Error>
where
    P: StartTrainings,
    E: ReadEndpoints,
{
    let pipeline = settings.model.as_str();
    let Plan {
        token,
        display_name,
        mut lineage,
    } = plan;
    let endpoint = ports.endpoints.endpoint(pipeline).await?;
    lineage.champion = endpoint.and_then(|endpoint| settings.model.version_of_config(&endpoint.config));
    let window = lineage.window.map(|window| [window.from, Some(window.until)]);
    let window = WINDOW_PARAMETERS.into_iter().zip(window.unwrap_or_default());
    // What is not known has its default.
    let mut parameters: Vec<_> = window
        .filter_map(|(name, time)| Some((name, time?.to_string())))
        .collect();
    if lineage.version.is_none() {
        // Every definition that the train has brought declares them; one that it does not know may not, and refuses them.
        tracing::warn!("no execution says which version the last push became; the newest is started");
        parameters.clear();
    }
    let start = Start {
        pipeline,
        version: lineage.version,
        token: &token,
        display_name: &display_name,
        description: &lineage.to_description(),
        parameters: &parameters,
    };
    Ok(ports.pipelines.start(&start).await?)
}

#[cfg(test)]
mod tests;
