//! build-status: has what is not released built and tested, and tells how that ended.
//!
//! A push to another branch than the released one, and a pull request, have their commit built by a project that trains and
//! releases nothing; how the build ended is posted on the pull request, as a comment and as an approval of its revision. A push
//! whose way to a training fails is told by mail, with the phase, the command and where the log is. CodeBuild's list of builds is
//! what says whether a commit was built, and the comment whether it was told: both are looked at first. Events may be lost: a sweep
//! looks at the open pull requests.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use aws_config::SdkConfig;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::builds::{Builds, ReadBuilds, StartBuilds};
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::notices::{Publish, Sns};
use signalbox_aws::pull_requests::{Judged, PullRequests, ReadPullRequests, TellPullRequests};
use signalbox_aws::runtime::Function;
use signalbox_model::build::{self, Build, Next, Status, id_of};
use signalbox_model::event::Event;
use signalbox_model::mail::{FailedAction, action_failed};
use signalbox_model::names::{CommitId, Console, ModelName};
use signalbox_model::pull_request::{PullRequest, comment};

/// How many open pull requests a build that has ended may be of: a page of CodeCommit's list.
const OPEN_MAX: u8 = 100;
/// How many open pull requests a sweep looks at, those opened last.
const SWEPT_MAX: usize = 25;

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model.
    pub model: ModelName,
    /// Its repository.
    pub repository: String,
    /// The branch that is released, and so is built elsewhere.
    pub branch: String,
    /// The CodeBuild project that builds what is not released.
    pub check_project: String,
    /// The pipeline that builds and trains.
    pub train_pipeline: String,
    /// The function behind its stage Train.
    pub training_function: String,
    /// Where notices go.
    pub notices_topic_arn: String,
    /// What the links of the mails open.
    pub console: Console,
}

/// The function.
#[derive(Debug)]
pub struct BuildStatus {
    settings: Settings,
    builds: Builds,
    pull_requests: PullRequests,
    notices: Sns,
}

