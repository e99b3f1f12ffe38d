//! CodeBuild: projects, and builds that CodePipeline starts.
//!
//! A build itself runs outside, as an [`Effect::Build`]; its phases before the source is there take no time, and all the time of
//! the rest is that of the phase in which it ended.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::codecommit::seconds;
use super::codepipeline::{
    self,
    declaration::{optional_number, optional_text},
};
use super::effect::{self, BuildOutcome, Effect, EffectId};
use super::{ApiError, Caller, Cloud, events};
use crate::template::{Resource, TemplateError};

/// How long a build may take where the project does not say, in minutes.
const TIMEOUT_MINUTES: u32 = 60;
/// The ids that ListBuildsForProject shows at once.
const PAGE: usize = 100;

/// The phases that a build goes through, in order; `COMPLETED` comes after the last.
const PHASES: &[&str] = &[
    "SUBMITTED",
    "QUEUED",
    "PROVISIONING",
    "DOWNLOAD_SOURCE",
    "INSTALL",
    "PRE_BUILD",
    "BUILD",
    "POST_BUILD",
    "UPLOAD_ARTIFACTS",
    "FINALIZING",
];
/// The phases that are over when the build runs.
const PREPARED: usize = 3;

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    projects: BTreeMap<String, Project>,
    builds: BTreeMap<String, Build>,
    by_effect: BTreeMap<EffectId, String>,
}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// A build's time is up.
    Timeout(String),
}

/// What CodePipeline asks for.
#[derive(Debug)]
pub(crate) struct Request {
    /// The project's name.
    pub(crate) project: String,
    /// Who starts the build: `codepipeline/PIPELINE`.
    pub(crate) initiator: String,
    /// The source, a zip.
    pub(crate) source: Bytes,
    /// Where the source is: `BUCKET/KEY`.
    pub(crate) source_location: String,
    /// The commit that the source comes from.
    pub(crate) revision: Option<String>,
    /// Where the output goes: `BUCKET/KEY`.
    pub(crate) output_location: Option<String>,
    /// The action's `EnvironmentVariables`: a JSON list of `{name, value, type}`.
    pub(crate) environment: Option<String>,
}

#[derive(Debug)]
struct Project {
    name: String,
    arn: String,
    description: Option<String>,
    role: String,
    buildspec: Option<String>,
    kind: String,
    compute: String,
    image: String,
    privileged: bool,
    variables: Vec<Variable>,
    timeout_minutes: u32,
    created: Timestamp,
    /// By start.
    builds: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Debug)]
struct Build {
    id: String,
    arn: String,
    number: usize,
    project: String,
    started: Timestamp,
    ended: Option<Timestamp>,
    status: &'static str,
    phases: Vec<Phase>,
    initiator: String,
    source_location: String,
    revision: Option<String>,
    output_location: Option<String>,
    variables: Vec<Variable>,
}

