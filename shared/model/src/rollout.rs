//! How a new version takes over: the policy that the template sets, and the plan that follows from it.
//!
//! The plan is made before anything is touched. What SageMaker would refuse, or would take and then not do, is refused here, with
//! what to change.

use std::fmt;
use std::str::FromStr;

use crate::capacity::Fleet;
use crate::endpoint::Configuration;

/// The ways in which a version can take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Blue/green: all traffic at once, the old fleet gone at once.
    AllAtOnce,
    /// Blue/green: all traffic at once, the old fleet kept through the bake.
    BlueGreen,
    /// Blue/green: a canary's share first, then the rest.
    Canary,
    /// Blue/green: in equal steps.
    Linear,
    /// Batch after batch, without a second fleet.
    Rolling,
}

impl Strategy {
    /// The template's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllAtOnce => "all-at-once",
            Self::BlueGreen => "blue-green",
            Self::Canary => "canary",
            Self::Linear => "linear",
            Self::Rolling => "rolling",
        }
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let all = [
            Self::AllAtOnce,
            Self::BlueGreen,
            Self::Canary,
            Self::Linear,
            Self::Rolling,
        ];
        let found = all.into_iter().find(|strategy| strategy.as_str() == word);
        found.ok_or_else(|| "write all-at-once, blue-green, canary, linear or rolling".to_owned())
    }
}

/// What the template says about updates of the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How a version takes over.
    pub strategy: Strategy,
    /// The canary's size, the linear step or the rolling batch, in percent of the instances.
    pub step_percent: u32,
    /// How long each step is watched.
    pub wait_seconds: u32,
    /// How long the old fleet is kept after all traffic has shifted.
    pub bake_seconds: u32,
    /// How long the update may take in all.
    pub timeout_seconds: u32,
    /// The alarms that roll it back, one to ten.
    pub alarms: Vec<String>,
    /// Whether a serverless endpoint, which takes no deployment policy, may be updated without alarms and steps.
    pub unguarded_serverless: bool,
}

/// An alarm of the policy, as CloudWatch shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// Whether it is in ALARM.
    pub firing: bool,
    /// CloudWatch's reason for the state, with the numbers.
    pub reason: String,
    /// For how long it has to see trouble before it fires: `Period` times `EvaluationPeriods`. Absent for composite alarms.
    pub window_seconds: Option<u32>,
}

/// What goes into UpdateEndpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// `DeploymentConfig`; absent for a serverless endpoint, where SageMaker takes none.
    pub deployment: Option<Plan>,
    /// `RetainAllVariantProperties`: the count that the endpoint has now is kept.
    pub keep_count: bool,
}

/// What goes into UpdateEndpoint's DeploymentConfig.
///
/// See <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeploymentConfig.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How the traffic moves.
    pub traffic: Traffic,
    /// `MaximumExecutionTimeoutInSeconds`.
    pub timeout_seconds: u32,
    /// `AutoRollbackConfiguration.Alarms`.
    pub alarms: Vec<String>,
}

/// How the traffic moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// `BlueGreenUpdatePolicy`.
    BlueGreen {
        /// `TrafficRoutingConfiguration.Type` and its size.
        routing: Routing,
        /// `WaitIntervalInSeconds`.
        wait_seconds: u32,
        /// `TerminationWaitInSeconds`.
        termination_wait_seconds: u32,
    },
    /// `RollingUpdatePolicy`.
    Rolling {
        /// `MaximumBatchSize`, in percent of the capacity.
        batch_percent: u32,
        /// `WaitIntervalInSeconds`.
        wait_seconds: u32,
    },
}

/// The kinds of blue/green routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// `ALL_AT_ONCE`.
    AllAtOnce,
    /// `CANARY`, with its size in percent of the capacity.
    Canary(u32),
    /// `LINEAR`, with its step in percent of the capacity.
    Linear(u32),
}

/// A policy that can't work on this endpoint: what is wrong, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(String);

/// Makes the plan for a fleet of that size, where `serving` is the configuration that it replaces, if any, and `alarms` are those of
/// the policy, as they are now.
///
/// # Errors
/// Where SageMaker would refuse the update, or where it would not do what the policy says.
pub fn plan(
    policy: &Policy,
    fleet: &Fleet,
    instance_type: &str,
    serving: Option<&Configuration>,
    alarms: &[Alarm],
) -> Result<Update, PlanError> {
    bounds(policy)?;
    fits_the_fleet(policy, fleet.instances, instance_type)?;
    let keep_count = fleet.keep;
    if let Some(serving) = serving {
        if serving.variants.iter().any(|variant| variant.serverless) {
            return if policy.unguarded_serverless {
                Ok(Update {
                    deployment: None,
                    keep_count: false,
                })
            } else {
                Err(PlanError(format!(
                    "the endpoint is serverless ({}), and SageMaker takes neither steps nor alarms for its updates; set \
                     ServerlessUpdates to unguarded to update it all at once and without a rollback",
                    serving.name
                )))
            };
        }
        if policy.strategy == Strategy::Rolling && serving.variants.len() > 1 {
            return Err(PlanError(format!(
                "the endpoint has {} variants ({}), and SageMaker rolls out to one only; set RolloutStrategy to canary, linear, \
                 blue-green or all-at-once",
                serving.variants.len(),
                names(serving)
            )));
        }
    }
    can_fire(policy, alarms, serving.is_some())?;
    Ok(Update {
        deployment: Some(Plan {
            traffic: policy.traffic(),
            timeout_seconds: policy.timeout_seconds,
            alarms: policy.alarms.clone(),
        }),
        keep_count,
    })
}

