//! Models, configurations, endpoints without updates, and requests.

use super::super::testing::{BUCKET, call, cloud, instances, metric, ok, put, refused, told};
use super::*;

/// A model, and an endpoint configuration of the same name.
pub(in super::super) fn config(cloud: &mut Cloud, name: &str, count: u64) {
    put(cloud, &format!("{name}.tar.gz"), name.as_bytes());
    let model = json!({"ModelName": name, "ExecutionRoleArn": "arn:aws:iam::123456789012:role/r", "PrimaryContainer":
        {"Image": "image", "ModelDataUrl": format!("s3://{BUCKET}/{name}.tar.gz"), "Environment": {"VERSION": name}}});
    ok(cloud, "CreateModel", &model);
    let variant = json!({"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": count, "InstanceType": "ml.m5.large"});
    let input = json!({"EndpointConfigName": name, "ProductionVariants": [variant], "Tags": [{"Key": "version", "Value": "1"}]});
    ok(cloud, "CreateEndpointConfig", &input);
}

/// An endpoint `churn` that serves `v1`, of so many instances.
pub(in super::super) fn serving(count: u64) -> (Cloud, Vec<EffectId>) {
    let mut cloud = cloud();
    config(&mut cloud, "v1", count);
    ok(
        &mut cloud,
        "CreateEndpoint",
        &json!({"EndpointName": "churn", "EndpointConfigName": "v1"}),
    );
    let (started, _) = instances(&mut cloud);
    for id in &started {
        cloud.finish_start(*id, Ok(()));
    }
    (cloud, started)
}

fn describe(cloud: &mut Cloud) -> Value {
    ok(cloud, "DescribeEndpoint", &json!({"EndpointName": "churn"}))
}

#[test]
fn an_endpoint_comes_up_when_all_its_instances_have() {
    let mut cloud = cloud();
    config(&mut cloud, "v1", 2);
    let input = json!({"EndpointName": "churn", "EndpointConfigName": "v1", "Tags": [{"Key": "team", "Value": "a"}]});
    ok(&mut cloud, "CreateEndpoint", &input);
    assert!(
        cloud
            .route("churn")
            .unwrap_err()
            .message
            .contains("Endpoint churn of account 123456789012 not found.")
    );
    let Some(Effect::StartInstance(instance)) = cloud.take_effects().into_iter().next() else {
        panic!("no instance is started");
    };
    assert_eq!(instance.model_archive, "v1");
    assert_eq!(instance.environment["VERSION"], "v1");
    assert_eq!((instance.endpoint.as_str(), instance.config.as_str()), ("churn", "v1"));
    cloud.finish_start(instance.id, Ok(()));
    cloud.finish_start(instance.id, Ok(()));
    assert_eq!(describe(&mut cloud)["EndpointStatus"], "Creating");
    cloud.finish_start(instance.id + 1, Ok(()));
    let described = describe(&mut cloud);
    assert_eq!(described["EndpointStatus"], "InService");
    assert_eq!(described["ProductionVariants"][0]["CurrentInstanceCount"], 2);
    let events = told(&mut cloud, "SageMaker Endpoint State Change");
    let statuses: Vec<&str> = events.iter().map(|detail| text(detail, "EndpointStatus")).collect();
    assert_eq!(statuses, ["CREATING", "IN_SERVICE"]);
    let expected = json!({"EndpointName": "churn", "EndpointArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/churn",
        "EndpointConfigName": "v1", "EndpointStatus": "IN_SERVICE", "FailureReason": null, "Tags": {"team": "a"},
        "CreationTime": 1_793_606_400_000_i64, "LastModifiedTime": 1_793_606_400_000_i64,
        "ProductionVariants": [{"VariantName": "AllTraffic", "CurrentWeight": 1.0, "DesiredWeight": 1.0, "CurrentInstanceCount": 2,
            "DesiredInstanceCount": 2}]});
    assert_eq!(events[1], expected);
}

