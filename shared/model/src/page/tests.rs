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
