//! Versions of functions.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::Blob;
use serde_json::Value;
use signalbox_model::trial::Invocation;

use crate::error::AwsError;

/// One invocation: longer than any function of the train may run.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(130);
/// An invocation with its retries, which follow at once on a refusal.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(150);

/// Lets one invoke a version of a function.
pub trait InvokeVersions: Send + Sync {
    /// Invokes that very version, and waits for what it answers. A function that fails is an answer too.
    ///
    /// # Errors
    /// [`NotFound`](crate::error::ErrorKind::NotFound) where there is no such version, and whatever else Lambda says.
    fn invoke(
        &self,
        function: &str,
        version: &str,
        event: &Value,
    ) -> impl Future<Output = Result<Invocation, AwsError>> + Send;
}

/// Lambda.
#[derive(Debug, Clone)]
pub struct Versions(aws_sdk_lambda::Client);

impl Versions {
    /// The port over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = aws_sdk_lambda::config::Builder::from(sdk)
            .timeout_config(timeouts)
            .build();
        Self(aws_sdk_lambda::Client::from_conf(config))
    }
}

impl InvokeVersions for Versions {
    async fn invoke(&self, function: &str, version: &str, event: &Value) -> Result<Invocation, AwsError> {
        let operation = "lambda:Invoke";
        let request = self.0.invoke().function_name(function).qualifier(version);
        let answer = request.payload(Blob::new(event.to_string())).send().await;
        let answer = answer.map_err(|error| AwsError::of(operation, &error))?;
        let payload = answer.payload.unwrap_or_else(|| Blob::new("null")).into_inner();
        Ok(Invocation {
            function_error: answer.function_error,
            // What is no JSON is no answer of the train's functions.
            payload: serde_json::from_slice(&payload).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests;
