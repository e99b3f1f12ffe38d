//! Pipelines, their versions and their executions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::iam::Ask;
use super::super::{events, s3};
use super::definition::{Definition, Scope, StepKind, as_text};
use super::{
    DefaultOrder, Listed, Timer, clock_text, cut, epoch_seconds, jobs, list_of, page, refuse, registry, role, tag,
    text, text_if_any, without_nulls,
};
use crate::cloud::effect::{Effect, EffectId, JobKind, JobOutcome};
use crate::cloud::{self, ApiError, Cloud};

/// How long SageMaker takes to start an execution's first steps.
const START_DELAY: SignedDuration = SignedDuration::from_secs(1);
/// How long SageMaker takes to stop an execution.
const STOP_DELAY: SignedDuration = SignedDuration::from_secs(5);

/// Pipelines by name, executions by ARN.
#[derive(Debug, Default)]
pub(super) struct State {
    pipelines: BTreeMap<String, Pipeline>,
    executions: BTreeMap<String, Execution>,
    /// The executions' ARNs in the order in which they were started.
    started: Vec<String>,
    /// The step that a running job belongs to: the execution's ARN, the step's place.
    running: BTreeMap<EffectId, (String, usize)>,
    /// The step that a job belongs to, by the job's kind and name.
    jobs: BTreeMap<(&'static str, String), (String, usize)>,
}

#[derive(Debug)]
struct Pipeline {
    arn: String,
    name: String,
    display_name: Option<String>,
    description: Option<String>,
    role: String,
    parallel: Option<Value>,
    /// The versions, from 1.
    versions: Vec<Version>,
    created: Timestamp,
    modified: Timestamp,
    last_run: Option<Timestamp>,
    create_token: String,
    /// The executions that were started, by client request token.
    tokens: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Version {
    source: String,
    definition: Arc<Definition>,
    created: Timestamp,
    last_execution: Option<String>,
}

#[derive(Debug)]
struct Execution {
    arn: String,
    id: String,
    pipeline: String,
    pipeline_arn: String,
    version: usize,
    role: String,
    parallel: Option<Value>,
    display_name: Option<String>,
    description: Option<String>,
    status: &'static str,
    failure: Option<String>,
    created: Timestamp,
    modified: Timestamp,
    ended: Option<Timestamp>,
    parameters: BTreeMap<String, Value>,
    source: String,
    source_created: Timestamp,
    definition: Arc<Definition>,
    /// As many as the definition has steps, in its order.
    steps: Vec<Run>,
    /// How many steps were started.
    steps_started: u64,
}

/// One step of an execution.
#[derive(Debug, Clone, Default)]
struct Run {
    /// `None` until it starts.
    status: Option<&'static str>,
    /// It never will run: the condition's other branch was taken.
    skipped: bool,
    started: Option<Timestamp>,
    /// The how manieth step of the execution to start it was.
    place: u64,
    ended: Option<Timestamp>,
    failure: Option<String>,
    /// What the steps after it may refer to.
    properties: Value,
    /// `Metadata`, as the API has it.
    metadata: Value,
}

impl Run {
    fn is_running(&self) -> bool {
        matches!(self.status, Some("Executing" | "Starting" | "Stopping"))
    }
}

impl Execution {
    fn outcome(&self, condition: &str) -> Option<bool> {
        let run = self.run(condition)?;
        match run.properties.get("Outcome").and_then(Value::as_str) {
            Some("True") => Some(true),
            Some("False") => Some(false),
            _ => None,
        }
    }

    fn run(&self, step: &str) -> Option<&Run> {
        let place = self.definition.steps.iter().position(|known| known.name == step)?;
        self.steps.get(place)
    }

    /// Marks the steps that will never run, until there are no more.
    fn skip(&mut self) {
        loop {
            let skipped = |step: &str| self.run(step).is_some_and(|run| run.skipped);
            let new: Vec<usize> = (self.definition.steps.iter().zip(&self.steps).enumerate())
                .filter(|(_, (step, run))| {
                    let other_branch = step.branch.as_ref().is_some_and(|(condition, wanted)| {
                        skipped(condition) || self.outcome(condition).is_some_and(|outcome| outcome != *wanted)
                    });
                    run.status.is_none()
                        && !run.skipped
                        && (other_branch || step.needs.iter().any(|need| skipped(need)))
                })
                .map(|(place, _)| place)
                .collect();
            if new.is_empty() {
                return;
            }
            for (place, run) in self.steps.iter_mut().enumerate() {
                run.skipped |= new.contains(&place);
            }
        }
    }

