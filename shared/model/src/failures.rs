//! Trainings that end without a version, again and again: whether people are told of each.
//!
//! What fails by schedule fails on until somebody mends it. The first failure is told at once; those after it are counted, and told of
//! together, at most once a day. A push is somebody's own doing, and told of each time.

use jiff::{SignedDuration, Timestamp};

use crate::lineage::{Lineage, Told};
use crate::training::Execution;

/// How long after a notice the next failures in the same row are only counted.
const QUIET: SignedDuration = SignedDuration::from_hours(24);

/// Trainings in a row that nobody pushed, each of which ended without a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// How many, the last one included: two or more.
    pub count: usize,
    /// How many of them nobody was told of before.
    pub untold: usize,
    /// When the first of them was asked for, where that is known.
    pub since: Option<Timestamp>,
}

/// Whether to tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Tell, and of the row that it ends, where it is not alone.
    Notice(Option<Row>),
    /// Only count it.
    Count,
}

impl Telling {
    /// What is noted of it.
    #[must_use]
    pub fn told(&self) -> Told {
        match self {
            Self::Notice(_) => Told::Notice,
            Self::Count => Told::Counted,
        }
    }
}

/// Decides for one execution that has ended without a version, from the pipeline's executions, newest first.
#[must_use]
pub fn decide(execution: &Execution, executions: &[Execution]) -> Telling {
    if !execution.lineage().trigger.is_automatic() {
        return Telling::Notice(None);
    }
    let after = executions.iter().position(|other| other.arn == execution.arn);
    let before = executions.iter().skip(after.map_or(0, |after| after + 1));
    let mut row = Row {
        count: 1,
        untold: 1,
        since: execution.data_until(),
    };
    let mut told_at = None;
    for (other, lineage) in before.map(|other| (other, other.lineage())) {
        match ended(&lineage) {
            // A version: whatever failed before that is another story.
            Some(None) => break,
            Some(Some(told)) if lineage.trigger.is_automatic() => {
                row.count += 1;
                row.since = other.data_until();
                if told_at.is_none() {
                    match told {
                        Told::Notice => told_at = other.data_until(),
                        Told::Counted => row.untold += 1,
                    }
                }
            }
            // Somebody's own, or not dealt with yet.
            Some(Some(_)) | None => {}
        }
    }
    let quiet = told_at.zip(execution.data_until());
    if quiet.is_some_and(|(told, asked)| asked.duration_since(told) < QUIET) {
        return Telling::Count;
    }
    Telling::Notice(Some(row).filter(|row| row.count > 1))
}

/// What was noted of an execution that was dealt with: nothing told where it has brought a version.
fn ended(lineage: &Lineage) -> Option<Option<Told>> {
    lineage.handled.then_some(lineage.told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::{Trigger, Window};
    use crate::training::Status;

    fn time(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    /// One that was dealt with: nothing told where it brought a version.
    fn execution(trigger: Trigger, hours: i64, told: Option<Told>) -> Execution {
        let mut lineage = Lineage::of(trigger);
        (lineage.handled, lineage.told) = (true, told);
        lineage.window = Some(Window {
            from: None,
            until: time(hours),
        });
        Execution {
            arn: format!("{trigger:?}-{hours}"),
            status: if told.is_some() {
                Status::Failed
            } else {
                Status::Succeeded
            },
            description: Some(lineage.to_description()),
            started_at: Some(time(hours)),
            failure_reason: None,
        }
    }

    #[test]
    fn the_first_is_told_and_then_once_a_day_with_a_count() {
        use Trigger::{Data, Push, Schedule};
        let (notice, counted) = (Some(Told::Notice), Some(Told::Counted));
        let row = |count, untold, since| {
            let since = Some(time(since));
            Telling::Notice(Some(Row { count, untold, since }))
        };
        for (trigger, before, expected) in [
            // At 100 hours; those before it, newest first.
            (Schedule, vec![], Telling::Notice(None)),
            (Schedule, vec![(Schedule, 50, None)], Telling::Notice(None)),
            (Schedule, vec![(Schedule, 99, notice)], Telling::Count),
            (Data, vec![(Schedule, 77, notice)], Telling::Count),
            (Schedule, vec![(Schedule, 76, notice)], row(2, 1, 76)),
            (
                Schedule,
                vec![(Schedule, 99, counted), (Data, 98, counted), (Schedule, 97, notice)],
                Telling::Count,
            ),
            (
                Schedule,
                vec![
                    (Schedule, 99, counted),
                    (Data, 80, counted),
                    (Schedule, 70, notice),
                    (Schedule, 60, notice),
                ],
                row(5, 3, 60),
            ),
            // A version ends the row, and so a push that brought one; a push that failed does not.
            (
                Schedule,
                vec![(Schedule, 90, None), (Schedule, 80, notice)],
                Telling::Notice(None),
            ),
            (
                Schedule,
                vec![(Push, 90, None), (Schedule, 89, notice)],
                Telling::Notice(None),
            ),
            (
                Schedule,
                vec![(Push, 90, notice), (Schedule, 89, notice)],
                Telling::Count,
            ),
            // Nor is it of the row, whatever was told of it.
            (Schedule, vec![(Push, 99, notice)], Telling::Notice(None)),
            (
                Schedule,
                vec![(Push, 99, notice), (Schedule, 70, notice)],
                row(2, 1, 70),
            ),
            // Pushes are told each time.
            (
                Push,
                vec![(Push, 99, notice), (Schedule, 98, notice)],
                Telling::Notice(None),
            ),
        ] {
            let this = execution(trigger, 100, None);
            let mut executions = vec![this.clone()];
            executions.extend(
                before
                    .iter()
                    .map(|(trigger, hours, told)| execution(*trigger, *hours, *told)),
            );
            assert_eq!(decide(&this, &executions), expected, "{trigger:?} {before:?}");
            // Newer ones are of no account, and one that the list has lost is the newest.
            executions.insert(0, execution(Schedule, 101, notice));
            assert_eq!(decide(&this, &executions), expected);
            let lost: Vec<_> = executions.split_off(2);
            assert_eq!(decide(&this, &lost), expected);
        }
    }

    #[test]
    fn what_is_not_dealt_with_yet_counts_for_nothing() {
        let mut running = execution(Trigger::Schedule, 99, Some(Told::Notice));
        running.description = Some(Lineage::of(Trigger::Schedule).to_description());
        let this = execution(Trigger::Schedule, 100, None);
        assert_eq!(decide(&this, &[this.clone(), running]), Telling::Notice(None));
    }
}
