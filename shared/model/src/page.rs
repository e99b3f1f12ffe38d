//! The page behind an approval link: the mail's evidence as tables, and a form that decides.
//!
//! Everything is in one document without a script: the style is inline and named in the content security policy by its hash, the
//! charts are inline SVG. Whatever comes from outside is escaped by [`maud`].

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::decision::Decision;
use crate::evidence::{Direction, Evidence, Row, duration, number, one_line, signed, utc, why};
use crate::link::Refusal;
use crate::metrics::Metrics;
use crate::names::ModelName;

pub mod take_back;

/// The longest comment, in characters.
pub const COMMENT_CHARS_MAX: usize = 400;
/// The longest form that is looked at, in bytes: a comment whose every character is four percent-encoded bytes, and the rest.
pub const FORM_BYTES_MAX: usize = COMMENT_CHARS_MAX * 12 + 256;
/// How many metrics the page lists.
const ROWS_MAX: usize = 200;
/// How many metrics have a chart.
const CHARTS_MAX: usize = 8;
/// How many versions a chart shows.
const POINTS_MAX: usize = 20;

const STYLE: &str = include_str!("page/style.css");

/// A page to answer with, under [`headers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The document.
    pub html: String,
}

/// What a person sent with the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which button.
    pub decision: Decision,
    /// The comment, trimmed, with plain line ends; may be empty.
    pub comment: String,
}

/// Why a form decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Longer than [`FORM_BYTES_MAX`], or its comment longer than [`COMMENT_CHARS_MAX`].
    #[error("the comment is longer than {COMMENT_CHARS_MAX} characters")]
    TooLong,
    /// Not exactly one decision, or one that is neither of the two.
    #[error("the form says neither approve nor reject")]
    NoDecision,
}

impl Answer {
    /// Reads the body of the form's POST (`application/x-www-form-urlencoded`), which anybody may have written.
    ///
    /// # Errors
    /// Where it is too long or does not say one of the two decisions once.
    pub fn parse(body: &[u8]) -> Result<Self, FormError> {
        if body.len() > FORM_BYTES_MAX {
            return Err(FormError::TooLong);
        }
        let mut decision = None;
        for (key, value) in form_urlencoded::parse(body) {
            match &*key {
                "decision" if decision.is_some() => return Err(FormError::NoDecision),
                "decision" => decision = Some(value),
                _ => {}
            }
        }
        let decision = match decision.as_deref() {
            Some("approve") => Decision::Approve,
            Some("reject") => Decision::Reject,
            _ => return Err(FormError::NoDecision),
        };
        let comment = Self::comment(body)?;
        Ok(Self { decision, comment })
    }

