//! The timeline: a line for each happening that matters to a person, printed as it happens.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::Value;

use crate::cloud::Happening;
use crate::news::{News, cut, printable};

/// The longest line, in characters.
const COLUMNS: usize = 100;
/// What stands before the text: seconds, virtual time, place.
const MARGIN: usize = 7 + 2 + 8 + 2 + 10;
/// Where the text of a check begins.
const INDENT: usize = 10;
/// How many lines the text of a check takes at most.
const LINES_MAX: usize = 4;
/// The characters of the bar that shows a share.
const BAR: usize = 20;

/// How a line is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// A step on the way.
    Plain,
    /// It went well.
    Good,
    /// It did not.
    Bad,
    /// Somebody is told or asked.
    Mail,
}

/// One line: where it happened, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    place: &'static str,
    text: String,
    tone: Tone,
}

/// What the registry knows of a version beyond what a happening says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Version {
    /// The accuracy that the evaluation measured.
    pub(crate) accuracy: Option<f64>,
    /// The gate's verdict, in words.
    pub(crate) gate: Option<String>,
    /// What became of the last release.
    pub(crate) outcome: Option<String>,
}

/// Makes lines of happenings. What was said once is not said again.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    /// What was last said of each subject.
    said: BTreeMap<String, String>,
}

