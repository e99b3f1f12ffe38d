//! The chart of a rollout: the share of the traffic on the new version over time, and the requests below it.
//!
//! It needs no colour and only characters that every monospace font has.

use super::strategy::{Step, duration, in_words};

/// The characters before the plot.
const MARGIN: usize = 12;
/// The rows of the band of the share.
const ROWS: u32 = 4;
/// The width where it is not known how wide the terminal is, in characters.
const COLUMNS: usize = 80;
/// The narrowest and the widest chart, in characters.
const COLUMNS_RANGE: (usize, usize) = (60, 100);
/// The least distance of two marks of the time axis, in characters.
const TICK_MIN: f64 = 7.0;
/// How many requests a rate is made of, usually.
const REQUESTS_MIN: f64 = 10.0;
/// What the time axis may count by, in minutes.
const TICKS: [f64; 11] = [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 240.0];
/// A part of a character, in eighths.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What happened to the traffic while a version came to the endpoint. Times are virtual seconds since the update began.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rollout {
    pub(crate) version: u64,
    pub(crate) strategy: String,
    /// How long it is shown.
    pub(crate) seconds: f64,
    /// From when on the version took which share of the traffic.
    pub(crate) shares: Vec<(f64, f64)>,
    /// The requests until then that were served and that failed, counted from any beginning.
    pub(crate) requests: Vec<(f64, u64, u64)>,
    /// What else happened.
    pub(crate) marks: Vec<(f64, String)>,
}

/// Requests per second up to a time, from the one before.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    until: f64,
    served: f64,
    failed: f64,
}

impl Rollout {
    /// In one line, with numbers: `v2 canary: 25 % for 5 min, then 100 %; 487 requests, 0 failed`.
    pub(crate) fn legend(&self) -> String {
        let ends = self.shares.iter().skip(1).map(|(time, _)| *time).chain([self.seconds]);
        let steps = self.shares.iter().zip(ends);
        let mut steps: Vec<Step> = steps
            .map(|((begins, share), ends)| Step {
                share: *share,
                seconds: ends - begins,
            })
            .collect();
        let taken_back = steps.last().is_some_and(|last| last.share <= 0.0);
        if taken_back {
            steps.pop();
        }
        let mut words = in_words(&steps);
        if let Some(last) = steps.last().filter(|_| taken_back) {
            let length = duration(last.seconds);
            words = match words.strip_suffix(" at once") {
                Some(share) => format!("{share} for {length}, then rolled back"),
                None => format!("{words} for {length}, then rolled back"),
            };
        }
        let (served, failed) = self.counted();
        format!(
            "v{} {}: {words}; {} requests, {} failed",
            self.version,
            self.strategy,
            grouped(served + failed),
            grouped(failed)
        )
    }

    /// All requests that are shown: served and failed.
    fn counted(&self) -> (u64, u64) {
        let (served, failed) = self.requests_between(0.0, self.seconds);
        (served.round() as u64, failed.round() as u64)
    }

    /// The requests between two times, those between two counts evenly spread.
    fn requests_between(&self, from: f64, to: f64) -> (f64, f64) {
        let ((served, failed), (served_later, failed_later)) = (self.requests_at(from), self.requests_at(to));
        (served_later - served, failed_later - failed)
    }

    fn requests_at(&self, time: f64) -> (f64, f64) {
        let next = self.requests.partition_point(|(counted, _, _)| *counted <= time);
        let before = next.checked_sub(1).and_then(|place| self.requests.get(place));
        match (before, self.requests.get(next)) {
            (None, None) => (0.0, 0.0),
            (Some((_, served, failed)), None) | (None, Some((_, served, failed))) => (*served as f64, *failed as f64),
            (Some((from, served, failed)), Some((to, served_later, failed_later))) => {
                let part = (time - from) / (to - from).max(f64::EPSILON);
                let between = |before: u64, after: u64| before as f64 + (after as f64 - before as f64) * part;
                (between(*served, *served_later), between(*failed, *failed_later))
            }
        }
    }

    /// The requests per second. A column's time is too short to count in: each rate is of some columns, but never of times with
    /// different shares, so that it can be seen which share failed.
    fn rates(&self, column: f64) -> Vec<Rate> {
        let (served, failed) = self.requests_between(0.0, self.seconds);
        let enough = self.seconds * REQUESTS_MIN / (served + failed).max(1.0);
        let usual = enough.max(column);
        let (mut from, mut before, mut rates) = (0.0, self.requests_at(0.0), Vec::new());
        let ends = self.shares.iter().map(|(time, _)| *time).chain([self.seconds]);
        for end in ends.filter(|end| *end <= self.seconds) {
            let parts = ((end - from) / usual).round().max(1.0);
            let each = (end - from) / parts;
            for part in 1..=parts as u32 {
                let mut after = self.requests_at(from + each);
                if part == parts as u32 {
                    after.1 = self.failed_until_change(end).unwrap_or(after.1);
                }
                let since = |after: f64, before: f64| {
                    if each > 0.0 {
                        (after - before).max(0.0) / each
                    } else {
                        0.0
                    }
                };
                rates.push(Rate {
                    until: from + each,
                    served: since(after.0, before.0),
                    failed: since(after.1, before.1),
                });
                (from, before) = (from + each, after);
            }
        }
        rates
    }

