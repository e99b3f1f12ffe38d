//! One SageMaker job, without a container: a folder stands for its root.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::archive;
use super::{Bench, add_environment};
use crate::cloud::effect::{Job, JobKind, JobOutcome};
use crate::processes::{self, Process};

/// The folder of SageMaker's contract with a container.
const CONTRACT: &str = "/opt/ml";

/// What a job may leave, in bytes: it is held in memory.
const MOST_OUTPUT: u64 = 512 << 20;

/// The longest text of an error in a reason, in characters.
const LONGEST: usize = 500;

/// Runs a job.
pub(crate) async fn run(bench: &Bench, job: &Job) -> JobOutcome {
    attempt(bench, job)
        .await
        .map_or_else(|reason| JobOutcome::Failed { reason }, JobOutcome::Succeeded)
}

async fn attempt(bench: &Bench, job: &Job) -> Result<BTreeMap<String, Vec<(String, Bytes)>>, String> {
    let own = |error: std::io::Error| format!("InternalServerError: {error}");
    let folder = bench.fresh("job-").map_err(own)?;
    let root = folder.path();
    let work = prepare(job, root)?;

    let (out, err) = (
        bench.log(&format!("{}.out", job.name)),
        bench.log(&format!("{}.err", job.name)),
    );
    let arguments: Vec<String> = job.command.iter().map(|argument| relocate(argument, root)).collect();
    let Some((program, arguments)) = arguments.split_first() else {
        return Err("ClientError: the job has no command".to_owned());
    };
    let environment = job
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), relocate(value, root)))
        .collect();
    let mut command = bench.command(program, root);
    add_environment(&mut command, &environment);
    command
        .args(arguments)
        .current_dir(&work)
        .stdout(File::create(&out).map_err(own)?)
        .stderr(File::create(&err).map_err(own)?);
    let mut process = Process::start(&bench.warden, &mut command)
        .map_err(|error| format!("ClientError: cannot run {program}: {error}"))?;
    let limit = Duration::from_secs(job.timeout_seconds);
    let status = process
        .wait_at_most(limit, &mut bench.stopping.clone())
        .await
        .map_err(own)?;
    match status {
        Some(status) if status.success() => collect(job, root),
        Some(status) => {
            use std::os::unix::process::ExitStatusExt;
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            let failure = fs::read(root.join("opt/ml/output/failure")).ok();
            let failure = failure.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
            // Paths of this machine say nothing to who knows the container's.
            let clean = |text: &str| text.replace(&*root.to_string_lossy(), "");
            Err(match (failure.filter(|failure| !failure.is_empty()), job.kind) {
                (Some(failure), _) => format!("AlgorithmError: {}, exit code: {code}", end(&clean(&failure))),
                (None, JobKind::Training) => format!(
                    "AlgorithmError: ExecuteUserScriptError: ExitCode {code}, ErrorMessage \"{}\", exit code: {code}",
                    end(&clean(&processes::tail(&err, 10)))
                ),
                (None, JobKind::Processing) => {
                    let last = processes::tail(&err, 1);
                    let last = if last.is_empty() {
                        processes::tail(&out, 1)
                    } else {
                        last
                    };
                    let colon = if last.is_empty() { "" } else { ": " };
                    format!(
                        "AlgorithmError: See job logs for more information, exit code: {code}{colon}{}",
                        end(&clean(&last))
                    )
                }
            })
        }
        None => Err(format!(
            "MaxRuntimeExceeded: the job did not end within {} seconds",
            job.timeout_seconds
        )),
    }
}

/// Lays the container's files out; the folder that the job starts in.
fn prepare(job: &Job, root: &Path) -> Result<PathBuf, String> {
    let own = |error: std::io::Error| format!("InternalServerError: {error}");
    for (path, content) in &job.inputs {
        let path = place(root, path)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(own)?;
        }
        fs::write(path, content).map_err(own)?;
    }
    for folder in [
        "opt/ml/input/config",
        "opt/ml/input/data",
        "opt/ml/model",
        "opt/ml/output/data",
    ] {
        fs::create_dir_all(root.join(folder)).map_err(own)?;
    }
    for (_, path) in &job.outputs {
        fs::create_dir_all(place(root, path)?).map_err(own)?;
    }
    if job.kind == JobKind::Training {
        let hyperparameters = serde_json::to_vec(&job.hyperparameters).unwrap_or_default();
        fs::write(root.join("opt/ml/input/config/hyperparameters.json"), hyperparameters).map_err(own)?;
    }
    if let Some(archive) = &job.source_archive {
        let code = root.join("opt/ml/code");
        fs::create_dir_all(&code).map_err(own)?;
        archive::untar(archive, &code)
            .map_err(|error| format!("ClientError: the source archive is no usable tar.gz: {error}"))?;
        return Ok(code);
    }
    Ok(root.to_owned())
}

