//! What the sweep finds where events were lost.

use super::*;

fn sweep_at(time: &str) -> String {
    let mut event: Value = serde_json::from_str(SWEEP).unwrap();
    event["time"] = time.into();
    event.to_string()
}

#[tokio::test]
async fn a_decision_in_the_registry_whose_event_was_lost_is_found() {
    for (approval, told) in [
        (ApprovalStatus::Approved, &[][..]),
        (ApprovalStatus::Rejected, &["v7 rejected"]),
    ] {
        let world = World::waiting();
        world.decide(approval, Some("in Studio"), -10);
        world.handle(SWEEP).await.unwrap();
        let approved = approval == ApprovalStatus::Approved;
        assert_eq!(world.answered().map(|(approved, _)| approved), Some(approved));
        assert_eq!(world.package().approval, approval);
        assert!(world.package().decision_of(&release()).is_some());
        assert_eq!(world.subjects(), told);
    }
}

#[tokio::test]
async fn an_answer_in_the_pipeline_whose_event_was_lost_is_found() {
    for (seen, approval, told) in [
        (
            console(ActionStatus::Succeeded, "fine"),
            ApprovalStatus::Approved,
            &[][..],
        ),
        (
            console(ActionStatus::Failed, "no"),
            ApprovalStatus::Rejected,
            &["v7 rejected"],
        ),
        (
            console(ActionStatus::Failed, ""),
            ApprovalStatus::Rejected,
            &["v7 expired"],
        ),
        (
            console(ActionStatus::Abandoned, ""),
            ApprovalStatus::Rejected,
            &["v7 stopped"],
        ),
    ] {
        let world = World::ended(seen);
        world.handle(SWEEP).await.unwrap();
        assert_eq!(world.package().approval, approval);
        assert_eq!(world.subjects(), told);
        let before = world.state();
        world.handle_twice(SWEEP).await;
        assert_eq!(world.state(), before, "it is settled, and the sweep quiet");
    }
}

/// The page died when the last vote was there.
#[tokio::test]
async fn enough_votes_answer_the_pipeline() {
    for (needed, votes, answer) in [
        (
            2,
            2,
            Some("approved by ada@example.com and bo@example.com: fine / fine"),
        ),
        (2, 1, None),
        (3, 2, None),
    ] {
        let mut world = World::waiting();
        world.settings.approvals_needed = needed;
        let asked = world.package().asked().unwrap();
        for approver in &world.settings.approvers.clone()[..votes] {
            world.note(&vote_key(approver), &vote(&asked, time("2026-03-01T11:47:00Z"), "fine"));
        }
        world.handle_twice(SWEEP).await;
        let answer = answer.map(str::to_owned);
        assert_eq!(world.answered(), answer.clone().map(|answer| (true, answer)));
        let approval = world.package().approval;
        assert_eq!(approval == ApprovalStatus::Approved, answer.is_some());
        assert!(world.notices().is_empty());
    }
}

#[tokio::test]
async fn where_nothing_is_to_be_done_the_sweep_is_quiet() {
    type Change = fn(&World);
    let table: [(&str, Change); 3] = [
        ("it waits, and nobody has decided", |_| {}),
        ("it was settled", |world| {
            let approved = by_link(Decision::Approve);
            world
                .releases
                .end(train(ActionStatus::Succeeded, &approved.description()));
            world.record(&approved);
        }),
        ("it has ended", |world| {
            let approved = by_link(Decision::Approve);
            world
                .releases
                .end(train(ActionStatus::Succeeded, &approved.description()));
            world.record(&approved);
            world.note(key::OUTCOME, "deployed");
            world.note(key::RELEASE, RELEASE);
        }),
    ];
    for (what, change) in table {
        let world = World::waiting();
        change(&world);
        let before = world.state();
        world.handle_twice(SWEEP).await;
        assert_eq!(world.state(), before, "{what}");
    }
}

/// As the README says it.
#[tokio::test]
async fn a_sweep_that_finds_nothing_to_do_makes_few_calls() {
    let world = World::ended(console(ActionStatus::Failed, ""));
    world.handle(SWEEP).await.unwrap();
    world.register(8);
    world.wait(8, LATER);
    assert!(!world.handle_and_die(4, SWEEP));
    assert!(world.handle_and_die(5, SWEEP));
    // What waits is looked at long after, too.
    assert!(!world.handle_and_die(2, &sweep_at("2026-03-03T12:00:00Z")));
    assert!(world.handle_and_die(3, &sweep_at("2026-03-03T12:00:00Z")));
}

#[tokio::test]
async fn what_was_answered_more_than_a_day_ago_is_left_alone() {
    for (time, found) in [("2026-03-02T11:49:59Z", true), ("2026-03-02T11:50:00Z", false)] {
        let world = World::ended(console(ActionStatus::Failed, ""));
        world.handle(&sweep_at(time)).await.unwrap();
        assert_eq!(!world.subjects().is_empty(), found, "{time}");
    }
    // What waits is looked at however long it does.
    let world = World::waiting();
    world.decide(ApprovalStatus::Approved, None, -10);
    world.handle(&sweep_at("2026-03-07T12:00:00Z")).await.unwrap();
    assert!(world.answered().unwrap().0);
}

