//! A shorter schedule that still breaks the same law.
//!
//! Zeller and Hildebrandt's delta debugging: halves of the deviations are left out, then quarters, until none of what is left can be
//! missed. What is left out changes what comes after it, which is no matter: whatever schedule fails is one that fails.

use std::collections::BTreeSet;

use crate::run::{Options, Report, run};
use crate::schedule::Schedule;

/// What was found.
#[derive(Debug)]
pub struct Shrunk {
    /// The schedule.
    pub schedule: Schedule,
    /// Its run, with the timeline.
    pub report: Report,
    /// How many runs it took.
    pub tries: u32,
}

/// Looks for a shorter schedule than that of a report, in so many runs at most. `progress` is told of each: the number of deviations
/// that are left, and of runs.
#[must_use]
pub fn shrink(report: &Report, options: &Options, tries_max: u32, mut progress: impl FnMut(usize, u32)) -> Shrunk {
    let law = report.violation.as_ref().map(|(_, violation)| violation.law);
    let breaks = |names: &[String]| {
        let schedule = Schedule {
            seed: report.seed,
            only: Some(names.iter().cloned().collect()),
        };
        let ran = run(&schedule, options);
        let broken = ran.violation.as_ref().map(|(_, violation)| violation.law);
        (broken == law).then_some(ran)
    };
    let mut names = report.names.clone();
    let mut tries = 0;
    let mut parts = 2;
    while names.len() > 1 && tries < tries_max {
        let size = names.len().div_ceil(parts);
        let mut left_out = None;
        for from in (0..names.len()).step_by(size) {
            if tries >= tries_max {
                break;
            }
            let kept: Vec<String> = names
                .iter()
                .enumerate()
                .filter(|(at, _)| *at < from || *at >= from + size)
                .map(|(_, name)| name.clone())
                .collect();
            tries += 1;
            progress(names.len(), tries);
            if let Some(ran) = breaks(&kept) {
                // What did not happen in the shorter run is not part of its schedule.
                let happened: BTreeSet<&String> = ran.names.iter().collect();
                left_out = Some(
                    kept.into_iter()
                        .filter(|name| happened.contains(name))
                        .collect::<Vec<_>>(),
                );
                break;
            }
        }
        match left_out {
            Some(shorter) => {
                names = shorter;
                parts = parts.saturating_sub(1).max(2);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(names.len()),
        }
    }
    let schedule = Schedule {
        seed: report.seed,
        only: Some(names.into_iter().collect()),
    };
    let options = Options {
        timeline: true,
        ..options.clone()
    };
    Shrunk {
        report: run(&schedule, &options),
        schedule,
        tries,
    }
}
