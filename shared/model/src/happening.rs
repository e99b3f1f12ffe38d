//! What is happening to an endpoint right now, in a line that a person understands and in percent.
//!
//! DescribeEndpoint tells a phase and a sentence (`Baking for 600 seconds (TerminationWaitInSeconds) with traffic enabled on canary
//! capacity of 1 instance(s).`); which share of the traffic that is, and how much is still to come, follows from the policy.

use jiff::Timestamp;

use crate::endpoint::Pending;
use crate::names::version_of_config;
use crate::rollout::{Policy, Strategy, share_percent};

/// What is happening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// For the job's summary: `canary 25 %: baking, 4 of 10 min`.
    pub summary: String,
    /// How much is done, 0 to 100.
    pub percent: u8,
    /// The share of the traffic that the new fleet has and is watched with, once it has some.
    pub shift: Option<Shift>,
}

/// A share of the traffic that the new fleet has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shift {
    /// In percent.
    pub share: u32,
    /// For how long it is watched before the next, where SageMaker says so.
    pub watched_seconds: Option<u32>,
}

/// How much of an update is done when its instances are up; taking the old ones down is the last bit.
const CREATED_PERCENT: u64 = 10;
const BAKED_PERCENT: u64 = 95;

/// Says what is happening to the deployment that is under way.
#[must_use]
pub fn happening(pending: &Pending, policy: &Policy, now: Timestamp) -> Happening {
    let strategy = policy.strategy.as_str();
    let elapsed = pending
        .since
        .map(|since| u32::try_from(now.duration_since(since).as_secs().max(0)).unwrap_or(u32::MAX));
    let message = Message::read(pending.message.as_deref().unwrap_or_default());
    let instances = message.instances.zip(pending.desired_count);
    let share = instances.map(|(on, all)| share_percent(on, all));
    let of_traffic = share.map_or_else(String::new, |share| format!(" {share} %"));
    let (summary, percent, shift) = match pending.phase.as_deref() {
        Some("Creating") => {
            let count = message.instances.or(pending.desired_count);
            let what = count.map_or_else(
                || "starting the new instances".to_owned(),
                |count| {
                    format!(
                        "starting {count} new {}",
                        if count == 1 { "instance" } else { "instances" }
                    )
                },
            );
            let since = elapsed.map_or_else(String::new, |elapsed| format!(", for {}", minutes(elapsed)));
            (format!("{strategy}: {what}{since}"), CREATED_PERCENT / 2, None)
        }
        Some("ActivatingTraffic") => (
            format!("{strategy}{of_traffic}: shifting traffic"),
            baked(policy, share.unwrap_or_default(), 0),
            None,
        ),
        Some("Baking") => {
            let watched = message.seconds;
            let time = match (elapsed, watched) {
                (Some(elapsed), Some(watched)) => format!(", {} of {}", number(elapsed.min(watched)), minutes(watched)),
                (Some(elapsed), None) => format!(", for {}", minutes(elapsed)),
                (None, _) => String::new(),
            };
            let shift = share.map(|share| Shift {
                share,
                watched_seconds: watched,
            });
            (
                format!("{strategy}{of_traffic}: baking{time}"),
                baked(policy, share.unwrap_or_default(), elapsed.unwrap_or_default()),
                shift,
            )
        }
        Some("Deleting") => (
            format!("{strategy}: removing the old instances"),
            BAKED_PERCENT + 2,
            None,
        ),
        Some(other) => (format!("{strategy}: {other}"), CREATED_PERCENT, None),
        None => (format!("{strategy}: the update begins"), 0, None),
    };
    Happening {
        summary,
        percent: u8::try_from(percent.min(99)).unwrap_or(99),
        shift,
    }
}

/// `waiting for churn-v7`, or for the configuration where it is not one of the train's.
#[must_use]
pub fn waiting_for(config: &str) -> String {
    match version_of_config(config) {
        Some((group, version)) => format!("waiting for {group}-v{version}, which is being rolled out"),
        None => format!("waiting for the update to {config}"),
    }
}

/// How much is done: the waits so far among all waits.
fn baked(policy: &Policy, share: u32, elapsed: u32) -> u64 {
    let all = policy.waits_seconds();
    // The steps before this one were watched to their end.
    let before = match policy.strategy {
        Strategy::AllAtOnce | Strategy::BlueGreen => 0,
        Strategy::Canary => u32::from(share >= 100),
        Strategy::Linear | Strategy::Rolling => share.div_ceil(policy.step_percent.max(1)).saturating_sub(1),
    };
    let done = before.saturating_mul(policy.wait_seconds).saturating_add(elapsed);
    let done = u64::from(done.min(all));
    let range = BAKED_PERCENT - CREATED_PERCENT;
    CREATED_PERCENT + (done * range).checked_div(u64::from(all)).unwrap_or_default()
}

/// Whole minutes, rounded down.
fn number(seconds: u32) -> String {
    (seconds / 60).to_string()
}

fn minutes(seconds: u32) -> String {
    if seconds > 0 && seconds < 60 {
        format!("{seconds} s")
    } else {
        format!("{} min", seconds / 60)
    }
}