#[test]
fn an_instance_that_does_not_come_up_fails_the_creation() {
    let mut cloud = cloud();
    config(&mut cloud, "v1", 2);
    ok(
        &mut cloud,
        "CreateEndpoint",
        &json!({"EndpointName": "churn", "EndpointConfigName": "v1"}),
    );
    let (started, _) = instances(&mut cloud);
    cloud.finish_start(started[0], Ok(()));
    cloud.finish_start(started[1], Err("no answer within 30 s".to_owned()));
    assert_eq!(instances(&mut cloud).1, started);
    let described = describe(&mut cloud);
    assert_eq!(described["EndpointStatus"], "Failed");
    let reason = text(&described, "FailureReason");
    assert!(
        reason
            .starts_with("The primary container for production variant AllTraffic did not pass the ping health check."),
        "{reason}"
    );
    assert!(reason.ends_with("no answer within 30 s"), "{reason}");
    assert!(cloud.route("churn").is_err());
    let refusal = refused(
        &mut cloud,
        "UpdateEndpoint",
        &json!({"EndpointName": "churn", "EndpointConfigName": "v1"}),
    );
    assert!(refusal.contains("only be deleted"), "{refusal}");
    ok(&mut cloud, "DeleteEndpoint", &json!({"EndpointName": "churn"}));
    let refusal = refused(&mut cloud, "DescribeEndpoint", &json!({"EndpointName": "churn"}));
    assert!(refusal.starts_with("Could not find endpoint \""), "{refusal}");
}

#[test]
fn errors_begin_as_sagemakers_do() {
    let (mut cloud, _) = serving(1);
    let container = json!({"Image": "i", "ModelDataUrl": format!("s3://{BUCKET}/v1.tar.gz")});
    let variant = |model: &str| json!([{"VariantName": "AllTraffic", "ModelName": model}]);
    for (operation, input, expected) in [
        (
            "DescribeModel",
            json!({"ModelName": "none"}),
            "Could not find model \"arn:aws:sagemaker:eu-west-1:123456789012:model/none\".",
        ),
        ("DeleteModel", json!({"ModelName": "none"}), "Could not find model"),
        (
            "DescribeEndpointConfig",
            json!({"EndpointConfigName": "none"}),
            "Could not find endpoint configuration",
        ),
        (
            "DeleteEndpointConfig",
            json!({"EndpointConfigName": "none"}),
            "Could not find endpoint configuration",
        ),
        (
            "DescribeEndpoint",
            json!({"EndpointName": "none"}),
            "Could not find endpoint \"",
        ),
        (
            "DeleteEndpoint",
            json!({"EndpointName": "none"}),
            "Could not find endpoint \"",
        ),
        (
            "UpdateEndpoint",
            json!({"EndpointName": "none", "EndpointConfigName": "v1"}),
            "Could not find endpoint \"",
        ),
        (
            "UpdateEndpoint",
            json!({"EndpointName": "churn", "EndpointConfigName": "none"}),
            "Could not find endpoint configuration",
        ),
        (
            "CreateEndpoint",
            json!({"EndpointName": "new", "EndpointConfigName": "none"}),
            "Could not find endpoint configuration",
        ),
        (
            "CreateEndpoint",
            json!({"EndpointName": "churn", "EndpointConfigName": "v1"}),
            "Cannot create already existing endpoint \"",
        ),
        (
            "CreateModel",
            json!({"ModelName": "v1", "PrimaryContainer": container}),
            "Cannot create already existing model",
        ),
        (
            "CreateModel",
            json!({"ModelName": "v2", "PrimaryContainer": {"ModelDataUrl": "s3://b/none"}}),
            "Could not access model data at s3://b/none.",
        ),
        (
            "CreateEndpointConfig",
            json!({"EndpointConfigName": "v1", "ProductionVariants": variant("v1")}),
            "Cannot create already existing endpoint configuration",
        ),
        (
            "CreateEndpointConfig",
            json!({"EndpointConfigName": "v2", "ProductionVariants": variant("none")}),
            "Could not find model",
        ),
    ] {
        let found = refused(&mut cloud, operation, &input);
        assert!(found.starts_with(expected), "{operation} {input}: {found:?}");
    }
}

