//! What the approvers are asked, when they are asked again, and what ends an approval without them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

use jiff::SignedDuration;
use local::cloud::Service;
use local::cloud::effect::Mail;
use serde_json::json;
use tests::candidate::Candidate;
use tests::world::{Delivery, World};

const QUICK: [(&str, &str); 2] = [("RolloutStrategy", "all-at-once"), ("DataThresholdObjects", "1000")];

/// Version 1 serves.
fn serving(others: &[(&str, &str)]) -> World {
    let parameters: Vec<_> = QUICK.iter().chain(others).copied().collect();
    let mut world = World::with_parameters(1, &parameters).unwrap().without_traffic();
    world.push(&Candidate::of_accuracy(0.90)).unwrap();
    world
        .run_until(12, "an end or a question", |world| {
            world.outcome(1).is_some() || !world.approval_links().is_empty()
        })
        .unwrap();
    for link in world.approval_links() {
        world.decide(&link, "approve", "").unwrap();
    }
    world.until_outcome(1, "deployed").unwrap();
    world
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// The mails with those words in their subject.
fn mails(world: &World, words: &str) -> Vec<Mail> {
    let mails = world.mails().into_iter();
    mails.filter(|mail| mail.subject.contains(words)).collect()
}

fn status(world: &World, version: u32) -> String {
    world.package(version).unwrap()["ModelApprovalStatus"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn text(world: &World, version: u32, key: &str) -> String {
    let package = world.package(version).unwrap();
    package["CustomerMetadataProperties"][key]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// What the console shows of the release pipeline's executions, newest first.
fn releases(world: &World) -> Vec<(String, String)> {
    let input = json!({"pipelineName": "tumour-release"});
    let listed = world
        .call(Service::CodePipeline, "ListPipelineExecutions", &input)
        .unwrap();
    let executions = listed["pipelineExecutionSummaries"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    executions
        .iter()
        .map(|one| (text(&one["pipelineExecutionId"]), text(&one["status"])))
        .collect()
}

#[test]
fn the_mail_says_what_there_is_to_know() {
    let mut world = serving(&[]);
    world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    let asked = mails(&world, "approve tumour v2?");
    let to: Vec<_> = asked.iter().map(|mail| mail.to.as_str()).collect();
    assert_eq!(to, ["lead@example.com", "deputy@example.com"]);
    let body = &asked[0].body;
    for words in [
        "Ada <ada@example.com>",
        "Try number 2",
        "accuracy",
        "0.9500",
        "v1",
        "0.9000",
        "+0.0500 better",
        "held",
        "Training took: 2 min",
        "all at once",
        "deputy@example.com",
        "Monday 2 March 2026",
    ] {
        assert!(body.contains(words), "{words}: {body}");
    }
    // The other's link is another.
    assert_eq!(
        world
            .approval_links()
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        4
    );
}

#[test]
fn the_mail_says_how_much_new_data_there_was() {
    let mut world = World::with_parameters(1, &[QUICK[0], ("GateExpression", "true")])
        .unwrap()
        .without_traffic();
    let link = world.propose(&Candidate::of_accuracy(0.90)).unwrap();
    world.decide(&link, "approve", "").unwrap();
    world.until_outcome(1, "deployed").unwrap();
    for part in 2..=4 {
        world
            .put_object(&format!("data/part-{part:04}.csv"), "label,x\n1,2\n")
            .unwrap();
    }
    let asked = |world: &World| !mails(world, "approve tumour v2?").is_empty();
    world.run_until(2, "the question about v2", asked).unwrap();
    let body = &mails(&world, "approve tumour v2?")[0].body;
    for words in [
        "3 new objects (36 bytes) since the data of the last training",
        "New data: from Monday 2 March 2026",
        "v1 served then",
        "Ada <ada@example.com>",
        "Try number 1",
    ] {
        assert!(body.contains(words), "{words}: {body}");
    }
}

#[test]
fn a_newer_candidate_takes_the_place_of_the_one_that_waits() {
    let mut world = serving(&[]);
    let old = world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    world.propose(&Candidate::of_accuracy(0.96)).unwrap();
    world.until_outcome(2, "superseded").unwrap();
    assert_eq!(status(&world, 2), "Rejected");
    assert_eq!(world.package(2).unwrap()["ApprovalDescription"], "superseded by v3");
    assert_eq!(mails(&world, "v2 superseded by v3").len(), 2);
    // Its link is refused on a page of its own, and decides nothing.
    for (status, page) in [world.open(&old).unwrap(), world.decide(&old, "approve", "").unwrap()] {
        assert_eq!(status, 410, "{page}");
        assert!(page.contains("v3") && !page.contains("<form"), "{page}");
    }
    let new = world.approval_links().pop().unwrap();
    world.decide(&new, "approve", "").unwrap();
    world.until_outcome(3, "deployed").unwrap();
    assert_eq!(status(&world, 2), "Rejected");
    // Who wants the older one after all approves it in the registry.
    let arn = world.package(2).unwrap()["ModelPackageArn"].clone();
    let input = json!({"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"});
    world.call(Service::SageMaker, "UpdateModelPackage", &input).unwrap();
    world.until_outcome(2, "deployed").unwrap();
    assert_eq!(world.serving(), Some(2));
}

#[test]
fn of_several_that_queue_only_the_newest_is_asked_about() {
    let mut world = serving(&[]);
    world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    let asked = world.approval_links().len();
    for accuracy in [0.96, 0.97, 0.98] {
        world.push(&Candidate::of_accuracy(accuracy)).unwrap();
        world.run_for(SignedDuration::from_secs(30)).unwrap();
    }
    world
        .run_until(12, "all judged", |world| world.package(5).is_ok())
        .unwrap();
    world.run_for(minutes(10)).unwrap();
    for version in 2..=4 {
        assert_eq!(world.outcome(version).as_deref(), Some("superseded"), "v{version}");
    }
    assert!(world.approval_links().len() >= asked + 2);
    let link = world.approval_links().pop().unwrap();
    world.decide(&link, "approve", "").unwrap();
    world.until_outcome(5, "deployed").unwrap();
}

#[test]
fn without_supersession_each_is_asked_about_in_turn() {
    let mut world = serving(&[("SupersedeWaiting", "false")]);
    let second = world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    world.push(&Candidate::of_accuracy(0.96)).unwrap();
    world
        .run_until(12, "v3 is judged", |world| {
            !text(world, 2, "signalbox:gate").is_empty() && world.package(3).is_ok()
        })
        .unwrap();
    world.run_for(minutes(10)).unwrap();
    assert!(mails(&world, "approve tumour v3?").is_empty());
    world.decide(&second, "reject", "").unwrap();
    world
        .run_until(1, "the next question", |world| {
            !mails(world, "approve tumour v3?").is_empty()
        })
        .unwrap();
    world.until_outcome(2, "rejected").unwrap();
}

/// Version 2 is approved in the registry as version 3 takes its place: the first stands, and the person is told if it is not theirs.
#[test]
fn an_approval_and_a_supersession_cross() {
    for approved_first in [true, false] {
        let mut world = serving(&[]);
        world.propose(&Candidate::of_accuracy(0.95)).unwrap();
        let arn = world.package(2).unwrap()["ModelPackageArn"].clone();
        let input = json!({"ModelPackageArn": arn, "ModelApprovalStatus": "Approved", "ApprovalDescription": "now"});
        let approve = |world: &World| drop(world.call(Service::SageMaker, "UpdateModelPackage", &input).unwrap());
        world.deliver("sync-approval", Delivery::Held);
        if approved_first {
            approve(&world);
        }
        world.push(&Candidate::of_accuracy(0.96)).unwrap();
        world
            .run_until(12, "v3 is judged", |world| {
                world.package(3).is_ok() && !text(world, 3, "signalbox:gate").is_empty()
            })
            .unwrap();
        if !approved_first {
            world.run_for(SignedDuration::from_secs(1)).unwrap();
            approve(&world);
            world.run_for(SignedDuration::from_secs(1)).unwrap();
        }
        for event in world.take_held() {
            world.deliver_held(event).unwrap();
        }
        world.deliver("sync-approval", Delivery::Once);
        if approved_first {
            // The train takes no decided version's place.
            world.until_outcome(2, "deployed").unwrap();
            assert!(mails(&world, "crossed").is_empty());
        } else {
            world.until_outcome(2, "superseded").unwrap();
            assert_eq!(status(&world, 2), "Rejected");
            assert_eq!(mails(&world, "v2: two decisions crossed").len(), 2);
        }
        world
            .run_until(12, "the question about v3", |world| {
                !mails(world, "approve tumour v3?").is_empty()
            })
            .unwrap();
    }
}

#[test]
fn those_who_have_not_decided_are_reminded_once() {
    let mut world = serving(&[("ApprovalTimeoutMinutes", "600"), ("ReminderMinutes", "120")]);
    let first = world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    world.run_for(minutes(450)).unwrap();
    assert!(mails(&world, "reminder").is_empty());
    world.run_for(minutes(60)).unwrap();
    let reminders = mails(&world, "reminder: approve tumour v2?");
    assert_eq!(reminders.len(), 2);
    world.run_for(minutes(60)).unwrap();
    assert_eq!(mails(&world, "reminder").len(), 2);
    // It is the same decision, and the same link.
    let again = world.approval_links().pop().unwrap();
    assert_eq!(again, first);
    world.decide(&again, "approve", "").unwrap();
    world.until_outcome(2, "deployed").unwrap();
}

#[test]
fn a_short_wait_is_not_reminded_of_in_its_first_half() {
    let mut world = serving(&[("ApprovalTimeoutMinutes", "90"), ("ReminderMinutes", "1440")]);
    world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    world.run_for(minutes(30)).unwrap();
    assert!(mails(&world, "reminder").is_empty());
    world.run_for(minutes(35)).unwrap();
    assert_eq!(mails(&world, "reminder").len(), 2);
}

#[test]
fn a_request_that_was_lost_is_made_again() {
    let mut world = serving(&[]);
    world.deliver("request-approval", Delivery::Never);
    world.push(&Candidate::of_accuracy(0.95)).unwrap();
    world
        .run_until(2, "the approval mail", |world| {
            !mails(world, "approve tumour v2?").is_empty()
        })
        .unwrap();
    world.run_for(minutes(20)).unwrap();
    assert_eq!(mails(&world, "approve tumour v2?").len(), 2);
    let link = world.approval_links().pop().unwrap();
    world.decide(&link, "approve", "").unwrap();
    world.until_outcome(2, "deployed").unwrap();
}

/// What serves is taken back while a candidate waits: it was compared with what no longer serves.
#[test]
fn other_evidence_asks_anew() {
    let mut world = serving(&[("GateExpression", "true")]);
    let second = world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    world.decide(&second, "approve", "").unwrap();
    world.until_outcome(2, "deployed").unwrap();
    let old = world.propose(&Candidate::of_accuracy(0.97)).unwrap();
    let take_back = world.take_back_links().pop().unwrap();
    world.decide(&take_back, "take-back", "").unwrap();
    world.until_outcome(2, "rolled-back").unwrap();
    let (status, page) = world.open(&old).unwrap();
    assert_eq!(status, 409, "{page}");
    let (status, _) = world.decide(&old, "approve", "").unwrap();
    assert_eq!(status, 409);
    world
        .run_until(1, "the mail with what is so now", |world| {
            !mails(world, "changed: approve tumour v3?").is_empty()
        })
        .unwrap();
    let new = world.approval_links().pop().unwrap();
    assert_ne!(new, old);
    let (status, page) = world.open(&new).unwrap();
    assert_eq!(status, 200);
    assert!(page.contains("v1"), "compared with what serves now: {page}");
    world.decide(&new, "approve", "").unwrap();
    world.until_outcome(3, "deployed").unwrap();
}

#[test]
fn two_approvals_are_needed_where_two_are_asked_for() {
    let mut world = World::with_parameters(1, &[("ApprovalsNeeded", "2"), QUICK[0], QUICK[1]])
        .unwrap()
        .without_traffic();
    world.propose(&Candidate::of_accuracy(0.90)).unwrap();
    let links = world.approval_links();
    let (first, second) = (&links[0], &links[1]);
    for _ in 0..2 {
        let (status, page) = world.decide(first, "approve", "fine").unwrap();
        assert_eq!(status, 200, "{page}");
        assert!(page.contains("1 of 2"), "{page}");
    }
    world.run_for(minutes(20)).unwrap();
    assert_eq!(world.outcome(1), None);
    assert_eq!(status(&world, 1), "PendingManualApproval");
    let (_, page) = world.open(second).unwrap();
    assert!(page.contains("lead@example.com"), "who has approved is shown: {page}");
    let (_, page) = world.decide(second, "approve", "").unwrap();
    assert!(page.contains("is approved"), "{page}");
    world.until_outcome(1, "deployed").unwrap();
    assert_eq!(
        text(&world, 1, "signalbox:decided-by"),
        "lead@example.com and deputy@example.com"
    );
    let deployed = mails(&world, "v1 deployed");
    assert!(
        deployed[0].body.contains("lead@example.com and deputy@example.com"),
        "{}",
        deployed[0].body
    );
}

#[test]
fn one_rejection_rejects() {
    let mut world = World::with_parameters(1, &[("ApprovalsNeeded", "2"), QUICK[0], QUICK[1]])
        .unwrap()
        .without_traffic();
    world.propose(&Candidate::of_accuracy(0.90)).unwrap();
    let links = world.approval_links();
    world.decide(&links[0], "approve", "").unwrap();
    world.decide(&links[1], "reject", "not yet").unwrap();
    world.until_outcome(1, "rejected").unwrap();
    assert_eq!(status(&world, 1), "Rejected");
    assert!(mails(&world, "v1 rejected")[0].body.contains("deputy@example.com"));
}

/// The function dies after any call that the last of two approvals makes: the sweep goes on where the vote was counted.
#[test]
fn votes_that_were_counted_and_not_acted_on_are_found() {
    let mut killed = false;
    for call in 0..20 {
        let mut tried = World::with_parameters(1, &[("ApprovalsNeeded", "2"), QUICK[0], QUICK[1]])
            .unwrap()
            .without_traffic();
        tried.propose(&Candidate::of_accuracy(0.90)).unwrap();
        let links = tried.approval_links();
        tried.decide(&links[0], "approve", "").unwrap();
        let next = tried.faults().calls() + call;
        tried.faults().plan(next, tests::connector::Fault::KilledAfter);
        if tried.decide(&links[1], "approve", "").is_ok() {
            break;
        }
        killed = true;
        tried.run_for(minutes(40)).unwrap();
        if tried.outcome(1).is_none() {
            // Nothing was written: it is still theirs to decide.
            assert_eq!(status(&tried, 1), "PendingManualApproval", "call {call}");
            tried.decide(&links[1], "approve", "").unwrap();
        }
        tried.until_outcome(1, "deployed").unwrap();
    }
    assert!(killed);
}

#[test]
fn the_automatic_policy_tells_and_asks_nobody() {
    let mut world = serving(&[("ApprovalMode", "automatic")]);
    world.push(&Candidate::of_accuracy(0.95)).unwrap();
    world.until_outcome(2, "deployed").unwrap();
    assert!(world.approval_links().is_empty());
    let told = mails(&world, "v2 released automatically");
    assert_eq!(told.len(), 2);
    assert!(told[0].body.contains("+0.0500 better"), "{}", told[0].body);
    assert_eq!(text(&world, 2, "signalbox:decided-by"), "the automatic policy");
    assert!(world.subjects().iter().all(|subject| !subject.contains("approve ")));
    // What does not pass is not released, and somebody is told.
    world.push(&Candidate::of_accuracy(0.93)).unwrap();
    world.until_outcome(3, "gate-not-met").unwrap();
    assert_eq!(world.serving(), Some(2));
}

#[test]
fn a_release_that_is_stopped_while_it_waits_is_rejected() {
    let mut world = serving(&[]);
    let link = world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    let (release, _) = releases(&world).remove(0);
    let input =
        json!({"pipelineName": "tumour-release", "pipelineExecutionId": release, "abandon": true, "reason": "no"});
    world
        .call(Service::CodePipeline, "StopPipelineExecution", &input)
        .unwrap();
    world.until_outcome(2, "rejected").unwrap();
    assert_eq!(status(&world, 2), "Rejected");
    assert_eq!(mails(&world, "v2 stopped").len(), 2);
    let (_, page) = world.decide(&link, "approve", "").unwrap();
    assert!(!page.contains("<form"), "{page}");
    assert_eq!(world.serving(), Some(1));
}

/// What a stranger may write: in a commit, in a report, in a comment.
#[test]
fn what_strangers_write_stays_text() {
    let mut world = serving(&[("GateExpression", "true")]);
    let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let report = json!({"metrics": {"accuracy": 0.95, hostile: 1.0}});
    let candidate = Candidate {
        report: report.to_string(),
        ..Candidate::of_accuracy(0.95)
    };
    world.say(hostile, "Mallory <script>@example.com");
    let link = world.propose(&candidate).unwrap();
    let (status, page) = world.open(&link).unwrap();
    assert_eq!(status, 200);
    assert!(page.contains("Mallory"), "the author is shown");
    let (_, decided) = world
        .decide(&link, "reject", "%3Cscript%3Ealert(1)%3C/script%3E")
        .unwrap();
    let (_, again) = world.open(&link).unwrap();
    for page in [page, decided, again] {
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    }
}
