//! What the cloud wants run to its end: CodeBuild's builds and SageMaker's jobs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::watch;

use crate::processes::Warden;

pub(crate) mod archive;
pub(crate) mod build;
pub(crate) mod buildspec;
pub(crate) mod container;

/// Where and with what things are run.
#[derive(Debug)]
pub(crate) struct Bench {
    /// Kills what must end.
    pub(crate) warden: Warden,
    /// Becomes true when the cloud stops.
    pub(crate) stopping: watch::Receiver<bool>,
    /// The folder for the run's files: `logs/` and a folder for each thing that runs.
    pub(crate) folder: PathBuf,
    /// The Python interpreter, as a path: what stands on `PATH` may be a slow shim that needs its user's home.
    pub(crate) python: PathBuf,
}

impl Bench {
    /// The log file of something; names that are no file names become such.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        let name: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// A fresh folder that is removed when it is dropped.
    pub(crate) fn fresh(&self, prefix: &str) -> std::io::Result<tempfile::TempDir> {
        tempfile::Builder::new().prefix(prefix).tempdir_in(&self.folder)
    }

    /// A command with nothing of this process's environment but where programs are: the interpreter's folder first.
    pub(crate) fn command(&self, program: &str, home: &Path) -> Command {
        let program = if program == "python3" || program == "python" {
            self.python.as_os_str()
        } else {
            program.as_ref()
        };
        let mut command = Command::new(program);
        command.env_clear();
        command.env("PATH", self.search_path());
        command.env("HOME", home);
        command.env("LANG", "C.UTF-8");
        command
    }

    fn search_path(&self) -> std::ffi::OsString {
        let own = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let folders = self
            .python
            .parent()
            .map(Path::to_owned)
            .into_iter()
            .chain(std::env::split_paths(&own));
        std::env::join_paths(folders).unwrap_or(own)
    }
}

/// Adds variables to a command.
pub(crate) fn add_environment(command: &mut Command, environment: &BTreeMap<String, String>) {
    for (name, value) in environment {
        // What the system can't pass on would make the start fail with a message about something else.
        if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') {
            command.env(name, value);
        }
    }
}

/// A build's longest time, in wall time.
pub(crate) const BUILD_LIMIT: Duration = Duration::from_secs(600);

#[cfg(test)]
pub(crate) fn test_bench() -> (tempfile::TempDir, watch::Sender<bool>, Bench) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("logs")).unwrap();
    let (stop, stopping) = watch::channel(false);
    let bench = Bench {
        warden: Warden::start().unwrap(),
        stopping,
        folder: folder.path().to_owned(),
        python: crate::binaries::python().unwrap(),
    };
    (folder, stop, bench)
}
