//! Models, endpoint configurations and endpoints; requests to endpoints.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::iam::Ask;
use super::super::{applicationautoscaling, cloudwatch, events, s3};
use super::capacity::{self, Scaling};
use super::definition::as_text;
use super::role::{self, Serving};
use super::rollout::{self, Update};
use super::{
    DefaultOrder, Listed, bucket_and_key, cut, epoch_seconds, list_of, page, refuse, registry, set, tag, text,
    text_if_any, without_nulls,
};
use crate::cloud::effect::{Effect, EffectId, StartInstance};
use crate::cloud::{ApiError, Cloud};

/// All by name.
#[derive(Debug, Default)]
pub(super) struct State {
    models: BTreeMap<String, Made>,
    configs: BTreeMap<String, Made>,
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    /// Whose the instances are that were ever started.
    pub(super) instances: BTreeMap<EffectId, Owner>,
    /// How many requests each configuration answered, and how many it failed.
    served: BTreeMap<String, (u64, u64)>,
    /// How many phases, deployments and other changes there were: their ids, by which timers know that they are void.
    pub(super) serial: u64,
}

/// The id of a new phase, deployment or other change of an endpoint.
pub(super) fn next_id(cloud: &mut Cloud) -> u64 {
    cloud.sagemaker.endpoints.serial += 1;
    cloud.sagemaker.endpoints.serial
}

/// A model or an endpoint configuration.
#[derive(Debug)]
struct Made {
    arn: String,
    created: Timestamp,
    /// The how manieth it is: what was made in the same millisecond is listed in that order.
    number: u64,
    /// What it was made with.
    input: Value,
}

/// Whose an instance is.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) endpoint: String,
    pub(super) config: String,
    variant: String,
}

/// An endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) arn: String,
    /// What it serves; while it is updated, still what it served before.
    pub(super) config: String,
    pub(super) status: Status,
    pub(super) failure: Option<String>,
    created: Timestamp,
    pub(super) modified: Timestamp,
    /// The fleet of [`config`](Self::config).
    pub(super) fleet: Fleet,
    pub(super) update: Option<Update>,
    /// A change of its capacity that is under way.
    pub(super) scaling: Option<Scaling>,
    /// The maintenance that is under way: its id.
    pub(super) maintenance: Option<u64>,
    pub(super) last_deployment: Option<Value>,
    /// By how much requests are owed to the old and the new fleet, for routing.
    pub(super) owed: [i64; 2],
}

/// `EndpointStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Creating,
    Updating,
    SystemUpdating,
    RollingBack,
    InService,
    Deleting,
    Failed,
    UpdateRollbackFailed,
}

impl Status {
    /// As the API has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Updating => "Updating",
            Self::SystemUpdating => "SystemUpdating",
            Self::RollingBack => "RollingBack",
            Self::InService => "InService",
            Self::Deleting => "Deleting",
            Self::Failed => "Failed",
            Self::UpdateRollbackFailed => "UpdateRollbackFailed",
        }
    }

    /// As the events have it.
    fn shout(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Updating => "UPDATING",
            Self::SystemUpdating => "SYSTEM_UPDATING",
            Self::RollingBack => "ROLLING_BACK",
            Self::InService => "IN_SERVICE",
            Self::Deleting => "DELETING",
            Self::Failed => "FAILED",
            Self::UpdateRollbackFailed => "UPDATE_ROLLBACK_FAILED",
        }
    }
}

/// The instances of one configuration behind an endpoint. After a rollback that failed, some may be of another configuration.
#[derive(Debug, Clone)]
pub(super) struct Fleet {
    pub(super) config: String,
    pub(super) variant: String,
    image: Option<String>,
    pub(super) instance_type: Option<String>,
    pub(super) weight: f64,
    /// `DataCaptureConfig`.
    pub(super) data_capture: Option<Value>,
    /// How many instances it is to have.
    pub(super) wanted: usize,
    /// Its instances, those that are starting too.
    pub(super) instances: Vec<EffectId>,
    /// Those that answered their first ping.
    pub(super) up: BTreeSet<EffectId>,
    /// The how manieth request is next.
    next: usize,
}

