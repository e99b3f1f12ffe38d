//! Deployments, step by step.

use super::super::endpoints::tests::{config, serving};
use super::super::testing::{instances, metric, ok, refused, set_alarm, told, wait};
use super::*;

fn describe(cloud: &mut Cloud) -> Value {
    ok(cloud, "DescribeEndpoint", &json!({"EndpointName": "churn"}))
}

fn status(cloud: &mut Cloud) -> String {
    text(&describe(cloud), "EndpointStatus").to_owned()
}

/// Status and message of the new variant.
fn pending(cloud: &mut Cloud) -> (String, String) {
    let described = describe(cloud);
    let status = &described["PendingDeploymentSummary"]["ProductionVariants"][0]["VariantStatus"][0];
    (
        text(status, "Status").to_owned(),
        text(status, "StatusMessage").to_owned(),
    )
}

fn blue_green(routing: Value, termination: u64, alarms: &[&str]) -> Value {
    let mut deployment = json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing,
        "TerminationWaitInSeconds": termination, "MaximumExecutionTimeoutInSeconds": 1800}});
    let alarms: Vec<Value> = alarms.iter().map(|name| json!({"AlarmName": name})).collect();
    // The service takes no empty list: without alarms, the member is left out.
    if !alarms.is_empty() {
        deployment["AutoRollbackConfiguration"] = json!({"Alarms": alarms});
    }
    deployment
}

fn canary(percent: u64) -> Value {
    json!({"Type": "CANARY", "WaitIntervalInSeconds": 300, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": percent}})
}

fn linear(count: u64) -> Value {
    json!({"Type": "LINEAR", "WaitIntervalInSeconds": 60, "LinearStepSize": {"Type": "INSTANCE_COUNT", "Value": count}})
}

fn rolling(percent: u64) -> Value {
    json!({"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": percent}, "WaitIntervalInSeconds": 60},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}})
}

fn update(cloud: &mut Cloud, deployment: Option<&Value>) {
    let mut input = json!({"EndpointName": "churn", "EndpointConfigName": "v2"});
    set(&mut input, "DeploymentConfig", json!(deployment));
    ok(cloud, "UpdateEndpoint", &input);
}

/// Instances that wait come up; returns those started and those stopped.
fn come_up(cloud: &mut Cloud) -> (Vec<EffectId>, Vec<EffectId>) {
    let (started, stopped) = instances(cloud);
    for id in &started {
        cloud.finish_start(*id, Ok(()));
    }
    (started, stopped)
}

/// How many of the next 100 requests go to `v2`.
fn to_new(cloud: &mut Cloud) -> usize {
    (0..100)
        .filter(|_| cloud.route("churn").unwrap().config == "v2")
        .count()
}

fn shares(cloud: &mut Cloud) -> Vec<f64> {
    let happenings = cloud
        .take_happenings()
        .into_iter()
        .filter(|happening| happening.what == "traffic-shifted");
    happenings
        .map(|happening| happening.data["share"].as_f64().unwrap())
        .collect()
}

/// An endpoint of so many instances, and a configuration `v2` of so many.
fn ready(count: u64) -> (Cloud, Vec<EffectId>) {
    let (mut cloud, started) = serving(count);
    config(&mut cloud, "v2", count);
    set_alarm(&mut cloud, "errors", "OK");
    cloud.take_happenings();
    told(&mut cloud, "");
    (cloud, started)
}

