use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::recorded::{Recorded, SECONDS, output, refusal, time};

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_none() {
    let missing = "Could not find endpoint \"arn:aws:sagemaker:eu-west-1:111122223333:endpoint/churn\".";
    let recorded = Recorded::new([refusal("ValidationException", missing)]);
    assert_eq!(Endpoints::new(&recorded.sdk()).endpoint("churn").await.unwrap(), None);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.DescribeEndpoint
    {
      "EndpointName": "churn"
    }
    "#);
}

#[tokio::test]
async fn an_endpoint_is_read() {
    let updating = |pending: Value| {
        json!({"EndpointName": "churn", "EndpointStatus": "Updating", "EndpointConfigName": "churn-v6",
            "LastModifiedTime": SECONDS,
            "ProductionVariants": [{"VariantName": "main", "DesiredInstanceCount": 2}],
            "PendingDeploymentSummary": {"EndpointConfigName": "churn-v7", "ProductionVariants": pending}})
    };
    let idle = Endpoint {
        status: Status::InService,
        config: "churn-v6".to_owned(),
        failure_reason: None,
        pending: None,
        modified_at: Some(time()),
        desired_counts: Vec::new(),
    };
    let begins = Pending {
        config: "churn-v7".to_owned(),
        ..Pending::default()
    };
    let with = |pending: Pending| Endpoint {
        status: Status::Updating,
        pending: Some(pending),
        desired_counts: vec![("main".to_owned(), 2)],
        ..idle.clone()
    };
    let table = [
        (
            json!({"EndpointName": "churn", "EndpointStatus": "InService", "EndpointConfigName": "churn-v6",
                "LastModifiedTime": SECONDS, "FailureReason": ""}),
            idle.clone(),
        ),
        // A count of nothing is a count, none at all is none: so it is where a variant is serverless.
        (
            json!({"EndpointName": "churn", "EndpointStatus": "InService", "EndpointConfigName": "churn-v6",
            "LastModifiedTime": SECONDS, "ProductionVariants": [
                {"VariantName": "main", "DesiredInstanceCount": 6, "CurrentInstanceCount": 4},
                {"VariantName": "idle", "DesiredInstanceCount": 0},
                {"VariantName": "serverless"},
                {"DesiredInstanceCount": 1},
            ]}),
            Endpoint {
                desired_counts: vec![("main".to_owned(), 6), ("idle".to_owned(), 0)],
                ..idle.clone()
            },
        ),
        (
            json!({"EndpointName": "churn", "EndpointStatus": "Failed", "LastModifiedTime": SECONDS,
                "FailureReason": "no capacity"}),
            Endpoint {
                status: Status::Failed,
                config: String::new(),
                failure_reason: Some("no capacity".to_owned()),
                ..idle.clone()
            },
        ),
        (
            updating(
                json!([{"VariantName": "main", "DesiredInstanceCount": 3, "VariantStatus": [
                    {"Status": "Creating", "StartTime": 1_773_999_000},
                    {"Status": "Baking", "StatusMessage": "Baking for 600 seconds", "StartTime": SECONDS},
                ]}]),
            ),
            with(Pending {
                phase: Some("Baking".to_owned()),
                message: Some("Baking for 600 seconds".to_owned()),
                since: Some(time()),
                desired_count: Some(3),
                ..begins.clone()
            }),
        ),
        (updating(json!([{"VariantName": "main"}])), with(begins.clone())),
        (updating(json!([])), with(begins)),
    ];
    for (answer, expected) in table {
        let recorded = Recorded::new([output(answer.clone())]);
        let endpoint = Endpoints::new(&recorded.sdk()).endpoint("churn").await.unwrap();
        assert_eq!(endpoint, Some(expected), "{answer}");
    }
}

#[tokio::test]
async fn an_endpoint_in_no_known_status_is_an_incomplete_answer() {
    for answer in [json!({}), json!({"EndpointStatus": "Dreaming"})] {
        let recorded = Recorded::new([output(answer)]);
        let error = Endpoints::new(&recorded.sdk()).endpoint("churn").await.unwrap_err();
        assert_eq!(error.code, "IncompleteAnswer");
    }
}

