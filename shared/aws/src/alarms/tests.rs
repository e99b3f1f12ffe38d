use serde_json::json;

use super::*;
use crate::error::ErrorKind;
use crate::recorded::{Recorded, output, refusal};

fn names() -> Vec<String> {
    vec!["churn-errors".to_owned(), "churn-latency".to_owned()]
}

#[tokio::test]
async fn without_names_nothing_is_asked() {
    let recorded = Recorded::new([]);
    let firing = Alarms::new(&recorded.sdk()).firing(&[]).await.unwrap();
    assert_eq!((firing.len(), recorded.requests().as_str()), (0, ""));
}

#[tokio::test]
async fn only_the_alarms_that_fire_are_asked_for() {
    let recorded = Recorded::new([output(json!({"MetricAlarms": [
        {"AlarmName": "churn-latency", "StateValue": "ALARM"},
    ], "CompositeAlarms": []}))]);
    let firing = Alarms::new(&recorded.sdk()).firing(&names()).await.unwrap();
    assert_eq!(firing, ["churn-latency"]);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST /service/GraniteServiceVersion20100801/operation/DescribeAlarms
    {
      "AlarmNames": [
        "churn-errors",
        "churn-latency"
      ],
      "StateValue": "ALARM"
    }
    "#);
}

#[tokio::test]
async fn no_alarm_fires() {
    for answer in [json!({}), json!({"MetricAlarms": []})] {
        let recorded = Recorded::new([output(answer)]);
        let firing = Alarms::new(&recorded.sdk()).firing(&names()).await.unwrap();
        assert_eq!(firing, [""; 0]);
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
        let error = Alarms::new(&recorded.sdk()).firing(&names()).await.unwrap_err();
        assert_eq!(
            (error.kind, error.code.as_str(), error.message.as_str()),
            (expected, code, "no"),
            "{error}"
        );
        recorded.requests();
    }
}
