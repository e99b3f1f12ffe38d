//! All that the services tell of a stack, to be compared with what they told before.

use anyhow::{Context, Result};
use local::cloud::Service;
use serde_json::{Value, json};

use crate::world::World;

/// The registry with all that is written on its versions, the pipelines with their executions and waiting approvals, the endpoint
/// with its configurations and models, the alarms, the bucket, the mails and what failed for good.
///
/// # Errors
/// Where a service does not answer.
pub fn of(world: &World) -> Result<Value> {
    let model = world.model();
    let call = |service, operation, input: Value| world.call(service, operation, &input).context(operation);
    let list = |answer: &Value, member: &str| {
        answer
            .get(member)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };

    let mut told = Vec::new();
    let versions = call(
        Service::SageMaker,
        "ListModelPackages",
        json!({"ModelPackageGroupName": model}),
    )?;
    for version in list(&versions, "ModelPackageSummaryList") {
        let name = json!({"ModelPackageName": version.get("ModelPackageArn")});
        told.push(call(Service::SageMaker, "DescribeModelPackage", name)?);
    }
    told.push(versions);

    for pipeline in list(&call(Service::CodePipeline, "ListPipelines", json!({}))?, "pipelines") {
        let name = pipeline.get("name");
        told.push(call(Service::CodePipeline, "GetPipelineState", json!({"name": name}))?);
        for operation in ["ListPipelineExecutions", "ListActionExecutions"] {
            told.push(call(Service::CodePipeline, operation, json!({"pipelineName": name}))?);
        }
    }
    for pipeline in list(
        &call(Service::SageMaker, "ListPipelines", json!({}))?,
        "PipelineSummaries",
    ) {
        let name = json!({"PipelineName": pipeline.get("PipelineName")});
        told.push(call(Service::SageMaker, "ListPipelineExecutions", name)?);
    }

    let endpoints = call(Service::SageMaker, "ListEndpoints", json!({}))?;
    for endpoint in list(&endpoints, "Endpoints") {
        let name = json!({"EndpointName": endpoint.get("EndpointName")});
        told.push(call(Service::SageMaker, "DescribeEndpoint", name)?);
    }
    for operation in ["ListEndpointConfigs", "ListModels"] {
        told.push(call(Service::SageMaker, operation, json!({}))?);
    }
    told.push(call(Service::CloudWatch, "DescribeAlarms", json!({}))?);
    told.push(call(Service::S3, "ListObjectsV2", json!({"Bucket": world.bucket()}))?);

    told.push(serde_json::to_value(world.mails())?);
    told.push(Value::Array(world.cloud().dead_letters()));
    Ok(Value::Array(told))
}
