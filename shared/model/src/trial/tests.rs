use serde_json::{Value, json};

use super::*;

const EXPECTED: Expected<'_> = Expected {
    version: "4",
    held: &["sns:Publish"],
    refused: &["s3:GetObject"],
};

fn names(operations: &[&str]) -> Vec<String> {
    operations.iter().map(|operation| (*operation).to_owned()).collect()
}

fn report() -> Report {
    Report {
        version: "4".into(),
        read: names(&["sagemaker:DescribeEndpoint"]),
        ..Report::default()
    }
}

#[test]
fn only_an_event_that_is_an_envelope_and_nothing_else_asks_for_a_dry_run() {
    let event = json!({"source": "signalbox", "detail-type": "Sweep"});
    assert_eq!(open(envelope(event.clone())), Ok(event.clone()));
    let url = json!({"version": "2.0", "requestContext": {}, "body": r#"{"signalbox:dry-run": {}}"#, DRY_RUN: {}});
    for other in [
        event,
        url,
        json!({"detail": {DRY_RUN: {}}}),
        json!({}),
        json!(DRY_RUN),
        Value::Null,
    ] {
        assert_eq!(open(other.clone()), Err(other));
    }
}

#[test]
fn tells_the_sort_of_an_answer_and_no_more() {
    let page = json!({"statusCode": 200, "headers": {}, "body": "<a href=https://example.com/?m=secret>"});
    for (answer, expected) in [
        (page, json!({"type": "object", "statusCode": 200})),
        (
            json!({"statusCode": "https://example.com/?m=secret"}),
            json!({"type": "object"}),
        ),
        (json!("https://example.com/?m=secret"), json!({"type": "string"})),
        (json!([1]), json!({"type": "array"})),
        (Value::Null, Value::Null),
    ] {
        assert_eq!(sort_of(&answer), expected, "{answer}");
    }
}

#[test]
fn tells_an_error_without_its_links() {
    for (error, expected) in [
        ("sns:Publish: Held: held back", "sns:Publish: Held: held back"),
        ("no page at https://x.example/?m=secret now", "no page at (a link) now"),
        ("(http://x.example/?m=secret)", "((a link)"),
        ("https://x.example/?m=secret,http://y.example", "(a link)"),
        ("HTTPS://x.example/?m=secret", "(a link)"),
    ] {
        assert_eq!(told_of(error), expected);
    }
    assert_eq!(told_of(&"long ".repeat(1000)).chars().count(), CHARS_MAX);
}

#[test]
fn judges() {
    let answered = |report: Report| Invocation {
        function_error: None,
        payload: report.answer(),
    };
    let crashed = |payload: Value| Invocation {
        function_error: Some("Unhandled".into()),
        payload,
    };
    let with = |change: fn(&mut Report)| {
        let mut report = report();
        change(&mut report);
        answered(report)
    };
    let table = [
        ("good", answered(report())),
        (
            "good: something is held",
            with(|report| report.held = names(&["sns:Publish"])),
        ),
        (
            "good: failed for what is held",
            with(|report| {
                report.held = names(&["sns:Publish"]);
                report.error = Some("telling: sns:Publish: Held: held back".into());
            }),
        ),
        (
            "good: refused as expected",
            with(|report| {
                report.refused = names(&["s3:GetObject"]);
                report.error = Some("s3:GetObject: AccessDenied: Access Denied".into());
            }),
        ),
        (
            "crashed at its start",
            crashed(json!({"errorType": "Runtime.ExitError", "errorMessage": "RequestId: 1 Error: Runtime exited"})),
        ),
        ("crashed without words", crashed(Value::Null)),
        ("no dry run", Invocation::default()),
        ("another version", with(|report| report.version = "$LATEST".into())),
        (
            "a permission is missing",
            with(|report| {
                report.refused = names(&["sagemaker:DescribeEndpoint"]);
                report.error = Some("sagemaker:DescribeEndpoint: AccessDeniedException: not authorized".into());
            }),
        ),
        (
            "does something else",
            with(|report| report.held = names(&["sns:Publish", "sagemaker:DeleteEndpoint"])),
        ),
        (
            "fails by itself",
            with(|report| report.error = Some("field `detail` is missing".into())),
        ),
        (
            "fails by itself after something was held",
            with(|report| {
                report.held = names(&["sns:Publish"]);
                report.error = Some("field `detail` is missing".into());
            }),
        ),
        (
            "several",
            with(|report| {
                report.version = "3".into();
                report.refused = names(&["kms:VerifyMac", "s3:GetObject"]);
                report.held = names(&["kms:CreateKey"]);
            }),
        ),
    ];
    let judged = table.iter().map(|(what, invocation)| {
        let faults = judge(EXPECTED, invocation);
        let faults: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        format!("{what}:{faults}")
    });
    insta::assert_snapshot!(judged.collect::<Vec<_>>().join("\n"));
}