/// The last characters of a text.
fn end(text: &str) -> &str {
    let skip = text.chars().count().saturating_sub(LONGEST);
    text.char_indices()
        .nth(skip)
        .and_then(|(at, _)| text.get(at..))
        .unwrap_or(text)
}

/// Where a container's absolute path is on this machine.
fn place(root: &Path, path: &str) -> Result<PathBuf, String> {
    let mut place = root.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => place.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(format!("ClientError: {path} is no path within the container"));
            }
        }
    }
    if Path::new(path).is_absolute() {
        Ok(place)
    } else {
        Err(format!("ClientError: {path} is not an absolute path"))
    }
}

/// Replaces each path below the contract's folder by its place on this machine; `/opt/mlx` and `/x/opt/ml` are other paths.
pub(crate) fn relocate(text: &str, root: &Path) -> String {
    let root = root.to_string_lossy();
    let of_a_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(CONTRACT) {
        let (before, from) = rest.split_at(at);
        let after = from.strip_prefix(CONTRACT).unwrap_or_default();
        result.push_str(before);
        if !result.ends_with(of_a_name) && !after.starts_with(of_a_name) {
            result.push_str(&root);
        }
        result.push_str(CONTRACT);
        rest = after;
    }
    result.push_str(rest);
    result
}

