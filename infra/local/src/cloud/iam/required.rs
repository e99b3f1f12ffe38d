//! What calls ask of the policies, and whether they are allowed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::{ApiError, Caller, Cloud, Service, applicationautoscaling};
use super::ask::{Ask, Asker, Denied};
use super::decide::{ask, would_allow};
use super::policy::texts;

/// The caller, where it has to ask: the person at the machine has not.
fn asker(caller: &Caller) -> Option<Asker<'_>> {
    match caller {
        Caller::Administrator => None,
        Caller::Function { name, role_arn } => Some(Asker::Role {
            name: role_arn.rsplit('/').next().unwrap_or_default(),
            session: name,
        }),
    }
}

/// Whether the caller may do that too, for an answer that depends on it.
pub(crate) fn allowed(cloud: &mut Cloud, caller: &Caller, one: &Ask) -> bool {
    asker(caller).is_none_or(|role| would_allow(cloud, &role, one))
}

/// Asks in the caller's name what a call leads to.
///
/// # Errors
/// Where it is refused.
pub(crate) fn as_caller(cloud: &mut Cloud, caller: &Caller, one: &Ask) -> Result<(), Denied> {
    asker(caller).map_or(Ok(()), |role| ask(cloud, &role, one))
}

/// Refuses the call where the policies do not allow it.
pub(crate) fn authorize(
    cloud: &mut Cloud,
    caller: &Caller,
    service: Service,
    operation: &str,
    input: &Value,
) -> Result<(), ApiError> {
    let Some(role) = asker(caller) else {
        return Ok(());
    };
    for one in required(cloud, service, operation, input) {
        ask(cloud, &role, &one).map_err(|denied| {
            let (code, status) = match service {
                Service::S3 => ("AccessDenied", 403),
                Service::Lambda => ("AccessDeniedException", 403),
                Service::Sns => ("AuthorizationError", 403),
                _ => ("AccessDeniedException", 400),
            };
            ApiError {
                status,
                ..ApiError::new(code, denied.to_string())
            }
        })?;
    }
    Ok(())
}

/// What a call asks of the policies: actions and resources as the service authorization reference has them.
fn required(cloud: &Cloud, service: Service, operation: &str, input: &Value) -> Vec<Ask> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let action = format!("{}:{operation}", service.prefix());
    let ask = |resource: String| Ask::new(action.clone(), resource);
    let sagemaker = |kind: &str, name: &str| cloud.arn("sagemaker", &format!("{kind}/{name}"));
    let pass_role = |member: &str| Ask::pass_role(text(member), "sagemaker.amazonaws.com");
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
            let repository = super::super::codecommit::repository_of(cloud, text("pullRequestId"));
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
            let arn = super::super::lambda::arn_asked(cloud, text("FunctionName"), text("Qualifier"));
            vec![Ask::new("lambda:InvokeFunction", arn)]
        }
        (Service::Lambda, _) => vec![ask(super::super::lambda::arn_asked(cloud, text("FunctionName"), ""))],
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
            let group = super::super::codedeploy::group_arn_of(cloud, text("deploymentId"));
            group.map(ask).into_iter().collect()
        }
        (Service::Sns, "Publish") => vec![ask(text("TopicArn").to_owned())],
        (Service::Kms, _) => vec![ask(super::super::kms::key_arn(cloud, text("KeyId")).unwrap_or_default())],
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
            // SageMaker hands the key on to the instances' volumes by a grant, in the caller's name.
            if !text("KmsKeyId").is_empty() {
                let key = super::super::kms::arn_of(cloud, text("KmsKeyId"));
                let grant = Ask::new("kms:CreateGrant", key.as_str()).with("kms:GrantIsForAWSResource", "true");
                asks.extend([grant, Ask::new("kms:DescribeKey", key.as_str())].map(|ask| {
                    ask.with(
                        "kms:ViaService",
                        format!("sagemaker.{}.amazonaws.com", cloud.target().region),
                    )
                }));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
                "CreateEndpointConfig",
                json!({"EndpointConfigName": "c", "KmsKeyId": "k"}),
                &[
                    "sagemaker:CreateEndpointConfig endpoint-config/c",
                    "kms:CreateGrant arn:aws:kms:eu-west-1:123456789012:key/k",
                    "kms:DescribeKey arn:aws:kms:eu-west-1:123456789012:key/k",
                ],
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
}
