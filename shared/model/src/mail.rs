//! The mails of the train, as plain text that reads well on a phone: lines of at most 72 characters, links on lines of their own.
//!
//! Texts from outside (commit messages, metric names, comments) are put on one line and their addresses are broken, so that nobody
//! who can write a commit can write a second link into an approval mail.

use jiff::Timestamp;

use crate::evidence::{
    Champion, Direction, Evidence, Row, compare, duration, number, one_line, signed, trigger_words, utc, why,
};
use crate::lineage::Trigger;
use crate::metrics::Metrics;
use crate::names::ModelName;
use crate::notice::Notice;

/// The longest line, in characters; links are not broken.
pub const COLUMNS: usize = 72;
/// How many metrics a mail lists.
const ROWS_MAX: usize = 40;
/// How many characters of a text from outside a mail shows.
const TEXT_CHARS_MAX: usize = 600;
/// How many lines of a text from outside a mail shows.
const LINES_MAX: usize = 12;
/// The widest metric name that has its numbers on the same line.
const NAME_COLUMNS: usize = 18;
/// The columns of a number.
const NUMBER_COLUMNS: usize = 9;

/// Asks `approver` to decide. The `link` is theirs alone.
#[must_use]
pub fn approval_request(evidence: &Evidence, approver: &str, link: &str) -> Notice {
    let (model, version) = (&evidence.model, evidence.version());
    let mut text = Text::new();
    let held = evidence.gate.iter().all(|verdict| verdict.held);
    let gate = if held {
        "passed its gate"
    } else {
        "did not pass every rule of its gate"
    };
    text.paragraph(&format!("{model} v{version} {gate} and waits for your decision."));
    text.line("To look at it and decide, open:");
    text.blank();
    text.link(link);
    text.paragraph("Opening the link decides nothing. You approve or reject on the page. The link is yours alone: do not pass it on.");

    text.heading("Why it was trained");
    text.item("Trigger", &why(&evidence.lineage));
    text.optional("Commit", evidence.lineage.commit.as_deref().unwrap_or_default());
    text.optional("Author", evidence.author.as_deref().unwrap_or_default());
    text.quote("Message", evidence.commit_message.as_deref().unwrap_or_default());
    text.optional("Data", evidence.lineage.data.as_deref().unwrap_or_default());
    if let Some(seconds) = evidence.trained_seconds {
        text.item("Training took", &duration(seconds));
    }
    text.blank();

    text.metrics(version, &evidence.rows(), evidence.champion.as_ref());
    text.item("Accuracy asked for", &number(evidence.accuracy_threshold));
    text.blank();

    text.heading("Gate");
    if evidence.gate.is_empty() {
        text.line("No rules beyond the training pipeline's own.");
    }
    for verdict in &evidence.gate {
        let held = if verdict.held { "held" } else { "NOT HELD" };
        text.bullet(&format!("{} {held}: {}", plain(&verdict.name), plain(&verdict.text)));
    }
    text.blank();

    text.heading("What happens when you approve");
    text.paragraph(&format!("{}.", plain(&evidence.plan)));
    text.heading("Who else was asked");
    let others: Vec<_> = evidence
        .approvers
        .iter()
        .filter(|other| *other != approver)
        .map(|other| plain(other))
        .collect();
    if others.is_empty() {
        text.paragraph("Nobody: the decision is yours.");
    } else {
        text.paragraph(&format!("{}. The first answer counts for all.", others.join(", ")));
    }
    text.heading("Until when");
    text.paragraph(&format!(
        "{}. UTC is the time in London in winter; your clock may be ahead or behind. With no answer by then the release ends and \
         nothing changes.",
        utc(evidence.expires)
    ));
    text.notice(&format!("[signalbox] approve {model} v{version}?"))
}

/// Tells that a version begins to take over. `plan` is [`Policy::describe`](crate::rollout::Policy::describe); `notes` is what else
/// there is to know of this rollout.
#[must_use]
pub fn rollout_started(model: &ModelName, version: u32, serving: Option<u32>, plan: &str, notes: &[String]) -> Notice {
    let mut text = Text::new();
    match serving {
        Some(serving) => text.paragraph(&format!("{model} v{version} begins to take over from v{serving}.")),
        None => text.paragraph(&format!("{model} v{version} begins to take over.")),
    }
    text.item("How", plan);
    for note in notes {
        text.item("Note", note);
    }
    text.notice(&format!("[signalbox] {model} v{version} begins to take over"))
}

