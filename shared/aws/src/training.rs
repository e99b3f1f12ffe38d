//! SageMaker pipelines: what trains.

use aws_sdk_sagemaker::types::{Parameter, PipelineExecutionStepMetadata, PipelineExecutionSummary, SortOrder};
use signalbox_model::training::{Execution, Status, Step};

use crate::error::{AwsError, ErrorKind};
use crate::registry::timestamp;

/// Lets one define a pipeline.
pub trait DefinePipelines: Send + Sync {
    /// Creates or updates the pipeline; returns the id of the version that has this definition. `token` makes a second creation
    /// harmless; a second update only makes another version of the same content.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where SageMaker refuses the definition, and whatever SageMaker says.
    fn define(
        &self,
        name: &str,
        definition: &str,
        role_arn: &str,
        token: &str,
    ) -> impl Future<Output = Result<i64, AwsError>> + Send;
}

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The version of its definition; the newest where `None`.
    pub version: Option<i64>,
    /// 32 to 128 characters; SageMaker answers the second start with one token with the execution of the first.
    pub token: &'a str,
    /// What the execution is called in Studio.
    pub display_name: &'a str,
    /// The lineage, as JSON of at most 3072 characters.
    pub description: &'a str,
    /// Values for parameters of the definition, by their names; the others have their defaults.
    pub parameters: &'a [(&'a str, String)],
}

/// Lets one start a training.
pub trait StartTrainings: Send + Sync {
    /// Starts an execution; returns its ARN.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn start(&self, start: &Start<'_>) -> impl Future<Output = Result<String, AwsError>> + Send;
}

/// Lets one read how trainings went.
pub trait ReadTrainings: Send + Sync {
    /// One execution.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn execution(&self, arn: &str) -> impl Future<Output = Result<Execution, AwsError>> + Send;

    /// Its steps: the first hundred, which is more than a pipeline of the train has.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn steps(&self, arn: &str) -> impl Future<Output = Result<Vec<Step>, AwsError>> + Send;
}

/// Lets one list trainings.
pub trait ListTrainings: Send + Sync {
    /// The newest executions of the pipeline, newest first, at most `count_max` (up to 100); none where there is no such pipeline.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn executions(
        &self,
        pipeline: &str,
        count_max: u8,
    ) -> impl Future<Output = Result<Vec<Execution>, AwsError>> + Send;
}

/// Lets one write on trainings.
pub trait NoteTrainings: Send + Sync {
    /// Replaces an execution's description.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn describe(&self, arn: &str, description: &str) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// SageMaker pipelines.
#[derive(Debug, Clone)]
pub struct Pipelines(aws_sdk_sagemaker::Client);

impl Pipelines {
    /// The ports over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_sagemaker::Client::new(sdk))
    }

    async fn update(&self, name: &str, definition: &str, role_arn: &str) -> Result<i64, AwsError> {
        let operation = "sagemaker:UpdatePipeline";
        let request = self
            .0
            .update_pipeline()
            .pipeline_name(name)
            .pipeline_definition(definition)
            .role_arn(role_arn);
        let answer = request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        answer
            .pipeline_version_id()
            .ok_or_else(|| AwsError::incomplete(operation, "PipelineVersionId"))
    }
}

impl DefinePipelines for Pipelines {
    async fn define(&self, name: &str, definition: &str, role_arn: &str, token: &str) -> Result<i64, AwsError> {
        match self.update(name, definition, role_arn).await {
            Err(error) if error.kind == ErrorKind::NotFound => {}
            known => return known,
        }
        let request = self
            .0
            .create_pipeline()
            .pipeline_name(name)
            .pipeline_definition(definition);
        let request = request.role_arn(role_arn).client_request_token(token);
        match request
            .send()
            .await
            .map_err(|error| AwsError::of("sagemaker:CreatePipeline", &error))
        {
            Err(error) if error.kind != ErrorKind::Exists => return Err(error),
            _ => {}
        }
        // CreatePipeline does not say which version it made; UpdatePipeline does.
        self.update(name, definition, role_arn).await
    }
}

impl StartTrainings for Pipelines {
    async fn start(&self, start: &Start<'_>) -> Result<String, AwsError> {
        let operation = "sagemaker:StartPipelineExecution";
        let request = self
            .0
            .start_pipeline_execution()
            .pipeline_name(start.pipeline)
            .client_request_token(start.token);
        let request = request.set_pipeline_version_id(start.version);
        let request = request.pipeline_execution_display_name(start.display_name);
        let mut request = request.pipeline_execution_description(start.description);
        for (name, value) in start.parameters {
            request = request.pipeline_parameters(Parameter::builder().name(*name).value(value).build());
        }
        let answer = request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        answer
            .pipeline_execution_arn
            .ok_or_else(|| AwsError::incomplete(operation, "PipelineExecutionArn"))
    }
}

