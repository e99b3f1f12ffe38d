//! Gathering what a decision about a version rests on.

use jiff::Timestamp;
use signalbox_model::evidence::{Champion, Evidence, GateVerdict};
use signalbox_model::gate::shown;
use signalbox_model::lineage::{Lineage, Trigger};
use signalbox_model::metrics::{Metrics, MetricsError};
use signalbox_model::names::{ModelName, version_of_config};
use signalbox_model::package::{ApprovalStatus, ModelPackage, key};
use signalbox_model::rollout::Policy;

use crate::config::{ConfigError, Environment};
use crate::endpoints::ReadEndpoints;
use crate::error::{AwsError, ErrorKind};
use crate::registry::ReadPackages;
use crate::storage::{ObjectUri, ReadObjects};
use crate::training::ReadTrainings;

/// The largest evaluation report that is read, in bytes.
pub const REPORT_BYTES_MAX: usize = 1024 * 1024;
/// How many approved versions are looked at for the champion. Between a deployed version and now lie only versions that were
/// approved and then rolled back or failed.
const CHAMPION_CANDIDATES_MAX: u8 = 20;

/// Why a version's metrics are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The version names no report.
    #[error("the version has no ModelMetrics.ModelQuality.Statistics; the RegisterModel step has to set it")]
    None,
    /// The address is no `s3://BUCKET/KEY`.
    #[error("the evaluation report's address `{0}` is not s3://BUCKET/KEY")]
    Address(String),
    /// The report can't be read.
    #[error("the evaluation report {uri} can't be read")]
    Unreadable {
        /// Where it should be.
        uri: String,
        /// What S3 says.
        #[source]
        cause: AwsError,
    },
    /// The report holds no usable metrics.
    #[error("the evaluation report {uri} can't be used")]
    Unusable {
        /// Where it is.
        uri: String,
        /// What is wrong with it.
        #[source]
        cause: MetricsError,
    },
}

impl ReportError {
    /// Whether another try may help: AWS failed, not the report.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreadable { cause, .. } if cause.is_transient())
    }
}

/// Reads a version's metrics.
///
/// # Errors
/// Where there is no report, or none that can be used.
pub async fn metrics_of(package: &ModelPackage, objects: &impl ReadObjects) -> Result<Metrics, ReportError> {
    let uri = package.metrics_uri.clone().ok_or(ReportError::None)?;
    let object = ObjectUri::parse(&uri).ok_or_else(|| ReportError::Address(uri.clone()))?;
    let report = objects.read(&object, REPORT_BYTES_MAX).await;
    let report = report.map_err(|cause| ReportError::Unreadable {
        uri: uri.clone(),
        cause,
    })?;
    Metrics::from_report(&report).map_err(|cause| ReportError::Unusable { uri, cause })
}

