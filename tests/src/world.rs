//! A deployed stack with the real functions in it, run in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use local::cloud::effect::{BuildOutcome, Effect, EffectId, InvocationOutcome, Invoke, JobOutcome, Mail};
use local::cloud::{Caller, Cloud, GrantId, Happening, InitialCode, Push, Service};
use local::template::{Stack, Target};
use serde_json::{Value, json};
use signalbox_aws::config::Environment;
use signalbox_aws::dry_run::HoldingClient;
use signalbox_aws::log::{Lines, Origin, subscriber};
use signalbox_aws::runtime;
use signalbox_model::trial;

use crate::candidate::Candidate;
use crate::connector::{Exchange, InProcess};
use crate::functions::{self, Failed};
use crate::pacing::{self, Outside};

mod outside;
mod paced;
mod page;

pub use self::outside::Instance;
use self::outside::{Traffic, outcome_of_build, outcome_of_job};
pub use self::page::Answer;

const TEMPLATE: &str = include_str!("../../infra/template.yaml");
const PARAMETERS: &str = include_str!("../../infra/parameters/local.json");
const DEFINITION: &str = include_str!("../../infra/model-repository/pipeline-definition.json");

/// How long things take outside, in seconds of virtual time.
const BUILD_SECONDS: i64 = 60;
const JOB_SECONDS: i64 = 120;
/// The version of a function that no version was published of.
const LATEST: &str = "$LATEST";

/// What is due outside at some time.
enum Due {
    Build(EffectId, BuildOutcome),
    Job(EffectId, JobOutcome),
    Start(EffectId),
    Traffic,
    /// An event reaches its function; whether Lambda is told what comes of it.
    Begin(Box<Invoke>, bool),
    /// A call or a pause of a run is over.
    Under(pacing::Due),
    /// A run's time is up, in seconds.
    TimeUp(pacing::RunId, u32),
}

/// The template with these parameters. Reading it takes longer than a release does, and it is read once.
fn stack(parameters: &BTreeMap<String, String>, target: &Target) -> Result<Stack> {
    static READ: Mutex<BTreeMap<BTreeMap<String, String>, Stack>> = Mutex::new(BTreeMap::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(stack) = read.get(parameters) {
        return Ok(stack.clone());
    }
    let stack = Stack::load(TEMPLATE, parameters, target)?;
    read.insert(parameters.clone(), stack.clone());
    Ok(stack)
}

/// How the events of a function reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Once, at once.
    Once,
    /// Twice, at once.
    Twice,
    /// Never: they are lost.
    Never,
    /// When the test lets them.
    Held,
}

/// A line that a function has logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The function's name.
    pub function: String,
    /// The line.
    pub line: String,
}

/// When a world begins.
const BEGINS: &str = "2026-03-02T09:00:00Z";

/// An event that a function has handled, and what it called for it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The function's name.
    pub function: String,
    /// The event.
    pub event: Value,
    /// The calls, in order.
    pub exchanges: Vec<Exchange>,
}

/// A stack with the real functions in it.
pub struct World {
    inside: InProcess,
    due: BinaryHeap<Reverse<(Timestamp, u64)>>,
    due_work: BTreeMap<u64, Due>,
    due_count: u64,
    instances: BTreeMap<EffectId, Instance>,
    url_answers: BTreeMap<EffectId, InvocationOutcome>,
    /// How often each function handled an event.
    handled: BTreeMap<String, u64>,
    /// The events that were handled and what was called for each, where that is kept.
    recorded: Option<Vec<Recorded>>,
    /// The functions that are running, where there is a director.
    runs: BTreeMap<pacing::RunId, paced::Run>,
    runs_begun: pacing::RunId,
    /// How many runs of a function there may be at the same time, where that is bounded.
    reserved: BTreeMap<String, usize>,
    happenings: Vec<Happening>,
    commits: u64,
    author: String,
    /// What the commits say; their number where nothing is set.
    message: Option<String>,
    served: u64,
    failed: u64,
    traffic: Traffic,
    /// Whether a call that a policy refuses is no failure.
    may_be_refused: bool,
    /// How the events of a function, named by its binary, reach it; at once, where nothing is said.
    deliveries: BTreeMap<String, Delivery>,
    /// The same for what their schedules send.
    schedules: BTreeMap<String, Delivery>,
    /// How long a job of a training takes.
    job_time: SignedDuration,
    /// The events that are held back, with their functions, in the order in which they were sent.
    held: Vec<(String, Value)>,
    /// For error rates: requests are counted, not drawn.
    errors_owed: f64,
    /// What the function that runs has logged.
    lines: Lines,
    /// What all have logged so far.
    log: Vec<Logged>,
    /// What makes lines of what the functions say; without it there are those of the metrics alone.
    logs: Option<tracing::Dispatch>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.runs.clear();
        self.inside.functions().clear();
    }
}