#[test]
fn a_canary_takes_every_tenth_request_then_all() {
    let (mut cloud, old) = ready(10);
    update(&mut cloud, Some(&blue_green(canary(10), 600, &["errors"])));
    assert_eq!(
        (status(&mut cloud).as_str(), pending(&mut cloud).0.as_str()),
        ("Updating", "Creating")
    );
    assert_eq!(to_new(&mut cloud), 0);
    let (new, _) = come_up(&mut cloud);
    assert_eq!(new.len(), 10);
    let message =
        "Baking for 300 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s).";
    assert_eq!(pending(&mut cloud), ("Baking".to_owned(), message.to_owned()));
    let routes: Vec<bool> = (0..100)
        .map(|_| cloud.route("churn").unwrap().instance == new[0])
        .collect();
    for ten in routes.windows(10) {
        assert_eq!(
            ten.iter().filter(|is_new| **is_new).count(),
            1,
            "exactly one in any ten"
        );
    }
    cloud.record_invocation(new[0], 200, 10);
    let names = [
        ("EndpointName", "churn"),
        ("VariantName", "AllTraffic"),
        ("EndpointConfigName", "v2"),
    ];
    assert_eq!(metric(&cloud, "Invocations", &names), (1.0, 1));

    wait(&mut cloud, 299);
    assert_eq!(to_new(&mut cloud), 10);
    wait(&mut cloud, 1);
    assert_eq!(to_new(&mut cloud), 100);
    assert!(
        pending(&mut cloud)
            .1
            .starts_with("Baking for 600 seconds (TerminationWaitInSeconds)")
    );
    assert_eq!(describe(&mut cloud)["EndpointConfigName"], "v1", "until it is done");
    assert!(instances(&mut cloud).1.is_empty());
    wait(&mut cloud, 600);
    assert_eq!(pending(&mut cloud).0, "Deleting");
    assert_eq!(instances(&mut cloud).1, old);
    wait(&mut cloud, 10);
    let described = describe(&mut cloud);
    assert_eq!(described["EndpointStatus"], "InService");
    assert_eq!(described["EndpointConfigName"], "v2");
    assert_eq!(described.get("PendingDeploymentSummary"), None);
    assert_eq!(described.get("FailureReason"), None);
    assert_eq!(shares(&mut cloud), [0.1, 1.0]);
    assert_eq!(
        cloud.next_timer().map(|time| time > cloud.now()),
        Some(true),
        "the time limit, which is void"
    );
    wait(&mut cloud, 2000);
    assert_eq!(status(&mut cloud), "InService");
}

