//! Models, configurations, endpoints without updates, and requests.

use super::super::testing::{BUCKET, call, cloud, instances, metric, ok, put, refused, told, wait};
use super::*;
use crate::cloud::iam::refusals;
use crate::cloud::testing::{deploy_strictly, deploy_without};

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
fn every_member_is_described_as_it_was_made() {
    let mut cloud = cloud();
    put(&mut cloud, "m.tar.gz", b"model");
    let network = json!({"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]});
    let role = "arn:aws:iam::123456789012:role/r";
    let model = json!({
        "ModelName": "m",
        "PrimaryContainer": {
            "ContainerHostname": "host", "Image": "image", "ImageConfig": {"RepositoryAccessMode": "Platform"}, "Mode": "SingleModel",
            "ModelDataUrl": format!("s3://{BUCKET}/m.tar.gz"), "Environment": {"A": "b"},
        },
        "ExecutionRoleArn": role,
        "VpcConfig": network,
        "EnableNetworkIsolation": true,
    });
    let capture = json!({
        "EnableCapture": true, "InitialSamplingPercentage": 20, "DestinationS3Uri": "s3://captured/churn", "KmsKeyId": "key",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
    });
    let variant = json!({
        "VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": 2, "InstanceType": "ml.m5.large",
        "InitialVariantWeight": 0.5, "VolumeSizeInGB": 64, "ModelDataDownloadTimeoutInSeconds": 600,
        "ContainerStartupHealthCheckTimeoutInSeconds": 300, "EnableSSMAccess": true, "InferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-2",
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
        "CoreDumpConfig": {"DestinationS3Uri": "s3://dumps/churn", "KmsKeyId": "key"},
        "CapacityReservationConfig": {"CapacityReservationPreference": "capacity-reservations-only",
            "MlReservationArn": "arn:aws:sagemaker:eu-west-1:123456789012:training-plan/plan"},
    });
    let config = json!({
        "EndpointConfigName": "c", "ProductionVariants": [variant], "DataCaptureConfig": capture, "KmsKeyId": "key",
        "ExecutionRoleArn": role, "VpcConfig": network, "EnableNetworkIsolation": false,
    });
    for (create, describe, name, arn, mut input) in [
        ("CreateModel", "DescribeModel", "ModelName", "ModelArn", model),
        (
            "CreateEndpointConfig",
            "DescribeEndpointConfig",
            "EndpointConfigName",
            "EndpointConfigArn",
            config,
        ),
    ] {
        let mut made = input.clone();
        made["Tags"] = json!([{"Key": "version", "Value": "1"}]);
        let made_arn = ok(&mut cloud, create, &made)[arn].clone();
        let described = ok(&mut cloud, describe, &json!({ name: input[name] }));
        input[arn] = made_arn.clone();
        input["CreationTime"] = json!(epoch_seconds(cloud.now()));
        assert_eq!(described, input);
        let tags = ok(&mut cloud, "ListTags", &json!({"ResourceArn": made_arn}));
        assert_eq!(tags["Tags"], made["Tags"]);
    }
    let create = json!({"EndpointName": "churn", "EndpointConfigName": "c"});
    ok(&mut cloud, "CreateEndpoint", &create);
    for id in instances(&mut cloud).0 {
        cloud.finish_start(id, Ok(()));
    }
    assert_eq!(
        describe(&mut cloud)["DataCaptureConfig"],
        json!({"EnableCapture": true, "CaptureStatus": "Started", "CurrentSamplingPercentage": 20,
            "DestinationS3Uri": "s3://captured/churn", "KmsKeyId": "key"})
    );
}

#[test]
fn what_the_local_cloud_does_not_serve_is_refused_by_name() {
    let mut cloud = cloud();
    config(&mut cloud, "v1", 1);
    for (member, value) in [
        ("ServerlessConfig", json!({"MaxConcurrency": 1, "MemorySizeInMB": 1024})),
        ("ManagedInstanceScaling", json!({"Status": "ENABLED"})),
    ] {
        let mut variant = json!({"VariantName": "AllTraffic", "ModelName": "v1"});
        variant[member] = value;
        let input = json!({"EndpointConfigName": "v2", "ProductionVariants": [variant]});
        let refusal = refused(&mut cloud, "CreateEndpointConfig", &input);
        assert_eq!(refusal, format!("The local cloud does not understand {member}."));
    }
}

#[test]
fn models_and_configurations_are_listed_as_asked() {
    let mut cloud = cloud();
    let start = epoch_seconds(cloud.now());
    // A minute apart; the last two at the same time.
    for (name, minutes) in [
        ("churn-v9", 1),
        ("other", 1),
        ("churn-v10", 1),
        ("churn-V11", 0),
        ("churn-v8", 0),
    ] {
        config(&mut cloud, name, 1);
        wait(&mut cloud, 60 * minutes);
    }
    for (input, expected) in [
        (
            json!({}),
            &["churn-v8", "churn-V11", "churn-v10", "other", "churn-v9"][..],
        ),
        (
            json!({"SortOrder": "Ascending"}),
            &["churn-v9", "other", "churn-v10", "churn-V11", "churn-v8"],
        ),
        (
            json!({"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 2}),
            &["churn-v8", "churn-V11"],
        ),
        (
            json!({"SortBy": "Name", "SortOrder": "Ascending"}),
            &["churn-V11", "churn-v10", "churn-v8", "churn-v9", "other"],
        ),
        (json!({"NameContains": "churn-v1"}), &["churn-V11", "churn-v10"]),
        (
            json!({"CreationTimeAfter": start + 60.0}),
            &["churn-v8", "churn-V11", "churn-v10"],
        ),
        (json!({"CreationTimeBefore": start + 60.0}), &["churn-v9"]),
        (
            json!({"CreationTimeAfter": start, "CreationTimeBefore": start + 121.0, "NameContains": "churn"}),
            &["churn-v10"],
        ),
    ] {
        for (operation, member, name) in [
            ("ListEndpointConfigs", "EndpointConfigs", "EndpointConfigName"),
            ("ListModels", "Models", "ModelName"),
        ] {
            let listed = ok(&mut cloud, operation, &input);
            let names: Vec<&str> = list_of(&listed, member).map(|item| text(item, name)).collect();
            assert_eq!(names, expected, "{operation} {input}");
        }
    }
}

#[test]
fn pages_follow_each_other_while_what_they_list_is_deleted() {
    for sort in ["CreationTime", "Name"] {
        let mut cloud = cloud();
        for number in 1..=5 {
            config(&mut cloud, &format!("v{number}"), 1);
            wait(&mut cloud, 1);
        }
        let mut input = json!({"SortBy": sort, "SortOrder": "Ascending", "MaxResults": 2});
        let mut seen = Vec::new();
        loop {
            let page = ok(&mut cloud, "ListEndpointConfigs", &input);
            for config in list_of(&page, "EndpointConfigs") {
                let name = text(config, "EndpointConfigName").to_owned();
                ok(&mut cloud, "DeleteEndpointConfig", &json!({"EndpointConfigName": name}));
                seen.push(name);
            }
            let Some(token) = page.get("NextToken") else {
                break;
            };
            input["NextToken"] = token.clone();
        }
        assert_eq!(seen, ["v1", "v2", "v3", "v4", "v5"]);
        let refusal = refused(&mut cloud, "ListEndpointConfigs", &json!({"NextToken": "nonsense"}));
        assert_eq!(refusal, "Invalid NextToken.");
    }
}

#[test]
fn a_configuration_that_serves_can_be_deleted_and_is_missed_later() {
    let (mut cloud, _) = serving(1);
    ok(&mut cloud, "DeleteEndpointConfig", &json!({"EndpointConfigName": "v1"}));
    let described = describe(&mut cloud);
    assert_eq!(
        (
            text(&described, "EndpointStatus"),
            text(&described, "EndpointConfigName")
        ),
        ("InService", "v1")
    );
    assert_eq!(cloud.route("churn").unwrap().config, "v1");
    let refusal = refused(
        &mut cloud,
        "UpdateEndpoint",
        &json!({"EndpointName": "churn", "EndpointConfigName": "v1"}),
    );
    assert!(
        refusal.starts_with("Could not find endpoint configuration \""),
        "{refusal}"
    );
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

/// The stack of a role that serves from a VPC what it captures.
const STRICT: &str = r#"
Resources:
  Bucket: {Type: AWS::S3::Bucket, Properties: {BucketName: train-data}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: r
      AssumeRolePolicyDocument: {Statement: {Effect: Allow, Principal: {Service: sagemaker.amazonaws.com}, Action: sts:AssumeRole}}
      Policies:
        - PolicyName: serve
          PolicyDocument:
            Statement:
              - {Effect: Allow, Resource: !Sub "${Bucket.Arn}/*", Action: s3:GetObject}
              - {Effect: Allow, Resource: !Sub "${Bucket.Arn}/captured/*", Action: s3:PutObject}
              - {Effect: Allow, Resource: "arn:aws:kms:eu-west-1:123456789012:key/elsewhere", Action: kms:GenerateDataKey}
              - {Effect: Allow, Resource: "*", Action: [ecr:GetAuthorizationToken, cloudwatch:PutMetricData]}
              - {Effect: Allow, Resource: "arn:aws:ecr:eu-west-1:1:repository/image",
                 Action: [ecr:BatchCheckLayerAvailability, ecr:BatchGetImage, ecr:GetDownloadUrlForLayer]}
              - {Effect: Allow, Resource: "arn:aws:logs:*:*:log-group:/aws/sagemaker/Endpoints/churn:*",
                 Action: [logs:CreateLogGroup, logs:CreateLogStream, logs:PutLogEvents]}
              - Effect: Allow
                Resource: "*"
                Action: [ec2:CreateNetworkInterface, ec2:CreateNetworkInterfacePermission, ec2:DeleteNetworkInterface,
                         ec2:DeleteNetworkInterfacePermission, ec2:DescribeDhcpOptions, ec2:DescribeNetworkInterfaces,
                         ec2:DescribeSecurityGroups, ec2:DescribeSubnets, ec2:DescribeVpcs]
"#;

/// How far an endpoint comes: that its model is refused, or its status, with the reason.
fn comes_up(mut cloud: Cloud) -> (String, Cloud) {
    put(&mut cloud, "m.tar.gz", b"model");
    let model = json!({"ModelName": "m", "ExecutionRoleArn": "arn:aws:iam::123456789012:role/r",
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "PrimaryContainer": {"Image": "1.dkr.ecr.eu-west-1.amazonaws.com/image:1", "ModelDataUrl": format!("s3://{BUCKET}/m.tar.gz")}});
    if let Err(error) = call(&mut cloud, "CreateModel", &model) {
        assert!(error.message.starts_with("Could not access model data"), "{error}");
        return ("no model".to_owned(), cloud);
    }
    let variant = json!({"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"});
    let capture = json!({"EnableCapture": true, "InitialSamplingPercentage": 5, "DestinationS3Uri": format!("s3://{BUCKET}/captured"),
        "KmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/elsewhere", "CaptureOptions": [{"CaptureMode": "Input"}]});
    let config = json!({"EndpointConfigName": "c", "ProductionVariants": [variant], "DataCaptureConfig": capture});
    ok(&mut cloud, "CreateEndpointConfig", &config);
    let input = json!({"EndpointName": "churn", "EndpointConfigName": "c"});
    ok(&mut cloud, "CreateEndpoint", &input);
    for id in instances(&mut cloud).0 {
        cloud.finish_start(id, Ok(()));
    }
    let described = describe(&mut cloud);
    let (status, reason) = (text(&described, "EndpointStatus"), text(&described, "FailureReason"));
    (format!("{status} {reason}").trim_end().to_owned(), cloud)
}

#[test]
fn an_endpoint_needs_every_grant_of_its_models_role() {
    let (status, whole) = comes_up(deploy_strictly(STRICT).unwrap());
    assert_eq!(status, "InService");
    assert_eq!(refusals(&whole), [""; 0]);
    for grant in whole.grants() {
        let id = grant.id.to_string();
        assert!(grant.needed, "{id}");
        let (status, cloud) = comes_up(deploy_without(STRICT, &id));
        let action = grant.id.action.as_str();
        assert_eq!(cloud.denials()[0].action, action, "{id}");
        let goes_on = ["logs:", "cloudwatch:", "kms:", "s3:PutObject"];
        match action {
            "s3:GetObject" | "sts:AssumeRole" => assert_eq!(status, "no model", "{id}"),
            _ if goes_on.iter().any(|start| action.starts_with(start)) => assert_eq!(status, "InService", "{id}"),
            _ => {
                assert!(status.starts_with("Failed"), "{id}: {status}");
                assert!(
                    status.contains(&format!("is not authorized to perform: {action} on ")),
                    "{id}: {status}"
                );
            }
        }
    }
}
