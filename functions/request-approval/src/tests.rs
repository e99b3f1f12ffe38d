use std::pin::pin;
use std::task::{Context, Waker};

use serde_json::json;
use signalbox_aws::error::{AwsError, ErrorKind};
use signalbox_aws::macs::VerifyMac;
use signalbox_aws::memory::{
    Objects, OneEndpoint, OneKey, Packages, Published, ReleaseTrain, Tally, Topics, Trainings,
};
use signalbox_aws::releases::Waiting;
use signalbox_aws::storage::ObjectUri;
use signalbox_model::decision::{vote, vote_key};
use signalbox_model::endpoint::{Endpoint, Status as EndpointStatus};
use signalbox_model::lineage::{Lineage, Trigger};
use signalbox_model::package::ModelPackage;
use signalbox_model::rollout::{Policy, Strategy};
use signalbox_model::training::{Execution, Status};

use super::*;

const EVENT: &str = include_str!("../../../events/request-approval-asked.json");
const SWEEP: &str = include_str!("../../../events/request-approval-sweep.json");

const TOKEN: &str = "1a2b3c4d-573f-4ea7-a67e-9d2a4e0d5b57";
const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
const TRAINING: &str = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn/execution/p4jn9xou8a8s";
/// When the approval began to wait, a moment before its message was sent; it waits for seven days.
const SINCE: &str = "2026-03-01T11:45:01Z";
const PAGE: &str = "https://abc.lambda-url.eu-west-1.on.aws/";
const APPROVERS: [&str; 2] = ["ada@example.com", "bo@example.com"];