    /// The comment in a form, trimmed; empty where there is none.
    fn comment(body: &[u8]) -> Result<String, FormError> {
        let comment = form_urlencoded::parse(body).find(|(key, _)| key == "comment");
        // Browsers send line ends as CR LF, but count them as one for maxlength.
        let comment = comment.map(|(_, comment)| comment.replace("\r\n", "\n"));
        let comment = comment.unwrap_or_default().trim().to_owned();
        if comment.chars().count() > COMMENT_CHARS_MAX {
            return Err(FormError::TooLong);
        }
        Ok(comment)
    }
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

/// The page that an approver decides on. `history` holds the metrics of earlier versions, in any order.
#[must_use]
pub fn review(evidence: &Evidence, approver: &str, history: &[(u32, Metrics)]) -> Page {
    let (model, version) = (&evidence.model, evidence.version());
    let title = format!("Approve {model} v{version}?");
    let all_held = evidence.gate.iter().all(|verdict| verdict.held);
    let body = html! {
        p.lead {
            "You are deciding as " strong { (line(approver)) } ". "
            @if all_held { "The version passed its gate." } @else { strong.bad { "Not every rule of the gate held." } }
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
            h2 { "What happens when you approve" }
            p { (line(&evidence.plan)) "." }
            @let others: Vec<_> = evidence.approvers.iter().filter(|other| *other != approver).map(|other| line(other)).collect();
            p {
                @if others.is_empty() {
                    "Nobody else was asked. "
                } @else {
                    "Also asked: " (others.join(", ")) ". The first answer counts for all. "
                }
                "The approval waits until " (when(evidence.expires)) "; after that the release ends and nothing changes."
            }
        }
        section.decide {
            h2 #decide { "Your decision" }
            // Without an action the form goes to the address of the page, where the claims and the MAC are.
            form method="post" aria-labelledby="decide" {
                label for="comment" { "Comment " span.quiet { "(optional, kept with the decision)" } }
                textarea #comment name="comment" rows="3" maxlength=(COMMENT_CHARS_MAX) {}
                div.buttons {
                    button.approve type="submit" name="decision" value=(Decision::Approve.as_str()) {
                        "Approve " (model) " v" (version)
                    }
                    button.reject type="submit" name="decision" value=(Decision::Reject.as_str()) { "Reject" }
                }
            }
        }
    };
    document(200, &title, &body)
}

/// The page after a decision, by this person or an earlier one.
#[must_use]
pub fn decided(model: &ModelName, version: u32, decision: Decision, by: &str, at: Timestamp, comment: &str) -> Page {
    let body = html! {
        p.lead { "By " strong { (line(by)) } " on " (when(at)) "." }
        @if !comment.trim().is_empty() {
            h2 { "Comment" }
            blockquote { (lines(comment)) }
        }
        p {
            @match decision {
                Decision::Approve => "The deployment starts now. A mail will say how it ended. You can close this page.",
                Decision::Reject => "What serves now stays as it is. You can close this page.",
            }
        }
    };
    document(200, &format!("{model} v{version} is {}", decision.done()), &body)
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

fn metrics_section(evidence: &Evidence) -> Markup {
    let rows = evidence.rows();
    let version = evidence.version();
    html! {
        section {
            h2 #metrics { "Metrics" }
            @if evidence.champion.is_none() {
                p { "No version serves now, so there is nothing to compare with." }
            }
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
                @if let Some(seconds) = evidence.trained_seconds { dt { "Training took" } dd { (duration(seconds)) } }
            }
        }
    }
}

/// A chart per metric of the version over those versions that have it, where these are at least two.
fn charts_section(evidence: &Evidence, history: &[(u32, Metrics)]) -> Markup {
    let mut versions: std::collections::BTreeMap<u32, &Metrics> =
        history.iter().map(|(version, m)| (*version, m)).collect();
    if let Some(champion) = &evidence.champion {
        versions.entry(champion.version).or_insert(&champion.metrics);
    }
    versions.insert(evidence.version(), &evidence.metrics);
    let mut charts: Vec<(&str, Vec<(u32, f64)>)> = Vec::new();
    for (name, _) in evidence.metrics.iter() {
        let points = versions
            .iter()
            .filter_map(|(version, metrics)| Some((*version, metrics.get(name)?)));
        let points: Vec<_> = points.collect();
        let last = points.len().saturating_sub(POINTS_MAX);
        let points = points.into_iter().skip(last).collect::<Vec<_>>();
        if points.len() >= 2 && charts.len() < CHARTS_MAX {
            charts.push((name, points));
        }
    }
    html! {
        @if !charts.is_empty() {
            section {
                h2 { "Over the versions" }
                div.charts {
                    @for (i, (name, points)) in charts.iter().enumerate() {
                        figure {
                            figcaption { (line(name)) }
                            (chart(i, name, points, evidence.version()))
                        }
                    }
                }
            }
        }
    }
}

/// The chart's size, in its own units: the drawing's box, and the room that the labels take at the left, right, top and bottom.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 110.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 24.0;

fn chart(index: usize, name: &str, points: &[(u32, f64)], version: u32) -> Markup {
    let low = points.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let steps = points.len().saturating_sub(1).max(1) as f64;
    let x = |i: usize| LEFT + (WIDTH - LEFT - RIGHT) * i as f64 / steps;
    // Halves, as the difference of two finite numbers may be infinite. Equal values lie in the middle.
    let span = high / 2.0 - low / 2.0;
    let share = |value: f64| {
        if span > 0.0 {
            (value / 2.0 - low / 2.0) / span
        } else {
            0.5
        }
    };
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share(value));
    let coordinates = points
        .iter()
        .enumerate()
        .map(|(i, (_, value))| format!("{:.1},{:.1}", x(i), y(*value)));
    let coordinates = coordinates.collect::<Vec<_>>().join(" ");
    let spoken = points
        .iter()
        .map(|(version, value)| format!("v{version} {}", number(*value)));
    let spoken = format!("{} by version: {}", line(name), spoken.collect::<Vec<_>>().join(", "));
    let label = |value: f64| html! { text x=(LEFT - 8.0) y=(format!("{:.1}", y(value) + 4.0)) text-anchor="end" { (number(value)) } };
    let id = format!("chart-{index}");
    html! {
        svg role="img" aria-labelledby=(id) viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) {
            title id=(id) { (spoken) }
            (label(high))
            @if span > 0.0 { (label(low)) }
            polyline points=(coordinates) {}
            @for (i, (of, value)) in points.iter().enumerate() {
                @let this = *of == version;
                @let mark = this.then_some("this");
                circle class=[mark] cx=(format!("{:.1}", x(i))) cy=(format!("{:.1}", y(*value))) r=(if this { "5" } else { "3" }) {}
                @if this || i == 0 || i + 1 == points.len() {
                    text class=[mark] x=(format!("{:.1}", x(i))) y=(HEIGHT - 6.0) text-anchor="middle" { "v" (of) }
                }
            }
        }
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::tests::sample;

