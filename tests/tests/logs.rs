//! What the functions log while a whole release passes: JSON, with what each line is about on top, and without secrets.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;

use local::cloud::Service;
use serde_json::{Value, json};
use tests::candidate::Candidate;
use tests::world::World;

const ALARM: &str = "tumour-5xx";

/// A world in which version 1 was deployed, version 2 was deployed and taken back by an alarm, version 3 has not passed the gate, and
/// version 4 was rejected. An event that nobody understands came in between. With the tokens of the approvals.
fn world() -> (World, Vec<String>) {
    let mut world = World::new(3).unwrap().without_traffic().logging();
    let mut tokens = Vec::new();
    for (version, accuracy) in [(1, 0.90), (2, 0.95)] {
        let link = world.propose(&Candidate::of_accuracy(accuracy)).unwrap();
        let input = json!({"name": "tumour-release"});
        let state = world.call(Service::CodePipeline, "GetPipelineState", &input).unwrap();
        let token = state.pointer("/stageStates/1/actionStates/0/latestExecution/token");
        tokens.push(token.unwrap().as_str().unwrap().to_owned());
        world.decide(&link, "approve", "looks good").unwrap();
        world.until_outcome(version, "deployed").unwrap();
    }
    world.set_alarm(ALARM, "ALARM").unwrap();
    world.until_outcome(2, "rolled-back").unwrap();
    world.set_alarm(ALARM, "OK").unwrap();
    world.push(&Candidate::of_accuracy(0.88)).unwrap();
    world.until_outcome(3, "gate-not-met").unwrap();
    world.push_to("topic", &Candidate::of_accuracy(0.97)).unwrap();
    let link = world.propose(&Candidate::of_accuracy(0.97)).unwrap();
    world.decide(&link, "reject", "too slow").unwrap();
    world.until_outcome(4, "rejected").unwrap();
    let unknown = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {}});
    let function = "tumour-retrain".to_owned();
    assert!(world.deliver_held((function, unknown)).is_err());
    (world, tokens)
}

/// The lines, each as it must be, with their functions.
fn lines(world: &World) -> Vec<(String, Value)> {
    let read = |line: &str| {
        let parsed = serde_json::from_str::<Value>(line);
        assert!(
            parsed.as_ref().is_ok_and(Value::is_object) && !line.contains('\n'),
            "{line}"
        );
        parsed.unwrap()
    };
    let log = world.log().iter();
    log.map(|logged| (logged.function.clone(), read(&logged.line)))
        .collect()
}

fn is_metric(line: &Value) -> bool {
    line.get("_aws").is_some()
}

#[test]
fn every_line_says_whose_it_is_and_what_it_is_about() {
    let (world, _) = world();
    let lines = lines(&world);
    for (function, line) in &lines {
        assert_eq!(line["function"], function.as_str(), "{line}");
        // The alias's, or that of who is called by its name alone, as CodePipeline does.
        let version = line["functionVersion"].as_str().unwrap_or_default();
        assert!(["1", "$LATEST"].contains(&version), "{line}");
        assert_eq!(line["model"], "tumour", "{line}");
        assert!(line["requestId"].as_str().is_some_and(|id| !id.is_empty()), "{line}");
        assert!(
            is_metric(line) || line["message"].is_string() && line["level"].is_string(),
            "{line}"
        );
        assert!(line.get("version").is_none_or(Value::is_u64), "{line}");
        assert!(
            line.get("release")
                .is_none_or(|id| id.as_str().is_some_and(|id| id.len() == 36)),
            "{line}"
        );
    }
    let functions: BTreeSet<_> = lines.iter().map(|(function, _)| function.as_str()).collect();
    insta::assert_json_snapshot!(functions);
    let failed = lines.iter().find(|(_, line)| line["level"] == "ERROR").unwrap();
    assert_eq!(
        (failed.0.as_str(), &failed.1["message"]),
        ("tumour-retrain", &json!("the event was not handled"))
    );
}

/// Who searches for a release finds its whole way, and who searches for a training too.
#[test]
fn a_release_and_a_training_are_found_by_what_they_are_called() {
    let (world, _) = world();
    let lines = lines(&world);
    let said = |wanted: &dyn Fn(&Value) -> bool| -> Vec<String> {
        let of = lines.iter().filter(|(_, line)| wanted(line) && !is_metric(line));
        let mut said: Vec<_> = of
            .map(|(function, line)| format!("{function}: {}", line["message"].as_str().unwrap_or_default()))
            .collect();
        said.dedup();
        said
    };
    let release = lines
        .iter()
        .find(|(_, line)| line["message"] == "asked" && line["version"] == 2)
        .unwrap();
    let release = release.1["release"].clone();
    insta::assert_json_snapshot!("release", said(&|line| line["release"] == release));
    insta::assert_json_snapshot!(
        "version",
        said(&|line| line["version"] == 2 && line["release"] != release)
    );
    let training = lines
        .iter()
        .find(|(_, line)| line["message"] == "training started")
        .unwrap();
    let training = training.1["execution"].clone();
    insta::assert_json_snapshot!("training", said(&|line| line["execution"] == training));
}

#[test]
fn no_secret_is_logged() {
    let (world, tokens) = world();
    let mut secrets = vec![
        "secretAccessKey".to_owned(),
        "sessionToken".to_owned(),
        "artifactCredentials".to_owned(),
    ];
    secrets.extend(tokens);
    let links = world.approval_links().into_iter().chain(world.take_back_links());
    for link in links {
        let query = link.split_once('?').unwrap().1.to_owned();
        // Claims and MAC, each by itself.
        secrets.extend(
            query
                .split('&')
                .filter_map(|part| Some(part.split_once('=')?.1.to_owned())),
        );
    }
    assert!(secrets.iter().all(|secret| secret.len() > 10), "{secrets:?}");
    assert!(secrets.len() > 10, "{secrets:?}");
    for logged in world.log() {
        let leaked = secrets.iter().find(|secret| logged.line.contains(secret.as_str()));
        assert_eq!(leaked, None, "{}", logged.line);
    }
}
