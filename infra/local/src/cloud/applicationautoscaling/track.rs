//! Target tracking: what a policy makes of the requests per instance of each minute.
//!
//! As the alarms that AWS makes for it: above the target for three minutes in a row it scales out, below nine tenths of it for fifteen
//! it scales in; each time so far that the target would have been met. A minute without requests counts as zero.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::Value;

use crate::cloud::ApiError;

/// For how many minutes in a row it must be too much.
const MINUTES_HIGH: usize = 3;
/// For how many minutes in a row it must be too little.
pub(super) const MINUTES_LOW: usize = 15;
/// Of the target; below it is too little.
const LOW: f64 = 0.9;
/// `ScaleOutCooldown` and `ScaleInCooldown` where the policy does not say.
const COOLDOWN_SECONDS: u64 = 300;

/// Which way a target is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Out,
    In,
}

impl Turn {
    /// For the timeline.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Out => "scale-out",
            Self::In => "scale-in",
        }
    }
}

/// A scaling policy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Policy {
    pub(super) arn: String,
    pub(super) created: Timestamp,
    /// `TargetTrackingScalingPolicyConfiguration`.
    pub(super) configuration: Value,
    target: f64,
}

impl Policy {
    /// A policy that the input makes.
    pub(super) fn new(arn: String, created: Timestamp, input: &Value) -> Result<Self, ApiError> {
        if input.get("PolicyType").is_none() {
            return Err(ApiError::validation(
                "PolicyType is required when a scaling policy is created",
            ));
        }
        let policy = Self {
            arn,
            created,
            configuration: Value::Null,
            target: 0.0,
        };
        policy.updated(input)
    }

    /// The policy with what the input says of it; what it leaves out stays.
    pub(super) fn updated(self, input: &Value) -> Result<Self, ApiError> {
        let kind = input.get("PolicyType").and_then(Value::as_str);
        if kind.is_some_and(|kind| kind != "TargetTrackingScaling") {
            return Err(ApiError::validation(
                "The local cloud understands TargetTrackingScaling policies only.",
            ));
        }
        let given = input.get("TargetTrackingScalingPolicyConfiguration");
        let configuration = given.cloned().unwrap_or(self.configuration);
        let metric = configuration.pointer("/PredefinedMetricSpecification/PredefinedMetricType");
        if metric.and_then(Value::as_str) != Some("SageMakerVariantInvocationsPerInstance") {
            return Err(ApiError::validation(
                "The local cloud tracks the predefined metric SageMakerVariantInvocationsPerInstance only.",
            ));
        }
        let target = configuration
            .get("TargetValue")
            .and_then(Value::as_f64)
            .unwrap_or_default();
        if target <= 0.0 {
            return Err(ApiError::validation("TargetValue must be greater than zero"));
        }
        Ok(Self {
            configuration,
            target,
            ..self
        })
    }

    fn seconds(&self, member: &str) -> u64 {
        let seconds = self.configuration.get(member).and_then(Value::as_u64);
        seconds.unwrap_or(COOLDOWN_SECONDS)
    }

    pub(super) fn out_cooldown_seconds(&self) -> u64 {
        self.seconds("ScaleOutCooldown")
    }

    pub(super) fn in_cooldown_seconds(&self) -> u64 {
        self.seconds("ScaleInCooldown")
    }

    /// Whether it ever scales in.
    pub(super) fn scales_in(&self) -> bool {
        let disabled = self.configuration.get("DisableScaleIn").and_then(Value::as_bool);
        !disabled.unwrap_or_default()
    }

    /// To how many instances to scale out, where it has been too much for long enough.
    pub(super) fn out(&self, minutes: &VecDeque<f64>, instances: usize) -> Option<usize> {
        let mut recent = minutes.iter().rev().take(MINUTES_HIGH);
        let is_high = minutes.len() >= MINUTES_HIGH && recent.all(|value| *value > self.target);
        let wanted = self.needed(*minutes.back()?, instances);
        (is_high && wanted > instances).then_some(wanted)
    }

    /// To how many instances to scale in, where it has been too little for long enough; for the most of that time.
    pub(super) fn less(&self, minutes: &VecDeque<f64>, instances: usize) -> Option<usize> {
        let is_low = minutes.len() >= MINUTES_LOW && minutes.iter().all(|value| *value < self.target * LOW);
        let most = minutes.iter().copied().fold(0.0, f64::max);
        (is_low && self.scales_in()).then(|| self.needed(most, instances))
    }

    /// With how many instances that many requests per instance of so many would be the target.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of instances, and saturating"
    )]
    fn needed(&self, value: f64, instances: usize) -> usize {
        let instances = f64::from(u32::try_from(instances).unwrap_or(u32::MAX));
        (instances * value / self.target).ceil() as usize
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(configuration: &Value) -> Result<Policy, ApiError> {
        let mut input = json!({"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration":
            {"TargetValue": 100.0, "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}});
        for (member, value) in configuration.as_object().unwrap() {
            input["TargetTrackingScalingPolicyConfiguration"][member] = value.clone();
        }
        Policy::new("arn".to_owned(), Timestamp::UNIX_EPOCH, &input)
    }

    #[test]
    fn three_minutes_above_the_target_scale_out() {
        let policy = policy(&json!({})).unwrap();
        for (minutes, instances, expected) in [
            (&[150.0, 150.0][..], 2, None),
            (&[150.0, 150.0, 150.0], 2, Some(3)),
            (&[150.0, 100.0, 150.0], 2, None),
            (&[0.0, 101.0, 101.0, 101.0], 2, Some(3)),
            (&[100.0, 100.0, 100.0], 2, None),
            (&[150.0, 150.0, 400.0], 2, Some(8)),
        ] {
            let minutes = minutes.iter().copied().collect();
            assert_eq!(policy.out(&minutes, instances), expected, "{minutes:?}");
        }
    }

    #[test]
    fn fifteen_minutes_below_nine_tenths_of_it_scale_in() {
        let policy_in = policy(&json!({})).unwrap();
        let never = policy(&json!({"DisableScaleIn": true})).unwrap();
        for (value, last, count, expected) in [
            (40.0, 40.0, 15, Some(4)),
            (40.0, 40.0, 14, None),
            (40.0, 90.0, 15, None),
            (40.0, 89.0, 15, Some(9)),
            (0.0, 0.0, 15, Some(0)),
        ] {
            let mut minutes: VecDeque<f64> = std::iter::repeat_n(value, count - 1).collect();
            minutes.push_back(last);
            assert_eq!(policy_in.less(&minutes, 10), expected, "{minutes:?}");
            assert_eq!(never.less(&minutes, 10), None);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (configuration, expected) in [
            (json!({"TargetValue": 0.0}), "TargetValue must be greater than zero"),
            (
                json!({"PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}}),
                "SageMakerVariantInvocationsPerInstance only",
            ),
            (
                json!({"PredefinedMetricSpecification": null}),
                "SageMakerVariantInvocationsPerInstance only",
            ),
        ] {
            let error = policy(&configuration).unwrap_err();
            assert!(error.message.contains(expected), "{error}");
        }
        let policy = policy(&json!({"ScaleOutCooldown": 0})).unwrap();
        assert_eq!((policy.out_cooldown_seconds(), policy.in_cooldown_seconds()), (0, 300));
        let input = json!({"PolicyType": "StepScaling"});
        assert!(policy.clone().updated(&input).is_err());
        assert_eq!(policy.clone().updated(&json!({})).unwrap(), policy);
    }
}
