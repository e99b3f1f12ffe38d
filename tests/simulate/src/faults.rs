//! What goes wrong between the functions and AWS.
//!
//! Each seed has a set of faults of its own, each as often as the seed says: runs in which little goes wrong get further, and runs
//! with one kind of fault alone find what a mixture hides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use local::cloud::effect::Invoke;
use tests::pacing::{Answer, Arrival, Call, Director, Fate, Kill, Outside, RunId, Seen, may_lag};

use crate::schedule::{Dice, Schedule};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An event never reaches its function. What Lambda has taken into its queue is safe: CodePipeline's jobs are.
    Lost,
    /// An event is delivered twice; the two runs may overlap.
    Doubled,
    /// An event comes late, behind others that were sent after it.
    Delayed,
    /// A call is throttled.
    Throttled,
    /// A call is refused as not available.
    Unavailable,
    /// A call is done, and answered with a failure.
    FailedAfter,
    /// A request never arrives: the call times out without effect.
    TimedOutBefore,
    /// An answer never arrives: the call times out after its effect.
    TimedOutAfter,
    /// A call takes seconds; it may take effect when it was given up and tried again.
    Slow,
    /// The function ends before a call.
    KilledBefore,
    /// The function ends after a call, without its answer.
    KilledAfter,
    /// Reads show for some seconds what was there before a change.
    Stale,
    /// All through the run metrics reach CloudWatch minutes late, and alarms fire as late.
    LateMetrics,
    /// For a while one function can't run: whatever it begins ends before its first call.
    Down,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Lost,
        Self::Doubled,
        Self::Delayed,
        Self::Throttled,
        Self::Unavailable,
        Self::FailedAfter,
        Self::TimedOutBefore,
        Self::TimedOutAfter,
        Self::Slow,
        Self::KilledBefore,
        Self::KilledAfter,
        Self::Stale,
        Self::LateMetrics,
        Self::Down,
    ];

    /// Its name on the command line and in schedules.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Delayed => "delayed",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::FailedAfter => "failed-after",
            Self::TimedOutBefore => "timed-out-before",
            Self::TimedOutAfter => "timed-out-after",
            Self::Slow => "slow",
            Self::KilledBefore => "killed-before",
            Self::KilledAfter => "killed-after",
            Self::Stale => "stale",
            Self::LateMetrics => "late-metrics",
            Self::Down => "down",
        }
    }

    /// Whether it befalls events.
    fn is_of_events(self) -> bool {
        matches!(self, Self::Lost | Self::Doubled | Self::Delayed)
    }

    /// Whether it befalls calls.
    fn is_of_calls(self) -> bool {
        !self.is_of_events() && !matches!(self, Self::LateMetrics | Self::Down)
    }

    /// The fault of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place where a fault can befall the train: the function, and the call that it makes or that its event is delivered.
pub type Point = (String, String, Fault);

/// What the faults of a run have come to.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// The places that were hit, and how often.
    pub points: BTreeMap<Point, u64>,
    /// The deviations, by their names, in order.
    pub names: Vec<String>,
    /// Calls that were made.
    pub calls: u64,
    /// The runs of functions.
    pub runs: u64,
}

/// A run in which nothing is left to chance: everything takes as long as it always does, but for one thing that goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// What goes wrong.
    pub deviation: Option<Deviation>,
    /// The calls so far: when each was made, and by which run.
    pub calls: Vec<(Timestamp, RunId)>,
    /// The kinds of the events so far that are not requests.
    pub events: Vec<&'static str>,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deviation {
    /// Of the event or the call with this number, from 0.
    pub number: usize,
    /// What.
    pub fault: Fault,
    /// By how much, where it is late: of an event, of its second delivery, of a slow call.
    pub by: Duration,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.fault.is_of_events() { "event" } else { "call" };
        write!(f, "{kind} {} {}", self.number, self.fault)?;
        if self.by.is_zero() {
            Ok(())
        } else {
            write!(f, " by {:?}", self.by)
        }
    }
}

