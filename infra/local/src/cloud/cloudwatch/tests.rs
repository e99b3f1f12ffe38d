use super::*;
use crate::cloud::Service;
use crate::cloud::testing::{self, deploy, differs};

/// Alarms on one metric: above 0.2, of a period of a minute.
const TEMPLATE: &str = r"
Resources:
  Drift:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: churn-drift
      AlarmDescription: drifts
      Namespace: signalbox/drift
      MetricName: Index
      Dimensions: [{Name: Model, Value: churn}]
      Statistic: Average
      Period: 300
      EvaluationPeriods: 1
      Threshold: 0.2
      ComparisonOperator: GreaterThanThreshold
      TreatMissingData: ignore
  Twice:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: churn-twice
      Namespace: signalbox/drift
      MetricName: Index
      Dimensions: [{Name: Model, Value: churn}]
      Statistic: Average
      Period: 60
      EvaluationPeriods: 3
      DatapointsToAlarm: 2
      Threshold: 0.2
      ComparisonOperator: GreaterThanThreshold
      TreatMissingData: ignore
  Gone:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: other-gone
      Namespace: signalbox/drift
      MetricName: Index
      Dimensions: [{Name: Model, Value: churn}]
      Statistic: Average
      Period: 60
      EvaluationPeriods: 1
      Threshold: 0.2
      ComparisonOperator: GreaterThanThreshold
";

fn call(cloud: &mut Cloud, operation: &str, input: &Value) -> Value {
    testing::call(cloud, Service::CloudWatch, operation, input).unwrap_or_else(|error| panic!("{operation}: {error}"))
}

fn refused(cloud: &mut Cloud, operation: &str, input: &Value) -> String {
    testing::call(cloud, Service::CloudWatch, operation, input)
        .unwrap_err()
        .code
}

fn put(cloud: &mut Cloud, value: f64) {
    let datum = json!({"MetricName": "Index", "Dimensions": [{"Name": "Model", "Value": "churn"}], "Value": value});
    let input = json!({"Namespace": "signalbox/drift", "MetricData": [datum]});
    call(cloud, "PutMetricData", &input);
}

fn wait(cloud: &mut Cloud, milliseconds: i64) {
    cloud.advance(cloud.now() + SignedDuration::from_millis(milliseconds));
}

fn alarm(cloud: &mut Cloud, name: &str) -> Value {
    call(cloud, "DescribeAlarms", &json!({"AlarmNames": [name]}))["MetricAlarms"][0].clone()
}

/// A state change as the CloudWatch guide shows one.
fn sample() -> Value {
    let state = |value: &str, date: &str| {
        let data = json!({"version": "1.0", "queryDate": date, "startDate": date, "statistic": "Average", "period": 300,
            "recentDatapoints": [0.5], "threshold": 50.0});
        json!({"reason": "Threshold Crossed", "reasonData": data.to_string(), "timestamp": date, "value": value})
    };
    let metric = json!({"dimensions": {"Model": "churn"}, "name": "CPUUtilization", "namespace": "AWS/EC2"});
    json!({
        "version": "0", "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92", "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch", "account": "123456789012", "time": "2019-10-02T17:04:40Z", "region": "us-east-1",
        "resources": ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:ServerCpuTooHigh"],
        "detail": {
            "alarmName": "ServerCpuTooHigh",
            "configuration": {"description": "high", "metrics": [{"id": "30b6c6b2-a864-43a2-4877-c09a1afc3b87", "returnData": true,
                "metricStat": {"metric": metric, "period": 300, "stat": "Average"}}]},
            "previousState": state("OK", "2019-10-01T13:56:40.987+0000"),
            "state": state("ALARM", "2019-10-02T17:04:40.989+0000"),
        },
    })
}

/// The state changes that were told of an alarm since this was last asked.
fn told(cloud: &mut Cloud, name: &str) -> Vec<Value> {
    let events = events::take(cloud).into_iter();
    events.filter(|event| event["detail"]["alarmName"] == name).collect()
}

