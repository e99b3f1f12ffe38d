//! CodeCommit's repositories: bare git repositories, served over smart HTTP by git itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cloud::{AUTHOR, InitialCode, MESSAGE, Push, PushedCommit};
use crate::jobs::archive;

/// The branch that git takes for the repository's own.
const HEAD: &str = "main";

/// How many commits of a push are taken with their files. Of those before them only their place in the history is.
const FILES_OF_COMMITS_MAX: usize = 200;

/// What a push changed.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// New commits.
    Commits {
        /// The repository's name.
        repository: String,
        /// The newest first.
        commits: Vec<PushedCommit>,
    },
    /// A branch points to another commit, or is new.
    Push(Push),
    /// A branch is no longer there.
    Delete {
        /// The repository's name.
        repository: String,
        /// The branch's name.
        branch: String,
    },
}

/// The repositories.
#[derive(Debug)]
pub(crate) struct Repositories {
    folder: PathBuf,
    /// By name. Held while something is pushed, so that what a push changed can be told.
    known: BTreeMap<String, tokio::sync::Mutex<()>>,
}

impl Repositories {
    /// Makes the repositories that aren't there yet, empty.
    pub(crate) async fn open(folder: PathBuf, names: Vec<String>) -> anyhow::Result<Self> {
        let head = format!("--initial-branch={HEAD}");
        for name in &names {
            // CodeCommit's own rule for names keeps them within the folder.
            let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if !fits || name.starts_with('.') {
                bail!("{name} is no name for a repository");
            }
            let path = folder.join(name);
            if !path.join("HEAD").is_file() {
                std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
                // Without a template there are no hooks.
                run(&path, &["init", "--quiet", "--bare", &head, "--template=", "."]).await?;
            }
        }
        let known = names
            .into_iter()
            .map(|name| (name, tokio::sync::Mutex::default()))
            .collect();
        Ok(Self { folder, known })
    }

    /// Puts the files of a zip into a repository that has no branch yet, as the one commit of this one, and gives what the branch then
    /// begins with: the commit, or that which was there before.
    pub(crate) async fn begin(&self, name: &str, branch: &str, zip: &[u8]) -> anyhow::Result<InitialCode> {
        let before = self.branches(name).await?;
        let tip = match before.get(branch) {
            Some(tip) => tip.clone(),
            None if !before.is_empty() => return Ok(InitialCode::Kept),
            None => self.first_commit(name, branch, zip).await?,
        };
        let about = self.about(name, &["--max-count=1", &tip]).await?;
        let mut commit = about
            .into_iter()
            .next()
            .with_context(|| format!("git does not know {tip}, which {branch} points to"))?;
        commit.zip = Some(self.archive(name, &tip).await?);
        Ok(InitialCode::Commit(commit))
    }

    async fn first_commit(&self, name: &str, branch: &str, zip: &[u8]) -> anyhow::Result<String> {
        let files = tempfile::tempdir().context("cannot make a temporary folder")?;
        archive::unzip(zip, files.path()).context("cannot unpack the code of the repository")?;
        let repository = format!("--git-dir={}", std::path::absolute(self.folder.join(name))?.display());
        let run = async |arguments: &[&str]| -> anyhow::Result<String> {
            let arguments = [&[repository.as_str(), "--work-tree=."], arguments].concat();
            let said = run(files.path(), &arguments).await?;
            Ok(String::from_utf8_lossy(&said).trim().to_owned())
        };
        // All that is in the archive is committed, whatever a .gitignore in it says.
        run(&["add", "--all", "--force", "."]).await?;
        let tree = run(&["write-tree"]).await?;
        let commit = run(&["commit-tree", "-m", MESSAGE, &tree]).await?;
        let reference = format!("refs/heads/{branch}");
        run(&["update-ref", &reference, &commit]).await?;
        run(&["symbolic-ref", "HEAD", &reference]).await?;
        Ok(commit)
    }

    /// The branches that are there, as if each had been pushed just now.
    pub(crate) async fn standing(&self) -> anyhow::Result<Vec<Change>> {
        let mut changes = Vec::new();
        for name in self.known.keys() {
            changes.extend(self.changes(name, &BTreeMap::new()).await?);
        }
        Ok(changes)
    }