impl World {
    /// Deploys the template with the local parameters.
    ///
    /// # Errors
    /// Where the template can't be deployed or a function's configuration is wrong.
    pub fn new(seed: u64) -> Result<Self> {
        Self::with_parameters(seed, &[])
    }

    /// Deploys the template with the local parameters and others over them.
    ///
    /// # Errors
    /// Where the template can't be deployed or a function's configuration is wrong.
    pub fn with_parameters(seed: u64, others: &[(&str, &str)]) -> Result<Self> {
        Self::deploy(seed, others, None)
    }

    /// The same, as if one of the template's policies did not have that grant. With `InitialCode=sample` the repository begins with a good
    /// candidate, and the bucket with nothing.
    ///
    /// # Errors
    /// Where the template can't be deployed or a function's configuration is wrong.
    pub fn deploy(seed: u64, others: &[(&str, &str)], without: Option<&GrantId>) -> Result<Self> {
        Self::deploy_at(BEGINS, seed, others, without)
    }

    /// The same at another time than the usual.
    ///
    /// # Errors
    /// Where the time is none, the template can't be deployed or a function's configuration is wrong.
    pub fn deploy_at(begins: &str, seed: u64, others: &[(&str, &str)], without: Option<&GrantId>) -> Result<Self> {
        let target = Target {
            account: "123456789012".into(),
            region: "eu-west-1".into(),
            stack_name: "signalbox".into(),
            base_url: "http://127.0.0.1:4566".into(),
        };
        let mut parameters = BTreeMap::new();
        let listed: Vec<BTreeMap<String, String>> = serde_json::from_str(PARAMETERS)?;
        for mut pair in listed {
            let (key, value) = (pair.remove("ParameterKey"), pair.remove("ParameterValue"));
            parameters.insert(key.context("ParameterKey")?, value.context("ParameterValue")?);
        }
        parameters.extend(
            others
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let stack = stack(&parameters, &target)?;
        let now: Timestamp = begins.parse()?;
        let has_sample = parameters.get("InitialCode").is_some_and(|code| code == "sample");
        let code = if has_sample {
            let candidate = Candidate::of_accuracy(0.90).beside("data/part-0001.csv", "label,x\n1,2\n");
            InitialCode::Files(candidate.zip(DEFINITION)?)
        } else {
            InitialCode::Kept
        };
        let model = parameters.get("ModelName").cloned().unwrap_or_default();
        let code = BTreeMap::from([(model, code)]);
        let cloud = match without {
            Some(grant) => Cloud::deploy_with_code_without(stack, target, now, seed, code, grant)?,
            None => Cloud::deploy_with_code(stack, target, now, seed, code)?,
        };
        let inside = InProcess::new(cloud);
        let mut world = Self {
            inside,
            due: BinaryHeap::new(),
            due_work: BTreeMap::new(),
            due_count: 0,
            instances: BTreeMap::new(),
            url_answers: BTreeMap::new(),
            handled: BTreeMap::new(),
            recorded: None,
            runs: BTreeMap::new(),
            runs_begun: 0,
            reserved: BTreeMap::new(),
            happenings: Vec::new(),
            commits: 0,
            author: "Ada <ada@example.com>".into(),
            message: None,
            served: 0,
            failed: 0,
            traffic: Traffic::Always,
            may_be_refused: false,
            deliveries: BTreeMap::new(),
            schedules: BTreeMap::new(),
            job_time: SignedDuration::from_secs(JOB_SECONDS),
            held: Vec::new(),
            errors_owed: 0.0,
            lines: Lines::default(),
            log: Vec::new(),
            logs: None,
        };
        world.load_functions()?;
        if !has_sample {
            world.put_object("data/part-0001.csv", "label,x\n1,2\n")?;
        }
        Ok(world)
    }

    /// The name of the stack's model.
    #[must_use]
    pub fn model(&self) -> String {
        self.cloud()
            .stack()
            .parameters
            .get("ModelName")
            .cloned()
            .unwrap_or_default()
    }

    /// The cloud. The guard must not be held while the world runs.
    pub fn cloud(&self) -> std::sync::MutexGuard<'_, Cloud> {
        self.inside.cloud()
    }

