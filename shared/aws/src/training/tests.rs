use serde_json::json;

use super::*;
use crate::recorded::{Recorded, SECONDS, output, refusal, time};

const ARN: &str = "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/churn/execution/abc";
const ROLE: &str = "arn:aws:iam::111122223333:role/train";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const MISSING: &str = "Pipeline 'arn:aws:sagemaker:eu-west-1:111122223333:pipeline/churn' does not exist.";

#[tokio::test]
async fn a_pipeline_that_is_there_is_updated() {
    let recorded = Recorded::new([output(json!({"PipelineArn": "arn", "PipelineVersionId": 7}))]);
    let pipelines = Pipelines::new(&recorded.sdk());
    assert_eq!(pipelines.define("churn", "{}", ROLE, TOKEN).await.unwrap(), 7);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.UpdatePipeline
    {
      "PipelineDefinition": "{}",
      "PipelineName": "churn",
      "RoleArn": "arn:aws:iam::111122223333:role/train"
    }
    "#);
}

#[tokio::test]
async fn a_pipeline_that_is_not_there_is_created_and_asked_for_its_version() {
    let recorded = Recorded::new([
        refusal("ResourceNotFound", MISSING),
        output(json!({"PipelineArn": "arn"})),
        output(json!({"PipelineArn": "arn", "PipelineVersionId": 1})),
    ]);
    let pipelines = Pipelines::new(&recorded.sdk());
    assert_eq!(pipelines.define("churn", "{}", ROLE, TOKEN).await.unwrap(), 1);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.UpdatePipeline
    {
      "PipelineDefinition": "{}",
      "PipelineName": "churn",
      "RoleArn": "arn:aws:iam::111122223333:role/train"
    }

    POST / SageMaker.CreatePipeline
    {
      "ClientRequestToken": "0123456789abcdef0123456789abcdef",
      "PipelineDefinition": "{}",
      "PipelineName": "churn",
      "RoleArn": "arn:aws:iam::111122223333:role/train"
    }

    POST / SageMaker.UpdatePipeline
    {
      "PipelineDefinition": "{}",
      "PipelineName": "churn",
      "RoleArn": "arn:aws:iam::111122223333:role/train"
    }
    "#);
}

#[tokio::test]
async fn a_pipeline_that_another_has_just_created_is_updated() {
    let exists =
        "Pipeline names must be unique within an AWS account and region. Pipeline with name (churn) already exists.";
    let recorded = Recorded::new([
        refusal("ResourceNotFound", MISSING),
        refusal("ValidationException", exists),
        output(json!({"PipelineArn": "arn", "PipelineVersionId": 2})),
    ]);
    let pipelines = Pipelines::new(&recorded.sdk());
    assert_eq!(pipelines.define("churn", "{}", ROLE, TOKEN).await.unwrap(), 2);
    let requests = recorded.requests();
    let targets: Vec<_> = requests.lines().filter(|line| line.starts_with("POST")).collect();
    let expected = ["UpdatePipeline", "CreatePipeline", "UpdatePipeline"];
    assert_eq!(
        targets,
        expected.map(|operation| format!("POST / SageMaker.{operation}"))
    );
}

#[tokio::test]
async fn a_definition_that_is_refused_is_invalid() {
    for refused in [
        vec![refusal("ValidationException", "Unable to parse pipeline definition.")],
        vec![
            refusal("ResourceNotFound", MISSING),
            refusal("ValidationException", "Unable to parse pipeline definition."),
        ],
    ] {
        let recorded = Recorded::new(refused);
        let error = Pipelines::new(&recorded.sdk())
            .define("churn", "}", ROLE, TOKEN)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        recorded.requests();
    }
}

#[tokio::test]
async fn a_training_starts_with_its_token_and_lineage() {
    let recorded = Recorded::new([
        output(json!({"PipelineExecutionArn": ARN})),
        output(json!({"PipelineExecutionArn": ARN})),
    ]);
    let pipelines = Pipelines::new(&recorded.sdk());
    let start = Start {
        pipeline: "churn",
        version: Some(7),
        token: TOKEN,
        display_name: "push-4a5b6c7",
        description: r#"{"trigger":"push"}"#,
        parameters: &[
            ("DataFrom", String::new()),
            ("DataUntil", "2026-03-08T03:00:00Z".into()),
        ],
    };
    assert_eq!(pipelines.start(&start).await.unwrap(), ARN);
    let newest = Start {
        version: None,
        parameters: &[],
        ..start
    };
    assert_eq!(pipelines.start(&newest).await.unwrap(), ARN);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.StartPipelineExecution
    {
      "ClientRequestToken": "0123456789abcdef0123456789abcdef",
      "PipelineExecutionDescription": "{\"trigger\":\"push\"}",
      "PipelineExecutionDisplayName": "push-4a5b6c7",
      "PipelineName": "churn",
      "PipelineParameters": [
        {
          "Name": "DataFrom",
          "Value": ""
        },
        {
          "Name": "DataUntil",
          "Value": "2026-03-08T03:00:00Z"
        }
      ],
      "PipelineVersionId": 7
    }

    POST / SageMaker.StartPipelineExecution
    {
      "ClientRequestToken": "0123456789abcdef0123456789abcdef",
      "PipelineExecutionDescription": "{\"trigger\":\"push\"}",
      "PipelineExecutionDisplayName": "push-4a5b6c7",
      "PipelineName": "churn"
    }
    "#);
}