impl ReadTrainings for Pipelines {
    async fn execution(&self, arn: &str) -> Result<Execution, AwsError> {
        let operation = "sagemaker:DescribePipelineExecution";
        let request = self.0.describe_pipeline_execution().pipeline_execution_arn(arn);
        let answer = request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        let status = answer
            .pipeline_execution_status()
            .and_then(|status| Status::parse(status.as_str()));
        Ok(Execution {
            arn: arn.to_owned(),
            status: status.ok_or_else(|| AwsError::incomplete(operation, "PipelineExecutionStatus"))?,
            description: answer.pipeline_execution_description().map(str::to_owned),
            started_at: answer.creation_time().and_then(timestamp),
            failure_reason: answer.failure_reason().map(str::to_owned),
        })
    }

    async fn steps(&self, arn: &str) -> Result<Vec<Step>, AwsError> {
        let request = self
            .0
            .list_pipeline_execution_steps()
            .pipeline_execution_arn(arn)
            .max_results(100);
        let answer = request.send().await;
        let answer = answer.map_err(|error| AwsError::of("sagemaker:ListPipelineExecutionSteps", &error))?;
        let step = |step: aws_sdk_sagemaker::types::PipelineExecutionStep| Step {
            status: step
                .step_status()
                .map(|status| status.as_str().to_owned())
                .unwrap_or_default(),
            registered: step
                .metadata()
                .and_then(|metadata| metadata.register_model()?.arn())
                .map(str::to_owned),
            started_at: step.start_time().and_then(timestamp),
            ended_at: step.end_time().and_then(timestamp),
            trains: step
                .metadata()
                .is_some_and(|metadata| metadata.training_job().is_some()),
            job: step.metadata().and_then(job_of).map(str::to_owned),
            failure_reason: step.failure_reason,
            name: step.step_name.unwrap_or_default(),
        };
        Ok(answer
            .pipeline_execution_steps
            .unwrap_or_default()
            .into_iter()
            .map(step)
            .collect())
    }
}

impl ListTrainings for Pipelines {
    async fn executions(&self, pipeline: &str, count_max: u8) -> Result<Vec<Execution>, AwsError> {
        let request = self
            .0
            .list_pipeline_executions()
            .pipeline_name(pipeline)
            .sort_order(SortOrder::Descending);
        let answer = request.max_results(count_max.clamp(1, 100).into()).send().await;
        match answer.map_err(|error| AwsError::of("sagemaker:ListPipelineExecutions", &error)) {
            Ok(answer) => {
                let summaries = answer.pipeline_execution_summaries.unwrap_or_default();
                Ok(summaries.into_iter().filter_map(summarised).collect())
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl NoteTrainings for Pipelines {
    async fn describe(&self, arn: &str, description: &str) -> Result<(), AwsError> {
        let request = self.0.update_pipeline_execution().pipeline_execution_arn(arn);
        let answer = request.pipeline_execution_description(description).send().await;
        answer.map_err(|error| AwsError::of("sagemaker:UpdatePipelineExecution", &error))?;
        Ok(())
    }
}

/// The job of a step, where it has one that writes a log.
fn job_of(metadata: &PipelineExecutionStepMetadata) -> Option<&str> {
    let training = || metadata.training_job()?.arn();
    let processing = || metadata.processing_job()?.arn();
    let transform = || metadata.transform_job()?.arn();
    let tuning = || metadata.tuning_job()?.arn();
    // Checks are processing jobs.
    let quality = || metadata.quality_check()?.check_job_arn();
    let clarify = || metadata.clarify_check()?.check_job_arn();
    training()
        .or_else(processing)
        .or_else(transform)
        .or_else(tuning)
        .or_else(quality)
        .or_else(clarify)
}

fn summarised(summary: PipelineExecutionSummary) -> Option<Execution> {
    Some(Execution {
        status: Status::parse(summary.pipeline_execution_status()?.as_str())?,
        started_at: summary.start_time().and_then(timestamp),
        arn: summary.pipeline_execution_arn?,
        description: summary.pipeline_execution_description,
        failure_reason: summary.pipeline_execution_failure_reason,
    })
}

#[cfg(test)]
mod tests;
