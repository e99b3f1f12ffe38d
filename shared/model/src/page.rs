//! The page behind an approval link: the mail's evidence as tables, and a form that decides.
//!
//! Everything is in one document without a script: the style is inline and named in the content security policy by its hash, the
//! charts are inline SVG. Whatever comes from outside is escaped by [`maud`].

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::decision::{Decided, Decision, approvals};
use crate::evidence::{one_line, utc};
use crate::link::Refusal;
use crate::names::ModelName;

mod answer;
mod chart;
mod review;
pub mod take_back;

pub use answer::{Answer, COMMENT_CHARS_MAX, FORM_BYTES_MAX, FormError};
pub use review::review;

const STYLE: &str = include_str!("page/style.css");

/// A page to answer with, under [`headers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The document.
    pub html: String,
}

/// The headers of every page: nothing is loaded, framed, kept, indexed or told to another site; least of all the address.
///
/// Under `no-referrer` a browser sends `Origin: null` with the form.
#[must_use]
pub fn headers() -> [(&'static str, String); 8] {
    let style = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    [
        ("content-type", "text/html; charset=utf-8".to_owned()),
        ("content-security-policy", policy),
        ("referrer-policy", "no-referrer".to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("x-frame-options", "DENY".to_owned()),
        ("x-robots-tag", "noindex, nofollow".to_owned()),
        ("cross-origin-opener-policy", "same-origin".to_owned()),
    ]
}

/// The page after a decision, by this person or an earlier one. `second` is what this person has just sent, where the decision came
/// before it.
#[must_use]
pub fn decided(model: &ModelName, version: u32, decided: &Decided, second: Option<Decision>) -> Page {
    let body = html! {
        p.lead { "By " strong { (line(&decided.by)) } @if let Some(at) = decided.at { " on " (when(at)) } "." }
        @if let Some(second) = second {
            p { "Your answer (" strong { (second.as_str()) } ") came after that and changed nothing." }
        }
        @if !decided.comment.trim().is_empty() {
            section {
                h2 { "Comment" }
                blockquote { (lines(&decided.comment)) }
            }
        }
        p {
            // The page may be opened long after: how it ended is not known here.
            @match decided.decision {
                Decision::Approve => "The deployment follows; a mail says how it ends.",
                Decision::Reject => {
                    "A rejected version is not deployed. To release it after all, approve it in the model registry "
                    "(SageMaker Studio)."
                }
            }
            " You can close this page."
        }
    };
    let title = format!("{model} v{version} is {}", decided.decision.done());
    document(200, &title, &body)
}

/// The page after an approval that is not enough yet. `votes` is what was decided so far, this person's approval among it.
#[must_use]
pub fn voted(model: &ModelName, version: u32, votes: &[Decided], needed: u32) -> Page {
    let given = approvals(votes).len();
    let body = html! {
        p.lead {
            strong { (model) " v" (version) }
            @match usize::try_from(needed).unwrap_or(usize::MAX).saturating_sub(given) {
                0 => " has all the approvals that it needs.",
                1 => " waits for 1 more approval.",
                left => { " waits for " (left) " more approvals." }
            }
            " One rejection rejects it."
        }
        (votes_section(votes, needed))
        p { "A mail says how it ends. You can close this page." }
    };
    document(200, &format!("Your approval is counted: {given} of {needed}"), &body)
}

/// Who has approved so far.
fn votes_section(votes: &[Decided], needed: u32) -> Markup {
    let approvals = approvals(votes);
    html! {
        section {
            h2 { "Approved so far: " (approvals.len()) " of " (needed) }
            @if approvals.is_empty() {
                p { "Nobody has approved yet." }
            } @else {
                ul.plain {
                    @for vote in approvals {
                        li {
                            strong { (line(&vote.by)) }
                            @if let Some(at) = vote.at { " " span.quiet { "on " (when(at)) } }
                            @if !vote.comment.trim().is_empty() { blockquote { (lines(&vote.comment)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The page for a link that is ours but decides nothing.
#[must_use]
pub fn refused(refusal: Refusal) -> Page {
    let status = match refusal {
        Refusal::Expired | Refusal::Superseded { .. } => 410,
        Refusal::NoLongerWaits | Refusal::EvidenceChanged => 409,
        Refusal::OtherApproval | Refusal::NotAnApprover => 403,
    };
    let body = html! {
        p.lead { (refusal.to_string()) }
        p { (refusal.advice()) }
    };
    document(status, refusal.title(), &body)
}

/// The page for a link that can't be read or whose MAC is not ours. Both are answered alike, so that a forger learns nothing.
#[must_use]
pub fn invalid_link() -> Page {
    let body = html! {
        p.lead { "This link is not one that was sent, or a part of it is missing." }
        p { "Mail programs sometimes break long links. Copy the whole line from the mail into the address bar." }
    };
    document(403, "Nothing was decided", &body)
}

/// The page for a form that does not say what to do.
#[must_use]
pub fn invalid_form(error: FormError) -> Page {
    let body = html! {
        p.lead { "Your answer could not be read: " (error.to_string()) "." }
        p { "Go back, and send it again." }
    };
    document(400, "Nothing was decided", &body)
}

/// The page for when something of ours failed. `text` says what, and whether anything was decided.
#[must_use]
pub fn trouble(text: &str) -> Page {
    let body = html! {
        p.lead { (line(text)) }
        p { "Open the link from the mail again in a minute. Nothing is done twice by trying again." }
    };
    document(503, "That did not work", &body)
}

fn document(status: u16, title: &str, body: &Markup) -> Page {
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – signalbox" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    p.brand { "signalbox" }
                    h1 { (title) }
                    (body)
                }
            }
        }
    };
    Page {
        status,
        html: html.into_string(),
    }
}

fn when(time: Timestamp) -> Markup {
    html! { time datetime=(time) { (utc(time)) } }
}

fn line(text: &str) -> String {
    one_line(text, 1000)
}

/// A text from outside that keeps its lines.
fn lines(text: &str) -> String {
    let lines = text.trim().lines().take(40).map(line);
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
