//! How an endpoint moves from one configuration to the next: blue/green or rolling, watched by alarms, and back where one goes off.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::cloudwatch;
use super::endpoints::{
    self, Endpoint, Fleet, Status, busy, change, find, note_share, start_instances, stop_instances, tell,
    variant_summary,
};
use super::{Timer, cut, list_of, set, text};
use crate::cloud::effect::EffectId;
use crate::cloud::{self, ApiError, Cloud};

/// How long SageMaker takes to take down a fleet.
const TAKE_DOWN: SignedDuration = SignedDuration::from_secs(10);

/// A deployment under way.
#[derive(Debug)]
pub(super) struct Update {
    /// The deployment: timers of others are void.
    id: u64,
    /// The new fleet.
    pub(super) fleet: Fleet,
    plan: Plan,
    alarms: Vec<String>,
    started: Timestamp,
    /// How many of the plan's steps were taken.
    steps_taken: usize,
    /// How many of the new fleet's instances take traffic.
    pub(super) on: usize,
    phase: Phase,
    /// The phase's id: timers of other phases are void.
    phase_id: u64,
    phase_started: Timestamp,
    message: String,
}

/// What a deployment is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// New instances start.
    Creating,
    /// Traffic shifts.
    ActivatingTraffic,
    /// Traffic flows, and alarms watch.
    Baking,
    /// The old instances go.
    Deleting,
    /// Back: old instances that are gone start again.
    Restoring,
    /// Back: the new instances go.
    TakingDown,
}

impl Phase {
    /// As `VariantStatus` has it.
    fn name(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::ActivatingTraffic => "ActivatingTraffic",
            Self::Baking => "Baking",
            Self::Deleting | Self::Restoring | Self::TakingDown => "Deleting",
        }
    }

    /// Whether the deployment can still be rolled back.
    fn is_forward(self) -> bool {
        matches!(self, Self::Creating | Self::ActivatingTraffic | Self::Baking)
    }
}

/// How the deployment goes.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    kind: Kind,
    /// How many new instances take traffic after each step.
    steps: Vec<usize>,
    /// Between the steps.
    wait_seconds: u64,
    /// After the last step.
    last_wait_seconds: u64,
    timeout_seconds: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    AllAtOnce,
    Canary,
    Linear,
    Rolling,
}

impl Plan {
    /// The plan for a fleet of so many instances.
    fn new(deployment: Option<&Value>, instances: usize) -> Result<Self, ApiError> {
        let deployment = deployment.unwrap_or(&Value::Null);
        let seconds = |policy: &Value, member: &str| policy.get(member).and_then(Value::as_u64);
        let limit = "MaximumExecutionTimeoutInSeconds";
        let plan = match (
            deployment.get("BlueGreenUpdatePolicy"),
            deployment.get("RollingUpdatePolicy"),
        ) {
            (Some(_), Some(_)) => {
                return Err(ApiError::validation(
                    "Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified in DeploymentConfig.",
                ));
            }
            (None, None) => Self {
                kind: Kind::AllAtOnce,
                steps: vec![instances],
                wait_seconds: 0,
                last_wait_seconds: 0,
                timeout_seconds: None,
            },
            (Some(policy), None) => {
                let routing = policy.get("TrafficRoutingConfiguration").unwrap_or(&Value::Null);
                let (kind, steps) = match text(routing, "Type") {
                    "CANARY" => {
                        if instances < 2 {
                            return Err(ApiError::validation(
                                "A CANARY traffic routing needs a production variant of at least 2 instances, but it has 1.",
                            ));
                        }
                        let size = capacity(routing, "CanarySize", instances)?;
                        (
                            Kind::Canary,
                            if size < instances {
                                vec![size, instances]
                            } else {
                                vec![instances]
                            },
                        )
                    }
                    "LINEAR" => (
                        Kind::Linear,
                        in_steps(capacity(routing, "LinearStepSize", instances)?, instances),
                    ),
                    _ => (Kind::AllAtOnce, vec![instances]),
                };
                Self {
                    kind,
                    steps,
                    wait_seconds: seconds(routing, "WaitIntervalInSeconds").unwrap_or_default(),
                    last_wait_seconds: seconds(policy, "TerminationWaitInSeconds").unwrap_or_default(),
                    timeout_seconds: seconds(policy, limit),
                }
            }
            (None, Some(policy)) => {
                let wait_seconds = seconds(policy, "WaitIntervalInSeconds").unwrap_or_default();
                Self {
                    kind: Kind::Rolling,
                    steps: in_steps(capacity(policy, "MaximumBatchSize", instances)?, instances),
                    wait_seconds,
                    last_wait_seconds: wait_seconds,
                    timeout_seconds: seconds(policy, limit),
                }
            }
        };
        let between = u64::try_from(plan.steps.len().saturating_sub(1)).unwrap_or(u64::MAX);
        let waits = plan
            .wait_seconds
            .saturating_mul(between)
            .saturating_add(plan.last_wait_seconds);
        if let Some(timeout) = plan.timeout_seconds.filter(|timeout| waits >= *timeout) {
            return Err(ApiError::validation(format!(
                "MaximumExecutionTimeoutInSeconds ({timeout}) must be more than the deployment's waits together ({waits} seconds)."
            )));
        }
        Ok(plan)
    }
}

