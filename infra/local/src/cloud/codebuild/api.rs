//! The calls.

use serde_json::{Value, json};

use super::super::codecommit::seconds;
use super::super::{ApiError, Caller, Cloud};
use super::tell::{log_link, log_names};
use super::{Build, Phase, Project, Source, Variable, run, start};

/// The ids that ListBuildsForProject shows at once.
const PAGE: usize = 100;

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let descending = text("sortOrder") == Some("DESCENDING");
    match operation {
        "StartBuild" => {
            let id = start::start_build(cloud, caller, input)?;
            return Ok(json!({"build": show(cloud, &id)?}));
        }
        "StopBuild" => {
            let id = build_id(text("id").unwrap_or_default());
            // Asked first: what is not there can't be stopped.
            show(cloud, id)?;
            run::stop(cloud, id);
            return Ok(json!({"build": show(cloud, id)?}));
        }
        _ => {}
    }
    let state = &cloud.codebuild;
    match operation {
        "BatchGetBuilds" => {
            let (mut builds, mut missing) = (Vec::new(), Vec::new());
            for id in texts(input, "ids") {
                match show(cloud, build_id(id)) {
                    Ok(build) => builds.push(build),
                    Err(_) => missing.push(id),
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

/// The id of a build; its ARN serves as well.
fn build_id(id_or_arn: &str) -> &str {
    id_or_arn.rsplit('/').next().unwrap_or(id_or_arn)
}

fn show(cloud: &Cloud, id: &str) -> Result<Value, ApiError> {
    let build = cloud.codebuild.builds.get(id);
    let found = build.and_then(|build| Some((build, cloud.codebuild.projects.get(&build.project)?)));
    let (build, project) = found.ok_or_else(|| {
        ApiError::new(
            "ResourceNotFoundException",
            format!("The provided build {id} does not exist"),
        )
    })?;
    Ok(show_build(cloud, build, project))
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

/// Type and location.
pub(super) fn show_source(source: &Source) -> Value {
    match source {
        Source::CodePipeline => json!({"type": "CODEPIPELINE"}),
        Source::CodeCommit(location) => json!({"type": "CODECOMMIT", "location": location}),
    }
}

/// Where a build's output is. A project without artifacts has an empty one.
pub(super) fn show_artifact(build: &Build, project: &Project) -> Option<String> {
    match (&build.output_location, &project.source) {
        (Some(location), _) => Some(format!("arn:aws:s3:::{location}")),
        (None, Source::CodeCommit(_)) => Some(String::new()),
        (None, Source::CodePipeline) => None,
    }
}

fn show_source_and_buildspec(project: &Project) -> Value {
    let mut source = show_source(&project.source);
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
        "source": show_source_and_buildspec(project),
        "artifacts": {"type": match project.source {
            Source::CodePipeline => "CODEPIPELINE",
            Source::CodeCommit(_) => "NO_ARTIFACTS",
        }},
        "environment": show_environment(project, &project.variables),
        "serviceRole": project.role,
        "timeoutInMinutes": project.timeout_minutes,
        "created": seconds(project.created),
        "lastModified": seconds(project.created),
    });
    if let Some(members) = shown.as_object_mut() {
        if let Some(description) = &project.description {
            members.insert("description".into(), description.as_str().into());
        }
        if let Some(key) = &project.key {
            members.insert("encryptionKey".into(), key.as_str().into());
        }
        if let Some(group) = &project.log_group {
            let logs = json!({"cloudWatchLogs": {"status": "ENABLED", "groupName": group}});
            members.insert("logsConfig".into(), logs);
        }
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
    let (group, stream) = log_names(build, project);
    let mut shown = json!({
        "id": build.id,
        "arn": build.arn,
        "buildNumber": build.number,
        "startTime": seconds(build.started),
        "currentPhase": current,
        "buildStatus": build.status,
        "projectName": build.project,
        "phases": phases,
        "source": show_source_and_buildspec(project),
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
        if let Some(version) = &build.source_version {
            members.insert("sourceVersion".into(), version.as_str().into());
        }
        if let Some(location) = show_artifact(build, project) {
            members.insert("artifacts".into(), json!({ "location": location }));
        }
    }
    shown
}

pub(super) fn show_variable(variable: &Variable) -> Value {
    json!({"name": variable.name, "value": variable.value, "type": "PLAINTEXT"})
}
