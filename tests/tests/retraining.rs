//! Trainings that nobody pushed, in process and in virtual time: by schedule, for new data, for drift; what holds them up; what is lost
//! and what comes twice.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use local::cloud::Service;
use serde_json::{Value, json};
use tests::candidate::Candidate;
use tests::connector::Fault;
use tests::world::{Delivery, World};

/// Nothing starts by itself but what a test is about: no schedule within a year, no threshold, no alarm.
const QUIET: [(&str, &str); 4] = [
    ("RolloutStrategy", "all-at-once"),
    ("RetrainSchedule", "cron(0 0 1 1 ? 2030)"),
    ("DataThresholdObjects", "0"),
    ("DataCheckSchedule", "rate(15 minutes)"),
];
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Version 1 serves; what is trained again is no better, so that its gate does not hold, and is done with.
fn serving(others: &[(&str, &str)]) -> World {
    let parameters: Vec<_> = QUIET.iter().chain(others).copied().collect();
    let mut world = World::with_parameters(1, &parameters).unwrap().without_traffic();
    let link = world.propose(&Candidate::of_accuracy(0.90)).unwrap();
    world.decide(&link, "approve", "").unwrap();
    world.until_outcome(1, "deployed").unwrap();
    assert_eq!(retrainings(&world).len(), 0);
    world
}

/// A training that nobody pushed.
#[derive(Debug, Clone)]
struct Retraining {
    lineage: Value,
    started: Timestamp,
}

impl Retraining {
    fn evidence(&self, name: &str) -> &str {
        self.lineage["evidence"][name].as_str().unwrap_or_default()
    }

    fn window(&self) -> (Timestamp, Timestamp) {
        let time = |name: &str| self.lineage["window"][name].as_str().unwrap().parse().unwrap();
        (time("from"), time("until"))
    }
}

/// All executions, newest first.
fn executions(world: &World) -> Vec<Value> {
    let mut all = Vec::new();
    let mut input = json!({"PipelineName": world.model(), "MaxResults": 100, "SortOrder": "Descending"});
    loop {
        let page = world
            .call(Service::SageMaker, "ListPipelineExecutions", &input)
            .unwrap();
        all.extend(page["PipelineExecutionSummaries"].as_array().unwrap().iter().cloned());
        match page.get("NextToken") {
            Some(token) => input["NextToken"] = token.clone(),
            None => return all,
        }
    }
}

/// The trainings that nobody pushed, oldest first.
fn retrainings(world: &World) -> Vec<Retraining> {
    let read = |execution: &Value| {
        let description = execution["PipelineExecutionDescription"].as_str().unwrap_or_default();
        let lineage: Value = serde_json::from_str(description).ok()?;
        let automatic = ["schedule", "data", "drift"].contains(&lineage["trigger"].as_str()?);
        let started = execution["StartTime"].as_f64().unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "seconds of our time")]
        let started = Timestamp::from_second(started as i64).unwrap();
        automatic.then_some(Retraining { lineage, started })
    };
    let mut found: Vec<_> = executions(world).iter().filter_map(read).collect();
    found.reverse();
    found
}

fn put(world: &mut World, name: &str, count: usize) {
    for number in 0..count {
        world
            .put_object(&format!("data/{name}-{number:04}.csv"), "label,x\n0,1\n")
            .unwrap();
    }
}

fn drift(world: &World, state: &str) {
    world.set_alarm(&format!("{}-drift", world.model()), state).unwrap();
}

fn nothing_dead(world: &World) {
    let dead = world.cloud().dead_letters().to_vec();
    assert!(dead.is_empty(), "{dead:#?}");
}

/// The mails whose subject has these words.
fn mails(world: &World, words: &str) -> usize {
    world
        .subjects()
        .iter()
        .filter(|subject| subject.contains(words))
        .count()
}

/// Lets nothing run on its schedule but what a training is started by: a year has a quarter of a million sweeps.
fn without_sweeps(world: &mut World) {
    for binary in [
        "pipeline-status",
        "request-approval",
        "sync-approval",
        "endpoint-status",
        "build-status",
    ] {
        world.deliver_scheduled(binary, Delivery::Never);
    }
}

