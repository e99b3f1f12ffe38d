//! Mails about what waits for a decision, and what became of it.

use jiff::Timestamp;

use super::text::{Text, plain};
use crate::decision::{Decided, approvals, quorum};
use crate::evidence::{Evidence, asked_for, duration, number, utc, why};
use crate::names::ModelName;
use crate::notice::Notice;

/// Why somebody is asked to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// The version has come up for approval.
    First,
    /// They were asked before, and time runs out.
    Reminder {
        /// How long the approval still waits, in seconds.
        left_seconds: u64,
    },
    /// They were asked before, and what they were shown is no longer so: the links that were sent decide nothing any more.
    Changed,
}

/// Asks `approver` to decide. The `link` is theirs alone; `votes` is what others have decided so far.
#[must_use]
pub fn approval_request(
    evidence: &Evidence,
    approver: &str,
    link: &str,
    votes: &[Decided],
    occasion: &Occasion,
) -> Notice {
    let (model, version) = (&evidence.model, evidence.version());
    let waits = format!("{model} v{version} {} and waits for your decision.", passed(evidence));
    let mut text = Text::new();
    let subject = match occasion {
        Occasion::First => {
            text.paragraph(&waits);
            format!("approve {model} v{version}?")
        }
        Occasion::Reminder { left_seconds } => {
            text.paragraph(&format!(
                "{waits} The approval expires in {}. This is the same decision as in the earlier mail, whose link \
                 still works.",
                duration(*left_seconds)
            ));
            format!("reminder: approve {model} v{version}?")
        }
        Occasion::Changed => {
            text.paragraph(&format!(
                "{waits} What you were shown of it has changed since: another version serves by now, or the policy is \
                 a new one. The links that were sent before decide nothing any more; the one in this mail does."
            ));
            format!("changed: approve {model} v{version}?")
        }
    };
    so_far(&mut text, votes, evidence.approvals_needed);
    text.line("To look at it and decide, open:");
    text.blank();
    text.link(link);
    text.paragraph("Opening the link decides nothing. You approve or reject on the page. The link is yours alone: do not pass it on.");

    shown(&mut text, evidence);

    text.heading("What happens when you approve");
    text.paragraph(&format!("{}.", plain(&evidence.plan)));
    text.heading("Who else was asked");
    let others: Vec<_> = evidence
        .approvers
        .iter()
        .filter(|other| *other != approver)
        .map(|other| plain(other))
        .collect();
    let quorum = quorum(evidence.approvals_needed);
    match others.is_empty() {
        true if evidence.approvals_needed <= 1 => text.paragraph("Nobody: the decision is yours."),
        true => text.paragraph(&format!("Nobody. {quorum}")),
        false => text.paragraph(&format!("{}. {quorum}", others.join(", "))),
    }
    text.heading("Until when");
    text.paragraph(&format!(
        "{}. UTC is the time in London in winter; your clock may be ahead or behind. If it is not decided by then, the \
         release ends and nothing changes.",
        utc(evidence.expires)
    ));
    text.notice(&format!("[signalbox] {subject}"))
}

/// Tells that a version is released without anybody's decision, with all that an approver would be shown.
#[must_use]
pub fn automatic(evidence: &Evidence) -> Notice {
    let (model, version) = (&evidence.model, evidence.version());
    let mut text = Text::new();
    text.paragraph(&format!(
        "{model} v{version} {} and is released by the automatic policy: nobody is asked.",
        passed(evidence)
    ));
    shown(&mut text, evidence);
    text.heading("What happens now");
    text.paragraph(&format!("{}.", plain(&evidence.plan)));
    text.notice(&format!("[signalbox] {model} v{version} released automatically"))
        .about(model, version)
}

fn passed(evidence: &Evidence) -> &'static str {
    if evidence.gate.iter().all(|verdict| verdict.held) {
        "passed its gate"
    } else {
        "did not pass every rule of its gate"
    }
}