/// Several versions may have ended since the last sweep, and one waits; an event of one does not hold up the others.
#[tokio::test]
async fn each_version_is_settled() {
    let world = World::ended(console(ActionStatus::Failed, ""));
    world.register(8);
    world.wait(8, LATER);
    world.handle_twice(SWEEP).await;
    assert_eq!(world.subjects(), ["v7 expired"]);
    let mut package = world.packages.get(&arn(8)).unwrap();
    assert_eq!(package.approval, ApprovalStatus::PendingManualApproval);
    package.approval = ApprovalStatus::Rejected;
    world.packages.put(package);
    world.handle_twice(SWEEP).await;
    assert_eq!(world.subjects(), ["v7 expired", "v8 rejected"]);
    assert!(!world.releases.answer_of(&LATER.parse().unwrap()).unwrap().0);
}

/// Of a version that was released again, what became of the earlier release is an old story.
#[tokio::test]
async fn of_each_version_the_newest_release_counts() {
    let world = World::ended(console(ActionStatus::Failed, ""));
    world.wait(7, LATER);
    world.ask(LATER);
    let before = world.state();
    world.handle_twice(SWEEP).await;
    assert_eq!(world.state(), before);
    world.decide(ApprovalStatus::Approved, None, 60);
    world.handle_twice(SWEEP).await;
    assert!(world.releases.answer_of(&LATER.parse().unwrap()).unwrap().0);
    assert!(world.notices().is_empty());
    assert_eq!(
        world.package().decision_of(&LATER.parse().unwrap()),
        Some(Decision::Approve)
    );
}

/// CodePipeline has given the deployment up, and the version says nothing of it: whoever should have said so died.
fn unanswered() -> World {
    let approved = by_link(Decision::Approve);
    let world = World::ended(train(ActionStatus::Succeeded, &approved.description()));
    world.record(&approved);
    world
        .releases
        .fail_deployment(&release(), "the function failed to return a result");
    world
}

#[tokio::test]
async fn a_deployment_that_got_no_answer_is_told_once() {
    let world = unanswered();
    world.handle_twice(SWEEP).await;
    assert_eq!(world.subjects(), ["v7 release failed"]);
    contains(
        &world.notices()[0],
        &["failed to return a result", "churn-update-endpoint", "retry the stage"],
    );
    assert_eq!(world.package().outcome_of(&release()), Some(Outcome::Failed));
    assert!(world.releases.started().is_empty());
}

#[tokio::test]
async fn a_deployment_that_got_no_answer_is_let_end_and_done_again_where_it_serves() {
    let config = arn(7).endpoint_config_name(&release());
    let endpoint = |pending: bool, config: &str| Endpoint {
        status: if pending { Status::Updating } else { Status::InService },
        config: if pending { "churn-v6-fedcba98" } else { config }.to_owned(),
        failure_reason: None,
        pending: pending.then(|| Pending {
            config: config.to_owned(),
            phase: None,
            message: None,
            since: None,
            desired_count: None,
        }),
        modified_at: None,
        desired_counts: Vec::new(),
    };
    for (pending, started) in [(true, 0), (false, 1)] {
        let world = unanswered();
        world.endpoint.set(endpoint(pending, &config));
        world.handle_twice(SWEEP).await;
        assert_eq!(
            (world.releases.started().len(), world.subjects().len()),
            (started, 0),
            "{pending}"
        );
        assert_eq!(world.package().outcome(), None);
    }
    // Done again, it has the configuration of the first time.
    let world = unanswered();
    world.endpoint.set(endpoint(false, "churn-v7-fedcba98"));
    world.handle_twice(SWEEP).await;
    assert_eq!((world.releases.started().len(), world.subjects().len()), (1, 0));
    for (status, config) in [
        (Status::InService, "churn-v6-fedcba98"),
        // It was created, and did not come up: nothing goes on any more.
        (Status::Failed, config.as_str()),
        (Status::UpdateRollbackFailed, config.as_str()),
    ] {
        let world = unanswered();
        world.endpoint.set(Endpoint {
            status,
            ..endpoint(false, config)
        });
        world.handle_twice(SWEEP).await;
        assert_eq!(world.subjects(), ["v7 release failed"], "{status:?}");
        assert!(world.releases.started().is_empty());
    }
}

#[tokio::test]
async fn an_approval_in_the_registry_after_a_rejection_is_found_too() {
    let rejected = by_link(Decision::Reject);
    let world = World::ended(train(ActionStatus::Failed, &rejected.description()));
    world.record(&rejected);
    world.handle(SWEEP).await.unwrap();
    assert_eq!(world.subjects(), ["v7 rejected"]);
    world.decide(ApprovalStatus::Approved, Some("after all"), 600);
    world.handle_twice(SWEEP).await;
    assert_eq!(world.releases.started(), [arn(7)]);
}
