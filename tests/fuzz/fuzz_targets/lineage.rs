//! The description of an execution, which anybody who may start one writes: why it was trained, and what is noted there.

#![no_main]

use jiff::{SignedDuration, Timestamp};
use libfuzzer_sys::fuzz_target;
use signalbox_model::evidence::{asked_for, why};
use signalbox_model::failures;
use signalbox_model::lineage::{DESCRIPTION_CHARS_MAX, Lineage, Told, Trigger};
use signalbox_model::retraining::{self, Cause, Decision, Policy};
use signalbox_model::training::{Execution, Status};

fuzz_target!(|text: &str| {
    // It comes back from SageMaker, which takes no longer one.
    let text: String = text.chars().take(DESCRIPTION_CHARS_MAX).collect();
    let lineage = Lineage::from_description(Some(&text));
    let written = lineage.to_description();
    fits(&written);
    let read = Lineage::from_description(Some(&written));
    assert_eq!(read.to_description(), written);
    assert_eq!(
        (read.trigger, read.handled, read.told, read.window),
        (lineage.trigger, lineage.handled, lineage.told, lineage.window)
    );
    assert_eq!(
        read.commit.as_ref().or(lineage.commit.as_ref()),
        lineage.commit.as_ref()
    );
    // People are told in words.
    assert!(!why(&lineage).is_empty());
    assert_eq!(asked_for(&lineage).is_some(), lineage.window.is_some());
    handled(&text);
    repeated(&text);
});

/// What the train notes on it is noted, and fits; and is noted once.
fn handled(text: &str) {
    let execution = execution(text, Status::Failed);
    for told in [None, Some(Told::Counted)] {
        let noted = execution.handled_description(true, told);
        fits(&noted);
        let read = Lineage::from_description(Some(&noted));
        assert_eq!((read.handled, read.trained, read.told), (true, true, told), "{noted}");
        assert_eq!(read.trigger, execution.lineage().trigger);
        // Somebody's own words stay, or their beginning.
        if !text.trim().is_empty() && execution.lineage() == Lineage::of(Trigger::Registry) && !is_ours(text) {
            let kept = read.evidence.get("description");
            assert!(
                kept.is_some_and(|kept| !kept.is_empty() && text.starts_with(kept.trim_end_matches('…'))),
                "{noted}"
            );
        }
        let again = self::execution(&noted, Status::Failed).handled_description(true, told);
        assert_eq!(again, noted, "noted once");
    }
}

/// Whether it says no more than that it is the registry's.
fn is_ours(text: &str) -> bool {
    serde_json::from_str::<Lineage>(text).is_ok()
}

/// The training that repeats it can be started, and says why; and what is decided of it is decided again.
fn repeated(text: &str) {
    let executions = [execution(text, Status::Succeeded)];
    let cause = Cause::Schedule {
        due: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1_000),
    };
    let policy = Policy {
        cooldown: SignedDuration::ZERO,
        while_waiting: true,
    };
    if let Decision::Start(plan) = retraining::decide(&cause, &executions, &policy) {
        let description = plan.lineage.to_description();
        fits(&description);
        let read = Lineage::from_description(Some(&description));
        assert_eq!((read.trigger, read.window), (Trigger::Schedule, plan.lineage.window));
        assert_eq!(plan.token.len(), 64);
        assert!(plan.display_name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    }
    let telling = failures::decide(&executions[0], &executions);
    assert_eq!(
        telling,
        failures::Telling::Notice(None),
        "the first of a row is told of at once"
    );
}

fn execution(description: &str, status: Status) -> Execution {
    Execution {
        arn: "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn/execution/a".to_owned(),
        status,
        description: Some(description.to_owned()),
        started_at: None,
        failure_reason: None,
    }
}

fn fits(description: &str) {
    let chars = description.chars().count();
    assert!(chars <= DESCRIPTION_CHARS_MAX, "{chars} characters: {description}");
}