    /// The first step that could start now.
    fn next(&self) -> Option<usize> {
        let done = |step: &String| self.run(step).is_some_and(|run| run.status == Some("Succeeded"));
        (self.definition.steps.iter().zip(&self.steps)).position(|(step, run)| {
            let chosen = step
                .branch
                .as_ref()
                .is_none_or(|(condition, wanted)| self.outcome(condition) == Some(*wanted));
            run.status.is_none() && !run.skipped && chosen && step.needs.iter().all(done)
        })
    }

    fn parallel_max(&self) -> usize {
        let limit = self
            .parallel
            .as_ref()
            .and_then(|parallel| parallel.get("MaxParallelExecutionSteps"));
        limit
            .and_then(Value::as_u64)
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(usize::MAX)
    }

    fn resources(&self) -> Vec<String> {
        vec![self.pipeline_arn.clone(), self.arn.clone()]
    }
}

/// Whether a pipeline has this ARN.
pub(super) fn has_arn(cloud: &Cloud, arn: &str) -> bool {
    cloud
        .sagemaker
        .pipelines
        .pipelines
        .values()
        .any(|pipeline| pipeline.arn == arn)
}

/// The name that a name or ARN stands for.
fn bare_name(name_or_arn: &str) -> &str {
    name_or_arn.rsplit('/').next().unwrap_or_default()
}

fn find<'a>(cloud: &'a Cloud, name_or_arn: &str) -> Result<&'a Pipeline, ApiError> {
    let name = bare_name(name_or_arn);
    cloud.sagemaker.pipelines.pipelines.get(name).ok_or_else(|| {
        let arn = cloud.arn("sagemaker", &format!("pipeline/{name}"));
        ApiError::new("ResourceNotFound", format!("Pipeline '{arn}' does not exist."))
    })
}

fn find_execution<'a>(cloud: &'a Cloud, input: &Value) -> Result<&'a Execution, ApiError> {
    let arn = text(input, "PipelineExecutionArn");
    cloud.sagemaker.pipelines.executions.get(arn).ok_or_else(|| {
        ApiError::new(
            "ResourceNotFound",
            format!("Pipeline execution with ARN {arn} does not exist."),
        )
    })
}

/// The definition that the input has, as text or in S3.
fn definition_of(cloud: &Cloud, input: &Value) -> Result<Option<Version>, ApiError> {
    let inline = text_if_any(input, "PipelineDefinition");
    let source = match (inline, input.get("PipelineDefinitionS3Location")) {
        (Some(_), Some(_)) => {
            return Err(ApiError::validation(
                "Only one of PipelineDefinition and PipelineDefinitionS3Location can be specified.",
            ));
        }
        (Some(source), None) => source,
        (None, None) => return Ok(None),
        (None, Some(place)) => {
            refuse(place, &["VersionId"])?;
            let (bucket, key) = (text(place, "Bucket"), text(place, "ObjectKey"));
            let content = s3::get(cloud, bucket, key).ok_or_else(|| {
                ApiError::validation(format!(
                    "Could not access the pipeline definition at s3://{bucket}/{key}."
                ))
            })?;
            String::from_utf8(content.to_vec()).map_err(|_| {
                ApiError::validation(format!("The pipeline definition at s3://{bucket}/{key} is not UTF-8."))
            })?
        }
    };
    let definition = Definition::parse(&source)
        .map_err(|reason| ApiError::validation(format!("Unable to parse pipeline definition: {reason}.")))?;
    Ok(Some(Version {
        source,
        definition: Arc::new(definition),
        created: cloud.now,
        last_execution: None,
    }))
}

pub(super) fn create(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    refuse(input, &["PipelineVersionAliases"])?;
    let name = text(input, "PipelineName").to_owned();
    let token = text(input, "ClientRequestToken").to_owned();
    if let Some(pipeline) = cloud.sagemaker.pipelines.pipelines.get(&name) {
        if pipeline.create_token == token {
            return Ok(json!({"PipelineArn": pipeline.arn}));
        }
        return Err(ApiError::validation(format!(
            "Pipeline names must be unique within an AWS account and region. Pipeline with name ({name}) already exists."
        )));
    }
    let Some(version) = definition_of(cloud, input)? else {
        return Err(ApiError::validation(
            "One of PipelineDefinition and PipelineDefinitionS3Location must be specified.",
        ));
    };
    let arn = cloud.arn("sagemaker", &format!("pipeline/{name}"));
    tag(cloud, &arn, input)?;
    let pipeline = Pipeline {
        arn: arn.clone(),
        name: name.clone(),
        display_name: text_if_any(input, "PipelineDisplayName"),
        description: text_if_any(input, "PipelineDescription"),
        role: text(input, "RoleArn").to_owned(),
        parallel: input.get("ParallelismConfiguration").cloned(),
        versions: vec![version],
        created: cloud.now,
        modified: cloud.now,
        last_run: None,
        create_token: token,
        tokens: BTreeMap::new(),
    };
    cloud.note("sagemaker", &name, "pipeline-created", json!({"version": 1}));
    cloud.sagemaker.pipelines.pipelines.insert(name, pipeline);
    Ok(json!({"PipelineArn": arn}))
}

