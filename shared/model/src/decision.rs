//! What people decide about a version, and how it is written where it is kept.

use jiff::Timestamp;

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
mod tests {
    use super::*;

    #[test]
    fn nobody_approves_twice() {
        let vote = |decision, by: &str, comment: &str| Decided {
            decision,
            by: by.into(),
            at: None,
            comment: comment.into(),
        };
        let votes = [
            vote(Decision::Approve, "ada@example.com", "first"),
            vote(Decision::Reject, "eve@example.com", ""),
            vote(Decision::Approve, "ada@example.com", "again"),
            vote(Decision::Approve, "grace@example.com", ""),
        ];
        assert_eq!(approvals(&votes), [&votes[0], &votes[3]]);
        assert!(approvals(&[]).is_empty());
    }
}
