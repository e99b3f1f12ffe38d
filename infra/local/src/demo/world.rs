//! What every stop of the story needs: the cloud, the people's tools, and waiting until something can be seen.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::chart::{self, Rollout};
use super::observe::{self, Action, Names, Package, Training};
use super::report::{Calls, Decision, Outcome, Release, calls_since, counted_since};
use super::story::{Checkout, Push, Story};
use super::strategy::Expected;
use super::timeline::{Console, Teller};
use super::traffic::{Browser, Count, Traffic};
use crate::cloud::effect::Mail;
use crate::cloud::{Cloud, Happening};
use crate::front::Running;

/// How often something that is awaited is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long something is awaited at least, by the wall clock: scripts and functions take their time whatever the speed.
const WALL_MIN: Duration = Duration::from_secs(25);
/// How long something is awaited by the virtual clock, unless it is known to take longer.
pub(crate) const USUAL: SignedDuration = SignedDuration::from_mins(60);

/// How long a chart goes on after the rollout, by the virtual clock.
const AFTERWARDS: SignedDuration = SignedDuration::from_mins(1);

/// The running cloud and the people around it.
pub(crate) struct World<'a> {
    pub(crate) running: &'a Running,
    pub(crate) console: &'a Console,
    /// How wide charts are, in characters.
    pub(crate) columns: usize,
    pub(crate) names: Names,
    /// What the template's parameters let expect of a rollout.
    pub(crate) expected: Expected,
    pub(crate) story: Story,
    pub(crate) checkout: Checkout,
    pub(crate) browser: Browser,
    pub(crate) traffic: Traffic,
    told: Mutex<(Teller, usize)>,
    /// All requests so far, looked at again and again.
    counted: Mutex<Vec<(Timestamp, Count)>>,
}

/// The version that serves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Serving {
    /// The place of its release in the report.
    pub(crate) release: usize,
    pub(crate) version: u64,
    pub(crate) accuracy: f64,
    pub(crate) config: String,
}

impl<'a> World<'a> {
    pub(crate) async fn new(running: &'a Running, console: &'a Console) -> anyhow::Result<Self> {
        let names = Names::of(&running.cloud())?;
        let expected = Expected::of(&running.cloud())?;
        let story = Story::load(running.workspace())?;
        let url = format!("{}/git/{}", running.base_url(), names.model);
        let checkout = Checkout::new(&url, &names.branch).await?;
        let browser = Browser::new();
        let traffic = Traffic::new(browser.clone(), running.base_url(), &names.model, &story.requests);
        Ok(Self {
            running,
            console,
            columns: chart::columns(),
            names,
            expected,
            story,
            checkout,
            browser,
            traffic,
            told: Mutex::default(),
            counted: Mutex::default(),
        })
    }

