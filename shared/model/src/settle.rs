//! One decision, whichever door it came through: what is to be done so that registry and pipeline agree.
//!
//! The link, the model registry and CodePipeline's console know nothing of each other. CodePipeline takes the first answer to an
//! approval and refuses the others; the registry lets the last writer win. So both are read, the decision that was taken first
//! stands, and whoever comes second is told. That a release is settled is marked on the version ([`key::DECISION`]), and nothing is
//! deployed before: what somebody changes after the mark is another decision, not a crossing one.
//!
//! [`settle`] is level-triggered like the [reconciler](crate::reconcile): it is asked again after each step until it says that
//! there is nothing to do, so it does not matter which event woke it, or how often.
//!
//! [`key::DECISION`]: crate::package::key::DECISION

use std::cmp::Ordering;

use jiff::Timestamp;

use crate::decision::{AUTOMATIC, Decided, Decision, TRAIN, is_train, person};
use crate::names::{ModelName, ReleaseId};
use crate::package::{ModelPackage, Outcome};

/// The approval of one release, as the pipeline shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// It waits for an answer.
    Waiting,
    /// It was answered.
    Answered(Decided),
    /// The train answered it, because a newer candidate waits.
    Superseded {
        /// The newer one.
        by: u32,
        /// When.
        at: Timestamp,
    },
    /// Nobody answered in time.
    Expired {
        /// When it ended.
        at: Timestamp,
    },
    /// Somebody stopped the release while it waited.
    Stopped {
        /// When.
        at: Timestamp,
    },
}

/// The approval action of one release as CodePipeline lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What became of it.
    pub status: ActionStatus,
    /// The summary of the one who answered; empty where nobody did.
    pub summary: String,
    /// The ARN of the one who answered, where CodePipeline tells.
    pub identity: Option<String>,
    /// Since when it waits or has waited, where CodePipeline tells.
    pub since: Option<Timestamp>,
    /// When it came to be so.
    pub at: Timestamp,
}

/// `ActionExecutionStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "CodePipeline's own words")]
pub enum ActionStatus {
    InProgress,
    Succeeded,
    Failed,
    Abandoned,
}

impl Approval {
    /// Reads what CodePipeline lists. What the train's functions answered says itself who decided; of all others the identity does,
    /// so that nobody can put a decision into another's mouth by their summary.
    #[must_use]
    pub fn read(model: &ModelName, seen: &Seen) -> Self {
        let at = seen.at;
        let decision = match seen.status {
            ActionStatus::InProgress => return Self::Waiting,
            ActionStatus::Abandoned => return Self::Stopped { at },
            ActionStatus::Succeeded => Decision::Approve,
            // PutApprovalResult wants a summary: where there is none, nobody answered.
            ActionStatus::Failed if seen.summary.is_empty() => return Self::Expired { at },
            ActionStatus::Failed => Decision::Reject,
        };
        let train = seen
            .identity
            .as_deref()
            .is_none_or(|identity| is_train(model, identity));
        if let Some(by) = superseding(&seen.summary).filter(|_| train && decision == Decision::Reject) {
            return Self::Superseded { by, at };
        }
        let told = Decided::from_description(&seen.summary, Some(at));
        if let Some(told) = told.filter(|told| train && told.decision == decision) {
            return Self::Answered(told);
        }
        let by = match seen.identity.as_deref() {
            Some(_) if train => TRAIN.to_owned(),
            Some(identity) => format!("{} in CodePipeline", person(identity)),
            None => "somebody in CodePipeline".to_owned(),
        };
        Self::Answered(Decided {
            decision,
            by,
            at: Some(at),
            comment: seen.summary.clone(),
        })
    }

    /// When it ended; nothing while it waits.
    #[must_use]
    pub fn ended(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting => None,
            Self::Answered(decided) => Some(decided.at.unwrap_or(Timestamp::MIN)),
            Self::Superseded { at, .. } | Self::Expired { at } | Self::Stopped { at } => Some(*at),
        }
    }
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nobody has decided.
    Undecided,
    /// Registry, pipeline and people agree.
    Settled,
    /// The pipeline is to be answered so.
    Answer(Decided),
    /// The version is approved: the registry is to say so, and that it is settled.
    Approve {
        /// The decision that stands.
        stands: Decided,
        /// The decision that came second, whose maker is to be told.
        lost: Option<Decided>,
    },
    /// The release has ended without a deployment: people are to be told, and the registry is to say so.
    End {
        /// How.
        ending: Ending,
        /// The decision that came second, whose maker is to be told.
        lost: Option<Decided>,
    },
    /// The version was approved in the registry before the pipeline ended otherwise: it is released anew.
    Restart {
        /// The approval.
        stands: Decided,
        /// What came second, where somebody decided that.
        lost: Option<Decided>,
    },
}

/// How a release ended at its approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Somebody said no.
    Rejected(Decided),
    /// A newer candidate took its place.
    Superseded {
        /// Which.
        by: u32,
        /// When.
        at: Timestamp,
    },
    /// Nobody decided in time.
    Expired {
        /// When it expired.
        at: Timestamp,
    },
    /// Somebody stopped it.
    Stopped {
        /// When.
        at: Timestamp,
    },
}

impl Ending {
    /// As the registry keeps it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Rejected(_) | Self::Stopped { .. } => Outcome::Rejected,
            Self::Superseded { .. } => Outcome::Superseded,
            Self::Expired { .. } => Outcome::Expired,
        }
    }

    /// Why, for the registry.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Rejected(decided) => decided.description(),
            Self::Superseded { by, .. } => superseded_by(*by),
            Self::Expired { .. } => "expired: nobody decided in time".to_owned(),
            Self::Stopped { .. } => "the release was stopped in CodePipeline".to_owned(),
        }
    }
}

