//! The builds of commits that are not released: whether one is due, and how it ended.

use jiff::Timestamp;

use crate::evidence::one_line;
use crate::names::CommitId;

/// The longest line of what a failed phase says, in characters.
const LINE_CHARS_MAX: usize = 300;
/// How many lines of it are shown.
const LINES_MAX: usize = 20;
/// How many bytes they have together, at most.
const LINES_BYTES_MAX: usize = 6_000;
/// The longest address that is shown, in bytes.
const URL_BYTES_MAX: usize = 1_000;

/// How a build, or one of its phases, stands.
///
/// See `StatusType` in <https://docs.aws.amazon.com/codebuild/latest/APIReference/API_Build.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It waits or runs.
    InProgress,
    /// It has ended well.
    Succeeded,
    /// A command has failed, or the source could not be had.
    Failed,
    /// CodeBuild itself has failed.
    Fault,
    /// It took longer than the project lets it.
    TimedOut,
    /// Somebody stopped it.
    Stopped,
}

impl Status {
    /// Reads CodeBuild's word. One that is not known here is taken for a build that may still change.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "SUCCEEDED" => Self::Succeeded,
            "FAILED" => Self::Failed,
            "FAULT" => Self::Fault,
            "TIMED_OUT" => Self::TimedOut,
            "STOPPED" => Self::Stopped,
            _ => Self::InProgress,
        }
    }

    /// Whether it stays so.
    #[must_use]
    pub fn has_ended(self) -> bool {
        self != Self::InProgress
    }
}

/// One phase of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// CodeBuild's name for it: `DOWNLOAD_SOURCE`, `BUILD`.
    pub name: String,
    /// How it stands.
    pub status: Status,
    /// What CodeBuild says of it: the command that failed, and its exit code.
    pub says: Vec<String>,
}

/// A build of CodeBuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// `PROJECT:UUID`.
    pub id: String,
    /// What was built, where that is a commit.
    pub commit: Option<CommitId>,
    /// How it stands.
    pub status: Status,
    /// Its phases, in their order.
    pub phases: Vec<Phase>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Where CloudWatch has its log, once there is one.
    pub log_url: Option<String>,
}

impl Build {
    /// The phase that it failed in: the first, as CodeBuild runs `POST_BUILD` after a `BUILD` that has failed.
    #[must_use]
    pub fn failed_phase(&self) -> Option<&Phase> {
        let failed = |phase: &&Phase| phase.status.has_ended() && phase.status != Status::Succeeded;
        self.phases.iter().find(failed)
    }

    /// What is known of the failure: the last lines of what the failed phase says, each bounded. The text is the commit's: whoever
    /// can push has chosen it.
    #[must_use]
    pub fn failure_lines(&self) -> Vec<String> {
        let says = self.failed_phase().map(|phase| phase.says.as_slice());
        let lines = says.unwrap_or_default().iter().flat_map(|text| text.lines());
        let lines: Vec<_> = lines
            .map(|line| one_line(line, LINE_CHARS_MAX))
            .filter(|line| !line.is_empty())
            .collect();
        let mut bytes = 0;
        let fits = |line: &String| {
            bytes += line.len() + 1;
            bytes <= LINES_BYTES_MAX
        };
        let mut shown: Vec<_> = lines.into_iter().rev().take(LINES_MAX).take_while(fits).collect();
        shown.reverse();
        shown
    }

    /// How long it took, in seconds, once it has ended.
    #[must_use]
    pub fn seconds(&self) -> Option<u64> {
        let (from, to) = self.started_at.zip(self.ended_at)?;
        u64::try_from(to.duration_since(from).as_secs()).ok()
    }
}

/// The id of a build, `PROJECT:UUID`, from its ARN; an id stays what it is.
#[must_use]
pub fn id_of(arn: &str) -> &str {
    arn.split_once(":build/").map_or(arn, |(_, id)| id)
}

/// An address that may be shown as a link: HTTPS, not overly long, and of characters that end a link neither in Markdown nor in a
/// plain text.
#[must_use]
pub fn safe_url(url: &str) -> Option<&str> {
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"<>()[]{}\\\"'`^|".contains(&b);
    let is_safe = url.starts_with("https://") && url.len() <= URL_BYTES_MAX && url.bytes().all(is_plain);
    is_safe.then_some(url)
}

