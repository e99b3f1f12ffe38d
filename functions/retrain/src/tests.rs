use serde_json::json;
use signalbox_aws::memory::{FiringAlarms, Objects, OneEndpoint, ReleaseTrain, Started, Tally, Trainings};
use signalbox_aws::releases::Waiting;
use signalbox_model::endpoint::{Endpoint, Status as EndpointStatus};
use signalbox_model::lineage::{Lineage, Trigger, Window};
use signalbox_model::training::{Execution, Status};

use super::*;

const SCHEDULE: &str = include_str!("../../../events/retrain-schedule.json");
const DATA: &str = include_str!("../../../events/retrain-data.json");
const DRIFT: &str = include_str!("../../../events/retrain-drift.json");

const COMMIT: &str = "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a";
/// Long before the events.
const BEFORE: &str = "2026-03-01T11:20:03Z";

struct World {
    settings: Settings,
    trainings: Trainings,
    objects: Objects,
    alarms: FiringAlarms,
    releases: ReleaseTrain,
    endpoint: OneEndpoint,
    tally: Tally,
}

impl World {
    fn new() -> Self {
        let settings = Settings {
            model: "churn".parse().unwrap(),
            bucket: "bucket".into(),
            data_prefix: "data/".into(),
            thresholds: Thresholds {
                objects: Some(3),
                bytes: None,
            },
            alarms: vec!["churn-drift".into()],
            release_pipeline: "churn-release".into(),
            policy: Policy {
                cooldown: SignedDuration::from_mins(60),
                while_waiting: false,
            },
        };
        Self {
            settings,
            trainings: Trainings::default(),
            objects: Objects::default(),
            alarms: FiringAlarms::default(),
            releases: ReleaseTrain::default(),
            endpoint: OneEndpoint::default(),
            tally: Tally::default(),
        }
    }

    /// One that a push has started long ago, and that is dealt with.
    fn trained() -> Self {
        let world = Self::new();
        world.pushed(BEFORE, Status::Succeeded);
        world
    }

    /// One that a push has started at that time.
    fn pushed(&self, started_at: &str, status: Status) {
        let mut lineage = Lineage::of(Trigger::Push);
        lineage.commit = Some(COMMIT.into());
        lineage.version = Some(7);
        lineage.data = Some("s3://bucket/data".into());
        lineage.handled = status.has_ended();
        self.put(started_at, status, &lineage.to_description());
    }

    fn put(&self, started_at: &str, status: Status, description: &str) {
        let execution = Execution {
            arn: format!("arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn/execution/{started_at}"),
            status,
            description: Some(description.to_owned()),
            started_at: Some(started_at.parse().unwrap()),
            failure_reason: None,
        };
        self.trainings.put(execution, Vec::new());
    }

    /// So many objects of four bytes that are newer than [`BEFORE`], one that is as old, and others elsewhere.
    fn data(&self, count: u32) {
        let modified = BEFORE.parse::<Timestamp>().unwrap();
        self.objects.put_at("s3://bucket/data/0.csv", "1,2\n", modified);
        for number in 1..=count {
            let modified = modified + SignedDuration::from_secs(number.into());
            self.objects
                .put_at(&format!("s3://bucket/data/{number}.csv"), "1,2\n", modified);
        }
        self.objects.put_at(
            "s3://bucket/other/0.csv",
            "1,2\n",
            modified + SignedDuration::from_hours(1),
        );
    }

    fn serve(&self, config: &str) {
        self.endpoint.set(Endpoint {
            status: EndpointStatus::InService,
            config: config.into(),
            pending: None,
            failure_reason: None,
            modified_at: None,
            desired_counts: Vec::new(),
        });
    }

    async fn handle(&self, event: &str) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            pipelines: &self.trainings,
            objects: &self.objects,
            alarms: &self.alarms,
            releases: &self.releases,
            endpoints: &self.endpoint,
            counts: &self.tally,
        };
        handle(&self.settings, &ports, serde_json::from_str(event).unwrap()).await
    }
}

fn lineage(started: &Started) -> Lineage {
    Lineage::from_description(Some(&started.description))
}