fn collect(job: &Job, root: &Path) -> Result<BTreeMap<String, Vec<(String, Bytes)>>, String> {
    let mut outputs = BTreeMap::new();
    let mut budget = MOST_OUTPUT;
    for (name, path) in &job.outputs {
        let folder = place(root, path)?;
        let own = |error: std::io::Error| format!("ClientError: the output {name} can't be read: {error}");
        let mut found = Vec::new();
        // The job may have replaced the folder by a link to somewhere else.
        let is_folder = fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir());
        for file in if is_folder {
            archive::files(&folder).map_err(own)?
        } else {
            Vec::new()
        } {
            let path = folder.join(&file);
            let size = fs::metadata(&path).map_err(own)?.len();
            budget = budget
                .checked_sub(size)
                .ok_or_else(|| format!("ClientError: the outputs are larger than {MOST_OUTPUT} bytes"))?;
            found.push((file, Bytes::from(fs::read(path).map_err(own)?)));
        }
        outputs.insert(name.clone(), found);
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::super::archive::test_tar;
    use super::super::test_bench;
    use super::*;

    fn job(kind: JobKind, command: &[&str]) -> Job {
        Job {
            id: 1,
            kind,
            name: "job".to_owned(),
            command: command.iter().map(|&part| part.to_owned()).collect(),
            environment: BTreeMap::new(),
            hyperparameters: BTreeMap::new(),
            inputs: Vec::new(),
            source_archive: None,
            outputs: Vec::new(),
            timeout_seconds: 60,
        }
    }

    #[test]
    fn paths_are_relocated_where_they_are_paths() {
        for (text, expected) in [
            ("/opt/ml", "/r/opt/ml"),
            ("/opt/ml/model", "/r/opt/ml/model"),
            ("--model=/opt/ml/model", "--model=/r/opt/ml/model"),
            ("/opt/ml/a:/opt/ml/b", "/r/opt/ml/a:/r/opt/ml/b"),
            (r#"{"dir":"/opt/ml"}"#, r#"{"dir":"/r/opt/ml"}"#),
            ("file:///opt/ml/x", "file:///r/opt/ml/x"),
            ("/opt/mlx", "/opt/mlx"),
            ("/opt/ml.old/x", "/opt/ml.old/x"),
            ("/home/opt/ml", "/home/opt/ml"),
            ("opt/ml", "opt/ml"),
            ("", ""),
        ] {
            assert_eq!(relocate(text, Path::new("/r")), expected, "{text}");
        }
        for path in ["opt/ml", "/opt/../../etc", "..", ""] {
            assert!(place(Path::new("/r"), path).is_err(), "{path}");
        }
    }

    #[tokio::test]
    async fn a_training_job_in_script_mode() {
        let (_folder, _stop, bench) = test_bench();
        let mut job = job(
            JobKind::Training,
            &["python3", "/opt/ml/code/train.py", "--epochs", "3"],
        );
        let script = r#"
import json, os, sys, helper
out = os.environ["SM_MODEL_DIR"]
rows = open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "train.csv")).read()
config = json.load(open(os.path.join(out, "../input/config/hyperparameters.json")))
os.makedirs(os.path.join(out, "code"))
open(os.path.join(out, "model.json"), "w").write(rows + sys.argv[2] + config["epochs"] + os.path.basename(os.getcwd()))
open(os.path.join(out, "code/serve.py"), "w").write("")
os.symlink("/etc/passwd", os.path.join(out, "link"))
"#;
        job.source_archive = Some(test_tar(&[("train.py", script), ("helper.py", "")]));
        job.inputs = vec![("/opt/ml/input/data/train/train.csv".to_owned(), Bytes::from("1,2;"))];
        job.hyperparameters = BTreeMap::from([("epochs".to_owned(), "3".to_owned())]);
        job.environment = BTreeMap::from([
            ("SM_MODEL_DIR".to_owned(), "/opt/ml/model".to_owned()),
            ("SM_CHANNEL_TRAIN".to_owned(), "/opt/ml/input/data/train".to_owned()),
        ]);
        job.outputs = vec![("model".to_owned(), "/opt/ml/model".to_owned())];
        let expected = vec![
            ("code/serve.py".to_owned(), Bytes::new()),
            ("model.json".to_owned(), Bytes::from("1,2;33code")),
        ];
        let outcome = run(&bench, &job).await;
        assert_eq!(
            outcome,
            JobOutcome::Succeeded(BTreeMap::from([("model".to_owned(), expected)]))
        );
        assert_eq!(run(&bench, &job).await, outcome, "a second run starts from nothing");
    }

    #[tokio::test]
    async fn a_failure_is_told_as_sagemaker_tells_it() {
        let (_folder, _stop, bench) = test_bench();
        let long = format!("import sys; sys.exit('x' * 600 + '{}')", "the end");
        for (kind, command, expected) in [
            (
                JobKind::Training,
                vec!["python3", "-c", "import sys; sys.exit('train: no rows')"],
                "AlgorithmError: ExecuteUserScriptError: ExitCode 1, ErrorMessage \"train: no rows\", exit code: 1"
                    .to_owned(),
            ),
            (
                JobKind::Training,
                vec!["python3", "-c", &long],
                format!(
                    "AlgorithmError: ExecuteUserScriptError: ExitCode 1, ErrorMessage \"{}the end\", exit code: 1",
                    "x".repeat(493)
                ),
            ),
            (
                JobKind::Training,
                vec!["sh", "-c", "echo 'no rows' > /opt/ml/output/failure; exit 2"],
                "AlgorithmError: no rows, exit code: 2".to_owned(),
            ),
            (
                JobKind::Processing,
                vec!["sh", "-c", "echo first >&2; echo last: /opt/ml/x >&2; exit 3"],
                "AlgorithmError: See job logs for more information, exit code: 3: last: /opt/ml/x".to_owned(),
            ),
            (
                JobKind::Processing,
                vec!["sh", "-c", "kill -9 $$"],
                "AlgorithmError: See job logs for more information, exit code: 137".to_owned(),
            ),
            (
                JobKind::Processing,
                vec!["no-such-program"],
                "ClientError: cannot run no-such-program: No such file or directory (os error 2)".to_owned(),
            ),
            (
                JobKind::Processing,
                vec![],
                "ClientError: the job has no command".to_owned(),
            ),
        ] {
            let outcome = run(&bench, &job(kind, &command)).await;
            assert_eq!(outcome, JobOutcome::Failed { reason: expected });
        }
        let mut slow = job(JobKind::Training, &["sleep", "600"]);
        slow.timeout_seconds = 0;
        assert!(
            matches!(run(&bench, &slow).await, JobOutcome::Failed { reason } if reason.starts_with("MaxRuntimeExceeded"))
        );
    }
}
