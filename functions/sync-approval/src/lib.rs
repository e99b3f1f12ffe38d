//! sync-approval: keeps registry and pipeline agreed, whichever door a decision came through.
//!
//! A decision made in the registry (Studio, CLI, API) reaches the pipeline that waits for it, and the other way round; of two that
//! cross the first stands ([`settle`](signalbox_model::settle)), and those who must know are told. Approved with none waiting, a
//! version that has passed the gate is released; the version that serves being rejected, it is taken back. Events may be lost: a
//! sweep looks at what waits and at what was answered within the last day.

use std::collections::BTreeSet;

use anyhow::Context;
use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::counts::{Count, EmbeddedMetrics, Measure};
use signalbox_aws::endpoints::{Endpoints, ReadEndpoints};
use signalbox_aws::log;
use signalbox_aws::notices::{Publish, Sns};
use signalbox_aws::refusal::refuse_approval;
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::releases::{
    AnswerApprovals, ReadApprovals, ReadReleases, Recent, Releases, StartReleases, StartRollbacks, supersede_waiting,
};
use signalbox_aws::runtime::Function;
use signalbox_model::decision::Decision;
use signalbox_model::event::Event;
use signalbox_model::names::{ModelName, ModelPackageArn, ReleaseId};
use signalbox_model::package::{ApprovalStatus, ModelPackage, Outcome};
use signalbox_model::settle::ActionStatus;
use signalbox_model::undo::was_rejected;

use self::agree::agree;

mod agree;
mod unanswered;

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model.
    pub model: ModelName,
    /// The release pipeline.
    pub release_pipeline: String,
    /// The pipeline that takes a deployed version back.
    pub rollback_pipeline: String,
    /// Where notices go.
    pub notices_topic_arn: String,
    /// Who is asked.
    pub approvers: Vec<String>,
    /// How many of them have to approve by their links.
    pub approvals_needed: u32,
    /// Whether a newer candidate takes an older one's place that still waits.
    pub supersede: bool,
}

/// The function.
#[derive(Debug)]
pub struct SyncApproval {
    settings: Settings,
    registry: Registry,
    releases: Releases,
    endpoints: Endpoints,
    notices: Sns,
    counts: EmbeddedMetrics,
}