#[tokio::test]
async fn each_cause_starts_one_training_of_what_was_built_last() {
    for (event, trigger, until, evidence) in [
        (
            SCHEDULE,
            Trigger::Schedule,
            "2026-03-08T03:00:00Z",
            &[("due", "2026-03-08T03:00:00Z")][..],
        ),
        (
            DATA,
            Trigger::Data,
            "2026-03-08T03:15:00Z",
            &[("newObjects", "4"), ("newBytes", "16")],
        ),
        (
            DRIFT,
            Trigger::Drift,
            "2026-03-08T14:04:40Z",
            &[
                ("alarm", "churn-drift"),
                ("reason", "[0.27]"),
                ("value", "0.27"),
                ("threshold", "0.2"),
            ],
        ),
    ] {
        let world = World::trained();
        world.data(4);
        world.serve("churn-v6-01234567");
        for _ in 0..2 {
            world.handle(event).await.unwrap();
        }
        let started = world.trainings.started();
        assert_eq!(started.len(), 1, "{trigger:?}");
        assert_eq!(started[0].version, Some(7), "the one that the last green build became");
        assert!((32..=128).contains(&started[0].token.len()));
        let lineage = lineage(&started[0]);
        assert_eq!(
            (lineage.trigger, lineage.commit.as_deref(), lineage.handled),
            (trigger, Some(COMMIT), false)
        );
        assert_eq!(lineage.data.as_deref(), Some("s3://bucket/data"));
        assert_eq!((lineage.version, lineage.champion), (Some(7), Some(6)));
        let window = Window {
            from: Some(BEFORE.parse().unwrap()),
            until: until.parse().unwrap(),
        };
        assert_eq!(lineage.window, Some(window));
        for (name, value) in evidence {
            let seen = &lineage.evidence[*name];
            assert!(seen.contains(value), "{name}: {seen}");
        }
        let parameters = [("DataFrom", BEFORE), ("DataUntil", until)];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(started[0].parameters, parameters.into());
        let word = trigger.as_str();
        assert_eq!(world.tally.counted(), [format!("RetrainingsStarted Trigger={word}")]);
    }
}

#[tokio::test]
async fn a_lost_answer_starts_no_second_training() {
    // Lambda retries with the same event; the list may not show yet what was started.
    let tokens = async |event: &str| {
        let world = World::trained();
        world.data(4);
        world.handle(event).await.unwrap();
        world.trainings.started()[0].token.clone()
    };
    let first = tokens(SCHEDULE).await;
    for event in [SCHEDULE, DATA, DRIFT] {
        assert_eq!(
            tokens(event).await,
            first,
            "and all that asks at the same time starts one"
        );
    }
}

#[tokio::test]
async fn what_is_not_due_starts_nothing() {
    let (running, ended, failed) = (Status::Executing, Status::Succeeded, Status::Failed);
    let suppressed =
        |trigger: &str, reason: &str| vec![format!("RetrainingsSuppressed Trigger={trigger} Reason={reason}")];
    let started = |trigger: &str| vec![format!("RetrainingsStarted Trigger={trigger}")];
    for (event, executions, objects, counted) in [
        // Nothing was trained yet.
        (SCHEDULE, &[][..], 9, suppressed("schedule", "NothingTrained")),
        (DATA, &[], 9, vec![]),
        (DRIFT, &[], 9, suppressed("drift", "NothingTrained")),
        // One runs, were it an older one.
        (SCHEDULE, &[(BEFORE, running)], 9, suppressed("schedule", "Running")),
        (
            DATA,
            &[(BEFORE, running), ("2026-03-01T11:20:04Z", ended)],
            9,
            suppressed("data", "Running"),
        ),
        (DRIFT, &[(BEFORE, Status::Stopping)], 9, suppressed("drift", "Running")),
        // Within the cool-down; at its end; twice as long after a failure.
        (
            SCHEDULE,
            &[("2026-03-08T02:00:01Z", ended)],
            9,
            suppressed("schedule", "CoolingDown"),
        ),
        (SCHEDULE, &[("2026-03-08T02:00:00Z", ended)], 9, started("schedule")),
        (
            DATA,
            &[(BEFORE, ended), ("2026-03-08T01:15:01Z", failed)],
            9,
            suppressed("data", "CoolingDown"),
        ),
        (
            DATA,
            &[(BEFORE, ended), ("2026-03-08T01:15:00Z", failed)],
            9,
            started("data"),
        ),
        (
            DRIFT,
            &[("2026-03-08T14:00:00Z", ended)],
            9,
            suppressed("drift", "CoolingDown"),
        ),
        (DRIFT, &[(BEFORE, failed)], 0, started("drift")),
        // Too little data; enough.
        (DATA, &[(BEFORE, ended)], 2, vec![]),
        (DATA, &[(BEFORE, ended)], 3, started("data")),
        // The schedule does not ask for data.
        (SCHEDULE, &[(BEFORE, ended)], 0, started("schedule")),
    ] {
        let world = World::new();
        for (started_at, status) in executions {
            world.pushed(started_at, *status);
        }
        world.data(objects);
        world.handle(event).await.unwrap();
        assert_eq!(world.tally.counted(), counted, "{executions:?} {objects} {event}");
        let expected = usize::from(counted.iter().any(|counted| counted.starts_with("RetrainingsStarted")));
        assert_eq!(world.trainings.started().len(), expected);
    }
}

