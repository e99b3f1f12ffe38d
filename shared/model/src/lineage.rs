//! Why a model was trained, and from what.
//!
//! SageMaker pipeline executions can't be tagged. Their description can hold 3072 characters, and comes back both in the API and
//! in the status event, so the lineage travels there as JSON and is copied to the model package's customer metadata.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest description that StartPipelineExecution takes, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 3072;
/// The longest author that is kept, in characters.
pub const AUTHOR_CHARS_MAX: usize = 120;
/// The longest commit message that is kept, in characters.
pub const MESSAGE_CHARS_MAX: usize = 600;

/// What made a training start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A push to the model's repository.
    Push,
    /// The retraining schedule.
    Schedule,
    /// Enough new data since the last training.
    Data,
    /// An alarm on drift, quality or bias.
    Drift,
    /// Not this train: a notebook, Studio, another orchestrator. The version was found in the registry.
    Registry,
}

impl Trigger {
    /// Whether the train itself starts such a training, without a person.
    #[must_use]
    pub fn is_automatic(self) -> bool {
        matches!(self, Self::Schedule | Self::Data | Self::Drift)
    }

    /// The word that stands for the trigger in reports, metadata and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Schedule => "schedule",
            Self::Data => "data",
            Self::Drift => "drift",
            Self::Registry => "registry",
        }
    }
}

/// Which data a training is for: what has arrived after `from`, if that is known, until `until`.
///
/// Everything that lay there before belongs to it too, unless the scripts do otherwise: what they are told are these two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The end of the data of the training before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// When the training was asked for. Data that arrives later is counted for the next.
    pub until: Timestamp,
}

/// What people were told of a training that ended without a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// A notice of its own, with the count of those before it that had none.
    Notice,
    /// Nothing yet: it is in the count of the next notice.
    Counted,
}

/// Why a model was trained, and from what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lineage {
    /// What made the training start.
    pub trigger: Trigger,
    /// The commit whose build is trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Who wrote the commit: `Ada Lovelace <ada@example.com>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The CodePipeline execution that started the training, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codepipeline_execution: Option<String>,
    /// When the push was seen that the commit came with. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<Timestamp>,
    /// Where the training data is read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Which version of the SageMaker pipeline's definition the commit's build became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Which data the training is for, where something else than a push asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The version that served when the training was asked for, where the train looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<u32>,
    /// What the trigger saw: the count of new objects, the alarm and its value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, String>,
    /// Whether the train has dealt with the execution's end, so that a sweep need not look at it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handled: bool,
    /// Whether its training step ended well, whatever became of the model. Noted when it was dealt with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trained: bool,
    /// What people were told of its end, where it ended without a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

impl Lineage {
    /// A lineage with a trigger and nothing else known.
    #[must_use]
    pub fn of(trigger: Trigger) -> Self {
        Self {
            trigger,
            commit: None,
            author: None,
            message: None,
            codepipeline_execution: None,
            pushed: None,
            data: None,
            version: None,
            window: None,
            champion: None,
            evidence: BTreeMap::new(),
            handled: false,
            trained: false,
            told: None,
        }
    }

    /// When what made the training start happened: the push, or what asked for a training without one.
    #[must_use]
    pub fn triggered_at(&self) -> Option<Timestamp> {
        match self.trigger {
            Trigger::Push => self.pushed,
            _ => self.window.map(|window| window.until),
        }
    }

    /// Notes who wrote the commit and what they wrote about it, each cut to what is kept; what is blank is not known.
    pub fn set_commit_words(&mut self, author: Option<&str>, message: Option<&str>) {
        let bounded = |text: Option<&str>, chars: usize| {
            let text: String = text?.trim().chars().take(chars).collect();
            (!text.is_empty()).then_some(text)
        };
        self.author = bounded(author, AUTHOR_CHARS_MAX);
        self.message = bounded(message, MESSAGE_CHARS_MAX);
    }

