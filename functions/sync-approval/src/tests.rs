use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context as TaskContext, Waker};

use serde_json::json;
use signalbox_aws::memory::{OneEndpoint, Packages, ReleaseTrain, Tally, Topics};
use signalbox_aws::releases::Waiting;
use signalbox_model::decision::{Asked, Decided, TRAIN, vote, vote_key};
use signalbox_model::endpoint::{Endpoint, Pending, Status};
use signalbox_model::package::{key, metadata_value};
use signalbox_model::settle::Seen;

use super::*;

mod crossing;
mod pipeline;
mod registry;
mod serving;
mod sweep;

const APPROVED: &str = include_str!("../../../events/sync-approval-approved.json");
const REJECTED: &str = include_str!("../../../events/sync-approval-rejected.json");
const METADATA_ONLY: &str = include_str!("../../../events/sync-approval-metadata-only.json");
const ACTION_SUCCEEDED: &str = include_str!("../../../events/sync-approval-action-succeeded.json");
const ACTION_FAILED: &str = include_str!("../../../events/sync-approval-action-failed.json");
const ACTION_ABANDONED: &str = include_str!("../../../events/sync-approval-action-abandoned.json");
const SWEEP: &str = include_str!("../../../events/sync-approval-sweep.json");

const TOKEN: &str = "1a2b3c4d-573f-4ea7-a67e-9d2a4e0d5b57";
const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
/// A later release of the same version.
const LATER: &str = "11111111-2222-3333-4444-555555555555";
/// The configuration with which that release serves version 7.
const NEW: &str = "churn-v7-01234567";
/// The configuration with which a rollback of version 8 has brought it back.
const BACK: &str = "churn-v7-fedcba98";
/// Somebody in the registry, and somebody in CodePipeline's console.
const CY: &str = "arn:aws:iam::123456789012:user/cy";
const DEE: &str = "arn:aws:sts::123456789012:assumed-role/admin/dee";
/// When the approval ended: ten minutes before the sweep.
/// Since when the approval has waited, and what is measured of that.
const SINCE: &str = "2026-03-01T11:40:00Z";
const WAITED: [&str; 1] = ["ApprovalWait 600 s"];
const ENDED: &str = "2026-03-01T11:50:00Z";

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

/// What became of the approval: an answer in the console, if it was answered.
fn console(status: ActionStatus, summary: &str) -> Seen {
    Seen {
        since: Some(time(SINCE)),
        status,
        summary: summary.to_owned(),
        identity: (!summary.is_empty()).then(|| DEE.to_owned()),
        at: time(ENDED),
    }
}

/// An answer of one of the train's functions.
fn train(status: ActionStatus, summary: &str) -> Seen {
    let session = "arn:aws:sts::123456789012:assumed-role/stack-role/churn-decide-approval";
    Seen {
        since: Some(time(SINCE)),
        identity: Some(session.to_owned()),
        ..console(status, summary)
    }
}

/// A decision that was taken by a link.
fn by_link(decision: Decision) -> Decided {
    Decided {
        decision,
        by: "ada@example.com".to_owned(),
        at: Some(time(ENDED)),
        comment: "so be it".to_owned(),
    }
}

struct World {
    settings: Settings,
    packages: Packages,
    releases: ReleaseTrain,
    endpoint: OneEndpoint,
    topics: Topics,
    tally: Tally,
}

impl World {
    /// Version 7 has passed the gate, and that is all.
    fn new() -> Self {
        let world = Self {
            settings: Settings {
                model: "churn".parse().unwrap(),
                release_pipeline: "churn-release".into(),
                rollback_pipeline: "churn-rollback".into(),
                notices_topic_arn: "arn:aws:sns:eu-west-1:123456789012:churn-notices".into(),
                approvers: vec!["ada@example.com".into(), "bo@example.com".into()],
                approvals_needed: 1,
                supersede: true,
            },
            packages: Packages::default(),
            releases: ReleaseTrain::default(),
            endpoint: OneEndpoint::default(),
            topics: Topics::default(),
            tally: Tally::default(),
        };
        world.register(7);
        world
    }

    /// The same, and its approval waits, as the approvers know.
    fn waiting() -> Self {
        let world = Self::new();
        world.wait(7, RELEASE);
        world.ask(RELEASE);
        world
    }

    /// The same, and the approval has ended so.
    fn ended(seen: Seen) -> Self {
        let world = Self::waiting();
        world.releases.end(seen);
        world
    }

    /// A version that has passed the gate.
    fn register(&self, version: u32) {
        self.packages.put(ModelPackage {
            arn: arn(version),
            approval: ApprovalStatus::PendingManualApproval,
            approval_description: None,
            metrics_uri: None,
            generated_by: None,
            metadata: BTreeMap::from([(key::GATE.to_owned(), "held: metrics.accuracy = 0.93".to_owned())]),
            containers: Vec::new(),
            created_at: None,
            modified_at: Some(time("2026-03-01T11:44:00Z")),
            modified_by: None,
        });
    }

    /// A release of the version waits; an answer to it is given when the approval ends.
    fn wait(&self, version: u32, release: &str) {
        let waits = Waiting {
            release: release.parse().unwrap(),
            token: TOKEN.into(),
            since: Some(time(ENDED)),
        };
        self.releases.wait(waits, arn(version));
    }

