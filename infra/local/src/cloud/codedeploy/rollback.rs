//! A deployment that fails or is stopped, and the deployment that takes its alias back.

use serde_json::json;

use super::super::{Cloud, cloudwatch, lambda};
use super::run::{app_spec, new_id};
use super::tell::{self, note};
use super::{Deployment, Phase, Policy};

/// Ends a deployment without success, for that reason: a code and a message. `event` is what the group may roll back on.
pub(super) fn fail(cloud: &mut Cloud, id: &str, error: (&'static str, String), status: &'static str, event: &str) {
    let now = cloud.now();
    let Some(deployment) = cloud.codedeploy.deployments.get_mut(id) else {
        return;
    };
    let data = json!({"code": error.0, "message": error.1});
    deployment.phase = Phase::Over;
    deployment.status = status;
    deployment.completed = Some(now);
    deployment.error = Some(error);
    let rolls_back = deployment.rollback_events.iter().any(|known| known == event);
    let (what, state) = if status == "Stopped" {
        ("deployment-stopped", "STOP")
    } else {
        ("deployment-failed", "FAILURE")
    };
    tell::tell(cloud, id, state);
    note(cloud, id, what, data);
    take_back(cloud, id, rolls_back);
}

/// Points the alias to the old version again: CodeDeploy does by a deployment of its own, or else CloudFormation, whose update has
/// failed.
fn take_back(cloud: &mut Cloud, id: &str, by_deployment: bool) {
    let Some(deployment) = cloud.codedeploy.deployments.get(id) else {
        return;
    };
    let (function, current) = (deployment.function.clone(), deployment.current.clone());
    let policy = Policy {
        // A rollback runs no hooks.
        before: None,
        after: None,
        ..deployment.policy.clone()
    };
    let target = deployment.target.clone();
    lambda::move_alias(cloud, &function, &policy.alias, &current, None);
    cloudwatch::follow_version(cloud, &function, &target, &current);
    if !by_deployment {
        return;
    }
    let new = new_id(cloud);
    let now = cloud.now();
    let Some(deployment) = cloud.codedeploy.deployments.get_mut(id) else {
        return;
    };
    deployment.rolled_back_by = Some(new.clone());
    let (content, sha256) = app_spec(&function, &policy, &target, &current);
    let rollback = Deployment {
        id: new.clone(),
        policy,
        config: deployment.config.clone(),
        shift: deployment.shift,
        role_arn: deployment.role_arn.clone(),
        alarms: Vec::new(),
        rollback_events: deployment.rollback_events.clone(),
        function,
        current: target,
        target: current,
        content,
        sha256,
        creator: "codeDeployRollback",
        status: "Succeeded",
        created: now,
        completed: Some(now),
        error: None,
        phase: Phase::Over,
        executions: Vec::new(),
        rolled_back_by: None,
        rolls_back: Some(id.to_owned()),
    };
    cloud.codedeploy.deployments.insert(new.clone(), rollback);
    cloud.codedeploy.order.push(new.clone());
    tell::tell(cloud, &new, "START");
    tell::tell(cloud, &new, "SUCCESS");
    note(cloud, &new, "rolled-back", json!({"deployment": id}));
}
