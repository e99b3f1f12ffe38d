//! What EventBridge is told.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{Cloud, events};
use super::api::{show_artifact, show_source, show_variable};
use super::{Build, Phase, Project, Source};

/// `CodeBuild Build State Change`.
pub(super) fn tell_status(cloud: &mut Cloud, id: &str) {
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
pub(super) fn tell_phase(cloud: &mut Cloud, id: &str, phase: usize) {
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
    let (group, stream) = log_names(build, project);
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
        "source": show_source(&project.source),
        "logs": {"group-name": group, "stream-name": stream, "deep-link": log_link(cloud, &group, stream)},
        "phases": phases,
    });
    if let Some(members) = information.as_object_mut() {
        if let Some(location) = show_artifact(build, project) {
            members.insert("artifact".into(), json!({ "location": location }));
        }
        // The events of pipelines' builds that AWS documents have neither.
        if let Source::CodeCommit(_) = &project.source {
            members.insert("build-number".into(), build.number.into());
            if let Some(version) = &build.source_version {
                members.insert("source-version".into(), version.as_str().into());
            }
        }
    }
    information
}

/// A time as CodeBuild's events write it: `Sep 1, 2017 4:12:29 PM`.
fn date(time: Timestamp) -> String {
    time.strftime("%b %-d, %Y %-I:%M:%S %p").to_string()
}

/// Log group and log stream.
pub(super) fn log_names<'a>(build: &'a Build, project: &Project) -> (String, &'a str) {
    let stream = build.id.rsplit(':').next().unwrap_or_default();
    let group = project.log_group.clone();
    (
        group.unwrap_or_else(|| format!("/aws/codebuild/{}", build.project)),
        stream,
    )
}

pub(super) fn log_link(cloud: &Cloud, group: &str, stream: &str) -> String {
    let region = &cloud.target.region;
    format!("https://console.aws.amazon.com/cloudwatch/home?region={region}#logEvent:group={group};stream={stream}")
}