impl Teller {
    /// The lines for one happening: mostly one or none. `version` looks a model package up by its ARN.
    pub(crate) fn lines(&mut self, happening: &Happening, version: impl Fn(&str) -> Version) -> Vec<Line> {
        let Happening { subject, data, .. } = happening;
        let of = |member: &str| text(data, member);
        let line = |place, text: String, tone| vec![Line { place, text, tone }];
        match (happening.service, happening.what) {
            ("codecommit" | "codebuild", _) | ("lambda", "logged") => {
                let mut news = News::of(happening);
                // A look comes every few minutes, and mostly finds what the one before has found.
                news.take_if(|news| news.place == "retrain" && !self.fresh(news.place, &news.text));
                let news = news.into_iter();
                let tone = |good| match good {
                    None => Tone::Plain,
                    Some(true) => Tone::Good,
                    Some(false) => Tone::Bad,
                };
                news.map(|News { place, text, good }| Line {
                    place,
                    text,
                    tone: tone(good),
                })
                .collect()
            }
            ("sagemaker", "execution-status") => match of("status") {
                "Executing" if self.fresh(&format!("training {}", of("execution")), "started") => {
                    line("training", "started".to_owned(), Tone::Plain)
                }
                "Failed" => line("training", format!("FAILED: {}", of("reason")), Tone::Bad),
                "Stopped" => line("training", "stopped".to_owned(), Tone::Bad),
                _ => Vec::new(),
            },
            ("sagemaker", "step-status") => match of("status") {
                "Succeeded" => line("training", format!("{} done", of("step")), Tone::Plain),
                "Failed" => line(
                    "training",
                    format!("{} failed: {}", of("step"), of("reason")),
                    Tone::Bad,
                ),
                _ => Vec::new(),
            },
            ("sagemaker", "package-registered") => {
                let measured = version(of("package")).accuracy;
                let measured = measured
                    .map(|accuracy| format!(", accuracy {accuracy:.4}"))
                    .unwrap_or_default();
                line("registry", format!("{} registered{measured}", named(data)), Tone::Good)
            }
            ("sagemaker", "package-approval" | "package-updated") => {
                let mut lines = self.verdicts(data, &version(of("package")));
                let tone = match of("approval") {
                    "Approved" => Tone::Good,
                    "Rejected" => Tone::Bad,
                    _ => return lines,
                };
                let approval = of("approval").to_lowercase();
                if happening.what == "package-approval" && self.fresh(&format!("approval {}", of("package")), &approval)
                {
                    let why = Some(of("description")).filter(|why| !why.is_empty());
                    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                    let text = format!("{} {approval}{why}", named(data));
                    lines.push(Line {
                        place: "registry",
                        text,
                        tone,
                    });
                }
                lines
            }
            ("sagemaker", "traffic-shifted") => {
                let share = data.get("share").and_then(Value::as_f64).unwrap_or_default();
                line(
                    "traffic",
                    format!("{} {}", bar(share), config_label(subject, of("config"))),
                    Tone::Plain,
                )
            }
            ("sagemaker", "deployment-phase") => {
                let phase = of("phase");
                if !self.fresh(&format!("phase {subject} {}", of("config")), phase) {
                    return Vec::new();
                }
                let (new, old) = (config_label(subject, of("config")), config_label(subject, of("from")));
                match phase {
                    "Creating" => line(
                        "endpoint",
                        format!("instances for {new} are made beside those of {old}"),
                        Tone::Plain,
                    ),
                    "Baking" => line(
                        "endpoint",
                        match data.get("share").and_then(Value::as_f64) {
                            Some(share) if share >= 1.0 => format!("the alarms are watched: {new} has all the traffic"),
                            _ => format!("the alarms are watched: {new} beside {old}"),
                        },
                        Tone::Plain,
                    ),
                    "Deleting" => line(
                        "endpoint",
                        "the instances that are not needed any more are taken down".to_owned(),
                        Tone::Plain,
                    ),
                    _ => Vec::new(),
                }
            }
            ("sagemaker", "endpoint-status") => match of("status") {
                "InService" => line("endpoint", "in service".to_owned(), Tone::Good),
                "RollingBack" => line("endpoint", "ROLLING BACK".to_owned(), Tone::Bad),
                status @ ("Failed" | "UpdateRollbackFailed" | "OutOfService") => line(
                    "endpoint",
                    format!("{status} {}", of("reason")).trim_end().to_owned(),
                    Tone::Bad,
                ),
                _ => Vec::new(),
            },
            ("codepipeline", "action-failed") => line(
                "pipeline",
                format!("{subject}: {} failed: {}", of("action"), of("summary")),
                Tone::Bad,
            ),
            ("codepipeline", "execution-succeeded") => line("pipeline", format!("{subject} done"), Tone::Good),
            ("sns", "mail") => line("mail", format!("to {}: {}", of("to"), of("subject")), Tone::Mail),
            ("cloudwatch", "alarm") => match of("state") {
                "ALARM" => {
                    self.said.insert(format!("alarm {subject}"), String::new());
                    line("alarm", format!("{subject} FIRES: {}", of("reason")), Tone::Bad)
                }
                // Alarms that did not fire before are well all the time.
                "OK" if self.said.remove(&format!("alarm {subject}")).is_some() => {
                    line("alarm", format!("{subject} is well again"), Tone::Good)
                }
                _ => Vec::new(),
            },
            ("codedeploy", what) => {
                let versions = format!("{subject} from version {} to {}", of("from"), of("to"));
                let percent = data.get("percent").and_then(Value::as_u64).unwrap_or_default();
                match what {
                    "deployment-started" => line("rollout", versions, Tone::Plain),
                    "traffic-shifted" => line("rollout", format!("{versions}: {percent} % shifted"), Tone::Plain),
                    "deployment-succeeded" => line("rollout", format!("{versions} done"), Tone::Good),
                    "rolled-back" => line("rollout", format!("{versions}: rolled back"), Tone::Bad),
                    _ => line("rollout", format!("{versions} FAILED: {}", of("message")), Tone::Bad),
                }
            }
            ("lambda", "failed") => line("function", format!("{subject} FAILED: {}", of("error")), Tone::Bad),
            _ => Vec::new(),
        }
    }

    /// The gate's verdict and the release's outcome, where they are new.
    fn verdicts(&mut self, data: &Value, version: &Version) -> Vec<Line> {
        let package = text(data, "package");
        let mut lines = Vec::new();
        if let Some(gate) = &version.gate
            && self.fresh(&format!("gate {package}"), gate)
        {
            let tone = if gate.starts_with("held") {
                Tone::Good
            } else {
                Tone::Bad
            };
            let text = format!("{} {gate}", named(data));
            lines.push(Line {
                place: "gate",
                text,
                tone,
            });
        }
        if let Some(outcome) = &version.outcome
            && self.fresh(&format!("outcome {package}"), outcome)
        {
            let tone = if outcome == "deployed" { Tone::Good } else { Tone::Bad };
            let text = format!("{} {outcome}", named(data));
            lines.push(Line {
                place: "release",
                text,
                tone,
            });
        }
        lines
    }

