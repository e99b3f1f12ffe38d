//! The law of the whole train: whatever goes wrong with any one call, the release ends as the clean run does.
//!
//! The clean run is counted first; then it is run again once for every call and every way in which a call can go wrong.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

use std::collections::BTreeMap;

use tests::candidate::Candidate;
use tests::connector::Fault;
use tests::world::World;

/// What must be the same whatever went wrong.
#[derive(Debug, PartialEq)]
struct End {
    serving: Option<u32>,
    outcomes: Vec<Option<String>>,
    statuses: Vec<String>,
    dead_letters: usize,
    told: BTreeMap<String, bool>,
}

/// A push, its approval, its deployment; then one that no gate lets through. Returns the end and how many calls it took.
fn run(fault: Option<(u64, Fault)>) -> (End, u64) {
    // Every look at the data is a few calls that fail as well: two are enough.
    let mut world = World::with_parameters(7, &[("DataCheckSchedule", "rate(1 hour)")])
        .unwrap()
        .without_traffic();
    if let Some((call, fault)) = fault {
        world.faults().plan(call, fault);
    }
    world.push(&Candidate::of_accuracy(0.9)).unwrap();
    world
        .run_until(24, "the approval mail", |world| !world.approval_links().is_empty())
        .unwrap();
    let link = world.approval_links().pop().unwrap();
    // A person whose page breaks tries again; so does this one.
    for _ in 0..3 {
        if world
            .decide(&link, "approve", "fine")
            .is_ok_and(|(status, _)| status == 200)
        {
            break;
        }
    }
    world
        .run_until(24, "the deployment", |world| world.outcome(1).is_some())
        .unwrap();
    world.push(&Candidate::of_accuracy(0.88)).unwrap();
    world
        .run_until(24, "the verdict", |world| world.outcome(2).is_some())
        .unwrap();
    world.run_for(jiff::SignedDuration::from_hours(2)).unwrap();
    let subjects = world.subjects();
    let told =
        ["v1 deployed", "v2"].map(|words| (words.to_owned(), subjects.iter().any(|subject| subject.contains(words))));
    let status = |version| {
        world.package(version).unwrap()["ModelApprovalStatus"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let end = End {
        serving: world.serving(),
        outcomes: vec![world.outcome(1), world.outcome(2)],
        statuses: vec![status(1), status(2)],
        dead_letters: world.cloud().dead_letters().len(),
        told: told.into_iter().collect(),
    };
    let calls = world.faults().calls();
    (end, calls)
}

/// Runs it with that fault at every call.
fn everywhere(fault: Fault) {
    let (clean, calls) = run(None);
    assert_eq!(clean.serving, Some(1));
    assert!(clean.told.values().all(|told| *told), "{:?}", clean.told);
    let mut wrong = Vec::new();
    for call in 0..calls {
        let end = std::panic::catch_unwind(|| run(Some((call, fault))).0);
        if end.as_ref().ok() != Some(&clean) {
            wrong.push((call, end.ok()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {calls} calls: {wrong:#?}\nclean: {clean:#?}",
        wrong.len()
    );
}

#[test]
fn killed_before_any_call() {
    everywhere(Fault::KilledBefore);
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
