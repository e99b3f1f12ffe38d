//! The calls.

use serde_json::{Value, json};

use super::super::codecommit::seconds;
use super::super::{ApiError, Caller, Cloud};
use super::{Deployment, Phase, rollback, run};

/// The ids that ListDeployments shows at once.
const PAGE: usize = 100;

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, _caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |member: &str| input.get(member).and_then(Value::as_str).unwrap_or_default();
    match operation {
        "GetDeployment" => {
            let deployment = deployment(cloud, text("deploymentId"))?;
            Ok(json!({"deploymentInfo": show(deployment)}))
        }
        "GetApplicationRevision" => revision(cloud, input),
        "ListDeployments" => list(cloud, input),
        "PutLifecycleEventHookExecutionStatus" => {
            let (id, execution) = (text("deploymentId"), text("lifecycleEventHookExecutionId"));
            let has_succeeded = match text("status") {
                "Succeeded" => true,
                "Failed" => false,
                other => {
                    return Err(ApiError::new(
                        "InvalidLifecycleEventHookExecutionStatusException",
                        format!("The status must be Succeeded or Failed, and is `{other}`."),
                    ));
                }
            };
            run::answer_hook(cloud, id, execution, has_succeeded)?;
            Ok(json!({"lifecycleEventHookExecutionId": execution}))
        }
        "StopDeployment" => stop(cloud, text("deploymentId"), input.get("autoRollbackEnabled")),
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("{operation} is not answered here"),
        )),
    }
}

pub(super) fn no_deployment(id: &str) -> ApiError {
    ApiError::new(
        "DeploymentDoesNotExistException",
        format!("The deployment {id} could not be found"),
    )
}

fn no_application(name: &str) -> ApiError {
    ApiError::new(
        "ApplicationDoesNotExistException",
        format!("No application found for name: {name}"),
    )
}

fn deployment<'cloud>(cloud: &'cloud Cloud, id: &str) -> Result<&'cloud Deployment, ApiError> {
    cloud.codedeploy.deployments.get(id).ok_or_else(|| no_deployment(id))
}

/// The ARN of the group that a deployment is of.
pub(crate) fn group_arn_of(cloud: &Cloud, deployment: &str) -> Option<String> {
    let policy = &cloud.codedeploy.deployments.get(deployment)?.policy;
    Some(cloud.arn(
        "codedeploy",
        &format!("deploymentgroup:{}/{}", policy.application, policy.group),
    ))
}

fn show(deployment: &Deployment) -> Value {
    let mut shown = json!({
        "applicationName": deployment.policy.application,
        "deploymentGroupName": deployment.policy.group,
        "deploymentConfigName": deployment.config,
        "deploymentId": deployment.id,
        "revision": {"revisionType": "String", "string": {"sha256": deployment.sha256}},
        "status": deployment.status,
        "createTime": seconds(deployment.created),
        "startTime": seconds(deployment.created),
        "creator": deployment.creator,
        "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        "computePlatform": "Lambda",
        "autoRollbackConfiguration": {
            "enabled": !deployment.rollback_events.is_empty(),
            "events": deployment.rollback_events,
        },
    });
    let rollback = match (&deployment.rolled_back_by, &deployment.rolls_back) {
        (Some(by), _) => Some(json!({
            "rollbackDeploymentId": by,
            "rollbackMessage": format!(
                "Deployment {} terminated. Automatic rollback is triggered with a DeploymentId {by}.",
                deployment.id
            ),
        })),
        (None, Some(of)) => Some(json!({
            "rollbackTriggeringDeploymentId": of,
            "rollbackMessage": format!("Deployment {} is triggered to roll back deployment {of}.", deployment.id),
        })),
        (None, None) => None,
    };
    let error = deployment.error.as_ref();
    let optional = [
        ("rollbackInfo", rollback),
        ("completeTime", deployment.completed.map(|time| json!(seconds(time)))),
        (
            "errorInformation",
            error.map(|(code, message)| json!({"code": code, "message": message})),
        ),
    ];
    if let Value::Object(members) = &mut shown {
        members.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?))),
        );
    }
    shown
}

