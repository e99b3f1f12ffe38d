//! CodeCommit: repositories, their branches, the commits that were pushed, and pull requests.
//!
//! [`initial`] is what a repository is created with, [`history`] what commits have to do with each other, [`differences`] what their files have; [`pull_requests`] and [`comments`]
//! are what people and functions say of a branch; [`api`] answers the calls; [`tell`] puts events.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::iam::identity;
use super::{ApiError, Caller, Cloud};
use crate::template::{Resource, TemplateError};

mod api;
mod comments;
mod differences;
mod history;
mod initial;
mod pull_requests;
mod tell;
#[cfg(test)]
mod tests;

pub(crate) use self::api::call;
pub use self::initial::InitialCode;
pub(crate) use self::initial::{AUTHOR, MESSAGE, local_code};
use self::pull_requests::PullRequest;
pub(crate) use self::pull_requests::repository_of;

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    repositories: BTreeMap<String, Repository>,
    /// By number: the ids of pull requests are the account's, not the repository's.
    pull_requests: BTreeMap<u64, PullRequest>,
    /// What was asked under each client request token.
    asked: BTreeMap<String, Asked>,
    /// What the template's repositories begin with, until they are made.
    pub(super) initial: BTreeMap<String, InitialCode>,
}

/// One call that had a client request token.
#[derive(Debug)]
struct Asked {
    caller: String,
    operation: &'static str,
    input: Value,
    /// The id of what was made.
    made: String,
}

/// A push of one branch of a repository.
#[derive(Debug, Clone)]
pub struct Push {
    /// The repository's name.
    pub repository: String,
    /// The branch's name, without `refs/heads/`.
    pub branch: String,
    /// The commit that the branch then points to.
    pub commit: String,
    /// The commit before it, if it has one.
    pub parent: Option<String>,
    /// Who made the commit: a name, or `name <address>`.
    pub author: String,
    /// The commit's message.
    pub message: String,
    /// The files at the commit, as a zip.
    pub zip: Bytes,
}

/// A commit that comes with a push: the tip of a branch, or one before it.
#[derive(Debug, Clone)]
pub struct PushedCommit {
    /// Its id.
    pub commit: String,
    /// The commits before it: none for the first, two for a merge.
    pub parents: Vec<String>,
    /// Who made it: a name, or `name <address>`.
    pub author: String,
    /// Its message.
    pub message: String,
    /// Its files, as a zip; none where only its place in the history is known.
    pub zip: Option<Bytes>,
}

/// A commit that was pushed.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    /// Its id.
    pub(crate) id: String,
    parents: Vec<String>,
    author: String,
    /// Its message.
    pub(crate) message: String,
    /// When it was pushed, which stands for when it was made.
    pub(crate) date: Timestamp,
    /// The files, as a zip; none where only its place in the history is known.
    pub(crate) zip: Option<Bytes>,
}

#[derive(Debug)]
struct Repository {
    name: String,
    id: String,
    arn: String,
    clone_url: Option<String>,
    description: Option<String>,
    created: Timestamp,
    modified: Timestamp,
    /// The first branch that was pushed.
    default_branch: Option<String>,
    /// The tip of each branch.
    branches: BTreeMap<String, String>,
    commits: BTreeMap<String, Commit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Properties {
    repository_name: String,
    repository_description: Option<String>,
    #[serde(rename = "Code")]
    _code: Option<initial::Properties>,
    // Nothing is encrypted, and what CodeCommit asks of the key in its callers' names is not asked: see the README.
    #[serde(rename = "KmsKeyId")]
    _kms_key_id: Option<String>,
    // Tags change nothing here.
    #[serde(default, rename = "Tags")]
    _tags: Value,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    if resource.kind != "AWS::CodeCommit::Repository" {
        return Err(resource.unsupported("this resource type"));
    }
    let properties: Properties = resource.read()?;
    let name = properties.repository_name;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 100 || !name.chars().all(allowed) {
        return Err(resource.wrong(format!(
            "RepositoryName `{name}` is not 1 to 100 of letters, digits, `.`, `_` and `-`"
        )));
    }
    if cloud.codecommit.repositories.contains_key(&name) {
        return Err(resource.wrong(format!("there are two repositories `{name}`")));
    }
    let repository = Repository {
        id: resource.physical_id.clone(),
        arn: cloud.arn("codecommit", &name),
        clone_url: resource.attributes.get("CloneUrlHttp").cloned(),
        description: properties.repository_description,
        created: cloud.now,
        modified: cloud.now,
        default_branch: None,
        branches: BTreeMap::new(),
        commits: BTreeMap::new(),
        name: name.clone(),
    };
    cloud.codecommit.repositories.insert(name.clone(), repository);
    initial::begin(cloud, resource, &name)
}

impl Cloud {
    /// Takes commits that come with a push, before the push itself. Those that are there already stay as they are.
    ///
    /// # Errors
    /// `RepositoryDoesNotExistException`, `InvalidCommitIdException`.
    pub fn add_commits(&mut self, repository: &str, commits: Vec<PushedCommit>) -> Result<(), ApiError> {
        let now = self.now;
        let found = self.codecommit.repositories.get_mut(repository);
        let found = found.ok_or_else(|| no_repository(repository))?;
        if let Some(commit) = commits.iter().find(|commit| !is_commit_id(&commit.commit)) {
            return Err(invalid_commit_id(&commit.commit));
        }
        for commit in commits {
            let id = commit.commit;
            let known = found.commits.entry(id.clone()).or_insert(Commit {
                id,
                parents: commit.parents,
                author: commit.author,
                message: commit.message,
                date: now,
                zip: None,
            });
            known.zip = known.zip.take().or(commit.zip);
        }
        Ok(())
    }

