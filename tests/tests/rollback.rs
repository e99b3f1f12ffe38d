//! Taking a deployed version back: by the command line, by the link in the mail, by the registry, by an alarm; and what stands in its
//! way.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

use jiff::SignedDuration;
use local::cloud::Service;
use serde_json::{Value, json};
use tests::candidate::Candidate;
use tests::connector::Fault;
use tests::world::World;

const ALARM: &str = "tumour-5xx";

fn release(world: &mut World, accuracy: f64, version: u32) {
    let link = world.propose(&Candidate::of_accuracy(accuracy)).unwrap();
    let (status, page) = world.decide(&link, "approve", "fine").unwrap();
    assert_eq!(status, 200, "{page}");
    world.until_outcome(version, "deployed").unwrap();
}

/// Versions 1 to 3 were deployed, one after the other; version 3 serves.
fn three() -> World {
    let mut world = World::with_parameters(5, &[("ApprovalTimeoutMinutes", "10080")])
        .unwrap()
        .without_traffic();
    for (version, accuracy) in [(1, 0.90), (2, 0.93), (3, 0.96)] {
        release(&mut world, accuracy, version);
    }
    assert_eq!(world.serving(), Some(3));
    world
}

/// `aws codepipeline start-pipeline-execution --name tumour-rollback`, with variables.
fn start_rollback(world: &World, variables: &Value) {
    let mut input = json!({"name": "tumour-rollback"});
    if variables.as_array().is_some_and(|variables| !variables.is_empty()) {
        input["variables"] = variables.clone();
    }
    world
        .call(Service::CodePipeline, "StartPipelineExecution", &input)
        .unwrap();
}

