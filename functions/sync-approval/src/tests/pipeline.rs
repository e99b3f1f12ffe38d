//! Answers in the pipeline, and approvals that end without one.

use super::*;

#[tokio::test]
async fn an_approval_in_the_pipeline_reaches_the_registry() {
    for (seen, description, by) in [
        (
            console(ActionStatus::Succeeded, "looks good"),
            "approved by dee in CodePipeline: looks good",
            "dee in CodePipeline",
        ),
        // By the page, which died before it wrote on the version.
        (
            train(ActionStatus::Succeeded, "approved by ada@example.com: so be it"),
            "approved by ada@example.com: so be it",
            "ada@example.com",
        ),
        // Nobody speaks for others.
        (
            console(ActionStatus::Succeeded, "approved by ada@example.com: so be it"),
            "approved by dee in CodePipeline: approved by ada@example.com: so be it",
            "dee in CodePipeline",
        ),
    ] {
        let world = World::ended(seen);
        world.handle_twice(ACTION_SUCCEEDED).await;
        let package = world.package();
        assert_eq!(
            (package.approval, world.description().as_str()),
            (ApprovalStatus::Approved, description)
        );
        assert_eq!(package.metadata[key::DECIDED_BY], metadata_value(by));
        assert_eq!(package.metadata[key::DECIDED_AT], ENDED);
        assert_eq!(package.decision_of(&release()), Some(Decision::Approve));
        assert!(world.notices().is_empty() && package.outcome().is_none());
        // Measured where it is marked, once; the release has not ended.
        assert_eq!(world.tally.counted(), WAITED);
        // The registry's event that follows from it changes nothing.
        let before = world.state();
        world.handle_twice(APPROVED).await;
        assert_eq!(world.state(), before);
    }
}

#[tokio::test]
async fn what_the_page_has_written_is_left_as_it_is() {
    let approved = by_link(Decision::Approve);
    let world = World::ended(train(ActionStatus::Succeeded, &approved.description()));
    world.record(&approved);
    let before = world.state();
    // The page has measured it.
    assert_eq!(world.tally.counted(), [""; 0]);
    for event in [ACTION_SUCCEEDED, APPROVED, SWEEP] {
        world.handle_twice(event).await;
        assert_eq!(world.state(), before);
    }
}

