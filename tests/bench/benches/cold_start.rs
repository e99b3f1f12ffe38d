//! What a start of each function costs.
//!
//! `cargo bench -p bench --bench cold_start` builds the release binaries, starts each of them afresh against a Runtime API and an
//! endpoint that answers as AWS did in a test, and writes the table of medians to `tests/bench/cold_start.md`. What is measured is the
//! program; Lambda's own time to fetch and unpack it, and TLS, are not in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bench::bare;
use bench::exchanges::{self, Replayed};
use bench::stand::{self, Used};
use clap::Parser;
use serde_json::{Value, json};

/// What a start of each function costs: processor, clock, memory, size.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each is started; the table has the medians.
    #[arg(long, default_value_t = 25)]
    runs: u32,
    /// How many further events each gets.
    #[arg(long, default_value_t = 20)]
    warm: u32,
    /// Where the binaries are, if they are not to be built: DIR/FUNCTION, or DIR/FUNCTION/bootstrap. From the top of the repository.
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Where the table is written, from the top of the repository [default: tests/bench/cold_start.md].
    #[arg(long)]
    table: Option<PathBuf>,
    /// The functions; all of them where none is named.
    functions: Vec<String>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The function to which the others are compared.
const EMPTY: &str = "empty";

/// A row of the table.
struct Row {
    name: String,
    used: Used,
    warm: Duration,
    bare_first: Duration,
    bare_warm: Duration,
    binary_bytes: u64,
    zip_bytes: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.runs > 0 && arguments.warm > 0,
        "--runs and --warm count from 1"
    );
    let known = exchanges::functions()?;
    let functions = if arguments.functions.is_empty() {
        known.clone()
    } else {
        arguments.functions.clone()
    };
    if let Some(unknown) = functions.iter().find(|function| !known.contains(function)) {
        anyhow::bail!("there is no function {unknown}; there are {}", known.join(", "));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => root.join(target),
        None => root.join("target"),
    };
    build(&root, if arguments.binaries.is_none() { &functions } else { &[] })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rows = Vec::new();
    let mut nothing = exchanges::of(functions.first().context("no functions")?)?;
    nothing.calls = Vec::new();
    rows.push(measure(
        &runtime,
        EMPTY,
        &target.join("release/examples/empty"),
        &nothing,
        &arguments,
    )?);
    for function in &functions {
        let binary = match &arguments.binaries {
            None => target.join("release").join(function),
            Some(directory) => {
                let directory = root.join(directory).join(function);
                if directory.is_dir() {
                    directory.join("bootstrap")
                } else {
                    directory
                }
            }
        };
        rows.push(measure(
            &runtime,
            function,
            &binary,
            &exchanges::of(function)?,
            &arguments,
        )?);
    }
    let table = table(&rows, &arguments);
    println!("{table}");
    let place = arguments.table.unwrap_or_else(|| "tests/bench/cold_start.md".into());
    let place = root.join(place);
    std::fs::write(&place, table).with_context(|| place.display().to_string())?;
    let place = place.with_extension("json");
    std::fs::write(&place, figures(&rows)?).with_context(|| place.display().to_string())
}

/// What the cost of a run is computed from, by function.
fn figures(rows: &[Row]) -> Result<String> {
    let rounded = |time: Duration| (time.as_secs_f64() * 1e5).round() / 1e2;
    let figures: BTreeMap<&str, Value> = rows
        .iter()
        .map(|row| {
            let figures = json!({
                "start_cpu_ms": rounded(row.used.start_cpu),
                "first_cpu_ms": rounded(row.used.first_cpu),
                "calls": row.used.calls,
            });
            (row.name.as_str(), figures)
        })
        .collect();
    Ok(serde_json::to_string_pretty(&figures)? + "\n")
}

