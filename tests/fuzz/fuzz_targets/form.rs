//! The body of the page's form: the answer to an approval, and the reason for taking a version back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use signalbox_model::page::{Answer, COMMENT_CHARS_MAX, FORM_BYTES_MAX, take_back};

fuzz_target!(|body: &[u8]| {
    let answer = Answer::parse(body);
    let reason = take_back::reason(body);
    assert!(answer.is_err() || reason.is_err(), "one body answers two forms");
    if let Ok(answer) = answer {
        holds(body, answer.decision.as_str(), &answer.comment);
    }
    if let Ok(reason) = reason {
        holds(body, "take-back", &reason);
    }
});

/// What counts has exactly one decision, and a comment within its bounds.
fn holds(body: &[u8], decision: &str, comment: &str) {
    assert!(body.len() <= FORM_BYTES_MAX);
    let decisions = form_urlencoded::parse(body).filter(|(name, _)| name == "decision");
    let decisions: Vec<_> = decisions.map(|(_, value)| value.into_owned()).collect();
    assert_eq!(decisions, [decision]);
    assert!(comment.chars().count() <= COMMENT_CHARS_MAX);
    assert_eq!(comment, comment.trim());
    assert!(!comment.contains('\r'), "plain line ends");
}
