//! Functions as Lambda runs them: a process each, kept warm, that asks the Runtime API for its next event.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{Process, describe, lock};
use crate::cloud::effect::{InvocationOutcome, Invoke};
use crate::jobs::{Bench, add_environment};

/// How many events a function works on at once.
const CONCURRENCY: usize = 4;

/// How long a process may take until it asks for its first event. Lambda grants ten seconds to a machine of its own.
const INIT_LIMIT: Duration = Duration::from_secs(30);

/// The longest answer, as Lambda has it.
const LONGEST_ANSWER: usize = 6 * 1024 * 1024;

/// The longest line that is told on, in bytes, as CloudWatch has it for an event of a log.
const LONGEST_LINE: usize = 1024 * 1024;

/// A line that a function has logged.
#[derive(Debug)]
pub(crate) struct Logged {
    /// The function's name.
    pub(crate) function: String,
    /// The line.
    pub(crate) line: String,
}

/// What is run for a function.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The binary, with arguments.
    pub(crate) command: Vec<PathBuf>,
    /// The function's ARN, without a qualifier.
    pub(crate) arn: String,
    /// The environment but for `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) environment: BTreeMap<String, String>,
}

/// The functions.
#[derive(Debug)]
pub(crate) struct Functions {
    /// `127.0.0.1:PORT`.
    address: String,
    /// By function and version.
    pools: Mutex<BTreeMap<(String, String), Arc<Pool>>>,
    workers: Mutex<BTreeMap<String, Arc<Worker>>>,
    started: AtomicU64,
    logged: mpsc::UnboundedSender<Logged>,
}

/// The processes of one version of a function.
#[derive(Debug)]
struct Pool {
    turns: Semaphore,
    idle: Mutex<Vec<Arc<Worker>>>,
}

/// One process, as the Runtime API sees it.
#[derive(Debug)]
struct Worker {
    /// `FUNCTION-NUMBER`; the numbers are those of all functions and versions.
    id: String,
    events: mpsc::Sender<Work>,
    waiting: tokio::sync::Mutex<mpsc::Receiver<Work>>,
    /// The event that is being worked on, and who waits for what comes of it.
    running: Mutex<Option<(String, oneshot::Sender<InvocationOutcome>)>>,
    /// What the process said why it can't start.
    init_error: Mutex<Option<InvocationOutcome>>,
    /// Set once the process has ended: how.
    ended: watch::Receiver<Option<String>>,
    /// Dropping or sending ends the process.
    end: mpsc::Sender<()>,
}

/// An event on its way to a process.
#[derive(Debug)]
struct Work {
    invoke: Invoke,
    arn: String,
    taken: oneshot::Sender<()>,
    answer: oneshot::Sender<InvocationOutcome>,
}

/// What ended an invocation that was not answered.
enum End {
    Process,
    Time,
}

impl Functions {
    /// No function runs yet. What they will log is told to `logged`, line by line.
    pub(crate) fn new(address: String, logged: mpsc::UnboundedSender<Logged>) -> Self {
        Self {
            address,
            pools: Mutex::default(),
            workers: Mutex::default(),
            started: AtomicU64::new(0),
            logged,
        }
    }

    /// Runs one invocation to its end. As on Lambda, an event waits while all processes of its version are
    /// busy.
    pub(crate) async fn invoke(&self, bench: &Arc<Bench>, program: &Program, invoke: Invoke) -> InvocationOutcome {
        let version = (invoke.function.clone(), invoke.version.clone());
        let pool = Arc::clone(lock(&self.pools).entry(version).or_insert_with(|| {
            Arc::new(Pool {
                turns: Semaphore::new(CONCURRENCY),
                idle: Mutex::default(),
            })
        }));
        let Ok(_turn) = pool.turns.acquire().await else {
            return InvocationOutcome::Killed("the local cloud is stopping".to_owned());
        };
        let warm = std::iter::from_fn(|| lock(&pool.idle).pop()).find(|worker| {
            let alive = worker.ended.borrow().is_none();
            if !alive {
                lock(&self.workers).remove(&worker.id);
            }
            alive
        });
        let worker = match warm {
            Some(worker) => worker,
            None => match self.start(bench, program, &invoke.function) {
                Ok(worker) => worker,
                Err(reason) => return InvocationOutcome::Killed(reason),
            },
        };
        let outcome = self.work(&worker, program, invoke).await;
        if worker.ended.borrow().is_none() {
            lock(&pool.idle).push(worker);
        }
        outcome
    }

