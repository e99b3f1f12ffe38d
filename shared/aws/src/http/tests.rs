use std::sync::atomic::AtomicUsize;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sns::error::DisplayErrorContext;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

/// Somebody who signs certificates.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A client that trusts that authority alone.
fn trusting_only(authority: &CertifiedIssuer<'static, KeyPair>) -> SharedHttpClient {
    trusting(TrustStore::empty().with_pem_certificate(authority.pem())).unwrap()
}

/// An endpoint of SNS, whose certificate that authority has signed for that name.
struct Endpoint {
    url: String,
    /// How many connections it was asked for.
    connections: Arc<AtomicUsize>,
}

impl Endpoint {
    async fn of(name: &str, authority: &CertifiedIssuer<'static, KeyPair>) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                // Whom the client does not trust it leaves alone.
                if let Ok(stream) = acceptor.accept(stream).await {
                    tokio::spawn(answer(stream));
                }
            }
        });
        Self { url, connections }
    }

    /// Publishes to a topic of the endpoint, in one try; the message's id, or what went wrong, with all its causes.
    async fn publish(&self, client: &SharedHttpClient) -> Result<String, String> {
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(aws_config::Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .endpoint_url(&self.url)
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .http_client(client.clone())
            .build();
        let published = aws_sdk_sns::Client::new(&sdk).publish().message("hello").send().await;
        match published {
            Ok(published) => Ok(published.message_id.unwrap_or_default()),
            Err(error) => Err(DisplayErrorContext(error).to_string()),
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Answers requests with what SNS answers to Publish, where the whole body has come.
async fn answer(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    const BODY: &str = "<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>";
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while stream.read_line(&mut line).await.unwrap_or(0) > 2 {
            if let Some(("content-length", value)) = line.trim().split_once(": ") {
                length = value.parse().unwrap();
            }
            line.clear();
        }
        if length == 0 {
            return;
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        assert!(String::from_utf8(body).unwrap().contains("Message=hello"));
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
}

#[tokio::test]
async fn what_the_first_store_knows_is_not_asked_of_the_second() {
    let authority = authority();
    let endpoint = Endpoint::of("localhost", &authority).await;
    let nobody = trusting(TrustStore::empty()).unwrap();
    let client = SharedHttpClient::new(TwoStores::new(trusting_only(&authority), nobody));
    assert_eq!(endpoint.publish(&client).await, Ok("m-1".to_owned()));
    assert_eq!(endpoint.publish(&client).await, Ok("m-1".to_owned()));
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test]
async fn whom_amazon_has_not_signed_the_system_may_know() {
    let authority = authority();
    let endpoint = Endpoint::of("localhost", &authority).await;
    let amazons = trusting(TrustStore::empty().with_pem_certificate(AMAZON_ROOTS)).unwrap();
    let client = SharedHttpClient::new(TwoStores::new(amazons, trusting_only(&authority)));
    assert_eq!(endpoint.publish(&client).await, Ok("m-1".to_owned()));
    assert_eq!(endpoint.connections(), 2);
    // From then on it is asked at once.
    assert_eq!(endpoint.publish(&client).await, Ok("m-1".to_owned()));
    assert_eq!(endpoint.connections(), 2);
}

#[tokio::test]
async fn a_certificate_that_nobody_knows_is_refused() {
    let endpoint = Endpoint::of("localhost", &authority()).await;
    // The client of a function, with the roots of whatever system this is.
    let client = client(&Environment::default()).unwrap();
    let error = endpoint.publish(&client).await.unwrap_err();
    assert!(error.contains("invalid peer certificate: UnknownIssuer"), "{error}");
    assert_eq!(endpoint.connections(), 2);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_by_the_first() {
    let authority = authority();
    let endpoint = Endpoint::of("elsewhere.example", &authority).await;
    let client = TwoStores::new(trusting_only(&authority), trusting_only(&authority));
    let error = endpoint.publish(&SharedHttpClient::new(client)).await.unwrap_err();
    assert!(error.contains("certificate not valid for name"), "{error}");
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test]
async fn whom_to_trust_can_be_said() {
    let told: Environment = [("SSL_CERT_FILE", "/etc/own.pem")].into_iter().collect();
    let endpoint = Endpoint::of("localhost", &authority()).await;
    endpoint.publish(&client(&told).unwrap()).await.unwrap_err();
    // One store was asked.
    assert_eq!(endpoint.connections(), 1);
}

/// The fingerprints of the page that the file names.
#[test]
fn the_roots_are_amazons() {
    let roots = std::str::from_utf8(AMAZON_ROOTS).unwrap();
    let told = roots.lines().filter_map(|line| line.strip_prefix("SHA-256: "));
    let told: Vec<String> = told.map(|hex| hex.replace(':', "").to_lowercase()).collect();
    let found: Vec<String> = roots
        .split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .map(|rest| {
            let (lines, _) = rest.split_once("-----END CERTIFICATE-----").unwrap();
            let certificate = BASE64_STANDARD.decode(lines.replace('\n', "")).unwrap();
            let digest = Sha256::digest(certificate);
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        })
        .collect();
    assert_eq!(found.len(), 5);
    assert_eq!(found, told);
}
