//! The state machine: executions enter stages, stages run actions, actions end.
//!
//! Whatever is put outside (events, messages, invocations) may come back in at once and start something, so that the state is
//! always made whole before anything is told.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::effect::BuildOutcome;
use super::super::iam::Ask;
use super::super::{self as cloud_of, ApiError, Cloud, codebuild, codecommit, lambda, s3, sns};
use super::declaration::{Action, CONFIGURATION_CHARS_MAX, ExecutionMode, Kind};
use super::role::Role;
use super::{
    Artifact, Execution, Failure, Job, Place, Run, RunStatus, Source, Status, Timer, Trigger, no_pipeline, set, tell,
    variables,
};

/// How long a source action takes.
const SOURCE_SECONDS: i64 = 1;
/// How long after a continuation token the function is called again.
const CONTINUE_SECONDS: i64 = 30;
/// How long a job may go without an answer.
const REPORT_MINUTES: i64 = 20;
/// How long the credentials of a job hold.
const CREDENTIALS_HOURS: i64 = 1;
/// How many executions of one QUEUED pipeline may be under way.
const QUEUED_MAX: usize = 50;

/// What a start asks for.
#[derive(Debug, Default)]
pub(super) struct Start {
    pub(super) variables: BTreeMap<String, String>,
    pub(super) revisions: BTreeMap<String, String>,
    pub(super) token: Option<String>,
}

/// What an action ends with, where it does not fail.
#[derive(Debug, Default)]
pub(super) struct Success {
    pub(super) summary: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) variables: BTreeMap<String, String>,
}

/// Starts an execution, as EventBridge does for a rule whose target is the pipeline.
///
/// # Errors
/// `PipelineNotFoundException`; `ValidationException` where a variable of the pipeline has no default value.
pub(crate) fn start_from_event(cloud: &mut Cloud, pipeline_arn: &str) -> Result<(), ApiError> {
    let name = pipeline_arn.rsplit(':').next().unwrap_or_default().to_owned();
    let trigger = Trigger {
        kind: "CloudWatchEvent",
        detail: None,
    };
    start(cloud, &name, Start::default(), trigger).map(|_| ())
}

/// Starts an execution and returns its id; that of the execution that was started with the same token, if there is one.
pub(super) fn start(cloud: &mut Cloud, name: &str, start: Start, trigger: Trigger) -> Result<String, ApiError> {
    let pipeline = cloud
        .codepipeline
        .pipelines
        .get(name)
        .ok_or_else(|| no_pipeline(name, cloud))?;
    let started = start.token.as_ref().and_then(|token| pipeline.by_token.get(token));
    if let Some(execution) = started.and_then(|index| pipeline.executions.get(*index)) {
        return Ok(execution.id.clone());
    }
    let declared = &pipeline.declaration.variables;
    let unknown = start
        .variables
        .keys()
        .find(|name| !declared.iter().any(|variable| variable.name == **name));
    if let Some(unknown) = unknown {
        return Err(ApiError::validation(format!(
            "Variable {unknown} is not declared in the pipeline {name}"
        )));
    }
    let mut values = Vec::with_capacity(declared.len());
    let mut missing = Vec::new();
    for variable in declared {
        match start.variables.get(&variable.name).or(variable.default.as_ref()) {
            Some(value) => values.push((variable.name.clone(), value.clone())),
            None => missing.push(variable.name.as_str()),
        }
    }
    if !missing.is_empty() {
        return Err(ApiError::validation(format!(
            "Values are required for the variables of the pipeline {name} that have no default value: {}",
            missing.join(", ")
        )));
    }
    let sources = pipeline
        .declaration
        .stages
        .first()
        .map(|stage| stage.actions.as_slice())
        .unwrap_or_default();
    if let Some(unknown) = start
        .revisions
        .keys()
        .find(|name| !sources.iter().any(|action| action.name == **name))
    {
        return Err(ApiError::validation(format!(
            "The pipeline {name} has no source action {unknown}"
        )));
    }
    let under_way = pipeline
        .executions
        .iter()
        .rev()
        .filter(|execution| !execution.status.is_over())
        .count();
    if pipeline.declaration.mode == ExecutionMode::Queued && under_way >= QUEUED_MAX {
        return Err(ApiError::new(
            "ConcurrentPipelineExecutionsLimitExceededException",
            format!("The pipeline {name} has reached the limit of {QUEUED_MAX} concurrent pipeline executions"),
        ));
    }
    let id = cloud.uuid();
    let now = cloud.now;
    let execution = Execution {
        id: id.clone(),
        status: Status::InProgress,
        started: now,
        updated: now,
        trigger,
        variables: values,
        revisions: start.revisions,
        stage: 0,
        stages: Vec::new(),
        outputs: BTreeMap::new(),
        artifacts: BTreeMap::new(),
        runs: Vec::new(),
        stop_reason: None,
    };
    let pipeline = cloud
        .codepipeline
        .pipelines
        .get_mut(name)
        .ok_or_else(|| ApiError::new("InternalFailure", "gone"))?;
    let index = pipeline.executions.len();
    pipeline.executions.push(execution);
    pipeline.by_id.insert(id.clone(), index);
    if let Some(token) = start.token {
        pipeline.by_token.insert(token, index);
    }
    tell::execution(cloud, name, index);
    arrive(cloud, name, index);
    Ok(id)
}