/// A `CapacitySize` in whole instances, at least one.
fn capacity(policy: &Value, member: &str, instances: usize) -> Result<usize, ApiError> {
    let Some(size) = policy.get(member) else {
        return Err(ApiError::validation(format!(
            "{member} must be specified for this type of deployment."
        )));
    };
    let value = size
        .get("Value")
        .and_then(Value::as_u64)
        .and_then(|value| usize::try_from(value).ok())
        .unwrap_or(1);
    let count = match text(size, "Type") {
        "CAPACITY_PERCENT" => instances.saturating_mul(value).div_ceil(100),
        _ => value,
    };
    Ok(count.clamp(1, instances.max(1)))
}

/// `3` of `10` is 3, 6, 9, 10.
fn in_steps(step: usize, all: usize) -> Vec<usize> {
    let mut steps: Vec<usize> = (1..)
        .map(|times: usize| times.saturating_mul(step))
        .take_while(|count| *count < all)
        .collect();
    steps.push(all);
    steps
}

impl Update {
    /// The new fleet's share of the traffic, up to 1.
    pub(super) fn share(&self) -> f64 {
        if self.on == 0 {
            0.0
        } else {
            self.on as f64 / self.fleet.wanted.max(self.on) as f64
        }
    }

    /// The weights of the old and the new fleet.
    pub(super) fn weights(&self) -> [i64; 2] {
        let (on, all) = (self.on, self.fleet.wanted.max(self.on).max(1));
        [all - on, on].map(|count| i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// `PendingDeploymentSummary`, with times written as the place has them.
    pub(super) fn summary<T: serde::Serialize>(&self, time: impl Fn(Timestamp) -> T) -> Value {
        let mut variant = variant_summary(&self.fleet, self.started);
        set(&mut variant, "DeployedImages", Value::Null);
        let status = json!([{
            "Status": self.phase.name(),
            "StatusMessage": self.message,
            "StartTime": time(self.phase_started),
        }]);
        set(&mut variant, "VariantStatus", status);
        json!({
            "EndpointConfigName": self.fleet.config,
            "StartTime": time(self.started),
            "ProductionVariants": [variant],
        })
    }
}

fn next_id(cloud: &mut Cloud) -> u64 {
    cloud.sagemaker.endpoints.serial += 1;
    cloud.sagemaker.endpoints.serial
}

/// The endpoint with its deployment, where it has one.
fn under_way<'a>(cloud: &'a mut Cloud, name: &str) -> Option<&'a mut Endpoint> {
    cloud
        .sagemaker
        .endpoints
        .endpoints
        .get_mut(name)
        .filter(|endpoint| endpoint.update.is_some())
}

