//! IAM: roles, policies, and who may do what.
//!
//! A call that a function makes is allowed only if its role's policies allow it, on the resource and under the conditions that AWS
//! itself would ask about. The person at the machine may do everything.

mod managed;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ApiError, Caller, Cloud, Service, applicationautoscaling};
use crate::template::{Resource, TemplateError};

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The policies of each role, by the role's name.
    roles: BTreeMap<String, Vec<Statement>>,
}

/// One statement of a policy.
#[derive(Debug, Clone)]
struct Statement {
    allow: bool,
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone)]
struct Condition {
    operator: Operator,
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Equals,
    Like,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RoleProperties {
    role_name: Option<String>,
    #[serde(rename = "AssumeRolePolicyDocument")]
    _trust: Value,
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
    #[serde(rename = "PolicyName")]
    _name: String,
    policy_document: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PolicyProperties {
    #[serde(rename = "PolicyName")]
    _name: String,
    policy_document: Value,
    #[serde(default)]
    roles: Vec<String>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::IAM::Role" => {
            let properties: RoleProperties = resource.read()?;
            let mut statements = Vec::new();
            for policy in &properties.policies {
                statements.extend(read_policy(resource, &policy.policy_document)?);
            }
            for arn in &properties.managed_policy_arns {
                let document = managed::document(arn);
                let document = document.ok_or_else(|| resource.unsupported(format!("the managed policy {arn}")))?;
                statements.extend(read_policy(resource, &document)?);
            }
            let name = properties.role_name.unwrap_or_else(|| resource.physical_id.clone());
            cloud.iam.roles.insert(name, statements);
            Ok(())
        }
        "AWS::IAM::Policy" => {
            let properties: PolicyProperties = resource.read()?;
            let statements = read_policy(resource, &properties.policy_document)?;
            for role in &properties.roles {
                cloud
                    .iam
                    .roles
                    .entry(role.clone())
                    .or_default()
                    .extend(statements.iter().cloned());
            }
            Ok(())
        }
        _ => Err(resource.unsupported("this resource type")),
    }
}

fn read_policy(resource: &Resource, document: &Value) -> Result<Vec<Statement>, TemplateError> {
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(statement @ Value::Object(_)) => vec![statement],
        _ => return Err(resource.wrong("a policy has no `Statement`")),
    };
    let mut read = Vec::with_capacity(statements.len());
    for statement in statements {
        let members = statement
            .as_object()
            .ok_or_else(|| resource.wrong("a statement is not an object"))?;
        read.push(read_statement(resource, members)?);
    }
    Ok(read)
}

fn read_statement(resource: &Resource, members: &Map<String, Value>) -> Result<Statement, TemplateError> {
    let known = ["Sid", "Effect", "Action", "Resource", "Condition"];
    if let Some(unknown) = members.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(resource.unsupported(format!("`{unknown}` in a policy's statement")));
    }
    let allow = match members.get("Effect").and_then(Value::as_str) {
        Some("Allow") => true,
        Some("Deny") => false,
        _ => return Err(resource.wrong("a statement's `Effect` is neither Allow nor Deny")),
    };
    let strings = |name: &str| {
        let strings = members.get(name).map(texts).unwrap_or_default();
        if strings.is_empty() {
            Err(resource.wrong(format!("a statement has no `{name}`")))
        } else {
            Ok(strings)
        }
    };
    let mut conditions = Vec::new();
    for (operator, keys) in members
        .get("Condition")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let operator = match operator.as_str() {
            "StringEquals" | "ArnEquals" | "Bool" => Operator::Equals,
            "StringLike" | "ArnLike" => Operator::Like,
            other => return Err(resource.unsupported(format!("the condition operator `{other}`"))),
        };
        for (key, values) in keys.as_object().into_iter().flatten() {
            conditions.push(Condition {
                operator,
                key: key.to_ascii_lowercase(),
                values: texts(values),
            });
        }
    }
    Ok(Statement {
        allow,
        actions: strings("Action")?,
        resources: strings("Resource")?,
        conditions,
    })
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
        Value::Null | Value::Object(_) => Vec::new(),
    }
}

/// `*` is any text, `?` any character.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            // Runs of stars are one; each text position is tried once for it.
            if rest.first() == Some(&b'*') {
                return like(rest, text);
            }
            (0..=text.len()).any(|from| text.get(from..).is_some_and(|text| like(rest, text)))
        }
        (Some((p, rest)), Some((t, text))) => (*p == b'?' || p == t) && like(rest, text),
        _ => false,
    }
}

