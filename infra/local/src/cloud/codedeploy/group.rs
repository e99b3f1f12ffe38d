//! What the template declares: applications, deployment groups, and the update policies of aliases.

use serde::Deserialize;
use serde_json::Value;

use super::super::Cloud;
use super::traffic::Shift;
use super::{Group, Policy};
use crate::template::{Resource, Stack, TemplateError};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ApplicationProperties {
    #[serde(rename = "ApplicationName")]
    _name: Option<String>,
    compute_platform: String,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GroupProperties {
    application_name: String,
    #[serde(rename = "DeploymentGroupName")]
    _name: Option<String>,
    #[serde(default = "default_config")]
    deployment_config_name: String,
    #[serde(default)]
    alarm_configuration: AlarmConfiguration,
    #[serde(default)]
    auto_rollback_configuration: AutoRollbackConfiguration,
    deployment_style: DeploymentStyle,
    service_role_arn: String,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

fn default_config() -> String {
    "CodeDeployDefault.LambdaAllAtOnce".to_owned()
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AlarmConfiguration {
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    alarms: Vec<Alarm>,
    /// What is done where alarms can't be read, which here they always can.
    #[serde(rename = "IgnorePollAlarmFailure")]
    _ignore_poll_alarm_failure: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Alarm {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AutoRollbackConfiguration {
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    events: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeploymentStyle {
    deployment_option: String,
    deployment_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdatePolicy {
    code_deploy_lambda_alias_update: AliasUpdate,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AliasUpdate {
    application_name: String,
    deployment_group_name: String,
    before_allow_traffic_hook: Option<String>,
    after_allow_traffic_hook: Option<String>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::CodeDeploy::Application" => {
            let properties: ApplicationProperties = resource.read()?;
            if properties.compute_platform != "Lambda" {
                return Err(resource.unsupported(format!("the compute platform {}", properties.compute_platform)));
            }
            cloud.codedeploy.applications.insert(resource.physical_id.clone());
            Ok(())
        }
        "AWS::CodeDeploy::DeploymentGroup" => deploy_group(cloud, resource),
        _ => Err(resource.unsupported("this resource type")),
    }
}

fn deploy_group(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    let properties: GroupProperties = resource.read()?;
    let config = properties.deployment_config_name;
    let Some(shift) = Shift::predefined(&config) else {
        return Err(resource.unsupported(format!("the deployment configuration {config}")));
    };
    let style = properties.deployment_style;
    if (style.deployment_type.as_str(), style.deployment_option.as_str()) != ("BLUE_GREEN", "WITH_TRAFFIC_CONTROL") {
        return Err(resource.wrong("a function's deployment style is BLUE_GREEN, WITH_TRAFFIC_CONTROL"));
    }
    if !cloud.codedeploy.applications.contains(&properties.application_name) {
        return Err(resource.wrong(format!("there is no application `{}`", properties.application_name)));
    }
    let rollback = properties.auto_rollback_configuration;
    let known = [
        "DEPLOYMENT_FAILURE",
        "DEPLOYMENT_STOP_ON_ALARM",
        "DEPLOYMENT_STOP_ON_REQUEST",
    ];
    if let Some(event) = rollback.events.iter().find(|event| !known.contains(&event.as_str())) {
        return Err(resource.wrong(format!("there is no event `{event}` to roll back on")));
    }
    let alarms = properties.alarm_configuration;
    let alarms = if alarms.enabled { alarms.alarms } else { Vec::new() };
    let group = Group {
        config,
        shift,
        alarms: alarms.into_iter().map(|alarm| alarm.name).collect(),
        rollback_events: if rollback.enabled { rollback.events } else { Vec::new() },
        role_arn: properties.service_role_arn,
    };
    let key = (properties.application_name, resource.physical_id.clone());
    cloud.codedeploy.groups.insert(key, group);
    Ok(())
}

/// Takes in how aliases are to be moved, once everything else is deployed.
pub(crate) fn deploy_update_policies(cloud: &mut Cloud, stack: &Stack) -> Result<(), TemplateError> {
    for (logical_id, policy) in &stack.update_policies {
        let Some(resource) = stack
            .resources
            .iter()
            .find(|resource| resource.logical_id == *logical_id)
        else {
            continue;
        };
        let wrong = |reason: String| resource.wrong(format!("UpdatePolicy: {reason}"));
        let policy: UpdatePolicy = serde_json::from_value(policy.clone()).map_err(|error| wrong(error.to_string()))?;
        let update = policy.code_deploy_lambda_alias_update;
        let group = (update.application_name, update.deployment_group_name);
        if !cloud.codedeploy.groups.contains_key(&group) {
            return Err(wrong(format!(
                "there is no deployment group `{}` of `{}`",
                group.1, group.0
            )));
        }
        // `arn:aws:lambda:REGION:ACCOUNT:function:NAME:ALIAS`
        let mut parts = resource.physical_id.rsplit(':');
        let (Some(alias), Some(function)) = (parts.next(), parts.next()) else {
            return Err(wrong("is not of an alias".to_owned()));
        };
        let of_function =
            |resource: &&Resource| resource.kind == "AWS::Lambda::Function" && resource.physical_id == function;
        let known = stack.resources.iter().find(of_function);
        let policy = Policy {
            logical_id: known.map_or(function, |resource| &resource.logical_id).to_owned(),
            alias: alias.to_owned(),
            application: group.0,
            group: group.1,
            before: update.before_allow_traffic_hook,
            after: update.after_allow_traffic_hook,
        };
        if cloud.codedeploy.policies.insert(function.to_owned(), policy).is_some() {
            return Err(resource.unsupported("a second alias of a function that CodeDeploy moves"));
        }
    }
    Ok(())
}
