//! A deployment: hook, traffic, hook.

use jiff::SignedDuration;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::iam::{self, Acting, Ask};
use super::super::{ApiError, Cloud, cloudwatch, lambda};
use super::rollback::fail;
use super::tell::{self, note};
use super::{Deployment, Phase, Policy, Timer};

/// How long a hook has to answer (CodeDeploy's guide, "AppSpec hooks section for an AWS Lambda deployment").
const HOOK_LIMIT: SignedDuration = SignedDuration::from_hours(1);

/// What an update of a function's code brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The number of the version that was published; nothing for a function without a version.
    pub version: Option<String>,
    /// The deployment that moves the alias; nothing where it moved at once.
    pub deployment: Option<String>,
}

impl Cloud {
    /// What an update of the stack with new code for a function does: publishes the next version, and has CodeDeploy move the alias
    /// to it as the deployment group says, or moves it at once where there is none. A front end that runs other code for the new
    /// version knows it by [`Invoke::version`](super::super::effect::Invoke::version).
    ///
    /// # Errors
    /// `ResourceNotFoundException` where there is no such function, `ValidationError` while the last update is still under way.
    pub fn update_function(&mut self, name: &str) -> Result<Updated, ApiError> {
        let busy = |deployment: &&Deployment| deployment.function == name && deployment.phase != Phase::Over;
        if self.codedeploy.deployments.values().any(|deployment| busy(&deployment)) {
            let message = format!(
                "Stack:{} is in UPDATE_IN_PROGRESS state and can not be updated.",
                self.target.stack_name
            );
            return Err(ApiError::new("ValidationError", message));
        }
        let Some(aliases) = lambda::published_aliases(self, name) else {
            return Err(lambda::not_found(self, name));
        };
        let none = Updated {
            version: None,
            deployment: None,
        };
        if aliases.is_empty() {
            return Ok(none);
        }
        let Some(version) = lambda::publish_version(self, name) else {
            return Ok(none);
        };
        let policy = self.codedeploy.policies.get(name).cloned();
        let mut deployment = None;
        for (alias, current) in aliases {
            // The alarms come before the alias that they guard.
            cloudwatch::follow_version(self, name, &current, &version);
            match policy.as_ref().filter(|policy| policy.alias == alias) {
                Some(policy) => deployment = start(self, name, policy, &current, &version),
                None => lambda::move_alias(self, name, &alias, &version, None),
            }
        }
        Ok(Updated {
            version: Some(version),
            deployment,
        })
    }
}

/// The AppSpec that CloudFormation hands to CodeDeploy, and its SHA-256.
pub(super) fn app_spec(function: &str, policy: &Policy, current: &str, target: &str) -> (String, String) {
    let mut hooks = Vec::new();
    for (event, hook) in [
        ("BeforeAllowTraffic", &policy.before),
        ("AfterAllowTraffic", &policy.after),
    ] {
        if let Some(hook) = hook {
            hooks.push(json!({event: hook}));
        }
    }
    let properties =
        json!({"Name": function, "Alias": policy.alias, "CurrentVersion": current, "TargetVersion": target});
    let resource = json!({"Type": "AWS::Lambda::Function", "Properties": properties});
    let mut content = json!({"version": "0.0", "Resources": [{policy.logical_id.as_str(): resource}]});
    if let (false, Value::Object(members)) = (hooks.is_empty(), &mut content) {
        members.insert("Hooks".to_owned(), Value::Array(hooks));
    }
    let content = content.to_string();
    let digest = Sha256::digest(content.as_bytes());
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    (content, sha256)
}

/// An id as CodeDeploy makes them.
pub(super) fn new_id(cloud: &mut Cloud) -> String {
    format!("d-{}", cloud.token(9).to_ascii_uppercase())
}

fn start(cloud: &mut Cloud, function: &str, policy: &Policy, current: &str, target: &str) -> Option<String> {
    let id = new_id(cloud);
    let now = cloud.now();
    let key = (policy.application.clone(), policy.group.clone());
    let group = cloud.codedeploy.groups.get(&key)?;
    let (content, sha256) = app_spec(function, policy, current, target);
    let deployment = Deployment {
        id: id.clone(),
        policy: policy.clone(),
        config: group.config.clone(),
        shift: group.shift,
        role_arn: group.role_arn.clone(),
        alarms: group.alarms.clone(),
        rollback_events: group.rollback_events.clone(),
        function: function.to_owned(),
        current: current.to_owned(),
        target: target.to_owned(),
        content,
        sha256,
        creator: "user",
        status: "InProgress",
        created: now,
        completed: None,
        error: None,
        phase: Phase::Before,
        executions: Vec::new(),
        rolled_back_by: None,
        rolls_back: None,
    };
    cloud.codedeploy.deployments.insert(id.clone(), deployment);
    cloud.codedeploy.order.push(id.clone());
    tell::tell(cloud, &id, "START");
    note(cloud, &id, "deployment-started", json!({}));
    begin(cloud, &id);
    Some(id)
}

