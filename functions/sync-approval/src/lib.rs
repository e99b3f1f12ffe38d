//! sync-approval: keeps registry and pipeline agreed, whichever door a decision came through.
//!
//! A decision made in the registry (Studio, CLI, API) reaches the pipeline that waits for it; approved with none waiting, it starts
//! the release of a version that has passed the gate; the version that serves being rejected, it has it taken back. A decision made
//! in CodePipeline, or none in time, reaches the registry, and those who must know are told.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_config::SdkConfig;
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::endpoints::{Endpoints, ReadEndpoints};
use signalbox_aws::notices::{Publish, Sns};
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::releases::{
    AnswerApprovals, ReadApprovals, ReadReleases, Releases, StartReleases, StartRollbacks, waiting,
};
use signalbox_aws::runtime::Function;
use signalbox_model::event::Event;
use signalbox_model::mail;
use signalbox_model::names::{ModelName, ModelPackageArn, ReleaseId};
use signalbox_model::package::{ApprovalStatus, ModelPackage, Outcome, key};

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
}

/// The function.
#[derive(Debug)]
pub struct SyncApproval {
    settings: Settings,
    registry: Registry,
    releases: Releases,
    endpoints: Endpoints,
    notices: Sns,
}

impl Function for SyncApproval {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let settings = Settings {
            model: environment.parsed("MODEL_NAME")?,
            release_pipeline: environment.required("RELEASE_PIPELINE")?.to_owned(),
            rollback_pipeline: environment.required("ROLLBACK_PIPELINE")?.to_owned(),
            notices_topic_arn: environment.required("NOTICES_TOPIC_ARN")?.to_owned(),
        };
        Ok(Self {
            settings,
            registry: Registry::new(sdk),
            releases: Releases::new(sdk),
            endpoints: Endpoints::new(sdk),
            notices: Sns::new(sdk),
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            registry: &self.registry,
            releases: &self.releases,
            endpoints: &self.endpoints,
            notices: &self.notices,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, R, S, E, N> {
    /// Read and write versions.
    pub registry: &'a R,
    /// Start releases and rollbacks; see and answer what waits.
    pub releases: &'a S,
    /// See what serves.
    pub endpoints: &'a E,
    /// Tell people.
    pub notices: &'a N,
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
    state: String,
}

/// Handles one event.
///
/// # Errors
/// Where the event is none that this function takes, or AWS fails: Lambda then tries again.
pub async fn handle<R, S, E, N>(
    settings: &Settings,
    ports: &Ports<'_, R, S, E, N>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    S: StartReleases + StartRollbacks + ReadApprovals + ReadReleases + AnswerApprovals,
    E: ReadEndpoints,
    N: Publish,
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
            from_pipeline(settings, ports.registry, ports.releases, ports.notices, &event).await?;
        }
        _ => return Err(event.unknown().into()),
    }
    Ok(Value::Null)
}

/// A decision in the registry.
async fn from_registry<R, S, E, N>(
    settings: &Settings,
    ports: &Ports<'_, R, S, E, N>,
    changed: &PackageChanged,
) -> Result<(), anyhow::Error>
where
    R: ReadPackages,
    S: StartReleases + StartRollbacks + ReadApprovals + ReadReleases + AnswerApprovals,
    E: ReadEndpoints,
{
    let Ports { registry, releases, .. } = *ports;
    let arn = &changed.model_package_arn;
    // The registry as it is now, not as the event says: events come late and out of order.
    let package = registry.package(arn).await?;
    let approved = match package.approval {
        ApprovalStatus::Approved => true,
        ApprovalStatus::Rejected => false,
        ApprovalStatus::PendingManualApproval => {
            tracing::info!(
                version = arn.label(),
                event = changed.model_approval_status,
                "nothing is decided now"
            );
            return Ok(());
        }
    };
    if let Some(waits) = waiting(releases, &settings.release_pipeline)
        .await?
        .filter(|waits| waits.package == *arn)
    {
        let description = package.approval_description.as_deref().filter(|text| !text.is_empty());
        let summary = description.unwrap_or("decided in the model registry");
        let first = releases
            .answer(&settings.release_pipeline, &waits.token, approved, summary)
            .await?;
        tracing::info!(version = arn.label(), approved, first, "the pipeline was told");
    } else if !approved {
        take_back_if_serving(settings, ports, &package).await?;
    } else if matches!(
        package.outcome(),
        None | Some(Outcome::Rejected | Outcome::Expired | Outcome::RolledBack)
    ) {
        if package.gate_held() {
            // Those leave the version rejected: that it is approved is a later decision, and asks for another release.
            let ended = package.outcome().and_then(|_| package.release());
            let reason = "approved in the model registry";
            let release = releases
                .start(&settings.release_pipeline, arn, ended.as_ref(), reason)
                .await?;
            tracing::info!(version = arn.label(), %release, "its release was started, unless it had been");
        } else {
            tracing::warn!(
                version = arn.label(),
                "approved, but the gate has not passed it: it is not released"
            );
        }
    }
    Ok(())
}

/// A version that serves was rejected: the one before it is brought back.
async fn take_back_if_serving<R, S, E, N>(
    settings: &Settings,
    ports: &Ports<'_, R, S, E, N>,
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
        tracing::info!(version = arn.label(), "rejected, and does not serve");
        return Ok(());
    }
    let description = package.approval_description.as_deref().filter(|text| !text.is_empty());
    let reason = format!(
        "rejected in the model registry: {}",
        description.unwrap_or("no reason given")
    );
    let rollback = ports
        .releases
        .roll_back(&settings.rollback_pipeline, arn.version(), &release, &reason)
        .await?;
    tracing::warn!(version = arn.label(), %rollback, "rejected while it serves; its rollback was started, unless it had been");
    Ok(())
}

