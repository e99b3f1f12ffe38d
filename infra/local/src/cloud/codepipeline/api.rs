//! The calls.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::codecommit::seconds;
use super::super::iam::identity;
use super::super::{ApiError, Caller, Cloud};
use super::declaration::{Kind, Stage};
use super::run::{self, Start, Success};
use super::{
    Artifact, Execution, Failure, Lane, Pipeline, Place, Run, RunStatus, Status, Trigger, VERSION, no_pipeline, set,
};

/// How much the output variables of an action may hold, in bytes of names and values.
const VARIABLES_BYTES_MAX: usize = 122_880;
/// The most that a list shows at once.
const PAGE: usize = 100;

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    if let Some(answer) = read(cloud, operation, input) {
        return answer;
    }
    match operation {
        "PutApprovalResult" => put_approval_result(cloud, caller, input),
        "PutJobFailureResult" => put_job_failure_result(cloud, input),
        "PutJobSuccessResult" => put_job_success_result(cloud, input),
        "StartPipelineExecution" => start_pipeline_execution(cloud, caller, input),
        "StopPipelineExecution" => stop_pipeline_execution(cloud, input),
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("the local cloud has no {operation}"),
        )),
    }
}

/// Answers a call that changes nothing; `None` for others.
pub(super) fn read(cloud: &Cloud, operation: &str, input: &Value) -> Option<Result<Value, ApiError>> {
    Some(match operation {
        "GetPipeline" => get_pipeline(cloud, input),
        "GetPipelineExecution" => get_pipeline_execution(cloud, input),
        "GetPipelineState" => get_pipeline_state(cloud, input),
        "ListActionExecutions" => list_action_executions(cloud, input),
        "ListPipelineExecutions" => list_pipeline_executions(cloud, input),
        "ListPipelines" => list_pipelines(cloud, input),
        _ => return None,
    })
}

fn text<'a>(input: &'a Value, member: &str) -> Option<&'a str> {
    input.get(member).and_then(Value::as_str)
}

fn pipeline<'a>(cloud: &'a Cloud, name: &str) -> Result<&'a Pipeline, ApiError> {
    cloud
        .codepipeline
        .pipelines
        .get(name)
        .ok_or_else(|| no_pipeline(name, cloud))
}

fn execution<'a>(pipeline: &'a Pipeline, id: &str) -> Result<(usize, &'a Execution), ApiError> {
    let found = pipeline
        .by_id
        .get(id)
        .and_then(|index| Some((*index, pipeline.executions.get(*index)?)));
    found.ok_or_else(|| {
        let name = &pipeline.declaration.name;
        let message = format!("The pipeline execution with id {id} could not be found in the pipeline {name}");
        ApiError::new("PipelineExecutionNotFoundException", message)
    })
}

/// A page of a list: what is on it, and the token for the next.
fn page<T>(input: &Value, items: Vec<T>, member: &str, show: impl Fn(T) -> Value) -> Result<Value, ApiError> {
    let invalid = || {
        ApiError::new(
            "InvalidNextTokenException",
            "The next token was specified in an invalid format",
        )
    };
    let from: usize = match text(input, "nextToken") {
        None => 0,
        Some(token) => token.parse().map_err(|_| invalid())?,
    };
    let asked = input
        .get("maxResults")
        .and_then(Value::as_u64)
        .and_then(|asked| usize::try_from(asked).ok());
    let count = items.len();
    let shown: Vec<Value> = items
        .into_iter()
        .skip(from)
        .take(asked.unwrap_or(PAGE))
        .map(show)
        .collect();
    let end = from.saturating_add(shown.len());
    let mut answer = json!({});
    set(&mut answer, member, Some(shown));
    set(&mut answer, "nextToken", (end < count).then(|| end.to_string()));
    Ok(answer)
}

// ---- Pipelines

fn get_pipeline(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "name").unwrap_or_default();
    let found = pipeline(cloud, name)?;
    if let Some(version) = input
        .get("version")
        .and_then(Value::as_u64)
        .filter(|version| *version != u64::from(VERSION))
    {
        let message = format!("Pipeline '{name}' does not have a version '{version}'");
        return Err(ApiError::new("PipelineVersionNotFoundException", message));
    }
    let metadata = json!({
        "pipelineArn": found.arn, "created": seconds(found.created), "updated": seconds(found.created),
    });
    Ok(json!({"pipeline": found.declaration.show(), "metadata": metadata}))
}

