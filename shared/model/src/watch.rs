//! After a deployment: what an alarm means once the update is over.

use jiff::{SignedDuration, Timestamp};

use crate::endpoint::{Endpoint, Status};
use crate::names::ReleaseId;

/// The longest time that SageMaker lets an update take.
const UPDATE_MAX: SignedDuration = SignedDuration::from_hours(8);

/// What fires still so long after an update was rolled back fires for what serves: the requests that the new fleet failed are in no
/// period any more that the template's alarms look at.
const LINGERS: SignedDuration = SignedDuration::from_mins(5);

/// What is known of the configuration that serves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Served {
    /// When it was made, just before the update that brought it.
    pub made_at: Option<Timestamp>,
    /// The release that brought it.
    pub release: Option<ReleaseId>,
    /// The configuration that it replaced.
    pub replaces: Option<String>,
    /// The configuration that it was brought to take back.
    pub undoes: Option<String>,
    /// When its release was seen to be deployed; nothing while the release has not come that far. Not when the endpoint was last
    /// changed: scaling changes it too.
    pub deployed_at: Option<Timestamp>,
}

/// What to do about an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// Take back what that release brought.
    TakeBack(ReleaseId),
    /// The version that serves was brought back itself: a person has to look.
    Tell(String),
    /// Nothing, and why.
    Leave(String),
}