/// How long a call takes in a script, and the start of a function.
const SCRIPTED_CALL: Duration = Duration::from_millis(20);
const SCRIPTED_START: Duration = Duration::from_millis(100);

impl Script {
    fn of(&self, number: usize, of_events: bool) -> Option<Deviation> {
        self.deviation
            .filter(|deviation| deviation.number == number && deviation.fault.is_of_events() == of_events)
    }

    fn deliver(&mut self, kind: &'static str) -> Vec<Arrival> {
        let arrival = |after, told| Arrival { after, told };
        let once = vec![arrival(SCRIPTED_START, true)];
        if kind == "request" {
            return once;
        }
        self.events.push(kind);
        let Some(deviation) = self.of(self.events.len() - 1, true) else {
            return once;
        };
        match deviation.fault {
            Fault::Lost => Vec::new(),
            Fault::Doubled => vec![
                arrival(SCRIPTED_START, true),
                arrival(SCRIPTED_START + deviation.by, false),
            ],
            _ => vec![arrival(SCRIPTED_START + deviation.by, true)],
        }
    }

    fn call(&mut self, now: Timestamp, run: RunId) -> Fate {
        self.calls.push((now, run));
        let mut fate = Fate::after(SCRIPTED_CALL);
        if let Some(deviation) = self.of(self.calls.len() - 1, false) {
            befall(&mut fate, deviation.fault, deviation.by);
        }
        fate
    }
}

/// Has a fault befall a call.
fn befall(fate: &mut Fate, fault: Fault, long: Duration) {
    match fault {
        Fault::Throttled => fate.answer = Answer::Throttled,
        Fault::Unavailable => fate.answer = Answer::Unavailable,
        Fault::FailedAfter => fate.answer = Answer::FailedAfterDoing,
        Fault::TimedOutBefore => fate.reaches = None,
        Fault::TimedOutAfter => fate.returns = None,
        Fault::Slow => fate.reaches = Some(long),
        Fault::KilledBefore => fate.kill = Some(Kill::Before),
        Fault::KilledAfter => fate.kill = Some(Kill::After),
        Fault::Stale => fate.lag = Some(long),
        Fault::Lost | Fault::Doubled | Fault::Delayed | Fault::LateMetrics | Fault::Down => {}
    }
}

/// A line of the timeline.
#[derive(Debug, Clone)]
pub struct Line {
    /// When.
    pub time: Timestamp,
    /// What.
    pub text: String,
}

/// What the faults know, shared with who looks on.
#[derive(Debug)]
pub struct State {
    schedule: Schedule,
    /// How often each fault comes.
    rates: Vec<(Fault, f64)>,
    /// Whether faults happen at all now.
    pub on: bool,
    /// The function that can't run, and from when to when.
    outage: Option<(&'static str, Timestamp, Timestamp)>,
    /// How often each function was sent an event, and each call was made.
    counts: BTreeMap<String, u64>,
    /// What came of it.
    pub tally: Tally,
    /// Where nothing is left to chance.
    pub script: Option<Script>,
    /// The timeline, where one is kept.
    pub lines: Option<Vec<Line>>,
    /// What must not be logged: job credentials and approval tokens that were sent.
    pub secrets: BTreeSet<String>,
    /// The functions of the runs, for the timeline.
    names: BTreeMap<RunId, String>,
}

/// The faults of a run.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Mutex<State>>);

impl Faults {
    /// The faults of a seed, of the kinds that are allowed.
    #[must_use]
    pub fn new(schedule: &Schedule, allowed: &[Fault], timeline: bool) -> Self {
        let mut dice = schedule.dice("faults");
        // A seed of eight has none: what fails there is no fault's fault.
        let calm = dice.chance(0.125);
        let mut rates = Vec::new();
        for fault in allowed {
            let (in_use, share) = (dice.chance(0.5), dice.share());
            if in_use && !calm {
                // Calls are many, and a function makes up to twenty of them for one event.
                let most = if fault.is_of_events() { 0.3 } else { 0.05 };
                rates.push((*fault, most * share * share));
            }
        }
        Self(Arc::new(Mutex::new(State {
            schedule: schedule.clone(),
            rates,
            on: true,
            outage: None,
            counts: BTreeMap::new(),
            tally: Tally::default(),
            script: None,
            lines: timeline.then(Vec::new),
            secrets: BTreeSet::new(),
            names: BTreeMap::new(),
        })))
    }

