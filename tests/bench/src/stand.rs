//! A Runtime API and an endpoint of AWS for one process of a function, and what the process has used.

use std::collections::{BTreeMap, VecDeque};
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::exchanges::{Replayed, key};

/// How long a process may take for all that is asked of it.
const TIME_MAX: Duration = Duration::from_secs(30);

/// What one process has used.
#[derive(Debug, Clone, Default)]
pub struct Used {
    /// Until it asked for its first event: of the processor.
    pub start_cpu: Duration,
    /// And of the clock, from before it was started.
    pub start_wall: Duration,
    /// Until its first answer: of the processor, from the start.
    pub first_cpu: Duration,
    /// And of the clock, from the event.
    pub first_wall: Duration,
    /// From each further event to its answer.
    pub warm: Vec<Duration>,
    /// The most memory that it had, in KiB.
    pub peak_kib: u64,
    /// The calls that it made for the first event.
    pub calls: u64,
}

/// What is asked of a process, and what has come of it.
#[derive(Debug)]
struct Session {
    pid: Option<u32>,
    began: Instant,
    event: Bytes,
    /// The answers, by what is asked for.
    answers: BTreeMap<String, Vec<Answer>>,
    /// Those that are left for the event that is handled now.
    left: BTreeMap<String, VecDeque<usize>>,
    handed: u32,
    handed_at: Instant,
    used: Used,
    wrong: Option<String>,
}

#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Bytes,
}

#[derive(Debug, Clone)]
struct Stand {
    session: Arc<Mutex<Session>>,
    over: Arc<Notify>,
    /// How many events it gets.
    events: u32,
}

impl Stand {
    fn of(replayed: &Replayed, events: u32) -> Result<Self> {
        let mut answers: BTreeMap<String, Vec<Answer>> = BTreeMap::new();
        for call in &replayed.calls {
            let answer = Answer {
                status: call.response.status,
                headers: call.response.headers.clone(),
                body: call.response.body.bytes()?,
            };
            answers.entry(call.key()).or_default().push(answer);
        }
        let now = Instant::now();
        let session = Session {
            pid: None,
            began: now,
            event: serde_json::to_vec(&replayed.event)?.into(),
            answers,
            left: BTreeMap::new(),
            handed: 0,
            handed_at: now,
            used: Used::default(),
            wrong: None,
        };
        Ok(Self {
            session: Arc::new(Mutex::new(session)),
            over: Arc::new(Notify::new()),
            events,
        })
    }

    fn runtime_api(&self) -> Router {
        let invocation = "/2018-06-01/runtime/invocation";
        Router::new()
            .route(&format!("{invocation}/next"), get(next))
            .route(&format!("{invocation}/{{id}}/response"), post(answered))
            .route(&format!("{invocation}/{{id}}/error"), post(failed))
            .route("/2018-06-01/runtime/init/error", post(did_not_start))
            .with_state(self.clone())
    }

    fn aws(&self) -> Router {
        Router::new().fallback(asked).with_state(self.clone())
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All answers may be given again.
    fn rewind(&self) {
        let session = &mut *self.session();
        let whole = session.answers.iter();
        session.left = whole
            .map(|(key, answers)| (key.clone(), (0..answers.len()).collect()))
            .collect();
    }

    fn fail(&self, what: String) {
        self.session().wrong.get_or_insert(what);
        self.over.notify_one();
    }
}

/// Starts the binary, gives it the event so often, and ends it.
///
/// # Errors
/// Where it can't be started, fails, or calls what is not replayed.
pub async fn run(binary: &Path, replayed: &Replayed, events: u32) -> Result<Used> {
    let stand = Stand::of(replayed, events)?;
    let (runtime_api, endpoint) = (
        TcpListener::bind("127.0.0.1:0").await?,
        TcpListener::bind("127.0.0.1:0").await?,
    );
    let (runtime_at, endpoint_at) = (runtime_api.local_addr()?, endpoint.local_addr()?);
    let servers = [
        tokio::spawn(axum::serve(runtime_api, stand.runtime_api()).into_future()),
        tokio::spawn(axum::serve(endpoint, stand.aws()).into_future()),
    ];

    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(&replayed.environment)
        .env("AWS_LAMBDA_RUNTIME_API", runtime_at.to_string())
        .env("AWS_ENDPOINT_URL", format!("http://{endpoint_at}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut process = {
        // Whoever wants to know the process waits until it is known.
        let mut session = stand.session();
        session.began = Instant::now();
        let process = command.spawn().with_context(|| binary.display().to_string())?;
        session.pid = Some(process.id());
        process
    };
    let over = tokio::time::timeout(TIME_MAX, stand.over.notified()).await;
    process.kill()?;
    process.wait()?;
    for server in servers {
        server.abort();
    }
    let session = stand.session();
    if let Some(wrong) = &session.wrong {
        bail!("{}: {wrong}", binary.display());
    }
    over.with_context(|| format!("{}: not done after {TIME_MAX:?}", binary.display()))?;
    Ok(session.used.clone())
}

/// The endpoint alone, for the bare calls.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    stand: Stand,
    server: JoinHandle<std::io::Result<()>>,
}

impl Endpoint {
    /// Serves the answers.
    ///
    /// # Errors
    /// Where nothing can be listened on, or an answer is no answer.
    pub async fn serve(replayed: &Replayed) -> Result<Self> {
        let stand = Stand::of(replayed, 0)?;
        stand.rewind();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(axum::serve(listener, stand.aws()).into_future());
        Ok(Self { address, stand, server })
    }