pub(super) fn update(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    refuse(input, &["PipelineVersionAliases"])?;
    let name = find(cloud, text(input, "PipelineName"))?.name.clone();
    let version = definition_of(cloud, input)?;
    let now = cloud.now;
    let Some(pipeline) = cloud.sagemaker.pipelines.pipelines.get_mut(&name) else {
        return Err(ApiError::new(
            "ResourceNotFound",
            format!("Pipeline '{name}' does not exist."),
        ));
    };
    pipeline.versions.extend(version);
    pipeline.display_name = text_if_any(input, "PipelineDisplayName").or(pipeline.display_name.take());
    pipeline.description = text_if_any(input, "PipelineDescription").or(pipeline.description.take());
    pipeline.role = text_if_any(input, "RoleArn").unwrap_or_else(|| pipeline.role.clone());
    pipeline.parallel = input
        .get("ParallelismConfiguration")
        .cloned()
        .or(pipeline.parallel.take());
    pipeline.modified = now;
    let (arn, version) = (pipeline.arn.clone(), pipeline.versions.len());
    cloud.note("sagemaker", &name, "pipeline-updated", json!({"version": version}));
    Ok(json!({"PipelineArn": arn, "PipelineVersionId": version}))
}

/// The version that the input asks for, or the latest; with its number.
fn version_of<'a>(pipeline: &'a Pipeline, input: &Value) -> Result<(usize, &'a Version), ApiError> {
    refuse(input, &["PipelineVersionAlias"])?;
    let number = match input.get("PipelineVersionId").and_then(Value::as_u64) {
        Some(number) => usize::try_from(number).unwrap_or_default(),
        None => pipeline.versions.len(),
    };
    let version = number.checked_sub(1).and_then(|place| pipeline.versions.get(place));
    version.map(|version| (number, version)).ok_or_else(|| {
        ApiError::new(
            "ResourceNotFound",
            format!("Version {number} of pipeline '{}' does not exist.", pipeline.arn),
        )
    })
}

pub(super) fn describe(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let pipeline = find(cloud, text(input, "PipelineName"))?;
    let (_, version) = version_of(pipeline, input)?;
    Ok(without_nulls(json!({
        "PipelineArn": pipeline.arn,
        "PipelineName": pipeline.name,
        "PipelineDisplayName": pipeline.display_name,
        "PipelineDescription": pipeline.description,
        "PipelineDefinition": version.source,
        "PipelineStatus": "Active",
        "RoleArn": pipeline.role,
        "ParallelismConfiguration": pipeline.parallel,
        "CreationTime": epoch_seconds(pipeline.created),
        "LastModifiedTime": epoch_seconds(pipeline.modified),
        "LastRunTime": pipeline.last_run.map(epoch_seconds),
        "CreatedBy": {},
        "LastModifiedBy": {},
    })))
}

pub(super) fn list(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let prefix = text(input, "PipelineNamePrefix");
    let pipelines = cloud
        .sagemaker
        .pipelines
        .pipelines
        .values()
        .filter(|pipeline| pipeline.name.starts_with(prefix));
    let items = pipelines.map(|pipeline| Listed {
        key: pipeline.name.clone(),
        name: pipeline.name.clone(),
        created: pipeline.created,
        modified: pipeline.modified,
        summary: without_nulls(json!({
            "PipelineArn": pipeline.arn,
            "PipelineName": pipeline.name,
            "PipelineDisplayName": pipeline.display_name,
            "PipelineDescription": pipeline.description,
            "RoleArn": pipeline.role,
            "CreationTime": epoch_seconds(pipeline.created),
            "LastModifiedTime": epoch_seconds(pipeline.modified),
            "LastExecutionTime": pipeline.last_run.map(epoch_seconds),
        })),
    });
    page(items.collect(), input, "PipelineSummaries", DefaultOrder::Descending)
}

pub(super) fn list_versions(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let pipeline = find(cloud, text(input, "PipelineName"))?;
    let items = pipeline
        .versions
        .iter()
        .zip(1..)
        .map(|(version, number): (_, usize)| Listed {
            key: number.to_string(),
            name: number.to_string(),
            created: version.created,
            modified: version.created,
            summary: without_nulls(json!({
                "PipelineArn": pipeline.arn,
                "PipelineVersionId": number,
                "CreationTime": epoch_seconds(version.created),
                "LastExecutionPipelineExecutionArn": version.last_execution,
            })),
        });
    page(
        items.collect(),
        input,
        "PipelineVersionSummaries",
        DefaultOrder::Descending,
    )
}

