//! One decision, whichever doors two people take: the link, the model registry, CodePipeline's console; in every order, with the
//! events of it in time, late, in the wrong order, twice, or lost.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

use jiff::SignedDuration;
use local::cloud::Service;
use serde_json::json;
use tests::candidate::Candidate;
use tests::world::{Delivery, World};

/// Where a decision is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// By an approver's link.
    Link,
    /// In the model registry: Studio, the CLI, the API.
    Registry,
    /// In CodePipeline's console, or by its CLI.
    Console,
}

/// How the events of the decisions reach sync-approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Events {
    /// The first decision's before the second decision is made.
    InTime,
    /// After both decisions, in order.
    Late,
    /// After both decisions, the newest first.
    Reversed,
    /// After both decisions, each twice.
    Twice,
    /// Never.
    Lost,
}

const EVENTS: [Events; 5] = [
    Events::InTime,
    Events::Late,
    Events::Reversed,
    Events::Twice,
    Events::Lost,
];
const DECISIONS: [&str; 2] = ["approve", "reject"];

/// All at once: how a version takes over is not what is asked here.
const QUICK: [(&str, &str); 2] = [("RolloutStrategy", "all-at-once"), ("DataThresholdObjects", "1000")];

/// Version 1 serves, version 2 waits; the links of the two approvers.
fn waiting() -> (World, [String; 2]) {
    let mut world = World::with_parameters(1, &QUICK).unwrap().without_traffic();
    let link = world.propose(&Candidate::of_accuracy(0.90)).unwrap();
    world.decide(&link, "approve", "").unwrap();
    world.until_outcome(1, "deployed").unwrap();
    let before = world.approval_links().len();
    world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    let links = world.approval_links().split_off(before);
    let links = links
        .try_into()
        .unwrap_or_else(|links| panic!("two approvers, two links: {links:?}"));
    (world, links)
}

fn arn(world: &World, version: u32) -> String {
    let package = world.package(version).unwrap();
    package["ModelPackageArn"].as_str().unwrap().to_owned()
}

fn status(world: &World, version: u32) -> String {
    let package = world.package(version).unwrap();
    package["ModelApprovalStatus"].as_str().unwrap().to_owned()
}

fn metadata(world: &World, version: u32, key: &str) -> String {
    let package = world.package(version).unwrap();
    let value = package["CustomerMetadataProperties"][key].as_str();
    value.unwrap_or_default().to_owned()
}

/// The token of the approval that waits, as the console has it.
fn token(world: &World) -> Option<String> {
    let input = json!({"name": "tumour-release"});
    let state = world.call(Service::CodePipeline, "GetPipelineState", &input).unwrap();
    let action = &state["stageStates"][1]["actionStates"][0]["latestExecution"];
    let waits = action["status"] == "InProgress";
    action["token"].as_str().filter(|_| waits).map(str::to_owned)
}

/// Makes a decision by that door; whether the door took it. The console's token is the one that its page was loaded with.
fn decide(world: &mut World, door: Door, decision: &str, link: &str, token: &str) -> bool {
    let api = if decision == "approve" { "Approved" } else { "Rejected" };
    match door {
        Door::Link => {
            let (_, page) = world.decide(link, decision, "by the link").unwrap();
            let second = page.contains("changed nothing");
            assert!(
                second || page.contains(&format!("v2 is {}", api.to_lowercase())),
                "{page}"
            );
            !second
        }
        Door::Registry => {
            let input = json!({"ModelPackageArn": arn(world, 2), "ModelApprovalStatus": api, "ApprovalDescription": "in Studio"});
            world.call(Service::SageMaker, "UpdateModelPackage", &input).unwrap();
            true
        }
        Door::Console => {
            let input = json!({"pipelineName": "tumour-release", "stageName": "Approve", "actionName": "Approve",
                "token": token, "result": {"status": api, "summary": "in the console"}});
            world.call(Service::CodePipeline, "PutApprovalResult", &input).is_ok()
        }
    }
}