fn list_pipelines(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let pipelines: Vec<&Pipeline> = cloud.codepipeline.pipelines.values().collect();
    page(input, pipelines, "pipelines", |pipeline| {
        json!({
            "name": pipeline.declaration.name,
            "version": VERSION,
            "pipelineType": "V2",
            "executionMode": pipeline.declaration.mode.name(),
            "created": seconds(pipeline.created),
            "updated": seconds(pipeline.created),
        })
    })
}

fn get_pipeline_state(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "name").unwrap_or_default();
    let found = pipeline(cloud, name)?;
    let stages = found.declaration.stages.iter().zip(&found.lanes).enumerate();
    let states: Vec<Value> = stages
        .map(|(index, (stage, lane))| stage_state(found, index, stage, lane))
        .collect();
    Ok(json!({
        "pipelineName": name,
        "pipelineVersion": VERSION,
        "stageStates": states,
        "created": seconds(found.created),
        "updated": seconds(found.created),
    }))
}

fn stage_state(pipeline: &Pipeline, index: usize, stage: &Stage, lane: &Lane) -> Value {
    let inbound: Vec<Value> = lane
        .waiting
        .iter()
        .filter_map(|waiting| pipeline.executions.get(*waiting))
        .map(|execution| json!({"pipelineExecutionId": execution.id, "status": "InProgress"}))
        .collect();
    let actions = stage.actions.iter().enumerate().map(|(action, declared)| {
        let mut state = json!({"actionName": declared.name});
        // The last execution that came to the action may be an older one than that in the stage.
        let runs = pipeline
            .executions
            .iter()
            .rev()
            .flat_map(|execution| execution.runs.iter().rev());
        let latest = runs.into_iter().find(|run| run.stage == index && run.action == action);
        set(
            &mut state,
            "latestExecution",
            latest.map(|run| show_latest(run, declared.kind)),
        );
        state
    });
    let mut state = json!({
        "stageName": stage.name,
        "inboundTransitionState": {"enabled": true},
        "actionStates": actions.collect::<Vec<_>>(),
    });
    if let Some(first) = inbound.first() {
        set(&mut state, "inboundExecution", Some(first.clone()));
        set(&mut state, "inboundExecutions", Some(inbound));
    }
    let latest = lane.latest.and_then(|latest| pipeline.executions.get(latest));
    let latest = latest.and_then(|execution| {
        let status = execution.stages.get(index)?;
        Some(json!({"pipelineExecutionId": execution.id, "status": status.name()}))
    });
    set(&mut state, "latestExecution", latest);
    state
}

/// A run of an action, as GetPipelineState shows it.
fn show_latest(run: &Run, kind: Kind) -> Value {
    let mut shown = json!({
        "actionExecutionId": run.id,
        "status": run.status.name(),
        "lastStatusChange": seconds(run.updated),
    });
    set(&mut shown, "summary", run.summary.clone());
    set(&mut shown, "lastUpdatedBy", run.updated_by.clone());
    set(&mut shown, "externalExecutionId", run.external_id.clone());
    set(&mut shown, "externalExecutionUrl", run.external_url.clone());
    set(&mut shown, "percentComplete", run.percent);
    set(&mut shown, "errorDetails", run.error.as_ref().map(show_error));
    if kind == Kind::Approval && run.status == RunStatus::InProgress {
        set(&mut shown, "token", run.token.clone());
    }
    shown
}

fn show_error(error: &Failure) -> Value {
    json!({"code": error.code, "message": error.message})
}

// ---- Executions

fn start_pipeline_execution(cloud: &mut Cloud, caller: &Caller, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "name").unwrap_or_default();
    let listed = |member: &str| input.get(member).and_then(Value::as_array).into_iter().flatten();
    let mut start = Start {
        token: text(input, "clientRequestToken").map(str::to_owned),
        ..Start::default()
    };
    for variable in listed("variables") {
        let (Some(name), Some(value)) = (text(variable, "name"), text(variable, "value")) else {
            continue;
        };
        if start.variables.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(ApiError::validation(format!("The variable {name} is given twice")));
        }
    }
    for revision in listed("sourceRevisions") {
        let (Some(action), Some(value)) = (text(revision, "actionName"), text(revision, "revisionValue")) else {
            continue;
        };
        if text(revision, "revisionType") != Some("COMMIT_ID") {
            return Err(ApiError::validation(format!(
                "The source action {action} takes a revision of the type COMMIT_ID"
            )));
        }
        start.revisions.insert(action.to_owned(), value.to_owned());
    }
    let trigger = Trigger {
        kind: "StartPipelineExecution",
        detail: Some(identity(cloud, caller).0),
    };
    let id = run::start(cloud, name, start, trigger)?;
    Ok(json!({"pipelineExecutionId": id}))
}

