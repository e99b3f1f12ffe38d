//! The one port: which part of the cloud a request is for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use serde_json::json;

use crate::cloud::ApiError;
use crate::cloud::effect::{Effect, InvocationOutcome};
use crate::front::Shared;
use crate::processes::fleet::LONGEST;
use crate::wire::Routed;
use crate::{inbox, wire};

mod function_url;

/// The largest body of a request.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

/// How long an invocation through a function URL is waited for.
const URL_LIMIT: Duration = Duration::from_secs(30);

/// Answers requests until the task is aborted.
pub(crate) async fn serve(shared: Arc<Shared>, listener: tokio::net::TcpListener) {
    let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let shared = Arc::clone(&shared);
        async move { handle(&shared, request).await.map(Body::from) }
    });
    // It ends with the task alone: a connection that can't be accepted is tried again.
    let _ = axum::serve(listener, router).await;
}

async fn handle(shared: &Arc<Shared>, request: axum::extract::Request) -> Response<Bytes> {
    let (head, body) = request.into_parts();
    if let Some(refusal) = stranger(&head) {
        return refusal;
    }
    let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY).await else {
        return plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("A body has at most {LARGEST_BODY} bytes.\n"),
        );
    };
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    // Any of the names below could be a bucket's too; S3's requests are told by their signature.
    let signed_for_s3 = text(&head.headers, AUTHORIZATION.as_str()).contains("/s3/aws4_request");
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        _ if signed_for_s3 => api(shared, head, body).await,
        ["git", rest @ ..] => {
            let path = format!("/{}", rest.join("/"));
            let (response, changes) = shared
                .repositories
                .answer(&head.method, &path, &query, &head.headers, body)
                .await;
            shared.push(changes);
            response
        }
        ["function-url", function, ..] => function_url(shared, &head, function, body).await,
        ["runtime", worker, rest @ ..] => shared.functions.answer(worker, &head.method, rest, body).await,
        ["endpoints", endpoint, "invocations"] if head.method == Method::POST => {
            invoke_endpoint(shared, &head, endpoint, body).await
        }
        ["inbox", rest @ ..] if head.method == Method::GET => {
            let json = query.split('&').any(|pair| pair == "format=json");
            let (mails, posts) = shared.with(|cloud| (cloud.inbox().to_vec(), cloud.chat().to_vec()));
            inbox::page(&mails, &posts, &rest.join("/"), json)
        }
        _ => api(shared, head, body).await,
    }
}

/// One call of an AWS API.
async fn api(shared: &Arc<Shared>, head: Parts, body: Bytes) -> Response<Bytes> {
    let (routed, waiting) = shared.with(|cloud| {
        let routed = wire::route(cloud, Request::from_parts(head, body));
        let waiting = match &routed {
            Routed::Answer(_) => None,
            Routed::Invoke(pending) => Some(shared.wait_for_invocation(pending.invoke.id)),
        };
        (routed, waiting)
    });
    let pending = match routed {
        Routed::Answer(response) => return response,
        Routed::Invoke(pending) => pending,
    };
    // It runs to its end, whether or not its caller stays.
    shared.perform(Effect::Invoke(pending.invoke.clone()));
    let outcome = match waiting {
        Some(waiting) => waiting.await.ok(),
        None => None,
    };
    let outcome = outcome.unwrap_or_else(|| InvocationOutcome::Killed("the local cloud is stopping".to_owned()));
    shared.with(|cloud| pending.finish(cloud, outcome))
}

/// Refuses what a web page of somebody else's makes a browser send here: the APIs ask for no secret. The approval page's own form
/// may come without an origin and is safe, because its link is the secret.
fn stranger(head: &Parts) -> Option<Response<Bytes>> {
    let ours = |authority: &str| {
        let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
            if port.bytes().all(|digit| digit.is_ascii_digit()) {
                host
            } else {
                authority
            }
        });
        host == "127.0.0.1" || host == "[::1]" || host == "localhost" || host.ends_with(".localhost")
    };
    let host = text(&head.headers, HOST.as_str());
    let host_is_ours = host.is_empty() || ours(host);
    let origin = text(&head.headers, ORIGIN.as_str());
    let origin_is_ours = origin.is_empty()
        || origin.strip_prefix("http://").is_some_and(ours)
        || head.uri.path().starts_with("/function-url/");
    if host_is_ours && origin_is_ours {
        return None;
    }
    Some(plain(
        StatusCode::FORBIDDEN,
        "The local cloud is for this machine alone.\n",
    ))
}

