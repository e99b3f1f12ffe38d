//! endpoint-status: watches the endpoint during and after a release.
//!
//! Tells when an update is being rolled back, or when the endpoint is in a state that only a person can mend. Keeps what would be
//! forgotten: why SageMaker rolls an update back, which the endpoint itself loses with the next one, and what an alarm saw. When an
//! alarm fires within the guard time after a deployment, it starts the rollback pipeline.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_config::SdkConfig;
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::configurations::{ReadConfigs, ReadTags, tag};
use signalbox_aws::endpoints::{Endpoints, ReadEndpoints};
use signalbox_aws::error::ErrorKind;
use signalbox_aws::notices::{Publish, Sns};
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::releases::{Releases, StartRollbacks};
use signalbox_aws::runtime::Function;
use signalbox_model::endpoint::{Endpoint, Status};
use signalbox_model::event::Event;
use signalbox_model::names::{ModelName, ModelPackageGroupArn, ReleaseId};
use signalbox_model::notice::Notice;
use signalbox_model::package::{key, of_release};
use signalbox_model::watch::{self, Reaction, Served};

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model, and so the endpoint.
    pub model: ModelName,
    /// Its versions' group.
    pub group: ModelPackageGroupArn,
    /// Where notices go.
    pub notices_topic_arn: String,
    /// The pipeline that takes a deployed version back.
    pub rollback_pipeline: String,
    /// How long after a deployment an alarm brings the version before back.
    pub guard: SignedDuration,
}

/// The function.
#[derive(Debug)]
pub struct EndpointStatus {
    settings: Settings,
    registry: Registry,
    endpoints: Endpoints,
    rollbacks: Releases,
    notices: Sns,
}

