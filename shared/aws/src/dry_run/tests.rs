use std::pin::Pin;

use anyhow::anyhow;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_codedeploy::types::LifecycleEventStatus;
use aws_sdk_kms::types::MacAlgorithmSpec;
use aws_smithy_types::body::SdkBody;
use serde_json::json;
use signalbox_model::notice::Notice;

use super::*;
use crate::alarms::{Alarms, ReadFiring};
use crate::config::{ConfigError, Environment};
use crate::endpoints::{Endpoints, ReadEndpoints};
use crate::error::{AwsError, ErrorKind};
use crate::log::{Invocation, Origin};
use crate::notices::{Publish, Sns};
use crate::recorded::{Answer, Recorded, SECONDS, output, refusal, text};
use crate::runtime::{Function, handle};
use crate::storage::{ObjectUri, ReadObjects, S3};

/// The configuration of clients that send through a [`HoldingClient`], and try again what may be tried again.
fn sdk(recorded: &Recorded) -> SdkConfig {
    let sdk = recorded.sdk().into_builder();
    let sdk = sdk.http_client(HoldingClient::new(recorded.clone()));
    sdk.retry_config(RetryConfig::standard()).build()
}

type Call = fn(SdkConfig) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A request that the SDK sends; what comes of it does not matter.
macro_rules! call {
    ($service:ident . $operation:ident $(. $set:ident ($value:expr))*) => {
        (|sdk| Box::pin(async move {
            let _ = $service::Client::new(&sdk).$operation()$(.$set($value))*.send().await;
        })) as Call
    };
}

/// What a call is noted as.
async fn noted(call: Call, answers: &[Answer]) -> (Report, String) {
    let recorded = Recorded::new(answers.to_vec());
    let sdk = sdk(&recorded)
        .into_builder()
        .retry_config(RetryConfig::disabled())
        .build();
    let handled = async {
        call(sdk).await;
        Ok(Value::Null)
    };
    let report = Report::read_from(&run("4", handled).await).unwrap();
    (report, recorded.requests())
}

