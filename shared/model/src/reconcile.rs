//! What an endpoint update does next: a level-triggered reconciler.
//!
//! [`decide`] is told what is and what is wanted, never what happened, so that it comes out right whenever it is asked. `InService`
//! is not success: after an automatic rollback the endpoint is in service again, on the old configuration.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::endpoint::{Endpoint, Pending, Status};
use crate::happening::{Shift, happening, waiting_for};
use crate::rollout::Policy;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There is no endpoint: create it.
    Create,
    /// Update it from the configuration that serves now.
    Update {
        /// The configuration that is replaced.
        from: String,
    },
    /// Look again later.
    Wait {
        /// What is happening.
        summary: String,
        /// How much is done, 0 to 100.
        percent: u8,
        /// The share of the traffic that the wanted configuration has, while it is watched with it.
        shift: Option<Shift>,
    },
    /// The wanted configuration serves and nothing is pending.
    Serving,
    /// We asked for it, and the endpoint is idle on the configuration from before.
    RolledBack {
        /// What serves.
        serving: String,
        /// SageMaker's words, which the next update erases.
        reason: String,
    },
    /// We asked for it, and somebody else's update came after.
    Superseded {
        /// What serves.
        serving: String,
    },
    /// It can't go on without a person.
    Stuck {
        /// Why, and what to do.
        reason: String,
    },
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The endpoint configuration that shall serve.
    pub config: &'a str,
    /// When it was made, if it was there before this try. Configurations are made just before the update; so an endpoint that failed
    /// to be updated after that failed at what this release asked for, even where the function died before it could note so.
    pub made_at: Option<Timestamp>,
    /// When the configuration that serves was made, if that is known: one that is newer than ours is somebody else's doing.
    pub serving_made_at: Option<Timestamp>,
    /// SageMaker's reason for having rolled this release back, where an event of it was kept: the endpoint itself forgets it with
    /// the next update.
    pub failure: Option<&'a str>,
}

/// What is known of earlier tries; it travels in CodePipeline's continuation token. All of it may be lost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Whether the update was asked for.
    #[serde(default)]
    pub asked: bool,
    /// The configuration that served then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The beginning of the endpoint's `FailureReason` (empty where it had none) when SageMaker refused our request as busy: it is
    /// of an update before ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_with: Option<String>,
    /// The share that people were last told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Shift>,
}

impl Progress {
    /// Reads a continuation token; one that is not ours says nothing.
    #[must_use]
    pub fn parse(token: Option<&str>) -> Self {
        token
            .and_then(|token| serde_json::from_str(token).ok())
            .unwrap_or_default()
    }

    /// The same, after SageMaker refused our request as busy.
    #[must_use]
    pub fn refused(&self, endpoint: Option<&Endpoint>) -> Self {
        let reason = endpoint.and_then(|endpoint| endpoint.failure_reason.as_deref());
        Self {
            refused_with: Some(beginning(reason.unwrap_or_default())),
            ..self.clone()
        }
    }