#[test]
fn a_year_of_sundays_across_two_changes_of_the_clocks() {
    let mut world = serving(&[
        ("RetrainSchedule", "cron(30 2 ? * SUN *)"),
        ("RetrainTimezone", "Europe/Berlin"),
        ("DataCheckSchedule", "rate(1 day)"),
    ]);
    without_sweeps(&mut world);
    let begin = world.cloud().now();
    world.run_for(HOUR * 24 * 365).unwrap();
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let runs = retrainings(&world);
    // 52 Sundays; on one of them there is no 02:30, and on one there are two.
    assert_eq!(runs.len(), 51);
    let mut before: Option<&Retraining> = None;
    for run in &runs {
        let due: Timestamp = run.evidence("due").parse().unwrap();
        let local = due.to_zoned(berlin.clone());
        assert_eq!(local.strftime("%a %H:%M").to_string(), "Sun 02:30", "{run:?}");
        assert!(due > begin && run.started.duration_since(due) < HOUR, "{run:?}");
        assert_eq!(run.window().1, due);
        // One window follows on the other: no data falls between two trainings, and none is in both.
        if let Some(before) = before {
            assert_eq!(run.window().0, before.window().1);
            let days = due.to_zoned(berlin.clone()).date() - before.window().1.to_zoned(berlin.clone()).date();
            assert!([7, 14].contains(&days.get_days()), "{run:?}");
        }
        assert_eq!(run.lineage["champion"], 1);
        assert!(run.lineage["version"].is_u64(), "{run:?}");
        assert_eq!(run.lineage["version"], runs[0].lineage["version"]);
        before = Some(run);
    }
    let skipped = "2026-03-29";
    let dates: Vec<_> = runs.iter().map(|run| run.evidence("due")[..10].to_owned()).collect();
    assert!(!dates.iter().any(|date| date == skipped), "{dates:?}");
    assert_eq!(dates.iter().filter(|date| *date == "2026-10-25").count(), 1);
    assert_eq!(
        mails(&world, "gate not met"),
        2 * 51,
        "each was judged, and both approvers were told"
    );
    nothing_dead(&world);
}

#[test]
fn a_daily_schedule_is_not_held_up_by_a_cool_down_of_a_day() {
    let mut world = serving(&[
        ("RetrainSchedule", "cron(0 3 * * ? *)"),
        ("RetrainTimezone", "America/New_York"),
        ("CooldownMinutes", "1440"),
        ("DataCheckSchedule", "rate(1 day)"),
    ]);
    without_sweeps(&mut world);
    // Over 8 March, a day of 23 hours. The first run is within a day of the push.
    world.run_for(HOUR * 24 * 14).unwrap();
    let runs = retrainings(&world);
    let dues: Vec<_> = runs.iter().map(|run| run.evidence("due").to_owned()).collect();
    assert_eq!(runs.len(), 13, "{dues:?}");
    assert!(dues.contains(&"2026-03-08T07:00:00Z".to_owned()) && dues.contains(&"2026-03-07T08:00:00Z".to_owned()));
    nothing_dead(&world);
}

#[test]
fn thresholds_in_objects_and_in_bytes() {
    // An object of the tests has 12 bytes.
    for (parameters, enough) in [
        (&[("DataThresholdObjects", "5")][..], 5),
        (&[("DataThresholdBytes", "48")], 4),
        (&[("DataThresholdBytes", "49")], 5),
        (&[("DataThresholdObjects", "3"), ("DataThresholdBytes", "48")], 3),
        (&[("DataThresholdObjects", "9"), ("DataThresholdBytes", "48")], 4),
    ] {
        let mut world = serving(parameters);
        world.run_for(HOUR * 2).unwrap();
        put(&mut world, "first", enough - 1);
        world.run_for(HOUR * 24).unwrap();
        assert_eq!(retrainings(&world).len(), 0, "one below: {parameters:?}");
        put(&mut world, "last", 1);
        world.run_for(HOUR).unwrap();
        let runs = retrainings(&world);
        assert_eq!(runs.len(), 1, "exactly: {parameters:?}");
        assert_eq!(runs[0].evidence("newObjects"), enough.to_string());
        assert_eq!(runs[0].evidence("newBytes"), (enough * 12).to_string());
        // What was trained on is not counted again.
        put(&mut world, "next", enough - 1);
        world.run_for(HOUR * 24).unwrap();
        assert_eq!(retrainings(&world).len(), 1);
        nothing_dead(&world);
    }
}

