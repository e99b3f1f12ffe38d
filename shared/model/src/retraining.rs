//! Whether a training starts without a push.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::alarm::Firing;
use crate::arrivals::{Arrived, Thresholds};
use crate::evidence::{bytes, duration};
use crate::lineage::{Lineage, Trigger, Window};
use crate::names::{ReleaseId, digest};
use crate::training::Execution;

/// What failures stretch, where the cool-down is shorter.
const COOLDOWN_STRETCHED_MIN: SignedDuration = SignedDuration::from_mins(15);
/// How far failures stretch the cool-down at most, where it is shorter itself.
const COOLDOWN_STRETCHED_MAX: SignedDuration = SignedDuration::from_hours(24);

/// What asks for a training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The schedule fell due.
    Schedule {
        /// The time that it was due at.
        due: Timestamp,
    },
    /// New data was counted.
    Data {
        /// What has arrived since the data of the last training.
        arrived: Arrived,
        /// Whether that is all of it; otherwise there may be more.
        whole: bool,
        /// How much it takes.
        thresholds: Thresholds,
        /// The time of the look.
        seen: Timestamp,
    },
    /// An alarm fires.
    Drift {
        /// Which one, and why.
        firing: Firing,
        /// The time at which it was heard of, or seen.
        seen: Timestamp,
    },
}

impl Cause {
    /// Which kind it is.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        match self {
            Self::Schedule { .. } => Trigger::Schedule,
            Self::Data { .. } => Trigger::Data,
            Self::Drift { .. } => Trigger::Drift,
        }
    }

    /// When it asks.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Schedule { due } => *due,
            Self::Data { seen, .. } | Self::Drift { seen, .. } => *seen,
        }
    }

    /// What a training must have been asked for after, to have answered it.
    fn answered_after(&self) -> Timestamp {
        match self {
            // Events tell whole seconds, alarms thousandths.
            Self::Drift { firing, .. } => Timestamp::from_second(firing.since.as_second()).unwrap_or(firing.since),
            Self::Schedule { .. } | Self::Data { .. } => self.time(),
        }
    }

    fn evidence(&self) -> BTreeMap<String, String> {
        let pairs = match self {
            Self::Schedule { due } => vec![("due", due.to_string())],
            Self::Data { arrived, whole, .. } => {
                let mut pairs = vec![
                    ("newObjects", arrived.objects.to_string()),
                    ("newBytes", arrived.bytes.to_string()),
                ];
                if !whole {
                    pairs.push(("mayBeMore", "true".to_owned()));
                }
                pairs
            }
            Self::Drift { firing, .. } => {
                let mut pairs = vec![("alarm", firing.alarm.clone()), ("reason", firing.reason.clone())];
                if let Some((value, threshold)) = &firing.value {
                    pairs.push(("value", value.clone()));
                    pairs.push(("threshold", threshold.clone()));
                }
                pairs
            }
        };
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// What the template says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long after a training none is started here. A schedule's own rhythm is not held up by it, and each training in a row that
    /// has failed doubles it for data and drift, up to a day: what failed is tried again, but ever more rarely.
    pub cooldown: SignedDuration,
    /// Whether a training may start while the version of an earlier one is not decided on yet.
    pub while_waiting: bool,
}

/// Whether to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start it.
    Start(Box<Plan>),
    /// Not now.
    Suppressed(Suppressed),
}

/// A training to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// `ClientRequestToken`. It follows from the training before, so that of all that asks for the next one at the same time, once or
    /// twice, one training starts.
    pub token: String,
    /// What the execution is called in Studio.
    pub display_name: String,
    /// Its lineage, for the execution's description.
    pub lineage: Lineage,
}

/// Why a training does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suppressed {
    /// There is nothing to repeat.
    NothingTrained,
    /// Less data has arrived than it takes.
    TooLittle {
        /// How much.
        arrived: Arrived,
        /// How much it takes.
        thresholds: Thresholds,
    },
    /// A training has been asked for since.
    Answered {
        /// Which one.
        execution: String,
    },
    /// A training runs.
    Running {
        /// Which one.
        execution: String,
    },
    /// A training has ended and was not judged yet.
    NotJudged {
        /// Which one.
        execution: String,
    },
    /// A version waits for its approval, or is on its way there.
    Waiting {
        /// Its release.
        release: ReleaseId,
    },
    /// Too soon after another training.
    CoolingDown {
        /// How long ago that was asked for.
        since: SignedDuration,
        /// How long it takes.
        cooldown: SignedDuration,
        /// How many in a row have failed.
        failures: u32,
    },
}

