//! Autoscaling of a variant, by Application Auto Scaling.

use aws_sdk_applicationautoscaling::types::{
    MetricType, PolicyType, PredefinedMetricSpecification, ScalableDimension, ServiceNamespace,
    TargetTrackingScalingPolicyConfiguration,
};
use signalbox_model::capacity::Scaling;

use crate::error::{AwsError, ErrorKind};

/// The name of the scaling policy: one a variant, so that setting it again changes it.
const POLICY: &str = "signalbox-invocations-per-instance";

/// Lets one have a variant scaled.
pub trait ScaleVariants: Send + Sync {
    /// Has a variant scaled between its bounds, or sets the bounds and the target anew.
    ///
    /// # Errors
    /// Whatever Application Auto Scaling says.
    fn scale(
        &self,
        endpoint: &str,
        variant: &str,
        scaling: &Scaling,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;

    /// Has it scaled no more; that it was not is no error.
    ///
    /// # Errors
    /// Whatever Application Auto Scaling says.
    fn stop_scaling(&self, endpoint: &str, variant: &str) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// Application Auto Scaling.
#[derive(Debug, Clone)]
pub struct AutoScaling(aws_sdk_applicationautoscaling::Client);

impl AutoScaling {
    /// The port over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_applicationautoscaling::Client::new(sdk))
    }
}

fn resource(endpoint: &str, variant: &str) -> String {
    format!("endpoint/{endpoint}/variant/{variant}")
}

impl ScaleVariants for AutoScaling {
    async fn scale(&self, endpoint: &str, variant: &str, scaling: &Scaling) -> Result<(), AwsError> {
        let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let request = self
            .0
            .register_scalable_target()
            .service_namespace(ServiceNamespace::Sagemaker)
            .resource_id(resource(endpoint, variant))
            .scalable_dimension(ScalableDimension::SageMakerVariantDesiredInstanceCount)
            .min_capacity(whole(scaling.min))
            .max_capacity(whole(scaling.max));
        let answer = request.send().await;
        answer.map_err(|error| AwsError::of("application-autoscaling:RegisterScalableTarget", &error))?;
        let operation = "application-autoscaling:PutScalingPolicy";
        let metric = PredefinedMetricSpecification::builder()
            .predefined_metric_type(MetricType::SageMakerVariantInvocationsPerInstance)
            .build()
            .map_err(|_| AwsError::incomplete(operation, "PredefinedMetricType"))?;
        let target = TargetTrackingScalingPolicyConfiguration::builder()
            .target_value(f64::from(scaling.invocations_per_instance))
            .predefined_metric_specification(metric)
            .build()
            .map_err(|_| AwsError::incomplete(operation, "TargetValue"))?;
        let request = self
            .0
            .put_scaling_policy()
            .policy_name(POLICY)
            .policy_type(PolicyType::TargetTrackingScaling)
            .service_namespace(ServiceNamespace::Sagemaker)
            .resource_id(resource(endpoint, variant))
            .scalable_dimension(ScalableDimension::SageMakerVariantDesiredInstanceCount)
            .target_tracking_scaling_policy_configuration(target);
        let answer = request.send().await;
        answer.map_err(|error| AwsError::of(operation, &error))?;
        Ok(())
    }

    async fn stop_scaling(&self, endpoint: &str, variant: &str) -> Result<(), AwsError> {
        let request = self
            .0
            .deregister_scalable_target()
            .service_namespace(ServiceNamespace::Sagemaker)
            .resource_id(resource(endpoint, variant))
            .scalable_dimension(ScalableDimension::SageMakerVariantDesiredInstanceCount);
        match request
            .send()
            .await
            .map_err(|error| AwsError::of("application-autoscaling:DeregisterScalableTarget", &error))
        {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