impl Function for SyncApproval {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let settings = Settings {
            model: environment.parsed("MODEL_NAME")?,
            release_pipeline: environment.required("RELEASE_PIPELINE")?.to_owned(),
            rollback_pipeline: environment.required("ROLLBACK_PIPELINE")?.to_owned(),
            notices_topic_arn: environment.required("NOTICES_TOPIC_ARN")?.to_owned(),
            approvers: environment.list("APPROVERS"),
            approvals_needed: environment.parsed("APPROVALS_NEEDED")?,
            supersede: environment.parsed("SUPERSEDE_WAITING")?,
        };
        Ok(Self {
            counts: EmbeddedMetrics::new(settings.model.as_str()),
            settings,
            registry: Registry::new(sdk),
            releases: Releases::new(sdk),
            endpoints: Endpoints::new(sdk),
            notices: Sns::new(environment, sdk)?,
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            registry: &self.registry,
            releases: &self.releases,
            endpoints: &self.endpoints,
            notices: &self.notices,
            counts: &self.counts,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, R, S, E, N, C> {
    /// Read and write versions.
    pub registry: &'a R,
    /// Start releases and rollbacks; see and answer what waits.
    pub releases: &'a S,
    /// See what serves.
    pub endpoints: &'a E,
    /// Tell people.
    pub notices: &'a N,
    /// Count releases that end at their approval; measure how long it waited.
    pub counts: &'a C,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PackageChanged {
    model_package_arn: ModelPackageArn,
    model_approval_status: String,
    /// Absent in the events of a registration, and in those of older services.
    updated_model_package_fields: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ActionChanged {
    execution_id: ReleaseId,
}

/// How far back a sweep looks: far longer than the time between two of them, should one fail.
const SWEPT: SignedDuration = SignedDuration::from_hours(24);

/// Handles one event.
///
/// # Errors
/// Where the event is none that this function takes, or AWS fails: Lambda then tries again.
pub async fn handle<R, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, R, S, E, N, C>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    S: StartReleases + StartRollbacks + ReadApprovals + ReadReleases + AnswerApprovals,
    E: ReadEndpoints,
    N: Publish,
    C: Count + Measure,
{
    let event = Event::parse(event)?;
    match event.kind() {
        ("aws.sagemaker", "SageMaker Model Package State Change") => {
            let changed: PackageChanged = event.detail()?;
            // Metadata that is written on an approved version sends an event with status Approved too.
            let decided = changed.updated_model_package_fields.as_ref();
            if decided.is_none_or(|fields| fields.iter().any(|field| field == "ModelApprovalStatus")) {
                from_registry(settings, ports, &changed).await?;
            }
        }
        ("aws.codepipeline", "CodePipeline Action Execution State Change") => {
            let ActionChanged { execution_id } = event.detail()?;
            from_pipeline(settings, ports, &execution_id).await?;
        }
        ("signalbox", "Sweep") => {
            let now = event
                .time
                .context("the event has no `time`; the schedule's Input sets it")?;
            sweep(settings, ports, now).await?;
        }
        _ => return Err(event.unknown().into()),
    }
    Ok(Value::Null)
}

/// A decision in the registry.
async fn from_registry<R, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, R, S, E, N, C>,
    changed: &PackageChanged,
) -> Result<(), anyhow::Error>
where
    R: ReadPackages + WritePackages,
    S: StartReleases + StartRollbacks + ReadApprovals + ReadReleases + AnswerApprovals,
    E: ReadEndpoints,
    N: Publish,
    C: Count + Measure,
{
    let Ports { registry, releases, .. } = *ports;
    let arn = &changed.model_package_arn;
    log::version(arn);
    // The registry as it is now, not as the event says: events come late and out of order.
    let package = registry.package(arn).await?;
    if package.approval == ApprovalStatus::PendingManualApproval {
        let event = &changed.model_approval_status;
        tracing::info!(event, "nothing is decided now");
        return Ok(());
    }
    if package.approval == ApprovalStatus::Approved && package.is_being_released() {
        // Settled, and mostly what the page has written.
        return Ok(());
    }
    let waits = match releases.waiting(&settings.release_pipeline).await? {
        Some(waits) => releases
            .package_of(&settings.release_pipeline, &waits.release)
            .await?
            .map(|package| (waits.release, package)),
        None => None,
    };
    let mine = waits.as_ref().filter(|(_, waiting)| waiting == arn);
    // Its release may have been answered a moment ago by another door, and that event be lost or still on its way.
    let asked = package.asked().map(|asked| asked.release);
    let asked = asked.filter(|asked| package.outcome_of(asked).is_none());
    if let Some(release) = mine.map(|(release, _)| release).or(asked.as_ref())
        && agree(settings, ports, release, arn, None).await?.changed
    {
        return follow(settings, ports, &registry.package(arn).await?).await;
    }
    follow(settings, ports, &package).await?;
    // Nor does an older one that nobody has decided on stand in its way.
    let newer = package.approval == ApprovalStatus::Approved && package.gate_held() && package.outcome().is_none();
    if settings.supersede && newer && waits.is_some_and(|(_, waiting)| waiting.version() < arn.version()) {
        supersede_waiting(releases, registry, &settings.release_pipeline, arn).await?;
    }
    Ok(())
}

/// Does what the registry asks for now that no release of the version is to be settled: releases what is approved, takes back what
/// serves and is rejected.
async fn follow<R, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, R, S, E, N, C>,
    package: &ModelPackage,
) -> Result<(), anyhow::Error>
where
    R: WritePackages,
    S: StartReleases + StartRollbacks,
    E: ReadEndpoints,
    N: Publish,
{
    let arn = &package.arn;
    match package.approval {
        ApprovalStatus::PendingManualApproval => {}
        ApprovalStatus::Rejected => take_back_if_serving(settings, ports, package).await?,
        ApprovalStatus::Approved if package.outcome() == Some(Outcome::GateNotMet) => {
            let (model, topic) = (&settings.model, &settings.notices_topic_arn);
            refuse_approval(model, package, ports.registry, ports.notices, topic).await?;
        }
        ApprovalStatus::Approved => {
            let Some(after) = asks_for_release(package) else {
                return Ok(());
            };
            if !package.gate_held() {
                tracing::warn!("approved, but the gate has not passed it: it is not released");
                return Ok(());
            }
            let (pipeline, reason) = (&settings.release_pipeline, "approved in the model registry");
            let release = ports.releases.start(pipeline, arn, after.as_ref(), reason).await?;
            log::release(&release);
            tracing::info!("its release was started, unless it had been");
        }
    }
    Ok(())
}

/// Whether a version that is approved is to be released: `Some(None)` where it never was, `Some(Some(_))` after a release that ended
/// and left it rejected, so that the approval is a later decision. One whose release goes on, or has deployed it, is not.
#[expect(clippy::option_option, reason = "the outer says whether, the inner after which")]
fn asks_for_release(package: &ModelPackage) -> Option<Option<ReleaseId>> {
    if package.is_being_released() {
        return None;
    }
    let release = package.release();
    let rejected = release
        .as_ref()
        .is_some_and(|release| package.decision_of(release) == Some(Decision::Reject));
    match package.outcome() {
        None => Some(None),
        Some(Outcome::Rejected | Outcome::Expired | Outcome::RolledBack) => Some(release),
        // Overtaken at the endpoint, it stays approved; superseded while it waited, it was rejected.
        Some(Outcome::Superseded) if rejected => Some(release),
        Some(_) => None,
    }
}

/// The approval action of a release has ended.
async fn from_pipeline<R, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, R, S, E, N, C>,
    release: &ReleaseId,
) -> Result<(), anyhow::Error>
where
    R: ReadPackages + WritePackages,
    S: StartReleases + StartRollbacks + ReadApprovals + ReadReleases + AnswerApprovals,
    E: ReadEndpoints,
    N: Publish,
    C: Count + Measure,
{
    log::release(release);
    let arn = ports.releases.package_of(&settings.release_pipeline, release).await?;
    let arn = arn.with_context(|| format!("the release {release} has no variable ModelPackageArn"))?;
    if agree(settings, ports, release, &arn, None).await?.changed {
        follow(settings, ports, &ports.registry.package(&arn).await?).await?;
    }
    Ok(())
}

/// Looks at what waits, and at what was answered lately: of each version at its newest release.
async fn sweep<R, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, R, S, E, N, C>,
    now: Timestamp,
) -> Result<(), anyhow::Error>
where
    R: ReadPackages + WritePackages,
    S: StartReleases + StartRollbacks + ReadApprovals + ReadReleases + AnswerApprovals,
    E: ReadEndpoints,
    N: Publish,
    C: Count + Measure,
{
    let mut seen = BTreeSet::new();
    for recent in ports.releases.recent_approvals(&settings.release_pipeline).await? {
        let Recent {
            release,
            approval,
            failure,
        } = recent;
        let lately = now.duration_since(approval.at) < SWEPT;
        if approval.status != ActionStatus::InProgress && !lately {
            continue;
        }
        let Some(arn) = ports.releases.package_of(&settings.release_pipeline, &release).await? else {
            continue;
        };
        if !seen.insert(arn.clone()) {
            continue;
        }
        let agreed = agree(settings, ports, &release, &arn, Some(approval)).await?;
        if agreed.changed {
            tracing::info!("found by the sweep");
            follow(settings, ports, &ports.registry.package(&arn).await?).await?;
        } else if let Some(package) = agreed.package {
            if package.outcome_of(&release).is_some() {
                // What was decided in the registry since, and did not arrive.
                follow(settings, ports, &package).await?;
            } else if let Some(failure) = failure {
                unanswered::end(settings, ports, &release, &package, &failure).await?;
            }
        }
    }
    Ok(())
}

