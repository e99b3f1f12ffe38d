//! The functions roll out like the models do: tried before their first event, a share first, and taken back by an alarm.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

use jiff::SignedDuration;
use local::cloud::Service;
use serde_json::{Value, json};
use tests::candidate::Candidate;
use tests::world::World;

/// A stack with a release that waits for its approval, so that there is something to look at.
fn world(others: &[(&str, &str)]) -> World {
    let mut parameters = vec![
        ("RetrainSchedule", "cron(0 0 1 1 ? 2030)"),
        ("DataThresholdObjects", "0"),
        ("ApprovalTimeoutMinutes", "10080"),
    ];
    parameters.extend(others);
    let mut world = World::with_parameters(3, &parameters).unwrap().without_traffic();
    world.propose(&Candidate::of_accuracy(0.90)).unwrap();
    world
}

fn name(binary: &str) -> String {
    format!("tumour-{binary}")
}

/// What the alias points to: its version, and the share of the one that comes, if one does.
fn alias(world: &World, binary: &str) -> (String, Option<f64>) {
    let input = json!({"FunctionName": name(binary), "Name": "live"});
    let alias = world.call(Service::Lambda, "GetAlias", &input).unwrap();
    let weights = alias["RoutingConfig"]["AdditionalVersionWeights"].as_object();
    let share = weights
        .and_then(|weights| weights.values().next())
        .and_then(Value::as_f64);
    (alias["FunctionVersion"].as_str().unwrap().to_owned(), share)
}

fn deployment(world: &World, id: &str) -> Value {
    let input = json!({"deploymentId": id});
    let found = world.call(Service::CodeDeploy, "GetDeployment", &input).unwrap();
    found["deploymentInfo"].clone()
}

/// Publishes a new version; the deployment's id.
fn update(world: &World, binary: &str) -> String {
    let updated = world.cloud().update_function(&name(binary)).unwrap();
    assert_eq!(updated.version.as_deref(), Some("2"));
    updated.deployment.unwrap()
}

/// Every function but the one that tries the others.
fn functions(world: &World) -> Vec<String> {
    let functions = world.cloud().functions().into_iter();
    let binaries = functions.filter_map(|function| Some(function.name.strip_prefix("tumour-")?.to_owned()));
    binaries.filter(|binary| binary != "check-version").collect()
}

#[test]
fn a_good_version_of_every_function_is_tried_and_takes_over() {
    let mut world = world(&[]);
    let mails = world.mails().len();
    let before = world.package(1).unwrap();
    let binaries = functions(&world);
    assert_eq!(binaries.len(), 9);
    let deployments: Vec<_> = binaries.iter().map(|binary| (binary, update(&world, binary))).collect();
    world.run_for(SignedDuration::from_mins(1)).unwrap();
    for (binary, _) in &deployments {
        // CodePipeline calls these by their names alone: there are no shares.
        let by_name = ["start-training", "update-endpoint"].contains(&binary.as_str());
        let expected = if by_name {
            ("2".to_owned(), None)
        } else {
            ("1".to_owned(), Some(0.1))
        };
        assert_eq!(alias(&world, binary), expected, "{binary}");
    }
    world.run_for(SignedDuration::from_mins(20)).unwrap();
    for (binary, id) in &deployments {
        assert_eq!(alias(&world, binary), ("2".to_owned(), None), "{binary}");
        assert_eq!(deployment(&world, id)["status"], "Succeeded", "{binary}");
    }
    // The trial of nine functions changed nothing, and told nobody.
    assert_eq!(world.package(1).unwrap(), before);
    assert_eq!(world.mails().len(), mails);
    assert!(world.cloud().dead_letters().is_empty());
}

#[test]
fn a_version_that_does_not_start_gets_no_event() {
    let mut world = world(&[]);
    for binary in functions(&world) {
        world.break_version(&binary, "2").unwrap();
        let id = update(&world, &binary);
        world.run_for(SignedDuration::from_mins(2)).unwrap();
        assert_eq!(alias(&world, &binary), ("1".to_owned(), None), "{binary}");
        let failed = deployment(&world, &id);
        assert_eq!(failed["status"], "Failed", "{failed}");
        assert_eq!(failed["errorInformation"]["code"], "HOOK_EXECUTION_FAILURE", "{failed}");
    }
    // What it had to do goes on with the version before.
    let link = world.approval_links().pop().unwrap();
    let (status, page) = world.decide(&link, "approve", "").unwrap();
    assert_eq!(status, 200, "{page}");
}

#[test]
fn an_alarm_takes_the_version_back_that_passed_its_trial() {
    let mut world = world(&[("FunctionRollout", "Linear10PercentEvery10Minutes")]);
    let id = update(&world, "pipeline-status");
    world.run_for(SignedDuration::from_mins(11)).unwrap();
    assert_eq!(alias(&world, "pipeline-status"), ("1".to_owned(), Some(0.2)));
    world.set_alarm("tumour-pipeline-status-errors", "ALARM").unwrap();
    world.run_for(SignedDuration::from_mins(2)).unwrap();
    assert_eq!(alias(&world, "pipeline-status"), ("1".to_owned(), None));
    let stopped = deployment(&world, &id);
    assert_eq!(stopped["errorInformation"]["code"], "ALARM_ACTIVE", "{stopped}");
}

#[test]
fn a_version_whose_role_lacks_a_grant_is_found_by_its_trial() {
    let without = |action: &str, resource: &str| {
        let whole = world(&[]);
        let grants = whole.cloud().grants();
        let found = grants.iter().find(|grant| {
            grant.id.holder == "EndpointStatusRole"
                && grant.id.action == action
                && grant.id.resource.ends_with(resource)
        });
        found.unwrap().id.clone()
    };
    let grant = without("sagemaker:DescribeEndpoint", "endpoint/tumour");
    let mut world = World::deploy(3, &[], Some(&grant)).unwrap().without_traffic();
    world.let_calls_be_refused();
    let id = update(&world, "endpoint-status");
    world.run_for(SignedDuration::from_mins(2)).unwrap();
    assert_eq!(deployment(&world, &id)["status"], "Failed");
    assert_eq!(alias(&world, "endpoint-status"), ("1".to_owned(), None));
}
