//! update-endpoint: brings the approved version to the endpoint, and says what is happening until it serves or was rolled back.
//!
//! The job of the release pipeline's Deploy stage: observe the endpoint, ask [`reconcile::decide`] for the next step, take it, and
//! answer with a continuation until the end. All that is kept between two calls is one word in the continuation token; where even
//! that was lost, the age of the endpoint configuration tells whether the update was asked for.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::alarms::{Alarms, ReadAlarms};
use signalbox_aws::clock::{Clock, ServerClock};
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::endpoints::{
    CreateEndpoints, Endpoints, MakeConfigs, NewConfig, REPLACES_TAG, ReadEndpoints, UpdateEndpoints,
};
use signalbox_aws::error::ErrorKind;
use signalbox_aws::evidence::rollout_policy;
use signalbox_aws::job::{Answer, AnswerJobs, Failure, Jobs, answer};
use signalbox_aws::notices::{Publish, Sns};
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::runtime::Function;
use signalbox_model::job::Job;
use signalbox_model::mail;
use signalbox_model::names::{ModelName, ModelPackageArn, ReleaseId, version_of_config};
use signalbox_model::notice::Notice;
use signalbox_model::package::{ApprovalStatus, Container, ModelPackage, Outcome, key};
use signalbox_model::reconcile::{self, Step, Wanted};
use signalbox_model::rollout::{Policy, plan};

/// The continuation token once the update has been asked for.
const ASKED: &str = "asked";

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model, and so the endpoint.
    pub model: ModelName,
    /// Where notices go.
    pub notices_topic_arn: String,
    /// The role that the endpoint's containers have.
    pub execution_role_arn: String,
    /// The variant's instance type.
    pub instance_type: String,
    /// The variant's instances.
    pub instance_count: u32,
    /// The variant's name.
    pub variant_name: String,
    /// How a version takes over.
    pub rollout: Policy,
}

/// The function.
#[derive(Debug)]
pub struct UpdateEndpoint {
    settings: Settings,
    jobs: Jobs,
    registry: Registry,
    endpoints: Endpoints,
    alarms: Alarms,
    notices: Sns,
    clock: ServerClock,
}

impl Function for UpdateEndpoint {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let settings = Settings {
            model: environment.parsed("MODEL_NAME")?,
            notices_topic_arn: environment.required("NOTICES_TOPIC_ARN")?.to_owned(),
            execution_role_arn: environment.required("EXECUTION_ROLE_ARN")?.to_owned(),
            instance_type: environment.required("INSTANCE_TYPE")?.to_owned(),
            instance_count: environment.parsed("INSTANCE_COUNT")?,
            variant_name: environment.required("VARIANT_NAME")?.to_owned(),
            rollout: rollout_policy(environment)?,
        };
        let clock = ServerClock::default();
        Ok(Self {
            settings,
            jobs: Jobs::new(sdk),
            registry: Registry::new(sdk),
            endpoints: Endpoints::with_clock(sdk, &clock),
            alarms: Alarms::new(sdk),
            notices: Sns::new(sdk),
            clock,
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            registry: &self.registry,
            endpoints: &self.endpoints,
            alarms: &self.alarms,
            notices: &self.notices,
            clock: &self.clock,
        };
        handle(&self.settings, &self.jobs, &ports, event).await
    }
}

/// What the work of the job may do.
#[derive(Debug)]
pub struct Ports<'a, R, E, A, N, C> {
    /// Read and write versions.
    pub registry: &'a R,
    /// See, make and update what serves.
    pub endpoints: &'a E,
    /// See whether alarms fire.
    pub alarms: &'a A,
    /// Tell people.
    pub notices: &'a N,
    /// Know the time.
    pub clock: &'a C,
}

/// The action's user parameters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    release: ReleaseId,
    model_package: ModelPackageArn,
}

