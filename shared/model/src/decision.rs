//! What people decide about a version, and how it is written where it is kept.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::names::{ModelName, ReleaseId, digest};
use crate::package::{ApprovalStatus, METADATA_VALUE_CHARS_MAX, ModelPackage, key, metadata_value, of_release};

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Release it.
    Approve,
    /// Don't.
    Reject,
}

impl Decision {
    /// The form's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }

    /// What the version is then.
    #[must_use]
    pub fn done(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Reject => "rejected",
        }
    }

    fn from_done(word: &str) -> Option<Self> {
        [Self::Approve, Self::Reject]
            .into_iter()
            .find(|decision| decision.done() == word)
    }
}

/// What somebody decided, when, and with which words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What.
    pub decision: Decision,
    /// Who: an approver's address, or the door that does not tell more.
    pub by: String,
    /// When, where that is known.
    pub at: Option<Timestamp>,
    /// Their words; may be empty.
    pub comment: String,
}

impl Decided {
    /// For the registry's description and the pipeline's summary: `approved by ada@example.com: fine by me`.
    #[must_use]
    pub fn description(&self) -> String {
        let Self {
            decision, by, comment, ..
        } = self;
        let done = decision.done();
        if comment.is_empty() {
            format!("{done} by {by}")
        } else {
            format!("{done} by {by}: {comment}")
        }
    }

    /// Reads a [`description`](Self::description). Anybody can write such a text: whether it is the train's own is for the caller
    /// to know.
    #[must_use]
    pub fn from_description(text: &str, at: Option<Timestamp>) -> Option<Self> {
        let (done, rest) = text.split_once(" by ")?;
        let (by, comment) = rest.split_once(": ").unwrap_or((rest, ""));
        Some(Self {
            decision: Decision::from_done(done)?,
            by: by.to_owned(),
            at,
            comment: comment.to_owned(),
        })
    }

    /// What is written on the version with the decision: that the release, whose approval has `ended` then, is decided so, by whom
    /// and when.
    #[must_use]
    pub fn metadata(&self, release: &ReleaseId, ended: Option<Timestamp>) -> BTreeMap<String, String> {
        let ended = ended.map_or_else(String::new, |ended| format!(" {ended}"));
        let mark = of_release(release.short(), &format!("{}{ended}", self.decision.done()));
        let mut metadata = BTreeMap::from([
            (key::DECISION.to_owned(), mark),
            (key::DECIDED_BY.to_owned(), self.by.clone()),
        ]);
        metadata.extend(self.at.map(|at| (key::DECIDED_AT.to_owned(), at.to_string())));
        metadata
    }

    /// The approvals of several as one: who, and the words of each.
    #[must_use]
    pub fn together(approvals: &[Self]) -> Option<Self> {
        let last = approvals.iter().max_by_key(|approval| approval.at)?;
        let by: Vec<_> = approvals.iter().map(|approval| approval.by.as_str()).collect();
        let comments = approvals.iter().map(|approval| approval.comment.as_str());
        let comments: Vec<_> = comments.filter(|comment| !comment.is_empty()).collect();
        Some(Self {
            decision: Decision::Approve,
            by: by.join(" and "),
            at: last.at,
            comment: comments.join(" / "),
        })
    }
}

/// Where an approver's vote is kept on the version, where more than one is needed. The address itself may be longer than a key.
#[must_use]
pub fn vote_key(approver: &str) -> String {
    let id: String = digest(&[b"signalbox vote 1", approver.as_bytes()])
        .chars()
        .take(16)
        .collect();
    format!("signalbox:vote:{id}")
}

/// The approval of a release by one of several, as it is kept under [`vote_key`]. It counts while the approvers are asked on what
/// this one was shown: on other evidence they may think otherwise.
#[must_use]
pub fn vote(asked: &Asked, at: Timestamp, comment: &str) -> String {
    let Asked { release, shown, .. } = asked;
    let text = of_release(release.short(), &format!("{shown} {at} {comment}"));
    text.chars().take(METADATA_VALUE_CHARS_MAX).collect()
}

/// That approvers were asked about a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The release.
    pub release: ReleaseId,
    /// Until when its approval waits.
    pub expires: Timestamp,
    /// The beginning of the digest of what they were shown.
    pub shown: String,
    /// Whether they were reminded.
    pub reminded: bool,
}

