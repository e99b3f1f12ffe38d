//! `local`: the stack of `infra/template.yaml` on this machine.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use local::front::{self, Data, Options, REGION, Running};
use local::news::{News, size};
use local::{binaries, demo};

/// The release train on this machine: the stack of infra/template.yaml, the functions' real binaries, the model's real scripts and
/// a git repository, on one port of 127.0.0.1. It needs git and python3, no account and no network.
#[derive(Debug, Parser)]
#[command(name = "local", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs releases from push to serving endpoint, good ones and bad ones, and says whether each ended as it should
    ///
    /// The exit code is 0 if all did.
    Demo {
        /// Writes the report to this file too
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        /// How a new version takes over [default: RolloutStrategy of infra/parameters/local.json, or else of the template]
        #[arg(long, value_name = "NAME")]
        strategy: Option<demo::Strategy>,
        /// Virtual seconds in a second
        #[arg(long, value_name = "N", default_value_t = 60.0)]
        speed: f64,
        /// What ids and random choices follow from
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        /// The port; 0 for any that is free
        #[arg(long, value_name = "P", default_value_t = 0)]
        port: u16,
    },
    /// Runs the stack until it is interrupted
    ///
    /// Clone the git remote that it prints, or push a model's repository to it where it is empty; mails are at /inbox. AWS clients and SDKs reach it as their
    /// endpoint URL. SIGNALBOX_BIN_DIR names a folder of built functions; without it cargo builds them.
    Up {
        /// Virtual seconds in a second
        #[arg(long, value_name = "N", default_value_t = 1.0)]
        speed: f64,
        /// The port; 0 for any that is free
        #[arg(long, value_name = "P", default_value_t = 4566)]
        port: u16,
        /// Keeps the git repository in DIR/git and the training data in DIR/data from run to run
        ///
        /// A branch that is there at the start counts as pushed then. Where there is no DIR/data, it begins with the sample data
        /// set; what is copied into it is taken, at the start and later. All else (S3, the registry, the endpoint, mails) starts
        /// empty with every run.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// What ids and random choices follow from
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        parameters: Parameters,
    },
    /// Prints a function's environment, a KEY=VALUE a line, to run it by hand against `up`
    Env {
        /// The function, by its binary's name or its full name
        function: String,
        /// The port that `up` listens on
        #[arg(long, value_name = "P", default_value_t = 4566)]
        port: u16,
        #[command(flatten)]
        parameters: Parameters,
    },
}

#[derive(Debug, Args)]
struct Parameters {
    /// The template's parameters: a JSON list of {"ParameterKey": …, "ParameterValue": …} [default: infra/parameters/local.json]
    #[arg(long = "parameters", value_name = "FILE")]
    file: Option<PathBuf>,
    /// One parameter, over the file's; can be given more than once
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    single: Vec<String>,
}

impl Parameters {
    fn read(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut parameters = match &self.file {
            Some(file) => front::read_parameters(file)?,
            None => front::default_parameters(&binaries::workspace()?)?,
        };
        for single in &self.single {
            let (name, value) = single
                .split_once('=')
                .with_context(|| format!("--parameter {single}: NAME=VALUE"))?;
            parameters.insert(name.to_owned(), value.to_owned());
        }
        Ok(parameters)
    }

    /// The same, for a stack that a person works with: its repository begins with the sample, where the template can do that and nobody
    /// has said otherwise.
    fn read_for_up(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut parameters = self.read()?;
        let single = |single: &String| single.split_once('=').is_some_and(|(name, _)| name == INITIAL_CODE);
        let said = self.single.iter().any(single) || self.file.is_some() && parameters.contains_key(INITIAL_CODE);
        if !said && front::has_parameter(&binaries::workspace()?, INITIAL_CODE)? {
            parameters.insert(INITIAL_CODE.to_owned(), "sample".to_owned());
        }
        Ok(parameters)
    }
}

