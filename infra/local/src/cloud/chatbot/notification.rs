//! What the chat service understands.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The longest title, in characters.
const TITLE_CHARS_MAX: usize = 250;
/// The longest description, in characters; the shortest is one.
const DESCRIPTION_CHARS_MAX: usize = 8_000;

/// A message that can be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notification {
    pub(super) title: Option<String>,
    pub(super) description: String,
    pub(super) next_steps: Vec<String>,
    pub(super) keywords: Vec<String>,
    pub(super) thread_id: Option<String>,
}

/// The schema of <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>. Members beyond it are not known to do harm.
#[derive(Debug, Deserialize)]
struct Custom {
    version: String,
    source: String,
    #[serde(rename = "id")]
    _id: Option<String>,
    content: Content,
    metadata: Option<Metadata>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    text_type: Option<String>,
    title: Option<String>,
    description: String,
    #[serde(default)]
    next_steps: Vec<String>,
    #[serde(default)]
    keywords: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    thread_id: Option<String>,
    #[serde(rename = "summary")]
    _summary: Option<String>,
    #[serde(rename = "eventType")]
    _event_type: Option<String>,
    #[serde(default, rename = "relatedResources")]
    _related_resources: Vec<String>,
    #[serde(default, rename = "additionalContext")]
    _additional_context: BTreeMap<String, String>,
}

/// What CloudWatch publishes of an alarm.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarm {
    alarm_name: String,
    alarm_description: Option<String>,
    #[serde(rename = "AWSAccountId")]
    account: String,
    new_state_value: String,
    new_state_reason: String,
    region: String,
}

impl Notification {
    /// Reads a message of a topic: an alarm's, or a custom notification.
    ///
    /// # Errors
    /// Why the service drops it.
    pub(super) fn read(message: &str) -> Result<Self, String> {
        if let Ok(alarm) = serde_json::from_str::<Alarm>(message) {
            return Ok(Self::of_alarm(alarm));
        }
        let custom: Custom = serde_json::from_str(message)
            .map_err(|error| format!("it is no notification of CloudWatch and no custom notification: {error}"))?;
        if custom.version != "1.0" {
            return Err(format!("its version is `{}`, not 1.0", custom.version));
        }
        if custom.source != "custom" {
            return Err(format!("its source is `{}`, not custom", custom.source));
        }
        let content = custom.content;
        if let Some(kind) = content.text_type.filter(|kind| kind != "client-markdown") {
            return Err(format!("its textType is `{kind}`, not client-markdown"));
        }
        let chars = content.description.chars().count();
        if !(1..=DESCRIPTION_CHARS_MAX).contains(&chars) {
            return Err(format!(
                "its description has {chars} characters, not 1 to {DESCRIPTION_CHARS_MAX}"
            ));
        }
        let chars = content.title.as_ref().map_or(0, |title| title.chars().count());
        if chars > TITLE_CHARS_MAX {
            return Err(format!("its title has {chars} characters, more than {TITLE_CHARS_MAX}"));
        }
        Ok(Self {
            title: content.title,
            description: content.description,
            next_steps: content.next_steps,
            keywords: content.keywords,
            thread_id: custom.metadata.and_then(|metadata| metadata.thread_id),
        })
    }

    fn of_alarm(alarm: Alarm) -> Self {
        let description = [alarm.alarm_description, Some(alarm.new_state_reason)];
        let description: Vec<String> = description
            .into_iter()
            .flatten()
            .filter(|text| !text.is_empty())
            .collect();
        Self {
            title: Some(format!(
                "CloudWatch Alarm | {} | {} | {} | Account: {}",
                alarm.alarm_name, alarm.new_state_value, alarm.region, alarm.account
            )),
            description: description.join("\n"),
            next_steps: Vec::new(),
            keywords: Vec::new(),
            thread_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_keeps_to_the_schema_is_read() {
        let message = json!({
            "version": "1.0", "source": "custom", "id": "n",
            "content": {"textType": "client-markdown", "title": "t", "description": "d", "nextSteps": ["a", "b"], "keywords": ["k"]},
            "metadata": {"threadId": "m", "summary": "s", "eventType": "e", "relatedResources": ["r"], "additionalContext": {"k": "v"}},
        });
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            Notification::read(&message.to_string()),
            Ok(Notification {
                title: Some("t".into()),
                description: "d".into(),
                next_steps: texts(&["a", "b"]),
                keywords: texts(&["k"]),
                thread_id: Some("m".into()),
            })
        );
        let least = json!({"version": "1.0", "source": "custom", "content": {"description": "é".repeat(8000)}});
        assert_eq!(Notification::read(&least.to_string()).unwrap().title, None);
    }

    #[test]
    fn all_else_is_dropped_with_a_reason() {
        let good = json!({"version": "1.0", "source": "custom", "content": {"description": "d"}});
        let with = |pointer: &str, value: Value| {
            let mut changed = good.clone();
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[member] = value;
            changed.to_string()
        };
        for (message, words) in [
            ("plain text".to_owned(), "no custom notification"),
            ("{}".to_owned(), "missing field `version`"),
            (with("/version", json!("1.1")), "version is `1.1`"),
            (with("/version", json!(1.0)), "invalid type"),
            (with("/source", json!("aws.codebuild")), "source is `aws.codebuild`"),
            (with("/content", json!({"title": "t"})), "missing field `description`"),
            (with("/content/description", json!("")), "has 0 characters"),
            (
                with("/content/description", json!("d".repeat(8001))),
                "has 8001 characters",
            ),
            (with("/content/title", json!("t".repeat(251))), "title has 251"),
            (with("/content/textType", json!("html")), "textType is `html`"),
            (with("/content/nextSteps", json!("one")), "invalid type"),
            (
                with("/metadata", json!({"additionalContext": {"k": 1}})),
                "invalid type",
            ),
        ] {
            let reason = Notification::read(&message).unwrap_err();
            assert!(reason.contains(words), "{message}: {reason}");
        }
    }

    #[test]
    fn alarms_are_known() {
        let alarm = json!({"AlarmName": "tumour-5xx", "AlarmDescription": "errors", "AWSAccountId": "1", "NewStateValue": "ALARM",
            "NewStateReason": "Threshold Crossed", "Region": "eu-west-1"});
        let read = Notification::read(&alarm.to_string()).unwrap();
        let title = "CloudWatch Alarm | tumour-5xx | ALARM | eu-west-1 | Account: 1";
        assert_eq!(
            (read.title.as_deref(), read.description.as_str()),
            (Some(title), "errors\nThreshold Crossed")
        );
    }
}
