//! What an endpoint update does next: a level-triggered reconciler.
//!
//! [`decide`] is told what is and what is wanted, never what happened, so that it comes out right whenever it is asked. `InService`
//! is not success: after an automatic rollback the endpoint is in service again, on the old configuration.

use jiff::Timestamp;

use crate::endpoint::{Endpoint, Pending, Status};

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
    },
    /// The wanted configuration serves and nothing is pending.
    Serving,
    /// We asked for it, and the endpoint is idle on another configuration.
    RolledBack {
        /// What serves.
        serving: String,
        /// SageMaker's words, which the next update erases.
        reason: String,
    },
    /// It can't go on without a person.
    Stuck {
        /// Why, and what to do.
        reason: String,
    },
}

/// What is wanted, and what is known of earlier tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The endpoint configuration that shall serve.
    pub config: &'a str,
    /// Whether this release is known to have asked for it: its continuation token says so.
    pub asked: bool,
    /// When the configuration was made, if it was there before this try. Configurations are made only while the endpoint is idle
    /// and just before the update, and the release pipeline deploys one release at a time; so an endpoint that was changed after
    /// that was changed by the update that this release asked for, even where the function died before it could note so.
    pub config_made_at: Option<Timestamp>,
}

/// Decides what to do next.
#[must_use]
pub fn decide(observed: Option<&Endpoint>, wanted: &Wanted<'_>, now: Timestamp) -> Step {
    let Some(endpoint) = observed else {
        return if wanted.asked {
            // It was there and is gone: somebody deleted it while it was created.
            Step::Stuck {
                reason: "the endpoint was deleted while it was updated; retry the stage to create it again".to_owned(),
            }
        } else {
            Step::Create
        };
    };
    let ours = endpoint.config == wanted.config;
    let pending_ours = endpoint
        .pending
        .as_ref()
        .is_some_and(|pending| pending.config == wanted.config);
    let reason = || {
        endpoint
            .failure_reason
            .clone()
            .unwrap_or_else(|| "SageMaker gives no reason".to_owned())
    };
    match endpoint.status {
        Status::InService => match &endpoint.pending {
            Some(pending) if pending_ours => in_flight(pending, now),
            Some(pending) => waiting_for(&pending.config),
            None if ours => Step::Serving,
            None if wanted.asked || was_asked(endpoint, wanted) => Step::RolledBack {
                serving: endpoint.config.clone(),
                reason: reason(),
            },
            None => Step::Update {
                from: endpoint.config.clone(),
            },
        },
        Status::Creating if ours => wait("the endpoint is being created", 20),
        Status::Updating if pending_ours => match &endpoint.pending {
            Some(pending) => in_flight(pending, now),
            None => wait("the update begins", 10),
        },
        // Between UpdateEndpoint and the first deployment summary, and while another's update runs.
        Status::Updating if wanted.asked && endpoint.pending.is_none() => wait("the update begins", 10),
        Status::Creating | Status::Updating => match &endpoint.pending {
            Some(pending) => waiting_for(&pending.config),
            None => waiting_for(&endpoint.config),
        },
        Status::SystemUpdating => wait("waiting for SageMaker's own maintenance of the endpoint", 5),
        Status::RollingBack => wait("an alarm or a failure rolls the update back", 90),
        Status::Deleting => wait("waiting for the endpoint's deletion", 5),
        Status::OutOfService => Step::Stuck {
            reason:
                "the endpoint is out of service and can't be updated; wait until it is in service, then retry the stage"
                    .to_owned(),
        },
        Status::Failed => Step::Stuck {
            reason: format!(
                "the endpoint has failed: {}; a failed endpoint can only be deleted: delete it and retry the stage",
                reason()
            ),
        },
        Status::UpdateRollbackFailed if wanted.asked || was_asked(endpoint, wanted) => Step::Stuck {
            reason: format!(
                "the update failed and so did its rollback, and both fleets serve: {}; release a good version again, which mends it",
                reason()
            ),
        },
        // Another's update left it so; updating again is what mends it.
        Status::UpdateRollbackFailed => Step::Update {
            from: endpoint.config.clone(),
        },
    }
}

fn was_asked(endpoint: &Endpoint, wanted: &Wanted<'_>) -> bool {
    matches!((endpoint.modified_at, wanted.config_made_at), (Some(modified), Some(made)) if modified > made)
}

fn wait(summary: &str, percent: u8) -> Step {
    Step::Wait {
        summary: summary.to_owned(),
        percent,
    }
}

fn waiting_for(config: &str) -> Step {
    wait(&format!("waiting for the update to {config}"), 5)
}

