//! SageMaker endpoints, and what they are made of.

use aws_sdk_sagemaker::operation::describe_endpoint::DescribeEndpointOutput;
use aws_sdk_sagemaker::types::{
    Alarm, AutoRollbackConfig, BlueGreenUpdatePolicy, CapacitySize, CapacitySizeType, ContainerDefinition,
    DeploymentConfig, ProductionVariant, RollingUpdatePolicy, Tag, TrafficRoutingConfig, TrafficRoutingConfigType,
};
use jiff::Timestamp;
use signalbox_model::endpoint::{Endpoint, Pending, Status};
use signalbox_model::package::Container;
use signalbox_model::rollout::{Plan, Routing, Traffic};

use crate::clock::ServerClock;
use crate::error::{AwsError, ErrorKind};
use crate::registry::timestamp;

/// The tag of an endpoint configuration that names the one it replaces.
pub const REPLACES_TAG: &str = "signalbox:replaces";

/// Lets one see an endpoint.
pub trait ReadEndpoints: Send + Sync {
    /// The endpoint, if there is one.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn endpoint(&self, name: &str) -> impl Future<Output = Result<Option<Endpoint>, AwsError>> + Send;
}

/// Lets one see what configuration another has replaced.
pub trait ReadReplaced: Send + Sync {
    /// The value of [`REPLACES_TAG`], where the configuration has it.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn replaced(&self, config_arn: &str) -> impl Future<Output = Result<Option<String>, AwsError>> + Send;
}

/// An endpoint configuration to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConfig {
    /// Its name.
    pub name: String,
    /// The SageMaker model that it serves.
    pub model: String,
    /// The variant's name.
    pub variant: String,
    /// The variant's instance type.
    pub instance_type: String,
    /// The variant's instances.
    pub instance_count: u32,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// Lets one make what an endpoint serves.
pub trait MakeConfigs: Send + Sync {
    /// Makes a SageMaker model, if it is not there.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn make_model(
        &self,
        name: &str,
        container: &Container,
        role_arn: &str,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;

    /// Makes an endpoint configuration, if it is not there; where it was, returns when it was made.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn make_config(&self, config: &NewConfig) -> impl Future<Output = Result<Option<Timestamp>, AwsError>> + Send;
}

/// Lets one update an endpoint.
pub trait UpdateEndpoints: Send + Sync {
    /// Updates it. UpdateEndpoint has no token: [`ErrorKind::Busy`] where another update, or an earlier try of this one, runs.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn update(&self, name: &str, config: &str, plan: &Plan) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// Lets one create an endpoint.
pub trait CreateEndpoints: Send + Sync {
    /// Creates it; that it is there already is [`ErrorKind::Exists`].
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn create(&self, name: &str, config: &str) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// SageMaker endpoints.
#[derive(Debug, Clone)]
pub struct Endpoints(aws_sdk_sagemaker::Client);

impl Endpoints {
    /// The ports over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_sagemaker::Client::new(sdk))
    }

    /// The ports over the SDK, whose answers set the clock.
    #[must_use]
    pub fn with_clock(sdk: &aws_config::SdkConfig, clock: &ServerClock) -> Self {
        let config = aws_sdk_sagemaker::config::Builder::from(sdk)
            .interceptor(clock.clone())
            .build();
        Self(aws_sdk_sagemaker::Client::from_conf(config))
    }
}

impl ReadEndpoints for Endpoints {
    async fn endpoint(&self, name: &str) -> Result<Option<Endpoint>, AwsError> {
        let operation = "sagemaker:DescribeEndpoint";
        match self.0.describe_endpoint().endpoint_name(name).send().await {
            Ok(answer) => {
                let endpoint = endpoint(&answer).ok_or_else(|| AwsError::incomplete(operation, "EndpointStatus"))?;
                Ok(Some(endpoint))
            }
            Err(error) => match AwsError::of(operation, &error) {
                error if error.kind == ErrorKind::NotFound => Ok(None),
                error => Err(error),
            },
        }
    }
}

impl ReadReplaced for Endpoints {
    async fn replaced(&self, config_arn: &str) -> Result<Option<String>, AwsError> {
        let answer = self.0.list_tags().resource_arn(config_arn).send().await;
        let answer = answer.map_err(|error| AwsError::of("sagemaker:ListTags", &error))?;
        let tag = answer
            .tags
            .unwrap_or_default()
            .into_iter()
            .find(|tag| tag.key() == Some(REPLACES_TAG));
        Ok(tag.and_then(|tag| tag.value))
    }
}

impl MakeConfigs for Endpoints {
    async fn make_model(&self, name: &str, container: &Container, role_arn: &str) -> Result<(), AwsError> {
        let definition = ContainerDefinition::builder().image(&container.image);
        let definition = definition.set_model_data_url(container.model_data_url.clone());
        let definition = definition.set_environment(Some(container.environment.clone().into_iter().collect()));
        let request = self.0.create_model().model_name(name).execution_role_arn(role_arn);
        let answer = request.primary_container(definition.build()).send().await;
        unless_there(answer.map_err(|error| AwsError::of("sagemaker:CreateModel", &error))).map(|_| ())
    }

