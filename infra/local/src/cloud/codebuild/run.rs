//! Builds, from their start to their end.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::json;

use super::super::effect::{self, BuildOutcome, Effect, EffectId};
use super::super::{self as cloud_of, ApiError, Cloud, codepipeline};
use super::tell::{tell_phase, tell_status};
use super::{Build, Phase, Request, TIMEOUT_MINUTES, Timer, Variable};

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

/// A variable as an action's configuration writes it.
#[derive(Deserialize)]
struct ActionVariable {
    name: String,
    value: String,
    r#type: Option<String>,
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
        cloud_of::Timer::CodeBuild(Timer::Timeout(id.clone())),
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