/// A version that serves was rejected: the one before it is brought back.
async fn take_back_if_serving<R, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, R, S, E, N, C>,
    package: &ModelPackage,
) -> Result<(), anyhow::Error>
where
    S: StartRollbacks,
    E: ReadEndpoints,
{
    let arn = &package.arn;
    // What takes a version back rejects it too, and has an outcome of its own by then.
    let Some(release) = package.release().filter(|_| package.was_deployed()) else {
        return Ok(());
    };
    let endpoint = ports.endpoints.endpoint(settings.model.as_str()).await?;
    // By its version: a version that was brought back has the rollback's configuration.
    let serves = endpoint.and_then(|endpoint| settings.model.version_of_config(&endpoint.config));
    if serves != Some(arn.version()) {
        tracing::info!("rejected, and does not serve");
        return Ok(());
    }
    let description = package.approval_description.as_deref().filter(|text| !text.is_empty());
    let reason = was_rejected(&format!(": {}", description.unwrap_or("no reason given")));
    let rollback = ports
        .releases
        .roll_back(&settings.rollback_pipeline, arn.version(), &release, &reason)
        .await?;
    tracing::warn!(%rollback, "rejected while it serves; its rollback was started, unless it had been");
    Ok(())
}

#[cfg(test)]
mod tests;