fn stop_pipeline_execution(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "pipelineName").unwrap_or_default();
    let id = text(input, "pipelineExecutionId").unwrap_or_default();
    let abandon = input.get("abandon").and_then(Value::as_bool).unwrap_or_default();
    let found = pipeline(cloud, name)?;
    let not_stoppable = || {
        let message =
            format!("The pipeline execution {id} of the pipeline {name} is not in progress, and can't be stopped");
        ApiError::new("PipelineExecutionNotStoppableException", message)
    };
    let (index, execution) = execution(found, id).map_err(|_| not_stoppable())?;
    if execution.status.is_over() {
        return Err(not_stoppable());
    }
    // An execution that stops when its actions have ended may still be told to abandon them.
    if execution.status == Status::Stopping && !abandon {
        let message = format!("The pipeline execution {id} of the pipeline {name} is being stopped already");
        return Err(ApiError::new("DuplicatedStopRequestException", message));
    }
    run::stop(cloud, name, index, abandon, text(input, "reason").map(str::to_owned));
    Ok(json!({"pipelineExecutionId": id}))
}

fn get_pipeline_execution(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "pipelineName").unwrap_or_default();
    let found = pipeline(cloud, name)?;
    let (_, execution) = execution(found, text(input, "pipelineExecutionId").unwrap_or_default())?;
    let variables: Vec<Value> = execution
        .variables
        .iter()
        .map(|(name, value)| json!({"name": name, "resolvedValue": value}))
        .collect();
    let mut shown = json!({
        "pipelineName": name,
        "pipelineVersion": VERSION,
        "pipelineExecutionId": execution.id,
        "status": execution.status.name(),
        "artifactRevisions": artifact_revisions(execution),
        "trigger": show_trigger(&execution.trigger),
        "executionMode": found.declaration.mode.name(),
        "executionType": "STANDARD",
    });
    set(&mut shown, "variables", (!variables.is_empty()).then_some(variables));
    Ok(json!({"pipelineExecution": shown}))
}

fn show_trigger(trigger: &Trigger) -> Value {
    let mut shown = json!({"triggerType": trigger.kind});
    set(&mut shown, "triggerDetail", trigger.detail.clone());
    shown
}

fn artifact_revisions(execution: &Execution) -> Vec<Value> {
    let mut revisions = Vec::new();
    for run in execution.runs.iter().filter(|run| run.status == RunStatus::Succeeded) {
        let Some(source) = &run.source else { continue };
        for artifact in &run.outputs {
            let mut shown =
                json!({"name": artifact.name, "revisionId": source.commit, "created": seconds(source.created)});
            set(&mut shown, "revisionSummary", run.summary.clone());
            set(&mut shown, "revisionUrl", run.external_url.clone());
            revisions.push(shown);
        }
    }
    revisions
}

fn list_pipeline_executions(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let found = pipeline(cloud, text(input, "pipelineName").unwrap_or_default())?;
    let mut executions: Vec<&Execution> = found.executions.iter().rev().collect();
    let filter = input.get("filter").and_then(|filter| filter.get("succeededInStage"));
    if let Some(name) = filter.and_then(|stage| text(stage, "stageName")) {
        let stage = found.declaration.stages.iter().position(|stage| stage.name == name);
        let stage = stage.ok_or_else(|| no_stage(&found.declaration.name, name))?;
        executions.retain(|execution| execution.stages.get(stage) == Some(&Status::Succeeded));
    }
    page(input, executions, "pipelineExecutionSummaries", |execution| {
        let mut shown = json!({
            "pipelineExecutionId": execution.id,
            "status": execution.status.name(),
            "startTime": seconds(execution.started),
            "lastUpdateTime": seconds(execution.updated),
            "sourceRevisions": source_revisions(found, execution),
            "trigger": show_trigger(&execution.trigger),
            "executionMode": found.declaration.mode.name(),
            "executionType": "STANDARD",
        });
        set(
            &mut shown,
            "stopTrigger",
            execution.stop_reason.as_ref().map(|reason| json!({"reason": reason})),
        );
        shown
    })
}

fn source_revisions(pipeline: &Pipeline, execution: &Execution) -> Vec<Value> {
    let mut revisions = Vec::new();
    for run in &execution.runs {
        let action = pipeline
            .declaration
            .stages
            .get(run.stage)
            .and_then(|stage| stage.actions.get(run.action));
        let (Some(source), Some(action)) = (&run.source, action) else {
            continue;
        };
        let mut shown = json!({"actionName": action.name, "revisionId": source.commit});
        set(&mut shown, "revisionSummary", run.summary.clone());
        set(&mut shown, "revisionUrl", run.external_url.clone());
        revisions.push(shown);
    }
    revisions
}

