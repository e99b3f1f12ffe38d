//! How many instances an endpoint has: `UpdateEndpointWeightsAndCapacities`, which autoscaling calls too; and SageMaker's own
//! maintenance, during which nobody changes it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::endpoints::{Endpoint, Status, busy, change, find, next_id, no_ping, start_instances, stop_instances, tell};
use super::rollout::TAKE_DOWN;
use super::{Timer, cut, list_of, refuse, text};
use crate::cloud::effect::EffectId;
use crate::cloud::{self, ApiError, Cloud};

/// A change of an endpoint's capacity under way.
#[derive(Debug)]
pub(super) struct Scaling {
    /// The change: timers of others are void.
    id: u64,
    /// How many instances the fleet was to have, and its weight, should the change fail.
    before: (usize, f64),
    started: Timestamp,
    message: String,
}

impl Scaling {
    /// `VariantStatus`, with times written as the place has them.
    pub(super) fn status<T: serde::Serialize>(&self, time: impl Fn(Timestamp) -> T) -> Value {
        json!([{"Status": "Updating", "StatusMessage": self.message, "StartTime": time(self.started)}])
    }
}

/// `UpdateEndpointWeightsAndCapacities`.
pub(super) fn update(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "EndpointName").to_owned();
    let endpoint = find(cloud, &name)?;
    let arn = endpoint.arn.clone();
    let (mut count, mut weight) = (endpoint.fleet.wanted, endpoint.fleet.weight);
    for desired in list_of(input, "DesiredWeightsAndCapacities") {
        refuse(desired, &["ServerlessUpdateConfig"])?;
        let variant = text(desired, "VariantName");
        if variant != endpoint.fleet.variant {
            return Err(ApiError::validation(format!(
                "Could not find variant \"{variant}\" of endpoint \"{arn}\"."
            )));
        }
        if let Some(wanted) = desired.get("DesiredInstanceCount").and_then(Value::as_u64) {
            if wanted == 0 {
                return Err(ApiError::validation(format!(
                    "DesiredInstanceCount of variant \"{variant}\" must be at least 1."
                )));
            }
            count = usize::try_from(wanted).unwrap_or(usize::MAX);
        }
        weight = desired.get("DesiredWeight").and_then(Value::as_f64).unwrap_or(weight);
    }
    scale(cloud, &name, count, weight)?;
    Ok(json!({"EndpointArn": arn}))
}

/// Sets how many instances an endpoint is to have, and its variant's weight. It is Updating until it has them.
pub(super) fn scale(cloud: &mut Cloud, name: &str, count: usize, weight: f64) -> Result<(), ApiError> {
    let endpoint = find(cloud, name)?;
    match endpoint.status {
        Status::InService => {}
        Status::Failed => {
            return Err(ApiError::validation(format!(
                "Cannot update endpoint \"{}\" with status Failed: it can only be deleted.",
                endpoint.arn
            )));
        }
        _ => return Err(busy(endpoint)),
    }
    let (id, now) = (next_id(cloud), cloud.now);
    let Some(endpoint) = cloud.sagemaker.endpoints.endpoints.get_mut(name) else {
        return Ok(());
    };
    let before = (endpoint.fleet.wanted, endpoint.fleet.weight);
    let message = match count.cmp(&before.0) {
        std::cmp::Ordering::Greater => format!("Scaling out desired instance count to {count}."),
        std::cmp::Ordering::Less => format!("Scaling in desired instance count to {count}."),
        std::cmp::Ordering::Equal => "Updating desired weight.".to_owned(),
    };
    let more = count.saturating_sub(endpoint.fleet.instances.len());
    endpoint.fleet.wanted = count;
    endpoint.fleet.weight = weight;
    endpoint.failure = None;
    endpoint.scaling = Some(Scaling {
        id,
        before,
        started: now,
        message,
    });
    let surplus = shrink(endpoint);
    let mut fleet = endpoint.fleet.clone();
    cloud.note("sagemaker", name, "scaling", json!({"from": before.0, "to": count}));
    change(cloud, name, Status::Updating);
    tell(cloud, name, "SageMaker Endpoint Deployment State Change");
    stop_instances(cloud, surplus);
    let started = start_instances(cloud, name, &mut fleet, more);
    if let Some(endpoint) = scaling(cloud, name) {
        endpoint.fleet = fleet;
    }
    match started {
        Err(reason) => undo(cloud, name, &reason),
        Ok(()) if more == 0 => settle_after(cloud, name, id),
        Ok(()) => {}
    }
    Ok(())
}