#[test]
fn statistics() {
    for (statistic, expected) in [
        (Statistic::Average, 2.5),
        (Statistic::Sum, 10.0),
        (Statistic::Minimum, 1.0),
        (Statistic::Maximum, 4.0),
        (Statistic::SampleCount, 4.0),
        (Statistic::Percentile(99.0), 4.0),
        (Statistic::Percentile(50.0), 2.0),
        (Statistic::Percentile(0.0), 1.0),
    ] {
        assert_eq!(statistic.of(&mut [4.0, 1.0, 3.0, 2.0]), Some(expected), "{statistic:?}");
    }
    assert_eq!(Statistic::Sum.of(&mut []), None);
}

#[test]
fn alarms_fire_as_late_as_their_metrics_come() {
    for delay in [0, 60, 150] {
        let mut cloud = deploy(TEMPLATE).unwrap();
        cloud.delay_metrics(SignedDuration::from_secs(delay));
        // Values of two minutes, then none: on their way, they are waited for.
        let minute = cloud.now().as_second().rem_euclid(60);
        wait(&mut cloud, (60 - minute) * 1000 + 30_000);
        put(&mut cloud, 0.1);
        let ok = 30 + delay;
        wait(&mut cloud, (ok - 1) * 1000);
        assert_ne!(alarm(&mut cloud, "other-gone")["StateValue"], "OK", "{delay}");
        wait(&mut cloud, 1000);
        assert_eq!(alarm(&mut cloud, "other-gone")["StateValue"], "OK", "{delay}");
        put(&mut cloud, 0.3);
        // At the end of its minute, and so much later.
        let fires = 60 - (30 + ok).rem_euclid(60) + delay;
        wait(&mut cloud, (fires - 1) * 1000);
        assert_ne!(alarm(&mut cloud, "other-gone")["StateValue"], "ALARM", "{delay}");
        wait(&mut cloud, 1000);
        assert_eq!(alarm(&mut cloud, "other-gone")["StateValue"], "ALARM", "{delay}");
    }
}

