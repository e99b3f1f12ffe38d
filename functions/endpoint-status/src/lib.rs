//! endpoint-status: watches the endpoint during and after a release.
//!
//! Tells when an update is being rolled back, or when the endpoint is in a state that only a person can mend. Keeps what would be
//! forgotten: why SageMaker rolls an update back, which the endpoint itself loses with the next one, and what an alarm saw. When an
//! alarm fires within the guard time after a deployment, it starts the rollback pipeline; tells of a rollback that has failed and could
//! not tell so itself. Events may be lost: a sweep looks at the endpoint, at its alarms and at the newest rollback. What people were told
//! is noted on the endpoint, so that each trouble is told once.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::alarms::{Alarms, ReadFiring};
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::configurations::{ReadConfigs, ReadTags, WriteTags, tag};
use signalbox_aws::endpoints::{Endpoints, ReadEndpoints};
use signalbox_aws::error::ErrorKind;
use signalbox_aws::log;
use signalbox_aws::notices::{Publish, Sns};
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::releases::{FailedRollback, ReadRollbacks, Releases, StartRollbacks};
use signalbox_aws::runtime::Function;
use signalbox_model::alarm::Firing;
use signalbox_model::endpoint::{Endpoint, Status};
use signalbox_model::event::Event;
use signalbox_model::mail::{self, Trouble};
use signalbox_model::names::{ModelName, ModelPackageGroupArn, ReleaseId};
use signalbox_model::notice::Notice;
use signalbox_model::package::{key, metadata_value, of_release};
use signalbox_model::undo::{alarm_fired, told_failure, was_failure_told};
use signalbox_model::watch::{self, Reaction, Served};

/// A rollback that failed longer ago is no news.
const NEWS: SignedDuration = SignedDuration::from_hours(24);

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
    /// The alarms that do.
    pub alarms: Vec<String>,
}