#[tokio::test]
async fn the_answers_set_the_clock() {
    let answers = [
        output(json!({"EndpointStatus": "InService"})),
        refusal("ValidationException", "wrong"),
    ];
    for answer in answers {
        let recorded = Recorded::new([answer]);
        let clock = ServerClock::default();
        let endpoints = Endpoints::with_clock(&recorded.sdk(), &clock);
        // Whatever the answer says, it bears the time.
        let _ = endpoints.endpoint("churn").await;
        assert_eq!(clock.now().as_second(), time().as_second());
    }
}

#[tokio::test]
async fn an_endpoint_is_created() {
    let recorded = Recorded::new([output(json!({"EndpointArn": "arn"}))]);
    let endpoints = Endpoints::new(&recorded.sdk());
    endpoints.create("churn", "churn-v7-0c9e6c1a").await.unwrap();
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.CreateEndpoint
    {
      "EndpointConfigName": "churn-v7-0c9e6c1a",
      "EndpointName": "churn"
    }
    "#);
    let exists = "Cannot create already existing endpoint \"arn:aws:sagemaker:eu-west-1:111122223333:endpoint/churn\".";
    let recorded = Recorded::new([refusal("ValidationException", exists)]);
    let created = Endpoints::new(&recorded.sdk())
        .create("churn", "churn-v7-0c9e6c1a")
        .await;
    assert_eq!(created.unwrap_err().kind, ErrorKind::Exists);
}

/// What UpdateEndpoint is sent.
async fn sent(update: &Update) -> String {
    let recorded = Recorded::new([output(json!({"EndpointArn": "arn"}))]);
    let endpoints = Endpoints::new(&recorded.sdk());
    endpoints.update("churn", "churn-v7-0c9e6c1a", update).await.unwrap();
    recorded.requests()
}

/// What UpdateEndpoint is sent for a plan.
async fn updated(traffic: Traffic, alarms: &[&str]) -> String {
    let plan = Plan {
        traffic,
        timeout_seconds: 3600,
        alarms: alarms.iter().map(|alarm| (*alarm).to_owned()).collect(),
    };
    sent(&Update {
        deployment: Some(plan),
        keep_count: false,
    })
    .await
}

fn blue_green(routing: Routing) -> Traffic {
    Traffic::BlueGreen {
        routing,
        wait_seconds: 60,
        termination_wait_seconds: 600,
    }
}