fn revision(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let application = input.get("applicationName").and_then(Value::as_str).unwrap_or_default();
    if !cloud.codedeploy.applications.contains(application) {
        return Err(no_application(application));
    }
    let asked = input.pointer("/revision/string/sha256").and_then(Value::as_str);
    let of_application = |deployment: &&&Deployment| {
        deployment.policy.application == application && Some(deployment.sha256.as_str()) == asked
    };
    let order = cloud.codedeploy.order.iter();
    let used: Vec<&Deployment> = order.filter_map(|id| cloud.codedeploy.deployments.get(id)).collect();
    let used: Vec<&&Deployment> = used.iter().filter(of_application).collect();
    let (Some(first), Some(last)) = (used.first(), used.last()) else {
        return Err(ApiError::new(
            "RevisionDoesNotExistException",
            format!("The application {application} has no such revision."),
        ));
    };
    Ok(json!({
        "applicationName": application,
        "revision": {"revisionType": "String", "string": {"content": first.content, "sha256": first.sha256}},
        "revisionInfo": {
            "deploymentGroups": [first.policy.group],
            "firstUsedTime": seconds(first.created),
            "lastUsedTime": seconds(last.created),
            "registerTime": seconds(first.created),
        },
    }))
}

fn list(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let state = &cloud.codedeploy;
    if let Some(application) = text("applicationName")
        && !state.applications.contains(application)
    {
        return Err(no_application(application));
    }
    match (text("applicationName"), text("deploymentGroupName")) {
        (None, Some(_)) => {
            return Err(ApiError::new(
                "ApplicationNameRequiredException",
                "A deployment group needs the name of its application.",
            ));
        }
        (Some(application), Some(group)) if !state.groups.contains_key(&(application.to_owned(), group.to_owned())) => {
            return Err(ApiError::new(
                "DeploymentGroupDoesNotExistException",
                format!("No Deployment Group found for name: {group}"),
            ));
        }
        _ => {}
    }
    let bound = |name: &str| {
        input
            .pointer(&format!("/createTimeRange/{name}"))
            .and_then(Value::as_f64)
    };
    let statuses = input.get("includeOnlyStatuses").and_then(Value::as_array);
    let fits = |deployment: &&Deployment| {
        text("applicationName").is_none_or(|name| name == deployment.policy.application)
            && text("deploymentGroupName").is_none_or(|name| name == deployment.policy.group)
            && statuses
                .is_none_or(|statuses| statuses.is_empty() || statuses.iter().any(|status| status == deployment.status))
            && bound("start").is_none_or(|start| seconds(deployment.created) >= start)
            && bound("end").is_none_or(|end| seconds(deployment.created) <= end)
    };
    // The newest come first.
    let all = state.order.iter().rev().filter_map(|id| state.deployments.get(id));
    let ids: Vec<&str> = all.filter(fits).map(|deployment| deployment.id.as_str()).collect();
    let from: usize = match text("nextToken") {
        None => 0,
        Some(token) => token.parse().map_err(|_| {
            ApiError::new(
                "InvalidNextTokenException",
                "The nextToken is not one that was given out.",
            )
        })?,
    };
    let page: Vec<&str> = ids.iter().skip(from).take(PAGE).copied().collect();
    let end = from.saturating_add(page.len());
    let mut answer = json!({"deployments": page});
    if let (true, Value::Object(members)) = (end < ids.len(), &mut answer) {
        members.insert("nextToken".to_owned(), json!(end.to_string()));
    }
    Ok(answer)
}

/// Stops a deployment, whose alias then goes back: it is over at once.
fn stop(cloud: &mut Cloud, id: &str, rolls_back: Option<&Value>) -> Result<Value, ApiError> {
    if deployment(cloud, id)?.phase == Phase::Over {
        return Err(ApiError::new(
            "DeploymentAlreadyCompletedException",
            format!("The deployment {id} is already completed"),
        ));
    }
    let event = "DEPLOYMENT_STOP_ON_REQUEST";
    if let (Some(deployment), Some(rolls_back)) = (cloud.codedeploy.deployments.get_mut(id), rolls_back) {
        deployment.rollback_events.retain(|known| known != event);
        if *rolls_back == Value::Bool(true) {
            deployment.rollback_events.push(event.to_owned());
        }
    }
    let message = "The deployment has been stopped by a user.".to_owned();
    rollback::fail(cloud, id, ("MANUAL_STOP", message), "Stopped", event);
    Ok(
        json!({"status": "Succeeded", "statusMessage": "No more commands will be scheduled for execution in the deployment"}),
    )
}
