//! Twins of deployments and of what they deploy.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;
use signalbox_model::trial::Invocation;

use super::{lock, pause};
use crate::deployments::{AnswerHooks, Hook, ReadDeployments, deployment_not_found};
use crate::error::{AwsError, ErrorKind};
use crate::versions::InvokeVersions;

/// Twin of [`Deployments`](crate::deployments::Deployments).
#[derive(Debug, Default)]
pub struct SomeDeployments(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By deployment.
    app_specs: BTreeMap<String, String>,
    /// In their order.
    answers: Vec<(Hook, bool)>,
    /// What the next call fails with.
    failing: Option<(&'static str, ErrorKind)>,
}

impl State {
    fn fails(&mut self, operation: &'static str) -> Result<(), AwsError> {
        match self.failing.take_if(|(failing, _)| *failing == operation) {
            Some((_, kind)) => Err(AwsError::new(operation, kind, "Failing", "failing")),
            None => Ok(()),
        }
    }
}

impl SomeDeployments {
    /// Puts a deployment there with its AppSpec.
    pub fn put(&self, id: &str, app_spec: &str) {
        lock(&self.0).app_specs.insert(id.to_owned(), app_spec.to_owned());
    }

    /// Lets the next call of the operation fail.
    pub fn fail(&self, operation: &'static str, kind: ErrorKind) {
        lock(&self.0).failing = Some((operation, kind));
    }

    /// The answers that stand.
    pub fn answers(&self) -> Vec<(Hook, bool)> {
        lock(&self.0).answers.clone()
    }
}

impl ReadDeployments for SomeDeployments {
    async fn app_spec(&self, deployment_id: &str) -> Result<String, AwsError> {
        pause().await;
        let operation = "codedeploy:GetDeployment";
        let mut state = lock(&self.0);
        state.fails(operation)?;
        state.fails("codedeploy:GetApplicationRevision")?;
        let app_spec = state.app_specs.get(deployment_id).cloned();
        app_spec.ok_or_else(|| deployment_not_found(operation, deployment_id))
    }
}

impl AnswerHooks for SomeDeployments {
    async fn answer(&self, hook: &Hook, go_on: bool) -> Result<(), AwsError> {
        pause().await;
        let operation = "codedeploy:PutLifecycleEventHookExecutionStatus";
        let mut state = lock(&self.0);
        state.fails(operation)?;
        if !state.app_specs.contains_key(&hook.deployment_id) {
            return Err(deployment_not_found(operation, &hook.deployment_id));
        }
        if !state.answers.iter().any(|(answered, _)| answered == hook) {
            state.answers.push((hook.clone(), go_on));
        }
        Ok(())
    }
}

/// Twin of [`Versions`](crate::versions::Versions): what each version answers is set before.
#[derive(Debug, Default)]
pub struct SomeVersions {
    answers: Mutex<BTreeMap<(String, String), Result<Invocation, ErrorKind>>>,
    invoked: Mutex<Vec<(String, Value)>>,
}

impl SomeVersions {
    /// Says what a version of a function answers, or how Lambda fails.
    pub fn put(&self, function: &str, version: &str, answer: Result<Invocation, ErrorKind>) {
        let version = (function.to_owned(), version.to_owned());
        lock(&self.answers).insert(version, answer);
    }

    /// The invocations so far: `FUNCTION:VERSION`, and the event.
    pub fn invoked(&self) -> Vec<(String, Value)> {
        lock(&self.invoked).clone()
    }
}

impl InvokeVersions for SomeVersions {
    async fn invoke(&self, function: &str, version: &str, event: &Value) -> Result<Invocation, AwsError> {
        pause().await;
        let refused = |kind, code| AwsError::new("lambda:Invoke", kind, code, format!("no {function}:{version}"));
        let answers = lock(&self.answers);
        match answers.get(&(function.to_owned(), version.to_owned())) {
            Some(Ok(answer)) => {
                lock(&self.invoked).push((format!("{function}:{version}"), event.clone()));
                Ok(answer.clone())
            }
            Some(Err(kind)) => Err(refused(*kind, "Failing")),
            None => Err(refused(ErrorKind::NotFound, "ResourceNotFoundException")),
        }
    }
}
