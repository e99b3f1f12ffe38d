//! What people and the world do to the train: the stack's parameters, and what is pushed, dropped, measured and asked for when.

use jiff::SignedDuration;
use tests::candidate::Candidate;

use crate::schedule::{Dice, Schedule};

/// Something that is done to the train.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A push to the released branch.
    Push(Box<Candidate>),
    /// A push to another one.
    PushAside(Box<Candidate>),
    /// New training data: so many objects.
    Data(u64),
    /// The alarm on drift fires; it is calm again after that long.
    Drift(SignedDuration),
    /// The endpoint's alarm fires without a reason; it is calm again after that long.
    FalseAlarm(SignedDuration),
    /// An operator has the serving version taken back, by the command line.
    TakeBack,
    /// Somebody changes a version in the registry that nobody asks about: the one that is so many before the newest.
    Registry {
        /// How many versions back.
        back: u32,
        /// Approved, or rejected.
        approves: bool,
    },
    /// A notebook starts the model's pipeline.
    Notebook,
}

impl Act {
    /// What it is, in a line.
    #[must_use]
    pub fn told(&self) -> String {
        let candidate = |candidate: &Candidate| {
            let mut told = format!("{}", accuracy_of(candidate).unwrap_or_default());
            for (is, word) in [
                (!candidate.tests_pass, ", its tests fail"),
                (!candidate.trains, ", its training fails"),
                (!candidate.starts, ", its server does not start"),
                (candidate.error_rate > 0.0, ", its server fails"),
            ] {
                if is {
                    told.push_str(word);
                }
            }
            if candidate.error_rate > 0.0 && candidate.well_seconds > 0 {
                told.push_str(&format!(" after {} s", candidate.well_seconds));
            }
            told
        };
        match self {
            Self::Push(pushed) => format!("push of accuracy {}", candidate(pushed)),
            Self::PushAside(pushed) => format!("push to another branch, of accuracy {}", candidate(pushed)),
            Self::Data(objects) => format!("{objects} new objects of data"),
            Self::Drift(lasts) => format!("drift for {} s", lasts.as_secs()),
            Self::FalseAlarm(lasts) => format!("a false alarm for {} s", lasts.as_secs()),
            Self::TakeBack => "an operator takes the serving version back".to_owned(),
            Self::Registry { back, approves } => {
                let does = if *approves { "approves" } else { "rejects" };
                format!("somebody {does} in the registry what is {back} before the newest version")
            }
            Self::Notebook => "a notebook starts the pipeline".to_owned(),
        }
    }
}

/// The accuracy that a candidate's evaluation reports.
#[must_use]
pub fn accuracy_of(candidate: &Candidate) -> Option<f64> {
    let report: serde_json::Value = serde_json::from_str(&candidate.report).ok()?;
    report.pointer("/metrics/accuracy")?.as_f64()
}

/// An act and when it is done, from the beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Its name in schedules.
    pub name: String,
    /// After how long.
    pub after: SignedDuration,
    /// What.
    pub act: Act,
}

/// How many different stacks there are: reading the template takes longer than a release does.
pub const STACKS: u64 = 48;

