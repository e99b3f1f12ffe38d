//! EventBridge events, read leniently, refused precisely.
//!
//! AWS adds fields, sends numbers as text and leaves things out, so that only the fields that a decision needs are asked for. An
//! event without them is an error that names its source, its detail-type and the field: Lambda then retries it and keeps it in
//! the dead-letter queue, and nothing is dropped in silence.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What every EventBridge event has around its detail.
///
/// See <https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html>.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The service, `aws.sagemaker` for one.
    pub source: String,
    /// The kind of event.
    pub detail_type: String,
    /// When it happened, by the sender's clock. Scheduled and AWS events always have it.
    pub time: Option<Timestamp>,
    /// The ARNs that it is about.
    pub resources: Vec<String>,
    /// What happened.
    pub detail: Value,
}

/// An event that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not an EventBridge event at all.
    #[error("not an EventBridge event: {0}")]
    Envelope(&'static str),
    /// The detail lacks a field, or has another type there.
    #[error("event `{detail_type}` from `{source_name}`: field `{field}`")]
    Detail {
        /// The event's source.
        source_name: String,
        /// The event's detail-type.
        detail_type: String,
        /// The path of the field within the event.
        field: String,
        /// What was wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// An event that this function has no use for: the rule that sent it is wrong.
    #[error(
        "event `{detail_type}` from `{source_name}` is none that this function takes; check the rule that sends it"
    )]
    Unknown {
        /// The event's source.
        source_name: String,
        /// The event's detail-type.
        detail_type: String,
    },
}

impl Event {
    /// Reads the envelope.
    ///
    /// # Errors
    /// Where the value is no object with `source`, `detail-type` and `detail`.
    pub fn parse(value: Value) -> Result<Self, EventError> {
        #[derive(Deserialize)]
        struct Envelope {
            source: Option<String>,
            #[serde(rename = "detail-type")]
            detail_type: Option<String>,
            #[serde(default)]
            time: Value,
            #[serde(default)]
            resources: Vec<String>,
            detail: Option<Value>,
        }
        let envelope: Envelope = serde_json::from_value(value)
            .map_err(|_| EventError::Envelope("`source`, `detail-type` or `resources` has a wrong type"))?;
        Ok(Self {
            source: envelope
                .source
                .ok_or(EventError::Envelope("field `source` is missing"))?,
            detail_type: envelope
                .detail_type
                .ok_or(EventError::Envelope("field `detail-type` is missing"))?,
            time: envelope.time.as_str().and_then(|text| text.parse().ok()),
            resources: envelope.resources,
            detail: envelope
                .detail
                .ok_or(EventError::Envelope("field `detail` is missing"))?,
        })
    }

    /// The source and detail-type, to match on.
    #[must_use]
    pub fn kind(&self) -> (&str, &str) {
        (&self.source, &self.detail_type)
    }

    /// Reads the detail.
    ///
    /// # Errors
    /// Where a field that `T` needs is missing or of another type; the error names it.
    pub fn detail<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        serde_json::from_value(self.detail.clone()).map_err(|cause| EventError::Detail {
            source_name: self.source.clone(),
            detail_type: self.detail_type.clone(),
            field: field_of(&cause),
            cause,
        })
    }

    /// The error for an event that lacks a field outside of its detail.
    #[must_use]
    pub fn lacks(&self, field: &str) -> EventError {
        EventError::Detail {
            source_name: self.source.clone(),
            detail_type: self.detail_type.clone(),
            field: format!("{field} is missing"),
            cause: serde::de::Error::custom("it is missing"),
        }
    }

    /// The error for an event that the function has no use for.
    #[must_use]
    pub fn unknown(&self) -> EventError {
        EventError::Unknown {
            source_name: self.source.clone(),
            detail_type: self.detail_type.clone(),
        }
    }
}

/// serde says "missing field `x`" or "invalid type: … "; the field's name is between the backticks of the first.
fn field_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next())
    {
        Some(field) => format!("detail.{field} is missing"),
        None => format!("detail ({text})"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Detail {
        #[serde(rename = "EndpointName")]
        _endpoint_name: String,
    }

    #[test]
    fn names_what_is_wrong() {
        let event =
            |detail| Event::parse(json!({"source": "aws.sagemaker", "detail-type": "T", "detail": detail})).unwrap();
        let error = event(json!({})).detail::<Detail>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "event `T` from `aws.sagemaker`: field `detail.EndpointName is missing`"
        );
        let error = event(json!({"EndpointName": 3})).detail::<Detail>().unwrap_err();
        assert!(error.to_string().contains("invalid type"), "{error}");
        assert!(
            event(json!({"EndpointName": "e", "new": []}))
                .detail::<Detail>()
                .is_ok()
        );
    }

    #[test]
    fn envelopes() {
        for (value, message) in [
            (json!([]), "wrong type"),
            (json!({}), "`source`"),
            (json!({"source": "s"}), "`detail-type`"),
            (json!({"source": "s", "detail-type": "t"}), "`detail`"),
            (json!({"source": 1, "detail-type": "t", "detail": {}}), "wrong type"),
        ] {
            let error = Event::parse(value.clone()).unwrap_err().to_string();
            assert!(error.contains(message), "{value}: {error}");
        }
        let event = Event::parse(json!({"source": "s", "detail-type": "t", "detail": {}})).unwrap();
        assert_eq!(event.kind(), ("s", "t"));
        // Some documented samples have times that aren't RFC 3339; the time is rarely needed, so that alone refuses nothing.
        let value = json!({"source": "s", "detail-type": "t", "time": "yesterday", "detail": {}});
        assert_eq!(Event::parse(value).unwrap().time, None);
    }
}