/// The approval action of a release has ended.
async fn from_pipeline(
    settings: &Settings,
    registry: &(impl ReadPackages + WritePackages),
    releases: &impl ReadReleases,
    notices: &impl Publish,
    event: &Event,
) -> Result<(), anyhow::Error> {
    let changed: ActionChanged = event.detail()?;
    let release = &changed.execution_id;
    let arn = releases.package_of(&settings.release_pipeline, release).await?;
    let arn = arn.with_context(|| format!("the release {release} has no variable ModelPackageArn"))?;
    let package = registry.package(&arn).await?;
    let answered = releases.approval_of(&settings.release_pipeline, release).await?;
    let answered =
        answered.with_context(|| format!("the approval of {release} is {} but not listed so", changed.state))?;
    let mut metadata = BTreeMap::from([(key::RELEASE.to_owned(), release.to_string())]);
    if answered.approved {
        if package.approval == ApprovalStatus::PendingManualApproval {
            // Decided in CodePipeline's console: the summary is that person's.
            let description = format!("approved in CodePipeline: {}", answered.summary);
            registry
                .decide(&arn, ApprovalStatus::Approved, &description, &metadata)
                .await?;
        }
        return Ok(());
    }
    if package.outcome().is_some() {
        tracing::info!(version = arn.label(), "told before");
        return Ok(());
    }
    // PutApprovalResult wants a summary: where there is none, nobody answered.
    let rejected = package.approval == ApprovalStatus::Rejected || !answered.summary.is_empty();
    let by = package
        .metadata
        .get(key::DECIDED_BY)
        .map_or("CodePipeline's console", String::as_str);
    let description = package.approval_description.clone().unwrap_or_default();
    let (outcome, reason, notice) = if rejected {
        let reason = if package.approval == ApprovalStatus::Rejected {
            description
        } else {
            answered.summary
        };
        let comment = reason
            .split_once(": ")
            .map_or(reason.as_str(), |(_, comment)| comment)
            .to_owned();
        let notice = mail::rejected(&settings.model, arn.version(), by, &comment);
        (Outcome::Rejected, reason, notice)
    } else {
        let at = event.time.unwrap_or_default();
        (
            Outcome::Expired,
            "nobody decided in time".to_owned(),
            mail::expired(&settings.model, arn.version(), at, &[]),
        )
    };
    // Told first and marked then: who dies in between tells again, but nobody stays untold.
    notices
        .publish(&settings.notices_topic_arn, &notice, &BTreeMap::new())
        .await?;
    metadata.insert(key::OUTCOME.to_owned(), outcome.as_str().to_owned());
    metadata.insert(key::REASON.to_owned(), reason.clone());
    tracing::info!(version = arn.label(), %release, outcome = outcome.as_str(), reason, "the approval has ended");
    if package.approval == ApprovalStatus::Rejected {
        registry.mark(&arn, &metadata).await?;
    } else {
        registry
            .decide(&arn, ApprovalStatus::Rejected, &reason, &metadata)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