fn settings(mode: Mode) -> Settings {
    let rollout = Policy {
        strategy: Strategy::Canary,
        step_percent: 25,
        wait_seconds: 600,
        bake_seconds: 600,
        timeout_seconds: 3600,
        alarms: vec!["churn-5xx".into()],
        unguarded_serverless: false,
    };
    let policies = Policies {
        model: "churn".parse().unwrap(),
        accuracy_threshold: 0.85,
        rollout,
        instance_count: 4,
        approvers: APPROVERS.map(str::to_owned).to_vec(),
        approvals_needed: 1,
    };
    Settings {
        policies,
        release_pipeline: "churn-release".into(),
        approvals_topic_arn: "arn:aws:sns:eu-west-1:123456789012:churn-approvals".into(),
        notices_topic_arn: "arn:aws:sns:eu-west-1:123456789012:churn-notices".into(),
        mode,
        supersede: true,
        timeout: SignedDuration::from_mins(10_080),
        reminder: SignedDuration::from_mins(1440),
        page_url: PAGE.into(),
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn arn(version: u32) -> ModelPackageArn {
    format!("arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/{version}")
        .parse()
        .unwrap()
}

fn release() -> ReleaseId {
    RELEASE.parse().unwrap()
}

struct World {
    settings: Settings,
    packages: Packages,
    objects: Objects,
    releases: ReleaseTrain,
    endpoint: OneEndpoint,
    trainings: Trainings,
    topics: Topics,
    tally: Tally,
}

impl World {
    /// Version 7 waits, version 6 serves.
    fn new(mode: Mode) -> Self {
        let world = Self {
            settings: settings(mode),
            packages: Packages::default(),
            objects: Objects::default(),
            releases: ReleaseTrain::default(),
            endpoint: OneEndpoint::default(),
            trainings: Trainings::default(),
            topics: Topics::default(),
            tally: Tally::default(),
        };
        world.register(6, 0.91, ApprovalStatus::Approved);
        world.register(7, 0.93, ApprovalStatus::PendingManualApproval);
        world.note(6, key::OUTCOME, "deployed");
        world.serve(6);
        let mut lineage = Lineage::of(Trigger::Push);
        lineage.set_commit_words(Some("Ada <ada@example.com>"), Some("Weigh recent calls more"));
        let execution = Execution {
            arn: TRAINING.into(),
            status: Status::Succeeded,
            description: Some(lineage.to_description()),
            started_at: None,
            failure_reason: None,
        };
        world.trainings.put(execution, Vec::new());
        world.change(7, |package| package.generated_by = Some(TRAINING.into()));
        let waits = Waiting {
            release: release(),
            token: TOKEN.into(),
            since: Some(time(SINCE)),
        };
        world.releases.wait(waits, arn(7));
        world
    }

    /// That version serves.
    fn serve(&self, version: u32) {
        self.endpoint.set(Endpoint {
            status: EndpointStatus::InService,
            config: arn(version).endpoint_config_name(&release()),
            failure_reason: None,
            pending: None,
            modified_at: None,
            desired_counts: Vec::new(),
        });
    }

    /// A version that has passed its gate.
    fn register(&self, version: u32, accuracy: f64, approval: ApprovalStatus) {
        let uri = format!("s3://bucket/training/{version}/evaluation/evaluation.json");
        self.objects
            .put(&uri, json!({"metrics": {"accuracy": accuracy}}).to_string());
        self.packages.put(ModelPackage {
            arn: arn(version),
            approval,
            approval_description: None,
            metrics_uri: Some(uri),
            generated_by: None,
            metadata: BTreeMap::from([(key::GATE.to_owned(), "held: metrics.accuracy = 0.93".to_owned())]),
            containers: Vec::new(),
            created_at: None,
            modified_at: None,
            modified_by: None,
        });
    }

    fn package(&self) -> ModelPackage {
        self.packages.get(&arn(7)).unwrap()
    }

    fn change(&self, version: u32, change: impl FnOnce(&mut ModelPackage)) {
        let mut package = self.packages.get(&arn(version)).unwrap();
        change(&mut package);
        self.packages.put(package);
    }

    fn note(&self, version: u32, key: &str, value: &str) {
        self.change(version, |package| {
            package.metadata.insert(key.to_owned(), value.to_owned());
        });
    }

    /// One of the approvers approves by their link, where it takes more than one.
    fn vote(&self, approver: &str) {
        let vote = vote(&self.package().asked().unwrap(), time("2026-03-02T09:00:00Z"), "fine");
        self.note(7, &vote_key(approver), &vote);
    }

    fn ports<'a, O>(
        &'a self,
        objects: &'a O,
    ) -> Ports<'a, Packages, O, ReleaseTrain, Trainings, OneEndpoint, OneKey, Topics, Tally> {
        Ports {
            registry: &self.packages,
            objects,
            releases: &self.releases,
            trainings: &self.trainings,
            endpoints: &self.endpoint,
            macs: &OneKey,
            topics: &self.topics,
            counts: &self.tally,
        }
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        self.handle_with(&self.objects, event).await
    }

    async fn handle_with(&self, objects: &impl ReadObjects, event: Value) -> Result<Value, anyhow::Error> {
        handle(&self.settings, &self.ports(objects), event).await
    }

    async fn sweep(&self, time: &str) {
        self.handle(sweep(time)).await.unwrap();
    }

    /// Handles an event, until it has made so many calls: before the next the function dies. Says whether it came to its end.
    fn handle_and_die(&self, calls: usize, event: Value) -> bool {
        let ports = self.ports(&self.objects);
        let mut handling = pin!(handle(&self.settings, &ports, event));
        let mut context = Context::from_waker(Waker::noop());
        // Each call of a twin's lets others go first, once.
        (0..=calls).any(|_| handling.as_mut().poll(&mut context).is_ready())
    }

    /// To whom which mail went, in short.
    fn mails(&self) -> Vec<String> {
        let published = self.topics.published();
        let mail = |published: &Published| {
            let subject = published.notice.subject().trim_start_matches("[signalbox] ");
            match published.attributes.get("approver") {
                Some(approver) => format!("{approver}: {subject}"),
                None => subject.to_owned(),
            }
        };
        published.iter().map(mail).collect()
    }

    fn asked(&self) -> String {
        self.package().metadata.get(key::ASKED).cloned().unwrap_or_default()
    }

    fn is_untouched(&self) -> bool {
        self.topics.published().is_empty()
            && self.releases.answer_of(&release()).is_none()
            && self.asked().is_empty()
            && self.package().approval == ApprovalStatus::PendingManualApproval
    }
}

fn event() -> Value {
    serde_json::from_str(EVENT).unwrap()
}

fn sweep(time: &str) -> Value {
    let mut event: Value = serde_json::from_str(SWEEP).unwrap();
    event["time"] = time.into();
    event
}

/// The event with another approval message.
fn with_message(change: impl FnOnce(&mut Value)) -> Value {
    let mut event = event();
    let mut message: Value = serde_json::from_str(event["Records"][0]["Sns"]["Message"].as_str().unwrap()).unwrap();
    change(&mut message);
    event["Records"][0]["Sns"]["Message"] = message.to_string().into();
    event
}

