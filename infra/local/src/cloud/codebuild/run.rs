//! Builds, from their start to their end.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::super::effect::{self, BuildOutcome, Effect, EffectId};
use super::super::{self as cloud_of, ApiError, Cloud, codepipeline};
use super::role::{self, Lack};
use super::tell::{tell_phase, tell_status};
use super::{Build, Phase, Source, TIMEOUT_MINUTES, Timer, Variable};

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
/// How long it takes to find that a source is not there, in seconds.
const DOWNLOAD_SECONDS: i64 = 2;

/// What is built.
#[derive(Debug)]
pub(super) struct Begin {
    /// The project's name.
    pub(super) project: String,
    /// Who starts the build.
    pub(super) initiator: String,
    /// The source, a zip; or what git says where there is none of that version.
    pub(super) source: Result<Bytes, String>,
    /// The version of the source as it was asked for.
    pub(super) source_version: Option<String>,
    /// The commit that the source comes from.
    pub(super) revision: Option<String>,
    /// Where the output goes: `BUCKET/KEY`.
    pub(super) output_location: Option<String>,
    /// The key of KMS that artifacts are encrypted with, where it is not the bucket's own.
    pub(super) key: Option<String>,
    /// What the caller adds to the project's variables.
    pub(super) variables: Vec<Variable>,
}

/// Begins a build and returns its id.
///
/// # Errors
/// `ResourceNotFoundException` for a project that is not there; `InvalidInputException` where its role does not let CodeBuild in.
pub(super) fn begin(cloud: &mut Cloud, begin: Begin) -> Result<String, ApiError> {
    let now = cloud.now;
    role::enter(cloud, &begin.project)?;
    let uuid = cloud.uuid();
    let project = cloud
        .codebuild
        .projects
        .get_mut(&begin.project)
        .ok_or_else(|| no_project(&begin.project))?;
    let id = format!("{}:{uuid}", project.name);
    project.builds.push(id.clone());
    let number = project.builds.len();
    let minutes = project.timeout_minutes;
    let (image, buildspec, source) = (project.image.clone(), project.buildspec.clone(), project.source.clone());
    let mut variables = project.variables.clone();
    for variable in begin.variables {
        variables.retain(|other| other.name != variable.name);
        variables.push(variable);
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
        ("CODEBUILD_INITIATOR", begin.initiator.clone()),
        ("CODEBUILD_LOG_PATH", uuid),
        (
            "CODEBUILD_RESOLVED_SOURCE_VERSION",
            begin.revision.clone().unwrap_or_default(),
        ),
        (
            "CODEBUILD_SOURCE_VERSION",
            begin.source_version.clone().unwrap_or_default(),
        ),
        ("CODEBUILD_START_TIME", now.as_millisecond().to_string()),
    ] {
        environment.insert(name.to_owned(), value);
    }
    if let Source::CodeCommit(location) = &source {
        environment.insert("CODEBUILD_SOURCE_REPO_URL".to_owned(), location.clone());
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
        project: begin.project.clone(),
        started: now,
        ended: None,
        status: "IN_PROGRESS",
        phases: PHASES.iter().take(PREPARED).copied().map(done).collect(),
        initiator: begin.initiator,
        source_version: begin.source_version,
        revision: begin.revision,
        output_location: begin.output_location,
        key: begin.key,
        variables,
    };
    let noted = about(&build);
    cloud.codebuild.builds.insert(id.clone(), build);
    // The role is asked first: without it CodeBuild does not come to the source.
    let lack = role::lack(cloud, &id);
    let source_says = |message| Lack::of("DOWNLOAD_SOURCE", format!("CLIENT_ERROR: {message}"));
    match lack
        .map_or(Ok(()), Err)
        .and_then(|()| begin.source.map_err(source_says))
    {
        Ok(zip) => {
            let (project, build_id) = (begin.project.clone(), id.clone());
            let effect = cloud.effect(move |effect| {
                Effect::Build(effect::Build {
                    id: effect,
                    project,
                    build_id,
                    source: zip,
                    buildspec,
                    environment,
                    has_artifact: source == Source::CodePipeline,
                })
            });
            cloud.codebuild.by_effect.insert(effect, id.clone());
        }
        Err(Lack { phase, message }) => {
            let build = id.clone();
            let found = Timer::Broken { build, phase, message };
            cloud.after(
                SignedDuration::from_secs(DOWNLOAD_SECONDS),
                cloud_of::Timer::CodeBuild(found),
            );
        }
    }
    cloud.after(
        SignedDuration::from_mins(minutes.into()),
        cloud_of::Timer::CodeBuild(Timer::Timeout(id.clone())),
    );
    cloud.note("codebuild", &begin.project, "build-started", noted.into());
    tell_status(cloud, &id);
    for phase in 0..PREPARED {
        tell_phase(cloud, &id, phase);
    }
    Ok(id)
}

