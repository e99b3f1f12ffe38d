use serde_json::json;
use signalbox_aws::memory::{OneEndpoint, Packages, ReleaseTrain, Topics};
use signalbox_aws::releases::{Approval, WaitingApproval};
use signalbox_model::endpoint::{Endpoint, Pending, Status};

use super::*;

const APPROVED: &str = include_str!("../../../events/sync-approval-approved.json");
const REJECTED: &str = include_str!("../../../events/sync-approval-rejected.json");
const METADATA_ONLY: &str = include_str!("../../../events/sync-approval-metadata-only.json");
const ACTION_SUCCEEDED: &str = include_str!("../../../events/sync-approval-action-succeeded.json");
const ACTION_FAILED: &str = include_str!("../../../events/sync-approval-action-failed.json");

const TOKEN: &str = "1a2b3c4d-573f-4ea7-a67e-9d2a4e0d5b57";
const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
/// The configuration with which that release serves version 7.
const NEW: &str = "churn-v7-01234567";
/// The configuration with which a rollback of version 8 has brought it back.
const BACK: &str = "churn-v7-fedcba98";

fn arn(version: u32) -> ModelPackageArn {
    format!("arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/{version}")
        .parse()
        .unwrap()
}

fn release() -> ReleaseId {
    RELEASE.parse().unwrap()
}

struct World {
    packages: Packages,
    releases: ReleaseTrain,
    endpoint: OneEndpoint,
    topics: Topics,
}

impl World {
    /// Version 7 has passed the gate, and that is all.
    fn new() -> Self {
        let world = Self {
            packages: Packages::default(),
            releases: ReleaseTrain::default(),
            endpoint: OneEndpoint::default(),
            topics: Topics::default(),
        };
        world.packages.put(ModelPackage {
            arn: arn(7),
            approval: ApprovalStatus::PendingManualApproval,
            approval_description: None,
            metrics_uri: None,
            generated_by: None,
            metadata: BTreeMap::from([(key::GATE.to_owned(), "held: metrics.accuracy = 0.93".to_owned())]),
            containers: Vec::new(),
            created_at: None,
        });
        world
    }

    /// The same, and version 7 was released and serves.
    fn serving() -> Self {
        let world = Self::new();
        world.change(|package| {
            package.approval = ApprovalStatus::Approved;
            package.metadata.insert(key::OUTCOME.to_owned(), "deployed".to_owned());
            package.metadata.insert(key::RELEASE.to_owned(), RELEASE.to_owned());
        });
        world.serve(NEW);
        world
    }

    fn serve(&self, config: &str) {
        self.endpoint.set(Endpoint {
            status: Status::InService,
            config: config.to_owned(),
            failure_reason: None,
            pending: None,
            modified_at: None,
            desired_counts: Vec::new(),
        });
    }

    fn reject(&self, description: Option<&str>) {
        self.change(|package| {
            package.approval = ApprovalStatus::Rejected;
            package.approval_description = description.map(str::to_owned);
        });
    }

    fn change(&self, change: impl FnOnce(&mut ModelPackage)) {
        let mut package = self.package();
        change(&mut package);
        self.packages.put(package);
    }

    fn package(&self) -> ModelPackage {
        self.packages.get(&arn(7)).unwrap()
    }

    fn wait(&self, version: u32) {
        self.releases.wait(WaitingApproval {
            release: release(),
            package: arn(version),
            token: TOKEN.into(),
        });
    }

    async fn handle(&self, event: &str) -> Result<Value, anyhow::Error> {
        let settings = Settings {
            model: "churn".parse().unwrap(),
            release_pipeline: "churn-release".into(),
            rollback_pipeline: "churn-rollback".into(),
            notices_topic_arn: "arn:aws:sns:eu-west-1:123456789012:churn-notices".into(),
        };
        let ports = Ports {
            registry: &self.packages,
            releases: &self.releases,
            endpoints: &self.endpoint,
            notices: &self.topics,
        };
        handle(&settings, &ports, serde_json::from_str(event).unwrap()).await
    }

    async fn handle_twice(&self, event: &str) {
        for _ in 0..2 {
            self.handle(event).await.unwrap();
        }
    }

    fn notices(&self) -> Vec<String> {
        let published = self.topics.published();
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        published
            .iter()
            .map(|p| format!("{}: {}", p.notice.subject(), one_line(p.notice.body())))
            .collect()
    }
}

