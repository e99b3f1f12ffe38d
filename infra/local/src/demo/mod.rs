//! The demo: one model's story on the local cloud, from the first push to a model that nobody approves, with real pushes, real
//! training, real requests. Each stop is checked by what can be seen from outside, and the run ends with tables and a report.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::binaries;
use crate::front::{self, Running};

mod chart;
mod observe;
pub mod report;
mod stops;
mod story;
mod strategy;
mod table;
mod timeline;
mod traffic;
mod world;

use self::report::{Report, Stop};
use self::stops::Tale;
pub use self::strategy::Strategy;
use self::timeline::Console;
use self::world::World;

/// How often the timeline is looked at.
const TELL: Duration = Duration::from_millis(50);

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the report is written, as JSON; `None` for nowhere.
    pub report: Option<PathBuf>,
    /// How a new version takes over; `None` for what the repository's own parameters say.
    pub strategy: Option<Strategy>,
    /// How many virtual seconds pass in a second.
    pub speed: f64,
    /// What ids and choices follow from.
    pub seed: u64,
    /// The port of the local cloud; 0 for any.
    pub port: u16,
}

/// Plays the story, prints its timeline and tables on the standard output, and says whether all stops held and no policy refused anything.
///
/// # Errors
/// Where the local cloud does not start, the story can't be read, the report can't be written, or the run is interrupted. A stop
/// that does not hold is no error.
pub async fn run(options: Options) -> anyhow::Result<bool> {
    let chosen = front::Options {
        port: options.port,
        speed: options.speed,
        seed: options.seed,
        data: None,
    };
    let mut parameters = front::default_parameters(&binaries::workspace()?)?;
    if let Some(strategy) = options.strategy {
        parameters.insert("RolloutStrategy".to_owned(), strategy.as_str().to_owned());
        let others = strategy.parameters().iter();
        parameters.extend(others.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }
    let running = Running::start(chosen, &parameters, &progress).await?;
    let console = Console::stdout();
    let told = tokio::select! {
        told = tell(&running, &console) => told,
        interrupted = interrupted() => Err(interrupted),
    };
    // Also after an error: no child outlives the demo.
    running.stop().await;
    let report = told?;
    if let Some(path) = &options.report {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        tokio::fs::write(path, text)
            .await
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(report.refused.is_empty() && report.stops.iter().all(|stop| stop.held))
}

/// The standard output is the timeline's; how the start goes along is told beside it.
fn progress(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Returns when the run is to end early.
async fn interrupted() -> anyhow::Error {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => anyhow!("interrupted"),
        () = terminated => anyhow!("terminated"),
    }
}

async fn tell(running: &Running, console: &Console) -> anyhow::Result<Report> {
    let world = World::new(running, console).await?;
    console.say(&format!("rollouts are {}", world.expected.describe()));
    let report = tokio::select! {
        report = play(&world) => report,
        never = keep_telling(&world) => match never {},
    };
    let width = comfy_table::Table::new().width();
    console.say(&format!("\n{}", table::releases(&report.releases, width)));
    for rollout in report.releases.iter().filter_map(|release| release.rollout.as_ref()) {
        console.say(&format!("\n{}", chart::render(rollout, world.columns)));
    }
    console.say(&format!("\n{}", table::calls(&report.releases, width)));
    for refused in &report.refused {
        console.say(&format!("refused: {refused}"));
    }
    console.say(&format!(
        "\n{} in {:.0} s",
        table::verdict(&report.stops),
        report.seconds
    ));
    Ok(report)
}

async fn keep_telling(world: &World<'_>) -> Infallible {
    loop {
        world.tell();
        tokio::time::sleep(TELL).await;
    }
}

async fn play(world: &World<'_>) -> Report {
    let (mut tale, mut stops) = (Tale::default(), Vec::new());
    for (number, name) in (1..).zip(stops::NAMES) {
        world.tell();
        world.console.heading(&format!("Stop {number}: {name}"));
        let held = stops::play(world, &mut tale, number).await;
        stops.push(Stop {
            name: name.to_owned(),
            held,
        });
    }
    world.traffic.flow(false);
    let mut releases = tale.releases;
    // Only now: a version goes on serving long after its release.
    for (place, release) in releases.iter_mut().enumerate() {
        let count = world.traffic.count(place);
        (release.traffic.served, release.traffic.failed) = (count.served, count.failed);
    }
    Report {
        releases,
        stops,
        refused: world.refused(),
        seconds: (world.console.elapsed() * 10.0).round() / 10.0,
    }
}
