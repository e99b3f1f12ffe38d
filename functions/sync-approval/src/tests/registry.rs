//! Decisions in the registry.

use super::*;

#[tokio::test]
async fn an_approval_in_the_registry_answers_the_pipeline_that_waits() {
    for (event, words, description) in [
        (
            APPROVED,
            Some("good enough"),
            "approved by cy in the model registry: good enough",
        ),
        (APPROVED, None, "approved by cy in the model registry"),
        // Events come late and out of order: the registry as it is counts.
        (
            REJECTED,
            Some("after all"),
            "approved by cy in the model registry: after all",
        ),
    ] {
        let world = World::waiting();
        world.decide(ApprovalStatus::Approved, words, -10);
        world.handle_twice(event).await;
        assert_eq!(world.answered(), Some((true, description.to_owned())));
        let package = world.package();
        assert_eq!(
            (package.approval, world.description().as_str()),
            (ApprovalStatus::Approved, description)
        );
        assert_eq!(package.decision_of(&release()), Some(Decision::Approve));
        assert_eq!(package.metadata[key::DECIDED_BY], "cy in the model registry");
        assert_eq!(package.metadata[key::DECIDED_AT], "2026-03-01T11:49:50Z");
        assert_eq!(world.releases.started(), [], "its release is the one that waited");
        assert!(world.notices().is_empty() && package.outcome().is_none());
    }
}

#[tokio::test]
async fn a_rejection_in_the_registry_answers_the_pipeline_that_waits_and_is_told_once() {
    for (event, words, description, told) in [
        (
            REJECTED,
            Some("too slow"),
            "rejected by cy in the model registry: too slow",
            "too slow",
        ),
        (REJECTED, Some(""), "rejected by cy in the model registry", "none"),
        (
            APPROVED,
            Some("not after all"),
            "rejected by cy in the model registry: not after all",
            "not after all",
        ),
    ] {
        let world = World::waiting();
        world.decide(ApprovalStatus::Rejected, words, -10);
        world.handle_twice(event).await;
        assert_eq!(world.answered(), Some((false, description.to_owned())));
        let package = world.package();
        assert_eq!(
            (package.approval, package.outcome_of(&release())),
            (ApprovalStatus::Rejected, Some(Outcome::Rejected))
        );
        assert_eq!(world.description(), description);
        assert_eq!(package.metadata[key::REASON], metadata_value(description));
        assert_eq!(package.decision_of(&release()), Some(Decision::Reject));
        assert_eq!(world.subjects(), ["v7 rejected"]);
        contains(
            &world.notices()[0],
            &["By: cy in the model registry", "11:49 UTC", told],
        );
    }
}

#[tokio::test]
async fn nothing_is_decided_where_the_registry_waits() {
    let world = World::waiting();
    let before = world.state();
    for event in [APPROVED, REJECTED] {
        world.handle_twice(event).await;
        assert_eq!(world.state(), before);
    }
}

/// Whoever asks the approvers tells the pipeline why.
#[tokio::test]
async fn an_approval_of_what_has_not_passed_its_gate_answers_nothing() {
    let world = World::waiting();
    world.note(key::GATE, "not held: metrics.accuracy = 0.8");
    world.decide(ApprovalStatus::Approved, None, -10);
    let before = world.state();
    for event in [APPROVED, SWEEP] {
        world.handle_twice(event).await;
        assert_eq!(world.state(), before);
    }
}

