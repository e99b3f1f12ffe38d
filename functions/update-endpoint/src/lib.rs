//! update-endpoint: brings the approved version to the endpoint, or takes a deployed one back, and says what is happening until that
//! is done.
//!
//! The job of the release pipeline's Deploy stage ([`release`]) and of the rollback pipeline's ([`rollback`]): observe the endpoint,
//! ask [`reconcile::decide`](signalbox_model::reconcile::decide) for the next step, take it, and answer with a continuation until
//! the end. What is kept between two calls is in the continuation token; where even that was lost, the endpoint and its
//! configurations tell whether the update was asked for.

use aws_config::SdkConfig;
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::alarms::{Alarms, ReadAlarms};
use signalbox_aws::clock::{Clock, ServerClock};
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::configurations::{ClearConfigs, MakeConfigs, ReadConfigs, ReadTags, WriteTags};
use signalbox_aws::counts::{Count, EmbeddedMetrics, Measure};
use signalbox_aws::endpoints::{CreateEndpoints, Endpoints, ReadEndpoints, UpdateEndpoints};
use signalbox_aws::job::{Answer, AnswerJobs, Failure, Jobs, answer};
use signalbox_aws::log;
use signalbox_aws::macs::{GenerateMac, Macs};
use signalbox_aws::notices::{Publish, Sns};
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::releases::{ReadExecutions, Releases, StartRollbacks};
use signalbox_aws::runtime::Function;
use signalbox_aws::scaling::{AutoScaling, ScaleVariants};
use signalbox_model::job::Job;
use signalbox_model::mail;
use signalbox_model::names::{ModelPackageArn, ReleaseId};
use signalbox_model::notice::Notice;
use signalbox_model::reconcile::Progress;

mod clear;
pub mod release;
pub mod rollback;
mod settings;

pub use settings::Settings;

/// The function.
#[derive(Debug)]
pub struct UpdateEndpoint {
    settings: Settings,
    jobs: Jobs,
    registry: Registry,
    endpoints: Endpoints,
    alarms: Alarms,
    notices: Sns,
    rollbacks: Releases,
    scaling: AutoScaling,
    macs: Macs,
    counts: EmbeddedMetrics,
    clock: ServerClock,
}

impl Function for UpdateEndpoint {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let clock = ServerClock::default();
        let settings = Settings::from_environment(environment)?;
        Ok(Self {
            counts: EmbeddedMetrics::new(settings.model.as_str()),
            settings,
            jobs: Jobs::new(sdk),
            registry: Registry::new(sdk),
            endpoints: Endpoints::with_clock(sdk, &clock),
            alarms: Alarms::new(sdk),
            notices: Sns::new(environment, sdk)?,
            rollbacks: Releases::new(sdk),
            scaling: AutoScaling::new(sdk),
            macs: Macs::new(sdk, environment.required("LINK_KEY_ID")?),
            clock,
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        handle(&self.settings, &self.jobs, self, event).await
    }
}

/// Everything about an endpoint: seeing and changing it, and what it is made of.
pub trait Hosting:
    ReadEndpoints + CreateEndpoints + UpdateEndpoints + ReadConfigs + ReadTags + WriteTags + MakeConfigs + ClearConfigs
{
}

impl<E> Hosting for E where
    E: ReadEndpoints
        + CreateEndpoints
        + UpdateEndpoints
        + ReadConfigs
        + ReadTags
        + WriteTags
        + MakeConfigs
        + ClearConfigs
{
}

/// What the work of a job may do.
pub trait Tools {
    /// Reads and writes versions.
    type Registry: ReadPackages + WritePackages;
    /// Sees, makes and updates what serves.
    type Endpoints: Hosting;
    /// Sees whether alarms fire.
    type Alarms: ReadAlarms;
    /// Tells people.
    type Notices: Publish;
    /// Sees whether an execution goes on; starts the rollback of what was just deployed.
    type Rollbacks: ReadExecutions + StartRollbacks;
    /// Has the variant scaled.
    type Scaling: ScaleVariants;
    /// Signs the link that takes a deployment back.
    type Macs: GenerateMac;
    /// Counts and measures what happens.
    type Counts: Count + Measure;
    /// Knows the time.
    type Clock: Clock;

    /// The port.
    fn registry(&self) -> &Self::Registry;
    /// The port.
    fn endpoints(&self) -> &Self::Endpoints;
    /// The port.
    fn alarms(&self) -> &Self::Alarms;
    /// The port.
    fn notices(&self) -> &Self::Notices;
    /// The port.
    fn rollbacks(&self) -> &Self::Rollbacks;
    /// The port.
    fn scaling(&self) -> &Self::Scaling;
    /// The port.
    fn macs(&self) -> &Self::Macs;
    /// The port.
    fn counts(&self) -> &Self::Counts;
    /// The port.
    fn clock(&self) -> &Self::Clock;
}

impl Tools for UpdateEndpoint {
    type Registry = Registry;
    type Endpoints = Endpoints;
    type Alarms = Alarms;
    type Notices = Sns;
    type Rollbacks = Releases;
    type Scaling = AutoScaling;
    type Macs = Macs;
    type Counts = EmbeddedMetrics;
    type Clock = ServerClock;

    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    fn notices(&self) -> &Sns {
        &self.notices
    }

