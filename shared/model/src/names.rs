//! Names, ARNs and tokens.
//!
//! Everything that the train creates has a name that follows from the model, the version and the release, so that doing it twice
//! makes AWS answer "exists already" instead of making it twice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest name that SageMaker takes, in characters.
const NAME_CHARS_MAX: usize = 63;
/// The longest model name, in characters. `NAME-v<10 digits>-<8 of the release>` then stays within SageMaker's 63.
pub const MODEL_NAME_CHARS_MAX: usize = 40;

/// A string that is not the name or ARN it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {expected}")]
pub struct NameError {
    value: String,
    expected: &'static str,
}

impl NameError {
    fn new(value: &str, expected: &'static str) -> Self {
        // What comes from outside is shown, but not at any length.
        let value = value.chars().take(200).collect();
        Self { value, expected }
    }
}

/// The name that one stack's model has everywhere: model package group, endpoint, SageMaker pipeline, prefix of the rest.
///
/// SageMaker's own pattern for such names is `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}`; this is the same with a shorter limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

impl ModelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The CodePipeline pipeline that builds and trains.
    #[must_use]
    pub fn train_pipeline(&self) -> String {
        format!("{self}-train")
    }

    /// The CodePipeline pipeline that approves and deploys.
    #[must_use]
    pub fn release_pipeline(&self) -> String {
        format!("{self}-release")
    }

    /// The CodePipeline pipeline that brings the last good version back.
    #[must_use]
    pub fn rollback_pipeline(&self) -> String {
        format!("{self}-rollback")
    }

    /// `GROUP-vN` of the version that a configuration serves, where it is one of this model's: its own name, and not that of a
    /// model that is called `GROUP-v2` or the like.
    #[must_use]
    pub fn version_of_config(&self, config: &str) -> Option<u32> {
        let (group, version) = version_of_config(config)?;
        (group == self.as_str()).then_some(version)
    }
}

impl FromStr for ModelName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let expected = "a model name: 1 to 40 of a-z, A-Z, 0-9 and -, with a letter or digit at both ends";
        if is_name(text) && text.len() <= MODEL_NAME_CHARS_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::new(text, expected))
        }
    }
}

impl TryFrom<String> for ModelName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of a model in the registry, as `arn:aws:sagemaker:REGION:ACCOUNT:model-package/GROUP/VERSION` names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelPackageArn {
    partition: String,
    region: String,
    account: String,
    group: String,
    version: u32,
}

impl ModelPackageArn {
    /// The model package group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The version's number within the group, from 1.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The account that the package is in.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The Region that the package is in.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// `GROUP-vN`: what people call the version, the name of its SageMaker model, and the token that starts its release.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}-v{}", self.group, self.version)
    }

    /// The name of the version's SageMaker model.
    #[must_use]
    pub fn model_name(&self) -> String {
        self.label()
    }

    /// The name of the endpoint configuration with which a release serves the version: `GROUP-vN-RELEASE`.
    #[must_use]
    pub fn endpoint_config_name(&self, release: &ReleaseId) -> String {
        format!("{}-{}", self.label(), release.short())
    }

    /// The `clientRequestToken` that starts the version's release. CodePipeline is idempotent on it, so that however many events
    /// announce one version, one release starts.
    #[must_use]
    pub fn release_token(&self) -> String {
        self.label()
    }

    /// The same for another release of the version, after one that ended before anything was deployed.
    #[must_use]
    pub fn release_token_after(&self, ended: &ReleaseId) -> String {
        format!("{}-after-{ended}", self.label())
    }

    /// The `clientRequestToken` that starts the rollback of a release of the version: whoever asks for it, it is done once.
    #[must_use]
    pub fn rollback_token(deployed: &ReleaseId) -> String {
        format!("undo-{deployed}")
    }

    /// The ARN of an endpoint configuration in the package's Region and account.
    #[must_use]
    pub fn endpoint_config_arn(&self, config: &str) -> String {
        let Self {
            partition,
            region,
            account,
            ..
        } = self;
        format!("arn:{partition}:sagemaker:{region}:{account}:endpoint-config/{config}")
    }

    /// The ARN of an endpoint in the package's Region and account.
    #[must_use]
    pub fn endpoint_arn(&self, endpoint: &str) -> String {
        let Self {
            partition,
            region,
            account,
            ..
        } = self;
        format!("arn:{partition}:sagemaker:{region}:{account}:endpoint/{endpoint}")
    }

    /// Where a person sees the endpoint of that name: the address of SageMaker's console.
    #[must_use]
    pub fn endpoint_console_url(&self, endpoint: &str) -> String {
        let console = Console {
            partition: self.partition.clone(),
            region: self.region.clone(),
        };
        let region = &self.region;
        format!("{console}/sagemaker/home?region={region}#/endpoints/{endpoint}")
    }

    /// Where a person reads what the containers of the endpoint of that name have logged: a stream for each instance of each variant.
    #[must_use]
    pub fn endpoint_log_url(&self, endpoint: &str) -> String {
        let console = Console {
            partition: self.partition.clone(),
            region: self.region.clone(),
        };
        // Encoded as the log of a function is.
        let region = &self.region;
        format!(
            "{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252FEndpoints$252F{endpoint}"
        )
    }

    /// Another version of the same group.
    #[must_use]
    pub fn with_version(&self, version: u32) -> Self {
        Self {
            version,
            ..self.clone()
        }
    }
}