#[tokio::test]
async fn all_at_once_in_sagemakers_words() {
    insta::assert_snapshot!(updated(blue_green(Routing::AllAtOnce), &[]).await, @r#"
    POST / SageMaker.UpdateEndpoint
    {
      "DeploymentConfig": {
        "BlueGreenUpdatePolicy": {
          "MaximumExecutionTimeoutInSeconds": 3600,
          "TerminationWaitInSeconds": 600,
          "TrafficRoutingConfiguration": {
            "Type": "ALL_AT_ONCE",
            "WaitIntervalInSeconds": 60
          }
        }
      },
      "EndpointConfigName": "churn-v7-0c9e6c1a",
      "EndpointName": "churn"
    }
    "#);
}

#[tokio::test]
async fn a_canary_in_sagemakers_words() {
    let alarms = ["churn-errors", "churn-latency"];
    insta::assert_snapshot!(updated(blue_green(Routing::Canary(10)), &alarms).await, @r#"
    POST / SageMaker.UpdateEndpoint
    {
      "DeploymentConfig": {
        "AutoRollbackConfiguration": {
          "Alarms": [
            {
              "AlarmName": "churn-errors"
            },
            {
              "AlarmName": "churn-latency"
            }
          ]
        },
        "BlueGreenUpdatePolicy": {
          "MaximumExecutionTimeoutInSeconds": 3600,
          "TerminationWaitInSeconds": 600,
          "TrafficRoutingConfiguration": {
            "CanarySize": {
              "Type": "CAPACITY_PERCENT",
              "Value": 10
            },
            "Type": "CANARY",
            "WaitIntervalInSeconds": 60
          }
        }
      },
      "EndpointConfigName": "churn-v7-0c9e6c1a",
      "EndpointName": "churn"
    }
    "#);
}

#[tokio::test]
async fn linear_steps_in_sagemakers_words() {
    insta::assert_snapshot!(updated(blue_green(Routing::Linear(25)), &["churn-errors"]).await, @r#"
    POST / SageMaker.UpdateEndpoint
    {
      "DeploymentConfig": {
        "AutoRollbackConfiguration": {
          "Alarms": [
            {
              "AlarmName": "churn-errors"
            }
          ]
        },
        "BlueGreenUpdatePolicy": {
          "MaximumExecutionTimeoutInSeconds": 3600,
          "TerminationWaitInSeconds": 600,
          "TrafficRoutingConfiguration": {
            "LinearStepSize": {
              "Type": "CAPACITY_PERCENT",
              "Value": 25
            },
            "Type": "LINEAR",
            "WaitIntervalInSeconds": 60
          }
        }
      },
      "EndpointConfigName": "churn-v7-0c9e6c1a",
      "EndpointName": "churn"
    }
    "#);
}

#[tokio::test]
async fn rolling_batches_in_sagemakers_words() {
    let rolling = Traffic::Rolling {
        batch_percent: 50,
        wait_seconds: 120,
    };
    insta::assert_snapshot!(updated(rolling, &["churn-errors"]).await, @r#"
    POST / SageMaker.UpdateEndpoint
    {
      "DeploymentConfig": {
        "AutoRollbackConfiguration": {
          "Alarms": [
            {
              "AlarmName": "churn-errors"
            }
          ]
        },
        "RollingUpdatePolicy": {
          "MaximumBatchSize": {
            "Type": "CAPACITY_PERCENT",
            "Value": 50
          },
          "MaximumExecutionTimeoutInSeconds": 3600,
          "WaitIntervalInSeconds": 120
        }
      },
      "EndpointConfigName": "churn-v7-0c9e6c1a",
      "EndpointName": "churn"
    }
    "#);
}

#[tokio::test]
async fn a_scaled_count_is_kept_and_data_capture_is_the_new_configurations() {
    let update = Update {
        deployment: Some(Plan {
            traffic: blue_green(Routing::AllAtOnce),
            timeout_seconds: 3600,
            alarms: Vec::new(),
        }),
        keep_count: true,
    };
    insta::assert_snapshot!(sent(&update).await, @r#"
    POST / SageMaker.UpdateEndpoint
    {
      "DeploymentConfig": {
        "BlueGreenUpdatePolicy": {
          "MaximumExecutionTimeoutInSeconds": 3600,
          "TerminationWaitInSeconds": 600,
          "TrafficRoutingConfiguration": {
            "Type": "ALL_AT_ONCE",
            "WaitIntervalInSeconds": 60
          }
        }
      },
      "EndpointConfigName": "churn-v7-0c9e6c1a",
      "EndpointName": "churn",
      "ExcludeRetainedVariantProperties": [
        {
          "VariantPropertyType": "DataCaptureConfig"
        }
      ],
      "RetainAllVariantProperties": true
    }
    "#);
}

#[tokio::test]
async fn a_serverless_endpoint_is_sent_no_deployment() {
    let update = Update {
        deployment: None,
        keep_count: false,
    };
    insta::assert_snapshot!(sent(&update).await, @r#"
    POST / SageMaker.UpdateEndpoint
    {
      "EndpointConfigName": "churn-v7-0c9e6c1a",
      "EndpointName": "churn"
    }
    "#);
}

#[tokio::test]
async fn failures_are_told_apart() {
    let update = Update {
        deployment: None,
        keep_count: false,
    };
    for (code, message, expected) in [
        ("ThrottlingException", "Rate exceeded", ErrorKind::Transient),
        ("AccessDeniedException", "User is not authorized", ErrorKind::Denied),
        (
            "ValidationException",
            "Cannot update in-progress endpoint \"arn\".",
            ErrorKind::Busy,
        ),
        ("ValidationException", "1 validation error detected", ErrorKind::Invalid),
        (
            "ResourceLimitExceeded",
            "The account-level service limit is 0",
            ErrorKind::Other,
        ),
    ] {
        let recorded = Recorded::new(std::iter::repeat_n(refusal(code, message), 3));
        let endpoints = Endpoints::new(&recorded.sdk());
        let errors = [
            endpoints.endpoint("churn").await.unwrap_err(),
            endpoints.create("churn", "churn-v7").await.unwrap_err(),
            endpoints.update("churn", "churn-v7", &update).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(
                (error.kind, error.code.as_str(), error.message.as_str()),
                (expected, code, message),
                "{error}"
            );
        }
        recorded.requests();
    }
}