/// What autoscaling sees of an endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    /// How many instances it is to have.
    pub(crate) wanted: usize,
    /// How many serve.
    pub(crate) up: usize,
    pub(crate) in_service: bool,
}

/// The capacity of an endpoint's variant, where there is one of that name.
pub(crate) fn capacity(cloud: &Cloud, endpoint: &str, variant: &str) -> Option<Capacity> {
    let endpoint = cloud.sagemaker.endpoints.endpoints.get(endpoint)?;
    (endpoint.fleet.variant == variant).then(|| Capacity {
        wanted: endpoint.fleet.wanted,
        up: endpoint.fleet.up.len(),
        in_service: endpoint.status == Status::InService,
    })
}

/// Sets how many instances an endpoint is to have, for autoscaling.
pub(crate) fn set_capacity(cloud: &mut Cloud, endpoint: &str, count: usize) -> Result<(), ApiError> {
    let weight = find(cloud, endpoint)?.fleet.weight;
    scale(cloud, endpoint, count, weight)
}

/// The endpoint with its change of capacity, where it has one.
fn scaling<'a>(cloud: &'a mut Cloud, name: &str) -> Option<&'a mut Endpoint> {
    cloud
        .sagemaker
        .endpoints
        .endpoints
        .get_mut(name)
        .filter(|endpoint| endpoint.scaling.is_some())
}

/// Takes the instances out of the fleet that are more than it is to have, the newest first.
fn shrink(endpoint: &mut Endpoint) -> Vec<EffectId> {
    let fleet = &mut endpoint.fleet;
    let surplus = fleet.instances.split_off(fleet.wanted.min(fleet.instances.len()));
    fleet.up.retain(|id| !surplus.contains(id));
    surplus
}

fn settle_after(cloud: &mut Cloud, name: &str, id: u64) {
    let timer = Timer::CapacitySettles {
        endpoint: name.to_owned(),
        change: id,
    };
    cloud.after(TAKE_DOWN, cloud::Timer::SageMaker(timer));
}

/// An instance that was to be more came up, or did not.
pub(super) fn started(cloud: &mut Cloud, name: &str, id: EffectId, result: Result<(), String>) {
    let Some(endpoint) = scaling(cloud, name) else {
        return;
    };
    let fleet = &mut endpoint.fleet;
    if !fleet.instances.contains(&id) || fleet.up.contains(&id) {
        return;
    }
    match result {
        Err(reason) => {
            let reason = no_ping(&fleet.variant, &reason);
            undo(cloud, name, &reason);
        }
        Ok(()) => {
            fleet.up.insert(id);
            if fleet.is_up() {
                finish(cloud, name);
            }
        }
    }
}

/// The change failed: the fleet is to be as it was.
fn undo(cloud: &mut Cloud, name: &str, reason: &str) {
    let id = next_id(cloud);
    let Some(endpoint) = scaling(cloud, name) else {
        return;
    };
    endpoint.failure = Some(cut(&format!("Failed to update endpoint: {reason}"), 1024));
    if let Some(scaling) = &mut endpoint.scaling {
        scaling.id = id;
        (endpoint.fleet.wanted, endpoint.fleet.weight) = scaling.before;
        scaling.message = format!("Rolling back to {} instance(s).", scaling.before.0);
    }
    let surplus = shrink(endpoint);
    change(cloud, name, Status::RollingBack);
    stop_instances(cloud, surplus);
    settle_after(cloud, name, id);
}

/// What was to go is gone.
pub(super) fn settles(cloud: &mut Cloud, name: &str, id: u64) {
    let is_current = |endpoint: &mut Endpoint| endpoint.scaling.as_ref().is_some_and(|scaling| scaling.id == id);
    if scaling(cloud, name).is_some_and(is_current) {
        finish(cloud, name);
    }
}

fn finish(cloud: &mut Cloud, name: &str) {
    if let Some(endpoint) = scaling(cloud, name) {
        endpoint.scaling = None;
    }
    change(cloud, name, Status::InService);
}

/// SageMaker is done with its maintenance.
pub(super) fn maintenance_ends(cloud: &mut Cloud, name: &str, id: u64) {
    let endpoint = cloud.sagemaker.endpoints.endpoints.get_mut(name);
    let Some(endpoint) = endpoint.filter(|endpoint| endpoint.maintenance == Some(id)) else {
        return;
    };
    endpoint.maintenance = None;
    change(cloud, name, Status::InService);
}