pub(super) fn start(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    refuse(input, &["SelectiveExecutionConfig", "MlflowExperimentName"])?;
    let pipeline = find(cloud, text(input, "PipelineName"))?;
    if input.get("RoleArn").is_some() {
        return Err(ApiError::validation(
            "RoleArn can't be specified for a pipeline that you created: its executions use the pipeline's role.",
        ));
    }
    let token = text(input, "ClientRequestToken").to_owned();
    if let Some(arn) = pipeline.tokens.get(&token) {
        return Ok(json!({"PipelineExecutionArn": arn}));
    }
    let (number, version) = version_of(pipeline, input)?;
    let mut passed = BTreeMap::new();
    for parameter in list_of(input, "PipelineParameters") {
        let name = text(parameter, "Name").to_owned();
        if passed
            .insert(name.clone(), text(parameter, "Value").to_owned())
            .is_some()
        {
            return Err(ApiError::validation(format!("Parameter `{name}` was passed twice.")));
        }
    }
    let parameters = version
        .definition
        .parameters(&passed)
        .map_err(|reason| ApiError::validation(format!("Invalid pipeline parameters: {reason}.")))?;
    let mut execution = Execution {
        arn: String::new(),
        id: String::new(),
        pipeline: pipeline.name.clone(),
        pipeline_arn: pipeline.arn.clone(),
        version: number,
        role: pipeline.role.clone(),
        parallel: input
            .get("ParallelismConfiguration")
            .or(pipeline.parallel.as_ref())
            .cloned(),
        display_name: text_if_any(input, "PipelineExecutionDisplayName"),
        description: text_if_any(input, "PipelineExecutionDescription"),
        status: "Executing",
        failure: None,
        created: cloud.now,
        modified: cloud.now,
        ended: None,
        parameters,
        source: version.source.clone(),
        source_created: version.created,
        steps: vec![Run::default(); version.definition.steps.len()],
        definition: Arc::clone(&version.definition),
        steps_started: 0,
    };
    execution.id = cloud.token(12);
    execution.arn = format!("{}/execution/{}", execution.pipeline_arn, execution.id);
    let (arn, name, now) = (execution.arn.clone(), execution.pipeline.clone(), cloud.now);
    let state = &mut cloud.sagemaker.pipelines;
    state.executions.insert(arn.clone(), execution);
    state.started.push(arn.clone());
    if let Some(pipeline) = state.pipelines.get_mut(&name) {
        pipeline.tokens.insert(token, arn.clone());
        pipeline.last_run = Some(now);
        if let Some(version) = pipeline.versions.get_mut(number.saturating_sub(1)) {
            version.last_execution = Some(arn.clone());
        }
    }
    tell_execution(cloud, &arn, None);
    cloud.after(
        START_DELAY,
        cloud::Timer::SageMaker(Timer::ExecutionStarts(arn.clone())),
    );
    Ok(json!({"PipelineExecutionArn": arn}))
}

pub(super) fn stop(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let execution = find_execution(cloud, input)?;
    let (arn, status) = (execution.arn.clone(), execution.status);
    match status {
        "Executing" => {}
        "Stopping" => return Ok(json!({"PipelineExecutionArn": arn})),
        _ => {
            return Err(ApiError::validation(format!(
                "Pipeline execution with ARN {arn} is {status}. Only an execution that is Executing can be stopped."
            )));
        }
    }
    change(cloud, &arn, "Stopping", None);
    for place in running_steps(cloud, &arn) {
        stop_job(cloud, &arn, place);
        change_step(cloud, &arn, place, "Stopping", None);
    }
    cloud.after(STOP_DELAY, cloud::Timer::SageMaker(Timer::ExecutionStops(arn.clone())));
    Ok(json!({"PipelineExecutionArn": arn}))
}

/// Stops a step's job in the pipeline's role. A job that the role may not stop runs on; nothing comes of it any more.
fn stop_job(cloud: &mut Cloud, arn: &str, place: usize) {
    let Some((kind, description)) = job_of(cloud, arn, place) else {
        return;
    };
    let Some(execution) = cloud.sagemaker.pipelines.executions.get(arn) else {
        return;
    };
    let (role, pipeline_arn) = (execution.role.clone(), execution.pipeline_arn.clone());
    let member = match kind {
        JobKind::Processing => "ProcessingJobArn",
        JobKind::Training => "TrainingJobArn",
    };
    let ask = role::stop_job(kind, text(&description, member));
    role::try_ask(cloud, &role, &pipeline_arn, &[ask]);
}