#[derive(Debug, Clone)]
struct Phase {
    name: &'static str,
    status: &'static str,
    started: Timestamp,
    ended: Timestamp,
    /// Code and message of a phase that failed.
    context: Option<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Properties {
    name: String,
    description: Option<String>,
    service_role: String,
    source: SourceProperties,
    artifacts: ArtifactsProperties,
    environment: EnvironmentProperties,
    #[serde(default, deserialize_with = "optional_number")]
    timeout_in_minutes: Option<u32>,
    // Tags change nothing here.
    #[serde(default, rename = "Tags")]
    _tags: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct SourceProperties {
    r#type: String,
    build_spec: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct ArtifactsProperties {
    r#type: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct EnvironmentProperties {
    r#type: String,
    compute_type: String,
    image: String,
    #[serde(default)]
    privileged_mode: bool,
    #[serde(default)]
    environment_variables: Vec<VariableProperties>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct VariableProperties {
    name: String,
    #[serde(deserialize_with = "optional_text")]
    value: Option<String>,
    r#type: Option<String>,
}

/// A variable as an action's configuration writes it.
#[derive(Deserialize)]
struct ActionVariable {
    name: String,
    value: String,
    r#type: Option<String>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    if resource.kind != "AWS::CodeBuild::Project" {
        return Err(resource.unsupported("this resource type"));
    }
    let properties: Properties = resource.read()?;
    for (what, kind) in [
        ("Source", &properties.source.r#type),
        ("Artifacts", &properties.artifacts.r#type),
    ] {
        if kind != "CODEPIPELINE" {
            return Err(resource.unsupported(format!("{what} of Type {kind}")));
        }
    }
    let environment = properties.environment;
    let mut variables = Vec::new();
    for variable in environment.environment_variables {
        if let Some(kind) = variable.r#type.filter(|kind| kind != "PLAINTEXT") {
            return Err(resource.unsupported(format!("the environment variable {} of Type {kind}", variable.name)));
        }
        variables.push(Variable {
            name: variable.name,
            value: variable.value.unwrap_or_default(),
        });
    }
    let timeout_minutes = properties.timeout_in_minutes.unwrap_or(TIMEOUT_MINUTES);
    if !(5..=2160).contains(&timeout_minutes) {
        return Err(resource.wrong(format!("TimeoutInMinutes {timeout_minutes} is not 5 to 2160")));
    }
    let name = properties.name;
    let role = properties.service_role;
    let project = Project {
        arn: cloud.arn("codebuild", &format!("project/{name}")),
        name: name.clone(),
        description: properties.description,
        // The template may give the role's name for its ARN.
        role: if role.starts_with("arn:") {
            role
        } else {
            format!("arn:aws:iam::{}:role/{role}", cloud.target.account)
        },
        buildspec: properties.source.build_spec,
        kind: environment.r#type,
        compute: environment.compute_type,
        image: environment.image,
        privileged: environment.privileged_mode,
        variables,
        timeout_minutes,
        created: cloud.now,
        builds: Vec::new(),
    };
    match cloud.codebuild.projects.insert(name.clone(), project) {
        None => Ok(()),
        Some(_) => Err(resource.wrong(format!("there are two projects `{name}`"))),
    }
}

/// Starts a build and returns its id; what comes of it, CodePipeline is told.
///
/// # Errors
/// `ResourceNotFoundException` for a project that is not there; `InvalidInputException` for variables that can't be read.
pub(crate) fn start(cloud: &mut Cloud, request: Request) -> Result<String, ApiError> {
    let now = cloud.now;
    let uuid = cloud.uuid();
    let own: Vec<ActionVariable> = match &request.environment {
        None => Vec::new(),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| ApiError::new("InvalidInputException", format!("EnvironmentVariables: {error}")))?,
    };
    if let Some(variable) = own
        .iter()
        .find(|variable| variable.r#type.as_deref().is_some_and(|kind| kind != "PLAINTEXT"))
    {
        let message = format!(
            "the local cloud does not know the type of the environment variable {}",
            variable.name
        );
        return Err(ApiError::new("InvalidInputException", message));
    }
    let project = cloud.codebuild.projects.get_mut(&request.project).ok_or_else(|| {
        ApiError::new(
            "ResourceNotFoundException",
            format!("Project cannot be found: {}", request.project),
        )
    })?;
    let id = format!("{}:{uuid}", project.name);
    project.builds.push(id.clone());
    let number = project.builds.len();
    let (image, buildspec, minutes) = (
        project.image.clone(),
        project.buildspec.clone(),
        project.timeout_minutes,
    );
    let mut variables = project.variables.clone();
    for variable in own {
        variables.retain(|other| other.name != variable.name);
        variables.push(Variable {
            name: variable.name,
            value: variable.value,
        });
    }
    let arn = cloud.arn("codebuild", &format!("build/{id}"));
    let mut environment: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in [
        ("AWS_DEFAULT_REGION", cloud.target.region.clone()),
        ("AWS_REGION", cloud.target.region.clone()),
        ("CODEBUILD_BUILD_ARN", arn.clone()),
        ("CODEBUILD_BUILD_ID", id.clone()),
        ("CODEBUILD_BUILD_IMAGE", image),
        ("CODEBUILD_BUILD_NUMBER", number.to_string()),
        ("CODEBUILD_BUILD_SUCCEEDING", "1".to_owned()),
        ("CODEBUILD_INITIATOR", request.initiator.clone()),
        ("CODEBUILD_LOG_PATH", uuid),
        (
            "CODEBUILD_RESOLVED_SOURCE_VERSION",
            request.revision.clone().unwrap_or_default(),
        ),
        (
            "CODEBUILD_SOURCE_VERSION",
            format!("arn:aws:s3:::{}", request.source_location),
        ),
        ("CODEBUILD_START_TIME", now.as_millisecond().to_string()),
    ] {
        environment.insert(name.to_owned(), value);
    }
    environment.extend(
        variables
            .iter()
            .map(|variable| (variable.name.clone(), variable.value.clone())),
    );
    let done = |name: &'static str| Phase {
        name,
        status: "SUCCEEDED",
        started: now,
        ended: now,
        context: None,
    };
    let build = Build {
        id: id.clone(),
        arn,
        number,
        project: request.project.clone(),
        started: now,
        ended: None,
        status: "IN_PROGRESS",
        phases: PHASES.iter().take(PREPARED).copied().map(done).collect(),
        initiator: request.initiator,
        source_location: request.source_location,
        revision: request.revision,
        output_location: request.output_location,
        variables,
    };
    cloud.codebuild.builds.insert(id.clone(), build);
    let build_id = id.clone();
    let project = request.project.clone();
    let effect = cloud.effect(move |effect| {
        Effect::Build(effect::Build {
            id: effect,
            project,
            build_id,
            source: request.source,
            buildspec,
            environment,
        })
    });
    cloud.codebuild.by_effect.insert(effect, id.clone());
    cloud.after(
        SignedDuration::from_mins(minutes.into()),
        super::Timer::CodeBuild(Timer::Timeout(id.clone())),
    );
    cloud.note("codebuild", &request.project, "build-started", json!({"build": id}));
    tell_status(cloud, &id);
    for phase in 0..PREPARED {
        tell_phase(cloud, &id, phase);
    }
    Ok(id)
}

impl Cloud {
    /// Reports what came of an [`Effect::Build`]. A build that has ended before, its time being up, stays as it is.
    pub fn finish_build(&mut self, id: EffectId, outcome: BuildOutcome) {
        if let Some(build) = self.codebuild.by_effect.remove(&id) {
            end(self, &build, outcome, false);
        }
    }
}

/// The code and the message in what was said of a phase: `CODE: message`.
pub(crate) fn code_and_message(said: &str) -> (&str, &str) {
    let is_code = |code: &str| !code.is_empty() && code.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    said.split_once(": ")
        .filter(|(code, _)| is_code(code))
        .unwrap_or(("COMMAND_EXECUTION_ERROR", said))
}

/// Where the console shows a build.
pub(crate) fn console_link(region: &str, build_id: &str) -> String {
    format!("https://console.aws.amazon.com/codebuild/home?region={region}#/builds/{build_id}/view/new")
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    let Timer::Timeout(id) = timer;
    let Some(build) = cloud.codebuild.builds.get(&id) else {
        return;
    };
    let minutes = cloud
        .codebuild
        .projects
        .get(&build.project)
        .map_or(TIMEOUT_MINUTES, |project| project.timeout_minutes);
    let outcome = BuildOutcome::Failed {
        phase: "BUILD".to_owned(),
        message: format!("BUILD_TIMED_OUT: Build has timed out after {minutes} minutes."),
        log_tail: String::new(),
    };
    end(cloud, &id, outcome, true);
}

fn end(cloud: &mut Cloud, id: &str, outcome: BuildOutcome, timed_out: bool) {
    let now = cloud.now;
    let Some(build) = cloud.codebuild.builds.get_mut(id).filter(|build| build.ended.is_none()) else {
        return;
    };
    let failed = match &outcome {
        BuildOutcome::Succeeded(_) => None,
        BuildOutcome::Failed { phase, message, .. } => {
            let known = PHASES.iter().skip(PREPARED).find(|known| *known == phase).copied();
            let (code, message) = code_and_message(message);
            Some((known.unwrap_or("BUILD"), (code.to_owned(), message.to_owned())))
        }
    };
    build.ended = Some(now);
    build.status = match (&failed, timed_out) {
        (None, _) => "SUCCEEDED",
        (Some(_), true) => "TIMED_OUT",
        (Some(_), false) => "FAILED",
    };
    let slow = failed.as_ref().map_or("BUILD", |(phase, _)| *phase);
    let mut at = build.started;
    let mut skipping = false;
    for name in PHASES.iter().skip(PREPARED).copied() {
        // After a failure the build is wound up: a failed BUILD still has its POST_BUILD, as the buildspec reference says.
        if skipping && !matches!((slow, name), (_, "FINALIZING") | ("BUILD", "POST_BUILD")) {
            continue;
        }
        let started = at;
        let mut phase = Phase {
            name,
            status: "SUCCEEDED",
            started,
            ended: started,
            context: None,
        };
        if name == slow {
            at = now;
            phase.ended = now;
            if let Some((_, context)) = &failed {
                phase.status = if timed_out { "TIMED_OUT" } else { "FAILED" };
                phase.context = Some(context.clone());
                skipping = true;
            }
        }
        build.phases.push(phase);
    }
    let (project, count) = (build.project.clone(), build.phases.len());
    match (&outcome, &failed) {
        (BuildOutcome::Failed { message, log_tail, .. }, Some((phase, _))) => {
            let noted = json!({"build": id, "phase": phase, "message": message, "log_tail": log_tail});
            cloud.note("codebuild", &project, "build-failed", noted);
        }
        _ => cloud.note("codebuild", &project, "build-succeeded", json!({"build": id})),
    }
    for phase in PREPARED..count {
        tell_phase(cloud, id, phase);
    }
    tell_phase(cloud, id, count);
    tell_status(cloud, id);
    codepipeline::build_finished(cloud, id, outcome);
}

/// `CodeBuild Build State Change`.
fn tell_status(cloud: &mut Cloud, id: &str) {
    let state = &cloud.codebuild;
    let Some(build) = state.builds.get(id) else { return };
    let Some(project) = state.projects.get(&build.project) else {
        return;
    };
    let detail = json!({
        "build-status": build.status,
        "project-name": build.project,
        "build-id": build.arn,
        "additional-information": information(cloud, build, project),
        "current-phase": if build.ended.is_some() { "COMPLETED" } else { "SUBMITTED" },
        "current-phase-context": "[]",
        "version": "1",
    });
    let arn = build.arn.clone();
    events::put(
        cloud,
        "aws.codebuild",
        "CodeBuild Build State Change",
        vec![arn],
        detail,
    );
}

/// `CodeBuild Build Phase Change` for the phase at that place; the place after the last is `COMPLETED`.
fn tell_phase(cloud: &mut Cloud, id: &str, phase: usize) {
    let state = &cloud.codebuild;
    let Some(build) = state.builds.get(id) else { return };
    let Some(project) = state.projects.get(&build.project) else {
        return;
    };
    let (name, status, started, ended, context) = match build.phases.get(phase) {
        Some(phase) => (
            phase.name,
            phase.status,
            phase.started,
            phase.ended,
            phase.context.as_ref(),
        ),
        None => {
            let ended = build.ended.unwrap_or(build.started);
            ("COMPLETED", build.status, ended, ended, None)
        }
    };
    let detail = json!({
        "completed-phase": name,
        "project-name": build.project,
        "build-id": build.arn,
        "completed-phase-context": context.map_or_else(|| "[]".to_owned(), |(code, message)| format!("[{code}: {message}]")),
        "additional-information": information(cloud, build, project),
        "completed-phase-status": status,
        "completed-phase-duration-seconds": (ended.as_second() - started.as_second()),
        "version": "1",
        "completed-phase-start": date(started),
        "completed-phase-end": date(ended),
    });
    let arn = build.arn.clone();
    events::put(
        cloud,
        "aws.codebuild",
        "CodeBuild Build Phase Change",
        vec![arn],
        detail,
    );
}

/// What both events say of a build.
fn information(cloud: &Cloud, build: &Build, project: &Project) -> Value {
    let phase = |phase: &Phase| {
        let context: Vec<String> = phase
            .context
            .iter()
            .map(|(code, message)| format!("{code}: {message}"))
            .collect();
        json!({
            "phase-context": context,
            "start-time": date(phase.started),
            "end-time": date(phase.ended),
            "duration-in-seconds": phase.ended.as_second() - phase.started.as_second(),
            "phase-type": phase.name,
            "phase-status": phase.status,
        })
    };
    let mut phases: Vec<Value> = build.phases.iter().map(phase).collect();
    if let Some(ended) = build.ended {
        phases.push(json!({"start-time": date(ended), "phase-type": "COMPLETED"}));
    }
    let (group, stream) = log_names(build);
    let mut information = json!({
        "environment": {
            "image": project.image,
            "privileged-mode": project.privileged,
            "compute-type": project.compute,
            "type": project.kind,
            "environment-variables": build.variables.iter().map(show_variable).collect::<Vec<_>>(),
        },
        "timeout-in-minutes": project.timeout_minutes,
        "build-complete": build.ended.is_some(),
        "initiator": build.initiator,
        "build-start-time": date(build.started),
        "source": {"type": "CODEPIPELINE"},
        "logs": {"group-name": group, "stream-name": stream, "deep-link": log_link(cloud, &group, stream)},
        "phases": phases,
    });
    if let (Some(location), Some(members)) = (&build.output_location, information.as_object_mut()) {
        members.insert(
            "artifact".into(),
            json!({"location": format!("arn:aws:s3:::{location}")}),
        );
    }
    information
}

/// A time as CodeBuild's events write it: `Sep 1, 2017 4:12:29 PM`.
fn date(time: Timestamp) -> String {
    time.strftime("%b %-d, %Y %-I:%M:%S %p").to_string()
}

fn show_variable(variable: &Variable) -> Value {
    json!({"name": variable.name, "value": variable.value, "type": "PLAINTEXT"})
}

/// Log group and log stream.
fn log_names(build: &Build) -> (String, &str) {
    let stream = build.id.rsplit(':').next().unwrap_or_default();
    (format!("/aws/codebuild/{}", build.project), stream)
}

fn log_link(cloud: &Cloud, group: &str, stream: &str) -> String {
    let region = &cloud.target.region;
    format!("https://console.aws.amazon.com/cloudwatch/home?region={region}#logEvent:group={group};stream={stream}")
}

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, _caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let descending = text("sortOrder") == Some("DESCENDING");
    let state = &cloud.codebuild;
    match operation {
        "BatchGetBuilds" => {
            let (mut builds, mut missing) = (Vec::new(), Vec::new());
            for id in texts(input, "ids") {
                // The ARN serves as well as the id.
                let key = id.rsplit('/').next().unwrap_or(id);
                let build = state.builds.get(key);
                match build.and_then(|build| Some((build, state.projects.get(&build.project)?))) {
                    Some((build, project)) => builds.push(show_build(cloud, build, project)),
                    None => missing.push(id),
                }
            }
            let mut answer = json!({"builds": builds});
            add_missing(&mut answer, "buildsNotFound", &missing);
            Ok(answer)
        }
        "BatchGetProjects" => {
            let (mut projects, mut missing) = (Vec::new(), Vec::new());
            for name in texts(input, "names") {
                let key = name.rsplit('/').next().unwrap_or(name);
                match state.projects.get(key) {
                    Some(project) => projects.push(show_project(project)),
                    None => missing.push(name),
                }
            }
            let mut answer = json!({"projects": projects});
            add_missing(&mut answer, "projectsNotFound", &missing);
            Ok(answer)
        }
        "ListBuildsForProject" => {
            let name = text("projectName").unwrap_or_default();
            let project = state.projects.get(name).ok_or_else(|| {
                ApiError::new(
                    "ResourceNotFoundException",
                    format!("The provided project {name} does not exist"),
                )
            })?;
            // The newest come first where nothing is said.
            let mut ids: Vec<&String> = project.builds.iter().collect();
            if text("sortOrder") != Some("ASCENDING") {
                ids.reverse();
            }
            let from: usize = match text("nextToken") {
                None => 0,
                Some(token) => token
                    .parse()
                    .map_err(|_| ApiError::new("InvalidInputException", "The nextToken is not valid"))?,
            };
            let page: Vec<&String> = ids.iter().skip(from).take(PAGE).copied().collect();
            let end = from.saturating_add(page.len());
            // The model does not allow an empty list.
            let mut answer = if page.is_empty() {
                json!({})
            } else {
                json!({"ids": page})
            };
            if let Some(members) = answer.as_object_mut().filter(|_| end < ids.len()) {
                members.insert("nextToken".into(), end.to_string().into());
            }
            Ok(answer)
        }
        "ListProjects" => {
            let mut projects: Vec<&Project> = state.projects.values().collect();
            if matches!(text("sortBy"), Some("CREATED_TIME" | "LAST_MODIFIED_TIME")) {
                projects.sort_by_key(|project| project.created);
            }
            if descending {
                projects.reverse();
            }
            let names: Vec<&String> = projects.into_iter().map(|project| &project.name).collect();
            Ok(if names.is_empty() {
                json!({})
            } else {
                json!({"projects": names})
            })
        }
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("the local cloud has no {operation}"),
        )),
    }
}

