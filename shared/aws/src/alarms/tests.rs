use serde_json::json;

use super::*;
use crate::error::ErrorKind;
use crate::recorded::{Recorded, SECONDS, output, refusal, time};

fn names() -> Vec<String> {
    vec!["churn-5xx".to_owned(), "churn-latency".to_owned()]
}

#[tokio::test]
async fn without_names_nothing_is_asked() {
    let recorded = Recorded::new([]);
    let alarms = Alarms::new(&recorded.sdk()).alarms(&[]).await.unwrap();
    assert_eq!((alarms.len(), recorded.requests().as_str()), (0, ""));
}

#[tokio::test]
async fn alarms_are_read_with_their_windows() {
    let reason = "Threshold Crossed: 1 datapoint [0.2] was greater than the threshold (0.02).";
    let recorded = Recorded::new([output(json!({"MetricAlarms": [
        {"AlarmName": "churn-5xx", "StateValue": "ALARM", "StateReason": reason, "Period": 60, "EvaluationPeriods": 3},
        {"AlarmName": "churn-latency", "StateValue": "OK", "Period": 300, "EvaluationPeriods": 1},
    ], "CompositeAlarms": []}))]);
    let alarms = Alarms::new(&recorded.sdk()).alarms(&names()).await.unwrap();
    let alarm = |name: &str, firing, reason: &str, window| Alarm {
        name: name.to_owned(),
        firing,
        reason: reason.to_owned(),
        window_seconds: Some(window),
    };
    let expected = [
        alarm("churn-5xx", true, reason, 180),
        alarm("churn-latency", false, "", 300),
    ];
    assert_eq!(alarms, expected);
    // In every state: one that does not exist guards nothing, and is told from one that is quiet.
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST /service/GraniteServiceVersion20100801/operation/DescribeAlarms
    {
      "AlarmNames": [
        "churn-5xx",
        "churn-latency"
      ]
    }
    "#);
}

#[tokio::test]
async fn those_that_fire_are_read_with_their_values() {
    let reason_data = r#"{"version":"1.0","recentDatapoints":[0.31],"threshold":0.2}"#;
    let recorded = Recorded::new([output(json!({"MetricAlarms": [
        {"AlarmName": "churn-drift", "StateValue": "ALARM", "StateReason": "crossed", "StateReasonData": reason_data,
         "StateUpdatedTimestamp": SECONDS + 60.0, "StateTransitionedTimestamp": SECONDS},
        {"AlarmName": "churn-bias", "StateValue": "ALARM", "StateUpdatedTimestamp": SECONDS},
        // Of a service that does not know the filter; and without a time.
        {"AlarmName": "churn-quality", "StateValue": "OK", "StateUpdatedTimestamp": SECONDS},
        {"AlarmName": "churn-odd", "StateValue": "ALARM"},
    ]}))]);
    let firing = Alarms::new(&recorded.sdk()).firing(&names()).await.unwrap();
    let expected = [
        Firing::new("churn-drift", "crossed", Some(reason_data), time()),
        Firing::new("churn-bias", "", None, time()),
    ];
    assert_eq!(firing, expected);
    assert_eq!(firing[0].value, Some(("0.31".into(), "0.2".into())));
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST /service/GraniteServiceVersion20100801/operation/DescribeAlarms
    {
      "AlarmNames": [
        "churn-5xx",
        "churn-latency"
      ],
      "StateValue": "ALARM"
    }
    "#);
    let nothing = Recorded::new([]);
    assert_eq!(Alarms::new(&nothing.sdk()).firing(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_not_said_is_absent() {
    for (answer, expected) in [
        (json!({}), None),
        (json!({"MetricAlarms": []}), None),
        (json!({"MetricAlarms": [{"StateValue": "ALARM"}]}), None),
        // Metric math has its periods inside the metrics.
        (
            json!({"MetricAlarms": [{"AlarmName": "churn-5xx", "StateValue": "INSUFFICIENT_DATA", "EvaluationPeriods": 1}]}),
            Some((false, None)),
        ),
        (
            json!({"MetricAlarms": [{"AlarmName": "churn-5xx"}]}),
            Some((false, None)),
        ),
    ] {
        let recorded = Recorded::new([output(answer.clone())]);
        let alarms = Alarms::new(&recorded.sdk()).alarms(&names()).await.unwrap();
        let found = alarms.first().map(|alarm| (alarm.firing, alarm.window_seconds));
        assert_eq!(found, expected, "{answer}");
        assert!(!recorded.requests().is_empty());
    }
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (code, expected) in [
        ("ThrottlingException", ErrorKind::Transient),
        ("InternalServiceFault", ErrorKind::Transient),
        ("AccessDeniedException", ErrorKind::Denied),
    ] {
        let recorded = Recorded::new([refusal(code, "no")]);
        let error = Alarms::new(&recorded.sdk()).alarms(&names()).await.unwrap_err();
        assert_eq!(
            (error.kind, error.code.as_str(), error.message.as_str()),
            (expected, code, "no"),
            "{error}"
        );
        recorded.requests();
    }
}