/// The champion: the version that serves; a version that was approved again after a newer one is the champion then. Where none of the
/// train's serves, or it is rejected and about to be rolled back, the newest version other than the candidate that was deployed.
///
/// # Errors
/// Whatever SageMaker says.
pub async fn champion_of(
    candidate: &ModelPackage,
    registry: &impl ReadPackages,
    endpoints: &impl ReadEndpoints,
) -> Result<Option<ModelPackage>, AwsError> {
    let group = candidate.arn.group();
    // The endpoint has the model's name, as the group has.
    let endpoint = endpoints.endpoint(group).await?;
    let serves = endpoint.as_ref().filter(|endpoint| endpoint.status.serves());
    let serves = serves.and_then(|endpoint| version_of_config(&endpoint.config));
    if let Some((of, version)) = serves
        && of == group
        && version != candidate.arn.version()
    {
        match registry.package(&candidate.arn.with_version(version)).await {
            Ok(package) if package.approval == ApprovalStatus::Approved => return Ok(Some(package)),
            Ok(_) => {}
            // Who deletes the version that serves takes the comparison with it.
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let approved = Some(ApprovalStatus::Approved);
    for summary in registry
        .newest_packages(group, approved, CHAMPION_CANDIDATES_MAX)
        .await?
    {
        if summary.arn == candidate.arn {
            continue;
        }
        let package = registry.package(&summary.arn).await?;
        if package.was_deployed() {
            return Ok(Some(package));
        }
    }
    Ok(None)
}

/// The champion with its metrics.
///
/// # Errors
/// [`ReportError`] where there is a champion whose metrics can't be read: a candidate must not pass for want of a comparison. And
/// whatever SageMaker says.
pub async fn champion_with_metrics(
    candidate: &ModelPackage,
    registry: &impl ReadPackages,
    endpoints: &impl ReadEndpoints,
    objects: &impl ReadObjects,
) -> Result<Option<Champion>, anyhow::Error> {
    let Some(package) = champion_of(candidate, registry, endpoints).await? else {
        return Ok(None);
    };
    let metrics = metrics_of(&package, objects).await?;
    Ok(Some(Champion {
        version: package.arn.version(),
        metrics,
    }))
}

/// Why a version was trained: as its training says, with all that it says; as the version itself does where that is not to be had.
///
/// # Errors
/// Where SageMaker fails.
pub async fn lineage_of(
    model: &ModelName,
    package: &ModelPackage,
    trainings: &impl ReadTrainings,
) -> Result<Lineage, AwsError> {
    // The role reads the model's own executions alone.
    let Some(arn) = package.own_execution(model) else {
        return Ok(package.lineage());
    };
    match trainings.execution(arn).await {
        Ok(execution) => match execution.lineage() {
            Lineage {
                trigger: Trigger::Registry,
                ..
            } => Ok(package.lineage()),
            lineage => Ok(lineage),
        },
        Err(error) if error.is_transient() => Err(error),
        Err(error) => {
            tracing::info!(version = package.arn.version(), %error, "its training is not to be had");
            Ok(package.lineage())
        }
    }
}

/// What the template says that people are shown of every candidate.
#[derive(Debug, Clone)]
pub struct Policies {
    /// The model.
    pub model: ModelName,
    /// The threshold of registration.
    pub accuracy_threshold: f64,
    /// How it would take over.
    pub rollout: Policy,
    /// On how many instances.
    pub instance_count: u32,
    /// Who is asked.
    pub approvers: Vec<String>,
    /// How many of them have to approve.
    pub approvals_needed: u32,
}

impl Policies {
    /// Reads MODEL_NAME, ACCURACY_THRESHOLD, APPROVERS, APPROVALS_NEEDED, INSTANCE_COUNT and the variables of [`rollout_policy`].
    ///
    /// # Errors
    /// Where one is missing or wrong.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        Ok(Self {
            model: environment.parsed("MODEL_NAME")?,
            accuracy_threshold: environment.parsed("ACCURACY_THRESHOLD")?,
            rollout: rollout_policy(environment)?,
            instance_count: environment.parsed("INSTANCE_COUNT")?,
            approvers: environment.list("APPROVERS"),
            approvals_needed: environment.parsed("APPROVALS_NEEDED")?,
        })
    }

    /// Puts the evidence together.
    #[must_use]
    pub fn evidence(
        &self,
        package: &ModelPackage,
        lineage: Lineage,
        metrics: Metrics,
        champion: Option<Champion>,
        expires: Timestamp,
    ) -> Evidence {
        let threshold = self.accuracy_threshold;
        let accuracy = metrics.get("accuracy");
        let gate = package.metadata.get(key::GATE);
        let verdicts = [
            accuracy.map(|accuracy| GateVerdict {
                name: "accuracy threshold".to_owned(),
                held: accuracy > threshold,
                text: format!("accuracy {} against {threshold}", shown(accuracy)),
            }),
            gate.map(|text| GateVerdict {
                name: "gate".to_owned(),
                held: package.gate_held(),
                // The verdict's word stands beside it.
                text: text
                    .split_once(": ")
                    .map_or(text.as_str(), |(_, numbers)| numbers)
                    .to_owned(),
            }),
        ];
        Evidence {
            model: self.model.clone(),
            package: package.arn.clone(),
            lineage,
            metrics,
            champion,
            accuracy_threshold: threshold,
            gate: verdicts.into_iter().flatten().collect(),
            plan: self.rollout.describe(self.instance_count),
            approvers: self.approvers.clone(),
            approvals_needed: self.approvals_needed,
            expires,
            trained_seconds: package.trained_seconds(),
        }
    }
}

/// Reads ROLLOUT_STRATEGY, ROLLOUT_STEP_PERCENT, ROLLOUT_WAIT_SECONDS, BAKE_SECONDS, ROLLOUT_TIMEOUT_SECONDS, ALARM_NAMES and, where it
/// is set, SERVERLESS_UPDATES.
///
/// # Errors
/// Where one is missing or wrong.
pub fn rollout_policy(environment: &Environment) -> Result<Policy, ConfigError> {
    Ok(Policy {
        strategy: environment.parsed("ROLLOUT_STRATEGY")?,
        step_percent: environment.parsed("ROLLOUT_STEP_PERCENT")?,
        wait_seconds: environment.parsed("ROLLOUT_WAIT_SECONDS")?,
        bake_seconds: environment.parsed("BAKE_SECONDS")?,
        timeout_seconds: environment.parsed("ROLLOUT_TIMEOUT_SECONDS")?,
        alarms: environment.list("ALARM_NAMES"),
        unguarded_serverless: environment.optional("SERVERLESS_UPDATES") == Some("unguarded"),
    })
}

#[cfg(test)]
mod tests;
