//! The page behind the link in the mail about a deployment: it takes the version back.

use maud::html;

use super::{Answer, COMMENT_CHARS_MAX, FORM_BYTES_MAX, FormError, Page, document, line};
use crate::names::ModelName;

/// The form's word for taking a version back.
const TAKE_BACK: &str = "take-back";

/// Why the link does nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Its time is over.
    Expired,
    /// The version was taken back before.
    TakenBack,
    /// Another version serves by now.
    Replaced,
}

/// The page that asks.
#[must_use]
pub fn review(model: &ModelName, version: u32) -> Page {
    let body = html! {
        p.lead { strong { (model) " v" (version) } " serves now." }
        section {
            h2 { "What happens when you take it back" }
            p {
                "The last good version before it serves again, all at once, with the configuration that it had. v" (version)
                " is marked as rolled back in the model registry and is not deployed again by itself. A mail says how it ended."
            }
        }
        section.decide {
            h2 #decide { "Your decision" }
            form method="post" aria-labelledby="decide" {
                label for="comment" { "Reason " span.quiet { "(optional, kept with the version)" } }
                textarea #comment name="comment" rows="3" maxlength=(COMMENT_CHARS_MAX) {}
                div.buttons {
                    button.reject type="submit" name="decision" value=(TAKE_BACK) { "Take v" (version) " back" }
                }
            }
            p.quiet { "To leave it as it is, close this page." }
        }
    };
    document(200, &format!("Take {model} v{version} back?"), &body)
}

/// The page after the decision.
#[must_use]
pub fn started(model: &ModelName, version: u32, reason: &str) -> Page {
    let body = html! {
        p.lead { "The rollback has been started, and goes on whether this page is open or not." }
        @if !reason.trim().is_empty() { p { "Reason: " (line(reason)) } }
        p { "A mail will say how it ended." }
    };
    document(200, &format!("{model} v{version} is taken back"), &body)
}

/// The page for a link that does nothing any more.
#[must_use]
pub fn over(model: &ModelName, version: u32, over: Over) -> Page {
    let (status, lead, advice) = match over {
        Over::Expired => (
            410,
            "This link has expired. Nothing was done with it.",
            "The rollback pipeline takes back what serves now: start it in the console or by the command line.",
        ),
        Over::TakenBack => (
            409,
            "This version was taken back before.",
            "There is nothing left to do.",
        ),
        Over::Replaced => (
            409,
            "Another version serves by now. Nothing was done.",
            "To take that one back, use the link in the mail that says it was deployed.",
        ),
    };
    let body = html! {
        p.lead { (lead) }
        p { (advice) }
    };
    document(status, &format!("{model} v{version} was not taken back"), &body)
}

/// Reads the reason in the body of the form's POST, which anybody may have written.
///
/// # Errors
/// Where it is too long or does not say that the version is to be taken back.
pub fn reason(body: &[u8]) -> Result<String, FormError> {
    if body.len() > FORM_BYTES_MAX {
        return Err(FormError::TooLong);
    }
    let mut decisions = form_urlencoded::parse(body).filter(|(name, _)| name == "decision");
    match (decisions.next(), decisions.next()) {
        (Some((_, decision)), None) if decision == TAKE_BACK => {}
        _ => return Err(FormError::NoDecision),
    }
    Answer::comment(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        for (body, expected) in [
            ("decision=take-back&comment=", Ok("")),
            ("decision=take-back", Ok("")),
            (
                "comment=too+slow%0D%0Aby+half&decision=take-back",
                Ok("too slow\nby half"),
            ),
            ("decision=approve", Err(FormError::NoDecision)),
            ("decision=take-back&decision=take-back", Err(FormError::NoDecision)),
            ("", Err(FormError::NoDecision)),
        ] {
            assert_eq!(reason(body.as_bytes()), expected.map(str::to_owned), "{body}");
        }
        let long = format!("decision=take-back&comment={}", "x".repeat(COMMENT_CHARS_MAX + 1));
        assert_eq!(reason(long.as_bytes()), Err(FormError::TooLong));
        let padded = |bytes: usize| reason(format!("{:x<bytes$}", "decision=take-back&x=").as_bytes());
        assert_eq!(padded(FORM_BYTES_MAX), Ok(String::new()));
        assert_eq!(padded(FORM_BYTES_MAX + 1), Err(FormError::TooLong));
    }

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let model = "churn".parse().unwrap();
        let page = started(&model, 7, "<script>alert(1)</script>");
        assert!(!page.html.contains("<script>"), "{}", page.html);
        assert!(review(&model, 7).html.contains(r#"method="post""#));
        let statuses = [Over::Expired, Over::TakenBack, Over::Replaced].map(|why| over(&model, 7, why).status);
        assert_eq!(statuses, [410, 409, 409]);
    }
}