impl FromStr for ModelPackageArn {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new(text, "the ARN of a versioned model package");
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().ok_or_else(error);
        let (arn, partition, service, region, account, resource) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        let mut path = resource.split('/');
        let (kind, group, version, rest) = (path.next(), path.next(), path.next(), path.next());
        let (Some("model-package"), Some(group), Some(version), None) = (kind, group, version, rest) else {
            return Err(error());
        };
        let version = number(version).ok_or_else(error)?;
        // Addresses of the console are made of these.
        let plain = [partition, region, account].into_iter().all(is_plain);
        if arn != "arn" || service != "sagemaker" || !is_name(group) || !plain {
            return Err(error());
        }
        Ok(Self {
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            group: group.to_owned(),
            version,
        })
    }
}

impl TryFrom<String> for ModelPackageArn {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ModelPackageArn> for String {
    fn from(arn: ModelPackageArn) -> Self {
        arn.to_string()
    }
}

impl fmt::Display for ModelPackageArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            region,
            account,
            group,
            version,
        } = self;
        write!(
            f,
            "arn:{partition}:sagemaker:{region}:{account}:model-package/{group}/{version}"
        )
    }
}

/// A model package group: `arn:aws:sagemaker:REGION:ACCOUNT:model-package-group/GROUP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPackageGroupArn(ModelPackageArn);

impl ModelPackageGroupArn {
    /// A version of the group.
    #[must_use]
    pub fn version(&self, version: u32) -> ModelPackageArn {
        self.0.with_version(version)
    }

    /// See [`ModelPackageArn::endpoint_arn`].
    #[must_use]
    pub fn endpoint_arn(&self, endpoint: &str) -> String {
        self.0.endpoint_arn(endpoint)
    }

    /// See [`ModelPackageArn::endpoint_config_arn`].
    #[must_use]
    pub fn endpoint_config_arn(&self, config: &str) -> String {
        self.0.endpoint_config_arn(config)
    }
}

impl FromStr for ModelPackageGroupArn {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new(text, "the ARN of a model package group");
        // The same but for the resource's type and the version that a group does not have.
        let (head, group) = text.split_once(":model-package-group/").ok_or_else(error)?;
        let version = format!("{head}:model-package/{group}/1");
        version.parse().map(Self).map_err(|_| error())
    }
}

/// The group and the version in an endpoint configuration's name, [`GROUP-vN-RELEASE`](ModelPackageArn::endpoint_config_name).
#[must_use]
pub fn version_of_config(config: &str) -> Option<(&str, u32)> {
    let (label, _) = config.rsplit_once('-')?;
    let (group, version) = label.rsplit_once("-v")?;
    Some((group, number(version)?))
}

/// A version's number as it is written: one number has one text, so that one version has one name.
pub(crate) fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok().filter(|number| *number > 0)?;
    (number.to_string() == text).then_some(number)
}

/// SageMaker's pattern for names, `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}`.
fn is_name(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    is_plain(text) && text.starts_with(edge) && text.ends_with(edge) && text.len() <= NAME_CHARS_MAX
}

