use serde_json::json;

use super::*;
use crate::recorded::{Recorded, output, refusal};

fn hook() -> Hook {
    Hook {
        deployment_id: "d-ABCDEF123".into(),
        lifecycle_event_hook_execution_id: "eyJl".into(),
    }
}

#[tokio::test]
async fn the_app_spec_is_the_applications_revision() {
    let recorded = Recorded::new([
        output(json!({"deploymentInfo": {
            "applicationName": "churn-deployments", "deploymentId": "d-ABCDEF123", "computePlatform": "Lambda",
            "revision": {"revisionType": "String", "string": {"sha256": "0123"}},
        }})),
        output(json!({
            "applicationName": "churn-deployments",
            "revision": {"revisionType": "String", "string": {"content": "{\"version\": \"0.0\"}", "sha256": "0123"}},
        })),
    ]);
    let deployments = Deployments::new(&recorded.sdk());
    assert_eq!(
        deployments.app_spec("d-ABCDEF123").await.unwrap(),
        r#"{"version": "0.0"}"#
    );
    insta::assert_snapshot!(recorded.requests());
}

#[tokio::test]
async fn an_app_spec_in_the_deployment_itself_is_taken() {
    for revision in [
        json!({"revisionType": "String", "string": {"content": "{}"}}),
        json!({"revisionType": "AppSpecContent", "appSpecContent": {"content": "{}", "sha256": "0123"}}),
    ] {
        let recorded = Recorded::new([output(json!({"deploymentInfo": {"revision": revision}}))]);
        assert_eq!(Deployments::new(&recorded.sdk()).app_spec("d-1").await.unwrap(), "{}");
        recorded.requests();
    }
}

#[tokio::test]
async fn a_deployment_without_app_spec_is_told() {
    let revision = json!({"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k"}});
    let deployment = json!({"deploymentInfo": {"applicationName": "churn", "revision": revision}});
    for (answers, code) in [
        (vec![output(json!({}))], "IncompleteAnswer"),
        (vec![output(json!({"deploymentInfo": {}}))], "IncompleteAnswer"),
        (
            vec![output(deployment.clone()), output(json!({"revision": revision}))],
            "IncompleteAnswer",
        ),
        (
            vec![refusal("DeploymentDoesNotExistException", "no")],
            "DeploymentDoesNotExistException",
        ),
        (
            vec![output(deployment), refusal("ThrottlingException", "no")],
            "ThrottlingException",
        ),
    ] {
        let recorded = Recorded::new(answers);
        let error = Deployments::new(&recorded.sdk()).app_spec("d-1").await.unwrap_err();
        assert_eq!(error.code, code);
        recorded.requests();
    }
}

#[tokio::test]
async fn a_hook_is_answered() {
    let recorded = Recorded::new([output(json!({})), output(json!({}))]);
    let deployments = Deployments::new(&recorded.sdk());
    deployments.answer(&hook(), true).await.unwrap();
    deployments.answer(&hook(), false).await.unwrap();
    insta::assert_snapshot!(recorded.requests());
}

#[tokio::test]
async fn an_answer_that_was_given_before_stands() {
    for (code, expected) in [
        ("LifecycleEventAlreadyCompletedException", None),
        ("DeploymentDoesNotExistException", Some(ErrorKind::NotFound)),
        ("InvalidLifecycleEventHookExecutionIdException", Some(ErrorKind::Other)),
        ("ThrottlingException", Some(ErrorKind::Transient)),
    ] {
        let recorded = Recorded::new([refusal(code, "no")]);
        let answered = Deployments::new(&recorded.sdk()).answer(&hook(), true).await;
        assert_eq!(answered.err().map(|error| error.kind), expected, "{code}");
        recorded.requests();
    }
}
