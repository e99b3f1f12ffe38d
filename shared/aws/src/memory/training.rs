//! Twin of SageMaker pipelines.

use std::collections::BTreeMap;
use std::sync::Mutex;

use signalbox_model::training::{Execution, Status, Step};

use super::{lock, pause};
use crate::error::{AwsError, ErrorKind};
use crate::training::{DefinePipelines, ListTrainings, NoteTrainings, ReadTrainings, Start, StartTrainings};

/// Twin of [`Pipelines`](crate::training::Pipelines).
#[derive(Debug, Default)]
pub struct Trainings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    definitions: Vec<String>,
    started: Vec<Started>,
    executions: Vec<(Execution, Vec<Step>)>,
    tokens: BTreeMap<String, String>,
}

/// What was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The version of the definition.
    pub version: Option<i64>,
    /// The token.
    pub token: String,
    /// The description.
    pub description: String,
    /// The parameters.
    pub parameters: BTreeMap<String, String>,
}

impl Trainings {
    /// Puts an execution there, the newest so far.
    pub fn put(&self, execution: Execution, steps: Vec<Step>) {
        lock(&self.0).executions.insert(0, (execution, steps));
    }

    /// The definitions so far.
    pub fn definitions(&self) -> Vec<String> {
        lock(&self.0).definitions.clone()
    }

    /// What was started so far; a second start with one token is none.
    pub fn started(&self) -> Vec<Started> {
        lock(&self.0).started.clone()
    }

    fn find<T>(
        &self,
        operation: &'static str,
        arn: &str,
        read: impl FnOnce(&mut (Execution, Vec<Step>)) -> T,
    ) -> Result<T, AwsError> {
        let mut state = lock(&self.0);
        let found = state.executions.iter_mut().find(|(execution, _)| execution.arn == arn);
        let missing = || {
            AwsError::new(
                operation,
                ErrorKind::NotFound,
                "ResourceNotFound",
                format!("no execution {arn}"),
            )
        };
        found.map(read).ok_or_else(missing)
    }
}

impl DefinePipelines for Trainings {
    async fn define(&self, _name: &str, definition: &str, _role_arn: &str, _token: &str) -> Result<i64, AwsError> {
        pause().await;
        if definition.contains("\"Trainning\"") {
            let message = "Step `Train` has unknown type `Trainning`";
            return Err(AwsError::new(
                "sagemaker:UpdatePipeline",
                ErrorKind::Invalid,
                "ValidationException",
                message,
            ));
        }
        let mut state = lock(&self.0);
        state.definitions.push(definition.to_owned());
        Ok(i64::try_from(state.definitions.len()).unwrap_or(i64::MAX))
    }
}

impl StartTrainings for Trainings {
    async fn start(&self, start: &Start<'_>) -> Result<String, AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        if let Some(arn) = state.tokens.get(start.token) {
            return Ok(arn.clone());
        }
        let number = state.started.len() + 1;
        let arn = format!(
            "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/{}/execution/{number}",
            start.pipeline
        );
        state.tokens.insert(start.token.to_owned(), arn.clone());
        state.started.push(Started {
            version: start.version,
            token: start.token.to_owned(),
            description: start.description.to_owned(),
            parameters: start
                .parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        });
        let execution = Execution {
            arn: arn.clone(),
            status: Status::Executing,
            description: Some(start.description.to_owned()),
            started_at: None,
            failure_reason: None,
        };
        state.executions.insert(0, (execution, Vec::new()));
        Ok(arn)
    }
}

impl ReadTrainings for Trainings {
    async fn execution(&self, arn: &str) -> Result<Execution, AwsError> {
        pause().await;
        self.find("sagemaker:DescribePipelineExecution", arn, |(execution, _)| {
            execution.clone()
        })
    }

    async fn steps(&self, arn: &str) -> Result<Vec<Step>, AwsError> {
        pause().await;
        self.find("sagemaker:ListPipelineExecutionSteps", arn, |(_, steps)| steps.clone())
    }
}

impl ListTrainings for Trainings {
    async fn executions(&self, _pipeline: &str, count_max: u8) -> Result<Vec<Execution>, AwsError> {
        pause().await;
        let state = lock(&self.0);
        let executions = state.executions.iter().map(|(execution, _)| execution.clone());
        Ok(executions.take(count_max.into()).collect())
    }
}

impl NoteTrainings for Trainings {
    async fn describe(&self, arn: &str, description: &str) -> Result<(), AwsError> {
        pause().await;
        self.find("sagemaker:UpdatePipelineExecution", arn, |(execution, _)| {
            execution.description = Some(description.to_owned());
        })
    }
}