impl Fleet {
    /// Whether all that were started are up.
    pub(super) fn is_up(&self) -> bool {
        self.instances.iter().all(|id| self.up.contains(id))
    }

    /// Whether its instances are of the kind that has no deployment guardrails.
    pub(super) fn is_inf1(&self) -> bool {
        self.instance_type
            .as_deref()
            .is_some_and(|kind| kind.starts_with("ml.inf1."))
    }

    /// The instance whose turn it is, among the first so many.
    fn turn(&mut self, among: usize) -> Option<EffectId> {
        let ready: Vec<EffectId> = self
            .instances
            .iter()
            .filter(|id| self.up.contains(id))
            .take(among)
            .copied()
            .collect();
        let place = self.next.checked_rem(ready.len())?;
        self.next = self.next.wrapping_add(1);
        ready.get(place).copied()
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The instance: the id of its [`StartInstance`].
    pub instance: EffectId,
    /// The endpoint configuration that it belongs to.
    pub config: String,
    /// The production variant.
    pub variant: String,
}

fn arn(cloud: &Cloud, kind: &str, name: &str) -> String {
    cloud.arn("sagemaker", &format!("{kind}/{}", name.to_lowercase()))
}

/// Whether a model, a configuration or an endpoint has this ARN.
pub(super) fn has_arn(cloud: &Cloud, arn: &str) -> bool {
    let state = &cloud.sagemaker.endpoints;
    state
        .models
        .values()
        .chain(state.configs.values())
        .any(|made| made.arn == arn)
        || state.endpoints.values().any(|endpoint| endpoint.arn == arn)
}

fn missing(cloud: &Cloud, kind: &str, what: &str, name: &str) -> ApiError {
    ApiError::validation(format!("Could not find {what} \"{}\".", arn(cloud, kind, name)))
}

fn exists(cloud: &Cloud, kind: &str, what: &str, name: &str) -> ApiError {
    ApiError::validation(format!(
        "Cannot create already existing {what} \"{}\".",
        arn(cloud, kind, name)
    ))
}

/// The only container of a model, with what its model package says of it.
fn container(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let mut containers = list_of(input, "Containers").chain(input.get("PrimaryContainer"));
    let (Some(container), None) = (containers.next(), containers.next()) else {
        return Err(ApiError::validation(
            "The local cloud serves models of exactly one container.",
        ));
    };
    refuse(
        container,
        &[
            "AdditionalModelDataSources",
            "InferenceSpecificationName",
            "MultiModelConfig",
        ],
    )?;
    let mut container = container.clone();
    if let Some(package) = container.get("ModelPackageName").and_then(Value::as_str) {
        let packaged = registry::container(cloud, package)?;
        let mut environment = packaged.get("Environment").cloned().unwrap_or_else(|| json!({}));
        for (name, value) in container
            .get("Environment")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            set(&mut environment, name, value.clone());
        }
        set(&mut container, "Environment", environment);
        for member in ["Image", "ModelDataUrl", "ModelDataSource"] {
            if container.get(member).is_none() {
                set(
                    &mut container,
                    member,
                    packaged.get(member).cloned().unwrap_or_default(),
                );
            }
        }
    }
    Ok(container)
}

/// Where a container's model archive is.
fn model_data(container: &Value) -> Option<String> {
    let source = container.pointer("/ModelDataSource/S3DataSource");
    let compressed = source.filter(|source| text(source, "S3DataType") == "S3Object");
    container
        .get("ModelDataUrl")
        .or_else(|| compressed?.get("S3Uri"))
        .map(as_text)
}