/// Which of the two decisions stands: the first, unless the second is made in the registry where that shows the first already. That
/// is a change of mind, which the registry takes; of all others the second comes too late.
fn expected<'a>(first: (Door, &'a str), second: (Door, &'a str), events: Events) -> &'a str {
    let shown = events == Events::InTime || first.0 != Door::Console;
    if second.0 == Door::Registry && shown {
        second.1
    } else {
        first.1
    }
}

fn check(first: (Door, &str), second: (Door, &str), events: Events) {
    let case = format!("{first:?}, then {second:?}, events {events:?}");
    let (mut world, links) = waiting();
    let token = token(&world).unwrap();
    match events {
        Events::InTime => {}
        Events::Lost => world.deliver("sync-approval", Delivery::Never),
        _ => world.deliver("sync-approval", Delivery::Held),
    }
    assert!(decide(&mut world, first.0, first.1, &links[0], &token), "{case}");
    world.run_for(SignedDuration::from_secs(2)).unwrap();
    let taken = decide(&mut world, second.0, second.1, &links[1], &token);
    world.run_for(SignedDuration::from_secs(2)).unwrap();
    if events != Events::Lost {
        let mut held = world.take_held();
        if events == Events::Reversed {
            held.reverse();
        }
        let times = if events == Events::Twice { 2 } else { 1 };
        for event in held {
            for _ in 0..times {
                world.deliver_held(event.clone()).unwrap();
            }
        }
        let delivery = if events == Events::Twice {
            Delivery::Twice
        } else {
            Delivery::Once
        };
        world.deliver("sync-approval", delivery);
    }
    let stands = expected(first, second, events);
    let agreed = |world: &World| {
        let outcome = world.outcome(2);
        let ended = if stands == "approve" {
            outcome.as_deref() == Some("deployed")
        } else {
            matches!(outcome.as_deref(), Some("rejected" | "rolled-back"))
        };
        ended && status(world, 2) == if stands == "approve" { "Approved" } else { "Rejected" }
    };
    if let Err(error) = world.run_until(4, "agreement", agreed) {
        let package = world.package(2).unwrap();
        panic!("{case}: {stands} stands: {error}\n{package:#}");
    }
    // And so it stays, however often it is looked at.
    let mails = world.subjects();
    world.run_for(SignedDuration::from_hours(3)).unwrap();
    assert!(agreed(&world), "{case}: {stands} did not last");
    assert_eq!(world.subjects(), mails, "{case}: told again");
    assert_eq!(world.serving(), Some(if stands == "approve" { 2 } else { 1 }), "{case}");
    assert!(world.cloud().dead_letters().is_empty(), "{case}");

    // The mail goes to each of the two who are told.
    let told = |words: &str| mails.iter().filter(|subject| subject.contains(words)).count() / 2;
    // The page shows whoever comes second what stands; of the other two doors neither knows of the other.
    let apart = matches!(
        (first.0, second.0),
        (Door::Registry, Door::Console) | (Door::Console, Door::Registry)
    );
    let crossed = apart && taken && first.1 != second.1 && events != Events::InTime;
    assert_eq!(
        told("two decisions crossed"),
        usize::from(crossed),
        "{case}: {mails:#?}"
    );
    let outcome = world.outcome(2).unwrap();
    // Whoever changed their mind did so after the others were told, or after it was written down.
    let reconsidered =
        first.1 == "reject" && stands == "approve" && (events == Events::InTime || first.0 == Door::Link);
    let rejected = usize::from(outcome == "rejected" || reconsidered);
    assert_eq!(told("v2 rejected"), rejected, "{case}: {mails:#?}");
    if !taken {
        assert_eq!(stands, first.1, "{case}");
    }
    // Who decided is kept where the decision is.
    let by = if stands == first.1 && !(first.1 == second.1 && second.0 == Door::Registry) {
        first.0
    } else {
        second.0
    };
    let by = match by {
        Door::Link => "lead@example.com",
        Door::Registry => "administrator in the model registry",
        Door::Console => "administrator in CodePipeline",
    };
    if first.1 != second.1 && outcome != "rolled-back" {
        assert_eq!(metadata(&world, 2, "signalbox:decided-by"), by, "{case}");
    }
}

fn check_all(first: Door, second: Door) {
    for events in EVENTS {
        for first_decision in DECISIONS {
            for second_decision in DECISIONS {
                check((first, first_decision), (second, second_decision), events);
            }
        }
    }
}

#[test]
fn two_links() {
    check_all(Door::Link, Door::Link);
}

#[test]
fn a_link_then_the_registry() {
    check_all(Door::Link, Door::Registry);
}

#[test]
fn a_link_then_the_console() {
    check_all(Door::Link, Door::Console);
}

#[test]
fn the_registry_then_a_link() {
    check_all(Door::Registry, Door::Link);
}

#[test]
fn the_registry_twice() {
    check_all(Door::Registry, Door::Registry);
}

#[test]
fn the_registry_then_the_console() {
    check_all(Door::Registry, Door::Console);
}

#[test]
fn the_console_then_a_link() {
    check_all(Door::Console, Door::Link);
}

#[test]
fn the_console_then_the_registry() {
    check_all(Door::Console, Door::Registry);
}

#[test]
fn the_console_twice() {
    check_all(Door::Console, Door::Console);
}
