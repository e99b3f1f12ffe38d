//! What is pushed, in which order and by whom; and the pushing, by the git command line as a person does it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::process::Command;

/// The repository that a model starts with, below the workspace.
const REPOSITORY: &str = "infra/model-repository";
/// The story, below the workspace.
const STORY: &str = "infra/local/story";

/// One push of the story.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Push {
    /// Its number in the story.
    pub(crate) stop: u32,
    /// The folder that is laid over the repository.
    pub(crate) folder: String,
    /// `Name <address>`.
    pub(crate) author: String,
    /// The commit's message.
    pub(crate) message: String,
}

/// One request with the answer that it should get.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// A row of the data, as CSV.
    pub(crate) body: String,
    /// 1 for malignant, 0 for benign.
    pub(crate) label: i64,
}

/// The story as its folder has it.
#[derive(Debug)]
pub(crate) struct Story {
    workspace: PathBuf,
    pushes: Vec<Push>,
    /// The rows that the endpoint is asked about.
    pub(crate) requests: Vec<Request>,
}

impl Story {
    /// Reads the story.
    ///
    /// # Errors
    /// Where a file can't be read, or is not what it should be.
    pub(crate) fn load(workspace: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            workspace: workspace.to_owned(),
            pushes: json(&workspace.join(STORY).join("story.json"))?,
            requests: json(&workspace.join(STORY).join("requests.json"))?,
        })
    }

    /// The push of a stop.
    ///
    /// # Errors
    /// Where the story has none of that number.
    pub(crate) fn push(&self, stop: u32) -> anyhow::Result<&Push> {
        let push = self.pushes.iter().find(|push| push.stop == stop);
        push.with_context(|| format!("story.json has no stop {stop}"))
    }

    /// The folder of a push.
    pub(crate) fn folder(&self, push: &Push) -> PathBuf {
        self.workspace.join(STORY).join(&push.folder)
    }

    /// The repository that the story starts with, as a push by the one who makes the first change.
    ///
    /// # Errors
    /// Where the story has no push at all.
    pub(crate) fn first(&self) -> anyhow::Result<(Push, PathBuf)> {
        let author = &self.pushes.first().context("story.json is empty")?.author;
        let push = Push {
            stop: 1,
            folder: REPOSITORY.to_owned(),
            author: author.clone(),
            message: "The model repository as it starts".to_owned(),
        };
        Ok((push, self.workspace.join(REPOSITORY)))
    }

    /// The new data of stop 6, as so many files: names and content.
    ///
    /// # Errors
    /// Where it can't be read, or has fewer rows.
    pub(crate) fn new_data(&self, parts: usize) -> anyhow::Result<Vec<(String, String)>> {
        let path = self.workspace.join(STORY).join("6-new-data/part-0002.csv");
        let table = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let split = split("part-0002", &table, parts);
        split.with_context(|| format!("{} can't be made {parts} files", path.display()))
    }
}