fn list_action_executions(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let found = pipeline(cloud, text(input, "pipelineName").unwrap_or_default())?;
    let filter = input.get("filter");
    let latest = filter.and_then(|filter| filter.get("latestInPipelineExecution"));
    let id = filter.and_then(|filter| text(filter, "pipelineExecutionId"));
    let of_one = id.or_else(|| latest.and_then(|latest| text(latest, "pipelineExecutionId")));
    let executions: Vec<&Execution> = match of_one {
        Some(id) => vec![execution(found, id)?.1],
        None => found.executions.iter().collect(),
    };
    let mut runs: Vec<(&Execution, &Run)> = executions
        .into_iter()
        .flat_map(|execution| execution.runs.iter().map(move |run| (execution, run)))
        .collect();
    // The newest first.
    runs.sort_by_key(|(_, run)| run.started);
    runs.reverse();
    let region = &cloud.target.region;
    page(input, runs, "actionExecutionDetails", |(execution, run)| {
        show_run(found, execution, run, region)
    })
}

fn show_run(pipeline: &Pipeline, execution: &Execution, run: &Run, region: &str) -> Value {
    let bucket = &pipeline.declaration.bucket;
    let artifacts = |artifacts: &[Artifact]| -> Vec<Value> {
        let show =
            |artifact: &Artifact| json!({"name": artifact.name, "s3location": {"bucket": bucket, "key": artifact.key}});
        artifacts.iter().map(show).collect()
    };
    let mut shown = json!({
        "pipelineExecutionId": execution.id,
        "actionExecutionId": run.id,
        "pipelineVersion": VERSION,
        "startTime": seconds(run.started),
        "lastUpdateTime": seconds(run.updated),
        "status": run.status.name(),
    });
    set(&mut shown, "updatedBy", run.updated_by.clone());
    let stage = pipeline.declaration.stages.get(run.stage);
    if let Some((stage, action)) = stage.and_then(|stage| Some((stage, stage.actions.get(run.action)?))) {
        set(&mut shown, "stageName", Some(stage.name.clone()));
        set(&mut shown, "actionName", Some(action.name.clone()));
        let mut input = json!({
            "actionTypeId": action.type_id(),
            "configuration": action.configuration,
            "resolvedConfiguration": run.configuration,
            "region": region,
            "inputArtifacts": artifacts(&run.inputs),
        });
        set(&mut input, "namespace", action.namespace.clone());
        set(&mut shown, "input", Some(input));
    }
    let mut result = json!({});
    set(&mut result, "externalExecutionId", run.external_id.clone());
    set(&mut result, "externalExecutionSummary", run.summary.clone());
    set(&mut result, "externalExecutionUrl", run.external_url.clone());
    set(&mut result, "errorDetails", run.error.as_ref().map(show_error));
    let outputs = if run.status == RunStatus::Succeeded {
        artifacts(&run.outputs)
    } else {
        Vec::new()
    };
    let output = json!({"outputArtifacts": outputs, "executionResult": result, "outputVariables": run.variables});
    set(&mut shown, "output", Some(output));
    shown
}

// ---- Approvals

fn no_stage(pipeline: &str, stage: &str) -> ApiError {
    ApiError::new(
        "StageNotFoundException",
        format!("Pipeline '{pipeline}' does not have a stage with name '{stage}'"),
    )
}