#[test]
fn a_change_is_told_as_in_the_sample_and_described_to_the_thousandth() {
    let sample = sample();
    let mut cloud = deploy(TEMPLATE).unwrap();
    wait(&mut cloud, 61_250);
    put(&mut cloud, 0.1);
    put(&mut cloud, 0.2);
    wait(&mut cloud, 300_000);
    put(&mut cloud, 0.31);
    wait(&mut cloud, 300_000);
    let changes = told(&mut cloud, "churn-drift");
    assert_eq!(changes.len(), 2);
    for change in &changes {
        let read = |event: &Value| -> Value {
            let data = event["detail"]["state"]["reasonData"].as_str().unwrap();
            let mut data: Value = serde_json::from_str(data).unwrap();
            // The sample is older than these.
            data.as_object_mut().unwrap().remove("evaluatedDatapoints");
            data
        };
        let mut event = change.clone();
        if event["detail"]["previousState"]["value"] == "INSUFFICIENT_DATA" {
            assert_eq!(event["detail"]["previousState"].get("reasonData"), None);
        }
        event["detail"]["state"]["reasonData"] = json!("text");
        assert_eq!(differs("event", &event, &[&sample]), None);
        assert_eq!(differs("reasonData", &read(change), &[&read(&sample)]), None);
    }
    let state = &changes[1]["detail"]["state"];
    assert_eq!(state["timestamp"], "2026-03-02T09:10:00.000+0000");
    assert_eq!(
        state["reason"],
        "Threshold Crossed: 1 out of the last 1 datapoints [0.31 (02/03/26 09:05:00)] was greater than the threshold (0.2) \
         (minimum 1 datapoint for OK -> ALARM transition)."
    );
    let data: Value = serde_json::from_str(state["reasonData"].as_str().unwrap()).unwrap();
    let evaluated = json!([{"timestamp": "2026-03-02T09:05:00.000+0000", "sampleCount": 1.0, "value": 0.31}]);
    let expected = json!({"version": "1.0", "queryDate": "2026-03-02T09:10:00.000+0000", "startDate": "2026-03-02T09:05:00.000+0000",
        "statistic": "Average", "period": 300, "recentDatapoints": [0.31], "threshold": 0.2, "evaluatedDatapoints": evaluated});
    assert_eq!(data, expected);
    assert_eq!(changes[1]["detail"]["previousState"], changes[0]["detail"]["state"]);
    let described = alarm(&mut cloud, "churn-drift");
    assert_eq!(described["StateReasonData"], state["reasonData"]);
    assert_eq!(described["TreatMissingData"], "ignore");
    // By hand, at a time with a fraction: the value stays, so it did not change then.
    wait(&mut cloud, 1_125);
    let by_hand = json!({"AlarmName": "churn-drift", "StateValue": "ALARM", "StateReason": "still", "StateReasonData": "{\"a\":1}"});
    call(&mut cloud, "SetAlarmState", &by_hand);
    assert_eq!(told(&mut cloud, "churn-drift").len(), 0);
    let now: Timestamp = "2026-03-02T09:10:00Z".parse().unwrap();
    let described = alarm(&mut cloud, "churn-drift");
    assert_eq!(described["StateTransitionedTimestamp"], seconds(now));
    assert_eq!(described["StateUpdatedTimestamp"], seconds(cloud.now()));
    assert!(seconds(cloud.now()).fract() > 0.0);
    assert_eq!(
        (&described["StateReason"], &described["StateReasonData"]),
        (&json!("still"), &json!("{\"a\":1}"))
    );
}

#[test]
fn a_state_set_by_hand_is_told_with_the_data_that_came_with_it() {
    let mut cloud = deploy(TEMPLATE).unwrap();
    wait(&mut cloud, 10);
    let mut input = json!({"AlarmName": "churn-drift", "StateValue": "ALARM", "StateReason": "a test",
        "StateReasonData": "{\"recentDatapoints\":[0.4],\"threshold\":0.2}"});
    call(&mut cloud, "SetAlarmState", &input);
    let state = told(&mut cloud, "churn-drift")[0]["detail"]["state"].clone();
    assert_eq!(state["reasonData"], input["StateReasonData"]);
    assert_eq!(state["timestamp"], "2026-03-02T09:00:00.010+0000");
    input = json!({"AlarmName": "churn-drift", "StateValue": "OK", "StateReason": "a test"});
    call(&mut cloud, "SetAlarmState", &input);
    let detail = told(&mut cloud, "churn-drift")[0]["detail"].clone();
    assert_eq!(detail["state"].get("reasonData"), None);
    assert_eq!(detail["previousState"], state);
    assert_eq!(alarm(&mut cloud, "churn-drift").get("StateReasonData"), None);
    input["StateReasonData"] = "no JSON".into();
    assert_eq!(refused(&mut cloud, "SetAlarmState", &input), "InvalidFormat");
    input["AlarmName"] = "none".into();
    input["StateReasonData"] = "{}".into();
    assert_eq!(refused(&mut cloud, "SetAlarmState", &input), "ResourceNotFound");
}

