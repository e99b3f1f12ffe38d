//! How an endpoint moves from one configuration to the next: blue/green or rolling, watched by alarms, and back where one goes off.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::{applicationautoscaling, cloudwatch};
use super::deployment::{self, Kind, Plan};
use super::endpoints::{
    self, Endpoint, Fleet, Status, busy, change, find, is_mixed, next_id, note_share, start_instances, stop_instances,
    tell, variant_summary,
};
use super::{Timer, cut, list_of, set, text};
use crate::cloud::effect::EffectId;
use crate::cloud::{self, ApiError, Cloud};

/// How long SageMaker takes to take down a fleet.
pub(super) const TAKE_DOWN: SignedDuration = SignedDuration::from_secs(10);

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
    let arn = endpoint.arn.clone();
    let flag = |member: &str| input.get(member).and_then(Value::as_bool).unwrap_or_default();
    let kept = endpoint
        .last_deployment
        .clone()
        .filter(|_| flag("RetainDeploymentConfig"));
    let deployment = input.get("DeploymentConfig").cloned().or(kept);
    let mut fleet = endpoints::fleet(cloud, text(input, "EndpointConfigName"))?;
    if deployment.is_some() && fleet.variant != endpoint.fleet.variant {
        return Err(ApiError::validation(format!(
            "With a DeploymentConfig, the new endpoint configuration must have the production variants of the endpoint's current one \
             ({}), but it has {}.",
            endpoint.fleet.variant, fleet.variant
        )));
    }
    let same = fleet.variant == endpoint.fleet.variant && fleet.instance_type == endpoint.fleet.instance_type;
    if !same && applicationautoscaling::is_target(cloud, &name, &endpoint.fleet.variant) {
        return Err(ApiError::validation(format!(
            "The instance type of variant \"{}\" of endpoint \"{arn}\" can't change, nor the variant go: it is registered \
             as a scalable target. Deregister it with Application Auto Scaling first.",
            endpoint.fleet.variant
        )));
    }
    if flag("RetainAllVariantProperties") {
        retain(&endpoint.fleet, &mut fleet, input);
    }
    let mut plan = Plan::new(deployment.as_ref(), endpoint.fleet.wanted, fleet.wanted)?;
    // Inferentia knows no guardrails: whatever is asked for, traffic shifts at once, and nothing bakes.
    if [&endpoint.fleet, &fleet].iter().any(|fleet| fleet.is_inf1()) {
        plan = Plan::new(None, endpoint.fleet.wanted, fleet.wanted)?;
    }
    let alarms = deployment::alarms(deployment.as_ref())?;
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

/// Keeps the properties of a variant of the same name, but for those that the input excludes.
fn retain(old: &Fleet, new: &mut Fleet, input: &Value) {
    if old.variant != new.variant {
        return;
    }
    let is_kept = |property: &str| {
        list_of(input, "ExcludeRetainedVariantProperties")
            .all(|excluded| text(excluded, "VariantPropertyType") != property)
    };
    if is_kept("DesiredInstanceCount") {
        new.wanted = old.wanted;
    }
    if is_kept("DesiredWeight") {
        new.weight = old.weight;
    }
    if is_kept("DataCaptureConfig") {
        new.data_capture.clone_from(&old.data_capture);
    }
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
                (true, true) => shift_back(cloud, name),
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
            }
            // The mix that a rollback before this one left is still a mix.
            let mixed = cloud.sagemaker.endpoints.endpoints.get(name);
            let mixed = mixed.is_some_and(|endpoint| is_mixed(cloud, endpoint));
            let status = if mixed {
                Status::UpdateRollbackFailed
            } else {
                Status::InService
            };
            change(cloud, name, status);
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

