//! EventBridge Scheduler.

use serde_json::Value;

use super::{ApiError, Caller, Cloud};
use crate::template::{Resource, TemplateError};

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {}

/// Deploys one resource of the stack.
pub(crate) fn deploy(_cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    Err(resource.unsupported("this resource type"))
}

/// Answers one call.
pub(crate) fn call(_cloud: &mut Cloud, _caller: &Caller, operation: &str, _input: &Value) -> Result<Value, ApiError> {
    Err(ApiError::new(
        "UnknownOperationException",
        format!("the local cloud has no {operation}"),
    ))
}

/// The time for something has come.
pub(crate) fn on_timer(_cloud: &mut Cloud, timer: Timer) {
    match timer {}
}
