//! What the local cloud runs and does not bring along: git, Python, and the functions' binaries, which it has built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Names a folder with the functions' binaries; without it they are built.
pub const BINARIES_VARIABLE: &str = "SIGNALBOX_BIN_DIR";

/// The workspace: the folder with `infra/template.yaml`. It is where this program was built, or, if that is gone, the current
/// folder or one above it.
///
/// # Errors
/// Where there is none.
pub fn workspace() -> anyhow::Result<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_owned);
    let current = std::env::current_dir().unwrap_or_default();
    built
        .into_iter()
        .chain(current.ancestors().map(Path::to_owned))
        .find(|folder| folder.join("infra/template.yaml").is_file())
        .context(
            "infra/template.yaml is neither where this program was built nor in the current folder or one above it",
        )
}

/// The Python interpreter's own path, which starts faster than a version manager's shim and needs no home.
///
/// # Errors
/// Where there is none, with how to get it.
pub fn python() -> anyhow::Result<PathBuf> {
    const HOW: &str = "python3 is needed to run the model's scripts: install Python 3.9 or later (apt-get install python3, \
                       brew install python3)";
    let output = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .stdin(Stdio::null())
        .output()
        .context(HOW)?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !output.status.success() || !path.is_file() {
        bail!("{HOW}\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(path)
}

/// Checks that git is there, with its HTTP server.
///
/// # Errors
/// Where it is not, with how to get it.
pub fn check_git() -> anyhow::Result<()> {
    const HOW: &str = "git is needed to be the model's repository: install it (apt-get install git, brew install git)";
    let output = std::process::Command::new("git")
        .arg("--exec-path")
        .stdin(Stdio::null())
        .output()
        .context(HOW)?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !output.status.success() {
        bail!(HOW);
    }
    if !folder.join("git-http-backend").is_file() {
        bail!(
            "this git has no http-backend in {}: install git with its HTTP server (on some systems a package of its own, \
             git-daemon or git-http-backend)",
            folder.display()
        );
    }
    Ok(())
}

/// The functions' binaries by name: those in the folder that [`BINARIES_VARIABLE`] names, or built by cargo, which says on standard
/// error how it gets on.
///
/// # Errors
/// Where one is missing or can't be built.
pub async fn find(
    workspace: &Path,
    names: &[String],
    progress: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let found = match std::env::var_os(BINARIES_VARIABLE) {
        Some(folder) => names
            .iter()
            .map(|name| (name.clone(), Path::new(&folder).join(name)))
            .filter(|(_, path)| path.is_file())
            .collect(),
        None => build(workspace, names, progress).await?,
    };
    if let Some(missing) = names.iter().find(|name| !found.contains_key(*name)) {
        match std::env::var(BINARIES_VARIABLE) {
            Ok(folder) => bail!("the function `{missing}` has no binary in {folder} ({BINARIES_VARIABLE})"),
            Err(_) => bail!("the function `{missing}` has no binary target of its name in the workspace"),
        }
    }
    Ok(found)
}

/// Builds the whole workspace: the selection decides which features the dependencies have, and this one is that of
/// `cargo test --workspace`, so that the SageMaker SDK is not built twice.
async fn build(
    workspace: &Path,
    names: &[String],
    progress: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    progress("building the functions");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command.args([
        "build",
        "--workspace",
        "--bins",
        "--message-format=json-render-diagnostics",
    ]);
    // Variables that `cargo run` sets for this program would make the inner cargo think that its dependencies have changed.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_BIN_NAME" {
            command.env_remove(&name);
        }
    }
    let mut child = command
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", cargo.display()))?;
    let mut found = BTreeMap::new();
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await.context("cannot read cargo's messages")? {
            found.extend(executable(&line));
        }
    }
    let status = child.wait().await?;
    if !status.success() {
        bail!("the functions can't be built; cargo has said why");
    }
    Ok(found)
}

/// The binary that one of cargo's messages tells of.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message.get("reason")?.as_str()? != "compiler-artifact" {
        return None;
    }
    let name = message.pointer("/target/name")?.as_str()?;
    let path = message.get("executable")?.as_str()?;
    Some((name.to_owned(), PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_tells_where_binaries_are() {
        for (line, expected) in [
            (
                r#"{"reason":"compiler-artifact","target":{"name":"retrain","kind":["bin"]},"executable":"/t/debug/retrain"}"#,
                Some(("retrain".to_owned(), PathBuf::from("/t/debug/retrain"))),
            ),
            (
                r#"{"reason":"compiler-artifact","target":{"name":"retrain","kind":["lib"]},"executable":null}"#,
                None,
            ),
            (r#"{"reason":"build-finished","success":true}"#, None),
            ("", None),
            ("noise", None),
        ] {
            assert_eq!(executable(line), expected, "{line}");
        }
    }

    #[test]
    fn the_tools_and_the_workspace_are_found() {
        assert!(python().unwrap().is_absolute());
        check_git().unwrap();
        assert!(workspace().unwrap().join("Cargo.toml").is_file());
    }
}