    async fn work(&self, worker: &Worker, program: &Program, invoke: Invoke) -> InvocationOutcome {
        let (taken, is_taken) = oneshot::channel();
        let (answer, mut answered) = oneshot::channel();
        let limit = Duration::from_secs(u64::from(invoke.timeout_seconds));
        let timed_out = format!("Task timed out after {}.00 seconds", invoke.timeout_seconds);
        // As it was invoked: by an alias, with the alias.
        let arn = match &invoke.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", program.arn),
            None => program.arn.clone(),
        };
        let mut ended = worker.ended.clone();
        let work = Work {
            invoke,
            arn,
            taken,
            answer,
        };
        // A process that has ended is noticed below.
        let _ = worker.events.try_send(work);
        let started = tokio::select! {
            _ = ended.wait_for(Option::is_some) => Ok(()),
            started = tokio::time::timeout(INIT_LIMIT, is_taken) => started.map(|_| ()),
        };
        if started.is_err() {
            self.end(worker, &mut ended).await;
            return InvocationOutcome::Killed(format!("Init timed out after {} seconds", INIT_LIMIT.as_secs()));
        }
        let end = tokio::select! {
            // An answer counts even if the process ended right after it.
            biased;
            Ok(outcome) = &mut answered => return outcome,
            _ = ended.wait_for(Option::is_some) => End::Process,
            () = tokio::time::sleep(limit) => End::Time,
        };
        match end {
            End::Process => {
                lock(&self.workers).remove(&worker.id);
                let told = lock(&worker.init_error).take();
                told.unwrap_or_else(|| InvocationOutcome::Killed(ended.borrow().clone().unwrap_or_default()))
            }
            End::Time => {
                self.end(worker, &mut ended).await;
                InvocationOutcome::Killed(timed_out)
            }
        }
    }

    /// Ends a process for good.
    async fn end(&self, worker: &Worker, ended: &mut watch::Receiver<Option<String>>) {
        lock(&self.workers).remove(&worker.id);
        let _ = worker.end.try_send(());
        let _ = ended.wait_for(Option::is_some).await;
    }

    fn start(&self, bench: &Arc<Bench>, program: &Program, function: &str) -> Result<Arc<Worker>, String> {
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("{function}-{number}");
        let own = |error: std::io::Error| format!("Runtime.InvalidEntrypoint: {error}");
        let log = bench.log(function);
        let log = File::options().create(true).append(true).open(log).map_err(own)?;
        // One pipe for both, so that what is written stays in order.
        let (output, input) = std::io::pipe().map_err(own)?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(output)).map_err(own)?;
        let Some((binary, arguments)) = program.command.split_first() else {
            return Err("Runtime.InvalidEntrypoint: the function has no binary".to_owned());
        };
        let mut command = tokio::process::Command::new(binary);
        command.env_clear();
        add_environment(&mut command, &program.environment);
        command
            .env(
                "AWS_LAMBDA_RUNTIME_API",
                format!("http://{}/runtime/{id}", self.address),
            )
            .args(arguments)
            .current_dir(&bench.folder)
            .stdout(input.try_clone().map_err(own)?)
            .stderr(input);
        let (events, waiting) = mpsc::channel(1);
        let (end, mut ending) = mpsc::channel(1);
        let (told, ended) = watch::channel(None);
        let worker = Arc::new(Worker {
            id: id.clone(),
            events,
            waiting: tokio::sync::Mutex::new(waiting),
            running: Mutex::default(),
            init_error: Mutex::default(),
            ended,
            end,
        });
        // Before the process: it may ask for its first event at once.
        lock(&self.workers).insert(id.clone(), Arc::clone(&worker));
        // Tried here, so that a missing binary is told as such.
        if let Err(error) = std::fs::metadata(binary) {
            lock(&self.workers).remove(&id);
            return Err(own(error));
        }
        tokio::spawn(log_all(output, log, function.to_owned(), self.logged.clone()));
        let bench = Arc::clone(bench);
        tokio::spawn(async move {
            let mut process = match Process::start(&bench.warden, &mut command) {
                Ok(process) => process,
                Err(error) => {
                    told.send_replace(Some(format!("Runtime.InvalidEntrypoint: {error}")));
                    return;
                }
            };
            // The log ends when nobody can write to it any more.
            drop(command);
            let mut stopping = bench.stopping.clone();
            let status = tokio::select! {
                status = process.wait() => status.ok(),
                _ = ending.recv() => None,
                _ = stopping.wait_for(|stopping| *stopping) => None,
            };
            if status.is_none() {
                process.kill().await;
            }
            told.send_replace(Some(match status {
                Some(status) if status.success() => "Runtime exited without providing a reason".to_owned(),
                Some(status) => format!("Runtime exited with error: {}", describe(status)),
                None => "Runtime exited with error: signal: killed".to_owned(),
            }));
        });
        Ok(worker)
    }

    /// Answers the Runtime API: the path from `2018-06-01` on.
    pub(crate) async fn answer(&self, worker: &str, method: &Method, path: &[&str], body: Bytes) -> Response<Bytes> {
        let Some(worker) = lock(&self.workers).get(worker).cloned() else {
            // The process of an invocation that is over.
            return refusal(StatusCode::GONE, "InvalidRuntime", "this process is not known any more");
        };
        match (method, path) {
            (&Method::GET, ["2018-06-01", "runtime", "invocation", "next"]) => worker.next().await,
            (&Method::POST, ["2018-06-01", "runtime", "init", "error"]) => {
                *lock(&worker.init_error) = Some(error(&body, "Runtime.InitError"));
                accepted()
            }
            (&Method::POST, ["2018-06-01", "runtime", "invocation", id, what @ ("response" | "error")]) => {
                let outcome = match *what {
                    "error" => error(&body, "Runtime.UnknownReason"),
                    _ if body.len() > LONGEST_ANSWER => InvocationOutcome::Error {
                        kind: "Function.ResponseSizeTooLarge".to_owned(),
                        message: format!(
                            "Response payload size ({} bytes) exceeded maximum allowed payload size ({LONGEST_ANSWER} bytes).",
                            body.len()
                        ),
                    },
                    _ if body.is_empty() => InvocationOutcome::Answer(Value::Null),
                    _ => serde_json::from_slice(&body).map_or_else(
                        |error| InvocationOutcome::Error {
                            kind: "Runtime.InvalidResponse".to_owned(),
                            message: format!("the answer is not JSON: {error}"),
                        },
                        InvocationOutcome::Answer,
                    ),
                };
                let running = {
                    let mut running = lock(&worker.running);
                    if running.as_ref().is_some_and(|(running, _)| running == id) {
                        running.take()
                    } else {
                        None
                    }
                };
                match running {
                    Some((_, answer)) => {
                        // Nobody waits any more if the cloud is stopping.
                        let _ = answer.send(outcome);
                        accepted()
                    }
                    None => refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"),
                }
            }
            _ => refusal(StatusCode::NOT_FOUND, "InvalidPath", "the Runtime API has no such path"),
        }
    }
}

