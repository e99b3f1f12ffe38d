use std::collections::BTreeMap;

use signalbox_model::training::{Execution, Status, Step};

use super::*;
use crate::error::ErrorKind;
use crate::memory::Trainings;

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