    /// The same by a script.
    #[must_use]
    pub fn scripted(deviation: Option<Deviation>, timeline: bool) -> Self {
        let faults = Self::new(&Schedule::default(), &[], timeline);
        faults.state().script = Some(Script {
            deviation,
            ..Script::default()
        });
        faults
    }

    /// How late metrics reach CloudWatch in this run.
    #[must_use]
    pub fn metrics_delay(&self) -> SignedDuration {
        let mut state = self.state();
        let late = minutes(&mut state.schedule.dice("metrics"), 1, 4);
        let name = format!("{}: by {} min", Fault::LateMetrics, late.as_mins());
        if state.befalls_the_run(Fault::LateMetrics, "CloudWatch", name) {
            late
        } else {
            SignedDuration::ZERO
        }
    }

    /// Has one function not run for a while, in a run that begins then.
    pub fn plan_outage(&self, begins: Timestamp) {
        let mut state = self.state();
        let mut dice = state.schedule.dice("outage");
        let function = dice.of_these("update-endpoint", &FUNCTIONS);
        let from = begins + minutes(&mut dice, 0, 360);
        let long = minutes(&mut dice, 5, 90);
        let name = format!("{}: {function} from {from:.0} for {} min", Fault::Down, long.as_mins());
        if state.befalls_the_run(Fault::Down, function, name) {
            state.outage = Some((function, from, from + long));
        }
    }

    /// What they know.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether no fault has happened.
    #[must_use]
    pub fn are_calm(&self) -> bool {
        let as_planned = |script: &Script| script.deviation.is_none();
        self.tally.points.is_empty() && self.script.as_ref().is_none_or(as_planned)
    }

    /// Whether the seed has that fault for a whole run, and notes it.
    fn befalls_the_run(&mut self, fault: Fault, whom: &str, name: String) -> bool {
        if !self.rates.iter().any(|(other, _)| *other == fault) || !self.schedule.has(&name) {
            return false;
        }
        self.tally.names.push(name);
        let point = (whom.to_owned(), "the run".to_owned(), fault);
        *self.tally.points.entry(point).or_default() += 1;
        true
    }

    /// Whether that function can't run now.
    fn is_down(&self, function: &str, now: Timestamp) -> bool {
        let mut outage = self.outage.iter();
        self.on && outage.any(|(down, from, until)| *down == function && *from <= now && now < *until)
    }

    /// Writes a line of the timeline.
    pub fn write(&mut self, time: Timestamp, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { time, text: text() });
        }
    }

    /// How many there were of that name before.
    fn number(&mut self, name: &str) -> u64 {
        if let Some(count) = self.counts.get_mut(name) {
            *count += 1;
            return *count;
        }
        self.counts.insert(name.to_owned(), 1);
        1
    }

    /// The fault that comes here, if one does, of those that can.
    fn fault(
        &mut self,
        dice: &mut Dice,
        function: &str,
        place: &str,
        number: u64,
        can: impl Fn(Fault) -> bool,
    ) -> Option<Fault> {
        if !self.on {
            return None;
        }
        let drawn = dice.share();
        let mut reached = 0.0;
        let mut rates = self.rates.iter().filter(|(fault, _)| can(*fault));
        let (fault, _) = *rates.find(|(_, rate)| {
            reached += rate;
            drawn < reached
        })?;
        let name = format!("{fault}: {function} {place} #{number}");
        if !self.schedule.has(&name) {
            return None;
        }
        self.tally.names.push(name);
        let point = (function.to_owned(), place.to_owned(), fault);
        *self.tally.points.entry(point).or_default() += 1;
        Some(fault)
    }
}

