//! What SageMaker does in the roles that it is given: those of pipelines, of jobs and of models.
//!
//! The actions are those of
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-access.html> for pipelines, and of
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html> for jobs and models.

use serde_json::Value;

use super::super::iam::{self, Acting, Ask, Denied};
use super::super::{Cloud, s3};
use super::definition::as_text;
use super::{bucket_and_key, list_of, registry, text, text_if_any};
use crate::cloud::effect::JobKind;

const PRINCIPAL: &str = "sagemaker.amazonaws.com";

/// Asks in a role's name; `source_arn` is what it is for.
///
/// # Errors
/// The first refusal.
pub(super) fn ask(cloud: &mut Cloud, role_arn: &str, source_arn: &str, asks: &[Ask]) -> Result<(), Denied> {
    iam::as_service(cloud, &acting(role_arn, source_arn), asks)
}

/// The same for what goes on without: refusals are kept, and nothing comes of them.
pub(super) fn try_ask(cloud: &mut Cloud, role_arn: &str, source_arn: &str, asks: &[Ask]) {
    drop(iam::try_as_service(cloud, &acting(role_arn, source_arn), asks));
}

fn acting<'a>(role_arn: &'a str, source_arn: &'a str) -> Acting<'a> {
    Acting {
        service: PRINCIPAL,
        role_arn,
        source_arn,
        session: "SageMaker",
    }
}

/// What kinds of jobs are called in actions and in log groups.
fn noun(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Processing => "Processing",
        JobKind::Training => "Training",
    }
}

/// What a step asks, in the pipeline's role, to make its job, and to follow it.
pub(super) fn create_job(kind: JobKind, job_arn: &str, role_arn: &str) -> Vec<Ask> {
    let noun = noun(kind);
    vec![
        Ask::new(format!("sagemaker:Create{noun}Job"), job_arn),
        // Pipelines tag the job with their execution.
        Ask::new("sagemaker:AddTags", job_arn),
        Ask::pass_role(role_arn, PRINCIPAL),
        Ask::new(format!("sagemaker:Describe{noun}Job"), job_arn),
    ]
}

/// What stopping an execution asks, in the pipeline's role, for a job that runs.
pub(super) fn stop_job(kind: JobKind, job_arn: &str) -> Ask {
    Ask::new(format!("sagemaker:Stop{}Job", noun(kind)), job_arn)
}

/// The ARN of a job.
pub(super) fn job_arn(cloud: &Cloud, kind: JobKind, name: &str) -> String {
    let noun = noun(kind).to_lowercase();
    cloud.arn("sagemaker", &format!("{noun}-job/{}", name.to_lowercase()))
}

/// What a job that starts asks in its own role. The error is the job's failure reason.
pub(super) fn start_job(
    cloud: &mut Cloud,
    kind: JobKind,
    name: &str,
    role_arn: &str,
    arguments: &Value,
) -> Result<(), String> {
    let arn = job_arn(cloud, kind, name);
    let (image, network) = match kind {
        JobKind::Processing => ("/AppSpecification/ImageUri", "/NetworkConfig/VpcConfig"),
        JobKind::Training => ("/AlgorithmSpecification/TrainingImage", "/VpcConfig"),
    };
    let image = arguments.pointer(image).map(as_text).unwrap_or_default();
    ask(cloud, role_arn, &arn, &pull(&image))
        .map_err(|denied| format!("ClientError: the image {image} could not be pulled: {denied}"))?;
    if let Some(network) = arguments.pointer(network) {
        let asks = interfaces(cloud, network);
        ask(cloud, role_arn, &arn, &asks)
            .map_err(|denied| format!("ClientError: the network interfaces could not be made: {denied}"))?;
    }
    let mut inputs = Vec::new();
    for (uri, is_archive) in inputs_of(kind, arguments) {
        let Some((bucket, prefix)) = bucket_and_key(&uri) else {
            continue;
        };
        if is_archive {
            inputs.push(Ask::object("s3:GetObject", bucket, prefix));
            continue;
        }
        inputs.push(Ask::new("s3:ListBucket", format!("arn:aws:s3:::{bucket}")).with("s3:prefix", prefix));
        let keys = s3::keys(cloud, bucket, prefix);
        inputs.extend(keys.iter().map(|key| Ask::object("s3:GetObject", bucket, key)));
    }
    ask(cloud, role_arn, &arn, &inputs).map_err(|denied| {
        format!("ClientError: Data download failed:Failed to download data. AccessDenied: {denied}")
    })?;
    let group = format!("/aws/sagemaker/{}Jobs", noun(kind));
    let mut asks = iam::logs::asks(cloud, &group, &format!("{name}/algo-1"));
    asks.push(metrics(&group));
    try_ask(cloud, role_arn, &arn, &asks);
    iam::logs::written(cloud, &group);
    Ok(())
}