/// An execution that was told to stop has stopped. Its jobs' reports come too late from now on.
pub(super) fn stopped(cloud: &mut Cloud, arn: &str) {
    if cloud
        .sagemaker
        .pipelines
        .executions
        .get(arn)
        .is_none_or(|execution| execution.status != "Stopping")
    {
        return;
    }
    for place in running_steps(cloud, arn) {
        end_job(cloud, arn, place, "Stopped", None);
        change_step(cloud, arn, place, "Stopped", None);
    }
    cloud
        .sagemaker
        .pipelines
        .running
        .retain(|_, (execution, _)| execution != arn);
    change(cloud, arn, "Stopped", None);
}

pub(super) fn update_execution(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let arn = find_execution(cloud, input)?.arn.clone();
    let now = cloud.now;
    if let Some(execution) = cloud.sagemaker.pipelines.executions.get_mut(&arn) {
        execution.display_name = text_if_any(input, "PipelineExecutionDisplayName").or(execution.display_name.take());
        execution.description = text_if_any(input, "PipelineExecutionDescription").or(execution.description.take());
        execution.parallel = input
            .get("ParallelismConfiguration")
            .cloned()
            .or(execution.parallel.take());
        execution.modified = now;
    }
    Ok(json!({"PipelineExecutionArn": arn}))
}

pub(super) fn describe_execution(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let execution = find_execution(cloud, input)?;
    Ok(without_nulls(json!({
        "PipelineArn": execution.pipeline_arn,
        "PipelineExecutionArn": execution.arn,
        "PipelineExecutionDisplayName": execution.display_name,
        "PipelineExecutionDescription": execution.description,
        "PipelineExecutionStatus": execution.status,
        "FailureReason": execution.failure,
        "PipelineVersionId": execution.version,
        "RoleArn": execution.role,
        "ParallelismConfiguration": execution.parallel,
        "CreationTime": epoch_seconds(execution.created),
        "LastModifiedTime": epoch_seconds(execution.modified),
        "CreatedBy": {},
        "LastModifiedBy": {},
    })))
}

pub(super) fn describe_definition(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let execution = find_execution(cloud, input)?;
    let created = epoch_seconds(execution.source_created);
    Ok(json!({"PipelineDefinition": execution.source, "CreationTime": created}))
}

pub(super) fn list_executions(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    refuse(input, &["PipelineVersionAlias"])?;
    let name = &find(cloud, text(input, "PipelineName"))?.name;
    let state = &cloud.sagemaker.pipelines;
    let executions = state.started.iter().filter_map(|arn| state.executions.get(arn));
    let items = executions
        .filter(|execution| execution.pipeline == *name)
        .map(|execution| Listed {
            key: execution.id.clone(),
            name: execution.arn.clone(),
            created: execution.created,
            modified: execution.modified,
            summary: without_nulls(json!({
                "PipelineExecutionArn": execution.arn,
                "PipelineExecutionDisplayName": execution.display_name,
                "PipelineExecutionDescription": execution.description,
                "PipelineExecutionStatus": execution.status,
                "PipelineExecutionFailureReason": execution.failure,
                "StartTime": epoch_seconds(execution.created),
            })),
        });
    page(
        items.collect(),
        input,
        "PipelineExecutionSummaries",
        DefaultOrder::Descending,
    )
}

pub(super) fn list_steps(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let execution = find_execution(cloud, input)?;
    let mut started: Vec<_> = execution.definition.steps.iter().zip(&execution.steps).collect();
    started.sort_by_key(|(_, run)| run.place);
    let items = started.into_iter().filter_map(|(step, run)| {
        Some(Listed {
            key: step.name.clone(),
            name: step.name.clone(),
            created: run.started?,
            modified: run.started?,
            summary: without_nulls(json!({
                "StepName": step.name,
                "StepDisplayName": step.display_name,
                "StepDescription": step.description,
                "StepStatus": run.status?,
                "StartTime": epoch_seconds(run.started?),
                "EndTime": run.ended.map(epoch_seconds),
                "FailureReason": run.failure,
                "Metadata": run.metadata,
                "AttemptCount": 1,
            })),
        })
    });
    page(
        items.collect(),
        input,
        "PipelineExecutionSteps",
        DefaultOrder::Descending,
    )
}

pub(super) fn list_parameters(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let execution = find_execution(cloud, input)?;
    let items = execution.parameters.iter().map(|(name, value)| Listed {
        key: name.clone(),
        name: name.clone(),
        created: execution.created,
        modified: execution.created,
        summary: json!({"Name": name, "Value": as_text(value)}),
    });
    page(items.collect(), input, "PipelineParameters", DefaultOrder::Ascending)
}

fn describe_job(cloud: &Cloud, kind: &'static str, name: &str) -> Option<Value> {
    let state = &cloud.sagemaker.pipelines;
    let (execution, place) = state.jobs.get(&(kind, name.to_owned()))?;
    Some(state.executions.get(execution)?.steps.get(*place)?.properties.clone())
}

