//! The template: what it must say beyond what the linters of `infra/check` see.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

use std::collections::{BTreeMap, BTreeSet};

use local::template::{Resource, Stack, Target};
use serde_json::Value;
use signalbox_aws::counts::{METRICS, NAMESPACE};

const TEMPLATE: &str = include_str!("../../infra/template.yaml");
const COMMON: &str = include_str!("../../infra/parameters/common.yaml");
const DEV: &str = include_str!("../../infra/parameters/dev.yaml");
const PROD: &str = include_str!("../../infra/parameters/prod.yaml");

/// A parameter file: a flat YAML map, with comments.
fn parameters(file: &str) -> Vec<(String, String)> {
    let lines = file
        .lines()
        .filter(|line| !line.starts_with(['#', '$']) && !line.trim().is_empty());
    let pair = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    };
    lines.map(pair).collect()
}

fn stack(parameters: impl IntoIterator<Item = (String, String)>) -> Stack {
    let target = Target {
        account: "123456789012".into(),
        region: "eu-west-1".into(),
        stack_name: "churn".into(),
        base_url: "http://127.0.0.1:4566".into(),
    };
    Stack::load(TEMPLATE, &parameters.into_iter().collect(), &target).unwrap()
}

fn prod() -> Stack {
    stack(parameters(COMMON).into_iter().chain(parameters(PROD)))
}

fn of_kind<'a>(stack: &'a Stack, kind: &'a str) -> impl Iterator<Item = &'a Resource> {
    stack.resources.iter().filter(move |resource| resource.kind == kind)
}

#[test]
fn dev_and_prod_name_the_same_parameters_in_the_same_order_and_nothing_that_does_not_differ() {
    let (dev, prod) = (parameters(DEV), parameters(PROD));
    let names = |file: &[(String, String)]| file.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&dev), names(&prod));
    for (dev, prod) in dev.iter().zip(&prod) {
        assert_ne!(dev, prod, "belongs into common.yaml");
    }
    let common: BTreeSet<String> = names(&parameters(COMMON)).into_iter().collect();
    assert!(names(&dev).iter().all(|name| !common.contains(name)));
    for file in [DEV, PROD] {
        assert!(file.lines().any(|line| line == "$include: file://common.yaml"));
        // They are what the template takes: a value against its constraints fails here.
        stack(parameters(COMMON).into_iter().chain(parameters(file)));
    }
}

#[test]
fn the_settings_have_every_parameter_with_its_value() {
    let stack = prod();
    let settings = of_kind(&stack, "AWS::AppConfig::HostedConfigurationVersion")
        .next()
        .unwrap();
    let content: BTreeMap<&str, &str> = settings.properties["Content"]
        .as_str()
        .unwrap()
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .collect();
    let parameters: BTreeMap<&str, &str> = stack
        .parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(content, parameters);
}

#[test]
fn every_function_has_a_role_a_log_group_an_alarm_and_the_settings_of_its_own() {
    let stack = prod();
    let functions: Vec<&Resource> = of_kind(&stack, "AWS::Lambda::Function").collect();
    assert!(functions.len() >= 10);
    let mut roles = BTreeSet::new();
    let mut groups = BTreeSet::new();
    for function in functions {
        let properties = &function.properties;
        let name = properties["FunctionName"].as_str().unwrap();
        assert!(
            roles.insert(properties["Role"].as_str().unwrap()),
            "{name} shares its role"
        );
        let group = properties["LoggingConfig"]["LogGroup"].as_str().unwrap();
        assert!(groups.insert(group), "{name} shares its log group");
        let group = of_kind(&stack, "AWS::Logs::LogGroup").find(|found| found.physical_id == group);
        assert!(
            group.unwrap().properties["RetentionInDays"].as_u64().is_some()
                || group.unwrap().properties["RetentionInDays"].is_string()
        );
        let watches = |alarm: &&Resource| {
            alarm.properties["MetricName"] == "Errors" && alarm.properties["Dimensions"][0]["Value"] == name
        };
        let alarm = of_kind(&stack, "AWS::CloudWatch::Alarm").find(watches).unwrap();
        assert!(
            alarm.properties["AlarmActions"][0]
                .as_str()
                .unwrap()
                .ends_with("-notices"),
            "{name}"
        );
        assert!(
            properties["Environment"]["Variables"].get("SETTINGS").is_some(),
            "{name}"
        );
    }
    // With the settings a version's description changes, and so CloudFormation publishes another.
    let versions: Vec<&Resource> = of_kind(&stack, "AWS::Lambda::Version").collect();
    assert_eq!(versions.len(), 9);
    assert!(
        versions
            .iter()
            .all(|version| version.properties["Description"] == "settings 1")
    );
}

