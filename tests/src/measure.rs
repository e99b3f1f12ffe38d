//! What a release takes and what a day takes in which there is none, as the local cloud counts it.

#![expect(clippy::indexing_slicing, reason = "what a JSON value does not have is null")]

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::SignedDuration;
use local::cloud::Service;
use local::demo::report::{Calls, calls_since, counted_since};
use serde_json::json;

use crate::candidate::Candidate;
use crate::world::{Delivery, World};

/// The functions that a schedule wakes.
const SCHEDULED: [&str; 6] = [
    "build-status",
    "endpoint-status",
    "pipeline-status",
    "request-approval",
    "retrain",
    "sync-approval",
];

/// What was taken meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    /// Calls to AWS, by the function that made them, without the model's name, and by operation.
    pub calls: Calls,
    /// How often each function ran.
    pub handled: BTreeMap<String, u64>,
}

/// What was taken since those counts of [`World::handled`] and of the cloud's calls.
fn since(world: &World, calls: &Calls, handled: &BTreeMap<String, u64>) -> Used {
    let prefix = format!("{}-", world.model());
    let short = |function: String| function.trim_start_matches(&prefix).to_owned();
    let calls = calls_since(calls, world.cloud().calls());
    let handled = counted_since(handled, world.handled());
    Used {
        calls: calls
            .into_iter()
            .map(|(function, calls)| (short(function), calls))
            .collect(),
        handled: handled
            .into_iter()
            .map(|(function, count)| (short(function), count))
            .collect(),
    }
}

/// A world of the local defaults whose schedules are held back.
///
/// # Errors
/// Where the template does not deploy.
pub fn without_schedules() -> Result<World> {
    let mut world = World::new(3)?.without_traffic();
    for function in SCHEDULED {
        world.deliver_scheduled(function, Delivery::Never);
    }
    Ok(world)
}

/// A release of which nothing goes wrong, of the version of that number: a push, the mail, the page, the answer, the rollout, ten minutes
/// more. Each version is better than all of lower numbers.
///
/// # Errors
/// Where it does not come to its end.
pub fn release(world: &mut World, version: u32) -> Result<Used> {
    let calls = world.cloud().calls().clone();
    let handled = world.handled().clone();
    let accuracy = 1.0 - 0.1 / f64::from(version);
    let link = world.propose(&Candidate::of_accuracy(accuracy))?;
    world.open(&link)?;
    world.decide(&link, "approve", "fine")?;
    world.until_outcome(version, "deployed")?;
    world.run_for(SignedDuration::from_mins(10))?;
    Ok(since(world, &calls, &handled))
}

/// Registers so many versions that were rejected, made of version 1.
fn register(world: &World, count: u32) -> Result<()> {
    let first = world.package(1)?;
    for _ in 0..count {
        let input = json!({
            "ModelPackageGroupName": world.model(),
            "ModelApprovalStatus": "Rejected",
            "InferenceSpecification": first["InferenceSpecification"],
            "ModelMetrics": first["ModelMetrics"],
            "CustomerMetadataProperties": {"signalbox:outcome": "rejected"},
        });
        world.call(Service::SageMaker, "CreateModelPackage", &input)?;
    }
    Ok(())
}

/// A world in which so many versions were registered and rejected and so many trainings have ended within the last hours, and one version
/// serves. Its schedules are held back.
///
/// # Errors
/// Where it does not get there.
pub fn grown(versions: u32, trainings: u32) -> Result<World> {
    let mut world = without_schedules()?;
    release(&mut world, 1)?;
    register(&world, versions)?;
    for number in 0..trainings {
        // Somebody's experiments, none of which is good enough to be registered.
        let input = json!({
            "PipelineName": world.model(),
            "ClientRequestToken": format!("experiment-{number:032}"),
            "PipelineParameters": [{"Name": "AccuracyThreshold", "Value": "0.99"}],
        });
        world.call(Service::SageMaker, "StartPipelineExecution", &input)?;
    }
    // Lambda offers what was throttled for six hours.
    world.run_for(SignedDuration::from_hours(8))?;
    Ok(world)
}

/// Lets the schedules come again.
pub fn deliver_schedules(world: &mut World) {
    for function in SCHEDULED {
        world.deliver_scheduled(function, Delivery::Once);
    }
}

/// A day in which nothing happens but the schedules.
///
/// # Errors
/// Where a function fails.
pub fn day(world: &mut World) -> Result<Used> {
    let (calls, handled) = (world.cloud().calls().clone(), world.handled().clone());
    world.run_for(SignedDuration::from_hours(24))?;
    Ok(since(world, &calls, &handled))
}

/// The second of two such days: what is seen for the first time is dealt with, and is no idle day's.
///
/// # Errors
/// Where a function fails.
pub fn idle_day(world: &mut World) -> Result<Used> {
    deliver_schedules(world);
    day(world)?;
    day(world)
}