    /// The JSON for an execution's description. Where it would not fit, evidence is left out, last key first, then the message, then
    /// the author; what the train goes by, the trigger and the commit, stays. What it has written itself fits then; of what somebody else
    /// has, with a commit or an address of thousands of characters, those are left out too.
    #[must_use]
    pub fn to_description(&self) -> String {
        let mut lineage = self.clone();
        loop {
            // Serialising a struct of strings can't fail; an empty description would only lose the lineage.
            let text = serde_json::to_string(&lineage).unwrap_or_default();
            // Control characters take six characters of JSON, so even a bounded message may be too long.
            let fits = text.chars().count() <= DESCRIPTION_CHARS_MAX;
            if fits || !lineage.leave_out() {
                return text;
            }
        }
    }

    /// Leaves out what is missed least; false where nothing is left that may be missed.
    fn leave_out(&mut self) -> bool {
        self.evidence.pop_last().is_some()
            || self.message.take().is_some()
            || self.author.take().is_some()
            || self.data.take().is_some()
            || self.codepipeline_execution.take().is_some()
            || self.commit.take().is_some()
    }

    /// Keeps somebody's own description as evidence, as much of it as fits beside what is there.
    pub(crate) fn keep_foreign(&mut self, description: &str) {
        self.evidence.insert("description".to_owned(), String::new());
        let mut room = DESCRIPTION_CHARS_MAX.saturating_sub(self.to_description().chars().count());
        // In JSON some characters take two, or six.
        let fits = |c: &char| {
            let json = serde_json::to_string(c).unwrap_or_default();
            let left = room.checked_sub(json.chars().count().saturating_sub(2));
            room = left.unwrap_or_default();
            left.is_some()
        };
        let kept = description.chars().take_while(fits).collect();
        self.evidence.insert("description".to_owned(), kept);
    }

    /// Reads an execution's description. Anything else than ours means that nobody here started the execution.
    #[must_use]
    pub fn from_description(description: Option<&str>) -> Self {
        description
            .and_then(Self::read)
            .unwrap_or_else(|| Self::of(Trigger::Registry))
    }

