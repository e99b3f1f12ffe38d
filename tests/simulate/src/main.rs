//! `cargo run -p simulate`: runs seeds, and shows what broke a law.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use clap::Parser;
use simulate::exhaustive::{cases_of_one, cases_of_two, exhaust, one_release, two_releases};
use simulate::faults::Fault;
use simulate::laws::LAWS;
use simulate::load;
use simulate::many::{Sum, many};
use simulate::run::{Options, Report, run, tell};
use simulate::schedule::Schedule;
use simulate::shrink::shrink;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs releases that go wrong, and holds the train to its laws.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Run this one only, and print its timeline
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// What may go wrong: `all`, `none`, or some of it, separated by commas (`--help` lists them)
    #[arg(long, default_value = "all", long_help = faults_help())]
    faults: String,
    /// How many seeds are run side by side; each takes a core
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    jobs: usize,
    /// Stop after so many seeds that broke a law
    #[arg(long, default_value_t = 1)]
    broken: usize,
    /// How many runs may be spent on making the schedule of a broken law shorter; 0 leaves it as it is
    #[arg(long, default_value_t = 300)]
    shrink: u32,
    /// Instead of seeds: one thing that goes wrong, at every call and every event of one release, and one function held back at every call
    /// of two releases at the same time
    #[arg(long, conflicts_with_all = ["seeds", "first", "seed"])]
    exhaustive: bool,
    /// List the laws, and end
    #[arg(long)]
    laws: bool,
}