/// What comes before the first hook: the role is asked, and the alarms are looked at.
fn begin(cloud: &mut Cloud, id: &str) {
    let Some(deployment) = cloud.codedeploy.deployments.get(id) else {
        return;
    };
    let function = cloud.arn("lambda", &format!("function:{}", deployment.function));
    let alarms = deployment.alarms.clone();
    let (role_arn, application) = (deployment.role_arn.clone(), deployment.policy.application.clone());
    let mut asks = vec![
        (Ask::new("lambda:GetAlias", function.clone()), "AWSLambda"),
        (Ask::new("lambda:UpdateAlias", function), "AWSLambda"),
    ];
    asks.extend(alarms.iter().map(|alarm| {
        let arn = cloud.arn("cloudwatch", &format!("alarm:{alarm}"));
        (Ask::new("cloudwatch:DescribeAlarms", arn), "AmazonCloudWatch")
    }));
    let refused = asks
        .iter()
        .find(|(ask, _)| !may(cloud, &role_arn, &application, ask))
        .map(|(_, service)| *service);
    if let Some(service) = refused {
        return lacks_permission(cloud, id, service);
    }
    let fires = |alarm: &String| cloudwatch::alarm_state(cloud, alarm).is_some_and(|state| state == "ALARM");
    let active: Vec<String> = alarms.iter().filter(|alarm| fires(alarm)).cloned().collect();
    if !active.is_empty() {
        return stop_on_alarm(cloud, id, &active);
    }
    run_hook(cloud, id, Phase::Before);
}

/// Whether the role of the deployment's group allows that.
fn may(cloud: &mut Cloud, role_arn: &str, application: &str, ask: &Ask) -> bool {
    let source_arn = cloud.arn("codedeploy", &format!("application:{application}"));
    let acting = Acting {
        service: "codedeploy.amazonaws.com",
        role_arn,
        source_arn: &source_arn,
        session: "codedeploy",
    };
    iam::as_service(cloud, &acting, std::slice::from_ref(ask)).is_ok()
}

fn lacks_permission(cloud: &mut Cloud, id: &str, service: &str) {
    let role = cloud
        .codedeploy
        .deployments
        .get(id)
        .map(|deployment| deployment.role_arn.clone());
    let message = format!(
        "The IAM role {} does not give you permission to perform operations in the following AWS service: {service}. Contact your \
         AWS administrator if you need help. If you are an AWS administrator, you can grant permissions to your users or groups by \
         creating IAM policies.",
        role.unwrap_or_default()
    );
    fail(
        cloud,
        id,
        ("IAM_ROLE_PERMISSIONS", message),
        "Failed",
        "DEPLOYMENT_FAILURE",
    );
}

fn stop_on_alarm(cloud: &mut Cloud, id: &str, alarms: &[String]) {
    let alarms: Vec<String> = alarms.iter().map(|alarm| format!("<{alarm}>")).collect();
    let message = format!(
        "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, and the affected deployments \
         have been stopped. Activated alarms: {}",
        alarms.join(" ")
    );
    fail(
        cloud,
        id,
        ("ALARM_ACTIVE", message),
        "Stopped",
        "DEPLOYMENT_STOP_ON_ALARM",
    );
}

/// Runs the hook of that phase, or goes on where there is none.
fn run_hook(cloud: &mut Cloud, id: &str, phase: Phase) {
    let execution = cloud.token(64);
    let Some(deployment) = cloud.codedeploy.deployments.get_mut(id) else {
        return;
    };
    deployment.phase = phase;
    let hook = match phase {
        Phase::Before => deployment.policy.before.clone(),
        _ => deployment.policy.after.clone(),
    };
    let Some(hook) = hook else {
        return go_on(cloud, id);
    };
    deployment.executions.push(execution.clone());
    let (role_arn, application) = (deployment.role_arn.clone(), deployment.policy.application.clone());
    let ask = Ask::new("lambda:InvokeFunction", lambda::arn_asked(cloud, &hook, ""));
    if !may(cloud, &role_arn, &application, &ask) {
        return lacks_permission(cloud, id, "AWSLambda");
    }
    let event = json!({"DeploymentId": id, "LifecycleEventHookExecutionId": execution});
    if lambda::invoke_async(cloud, &hook, event).is_err() {
        return lacks_hook(cloud, id);
    }
    let timer = super::super::Timer::CodeDeploy(Timer::Hook(id.to_owned(), execution));
    cloud.after(HOOK_LIMIT, timer);
}

