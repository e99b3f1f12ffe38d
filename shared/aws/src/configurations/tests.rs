use serde_json::{Value, json};

use super::*;
use crate::recorded::{Answer, Recorded, SECONDS, output, refusal, time};

const ROLE: &str = "arn:aws:iam::111122223333:role/serve";
const NEW: &str = "churn-v7-0c9e6c1a";
const CONFIG_ARN: &str = "arn:aws:sagemaker:eu-west-1:111122223333:endpoint-config/churn-v7-0c9e6c1a";

fn endpoints(recorded: &Recorded) -> Endpoints {
    Endpoints::new(&recorded.sdk())
}

/// That something is not there, in SageMaker's words.
fn missing(kind: &str) -> Answer {
    let message = format!("Could not find {kind} \"arn:aws:sagemaker:eu-west-1:111122223333:{kind}/x\".");
    refusal("ValidationException", &message)
}

/// That something is there already.
fn existing(kind: &str) -> Answer {
    let message = format!("Cannot create already existing {kind} \"arn:aws:sagemaker:eu-west-1:111122223333:x\".");
    refusal("ValidationException", &message)
}

fn made() -> Answer {
    output(json!({"EndpointConfigArn": CONFIG_ARN}))
}

/// A configuration with more in it than the train knows of.
fn by_hand() -> Value {
    json!({
        "EndpointConfigName": "by-hand",
        "EndpointConfigArn": "arn:aws:sagemaker:eu-west-1:111122223333:endpoint-config/by-hand",
        "CreationTime": SECONDS,
        "KmsKeyId": "arn:aws:kms:eu-west-1:111122223333:key/volumes",
        "ProductionVariants": [{
            "VariantName": "main",
            "ModelName": "by-hand",
            "InstanceType": "ml.c5.xlarge",
            "InitialInstanceCount": 4,
            "InitialVariantWeight": 1.0,
            "VolumeSizeInGB": 64,
            "ModelDataDownloadTimeoutInSeconds": 900,
            "ContainerStartupHealthCheckTimeoutInSeconds": 600,
            "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
        }],
        "DataCaptureConfig": {
            "EnableCapture": true,
            "InitialSamplingPercentage": 20,
            "DestinationS3Uri": "s3://theirs/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        },
        "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://theirs/answers"}},
        "MetricsConfig": {"EnableEnhancedMetrics": true},
    })
}

/// The configuration, as it is read.
async fn served(answer: Value) -> ServedConfig {
    let recorded = Recorded::new([output(answer)]);
    endpoints(&recorded).config("by-hand").await.unwrap().unwrap()
}

#[tokio::test]
async fn a_configuration_is_read() {
    let variant = |name: &str, model: &str, instance_type: Option<&str>, initial_count| Variant {
        name: name.to_owned(),
        model: model.to_owned(),
        instance_type: instance_type.map(str::to_owned),
        initial_count,
        serverless: instance_type.is_none(),
    };
    let table = [
        (
            by_hand(),
            vec![variant("main", "by-hand", Some("ml.c5.xlarge"), Some(4))],
        ),
        (
            json!({"CreationTime": SECONDS, "ProductionVariants": [
                {"VariantName": "main", "ModelName": "m", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}},
                {"VariantName": "other", "ModelName": "n", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1},
            ]}),
            vec![
                variant("main", "m", None, None),
                variant("other", "n", Some("ml.m5.large"), Some(1)),
            ],
        ),
        (json!({"CreationTime": SECONDS}), Vec::new()),
    ];
    for (answer, variants) in table {
        let recorded = Recorded::new([output(answer.clone())]);
        let config = endpoints(&recorded).config("by-hand").await.unwrap().unwrap();
        let expected = Configuration {
            name: "by-hand".to_owned(),
            made_at: Some(time()),
            variants,
        };
        assert_eq!(config.facts, expected, "{answer}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(recorded.requests(), @r#"
            POST / SageMaker.DescribeEndpointConfig
            {
              "EndpointConfigName": "by-hand"
            }
            "#);
        }
    }
}

