//! What a look at the data costs, by how many objects are under the prefix.
//!
//! `cargo bench -p tests --bench data_check` prints the table of the README: the calls to AWS of one look of retrain, and how long it
//! takes in process. Objects arrive where keys ascend, and anywhere.

use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use jiff::SignedDuration;
use local::cloud::Service;
use serde_json::json;
use tests::candidate::Candidate;
use tests::world::{Delivery, World};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [u64; 3] = [10, 10_000, 1_000_000];
const THRESHOLD: u64 = 100;
/// After how many looks without a training something is wrong.
const LOOKS_MAX: u32 = 1000;

/// A world that has trained on so many objects, and in which only retrain is woken by its schedules.
fn world(objects: u64) -> Result<World> {
    let threshold = THRESHOLD.to_string();
    let parameters = [
        ("RetrainSchedule", "cron(0 0 1 1 ? 2030)"),
        ("DataThresholdObjects", threshold.as_str()),
        ("DriftMetric", ""),
        ("DataCheckSchedule", "rate(15 minutes)"),
        ("ApprovalMode", "automatic"),
        ("RolloutStrategy", "all-at-once"),
    ];
    let mut world = World::with_parameters(1, &parameters)?.without_traffic();
    let (bucket, row) = (world.bucket(), Bytes::from_static(b"label,x\n1,2\n"));
    for number in 0..objects {
        world
            .cloud()
            .put_object(&bucket, &format!("data/b-{number:09}.csv"), row.clone())?;
    }
    world.push(&Candidate::of_accuracy(0.9))?;
    world.until_outcome(1, "deployed")?;
    for binary in [
        "pipeline-status",
        "request-approval",
        "sync-approval",
        "endpoint-status",
        "build-status",
    ] {
        world.deliver_scheduled(binary, Delivery::Never);
    }
    world.run_for(SignedDuration::from_hours(2))?;
    Ok(world)
}

fn trainings(world: &World) -> Result<usize> {
    let input = json!({"PipelineName": world.model()});
    let answer = world.call(Service::SageMaker, "ListPipelineExecutions", &input)?;
    let executions = answer
        .get("PipelineExecutionSummaries")
        .and_then(|list| list.as_array());
    Ok(executions.context("no executions")?.len())
}

/// One look: its calls, and how long it takes.
fn look(world: &mut World) -> Result<(u64, u128)> {
    let (calls, start) = (world.faults().calls(), Instant::now());
    world.run_for(SignedDuration::from_mins(15))?;
    Ok((world.faults().calls() - calls, start.elapsed().as_millis()))
}

/// The looks that it takes to start a training after that many objects have come, under keys that begin so.
fn looks_until_trained(world: &mut World, key: &str) -> Result<u32> {
    let bucket = world.bucket();
    for number in 0..THRESHOLD {
        let key = format!("data/{key}{number:09}.csv");
        world
            .cloud()
            .put_object(&bucket, &key, Bytes::from_static(b"label,x\n0,1\n"))?;
    }
    let before = trainings(world)?;
    for looks in 1..=LOOKS_MAX {
        look(world)?;
        if trainings(world)? > before {
            world.run_for(SignedDuration::from_hours(2))?;
            return Ok(looks);
        }
    }
    anyhow::bail!("no training within {LOOKS_MAX} looks")
}

fn main() -> Result<()> {
    // What the functions log comes in between.
    let mut table = vec![
        "| objects under the prefix | calls of a look | its time in process | looks to see 100 new, keys ascend | anywhere |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    for size in SIZES {
        let mut world = world(size)?;
        // The first looks of a large prefix find its end.
        for _ in 0..size / 9_000 {
            look(&mut world)?;
        }
        let mut calls = Vec::new();
        let mut times = Vec::new();
        for _ in 0..20 {
            let (call, time) = look(&mut world)?;
            calls.push(call);
            times.push(time);
        }
        times.sort_unstable();
        let most = calls.iter().max().copied().unwrap_or_default();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let ascending = looks_until_trained(&mut world, "z-")?;
        let anywhere = looks_until_trained(&mut world, "a-")?;
        table.push(format!("| {size} | {most} | {median} ms | {ascending} | {anywhere} |"));
    }
    println!("{}", table.join("\n"));
    Ok(())
}
