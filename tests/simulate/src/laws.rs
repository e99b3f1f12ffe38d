//! What must always be true, and what must be true in the end.
//!
//! The laws know what the candidates are really like, what people really did, and what the cloud shows; they take no word of the
//! train's for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use local::cloud::{Happening, Service};
use serde_json::{Value, json};
use tests::world::World;

use crate::MODEL;
use crate::load::accuracy_of;
use crate::people::{Decision, People};

/// The accuracy above which a model is registered, by the template's default.
const THRESHOLD: f64 = 0.85;

/// What is told again so soon was told twice.
const AT_ONCE: SignedDuration = SignedDuration::from_mins(1);

/// A version is champion when its release has seen that it serves, which is at its next look.
const MARKED_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// An alarm has fired so long after the failures began, however late metrics are.
const ALARMED_AFTER: SignedDuration = SignedDuration::from_mins(8);

/// A call that was on its way when its release ended has come by then.
const ARRIVED_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// A sweep has looked so long after an alarm fired whose event was lost.
const SWEPT_AFTER: SignedDuration = SignedDuration::from_mins(30);

/// A law that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which law: its number in the design, and its name.
    pub law: &'static str,
    /// How.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.message)
    }
}

/// The laws and their names.
pub const LAWS: [(&str, &str); 14] = [
    (
        "1 approved",
        "traffic goes only to what somebody approved, or to what served before",
    ),
    (
        "1 gated",
        "traffic goes only to what was better than something that served at the time",
    ),
    (
        "1 content",
        "the servers of a version serve what was evaluated as that version",
    ),
    ("2 ended", "everything ends"),
    ("2 told", "every end is told"),
    ("3 agreed", "registry, pipeline and endpoint agree"),
    ("4 waits", "an update that finds the endpoint busy waits"),
    ("5 last good", "after an alarm the last good version serves"),
    ("6 once", "a push is trained once"),
    ("6 over", "a release that has ended begins no update"),
    (
        "6 calm",
        "where nothing went wrong, nothing is told twice and no event is dead",
    ),
    (
        "7 nobody's decision",
        "no version is approved or rejected but by a person's decision or the policy",
    ),
    ("8 secrets", "no secret is logged"),
    ("9 runs", "no function panics, and none is refused what it asks for"),
];

fn broken(law: &'static str, message: impl Into<String>) -> Violation {
    Violation {
        law,
        message: message.into(),
    }
}

/// What a run has come to: what must not depend on what went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The version that serves.
    pub serving: Option<u32>,
    /// The versions, with their outcomes and their statuses in the registry.
    pub versions: Vec<(u32, String, String)>,
}

/// What is known of a version.
#[derive(Debug, Clone, PartialEq)]
struct Version {
    accuracy: f64,
    registered: Timestamp,
}

/// What the laws have seen so far.
#[derive(Debug, Default)]
pub struct Laws {
    happenings_seen: usize,
    log_seen: usize,
    automatic: bool,
    /// For how long after a deployment an alarm takes it back.
    guarded: SignedDuration,
    /// How many approvers it takes on the page.
    approvals_needed: usize,
    versions: BTreeMap<u32, Version>,
    /// Versions that had traffic.
    served: BTreeSet<u32>,
    /// Those that the endpoint came to be in service with, and when: the champions.
    history: Vec<(Timestamp, u32)>,
    /// Versions that the endpoint was to be updated to.
    tried: BTreeSet<u32>,
    /// Whether an alarm has fired.
    alarmed: bool,
    /// Trainings by their executions, and how they ended.
    trainings: BTreeMap<String, (String, Timestamp)>,
    /// Commits whose push was trained, by which execution.
    pushes: BTreeMap<String, String>,
    /// How many releases have ended, by how.
    pub outcomes: BTreeMap<String, u64>,
}

impl Laws {
    /// The laws for a stack with those parameters.
    #[must_use]
    pub fn new(parameters: &[(&str, &str)]) -> Self {
        let given = |name| {
            let found = parameters.iter().find(|(parameter, _)| *parameter == name);
            found.map(|(_, value)| *value)
        };
        let number = |name| given(name).and_then(|text| text.parse::<i64>().ok());
        Self {
            guarded: SignedDuration::from_mins(number("GuardMinutes").unwrap_or(0)),
            automatic: given("ApprovalMode") == Some("automatic"),
            approvals_needed: number("ApprovalsNeeded")
                .and_then(|needed| usize::try_from(needed).ok())
                .unwrap_or(1),
            ..Self::default()
        }
    }