/// Makes the plan of a rescue: all at once, at once, watched by those alarms that do not fire now. Those that do would roll the
/// rescue back to what it rescues from.
#[must_use]
pub fn rescue(policy: &Policy, alarms: &[Alarm]) -> Update {
    let quiet = |name: &&String| alarms.iter().any(|alarm| alarm.name == **name && !alarm.firing);
    Update {
        deployment: Some(Plan {
            traffic: Traffic::BlueGreen {
                routing: Routing::AllAtOnce,
                wait_seconds: 0,
                termination_wait_seconds: 0,
            },
            timeout_seconds: policy.timeout_seconds,
            alarms: policy.alarms.iter().filter(quiet).cloned().collect(),
        }),
        // The configuration that served well is copied; the load may have grown since.
        keep_count: true,
    }
}

fn names(serving: &Configuration) -> String {
    let names = serving.variants.iter().map(|variant| variant.name.as_str());
    names.collect::<Vec<_>>().join(", ")
}

/// What holds for every endpoint: SageMaker's bounds.
fn bounds(policy: &Policy) -> Result<(), PlanError> {
    let refuse = |reason: String| Err(PlanError(reason));
    let Policy {
        strategy,
        step_percent,
        wait_seconds,
        bake_seconds,
        timeout_seconds,
        ..
    } = *policy;
    let range = match strategy {
        Strategy::AllAtOnce | Strategy::BlueGreen => None,
        Strategy::Canary => Some((1, 50)),
        Strategy::Linear => Some((10, 50)),
        Strategy::Rolling => Some((5, 50)),
    };
    if let Some((min, max)) = range.filter(|(min, max)| !(*min..=*max).contains(&step_percent)) {
        return refuse(format!(
            "RolloutStepPercent is {step_percent}, but {strategy} takes {min} to {max}"
        ));
    }
    for (name, seconds) in [("RolloutWaitSeconds", wait_seconds), ("BakeSeconds", bake_seconds)] {
        if seconds > 3600 {
            return refuse(format!("{name} is {seconds}, but SageMaker waits at most 3600 seconds"));
        }
    }
    if !(600..=28_800).contains(&timeout_seconds) {
        return refuse(format!(
            "RolloutTimeoutSeconds is {timeout_seconds}, but SageMaker takes 600 to 28800"
        ));
    }
    if policy.alarms.is_empty() || policy.alarms.len() > 10 {
        return refuse(format!(
            "{} alarms are named, but SageMaker takes 1 to 10, and an update without any is never rolled back",
            policy.alarms.len()
        ));
    }
    let waits = policy.waits_seconds();
    if waits >= timeout_seconds {
        return refuse(format!(
            "the waits of this rollout add up to {waits} s, which is not below RolloutTimeoutSeconds ({timeout_seconds}); raise it or \
             wait less"
        ));
    }
    Ok(())
}

/// What depends on the fleet.
fn fits_the_fleet(policy: &Policy, instances: u32, instance_type: &str) -> Result<(), PlanError> {
    let strategy = policy.strategy;
    let in_steps = matches!(strategy, Strategy::Canary | Strategy::Linear | Strategy::Rolling);
    if matches!(strategy, Strategy::Canary | Strategy::Linear) && instances < 2 {
        return Err(PlanError(format!(
            "{strategy} needs at least two instances, but the endpoint would have {instances}; raise EndpointInstanceCount, or set \
             RolloutStrategy to blue-green"
        )));
    }
    if in_steps && instance_type.starts_with("ml.inf1.") {
        return Err(PlanError(format!(
            "SageMaker takes {strategy} for {instance_type} and then shifts all traffic at once; set RolloutStrategy to blue-green or \
             all-at-once, or EndpointInstanceType to another family"
        )));
    }
    Ok(())
}

/// An alarm guards an update only if it exists, is quiet before, and can fire while the update is watched.
fn can_fire(policy: &Policy, alarms: &[Alarm], replaces: bool) -> Result<(), PlanError> {
    for name in &policy.alarms {
        let Some(alarm) = alarms.iter().find(|alarm| alarm.name == *name) else {
            return Err(PlanError(format!(
                "the alarm {name} does not exist, so that nothing would watch the update; deploy the stack, which makes it"
            )));
        };
        if replaces && alarm.firing {
            return Err(PlanError(format!(
                "the alarm {name} is in ALARM already, so that the update would be rolled back at once: {}; clear it first",
                alarm.reason
            )));
        }
        let Some(window) = alarm.window_seconds else { continue };
        for (parameter, watched) in policy.watches() {
            if window > watched {
                return Err(PlanError(format!(
                    "the alarm {name} needs {window} s of trouble to fire, but {parameter} watches for {watched} s only; raise it to \
                     at least {window}, or shorten the alarm's period"
                )));
            }
        }
    }
    Ok(())
}

