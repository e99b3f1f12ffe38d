//! What the registry says of the approval, before anything is begun and after.

use signalbox_model::decision::{Decided, Decision};

use super::*;

const OTHER: &str = "11111111-2222-3333-4444-555555555555";
const CY: &str = "arn:aws:iam::123456789012:user/cy";

impl World {
    /// What is marked of how a release was decided.
    fn mark(&self, mark: Option<&str>) {
        self.change(7, |package| {
            package.metadata.remove(key::DECISION);
            let mark = mark.map(|mark| (key::DECISION.to_owned(), mark.to_owned()));
            package.metadata.extend(mark);
        });
    }

    /// Somebody decides in the registry.
    fn decide(&self, approval: ApprovalStatus, words: &str) {
        self.change(7, |package| {
            package.approval = approval;
            package.approval_description = Some(words.to_owned());
            package.modified_at = Some(time("2026-03-01T12:25:00Z"));
            package.modified_by = Some(CY.to_owned());
        });
    }
}

#[tokio::test]
async fn nothing_is_begun_before_registry_and_pipeline_agree() {
    for world in [World::new, World::serving] {
        for mark in [
            None,
            Some("11111111: approved 2026-03-01T12:20:44Z"),
            Some("11111111: rejected"),
            Some("01234567"),
        ] {
            let world = world();
            world.mark(mark);
            let mut event = JOB.to_owned();
            for _ in 0..3 {
                let (token, summary) = going(world.handle(&event).await);
                assert!(!asked(&token));
                contains(&summary, &["waiting until the model registry knows of the approval"]);
                assert!(world.is_untouched() && world.notices().is_empty(), "{mark:?}");
                event = again(JOB, &token);
            }
            // However the registry is: a rejection may be the second of two decisions.
            world.change(7, |package| package.approval = ApprovalStatus::Rejected);
            going(world.handle(&event).await);
            assert!(world.is_untouched() && world.notices().is_empty(), "{mark:?}");
            world.change(7, |package| package.approval = ApprovalStatus::Approved);
            world.mark(Some("01234567: approved 2026-03-01T12:20:44Z"));
            assert!(asked(&going(world.handle(&event).await).0));
        }
    }
}

#[tokio::test]
async fn what_was_rejected_since_its_approval_is_not_deployed_and_told_once() {
    for (words, description, comment) in [
        ("too slow", "rejected by cy in the model registry: too slow", "too slow"),
        // Nobody has given other words.
        (
            "approved by ada@example.com: fine",
            "rejected by cy in the model registry",
            "none",
        ),
    ] {
        let world = World::serving();
        world.decide(ApprovalStatus::Rejected, words);
        for _ in 0..3 {
            let failure = failure(world.handle(JOB).await);
            assert_eq!(failure.kind, FailureType::ConfigurationError);
            assert_eq!(failure.message, format!("churn-v7 is not deployed: {description}"));
            assert_eq!(world.subjects(), ["v7 rejected"]);
            // What was written on the version since is the train's.
            world.change(7, |package| {
                let session = "arn:aws:sts::123456789012:assumed-role/stack-role/churn-update-endpoint";
                package.modified_by = Some(session.to_owned());
            });
        }
        contains(
            &world.notices()[0],
            &[
                "By: cy in the model registry",
                "12:25 UTC",
                &format!("Comment: {comment}"),
            ],
        );
        assert!(world.is_untouched());
        let package = world.package(7);
        let release = RELEASE.parse().unwrap();
        assert_eq!(
            (package.approval, package.outcome_of(&release)),
            (ApprovalStatus::Rejected, Some(Outcome::Rejected))
        );
        assert_eq!(package.decision_of(&release), Some(Decision::Reject));
        assert_eq!(package.metadata[key::REASON], description);
        assert_eq!(package.metadata[key::DECIDED_BY], "cy in the model registry");
        assert_eq!(package.metadata[key::DECIDED_AT], "2026-03-01T12:25:00Z");
        assert_eq!(package.approval_description.as_deref(), Some(description));
    }
}

