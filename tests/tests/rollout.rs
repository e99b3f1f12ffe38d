//! The five ways in which a version takes over, end to end in virtual time: the clean run, an alarm at each moment that matters, each
//! call killed and throttled, each job delivered twice.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

use jiff::{SignedDuration, Timestamp};
use local::cloud::Service;
use serde_json::{Value, json};
use tests::candidate::Candidate;
use tests::connector::Fault;
use tests::world::{Delivery, World};

const ALARM: &str = "tumour-5xx";

/// A strategy, and what the traffic does under the local parameters: 4 instances, steps of 25 %, 300 s each, a bake of 180 s.
#[derive(Debug, Clone, Copy)]
struct Case {
    strategy: &'static str,
    /// The shares of the new fleet, each with the seconds for which it is watched.
    shares: &'static [(f64, i64)],
}

const ALL_AT_ONCE: Case = Case {
    strategy: "all-at-once",
    shares: &[(1.0, 0)],
};
const BLUE_GREEN: Case = Case {
    strategy: "blue-green",
    shares: &[(1.0, 180)],
};
const CANARY: Case = Case {
    strategy: "canary",
    shares: &[(0.25, 300), (1.0, 180)],
};
const LINEAR: Case = Case {
    strategy: "linear",
    shares: &[(0.25, 300), (0.5, 300), (0.75, 300), (1.0, 180)],
};
const ROLLING: Case = Case {
    strategy: "rolling",
    shares: &[(0.25, 300), (0.5, 300), (0.75, 300), (1.0, 300)],
};

impl Case {
    /// Version 1 serves, and version 2 is approved: its deployment is about to begin.
    fn world(self) -> World {
        let mut world = World::with_parameters(3, &[("RolloutStrategy", self.strategy)])
            .unwrap()
            .without_traffic();
        // What has no part in it would only be calls that fail as well.
        for binary in ["retrain", "build-status"] {
            world.deliver_scheduled(binary, Delivery::Never);
        }
        approve(&mut world, &Candidate::of_accuracy(0.90));
        world.until_outcome(1, "deployed").unwrap();
        approve(&mut world, &Candidate::of_accuracy(0.95));
        world
    }
}

/// Pushes a candidate and approves it by the link in its mail.
fn approve(world: &mut World, candidate: &Candidate) {
    let link = world.propose(candidate).unwrap();
    // A person whose page breaks tries again; so does this one.
    let decided = (0..3).any(|_| {
        world
            .decide(&link, "approve", "fine")
            .is_ok_and(|(status, _)| status == 200)
    });
    assert!(decided);
}

/// The happenings of a kind, about version 2.
fn of_v2<'a>(world: &'a World, what: &'a str) -> impl Iterator<Item = (Timestamp, &'a Value)> {
    let of_v2 = |data: &Value| data["config"].as_str().is_some_and(|config| config.contains("-v2-"));
    let happenings = world.happenings().iter();
    happenings
        .filter(move |happening| happening.what == what && of_v2(&happening.data))
        .map(|happening| (happening.time, &happening.data))
}

/// How often version 2 has begun to bake.
fn bakes(world: &World) -> usize {
    of_v2(world, "deployment-phase")
        .filter(|(_, data)| data["phase"] == "Baking")
        .count()
}

fn subjects_with(world: &World, words: &str) -> usize {
    world
        .subjects()
        .iter()
        .filter(|subject| subject.contains(words))
        .count()
}

fn status(world: &World, version: u32) -> String {
    let package = world.package(version).unwrap();
    package["ModelApprovalStatus"].as_str().unwrap_or_default().to_owned()
}

/// Version 2 was taken back, for good, and somebody was told by which alarm.
fn taken_back(world: &mut World, serving: Option<u32>) {
    world.until_outcome(2, "rolled-back").unwrap();
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    assert_eq!(world.serving(), serving);
    assert_eq!(status(world, 2), "Rejected", "it is in quarantine");
    assert_eq!(
        subjects_with(world, "v2 rolled back"),
        2,
        "each of the two approvers: {:?}",
        world.subjects()
    );
    let mails = world.mails();
    let mail = mails
        .iter()
        .find(|mail| mail.subject.contains("v2 rolled back"))
        .unwrap();
    // The numbers, wherever they were kept: the registry's metadata takes no brackets.
    for words in [ALARM, "1 datapoint", "0.25", "/endpoints/tumour"] {
        assert!(mail.body.replace('\n', " ").contains(words), "{words}: {}", mail.body);
    }
    assert!(world.cloud().dead_letters().is_empty());
}