fn link_in(published: &Published) -> SignedLink {
    let links: Vec<&str> = published
        .notice
        .body()
        .lines()
        .filter(|line| line.contains("://"))
        .collect();
    assert_eq!(links.len(), 1, "one link in a mail: {links:?}");
    SignedLink::parse(links[0].strip_prefix(PAGE).unwrap().strip_prefix('?').unwrap()).unwrap()
}

const FIRST: [&str; 2] = [
    "ada@example.com: approve churn v7?",
    "bo@example.com: approve churn v7?",
];
const CHANGED: [&str; 2] = [
    "ada@example.com: changed: approve churn v7?",
    "bo@example.com: changed: approve churn v7?",
];
const REMINDERS: [&str; 2] = [
    "ada@example.com: reminder: approve churn v7?",
    "bo@example.com: reminder: approve churn v7?",
];

#[tokio::test]
async fn each_approver_is_mailed_a_link_of_their_own() {
    let world = World::new(Mode::Manual);
    world.handle(event()).await.unwrap();
    let published = world.topics.published();
    assert_eq!(world.mails(), FIRST);
    for (approver, published) in APPROVERS.iter().zip(&published) {
        assert_eq!(published.topic_arn, world.settings.approvals_topic_arn);
        assert_eq!(
            published.attributes,
            BTreeMap::from([("approver".to_owned(), (*approver).to_owned())])
        );
        let link = link_in(published);
        assert_eq!(link.claims.approver, *approver);
        assert_eq!((&link.claims.package, &link.claims.release), (&arn(7), &release()));
        assert_eq!(link.claims.expires.to_string(), "2026-03-08T11:45:00Z");
        assert!(OneKey.verify(link.claims.message(), link.mac.clone()).await.unwrap());
        for words in ["0.9300", "0.9100", "Ada <ada@example.com>", "Weigh recent calls more"] {
            assert!(published.notice.body().contains(words), "{words}");
        }
    }
    assert_ne!(link_in(&published[0]).mac, link_in(&published[1]).mac);
    let text = format!("{published:?}");
    assert!(
        !text.contains(TOKEN),
        "the token answers the approval: it must not travel by mail"
    );
    assert_eq!(world.package().approval, ApprovalStatus::PendingManualApproval);
    assert_eq!(world.releases.answer_of(&release()), None);
    let digest = &link_in(&published[0]).claims.evidence;
    assert_eq!(
        world.package().asked(),
        Some(Asked::now(&release(), time("2026-03-08T11:45:00Z"), digest))
    );
}

#[tokio::test]
async fn whoever_was_asked_is_not_asked_again_by_the_same_message_or_by_a_sweep() {
    let world = World::new(Mode::Manual);
    for event in [event(), event(), sweep("2026-03-01T12:00:00Z"), event()] {
        world.handle(event).await.unwrap();
        assert_eq!(world.mails(), FIRST);
    }
}

#[tokio::test]
async fn a_request_that_was_lost_is_found_by_the_sweep() {
    let world = World::new(Mode::Manual);
    world.handle(serde_json::from_str(SWEEP).unwrap()).await.unwrap();
    assert_eq!(world.mails(), FIRST);
    let links: Vec<_> = world.topics.published().iter().map(link_in).collect();
    assert_eq!(
        links[0].claims.expires,
        time("2026-03-08T11:45:00Z"),
        "as the message would have told it"
    );
    // The message that was late after all.
    world.handle(event()).await.unwrap();
    assert_eq!(world.mails(), FIRST);
    world.sweep("2026-03-01T12:15:00Z").await;
    assert_eq!(world.mails(), FIRST);
}

#[tokio::test]
async fn where_nothing_waits_the_sweep_is_quiet() {
    let world = World::new(Mode::Manual);
    world.releases.expire(time("2026-03-08T11:45:01Z"));
    let before = world.package();
    world.sweep("2026-03-08T12:00:00Z").await;
    assert_eq!((world.package(), world.mails().len()), (before, 0));
    // Until CodePipeline says since when, nobody can be told until when.
    let world = World::new(Mode::Manual);
    let waits = Waiting {
        release: release(),
        token: TOKEN.into(),
        since: None,
    };
    world.releases.wait(waits, arn(7));
    world.sweep("2026-03-01T12:00:00Z").await;
    assert!(world.is_untouched());
}

