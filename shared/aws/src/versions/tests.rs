use serde_json::json;

use super::*;
use crate::error::ErrorKind;
use crate::recorded::{Answer, Recorded, refusal, text};

#[tokio::test]
async fn that_very_version_is_invoked() {
    let recorded = Recorded::new([text(r#"{"dryRun": {}}"#), text("")]);
    let versions = Versions::new(&recorded.sdk());
    let event = json!({"source": "signalbox"});
    let answered = versions.invoke("churn-retrain", "4", &event).await.unwrap();
    let expected = Invocation {
        function_error: None,
        payload: json!({"dryRun": {}}),
    };
    assert_eq!(answered, expected);
    let answered = versions.invoke("churn-retrain", "5", &event).await.unwrap();
    assert_eq!(answered, Invocation::default());
    insta::assert_snapshot!(recorded.requests());
}

#[tokio::test]
async fn a_function_that_fails_is_an_answer() {
    let words = json!({"errorType": "Runtime.ExitError", "errorMessage": "RequestId: 1 Error: Runtime exited"});
    let recorded = Recorded::new([Answer::FunctionError(words.to_string())]);
    let answered = Versions::new(&recorded.sdk())
        .invoke("churn-retrain", "4", &Value::Null)
        .await
        .unwrap();
    let expected = Invocation {
        function_error: Some("Unhandled".into()),
        payload: words,
    };
    assert_eq!(answered, expected);
    recorded.requests();
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (code, expected) in [
        ("ResourceNotFoundException", ErrorKind::NotFound),
        ("TooManyRequestsException", ErrorKind::Transient),
        ("ServiceException", ErrorKind::Transient),
        ("ResourceConflictException", ErrorKind::Busy),
        ("ResourceNotReadyException", ErrorKind::Busy),
        ("AccessDeniedException", ErrorKind::Denied),
        ("InvalidRuntimeException", ErrorKind::Other),
    ] {
        let recorded = Recorded::new([refusal(code, "no")]);
        let error = Versions::new(&recorded.sdk())
            .invoke("churn-retrain", "4", &Value::Null)
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (expected, code));
        recorded.requests();
    }
}
