//! A dry run: the handler, with its configuration, its role and its clients, and without effects.
//!
//! Between the SDK and its HTTP client is [`HoldingClient`]. While an event is run dry it lets through what only reads, and holds back
//! everything else: what may pass is on a list, so that a call that nobody has thought of is held. Otherwise it does nothing. Which event
//! asks for a dry run, and who may send one, is in [`signalbox_model::trial`].
//!
//! Whether an event is run dry is a value of the task that handles it. A handler that made calls in a task of its own would take them out
//! of the dry run; none does.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;
use signalbox_model::trial::{self, Report};

mod asked;
mod refusal;

use self::asked::Asked;

tokio::task_local! {
    static REPORT: Arc<Mutex<Report>>;
}

/// Whether the event that is handled here is run dry.
pub(crate) fn is_on() -> bool {
    REPORT.try_with(|_| ()).is_ok()
}

/// Runs what handles an event dry, and returns the report. It never fails: what the handler fails with is in the report. `version` is the
/// function's.
pub async fn run(version: &str, handled: impl Future<Output = Result<Value, anyhow::Error>>) -> Value {
    let report = Arc::new(Mutex::new(Report {
        version: version.to_owned(),
        ..Report::default()
    }));
    let answer = REPORT.scope(report.clone(), handled).await;
    let mut report = lock(&report).clone();
    match answer {
        Ok(answer) => report.answer = trial::sort_of(&answer),
        Err(error) => report.error = Some(trial::told_of(&format!("{error:#}"))),
    }
    tracing::info!(dryRun = true, read = ?report.read, held = ?report.held, refused = ?report.refused, error = report.error, "a dry run");
    report.answer()
}

fn lock(report: &Mutex<Report>) -> std::sync::MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a call has not left the process.
#[derive(Debug, thiserror::Error)]
#[error("held back: this is a dry run, and `{0}` may change something")]
pub(crate) struct Held(String);

/// An HTTP client that holds back, in a dry run, what does not only read.
#[derive(Debug, Clone)]
pub struct HoldingClient(SharedHttpClient);

impl HoldingClient {
    /// Sends through that client what is not held back.
    #[must_use]
    pub fn new(client: impl HttpClient + 'static) -> Self {
        Self(SharedHttpClient::new(client))
    }
}

/// Without `validate_base_client_config`: there the SDK's client makes a connector for each service, and throws it away, so that root
/// certificates are read before the first call.
impl HttpClient for HoldingClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(HoldingConnector(self.0.http_connector(settings, components)))
    }

    fn validate_final_config(&self, components: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        HttpClient::validate_final_config(&self.0, components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

#[derive(Debug)]
struct HoldingConnector(SharedHttpConnector);

impl HttpConnector for HoldingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Ok(report) = REPORT.try_with(Arc::clone) else {
            return self.0.call(request);
        };
        let asked = Asked::by(&request);
        if !asked.reads() {
            let name = asked.name();
            note(&mut lock(&report).held, &name);
            // The SDK tries again what failed on the way, but not what its user got wrong.
            return HttpConnectorFuture::ready(Err(ConnectorError::user(Box::new(Held(name)))));
        }
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let mut answer = answer.await?;
            let refused = refusal::is_one(&mut answer).await?;
            let mut report = lock(&report);
            let names = if refused { &mut report.refused } else { &mut report.read };
            note(names, &asked.name());
            drop(report);
            Ok(answer)
        })
    }
}

/// Notes a name, once.
fn note(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|noted| noted == name) {
        names.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests;
