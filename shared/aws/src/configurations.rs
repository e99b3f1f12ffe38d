//! What endpoints are made of: SageMaker models and endpoint configurations.

use std::collections::BTreeMap;

use aws_sdk_sagemaker::operation::describe_endpoint_config::DescribeEndpointConfigOutput;
use aws_sdk_sagemaker::types::{
    CaptureMode, CaptureOption, ContainerDefinition, DataCaptureConfig, EndpointConfigSortKey, OrderKey,
    ProductionVariant, Tag, VpcConfig,
};
use jiff::Timestamp;
use signalbox_model::endpoint::{Configuration, Variant};
use signalbox_model::package::Container;

use crate::endpoints::Endpoints;
use crate::error::{AwsError, ErrorKind};
use crate::registry::timestamp;

/// The tags that the train puts on an endpoint configuration, and on the endpoint.
pub mod tag {
    /// The model package that it serves.
    pub const MODEL_PACKAGE: &str = "signalbox:model-package";
    /// The release (CodePipeline execution id) that made it.
    pub const RELEASE: &str = "signalbox:release";
    /// The commit that was trained.
    pub const COMMIT: &str = "signalbox:commit";
    /// Who approved it.
    pub const APPROVER: &str = "signalbox:approver";
    /// The configuration that it replaced.
    pub const REPLACES: &str = "signalbox:replaces";
    /// The configuration that it was made to take back.
    pub const UNDOES: &str = "signalbox:undoes";
    /// On the endpoint: the state that people were told of last.
    pub const TOLD_STATE: &str = "signalbox:told-state";
    /// On the endpoint: the alarm that people were told of last.
    pub const TOLD_ALARM: &str = "signalbox:told-alarm";
    /// On the endpoint: the rollback whose failure people were told of last, and when.
    pub const TOLD_ROLLBACK: &str = "signalbox:told-rollback";
}

/// A configuration that is there: what decisions need of it, and, where it comes from SageMaker, all else, so that it can be taken
/// over.
#[derive(Debug, Clone)]
pub struct ServedConfig {
    /// What decisions need.
    pub facts: Configuration,
    whole: Option<Box<DescribeEndpointConfigOutput>>,
}

impl ServedConfig {
    /// A configuration that is nothing but its facts.
    #[must_use]
    pub fn of(facts: Configuration) -> Self {
        Self { facts, whole: None }
    }
}

/// An endpoint configuration to be made.
#[derive(Debug, Clone)]
pub struct NewConfig {
    /// Its name.
    pub name: String,
    /// The configuration from which all is taken over that [`changes`](Self::changes) do not name.
    pub base: Option<ServedConfig>,
    /// What is not as in the base; nothing, to make a copy.
    pub changes: Option<Changes>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// What the template says of a configuration. What is absent is taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The variant's name.
    pub variant: String,
    /// The SageMaker model that the variant serves.
    pub model: String,
    /// The variant's instance type.
    pub instance_type: String,
    /// The variant's instances to begin with.
    pub instance_count: u32,
    /// The size of each instance's volume, in GiB.
    pub volume_gb: Option<u32>,
    /// The KMS key that encrypts the volumes.
    pub volume_key: Option<String>,
    /// What is captured of requests and answers.
    pub capture: Option<Capture>,
}

/// Data capture: what drift is measured on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// The share of the requests that is kept, in percent.
    pub percent: u32,
    /// Where it is kept: `s3://BUCKET/PREFIX`.
    pub s3_uri: String,
    /// The KMS key that encrypts it.
    pub key: Option<String>,
}

/// A SageMaker model to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewModel<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it runs.
    pub container: &'a Container,
    /// The role that its containers have.
    pub role_arn: &'a str,
    /// How its containers reach the network.
    pub network: &'a Network,
}

/// How a model's containers reach the network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// The subnets of the VPC that it is in; empty for none.
    pub subnets: Vec<String>,
    /// Its security groups there.
    pub security_groups: Vec<String>,
    /// Whether it reaches nothing at all.
    pub isolated: bool,
}

/// Lets one see what an endpoint serves.
pub trait ReadConfigs: Send + Sync {
    /// A configuration, if it is there.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn config(&self, name: &str) -> impl Future<Output = Result<Option<ServedConfig>, AwsError>> + Send;

    /// How a model's containers reach the network; the default where there is no such model.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn network(&self, model: &str) -> impl Future<Output = Result<Network, AwsError>> + Send;
}

/// Lets one see the tags of a configuration or an endpoint.
pub trait ReadTags: Send + Sync {
    /// Its tags; none where there is no such thing any more.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn tags(&self, arn: &str) -> impl Future<Output = Result<BTreeMap<String, String>, AwsError>> + Send;
}

/// Lets one tag an endpoint.
pub trait WriteTags: Send + Sync {
    /// Sets one tag; where there is no such thing any more, nothing.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn tag(&self, arn: &str, key: &str, value: &str) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// Lets one make what an endpoint serves.
pub trait MakeConfigs: Send + Sync {
    /// Makes a SageMaker model, if it is not there.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn make_model(&self, model: &NewModel<'_>) -> impl Future<Output = Result<(), AwsError>> + Send;