/// Handles one job.
///
/// # Errors
/// Where the event is no job, or the job could not be answered.
pub async fn handle<R, E, A, N, C>(
    settings: &Settings,
    jobs: &impl AnswerJobs,
    ports: &Ports<'_, R, E, A, N, C>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    E: ReadEndpoints + MakeConfigs + CreateEndpoints + UpdateEndpoints,
    A: ReadAlarms,
    N: Publish,
    C: Clock,
{
    let job = Job::parse(event)?;
    answer(jobs, &job, deploy(settings, ports, &job)).await?;
    Ok(Value::Null)
}

async fn deploy<R, E, A, N, C>(
    settings: &Settings,
    ports: &Ports<'_, R, E, A, N, C>,
    job: &Job,
) -> Result<Answer, Failure>
where
    R: ReadPackages + WritePackages,
    E: ReadEndpoints + MakeConfigs + CreateEndpoints + UpdateEndpoints,
    A: ReadAlarms,
    N: Publish,
    C: Clock,
{
    let Parameters { release, model_package } = job.parameters()?;
    if model_package.group() != settings.model.as_str() {
        let reason = format!(
            "`modelPackage` is a version of `{}`, not of `{}`",
            model_package.group(),
            settings.model
        );
        return Err(Failure::configuration(reason));
    }
    let package = ports.registry.package(&model_package).await?;
    let name = settings.model.as_str();
    let config = model_package.endpoint_config_name(&release);
    let release = Release {
        settings,
        ports,
        package: &package,
        id: &release,
    };
    let asked = job.continuation_token.as_deref() == Some(ASKED);
    let endpoint = ports.endpoints.endpoint(name).await?;
    let wanted = Wanted {
        config: &config,
        asked,
        config_made_at: None,
    };
    let mut step = reconcile::decide(endpoint.as_ref(), &wanted, ports.clock.now());
    if matches!(step, Step::Create | Step::Update { .. }) {
        let container = release.may_be_deployed()?;
        let replaced = match &step {
            Step::Update { from } => Some(from.as_str()),
            _ => None,
        };
        // Before anything is made: what can't work leaves nothing behind.
        let plan = match plan(&settings.rollout, settings.instance_count) {
            Ok(plan) => plan,
            Err(error) => {
                return release
                    .fail(
                        &error.to_string(),
                        "Mend the template's parameters, deploy the stack, and retry the stage.",
                    )
                    .await;
            }
        };
        if replaced.is_some() {
            let firing = ports.alarms.firing(&settings.rollout.alarms).await?;
            if !firing.is_empty() {
                let reason = format!(
                    "{} is in ALARM already, so that the update would be rolled back at once",
                    firing.join(", ")
                );
                return release.fail(&reason, "Clear the alarm, and retry the stage.").await;
            }
        }
        ports
            .endpoints
            .make_model(&model_package.model_name(), container, &settings.execution_role_arn)
            .await?;
        let config_made_at = ports.endpoints.make_config(&release.config(&config, replaced)).await?;
        // The configuration was there: whether the update was asked for before is known by its age.
        step = reconcile::decide(
            endpoint.as_ref(),
            &Wanted {
                config_made_at,
                ..wanted
            },
            ports.clock.now(),
        );
        let done = match &step {
            Step::Create => Some(ports.endpoints.create(name, &config).await),
            Step::Update { .. } => Some(ports.endpoints.update(name, &config, &plan).await),
            _ => None,
        };
        match done {
            None => {}
            Some(Ok(())) => {
                tracing::info!(config, strategy = settings.rollout.strategy.as_str(), "asked for");
                return Ok(going_on(ASKED, format!("{config}: asked for"), 10));
            }
            // Another update was faster, or an earlier try of this one: the next look tells which.
            Some(Err(error)) if matches!(error.kind, ErrorKind::Busy | ErrorKind::Exists) => {
                return Ok(going_on("waiting", format!("waiting: {}", error.message), 5));
            }
            Some(Err(error)) if error.kind == ErrorKind::Invalid => {
                return release
                    .fail(&error.message, "Mend what SageMaker refuses, and retry the stage.")
                    .await;
            }
            Some(Err(error)) => return Err(error.into()),
        }
    }
    match step {
        Step::Serving => release.served(&config).await,
        Step::RolledBack { serving, reason } => release.rolled_back(&serving, &reason).await,
        Step::Stuck { reason } => release.fail(&reason, "See the reason for what to do.").await,
        Step::Wait { summary, percent } => {
            let token = if asked { ASKED } else { "waiting" };
            Ok(going_on(token, summary, percent))
        }
        // Decided above, and taken.
        Step::Create | Step::Update { .. } => Ok(going_on("waiting", format!("{config}: looking again"), 5)),
    }
}

fn going_on(token: &str, summary: String, percent: u8) -> Answer {
    tracing::info!(summary, percent, "going on");
    Answer::Continue {
        token: token.to_owned(),
        summary,
        percent,
    }
}

/// One release of one version.
struct Release<'a, R, E, A, N, C> {
    settings: &'a Settings,
    ports: &'a Ports<'a, R, E, A, N, C>,
    package: &'a ModelPackage,
    id: &'a ReleaseId,
}