/// Stops an execution: at once, or when the actions that run have ended.
pub(super) fn stop(cloud: &mut Cloud, name: &str, execution: usize, abandon: bool, reason: Option<String>) {
    let now = cloud.now;
    let Some(pipeline) = cloud.codepipeline.pipelines.get_mut(name) else {
        return;
    };
    let Some(found) = pipeline.executions.get_mut(execution) else {
        return;
    };
    let stage = found.stage;
    let inside = pipeline
        .lanes
        .get(stage)
        .is_some_and(|lane| lane.occupant == Some(execution));
    if !inside && let Some(lane) = pipeline.lanes.get_mut(stage) {
        lane.waiting.retain(|waiting| *waiting != execution);
    }
    let first = found.status == Status::InProgress;
    found.status = Status::Stopping;
    found.updated = now;
    found.stop_reason = reason.or_else(|| found.stop_reason.take());
    let mut abandoned = Vec::new();
    if inside {
        if let Some(status) = found.stages.get_mut(stage) {
            *status = Status::Stopping;
        }
        for (index, run) in found.runs.iter_mut().enumerate() {
            if abandon && run.status == RunStatus::InProgress {
                run.status = RunStatus::Abandoned;
                run.updated = now;
                abandoned.push(index);
            }
        }
    }
    if first {
        tell::execution(cloud, name, execution);
        if inside {
            tell::stage(cloud, name, execution, stage);
        }
    }
    for run in abandoned {
        let place = Place {
            pipeline: name.to_owned(),
            execution,
            run,
        };
        close_jobs(cloud, &place);
        tell::action(cloud, &place);
    }
    if inside {
        advance(cloud, name, execution);
    } else {
        end_execution(cloud, name, execution, Status::Stopped);
    }
}

/// An execution comes to the stage that it is to enter: it enters, or waits.
fn arrive(cloud: &mut Cloud, name: &str, execution: usize) {
    let Some(pipeline) = cloud.codepipeline.pipelines.get_mut(name) else {
        return;
    };
    let Some(stage) = pipeline.executions.get(execution).map(|found| found.stage) else {
        return;
    };
    let Some(lane) = pipeline.lanes.get_mut(stage) else {
        return;
    };
    let mut superseded = Vec::new();
    if pipeline.declaration.mode == ExecutionMode::Superseded {
        superseded.extend(lane.waiting.drain(..));
    }
    lane.waiting.push_back(execution);
    for older in superseded {
        end_execution(cloud, name, older, Status::Superseded);
    }
    admit(cloud, name, stage);
}

/// Lets the next one into a stage that is free.
fn admit(cloud: &mut Cloud, name: &str, stage: usize) {
    let Some(pipeline) = cloud.codepipeline.pipelines.get_mut(name) else {
        return;
    };
    let Some(lane) = pipeline.lanes.get_mut(stage) else {
        return;
    };
    if lane.occupant.is_some() {
        return;
    }
    let Some(execution) = lane.waiting.pop_front() else {
        return;
    };
    lane.occupant = Some(execution);
    lane.latest = Some(execution);
    if let Some(found) = pipeline.executions.get_mut(execution) {
        found.stages.push(Status::InProgress);
        found.updated = cloud.now;
    }
    tell::stage(cloud, name, execution, stage);
    advance(cloud, name, execution);
}