/// A function's name without the model's.
fn short(function: &str) -> &str {
    function
        .strip_prefix(crate::MODEL)
        .and_then(|name| name.strip_prefix('-'))
        .unwrap_or(function)
}

/// What kind of event it is.
fn kind(invoke: &Invoke) -> &'static str {
    let payload = &invoke.payload;
    let has = |member: &str| payload.get(member).is_some();
    if has("CodePipeline.job") {
        "job"
    } else if has("requestContext") {
        "request"
    } else if has("Records") {
        "message"
    } else if payload.get("source").and_then(|source| source.as_str()) == Some("signalbox") {
        "sweep"
    } else if has("detail-type") {
        "event"
    } else {
        "message of another kind"
    }
}

/// The functions that may not run, beside update-endpoint.
const FUNCTIONS: [&str; 8] = [
    "build-status",
    "decide-approval",
    "endpoint-status",
    "pipeline-status",
    "request-approval",
    "retrain",
    "start-training",
    "sync-approval",
];

/// Some minutes.
fn minutes(dice: &mut Dice, low: u64, high: u64) -> SignedDuration {
    SignedDuration::from_mins(i64::try_from(dice.between(low, high)).unwrap_or_default())
}

const MILLISECOND: Duration = Duration::from_millis(1);

impl Director for Faults {
    fn deliver(&mut self, invoke: &Invoke) -> Vec<Arrival> {
        let mut state = self.state();
        let state = &mut *state;
        learn_secrets(&mut state.secrets, invoke);
        let (function, kind) = (short(&invoke.function), kind(invoke));
        if let Some(script) = &mut state.script {
            return script.deliver(kind);
        }
        let number = state.number(&format!("{function} {kind}"));
        let mut dice = state.schedule.dice(&format!("deliver {function} {kind} {number}"));
        let start = MILLISECOND * u32::try_from(dice.between(20, 400)).unwrap_or(400);
        let once = |after| vec![Arrival { after, told: true }];
        // A person sees that a page does not come, and asks again; those are the people's to do.
        if kind == "request" {
            return once(start);
        }
        // When the rest is to come to its end, nothing new begins.
        if function == "retrain" && !state.on {
            return Vec::new();
        }
        // Lambda keeps what it has taken, and it takes CodePipeline's jobs at once.
        let can = |fault: Fault| fault.is_of_events() && !(fault == Fault::Lost && kind == "job");
        match state.fault(&mut dice, function, kind, number, can) {
            Some(Fault::Lost) => Vec::new(),
            Some(Fault::Doubled) => {
                // Mostly at once; but Lambda keeps an event for hours where its function is throttled.
                let apart = match dice.share() {
                    share if share < 0.5 => dice.between(0, 2_000),
                    share if share < 0.9 => dice.between(0, 600_000),
                    _ => dice.between(0, 14_400_000),
                };
                let second = Arrival {
                    after: start + MILLISECOND * u32::try_from(apart).unwrap_or(0),
                    told: false,
                };
                let mut both = once(start);
                both.push(second);
                both
            }
            Some(Fault::Delayed) => {
                let most = if kind == "job" { 120 } else { 1_800 };
                once(start + Duration::from_secs(dice.between(1, most)))
            }
            _ => once(start),
        }
    }