    fn history() -> Vec<(u32, Metrics)> {
        [(6, 0.92), (3, 0.88), (4, 0.91), (5, 0.9)]
            .into_iter()
            .map(|(version, accuracy)| {
                (
                    version,
                    [("accuracy", accuracy), ("log_loss", 1.1 - accuracy)]
                        .into_iter()
                        .collect(),
                )
            })
            .collect()
    }

    fn without_style(page: &Page) -> String {
        page.html.replace(STYLE, "").replace("><", ">\n<")
    }

    #[test]
    fn the_review_page() {
        let page = review(&sample(), "ada@example.com", &history());
        assert_eq!(page.status, 200);
        insta::assert_snapshot!(without_style(&page));
    }

    #[test]
    fn the_other_pages() {
        let churn: ModelName = "churn".parse().unwrap();
        let at = "2026-03-01T20:22:00Z".parse().unwrap();
        for (page, status, words) in [
            (
                decided(&churn, 7, Decision::Approve, "ada", at, ""),
                200,
                "churn v7 is approved",
            ),
            (
                decided(&churn, 7, Decision::Reject, "ada", at, "worse\nby far"),
                200,
                "<blockquote>worse\nby far</blockquote>",
            ),
            (
                decided(&churn, 7, Decision::Reject, "<b>", at, "</blockquote>"),
                200,
                "&lt;/blockquote&gt;",
            ),
            (refused(Refusal::Expired), 410, "has expired"),
            (refused(Refusal::NoLongerWaits), 409, "no longer waits"),
            (refused(Refusal::Superseded { by: 8 }), 410, "v8 passed its gate"),
            (refused(Refusal::NotAnApprover), 403, "no longer asked"),
            (refused(Refusal::OtherApproval), 403, "another approval"),
            (refused(Refusal::EvidenceChanged), 409, "has changed"),
            (invalid_link(), 403, "not one that was sent"),
            (invalid_form(FormError::TooLong), 400, "longer than 400 characters"),
            (trouble("KMS did not answer."), 503, "KMS did not answer."),
        ] {
            assert_eq!(page.status, status, "{words}");
            assert!(page.html.contains(words), "{words}: {}", page.html);
            assert!(!page.html.contains("<form"), "{words}");
        }
    }