/// Goes on with an execution in its stage as far as it goes.
fn advance(cloud: &mut Cloud, name: &str, execution: usize) {
    let now = cloud.now;
    let Some(pipeline) = cloud.codepipeline.pipelines.get(name) else {
        return;
    };
    let Some(found) = pipeline.executions.get(execution) else {
        return;
    };
    let stage = found.stage;
    if pipeline
        .lanes
        .get(stage)
        .is_none_or(|lane| lane.occupant != Some(execution))
    {
        return;
    }
    let Some(declared) = pipeline.declaration.stages.get(stage) else {
        return;
    };
    let runs = || found.runs.iter().filter(|run| run.stage == stage);
    if runs().any(|run| run.status == RunStatus::InProgress) {
        return;
    }
    if runs().any(|run| run.status == RunStatus::Failed) {
        leave(cloud, name, execution, stage, Status::Failed);
        end_execution(cloud, name, execution, Status::Failed);
        admit(cloud, name, stage);
        return;
    }
    let to_come = declared
        .actions
        .iter()
        .enumerate()
        .filter(|(index, _)| !runs().any(|run| run.action == *index));
    let next_order = to_come.clone().map(|(_, action)| action.run_order).min();
    let abandoned = runs().any(|run| run.status == RunStatus::Abandoned);
    if found.status == Status::Stopping {
        let stage_done = next_order.is_none() && !abandoned;
        leave(
            cloud,
            name,
            execution,
            stage,
            if stage_done { Status::Succeeded } else { Status::Stopped },
        );
        end_execution(cloud, name, execution, Status::Stopped);
        admit(cloud, name, stage);
        return;
    }
    let Some(order) = next_order else {
        let last = stage + 1 >= pipeline.declaration.stages.len();
        leave(cloud, name, execution, stage, Status::Succeeded);
        if last {
            end_execution(cloud, name, execution, Status::Succeeded);
        } else {
            if let Some(found) = cloud.codepipeline.execution_mut(name, execution) {
                found.stage = stage + 1;
            }
            arrive(cloud, name, execution);
        }
        admit(cloud, name, stage);
        return;
    };
    // All of one order run side by side: they are all there before the first one can end.
    let group: Vec<usize> = to_come
        .filter(|(_, action)| action.run_order == order)
        .map(|(index, _)| index)
        .collect();
    let mut places = Vec::with_capacity(group.len());
    for action in group {
        let id = cloud.uuid();
        let Some(found) = cloud.codepipeline.execution_mut(name, execution) else {
            return;
        };
        found.updated = now;
        let run = found.runs.len();
        found.runs.push(Run::new(id, stage, action, now));
        places.push(Place {
            pipeline: name.to_owned(),
            execution,
            run,
        });
    }
    for place in places {
        begin(cloud, &place);
    }
}

/// An execution leaves a stage.
fn leave(cloud: &mut Cloud, name: &str, execution: usize, stage: usize, status: Status) {
    let now = cloud.now;
    let Some(pipeline) = cloud.codepipeline.pipelines.get_mut(name) else {
        return;
    };
    if let Some(lane) = pipeline.lanes.get_mut(stage) {
        lane.occupant = None;
    }
    if let Some(found) = pipeline.executions.get_mut(execution) {
        found.updated = now;
        if let Some(of_stage) = found.stages.get_mut(stage) {
            *of_stage = status;
        }
    }
    tell::stage(cloud, name, execution, stage);
}

fn end_execution(cloud: &mut Cloud, name: &str, execution: usize, status: Status) {
    let now = cloud.now;
    if let Some(found) = cloud.codepipeline.execution_mut(name, execution) {
        found.status = status;
        found.updated = now;
    }
    tell::execution(cloud, name, execution);
}

