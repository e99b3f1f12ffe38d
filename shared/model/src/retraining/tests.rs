use super::*;
use crate::lineage::Told;
use crate::training::Status;

fn time(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
}

fn execution(trigger: Trigger, status: Status, asked: i64) -> Execution {
    let mut lineage = Lineage::of(trigger);
    lineage.commit = Some("0f3c".into());
    lineage.version = Some(4);
    lineage.data = Some("s3://bucket/data".into());
    lineage.set_commit_words(Some("Ada"), Some("Weigh recent calls more"));
    lineage.handled = status.has_ended();
    if trigger.is_automatic() {
        lineage.window = Some(Window {
            from: None,
            until: time(asked),
        });
    }
    Execution {
        arn: format!("execution-{asked}"),
        status,
        description: Some(lineage.to_description()),
        // SageMaker takes a moment.
        started_at: Some(time(asked) + SignedDuration::from_secs(if trigger.is_automatic() { 7 } else { 0 })),
        failure_reason: None,
    }
}

fn pushed(asked: i64) -> Execution {
    execution(Trigger::Push, Status::Succeeded, asked)
}

fn edited(mut execution: Execution, edit: impl Fn(&mut Lineage)) -> Execution {
    let mut lineage = execution.lineage();
    edit(&mut lineage);
    execution.description = Some(lineage.to_description());
    execution
}

fn schedule(due: i64) -> Cause {
    Cause::Schedule { due: time(due) }
}

fn data(objects: u64, seen: i64) -> Cause {
    Cause::Data {
        arrived: Arrived {
            objects,
            bytes: objects * 1500,
        },
        whole: true,
        thresholds: Thresholds {
            objects: Some(10),
            bytes: None,
        },
        seen: time(seen),
    }
}

fn drift(since: i64, seen: i64) -> Cause {
    let reason_data = r#"{"version":"1.0","statistic":"Average","recentDatapoints":[0.1,0.27],"threshold":0.2}"#;
    Cause::Drift {
        firing: Firing::new("churn-drift", "Threshold Crossed", Some(reason_data), time(since)),
        seen: time(seen),
    }
}

const POLICY: Policy = Policy {
    cooldown: SignedDuration::from_mins(60),
    while_waiting: false,
};

/// `start`, or why not.
fn answer(cause: &Cause, executions: &[Execution], policy: &Policy) -> String {
    match decide(cause, executions, policy) {
        Decision::Start(_) => "start".to_owned(),
        Decision::Suppressed(suppressed) => format!("{}: {suppressed}", suppressed.as_str()),
    }
}

#[test]
fn what_starts_and_what_does_not() {
    let failed = |asked| execution(Trigger::Data, Status::Failed, asked);
    let not_good = |asked| edited(failed(asked), |lineage| lineage.trained = true);
    let unjudged = |asked| edited(pushed(asked), |lineage| lineage.handled = false);
    let running = execution(Trigger::Push, Status::Executing, 0);
    for (cause, executions, expected) in [
        (
            schedule(100),
            vec![],
            "NothingTrained: nothing was trained yet: the first training is a push's",
        ),
        // The threshold: one below, met.
        (
            data(9, 100),
            vec![pushed(0)],
            "TooLittle: 9 new objects, 13.5 kB; it takes 10 objects",
        ),
        (data(10, 100), vec![pushed(0)], "start"),
        // One runs, were it an older one.
        (
            schedule(500),
            vec![pushed(60), running.clone()],
            "Running: a training is running: execution-0",
        ),
        (
            data(10, 500),
            vec![running.clone()],
            "Running: a training is running: execution-0",
        ),
        (
            drift(499, 500),
            vec![running],
            "Running: a training is running: execution-0",
        ),
        // The last has ended, and nobody has looked at it.
        (
            data(10, 500),
            vec![unjudged(0)],
            "NotJudged: a training has ended and is not judged yet: execution-0",
        ),
        // The cool-down: within, and at its end.
        (
            data(10, 59),
            vec![pushed(0)],
            "CoolingDown: the last training was asked for 59 min ago, less than the cool-down of 1 h",
        ),
        (data(10, 60), vec![pushed(0)], "start"),
        (drift(59, 60), vec![pushed(0)], "start"),
        (
            schedule(59),
            vec![pushed(0)],
            "CoolingDown: the last training was asked for 59 min ago, less than the cool-down of 1 h",
        ),
        // A schedule's own rhythm is not held up, nor by failures; a schedule after data is.
        (
            schedule(30),
            vec![execution(Trigger::Schedule, Status::Failed, 0)],
            "start",
        ),
        (
            schedule(30),
            vec![execution(Trigger::Data, Status::Succeeded, 0)],
            "CoolingDown: the last training was asked for 30 min ago, less than the cool-down of 1 h",
        ),
        // Failures stretch it: to two hours, to four, and to a day at most.
        (
            data(10, 119),
            vec![failed(0), pushed(-500)],
            "CoolingDown: the last training was asked for 1 h 59 min ago, less than the cool-down of 2 h, which is doubled as that \
             one failed",
        ),
        (data(10, 120), vec![failed(0), pushed(-500)], "start"),
        (
            drift(100, 239),
            vec![failed(0), failed(-200), pushed(-500)],
            "CoolingDown: the last training was asked for 3 h 59 min ago, less than the cool-down of 4 h, which is stretched as the \
             last 2 have failed",
        ),
        (data(10, 1440), (0..40).map(|n| failed(-n * 1440)).collect(), "start"),
        // The model was not good enough: that is no failure to try again, and the same data is not counted again.
        (data(10, 60), vec![not_good(0)], "start"),
        // The same cause delivered again, even where its training has failed.
        (
            schedule(0),
            vec![execution(Trigger::Schedule, Status::Failed, 0)],
            "Answered: a training was asked for since: execution-0",
        ),
        (
            data(10, 0),
            vec![execution(Trigger::Data, Status::Succeeded, 0)],
            "Answered: a training was asked for since: execution-0",
        ),
        // Late: another training has been asked for since.
        (
            schedule(0),
            vec![pushed(5)],
            "Answered: a training was asked for since: execution-5",
        ),
        (
            drift(0, 500),
            vec![pushed(5)],
            "Answered: a training was asked for since: execution-5",
        ),
        // An alarm that fires on while the training that it asked for has failed asks again.
        (drift(0, 200), vec![failed(0)], "start"),
    ] {
        assert_eq!(
            answer(&cause, &executions, &POLICY),
            expected,
            "{cause:?} {executions:?}"
        );
    }
    let eager = Policy {
        while_waiting: true,
        ..POLICY
    };
    assert_eq!(answer(&data(10, 500), &[unjudged(0)], &eager), "start");
    let without = Policy {
        cooldown: SignedDuration::ZERO,
        ..POLICY
    };
    assert_eq!(answer(&data(10, 1), &[pushed(0)], &without), "start");
    assert!(answer(&data(10, 29), &[failed(0)], &without).contains("the cool-down of 30 min, which is doubled"));
}

