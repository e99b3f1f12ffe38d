//! After a deployment: what an alarm means once the update is over.

use jiff::{SignedDuration, Timestamp};

use crate::endpoint::{Endpoint, Status};

/// What to do about an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// Bring that configuration back.
    RollBack {
        /// The configuration that served before.
        to: String,
    },
    /// Nothing, and why.
    Leave(String),
}

/// Decides. `previous` is the configuration that the serving one has replaced, as its tag says.
#[must_use]
pub fn decide(endpoint: &Endpoint, previous: Option<&str>, fired: Timestamp, guard: SignedDuration) -> Reaction {
    if endpoint.status != Status::InService || endpoint.pending.is_some() {
        // SageMaker watches the same alarms while it updates, and a person's update is the person's.
        return Reaction::Leave(format!(
            "the endpoint is {}; SageMaker itself rolls updates back",
            endpoint.status.as_str()
        ));
    }
    let Some(previous) = previous else {
        return Reaction::Leave(format!(
            "{} is the first that served: there is nothing to go back to",
            endpoint.config
        ));
    };
    let Some(modified) = endpoint.modified_at else {
        return Reaction::Leave("when the endpoint was deployed is not known".to_owned());
    };
    let since = fired.duration_since(modified);
    if since.is_negative() {
        // The same alarm delivered late or twice, when its version is rolled back already: it says nothing of what serves now.
        return Reaction::Leave(format!("the alarm fired before {} was deployed", endpoint.config));
    }
    if since > guard {
        return Reaction::Leave(format!(
            "{} serves since {} min, longer than the {} min for which an alarm brings its predecessor back",
            endpoint.config,
            since.as_mins(),
            guard.as_mins()
        ));
    }
    Reaction::RollBack {
        to: previous.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reactions() {
        let time = |minutes: i64| Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap();
        for (status, previous, fired, expected) in [
            (Status::InService, Some("churn-v1-a"), 10, None),
            (Status::InService, Some("churn-v1-a"), 0, None),
            (
                Status::InService,
                Some("churn-v1-a"),
                -1,
                Some("fired before churn-v2-b was deployed"),
            ),
            (Status::InService, Some("churn-v1-a"), 60, None),
            (
                Status::InService,
                Some("churn-v1-a"),
                61,
                Some("longer than the 60 min"),
            ),
            (Status::InService, None, 10, Some("nothing to go back to")),
            (Status::Updating, Some("churn-v1-a"), 10, Some("SageMaker itself")),
            (Status::RollingBack, Some("churn-v1-a"), 10, Some("SageMaker itself")),
        ] {
            let endpoint = Endpoint {
                status,
                config: "churn-v2-b".into(),
                failure_reason: None,
                pending: None,
                modified_at: Some(time(0)),
            };
            match (
                decide(&endpoint, previous, time(fired), SignedDuration::from_mins(60)),
                expected,
            ) {
                (Reaction::RollBack { to }, None) => assert_eq!(to, "churn-v1-a"),
                (Reaction::Leave(reason), Some(words)) => assert!(reason.contains(words), "{reason}"),
                (reaction, expected) => panic!("{reaction:?} instead of {expected:?}"),
            }
        }
    }
}