pub(super) fn describe_processing_job(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "ProcessingJobName");
    let missing = || ApiError::validation(format!("Could not find requested job with name: {name}"));
    describe_job(cloud, "Processing", name).ok_or_else(missing)
}

pub(super) fn describe_training_job(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let missing = || ApiError::validation("Requested resource not found.");
    describe_job(cloud, "Training", text(input, "TrainingJobName")).ok_or_else(missing)
}

/// Starts what can start, and ends the execution where nothing runs any more.
pub(super) fn advance(cloud: &mut Cloud, arn: &str) {
    loop {
        let Some(execution) = cloud.sagemaker.pipelines.executions.get_mut(arn) else {
            return;
        };
        if execution.status != "Executing" {
            return;
        }
        execution.skip();
        let running = execution.steps.iter().filter(|run| run.is_running()).count();
        let failed = execution.steps.iter().any(|run| run.status == Some("Failed"));
        // Once a step has failed, those that run may end, but no other starts.
        let next = execution.next().filter(|_| !failed);
        match next {
            Some(_) if running >= execution.parallel_max() => return,
            Some(place) => start_step(cloud, arn, place),
            None if running > 0 => return,
            None if failed => {
                let reason = "Step failure: One or multiple steps failed.".to_owned();
                return change(cloud, arn, "Failed", Some(reason));
            }
            None => return change(cloud, arn, "Succeeded", None),
        }
    }
}

fn running_steps(cloud: &Cloud, arn: &str) -> Vec<usize> {
    let execution = cloud.sagemaker.pipelines.executions.get(arn);
    let steps = execution
        .map(|execution| execution.steps.as_slice())
        .unwrap_or_default();
    steps
        .iter()
        .enumerate()
        .filter(|(_, run)| run.is_running())
        .map(|(place, _)| place)
        .collect()
}

fn start_step(cloud: &mut Cloud, arn: &str, place: usize) {
    let now = cloud.now;
    if let Some(execution) = cloud.sagemaker.pipelines.executions.get_mut(arn) {
        execution.steps_started += 1;
        if let Some(run) = execution.steps.get_mut(place) {
            run.started = Some(now);
            run.place = execution.steps_started;
        }
    }
    change_step(cloud, arn, place, "Starting", None);
    if let Err(reason) = do_step(cloud, arn, place) {
        change_step(cloud, arn, place, "Failed", Some(reason));
    }
}

/// Does a step, or starts its job. The error is its failure reason.
fn do_step(cloud: &mut Cloud, arn: &str, place: usize) -> Result<(), String> {
    let gone = || "InternalServerError: the execution is gone".to_owned();
    let execution = cloud.sagemaker.pipelines.executions.get(arn).ok_or_else(gone)?;
    let definition = Arc::clone(&execution.definition);
    let step = definition.steps.get(place).ok_or_else(gone)?;
    let (id, role) = (execution.id.clone(), execution.role.clone());
    let resolved = {
        let looked = RefCell::new(Vec::new());
        let read = |bucket: &str, key: &str| -> Option<Bytes> {
            looked.borrow_mut().push(Ask::object("s3:GetObject", bucket, key));
            s3::get(cloud, bucket, key)
        };
        let scope = scope(cloud, execution, &read);
        let resolved = match step.kind {
            StepKind::Condition => {
                let mut conditions = list_of(&step.arguments, "Conditions");
                let holds =
                    conditions.try_fold(true, |all, condition| Ok::<_, String>(scope.holds(condition)? && all))?;
                json!(if holds { "True" } else { "False" })
            }
            _ => scope.resolve(&step.arguments)?,
        };
        (resolved, looked.into_inner())
    };
    let (resolved, looked) = resolved;
    let pipeline_arn = execution.pipeline_arn.clone();
    role::ask(cloud, &role, &pipeline_arn, &[])
        .map_err(|denied| format!("ClientError: the role {role} could not be assumed: {denied}"))?;
    // `Std:JsonGet` reads in the pipeline's role.
    role::ask(cloud, &role, &pipeline_arn, &looked)
        .map_err(|denied| format!("ClientError: the property file could not be read: {denied}"))?;
    change_step(cloud, arn, place, "Executing", None);
    match step.kind {
        StepKind::Processing | StepKind::Training => {
            let name = jobs::job_name(cloud, &id, &step.name);
            let training = step.kind == StepKind::Training;
            let kind = if training {
                JobKind::Training
            } else {
                JobKind::Processing
            };
            let own = text_if_any(&resolved, "RoleArn").unwrap_or_else(|| role.clone());
            let asks = role::create_job(kind, &role::job_arn(cloud, kind, &name), &own);
            role::ask(cloud, &role, &pipeline_arn, &asks).map_err(|denied| {
                format!(
                    "ClientError: Failed to invoke {}. Error Details: {denied}",
                    denied.action
                )
            })?;
            role::start_job(cloud, kind, &name, &own, &resolved)?;
            let made = match training {
                true => jobs::training(cloud, &name, &role, &resolved)?,
                false => jobs::processing(cloud, &name, &role, &resolved)?,
            };
            let (member, arn_member) = if training {
                ("TrainingJob", "TrainingJobArn")
            } else {
                ("ProcessingJob", "ProcessingJobArn")
            };
            let metadata = json!({ member: {"Arn": text(&made.description, arn_member)} });
            keep(cloud, arn, place, made.description, metadata);
            let job = made.job;
            let effect = cloud.effect(|id| Effect::Job(jobs::with_id(job, id)));
            let state = &mut cloud.sagemaker.pipelines;
            state.running.insert(effect, (arn.to_owned(), place));
            state.jobs.insert((step.kind.name(), name), (arn.to_owned(), place));
            Ok(())
        }
        StepKind::Condition => {
            keep(
                cloud,
                arn,
                place,
                json!({"Outcome": resolved}),
                json!({"Condition": {"Outcome": resolved}}),
            );
            change_step(cloud, arn, place, "Succeeded", None);
            Ok(())
        }
        StepKind::RegisterModel => {
            let group = text(&resolved, "ModelPackageGroupName");
            let asks = role::register(cloud, group);
            role::ask(cloud, &role, &pipeline_arn, &asks).map_err(|denied| {
                format!(
                    "ClientError: Failed to invoke {}. Error Details: {denied}",
                    denied.action
                )
            })?;
            let package =
                registry::register(cloud, &resolved, arn).map_err(|error| format!("ClientError: {}", error.message))?;
            let metadata = json!({"RegisterModel": {"Arn": text(&package, "ModelPackageArn")}});
            keep(cloud, arn, place, package, metadata);
            change_step(cloud, arn, place, "Succeeded", None);
            Ok(())
        }
        StepKind::Fail => {
            let message = resolved.get("ErrorMessage").map(as_text).unwrap_or_default();
            keep(cloud, arn, place, json!({}), json!({"Fail": {"ErrorMessage": message}}));
            Err(message)
        }
    }
}

