//! Being a Lambda function.

use std::pin::Pin;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use signalbox_model::trial;

use crate::config::{ConfigError, Environment};
use crate::dry_run::{self, HoldingClient};
use crate::log::{self, Invocation, Origin};

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
        let function = F::new(&environment, &sdk_config().await).inspect_err(|error| {
            tracing::error!(%error, "the configuration is wrong");
        })?;
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
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// The SDK's configuration: one HTTP client, bounded calls.
async fn sdk_config() -> SdkConfig {
    let config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts());
    let config = match HoldingClient::by_default() {
        Some(client) => config.http_client(client),
        None => config,
    };
    config.load().await
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
