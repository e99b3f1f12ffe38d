//! Figures of the README that follow from what the local cloud counts.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tests::cost::{self, Item, Meter, prices};
use tests::measure::{self, Used};

/// Figures that follow from what the local cloud counts.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    figure: Figure,
}

#[derive(Debug, Subcommand)]
enum Figure {
    /// What a release and a month without one cost at list price.
    Cost {
        /// How far away AWS's endpoints are: milliseconds for each call, which are not measured here.
        #[arg(long, default_value_t = 30.0)]
        latency_ms: f64,
        /// What `cargo bench -p bench --bench cold_start` has measured.
        #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/cold_start.json"))]
        measured: PathBuf,
    },
    /// What a release and a day without one take in calls, the more there was before it.
    Growth {
        /// How many versions the registry has.
        #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 100_000])]
        versions: Vec<u32>,
        /// How many trainings have ended in the last hours.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 10_000])]
        trainings: Vec<u32>,
    },
}

fn main() -> Result<()> {
    let text = match Arguments::parse().figure {
        Figure::Cost { latency_ms, measured } => cost(latency_ms, &measured)?,
        Figure::Growth { versions, trainings } => growth(&versions, &trainings)?,
    };
    print!("{text}");
    Ok(())
}

/// Days of a month.
const MONTH_DAYS: f64 = 730.0 / 24.0;

fn cost(latency_ms: f64, measured: &std::path::Path) -> Result<String> {
    let starts = cost::starts(measured)?;
    let mut world = measure::without_schedules()?.logging();
    // The first release has no champion and nothing to shift traffic from; the third is like any other.
    for version in 1..=2 {
        eprintln!("release {version}");
        measure::release(&mut world, version)?;
    }
    eprintln!("release 3, which counts");
    let meter = Meter::read(&world)?;
    let used = measure::release(&mut world, 3)?;
    let release = meter.since(&world, &used, &starts, latency_ms)?;

    eprintln!("two days without a release, of which the second counts");
    measure::deliver_schedules(&mut world);
    measure::day(&mut world)?;
    let meter = Meter::read(&world)?;
    let used = measure::day(&mut world)?;
    let mut month = cost::times(&meter.since(&world, &used, &starts, latency_ms)?, MONTH_DAYS);
    let due: u64 = used.handled.values().sum();
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let due = due as f64;
    month.push(Item {
        price: prices::SCHEDULE,
        quantity: due * MONTH_DAYS,
    });
    month.extend(cost::standing(&world));
    let strategy = world.cloud().stack().parameters.get("RolloutStrategy").cloned();
    let release = cost::table(&format!("a release, {}", strategy.unwrap_or_default()), &release);
    Ok(format!(
        "{release}\n{}",
        cost::table("a month without a release", &month)
    ))
}

fn growth(versions: &[u32], trainings: &[u32]) -> Result<String> {
    let mut table =
        "| versions | trainings | calls of a release | runs | calls of a day without one | runs |\n".to_owned();
    table.push_str("|---|---|---|---|---|---|\n");
    let fewest = trainings.iter().min().copied().unwrap_or_default();
    let least = versions.iter().min().copied().unwrap_or_default();
    // One grows while the other stays small.
    let mut sizes: Vec<(u32, u32)> = versions.iter().map(|versions| (*versions, fewest)).collect();
    sizes.extend(
        trainings
            .iter()
            .filter(|many| **many != fewest)
            .map(|many| (least, *many)),
    );
    for (versions, trainings) in sizes {
        eprintln!("{versions} versions, {trainings} trainings");
        let mut world = measure::grown(versions, trainings)?;
        let release = measure::release(&mut world, versions + 2)?;
        let day = measure::idle_day(&mut world)?;
        let calls = |used: &Used| used.calls.values().flat_map(|calls| calls.values()).sum::<u64>();
        let runs = |used: &Used| used.handled.values().sum::<u64>();
        let _ = writeln!(
            table,
            "| {versions} | {trainings} | {} | {} | {} | {} |",
            calls(&release),
            runs(&release),
            calls(&day),
            runs(&day)
        );
    }
    Ok(table)
}