/// How much of the evidence's digest is kept: enough to tell one from another.
const SHOWN_CHARS: usize = 16;

impl Asked {
    /// That they are asked now, on evidence with this digest.
    #[must_use]
    pub fn now(release: &ReleaseId, expires: Timestamp, digest: &str) -> Self {
        Self {
            release: release.clone(),
            expires,
            shown: digest.chars().take(SHOWN_CHARS).collect(),
            reminded: false,
        }
    }

    /// Whether they were shown what has this digest.
    #[must_use]
    pub fn saw(&self, digest: &str) -> bool {
        digest.starts_with(&self.shown)
    }

    /// As it is kept under [`key::ASKED`].
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self {
            release,
            expires,
            shown,
            reminded,
        } = self;
        let reminded = if *reminded { " reminded" } else { "" };
        format!("{release} {expires} {shown}{reminded}")
    }

    /// Reads it back.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let asked = Self {
            release: words.next()?.parse().ok()?,
            expires: words.next()?.parse().ok()?,
            shown: words.next().filter(|shown| shown.len() == SHOWN_CHARS)?.to_owned(),
            reminded: words.next() == Some("reminded"),
        };
        Some(asked)
    }
}

/// Who decided where nobody did: a release expired, was stopped, made way or was rolled back.
pub const TRAIN: &str = "the release train";

/// Who decided where nobody is asked: what has passed the gate is approved.
pub const AUTOMATIC: &str = "the automatic policy";

/// The functions that answer approvals and write decisions, in their own or in others' names.
const SPEAKERS: [&str; 5] = [
    "decide-approval",
    "request-approval",
    "pipeline-status",
    "sync-approval",
    "update-endpoint",
];

/// Whether an identity, as CodePipeline and SageMaker give it, is one of the train's functions: a role's session that is called
/// after it, as Lambda calls its sessions. What such a function wrote says itself who decided.
#[must_use]
pub fn is_train(model: &ModelName, identity: &str) -> bool {
    let session = identity
        .split_once(":assumed-role/")
        .and_then(|(_, role)| role.split_once('/'));
    let function = session.and_then(|(_, session)| session.strip_prefix(model.as_str())?.strip_prefix('-'));
    function.is_some_and(|function| SPEAKERS.contains(&function))
}

/// A person's name out of an identity: `ada` of `arn:aws:iam::123456789012:user/ada`.
#[must_use]
pub fn person(identity: &str) -> &str {
    identity.rsplit(['/', ':']).next().unwrap_or(identity)
}

impl ModelPackage {
    /// How that release of the version was decided, once registry and pipeline agree on it.
    #[must_use]
    pub fn decision_of(&self, release: &ReleaseId) -> Option<Decision> {
        let (of, done, _) = self.decision_mark()?;
        (of == release.short()).then_some(done)
    }

    /// Whether what is marked is another release, whose approval ended then or later.
    #[must_use]
    pub fn decided_since(&self, release: &ReleaseId, ended: Timestamp) -> bool {
        self.decision_mark()
            .is_some_and(|(of, _, later)| of != release.short() && later.is_some_and(|later| later >= ended))
    }

    /// Whether a release of the version is approved and has not ended.
    #[must_use]
    pub fn is_being_released(&self) -> bool {
        let ended = self.release().filter(|_| self.outcome().is_some());
        self.decision_mark().is_some_and(|(of, decision, _)| {
            decision == Decision::Approve && ended.is_none_or(|ended| ended.short() != of)
        })
    }

    /// The newest release that registry and pipeline agree on, by its first characters: how it was decided, and when its approval
    /// ended.
    fn decision_mark(&self) -> Option<(&str, Decision, Option<Timestamp>)> {
        let (of, mark) = self.metadata.get(key::DECISION)?.split_once(": ")?;
        let (done, ended) = mark.split_once(' ').unwrap_or((mark, ""));
        Some((of, Decision::from_done(done)?, ended.parse().ok()))
    }

    /// When the newest decision that registry and pipeline agree on was taken.
    #[must_use]
    pub fn decided_at(&self) -> Option<Timestamp> {
        self.metadata.get(key::DECIDED_AT)?.parse().ok()
    }