    /// All answers may be given again.
    ///
    /// # Errors
    /// Where something was asked for which there was none.
    pub fn rewind(&self) -> Result<()> {
        self.stand.rewind();
        match self.stand.session().wrong.take() {
            Some(wrong) => bail!(wrong),
            None => Ok(()),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// It wants an event.
async fn next(State(stand): State<Stand>) -> Response {
    let response = {
        let mut session = stand.session();
        if session.handed == 0 {
            session.used.start_wall = session.began.elapsed();
            session.used.start_cpu = session.pid.map(cpu).unwrap_or_default();
        }
        if session.handed == stand.events {
            session.used.peak_kib = session.pid.and_then(peak_kib).unwrap_or_default();
            None
        } else {
            session.handed += 1;
            session.handed_at = Instant::now();
            Some((session.handed, session.event.clone()))
        }
    };
    stand.rewind();
    let Some((number, event)) = response else {
        stand.over.notify_one();
        return std::future::pending().await;
    };
    let deadline = std::time::SystemTime::now() + Duration::from_secs(60);
    let deadline = deadline.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut response = Response::new(Body::from(event));
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-type", "application/json".to_owned()),
        (
            "lambda-runtime-aws-request-id",
            format!("00000000-0000-4000-8000-{number:012}"),
        ),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-west-1:123456789012:function:benched".to_owned(),
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0".to_owned(),
        ),
    ] {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    response
}

/// It has an answer. The process waits for ours meanwhile, so that what it has used is what the answer took.
async fn answered(State(stand): State<Stand>, UrlPath(_): UrlPath<String>) -> Response {
    let mut session = stand.session();
    let took = session.handed_at.elapsed();
    if session.handed == 1 {
        session.used.first_wall = took;
        session.used.first_cpu = session.pid.map(cpu).unwrap_or_default();
    } else {
        session.used.warm.push(took);
    }
    accepted()
}

async fn failed(State(stand): State<Stand>, UrlPath(_): UrlPath<String>, body: String) -> Response {
    stand.fail(format!("the event was not handled: {body}"));
    accepted()
}

async fn did_not_start(State(stand): State<Stand>, body: String) -> Response {
    stand.fail(format!("it did not start: {body}"));
    accepted()
}

fn accepted() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::ACCEPTED;
    response
}

/// It calls AWS.
async fn asked(State(stand): State<Stand>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // A connection is kept only when the request was read to its end.
    drop(axum::body::to_bytes(body, usize::MAX).await);
    let target = parts
        .headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok());
    let key = key(parts.method.as_str(), parts.uri.path(), target);
    let answer = {
        let mut session = stand.session();
        if session.handed == 1 {
            session.used.calls += 1;
        }
        let number = session.left.get_mut(&key).and_then(VecDeque::pop_front);
        let answers = session.answers.get(&key);
        number.and_then(|number| answers?.get(number).cloned())
    };
    let Some(answer) = answer else {
        stand.fail(format!("it calls {key}, for which there is no answer (any more)"));
        return accepted();
    };
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or_default();
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What the threads of a process have used of the processor; see <https://docs.kernel.org/scheduler/sched-stats.html>. Those that have
/// ended are not counted; a function has one, and such as look up names.
fn cpu(pid: u32) -> Duration {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Duration::ZERO;
    };
    let of_thread = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(of_thread).sum())
}

/// The most memory that a process had resident.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