/// What SageMaker's sentence says; whatever it does not say, or says in other words, is absent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    /// `for 600 seconds`.
    seconds: Option<u32>,
    /// `1 instance(s)`.
    instances: Option<u32>,
}

impl Message {
    fn read(message: &str) -> Self {
        let words: Vec<&str> = message.split_whitespace().collect();
        let number_before = |unit: &str| {
            words.windows(2).find_map(|pair| match pair {
                [number, word] if word.starts_with(unit) => number.parse().ok(),
                _ => None,
            })
        };
        // `3 of 4 instance(s)`
        let some_of_all = words.windows(4).find_map(|four| match four {
            [number, "of", _, word] if word.starts_with("instance") => number.parse().ok(),
            _ => None,
        });
        let new_instances = || {
            words.windows(3).find_map(|three| match three {
                [number, "new", word] if word.starts_with("instance") => number.parse().ok(),
                _ => None,
            })
        };
        Self {
            seconds: number_before("second"),
            instances: some_of_all.or_else(|| number_before("instance")).or_else(new_instances),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn policy(strategy: Strategy, step_percent: u32) -> Policy {
        Policy {
            strategy,
            step_percent,
            wait_seconds: 600,
            bake_seconds: 300,
            timeout_seconds: 28_800,
            alarms: vec!["churn-5xx".into()],
            unguarded_serverless: false,
        }
    }

    #[test]
    fn says_what_is_happening() {
        let bake = |seconds: u32, on: u32, kind: &str| {
            format!(
                "Baking for {seconds} seconds (WaitIntervalInSeconds) with traffic enabled on {kind} capacity of {on} instance(s)."
            )
        };
        let mut said = String::new();
        for (strategy, step, phase, message, desired, elapsed) in [
            (
                Strategy::Canary,
                5,
                Some("Creating"),
                "Creating 20 new instance(s).".to_owned(),
                20,
                130,
            ),
            (
                Strategy::Canary,
                5,
                Some("ActivatingTraffic"),
                "Activating traffic on 1 instance(s).".to_owned(),
                20,
                1,
            ),
            (Strategy::Canary, 5, Some("Baking"), bake(600, 1, "canary"), 20, 240),
            (Strategy::Canary, 5, Some("Baking"), bake(300, 20, "full"), 20, 60),
            (Strategy::Canary, 5, Some("Deleting"), String::new(), 20, 5),
            (Strategy::Linear, 25, Some("Baking"), bake(600, 3, "linear"), 4, 599),
            (
                Strategy::Rolling,
                50,
                Some("Baking"),
                "Baking for 600 seconds with traffic enabled on 2 of 4 instance(s).".to_owned(),
                4,
                0,
            ),
            (Strategy::BlueGreen, 5, Some("Baking"), bake(300, 4, "full"), 4, 100),
            (Strategy::AllAtOnce, 5, Some("ActivatingTraffic"), String::new(), 4, 0),
            (
                Strategy::Canary,
                5,
                Some("Baking"),
                "Something SageMaker never said before.".to_owned(),
                4,
                120,
            ),
            (Strategy::Canary, 5, Some("Updating"), "Scaling out.".to_owned(), 4, 120),
            (Strategy::Canary, 5, None, String::new(), 4, 0),
        ] {
            let pending = Pending {
                config: "churn-v8-01234567".into(),
                phase: phase.map(str::to_owned),
                message: Some(message),
                since: Some(time(0)),
                desired_count: Some(desired),
            };
            let Happening {
                summary,
                percent,
                shift,
            } = happening(&pending, &policy(strategy, step), time(elapsed));
            let shift = shift.map_or_else(String::new, |shift| format!("  [shift to {} %]", shift.share));
            said.push_str(&format!("{percent:>3} %  {summary}{shift}\n"));
        }
        insta::assert_snapshot!(said);
    }

    #[test]
    fn sentences_are_read_as_far_as_they_are_known() {
        for (sentence, seconds, instances) in [
            (
                "Baking for 600 seconds (TerminationWaitInSeconds) with traffic enabled on canary capacity of 1 instance(s).",
                Some(600),
                Some(1),
            ),
            (
                "Baking for 1 second with traffic enabled on 2 of 4 instance(s).",
                Some(1),
                Some(2),
            ),
            ("Creating 20 new instance(s).", None, Some(20)),
            ("Step 2 of 5 steps, on 3 instance(s).", None, Some(3)),
            ("Creating 2 new model(s) on some instance(s).", None, None),
            ("Waiting for instance(s), seconds at most.", None, None),
            ("", None, None),
        ] {
            assert_eq!(Message::read(sentence), Message { seconds, instances }, "{sentence}");
        }
    }

    #[test]
    fn times_are_whole_minutes_but_for_the_first() {
        for (seconds, expected) in [
            (0, "0 min"),
            (1, "1 s"),
            (59, "59 s"),
            (60, "1 min"),
            (119, "1 min"),
            (600, "10 min"),
        ] {
            assert_eq!(minutes(seconds), expected);
        }
    }

    #[test]
    fn says_what_is_waited_for() {
        assert_eq!(
            waiting_for("churn-v7-01234567"),
            "waiting for churn-v7, which is being rolled out"
        );
        assert_eq!(waiting_for("by-hand"), "waiting for the update to by-hand");
    }
}