impl Cloud {
    /// Puts an endpoint that is in service under SageMaker's own maintenance for so long: it is `SystemUpdating`, serves, and can be
    /// neither updated, re-scaled nor deleted. Then it is in service again.
    ///
    /// # Errors
    /// Where there is no such endpoint, or it is not in service.
    pub fn system_update(&mut self, endpoint: &str, lasts: SignedDuration) -> Result<(), ApiError> {
        let found = find(self, endpoint)?;
        if found.status != Status::InService {
            return Err(busy(found));
        }
        let id = next_id(self);
        if let Some(found) = self.sagemaker.endpoints.endpoints.get_mut(endpoint) {
            found.maintenance = Some(id);
        }
        change(self, endpoint, Status::SystemUpdating);
        let timer = Timer::MaintenanceEnds {
            endpoint: endpoint.to_owned(),
            maintenance: id,
        };
        self.after(lasts, cloud::Timer::SageMaker(timer));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::tests::{config, serving};
    use super::super::testing::{instances, ok, refused, told, wait};
    use super::*;

    fn describe(cloud: &mut Cloud) -> Value {
        ok(cloud, "DescribeEndpoint", &json!({"EndpointName": "churn"}))
    }

    /// Status, current and desired number of instances.
    fn counts(cloud: &mut Cloud) -> (String, u64, u64) {
        let described = describe(cloud);
        let variant = &described["ProductionVariants"][0];
        let count = |member: &str| variant[member].as_u64().unwrap();
        (
            text(&described, "EndpointStatus").to_owned(),
            count("CurrentInstanceCount"),
            count("DesiredInstanceCount"),
        )
    }

    fn desired(desired: &Value) -> Value {
        let mut desired = desired.clone();
        desired["VariantName"] = json!("AllTraffic");
        json!({"EndpointName": "churn", "DesiredWeightsAndCapacities": [desired]})
    }

    fn scale_to(cloud: &mut Cloud, count: u64) {
        let input = desired(&json!({"DesiredInstanceCount": count}));
        ok(cloud, "UpdateEndpointWeightsAndCapacities", &input);
    }

    fn come_up(cloud: &mut Cloud) -> (Vec<EffectId>, Vec<EffectId>) {
        let (started, stopped) = instances(cloud);
        for id in &started {
            cloud.finish_start(*id, Ok(()));
        }
        (started, stopped)
    }

    #[test]
    fn a_fleet_scales_out_and_in() {
        let (mut cloud, first) = serving(3);
        told(&mut cloud, "");
        scale_to(&mut cloud, 6);
        assert_eq!(counts(&mut cloud), ("Updating".to_owned(), 3, 6));
        let events = told(&mut cloud, "SageMaker Endpoint Deployment State Change");
        let now = cloud.now().as_millisecond();
        // As in the documented event.
        assert_eq!(
            events[0]["ProductionVariants"],
            json!([{"VariantName": "AllTraffic", "CurrentWeight": 1.0, "DesiredWeight": 1.0, "CurrentInstanceCount": 3,
                "DesiredInstanceCount": 6, "VariantStatus": [{"Status": "Updating",
                "StatusMessage": "Scaling out desired instance count to 6.", "StartTime": now}]}])
        );
        assert_eq!(events[0]["EndpointStatus"], "UPDATING");
        assert_eq!(events[0].get("PendingDeploymentSummary"), None);
        let refusal = refused(
            &mut cloud,
            "UpdateEndpoint",
            &json!({"EndpointName": "churn", "EndpointConfigName": "v1"}),
        );
        assert!(
            refusal.starts_with("Cannot update in-progress endpoint \""),
            "{refusal}"
        );
        let (more, _) = come_up(&mut cloud);
        assert_eq!(counts(&mut cloud), ("InService".to_owned(), 6, 6));
        let events = told(&mut cloud, "SageMaker Endpoint State Change");
        assert_eq!(events.last().unwrap()["EndpointStatus"], "IN_SERVICE");
        let routed: Vec<EffectId> = (0..6).map(|_| cloud.route("churn").unwrap().instance).collect();
        assert_eq!(routed, [first.clone(), more.clone()].concat());

        scale_to(&mut cloud, 2);
        assert_eq!(counts(&mut cloud), ("Updating".to_owned(), 2, 2));
        assert_eq!(instances(&mut cloud), (vec![], [&first[2..], &more].concat()));
        wait(&mut cloud, 10);
        assert_eq!(counts(&mut cloud), ("InService".to_owned(), 2, 2));
        assert_eq!(describe(&mut cloud)["ProductionVariants"][0].get("VariantStatus"), None);
    }

    #[test]
    fn a_weight_changes_alone() {
        let (mut cloud, _) = serving(2);
        let input = desired(&json!({"DesiredWeight": 0.5}));
        ok(&mut cloud, "UpdateEndpointWeightsAndCapacities", &input);
        assert_eq!(counts(&mut cloud), ("Updating".to_owned(), 2, 2));
        wait(&mut cloud, 10);
        let described = describe(&mut cloud);
        assert_eq!(described["EndpointStatus"], "InService");
        assert_eq!(described["ProductionVariants"][0]["DesiredWeight"], 0.5);
    }

    #[test]
    fn what_can_not_scale_is_as_it_was() {
        for config_gone in [false, true] {
            let (mut cloud, _) = serving(2);
            if config_gone {
                ok(&mut cloud, "DeleteEndpointConfig", &json!({"EndpointConfigName": "v1"}));
            }
            scale_to(&mut cloud, 4);
            let (started, _) = instances(&mut cloud);
            if config_gone {
                assert!(started.is_empty());
            } else {
                cloud.finish_start(started[0], Ok(()));
                cloud.finish_start(started[1], Err("no capacity".to_owned()));
            }
            assert_eq!(counts(&mut cloud), ("RollingBack".to_owned(), 2, 2));
            assert_eq!(instances(&mut cloud), (vec![], started));
            wait(&mut cloud, 10);
            assert_eq!(counts(&mut cloud), ("InService".to_owned(), 2, 2));
            let described = describe(&mut cloud);
            let reason = text(&described, "FailureReason");
            let expected = if config_gone {
                "endpoint configuration v1 is gone"
            } else {
                "no capacity"
            };
            assert!(
                reason.starts_with("Failed to update endpoint: ") && reason.ends_with(expected),
                "{reason}"
            );
        }
    }

    #[test]
    fn wrong_changes_are_refused() {
        let (mut cloud, _) = serving(2);
        for (input, expected) in [
            (desired(&json!({"DesiredInstanceCount": 0})), "must be at least 1"),
            (
                desired(&json!({"ServerlessUpdateConfig": {"MaxConcurrency": 1}})),
                "does not understand ServerlessUpdateConfig",
            ),
            (
                json!({"EndpointName": "churn", "DesiredWeightsAndCapacities": [{"VariantName": "Other"}]}),
                "Could not find variant \"Other\" of endpoint \"",
            ),
            (
                json!({"EndpointName": "none", "DesiredWeightsAndCapacities": [{"VariantName": "AllTraffic"}]}),
                "Could not find endpoint \"",
            ),
        ] {
            let found = refused(&mut cloud, "UpdateEndpointWeightsAndCapacities", &input);
            assert!(found.contains(expected), "{found}");
        }
        assert_eq!(counts(&mut cloud), ("InService".to_owned(), 2, 2));
    }

    #[test]
    fn under_maintenance_an_endpoint_serves_and_does_not_change() {
        let (mut cloud, started) = serving(1);
        config(&mut cloud, "v2", 1);
        told(&mut cloud, "");
        cloud.system_update("churn", SignedDuration::from_mins(20)).unwrap();
        assert_eq!(counts(&mut cloud), ("SystemUpdating".to_owned(), 1, 1));
        assert_eq!(cloud.route("churn").unwrap().instance, started[0]);
        let events = told(&mut cloud, "SageMaker Endpoint State Change");
        assert_eq!(events[0]["EndpointStatus"], "SYSTEM_UPDATING");
        let update = json!({"EndpointName": "churn", "EndpointConfigName": "v2"});
        for (operation, input) in [
            ("UpdateEndpoint", update.clone()),
            (
                "UpdateEndpointWeightsAndCapacities",
                desired(&json!({"DesiredInstanceCount": 2})),
            ),
            ("DeleteEndpoint", json!({"EndpointName": "churn"})),
        ] {
            let refusal = refused(&mut cloud, operation, &input);
            assert!(
                refusal.starts_with("Cannot update in-progress endpoint \""),
                "{operation}: {refusal}"
            );
        }
        assert!(cloud.system_update("churn", SignedDuration::from_mins(1)).is_err());
        assert!(cloud.system_update("none", SignedDuration::from_mins(1)).is_err());
        wait(&mut cloud, 20 * 60);
        assert_eq!(counts(&mut cloud), ("InService".to_owned(), 1, 1));
        ok(&mut cloud, "UpdateEndpoint", &update);
    }
}