    /// The newest version.
    #[must_use]
    pub fn newest(&self) -> Option<u32> {
        self.versions.keys().next_back().copied()
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The law that is broken.
    pub fn check(&mut self, world: &World, people: &People, secrets: &BTreeSet<String>) -> Result<(), Violation> {
        if let Some(wrong) = people.wrong.first() {
            return Err(broken("7 nobody's decision", wrong));
        }
        let log = world.log().get(self.log_seen..).unwrap_or_default();
        for logged in log {
            self.log_seen += 1;
            let found = people
                .secrets
                .iter()
                .chain(secrets)
                .find(|secret| logged.line.contains(*secret));
            if found.is_some() {
                return Err(broken("8 secrets", format!("{}: {}", logged.function, logged.line)));
            }
        }
        while let Some(happening) = world.happenings().get(self.happenings_seen) {
            self.happenings_seen += 1;
            match happening.what {
                "package-registered" => self.registered(world, happening)?,
                "traffic-shifted" => self.shifted(world, people, happening)?,
                "package-approval" => self.approval(people, happening)?,
                "action-failed" => waits(happening)?,
                "endpoint-status" => self.endpoint(happening),
                "deployment-phase" => {
                    self.tried.extend(version_of(text(&happening.data, "config")));
                    begun_in_time(world, happening)?;
                }
                "alarm" => self.alarmed |= text(&happening.data, "state") == "ALARM",
                "execution-status" => self.trained(world, happening)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn registered(&mut self, world: &World, happening: &Happening) -> Result<(), Violation> {
        let Some(version) = number(&happening.data, "version") else {
            return Ok(());
        };
        let package = world
            .package(version)
            .map_err(|error| broken("2 ended", format!("v{version}: {error}")))?;
        let report = package
            .pointer("/ModelMetrics/ModelQuality/Statistics/S3Uri")
            .and_then(Value::as_str)
            .and_then(|uri| uri.strip_prefix("s3://")?.split_once('/'))
            .and_then(|(bucket, key)| world.cloud().object(bucket, key))
            .and_then(|report| serde_json::from_slice::<Value>(&report).ok());
        let accuracy = report.and_then(|report| report.pointer("/metrics/accuracy")?.as_f64());
        let known = Version {
            accuracy: accuracy.unwrap_or_default(),
            registered: happening.time,
        };
        self.versions.insert(version, known);
        Ok(())
    }

    /// The endpoint's traffic changes.
    fn shifted(&mut self, world: &World, people: &People, happening: &Happening) -> Result<(), Violation> {
        let config = text(&happening.data, "config");
        let share = happening.data.get("share").and_then(Value::as_f64).unwrap_or_default();
        let Some(version) = version_of(config).filter(|_| share > 0.0) else {
            return Ok(());
        };
        let Some(known) = self.versions.get(&version) else {
            return Err(broken(
                "1 approved",
                format!("{config} has traffic, and v{version} was never registered"),
            ));
        };
        if !self.served.contains(&version) {
            if !self.automatic && !people.have_approved(version, self.approvals_needed) {
                let needed = self.approvals_needed;
                return Err(broken(
                    "1 approved",
                    format!("{config} has traffic, and v{version} was not approved by {needed}"),
                ));
            }
            let (accuracy, registered) = (known.accuracy, known.registered);
            // What was rejected while it served is no champion from then on, and anything is better than none.
            let rejected = |version: u32| {
                let package = world.package(version);
                package.is_ok_and(|package| text(&package, "ModelApprovalStatus") == "Rejected")
            };
            let beaten = |(served, its): &(u32, f64)| accuracy > *its || rejected(*served);
            let met = self.served_since(registered);
            let first = self
                .history
                .first()
                .is_none_or(|(from, _)| *from + MARKED_AFTER > registered);
            if accuracy <= THRESHOLD || !(first || met.iter().any(beaten)) {
                return Err(broken(
                    "1 gated",
                    format!("{config} has traffic, with accuracy {accuracy}; what served: {met:?}"),
                ));
            }
        }
        for instance in world.instances().filter(|instance| instance.config == config) {
            let served = accuracy_of(&instance.candidate);
            if served != Some(known.accuracy) {
                let message = format!(
                    "{config} serves a model of accuracy {served:?}, v{version} was evaluated with {}",
                    known.accuracy
                );
                return Err(broken("1 content", message));
            }
        }
        self.served.insert(version);
        Ok(())
    }

    /// The endpoint's status changes.
    fn endpoint(&mut self, happening: &Happening) {
        let Some(version) = version_of(text(&happening.data, "config")) else {
            return;
        };
        self.tried.insert(version);
        let settled = text(&happening.data, "status") == "InService";
        if settled && self.history.last().map(|(_, last)| *last) != Some(version) {
            self.history.push((happening.time, version));
        }
    }

    /// What has served since then, with its accuracy.
    fn served_since(&self, since: Timestamp) -> Vec<(u32, f64)> {
        let marked = |(from, _): &(Timestamp, u32)| *from + MARKED_AFTER <= since;
        let first = self.history.iter().rposition(marked).unwrap_or(0);
        let served = self.history.get(first..).unwrap_or_default().iter();
        let known = served.filter_map(|(_, version)| Some((*version, self.versions.get(version)?.accuracy)));
        known.collect()
    }

    /// The registry is told a decision.
    fn approval(&self, people: &People, happening: &Happening) -> Result<(), Violation> {
        let Some(version) = number(&happening.data, "version") else {
            return Ok(());
        };
        let (approval, description) = (text(&happening.data, "approval"), text(&happening.data, "description"));
        let by_people = |decision| people.decided.contains(&(version, decision));
        let explained = match approval {
            "Approved" => people.have_approved(version, self.approvals_needed) || self.automatic,
            "Rejected" => {
                by_people(Decision::Reject)
                    || by_people(Decision::TakeBack)
                    || (people.take_backs > 0 && self.served.contains(&version))
                    || self.is_the_trains(version, description)
            }
            _ => true,
        };
        if explained {
            return Ok(());
        }
        let message = format!("v{version} is {approval} ({description}), which nobody decided");
        Err(broken("7 nobody's decision", message))
    }

    /// Whether the train itself may have rejected a version, and for that reason.
    fn is_the_trains(&self, version: u32, description: &str) -> bool {
        let Some(known) = self.versions.get(&version) else {
            return false;
        };
        let beats = |(_, served): &(u32, f64)| *served >= known.accuracy;
        let not_better = || known.accuracy <= THRESHOLD || self.served_since(known.registered).iter().any(beats);
        let gate = description.contains("gate") || description.starts_with("not held");
        let served = self.served.contains(&version);
        let tried = self.tried.contains(&version);
        let newer = |by: u32| by > version && self.versions.contains_key(&by);
        let superseded = description
            .strip_prefix("superseded by v")
            .and_then(|by| by.parse().ok());
        superseded.is_some_and(newer)
            || description.starts_with("expired")
            || (gate && not_better())
            || (tried && description.contains("rolled back"))
            || (served && self.alarmed)
    }

    fn trained(&mut self, world: &World, happening: &Happening) -> Result<(), Violation> {
        let (execution, status) = (text(&happening.data, "execution"), text(&happening.data, "status"));
        let before = self
            .trainings
            .insert(execution.to_owned(), (status.to_owned(), happening.time));
        if before.is_none()
            && let Some(commit) = pushed(world, execution)
            && let Some(other) = self.pushes.insert(commit.clone(), execution.to_owned())
        {
            let message = format!("the push {commit} is trained by {other} and by {execution}");
            return Err(broken("6 once", message));
        }
        Ok(())
    }

    /// What is not at its end yet; empty when all is.
    #[must_use]
    pub fn under_way(&self, world: &World) -> Vec<String> {
        let mut under_way = Vec::new();
        for (execution, (status, _)) in &self.trainings {
            if matches!(status.as_str(), "Executing" | "Stopping") {
                under_way.push(format!("{execution} is {status}"));
            }
        }
        for pipeline in ["train", "release", "rollback"] {
            for execution in executions(world, pipeline) {
                let status = text(&execution, "status");
                if matches!(status, "InProgress" | "Stopping") {
                    under_way.push(format!(
                        "{pipeline} {} is {status}",
                        text(&execution, "pipelineExecutionId")
                    ));
                }
            }
        }
        for version in self.versions.keys() {
            if world.outcome(*version).is_none() {
                under_way.push(format!("v{version} has no outcome"));
            }
        }
        if let Ok(endpoint) = world.endpoint()
            && (text(&endpoint, "EndpointStatus") != "InService" || endpoint.get("PendingDeploymentSummary").is_some())
            && text(&endpoint, "EndpointStatus") != "Failed"
        {
            under_way.push(format!("the endpoint is {}", text(&endpoint, "EndpointStatus")));
        }
        under_way
    }

    /// What everything has come to.
    #[must_use]
    pub fn end(&self, world: &World) -> End {
        let of_version = |version: &u32| {
            let status = world
                .package(*version)
                .map(|package| text(&package, "ModelApprovalStatus").to_owned());
            (
                *version,
                world.outcome(*version).unwrap_or_default(),
                status.unwrap_or_default(),
            )
        };
        End {
            serving: world.serving(),
            versions: self.versions.keys().map(of_version).collect(),
        }
    }

    /// What must hold in the end, when faults have stopped and time has passed.
    ///
    /// # Errors
    /// The law that is broken.
    pub fn check_end(&mut self, world: &World, calm: bool) -> Result<(), Violation> {
        let under_way = self.under_way(world);
        if !under_way.is_empty() {
            return Err(broken("2 ended", under_way.join("; ")));
        }
        let mut deployed = BTreeSet::new();
        for version in self.versions.keys() {
            let outcome = world.outcome(*version).unwrap_or_default();
            *self.outcomes.entry(outcome.clone()).or_default() += 1;
            if outcome == "deployed" {
                deployed.insert(*version);
            }
            told_of(world, *version, &outcome)?;
            // Where there is none before it that could be brought back, that was told.
            let stays = world
                .cloud()
                .inbox()
                .iter()
                .any(|mail| mail.subject.contains("ROLLBACK FAILED"));
            agreed(world, *version, &outcome, !stays && world.serving() == Some(*version))?;
        }
        self.serves_the_last_good(world, &deployed)?;
        self.trainings_told(world)?;
        rollback_told(world)?;
        if calm {
            nothing_twice(world)?;
        }
        Ok(())
    }

    fn serves_the_last_good(&self, world: &World, deployed: &BTreeSet<u32>) -> Result<(), Violation> {
        let Some(serving) = world.serving() else {
            let endpoint = world.endpoint();
            // An endpoint that never came up can only be deleted, by a person.
            return match endpoint {
                Ok(endpoint) if text(&endpoint, "EndpointStatus") != "Failed" => {
                    Err(broken("5 last good", format!("nothing serves: {endpoint}")))
                }
                _ => Ok(()),
            };
        };
        if !deployed.contains(&serving) {
            let outcome = world.outcome(serving).unwrap_or_default();
            return Err(broken(
                "5 last good",
                format!("v{serving} serves, whose release was {outcome}"),
            ));
        }
        let deployed_at = self.history.iter().rev().find(|(_, version)| *version == serving);
        // What fails later than that may not have been seen yet.
        let seen = world.cloud().now() - SWEPT_AFTER;
        let watched_until = deployed_at.map(|(at, _)| seen.min(*at + self.guarded - ALARMED_AFTER));
        let bad = |instance: &&tests::world::Instance| {
            let well = SignedDuration::from_secs(instance.candidate.well_seconds.into());
            let fails = instance.up.map(|up| up + well);
            instance.candidate.error_rate > 0.0
                && (well.is_zero() || fails.zip(watched_until).is_some_and(|(fails, until)| fails < until))
        };
        // Where there was none to go back to, or it had been brought back itself, that was told.
        let told = world.cloud().inbox().iter().any(|mail| {
            mail.subject.contains("ROLLBACK FAILED")
                || (mail.subject.contains("look at the endpoint") && deployed_at.is_some_and(|(at, _)| mail.time > *at))
        });
        let others = !told && self.served.iter().any(|version| *version != serving);
        if others
            && world
                .instances()
                .filter(bad)
                .any(|instance| version_of(&instance.config) == Some(serving))
        {
            return Err(broken(
                "5 last good",
                format!("v{serving} serves, which has failed since it was deployed or soon after"),
            ));
        }
        Ok(())
    }

    /// Every push that was not trained to a version is told of.
    fn trainings_told(&self, world: &World) -> Result<(), Violation> {
        for (execution, (status, ended)) in &self.trainings {
            if status != "Failed" {
                continue;
            }
            let Some(commit) = pushed(world, execution) else {
                continue;
            };
            let short = commit.get(..8).unwrap_or(&commit);
            let cloud = world.cloud();
            let told = cloud.inbox().iter().any(|mail| {
                mail.time >= *ended && mail.subject.contains("training failed") && mail.body.contains(short)
            });
            if !told {
                let message = format!("{execution} of the push {commit} failed, and nobody was told");
                return Err(broken("2 told", message));
            }
        }
        Ok(())
    }
}

/// Where the newest rollback has failed, whatever the reason, somebody was told.
fn rollback_told(world: &World) -> Result<(), Violation> {
    let all = executions(world, "rollback");
    let Some(newest) = all.first().filter(|execution| text(execution, "status") == "Failed") else {
        return Ok(());
    };
    let started = newest.get("startTime").and_then(Value::as_f64).unwrap_or_default();
    let since_it_began = |mail: &local::cloud::effect::Mail| {
        epoch_seconds(mail.time) >= started && mail.subject.contains("ROLLBACK FAILED")
    };
    let told = world.cloud().inbox().iter().any(since_it_began);
    if told || world.endpoint().is_err() {
        return Ok(());
    }
    let id = text(newest, "pipelineExecutionId");
    Err(broken(
        "2 told",
        format!("the rollback {id} failed, and nobody was told"),
    ))
}

/// The commit whose push started a training.
fn pushed(world: &World, execution: &str) -> Option<String> {
    let input = json!({"PipelineExecutionArn": execution});
    let shown = world
        .call(Service::SageMaker, "DescribePipelineExecution", &input)
        .ok()?;
    let lineage: Value = serde_json::from_str(text(&shown, "PipelineExecutionDescription")).ok()?;
    (text(&lineage, "trigger") == "push").then(|| text(&lineage, "commit").to_owned())
}

/// An update begins: the release or the rollback whose it is must not have ended before, however late its job was delivered.
fn begun_in_time(world: &World, happening: &Happening) -> Result<(), Violation> {
    let share = happening.data.get("share").and_then(Value::as_f64);
    if text(&happening.data, "phase") != "Creating" || share != Some(0.0) {
        return Ok(());
    }
    let config = text(&happening.data, "config");
    let Some((_, short)) = config.rsplit_once('-').filter(|_| version_of(config).is_some()) else {
        return Ok(());
    };
    let releases = ["release", "rollback"].map(|pipeline| executions(world, pipeline));
    let its = |execution: &&Value| text(execution, "pipelineExecutionId").starts_with(short);
    let Some(release) = releases.iter().flatten().find(its) else {
        return Err(broken("6 over", format!("{config} is no release's")));
    };
    let (id, status) = (text(release, "pipelineExecutionId"), text(release, "status"));
    let ended = release
        .get("lastUpdateTime")
        .and_then(Value::as_f64)
        .unwrap_or_default();
    let now = epoch_seconds(happening.time);
    if !matches!(status, "InProgress" | "Stopping") && ended + ARRIVED_AFTER.as_secs_f64() < now {
        let message = format!(
            "{config} is asked for {:.0} s after {id} has ended: {status}",
            now - ended
        );
        return Err(broken("6 over", message));
    }
    Ok(())
}

/// An update that found the endpoint busy must not fail for it.
fn waits(happening: &Happening) -> Result<(), Violation> {
    let summary = text(&happening.data, "summary");
    if summary.contains("in-progress endpoint") {
        return Err(broken("4 waits", format!("{}: {summary}", happening.subject)));
    }
    Ok(())
}

/// Somebody was told of a version's end.
fn told_of(world: &World, version: u32, outcome: &str) -> Result<(), Violation> {
    let words: &[&str] = match outcome {
        "deployed" => &["deployed"],
        "rolled-back" => &["rolled back"],
        "rejected" => &["rejected", "stopped"],
        "expired" => &["expired"],
        "superseded" => &["superseded"],
        "gate-not-met" => &["gate not met"],
        _ => &["release failed"],
    };
    let cloud = world.cloud();
    let name = format!(" v{version} ");
    let tells = |subject: &str| subject.contains(&name) && words.iter().any(|words| subject.contains(words));
    if cloud.inbox().iter().any(|mail| tells(&mail.subject)) {
        return Ok(());
    }
    Err(broken(
        "2 told",
        format!("v{version} was {outcome}, and nobody was told"),
    ))
}

/// The registry's status is what the outcome says.
fn agreed(world: &World, version: u32, outcome: &str, replaces: bool) -> Result<(), Violation> {
    let package = world
        .package(version)
        .map_err(|error| broken("3 agreed", error.to_string()))?;
    let status = text(&package, "ModelApprovalStatus");
    let expected: &[&str] = match outcome {
        "deployed" if replaces => &["Approved"],
        // What served once may be rejected later: nothing is to be done about it.
        "deployed" => &["Approved", "Rejected"],
        "failed" => &["Approved", "Rejected"],
        // What another update took the place of was approved; what a newer candidate took the place of was not.
        "superseded" => &["Approved", "Rejected"],
        _ => &["Rejected"],
    };
    if expected.contains(&status) {
        return Ok(());
    }
    Err(broken(
        "3 agreed",
        format!("v{version} was {outcome}, and the registry has it {status}"),
    ))
}

/// Where nothing went wrong, every mail is there once for each who is told, and the dead-letter queue is empty.
fn nothing_twice(world: &World) -> Result<(), Violation> {
    let cloud = world.cloud();
    if let Some(dead) = cloud.dead_letters().first() {
        return Err(broken("6 calm", format!("a dead letter: {dead}")));
    }
    // An alarm that fires again is told again, and so is a rollback after one that failed.
    let anew = |happening: &&Happening| match happening.what {
        "alarm" => text(&happening.data, "state") == "ALARM",
        "stage-started" => happening.subject.ends_with("-rollback"),
        _ => false,
    };
    let anew: Vec<_> = world
        .happenings()
        .iter()
        .filter(anew)
        .map(|happening| happening.time)
        .collect();
    let happened_between = |before, after| anew.iter().any(|time| before < *time && *time < after);
    let mut seen = BTreeMap::new();
    for mail in cloud.inbox() {
        // Who asks twice is told twice.
        if mail.subject.contains("ROLLBACK FAILED") {
            continue;
        }
        // Two alarms on one day make two mails with the same words.
        let before = seen.insert((&mail.to, &mail.subject, &mail.body), mail.time);
        if before
            .is_some_and(|before| mail.time.duration_since(before) < AT_ONCE && !happened_between(before, mail.time))
        {
            return Err(broken("6 calm", format!("told twice: {} to {}", mail.subject, mail.to)));
        }
    }
    Ok(())
}

/// All executions of one of the stack's pipelines.
fn executions(world: &World, pipeline: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut input = json!({"pipelineName": format!("{MODEL}-{pipeline}"), "maxResults": 100});
    loop {
        let Ok(mut page) = world.call(Service::CodePipeline, "ListPipelineExecutions", &input) else {
            return all;
        };
        if let Some(Value::Array(items)) = page.get_mut("pipelineExecutionSummaries").map(Value::take) {
            all.extend(items);
        }
        match page.get_mut("nextToken").map(Value::take) {
            Some(token) if token.is_string() => {
                if let Some(input) = input.as_object_mut() {
                    input.insert("nextToken".to_owned(), token);
                }
            }
            _ => return all,
        }
    }
}

/// A time as the services write it.
fn epoch_seconds(time: Timestamp) -> f64 {
    time.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

/// The version in a configuration's name.
fn version_of(config: &str) -> Option<u32> {
    let rest = config.strip_prefix(MODEL)?.strip_prefix("-v")?;
    rest.split('-').next()?.parse().ok()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, member: &str) -> Option<u32> {
    value.get(member)?.as_u64()?.try_into().ok()
}