/// Goes back to the old configuration. Blue/green, the old fleet is whole, and takes all traffic at once; rolling, the new instances
/// that serve go on serving until the old ones that are gone are back.
fn roll_back(cloud: &mut Cloud, name: &str, reason: &str) {
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    endpoint.failure = Some(cut(&format!("Failed to update endpoint: {reason}"), 1024));
    let gone = endpoint.fleet.wanted.saturating_sub(endpoint.fleet.instances.len());
    let Some(update) = &mut endpoint.update else {
        return;
    };
    if gone > 0 {
        // What does not serve yet is of no use.
        let on = update.on;
        let idle = keep_first(&mut update.fleet, on);
        change(cloud, name, Status::RollingBack);
        stop_instances(cloud, idle);
        return restore(cloud, name);
    }
    update.on = 0;
    update.fleet.up.clear();
    let (new, config) = (std::mem::take(&mut update.fleet.instances), update.fleet.config.clone());
    endpoint.owed = [0, 0];
    change(cloud, name, Status::RollingBack);
    note_share(cloud, name, &config, 0.0);
    stop_instances(cloud, new);
    take_down(cloud, name);
}

/// Takes all instances out of a fleet but the first so many of those that are up; returns those taken out.
fn keep_first(fleet: &mut Fleet, count: usize) -> Vec<EffectId> {
    let kept: Vec<EffectId> = fleet
        .instances
        .iter()
        .filter(|id| fleet.up.contains(id))
        .take(count)
        .copied()
        .collect();
    let (kept, gone) = std::mem::take(&mut fleet.instances)
        .into_iter()
        .partition(|id| kept.contains(id));
    fleet.instances = kept;
    fleet.up.retain(|id| fleet.instances.contains(id));
    gone
}

/// Starts the next batch of the old instances that are gone.
fn restore(cloud: &mut Cloud, name: &str) {
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    let mut fleet = endpoint.fleet.clone();
    let gone = fleet.wanted.saturating_sub(fleet.instances.len());
    let batch = endpoint.update.as_ref().and_then(|update| update.plan.rollback_batch);
    let count = batch.map_or(gone, |size| size.of(fleet.wanted).min(gone));
    let started = start_instances(cloud, name, &mut fleet, count);
    if let Some(endpoint) = under_way(cloud, name) {
        endpoint.fleet = fleet;
    }
    match started {
        Ok(()) => {
            let message = format!("Restoring {count} instance(s) of the previous configuration.");
            enter(cloud, name, Phase::Restoring, message, None);
        }
        Err(reason) => give_up(cloud, name, &reason),
    }
}

/// A batch of the old instances is back: it takes its share of the traffic, and the new instances whose share that was go.
fn shift_back(cloud: &mut Cloud, name: &str) {
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    let (back, all) = (endpoint.fleet.instances.len(), endpoint.fleet.wanted);
    if back >= all {
        return take_down(cloud, name);
    }
    endpoint.owed = [0, 0];
    let Some(update) = &mut endpoint.update else {
        return;
    };
    let on = (update.fleet.wanted * (all - back)).div_ceil(all.max(1));
    update.on = on.min(update.on);
    let on = update.on;
    let surplus = keep_first(&mut update.fleet, on);
    let (share, config) = (update.share(), update.fleet.config.clone());
    note_share(cloud, name, &config, share);
    stop_instances(cloud, surplus);
    restore(cloud, name);
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

/// The old fleet can't be restored: the mix of old and new instances that serves goes on serving, until another update.
fn give_up(cloud: &mut Cloud, name: &str, reason: &str) {
    let Some(endpoint) = under_way(cloud, name) else {
        return;
    };
    let failure = endpoint.failure.take().unwrap_or_default();
    endpoint.failure = Some(cut(&format!("{failure} The rollback failed: {reason}"), 1024));
    let down = keep_first(&mut endpoint.fleet, usize::MAX);
    if let Some(update) = endpoint.update.take() {
        endpoint.fleet.instances.extend(&update.fleet.instances);
        endpoint.fleet.up.extend(&update.fleet.up);
    }
    endpoint.owed = [0, 0];
    stop_instances(cloud, down);
    change(cloud, name, Status::UpdateRollbackFailed);
}

#[cfg(test)]
mod tests;
