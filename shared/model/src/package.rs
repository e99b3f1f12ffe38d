//! A version in the model registry, and what the train writes on it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::lineage::{Lineage, Trigger};
use crate::names::{ModelName, ModelPackageArn, ReleaseId};

/// The keys of the customer metadata that the train writes on a model package. SageMaker takes up to 50 pairs, keys of up to 128
/// and values of up to 256 characters.
pub mod key {
    /// [`Trigger`](crate::lineage::Trigger) of the training.
    pub const TRIGGER: &str = "signalbox:trigger";
    /// The commit that was trained.
    pub const COMMIT: &str = "signalbox:commit";
    /// How long its training took, in seconds.
    pub const TRAINED_SECONDS: &str = "signalbox:trained-seconds";
    /// When what made the training start happened, as an RFC 3339 time; written where it is known.
    pub const TRIGGERED_AT: &str = "signalbox:triggered-at";
    /// The verdict of the gate, in words.
    pub const GATE: &str = "signalbox:gate";
    /// What became of the version's last release: an [`Outcome`](super::Outcome) as text.
    pub const OUTCOME: &str = "signalbox:outcome";
    /// Why, in words.
    pub const REASON: &str = "signalbox:reason";
    /// The alarm that fired while it was deployed, and what it saw; written and read like [`FAILURE`].
    pub const ALARM: &str = "signalbox:alarm";
    /// SageMaker's `FailureReason` of an update to it, which the endpoint forgets with the next one; before it the first eight
    /// characters of the release, as [`of_release`](super::of_release) writes it.
    pub const FAILURE: &str = "signalbox:failure";
    /// When the endpoint was seen to serve it, as an RFC 3339 time.
    pub const DEPLOYED_AT: &str = "signalbox:deployed-at";
    /// The rollback (CodePipeline execution id) that took it back after it was deployed.
    pub const UNDONE_BY: &str = "signalbox:undone-by";
    /// The release (CodePipeline execution id) that the outcome is of.
    pub const RELEASE: &str = "signalbox:release";
    /// That registry and pipeline agree on how a release was decided: `approved` or `rejected`, written as
    /// [`of_release`](super::of_release) does.
    pub const DECISION: &str = "signalbox:decision";
    /// That the approvers were asked: [`Asked`](crate::decision::Asked) as text.
    pub const ASKED: &str = "signalbox:asked";
    /// Who decided.
    pub const DECIDED_BY: &str = "signalbox:decided-by";
    /// When, as an RFC 3339 time.
    pub const DECIDED_AT: &str = "signalbox:decided-at";
}

/// The longest value of customer metadata, in characters.
pub const METADATA_VALUE_CHARS_MAX: usize = 256;
/// The longest approval description, in characters.
pub const APPROVAL_DESCRIPTION_CHARS_MAX: usize = 1024;

/// `ModelApprovalStatus` of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ApprovalStatus {
    /// May be deployed.
    Approved,
    /// May not.
    Rejected,
    /// Nobody has decided yet.
    PendingManualApproval,
}

impl ApprovalStatus {
    /// The API's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "Approved",
            Self::Rejected => "Rejected",
            Self::PendingManualApproval => "PendingManualApproval",
        }
    }

    /// Reads the API's word.
    #[must_use]
    pub fn from_api(word: &str) -> Option<Self> {
        [Self::Approved, Self::Rejected, Self::PendingManualApproval]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

/// How a release ended, as the registry keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The endpoint serves it.
    Deployed,
    /// An alarm took it back.
    RolledBack,
    /// A person or the registry refused it.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// It did not pass the gate.
    GateNotMet,
    /// The deployment could not be made.
    Failed,
    /// Another update came after it, and serves.
    Superseded,
}

impl Outcome {
    /// The word that stands for the outcome in metadata and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::RolledBack => "rolled-back",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::GateNotMet => "gate-not-met",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_text(word: &str) -> Option<Self> {
        [
            Self::Deployed,
            Self::RolledBack,
            Self::Rejected,
            Self::Expired,
            Self::GateNotMet,
            Self::Failed,
            Self::Superseded,
        ]
        .into_iter()
        .find(|outcome| outcome.as_str() == word)
    }
}