    /// Takes a push: the branch then points to the commit, and EventBridge is told. A push of what the branch already points to
    /// changes nothing.
    ///
    /// # Errors
    /// `RepositoryDoesNotExistException`, `InvalidBranchNameException`, `InvalidCommitIdException`.
    pub fn push(&mut self, push: Push) -> Result<(), ApiError> {
        let repository = self.codecommit.repositories.get(&push.repository);
        let repository = repository.ok_or_else(|| no_repository(&push.repository))?;
        if push.branch.is_empty() || push.branch.len() > 256 || push.branch.starts_with("refs/") {
            return Err(ApiError::new(
                "InvalidBranchNameException",
                format!("The branch name {} is not valid.", push.branch),
            ));
        }
        if !is_commit_id(&push.commit) {
            return Err(invalid_commit_id(&push.commit));
        }
        if repository.branches.get(&push.branch) == Some(&push.commit) {
            return Ok(());
        }
        let is_default = repository
            .default_branch
            .as_ref()
            .is_none_or(|default| *default == push.branch);
        let noted = json!({
            "branch": push.branch, "commit": push.commit, "author": push.author, "message": push.message, "default": is_default,
        });
        let commit = PushedCommit {
            commit: push.commit.clone(),
            parents: push.parent.into_iter().collect(),
            author: push.author,
            message: push.message,
            zip: Some(push.zip),
        };
        self.add_commits(&push.repository, vec![commit])?;
        self.note("codecommit", &push.repository, "pushed", noted);
        let caller = identity(self, &Caller::Administrator).0;
        move_branch(self, &push.repository, &push.branch, Some(push.commit), &caller, None);
        Ok(())
    }

    /// Takes the push that deletes a branch, and EventBridge is told. A branch that is not there is deleted already.
    ///
    /// # Errors
    /// `RepositoryDoesNotExistException`; `DefaultBranchCannotBeDeletedException`.
    pub fn delete_branch(&mut self, repository: &str, branch: &str) -> Result<(), ApiError> {
        let found = self.codecommit.repositories.get(repository);
        let found = found.ok_or_else(|| no_repository(repository))?;
        if !found.branches.contains_key(branch) {
            return Ok(());
        }
        if found.default_branch.as_deref() == Some(branch) {
            return Err(ApiError::new(
                "DefaultBranchCannotBeDeletedException",
                "The specified branch is the default branch for the repository, and cannot be deleted.",
            ));
        }
        self.note("codecommit", repository, "branch-deleted", json!({ "branch": branch }));
        let caller = identity(self, &Caller::Administrator).0;
        move_branch(self, repository, branch, None, &caller, None);
        Ok(())
    }
}

/// Makes a branch point to another commit, or to none; EventBridge is told, and the pull requests of the branch follow. `merged` is
/// the commit that both branches of a pull request had, where its merge moves the branch.
fn move_branch(
    cloud: &mut Cloud,
    repository: &str,
    branch: &str,
    to: Option<String>,
    caller: &str,
    merged: Option<&str>,
) {
    let now = cloud.now;
    let Some(found) = cloud.codecommit.repositories.get_mut(repository) else {
        return;
    };
    let before = match &to {
        Some(commit) => found.branches.insert(branch.to_owned(), commit.clone()),
        None => found.branches.remove(branch),
    };
    if to.is_some() {
        found.default_branch.get_or_insert_with(|| branch.to_owned());
    }
    found.modified = now;
    tell::reference_changed(cloud, repository, branch, before.as_deref(), to.as_deref(), merged);
    pull_requests::branch_moved(cloud, repository, branch, to.as_deref(), caller);
}

/// The id of what was made by the same call with the same client request token, if there was one.
///
/// # Errors
/// `IdempotencyParameterMismatchException` where the call with the token was another.
fn asked_before(
    cloud: &Cloud,
    caller: &str,
    operation: &'static str,
    input: &Value,
) -> Result<Option<String>, ApiError> {
    let token = input.get("clientRequestToken").and_then(Value::as_str);
    let Some(asked) = token.and_then(|token| cloud.codecommit.asked.get(token)) else {
        return Ok(None);
    };
    if asked.caller == caller && asked.operation == operation && &asked.input == input {
        return Ok(Some(asked.made.clone()));
    }
    Err(ApiError::new(
        "IdempotencyParameterMismatchException",
        "The client request token is not valid. Either the token is not in a valid format, or the token has been used in a previous \
         request and cannot be reused.",
    ))
}

/// Keeps what was made, if the call has a client request token.
fn remember(cloud: &mut Cloud, caller: &str, operation: &'static str, input: &Value, made: String) {
    if let Some(token) = input.get("clientRequestToken").and_then(Value::as_str) {
        let asked = Asked {
            caller: caller.to_owned(),
            operation,
            input: input.clone(),
            made,
        };
        cloud.codecommit.asked.insert(token.to_owned(), asked);
    }
}

fn is_commit_id(id: &str) -> bool {
    !id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit())
}

