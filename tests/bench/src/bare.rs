//! The calls of a function by an HTTP client alone: unsigned, unparsed, over one connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::exchanges::Replayed;
use crate::stand::Endpoint;

/// How long all calls of an event take, one after the other: the first time, connecting included, and again.
#[derive(Debug, Clone, Default)]
pub struct Bare {
    /// The first time.
    pub first: Duration,
    /// Each further time.
    pub warm: Vec<Duration>,
}

/// Makes the calls so often. In a thread of its own, as in a process of a function: one thread, which waits for each answer.
///
/// # Errors
/// Where a call fails.
pub async fn run(replayed: &Replayed, times: u32) -> Result<Bare> {
    let endpoint = Endpoint::serve(replayed).await?;
    let requests = requests(replayed, endpoint.address)?;
    let measured = std::thread::spawn(move || -> Result<Bare> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(measure(&endpoint, &requests, times))
    });
    let joined = tokio::task::spawn_blocking(move || measured.join()).await?;
    joined.map_err(|_| anyhow::anyhow!("the bare calls panicked"))?
}

fn requests(replayed: &Replayed, address: SocketAddr) -> Result<Vec<http::Request<Full<Bytes>>>> {
    let mut requests = Vec::new();
    for call in &replayed.calls {
        let request = &call.request;
        let uri = format!("http://{address}{}", request.path);
        let mut builder = http::Request::builder().method(request.method.as_str()).uri(uri);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        requests.push(builder.body(Full::new(request.body.bytes()?))?);
    }
    Ok(requests)
}

async fn measure(endpoint: &Endpoint, requests: &[http::Request<Full<Bytes>>], times: u32) -> Result<Bare> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut bare = Bare::default();
    for time in 0..times {
        endpoint.rewind()?;
        let began = Instant::now();
        for request in requests {
            let response = client.request(request.clone()).await?;
            response.into_body().collect().await?;
        }
        let took = began.elapsed();
        if time == 0 {
            bare.first = took;
        } else {
            bare.warm.push(took);
        }
    }
    endpoint.rewind()?;
    Ok(bare)
}
