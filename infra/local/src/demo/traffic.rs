//! Requests: a steady stream to the endpoint, and the ones that the story makes by hand.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::story;

/// Requests that are under way at a time, each on a connection that stays open.
pub(crate) const WORKERS: u32 = 4;
/// Requests per second of the wall clock, all workers together.
const RATE: u32 = 50;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// An HTTP client whose connections stay open.
#[derive(Debug, Clone)]
pub(crate) struct Browser(Client<HttpConnector, Full<Bytes>>);

impl Browser {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// Opens an address, as a click on a link does.
    ///
    /// # Errors
    /// Where there is no whole answer in time.
    pub(crate) async fn get(&self, url: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        self.ask(Request::get(url).body(Full::default())?).await
    }

    /// Sends a body of a content type.
    ///
    /// # Errors
    /// Where there is no whole answer in time.
    pub(crate) async fn post(&self, url: &str, kind: &str, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::post(url).header(http::header::CONTENT_TYPE, kind);
        self.ask(request.body(Full::new(body))?).await
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
        let answer = async {
            let answer = self.0.request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
            anyhow::Ok((status, body.to_bytes()))
        };
        timeout(PATIENCE, answer).await.context("no answer in time")?
    }
}

/// Requests that were answered, and that were not or with an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) served: u64,
    pub(crate) failed: u64,
}

#[derive(Debug)]
struct Shared {
    browser: Browser,
    url: String,
    rows: Vec<Bytes>,
    next: AtomicUsize,
    flows: AtomicBool,
    /// One count for each release, and the place of the one that counts now.
    counts: Mutex<(Vec<Count>, usize)>,
}

/// The stream to one endpoint; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    workers: Vec<tokio::task::JoinHandle<()>>,
}

impl Traffic {
    /// Prepares a stream of the rows to `BASE/endpoints/ENDPOINT/invocations`, which does not flow yet.
    pub(crate) fn new(browser: Browser, base_url: &str, endpoint: &str, requests: &[story::Request]) -> Self {
        let shared = Arc::new(Shared {
            browser,
            url: format!("{base_url}/endpoints/{endpoint}/invocations"),
            rows: requests
                .iter()
                .map(|request| Bytes::from(request.body.clone()))
                .collect(),
            next: AtomicUsize::new(0),
            flows: AtomicBool::new(false),
            counts: Mutex::new((Vec::new(), 0)),
        });
        let workers = (0..WORKERS)
            .map(|worker| tokio::spawn(work(Arc::clone(&shared), worker)))
            .collect();
        Self { shared, workers }
    }

    /// Lets the stream flow, or holds it.
    pub(crate) fn flow(&self, flows: bool) {
        self.shared.flows.store(flows, Ordering::Relaxed);
    }

    /// From now on requests count for the release in this place.
    pub(crate) fn count_for(&self, release: usize) {
        let mut counts = self.shared.counts();
        let (all, current) = &mut *counts;
        all.resize(all.len().max(release + 1), Count::default());
        *current = release;
    }

    /// What was counted for the release in this place.
    pub(crate) fn count(&self, release: usize) -> Count {
        self.shared.counts().0.get(release).copied().unwrap_or_default()
    }

    /// What was counted for all releases together.
    pub(crate) fn total(&self) -> Count {
        let counts = self.shared.counts();
        counts.0.iter().fold(Count::default(), |sum, count| Count {
            served: sum.served + count.served,
            failed: sum.failed + count.failed,
        })
    }

    /// Asks the endpoint about one row, counted like the others; returns the prediction.
    ///
    /// # Errors
    /// Where the answer is an error or no prediction.
    pub(crate) async fn ask(&self, row: &str) -> anyhow::Result<i64> {
        let (status, body) = self.shared.send(Bytes::from(row.to_owned())).await?;
        let said = String::from_utf8_lossy(&body);
        anyhow::ensure!(status.is_success(), "{status}: {said}");
        let answer: serde_json::Value = serde_json::from_slice(&body).with_context(|| said.into_owned())?;
        let prediction = answer.pointer("/predictions/0").and_then(serde_json::Value::as_i64);
        prediction.with_context(|| format!("no prediction in {answer}"))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.abort();
        }
    }
}