impl Run {
    fn new(id: String, stage: usize, action: usize, now: Timestamp) -> Self {
        Self {
            id,
            stage,
            action,
            status: RunStatus::InProgress,
            started: now,
            updated: now,
            updated_by: None,
            configuration: BTreeMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            variables: BTreeMap::new(),
            summary: None,
            external_id: None,
            external_url: None,
            percent: None,
            error: None,
            token: None,
            source: None,
        }
    }
}

/// Starts an action's run, whose place is taken already.
fn begin(cloud: &mut Cloud, place: &Place) {
    let Some(action) = cloud.codepipeline.action(place).cloned() else {
        return;
    };
    let resolved = resolve(cloud, place, &action);
    let outputs = action
        .outputs
        .iter()
        .map(|name| artifact(cloud, &place.pipeline, name))
        .collect();
    let Some(execution) = cloud.codepipeline.execution_mut(&place.pipeline, place.execution) else {
        return;
    };
    let inputs = action
        .inputs
        .iter()
        .filter_map(|name| execution.artifacts.get(name).cloned())
        .collect();
    let Some(run) = execution.runs.get_mut(place.run) else {
        return;
    };
    run.inputs = inputs;
    run.outputs = outputs;
    let refused = match resolved {
        Ok(configuration) => {
            run.configuration = configuration;
            None
        }
        Err(failure) => Some(failure),
    };
    tell::action(cloud, place);
    let started = match refused {
        Some(failure) => Err(failure),
        None => match action.kind {
            Kind::CodeCommit => begin_source(cloud, place, &action.name),
            Kind::CodeBuild => begin_build(cloud, place),
            Kind::Approval => begin_approval(cloud, place, &action),
            Kind::Lambda => begin_job(cloud, place, None),
        },
    };
    match started {
        Ok(()) => {
            let wait = SignedDuration::from_mins(action.timeout_minutes.into());
            cloud.after(wait, cloud_of::Timer::CodePipeline(Timer::Timeout(place.clone())));
        }
        Err(failure) => fail(cloud, place, failure, None),
    }
}

/// Where an output artifact goes.
fn artifact(cloud: &mut Cloud, pipeline: &str, name: &str) -> Artifact {
    // CodePipeline cuts both names short.
    let cut = |name: &str, chars: usize| name.chars().take(chars).collect::<String>();
    Artifact {
        name: name.to_owned(),
        key: format!("{}/{}/{}", cut(pipeline, 20), cut(name, 10), cloud.token(7)),
        revision: None,
    }
}

/// The action's configuration with its variables replaced.
fn resolve(cloud: &Cloud, place: &Place, action: &Action) -> Result<BTreeMap<String, String>, Failure> {
    let pipeline = cloud.codepipeline.pipelines.get(&place.pipeline);
    let execution = cloud.codepipeline.execution(&place.pipeline, place.execution);
    let value = |reference: &str| -> Option<String> {
        let execution = execution?;
        match reference.split_once('.')? {
            ("codepipeline", "PipelineExecutionId") => Some(execution.id.clone()),
            ("codepipeline", "ExecutionMode") => Some(pipeline?.declaration.mode.name().to_owned()),
            ("variables", name) => execution
                .variables
                .iter()
                .find(|(variable, _)| variable == name)
                .map(|(_, value)| value.clone()),
            (namespace, name) => execution.outputs.get(namespace)?.get(name).cloned(),
        }
    };
    let mut resolved = BTreeMap::new();
    for (key, text) in &action.configuration {
        let text = variables::resolve(text, value).map_err(|reference| {
            let message = format!(
                "The variable #{{{reference}}} in {key} of the action {} has no value",
                action.name
            );
            Failure::new("ConfigurationError", message)
        })?;
        if text.chars().count() > CONFIGURATION_CHARS_MAX {
            let message = format!(
                "{key} of the action {} is longer than {CONFIGURATION_CHARS_MAX} characters with its variables replaced",
                action.name
            );
            return Err(Failure::new("ConfigurationError", message));
        }
        resolved.insert(key.clone(), text);
    }
    Ok(resolved)
}

fn configured(cloud: &Cloud, place: &Place, key: &str) -> Option<String> {
    cloud.codepipeline.run(place)?.configuration.get(key).cloned()
}

