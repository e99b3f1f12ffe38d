//! Every function, with every event that it takes, run dry in a stack where a release is under way: it reads what it would, and
//! nothing is done.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use check_version::samples;
use serde_json::Value;
use signalbox_model::names::{ModelName, ModelPackageGroupArn};
use signalbox_model::trial::{self, Expected, Invocation, Report};
use tests::candidate::Candidate;
use tests::world::World;

/// As the sample events have it.
const MODEL: [(&str, &str); 1] = [("ModelName", "churn")];

/// Version 1 serves, version 2 is taking over as a canary, version 3 waits.
fn under_way() -> World {
    let mut world = World::with_parameters(1, &MODEL).unwrap();
    let link = world.propose(&Candidate::of_accuracy(0.90)).unwrap();
    world.decide(&link, "approve", "").unwrap();
    world.until_outcome(1, "deployed").unwrap();
    let link = world.propose(&Candidate::of_accuracy(0.92)).unwrap();
    world.decide(&link, "approve", "").unwrap();
    let updating = |world: &World| {
        world
            .endpoint()
            .is_ok_and(|endpoint| endpoint.get("PendingDeploymentSummary").is_some())
    };
    world.run_until(12, "the update", updating).unwrap();
    world.propose(&Candidate::of_accuracy(0.94)).unwrap();
    assert!(updating(&world));
    world
}

/// The sample events, by function.
fn events() -> Vec<(String, String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let names = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<BTreeSet<_>>()
    };
    let events = names("events");
    let mut found = Vec::new();
    for function in names("functions") {
        let own = events.iter().filter(|event| event.starts_with(&format!("{function}-")));
        for event in own.filter(|event| event.ends_with(".json")) {
            let text = fs::read_to_string(root.join("events").join(event)).unwrap();
            let name = event.trim_end_matches(".json").to_owned();
            found.push((function.clone(), name, serde_json::from_str(&text).unwrap()));
        }
    }
    found
}

/// All that the cloud holds, but for the count of the calls.
fn state(world: &World) -> String {
    let cloud = world.cloud();
    let calls = format!("calls: {:?}", cloud.calls());
    let state = format!("{:?}", *cloud);
    assert!(state.contains(&calls));
    state.replace(&calls, "")
}

type Calls = BTreeMap<String, BTreeMap<String, u64>>;

/// The operations that were called between two counts.
fn called(before: &Calls, after: &Calls) -> BTreeSet<String> {
    let counts = |calls: &Calls| -> BTreeSet<(String, String, u64)> {
        let count = |(function, operations): (&String, &BTreeMap<String, u64>)| {
            let function = function.clone();
            let operations = operations.iter();
            operations
                .map(move |(operation, count)| (function.clone(), operation.clone(), *count))
                .collect::<Vec<_>>()
        };
        calls.iter().flat_map(count).collect()
    };
    let more = &counts(after) - &counts(before);
    more.into_iter().map(|(_, operation, _)| operation).collect()
}

#[test]
fn a_dry_run_reads_what_it_would_and_changes_nothing() {
    let world = under_way();
    let before = state(&world);
    let mut lines = Vec::new();
    for (function, name, event) in events() {
        // It is no event of the train's: it asks for dry runs itself.
        if function == "check-version" {
            continue;
        }
        let calls = world.cloud().calls().clone();
        let answer = world.dry_run(&function, event).unwrap();
        let report = Report::read_from(&answer).unwrap_or_else(|| panic!("{name}: {answer}"));
        assert_eq!(report.version, "$LATEST");
        let asked: BTreeSet<String> = report.read.iter().chain(&report.refused).cloned().collect();
        assert_eq!(called(&calls, world.cloud().calls()), asked, "{name}");
        let Report {
            read,
            held,
            refused,
            answer,
            error,
            ..
        } = report;
        lines.push(name);
        for (what, operations) in [("read", read), ("held", held), ("refused", refused)] {
            if !operations.is_empty() {
                lines.push(format!("  {what}: {}", operations.join(", ")));
            }
        }
        if !answer.is_null() {
            lines.push(format!("  answer: {answer}"));
        }
        lines.extend(error.map(|error| format!("  error: {error}")));
    }
    // Not `assert_eq`: it would print both.
    assert!(state(&world) == before, "the cloud has changed");
    insta::assert_snapshot!(lines.join("\n"));
}

/// In a stack where nothing has happened yet, and in one where much is under way.
#[test]
fn every_function_passes_the_check_of_a_new_version() {
    for world in [World::new(1).unwrap(), under_way()] {
        let model: ModelName = world.model().parse().unwrap();
        let group = format!("arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/{model}");
        let group: ModelPackageGroupArn = group.parse().unwrap();
        let functions = world.cloud().functions();
        let mut tried = 0;
        for function in functions {
            let Some(sample) = samples::of(&model, &function.name) else {
                assert_eq!(function.binary, "check-version");
                continue;
            };
            let event = sample.event(&group, &world.bucket()).unwrap();
            let invocation = Invocation {
                function_error: None,
                payload: world.dry_run(&function.binary, event).unwrap(),
            };
            let expected = Expected {
                version: "$LATEST",
                held: sample.held,
                refused: sample.refused,
            };
            assert_eq!(
                trial::judge(expected, &invocation),
                [],
                "{}: {invocation:?}",
                function.name
            );
            tried += 1;
        }
        assert_eq!(tried, 9);
    }
}
