//! What happens to the code, in words for a person: pushes, builds, and what is said of a pull request; which data
//! has come, and what becomes of the reasons to train without a push; and what is told by chat and to https endpoints.

use std::fmt;

use serde_json::Value;

use crate::cloud::Happening;

/// The longest text that is printed whole, in characters.
const CHARACTERS_MAX: usize = 400;

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Where it happened: `push`, `build`, `review`, `data`, `retrain`, `chat`, `https`.
    pub place: &'static str,
    /// What did. It has texts from outside in it.
    pub text: String,
    /// Whether it is good or bad, if it is either.
    pub good: Option<bool>,
}

impl News {
    /// The news of a happening, if it concerns the code or asks for a training without any.
    #[must_use]
    pub fn of(happening: &Happening) -> Option<Self> {
        let Happening { data, .. } = happening;
        let of = |member: &str| data.get(member).and_then(Value::as_str).unwrap_or_default();
        let short = || of("commit").chars().take(7).collect::<String>();
        let by = || of("by").rsplit('/').next().unwrap_or_default();
        let news = |place, text: String, good| Some(Self { place, text, good });
        let (number, title) = (of("pull_request"), of("title"));
        match (happening.service, happening.what) {
            ("codecommit", "pushed") => {
                let author = of("author").split(" <").next().unwrap_or_default();
                let aside = data.get("default").and_then(Value::as_bool) == Some(false);
                let branch = if aside {
                    format!(" to {}", of("branch"))
                } else {
                    String::new()
                };
                news(
                    "push",
                    format!("{}{branch} by {author}: {}", short(), of("message")),
                    None,
                )
            }
            ("codecommit", "branch-deleted") => news("push", format!("{} deleted", of("branch")), None),
            ("codecommit", "pull-request-created") => news(
                "review",
                format!(
                    "#{number} {title}: {} into {}, by {}",
                    of("source"),
                    of("destination"),
                    by()
                ),
                None,
            ),
            ("codecommit", "pull-request-updated") => news("review", format!("#{number} is now {}", short()), None),
            ("codecommit", "pull-request-comment") => {
                news("review", format!("#{number} {}: {}", by(), of("content")), None)
            }
            ("codecommit", "pull-request-approval") => {
                let approves = of("state") == "APPROVE";
                let what = if approves { "approved" } else { "no longer approved" };
                news(
                    "review",
                    format!("#{number} {what} by {}", by()),
                    approves.then_some(true),
                )
            }
            ("codecommit", "pull-request-merged") => news(
                "review",
                format!("#{number} merged into {} by {}", of("destination"), by()),
                Some(true),
            ),
            ("codecommit", "pull-request-closed") => news("review", format!("#{number} closed by {}", by()), None),
            ("codebuild", what) => {
                // A pipeline's build is the pipeline's; of another it must be said which it is.
                let is_own = !of("initiator").is_empty() && !of("initiator").starts_with("codepipeline/");
                let named = match (is_own, short().as_str()) {
                    (false, _) => String::new(),
                    (true, "") => format!("{} ", happening.subject),
                    (true, commit) => format!("{} of {commit} ", happening.subject),
                };
                let (text, good) = match what {
                    "build-started" if is_own => ("started".to_owned(), None),
                    "build-succeeded" => ("passed".to_owned(), Some(true)),
                    "build-failed" => (format!("FAILED in {}: {}", of("phase"), of("message")), Some(false)),
                    "build-stopped" => ("stopped".to_owned(), Some(false)),
                    _ => return None,
                };
                news("build", format!("{named}{text}"), good)
            }
            ("s3", "data-dropped") => {
                let count = |member: &str| data.get(member).and_then(Value::as_u64).unwrap_or_default();
                let (new, changed) = (count("new"), count("changed"));
                let what = match (new, changed) {
                    (_, 0) => format!("{new} new"),
                    (0, _) => format!("{changed} changed"),
                    _ => format!("{new} new and {changed} changed"),
                };
                let files = if new + changed == 1 { "file" } else { "files" };
                let size = size(count("bytes"));
                news("data", format!("{what} {files} ({size}) under {}", of("prefix")), None)
            }
            ("s3", "data-refused") => news(
                "data",
                format!("{} is not taken: {}", of("path"), of("reason")),
                Some(false),
            ),
            ("chatbot", "posted") => news("chat", format!("to {}: {}", happening.subject, of("text")), None),
            ("chatbot", "dropped") => news(
                "chat",
                format!(
                    "nothing to {}: a message was dropped: {}",
                    happening.subject,
                    of("reason")
                ),
                Some(false),
            ),
            ("sns", "https") => {
                let subject = if of("subject").is_empty() {
                    "no subject"
                } else {
                    of("subject")
                };
                news("https", format!("to {}: {subject}", of("endpoint")), None)
            }
            ("lambda", "logged") => {
                let started = of("execution").rsplit('/').next().unwrap_or_default();
                let why = if started.is_empty() { of("reason") } else { started };
                let why = if why.is_empty() {
                    String::new()
                } else {
                    format!(": {why}")
                };
                let good = (!started.is_empty()).then_some(true);
                news(
                    "retrain",
                    format!("for {}: {}{why}", of("trigger"), of("message")),
                    good,
                )
            }
            _ => None,
        }
    }
}