/// `CreateModel`.
pub(super) fn create_model(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "ModelName").to_owned();
    if cloud.sagemaker.endpoints.models.contains_key(&name) {
        return Err(exists(cloud, "model", "model", &name));
    }
    let container = container(cloud, input)?;
    let Some(url) = model_data(&container) else {
        return Err(ApiError::validation(
            "The local cloud serves models whose data is one archive: ModelDataUrl is missing.",
        ));
    };
    let arn = arn(cloud, "model", &name);
    let may_read = bucket_and_key(&url).is_some_and(|(bucket, key)| {
        let read = Ask::object("s3:GetObject", bucket, key);
        role::ask(cloud, text(input, "ExecutionRoleArn"), &arn, &[read]).is_ok()
    });
    let archive = bucket_and_key(&url).and_then(|(bucket, key)| s3::get(cloud, bucket, key));
    if archive.is_none() || !may_read {
        return Err(ApiError::validation(format!(
            "Could not access model data at {url}. Please ensure that the role \"{}\" exists and that its trust relationship policy \
             allows the action \"sts:AssumeRole\" for the service principal \"sagemaker.amazonaws.com\". Also ensure that the role has \
             \"s3:GetObject\" permissions and that the object is located in {}.",
            text(input, "ExecutionRoleArn"),
            cloud.target.region
        )));
    }
    tag(cloud, &arn, input)?;
    let made = Made {
        arn: arn.clone(),
        created: cloud.now,
        number: next_id(cloud),
        input: input.clone(),
    };
    cloud.sagemaker.endpoints.models.insert(name, made);
    Ok(json!({"ModelArn": arn}))
}

/// What something was made with, as its description.
fn description(made: &Made, arn_member: &str) -> Value {
    let mut answer = made.input.clone();
    set(&mut answer, "Tags", Value::Null);
    set(&mut answer, arn_member, json!(made.arn));
    set(&mut answer, "CreationTime", json!(epoch_seconds(made.created)));
    // In an input, a null is as good as nothing.
    without_nulls(answer)
}

/// `DescribeModel`.
pub(super) fn describe_model(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "ModelName");
    let model = cloud
        .sagemaker
        .endpoints
        .models
        .get(name)
        .ok_or_else(|| missing(cloud, "model", "model", name))?;
    Ok(description(model, "ModelArn"))
}

/// `DeleteModel`.
pub(super) fn delete_model(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "ModelName");
    match cloud.sagemaker.endpoints.models.remove(name) {
        Some(model) => {
            cloud.sagemaker.tags.remove(&model.arn);
            Ok(json!({}))
        }
        None => Err(missing(cloud, "model", "model", name)),
    }
}

fn list_made(made: &BTreeMap<String, Made>, input: &Value, member: &str, noun: &str) -> Result<Value, ApiError> {
    let mut made: Vec<(&String, &Made)> = made.iter().collect();
    made.sort_by_key(|(_, made)| made.number);
    let items = made.into_iter().map(|(name, made)| Listed {
        key: name.clone(),
        name: name.clone(),
        created: made.created,
        modified: made.created,
        summary: json!({
            format!("{noun}Name"): name,
            format!("{noun}Arn"): made.arn,
            "CreationTime": epoch_seconds(made.created),
        }),
    });
    page(items.collect(), input, member, DefaultOrder::Descending)
}

/// `ListModels`.
pub(super) fn list_models(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    list_made(&cloud.sagemaker.endpoints.models, input, "Models", "Model")
}

/// `CreateEndpointConfig`.
pub(super) fn create_config(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    refuse(
        input,
        &[
            "AsyncInferenceConfig",
            "CrossRegionTrafficConfig",
            "ExplainerConfig",
            "ShadowProductionVariants",
        ],
    )?;
    let name = text(input, "EndpointConfigName").to_owned();
    if cloud.sagemaker.endpoints.configs.contains_key(&name) {
        return Err(exists(cloud, "endpoint-config", "endpoint configuration", &name));
    }
    let mut variants = list_of(input, "ProductionVariants");
    let (Some(variant), None) = (variants.next(), variants.next()) else {
        return Err(ApiError::validation(
            "The local cloud serves endpoint configurations of exactly one production variant.",
        ));
    };
    refuse(
        variant,
        &["ServerlessConfig", "ManagedInstanceScaling", "InstancePools"],
    )?;
    let model = text(variant, "ModelName");
    if !cloud.sagemaker.endpoints.models.contains_key(model) {
        return Err(missing(cloud, "model", "model", model));
    }
    let arn = arn(cloud, "endpoint-config", &name);
    tag(cloud, &arn, input)?;
    let mut input = input.clone();
    if let Some(Value::Array(variants)) = input.get_mut("ProductionVariants") {
        for variant in variants {
            for (member, default) in [("InitialVariantWeight", json!(1.0)), ("InitialInstanceCount", json!(1))] {
                if variant.get(member).is_none() {
                    set(variant, member, default);
                }
            }
        }
    }
    let made = Made {
        arn: arn.clone(),
        created: cloud.now,
        number: next_id(cloud),
        input,
    };
    cloud.sagemaker.endpoints.configs.insert(name, made);
    Ok(json!({"EndpointConfigArn": arn}))
}