impl Function for BuildStatus {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let settings = Settings {
            model: environment.parsed("MODEL_NAME")?,
            repository: environment.required("REPOSITORY_NAME")?.to_owned(),
            branch: environment.required("BRANCH_NAME")?.to_owned(),
            check_project: environment.required("CHECK_PROJECT")?.to_owned(),
            train_pipeline: environment.required("TRAIN_PIPELINE")?.to_owned(),
            training_function: environment.required("TRAINING_FUNCTION")?.to_owned(),
            notices_topic_arn: environment.required("NOTICES_TOPIC_ARN")?.to_owned(),
            // Topic and pipeline are of one Region.
            console: environment.parsed("NOTICES_TOPIC_ARN")?,
        };
        Ok(Self {
            settings,
            builds: Builds::new(sdk),
            pull_requests: PullRequests::new(sdk),
            notices: Sns::new(environment, sdk)?,
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            builds: &self.builds,
            pull_requests: &self.pull_requests,
            notices: &self.notices,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, B, P, N> {
    /// Start and read builds.
    pub builds: &'a B,
    /// Read pull requests, and say something on them.
    pub pull_requests: &'a P,
    /// Tell people.
    pub notices: &'a N,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    reference_type: String,
    reference_name: String,
    /// Not there where the branch was deleted.
    commit_id: Option<CommitId>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullRequestChanged {
    pull_request_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BuildChanged {
    project_name: String,
    build_id: String,
    build_status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ActionChanged {
    pipeline: String,
    execution_id: String,
    stage: String,
    action: String,
    state: String,
    #[serde(default)]
    execution_result: ExecutionResult,
    #[serde(default)]
    r#type: ActionType,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ExecutionResult {
    external_execution_id: Option<String>,
    external_execution_summary: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct ActionType {
    #[serde(default)]
    provider: String,
}

/// Handles one event.
///
/// # Errors
/// Where the event is none that this function takes, or AWS fails: Lambda then tries again.
pub async fn handle<B, P, N>(
    settings: &Settings,
    ports: &Ports<'_, B, P, N>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    B: StartBuilds + ReadBuilds,
    P: ReadPullRequests + TellPullRequests,
    N: Publish,
{
    let event = Event::parse(event)?;
    match event.kind() {
        ("aws.codecommit", "CodeCommit Repository State Change") => {
            pushed(settings, ports, &event.detail()?).await?;
        }
        ("aws.codecommit", "CodeCommit Pull Request State Change") => {
            let PullRequestChanged { pull_request_id } = event.detail()?;
            // As it is now, not as the event says: events come late and out of order.
            if let Some(pull_request) = wanting(settings, ports, &pull_request_id).await? {
                let builds = ports.builds.newest_builds(&settings.check_project).await?;
                see_to(settings, ports, &pull_request, &builds, true).await?;
            }
        }
        ("aws.codebuild", "CodeBuild Build State Change") => {
            built(settings, ports, &event.detail()?).await?;
        }
        ("aws.codepipeline", "CodePipeline Action Execution State Change") => {
            tell(settings, ports, &event.detail()?).await?;
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

/// A push: what is not released is built.
async fn pushed<B, P, N>(settings: &Settings, ports: &Ports<'_, B, P, N>, pushed: &Pushed) -> Result<(), anyhow::Error>
where
    B: StartBuilds + ReadBuilds,
{
    let released = pushed.reference_name == settings.branch;
    let Some(commit) = pushed
        .commit_id
        .as_ref()
        .filter(|_| pushed.reference_type == "branch" && !released)
    else {
        tracing::info!(reference = pushed.reference_name, "nothing to build here");
        return Ok(());
    };
    let builds = ports.builds.newest_builds(&settings.check_project).await?;
    if build::next(commit, &builds) == Next::Build {
        start(settings, ports, commit).await?;
    }
    Ok(())
}

/// The pull request, where there is something to build and to tell.
async fn wanting<B, P, N>(
    settings: &Settings,
    ports: &Ports<'_, B, P, N>,
    id: &str,
) -> Result<Option<PullRequest>, anyhow::Error>
where
    P: ReadPullRequests,
{
    let found = ports.pull_requests.pull_request(&settings.repository, id).await?;
    Ok(found.filter(PullRequest::wants_build))
}

/// Sees that the commit of a pull request is built, and told of.
async fn see_to<B, P, N>(
    settings: &Settings,
    ports: &Ports<'_, B, P, N>,
    pull_request: &PullRequest,
    builds: &[Build],
    may_start: bool,
) -> Result<(), anyhow::Error>
where
    B: StartBuilds,
    P: ReadPullRequests + TellPullRequests,
{
    match build::next(&pull_request.source_commit, builds) {
        Next::Build if may_start => start(settings, ports, &pull_request.source_commit).await,
        Next::Build | Next::Wait(_) => Ok(()),
        Next::Report(build) => report(settings, ports, pull_request, build).await,
    }
}

/// Starts a build. Where the list of builds lags behind, or two events come at once, CodeBuild makes one of it by the token.
async fn start<B, P, N>(settings: &Settings, ports: &Ports<'_, B, P, N>, commit: &CommitId) -> Result<(), anyhow::Error>
where
    B: StartBuilds,
{
    let build = ports.builds.start(&settings.check_project, commit).await?;
    tracing::info!(%commit, build, "its build was started, unless it had been");
    Ok(())
}

/// Tells a pull request how the build of its commit ended, once. The comment is the mark of that, and so comes last. The judgement
/// is of a revision, and CodeCommit refuses it where that is not the pull request's any more: then nothing is said.
async fn report<B, P, N>(
    settings: &Settings,
    ports: &Ports<'_, B, P, N>,
    pull_request: &PullRequest,
    build: &Build,
) -> Result<(), anyhow::Error>
where
    P: ReadPullRequests + TellPullRequests,
{
    let (id, comment) = (&pull_request.id, comment(pull_request, build));
    if comment.is_among(&ports.pull_requests.posted(id).await?) {
        return Ok(());
    }
    let approve = build.status == Status::Succeeded;
    match ports.pull_requests.judge(pull_request, approve).await? {
        Judged::Done => {}
        Judged::Outdated => {
            tracing::info!(pull_request = id, build = build.id, "has moved on, or is closed");
            return Ok(());
        }
        Judged::NotCounted(reason) => {
            tracing::warn!(pull_request = id, build = build.id, reason, "no approval is taken");
        }
    }
    ports
        .pull_requests
        .post(&settings.repository, pull_request, &comment)
        .await?;
    tracing::info!(pull_request = id, build = build.id, approve, "told");
    Ok(())
}

/// A build has ended: the pull requests that have its commit now are told.
async fn built<B, P, N>(
    settings: &Settings,
    ports: &Ports<'_, B, P, N>,
    changed: &BuildChanged,
) -> Result<(), anyhow::Error>
where
    B: ReadBuilds,
    P: ReadPullRequests + TellPullRequests,
{
    let id = id_of(&changed.build_id);
    if changed.project_name != settings.check_project || !Status::parse(&changed.build_status).has_ended() {
        tracing::info!(
            build = id,
            status = changed.build_status,
            "not the end of a build that is told"
        );
        return Ok(());
    }
    let builds = ports.builds.newest_builds(&settings.check_project).await?;
    let Some(ended) = builds.iter().find(|build| build.id == id) else {
        tracing::warn!(
            build = id,
            "not among the newest any more, or not yet: left to the sweep"
        );
        return Ok(());
    };
    let Some(commit) = &ended.commit else {
        tracing::info!(build = id, "not the build of a commit");
        return Ok(());
    };
    if !ended.status.has_ended() {
        bail!("the build {id} has ended, and CodeBuild does not say so yet");
    }
    // Of several builds of the commit the newest counts.
    let Next::Report(newest) = build::next(commit, &builds) else {
        return Ok(());
    };
    let open = ports.pull_requests.open(&settings.repository, OPEN_MAX).await?;
    let mut failure = FirstFailure::default();
    for id in &open {
        failure.keep(id, report_if_of(settings, ports, id, commit, newest).await);
    }
    failure.into_result()
}

/// Tells a pull request of the build, where it is its commit's.
async fn report_if_of<B, P, N>(
    settings: &Settings,
    ports: &Ports<'_, B, P, N>,
    id: &str,
    commit: &CommitId,
    build: &Build,
) -> Result<(), anyhow::Error>
where
    P: ReadPullRequests + TellPullRequests,
{
    match wanting(settings, ports, id).await? {
        Some(pull_request) if pull_request.source_commit == *commit => {
            report(settings, ports, &pull_request, build).await
        }
        _ => Ok(()),
    }
}

/// Looks at the open pull requests: at those opened last, where there are many.
async fn sweep<B, P, N>(settings: &Settings, ports: &Ports<'_, B, P, N>, now: Timestamp) -> Result<(), anyhow::Error>
where
    B: StartBuilds + ReadBuilds,
    P: ReadPullRequests + TellPullRequests,
{
    let mut open = ports.pull_requests.open(&settings.repository, OPEN_MAX).await?;
    if open.is_empty() {
        return Ok(());
    }
    if open.len() > SWEPT_MAX {
        tracing::info!(open = open.len(), looked_at = SWEPT_MAX, "more than a sweep looks at");
    }
    open.truncate(SWEPT_MAX);
    let builds = ports.builds.newest_builds(&settings.check_project).await?;
    let mut failure = FirstFailure::default();
    for id in &open {
        failure.keep(id, look_at(settings, ports, id, &builds, now).await);
    }
    failure.into_result()
}

/// Looks at one open pull request.
async fn look_at<B, P, N>(
    settings: &Settings,
    ports: &Ports<'_, B, P, N>,
    id: &str,
    builds: &[Build],
    now: Timestamp,
) -> Result<(), anyhow::Error>
where
    B: StartBuilds,
    P: ReadPullRequests + TellPullRequests,
{
    let Some(pull_request) = wanting(settings, ports, id).await? else {
        return Ok(());
    };
    let may_start = pull_request.is_lately_active(now);
    see_to(settings, ports, &pull_request, builds, may_start).await
}

/// The first failure of several: whichever pull request fails, the others are dealt with, and then Lambda tries again.
#[derive(Default)]
struct FirstFailure(Option<anyhow::Error>);

impl FirstFailure {
    fn keep(&mut self, pull_request: &str, dealt_with: Result<(), anyhow::Error>) {
        if let Err(error) = dealt_with {
            tracing::warn!(pull_request, error = format!("{error:#}"), "not dealt with");
            self.0.get_or_insert(error);
        }
    }

    fn into_result(self) -> Result<(), anyhow::Error> {
        self.0.map_or(Ok(()), Err)
    }
}

/// An action of the train pipeline has failed: a push is not trained.
async fn tell<B, P, N>(
    settings: &Settings,
    ports: &Ports<'_, B, P, N>,
    changed: &ActionChanged,
) -> Result<(), anyhow::Error>
where
    B: ReadBuilds,
    N: Publish,
{
    if changed.pipeline != settings.train_pipeline || changed.state != "FAILED" {
        tracing::info!(pipeline = changed.pipeline, state = changed.state, "nothing to tell");
        return Ok(());
    }
    let result = &changed.execution_result;
    let build = match &result.external_execution_id {
        Some(id) if changed.r#type.provider == "CodeBuild" => match ports.builds.build(id_of(id)).await {
            Ok(build) => build,
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                // What the event itself says is better than nothing.
                tracing::warn!(%error, "the build can't be read");
                None
            }
        },
        _ => None,
    };
    let function_log =
        (changed.r#type.provider == "Lambda").then(|| settings.console.function_log_url(&settings.training_function));
    let notice = action_failed(
        &settings.model,
        &FailedAction {
            pipeline: &changed.pipeline,
            stage: &changed.stage,
            action: &changed.action,
            reason: result.external_execution_summary.as_deref(),
            build: build.as_ref(),
            log_url: function_log.as_deref(),
            execution_url: &settings
                .console
                .pipeline_execution_url(&changed.pipeline, &changed.execution_id),
        },
    );
    let topic = &settings.notices_topic_arn;
    ports.notices.publish(topic, &notice, &BTreeMap::new()).await?;
    tracing::info!(
        execution = changed.execution_id,
        stage = changed.stage,
        "told that a push was not trained"
    );
    Ok(())
}

#[cfg(test)]
mod tests;