/// The function.
#[derive(Debug)]
pub struct EndpointStatus {
    settings: Settings,
    registry: Registry,
    endpoints: Endpoints,
    alarms: Alarms,
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
            alarms: environment.list("ALARM_NAMES"),
        };
        Ok(Self {
            settings,
            registry: Registry::new(sdk),
            endpoints: Endpoints::new(sdk),
            alarms: Alarms::new(sdk),
            rollbacks: Releases::new(sdk),
            notices: Sns::new(environment, sdk)?,
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            registry: &self.registry,
            endpoints: &self.endpoints,
            alarms: &self.alarms,
            rollbacks: &self.rollbacks,
            notices: &self.notices,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, R, E, A, B, N> {
    /// Read and write on versions.
    pub registry: &'a R,
    /// See the endpoint and what serves; note on the endpoint what was told.
    pub endpoints: &'a E,
    /// See which alarms fire.
    pub alarms: &'a A,
    /// Start rollbacks, and see how they end.
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
struct ExecutionChanged {
    pipeline: String,
    state: String,
}

/// Handles one event.
///
/// # Errors
/// Where the event is none that this function takes, or AWS fails: Lambda then tries again.
pub async fn handle<R, E, A, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, A, B, N>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    E: ReadEndpoints + ReadConfigs + ReadTags + WriteTags,
    A: ReadFiring,
    B: StartRollbacks + ReadRollbacks,
    N: Publish,
{
    let event = Event::parse(event)?;
    let name = settings.model.as_str();
    match event.kind() {
        ("aws.sagemaker", "SageMaker Endpoint State Change") => {
            let changed: EndpointChanged = event.detail()?;
            if let Some(trouble) = trouble_of(&changed.endpoint_status) {
                let endpoint = ports.endpoints.endpoint(name).await?;
                troubled(settings, ports, trouble, &changed, endpoint.as_ref()).await?;
            } else {
                tracing::info!(status = changed.endpoint_status, "the endpoint changed");
            }
        }
        ("aws.cloudwatch", "CloudWatch Alarm State Change") => {
            let Some(firing) = Firing::told_by(&event)? else {
                return Ok(Value::Null);
            };
            match ports.endpoints.endpoint(name).await? {
                Some(endpoint) => guard(settings, ports, &firing, firing.since, &endpoint).await?,
                None => tracing::info!(alarm = firing.alarm, "an alarm without an endpoint"),
            }
        }
        ("aws.codepipeline", "CodePipeline Pipeline Execution State Change") => {
            let changed: ExecutionChanged = event.detail()?;
            let failed = changed.pipeline == settings.rollback_pipeline && changed.state == "FAILED";
            if failed && ports.endpoints.endpoint(name).await?.is_some() {
                rollback_failed(settings, ports, event.time).await?;
            }
        }
        ("signalbox", "Sweep") => {
            if let Some(endpoint) = ports.endpoints.endpoint(name).await? {
                sweep(settings, ports, &endpoint, event.time).await?;
                rollback_failed(settings, ports, event.time).await?;
            }
        }
        _ => return Err(event.unknown().into()),
    }
    Ok(Value::Null)
}

/// Looks at the endpoint for what an event should have told.
async fn sweep<R, E, A, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, A, B, N>,
    endpoint: &Endpoint,
    now: Option<Timestamp>,
) -> Result<(), anyhow::Error>
where
    R: ReadPackages + WritePackages,
    E: ReadConfigs + ReadTags + WriteTags,
    A: ReadFiring,
    B: StartRollbacks,
    N: Publish,
{
    if let Some(trouble) = trouble_of(endpoint.status.as_str()) {
        let changed = EndpointChanged {
            endpoint_status: endpoint.status.as_str().to_owned(),
            endpoint_config_name: Some(endpoint.config.clone()),
            failure_reason: endpoint.failure_reason.clone(),
        };
        return troubled(settings, ports, trouble, &changed, Some(endpoint)).await;
    }
    // While an update runs, SageMaker watches the alarms, and names them.
    if endpoint.is_idle() {
        for firing in ports.alarms.firing(&settings.alarms).await? {
            let still = now.unwrap_or(firing.since);
            guard(settings, ports, &firing, still, endpoint).await?;
        }
    }
    Ok(())
}

/// What people are told, as it is noted in a tag of the endpoint.
struct Told {
    key: &'static str,
    what: String,
}

impl Told {
    fn new(key: &'static str, what: &str) -> Self {
        let what = metadata_value(what);
        Self { key, what }
    }
}

/// Whether that was told before.
async fn was_told<R, E: ReadTags, A, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, A, B, N>,
    told: &Told,
) -> Result<bool, anyhow::Error> {
    let arn = settings.group.endpoint_arn(settings.model.as_str());
    let before = ports.endpoints.tags(&arn).await?.get(told.key) == Some(&told.what);
    tracing::info!(what = told.what, before, "whether it was told before");
    Ok(before)
}

/// Tells, and notes that it was told. In that order: who dies in between tells again, but nobody stays untold.
async fn tell<R, E: WriteTags, A, B, N: Publish>(
    settings: &Settings,
    ports: &Ports<'_, R, E, A, B, N>,
    told: &Told,
    notice: &Notice,
) -> Result<(), anyhow::Error> {
    let topic = &settings.notices_topic_arn;
    ports.notices.publish(topic, notice, &BTreeMap::new()).await?;
    let arn = settings.group.endpoint_arn(settings.model.as_str());
    ports.endpoints.tag(&arn, told.key, &told.what).await?;
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
async fn mark<R: WritePackages, E, A, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, A, B, N>,
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

/// Whether people must know of that state of the endpoint. That a version serves is told by the release that brought it.
fn trouble_of(status: &str) -> Option<Trouble> {
    match Status::parse(status)? {
        Status::RollingBack => Some(Trouble::RollingBack),
        Status::UpdateRollbackFailed => Some(Trouble::Stuck),
        Status::Failed => Some(Trouble::Failed),
        _ => None,
    }
}

/// Tells of a trouble, and keeps why SageMaker rolls an update back. `endpoint` is as it is now: the event may be late.
async fn troubled<R, E, A, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, A, B, N>,
    trouble: Trouble,
    changed: &EndpointChanged,
    endpoint: Option<&Endpoint>,
) -> Result<(), anyhow::Error>
where
    R: WritePackages,
    E: ReadTags + WriteTags,
    N: Publish,
{
    let model = &settings.model;
    let config = changed.endpoint_config_name.as_deref().unwrap_or("unknown");
    // As it is now, rather than as a late event has it.
    let known = endpoint.and_then(|endpoint| endpoint.failure_reason.as_deref());
    let known = known.or(changed.failure_reason.as_deref());
    let reason = known.unwrap_or("SageMaker gives no reason");
    let coming = endpoint
        .and_then(|endpoint| endpoint.pending.as_ref())
        .map_or("", |pending| pending.config.as_str());
    // That a reason came to be known is news.
    let unexplained = if known.is_some() { "" } else { " unexplained" };
    let told = Told::new(tag::TOLD_STATE, &format!("{trouble:?} {config} {coming}{unexplained}"));
    if was_told(settings, ports, &told).await? {
        return Ok(());
    }
    tracing::info!(?trouble, config, reason, "the endpoint is in trouble");
    if let Some(endpoint) = endpoint.filter(|_| trouble == Trouble::RollingBack) {
        // Late, and over: then the release itself has read it, or the next update has erased it.
        if let Some(((version, release), reason)) = deploying(settings, endpoint).zip(known) {
            mark(settings, ports, version, (key::FAILURE, of_release(release, reason))).await?;
        }
    }
    let notice = mail::endpoint_troubled(model, trouble, config, reason);
    tell(settings, ports, &told, &notice).await
}

/// What is known of the configuration that serves that version.
async fn served<R, E, A, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, A, B, N>,
    endpoint: &Endpoint,
    version: u32,
) -> Result<Served, anyhow::Error>
where
    R: ReadPackages,
    E: ReadConfigs + ReadTags,
{
    log::version_number(version);
    let config_arn = settings.group.endpoint_config_arn(&endpoint.config);
    let mut tags = ports.endpoints.tags(&config_arn).await?;
    let config = ports.endpoints.config(&endpoint.config).await?;
    let made_at = config.and_then(|config| config.facts.made_at);
    let release: Option<ReleaseId> = tags.get(tag::RELEASE).and_then(|release| release.parse().ok());
    if let Some(release) = &release {
        log::release(release);
    }
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

/// An alarm, which fires `still`: during an update what it saw is kept; after a deployment it has the version taken back.
async fn guard<R, E, A, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, A, B, N>,
    firing: &Firing,
    still: Timestamp,
    endpoint: &Endpoint,
) -> Result<(), anyhow::Error>
where
    R: ReadPackages + WritePackages,
    E: ReadConfigs + ReadTags + WriteTags,
    B: StartRollbacks,
    N: Publish,
{
    let (name, saw, fired) = (firing.alarm.as_str(), firing.reason.as_str(), firing.since);
    if let Some((version, release)) = deploying(settings, endpoint) {
        log::version_number(version);
        tracing::info!(
            alarm = name,
            "fired while the version is deployed; SageMaker rolls it back"
        );
        let kept = of_release(release, &format!("{name}: {saw}"));
        return mark(settings, ports, version, (key::ALARM, kept)).await;
    }
    let Some(version) = settings.model.version_of_config(&endpoint.config) else {
        tracing::info!(alarm = name, config = endpoint.config, "what serves is not the train's");
        return Ok(());
    };
    let served = served(settings, ports, endpoint, version).await?;
    match watch::decide(endpoint, &served, fired, still, settings.guard) {
        Reaction::TakeBack(release) => {
            let reason = alarm_fired(name, "after the deployment", saw);
            let rollback = ports
                .rollbacks
                .roll_back(&settings.rollback_pipeline, version, &release, &reason)
                .await?;
            tracing::warn!(alarm = name, %rollback, "its rollback was started, unless it had been");
        }
        Reaction::Tell(reason) => {
            // Events tell whole seconds, alarms thousandths.
            let what = format!("{name} {} {}", fired.as_second(), endpoint.config);
            let told = Told::new(tag::TOLD_ALARM, &what);
            if !was_told(settings, ports, &told).await? {
                let notice = mail::alarm_left(&settings.model, name, saw, &reason);
                tell(settings, ports, &told, &notice).await?;
            }
        }
        Reaction::Leave(reason) => tracing::info!(alarm = name, reason, "nothing to do"),
    }
    Ok(())
}