/// Tells that a version has a share of the traffic, in percent, and for how long it is watched with it.
#[must_use]
pub fn traffic_shifted(model: &ModelName, version: u32, share: u32, watched_seconds: Option<u32>) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!("{model} v{version} takes {share} % of the traffic."));
    if let Some(seconds) = watched_seconds {
        text.item("Watched for", &duration(u64::from(seconds)));
    }
    text.notice(&format!(
        "[signalbox] {model} v{version} takes {share} % of the traffic"
    ))
}

/// How those who get the mail about a deployment can take it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeBack<'a> {
    /// The signed link.
    pub link: &'a str,
    /// The rollback pipeline.
    pub pipeline: &'a str,
}

/// Tells that a version serves all traffic. `previous` is the version that served before; `strategy` is how the traffic was moved,
/// `detail` what was seen on the way.
#[must_use]
pub fn deployed(
    model: &ModelName,
    version: u32,
    previous: Option<u32>,
    strategy: &str,
    detail: &str,
    take_back: Option<&TakeBack<'_>>,
) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "{model} v{version} now serves all traffic of the endpoint {model}."
    ));
    match previous {
        Some(previous) => text.item("Served before", &format!("v{previous}")),
        None => text.item("Served before", "no version of this train"),
    }
    text.item("Strategy", strategy);
    text.optional("Detail", detail);
    if let Some(TakeBack { link, pipeline }) = take_back {
        text.heading("Should it have to be taken back");
        text.line("Open this link; the page asks before anything is done:");
        text.blank();
        text.link(link);
        text.line("Or by the command line, which does it at once:");
        text.blank();
        text.link(&format!("aws codepipeline start-pipeline-execution --name {pipeline}"));
    }
    text.notice(&format!("[signalbox] {model} v{version} deployed"))
}

/// What is known of a version that was taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenBack<'a> {
    /// The version that serves instead, where that is known.
    pub serving: Option<u32>,
    /// The alarm that did it, where one is named.
    pub alarm: Option<&'a str>,
    /// What the alarm saw, with its numbers.
    pub numbers: Option<&'a str>,
    /// Why, in SageMaker's or a person's words.
    pub reason: &'a str,
    /// Where to see what serves now.
    pub endpoint_url: &'a str,
}

/// Tells that a version was taken back.
#[must_use]
pub fn rolled_back(model: &ModelName, version: u32, back: &TakenBack<'_>) -> Notice {
    let mut text = Text::new();
    match back.serving {
        Some(serving) => text.paragraph(&format!(
            "{model} v{version} was rolled back. v{serving} serves all traffic again."
        )),
        None => text.paragraph(&format!("{model} v{version} was rolled back.")),
    }
    text.item("Alarm", back.alarm.unwrap_or("none was named"));
    text.optional("It saw", back.numbers.unwrap_or_default());
    text.item("Reason", back.reason);
    if !back.endpoint_url.is_empty() {
        text.line("What serves now:");
        text.blank();
        text.link(back.endpoint_url);
    }
    text.blank();
    text.paragraph(&format!(
        "v{version} is marked as rolled back in the model registry and will not be tried again by itself. To try it once more, approve \
         it again in the registry."
    ));
    text.notice(&format!("[signalbox] {model} v{version} rolled back"))
}

/// Tells that a version is not brought to the endpoint any more, because another update came after it.
#[must_use]
pub fn superseded(model: &ModelName, version: u32, serving: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "The release of {model} v{version} was overtaken by another update of the endpoint: {serving} serves."
    ));
    text.paragraph(
        "Nothing is done about it. To release the version after all, start the release pipeline for it again.",
    );
    text.notice(&format!("[signalbox] {model} v{version} superseded"))
}

/// Tells that a deployed version could not be taken back, and what to do about it.
#[must_use]
pub fn rollback_failed(model: &ModelName, reason: &str, what_to_do: &str, endpoint_url: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "The rollback of {model} failed: what served before it was asked for may still serve."
    ));
    text.item("Reason", reason);
    text.optional("What to do", what_to_do);
    if !endpoint_url.is_empty() {
        text.line("What serves now:");
        text.blank();
        text.link(endpoint_url);
    }
    text.notice(&format!("[signalbox] {model} ROLLBACK FAILED"))
}