fn scope<'a>(cloud: &Cloud, execution: &'a Execution, read: &'a dyn Fn(&str, &str) -> Option<Bytes>) -> Scope<'a> {
    let done = execution.definition.steps.iter().zip(&execution.steps);
    let steps = done
        .filter(|(_, run)| run.status == Some("Succeeded"))
        .map(|(step, run)| (step.name.clone(), run.properties.clone()))
        .collect();
    Scope {
        definition: &execution.definition,
        parameters: &execution.parameters,
        execution: BTreeMap::from([
            ("CurrentDateTime", clock_text(cloud.now)),
            ("PipelineArn", execution.pipeline_arn.clone()),
            ("PipelineExecutionArn", execution.arn.clone()),
            ("PipelineExecutionId", execution.id.clone()),
            ("PipelineName", execution.pipeline.clone()),
            ("RoleArn", execution.role.clone()),
            ("StartDateTime", clock_text(execution.created)),
        ]),
        steps,
        read,
    }
}

/// Keeps what a step is described as.
fn keep(cloud: &mut Cloud, arn: &str, place: usize, properties: Value, metadata: Value) {
    let execution = cloud.sagemaker.pipelines.executions.get_mut(arn);
    if let Some(run) = execution.and_then(|execution| execution.steps.get_mut(place)) {
        run.properties = properties;
        run.metadata = metadata;
    }
}

/// Writes the end of a step's job into its description, where the step has a job.
fn end_job(cloud: &mut Cloud, arn: &str, place: usize, status: &str, failure: Option<&str>) {
    let Some((kind, mut description)) = job_of(cloud, arn, place) else {
        return;
    };
    jobs::ended(cloud, kind, &mut description, status, failure);
    let execution = cloud.sagemaker.pipelines.executions.get_mut(arn);
    if let Some(run) = execution.and_then(|execution| execution.steps.get_mut(place)) {
        run.properties = description;
    }
}

fn job_of(cloud: &Cloud, arn: &str, place: usize) -> Option<(JobKind, Value)> {
    let execution = cloud.sagemaker.pipelines.executions.get(arn)?;
    let kind = match execution.definition.steps.get(place)?.kind {
        StepKind::Processing => JobKind::Processing,
        StepKind::Training => JobKind::Training,
        _ => return None,
    };
    Some((kind, execution.steps.get(place)?.properties.clone()))
}