/// A table as several, each with its heading, whose names and rows are in the table's order; nothing where it has fewer rows.
fn split(name: &str, table: &str, parts: usize) -> Option<Vec<(String, String)>> {
    let mut lines = table.lines();
    let heading = lines.next()?;
    let mut rows: Vec<&str> = lines.collect();
    let mut tables = Vec::new();
    for part in 0..parts {
        // The rows that are left, shared evenly among the parts that are left.
        let count = rows.len().div_ceil(parts - part);
        if count == 0 {
            return None;
        }
        let rest = rows.split_off(count.min(rows.len()));
        let content = std::iter::once(heading).chain(std::mem::replace(&mut rows, rest));
        let content: String = content.flat_map(|line| [line, "\n"]).collect();
        let width = parts.to_string().len();
        tables.push((format!("{name}-{:0width$}.csv", part + 1), content));
    }
    Some(tables)
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// A person's clone of the model's repository.
#[derive(Debug)]
pub(crate) struct Checkout {
    folder: tempfile::TempDir,
    branch: String,
}

impl Checkout {
    /// Clones the repository at `url`, which may be empty yet.
    ///
    /// # Errors
    /// What git says.
    pub(crate) async fn new(url: &str, branch: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("signalbox-clone-").tempdir()?;
        git(folder.path(), &["clone", "--quiet", url, "."], &[]).await?;
        // An empty repository has no branch that could be checked out.
        let head = format!("refs/heads/{branch}");
        git(folder.path(), &["symbolic-ref", "HEAD", &head], &[]).await?;
        let branch = branch.to_owned();
        Ok(Self { folder, branch })
    }

    /// Lays a folder over the clone, commits and pushes; returns the commit.
    ///
    /// # Errors
    /// What git says, or where the author is not `Name <address>`.
    pub(crate) async fn push(&self, from: &Path, push: &Push, now: Timestamp) -> anyhow::Result<String> {
        let (name, mail) = author(&push.author).with_context(|| format!("not `Name <address>`: {}", push.author))?;
        let here = self.folder.path();
        lay_over(from, here).with_context(|| format!("copying {}", from.display()))?;
        let date = format!("@{} +0000", now.as_second());
        let environment = [
            ("GIT_AUTHOR_NAME", name),
            ("GIT_AUTHOR_EMAIL", mail),
            ("GIT_AUTHOR_DATE", &date),
            ("GIT_COMMITTER_NAME", name),
            ("GIT_COMMITTER_EMAIL", mail),
            ("GIT_COMMITTER_DATE", &date),
        ];
        git(here, &["add", "--all"], &[]).await?;
        git(here, &["commit", "--quiet", "--message", &push.message], &environment).await?;
        let commit = git(here, &["rev-parse", "HEAD"], &[]).await?.trim().to_owned();
        let target = format!("HEAD:refs/heads/{}", self.branch);
        git(here, &["push", "--quiet", "origin", &target], &[]).await?;
        Ok(commit)
    }
}

/// `Name` and `address` of `Name <address>`.
fn author(text: &str) -> Option<(&str, &str)> {
    let (name, mail) = text.strip_suffix('>')?.split_once(" <")?;
    (!name.is_empty() && mail.contains('@')).then_some((name, mail))
}

/// Runs git without the settings of whoever is at the machine; returns what it wrote.
async fn git(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        // The repository is on this machine: a proxy would not find it.
        .env("no_proxy", "127.0.0.1")
        .env("NO_PROXY", "127.0.0.1")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    // Inside a hook or another git command these would lead git away from the folder.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let output = command.output().await.context("git could not be run")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("git {}: {}", arguments.first().unwrap_or(&""), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Copies the files of one folder into another, over what is there.
fn lay_over(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        // Left by a test run in the source folder.
        if entry.file_name() == "__pycache__" {
            continue;
        }
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            lay_over(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn a_table_is_split_evenly_and_in_order() {
        let table = "a,b\n1,1\n2,2\n3,3\n4,4\n";
        for (parts, expected) in [
            (1, Some(&["1,1\n2,2\n3,3\n4,4\n"][..])),
            (3, Some(&["1,1\n2,2\n", "3,3\n", "4,4\n"])),
            (4, Some(&["1,1\n", "2,2\n", "3,3\n", "4,4\n"])),
            (5, None),
        ] {
            let tables = split("part", table, parts);
            let expected = expected.map(|expected| -> Vec<(String, String)> {
                let tables = expected.iter().enumerate();
                tables
                    .map(|(part, rows)| (format!("part-{}.csv", part + 1), format!("a,b\n{rows}")))
                    .collect()
            });
            assert_eq!(tables, expected, "{parts}");
        }
        let tables = split("part", &format!("a\n{}", "1\n".repeat(20)), 12).unwrap();
        assert_eq!(
            (tables[0].0.as_str(), tables[11].0.as_str()),
            ("part-01.csv", "part-12.csv")
        );
        assert_eq!(split("part", "", 1), None);
    }

    #[test]
    fn the_story_is_complete() {
        let story = Story::load(&workspace()).unwrap();
        for stop in [2, 3, 4, 5, 7, 8] {
            let push = story.push(stop).unwrap();
            assert!(story.folder(push).is_dir(), "{}", push.folder);
            assert!(push.folder.starts_with(&format!("{stop}-")), "{}", push.folder);
            assert!(author(&push.author).is_some() && !push.message.is_empty(), "{push:?}");
        }
        assert!(story.push(6).is_err());
        assert!(story.first().unwrap().1.join("buildspec.yml").is_file());
        assert_eq!(story.new_data(3).unwrap().len(), 3);
        assert!(story.new_data(1000).is_err());
        assert!(story.requests.len() >= 20 && story.requests.iter().all(|request| [0, 1].contains(&request.label)));
        assert!(
            story
                .requests
                .iter()
                .all(|request| request.body.split(',').all(|field| field.parse::<f64>().is_ok()))
        );
    }

    #[test]
    fn authors() {
        for (text, expected) in [
            (
                "Ada Lindqvist <ada@example.com>",
                Some(("Ada Lindqvist", "ada@example.com")),
            ),
            ("<ada@example.com>", None),
            ("Ada", None),
            ("Ada <ada>", None),
        ] {
            assert_eq!(author(text), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_push_arrives_with_its_author() {
        let (bare, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        git(bare.path(), &["init", "--quiet", "--bare"], &[]).await.unwrap();
        fs::create_dir_all(from.path().join("a/__pycache__")).unwrap();
        fs::write(from.path().join("a/b.txt"), "one").unwrap();
        fs::write(from.path().join("a/__pycache__/c.pyc"), "no").unwrap();
        let clone = Checkout::new(bare.path().to_str().unwrap(), "main").await.unwrap();
        let push = |message: &str| Push {
            stop: 1,
            folder: String::new(),
            author: "Ada Lindqvist <ada@example.com>".to_owned(),
            message: message.to_owned(),
        };
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let first = clone.push(from.path(), &push("First"), now).await.unwrap();
        fs::write(from.path().join("a/b.txt"), "two").unwrap();
        let second = clone.push(from.path(), &push("Second"), now).await.unwrap();
        assert_ne!(first, second);
        let log = git(bare.path(), &["log", "--format=%H|%an <%ae>|%s|%at", "main"], &[])
            .await
            .unwrap();
        let line =
            |commit: &str, message: &str| format!("{commit}|Ada Lindqvist <ada@example.com>|{message}|1700000000\n");
        assert_eq!(log, line(&second, "Second") + &line(&first, "First"));
        let files = git(bare.path(), &["ls-tree", "-r", "--name-only", "main"], &[])
            .await
            .unwrap();
        assert_eq!(files, "a/b.txt\n");
        // Nothing changed: git refuses an empty commit, and says so.
        assert!(clone.push(from.path(), &push("Third"), now).await.is_err());
    }
}