    fn call(&mut self, call: &Call<'_>) -> Fate {
        let mut state = self.state();
        let state = &mut *state;
        state.tally.calls += 1;
        if let Some(script) = &mut state.script {
            return script.call(call.now, call.run);
        }
        let (function, operation) = (short(call.function), named(call.operation));
        if state.is_down(function, call.now) {
            let mut fate = Fate::after(Duration::ZERO);
            fate.kill = Some(Kill::Before);
            return fate;
        }
        let name = format!("{function} {operation}");
        let number = state.number(&name);
        let mut dice = state.schedule.dice(&format!("call {name} {number}"));
        let usual = MILLISECOND * u32::try_from(dice.between(4, 120)).unwrap_or(120);
        let mut fate = Fate::after(usual);
        // A read is only stale where a change was made a moment ago, which the change decides.
        fate.answer = Answer::Stale;
        let long = Duration::from_secs(dice.between(1, 15));
        // What changes nothing leaves nothing to lag behind.
        let changes = !may_lag(operation) && operation != "s3 GET";
        let can = |fault: Fault| fault.is_of_calls() && (fault != Fault::Stale || changes);
        if let Some(fault) = state.fault(&mut dice, function, operation, number, can) {
            befall(&mut fate, fault, long);
        }
        fate
    }

    fn takes(&mut self, outside: Outside) -> Duration {
        let mut state = self.state();
        if state.script.is_some() {
            return Duration::from_secs(60);
        }
        let (name, low, high) = match outside {
            Outside::Build => ("build", 20, 120),
            Outside::Job => ("job", 30, 400),
            Outside::Instance => ("instance", 40, 150),
        };
        let number = state.number(name);
        let mut dice = state.schedule.dice(&format!("{name} {number}"));
        Duration::from_secs(dice.between(low, high))
    }

    fn saw(&mut self, now: Timestamp, seen: &Seen<'_>) {
        let mut state = self.state();
        if let Seen::Begins(..) = seen {
            state.tally.runs += 1;
        }
        if state.lines.is_none() {
            return;
        }
        match seen {
            Seen::Begins(run, invoke) => {
                let name = short(&invoke.function).to_owned();
                let kind = kind(invoke);
                state.write(now, || format!("{name} #{run} begins: {kind}"));
                state.names.insert(*run, name);
            }
            Seen::Called(call, status) => {
                let (function, operation) = (short(call.function), call.operation);
                let sent = sent(call);
                let status = if *status == 200 {
                    String::new()
                } else {
                    format!(" -> {status}")
                };
                state.write(call.now.max(now), || {
                    format!("{function} #{}   {operation}{status} {sent}", call.run)
                });
            }
            Seen::Ends(run, said) => {
                let name = state.names.remove(run).unwrap_or_default();
                let said = said.map_or_else(|error| format!("fails: {error}"), |()| "ends".to_owned());
                state.write(now, || format!("{name} #{run} {said}"));
            }
        }
    }
}

/// What a call says, as far as a line has room for it; nothing of archives.
fn sent(call: &Call<'_>) -> String {
    // The SDK's maps are in another order each time; these are not.
    let json = serde_json::from_slice::<serde_json::Value>(call.body).map(|json| json.to_string());
    let text = json.unwrap_or_else(|_| std::str::from_utf8(call.body).unwrap_or_default().to_owned());
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// An operation by which calls are counted: of S3, not the key as well, which may be new each time.
fn named(operation: &str) -> &str {
    operation
        .strip_prefix("s3 ")
        .map_or(operation, |rest| match rest.split(' ').next() {
            Some("GET") => "s3 GET",
            Some("PUT") => "s3 PUT",
            Some("DELETE") => "s3 DELETE",
            _ => "s3",
        })
}

/// Keeps what an event bears that must never be logged.
fn learn_secrets(secrets: &mut BTreeSet<String>, invoke: &Invoke) {
    let text = |pointer: &str| invoke.payload.pointer(pointer).and_then(|value| value.as_str());
    let credentials = "/CodePipeline.job/data/artifactCredentials";
    for member in ["secretAccessKey", "sessionToken"] {
        secrets.extend(text(&format!("{credentials}/{member}")).map(str::to_owned));
    }
    if let Some(message) = text("/Records/0/Sns/Message")
        && let Ok(message) = serde_json::from_str::<serde_json::Value>(message)
        && let Some(token) = message.pointer("/approval/token").and_then(|token| token.as_str())
    {
        secrets.insert(token.to_owned());
    }
}
