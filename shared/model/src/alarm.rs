//! An alarm that fires, as its event and DescribeAlarms tell it.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::event::{Event, EventError};

/// The longest text of an alarm that is kept, in characters.
const ALARM_CHARS_MAX: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    alarm_name: String,
    state: State,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    value: String,
    #[serde(default)]
    reason: String,
    reason_data: Option<String>,
}

/// An alarm that fires, and what it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// The alarm's name.
    pub alarm: String,
    /// CloudWatch's words for why.
    pub reason: String,
    /// The value that it saw last, and its threshold, where it says so.
    pub value: Option<(String, String)>,
    /// Since when it fires.
    pub since: Timestamp,
}

impl Firing {
    /// Reads a `CloudWatch Alarm State Change`; nothing where the alarm does not fire. It fires since the event's time.
    ///
    /// # Errors
    /// Where the event lacks its time, the alarm's name or its state.
    pub fn told_by(event: &Event) -> Result<Option<Self>, EventError> {
        let Changed { alarm_name, state } = event.detail()?;
        if state.value != "ALARM" {
            return Ok(None);
        }
        let since = event.time.ok_or_else(|| event.lacks("time"))?;
        let State {
            reason, reason_data, ..
        } = state;
        Ok(Some(Self::new(&alarm_name, &reason, reason_data.as_deref(), since)))
    }

    /// Reads what CloudWatch tells of an alarm: `reason` and `reasonData` of its state, the latter JSON with `recentDatapoints`, oldest
    /// first, and `threshold`, for an alarm of one metric.
    #[must_use]
    pub fn new(alarm: &str, reason: &str, reason_data: Option<&str>, since: Timestamp) -> Self {
        let data: Option<Value> = reason_data.and_then(|data| serde_json::from_str(data).ok());
        let value = data.and_then(|data| {
            let values = data.get("recentDatapoints")?.as_array()?;
            let newest = values.iter().rev().find_map(Value::as_f64)?;
            let threshold = data.get("threshold")?.as_f64()?;
            Some((newest.to_string(), threshold.to_string()))
        });
        Self {
            alarm: alarm.to_owned(),
            reason: reason.chars().take(ALARM_CHARS_MAX).collect(),
            value,
            since,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn an_event_tells_of_an_alarm_that_fires() {
        let event = |detail: Value| {
            let kind = "CloudWatch Alarm State Change";
            let event = json!({"source": "aws.cloudwatch", "detail-type": kind, "time": time(0), "detail": detail});
            Event::parse(event).unwrap()
        };
        let state = |value: &str| json!({"alarmName": "churn-5xx", "state": {"value": value, "reason": "crossed"}});
        let firing = Firing::told_by(&event(state("ALARM"))).unwrap();
        assert_eq!(firing, Some(Firing::new("churn-5xx", "crossed", None, time(0))));
        for quiet in ["OK", "INSUFFICIENT_DATA"] {
            assert_eq!(Firing::told_by(&event(state(quiet))).unwrap(), None);
        }
        let timeless = Event {
            time: None,
            ..event(state("ALARM"))
        };
        for (event, field) in [
            (event(json!({"alarmName": "churn-5xx"})), "detail.state"),
            (timeless, "time"),
        ] {
            let error = Firing::told_by(&event).unwrap_err().to_string();
            assert!(
                error.contains("CloudWatch Alarm State Change") && error.contains(field),
                "{error}"
            );
        }
    }

    #[test]
    fn alarms_that_say_no_value_are_alarms() {
        for data in [
            None,
            Some("no JSON"),
            Some("{}"),
            // A composite alarm, and one of metric math.
            Some(r#"{"triggeringAlarms":[{"arn":"a"}]}"#),
            Some(r#"{"recentDatapoints":[],"threshold":1}"#),
            Some(r#"{"recentDatapoints":[null],"threshold":1}"#),
        ] {
            assert_eq!(Firing::new("a", "r", data, time(0)).value, None, "{data:?}");
        }
        let seen = Firing::new(
            "a",
            &"r".repeat(900),
            Some(r#"{"recentDatapoints":[3,null],"threshold":2.5}"#),
            time(0),
        );
        assert_eq!(seen.value, Some(("3".into(), "2.5".into())));
        assert_eq!(seen.reason.len(), 500);
    }
}
