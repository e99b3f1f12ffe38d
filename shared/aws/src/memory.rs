//! In-memory twins of the ports, for tests of the handlers.
//!
//! They keep what they are given and answer from it; where the real service would refuse, they refuse.

mod builds;
mod deployments;
mod endpoints;
mod pull_requests;
mod releases;
mod training;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use jiff::Timestamp;
use signalbox_model::arrivals::{Listed, Page};
use signalbox_model::names::ModelPackageArn;
use signalbox_model::notice::Notice;
use signalbox_model::package::{ApprovalStatus, ModelPackage, metadata_value};

use crate::commits::{Commit, ReadChanges, ReadCommits};
use crate::counts::{Count, Measure, Metric};
use crate::error::{AwsError, ErrorKind};
use crate::executions::ReadExecutions;
use crate::job::{Answer, AnswerJobs, Failure};
use crate::macs::{GenerateMac, VerifyMac};
use crate::notices::Publish;
use crate::registry::{PackageSummary, ReadPackages, WritePackages, package_not_found};
use crate::storage::{ListObjects, ObjectUri, ReadObjects, WriteObjects, too_large};

pub use self::builds::ProjectBuilds;
pub use self::deployments::{SomeDeployments, SomeVersions};
pub use self::endpoints::{FiringAlarms, OneEndpoint, ScaledVariants, SomeAlarms};
pub use self::pull_requests::SomePullRequests;
pub use self::releases::ReleaseTrain;
pub use self::training::{Started, Trainings};

/// Locks; a poisoned lock only means that another test thread has failed already.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets others go first, as every call over the network does: so a test can stop a handler before any call of its.
pub(crate) async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            Poll::Ready(())
        } else {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// Twin of [`Registry`](crate::registry::Registry).
#[derive(Debug, Default)]
pub struct Packages(Mutex<BTreeMap<ModelPackageArn, ModelPackage>>);

impl Packages {
    /// Puts a version there, over what was there.
    pub fn put(&self, package: ModelPackage) {
        lock(&self.0).insert(package.arn.clone(), package);
    }

    /// The version, if it is there.
    pub fn get(&self, arn: &ModelPackageArn) -> Option<ModelPackage> {
        lock(&self.0).get(arn).cloned()
    }

    fn update(&self, arn: &ModelPackageArn, update: impl FnOnce(&mut ModelPackage)) -> Result<(), AwsError> {
        let mut packages = lock(&self.0);
        let package = packages
            .get_mut(arn)
            .ok_or_else(|| package_not_found("sagemaker:UpdateModelPackage", arn))?;
        update(package);
        Ok(())
    }
}

impl ReadPackages for Packages {
    async fn package(&self, arn: &ModelPackageArn) -> Result<ModelPackage, AwsError> {
        pause().await;
        self.get(arn)
            .ok_or_else(|| package_not_found("sagemaker:DescribeModelPackage", arn))
    }

    async fn newest_packages(
        &self,
        group: &str,
        approval: Option<ApprovalStatus>,
        count_max: u8,
    ) -> Result<Vec<PackageSummary>, AwsError> {
        pause().await;
        let packages = lock(&self.0);
        let wanted = |package: &&ModelPackage| {
            package.arn.group() == group && approval.is_none_or(|approval| approval == package.approval)
        };
        let mut found: Vec<_> = packages.values().filter(wanted).collect();
        found.sort_by_key(|package| std::cmp::Reverse(package.arn.version()));
        let summary = |package: &ModelPackage| PackageSummary {
            arn: package.arn.clone(),
            approval: package.approval,
            created_at: package.created_at,
        };
        Ok(found.into_iter().take(count_max.into()).map(summary).collect())
    }
}

impl WritePackages for Packages {
    async fn decide(
        &self,
        arn: &ModelPackageArn,
        approval: ApprovalStatus,
        description: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        pause().await;
        self.update(arn, |package| {
            package.metadata.extend(fit(metadata));
            package.approval = approval;
            package.approval_description = Some(description.to_owned());
        })
    }

    async fn mark(&self, arn: &ModelPackageArn, metadata: &BTreeMap<String, String>) -> Result<(), AwsError> {
        pause().await;
        self.update(arn, |package| package.metadata.extend(fit(metadata)))
    }
}

/// The metadata as SageMaker takes it.
fn fit(metadata: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    metadata.iter().map(|(key, value)| (key.clone(), metadata_value(value)))
}

/// Twin of [`Sns`](crate::notices::Sns).
#[derive(Debug, Default)]
pub struct Topics(Mutex<Vec<Published>>);

/// A message that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// To which topic.
    pub topic_arn: String,
    /// What.
    pub notice: Notice,
    /// With which message attributes.
    pub attributes: BTreeMap<String, String>,
}

