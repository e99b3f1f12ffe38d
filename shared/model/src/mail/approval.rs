//! Mails about what waits for a decision, and what became of it.

use jiff::Timestamp;

use super::text::{Text, plain};
use crate::evidence::{Evidence, duration, number, utc, why};
use crate::names::ModelName;
use crate::notice::Notice;

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
    text.optional("Author", evidence.lineage.author.as_deref().unwrap_or_default());
    text.quote("Message", evidence.lineage.message.as_deref().unwrap_or_default());
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
