//! CodeCommit: repositories, their branches and the commits that were pushed.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Cloud, events};
use crate::template::{Resource, TemplateError};

mod api;

pub(crate) use self::api::call;

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    repositories: BTreeMap<String, Repository>,
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

/// A commit that was pushed.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    /// Its id.
    pub(crate) id: String,
    parent: Option<String>,
    author: String,
    /// Its message.
    pub(crate) message: String,
    /// When it was pushed, which stands for when it was made.
    pub(crate) date: Timestamp,
    /// The files, as a zip.
    pub(crate) zip: Bytes,
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
    cloud.codecommit.repositories.insert(name, repository);
    Ok(())
}

impl Cloud {
    /// Takes a push: the branch then points to the commit, and EventBridge is told. A push of what the branch already points to
    /// changes nothing.
    ///
    /// # Errors
    /// `RepositoryDoesNotExistException`, `InvalidBranchNameException`, `InvalidCommitIdException`.
    pub fn push(&mut self, push: Push) -> Result<(), ApiError> {
        let now = self.now;
        let repository = self
            .codecommit
            .repositories
            .get_mut(&push.repository)
            .ok_or_else(|| no_repository(&push.repository))?;
        if push.branch.is_empty() || push.branch.len() > 256 || push.branch.starts_with("refs/") {
            return Err(ApiError::new(
                "InvalidBranchNameException",
                format!("The branch name {} is not valid.", push.branch),
            ));
        }
        if push.commit.is_empty() || !push.commit.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(ApiError::new(
                "InvalidCommitIdException",
                format!("The commit ID {} is not valid.", push.commit),
            ));
        }
        let before = repository.branches.insert(push.branch.clone(), push.commit.clone());
        if before.as_ref() == Some(&push.commit) {
            return Ok(());
        }
        repository.default_branch.get_or_insert_with(|| push.branch.clone());
        repository.modified = now;
        let mut detail = json!({
            "event": if before.is_some() { "referenceUpdated" } else { "referenceCreated" },
            "repositoryName": repository.name,
            "repositoryId": repository.id,
            "referenceType": "branch",
            "referenceName": push.branch,
            "referenceFullName": format!("refs/heads/{}", push.branch),
            "commitId": push.commit,
        });
        if let (Some(before), Some(detail)) = (before, detail.as_object_mut()) {
            detail.insert("oldCommitId".into(), before.into());
        }
        let arn = repository.arn.clone();
        let noted = json!({
            "branch": push.branch, "commit": push.commit, "author": push.author, "message": push.message,
        });
        let commit = Commit {
            id: push.commit.clone(),
            parent: push.parent,
            author: push.author,
            message: push.message,
            date: now,
            zip: push.zip,
        };
        repository.commits.insert(push.commit, commit);
        self.note("codecommit", &push.repository, "pushed", noted);
        events::put(
            self,
            "aws.codecommit",
            "CodeCommit Repository State Change",
            vec![arn],
            detail,
        );
        Ok(())
    }
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
    let tip = |branch: &str| {
        repository
            .branches
            .get(branch)
            .and_then(|id| repository.commits.get(id))
    };
    let Some(version) = version else {
        return repository
            .default_branch
            .as_deref()
            .and_then(tip)
            .ok_or("reference not found");
    };
    if let Some((_, commit)) = version.strip_suffix('}').and_then(|version| version.split_once("^{")) {
        return repository.commits.get(commit).ok_or("object not found");
    }
    let branch = version.strip_prefix("refs/heads/").unwrap_or(version);
    if let Some(commit) = tip(branch).or_else(|| repository.commits.get(version)) {
        return Ok(commit);
    }
    let is_commit = version.len() == 40 && version.chars().all(|c| c.is_ascii_hexdigit());
    Err(if is_commit {
        "object not found"
    } else {
        "reference not found"
    })
}

fn no_repository(name: &str) -> ApiError {
    ApiError::new("RepositoryDoesNotExistException", format!("{name} does not exist"))
}

/// A timestamp, as the JSON protocols write it.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of our time fit")]
pub(crate) fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}