fn invalid_commit_id(id: &str) -> ApiError {
    ApiError::new("InvalidCommitIdException", format!("The commit ID {id} is not valid."))
}

/// The commit that a branch points to.
///
/// # Errors
/// `RepositoryDoesNotExistException`, `BranchDoesNotExistException`.
pub(crate) fn tip<'a>(cloud: &'a Cloud, repository: &str, branch: &str) -> Result<&'a Commit, ApiError> {
    let found = cloud
        .codecommit
        .repositories
        .get(repository)
        .ok_or_else(|| no_repository(repository))?;
    let commit = found.branches.get(branch).and_then(|id| found.commits.get(id));
    commit.ok_or_else(|| {
        ApiError::new(
            "BranchDoesNotExistException",
            format!("Branch {branch} does not exist in the repository {repository}"),
        )
    })
}

/// A commit of a repository.
///
/// # Errors
/// `RepositoryDoesNotExistException`, `CommitIdDoesNotExistException`.
pub(crate) fn commit<'a>(cloud: &'a Cloud, repository: &str, id: &str) -> Result<&'a Commit, ApiError> {
    let found = cloud
        .codecommit
        .repositories
        .get(repository)
        .ok_or_else(|| no_repository(repository))?;
    found.commits.get(id).ok_or_else(|| {
        ApiError::new(
            "CommitIdDoesNotExistException",
            format!("The specified commit ID does not exist: {id}"),
        )
    })
}

/// The commit that git checks out of a clone: a commit's id, a branch, `refs/heads/BRANCH`, or that with `^{COMMIT}` behind it, as
/// [CodeBuild](https://docs.aws.amazon.com/codebuild/latest/userguide/sample-source-version.html) has them; the default branch
/// where nothing is said. The error is what git says.
pub(crate) fn checkout<'a>(
    cloud: &'a Cloud,
    clone_url: &str,
    version: Option<&str>,
) -> Result<&'a Commit, &'static str> {
    let mut repositories = cloud.codecommit.repositories.values();
    let repository = repositories
        .find(|repository| repository.clone_url.as_deref() == Some(clone_url))
        .ok_or("repository not found")?;
    let wanted = version.unwrap_or("HEAD");
    let wanted = match wanted.strip_suffix('}').and_then(|version| version.split_once("^{")) {
        Some((_, commit)) => commit,
        None => wanted,
    };
    let is_commit = wanted.len() == 40 && is_commit_id(wanted);
    let missing = if is_commit {
        "object not found"
    } else {
        "reference not found"
    };
    repository
        .find(wanted)
        .filter(|commit| commit.zip.is_some())
        .ok_or(missing)
}

impl Repository {
    /// The commit that a specifier names: `HEAD`, a branch, `refs/heads/BRANCH`, or a commit's id.
    fn find(&self, specifier: &str) -> Option<&Commit> {
        let branch = match specifier {
            "HEAD" => self.default_branch.as_deref()?,
            _ => branch_of(specifier),
        };
        let tip = self.branches.get(branch).and_then(|id| self.commits.get(id));
        tip.or_else(|| self.commits.get(specifier))
    }
}

/// The branch that a reference names.
fn branch_of(reference: &str) -> &str {
    reference.strip_prefix("refs/heads/").unwrap_or(reference)
}

fn no_repository(name: &str) -> ApiError {
    ApiError::new("RepositoryDoesNotExistException", format!("{name} does not exist"))
}

/// A timestamp, as the JSON protocols write it.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of our time fit")]
pub(crate) fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}
