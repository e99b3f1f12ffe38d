//! The release pipeline: starting it, and the approval that it waits for.

use aws_sdk_codepipeline::types::{
    ActionExecutionFilter, ActionExecutionStatus, ApprovalResult, ApprovalStatus as SdkApproval, PipelineVariable,
};
use signalbox_model::names::{ModelPackageArn, ReleaseId};
use signalbox_model::undo::{Undoes, reason_variable};

use crate::error::AwsError;

/// The stage and the action of the approval, as the template names them.
pub const APPROVAL: &str = "Approve";
/// The pipeline's variable that holds the version.
pub const MODEL_PACKAGE_VARIABLE: &str = "ModelPackageArn";

/// Lets one start releases.
pub trait StartReleases: Send + Sync {
    /// Starts the release of a version; the same version is started once, since the token follows from it, and once more after
    /// each release of it that is named as `ended`.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn start(
        &self,
        pipeline: &str,
        package: &ModelPackageArn,
        ended: Option<&ReleaseId>,
        reason: &str,
    ) -> impl Future<Output = Result<ReleaseId, AwsError>> + Send;
}

/// Lets one take back what was deployed.
pub trait StartRollbacks: Send + Sync {
    /// Starts the rollback of a version that a release deployed; the same release is rolled back once, since the token follows from
    /// it.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn roll_back(
        &self,
        pipeline: &str,
        version: u32,
        deployed: &ReleaseId,
        reason: &str,
    ) -> impl Future<Output = Result<ReleaseId, AwsError>> + Send;
}

/// A release that waits for its approval.
#[derive(Clone, PartialEq, Eq)]
pub struct WaitingApproval {
    /// The release.
    pub release: ReleaseId,
    /// The version that it would deploy.
    pub package: ModelPackageArn,
    /// The approval's token, which answers it. A secret.
    pub token: String,
}

impl std::fmt::Debug for WaitingApproval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitingApproval")
            .field("release", &self.release)
            .field("package", &self.package)
            .finish_non_exhaustive()
    }
}

/// Lets one see what waits.
pub trait ReadApprovals: Send + Sync {
    /// The execution that stands in the approval stage, and the approval's token, if one waits.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn waiting(&self, pipeline: &str) -> impl Future<Output = Result<Option<(ReleaseId, String)>, AwsError>> + Send;
}

/// Lets one read releases.
pub trait ReadReleases: Send + Sync {
    /// The version that a release is of.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn package_of(
        &self,
        pipeline: &str,
        release: &ReleaseId,
    ) -> impl Future<Output = Result<Option<ModelPackageArn>, AwsError>> + Send;

    /// How the approval of a release was answered; `None` while it was not.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn approval_of(
        &self,
        pipeline: &str,
        release: &ReleaseId,
    ) -> impl Future<Output = Result<Option<Approval>, AwsError>> + Send;
}

/// How an approval was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Whether it was approved.
    pub approved: bool,
    /// The summary of the one who answered; empty where nobody did.
    pub summary: String,
}

/// Lets one answer the approval.
pub trait AnswerApprovals: Send + Sync {
    /// Answers it. That it has been answered already is no error: the first answer stands, and `false` is returned.
    ///
    /// # Errors
    /// Whatever else CodePipeline says.
    fn answer(
        &self,
        pipeline: &str,
        token: &str,
        approved: bool,
        summary: &str,
    ) -> impl Future<Output = Result<bool, AwsError>> + Send;
}

/// CodePipeline.
#[derive(Debug, Clone)]
pub struct Releases(aws_sdk_codepipeline::Client);

impl Releases {
    /// The ports over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_codepipeline::Client::new(sdk))
    }
}

/// The longest summary of an approval, in characters.
const SUMMARY_CHARS_MAX: usize = 512;

impl StartReleases for Releases {
    async fn start(
        &self,
        pipeline: &str,
        package: &ModelPackageArn,
        ended: Option<&ReleaseId>,
        reason: &str,
    ) -> Result<ReleaseId, AwsError> {
        let token = ended.map_or_else(|| package.release_token(), |ended| package.release_token_after(ended));
        // A variable's value is at most 1000 characters.
        let reason: String = reason.chars().take(1000).collect();
        let variables = [
            (MODEL_PACKAGE_VARIABLE, package.to_string()),
            ("ModelVersion", package.version().to_string()),
            ("Reason", reason),
        ];
        self.start_with(pipeline, &token, variables).await
    }
}

impl StartRollbacks for Releases {
    async fn roll_back(
        &self,
        pipeline: &str,
        version: u32,
        deployed: &ReleaseId,
        reason: &str,
    ) -> Result<ReleaseId, AwsError> {
        let variables = [
            ("Undoes", Undoes::Version(version).to_string()),
            ("Reason", reason_variable(reason)),
        ];
        self.start_with(pipeline, &ModelPackageArn::rollback_token(deployed), variables)
            .await
    }
}

