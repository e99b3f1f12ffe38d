//! One build: the source unpacked, the buildspec's commands run, the artifact packed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::archive;
use super::buildspec::{Artifacts, Buildspec, Phase, matches};
use super::{Bench, add_environment};
use crate::cloud::effect::{Build, BuildOutcome};
use crate::processes::{self, Process, describe};

/// One phase in one shell: each command in turn, so that `cd`, variables and functions last until the phase's end; folder and
/// exported variables are carried on to the next phase. `$1` is the folder of the phase's files, `$2` the first command's number,
/// `$3` the last's, `$4` whether the build succeeds so far. What is being run stands in `at`; a command that ends the shell is as one that fails.
const DRIVER: &str = r#"
signalbox_folder=$1; signalbox_at=$2; signalbox_last=$3; signalbox_succeeding=$4
set --
if [ -f "$signalbox_folder/state" ]; then . "$signalbox_folder/state"; fi
export CODEBUILD_BUILD_SUCCEEDING="$signalbox_succeeding"
signalbox_exit() {
  signalbox_status=$?
  { export -p; printf "cd -- '%s'\n" "$(pwd | sed "s/'/'\\\\''/g")"; } > "$signalbox_folder/state"
  exit "$signalbox_status"
}
trap signalbox_exit EXIT
while [ "$signalbox_at" -le "$signalbox_last" ]; do
  printf '%s' "$signalbox_at" > "$signalbox_folder/at"
  printf '[Container] Running command %s\n' "$(cat "$signalbox_folder/$signalbox_at")"
  eval "$(cat "$signalbox_folder/$signalbox_at")"
  signalbox_status=$?
  if [ "$signalbox_status" -ne 0 ]; then exit "$signalbox_status"; fi
  signalbox_at=$((signalbox_at + 1))
done
"#;

/// A failure: the phase and CodeBuild's message.
type Failure = (String, String);

/// Runs a build.
pub(crate) async fn run(bench: &Bench, build: &Build, limit: Duration) -> BuildOutcome {
    let log = bench.log(&format!("build-{}", build.build_id));
    match attempt(bench, build, &log, limit).await {
        Ok(artifact) => BuildOutcome::Succeeded(artifact),
        Err((phase, message)) => BuildOutcome::Failed {
            phase,
            message,
            log_tail: processes::tail(&log, 40),
        },
    }
}

async fn attempt(bench: &Bench, build: &Build, log: &Path, limit: Duration) -> Result<Bytes, Failure> {
    let failed = |phase: &str, message: String| (phase.to_owned(), message);
    let own = |phase: &'static str| {
        move |error: std::io::Error| (phase.to_owned(), format!("INTERNAL_SERVICE_ERROR: {error}"))
    };
    let folder = bench.fresh("build-").map_err(own("PROVISIONING"))?;
    let source = folder.path().join("src");
    fs::create_dir(&source).map_err(own("PROVISIONING"))?;
    archive::unzip(&build.source, &source).map_err(|error| {
        failed(
            "DOWNLOAD_SOURCE",
            format!("CLIENT_ERROR: the source is no usable zip: {error}"),
        )
    })?;
    let text = buildspec_text(build, &source)
        .map_err(|message| failed("DOWNLOAD_SOURCE", format!("YAML_FILE_ERROR: {message}")))?;
    let spec =
        Buildspec::parse(&text).map_err(|message| failed("DOWNLOAD_SOURCE", format!("YAML_FILE_ERROR: {message}")))?;

    let until = Instant::now() + limit;
    let mut environment = spec.variables.clone();
    environment.extend(build.environment.clone());
    let source_text = source.to_string_lossy().into_owned();
    environment.insert("CODEBUILD_SRC_DIR".to_owned(), source_text);
    let mut failure: Option<Failure> = None;
    for phase in &spec.phases {
        // Only what comes after a build that could be tried is run after a failure.
        if phase.name == "post_build" {
            if failure.as_ref().is_some_and(|(phase, _)| phase != "BUILD") {
                continue;
            }
        } else if failure.is_some() {
            continue;
        }
        let runner = Runner {
            bench,
            shell: &spec.shell,
            folder: folder.path(),
            environment: &environment,
            succeeding: failure.is_none(),
            log,
            until,
        };
        let result = runner.phase(phase).await;
        if let Err(message) = result
            && failure.is_none()
            && !phase.carry_on
        {
            failure = Some(failed(&phase.name.to_uppercase(), message));
        }
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    if !build.has_artifact {
        return Ok(Bytes::new());
    }
    let artifacts = spec.artifacts.clone().unwrap_or_default();
    collect(&source, &artifacts).map_err(|message| failed("UPLOAD_ARTIFACTS", format!("CLIENT_ERROR: {message}")))
}