#[test]
fn a_burst_is_one_training_and_a_drip_one_for_each_threshold() {
    let mut burst = serving(&[("DataThresholdObjects", "5")]);
    burst.run_for(HOUR * 2).unwrap();
    put(&mut burst, "burst", 2500);
    burst.run_for(HOUR * 24).unwrap();
    let runs = retrainings(&burst);
    assert_eq!(runs.len(), 1);
    assert_eq!(
        runs[0].lineage["evidence"]["mayBeMore"], "true",
        "counting stops at the threshold: {runs:?}"
    );

    let mut drip = serving(&[("DataThresholdObjects", "5")]);
    drip.run_for(HOUR * 2).unwrap();
    for number in 0..48 {
        put(&mut drip, &format!("drip-{number}"), 1);
        drip.run_for(HOUR).unwrap();
    }
    let runs = retrainings(&drip);
    assert_eq!(runs.len(), 9, "of 48 the last three wait: {runs:?}");
    for pair in runs.windows(2) {
        assert_eq!(pair[1].window().0, pair[0].window().1);
    }
    for world in [&burst, &drip] {
        nothing_dead(world);
    }
}

#[test]
fn an_alarm_that_flaps_starts_no_more_than_the_cool_down_lets() {
    let mut world = serving(&[("CooldownMinutes", "120")]);
    world.run_for(HOUR * 3).unwrap();
    for _ in 0..144 {
        drift(&world, "ALARM");
        world.run_for(SignedDuration::from_mins(3)).unwrap();
        drift(&world, "OK");
        world.run_for(SignedDuration::from_mins(2)).unwrap();
    }
    let runs = retrainings(&world);
    assert!((5..=6).contains(&runs.len()), "twelve hours: {runs:?}");
    for pair in runs.windows(2) {
        let apart = pair[1].window().1.duration_since(pair[0].window().1);
        assert!(apart >= HOUR * 2, "{apart} {pair:?}");
    }
    assert_eq!(runs[0].evidence("alarm"), "tumour-drift");
    assert!(runs[0].evidence("reason").contains("Threshold Crossed"), "{runs:?}");
    nothing_dead(&world);
}

/// What asks for a training, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Schedule,
    Data,
    Drift,
}

const ALL: [Asks; 3] = [Asks::Schedule, Asks::Data, Asks::Drift];

/// A world in which that will ask; the schedule at 20:00 of 2 March, some hours after the first version serves.
fn asked_by(asks: Asks, others: &[(&str, &str)]) -> World {
    let mut parameters = others.to_vec();
    match asks {
        Asks::Schedule => parameters.push(("RetrainSchedule", "cron(0 20 2 3 ? 2026)")),
        Asks::Data => parameters.push(("DataThresholdObjects", "5")),
        Asks::Drift => {}
    }
    serving(&parameters)
}

fn run_to(world: &mut World, time: &str) {
    let now = world.cloud().now();
    world
        .run_for(time.parse::<Timestamp>().unwrap().duration_since(now))
        .unwrap();
}

/// It asks, at 20:00.
fn ask(world: &mut World, asks: Asks) {
    run_to(world, "2026-03-02T19:59:00Z");
    match asks {
        Asks::Schedule => {}
        Asks::Data => put(world, "new", 5),
        Asks::Drift => drift(world, "ALARM"),
    }
    run_to(world, "2026-03-02T20:16:00Z");
}

#[test]
fn each_is_held_up_while_a_training_runs_and_what_still_holds_asks_again() {
    for asks in ALL {
        let mut world = asked_by(asks, &[]);
        run_to(&mut world, "2026-03-02T19:30:00Z");
        world.let_jobs_take(HOUR);
        world.push(&Candidate::of_accuracy(0.89)).unwrap();
        ask(&mut world, asks);
        assert_eq!(retrainings(&world).len(), 0, "{asks:?}");
        world.run_for(HOUR * 24).unwrap();
        // A schedule has its next time; data and drift are still there when the training has ended.
        let expected = usize::from(asks != Asks::Schedule);
        assert_eq!(retrainings(&world).len(), expected, "{asks:?}");
        nothing_dead(&world);
    }
}

#[test]
fn each_is_held_up_while_a_version_waits_for_its_approval_unless_the_parameter_says_otherwise() {
    for asks in ALL {
        for while_waiting in ["false", "true"] {
            let others = [
                ("RetrainWhileWaiting", while_waiting),
                ("ApprovalTimeoutMinutes", "10080"),
            ];
            let mut world = asked_by(asks, &others);
            run_to(&mut world, "2026-03-02T18:00:00Z");
            let link = world.propose(&Candidate::of_accuracy(0.95)).unwrap();
            ask(&mut world, asks);
            let expected = usize::from(while_waiting == "true");
            assert_eq!(retrainings(&world).len(), expected, "{asks:?} {while_waiting}");
            world.decide(&link, "reject", "").unwrap();
            world.run_for(HOUR * 24).unwrap();
            let expected = usize::from(while_waiting == "true" || asks != Asks::Schedule);
            assert_eq!(retrainings(&world).len(), expected, "{asks:?} {while_waiting}");
            nothing_dead(&world);
        }
    }
}