impl Releases {
    async fn start_with(
        &self,
        pipeline: &str,
        token: &str,
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<ReleaseId, AwsError> {
        let operation = "codepipeline:StartPipelineExecution";
        let mut request = self
            .0
            .start_pipeline_execution()
            .name(pipeline)
            .client_request_token(token);
        for (name, value) in variables {
            let variable = PipelineVariable::builder().name(name).value(value).build();
            request = request.variables(variable.map_err(|_| AwsError::incomplete(operation, "variables.name"))?);
        }
        let answer = request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        let id = answer.pipeline_execution_id().and_then(|id| id.parse().ok());
        id.ok_or_else(|| AwsError::incomplete(operation, "pipelineExecutionId"))
    }
}

impl ReadApprovals for Releases {
    async fn waiting(&self, pipeline: &str) -> Result<Option<(ReleaseId, String)>, AwsError> {
        let answer = self.0.get_pipeline_state().name(pipeline).send().await;
        let answer = answer.map_err(|error| AwsError::of("codepipeline:GetPipelineState", &error))?;
        let stage = answer
            .stage_states()
            .iter()
            .find(|stage| stage.stage_name() == Some(APPROVAL));
        let Some(stage) = stage else { return Ok(None) };
        let action = stage
            .action_states()
            .iter()
            .find(|action| action.action_name() == Some(APPROVAL));
        let latest = action.and_then(|action| action.latest_execution());
        let waits = latest.filter(|latest| latest.status() == Some(&ActionExecutionStatus::InProgress));
        let token = waits.and_then(|latest| latest.token());
        let release = stage
            .latest_execution()
            .and_then(|latest| latest.pipeline_execution_id().parse().ok());
        Ok(release.zip(token.map(str::to_owned)))
    }
}

impl ReadReleases for Releases {
    async fn package_of(&self, pipeline: &str, release: &ReleaseId) -> Result<Option<ModelPackageArn>, AwsError> {
        let request = self
            .0
            .get_pipeline_execution()
            .pipeline_name(pipeline)
            .pipeline_execution_id(release.as_str());
        let answer = request
            .send()
            .await
            .map_err(|error| AwsError::of("codepipeline:GetPipelineExecution", &error))?;
        let execution = answer.pipeline_execution.as_ref();
        let variables = execution.map(|execution| execution.variables()).unwrap_or_default();
        let variable = variables
            .iter()
            .find(|variable| variable.name() == Some(MODEL_PACKAGE_VARIABLE));
        Ok(variable.and_then(|variable| variable.resolved_value()?.parse().ok()))
    }

    async fn approval_of(&self, pipeline: &str, release: &ReleaseId) -> Result<Option<Approval>, AwsError> {
        let filter = ActionExecutionFilter::builder()
            .pipeline_execution_id(release.as_str())
            .build();
        let request = self.0.list_action_executions().pipeline_name(pipeline).filter(filter);
        let answer = request
            .send()
            .await
            .map_err(|error| AwsError::of("codepipeline:ListActionExecutions", &error))?;
        let details = answer.action_execution_details();
        let action = details
            .iter()
            .find(|detail| detail.stage_name() == Some(APPROVAL) && detail.action_name() == Some(APPROVAL));
        let approved = match action.and_then(|action| action.status()) {
            Some(ActionExecutionStatus::Succeeded) => true,
            Some(ActionExecutionStatus::Failed) => false,
            _ => return Ok(None),
        };
        let result = action.and_then(|action| action.output()?.execution_result());
        let summary = result
            .and_then(|result| result.external_execution_summary())
            .unwrap_or_default()
            .to_owned();
        Ok(Some(Approval { approved, summary }))
    }
}

impl AnswerApprovals for Releases {
    async fn answer(&self, pipeline: &str, token: &str, approved: bool, summary: &str) -> Result<bool, AwsError> {
        let operation = "codepipeline:PutApprovalResult";
        let status = if approved {
            SdkApproval::Approved
        } else {
            SdkApproval::Rejected
        };
        let summary: String = summary.chars().take(SUMMARY_CHARS_MAX).collect();
        let result = ApprovalResult::builder().summary(summary).status(status).build();
        let result = result.map_err(|_| AwsError::incomplete(operation, "result.summary"))?;
        let request = self
            .0
            .put_approval_result()
            .pipeline_name(pipeline)
            .stage_name(APPROVAL)
            .action_name(APPROVAL);
        match request
            .token(token)
            .result(result)
            .send()
            .await
            .map_err(|error| AwsError::of(operation, &error))
        {
            Ok(_) => Ok(true),
            Err(error)
                if matches!(
                    error.code.as_str(),
                    "InvalidApprovalTokenException" | "ApprovalAlreadyCompletedException"
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// What waits for an approval, with its version.
///
/// # Errors
/// Whatever CodePipeline says.
pub async fn waiting(
    releases: &(impl ReadApprovals + ReadReleases),
    pipeline: &str,
) -> Result<Option<WaitingApproval>, AwsError> {
    let Some((release, token)) = releases.waiting(pipeline).await? else {
        return Ok(None);
    };
    let package = releases.package_of(pipeline, &release).await?;
    Ok(package.map(|package| WaitingApproval {
        release,
        package,
        token,
    }))
}

#[cfg(test)]
mod tests;