fn buildspec_text(build: &Build, source: &Path) -> Result<String, String> {
    let named = build.buildspec.as_deref().unwrap_or("buildspec.yml");
    // The project's BuildSpec is a path or the text itself; a text has more than one line.
    if named.contains('\n') {
        return Ok(named.to_owned());
    }
    let path = archive::within(Path::new(named)).ok_or_else(|| format!("{named} lies outside of the source"))?;
    fs::read_to_string(source.join(path)).map_err(|error| format!("stat {named}: {error}"))
}

struct Runner<'run> {
    bench: &'run Bench,
    shell: &'run str,
    folder: &'run Path,
    environment: &'run BTreeMap<String, String>,
    succeeding: bool,
    log: &'run Path,
    until: Instant,
}

impl Runner<'_> {
    async fn phase(&self, phase: &Phase) -> Result<(), String> {
        self.say(&format!("[Container] Entering phase {}", phase.name.to_uppercase()));
        let result = self.commands(&phase.commands).await;
        let finally = self.commands(&phase.finally).await;
        let result = result.and(finally);
        let state = if result.is_ok() { "SUCCEEDED" } else { "FAILED" };
        self.say(&format!(
            "[Container] Phase complete: {} State: {state}",
            phase.name.to_uppercase()
        ));
        if let Err(message) = &result {
            self.say(&format!("[Container] {message}"));
        }
        result
    }

    /// A line of the build's own in its log. A log that can't be written must not fail the build.
    fn say(&self, line: &str) {
        if let Ok(mut log) = File::options().create(true).append(true).open(self.log) {
            let _ = writeln!(log, "{line}");
        }
    }

    async fn commands(&self, commands: &[String]) -> Result<(), String> {
        if commands.is_empty() {
            return Ok(());
        }
        let own = |error: std::io::Error| format!("INTERNAL_SERVICE_ERROR: {error}");
        let control = self.folder.join("control");
        fs::create_dir_all(&control).map_err(own)?;
        fs::write(control.join("driver"), DRIVER).map_err(own)?;
        for (number, command) in commands.iter().enumerate() {
            fs::write(control.join(number.to_string()), command).map_err(own)?;
        }
        let log = File::options().create(true).append(true).open(self.log).map_err(own)?;
        let mut command = self.bench.command(self.shell, self.folder);
        add_environment(&mut command, self.environment);
        command
            .arg(control.join("driver"))
            .arg(&control)
            .arg("0")
            .arg((commands.len() - 1).to_string())
            .arg(if self.succeeding { "1" } else { "0" })
            .current_dir(self.folder.join("src"))
            .stdout(log.try_clone().map_err(own)?)
            .stderr(log);
        let mut process = Process::start(&self.bench.warden, &mut command).map_err(own)?;
        let left = self.until.saturating_duration_since(Instant::now());
        let status = process
            .wait_at_most(left, &mut self.bench.stopping.clone())
            .await
            .map_err(own)?;
        let at = fs::read_to_string(control.join("at"))
            .ok()
            .and_then(|at| at.parse::<usize>().ok())
            .unwrap_or(0);
        let running = commands.get(at).map_or("", |command| command.trim_end());
        match status {
            // A command that ends the shell well has ended the phase: so does CodeBuild's shell.
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!(
                "COMMAND_EXECUTION_ERROR: Error while executing command: {running}. Reason: {}",
                describe(status)
            )),
            None => Err(format!(
                "BUILD_TIMED_OUT: Build has timed out while executing command: {running}"
            )),
        }
    }
}