fn lacks_hook(cloud: &mut Cloud, id: &str) {
    let message =
        "The deployment failed because one or more of the lifecycle event validation functions failed.".to_owned();
    fail(
        cloud,
        id,
        ("HOOK_EXECUTION_FAILURE", message),
        "Failed",
        "DEPLOYMENT_FAILURE",
    );
}

/// What comes after the hook of the phase that the deployment is in.
fn go_on(cloud: &mut Cloud, id: &str) {
    match cloud.codedeploy.deployments.get(id).map(|deployment| deployment.phase) {
        Some(Phase::Before) => shift(cloud, id, 1),
        Some(Phase::After) => succeed(cloud, id),
        _ => {}
    }
}

/// Gives the new version its share of the traffic after so many steps.
fn shift(cloud: &mut Cloud, id: &str, steps: u32) {
    let Some(deployment) = cloud.codedeploy.deployments.get_mut(id) else {
        return;
    };
    deployment.phase = Phase::Allow(steps);
    let (function, alias) = (deployment.function.clone(), deployment.policy.alias.clone());
    let (current, target) = (deployment.current.clone(), deployment.target.clone());
    let (percent, wait) = (deployment.shift.percent(steps), deployment.shift.wait);
    if percent < 100 {
        let weight = f64::from(percent) / 100.0;
        lambda::move_alias(cloud, &function, &alias, &current, Some((target, weight)));
        cloud.after(wait, super::super::Timer::CodeDeploy(Timer::Shift(id.to_owned())));
    } else {
        lambda::move_alias(cloud, &function, &alias, &target, None);
    }
    note(cloud, id, "traffic-shifted", json!({"percent": percent}));
    if percent == 100 {
        run_hook(cloud, id, Phase::After);
    }
}

fn succeed(cloud: &mut Cloud, id: &str) {
    let now = cloud.now();
    if let Some(deployment) = cloud.codedeploy.deployments.get_mut(id) {
        deployment.phase = Phase::Over;
        deployment.status = "Succeeded";
        deployment.completed = Some(now);
    }
    tell::tell(cloud, id, "SUCCESS");
    note(cloud, id, "deployment-succeeded", json!({}));
}

/// A hook says how its check went.
pub(super) fn answer_hook(cloud: &mut Cloud, id: &str, execution: &str, has_succeeded: bool) -> Result<(), ApiError> {
    let Some(deployment) = cloud.codedeploy.deployments.get(id) else {
        return Err(super::api::no_deployment(id));
    };
    let known = deployment.executions.iter().position(|known| known == execution);
    let Some(place) = known else {
        return Err(ApiError::new(
            "InvalidLifecycleEventHookExecutionIdException",
            "The lifecycle event hook execution id is not one of this deployment.",
        ));
    };
    let is_newest = place + 1 == deployment.executions.len();
    if !is_newest || !matches!(deployment.phase, Phase::Before | Phase::After) {
        return Err(ApiError::new(
            "LifecycleEventAlreadyCompletedException",
            format!("The lifecycle event of deployment {id} is already completed."),
        ));
    }
    if has_succeeded {
        go_on(cloud, id);
    } else {
        lacks_hook(cloud, id);
    }
    Ok(())
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    match timer {
        Timer::Hook(id, execution) => {
            let waits = cloud.codedeploy.deployments.get(&id).is_some_and(|deployment| {
                matches!(deployment.phase, Phase::Before | Phase::After)
                    && deployment.executions.last() == Some(&execution)
            });
            if waits {
                lacks_hook(cloud, &id);
            }
        }
        Timer::Shift(id) => {
            let phase = cloud.codedeploy.deployments.get(&id).map(|deployment| deployment.phase);
            if let Some(Phase::Allow(steps)) = phase {
                shift(cloud, &id, steps + 1);
            }
        }
    }
}

/// An alarm fires: what it guards stops.
pub(crate) fn on_alarm(cloud: &mut Cloud, alarm: &str) {
    let guarded = |deployment: &&Deployment| {
        deployment.phase != Phase::Over && deployment.alarms.iter().any(|known| known == alarm)
    };
    let guarded = cloud.codedeploy.deployments.values().filter(guarded);
    let ids: Vec<String> = guarded.map(|deployment| deployment.id.clone()).collect();
    for id in ids {
        stop_on_alarm(cloud, &id, &[alarm.to_owned()]);
    }
}
