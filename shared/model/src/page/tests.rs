use proptest::prelude::*;

use super::*;
use crate::evidence::tests::sample;
use crate::metrics::Metrics;

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
    let page = review(&sample(), "ada@example.com", &history(), &[]);
    assert_eq!(page.status, 200);
    insta::assert_snapshot!(without_style(&page));
}

fn vote(decision: Decision, by: &str, comment: &str) -> Decided {
    Decided {
        decision,
        by: by.into(),
        at: Some("2026-02-24T08:05:00Z".parse().unwrap()),
        comment: comment.into(),
    }
}

/// A release that takes two approvals of three people.
fn quorum_of_two() -> crate::evidence::Evidence {
    let mut evidence = sample();
    evidence.approvers.push("alan@example.com".into());
    evidence.approvals_needed = 2;
    evidence
}

#[test]
fn the_other_pages() {
    let churn: ModelName = "churn".parse().unwrap();
    let approved = vote(Decision::Approve, "ada", "");
    let untimed = Decided {
        at: None,
        ..approved.clone()
    };
    let worse = vote(Decision::Reject, "ada", "worse\nby far");
    let hostile = vote(Decision::Reject, "<b>", "</blockquote>");
    for (page, status, words) in [
        (decided(&churn, 7, &approved, None), 200, "churn v7 is approved"),
        (
            decided(&churn, 7, &approved, None),
            200,
            "Tuesday 24 February 2026, 08:05 UTC",
        ),
        (decided(&churn, 7, &untimed, None), 200, "By <strong>ada</strong>."),
        (
            decided(&churn, 7, &approved, Some(Decision::Reject)),
            200,
            "Your answer (<strong>reject</strong>) came after that and changed nothing.",
        ),
        (
            decided(&churn, 7, &worse, None),
            200,
            "<blockquote>worse\nby far</blockquote>",
        ),
        (decided(&churn, 7, &hostile, None), 200, "&lt;/blockquote&gt;"),
        (
            voted(&churn, 7, std::slice::from_ref(&approved), 2),
            200,
            "Your approval is counted: 1 of 2",
        ),
        (
            voted(&churn, 7, std::slice::from_ref(&approved), 2),
            200,
            "waits for 1 more approval.",
        ),
        (voted(&churn, 7, &[approved], 3), 200, "waits for 2 more approvals."),
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
fn a_button_says_which_approval_it_is() {
    let button = |evidence: &crate::evidence::Evidence, votes: &[Decided]| {
        let html = review(evidence, "ada@example.com", &[], votes).html;
        let (_, rest) = html.split_once("value=\"approve\">").unwrap();
        rest.split_once("</button>").unwrap().0.to_owned()
    };
    let (one, two) = (sample(), quorum_of_two());
    let grace = vote(Decision::Approve, "grace@example.com", "");
    let again = vote(Decision::Approve, "ada@example.com", "");
    assert_eq!(button(&one, &[]), "Approve churn v7");
    assert_eq!(button(&two, &[]), "Approve churn v7 (1 of 2)");
    assert_eq!(button(&two, std::slice::from_ref(&grace)), "Approve churn v7 (2 of 2)");
    assert_eq!(button(&two, std::slice::from_ref(&again)), "Approve churn v7 (1 of 2)");
    assert_eq!(
        button(&two, &[grace.clone(), again, vote(Decision::Approve, "x", "")]),
        "Approve churn v7 (2 of 2)"
    );
    let html = review(&two, "alan@example.com", &[], &[grace]).html;
    assert!(
        html.contains("Approved so far: 1 of 2") && html.contains("<strong>grace@example.com</strong>"),
        "{html}"
    );
    assert!(
        html.contains("2 approvals release it; one rejection rejects it."),
        "{html}"
    );
}

#[test]
fn the_policy_allows_the_style_and_nothing_else() {
    let headers = headers();
    let policy = headers
        .iter()
        .find(|(name, _)| *name == "content-security-policy")
        .unwrap();
    let page = review(&sample(), "ada@example.com", &history(), &[]).html;
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
        (
            "decision=reject&comment=a%0D%0D%0Ab%0Dc",
            answer(Decision::Reject, "a\n\nb\nc"),
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
    // Whatever else the form has: four hundred characters of twelve bytes, and 256 bytes for the rest.
    let padded = |bytes: usize| Answer::parse(format!("{:x<bytes$}", "decision=approve&x=").as_bytes());
    assert_eq!(padded(5056), answer(Decision::Approve, ""));
    assert_eq!(padded(5057), Err(FormError::TooLong));
}

#[test]
fn charts_need_two_versions() {
    let mut evidence = sample();
    evidence.champion = None;
    assert!(!review(&evidence, "ada", &[], &[]).html.contains("<svg"));
    let one = review(&evidence, "ada", &history()[..1], &[]).html;
    assert_eq!(one.matches("<svg").count(), 2);
    assert!(one.contains("accuracy by version: v6 0.9200, v7 0.9312"));
    let wide = [
        (1, [("accuracy", f64::MAX)].into_iter().collect()),
        (2, [("accuracy", f64::MIN)].into_iter().collect()),
    ];
    let wide = review(&evidence, "ada", &wide, &[]).html;
    assert!(!wide.contains("NaN") && !wide.contains("inf,"));
    // Ten characters of 7.5 and ten more: the labels, which end at 77, begin on the drawing.
    assert!(
        wide.contains("-1.798e308</text>") && wide.contains("<text x=\"77\""),
        "{wide}"
    );
}

#[test]
fn equal_values_lie_in_the_middle_of_a_chart() {
    let mut evidence = sample();
    evidence.champion = None;
    evidence.metrics = [("accuracy", 0.9)].into_iter().collect();
    let history = [(6, evidence.metrics.clone())];
    let html = review(&evidence, "ada", &history, &[]).html;
    assert!(html.contains("points=\"58.0,50.0 282.0,50.0\""), "{html}");
    assert_eq!(html.matches(">0.9000</text>").count(), 1, "{html}");
}

#[test]
fn charts_are_few_and_of_the_newest_versions() {
    let mut evidence = sample();
    evidence.champion = None;
    let metrics = |count: usize| -> Metrics { (0..count).map(|i| (format!("m{i}"), 0.5)).collect() };
    for (count, charts) in [(7, 7), (8, 8), (9, 8)] {
        evidence.metrics = metrics(count);
        let html = review(&evidence, "ada", &[(6, metrics(count))], &[]).html;
        assert_eq!(html.matches("<svg").count(), charts, "{count} metrics");
    }
    evidence.metrics = metrics(1);
    evidence.package = evidence.package.with_version(30);
    let history: Vec<_> = (1..30).map(|version| (version, metrics(1))).collect();
    let html = review(&evidence, "ada", &history, &[]).html;
    assert_eq!(html.matches("<circle").count(), 20, "{html}");
    assert!(html.contains("m0 by version: v11 0.5000, v12 0.5000"), "{html}");
}

/// Text and what it stands on have a contrast of at least 4.5, and outlines one of at least 3, as WCAG 2.2 asks; by day and by night.
#[test]
fn colours_can_be_read() {
    let colour = |theme: &str, name: &str| {
        let (_, rest) = theme.split_once(&format!("--{name}:#")).unwrap();
        let hex: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
        let hex: String = if hex.len() == 3 {
            hex.chars().flat_map(|c| [c, c]).collect()
        } else {
            hex
        };
        let channel = |i: usize| {
            let value = f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
    };
    let (day, night) = STYLE.split_once("@media(prefers-color-scheme:dark)").unwrap();
    let (night, _) = night.split_once('\n').unwrap();
    for theme in [day, night] {
        let contrast = |front: &str, back: &str| {
            let (front, back) = (colour(theme, front), colour(theme, back));
            (front.max(back) + 0.05) / (front.min(back) + 0.05)
        };
        for (front, back) in [
            ("ink", "paper"),
            ("ink", "back"),
            ("quiet", "paper"),
            ("quiet", "back"),
            ("good", "good-back"),
            ("bad", "bad-back"),
            ("bad", "back"),
            ("bad", "paper"),
            ("on-approve", "approve"),
        ] {
            assert!(
                contrast(front, back) >= 4.5,
                "{front} on {back}: {}",
                contrast(front, back)
            );
        }
        for (front, back) in [
            ("accent", "paper"),
            ("accent", "back"),
            ("quiet", "back"),
            ("approve", "paper"),
        ] {
            assert!(
                contrast(front, back) >= 3.0,
                "{front} beside {back}: {}",
                contrast(front, back)
            );
        }
    }
}

/// Each page with `text` wherever something comes from outside.
fn pages_with(text: &str) -> Vec<Page> {
    let mut evidence = quorum_of_two();
    evidence.lineage.author = Some(text.to_owned());
    evidence.lineage.message = Some(text.to_owned());
    evidence.lineage.commit = Some(text.to_owned());
    evidence.lineage.data = Some(text.to_owned());
    evidence.lineage.evidence.insert(text.to_owned(), text.to_owned());
    evidence.plan = text.to_owned();
    evidence.approvers = vec![text.to_owned(), "ada@example.com".to_owned()];
    evidence.gate[0].name = text.to_owned();
    evidence.gate[0].text = text.to_owned();
    evidence.metrics = [(text.to_owned(), 1.0)].into_iter().collect();
    let champion = evidence.champion.as_mut().unwrap();
    champion.metrics = [(text.to_owned(), 0.9), ("accuracy".to_owned(), 0.9)]
        .into_iter()
        .collect();
    let history = [(1, [(text.to_owned(), 2.0)].into_iter().collect())];
    let vote = vote(Decision::Approve, text, text);
    let votes = std::slice::from_ref(&vote);
    vec![
        review(&evidence, "ada@example.com", &history, votes),
        review(&evidence, text, &history, votes),
        decided(&evidence.model, 1, &vote, Some(Decision::Reject)),
        voted(&evidence.model, 1, votes, 2),
        trouble(text),
        take_back::started(&evidence.model, 1, text),
    ]
}

/// Writes the pages where `SIGNALBOX_PAGES` says, to be looked at in a browser.
#[test]
fn pages_to_look_at() {
    let Some(folder) = std::env::var_os("SIGNALBOX_PAGES") else {
        return;
    };
    let folder = std::path::PathBuf::from(folder);
    let (one, mut two) = (sample(), quorum_of_two());
    let model = &one.model;
    two.gate[1].held = false;
    two.metrics = [
        ("accuracy", 0.9312),
        ("balanced_accuracy_of_the_holdout_of_last_month", 1234.5),
        ("log_loss", 2.5e-300),
    ]
    .into_iter()
    .collect();
    let mut first = sample();
    first.champion = None;
    first.gate.clear();
    first.approvers.truncate(1);
    let approved = vote(
        Decision::Approve,
        "grace@example.com",
        "Good on the holdout, too.\nFine by me.",
    );
    let rejected = vote(
        Decision::Reject,
        "grace@example.com",
        "The log loss is worse than it looks.",
    );
    let votes = std::slice::from_ref(&approved);
    let pages = [
        ("review", review(&one, "ada@example.com", &history(), &[])),
        ("review-of-two", review(&two, "ada@example.com", &history(), votes)),
        ("review-of-the-first", review(&first, "ada@example.com", &[], &[])),
        ("approved", decided(model, 7, &approved, None)),
        ("rejected", decided(model, 7, &rejected, Some(Decision::Approve))),
        ("voted", voted(model, 7, votes, 2)),
        ("expired", refused(Refusal::Expired)),
        ("no-longer-waits", refused(Refusal::NoLongerWaits)),
        ("superseded", refused(Refusal::Superseded { by: 8 })),
        ("other-approval", refused(Refusal::OtherApproval)),
        ("evidence-changed", refused(Refusal::EvidenceChanged)),
        ("not-an-approver", refused(Refusal::NotAnApprover)),
        ("invalid-link", invalid_link()),
        ("invalid-form", invalid_form(FormError::TooLong)),
        ("trouble", trouble("KMS did not answer.")),
        ("take-back", take_back::review(model, 7)),
        ("taken-back", take_back::started(model, 7, "Too slow.")),
        ("over", take_back::over(model, 7, take_back::Over::Replaced)),
    ];
    for (name, page) in pages {
        std::fs::write(folder.join(format!("{name}.html")), page.html).unwrap();
    }
}

proptest! {
    #[test]
    fn what_comes_from_outside_is_escaped(hostile in "[<>\"'&a-z/ =]{0,40}", prefix in any::<String>()) {
        let hostile = format!("{prefix}</td></form><form><button><table><script>\"'><x onload={hostile}");
        for (page, plain) in pages_with(&hostile).iter().zip(pages_with("plain")) {
            let html = &page.html;
            prop_assert!(!html.contains("<script") && !html.contains("<x"), "{html}");
            // Quotes inside of an attribute would end it.
            prop_assert!(!html.contains("\"'>"), "{html}");
            for element in ["<form", "<button", "<table", "</form", "</html>", "<"] {
                let (found, expected) = (html.matches(element).count(), plain.html.matches(element).count());
                prop_assert_eq!(found, expected, "{} in {}", element, html);
            }
        }
    }
}
