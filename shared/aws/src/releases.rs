//! The release pipeline: starting it, and the approval that it waits for.

use aws_sdk_codepipeline::types::{
    ActionExecutionDetail, ActionExecutionFilter, ActionExecutionStatus, ApprovalResult, ApprovalStatus as SdkApproval,
    PipelineExecution, PipelineExecutionStatus, PipelineVariable, StageExecutionStatus, StageState,
};
use jiff::Timestamp;
use signalbox_model::names::{ModelPackageArn, ReleaseId};
use signalbox_model::package::ApprovalStatus;
use signalbox_model::settle::{ActionStatus, Seen, superseded_by};
use signalbox_model::undo::{Undoes, reason_variable};

use crate::error::{AwsError, ErrorKind};
use crate::registry::{ReadPackages, timestamp};

/// The stage and the action of the approval, as the template names them.
pub const APPROVAL: &str = "Approve";
/// The stage of the deployment.
pub const DEPLOYMENT: &str = "Deploy";
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

/// Lets one see whether rollbacks fail.
pub trait ReadRollbacks: Send + Sync {
    /// The newest rollback, where it has failed. A person's stop is no failure.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn failed_rollback(&self, pipeline: &str) -> impl Future<Output = Result<Option<FailedRollback>, AwsError>> + Send;
}

/// A rollback that has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRollback {
    /// The rollback.
    pub rollback: ReleaseId,
    /// When the try began that failed: a stage may be retried.
    pub began: Timestamp,
    /// When it failed.
    pub at: Timestamp,
    /// What CodePipeline says of it.
    pub reason: String,
}

/// An approval that waits, with its token. A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The release.
    pub release: ReleaseId,
    /// The approval's token, which answers it. A secret.
    pub token: String,
    /// Since when it waits.
    pub since: Option<Timestamp>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting")
            .field("release", &self.release)
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// The release pipeline as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The approval that waits, if one does.
    pub waiting: Option<Waiting>,
    /// When the release that is under way has last moved: of several the one that has stood longest. Nothing where none is.
    pub moved: Option<Timestamp>,
}

impl Standing {
    /// For how many seconds the release that is under way has not moved; zero where none is.
    #[must_use]
    pub fn idle_seconds(&self, now: Timestamp) -> u64 {
        let idle = self.moved.map(|moved| now.duration_since(moved).as_secs());
        idle.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default()
    }
}

/// Lets one see what waits.
pub trait ReadApprovals: Send + Sync {
    /// The pipeline as it stands, in one call.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn standing(&self, pipeline: &str) -> impl Future<Output = Result<Standing, AwsError>> + Send;

    /// The execution that stands in the approval stage, and the approval's token, if one waits.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn waiting(&self, pipeline: &str) -> impl Future<Output = Result<Option<Waiting>, AwsError>> + Send {
        async move { Ok(self.standing(pipeline).await?.waiting) }
    }
}

/// Lets one see whether a decision is still to come.
pub trait ReadUndecided: Send + Sync {
    /// A release that is on its way to its approval, or waits for it, if there is one.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn undecided(&self, pipeline: &str) -> impl Future<Output = Result<Option<ReleaseId>, AwsError>> + Send;
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

    /// The approval of a release; `None` before the release has come to it.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn approval_of(
        &self,
        pipeline: &str,
        release: &ReleaseId,
    ) -> impl Future<Output = Result<Option<Seen>, AwsError>> + Send;

    /// The approvals of the newest releases (about thirty), newest first.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn recent_approvals(&self, pipeline: &str) -> impl Future<Output = Result<Vec<Recent>, AwsError>> + Send;
}

/// A release that has come to its approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// The release.
    pub release: ReleaseId,
    /// Its approval.
    pub approval: Seen,
    /// What CodePipeline says of its deployment, where that has failed.
    pub failure: Option<String>,
}