#[test]
fn what_can_be_lost_has_a_dead_letter_queue_and_retries() {
    let stack = prod();
    let mut looked_at = 0;
    let mut check = |what: &Resource, target: &Value| {
        looked_at += 1;
        let queue = target["DeadLetterConfig"]["Arn"].as_str().unwrap_or_default();
        assert!(queue.ends_with("-dead-letters"), "{}", what.logical_id);
        assert!(
            target["RetryPolicy"]["MaximumRetryAttempts"].as_u64() > Some(0),
            "{}",
            what.logical_id
        );
    };
    for rule in of_kind(&stack, "AWS::Events::Rule") {
        for target in rule.properties["Targets"].as_array().unwrap() {
            check(rule, target);
        }
    }
    for schedule in of_kind(&stack, "AWS::Scheduler::Schedule") {
        check(schedule, &schedule.properties["Target"]);
    }
    for subscription in of_kind(&stack, "AWS::SNS::Subscription") {
        if subscription.properties["Protocol"] == "lambda" {
            looked_at += 1;
            let queue = subscription.properties["RedrivePolicy"]["deadLetterTargetArn"].as_str();
            assert!(queue.unwrap().ends_with("-dead-letters"));
        }
    }
    // Every way by which a function is invoked asynchronously has its retries said.
    let by_url = |name: &str| name.ends_with("-decide-approval");
    for function in of_kind(&stack, "AWS::Lambda::Function") {
        let name = function.properties["FunctionName"].as_str().unwrap();
        let queue = function.properties["DeadLetterConfig"]["TargetArn"].as_str();
        assert_eq!(queue.is_none(), by_url(name), "{name}");
        let configured = |config: &&Resource| config.physical_id.starts_with(&format!("{name}|"));
        assert!(
            of_kind(&stack, "AWS::Lambda::EventInvokeConfig").any(|config| configured(&config)),
            "{name}"
        );
        looked_at += 1;
    }
    assert!(looked_at >= 30, "{looked_at}");
}

#[test]
fn what_people_would_miss_outlives_the_stack() {
    // The properties of a resource don't say it; the text does, right below the type.
    for kind in [
        "AWS::CodeCommit::Repository",
        "AWS::S3::Bucket",
        "AWS::SageMaker::ModelPackageGroup",
    ] {
        let kept = format!("Type: {kind}\n    DeletionPolicy: Retain\n    UpdateReplacePolicy: Retain\n");
        assert_eq!(
            TEMPLATE.matches(&kept).count(),
            TEMPLATE.matches(&format!("Type: {kind}\n")).count(),
            "{kind}"
        );
    }
    // Without it the others could not be read.
    let key = "  StackKey:\n    Type: AWS::KMS::Key\n    DeletionPolicy: Retain\n    UpdateReplacePolicy: Retain\n";
    assert!(TEMPLATE.contains(key));
}

/// The dashboard's metrics, each as its namespace and name; what a search looks for is one too.
fn on_dashboard(stack: &Stack) -> BTreeSet<(String, String)> {
    let dashboard = of_kind(stack, "AWS::CloudWatch::Dashboard").next().unwrap();
    let body: Value = serde_json::from_str(dashboard.properties["DashboardBody"].as_str().unwrap()).unwrap();
    let widgets = body["widgets"].as_array().unwrap().iter();
    let rows = widgets.flat_map(|widget| widget["properties"]["metrics"].as_array().cloned().unwrap_or_default());
    let mut found = BTreeSet::new();
    for row in rows {
        match row[0]["expression"].as_str() {
            Some(expression) => {
                let name = expression
                    .split("MetricName=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap();
                let schema = expression.split('{').nth(1).unwrap().split('}').next().unwrap();
                let (namespace, dimensions) = schema.split_once(',').unwrap();
                let metric = METRICS.iter().find(|metric| metric.name == name).unwrap();
                let expected: Vec<&str> = [&["Model"], metric.dimensions].concat();
                assert_eq!(dimensions.split(',').collect::<Vec<_>>(), expected, "{expression}");
                found.insert((namespace.to_owned(), name.to_owned()));
            }
            None => {
                let text = |place: usize| row[place].as_str().unwrap().to_owned();
                found.insert((text(0), text(1)));
            }
        }
    }
    found
}

#[test]
fn the_dashboard_shows_every_metric_of_the_train_and_alarms_watch_none_that_is_not_published() {
    let stack = prod();
    let published: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    let shown: BTreeSet<String> = on_dashboard(&stack)
        .into_iter()
        .filter_map(|(namespace, name)| (namespace == NAMESPACE).then_some(name))
        .collect();
    assert_eq!(shown, published);
    let mut watched = 0;
    for alarm in of_kind(&stack, "AWS::CloudWatch::Alarm") {
        if alarm.properties["Namespace"] == NAMESPACE {
            watched += 1;
            let name = alarm.properties["MetricName"].as_str().unwrap();
            let metric = METRICS.iter().find(|metric| metric.name == name).unwrap();
            assert!(
                metric.dimensions.is_empty(),
                "{name} has more dimensions than the alarm"
            );
        }
    }
    assert_eq!(watched, 1);
}
