//! What a `DeploymentConfig` says: checked as SageMaker checks it, and made a plan in whole instances.
//!
//! Ranges of single numbers are the service model's; here is what concerns the fleet or several members at once.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::{list_of, text};
use crate::cloud::ApiError;

/// How a deployment goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    /// How many new instances take traffic after each step.
    pub(super) steps: Vec<usize>,
    /// Between the steps.
    pub(super) wait_seconds: u64,
    /// After the last step.
    pub(super) last_wait_seconds: u64,
    pub(super) timeout_seconds: Option<u64>,
    /// Rolling: how many old instances a rollback restores at a time; all at once where it is not said.
    pub(super) rollback_batch: Option<Size>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    AllAtOnce,
    Canary,
    Linear,
    Rolling,
}

/// A `CapacitySize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Instances(usize),
    Percent(usize),
}

impl Size {
    /// In whole instances of so many, at least one.
    pub(super) fn of(self, instances: usize) -> usize {
        let count = match self {
            Self::Instances(count) => count,
            Self::Percent(percent) => instances.saturating_mul(percent).div_ceil(100),
        };
        count.clamp(1, instances.max(1))
    }

    /// Reads a member of a policy, and checks it against its range in percent of so many instances. An instance count is as much
    /// as it is of them; a percentage is what it says, whichever whole instances it comes to.
    fn read(
        policy: &Value,
        member: &str,
        instances: usize,
        range: RangeInclusive<usize>,
    ) -> Result<Option<Self>, ApiError> {
        let Some(size) = policy.get(member).filter(|size| !size.is_null()) else {
            return Ok(None);
        };
        let value = size.get("Value").and_then(Value::as_u64).unwrap_or_default();
        let value = usize::try_from(value).unwrap_or(usize::MAX);
        let is_percent = text(size, "Type") == "CAPACITY_PERCENT";
        let (of_all, given) = if is_percent {
            (100, format!("{value} percent"))
        } else {
            (instances, format!("{value} of {instances} instance(s)"))
        };
        let (share, min, max) = (value.saturating_mul(100), *range.start(), *range.end());
        if share < min.saturating_mul(of_all) || share > max.saturating_mul(of_all) {
            return Err(ApiError::validation(format!(
                "{member} must be between {min} and {max} percent of the variant's total instance count, but it is {given}."
            )));
        }
        Ok(Some(if is_percent {
            Self::Percent(value)
        } else {
            Self::Instances(value)
        }))
    }

