//! Why a model was trained, and from what.
//!
//! SageMaker pipeline executions can't be tagged. Their description can hold 3072 characters, and comes back both in the API and
//! in the status event, so the lineage travels there as JSON and is copied to the model package's customer metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The longest description that StartPipelineExecution takes, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 3072;

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

/// Why a model was trained, and from what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lineage {
    /// What made the training start.
    pub trigger: Trigger,
    /// The commit whose build is trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The CodePipeline execution that started the training, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codepipeline_execution: Option<String>,
    /// Where the training data is read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// What the trigger saw: the count of new objects, the alarm and its value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, String>,
    /// Whether the train has dealt with the execution's end, so that a sweep need not look at it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handled: bool,
}

impl Lineage {
    /// A lineage with a trigger and nothing else known.
    #[must_use]
    pub fn of(trigger: Trigger) -> Self {
        Self {
            trigger,
            commit: None,
            codepipeline_execution: None,
            data: None,
            evidence: BTreeMap::new(),
            handled: false,
        }
    }

    /// The JSON for an execution's description; evidence is left out, last key first, where it would not fit.
    #[must_use]
    pub fn to_description(&self) -> String {
        let mut lineage = self.clone();
        loop {
            // Serialising a struct of strings can't fail; an empty description would only lose the lineage.
            let text = serde_json::to_string(&lineage).unwrap_or_default();
            if text.chars().count() <= DESCRIPTION_CHARS_MAX || lineage.evidence.pop_last().is_none() {
                return text;
            }
        }
    }

    /// Reads an execution's description. Anything else than ours means that nobody here started the execution.
    #[must_use]
    pub fn from_description(description: Option<&str>) -> Self {
        description
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_else(|| Self::of(Trigger::Registry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_description() {
        let mut lineage = Lineage::of(Trigger::Data);
        lineage.commit = Some("0f3c".into());
        lineage.evidence.insert("newObjects".into(), "12".into());
        assert_eq!(Lineage::from_description(Some(&lineage.to_description())), lineage);
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
}