/// Packs the artifact.
fn collect(source: &Path, artifacts: &Artifacts) -> Result<Bytes, String> {
    let base = archive::within(Path::new(&artifacts.base))
        .ok_or_else(|| format!("base-directory {} lies outside of the source", artifacts.base))?;
    let base = source.join(base);
    let mut chosen = Vec::new();
    if !artifacts.files.is_empty() {
        let files = archive::files(&base)
            .map_err(|error| format!("no matching base directory path found for {}: {error}", artifacts.base))?;
        for file in files {
            let wanted = artifacts.files.iter().any(|pattern| matches(pattern, &file));
            if wanted && !artifacts.exclude.iter().any(|pattern| matches(pattern, &file)) {
                let name = match file.rsplit_once('/') {
                    Some((_, name)) if artifacts.discard_paths => name.to_owned(),
                    _ => file.clone(),
                };
                chosen.push((file, name));
            }
        }
        if chosen.is_empty() {
            return Err("no matching artifact paths found".to_owned());
        }
        if artifacts.discard_paths {
            // The last of two files of one name wins, as when one is copied over the other.
            let by_name: BTreeMap<String, String> = chosen.into_iter().map(|(file, name)| (name, file)).collect();
            chosen = by_name.into_iter().map(|(name, file)| (file, name)).collect();
        }
    }
    archive::zip(&base, &chosen).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::archive::test_zip;
    use super::super::test_bench;
    use super::*;

    async fn build(bench: &Bench, files: &[(&str, &str)], limit: Duration) -> BuildOutcome {
        let build = Build {
            id: 1,
            project: "m".to_owned(),
            build_id: "m:1".to_owned(),
            source: test_zip(files),
            buildspec: None,
            environment: BTreeMap::from([("FROM_PROJECT".to_owned(), "p".to_owned())]),
            has_artifact: true,
        };
        run(bench, &build, limit).await
    }

    fn names(zip: &Bytes) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        archive::unzip(zip, folder.path()).unwrap();
        archive::files(folder.path()).unwrap()
    }

    fn content(zip: &Bytes, name: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        archive::unzip(zip, folder.path()).unwrap();
        fs::read_to_string(folder.path().join(name)).unwrap()
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn folder_variables_and_artifacts_last_from_command_to_command_and_phase_to_phase() {
        let (_folder, _stop, bench) = test_bench();
        let spec = r#"
version: 0.2
env: {variables: {FROM_SPEC: s, FROM_PROJECT: spec}}
phases:
  install: {commands: ['mkdir "it''s"', 'cd "it''s"', 'export KEPT="a  ''b"', 'local_one=1']}
  build:
    commands:
      - |
        if true; then
          echo "$FROM_SPEC $FROM_PROJECT $KEPT ${HOME:+home} ${CARGO_PKG_NAME:-clean}" > out.txt
        fi
      - test -n "$CODEBUILD_SRC_DIR"
      - pwd > where.txt
  post_build: {commands: ['echo $CODEBUILD_BUILD_SUCCEEDING > state.txt']}
artifacts: {files: ['*.txt'], base-directory: "it's", exclude-paths: [where.txt]}
"#;
        let files = [("buildspec.yml", spec), ("a.txt", "a")];
        let BuildOutcome::Succeeded(first) = build(&bench, &files, MINUTE).await else {
            panic!("{}", processes::tail(&bench.log("build-m:1"), 40));
        };
        assert_eq!(names(&first), ["out.txt", "state.txt"]);
        assert_eq!(content(&first, "out.txt"), "s p a  'b home clean\n");
        assert_eq!(content(&first, "state.txt"), "1\n");
        assert_eq!(
            build(&bench, &files, MINUTE).await,
            BuildOutcome::Succeeded(first),
            "deterministic"
        );
    }

    #[tokio::test]
    async fn a_failure_is_told_as_codebuild_tells_it() {
        let (_folder, _stop, bench) = test_bench();
        let all = "artifacts: {files: ['**/*']}";
        let error = "COMMAND_EXECUTION_ERROR: Error while executing command";
        for (spec, phase, message) in [
            (
                format!(
                    "version: 0.2\nphases: {{build: {{commands: [echo one, 'sh -c \"exit 3\"', echo two]}}}}\n{all}"
                ),
                "BUILD",
                format!("{error}: sh -c \"exit 3\". Reason: exit status 3"),
            ),
            (
                format!(
                    "version: 0.2\nphases: {{pre_build: {{commands: [exit 4]}}, post_build: {{commands: [touch no]}}}}\n{all}"
                ),
                "PRE_BUILD",
                format!("{error}: exit 4. Reason: exit status 4"),
            ),
            (
                format!(
                    "version: 0.2\nphases: {{post_build: {{commands: ['false']}}, build: {{commands: ['false']}}}}\n{all}"
                ),
                "BUILD",
                format!("{error}: false. Reason: exit status 1"),
            ),
            (
                "version: 0.2\nphases: {build: {commands: ['true']}}\nartifacts: {files: [nothing]}".to_owned(),
                "UPLOAD_ARTIFACTS",
                "CLIENT_ERROR: no matching artifact paths found".to_owned(),
            ),
            (
                "version: 0.3".to_owned(),
                "DOWNLOAD_SOURCE",
                "YAML_FILE_ERROR: version 0.3 is not supported, 0.2 is".to_owned(),
            ),
        ] {
            match build(&bench, &[("buildspec.yml", &spec)], MINUTE).await {
                BuildOutcome::Failed {
                    phase: at,
                    message: said,
                    ..
                } => assert_eq!((at.as_str(), said), (phase, message)),
                BuildOutcome::Succeeded(_) => panic!("{spec}"),
            }
        }
    }

    #[tokio::test]
    async fn an_artifact_that_nobody_wants_is_not_looked_for() {
        let (_folder, _stop, bench) = test_bench();
        let spec = "version: 0.2\nphases: {build: {commands: ['true']}}\nartifacts: {files: [nothing]}";
        let build = Build {
            id: 1,
            project: "m".to_owned(),
            build_id: "m:1".to_owned(),
            source: test_zip(&[("buildspec.yml", spec)]),
            buildspec: None,
            environment: BTreeMap::new(),
            has_artifact: false,
        };
        assert_eq!(run(&bench, &build, MINUTE).await, BuildOutcome::Succeeded(Bytes::new()));
    }

    #[tokio::test]
    async fn after_a_failed_build_post_build_runs_and_the_log_ends_with_the_reason() {
        let (_folder, _stop, bench) = test_bench();
        let spec = "version: 0.2\nphases:\n  build: {commands: [echo noise, 'false'], finally: [echo finally]}\n  \
                    post_build: {commands: ['echo after $CODEBUILD_BUILD_SUCCEEDING']}\n";
        let BuildOutcome::Failed { log_tail, .. } = build(&bench, &[("buildspec.yml", spec)], MINUTE).await else {
            panic!("passed");
        };
        for line in ["noise", "finally", "after 0", "Phase complete: BUILD State: FAILED"] {
            assert!(log_tail.contains(line), "{line}: {log_tail}");
        }
        let BuildOutcome::Failed { phase, message, .. } = build(&bench, &[("a", "")], MINUTE).await else {
            panic!("passed");
        };
        assert_eq!(phase, "DOWNLOAD_SOURCE");
        assert!(message.starts_with("YAML_FILE_ERROR: stat buildspec.yml"), "{message}");
    }

    #[tokio::test]
    async fn a_build_that_takes_too_long_ends() {
        let (_folder, _stop, bench) = test_bench();
        let spec = "version: 0.2\nphases: {build: {commands: [sleep 600]}}";
        let BuildOutcome::Failed { message, .. } =
            build(&bench, &[("buildspec.yml", spec)], Duration::from_millis(300)).await
        else {
            panic!("passed");
        };
        assert!(message.starts_with("BUILD_TIMED_OUT"), "{message}");
    }
}
