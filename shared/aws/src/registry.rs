//! The model registry: versions, their approval, and what the train writes on them.

use std::collections::BTreeMap;

use aws_sdk_sagemaker::operation::describe_model_package::DescribeModelPackageOutput;
use aws_sdk_sagemaker::primitives::DateTime;
use aws_sdk_sagemaker::types::{ModelApprovalStatus, ModelPackageSortBy, SortOrder, UserContext};
use jiff::Timestamp;
use signalbox_model::names::ModelPackageArn;
use signalbox_model::package::{ApprovalStatus, Container, ModelPackage, approval_description, metadata_value};

use crate::error::{AwsError, ErrorKind};

/// A version as a list of them shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSummary {
    /// Which version.
    pub arn: ModelPackageArn,
    /// Whether it may be deployed.
    pub approval: ApprovalStatus,
    /// When it was registered.
    pub created_at: Option<Timestamp>,
}

/// Lets one read the registry.
pub trait ReadPackages: Send + Sync {
    /// One version.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is none, and whatever SageMaker says.
    fn package(&self, arn: &ModelPackageArn) -> impl Future<Output = Result<ModelPackage, AwsError>> + Send;

    /// The newest versions of a group, newest first, at most `count_max` (up to 100).
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn newest_packages(
        &self,
        group: &str,
        approval: Option<ApprovalStatus>,
        count_max: u8,
    ) -> impl Future<Output = Result<Vec<PackageSummary>, AwsError>> + Send;
}

/// Lets one write on versions.
pub trait WritePackages: Send + Sync {
    /// Sets the approval and its description, and writes metadata over what it had under the same keys, in one call: either all
    /// of it is there or nothing.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn decide(
        &self,
        arn: &ModelPackageArn,
        approval: ApprovalStatus,
        description: &str,
        metadata: &BTreeMap<String, String>,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;

    /// Writes metadata, over what the package had under the same keys.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn mark(
        &self,
        arn: &ModelPackageArn,
        metadata: &BTreeMap<String, String>,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// SageMaker's model registry.
#[derive(Debug, Clone)]
pub struct Registry(aws_sdk_sagemaker::Client);

impl Registry {
    /// The port over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_sagemaker::Client::new(sdk))
    }
}

impl ReadPackages for Registry {
    async fn package(&self, arn: &ModelPackageArn) -> Result<ModelPackage, AwsError> {
        let operation = "sagemaker:DescribeModelPackage";
        let request = self.0.describe_model_package().model_package_name(arn.to_string());
        let answer = request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        package(arn, answer).ok_or_else(|| AwsError::incomplete(operation, "ModelApprovalStatus"))
    }

    async fn newest_packages(
        &self,
        group: &str,
        approval: Option<ApprovalStatus>,
        count_max: u8,
    ) -> Result<Vec<PackageSummary>, AwsError> {
        let operation = "sagemaker:ListModelPackages";
        let request = self.0.list_model_packages().model_package_group_name(group);
        let request = request
            .sort_by(ModelPackageSortBy::CreationTime)
            .sort_order(SortOrder::Descending);
        let request = request
            .set_model_approval_status(approval.map(to_sdk))
            .max_results(count_max.clamp(1, 100).into());
        let answer = request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        let summary = |summary: aws_sdk_sagemaker::types::ModelPackageSummary| {
            Some(PackageSummary {
                arn: summary.model_package_arn()?.parse().ok()?,
                approval: from_sdk(summary.model_approval_status()?)?,
                created_at: summary.creation_time().and_then(timestamp),
            })
        };
        Ok(answer
            .model_package_summary_list
            .unwrap_or_default()
            .into_iter()
            .filter_map(summary)
            .collect())
    }
}

impl WritePackages for Registry {
    async fn decide(
        &self,
        arn: &ModelPackageArn,
        approval: ApprovalStatus,
        description: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        let request = self.0.update_model_package().model_package_arn(arn.to_string());
        let request = request
            .model_approval_status(to_sdk(approval))
            .approval_description(approval_description(description));
        send_update(with_metadata(request, metadata)).await
    }

    async fn mark(&self, arn: &ModelPackageArn, metadata: &BTreeMap<String, String>) -> Result<(), AwsError> {
        let request = self.0.update_model_package().model_package_arn(arn.to_string());
        send_update(with_metadata(request, metadata)).await
    }
}

type Update = aws_sdk_sagemaker::operation::update_model_package::builders::UpdateModelPackageFluentBuilder;

fn with_metadata(request: Update, metadata: &BTreeMap<String, String>) -> Update {
    metadata.iter().fold(request, |request, (key, value)| {
        request.customer_metadata_properties(key, metadata_value(value))
    })
}

async fn send_update(request: Update) -> Result<(), AwsError> {
    request
        .send()
        .await
        .map_err(|error| AwsError::of("sagemaker:UpdateModelPackage", &error))?;
    Ok(())
}

fn package(arn: &ModelPackageArn, answer: DescribeModelPackageOutput) -> Option<ModelPackage> {
    let statistics = answer
        .model_metrics()
        .and_then(|metrics| metrics.model_quality()?.statistics());
    let metrics_uri = statistics.and_then(|statistics| statistics.s3_uri()).map(str::to_owned);
    let containers = answer
        .inference_specification()
        .map(|specification| specification.containers())
        .unwrap_or_default();
    let container = |container: &aws_sdk_sagemaker::types::ModelPackageContainerDefinition| Container {
        image: container.image().unwrap_or_default().to_owned(),
        model_data_url: container.model_data_url().map(str::to_owned),
        environment: container
            .environment()
            .cloned()
            .unwrap_or_default()
            .into_iter()
            .collect(),
    };
    Some(ModelPackage {
        arn: arn.clone(),
        approval: from_sdk(answer.model_approval_status()?)?,
        approval_description: answer.approval_description().map(str::to_owned),
        metrics_uri,
        generated_by: answer
            .metadata_properties()
            .and_then(|properties| properties.generated_by())
            .map(str::to_owned),
        containers: containers.iter().map(container).collect(),
        created_at: answer.creation_time().and_then(timestamp),
        modified_at: answer.last_modified_time().and_then(timestamp),
        modified_by: answer.last_modified_by().and_then(identity),
        metadata: answer
            .customer_metadata_properties
            .unwrap_or_default()
            .into_iter()
            .collect(),
    })
}

fn to_sdk(approval: ApprovalStatus) -> ModelApprovalStatus {
    match approval {
        ApprovalStatus::Approved => ModelApprovalStatus::Approved,
        ApprovalStatus::Rejected => ModelApprovalStatus::Rejected,
        ApprovalStatus::PendingManualApproval => ModelApprovalStatus::PendingManualApproval,
    }
}

fn from_sdk(approval: &ModelApprovalStatus) -> Option<ApprovalStatus> {
    ApprovalStatus::from_api(approval.as_str())
}

/// A Studio user's name, or the ARN of an IAM identity.
fn identity(user: &UserContext) -> Option<String> {
    let iam = user.iam_identity().and_then(|identity| identity.arn());
    user.user_profile_name().or(iam).map(str::to_owned)
}

/// The SDK's time as ours.
pub(crate) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_nanosecond(time.as_nanos()).ok()
}

/// The error for a version that is not there.
pub(crate) fn package_not_found(operation: &'static str, arn: &ModelPackageArn) -> AwsError {
    let message = format!("Could not find model package {arn}");
    AwsError::new(operation, ErrorKind::NotFound, "ValidationException", message)
}

#[cfg(test)]
mod tests;