#[tokio::test]
async fn an_execution_is_read() {
    let recorded = Recorded::new([
        output(json!({
            "PipelineExecutionArn": ARN,
            "PipelineExecutionStatus": "Failed",
            "PipelineExecutionDescription": "by hand",
            "CreationTime": SECONDS,
            "FailureReason": "Step failure: One or multiple steps failed.",
        })),
        output(json!({"PipelineExecutionArn": ARN, "PipelineExecutionStatus": "Executing"})),
    ]);
    let pipelines = Pipelines::new(&recorded.sdk());
    let failed = Execution {
        arn: ARN.to_owned(),
        status: Status::Failed,
        description: Some("by hand".to_owned()),
        started_at: Some(time()),
        failure_reason: Some("Step failure: One or multiple steps failed.".to_owned()),
    };
    assert_eq!(pipelines.execution(ARN).await.unwrap(), failed);
    let running = Execution {
        arn: ARN.to_owned(),
        status: Status::Executing,
        description: None,
        started_at: None,
        failure_reason: None,
    };
    assert_eq!(pipelines.execution(ARN).await.unwrap(), running);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.DescribePipelineExecution
    {
      "PipelineExecutionArn": "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/churn/execution/abc"
    }

    POST / SageMaker.DescribePipelineExecution
    {
      "PipelineExecutionArn": "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/churn/execution/abc"
    }
    "#);
}

#[tokio::test]
async fn an_execution_in_no_known_status_is_an_incomplete_answer() {
    for answer in [json!({}), json!({"PipelineExecutionStatus": "Dreaming"})] {
        let recorded = Recorded::new([output(answer)]);
        let error = Pipelines::new(&recorded.sdk()).execution(ARN).await.unwrap_err();
        assert_eq!(
            (error.kind, error.code.as_str()),
            (ErrorKind::Other, "IncompleteAnswer")
        );
        assert!(error.message.contains("PipelineExecutionStatus"), "{error}");
    }
}

#[tokio::test]
async fn steps_tell_what_they_registered_why_they_failed_and_how_long_they_took() {
    let package = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn/7";
    let recorded = Recorded::new([output(json!({"PipelineExecutionSteps": [
        {"StepName": "Train", "StepStatus": "Succeeded", "StartTime": SECONDS, "EndTime": SECONDS + 90.0,
         "Metadata": {"TrainingJob": {"Arn": "arn:job"}}},
        {"StepName": "Register-RegisterModel", "StepStatus": "Succeeded", "Metadata": {"RegisterModel": {"Arn": package}}},
        {"StepName": "Evaluate", "StepStatus": "Failed", "StartTime": SECONDS,
         "Metadata": {"ProcessingJob": {"Arn": "arn:processing"}}, "FailureReason": "ClientError: no such file"},
        {"StepName": "QualityCheck", "StepStatus": "Succeeded", "Metadata": {"QualityCheck": {"CheckJobArn": "arn:check"}}},
        {"StepName": "TransformJob", "StepStatus": "Succeeded", "Metadata": {"TransformJob": {"Arn": "arn:transform"}}},
    ]}))]);
    let steps = Pipelines::new(&recorded.sdk()).steps(ARN).await.unwrap();
    let step = |name: &str, status: &str, failure_reason: Option<&str>, registered: Option<&str>| Step {
        name: name.to_owned(),
        status: status.to_owned(),
        failure_reason: failure_reason.map(str::to_owned),
        registered: registered.map(str::to_owned),
        started_at: None,
        ended_at: None,
        trains: false,
        job: None,
    };
    let checked = |name: &str, job: &str| Step {
        job: Some(job.to_owned()),
        ..step(name, "Succeeded", None, None)
    };
    let expected = [
        Step {
            started_at: Some(time()),
            ended_at: Some(time() + jiff::SignedDuration::from_secs(90)),
            trains: true,
            job: Some("arn:job".into()),
            ..step("Train", "Succeeded", None, None)
        },
        step("Register-RegisterModel", "Succeeded", None, Some(package)),
        Step {
            started_at: Some(time()),
            job: Some("arn:processing".into()),
            ..step("Evaluate", "Failed", Some("ClientError: no such file"), None)
        },
        checked("QualityCheck", "arn:check"),
        checked("TransformJob", "arn:transform"),
    ];
    assert_eq!(steps, expected);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.ListPipelineExecutionSteps
    {
      "MaxResults": 100,
      "PipelineExecutionArn": "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/churn/execution/abc"
    }
    "#);
}