#[tokio::test]
async fn every_sweep_says_how_long_the_release_has_not_moved() {
    let world = World::new(Mode::Manual);
    world.handle(event()).await.unwrap();
    world.sweep("2026-03-01T12:00:00Z").await;
    world.sweep("2026-03-01T12:15:00Z").await;
    let later = "2026-03-08T12:00:00Z";
    world.releases.expire(time("2026-03-08T11:45:01Z"));
    world.sweep(later).await;
    let idle = |now: &str| time(now).duration_since(time(SINCE)).as_secs();
    let expected = [idle("2026-03-01T12:00:00Z"), idle("2026-03-01T12:15:00Z"), 0];
    assert_eq!(
        world.tally.counted(),
        expected.map(|seconds| format!("ReleaseIdle {seconds} s"))
    );
}

/// As the README says it.
#[tokio::test]
async fn a_sweep_that_finds_nothing_to_do_makes_few_calls() {
    let world = World::new(Mode::Manual);
    world.handle(event()).await.unwrap();
    for (newer, calls) in [(false, 9), (true, 10)] {
        if newer {
            world.register(8, 0.94, ApprovalStatus::PendingManualApproval);
            world.note(8, key::GATE, "not held: 0.8");
        }
        assert!(!world.handle_and_die(calls - 1, sweep("2026-03-01T12:00:00Z")));
        assert!(world.handle_and_die(calls, sweep("2026-03-01T12:00:00Z")));
    }
    assert_eq!(world.mails(), FIRST);
    world.releases.expire(time("2026-03-08T11:45:01Z"));
    assert!(world.handle_and_die(1, sweep("2026-03-08T12:00:00Z")));
}

#[tokio::test]
async fn of_another_release_of_the_version_approvers_are_asked_anew() {
    let world = World::new(Mode::Manual);
    let before: ReleaseId = "11111111-2222-3333-4444-555555555555".parse().unwrap();
    let asked = Asked {
        reminded: true,
        ..Asked::now(&before, time("2026-02-08T11:45:00Z"), &"0".repeat(64))
    };
    world.note(7, key::ASKED, &asked.to_text());
    world.handle(event()).await.unwrap();
    assert_eq!(world.mails(), FIRST);
    assert_eq!(world.package().asked().unwrap().release, release());
}

#[tokio::test]
async fn approvers_are_asked_anew_when_what_they_were_shown_has_changed() {
    let mut world = World::new(Mode::Manual);
    world.settings.policies.approvals_needed = 2;
    world.handle(event()).await.unwrap();
    world.vote(APPROVERS[0]);
    // Version 6 was taken back: version 5 serves.
    world.register(5, 0.88, ApprovalStatus::Approved);
    world.note(5, key::OUTCOME, "deployed");
    world.note(6, key::OUTCOME, "rolled-back");
    world.serve(5);
    for _ in 0..2 {
        world.sweep("2026-03-02T12:00:00Z").await;
        let mails = world.mails();
        assert_eq!(
            (&mails[..2], &mails[2..]),
            (&FIRST.map(str::to_owned)[..], &CHANGED.map(str::to_owned)[..])
        );
    }
    let published = world.topics.published();
    let (before, after) = (link_in(&published[0]), link_in(&published[2]));
    assert_ne!(before.claims.evidence, after.claims.evidence);
    assert_eq!(before.claims.expires, after.claims.expires);
    assert_eq!(
        (&before.claims.release, &before.claims.token_digest),
        (&after.claims.release, &after.claims.token_digest)
    );
    let asked = world.package().asked().unwrap();
    assert!(asked.saw(&after.claims.evidence) && !asked.saw(&before.claims.evidence));
    // Who had approved has approved what is no longer so.
    assert!(!published[2].notice.body().contains("Approved so far"));
    assert!(
        world
            .package()
            .votes(&release(), &world.settings.policies.approvers)
            .is_empty()
    );
}

#[tokio::test]
async fn another_policy_is_other_evidence() {
    type Change = fn(&mut Settings);
    let changes: [Change; 4] = [
        |settings| settings.policies.approvals_needed = 2,
        |settings| settings.policies.accuracy_threshold = 0.9,
        |settings| settings.policies.approvers.push("cy@example.com".into()),
        |settings| settings.policies.rollout.step_percent = 50,
    ];
    for change in changes {
        let mut world = World::new(Mode::Manual);
        world.handle(event()).await.unwrap();
        change(&mut world.settings);
        for _ in 0..2 {
            world.sweep("2026-03-02T12:00:00Z").await;
            let asked = world.settings.policies.approvers.len();
            assert_eq!(world.mails().len(), 2 + asked);
            assert!(world.mails()[2..].iter().all(|mail| mail.contains("changed: ")));
        }
    }
}