#[tokio::test]
async fn bytes_are_as_good_as_objects() {
    for (bytes, objects, expected) in [(8, None, 1), (9, None, 0), (9, Some(2), 1), (9, Some(3), 0)] {
        let mut world = World::trained();
        world.settings.thresholds = Thresholds {
            objects,
            bytes: Some(bytes),
        };
        world.data(2);
        world.handle(DATA).await.unwrap();
        assert_eq!(world.trainings.started().len(), expected, "{bytes} {objects:?}");
    }
    let mut world = World::trained();
    world.settings.thresholds = Thresholds::default();
    world.data(9);
    world.handle(DATA).await.unwrap();
    assert_eq!(world.trainings.started(), [], "without a threshold nothing is counted");
}

#[tokio::test]
async fn a_version_that_is_not_decided_on_holds_retrainings_up_unless_the_policy_says_otherwise() {
    for (event, trigger) in [(SCHEDULE, "schedule"), (DATA, "data"), (DRIFT, "drift")] {
        for while_waiting in [false, true] {
            let mut world = World::trained();
            world.settings.policy.while_waiting = while_waiting;
            world.data(9);
            let waiting = Waiting {
                release: "01234567-89ab-cdef-0123-456789abcdef".parse().unwrap(),
                token: "token".into(),
                since: None,
            };
            let version = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7";
            world.releases.wait(waiting, version.parse().unwrap());
            world.handle(event).await.unwrap();
            assert_eq!(world.trainings.started().len(), usize::from(while_waiting), "{trigger}");
            if !while_waiting {
                let counted = format!("RetrainingsSuppressed Trigger={trigger} Reason=Waiting");
                assert_eq!(world.tally.counted(), [counted]);
                // Decided: the same alarm or count, seen again, starts it.
                world.releases.expire("2026-03-08T14:00:00Z".parse().unwrap());
                world.handle(event).await.unwrap();
                assert_eq!(world.trainings.started().len(), 1);
            }
        }
    }
}

#[tokio::test]
async fn an_alarm_whose_event_was_lost_is_seen_by_the_next_look() {
    let world = World::trained();
    let firing = |alarm: &str, since: &str| Firing::new(alarm, "crossed", None, since.parse().unwrap());
    // One that the train does not listen to, and one from before the last training.
    world.alarms.fire(firing("other", "2026-03-08T02:50:00Z"));
    world.alarms.fire(firing("churn-drift", "2026-03-01T11:00:00Z"));
    world.handle(DATA).await.unwrap();
    assert_eq!((world.trainings.started(), world.tally.counted()), (vec![], vec![]));
    world.alarms.calm();
    world.alarms.fire(firing("churn-drift", "2026-03-08T02:50:00.5Z"));
    for _ in 0..2 {
        world.handle(DATA).await.unwrap();
    }
    let started = world.trainings.started();
    assert_eq!(started.len(), 1);
    let lineage = lineage(&started[0]);
    assert_eq!(
        (lineage.trigger, lineage.evidence["alarm"].as_str()),
        (Trigger::Drift, "churn-drift")
    );
    // It fires on when that training has ended: it was answered.
    let answered = World::new();
    answered.pushed(BEFORE, Status::Succeeded);
    let mut done = lineage;
    done.handled = true;
    answered.put("2026-03-08T03:00:02Z", Status::Succeeded, &done.to_description());
    answered.alarms.fire(firing("churn-drift", "2026-03-08T02:50:00.5Z"));
    let later = DATA.replace("2026-03-08T03:15:00Z", "2026-03-08T09:00:00Z");
    answered.handle(&later).await.unwrap();
    assert_eq!(answered.trainings.started(), []);
}