/// Where a job's inputs are; whether that is one object.
fn inputs_of(kind: JobKind, arguments: &Value) -> Vec<(String, bool)> {
    let uri = |input: &Value, place: &str| input.pointer(place).map(as_text);
    match kind {
        JobKind::Processing => list_of(arguments, "ProcessingInputs")
            .filter_map(|input| Some((uri(input, "/S3Input/S3Uri")?, false)))
            .collect(),
        JobKind::Training => {
            let channels = list_of(arguments, "InputDataConfig");
            let channels =
                channels.filter_map(|channel| Some((uri(channel, "/DataSource/S3DataSource/S3Uri")?, false)));
            // Script mode's archive; SageMaker's SDK writes the value as JSON.
            let archive = uri(arguments, "/HyperParameters/sagemaker_submit_directory");
            let archive = archive.map(|archive| (archive.trim_matches('"').to_owned(), true));
            channels.chain(archive).collect()
        }
    }
}

/// What a job that ends well asks in its own role, to bring its outputs to S3. The error is the job's failure reason.
pub(super) fn upload<'a>(
    cloud: &mut Cloud,
    kind: JobKind,
    description: &Value,
    objects: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), String> {
    let (config, arn) = match kind {
        JobKind::Processing => ("ProcessingOutputConfig", "ProcessingJobArn"),
        JobKind::Training => ("OutputDataConfig", "TrainingJobArn"),
    };
    let key = description
        .get(config)
        .and_then(|config| text_if_any(config, "KmsKeyId"));
    let put = |(bucket, object)| Ask::object("s3:PutObject", bucket, object).encrypted_with(key.as_deref());
    let asks: Vec<Ask> = objects.map(put).collect();
    ask(cloud, text(description, "RoleArn"), text(description, arn), &asks)
        .map_err(|denied| format!("ClientError: Failed to upload output. AccessDenied: {denied}"))
}

/// What a step that registers a model asks in the pipeline's role.
pub(super) fn register(cloud: &Cloud, group: &str) -> Vec<Ask> {
    let version = registry::next_version(cloud, group);
    let package = cloud.arn(
        "sagemaker",
        &format!("model-package/{}/{version}", group.to_lowercase()),
    );
    let group = cloud.arn("sagemaker", &format!("model-package-group/{}", group.to_lowercase()));
    let mut asks = Vec::with_capacity(4);
    if !registry::has_arn(cloud, &group) {
        asks.push(Ask::new("sagemaker:CreateModelPackageGroup", group.as_str()));
    }
    asks.push(Ask::new("sagemaker:CreateModelPackage", group));
    asks.push(Ask::new("sagemaker:CreateModelPackage", package.as_str()));
    asks.push(Ask::new("sagemaker:DescribeModelPackage", package));
    asks
}

/// An endpoint's instances, for what they ask in the role of their model.
pub(super) struct Serving<'a> {
    pub(super) endpoint: &'a str,
    pub(super) endpoint_arn: &'a str,
    pub(super) variant: &'a str,
    pub(super) role_arn: &'a str,
    pub(super) image: &'a str,
    /// The model archive's URI.
    pub(super) model_data: &'a str,
    pub(super) network: Option<&'a Value>,
    pub(super) capture: Option<&'a Value>,
}