    /// The requests that failed until the share changed. They were counted a little before and a little after it; those between failed
    /// on the side where the new version had more.
    fn failed_until_change(&self, time: f64) -> Option<f64> {
        let change = self.shares.iter().position(|(changed, _)| *changed == time)?;
        let share = |place: Option<usize>| {
            place
                .and_then(|place| self.shares.get(place))
                .map_or(0.0, |(_, share)| *share)
        };
        let falls = share(Some(change)) < share(change.checked_sub(1));
        let next = self.requests.partition_point(|(counted, _, _)| *counted <= time);
        let place = if falls { next } else { next.saturating_sub(1) };
        let counted = self.requests.get(place).or(self.requests.last());
        counted.map(|(_, _, failed)| *failed as f64)
    }

    /// The largest share from a time until another, so that what was short is seen too.
    fn share_between(&self, from: f64, to: f64) -> f64 {
        let before = self.shares.iter().take_while(|(time, _)| *time <= from).last();
        let between = self.shares.iter().filter(|(time, _)| *time > from && *time < to);
        before
            .into_iter()
            .chain(between)
            .map(|(_, share)| *share)
            .fold(0.0, f64::max)
    }
}

/// The width that there is: what the shell says, or else the terminal.
pub(crate) fn columns() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.or_else(|| comfy_table::Table::new().width().map(usize::from))
        .unwrap_or(COLUMNS)
}

/// The chart in lines of at most so many characters, the legend above it.
pub(crate) fn render(rollout: &Rollout, columns: usize) -> String {
    let plot = columns.clamp(COLUMNS_RANGE.0, COLUMNS_RANGE.1) - MARGIN;
    let width = rollout.seconds.max(1.0) / plot as f64;
    let times: Vec<(f64, f64)> = (0..plot)
        .map(|column| (column as f64 * width, (column + 1) as f64 * width))
        .collect();

    let mut lines = vec![rollout.legend()];
    let shares: Vec<f64> = times
        .iter()
        .map(|(from, to)| rollout.share_between(*from, *to))
        .collect();
    for row in (0..ROWS).rev() {
        let rows = f64::from(ROWS);
        let name = if row + 1 == ROWS {
            format!("v{}", rollout.version)
        } else {
            String::new()
        };
        let percent = f64::from(row + 1) * 100.0 / rows;
        let cells = shares.iter().map(|share| block(share * rows - f64::from(row), false));
        lines.push(line(&format!("{name:<5}{percent:>3.0} %"), cells));
    }
    let rates = rollout.rates(width);
    let most = rates.iter().map(|rate| rate.served + rate.failed).fold(0.0, f64::max);
    for (name, of) in [
        ("served", (|rate| rate.served) as fn(&Rate) -> f64),
        ("failed", |rate| rate.failed),
    ] {
        let cells = times.iter().map(|(from, to)| {
            let rate = rates.iter().find(|rate| rate.until > f64::midpoint(*from, *to));
            block(rate.map_or(0.0, of) / most.max(f64::MIN_POSITIVE), true)
        });
        lines.push(line(name, cells));
    }
    lines.extend(axis(plot, width));
    lines.extend(marks(rollout, plot, width));
    lines.join("\n")
}

/// A row of the chart.
fn line(name: &str, cells: impl Iterator<Item = char>) -> String {
    let cells: String = cells.collect();
    format!("{name:>10} │{cells}").trim_end().to_owned()
}

/// A character that is filled so far from below. What is little is nothing, or, `shown`, at least something.
fn block(part: f64, shown: bool) -> char {
    let eighths = (part.clamp(0.0, 1.0) * 8.0).round() as usize;
    let least = usize::from(shown && part > 0.001);
    EIGHTHS.get(eighths.max(least)).copied().unwrap_or('█')
}

/// The time axis and its numbers, in minutes.
fn axis(plot: usize, width: f64) -> [String; 2] {
    let wide_enough = |minutes: &&f64| **minutes * 60.0 / width >= TICK_MIN;
    let every = TICKS.iter().find(wide_enough).copied().unwrap_or(480.0);
    let (mut rule, mut numbers) = (vec!['─'; plot], String::new());
    for tick in 0_u32.. {
        let minutes = f64::from(tick) * every;
        let column = (minutes * 60.0 / width).round() as usize;
        let number = format!("{minutes}");
        let Some(mark) = rule.get_mut(column).filter(|_| column + number.len() <= plot) else {
            break;
        };
        *mark = '┬';
        let gap = column.saturating_sub(numbers.chars().count());
        numbers.push_str(&" ".repeat(gap));
        numbers.push_str(&number);
    }
    [
        format!("{:>10} └{}", "", rule.into_iter().collect::<String>()),
        format!("{:>10}  {numbers}", "minutes"),
    ]
}