/// A version in the model registry, as DescribeModelPackage shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelPackage {
    /// Which version.
    pub arn: ModelPackageArn,
    /// Whether it may be deployed.
    pub approval: ApprovalStatus,
    /// What the one who decided wrote.
    pub approval_description: Option<String>,
    /// `s3://` address of the evaluation report.
    pub metrics_uri: Option<String>,
    /// ARN of the pipeline execution that registered it.
    pub generated_by: Option<String>,
    /// What the train and others wrote on it.
    pub metadata: BTreeMap<String, String>,
    /// What to serve, in the registry's order.
    pub containers: Vec<Container>,
    /// When it was registered.
    pub created_at: Option<Timestamp>,
    /// When something about it was last changed.
    pub modified_at: Option<Timestamp>,
    /// By whom: the ARN of an IAM identity, or the name of a Studio user.
    pub modified_by: Option<String>,
}

/// One container of a model package's inference specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Registry path of the image.
    pub image: String,
    /// `s3://` address of the model archive.
    pub model_data_url: Option<String>,
    /// Environment of the container.
    pub environment: BTreeMap<String, String>,
}

impl ModelPackage {
    /// What became of the version's last release, if one ended.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.metadata
            .get(key::OUTCOME)
            .and_then(|word| Outcome::from_text(word))
    }

    /// How that release of the version ended, if it did.
    #[must_use]
    pub fn outcome_of(&self, release: &ReleaseId) -> Option<Outcome> {
        let of = self.metadata.get(key::RELEASE)?;
        if of == release.as_str() { self.outcome() } else { None }
    }

    /// The release that the version's outcome is of.
    #[must_use]
    pub fn release(&self) -> Option<ReleaseId> {
        self.metadata.get(key::RELEASE)?.parse().ok()
    }

    /// What SageMaker said of that release's update when it failed, where it was kept.
    #[must_use]
    pub fn failure_of(&self, release: &ReleaseId) -> Option<&str> {
        self.kept_of(release, key::FAILURE)
    }

    /// The alarm that fired while that release was deployed, where it was kept, and what it saw.
    #[must_use]
    pub fn alarm_of(&self, release: &ReleaseId) -> Option<(&str, &str)> {
        self.kept_of(release, key::ALARM)?.split_once(": ")
    }

    fn kept_of(&self, release: &ReleaseId, key: &str) -> Option<&str> {
        let (of, kept) = self.metadata.get(key)?.split_once(": ")?;
        (of == release.short()).then_some(kept)
    }

    /// When the release of the version was seen to be deployed; nothing where it has not come that far, or is another one.
    #[must_use]
    pub fn deployed_at(&self, release: &ReleaseId) -> Option<Timestamp> {
        if self.outcome_of(release) == Some(Outcome::Deployed) {
            self.metadata.get(key::DEPLOYED_AT)?.parse().ok()
        } else {
            None
        }
    }

    /// Whether the gate has judged the version and it passed.
    #[must_use]
    pub fn gate_held(&self) -> bool {
        self.metadata
            .get(key::GATE)
            .is_some_and(|verdict| verdict.starts_with("held"))
    }

    /// By what, and how many seconds before `now`, it began that the version comes to serve by this release: the way of a push, or
    /// of a training without one. Nothing where the version had a release before, which has waited for somebody to want another, or
    /// where the beginning is not known.
    #[must_use]
    pub fn way(&self, release: &ReleaseId, now: Timestamp) -> Option<(Trigger, u64)> {
        let before = self.metadata.get(key::RELEASE);
        if before.is_some_and(|before| before != release.as_str()) {
            return None;
        }
        let began: Timestamp = self.metadata.get(key::TRIGGERED_AT)?.parse().ok()?;
        let seconds = u64::try_from(now.duration_since(began).as_secs()).ok()?;
        Some((self.lineage().trigger, seconds))
    }

    /// Whether the version has served production traffic through a whole release.
    #[must_use]
    pub fn was_deployed(&self) -> bool {
        self.outcome() == Some(Outcome::Deployed)
    }

    /// How long its training took, in seconds, where that was noted.
    #[must_use]
    pub fn trained_seconds(&self) -> Option<u64> {
        self.metadata.get(key::TRAINED_SECONDS)?.parse().ok()
    }

    /// The execution of the model's own pipeline that registered it, by its ARN. Whoever registers a version may name anything there.
    #[must_use]
    pub fn own_execution(&self, model: &ModelName) -> Option<&str> {
        let own = format!(":pipeline/{model}/execution/");
        self.generated_by.as_deref().filter(|arn| arn.contains(&own))
    }

    /// Why the version was trained, as far as its metadata tells.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        let trigger = self
            .metadata
            .get(key::TRIGGER)
            .and_then(|word| serde_json::from_value(word.as_str().into()).ok());
        let mut lineage = Lineage::of(trigger.unwrap_or(Trigger::Registry));
        lineage.commit = self.metadata.get(key::COMMIT).cloned();
        lineage
    }
}