impl Policy {
    /// How many steps the traffic takes on that many instances.
    #[must_use]
    pub fn steps(&self) -> u32 {
        match self.strategy {
            Strategy::AllAtOnce | Strategy::BlueGreen => 1,
            Strategy::Canary => 2,
            Strategy::Linear | Strategy::Rolling => 100_u32.div_ceil(self.step_percent.max(1)),
        }
    }

    /// How long the old fleet is kept after all traffic has shifted; a rolling update has no old fleet by then.
    #[must_use]
    pub fn final_bake_seconds(&self) -> u32 {
        match self.strategy {
            Strategy::AllAtOnce => 0,
            Strategy::Rolling => self.wait_seconds,
            Strategy::BlueGreen | Strategy::Canary | Strategy::Linear => self.bake_seconds,
        }
    }

    /// All waits of a rollout together.
    #[must_use]
    pub fn waits_seconds(&self) -> u32 {
        (self.steps() - 1)
            .saturating_mul(self.wait_seconds)
            .saturating_add(self.final_bake_seconds())
    }

    /// The parameters that say for how long the alarms watch, and for how long. A bake of nothing is a choice, a step of nothing is
    /// none.
    fn watches(&self) -> Vec<(&'static str, u32)> {
        let wait = ("RolloutWaitSeconds", self.wait_seconds);
        let bake = (self.bake_seconds > 0).then_some(("BakeSeconds", self.bake_seconds));
        match self.strategy {
            Strategy::AllAtOnce => Vec::new(),
            Strategy::BlueGreen => vec![("BakeSeconds", self.bake_seconds)],
            Strategy::Canary | Strategy::Linear => [Some(wait), bake].into_iter().flatten().collect(),
            Strategy::Rolling => vec![wait],
        }
    }

    fn traffic(&self) -> Traffic {
        let routing = match self.strategy {
            Strategy::AllAtOnce | Strategy::BlueGreen => Routing::AllAtOnce,
            Strategy::Canary => Routing::Canary(self.step_percent),
            Strategy::Linear => Routing::Linear(self.step_percent),
            Strategy::Rolling => {
                return Traffic::Rolling {
                    batch_percent: self.step_percent,
                    wait_seconds: self.wait_seconds,
                };
            }
        };
        Traffic::BlueGreen {
            routing,
            wait_seconds: self.wait_seconds,
            termination_wait_seconds: self.final_bake_seconds(),
        }
    }

    /// How many of the instances one step is, and which share of the traffic, in percent: SageMaker shifts whole instances.
    #[must_use]
    pub fn step(&self, instances: u32) -> (u32, u32) {
        let whole = instances
            .saturating_mul(self.step_percent)
            .div_ceil(100)
            .clamp(1, instances.max(1));
        (whole, share_percent(whole, instances))
    }

    /// What will happen on approval, for the mail and the page; says what a percentage really is on that many instances.
    #[must_use]
    pub fn describe(&self, instances: u32) -> String {
        let (whole, share) = self.step(instances);
        let of = if share == self.step_percent {
            format!("{share} % of the traffic, {whole} of {instances} instances")
        } else {
            let is = if whole == 1 { "instance" } else { "instances" };
            format!(
                "{} % of {instances} instances is {whole} {is}, {share} % of the traffic",
                self.step_percent
            )
        };
        let (wait, bake) = (duration(self.wait_seconds), duration(self.bake_seconds));
        let how = match self.strategy {
            Strategy::AllAtOnce => {
                "all at once: all traffic shifts to the new fleet, and the old one is gone".to_owned()
            }
            Strategy::BlueGreen => format!("blue/green: all traffic shifts at once; the old fleet is kept for {bake}"),
            Strategy::Canary => {
                format!("canary: {of}, for {wait}; then the rest, and the old fleet is kept for {bake}")
            }
            Strategy::Linear => format!("linear: {of}, every {wait}; then the old fleet is kept for {bake}"),
            Strategy::Rolling => format!("rolling: {of}, every {wait}; there is no second fleet"),
        };
        if self.alarms.is_empty() {
            format!("{how}; no alarm rolls it back")
        } else {
            format!("{how}; rolled back when {} fires", self.alarms.join(" or "))
        }
    }
}

/// The share of so many of all instances, in percent, rounded to the nearest.
#[must_use]
pub fn share_percent(instances: u32, all: u32) -> u32 {
    let half = all / 2;
    (instances.saturating_mul(100).saturating_add(half))
        .checked_div(all)
        .unwrap_or(100)
        .min(100)
}

fn duration(seconds: u32) -> String {
    if seconds.is_multiple_of(60) {
        format!("{} min", seconds / 60)
    } else {
        format!("{seconds} s")
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