    pub(crate) fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.running.cloud()
    }

    /// What the template's policies have refused so far.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.cloud().denials().iter().map(ToString::to_string).collect()
    }

    /// Prints what has happened since it was last printed, and notes how many requests there were.
    pub(crate) fn tell(&self) {
        self.count();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (teller, from) = &mut *told;
        for happening in self.running.happenings(*from) {
            *from += 1;
            for line in teller.lines(&happening, |package| observe::version(&mut self.cloud(), package)) {
                self.console.line(&line, happening.time);
            }
        }
    }

    /// Notes how many requests there were so far.
    fn count(&self) {
        let (time, count) = (self.cloud().now(), self.traffic.total());
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        match counted.as_mut_slice() {
            // While nothing is asked the last note moves on.
            [.., (_, before), (last, same)] if *before == count && *same == count => *last = time,
            _ => counted.push((time, count)),
        }
    }

    /// The notes of how many requests there were, from the last one up to `from` until the first one from `to` on.
    fn counted(&self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Count)> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let first = counted.partition_point(|(time, _)| *time <= from).saturating_sub(1);
        let after = counted.partition_point(|(time, _)| *time < to).saturating_add(1);
        counted
            .get(first..after.min(counted.len()))
            .unwrap_or_default()
            .to_vec()
    }

    /// How many requests there were between two times, and a few before and after.
    pub(crate) fn requests(&self, from: Timestamp, to: Timestamp) -> u64 {
        let counted = self.counted(from, to);
        let all = |count: Option<&(Timestamp, Count)>| count.map_or(0, |(_, count)| count.served + count.failed);
        all(counted.last()) - all(counted.first())
    }

    /// Waits until `look` sees something.
    ///
    /// # Errors
    /// Where it is not seen within `limit` of the virtual clock; the error says what was awaited.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        limit: SignedDuration,
        mut look: impl FnMut(&mut Cloud) -> Option<T>,
    ) -> anyhow::Result<T> {
        self.until_seen(what, limit, || look(&mut self.cloud())).await
    }

    /// The same for what is not seen in the cloud itself, which is not locked meanwhile.
    async fn until_seen<T>(
        &self,
        what: &str,
        limit: SignedDuration,
        mut look: impl FnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let (began, start) = (Instant::now(), self.cloud().now());
        loop {
            if let Some(seen) = look() {
                return Ok(seen);
            }
            let now = self.cloud().now();
            if now.duration_since(start) > limit && began.elapsed() > WALL_MIN {
                bail!("not seen within {} minutes: {what}", limit.as_mins());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The mails after the first `from`.
    pub(crate) fn mails(&self, from: usize) -> Vec<Mail> {
        self.cloud().inbox().iter().skip(from).cloned().collect()
    }

    /// Waits until nothing is under way in the pipelines, so that what follows is not counted with what was before.
    async fn settled(&self) {
        let pipelines = &self.names.pipelines;
        let quiet = |cloud: &mut Cloud| {
            let busy = pipelines.iter().any(|pipeline| observe::runs(cloud, pipeline));
            (!busy).then_some(())
        };
        // What hangs here was already seen to hang by what was awaited before.
        let _ = self
            .until("all pipelines idle", SignedDuration::from_mins(20), quiet)
            .await;
        // Functions that were told of the end are still at work.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
}

/// One release on its way, and what was seen of it.
pub(crate) struct Run<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) release: Release,
    /// Its place in the report.
    pub(crate) place: usize,
    pub(crate) held: bool,
    began: Instant,
    start: Timestamp,
    calls: Calls,
    invocations: BTreeMap<String, u64>,
    happenings: usize,
    /// The mails that there were before.
    pub(crate) mails: usize,
    /// The trainings that there were before.
    trainings: Vec<String>,
    /// The package that it registered.
    pub(crate) package: Option<String>,
}

impl<'a> Run<'a> {
    pub(crate) fn begin(world: &'a World<'a>, place: usize, trigger: &str) -> Self {
        let happenings = world.running.happenings(0).len();
        let mut cloud = world.cloud();
        let trainings = observe::trainings(&mut cloud, &world.names.model);
        Self {
            world,
            release: Release::new(trigger),
            place,
            held: true,
            began: Instant::now(),
            start: cloud.now(),
            calls: cloud.calls().clone(),
            invocations: cloud.invocations().clone(),
            happenings,
            mails: cloud.inbox().len(),
            trainings,
            package: None,
        }
    }

    /// Notes whether something was as it should be.
    pub(crate) fn check(&mut self, held: bool, text: &str) {
        self.world.tell();
        self.world.console.check(held, text);
        self.held &= held;
    }

    /// Ends the record of the release, and says whether all held. `ended` is how the stop's play ended.
    pub(crate) async fn finish(mut self, ended: anyhow::Result<()>) -> (Release, bool) {
        if let Err(error) = ended {
            self.check(false, &format!("{error:#}"));
        }
        self.world.settled().await;
        self.world.tell();
        if let Some(version) = self.release.version {
            let since = |time: Timestamp| (seconds(self.start, time) * 10.0).round() / 10.0;
            let shares = self.shares(version).into_iter();
            self.release.traffic.shares = shares.map(|(time, share)| (since(time), share)).collect();
            self.release.rollout = self.rollout(version);
        }
        let cloud = self.world.cloud();
        self.release.calls = calls_since(&self.calls, cloud.calls());
        self.release.invocations = counted_since(&self.invocations, cloud.invocations());
        drop(cloud);
        self.release.seconds = self.began.elapsed().as_secs_f64();
        (self.release, self.held)
    }

    /// What happened since the release began.
    pub(crate) fn happenings(&self) -> Vec<Happening> {
        self.world.running.happenings(self.happenings)
    }

    /// Waits until something happens, or has happened since the release began.
    pub(crate) async fn happened<T>(
        &self,
        what: &str,
        limit: SignedDuration,
        find: impl Fn(&Happening) -> Option<T>,
    ) -> anyhow::Result<T> {
        let look = || self.happenings().iter().find_map(&find);
        self.world.until_seen(what, limit, look).await
    }

    /// Whether a training has begun since the release began.
    pub(crate) fn has_training(&self) -> bool {
        let trainings = observe::trainings(&mut self.world.cloud(), &self.world.names.model);
        trainings.iter().any(|arn| !self.trainings.contains(arn))
    }

    /// How the traffic of a version shifted: from when on it had which share.
    pub(crate) fn shares(&self, version: u64) -> Vec<(Timestamp, f64)> {
        shares(&self.happenings(), &self.world.names.config_prefix(version))
    }

    /// What there is to draw of a version's way to the endpoint, if it came there.
    fn rollout(&self, version: u64) -> Option<Rollout> {
        let (happenings, shares) = (self.happenings(), self.shares(version));
        let (from, to) = span(&happenings, shares.first()?.0)?;
        let to = to.unwrap_or(Timestamp::MAX).min(self.world.cloud().now());
        let requests = self.world.counted(from, to).into_iter();
        Some(Rollout {
            version,
            strategy: self.release.strategy.clone().unwrap_or_else(|| "unknown".to_owned()),
            seconds: seconds(from, to),
            shares: shares
                .iter()
                .map(|(time, share)| (seconds(from, *time), *share))
                .collect(),
            requests: requests
                .map(|(time, count)| (seconds(from, time), count.served, count.failed))
                .collect(),
            marks: marks(&happenings, shares.first()?.0)
                .into_iter()
                .filter(|(time, _)| (from..=to).contains(time))
                .map(|(time, what)| (seconds(from, time), what))
                .collect(),
        })
    }

    /// Commits and pushes a folder laid over the repository.
    pub(crate) async fn push(&mut self, push: &Push, from: &std::path::Path) -> anyhow::Result<String> {
        let now = self.world.cloud().now();
        let commit = self.world.checkout.push(from, push, now).await?;
        self.release.commit = Some(commit.clone());
        Ok(commit)
    }

    /// Waits for the build of the pushed commit to end; returns what came of it.
    pub(crate) async fn built(&mut self) -> anyhow::Result<Action> {
        let commit = self.release.commit.clone().context("nothing was pushed")?;
        let train = self.world.names.train();
        let look = |cloud: &mut Cloud| {
            let (execution, _) = observe::execution_of(cloud, &train, &commit)?;
            let build = observe::action(cloud, &train, "Build");
            let ended = matches!(build.status.as_str(), "Succeeded" | "Failed");
            (build.execution == execution && ended).then_some(build)
        };
        self.world
            .until("the build of the pushed commit has ended", USUAL, look)
            .await
    }

    /// Waits for the training that the release began with to end, and notes what it measured and registered.
    pub(crate) async fn trained(&mut self) -> anyhow::Result<Training> {
        let (model, trigger, commit) = (
            &self.world.names.model,
            self.release.trigger.clone(),
            self.release.commit.clone(),
        );
        let before = &self.trainings;
        let look = |cloud: &mut Cloud| {
            let new = observe::trainings(cloud, model)
                .into_iter()
                .filter(|arn| !before.contains(arn));
            new.filter_map(|arn| observe::training(cloud, &arn)).find(|training| {
                let same = commit.is_none() || training.commit == commit;
                training.trigger == trigger && same && training.ended()
            })
        };
        let what = format!("a training with the trigger `{trigger}` has ended");
        let training = self.world.until(&what, USUAL, look).await?;
        let mut cloud = self.world.cloud();
        self.release.metrics = observe::metrics(&mut cloud, &self.world.names.bucket, &training.arn);
        self.release.commit.clone_from(&training.commit);
        self.package.clone_from(&training.package);
        let package = training
            .package
            .as_ref()
            .and_then(|arn| observe::package(&mut cloud, arn));
        self.release.version = package.and_then(|package| package.version);
        drop(cloud);
        Ok(training)
    }

    /// The version that it registered.
    ///
    /// # Errors
    /// Where it registered none.
    pub(crate) fn version(&self) -> anyhow::Result<u64> {
        self.release.version.context("no version was registered")
    }

    /// The accuracy that was measured; NaN, which compares with nothing, where none was.
    pub(crate) fn accuracy(&self) -> f64 {
        self.release.metrics.get("accuracy").copied().unwrap_or(f64::NAN)
    }

    /// The package as the registry has it now.
    pub(crate) fn package(&self) -> Package {
        let arn = self.package.clone().unwrap_or_default();
        observe::package(&mut self.world.cloud(), &arn).unwrap_or_default()
    }

    /// Waits until the registry says what became of the release, and notes it.
    pub(crate) async fn ended(&mut self, limit: SignedDuration) -> anyhow::Result<Package> {
        let arn = self.package.clone().context("no version was registered")?;
        let look = |cloud: &mut Cloud| observe::package(cloud, &arn).filter(|package| package.outcome.is_some());
        let package = self
            .world
            .until("the registry says what became of the release", limit, look)
            .await?;
        self.release.outcome = match package.outcome.as_deref() {
            Some("deployed") => Outcome::Deployed,
            Some("rolled-back") => Outcome::RolledBack,
            Some("rejected") => Outcome::Rejected,
            Some("expired") => Outcome::Expired,
            Some("gate-not-met") => Outcome::GateNotMet,
            other => bail!("the registry says the release ended as {}", other.unwrap_or("nothing")),
        };
        let reason = package.reason.clone().or_else(|| package.gate.clone());
        self.release.reason = reason.unwrap_or_default();
        Ok(package)
    }

    /// Waits for a mail of this release whose subject or text has all of the words.
    pub(crate) async fn mail(&self, words: &[&str]) -> anyhow::Result<Mail> {
        let from = self.mails;
        let look = |cloud: &mut Cloud| {
            let mut new = cloud.inbox().iter().skip(from);
            let found = new.find(|mail| {
                words
                    .iter()
                    .all(|word| mail.subject.contains(word) || mail.body.contains(word))
            });
            found.cloned()
        };
        self.world
            .until(&format!("a mail with {}", words.join(", ")), USUAL, look)
            .await
    }

    /// Waits until the release waits for a decision and every approver has been asked; returns the first approver's link.
    pub(crate) async fn asked(&mut self) -> anyhow::Result<String> {
        let (version, from) = (self.version()?, self.mails);
        let names = &self.world.names;
        let subject = format!("approve {} v{version}?", names.model);
        let look = |cloud: &mut Cloud| {
            let new: Vec<Mail> = cloud
                .inbox()
                .iter()
                .skip(from)
                .filter(|mail| mail.subject.contains(&subject))
                .cloned()
                .collect();
            let all = names
                .approvers
                .iter()
                .all(|approver| new.iter().any(|mail| mail.to == *approver));
            all.then_some(new)
        };
        let mails = self
            .world
            .until(&format!("every approver is asked: {subject}"), USUAL, look)
            .await?;
        let links: std::collections::BTreeSet<&str> = mails.iter().filter_map(observe::link).collect();
        self.check(
            links.len() == self.world.names.approvers.len() && mails.len() == links.len(),
            &format!(
                "{} approvers are asked to decide on v{version}, each with a link of their own",
                links.len()
            ),
        );
        let first = self.world.names.approvers.first();
        let mine = mails.iter().find(|mail| Some(&mail.to) == first);
        let link = mine
            .and_then(observe::link)
            .context("the approver's mail has no link")?;
        Ok(link.to_owned())
    }

    /// Decides by the link, as the form on its page does.
    pub(crate) async fn decide(&mut self, link: &str, decision: Decision, comment: &str) -> anyhow::Result<()> {
        let word = if decision == Decision::Approved {
            "approve"
        } else {
            "reject"
        };
        let mut form = form_urlencoded::Serializer::new(String::new());
        let form = form
            .append_pair("decision", word)
            .append_pair("comment", comment)
            .finish();
        if decision == Decision::Approved {
            // From here on the endpoint's requests are this release's.
            self.world.traffic.count_for(self.place);
        }
        let kind = "application/x-www-form-urlencoded";
        let (status, page) = self.world.browser.post(link, kind, Bytes::from(form)).await?;
        if !status.is_success() {
            let said: String = String::from_utf8_lossy(&page).chars().take(200).collect();
            bail!("the approval page answered {status}: {said}");
        }
        self.release.decision = Some(decision);
        Ok(())
    }

    /// The stage `Approve` of the release pipeline.
    pub(crate) fn approval(&self) -> Action {
        observe::action(&mut self.world.cloud(), &self.world.names.release(), "Approve")
    }

    /// Waits until the endpoint is in service and nothing is under way there.
    pub(crate) async fn in_service(&self) -> anyhow::Result<observe::Endpoint> {
        let model = &self.world.names.model;
        let look = |cloud: &mut Cloud| {
            observe::endpoint(cloud, model)
                .filter(|endpoint| endpoint.status == "InService" && endpoint.pending.is_none())
        };
        self.world.until("the endpoint is in service", USUAL, look).await
    }

    /// The configuration that serves.
    pub(crate) fn serving_config(&self) -> String {
        let endpoint = observe::endpoint(&mut self.world.cloud(), &self.world.names.model);
        endpoint.unwrap_or_default().config
    }
}

/// From one time to another, in virtual seconds.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

fn text<'a>(happening: &'a Happening, member: &str) -> &'a str {
    happening.data.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The changes of the endpoint's status.