/// Writes what a process says to its log, and tells of each line, until all that it has started has ended.
async fn log_all(mut output: pipe::Receiver, mut log: File, function: String, logged: mpsc::UnboundedSender<Logged>) {
    let mut buffer = vec![0; 16 * 1024];
    let mut lines = Lines::default();
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        let said = buffer.get(..count).unwrap_or_default();
        // A log that can't be written is no reason to let the function wait for its reader.
        let _ = log.write_all(said);
        for line in lines.feed(said) {
            let function = function.clone();
            // Nobody listens any more if the cloud is stopping.
            let _ = logged.send(Logged { function, line });
        }
    }
}

/// Makes lines of what comes in pieces.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The lines that end in this piece. One that is too long is left out.
    fn feed(&mut self, said: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in said.split_inclusive(|byte| *byte == b'\n') {
            // One byte too many is kept of a line that is too long, and tells that it is.
            let room = (LONGEST_LINE + 1).saturating_sub(self.begun.len());
            let (piece, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |piece| (piece, true));
            self.begun.extend(piece.iter().take(room));
            if ends {
                if self.begun.len() <= LONGEST_LINE {
                    lines.push(String::from_utf8_lossy(&self.begun).into_owned());
                }
                self.begun.clear();
            }
        }
        lines
    }
}

impl Worker {
    /// Waits for an event, as long as it takes.
    async fn next(&self) -> Response<Bytes> {
        let work = self.waiting.lock().await.recv().await;
        let Some(Work {
            invoke,
            arn,
            taken,
            answer,
        }) = work
        else {
            return refusal(StatusCode::GONE, "InvalidRuntime", "there will be no more events");
        };
        // The function sees the machine's clock, so its deadline is in the machine's time.
        let deadline = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_millis() + u128::from(invoke.timeout_seconds) * 1000);
        let response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &invoke.request_id)
            .header("lambda-runtime-deadline-ms", deadline.to_string())
            .header("lambda-runtime-invoked-function-arn", arn)
            .header("lambda-runtime-trace-id", trace_id(&invoke.request_id))
            .body(Bytes::from(invoke.payload.to_string()));
        *lock(&self.running) = Some((invoke.request_id, answer));
        let _ = taken.send(());
        response.unwrap_or_else(|error| refusal(StatusCode::INTERNAL_SERVER_ERROR, "InvalidEvent", &error.to_string()))
    }
}

