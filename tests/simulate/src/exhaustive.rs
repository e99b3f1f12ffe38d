//! One thing that goes wrong, everywhere.
//!
//! A story is told once without a fault, and its calls and events are counted. Then it is told again for each of them and each way in
//! which it can go wrong, and has to come to the same end. The points at which a function waits, and so those at which it can end in the
//! middle, are its calls: it has no others, but for the pauses before the SDK tries again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use tests::candidate::Candidate;

use crate::faults::{Deviation, Fault};
use crate::laws::End;
use crate::load::{Act, Planned};
use crate::run::{Report, Story, tell};

/// What happens to every call.
const CALLS: [Fault; 7] = [
    Fault::KilledBefore,
    Fault::KilledAfter,
    Fault::Throttled,
    Fault::Unavailable,
    Fault::FailedAfter,
    Fault::TimedOutBefore,
    Fault::TimedOutAfter,
];

/// A case that did not come out right.
#[derive(Debug)]
pub struct Wrong {
    /// What went wrong in it.
    pub deviation: Deviation,
    /// What it came to.
    pub report: Report,
}

/// Everything that was tried.
#[derive(Debug)]
pub struct Exhausted {
    /// How many cases there are.
    pub cases: usize,
    /// What all of them should come to.
    pub clean: Option<End>,
    /// Those that did not come out right.
    pub wrong: Vec<Wrong>,
}

fn push(number: u64, after_seconds: i64, accuracy: f64) -> Planned {
    let act = Act::Push(Box::new(Candidate::of_accuracy(accuracy)));
    Planned {
        name: format!("push {number}"),
        after: SignedDuration::from_secs(after_seconds),
        act,
    }
}

fn parameters() -> Vec<(&'static str, &'static str)> {
    vec![
        ("RolloutWaitSeconds", "120"),
        ("ReminderMinutes", "0"),
        ("DataCheckSchedule", "rate(1 hour)"),
    ]
}

/// One release, approved and brought out as a canary over another one.
#[must_use]
pub fn one_release() -> Story {
    Story {
        parameters: parameters(),
        planned: vec![push(1, 60, 0.90), push(2, 3_600, 0.95)],
    }
}

/// Two releases at the same time, neither of which knows of the other.
#[must_use]
pub fn two_releases() -> Story {
    let mut parameters = parameters();
    // Each is to be brought out, not to make way for the other.
    parameters.push(("SupersedeWaiting", "false"));
    Story {
        parameters,
        planned: vec![push(1, 60, 0.90), push(2, 3_600, 0.93), push(3, 3_601, 0.96)],
    }
}

/// The cases of one release: whatever can befall one call or one event.
#[must_use]
pub fn cases_of_one() -> Vec<Deviation> {
    let (_, script) = tell(&one_release(), None, false);
    let calls = (0..script.calls.len()).flat_map(|number| {
        CALLS.map(|fault| Deviation {
            number,
            fault,
            by: Duration::ZERO,
        })
    });
    let events = script.events.iter().enumerate().flat_map(|(number, kind)| {
        let of = |fault, seconds| Deviation {
            number,
            fault,
            by: Duration::from_secs(seconds),
        };
        // Of a job, which Lambda has taken, no event is lost; and CodePipeline gives it up after 20 minutes.
        let job = *kind == "job";
        let lost = (!job).then(|| of(Fault::Lost, 0));
        let late = if job { 600 } else { 1_200 };
        let others = [
            of(Fault::Doubled, 0),
            of(Fault::Doubled, 1_200),
            of(Fault::Delayed, late),
        ];
        lost.into_iter().chain(others)
    });
    calls.chain(events).collect()
}

/// The longest that a call is held back: the SDK gives it up after five seconds.
const HELD_MAX: Duration = Duration::from_millis(4_900);

/// The interleavings of two releases in which one function is held back once: at each of its calls, until each call of another one that
/// is made before the SDK gives it up.
#[must_use]
pub fn cases_of_two() -> Vec<Deviation> {
    let (_, script) = tell(&two_releases(), None, false);
    let mut cases = Vec::new();
    for (number, (made, run)) in script.calls.iter().enumerate() {
        let later = script.calls.iter().skip(number + 1);
        let mut held_until = None;
        for (other_made, other) in later {
            let Ok(wait) = Duration::try_from(other_made.duration_since(*made)) else {
                continue;
            };
            if wait > HELD_MAX {
                break;
            }
            // Two calls at the same moment are one moment to be held until.
            if other == run || held_until == Some(wait) {
                continue;
            }
            held_until = Some(wait);
            cases.push(Deviation {
                number,
                fault: Fault::Slow,
                // Behind the other call's effect.
                by: wait + Duration::from_millis(30),
            });
        }
    }
    cases
}

/// Tells the story with each of the cases, on so many threads. `progress` is told of each.
#[must_use]
pub fn exhaust(story: &Story, cases: &[Deviation], threads: usize, progress: impl Fn() + Sync) -> Exhausted {
    let clean = tell(story, None, false).0.end;
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(deviation) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = tell(story, Some(*deviation), false).0;
                    if report.violation.is_some() || report.end != clean {
                        let deviation = *deviation;
                        wrong
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(Wrong { deviation, report });
                    }
                    progress();
                }
            });
        }
    });
    Exhausted {
        cases: cases.len(),
        clean,
        wrong: wrong.into_inner().unwrap_or_else(PoisonError::into_inner),
    }
}
