//! Mails, chat messages and comments, with an enemy's words wherever anything comes from outside.

#![no_main]

use fuzz::{Hostile, Numbers, Shown, Time, Vote, is_unseen, metrics, model};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signalbox_model::build::{Build, Phase, Status, safe_url};
use signalbox_model::evidence::{Champion, one_line};
use signalbox_model::failures::Row;
use signalbox_model::lineage::Lineage;
use signalbox_model::mail::{self, COLUMNS, Failed, FailedAction, Occasion, TakeBack, TakenBack, Trouble};
use signalbox_model::names::{CommitId, job_log_url};
use signalbox_model::notice::chat::{self, DESCRIPTION_CHARS_MAX, TITLE_CHARS_MAX};
use signalbox_model::notice::{BODY_BYTES_MAX, Notice, SUBJECT_CHARS_MAX};
use signalbox_model::pull_request::{self, COMMENT_BYTES_MAX, PullRequest};

/// The links of our own. The first two are signed.
const APPROVE: &str = "https://example.com/?c=eyJwIjoiY2h1cm4ifQ&m=AAECAwQF";
const TAKE_BACK: &str = "https://example.com/?u=eyJ2IjoiYXJuIn0&m=AAECAwQF";
const CONSOLE: &str = "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/churn";
/// The command in the mail about a deployment is a line of its own, too.
const COMMAND: &str =
    "aws codepipeline start-pipeline-execution --name churn-rollback --variables name=Undoes,value=serving";
const OURS: [&str; 4] = [APPROVE, TAKE_BACK, CONSOLE, COMMAND];

#[derive(Debug, Arbitrary)]
struct Input {
    shown: Shown,
    approver: Hostile,
    votes: Vec<Vote>,
    words: [Hostile; 4],
    some: Option<Hostile>,
    numbers: Numbers,
    version: u32,
    at: Time,
    count: u16,
    occasion: u8,
    build: Option<BuildOf>,
    job: Option<Hostile>,
    chars: u8,
}

#[derive(Debug, Arbitrary)]
struct BuildOf {
    id: Hostile,
    phases: Vec<(Hostile, u8, Vec<Hostile>)>,
    log_url: Option<Hostile>,
    status: u8,
    times: Option<(Time, Time)>,
}

fuzz_target!(|input: Input| {
    lines(&input);
    // Where logs are, CodeBuild says, and a job's ARN.
    let log_url = input.build.as_ref().and_then(|build| build.log_url.as_ref());
    let [.., said] = &input.words;
    let said = log_url
        .into_iter()
        .chain([said])
        .filter_map(|url| safe_url(url.as_str()));
    let of_job = input.job.as_ref().and_then(|job| job_log_url(job.as_str()));
    let logs: Vec<&str> = said.chain(of_job.as_deref()).collect();
    for notice in notices(&input).unwrap_or_default() {
        is_sound(&notice, &logs);
        in_chat(&notice);
    }
    let [first, second, ..] = &input.words;
    // A notice of any words at all.
    let notice = Notice::new(first.as_str(), second.as_str());
    subject_fits(&notice);
    in_chat(&notice);
    if let Some(build) = &input.build {
        comment(&build.build());
    }
});

/// A line is one, is bounded, and says where something was left out.
fn lines(input: &Input) {
    let (text, chars) = (input.words[0].as_str(), usize::from(input.chars));
    let line = one_line(text, chars);
    assert!(
        line.chars().count() <= chars && !line.chars().any(is_unseen),
        "{line:?}"
    );
    assert_eq!(one_line(&line, chars), line);
    let letters = |text: &str| text.chars().filter(|c| c.is_ascii_alphanumeric()).count();
    assert!(
        chars == 0 || line.ends_with('…') || letters(&line) == letters(text),
        "{text:?} is {line:?}"
    );
}