/// Changes an execution's status, and tells of it.
fn change(cloud: &mut Cloud, arn: &str, status: &'static str, failure: Option<String>) {
    let now = cloud.now;
    let Some(execution) = cloud.sagemaker.pipelines.executions.get_mut(arn) else {
        return;
    };
    let before = std::mem::replace(&mut execution.status, status);
    execution.failure = failure;
    execution.modified = now;
    if matches!(status, "Succeeded" | "Failed" | "Stopped") {
        execution.ended = Some(now);
    }
    tell_execution(cloud, arn, Some(before));
}

fn tell_execution(cloud: &mut Cloud, arn: &str, before: Option<&'static str>) {
    let Some(execution) = cloud.sagemaker.pipelines.executions.get(arn) else {
        return;
    };
    let detail = without_nulls(json!({
        "pipelineExecutionDisplayName": execution.display_name,
        "pipelineExecutionDescription": execution.description,
        "currentPipelineExecutionStatus": execution.status,
        "previousPipelineExecutionStatus": before,
        "executionStartTime": clock_text(execution.created),
        "executionEndTime": execution.ended.map(clock_text),
        "pipelineArn": execution.pipeline_arn,
        "pipelineExecutionArn": execution.arn,
    }));
    let note = without_nulls(json!({"execution": arn, "status": execution.status, "reason": execution.failure}));
    let (subject, resources) = (execution.pipeline.clone(), execution.resources());
    cloud.note("sagemaker", &subject, "execution-status", note);
    let kind = "SageMaker Model Building Pipeline Execution Status Change";
    events::put(cloud, "aws.sagemaker", kind, resources, detail);
}

/// Changes a step's status, and tells of it.
fn change_step(cloud: &mut Cloud, arn: &str, place: usize, status: &'static str, failure: Option<String>) {
    let now = cloud.now;
    let Some(execution) = cloud.sagemaker.pipelines.executions.get_mut(arn) else {
        return;
    };
    let Some(run) = execution.steps.get_mut(place) else {
        return;
    };
    let before = run.status.replace(status);
    run.failure = failure.map(|reason| cut(&reason, 1024));
    if matches!(status, "Succeeded" | "Failed" | "Stopped") {
        run.ended = Some(now);
    }
    let Some(step) = execution.definition.steps.get(place) else {
        return;
    };
    let metadata = match run.metadata.as_object().and_then(|members| members.iter().next()) {
        // The events write with a small letter what the API writes with a capital.
        Some((kind, members)) => {
            let small = |name: &str| {
                name.chars()
                    .take(1)
                    .map(|first| first.to_ascii_lowercase())
                    .chain(name.chars().skip(1))
                    .collect()
            };
            let members = members
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| (small(name), value.clone()));
            let kind: String = small(kind);
            json!({ kind: members.collect::<BTreeMap<String, Value>>() })
        }
        None => json!({}),
    };
    let detail = without_nulls(json!({
        "metadata": metadata,
        "stepStartTime": run.started.map(clock_text),
        "stepEndTime": run.ended.map(clock_text),
        "stepName": step.name,
        "stepType": step.kind.name(),
        "previousStepStatus": before,
        "currentStepStatus": status,
        "failureReason": run.failure,
        "pipelineArn": execution.pipeline_arn,
        "pipelineExecutionArn": execution.arn,
    }));
    let note = without_nulls(json!({"execution": arn, "step": step.name, "status": status, "reason": run.failure}));
    let (subject, resources) = (execution.pipeline.clone(), execution.resources());
    cloud.note("sagemaker", &subject, "step-status", note);
    let kind = "SageMaker Model Building Pipeline Execution Step Status Change";
    events::put(cloud, "aws.sagemaker", kind, resources, detail);
}

impl Cloud {
    /// Says what came of a [`Job`](crate::cloud::effect::Job). A second report of the same job, or one of a job that was stopped,
    /// changes nothing.
    pub fn finish_job(&mut self, id: EffectId, outcome: JobOutcome) {
        let Some((arn, place)) = self.sagemaker.pipelines.running.remove(&id) else {
            return;
        };
        let executing = self.sagemaker.pipelines.executions.get(&arn).is_some_and(|execution| {
            execution
                .steps
                .get(place)
                .is_some_and(|run| run.status == Some("Executing"))
        });
        let Some((kind, description)) = job_of(self, &arn, place).filter(|_| executing) else {
            return;
        };
        let result = match outcome {
            JobOutcome::Succeeded(outputs) => jobs::upload(self, kind, &description, &outputs),
            JobOutcome::Failed { reason } => Err(reason),
        };
        match result {
            Ok(()) => {
                end_job(self, &arn, place, "Completed", None);
                change_step(self, &arn, place, "Succeeded", None);
            }
            Err(reason) => {
                end_job(self, &arn, place, "Failed", Some(&cut(&reason, 1024)));
                change_step(self, &arn, place, "Failed", Some(reason));
            }
        }
        advance(self, &arn);
    }
}

#[cfg(test)]
mod tests;
