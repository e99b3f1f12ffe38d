//! What EventBridge and the timeline are told.

use serde_json::{Value, json};

use super::super::{Cloud, events};

/// `CodeDeploy Deployment State-change Notification`.
pub(super) fn tell(cloud: &mut Cloud, id: &str, state: &str) {
    let instance_group = cloud.uuid();
    let Some(deployment) = cloud.codedeploy.deployments.get(id) else {
        return;
    };
    let (application, group) = (&deployment.policy.application, &deployment.policy.group);
    let resources = vec![
        cloud.arn("codedeploy", &format!("deploymentgroup:{application}/{group}")),
        cloud.arn("codedeploy", &format!("application:{application}")),
    ];
    let detail = json!({
        "region": cloud.target().region,
        "deploymentId": id,
        "instanceGroupId": instance_group,
        "deploymentGroup": group,
        "state": state,
        "application": application,
    });
    events::put(
        cloud,
        "aws.codedeploy",
        "CodeDeploy Deployment State-change Notification",
        resources,
        detail,
    );
}

/// Notes something of a deployment for the timeline, under the function's name, with the deployment and the versions.
pub(super) fn note(cloud: &mut Cloud, id: &str, what: &'static str, mut data: Value) {
    let Some(deployment) = cloud.codedeploy.deployments.get(id) else {
        return;
    };
    let function = deployment.function.clone();
    if let Value::Object(data) = &mut data {
        let own = [("id", id), ("from", &deployment.current), ("to", &deployment.target)];
        data.extend(own.map(|(name, value)| (name.to_owned(), json!(value))));
    }
    cloud.note("codedeploy", &function, what, data);
}