/// `DescribeEndpointConfig`.
pub(super) fn describe_config(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "EndpointConfigName");
    let config = cloud.sagemaker.endpoints.configs.get(name);
    let config = config.ok_or_else(|| missing(cloud, "endpoint-config", "endpoint configuration", name))?;
    Ok(description(config, "EndpointConfigArn"))
}

/// `DeleteEndpointConfig`.
pub(super) fn delete_config(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "EndpointConfigName");
    match cloud.sagemaker.endpoints.configs.remove(name) {
        Some(config) => {
            cloud.sagemaker.tags.remove(&config.arn);
            Ok(json!({}))
        }
        None => Err(missing(cloud, "endpoint-config", "endpoint configuration", name)),
    }
}

/// `ListEndpointConfigs`.
pub(super) fn list_configs(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    list_made(
        &cloud.sagemaker.endpoints.configs,
        input,
        "EndpointConfigs",
        "EndpointConfig",
    )
}

/// A fleet for a configuration, without instances yet.
pub(super) fn fleet(cloud: &Cloud, config: &str) -> Result<Fleet, ApiError> {
    let state = &cloud.sagemaker.endpoints;
    let made = state.configs.get(config);
    let made = made.ok_or_else(|| missing(cloud, "endpoint-config", "endpoint configuration", config))?;
    let variant = list_of(&made.input, "ProductionVariants")
        .next()
        .unwrap_or(&Value::Null);
    let model = text(variant, "ModelName");
    let model = state
        .models
        .get(model)
        .ok_or_else(|| missing(cloud, "model", "model", model))?;
    let container = container(cloud, &model.input)?;
    let count = variant.get("InitialInstanceCount").and_then(Value::as_u64).unwrap_or(1);
    Ok(Fleet {
        config: config.to_owned(),
        variant: text(variant, "VariantName").to_owned(),
        image: container.get("Image").map(as_text),
        instance_type: text_if_any(variant, "InstanceType"),
        data_capture: made.input.get("DataCaptureConfig").cloned(),
        weight: variant
            .get("InitialVariantWeight")
            .and_then(Value::as_f64)
            .unwrap_or(1.0),
        wanted: usize::try_from(count).unwrap_or(1).max(1),
        instances: Vec::new(),
        up: BTreeSet::new(),
        next: 0,
    })
}

/// Starts so many instances of a configuration.
pub(super) fn start_instances(
    cloud: &mut Cloud,
    endpoint: &str,
    fleet: &mut Fleet,
    count: usize,
) -> Result<(), String> {
    let (archive, environment) = what_runs(cloud, &fleet.config)?;
    if count > 0 {
        may_serve(cloud, endpoint, fleet)?;
    }
    for _ in 0..count {
        let start = |id| {
            Effect::StartInstance(StartInstance {
                id,
                endpoint: endpoint.to_owned(),
                config: fleet.config.clone(),
                model_archive: archive.clone(),
                environment: environment.clone(),
            })
        };
        let id = cloud.effect(start);
        fleet.instances.push(id);
        let owner = Owner {
            endpoint: endpoint.to_owned(),
            config: fleet.config.clone(),
            variant: fleet.variant.clone(),
        };
        cloud.sagemaker.endpoints.instances.insert(id, owner);
    }
    Ok(())
}

