//! What a person is shown before deciding on a release: the same in the mail, on the page and under the link's signature.

use jiff::Timestamp;
use serde::Serialize;

use crate::lineage::{Lineage, Trigger};
use crate::metrics::Metrics;
use crate::names::{ModelName, ModelPackageArn, digest};

/// What a person is shown before deciding on a release.
///
/// A page that is opened later rebuilds it from the services and compares the [`digest`](Self::digest) with the one in the link,
/// so everything here must come back the same from a second look; `expires` is taken from the link. What others have decided so far
/// is not here: their votes must not end the links of those who are still to vote.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// The model.
    pub model: ModelName,
    /// The version to decide on.
    pub package: ModelPackageArn,
    /// Why it was trained, and from what.
    pub lineage: Lineage,
    /// The version's numbers.
    pub metrics: Metrics,
    /// The version that serves now, where one does.
    pub champion: Option<Champion>,
    /// The accuracy that the training pipeline asks for, from 0 to 1.
    pub accuracy_threshold: f64,
    /// What the gate's rules said.
    pub gate: Vec<GateVerdict>,
    /// What will happen on approval, in words, without a full stop at the end.
    pub plan: String,
    /// Everyone who was asked.
    pub approvers: Vec<String>,
    /// How many approvals release it. One rejection rejects it, however many approvals it has.
    pub approvals_needed: u32,
    /// Until when the approval waits.
    pub expires: Timestamp,
    /// How long the training took, in seconds, where that is known.
    pub trained_seconds: Option<u64>,
}

/// The version that serves now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Champion {
    /// Its number.
    pub version: u32,
    /// Its numbers.
    pub metrics: Metrics,
}

/// What one of the gate's rules said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateVerdict {
    /// The rule's name.
    pub name: String,
    /// Whether it held.
    pub held: bool,
    /// The rule with the numbers that it saw, in words.
    pub text: String,
}

/// One metric of the version next to the same of the champion. At least one of the two values is there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The metric's name.
    pub name: String,
    /// The version's value; absent where only the champion has the metric.
    pub value: Option<f64>,
    /// The champion's value.
    pub champion: Option<f64>,
    /// The version's value less the champion's.
    pub difference: Option<f64>,
    /// What the difference means.
    pub direction: Direction,
}

/// What a difference between two versions means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The version is better than the champion.
    Better,
    /// It is worse.
    Worse,
    /// They are equal, or differ by no more than rounding.
    Same,
    /// One of the two has no such number.
    Unknown,
}

impl Direction {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::Unknown => "unknown",
        }
    }
}

impl Evidence {
    /// A hash of everything that a person is shown: 64 lower-case hex digits.
    #[must_use]
    pub fn digest(&self) -> String {
        // The lineage also holds the train's own notes, which may change while a person thinks.
        let mut shown = self.clone();
        shown.lineage.codepipeline_execution = None;
        shown.lineage.handled = false;
        shown.lineage.trained = false;
        shown.lineage.told = None;
        // Serialising strings, numbers and maps with string keys can't fail.
        let json = serde_json::to_vec(&shown).unwrap_or_default();
        digest(&[b"signalbox evidence 1", &json])
    }

    /// The version's metrics next to the champion's, by name.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        compare(&self.metrics, self.champion.as_ref().map(|champion| &champion.metrics))
    }

    /// The version's number.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.package.version()
    }
}

/// The metrics of a version next to the champion's, by name. A metric that only the champion has is a row as well: that a number is
/// no longer reported is news.
#[must_use]
pub fn compare(metrics: &Metrics, champion: Option<&Metrics>) -> Vec<Row> {
    let names = metrics.iter().map(|(name, _)| name);
    let names = names.chain(
        champion
            .into_iter()
            .flat_map(|champion| champion.iter().map(|(name, _)| name)),
    );
    let names: std::collections::BTreeSet<&str> = names.collect();
    let row = |name: &str| {
        let value = metrics.get(name);
        let champion = champion.and_then(|champion| champion.get(name));
        let difference = value.zip(champion).map(|(value, champion)| value - champion);
        let direction = match value.zip(champion) {
            Some((value, champion)) => direction(name, value, champion),
            None => Direction::Unknown,
        };
        Row {
            name: name.to_owned(),
            value,
            champion,
            difference,
            direction,
        }
    };
    names.into_iter().map(row).collect()
}