    /// Reads a description, where it is ours.
    pub(crate) fn read(description: &str) -> Option<Self> {
        serde_json::from_str(description).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn survives_the_description() {
        let mut lineage = Lineage::of(Trigger::Data);
        lineage.commit = Some("0f3c".into());
        lineage.set_commit_words(
            Some("Ada Lovelace <ada@example.com>"),
            Some("Weigh recent calls more\n\nWhy."),
        );
        lineage.evidence.insert("newObjects".into(), "12".into());
        assert_eq!(Lineage::from_description(Some(&lineage.to_description())), lineage);
    }

    /// The metadata of a version has the one, and is read by the other.
    #[test]
    fn a_triggers_word_is_the_one_in_its_json() {
        for (trigger, word) in [
            (Trigger::Push, "push"),
            (Trigger::Schedule, "schedule"),
            (Trigger::Data, "data"),
            (Trigger::Drift, "drift"),
            (Trigger::Registry, "registry"),
        ] {
            assert_eq!(trigger.as_str(), word);
            assert_eq!(serde_json::to_value(trigger).unwrap(), word);
        }
    }

    #[test]
    fn it_began_with_the_push_or_with_what_asked() {
        let (pushed, until) = ("2026-03-02T09:00:00Z", "2026-03-02T12:00:00Z");
        let window = format!(r#""window":{{"until":"{until}"}}"#);
        for (description, expected) in [
            (format!(r#"{{"trigger":"push","pushed":"{pushed}"}}"#), Some(pushed)),
            // As it was written before the push's time was.
            (r#"{"trigger":"push","commit":"0f3c"}"#.to_owned(), None),
            (
                format!(r#"{{"trigger":"data","pushed":"{pushed}",{window}}}"#),
                Some(until),
            ),
            (format!(r#"{{"trigger":"drift",{window}}}"#), Some(until)),
            (r#"{"trigger":"schedule"}"#.to_owned(), None),
            ("by hand".to_owned(), None),
        ] {
            let lineage = Lineage::from_description(Some(&description));
            assert_eq!(
                lineage.triggered_at().map(|at| at.to_string()).as_deref(),
                expected,
                "{description}"
            );
            assert_eq!(Lineage::from_description(Some(&lineage.to_description())), lineage);
        }
    }

    #[test]
    fn foreign_descriptions_are_the_registrys() {
        for text in [
            None,
            Some(""),
            Some("retrained by hand"),
            Some("{\"trigger\":\"moon\"}"),
            Some("[]"),
        ] {
            assert_eq!(
                Lineage::from_description(text),
                Lineage::of(Trigger::Registry),
                "{text:?}"
            );
        }
    }

    #[test]
    fn evidence_never_outgrows_the_description() {
        let mut lineage = Lineage::of(Trigger::Drift);
        lineage.evidence.insert("a".into(), "1".into());
        lineage.evidence.insert("z".into(), "x".repeat(4000));
        let text = lineage.to_description();
        assert!(text.len() <= DESCRIPTION_CHARS_MAX);
        assert_eq!(Lineage::from_description(Some(&text)).evidence.len(), 1);
    }

    #[test]
    fn commit_words_are_bounded_and_never_blank() {
        let mut lineage = Lineage::of(Trigger::Push);
        lineage.set_commit_words(Some(" \n"), Some(&"é".repeat(601)));
        assert_eq!(lineage.author, None);
        assert_eq!(lineage.message, Some("é".repeat(600)));
        lineage.set_commit_words(Some(&"é".repeat(121)), None);
        assert_eq!((lineage.author, lineage.message), (Some("é".repeat(120)), None));
    }

    #[test]
    fn the_author_outlasts_the_message() {
        let mut lineage = Lineage::of(Trigger::Push);
        lineage.set_commit_words(Some("Ada"), Some(&format!("a{}z", "\u{1}".repeat(600))));
        lineage.evidence.insert("alarm".into(), "churn-drift".into());
        let read = Lineage::from_description(Some(&lineage.to_description()));
        assert!(read.evidence.is_empty());
        assert_eq!((read.author.as_deref(), read.message), (Some("Ada"), None));
    }

    proptest! {
        #[test]
        fn whatever_was_written_fits_and_what_counts_stays(
            author in any::<Option<String>>(), message in "(?s).{0,700}|[\\x00-\\x1f\"]{0,700}",
            data in "s3://[a-z/]{1,900}", evidence in proptest::collection::btree_map(any::<String>(), "(?s).{0,900}", 0..6),
        ) {
            let mut lineage = Lineage::of(Trigger::Drift);
            lineage.commit = Some("4c1d0b9f2a7e5d3c8b6a1f0e9d8c7b6a5f4e3d2c".into());
            lineage.set_commit_words(author.as_deref(), Some(&message));
            lineage.data = Some(data);
            lineage.evidence = evidence;
            let text = lineage.to_description();
            prop_assert!(text.chars().count() <= DESCRIPTION_CHARS_MAX);
            let read = Lineage::from_description(Some(&text));
            prop_assert_eq!((read.trigger, &read.commit), (lineage.trigger, &lineage.commit));
            prop_assert_eq!(&read.data, &lineage.data);
            // In that order: evidence, message, author.
            prop_assert!(read.message == lineage.message || read.evidence.is_empty());
            prop_assert!(read.author == lineage.author || read.message.is_none());
            prop_assert!(read.evidence.iter().all(|(key, value)| lineage.evidence.get(key) == Some(value)));
            prop_assert!(read.evidence.keys().eq(lineage.evidence.keys().take(read.evidence.len())));
        }
    }
}
