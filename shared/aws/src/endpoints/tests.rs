use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::recorded::{Recorded, SECONDS, output, refusal, time};

const ROLE: &str = "arn:aws:iam::111122223333:role/serve";
const CONFIG_ARN: &str = "arn:aws:sagemaker:eu-west-1:111122223333:endpoint-config/churn-v7-0c9e6c1a";

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
    let variants = |variants: Value| {
        json!({"EndpointName": "churn", "EndpointStatus": "Updating", "EndpointConfigName": "churn-v6",
            "LastModifiedTime": SECONDS,
            "PendingDeploymentSummary": {"EndpointConfigName": "churn-v7", "ProductionVariants": variants}})
    };
    let updating = |phase: Option<&str>, message: Option<&str>, since| Endpoint {
        status: Status::Updating,
        config: "churn-v6".to_owned(),
        failure_reason: None,
        pending: Some(Pending {
            config: "churn-v7".to_owned(),
            phase: phase.map(str::to_owned),
            message: message.map(str::to_owned),
            since,
        }),
        modified_at: Some(time()),
    };
    let table = [
        (
            json!({"EndpointName": "churn", "EndpointStatus": "InService", "EndpointConfigName": "churn-v6",
                "LastModifiedTime": SECONDS, "FailureReason": ""}),
            Endpoint {
                status: Status::InService,
                config: "churn-v6".to_owned(),
                failure_reason: None,
                pending: None,
                modified_at: Some(time()),
            },
        ),
        (
            json!({"EndpointName": "churn", "EndpointStatus": "Failed", "LastModifiedTime": SECONDS,
                "FailureReason": "no capacity"}),
            Endpoint {
                status: Status::Failed,
                config: String::new(),
                failure_reason: Some("no capacity".to_owned()),
                pending: None,
                modified_at: Some(time()),
            },
        ),
        (
            variants(json!([{"VariantName": "main", "VariantStatus": [
                {"Status": "Creating", "StartTime": 1_773_999_000},
                {"Status": "Baking", "StatusMessage": "Baking for 600 seconds", "StartTime": SECONDS},
            ]}])),
            updating(Some("Baking"), Some("Baking for 600 seconds"), Some(time())),
        ),
        (variants(json!([{"VariantName": "main"}])), updating(None, None, None)),
        (variants(json!([])), updating(None, None, None)),
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
async fn a_configuration_names_what_it_has_replaced() {
    let tags = |tags: Value| json!({"Tags": tags});
    let table = [
        (
            tags(json!([{"Key": "owner", "Value": "ada"}, {"Key": REPLACES_TAG, "Value": "churn-v6-aaaaaaaa"}])),
            Some("churn-v6-aaaaaaaa"),
        ),
        (tags(json!([{"Key": "owner", "Value": "ada"}])), None),
        (json!({}), None),
    ];
    for (answer, expected) in table {
        let recorded = Recorded::new([output(answer.clone())]);
        let replaced = Endpoints::new(&recorded.sdk()).replaced(CONFIG_ARN).await.unwrap();
        assert_eq!(replaced.as_deref(), expected, "{answer}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(recorded.requests(), @r#"
            POST / SageMaker.ListTags
            {
              "ResourceArn": "arn:aws:sagemaker:eu-west-1:111122223333:endpoint-config/churn-v7-0c9e6c1a"
            }
            "#);
        }
    }
}

fn container() -> Container {
    let environment = [("WORKERS", "2"), ("LOG", "info")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    Container {
        image: "111122223333.dkr.ecr.eu-west-1.amazonaws.com/serve:1".to_owned(),
        model_data_url: Some("s3://artifacts/model.tar.gz".to_owned()),
        environment: BTreeMap::from(environment),
    }
}

#[tokio::test]
async fn a_model_is_made_once() {
    let exists = "Cannot create already existing model \"arn:aws:sagemaker:eu-west-1:111122223333:model/churn-v7\".";
    for answer in [
        output(json!({"ModelArn": "arn:aws:sagemaker:eu-west-1:111122223333:model/churn-v7"})),
        refusal("ValidationException", exists),
    ] {
        let recorded = Recorded::new([answer]);
        let endpoints = Endpoints::new(&recorded.sdk());
        endpoints.make_model("churn-v7", &container(), ROLE).await.unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(recorded.requests(), @r#"
            POST / SageMaker.CreateModel
            {
              "ExecutionRoleArn": "arn:aws:iam::111122223333:role/serve",
              "ModelName": "churn-v7",
              "PrimaryContainer": {
                "Environment": {
                  "LOG": "info",
                  "WORKERS": "2"
                },
                "Image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/serve:1",
                "ModelDataUrl": "s3://artifacts/model.tar.gz"
              }
            }
            "#);
        }
    }
}

fn new_config() -> NewConfig {
    NewConfig {
        name: "churn-v7-0c9e6c1a".to_owned(),
        model: "churn-v7".to_owned(),
        variant: "main".to_owned(),
        instance_type: "ml.m5.large".to_owned(),
        instance_count: 2,
        tags: vec![(REPLACES_TAG.to_owned(), "churn-v6-aaaaaaaa".to_owned())],
    }
}

#[tokio::test]
async fn a_configuration_is_made() {
    let recorded = Recorded::new([output(json!({"EndpointConfigArn": CONFIG_ARN}))]);
    let made = Endpoints::new(&recorded.sdk()).make_config(&new_config()).await;
    assert_eq!(made.unwrap(), None);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.CreateEndpointConfig
    {
      "EndpointConfigName": "churn-v7-0c9e6c1a",
      "ProductionVariants": [
        {
          "InitialInstanceCount": 2,
          "InstanceType": "ml.m5.large",
          "ModelName": "churn-v7",
          "VariantName": "main"
        }
      ],
      "Tags": [
        {
          "Key": "signalbox:replaces",
          "Value": "churn-v6-aaaaaaaa"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn a_configuration_that_was_made_before_tells_when() {
    let exists = format!("Cannot create already existing endpoint configuration \"{CONFIG_ARN}\".");
    let recorded = Recorded::new([
        refusal("ValidationException", &exists),
        output(json!({"EndpointConfigName": "churn-v7-0c9e6c1a", "CreationTime": SECONDS})),
    ]);
    let made = Endpoints::new(&recorded.sdk()).make_config(&new_config()).await;
    assert_eq!(made.unwrap(), Some(time()));
    let requests = recorded.requests();
    let (_, described) = requests.split_once("\n\n").unwrap();
    insta::assert_snapshot!(described, @r#"
    POST / SageMaker.DescribeEndpointConfig
    {
      "EndpointConfigName": "churn-v7-0c9e6c1a"
    }
    "#);
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

/// What UpdateEndpoint is sent for a plan.
async fn updated(traffic: Traffic, alarms: &[&str]) -> String {
    let recorded = Recorded::new([output(json!({"EndpointArn": "arn"}))]);
    let plan = Plan {
        traffic,
        timeout_seconds: 3600,
        alarms: alarms.iter().map(|alarm| (*alarm).to_owned()).collect(),
    };
    let endpoints = Endpoints::new(&recorded.sdk());
    endpoints.update("churn", "churn-v7-0c9e6c1a", &plan).await.unwrap();
    recorded.requests()
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
async fn failures_are_told_apart() {
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
        let recorded = Recorded::new(std::iter::repeat_n(refusal(code, message), 6));
        let endpoints = Endpoints::new(&recorded.sdk());
        let plan = Plan {
            traffic: blue_green(Routing::AllAtOnce),
            timeout_seconds: 3600,
            alarms: Vec::new(),
        };
        let errors = [
            endpoints.endpoint("churn").await.unwrap_err(),
            endpoints.replaced(CONFIG_ARN).await.unwrap_err(),
            endpoints.make_model("churn-v7", &container(), ROLE).await.unwrap_err(),
            endpoints.make_config(&new_config()).await.unwrap_err(),
            endpoints.create("churn", "churn-v7").await.unwrap_err(),
            endpoints.update("churn", "churn-v7", &plan).await.unwrap_err(),
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
