//! What is published: one text for all, or one for each protocol.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::ApiError;

/// The transport protocols that a message may have texts for.
const PROTOCOLS: [&str; 9] = [
    "application",
    "email",
    "email-json",
    "firehose",
    "http",
    "https",
    "lambda",
    "sms",
    "sqs",
];

/// A message's texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    default: String,
    by_protocol: BTreeMap<String, String>,
}

impl Message {
    /// Reads what is published, by `MessageStructure`, as
    /// [Publish](https://docs.aws.amazon.com/sns/latest/api/API_Publish.html) has it: of a JSON object, the keys that are no protocol and
    /// the values that are no string are ignored.
    ///
    /// # Errors
    /// `InvalidParameter` where it is no JSON object or has no `default`, and for a structure that there is not.
    pub(super) fn read(text: &str, structure: Option<&str>) -> Result<Self, ApiError> {
        let invalid = |what: &str| ApiError::new("InvalidParameter", format!("Invalid parameter: {what}"));
        match structure {
            None => Ok(Self {
                default: text.to_owned(),
                by_protocol: BTreeMap::new(),
            }),
            Some("json") => {
                let Ok(Value::Object(members)) = serde_json::from_str(text) else {
                    return Err(invalid("Message Structure - JSON message body failed to parse"));
                };
                let Some(default) = members.get("default").and_then(Value::as_str) else {
                    return Err(invalid("Message Structure - No default entry in JSON message body"));
                };
                let texts = members
                    .iter()
                    .filter(|(name, _)| PROTOCOLS.contains(&name.as_str()))
                    .filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned())));
                Ok(Self {
                    default: default.to_owned(),
                    by_protocol: texts.collect(),
                })
            }
            Some(_) => Err(invalid("MessageStructure")),
        }
    }

    /// The text for a protocol.
    pub(super) fn text(&self, protocol: &str) -> &str {
        self.by_protocol.get(protocol).unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_has_its_text() {
        let unparsed = "Invalid parameter: Message Structure - JSON message body failed to parse";
        let no_default = "Invalid parameter: Message Structure - No default entry in JSON message body";
        let all = r#"{"default": "d", "email": "e", "https": "", "lambda": 7, "pigeon": "p"}"#;
        for (text, structure, protocol, expected) in [
            ("plain", None, "email", Ok("plain")),
            (all, None, "email", Ok(all)),
            (all, Some("json"), "email", Ok("e")),
            (all, Some("json"), "sqs", Ok("d")),
            // An empty text is a text; what is none is ignored.
            (all, Some("json"), "https", Ok("")),
            (all, Some("json"), "lambda", Ok("d")),
            (all, Some("json"), "pigeon", Ok("d")),
            ("plain", Some("json"), "email", Err(unparsed)),
            ("[]", Some("json"), "email", Err(unparsed)),
            ("null", Some("json"), "email", Err(unparsed)),
            ("{}", Some("json"), "email", Err(no_default)),
            (r#"{"default": 1}"#, Some("json"), "email", Err(no_default)),
            (all, Some("xml"), "email", Err("Invalid parameter: MessageStructure")),
        ] {
            let read = Message::read(text, structure);
            let read = read.as_ref().map(|message| message.text(protocol));
            let read = read.map_err(|error| (error.code.as_str(), error.message.as_str()));
            assert_eq!(
                read,
                expected.map_err(|message| ("InvalidParameter", message)),
                "{text} {protocol}"
            );
        }
    }
}
