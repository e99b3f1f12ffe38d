//! The page that an approver decides on.

use maud::{Markup, html};

use super::chart::charts_section;
use super::{COMMENT_CHARS_MAX, Page, document, line, lines, votes_section, when};
use crate::decision::{Decided, Decision, approvals, quorum};
use crate::evidence::{Direction, Evidence, Row, asked_for, duration, number, signed, why};
use crate::metrics::Metrics;

/// How many metrics the page lists.
const ROWS_MAX: usize = 200;

/// The page that an approver decides on. `history` holds the metrics of earlier versions, in any order; `votes` is what others have
/// decided so far.
#[must_use]
pub fn review(evidence: &Evidence, approver: &str, history: &[(u32, Metrics)], votes: &[Decided]) -> Page {
    let (model, version) = (&evidence.model, evidence.version());
    let needed = evidence.approvals_needed.max(1);
    let before = approvals(votes).iter().filter(|vote| vote.by != approver).count();
    // The how many-th approval this person's would be.
    let this = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1).min(needed);
    let title = format!("Approve {model} v{version}?");
    let all_held = evidence.gate.iter().all(|verdict| verdict.held);
    let body = html! {
        p.lead {
            "You are deciding as " strong { (line(approver)) } ". "
            @if all_held { "The version passed its gate." } @else { strong.bad { "Not every rule of the gate held." } }
            @if needed > 1 { " " (quorum(needed)) }
        }
        (metrics_section(evidence))
        (charts_section(evidence, history))
        section {
            h2 { "Gate" }
            @if evidence.gate.is_empty() {
                p { "No rules beyond the training pipeline's own." }
            } @else {
                ul.plain {
                    @for verdict in &evidence.gate {
                        li {
                            @if verdict.held { span.tag.good { "held" } } @else { span.tag.bad { "not held" } }
                            " " strong { (line(&verdict.name)) } " " span.quiet { (line(&verdict.text)) }
                        }
                    }
                }
            }
            p.quiet { "Accuracy asked for by the training pipeline: " (number(evidence.accuracy_threshold)) }
        }
        (why_section(evidence))
        section {
            @if this < needed {
                h2 { "What happens once " (needed) " have approved" }
            } @else {
                h2 { "What happens when you approve" }
            }
            p { (line(&evidence.plan)) "." }
            @let others: Vec<_> = evidence.approvers.iter().filter(|other| *other != approver).map(|other| line(other)).collect();
            p {
                @if others.is_empty() {
                    "Nobody else was asked. "
                } @else {
                    "Also asked: " (others.join(", ")) ". " (quorum(needed)) " "
                }
                "The approval waits until " (when(evidence.expires)) "; after that the release ends and nothing changes."
            }
        }
        @if needed > 1 { (votes_section(votes, needed)) }
        section.decide {
            h2 #decide { "Your decision" }
            // Without an action the form goes to the address of the page, where the claims and the MAC are.
            form method="post" aria-labelledby="decide" {
                label for="comment" { "Comment " span.quiet { "(optional, kept with the decision)" } }
                textarea #comment name="comment" rows="3" maxlength=(COMMENT_CHARS_MAX) {}
                div.buttons {
                    button.approve type="submit" name="decision" value=(Decision::Approve.as_str()) {
                        "Approve " (model) " v" (version)
                        @if needed > 1 { " (" (this) " of " (needed) ")" }
                    }
                    button.reject type="submit" name="decision" value=(Decision::Reject.as_str()) { "Reject" }
                }
            }
        }
    };
    document(200, &title, &body)
}

fn metrics_section(evidence: &Evidence) -> Markup {
    let rows = evidence.rows();
    let version = evidence.version();
    html! {
        section {
            h2 #metrics { "Metrics" }
            @if evidence.champion.is_none() {
                p { "No version serves now, so there is nothing to compare with." }
            }
            // Wide numbers scroll in a box of their own, which is reached by the keyboard, too.
            div.scroll role="region" aria-labelledby="metrics" tabindex="0" {
                table aria-labelledby="metrics" {
                    thead {
                        tr {
                            th scope="col" { "Metric" }
                            th.number scope="col" { "v" (version) }
                            @if let Some(champion) = &evidence.champion {
                                th.number scope="col" { "v" (champion.version) " " span.quiet { "serves now" } }
                                th.number scope="col" { "Difference" }
                            }
                        }
                    }
                    tbody {
                        @for row in rows.iter().take(ROWS_MAX) {
                            tr {
                                th scope="row" { (line(&row.name)) }
                                td.number { (value(row.value)) }
                                @if evidence.champion.is_some() {
                                    td.number { (value(row.champion)) }
                                    td.number { (difference(row)) }
                                }
                            }
                        }
                    }
                }
            }
            @if rows.len() > ROWS_MAX { p.quiet { "and " (rows.len() - ROWS_MAX) " more." } }
        }
    }
}

fn value(value: Option<f64>) -> Markup {
    html! {
        @match value {
            Some(value) => (number(value)),
            None => span.quiet { "none" },
        }
    }
}

fn difference(row: &Row) -> Markup {
    let word = row.direction.as_str();
    html! {
        @match (row.direction, row.difference) {
            (Direction::Better, Some(difference)) => { (signed(difference)) " " span.tag.good { (word) } }
            (Direction::Worse, Some(difference)) => { (signed(difference)) " " span.tag.bad { (word) } }
            (Direction::Same, _) => span.tag { (word) },
            _ => span.quiet { (word) },
        }
    }
}

fn why_section(evidence: &Evidence) -> Markup {
    let lineage = &evidence.lineage;
    html! {
        section {
            h2 { "Why it was trained" }
            dl {
                dt { "Trigger" } dd { (line(&why(lineage))) }
                @if let Some(commit) = &lineage.commit { dt { "Commit" } dd { code { (line(commit)) } } }
                @if let Some(author) = &lineage.author { dt { "Author" } dd { (line(author)) } }
                @if let Some(message) = &lineage.message { dt { "Message" } dd.lines { (lines(message)) } }
                @if let Some(data) = &lineage.data { dt { "Data" } dd { code { (line(data)) } } }
                @if let Some(window) = asked_for(lineage) { dt { "New data" } dd { (window) } }
                @if let Some(seconds) = evidence.trained_seconds { dt { "Training took" } dd { (duration(seconds)) } }
            }
        }
    }
}
