use serde_json::json;
use signalbox_aws::memory::{JobAnswers, Objects, Trainings};
use signalbox_model::job::FailureType;

use super::*;

const EVENT: &str = include_str!("../../../events/start-training-job.json");
const DEFINITION: &str = include_str!("../../../infra/model-repository/pipeline-definition.json");

fn settings() -> Settings {
    Settings {
        model: "churn".parse().unwrap(),
        bucket: "bucket".into(),
        role_arn: "arn:aws:iam::123456789012:role/churn-sagemaker".into(),
        image_uri: "image".into(),
        instance_type: "ml.m5.large".into(),
        accuracy_threshold: 0.85,
        data_prefix: "data/".into(),
    }
}

/// A zip of stored files, made as git makes it.
fn artifact(files: &[(&str, &str)]) -> Vec<u8> {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, content) in files {
        archive
            .start_file(*path, zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(content.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

async fn run(files: &[(&str, &str)], event: Value) -> (JobAnswers, Objects, Trainings) {
    let (jobs, objects, trainings) = (JobAnswers::default(), Objects::default(), Trainings::default());
    objects.put("s3://bucket/churn-train/Build/Zx81abc", artifact(files));
    for _ in 0..2 {
        handle(&settings(), &jobs, &objects, &trainings, event.clone())
            .await
            .unwrap();
    }
    (jobs, objects, trainings)
}

fn event() -> Value {
    serde_json::from_str(EVENT).unwrap()
}

#[tokio::test]
async fn the_built_definition_is_started_once_however_often_it_is_asked_for() {
    let files = [
        ("pipeline-definition.json", DEFINITION),
        ("train.py", "print()"),
        ("tests/test_train.py", ""),
    ];
    let (jobs, objects, trainings) = run(&files, event()).await;
    let started = trainings.started();
    assert_eq!(started.len(), 1);
    let lineage = Lineage::from_description(Some(&started[0].description));
    assert_eq!(
        (lineage.trigger, lineage.commit.as_deref()),
        (Trigger::Push, Some("0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a"))
    );
    assert!(
        matches!(
            &jobs.given()[0],
            Ok(Answer::Done {
                external_id: Some(_),
                ..
            })
        ),
        "{:?}",
        jobs.given()
    );
    let code: Vec<String> = objects
        .uris()
        .into_iter()
        .filter(|uri| uri.contains("/code/"))
        .collect();
    assert_eq!(code.len(), 2, "the script and the archive, not the tests: {code:?}");
    assert!(trainings.definitions()[0].contains("s3://bucket/code/"));
}

#[tokio::test]
async fn what_a_person_must_mend_fails_the_job_at_once() {
    let parameters = |text: Value| {
        let mut event = event();
        event["CodePipeline.job"]["data"]["actionConfiguration"]["configuration"]["UserParameters"] = text;
        event
    };
    let without_artifact = {
        let mut event = event();
        event["CodePipeline.job"]["data"]["inputArtifacts"] = json!([]);
        event
    };
    let good = ("pipeline-definition.json", DEFINITION);
    let misspelt = DEFINITION.replace("\"Training\"", "\"Trainning\"");
    for (files, event, words) in [
        (vec![good], parameters(json!("main")), "UserParameters are wrong"),
        (
            vec![good],
            parameters(json!("{\"commit\": \"0f3c\"}")),
            "missing field `execution`",
        ),
        (
            vec![good],
            parameters(json!("{\"execution\": \"1\", \"commit\": \"0f3c\"}")),
            "`execution` is `1`",
        ),
        (vec![good], without_artifact, "no input artifact"),
        (vec![("train.py", "")], event(), "has no pipeline-definition.json"),
        (
            vec![("pipeline-definition.json", "{")],
            event(),
            "pipeline-definition.json is not JSON",
        ),
        (
            vec![("pipeline-definition.json", misspelt.as_str())],
            event(),
            "SageMaker refuses pipeline-definition.json",
        ),
    ] {
        let (jobs, objects, trainings) = run(&files, event).await;
        let given = jobs.given();
        let Err(failure) = &given[0] else {
            panic!("{words}: {given:?}")
        };
        assert_eq!(failure.kind, FailureType::ConfigurationError, "{words}");
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(trainings.started().is_empty());
        let refused_late = words.starts_with("SageMaker");
        assert!(
            refused_late || objects.uris().len() == 1,
            "nothing is written before the definition is known to be usable"
        );
    }
}

#[tokio::test]
async fn an_event_that_is_no_job_is_an_error() {
    let (jobs, objects, trainings) = (JobAnswers::default(), Objects::default(), Trainings::default());
    let error = handle(&settings(), &jobs, &objects, &trainings, json!({"Records": []}))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "not a CodePipeline job event");
    assert!(jobs.given().is_empty());
}

#[test]
fn display_names_fit_sagemaker() {
    for (commit, expected) in [
        ("0f3c2b1a9d8e7f6a", "push-0f3c2b1a9d8e"),
        ("", "push"),
        ("é/\n", "push"),
    ] {
        assert_eq!(display_name(commit), expected);
    }
}
