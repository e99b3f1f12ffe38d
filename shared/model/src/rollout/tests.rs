use super::*;
use crate::endpoint::Variant;

fn policy(strategy: Strategy) -> Policy {
    Policy {
        strategy,
        step_percent: 10,
        wait_seconds: 300,
        bake_seconds: 600,
        timeout_seconds: 7200,
        alarms: vec!["churn-5xx".into()],
        unguarded_serverless: false,
    }
}

fn fleet(instances: u32) -> Fleet {
    Fleet {
        initial: instances,
        keep: false,
        instances,
    }
}

fn alarm(firing: bool, window_seconds: u32) -> Alarm {
    Alarm {
        name: "churn-5xx".into(),
        firing,
        reason: "1 datapoint [0.2] was greater than the threshold (0.02)".into(),
        window_seconds: Some(window_seconds),
    }
}

fn variant(name: &str, instance_type: Option<&str>) -> Variant {
    Variant {
        name: name.into(),
        model: "churn-v6".into(),
        instance_type: instance_type.map(str::to_owned),
        initial_count: instance_type.map(|_| 4),
        serverless: instance_type.is_none(),
    }
}

fn serving(variants: Vec<Variant>) -> Configuration {
    Configuration {
        name: "churn-v6-01234567".into(),
        made_at: None,
        variants,
    }
}

const ALL: [Strategy; 5] = [
    Strategy::AllAtOnce,
    Strategy::BlueGreen,
    Strategy::Canary,
    Strategy::Linear,
    Strategy::Rolling,
];

#[test]
fn plans() {
    let blue_green = |routing, termination_wait_seconds| Traffic::BlueGreen {
        routing,
        wait_seconds: 300,
        termination_wait_seconds,
    };
    let rolling = Traffic::Rolling {
        batch_percent: 10,
        wait_seconds: 300,
    };
    for (strategy, expected) in ALL.into_iter().zip([
        blue_green(Routing::AllAtOnce, 0),
        blue_green(Routing::AllAtOnce, 600),
        blue_green(Routing::Canary(10), 600),
        blue_green(Routing::Linear(10), 600),
        rolling,
    ]) {
        let serving = serving(vec![variant("AllTraffic", Some("ml.m5.large"))]);
        let update = plan(
            &policy(strategy),
            &fleet(2),
            "ml.m5.large",
            Some(&serving),
            &[alarm(false, 60)],
        );
        let plan = update.unwrap().deployment.unwrap();
        assert_eq!((plan.traffic, plan.timeout_seconds), (expected, 7200), "{strategy}");
        assert_eq!(plan.alarms, ["churn-5xx"], "no strategy loses the alarms");
    }
}

#[test]
fn what_cannot_work_is_refused_with_what_to_change() {
    type Change = fn(&mut Case);
    struct Case {
        policy: Policy,
        fleet: Fleet,
        instance_type: &'static str,
        serving: Option<Configuration>,
        alarms: Vec<Alarm>,
    }
    let table: [(Strategy, Change); 22] = [
        (Strategy::Canary, |c| c.policy.step_percent = 51),
        (Strategy::Canary, |c| c.policy.step_percent = 0),
        (Strategy::Linear, |c| c.policy.step_percent = 9),
        (Strategy::Linear, |c| c.policy.step_percent = 51),
        (Strategy::Rolling, |c| c.policy.step_percent = 4),
        (Strategy::Rolling, |c| c.policy.step_percent = 51),
        (Strategy::BlueGreen, |c| c.policy.bake_seconds = 3601),
        (Strategy::Canary, |c| c.policy.wait_seconds = 3601),
        (Strategy::BlueGreen, |c| c.policy.timeout_seconds = 599),
        (Strategy::BlueGreen, |c| c.policy.timeout_seconds = 28_801),
        (Strategy::Linear, |c| c.policy.timeout_seconds = 3300),
        (Strategy::Rolling, |c| c.policy.timeout_seconds = 3000),
        (Strategy::Canary, |c| c.policy.alarms = vec!["a".into(); 11]),
        (Strategy::AllAtOnce, |c| c.policy.alarms.clear()),
        (Strategy::Canary, |c| c.fleet.instances = 1),
        (Strategy::Canary, |c| c.instance_type = "ml.inf1.xlarge"),
        (Strategy::Canary, |c| c.alarms = vec![alarm(false, 301)]),
        (Strategy::BlueGreen, |c| c.alarms = vec![alarm(false, 601)]),
        (Strategy::Linear, |c| {
            (c.policy.bake_seconds, c.alarms) = (60, vec![alarm(false, 61)]);
        }),
        (Strategy::AllAtOnce, |c| c.alarms = vec![alarm(true, 60)]),
        (Strategy::Canary, |c| c.alarms.clear()),
        (Strategy::Rolling, |c| {
            c.serving = Some(serving(vec![
                variant("A", Some("ml.m5.large")),
                variant("B", Some("ml.m5.large")),
            ]));
        }),
    ];
    let mut refusals = String::new();
    for (strategy, change) in table {
        let mut case = Case {
            policy: policy(strategy),
            fleet: fleet(4),
            instance_type: "ml.m5.large",
            serving: Some(serving(vec![variant("AllTraffic", Some("ml.m5.large"))])),
            alarms: vec![alarm(false, 60)],
        };
        let make = |case: &Case| {
            plan(
                &case.policy,
                &case.fleet,
                case.instance_type,
                case.serving.as_ref(),
                &case.alarms,
            )
        };
        assert!(make(&case).is_ok(), "{strategy}: the case differs in nothing else");
        change(&mut case);
        refusals.push_str(&format!("{strategy}: {}\n", make(&case).unwrap_err()));
    }
    insta::assert_snapshot!(refusals);
}