/// The parameters of one of the stacks. The first ones are the local defaults with each strategy.
#[must_use]
pub fn parameters(stack: u64) -> Vec<(&'static str, &'static str)> {
    let mut dice = Dice::of(stack, "stack");
    let strategies = ["canary", "linear", "rolling", "blue-green", "all-at-once"];
    let strategy = usize::try_from(stack)
        .ok()
        .and_then(|stack| strategies.get(stack % strategies.len()).copied());
    vec![
        ("RolloutStrategy", strategy.unwrap_or("canary")),
        (
            "ApprovalMode",
            dice.of_these("manual", &["manual", "manual", "manual", "manual", "automatic"]),
        ),
        ("ApprovalsNeeded", dice.of_these("1", &["1", "1", "2"])),
        ("ApprovalTimeoutMinutes", dice.of_these("60", &["45", "120"])),
        ("ReminderMinutes", dice.of_these("0", &["15", "30"])),
        ("SupersedeWaiting", dice.of_these("true", &["true", "false"])),
        ("RetrainWhileWaiting", dice.of_these("false", &["true"])),
        ("CooldownMinutes", dice.of_these("5", &["30"])),
        ("GuardMinutes", dice.of_these("60", &["30", "120"])),
        ("KeepPrevious", dice.of_these("3", &["1", "2"])),
        ("HandleOneAtATime", dice.of_these("true", &["true", "true", "false"])),
        ("DataCheckSchedule", "rate(15 minutes)"),
        ("DataThresholdObjects", dice.of_these("3", &["10"])),
        (
            "RetrainSchedule",
            dice.of_these("cron(0 3 ? * SUN *)", &["rate(3 hours)"]),
        ),
        ("ProgressNotices", dice.of_these("each-shift", &["ends"])),
        ("RolloutWaitSeconds", dice.of_these("300", &["120"])),
    ]
}

/// The parameters of a seed's stack, by its number.
#[must_use]
pub fn stack(schedule: &Schedule) -> u64 {
    schedule.dice("stack").between(0, STACKS)
}

/// What happens in a seed, in order.
#[must_use]
pub fn plan(schedule: &Schedule) -> Vec<Planned> {
    let mut dice = schedule.dice("plan");
    let count = dice.between(8, 32);
    // Some seeds are a crowd, some have each train arrive before the next one leaves.
    let apart = dice.of_these(180, &[60, 420, 900]);
    let mut after = 0;
    let mut planned = Vec::new();
    for number in 1..=count {
        let mut dice = schedule.dice(&format!("act {number}"));
        after += dice.between(1, 2 * apart);
        let act = act(&mut dice, number, count);
        planned.push(Planned {
            name: format!("act {number}: {}", act.told()),
            after: seconds(after),
            act,
        });
    }
    planned.retain(|planned| schedule.has(&planned.name));
    planned
}

fn act(dice: &mut Dice, number: u64, count: u64) -> Act {
    let drawn = dice.between(0, 100);
    match drawn {
        // Something has to be released before anything else makes sense.
        _ if number == 1 => Act::Push(Box::new(candidate(dice, number, count))),
        0..56 => Act::Push(Box::new(candidate(dice, number, count))),
        56..61 => Act::PushAside(Box::new(candidate(dice, number, count))),
        61..69 => Act::Data(dice.between(1, 12)),
        69..75 => Act::Drift(seconds(dice.between(60, 3_600))),
        75..81 => Act::FalseAlarm(seconds(dice.between(10, 1_200))),
        81..87 => Act::TakeBack,
        87..95 => Act::Registry {
            back: u32::try_from(dice.between(0, 4)).unwrap_or(0),
            approves: dice.chance(0.5),
        },
        _ => Act::Notebook,
    }
}

/// Candidates become better as time goes on, not each of them, and some are bad in their own way.
fn candidate(dice: &mut Dice, number: u64, count: u64) -> Candidate {
    // In hundred-thousandths, so that no two are the same by chance.
    let progress = 11_000 * number / count;
    let accuracy = 83_000 + progress + dice.between(0, 5_000);
    #[expect(clippy::cast_precision_loss, reason = "a number of five digits")]
    let mut candidate = Candidate::of_accuracy(accuracy as f64 / 100_000.0);
    match dice.between(0, 100) {
        0..5 => candidate.tests_pass = false,
        5..9 => candidate.trains = false,
        9..13 => candidate.starts = false,
        13..21 => candidate.error_rate = 0.6,
        21..27 => {
            candidate.error_rate = 0.6;
            candidate.well_seconds = u32::try_from(dice.between(60, 7_200)).unwrap_or(60);
        }
        _ => {}
    }
    candidate
}

/// So many seconds, of those that a dice gives.
#[must_use]
pub fn seconds(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}