/// What is kept of one release: its text after the first eight characters of the release.
#[must_use]
pub fn of_release(short: &str, text: &str) -> String {
    format!("{short}: {text}")
}

/// Makes a text fit for customer metadata: characters that SageMaker's pattern refuses become spaces, and it is cut to 256.
#[must_use]
pub fn metadata_value(text: &str) -> String {
    // The API's pattern: ([\p{L}\p{Z}\p{N}_.:\/=+\-@]*). Rust's `is_alphanumeric` is more than that: to it the vowel signs of Hindi, which
    // are marks, are letters too.
    let is_word = |c: char| {
        let group = c.general_category_group();
        matches!(group, GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
    };
    let fit = |c: char| {
        if is_word(c) || "_.:/=+-@ ".contains(c) { c } else { ' ' }
    };
    text.chars().take(METADATA_VALUE_CHARS_MAX).map(fit).collect()
}

/// Makes a text fit for an approval description: line ends become spaces, and it is cut to 1024.
#[must_use]
pub fn approval_description(text: &str) -> String {
    // The API's pattern is .*, and for a dot none of these is a character.
    let fit = |c: char| match c {
        '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        c => c,
    };
    text.chars().take(APPROVAL_DESCRIPTION_CHARS_MAX).map(fit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for status in [
            ApprovalStatus::Approved,
            ApprovalStatus::Rejected,
            ApprovalStatus::PendingManualApproval,
        ] {
            assert_eq!(ApprovalStatus::from_api(status.as_str()), Some(status));
        }
        for outcome in [
            Outcome::Deployed,
            Outcome::RolledBack,
            Outcome::Expired,
            Outcome::Rejected,
            Outcome::GateNotMet,
            Outcome::Failed,
            Outcome::Superseded,
        ] {
            assert_eq!(Outcome::from_text(outcome.as_str()), Some(outcome));
        }
        assert_eq!(Outcome::from_text("moon"), None);
    }

    fn package(metadata: &[(&str, &str)]) -> ModelPackage {
        let arn = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7";
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        ModelPackage {
            arn: arn.parse().unwrap(),
            approval: ApprovalStatus::Approved,
            approval_description: None,
            metrics_uri: None,
            generated_by: None,
            metadata: metadata.iter().map(owned).collect(),
            containers: Vec::new(),
            created_at: None,
            modified_at: None,
            modified_by: None,
        }
    }

    fn release(first: &str) -> ReleaseId {
        format!("{first}-89ab-cdef-0123-456789abcdef").parse().unwrap()
    }

    #[test]
    fn what_is_kept_is_of_one_release() {
        let package = package(&[
            (key::FAILURE, &of_release("01234567", "an alarm: churn-5xx")),
            (key::ALARM, &of_release("01234567", "churn-5xx: 0.2 was greater")),
        ]);
        assert_eq!(package.failure_of(&release("01234567")), Some("an alarm: churn-5xx"));
        assert_eq!(package.failure_of(&release("11234567")), None);
        assert_eq!(
            package.alarm_of(&release("01234567")),
            Some(("churn-5xx", "0.2 was greater"))
        );
        assert_eq!(package.alarm_of(&release("11234567")), None);
    }

    #[test]
    fn what_is_not_of_a_release_is_not_kept_for_any() {
        for kept in [
            "",
            "churn-5xx",
            "01234567",
            "01234567: churn-5xx",
            "churn-5xx: 0.2 was greater",
        ] {
            assert_eq!(
                package(&[(key::ALARM, kept)]).alarm_of(&release("01234567")),
                None,
                "{kept}"
            );
        }
        assert_eq!(package(&[]).alarm_of(&release("01234567")), None);
    }

    #[test]
    fn a_release_is_deployed_once_it_has_ended_so() {
        let (mine, another) = (release("01234567"), release("11234567"));
        let at = "2026-03-01T12:45:00Z";
        for (outcome, deployed_at, expected) in [
            ("deployed", at, Some(at)),
            ("deployed", "yesterday", None),
            ("rolled-back", at, None),
            ("failed", at, None),
        ] {
            let package = package(&[
                (key::RELEASE, mine.as_str()),
                (key::OUTCOME, outcome),
                (key::DEPLOYED_AT, deployed_at),
            ]);
            let expected = expected.map(|at| at.parse().unwrap());
            assert_eq!(package.deployed_at(&mine), expected, "{outcome} {deployed_at}");
            assert_eq!(package.deployed_at(&another), None);
        }
        let untold = package(&[(key::RELEASE, mine.as_str()), (key::DEPLOYED_AT, at)]);
        assert_eq!(untold.deployed_at(&mine), None);
    }

    #[test]
    fn the_way_is_that_of_the_first_release() {
        let (mine, another) = (release("01234567"), release("11234567"));
        let now = "2026-03-01T12:45:00Z".parse().unwrap();
        let (push, data) = ((key::TRIGGER, "push"), (key::TRIGGER, "data"));
        let began = (key::TRIGGERED_AT, "2026-03-01T12:00:00Z");
        for (metadata, expected) in [
            (vec![push, began], Some((Trigger::Push, 2700))),
            (vec![data, began], Some((Trigger::Data, 2700))),
            // Its stage was retried.
            (
                vec![push, began, (key::RELEASE, mine.as_str())],
                Some((Trigger::Push, 2700)),
            ),
            (vec![push, began, (key::RELEASE, another.as_str())], None),
            (vec![push], None),
            (vec![push, (key::TRIGGERED_AT, "yesterday")], None),
            (vec![push, (key::TRIGGERED_AT, "2026-03-01T13:00:00Z")], None),
        ] {
            assert_eq!(package(&metadata).way(&mine, now), expected, "{metadata:?}");
        }
    }

    #[test]
    fn the_time_of_the_training_is_read_where_it_is_a_number() {
        for (noted, expected) in [("7500", Some(7500)), ("", None), ("2 h", None), ("-1", None)] {
            assert_eq!(
                package(&[(key::TRAINED_SECONDS, noted)]).trained_seconds(),
                expected,
                "{noted}"
            );
        }
        assert_eq!(package(&[]).trained_seconds(), None);
    }

    #[test]
    fn only_what_the_endpoint_has_served_was_deployed() {
        for (outcome, expected) in [
            (Some("deployed"), true),
            (Some("rolled-back"), false),
            (Some("superseded"), false),
            (None, false),
        ] {
            let metadata: Vec<_> = outcome.map(|outcome| (key::OUTCOME, outcome)).into_iter().collect();
            assert_eq!(package(&metadata).was_deployed(), expected, "{outcome:?}");
        }
    }

    #[test]
    fn an_execution_is_the_models_own_by_its_pipeline() {
        let model: ModelName = "churn".parse().unwrap();
        let execution = |pipeline: &str| format!("arn:aws:sagemaker:eu-west-1:123456789012:{pipeline}/execution/abc");
        let own = execution("pipeline/churn");
        for (generated_by, expected) in [
            (Some(own.clone()), Some(own.as_str())),
            (Some(execution("pipeline/churn-2")), None),
            (Some(execution("training-job/churn")), None),
            (Some("churn".to_owned()), None),
            (None, None),
        ] {
            let package = ModelPackage {
                generated_by,
                ..package(&[])
            };
            assert_eq!(package.own_execution(&model), expected);
        }
    }

    #[test]
    fn the_lineage_is_what_was_noted_of_it() {
        for (metadata, trigger, commit) in [
            (
                &[(key::TRIGGER, "drift"), (key::COMMIT, "0f3c")][..],
                Trigger::Drift,
                Some("0f3c"),
            ),
            (&[(key::TRIGGER, "moon")], Trigger::Registry, None),
            (&[], Trigger::Registry, None),
        ] {
            let lineage = package(metadata).lineage();
            assert_eq!((lineage.trigger, lineage.commit.as_deref()), (trigger, commit));
        }
    }

    #[test]
    fn metadata_values_fit_the_pattern() {
        assert_eq!(metadata_value("accuracy 0.9 > 0.85 (ok)"), "accuracy 0.9   0.85  ok ");
        assert_eq!(metadata_value(&"x".repeat(300)).len(), 256);
        for (text, expected) in [
            ("für 漢字, ½", "für 漢字  ½"),
            // A vowel sign, a combining accent and a circled letter are alphabetic, and no letters to the API.
            ("हि", "ह "),
            ("e\u{301} \u{345}ⓐ", "e    "),
        ] {
            assert_eq!(metadata_value(text), expected);
        }
    }

    #[test]
    fn approval_descriptions_are_one_line() {
        assert_eq!(approval_description("a\nb\rc\u{2028}d <e>\t"), "a b c d <e>\t");
        assert_eq!(approval_description(&"ä".repeat(2000)).chars().count(), 1024);
    }
}
