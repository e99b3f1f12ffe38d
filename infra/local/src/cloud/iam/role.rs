//! Roles and their policies, as the template declares them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Cloud;
use super::policy::{self, Kind, Statement};
use crate::template::{Resource, TemplateError};

/// A role.
#[derive(Debug, Default)]
pub(super) struct Role {
    logical_id: String,
    pub(super) statements: Vec<Statement>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RoleProperties {
    role_name: Option<String>,
    assume_role_policy_document: Value,
    #[serde(default)]
    policies: Vec<InlinePolicy>,
    #[serde(default)]
    managed_policy_arns: Vec<String>,
    #[serde(rename = "Description")]
    _description: Option<String>,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct InlinePolicy {
    policy_name: String,
    policy_document: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PolicyProperties {
    policy_name: String,
    policy_document: Value,
    #[serde(default)]
    roles: Vec<String>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::IAM::Role" => deploy_role(cloud, resource),
        "AWS::IAM::Policy" => {
            let properties: PolicyProperties = resource.read()?;
            for role in &properties.roles {
                give(
                    cloud,
                    resource,
                    role,
                    &properties.policy_name,
                    &properties.policy_document,
                )?;
            }
            Ok(())
        }
        _ => Err(resource.unsupported("this resource type")),
    }
}

fn deploy_role(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    let properties: RoleProperties = resource.read()?;
    let name = properties.role_name.unwrap_or_else(|| resource.physical_id.clone());
    let role = Role {
        logical_id: resource.logical_id.clone(),
        statements: Vec::new(),
    };
    cloud.iam.roles.insert(name.clone(), role);
    let trust = policy::read(resource, &properties.assume_role_policy_document, Kind::Trust)?;
    let arns = [resource.arn().to_owned()];
    super::attach(cloud, &resource.logical_id, "AssumeRolePolicyDocument", trust, &arns);
    for policy in &properties.policies {
        give(cloud, resource, &name, &policy.policy_name, &policy.policy_document)?;
    }
    for arn in &properties.managed_policy_arns {
        let policy = arn.rsplit('/').next().unwrap_or_default();
        let document = managed(policy).ok_or_else(|| resource.unsupported(format!("the managed policy {arn}")))?;
        give(cloud, resource, &name, policy, &document)?;
    }
    Ok(())
}

/// Gives a role a policy.
fn give(
    cloud: &mut Cloud,
    resource: &Resource,
    role: &str,
    policy: &str,
    document: &Value,
) -> Result<(), TemplateError> {
    let mut statements = policy::read(resource, document, Kind::Identity)?;
    let Some(found) = cloud.iam.roles.get_mut(role) else {
        return Err(resource.wrong(format!("there is no role `{role}`")));
    };
    cloud.iam.ledger.enter(&found.logical_id, policy, &mut statements);
    found.statements.append(&mut statements);
    Ok(())
}

/// What AWS's own policies of functions, and of what rolls them out, allow
/// (<https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSLambdaBasicExecutionRole.html> and its neighbours).
fn managed(policy: &str) -> Option<Value> {
    let actions = match policy {
        "AWSLambdaBasicExecutionRole" => json!(["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]),
        "AWSXRayDaemonWriteAccess" | "AWSXrayWriteOnlyAccess" => json!([
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
            "xray:GetSamplingStatisticSummaries",
        ]),
        // A hook whose name begins otherwise needs a role of one's own.
        "AWSCodeDeployRoleForLambda" => {
            let own = json!([
                "cloudwatch:DescribeAlarms",
                "lambda:GetAlias",
                "lambda:GetProvisionedConcurrencyConfig",
                "lambda:UpdateAlias",
                "sns:Publish"
            ]);
            return Some(json!({"Statement": [
                {"Effect": "Allow", "Action": own, "Resource": "*"},
                {"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": "arn:aws:s3:::*/CodeDeploy/*"},
                {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:*:*:function:CodeDeployHook_*"},
            ]}));
        }
        _ => return None,
    };
    Some(json!({"Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}}))
}