/// An invocation through a function URL.
async fn function_url(shared: &Arc<Shared>, head: &Parts, function: &str, body: Bytes) -> Response<Bytes> {
    let prefix = format!("/function-url/{function}");
    let waiting = shared.with(|cloud| {
        let request_id = uuid(cloud);
        let event = function_url::event(head, &prefix, &body, cloud.now(), &request_id);
        let id = cloud.invoke_url(function, event)?;
        Ok::<_, ApiError>(shared.wait_for_invocation(id))
    });
    let outcome = match waiting {
        Ok(waiting) => tokio::time::timeout(URL_LIMIT, waiting).await,
        Err(error) => return refusal(&error),
    };
    match outcome {
        Ok(Ok(InvocationOutcome::Answer(answer))) => function_url::response(&answer),
        // A function that failed, and one that did not answer in time.
        _ => function_url::failure(),
    }
}

/// A request id that is not the seed's: how often a page is looked at must not change the stack's ids.
fn uuid(cloud: &crate::cloud::Cloud) -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_i128(cloud.now().as_nanosecond());
        hasher.finish()
    };
    let (first, second) = (half(), half());
    let text = format!("{first:016x}{second:016x}");
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-4{}-a{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

/// SageMaker's `InvokeEndpoint`.
async fn invoke_endpoint(shared: &Arc<Shared>, head: &Parts, endpoint: &str, body: Bytes) -> Response<Bytes> {
    if body.len() > LONGEST {
        let error = ApiError::validation(format!("the body has more than {LONGEST} bytes"));
        return refusal(&ApiError { status: 413, ..error });
    }
    let route = match shared.with(|cloud| cloud.route(endpoint)) {
        Ok(route) => route,
        Err(error) => return refusal(&error),
    };
    let mut headers = HeaderMap::new();
    for name in [
        CONTENT_TYPE,
        http::header::ACCEPT,
        HeaderName::from_static("x-amzn-sagemaker-custom-attributes"),
    ] {
        if let Some(value) = head.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let served = shared.fleet.invoke(route.instance, &headers, body).await;
    let status = served.response.status().as_u16();
    shared.with(|cloud| cloud.record_invocation(route.instance, status, served.latency_us));
    let (answer, body) = served.response.into_parts();
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    for name in [
        CONTENT_TYPE,
        HeaderName::from_static("x-amzn-sagemaker-custom-attributes"),
    ] {
        if let Some(value) = answer.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    for (name, value) in [
        ("x-amzn-invoked-production-variant", &route.variant),
        // Not SageMaker's: which version answered.
        ("x-signalbox-endpoint-config", &route.config),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// A service's error in the REST JSON protocol.
fn refusal(error: &ApiError) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(json!({"Message": error.message}).to_string()));
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(code) = HeaderValue::try_from(&error.code) {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-amzn-errortype"), code);
    }
    response
}

fn plain(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text.to_owned()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn text<'head>(headers: &'head HeaderMap, name: &str) -> &'head str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_peoples_pages_reach_nothing() {
        for (path, host, origin, refused) in [
            ("/", "127.0.0.1:4566", "", false),
            ("/", "localhost:4566", "http://localhost:4566", false),
            ("/", "bucket.localhost:4566", "", false),
            ("/", "[::1]:4566", "", false),
            ("/", "", "", false),
            ("/", "evil.example:4566", "", true),
            ("/", "127.0.0.1.evil.example", "", true),
            ("/", "evil.example:127.0.0.1", "", true),
            ("/", "127.0.0.1:4566", "https://evil.example", true),
            ("/inbox", "127.0.0.1:4566", "null", true),
            ("/function-url/f/", "127.0.0.1:4566", "null", false),
            ("/function-url/f/", "evil.example", "null", true),
        ] {
            let request = Request::builder()
                .uri(path)
                .header(HOST, host)
                .header(ORIGIN, origin)
                .body(())
                .unwrap();
            let (head, ()) = request.into_parts();
            assert_eq!(stranger(&head).is_some(), refused, "{path} {host} {origin}");
        }
    }
}