impl Function for EndpointStatus {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let settings = Settings {
            model: environment.parsed("MODEL_NAME")?,
            group: environment.parsed("MODEL_PACKAGE_GROUP_ARN")?,
            notices_topic_arn: environment.required("NOTICES_TOPIC_ARN")?.to_owned(),
            rollback_pipeline: environment.required("ROLLBACK_PIPELINE")?.to_owned(),
            guard: SignedDuration::from_mins(environment.parsed("GUARD_MINUTES")?),
        };
        Ok(Self {
            settings,
            registry: Registry::new(sdk),
            endpoints: Endpoints::new(sdk),
            rollbacks: Releases::new(sdk),
            notices: Sns::new(sdk),
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            registry: &self.registry,
            endpoints: &self.endpoints,
            rollbacks: &self.rollbacks,
            notices: &self.notices,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, R, E, B, N> {
    /// Read and write on versions.
    pub registry: &'a R,
    /// See the endpoint and what serves.
    pub endpoints: &'a E,
    /// Start rollbacks.
    pub rollbacks: &'a B,
    /// Tell people.
    pub notices: &'a N,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointChanged {
    endpoint_status: String,
    endpoint_config_name: Option<String>,
    failure_reason: Option<String>,
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
pub async fn handle<R, E, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, B, N>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    E: ReadEndpoints + ReadConfigs + ReadTags,
    B: StartRollbacks,
    N: Publish,
{
    let event = Event::parse(event)?;
    match event.kind() {
        ("aws.sagemaker", "SageMaker Endpoint State Change") => {
            let changed: EndpointChanged = event.detail()?;
            if Status::parse(&changed.endpoint_status) == Some(Status::RollingBack) {
                keep_failure(settings, ports, &changed).await?;
            }
            if let Some(notice) = notice_of(settings, &changed) {
                tell(settings, ports, &notice).await?;
            }
        }
        ("aws.cloudwatch", "CloudWatch Alarm State Change") => {
            guard(settings, ports, &event).await?;
        }
        _ => return Err(event.unknown().into()),
    }
    Ok(Value::Null)
}

async fn tell<R, E, B, N: Publish>(
    settings: &Settings,
    ports: &Ports<'_, R, E, B, N>,
    notice: &Notice,
) -> Result<(), anyhow::Error> {
    let topic = &settings.notices_topic_arn;
    ports.notices.publish(topic, notice, &BTreeMap::new()).await?;
    Ok(())
}

/// The version that is being deployed, and the first characters of its release, by the configuration's name
/// `GROUP-vN-RELEASE`.
fn deploying<'a>(settings: &Settings, endpoint: &'a Endpoint) -> Option<(u32, &'a str)> {
    let config = &endpoint.pending.as_ref()?.config;
    let version = settings.model.version_of_config(config)?;
    Some((version, config.rsplit_once('-')?.1))
}

/// Writes something on the version that is being deployed.
async fn mark<R: WritePackages, E, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, B, N>,
    version: u32,
    (key, value): (&str, String),
) -> Result<(), anyhow::Error> {
    let metadata = BTreeMap::from([(key.to_owned(), value)]);
    match ports.registry.mark(&settings.group.version(version), &metadata).await {
        // A configuration made by hand may be named after a version that never was.
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        done => Ok(done?),
    }
}

/// Keeps why SageMaker rolls an update back.
async fn keep_failure<R, E, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, B, N>,
    changed: &EndpointChanged,
) -> Result<(), anyhow::Error>
where
    R: WritePackages,
    E: ReadEndpoints,
{
    let Some(endpoint) = ports.endpoints.endpoint(settings.model.as_str()).await? else {
        return Ok(());
    };
    let reason = endpoint.failure_reason.as_deref().or(changed.failure_reason.as_deref());
    // Late, and over: then the release itself has read it, or the next update has erased it.
    let Some(((version, release), reason)) = deploying(settings, &endpoint).zip(reason) else {
        return Ok(());
    };
    mark(settings, ports, version, (key::FAILURE, of_release(release, reason))).await
}

/// What people are told of a change. That a version serves is told by the release that brought it.
fn notice_of(settings: &Settings, changed: &EndpointChanged) -> Option<Notice> {
    let model = &settings.model;
    let config = changed.endpoint_config_name.as_deref().unwrap_or("unknown");
    let reason = changed.failure_reason.as_deref().unwrap_or("SageMaker gives no reason");
    let status = Status::parse(&changed.endpoint_status);
    tracing::info!(status = changed.endpoint_status, config, reason, "the endpoint changed");
    let (subject, text) = match status? {
        Status::RollingBack => (
            "is rolling back",
            "The update is being rolled back; the release's notice will say how it ended.",
        ),
        Status::UpdateRollbackFailed => (
            "endpoint is stuck between two versions",
            "The update failed and so did its rollback: both fleets serve. Release a good version again, which mends it.",
        ),
        Status::Failed => (
            "endpoint has failed",
            "A failed endpoint can only be deleted: delete it, and retry the Deploy stage of the release pipeline.",
        ),
        _ => return None,
    };
    let body = format!("{text}\n\nEndpoint configuration: {config}\nReason: {reason}\n");
    Some(Notice::new(&format!("[signalbox] {model} {subject}"), body))
}

/// What is known of the configuration that serves that version.
async fn served<R, E, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, B, N>,
    endpoint: &Endpoint,
    version: u32,
) -> Result<Served, anyhow::Error>
where
    R: ReadPackages,
    E: ReadConfigs + ReadTags,
{
    let config_arn = settings.group.endpoint_config_arn(&endpoint.config);
    let mut tags = ports.endpoints.tags(&config_arn).await?;
    let config = ports.endpoints.config(&endpoint.config).await?;
    let made_at = config.and_then(|config| config.facts.made_at);
    let release: Option<ReleaseId> = tags.get(tag::RELEASE).and_then(|release| release.parse().ok());
    let package = match ports.registry.package(&settings.group.version(version)).await {
        Ok(package) => Some(package),
        Err(error) if error.kind == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let deployed_at = match (package, &release) {
        // Nothing, where its end was not told yet.
        (Some(package), Some(release)) if package.release().as_ref() == Some(release) => package.deployed_at(release),
        // The version's newest release is another one.
        _ => made_at,
    };
    Ok(Served {
        made_at,
        release,
        replaces: tags.remove(tag::REPLACES),
        undoes: tags.remove(tag::UNDOES),
        deployed_at,
    })
}

/// An alarm: during an update what it saw is kept; after a deployment it has the version taken back.
async fn guard<R, E, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, B, N>,
    event: &Event,
) -> Result<(), anyhow::Error>
where
    R: ReadPackages + WritePackages,
    E: ReadEndpoints + ReadConfigs + ReadTags,
    B: StartRollbacks,
    N: Publish,
{
    let alarm: AlarmChanged = event.detail()?;
    if alarm.state.value != "ALARM" {
        return Ok(());
    }
    let fired = event.time.context("the alarm's event has no `time`")?;
    let (name, saw) = (alarm.alarm_name.as_str(), alarm.state.reason.as_str());
    let Some(endpoint) = ports.endpoints.endpoint(settings.model.as_str()).await? else {
        tracing::info!(alarm = name, "an alarm without an endpoint");
        return Ok(());
    };
    if let Some((version, release)) = deploying(settings, &endpoint) {
        tracing::info!(
            alarm = name,
            version,
            "fired while the version is deployed; SageMaker rolls it back"
        );
        let kept = of_release(release, &format!("{name}: {saw}"));
        return mark(settings, ports, version, (key::ALARM, kept)).await;
    }
    let Some(version) = settings.model.version_of_config(&endpoint.config) else {
        tracing::info!(alarm = name, config = endpoint.config, "what serves is not the train's");
        return Ok(());
    };
    let served = served(settings, ports, &endpoint, version).await?;
    match watch::decide(&endpoint, &served, fired, settings.guard) {
        Reaction::TakeBack(release) => {
            let reason = format!("the alarm {name} fired after the deployment: {saw}");
            let rollback = ports
                .rollbacks
                .roll_back(&settings.rollback_pipeline, version, &release, &reason)
                .await?;
            tracing::warn!(alarm = name, version, %rollback, "its rollback was started, unless it had been");
        }
        Reaction::Tell(reason) => {
            let model = &settings.model;
            let body = format!("The alarm {name} fires: {saw}\n\nNothing was done about it: {reason}.\n");
            let subject = format!("[signalbox] {model} alarm {name}: look at the endpoint");
            tell(settings, ports, &Notice::new(&subject, body)).await?;
        }
        Reaction::Leave(reason) => tracing::info!(alarm = name, reason, "nothing to do"),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