#[tokio::test]
async fn every_other_end_is_told_once_and_marked() {
    let page = by_link(Decision::Reject);
    for (seen, event, outcome, reason, subject, words) in [
        (
            train(ActionStatus::Failed, &page.description()),
            ACTION_FAILED,
            Outcome::Rejected,
            "rejected by ada@example.com: so be it",
            "v7 rejected",
            &["By: ada@example.com", "11:50 UTC", "so be it"][..],
        ),
        (
            console(ActionStatus::Failed, "no budget"),
            ACTION_FAILED,
            Outcome::Rejected,
            "rejected by dee in CodePipeline: no budget",
            "v7 rejected",
            &["By: dee in CodePipeline", "11:50 UTC", "no budget"],
        ),
        (
            console(ActionStatus::Failed, ""),
            ACTION_FAILED,
            Outcome::Expired,
            "expired: nobody decided in time",
            "v7 expired",
            &[
                "Nobody decided on churn v7 in time",
                "11:50 UTC",
                "ada@example.com, bo@example.com",
            ],
        ),
        (
            console(ActionStatus::Abandoned, ""),
            ACTION_ABANDONED,
            Outcome::Rejected,
            "the release was stopped in CodePipeline",
            "v7 stopped",
            &["was stopped in CodePipeline while it waited"],
        ),
        (
            train(ActionStatus::Failed, "superseded by v8"),
            ACTION_FAILED,
            Outcome::Superseded,
            "superseded by v8",
            "v7 superseded by v8",
            &["rejected as superseded by v8"],
        ),
        // Nobody but the train supersedes.
        (
            console(ActionStatus::Failed, "superseded by v8"),
            ACTION_FAILED,
            Outcome::Rejected,
            "rejected by dee in CodePipeline: superseded by v8",
            "v7 rejected",
            &["By: dee in CodePipeline"],
        ),
        // What can't be released.
        (
            train(
                ActionStatus::Failed,
                "the version has not passed the gate; it can't be released",
            ),
            ACTION_FAILED,
            Outcome::Rejected,
            "rejected by the release train: the version has not passed the gate; it can't be released",
            "v7 rejected",
            &["By: the release train", "has not passed the gate"],
        ),
    ] {
        let world = World::ended(seen);
        world.handle_twice(event).await;
        assert_eq!(world.subjects(), [subject]);
        contains(&world.notices()[0], words);
        let package = world.package();
        assert_eq!(
            (package.approval, package.outcome_of(&release())),
            (ApprovalStatus::Rejected, Some(outcome)),
            "{reason}"
        );
        assert_eq!(world.description(), reason);
        assert_eq!(package.metadata[key::REASON], metadata_value(reason));
        assert_eq!(package.decision_of(&release()), Some(Decision::Reject));
        assert!(world.releases.started().is_empty());
        // The registry's event that follows from it changes nothing.
        let before = world.state();
        for event in [REJECTED, event, SWEEP] {
            world.handle_twice(event).await;
            assert_eq!(world.state(), before, "{reason}");
        }
        // Counted once, and measured where a person was waited for.
        let by_person = reason.starts_with("rejected by") && !reason.contains(TRAIN);
        let waited = WAITED.iter().filter(|_| by_person).map(|waited| (*waited).to_owned());
        let ended = format!("Releases Outcome={}", outcome.as_str());
        assert_eq!(
            world.tally.counted(),
            waited.chain([ended]).collect::<Vec<_>>(),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_rejection_that_the_page_has_written_is_told_once() {
    let rejected = by_link(Decision::Reject);
    for order in [[ACTION_FAILED, REJECTED], [REJECTED, ACTION_FAILED], [SWEEP, REJECTED]] {
        let world = World::ended(train(ActionStatus::Failed, &rejected.description()));
        world.record(&rejected);
        for event in order.iter().chain(&order) {
            world.handle(event).await.unwrap();
        }
        assert_eq!(world.subjects(), ["v7 rejected"]);
        assert_eq!(world.package().outcome_of(&release()), Some(Outcome::Rejected));
        assert_eq!(world.description(), rejected.description());
    }
}

/// A later release of the version was settled since.
#[tokio::test]
async fn late_events_of_an_earlier_release_change_nothing() {
    for seen in [
        console(ActionStatus::Failed, ""),
        console(ActionStatus::Failed, "no budget"),
        console(ActionStatus::Succeeded, "fine"),
        console(ActionStatus::Abandoned, ""),
        train(ActionStatus::Failed, "superseded by v8"),
    ] {
        for (outcome, decision) in [
            (None, Decision::Approve),
            (Some("deployed"), Decision::Approve),
            (Some("rolled-back"), Decision::Approve),
            (Some("rejected"), Decision::Reject),
        ] {
            let world = World::ended(seen.clone());
            let later = Decided {
                at: Some(time("2026-03-01T11:55:00Z")),
                ..by_link(decision)
            };
            world.record(&later);
            let mark = later.metadata(&LATER.parse().unwrap(), later.at);
            world.change(|package| package.metadata.extend(mark));
            world.ask(LATER);
            if let Some(outcome) = outcome {
                world.note(key::OUTCOME, outcome);
                world.note(key::RELEASE, LATER);
            }
            let before = world.state();
            for event in [ACTION_FAILED, ACTION_SUCCEEDED, ACTION_ABANDONED, SWEEP] {
                world.handle_twice(event).await;
                assert_eq!(world.state(), before, "{seen:?} {outcome:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_action_event_that_nothing_bears_out_changes_nothing() {
    let world = World::new();
    for event in [ACTION_SUCCEEDED, ACTION_FAILED, ACTION_ABANDONED] {
        let error = world.handle(event).await.unwrap_err().to_string();
        contains(&error, &[RELEASE, "has no variable ModelPackageArn"]);
    }
    // It still waits, whatever the event says: events come late and out of order.
    world.wait(7, RELEASE);
    let before = world.state();
    for event in [ACTION_SUCCEEDED, ACTION_FAILED, ACTION_ABANDONED] {
        world.handle_twice(event).await;
        assert_eq!(world.state(), before);
    }
}
