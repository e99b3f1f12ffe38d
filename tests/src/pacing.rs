//! Calls that take time, so that functions run side by side, and somebody who decides what goes wrong with them.
//!
//! Without a [`Director`] every call is answered at once and a function is run to its end before the next one begins. With one, a call
//! is on its way for a while: other functions go on meanwhile, a function's time may be up, and the SDK's own time-outs and pauses pass
//! in virtual time. What the director decides is all that is random about a run.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;
use futures::channel::oneshot;
use jiff::Timestamp;
use local::cloud::effect::Invoke;

/// The number of a run of a function; a retry is another.
pub type RunId = u64;

/// How the answer of a call comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// AWS does what was asked and says so.
    Done,
    /// AWS throttles: the call is not done.
    Throttled,
    /// AWS is not available: the call is not done.
    Unavailable,
    /// AWS does what was asked, and answers that it failed.
    FailedAfterDoing,
    /// A read that shows what was there a while ago, where that is known.
    Stale,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// After how long the request reaches AWS; never, where it is lost on the way there.
    pub reaches: Option<Duration>,
    /// What AWS makes of it.
    pub answer: Answer,
    /// After how long the answer is back; never, where it is lost on the way back.
    pub returns: Option<Duration>,
    /// Whether, and when, the function ends.
    pub kill: Option<Kill>,
    /// For how long reads don't show what this call has changed.
    pub lag: Option<Duration>,
}

impl Fate {
    /// It is done and answered after that long.
    #[must_use]
    pub fn after(reaches: Duration) -> Self {
        Self {
            reaches: Some(reaches),
            answer: Answer::Done,
            returns: Some(Duration::ZERO),
            kill: None,
            lag: None,
        }
    }
}

/// When a function ends in the middle of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kill {
    /// Before the call is made.
    Before,
    /// When it was done, before the answer is there.
    After,
}

/// A call that a function makes.
#[derive(Debug)]
pub struct Call<'a> {
    /// When.
    pub now: Timestamp,
    /// The run that makes it.
    pub run: RunId,
    /// The function's name.
    pub function: &'a str,
    /// `sagemaker:DescribeEndpoint`; of S3, which has no operations' names on the wire, the method and the key.
    pub operation: &'a str,
    /// What is sent.
    pub body: &'a [u8],
}

/// What takes its time outside of the train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// A build.
    Build,
    /// A processing or training job.
    Job,
    /// The start of an instance.
    Instance,
}

/// An invocation reaches its function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// After how long.
    pub after: Duration,
    /// Whether Lambda is told what came of it; of two runs of one event, of one.
    pub told: bool,
}