/// Through the real clients, in each protocol. A call that is held back and goes out finds no answer, which fails the test.
#[tokio::test]
async fn what_reads_passes_and_everything_else_is_held() {
    let reading: Vec<(Call, &str)> = vec![
        // JSON.
        (
            call!(aws_sdk_sagemaker.describe_endpoint.endpoint_name("churn")),
            "sagemaker:DescribeEndpoint",
        ),
        (
            call!(aws_sdk_sagemaker.list_model_packages),
            "sagemaker:ListModelPackages",
        ),
        (
            call!(aws_sdk_codepipeline.get_pipeline_state.name("churn")),
            "codepipeline:GetPipelineState",
        ),
        (
            call!(aws_sdk_codebuild.batch_get_builds.ids("churn:1")),
            "codebuild:BatchGetBuilds",
        ),
        (
            call!(aws_sdk_codecommit.get_commit.repository_name("churn").commit_id("1")),
            "codecommit:GetCommit",
        ),
        (
            call!(
                aws_sdk_applicationautoscaling
                    .describe_scalable_targets
                    .service_namespace("sagemaker".into())
            ),
            "application-autoscaling:DescribeScalableTargets",
        ),
        (
            call!(aws_sdk_codedeploy.get_deployment.deployment_id("d-1")),
            "codedeploy:GetDeployment",
        ),
        // CBOR.
        (call!(aws_sdk_cloudwatch.describe_alarms), "cloudwatch:DescribeAlarms"),
        // Query.
        (
            call!(aws_sdk_sns.get_topic_attributes.topic_arn("arn")),
            "sns:GetTopicAttributes",
        ),
        // XML.
        (call!(aws_sdk_s3.get_object.bucket("b").key("k")), "s3:GetObject"),
        (call!(aws_sdk_s3.head_object.bucket("b").key("k")), "s3:HEAD"),
        (
            call!(aws_sdk_s3.list_objects_v2.bucket("b").prefix("k")),
            "s3:ListObjectsV2",
        ),
    ];
    for (call, name) in reading {
        let (report, sent) = noted(call, &[text("")]).await;
        assert_eq!(report.read, [name]);
        assert_eq!((report.held, report.refused), (vec![], vec![]), "{name}");
        assert!(!sent.is_empty(), "{name}");
    }
    let macs: [(Call, &str); 2] = [
        (
            |sdk| Box::pin(async move { generate_mac(&sdk).await }),
            "kms:GenerateMac",
        ),
        (|sdk| Box::pin(async move { verify_mac(&sdk).await }), "kms:VerifyMac"),
    ];
    for (call, name) in macs {
        assert_eq!(noted(call, &[text("")]).await.0.read, [name]);
    }
    let changing: Vec<(Call, &str)> = vec![
        (
            call!(aws_sdk_sagemaker.delete_endpoint.endpoint_name("churn")),
            "sagemaker:DeleteEndpoint",
        ),
        (
            call!(
                aws_sdk_sagemaker
                    .start_pipeline_execution
                    .pipeline_name("churn")
                    .client_request_token("0123456789abcdef0123456789abcdef")
            ),
            "sagemaker:StartPipelineExecution",
        ),
        (
            call!(aws_sdk_codepipeline.put_job_success_result.job_id("1")),
            "codepipeline:PutJobSuccessResult",
        ),
        (
            call!(aws_sdk_codebuild.start_build.project_name("churn")),
            "codebuild:StartBuild",
        ),
        (
            call!(
                aws_sdk_codecommit
                    .post_comment_for_pull_request
                    .pull_request_id("1")
                    .repository_name("churn")
                    .before_commit_id("1")
                    .after_commit_id("2")
                    .content("x")
            ),
            "codecommit:PostCommentForPullRequest",
        ),
        (
            call!(
                aws_sdk_applicationautoscaling
                    .deregister_scalable_target
                    .service_namespace("sagemaker".into())
                    .resource_id("x")
                    .scalable_dimension("sagemaker:variant:DesiredInstanceCount".into())
            ),
            "application-autoscaling:DeregisterScalableTarget",
        ),
        (
            call!(
                aws_sdk_codedeploy
                    .put_lifecycle_event_hook_execution_status
                    .status(LifecycleEventStatus::Succeeded)
            ),
            "codedeploy:PutLifecycleEventHookExecutionStatus",
        ),
        (
            call!(aws_sdk_cloudwatch.put_metric_data.namespace("x")),
            "cloudwatch:PutMetricData",
        ),
        (call!(aws_sdk_sns.publish.topic_arn("arn").message("x")), "sns:Publish"),
        (call!(aws_sdk_kms.create_key), "kms:CreateKey"),
        (call!(aws_sdk_s3.put_object.bucket("b").key("k")), "s3:PutObject"),
        (call!(aws_sdk_s3.delete_object.bucket("b").key("k")), "s3:DeleteObject"),
        (
            call!(aws_sdk_s3.create_multipart_upload.bucket("b").key("k")),
            "s3:POST",
        ),
        (
            call!(aws_sdk_lambda.invoke.function_name("churn-retrain")),
            "lambda:Invoke",
        ),
        // It reads, but nothing says so that is known here.
        (
            call!(aws_sdk_lambda.get_function.function_name("churn-retrain")),
            "lambda:GET",
        ),
    ];
    for (call, name) in changing {
        let (report, sent) = noted(call, &[]).await;
        assert_eq!(report.held, [name]);
        assert_eq!(
            (report.read, report.refused, sent),
            (vec![], vec![], String::new()),
            "{name}"
        );
    }

    async fn generate_mac(sdk: &SdkConfig) {
        let client = aws_sdk_kms::Client::new(sdk);
        let request = client
            .generate_mac()
            .key_id("k")
            .mac_algorithm(MacAlgorithmSpec::HmacSha256);
        let _ = request.message(aws_sdk_kms::primitives::Blob::new("x")).send().await;
    }
    async fn verify_mac(sdk: &SdkConfig) {
        let client = aws_sdk_kms::Client::new(sdk);
        let request = client
            .verify_mac()
            .key_id("k")
            .mac_algorithm(MacAlgorithmSpec::HmacSha256);
        let blob = || aws_sdk_kms::primitives::Blob::new("x");
        let _ = request.message(blob()).mac(blob()).send().await;
    }
}

#[test]
fn what_is_known_of_a_request_is_what_it_is_signed_for() {
    let unsigned = HttpRequest::try_from(
        http::Request::get("https://x.example/?x-id=GetObject")
            .body(SdkBody::empty())
            .unwrap(),
    );
    let asked = Asked::by(&unsigned.unwrap());
    assert_eq!((asked.name(), asked.reads()), ("unknown:GET".to_owned(), false));
    // A name that only begins like a reading one.
    let getaway = http::Request::post("https://x.example/").header("x-amz-target", "Some.Getaway");
    let getaway = HttpRequest::try_from(getaway.body(SdkBody::empty()).unwrap()).unwrap();
    assert!(!Asked::by(&getaway).reads());
}