impl Serving<'_> {
    /// Asks what instances need that start. The error is why they do not.
    pub(super) fn ask(&self, cloud: &mut Cloud) -> Result<(), String> {
        let mut asks = pull(self.image);
        if let Some((bucket, key)) = bucket_and_key(self.model_data) {
            asks.push(Ask::object("s3:GetObject", bucket, key));
        }
        if let Some(network) = self.network {
            asks.extend(interfaces(cloud, network));
        }
        ask(cloud, self.role_arn, self.endpoint_arn, &asks).map_err(|denied| denied.to_string())?;
        let group = format!("/aws/sagemaker/Endpoints/{}", self.endpoint);
        let mut asks = iam::logs::asks(cloud, &group, &format!("{}/i-local", self.variant));
        asks.push(metrics("/aws/sagemaker/Endpoints"));
        asks.extend(self.capture(cloud));
        try_ask(cloud, self.role_arn, self.endpoint_arn, &asks);
        iam::logs::written(cloud, &group);
        Ok(())
    }

    /// To keep what is captured, one object for some of the requests.
    fn capture(&self, cloud: &Cloud) -> Option<Ask> {
        let capture = self.capture?;
        capture.get("EnableCapture").and_then(Value::as_bool).filter(|on| *on)?;
        let (bucket, prefix) = bucket_and_key(text(capture, "DestinationS3Uri"))?;
        let hour = cloud.now.strftime("%Y/%m/%d/%H");
        let (endpoint, variant) = (self.endpoint, self.variant);
        let key = format!(
            "{}/{endpoint}/{variant}/{hour}/captured.jsonl",
            prefix.trim_end_matches('/')
        );
        let put = Ask::object("s3:PutObject", bucket, &key);
        Some(put.encrypted_with(text_if_any(capture, "KmsKeyId").as_deref()))
    }
}

fn metrics(namespace: &str) -> Ask {
    Ask::new("cloudwatch:PutMetricData", "*").with("cloudwatch:namespace", namespace)
}

/// What pulling an image asks, where it is one of ECR: `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG`.
fn pull(image: &str) -> Vec<Ask> {
    let repository = || {
        let (registry, name) = image.split_once('/')?;
        let mut parts = registry.split('.');
        let (account, region) = match (parts.next()?, parts.next()?, parts.next()?, parts.next()?) {
            (account, "dkr", "ecr", region) => (account, region),
            _ => return None,
        };
        let name = name.split(['@', ':']).next()?;
        Some(format!("arn:aws:ecr:{region}:{account}:repository/{name}"))
    };
    let Some(repository) = repository() else {
        return Vec::new();
    };
    let layers = ["BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"];
    let layers = layers.map(|action| Ask::new(format!("ecr:{action}"), repository.as_str()));
    let mut asks = vec![Ask::new("ecr:GetAuthorizationToken", "*")];
    asks.extend(layers);
    asks
}

/// What containers in a VPC ask for their network interfaces. EC2 has no narrower resource for the describing actions.
fn interfaces(cloud: &Cloud, network: &Value) -> Vec<Ask> {
    let arn = |kind: &str, id: &str| cloud.arn("ec2", &format!("{kind}/{id}"));
    let interface = arn("network-interface", "eni-local");
    let mut on = vec![interface.clone()];
    on.extend(list_of(network, "Subnets").map(|id| arn("subnet", &as_text(id))));
    on.extend(list_of(network, "SecurityGroupIds").map(|id| arn("security-group", &as_text(id))));
    let mut asks: Vec<Ask> = on
        .into_iter()
        .map(|arn| Ask::new("ec2:CreateNetworkInterface", arn))
        .collect();
    for action in [
        "CreateNetworkInterfacePermission",
        "DeleteNetworkInterface",
        "DeleteNetworkInterfacePermission",
    ] {
        asks.push(Ask::new(format!("ec2:{action}"), interface.as_str()));
    }
    for action in [
        "DescribeDhcpOptions",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroups",
        "DescribeSubnets",
        "DescribeVpcs",
    ] {
        asks.push(Ask::new(format!("ec2:{action}"), "*"));
    }
    asks
}