#[test]
fn what_was_made_is_described_listed_tagged_and_deleted() {
    let (mut cloud, _) = serving(1);
    let described = ok(
        &mut cloud,
        "DescribeEndpointConfig",
        &json!({"EndpointConfigName": "v1"}),
    );
    assert_eq!(described["ProductionVariants"][0]["InitialVariantWeight"], 1.0);
    assert_eq!(described.get("Tags"), None);
    let tags = ok(
        &mut cloud,
        "ListTags",
        &json!({"ResourceArn": described["EndpointConfigArn"]}),
    );
    assert_eq!(tags["Tags"], json!([{"Key": "version", "Value": "1"}]));
    config(&mut cloud, "v2", 1);
    let listed = ok(&mut cloud, "ListEndpointConfigs", &json!({"NameContains": "v2"}));
    assert_eq!(listed["EndpointConfigs"][0]["EndpointConfigName"], "v2");
    assert_eq!(
        ok(&mut cloud, "ListModels", &json!({}))["Models"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        ok(&mut cloud, "ListEndpoints", &json!({"StatusEquals": "Failed"}))["Endpoints"],
        json!([])
    );
    assert_eq!(
        ok(&mut cloud, "ListEndpoints", &json!({"StatusEquals": "InService"}))["Endpoints"][0]["EndpointName"],
        "churn"
    );
    ok(&mut cloud, "DeleteEndpointConfig", &json!({"EndpointConfigName": "v2"}));
    ok(&mut cloud, "DeleteModel", &json!({"ModelName": "v2"}));
    assert!(call(&mut cloud, "DescribeModel", &json!({"ModelName": "v2"})).is_err());
}

#[test]
fn a_model_can_be_made_of_a_package() {
    let mut cloud = cloud();
    put(&mut cloud, "m.tar.gz", b"packaged");
    let package = json!({"ModelPackageGroupName": "churn", "InferenceSpecification": {"Containers": [{"Image": "i",
        "ModelDataUrl": format!("s3://{BUCKET}/m.tar.gz"), "Environment": {"A": "package", "B": "package"}}]}});
    let arn = ok(&mut cloud, "CreateModelPackage", &package)["ModelPackageArn"].clone();
    let container = json!({"ModelPackageName": arn, "Environment": {"B": "model"}});
    ok(
        &mut cloud,
        "CreateModel",
        &json!({"ModelName": "m", "Containers": [container]}),
    );
    let variants = json!([{"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": 1}]);
    ok(
        &mut cloud,
        "CreateEndpointConfig",
        &json!({"EndpointConfigName": "m", "ProductionVariants": variants}),
    );
    ok(
        &mut cloud,
        "CreateEndpoint",
        &json!({"EndpointName": "churn", "EndpointConfigName": "m"}),
    );
    let Some(Effect::StartInstance(instance)) = cloud.take_effects().into_iter().next() else {
        panic!("no instance is started");
    };
    assert_eq!(instance.model_archive, "packaged");
    assert_eq!(json!(instance.environment), json!({"A": "package", "B": "model"}));
}

#[test]
fn requests_go_round_and_are_counted() {
    let (mut cloud, started) = serving(3);
    let routed: Vec<EffectId> = (0..6).map(|_| cloud.route("churn").unwrap().instance).collect();
    assert_eq!(routed, [started.clone(), started.clone()].concat());
    for (status, latency) in [(200, 1000), (200, 3000), (404, 500), (500, 100), (503, 100)] {
        cloud.record_invocation(started[0], status, latency);
    }
    cloud.record_invocation(9999, 500, 1);
    assert_eq!(cloud.served("v1"), (3, 2));
    assert_eq!(cloud.served("other"), (0, 0));
    let names = [("EndpointName", "churn"), ("VariantName", "AllTraffic")];
    for (name, expected) in [
        ("Invocations", 5.0),
        ("Invocation4XXErrors", 1.0),
        ("Invocation5XXErrors", 2.0),
        ("ModelLatency", 4700.0),
    ] {
        assert_eq!(metric(&cloud, name, &names), (expected, 5), "{name}");
    }
}