/// A line for each thing that happened besides, at its place.
fn marks(rollout: &Rollout, plot: usize, width: f64) -> impl Iterator<Item = String> {
    rollout.marks.iter().map(move |(time, what)| {
        let column = ((time / width) as usize).min(plot.saturating_sub(1));
        let length = what.chars().count() + 1;
        // To the right of its place, or, where there is no room, to the left.
        let text = match column.checked_sub(length) {
            Some(indent) if column + 1 + length > plot => format!("{}{what} ^", " ".repeat(indent)),
            _ => format!("{}^ {what}", " ".repeat(column)),
        };
        format!("{:>10}  {text}", "")
    })
}

/// `1,204`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests as the demo makes them: a count each three seconds, of which a part of those to the new version fails.
    fn rollout(strategy: &str, seconds: f64, shares: &[(f64, f64)], fails: f64, marks: &[(f64, &str)]) -> Rollout {
        let mut rollout = Rollout {
            version: 2,
            strategy: strategy.to_owned(),
            seconds,
            shares: shares.to_vec(),
            requests: Vec::new(),
            marks: marks.iter().map(|(time, what)| (*time, (*what).to_owned())).collect(),
        };
        let (mut all, mut failed, mut time) = (0.0, 0.0, -3.0);
        while time <= seconds {
            rollout.requests.push((time, (all - failed) as u64, failed as u64));
            all += 2.5;
            failed += 2.5 * fails * rollout.share_between(time, time + 0.1);
            time += 3.0;
        }
        rollout
    }

    fn check(rollout: &Rollout) -> String {
        for columns in [0, 60, 80, 97, 200] {
            let wide = columns.clamp(COLUMNS_RANGE.0, COLUMNS_RANGE.1);
            // The legend is a sentence; the chart itself has its place.
            for line in render(rollout, columns).lines().skip(1) {
                assert!(line.chars().count() <= wide, "{columns}: {line}");
            }
        }
        let chart = render(rollout, 80);
        assert!(chart.lines().all(|line| line.chars().count() <= 80), "{chart}");
        chart
    }

    #[test]
    fn canary() {
        let shares = [(14.0, 0.25), (315.0, 1.0)];
        insta::assert_snapshot!(check(&rollout("canary", 565.0, &shares, 0.0, &[])));
    }

    #[test]
    fn linear() {
        let shares = [(14.0, 0.25), (194.0, 0.5), (374.0, 0.75), (554.0, 1.0)];
        insta::assert_snapshot!(check(&rollout("linear", 800.0, &shares, 0.0, &[])));
    }

    #[test]
    fn rolling_in_odd_batches() {
        let shares = [(12.0, 0.3), (201.0, 0.6), (390.0, 0.9), (582.0, 1.0)];
        insta::assert_snapshot!(check(&rollout("rolling", 830.0, &shares, 0.0, &[])));
    }

    #[test]
    fn a_rollback_out_of_the_bake() {
        let shares = [(12.0, 0.25), (72.0, 0.0)];
        let marks = [(72.0, "alarm tumour-5xx fires"), (72.0, "the rollback begins")];
        insta::assert_snapshot!(check(&rollout("canary", 142.0, &shares, 0.5, &marks)));
    }

    #[test]
    fn a_rollback_after_the_deployment() {
        let shares = [(12.0, 1.0), (112.0, 0.0)];
        let marks = [(72.0, "alarm tumour-5xx fires"), (80.0, "the rollback begins")];
        insta::assert_snapshot!(check(&rollout("all-at-once", 182.0, &shares, 0.5, &marks)));
    }

    #[test]
    fn one_shot() {
        insta::assert_snapshot!(check(&rollout("blue-green", 385.0, &[(14.0, 1.0)], 0.0, &[])));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let nothing = rollout("canary", 0.0, &[], 0.0, &[]);
        let chart = check(&Rollout {
            requests: Vec::new(),
            ..nothing
        });
        assert!(
            chart.starts_with("v2 canary: no traffic; 0 requests, 0 failed"),
            "{chart}"
        );
    }

    #[test]
    fn late_marks_are_said_to_the_left() {
        let rollout = rollout("canary", 100.0, &[(1.0, 1.0)], 0.0, &[(99.0, "alarm tumour-5xx fires")]);
        let chart = check(&rollout);
        assert!(chart.ends_with("alarm tumour-5xx fires ^"), "{chart}");
    }

    #[test]
    fn large_numbers_are_grouped() {
        for (count, text) in [(0, "0"), (999, "999"), (1204, "1,204"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), text);
        }
    }
}
