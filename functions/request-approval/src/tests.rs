use serde_json::json;
use signalbox_aws::error::{AwsError, ErrorKind};
use signalbox_aws::macs::VerifyMac;
use signalbox_aws::memory::{Objects, OneKey, Packages, Published, ReleaseTrain, Topics};
use signalbox_aws::releases::WaitingApproval;
use signalbox_aws::storage::ObjectUri;
use signalbox_model::package::ModelPackage;
use signalbox_model::rollout::{Policy, Strategy};

use super::*;

const EVENT: &str = include_str!("../../../events/request-approval-asked.json");

const TOKEN: &str = "1a2b3c4d-573f-4ea7-a67e-9d2a4e0d5b57";
const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
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
    };
    Settings {
        policies,
        release_pipeline: "churn-release".into(),
        approvals_topic_arn: "arn:aws:sns:eu-west-1:123456789012:churn-approvals".into(),
        mode,
        page_url: PAGE.into(),
    }
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
    topics: Topics,
}

impl World {
    /// Version 7 waits, version 6 serves.
    fn new(mode: Mode) -> Self {
        let world = Self {
            settings: settings(mode),
            packages: Packages::default(),
            objects: Objects::default(),
            releases: ReleaseTrain::default(),
            topics: Topics::default(),
        };
        for (version, accuracy, approval) in [
            (6, 0.91, ApprovalStatus::Approved),
            (7, 0.93, ApprovalStatus::PendingManualApproval),
        ] {
            let uri = format!("s3://bucket/training/{version}/evaluation/evaluation.json");
            world
                .objects
                .put(&uri, json!({"metrics": {"accuracy": accuracy}}).to_string());
            let package = ModelPackage {
                arn: arn(version),
                approval,
                approval_description: None,
                metrics_uri: Some(uri),
                generated_by: None,
                metadata: BTreeMap::from([(key::GATE.to_owned(), "held: metrics.accuracy = 0.93".to_owned())]),
                containers: Vec::new(),
                created_at: None,
            };
            world.packages.put(package);
        }
        world.change(6, |package| {
            drop(package.metadata.insert(key::OUTCOME.into(), "deployed".into()))
        });
        world.releases.wait(WaitingApproval {
            release: release(),
            package: arn(7),
            token: TOKEN.into(),
        });
        world
    }

    fn change(&self, version: u32, change: impl FnOnce(&mut ModelPackage)) {
        let mut package = self.packages.get(&arn(version)).unwrap();
        change(&mut package);
        self.packages.put(package);
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        self.handle_with(&self.objects, event).await
    }

    async fn handle_with(&self, objects: &impl ReadObjects, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            registry: &self.packages,
            objects,
            releases: &self.releases,
            macs: &OneKey,
            approvals: &self.topics,
        };
        handle(&self.settings, &ports, event).await
    }
}

