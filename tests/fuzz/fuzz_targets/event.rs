//! What a function is invoked with, and what comes back of what it has answered before: JSON, whatever is in it.

#![no_main]

use std::error::Error;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use signalbox_model::alarm::Firing;
use signalbox_model::app_spec;
use signalbox_model::approval::Message;
use signalbox_model::event::Event;
use signalbox_model::job::Job;
use signalbox_model::reconcile::Progress;
use signalbox_model::trial::{self, Expected, Invocation, Report};

/// The longest text of an alarm that is kept, and of what a version says.
const TEXT_CHARS_MAX: usize = 1000;
/// What CodePipeline takes as a continuation token, in characters.
const TOKEN_CHARS_MAX: usize = 2048;
/// What is nowhere in an input, and where secrets stand is put there.
const SECRET: &str = "Zm9yIG5vYm9keSdzIGV5ZXM";

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        deployment(text);
        approval(text);
        token(text);
        assert!(!has_link(&trial::told_of(text)), "a link is told");
    }
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    event(&value);
    job(&value);
    dry_run(&value);
    // The approval's message is a text inside of the event.
    for text in texts(&value) {
        approval(text);
        deployment(text);
        token(text);
    }
});

/// What is read of an event says the same when it is written as an event; and what AWS adds one day changes nothing.
fn event(value: &Value) {
    let Ok(event) = Event::parse(value.clone()) else { return };
    let time = event.time.map(|time| time.to_string());
    let written = json!({
        "version": "0", "new": [value], "source": event.source, "detail-type": event.detail_type, "time": time,
        "resources": event.resources, "detail": event.detail,
    });
    assert_eq!(Event::parse(written).ok().as_ref(), Some(&event));
    if let Ok(Some(firing)) = Firing::told_by(&event) {
        assert_eq!(Some(firing.since), event.time);
        assert!(firing.reason.chars().count() <= TEXT_CHARS_MAX);
        if let Some((value, threshold)) = firing.value {
            assert!(
                value.parse::<f64>().is_ok_and(f64::is_finite) && threshold.parse::<f64>().is_ok_and(f64::is_finite)
            );
        }
    }
}

/// A job is read the same whatever credentials come with it, and shows none of them.
fn job(value: &Value) {
    let Ok(job) = Job::parse(value.clone()) else { return };
    let mut with = value.clone();
    if let Some(data) = with
        .pointer_mut("/CodePipeline.job/data")
        .and_then(Value::as_object_mut)
    {
        data.insert(
            "artifactCredentials".to_owned(),
            json!({"secretAccessKey": SECRET, "sessionToken": [SECRET]}),
        );
    }
    let again = Job::parse(with).ok();
    assert_eq!(again.as_ref(), Some(&job));
    assert!(!format!("{again:?}").contains(SECRET));
    if let Ok(parameters) = job.parameters::<Value>() {
        assert_eq!(
            job.user_parameters
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok()),
            Some(parameters)
        );
    }
    token(job.continuation_token.as_deref().unwrap_or_default());
}

/// A token is read as it was written. What the train itself puts there fits; what SageMaker said is cut for that.
fn token(text: &str) {
    let progress = Progress::parse(Some(text));
    assert_eq!(Progress::parse(Some(&progress.token())), progress);
    let refused = progress.refused(None);
    assert_eq!(
        (refused.asked, &refused.from, refused.told),
        (progress.asked, &progress.from, progress.told)
    );
    // An endpoint configuration's name has at most 63 characters.
    let endpoint = signalbox_model::endpoint::Endpoint {
        status: signalbox_model::endpoint::Status::Updating,
        config: "churn".to_owned(),
        failure_reason: Some(text.to_owned()),
        pending: None,
        modified_at: None,
        desired_counts: Vec::new(),
    };
    let of_ours = Progress {
        from: Some("a".repeat(63)),
        ..progress
    };
    let refused = of_ours.refused(Some(&endpoint));
    assert!(refused.token().chars().count() <= TOKEN_CHARS_MAX);
    assert_eq!(Progress::parse(Some(&refused.token())), refused);
}

/// Whatever is wrong with a message, its token is not in the error; what is right is of the pipeline that was asked for.
fn approval(text: &str) {
    let pipeline = "churn-release";
    if let Ok(message) = Message::parse(text, pipeline) {
        let custom_data = json!({"modelPackage": message.package, "release": message.release}).to_string();
        let approval = json!({
            "pipelineName": pipeline, "token": message.token, "expires": message.expires.to_string(), "customData": custom_data,
        });
        let written = json!({ "approval": approval }).to_string();
        let again = Message::parse(&written, pipeline).ok();
        let again = again.map(|again| (again.release, again.package, again.token, again.expires));
        assert_eq!(
            again,
            Some((message.release, message.package, message.token, message.expires))
        );
    }
    // The same with a secret for a token: in its place as a text, and in another type, which is what serde would quote.
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let Some(approval) = value.get_mut("approval").and_then(Value::as_object_mut) else {
        return;
    };
    for token in [json!(SECRET), json!({ SECRET: SECRET })] {
        approval.insert("token".to_owned(), token);
        let text = json!({"approval": approval}).to_string();
        let Err(error) = Message::parse(&text, pipeline) else {
            continue;
        };
        let mut causes = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        assert!(!causes.concat().contains(SECRET), "{causes:?}");
    }
}

/// What the envelope holds comes out of it, and what comes of itself holds no dry run. A report is read as it was written, and what is
/// told of it bears no link.
fn dry_run(value: &Value) {
    assert_eq!(trial::open(trial::envelope(value.clone())).as_ref(), Ok(value));
    match trial::open(value.clone()) {
        Ok(event) => assert_eq!(&trial::envelope(event), value),
        Err(event) => assert_eq!(&event, value),
    }
    if let Some(report) = Report::read_from(value) {
        assert_eq!(Report::read_from(&report.answer()).as_ref(), Some(&report));
    }
    let invocations = [None, Some("Unhandled".to_owned())].map(|function_error| Invocation {
        function_error,
        payload: value.clone(),
    });
    let expected = Expected {
        version: "7",
        held: &["sns:Publish"],
        refused: &[],
    };
    for invocation in invocations {
        let faults = trial::judge(expected, &invocation);
        let good = invocation.function_error.is_none()
            && Report::read_from(value).is_some_and(|report| {
                let held = report.held.iter().all(|held| held == "sns:Publish");
                report.version == "7" && held && report.refused.is_empty()
            });
        assert!(
            good || !faults.is_empty(),
            "a version that is not as it should be gets traffic"
        );
        for fault in faults {
            if let trial::Fault::Crashed { message: text, .. } | trial::Fault::Failed(text) = fault {
                assert!(!has_link(&text) && text.chars().count() <= TEXT_CHARS_MAX, "{text}");
            }
        }
    }
}

/// What is accepted is one version of one function.
fn deployment(text: &str) {
    let Ok(target) = app_spec::target(text) else { return };
    assert!(!target.function.contains(":function:"));
    let properties = json!({"Name": target.function, "TargetVersion": target.version});
    let resource = json!({"F": {"Type": "AWS::Lambda::Function", "Properties": properties}});
    let one = json!({"version": 0.0, "Resources": [resource]}).to_string();
    assert_eq!(app_spec::target(&one).ok(), Some(target));
    let two = json!({"Resources": [resource, resource]}).to_string();
    assert!(app_spec::target(&two).is_err());
}

fn has_link(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["http://", "https://"].iter().any(|scheme| text.contains(scheme))
}

/// All texts in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}
