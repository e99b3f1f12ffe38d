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

fn linear_percent(percent: u64) -> Value {
    json!({"Type": "LINEAR", "WaitIntervalInSeconds": 60, "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": percent}})
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
        (Some(blue_green(linear_percent(50), 0, &[])), 1, &[1.0]),
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
fn every_step_has_exactly_its_share_of_the_requests() {
    for (deployment, count, steps) in [
        (blue_green(canary(30), 60, &[]), 10, &[3, 10][..]),
        (blue_green(canary(50), 60, &[]), 5, &[3, 5]),
        (blue_green(linear(3), 60, &[]), 10, &[3, 6, 9, 10]),
        (blue_green(linear_percent(34), 60, &[]), 7, &[3, 6, 7]),
        (rolling(34), 7, &[3, 6, 7]),
        (rolling(5), 4, &[1, 2, 3, 4]),
    ] {
        let (mut cloud, old) = ready(count);
        update(&mut cloud, Some(&deployment));
        for (step, on) in steps.iter().enumerate() {
            if step > 0 {
                // Canaries wait longest.
                let wait_seconds = if deployment.to_string().contains("CANARY") {
                    300
                } else {
                    60
                };
                wait(&mut cloud, wait_seconds);
            }
            come_up(&mut cloud);
            let all = usize::try_from(count).unwrap();
            let routes: Vec<EffectId> = (0..6 * all).map(|_| cloud.route("churn").unwrap().instance).collect();
            // Of any so many requests that follow each other, as many as there are instances.
            for round in routes.windows(all) {
                let to_new = round.iter().filter(|id| !old.contains(id)).count();
                assert_eq!(to_new, *on, "step {step} of {deployment}");
            }
        }
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
fn a_rolling_rollback_restores_batch_by_batch() {
    for (size, count, batches, after) in [
        (
            json!({"Type": "CAPACITY_PERCENT", "Value": 50}),
            4,
            &[2, 1][..],
            &[0.25, 0.0][..],
        ),
        (
            json!({"Type": "INSTANCE_COUNT", "Value": 1}),
            4,
            &[1, 1, 1],
            &[0.5, 0.25, 0.0],
        ),
        (json!({"Type": "CAPACITY_PERCENT", "Value": 100}), 4, &[3], &[0.0]),
    ] {
        let (mut cloud, old) = ready(count);
        let mut deployment = rolling(25);
        deployment["RollingUpdatePolicy"]["RollbackMaximumBatchSize"] = size;
        update(&mut cloud, Some(&deployment));
        let mut new = Vec::new();
        for _ in 0..3 {
            new.extend(come_up(&mut cloud).0);
            wait(&mut cloud, 60);
        }
        // Three of four are new and serve, and the fourth is starting.
        let (fourth, gone) = instances(&mut cloud);
        assert_eq!((new.len(), fourth.len(), gone.as_slice()), (3, 1, &old[1..2]));
        assert_eq!(shares(&mut cloud), [0.25, 0.5, 0.75]);
        on_alarm(&mut cloud, "errors");
        assert_eq!(status(&mut cloud), "RollingBack");
        assert_eq!(to_new(&mut cloud), 75, "until old ones are back");
        let mut stopped = Vec::new();
        for batch in batches {
            assert_eq!(
                pending(&mut cloud).1,
                format!("Restoring {batch} instance(s) of the previous configuration.")
            );
            let (restored, stop) = come_up(&mut cloud);
            assert_eq!(restored.len(), *batch);
            stopped.extend(stop);
        }
        stopped.extend(instances(&mut cloud).1);
        stopped.sort_unstable();
        assert_eq!(stopped, [new, fourth].concat());
        assert_eq!(shares(&mut cloud), after);
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
        assert_eq!(to_new(&mut cloud), 0);
    }
}

#[test]
fn a_rollback_needs_its_configuration_only_to_start_instances() {
    for (deployment, expected) in [
        (blue_green(canary(50), 60, &["errors"]), "InService"),
        (rolling(50), "UpdateRollbackFailed"),
    ] {
        let (mut cloud, _) = ready(2);
        update(&mut cloud, Some(&deployment));
        come_up(&mut cloud);
        ok(&mut cloud, "DeleteEndpointConfig", &json!({"EndpointConfigName": "v1"}));
        on_alarm(&mut cloud, "errors");
        wait(&mut cloud, 10);
        let described = describe(&mut cloud);
        assert_eq!(described["EndpointStatus"], expected, "{deployment}");
        assert_eq!(described["EndpointConfigName"], "v1");
        let reason = text(&described, "FailureReason");
        let told = "The rollback failed: endpoint configuration v1 is gone";
        assert_eq!(reason.ends_with(told), expected == "UpdateRollbackFailed", "{reason}");
    }
}

#[test]
fn after_a_rollback_that_failed_both_configurations_serve_until_it_is_mended() {
    let (mut cloud, old) = ready(4);
    update(&mut cloud, Some(&rolling(25)));
    let mut new = Vec::new();
    for _ in 0..3 {
        new.extend(come_up(&mut cloud).0);
        wait(&mut cloud, 60);
    }
    on_alarm(&mut cloud, "errors");
    let (started, _) = instances(&mut cloud);
    cloud.finish_start(started[2], Err("exit code 1".to_owned()));
    let described = describe(&mut cloud);
    assert_eq!(
        (
            text(&described, "EndpointStatus"),
            text(&described, "EndpointConfigName")
        ),
        ("UpdateRollbackFailed", "v1")
    );
    assert_eq!(described.get("PendingDeploymentSummary"), None);
    assert_eq!(to_new(&mut cloud), 75, "three of four");
    let by_config = [
        ("EndpointName", "churn"),
        ("VariantName", "AllTraffic"),
        ("EndpointConfigName", "v2"),
    ];
    cloud.record_invocation(new[0], 200, 10);
    assert_eq!(metric(&cloud, "Invocations", &by_config), (1.0, 1));

    // An update that is rolled back leaves the mix as it is.
    config(&mut cloud, "v3", 4);
    let input = json!({"EndpointName": "churn", "EndpointConfigName": "v3", "DeploymentConfig": blue_green(canary(50), 60, &["errors"])});
    ok(&mut cloud, "UpdateEndpoint", &input);
    come_up(&mut cloud);
    on_alarm(&mut cloud, "errors");
    wait(&mut cloud, 10);
    assert_eq!(status(&mut cloud), "UpdateRollbackFailed");
    assert_eq!(to_new(&mut cloud), 75);
    // One that succeeds mends it.
    instances(&mut cloud);
    ok(&mut cloud, "UpdateEndpoint", &input);
    come_up(&mut cloud);
    wait(&mut cloud, 360);
    let (_, mut stopped) = instances(&mut cloud);
    stopped.sort_unstable();
    assert_eq!(stopped, [&old[..1], &new].concat());
    wait(&mut cloud, 10);
    let described = describe(&mut cloud);
    assert_eq!(
        (
            text(&described, "EndpointStatus"),
            text(&described, "EndpointConfigName")
        ),
        ("InService", "v3")
    );
    assert_eq!(described.get("FailureReason"), None);
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
        (
            blue_green(linear(1), 0, &["errors"]),
            "LinearStepSize must be between 10 and 50 percent",
        ),
        (
            blue_green(all(0), 0, &["errors", "errors"]),
            "has the alarm \"errors\" more than once",
        ),
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

#[test]
fn variant_properties_are_reset_or_retained() {
    let capture = |percent: u64| {
        json!({"EnableCapture": true, "InitialSamplingPercentage": percent, "DestinationS3Uri": "s3://captured/",
            "CaptureOptions": [{"CaptureMode": "Input"}]})
    };
    let config_of = |cloud: &mut Cloud, name: &str, percent: u64| {
        let variant = json!({"VariantName": "AllTraffic", "ModelName": "v1", "InitialInstanceCount": 2, "InitialVariantWeight": 1.0});
        let input =
            json!({"EndpointConfigName": name, "ProductionVariants": [variant], "DataCaptureConfig": capture(percent)});
        ok(cloud, "CreateEndpointConfig", &input);
    };
    let exclude = |property: &str| json!([{"VariantPropertyType": property}]);
    // What is kept: the count (5, not 2), the weight (0.5, not 1), the sampling (10 %, not 20 %).
    for (flags, expected) in [
        (json!({}), (2, 1.0, 20)),
        (json!({"RetainAllVariantProperties": false}), (2, 1.0, 20)),
        (json!({"RetainAllVariantProperties": true}), (5, 0.5, 10)),
        (
            json!({"RetainAllVariantProperties": true, "ExcludeRetainedVariantProperties": exclude("DesiredInstanceCount")}),
            (2, 0.5, 10),
        ),
        (
            json!({"RetainAllVariantProperties": true, "ExcludeRetainedVariantProperties": exclude("DesiredWeight")}),
            (5, 1.0, 10),
        ),
        (
            json!({"RetainAllVariantProperties": true, "ExcludeRetainedVariantProperties": exclude("DataCaptureConfig")}),
            (5, 0.5, 20),
        ),
    ] {
        let (mut cloud, _) = serving(1);
        config_of(&mut cloud, "c1", 10);
        config_of(&mut cloud, "c2", 20);
        let mut input = json!({"EndpointName": "churn", "EndpointConfigName": "c1"});
        ok(&mut cloud, "UpdateEndpoint", &input);
        come_up(&mut cloud);
        wait(&mut cloud, 10);
        let desired = json!({"VariantName": "AllTraffic", "DesiredInstanceCount": 5, "DesiredWeight": 0.5});
        let scale = json!({"EndpointName": "churn", "DesiredWeightsAndCapacities": [desired]});
        ok(&mut cloud, "UpdateEndpointWeightsAndCapacities", &scale);
        come_up(&mut cloud);
        let before = describe(&mut cloud);
        assert_eq!(before["ProductionVariants"][0]["DesiredInstanceCount"], 5);
        input["EndpointConfigName"] = json!("c2");
        for (flag, value) in flags.as_object().unwrap() {
            input[flag] = value.clone();
        }
        ok(&mut cloud, "UpdateEndpoint", &input);
        assert_eq!(
            describe(&mut cloud)["DataCaptureConfig"],
            before["DataCaptureConfig"],
            "until it is done"
        );
        let pending = &describe(&mut cloud)["PendingDeploymentSummary"]["ProductionVariants"][0];
        assert_eq!(pending["DesiredInstanceCount"], expected.0, "{flags}");
        let (started, _) = come_up(&mut cloud);
        assert_eq!(started.len(), expected.0, "{flags}");
        wait(&mut cloud, 10);
        let described = describe(&mut cloud);
        assert_eq!(described["EndpointConfigName"], "c2");
        let variant = &described["ProductionVariants"][0];
        assert_eq!(variant["CurrentInstanceCount"], expected.0, "{flags}");
        assert_eq!(variant["DesiredWeight"], expected.1, "{flags}");
        let summary = &described["DataCaptureConfig"];
        assert_eq!(summary["CurrentSamplingPercentage"], expected.2, "{flags}");
        assert_eq!(summary["CaptureStatus"], "Started");
    }
}

#[test]
fn a_scaled_fleet_is_what_a_rollback_brings_back() {
    let (mut cloud, _) = ready(2);
    let desired = json!({"VariantName": "AllTraffic", "DesiredInstanceCount": 4});
    ok(
        &mut cloud,
        "UpdateEndpointWeightsAndCapacities",
        &json!({"EndpointName": "churn", "DesiredWeightsAndCapacities": [desired]}),
    );
    come_up(&mut cloud);
    update(&mut cloud, Some(&rolling(50)));
    come_up(&mut cloud);
    wait(&mut cloud, 30);
    // One of two new ones serves beside two of four old ones.
    assert_eq!(to_new(&mut cloud), 50);
    on_alarm(&mut cloud, "errors");
    let (restored, _) = come_up(&mut cloud);
    assert_eq!(restored.len(), 2);
    wait(&mut cloud, 10);
    let variant = &describe(&mut cloud)["ProductionVariants"][0];
    assert_eq!(
        (&variant["CurrentInstanceCount"], &variant["DesiredInstanceCount"]),
        (&json!(4), &json!(4))
    );
}

#[test]
fn with_a_deployment_config_the_variant_keeps_its_name() {
    let (mut cloud, _) = ready(2);
    let variant = json!({"VariantName": "Other", "ModelName": "v2", "InitialInstanceCount": 2});
    ok(
        &mut cloud,
        "CreateEndpointConfig",
        &json!({"EndpointConfigName": "other", "ProductionVariants": [variant]}),
    );
    let mut input = json!({"EndpointName": "churn", "EndpointConfigName": "other", "RetainAllVariantProperties": true,
        "DeploymentConfig": blue_green(canary(50), 0, &["errors"])});
    let refusal = refused(&mut cloud, "UpdateEndpoint", &input);
    assert!(
        refusal.contains("current one (AllTraffic), but it has Other"),
        "{refusal}"
    );
    set(&mut input, "DeploymentConfig", Value::Null);
    ok(&mut cloud, "UpdateEndpoint", &input);
    come_up(&mut cloud);
    wait(&mut cloud, 10);
    assert_eq!(describe(&mut cloud)["ProductionVariants"][0]["VariantName"], "Other");
}

#[test]
fn the_last_deployment_config_is_that_of_the_last_update() {
    let (mut cloud, _) = ready(2);
    let deployment = blue_green(canary(50), 0, &["errors"]);
    update(&mut cloud, Some(&deployment));
    let described = describe(&mut cloud);
    assert_eq!(described["LastDeploymentConfig"], deployment, "from the start");
    assert_eq!(
        described["PendingDeploymentSummary"]["ProductionVariants"][0]["InstanceType"],
        "ml.m5.large"
    );
    come_up(&mut cloud);
    on_alarm(&mut cloud, "errors");
    wait(&mut cloud, 10);
    assert_eq!(
        describe(&mut cloud)["LastDeploymentConfig"],
        deployment,
        "rolled back too"
    );
    update(&mut cloud, None);
    assert_eq!(describe(&mut cloud).get("LastDeploymentConfig"), None);
}

#[test]
fn inferentia_instances_shift_at_once_whatever_is_asked_for() {
    let (mut cloud, _) = ready(2);
    let variant = json!({"VariantName": "AllTraffic", "ModelName": "v2", "InitialInstanceCount": 2, "InstanceType": "ml.inf1.xlarge"});
    ok(
        &mut cloud,
        "CreateEndpointConfig",
        &json!({"EndpointConfigName": "inf1", "ProductionVariants": [variant]}),
    );
    let deployment = blue_green(canary(50), 600, &["errors"]);
    let input = json!({"EndpointName": "churn", "EndpointConfigName": "inf1", "DeploymentConfig": deployment});
    ok(&mut cloud, "UpdateEndpoint", &input);
    come_up(&mut cloud);
    assert_eq!(shares(&mut cloud), [1.0]);
    wait(&mut cloud, 10);
    assert_eq!(status(&mut cloud), "InService");
}