impl Shared {
    fn counts(&self) -> MutexGuard<'_, (Vec<Count>, usize)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, row: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        // The release that counts when the request leaves, whatever counts when the answer comes.
        let release = self.counts().1;
        let answer = self.browser.post(&self.url, "text/csv", row).await;
        let served = answer.as_ref().is_ok_and(|(status, _)| status.is_success());
        if let Some(count) = self.counts().0.get_mut(release) {
            let which = if served { &mut count.served } else { &mut count.failed };
            *which += 1;
        }
        answer
    }
}

/// The row that comes next. In turn they would keep step with the routing: each second or fourth request goes to the new fleet, and
/// it would be asked about healthy or about ill patients only. The multiples of the golden ratio keep step with nothing.
fn place(number: usize, rows: usize) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let fraction = u128::from((number as u64).wrapping_mul(GOLDEN));
    usize::try_from((fraction * rows as u128) >> 64).unwrap_or_default()
}

/// Sends its part of the stream, evenly, for ever.
async fn work(shared: Arc<Shared>, worker: u32) {
    let every = Duration::from_secs(1) * WORKERS / RATE;
    let mut ticks = interval_at(Instant::now() + every * worker / WORKERS, every);
    // A slow answer makes the stream thinner, not bunched up afterwards.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !shared.flows.load(Ordering::Relaxed) {
            continue;
        }
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if let Some(row) = shared.rows.get(place(number, shared.rows.len())) {
            // A failure is counted; what it said is in the server's log.
            let _ = shared.send(row.clone()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::HeaderMap;
    use axum::routing::post;

    use super::*;

    async fn endpoint() -> String {
        let answer = |headers: HeaderMap, body: String| async move {
            assert_eq!(headers["content-type"], "text/csv");
            match body.as_str() {
                "1,2" => (StatusCode::OK, r#"{"predictions": [1], "scores": [0.9]}"#),
                "3,4" => (StatusCode::OK, "{}"),
                _ => (StatusCode::INTERNAL_SERVER_ERROR, "broken"),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/endpoints/m/invocations", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        base
    }

    fn rows(rows: &[&str]) -> Vec<story::Request> {
        rows.iter()
            .map(|row| story::Request {
                body: (*row).to_owned(),
                label: 1,
            })
            .collect()
    }

    #[tokio::test]
    async fn each_request_counts_for_one_release() {
        let traffic = Traffic::new(Browser::new(), &endpoint().await, "m", &rows(&["1,2"]));
        traffic.count_for(0);
        assert_eq!(traffic.ask("1,2").await.unwrap(), 1);
        assert!(
            traffic
                .ask("3,4")
                .await
                .unwrap_err()
                .to_string()
                .contains("no prediction")
        );
        traffic.count_for(2);
        assert!(traffic.ask("5,6").await.unwrap_err().to_string().contains("500"));
        assert_eq!(traffic.count(0), Count { served: 2, failed: 0 });
        assert_eq!(traffic.count(1), Count::default());
        assert_eq!(traffic.count(2), Count { served: 0, failed: 1 });
        assert_eq!(traffic.total(), Count { served: 2, failed: 1 });
    }

    #[tokio::test]
    async fn the_stream_flows_and_is_held() {
        let traffic = Traffic::new(Browser::new(), &endpoint().await, "m", &rows(&["1,2", "5,6"]));
        traffic.count_for(0);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(traffic.count(0), Count::default());
        traffic.flow(true);
        tokio::time::sleep(Duration::from_millis(600)).await;
        traffic.flow(false);
        let Count { served, failed } = traffic.count(0);
        // Every other row fails.
        assert!(
            served >= 5 && failed >= 5 && served.abs_diff(failed) <= WORKERS.into(),
            "{served} {failed}"
        );
    }

    #[test]
    fn every_fleet_gets_rows_of_every_kind() {
        let rows = 60;
        for every in 1..=8 {
            for first in 0..every {
                let places: Vec<usize> = (first..).step_by(every).take(20).map(|n| place(n, rows)).collect();
                let odd = places.iter().filter(|place| *place % 2 == 1).count();
                assert!((5..=15).contains(&odd), "{every} {first}: {places:?}");
                assert!(places.iter().all(|place| *place < rows));
            }
        }
        assert_eq!(place(7, 0), 0);
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure() {
        let traffic = Traffic::new(Browser::new(), "http://127.0.0.1:1", "m", &[]);
        traffic.count_for(0);
        assert!(traffic.ask("1,2").await.is_err());
        assert_eq!(traffic.count(0), Count { served: 0, failed: 1 });
    }
}