impl Suppressed {
    /// The word that stands for it in metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NothingTrained => "NothingTrained",
            Self::TooLittle { .. } => "TooLittle",
            Self::Answered { .. } => "Answered",
            Self::Running { .. } => "Running",
            Self::NotJudged { .. } => "NotJudged",
            Self::Waiting { .. } => "Waiting",
            Self::CoolingDown { .. } => "CoolingDown",
        }
    }

    /// Whether something has asked for a training in vain. Too little data has not asked, and what is answered got one.
    #[must_use]
    pub fn is_in_vain(&self) -> bool {
        !matches!(self, Self::TooLittle { .. } | Self::Answered { .. })
    }
}

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingTrained => f.write_str("nothing was trained yet: the first training is a push's"),
            Self::TooLittle { arrived, thresholds } => {
                write!(f, "{} new objects, {}", arrived.objects, bytes(arrived.bytes))?;
                let wanted = [
                    thresholds.objects.map(|objects| format!("{objects} objects")),
                    thresholds.bytes.map(bytes),
                ];
                let wanted: Vec<String> = wanted.into_iter().flatten().collect();
                write!(f, "; it takes {}", wanted.join(" or "))
            }
            Self::Answered { execution } => write!(f, "a training was asked for since: {execution}"),
            Self::Running { execution } => write!(f, "a training is running: {execution}"),
            Self::NotJudged { execution } => write!(f, "a training has ended and is not judged yet: {execution}"),
            Self::Waiting { release } => write!(f, "a version waits for its approval: release {release}"),
            Self::CoolingDown {
                since,
                cooldown,
                failures,
            } => {
                let short = |span: &SignedDuration| duration(u64::try_from(span.as_secs()).unwrap_or(0));
                let (since, cooldown) = (short(since), short(cooldown));
                write!(
                    f,
                    "the last training was asked for {since} ago, less than the cool-down of {cooldown}"
                )?;
                match failures {
                    0 => Ok(()),
                    1 => f.write_str(", which is doubled as that one failed"),
                    _ => write!(f, ", which is stretched as the last {failures} have failed"),
                }
            }
        }
    }
}

/// Since when data is new: the end of the data that was learnt from last. `None` where there is no such training among the
/// executions, newest first.
#[must_use]
pub fn new_since(executions: &[Execution]) -> Option<Timestamp> {
    executions
        .iter()
        .find(|execution| execution.has_learnt())
        .and_then(Execution::data_until)
}

/// Decides, from the pipeline's executions, newest first. What waits for its approval is seen elsewhere, once this says to start.
#[must_use]
pub fn decide(cause: &Cause, executions: &[Execution], policy: &Policy) -> Decision {
    match suppressed(cause, executions, policy) {
        Some(suppressed) => Decision::Suppressed(suppressed),
        None => Decision::Start(Box::new(plan(cause, executions))),
    }
}

fn suppressed(cause: &Cause, executions: &[Execution], policy: &Policy) -> Option<Suppressed> {
    let Some(last) = executions.first() else {
        return Some(Suppressed::NothingTrained);
    };
    if let Cause::Data {
        arrived, thresholds, ..
    } = cause
        && !thresholds.met(arrived)
    {
        let (arrived, thresholds) = (*arrived, *thresholds);
        return Some(Suppressed::TooLittle { arrived, thresholds });
    }
    let now = cause.time();
    let answered = |execution: &&Execution| {
        let asked = execution.data_until();
        // The same cause, delivered again: however its training went, it has had one.
        asked == Some(now) || (execution.has_learnt() && asked >= Some(cause.answered_after()))
    };
    if let Some(execution) = executions.iter().find(answered) {
        let execution = execution.arn.clone();
        return Some(Suppressed::Answered { execution });
    }
    if let Some(running) = executions.iter().find(|execution| !execution.status.has_ended()) {
        let execution = running.arn.clone();
        return Some(Suppressed::Running { execution });
    }
    if !policy.while_waiting && !last.lineage().handled {
        let execution = last.arn.clone();
        return Some(Suppressed::NotJudged { execution });
    }
    let rhythm = cause.trigger() == Trigger::Schedule && last.lineage().trigger == Trigger::Schedule;
    if let Some(asked) = last.data_until().filter(|_| !rhythm) {
        let failures = match cause {
            Cause::Schedule { .. } => 0,
            Cause::Data { .. } | Cause::Drift { .. } => failures_in_a_row(executions),
        };
        let (since, cooldown) = (now.duration_since(asked), stretched(policy.cooldown, failures));
        if since < cooldown {
            return Some(Suppressed::CoolingDown {
                since,
                cooldown,
                failures,
            });
        }
    }
    None
}

fn failures_in_a_row(executions: &[Execution]) -> u32 {
    let failed = executions.iter().take_while(|execution| !execution.has_learnt());
    u32::try_from(failed.count()).unwrap_or(u32::MAX)
}

fn stretched(cooldown: SignedDuration, failures: u32) -> SignedDuration {
    if failures == 0 {
        return cooldown;
    }
    let factor = 1_i32.checked_shl(failures.min(16)).unwrap_or(i32::MAX);
    let base = cooldown.max(COOLDOWN_STRETCHED_MIN);
    base.saturating_mul(factor).min(base.max(COOLDOWN_STRETCHED_MAX))
}

fn plan(cause: &Cause, executions: &[Execution]) -> Plan {
    let trigger = cause.trigger();
    let mut lineage = Lineage::of(trigger);
    // The last push that got as far as training: a green build. What was trained since passes it on.
    let built = executions.iter().map(Execution::lineage);
    if let Some(built) = built.into_iter().find(|lineage| lineage.commit.is_some()) {
        lineage.commit = built.commit;
        lineage.author = built.author;
        lineage.message = built.message;
        lineage.data = built.data;
        lineage.version = built.version;
    }
    lineage.window = Some(Window {
        from: new_since(executions),
        until: cause.time(),
    });
    lineage.evidence = cause.evidence();
    let last = executions.first().map_or("", |last| last.arn.as_str());
    Plan {
        token: digest(&[b"retrain after", last.as_bytes()]),
        display_name: format!("{}-{}", trigger.as_str(), cause.time().as_second()),
        lineage,
    }
}

#[cfg(test)]
mod tests;