#[tokio::test]
async fn a_decision_in_the_registry_answers_the_pipeline_that_waits() {
    for (event, status, description, summary) in [
        (APPROVED, ApprovalStatus::Approved, Some("good enough"), "good enough"),
        (
            APPROVED,
            ApprovalStatus::Approved,
            None,
            "decided in the model registry",
        ),
        (
            REJECTED,
            ApprovalStatus::Rejected,
            Some(""),
            "decided in the model registry",
        ),
        (REJECTED, ApprovalStatus::Rejected, Some("too slow"), "too slow"),
        // Events come late and out of order: the registry as it is counts.
        (REJECTED, ApprovalStatus::Approved, Some("after all"), "after all"),
        (
            APPROVED,
            ApprovalStatus::Rejected,
            Some("not after all"),
            "not after all",
        ),
    ] {
        let world = World::new();
        world.wait(7);
        world.change(|package| {
            package.approval = status;
            package.approval_description = description.map(str::to_owned);
        });
        world.handle(event).await.unwrap();
        let approved = status == ApprovalStatus::Approved;
        assert_eq!(
            world.releases.answer_of(&release()),
            Some(Approval {
                approved,
                summary: summary.to_owned()
            })
        );
        assert_eq!(world.releases.started(), [], "its release is the one that waited");
        assert!(world.notices().is_empty());
    }
}

#[tokio::test]
async fn approved_with_none_waiting_starts_the_release_of_what_passed_the_gate() {
    let metadata = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    for (event, status, metadata, started) in [
        (
            APPROVED,
            ApprovalStatus::Approved,
            metadata(&[(key::GATE, "held")]),
            true,
        ),
        (
            APPROVED,
            ApprovalStatus::Approved,
            metadata(&[(key::GATE, "not held: metrics.accuracy = 0.9")]),
            false,
        ),
        (APPROVED, ApprovalStatus::Approved, metadata(&[]), false),
        (
            APPROVED,
            ApprovalStatus::Approved,
            metadata(&[(key::GATE, "held"), (key::OUTCOME, "deployed")]),
            false,
        ),
        (
            APPROVED,
            ApprovalStatus::Approved,
            metadata(&[(key::GATE, "held"), (key::OUTCOME, "superseded")]),
            false,
        ),
        (
            APPROVED,
            ApprovalStatus::Approved,
            metadata(&[
                (key::GATE, "not held"),
                (key::OUTCOME, "rolled-back"),
                (key::RELEASE, RELEASE),
            ]),
            false,
        ),
        (
            REJECTED,
            ApprovalStatus::Rejected,
            metadata(&[(key::GATE, "held")]),
            false,
        ),
        (
            APPROVED,
            ApprovalStatus::PendingManualApproval,
            metadata(&[(key::GATE, "held")]),
            false,
        ),
    ] {
        for other_waits in [false, true] {
            let world = World::new();
            world.change(|package| (package.approval, package.metadata) = (status, metadata.clone()));
            if other_waits {
                world.wait(8);
            }
            world.handle_twice(event).await;
            let expected = if started { vec![arn(7)] } else { Vec::new() };
            assert_eq!(world.releases.started(), expected, "{status:?} {metadata:?}");
            assert_eq!(
                world.releases.answer_of(&release()),
                None,
                "another version's approval is not answered"
            );
        }
    }
}

#[tokio::test]
async fn approved_after_it_was_rejected_rolled_back_or_has_expired_it_is_released_after_all() {
    for (outcome, times) in [
        ("expired", 1),
        ("rejected", 1),
        ("rolled-back", 1),
        ("failed", 0),
        ("gate-not-met", 0),
        ("superseded", 0),
        ("deployed", 0),
    ] {
        let world = World::new();
        // The release that ended had been started by the token of the version.
        world
            .releases
            .start("churn-release", &arn(7), None, "trained")
            .await
            .unwrap();
        let ends = |release: &str| {
            world.change(|package| {
                package.approval = ApprovalStatus::Approved;
                package.metadata.insert(key::OUTCOME.to_owned(), outcome.to_owned());
                package.metadata.insert(key::RELEASE.to_owned(), release.to_owned());
            });
        };
        ends(RELEASE);
        world.handle_twice(APPROVED).await;
        assert_eq!(world.releases.started().len(), 1 + times, "{outcome}");
        // The release after it ended so too: there is a token for each.
        ends("11111111-2222-3333-4444-555555555555");
        world.handle_twice(APPROVED).await;
        assert_eq!(world.releases.started().len(), 1 + 2 * times, "{outcome}");
        assert!(world.releases.rolled_back().is_empty());
    }
}