/// All mails.
fn notices(input: &Input) -> Option<Vec<Notice>> {
    let (model, evidence) = (model()?, input.shown.evidence()?);
    let version = input.version;
    let votes: Vec<_> = input.votes.iter().map(Vote::decided).collect();
    let [first, second, third, fourth] = input.words.each_ref().map(Hostile::as_str);
    let some = input.some.as_ref().map(Hostile::as_str);
    let numbers = metrics(&input.numbers);
    let champion = Champion {
        version,
        metrics: evidence.metrics.clone(),
    };
    let left_seconds = u64::from(input.count);
    let occasion = [Occasion::First, Occasion::Reminder { left_seconds }, Occasion::Changed];
    let occasion = occasion.get(usize::from(input.occasion % 3))?;
    let take_back = TakeBack {
        link: TAKE_BACK,
        pipeline: "churn-rollback",
    };
    let taken_back = TakenBack {
        serving: Some(version),
        alarm: some,
        numbers: Some(first),
        reason: second,
        endpoint_url: CONSOLE,
        log_url: "",
    };
    let lineage: &Lineage = &evidence.lineage;
    let job = input.job.as_ref().map(|job| job.0.clone());
    let failed = Failed {
        execution: first,
        lineage,
        step: some,
        reason: second,
        job: job.as_deref(),
        numbers: Some(&numbers),
        row: Some(Row {
            count: usize::from(input.count),
            untold: usize::from(input.count).max(1),
            since: Some(input.at.0),
        }),
    };
    let build = input.build.as_ref().map(BuildOf::build);
    let action = FailedAction {
        pipeline: first,
        stage: second,
        action: third,
        reason: some,
        build: build.as_ref(),
        log_url: Some(fourth),
        execution_url: CONSOLE,
    };
    let notes = [first, second].map(str::to_owned);
    let mut notices = vec![
        mail::approval_request(&evidence, input.approver.as_str(), APPROVE, &votes, occasion),
        mail::automatic(&evidence),
        mail::rejected(&model, version, first, Some(input.at.0), second),
        mail::expired(&model, version, input.at.0, &evidence.approvers),
        mail::superseded_by(&model, version, 8),
        mail::stopped(&model, version),
        mail::rollout_started(&model, version, Some(6), some, first, &notes),
        mail::traffic_shifted(&model, version, 50, Some(version)),
        mail::deployed(&model, version, Some(6), some, first, second, Some(&take_back)),
        mail::rolled_back(&model, version, &taken_back),
        mail::superseded(&model, version, first),
        mail::rollback_failed(&model, first, second, CONSOLE),
        mail::not_scaled(&model, first),
        mail::endpoint_troubled(&model, Trouble::RollingBack, first, second),
        mail::alarm_left(&model, first, second, third),
        mail::release_failed(&model, version, first, second, CONSOLE),
        mail::gate_not_met(&model, version, first, &numbers, Some(&champion)),
        mail::training_failed(&model, &failed),
        mail::action_failed(&model, &action),
    ];
    if let [stands, lost, ..] = votes.as_slice() {
        notices.push(mail::crossed(&model, version, stands, lost, first));
    }
    Some(notices)
}

/// A mail reads well, and the only addresses in it are ours, each on a line of its own.
fn is_sound(notice: &Notice, logs: &[&str]) {
    subject_fits(notice);
    let body = notice.body();
    assert!(body.len() <= BODY_BYTES_MAX && body.ends_with('\n') && !body.ends_with("\n\n"));
    for line in body.lines() {
        assert!(!line.chars().any(is_unseen), "{line:?}");
        if OURS.contains(&line) || logs.contains(&line) {
            continue;
        }
        // An execution's ARN is one word, to be copied.
        let fits = line.chars().count() <= COLUMNS || is_execution(notice, line);
        assert!(fits, "{line:?}");
        assert!(!has_address(line), "an address of somebody else's: {line:?}");
    }
    let signed = body
        .lines()
        .filter(|line| line.contains("&m=") && line.starts_with("https://"))
        .count();
    assert!(signed <= 1);
}

/// Whether a mail program might make a link of something there: of a scheme, which begins with a letter, or of a word after `www.`. To
/// `s3://` there is no program.
fn has_address(line: &str) -> bool {
    let line = line.to_ascii_lowercase().replace("s3://", " ");
    let scheme = |(at, _): (usize, &str)| {
        let before = line.get(..at).unwrap_or_default().chars().rev();
        before
            .take_while(char::is_ascii_alphanumeric)
            .any(|c| c.is_ascii_alphabetic())
    };
    let goes_on = |rest: &str| rest.starts_with(|c: char| !c.is_whitespace());
    line.match_indices("://").any(scheme) || line.split("www.").skip(1).any(goes_on)
}

fn is_execution(notice: &Notice, line: &str) -> bool {
    let mut lines = notice.body().lines();
    lines.any(|before| before == "Execution:") && lines.next() == Some(line)
}

fn subject_fits(notice: &Notice) {
    let subject = notice.subject();
    assert!(
        subject.len() <= SUBJECT_CHARS_MAX && subject.chars().all(|c| matches!(c, ' '..='~')),
        "{subject:?}"
    );
    assert!(!subject.starts_with(' '));
}