/// Whether a part of an ARN is there, and of the characters that AWS has in such parts.
fn is_plain(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// A release: one execution of the release pipeline, named by its CodePipeline execution id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseId(String);

impl ReleaseId {
    /// The execution id, a UUID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight characters: enough to tell the releases of one version apart, short enough for a name.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl FromStr for ReleaseId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let dashes = [8, 13, 18, 23];
        let valid = text.len() == 36
            && text.char_indices().all(|(i, c)| {
                if dashes.contains(&i) {
                    c == '-'
                } else {
                    c.is_ascii_hexdigit()
                }
            });
        if valid {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(NameError::new(text, "a CodePipeline execution id (a UUID)"))
        }
    }
}

impl TryFrom<String> for ReleaseId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> Self {
        id.0
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A commit, by its full id: 40 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

impl CommitId {
    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight characters, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }

    /// The `idempotencyToken` that starts the commit's build. CodeBuild is idempotent on it for five minutes.
    #[must_use]
    pub fn build_token(&self) -> String {
        format!("check-{self}")
    }
}

impl FromStr for CommitId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(NameError::new(text, "a commit's full id: 40 hex digits"))
        }
    }
}

impl TryFrom<String> for CommitId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The console of a Region, as the addresses that people open begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    partition: String,
    region: String,
}

impl Console {
    /// Where a person sees one execution of a pipeline of CodePipeline.
    #[must_use]
    pub fn pipeline_execution_url(&self, pipeline: &str, execution: &str) -> String {
        let region = &self.region;
        format!("{self}/codesuite/codepipeline/pipelines/{pipeline}/executions/{execution}/timeline?region={region}")
    }

    /// Where a person reads what a Lambda function has logged.
    #[must_use]
    pub fn function_log_url(&self, function: &str) -> String {
        // The console has what stands behind `#` percent-encoded twice, with `$` for `%`; names of functions have no character that
        // would be, but the group's slashes are.
        let region = &self.region;
        format!("{self}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/$252Faws$252Flambda$252F{function}")
    }
}

/// Where a person reads what a job of SageMaker has logged: the streams of its instances. Nothing for an ARN of another kind.
///
/// The groups: <https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html>; a stream begins with the job's name and a
/// slash.
#[must_use]
pub fn job_log_url(job_arn: &str) -> Option<String> {
    let console: Console = job_arn.parse().ok()?;
    let (kind, name) = job_arn.splitn(6, ':').nth(5)?.split_once('/')?;
    let group = match kind {
        // A tuning job's trainings are jobs of their own, whose names begin with its.
        "training-job" | "hyper-parameter-tuning-job" => "TrainingJobs",
        "processing-job" => "ProcessingJobs",
        "transform-job" => "TransformJobs",
        _ => return None,
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return None;
    }
    let region = &console.region;
    // Encoded as the log of a function is; `$3F` and `$3D` are the `?` and `=` behind the group.
    Some(format!(
        "{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252F{group}$3FlogStreamNameFilter$3D{name}"
    ))
}

impl FromStr for Console {
    type Err = NameError;

    /// The console of the Region that an ARN is of.
    fn from_str(arn: &str) -> Result<Self, NameError> {
        let mut parts = arn.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("arn"), Some(partition), Some(_), Some(region)) if is_plain(region) => Ok(Self {
                partition: partition.to_owned(),
                region: region.to_owned(),
            }),
            _ => Err(NameError::new(arn, "an ARN with a Region")),
        }
    }
}

impl fmt::Display for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = match self.partition.as_str() {
            "aws-cn" => "console.amazonaws.cn",
            "aws-us-gov" => "console.amazonaws-us-gov.com",
            _ => "console.aws.amazon.com",
        };
        write!(f, "https://{}.{domain}", self.region)
    }
}