/// Something that a director may want to write down.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A run begins.
    Begins(RunId, &'a Invoke),
    /// A call was done by AWS; what is said of it is `ok`, or the status.
    Called(&'a Call<'a>, u16),
    /// A run ends: well, or so.
    Ends(RunId, Result<(), &'a str>),
}

/// Decides what becomes of everything that is under way.
pub trait Director: Send {
    /// A function is to be invoked: when, and how often. Nothing means that the event is lost.
    fn deliver(&mut self, invoke: &Invoke) -> Vec<Arrival>;
    /// A function makes a call.
    fn call(&mut self, call: &Call<'_>) -> Fate;
    /// How long something outside takes.
    fn takes(&mut self, outside: Outside) -> Duration;
    /// Something happened.
    fn saw(&mut self, now: Timestamp, seen: &Seen<'_>);
}

/// What is due because of a call or a pause.
pub(crate) enum Due {
    /// A request reaches AWS.
    Reach(Box<Reaching>),
    /// An answer is back.
    Return(RunId, Box<Answering>),
    /// A pause is over.
    Wake(RunId, oneshot::Sender<()>),
}

/// An answer and who waits for it.
pub(crate) struct Answering {
    pub(crate) to: oneshot::Sender<Result<HttpResponse, ConnectorError>>,
    pub(crate) response: Result<HttpResponse, ConnectorError>,
}

/// A request on its way.
pub(crate) struct Reaching {
    pub(crate) run: RunId,
    pub(crate) function: String,
    pub(crate) operation: String,
    pub(crate) request: HttpRequest,
    pub(crate) fate: Fate,
    pub(crate) to: oneshot::Sender<Result<HttpResponse, ConnectorError>>,
}

/// What one request of a read is known by.
pub(crate) type ReadKey = (String, Bytes);

/// How many different reads are remembered; what is older is forgotten, and then read as it is.
const READS_MAX: usize = 64;

/// The state of the calls that are under way.
pub(crate) struct Pacing {
    pub(crate) director: Box<dyn Director>,
    /// The run that is going on.
    pub(crate) current: Option<(RunId, String)>,
    /// What the current run has begun.
    pub(crate) begun: Vec<(Duration, Due)>,
    /// Whether the current run ends here.
    pub(crate) killed: bool,
    /// The reads that were made, so that they can be answered as before a change.
    pub(crate) reads: VecDeque<(ReadKey, http::Request<Bytes>)>,
    /// What they are answered until then.
    pub(crate) stale: BTreeMap<ReadKey, (Timestamp, http::Response<Bytes>)>,
}

impl fmt::Debug for Pacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pacing").finish_non_exhaustive()
    }
}

impl Pacing {
    pub(crate) fn new(director: Box<dyn Director>) -> Self {
        Self {
            director,
            current: None,
            begun: Vec::new(),
            killed: false,
            reads: VecDeque::new(),
            stale: BTreeMap::new(),
        }
    }

    /// Sends a call on its way.
    pub(crate) fn send(
        &mut self,
        now: Timestamp,
        request: HttpRequest,
    ) -> oneshot::Receiver<Result<HttpResponse, ConnectorError>> {
        let (to, answer) = oneshot::channel();
        let (run, function) = self.current.clone().unwrap_or_default();
        let operation = operation(&request);
        let fate = self.director.call(&Call {
            now,
            run,
            function: &function,
            operation: &operation,
            body: request.body().bytes().unwrap_or_default(),
        });
        self.killed |= fate.kill == Some(Kill::Before);
        let reaching = Reaching {
            run,
            function,
            operation,
            request,
            fate,
            to,
        };
        match fate.reaches {
            Some(after) if fate.kill != Some(Kill::Before) => {
                self.begun.push((after, Due::Reach(Box::new(reaching))));
            }
            // Whoever waits for it goes on waiting: the SDK's time-out is what ends that.
            _ => {}
        }
        answer
    }

    /// Begins a pause.
    pub(crate) fn pause(&mut self, time: Duration) -> oneshot::Receiver<()> {
        let (over, waits) = oneshot::channel();
        let run = self.current.as_ref().map(|(run, _)| *run).unwrap_or_default();
        self.begun.push((time, Due::Wake(run, over)));
        waits
    }

    /// Remembers a read.
    pub(crate) fn remember(&mut self, key: ReadKey, request: http::Request<Bytes>) {
        if self.reads.iter().any(|(known, _)| *known == key) {
            return;
        }
        if self.reads.len() == READS_MAX {
            self.reads.pop_front();
        }
        self.reads.push_back((key, request));
    }
}

/// Whether the operation only reads, and may show what was a while ago. S3 does not: it is strongly consistent.
#[must_use]
pub fn may_lag(operation: &str) -> bool {
    let name = operation.split_once(':').map_or("", |(_, name)| name);
    ["Describe", "List", "Get"].iter().any(|verb| name.starts_with(verb))
}

/// What a request asks for.
pub(crate) fn operation(request: &HttpRequest) -> String {
    let headers = request.headers();
    if let Some(target) = headers.get("x-amz-target") {
        let (service, name) = target.split_once('.').unwrap_or(("", target));
        let service = service.split('_').next().unwrap_or_default();
        let service = service.trim_end_matches("Service").to_lowercase();
        return format!("{}:{name}", if service == "trent" { "kms" } else { &service });
    }
    let uri = request.uri();
    let path = uri.split("://").nth(1).unwrap_or(uri);
    let path = path.split_once('/').map_or("", |(_, path)| path);
    let path = path.split('?').next().unwrap_or_default();
    if headers.get("smithy-protocol").is_some() {
        let name = path.rsplit('/').next().unwrap_or_default();
        return format!("cloudwatch:{name}");
    }
    let body = request.body().bytes().unwrap_or_default();
    if let Some(rest) = body.strip_prefix(b"Action=") {
        let name = rest.split(|byte| *byte == b'&').next().unwrap_or_default();
        return format!("sns:{}", String::from_utf8_lossy(name));
    }
    format!("s3 {} {path}", request.method())
}