fn statuses(happenings: &[Happening]) -> impl DoubleEndedIterator<Item = (Timestamp, &str)> {
    let changes = happenings
        .iter()
        .filter(|happening| happening.what == "endpoint-status");
    changes.map(|happening| (happening.time, text(happening, "status")))
}

/// From when on the configurations with a prefix had which share of the traffic. What another one takes after them is theirs no more.
fn shares(happenings: &[Happening], prefix: &str) -> Vec<(Timestamp, f64)> {
    let mut shares: Vec<(Timestamp, f64)> = Vec::new();
    // The other configuration whose share grows, and what these had before.
    let mut other: Option<(&str, f64)> = None;
    let shifts = happenings
        .iter()
        .filter(|happening| happening.what == "traffic-shifted");
    for shift in shifts {
        let current = shares.last().map_or(0.0, |(_, share)| *share);
        let (config, share) = (text(shift, "config"), shift.data.get("share").and_then(Value::as_f64));
        let Some(share) = share else { continue };
        let theirs = if config.starts_with(prefix) {
            other = None;
            share
        } else {
            let had = other
                .filter(|(same, _)| *same == config)
                .map_or(current, |(_, had)| had);
            other = Some((config, had));
            had * (1.0 - share)
        };
        if theirs.total_cmp(&current).is_ne() {
            shares.push((shift.time, theirs));
        }
    }
    shares
}