/// `UpdateEndpoint`.
pub(super) fn update(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "EndpointName").to_owned();
    let endpoint = find(cloud, &name)?;
    match endpoint.status {
        Status::InService | Status::UpdateRollbackFailed => {}
        Status::Failed => {
            return Err(ApiError::validation(format!(
                "Cannot update endpoint \"{}\" with status Failed: it can only be deleted.",
                endpoint.arn
            )));
        }
        _ => return Err(busy(endpoint)),
    }
    let (arn, count) = (endpoint.arn.clone(), endpoint.fleet.wanted);
    let flag = |member: &str| input.get(member).and_then(Value::as_bool).unwrap_or_default();
    let kept = endpoint
        .last_deployment
        .clone()
        .filter(|_| flag("RetainDeploymentConfig"));
    let deployment = input.get("DeploymentConfig").cloned().or(kept);
    let mut fleet = endpoints::fleet(cloud, text(input, "EndpointConfigName"))?;
    let excluded = list_of(input, "ExcludeRetainedVariantProperties")
        .any(|property| text(property, "VariantPropertyType") == "DesiredInstanceCount");
    if flag("RetainAllVariantProperties") && !excluded {
        fleet.wanted = count;
    }
    let plan = Plan::new(deployment.as_ref(), fleet.wanted)?;
    let alarms = deployment
        .as_ref()
        .and_then(|deployment| deployment.get("AutoRollbackConfiguration"));
    let alarms = list_of(alarms.unwrap_or(&Value::Null), "Alarms").map(|alarm| text(alarm, "AlarmName").to_owned());
    let alarms: Vec<String> = alarms.collect();
    let mut ringing = Vec::new();
    for alarm in &alarms {
        match cloudwatch::alarm_state(cloud, alarm).as_deref() {
            None => {
                return Err(ApiError::validation(format!(
                    "Could not find alarm \"{alarm}\" of AutoRollbackConfiguration."
                )));
            }
            Some("ALARM") => ringing.push(alarm.clone()),
            Some(_) => {}
        }
    }
    let (id, now) = (next_id(cloud), cloud.now);
    let timeout = plan.timeout_seconds;
    let new = Update {
        id,
        fleet,
        plan,
        alarms,
        started: now,
        steps_taken: 0,
        on: 0,
        phase: Phase::Creating,
        phase_id: 0,
        phase_started: now,
        message: String::new(),
    };
    if let Some(endpoint) = cloud.sagemaker.endpoints.endpoints.get_mut(&name) {
        endpoint.failure = None;
        endpoint.last_deployment = deployment;
        endpoint.owed = [0, 0];
        endpoint.update = Some(new);
    }
    change(cloud, &name, Status::Updating);
    if let Some(timeout) = timeout {
        let wait = SignedDuration::from_secs(i64::try_from(timeout).unwrap_or(i64::MAX));
        let timer = Timer::DeploymentExpires {
            endpoint: name.clone(),
            deployment: id,
        };
        cloud.after(wait, cloud::Timer::SageMaker(timer));
    }
    if ringing.is_empty() {
        add_instances(cloud, &name);
    } else {
        roll_back(cloud, &name, &alarm_reason(&ringing));
    }
    Ok(json!({"EndpointArn": arn}))
}

fn alarm_reason(alarms: &[String]) -> String {
    format!(
        "the following auto-rollback alarm(s) {} are in ALARM.",
        alarms.join(", ")
    )
}

/// Enters a phase: says so, and, where it has an end, sets the timer.
fn enter(cloud: &mut Cloud, name: &str, phase: Phase, message: String, ends_after: Option<SignedDuration>) {
    let (id, now) = (next_id(cloud), cloud.now);
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    let config = endpoint.config.clone();
    let Some(update) = &mut endpoint.update else {
        return;
    };
    update.phase = phase;
    update.phase_id = id;
    update.phase_started = now;
    update.message = message;
    let note = json!({"phase": phase.name(), "message": update.message, "config": update.fleet.config, "from": config,
        "share": update.share()});
    cloud.note("sagemaker", name, "deployment-phase", note);
    tell(cloud, name, "SageMaker Endpoint Deployment State Change");
    if let Some(wait) = ends_after {
        let timer = Timer::PhaseEnds {
            endpoint: name.to_owned(),
            phase: id,
        };
        cloud.after(wait, cloud::Timer::SageMaker(timer));
    }
}

/// Starts the new instances that the next step needs: all of them, or, rolling, a batch.
fn add_instances(cloud: &mut Cloud, name: &str) {
    let Some(update) = under_way(cloud, name).and_then(|endpoint| endpoint.update.as_mut()) else {
        return;
    };
    let (wanted, taken) = (update.fleet.wanted, update.steps_taken);
    let until = match update.plan.kind {
        Kind::Rolling => update.plan.steps.get(taken).copied().unwrap_or(wanted),
        _ => wanted,
    };
    let count = until.saturating_sub(update.fleet.instances.len());
    let mut fleet = update.fleet.clone();
    let started = start_instances(cloud, name, &mut fleet, count);
    if let Some(update) = under_way(cloud, name).and_then(|endpoint| endpoint.update.as_mut()) {
        update.fleet = fleet;
    }
    match started {
        Ok(()) => enter(
            cloud,
            name,
            Phase::Creating,
            format!("Creating {count} new instance(s)."),
            None,
        ),
        Err(reason) => roll_back(cloud, name, &reason),
    }
}