/// The SHA-256 of the parts as 64 lower-case hex digits, each part preceded by its length so that no two lists collide.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher
        .finalize()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            use fmt::Write;
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_names() {
        for good in ["a", "churn", "Churn-2", "a--b", &"x".repeat(40)] {
            assert_eq!(good.parse::<ModelName>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "-a", "a-", "a_b", "a b", "é", &"x".repeat(41), "a\n"] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn logs_of_jobs_are_found() {
        let arn = |job: &str| format!("arn:aws:sagemaker:eu-west-1:123456789012:{job}");
        let begin = "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252F";
        for (job, expected) in [
            (
                arn("training-job/pipelines-a-Train-b"),
                Some("TrainingJobs$3FlogStreamNameFilter$3Dpipelines-a-Train-b"),
            ),
            (
                arn("processing-job/p"),
                Some("ProcessingJobs$3FlogStreamNameFilter$3Dp"),
            ),
            (arn("transform-job/t"), Some("TransformJobs$3FlogStreamNameFilter$3Dt")),
            (
                arn("hyper-parameter-tuning-job/t"),
                Some("TrainingJobs$3FlogStreamNameFilter$3Dt"),
            ),
            (arn("model-package/churn/7"), None),
            (arn("training-job/"), None),
            (arn("training-job/a b"), None),
            (arn("training-job"), None),
            ("training-job/a".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(
                job_log_url(&job),
                expected.map(|rest| format!("{begin}{rest}")),
                "{job}"
            );
        }
    }

    #[test]
    fn package_arns() {
        let text = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7";
        let arn: ModelPackageArn = text.parse().unwrap();
        assert_eq!(arn.to_string(), text);
        assert_eq!(
            (arn.group(), arn.version(), arn.label().as_str()),
            ("churn", 7, "churn-v7")
        );
        for bad in [
            "",
            "churn/7",
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn",
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/0",
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/+7",
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/07",
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package/ch urn/7",
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package/-churn/7",
            "arn:aws:sagemaker:evil.example/?:123456789012:model-package/churn/7",
            "arn:aws:sagemaker::123456789012:model-package/churn/7",
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7/8",
            "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/churn/7",
            "arn:aws:s3:eu-west-1:123456789012:model-package/churn/7",
        ] {
            assert!(bad.parse::<ModelPackageArn>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn group_arns() {
        let group: ModelPackageGroupArn = "arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/churn"
            .parse()
            .unwrap();
        assert_eq!(
            group.version(7).to_string(),
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7"
        );
        assert_eq!(
            group.endpoint_config_arn("churn-v7-01234567"),
            "arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/churn-v7-01234567"
        );
        for bad in [
            "",
            "churn",
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7",
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/",
            "arn:aws:s3:eu-west-1:123456789012:model-package-group/churn",
        ] {
            assert!(bad.parse::<ModelPackageGroupArn>().is_err(), "{bad}");
        }
    }

    /// Under another name AWS has another resource, and under another token a second try does it twice.
    #[test]
    fn names_follow_from_the_model_the_version_and_the_release() {
        let model: ModelName = "churn".parse().unwrap();
        let arn: ModelPackageArn = "arn:aws-cn:sagemaker:cn-north-1:123456789012:model-package/churn/7"
            .parse()
            .unwrap();
        let group: ModelPackageGroupArn = "arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/churn"
            .parse()
            .unwrap();
        let release: ReleaseId = "01234567-89AB-cdef-0123-456789abcdef".parse().unwrap();
        let commit: CommitId = "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a".parse().unwrap();
        let console: Console = "arn:aws:sns:eu-west-1:123456789012:topic".parse().unwrap();
        for (name, expected) in [
            (model.train_pipeline(), "churn-train"),
            (model.release_pipeline(), "churn-release"),
            (model.rollback_pipeline(), "churn-rollback"),
            (arn.account().to_owned(), "123456789012"),
            (arn.region().to_owned(), "cn-north-1"),
            (arn.model_name(), "churn-v7"),
            (arn.endpoint_config_name(&release), "churn-v7-01234567"),
            (arn.release_token(), "churn-v7"),
            (
                arn.release_token_after(&release),
                "churn-v7-after-01234567-89ab-cdef-0123-456789abcdef",
            ),
            (
                ModelPackageArn::rollback_token(&release),
                "undo-01234567-89ab-cdef-0123-456789abcdef",
            ),
            (
                arn.endpoint_arn("churn"),
                "arn:aws-cn:sagemaker:cn-north-1:123456789012:endpoint/churn",
            ),
            (
                arn.endpoint_config_arn("churn-v7-01234567"),
                "arn:aws-cn:sagemaker:cn-north-1:123456789012:endpoint-config/churn-v7-01234567",
            ),
            (
                arn.endpoint_console_url("churn"),
                "https://cn-north-1.console.amazonaws.cn/sagemaker/home?region=cn-north-1#/endpoints/churn",
            ),
            (
                arn.endpoint_log_url("churn"),
                "https://cn-north-1.console.amazonaws.cn/cloudwatch/home?region=cn-north-1#logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252FEndpoints$252Fchurn",
            ),
            (
                group.endpoint_arn("churn"),
                "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/churn",
            ),
            (commit.build_token(), "check-0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a"),
            (
                console.pipeline_execution_url("churn-train", release.as_str()),
                "https://eu-west-1.console.aws.amazon.com/codesuite/codepipeline/pipelines/churn-train/executions/01234567-89ab-cdef-0123-456789abcdef/timeline?region=eu-west-1",
            ),
            (
                console.function_log_url("churn-retrain"),
                "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Flambda$252Fchurn-retrain",
            ),
        ] {
            assert_eq!(name, expected);
        }
    }

    /// In configurations, tokens and links they are text, and what is no name is refused on its way back.
    #[test]
    fn names_are_text_in_json() {
        fn check<T: Serialize + serde::de::DeserializeOwned + fmt::Debug>(text: &str, refusal: &str) {
            let json = format!("\"{text}\"");
            let read: T = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
            let error = serde_json::from_str::<T>("\"a name_\"").unwrap_err().to_string();
            assert!(error.starts_with(refusal), "{error}");
        }
        check::<ModelName>("churn", "`a name_` is not a model name: ");
        check::<ModelPackageArn>(
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7",
            "`a name_` is not the ARN of a versioned model package",
        );
        check::<ReleaseId>(
            "01234567-89ab-cdef-0123-456789abcdef",
            "`a name_` is not a CodePipeline execution id",
        );
        check::<CommitId>(
            "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a",
            "`a name_` is not a commit's full id",
        );
    }

    #[test]
    fn names_fit_sagemaker() {
        let release: ReleaseId = "01234567-89ab-cdef-0123-456789abcdef".parse().unwrap();
        let group = "x".repeat(MODEL_NAME_CHARS_MAX);
        let arn: ModelPackageArn = format!(
            "arn:aws:sagemaker:eu-west-1:123456789012:model-package/{group}/{}",
            u32::MAX
        )
        .parse()
        .unwrap();
        let name = arn.endpoint_config_name(&release);
        assert!(name.len() <= 63, "{name}");
        assert!(name.ends_with("-v4294967295-01234567"));
    }

    #[test]
    fn configurations_tell_their_version() {
        for (config, expected) in [
            ("churn-v7-01234567", Some(("churn", 7))),
            ("a-v1-b-v12-01234567", Some(("a-v1-b", 12))),
            ("churn-01234567", None),
            ("churn-vx-01234567", None),
            ("churn-v0-01234567", None),
            ("churn-v+7-01234567", None),
            ("churn-v07-01234567", None),
            ("", None),
        ] {
            assert_eq!(version_of_config(config), expected, "{config}");
        }
        let churn: ModelName = "churn".parse().unwrap();
        assert_eq!(churn.version_of_config("churn-v7-01234567"), Some(7));
        assert_eq!(
            churn.version_of_config("churn-v2-v7-01234567"),
            None,
            "another model, called churn-v2"
        );
    }

    #[test]
    fn commits() {
        let id = "0F3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a";
        let commit: CommitId = id.parse().unwrap();
        assert_eq!((commit.short(), commit.as_str()), ("0f3c2b1a", &*id.to_lowercase()));
        for bad in [
            "",
            "main",
            "0f3c2b1a",
            &"g".repeat(40),
            &"a".repeat(41),
            &"é".repeat(20),
        ] {
            assert!(bad.parse::<CommitId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn consoles() {
        for (arn, expected) in [
            (
                "arn:aws:sns:eu-west-1:123456789012:t",
                "https://eu-west-1.console.aws.amazon.com",
            ),
            (
                "arn:aws-cn:sns:cn-north-1:123456789012:t",
                "https://cn-north-1.console.amazonaws.cn",
            ),
            (
                "arn:aws-us-gov:sns:us-gov-west-1:123456789012:t",
                "https://us-gov-west-1.console.amazonaws-us-gov.com",
            ),
        ] {
            assert_eq!(
                arn.parse::<Console>().map(|console| console.to_string()),
                Ok(expected.to_owned())
            );
        }
        for bad in ["", "topic", "arn:aws:s3:::bucket", "arn:aws:sns:evil.example/?:1:t"] {
            assert!(bad.parse::<Console>().is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_keep_parts_apart() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_eq!(digest(&[]).len(), 64);
    }
}