#[test]
fn missing_data_that_is_ignored_keeps_the_state() {
    let mut cloud = deploy(TEMPLATE).unwrap();
    let states =
        |cloud: &mut Cloud| ["churn-drift", "churn-twice", "other-gone"].map(|name| alarm_state(cloud, name).unwrap());
    put(&mut cloud, 0.3);
    wait(&mut cloud, 60_000);
    put(&mut cloud, 0.3);
    wait(&mut cloud, 60_000);
    // Of the periods of five minutes none is over yet.
    assert_eq!(states(&mut cloud), ["INSUFFICIENT_DATA", "ALARM", "ALARM"]);
    wait(&mut cloud, 3_600_000);
    assert_eq!(states(&mut cloud), ["ALARM", "ALARM", "INSUFFICIENT_DATA"]);
    let gone = told(&mut cloud, "other-gone").pop().unwrap();
    assert_eq!(
        gone["detail"]["state"]["reason"],
        "Insufficient Data: 1 datapoint was unknown."
    );
    let data: Value = serde_json::from_str(gone["detail"]["state"]["reasonData"].as_str().unwrap()).unwrap();
    assert_eq!((data.get("startDate"), &data["recentDatapoints"]), (None, &json!([])));
    assert_eq!(
        data["evaluatedDatapoints"],
        json!([{"timestamp": "2026-03-02T09:02:00.000+0000"}])
    );
    // One good value of three: the two that are missing would decide.
    put(&mut cloud, 0.1);
    wait(&mut cloud, 60_000);
    assert_eq!(states(&mut cloud)[1], "ALARM");
    put(&mut cloud, 0.1);
    wait(&mut cloud, 60_000);
    assert_eq!(states(&mut cloud)[1], "OK");
}

#[test]
fn alarms_are_filtered_and_paged() {
    let mut cloud = deploy(TEMPLATE).unwrap();
    set_state(&mut cloud, "churn-twice", "ALARM", "test".to_owned(), None);
    let names = |answer: &Value| -> Vec<String> {
        let alarms = answer["MetricAlarms"].as_array().unwrap().iter();
        alarms
            .map(|alarm| alarm["AlarmName"].as_str().unwrap().to_owned())
            .collect()
    };
    for (input, expected) in [
        (json!({}), &["churn-drift", "churn-twice", "other-gone"][..]),
        (json!({"AlarmNamePrefix": "churn-"}), &["churn-drift", "churn-twice"]),
        (json!({"AlarmNames": ["other-gone", "none"]}), &["other-gone"]),
        (
            json!({"AlarmNames": ["other-gone", "churn-twice"], "StateValue": "ALARM"}),
            &["churn-twice"],
        ),
        (json!({"AlarmNames": ["other-gone"], "StateValue": "ALARM"}), &[]),
        (
            json!({"AlarmNamePrefix": "churn-", "StateValue": "INSUFFICIENT_DATA"}),
            &["churn-drift"],
        ),
        (json!({"ActionPrefix": "arn:"}), &[]),
        (json!({"AlarmTypes": ["CompositeAlarm"]}), &[]),
    ] {
        assert_eq!(names(&call(&mut cloud, "DescribeAlarms", &input)), expected, "{input}");
    }
    let first = call(&mut cloud, "DescribeAlarms", &json!({"MaxRecords": 2}));
    assert_eq!(names(&first), ["churn-drift", "churn-twice"]);
    let second = json!({"MaxRecords": 2, "NextToken": first["NextToken"]});
    let second = call(&mut cloud, "DescribeAlarms", &second);
    assert_eq!(
        (names(&second), second.get("NextToken")),
        (vec!["other-gone".to_owned()], None)
    );
    let both = json!({"AlarmNames": ["a"], "AlarmNamePrefix": "a"});
    assert_eq!(refused(&mut cloud, "DescribeAlarms", &both), "ValidationError");
    assert_eq!(
        refused(&mut cloud, "DescribeAlarms", &json!({"NextToken": "?"})),
        "InvalidNextToken"
    );
}