    /// Makes an endpoint configuration, if it is not there; where it was, returns when it was made.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn make_config(&self, config: &NewConfig) -> impl Future<Output = Result<Option<Timestamp>, AwsError>> + Send;
}

/// Lets one clear away what no endpoint serves.
pub trait ClearConfigs: Send + Sync {
    /// The oldest configurations whose name contains the text, with the time when they were made; at most 100.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn oldest(
        &self,
        name_contains: &str,
    ) -> impl Future<Output = Result<Vec<(String, Option<Timestamp>)>, AwsError>> + Send;

    /// Deletes a configuration; that it is gone is no error.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn delete_config(&self, name: &str) -> impl Future<Output = Result<(), AwsError>> + Send;

    /// Deletes a model; that it is gone is no error.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn delete_model(&self, name: &str) -> impl Future<Output = Result<(), AwsError>> + Send;
}

impl ReadConfigs for Endpoints {
    async fn config(&self, name: &str) -> Result<Option<ServedConfig>, AwsError> {
        let request = self.0.describe_endpoint_config().endpoint_config_name(name);
        let answer = request.send().await;
        let answer = answer.map_err(|error| AwsError::of("sagemaker:DescribeEndpointConfig", &error));
        let whole = if_there(answer)?;
        Ok(whole.map(|whole| ServedConfig {
            facts: facts(name, &whole),
            whole: Some(Box::new(whole)),
        }))
    }

    async fn network(&self, model: &str) -> Result<Network, AwsError> {
        let answer = self.0.describe_model().model_name(model).send().await;
        let answer = if_there(answer.map_err(|error| AwsError::of("sagemaker:DescribeModel", &error)))?;
        let Some(answer) = answer else {
            return Ok(Network::default());
        };
        let isolated = answer.enable_network_isolation.unwrap_or_default();
        let vpc = answer.vpc_config;
        let (subnets, groups) = vpc.map(|vpc| (vpc.subnets, vpc.security_group_ids)).unwrap_or_default();
        Ok(Network {
            subnets: subnets.unwrap_or_default(),
            security_groups: groups.unwrap_or_default(),
            isolated,
        })
    }
}

impl ReadTags for Endpoints {
    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>, AwsError> {
        let answer = self.0.list_tags().resource_arn(arn).send().await;
        let answer = if_there(answer.map_err(|error| AwsError::of("sagemaker:ListTags", &error)))?;
        let tags = answer.and_then(|answer| answer.tags).unwrap_or_default();
        Ok(tags.into_iter().filter_map(|tag| tag.key.zip(tag.value)).collect())
    }
}

impl WriteTags for Endpoints {
    async fn tag(&self, arn: &str, key: &str, value: &str) -> Result<(), AwsError> {
        let tag = Tag::builder().key(key).value(value).build();
        let answer = self.0.add_tags().resource_arn(arn).tags(tag).send().await;
        if_there(answer.map_err(|error| AwsError::of("sagemaker:AddTags", &error)))?;
        Ok(())
    }
}

impl MakeConfigs for Endpoints {
    async fn make_model(&self, model: &NewModel<'_>) -> Result<(), AwsError> {
        let container = model.container;
        let definition = ContainerDefinition::builder().image(&container.image);
        let definition = definition.set_model_data_url(container.model_data_url.clone());
        let definition = definition.set_environment(Some(container.environment.clone().into_iter().collect()));
        let Network {
            subnets,
            security_groups,
            isolated,
        } = model.network.clone();
        let vpc = (!subnets.is_empty()).then(|| {
            VpcConfig::builder()
                .set_subnets(Some(subnets))
                .set_security_group_ids(Some(security_groups))
                .build()
        });
        let request = self.0.create_model().model_name(model.name);
        let request = request
            .execution_role_arn(model.role_arn)
            .set_vpc_config(vpc)
            .set_enable_network_isolation(isolated.then_some(true));
        let answer = request.primary_container(definition.build()).send().await;
        unless_there(answer.map_err(|error| AwsError::of("sagemaker:CreateModel", &error))).map(|_| ())
    }