/// A trace id of the right form that follows from the request's id; nothing is traced.
fn trace_id(request_id: &str) -> String {
    let hex: String = request_id.chars().filter(char::is_ascii_hexdigit).collect();
    let hex = format!("{hex:0<32}");
    let (time, rest) = (hex.get(..8).unwrap_or_default(), hex.get(8..32).unwrap_or_default());
    format!("Root=1-{time}-{rest};Sampled=0")
}

fn error(body: &[u8], default: &str) -> InvocationOutcome {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    InvocationOutcome::Error {
        kind: text("errorType").unwrap_or_else(|| default.to_owned()),
        message: text("errorMessage").unwrap_or_default(),
    }
}

fn accepted() -> Response<Bytes> {
    reply(StatusCode::ACCEPTED, &json!({"status": "OK"}))
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response<Bytes> {
    reply(status, &json!({"errorType": kind, "errorMessage": message}))
}

fn reply(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::test_bench;

    /// A runtime in a few lines, which does what the event says.
    const RUNTIME: &str = r#"
import json, os, sys, time, urllib.request
base = os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"
def post(path, body):
    urllib.request.urlopen(urllib.request.Request(base + path, json.dumps(body).encode(), method="POST"))
if os.environ.get("BREAK"):
    post("init/error", {"errorType": "Broken", "errorMessage": "no table"})
    sys.exit(1)
count = 0
while True:
    with urllib.request.urlopen(base + "invocation/next") as response:
        event = json.load(response)
        request = response.headers["Lambda-Runtime-Aws-Request-Id"]
        left = int(response.headers["Lambda-Runtime-Deadline-Ms"]) - time.time() * 1000
        arn = response.headers["Lambda-Runtime-Invoked-Function-Arn"]
    count += 1
    print("working on", event, flush=True)
    if event["do"] == "exit":
        sys.exit(3)
    time.sleep(event.get("sleep", 0))
    if event["do"] == "fail":
        post("invocation/" + request + "/error", {"errorType": "Bad", "errorMessage": "no"})
    else:
        post("invocation/" + request + "/response",
             {"count": count, "arn": arn, "in_time": 0 < left <= 2000, "name": os.environ["NAME"], "env": len(os.environ)})
"#;

    struct Setup {
        _folder: tempfile::TempDir,
        _stop: watch::Sender<bool>,
        bench: Arc<Bench>,
        functions: Arc<Functions>,
        program: Program,
        logged: mpsc::UnboundedReceiver<Logged>,
    }

    /// The functions behind a server of their own.
    async fn setup() -> Setup {
        let (folder, stop, bench) = test_bench();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tell, logged) = mpsc::unbounded_channel();
        let functions = Arc::new(Functions::new(listener.local_addr().unwrap().to_string(), tell));
        let answering = Arc::clone(&functions);
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let functions = Arc::clone(&answering);
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let path: Vec<&str> = head.uri.path().split('/').skip(3).collect();
                let worker = head.uri.path().split('/').nth(2).unwrap();
                functions
                    .answer(worker, &head.method, &path, body)
                    .await
                    .map(axum::body::Body::from)
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        let program = Program {
            command: vec![bench.python.clone(), "-c".into(), RUNTIME.into()],
            arn: "arn:f".to_owned(),
            environment: BTreeMap::from([("NAME".to_owned(), "f".to_owned())]),
        };
        Setup {
            _folder: folder,
            _stop: stop,
            bench: Arc::new(bench),
            functions,
            program,
            logged,
        }
    }

    impl Setup {
        async fn invoke(&self, id: u64, event: Value) -> InvocationOutcome {
            let invoke = Invoke {
                id,
                function: "f".to_owned(),
                qualifier: event["qualifier"].as_str().map(str::to_owned),
                version: event["version"].as_str().unwrap_or("$LATEST").to_owned(),
                request_id: format!("request-{id}"),
                payload: event,
                timeout_seconds: 2,
            };
            self.functions.invoke(&self.bench, &self.program, invoke).await
        }
    }

    #[tokio::test]
    async fn a_process_is_kept_answers_fails_dies_and_is_replaced() {
        let mut setup = setup().await;
        let answer = |outcome| match outcome {
            InvocationOutcome::Answer(answer) => answer,
            other => panic!("{other:?}"),
        };
        let first = answer(setup.invoke(1, json!({"do": "answer"})).await);
        assert_eq!(
            (&first["count"], &first["arn"], &first["in_time"]),
            (&json!(1), &json!("arn:f"), &json!(true))
        );
        assert_eq!(first["name"], "f");
        assert!(
            first["env"].as_u64().unwrap() < 6,
            "nothing of the test's environment: {first}"
        );
        assert_eq!(
            answer(setup.invoke(2, json!({"do": "answer"})).await)["count"],
            2,
            "kept warm"
        );
        let (kind, message) = ("Bad".to_owned(), "no".to_owned());
        assert_eq!(
            setup.invoke(3, json!({"do": "fail"})).await,
            InvocationOutcome::Error { kind, message }
        );
        let ended = InvocationOutcome::Killed("Runtime exited with error: exit status 3".to_owned());
        assert_eq!(setup.invoke(4, json!({"do": "exit"})).await, ended);
        assert_eq!(
            answer(setup.invoke(5, json!({"do": "answer"})).await)["count"],
            1,
            "a new process"
        );
        let timed_out = InvocationOutcome::Killed("Task timed out after 2.00 seconds".to_owned());
        assert_eq!(setup.invoke(6, json!({"do": "answer", "sleep": 60})).await, timed_out);
        assert_eq!(
            answer(setup.invoke(7, json!({"do": "answer"})).await)["count"],
            1,
            "a new process"
        );
        // The last of its processes has a log of one line, as the others have, in the same file; and each line was told of.
        for _ in 0..7 {
            let Logged { function, line } = setup.logged.recv().await.unwrap();
            assert!(function == "f" && line.starts_with("working on {'do':"), "{line}");
        }
        let log = std::fs::read_to_string(setup.bench.log("f")).unwrap();
        assert_eq!(log.lines().count(), 7, "{log}");
    }

    #[tokio::test]
    async fn each_version_has_processes_of_its_own() {
        let setup = setup().await;
        let mut counts = Vec::new();
        for (id, version) in [(1, "$LATEST"), (2, "1"), (3, "1"), (4, "$LATEST")] {
            let event = json!({"do": "answer", "version": version, "qualifier": "live"});
            let InvocationOutcome::Answer(answer) = setup.invoke(id, event).await else {
                panic!("{version} does not answer")
            };
            assert_eq!(answer["arn"], "arn:f:live");
            counts.push(answer["count"].clone());
        }
        assert_eq!(counts, [1, 1, 2, 2]);
        assert_eq!(setup.functions.started.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn busy_processes_are_joined_by_others_up_to_a_limit() {
        let setup = setup().await;
        let events = (1..=6).map(|id| setup.invoke(id, json!({"do": "answer", "sleep": 0.3})));
        for outcome in futures::future::join_all(events).await {
            assert!(matches!(outcome, InvocationOutcome::Answer(_)), "{outcome:?}");
        }
        assert_eq!(setup.functions.started.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn what_keeps_a_function_from_starting_is_told() {
        let mut setup = setup().await;
        setup.program.environment.insert("BREAK".to_owned(), "1".to_owned());
        let (kind, message) = ("Broken".to_owned(), "no table".to_owned());
        assert_eq!(
            setup.invoke(1, json!({})).await,
            InvocationOutcome::Error { kind, message }
        );
        setup.program.command = vec!["/nowhere/f".into()];
        assert!(
            matches!(setup.invoke(2, json!({})).await, InvocationOutcome::Killed(reason) if reason.contains("No such file"))
        );
        let gone = setup
            .functions
            .answer("f-99", &Method::GET, &["2018-06-01"], Bytes::new())
            .await;
        assert_eq!(gone.status(), StatusCode::GONE);
    }

    #[test]
    fn lines_come_in_pieces() {
        let mut lines = Lines::default();
        let long = "x".repeat(LONGEST_LINE);
        for (said, expected) in [
            ("one\ntw", &["one"][..]),
            ("o\n\nth", &["two", ""]),
            ("", &[]),
            ("ree", &[]),
            ("\n", &["three"]),
            (&long, &[]),
            ("\n", &[&long]),
            (&long, &[]),
            ("y", &[]),
            ("y\nfour\n", &["four"]),
        ] {
            assert_eq!(lines.feed(said.as_bytes()), expected);
        }
        assert_eq!(lines.feed(b"\xff\n"), ["\u{fffd}"]);
    }

    #[test]
    fn trace_ids_have_xrays_form() {
        assert_eq!(
            trace_id("01234567-89ab-cdef"),
            "Root=1-01234567-89abcdef0000000000000000;Sampled=0"
        );
    }
}
