//! The calls.

use serde_json::{Value, json};

use super::super::{ApiError, Caller, Cloud};
use super::{Commit, Repository, commit, no_repository, seconds, tip};

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, _caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let name = || {
        text("repositoryName").ok_or_else(|| {
            ApiError::new(
                "RepositoryNameRequiredException",
                "A repository name is required, but was not specified.",
            )
        })
    };
    let repositories = &cloud.codecommit.repositories;
    let repository = |name: &str| repositories.get(name).ok_or_else(|| no_repository(name));
    match operation {
        "GetBranch" => {
            let repository = name()?;
            let branch = text("branchName").ok_or_else(|| {
                ApiError::new(
                    "BranchNameRequiredException",
                    "A branch name is required, but was not specified.",
                )
            })?;
            let commit = tip(cloud, repository, branch)?;
            Ok(json!({"branch": {"branchName": branch, "commitId": commit.id}}))
        }
        "GetCommit" => {
            let commit = commit(cloud, name()?, text("commitId").unwrap_or_default())?;
            Ok(json!({"commit": show_commit(commit)}))
        }
        "GetRepository" => {
            let repository = repository(name()?)?;
            let mut metadata = json!({
                "accountId": cloud.target.account,
                "repositoryId": repository.id,
                "repositoryName": repository.name,
                "lastModifiedDate": seconds(repository.modified),
                "creationDate": seconds(repository.created),
                "Arn": repository.arn,
            });
            if let Some(metadata) = metadata.as_object_mut() {
                let optional = [
                    ("cloneUrlHttp", &repository.clone_url),
                    ("repositoryDescription", &repository.description),
                    ("defaultBranch", &repository.default_branch),
                ];
                for (member, value) in optional {
                    if let Some(value) = value {
                        metadata.insert(member.into(), value.as_str().into());
                    }
                }
            }
            Ok(json!({"repositoryMetadata": metadata}))
        }
        "ListRepositories" => {
            let mut listed: Vec<&Repository> = repositories.values().collect();
            if text("sortBy") == Some("lastModifiedDate") {
                listed.sort_by_key(|repository| repository.modified);
            }
            if text("order") == Some("descending") {
                listed.reverse();
            }
            let pair =
                |repository: &Repository| json!({"repositoryName": repository.name, "repositoryId": repository.id});
            Ok(json!({"repositories": listed.into_iter().map(pair).collect::<Vec<_>>()}))
        }
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("the local cloud has no {operation}"),
        )),
    }
}

fn show_commit(commit: &Commit) -> Value {
    // The way git writes a person: `name <address>`.
    let (name, email) = match commit.author.split_once('<') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches('>')),
        None => (commit.author.as_str(), ""),
    };
    let user = json!({"name": name, "email": email, "date": format!("{} +0000", commit.date.as_second())});
    json!({
        "commitId": commit.id,
        "parents": commit.parent.iter().collect::<Vec<_>>(),
        "message": commit.message,
        "author": user,
        "committer": user,
    })
}