#[tokio::test]
async fn the_version_that_serves_is_taken_back_once_when_it_is_rejected() {
    for (description, reason) in [
        (Some("wrong prices"), "rejected in the model registry: wrong prices"),
        (Some(""), "rejected in the model registry: no reason given"),
        (None, "rejected in the model registry: no reason given"),
    ] {
        for (other_waits, config) in [(false, NEW), (true, NEW), (false, BACK), (true, BACK)] {
            let world = World::serving();
            world.serve(config);
            world.reject(description);
            if other_waits {
                world.wait(8);
            }
            // Events come late and out of order: the registry as it is counts.
            for event in [REJECTED, REJECTED, APPROVED] {
                world.handle(event).await.unwrap();
                assert_eq!(world.releases.rolled_back(), [(7, reason.to_owned())]);
            }
            assert_eq!(world.releases.answer_of(&release()), None, "another version's approval");
            assert!(world.releases.started().is_empty() && world.notices().is_empty());
            assert_eq!(
                world.package().outcome(),
                Some(Outcome::Deployed),
                "the rollback marks it"
            );
        }
    }
}

/// While the next version takes over, this one still serves.
#[tokio::test]
async fn the_version_that_serves_is_taken_back_whatever_is_under_way() {
    let world = World::serving();
    let mut endpoint = world.endpoint.get().unwrap();
    endpoint.status = Status::Updating;
    endpoint.pending = Some(Pending {
        config: "churn-v8-00000008".to_owned(),
        ..Pending::default()
    });
    world.endpoint.set(endpoint);
    world.reject(None);
    world.handle_twice(REJECTED).await;
    assert_eq!(
        world.releases.rolled_back().len(),
        1,
        "the rollback waits, and looks again"
    );
}

#[tokio::test]
async fn a_rejected_version_that_does_not_serve_changes_nothing() {
    type Change = fn(&World);
    let table: [(&str, Change); 10] = [
        ("another version serves", |world| world.serve("churn-v8-00000008")),
        ("another model's version", |world| world.serve("other-v7-01234567")),
        ("made by hand", |world| world.serve("by-hand")),
        ("it was not released", |world| {
            world.change(|package| package.metadata.clear())
        }),
        ("its release is not known", |world| {
            world.change(|package| drop(package.metadata.remove(key::RELEASE)));
        }),
        // The rollback itself rejects it.
        ("taken back", |world| {
            world.change(|package| drop(package.metadata.insert(key::OUTCOME.into(), "rolled-back".into())));
        }),
        ("being deployed", |world| {
            world.change(|package| drop(package.metadata.remove(key::OUTCOME)));
        }),
        ("being brought back", |world| {
            world.serve("churn-v8-00000008");
            let mut endpoint = world.endpoint.get().unwrap();
            endpoint.status = Status::Updating;
            endpoint.pending = Some(Pending {
                config: BACK.to_owned(),
                ..Pending::default()
            });
            world.endpoint.set(endpoint);
        }),
        ("metadata was written, no more", |_| {}),
        ("approved again meanwhile", |world| {
            world.change(|package| package.approval = ApprovalStatus::Approved);
        }),
    ];
    for (what, change) in table {
        let world = World::serving();
        world.reject(Some("wrong prices"));
        change(&world);
        let event = if what.starts_with("metadata") {
            METADATA_ONLY
        } else {
            REJECTED
        };
        world.handle_twice(event).await;
        assert!(world.releases.rolled_back().is_empty(), "{what}");
        assert!(
            world.releases.started().is_empty() && world.notices().is_empty(),
            "{what}"
        );
    }
    let world = World {
        endpoint: OneEndpoint::default(),
        ..World::serving()
    };
    world.reject(None);
    world.handle_twice(REJECTED).await;
    assert!(world.releases.rolled_back().is_empty(), "no endpoint");
}