impl<R, E, A, N, C> Release<'_, R, E, A, N, C>
where
    R: ReadPackages + WritePackages,
    A: ReadAlarms,
    N: Publish,
{
    /// Only what was approved and has passed the gate ever takes traffic.
    fn may_be_deployed(&self) -> Result<&Container, Failure> {
        let label = self.package.arn.label();
        if self.package.approval != ApprovalStatus::Approved {
            let status = self.package.approval.as_str();
            return Err(Failure::configuration(format!(
                "{label} is {status} in the model registry; only an approved version is deployed"
            )));
        }
        if !self.package.gate_held() {
            return Err(Failure::configuration(format!(
                "{label} has not passed the gate; it is not deployed"
            )));
        }
        match self.package.containers.as_slice() {
            [container] => Ok(container),
            containers => {
                let count = containers.len();
                Err(Failure::configuration(format!(
                    "{label} has {count} containers in its inference specification; one is taken"
                )))
            }
        }
    }

    fn config(&self, name: &str, replaced: Option<&str>) -> NewConfig {
        let arn = &self.package.arn;
        let mut tags = vec![
            ("signalbox:model-package".to_owned(), arn.to_string()),
            ("signalbox:release".to_owned(), self.id.to_string()),
        ];
        let metadata = &self.package.metadata;
        tags.extend(
            metadata
                .get(key::COMMIT)
                .map(|commit| ("signalbox:commit".to_owned(), commit.clone())),
        );
        tags.extend(
            metadata
                .get(key::DECIDED_BY)
                .map(|by| ("signalbox:approver".to_owned(), by.clone())),
        );
        tags.extend(replaced.map(|replaced| (REPLACES_TAG.to_owned(), replaced.to_owned())));
        NewConfig {
            name: name.to_owned(),
            model: arn.model_name(),
            variant: self.settings.variant_name.clone(),
            instance_type: self.settings.instance_type.clone(),
            instance_count: self.settings.instance_count,
            tags,
        }
    }

    async fn served(&self, config: &str) -> Result<Answer, Failure> {
        let version = self.package.arn.version();
        let strategy = self.settings.rollout.strategy.as_str();
        let detail = format!("The endpoint configuration is {config}.");
        let notice = mail::deployed(&self.settings.model, version, None, strategy, &detail);
        self.end(Outcome::Deployed, &format!("served by {config}"), &notice)
            .await?;
        Ok(Answer::Done {
            summary: format!("{} serves all traffic, by {config}", self.package.arn.label()),
            external_id: Some(config.to_owned()),
            variables: BTreeMap::from([("EndpointConfigName".to_owned(), config.to_owned())]),
        })
    }

    async fn rolled_back(&self, serving: &str, reason: &str) -> Result<Answer, Failure> {
        let arn = &self.package.arn;
        // SageMaker's reason names the alarm; where it does not, those that fire now are named.
        let named = self
            .settings
            .rollout
            .alarms
            .iter()
            .find(|alarm| reason.contains(alarm.as_str()))
            .cloned();
        let alarm = match named {
            Some(alarm) => Some(alarm),
            None => self
                .ports
                .alarms
                .firing(&self.settings.rollout.alarms)
                .await?
                .into_iter()
                .next(),
        };
        let notice = mail::rolled_back(
            &self.settings.model,
            arn.version(),
            version_of_config(serving).map(|(_, version)| version),
            alarm.as_deref(),
            reason,
        );
        let by = alarm.map_or_else(String::new, |alarm| format!(" by the alarm {alarm}"));
        self.end(Outcome::RolledBack, &format!("rolled back{by}: {reason}"), &notice)
            .await?;
        Err(Failure::failed(format!(
            "{} was rolled back{by}; {serving} serves. SageMaker says: {reason}",
            arn.label()
        )))
    }

    async fn fail(&self, reason: &str, what_to_do: &str) -> Result<Answer, Failure> {
        let notice = mail::release_failed(&self.settings.model, self.package.arn.version(), reason, what_to_do);
        self.end(Outcome::Failed, reason, &notice).await?;
        Err(Failure::configuration(format!("{reason}. {what_to_do}")))
    }

    /// Tells and marks, once: told first, so that who dies in between tells again, but nobody stays untold.
    async fn end(&self, outcome: Outcome, reason: &str, notice: &Notice) -> Result<(), Failure> {
        let metadata = &self.package.metadata;
        let marked = metadata.get(key::OUTCOME).map(String::as_str) == Some(outcome.as_str())
            && metadata.get(key::RELEASE).map(String::as_str) == Some(self.id.as_str());
        if marked && metadata.contains_key(key::REASON) {
            return Ok(());
        }
        self.ports
            .notices
            .publish(&self.settings.notices_topic_arn, notice, &BTreeMap::new())
            .await?;
        let metadata = BTreeMap::from([
            (key::OUTCOME.to_owned(), outcome.as_str().to_owned()),
            (key::REASON.to_owned(), reason.to_owned()),
            (key::RELEASE.to_owned(), self.id.to_string()),
        ]);
        if outcome == Outcome::RolledBack {
            // Quarantine: it is not deployed again by itself, and approving it anew in the registry is what releases it.
            let registry = self.ports.registry;
            registry
                .decide(&self.package.arn, ApprovalStatus::Rejected, reason, &metadata)
                .await?;
        } else {
            self.ports.registry.mark(&self.package.arn, &metadata).await?;
        }
        tracing::info!(version = self.package.arn.label(), release = %self.id, outcome = outcome.as_str(), reason, "the release has ended");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