/// An instance of the new fleet, or of an old one that is restored, came up or did not.
pub(super) fn started(cloud: &mut Cloud, name: &str, id: EffectId, result: Result<(), String>) {
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    let Some(update) = &mut endpoint.update else {
        return;
    };
    let restoring = update.phase == Phase::Restoring;
    let fleet = if restoring {
        &mut endpoint.fleet
    } else {
        &mut update.fleet
    };
    if !fleet.instances.contains(&id) || fleet.up.contains(&id) || !(restoring || update.phase == Phase::Creating) {
        return;
    }
    match (result, restoring) {
        (Err(reason), true) => give_up(cloud, name, &reason),
        (Err(reason), false) => {
            let reason = endpoints::no_ping(&fleet.variant, &reason);
            roll_back(cloud, name, &reason);
        }
        (Ok(()), _) => {
            fleet.up.insert(id);
            match (fleet.is_up(), restoring) {
                (false, _) => {}
                (true, true) => take_down(cloud, name),
                (true, false) => shift(cloud, name),
            }
        }
    }
}

/// Takes the plan's next step.
fn shift(cloud: &mut Cloud, name: &str) {
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    endpoint.owed = [0, 0];
    let Some(update) = &mut endpoint.update else {
        return;
    };
    let wanted = update.fleet.wanted;
    update.on = update.plan.steps.get(update.steps_taken).copied().unwrap_or(wanted);
    update.steps_taken += 1;
    let (on, share, config, kind) = (update.on, update.share(), update.fleet.config.clone(), update.plan.kind);
    let last = update.steps_taken >= update.plan.steps.len();
    let wait_seconds = if last {
        update.plan.last_wait_seconds
    } else {
        update.plan.wait_seconds
    };
    // Rolling, the old fleet goes as the new one comes.
    let keep = match kind {
        Kind::Rolling => (endpoint.fleet.wanted * (wanted - on)).div_ceil(wanted.max(1)),
        _ => usize::MAX,
    };
    let surplus = endpoint
        .fleet
        .instances
        .split_off(keep.min(endpoint.fleet.instances.len()));
    endpoint.fleet.up.retain(|id| !surplus.contains(id));
    note_share(cloud, name, &config, share);
    enter(
        cloud,
        name,
        Phase::ActivatingTraffic,
        format!("Activating traffic on {on} instance(s)."),
        None,
    );
    stop_instances(cloud, surplus);
    if last && wait_seconds == 0 {
        return delete_old(cloud, name);
    }
    let member = if last && kind != Kind::Rolling {
        "TerminationWaitInSeconds"
    } else {
        "WaitIntervalInSeconds"
    };
    let place = match (last, kind) {
        (false, Kind::Canary) => format!("canary capacity of {on} instance(s)"),
        (false, _) => format!("{on} of {wanted} instance(s)"),
        (true, _) => format!("full capacity of {on} instance(s)"),
    };
    let message = format!("Baking for {wait_seconds} seconds ({member}) with traffic enabled on {place}.");
    let wait = SignedDuration::from_secs(i64::try_from(wait_seconds).unwrap_or(i64::MAX));
    enter(cloud, name, Phase::Baking, message, Some(wait));
}

/// The new fleet has all the traffic and has baked: the old one goes.
fn delete_old(cloud: &mut Cloud, name: &str) {
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    endpoint.fleet.up.clear();
    let old = std::mem::take(&mut endpoint.fleet.instances);
    let message = format!("Deleting {} instance(s) of the previous configuration.", old.len());
    stop_instances(cloud, old);
    enter(cloud, name, Phase::Deleting, message, Some(TAKE_DOWN));
}

/// The time of a phase is over.
pub(super) fn phase_ends(cloud: &mut Cloud, name: &str, phase_id: u64) {
    let Some(update) = under_way(cloud, name).and_then(|endpoint| endpoint.update.as_ref()) else {
        return;
    };
    if update.phase_id != phase_id {
        return;
    }
    let more = update.steps_taken < update.plan.steps.len();
    match (update.phase, update.plan.kind) {
        (Phase::Baking, Kind::Rolling) if more => add_instances(cloud, name),
        (Phase::Baking, _) if more => shift(cloud, name),
        (Phase::Baking, _) => delete_old(cloud, name),
        (Phase::Deleting, _) => succeed(cloud, name),
        (Phase::TakingDown, _) => {
            if let Some(endpoint) = under_way(cloud, name) {
                endpoint.update = None;
                // Another one only where a rollback before this one had failed.
                endpoint.config.clone_from(&endpoint.fleet.config);
            }
            change(cloud, name, Status::InService);
        }
        (Phase::Creating | Phase::ActivatingTraffic | Phase::Restoring, _) => {}
    }
}

fn succeed(cloud: &mut Cloud, name: &str) {
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    if let Some(update) = endpoint.update.take() {
        endpoint.config.clone_from(&update.fleet.config);
        endpoint.fleet = update.fleet;
        endpoint.owed = [0, 0];
    }
    change(cloud, name, Status::InService);
}