/// When the update began that gave a version its first traffic, and until when it is shown: a little longer than until the endpoint
/// came to rest, if it did.
fn span(happenings: &[Happening], first: Timestamp) -> Option<(Timestamp, Option<Timestamp>)> {
    let begins = |(time, status): &(Timestamp, &str)| *time <= first && matches!(*status, "Creating" | "Updating");
    let (from, _) = statuses(happenings).rfind(begins)?;
    let rests = |(time, status): &(Timestamp, &str)| *time >= first && *status == "InService";
    let to = statuses(happenings).rfind(rests);
    Some((from, to.and_then(|(time, _)| time.checked_add(AFTERWARDS).ok())))
}

/// What else a chart shows: alarms, and the way back, be it within the update or by another one.
fn marks(happenings: &[Happening], first: Timestamp) -> Vec<(Timestamp, String)> {
    let fires = |happening: &&Happening| happening.what == "alarm" && text(happening, "state") == "ALARM";
    let alarms = happenings.iter().filter(fires);
    let mut marks: Vec<(Timestamp, String)> = alarms
        .map(|alarm| (alarm.time, format!("alarm {} fires", alarm.subject)))
        .collect();
    let back = |(time, status): &(Timestamp, &str)| match *status {
        "RollingBack" => *time >= first,
        "Updating" => *time > first,
        _ => false,
    };
    let back = statuses(happenings).find(back);
    marks.extend(back.map(|(time, _)| (time, "the rollback begins".to_owned())));
    marks.sort_by_key(|(time, _)| *time);
    marks
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn start() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn happening(seconds: f64, subject: &str, what: &'static str, data: Value) -> Happening {
        Happening {
            time: start() + SignedDuration::from_secs_f64(seconds),
            service: "sagemaker",
            subject: subject.to_owned(),
            what,
            data,
        }
    }

    fn shift(seconds: f64, config: &str, share: f64) -> Happening {
        let data = json!({"endpoint": "m", "config": config, "share": share});
        happening(seconds, "m", "traffic-shifted", data)
    }

    fn status(seconds: f64, status: &str) -> Happening {
        happening(seconds, "m", "endpoint-status", json!({"status": status}))
    }

    #[test]
    fn shares_are_those_of_the_version() {
        let mut other = shift(9.0, "m-v2-a", 0.5);
        other.what = "deployment-phase";
        let happenings = [
            shift(0.0, "m-v1-a", 1.0),
            shift(10.0, "m-v2-a", 0.25),
            other,
            shift(310.0, "m-v2-a", 1.0),
            shift(400.0, "m-v22-a", 0.5),
            shift(500.0, "m-v22-a", 0.75),
            shift(600.0, "m-v22-a", 0.0),
            shift(700.0, "m-v1-b", 1.0),
        ];
        for (prefix, expected) in [
            ("m-v1-", vec![(0.0, 1.0), (10.0, 0.75), (310.0, 0.0), (700.0, 1.0)]),
            (
                "m-v2-",
                vec![
                    (10.0, 0.25),
                    (310.0, 1.0),
                    (400.0, 0.5),
                    (500.0, 0.25),
                    (600.0, 1.0),
                    (700.0, 0.0),
                ],
            ),
            ("m-v3-", vec![]),
        ] {
            let shares = shares(&happenings, prefix);
            let shares: Vec<(f64, f64)> = shares
                .iter()
                .map(|(time, share)| (seconds(start(), *time), *share))
                .collect();
            assert_eq!(shares, expected, "{prefix}");
        }
    }

    #[test]
    fn a_chart_shows_the_update_and_the_way_back() {
        let alarm = |seconds| happening(seconds, "m-5xx", "alarm", json!({"state": "ALARM"}));
        let well = happening(1.0, "m-5xx", "alarm", json!({"state": "OK"}));
        let within = [
            status(0.0, "InService"),
            status(5.0, "Updating"),
            well,
            shift(10.0, "m-v2-a", 0.25),
            alarm(60.0),
            status(60.0, "RollingBack"),
            status(70.0, "InService"),
        ];
        let afterwards = [
            status(5.0, "Updating"),
            shift(10.0, "m-v2-a", 1.0),
            status(20.0, "InService"),
            alarm(60.0),
            status(65.0, "Updating"),
            status(90.0, "InService"),
        ];
        let under_way = [status(5.0, "Creating"), shift(10.0, "m-v2-a", 1.0)];
        for (happenings, ends, expected) in [
            (
                &within[..],
                Some(130.0),
                &[(60.0, "alarm m-5xx fires"), (60.0, "the rollback begins")][..],
            ),
            (
                &afterwards,
                Some(150.0),
                &[(60.0, "alarm m-5xx fires"), (65.0, "the rollback begins")],
            ),
            (&under_way, None, &[]),
        ] {
            let first = start() + SignedDuration::from_secs(10);
            let (from, to) = span(happenings, first).unwrap();
            assert_eq!((seconds(start(), from), to.map(|to| seconds(start(), to))), (5.0, ends));
            let marks = marks(happenings, first);
            let marks: Vec<(f64, &str)> = marks
                .iter()
                .map(|(time, what)| (seconds(start(), *time), what.as_str()))
                .collect();
            assert_eq!(marks, expected);
        }
        assert_eq!(span(&[], start()), None);
    }
}