/// A channel sees no signed link, nobody is called, and nothing is markup.
fn in_chat(notice: &Notice) {
    let message = chat::message(notice);
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (title, description) = (text("/content/title"), text("/content/description"));
    assert!(title.chars().count() <= TITLE_CHARS_MAX && description.chars().count() <= DESCRIPTION_CHARS_MAX);
    assert!(!description.is_empty() || title.is_empty());
    let signed = |line: &str| ["&m=", "?c=", "?u="].iter().any(|part| line.contains(part));
    // Without anything else to say it is the title.
    assert!(
        description == title || !description.lines().any(signed),
        "{description:?}"
    );
    for line in [title].into_iter().chain(description.lines()) {
        assert!(is_text(line), "{line:?}");
        if line.starts_with("https://") && !line.contains(|c: char| c.is_whitespace() || !c.is_ascii()) {
            continue;
        }
        assert!(!line.contains(['&', '~', '#']), "{line:?}");
    }
    // Both as one message: JSON in JSON, which SNS takes.
    let both = chat::with_chat(notice);
    assert!(both.len() <= BODY_BYTES_MAX && !both.contains('\n'));
    let both: Value = serde_json::from_str(&both).unwrap_or_default();
    let part = |name: &str| both.get(name).and_then(Value::as_str).unwrap_or_default();
    assert!(notice.body().starts_with(part("email")) && part("default") == part("email"));
    assert_eq!(
        serde_json::from_str::<Value>(part("https")).ok().as_ref(),
        Some(&message)
    );
}

/// Nothing in it is markup, and an at sign calls nobody, as a joiner follows it, or the end of a text that was cut.
fn is_text(line: &str) -> bool {
    let at = |rest: &str| rest.is_empty() || rest.starts_with(['\u{2060}', '…']);
    !line.contains(['<', '>', '*', '`', '[', ']', '|', '\\']) && line.split('@').skip(1).all(at)
}

/// A comment fits, and what a build has said stays within its block.
fn comment(build: &Build) {
    let Ok(commit) = "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a".parse::<CommitId>() else {
        return;
    };
    let pull_request = PullRequest {
        id: "7".to_owned(),
        open: true,
        revision: "a".to_owned(),
        source_commit: commit.clone(),
        destination_commit: commit,
        active_at: None,
    };
    let comment = pull_request::comment(&pull_request, build);
    let text = comment.text.as_str();
    assert!(text.len() <= COMMENT_BYTES_MAX && comment.token.len() == 36);
    assert_eq!(pull_request::comment(&pull_request, build).token, comment.token);
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        match fence {
            None if line.starts_with("```") => fence = Some(line),
            None => {
                let ours = [
                    "### ",
                    "Commit `0f3c2b1a` ",
                    "Phase `",
                    "Started again ",
                    "[Log in CloudWatch](<https://",
                    "Build `",
                ];
                assert!(
                    line.is_empty() || ours.iter().any(|ours| line.starts_with(ours)),
                    "{line:?}"
                );
                assert!(!line.contains('!') && !line.contains("<script"), "{line:?}");
            }
            // As CommonMark closes a block: a line of backticks alone, as many or more.
            Some(open) => {
                let ticks = line.trim();
                if ticks.len() >= open.len() && ticks.chars().all(|c| c == '`') {
                    assert_eq!(line, open);
                    fence = None;
                }
            }
        }
    }
    assert_eq!(fence, None, "a block that does not end");
}

impl BuildOf {
    fn build(&self) -> Build {
        let words = ["SUCCEEDED", "FAILED", "FAULT", "TIMED_OUT", "STOPPED", "IN_PROGRESS"];
        let status = |word: u8| Status::parse(words.get(usize::from(word) % words.len()).copied().unwrap_or_default());
        let phase = |(name, word, says): &(Hostile, u8, Vec<Hostile>)| Phase {
            name: name.0.clone(),
            status: status(*word),
            says: says.iter().map(|says| says.0.clone()).collect(),
        };
        Build {
            id: self.id.0.clone(),
            commit: None,
            status: status(self.status),
            phases: self.phases.iter().map(phase).collect(),
            started_at: self.times.map(|(from, _)| from.0),
            ended_at: self.times.map(|(_, to)| to.0),
            log_url: self.log_url.as_ref().map(|url| url.0.clone()),
        }
    }
}
