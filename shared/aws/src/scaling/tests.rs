use serde_json::json;

use super::*;
use crate::recorded::{Recorded, output, refusal};

const SCALING: Scaling = Scaling {
    min: 2,
    max: 8,
    invocations_per_instance: 600,
};

#[tokio::test]
async fn a_variant_is_scaled_in_the_services_words() {
    let recorded = Recorded::new([
        output(json!({"ScalableTargetARN": "arn"})),
        output(json!({"PolicyARN": "arn", "Alarms": []})),
    ]);
    let scaling = AutoScaling::new(&recorded.sdk());
    scaling.scale("churn", "AllTraffic", &SCALING).await.unwrap();
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / AnyScaleFrontendService.RegisterScalableTarget
    {
      "MaxCapacity": 8,
      "MinCapacity": 2,
      "ResourceId": "endpoint/churn/variant/AllTraffic",
      "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
      "ServiceNamespace": "sagemaker"
    }

    POST / AnyScaleFrontendService.PutScalingPolicy
    {
      "PolicyName": "signalbox-invocations-per-instance",
      "PolicyType": "TargetTrackingScaling",
      "ResourceId": "endpoint/churn/variant/AllTraffic",
      "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
      "ServiceNamespace": "sagemaker",
      "TargetTrackingScalingPolicyConfiguration": {
        "PredefinedMetricSpecification": {
          "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
        },
        "TargetValue": 600.0
      }
    }
    "#);
}

#[tokio::test]
async fn a_variant_that_was_not_scaled_is_scaled_no_more() {
    for answer in [
        output(json!({})),
        refusal("ObjectNotFoundException", "No scalable target found"),
    ] {
        let recorded = Recorded::new([answer]);
        let scaling = AutoScaling::new(&recorded.sdk());
        scaling.stop_scaling("churn", "AllTraffic").await.unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(recorded.requests(), @r#"
            POST / AnyScaleFrontendService.DeregisterScalableTarget
            {
              "ResourceId": "endpoint/churn/variant/AllTraffic",
              "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
              "ServiceNamespace": "sagemaker"
            }
            "#);
        }
    }
}

#[tokio::test]
async fn a_target_without_its_policy_is_a_failure() {
    let recorded = Recorded::new([
        output(json!({"ScalableTargetARN": "arn"})),
        refusal("FailedResourceAccessException", "cloudwatch:PutMetricAlarm"),
    ]);
    let port = AutoScaling::new(&recorded.sdk());
    let error = port.scale("churn", "AllTraffic", &SCALING).await.unwrap_err();
    assert_eq!(error.operation, "application-autoscaling:PutScalingPolicy");
    recorded.requests();
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (code, expected) in [
        ("ConcurrentUpdateException", ErrorKind::Transient),
        ("InternalServiceException", ErrorKind::Transient),
        ("ValidationException", ErrorKind::Invalid),
        ("AccessDeniedException", ErrorKind::Denied),
    ] {
        let recorded = Recorded::new(std::iter::repeat_n(refusal(code, "no"), 2));
        let port = AutoScaling::new(&recorded.sdk());
        let errors = [
            port.scale("churn", "AllTraffic", &SCALING).await.unwrap_err(),
            port.stop_scaling("churn", "AllTraffic").await.unwrap_err(),
        ];
        assert_eq!(errors.map(|error| error.kind), [expected, expected], "{code}");
        recorded.requests();
    }
}