fn clean(case: Case) {
    let mut world = case.world();
    world.until_outcome(2, "deployed").unwrap();
    world.run_for(SignedDuration::from_mins(30)).unwrap();
    assert_eq!(world.serving(), Some(2));
    let shifts: Vec<(Timestamp, f64)> = of_v2(&world, "traffic-shifted")
        .map(|(time, data)| (time, data["share"].as_f64().unwrap()))
        .collect();
    let shares: Vec<f64> = shifts.iter().map(|(_, share)| *share).collect();
    let expected: Vec<f64> = case.shares.iter().map(|(share, _)| *share).collect();
    assert_eq!(shares, expected, "{}", case.strategy);
    for (pair, (share, watched)) in shifts.windows(2).zip(case.shares) {
        let seconds = pair[1].0.duration_since(pair[0].0).as_secs();
        // A rolling update starts each batch before it shifts to it, which takes its time.
        let starting = if case.strategy == "rolling" { 90 } else { 0 };
        assert_eq!(seconds, watched + starting, "{} at {share}", case.strategy);
    }
    let last_watch = case.shares.last().unwrap().1;
    let (full, gone) = (shifts.last().unwrap().0, serves_since(&world));
    assert!(gone.duration_since(full).as_secs() >= last_watch, "the last bake");
    assert_eq!(
        subjects_with(&world, "v2 begins to take over"),
        2,
        "{:?}",
        world.subjects()
    );
    let told: usize = case.shares.iter().filter(|(_, watched)| *watched > 0).count();
    assert_eq!(
        subjects_with(&world, "% of the traffic"),
        2 * told,
        "{:?}",
        world.subjects()
    );
    assert_eq!(subjects_with(&world, "v2 deployed"), 2);
    assert!(world.cloud().dead_letters().is_empty());
}

/// When the endpoint went into service with version 2.
fn serves_since(world: &World) -> Timestamp {
    let in_service = of_v2(world, "endpoint-status").filter(|(_, data)| data["status"] == "InService");
    in_service.last().unwrap().0
}

fn alarm_in_bake(case: Case, number: usize) {
    let mut world = case.world();
    world.run_until(12, "the bake", |world| bakes(world) == number).unwrap();
    world.run_for(SignedDuration::from_secs(1)).unwrap();
    world.set_alarm(ALARM, "ALARM").unwrap();
    taken_back(&mut world, Some(1));
    let endpoint = world.endpoint().unwrap();
    let reason = endpoint["FailureReason"].as_str().unwrap_or_default();
    assert!(reason.contains(ALARM), "SageMaker itself rolled it back: {reason}");
    let package = world.package(2).unwrap();
    let kept = package["CustomerMetadataProperties"]["signalbox:failure"]
        .as_str()
        .unwrap_or_default();
    assert!(kept.contains(ALARM), "and its reason is kept: {package}");
}

/// After the end, and while the old fleet is taken down, when SageMaker does not roll back any more.
fn alarm_after(case: Case, what: &str, moment: impl Fn(&World) -> bool) {
    let mut world = case.world();
    world.run_until(12, what, moment).unwrap();
    world.run_for(SignedDuration::from_secs(1)).unwrap();
    world.set_alarm(ALARM, "ALARM").unwrap();
    taken_back(&mut world, Some(1));
    let endpoint = world.endpoint().unwrap();
    let config = endpoint["EndpointConfigName"].as_str().unwrap();
    let arn = format!("arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/{config}");
    let tags = world
        .call(Service::SageMaker, "ListTags", &json!({"ResourceArn": arn}))
        .unwrap();
    let undoes = tags["Tags"]
        .as_array()
        .unwrap()
        .iter()
        .find(|tag| tag["Key"] == "signalbox:undoes");
    let undoes = undoes.unwrap()["Value"].as_str().unwrap_or_default();
    assert!(
        undoes.contains("-v2-"),
        "a release of its own, linked to the one that it undoes: {undoes}"
    );
    assert_eq!(rollbacks(&world), 1, "once");
}