#[tokio::test]
async fn what_is_refused_is_told_apart_and_the_caller_hears_of_it() {
    let denied = |code| refusal(code, "User: … is not authorized");
    let forbidden = |code| Answer::Refusal(403, code, "Access Denied".to_owned());
    let recorded = Recorded::new([
        denied("AccessDeniedException"),
        denied("AccessDenied"),
        forbidden("AccessDenied"),
        refusal(
            "ValidationException",
            "Could not find endpoint \"arn:…\": AccessDeniedException",
        ),
    ]);
    // By the `Date` of these answers the SDK would take a 403 for a clock that is wrong, and try again.
    let sdk = sdk(&recorded)
        .into_builder()
        .retry_config(RetryConfig::disabled())
        .build();
    let (endpoints, alarms, objects) = (Endpoints::new(&sdk), Alarms::new(&sdk), S3::new(&sdk));
    let object = ObjectUri::parse("s3://b/k").unwrap();
    let handled = async {
        let kinds = [
            endpoints.endpoint("churn").await.unwrap_err().kind,
            alarms.firing(&["churn-5xx".to_owned()]).await.unwrap_err().kind,
            objects.read(&object, 100).await.unwrap_err().kind,
        ];
        assert_eq!(kinds, [ErrorKind::Denied; 3]);
        assert_eq!(endpoints.endpoint("churn").await.unwrap(), None);
        Ok(Value::Null)
    };
    let report = Report::read_from(&run("4", handled).await).unwrap();
    assert_eq!(
        report.refused,
        [
            "sagemaker:DescribeEndpoint",
            "cloudwatch:DescribeAlarms",
            "s3:GetObject"
        ]
    );
    assert_eq!(report.read, ["sagemaker:DescribeEndpoint"]);
    recorded.requests();
}

async fn publish(sns: &Sns) -> Result<(), AwsError> {
    let notice = Notice::new("subject", "body");
    sns.publish(
        "arn:aws:sns:eu-west-1:123456789012:notices",
        &notice,
        &std::collections::BTreeMap::new(),
    )
    .await
}

/// What version 4 of the function answers to an event.
async fn answered_by<F: Function>(function: &F, event: Value) -> Result<Value, lambda_runtime::Diagnostic> {
    let origin = Origin {
        function_version: "4".to_owned(),
        ..Origin::default()
    };
    handle(function, Invocation::new(&origin, "request"), event).await
}

#[tokio::test]
async fn outside_a_dry_run_everything_passes() {
    let published = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";
    let recorded = Recorded::new([text(published), text(published)]);
    let sns = Sns::new(&Environment::default(), &sdk(&recorded)).unwrap();
    publish(&sns).await.unwrap();
    run("4", async {
        assert!(is_on());
        publish(&sns).await.unwrap_err();
        Ok(Value::Null)
    })
    .await;
    assert!(!is_on());
    publish(&sns).await.unwrap();
    assert_eq!(recorded.requests().matches("Action = Publish").count(), 2);
}

/// A function that reads, publishes, and fails where that fails.
struct Telling {
    endpoints: Endpoints,
    notices: Sns,
}

impl Function for Telling {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            endpoints: Endpoints::new(sdk),
            notices: Sns::new(environment, sdk)?,
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        if event.get("requestContext").is_some() {
            return Ok(json!({"statusCode": 200, "body": "secret"}));
        }
        self.endpoints.endpoint("churn").await?;
        publish(&self.notices)
            .await
            .map_err(|error| anyhow!(error).context("telling of https://x.example/?m=secret"))?;
        Ok(Value::Null)
    }
}

/// Once for the report: what is held back is not tried again.
#[tokio::test]
async fn the_report_tells_what_came_of_it() {
    let recorded = Recorded::new([output(json!({"EndpointName": "churn", "EndpointStatus": "InService",
        "EndpointConfigName": "churn-v6", "LastModifiedTime": SECONDS}))]);
    let telling = Telling::new(&Environment::default(), &sdk(&recorded)).unwrap();
    let answered = answered_by(&telling, trial::envelope(json!({"source": "signalbox"})))
        .await
        .unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&answered).unwrap());
    let url = json!({"version": "2.0", "requestContext": {}});
    let answered = answered_by(&telling, trial::envelope(url)).await.unwrap();
    assert_eq!(
        answered["dryRun"]["answer"],
        json!({"type": "object", "statusCode": 200})
    );
    assert!(!answered.to_string().contains("secret"));
    recorded.requests();
}

/// A visitor of the function URL has no word at the top of the event.
#[tokio::test]
async fn a_function_url_does_not_lead_into_a_dry_run() {
    let recorded = Recorded::new([]);
    let telling = Telling::new(&Environment::default(), &sdk(&recorded)).unwrap();
    let asked = trial::envelope(json!({})).to_string();
    let visit = json!({
        "version": "2.0", "rawQueryString": "signalbox:dry-run=1", "queryStringParameters": {"signalbox:dry-run": "1"},
        "headers": {"signalbox:dry-run": "1"}, "requestContext": {"http": {"method": "POST"}}, "body": asked,
    });
    let answered = answered_by(&telling, visit).await.unwrap();
    assert_eq!(answered, json!({"statusCode": 200, "body": "secret"}));
}