    async fn make_config(&self, config: &NewConfig) -> Result<Option<Timestamp>, AwsError> {
        let base = config.base.as_ref().and_then(|base| base.whole.as_deref());
        let base = base
            .cloned()
            .unwrap_or_else(|| DescribeEndpointConfigOutput::builder().build());
        let mut variants = base.production_variants.unwrap_or_default();
        let (mut key, mut capture) = (base.kms_key_id, base.data_capture_config);
        if let Some(changes) = &config.changes {
            change(&mut variants, changes);
            key = changes.volume_key.clone().or(key);
            capture = changes.capture.as_ref().map(data_capture).or(capture);
        }
        let tag = |(key, value): &(String, String)| Tag::builder().key(key).value(value).build();
        let request = self
            .0
            .create_endpoint_config()
            .endpoint_config_name(&config.name)
            .set_production_variants(Some(variants))
            .set_kms_key_id(key)
            .set_data_capture_config(capture)
            .set_async_inference_config(base.async_inference_config)
            .set_explainer_config(base.explainer_config)
            .set_shadow_production_variants(base.shadow_production_variants)
            .set_execution_role_arn(base.execution_role_arn)
            .set_vpc_config(base.vpc_config)
            .set_enable_network_isolation(base.enable_network_isolation)
            .set_metrics_config(base.metrics_config)
            .set_tags(Some(config.tags.iter().map(tag).collect()));
        let answer = request
            .send()
            .await
            .map_err(|error| AwsError::of("sagemaker:CreateEndpointConfig", &error));
        if unless_there(answer)? {
            return Ok(None);
        }
        let operation = "sagemaker:DescribeEndpointConfig";
        let made = self.config(&config.name).await?.and_then(|made| made.facts.made_at);
        made.map(Some)
            .ok_or_else(|| AwsError::incomplete(operation, "CreationTime"))
    }
}

impl ClearConfigs for Endpoints {
    async fn oldest(&self, name_contains: &str) -> Result<Vec<(String, Option<Timestamp>)>, AwsError> {
        let request = self
            .0
            .list_endpoint_configs()
            .name_contains(name_contains)
            .sort_by(EndpointConfigSortKey::CreationTime)
            .sort_order(OrderKey::Ascending)
            .max_results(100);
        let answer = request.send().await;
        let answer = answer.map_err(|error| AwsError::of("sagemaker:ListEndpointConfigs", &error))?;
        let configs = answer.endpoint_configs.unwrap_or_default().into_iter();
        Ok(configs
            .filter_map(|config| {
                let made_at = config.creation_time().and_then(timestamp);
                Some((config.endpoint_config_name?, made_at))
            })
            .collect())
    }

    async fn delete_config(&self, name: &str) -> Result<(), AwsError> {
        let answer = self.0.delete_endpoint_config().endpoint_config_name(name).send().await;
        if_there(answer.map_err(|error| AwsError::of("sagemaker:DeleteEndpointConfig", &error))).map(|_| ())
    }

    async fn delete_model(&self, name: &str) -> Result<(), AwsError> {
        let answer = self.0.delete_model().model_name(name).send().await;
        if_there(answer.map_err(|error| AwsError::of("sagemaker:DeleteModel", &error))).map(|_| ())
    }
}

/// Lays the changes over the variants: over the one of that name, or the only one, or none.
fn change(variants: &mut Vec<ProductionVariant>, changes: &Changes) {
    let named = |variant: &ProductionVariant| variant.variant_name() == Some(changes.variant.as_str());
    let place = variants.iter().position(named).or((variants.len() == 1).then_some(0));
    let mut variant = match place {
        Some(place) => variants.remove(place),
        None => ProductionVariant::builder().build(),
    };
    let whole = |number: u32| Some(i32::try_from(number).unwrap_or(i32::MAX));
    variant.variant_name = Some(changes.variant.clone());
    variant.model_name = Some(changes.model.clone());
    // What is serverless stays so: SageMaker would give it instances, and never go back.
    if variant.serverless_config.is_none() {
        variant.instance_type = Some(changes.instance_type.as_str().into());
        variant.instance_pools = None;
        variant.initial_instance_count = whole(changes.instance_count);
        variant.volume_size_in_gb = changes.volume_gb.and_then(whole).or(variant.volume_size_in_gb);
    }
    variants.insert(place.unwrap_or_default().min(variants.len()), variant);
}

fn data_capture(capture: &Capture) -> DataCaptureConfig {
    let option = |mode: CaptureMode| CaptureOption::builder().capture_mode(mode).build();
    DataCaptureConfig::builder()
        .enable_capture(true)
        .initial_sampling_percentage(i32::try_from(capture.percent).unwrap_or(100))
        .destination_s3_uri(&capture.s3_uri)
        .set_kms_key_id(capture.key.clone())
        .capture_options(option(CaptureMode::Input))
        .capture_options(option(CaptureMode::Output))
        .build()
}

fn facts(name: &str, whole: &DescribeEndpointConfigOutput) -> Configuration {
    let variant = |variant: &ProductionVariant| Variant {
        name: variant.variant_name().unwrap_or_default().to_owned(),
        model: variant.model_name().unwrap_or_default().to_owned(),
        instance_type: variant.instance_type().map(|kind| kind.as_str().to_owned()),
        initial_count: variant
            .initial_instance_count()
            .and_then(|count| u32::try_from(count).ok()),
        serverless: variant.serverless_config().is_some(),
    };
    Configuration {
        name: name.to_owned(),
        made_at: whole.creation_time().and_then(timestamp),
        variants: whole.production_variants().iter().map(variant).collect(),
    }
}

/// The answer, or nothing where what was named is not there.
fn if_there<T>(answer: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether it was made now; `false` where it was there.
fn unless_there<T>(answer: Result<T, AwsError>) -> Result<bool, AwsError> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.kind == ErrorKind::Exists => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