#[test]
fn statistics_are_of_periods_from_the_start_on() {
    let mut cloud = deploy("Resources: {Data: {Type: AWS::S3::Bucket}}").unwrap();
    // Minutes 0 to 6 have the values 0 to 6, and those of even minutes also a 10.
    for minute in 0..7_u8 {
        put(&mut cloud, f64::from(minute));
        if minute % 2 == 0 {
            put(&mut cloud, 10.0);
        }
        wait(&mut cloud, 60_000);
    }
    let start: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    let at = |minutes: i64| start.as_second() + 60 * minutes;
    let mut input = json!({"Namespace": "signalbox/drift", "MetricName": "Index", "Dimensions": [{"Name": "Model", "Value": "churn"}],
        "Period": 180, "Statistics": ["Average", "Sum", "SampleCount", "Minimum", "Maximum"], "StartTime": at(1) + 59, "EndTime": at(6)});
    let answer = call(&mut cloud, "GetMetricStatistics", &input);
    let expected = json!([
        {"Timestamp": at(1), "Unit": "None", "Average": 4.0, "Sum": 16.0, "SampleCount": 4.0, "Minimum": 1.0, "Maximum": 10.0},
        {"Timestamp": at(4), "Unit": "None", "Average": 19.0 / 3.0, "Sum": 19.0, "SampleCount": 3.0, "Minimum": 4.0, "Maximum": 10.0},
    ]);
    assert_eq!((&answer["Label"], &answer["Datapoints"]), (&json!("Index"), &expected));
    for (member, value, expected) in [
        ("Dimensions", json!([]), 0),
        ("MetricName", json!("Other"), 0),
        ("Unit", json!("Count"), 0),
        ("Unit", json!("None"), 2),
        ("EndTime", json!(at(3)), 1),
    ] {
        let mut input = input.clone();
        input[member] = value.clone();
        let answer = call(&mut cloud, "GetMetricStatistics", &input);
        assert_eq!(
            answer["Datapoints"].as_array().unwrap().len(),
            expected,
            "{member} {value}"
        );
    }
    for (member, value, code) in [
        ("Period", json!(90), "InvalidParameterValue"),
        ("EndTime", json!(at(1)), "InvalidParameterValue"),
        ("StartTime", json!(at(-5000)), "InvalidParameterCombination"),
        ("ExtendedStatistics", json!(["p99"]), "InvalidParameterCombination"),
    ] {
        let mut input = input.clone();
        if member == "StartTime" {
            input["Period"] = json!(60);
        }
        input[member] = value.clone();
        assert_eq!(
            refused(&mut cloud, "GetMetricStatistics", &input),
            code,
            "{member} {value}"
        );
    }
    input.as_object_mut().unwrap().remove("Statistics");
    input["ExtendedStatistics"] = json!(["p50", "p100"]);
    let answer = call(&mut cloud, "GetMetricStatistics", &input);
    assert_eq!(
        answer["Datapoints"][0]["ExtendedStatistics"],
        json!({"p50": 2.0, "p100": 10.0})
    );
    let listed = call(&mut cloud, "ListMetrics", &json!({"Dimensions": [{"Name": "Model"}]}));
    assert_eq!(listed["Metrics"].as_array().unwrap().len(), 1);
    let listed = call(
        &mut cloud,
        "ListMetrics",
        &json!({"Dimensions": [{"Name": "Model", "Value": "fraud"}]}),
    );
    assert_eq!(listed["Metrics"], json!([]));
}

#[test]
fn what_a_metric_does_not_take_is_refused_before_anything_is_written() {
    let mut cloud = deploy(TEMPLATE).unwrap();
    let good = json!({"MetricName": "m", "Value": 1.0});
    for member in [
        json!({"MetricName": "m", "Values": [1.0], "Counts": [3.0]}),
        json!({"MetricName": "m", "StatisticValues": {"SampleCount": 1.0, "Sum": 1.0, "Minimum": 1.0, "Maximum": 1.0}}),
    ] {
        let input = json!({"Namespace": "test", "MetricData": [good, member]});
        assert_eq!(
            refused(&mut cloud, "PutMetricData", &input),
            "InvalidParameterCombination"
        );
    }
    assert_eq!(sum(&cloud, "test", "m", &[]).1, 0);
}