#[tokio::test]
async fn metadata_that_is_written_is_no_decision() {
    let world = World::new();
    world.wait(7);
    world.change(|package| package.approval = ApprovalStatus::Approved);
    world.handle_twice(METADATA_ONLY).await;
    assert_eq!(world.releases.answer_of(&release()), None);
    // Older events do not say what was updated.
    let mut event: Value = serde_json::from_str(METADATA_ONLY).unwrap();
    event["detail"]
        .as_object_mut()
        .unwrap()
        .remove("UpdatedModelPackageFields");
    world.handle(&event.to_string()).await.unwrap();
    assert!(world.releases.answer_of(&release()).unwrap().approved);
}

#[tokio::test]
async fn an_approval_in_codepipeline_reaches_the_registry() {
    for (before, description) in [
        (
            ApprovalStatus::PendingManualApproval,
            Some("approved in CodePipeline: looks good"),
        ),
        // Decided by another door, which wrote its own words.
        (ApprovalStatus::Approved, None),
    ] {
        let world = World::new();
        world.wait(7);
        world.change(|package| package.approval = before);
        world
            .releases
            .answer("churn-release", TOKEN, true, "looks good")
            .await
            .unwrap();
        world.handle_twice(ACTION_SUCCEEDED).await;
        let package = world.package();
        assert_eq!(
            (package.approval, package.approval_description.as_deref()),
            (ApprovalStatus::Approved, description)
        );
        assert!(world.notices().is_empty() && package.outcome().is_none());
    }
}

#[tokio::test]
async fn a_rejection_and_an_expiry_are_told_once_and_marked() {
    let (pending, rejected) = (ApprovalStatus::PendingManualApproval, ApprovalStatus::Rejected);
    for (before, by, description, summary, outcome, words) in [
        // On the page: registry first.
        (
            rejected,
            Some("bo@example.com"),
            Some("rejected by bo@example.com: too slow"),
            "rejected by bo@example.com: too slow",
            Outcome::Rejected,
            &["churn v7 rejected", "By: bo@example.com", "Comment: too slow"][..],
        ),
        // In CodePipeline's console.
        (
            pending,
            None,
            None,
            "no budget",
            Outcome::Rejected,
            &["churn v7 rejected", "CodePipeline's console", "Comment: no budget"],
        ),
        // By nobody.
        (
            pending,
            None,
            None,
            "",
            Outcome::Expired,
            &["churn v7 expired", "Nobody decided on churn v7 in time", "12:20 UTC"],
        ),
    ] {
        let world = World::new();
        world.wait(7);
        world.change(|package| {
            package.approval = before;
            package.approval_description = description.map(str::to_owned);
            package
                .metadata
                .extend(by.map(|by| (key::DECIDED_BY.to_owned(), by.to_owned())));
        });
        if summary.is_empty() {
            world.releases.expire();
        } else {
            world
                .releases
                .answer("churn-release", TOKEN, false, summary)
                .await
                .unwrap();
        }
        world.handle_twice(ACTION_FAILED).await;
        let notices = world.notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        for word in words {
            assert!(notices[0].contains(word), "{word}: {}", notices[0]);
        }
        let package = world.package();
        assert_eq!(
            (package.approval, package.outcome()),
            (ApprovalStatus::Rejected, Some(outcome))
        );
        assert_eq!(package.metadata[key::RELEASE], RELEASE);
        assert!(!package.metadata[key::REASON].is_empty());
        // The registry's event that follows from it changes nothing.
        world.handle(REJECTED).await.unwrap();
        assert_eq!((world.package(), world.notices().len()), (package, 1));
    }
}

#[tokio::test]
async fn an_action_event_that_nothing_bears_out_is_an_error() {
    let world = World::new();
    for event in [ACTION_SUCCEEDED, ACTION_FAILED] {
        let error = world.handle(event).await.unwrap_err().to_string();
        assert!(
            error.contains(RELEASE) && error.contains("has no variable ModelPackageArn"),
            "{error}"
        );
    }
    world.wait(7);
    for (event, state) in [(ACTION_SUCCEEDED, "SUCCEEDED"), (ACTION_FAILED, "FAILED")] {
        let error = world.handle(event).await.unwrap_err().to_string();
        assert!(error.contains(state) && error.contains("not listed so"), "{error}");
    }
    assert!(world.notices().is_empty() && world.package().outcome().is_none());
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