#[test]
fn traffic_shifts_as_the_policy_says() {
    for (deployment, count, expected) in [
        (None, 2, &[1.0][..]),
        (
            Some(blue_green(
                json!({"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}),
                60,
                &[],
            )),
            1,
            &[1.0],
        ),
        (Some(blue_green(canary(10), 0, &[])), 2, &[0.5, 1.0]),
        (Some(blue_green(linear(3), 0, &[])), 10, &[0.3, 0.6, 0.9, 1.0]),
        (Some(blue_green(linear(1), 0, &[])), 1, &[1.0]),
        (Some(rolling(50)), 4, &[0.5, 1.0]),
        (Some(rolling(10)), 2, &[0.5, 1.0]),
    ] {
        let (mut cloud, _) = ready(count);
        update(&mut cloud, deployment.as_ref());
        for _ in 0..20 {
            come_up(&mut cloud);
            wait(&mut cloud, 60);
        }
        assert_eq!(describe(&mut cloud)["EndpointConfigName"], "v2", "{deployment:?}");
        assert_eq!(status(&mut cloud), "InService");
        assert_eq!(shares(&mut cloud), expected, "{deployment:?}");
        assert_eq!(to_new(&mut cloud), 100);
    }
}

#[test]
fn an_alarm_brings_the_old_configuration_back() {
    let all_at_once = json!({"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0});
    // Seconds after the new instances are up.
    for (routing, after, shifted) in [
        (canary(10), 10, &[0.1][..]),
        (canary(10), 310, &[0.1, 1.0]),
        (all_at_once, 599, &[1.0]),
    ] {
        let (mut cloud, _) = ready(10);
        set_alarm(&mut cloud, "latency", "INSUFFICIENT_DATA");
        update(&mut cloud, Some(&blue_green(routing, 600, &["latency", "errors"])));
        let (new, _) = come_up(&mut cloud);
        wait(&mut cloud, after);
        on_alarm(&mut cloud, "another");
        assert_eq!(status(&mut cloud), "Updating");
        on_alarm(&mut cloud, "errors");
        assert_eq!(status(&mut cloud), "RollingBack");
        assert_eq!(to_new(&mut cloud), 0);
        assert_eq!(instances(&mut cloud).1, new);
        let refusal = refused(
            &mut cloud,
            "UpdateEndpoint",
            &json!({"EndpointName": "churn", "EndpointConfigName": "v2"}),
        );
        assert!(
            refusal.starts_with("Cannot update in-progress endpoint \""),
            "{refusal}"
        );
        on_alarm(&mut cloud, "errors");
        wait(&mut cloud, 10);
        let described = describe(&mut cloud);
        assert_eq!(
            (
                text(&described, "EndpointStatus"),
                text(&described, "EndpointConfigName")
            ),
            ("InService", "v1")
        );
        assert_eq!(described.get("PendingDeploymentSummary"), None);
        let reason = text(&described, "FailureReason");
        assert!(
            reason.starts_with("Failed to update endpoint: ") && reason.contains("alarm(s) errors "),
            "{reason}"
        );
        assert_eq!(shares(&mut cloud), [shifted, &[0.0]].concat());
        wait(&mut cloud, 5000);
        assert_eq!(
            status(&mut cloud),
            "InService",
            "the timers of what was given up are void"
        );

        update(&mut cloud, None);
        assert_eq!(
            describe(&mut cloud).get("FailureReason"),
            None,
            "only until the next update"
        );
    }
}

#[test]
fn an_alarm_that_is_on_already_rolls_back_at_once() {
    let (mut cloud, old) = ready(2);
    set_alarm(&mut cloud, "errors", "ALARM");
    update(&mut cloud, Some(&blue_green(canary(50), 0, &["errors"])));
    assert_eq!(instances(&mut cloud), (vec![], vec![]));
    let events = told(&mut cloud, "SageMaker Endpoint State Change");
    let statuses: Vec<&str> = events.iter().map(|detail| text(detail, "EndpointStatus")).collect();
    assert_eq!(statuses, ["UPDATING", "ROLLING_BACK"]);
    assert!(text(&events[1], "FailureReason").contains("alarm(s) errors "));
    wait(&mut cloud, 10);
    assert_eq!(status(&mut cloud), "InService");
    assert_eq!(cloud.route("churn").unwrap().instance, old[0]);
}

#[test]
fn an_alarm_that_comes_too_late_changes_nothing() {
    let (mut cloud, _) = ready(2);
    update(&mut cloud, Some(&blue_green(canary(50), 60, &["errors"])));
    come_up(&mut cloud);
    wait(&mut cloud, 361);
    assert_eq!(pending(&mut cloud).0, "Deleting");
    on_alarm(&mut cloud, "errors");
    wait(&mut cloud, 10);
    assert_eq!(describe(&mut cloud)["EndpointConfigName"], "v2");
}

#[test]
fn new_instances_that_do_not_come_up_in_time_or_at_all_roll_back() {
    for (in_time, expected) in [
        (true, "did not pass the ping health check"),
        (false, "MaximumExecutionTimeoutInSeconds (1800)"),
    ] {
        let (mut cloud, _) = ready(2);
        update(&mut cloud, Some(&blue_green(canary(50), 60, &[])));
        let (new, _) = instances(&mut cloud);
        cloud.finish_start(new[0], Ok(()));
        if in_time {
            cloud.finish_start(new[1], Err("exit code 1".to_owned()));
        } else {
            wait(&mut cloud, 1800);
        }
        assert_eq!(status(&mut cloud), "RollingBack");
        cloud.finish_start(new[1], Ok(()));
        wait(&mut cloud, 10);
        let described = describe(&mut cloud);
        assert_eq!(
            (
                text(&described, "EndpointStatus"),
                text(&described, "EndpointConfigName")
            ),
            ("InService", "v1")
        );
        let reason = text(&described, "FailureReason");
        assert!(
            reason.starts_with("Failed to update endpoint: ") && reason.contains(expected),
            "{reason}"
        );
        assert_eq!(instances(&mut cloud).1, new);
    }
}

#[test]
fn rolling_replaces_batch_by_batch_and_restores_what_is_gone() {
    let (mut cloud, old) = ready(4);
    update(&mut cloud, Some(&rolling(50)));
    let (first, _) = come_up(&mut cloud);
    assert_eq!(first.len(), 2);
    assert_eq!(instances(&mut cloud).1, old[2..]);
    assert_eq!(to_new(&mut cloud), 50);
    wait(&mut cloud, 60);
    let (second, _) = come_up(&mut cloud);
    assert_eq!(instances(&mut cloud).1, old[..2]);
    assert_eq!(to_new(&mut cloud), 100);

    // All old instances are gone: the new ones serve until four old ones are back.
    on_alarm(&mut cloud, "errors");
    assert_eq!(status(&mut cloud), "RollingBack");
    assert_eq!(to_new(&mut cloud), 100);
    let (restored, stopped) = instances(&mut cloud);
    assert_eq!((restored.len(), stopped.len()), (4, 0));
    for id in &restored {
        cloud.finish_start(*id, Ok(()));
    }
    assert_eq!(to_new(&mut cloud), 0);
    assert_eq!(instances(&mut cloud).1, [first, second].concat());
    wait(&mut cloud, 10);
    let described = describe(&mut cloud);
    assert_eq!(
        (
            text(&described, "EndpointStatus"),
            text(&described, "EndpointConfigName")
        ),
        ("InService", "v1")
    );
    assert_eq!(described["ProductionVariants"][0]["CurrentInstanceCount"], 4);
    assert_eq!(shares(&mut cloud), [0.5, 1.0, 0.0]);
}

#[test]
fn a_rollback_that_fails_can_be_mended() {
    let (mut cloud, _) = ready(2);
    update(&mut cloud, Some(&rolling(50)));
    let (new, _) = come_up(&mut cloud);
    wait(&mut cloud, 60);
    come_up(&mut cloud);
    on_alarm(&mut cloud, "errors");
    let (restored, _) = instances(&mut cloud);
    cloud.finish_start(restored[0], Err("exit code 1".to_owned()));
    assert_eq!(status(&mut cloud), "UpdateRollbackFailed");
    assert_eq!(
        cloud.route("churn").unwrap().instance,
        new[0],
        "what serves goes on serving"
    );
    config(&mut cloud, "v3", 1);
    ok(
        &mut cloud,
        "UpdateEndpoint",
        &json!({"EndpointName": "churn", "EndpointConfigName": "v3"}),
    );
    come_up(&mut cloud);
    wait(&mut cloud, 10);
    let described = describe(&mut cloud);
    assert_eq!(
        (
            text(&described, "EndpointStatus"),
            text(&described, "EndpointConfigName")
        ),
        ("InService", "v3")
    );
}

#[test]
fn deployments_that_cannot_work_are_refused() {
    let (mut cloud, _) = ready(1);
    let mut both = rolling(50);
    both["BlueGreenUpdatePolicy"] = blue_green(linear(1), 0, &[])["BlueGreenUpdatePolicy"].clone();
    let all = |wait: u64| json!({"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": wait});
    for (deployment, expected) in [
        (blue_green(canary(10), 0, &["errors"]), "at least 2 instances"),
        (
            blue_green(all(0), 1800, &["errors"]),
            "MaximumExecutionTimeoutInSeconds (1800) must be more",
        ),
        (blue_green(all(0), 0, &["nowhere"]), "Could not find alarm \"nowhere\""),
        (
            blue_green(json!({"Type": "LINEAR", "WaitIntervalInSeconds": 0}), 0, &[]),
            "LinearStepSize must be specified",
        ),
        (both, "Only one of"),
    ] {
        let input = json!({"EndpointName": "churn", "EndpointConfigName": "v2", "DeploymentConfig": deployment});
        let found = refused(&mut cloud, "UpdateEndpoint", &input);
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
        assert_eq!(status(&mut cloud), "InService");
    }
    update(&mut cloud, Some(&blue_green(all(0), 1799, &["errors"])));
}

#[test]
fn deployment_events_have_their_documented_shape() {
    let (mut cloud, _) = ready(2);
    update(&mut cloud, Some(&blue_green(canary(50), 60, &["errors"])));
    come_up(&mut cloud);
    let events = told(&mut cloud, "SageMaker Endpoint Deployment State Change");
    let statuses: Vec<&Value> = events
        .iter()
        .map(|detail| &detail["PendingDeploymentSummary"]["ProductionVariants"][0]["VariantStatus"][0]["Status"])
        .collect();
    assert_eq!(statuses, ["Creating", "ActivatingTraffic", "Baking"]);
    let start = cloud.now().as_millisecond();
    assert_eq!(events[2]["EndpointStatus"], "UPDATING");
    assert_eq!(
        events[2]["PendingDeploymentSummary"],
        json!({"EndpointConfigName": "v2", "StartTime": start, "ProductionVariants": [{
        "VariantName": "AllTraffic", "CurrentWeight": 1.0, "DesiredWeight": 1.0, "CurrentInstanceCount": 2, "DesiredInstanceCount": 2,
        "VariantStatus": [{"Status": "Baking", "StartTime": start, "StatusMessage":
            "Baking for 300 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s)."}]}]})
    );
}

#[test]
fn a_deployment_config_can_be_retained() {
    let (mut cloud, _) = ready(2);
    update(&mut cloud, Some(&blue_green(linear(1), 0, &[])));
    for _ in 0..5 {
        come_up(&mut cloud);
        wait(&mut cloud, 60);
    }
    cloud.take_happenings();
    ok(
        &mut cloud,
        "UpdateEndpoint",
        &json!({"EndpointName": "churn", "EndpointConfigName": "v1", "RetainDeploymentConfig": true}),
    );
    come_up(&mut cloud);
    assert_eq!(shares(&mut cloud), [0.5]);
    assert_eq!(
        describe(&mut cloud)["LastDeploymentConfig"],
        blue_green(linear(1), 0, &[])
    );
}
