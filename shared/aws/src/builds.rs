//! The builds of a CodeBuild project.

use aws_sdk_codebuild::types::{self, SortOrderType, StatusType};
use signalbox_model::build::{Build, Phase, Status};
use signalbox_model::names::CommitId;

use crate::error::AwsError;
use crate::registry::timestamp;

/// How many of a project's newest builds are looked at: a page of ListBuildsForProject, and as many as BatchGetBuilds takes.
pub const NEWEST_MAX: usize = 100;

/// Lets one start builds.
pub trait StartBuilds: Send + Sync {
    /// Starts the build of a commit, and returns its id. Within five minutes the same commit is built once, since the token follows
    /// from it and CodeBuild keeps it that long.
    ///
    /// # Errors
    /// Whatever CodeBuild says.
    fn start(&self, project: &str, commit: &CommitId) -> impl Future<Output = Result<String, AwsError>> + Send;
}

/// Lets one read builds.
pub trait ReadBuilds: Send + Sync {
    /// A build by its id, `PROJECT:UUID`, where it is still kept.
    ///
    /// # Errors
    /// Whatever CodeBuild says.
    fn build(&self, id: &str) -> impl Future<Output = Result<Option<Build>, AwsError>> + Send;

    /// The newest builds of a project, newest first, up to [`NEWEST_MAX`]. Takes two calls; one where there is none.
    ///
    /// # Errors
    /// Whatever CodeBuild says.
    fn newest_builds(&self, project: &str) -> impl Future<Output = Result<Vec<Build>, AwsError>> + Send;
}

/// CodeBuild.
#[derive(Debug, Clone)]
pub struct Builds(aws_sdk_codebuild::Client);

impl Builds {
    /// The port over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_codebuild::Client::new(sdk))
    }

    async fn read(&self, ids: Vec<String>) -> Result<Vec<Build>, AwsError> {
        let answer = self.0.batch_get_builds().set_ids(Some(ids)).send().await;
        let answer = answer.map_err(|error| AwsError::of("codebuild:BatchGetBuilds", &error))?;
        Ok(answer.builds().iter().filter_map(build).collect())
    }
}

impl StartBuilds for Builds {
    async fn start(&self, project: &str, commit: &CommitId) -> Result<String, AwsError> {
        let operation = "codebuild:StartBuild";
        let request = self.0.start_build().project_name(project);
        let request = request
            .source_version(commit.as_str())
            .idempotency_token(commit.build_token());
        let answer = request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        let id = answer.build_value.and_then(|build| build.id);
        id.ok_or_else(|| AwsError::incomplete(operation, "build.id"))
    }
}

impl ReadBuilds for Builds {
    async fn build(&self, id: &str) -> Result<Option<Build>, AwsError> {
        Ok(self.read(vec![id.to_owned()]).await?.into_iter().next())
    }

    async fn newest_builds(&self, project: &str) -> Result<Vec<Build>, AwsError> {
        let request = self.0.list_builds_for_project().project_name(project);
        let answer = request.sort_order(SortOrderType::Descending).send().await;
        let answer = answer.map_err(|error| AwsError::of("codebuild:ListBuildsForProject", &error))?;
        let mut ids = answer.ids.unwrap_or_default();
        ids.truncate(NEWEST_MAX);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut builds = self.read(ids.clone()).await?;
        // In which order they are answered is not documented.
        builds.sort_by_key(|build| ids.iter().position(|id| *id == build.id));
        Ok(builds)
    }
}

fn build(build: &types::Build) -> Option<Build> {
    let commit = |version: Option<&str>| version.and_then(|version| version.parse().ok());
    // The log's address is no good before there is a stream.
    let logs = build.logs().filter(|logs| logs.stream_name().is_some());
    Some(Build {
        id: build.id()?.to_owned(),
        // Started for a branch, only what that was resolved to is a commit.
        commit: commit(build.source_version()).or_else(|| commit(build.resolved_source_version())),
        status: status(build.build_status()),
        phases: build.phases().iter().map(phase).collect(),
        started_at: build.start_time().and_then(timestamp),
        ended_at: build.end_time().and_then(timestamp),
        log_url: logs.and_then(types::LogsLocation::deep_link).map(str::to_owned),
    })
}

fn phase(phase: &types::BuildPhase) -> Phase {
    // `COMMAND_EXECUTION_ERROR` and `Error while executing command: …`; both are empty where nothing is to be said.
    let says = phase.contexts().iter().map(|context| {
        let said = [context.status_code(), context.message()].into_iter().flatten();
        said.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
    });
    Phase {
        name: phase.phase_type().map_or("", |kind| kind.as_str()).to_owned(),
        status: status(phase.phase_status()),
        says: says.filter(|text| !text.is_empty()).collect(),
    }
}

fn status(status: Option<&StatusType>) -> Status {
    status.map_or(Status::InProgress, |status| Status::parse(status.as_str()))
}

#[cfg(test)]
mod tests;