#[tokio::test]
async fn executions_are_listed_newest_first_without_those_in_no_known_status() {
    let recorded = Recorded::new([output(json!({"PipelineExecutionSummaries": [
        {"PipelineExecutionArn": ARN, "PipelineExecutionStatus": "Succeeded", "StartTime": SECONDS,
         "PipelineExecutionDescription": "by hand"},
        {"PipelineExecutionArn": "arn:other", "PipelineExecutionStatus": "Dreaming"},
        {"PipelineExecutionArn": "arn:third", "PipelineExecutionStatus": "Failed",
         "PipelineExecutionFailureReason": "no capacity"},
    ]}))]);
    let executions = Pipelines::new(&recorded.sdk()).executions("churn", 5).await.unwrap();
    let expected = [
        Execution {
            arn: ARN.to_owned(),
            status: Status::Succeeded,
            description: Some("by hand".to_owned()),
            started_at: Some(time()),
            failure_reason: None,
        },
        Execution {
            arn: "arn:third".to_owned(),
            status: Status::Failed,
            description: None,
            started_at: None,
            failure_reason: Some("no capacity".to_owned()),
        },
    ];
    assert_eq!(executions, expected);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.ListPipelineExecutions
    {
      "MaxResults": 5,
      "PipelineName": "churn",
      "SortOrder": "Descending"
    }
    "#);
}

#[tokio::test]
async fn the_count_of_executions_is_one_that_sagemaker_takes() {
    for (count_max, expected) in [(0, 1), (1, 1), (100, 100), (255, 100)] {
        let recorded = Recorded::new([output(json!({}))]);
        let executions = Pipelines::new(&recorded.sdk()).executions("churn", count_max).await;
        assert_eq!(executions.unwrap(), []);
        let requests = recorded.requests();
        assert!(
            requests.contains(&format!("\"MaxResults\": {expected},")),
            "{count_max}: {requests}"
        );
    }
}

#[tokio::test]
async fn a_pipeline_that_is_not_there_has_no_executions() {
    let recorded = Recorded::new([refusal("ResourceNotFound", MISSING)]);
    let executions = Pipelines::new(&recorded.sdk()).executions("churn", 5).await;
    assert_eq!(executions.unwrap(), []);
}

#[tokio::test]
async fn an_execution_is_described() {
    let recorded = Recorded::new([output(json!({"PipelineExecutionArn": ARN}))]);
    let pipelines = Pipelines::new(&recorded.sdk());
    pipelines.describe(ARN, r#"{"handled":true}"#).await.unwrap();
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.UpdatePipelineExecution
    {
      "PipelineExecutionArn": "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/churn/execution/abc",
      "PipelineExecutionDescription": "{\"handled\":true}"
    }
    "#);
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (code, expected) in [
        ("ThrottlingException", ErrorKind::Transient),
        ("AccessDeniedException", ErrorKind::Denied),
        ("ConflictException", ErrorKind::Conflict),
    ] {
        let recorded = Recorded::new(std::iter::repeat_n(refusal(code, "no"), 6));
        let pipelines = Pipelines::new(&recorded.sdk());
        let start = Start {
            pipeline: "churn",
            version: None,
            token: TOKEN,
            display_name: "name",
            description: "{}",
            parameters: &[],
        };
        let errors = [
            pipelines.define("churn", "{}", ROLE, TOKEN).await.unwrap_err(),
            pipelines.start(&start).await.unwrap_err(),
            pipelines.execution(ARN).await.unwrap_err(),
            pipelines.steps(ARN).await.unwrap_err(),
            pipelines.executions("churn", 1).await.unwrap_err(),
            pipelines.describe(ARN, "{}").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(
                (error.kind, error.code.as_str(), error.message.as_str()),
                (expected, code, "no"),
                "{error}"
            );
        }
        // One request for each: nothing was tried again, and nothing created.
        recorded.requests();
    }
}
