//! The tables that close the demo.

use std::collections::BTreeMap;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table};

use super::report::{Calls, Release};

/// The width of the tables where it is not known how wide the terminal is, in characters.
const COLUMNS: u16 = 120;
/// The narrowest and the widest table on a terminal.
const COLUMNS_RANGE: (u16, u16) = (100, 160);
/// How many operations the table of calls names for one function.
const OPERATIONS_MAX: usize = 4;

/// The releases, one a row; the reasons are wrapped.
#[must_use]
pub(super) fn releases(releases: &[Release], columns: Option<u16>) -> String {
    let header = [
        "version", "trigger", "accuracy", "decision", "strategy", "outcome", "reason", "served", "failed", "calls",
        "seconds",
    ];
    let mut table = empty(&header, 6, columns);
    for release in releases {
        table.add_row([
            Cell::new(release.version.map_or_else(dash, |version| format!("v{version}"))),
            Cell::new(&release.trigger),
            number(
                release
                    .metrics
                    .get("accuracy")
                    .map_or_else(dash, |accuracy| format!("{accuracy:.4}")),
            ),
            Cell::new(release.decision.map_or("-", |decision| decision.as_str())),
            Cell::new(release.strategy.as_deref().unwrap_or("-")),
            Cell::new(release.outcome.as_str()),
            Cell::new(&release.reason),
            number(release.traffic.served.to_string()),
            number(release.traffic.failed.to_string()),
            number(release.calls_made().to_string()),
            number(format!("{:.1}", release.seconds)),
        ]);
    }
    table.trim_fmt()
}

/// The calls of all releases by function, the most frequent operations named.
#[must_use]
pub(super) fn calls(releases: &[Release], columns: Option<u16>) -> String {
    let (mut calls, mut invocations) = (Calls::new(), BTreeMap::<&str, u64>::new());
    for release in releases {
        for (function, count) in &release.invocations {
            *invocations.entry(function).or_default() += count;
            calls.entry(function.clone()).or_default();
        }
        for (function, operations) in &release.calls {
            let sums = calls.entry(function.clone()).or_default();
            for (operation, count) in operations {
                *sums.entry(operation.clone()).or_default() += count;
            }
        }
    }
    let mut table = empty(&["function", "invoked", "AWS calls", "most of them"], 3, columns);
    for (function, operations) in &calls {
        let mut often: Vec<_> = operations.iter().collect();
        // Stable: operations called as often stay in the order of their names.
        often.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let named: Vec<String> = often
            .iter()
            .take(OPERATIONS_MAX)
            .map(|(operation, count)| format!("{operation} {count}"))
            .collect();
        table.add_row([
            Cell::new(function),
            number(
                invocations
                    .get(function.as_str())
                    .copied()
                    .unwrap_or_default()
                    .to_string(),
            ),
            number(operations.values().sum::<u64>().to_string()),
            Cell::new(named.join(", ")),
        ]);
    }
    table.trim_fmt()
}

/// The closing line: how many stops held, and which did not.
#[must_use]
pub(super) fn verdict(stops: &[super::report::Stop]) -> String {
    let broken: Vec<&str> = stops
        .iter()
        .filter(|stop| !stop.held)
        .map(|stop| stop.name.as_str())
        .collect();
    let held = stops.len() - broken.len();
    if broken.is_empty() {
        format!("{held} of {} stops held", stops.len())
    } else {
        format!("{held} of {} stops held; not: {}", stops.len(), broken.join("; "))
    }
}

fn empty(header: &[&str], sentences: usize, columns: Option<u16>) -> Table {
    let mut table = Table::new();
    let width = columns.map_or(COLUMNS, |columns| columns.clamp(COLUMNS_RANGE.0, COLUMNS_RANGE.1));
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(header.to_vec());
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
        // Sentences are wrapped to what is left; words and numbers are not broken.
        if column.index != sentences {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

fn number(text: impl Into<String>) -> Cell {
    Cell::new(text.into()).set_alignment(CellAlignment::Right)
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::report::{Stop, tests::sample};
    use super::*;

    #[test]
    fn tables() {
        let report = sample();
        let text = format!(
            "{}\n\n{}",
            releases(&report.releases, None),
            calls(&report.releases, None)
        );
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(COLUMNS), "{line}");
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_verdict_names_what_did_not_hold() {
        let stop = |name: &str, held| Stop {
            name: name.to_owned(),
            held,
        };
        for (stops, expected) in [
            (vec![stop("a", true), stop("b", true)], "2 of 2 stops held"),
            (
                vec![stop("a", true), stop("b", false), stop("c", false)],
                "1 of 3 stops held; not: b; c",
            ),
        ] {
            assert_eq!(verdict(&stops), expected);
        }
    }
}
