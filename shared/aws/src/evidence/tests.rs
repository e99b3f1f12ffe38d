use std::collections::BTreeMap;

use signalbox_model::endpoint::{Endpoint, Status as EndpointStatus};
use signalbox_model::training::{Execution, Status, Step};

use super::*;
use crate::error::ErrorKind;
use crate::memory::{OneEndpoint, Packages, Trainings};

const OWN: &str = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn/execution/p4jn9xou8a8s";

/// A version that says so itself: pushed, of this commit.
fn package(generated_by: Option<&str>) -> ModelPackage {
    let metadata = [(key::TRIGGER, "push"), (key::COMMIT, "0f3c")];
    ModelPackage {
        arn: "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7"
            .parse()
            .unwrap(),
        approval: ApprovalStatus::PendingManualApproval,
        approval_description: None,
        metrics_uri: None,
        generated_by: generated_by.map(str::to_owned),
        metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        containers: Vec::new(),
        created_at: None,
        modified_at: None,
        modified_by: None,
    }
}

/// All that the training knows.
fn told() -> Lineage {
    let mut lineage = Lineage::of(Trigger::Data);
    lineage.commit = Some("0f3c2b1a".into());
    lineage.set_commit_words(Some("Ada <ada@example.com>"), Some("Weigh recent calls more"));
    lineage.evidence = BTreeMap::from([("newObjects".into(), "12".into())]);
    lineage
}

fn execution(arn: &str, description: Option<String>) -> Trainings {
    let trainings = Trainings::default();
    let execution = Execution {
        arn: arn.to_owned(),
        status: Status::Succeeded,
        description,
        started_at: None,
        failure_reason: None,
    };
    trainings.put(execution, Vec::new());
    trainings
}

async fn lineage(package: &ModelPackage, trainings: &impl ReadTrainings) -> Result<Lineage, AwsError> {
    lineage_of(&"churn".parse().unwrap(), package, trainings).await
}

#[tokio::test]
async fn the_training_says_more_than_the_version() {
    let trainings = execution(OWN, Some(told().to_description()));
    let package = package(Some(OWN));
    assert_eq!(lineage(&package, &trainings).await.unwrap(), told());
    assert_ne!(package.lineage(), told());
}

#[tokio::test]
async fn where_the_training_says_nothing_the_version_does() {
    for (generated_by, trainings) in [
        (None, execution(OWN, Some(told().to_description()))),
        // Somebody else has started it.
        (Some(OWN), execution(OWN, Some("by hand".into()))),
        (Some(OWN), execution(OWN, None)),
        // It is deleted.
        (Some(OWN), Trainings::default()),
    ] {
        let package = package(generated_by);
        assert_eq!(lineage(&package, &trainings).await.unwrap(), package.lineage());
    }
    assert_eq!(package(None).lineage().trigger, Trigger::Push);
}

/// Whoever registers a version may write anything there; the role may read the model's own executions alone.
#[tokio::test]
async fn what_is_no_training_of_the_model_is_not_read() {
    for foreign in [
        "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/other/execution/p4jn9xou8a8s",
        "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn-2/execution/p4jn9xou8a8s",
        "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn",
        "arn:aws:sagemaker:eu-west-1:123456789012:training-job/churn",
        "a notebook",
        "",
    ] {
        let trainings = execution(foreign, Some(told().to_description()));
        let package = package(Some(foreign));
        assert_eq!(
            lineage(&package, &trainings).await.unwrap(),
            package.lineage(),
            "{foreign}"
        );
    }
}

/// SageMaker on a bad day.
struct Failing(ErrorKind);

impl ReadTrainings for Failing {
    async fn execution(&self, _arn: &str) -> Result<Execution, AwsError> {
        Err(AwsError::new(
            "sagemaker:DescribePipelineExecution",
            self.0,
            "Code",
            "the service's words",
        ))
    }

    async fn steps(&self, _arn: &str) -> Result<Vec<Step>, AwsError> {
        Ok(Vec::new())
    }
}

/// Otherwise the evidence would change from one look to the next, and with it end the links that were sent.
#[tokio::test]
async fn only_what_passes_by_itself_is_an_error() {
    let package = package(Some(OWN));
    for kind in [ErrorKind::Denied, ErrorKind::NotFound, ErrorKind::Invalid] {
        assert_eq!(
            lineage(&package, &Failing(kind)).await.unwrap(),
            package.lineage(),
            "{kind:?}"
        );
    }
    let error = lineage(&package, &Failing(ErrorKind::Transient)).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

/// A registry with versions that were deployed or not, and what the endpoint has: its status and its configuration.
async fn champion(versions: &[(u32, ApprovalStatus, bool)], endpoint: Option<(EndpointStatus, &str)>) -> Option<u32> {
    let (packages, endpoints) = (Packages::default(), OneEndpoint::default());
    let candidate = package(None);
    packages.put(candidate.clone());
    for (version, approval, deployed) in versions {
        let mut package = package(None);
        (package.arn, package.approval) = (package.arn.with_version(*version), *approval);
        if *deployed {
            package.metadata.insert(key::OUTCOME.to_owned(), "deployed".to_owned());
        }
        packages.put(package);
    }
    if let Some((status, config)) = endpoint {
        endpoints.set(Endpoint {
            status,
            config: config.to_owned(),
            failure_reason: None,
            pending: None,
            modified_at: None,
            desired_counts: Vec::new(),
        });
    }
    let champion = champion_of(&candidate, &packages, &endpoints).await.unwrap();
    champion.map(|champion| champion.arn.version())
}

#[tokio::test]
async fn the_champion_is_what_serves() {
    use ApprovalStatus::{Approved, Rejected};
    let deployed = [(5, Approved, true), (6, Approved, true)];
    for (status, config, expected) in [
        (EndpointStatus::InService, "churn-v6-01234567", 6),
        // Approved again after a newer one was deployed.
        (EndpointStatus::InService, "churn-v5-01234567", 5),
        (EndpointStatus::Updating, "churn-v5-01234567", 5),
        // What was put there by hand, or never served, or is the candidate itself, is none.
        (EndpointStatus::InService, "by-hand", 6),
        (EndpointStatus::InService, "other-v5-01234567", 6),
        (EndpointStatus::Failed, "churn-v5-01234567", 6),
        (EndpointStatus::Creating, "churn-v5-01234567", 6),
        (EndpointStatus::InService, "churn-v7-01234567", 6),
        // It was deleted from the registry.
        (EndpointStatus::InService, "churn-v4-01234567", 6),
    ] {
        let found = champion(&deployed, Some((status, config))).await;
        assert_eq!(found, Some(expected), "{status:?} {config}");
    }
    // In service since a moment, which nobody has noted yet.
    let noted_later = [(5, Approved, true), (6, Approved, false)];
    let serves = Some((EndpointStatus::InService, "churn-v6-01234567"));
    assert_eq!(champion(&noted_later, serves).await, Some(6));
    assert_eq!(champion(&noted_later, None).await, Some(5));
    // Rejected while it serves: its rollback is about to begin.
    let rejected = [(5, Approved, true), (6, Rejected, true)];
    assert_eq!(champion(&rejected, serves).await, Some(5));
    assert_eq!(champion(&[(6, Approved, false)], None).await, None);
    assert_eq!(champion(&[], serves).await, None);
}