#[tokio::test]
async fn approvers_are_reminded_once_a_while_before_the_end() {
    for (reminder_minutes, timeout_minutes, quiet, due) in [
        // The template's: a day before the end of a week.
        (1440, 10_080, "2026-03-07T11:44:59Z", "2026-03-07T11:45:00Z"),
        // Not in the first half of the wait.
        (1440, 120, "2026-03-01T12:45:00Z", "2026-03-01T12:45:01Z"),
        (30, 120, "2026-03-01T13:14:59Z", "2026-03-01T13:15:00Z"),
    ] {
        let mut world = World::new(Mode::Manual);
        world.settings.reminder = SignedDuration::from_mins(reminder_minutes);
        world.settings.timeout = SignedDuration::from_mins(timeout_minutes);
        for time in ["2026-03-01T12:00:00Z", quiet] {
            world.sweep(time).await;
            assert_eq!(world.mails(), FIRST, "{time}");
        }
        for _ in 0..2 {
            world.sweep(due).await;
            let mails = world.mails();
            assert_eq!(mails[2..], REMINDERS, "{due}");
        }
        let published = world.topics.published();
        assert_eq!(link_in(&published[0]), link_in(&published[2]), "its link still works");
        assert!(world.asked().ends_with(" reminded"), "{}", world.asked());
    }
}

#[tokio::test]
async fn nobody_is_reminded_of_what_is_over_or_where_the_template_wants_none() {
    let mut world = World::new(Mode::Manual);
    world.handle(event()).await.unwrap();
    // CodePipeline ends it by its own clock.
    for time in ["2026-03-08T11:45:00Z", "2026-03-08T12:00:00Z"] {
        world.sweep(time).await;
        assert_eq!(world.mails(), FIRST, "{time}");
    }
    world.settings.reminder = SignedDuration::ZERO;
    world.sweep("2026-03-08T11:30:00Z").await;
    assert_eq!(world.mails(), FIRST);
}

#[tokio::test]
async fn whoever_has_voted_is_not_reminded_and_the_others_are_told_of_it() {
    let mut world = World::new(Mode::Manual);
    world.settings.policies.approvals_needed = 2;
    world.handle(event()).await.unwrap();
    world.vote(APPROVERS[0]);
    for _ in 0..2 {
        world.sweep("2026-03-08T00:00:00Z").await;
        assert_eq!(world.mails()[2..], REMINDERS[1..]);
    }
    let published = world.topics.published();
    let body = published[2].notice.body();
    for words in ["Approved so far: ada@example.com, 1 of 2", "ada@example.com: fine"] {
        assert!(body.contains(words), "{words}: {body}");
    }
    let votes = world.package().votes(&release(), &world.settings.policies.approvers);
    assert_eq!(votes.len(), 1, "a reminder leaves the votes");
}

#[tokio::test]
async fn who_is_asked_that_late_needs_no_reminder() {
    // The requests and all the sweeps before were lost.
    let world = World::new(Mode::Manual);
    for time in ["2026-03-08T00:00:00Z", "2026-03-08T00:15:00Z"] {
        world.sweep(time).await;
        assert_eq!(world.mails(), FIRST, "{time}");
    }
    // What they were shown changes in the end.
    let world = World::new(Mode::Manual);
    world.handle(event()).await.unwrap();
    world.note(6, key::OUTCOME, "rolled-back");
    world.change(6, |package| package.approval = ApprovalStatus::Rejected);
    for time in ["2026-03-08T00:00:00Z", "2026-03-08T00:15:00Z"] {
        world.sweep(time).await;
        assert_eq!(world.mails()[2..], CHANGED, "{time}");
    }
}

