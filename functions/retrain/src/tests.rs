use serde_json::json;
use signalbox_aws::memory::{Objects, Started, Trainings};
use signalbox_model::lineage::{Lineage, Trigger};
use signalbox_model::training::{Execution, Status};

use super::*;

const SCHEDULE: &str = include_str!("../../../events/retrain-schedule.json");
const DATA: &str = include_str!("../../../events/retrain-data.json");
const DRIFT: &str = include_str!("../../../events/retrain-drift.json");

const COMMIT: &str = "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a";

struct World {
    settings: Settings,
    trainings: Trainings,
    objects: Objects,
}

impl World {
    fn new() -> Self {
        let settings = Settings {
            model: "churn".parse().unwrap(),
            bucket: "bucket".into(),
            data_prefix: "data/".into(),
            threshold_objects: 3,
            cooldown: SignedDuration::from_mins(60),
        };
        Self {
            settings,
            trainings: Trainings::default(),
            objects: Objects::default(),
        }
    }

    /// One that a push has started at that time.
    fn pushed(&self, started_at: &str, status: Status) {
        let mut lineage = Lineage::of(Trigger::Push);
        lineage.commit = Some(COMMIT.into());
        lineage.data = Some("s3://bucket/data".into());
        let execution = Execution {
            arn: format!("arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn/execution/{started_at}"),
            status,
            description: Some(lineage.to_description()),
            started_at: Some(started_at.parse().unwrap()),
            failure_reason: None,
        };
        self.trainings.put(execution, Vec::new());
    }

    fn data(&self, count: u32) {
        for number in 0..count {
            self.objects.put(&format!("s3://bucket/data/{number}.csv"), "1,2\n");
        }
        self.objects.put("s3://bucket/other/0.csv", "1,2\n");
    }

    async fn handle(&self, event: &str) -> Result<Value, anyhow::Error> {
        handle(
            &self.settings,
            &self.trainings,
            &self.objects,
            serde_json::from_str(event).unwrap(),
        )
        .await
    }
}

/// Long before the events.
const BEFORE: &str = "2026-03-01T11:20:03Z";

fn lineage(started: &Started) -> Lineage {
    Lineage::from_description(Some(&started.description))
}

#[tokio::test]
async fn each_cause_starts_one_training_of_what_was_pushed_last() {
    for (event, trigger, evidence) in [
        (SCHEDULE, Trigger::Schedule, &[("due", "2026-03-08T03:00:00Z")][..]),
        (DATA, Trigger::Data, &[("newObjects", "3")]),
        (
            DRIFT,
            Trigger::Drift,
            &[("alarm", "churn-drift-psi"), ("reason", "[0.27]")],
        ),
    ] {
        let world = World::new();
        world.pushed(BEFORE, Status::Succeeded);
        world.data(4);
        for _ in 0..2 {
            world.handle(event).await.unwrap();
        }
        let started = world.trainings.started();
        assert_eq!(started.len(), 1, "{trigger:?}");
        assert_eq!(started[0].version, None, "the version that the last push left there");
        assert!((32..=128).contains(&started[0].token.len()));
        let lineage = lineage(&started[0]);
        assert_eq!(
            (lineage.trigger, lineage.commit.as_deref(), lineage.handled),
            (trigger, Some(COMMIT), false)
        );
        assert_eq!(lineage.data.as_deref(), Some("s3://bucket/data"));
        for (name, value) in evidence {
            assert!(
                lineage.evidence[*name].contains(value),
                "{name}: {:?}",
                lineage.evidence
            );
        }
    }
}

#[tokio::test]
async fn a_lost_answer_starts_no_second_training() {
    // Lambda retries with the same event after the training that it started has ended.
    for event in [SCHEDULE, DRIFT] {
        let (first, second) = (World::new(), World::new());
        for world in [&first, &second] {
            world.pushed(BEFORE, Status::Succeeded);
            world.handle(event).await.unwrap();
        }
        assert_eq!(first.trainings.started()[0].token, second.trainings.started()[0].token);
    }
}

#[tokio::test]
async fn what_is_not_due_starts_nothing() {
    let (running, ended, failed) = (Status::Executing, Status::Succeeded, Status::Failed);
    for (event, executions, objects, started) in [
        // Nothing was trained yet.
        (SCHEDULE, &[][..], 9, 0),
        (DATA, &[], 9, 0),
        (DRIFT, &[], 9, 0),
        // One runs, were it an older one.
        (SCHEDULE, &[(BEFORE, running)], 9, 0),
        (DATA, &[(BEFORE, running), ("2026-03-02T00:00:00Z", ended)], 9, 0),
        (DRIFT, &[(BEFORE, Status::Stopping)], 9, 0),
        // Within the cool-down; at its end.
        (SCHEDULE, &[("2026-03-08T02:00:01Z", ended)], 9, 0),
        (SCHEDULE, &[("2026-03-08T02:00:00Z", ended)], 9, 1),
        (DATA, &[("2026-03-08T03:00:00Z", failed)], 9, 0),
        (DRIFT, &[("2026-03-08T14:00:00Z", ended)], 9, 0),
        (DRIFT, &[(BEFORE, failed)], 0, 1),
        // Too little data; enough.
        (DATA, &[(BEFORE, ended)], 2, 0),
        (DATA, &[(BEFORE, ended)], 3, 1),
        // The schedule does not ask for data.
        (SCHEDULE, &[(BEFORE, ended)], 0, 1),
    ] {
        let world = World::new();
        for (started_at, status) in executions {
            world.pushed(started_at, *status);
        }
        world.data(objects);
        world.handle(event).await.unwrap();
        assert_eq!(
            world.trainings.started().len(),
            started,
            "{executions:?} {objects} {event}"
        );
    }
}

#[tokio::test]
async fn an_alarm_that_does_not_fire_starts_nothing() {
    for state in ["OK", "INSUFFICIENT_DATA"] {
        let world = World::new();
        world.pushed(BEFORE, Status::Succeeded);
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
        let world = World::new();
        world.pushed(BEFORE, Status::Succeeded);
        let error = world.handle(&event.to_string()).await.unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert_eq!(world.trainings.started(), []);
    }
}