    async fn make_config(&self, config: &NewConfig) -> Result<Option<Timestamp>, AwsError> {
        let variant = ProductionVariant::builder()
            .variant_name(&config.variant)
            .model_name(&config.model);
        let variant = variant.set_instance_type(Some(config.instance_type.as_str().into()));
        let variant = variant
            .initial_instance_count(i32::try_from(config.instance_count).unwrap_or(i32::MAX))
            .build();
        let request = self
            .0
            .create_endpoint_config()
            .endpoint_config_name(&config.name)
            .production_variants(variant);
        let tag = |(key, value): &(String, String)| Tag::builder().key(key).value(value).build();
        let request = request.set_tags(Some(config.tags.iter().map(tag).collect()));
        let answer = request
            .send()
            .await
            .map_err(|error| AwsError::of("sagemaker:CreateEndpointConfig", &error));
        if unless_there(answer)? {
            return Ok(None);
        }
        let operation = "sagemaker:DescribeEndpointConfig";
        let answer = self
            .0
            .describe_endpoint_config()
            .endpoint_config_name(&config.name)
            .send()
            .await;
        let answer = answer.map_err(|error| AwsError::of(operation, &error))?;
        let made = answer.creation_time().and_then(timestamp);
        made.map(Some)
            .ok_or_else(|| AwsError::incomplete(operation, "CreationTime"))
    }
}

impl CreateEndpoints for Endpoints {
    async fn create(&self, name: &str, config: &str) -> Result<(), AwsError> {
        let answer = self
            .0
            .create_endpoint()
            .endpoint_name(name)
            .endpoint_config_name(config)
            .send()
            .await;
        answer.map_err(|error| AwsError::of("sagemaker:CreateEndpoint", &error))?;
        Ok(())
    }
}

impl UpdateEndpoints for Endpoints {
    async fn update(&self, name: &str, config: &str, plan: &Plan) -> Result<(), AwsError> {
        let request = self
            .0
            .update_endpoint()
            .endpoint_name(name)
            .endpoint_config_name(config);
        let answer = request.deployment_config(deployment_config(plan)).send().await;
        answer.map_err(|error| AwsError::of("sagemaker:UpdateEndpoint", &error))?;
        Ok(())
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

fn endpoint(answer: &DescribeEndpointOutput) -> Option<Endpoint> {
    let pending = answer.pending_deployment_summary().map(|pending| {
        let statuses = pending
            .production_variants()
            .iter()
            .flat_map(|variant| variant.variant_status());
        let newest = statuses.last();
        Pending {
            config: pending.endpoint_config_name().unwrap_or_default().to_owned(),
            phase: newest
                .and_then(|status| status.status())
                .map(|status| status.as_str().to_owned()),
            message: newest.and_then(|status| status.status_message()).map(str::to_owned),
            since: newest.and_then(|status| status.start_time()).and_then(timestamp),
        }
    });
    Some(Endpoint {
        status: Status::parse(answer.endpoint_status()?.as_str())?,
        config: answer.endpoint_config_name().unwrap_or_default().to_owned(),
        failure_reason: answer
            .failure_reason()
            .filter(|reason| !reason.is_empty())
            .map(str::to_owned),
        pending,
        modified_at: answer.last_modified_time().and_then(timestamp),
    })
}

/// The plan in SageMaker's words.
fn deployment_config(plan: &Plan) -> DeploymentConfig {
    let seconds = |seconds: u32| i32::try_from(seconds).unwrap_or(i32::MAX);
    let percent = |percent: u32| {
        CapacitySize::builder()
            .r#type(CapacitySizeType::CapacityPercent)
            .value(seconds(percent))
            .build()
    };
    let config = match plan.traffic {
        Traffic::BlueGreen {
            routing,
            wait_seconds,
            termination_wait_seconds,
        } => {
            let traffic = TrafficRoutingConfig::builder().wait_interval_in_seconds(seconds(wait_seconds));
            let traffic = match routing {
                Routing::AllAtOnce => traffic.r#type(TrafficRoutingConfigType::AllAtOnce),
                Routing::Canary(size) => traffic
                    .r#type(TrafficRoutingConfigType::Canary)
                    .canary_size(percent(size)),
                Routing::Linear(step) => traffic
                    .r#type(TrafficRoutingConfigType::Linear)
                    .linear_step_size(percent(step)),
            };
            let policy = BlueGreenUpdatePolicy::builder()
                .traffic_routing_configuration(traffic.build())
                .termination_wait_in_seconds(seconds(termination_wait_seconds))
                .maximum_execution_timeout_in_seconds(seconds(plan.timeout_seconds));
            DeploymentConfig::builder().blue_green_update_policy(policy.build())
        }
        Traffic::Rolling {
            batch_percent,
            wait_seconds,
        } => {
            let policy = RollingUpdatePolicy::builder()
                .maximum_batch_size(percent(batch_percent))
                .wait_interval_in_seconds(seconds(wait_seconds))
                .maximum_execution_timeout_in_seconds(seconds(plan.timeout_seconds));
            DeploymentConfig::builder().rolling_update_policy(policy.build())
        }
    };
    if plan.alarms.is_empty() {
        return config.build();
    }
    let alarm = |name: &String| Alarm::builder().alarm_name(name).build();
    let rollback = AutoRollbackConfig::builder().set_alarms(Some(plan.alarms.iter().map(alarm).collect()));
    config.auto_rollback_configuration(rollback.build()).build()
}

#[cfg(test)]
mod tests;