#[tokio::test]
async fn a_newer_candidate_takes_the_place_of_an_older_one() {
    type Change = fn(&World);
    let superseded = "superseded by v8";
    let table: [(&str, Change, Option<&str>); 9] = [
        ("waits behind it", |_| {}, Some(superseded)),
        (
            "was approved in the registry",
            |world| world.change(8, |package| package.approval = ApprovalStatus::Approved),
            Some(superseded),
        ),
        (
            "there is one more, which was rejected",
            |world| world.register(9, 0.94, ApprovalStatus::Rejected),
            Some(superseded),
        ),
        (
            "there is one more",
            |world| world.register(9, 0.94, ApprovalStatus::PendingManualApproval),
            Some("superseded by v9"),
        ),
        (
            "was rejected",
            |world| world.change(8, |package| package.approval = ApprovalStatus::Rejected),
            None,
        ),
        (
            "has not passed its gate",
            |world| world.note(8, key::GATE, "not held: 0.8"),
            None,
        ),
        (
            "is not judged yet",
            |world| world.change(8, |package| package.metadata.clear()),
            None,
        ),
        (
            "was taken back",
            |world| world.note(8, key::OUTCOME, "rolled-back"),
            None,
        ),
        (
            "is of another model",
            |world| {
                let mut package = world.packages.get(&arn(8)).unwrap();
                package.metadata.clear();
                world.packages.put(package.clone());
                package.arn = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/other/8"
                    .parse()
                    .unwrap();
                world.packages.put(package);
            },
            None,
        ),
    ];
    for (what, change, summary) in table {
        for event in [event(), sweep("2026-03-01T12:00:00Z")] {
            for supersede in [true, false] {
                let mut world = World::new(Mode::Manual);
                world.settings.supersede = supersede;
                world.register(8, 0.94, ApprovalStatus::PendingManualApproval);
                change(&world);
                world.handle(event.clone()).await.unwrap();
                let summary = summary.filter(|_| supersede);
                let answer = summary.map(|summary| (false, summary.to_owned()));
                assert_eq!(world.releases.answer_of(&release()), answer, "{what}");
                assert_eq!(world.mails().len(), if summary.is_some() { 0 } else { 2 }, "{what}");
                assert_eq!(world.package().approval, ApprovalStatus::PendingManualApproval);
            }
        }
    }
}

#[tokio::test]
async fn what_was_decided_before_is_answered_in_the_words_of_whoever_decided() {
    let by = |who: &str| Decided {
        decision: Decision::Approve,
        by: who.to_owned(),
        at: Some(time("2026-03-01T11:44:00Z")),
        comment: String::new(),
    };
    let bob = Some("arn:aws:iam::123456789012:user/bob");
    let (approved, rejected) = (ApprovalStatus::Approved, ApprovalStatus::Rejected);
    for (status, decided, description, modified_by, answer) in [
        (
            approved,
            Some(by("ada@example.com")),
            Some("approved by ada@example.com: fine"),
            None,
            (true, "approved by ada@example.com: fine"),
        ),
        (
            approved,
            None,
            Some("fine"),
            bob,
            (true, "approved by bob in the model registry: fine"),
        ),
        (
            rejected,
            None,
            None,
            bob,
            (false, "rejected by bob in the model registry"),
        ),
        (
            rejected,
            Some(by("ada@example.com")),
            Some("approved by ada@example.com: fine"),
            None,
            (false, "rejected by somebody in the model registry"),
        ),
    ] {
        for mode in [Mode::Manual, Mode::Automatic] {
            for event in [event(), sweep("2026-03-01T12:00:00Z")] {
                let world = World::new(mode);
                // Neither a newer candidate nor its numbers matter any more.
                world.register(8, 0.94, ApprovalStatus::PendingManualApproval);
                world.change(7, |package| {
                    package.approval = status;
                    package.approval_description = description.map(str::to_owned);
                    package.modified_by = modified_by.map(str::to_owned);
                    package.metrics_uri = None;
                    let decided = decided.as_ref().map(|decided| decided.metadata(&release(), None));
                    package.metadata.extend(decided.unwrap_or_default());
                });
                let before = world.package();
                for _ in 0..2 {
                    world.handle(event.clone()).await.unwrap();
                }
                let (approved, summary) = answer;
                assert_eq!(
                    world.releases.answer_of(&release()),
                    Some((approved, summary.to_owned()))
                );
                assert_eq!((world.topics.published(), world.package()), (vec![], before));
            }
        }
    }
}

