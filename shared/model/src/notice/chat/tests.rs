use proptest::prelude::*;

use super::*;
use crate::mail::{self, TakeBack, TakenBack};
use crate::names::ModelName;

fn churn() -> ModelName {
    "churn".parse().unwrap()
}

fn shown(notice: &Notice) -> String {
    let message = message(notice);
    let of = |pointer: &str| {
        message
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("none")
            .to_owned()
    };
    let [title, description] = ["/content/title", "/content/description"].map(of);
    format!("{title}\n[{}]\n{description}", of("/metadata/threadId"))
}

#[test]
fn a_deployment_has_no_signed_link() {
    let link = "https://example.com/?u=eyJ2Ijoi&m=AAAA";
    let take_back = TakeBack {
        link,
        pipeline: "churn-rollback",
    };
    let notice = mail::deployed(
        &churn(),
        7,
        Some(6),
        Some("ada@example.com"),
        "canary",
        "fine",
        Some(&take_back),
    );
    assert!(notice.body().contains(link));
    assert!(!message(&notice).to_string().contains("eyJ2Ijoi"));
    insta::assert_snapshot!(shown(&notice));
}

/// Whatever a notice forgets to keep for its recipients.
#[test]
fn no_line_with_a_signed_link_is_shown() {
    for link in [
        "https://example.com/?c=eyJwIjoi&m=AAAA",
        "https://example.com/?u=eyJ2Ijoi&m=AAAA",
        "https://example.com/?utm_source=mail&m=AAAA",
        "Open https://example.com/?c=eyJwIjoi now.",
    ] {
        let notice = Notice::new("decide", format!("Before.\n{link}\nAfter."));
        assert_eq!(message(&notice)["content"]["description"], "Before.\nAfter.", "{link}");
    }
}

#[test]
fn a_rollback_names_the_alarm_and_links_to_the_console() {
    let back = TakenBack {
        serving: Some(6),
        alarm: Some("churn-5xx"),
        numbers: Some("1 datapoint [0.25] was greater than the threshold (0.02)"),
        reason: "the alarm churn-5xx fired; <!channel> *look* at <http://evil.example|this>",
        endpoint_url: "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/churn",
        log_url: "",
    };
    insta::assert_snapshot!(shown(&mail::rolled_back(&churn(), 7, &back)));
}

#[test]
fn a_rejection_in_hostile_words_is_text() {
    let comment = "@channel <@U1> <!here> [free](https://evil.example) `rm` _f1_score_ ~no~ > quote & #head";
    insta::assert_snapshot!(shown(&mail::rejected(&churn(), 7, "ada@example.com", None, comment)));
}

#[test]
fn what_has_no_thread_has_no_metadata() {
    let message = message(&Notice::new("churn endpoint has failed", ""));
    assert_eq!(message.get("metadata"), None);
    assert_eq!(
        message["content"]["description"], "churn endpoint has failed",
        "never empty"
    );
}

#[test]
fn a_bell_is_not_rung() {
    let message = message(&Notice::new("bell", "one\u{7}two\ttabs"));
    assert_eq!(message["content"]["description"], "one two tabs");
}

#[test]
fn a_long_notice_is_cut_and_says_so() {
    let message = message(&Notice::new("long", "é\n".repeat(5_000)));
    let description = message["content"]["description"].as_str().unwrap();
    assert_eq!(description.chars().count(), DESCRIPTION_CHARS_MAX);
    assert!(description.ends_with(CUT));
}

#[test]
fn both_together_are_what_sns_takes() {
    // A control character takes six bytes of JSON; what does not fit is halved until it does.
    for (body, kept_bytes) in [
        (String::new(), 0),
        ("Fine.\n".to_owned(), 6),
        ("\u{1}".repeat(300_000), BODY_BYTES_MAX / 16),
        ("é".repeat(200_000), BODY_BYTES_MAX / 4),
    ] {
        let notice = Notice::new("s", body);
        let both = with_chat(&notice);
        assert!(both.len() <= BODY_BYTES_MAX);
        let both: Value = serde_json::from_str(&both).unwrap();
        assert_eq!(both["default"], both["email"]);
        let kept = both["email"].as_str().unwrap();
        assert!(notice.body().starts_with(kept));
        assert_eq!(kept.len(), kept_bytes);
        let chat: Value = serde_json::from_str(both["https"].as_str().unwrap()).unwrap();
        assert_eq!(chat, message(&notice));
    }
}

proptest! {
    /// Whatever anybody writes: no mention, no address behind a word, no emphasis; and it is short enough.
    #[test]
    fn nothing_from_outside_is_markup(
        subject in any::<String>(),
        body in "(?s)(.|<!channel>|<@U1>|<http://a|b>|\\[a\\]\\(http://b\\)|@here|@channel|https://a|`|\\*|_|\n){0,400}",
    ) {
        let model = churn();
        let notice = Notice::new(&subject, body).about(&model, 7);
        let message = message(&notice);
        let text = message.to_string();
        for markup in ["<", ">", "@channel", "@here", "`", "*", "["] {
            for part in ["title", "description"] {
                let part = message["content"][part].as_str().unwrap();
                prop_assert!(!part.contains(markup), "{markup}: {part}");
            }
        }
        prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
        let chars = |part: &str| message["content"][part].as_str().unwrap().chars().count();
        prop_assert!((0..=TITLE_CHARS_MAX).contains(&chars("title")));
        prop_assert!(chars("description") <= DESCRIPTION_CHARS_MAX);
        prop_assert_eq!(message["metadata"]["threadId"].as_str(), Some("churn-v7"));
    }
}