// ---- Source

fn begin_source(cloud: &mut Cloud, place: &Place, action: &str) -> Result<(), Failure> {
    let repository = configured(cloud, place, "RepositoryName").unwrap_or_default();
    let role = Role::of(cloud, place);
    role.ask(cloud, &role.source(cloud, place, &repository))?;
    let branch = configured(cloud, place, "BranchName").unwrap_or_default();
    let execution = cloud.codepipeline.execution(&place.pipeline, place.execution);
    let revision = execution.and_then(|execution| execution.revisions.get(action));
    let found = match revision {
        Some(commit) => codecommit::commit(cloud, &repository, commit),
        None => codecommit::tip(cloud, &repository, &branch),
    };
    let commit = found.map_err(|error| {
        let message = match error.code.as_str() {
            "BranchDoesNotExistException" => format!(
                "The action failed because no branch named {branch} was found in the selected AWS CodeCommit repository \
                 {repository}. Make sure you are using the correct branch name, and then try again."
            ),
            "RepositoryDoesNotExistException" => format!(
                "The action failed because no repository named {repository} was found. Make sure you are using the correct \
                 repository name, and then try again."
            ),
            _ => error.message,
        };
        Failure::new("ConfigurationError", message)
    })?;
    let (source, zip) = (
        Source {
            commit: commit.id.clone(),
            message: commit.message.clone(),
            created: commit.date,
        },
        commit.zip.clone(),
    );
    let zip = zip.ok_or_else(|| {
        let message = format!("the local cloud does not keep the files of {}", source.commit);
        Failure::new("ConfigurationError", message)
    })?;
    let date = commit.date.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in [
        ("CommitId", &source.commit),
        ("BranchName", &branch),
        ("RepositoryName", &repository),
        ("CommitMessage", &source.message),
        ("AuthorDate", &date),
        ("CommitterDate", &date),
    ] {
        variables.insert(name.to_owned(), value.clone());
    }
    let region = cloud.target.region.clone();
    let Some(run) = cloud.codepipeline.run_mut(place) else {
        return Ok(());
    };
    run.external_url = Some(format!(
        "https://{region}.console.aws.amazon.com/codecommit/home#/repository/{repository}/commit/{}",
        source.commit
    ));
    run.variables = variables;
    for artifact in &mut run.outputs {
        artifact.revision = Some(source.commit.clone());
    }
    run.source = Some(source);
    let keys: Vec<String> = run.outputs.iter().map(|artifact| artifact.key.clone()).collect();
    for key in keys {
        put_artifact(cloud, &place.pipeline, &key, zip.clone());
    }
    let looked = cloud_of::Timer::CodePipeline(Timer::Source(place.clone()));
    cloud.after(SignedDuration::from_secs(SOURCE_SECONDS), looked);
    Ok(())
}

fn put_artifact(cloud: &mut Cloud, pipeline: &str, key: &str, content: Bytes) {
    let Some(found) = cloud.codepipeline.pipelines.get(pipeline) else {
        return;
    };
    let bucket = found.declaration.bucket.clone();
    s3::put(cloud, &bucket, key, content);
}

// ---- Build