/// There is no such project.
pub(super) fn no_project(name: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("Project cannot be found: {name}"))
}

/// What the timeline is told of every build.
fn about(build: &Build) -> Map<String, Value> {
    let mut about = Map::new();
    about.insert("build".into(), build.id.as_str().into());
    about.insert("initiator".into(), build.initiator.as_str().into());
    if let Some(revision) = &build.revision {
        about.insert("commit".into(), revision.as_str().into());
    }
    about
}

/// How a build that does not succeed ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Failed,
    TimedOut,
    Stopped,
}

impl Fault {
    fn status(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Stopped => "STOPPED",
        }
    }
}

impl Cloud {
    /// Reports what came of an [`Effect::Build`]. A build that has ended before, its time being up or it
    /// being stopped, stays as it is.
    pub fn finish_build(&mut self, id: EffectId, outcome: BuildOutcome) {
        let Some(build) = self.codebuild.by_effect.remove(&id) else {
            return;
        };
        let outcome = match outcome {
            BuildOutcome::Succeeded(_) => match role::upload(self, &build) {
                None => outcome,
                Some(Lack { phase, message }) => BuildOutcome::Failed {
                    phase: phase.to_owned(),
                    message,
                    log_tail: String::new(),
                },
            },
            BuildOutcome::Failed { .. } => outcome,
        };
        end(self, &build, outcome, Fault::Failed);
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
    let id = match timer {
        Timer::Timeout(id) => id,
        Timer::Broken { build, phase, message } => {
            let outcome = BuildOutcome::Failed {
                phase: phase.to_owned(),
                message,
                log_tail: String::new(),
            };
            return end(cloud, &build, outcome, Fault::Failed);
        }
    };
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
    end(cloud, &id, outcome, Fault::TimedOut);
}

/// Stops a build; one that has ended stays as it is.
pub(super) fn stop(cloud: &mut Cloud, id: &str) {
    let outcome = BuildOutcome::Failed {
        phase: "BUILD".to_owned(),
        message: String::new(),
        log_tail: String::new(),
    };
    end(cloud, id, outcome, Fault::Stopped);
}

/// Ends a build; `fault` says how, if it has not succeeded.
fn end(cloud: &mut Cloud, id: &str, outcome: BuildOutcome, fault: Fault) {
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
    build.status = if failed.is_some() { fault.status() } else { "SUCCEEDED" };
    let slow = failed.as_ref().map_or("BUILD", |(phase, _)| *phase);
    let mut at = build.started;
    let mut skipping = false;
    for name in PHASES.iter().skip(PREPARED).copied() {
        // After a failure the build is wound up: a failed BUILD still has its POST_BUILD, as the buildspec reference says.
        let is_winding_up =
            name == "FINALIZING" || (slow == "BUILD" && name == "POST_BUILD" && fault != Fault::Stopped);
        if skipping && !is_winding_up {
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
                phase.status = fault.status();
                phase.context = (fault != Fault::Stopped).then(|| context.clone());
                skipping = true;
            }
        }
        build.phases.push(phase);
    }
    let (project, count, mut noted) = (build.project.clone(), build.phases.len(), about(build));
    match (&outcome, &failed) {
        (BuildOutcome::Failed { .. }, _) if fault == Fault::Stopped => {
            cloud.note("codebuild", &project, "build-stopped", noted.into());
        }
        (BuildOutcome::Failed { message, log_tail, .. }, Some((phase, _))) => {
            noted.insert("phase".into(), (*phase).into());
            noted.insert("message".into(), message.as_str().into());
            noted.insert("log_tail".into(), log_tail.as_str().into());
            cloud.note("codebuild", &project, "build-failed", noted.into());
        }
        _ => cloud.note("codebuild", &project, "build-succeeded", noted.into()),
    }
    for phase in PREPARED..count {
        tell_phase(cloud, id, phase);
    }
    tell_phase(cloud, id, count);
    tell_status(cloud, id);
    codepipeline::build_finished(cloud, id, outcome, fault == Fault::Stopped);
}
