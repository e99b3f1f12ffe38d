//! SageMaker endpoints: seeing, creating and updating them. What they are made of is in [`configurations`](crate::configurations).

use aws_sdk_sagemaker::operation::describe_endpoint::DescribeEndpointOutput;
use aws_sdk_sagemaker::types::{
    Alarm, AutoRollbackConfig, BlueGreenUpdatePolicy, CapacitySize, CapacitySizeType, DeploymentConfig,
    RollingUpdatePolicy, TrafficRoutingConfig, TrafficRoutingConfigType, VariantProperty, VariantPropertyType,
};
use signalbox_model::endpoint::{Endpoint, Pending, Status};
use signalbox_model::rollout::{Plan, Routing, Traffic, Update};

use crate::clock::ServerClock;
use crate::error::{AwsError, ErrorKind};
use crate::registry::timestamp;

/// Lets one see an endpoint.
pub trait ReadEndpoints: Send + Sync {
    /// The endpoint, if there is one.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn endpoint(&self, name: &str) -> impl Future<Output = Result<Option<Endpoint>, AwsError>> + Send;
}

/// Lets one update an endpoint.
pub trait UpdateEndpoints: Send + Sync {
    /// Updates it. UpdateEndpoint has no token: [`ErrorKind::Busy`] where another update, or an earlier try of this one, runs.
    ///
    /// # Errors
    /// Whatever SageMaker says.
    fn update(&self, name: &str, config: &str, update: &Update) -> impl Future<Output = Result<(), AwsError>> + Send;
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
pub struct Endpoints(pub(crate) aws_sdk_sagemaker::Client);

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
    async fn update(&self, name: &str, config: &str, update: &Update) -> Result<(), AwsError> {
        let request = self
            .0
            .update_endpoint()
            .endpoint_name(name)
            .endpoint_config_name(config);
        let request = request.set_deployment_config(update.deployment.as_ref().map(deployment_config));
        let request = if update.keep_count {
            // Of what could be retained, the count alone is meant: data capture is the new configuration's.
            let capture = VariantProperty::builder().variant_property_type(VariantPropertyType::DataCaptureConfig);
            request
                .retain_all_variant_properties(true)
                .exclude_retained_variant_properties(capture.build())
        } else {
            request
        };
        let answer = request.send().await;
        answer.map_err(|error| AwsError::of("sagemaker:UpdateEndpoint", &error))?;
        Ok(())
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
            desired_count: pending
                .production_variants()
                .first()
                .and_then(|variant| variant.desired_instance_count())
                .and_then(|count| u32::try_from(count).ok()),
        }
    });
    let desired_count = |variant: &aws_sdk_sagemaker::types::ProductionVariantSummary| {
        let count = u32::try_from(variant.desired_instance_count()?).ok()?;
        Some((variant.variant_name()?.to_owned(), count))
    };
    Some(Endpoint {
        status: Status::parse(answer.endpoint_status()?.as_str())?,
        config: answer.endpoint_config_name().unwrap_or_default().to_owned(),
        failure_reason: answer
            .failure_reason()
            .filter(|reason| !reason.is_empty())
            .map(str::to_owned),
        pending,
        modified_at: answer.last_modified_time().and_then(timestamp),
        desired_counts: answer.production_variants().iter().filter_map(desired_count).collect(),
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