/// Who has approved, with their words, where somebody has.
fn so_far(text: &mut Text, votes: &[Decided], needed: u32) {
    let approvals = approvals(votes);
    if approvals.is_empty() {
        return;
    }
    let by: Vec<_> = approvals.iter().map(|vote| plain(&vote.by)).collect();
    text.line(&format!(
        "Approved so far: {}, {} of {needed}",
        by.join(", "),
        approvals.len()
    ));
    for vote in approvals.iter().filter(|vote| !vote.comment.trim().is_empty()) {
        text.bullet(&format!("{}: {}", plain(&vote.by), plain(&vote.comment)));
    }
    text.blank();
}

/// What a decision rests on: the lineage, the numbers and the gate.
fn shown(text: &mut Text, evidence: &Evidence) {
    let lineage = &evidence.lineage;
    text.heading("Why it was trained");
    text.item("Trigger", &why(lineage));
    text.optional("Commit", lineage.commit.as_deref().unwrap_or_default());
    text.optional("Author", lineage.author.as_deref().unwrap_or_default());
    text.quote("Message", lineage.message.as_deref().unwrap_or_default());
    text.optional("Data", lineage.data.as_deref().unwrap_or_default());
    text.optional("New data", &asked_for(lineage).unwrap_or_default());
    if let Some(seconds) = evidence.trained_seconds {
        text.item("Training took", &duration(seconds));
    }
    text.blank();

    text.metrics(evidence.version(), &evidence.rows(), evidence.champion.as_ref());
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
}

/// Tells that a person refused a version, and when, where that is known.
#[must_use]
pub fn rejected(model: &ModelName, version: u32, by: &str, at: Option<Timestamp>, comment: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "{model} v{version} was rejected. What serves now stays as it is."
    ));
    text.item("By", by);
    if let Some(at) = at {
        text.item("When", &utc(at));
    }
    text.quote("Comment", if comment.trim().is_empty() { "none" } else { comment });
    text.notice(&format!("[signalbox] {model} v{version} rejected"))
        .about(model, version)
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
        .about(model, version)
}

/// Tells that a version which waited for approval made way for the newer version `by`.
#[must_use]
pub fn superseded_by(model: &ModelName, version: u32, by: u32) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "{model} v{version} waited for approval. It was rejected as superseded by v{by}, which passed its gate."
    ));
    text.paragraph(&format!(
        "There is nothing to do. To release v{version} after all, approve it in the model registry."
    ));
    text.notice(&format!("[signalbox] {model} v{version} superseded by v{by}"))
        .about(model, version)
}

/// Tells that the release was stopped in CodePipeline while it waited for approval.
#[must_use]
pub fn stopped(model: &ModelName, version: u32) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "The release of {model} v{version} was stopped in CodePipeline while it waited for approval. What serves now \
         stays as it is."
    ));
    text.paragraph(
        "The links that were sent decide nothing any more. To release the version after all, approve it in the model \
         registry.",
    );
    text.notice(&format!("[signalbox] {model} v{version} stopped"))
        .about(model, version)
}

/// Tells whoever decided second that another decision, by another door, came first. `stands` is the one that counts, `lost` theirs.
#[must_use]
pub fn crossed(model: &ModelName, version: u32, stands: &Decided, lost: &Decided, what_to_do: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "There were two decisions on {model} v{version}, and they crossed on the way. The first stands: it is {}. The \
         second changed nothing.",
        stands.decision.done()
    ));
    told(&mut text, "Stands", stands);
    told(&mut text, "Changed nothing", lost);
    text.blank();
    text.optional("What to do", what_to_do);
    text.notice(&format!("[signalbox] {model} v{version}: two decisions crossed"))
        .about(model, version)
}

/// One decision: what, who, when and with which words.
fn told(text: &mut Text, name: &str, decided: &Decided) {
    let at = decided.at.map(|at| format!(", {}", utc(at))).unwrap_or_default();
    text.item(name, &format!("{} by {}{at}", decided.decision.done(), decided.by));
    text.quote("Comment", &decided.comment);
}