#[test]
fn what_is_just_possible_is_planned() {
    let plan = |policy: &Policy, window_seconds: u32, alarms: usize| {
        let policy = Policy {
            alarms: (0..alarms).map(|i| format!("alarm-{i}")).collect(),
            ..policy.clone()
        };
        let alarms: Vec<_> = policy
            .alarms
            .iter()
            .map(|name| Alarm {
                name: name.clone(),
                ..alarm(false, window_seconds)
            })
            .collect();
        plan(&policy, &fleet(2), "ml.m5.large", None, &alarms).map(|_| ())
    };
    let (canary, blue_green) = (policy(Strategy::Canary), policy(Strategy::BlueGreen));
    let unbaked = Policy {
        bake_seconds: 0,
        ..canary.clone()
    };
    let patient = Policy {
        wait_seconds: 3600,
        bake_seconds: 3599,
        ..canary.clone()
    };
    for (policy, window_seconds, alarms) in [
        (&canary, 60, 10),
        (&canary, 300, 1),
        (&blue_green, 600, 1),
        // A bake of nothing is a choice: nothing has to fire in it.
        (&unbaked, 300, 1),
        (&patient, 60, 1),
    ] {
        assert_eq!(
            plan(policy, window_seconds, alarms),
            Ok(()),
            "{policy:?}, {window_seconds} s, {alarms} alarms"
        );
    }
}

#[test]
fn shares_are_rounded_to_the_nearest_percent() {
    for (instances, all, expected) in [
        (0, 3, 0),
        (1, 8, 13),
        (1, 6, 17),
        (2, 3, 67),
        (5, 6, 83),
        (3, 3, 100),
        (4, 3, 100),
        (0, 0, 100),
    ] {
        assert_eq!(share_percent(instances, all), expected, "{instances} of {all}");
    }
}

#[test]
fn a_serverless_endpoint_is_updated_without_guardrails_only_if_the_policy_says_so() {
    let serving = serving(vec![variant("AllTraffic", None)]);
    let mut policy = policy(Strategy::Canary);
    let make = |policy: &Policy| plan(policy, &fleet(4), "ml.m5.large", Some(&serving), &[alarm(false, 60)]);
    insta::assert_snapshot!(make(&policy).unwrap_err().to_string());
    policy.unguarded_serverless = true;
    assert_eq!(make(&policy).unwrap().deployment, None);
}

#[test]
fn a_first_deployment_can_be_made_while_an_alarm_fires() {
    let update = plan(
        &policy(Strategy::Canary),
        &fleet(4),
        "ml.m5.large",
        None,
        &[alarm(true, 60)],
    );
    assert!(update.is_ok(), "nothing serves that could be rolled back to");
}

#[test]
fn a_rescue_is_watched_by_the_quiet_alarms_alone() {
    let mut policy = policy(Strategy::Canary);
    policy.alarms.push("churn-latency".into());
    let quiet = Alarm {
        name: "churn-latency".into(),
        ..alarm(false, 60)
    };
    let update = rescue(&policy, &[alarm(true, 60), quiet]);
    let plan = update.deployment.unwrap();
    assert_eq!(plan.alarms, ["churn-latency"]);
    assert!(matches!(
        plan.traffic,
        Traffic::BlueGreen {
            routing: Routing::AllAtOnce,
            ..
        }
    ));
}

#[test]
fn percentages_are_said_in_whole_instances() {
    for (strategy, percent, instances) in [
        (Strategy::Canary, 5, 3),
        (Strategy::Canary, 25, 4),
        (Strategy::Canary, 10, 1),
        (Strategy::Linear, 50, 3),
        (Strategy::Rolling, 20, 10),
    ] {
        let policy = Policy {
            step_percent: percent,
            ..policy(strategy)
        };
        let (whole, share) = policy.step(instances);
        let expected = match (percent, instances) {
            (5, 3) => (1, 33),
            (25, 4) => (1, 25),
            (10, 1) => (1, 100),
            (50, 3) => (2, 67),
            _ => (2, 20),
        };
        assert_eq!((whole, share), expected, "{percent} % of {instances}");
    }
    let described = ALL.map(|strategy| policy(strategy).describe(3)).join("\n");
    insta::assert_snapshot!(described);
}

#[test]
fn words_are_read_back() {
    for word in ["all-at-once", "blue-green", "canary", "linear", "rolling"] {
        assert_eq!(word.parse::<Strategy>().unwrap().as_str(), word);
    }
    assert!("yolo".parse::<Strategy>().is_err());
}