fn event() -> Value {
    serde_json::from_str(EVENT).unwrap()
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

#[tokio::test]
async fn each_approver_is_mailed_a_link_of_their_own() {
    let world = World::new(Mode::Manual);
    world.handle(event()).await.unwrap();
    let published = world.topics.published();
    assert_eq!(published.len(), APPROVERS.len());
    for (approver, published) in APPROVERS.iter().zip(&published) {
        assert_eq!(published.topic_arn, world.settings.approvals_topic_arn);
        assert_eq!(
            published.attributes,
            BTreeMap::from([("approver".to_owned(), (*approver).to_owned())])
        );
        assert_eq!(published.notice.subject(), "[signalbox] approve churn v7?");
        let link = link_in(published);
        assert_eq!(link.claims.approver, *approver);
        assert_eq!((&link.claims.package, &link.claims.release), (&arn(7), &release()));
        assert_eq!(link.claims.expires.to_string(), "2026-03-08T11:45:00Z");
        assert!(OneKey.verify(link.claims.message(), link.mac.clone()).await.unwrap());
        assert!(
            published.notice.body().contains("0.9300") && published.notice.body().contains("0.9100"),
            "both versions' numbers"
        );
    }
    assert_ne!(link_in(&published[0]).mac, link_in(&published[1]).mac);
    let text = format!("{published:?}");
    assert!(
        !text.contains(TOKEN),
        "the token answers the approval: it must not travel by mail"
    );
    assert_eq!(
        world.packages.get(&arn(7)).unwrap().approval,
        ApprovalStatus::PendingManualApproval
    );
    assert_eq!(world.releases.answer_of(&release()), None);
}

#[tokio::test]
async fn asked_twice_the_links_are_the_same() {
    let world = World::new(Mode::Manual);
    for _ in 0..2 {
        world.handle(event()).await.unwrap();
    }
    let published = world.topics.published();
    assert_eq!(published[..2], published[2..]);
}

#[tokio::test]
async fn what_needs_no_person_is_answered_at_once() {
    let by = |who: &str| {
        BTreeMap::from([
            (key::GATE.to_owned(), "held".to_owned()),
            (key::DECIDED_BY.to_owned(), who.to_owned()),
        ])
    };
    let gate = |verdict: &str| BTreeMap::from([(key::GATE.to_owned(), verdict.to_owned())]);
    let (pending, approved, rejected) = (
        ApprovalStatus::PendingManualApproval,
        ApprovalStatus::Approved,
        ApprovalStatus::Rejected,
    );
    for mode in [Mode::Manual, Mode::Automatic] {
        for (status, metadata, answer, words) in [
            (
                approved,
                by("ada@example.com"),
                true,
                "approved before by ada@example.com",
            ),
            (approved, gate("held"), true, "approved before by the model registry"),
            (
                rejected,
                by("bo@example.com"),
                false,
                "rejected before by bo@example.com",
            ),
            (rejected, gate("held"), false, "rejected before by the model registry"),
            // Whatever anybody has decided: what has not passed the gate is not released.
            (
                approved,
                gate("not held: metrics.accuracy = 0.9"),
                false,
                "has not passed the gate",
            ),
            (
                pending,
                gate("not held: metrics.accuracy = 0.9"),
                false,
                "has not passed the gate",
            ),
            (pending, BTreeMap::new(), false, "has not passed the gate"),
        ] {
            let world = World::new(mode);
            world.change(7, |package| (package.approval, package.metadata) = (status, metadata));
            for _ in 0..2 {
                world.handle(event()).await.unwrap();
            }
            let given = world.releases.answer_of(&release()).unwrap();
            assert_eq!(given.approved, answer, "{words}");
            assert!(given.summary.contains(words), "{}", given.summary);
            assert_eq!(world.topics.published(), []);
            assert_eq!(world.packages.get(&arn(7)).unwrap().approval, status);
        }
    }
}

#[tokio::test]
async fn the_automatic_policy_approves_in_the_registry_and_in_the_pipeline() {
    let world = World::new(Mode::Automatic);
    for _ in 0..2 {
        world.handle(event()).await.unwrap();
    }
    let package = world.packages.get(&arn(7)).unwrap();
    assert_eq!(package.approval, ApprovalStatus::Approved);
    assert_eq!(package.metadata[key::DECIDED_BY], "the automatic policy");
    assert_eq!(package.metadata[key::DECIDED_AT], "2026-03-01T11:45:02.118Z");
    let given = world.releases.answer_of(&release()).unwrap();
    assert!(
        given.approved && given.summary.contains("automatic policy"),
        "{given:?}"
    );
    assert_eq!(world.topics.published(), []);
}

#[tokio::test]
async fn what_nobody_can_judge_is_answered_with_the_reason() {
    for mode in [Mode::Manual, Mode::Automatic] {
        let world = World::new(mode);
        world.change(7, |package| {
            package.metrics_uri = Some("s3://bucket/absent.json".into())
        });
        world.handle(event()).await.unwrap();
        let given = world.releases.answer_of(&release()).unwrap();
        assert!(!given.approved);
        assert!(
            given.summary.contains("s3://bucket/absent.json can't be read"),
            "{}",
            given.summary
        );
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
    assert!(world.releases.answer_of(&release()).unwrap().approved);
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
        (json!({"source": "aws.s3"}), "not an SNS event"),
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
        assert!(world.topics.published().is_empty() && world.releases.answer_of(&release()).is_none());
    }
}

#[test]
fn expiries_are_read_with_and_without_seconds() {
    for (text, expected) in [
        ("2026-03-08T11:45Z", Some("2026-03-08T11:45:00Z")),
        ("2026-03-08T11:45:30Z", Some("2026-03-08T11:45:30Z")),
        ("2026-03-08", None),
        ("", None),
    ] {
        assert_eq!(
            expiry(text).ok().map(|time| time.to_string()).as_deref(),
            expected,
            "{text}"
        );
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
