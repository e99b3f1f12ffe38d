//! Deployments of functions, by CodeDeploy.

use aws_sdk_codedeploy::operation::put_lifecycle_event_hook_execution_status::PutLifecycleEventHookExecutionStatusError;
use aws_sdk_codedeploy::types::{LifecycleEventStatus, RevisionLocation};

use crate::error::{AwsError, ErrorKind};

/// A hook of a deployment that waits for an answer, as CodeDeploy tells the function that it invokes for it.
///
/// See <https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html>.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Hook {
    /// The deployment.
    pub deployment_id: String,
    /// This run of the hook.
    pub lifecycle_event_hook_execution_id: String,
}

/// Lets one read what is deployed.
pub trait ReadDeployments: Send + Sync {
    /// The AppSpec of a deployment to Lambda, as text. Takes one call, or two where the deployment itself has only its digest.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no such deployment, [`ErrorKind::Other`] where it has no AppSpec, and whatever CodeDeploy
    /// says.
    fn app_spec(&self, deployment_id: &str) -> impl Future<Output = Result<String, AwsError>> + Send;
}

/// Lets one answer hooks.
pub trait AnswerHooks: Send + Sync {
    /// Says whether the deployment goes on. What was said before stands, and saying something again is no error.
    ///
    /// # Errors
    /// Whatever CodeDeploy says.
    fn answer(&self, hook: &Hook, go_on: bool) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// CodeDeploy.
#[derive(Debug, Clone)]
pub struct Deployments(aws_sdk_codedeploy::Client);

impl Deployments {
    /// The port over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_codedeploy::Client::new(sdk))
    }
}

impl ReadDeployments for Deployments {
    async fn app_spec(&self, deployment_id: &str) -> Result<String, AwsError> {
        let operation = "codedeploy:GetDeployment";
        let answer = self.0.get_deployment().deployment_id(deployment_id).send().await;
        let answer = answer.map_err(|error| AwsError::of(operation, &error))?;
        let info = answer.deployment_info;
        let info = info.ok_or_else(|| AwsError::incomplete(operation, "deploymentInfo"))?;
        let revision = info.revision;
        let revision = revision.ok_or_else(|| AwsError::incomplete(operation, "deploymentInfo.revision"))?;
        if let Some(content) = content(&revision) {
            return Ok(content);
        }
        // It is documented that a revision may hold its content, not that a deployment's does. The application's revision does: public hooks
        // rely on that.
        let application = info.application_name;
        let application =
            application.ok_or_else(|| AwsError::incomplete(operation, "deploymentInfo.applicationName"))?;
        let operation = "codedeploy:GetApplicationRevision";
        let request = self
            .0
            .get_application_revision()
            .application_name(application)
            .revision(revision);
        let answer = request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        let content = answer.revision().and_then(content);
        content.ok_or_else(|| AwsError::incomplete(operation, "revision.string.content"))
    }
}

impl AnswerHooks for Deployments {
    async fn answer(&self, hook: &Hook, go_on: bool) -> Result<(), AwsError> {
        let status = if go_on {
            LifecycleEventStatus::Succeeded
        } else {
            LifecycleEventStatus::Failed
        };
        let request = self.0.put_lifecycle_event_hook_execution_status().status(status);
        let request = request
            .deployment_id(&hook.deployment_id)
            .lifecycle_event_hook_execution_id(&hook.lifecycle_event_hook_execution_id);
        match request.send().await {
            Err(error)
                if error.as_service_error().is_some_and(
                    PutLifecycleEventHookExecutionStatusError::is_lifecycle_event_already_completed_exception,
                ) =>
            {
                tracing::info!(deployment = hook.deployment_id, "the hook has been answered before");
                Ok(())
            }
            Err(error) => Err(AwsError::of("codedeploy:PutLifecycleEventHookExecutionStatus", &error)),
            Ok(_) => Ok(()),
        }
    }
}

/// The AppSpec in a revision: in a `String`, which CloudFormation makes, or in what has replaced that type.
fn content(revision: &RevisionLocation) -> Option<String> {
    let of_string = revision.string().and_then(|string| string.content());
    let content = of_string.or_else(|| revision.app_spec_content().and_then(|content| content.content()));
    content.map(str::to_owned)
}

/// The error for a deployment that does not exist.
pub(crate) fn deployment_not_found(operation: &'static str, deployment_id: &str) -> AwsError {
    let message = format!("The deployment {deployment_id} could not be found");
    AwsError::new(
        operation,
        ErrorKind::NotFound,
        "DeploymentDoesNotExistException",
        message,
    )
}

#[cfg(test)]
mod tests;