    /// Answers a request for `/NAME/…`, and tells what it changed.
    pub(crate) async fn answer(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> (Response<Bytes>, Vec<Change>) {
        let (first, service) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
        let name = first.strip_suffix(".git").unwrap_or(first);
        let Some(turn) = self.known.get(name) else {
            return (
                plain(StatusCode::NOT_FOUND, &format!("there is no repository {name}\n")),
                Vec::new(),
            );
        };
        let is_push = service == "git-receive-pack";
        let result = async {
            let _turn = match is_push {
                true => Some(turn.lock().await),
                false => None,
            };
            let before = if is_push {
                self.branches(name).await?
            } else {
                BTreeMap::new()
            };
            let response = self
                .backend(method, &format!("/{name}/{service}"), query, headers, body)
                .await?;
            let changes = if is_push {
                self.changes(name, &before).await?
            } else {
                Vec::new()
            };
            anyhow::Ok((response, changes))
        };
        match result.await {
            Ok(answer) => answer,
            Err(error) => (
                plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}\n")),
                Vec::new(),
            ),
        }
    }

    /// One request by git's own CGI program.
    async fn backend(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<Response<Bytes>> {
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let mut command = git();
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.folder)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", method.as_str())
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", header(CONTENT_TYPE.as_str()))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header(CONTENT_ENCODING.as_str()))
            .env("GIT_PROTOCOL", header("git-protocol"))
            .env("REMOTE_USER", "local")
            .env("REMOTE_ADDR", "127.0.0.1")
            // What stands in the reflog; the commits keep their own.
            .env("GIT_COMMITTER_NAME", "local")
            .env("GIT_COMMITTER_EMAIL", "local@127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run git http-backend")?;
        let stdin = child.stdin.take();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A backend that does not read to the end has answered nevertheless.
                let _ = stdin.write_all(&body).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        let output = output?;
        let response = cgi(Bytes::from(output.stdout));
        response.with_context(|| format!("git http-backend: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// The branches' tips.
    async fn branches(&self, name: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let format = "--format=%(objectname) %(refname:lstrip=2)";
        let text = run(&self.folder.join(name), &["for-each-ref", format, "refs/heads"]).await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        Ok(lines
            .map(|(commit, branch)| (branch.to_owned(), commit.to_owned()))
            .collect())
    }

    /// What has been pushed since the branches were as before.
    async fn changes(&self, name: &str, before: &BTreeMap<String, String>) -> anyhow::Result<Vec<Change>> {
        let after = self.branches(name).await?;
        let mut changes = Vec::new();
        let mut moved: Vec<(&String, &String)> = after
            .iter()
            .filter(|(branch, commit)| before.get(*branch) != Some(*commit))
            .collect();
        // CodeCommit's default branch is the first that is pushed: of several at once it must be git's own.
        moved.sort_by_key(|(branch, _)| *branch != HEAD);
        if !moved.is_empty() {
            let tips: Vec<&str> = moved.iter().map(|(_, commit)| commit.as_str()).collect();
            let known: Vec<&str> = before.values().map(String::as_str).collect();
            let commits = self.commits(name, &tips, &known).await?;
            changes.push(Change::Commits {
                repository: name.to_owned(),
                commits,
            });
        }
        for (branch, commit) in moved {
            let [about] = self
                .about(name, &["--max-count=1", commit])
                .await?
                .try_into()
                .map_err(|_| anyhow::anyhow!("git does not know {commit}, which {branch} points to"))?;
            changes.push(Change::Push(Push {
                repository: name.to_owned(),
                branch: branch.clone(),
                commit: about.commit,
                parent: about.parents.into_iter().next(),
                author: about.author,
                message: about.message,
                zip: self.archive(name, commit).await?,
            }));
        }
        let deleted = before.keys().filter(|branch| !after.contains_key(*branch));
        changes.extend(deleted.map(|branch| Change::Delete {
            repository: name.to_owned(),
            branch: branch.clone(),
        }));
        Ok(changes)
    }

    /// The commits that the new tips bring along, the newest first, with the files of as many as are kept.
    async fn commits(&self, name: &str, tips: &[&str], known: &[&str]) -> anyhow::Result<Vec<PushedCommit>> {
        let arguments = [&["--topo-order"], tips, &["--not"], known].concat();
        let mut commits = self.about(name, &arguments).await?;
        for commit in commits.iter_mut().take(FILES_OF_COMMITS_MAX) {
            commit.zip = Some(self.archive(name, &commit.commit).await?);
        }
        Ok(commits)
    }

    /// What git's log says of commits; without their files.
    async fn about(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Vec<PushedCommit>> {
        let mut log = vec!["log", "--format=%H%x00%P%x00%an <%ae>%x00%s"];
        log.extend(arguments);
        let text = run(&self.folder.join(name), &log).await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let read = |line: &str| {
            let mut parts = line.splitn(4, '\0').map(str::to_owned);
            Some(PushedCommit {
                commit: parts.next()?,
                parents: parts.next()?.split_whitespace().map(str::to_owned).collect(),
                author: parts.next()?,
                message: parts.next()?,
                zip: None,
            })
        };
        Ok(text.lines().filter_map(read).collect())
    }

    async fn archive(&self, name: &str, commit: &str) -> anyhow::Result<Bytes> {
        let zip = run(&self.folder.join(name), &["archive", "--format=zip", commit]).await?;
        Ok(Bytes::from(zip))
    }

    /// Moves a branch, if it still points to where it did.
    pub(crate) async fn move_branch(&self, name: &str, branch: &str, from: &str, to: &str) -> anyhow::Result<()> {
        let turn = self
            .known
            .get(name)
            .with_context(|| format!("there is no repository {name}"))?;
        let _turn = turn.lock().await;
        let reference = format!("refs/heads/{branch}");
        run(&self.folder.join(name), &["update-ref", &reference, to, from]).await?;
        Ok(())
    }
}

/// Git with nothing of its user's configuration: what this cloud does must not depend on it.
fn git() -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
        .env("HOME", "/nonexistent")
        .env("LANG", "C.UTF-8")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        // The folder may belong to someone else: a mounted one does in a container.
        .env("GIT_CONFIG_COUNT", "3")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("GIT_CONFIG_KEY_1", "http.receivepack")
        .env("GIT_CONFIG_VALUE_1", "true")
        // No housekeeping in the background, which would outlive the request.
        .env("GIT_CONFIG_KEY_2", "gc.auto")
        .env("GIT_CONFIG_VALUE_2", "0")
        // Who makes the commit that a repository is created with; all others bring their own.
        .env("GIT_AUTHOR_NAME", AUTHOR.0)
        .env("GIT_AUTHOR_EMAIL", AUTHOR.1)
        .env("GIT_COMMITTER_NAME", AUTHOR.0)
        .env("GIT_COMMITTER_EMAIL", AUTHOR.1)
        .process_group(0)
        .kill_on_drop(true);
    command
}

async fn run(folder: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = git()
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run git")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "git {}: {}",
            arguments.first().copied().unwrap_or_default(),
            said.trim()
        );
    }
    Ok(output.stdout)
}

/// A CGI program's answer.
fn cgi(output: Bytes) -> anyhow::Result<Response<Bytes>> {
    let (at, length) = [&b"\r\n\r\n"[..], b"\n\n"]
        .iter()
        .filter_map(|end| {
            output
                .windows(end.len())
                .position(|window| window == *end)
                .map(|at| (at, end.len()))
        })
        .min()
        .context("the answer has no head")?;
    let head = String::from_utf8_lossy(output.get(..at).unwrap_or_default()).into_owned();
    let mut response = Response::new(output.slice(at + length..));
    for line in head.lines() {
        let Some((name, value)) = line.split_once(':') else {
            bail!("the answer has a head line without a colon");
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            *response.status_mut() = code.parse().context("the answer has no usable status")?;
        } else {
            response
                .headers_mut()
                .append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
    }
    Ok(response)
}

fn plain(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text.to_owned()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::jobs::archive;

    async fn client(folder: &Path, arguments: &[&str]) -> bool {
        let output = git()
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_AUTHOR_EMAIL", "ada@example.com")
            .env("GIT_COMMITTER_NAME", "Ada")
            .env("GIT_COMMITTER_EMAIL", "ada@example.com")
            .env("GIT_TERMINAL_PROMPT", "0")
            .args(arguments)
            .current_dir(folder)
            .output()
            .await
            .unwrap();
        println!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.status.success()
    }

    #[tokio::test]
    async fn a_push_arrives_once_with_its_tree_and_can_be_cloned() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path().join("git"), vec!["m".to_owned()])
            .await
            .unwrap();
        let repositories = Arc::new(repositories);
        let pushed = Arc::new(Mutex::new(Vec::new()));
        let (serving, seen) = (Arc::clone(&repositories), Arc::clone(&pushed));
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let (repositories, seen) = (Arc::clone(&serving), Arc::clone(&seen));
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let query = head.uri.query().unwrap_or_default();
                let (response, changes) = repositories
                    .answer(&head.method, head.uri.path(), query, &head.headers, body)
                    .await;
                seen.lock().unwrap().extend(changes);
                response.map(axum::body::Body::from)
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });

        let work = folder.path().join("work");
        std::fs::create_dir(&work).unwrap();
        let remote = format!("http://{address}/m");
        assert!(client(&work, &["init", "-q", "-b", "main"]).await);
        // Large enough that git compresses and chunks what it sends.
        let noise: String = (0..200_000_u64)
            .map(|n| format!("{}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        std::fs::write(work.join("train.py"), &noise).unwrap();
        assert!(client(&work, &["add", "."]).await);
        assert!(client(&work, &["commit", "-q", "-m", "First\n\nWith more."]).await);
        assert!(client(&work, &["push", "-q", &remote, "main", "main:a"]).await);
        assert!(client(&work, &["push", "-q", &remote, "main"]).await, "nothing new");
        assert!(client(&work, &["commit", "-q", "--allow-empty", "-m", "Between"]).await);
        assert!(client(&work, &["commit", "-q", "--allow-empty", "-m", "Second"]).await);
        assert!(client(&work, &["push", "-q", &remote, "main", "main:topic/x"]).await);
        assert!(
            client(&work, &["push", "-q", &remote, ":topic/x"]).await,
            "a branch is deleted"
        );

        let changes = pushed.lock().unwrap().clone();
        let mut pushes = Vec::new();
        let mut told = Vec::new();
        for change in &changes {
            told.push(match change {
                Change::Commits { commits, .. } => {
                    assert!(commits.iter().all(|commit| commit.zip.is_some()));
                    let about = commits
                        .iter()
                        .map(|commit| (commit.message.as_str(), commit.parents.len()));
                    format!("{:?}", about.collect::<Vec<_>>())
                }
                Change::Push(push) => {
                    pushes.push(push.clone());
                    format!("{} {}", push.branch, push.message)
                }
                Change::Delete { branch, .. } => format!("{branch} deleted"),
            });
        }
        assert_eq!(
            told,
            [
                "[(\"First\", 0)]",
                "main First",
                "a First",
                "[(\"Second\", 1), (\"Between\", 1)]",
                "main Second",
                "topic/x Second",
                "topic/x deleted"
            ]
        );
        pushes.retain(|push| push.branch != "a");
        let Change::Commits { commits, .. } = &changes[3] else {
            panic!("{:?}", changes[3]);
        };
        assert_eq!(
            (&commits[0].parents[0], &commits[1].parents[0]),
            (&commits[1].commit, &pushes[0].commit)
        );
        assert_eq!(pushes[1].parent.as_ref(), Some(&commits[1].commit), "git's own parent");

        // A merge moves a branch, if nobody else has.
        let (first, second) = (&pushes[0].commit, &pushes[1].commit);
        assert!(repositories.move_branch("m", "main", first, second).await.is_err());
        assert_eq!(&repositories.branches("m").await.unwrap()["main"], second);
        repositories.move_branch("m", "main", second, first).await.unwrap();
        assert_eq!(&repositories.branches("m").await.unwrap()["main"], first);
        repositories.move_branch("m", "main", first, second).await.unwrap();
        assert_eq!(
            (pushes[0].author.as_str(), pushes[0].repository.as_str()),
            ("Ada <ada@example.com>", "m")
        );
        let tree = tempfile::tempdir().unwrap();
        archive::unzip(&pushes[0].zip, tree.path()).unwrap();
        assert_eq!(std::fs::read_to_string(tree.path().join("train.py")).unwrap(), noise);

        assert!(client(folder.path(), &["clone", "-q", &format!("{remote}.git"), "clone"]).await);
        assert!(folder.path().join("clone/train.py").is_file());
        for other in ["n", "../git/m", ""] {
            assert!(
                !client(folder.path(), &["ls-remote", &format!("http://{address}/{other}")]).await,
                "{other}"
            );
        }
        let again = Repositories::open(folder.path().join("git"), vec!["m".to_owned()])
            .await
            .unwrap();
        let standing = again.standing().await.unwrap();
        let [Change::Commits { commits, .. }, Change::Push(kept), Change::Push(other)] = standing.as_slice() else {
            panic!("{standing:?}");
        };
        assert_eq!((commits.len(), &kept.commit), (3, &pushes[1].commit), "kept");
        assert_eq!(
            (kept.branch.as_str(), other.branch.as_str()),
            ("main", "a"),
            "git's own branch is the first"
        );
        for name in ["", "../x", "a/b", ".git"] {
            assert!(
                Repositories::open(folder.path().join("git"), vec![name.to_owned()])
                    .await
                    .is_err(),
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn a_repository_begins_with_one_commit_and_keeps_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let sample = folder.path().join("sample");
        std::fs::create_dir_all(sample.join("data")).unwrap();
        for (name, text) in [(".gitignore", "data/\n"), ("train.py", "1\n"), ("data/a.csv", "1,2\n")] {
            std::fs::write(sample.join(name), text).unwrap();
        }
        let names: Vec<(String, String)> = archive::files(&sample)
            .unwrap()
            .into_iter()
            .map(|name| (name.clone(), name))
            .collect();
        let zip = archive::zip(&sample, &names).unwrap();
        let open = async || {
            Repositories::open(folder.path().join("git"), vec!["m".to_owned()])
                .await
                .unwrap()
        };
        let repositories = open().await;
        let InitialCode::Commit(first) = repositories.begin("m", "trunk", &zip).await.unwrap() else {
            panic!("it is empty");
        };
        assert_eq!(
            (first.author.as_str(), first.message.as_str(), first.parents.len()),
            ("AWS CodeCommit <noreply-awscodecommit@amazon.com>", "Initial commit", 0)
        );
        let tree = tempfile::tempdir().unwrap();
        archive::unzip(first.zip.as_ref().unwrap(), tree.path()).unwrap();
        assert_eq!(
            archive::files(tree.path()).unwrap(),
            [".gitignore", "data/a.csv", "train.py"],
            "whatever is ignored"
        );
        // A clone has the branch, and the next run begins with what is there.
        let path = folder.path().join("git/m");
        assert!(client(folder.path(), &["clone", "-q", path.to_str().unwrap(), "clone"]).await);
        assert!(folder.path().join("clone/train.py").is_file());
        let again = open().await;
        let standing = again.standing().await.unwrap();
        assert!(matches!(standing.as_slice(), [_, Change::Push(push)] if push.commit == first.commit));
        let InitialCode::Commit(kept) = again.begin("m", "trunk", &zip).await.unwrap() else {
            panic!("it has the branch");
        };
        assert_eq!(kept.commit, first.commit);
        assert!(matches!(
            again.begin("m", "main", &zip).await.unwrap(),
            InitialCode::Kept
        ));
    }

    #[test]
    fn cgi_answers_are_read() {
        for (output, expected) in [
            ("Status: 404 Not Found\r\nA: b\r\n\r\nno", Some((404, "no"))),
            ("A: b\n\nyes\r\n\r\n", Some((200, "yes\r\n\r\n"))),
            ("nonsense", None),
            ("nonsense\n\n", None),
            ("Status: x\n\n", None),
        ] {
            let read = cgi(Bytes::from(output)).ok();
            let read = read.map(|response| {
                (
                    response.status().as_u16(),
                    String::from_utf8_lossy(response.body()).into_owned(),
                )
            });
            assert_eq!(
                read,
                expected.map(|(status, body)| (status, body.to_owned())),
                "{output:?}"
            );
        }
    }
}