/// Tells that autoscaling could not be set up: what serves keeps the instances that it has.
#[must_use]
pub fn not_scaled(model: &ModelName, reason: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "The endpoint {model} serves, but it is not scaled as the template says: its instances stay as many as they are."
    ));
    text.item("Reason", reason);
    text.item(
        "What to do",
        "Mend it, and release the version again, or register the variant for autoscaling by hand",
    );
    text.notice(&format!("[signalbox] {model} is not scaled"))
}

/// Tells that a person refused a version.
#[must_use]
pub fn rejected(model: &ModelName, version: u32, by: &str, comment: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "{model} v{version} was rejected. What serves now stays as it is."
    ));
    text.item("By", by);
    text.quote("Comment", if comment.trim().is_empty() { "none" } else { comment });
    text.notice(&format!("[signalbox] {model} v{version} rejected"))
}

/// Tells that nobody decided in time.
#[must_use]
pub fn expired(model: &ModelName, version: u32, expires: Timestamp, approvers: &[String]) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "Nobody decided on {model} v{version} in time. What serves now stays as it is."
    ));
    text.item("Expired", &utc(expires));
    text.optional("Asked", &approvers.join(", "));
    text.blank();
    text.paragraph("To release it after all, approve the version in the model registry.");
    text.notice(&format!("[signalbox] {model} v{version} expired"))
}

/// Tells that a trained version did not pass its gate. `verdict` says which rule did not hold, in words.
#[must_use]
pub fn gate_not_met(
    model: &ModelName,
    version: u32,
    verdict: &str,
    metrics: &Metrics,
    champion: Option<&Champion>,
) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "{model} v{version} was trained but did not pass its gate, so it is rejected. What serves now stays as it is."
    ));
    text.item("Gate", verdict);
    text.blank();
    let rows = compare(metrics, champion.map(|champion| &champion.metrics));
    text.metrics(version, &rows, champion);
    text.notice(&format!("[signalbox] {model} v{version} gate not met"))
}

/// Tells that a training ended without a version to release. `step` is the pipeline step that failed; `numbers` what the evaluation
/// wrote, where it came that far; `execution` the ARN of the SageMaker pipeline execution.
#[must_use]
pub fn training_failed(
    model: &ModelName,
    trigger: Trigger,
    commit: Option<&str>,
    step: Option<&str>,
    reason: &str,
    numbers: Option<&Metrics>,
    execution: &str,
) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "A training of {model} ended without a version to release. What serves now stays as it is."
    ));
    text.item("Trigger", trigger_words(trigger));
    text.optional("Commit", commit.unwrap_or_default());
    text.optional("Step", step.unwrap_or_default());
    text.item("Reason", reason);
    text.line("Execution:");
    // Unbroken, as it is there to be copied.
    text.link(&plain(execution));
    match numbers.filter(|numbers| !numbers.is_empty()) {
        Some(numbers) => {
            text.heading("Metrics");
            for (name, value) in numbers.iter().take(ROWS_MAX) {
                text.item(name, &number(value));
            }
        }
        None => text.paragraph("There are no metrics: no usable evaluation report was found."),
    }
    text.notice(&format!("[signalbox] {model} training failed"))
}

/// Tells that a release could not be made, and what to do about it.
#[must_use]
pub fn release_failed(model: &ModelName, version: u32, reason: &str, what_to_do: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!("The release of {model} v{version} failed."));
    text.item("Reason", reason);
    text.optional("What to do", what_to_do);
    text.notice(&format!("[signalbox] {model} v{version} release failed"))
}

/// A text from outside: one line, bounded, and without an address that a mail program would make a link of.
fn plain(text: &str) -> String {
    let text = one_line(text, TEXT_CHARS_MAX);
    // Nothing opens `s3://`, and people copy such addresses.
    text.replace("://", "[:]//")
        .replace("s3[:]//", "s3://")
        .replace("www.", "www[.]")
}

/// A body in the making.
struct Text(String);

impl Text {
    fn new() -> Self {
        Self(String::new())
    }

    fn blank(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with("\n\n") {
            self.0.push('\n');
        }
    }

    /// A line of our own words, wrapped.
    fn line(&mut self, words: &str) {
        self.wrapped(words, "", "");
    }

