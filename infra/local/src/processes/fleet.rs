//! Endpoints' fleets: each instance is the model's own HTTP server.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;

use super::{Process, describe, lock, tail};
use crate::cloud::effect::{EffectId, StartInstance};
use crate::jobs::{Bench, add_environment, archive, container};

/// How long an instance may take until it answers its first ping.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long a stopping instance's requests are waited for, and then its process.
const GRACE: Duration = Duration::from_secs(5);

/// SageMaker's limit for an answer's time.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The longest request and answer.
pub(crate) const LONGEST: usize = 25 * 1024 * 1024;

/// The instances.
#[derive(Debug)]
pub(crate) struct Fleet {
    instances: Mutex<BTreeMap<EffectId, Arc<Instance>>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
struct Instance {
    port: Mutex<Option<u16>>,
    busy: AtomicUsize,
    stop: watch::Sender<bool>,
}

/// What an instance said.
#[derive(Debug)]
pub(crate) struct Served {
    /// The answer.
    pub(crate) response: Response<Bytes>,
    /// The model's latency, in microseconds.
    pub(crate) latency_us: u64,
}

impl Fleet {
    /// No instance yet.
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        Self {
            instances: Mutex::default(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// Makes an instance known, so that it can be stopped from now on.
    pub(crate) fn announce(&self, id: EffectId) {
        let instance = Instance {
            port: Mutex::default(),
            busy: AtomicUsize::new(0),
            stop: watch::channel(false).0,
        };
        lock(&self.instances).insert(id, Arc::new(instance));
    }

    /// Asks an instance to stop.
    pub(crate) fn stop(&self, id: EffectId) {
        if let Some(instance) = lock(&self.instances).get(&id) {
            instance.stop.send_replace(true);
        }
    }

    /// Runs an instance until it is stopped or ends; `started` is told once whether it came up.
    pub(crate) async fn run(&self, bench: &Bench, start: &StartInstance, started: impl FnOnce(Result<(), String>)) {
        let Some(instance) = lock(&self.instances).get(&start.id).cloned() else {
            return started(Err("the instance is not known".to_owned()));
        };
        let mut stop = instance.stop.subscribe();
        let stopped = async {
            let mut stopping = bench.stopping.clone();
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        };
        tokio::pin!(stopped);
        let up = tokio::select! {
            up = self.come_up(bench, start) => up,
            () = &mut stopped => Err("the instance was stopped while it started".to_owned()),
        };
        match up {
            Err(reason) => started(Err(reason)),
            Ok((mut process, port, _folder)) => {
                *lock(&instance.port) = Some(port);
                started(Ok(()));
                tokio::select! {
                    _ = process.wait() => {
                        // A server that died: what is sent to it fails, as its connections would.
                        *lock(&instance.port) = None;
                        stopped.await;
                    }
                    () = &mut stopped => {
                        let until = Instant::now() + GRACE;
                        while instance.busy.load(Ordering::SeqCst) > 0 && Instant::now() < until {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                        *lock(&instance.port) = None;
                        process.stop(GRACE).await;
                    }
                }
            }
        }
        lock(&self.instances).remove(&start.id);
    }

    async fn come_up<'bench>(
        &self,
        bench: &'bench Bench,
        start: &StartInstance,
    ) -> Result<(Process<'bench>, u16, tempfile::TempDir), String> {
        let own = |error: std::io::Error| format!("InternalServerError: {error}");
        let folder = bench.fresh("instance-").map_err(own)?;
        let model = folder.path().join("opt/ml/model");
        std::fs::create_dir_all(&model).map_err(own)?;
        archive::untar(&start.model_archive, &model)
            .map_err(|error| format!("the model archive is no usable tar.gz: {error}"))?;
        let program = model.join("code/serve.py");
        if !program.is_file() {
            return Err("the model archive has no code/serve.py".to_owned());
        }
        // The port is free now and may be taken until the server binds it.
        let mut reason = String::new();
        for attempt in 1..=3 {
            let port = TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| listener.local_addr())
                .map_err(own)?
                .port();
            let log = bench.log(&format!("{}-instance-{}-{attempt}", start.endpoint, start.id));
            let output = File::create(&log).map_err(own)?;
            let environment = start
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), container::relocate(value, folder.path())))
                .collect();
            let mut command = bench.command("python3", folder.path());
            // A server that writes compiled files would change the model's folder.
            command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
            add_environment(&mut command, &environment);
            command
                .arg(&program)
                .current_dir(&model)
                .env("SM_MODEL_DIR", &model)
                .env("SAGEMAKER_BIND_TO_PORT", port.to_string())
                .env("SAGEMAKER_BIND_TO_HOST", "127.0.0.1")
                .stdout(output.try_clone().map_err(own)?)
                .stderr(output);
            let mut process = Process::start(&bench.warden, &mut command).map_err(own)?;
            let ended = tokio::select! {
                status = process.wait() => status.map_err(own)?,
                up = self.wait_for_ping(port) => match up {
                    Ok(()) => return Ok((process, port, folder)),
                    Err(reason) => {
                        process.kill().await;
                        return Err(with_log(&reason, &tail(&log, 5), folder.path()));
                    }
                },
            };
            let said = tail(&log, 5);
            reason = with_log(
                &format!("the server ended ({}) before it answered a ping", describe(ended)),
                &said,
                folder.path(),
            );
            if !said.contains("Address already in use") {
                break;
            }
        }
        Err(reason)
    }

    async fn wait_for_ping(&self, port: u16) -> Result<(), String> {
        let until = Instant::now() + START_LIMIT;
        let mut last = "no answer".to_owned();
        while Instant::now() < until {
            let limit = Duration::from_secs(2);
            match self
                .request(port, &Method::GET, "/ping", &HeaderMap::new(), Bytes::new(), limit)
                .await
            {
                Ok(response) if response.status() == StatusCode::OK => return Ok(()),
                Ok(response) => last = format!("status {}", response.status().as_u16()),
                Err(error) => last = error,
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Err(format!(
            "the server did not pass the ping health check within {} seconds: {last}",
            START_LIMIT.as_secs()
        ))
    }

    /// Sends an invocation to an instance. One that can't be reached answers 500, as SageMaker's front does.
    pub(crate) async fn invoke(&self, id: EffectId, headers: &HeaderMap, body: Bytes) -> Served {
        let instance = lock(&self.instances).get(&id).cloned();
        let started = Instant::now();
        let result = match &instance {
            Some(instance) => {
                let _busy = Busy::new(&instance.busy);
                let port = *lock(&instance.port);
                match port {
                    Some(port) => {
                        self.request(port, &Method::POST, "/invocations", headers, body, ANSWER_LIMIT)
                            .await
                    }
                    None => Err("the instance's server has ended".to_owned()),
                }
            }
            None => Err("the instance is gone".to_owned()),
        };
        let latency_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let response = result.unwrap_or_else(|reason| {
            let mut response = Response::new(Bytes::from(serde_json::json!({"error": reason}).to_string()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            let json = http::HeaderValue::from_static("application/json");
            response.headers_mut().insert(http::header::CONTENT_TYPE, json);
            response
        });
        Served { response, latency_us }
    }

    async fn request(
        &self,
        port: u16,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<Response<Bytes>, String> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = format!("http://127.0.0.1:{port}{path}")
            .parse()
            .map_err(|_| "no address".to_owned())?;
        *request.headers_mut() = headers.clone();
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| chain(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LONGEST)
                .collect()
                .await
                .map_err(|error| error.to_string())?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(limit, answer)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} seconds", limit.as_secs())))
    }
}

/// Counts a request for as long as it lives.
struct Busy<'count>(&'count AtomicUsize);

impl<'count> Busy<'count> {
    fn new(count: &'count AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn with_log(reason: &str, said: &str, folder: &std::path::Path) -> String {
    let said = said.replace(&*folder.to_string_lossy(), "");
    if said.is_empty() {
        reason.to_owned()
    } else {
        format!("{reason}: {said}")
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::archive::test_tar;
    use crate::jobs::test_bench;

    const SERVER: &str = r#"
import os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.answer(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"die":
            os._exit(1)
        self.answer(503 if body == b"fail" else 200, os.environ["MODEL"].encode() + b" " + body)
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer((os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"#;

    fn instance(id: EffectId, server: Option<&str>) -> StartInstance {
        StartInstance {
            id,
            endpoint: "m".to_owned(),
            config: "m-v1".to_owned(),
            model_archive: match server {
                Some(server) => test_tar(&[("code/serve.py", server)]),
                None => test_tar(&[("model.json", "{}")]),
            },
            environment: BTreeMap::from([("MODEL".to_owned(), "v1".to_owned())]),
        }
    }

    #[tokio::test]
    async fn an_instance_starts_serves_fails_and_stops() {
        let (_folder, _stop, bench) = test_bench();
        let fleet = Fleet::new();
        fleet.announce(1);
        let (started, told) = tokio::sync::oneshot::channel();
        let start = instance(1, Some(SERVER));
        let run = fleet.run(&bench, &start, |result| started.send(result).unwrap());
        let talk = async {
            told.await.unwrap().unwrap();
            for (body, status, expected) in [("hello", 200, "v1 hello"), ("fail", 503, "v1 fail")] {
                let served = fleet.invoke(1, &HeaderMap::new(), Bytes::from(body)).await;
                assert_eq!(
                    (served.response.status().as_u16(), &served.response.body()[..]),
                    (status, expected.as_bytes())
                );
                assert!(served.latency_us > 0);
            }
            fleet.stop(1);
        };
        tokio::join!(run, talk);
        let served = fleet.invoke(1, &HeaderMap::new(), Bytes::new()).await;
        assert_eq!(served.response.status(), 500, "gone");
        assert!(lock(&fleet.instances).is_empty());
    }

    #[tokio::test]
    async fn a_server_that_dies_answers_500_until_it_is_stopped() {
        let (_folder, _stop, bench) = test_bench();
        let fleet = Fleet::new();
        fleet.announce(1);
        let (started, told) = tokio::sync::oneshot::channel();
        let start = instance(1, Some(SERVER));
        let run = fleet.run(&bench, &start, |result| started.send(result).unwrap());
        let talk = async {
            told.await.unwrap().unwrap();
            for body in ["die", "hello"] {
                assert_eq!(
                    fleet
                        .invoke(1, &HeaderMap::new(), Bytes::from(body))
                        .await
                        .response
                        .status(),
                    500
                );
            }
            fleet.stop(1);
        };
        tokio::join!(run, talk);
    }

    #[tokio::test]
    async fn what_keeps_an_instance_from_starting_is_told() {
        let (_folder, _stop, bench) = test_bench();
        let fleet = Fleet::new();
        for (id, server, expected) in [
            (1, None, "the model archive has no code/serve.py"),
            (
                2,
                Some("import sys; sys.exit('no model')"),
                "the server ended (exit status 1) before it answered a ping: no model",
            ),
        ] {
            fleet.announce(id);
            let mut result = None;
            fleet
                .run(&bench, &instance(id, server), |told| result = Some(told))
                .await;
            assert_eq!(result, Some(Err(expected.to_owned())));
        }
        fleet.announce(3);
        fleet.stop(3);
        let mut result = None;
        fleet
            .run(&bench, &instance(3, Some("import time; time.sleep(600)")), |told| {
                result = Some(told)
            })
            .await;
        assert!(result.unwrap().unwrap_err().contains("stopped while it started"));
    }
}