    fn required(
        policy: &Value,
        member: &str,
        instances: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, ApiError> {
        let size = Self::read(policy, member, instances, range)?
            .ok_or_else(|| ApiError::validation(format!("{member} must be specified for this type of deployment.")))?;
        Ok(size.of(instances))
    }
}

impl Plan {
    /// The plan from a fleet of `old` instances to one of `new`.
    pub(super) fn new(deployment: Option<&Value>, old: usize, new: usize) -> Result<Self, ApiError> {
        let deployment = deployment.unwrap_or(&Value::Null);
        let seconds = |policy: &Value, member: &str| policy.get(member).and_then(Value::as_u64);
        let limit = "MaximumExecutionTimeoutInSeconds";
        let plan = match (
            deployment.get("BlueGreenUpdatePolicy"),
            deployment.get("RollingUpdatePolicy"),
        ) {
            (Some(_), Some(_)) => {
                return Err(ApiError::validation(
                    "Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified in DeploymentConfig.",
                ));
            }
            (None, None) => Self {
                kind: Kind::AllAtOnce,
                steps: vec![new],
                wait_seconds: 0,
                last_wait_seconds: 0,
                timeout_seconds: None,
                rollback_batch: None,
            },
            (Some(policy), None) => {
                let routing = policy.get("TrafficRoutingConfiguration").unwrap_or(&Value::Null);
                let (kind, steps) = match text(routing, "Type") {
                    "CANARY" => {
                        if new < 2 {
                            return Err(ApiError::validation(
                                "A CANARY traffic routing needs a production variant of at least 2 instances, but it has 1.",
                            ));
                        }
                        let size = Size::required(routing, "CanarySize", new, 1..=50)?;
                        let steps = if size < new { vec![size, new] } else { vec![new] };
                        (Kind::Canary, steps)
                    }
                    "LINEAR" => {
                        let step = Size::required(routing, "LinearStepSize", new, 10..=50)?;
                        (Kind::Linear, in_steps(step, new))
                    }
                    _ => (Kind::AllAtOnce, vec![new]),
                };
                Self {
                    kind,
                    steps,
                    wait_seconds: seconds(routing, "WaitIntervalInSeconds").unwrap_or_default(),
                    last_wait_seconds: seconds(policy, "TerminationWaitInSeconds").unwrap_or_default(),
                    timeout_seconds: seconds(policy, limit),
                    rollback_batch: None,
                }
            }
            (None, Some(policy)) => {
                let wait_seconds = seconds(policy, "WaitIntervalInSeconds").unwrap_or_default();
                let batch = Size::required(policy, "MaximumBatchSize", new, 5..=50)?;
                Self {
                    kind: Kind::Rolling,
                    steps: in_steps(batch, new),
                    wait_seconds,
                    last_wait_seconds: wait_seconds,
                    timeout_seconds: seconds(policy, limit),
                    // 100 percent is the default, and allowed: the whole old fleet at once.
                    rollback_batch: Size::read(policy, "RollbackMaximumBatchSize", old, 5..=100)?,
                }
            }
        };
        let between = u64::try_from(plan.steps.len().saturating_sub(1)).unwrap_or(u64::MAX);
        let waits = plan
            .wait_seconds
            .saturating_mul(between)
            .saturating_add(plan.last_wait_seconds);
        if let Some(timeout) = plan.timeout_seconds.filter(|timeout| waits >= *timeout) {
            return Err(ApiError::validation(format!(
                "MaximumExecutionTimeoutInSeconds ({timeout}) must be more than the deployment's waits together ({waits} seconds)."
            )));
        }
        Ok(plan)
    }
}

/// `3` of `10` is 3, 6, 9, 10.
fn in_steps(step: usize, all: usize) -> Vec<usize> {
    let mut steps: Vec<usize> = (1..)
        .map(|times: usize| times.saturating_mul(step))
        .take_while(|count| *count < all)
        .collect();
    steps.push(all);
    steps
}

/// The names of the alarms that watch a deployment: each is named, and none twice.
pub(super) fn alarms(deployment: Option<&Value>) -> Result<Vec<String>, ApiError> {
    let configuration = deployment.and_then(|deployment| deployment.get("AutoRollbackConfiguration"));
    let mut names = Vec::new();
    let mut seen = BTreeSet::new();
    for alarm in list_of(configuration.unwrap_or(&Value::Null), "Alarms") {
        let name = text(alarm, "AlarmName");
        if name.is_empty() {
            return Err(ApiError::validation(
                "AlarmName must be specified for every alarm of AutoRollbackConfiguration.",
            ));
        }
        if !seen.insert(name) {
            return Err(ApiError::validation(format!(
                "AutoRollbackConfiguration has the alarm \"{name}\" more than once."
            )));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn canary(kind: &str, value: u64) -> Value {
        json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "CANARY", "WaitIntervalInSeconds": 60,
            "CanarySize": {"Type": kind, "Value": value}}}})
    }

    fn linear(kind: &str, value: u64) -> Value {
        json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "LINEAR", "WaitIntervalInSeconds": 60,
            "LinearStepSize": {"Type": kind, "Value": value}}}})
    }

    fn rolling(kind: &str, value: u64) -> Value {
        json!({"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": kind, "Value": value}, "WaitIntervalInSeconds": 60}})
    }

    const COUNT: &str = "INSTANCE_COUNT";
    const PERCENT: &str = "CAPACITY_PERCENT";

    #[test]
    fn sizes_become_steps_in_whole_instances() {
        for (deployment, instances, expected) in [
            (canary(PERCENT, 1), 2, &[1, 2][..]),
            (canary(PERCENT, 50), 3, &[2, 3]),
            (canary(PERCENT, 30), 10, &[3, 10]),
            (canary(COUNT, 1), 2, &[1, 2]),
            (canary(COUNT, 5), 10, &[5, 10]),
            (linear(PERCENT, 10), 10, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
            (linear(PERCENT, 34), 10, &[4, 8, 10]),
            (linear(PERCENT, 50), 1, &[1]),
            (linear(COUNT, 1), 10, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
            (linear(COUNT, 2), 4, &[2, 4]),
            (
                rolling(PERCENT, 5),
                20,
                &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
            ),
            (rolling(PERCENT, 50), 1, &[1]),
            (rolling(COUNT, 2), 5, &[2, 4, 5]),
        ] {
            let plan = Plan::new(Some(&deployment), 1, instances).unwrap();
            assert_eq!(plan.steps, expected, "{deployment} of {instances}");
        }
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        let rollback = |kind: &str, value: u64| {
            let mut deployment = rolling(PERCENT, 50);
            deployment["RollingUpdatePolicy"]["RollbackMaximumBatchSize"] = json!({"Type": kind, "Value": value});
            deployment
        };
        for (deployment, instances, expected) in [
            (
                canary(PERCENT, 51),
                10,
                "CanarySize must be between 1 and 50 percent of the variant's total instance count, but it is 51 percent.",
            ),
            (
                canary(COUNT, 6),
                10,
                "CanarySize must be between 1 and 50 percent of the variant's total instance count, but it is 6 of 10 instance(s).",
            ),
            (canary(COUNT, 2), 3, "it is 2 of 3 instance(s)"),
            (canary(PERCENT, 50), 1, "at least 2 instances"),
            (
                linear(PERCENT, 9),
                10,
                "LinearStepSize must be between 10 and 50 percent",
            ),
            (
                linear(PERCENT, 51),
                10,
                "LinearStepSize must be between 10 and 50 percent",
            ),
            (linear(COUNT, 1), 11, "it is 1 of 11 instance(s)"),
            (linear(COUNT, 1), 1, "it is 1 of 1 instance(s)"),
            (linear(COUNT, 6), 10, "it is 6 of 10 instance(s)"),
            (
                rolling(PERCENT, 4),
                10,
                "MaximumBatchSize must be between 5 and 50 percent",
            ),
            (
                rolling(PERCENT, 51),
                10,
                "MaximumBatchSize must be between 5 and 50 percent",
            ),
            (rolling(COUNT, 1), 21, "it is 1 of 21 instance(s)"),
            (rolling(COUNT, 6), 10, "it is 6 of 10 instance(s)"),
            (
                rollback(PERCENT, 4),
                10,
                "RollbackMaximumBatchSize must be between 5 and 100 percent",
            ),
            (
                rollback(PERCENT, 101),
                10,
                "RollbackMaximumBatchSize must be between 5 and 100 percent",
            ),
            (rollback(COUNT, 5), 10, "it is 5 of 4 instance(s)"),
        ] {
            let error = Plan::new(Some(&deployment), 4, instances).unwrap_err();
            assert_eq!(error.code, "ValidationException");
            assert!(error.message.contains(expected), "{deployment} of {instances}: {error}");
        }
        for (kind, value, expected) in [
            (PERCENT, 100, 4),
            (PERCENT, 5, 1),
            (PERCENT, 50, 2),
            (COUNT, 4, 4),
            (COUNT, 3, 3),
        ] {
            let plan = Plan::new(Some(&rollback(kind, value)), 4, 10).unwrap();
            assert_eq!(plan.rollback_batch.unwrap().of(4), expected, "{value} {kind}");
        }
    }

    #[test]
    fn the_waits_together_must_be_less_than_the_time_limit() {
        let blue_green = |routing: Value, termination: u64| {
            json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": termination,
                "MaximumExecutionTimeoutInSeconds": 600}})
        };
        let size = json!({"Type": "CAPACITY_PERCENT", "Value": 25});
        let routing = |kind: &str, wait: u64| json!({"Type": kind, "WaitIntervalInSeconds": wait, "CanarySize": size, "LinearStepSize": size});
        let rolling = |wait: u64| json!({"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": wait, "MaximumExecutionTimeoutInSeconds": 600}});
        for (deployment, waits) in [
            (blue_green(routing("ALL_AT_ONCE", 0), 599), Ok(())),
            (blue_green(routing("ALL_AT_ONCE", 0), 600), Err(600)),
            (blue_green(routing("CANARY", 300), 299), Ok(())),
            (blue_green(routing("CANARY", 300), 300), Err(600)),
            // Four steps: three waits, and the last bake.
            (blue_green(routing("LINEAR", 100), 299), Ok(())),
            (blue_green(routing("LINEAR", 100), 300), Err(600)),
            // Four batches, each of which bakes.
            (rolling(149), Ok(())),
            (rolling(150), Err(600)),
        ] {
            let found = Plan::new(Some(&deployment), 4, 4)
                .map(|_| ())
                .map_err(|error| error.message);
            let expected = waits.map_err(|waits: u64| {
                format!("MaximumExecutionTimeoutInSeconds (600) must be more than the deployment's waits together ({waits} seconds).")
            });
            assert_eq!(found, expected, "{deployment}");
        }
    }

    #[test]
    fn alarms_have_a_name_each_of_their_own() {
        let deployment = |alarms: Value| json!({"AutoRollbackConfiguration": {"Alarms": alarms}});
        for (alarms_given, expected) in [
            (
                json!([{"AlarmName": "a"}, {"AlarmName": "b"}]),
                Ok(vec!["a".to_owned(), "b".to_owned()]),
            ),
            (json!([{"AlarmName": "a"}, {}]), Err("AlarmName must be specified")),
            (
                json!([{"AlarmName": "a"}, {"AlarmName": "a"}]),
                Err("has the alarm \"a\" more than once"),
            ),
        ] {
            match (alarms(Some(&deployment(alarms_given))), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(error), Err(expected)) => assert!(error.message.contains(expected), "{error}"),
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
        assert_eq!(alarms(None).unwrap(), Vec::<String>::new());
    }
}