    fn rollbacks(&self) -> &Releases {
        &self.rollbacks
    }

    fn scaling(&self) -> &AutoScaling {
        &self.scaling
    }

    fn macs(&self) -> &Macs {
        &self.macs
    }

    fn counts(&self) -> &EmbeddedMetrics {
        &self.counts
    }

    fn clock(&self) -> &ServerClock {
        &self.clock
    }
}

/// The action's user parameters: of the release pipeline, with a version, or of the rollback pipeline, with what it undoes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parameters {
    release: ReleaseId,
    model_package: Option<ModelPackageArn>,
    undoes: Option<String>,
    reason: Option<String>,
}

/// Handles one job.
///
/// # Errors
/// Where the event is no job, or the job could not be answered.
pub async fn handle(
    settings: &Settings,
    jobs: &impl AnswerJobs,
    tools: &impl Tools,
    event: Value,
) -> Result<Value, anyhow::Error> {
    let job = Job::parse(event)?;
    answer(jobs, &job, work(settings, tools, &job)).await?;
    Ok(Value::Null)
}

async fn work(settings: &Settings, tools: &impl Tools, job: &Job) -> Result<Answer, Failure> {
    let parameters: Parameters = job.parameters()?;
    log::release(&parameters.release);
    let work = Work {
        settings,
        tools,
        id: &parameters.release,
        progress: Progress::parse(job.continuation_token.as_deref()),
    };
    match (parameters.model_package, parameters.undoes) {
        (Some(package), None) => release::bring(&work, &package).await,
        (None, Some(undoes)) => {
            let undoes = undoes
                .parse()
                .map_err(|error| Failure::configuration(format!("the variable Undoes is wrong: {error}")))?;
            rollback::take_back(&work, undoes, parameters.reason.as_deref().unwrap_or_default()).await
        }
        _ => Err(Failure::configuration(
            "the action's UserParameters are wrong: they have `modelPackage` (to release a version) or `undoes` (to take one back)",
        )),
    }
}

/// The work of one job.
struct Work<'a, T> {
    settings: &'a Settings,
    tools: &'a T,
    /// The execution that it is done for.
    id: &'a ReleaseId,
    /// What is known of earlier tries.
    progress: Progress,
}

impl<T: Tools> Work<'_, T> {
    /// Asks CodePipeline to call again.
    fn going_on(&self, progress: &Progress, summary: String, percent: u8) -> Answer {
        tracing::info!(summary, percent, "going on");
        Answer::Continue {
            token: progress.token(),
            summary,
            percent,
        }
    }

    /// Nothing is begun for an execution that has ended. Lambda may deliver a job's event again, long after the job was answered: its
    /// version may have been taken back since, and what `serving` means may be another one.
    ///
    /// # Errors
    /// Where it has ended.
    async fn unless_ended(&self, pipeline: &str) -> Result<(), Failure> {
        if self.tools.rollbacks().is_in_progress(pipeline, self.id).await? {
            return Ok(());
        }
        tracing::warn!(pipeline, "a job of an execution that has ended: nothing is begun");
        Err(Failure::failed(format!("the execution {} has ended", self.id)))
    }

    async fn tell(&self, notice: &Notice) -> Result<(), Failure> {
        let topic = &self.settings.notices_topic_arn;
        self.tools.notices().publish(topic, notice, &Default::default()).await?;
        Ok(())
    }

    /// Has the variant scaled as the template says, where it says so. What serves goes on serving if that can't be: people are told.
    async fn scale(&self) -> Result<(), Failure> {
        let settings = self.settings;
        let Some(scaling) = &settings.capacity.scaling else {
            return Ok(());
        };
        let (endpoint, variant) = (settings.model.as_str(), settings.variant_name.as_str());
        match self.tools.scaling().scale(endpoint, variant, scaling).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "the variant is not scaled");
                self.tell(&mail::not_scaled(&settings.model, &error.to_string())).await
            }
        }
    }

    /// Tells of progress: what it is about goes on, told or not.
    async fn mention(&self, notice: &Notice) {
        if !self.settings.tells_each_shift {
            return;
        }
        if let Err(failure) = self.tell(notice).await {
            tracing::warn!(message = failure.message, subject = notice.subject(), "not told");
        }
    }
}

#[cfg(test)]
mod tests;