fn executions(world: &World) -> Vec<Value> {
    let pipeline = json!({"pipelineName": "tumour-rollback"});
    let listed = world
        .call(Service::CodePipeline, "ListPipelineExecutions", &pipeline)
        .unwrap();
    listed["pipelineExecutionSummaries"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

fn status(world: &World, version: u32) -> String {
    let package = world.package(version).unwrap();
    package["ModelApprovalStatus"].as_str().unwrap_or_default().to_owned()
}

fn mail_with(world: &World, words: &str) -> String {
    let mails = world.mails();
    let found = mails.iter().rev().find(|mail| mail.subject.contains(words));
    found
        .map(|mail| mail.body.clone())
        .unwrap_or_else(|| panic!("no mail with {words:?}: {:#?}", world.subjects()))
}

/// Version 3 was taken back, once, and version 2 serves.
fn back_on_2(world: &mut World, reason: &str) {
    world.until_outcome(3, "rolled-back").unwrap();
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    assert_eq!(world.serving(), Some(2));
    assert_eq!(status(world, 3), "Rejected");
    let body = mail_with(world, "v3 rolled back").replace("\n  ", " ");
    assert!(body.contains(reason), "{reason}: {body}");
    assert_eq!(executions(world).len(), 1);
    assert!(world.cloud().dead_letters().is_empty());
}

#[test]
fn by_the_command_line() {
    let mut world = three();
    start_rollback(&world, &json!([{"name": "Undoes", "value": "serving"}]));
    back_on_2(&mut world, "a person asked for it");
}

#[test]
fn by_the_link_in_the_mail() {
    let mut world = three();
    let link = world.take_back_links().pop().unwrap();
    let older = world
        .take_back_links()
        .into_iter()
        .find(|older| *older != link)
        .unwrap();
    let (status, page) = world.decide(&older, "take-back", "older").unwrap();
    assert!(status == 409 && page.contains("Another version serves"), "{page}");
    for _ in 0..3 {
        let (status, page) = world.open(&link).unwrap();
        assert!(status == 200 && page.contains("Take v3 back"), "{page}");
    }
    world.run_for(SignedDuration::from_mins(30)).unwrap();
    assert_eq!(
        (world.serving(), executions(&world).len()),
        (Some(3), 0),
        "opening it does nothing"
    );
    for _ in 0..2 {
        let (status, page) = world.decide(&link, "take-back", "drifts on Sundays").unwrap();
        assert!(status == 200 && page.contains("is taken back"), "{page}");
    }
    back_on_2(&mut world, "drifts on Sundays");
    let (status, page) = world.decide(&link, "take-back", "again").unwrap();
    assert!(status == 409 && page.contains("taken back before"), "{page}");
}

#[test]
fn by_rejecting_it_in_the_registry() {
    let mut world = three();
    let arn = world.package(3).unwrap()["ModelPackageArn"].clone();
    let update = json!({"ModelPackageArn": arn, "ModelApprovalStatus": "Rejected", "ApprovalDescription": "biased"});
    world.call(Service::SageMaker, "UpdateModelPackage", &update).unwrap();
    back_on_2(&mut world, "biased");
}

#[test]
fn a_rejected_version_that_does_not_serve_changes_nothing() {
    let mut world = three();
    let arn = world.package(2).unwrap()["ModelPackageArn"].clone();
    let update = json!({"ModelPackageArn": arn, "ModelApprovalStatus": "Rejected", "ApprovalDescription": "biased"});
    world.call(Service::SageMaker, "UpdateModelPackage", &update).unwrap();
    world.run_for(SignedDuration::from_mins(20)).unwrap();
    assert_eq!((world.serving(), executions(&world).len()), (Some(3), 0));
    // And it is no version to go back to.
    world.set_alarm(ALARM, "ALARM").unwrap();
    world.until_outcome(3, "rolled-back").unwrap();
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    assert_eq!(world.serving(), Some(1));
}

#[test]
fn by_an_alarm_within_the_guard_time_and_not_after_it() {
    let mut world = three();
    world.run_for(SignedDuration::from_mins(55)).unwrap();
    world.set_alarm(ALARM, "ALARM").unwrap();
    back_on_2(&mut world, ALARM);
    let mut world = three();
    world.run_for(SignedDuration::from_mins(65)).unwrap();
    world.set_alarm(ALARM, "ALARM").unwrap();
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    assert_eq!((world.serving(), executions(&world).len()), (Some(3), 0));
}

#[test]
fn scaling_does_not_prolong_the_guard_time() {
    let mut world = three();
    world.run_for(SignedDuration::from_hours(3)).unwrap();
    let scale = json!({"EndpointName": "tumour", "DesiredWeightsAndCapacities": [
        {"VariantName": "AllTraffic", "DesiredInstanceCount": 6}]});
    world
        .call(Service::SageMaker, "UpdateEndpointWeightsAndCapacities", &scale)
        .unwrap();
    world.run_for(SignedDuration::from_mins(10)).unwrap();
    world.set_alarm(ALARM, "ALARM").unwrap();
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    assert_eq!((world.serving(), executions(&world).len()), (Some(3), 0));
}

#[test]
fn an_alarm_after_a_rollback_is_told_and_goes_no_further_back() {
    let mut world = three();
    start_rollback(&world, &json!([{"name": "Undoes", "value": "serving"}]));
    world.until_outcome(3, "rolled-back").unwrap();
    world.run_for(SignedDuration::from_mins(2)).unwrap();
    world.set_alarm(ALARM, "ALARM").unwrap();
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    assert_eq!((world.serving(), executions(&world).len()), (Some(2), 1));
    mail_with(&world, "look at the endpoint");
    // Asked for a second time, whatever serves may not be what is meant; named, it is.
    start_rollback(&world, &json!([{"name": "Undoes", "value": "serving"}]));
    world.run_for(SignedDuration::from_mins(30)).unwrap();
    assert_eq!(world.serving(), Some(2));
    assert!(mail_with(&world, "ROLLBACK FAILED").contains("name=Undoes,value=2"));
    start_rollback(
        &world,
        &json!([{"name": "Undoes", "value": "2"}, {"name": "Reason", "value": "further back"}]),
    );
    world.until_outcome(2, "rolled-back").unwrap();
    assert_eq!(world.serving(), Some(1));
}

#[test]
fn a_waiting_approval_does_not_stand_in_its_way() {
    let mut world = three();
    let link = world.propose(&Candidate::of_accuracy(0.97)).unwrap();
    world.set_alarm(ALARM, "ALARM").unwrap();
    back_on_2(&mut world, ALARM);
    // What waited is not lost by it.
    let (status, page) = world.decide(&link, "approve", "still good").unwrap();
    // What the approver was shown has changed: another champion.
    assert!(status == 200 || page.contains("has changed"), "{status} {page}");
}

#[test]
fn while_another_version_takes_over_it_waits_and_then_finds_nothing_to_take_back() {
    let mut world = three();
    let link = world.propose(&Candidate::of_accuracy(0.97)).unwrap();
    world.decide(&link, "approve", "fine").unwrap();
    world
        .run_until(2, "the canary", |world| {
            let canary = |happening: &local::cloud::Happening| {
                happening.what == "traffic-shifted"
                    && happening.data["config"].as_str().is_some_and(|c| c.contains("-v4-"))
            };
            world.happenings().iter().any(canary)
        })
        .unwrap();
    start_rollback(&world, &json!([{"name": "Undoes", "value": "3"}]));
    world.until_outcome(4, "deployed").unwrap();
    world.run_for(SignedDuration::from_mins(30)).unwrap();
    assert_eq!(world.serving(), Some(4), "neither collided, neither failed");
    assert_eq!(executions(&world)[0]["status"], "Succeeded");
    assert_eq!(world.outcome(3).as_deref(), Some("deployed"));
    assert!(world.cloud().dead_letters().is_empty());
}

#[test]
fn a_version_that_was_taken_back_is_released_again_by_a_person() {
    let mut world = three();
    start_rollback(&world, &json!([{"name": "Undoes", "value": "serving"}]));
    world.until_outcome(3, "rolled-back").unwrap();
    world.run_for(SignedDuration::from_hours(3)).unwrap();
    assert_eq!(world.serving(), Some(2), "by itself it is not tried again");
    let arn = world.package(3).unwrap()["ModelPackageArn"].clone();
    let update =
        json!({"ModelPackageArn": arn, "ModelApprovalStatus": "Approved", "ApprovalDescription": "data mended"});
    world.call(Service::SageMaker, "UpdateModelPackage", &update).unwrap();
    world.until_outcome(3, "deployed").unwrap();
    assert_eq!(world.serving(), Some(3));
}

#[test]
fn the_first_version_has_none_before_it() {
    let mut world = World::new(5).unwrap().without_traffic();
    release(&mut world, 0.9, 1);
    start_rollback(&world, &json!([{"name": "Undoes", "value": "serving"}]));
    world.run_for(SignedDuration::from_mins(30)).unwrap();
    assert_eq!(world.serving(), Some(1));
    let body = mail_with(&world, "ROLLBACK FAILED");
    assert!(body.contains("nothing served before v1"), "{body}");
    assert_eq!(executions(&world)[0]["status"], "Failed");
}

#[test]
fn a_rollback_whose_function_dies_each_time_is_told_by_another() {
    let mut world = three();
    let first = world.faults().calls();
    // Lambda tries each function twice more.
    for call in first..first + 12 {
        world.faults().plan(call, Fault::KilledAfter);
    }
    start_rollback(&world, &json!([{"name": "Undoes", "value": "serving"}]));
    world.run_for(SignedDuration::from_hours(2)).unwrap();
    assert_eq!(
        (world.serving(), &executions(&world)[0]["status"]),
        (Some(3), &json!("Failed"))
    );
    let body = mail_with(&world, "ROLLBACK FAILED")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(
        body.contains("failed to return a result") && body.contains("TakeBack"),
        "{body}"
    );
    let mails = world.mails();
    let told = mails.iter().filter(|mail| mail.subject.contains("ROLLBACK FAILED"));
    let mut told: Vec<&str> = told.map(|mail| mail.to.as_str()).collect();
    told.sort_unstable();
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
}

#[test]
fn what_served_long_ago_is_cleared_away() {
    let mut world = World::with_parameters(5, &[("KeepPrevious", "1")])
        .unwrap()
        .without_traffic();
    for (version, accuracy) in [(1, 0.90), (2, 0.93), (3, 0.95), (4, 0.96)] {
        release(&mut world, accuracy, version);
        world.run_for(SignedDuration::from_mins(10)).unwrap();
    }
    let names = |operation: &str, list: &str, name: &str| -> Vec<String> {
        let listed = world.call(Service::SageMaker, operation, &json!({})).unwrap();
        let items = listed[list].as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> = items
            .iter()
            .filter_map(|item| Some(item[name].as_str()?.to_owned()))
            .collect();
        names.sort();
        names
    };
    let configs = names("ListEndpointConfigs", "EndpointConfigs", "EndpointConfigName");
    let versions: Vec<_> = configs.iter().filter_map(|name| name.split('-').nth(1)).collect();
    assert_eq!(versions, ["v3", "v4"]);
    assert_eq!(names("ListModels", "Models", "ModelName"), ["tumour-v3", "tumour-v4"]);
    // And what is left is enough to go back.
    start_rollback(&world, &json!([{"name": "Undoes", "value": "serving"}]));
    world.until_outcome(4, "rolled-back").unwrap();
    assert_eq!(world.serving(), Some(3));
}

/// A rollback with that fault at every call of it, by an alarm after the end: it is found, done, marked and told all the same.
fn everywhere(fault: Fault) {
    let run = |faulty: Option<u64>| {
        let mut world = World::new(5).unwrap().without_traffic();
        release(&mut world, 0.90, 1);
        release(&mut world, 0.95, 2);
        let first = world.faults().calls();
        if let Some(call) = faulty {
            world.faults().plan(first + call, fault);
        }
        world.set_alarm(ALARM, "ALARM").unwrap();
        world.until_outcome(2, "rolled-back").unwrap();
        let calls = world.faults().calls() - first;
        world.run_for(SignedDuration::from_mins(40)).unwrap();
        let told = world
            .subjects()
            .iter()
            .any(|subject| subject.contains("v2 rolled back"));
        let dead = world.cloud().dead_letters().len();
        let end = (world.serving(), status(&world, 2), executions(&world).len(), dead, told);
        (end, calls)
    };
    let (end, calls) = run(None);
    assert_eq!(end, (Some(1), "Rejected".to_owned(), 1, 0, true));
    for call in 0..calls {
        let faulty = std::panic::catch_unwind(|| run(Some(call)).0);
        assert_eq!(faulty.ok().as_ref(), Some(&end), "call {call} of {calls}");
    }
}

#[test]
fn killed_after_any_call() {
    everywhere(Fault::KilledAfter);
}

#[test]
fn any_call_throttled() {
    everywhere(Fault::Throttled);
}

#[test]
fn any_call_failed_after_having_done_what_was_asked() {
    everywhere(Fault::FailedAfterDoing);
}