fn texts<'a>(input: &'a Value, member: &str) -> Vec<&'a str> {
    let list = input.get(member).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn add_missing(answer: &mut Value, member: &str, missing: &[&str]) {
    if let Some(members) = answer.as_object_mut().filter(|_| !missing.is_empty()) {
        members.insert(member.to_owned(), json!(missing));
    }
}

fn show_source(project: &Project) -> Value {
    let mut source = json!({"type": "CODEPIPELINE"});
    if let (Some(buildspec), Some(members)) = (&project.buildspec, source.as_object_mut()) {
        members.insert("buildspec".into(), buildspec.as_str().into());
    }
    source
}

fn show_environment(project: &Project, variables: &[Variable]) -> Value {
    json!({
        "type": project.kind,
        "image": project.image,
        "computeType": project.compute,
        "privilegedMode": project.privileged,
        "environmentVariables": variables.iter().map(show_variable).collect::<Vec<_>>(),
    })
}

fn show_project(project: &Project) -> Value {
    let mut shown = json!({
        "name": project.name,
        "arn": project.arn,
        "source": show_source(project),
        "artifacts": {"type": "CODEPIPELINE"},
        "environment": show_environment(project, &project.variables),
        "serviceRole": project.role,
        "timeoutInMinutes": project.timeout_minutes,
        "created": seconds(project.created),
        "lastModified": seconds(project.created),
    });
    if let (Some(description), Some(members)) = (&project.description, shown.as_object_mut()) {
        members.insert("description".into(), description.as_str().into());
    }
    shown
}