impl Statement {
    fn applies(&self, ask: &Ask) -> bool {
        // Actions are compared without regard to case, resources with.
        let action = ask.action.to_ascii_lowercase();
        self.actions
            .iter()
            .any(|pattern| like(pattern.to_ascii_lowercase().as_bytes(), action.as_bytes()))
            && self
                .resources
                .iter()
                .any(|pattern| like(pattern.as_bytes(), ask.resource.as_bytes()))
            && self.conditions.iter().all(|condition| condition.holds(ask))
    }
}

impl Condition {
    fn holds(&self, ask: &Ask) -> bool {
        let value = ask
            .context
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(&self.key))
            .map(|(_, value)| value);
        value.is_some_and(|value| {
            self.values.iter().any(|wanted| match self.operator {
                Operator::Equals => wanted == value,
                Operator::Like => like(wanted.as_bytes(), value.as_bytes()),
            })
        })
    }
}

/// One question to the policies.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    pub(crate) action: String,
    pub(crate) resource: String,
    /// Condition keys and their values.
    pub(crate) context: Vec<(&'static str, String)>,
}

impl Ask {
    pub(crate) fn new(action: &str, resource: impl Into<String>) -> Self {
        Self {
            action: action.to_owned(),
            resource: resource.into(),
            context: Vec::new(),
        }
    }

    fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.context.push((key, value.into()));
        self
    }
}

/// Whether the caller may do that.
pub(crate) fn allowed(cloud: &Cloud, caller: &Caller, ask: &Ask) -> bool {
    let Caller::Function { role_arn, .. } = caller else {
        return true;
    };
    let role = role_arn.rsplit('/').next().unwrap_or_default();
    let statements = cloud.iam.roles.get(role).map(Vec::as_slice).unwrap_or_default();
    let mut applying = statements.iter().filter(|statement| statement.applies(ask)).peekable();
    applying.peek().is_some() && applying.all(|statement| statement.allow)
}

/// Refuses the call where the caller's role does not allow it.
pub(crate) fn authorize(
    cloud: &Cloud,
    caller: &Caller,
    service: Service,
    operation: &str,
    input: &Value,
) -> Result<(), ApiError> {
    let Caller::Function { name, role_arn } = caller else {
        return Ok(());
    };
    for ask in required(cloud, service, operation, input) {
        if !allowed(cloud, caller, &ask) {
            let role = role_arn.rsplit('/').next().unwrap_or_default();
            let account = &cloud.target().account;
            let Ask { action, resource, .. } = ask;
            let message = format!(
                "User: arn:aws:sts::{account}:assumed-role/{role}/{name} is not authorized to perform: {action} on resource: \
                 {resource} because no identity-based policy allows the {action} action"
            );
            let (code, status) = match service {
                Service::S3 => ("AccessDenied", 403),
                Service::Lambda => ("AccessDeniedException", 403),
                Service::Sns => ("AuthorizationError", 403),
                _ => ("AccessDeniedException", 400),
            };
            return Err(ApiError {
                status,
                ..ApiError::new(code, message)
            });
        }
    }
    Ok(())
}