#[tokio::test]
async fn a_models_network_is_read() {
    let vpc = json!({"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]});
    let network = |subnets: &[&str], groups: &[&str], isolated| Network {
        subnets: subnets.iter().map(|&subnet| subnet.to_owned()).collect(),
        security_groups: groups.iter().map(|&group| group.to_owned()).collect(),
        isolated,
    };
    for (answer, expected) in [
        (output(json!({"ModelName": "m"})), Network::default()),
        (
            output(json!({"ModelName": "m", "VpcConfig": vpc, "EnableNetworkIsolation": false})),
            network(&["subnet-1", "subnet-2"], &["sg-1"], false),
        ),
        (
            output(json!({"ModelName": "m", "EnableNetworkIsolation": true})),
            network(&[], &[], true),
        ),
        (missing("model"), Network::default()),
    ] {
        let recorded = Recorded::new([answer.clone()]);
        let found = endpoints(&recorded).network("by-hand").await.unwrap();
        assert_eq!(found, expected, "{answer:?}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(recorded.requests(), @r#"
            POST / SageMaker.DescribeModel
            {
              "ModelName": "by-hand"
            }
            "#);
        }
    }
}

#[tokio::test]
async fn a_configurations_tags_are_read() {
    let tags = |tags: &[(&str, &str)]| -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        tags.iter().map(owned).collect()
    };
    for (answer, expected) in [
        (
            output(json!({"Tags": [
                {"Key": "owner", "Value": "ada"},
                {"Key": tag::REPLACES, "Value": "churn-v6-aaaaaaaa"},
            ]})),
            tags(&[("owner", "ada"), ("signalbox:replaces", "churn-v6-aaaaaaaa")]),
        ),
        (output(json!({"Tags": []})), tags(&[])),
        (output(json!({})), tags(&[])),
        (missing("endpoint configuration"), tags(&[])),
    ] {
        let recorded = Recorded::new([answer.clone()]);
        let found = endpoints(&recorded).tags(CONFIG_ARN).await.unwrap();
        assert_eq!(found, expected, "{answer:?}");
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

#[tokio::test]
async fn an_endpoint_is_tagged_where_it_is_there() {
    let arn = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/churn";
    for answer in [output(json!({"Tags": []})), missing("endpoint")] {
        let recorded = Recorded::new([answer]);
        endpoints(&recorded)
            .tag(arn, tag::TOLD_STATE, "Failed churn-v7")
            .await
            .unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(recorded.requests(), @r#"
            POST / SageMaker.AddTags
            {
              "ResourceArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/churn",
              "Tags": [
                {
                  "Key": "signalbox:told-state",
                  "Value": "Failed churn-v7"
                }
              ]
            }
            "#);
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let recorded = Recorded::new([missing("endpoint configuration")]);
    assert!(endpoints(&recorded).config("churn-v6").await.unwrap().is_none());
    recorded.requests();
}

fn container() -> Container {
    let environment = [("WORKERS", "2"), ("LOG", "info")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    Container {
        image: "111122223333.dkr.ecr.eu-west-1.amazonaws.com/serve:1".to_owned(),
        model_data_url: Some("s3://artifacts/model.tar.gz".to_owned()),
        environment: BTreeMap::from(environment),
    }
}

fn new_model<'a>(container: &'a Container, network: &'a Network) -> NewModel<'a> {
    NewModel {
        name: "churn-v7",
        container,
        role_arn: ROLE,
        network,
    }
}

#[tokio::test]
async fn a_model_is_made_once() {
    let (container, network) = (container(), Network::default());
    for answer in [
        output(json!({"ModelArn": "arn:aws:sagemaker:eu-west-1:111122223333:model/churn-v7"})),
        existing("model"),
    ] {
        let recorded = Recorded::new([answer]);
        endpoints(&recorded)
            .make_model(&new_model(&container, &network))
            .await
            .unwrap();
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

#[tokio::test]
async fn a_model_is_made_in_a_vpc() {
    let container = Container {
        environment: BTreeMap::new(),
        model_data_url: None,
        ..container()
    };
    let network = Network {
        subnets: vec!["subnet-1".to_owned(), "subnet-2".to_owned()],
        security_groups: vec!["sg-1".to_owned()],
        isolated: true,
    };
    let recorded = Recorded::new([output(json!({"ModelArn": "arn"}))]);
    endpoints(&recorded)
        .make_model(&new_model(&container, &network))
        .await
        .unwrap();
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.CreateModel
    {
      "EnableNetworkIsolation": true,
      "ExecutionRoleArn": "arn:aws:iam::111122223333:role/serve",
      "ModelName": "churn-v7",
      "PrimaryContainer": {
        "Environment": {},
        "Image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/serve:1"
      },
      "VpcConfig": {
        "SecurityGroupIds": [
          "sg-1"
        ],
        "Subnets": [
          "subnet-1",
          "subnet-2"
        ]
      }
    }
    "#);
}

/// What the template says when it says no more than it must.
fn least() -> Changes {
    Changes {
        variant: "main".to_owned(),
        model: "churn-v7".to_owned(),
        instance_type: "ml.m5.large".to_owned(),
        instance_count: 2,
        volume_gb: None,
        volume_key: None,
        capture: None,
    }
}

/// What the template says when it says everything.
fn all() -> Changes {
    Changes {
        volume_gb: Some(30),
        volume_key: Some("arn:aws:kms:eu-west-1:111122223333:key/ours".to_owned()),
        capture: Some(Capture {
            percent: 100,
            s3_uri: "s3://ours/captured".to_owned(),
            key: Some("arn:aws:kms:eu-west-1:111122223333:key/data".to_owned()),
        }),
        ..least()
    }
}

fn new_config(base: Option<ServedConfig>, changes: Option<Changes>) -> NewConfig {
    NewConfig {
        name: NEW.to_owned(),
        base,
        changes,
        tags: vec![(tag::REPLACES.to_owned(), "by-hand".to_owned())],
    }
}

/// What CreateEndpointConfig is sent.
async fn sent(base: Option<ServedConfig>, changes: Option<Changes>) -> String {
    let recorded = Recorded::new([made()]);
    let made_at = endpoints(&recorded).make_config(&new_config(base, changes)).await;
    assert_eq!(made_at.unwrap(), None, "it was made now");
    recorded.requests()
}

#[tokio::test]
async fn the_first_configuration_is_the_templates() {
    insta::assert_snapshot!(sent(None, Some(all())).await, @r#"
    POST / SageMaker.CreateEndpointConfig
    {
      "DataCaptureConfig": {
        "CaptureOptions": [
          {
            "CaptureMode": "Input"
          },
          {
            "CaptureMode": "Output"
          }
        ],
        "DestinationS3Uri": "s3://ours/captured",
        "EnableCapture": true,
        "InitialSamplingPercentage": 100,
        "KmsKeyId": "arn:aws:kms:eu-west-1:111122223333:key/data"
      },
      "EndpointConfigName": "churn-v7-0c9e6c1a",
      "KmsKeyId": "arn:aws:kms:eu-west-1:111122223333:key/ours",
      "ProductionVariants": [
        {
          "InitialInstanceCount": 2,
          "InstanceType": "ml.m5.large",
          "ModelName": "churn-v7",
          "VariantName": "main",
          "VolumeSizeInGB": 30
        }
      ],
      "Tags": [
        {
          "Key": "signalbox:replaces",
          "Value": "by-hand"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn what_the_template_does_not_name_is_taken_over() {
    let base = served(by_hand()).await;
    insta::assert_snapshot!(sent(Some(base), Some(least())).await, @r#"
    POST / SageMaker.CreateEndpointConfig
    {
      "AsyncInferenceConfig": {
        "OutputConfig": {
          "S3OutputPath": "s3://theirs/answers"
        }
      },
      "DataCaptureConfig": {
        "CaptureOptions": [
          {
            "CaptureMode": "Input"
          }
        ],
        "DestinationS3Uri": "s3://theirs/captured",
        "EnableCapture": true,
        "InitialSamplingPercentage": 20
      },
      "EndpointConfigName": "churn-v7-0c9e6c1a",
      "KmsKeyId": "arn:aws:kms:eu-west-1:111122223333:key/volumes",
      "MetricsConfig": {
        "EnableEnhancedMetrics": true
      },
      "ProductionVariants": [
        {
          "ContainerStartupHealthCheckTimeoutInSeconds": 600,
          "InitialInstanceCount": 2,
          "InitialVariantWeight": 1.0,
          "InstanceType": "ml.m5.large",
          "ModelDataDownloadTimeoutInSeconds": 900,
          "ModelName": "churn-v7",
          "RoutingConfig": {
            "RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"
          },
          "VariantName": "main",
          "VolumeSizeInGB": 64
        }
      ],
      "Tags": [
        {
          "Key": "signalbox:replaces",
          "Value": "by-hand"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn what_the_template_names_holds() {
    let sent = sent(Some(served(by_hand()).await), Some(all())).await;
    for ours in [
        "key/ours",
        "key/data",
        "s3://ours/captured",
        "\"VolumeSizeInGB\": 30",
        "\"CaptureMode\": \"Output\"",
    ] {
        assert!(sent.contains(ours), "{ours} is not in {sent}");
    }
    for theirs in ["key/volumes", "s3://theirs/captured", "\"VolumeSizeInGB\": 64"] {
        assert!(!sent.contains(theirs), "{theirs} is in {sent}");
    }
    assert!(sent.contains("LEAST_OUTSTANDING_REQUESTS"), "{sent}");
}

#[tokio::test]
async fn a_copy_is_the_same_under_another_name() {
    let base = by_hand();
    let sent = sent(Some(served(base.clone()).await), None).await;
    let (_, body) = sent.split_once('\n').unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["EndpointConfigName"], NEW);
    let mut left = body.as_object().unwrap().clone();
    for (name, value) in base.as_object().unwrap() {
        match name.as_str() {
            // What SageMaker gives it itself.
            "EndpointConfigName" | "EndpointConfigArn" | "CreationTime" => drop(left.remove(name)),
            _ => assert_eq!(left.remove(name).as_ref(), Some(value), "{name}"),
        }
    }
    assert_eq!(left.keys().collect::<Vec<_>>(), ["Tags"]);
}

#[tokio::test]
async fn only_the_named_variant_is_changed_or_the_only_one() {
    let variant = |name: &str, model: &str| {
        json!({"VariantName": name, "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1,
            "VolumeSizeInGB": 8})
    };
    // (the variants that serve) → (the new ones, by name and model)
    for (serving, expected) in [
        (
            vec![
                variant("other", "theirs"),
                variant("main", "churn-v6"),
                variant("third", "theirs"),
            ],
            vec![("other", "theirs"), ("main", "churn-v7"), ("third", "theirs")],
        ),
        (vec![variant("other", "churn-v6")], vec![("main", "churn-v7")]),
        (
            vec![variant("other", "theirs"), variant("third", "theirs")],
            vec![("main", "churn-v7"), ("other", "theirs"), ("third", "theirs")],
        ),
        (vec![], vec![("main", "churn-v7")]),
    ] {
        let base = served(json!({"ProductionVariants": serving})).await;
        let sent = sent(Some(base), Some(least())).await;
        let body: Value = serde_json::from_str(sent.split_once('\n').unwrap().1).unwrap();
        let variants = body["ProductionVariants"].as_array().unwrap();
        let names = |variant: &Value| {
            let text = |name: &str| variant[name].as_str().unwrap().to_owned();
            (text("VariantName"), text("ModelName"))
        };
        let found: Vec<_> = variants.iter().map(names).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, model)| ((*name).to_owned(), (*model).to_owned()))
            .collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn several_instance_types_become_the_templates_one() {
    let base = served(
        json!({"ProductionVariants": [{"VariantName": "main", "ModelName": "churn-v6",
        "InstancePools": [{"InstanceType": "ml.c5.xlarge", "Priority": 1}], "InitialInstanceCount": 4}]}),
    )
    .await;
    let expected = Variant {
        name: "main".to_owned(),
        model: "churn-v6".to_owned(),
        instance_type: None,
        initial_count: Some(4),
        serverless: false,
    };
    assert_eq!(base.facts.variants, [expected]);
    let sent = sent(Some(base), Some(least())).await;
    let body: Value = serde_json::from_str(sent.split_once('\n').unwrap().1).unwrap();
    let expected = json!([{"VariantName": "main", "ModelName": "churn-v7", "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 2}]);
    assert_eq!(body["ProductionVariants"], expected);
}

/// An endpoint that was given instances is never serverless again, so that nothing could take it back.
#[tokio::test]
async fn what_is_serverless_stays_serverless() {
    let serverless = json!({"ProductionVariants": [{"VariantName": "main", "ModelName": "churn-v6",
        "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}]});
    insta::assert_snapshot!(sent(Some(served(serverless).await), Some(least())).await, @r#"
    POST / SageMaker.CreateEndpointConfig
    {
      "EndpointConfigName": "churn-v7-0c9e6c1a",
      "ProductionVariants": [
        {
          "ModelName": "churn-v7",
          "ServerlessConfig": {
            "MaxConcurrency": 5,
            "MemorySizeInMB": 2048
          },
          "VariantName": "main"
        }
      ],
      "Tags": [
        {
          "Key": "signalbox:replaces",
          "Value": "by-hand"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn a_configuration_that_was_made_before_tells_when() {
    for (described, expected) in [
        (
            output(json!({"EndpointConfigName": NEW, "CreationTime": SECONDS})),
            Ok(Some(time())),
        ),
        // It was deleted in between: the next try makes it.
        (missing("endpoint configuration"), Err("IncompleteAnswer")),
    ] {
        let recorded = Recorded::new([existing("endpoint configuration"), described]);
        let made = endpoints(&recorded).make_config(&new_config(None, Some(least()))).await;
        assert_eq!(made.map_err(|error| error.code), expected.map_err(str::to_owned));
        let requests = recorded.requests();
        let (_, described) = requests.split_once("\n\n").unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(described, @r#"
            POST / SageMaker.DescribeEndpointConfig
            {
              "EndpointConfigName": "churn-v7-0c9e6c1a"
            }
            "#);
        }
    }
}

#[tokio::test]
async fn the_oldest_configurations_are_listed() {
    let recorded = Recorded::new([
        output(json!({"EndpointConfigs": [
            {"EndpointConfigName": "churn-v1-aaaaaaaa", "EndpointConfigArn": "arn", "CreationTime": SECONDS},
            {"EndpointConfigName": "churn-v2-bbbbbbbb", "EndpointConfigArn": "arn"},
            {"EndpointConfigArn": "arn", "CreationTime": SECONDS},
        ], "NextToken": "more"})),
        output(json!({})),
    ]);
    let endpoints = endpoints(&recorded);
    let expected = [
        ("churn-v1-aaaaaaaa".to_owned(), Some(time())),
        ("churn-v2-bbbbbbbb".to_owned(), None),
    ];
    assert_eq!(endpoints.oldest("churn-v").await.unwrap(), expected);
    assert_eq!(endpoints.oldest("churn-v").await.unwrap(), []);
    let requests = recorded.requests();
    let (request, again) = requests.split_once("\n\n").unwrap();
    assert_eq!(request, again);
    insta::assert_snapshot!(request, @r#"
    POST / SageMaker.ListEndpointConfigs
    {
      "MaxResults": 100,
      "NameContains": "churn-v",
      "SortBy": "CreationTime",
      "SortOrder": "Ascending"
    }
    "#);
}

#[tokio::test]
async fn what_is_deleted_may_be_gone_already() {
    for (config, model) in [
        (output(json!({})), output(json!({}))),
        (missing("endpoint configuration"), missing("model")),
    ] {
        let recorded = Recorded::new([config, model]);
        let endpoints = endpoints(&recorded);
        endpoints.delete_config("churn-v1-aaaaaaaa").await.unwrap();
        endpoints.delete_model("churn-v1").await.unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(recorded.requests(), @r#"
            POST / SageMaker.DeleteEndpointConfig
            {
              "EndpointConfigName": "churn-v1-aaaaaaaa"
            }

            POST / SageMaker.DeleteModel
            {
              "ModelName": "churn-v1"
            }
            "#);
        }
    }
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (code, message, expected) in [
        ("ThrottlingException", "Rate exceeded", ErrorKind::Transient),
        ("AccessDeniedException", "User is not authorized", ErrorKind::Denied),
        ("ValidationException", "1 validation error detected", ErrorKind::Invalid),
        (
            "ResourceLimitExceeded",
            "The account-level service limit is 0",
            ErrorKind::Other,
        ),
    ] {
        let recorded = Recorded::new(std::iter::repeat_n(refusal(code, message), 8));
        let endpoints = endpoints(&recorded);
        let (container, network) = (container(), Network::default());
        let errors = [
            endpoints.config(NEW).await.map(drop).unwrap_err(),
            endpoints.network("churn-v7").await.unwrap_err(),
            endpoints.tags(CONFIG_ARN).await.unwrap_err(),
            endpoints
                .make_model(&new_model(&container, &network))
                .await
                .unwrap_err(),
            endpoints
                .make_config(&new_config(None, Some(least())))
                .await
                .unwrap_err(),
            endpoints.oldest("churn-v").await.unwrap_err(),
            endpoints.delete_config(NEW).await.unwrap_err(),
            endpoints.delete_model("churn-v7").await.unwrap_err(),
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
