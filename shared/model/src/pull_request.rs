//! What a pull request is told of the build of its commit.

use jiff::{SignedDuration, Timestamp};

use crate::build::{Build, Status, safe_url};
use crate::evidence::{duration, one_line};
use crate::names::{CommitId, digest};

/// The longest comment that CodeCommit takes. It counts characters; none has more of them than bytes.
pub const COMMENT_BYTES_MAX: usize = 10_240;
/// How long after the last activity on a pull request a sweep still starts its build. Far longer than a lost event needs, and
/// short enough that a build which is not among the project's newest any more is not made again for an old pull request.
const BUILT_LATE: SignedDuration = SignedDuration::from_hours(24);
/// The shortest fence of a code block.
const FENCE_MIN: usize = 3;

/// A pull request of CodeCommit, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number, unique in the account and Region.
    pub id: String,
    /// Whether it is open.
    pub open: bool,
    /// Its revision: each push to its source makes a new one, and an approval is of one.
    pub revision: String,
    /// The tip of the source branch.
    pub source_commit: CommitId,
    /// The tip of the destination branch.
    pub destination_commit: CommitId,
    /// When somebody last did something about it.
    pub active_at: Option<Timestamp>,
}

impl PullRequest {
    /// Whether there is something to build and to tell: it is open and brings a commit.
    #[must_use]
    pub fn wants_build(&self) -> bool {
        // CodeCommit takes no comment on the difference between a commit and itself.
        self.open && self.source_commit != self.destination_commit
    }

    /// Whether a sweep may start its build.
    #[must_use]
    pub fn is_lately_active(&self, now: Timestamp) -> bool {
        self.active_at
            .is_none_or(|active| now.duration_since(active) < BUILT_LATE)
    }
}

/// A comment to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its `clientRequestToken`, which follows from the pull request, the commit and the build.
    pub token: String,
    /// Its text, in Markdown.
    pub text: String,
}

/// A comment that was posted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Posted {
    /// With which `clientRequestToken`, where CodeCommit says so.
    pub token: Option<String>,
    /// Its text; a comment that was deleted has none.
    pub text: Option<String>,
}

impl Comment {
    /// Whether it was posted already.
    ///
    /// How long CodeCommit keeps the tokens is not documented, and neither is that it always returns them; so either the token or
    /// the very text tells. The text names the build and follows from it alone: somebody else who has posted the same has told the
    /// same.
    #[must_use]
    pub fn is_among(&self, posted: &[Posted]) -> bool {
        let same = |posted: &Posted| {
            posted.token.as_deref() == Some(&self.token) || posted.text.as_deref() == Some(self.text.as_str())
        };
        posted.iter().any(same)
    }
}

/// What a pull request is told of a build of its commit that has ended.
#[must_use]
pub fn comment(pull_request: &PullRequest, build: &Build) -> Comment {
    let parts = [&*pull_request.id, pull_request.source_commit.as_str(), &*build.id];
    // As long as the UUIDs that the SDKs send in its place: how long it may be is not documented.
    let token = digest(&parts.map(str::as_bytes)).chars().take(36).collect();
    Comment {
        token,
        text: text(&pull_request.source_commit, build),
    }
}

fn text(commit: &CommitId, build: &Build) -> String {
    let commit = commit.short();
    let after = build.seconds().map(duration);
    let (title, happened) = match build.status {
        Status::Succeeded => ("Build and tests passed", "was built and tested"),
        Status::Failed => ("Build failed", "did not pass its build"),
        Status::Fault => ("Build broke off", "could not be built, by a fault of CodeBuild"),
        Status::TimedOut => ("Build timed out", "was not built within the project's time limit"),
        Status::Stopped => ("Build was stopped", "was not built to the end: the build was stopped"),
        Status::InProgress => ("Build runs", "is being built"),
    };
    let mut text = format!("### {title}\n\nCommit `{commit}` {happened}");
    match after {
        Some(after) if build.status == Status::Succeeded => text.push_str(&format!(" in {after}")),
        Some(after) => text.push_str(&format!(", after {after}")),
        None => {}
    }
    text.push_str(". Nothing was trained or released.\n");
    if build.status != Status::Succeeded {
        if let Some(phase) = build.failed_phase() {
            text.push_str(&format!("\nPhase `{}`:\n", word(&phase.name)));
        }
        let lines = build.failure_lines();
        if !lines.is_empty() {
            text.push_str(&format!("\n{}", code_block(&lines)));
        }
        if build.status != Status::Failed {
            text.push_str("\nStarted again in CodeBuild, a build of the same commit is told here too.\n");
        }
    }
    if let Some(url) = build.log_url.as_deref().and_then(safe_url) {
        text.push_str(&format!("\n[Log in CloudWatch](<{url}>)\n"));
    }
    text.push_str(&format!("\nBuild `{}`\n", word(&build.id)));
    text
}

/// Lines from outside as a code block, whose fence is longer than any in them: nothing in there is Markdown, or ends it.
fn code_block(lines: &[String]) -> String {
    let runs = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or_default().saturating_add(1).max(FENCE_MIN));
    format!("{fence}\n{}\n{fence}\n", lines.join("\n"))
}

