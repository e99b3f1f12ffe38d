//! How a new version takes over: the policy that the template sets, and the plan that follows from it.

use std::fmt;
use std::str::FromStr;

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

/// Makes the plan for an endpoint of that many instances.
///
/// # Errors
/// Where SageMaker would refuse the update, or where it would not do what the policy says.
pub fn plan(policy: &Policy, instances: u32) -> Result<Plan, PlanError> {
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
            "RolloutStepPercent is {step_percent}, but {} takes {min} to {max}",
            strategy.as_str()
        ));
    }
    if matches!(strategy, Strategy::Canary | Strategy::Linear) && instances < 2 {
        let strategy = strategy.as_str();
        return refuse(format!(
            "{strategy} needs at least two instances, but EndpointInstanceCount is {instances}; raise it, or set RolloutStrategy to blue-green"
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
    if policy.alarms.len() > 10 {
        return refuse(format!(
            "{} alarms are named, but SageMaker takes at most 10",
            policy.alarms.len()
        ));
    }
    let steps = match strategy {
        Strategy::AllAtOnce | Strategy::BlueGreen | Strategy::Canary => 1,
        Strategy::Linear | Strategy::Rolling => 100_u32.div_ceil(step_percent.max(1)),
    };
    let bake = if matches!(strategy, Strategy::AllAtOnce | Strategy::Rolling) {
        0
    } else {
        bake_seconds
    };
    let waits = steps.saturating_mul(wait_seconds).saturating_add(bake);
    if waits >= timeout_seconds {
        return refuse(format!(
            "the waits of this rollout add up to {waits} s, which is not below RolloutTimeoutSeconds ({timeout_seconds}); raise it or wait less"
        ));
    }
    let routing = match strategy {
        Strategy::AllAtOnce | Strategy::BlueGreen => Routing::AllAtOnce,
        Strategy::Canary => Routing::Canary(step_percent),
        Strategy::Linear => Routing::Linear(step_percent),
        Strategy::Rolling => {
            let traffic = Traffic::Rolling {
                batch_percent: step_percent,
                wait_seconds,
            };
            return Ok(Plan {
                traffic,
                timeout_seconds,
                alarms: policy.alarms.clone(),
            });
        }
    };
    let traffic = Traffic::BlueGreen {
        routing,
        wait_seconds,
        termination_wait_seconds: bake,
    };
    Ok(Plan {
        traffic,
        timeout_seconds,
        alarms: policy.alarms.clone(),
    })
}

impl Policy {
    /// What will happen on approval, for the mail and the page; says what a percentage really is on that many instances.
    #[must_use]
    pub fn describe(&self, instances: u32) -> String {
        // SageMaker shifts whole instances.
        let whole = (instances * self.step_percent).div_ceil(100).max(1);
        let share = (whole * 100).checked_div(instances).unwrap_or(100).min(100);
        let step = format!("{whole} of {instances} instances, {share} % of the traffic");
        let (wait, bake) = (duration(self.wait_seconds), duration(self.bake_seconds));
        let how = match self.strategy {
            Strategy::AllAtOnce => {
                "all at once: all traffic shifts to the new fleet, and the old one is gone".to_owned()
            }
            Strategy::BlueGreen => format!("blue/green: all traffic shifts at once; the old fleet is kept for {bake}"),
            Strategy::Canary => {
                format!("canary: {step}, for {wait}; then the rest, and the old fleet is kept for {bake}")
            }
            Strategy::Linear => format!("linear: {step} every {wait}; then the old fleet is kept for {bake}"),
            Strategy::Rolling => format!("rolling: {step} every {wait}"),
        };
        if self.alarms.is_empty() {
            format!("{how}; no alarm rolls it back")
        } else {
            format!("{how}; rolled back when {} fires", self.alarms.join(" or "))
        }
    }
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
mod tests {
    use super::*;

    fn policy(strategy: Strategy) -> Policy {
        Policy {
            strategy,
            step_percent: 10,
            wait_seconds: 300,
            bake_seconds: 600,
            timeout_seconds: 7200,
            alarms: vec!["churn-5xx".into()],
        }
    }

    #[test]
    fn plans() {
        for (strategy, expected) in [
            (
                Strategy::AllAtOnce,
                Traffic::BlueGreen {
                    routing: Routing::AllAtOnce,
                    wait_seconds: 300,
                    termination_wait_seconds: 0,
                },
            ),
            (
                Strategy::BlueGreen,
                Traffic::BlueGreen {
                    routing: Routing::AllAtOnce,
                    wait_seconds: 300,
                    termination_wait_seconds: 600,
                },
            ),
            (
                Strategy::Canary,
                Traffic::BlueGreen {
                    routing: Routing::Canary(10),
                    wait_seconds: 300,
                    termination_wait_seconds: 600,
                },
            ),
            (
                Strategy::Linear,
                Traffic::BlueGreen {
                    routing: Routing::Linear(10),
                    wait_seconds: 300,
                    termination_wait_seconds: 600,
                },
            ),
            (
                Strategy::Rolling,
                Traffic::Rolling {
                    batch_percent: 10,
                    wait_seconds: 300,
                },
            ),
        ] {
            let plan = plan(&policy(strategy), 2).unwrap();
            assert_eq!((plan.traffic, plan.timeout_seconds), (expected, 7200), "{strategy}");
            assert_eq!(plan.alarms, ["churn-5xx"], "no strategy loses the alarms");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_to_change() {
        type Change = fn(&mut Policy);
        let table: [(Strategy, u32, Change, &str); 8] = [
            (
                Strategy::Canary,
                1,
                |_| {},
                "raise it, or set RolloutStrategy to blue-green",
            ),
            (Strategy::Canary, 4, |p| p.step_percent = 51, "canary takes 1 to 50"),
            (Strategy::Linear, 4, |p| p.step_percent = 9, "linear takes 10 to 50"),
            (Strategy::Rolling, 4, |p| p.step_percent = 4, "rolling takes 5 to 50"),
            (Strategy::BlueGreen, 4, |p| p.bake_seconds = 3601, "BakeSeconds is 3601"),
            (Strategy::BlueGreen, 4, |p| p.timeout_seconds = 599, "600 to 28800"),
            (Strategy::Linear, 4, |p| p.timeout_seconds = 3600, "add up to 3600 s"),
            (Strategy::Canary, 4, |p| p.alarms = vec!["a".into(); 11], "at most 10"),
        ];
        for (strategy, instances, change, words) in table {
            let mut policy = policy(strategy);
            change(&mut policy);
            let error = plan(&policy, instances).unwrap_err().to_string();
            assert!(error.contains(words), "{strategy}: {error}");
        }
    }

    #[test]
    fn percentages_are_said_in_whole_instances() {
        let text = policy(Strategy::Canary).describe(3);
        assert_eq!(
            text,
            "canary: 1 of 3 instances, 33 % of the traffic, for 5 min; then the rest, and the old fleet is kept for 10 min; \
             rolled back when churn-5xx fires"
        );
    }

    #[test]
    fn words_are_read_back() {
        for word in ["all-at-once", "blue-green", "canary", "linear", "rolling"] {
            assert_eq!(word.parse::<Strategy>().unwrap().as_str(), word);
        }
        assert!("yolo".parse::<Strategy>().is_err());
    }
}
