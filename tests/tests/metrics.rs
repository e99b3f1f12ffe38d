//! What the train counts and measures: exactly what has happened, once.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use jiff::{SignedDuration, Timestamp};
use local::cloud::Service;
use serde_json::{Value, json};
use signalbox_aws::counts::{METRICS, NAMESPACE};
use tests::candidate::Candidate;
use tests::connector::Fault;
use tests::world::World;

const ALARM: &str = "tumour-5xx";

/// What was counted and measured, without the looks at what stands still.
fn counted(world: &World) -> Vec<String> {
    let metrics = world.metrics().into_iter();
    metrics.filter(|metric| !metric.starts_with("ReleaseIdle ")).collect()
}

fn world() -> World {
    World::new(5).unwrap().without_traffic()
}

fn approved(world: &mut World, accuracy: f64, version: u32) {
    let link = world.propose(&Candidate::of_accuracy(accuracy)).unwrap();
    world.run_for(SignedDuration::from_mins(10)).unwrap();
    world.decide(&link, "approve", "fine").unwrap();
    world
        .run_until(12, "the end", |world| world.outcome(version).is_some())
        .unwrap();
}

/// A time in seconds, whatever its number is.
fn timed(metric: &str) -> (&str, u64) {
    let (name, seconds) = metric.rsplit_once(' ').unwrap();
    (name, seconds.parse().unwrap())
}

#[test]
fn a_clean_release_is_counted_once_and_its_way_is_measured() {
    let mut world = world();
    let pushed = world.cloud().now();
    approved(&mut world, 0.9, 1);
    let served = world.package(1).unwrap();
    let served = served
        .pointer("/CustomerMetadataProperties/signalbox:deployed-at")
        .unwrap();
    let served: Timestamp = served.as_str().unwrap().parse().unwrap();
    world.run_for(SignedDuration::from_hours(2)).unwrap();
    let counted = counted(&world);
    let [waited, deployed, way] = counted.as_slice() else {
        unreachable!("{counted:?}")
    };
    assert_eq!(deployed, "Releases Outcome=deployed 1");
    let (name, seconds) = timed(waited);
    assert_eq!(name, "ApprovalWait");
    assert!((600..700).contains(&seconds), "{seconds}");
    let (name, seconds) = timed(way);
    assert_eq!(
        (name, seconds),
        ("PushToServing", served.duration_since(pushed).as_secs().unsigned_abs())
    );
}

#[test]
fn cloudwatch_has_what_was_counted() {
    let mut world = world();
    approved(&mut world, 0.9, 1);
    let now = world.cloud().now().as_second();
    let dimensions = json!([{"Name": "Model", "Value": "tumour"}, {"Name": "Outcome", "Value": "deployed"}]);
    let asked = json!({"Namespace": NAMESPACE, "MetricName": "Releases", "Period": 3600, "Statistics": ["Sum"],
        "Dimensions": dimensions, "StartTime": now - 3600, "EndTime": now + 3600});
    let answer = world.call(Service::CloudWatch, "GetMetricStatistics", &asked).unwrap();
    assert_eq!(answer.pointer("/Datapoints/0/Sum"), Some(&json!(1.0)), "{answer}");
    // All that the train has published is in its list.
    let listed = world
        .call(Service::CloudWatch, "ListMetrics", &json!({"Namespace": NAMESPACE}))
        .unwrap();
    let listed = listed.get("Metrics").and_then(Value::as_array).unwrap();
    assert!(!listed.is_empty());
    for metric in listed {
        let of = |member: &Value, name: &str| member.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let known = METRICS.iter().find(|known| known.name == of(metric, "MetricName"));
        let dimensions = metric.get("Dimensions").and_then(Value::as_array).unwrap();
        let mut names: Vec<_> = dimensions.iter().map(|dimension| of(dimension, "Name")).collect();
        let mut expected: Vec<_> = known.unwrap().dimensions.iter().copied().chain(["Model"]).collect();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected, "{metric}");
    }
}

#[test]
fn a_rollback_is_counted_once_with_its_cause() {
    let deployed = |alarm: bool| {
        let mut world = world();
        approved(&mut world, 0.9, 1);
        approved(&mut world, 0.95, 2);
        let before = counted(&world).len();
        if alarm {
            world.set_alarm(ALARM, "ALARM").unwrap();
        } else {
            let link = world.take_back_links().pop().unwrap();
            world.decide(&link, "take-back", "wrong prices").unwrap();
        }
        world.until_outcome(2, "rolled-back").unwrap();
        world.run_for(SignedDuration::from_hours(1)).unwrap();
        counted(&world).split_off(before)
    };
    assert_eq!(
        deployed(true),
        ["Releases Outcome=rolled-back 1", "Rollbacks Cause=alarm 1"]
    );
    assert_eq!(
        deployed(false),
        ["Releases Outcome=rolled-back 1", "Rollbacks Cause=person 1"]
    );
}

#[test]
fn what_sagemaker_takes_back_itself_is_counted_so_and_is_never_deployed() {
    let mut world = World::new(5).unwrap();
    approved(&mut world, 0.9, 1);
    let before = counted(&world).len();
    let failing = Candidate {
        error_rate: 0.5,
        ..Candidate::of_accuracy(0.95)
    };
    let link = world.propose(&failing).unwrap();
    world.decide(&link, "approve", "fine").unwrap();
    world.until_outcome(2, "rolled-back").unwrap();
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    let counted = counted(&world).split_off(before);
    let counted: Vec<_> = counted
        .iter()
        .filter(|counted| !counted.starts_with("ApprovalWait "))
        .collect();
    assert_eq!(
        counted,
        ["Releases Outcome=rolled-back 1", "Rollbacks Cause=deployment 1"]
    );
}

