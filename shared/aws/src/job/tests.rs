use serde_json::json;

use super::*;
use crate::memory::JobAnswers;
use crate::recorded::{Recorded, output, refusal};

fn job(token: Option<&str>) -> Job {
    let continuation_token = token.map(str::to_owned);
    Job {
        id: "job".into(),
        user_parameters: None,
        input_artifacts: vec![],
        continuation_token,
    }
}

fn done() -> Answer {
    Answer::Done {
        summary: "done".into(),
        external_id: None,
        variables: BTreeMap::new(),
    }
}

#[tokio::test]
async fn every_end_is_answered_once() {
    let jobs = JobAnswers::default();
    answer(&jobs, &job(None), async { Ok(done()) }).await.unwrap();
    answer(&jobs, &job(None), async { Err(Failure::failed("broken")) })
        .await
        .unwrap();
    answer(&jobs, &job(None), async { panic!("boom") }).await.unwrap();
    let given = jobs.given();
    assert_eq!(given.len(), 3);
    assert_eq!(given[0], Ok(done()));
    assert_eq!(given[1], Err(Failure::failed("broken")));
    assert!(given[2].as_ref().unwrap_err().message.contains("panicked"));
}

#[tokio::test]
async fn interruptions_go_on_where_they_were() {
    for (token, expected) in [(None, AGAIN), (Some("step-2"), "step-2")] {
        let jobs = JobAnswers::default();
        let throttled = AwsError::new(
            "sagemaker:UpdateEndpoint",
            ErrorKind::Transient,
            "ThrottlingException",
            "Rate exceeded",
        );
        answer(&jobs, &job(token), async { Err(throttled.into()) })
            .await
            .unwrap();
        let Some(Ok(Answer::Continue { token, .. })) = jobs.given().first().cloned() else {
            panic!("not continued")
        };
        assert_eq!(token, expected);
    }
}

#[tokio::test]
async fn an_answer_that_was_given_before_stands() {
    let jobs = JobAnswers::refusing("InvalidJobStateException");
    assert!(answer(&jobs, &job(None), async { Ok(done()) }).await.is_ok());
    let jobs = JobAnswers::refusing("ThrottlingException");
    assert!(answer(&jobs, &job(None), async { Ok(done()) }).await.is_err());
}

#[tokio::test]
async fn answers_in_codepipelines_words() {
    let recorded = Recorded::new((0..3).map(|_| output(json!({}))));
    let jobs = Jobs::new(&recorded.sdk());
    let variables = [("Endpoint", "churn"), ("Config", "churn-v7")].map(|(name, value)| (name.into(), value.into()));
    let done = Answer::Done {
        summary: "deployed".into(),
        external_id: Some("churn-v7".into()),
        variables: variables.into(),
    };
    jobs.succeed("job", &done).await.unwrap();
    let going_on = Answer::Continue {
        token: "step-2".into(),
        summary: String::new(),
        percent: 100,
    };
    jobs.succeed("job", &going_on).await.unwrap();
    jobs.fail("job", &Failure::configuration("no such policy"))
        .await
        .unwrap();
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / CodePipeline_20150709.PutJobSuccessResult
    {
      "executionDetails": {
        "externalExecutionId": "churn-v7",
        "percentComplete": 100,
        "summary": "deployed"
      },
      "jobId": "job",
      "outputVariables": {
        "Config": "churn-v7",
        "Endpoint": "churn"
      }
    }

    POST / CodePipeline_20150709.PutJobSuccessResult
    {
      "continuationToken": "step-2",
      "executionDetails": {
        "percentComplete": 99,
        "summary": "-"
      },
      "jobId": "job"
    }

    POST / CodePipeline_20150709.PutJobFailureResult
    {
      "failureDetails": {
        "message": "no such policy",
        "type": "ConfigurationError"
      },
      "jobId": "job"
    }
    "#);
}

#[tokio::test]
async fn failures_have_codepipelines_types_and_lengths() {
    for (kind, expected) in [
        (FailureType::JobFailed, "JobFailed"),
        (FailureType::ConfigurationError, "ConfigurationError"),
        (FailureType::PermissionError, "PermissionError"),
        (FailureType::SystemUnavailable, "SystemUnavailable"),
    ] {
        let recorded = Recorded::new([output(json!({}))]);
        let failure = Failure {
            kind,
            message: "é".repeat(MESSAGE_CHARS_MAX + 1),
            transient: false,
        };
        Jobs::new(&recorded.sdk()).fail("job", &failure).await.unwrap();
        let requests = recorded.requests();
        assert!(requests.contains(&format!("\"type\": \"{expected}\"")), "{requests}");
        assert_eq!(requests.matches('é').count(), MESSAGE_CHARS_MAX);
    }
}

#[tokio::test]
async fn failures_of_the_answer_itself_are_told_apart() {
    for (code, expected) in [
        ("ThrottlingException", ErrorKind::Transient),
        ("AccessDeniedException", ErrorKind::Denied),
        ("JobNotFoundException", ErrorKind::NotFound),
        ("InvalidJobStateException", ErrorKind::Other),
    ] {
        let recorded = Recorded::new([refusal(code, "no"), refusal(code, "no")]);
        let jobs = Jobs::new(&recorded.sdk());
        let errors = [
            jobs.succeed("job", &done()).await.unwrap_err(),
            jobs.fail("job", &Failure::failed("broken")).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(
                (error.kind, error.code.as_str(), error.message.as_str()),
                (expected, code, "no"),
                "{error}"
            );
        }
        recorded.requests();
    }
}
