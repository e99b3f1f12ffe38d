//! CodePipeline: V2 pipelines, their executions, jobs and approvals.
//!
//! [`declaration`] is a pipeline of the template; [`run`] is the state machine that moves executions through stages and actions;
//! [`role`] is what actions do in the pipeline's role; [`api`] answers the calls; [`tell`] puts events and notes. A source action takes a
//! second, everything else that CodePipeline itself does takes no time; the rest is the time of builds, functions and people.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde_json::Value;

use self::declaration::{Action, Declaration};
use super::{ApiError, Cloud};
use crate::template::{Resource, TemplateError};

mod api;
mod created;
pub(super) mod declaration;
mod role;
mod run;
mod tell;
#[cfg(test)]
mod tests;
mod variables;

pub(crate) use self::api::call;
pub(in crate::cloud) use self::created::created;
pub(crate) use self::run::{build_finished, on_timer, start_from_event};

/// The version of every pipeline: a stack is deployed once.
const VERSION: u32 = 1;

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    pipelines: BTreeMap<String, Pipeline>,
    jobs: BTreeMap<String, Job>,
    /// Builds that run for an action, by build id.
    builds: BTreeMap<String, Place>,
}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// A source action has looked.
    Source(Place),
    /// The time has come to go on with an action whose function asked for it with a continuation token.
    Continue(Place, String),
    /// A job's 20 minutes are over.
    Report(String),
    /// An action's time is up.
    Timeout(Place),
}

/// One run of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pipeline: String,
    /// The execution's place among the pipeline's.
    execution: usize,
    /// The run's place among the execution's.
    run: usize,
}

#[derive(Debug)]
struct Pipeline {
    declaration: Declaration,
    arn: String,
    created: Timestamp,
    /// By start.
    executions: Vec<Execution>,
    by_id: BTreeMap<String, usize>,
    by_token: BTreeMap<String, usize>,
    /// One for each stage.
    lanes: Vec<Lane>,
}

/// What is in a stage, and before it.
#[derive(Debug, Default)]
struct Lane {
    occupant: Option<usize>,
    waiting: VecDeque<usize>,
    latest: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    InProgress,
    Stopping,
    Stopped,
    Succeeded,
    Superseded,
    Failed,
}

impl Status {
    /// As the API writes it.
    fn name(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Succeeded => "Succeeded",
            Self::Superseded => "Superseded",
            Self::Failed => "Failed",
        }
    }

    fn is_over(self) -> bool {
        !matches!(self, Self::InProgress | Self::Stopping)
    }
}

#[derive(Debug)]
struct Execution {
    id: String,
    status: Status,
    started: Timestamp,
    updated: Timestamp,
    trigger: Trigger,
    /// Every variable of the pipeline with its value.
    variables: Vec<(String, String)>,
    /// Commits that the start asked for, by source action.
    revisions: BTreeMap<String, String>,
    /// The stage that it is in, or waits for.
    stage: usize,
    /// How it stands in each stage that it has entered.
    stages: Vec<Status>,
    /// The output variables of actions, by namespace.
    outputs: BTreeMap<String, BTreeMap<String, String>>,
    artifacts: BTreeMap<String, Artifact>,
    runs: Vec<Run>,
    stop_reason: Option<String>,
}

#[derive(Debug, Clone)]
struct Trigger {
    kind: &'static str,
    detail: Option<String>,
}

/// An artifact and where it is.
#[derive(Debug, Clone)]
struct Artifact {
    name: String,
    key: String,
    /// The commit that it comes from, for a source's.
    revision: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunStatus {
    InProgress,
    Abandoned,
    Succeeded,
    Failed,
}

impl RunStatus {
    fn name(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Abandoned => "Abandoned",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// One run of an action in an execution.
#[derive(Debug)]
struct Run {
    id: String,
    stage: usize,
    action: usize,
    status: RunStatus,
    started: Timestamp,
    updated: Timestamp,
    updated_by: Option<String>,
    /// The configuration with its variables replaced.
    configuration: BTreeMap<String, String>,
    inputs: Vec<Artifact>,
    outputs: Vec<Artifact>,
    variables: BTreeMap<String, String>,
    summary: Option<String>,
    external_id: Option<String>,
    external_url: Option<String>,
    percent: Option<u64>,
    error: Option<Failure>,
    /// The approval's token.
    token: Option<String>,
    /// A source's commit, from its start on.
    source: Option<Source>,
}

#[derive(Debug, Clone)]
struct Source {
    commit: String,
    message: String,
    created: Timestamp,
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    code: String,
    message: String,
}

impl Failure {
    fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

/// One job of an action.
#[derive(Debug)]
struct Job {
    place: Place,
    /// Whether an answer is still taken.
    open: bool,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    if resource.kind != "AWS::CodePipeline::Pipeline" {
        return Err(resource.unsupported("this resource type"));
    }
    let declaration = Declaration::read(resource)?;
    let name = declaration.name.clone();
    let pipeline = Pipeline {
        arn: cloud.arn("codepipeline", &name),
        created: cloud.now,
        executions: Vec::new(),
        by_id: BTreeMap::new(),
        by_token: BTreeMap::new(),
        lanes: declaration.stages.iter().map(|_| Lane::default()).collect(),
        declaration,
    };
    match cloud.codepipeline.pipelines.insert(name.clone(), pipeline) {
        None => Ok(()),
        Some(_) => Err(resource.wrong(format!("there are two pipelines `{name}`"))),
    }
}

impl State {
    fn execution(&self, pipeline: &str, execution: usize) -> Option<&Execution> {
        self.pipelines.get(pipeline)?.executions.get(execution)
    }

    fn execution_mut(&mut self, pipeline: &str, execution: usize) -> Option<&mut Execution> {
        self.pipelines.get_mut(pipeline)?.executions.get_mut(execution)
    }

    fn run(&self, place: &Place) -> Option<&Run> {
        self.execution(&place.pipeline, place.execution)?.runs.get(place.run)
    }

    fn run_mut(&mut self, place: &Place) -> Option<&mut Run> {
        self.execution_mut(&place.pipeline, place.execution)?
            .runs
            .get_mut(place.run)
    }

    /// The action that a run is of.
    fn action(&self, place: &Place) -> Option<&Action> {
        let run = self.run(place)?;
        let stages = &self.pipelines.get(&place.pipeline)?.declaration.stages;
        stages.get(run.stage)?.actions.get(run.action)
    }
}

fn no_pipeline(name: &str, cloud: &Cloud) -> ApiError {
    let account = &cloud.target.account;
    ApiError::new(
        "PipelineNotFoundException",
        format!("Account '{account}' does not have a pipeline with name '{name}'"),
    )
}

/// Sets a member of an object, if there is a value.
fn set(object: &mut Value, member: &str, value: Option<impl Into<Value>>) {
    if let (Some(members), Some(value)) = (object.as_object_mut(), value) {
        members.insert(member.to_owned(), value.into());
    }
}