/// Lets one see whether an execution goes on.
pub trait ReadExecutions: Send + Sync {
    /// Whether the execution of that pipeline is in progress. One that is not there is not.
    ///
    /// # Errors
    /// Whatever else CodePipeline says.
    fn is_in_progress(
        &self,
        pipeline: &str,
        execution: &ReleaseId,
    ) -> impl Future<Output = Result<bool, AwsError>> + Send;
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

/// The longest page of actions.
const ACTIONS_MAX: i32 = 100;

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

impl ReadRollbacks for Releases {
    async fn failed_rollback(&self, pipeline: &str) -> Result<Option<FailedRollback>, AwsError> {
        let newest = self.actions(pipeline, None, 1).await?;
        let failed = newest.first().and_then(|action| {
            Some(FailedRollback {
                reason: failure(action)?,
                rollback: action.pipeline_execution_id()?.parse().ok()?,
                began: timestamp(action.start_time()?)?,
                at: timestamp(action.last_update_time()?)?,
            })
        });
        Ok(failed)
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
    async fn standing(&self, pipeline: &str) -> Result<Standing, AwsError> {
        let answer = self.0.get_pipeline_state().name(pipeline).send().await;
        let answer = answer.map_err(|error| AwsError::of("codepipeline:GetPipelineState", &error))?;
        let stages = answer.stage_states();
        Ok(Standing {
            waiting: waiting(stages),
            moved: moved(stages),
        })
    }
}

fn waiting(stages: &[StageState]) -> Option<Waiting> {
    let stage = stages.iter().find(|stage| stage.stage_name() == Some(APPROVAL))?;
    let mut actions = stage.action_states().iter();
    let action = actions.find(|action| action.action_name() == Some(APPROVAL))?;
    let latest = action.latest_execution()?;
    if latest.status() != Some(&ActionExecutionStatus::InProgress) {
        return None;
    }
    Some(Waiting {
        release: stage.latest_execution()?.pipeline_execution_id().parse().ok()?,
        token: latest.token()?.to_owned(),
        since: latest.last_status_change().and_then(timestamp),
    })
}

/// A release is under way while a stage of it is in progress, and has moved when an action of any stage of it has.
fn moved(stages: &[StageState]) -> Option<Timestamp> {
    let latest = |stage: &StageState| {
        let latest = stage.latest_execution()?;
        Some((latest.pipeline_execution_id().to_owned(), latest.status().clone()))
    };
    let under_way = stages
        .iter()
        .filter_map(latest)
        .filter(|(_, status)| *status == StageExecutionStatus::InProgress);
    let changed = |release: &str| {
        let mine = stages
            .iter()
            .filter(|stage| latest(stage).is_some_and(|(of, _)| of == release));
        let actions = mine.flat_map(|stage| stage.action_states());
        actions
            .filter_map(|action| timestamp(action.latest_execution()?.last_status_change()?))
            .max()
    };
    under_way.filter_map(|(release, _)| changed(&release)).min()
}

impl ReadUndecided for Releases {
    async fn undecided(&self, pipeline: &str) -> Result<Option<ReleaseId>, AwsError> {
        let answer = self.0.get_pipeline_state().name(pipeline).send().await;
        let answer = answer.map_err(|error| AwsError::of("codepipeline:GetPipelineState", &error))?;
        // From the first stage to the approval; what has passed that is decided.
        let stages = answer.stage_states();
        let approval = stages.iter().position(|stage| stage.stage_name() == Some(APPROVAL));
        let undecided = stages.iter().take(approval.map_or(0, |approval| approval + 1));
        let running = |stage: &&StageState| {
            let latest = stage.latest_execution().into_iter();
            let of = latest
                .chain(stage.inbound_execution())
                .chain(stage.inbound_executions());
            of.filter(|execution| *execution.status() == StageExecutionStatus::InProgress)
                .find_map(|execution| execution.pipeline_execution_id().parse().ok())
        };
        Ok(undecided.into_iter().find_map(|stage| running(&stage)))
    }
}

impl Releases {
    async fn execution(&self, pipeline: &str, id: &ReleaseId) -> Result<Option<PipelineExecution>, AwsError> {
        let request = self.0.get_pipeline_execution().pipeline_name(pipeline);
        let answer = request.pipeline_execution_id(id.as_str()).send().await;
        let answer = answer.map_err(|error| AwsError::of("codepipeline:GetPipelineExecution", &error))?;
        Ok(answer.pipeline_execution)
    }
}

impl ReadExecutions for Releases {
    async fn is_in_progress(&self, pipeline: &str, execution: &ReleaseId) -> Result<bool, AwsError> {
        match self.execution(pipeline, execution).await {
            Ok(execution) => {
                let status = execution.and_then(|execution| execution.status);
                Ok(status == Some(PipelineExecutionStatus::InProgress))
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl ReadReleases for Releases {
    async fn package_of(&self, pipeline: &str, release: &ReleaseId) -> Result<Option<ModelPackageArn>, AwsError> {
        let execution = self.execution(pipeline, release).await?;
        let variables = execution
            .as_ref()
            .map(|execution| execution.variables())
            .unwrap_or_default();
        let variable = variables
            .iter()
            .find(|variable| variable.name() == Some(MODEL_PACKAGE_VARIABLE));
        Ok(variable.and_then(|variable| variable.resolved_value()?.parse().ok()))
    }

    async fn approval_of(&self, pipeline: &str, release: &ReleaseId) -> Result<Option<Seen>, AwsError> {
        let filter = ActionExecutionFilter::builder()
            .pipeline_execution_id(release.as_str())
            .build();
        let actions = self.actions(pipeline, Some(filter), ACTIONS_MAX).await?;
        Ok(actions.iter().find_map(seen).map(|(_, seen)| seen))
    }

    async fn recent_approvals(&self, pipeline: &str) -> Result<Vec<Recent>, AwsError> {
        let actions = self.actions(pipeline, None, ACTIONS_MAX).await?;
        let recent = actions.iter().filter_map(seen).map(|(release, approval)| {
            // Newest first: a deployment that was retried is what it is now.
            let mine = |action: &&ActionExecutionDetail| action.pipeline_execution_id() == Some(release.as_str());
            let deployment = actions
                .iter()
                .filter(mine)
                .find(|action| action.stage_name() == Some(DEPLOYMENT));
            let failure = deployment.and_then(failure);
            Recent {
                release,
                approval,
                failure,
            }
        });
        Ok(recent.collect())
    }
}

impl Releases {
    /// The newest actions, a hundred at most, newest first.
    async fn actions(
        &self,
        pipeline: &str,
        filter: Option<ActionExecutionFilter>,
        at_most: i32,
    ) -> Result<Vec<ActionExecutionDetail>, AwsError> {
        let request = self.0.list_action_executions().pipeline_name(pipeline);
        let answer = request.set_filter(filter).max_results(at_most).send().await;
        let answer = answer.map_err(|error| AwsError::of("codepipeline:ListActionExecutions", &error))?;
        Ok(answer.action_execution_details.unwrap_or_default())
    }
}

/// Why an action has failed, where it has.
fn failure(action: &ActionExecutionDetail) -> Option<String> {
    if action.status() != Some(&ActionExecutionStatus::Failed) {
        return None;
    }
    let result = action.output().and_then(|output| output.execution_result());
    let error = result.and_then(|result| result.error_details()?.message());
    let summary = result.and_then(|result| result.external_execution_summary());
    Some(error.or(summary).unwrap_or("CodePipeline gives no reason").to_owned())
}

fn seen(action: &ActionExecutionDetail) -> Option<(ReleaseId, Seen)> {
    if action.stage_name() != Some(APPROVAL) || action.action_name() != Some(APPROVAL) {
        return None;
    }
    let status = match action.status()? {
        ActionExecutionStatus::InProgress => ActionStatus::InProgress,
        ActionExecutionStatus::Succeeded => ActionStatus::Succeeded,
        ActionExecutionStatus::Failed => ActionStatus::Failed,
        ActionExecutionStatus::Abandoned => ActionStatus::Abandoned,
        _ => return None,
    };
    let result = action.output().and_then(|output| output.execution_result());
    let summary = result.and_then(|result| result.external_execution_summary());
    let seen = Seen {
        status,
        summary: summary.unwrap_or_default().to_owned(),
        identity: action.updated_by().map(str::to_owned),
        since: action.start_time().and_then(timestamp),
        at: action.last_update_time().and_then(timestamp)?,
    };
    Some((action.pipeline_execution_id()?.parse().ok()?, seen))
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

/// Answers the approval that waits, if it is of a version older than `newer` on which nobody has decided: the newer candidate takes
/// its place. Whether it was.
///
/// # Errors
/// Whatever CodePipeline and SageMaker say.
pub async fn supersede_waiting(
    releases: &(impl ReadApprovals + ReadReleases + AnswerApprovals),
    registry: &impl ReadPackages,
    pipeline: &str,
    newer: &ModelPackageArn,
) -> Result<bool, AwsError> {
    let Some(waits) = releases.waiting(pipeline).await? else {
        return Ok(false);
    };
    let older = releases.package_of(pipeline, &waits.release).await?;
    let Some(older) = older.filter(|older| older.version() < newer.version()) else {
        return Ok(false);
    };
    if registry.package(&older).await?.approval != ApprovalStatus::PendingManualApproval {
        return Ok(false);
    }
    let summary = superseded_by(newer.version());
    let first = releases.answer(pipeline, &waits.token, false, &summary).await?;
    tracing::info!(version = older.version(), release = %waits.release, first, summary, "answered");
    Ok(first)
}

#[cfg(test)]
mod tests;