/// Tells of the newest rollback where it has failed and that was not told: the function that does it died, or could not be run, or was
/// refused what it asked for. `now` is when the event was sent.
async fn rollback_failed<R, E, A, B, N>(
    settings: &Settings,
    ports: &Ports<'_, R, E, A, B, N>,
    now: Option<Timestamp>,
) -> Result<(), anyhow::Error>
where
    E: ReadTags + WriteTags,
    B: ReadRollbacks,
    N: Publish,
{
    let failed = ports.rollbacks.failed_rollback(&settings.rollback_pipeline).await?;
    let is_news = |failed: &FailedRollback| now.is_none_or(|now| now.duration_since(failed.at) < NEWS);
    let Some(failed) = failed.filter(is_news) else {
        return Ok(());
    };
    let FailedRollback { rollback, reason, .. } = &failed;
    let notes = ports
        .endpoints
        .tags(&settings.group.endpoint_arn(settings.model.as_str()))
        .await?;
    let note = notes.get(tag::TOLD_ROLLBACK);
    if note.is_some_and(|note| was_failure_told(note, rollback, failed.began)) {
        return Ok(());
    }
    let told = Told::new(tag::TOLD_ROLLBACK, &told_failure(rollback, failed.at));
    let model = &settings.model;
    let what_to_do = format!(
        "See what serves. Where the reason does not say what was wrong, look at the log of {model}-update-endpoint; then retry the stage \
         TakeBack of {} in CodePipeline.",
        settings.rollback_pipeline
    );
    let url = settings.group.version(1).endpoint_console_url(model.as_str());
    tracing::error!(%rollback, reason, "a rollback failed and nobody was told");
    tell(
        settings,
        ports,
        &told,
        &mail::rollback_failed(model, reason, &what_to_do, &url),
    )
    .await
}

#[cfg(test)]
mod tests;
