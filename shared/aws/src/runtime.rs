//! Being a Lambda function.

use std::pin::Pin;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use signalbox_model::trial;

use crate::config::{ConfigError, Environment};
use crate::dry_run::{self, HoldingClient};
use crate::http;
use crate::log::{self, Invocation, Origin};

/// A connection to AWS.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// One try of a call to AWS.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// A call to AWS with its retries. The SDK itself sets no bound; the functions' own time-outs are above this.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

/// A Lambda function: configuration and clients, made once, and a handler.
pub trait Function: Sized + Send + Sync {
    /// Reads the configuration and makes the clients. This is on the cold start's path: it does no I/O.
    ///
    /// # Errors
    /// Where a variable is missing or wrong; the error names it.
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError>;

    /// Handles one event. May be run twice with the same event, late, or be killed between any two calls.
    ///
    /// # Errors
    /// Those that Lambda should retry and then keep in the dead-letter queue.
    fn handle(&self, event: Value) -> impl Future<Output = Result<Value, anyhow::Error>> + Send;
}

/// Runs the function until Lambda ends the process.
///
/// # Errors
/// Where the configuration is wrong, or the Runtime API fails.
pub fn run<F: Function>() -> Result<(), lambda_runtime::Error> {
    let environment = Environment::of_process();
    let origin = Origin::of(&environment);
    log::begin(&origin);
    // One call at a time is all that a function instance ever serves: a second thread would only cost start-up time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let function = sdk_config(&environment).and_then(|sdk| Ok(F::new(&environment, &sdk)?));
        let function = function.inspect_err(|error| tracing::error!(%error, "the configuration is wrong"))?;
        let (function, origin) = (&function, &origin);
        let handler = |event: LambdaEvent<Value>| async move {
            let invocation = Invocation::new(origin, &event.context.request_id);
            handle(function, invocation, event.payload).await
        };
        lambda_runtime::run(service_fn(handler)).await
    })
}

/// Handles one event as Lambda has it handled, or runs it dry where that is what it asks for: all lines of the log, that of a failure
/// too, are the invocation's.
///
/// # Errors
/// Those of the handler, as Lambda shows them; a dry run has none.
pub async fn handle<F: Function>(function: &F, invocation: Invocation, event: Value) -> Result<Value, Diagnostic> {
    let (event, dry) = match trial::open(event) {
        Ok(event) => (event, true),
        Err(event) => (event, false),
    };
    let version = invocation.function_version().to_owned();
    log::within(invocation, async {
        // Behind a pointer: the nested futures of a whole handler are more than the compiler lays out in one piece.
        let handled: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(function.handle(event));
        if dry {
            Ok(dry_run::run(&version, handled).await)
        } else {
            handled.await.map_err(diagnostic)
        }
    })
    .await
}

/// How long a call to AWS may take.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// The SDK's configuration: one HTTP client, bounded calls, and what Lambda puts into the environment.
///
/// Not by [`aws_config::load_defaults`]: its chains look for regions and credentials of profiles, containers, machines and identity
/// providers, of which a function has none; what they are made of would be a part of each binary, and of each start. Of its variables
/// these count: `AWS_REGION`, `AWS_ACCESS_KEY_ID` and what belongs to it, `AWS_ENDPOINT_URL`, `AWS_USE_FIPS_ENDPOINT`,
/// `AWS_USE_DUALSTACK_ENDPOINT`.
fn sdk_config(environment: &Environment) -> Result<SdkConfig, lambda_runtime::Error> {
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(environment.required("AWS_REGION")?.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(HoldingClient::new(http::client(environment)?))
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts())
        .use_fips(environment.parsed_or("AWS_USE_FIPS_ENDPOINT", false)?)
        .use_dual_stack(environment.parsed_or("AWS_USE_DUALSTACK_ENDPOINT", false)?);
    config.set_endpoint_url(environment.optional("AWS_ENDPOINT_URL").map(str::to_owned));
    Ok(config.build())
}

/// What Lambda shows of an error: the chain of causes, once, and a word to count by.
fn diagnostic(error: anyhow::Error) -> Diagnostic {
    let error_message = format!("{error:#}");
    tracing::error!(error = error_message, "the event was not handled");
    let error_type = match error.downcast_ref::<crate::error::AwsError>() {
        Some(error) => format!("{:?}", error.kind),
        None if error.is::<signalbox_model::event::EventError>() => "MalformedEvent".to_owned(),
        None => "Unhandled".to_owned(),
    };
    Diagnostic {
        error_type,
        error_message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_is_configured_by_what_lambda_says() {
        let lambdas = [
            ("AWS_REGION", "us-gov-west-1"),
            ("AWS_USE_FIPS_ENDPOINT", "true"),
            ("AWS_ENDPOINT_URL", ""),
        ];
        let sdk = sdk_config(&lambdas.into_iter().collect()).unwrap();
        assert_eq!(sdk.region().map(Region::as_ref), Some("us-gov-west-1"));
        assert_eq!((sdk.use_fips(), sdk.use_dual_stack()), (Some(true), Some(false)));
        assert_eq!(sdk.endpoint_url(), None);
        let local = [
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
        ];
        let sdk = sdk_config(&local.into_iter().collect()).unwrap();
        assert_eq!(sdk.endpoint_url(), Some("http://127.0.0.1:4566"));

        let error = |variables: &[(&str, &str)]| {
            let environment = variables.iter().copied().collect();
            sdk_config(&environment).unwrap_err().to_string()
        };
        assert_eq!(
            error(&[]),
            "environment variable `AWS_REGION` is missing; the template sets it"
        );
        assert_eq!(
            error(&[("AWS_REGION", "eu-west-1"), ("AWS_USE_DUALSTACK_ENDPOINT", "yes")]),
            "environment variable `AWS_USE_DUALSTACK_ENDPOINT` is wrong: `yes`: provided string was not `true` or `false`"
        );
    }
}
