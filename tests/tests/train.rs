//! The whole train in process: the straight path, and every side path of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use jiff::SignedDuration;
use local::cloud::Service;
use serde_json::{Value, json};
use tests::candidate::Candidate;
use tests::world::World;

/// Pushes a candidate and approves it by the link in its mail.
fn release(world: &mut World, candidate: &Candidate, version: u32) {
    let link = world.propose(candidate).unwrap();
    let (status, page) = world.decide(&link, "approve", "looks good").unwrap();
    assert_eq!(status, 200, "{page}");
    world
        .run_until(12, "the release's end", |world| world.outcome(version).is_some())
        .unwrap();
}

/// Pushes a better candidate and waits for its mails; the last link of them.
fn waiting(world: &mut World) -> String {
    world.propose(&Candidate::of_accuracy(0.95)).unwrap()
}

/// A world in which version 1 serves.
fn serving() -> World {
    let mut world = World::new(1).unwrap();
    release(&mut world, &Candidate::of_accuracy(0.90), 1);
    assert_eq!(world.serving(), Some(1));
    world
}

/// The text of the newest mail whose subject or body holds the words.
fn mail_with(world: &World, words: &str) -> String {
    let mails = world.mails();
    let found = mails
        .iter()
        .rev()
        .find(|mail| mail.subject.contains(words) || mail.body.contains(words));
    let subjects = world.subjects();
    found
        .map(|mail| format!("{}\n{}", mail.subject, mail.body))
        .unwrap_or_else(|| panic!("no mail with {words:?}: {subjects:#?}"))
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// Nothing may be left behind a run: no event in the dead-letter queue.
fn nothing_dead(world: &World) {
    assert!(
        world.cloud().dead_letters().is_empty(),
        "{:#?}",
        world.cloud().dead_letters()
    );
}

#[test]
fn a_push_is_trained_approved_and_served() {
    let world = serving();
    let package = world.package(1).unwrap();
    assert_eq!(text(&package, "ModelApprovalStatus"), "Approved");
    assert_eq!(world.outcome(1).as_deref(), Some("deployed"));
    assert_eq!(
        text(&package["CustomerMetadataProperties"], "signalbox:trigger"),
        "push"
    );
    assert!(mail_with(&world, "deployed").contains("v1"));
    nothing_dead(&world);
}

#[test]
fn a_better_model_replaces_the_champion_by_canary() {
    let mut world = serving();
    release(&mut world, &Candidate::of_accuracy(0.95), 2);
    assert_eq!(world.serving(), Some(2));
    assert_eq!(world.outcome(2).as_deref(), Some("deployed"));
    let shares: Vec<f64> = world
        .happenings()
        .iter()
        .filter(|happening| happening.what == "traffic-shifted")
        .filter(|happening| {
            happening.data["config"]
                .as_str()
                .is_some_and(|config| config.contains("-v2-"))
        })
        .filter_map(|happening| happening.data["share"].as_f64())
        .collect();
    assert!(
        shares.iter().any(|share| *share > 0.0 && *share <= 0.5),
        "a canary's share first: {shares:?}"
    );
    assert_eq!(shares.last(), Some(&1.0), "then all of it: {shares:?}");
    assert_eq!(world.traffic().1, 0, "no request failed");
    nothing_dead(&world);
}

#[test]
fn a_broken_unit_test_stops_in_build_and_somebody_is_told() {
    let mut world = World::new(1).unwrap();
    world
        .push(&Candidate {
            tests_pass: false,
            ..Candidate::of_accuracy(0.95)
        })
        .unwrap();
    world
        .run_until(12, "a notice", |world| !world.mails().is_empty())
        .unwrap();
    mail_with(&world, "Build");
    assert!(world.package(1).is_err(), "nothing is registered");
    nothing_dead(&world);
}

#[test]
fn a_failed_training_is_told_with_step_and_reason() {
    let mut world = World::new(1).unwrap();
    world
        .push(&Candidate {
            trains: false,
            ..Candidate::of_accuracy(0.95)
        })
        .unwrap();
    world
        .run_until(12, "a notice", |world| !world.mails().is_empty())
        .unwrap();
    let mail = mail_with(&world, "Train");
    assert!(mail.contains("ExecuteUserScriptError"), "{mail}");
    assert!(world.package(1).is_err(), "nothing is registered");
    nothing_dead(&world);
}

#[test]
fn a_model_below_the_threshold_is_not_registered_and_the_notice_has_the_numbers() {
    let mut world = World::new(1).unwrap();
    world.push(&Candidate::of_accuracy(0.71)).unwrap();
    world
        .run_until(12, "a notice", |world| !world.mails().is_empty())
        .unwrap();
    let mail = mail_with(&world, "0.71");
    assert!(mail.contains("0.85"), "{mail}");
    assert!(world.package(1).is_err(), "nothing is registered");
    nothing_dead(&world);
}

#[test]
fn a_candidate_no_better_than_the_champion_is_rejected_with_both_numbers() {
    let mut world = serving();
    world.push(&Candidate::of_accuracy(0.90)).unwrap();
    world
        .run_until(12, "the verdict", |world| world.outcome(2).is_some())
        .unwrap();
    world
        .run_until(1, "the notice", |world| {
            world.subjects().iter().any(|subject| subject.contains("v2"))
        })
        .unwrap();
    assert_eq!(world.outcome(2).as_deref(), Some("gate-not-met"));
    assert_eq!(text(&world.package(2).unwrap(), "ModelApprovalStatus"), "Rejected");
    assert!(mail_with(&world, "v2").contains("0.9"));
    assert_eq!(world.serving(), Some(1));
    nothing_dead(&world);
}

#[test]
fn a_rejected_candidate_is_not_deployed() {
    let mut world = serving();
    let link = waiting(&mut world);
    let (status, page) = world.decide(&link, "reject", "drifts on Sundays").unwrap();
    assert_eq!(status, 200, "{page}");
    world
        .run_until(2, "the verdict", |world| world.outcome(2).is_some())
        .unwrap();
    world.run_for(SignedDuration::from_hours(2)).unwrap();
    let package = world.package(2).unwrap();
    assert_eq!(world.outcome(2).as_deref(), Some("rejected"));
    assert_eq!(text(&package, "ModelApprovalStatus"), "Rejected");
    assert!(
        text(&package, "ApprovalDescription").contains("drifts on Sundays"),
        "{package}"
    );
    assert_eq!(world.serving(), Some(1));
    assert!(mail_with(&world, "drifts on Sundays").contains("v2"));
    nothing_dead(&world);
}

/// A description of several lines is refused by SageMaker, and with it was the decision.
#[test]
fn a_comment_of_several_lines_is_kept() {
    let mut world = World::new(1).unwrap();
    let link = waiting(&mut world);
    let (status, page) = world.decide(&link, "reject", "drifts%0D%0Aon Sundays").unwrap();
    assert_eq!(status, 200, "{page}");
    let package = world.package(1).unwrap();
    assert!(
        text(&package, "ApprovalDescription").contains("drifts on Sundays"),
        "{package}"
    );
}

#[test]
fn an_approval_that_nobody_gives_expires_in_both_places() {
    let mut world = serving();
    let link = waiting(&mut world);
    world
        .run_until(24 * 8, "the expiry", |world| world.outcome(2).is_some())
        .unwrap();
    assert_eq!(world.outcome(2).as_deref(), Some("expired"));
    assert_eq!(text(&world.package(2).unwrap(), "ModelApprovalStatus"), "Rejected");
    world.run_for(SignedDuration::from_mins(5)).unwrap();
    mail_with(&world, "expired");
    let (_, page) = world.decide(&link, "approve", "too late").unwrap();
    assert!(page.to_lowercase().contains("expired"), "{page}");
    world.run_for(SignedDuration::from_hours(2)).unwrap();
    assert_eq!(text(&world.package(2).unwrap(), "ModelApprovalStatus"), "Rejected");
    assert_eq!(world.serving(), Some(1));
    nothing_dead(&world);
}

#[test]
fn an_alarm_during_the_canary_rolls_back_and_marks_the_version() {
    let mut world = serving();
    let before = world.traffic();
    release(
        &mut world,
        &Candidate {
            error_rate: 0.6,
            ..Candidate::of_accuracy(0.97)
        },
        2,
    );
    assert_eq!(world.outcome(2).as_deref(), Some("rolled-back"));
    assert_eq!(world.serving(), Some(1));
    let (served, failed) = (world.traffic().0 - before.0, world.traffic().1 - before.1);
    assert!(
        failed > 0 && failed < served,
        "only the canary's share of the requests failed: {failed} of {served}"
    );
    let alarm = format!("{}-5xx", world.model());
    mail_with(&world, &alarm);
    let state = world.call(
        Service::CodePipeline,
        "GetPipelineState",
        &json!({"name": format!("{}-release", world.model())}),
    );
    assert!(
        state.unwrap().to_string().contains(&alarm),
        "the failed job names the alarm"
    );
    nothing_dead(&world);
}

#[test]
fn enough_new_data_retrains_without_a_push() {
    let mut world = serving();
    world.run_for(SignedDuration::from_hours(30)).unwrap();
    let threshold: usize = world.cloud().stack().parameters["DataThresholdObjects"]
        .parse()
        .unwrap();
    for number in 0..threshold {
        world
            .put_object(&format!("data/part-1{number:03}.csv"), "label,x\n0,1\n")
            .unwrap();
    }
    world
        .run_until(48, "the retraining", |world| world.outcome(2).is_some())
        .unwrap();
    let package = world.package(2).unwrap();
    assert_eq!(
        text(&package["CustomerMetadataProperties"], "signalbox:trigger"),
        "data"
    );
    assert_eq!(
        world.outcome(2).as_deref(),
        Some("gate-not-met"),
        "the same code is no better"
    );
    assert_eq!(world.serving(), Some(1));
    nothing_dead(&world);
}

#[test]
fn approving_in_the_registry_deploys() {
    let mut world = serving();
    waiting(&mut world);
    let arn = world.package(2).unwrap()["ModelPackageArn"].clone();
    let update = json!({"ModelPackageArn": arn, "ModelApprovalStatus": "Approved", "ApprovalDescription": "in Studio"});
    world.call(Service::SageMaker, "UpdateModelPackage", &update).unwrap();
    world
        .run_until(12, "the release", |world| world.outcome(2).is_some())
        .unwrap();
    assert_eq!(world.outcome(2).as_deref(), Some("deployed"));
    assert_eq!(world.serving(), Some(2));
    nothing_dead(&world);
}

#[test]
fn opening_the_link_decides_nothing() {
    let mut world = World::new(1).unwrap();
    world.push(&Candidate::of_accuracy(0.95)).unwrap();
    world
        .run_until(12, "the approval mail", |world| !world.approval_links().is_empty())
        .unwrap();
    for link in world.approval_links() {
        for _ in 0..3 {
            let (status, page) = world.open(&link).unwrap();
            assert_eq!(status, 200, "{page}");
        }
    }
    world.run_for(SignedDuration::from_mins(10)).unwrap();
    assert_eq!(
        text(&world.package(1).unwrap(), "ModelApprovalStatus"),
        "PendingManualApproval"
    );
}