/// Builds the empty function, and the others where they are wanted, as a release is built.
fn build(root: &Path, functions: &[String]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    eprintln!("building release binaries: a quarter of an hour where nothing is built yet");
    let empty = ["build", "--release", "--package", "bench", "--example", EMPTY];
    let built = Command::new(&cargo).args(empty).current_dir(root).status()?;
    ensure!(built.success(), "the empty function does not build");
    if !functions.is_empty() {
        let packages = functions.iter().flat_map(|function| ["--package", function]);
        let build = ["build", "--release", "--bins"].into_iter().chain(packages);
        let built = Command::new(&cargo).args(build).current_dir(root).status()?;
        ensure!(built.success(), "the functions do not build");
    }
    Ok(())
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    name: &str,
    binary: &Path,
    replayed: &Replayed,
    arguments: &Arguments,
) -> Result<Row> {
    eprintln!("{name}: {} starts", arguments.runs);
    let mut used = Vec::new();
    let (mut bare_first, mut bare_warm) = (Vec::new(), Vec::new());
    for _ in 0..arguments.runs {
        used.push(runtime.block_on(stand::run(binary, replayed, 1 + arguments.warm))?);
        let bare = runtime.block_on(bare::run(replayed, 1 + arguments.warm))?;
        bare_first.push(bare.first);
        bare_warm.extend(bare.warm);
    }
    let calls = u64::try_from(replayed.calls.len())?;
    if let Some(other) = used.iter().find(|used| used.calls != calls) {
        anyhow::bail!(
            "{name} makes {} calls where the tests saw {calls}: build it anew",
            other.calls
        );
    }
    let content = std::fs::read(binary).with_context(|| binary.display().to_string())?;
    let of = |value: fn(&Used) -> Duration| median(used.iter().map(value).collect());
    let mut peaks: Vec<u64> = used.iter().map(|used| used.peak_kib).collect();
    peaks.sort_unstable();
    Ok(Row {
        name: name.to_owned(),
        warm: median(used.iter().flat_map(|used| used.warm.iter().copied()).collect()),
        used: Used {
            start_cpu: of(|used| used.start_cpu),
            start_wall: of(|used| used.start_wall),
            first_cpu: of(|used| used.first_cpu),
            first_wall: of(|used| used.first_wall),
            warm: Vec::new(),
            peak_kib: peaks.get(peaks.len() / 2).copied().unwrap_or_default(),
            calls,
        },
        bare_first: median(bare_first),
        bare_warm: median(bare_warm),
        binary_bytes: u64::try_from(content.len())?,
        zip_bytes: zipped(&content)?,
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// How large the package is that Lambda is given.
fn zipped(binary: &[u8]) -> Result<usize> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    archive.start_file("bootstrap", options)?;
    archive.write_all(binary)?;
    Ok(archive.finish()?.into_inner().len())
}

fn table(rows: &[Row], arguments: &Arguments) -> String {
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
    let mib = |bytes: f64| format!("{:.1}", bytes / 1024.0 / 1024.0);
    let mut text = format!(
        "| function | calls | processor to the first question, ms | to the first answer | times the empty function's | clock to the first \
         question, ms | from the event to its answer | the calls bare | warm answer, ms | over the calls bare | peak memory, MiB | binary | \
         zip |\n{}\n",
        "|---".repeat(13) + "|"
    );
    let empty = rows.first().map_or(0.0, |row| row.used.first_cpu.as_secs_f64());
    for row in rows {
        #[expect(clippy::cast_precision_loss, reason = "sizes of programs")]
        let (peak, binary, zip) = (
            row.used.peak_kib as f64 * 1024.0,
            row.binary_bytes as f64,
            row.zip_bytes as f64,
        );
        let cells = [
            row.name.clone(),
            row.used.calls.to_string(),
            ms(row.used.start_cpu),
            ms(row.used.first_cpu),
            format!(
                "{:.1}",
                (row.used.first_cpu.as_secs_f64() - row.bare_first.as_secs_f64()) / empty
            ),
            ms(row.used.start_wall),
            ms(row.used.first_wall),
            ms(row.bare_first),
            format!("{:.2}", row.warm.as_secs_f64() * 1000.0),
            format!("{:.2}", (row.warm.as_secs_f64() - row.bare_warm.as_secs_f64()) * 1000.0),
            mib(peak),
            mib(binary),
            mib(zip),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    let _ = writeln!(
        text,
        "\nMedians of {} starts with {} further events each; `{EMPTY}` is a function that answers what it is asked.",
        arguments.runs, arguments.warm
    );
    text
}