fn begin_build(cloud: &mut Cloud, place: &Place) -> Result<(), Failure> {
    let project = configured(cloud, place, "ProjectName").unwrap_or_default();
    let environment = configured(cloud, place, "EnvironmentVariables");
    let found = cloud
        .codepipeline
        .pipelines
        .get(&place.pipeline)
        .zip(cloud.codepipeline.run(place));
    let Some((pipeline, run)) = found else { return Ok(()) };
    let Some(input) = run.inputs.first().cloned() else {
        return Ok(());
    };
    let bucket = pipeline.declaration.bucket.clone();
    let key = pipeline.declaration.key.clone();
    let output = run.outputs.first().map(|artifact| format!("{bucket}/{}", artifact.key));
    let role = Role::of(cloud, place);
    role.ask(cloud, &role.inputs(cloud, place))?;
    let project_arn = cloud.arn("codebuild", &format!("project/{project}"));
    let asks =
        ["codebuild:StartBuild", "codebuild:BatchGetBuilds"].map(|action| Ask::new(action, project_arn.as_str()));
    role.ask(cloud, &asks).map_err(|failure| Failure {
        message: format!("Error calling startBuild: {}", failure.message),
        ..failure
    })?;
    let source = s3::get(cloud, &bucket, &input.key).ok_or_else(|| {
        Failure::new(
            "JobFailed",
            format!("The artifact {} is not at s3://{bucket}/{}", input.name, input.key),
        )
    })?;
    let request = codebuild::Request {
        project,
        initiator: format!("codepipeline/{}", place.pipeline),
        source,
        source_location: format!("{bucket}/{}", input.key),
        revision: input.revision,
        output_location: output,
        environment,
        key,
    };
    let build = codebuild::start(cloud, request).map_err(|error| {
        Failure::new(
            "ConfigurationError",
            format!("Error calling startBuild: {}", error.message),
        )
    })?;
    if let Some(run) = cloud.codepipeline.run_mut(place) {
        run.external_id = Some(build.clone());
        run.external_url = Some(codebuild::console_link(&cloud.target.region, &build));
    }
    cloud.codepipeline.builds.insert(build, place.clone());
    Ok(())
}

/// A build has ended, or `stopped` was called for; one that no action waits for is nothing to CodePipeline.
pub(crate) fn build_finished(cloud: &mut Cloud, build_id: &str, outcome: BuildOutcome, stopped: bool) {
    let Some(place) = cloud.codepipeline.builds.remove(build_id) else {
        return;
    };
    if cloud
        .codepipeline
        .run(&place)
        .is_none_or(|run| run.status != RunStatus::InProgress)
    {
        return;
    }
    match outcome {
        BuildOutcome::Succeeded(zip) => {
            let output = cloud.codepipeline.run(&place).and_then(|run| run.outputs.first());
            if let Some(key) = output.map(|artifact| artifact.key.clone()) {
                put_artifact(cloud, &place.pipeline, &key, zip);
            }
            succeed(cloud, &place, Success::default());
        }
        BuildOutcome::Failed { .. } if stopped => {
            let message = "Build terminated with state: STOPPED";
            fail(cloud, &place, Failure::new("JobFailed", message), None);
        }
        BuildOutcome::Failed { phase, message, .. } => {
            let (code, message) = codebuild::code_and_message(&message);
            let message =
                format!("Build terminated with state: FAILED. Phase: {phase}, Code: {code}, Message: {message}");
            fail(cloud, &place, Failure::new("JobFailed", message), None);
        }
    }
}

// ---- Approval

fn begin_approval(cloud: &mut Cloud, place: &Place, action: &Action) -> Result<(), Failure> {
    let token = cloud.uuid();
    let Some(run) = cloud.codepipeline.run_mut(place) else {
        return Ok(());
    };
    run.token = Some(token.clone());
    let Some(topic) = run.configuration.get("NotificationArn").cloned() else {
        return Ok(());
    };
    let custom_data = run.configuration.get("CustomData").cloned();
    let entity_link = run.configuration.get("ExternalEntityLink").cloned();
    let stage = run.stage;
    let pipeline = cloud.codepipeline.pipelines.get(&place.pipeline);
    let stage = pipeline.and_then(|pipeline| pipeline.declaration.stages.get(stage));
    let stage = stage.map(|stage| stage.name.clone()).unwrap_or_default();
    let wait = SignedDuration::from_mins(action.timeout_minutes.into());
    let expires = cloud.now.checked_add(wait).unwrap_or(Timestamp::MAX);
    let region = &cloud.target.region;
    let link = format!(
        "https://console.aws.amazon.com/codepipeline/home?region={region}#/view/{}",
        place.pipeline
    );
    let mut approval = json!({
        "pipelineName": place.pipeline,
        "stageName": stage,
        "actionName": action.name,
        "token": token,
        // Without seconds, as CodePipeline writes it.
        "expires": expires.strftime("%Y-%m-%dT%H:%MZ").to_string(),
        "approvalReviewLink": format!("{link}/{stage}/{}/approve/{token}", action.name),
    });
    set(&mut approval, "externalEntityLink", entity_link);
    set(&mut approval, "customData", custom_data);
    let message = json!({"region": region, "consoleLink": link, "approval": approval}).to_string();
    // SNS takes at most 99 characters.
    let subject = format!(
        "APPROVAL NEEDED: AWS CodePipeline {} for action {}",
        place.pipeline, action.name
    );
    let subject: String = subject.chars().take(99).collect();
    let role = Role::of(cloud, place);
    sns::publish_in_role(cloud, &role.acting(), &topic, Some(&subject), &message).map_err(|error| {
        Failure::new(
            "JobFailed",
            format!("The approval could not be published to {topic}: {}", error.message),
        )
    })
}