/// How many seconds the approval of a release has waited for the decision of a person. Nothing where nobody has waited: it was decided
/// before, or by the automatic policy.
#[must_use]
pub fn waited(since: Option<Timestamp>, decided: &Decided, ended: Option<Timestamp>) -> Option<u64> {
    if matches!(decided.by.as_str(), AUTOMATIC | TRAIN) {
        return None;
    }
    let waited = decided.at.or(ended)?.duration_since(since?);
    u64::try_from(waited.as_secs()).ok().filter(|_| !waited.is_negative())
}

/// The words with which the train rejects an older candidate.
#[must_use]
pub fn superseded_by(version: u32) -> String {
    format!("superseded by v{version}")
}

/// Reads [`superseded_by`].
#[must_use]
pub fn superseding(text: &str) -> Option<u32> {
    text.strip_prefix("superseded by v")?.parse().ok()
}

/// Decides what is to be done about a release of the version. `approvals_needed` is how many of the `approvers` have to approve by
/// their links; the registry and the console decide alone, and who may use those is IAM's to say.
#[must_use]
pub fn settle(
    model: &ModelName,
    package: &ModelPackage,
    release: &ReleaseId,
    approval: &Approval,
    approvers: &[String],
    approvals_needed: u32,
) -> Step {
    let said = package.decided(model);
    let Some(ended) = approval.ended() else {
        return match said {
            // That the gate has not passed it is for the one to say who asks the approvers.
            Some(said) if said.decision == Decision::Approve && !package.gate_held() => Step::Undecided,
            Some(said) => Step::Answer(said),
            None => counted(package, release, approvers, approvals_needed),
        };
    };
    if package.outcome_of(release).is_some() {
        return Step::Settled;
    }
    if let Some(marked) = package.decision_of(release) {
        return match (marked, approval) {
            // The one who wrote this on the version could not tell people.
            (Decision::Reject, _) => {
                let by = said.filter(|said| said.decision == Decision::Reject);
                end(by.map_or_else(|| ending(approval), Ending::Rejected), None)
            }
            (Decision::Approve, _) => Step::Settled,
        };
    }
    // What a later release has settled, a late word about an earlier one does not change.
    if package.decided_since(release, ended) {
        return Step::Settled;
    }
    let answered = match approval {
        Approval::Answered(answered) => Some(answered.clone()),
        _ => None,
    };
    let Some(said) = said else {
        return match answered {
            Some(answered) if answered.decision == Decision::Approve => Step::Approve {
                stands: answered,
                lost: None,
            },
            _ => end(ending(approval), None),
        };
    };
    match (said.decision, answered) {
        (Decision::Approve, Some(answered)) if answered.decision == Decision::Approve => Step::Approve {
            stands: if first(&said, ended) { said } else { answered },
            lost: None,
        },
        (Decision::Reject, Some(answered)) if answered.decision == Decision::Approve => {
            if first(&said, ended) {
                end(Ending::Rejected(said), Some(answered))
            } else {
                Step::Approve {
                    stands: answered,
                    lost: Some(said),
                }
            }
        }
        // Whatever ended the approval, somebody had said no before: that is what is told.
        (Decision::Reject, _) if first(&said, ended) => end(Ending::Rejected(said), None),
        (Decision::Reject, _) => end(ending(approval), None),
        // Nothing that the gate has not passed is released, however often it is approved.
        (Decision::Approve, _) if !package.gate_held() => end(ending(approval), Some(said)),
        (Decision::Approve, answered) => match approval {
            // Who approves what has ended asks for another release.
            Approval::Expired { .. } | Approval::Stopped { .. } => Step::Restart {
                stands: said,
                lost: None,
            },
            _ if first(&said, ended) => Step::Restart {
                stands: said,
                lost: answered,
            },
            _ => end(ending(approval), Some(said)),
        },
    }
}

/// The ending of an approval that was not approved.
fn ending(approval: &Approval) -> Ending {
    match approval {
        Approval::Answered(decided) => Ending::Rejected(Decided {
            decision: Decision::Reject,
            ..decided.clone()
        }),
        Approval::Superseded { by, at } => Ending::Superseded { by: *by, at: *at },
        Approval::Stopped { at } => Ending::Stopped { at: *at },
        Approval::Expired { at } => Ending::Expired { at: *at },
        Approval::Waiting => Ending::Expired { at: Timestamp::MIN },
    }
}

fn end(ending: Ending, lost: Option<Decided>) -> Step {
    Step::End { ending, lost }
}

/// Whether what the registry says was decided before the approval ended. Of two at the same moment the rejection stands.
fn first(said: &Decided, ended: Timestamp) -> bool {
    said.at.is_some_and(|at| match at.cmp(&ended) {
        Ordering::Less => true,
        Ordering::Equal => said.decision == Decision::Reject,
        Ordering::Greater => false,
    })
}

/// Whether enough approvers have approved by their links.
fn counted(package: &ModelPackage, release: &ReleaseId, approvers: &[String], approvals_needed: u32) -> Step {
    let votes = package.votes(release, approvers);
    let enough = u32::try_from(votes.len()).is_ok_and(|votes| votes >= approvals_needed.max(1));
    match Decided::together(&votes).filter(|_| enough) {
        Some(together) => Step::Answer(together),
        None => Step::Undecided,
    }
}

#[cfg(test)]
mod tests;
