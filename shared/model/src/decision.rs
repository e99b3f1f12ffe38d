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
