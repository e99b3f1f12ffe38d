//! The HTTP client of all services: one, so that their calls share its connections, and made for a process that starts for one event.
//!
//! What the SDK takes by default reads and parses every root certificate of the system, and does so anew for each service's client,
//! before the first event comes: with some hundred and forty roots that is most of what a function does at its start. AWS's endpoints
//! are signed by five roots. They are trusted first, and only where a server shows another (an endpoint of another partition, a proxy
//! that reads along) are the system's looked at; so nothing that the default trusts is refused, and the five need not be the last.
//! Where `SSL_CERT_FILE` or `SSL_CERT_DIR` says whom to trust, it is they alone.
//!
//! The cryptography is ring's. The SDK's default, aws-lc, is the larger one, and tests its source of entropy at each start; it would have
//! post-quantum key exchange, for traffic that tells of names and metrics, and of tokens that last for hours.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, ConnectorBuilder, HttpClientError};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use rustls::CertificateError;

use crate::config::Environment;

/// The five roots of Amazon Trust Services.
const AMAZON_ROOTS: &[u8] = include_bytes!("http/amazon-roots.pem");

/// The client of a function with that environment. Nothing is read and no connection is made before the first call.
///
/// # Errors
/// None that is known: the SDK's builder of TLS settings could have some.
pub fn client(environment: &Environment) -> Result<SharedHttpClient, HttpClientError> {
    let systems = trusting(TrustStore::default())?;
    let told_whom_to_trust = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .iter()
        .any(|name| environment.optional(name).is_some());
    if told_whom_to_trust {
        return Ok(systems);
    }
    let amazons = trusting(TrustStore::empty().with_pem_certificate(AMAZON_ROOTS))?;
    Ok(SharedHttpClient::new(TwoStores::new(amazons, systems)))
}

/// A client that trusts what that store does, and takes the environment's proxy, as the SDK's own does.
fn trusting(store: TrustStore) -> Result<SharedHttpClient, HttpClientError> {
    let context = TlsContext::builder().with_trust_store(store).build()?;
    let connector = move |settings: Option<&HttpConnectorSettings>, components: Option<&RuntimeComponents>| {
        let mut connector = ConnectorBuilder::default()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.clone())
            .proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    };
    Ok(Builder::new().build_with_connector_fn(connector))
}

/// A client that asks a second one where the first does not know who has signed the server's certificate.
#[derive(Debug)]
struct TwoStores {
    first: SharedHttpClient,
    second: SharedHttpClient,
    /// Whether a certificate was seen that only the second may know.
    behind: Arc<AtomicBool>,
}

impl TwoStores {
    fn new(first: SharedHttpClient, second: SharedHttpClient) -> Self {
        let behind = Arc::default();
        Self { first, second, behind }
    }
}

impl HttpClient for TwoStores {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        if self.behind.load(Ordering::Relaxed) {
            return self.second.http_connector(settings, components);
        }
        SharedHttpConnector::new(TwoStoresConnector {
            first: self.first.http_connector(settings, components),
            second: self.second.clone(),
            behind: self.behind.clone(),
            settings: settings.clone(),
            components: components.clone(),
        })
    }
}

#[derive(Debug)]
struct TwoStoresConnector {
    first: SharedHttpConnector,
    second: SharedHttpClient,
    behind: Arc<AtomicBool>,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for TwoStoresConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // Every body that the functions send can be sent again; of one that can't, the first answer counts.
        let Some(again) = request.try_clone() else {
            return self.first.call(request);
        };
        let answer = self.first.call(request);
        let (second, behind) = (self.second.clone(), self.behind.clone());
        let (settings, components) = (self.settings.clone(), self.components.clone());
        HttpConnectorFuture::new(async move {
            match answer.await {
                // Without a handshake nothing was sent.
                Err(error) if is_unknown_issuer(&error) => {
                    tracing::debug!("the server's certificate is not Amazon's: the system's roots are asked");
                    behind.store(true, Ordering::Relaxed);
                    second.http_connector(&settings, &components).call(again).await
                }
                answer => answer,
            }
        })
    }
}

/// Whether that is the handshake's failure to find who has signed.
fn is_unknown_issuer(error: &ConnectorError) -> bool {
    let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<rustls::Error>() == Some(&unknown) {
            return true;
        }
        // An `io::Error` that wraps another error has that one's source for its own, and leaves out the error itself.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

#[cfg(test)]
mod tests;