/// Whatever anybody has decided.
#[tokio::test]
async fn what_has_not_passed_the_gate_is_not_released() {
    for mode in [Mode::Manual, Mode::Automatic] {
        for status in [
            ApprovalStatus::Approved,
            ApprovalStatus::Rejected,
            ApprovalStatus::PendingManualApproval,
        ] {
            let world = World::new(mode);
            world.change(7, |package| {
                package.approval = status;
                let gate = "not held: metrics.accuracy = 0.9".to_owned();
                package.metadata.insert(key::GATE.to_owned(), gate);
            });
            for _ in 0..2 {
                world.handle(event()).await.unwrap();
            }
            let (approved, summary) = world.releases.answer_of(&release()).unwrap();
            assert!(!approved && summary.contains("has not passed the gate"), "{summary}");
            assert_eq!(world.topics.published(), []);
            assert_eq!(world.package().approval, status);
        }
    }
}

/// A read may show the version as it was before its verdict was written; a good one was rejected for that.
#[tokio::test]
async fn nothing_is_said_of_a_version_that_shows_no_verdict() {
    for mode in [Mode::Manual, Mode::Automatic] {
        let world = World::new(mode);
        let gate = world.package().metadata[key::GATE].clone();
        world.change(7, |package| drop(package.metadata.remove(key::GATE)));
        let before = world.package();
        world.handle(event()).await.unwrap();
        assert_eq!(world.releases.answer_of(&release()), None);
        assert_eq!((world.topics.published(), world.package()), (vec![], before));
        world.change(7, |package| {
            drop(package.metadata.insert(key::GATE.to_owned(), gate.clone()))
        });
        world.handle(event()).await.unwrap();
        assert!(!world.topics.published().is_empty());
    }
}

#[tokio::test]
async fn the_automatic_policy_tells_and_approves_in_the_pipeline_and_in_the_registry() {
    for (event, at) in [
        (event(), "2026-03-01T11:45:02.118Z"),
        (sweep("2026-03-01T12:00:00Z"), "2026-03-01T12:00:00Z"),
    ] {
        let world = World::new(Mode::Automatic);
        for _ in 0..2 {
            world.handle(event.clone()).await.unwrap();
        }
        let words = "approved by the automatic policy: it has passed the gate";
        let package = world.package();
        assert_eq!(package.approval, ApprovalStatus::Approved);
        assert_eq!(package.approval_description.as_deref(), Some(words));
        assert_eq!(package.metadata[key::DECIDED_BY], "the automatic policy");
        assert_eq!(package.metadata[key::DECIDED_AT], at);
        assert_eq!(package.decision_of(&release()), Some(Decision::Approve));
        assert_eq!(package.asked(), None);
        assert_eq!(world.releases.answer_of(&release()), Some((true, words.to_owned())));
        let published = world.topics.published();
        assert_eq!(world.mails(), ["churn v7 released automatically"]);
        assert_eq!(published[0].topic_arn, world.settings.notices_topic_arn);
        for words in ["0.9300", "0.9100", "canary"] {
            assert!(published[0].notice.body().contains(words), "{words}");
        }
    }
}

#[tokio::test]
async fn the_automatic_policy_overrules_nobody() {
    // Somebody was faster in CodePipeline's console: that is for sync-approval to settle.
    let world = World::new(Mode::Automatic);
    world
        .releases
        .answer("churn-release", TOKEN, false, "no budget")
        .await
        .unwrap();
    let before = world.package();
    world.handle(event()).await.unwrap();
    assert_eq!(world.package(), before);
    assert_eq!(world.releases.answer_of(&release()), Some((false, "no budget".into())));
}

/// Whatever the function was about when it died, the next try comes to the same end.
#[tokio::test]
async fn it_can_die_before_any_call() {
    for mode in [Mode::Manual, Mode::Automatic] {
        for again in [event(), sweep("2026-03-01T12:00:00Z")] {
            let mut calls = 0;
            loop {
                let world = World::new(mode);
                let over = world.handle_and_die(calls, event());
                world.handle(again.clone()).await.unwrap();
                let package = world.package();
                let published = world.topics.published();
                match mode {
                    Mode::Manual => {
                        assert!(package.asked().is_some(), "{calls}");
                        let links: Vec<_> = published.iter().map(link_in).collect();
                        for approver in APPROVERS {
                            let mut own = links.iter().filter(|link| link.claims.approver == approver);
                            let first = own.next().unwrap();
                            // The time is CodePipeline's to the minute in one event, and to the second in the other.
                            let rest: Vec<_> = own.filter(|link| link.claims.expires == first.claims.expires).collect();
                            assert!(rest.len() <= 1 && rest.iter().all(|link| *link == first), "{calls}");
                        }
                        assert_eq!(world.releases.answer_of(&release()), None);
                    }
                    Mode::Automatic => {
                        assert!((1..=2).contains(&published.len()), "{calls}");
                        let words = "approved by the automatic policy: it has passed the gate".to_owned();
                        assert_eq!(world.releases.answer_of(&release()), Some((true, words)));
                    }
                }
                if over {
                    break;
                }
                calls += 1;
            }
            assert!(calls > 8, "{calls}");
        }
    }
}