    /// Whether this was not what was last said of it; remembers it.
    fn fresh(&mut self, of: &str, text: &str) -> bool {
        self.said.insert(of.to_owned(), text.to_owned()).as_deref() != Some(text)
    }
}

fn text<'a>(data: &'a Value, member: &str) -> &'a str {
    data.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// `v3` of a happening in the registry.
fn named(data: &Value) -> String {
    let version = data.get("version").and_then(Value::as_u64);
    version.map_or_else(|| text(data, "package").to_owned(), |version| format!("v{version}"))
}

/// `v3` of `MODEL-v3-RELEASE`; another name as it is.
fn config_label(endpoint: &str, config: &str) -> String {
    let rest = config.strip_prefix(endpoint).and_then(|rest| rest.strip_prefix('-'));
    let label = rest.and_then(|rest| rest.split('-').next());
    label
        .filter(|label| label.starts_with('v'))
        .unwrap_or(config)
        .to_owned()
}

/// A share as a small bar and in percent.
fn bar(share: f64) -> String {
    let share = share.clamp(0.0, 1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a short bar"
    )]
    let full = (share * BAR as f64).round() as usize;
    let percent = share * 100.0;
    format!(
        "{}{} {percent:>3.0} %",
        "█".repeat(full),
        "░".repeat(BAR.saturating_sub(full))
    )
}

/// The line as it is printed: at most [`COLUMNS`] characters, without line breaks.
pub(crate) fn render(line: &Line, elapsed: f64, time: Timestamp, coloured: bool) -> String {
    let clock = time.strftime("%H:%M:%S");
    let words = line.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = cut(&printable(&words), COLUMNS.saturating_sub(MARGIN));
    let (on, off) = match line.tone {
        _ if !coloured => ("", ""),
        Tone::Plain => ("", ""),
        Tone::Good => ("\u{1b}[32m", "\u{1b}[0m"),
        Tone::Bad => ("\u{1b}[31m", "\u{1b}[0m"),
        Tone::Mail => ("\u{1b}[36m", "\u{1b}[0m"),
    };
    format!("{elapsed:>6.1}s  {clock}  {:<10}{on}{words}{off}", line.place)
}

/// The words in lines of at most `columns` characters, and at most `lines_max` lines; a longer word is cut.
fn wrapped(text: &str, columns: usize, lines_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word = cut(&printable(word), columns);
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = word,
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    if lines.len() > lines_max {
        lines.truncate(lines_max);
        if let Some(last) = lines.last_mut() {
            *last = cut(&format!("{last} …"), columns);
        }
    }
    lines
}

/// Where the timeline is printed.
pub(crate) struct Console {
    out: Mutex<Box<dyn Write + Send>>,
    coloured: bool,
    started: Instant,
}

impl Console {
    /// Prints on `out`, with colours if `coloured`.
    pub(crate) fn new(out: Box<dyn Write + Send>, coloured: bool) -> Self {
        let (out, started) = (Mutex::new(out), Instant::now());
        Self { out, coloured, started }
    }