    /// The faults that are planned.
    pub fn faults(&self) -> std::sync::MutexGuard<'_, crate::connector::Faults> {
        self.inside.faults()
    }

    /// Turns the endpoint's users off.
    pub fn without_traffic(mut self) -> Self {
        self.traffic = Traffic::Never;
        self
    }

    /// Has the endpoint's users call only while some of its servers fail: for runs in which nothing else that they do would be seen.
    #[must_use]
    pub fn with_traffic_while_failing(mut self) -> Self {
        self.traffic = Traffic::WhileFailing;
        self
    }

    /// Has everything logged that the functions say, not the metrics alone.
    #[must_use]
    pub fn logging(mut self) -> Self {
        self.logs = Some(tracing::Dispatch::new(subscriber(&Origin::default())));
        self
    }

    /// What the functions have logged so far.
    #[must_use]
    pub fn log(&self) -> &[Logged] {
        &self.log
    }

    /// What the functions have counted and measured so far: `METRIC Dimension=value … VALUE`, without the model.
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        self.log.iter().filter_map(|logged| metric_in(&logged.line)).collect()
    }

    /// Lets policies refuse calls: for tests of what becomes of them.
    pub fn let_calls_be_refused(&mut self) {
        self.may_be_refused = true;
    }

    /// From now on that version of a function, named by its binary, ends as soon as it begins.
    ///
    /// # Errors
    /// Where there is no such function.
    pub fn break_version(&self, binary: &str, version: &str) -> Result<()> {
        let name = self.inside.functions().of_binary(binary).context("no such function")?;
        self.inside.functions().break_version(&name, version);
        Ok(())
    }

    /// Delivers every event of a function, named by its binary, twice.
    pub fn deliver_twice(&mut self, binary: &str) {
        self.deliver(binary, Delivery::Twice);
    }

    /// Says how the events of a function, named by its binary, reach it from now on. What a schedule sends does
    /// as [`deliver_scheduled`](Self::deliver_scheduled) says.
    pub fn deliver(&mut self, binary: &str, delivery: Delivery) {
        self.deliveries.insert(binary.to_owned(), delivery);
    }

    /// Says how what the schedules of a function, named by its binary, send reaches it from now on.
    pub fn deliver_scheduled(&mut self, binary: &str, delivery: Delivery) {
        self.schedules.insert(binary.to_owned(), delivery);
    }

    /// Says how long each job of a training takes from now on.
    pub fn let_jobs_take(&mut self, time: SignedDuration) {
        self.job_time = time;
    }

    /// The events that are held back, in the order in which they were sent; none are then.
    pub fn take_held(&mut self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.held)
    }

    /// Delivers an event that was held back.
    ///
    /// # Errors
    /// Where the function fails.
    pub fn deliver_held(&mut self, (function, event): (String, Value)) -> Result<()> {
        let handled = self.handle(&function, LATEST, event, "held")?;
        handled
            .context("killed by the test")?
            .map_err(|failed| anyhow!(failed.message))?;
        self.settle()?;
        Ok(())
    }

    /// Has a function, named by its binary, handle an event without effects; what it answers.
    ///
    /// # Errors
    /// Where there is no such function, or it fails.
    pub fn dry_run(&self, binary: &str, event: Value) -> Result<Value> {
        let functions = self.inside.functions();
        let name = functions.of_binary(binary).context("no such function")?;
        functions
            .handle(&name, LATEST, trial::envelope(event), "dry-run")?
            .context("killed by the test")?
            .map_err(|failed| anyhow!("{}: {}", failed.kind, failed.message))
    }

    /// Requests that the endpoint's users made and that were answered well, and that failed.
    #[must_use]
    pub fn traffic(&self) -> (u64, u64) {
        (self.served, self.failed)
    }

    /// Everything that happened so far.
    #[must_use]
    pub fn happenings(&self) -> &[Happening] {
        &self.happenings
    }

    /// Says who writes the commits from now on, and with which message.
    pub fn say(&mut self, message: &str, author: &str) {
        (self.message, self.author) = (Some(message.to_owned()), author.to_owned());
    }

    /// Pushes a candidate to the main branch.
    ///
    /// # Errors
    /// Where the cloud has no such repository.
    pub fn push(&mut self, candidate: &Candidate) -> Result<String> {
        self.push_to("main", candidate)
    }

    /// Pushes a candidate to any branch, on top of whatever was pushed last.
    ///
    /// # Errors
    /// Where the cloud has no such repository.
    pub fn push_to(&mut self, branch: &str, candidate: &Candidate) -> Result<String> {
        // Told apart by their first characters, as people do.
        let id = |number: u64| format!("{number:08x}{number:032x}");
        let parent = (self.commits > 0).then(|| id(self.commits));
        self.commits += 1;
        let commit = id(self.commits);
        let push = Push {
            repository: self.model(),
            branch: branch.into(),
            commit: commit.clone(),
            parent,
            author: self.author.clone(),
            message: self
                .message
                .clone()
                .unwrap_or_else(|| format!("Try number {}", self.commits)),
            zip: candidate.zip(DEFINITION)?,
        };
        self.cloud().push(push)?;
        Ok(commit)
    }

    /// Pushes a candidate and waits for the mails that ask about it; the last link of them.
    ///
    /// # Errors
    /// Where nobody is asked within half a day.
    pub fn propose(&mut self, candidate: &Candidate) -> Result<String> {
        let links = self.approval_links().len();
        self.push(candidate)?;
        self.run_until(12, "the approval mail", |world| world.approval_links().len() > links)?;
        self.approval_links().pop().context("an approval link")
    }

    /// Runs until a version is marked so.
    ///
    /// # Errors
    /// Where it is not within half a day.
    pub fn until_outcome(&mut self, version: u32, outcome: &str) -> Result<()> {
        let marked = |world: &Self| world.outcome(version).as_deref() == Some(outcome);
        self.run_until(12, outcome, marked)
    }

    /// Puts an object into the stack's bucket.
    ///
    /// # Errors
    /// Where the stack has none.
    pub fn put_object(&mut self, key: &str, content: &str) -> Result<()> {
        let bucket = self.bucket();
        let content = Bytes::copy_from_slice(content.as_bytes());
        self.cloud().put_object(&bucket, key, content)?;
        Ok(())
    }

    /// The stack's bucket.
    #[must_use]
    pub fn bucket(&self) -> String {
        let cloud = self.cloud();
        let bucket = cloud
            .stack()
            .resources
            .iter()
            .find(|resource| resource.kind == "AWS::S3::Bucket");
        bucket.map(|bucket| bucket.physical_id.clone()).unwrap_or_default()
    }

    /// Calls an API as the administrator.
    ///
    /// # Errors
    /// What the service refuses.
    pub fn call(&self, service: Service, operation: &str, input: &Value) -> Result<Value> {
        Ok(self.cloud().call(&Caller::Administrator, service, operation, input)?)
    }

    /// Runs until the condition holds.
    ///
    /// # Errors
    /// Where it does not hold within that time.
    pub fn run_until(&mut self, hours_max: i64, what: &str, mut holds: impl FnMut(&Self) -> bool) -> Result<()> {
        let end = self.cloud().now() + SignedDuration::from_hours(hours_max);
        loop {
            if self.settle()? && holds(self) {
                return Ok(());
            }
            if !self.step(end)? {
                bail!(
                    "{what}: not within {hours_max} hours; the mails so far: {:#?}",
                    self.subjects()
                );
            }
        }
    }

    /// Runs for that time.
    ///
    /// # Errors
    /// Where a function can't be run at all.
    pub fn run_for(&mut self, time: SignedDuration) -> Result<()> {
        let end = self.cloud().now() + time;
        while self.step(end)? {}
        self.pass_to(end)
    }

    /// Moves the clock on to a time before which nothing is due.
    ///
    /// # Errors
    /// Where a function can't be run at all.
    pub fn pass_to(&mut self, time: Timestamp) -> Result<()> {
        self.cloud().advance(time);
        self.settle()?;
        Ok(())
    }

    /// Goes on to the next thing that is due, if that is not after `end`.
    ///
    /// # Errors
    /// Where a function can't be run at all.
    pub fn step(&mut self, end: Timestamp) -> Result<bool> {
        self.settle()?;
        while let Some(Reverse((_, number))) = self.due.peek() {
            if self.due_work.get(number).is_some_and(|due| !self.is_over(due)) {
                break;
            }
            self.due_work.remove(number);
            self.due.pop();
        }
        let timer = self.cloud().next_timer();
        let outside = self.due.peek().map(|Reverse((time, _))| *time);
        let Some(next) = [timer, outside].into_iter().flatten().min().filter(|time| *time <= end) else {
            return Ok(false);
        };
        self.cloud().advance(next);
        while let Some(Reverse((time, number))) = self.due.peek().copied() {
            if time > next {
                break;
            }
            self.due.pop();
            if let Some(work) = self.due_work.remove(&number) {
                self.report(work)?;
            }
        }
        Ok(true)
    }

    /// Does what the cloud wants done, until it wants nothing more.
    fn settle(&mut self) -> Result<bool> {
        loop {
            let effects = self.cloud().take_effects();
            if effects.is_empty() {
                self.nothing_refused()?;
                let happenings = self.cloud().take_happenings();
                self.happenings.extend(happenings);
                return Ok(true);
            }
            for effect in effects {
                self.perform(effect)?;
            }
        }
    }

    /// A call that a policy refuses is a mistake in the template, or in what a function does.
    fn nothing_refused(&self) -> Result<()> {
        let cloud = self.cloud();
        let refused = cloud.denials().iter().filter(|_| !self.may_be_refused);
        let refused: Vec<String> = refused.map(ToString::to_string).collect();
        if refused.is_empty() {
            Ok(())
        } else {
            bail!("refused: {}", refused.join("; "))
        }
    }

    fn perform(&mut self, effect: Effect) -> Result<()> {
        match effect {
            Effect::Invoke(invoke) => self.invoke(invoke)?,
            Effect::Build(build) => {
                let time = SignedDuration::from_secs(BUILD_SECONDS);
                let time = self.takes(Outside::Build, time);
                self.due_after(time, Due::Build(build.id, outcome_of_build(&build)));
            }
            Effect::Job(job) => {
                let outcome = outcome_of_job(&job)?;
                let time = self.takes(Outside::Job, self.job_time);
                self.due_after(time, Due::Job(job.id, outcome));
            }
            Effect::StartInstance(start) => self.start(&start)?,
            Effect::StopInstance { id } => {
                self.instances.remove(&id);
            }
            // There is no git here: the branches are the cloud's.
            Effect::MoveBranch { .. } | Effect::Mail(_) => {}
        }
        Ok(())
    }

    fn invoke(&mut self, invoke: Invoke) -> Result<()> {
        if self.is_directed() {
            self.send(invoke);
            return Ok(());
        }
        let request = format!("{:?}", invoke.id);
        let scheduled = invoke.payload.get("source").and_then(Value::as_str) == Some("signalbox");
        let of_function = |(binary, _): &(&String, &Delivery)| invoke.function.ends_with(&format!("-{binary}"));
        let deliveries = if scheduled { &self.schedules } else { &self.deliveries };
        let delivery = deliveries.iter().find(of_function).map(|(_, delivery)| *delivery);
        match delivery.unwrap_or(Delivery::Once) {
            Delivery::Once => {}
            Delivery::Twice => {
                drop(self.handle(&invoke.function, &invoke.version, invoke.payload.clone(), &request)?)
            }
            Delivery::Never | Delivery::Held => {
                if delivery == Some(Delivery::Held) {
                    self.held.push((invoke.function, invoke.payload));
                }
                let done = InvocationOutcome::Answer(Value::Null);
                self.cloud().finish_invocation(invoke.id, done);
                return Ok(());
            }
        }
        let by_url = invoke.payload.get("requestContext").is_some();
        let outcome = functions::outcome(self.handle(&invoke.function, &invoke.version, invoke.payload, &request)?);
        if by_url {
            self.url_answers.insert(invoke.id, outcome.clone());
        }
        self.cloud().finish_invocation(invoke.id, outcome);
        Ok(())
    }

    /// Has a function handle an event, and CloudWatch read what it has logged. Nothing, where it was killed.
    fn handle(
        &mut self,
        function: &str,
        version: &str,
        event: Value,
        request: &str,
    ) -> Result<Option<Result<Value, Failed>>> {
        *self.handled.entry(function.to_owned()).or_default() += 1;
        let recorded = self.recorded.is_some().then(|| {
            self.inside.take_exchanges();
            event.clone()
        });
        let functions = self.inside.functions();
        let handle = || functions.handle(function, version, event, request);
        let handled = match &self.logs {
            Some(logs) => tracing::dispatcher::with_default(logs, handle),
            None => handle(),
        }?;
        self.read_lines(function);
        if let (Some(event), Some(kept)) = (recorded, &mut self.recorded) {
            kept.push(Recorded {
                function: function.to_owned(),
                event,
                exchanges: self.inside.take_exchanges(),
            });
        }
        Ok(handled)
    }

    /// Has CloudWatch read what a function has logged.
    fn read_lines(&mut self, function: &str) {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        for line in lines {
            self.cloud().log_line(function, &line);
            let function = function.to_owned();
            self.log.push(Logged { function, line });
        }
    }

    fn report(&mut self, due: Due) -> Result<()> {
        match due {
            Due::Build(id, outcome) => self.cloud().finish_build(id, outcome),
            Due::Job(id, outcome) => self.cloud().finish_job(id, outcome),
            Due::Start(id) => self.started(id),
            Due::Traffic => self.serve(),
            Due::Begin(invoke, told) => self.begin(*invoke, told)?,
            Due::Under(due) => self.come(due),
            Due::TimeUp(run, seconds) => self.time_up(run, seconds),
        }
        Ok(())
    }

    fn due_after(&mut self, wait: SignedDuration, due: Due) {
        // Saturating: what lies beyond the calendar's end never comes.
        let time = self.cloud().now().checked_add(wait).unwrap_or(Timestamp::MAX);
        self.due_count += 1;
        self.due.push(Reverse((time, self.due_count)));
        self.due_work.insert(self.due_count, due);
    }

    /// From now on the events that functions handle are kept, with what is called for each. Not under a director, whose functions run
    /// side by side.
    pub fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// What was kept since this was last asked.
    pub fn take_recorded(&mut self) -> Vec<Recorded> {
        self.recorded.replace(Vec::new()).unwrap_or_default()
    }

    /// How often each function has handled an event so far; events that were withheld from it are not among them, nor is what happens
    /// under a director.
    #[must_use]
    pub fn handled(&self) -> &BTreeMap<String, u64> {
        &self.handled
    }

    /// The mails so far.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.cloud().inbox().to_vec()
    }

    /// The subjects of the mails so far.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        self.cloud().inbox().iter().map(|mail| mail.subject.clone()).collect()
    }

    /// The approval links in the mails so far, oldest first.
    #[must_use]
    pub fn approval_links(&self) -> Vec<String> {
        self.links("?c=")
    }

    /// The links in the mails so far that take a deployed version back, oldest first.
    #[must_use]
    pub fn take_back_links(&self) -> Vec<String> {
        self.links("?u=")
    }

    fn links(&self, claims: &str) -> Vec<String> {
        let link = |mail: &Mail| {
            let mut words = mail.body.split_whitespace();
            words
                .find(|word| word.contains("/function-url/") && word.contains(claims))
                .map(str::to_owned)
        };
        self.cloud().inbox().iter().filter_map(link).collect()
    }

    /// Sets an alarm's state, as the console or a test of one's alarms does.
    ///
    /// # Errors
    /// Where there is no such alarm.
    pub fn set_alarm(&self, name: &str, state: &str) -> Result<()> {
        let reason = "Threshold Crossed: 1 datapoint [0.25] was greater than the threshold (0.02).";
        let input = json!({"AlarmName": name, "StateValue": state, "StateReason": reason});
        self.call(Service::CloudWatch, "SetAlarmState", &input)?;
        Ok(())
    }

    /// A version, as DescribeModelPackage shows it.
    ///
    /// # Errors
    /// Where there is none.
    pub fn package(&self, version: u32) -> Result<Value> {
        let model = self.model();
        let arn = format!("arn:aws:sagemaker:eu-west-1:123456789012:model-package/{model}/{version}");
        self.call(
            Service::SageMaker,
            "DescribeModelPackage",
            &json!({"ModelPackageName": arn}),
        )
    }

    /// What became of a version, as the train marked it.
    #[must_use]
    pub fn outcome(&self, version: u32) -> Option<String> {
        let package = self.package(version).ok()?;
        Some(
            package
                .get("CustomerMetadataProperties")?
                .get("signalbox:outcome")?
                .as_str()?
                .to_owned(),
        )
    }

    /// The endpoint, as DescribeEndpoint shows it.
    ///
    /// # Errors
    /// Where there is none.
    pub fn endpoint(&self) -> Result<Value> {
        let name = self.model();
        self.call(Service::SageMaker, "DescribeEndpoint", &json!({"EndpointName": name}))
    }

    /// The version that the endpoint serves, where it is in service and nothing is pending.
    #[must_use]
    pub fn serving(&self) -> Option<u32> {
        let endpoint = self.endpoint().ok()?;
        let idle = endpoint.get("EndpointStatus")?.as_str()? == "InService"
            && endpoint.get("PendingDeploymentSummary").is_none();
        let config = endpoint.get("EndpointConfigName")?.as_str()?;
        let version = config.strip_prefix(&format!("{}-v", self.model()))?.split('-').next()?;
        if idle { version.parse().ok() } else { None }
    }

    fn load_functions(&mut self) -> Result<()> {
        let infos = self.cloud().functions();
        for info in infos {
            self.reserved
                .extend(info.reserved.map(|reserved| (info.name.clone(), reserved)));
            let environment = self
                .cloud()
                .function_environment(&info.name)
                .context("a function without environment")?;
            let key = environment
                .get("AWS_ACCESS_KEY_ID")
                .cloned()
                .context("AWS_ACCESS_KEY_ID")?;
            let sdk = self.sdk(&key);
            let environment: Environment = environment.into_iter().collect();
            let (functions, name, lines) = (self.inside.functions(), info.name.as_str(), &self.lines);
            match info.binary.as_str() {
                "start-training" => functions.add::<start_training::StartTraining>(name, &environment, &sdk, lines)?,
                "pipeline-status" => {
                    functions.add::<pipeline_status::PipelineStatus>(name, &environment, &sdk, lines)?
                }
                "request-approval" => {
                    functions.add::<request_approval::RequestApproval>(name, &environment, &sdk, lines)?
                }
                "decide-approval" => {
                    functions.add::<decide_approval::DecideApproval>(name, &environment, &sdk, lines)?
                }
                "sync-approval" => functions.add::<sync_approval::SyncApproval>(name, &environment, &sdk, lines)?,
                "update-endpoint" => {
                    functions.add::<update_endpoint::UpdateEndpoint>(name, &environment, &sdk, lines)?
                }
                "endpoint-status" => {
                    functions.add::<endpoint_status::EndpointStatus>(name, &environment, &sdk, lines)?
                }
                "retrain" => functions.add::<retrain::Retrain>(name, &environment, &sdk, lines)?,
                "build-status" => functions.add::<build_status::BuildStatus>(name, &environment, &sdk, lines)?,
                "check-version" => functions.add::<check_version::CheckVersion>(name, &environment, &sdk, lines)?,
                other => bail!("the template has a function `{other}` that this project has no crate for"),
            }
        }
        Ok(())
    }

    /// The SDK's configuration for a function: into the cloud, by its virtual clock.
    fn sdk(&self, access_key_id: &str) -> SdkConfig {
        let credentials = Credentials::from_keys(access_key_id, "local", Some("local".into()));
        // Its pauses are drawn at random otherwise.
        let retries = RetryConfig::standard().with_use_static_exponential_base(true);
        let timeouts = if self.is_directed() {
            runtime::timeouts()
        } else {
            TimeoutConfig::disabled()
        };
        SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new("eu-west-1"))
            .endpoint_url("http://127.0.0.1:4566")
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .identity_cache(aws_config::identity::IdentityCache::no_cache())
            .http_client(HoldingClient::new(self.inside.clone()))
            .time_source(self.inside.clone())
            .sleep_impl(self.inside.clone())
            .retry_config(retries)
            .timeout_config(timeouts)
            .stalled_stream_protection(aws_config::stalled_stream_protection::StalledStreamProtectionConfig::disabled())
            .build()
    }
}

/// The metric in a line, where there is one.
fn metric_in(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let directive = line.pointer("/_aws/CloudWatchMetrics/0")?;
    let name = directive.pointer("/Metrics/0/Name")?.as_str()?;
    let dimensions = directive.pointer("/Dimensions/0")?.as_array()?;
    let dimensions = dimensions
        .iter()
        .filter_map(Value::as_str)
        .filter(|name| *name != "Model");
    let dimensions =
        dimensions.map(|name| format!(" {name}={}", line.get(name).and_then(Value::as_str).unwrap_or("?")));
    Some(format!("{name}{} {}", dimensions.collect::<String>(), line.get(name)?))
}