    fn ask(&self, release: &str) {
        let asked = Asked::now(&release.parse().unwrap(), time("2026-03-08T11:45:00Z"), &"0".repeat(64));
        self.note(key::ASKED, &asked.to_text());
    }

    /// Somebody decides in the registry, so many seconds after the approval's end.
    fn decide(&self, approval: ApprovalStatus, words: Option<&str>, seconds: i64) {
        self.change(|package| {
            package.approval = approval;
            package.approval_description = words.map(str::to_owned).or(package.approval_description.take());
            package.modified_at = Some(time(ENDED) + SignedDuration::from_secs(seconds));
            package.modified_by = Some(CY.to_owned());
        });
    }

    /// The page writes a decision on the version.
    fn record(&self, decided: &Decided) {
        self.change(|package| {
            package.approval = match decided.decision {
                Decision::Approve => ApprovalStatus::Approved,
                Decision::Reject => ApprovalStatus::Rejected,
            };
            package.approval_description = Some(decided.description());
            package.metadata.extend(decided.metadata(&release(), decided.at));
        });
    }

    fn note(&self, key: &str, value: &str) {
        self.change(|package| drop(package.metadata.insert(key.to_owned(), value.to_owned())));
    }

    fn change(&self, change: impl FnOnce(&mut ModelPackage)) {
        let mut package = self.package();
        change(&mut package);
        self.packages.put(package);
    }

    fn package(&self) -> ModelPackage {
        self.packages.get(&arn(7)).unwrap()
    }

    fn ports(&self) -> Ports<'_, Packages, ReleaseTrain, OneEndpoint, Topics, Tally> {
        Ports {
            registry: &self.packages,
            releases: &self.releases,
            endpoints: &self.endpoint,
            notices: &self.topics,
            counts: &self.tally,
        }
    }

    async fn handle(&self, event: &str) -> Result<Value, anyhow::Error> {
        handle(&self.settings, &self.ports(), serde_json::from_str(event).unwrap()).await
    }

    async fn handle_twice(&self, event: &str) {
        for _ in 0..2 {
            self.handle(event).await.unwrap();
        }
    }

    /// Handles an event, until it has made so many calls: before the next the function dies. Says whether it came to its end.
    fn handle_and_die(&self, calls: usize, event: &str) -> bool {
        let ports = self.ports();
        let mut handling = pin!(handle(&self.settings, &ports, serde_json::from_str(event).unwrap()));
        let mut context = TaskContext::from_waker(Waker::noop());
        // Each call of a twin's lets others go first, once.
        (0..=calls).any(|_| handling.as_mut().poll(&mut context).is_ready())
    }

    fn notices(&self) -> Vec<String> {
        let published = self.topics.published();
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        published
            .iter()
            .map(|p| format!("{}: {}", p.notice.subject(), one_line(p.notice.body())))
            .collect()
    }

    fn subjects(&self) -> Vec<String> {
        let published = self.topics.published();
        let topic = &self.settings.notices_topic_arn;
        assert!(published.iter().all(|p| p.topic_arn == *topic));
        let subject = |subject: &str| subject.trim_start_matches("[signalbox] churn ").to_owned();
        published.iter().map(|p| subject(p.notice.subject())).collect()
    }

    fn answered(&self) -> Option<(bool, String)> {
        self.releases.answer_of(&release())
    }

    fn description(&self) -> String {
        self.package().approval_description.unwrap_or_default()
    }

    /// All that the function may have changed.
    fn state(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let (started, rolled_back) = (self.releases.started(), self.releases.rolled_back());
        (self.package(), self.answered(), started, rolled_back, self.subjects())
    }
}

#[track_caller]
fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[tokio::test]
async fn wrong_events_are_errors_that_say_what_is_wrong() {
    let registry = "SageMaker Model Package State Change";
    let action = "CodePipeline Action Execution State Change";
    for (event, words) in [
        (json!({"detail": {}}), &["field `source` is missing"][..]),
        (
            json!({"source": "aws.sagemaker", "detail-type": registry, "detail": {"ModelApprovalStatus": "Approved"}}),
            &["aws.sagemaker", registry, "detail.ModelPackageArn is missing"],
        ),
        (
            json!({"source": "aws.sagemaker", "detail-type": registry,
                "detail": {"ModelApprovalStatus": "Approved", "ModelPackageArn": "churn/7"}}),
            &["aws.sagemaker", registry],
        ),
        (
            json!({"source": "aws.codepipeline", "detail-type": action, "detail": {"state": "FAILED"}}),
            &["aws.codepipeline", action, "detail.execution-id is missing"],
        ),
        (
            json!({"source": "signalbox", "detail-type": "Sweep", "detail": {}}),
            &["the event has no `time`"],
        ),
        (
            json!({"source": "aws.codepipeline", "detail-type": "CodePipeline Stage Execution State Change", "detail": {}}),
            &["aws.codepipeline", "Stage Execution", "none that this function takes"],
        ),
    ] {
        let error = World::new().handle(&event.to_string()).await.unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}

#[tokio::test]
async fn a_version_that_is_not_there_is_an_error() {
    let world = World::new();
    let event = APPROVED.replace("model-package/churn/7", "model-package/churn/99");
    let error = world.handle(&event).await.unwrap_err().to_string();
    assert!(error.contains("sagemaker:DescribeModelPackage"), "{error}");
}