#[test]
fn the_way_of_a_retraining_is_measured_from_what_asked_for_it() {
    let parameters = [
        ("DataThresholdObjects", "3"),
        ("CooldownMinutes", "0"),
        ("GateExpression", "metrics.accuracy > 0.5"),
    ];
    let mut world = World::with_parameters(5, &parameters).unwrap().without_traffic();
    approved(&mut world, 0.9, 1);
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    let before = counted(&world).len();
    let links = world.approval_links().len();
    let asked = world.cloud().now();
    for number in 0..3 {
        world
            .put_object(&format!("data/new-{number}.csv"), "label,x\n1,2\n")
            .unwrap();
    }
    world
        .run_until(12, "the mail", |world| world.approval_links().len() > links)
        .unwrap();
    let link = world.approval_links().pop().unwrap();
    world.decide(&link, "approve", "fine").unwrap();
    world.until_outcome(2, "deployed").unwrap();
    let longest = world.cloud().now().duration_since(asked).as_secs().unsigned_abs();
    let counted = counted(&world).split_off(before);
    let way = counted
        .iter()
        .find(|counted| counted.starts_with("TriggerToServing "))
        .unwrap();
    // It is asked for by the look that finds the data, which comes later than that.
    assert!((300..=longest).contains(&timed(way).1), "{way} of {longest}");
    assert!(
        counted
            .iter()
            .any(|counted| counted == "RetrainingsStarted Trigger=data 1"),
        "{counted:?}"
    );
    assert!(
        !counted.iter().any(|counted| counted.starts_with("PushToServing ")),
        "{counted:?}"
    );
}

#[test]
fn each_end_without_a_deployment_is_counted_once() {
    let mut world = World::with_parameters(5, &[("ApprovalTimeoutMinutes", "60")])
        .unwrap()
        .without_traffic();
    approved(&mut world, 0.9, 1);
    let before = counted(&world).len();
    world.push(&Candidate::of_accuracy(0.88)).unwrap();
    world.until_outcome(2, "gate-not-met").unwrap();
    let link = world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    world.decide(&link, "reject", "too slow").unwrap();
    world.until_outcome(3, "rejected").unwrap();
    world.propose(&Candidate::of_accuracy(0.96)).unwrap();
    world.until_outcome(4, "expired").unwrap();
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    let counted = counted(&world).split_off(before);
    let of = |what: &str| -> Vec<_> { counted.iter().filter(|counted| counted.starts_with(what)).collect() };
    let releases = ["gate-not-met", "rejected", "expired"].map(|outcome| format!("Releases Outcome={outcome} 1"));
    assert_eq!(of("Releases "), releases.iter().collect::<Vec<_>>());
    assert_eq!((of("ApprovalWait ").len(), of("").len()), (1, 4), "{counted:?}");
}

#[test]
fn a_release_that_nobody_moves_is_seen_to_stand_still() {
    let parameters = [("ApprovalTimeoutMinutes", "1440")];
    let mut world = World::with_parameters(5, &parameters).unwrap().without_traffic();
    let link = world.propose(&Candidate::of_accuracy(0.9)).unwrap();
    let idle = |world: &World| -> Vec<u64> {
        let metrics = world.metrics();
        let idle = metrics.iter().filter(|metric| metric.starts_with("ReleaseIdle "));
        idle.map(|metric| timed(metric).1).collect()
    };
    world.run_for(SignedDuration::from_hours(5)).unwrap();
    let waiting = idle(&world);
    let longest = waiting.last().copied().unwrap();
    assert!((4 * 3600..=5 * 3600).contains(&longest), "{waiting:?}");
    assert!(waiting.is_sorted(), "{waiting:?}");
    world.decide(&link, "approve", "fine").unwrap();
    world.until_outcome(1, "deployed").unwrap();
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    assert_eq!(idle(&world).last(), Some(&0));
}

/// Whoever dies, and wherever: a release that was deployed is counted, and once more at most.
#[test]
fn no_death_loses_a_release() {
    let run = |killed: Option<u64>| {
        let mut world = world();
        let link = world.propose(&Candidate::of_accuracy(0.9)).unwrap();
        let first = world.faults().calls();
        if let Some(call) = killed {
            world.faults().plan(first + call, Fault::KilledAfter);
        }
        for _ in 0..3 {
            if world
                .decide(&link, "approve", "fine")
                .is_ok_and(|(status, _)| status == 200)
            {
                break;
            }
        }
        world.until_outcome(1, "deployed").unwrap();
        let calls = world.faults().calls() - first;
        world.run_for(SignedDuration::from_hours(1)).unwrap();
        let of = |what: &str| {
            counted(&world)
                .iter()
                .filter(|counted| counted.starts_with(what))
                .count()
        };
        (
            ["Releases Outcome=deployed 1", "PushToServing ", "ApprovalWait "].map(of),
            calls,
        )
    };
    let (clean, calls) = run(None);
    assert_eq!(clean, [1, 1, 1]);
    for call in 0..calls {
        let counts = run(Some(call)).0;
        assert!(
            counts.iter().all(|count| (1..=2).contains(count)),
            "call {call} of {calls}: {counts:?}"
        );
    }
}
