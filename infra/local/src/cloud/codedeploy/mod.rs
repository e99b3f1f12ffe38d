//! CodeDeploy: how the alias of a function moves from one version to the next.
//!
//! [`group`] deploys applications, deployment groups and the aliases' update policies; [`traffic`] knows the predefined deployment
//! configurations; [`run`] is a deployment from its start to its end, with [`Cloud::update_function`] as its door; [`rollback`] is
//! what a deployment that failed brings about; [`api`] answers the calls; [`tell`] puts events.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use self::traffic::Shift;

mod api;
mod group;
mod rollback;
mod run;
mod tell;
#[cfg(test)]
mod tests;
mod traffic;

pub(crate) use self::api::{call, group_arn_of};
pub(crate) use self::group::{deploy, deploy_update_policies};
pub use self::run::Updated;
pub(crate) use self::run::{on_alarm, on_timer};

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    applications: BTreeSet<String>,
    /// By application, then by name.
    groups: BTreeMap<(String, String), Group>,
    /// How the alias of each function is moved, by the function's name.
    policies: BTreeMap<String, Policy>,
    deployments: BTreeMap<String, Deployment>,
    /// The deployments' ids in order of their start.
    order: Vec<String>,
}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// A hook's time is up: the deployment, and the hook's execution.
    Hook(String, String),
    /// The next share of the traffic of a deployment is due.
    Shift(String),
}

/// A deployment group.
#[derive(Debug)]
struct Group {
    config: String,
    shift: Shift,
    alarms: Vec<String>,
    /// The events that roll back; none where that is off.
    rollback_events: Vec<String>,
    role_arn: String,
}

/// An alias's update policy.
#[derive(Debug, Clone)]
struct Policy {
    /// The function's logical id.
    logical_id: String,
    alias: String,
    application: String,
    group: String,
    before: Option<String>,
    after: Option<String>,
}

/// A deployment.
#[derive(Debug)]
struct Deployment {
    id: String,
    policy: Policy,
    config: String,
    shift: Shift,
    role_arn: String,
    alarms: Vec<String>,
    rollback_events: Vec<String>,
    function: String,
    current: String,
    target: String,
    /// The AppSpec.
    content: String,
    /// Its SHA-256.
    sha256: String,
    creator: &'static str,
    status: &'static str,
    created: Timestamp,
    completed: Option<Timestamp>,
    error: Option<(&'static str, String)>,
    phase: Phase,
    /// The ids of the hooks' executions.
    executions: Vec<String>,
    /// The deployment that rolls this one back.
    rolled_back_by: Option<String>,
    /// The deployment that this one rolls back.
    rolls_back: Option<String>,
}

/// Where a deployment is in its lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// `BeforeAllowTraffic`: its hook runs.
    Before,
    /// `AllowTraffic`: so many shares of the traffic have been shifted.
    Allow(u32),
    /// `AfterAllowTraffic`: its hook runs.
    After,
    /// It is over.
    Over,
}