impl Topics {
    /// What was published so far.
    pub fn published(&self) -> Vec<Published> {
        lock(&self.0).clone()
    }
}

impl Publish for Topics {
    async fn publish(
        &self,
        topic_arn: &str,
        notice: &Notice,
        attributes: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        pause().await;
        let (notice, attributes) = (notice.clone(), attributes.clone());
        lock(&self.0).push(Published {
            topic_arn: topic_arn.to_owned(),
            notice,
            attributes,
        });
        Ok(())
    }
}

/// Twin of [`S3`](crate::storage::S3), with pages of ten.
#[derive(Debug, Default)]
pub struct Objects(Mutex<BTreeMap<String, (Vec<u8>, Timestamp)>>);

/// How many objects the twin lists at once.
const PAGE: usize = 10;

impl Objects {
    /// Puts an object there, by its `s3://` address. It is as old as can be.
    pub fn put(&self, uri: &str, content: impl Into<Vec<u8>>) {
        self.put_at(uri, content, Timestamp::MIN);
    }

    /// Puts an object there that was written at that time.
    pub fn put_at(&self, uri: &str, content: impl Into<Vec<u8>>, modified: Timestamp) {
        lock(&self.0).insert(uri.to_owned(), (content.into(), modified));
    }

    /// The addresses of all objects, in order.
    pub fn uris(&self) -> Vec<String> {
        lock(&self.0).keys().cloned().collect()
    }
}

impl ReadObjects for Objects {
    async fn read(&self, object: &ObjectUri, bytes_max: usize) -> Result<Vec<u8>, AwsError> {
        pause().await;
        let operation = "s3:GetObject";
        let content = lock(&self.0)
            .get(&object.to_string())
            .map(|(content, _)| content.clone());
        let missing = || {
            AwsError::new(
                operation,
                ErrorKind::NotFound,
                "NoSuchKey",
                "The specified key does not exist.",
            )
        };
        let content = content.ok_or_else(missing)?;
        if content.len() > bytes_max {
            Err(too_large(operation, object, bytes_max))
        } else {
            Ok(content)
        }
    }
}

impl WriteObjects for Objects {
    async fn write(&self, object: &ObjectUri, content: Vec<u8>) -> Result<(), AwsError> {
        pause().await;
        self.put(&object.to_string(), content);
        Ok(())
    }
}

impl ListObjects for Objects {
    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, AwsError> {
        pause().await;
        let bucket = format!("s3://{bucket}/");
        let objects = lock(&self.0);
        let keys = objects
            .iter()
            .filter_map(|(uri, object)| Some((uri.strip_prefix(&bucket)?, object)));
        let after = |key: &str| after.is_none_or(|after| key > after);
        let mut wanted = keys.filter(|(key, _)| key.starts_with(prefix) && after(key));
        let listed = wanted.by_ref().take(PAGE).map(|(key, (content, modified))| Listed {
            key: key.to_owned(),
            bytes: content.len().try_into().unwrap_or(u64::MAX),
            modified: *modified,
        });
        Ok(Page {
            objects: listed.collect(),
            more: wanted.next().is_some(),
        })
    }
}

/// Twin of [`EmbeddedMetrics`](crate::counts::EmbeddedMetrics).
#[derive(Debug, Default)]
pub struct Tally(Mutex<Vec<String>>);