// ---- Invoke

/// Calls the function with a new job.
fn begin_job(cloud: &mut Cloud, place: &Place, token: Option<String>) -> Result<(), Failure> {
    let id = cloud.uuid();
    let credentials = json!({
        "accessKeyId": format!("ASIA{}", cloud.token(16).to_uppercase()),
        "secretAccessKey": cloud.token(40),
        "sessionToken": cloud.token(64),
        "expirationTime": (cloud.now.as_millisecond()).saturating_add(CREDENTIALS_HOURS * 3_600_000),
    });
    let found = cloud
        .codepipeline
        .pipelines
        .get(&place.pipeline)
        .zip(cloud.codepipeline.run(place));
    let Some((pipeline, run)) = found else { return Ok(()) };
    let bucket = &pipeline.declaration.bucket;
    let artifacts = |artifacts: &[Artifact]| -> Vec<Value> {
        let show = |artifact: &Artifact| {
            let location = json!({"type": "S3", "s3Location": {"bucketName": bucket, "objectKey": artifact.key}});
            json!({"name": artifact.name, "revision": artifact.revision, "location": location})
        };
        artifacts.iter().map(show).collect()
    };
    let mut data = json!({
        "actionConfiguration": {"configuration": run.configuration},
        "inputArtifacts": artifacts(&run.inputs),
        "outputArtifacts": artifacts(&run.outputs),
        "artifactCredentials": credentials,
    });
    set(&mut data, "continuationToken", token);
    set(&mut data, "encryptionKey", pipeline.declaration.show_key());
    let function = run.configuration.get("FunctionName").cloned().unwrap_or_default();
    let event = json!({"CodePipeline.job": {"id": id, "accountId": cloud.target.account, "data": data}});
    let job = Job {
        place: place.clone(),
        open: true,
    };
    cloud.codepipeline.jobs.insert(id.clone(), job);
    let late = cloud_of::Timer::CodePipeline(Timer::Report(id.clone()));
    cloud.after(SignedDuration::from_mins(REPORT_MINUTES), late);
    let role = Role::of(cloud, place);
    let read = role.ask(cloud, &role.inputs(cloud, place));
    let close = |cloud: &mut Cloud| {
        if let Some(job) = cloud.codepipeline.jobs.get_mut(&id) {
            job.open = false;
        }
    };
    if let Err(failure) = read {
        close(cloud);
        return Err(failure);
    }
    lambda::invoke_in_role(cloud, &role.acting(), &function, event).map_err(|error| {
        close(cloud);
        let code = match error.code.as_str() {
            "ResourceNotFoundException" => "ConfigurationError",
            "AccessDeniedException" => "PermissionError",
            _ => "JobFailed",
        };
        Failure::new(
            code,
            format!(
                "The AWS Lambda function {function} could not be invoked: {}",
                error.message
            ),
        )
    })
}

/// A job's function wants to be called again.
pub(super) fn continue_later(cloud: &mut Cloud, place: &Place, token: String) {
    let again = cloud_of::Timer::CodePipeline(Timer::Continue(place.clone(), token));
    cloud.after(SignedDuration::from_secs(CONTINUE_SECONDS), again);
}

/// No answer to a job of this run is taken any more.
fn close_jobs(cloud: &mut Cloud, place: &Place) {
    for job in cloud.codepipeline.jobs.values_mut() {
        if job.place == *place {
            job.open = false;
        }
    }
}

// ---- The ends of actions