fn faults_help() -> String {
    let names: Vec<_> = Fault::ALL.into_iter().map(Fault::name).collect();
    format!(
        "What may go wrong: `all`, `none`, or some of it, separated by commas: {}",
        names.join(", ")
    )
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.laws {
        for (name, text) in LAWS {
            println!("{name:<22} {text}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options {
        faults: faults(&arguments.faults)?,
        timeline: arguments.seed.is_some(),
    };
    // A panic is a finding, which is told at the end.
    std::panic::set_hook(Box::new(|_| {}));
    if arguments.exhaustive {
        return exhaustive(arguments.jobs.max(1));
    }
    let broken = match arguments.seed {
        Some(seed) => {
            let report = run(&Schedule::of(seed), &options);
            if report.violation.is_none() || arguments.shrink == 0 {
                timeline(&report)?;
                println!("\nseed {seed}: {:?}", report.outcomes);
            }
            report.violation.is_some().then_some(report)
        }
        None => {
            let mut told = 0;
            let sum = many(
                arguments.first,
                arguments.seeds,
                arguments.jobs.max(1),
                arguments.broken.max(1),
                &options,
                |sum| {
                    told = say_new(sum, told);
                    progress(sum, arguments.seeds);
                },
            );
            say_new(&sum, told);
            println!("{}", summary(&sum));
            sum.broken.into_iter().next()
        }
    };
    let Some(report) = broken else {
        return Ok(ExitCode::SUCCESS);
    };
    if arguments.seed.is_some() {
        say_broken(&report);
    }
    if arguments.shrink > 0 {
        show_shrunk(&report, &options, arguments.shrink)?;
    }
    println!(
        "\nagain: cargo run -p simulate -- --seed {} --faults {}",
        report.seed, arguments.faults
    );
    Ok(ExitCode::FAILURE)
}

/// Tries everything that is tried without chance.
fn exhaustive(jobs: usize) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for (name, story, cases) in [
        ("one release, one fault anywhere", one_release(), cases_of_one()),
        (
            "two releases, one function held back anywhere",
            two_releases(),
            cases_of_two(),
        ),
    ] {
        let tried = AtomicUsize::new(0);
        let exhausted = exhaust(&story, &cases, jobs, || {
            let tried = tried.fetch_add(1, Ordering::Relaxed) + 1;
            if std::io::stderr().is_terminal() && tried.is_multiple_of(10) {
                let _ = write!(std::io::stderr(), "\r\x1b[K{name}: {tried} of {} cases", cases.len());
            }
        });
        progress_over();
        println!(
            "{name}: {} cases, {} of them wrong",
            exhausted.cases,
            exhausted.wrong.len()
        );
        for wrong in &exhausted.wrong {
            code = ExitCode::FAILURE;
            println!("  {}: {:?}", wrong.deviation, wrong.report.end);
            say_broken(&wrong.report);
        }
        if let (Some(wrong), Some(clean)) = (exhausted.wrong.first(), &exhausted.clean) {
            println!(
                "all should come to {clean:?}; the first that does not, {}:",
                wrong.deviation
            );
            timeline(&tell(&story, Some(wrong.deviation), true).0)?;
        }
    }
    Ok(code)
}

/// The faults of that list.
fn faults(list: &str) -> Result<Vec<Fault>> {
    match list {
        "all" => Ok(Fault::ALL.to_vec()),
        "none" => Ok(Vec::new()),
        list => {
            let named = |name: &str| {
                Fault::named(name).with_context(|| format!("there is no fault `{name}`; `simulate --help` lists them"))
            };
            list.split(',').map(named).collect()
        }
    }
}

fn progress(sum: &Sum, seeds: u64) {
    let line = format!(
        "{} of {seeds} seeds, {} releases ({:.0}/s a core), {} faults at {} points, {} broken",
        sum.seeds,
        sum.releases(),
        sum.rate(),
        sum.faults(),
        sum.points.len(),
        sum.broken.len()
    );
    let mut error = std::io::stderr();
    // Where this can't be written nobody reads it.
    let _ = if error.is_terminal() {
        write!(error, "\r\x1b[K{line}")
    } else if sum.seeds.is_multiple_of(100) {
        writeln!(error, "{line}")
    } else {
        Ok(())
    };
}

fn progress_over() {
    let mut error = std::io::stderr();
    if error.is_terminal() {
        let _ = write!(error, "\r\x1b[K");
    }
}

/// What came of all seeds.
fn summary(sum: &Sum) -> String {
    let mut text = format!(
        "{} seeds, {} releases, {:.0} releases a second and core; {} calls in {} runs of functions, the laws asked {} times\n",
        sum.seeds,
        sum.releases(),
        sum.rate(),
        sum.calls,
        sum.runs,
        sum.steps
    );
    let outcomes: Vec<_> = sum
        .outcomes
        .iter()
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    text.push_str(&format!("releases: {}\n", outcomes.join(", ")));
    text.push_str(&format!("faults: {} at {} points\n", sum.faults(), sum.points.len()));
    for fault in Fault::ALL {
        let of_kind = sum.points.iter().filter(|((_, _, kind), _)| *kind == fault);
        let (points, count) = of_kind.fold((0, 0), |(points, sum), (_, count)| (points + 1, sum + count));
        text.push_str(&format!("  {:<18} {count:>9} at {points} points\n", fault.name()));
    }
    text.push_str(&format!("seeds that broke a law: {}", sum.broken.len()));
    text
}

/// Tells of the seeds that have broken a law since so many were told of; how many are now.
fn say_new(sum: &Sum, told: usize) -> usize {
    progress_over();
    for report in sum.broken.iter().skip(told) {
        say_broken(report);
    }
    sum.broken.len()
}

fn say_broken(report: &Report) {
    if let Some((time, violation)) = &report.violation {
        let stack = load::stack(&Schedule::of(report.seed));
        println!(
            "seed {}, step {}, {time}, stack {stack}: BROKEN {violation}",
            report.seed, report.steps
        );
    }
}

fn show_shrunk(report: &Report, options: &Options, tries_max: u32) -> Result<()> {
    let terminal = std::io::stderr().is_terminal();
    let shrunk = shrink(report, options, tries_max, |left, tries| {
        if terminal {
            let _ = write!(
                std::io::stderr(),
                "\r\x1b[Kmaking it shorter: {left} deviations left, run {tries}"
            );
        }
    });
    progress_over();
    let only: &BTreeSet<String> = &shrunk.schedule.only.clone().unwrap_or_default();
    println!(
        "\n{} of {} deviations are enough ({} runs):",
        only.len(),
        report.names.len(),
        shrunk.tries
    );
    for name in shrunk.report.names.iter().filter(|name| only.contains(*name)) {
        println!("  {name}");
    }
    println!();
    timeline(&shrunk.report)?;
    say_broken(&shrunk.report);
    Ok(())
}

/// Prints the timeline.
fn timeline(report: &Report) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for line in &report.lines {
        let time = line.time.strftime("%d %H:%M:%S%.3f");
        writeln!(out, "{time} {}", line.text)?;
    }
    Ok(())
}