/// Asks what a fleet's instances need, in the role of its model. The error is why they don't start.
fn may_serve(cloud: &mut Cloud, endpoint: &str, fleet: &Fleet) -> Result<(), String> {
    let state = &cloud.sagemaker.endpoints;
    let made = state.configs.get(&fleet.config);
    let variant = made.and_then(|made| list_of(&made.input, "ProductionVariants").next());
    let model = variant.and_then(|variant| state.models.get(text(variant, "ModelName")));
    let Some(model) = model.map(|model| model.input.clone()) else {
        return Ok(());
    };
    let container = container(cloud, &model).map_err(|error| error.message)?;
    let serving = Serving {
        endpoint,
        endpoint_arn: &arn(cloud, "endpoint", endpoint),
        variant: &fleet.variant,
        role_arn: text(&model, "ExecutionRoleArn"),
        image: text(&container, "Image"),
        model_data: &model_data(&container).unwrap_or_default(),
        network: model.get("VpcConfig"),
        capture: fleet.data_capture.as_ref(),
    };
    serving.ask(cloud)
}

/// The model archive and the environment of a configuration's instances.
fn what_runs(cloud: &Cloud, config: &str) -> Result<(Bytes, BTreeMap<String, String>), String> {
    let state = &cloud.sagemaker.endpoints;
    let gone = |what: &str| format!("the {what} of endpoint configuration {config} is gone");
    let made = state
        .configs
        .get(config)
        .ok_or_else(|| format!("endpoint configuration {config} is gone"))?;
    let variant = list_of(&made.input, "ProductionVariants")
        .next()
        .unwrap_or(&Value::Null);
    let model = state
        .models
        .get(text(variant, "ModelName"))
        .ok_or_else(|| gone("model"))?;
    let container = container(cloud, &model.input).map_err(|error| error.message)?;
    let url = model_data(&container).unwrap_or_default();
    let archive = bucket_and_key(&url).and_then(|(bucket, key)| s3::get(cloud, bucket, key));
    let archive = archive.ok_or_else(|| gone(&format!("model data at {url}")))?;
    let environment = container
        .get("Environment")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    Ok((
        archive,
        environment
            .map(|(name, value)| (name.clone(), as_text(value)))
            .collect(),
    ))
}

/// Stops instances.
pub(super) fn stop_instances(cloud: &mut Cloud, instances: impl IntoIterator<Item = EffectId>) {
    for id in instances {
        cloud.effects.push_back(Effect::StopInstance { id });
    }
}

/// The failure reason where an instance did not come up.
pub(super) fn no_ping(variant: &str, reason: &str) -> String {
    let text = format!(
        "The primary container for production variant {variant} did not pass the ping health check. Please check CloudWatch logs for \
         this endpoint. {reason}"
    );
    cut(text.trim_end(), 1024)
}

/// `CreateEndpoint`.
pub(super) fn create(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "EndpointName").to_owned();
    if cloud.sagemaker.endpoints.endpoints.contains_key(&name) {
        return Err(exists(cloud, "endpoint", "endpoint", &name));
    }
    let config = text(input, "EndpointConfigName").to_owned();
    let mut fleet = fleet(cloud, &config)?;
    let arn = arn(cloud, "endpoint", &name);
    tag(cloud, &arn, input)?;
    let wanted = fleet.wanted;
    let started = start_instances(cloud, &name, &mut fleet, wanted);
    let endpoint = Endpoint {
        name: name.clone(),
        arn: arn.clone(),
        config,
        status: Status::Creating,
        failure: None,
        created: cloud.now,
        modified: cloud.now,
        fleet,
        update: None,
        scaling: None,
        maintenance: None,
        last_deployment: input.get("DeploymentConfig").cloned(),
        owed: [0, 0],
    };
    cloud.sagemaker.endpoints.endpoints.insert(name.clone(), endpoint);
    change(cloud, &name, Status::Creating);
    if let Err(reason) = started {
        fail_creation(cloud, &name, &reason);
    }
    Ok(json!({"EndpointArn": arn}))
}

fn fail_creation(cloud: &mut Cloud, name: &str, reason: &str) {
    let Some(endpoint) = cloud.sagemaker.endpoints.endpoints.get_mut(name) else {
        return;
    };
    endpoint.failure = Some(no_ping(&endpoint.fleet.variant, reason));
    endpoint.fleet.up.clear();
    let instances = std::mem::take(&mut endpoint.fleet.instances);
    stop_instances(cloud, instances);
    change(cloud, name, Status::Failed);
}