/// The template's parameter that says what the model's repository begins with.
const INITIAL_CODE: &str = "InitialCode";

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo {
            report,
            strategy,
            speed,
            seed,
            port,
        } => {
            let options = demo::Options {
                report,
                strategy,
                speed,
                seed,
                port,
            };
            demo::run(options).await
        }
        Command::Up {
            speed,
            port,
            data,
            seed,
            parameters,
        } => {
            let options = Options {
                port,
                speed,
                seed,
                data,
            };
            up(options, &parameters).await.map(|()| true)
        }
        Command::Env {
            function,
            port,
            parameters,
        } => env(&function, port, &parameters).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn up(options: Options, parameters: &Parameters) -> anyhow::Result<()> {
    let parameters = parameters.read_for_up()?;
    let progress = |text: &str| eprintln!("{text} …");
    let running = tokio::select! {
        running = Running::start(options, &parameters, &progress) => running?,
        ended = interrupted() => return ended,
    };
    let base = running.base_url();
    let memory = front::memory().map_or(String::new(), |bytes| {
        format!(", using {} MiB", bytes.div_ceil(1 << 20))
    });
    println!("ready in {} ms{memory}\n", running.ready_in().as_millis());
    println!("AWS endpoint  {base}  (region {REGION})");
    for repository in running.repositories() {
        println!("git remote    {base}/git/{repository}");
        if running.cloud().has_code(&repository) {
            println!("              it has a model's code: git clone {base}/git/{repository}, change it, git push");
        }
    }
    println!("inbox         {base}/inbox");
    if running.cloud().has_chat() {
        println!("chat          {base}/inbox/chat");
    }
    println!("logs          {}", running.logs().display());
    if let Some(data) = running.data() {
        println!("data          {}", data.folder.display());
        println!("              {}", what_data_does(data));
    }
    println!("\nAny credentials will do:");
    println!("  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION={REGION}");
    println!("  aws --endpoint-url {base} sagemaker list-pipelines");
    println!("\nCtrl-C stops it.\n");

    let (mut shown, mut told, mut denied) = (0, 0, 0);
    let mut said = None;
    let news = async {
        loop {
            let happenings = running.happenings(told);
            told += happenings.len();
            for news in happenings.iter().filter_map(News::of) {
                // A look comes every few minutes, and mostly finds what the one before has found.
                if news.place == "retrain" && said.replace(news.to_string()) == said {
                    continue;
                }
                let _ = writeln!(std::io::stdout(), "{news}");
            }
            let refused: Vec<String> = {
                let cloud = running.cloud();
                let new = cloud.denials().get(denied..).unwrap_or_default();
                new.iter().map(ToString::to_string).collect()
            };
            denied += refused.len();
            for refused in refused {
                let _ = writeln!(std::io::stdout(), "refused: {refused}");
            }
            let mails = running.cloud().inbox().get(shown..).unwrap_or_default().to_vec();
            shown += mails.len();
            for mail in mails {
                // Nobody may be reading any more; that is no reason to end.
                let _ = writeln!(
                    std::io::stdout(),
                    "mail {} to {}: {}",
                    mail.number,
                    mail.to,
                    mail.subject
                );
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    let ended = tokio::select! {
        ended = interrupted() => ended,
        () = news => Ok(()),
    };
    eprintln!("stopping …");
    running.stop().await;
    ended
}

/// What comes of files that are copied into the folder for training data.
fn what_data_does(data: &Data) -> String {
    let Data {
        bucket,
        prefix,
        threshold_objects: objects,
        threshold_bytes,
        ..
    } = data;
    let objects = (*objects > 0).then(|| format!("{objects} new objects"));
    let bytes = (*threshold_bytes > 0).then(|| format!("{} of them", size(*threshold_bytes)));
    let enough: Vec<String> = objects.into_iter().chain(bytes).collect();
    let starts = match enough.as_slice() {
        [] => "their number starts no training".to_owned(),
        enough => format!("it takes {} for a training", enough.join(" or ")),
    };
    format!("files copied into it go to s3://{bucket}/{prefix}; {starts}")
}

/// Waits for Ctrl-C or a request to end.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn env(function: &str, port: u16, parameters: &Parameters) -> anyhow::Result<()> {
    let base_url = format!("http://127.0.0.1:{port}");
    let cloud = front::deploy(&binaries::workspace()?, &parameters.read()?, &base_url, 1)?;
    let functions = cloud.functions();
    let found = functions
        .iter()
        .find(|known| known.binary == function || known.name == function);
    let Some(environment) = found.and_then(|found| cloud.function_environment(&found.name)) else {
        let names: Vec<&str> = functions.iter().map(|known| known.binary.as_str()).collect();
        bail!("there is no function {function}, but {}", names.join(", "));
    };
    for (name, value) in environment {
        println!("{name}={value}");
    }
    Ok(())
}
