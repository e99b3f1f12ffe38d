//! The registry through its API.

use super::super::testing::{call, cloud, ok, refused, told, wait};
use super::*;

const EVENT: &str = "SageMaker Model Package State Change";

fn package() -> Value {
    json!({"ModelPackageGroupName": "churn", "InferenceSpecification": {"Containers": [{"Image": "i", "ModelDataUrl": "s3://b/m.tar.gz"}]},
        "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://b/e.json"}}},
        "CustomerMetadataProperties": {"commit": "abc"}})
}

fn create(cloud: &mut Cloud) -> String {
    wait(cloud, 1);
    text(&ok(cloud, "CreateModelPackage", &package()), "ModelPackageArn").to_owned()
}

fn numbers(answer: &Value) -> Vec<u64> {
    list_of(answer, "ModelPackageSummaryList")
        .map(|package| package["ModelPackageVersion"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_package_is_registered_approved_and_stamped() {
    let mut cloud = cloud();
    let arn = create(&mut cloud);
    assert_eq!(arn, "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/1");
    let made = told(&mut cloud, EVENT).pop().unwrap();
    assert_eq!(made["ModelApprovalStatus"], "PendingManualApproval");
    assert_eq!(made["ModelPackageVersion"], 1);
    assert_eq!(made["CreationTime"], "2026-11-02T08:00:01Z");
    assert_eq!(made.get("UpdatedModelPackageFields"), None);

    let approve = json!({"ModelPackageArn": arn, "ModelApprovalStatus": "Approved", "ApprovalDescription": "good"});
    ok(&mut cloud, "UpdateModelPackage", &approve);
    let told_of = told(&mut cloud, EVENT).pop().unwrap();
    assert_eq!(told_of["ModelApprovalStatus"], "Approved");
    assert_eq!(
        told_of["UpdatedModelPackageFields"],
        json!(["ModelApprovalStatus", "ApprovalDescription"])
    );

    let stamp = json!({"ModelPackageArn": arn, "CustomerMetadataProperties": {"release": "7"},
        "CustomerMetadataPropertiesToRemove": ["commit", "never"]});
    ok(&mut cloud, "UpdateModelPackage", &stamp);
    let told_of = told(&mut cloud, EVENT).pop().unwrap();
    assert_eq!(told_of["ModelApprovalStatus"], "Approved");
    assert_eq!(
        told_of["UpdatedModelPackageFields"],
        json!(["CustomerMetadataProperties"])
    );
    assert_eq!(told_of["CustomerMetadataProperties"], json!({"release": "7"}));

    let described = ok(&mut cloud, "DescribeModelPackage", &json!({"ModelPackageName": arn}));
    assert_eq!(described["ApprovalDescription"], "good");
    assert_eq!(described["CustomerMetadataProperties"], json!({"release": "7"}));
    assert_eq!(described["ModelMetrics"], package()["ModelMetrics"]);
}

#[test]
fn packages_are_listed() {
    let mut cloud = cloud();
    let arns: Vec<String> = (0..4).map(|_| create(&mut cloud)).collect();
    ok(
        &mut cloud,
        "UpdateModelPackage",
        &json!({"ModelPackageArn": arns[1], "ModelApprovalStatus": "Approved"}),
    );
    let alone = json!({"ModelPackageName": "alone", "InferenceSpecification": package()["InferenceSpecification"]});
    ok(&mut cloud, "CreateModelPackage", &alone);
    for (extra, expected) in [
        (json!({}), &[1, 2, 3, 4][..]),
        (
            json!({"SortOrder": "Descending", "SortBy": "CreationTime"}),
            &[4, 3, 2, 1],
        ),
        (json!({"ModelApprovalStatus": "Approved"}), &[2]),
        (json!({"ModelApprovalStatus": "Rejected"}), &[]),
        (json!({"ModelPackageType": "Unversioned"}), &[]),
        (json!({"NameContains": "CHU"}), &[1, 2, 3, 4]),
        (json!({"NameContains": "other"}), &[]),
    ] {
        let mut input = json!({"ModelPackageGroupName": "churn"});
        for (member, value) in extra.as_object().unwrap() {
            input[member] = value.clone();
        }
        assert_eq!(
            numbers(&ok(&mut cloud, "ListModelPackages", &input)),
            expected,
            "{extra}"
        );
    }
    let unversioned = ok(&mut cloud, "ListModelPackages", &json!({}));
    assert_eq!(unversioned["ModelPackageSummaryList"][0]["ModelPackageName"], "alone");

    let mut input = json!({"ModelPackageGroupName": "churn", "SortOrder": "Descending", "MaxResults": 3});
    let first = ok(&mut cloud, "ListModelPackages", &input);
    assert_eq!(numbers(&first), [4, 3, 2]);
    // One that comes between the pages shifts nothing.
    create(&mut cloud);
    input["NextToken"] = first["NextToken"].clone();
    let second = ok(&mut cloud, "ListModelPackages", &input);
    assert_eq!(numbers(&second), [1]);
    assert_eq!(second.get("NextToken"), None);
}

#[test]
fn limits_and_absence_are_told() {
    let mut cloud = cloud();
    let arn = create(&mut cloud);
    let many: BTreeMap<String, String> = (0..50).map(|n| (format!("k{n}"), "v".to_owned())).collect();
    let update = |metadata: Value| json!({"ModelPackageArn": arn, "CustomerMetadataProperties": metadata});
    for (operation, input, expected) in [
        (
            "UpdateModelPackage",
            update(json!(many)),
            "more than 50 properties, but would have 51",
        ),
        (
            "UpdateModelPackage",
            update(json!({"k".repeat(129): "v"})),
            "Map keys must satisfy constraint: [Member must have length less than or equal to 128",
        ),
        (
            "UpdateModelPackage",
            update(json!({"k": "v".repeat(257)})),
            "Map value must satisfy constraint: [Member must have length less than or equal to 256",
        ),
        (
            "DescribeModelPackage",
            json!({"ModelPackageName": format!("{arn}9")}),
            "ModelPackage arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/19 does not exist.",
        ),
        (
            "DescribeModelPackageGroup",
            json!({"ModelPackageGroupName": "none"}),
            "ModelPackageGroup arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/none does not exist.",
        ),
        (
            "ListModelPackages",
            json!({"ModelPackageGroupName": "none"}),
            "does not exist.",
        ),
        (
            "CreateModelPackage",
            json!({"ModelPackageGroupName": "churn"}),
            "InferenceSpecification",
        ),
    ] {
        let found = refused(&mut cloud, operation, &input);
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
    let described = ok(&mut cloud, "DescribeModelPackage", &json!({"ModelPackageName": arn}));
    assert_eq!(
        described["CustomerMetadataProperties"],
        json!({"commit": "abc"}),
        "a refused update changes nothing"
    );
    let within = json!({"ModelPackageArn": arn, "CustomerMetadataProperties": many, "CustomerMetadataPropertiesToRemove": ["commit"]});
    ok(&mut cloud, "UpdateModelPackage", &within);
}

/// A pipeline's step registers without the shapes' check of an API call.
#[test]
fn metadata_of_a_step_has_the_same_limits() {
    let many = |count: usize| (0..count).map(|n| (format!("k{n}"), "v".to_owned())).collect();
    let one = |key: usize, value: usize| BTreeMap::from([("k".repeat(key), "ü".repeat(value))]);
    for (metadata, expected) in [
        (many(50), None),
        (one(128, 256), None),
        (many(51), Some("more than 50 properties, but would have 51")),
        (one(129, 1), Some("more than 128 characters")),
        (one(1, 257), Some("more than 256 characters")),
    ] {
        let found = check_metadata(&metadata).err().map(|error| error.message);
        match expected {
            None => assert_eq!(found, None),
            Some(expected) => assert!(
                found.as_deref().is_some_and(|found| found.contains(expected)),
                "{found:?} does not say {expected:?}"
            ),
        }
    }
}

#[test]
fn groups_are_deployed_described_and_tagged() {
    let mut cloud = cloud();
    let group = ok(
        &mut cloud,
        "DescribeModelPackageGroup",
        &json!({"ModelPackageGroupName": "churn"}),
    );
    assert_eq!(group["ModelPackageGroupStatus"], "Completed");
    let arn = group["ModelPackageGroupArn"].clone();
    let listed = ok(&mut cloud, "ListModelPackageGroups", &json!({}));
    assert_eq!(listed["ModelPackageGroupSummaryList"][0]["ModelPackageGroupArn"], arn);
    ok(
        &mut cloud,
        "AddTags",
        &json!({"ResourceArn": arn, "Tags": [{"Key": "team", "Value": "a"}]}),
    );
    let tags = ok(
        &mut cloud,
        "AddTags",
        &json!({"ResourceArn": arn, "Tags": [{"Key": "team", "Value": "b"}]}),
    );
    assert_eq!(tags["Tags"], json!([{"Key": "team", "Value": "b"}]));
    assert_eq!(
        ok(&mut cloud, "ListTags", &json!({"ResourceArn": arn}))["Tags"],
        tags["Tags"]
    );
    refused(&mut cloud, "ListTags", &json!({"ResourceArn": "arn:none"}));
    assert_eq!(
        call(&mut cloud, "Nonsense", &json!({})).unwrap_err().code,
        "UnknownOperationException"
    );
}