/// How many times the rollback pipeline ran.
fn rollbacks(world: &World) -> usize {
    let pipeline = json!({"pipelineName": "tumour-rollback"});
    let listed = world
        .call(Service::CodePipeline, "ListPipelineExecutions", &pipeline)
        .unwrap();
    listed["pipelineExecutionSummaries"].as_array().map_or(0, Vec::len)
}

fn alarms(case: Case) {
    let watched = case.shares.iter().filter(|(_, watched)| *watched > 0).count();
    if watched > 0 {
        alarm_in_bake(case, 1);
        alarm_in_bake(case, watched);
    }
    alarm_after(case, "the take-down", |world| {
        of_v2(world, "deployment-phase").any(|(_, data)| data["phase"] == "Deleting")
    });
    alarm_after(case, "the end", |world| world.serving() == Some(2));
}

/// Runs the deployment of version 2 with that fault at every call.
fn everywhere(case: Case, fault: Fault) {
    let run = |faulty: Option<u64>| {
        let mut world = case.world();
        let first = world.faults().calls();
        if let Some(call) = faulty {
            world.faults().plan(first + call, fault);
        }
        world.until_outcome(2, "deployed").unwrap();
        world.run_for(SignedDuration::from_mins(40)).unwrap();
        let dead = world.cloud().dead_letters().len();
        let end = (world.serving(), status(&world, 2), dead, rollbacks(&world));
        let told = subjects_with(&world, "v2 deployed") >= 2;
        (end, told, world.faults().calls() - first)
    };
    let (end, told, calls) = run(None);
    assert_eq!((end.clone(), told), ((Some(2), "Approved".to_owned(), 0, 0), true));
    let wrong: Vec<_> = (0..calls)
        .filter_map(|call| {
            let ended = std::panic::catch_unwind(|| run(Some(call)));
            let right = ended.as_ref().is_ok_and(|(faulty, told, _)| *faulty == end && *told);
            (!right).then(|| (call, ended.map(|(end, told, _)| (end, told)).ok()))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{}: {} of {calls} calls: {wrong:#?}",
        case.strategy,
        wrong.len()
    );
}

/// Every job of update-endpoint is delivered twice.
fn duplicates(case: Case) {
    let mut world = case.world();
    world.deliver_twice("update-endpoint");
    world.until_outcome(2, "deployed").unwrap();
    world.run_for(SignedDuration::from_mins(40)).unwrap();
    assert_eq!(
        (world.serving(), status(&world, 2).as_str(), rollbacks(&world)),
        (Some(2), "Approved", 0)
    );
    assert_eq!(subjects_with(&world, "v2 deployed"), 2, "told once");
    assert!(world.cloud().dead_letters().is_empty());
}

macro_rules! strategies {
    ($($name:ident: $case:expr;)*) => { $(
        mod $name {
            use super::*;

            #[test]
            fn takes_over_by_its_policy() {
                clean($case);
            }

            #[test]
            fn an_alarm_takes_it_back_whenever_it_fires() {
                alarms($case);
            }

            #[test]
            fn killed_after_any_call() {
                everywhere($case, Fault::KilledAfter);
            }

            #[test]
            fn any_call_throttled() {
                everywhere($case, Fault::Throttled);
            }

            #[test]
            fn any_job_delivered_twice() {
                duplicates($case);
            }
        }
    )* };
}

strategies! {
    all_at_once: ALL_AT_ONCE;
    blue_green: BLUE_GREEN;
    canary: CANARY;
    linear: LINEAR;
    rolling: ROLLING;
}

/// What the endpoint's variant is to have, as DescribeEndpoint shows it.
fn desired(world: &World) -> u64 {
    world.endpoint().unwrap()["ProductionVariants"][0]["DesiredInstanceCount"]
        .as_u64()
        .unwrap_or_default()
}

#[test]
fn scaled_counts_are_kept() {
    let mut world = CANARY.world();
    world.until_outcome(2, "deployed").unwrap();
    assert_eq!(desired(&world), 4, "the template's");
    let scale = json!({"EndpointName": "tumour", "DesiredWeightsAndCapacities": [
        {"VariantName": "AllTraffic", "DesiredInstanceCount": 6}]});
    world
        .call(Service::SageMaker, "UpdateEndpointWeightsAndCapacities", &scale)
        .unwrap();
    world.run_for(SignedDuration::from_mins(10)).unwrap();
    for (version, accuracy) in [(3, 0.96), (4, 0.97)] {
        approve(&mut world, &Candidate::of_accuracy(accuracy));
        world.until_outcome(version, "deployed").unwrap();
        assert_eq!(desired(&world), 6, "v{version}");
    }
    let mails = world.mails();
    let started = mails.iter().rfind(|mail| mail.subject.contains("v4 begins")).unwrap();
    assert!(
        started.body.replace("\n  ", " ").contains("6 instances are kept"),
        "{}",
        started.body
    );
}

#[test]
fn the_template_scales_the_endpoint_between_its_bounds() {
    let parameters = [
        ("EndpointMinInstances", "3"),
        ("EndpointMaxInstances", "8"),
        ("ScalingInvocationsPerInstance", "20"),
    ];
    let mut world = World::with_parameters(3, &parameters).unwrap();
    approve(&mut world, &Candidate::of_accuracy(0.90));
    world.until_outcome(1, "deployed").unwrap();
    let targets = world
        .call(
            Service::ApplicationAutoScaling,
            "DescribeScalableTargets",
            &json!({"ServiceNamespace": "sagemaker"}),
        )
        .unwrap();
    let target = &targets["ScalableTargets"][0];
    assert_eq!(
        (target["MinCapacity"].as_u64(), target["MaxCapacity"].as_u64()),
        (Some(3), Some(8))
    );
    // The users call 72 times a minute, which is 18 for each of the four instances; the policy aims at 20.
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    let scaled = desired(&world);
    assert!((3..=8).contains(&scaled), "{scaled}");
    approve(&mut world, &Candidate::of_accuracy(0.95));
    world.until_outcome(2, "deployed").unwrap();
    assert_eq!(world.serving(), Some(2));
    assert!((3..=8).contains(&desired(&world)));
    assert!(
        world.cloud().dead_letters().is_empty(),
        "{:?}",
        world.cloud().dead_letters()
    );
}

#[test]
fn sagemakers_own_maintenance_is_waited_for() {
    let mut world = CANARY.world();
    world.until_outcome(2, "deployed").unwrap();
    let link = world.propose(&Candidate::of_accuracy(0.96)).unwrap();
    world
        .cloud()
        .system_update("tumour", SignedDuration::from_mins(20))
        .unwrap();
    assert_eq!(world.decide(&link, "approve", "fine").unwrap().0, 200);
    world.run_for(SignedDuration::from_mins(10)).unwrap();
    let state = world
        .call(
            Service::CodePipeline,
            "GetPipelineState",
            &json!({"name": "tumour-release"}),
        )
        .unwrap();
    assert!(state.to_string().contains("SageMaker's own maintenance"), "{state}");
    world.until_outcome(3, "deployed").unwrap();
    assert_eq!(world.serving(), Some(3));
}

#[test]
fn two_releases_take_their_turns_and_neither_fails() {
    let mut world = World::with_parameters(3, &[("RolloutWaitSeconds", "1800"), ("RolloutTimeoutSeconds", "7200")])
        .unwrap()
        .without_traffic();
    approve(&mut world, &Candidate::of_accuracy(0.90));
    world.until_outcome(1, "deployed").unwrap();
    let link = world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    assert_eq!(world.decide(&link, "approve", "first").unwrap().0, 200);
    // The second is approved while the first is a canary.
    let link = world.propose(&Candidate::of_accuracy(0.97)).unwrap();
    assert_eq!(world.outcome(2), None, "it still takes over");
    let (status, page) = world.decide(&link, "approve", "second").unwrap();
    assert_eq!(status, 200, "{page}");
    world.until_outcome(3, "deployed").unwrap();
    assert_eq!(
        (world.serving(), world.outcome(2).as_deref()),
        (Some(3), Some("deployed")),
        "in the order of their approval"
    );
    let mut failed = world
        .happenings()
        .iter()
        .filter(|happening| happening.what == "stage-failed");
    assert_eq!(failed.next(), None);
    assert!(world.cloud().dead_letters().is_empty());
}