/// A deployment's time is up.
pub(super) fn expires(cloud: &mut Cloud, name: &str, deployment: u64) {
    let Some(update) = under_way(cloud, name).and_then(|endpoint| endpoint.update.as_ref()) else {
        return;
    };
    if update.id == deployment && update.phase.is_forward() {
        let seconds = update.plan.timeout_seconds.unwrap_or_default();
        let reason = format!("the deployment took longer than MaximumExecutionTimeoutInSeconds ({seconds}).");
        roll_back(cloud, name, &reason);
    }
}

/// An alarm went to ALARM: deployments that it watches are rolled back.
pub(crate) fn on_alarm(cloud: &mut Cloud, alarm_name: &str) {
    let watches = |endpoint: &&Endpoint| {
        endpoint
            .update
            .as_ref()
            .is_some_and(|update| update.phase.is_forward() && update.alarms.iter().any(|alarm| alarm == alarm_name))
    };
    let endpoints = cloud.sagemaker.endpoints.endpoints.values().filter(watches);
    let names: Vec<String> = endpoints.map(|endpoint| endpoint.name.clone()).collect();
    for name in names {
        roll_back(cloud, &name, &alarm_reason(&[alarm_name.to_owned()]));
    }
}

/// Goes back to the old configuration.
fn roll_back(cloud: &mut Cloud, name: &str, reason: &str) {
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    endpoint.failure = Some(cut(&format!("Failed to update endpoint: {reason}"), 1024));
    let mut fleet = endpoint.fleet.clone();
    let gone = fleet.wanted.saturating_sub(fleet.instances.len());
    let serves = !fleet.up.is_empty();
    let mut new = Vec::new();
    if let Some(update) = endpoint.update.as_mut().filter(|_| serves) {
        update.on = 0;
        update.fleet.up.clear();
        new = std::mem::take(&mut update.fleet.instances);
        endpoint.owed = [0, 0];
    }
    let config = endpoint
        .update
        .as_ref()
        .map(|update| update.fleet.config.clone())
        .unwrap_or_default();
    change(cloud, name, Status::RollingBack);
    if serves {
        note_share(cloud, name, &config, 0.0);
        stop_instances(cloud, new);
    }
    if gone == 0 {
        return take_down(cloud, name);
    }
    let started = start_instances(cloud, name, &mut fleet, gone);
    if let Some(endpoint) = under_way(cloud, name) {
        endpoint.fleet = fleet;
    }
    match started {
        Ok(()) => {
            let message = format!("Restoring {gone} instance(s) of the previous configuration.");
            enter(cloud, name, Phase::Restoring, message, None);
        }
        Err(reason) => give_up(cloud, name, &reason),
    }
}

/// The old fleet is whole: it takes the traffic where it had none, and the new instances go.
fn take_down(cloud: &mut Cloud, name: &str) {
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    endpoint.owed = [0, 0];
    let Some(update) = &mut endpoint.update else {
        return;
    };
    let served = std::mem::take(&mut update.on) > 0;
    update.fleet.up.clear();
    let (new, config) = (std::mem::take(&mut update.fleet.instances), update.fleet.config.clone());
    if served {
        note_share(cloud, name, &config, 0.0);
    }
    stop_instances(cloud, new);
    let message = "Deleting the instance(s) of the configuration that was rolled back.".to_owned();
    enter(cloud, name, Phase::TakingDown, message, Some(TAKE_DOWN));
}

/// The old fleet can't be restored: what serves goes on serving, until another update.
fn give_up(cloud: &mut Cloud, name: &str, reason: &str) {
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    let failure = endpoint.failure.take().unwrap_or_default();
    endpoint.failure = Some(cut(&format!("{failure} The rollback failed: {reason}"), 1024));
    let down: Vec<EffectId> = endpoint
        .fleet
        .instances
        .iter()
        .filter(|id| !endpoint.fleet.up.contains(id))
        .copied()
        .collect();
    endpoint.fleet.instances.retain(|id| !down.contains(id));
    if let Some(update) = endpoint.update.take().filter(|update| update.on > 0) {
        // Those of the old fleet that did come up are no use while the new one has the traffic.
        let mut surplus = std::mem::replace(&mut endpoint.fleet, update.fleet).instances;
        surplus.extend(down);
        stop_instances(cloud, surplus);
    } else {
        stop_instances(cloud, down);
    }
    change(cloud, name, Status::UpdateRollbackFailed);
}

#[cfg(test)]
mod tests;