#[test]
fn each_is_held_up_within_the_cool_down() {
    for asks in ALL {
        let mut world = asked_by(asks, &[("CooldownMinutes", "120")]);
        run_to(&mut world, "2026-03-02T19:30:00Z");
        world.push(&Candidate::of_accuracy(0.89)).unwrap();
        ask(&mut world, asks);
        assert_eq!(retrainings(&world).len(), 0, "{asks:?}");
        world.run_for(HOUR * 24).unwrap();
        let runs = retrainings(&world);
        assert_eq!(runs.len(), usize::from(asks != Asks::Schedule), "{asks:?}");
        if let Some(run) = runs.first() {
            let (from, until) = run.window();
            assert!(until.duration_since(from) >= HOUR * 2, "{run:?}");
        }
        nothing_dead(&world);
    }
}

#[test]
fn what_comes_twice_starts_one_training_and_one_notice() {
    for asks in ALL {
        let mut world = asked_by(asks, &[]);
        for binary in ["retrain", "pipeline-status"] {
            world.deliver(binary, Delivery::Twice);
            world.deliver_scheduled(binary, Delivery::Twice);
        }
        ask(&mut world, asks);
        world.run_for(HOUR * 24).unwrap();
        assert_eq!(retrainings(&world).len(), 1, "{asks:?}");
        assert_eq!(
            mails(&world, "v2 gate not met"),
            2,
            "{asks:?}: one notice to each of two"
        );
        nothing_dead(&world);
    }
}

#[test]
fn what_asks_at_the_same_time_starts_one_training() {
    let mut world = asked_by(
        Asks::Schedule,
        &[("DataThresholdObjects", "5"), ("CooldownMinutes", "0")],
    );
    run_to(&mut world, "2026-03-02T19:59:00Z");
    put(&mut world, "new", 5);
    drift(&world, "ALARM");
    run_to(&mut world, "2026-03-03T20:00:00Z");
    assert_eq!(retrainings(&world).len(), 1, "{:?}", retrainings(&world));
}

#[test]
fn what_is_lost_is_found_by_the_next_look() {
    // The events of CloudWatch and SageMaker never come.
    for asks in [Asks::Data, Asks::Drift] {
        let mut world = asked_by(asks, &[]);
        for binary in ["retrain", "pipeline-status"] {
            world.deliver(binary, Delivery::Never);
        }
        ask(&mut world, asks);
        assert_eq!(retrainings(&world).len(), 1, "{asks:?}");
        world.run_for(HOUR).unwrap();
        assert_eq!(world.outcome(2).as_deref(), Some("gate-not-met"));
        assert_eq!(mails(&world, "v2 gate not met"), 2);
        nothing_dead(&world);
    }
}

#[test]
fn whatever_fails_at_whatever_call_one_training_starts() {
    for asks in ALL {
        // The calls of a look that starts a training, and of the tries before it.
        for call in 0..8 {
            for fault in [
                Fault::Throttled,
                Fault::FailedAfterDoing,
                Fault::KilledBefore,
                Fault::KilledAfter,
            ] {
                let mut world = asked_by(asks, &[]);
                without_sweeps(&mut world);
                run_to(&mut world, "2026-03-02T19:59:00Z");
                let calls = world.faults().calls();
                world.faults().plan(calls + call, fault);
                ask(&mut world, asks);
                world.run_for(HOUR).unwrap();
                assert_eq!(retrainings(&world).len(), 1, "{asks:?} {call} {fault:?}");
                nothing_dead(&world);
            }
        }
    }
}