    /// The continuation token, of at most 2048 characters.
    #[must_use]
    pub fn token(&self) -> String {
        // A struct of strings and numbers can't fail to serialise; an empty token would be refused.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// Decides what to do next.
#[must_use]
pub fn decide(
    observed: Option<&Endpoint>,
    wanted: &Wanted<'_>,
    progress: &Progress,
    policy: &Policy,
    now: Timestamp,
) -> Step {
    let Some(endpoint) = observed else {
        return if progress.asked {
            // It was there and is gone: somebody deleted it while it was created.
            stuck("the endpoint was deleted while it was updated; retry the stage to create it again")
        } else {
            Step::Create
        };
    };
    let ours = endpoint.config == wanted.config;
    // The name is this release's alone: where it is seen, it was asked for.
    let seen = ours
        || endpoint
            .pending
            .as_ref()
            .is_some_and(|pending| pending.config == wanted.config);
    let asked = progress.asked || seen || was_asked(endpoint, wanted, progress);
    let reason = || {
        let known = endpoint.failure_reason.as_deref().or(wanted.failure);
        known.unwrap_or("SageMaker gives no reason").to_owned()
    };
    match (endpoint.status, &endpoint.pending) {
        (Status::InService | Status::Updating, Some(pending)) => in_flight(pending, wanted, policy, now),
        (Status::InService, None) if ours => Step::Serving,
        (Status::InService, None) if asked => after_us(endpoint, wanted, progress, reason()),
        (Status::InService, None) => Step::Update {
            from: endpoint.config.clone(),
        },
        (Status::Creating, _) if ours => wait("the endpoint is being created", 20),
        (Status::Updating, None) if ours => wait("the endpoint is being scaled", 99),
        // Between UpdateEndpoint and the first deployment summary.
        (Status::Updating, None) if asked => wait(&format!("{}: the update begins", policy.strategy), 1),
        (Status::Updating, None) => wait("waiting for the endpoint, which is being updated or scaled", 0),
        (Status::Creating, _) => wait(&waiting_for(&endpoint.config), 0),
        (Status::SystemUpdating, _) => wait("waiting for SageMaker's own maintenance of the endpoint", 0),
        (Status::RollingBack, pending) => match pending {
            Some(pending) if pending.config != wanted.config => wait(
                &format!("{}, and is being rolled back", waiting_for(&pending.config)),
                0,
            ),
            _ => wait(&format!("rolling back: {}", reason()), 99),
        },
        (Status::Deleting, _) => wait("waiting for the endpoint's deletion", 0),
        (Status::OutOfService, _) => stuck(
            "the endpoint is out of service and can't be updated; wait until it is in service, then retry the stage",
        ),
        (Status::Failed, _) => stuck(&format!(
            "the endpoint has failed: {}; a failed endpoint can only be deleted: delete it and retry the stage",
            reason()
        )),
        (Status::UpdateRollbackFailed, _) if asked => stuck(&format!(
            "the update failed and so did its rollback, so that instances of both configurations may serve: {}; release a good \
             version again, which mends it",
            reason()
        )),
        // Another's update left it so; updating again is what mends it.
        (Status::UpdateRollbackFailed, _) => Step::Update {
            from: endpoint.config.clone(),
        },
    }
}

/// The endpoint is idle on another configuration, after we asked for ours: taken back, or overtaken?
fn after_us(endpoint: &Endpoint, wanted: &Wanted<'_>, progress: &Progress, reason: String) -> Step {
    let serving = endpoint.config.clone();
    let same_as_before = progress.from.as_ref().map(|from| *from == serving);
    let overtaken = !same_as_before.unwrap_or(!newer_serves(wanted));
    if overtaken && wanted.failure.is_none() {
        Step::Superseded { serving }
    } else {
        Step::RolledBack { serving, reason }
    }
}

/// A deployment is under way: ours, or another's that is waited for.
fn in_flight(pending: &Pending, wanted: &Wanted<'_>, policy: &Policy, now: Timestamp) -> Step {
    if pending.config != wanted.config {
        return wait(&waiting_for(&pending.config), 0);
    }
    let happening = happening(pending, policy, now);
    Step::Wait {
        summary: happening.summary,
        percent: happening.percent,
        shift: happening.shift,
    }
}

/// Whether the update was asked for by a try that could not note so. That the endpoint was changed is not enough: scaling changes it.
fn was_asked(endpoint: &Endpoint, wanted: &Wanted<'_>, progress: &Progress) -> bool {
    let changed = matches!((endpoint.modified_at, wanted.made_at), (Some(modified), Some(made)) if modified > made);
    let failed_anew = endpoint
        .failure_reason
        .as_deref()
        .is_some_and(|reason| progress.refused_with != Some(beginning(reason)));
    let failed = failed_anew || wanted.failure.is_some();
    changed && (failed || newer_serves(wanted))
}

/// As much of a reason as tells it from another one and fits the token.
fn beginning(reason: &str) -> String {
    reason.chars().take(200).collect()
}

/// Whether what serves was made after our configuration.
fn newer_serves(wanted: &Wanted<'_>) -> bool {
    matches!((wanted.serving_made_at, wanted.made_at), (Some(theirs), Some(ours)) if theirs > ours)
}

fn wait(summary: &str, percent: u8) -> Step {
    Step::Wait {
        summary: summary.to_owned(),
        percent,
        shift: None,
    }
}

fn stuck(reason: &str) -> Step {
    Step::Stuck {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
