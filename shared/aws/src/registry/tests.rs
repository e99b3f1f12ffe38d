use serde_json::json;
use signalbox_model::package::APPROVAL_DESCRIPTION_CHARS_MAX;

use super::*;
use crate::recorded::{Recorded, SECONDS, output, refusal, time};

const PACKAGE: &str = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn/7";

fn arn() -> ModelPackageArn {
    PACKAGE.parse().unwrap()
}

fn map(members: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    members.iter().map(owned).collect()
}

#[tokio::test]
async fn a_version_is_read() {
    let recorded = Recorded::new([
        output(json!({
            "ModelPackageArn": PACKAGE,
            "ModelApprovalStatus": "Approved",
            "ApprovalDescription": "ada: fine",
            "CreationTime": SECONDS,
            "LastModifiedTime": SECONDS + 60.0,
            "LastModifiedBy": {
                "UserProfileName": "ada-studio", "DomainId": "d-1",
                "IamIdentity": {"Arn": "arn:aws:sts::111122223333:assumed-role/studio/SageMaker", "PrincipalId": "AROA:S"},
            },
            "ModelMetrics": {"ModelQuality": {"Statistics": {
                "ContentType": "application/json", "S3Uri": "s3://artifacts/evaluation.json",
            }}},
            "MetadataProperties": {"GeneratedBy": "arn:execution", "CommitId": "4a5b6c7"},
            "CustomerMetadataProperties": {"signalbox:trigger": "push", "owner": "ada"},
            "InferenceSpecification": {"Containers": [
                {"Image": "image:1", "ModelDataUrl": "s3://artifacts/model.tar.gz", "Environment": {"WORKERS": "2"}},
                {"Image": "image:2"},
            ]},
        })),
        output(json!({
            "ModelPackageArn": PACKAGE,
            "ModelApprovalStatus": "PendingManualApproval",
            "CreationTime": SECONDS,
        })),
    ]);
    let registry = Registry::new(&recorded.sdk());
    let container = |image: &str, model_data_url: Option<&str>, environment| Container {
        image: image.to_owned(),
        model_data_url: model_data_url.map(str::to_owned),
        environment,
    };
    let whole = ModelPackage {
        arn: arn(),
        approval: ApprovalStatus::Approved,
        approval_description: Some("ada: fine".to_owned()),
        metrics_uri: Some("s3://artifacts/evaluation.json".to_owned()),
        generated_by: Some("arn:execution".to_owned()),
        metadata: map(&[("signalbox:trigger", "push"), ("owner", "ada")]),
        containers: vec![
            container("image:1", Some("s3://artifacts/model.tar.gz"), map(&[("WORKERS", "2")])),
            container("image:2", None, BTreeMap::new()),
        ],
        created_at: Some(time()),
        modified_at: Some(time() + jiff::SignedDuration::from_mins(1)),
        modified_by: Some("ada-studio".to_owned()),
    };
    assert_eq!(registry.package(&arn()).await.unwrap(), whole);
    let bare = ModelPackage {
        arn: arn(),
        approval: ApprovalStatus::PendingManualApproval,
        approval_description: None,
        metrics_uri: None,
        generated_by: None,
        metadata: BTreeMap::new(),
        containers: Vec::new(),
        created_at: Some(time()),
        modified_at: None,
        modified_by: None,
    };
    assert_eq!(registry.package(&arn()).await.unwrap(), bare);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.DescribeModelPackage
    {
      "ModelPackageName": "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn/7"
    }

    POST / SageMaker.DescribeModelPackage
    {
      "ModelPackageName": "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn/7"
    }
    "#);
}

#[tokio::test]
async fn who_changed_a_version_is_a_studio_user_or_an_identity() {
    let bob = "arn:aws:iam::111122223333:user/bob";
    for (user, expected) in [
        (
            json!({"UserProfileName": "ada-studio", "UserProfileArn": "arn:profile"}),
            Some("ada-studio"),
        ),
        (json!({"IamIdentity": {"Arn": bob, "PrincipalId": "AIDA"}}), Some(bob)),
        (json!({"IamIdentity": {"PrincipalId": "AIDA"}}), None),
        (json!({}), None),
    ] {
        let recorded = Recorded::new([output(
            json!({"ModelApprovalStatus": "Approved", "LastModifiedBy": user}),
        )]);
        let package = Registry::new(&recorded.sdk()).package(&arn()).await.unwrap();
        assert_eq!(package.modified_by.as_deref(), expected, "{user}");
    }
}

#[tokio::test]
async fn a_version_that_is_neither_approved_nor_refused_nor_waiting_is_an_incomplete_answer() {
    for answer in [json!({}), json!({"ModelApprovalStatus": "Perhaps"})] {
        let recorded = Recorded::new([output(answer)]);
        let error = Registry::new(&recorded.sdk()).package(&arn()).await.unwrap_err();
        assert_eq!(error.code, "IncompleteAnswer");
        assert!(error.message.contains("ModelApprovalStatus"), "{error}");
    }
}

