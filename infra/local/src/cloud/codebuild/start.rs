//! Who starts builds: CodePipeline, and callers of `StartBuild`.

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

use super::super::iam::identity;
use super::super::{ApiError, Caller, Cloud, codecommit};
use super::run::{Begin, begin, no_project};
use super::{Asked, Request, Source, Variable};

/// How long an idempotency token is valid, in minutes.
const TOKEN_MINUTES: i64 = 5;

/// What the local cloud knows of `StartBuild`'s input.
const KNOWN: &[&str] = &[
    "projectName",
    "sourceVersion",
    "environmentVariablesOverride",
    "idempotencyToken",
];

/// A variable as a call or an action's configuration writes it.
#[derive(Deserialize)]
struct WrittenVariable {
    name: String,
    value: String,
    r#type: Option<String>,
}

/// Starts a build of CodePipeline's and returns its id; what comes of it, CodePipeline is told.
///
/// # Errors
/// `ResourceNotFoundException` for a project that is not there; `InvalidInputException` for one whose source is none of
/// CodePipeline's, and for variables that can't be read.
pub(crate) fn start(cloud: &mut Cloud, request: Request) -> Result<String, ApiError> {
    let written = match &request.environment {
        None => Vec::new(),
        Some(text) => serde_json::from_str(text).map_err(|error| invalid(format!("EnvironmentVariables: {error}")))?,
    };
    let variables = read_variables(written)?;
    if source_of(cloud, &request.project)? != &Source::CodePipeline {
        return Err(invalid(format!(
            "the local cloud builds for a pipeline only where the source is CODEPIPELINE, which that of {} is not",
            request.project
        )));
    }
    let begun = Begin {
        project: request.project,
        initiator: request.initiator,
        source: Ok(request.source),
        source_version: Some(format!("arn:aws:s3:::{}", request.source_location)),
        revision: request.revision,
        output_location: request.output_location,
        key: request.key,
        variables,
    };
    begin(cloud, begun)
}

/// Answers `StartBuild` with the build's id. The same call with the same token within five minutes is answered with the same
/// build.
///
/// # Errors
/// `ResourceNotFoundException` for a project that is not there; `InvalidInputException` for what is not understood, and for a
/// token that has been used with other parameters.
pub(super) fn start_build(cloud: &mut Cloud, caller: &Caller, input: &Value) -> Result<String, ApiError> {
    let text = |member: &str| {
        input
            .get(member)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let now = cloud.now;
    let valid = SignedDuration::from_mins(TOKEN_MINUTES);
    cloud
        .codebuild
        .asked
        .retain(|_, asked| now.duration_since(asked.time) < valid);
    let token = text("idempotencyToken");
    if let Some(asked) = token.and_then(|token| cloud.codebuild.asked.get(token)) {
        return if &asked.input == input {
            Ok(asked.build.clone())
        } else {
            Err(invalid(
                "The idempotency token has been used in a request with other parameters",
            ))
        };
    }
    let members = input.as_object().into_iter().flatten();
    if let Some((member, _)) = members
        .into_iter()
        .find(|(member, _)| !KNOWN.contains(&member.as_str()))
    {
        return Err(invalid(format!("the local cloud does not know {member} of StartBuild")));
    }
    let written = match input.get("environmentVariablesOverride") {
        None => Vec::new(),
        Some(list) => serde_json::from_value(list.clone())
            .map_err(|error| invalid(format!("environmentVariablesOverride: {error}")))?,
    };
    let variables = read_variables(written)?;
    let project = text("projectName").unwrap_or_default();
    let location = match source_of(cloud, project)? {
        Source::CodeCommit(location) => location.clone(),
        Source::CodePipeline => {
            return Err(invalid(format!(
                "The project {project} takes its source from CodePipeline: only a pipeline starts its builds"
            )));
        }
    };
    let version = text("sourceVersion");
    let (source, revision) = match codecommit::checkout(cloud, &location, version) {
        Ok(commit) => (Ok(commit.zip.clone().unwrap_or_default()), Some(commit.id.clone())),
        Err(said) => {
            let version = version.unwrap_or_default();
            let message = format!("{said} for primary source and source version {version}");
            (Err(message.trim_end().to_owned()), None)
        }
    };
    let (arn, _) = identity(cloud, caller);
    let begun = Begin {
        project: project.to_owned(),
        // A user's name; of a role, its name and the session's.
        initiator: arn.split_once('/').map_or(arn.as_str(), |(_, name)| name).to_owned(),
        source,
        source_version: version.map(str::to_owned),
        revision,
        output_location: None,
        key: None,
        variables,
    };
    let build = begin(cloud, begun)?;
    if let Some(token) = token {
        let asked = Asked {
            time: now,
            input: input.clone(),
            build: build.clone(),
        };
        cloud.codebuild.asked.insert(token.to_owned(), asked);
    }
    Ok(build)
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidInputException", message)
}

fn source_of<'a>(cloud: &'a Cloud, project: &str) -> Result<&'a Source, ApiError> {
    let found = cloud.codebuild.projects.get(project);
    found.map(|project| &project.source).ok_or_else(|| no_project(project))
}

fn read_variables(written: Vec<WrittenVariable>) -> Result<Vec<Variable>, ApiError> {
    let read = |variable: WrittenVariable| match variable.r#type.as_deref() {
        None | Some("PLAINTEXT") => Ok(Variable {
            name: variable.name,
            value: variable.value,
        }),
        Some(_) => Err(invalid(format!(
            "the local cloud does not know the type of the environment variable {}",
            variable.name
        ))),
    };
    written.into_iter().map(read).collect()
}