/// `DeleteEndpoint`.
pub(super) fn delete(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "EndpointName");
    let endpoint = find(cloud, name)?;
    if matches!(
        endpoint.status,
        Status::Updating | Status::SystemUpdating | Status::RollingBack
    ) {
        return Err(busy(endpoint));
    }
    change(cloud, name, Status::Deleting);
    if let Some(endpoint) = cloud.sagemaker.endpoints.endpoints.remove(name) {
        cloud.sagemaker.tags.remove(&endpoint.arn);
        stop_instances(cloud, endpoint.fleet.instances);
        applicationautoscaling::endpoint_deleted(cloud, name);
    }
    Ok(json!({}))
}

/// The endpoint of a name.
pub(super) fn find<'a>(cloud: &'a Cloud, name: &str) -> Result<&'a Endpoint, ApiError> {
    let endpoint = cloud.sagemaker.endpoints.endpoints.get(name);
    endpoint.ok_or_else(|| missing(cloud, "endpoint", "endpoint", name))
}

/// Whether instances of another configuration serve too: a rollback failed, and no other update has mended it.
pub(super) fn is_mixed(cloud: &Cloud, endpoint: &Endpoint) -> bool {
    let owners = &cloud.sagemaker.endpoints.instances;
    let mut found = endpoint.fleet.instances.iter().filter_map(|id| owners.get(id));
    found.any(|owner| owner.config != endpoint.fleet.config)
}

/// The refusal to change an endpoint that is changing.
pub(super) fn busy(endpoint: &Endpoint) -> ApiError {
    ApiError::validation(format!("Cannot update in-progress endpoint \"{}\".", endpoint.arn))
}

/// `DescribeEndpoint`.
pub(super) fn describe(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let endpoint = find(cloud, text(input, "EndpointName"))?;
    let started = matches!(
        endpoint.status,
        Status::InService
            | Status::Updating
            | Status::SystemUpdating
            | Status::RollingBack
            | Status::UpdateRollbackFailed
    );
    let variants = started.then(|| vec![serving_summary(endpoint, epoch_seconds)]);
    let pending = endpoint.update.as_ref().map(|update| {
        let mut summary = update.summary(epoch_seconds);
        if let Some(variant) = summary.pointer_mut("/ProductionVariants/0") {
            set(variant, "InstanceType", json!(update.fleet.instance_type));
        }
        summary
    });
    Ok(without_nulls(json!({
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.config,
        "EndpointStatus": endpoint.status.name(),
        "FailureReason": endpoint.failure,
        "ProductionVariants": variants,
        "DataCaptureConfig": endpoint.fleet.data_capture.as_ref().filter(|_| started).map(capture_summary),
        "LastDeploymentConfig": endpoint.last_deployment,
        "PendingDeploymentSummary": pending,
        "CreationTime": epoch_seconds(endpoint.created),
        "LastModifiedTime": epoch_seconds(endpoint.modified),
    })))
}