    /// The standard output; colours on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn stdout() -> Self {
        use std::io::IsTerminal;
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let out = std::io::stdout();
        let coloured = wanted && out.is_terminal();
        Self::new(Box::new(out), coloured)
    }

    /// Seconds since the demo began.
    pub(crate) fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Prints lines of one's own.
    pub(crate) fn say(&self, text: &str) {
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A reader that went away, as `head` does, must not end the run.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// Prints what begins.
    pub(crate) fn heading(&self, text: &str) {
        let (on, off) = if self.coloured {
            ("\u{1b}[1m", "\u{1b}[0m")
        } else {
            ("", "")
        };
        self.say(&format!("\n{on}{text}{off}"));
    }

    /// Prints a line of the timeline.
    pub(crate) fn line(&self, line: &Line, time: Timestamp) {
        self.say(&render(line, self.elapsed(), time, self.coloured));
    }

    /// Prints whether something that was looked at is as it should be.
    pub(crate) fn check(&self, held: bool, text: &str) {
        let (mark, on) = if held {
            ("✓", "\u{1b}[32m")
        } else {
            ("✗", "\u{1b}[31m")
        };
        let (on, off) = if self.coloured { (on, "\u{1b}[0m") } else { ("", "") };
        let text = wrapped(text, COLUMNS.saturating_sub(INDENT), LINES_MAX).join(&format!("\n{}", " ".repeat(INDENT)));
        self.say(&format!(
            "{}{on}{mark}{off} {text}",
            " ".repeat(INDENT.saturating_sub(2))
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(teller: &mut Teller, service: &'static str, subject: &str, what: &'static str, data: Value) -> Vec<String> {
        let time = Timestamp::from_second(1_700_000_000).unwrap();
        let subject = subject.to_owned();
        let happening = Happening {
            time,
            service,
            subject,
            what,
            data,
        };
        let version = |package: &str| match package {
            "p/3" => Version {
                accuracy: Some(0.97368),
                gate: Some("held: accuracy 0.9737 is above 0.9386".to_owned()),
                outcome: None,
            },
            "p/4" => Version {
                accuracy: None,
                gate: Some("not held: accuracy 0.91 is not above 0.94".to_owned()),
                outcome: Some("gate-not-met".to_owned()),
            },
            _ => Version::default(),
        };
        let lines = teller.lines(&happening, version);
        lines.iter().map(|line| render(line, 12.34, time, false)).collect()
    }

    #[test]
    fn happenings_as_lines() {
        let mut teller = Teller::default();
        let commit = json!({"branch": "main", "commit": "0123456789", "author": "Ada Lindqvist <ada@example.com>",
            "message": "Use all ten means instead of radius and texture"});
        let long = json!({"phase": "BUILD", "message": format!("COMMAND_EXECUTION_ERROR:\n{}", "word ".repeat(40))});
        let shifted = json!({"endpoint": "tumour", "config": "tumour-v2-0a1b2c3d", "share": 0.25});
        let phase = json!({"phase": "Baking", "config": "tumour-v2-0a1b2c3d", "from": "tumour-v1-99999999"});
        let mut lines = Vec::new();
        for (service, subject, what, data) in [
            ("codecommit", "tumour", "pushed", commit),
            ("codebuild", "tumour-build", "build-started", json!({})),
            ("codebuild", "tumour-build", "build-succeeded", json!({})),
            ("codebuild", "tumour-build", "build-failed", long),
            (
                "sagemaker",
                "tumour",
                "execution-status",
                json!({"execution": "e", "status": "Executing"}),
            ),
            (
                "sagemaker",
                "tumour",
                "step-status",
                json!({"step": "Preprocess", "status": "Executing"}),
            ),
            (
                "sagemaker",
                "tumour",
                "step-status",
                json!({"step": "Preprocess", "status": "Succeeded"}),
            ),
            (
                "sagemaker",
                "tumour",
                "step-status",
                json!({"step": "Train", "status": "Failed", "reason": "exit code: 1"}),
            ),
            (
                "sagemaker",
                "tumour",
                "package-registered",
                json!({"package": "p/3", "version": 3}),
            ),
            (
                "sagemaker",
                "tumour",
                "package-updated",
                json!({"package": "p/3", "version": 3, "approval": "PendingManualApproval"}),
            ),
            (
                "sns",
                "tumour-approvals",
                "mail",
                json!({"to": "lead@example.com", "subject": "[signalbox] approve tumour v3?"}),
            ),
            (
                "sagemaker",
                "tumour",
                "package-approval",
                json!({"package": "p/3", "version": 3, "approval": "Approved",
                "description": "by lead@example.com: good"}),
            ),
            (
                "sagemaker",
                "tumour",
                "package-approval",
                json!({"package": "p/4", "version": 4, "approval": "Rejected"}),
            ),
            ("sagemaker", "tumour", "traffic-shifted", shifted),
            ("sagemaker", "tumour", "deployment-phase", phase),
            (
                "sagemaker",
                "tumour",
                "endpoint-status",
                json!({"status": "RollingBack"}),
            ),
            (
                "cloudwatch",
                "tumour-5xx",
                "alarm",
                json!({"state": "OK", "reason": "no data"}),
            ),
            (
                "cloudwatch",
                "tumour-5xx",
                "alarm",
                json!({"state": "ALARM", "reason": "0.12 is greater than 0.02"}),
            ),
            (
                "cloudwatch",
                "tumour-5xx",
                "alarm",
                json!({"state": "OK", "reason": "0 is not greater"}),
            ),
            (
                "codepipeline",
                "tumour-release",
                "action-failed",
                json!({"stage": "Deploy", "action": "UpdateEndpoint",
                "summary": "alarm tumour-5xx"}),
            ),
            (
                "codepipeline",
                "tumour-train",
                "execution-succeeded",
                json!({"execution": "e"}),
            ),
            (
                "lambda",
                "tumour-retrain",
                "failed",
                json!({"error": "\u{1b}[2Jpanicked"}),
            ),
            (
                "codedeploy",
                "work",
                "deployment-started",
                json!({"from": "1", "to": "2"}),
            ),
            (
                "codedeploy",
                "work",
                "traffic-shifted",
                json!({"from": "1", "to": "2", "percent": 10}),
            ),
            (
                "codedeploy",
                "work",
                "deployment-succeeded",
                json!({"from": "1", "to": "2"}),
            ),
            (
                "codedeploy",
                "work",
                "deployment-stopped",
                json!({"from": "2", "to": "3", "code": "ALARM_ACTIVE", "message": "Activated alarms: <a>"}),
            ),
            ("codedeploy", "work", "rolled-back", json!({"from": "3", "to": "2"})),
            ("lambda", "tumour-retrain", "invoked", json!({})),
            ("moon", "m", "rose", json!({})),
        ] {
            lines.extend(told(&mut teller, service, subject, what, data));
        }
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{lines:#?}");
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_was_said_is_not_said_again() {
        let mut teller = Teller::default();
        let update = json!({"package": "p/3", "version": 3, "approval": "Approved"});
        let mut say = |what| told(&mut teller, "sagemaker", "tumour", what, update.clone()).len();
        assert_eq!(
            [say("package-approval"), say("package-approval"), say("package-updated")],
            [2, 0, 0]
        );
        let mut say = |reason: &str| {
            let data = json!({"trigger": "data", "message": "no training is started", "reason": reason});
            told(&mut teller, "lambda", "tumour-retrain", "logged", data)
        };
        let said = [say("2 of 3"), say("2 of 3"), say("running"), say("2 of 3")];
        assert_eq!(said.each_ref().map(Vec::len), [1, 0, 1, 1]);
        assert!(
            said[0][0].contains("retrain   for data: no training is started: 2 of 3"),
            "{:?}",
            said[0]
        );
    }

    #[test]
    fn shares_as_bars() {
        for (share, expected) in [
            (0.0, "░░░░░░░░░░░░░░░░░░░░   0 %"),
            (0.25, "█████░░░░░░░░░░░░░░░  25 %"),
            (1.0, "████████████████████ 100 %"),
            (7.0, "████████████████████ 100 %"),
        ] {
            assert_eq!(bar(share), expected);
        }
    }

    #[test]
    fn configurations_by_their_version() {
        for (endpoint, config, expected) in [
            ("tumour", "tumour-v12-0a1b2c3d", "v12"),
            ("tumour", "other", "other"),
            ("a-v1", "a-v1-v2-00000000", "v2"),
            ("tumour", "", ""),
        ] {
            assert_eq!(config_label(endpoint, config), expected);
        }
    }

    #[test]
    fn texts_are_wrapped() {
        for (text, columns, lines_max, expected) in [
            ("", 10, 2, &[""][..]),
            ("one two three", 8, 3, &["one two", "three"]),
            ("one\n two\u{1b}[2J", 20, 3, &["one two[2J"]),
            ("a-very-long-word b", 6, 3, &["a-ver…", "b"]),
            ("a b c d e", 3, 2, &["a b", "c …"]),
        ] {
            assert_eq!(wrapped(text, columns, lines_max), expected, "{text:?}");
        }
    }

    #[test]
    fn colours_only_where_wanted() {
        let line = Line {
            place: "build",
            text: "passed".to_owned(),
            tone: Tone::Good,
        };
        let time = Timestamp::UNIX_EPOCH;
        assert_eq!(render(&line, 1.0, time, false), "   1.0s  00:00:00  build     passed");
        assert!(render(&line, 1.0, time, true).contains("\u{1b}[32mpassed\u{1b}[0m"));
    }
}
