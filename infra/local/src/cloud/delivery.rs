//! Deliveries that fail: how often EventBridge and its scheduler try again, and how long.
//!
//! Both take the policy and the bounds of
//! [`RetryPolicy`](https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_RetryPolicy.html): 185 retries within 24 hours where nothing
//! is said. AWS documents exponential back-off with jitter, not its times: here a wait is twice the one before, up to the eight minutes with
//! which 185 retries take the 24 hours, and there is no jitter, so that a run can be repeated.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::codepipeline::declaration::optional_number;
use super::{ApiError, Cloud};
use crate::template::{Resource, TemplateError};

/// How often a delivery is tried again where nothing is said, and at most.
const RETRIES_MAX: u32 = 185;
/// How old an event gets where nothing is said, and at most.
const AGE_SECONDS_MAX: u32 = 86_400;
/// How old an event gets at least.
const AGE_SECONDS_MIN: u32 = 60;
/// The longest wait between two tries.
const WAIT_SECONDS_MAX: i64 = 480;

/// The targets that are out of order.
#[derive(Debug, Default)]
pub(crate) struct State {
    broken: BTreeMap<String, ApiError>,
}

/// `RetryPolicy`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct RetryPolicy {
    #[serde(default, deserialize_with = "optional_number")]
    maximum_event_age_in_seconds: Option<u32>,
    #[serde(default, deserialize_with = "optional_number")]
    maximum_retry_attempts: Option<u32>,
}

/// What becomes of a delivery that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is tried again, or given up, after so long.
    Wait(SignedDuration),
    /// It is given up: the condition that is exhausted, as the dead letter names it.
    GiveUp(&'static str),
}

impl RetryPolicy {
    /// Checks the bounds.
    pub(crate) fn check(&self, resource: &Resource) -> Result<(), TemplateError> {
        if let Some(retries) = self.maximum_retry_attempts.filter(|retries| *retries > RETRIES_MAX) {
            return Err(resource.wrong(format!("MaximumRetryAttempts {retries} is not 0 to {RETRIES_MAX}")));
        }
        let bounds = AGE_SECONDS_MIN..=AGE_SECONDS_MAX;
        match self.maximum_event_age_in_seconds.filter(|age| !bounds.contains(age)) {
            Some(age) => Err(resource.wrong(format!(
                "MaximumEventAgeInSeconds {age} is not {AGE_SECONDS_MIN} to {AGE_SECONDS_MAX}"
            ))),
            None => Ok(()),
        }
    }

    /// Whether an event from then is too old now.
    pub(crate) fn is_over(&self, since: Timestamp, now: Timestamp) -> bool {
        now.duration_since(since) >= self.age()
    }

    /// What to do at `now`, after so many retries have failed too, with an event from `since`.
    pub(crate) fn next(&self, retries: u32, since: Timestamp, now: Timestamp) -> Next {
        if retries >= self.maximum_retry_attempts.unwrap_or(RETRIES_MAX) {
            return Next::GiveUp("MaximumRetryAttempts");
        }
        let left = self.age() - now.duration_since(since);
        if left <= SignedDuration::ZERO {
            return Next::GiveUp("MaximumEventAgeInSeconds");
        }
        let wait = 1_i64.checked_shl(retries).filter(|wait| *wait > 0);
        let wait = wait.map_or(WAIT_SECONDS_MAX, |wait| wait.min(WAIT_SECONDS_MAX));
        Next::Wait(SignedDuration::from_secs(wait).min(left))
    }

    fn age(&self) -> SignedDuration {
        SignedDuration::from_secs(self.maximum_event_age_in_seconds.unwrap_or(AGE_SECONDS_MAX).into())
    }
}

/// The message attributes of a dead letter, all of them texts; those without a value are left out.
pub(crate) fn attributes(texts: &[(&str, Option<&str>)]) -> Value {
    let texts = texts.iter().filter_map(|(name, text)| Some((*name, (*text)?)));
    let attributes = texts.map(|(name, text)| (name.to_owned(), json!({"DataType": "String", "StringValue": text})));
    Value::Object(attributes.collect())
}

/// Why nothing is delivered to a target just now, if somebody has broken it.
pub(crate) fn reach(cloud: &Cloud, target_arn: &str) -> Result<(), ApiError> {
    cloud.delivery.broken.get(target_arn).cloned().map_or(Ok(()), Err)
}

impl Cloud {
    /// Makes every delivery of an event, a schedule or a message to the target of that ARN fail with the error, until
    /// [`mend_deliveries`](Self::mend_deliveries). Who calls the target itself is not concerned.
    pub fn break_deliveries(&mut self, target_arn: &str, error: ApiError) {
        self.delivery.broken.insert(target_arn.to_owned(), error);
    }

    /// Lets deliveries to the target succeed again.
    pub fn mend_deliveries(&mut self, target_arn: &str) {
        self.delivery.broken.remove(target_arn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(retries: Option<u32>, age: Option<u32>) -> RetryPolicy {
        RetryPolicy {
            maximum_event_age_in_seconds: age,
            maximum_retry_attempts: retries,
        }
    }

    /// When each try is made, in seconds, and why the last one was.
    fn tries(policy: &RetryPolicy) -> (Vec<i64>, &'static str) {
        let since: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let (mut now, mut at) = (since, vec![0]);
        loop {
            let retries = u32::try_from(at.len()).unwrap() - 1;
            match policy.next(retries, since, now) {
                Next::GiveUp(why) => return (at, why),
                Next::Wait(wait) => now += wait,
            }
            if policy.is_over(since, now) {
                return (at, "MaximumEventAgeInSeconds");
            }
            at.push(now.duration_since(since).as_secs());
        }
    }

    #[test]
    fn waits_grow_until_one_of_the_bounds_is_reached() {
        let by_count = "MaximumRetryAttempts";
        for (retries, age, expected, why) in [
            (Some(0), None, vec![0], by_count),
            (Some(4), None, vec![0, 1, 3, 7, 15], by_count),
            (
                Some(185),
                Some(60),
                vec![0, 1, 3, 7, 15, 31],
                "MaximumEventAgeInSeconds",
            ),
        ] {
            assert_eq!(tries(&policy(retries, age)), (expected, why), "{retries:?} {age:?}");
        }
        // What AWS does where nothing is said: both bounds come at about the same time.
        let (at, why) = tries(&RetryPolicy::default());
        assert_eq!((at.len(), why), (186, by_count));
        assert!((84_000..86_400).contains(at.last().unwrap()), "{at:?}");
    }
}