/// What answers and events say of a fleet. The weight is that among a configuration's variants: a deployment doesn't change it.
pub(super) fn variant_summary(fleet: &Fleet, resolved: Timestamp) -> Value {
    let image = fleet.image.as_ref().map(
        |image| json!([{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": epoch_seconds(resolved)}]),
    );
    without_nulls(json!({
        "VariantName": fleet.variant,
        "DeployedImages": image,
        "CurrentWeight": fleet.weight,
        "DesiredWeight": fleet.weight,
        "CurrentInstanceCount": fleet.up.len(),
        "DesiredInstanceCount": fleet.wanted,
    }))
}

/// What answers and events say of the fleet that serves, with times written as the place has them.
fn serving_summary<T: serde::Serialize>(endpoint: &Endpoint, time: impl Fn(Timestamp) -> T) -> Value {
    let mut variant = variant_summary(&endpoint.fleet, endpoint.created);
    if let Some(scaling) = &endpoint.scaling {
        set(&mut variant, "VariantStatus", scaling.status(time));
    }
    variant
}

/// `DataCaptureConfigSummary`.
fn capture_summary(config: &Value) -> Value {
    let enabled = config.get("EnableCapture").and_then(Value::as_bool).unwrap_or_default();
    json!({
        "EnableCapture": enabled,
        "CaptureStatus": if enabled { "Started" } else { "Stopped" },
        "CurrentSamplingPercentage": config.get("InitialSamplingPercentage").cloned().unwrap_or_default(),
        "DestinationS3Uri": text(config, "DestinationS3Uri"),
        "KmsKeyId": text(config, "KmsKeyId"),
    })
}

/// `ListEndpoints`.
pub(super) fn list(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let status = input.get("StatusEquals").and_then(Value::as_str);
    let endpoints = cloud.sagemaker.endpoints.endpoints.values();
    let items = endpoints
        .filter(|endpoint| status.is_none_or(|status| endpoint.status.name() == status))
        .map(|endpoint| Listed {
            key: endpoint.name.clone(),
            name: endpoint.name.clone(),
            created: endpoint.created,
            modified: endpoint.modified,
            summary: json!({
                "EndpointName": endpoint.name,
                "EndpointArn": endpoint.arn,
                "EndpointStatus": endpoint.status.name(),
                "CreationTime": epoch_seconds(endpoint.created),
                "LastModifiedTime": epoch_seconds(endpoint.modified),
            }),
        });
    page(items.collect(), input, "Endpoints", DefaultOrder::Descending)
}

/// Changes an endpoint's status, and tells of it.
pub(super) fn change(cloud: &mut Cloud, name: &str, status: Status) {
    let now = cloud.now;
    let Some(endpoint) = cloud.sagemaker.endpoints.endpoints.get_mut(name) else {
        return;
    };
    endpoint.status = status;
    endpoint.modified = now;
    let note = without_nulls(json!({"status": status.name(), "config": endpoint.config, "reason": endpoint.failure}));
    cloud.note("sagemaker", name, "endpoint-status", note);
    tell(cloud, name, "SageMaker Endpoint State Change");
    if status == Status::InService {
        applicationautoscaling::endpoint_in_service(cloud, name);
    }
}

/// Sends an event of an endpoint.
pub(super) fn tell(cloud: &mut Cloud, name: &str, kind: &str) {
    let Some(endpoint) = cloud.sagemaker.endpoints.endpoints.get(name) else {
        return;
    };
    let tags = cloud.sagemaker.tags.get(&endpoint.arn).cloned().unwrap_or_default();
    let milliseconds = |time: Timestamp| json!(time.as_millisecond());
    let mut variant = serving_summary(endpoint, milliseconds);
    set(&mut variant, "DeployedImages", Value::Null);
    let mut detail = json!({
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.config,
        "ProductionVariants": [variant],
        "EndpointStatus": endpoint.status.shout(),
        "FailureReason": endpoint.failure,
        "CreationTime": milliseconds(endpoint.created),
        "LastModifiedTime": milliseconds(endpoint.modified),
        "Tags": tags,
    });
    if kind == "SageMaker Endpoint Deployment State Change"
        && let Some(update) = &endpoint.update
    {
        set(&mut detail, "PendingDeploymentSummary", update.summary(milliseconds));
    }
    let resources = vec![endpoint.arn.clone()];
    events::put(cloud, "aws.sagemaker", kind, resources, detail);
}

/// Notes for the timeline which share of an endpoint's traffic goes to a configuration.
pub(super) fn note_share(cloud: &mut Cloud, endpoint: &str, config: &str, share: f64) {
    let note = json!({"endpoint": endpoint, "config": config, "share": share});
    cloud.note("sagemaker", endpoint, "traffic-shifted", note);
}

impl Cloud {
    /// Says whether a [`StartInstance`] came up; the error is why not. A report of an instance that is not waited for any more
    /// changes nothing.
    pub fn finish_start(&mut self, id: EffectId, result: Result<(), String>) {
        let Some(name) = self
            .sagemaker
            .endpoints
            .instances
            .get(&id)
            .map(|owner| owner.endpoint.clone())
        else {
            return;
        };
        let Some(endpoint) = self.sagemaker.endpoints.endpoints.get_mut(&name) else {
            return;
        };
        if endpoint.scaling.is_some() {
            return capacity::started(self, &name, id, result);
        }
        if endpoint.fleet.up.contains(&id)
            || !endpoint.fleet.instances.contains(&id)
            || endpoint.status != Status::Creating
        {
            return rollout::started(self, &name, id, result);
        }
        match result {
            Err(reason) => fail_creation(self, &name, &reason),
            Ok(()) => {
                endpoint.fleet.up.insert(id);
                if endpoint.fleet.is_up() {
                    let config = endpoint.config.clone();
                    change(self, &name, Status::InService);
                    note_share(self, &name, &config, 1.0);
                }
            }
        }
    }

    /// Chooses the instance for a request: fleets by their share of the traffic, evenly spread (of a tenth, exactly every tenth
    /// request), and the instances of a fleet in turn.
    ///
    /// # Errors
    /// Where there is no such endpoint, or it does not serve.
    pub fn route(&mut self, endpoint: &str) -> Result<Route, ApiError> {
        let account = self.target.account.clone();
        let missing = || {
            ApiError::new(
                "ValidationError",
                format!("Endpoint {endpoint} of account {account} not found."),
            )
        };
        let found = self
            .sagemaker
            .endpoints
            .endpoints
            .get_mut(endpoint)
            .ok_or_else(missing)?;
        if matches!(found.status, Status::Creating | Status::Failed | Status::Deleting) {
            return Err(missing());
        }
        let weights = found.update.as_ref().map_or([1, 0], |update| update.weights());
        // Smooth weighted round robin: each fleet is owed its weight; who is owed most is served, and owes the others.
        for (owed, weight) in found.owed.iter_mut().zip(weights) {
            *owed += weight;
        }
        let [old, new] = &mut found.owed;
        let to_new = *new > *old;
        *(if to_new { new } else { old }) -= weights.iter().sum::<i64>();
        let (fleet, among) = match &mut found.update {
            Some(update) if to_new => {
                let among = update.on;
                (&mut update.fleet, among)
            }
            _ => (&mut found.fleet, usize::MAX),
        };
        let instance = fleet.turn(among).ok_or_else(missing)?;
        let variant = fleet.variant.clone();
        let config = match self.sagemaker.endpoints.instances.get(&instance) {
            Some(owner) => owner.config.clone(),
            None => fleet.config.clone(),
        };
        Ok(Route {
            instance,
            config,
            variant,
        })
    }

    /// Counts a request that an instance answered, for CloudWatch and [`served`](Self::served). An instance that never was
    /// is ignored.
    pub fn record_invocation(&mut self, instance: EffectId, status: u16, latency_us: u64) {
        let Some(owner) = self.sagemaker.endpoints.instances.get(&instance).cloned() else {
            return;
        };
        let failed = status >= 500;
        let (served, failures) = self.sagemaker.endpoints.served.entry(owner.config.clone()).or_default();
        *(if failed { failures } else { served }) += 1;
        let one_if = |is: bool| if is { 1.0 } else { 0.0 };
        let [endpoint_name, variant_name] = [
            ("EndpointName", owner.endpoint.as_str()),
            ("VariantName", owner.variant.as_str()),
        ];
        let names = [endpoint_name, variant_name];
        let with_config = [
            endpoint_name,
            variant_name,
            ("EndpointConfigName", owner.config.as_str()),
        ];
        applicationautoscaling::count_request(self, &owner.endpoint, &owner.variant);
        // While two fleets serve, each also has metrics of its own.
        let endpoint = self.sagemaker.endpoints.endpoints.get(&owner.endpoint);
        let both_serve = endpoint.is_some_and(|endpoint| endpoint.update.is_some() || is_mixed(self, endpoint));
        for (name, value) in [
            ("Invocations", 1.0),
            ("Invocation4XXErrors", one_if((400..500).contains(&status))),
            ("Invocation5XXErrors", one_if(failed)),
            ("ModelLatency", latency_us as f64),
        ] {
            cloudwatch::put_metric(self, "AWS/SageMaker", name, &names, value);
            if both_serve {
                cloudwatch::put_metric(self, "AWS/SageMaker", name, &with_config, value);
            }
        }
    }

    /// How many requests an endpoint configuration answered, and how many it failed (status 500 and above), on any endpoint.
    #[must_use]
    pub fn served(&self, config: &str) -> (u64, u64) {
        self.sagemaker.endpoints.served.get(config).copied().unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod tests;