#[tokio::test]
async fn what_nobody_can_judge_is_answered_with_the_reason() {
    for mode in [Mode::Manual, Mode::Automatic] {
        let world = World::new(mode);
        world.change(7, |package| {
            package.metrics_uri = Some("s3://bucket/absent.json".into())
        });
        world.handle(event()).await.unwrap();
        let (approved, summary) = world.releases.answer_of(&release()).unwrap();
        assert!(!approved);
        assert!(summary.contains("s3://bucket/absent.json can't be read"), "{summary}");
        assert_eq!(world.topics.published(), []);
    }
}

/// S3 on a bad day.
struct Throttled;

impl ReadObjects for Throttled {
    async fn read(&self, _object: &ObjectUri, _bytes_max: usize) -> Result<Vec<u8>, AwsError> {
        Err(AwsError::new(
            "s3:GetObject",
            ErrorKind::Transient,
            "SlowDown",
            "Please reduce your request rate.",
        ))
    }
}

#[tokio::test]
async fn where_aws_fails_nothing_is_answered_and_lambda_tries_again() {
    let world = World::new(Mode::Automatic);
    let error = world.handle_with(&Throttled, event()).await.unwrap_err();
    assert!(!format!("{error:#}").contains(TOKEN));
    assert_eq!(world.releases.answer_of(&release()), None);
    world.handle(event()).await.unwrap();
    assert!(world.releases.answer_of(&release()).unwrap().0);
}

#[tokio::test]
async fn wrong_events_are_errors_that_say_what_is_wrong_and_never_the_token() {
    let custom = |text: &str| {
        let text = text.to_owned();
        with_message(|message| message["approval"]["customData"] = text.into())
    };
    let raw = |message: String| {
        let mut event = event();
        event["Records"][0]["Sns"]["Message"] = message.into();
        event
    };
    let absent = format!("{{\"modelPackage\": \"{}\", \"release\": \"{RELEASE}\"}}", arn(99));
    for (event, words) in [
        (json!({"Records": 7}), "not an SNS event"),
        (json!({"source": "aws.s3"}), "field `detail-type` is missing"),
        (
            json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {}}),
            "none that this function takes",
        ),
        (raw("Hello".into()), "not a CodePipeline approval"),
        (
            raw(format!("{{\"approval\": {{\"token\": \"{TOKEN}\"}}}}")),
            "not a CodePipeline approval",
        ),
        (
            raw(format!("{{\"approval\": \"{TOKEN}\"}}")),
            "not a CodePipeline approval",
        ),
        (
            with_message(|m| m["approval"]["pipelineName"] = "other".into()),
            "of the pipeline `other`, not `churn-release`",
        ),
        (
            with_message(|m| m["approval"]["customData"] = Value::Null),
            "has no customData",
        ),
        (custom("please"), "the approval's customData"),
        (custom("{}"), "missing field `modelPackage`"),
        (
            custom(&format!("{{\"modelPackage\": \"{}\"}}", arn(7))),
            "missing field `release`",
        ),
        (custom(&absent), "Could not find model package"),
        (
            with_message(|m| m["approval"]["expires"] = "tomorrow".into()),
            "the approval's expiry `tomorrow`",
        ),
    ] {
        let world = World::new(Mode::Manual);
        let error = format!("{:#}", world.handle(event).await.unwrap_err());
        assert!(error.contains(words), "{words}: {error}");
        assert!(!error.contains(TOKEN), "{error}");
        assert!(world.is_untouched(), "{words}");
    }
}

#[test]
fn modes_are_read() {
    assert_eq!(
        ("manual".parse(), "automatic".parse()),
        (Ok(Mode::Manual), Ok(Mode::Automatic))
    );
    assert!("maybe".parse::<Mode>().is_err());
}