fn in_flight(pending: &Pending, now: Timestamp) -> Step {
    let phase = pending.phase.as_deref().unwrap_or("Updating");
    let percent = match phase {
        "Creating" => 20,
        "ActivatingTraffic" => 45,
        "Baking" => 70,
        "Deleting" => 95,
        _ => 30,
    };
    let minutes = pending.since.map(|since| now.duration_since(since).as_mins().max(0));
    let since = minutes.map_or_else(String::new, |minutes| format!(", for {minutes} min"));
    let message = pending
        .message
        .as_deref()
        .map_or_else(String::new, |message| format!(" ({message})"));
    wait(&format!("{}: {phase}{since}{message}", pending.config), percent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn endpoint(status: Status, config: &str, pending: Option<&str>) -> Endpoint {
        let pending = pending.map(|config| Pending {
            config: config.into(),
            phase: Some("Baking".into()),
            message: None,
            since: Some(time(NOW - 240)),
        });
        Endpoint {
            status,
            config: config.into(),
            failure_reason: Some("alarm churn-5xx".into()),
            pending,
            modified_at: Some(time(NOW)),
        }
    }

    fn wanted(asked: bool) -> Wanted<'static> {
        Wanted {
            config: "new",
            asked,
            config_made_at: None,
        }
    }

    fn kind(step: &Step) -> &'static str {
        match step {
            Step::Create => "create",
            Step::Update { .. } => "update",
            Step::Wait { .. } => "wait",
            Step::Serving => "serving",
            Step::RolledBack { .. } => "rolled back",
            Step::Stuck { .. } => "stuck",
        }
    }

    #[test]
    fn every_status() {
        use Status::*;
        for (status, config, pending, fresh, asked) in [
            (InService, "new", None, "serving", "serving"),
            (InService, "old", None, "update", "rolled back"),
            (InService, "old", Some("new"), "wait", "wait"),
            (InService, "old", Some("third"), "wait", "wait"),
            (Creating, "new", None, "wait", "wait"),
            (Creating, "old", None, "wait", "wait"),
            (Updating, "old", Some("new"), "wait", "wait"),
            (Updating, "old", Some("third"), "wait", "wait"),
            (Updating, "old", None, "wait", "wait"),
            (SystemUpdating, "old", None, "wait", "wait"),
            (RollingBack, "old", None, "wait", "wait"),
            (RollingBack, "new", None, "wait", "wait"),
            (Deleting, "old", None, "wait", "wait"),
            (OutOfService, "old", None, "stuck", "stuck"),
            (Failed, "new", None, "stuck", "stuck"),
            (Failed, "old", None, "stuck", "stuck"),
            (UpdateRollbackFailed, "old", None, "update", "stuck"),
        ] {
            let endpoint = endpoint(status, config, pending);
            let step = |asked| decide(Some(&endpoint), &wanted(asked), time(NOW));
            assert_eq!(
                (kind(&step(false)), kind(&step(true))),
                (fresh, asked),
                "{status:?} {config} {pending:?}"
            );
        }
        assert_eq!(decide(None, &wanted(false), time(NOW)), Step::Create);
        assert_eq!(kind(&decide(None, &wanted(true), time(NOW))), "stuck");
    }

    #[test]
    fn a_forgotten_request_is_known_by_the_configurations_age() {
        let endpoint = endpoint(Status::InService, "old", None);
        for (made, expected) in [(NOW - 1, "rolled back"), (NOW, "update"), (NOW + 1, "update")] {
            let wanted = Wanted {
                config_made_at: Some(time(made)),
                ..wanted(false)
            };
            assert_eq!(kind(&decide(Some(&endpoint), &wanted, time(NOW))), expected);
        }
    }

    #[test]
    fn says_what_is_happening() {
        let endpoint = endpoint(Status::Updating, "old", Some("new"));
        let Step::Wait { summary, percent } = decide(Some(&endpoint), &wanted(true), time(NOW)) else {
            panic!()
        };
        assert_eq!((summary.as_str(), percent), ("new: Baking, for 4 min", 70));
    }

    proptest! {
        /// Serving is said only of the wanted configuration with nothing pending, whatever the endpoint looks like.
        #[test]
        fn in_service_is_not_success(status in 0..9usize, ours: bool, pending in 0..3usize, asked: bool, made in proptest::option::of(NOW-5..NOW+5)) {
            let config = if ours { "new" } else { "old" };
            let pending = [None, Some("new"), Some("third")][pending];
            let endpoint = endpoint(Status::ALL[status], config, pending);
            let wanted = Wanted { config: "new", asked, config_made_at: made.map(time) };
            let step = decide(Some(&endpoint), &wanted, time(NOW));
            let serves = ours && pending.is_none() && endpoint.status == Status::InService;
            prop_assert_eq!(step == Step::Serving, serves);
            // An update is asked for only while the endpoint is idle or broken, and at most once.
            if kind(&step) == "update" {
                prop_assert!(!asked && (pending.is_none() || endpoint.status == Status::UpdateRollbackFailed));
            }
        }
    }
}