#[tokio::test]
async fn approved_with_none_waiting_the_release_of_what_passed_the_gate_is_started() {
    type Change = fn(&World);
    let table: [(&str, Change, bool); 8] = [
        ("approved", |_| {}, true),
        (
            "its approval is not listed any more",
            |world| world.ask("22222222-2222-3333-4444-555555555555"),
            true,
        ),
        (
            "not held",
            |world| world.note(key::GATE, "not held: metrics.accuracy = 0.9"),
            false,
        ),
        (
            "not judged",
            |world| world.change(|package| package.metadata.clear()),
            false,
        ),
        (
            "not held, and taken back before",
            |world| {
                world.note(key::GATE, "not held");
                world.note(key::OUTCOME, "rolled-back");
                world.note(key::RELEASE, RELEASE);
            },
            false,
        ),
        (
            "its release goes on",
            |world| world.record(&by_link(Decision::Approve)),
            false,
        ),
        (
            "rejected",
            |world| world.decide(ApprovalStatus::Rejected, None, 0),
            false,
        ),
        (
            "pending again",
            |world| world.decide(ApprovalStatus::PendingManualApproval, None, 0),
            false,
        ),
    ];
    for (what, change, started) in table {
        for newer_waits in [false, true] {
            let world = World::new();
            world.decide(ApprovalStatus::Approved, None, -10);
            change(&world);
            if newer_waits {
                world.register(8);
                world.wait(8, LATER);
            }
            world.handle_twice(APPROVED).await;
            let expected = if started { vec![arn(7)] } else { Vec::new() };
            assert_eq!(world.releases.started(), expected, "{what}");
            let later = LATER.parse().unwrap();
            assert_eq!(
                world.releases.answer_of(&later),
                None,
                "{what}: a newer version's approval"
            );
            assert!(world.notices().is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn approved_after_its_release_has_ended_it_is_released_after_all() {
    for (outcome, decision, times) in [
        ("expired", Decision::Reject, 1),
        ("rejected", Decision::Reject, 1),
        ("rolled-back", Decision::Approve, 1),
        // It made way while it waited, or was overtaken at the endpoint and stays approved.
        ("superseded", Decision::Reject, 1),
        ("superseded", Decision::Approve, 0),
        ("failed", Decision::Approve, 0),
        ("deployed", Decision::Approve, 0),
    ] {
        let world = World::new();
        // The release that ended had been started by the token of the version.
        world
            .releases
            .start("churn-release", &arn(7), None, "trained")
            .await
            .unwrap();
        let ends = |id: &str| {
            let decided = by_link(decision).metadata(&id.parse().unwrap(), Some(time(ENDED)));
            world.change(|package| package.metadata.extend(decided));
            world.note(key::OUTCOME, outcome);
            world.note(key::RELEASE, id);
            world.ask(id);
            world.decide(ApprovalStatus::Approved, Some("after all"), 600);
        };
        ends(RELEASE);
        world.handle_twice(APPROVED).await;
        assert_eq!(world.releases.started().len(), 1 + times, "{outcome}");
        // The release after it ended so too: there is a token for each.
        ends(LATER);
        world.handle_twice(APPROVED).await;
        assert_eq!(world.releases.started().len(), 1 + 2 * times, "{outcome}");
        assert!(world.releases.rolled_back().is_empty() && world.notices().is_empty());
    }
}

/// Whoever approves it in Studio would wait for a release that never comes.
#[tokio::test]
async fn what_its_gate_has_rejected_is_rejected_again_and_somebody_told() {
    let world = World::new();
    world.note(key::GATE, "not held: 0.8");
    world.note(key::OUTCOME, "gate-not-met");
    world.decide(ApprovalStatus::Approved, Some("after all"), 0);
    world.handle_twice(APPROVED).await;
    assert!(world.releases.started().is_empty());
    assert_eq!(world.subjects(), ["v7: approved in vain, gate not met"]);
    contains(&world.notices()[0], &["Gate: not held: 0.8"]);
    assert_eq!(world.package().approval, ApprovalStatus::Rejected);
    contains(&world.description(), &["not held: 0.8", "changed nothing"]);
}

/// The page has written a rejection, and before people are told, somebody approves the version in the registry.
#[tokio::test]
async fn an_approval_after_a_rejection_that_was_not_told_yet_is_a_later_decision() {
    for order in [[APPROVED, ACTION_FAILED], [ACTION_FAILED, APPROVED], [SWEEP, APPROVED]] {
        let rejected = by_link(Decision::Reject);
        let world = World::ended(train(ActionStatus::Failed, &rejected.description()));
        world.record(&rejected);
        world.decide(ApprovalStatus::Approved, Some("after all"), 30);
        for event in order.iter().chain(&order) {
            world.handle(event).await.unwrap();
        }
        assert_eq!(world.subjects(), ["v7 rejected"]);
        contains(&world.notices()[0], &["By: ada@example.com", "so be it"]);
        let package = world.package();
        assert_eq!(package.outcome_of(&release()), Some(Outcome::Rejected));
        assert_eq!(
            (package.approval, world.description().as_str()),
            (
                ApprovalStatus::Approved,
                "approved by cy in the model registry: after all"
            )
        );
        assert_eq!(package.metadata[key::DECIDED_BY], "cy in the model registry");
        assert_eq!(
            world.releases.started(),
            [arn(7)],
            "once, after the one that was rejected"
        );
    }
}

/// update-endpoint looks at the registry before it begins, and when it is done.
#[tokio::test]
async fn a_rejection_while_it_is_deployed_is_not_settled_here() {
    let approved = by_link(Decision::Approve);
    let world = World::ended(train(ActionStatus::Succeeded, &approved.description()));
    world.record(&approved);
    world.decide(ApprovalStatus::Rejected, Some("too slow"), 30);
    let before = world.state();
    for event in [REJECTED, ACTION_SUCCEEDED, SWEEP] {
        world.handle_twice(event).await;
        assert_eq!(world.state(), before);
    }
}

#[tokio::test]
async fn an_older_version_that_waits_makes_way_for_one_that_is_approved_in_the_registry() {
    let newer = APPROVED.replace("model-package/churn/7", "model-package/churn/8");
    type Change = fn(&mut World, &mut ModelPackage);
    let table: [(&str, Change, bool); 6] = [
        ("approved", |_, _| {}, true),
        ("switched off", |world, _| world.settings.supersede = false, false),
        (
            "rejected",
            |_, package| package.approval = ApprovalStatus::Rejected,
            false,
        ),
        ("not judged", |_, package| package.metadata.clear(), false),
        (
            "deployed before",
            |_, package| {
                package.metadata.insert(key::OUTCOME.into(), "deployed".into());
            },
            false,
        ),
        (
            "somebody has decided on the older one",
            |world, _| world.decide(ApprovalStatus::Approved, None, -10),
            false,
        ),
    ];
    for (what, change, makes_way) in table {
        let mut world = World::waiting();
        world.register(8);
        let mut package = world.packages.get(&arn(8)).unwrap();
        package.approval = ApprovalStatus::Approved;
        change(&mut world, &mut package);
        world.packages.put(package);
        world.handle_twice(&newer).await;
        let answer = makes_way.then(|| (false, "superseded by v8".to_owned()));
        assert_eq!(world.answered(), answer, "{what}");
        assert!(world.notices().is_empty(), "the pipeline's event is told");
        world.handle_twice(ACTION_FAILED).await;
        let told: &[&str] = if makes_way { &["v7 superseded by v8"] } else { &[] };
        if what != "somebody has decided on the older one" {
            assert_eq!(world.subjects(), told, "{what}");
        }
    }
}

#[tokio::test]
async fn metadata_that_is_written_is_no_decision() {
    let world = World::waiting();
    world.decide(ApprovalStatus::Approved, None, -10);
    let before = world.state();
    world.handle_twice(METADATA_ONLY).await;
    assert_eq!(world.state(), before);
    // Older events do not say what was updated.
    let mut event: Value = serde_json::from_str(METADATA_ONLY).unwrap();
    event["detail"]
        .as_object_mut()
        .unwrap()
        .remove("UpdatedModelPackageFields");
    world.handle(&event.to_string()).await.unwrap();
    assert!(world.answered().unwrap().0);
}

/// Once several have approved, the pipeline is told, whoever died before telling it.
#[tokio::test]
async fn one_alone_decides_in_the_registry_however_many_are_asked() {
    for approval in [ApprovalStatus::Approved, ApprovalStatus::Rejected] {
        let mut world = World::waiting();
        world.settings.approvals_needed = 2;
        world.decide(approval, None, -10);
        world.handle(APPROVED).await.unwrap();
        let approved = approval == ApprovalStatus::Approved;
        assert_eq!(world.answered().map(|(approved, _)| approved), Some(approved));
    }
}