fn direction(name: &str, value: f64, champion: f64) -> Direction {
    let difference = value - champion;
    if difference.abs() <= 1e-9 * value.abs().max(champion.abs()) {
        Direction::Same
    } else if difference.is_sign_negative() == lower_is_better(name) {
        Direction::Better
    } else {
        Direction::Worse
    }
}

/// Whether less of the metric is better, as its name tells: losses, errors and latencies.
#[must_use]
pub fn lower_is_better(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let unit = ["_ms", "_us", "_s", "_seconds"]
        .iter()
        .find_map(|unit| name.strip_suffix(unit));
    let name = unit.unwrap_or(&name);
    ["loss", "error", "rmse", "mae", "mse", "mape", "latency"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// Why a version was trained, in words: the trigger, and what it saw.
#[must_use]
pub fn why(lineage: &Lineage) -> String {
    let mut seen = lineage.evidence.clone();
    let mut trigger = trigger_words(lineage.trigger).to_owned();
    let mut notes = Vec::new();
    match lineage.trigger {
        Trigger::Data => {
            let read = |name: &str| seen.get(name).and_then(|number| number.parse::<u64>().ok());
            let (objects, size) = (read("newObjects"), read("newBytes"));
            if let Some(objects) = objects {
                seen.remove("newObjects");
                seen.remove("newBytes");
                let noun = if objects == 1 { "object" } else { "objects" };
                let more = if seen.remove("mayBeMore").is_some() {
                    "at least "
                } else {
                    ""
                };
                let size = size.map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
                trigger = format!("{more}{objects} new {noun}{size} since the data of the last training");
            }
        }
        Trigger::Schedule => {
            let due: Option<Timestamp> = seen.get("due").and_then(|due| due.parse().ok());
            if let Some(due) = due {
                seen.remove("due");
                notes.push(format!("due {}", utc(due)));
            }
        }
        Trigger::Drift => {
            let alarm = seen.remove("alarm");
            let value = seen.remove("value").zip(seen.remove("threshold"));
            let value = value.map(|(value, threshold)| format!("{value} against the threshold {threshold}"));
            let said: Vec<_> = [alarm, value, seen.remove("reason")].into_iter().flatten().collect();
            if !said.is_empty() {
                notes.push(said.join(": "));
            }
        }
        Trigger::Push | Trigger::Registry => {}
    }
    notes.extend(seen.iter().map(|(key, value)| format!("{key} {value}")));
    if notes.is_empty() {
        trigger
    } else {
        format!("{trigger} ({})", notes.join(", "))
    }
}

pub(crate) fn trigger_words(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Push => "a push to the model's repository",
        Trigger::Schedule => "the retraining schedule",
        Trigger::Data => "enough new data since the last training",
        Trigger::Drift => "an alarm on drift, quality or bias",
        Trigger::Registry => "somebody registered it directly (a notebook, Studio, another orchestrator)",
    }
}

/// A number for people: four decimals where those say enough, an exponent where they don't.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    // -0.0 would be shown with its sign.
    if size == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e7).contains(&size) {
        format!("{value:.3e}")
    } else if size >= 1000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.4}")
    }
}

/// A difference for people: a [`number`] that always has a sign, except zero.
#[must_use]
pub fn signed(difference: f64) -> String {
    let sign = if difference > 0.0 { "+" } else { "" };
    format!("{sign}{}", number(difference))
}

/// A time for people: `Sunday 1 March 2026, 20:22 UTC`.
#[must_use]
pub fn utc(time: Timestamp) -> String {
    time.strftime("%A %-d %B %Y, %H:%M UTC").to_string()
}

/// A duration for people: `2 h 5 min`, or `2 h` where that is all.
#[must_use]
pub fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let (whole, rest, unit) = match (days, hours, minutes) {
        (0, 0, 0) => return format!("{seconds} s"),
        (0, 0, _) => (format!("{minutes} min"), seconds % 60, "s"),
        (0, ..) => (format!("{hours} h"), minutes, "min"),
        _ => (format!("{days} d"), hours, "h"),
    };
    if rest == 0 {
        whole
    } else {
        format!("{whole} {rest} {unit}")
    }
}