/// What to do about a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// Build it.
    Build,
    /// Nothing yet: it is being built.
    Wait(&'a Build),
    /// Tell how its build ended.
    Report(&'a Build),
}

/// Decides what to do about a commit, from the project's newest builds, newest first.
///
/// A commit is built once, however its build ended: to repeat one that CodeBuild or somebody has broken off is for a person to say,
/// who starts a build of the same commit; the newest is the one that counts.
#[must_use]
pub fn next<'a>(commit: &CommitId, builds: &'a [Build]) -> Next<'a> {
    match builds.iter().find(|build| build.commit.as_ref() == Some(commit)) {
        None => Next::Build,
        Some(build) if build.status.has_ended() => Next::Report(build),
        Some(build) => Next::Wait(build),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The commit that the samples are of.
    pub(crate) const COMMIT: &str = "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a";

    fn phase(name: &str, status: Status, says: &[&str]) -> Phase {
        Phase {
            name: name.to_owned(),
            status,
            says: says.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    /// A build that has ended so, after 72 seconds; where it has failed, in its unit tests.
    pub(crate) fn build(status: Status) -> Build {
        let build = if status == Status::Succeeded {
            phase("BUILD", status, &[])
        } else {
            let says =
                "COMMAND_EXECUTION_ERROR: Error while executing command: python3 -m unittest. Reason: exit status 1";
            phase("BUILD", status, &[says])
        };
        let started_at: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        Build {
            id: "churn-check:8745a7a9-c340-456a-9166-edf953571bcd".into(),
            commit: Some(COMMIT.parse().unwrap()),
            status,
            phases: vec![
                phase("DOWNLOAD_SOURCE", Status::Succeeded, &[]),
                build,
                phase("POST_BUILD", Status::Failed, &["something that follows from it"]),
            ],
            started_at: Some(started_at),
            ended_at: status
                .has_ended()
                .then(|| started_at + jiff::SignedDuration::from_secs(72)),
            log_url: Some(LOG.into()),
        }
    }

    pub(crate) const LOG: &str = "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logEvent:group=/aws/codebuild/churn-check;stream=8745a7a9-c340-456a-9166-edf953571bcd";

    #[test]
    fn the_newest_build_of_the_commit_counts() {
        let commit: CommitId = COMMIT.parse().unwrap();
        let other = |status| Build {
            commit: Some("1".repeat(40).parse().unwrap()),
            ..build(status)
        };
        let of_branch = Build {
            commit: None,
            ..build(Status::InProgress)
        };
        let (runs, failed, succeeded) = (
            build(Status::InProgress),
            build(Status::Failed),
            build(Status::Succeeded),
        );
        for (builds, expected) in [
            (vec![], Next::Build),
            (vec![other(Status::InProgress), of_branch], Next::Build),
            (vec![other(Status::Failed), runs.clone()], Next::Wait(&runs)),
            (vec![runs.clone(), failed.clone()], Next::Wait(&runs)),
            (vec![failed.clone(), succeeded.clone()], Next::Report(&failed)),
            (vec![succeeded.clone(), failed.clone()], Next::Report(&succeeded)),
        ] {
            assert_eq!(next(&commit, &builds), expected);
        }
        for status in [Status::Stopped, Status::Fault, Status::TimedOut] {
            let builds = [build(status)];
            assert_eq!(next(&commit, &builds), Next::Report(&builds[0]));
        }
    }

    #[test]
    fn words_of_codebuild() {
        for (word, status, ended) in [
            ("SUCCEEDED", Status::Succeeded, true),
            ("FAILED", Status::Failed, true),
            ("FAULT", Status::Fault, true),
            ("TIMED_OUT", Status::TimedOut, true),
            ("STOPPED", Status::Stopped, true),
            ("IN_PROGRESS", Status::InProgress, false),
            ("PONDERING", Status::InProgress, false),
        ] {
            assert_eq!((Status::parse(word), status.has_ended()), (status, ended), "{word}");
        }
    }

    #[test]
    fn the_first_phase_that_failed_is_the_cause() {
        let failed = build(Status::Failed);
        assert_eq!(failed.failed_phase().map(|phase| phase.name.as_str()), Some("BUILD"));
        assert_eq!(failed.seconds(), Some(72));
        let mut nothing_said = failed.clone();
        nothing_said.phases.clear();
        assert_eq!(
            (nothing_said.failed_phase(), nothing_said.failure_lines()),
            (None, vec![])
        );
        let mut talkative = failed;
        let says: Vec<_> = (0..99).map(|number| format!("line {number}\n\n\t")).collect();
        talkative.phases[1].says = vec![says.concat()];
        let lines = talkative.failure_lines();
        assert_eq!(
            (lines.len(), lines[0].as_str(), lines[19].as_str()),
            (20, "line 79", "line 98")
        );
    }

    #[test]
    fn long_lines_are_fewer() {
        // Each with its line break: twenty of 300 bytes are exactly what may be shown.
        for (line, count) in [
            ("x".repeat(299), 20),
            ("x".repeat(300), 19),
            ("ä".repeat(299), 10),
            ("ä".repeat(300), 9),
        ] {
            let mut talkative = build(Status::Failed);
            talkative.phases[1].says = vec![line.clone(); 30];
            assert_eq!(talkative.failure_lines(), vec![line.clone(); count], "{line}");
        }
    }

    #[test]
    fn ids_and_addresses() {
        let id = "churn-check:8745a7a9-c340-456a-9166-edf953571bcd";
        let arn = format!("arn:aws:codebuild:eu-west-1:123456789012:build/{id}");
        assert_eq!((id_of(&arn), id_of(id)), (id, id));
        assert_eq!(safe_url(LOG), Some(LOG));
        for bad in [
            "",
            "http://example.com/",
            "javascript:alert(1)",
            "https://example.com/ two",
            "https://example.com/)[more](x",
            "https://example.com/>",
            "https://exämple.com/",
            "https://example.com/\nhttps://example.com/",
            &format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX)),
        ] {
            assert_eq!(safe_url(bad), None, "{bad}");
        }
    }
}
