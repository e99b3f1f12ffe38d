//! The mails of the train, as plain text that reads well on a phone: lines of at most 72 characters, links on lines of their own.
//!
//! Texts from outside (commit messages, metric names, comments) are put on one line and their addresses are broken, so that nobody
//! who can write a commit can write a second link into an approval mail.

mod action;
mod approval;
mod rollout;
mod text;
mod training;

pub use action::{FailedAction, action_failed};
pub use approval::{Occasion, approval_request, automatic, crossed, expired, rejected, stopped, superseded_by};
pub use rollout::{
    TakeBack, TakenBack, Trouble, alarm_left, deployed, endpoint_troubled, not_scaled, release_failed, rollback_failed,
    rolled_back, rollout_started, superseded, traffic_shifted,
};
pub use training::{Failed, approved_in_vain, gate_not_met, training_failed};

/// The longest line, in characters; links are not broken.
pub const COLUMNS: usize = 72;

#[cfg(test)]
mod tests;