fn put_approval_result(cloud: &mut Cloud, caller: &Caller, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "pipelineName").unwrap_or_default();
    let (stage_name, action_name) = (
        text(input, "stageName").unwrap_or_default(),
        text(input, "actionName").unwrap_or_default(),
    );
    let token = text(input, "token").unwrap_or_default();
    let result = input.get("result").unwrap_or(&Value::Null);
    let approved = text(result, "status") == Some("Approved");
    let summary = text(result, "summary").unwrap_or_default().to_owned();
    let found = pipeline(cloud, name)?;
    let stages = &found.declaration.stages;
    let stage = stages
        .iter()
        .position(|stage| stage.name == stage_name)
        .ok_or_else(|| no_stage(name, stage_name))?;
    let actions = stages
        .get(stage)
        .map(|stage| stage.actions.as_slice())
        .unwrap_or_default();
    let action = actions
        .iter()
        .position(|action| action.name == action_name && action.kind == Kind::Approval);
    let action = action.ok_or_else(|| {
        let message = format!(
            "Stage '{stage_name}' of the pipeline '{name}' does not have an approval with name '{action_name}'"
        );
        ApiError::new("ActionNotFoundException", message)
    })?;
    let place = found.executions.iter().enumerate().rev().find_map(|(execution, of)| {
        let run = of
            .runs
            .iter()
            .position(|run| run.stage == stage && run.action == action && run.token.as_deref() == Some(token))?;
        Some(Place {
            pipeline: name.to_owned(),
            execution,
            run,
        })
    });
    let invalid = || {
        ApiError::new(
            "InvalidApprovalTokenException",
            "The provided approval token is not valid",
        )
    };
    let place = place.ok_or_else(invalid)?;
    let run = cloud.codepipeline.run(&place).ok_or_else(invalid)?;
    if run.status != RunStatus::InProgress {
        // One that nobody answered in time has no valid token; one that was answered says so.
        if run.updated_by.is_none() {
            return Err(invalid());
        }
        let message = "The approval action has already been approved or rejected.";
        return Err(ApiError::new("ApprovalAlreadyCompletedException", message));
    }
    let (approver, _) = identity(cloud, caller);
    if let Some(run) = cloud.codepipeline.run_mut(&place) {
        run.updated_by = Some(approver);
    }
    let approved_at = seconds(cloud.now);
    // An empty summary is none: the model does not allow one in what is shown.
    let summary = Some(summary).filter(|summary| !summary.is_empty());
    if approved {
        let success = Success {
            summary,
            ..Success::default()
        };
        run::succeed(cloud, &place, success);
    } else {
        let message = summary
            .clone()
            .unwrap_or_else(|| "The approval was rejected.".to_owned());
        run::fail_saying(cloud, &place, Failure::new("JobFailed", message), None, summary);
    }
    Ok(json!({"approvedAt": approved_at}))
}

// ---- Jobs

/// Takes a job's answer: it takes no other.
fn answer_job(cloud: &mut Cloud, input: &Value) -> Result<Place, ApiError> {
    let id = text(input, "jobId").unwrap_or_default();
    let job = cloud.codepipeline.jobs.get_mut(id);
    let job = job.ok_or_else(|| ApiError::new("JobNotFoundException", format!("The job {id} was not found")))?;
    if !job.open {
        let message = format!("The job {id} takes no result: it has one, or the action has ended");
        return Err(ApiError::new("InvalidJobStateException", message));
    }
    job.open = false;
    Ok(job.place.clone())
}

fn put_job_success_result(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let details = input.get("executionDetails").unwrap_or(&Value::Null);
    let mut variables = BTreeMap::new();
    for (name, value) in input
        .get("outputVariables")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        variables.insert(name.clone(), value.as_str().unwrap_or_default().to_owned());
    }
    let token = text(input, "continuationToken");
    if token.is_some() && !variables.is_empty() {
        return Err(ApiError::validation(
            "Output variables can be included only when there is no continuation token",
        ));
    }
    let bytes: usize = variables
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()))
        .sum();
    if bytes > VARIABLES_BYTES_MAX {
        let message = format!("The output variables have {bytes} bytes, more than {VARIABLES_BYTES_MAX}");
        return Err(ApiError::new("OutputVariablesSizeExceededException", message));
    }
    let place = answer_job(cloud, input)?;
    let now = cloud.now;
    if let Some(run) = cloud.codepipeline.run_mut(&place) {
        run.updated = now;
        run.summary = text(details, "summary")
            .map(str::to_owned)
            .or_else(|| run.summary.take());
        run.external_id = text(details, "externalExecutionId")
            .map(str::to_owned)
            .or_else(|| run.external_id.take());
        run.percent = details.get("percentComplete").and_then(Value::as_u64).or(run.percent);
    }
    match token {
        Some(token) => run::continue_later(cloud, &place, token.to_owned()),
        None => {
            let success = Success {
                variables,
                ..Success::default()
            };
            run::succeed(cloud, &place, success);
        }
    }
    Ok(json!({}))
}

fn put_job_failure_result(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let place = answer_job(cloud, input)?;
    let details = input.get("failureDetails").unwrap_or(&Value::Null);
    let message = text(details, "message").unwrap_or_default();
    let failure = Failure::new(text(details, "type").unwrap_or("JobFailed"), message);
    // A summary is shorter than a message may be.
    let summary = message.chars().take(2048).collect();
    let external_id = text(details, "externalExecutionId").map(str::to_owned);
    run::fail_saying(cloud, &place, failure, external_id, Some(summary));
    Ok(json!({}))
}
