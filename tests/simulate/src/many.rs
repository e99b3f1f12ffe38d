//! Many seeds, side by side.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::faults::Point;
use crate::run::{Options, Report, run};
use crate::schedule::Schedule;

/// What came of many seeds.
#[derive(Debug, Default, Clone)]
pub struct Sum {
    /// How many were run.
    pub seeds: u64,
    /// Releases that ended, by how.
    pub outcomes: BTreeMap<String, u64>,
    /// The places where faults struck, and how often.
    pub points: BTreeMap<Point, u64>,
    /// Calls that the functions made.
    pub calls: u64,
    /// Runs of functions.
    pub runs: u64,
    /// Steps after which the laws were asked.
    pub steps: u64,
    /// Seeds that broke a law, in the order in which they were found.
    pub broken: Vec<Report>,
    /// How long all of the threads together were at it.
    pub busy: Duration,
}

impl Sum {
    /// Releases in all.
    #[must_use]
    pub fn releases(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// Faults in all.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.points.values().sum()
    }

    /// Releases a second and core.
    #[must_use]
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let releases = self.releases() as f64;
        releases / self.busy.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn add(&mut self, report: Report) {
        self.seeds += 1;
        for (outcome, count) in &report.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
        for (point, count) in &report.tally.points {
            *self.points.entry(point.clone()).or_default() += count;
        }
        self.calls += report.tally.calls;
        self.runs += report.tally.runs;
        self.steps += report.steps;
        if report.violation.is_some() {
            self.broken.push(report);
        }
    }
}

/// Runs `count` seeds from `first` on, on so many threads. Stops early where `broken_max` seeds have broken a law. `progress` is told
/// of the sum so far, about once a second.
#[must_use]
pub fn many(
    first: u64,
    count: u64,
    threads: usize,
    broken_max: usize,
    options: &Options,
    mut progress: impl FnMut(&Sum),
) -> Sum {
    let (next, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let sum = Mutex::new(Sum::default());
    let working = AtomicU64::new(threads as u64);
    let locked = || sum.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let begin = Instant::now();
                    let report = run(&Schedule::of(first + number), options);
                    let mut sum = locked();
                    sum.busy += begin.elapsed();
                    sum.add(report);
                    if sum.broken.len() >= broken_max {
                        done.store(true, Ordering::Relaxed);
                    }
                }
                working.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut told = Instant::now();
        while working.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(Duration::from_millis(20));
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                progress(&locked());
            }
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}