/// Decides about an alarm that `fired` then and is known to fire `still` at another time.
#[must_use]
pub fn decide(
    endpoint: &Endpoint,
    served: &Served,
    fired: Timestamp,
    still: Timestamp,
    guard: SignedDuration,
) -> Reaction {
    if endpoint.status != Status::InService || endpoint.pending.is_some() {
        // SageMaker watches the same alarms while it updates, and a person's update is the person's.
        return Reaction::Leave(format!(
            "the endpoint is {}; SageMaker itself rolls updates back",
            endpoint.status.as_str()
        ));
    }
    let config = &endpoint.config;
    let Some(made) = served.made_at else {
        return Reaction::Leave(format!("when {config} was made is not known"));
    };
    if fired < made {
        // The same alarm delivered late or twice, when its version is rolled back already: it says nothing of what serves now.
        return Reaction::Leave(format!("the alarm fired before {config} was made"));
    }
    // An update that begins as a bad version comes to serve is rolled back for what that one does.
    let before = |modified: Timestamp| fired <= modified && still.duration_since(modified) < LINGERS;
    if endpoint.failure_reason.is_some() && endpoint.modified_at.is_some_and(before) {
        return Reaction::Leave("the alarm belongs to the update that was rolled back after it".to_owned());
    }
    let since = match (served.deployed_at, &served.undoes) {
        (Some(deployed), _) => fired.duration_since(deployed),
        // A rescue has no release to be told of, and takes no time worth mentioning.
        (None, Some(_)) => fired.duration_since(made),
        // Not told yet: it has ended just now, or is about to, or never will be.
        (None, None) => fired.duration_since(made).saturating_sub(UPDATE_MAX),
    };
    if since > guard {
        return Reaction::Leave(format!(
            "{config} serves since {} min, longer than the {} min for which an alarm brings its predecessor back",
            since.as_mins(),
            guard.as_mins()
        ));
    }
    if let Some(undone) = &served.undoes {
        // The one before it would be next, and so on: what is wrong now is hardly the version.
        return Reaction::Tell(format!(
            "{config} was brought back in place of {undone}, and the alarm fires with it too"
        ));
    }
    match (&served.release, &served.replaces) {
        (Some(release), Some(_)) => Reaction::TakeBack(release.clone()),
        (None, _) => Reaction::Leave(format!("{config} was not deployed by a release of the train")),
        (_, None) => Reaction::Tell(format!(
            "{config} is the first that served: there is nothing to go back to"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reactions() {
        let time = |minutes: i64| Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap();
        let release: ReleaseId = "01234567-89ab-cdef-0123-456789abcdef".parse().unwrap();
        let usual = Served {
            made_at: Some(time(-10)),
            release: Some(release.clone()),
            replaces: Some("churn-v1-a".into()),
            undoes: None,
            deployed_at: Some(time(0)),
        };
        let untold = Served {
            deployed_at: None,
            ..usual.clone()
        };
        let first = Served {
            replaces: None,
            ..usual.clone()
        };
        let rescue = Served {
            undoes: Some("churn-v3-c".into()),
            deployed_at: None,
            ..usual.clone()
        };
        let by_hand = Served {
            made_at: Some(time(-10)),
            ..Served::default()
        };
        for (status, failed, served, fired, expected) in [
            (Status::InService, false, &usual, 10, "take back"),
            (Status::InService, false, &usual, 0, "take back"),
            // While it took over, but too late for SageMaker, and heard after the end.
            (Status::InService, false, &usual, -1, "take back"),
            (Status::InService, false, &usual, -10, "take back"),
            (
                Status::InService,
                false,
                &usual,
                -11,
                "leave: fired before churn-v2-b was made",
            ),
            (Status::InService, false, &usual, 60, "take back"),
            (Status::InService, false, &usual, 61, "leave: longer than the 60 min"),
            (Status::InService, false, &untold, 1, "take back"),
            (Status::InService, false, &untold, 8 * 60 + 50, "take back"),
            (
                Status::InService,
                false,
                &untold,
                8 * 60 + 51,
                "leave: longer than the 60 min",
            ),
            // Another version was rolled back to this one, and this is heard late.
            (
                Status::InService,
                true,
                &usual,
                20,
                "leave: belongs to the update that was rolled back",
            ),
            (Status::InService, true, &usual, 40, "take back"),
            (Status::InService, false, &first, 10, "tell: nothing to go back to"),
            (
                Status::InService,
                false,
                &rescue,
                10,
                "tell: brought back in place of churn-v3-c",
            ),
            (Status::InService, false, &rescue, 61, "leave: longer than the 60 min"),
            (
                Status::InService,
                false,
                &by_hand,
                10,
                "leave: not deployed by a release",
            ),
            (Status::InService, false, &Served::default(), 10, "leave: is not known"),
            (Status::Updating, false, &usual, 10, "leave: SageMaker itself"),
            (Status::RollingBack, false, &usual, 10, "leave: SageMaker itself"),
        ] {
            let endpoint = Endpoint {
                status,
                config: "churn-v2-b".into(),
                failure_reason: failed.then(|| "alarm".to_owned()),
                pending: None,
                modified_at: Some(time(30)),
                desired_counts: Vec::new(),
            };
            let said = match decide(
                &endpoint,
                served,
                time(fired),
                time(fired),
                SignedDuration::from_mins(60),
            ) {
                Reaction::TakeBack(taken) => {
                    assert_eq!(taken, release);
                    "take back".to_owned()
                }
                Reaction::Tell(reason) => format!("tell: {reason}"),
                Reaction::Leave(reason) => format!("leave: {reason}"),
            };
            let (verb, words) = expected.split_once(": ").unwrap_or((expected, ""));
            assert!(
                said.starts_with(verb) && said.contains(words),
                "{said} instead of {expected}"
            );
        }
    }
    /// Version 3 was to replace version 2 as that began to fail, and was rolled back for it.
    #[test]
    fn what_goes_on_firing_after_an_update_was_rolled_back_fires_for_what_serves() {
        let time = |minutes: i64| Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap();
        let served = Served {
            made_at: Some(time(-10)),
            release: Some("01234567-89ab-cdef-0123-456789abcdef".parse().unwrap()),
            replaces: Some("churn-v1-a".into()),
            undoes: None,
            deployed_at: Some(time(0)),
        };
        let endpoint = Endpoint {
            status: Status::InService,
            config: "churn-v2-b".into(),
            failure_reason: Some("alarm".to_owned()),
            pending: None,
            modified_at: Some(time(2)),
            desired_counts: Vec::new(),
        };
        for (still, taken_back) in [(1, false), (6, false), (7, true), (100, true)] {
            let reaction = decide(&endpoint, &served, time(1), time(still), SignedDuration::from_mins(60));
            assert_eq!(
                matches!(reaction, Reaction::TakeBack(_)),
                taken_back,
                "{still}: {reaction:?}"
            );
        }
    }
}