/// An action has succeeded; nothing where it has ended before.
pub(super) fn succeed(cloud: &mut Cloud, place: &Place, success: Success) {
    let Some(action) = cloud.codepipeline.action(place) else {
        return;
    };
    let namespace = action.namespace.clone();
    let now = cloud.now;
    let Some(execution) = cloud.codepipeline.execution_mut(&place.pipeline, place.execution) else {
        return;
    };
    let Some(run) = execution
        .runs
        .get_mut(place.run)
        .filter(|run| run.status == RunStatus::InProgress)
    else {
        return;
    };
    run.status = RunStatus::Succeeded;
    run.updated = now;
    run.summary = success.summary.or_else(|| run.summary.take());
    run.external_id = success.external_id.or_else(|| run.external_id.take());
    run.variables.extend(success.variables);
    for artifact in &run.outputs {
        execution.artifacts.insert(artifact.name.clone(), artifact.clone());
    }
    if let Some(namespace) = namespace {
        execution.outputs.insert(namespace, run.variables.clone());
    }
    tell::action(cloud, place);
    advance(cloud, &place.pipeline, place.execution);
}

/// An action has failed; nothing where it has ended before.
fn fail(cloud: &mut Cloud, place: &Place, failure: Failure, external_id: Option<String>) {
    let summary = Some(failure.message.clone());
    fail_saying(cloud, place, failure, external_id, summary);
}

/// The same, where the summary is not the failure's message.
pub(super) fn fail_saying(
    cloud: &mut Cloud,
    place: &Place,
    failure: Failure,
    external_id: Option<String>,
    summary: Option<String>,
) {
    let now = cloud.now;
    let Some(run) = cloud
        .codepipeline
        .run_mut(place)
        .filter(|run| run.status == RunStatus::InProgress)
    else {
        return;
    };
    run.status = RunStatus::Failed;
    run.updated = now;
    run.summary = summary;
    run.external_id = external_id.or_else(|| run.external_id.take());
    run.error = Some(failure);
    tell::action(cloud, place);
    advance(cloud, &place.pipeline, place.execution);
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    match timer {
        Timer::Source(place) => {
            let source = cloud.codepipeline.run(&place).and_then(|run| run.source.clone());
            let Some(source) = source else { return };
            let success = Success {
                // An empty message would be no summary.
                summary: Some(source.message).filter(|message| !message.is_empty()),
                external_id: Some(source.commit),
                variables: BTreeMap::new(),
            };
            succeed(cloud, &place, success);
        }
        Timer::Continue(place, token) => {
            if cloud
                .codepipeline
                .run(&place)
                .is_some_and(|run| run.status == RunStatus::InProgress)
                && let Err(failure) = begin_job(cloud, &place, Some(token))
            {
                fail(cloud, &place, failure, None);
            }
        }
        Timer::Report(job) => {
            let Some(job) = cloud.codepipeline.jobs.get_mut(&job).filter(|job| job.open) else {
                return;
            };
            job.open = false;
            let place = job.place.clone();
            let function = configured(cloud, &place, "FunctionName").unwrap_or_default();
            let message = format!(
                "The AWS Lambda function {function} failed to return a result: it did not report within {REPORT_MINUTES} \
                 minutes. Check the function to verify that it has permission to call the PutJobSuccessResult action and that \
                 it made a call to PutJobSuccessResult."
            );
            fail(cloud, &place, Failure::new("JobFailed", message), None);
        }
        Timer::Timeout(place) => time_out(cloud, &place),
    }
}

fn time_out(cloud: &mut Cloud, place: &Place) {
    if cloud
        .codepipeline
        .run(place)
        .is_none_or(|run| run.status != RunStatus::InProgress)
    {
        return;
    }
    let Some(action) = cloud.codepipeline.action(place) else {
        return;
    };
    let (kind, name, minutes) = (action.kind, action.name.clone(), action.timeout_minutes);
    close_jobs(cloud, place);
    if kind == Kind::Approval {
        fail_saying(
            cloud,
            place,
            Failure::new("TimedOut", "The approval timed out."),
            None,
            None,
        );
    } else {
        let message = format!("The action {name} timed out: it did not end within {minutes} minutes");
        fail(cloud, place, Failure::new("TimedOut", message), None);
    }
}
