//! What must stop a release, and what a person is told then.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use jiff::SignedDuration;
use local::cloud::Service;
use serde_json::json;
use tests::candidate::Candidate;
use tests::world::World;

const DEFINITION: &str = include_str!("../../infra/model-repository/pipeline-definition.json");

/// Pushes and runs a day: nothing may be released, nothing may be left in the dead-letter queue, and the mails and the train
/// pipeline's state together must say the words.
fn refused(world: &mut World, candidate: &Candidate, words: &[&str]) {
    world.push(candidate).unwrap();
    world.run_for(SignedDuration::from_hours(12)).unwrap();
    assert!(world.approval_links().is_empty(), "nobody is asked to approve it");
    assert_eq!(world.serving(), None, "nobody's model is deployed");
    let state = json!({"name": format!("{}-train", world.model())});
    let state = world.call(Service::CodePipeline, "GetPipelineState", &state).unwrap();
    let mails = world
        .mails()
        .iter()
        .map(|mail| format!("{}\n{}\n", mail.subject, mail.body))
        .collect::<String>();
    assert!(!mails.is_empty(), "somebody is told");
    for word in words {
        let said = mails.contains(word) || state.to_string().contains(word);
        assert!(said, "{word:?} is not said in\n{mails}\n{state:#}");
    }
    assert!(
        world.cloud().dead_letters().is_empty(),
        "{:#?}",
        world.cloud().dead_letters()
    );
}

fn world() -> World {
    World::new(1).unwrap()
}

#[test]
fn a_metric_that_is_not_a_number() {
    for (report, words) in [
        (r#"{"metrics": {"accuracy": "NaN"}}"#, "accuracy"),
        (r#"{"metrics": {"accuracy": NaN}}"#, "`NaN`"),
        (r#"{"metrics": {}}"#, "accuracy"),
        ("", "evaluation.json"),
    ] {
        refused(
            &mut world(),
            &Candidate {
                report: report.into(),
                ..Candidate::of_accuracy(0.9)
            },
            &[words],
        );
    }
}

#[test]
fn a_metric_that_the_pipeline_does_not_look_at_is_not_a_number() {
    let report = r#"{"metrics": {"accuracy": 0.93, "f1": Infinity}}"#;
    refused(
        &mut world(),
        &Candidate {
            report: report.into(),
            ..Candidate::of_accuracy(0.9)
        },
        &["Infinity"],
    );
}

#[test]
fn a_gate_that_does_not_parse() {
    let mut world = World::with_parameters(1, &[("GateExpression", "metrics.accuracy >")]).unwrap();
    refused(
        &mut world,
        &Candidate::of_accuracy(0.95),
        &["gate", "metrics.accuracy >"],
    );
}

#[test]
fn a_gate_that_names_an_absent_metric() {
    let mut world = World::with_parameters(1, &[("GateExpression", "metrics.recal > 0.5")]).unwrap();
    refused(&mut world, &Candidate::of_accuracy(0.95), &["recal"]);
}

#[test]
fn a_definition_that_is_not_json() {
    let candidate = Candidate {
        definition: Some("{".into()),
        ..Candidate::of_accuracy(0.95)
    };
    refused(&mut world(), &candidate, &["pipeline-definition.json"]);
}

#[test]
fn a_definition_that_sagemaker_refuses() {
    let definition = DEFINITION.replace("\"Training\"", "\"Trainning\"");
    let candidate = Candidate {
        definition: Some(definition),
        ..Candidate::of_accuracy(0.95)
    };
    refused(&mut world(), &candidate, &["Trainning"]);
}

#[test]
fn a_wrong_template_parameter_is_refused_by_name() {
    for (name, value) in [
        ("AccuracyThreshold", "high"),
        ("RolloutStrategy", "yolo"),
        ("ModelName", "Not_A_Name"),
        ("NoSuchParameter", "1"),
    ] {
        let error = World::with_parameters(1, &[(name, value)])
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn an_event_that_is_not_understood_is_tried_again_and_then_kept() {
    let mut world = world();
    let topic = format!("arn:aws:sns:eu-west-1:123456789012:{}-approval-requests", world.model());
    let junk = json!({"TopicArn": topic, "Message": "{\"approval\": \"yes\"}"});
    world.call(Service::Sns, "Publish", &junk).unwrap();
    world.run_for(SignedDuration::from_mins(10)).unwrap();
    let function = format!("{}-request-approval", world.model());
    assert_eq!(
        world.cloud().invocations().get(&function),
        Some(&4),
        "by its schedule; once, and two retries"
    );
    let letters = world.cloud().dead_letters();
    assert_eq!(letters.len(), 1);
    let letter = letters.first().map(ToString::to_string).unwrap_or_default();
    assert!(
        letter.contains("not a CodePipeline approval"),
        "the error is kept with the event: {letter}"
    );
    let alarm = format!("{}-dead-letters", world.model());
    assert!(
        world.subjects().iter().any(|subject| subject.contains(&alarm)),
        "and somebody is told"
    );
}

#[test]
fn a_function_may_do_only_what_its_role_allows() {
    let world = world();
    let (model, bucket) = (world.model(), world.bucket());
    let environment = world.cloud().function_environment(&format!("{model}-retrain")).unwrap();
    let caller = world.cloud().caller_of(&environment["AWS_ACCESS_KEY_ID"]);
    for (service, operation, input, allowed) in [
        (
            Service::S3,
            "ListObjectsV2",
            json!({"Bucket": bucket, "Prefix": "data/"}),
            true,
        ),
        (
            Service::S3,
            "ListObjectsV2",
            json!({"Bucket": bucket, "Prefix": "models/"}),
            false,
        ),
        (
            Service::S3,
            "GetObject",
            json!({"Bucket": bucket, "Key": "data/part-0001.csv"}),
            false,
        ),
        (Service::SageMaker, "ListPipelines", json!({}), false),
        (
            Service::SageMaker,
            "DeleteEndpoint",
            json!({"EndpointName": model}),
            false,
        ),
    ] {
        let answer = world.cloud().call(&caller, service, operation, &input);
        let denied = answer
            .as_ref()
            .is_err_and(|error| error.code.starts_with("AccessDenied"));
        assert_eq!(denied, !allowed, "{operation} {input}: {answer:?}");
    }
}