    #[test]
    fn the_policy_allows_the_style_and_nothing_else() {
        let headers = headers();
        let policy = headers
            .iter()
            .find(|(name, _)| *name == "content-security-policy")
            .unwrap();
        let page = review(&sample(), "ada@example.com", &history()).html;
        let (_, rest) = page.split_once("<style>").unwrap();
        let (style, rest) = rest.split_once("</style>").unwrap();
        let hash = BASE64_STANDARD.encode(Sha256::digest(style));
        assert!(
            policy.1.contains(&format!("style-src 'sha256-{hash}';")),
            "{}",
            policy.1
        );
        // What the policy would refuse is not on the page.
        for refused in ["<style", "<script", " style=", "<img", "<link", "javascript:", "src="] {
            assert!(!rest.contains(refused), "{refused}");
        }
        for (name, value) in &headers {
            assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)), "{name}");
        }
    }

    #[test]
    fn answers() {
        let answer = |decision, comment: &str| {
            Ok(Answer {
                decision,
                comment: comment.into(),
            })
        };
        for (body, expected) in [
            ("comment=&decision=approve", answer(Decision::Approve, "")),
            ("decision=reject", answer(Decision::Reject, "")),
            (
                "comment=+a%0D%0Ab+%F0%9F%9A%82+&decision=reject",
                answer(Decision::Reject, "a\nb 🚂"),
            ),
            ("decision=approve&decision=reject", Err(FormError::NoDecision)),
            ("decision=approve&decision=approve", Err(FormError::NoDecision)),
            ("decision=Approve", Err(FormError::NoDecision)),
            ("comment=approve", Err(FormError::NoDecision)),
            ("", Err(FormError::NoDecision)),
        ] {
            assert_eq!(Answer::parse(body.as_bytes()), expected, "{body}");
        }
        let sized = |n: usize, c: &str| Answer::parse(format!("decision=approve&comment={}", c.repeat(n)).as_bytes());
        assert!(sized(400, "x").is_ok());
        assert!(sized(400, "%F0%9F%9A%82").is_ok());
        assert_eq!(sized(401, "x"), Err(FormError::TooLong));
        assert_eq!(sized(100_000, "x"), Err(FormError::TooLong));
    }

    #[test]
    fn charts_need_two_versions() {
        let mut evidence = sample();
        evidence.champion = None;
        assert!(!review(&evidence, "ada", &[]).html.contains("<svg"));
        let one = review(&evidence, "ada", &history()[..1]).html;
        assert_eq!(one.matches("<svg").count(), 2);
        assert!(one.contains("accuracy by version: v6 0.9200, v7 0.9312"));
        let wide = [
            (1, [("accuracy", f64::MAX)].into_iter().collect()),
            (2, [("accuracy", f64::MIN)].into_iter().collect()),
        ];
        let wide = review(&evidence, "ada", &wide).html;
        assert!(!wide.contains("NaN") && !wide.contains("inf,"));
    }

    /// Writes the pages where `SIGNALBOX_PAGES` says, to be looked at in a browser.
    #[test]
    fn pages_to_look_at() {
        let Some(folder) = std::env::var_os("SIGNALBOX_PAGES") else {
            return;
        };
        let folder = std::path::PathBuf::from(folder);
        let at = "2026-02-24T08:05:00Z".parse().unwrap();
        let pages = [
            ("review", review(&sample(), "ada@example.com", &history())),
            (
                "decided",
                decided(
                    &sample().model,
                    7,
                    Decision::Approve,
                    "ada@example.com",
                    at,
                    "Fine by me.",
                ),
            ),
            ("refused", refused(Refusal::EvidenceChanged)),
        ];
        for (name, page) in pages {
            std::fs::write(folder.join(format!("{name}.html")), page.html).unwrap();
        }
    }

    proptest! {
        #[test]
        fn what_comes_from_outside_is_escaped(hostile in "[<>\"'&a-z/ =]{0,40}", prefix in any::<String>()) {
            let hostile = format!("{prefix}<script>\"'><x onload={hostile}");
            let mut evidence = sample();
            evidence.lineage.author = Some(hostile.clone());
            evidence.lineage.message = Some(hostile.clone());
            evidence.lineage.commit = Some(hostile.clone());
            evidence.lineage.data = Some(hostile.clone());
            evidence.lineage.evidence.insert(hostile.clone(), hostile.clone());
            evidence.plan = hostile.clone();
            evidence.approvers = vec![hostile.clone()];
            evidence.gate[0].name = hostile.clone();
            evidence.gate[0].text = hostile.clone();
            evidence.metrics = [(hostile.clone(), 1.0)].into_iter().collect();
            let old = [(1, [(hostile.clone(), 2.0)].into_iter().collect())];
            let at = "2026-03-01T20:22:00Z".parse().unwrap();
            let plain = review(&sample(), "ada@example.com", &history()).html;
            for html in [
                review(&evidence, &hostile, &old).html,
                decided(&evidence.model, 1, Decision::Approve, &hostile, at, &hostile).html,
                trouble(&hostile).html,
            ] {
                prop_assert!(!html.contains("<script") && !html.contains("<x"), "{html}");
                // Quotes inside of an attribute would end it.
                prop_assert!(!html.contains("\"'>"), "{html}");
                prop_assert_eq!(html.matches("</html>").count(), plain.matches("</html>").count());
            }
        }
    }
}
