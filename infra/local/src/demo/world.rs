//! What every stop of the story needs: the cloud, the people's tools, and waiting until something can be seen.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::observe::{self, Action, Names, Package, Training};
use super::report::{Calls, Decision, Outcome, Release, calls_since, counted_since};
use super::story::{Checkout, Push, Story};
use super::timeline::{Console, Teller};
use super::traffic::{Browser, Traffic};
use crate::cloud::effect::Mail;
use crate::cloud::{Cloud, Happening};
use crate::front::Running;

/// How often something that is awaited is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long something is awaited at least, by the wall clock: scripts and functions take their time whatever the speed.
const WALL_MIN: Duration = Duration::from_secs(25);
/// How long something is awaited by the virtual clock, unless it is known to take longer.
pub(crate) const USUAL: SignedDuration = SignedDuration::from_mins(60);

/// The running cloud and the people around it.
pub(crate) struct World<'a> {
    pub(crate) running: &'a Running,
    pub(crate) console: &'a Console,
    pub(crate) names: Names,
    pub(crate) story: Story,
    pub(crate) checkout: Checkout,
    pub(crate) browser: Browser,
    pub(crate) traffic: Traffic,
    told: Mutex<(Teller, usize)>,
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
        let story = Story::load(running.workspace())?;
        let url = format!("{}/git/{}", running.base_url(), names.model);
        let checkout = Checkout::new(&url, &names.branch).await?;
        let browser = Browser::new();
        let traffic = Traffic::new(browser.clone(), running.base_url(), &names.model, &story.requests);
        Ok(Self {
            running,
            console,
            names,
            story,
            checkout,
            browser,
            traffic,
            told: Mutex::default(),
        })
    }

    pub(crate) fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.running.cloud()
    }

    /// Prints what has happened since it was last printed.
    pub(crate) fn tell(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (teller, from) = &mut *told;
        for happening in self.running.happenings(*from) {
            *from += 1;
            for line in teller.lines(&happening, |package| observe::version(&mut self.cloud(), package)) {
                self.console.line(&line, happening.time);
            }
        }
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
        let (began, start) = (Instant::now(), self.cloud().now());
        loop {
            let now = {
                let mut cloud = self.cloud();
                if let Some(seen) = look(&mut cloud) {
                    return Ok(seen);
                }
                cloud.now()
            };
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

    /// Waits until nothing is under way in the two pipelines, so that what follows is not counted with what was before.
    async fn settled(&self) {
        let (train, release) = (self.names.train(), self.names.release());
        let quiet = |cloud: &mut Cloud| {
            let busy = observe::runs(cloud, &train) || observe::runs(cloud, &release);
            (!busy).then_some(())
        };
        // What hangs here was already seen to hang by what was awaited before.
        let _ = self
            .until("both pipelines idle", SignedDuration::from_mins(20), quiet)
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
    package: Option<String>,
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
            self.release.traffic.shares = self.shares(version);
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

    /// How the traffic of a version shifted: virtual seconds since the beginning, and its share.
    pub(crate) fn shares(&self, version: u64) -> Vec<(f64, f64)> {
        let prefix = self.world.names.config_prefix(version);
        let mut shares = shares(&self.happenings(), &prefix, self.start);
        shares.dedup_by(|later, earlier| later.1.total_cmp(&earlier.1).is_eq());
        shares
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
            observe::endpoint(cloud, model).filter(|endpoint| endpoint.status == "InService" && !endpoint.pending)
        };
        self.world.until("the endpoint is in service", USUAL, look).await
    }

    /// The configuration that serves.
    pub(crate) fn serving_config(&self) -> String {
        let endpoint = observe::endpoint(&mut self.world.cloud(), &self.world.names.model);
        endpoint.unwrap_or_default().config
    }
}

/// How the traffic of the configurations with a prefix shifted, in virtual seconds since `start`.
fn shares(happenings: &[Happening], prefix: &str, start: Timestamp) -> Vec<(f64, f64)> {
    let shifts = happenings
        .iter()
        .filter(|happening| happening.what == "traffic-shifted");
    shifts
        .filter(|shift| {
            let config = shift.data.get("config").and_then(Value::as_str);
            config.is_some_and(|config| config.starts_with(prefix))
        })
        .filter_map(|shift| {
            let seconds = shift.time.duration_since(start).as_secs_f64();
            Some(((seconds * 10.0).round() / 10.0, shift.data.get("share")?.as_f64()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shares_are_those_of_the_version() {
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        let shift = |seconds: f64, config: &str, share: f64| Happening {
            time: start + SignedDuration::from_secs_f64(seconds),
            service: "sagemaker",
            subject: "m".to_owned(),
            what: "traffic-shifted",
            data: json!({"endpoint": "m", "config": config, "share": share}),
        };
        let mut other = shift(9.0, "m-v2-a", 0.5);
        other.what = "deployment-phase";
        let happenings = [
            shift(0.0, "m-v1-a", 1.0),
            shift(10.04, "m-v2-a", 0.25),
            other,
            shift(310.0, "m-v2-a", 1.0),
            shift(1.0, "m-v22-a", 1.0),
        ];
        for (prefix, expected) in [
            ("m-v1-", vec![(0.0, 1.0)]),
            ("m-v2-", vec![(10.0, 0.25), (310.0, 1.0)]),
            ("m-v3-", vec![]),
        ] {
            assert_eq!(shares(&happenings, prefix, start), expected, "{prefix}");
        }
    }
}