/// A size for people: `3.4 MB`, in powers of a thousand.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut units = ["bytes", "kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if size < 999.95 {
            break;
        }
        (size, unit) = (size / 1000.0, larger);
    }
    if unit == "bytes" {
        format!("{bytes} {unit}")
    } else {
        format!("{size:.1} {unit}")
    }
}

/// Which data a training was for, in words, and what served then.
#[must_use]
pub fn asked_for(lineage: &Lineage) -> Option<String> {
    let window = lineage.window?;
    let from = window
        .from
        .map(|from| format!("from {} ", utc(from)))
        .unwrap_or_default();
    let champion = lineage
        .champion
        .map(|version| format!("; v{version} served then"))
        .unwrap_or_default();
    Some(format!("{from}until {}{champion}", utc(window.until)))
}

/// A text from outside as one line of at most `chars` characters: without control characters, and without those invisible ones that
/// reorder or hide what stands around them.
#[must_use]
pub fn one_line(text: &str, chars: usize) -> String {
    let (mut line, mut count) = (String::new(), 0_usize);
    for word in text
        .split(|c| hides(c) || c.is_whitespace())
        .filter(|word| !word.is_empty())
    {
        let between = (!line.is_empty()).then_some(' ');
        for c in between.into_iter().chain(word.chars()) {
            count += 1;
            // One character more than fits tells that something is left out, however many spaces are before it.
            if count > chars {
                let cut: String = line.chars().take(chars.saturating_sub(1)).collect();
                let end = if chars > 0 { "…" } else { "" };
                return format!("{}{end}", cut.trim_end());
            }
            line.push(c);
        }
    }
    line
}

fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lineage::Window;

    /// A release like many: a push, a champion, a gate of two rules.
    pub(crate) fn sample() -> Evidence {
        let mut lineage = Lineage::of(Trigger::Push);
        lineage.commit = Some("4c1d0b9f2a7e5d3c8b6a1f0e9d8c7b6a5f4e3d2c".into());
        lineage.author = Some("Ada Lovelace <ada@example.com>".into());
        lineage.message = Some("Weigh recent calls more\n\nThe last month tells more than the last year.".into());
        Evidence {
            model: "churn".parse().unwrap(),
            package: "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7"
                .parse()
                .unwrap(),
            lineage,
            metrics: [("accuracy", 0.9312), ("auc", 0.955), ("log_loss", 0.2101)]
                .into_iter()
                .collect(),
            champion: Some(Champion {
                version: 6,
                metrics: [("accuracy", 0.92), ("auc", 0.955), ("log_loss", 0.1999)]
                    .into_iter()
                    .collect(),
            }),
            accuracy_threshold: 0.85,
            gate: vec![
                GateVerdict {
                    name: "accurate".into(),
                    held: true,
                    text: "metrics.accuracy > 0.85: 0.9312 > 0.85".into(),
                },
                GateVerdict {
                    name: "no-worse".into(),
                    held: true,
                    text: "metrics.accuracy >= champion.accuracy - 0.01: 0.9312 >= 0.91".into(),
                },
            ],
            plan: "canary: 10 % of the traffic for 5 min, bake 10 min, rolls back on churn-5xx, churn-latency".into(),
            approvers: vec!["ada@example.com".into(), "grace@example.com".into()],
            approvals_needed: 1,
            expires: "2026-03-01T20:22:00Z".parse().unwrap(),
            trained_seconds: Some(7500),
        }
    }

    #[test]
    fn rows_tell_better_from_worse() {
        use Direction::{Better, Same, Unknown, Worse};
        for (name, value, champion, expected) in [
            ("accuracy", Some(0.9), Some(0.8), Better),
            ("accuracy", Some(0.7), Some(0.8), Worse),
            ("accuracy", Some(0.8), Some(0.8), Same),
            ("accuracy", Some(0.1 + 0.2), Some(0.3), Same),
            ("support", Some(1_000_000.000_1), Some(1_000_000.0), Same),
            ("support", Some(1_000_000.01), Some(1_000_000.0), Better),
            ("accuracy", Some(0.8), None, Unknown),
            ("accuracy", None, Some(0.8), Unknown),
            ("loss", Some(0.9), Some(0.8), Worse),
            ("val_loss", Some(0.7), Some(0.8), Better),
            ("RMSE", Some(0.7), Some(0.8), Better),
            ("mae", Some(0.9), Some(0.8), Worse),
            ("mean_squared_error", Some(0.9), Some(0.8), Worse),
            ("p99_latency", Some(20.0), Some(30.0), Better),
            ("latency_ms", Some(40.0), Some(30.0), Worse),
            ("error_free_share", Some(0.9), Some(0.8), Better),
            ("r2", Some(0.0), Some(-1.0), Better),
        ] {
            let metrics: Metrics = value.map(|value| (name, value)).into_iter().collect();
            let champion: Option<Metrics> = champion.map(|champion| [(name, champion)].into_iter().collect());
            let rows = compare(&metrics, champion.as_ref());
            assert_eq!(rows.len(), 1, "{name}");
            assert_eq!(rows[0].direction, expected, "{name} {value:?}");
            assert_eq!(rows[0].difference.is_some(), expected != Unknown, "{name} {value:?}");
        }
    }

    #[test]
    fn the_digest_covers_whatever_is_shown() {
        let sample = sample();
        assert_eq!(sample.digest(), sample.clone().digest());
        assert_eq!(sample.digest().len(), 64);
        let mut noted = sample.clone();
        noted.lineage.codepipeline_execution = Some("0123".into());
        noted.lineage.handled = true;
        assert_eq!(noted.digest(), sample.digest());
        type Change = fn(&mut Evidence);
        let changes: [Change; 17] = [
            |e| e.model = "other".parse().unwrap(),
            |e| e.package = e.package.with_version(8),
            |e| e.lineage.trigger = Trigger::Drift,
            |e| e.lineage.commit = None,
            |e| e.lineage.data = Some("s3://bucket/data".into()),
            |e| drop(e.lineage.evidence.insert("alarm".into(), "churn-drift".into())),
            |e| e.lineage.author = None,
            |e| e.lineage.message = Some("else".into()),
            |e| e.metrics = [("accuracy", 0.9313)].into_iter().collect(),
            |e| e.champion = None,
            |e| e.accuracy_threshold = 0.8,
            |e| e.gate[1].held = false,
            |e| e.plan.push('!'),
            |e| e.approvers.push("eve@example.com".into()),
            |e| e.approvals_needed = 2,
            |e| e.expires = Timestamp::UNIX_EPOCH,
            |e| e.trained_seconds = None,
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut other = sample.clone();
            change(&mut other);
            assert_ne!(other.digest(), sample.digest(), "change {i}");
        }
    }

    #[test]
    fn texts_for_people() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.93119, "0.9312"),
            (-12.0, "-12.0000"),
            (1234.56, "1234.6"),
            (0.000_012_34, "1.234e-5"),
            (1e300, "1.000e300"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!(
            (signed(0.5).as_str(), signed(-0.5).as_str(), signed(0.0).as_str()),
            ("+0.5000", "-0.5000", "0")
        );
        for (seconds, expected) in [
            (0, "0 s"),
            (5, "5 s"),
            (65, "1 min 5 s"),
            (300, "5 min"),
            (7500, "2 h 5 min"),
            (82_800, "23 h"),
            (86_400, "1 d"),
            (180_000, "2 d 2 h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
        assert_eq!(
            utc("2026-03-01T20:22:59Z".parse().unwrap()),
            "Sunday 1 March 2026, 20:22 UTC"
        );
    }

    #[test]
    fn triggers_say_what_they_saw() {
        use Trigger::{Data, Drift, Push, Registry, Schedule};
        let drift = "an alarm on drift, quality or bias";
        for (trigger, seen, expected) in [
            (Push, &[][..], "a push to the model's repository".to_owned()),
            (
                Data,
                &[("newObjects", "12")],
                "12 new objects since the data of the last training".to_owned(),
            ),
            (
                Data,
                &[("newObjects", "100"), ("newBytes", "3400000"), ("mayBeMore", "true")],
                "at least 100 new objects (3.4 MB) since the data of the last training".to_owned(),
            ),
            (
                Data,
                &[("newObjects", "1"), ("dataWindow", "2026-02")],
                "1 new object since the data of the last training (dataWindow 2026-02)".to_owned(),
            ),
            (
                Data,
                &[("newObjects", "many")],
                "enough new data since the last training (newObjects many)".to_owned(),
            ),
            (
                Schedule,
                &[("due", "2026-03-01T03:00:00Z")],
                "the retraining schedule (due Sunday 1 March 2026, 03:00 UTC)".to_owned(),
            ),
            (
                Schedule,
                &[("due", "soon")],
                "the retraining schedule (due soon)".to_owned(),
            ),
            (
                Drift,
                &[("reason", "0.31 was above 0.25"), ("alarm", "churn-drift"), ("z", "1")],
                format!("{drift} (churn-drift: 0.31 was above 0.25, z 1)"),
            ),
            (
                Drift,
                &[("reason", "0.31 was above 0.25")],
                format!("{drift} (0.31 was above 0.25)"),
            ),
            (
                Drift,
                &[
                    ("reason", "crossed"),
                    ("alarm", "churn-drift"),
                    ("value", "0.31"),
                    ("threshold", "0.25"),
                ],
                format!("{drift} (churn-drift: 0.31 against the threshold 0.25: crossed)"),
            ),
            (Drift, &[], drift.to_owned()),
            (
                Registry,
                &[("description", "by hand")],
                format!("{} (description by hand)", trigger_words(Registry)),
            ),
        ] {
            let mut lineage = Lineage::of(trigger);
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            lineage.evidence = seen.iter().map(owned).collect();
            assert_eq!(why(&lineage), expected);
        }
    }

    #[test]
    fn what_was_asked_for_is_told_in_times() {
        let mut lineage = Lineage::of(Trigger::Data);
        assert_eq!(asked_for(&lineage), None);
        let (from, until) = ("2026-03-01T03:00:00Z", "2026-03-08T03:00:00Z");
        lineage.window = Some(Window {
            from: None,
            until: until.parse().unwrap(),
        });
        let end = "until Sunday 8 March 2026, 03:00 UTC";
        assert_eq!(asked_for(&lineage).as_deref(), Some(end));
        lineage.window = Some(Window {
            from: Some(from.parse().unwrap()),
            until: until.parse().unwrap(),
        });
        lineage.champion = Some(6);
        let whole = format!("from Sunday 1 March 2026, 03:00 UTC {end}; v6 served then");
        assert_eq!(asked_for(&lineage), Some(whole));
    }

    #[test]
    fn sizes_are_for_people() {
        for (size, expected) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (3_400_000_000, "3.4 GB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
    }

    #[test]
    fn lines_from_outside_are_plain() {
        for (text, chars, expected) in [
            ("a\n\n\tb", 10, "a b"),
            ("abc\u{202e}cba\u{0}", 10, "abc cba"),
            ("0123456789", 10, "0123456789"),
            ("0123456789x", 10, "012345678…"),
            ("é é", 2, "é…"),
            ("", 5, ""),
            ("a", 0, ""),
        ] {
            assert_eq!(one_line(text, chars), expected, "{text:?}");
        }
        // Nothing is left out behind a page of spaces without a word about it.
        let far = format!("a{}b", " ".repeat(100));
        assert_eq!(
            (one_line(&far, 10), one_line(&far, 2)),
            ("a b".to_owned(), "a…".to_owned())
        );
    }

    proptest! {
        #[test]
        fn a_line_stays_one_line(text in any::<String>(), chars in 1_usize..100) {
            let line = one_line(&text, chars);
            prop_assert!(line.chars().count() <= chars);
            prop_assert!(!line.chars().any(hides), "{line:?}");
        }

        #[test]
        fn every_metric_is_a_row(a in proptest::collection::btree_map("[a-c]{1,2}", -1e6..1e6_f64, 0..6),
                                 b in proptest::collection::btree_map("[a-c]{1,2}", -1e6..1e6_f64, 0..6)) {
            let (left, right): (Metrics, Metrics) = (a.clone().into_iter().collect(), b.clone().into_iter().collect());
            let rows = compare(&left, Some(&right));
            let names: Vec<_> = rows.iter().map(|row| row.name.clone()).collect();
            let mut all: Vec<_> = a.keys().chain(b.keys()).cloned().collect();
            all.sort();
            all.dedup();
            prop_assert_eq!(names, all);
            // Seen from the other side, better is worse.
            for (row, mirror) in rows.iter().zip(compare(&right, Some(&left))) {
                let expected = match row.direction {
                    Direction::Better => Direction::Worse,
                    Direction::Worse => Direction::Better,
                    other => other,
                };
                prop_assert_eq!(mirror.direction, expected);
            }
        }
    }
}