impl Tally {
    /// What was counted and measured so far: `METRIC Dimension=value …`, and `METRIC 60 s`.
    pub fn counted(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

impl Count for Tally {
    fn one(&self, metric: &Metric, values: &[&str]) {
        let dimensions = metric.dimensions.iter().zip(values);
        let dimensions = dimensions.map(|(name, value)| format!(" {name}={value}"));
        lock(&self.0).push(metric.name.to_owned() + &dimensions.collect::<String>());
    }
}

impl Measure for Tally {
    fn seconds(&self, metric: &Metric, seconds: u64) {
        lock(&self.0).push(format!("{} {seconds} s", metric.name));
    }
}

/// Twin of [`Macs`](crate::macs::Macs): a digest with a secret.
#[derive(Debug, Default)]
pub struct OneKey;

impl GenerateMac for OneKey {
    async fn generate(&self, message: Vec<u8>) -> Result<Vec<u8>, AwsError> {
        pause().await;
        let digest = signalbox_model::names::digest(&[b"secret", &message]);
        Ok(digest.into_bytes().into_iter().take(32).collect())
    }
}

impl VerifyMac for OneKey {
    async fn verify(&self, message: Vec<u8>, mac: Vec<u8>) -> Result<bool, AwsError> {
        Ok(self.generate(message).await? == mac)
    }
}

/// Twin of [`Commits`](crate::commits::Commits): one author has written every commit.
#[derive(Debug, Default)]
pub struct OneAuthor(pub Commit);

impl ReadCommits for OneAuthor {
    async fn commit(&self, _repository: &str, _id: &str) -> Result<Commit, AwsError> {
        pause().await;
        if self.0 == Commit::default() {
            let (kind, code) = (ErrorKind::NotFound, "CommitIdDoesNotExistException");
            return Err(AwsError::new("codecommit:GetCommit", kind, code, "no such commit"));
        }
        Ok(self.0.clone())
    }
}

/// Twin of [`Commits`](crate::commits::Commits) for what was changed: between any two commits the same files, or too many of them, or a
/// failure.
#[derive(Debug, Clone)]
pub struct SameChanges(pub Result<Option<Vec<String>>, ErrorKind>);

impl ReadChanges for SameChanges {
    async fn changed(&self, _repository: &str, _before: &str, _after: &str) -> Result<Option<Vec<String>>, AwsError> {
        pause().await;
        let refused = |kind| AwsError::new("codecommit:GetDifferences", kind, "Refused", "refused");
        self.0.clone().map_err(refused)
    }
}

/// Twin of [`Executions`](crate::executions::Executions): every execution began at that time, or when is not known, or a failure.
#[derive(Debug, Clone)]
pub struct AllBegan(pub Result<Option<Timestamp>, ErrorKind>);

impl ReadExecutions for AllBegan {
    async fn began(&self, _pipeline: &str, _execution: &str) -> Result<Option<Timestamp>, AwsError> {
        pause().await;
        let refused = |kind| AwsError::new("codepipeline:ListActionExecutions", kind, "Refused", "refused");
        self.0.map_err(refused)
    }
}

/// Twin of [`Jobs`](crate::job::Jobs).
#[derive(Debug, Default)]
pub struct JobAnswers {
    given: Mutex<Vec<Result<Answer, Failure>>>,
    refusal: Option<&'static str>,
}

impl JobAnswers {
    /// One that refuses every answer with that error code.
    #[must_use]
    pub fn refusing(code: &'static str) -> Self {
        Self {
            refusal: Some(code),
            ..Self::default()
        }
    }

    /// The answers so far.
    pub fn given(&self) -> Vec<Result<Answer, Failure>> {
        lock(&self.given).clone()
    }

    fn take(&self, operation: &'static str, answer: Result<Answer, Failure>) -> Result<(), AwsError> {
        if let Some(code) = self.refusal {
            return Err(AwsError::new(operation, ErrorKind::Other, code, "refused"));
        }
        lock(&self.given).push(answer);
        Ok(())
    }
}

impl AnswerJobs for JobAnswers {
    async fn succeed(&self, _job_id: &str, answer: &Answer) -> Result<(), AwsError> {
        pause().await;
        self.take("codepipeline:PutJobSuccessResult", Ok(answer.clone()))
    }

    async fn fail(&self, _job_id: &str, failure: &Failure) -> Result<(), AwsError> {
        pause().await;
        self.take("codepipeline:PutJobFailureResult", Err(failure.clone()))
    }
}