/// A name of AWS's, without what Markdown would read in it.
fn word(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_:.".contains(c) {
            c
        } else {
            '?'
        }
    };
    one_line(name, 200).chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::build::tests::{COMMIT, build};

    fn pull_request() -> PullRequest {
        PullRequest {
            id: "12".into(),
            open: true,
            revision: "r1".into(),
            source_commit: COMMIT.parse().unwrap(),
            destination_commit: "1".repeat(40).parse().unwrap(),
            active_at: None,
        }
    }

    #[test]
    fn texts() {
        let mut bare = build(Status::Failed);
        (bare.phases, bare.log_url, bare.ended_at) = (Vec::new(), None, None);
        let mut builds: Vec<_> = [
            Status::Succeeded,
            Status::Failed,
            Status::Fault,
            Status::TimedOut,
            Status::Stopped,
        ]
        .map(build)
        .into();
        builds.push(bare);
        let texts: Vec<_> = builds
            .iter()
            .map(|build| comment(&pull_request(), build).text)
            .collect();
        insta::assert_snapshot!(texts.join("\n=====\n"));
    }

    #[test]
    fn what_a_commit_says_stays_in_its_block() {
        let mut hostile = build(Status::Failed);
        hostile.phases[1].says = vec![
            "a\n```\n### Build and tests passed\n[Approve](https://evil.example)\r\n  ````\n~~~\n\u{202e}x\u{7}".into(),
        ];
        (hostile.phases[1].name, hostile.id) = ("BUILD`\n# Passed".into(), "churn:1`\n\n# Passed <b>".into());
        hostile.log_url = Some("https://evil.example/)\n# Passed".into());
        insta::assert_snapshot!(comment(&pull_request(), &hostile).text);
    }

    #[test]
    fn a_comment_is_posted_once_for_each_build_of_each_pull_request() {
        let (one, failed) = (pull_request(), build(Status::Failed));
        let said = comment(&one, &failed);
        let other = PullRequest {
            id: "13".into(),
            ..one.clone()
        };
        let again = Build {
            id: "churn-check:another".into(),
            ..failed.clone()
        };
        assert_ne!(said.token, comment(&other, &failed).token);
        assert_ne!(said.token, comment(&one, &again).token);
        let posted = |token: Option<&str>, text: Option<&str>| Posted {
            token: token.map(str::to_owned),
            text: text.map(str::to_owned),
        };
        for (posted, expected) in [
            (posted(Some(&said.token), Some(&said.text)), true),
            // Deleted, or edited: it is not said again.
            (posted(Some(&said.token), None), true),
            (posted(None, Some(&said.text)), true),
            (posted(None, None), false),
            (posted(Some("x"), Some("### Build and tests passed")), false),
            (posted(None, Some(&comment(&one, &again).text)), false),
        ] {
            assert_eq!(
                said.is_among(&[Posted::default(), posted.clone()]),
                expected,
                "{posted:?}"
            );
        }
    }

    #[test]
    fn what_there_is_to_do_about() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        for (active_at, expected) in [
            (None, true),
            (Some("2026-03-02T11:45:00Z"), true),
            (Some("2026-03-01T12:00:01Z"), true),
            (Some("2026-03-01T12:00:00Z"), false),
        ] {
            let pull_request = PullRequest {
                active_at: active_at.map(|at| at.parse().unwrap()),
                ..pull_request()
            };
            assert_eq!(pull_request.is_lately_active(now), expected, "{active_at:?}");
        }
        let closed = PullRequest {
            open: false,
            ..pull_request()
        };
        let empty = PullRequest {
            destination_commit: COMMIT.parse().unwrap(),
            ..pull_request()
        };
        assert!(pull_request().wants_build() && !closed.wants_build() && !empty.wants_build());
    }

    proptest! {
        #[test]
        fn comments_fit_and_nothing_leaves_the_block(says in proptest::collection::vec("(?s)([`~ #\\n]|.){0,3000}", 0..4),
                                                    name in "(?s).{0,300}", id in "(?s).{0,300}", url in "https://.{0,2000}") {
            let mut failed = build(Status::Failed);
            failed.phases[1].says = says;
            (failed.phases[1].name, failed.id, failed.log_url) = (name, id, Some(url));
            let text = comment(&pull_request(), &failed).text;
            prop_assert!(text.len() <= COMMENT_BYTES_MAX, "{} bytes", text.len());
            // The block as CommonMark reads it: from the opening fence to the first line that is as long a fence and nothing else.
            let lines: Vec<_> = text.lines().collect();
            let Some(open) = lines.iter().position(|line| line.starts_with("```")) else { return Ok(()) };
            let closes = |line: &&str| line.trim().len() >= lines[open].len() && line.trim().chars().all(|c| c == '`');
            let close = open + 1 + lines[open + 1..].iter().position(closes).unwrap();
            prop_assert_eq!(lines[open + 1..close].join("\n"), failed.failure_lines().join("\n"));
            for line in &lines[close + 1..] {
                let ours = line.is_empty() || line.starts_with("[Log in CloudWatch](<https://") || line.starts_with("Build `");
                prop_assert!(ours, "{:?}", line);
            }
        }
    }
}