#[test]
fn failures_by_schedule_are_told_once_a_day() {
    let mut world = serving(&[("RetrainSchedule", "rate(1 hour)"), ("CooldownMinutes", "0")]);
    // The last green build does not train any more, say for want of data.
    let broken = Candidate {
        trains: false,
        ..Candidate::of_accuracy(0.9)
    };
    world.push(&broken).unwrap();
    world.run_for(HOUR * 24 * 3).unwrap();
    let failures = retrainings(&world).len();
    assert!(failures >= 70, "{failures}");
    let told: Vec<_> = world
        .subjects()
        .into_iter()
        .filter(|subject| subject.contains("training failed"))
        .collect();
    // The push, the first of the schedule's, and one a day; each to two people.
    assert!((8..=10).contains(&told.len()), "{told:?}");
    assert!(told.iter().any(|subject| subject.ends_with("in a row")), "{told:?}");
    let mail = world
        .mails()
        .into_iter()
        .rfind(|mail| mail.subject.contains("in a row"))
        .unwrap();
    for words in [
        "Step: Train",
        "AlgorithmError",
        "You were not told of",
        "#logsV2:log-groups/log-group/",
    ] {
        assert!(mail.body.contains(words), "{words}: {}", mail.body);
    }
    nothing_dead(&world);
}

#[test]
fn data_whose_training_failed_is_trained_on_again_ever_more_rarely() {
    let mut world = serving(&[("DataThresholdObjects", "5"), ("CooldownMinutes", "60")]);
    let broken = Candidate {
        trains: false,
        ..Candidate::of_accuracy(0.9)
    };
    world.push(&broken).unwrap();
    world.run_for(HOUR * 4).unwrap();
    put(&mut world, "new", 5);
    world.run_for(HOUR * 24 * 4).unwrap();
    let runs = retrainings(&world);
    let hours: Vec<_> = runs
        .windows(2)
        .map(|pair| pair[1].started.duration_since(pair[0].started).as_hours())
        .collect();
    // The push failed as well, so that the cool-down is four hours already after the first.
    assert!(hours.starts_with(&[4, 8, 16, 24]), "{hours:?}");
    assert!(hours.iter().skip(3).all(|hours| *hours == 24), "{hours:?}");
    // Mended: the data is trained on, and that is the end of it.
    world.push(&Candidate::of_accuracy(0.89)).unwrap();
    world.run_for(HOUR * 48).unwrap();
    assert_eq!(retrainings(&world).len(), runs.len(), "the push has trained on it");
}

#[test]
fn a_training_of_days_is_waited_for() {
    let mut world = serving(&[("RetrainSchedule", "rate(6 hours)"), ("DataThresholdObjects", "5")]);
    world.run_for(HOUR * 2).unwrap();
    // Three jobs of two days each.
    world.let_jobs_take(HOUR * 48);
    let before = world.approval_links().len();
    world.push(&Candidate::of_accuracy(0.95)).unwrap();
    world.run_for(SignedDuration::from_mins(10)).unwrap();
    put(&mut world, "new", 50);
    drift(&world, "ALARM");
    world.run_for(HOUR * 24 * 5).unwrap();
    assert_eq!(retrainings(&world).len(), 0, "one training runs");
    assert_eq!(executions(&world).len(), 2);
    world
        .run_until(24 * 3, "the approval mail", |world| {
            world.approval_links().len() > before
        })
        .unwrap();
    let link = world.approval_links().pop().unwrap();
    world.decide(&link, "approve", "").unwrap();
    world.until_outcome(2, "deployed").unwrap();
    assert_eq!(mails(&world, "failed"), 0, "{:?}", world.subjects());
    nothing_dead(&world);
}

#[test]
fn a_training_of_days_whose_end_is_not_told_is_found_among_a_hundred() {
    let mut world = serving(&[]);
    world.let_jobs_take(HOUR * 24);
    world.deliver("pipeline-status", Delivery::Never);
    world.push(&Candidate::of_accuracy(0.95)).unwrap();
    world.run_for(HOUR).unwrap();
    // Others come and go meanwhile: somebody tries things in Studio.
    world.let_jobs_take(SignedDuration::from_secs(60));
    for _ in 0..60 {
        by_hand(&world, None);
        world.run_for(SignedDuration::from_mins(20)).unwrap();
    }
    let asked = |world: &World| {
        world
            .subjects()
            .iter()
            .any(|subject| subject.contains("approve tumour"))
    };
    world.run_until(24 * 6, "the approval mail", asked).unwrap();
}

/// An execution that somebody starts in Studio or in a notebook.
fn by_hand(world: &World, description: Option<&str>) -> String {
    let mut input = json!({
        "PipelineName": world.model(),
        "ClientRequestToken": format!("somebody-in-studio-{:020}", world.cloud().now().as_nanosecond()),
    });
    if let Some(description) = description {
        input["PipelineExecutionDescription"] = description.into();
    }
    let answer = world
        .call(Service::SageMaker, "StartPipelineExecution", &input)
        .unwrap();
    answer["PipelineExecutionArn"].as_str().unwrap().to_owned()
}