/// On one line.
impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = cut(&printable(&words), CHARACTERS_MAX);
        write!(f, "{} {words}", self.place)
    }
}

/// A number of bytes as people say it: `3.1 kB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
pub fn size(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut unit = "bytes";
    for larger in ["kB", "MB", "GB", "TB"] {
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

/// Without control characters: texts from outside could write anything on the terminal with them.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// At most so many characters; what is cut off is marked.
pub(crate) fn cut(text: &str, room: usize) -> String {
    if text.chars().count() > room {
        text.chars().take(room.saturating_sub(1)).collect::<String>() + "…"
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (3100, "3.1 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (2_500_000_000, "2.5 GB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn the_code_is_told_of_in_words() {
        let commit = "0123456789abcdef";
        let request = json!({"pull_request": "1", "title": "Use\nall", "source": "topic", "destination": "main", "commit": commit,
            "by": "arn:aws:sts::123456789012:assumed-role/reviewer/fraud-reviews", "content": "tests\u{1b}[31m fail",
            "state": "APPROVE"});
        let revoked = json!({"pull_request": "1", "by": "a/ada", "state": "REVOKE"});
        let pushed = |default: bool| json!({"branch": "topic", "commit": commit, "author": "Ada <ada@example.com>", "message": "Try", "default": default});
        let own =
            json!({"initiator": "starts/fraud-starts", "commit": commit, "phase": "BUILD", "message": "CODE: exit 1"});
        let unsourced = json!({"initiator": "administrator", "phase": "DOWNLOAD_SOURCE", "message": "CODE: none"});
        let pipelines = json!({"initiator": "codepipeline/fraud-train", "phase": "BUILD", "message": "CODE: exit 1"});
        for (service, what, data, expected) in [
            ("codecommit", "pushed", pushed(true), Some("push 0123456 by Ada: Try")),
            (
                "codecommit",
                "pushed",
                pushed(false),
                Some("push 0123456 to topic by Ada: Try"),
            ),
            (
                "codecommit",
                "branch-deleted",
                json!({"branch": "topic"}),
                Some("push topic deleted"),
            ),
            (
                "codecommit",
                "pull-request-created",
                request.clone(),
                Some("review #1 Use all: topic into main, by fraud-reviews"),
            ),
            (
                "codecommit",
                "pull-request-updated",
                request.clone(),
                Some("review #1 is now 0123456"),
            ),
            (
                "codecommit",
                "pull-request-comment",
                request.clone(),
                Some("review #1 fraud-reviews: tests[31m fail"),
            ),
            (
                "codecommit",
                "pull-request-approval",
                request.clone(),
                Some("review #1 approved by fraud-reviews"),
            ),
            (
                "codecommit",
                "pull-request-approval",
                revoked,
                Some("review #1 no longer approved by ada"),
            ),
            (
                "codecommit",
                "pull-request-merged",
                request.clone(),
                Some("review #1 merged into main by fraud-reviews"),
            ),
            (
                "codecommit",
                "pull-request-closed",
                request,
                Some("review #1 closed by fraud-reviews"),
            ),
            (
                "codebuild",
                "build-started",
                own.clone(),
                Some("build checks of 0123456 started"),
            ),
            (
                "codebuild",
                "build-succeeded",
                own.clone(),
                Some("build checks of 0123456 passed"),
            ),
            (
                "codebuild",
                "build-failed",
                own.clone(),
                Some("build checks of 0123456 FAILED in BUILD: CODE: exit 1"),
            ),
            (
                "codebuild",
                "build-stopped",
                own,
                Some("build checks of 0123456 stopped"),
            ),
            (
                "codebuild",
                "build-failed",
                unsourced,
                Some("build checks FAILED in DOWNLOAD_SOURCE: CODE: none"),
            ),
            ("codebuild", "build-started", pipelines.clone(), None),
            ("codebuild", "build-succeeded", pipelines.clone(), Some("build passed")),
            (
                "codebuild",
                "build-failed",
                pipelines,
                Some("build FAILED in BUILD: CODE: exit 1"),
            ),
            ("sagemaker", "build-failed", json!({}), None),
            (
                "lambda",
                "logged",
                json!({"message": "training started", "trigger": "data", "execution": "arn:x:pipeline/churn/execution/abc"}),
                Some("retrain for data: training started: abc"),
            ),
            (
                "lambda",
                "logged",
                json!({"message": "no training is started", "trigger": "data", "reason": "2 new objects, 40 B; it takes 3 objects"}),
                Some("retrain for data: no training is started: 2 new objects, 40 B; it takes 3 objects"),
            ),
            ("lambda", "failed", json!({"error": "e"}), None),
            (
                "s3",
                "data-dropped",
                json!({"new": 2, "changed": 0, "bytes": 3100, "prefix": "data/"}),
                Some("data 2 new files (3.1 kB) under data/"),
            ),
            (
                "s3",
                "data-dropped",
                json!({"new": 0, "changed": 1, "bytes": 10, "prefix": "data/"}),
                Some("data 1 changed file (10 bytes) under data/"),
            ),
            (
                "s3",
                "data-dropped",
                json!({"new": 1, "changed": 1, "bytes": 10, "prefix": "data/"}),
                Some("data 1 new and 1 changed files (10 bytes) under data/"),
            ),
            (
                "s3",
                "data-refused",
                json!({"path": "a\nb", "reason": "its name has control characters"}),
                Some("data a b is not taken: its name has control characters"),
            ),
            ("s3", "lost", json!({}), None),
            (
                "chatbot",
                "posted",
                json!({"text": "*v3* serves\nnow"}),
                Some("chat to checks: *v3* serves now"),
            ),
            (
                "chatbot",
                "dropped",
                json!({"reason": "it has no description"}),
                Some("chat nothing to checks: a message was dropped: it has no description"),
            ),
            (
                "sns",
                "https",
                json!({"endpoint": "https://example.com/hook", "subject": null}),
                Some("https to https://example.com/hook: no subject"),
            ),
            ("sns", "mail", json!({}), None),
        ] {
            let happening = Happening {
                time: "2026-03-02T09:00:00Z".parse().unwrap(),
                service,
                subject: "checks".to_owned(),
                what,
                data,
            };
            let news = News::of(&happening).map(|news| news.to_string());
            assert_eq!(news.as_deref(), expected, "{what}");
        }
    }
}