#[tokio::test]
async fn the_newest_versions_are_listed() {
    let answer = json!({"ModelPackageSummaryList": [
        {"ModelPackageArn": PACKAGE, "ModelApprovalStatus": "Approved", "CreationTime": SECONDS},
        {"ModelPackageArn": "arn:aws:sagemaker:eu-west-1:111122223333:model-package/unversioned",
         "ModelApprovalStatus": "Approved"},
        {"ModelPackageArn": arn().with_version(6).to_string(), "ModelApprovalStatus": "Rejected"},
    ]});
    let recorded = Recorded::new([output(answer), output(json!({}))]);
    let registry = Registry::new(&recorded.sdk());
    let expected = [
        PackageSummary {
            arn: arn(),
            approval: ApprovalStatus::Approved,
            created_at: Some(time()),
        },
        PackageSummary {
            arn: arn().with_version(6),
            approval: ApprovalStatus::Rejected,
            created_at: None,
        },
    ];
    assert_eq!(registry.newest_packages("churn", None, 5).await.unwrap(), expected);
    let approved = Some(ApprovalStatus::Approved);
    assert_eq!(registry.newest_packages("churn", approved, 255).await.unwrap(), []);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.ListModelPackages
    {
      "MaxResults": 5,
      "ModelPackageGroupName": "churn",
      "SortBy": "CreationTime",
      "SortOrder": "Descending"
    }

    POST / SageMaker.ListModelPackages
    {
      "MaxResults": 100,
      "ModelApprovalStatus": "Approved",
      "ModelPackageGroupName": "churn",
      "SortBy": "CreationTime",
      "SortOrder": "Descending"
    }
    "#);
}

#[tokio::test]
async fn a_decision_and_its_marks_are_one_call() {
    let recorded = Recorded::new([
        output(json!({"ModelPackageArn": PACKAGE})),
        output(json!({"ModelPackageArn": PACKAGE})),
        output(json!({"ModelPackageArn": PACKAGE})),
    ]);
    let registry = Registry::new(&recorded.sdk());
    let marks = map(&[("signalbox:decided-by", "ada"), ("signalbox:outcome", "rejected")]);
    let decided = registry
        .decide(&arn(), ApprovalStatus::Rejected, "ada: no", &marks)
        .await;
    decided.unwrap();
    let decided = registry
        .decide(&arn(), ApprovalStatus::Approved, "ada: fine", &BTreeMap::new())
        .await;
    decided.unwrap();
    registry
        .mark(&arn(), &map(&[("signalbox:outcome", "deployed")]))
        .await
        .unwrap();
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / SageMaker.UpdateModelPackage
    {
      "ApprovalDescription": "ada: no",
      "CustomerMetadataProperties": {
        "signalbox:decided-by": "ada",
        "signalbox:outcome": "rejected"
      },
      "ModelApprovalStatus": "Rejected",
      "ModelPackageArn": "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn/7"
    }

    POST / SageMaker.UpdateModelPackage
    {
      "ApprovalDescription": "ada: fine",
      "ModelApprovalStatus": "Approved",
      "ModelPackageArn": "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn/7"
    }

    POST / SageMaker.UpdateModelPackage
    {
      "CustomerMetadataProperties": {
        "signalbox:outcome": "deployed"
      },
      "ModelPackageArn": "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn/7"
    }
    "#);
}

#[tokio::test]
async fn what_is_written_is_cut_to_what_sagemaker_takes() {
    let recorded = Recorded::new([output(json!({"ModelPackageArn": PACKAGE}))]);
    let registry = Registry::new(&recorded.sdk());
    let marks = map(&[("signalbox:reason", &"ä".repeat(300))]);
    let description = "ö".repeat(2000);
    let decided = registry
        .decide(&arn(), ApprovalStatus::Approved, &description, &marks)
        .await;
    decided.unwrap();
    let requests = recorded.requests();
    let counts = ["ö", "ä"].map(|letter| requests.matches(letter).count());
    assert_eq!(counts[0], APPROVAL_DESCRIPTION_CHARS_MAX);
    // The last of the 256 may be an ellipsis.
    assert!((255..=256).contains(&counts[1]), "{}", counts[1]);
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (code, message, expected) in [
        ("ThrottlingException", "Rate exceeded", ErrorKind::Transient),
        ("AccessDeniedException", "User is not authorized", ErrorKind::Denied),
        ("ConflictException", "There was a conflict", ErrorKind::Conflict),
        (
            "ValidationException",
            "Model Package does not exist.",
            ErrorKind::NotFound,
        ),
        ("ValidationException", "1 validation error detected", ErrorKind::Invalid),
    ] {
        let recorded = Recorded::new(std::iter::repeat_n(refusal(code, message), 4));
        let registry = Registry::new(&recorded.sdk());
        let none = BTreeMap::new();
        let errors = [
            registry.package(&arn()).await.unwrap_err(),
            registry.newest_packages("churn", None, 1).await.unwrap_err(),
            registry
                .decide(&arn(), ApprovalStatus::Approved, "", &none)
                .await
                .unwrap_err(),
            registry.mark(&arn(), &none).await.unwrap_err(),
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