    /// What the approvers were last asked about.
    #[must_use]
    pub fn asked(&self) -> Option<Asked> {
        Asked::from_text(self.metadata.get(key::ASKED)?)
    }

    /// Who of the approvers has approved that release on what they are asked on now, where more than one is needed.
    #[must_use]
    pub fn votes(&self, release: &ReleaseId, approvers: &[String]) -> Vec<Decided> {
        let asked = self.asked().filter(|asked| asked.release == *release);
        asked.map_or_else(Vec::new, |asked| self.votes_on(&asked, approvers))
    }

    /// Who of the approvers has approved the release on what is shown of it there.
    #[must_use]
    pub fn votes_on(&self, asked: &Asked, approvers: &[String]) -> Vec<Decided> {
        let vote = |approver: &String| {
            let (of, vote) = self.metadata.get(&vote_key(approver))?.split_once(": ")?;
            let (shown, vote) = vote.split_once(' ')?;
            let (at, comment) = vote.split_once(' ').unwrap_or((vote, ""));
            (of == asked.release.short() && shown == asked.shown).then(|| Decided {
                decision: Decision::Approve,
                by: approver.clone(),
                at: at.parse().ok(),
                comment: comment.trim().to_owned(),
            })
        };
        approvers.iter().filter_map(vote).collect()
    }

    /// What the registry says now, in its own words: the newest decision by whichever door.
    #[must_use]
    pub fn decided(&self, model: &ModelName) -> Option<Decided> {
        let decision = match self.approval {
            ApprovalStatus::PendingManualApproval => return None,
            ApprovalStatus::Approved => Decision::Approve,
            ApprovalStatus::Rejected => Decision::Reject,
        };
        let description = self.approval_description.as_deref().unwrap_or_default();
        // What the train writes begins with the decision and who took it; whoever changes it later writes something else.
        let by = self.metadata.get(key::DECIDED_BY);
        if let Some(own) = Decided::from_description(description, self.decided_at())
            && own.decision == decision
            && by.is_some_and(|by| *by == metadata_value(&own.by))
        {
            return Some(own);
        }
        let why = self.metadata.get(key::REASON);
        // A rollback says first what it is: `rolled back: the alarm …`.
        let words = description.split_once(": ").map_or(description, |(_, words)| words);
        let is_why = why.is_some_and(|why| [description, words].map(metadata_value).contains(why));
        let someone = self.modified_by.as_deref().filter(|by| !is_train(model, by));
        if is_why && decision == Decision::Reject && someone.is_none() {
            // How a release ended where nobody had decided that, in the words that are kept of its outcome.
            let at = self.decided_at().filter(|_| by.is_some_and(|by| by == TRAIN));
            return Some(Decided {
                decision,
                by: TRAIN.to_owned(),
                at: at.or(self.modified_at),
                comment: description.to_owned(),
            });
        }
        let old = Decided::from_description(description, None);
        let is_old = old.zip(by).is_some_and(|(old, by)| *by == metadata_value(&old.by));
        Some(Decided {
            decision,
            by: someone.map_or_else(
                || "somebody in the model registry".to_owned(),
                |by| format!("{} in the model registry", person(by)),
            ),
            at: self.modified_at,
            // What was there before, about another decision, is not their words.
            comment: if is_why || is_old {
                String::new()
            } else {
                description.to_owned()
            },
        })
    }
}

/// The approvals among the votes, each person's once: what is counted against
/// [`approvals_needed`](crate::evidence::Evidence::approvals_needed).
#[must_use]
pub fn approvals(votes: &[Decided]) -> Vec<&Decided> {
    let mut approvals: Vec<&Decided> = Vec::new();
    for vote in votes.iter().filter(|vote| vote.decision == Decision::Approve) {
        if !approvals.iter().any(|other| other.by == vote.by) {
            approvals.push(vote);
        }
    }
    approvals
}

/// How many approvals release a version, in words, and what a rejection does.
#[must_use]
pub(crate) fn quorum(needed: u32) -> String {
    if needed <= 1 {
        "The first answer counts for all.".to_owned()
    } else {
        format!("{needed} approvals release it; one rejection rejects it.")
    }
}

#[cfg(test)]
mod tests;