    fn paragraph(&mut self, words: &str) {
        self.line(words);
        self.blank();
    }

    fn heading(&mut self, words: &str) {
        self.blank();
        self.line(&words.to_uppercase());
    }

    fn bullet(&mut self, words: &str) {
        self.wrapped(words, "- ", "  ");
    }

    /// `name: value`, where the value comes from outside.
    fn item(&mut self, name: &str, value: &str) {
        self.wrapped(&format!("{}: {}", plain(name), plain(value)), "", "  ");
    }

    fn optional(&mut self, name: &str, value: &str) {
        if !value.trim().is_empty() {
            self.item(name, value);
        }
    }

    /// A text from outside that keeps its lines, each set in so that none passes for a heading of ours.
    fn quote(&mut self, name: &str, text: &str) {
        let lines: Vec<_> = text
            .lines()
            .map(plain)
            .filter(|line| !line.is_empty())
            .take(LINES_MAX)
            .collect();
        match lines.as_slice() {
            [] => {}
            [line] if name.len() + 2 + line.chars().count() <= COLUMNS => self.item(name, line),
            lines => {
                self.line(&format!("{name}:"));
                for line in lines {
                    self.wrapped(line, "  ", "  ");
                }
            }
        }
    }

    /// A line that is not broken.
    fn link(&mut self, link: &str) {
        if !self.0.ends_with(":\n") {
            self.blank();
        }
        self.0.push_str(link);
        self.0.push_str("\n\n");
    }

    fn metrics(&mut self, version: u32, rows: &[Row], champion: Option<&Champion>) {
        self.heading("Metrics");
        match champion {
            Some(champion) => {
                self.line(&format!("v{version} against v{}, which serves now:", champion.version));
            }
            None => self.line("No version serves now, so there is nothing to compare with."),
        }
        let shown: Vec<_> = rows.iter().take(ROWS_MAX).map(|row| (plain(&row.name), row)).collect();
        let width = shown
            .iter()
            .map(|(name, _)| name.chars().count())
            .filter(|width| *width <= NAME_COLUMNS);
        let width = width.max().unwrap_or_default();
        for (name, row) in shown {
            let mut cells = row.value.map_or_else(|| "none".to_owned(), number);
            if let Some(champion) = champion {
                let theirs = row.champion.map_or_else(|| "none".to_owned(), number);
                cells = format!(
                    "{cells:>NUMBER_COLUMNS$}  v{} {theirs:>NUMBER_COLUMNS$}",
                    champion.version
                );
                if let Some(difference) = row.difference.filter(|_| row.direction != Direction::Same) {
                    cells.push_str(&format!(
                        "  {:>NUMBER_COLUMNS$} {}",
                        signed(difference),
                        row.direction.as_str()
                    ));
                } else if row.direction == Direction::Same {
                    cells.push_str(&format!("  {:>NUMBER_COLUMNS$}", "same"));
                }
            }
            if name.chars().count() <= width && width + 2 + cells.chars().count() <= COLUMNS {
                self.0.push_str(&format!("{name:width$}  {cells}\n"));
            } else {
                // A long name has a line of its own, rather than being cut to something that another may be cut to as well.
                self.wrapped(&name, "", "  ");
                self.0.push_str(&format!("  {cells}\n"));
            }
        }
        if rows.len() > ROWS_MAX {
            self.line(&format!("and {} more.", rows.len() - ROWS_MAX));
        }
    }