#[test]
fn data_is_new_since_what_was_learnt_from_last() {
    let failed = execution(Trigger::Data, Status::Failed, 90);
    let not_good = edited(failed.clone(), |lineage| lineage.trained = true);
    let stopped = execution(Trigger::Drift, Status::Stopped, 80);
    for (executions, expected) in [
        (vec![], None),
        (vec![failed.clone()], None),
        (vec![failed.clone(), pushed(30), pushed(0)], Some(30)),
        (vec![not_good, pushed(30)], Some(90)),
        (vec![failed, stopped, pushed(30)], Some(80)),
        (vec![execution(Trigger::Push, Status::Executing, 40)], Some(40)),
    ] {
        assert_eq!(new_since(&executions), expected.map(time), "{executions:?}");
    }
}

fn start(cause: &Cause, executions: &[Execution]) -> Plan {
    match decide(cause, executions, &POLICY) {
        Decision::Start(plan) => *plan,
        Decision::Suppressed(suppressed) => panic!("{suppressed}"),
    }
}

#[test]
fn the_plan_repeats_the_last_green_build_and_says_why() {
    let by_hand = Execution {
        description: Some("by hand".into()),
        ..execution(Trigger::Registry, Status::Stopped, 20)
    };
    let by_hand = Execution {
        description: Some(by_hand.handled_description(false, None)),
        ..by_hand
    };
    let executions = [by_hand, execution(Trigger::Data, Status::Succeeded, 10), pushed(0)];
    for (cause, evidence) in [
        (schedule(500), &[("due", "2027-01-15T16:20:00Z")][..]),
        (data(12, 500), &[("newBytes", "18000"), ("newObjects", "12")]),
        (
            drift(450, 500),
            &[
                ("alarm", "churn-drift"),
                ("reason", "Threshold Crossed"),
                ("threshold", "0.2"),
                ("value", "0.27"),
            ],
        ),
    ] {
        let Plan {
            lineage, display_name, ..
        } = start(&cause, &executions);
        let seen: Vec<_> = lineage.evidence.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(seen, evidence);
        assert_eq!(lineage.trigger, cause.trigger());
        assert_eq!((lineage.commit.as_deref(), lineage.version), (Some("0f3c"), Some(4)));
        assert_eq!(lineage.author.as_deref(), Some("Ada"));
        assert_eq!(lineage.message.as_deref(), Some("Weigh recent calls more"));
        assert_eq!(lineage.data.as_deref(), Some("s3://bucket/data"));
        let window = Window {
            from: Some(time(20)),
            until: time(500),
        };
        assert_eq!(lineage.window, Some(window));
        assert_eq!((lineage.handled, lineage.told), (false, None::<Told>));
        assert_eq!(display_name, format!("{}-1800030000", cause.trigger().as_str()));
    }
}

#[test]
fn one_training_has_one_successor() {
    let executions = [pushed(0)];
    let token = |cause: &Cause| start(cause, &executions).token;
    let first = token(&schedule(90));
    assert!((32..=128).contains(&first.len()), "what SageMaker takes");
    for same in [schedule(91), data(10, 90), data(12, 200), drift(80, 90)] {
        assert_eq!(
            token(&same),
            first,
            "asked for at the same time, or before anything was started"
        );
    }
    assert_ne!(start(&schedule(90), &[pushed(1)]).token, first);
}

#[test]
fn in_vain_are_those_who_asked() {
    let execution = || "e".to_owned();
    for (suppressed, in_vain) in [
        (Suppressed::NothingTrained, true),
        (
            Suppressed::TooLittle {
                arrived: Arrived::default(),
                thresholds: Thresholds::default(),
            },
            false,
        ),
        (Suppressed::Answered { execution: execution() }, false),
        (Suppressed::Running { execution: execution() }, true),
        (Suppressed::NotJudged { execution: execution() }, true),
    ] {
        assert_eq!(suppressed.is_in_vain(), in_vain, "{suppressed}");
    }
}
