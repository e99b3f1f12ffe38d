//! What CodePipeline tells of executions, stages and actions: EventBridge events, and notes for the timeline.

use serde_json::{Value, json};

use super::super::{Cloud, events};
use super::{Artifact, Place, RunStatus, Status, VERSION, set};

const SERVICE: &str = "codepipeline";

/// Tells of an execution's new state.
pub(super) fn execution(cloud: &mut Cloud, pipeline: &str, execution: usize) {
    let Some(found) = cloud.codepipeline.execution(pipeline, execution) else {
        return;
    };
    let (state, what) = match found.status {
        Status::InProgress => ("STARTED", "execution-started"),
        Status::Stopping => ("STOPPING", "execution-stopping"),
        Status::Stopped => ("STOPPED", "execution-stopped"),
        Status::Succeeded => ("SUCCEEDED", "execution-succeeded"),
        Status::Superseded => ("SUPERSEDED", "execution-superseded"),
        Status::Failed => ("FAILED", "execution-failed"),
    };
    let mut detail = json!({"pipeline": pipeline, "execution-id": found.id, "state": state, "version": VERSION});
    if found.status == Status::InProgress {
        let mut trigger = json!({"trigger-type": found.trigger.kind});
        set(&mut trigger, "trigger-detail", found.trigger.detail.clone());
        set(&mut detail, "execution-trigger", Some(trigger));
    }
    if found.status == Status::Stopping {
        set(&mut detail, "stop-execution-comments", found.stop_reason.clone());
    }
    let noted = json!({"execution": found.id});
    cloud.note(SERVICE, pipeline, what, noted);
    put(cloud, pipeline, "CodePipeline Pipeline Execution State Change", detail);
}

/// Tells of the state of an execution's stage.
pub(super) fn stage(cloud: &mut Cloud, pipeline: &str, execution: usize, stage: usize) {
    let Some(found) = cloud.codepipeline.execution(pipeline, execution) else {
        return;
    };
    let declared = cloud
        .codepipeline
        .pipelines
        .get(pipeline)
        .and_then(|found| found.declaration.stages.get(stage));
    let (Some(status), Some(declared)) = (found.stages.get(stage), declared) else {
        return;
    };
    let (state, what) = match status {
        Status::InProgress => ("STARTED", "stage-started"),
        Status::Stopping => ("STOPPING", "stage-stopping"),
        Status::Stopped | Status::Superseded => ("STOPPED", "stage-stopped"),
        Status::Succeeded => ("SUCCEEDED", "stage-succeeded"),
        Status::Failed => ("FAILED", "stage-failed"),
    };
    let detail = json!({
        "pipeline": pipeline, "execution-id": found.id, "stage": declared.name, "state": state, "version": VERSION,
    });
    let noted = json!({"stage": declared.name, "execution": found.id});
    cloud.note(SERVICE, pipeline, what, noted);
    put(cloud, pipeline, "CodePipeline Stage Execution State Change", detail);
}

/// Tells of the state of an action's run.
pub(super) fn action(cloud: &mut Cloud, place: &Place) {
    let state = &cloud.codepipeline;
    let pipeline = state.pipelines.get(&place.pipeline);
    let (Some(pipeline), Some(execution), Some(run), Some(action)) = (
        pipeline,
        state.execution(&place.pipeline, place.execution),
        state.run(place),
        state.action(place),
    ) else {
        return;
    };
    let Some(stage) = pipeline.declaration.stages.get(run.stage) else {
        return;
    };
    let (name, what) = match run.status {
        RunStatus::InProgress => ("STARTED", "action-started"),
        RunStatus::Abandoned => ("ABANDONED", "action-abandoned"),
        RunStatus::Succeeded => ("SUCCEEDED", "action-succeeded"),
        RunStatus::Failed => ("FAILED", "action-failed"),
    };
    let mut detail = json!({
        "pipeline": place.pipeline,
        "execution-id": execution.id,
        "stage": stage.name,
        "action": action.name,
        "state": name,
        "region": cloud.target.region,
        "type": {
            "owner": "AWS", "provider": action.kind.provider(), "category": action.kind.category(), "version": action.version,
        },
        "version": VERSION,
    });
    let artifacts = |artifacts: &[Artifact]| -> Option<Vec<Value>> {
        let bucket = &pipeline.declaration.bucket;
        let show =
            |artifact: &Artifact| json!({"name": artifact.name, "s3location": {"bucket": bucket, "key": artifact.key}});
        (!artifacts.is_empty()).then(|| artifacts.iter().map(show).collect())
    };
    match run.status {
        RunStatus::InProgress => set(&mut detail, "input-artifacts", artifacts(&run.inputs)),
        RunStatus::Succeeded => set(&mut detail, "output-artifacts", artifacts(&run.outputs)),
        RunStatus::Abandoned | RunStatus::Failed => {}
    }
    if matches!(run.status, RunStatus::Succeeded | RunStatus::Failed) {
        let mut result = json!({});
        set(&mut result, "external-execution-url", run.external_url.clone());
        set(&mut result, "external-execution-summary", run.summary.clone());
        set(&mut result, "external-execution-id", run.external_id.clone());
        set(
            &mut result,
            "error-code",
            run.error.as_ref().map(|error| error.code.clone()),
        );
        if result.as_object().is_some_and(|result| !result.is_empty()) {
            set(&mut detail, "execution-result", Some(result));
        }
    }
    let said = run
        .summary
        .clone()
        .or_else(|| run.error.as_ref().map(|error| error.message.clone()));
    let noted = json!({"stage": stage.name, "action": action.name, "summary": said, "execution": execution.id});
    cloud.note(SERVICE, &place.pipeline, what, noted);
    put(
        cloud,
        &place.pipeline,
        "CodePipeline Action Execution State Change",
        detail,
    );
}

fn put(cloud: &mut Cloud, pipeline: &str, detail_type: &str, detail: Value) {
    let arn = cloud.arn("codepipeline", pipeline);
    events::put(cloud, "aws.codepipeline", detail_type, vec![arn], detail);
}