    /// Words in lines of at most [`COLUMNS`] characters. A word that is longer than a line is broken.
    fn wrapped(&mut self, words: &str, first: &str, rest: &str) {
        let (mut line, mut used, mut empty) = (first.to_owned(), first.chars().count(), true);
        for word in words.split_whitespace() {
            let length = word.chars().count();
            if !empty && used + 1 + length > COLUMNS {
                self.0.push_str(line.trim_end());
                self.0.push('\n');
                (line, used, empty) = (rest.to_owned(), rest.chars().count(), true);
            }
            if !empty {
                line.push(' ');
                used += 1;
            }
            for c in word.chars() {
                if used == COLUMNS {
                    self.0.push_str(&line);
                    self.0.push('\n');
                    (line, used) = (rest.to_owned(), rest.chars().count());
                }
                line.push(c);
                used += 1;
            }
            empty = false;
        }
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    fn notice(self, subject: &str) -> Notice {
        Notice::new(subject, format!("{}\n", self.0.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::tests::sample;
    use crate::notice::SUBJECT_CHARS_MAX;

    const LINK: &str =
        "https://abc.lambda-url.eu-west-1.on.aws/?c=eyJwIjoiY2h1cm4tcmVsZWFzZSJ9&m=AAECAwQFBgcICQoLDA0ODw";

    fn churn() -> ModelName {
        "churn".parse().unwrap()
    }

    fn full(notice: &Notice) -> String {
        format!("Subject: {}\n\n{}", notice.subject(), notice.body())
    }

    #[test]
    fn an_approval_request() {
        insta::assert_snapshot!(full(&approval_request(&sample(), "ada@example.com", LINK)));
    }

    #[test]
    fn the_first_version_and_a_bare_one() {
        let mut first = sample();
        first.champion = None;
        first.author = None;
        first.commit_message = None;
        first.lineage = crate::lineage::Lineage::of(Trigger::Registry);
        first.trained_seconds = None;
        first.gate.clear();
        first.approvers.truncate(1);
        insta::assert_snapshot!(full(&approval_request(&first, "ada@example.com", LINK)));
    }

    const CONSOLE: &str = "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/churn";

    #[test]
    fn outcomes() {
        let evidence = sample();
        let execution = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn/execution/abcdefghijkl";
        let notices = [
            rollout_started(
                &churn(),
                7,
                Some(6),
                "canary: 25 % of the traffic, 1 of 4 instances, for 5 min",
                &["6 instances are kept: the endpoint was scaled from 2".to_owned()],
            ),
            traffic_shifted(&churn(), 7, 25, Some(300)),
            deployed(&churn(), 1, None, "all at once", "", None),
            deployed(
                &churn(),
                7,
                Some(6),
                "canary: 10 % for 5 min",
                "4 instances, baked 10 min without an alarm",
                Some(&TakeBack {
                    link: LINK,
                    pipeline: "churn-rollback",
                }),
            ),
            rolled_back(
                &churn(),
                2,
                &TakenBack {
                    serving: Some(1),
                    alarm: Some("churn-5xx"),
                    numbers: Some("1 datapoint [0.12] was greater than the threshold (0.02)"),
                    reason: "the alarm churn-5xx is in ALARM",
                    endpoint_url: CONSOLE,
                },
            ),
            rolled_back(&churn(), 2, &TakenBack::default()),
            superseded(&churn(), 2, "churn-v3-01234567"),
            rollback_failed(
                &churn(),
                "v1 is the first that served",
                "Release a better version.",
                CONSOLE,
            ),
            not_scaled(
                &churn(),
                "application-autoscaling:RegisterScalableTarget: AccessDeniedException: no permission",
            ),
            rejected(&churn(), 3, "ada@example.com", "The log loss is worse\nthan it looks."),
            expired(&churn(), 4, evidence.expires, &evidence.approvers),
            gate_not_met(
                &churn(),
                5,
                "accuracy 0.8 is not above 0.85",
                &evidence.metrics,
                evidence.champion.as_ref(),
            ),
            training_failed(
                &churn(),
                Trigger::Schedule,
                Some("4c1d0b9"),
                Some("AccuracyCondition"),
                "accuracy 0.7 is not above 0.85",
                Some(&evidence.metrics),
                execution,
            ),
            training_failed(&churn(), Trigger::Push, None, None, "stopped by ada", None, execution),
            release_failed(&churn(), 6, "no capacity for ml.m5.large", "Retry the Deploy stage."),
        ];
        insta::assert_snapshot!(notices.iter().map(full).collect::<Vec<_>>().join("\n----\n"));
    }

    #[test]
    fn subjects_say_what_happened() {
        let none = Metrics::default();
        for (notice, expected) in [
            (approval_request(&sample(), "a", LINK), "approve churn v7?"),
            (
                rollout_started(&churn(), 1, None, "", &[]),
                "churn v1 begins to take over",
            ),
            (
                traffic_shifted(&churn(), 1, 25, None),
                "churn v1 takes 25 % of the traffic",
            ),
            (deployed(&churn(), 1, None, "", "", None), "churn v1 deployed"),
            (rolled_back(&churn(), 2, &TakenBack::default()), "churn v2 rolled back"),
            (superseded(&churn(), 2, ""), "churn v2 superseded"),
            (not_scaled(&churn(), ""), "churn is not scaled"),
            (rollback_failed(&churn(), "", "", ""), "churn ROLLBACK FAILED"),
            (rejected(&churn(), 3, "", ""), "churn v3 rejected"),
            (expired(&churn(), 4, Timestamp::UNIX_EPOCH, &[]), "churn v4 expired"),
            (gate_not_met(&churn(), 5, "", &none, None), "churn v5 gate not met"),
            (
                training_failed(&churn(), Trigger::Push, None, None, "", None, ""),
                "churn training failed",
            ),
            (release_failed(&churn(), 6, "", ""), "churn v6 release failed"),
        ] {
            assert_eq!(notice.subject(), format!("[signalbox] {expected}"));
        }
    }

    #[test]
    fn a_commit_can_write_no_second_link() {
        let mut evidence = sample();
        evidence.commit_message = Some("Fix\n\nTo approve, open:\nhttps://evil.example/?c=1\nwww.evil.example".into());
        evidence.metrics = [("see http://evil.example", 1.0)].into_iter().collect();
        let body = approval_request(&evidence, "ada@example.com", LINK).body().to_owned();
        assert_eq!(body.matches("://").count(), 1, "{body}");
        assert!(body.lines().any(|line| line == LINK));
        assert!(!body.contains("www.evil"));
    }

    #[test]
    fn long_names_and_wide_numbers_stay_in_the_columns() {
        let theirs: Metrics = [
            ("name-of-eighteen-c", -1e-300),
            ("balanced_accuracy_of_the_holdout", 0.5),
        ]
        .into_iter()
        .collect();
        let champion = Champion {
            version: u32::MAX,
            metrics: theirs,
        };
        let metrics = [
            ("name-of-eighteen-c", -2.5e-300),
            ("balanced_accuracy_of_the_holdout", 0.6),
            ("www.x s3://b/k", 1.0),
        ];
        let metrics = metrics.into_iter().collect();
        insta::assert_snapshot!(gate_not_met(&churn(), u32::MAX, "", &metrics, Some(&champion)).body());
    }

    #[test]
    fn many_metrics_are_counted() {
        let metrics: Metrics = (0..45).map(|i| (format!("m{i:02}"), f64::from(i))).collect();
        let body = gate_not_met(&churn(), 5, "", &metrics, None).body().to_owned();
        assert!(
            body.contains("m39") && !body.contains("m40") && body.contains("and 5 more."),
            "{body}"
        );
    }

    prop_compose! {
        fn any_evidence()(message in any::<Option<String>>(), author in any::<Option<String>>(), plan in any::<String>(),
                          names in proptest::collection::btree_map(any::<String>(), any::<f64>(), 0..5),
                          theirs in proptest::collection::btree_map(any::<String>(), any::<f64>(), 0..5),
                          rule in any::<String>(), text in any::<String>(), other in any::<String>(),
                          version in 1..=u32::MAX, model in "[a-zA-Z0-9]([a-zA-Z0-9-]{0,38}[a-zA-Z0-9])?") -> Evidence {
            let sample = sample();
            Evidence {
                model: model.parse().unwrap(),
                package: sample.package.with_version(version),
                author,
                commit_message: message,
                plan,
                metrics: names.into_iter().collect(),
                champion: Some(Champion { version, metrics: theirs.into_iter().collect() }),
                gate: vec![crate::evidence::GateVerdict { name: rule, held: false, text }],
                approvers: vec![other],
                ..sample
            }
        }
    }

    proptest! {
        #[test]
        fn lines_are_short_and_subjects_fit(evidence in any_evidence()) {
            let notice = approval_request(&evidence, "ada@example.com", LINK);
            prop_assert!(notice.subject().len() <= SUBJECT_CHARS_MAX);
            let end = format!("v{}?", evidence.version());
            prop_assert!(notice.subject().ends_with(&end));
            prop_assert!(notice.subject().bytes().all(|b| (b' '..=b'~').contains(&b)));
            let links = notice.body().lines().filter(|line| *line == LINK).count();
            prop_assert_eq!(links, 1);
            prop_assert_eq!(notice.body().matches("://").count(), 1);
            for line in notice.body().lines().filter(|line| *line != LINK) {
                prop_assert!(line.chars().count() <= COLUMNS, "{:?}", line);
            }
        }
    }
}