#[test]
fn executions_that_nobody_here_started_are_released_like_any_other() {
    for (description, events) in [
        (None, Delivery::Once),
        (Some("a try"), Delivery::Never),
        (None, Delivery::Twice),
    ] {
        let mut world = serving(&[("GateExpression", "true")]);
        world.run_for(HOUR * 2).unwrap();
        world.deliver("pipeline-status", events);
        let links = world.approval_links().len();
        by_hand(&world, description);
        world
            .run_until(2, "the question", |world| world.approval_links().len() > links)
            .unwrap();
        let mail = world
            .mails()
            .into_iter()
            .rfind(|mail| mail.subject.contains("approve tumour v2?"))
            .unwrap();
        assert!(mail.body.contains("somebody registered it directly"), "{}", mail.body);
        let link = world.approval_links().pop().unwrap();
        world.decide(&link, "approve", "").unwrap();
        world.until_outcome(2, "deployed").unwrap();
        nothing_dead(&world);
    }
}

/// Registers what version 1 is once more, as a notebook would.
fn register(world: &World, approval: &str) {
    let first = world.package(1).unwrap();
    let input = json!({
        "ModelPackageGroupName": world.model(),
        "ModelApprovalStatus": approval,
        "InferenceSpecification": first["InferenceSpecification"],
        "ModelMetrics": first["ModelMetrics"],
    });
    world.call(Service::SageMaker, "CreateModelPackage", &input).unwrap();
}

#[test]
fn versions_that_a_notebook_registers_are_judged_and_released() {
    for events in [Delivery::Once, Delivery::Twice, Delivery::Never] {
        // Waiting for an approval.
        let mut world = serving(&[("GateExpression", "true")]);
        world.deliver("pipeline-status", events);
        let links = world.approval_links().len();
        register(&world, "PendingManualApproval");
        world
            .run_until(2, "the question", |world| world.approval_links().len() > links)
            .unwrap();
        let link = world.approval_links().pop().unwrap();
        world.decide(&link, "approve", "").unwrap();
        world.until_outcome(2, "deployed").unwrap();
        assert_eq!(world.serving(), Some(2));
        nothing_dead(&world);

        // Approved by who registers it: nobody is asked any more, but the gate is.
        let mut world = serving(&[("GateExpression", "true")]);
        world.deliver("pipeline-status", events);
        register(&world, "Approved");
        world.until_outcome(2, "deployed").unwrap();
        nothing_dead(&world);

        let mut world = serving(&[]);
        world.deliver("pipeline-status", events);
        register(&world, "Approved");
        world.until_outcome(2, "gate-not-met").unwrap();
        world.run_for(HOUR * 2).unwrap();
        assert_eq!((world.serving(), mails(&world, "v2 gate not met")), (Some(1), 2));
        nothing_dead(&world);
    }
}

#[test]
fn a_push_that_does_not_touch_the_model_trains_nothing() {
    let mut world = serving(&[]);
    world.run_for(HOUR).unwrap();
    let good = Candidate::of_accuracy(0.90);
    world.push(&good.clone().beside("docs/how.md", "How.")).unwrap();
    world.run_for(HOUR).unwrap();
    assert_eq!(executions(&world).len(), 1);
    // Its tests fail: what it has changed is trained with the next push, which only mends them.
    let better = Candidate::of_accuracy(0.95);
    let broken = Candidate {
        tests_pass: false,
        ..better.clone()
    };
    world.push(&broken).unwrap();
    world.run_for(HOUR).unwrap();
    assert_eq!(executions(&world).len(), 1);
    world.propose(&better.beside("tests/test_train.py", "")).unwrap();
    assert_eq!(executions(&world).len(), 2);
    nothing_dead(&world);
}

#[test]
fn a_sweep_over_what_is_settled_changes_nothing_and_costs_few_calls() {
    let mut world = serving(&[("RetrainSchedule", "cron(0 20 2 3 ? 2026)")]);
    world.run_for(HOUR * 24 * 3).unwrap();
    let before = (world.faults().calls(), world.mails().len(), world.cloud().now());
    world.run_for(SignedDuration::from_mins(15)).unwrap();
    let calls = world.faults().calls() - before.0;
    assert_eq!(world.mails().len(), before.1);
    // endpoint-status 3, pipeline-status 2, retrain 2, build-status, request-approval and sync-approval 1 each.
    assert_eq!(calls, 10);
}