/// The registry had rejected it before the pipeline was approved: sync-approval has told that, and marked it.
#[tokio::test]
async fn what_was_rejected_first_is_not_deployed_whatever_the_pipeline_says() {
    let world = World::serving();
    let rejected = Decided {
        decision: Decision::Reject,
        by: "cy in the model registry".into(),
        at: Some(time("2026-03-01T12:20:00Z")),
        comment: "too slow".into(),
    };
    world.decide(ApprovalStatus::Rejected, &rejected.description());
    world.change(7, |package| {
        let marks = rejected.metadata(&RELEASE.parse().unwrap(), rejected.at);
        package.metadata.extend(marks);
        for (key, value) in [
            (key::RELEASE, RELEASE),
            (key::OUTCOME, "rejected"),
            (key::REASON, &rejected.description()),
        ] {
            package.metadata.insert(key.to_owned(), value.to_owned());
        }
    });
    let message = "churn-v7 is not deployed: rejected by cy in the model registry: too slow";
    for _ in 0..2 {
        assert_eq!(failure(world.handle(JOB).await).message, message);
    }
    // Approved again, it has another release.
    world.decide(ApprovalStatus::Approved, "after all");
    assert_eq!(failure(world.handle(JOB).await).message, message);
    assert!(world.is_untouched() && world.notices().is_empty());
    assert_eq!(world.package(7).approval, ApprovalStatus::Approved);
}

#[tokio::test]
async fn only_what_was_approved_and_has_passed_the_gate_is_deployed() {
    type Change = fn(&mut ModelPackage);
    let table: [(Change, &str); 5] = [
        (
            |package| package.approval = ApprovalStatus::PendingManualApproval,
            "churn-v7 is PendingManualApproval",
        ),
        (
            |package| drop(package.metadata.insert(key::GATE.into(), "not held".into())),
            "churn-v7 has not passed the gate",
        ),
        (
            |package| drop(package.metadata.remove(key::GATE)),
            "churn-v7 has not passed the gate",
        ),
        (|package| package.containers.clear(), "churn-v7 has 0 containers"),
        (
            |package| package.containers.push(package.containers[0].clone()),
            "churn-v7 has 2 containers",
        ),
    ];
    for (change, words) in table {
        for world in [World::new(), World::serving()] {
            world.change(7, change);
            let before = world.endpoint.get();
            for _ in 0..2 {
                let failure = failure(world.handle(JOB).await);
                assert_eq!(failure.kind, FailureType::ConfigurationError, "{words}");
                contains(&failure.message, &[words]);
            }
            assert!(world.is_untouched() && world.endpoint.get() == before);
            assert_eq!(world.subjects(), ["v7 release failed"]);
            contains(&world.notices()[0], &[words]);
        }
    }
}

#[tokio::test]
async fn the_mails_say_who_has_approved() {
    for by in ["ada@example.com", "ada@example.com and bo@example.com"] {
        let world = World::serving();
        world.change(7, |package| {
            drop(package.metadata.insert(key::DECIDED_BY.into(), by.into()));
        });
        going(world.handle(JOB).await);
        world.serves();
        done(world.handle(CONTINUATION).await);
        let notices = world.notices();
        assert_eq!(world.subjects(), ["v7 begins to take over", "v7 deployed"]);
        for notice in &notices {
            contains(notice, &[&format!("Approved by: {by}")]);
        }
        let tags = world.config(NEW).tags;
        assert!(tags.contains(&(tag::APPROVER.into(), by.into())));
    }
}

/// A release of the version that was marked before says nothing of this one, nor what is marked of this one of the next.
#[tokio::test]
async fn each_release_has_a_mark_of_its_own() {
    let world = World::serving();
    let event = JOB.replace(RELEASE, OTHER);
    contains(
        &going(world.handle(&event).await).1,
        &["waiting until the model registry knows"],
    );
    assert!(world.is_untouched());
}