/// What a call asks of the policies: actions and resources as the service authorization reference has them.
fn required(cloud: &Cloud, service: Service, operation: &str, input: &Value) -> Vec<Ask> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let action = format!("{}:{operation}", service.prefix());
    let ask = |resource: String| Ask::new(&action, resource);
    let sagemaker = |kind: &str, name: &str| cloud.arn("sagemaker", &format!("{kind}/{name}"));
    let pass_role = |member: &str| {
        let role = Ask::new("iam:PassRole", text(member));
        role.with("iam:PassedToService", "sagemaker.amazonaws.com")
    };
    let add_tags = |arn: String| input.get("Tags").map(|_| Ask::new("sagemaker:AddTags", arn));
    match (service, operation) {
        (Service::S3, "ListObjectsV2") => {
            let ask = Ask::new("s3:ListBucket", format!("arn:aws:s3:::{}", text("Bucket")));
            vec![ask.with("s3:prefix", text("Prefix"))]
        }
        (Service::S3, "HeadObject") => vec![Ask::new("s3:GetObject", object_arn(text("Bucket"), text("Key")))],
        (Service::S3, "GetObject" | "PutObject" | "DeleteObject") => vec![ask(object_arn(text("Bucket"), text("Key")))],
        (Service::CodeCommit, _) if !text("repositoryName").is_empty() => {
            vec![ask(cloud.arn("codecommit", text("repositoryName")))]
        }
        (Service::CodeCommit, "CreatePullRequest") => {
            let targets = input.get("targets").and_then(Value::as_array).into_iter().flatten();
            let names = targets.filter_map(|target| target.get("repositoryName")?.as_str());
            names.map(|name| ask(cloud.arn("codecommit", name))).collect()
        }
        // The repository is that of the pull request. The service itself says of one that is not there.
        (Service::CodeCommit, _) if !text("pullRequestId").is_empty() => {
            let repository = super::codecommit::repository_of(cloud, text("pullRequestId"));
            repository
                .map(|name| ask(cloud.arn("codecommit", name)))
                .into_iter()
                .collect()
        }
        (Service::CodeBuild, "StartBuild" | "ListBuildsForProject") => {
            vec![ask(cloud.arn("codebuild", &format!("project/{}", text("projectName"))))]
        }
        (Service::CodeBuild, "StopBuild" | "BatchGetBuilds" | "BatchGetProjects") => {
            let named = ["id", "ids", "names"].iter().filter_map(|member| input.get(member));
            let named: Vec<String> = named.flat_map(texts).collect();
            // An ARN serves as well as a name; a build's id begins with the name of its project.
            let names = named
                .iter()
                .filter_map(|name| name.rsplit('/').next()?.split(':').next());
            let projects: BTreeSet<&str> = names.collect();
            projects
                .into_iter()
                .map(|project| ask(cloud.arn("codebuild", &format!("project/{project}"))))
                .collect()
        }
        (Service::Lambda, "Invoke") => {
            let arn = super::lambda::arn_asked(cloud, text("FunctionName"), text("Qualifier"));
            vec![Ask::new("lambda:InvokeFunction", arn)]
        }
        (Service::Lambda, _) => vec![ask(super::lambda::arn_asked(cloud, text("FunctionName"), ""))],
        (Service::CodeDeploy, "PutLifecycleEventHookExecutionStatus") => vec![ask("*".to_owned())],
        (Service::CodeDeploy, "GetApplicationRevision") => {
            vec![ask(
                cloud.arn("codedeploy", &format!("application:{}", text("applicationName")))
            )]
        }
        (Service::CodeDeploy, "ListDeployments") => {
            let path = format!(
                "deploymentgroup:{}/{}",
                text("applicationName"),
                text("deploymentGroupName")
            );
            vec![ask(cloud.arn("codedeploy", &path))]
        }
        // The group is that of the deployment. The service itself says of one that is not there.
        (Service::CodeDeploy, _) => {
            let group = super::codedeploy::group_arn_of(cloud, text("deploymentId"));
            group.map(ask).into_iter().collect()
        }
        (Service::Sns, "Publish") => vec![ask(text("TopicArn").to_owned())],
        (Service::Kms, _) => vec![ask(super::kms::key_arn(cloud, text("KeyId")).unwrap_or_default())],
        (Service::CodePipeline, "PutJobSuccessResult" | "PutJobFailureResult") => vec![ask("*".to_owned())],
        (Service::CodePipeline, "PutApprovalResult") => {
            let path = format!("{}/{}/{}", text("pipelineName"), text("stageName"), text("actionName"));
            vec![ask(cloud.arn("codepipeline", &path))]
        }
        (Service::CodePipeline, _) => {
            let name = [text("name"), text("pipelineName")].concat();
            vec![ask(cloud.arn("codepipeline", &name))]
        }
        (Service::CloudWatch, "DescribeAlarms") => {
            let names = input.get("AlarmNames").map(texts).unwrap_or_default();
            if names.is_empty() {
                return vec![ask("*".to_owned())];
            }
            names
                .iter()
                .map(|name| ask(cloud.arn("cloudwatch", &format!("alarm:{name}"))))
                .collect()
        }
        (
            Service::ApplicationAutoScaling,
            "RegisterScalableTarget" | "DeregisterScalableTarget" | "PutScalingPolicy" | "DeleteScalingPolicy",
        ) => {
            let ask = ask(applicationautoscaling::target_arn(cloud, text("ResourceId")));
            let ask = ask.with("application-autoscaling:service-namespace", text("ServiceNamespace"));
            vec![ask.with("application-autoscaling:scalable-dimension", text("ScalableDimension"))]
        }
        (Service::SageMaker, "CreatePipeline" | "UpdatePipeline") => {
            let mut asks = vec![ask(sagemaker("pipeline", text("PipelineName")))];
            if !text("RoleArn").is_empty() {
                asks.push(pass_role("RoleArn"));
            }
            asks
        }
        (
            Service::SageMaker,
            "StartPipelineExecution" | "DescribePipeline" | "ListPipelineExecutions" | "DeletePipeline",
        ) => {
            vec![ask(sagemaker("pipeline", text("PipelineName")))]
        }
        (Service::SageMaker, "DescribeModelPackage") => vec![ask(text("ModelPackageName").to_owned())],
        (Service::SageMaker, "UpdateModelPackage") => vec![ask(text("ModelPackageArn").to_owned())],
        (Service::SageMaker, "CreateModel") => {
            let arn = sagemaker("model", text("ModelName"));
            let mut asks = vec![ask(arn.clone()), pass_role("ExecutionRoleArn")];
            asks.extend(add_tags(arn));
            asks
        }
        (Service::SageMaker, "DescribeModel" | "DeleteModel") => vec![ask(sagemaker("model", text("ModelName")))],
        (Service::SageMaker, "CreateEndpointConfig") => {
            let arn = sagemaker("endpoint-config", text("EndpointConfigName"));
            let mut asks = vec![ask(arn.clone())];
            // Only where the configuration itself has a role; that of its models was passed when they were made.
            if !text("ExecutionRoleArn").is_empty() {
                asks.push(pass_role("ExecutionRoleArn"));
            }
            asks.extend(add_tags(arn));
            asks
        }
        (Service::SageMaker, "CreateEndpoint" | "UpdateEndpoint") => {
            let arn = sagemaker("endpoint", text("EndpointName"));
            let mut asks = vec![
                ask(arn.clone()),
                ask(sagemaker("endpoint-config", text("EndpointConfigName"))),
            ];
            asks.extend(add_tags(arn));
            asks
        }
        (Service::SageMaker, "DeleteEndpoint") => {
            let mut asks = vec![ask(sagemaker("endpoint", text("EndpointName")))];
            // Its scalable targets are deregistered with it.
            let targets = applicationautoscaling::targets_of(cloud, text("EndpointName")).into_iter();
            asks.extend(targets.map(|arn| Ask::new("application-autoscaling:DeregisterScalableTarget", arn)));
            asks
        }
        (Service::SageMaker, "DescribeEndpoint" | "UpdateEndpointWeightsAndCapacities") => {
            vec![ask(sagemaker("endpoint", text("EndpointName")))]
        }
        (Service::SageMaker, "DescribeEndpointConfig" | "DeleteEndpointConfig") => {
            vec![ask(sagemaker("endpoint-config", text("EndpointConfigName")))]
        }
        (Service::SageMaker, "ListTags" | "AddTags") => vec![ask(text("ResourceArn").to_owned())],
        (Service::SageMaker, _) if !text("PipelineExecutionArn").is_empty() => {
            vec![ask(text("PipelineExecutionArn").to_owned())]
        }
        (Service::Sts, _) => Vec::new(),
        // What has no resource of its own in the reference, ListModelPackages and ListEndpointConfigs for two, asks for all.
        _ => vec![ask("*".to_owned())],
    }
}

fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

impl Cloud {
    /// Who has that access key: a function, or else the person at the machine.
    #[must_use]
    pub fn caller_of(&self, access_key_id: &str) -> Caller {
        super::lambda::function_with_key(self, access_key_id).unwrap_or(Caller::Administrator)
    }
}

/// Answers one call of STS.
pub(crate) fn call(cloud: &mut Cloud, caller: &Caller, operation: &str, _input: &Value) -> Result<Value, ApiError> {
    if operation != "GetCallerIdentity" {
        return Err(ApiError::new(
            "InvalidAction",
            format!("Could not find operation {operation}"),
        ));
    }
    let account = &cloud.target().account;
    let (arn, id) = identity(cloud, caller);
    Ok(json!({"Account": account, "Arn": arn, "UserId": id}))
}

/// Who makes a call: the ARN and the principal's id.
pub(crate) fn identity(cloud: &Cloud, caller: &Caller) -> (String, String) {
    let account = &cloud.target().account;
    match caller {
        Caller::Administrator => (
            format!("arn:aws:iam::{account}:user/administrator"),
            "AIDALOCAL".to_owned(),
        ),
        Caller::Function { name, role_arn } => {
            let role = role_arn.rsplit('/').next().unwrap_or_default();
            (
                format!("arn:aws:sts::{account}:assumed-role/{role}/{name}"),
                format!("AROALOCAL:{name}"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(value: &Value) -> Statement {
        let resource = Resource {
            logical_id: "Role".into(),
            kind: "AWS::IAM::Role".into(),
            properties: Value::Null,
            physical_id: "role".into(),
            attributes: BTreeMap::new(),
        };
        read_statement(&resource, value.as_object().unwrap()).unwrap()
    }

    #[test]
    fn statements_apply_by_action_resource_and_condition() {
        let allow =
            json!({"Effect": "Allow", "Action": ["s3:Get*", "sns:publish"], "Resource": "arn:aws:s3:::b/code/*"});
        let pass = json!({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:r",
            "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}});
        for (policy, ask, applies) in [
            (&allow, Ask::new("s3:GetObject", "arn:aws:s3:::b/code/1/a.py"), true),
            (&allow, Ask::new("s3:PutObject", "arn:aws:s3:::b/code/1/a.py"), false),
            (&allow, Ask::new("s3:GetObject", "arn:aws:s3:::b/data/1"), false),
            (&allow, Ask::new("SNS:Publish", "arn:aws:s3:::b/code/x"), true),
            (&pass, Ask::new("iam:PassRole", "arn:r"), false),
            (
                &pass,
                Ask::new("iam:PassRole", "arn:r").with("iam:PassedToService", "lambda.amazonaws.com"),
                false,
            ),
            (
                &pass,
                Ask::new("iam:PassRole", "arn:r").with("iam:PassedToService", "sagemaker.amazonaws.com"),
                true,
            ),
        ] {
            assert_eq!(statement(policy).applies(&ask), applies, "{ask:?}");
        }
    }

    #[test]
    fn calls_ask_for_what_the_service_authorization_reference_says() {
        let target = crate::template::Target {
            account: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            stack_name: "churn".to_owned(),
            base_url: String::new(),
        };
        let start = "2026-11-02T08:00:00Z".parse().unwrap();
        let cloud = Cloud::deploy(crate::template::Stack::default(), target, start, 7).unwrap();
        let tags = json!([{"Key": "version", "Value": "1"}]);
        let arn = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/c";
        for (operation, input, expected) in [
            (
                "DescribeModel",
                json!({"ModelName": "m"}),
                &["sagemaker:DescribeModel model/m"][..],
            ),
            (
                "DeleteModel",
                json!({"ModelName": "m"}),
                &["sagemaker:DeleteModel model/m"],
            ),
            (
                "CreateModel",
                json!({"ModelName": "m", "ExecutionRoleArn": "arn:r", "Tags": tags}),
                &[
                    "sagemaker:CreateModel model/m",
                    "iam:PassRole arn:r",
                    "sagemaker:AddTags model/m",
                ],
            ),
            ("ListModels", json!({}), &["sagemaker:ListModels *"]),
            (
                "CreateEndpointConfig",
                json!({"EndpointConfigName": "c", "ExecutionRoleArn": "arn:r"}),
                &["sagemaker:CreateEndpointConfig endpoint-config/c", "iam:PassRole arn:r"],
            ),
            (
                "DescribeEndpointConfig",
                json!({"EndpointConfigName": "c"}),
                &["sagemaker:DescribeEndpointConfig endpoint-config/c"],
            ),
            (
                "DeleteEndpointConfig",
                json!({"EndpointConfigName": "c"}),
                &["sagemaker:DeleteEndpointConfig endpoint-config/c"],
            ),
            (
                "ListEndpointConfigs",
                json!({"NameContains": "c"}),
                &["sagemaker:ListEndpointConfigs *"],
            ),
            (
                "ListTags",
                json!({ "ResourceArn": arn }),
                &["sagemaker:ListTags endpoint-config/c"],
            ),
            (
                "UpdateEndpoint",
                json!({"EndpointName": "e", "EndpointConfigName": "c"}),
                &[
                    "sagemaker:UpdateEndpoint endpoint/e",
                    "sagemaker:UpdateEndpoint endpoint-config/c",
                ],
            ),
            (
                "UpdateEndpointWeightsAndCapacities",
                json!({"EndpointName": "e"}),
                &["sagemaker:UpdateEndpointWeightsAndCapacities endpoint/e"],
            ),
        ] {
            let asks = required(&cloud, Service::SageMaker, operation, &input).into_iter();
            let found: Vec<String> = asks
                .map(|ask| {
                    let resource = ask
                        .resource
                        .trim_start_matches("arn:aws:sagemaker:eu-west-1:123456789012:");
                    format!("{} {resource}", ask.action)
                })
                .collect();
            assert_eq!(found, expected, "{operation}");
        }
    }

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a**b*", "ab", true),
        ] {
            assert_eq!(like(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