fn show_build(cloud: &Cloud, build: &Build, project: &Project) -> Value {
    let phase = |phase: &Phase| {
        let context = phase
            .context
            .iter()
            .map(|(code, message)| json!({"statusCode": code, "message": message}));
        json!({
            "phaseType": phase.name,
            "phaseStatus": phase.status,
            "startTime": seconds(phase.started),
            "endTime": seconds(phase.ended),
            "durationInSeconds": phase.ended.as_second() - phase.started.as_second(),
            "contexts": context.collect::<Vec<_>>(),
        })
    };
    let mut phases: Vec<Value> = build.phases.iter().map(phase).collect();
    // The phase that the build is in, once it has left those before.
    let (current, since) = match build.ended {
        Some(ended) => ("COMPLETED", ended),
        None => ("BUILD", build.started),
    };
    phases.push(json!({"phaseType": current, "startTime": seconds(since)}));
    let (group, stream) = log_names(build);
    let mut shown = json!({
        "id": build.id,
        "arn": build.arn,
        "buildNumber": build.number,
        "startTime": seconds(build.started),
        "currentPhase": current,
        "buildStatus": build.status,
        "projectName": build.project,
        "phases": phases,
        "source": show_source(project),
        "sourceVersion": format!("arn:aws:s3:::{}", build.source_location),
        "environment": show_environment(project, &build.variables),
        "serviceRole": project.role,
        "logs": {"groupName": group, "streamName": stream, "deepLink": log_link(cloud, &group, stream)},
        "timeoutInMinutes": project.timeout_minutes,
        "buildComplete": build.ended.is_some(),
        "initiator": build.initiator,
    });
    if let Some(members) = shown.as_object_mut() {
        if let Some(ended) = build.ended {
            members.insert("endTime".into(), seconds(ended).into());
        }
        if let Some(revision) = &build.revision {
            members.insert("resolvedSourceVersion".into(), revision.as_str().into());
        }
        if let Some(location) = &build.output_location {
            members.insert(
                "artifacts".into(),
                json!({"location": format!("arn:aws:s3:::{location}")}),
            );
        }
    }
    shown
}