#[tokio::test]
async fn a_large_prefix_is_counted_over_several_looks() {
    let mut world = World::trained();
    world.settings.thresholds.objects = Some(60);
    // The twin's pages are of ten, and a look reads ten of them.
    for number in 0..240 {
        let modified = if number % 4 == 0 {
            "2026-03-02T00:00:00Z"
        } else {
            "2026-02-01T00:00:00Z"
        };
        let uri = format!("s3://bucket/data/{number:04}.csv");
        world.objects.put_at(&uri, "1,2\n", modified.parse().unwrap());
    }
    let kept = "s3://bucket/state/arrivals.json";
    for look in 1..=3 {
        assert_eq!(world.trainings.started(), [], "look {look}");
        let time = format!("2026-03-08T03:{look:02}:00Z");
        world
            .handle(&DATA.replace("2026-03-08T03:15:00Z", &time))
            .await
            .unwrap();
        assert!(world.objects.uris().iter().any(|uri| uri == kept));
    }
    let started = world.trainings.started();
    assert_eq!(started.len(), 1, "found in the third look");
    let lineage = lineage(&started[0]);
    assert_eq!(
        (
            lineage.evidence["newObjects"].as_str(),
            lineage.evidence["mayBeMore"].as_str()
        ),
        ("60", "true")
    );

    // What can't be read is counted anew.
    world.objects.put(kept, "{");
    world.handle(DATA).await.unwrap();
}

#[tokio::test]
async fn what_the_train_did_not_start_is_repeated_as_it_is() {
    let world = World::new();
    let mut foreign = Lineage::of(Trigger::Registry);
    foreign.handled = true;
    world.put(BEFORE, Status::Succeeded, &foreign.to_description());
    world.handle(SCHEDULE).await.unwrap();
    let started = world.trainings.started();
    assert_eq!(
        (started[0].version, &started[0].parameters),
        (None, &Default::default())
    );
    assert_eq!(lineage(&started[0]).champion, None, "nothing serves");
}

#[tokio::test]
async fn an_alarm_that_does_not_fire_starts_nothing() {
    for state in ["OK", "INSUFFICIENT_DATA"] {
        let world = World::trained();
        let mut event: Value = serde_json::from_str(DRIFT).unwrap();
        event["detail"]["state"]["value"] = state.into();
        world.handle(&event.to_string()).await.unwrap();
        assert_eq!(world.trainings.started(), []);
    }
}

#[tokio::test]
async fn wrong_events_are_errors_that_say_what_is_wrong() {
    let alarm = "CloudWatch Alarm State Change";
    let time = "2026-03-08T03:00:00Z";
    for (event, words) in [
        (
            json!({"source": "signalbox", "detail-type": "Retrain"}),
            &["field `detail` is missing"][..],
        ),
        (
            json!({"source": "signalbox", "detail-type": "Retrain", "detail": {"trigger": "schedule"}}),
            &["no `time`", "<aws.scheduler.scheduled-time>"],
        ),
        (
            json!({"source": "signalbox", "detail-type": "Retrain", "time": "<aws.scheduler.scheduled-time>", "detail": {}}),
            &["no `time`"],
        ),
        (
            json!({"source": "signalbox", "detail-type": "Retrain", "time": time, "detail": {}}),
            &["signalbox", "Retrain", "trigger"],
        ),
        (
            json!({"source": "signalbox", "detail-type": "Retrain", "time": time, "detail": {"trigger": "moon"}}),
            &["signalbox", "Retrain"],
        ),
        (
            json!({"source": "aws.cloudwatch", "detail-type": alarm, "time": time, "detail": {"alarmName": "churn-drift"}}),
            &["aws.cloudwatch", alarm, "detail.state is missing"],
        ),
        (
            json!({"source": "aws.s3", "detail-type": "Object Created", "time": time, "detail": {}}),
            &["aws.s3", "Object Created", "none that this function takes"],
        ),
    ] {
        let world = World::trained();
        let error = world.handle(&event.to_string()).await.unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert_eq!(world.trainings.started(), []);
    }
}
