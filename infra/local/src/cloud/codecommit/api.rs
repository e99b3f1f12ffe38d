//! The calls.

use serde_json::{Value, json};

use super::super::{ApiError, Caller, Cloud};
use super::{Commit, Repository, comments, commit, differences, no_repository, pull_requests, seconds, tip};

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    match operation {
        "CreatePullRequest" => return pull_requests::create(cloud, caller, input),
        "MergePullRequestByFastForward" => return pull_requests::merge(cloud, caller, input),
        "PostCommentForPullRequest" => return comments::post(cloud, caller, input),
        "UpdatePullRequestApprovalState" => return pull_requests::update_approval(cloud, caller, input),
        "UpdatePullRequestStatus" => return pull_requests::update_status(cloud, caller, input),
        _ => {}
    }
    let cloud: &Cloud = cloud;
    let name = || required(input, "repositoryName", "RepositoryNameRequiredException");
    let repositories = &cloud.codecommit.repositories;
    let repository = |name: &str| repositories.get(name).ok_or_else(|| no_repository(name));
    match operation {
        "GetBranch" => {
            let repository = name()?;
            let branch = required(input, "branchName", "BranchNameRequiredException")?;
            let commit = tip(cloud, repository, branch)?;
            Ok(json!({"branch": {"branchName": branch, "commitId": commit.id}}))
        }
        "GetCommentsForPullRequest" => comments::get_all(cloud, input),
        "GetDifferences" => differences::get_differences(cloud, input),
        "GetPullRequest" => {
            let number = pull_requests::named(cloud, input)?;
            Ok(json!({"pullRequest": pull_requests::show(cloud, number)?}))
        }
        "GetPullRequestApprovalStates" => pull_requests::approval_states(cloud, input),
        "ListPullRequests" => pull_requests::list(cloud, input),
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

/// A member that a call can't do without.
///
/// # Errors
/// `code` where it is missing or empty.
pub(super) fn required<'a>(input: &'a Value, member: &str, code: &str) -> Result<&'a str, ApiError> {
    let found = input.get(member).and_then(Value::as_str);
    found.filter(|text| !text.is_empty()).ok_or_else(|| {
        let what = match member {
            "repositoryName" => "A repository name",
            "branchName" => "A branch name",
            "pullRequestId" => "A pull request ID",
            "title" => "A pull request title",
            "revisionId" => "A revision ID",
            "beforeCommitId" | "afterCommitId" => "A commit ID",
            other => other,
        };
        ApiError::new(code, format!("{what} is required, but was not specified."))
    })
}

/// Which part of a list a call asks for.
pub(super) struct Page<'a> {
    /// How many, if it says.
    pub(super) most: Option<&'a Value>,
    /// Where the last answer ended.
    pub(super) token: Option<&'a str>,
    /// How many where it does not say.
    pub(super) default: usize,
    /// The most that it may say.
    pub(super) limit: usize,
}

/// That part of a list, and the token of the next if there is more.
///
/// # Errors
/// `InvalidMaxResultsException`, `InvalidContinuationTokenException`.
pub(super) fn page<'a, T>(all: &'a [T], asked: &Page<'_>) -> Result<(&'a [T], Option<String>), ApiError> {
    let most = match asked.most {
        None => Some(asked.default),
        Some(most) => most.as_u64().and_then(|most| usize::try_from(most).ok()),
    };
    let most = most.filter(|most| (1..=asked.limit).contains(most)).ok_or_else(|| {
        ApiError::new(
            "InvalidMaxResultsException",
            "The specified number of maximum results is not valid.",
        )
    })?;
    let from = asked.token.map_or(Some(0), |token| token.parse::<usize>().ok());
    let rest = from.and_then(|from| Some((from, all.get(from..)?)));
    let (from, rest) = rest.ok_or_else(|| {
        ApiError::new(
            "InvalidContinuationTokenException",
            "The specified continuation token is not valid.",
        )
    })?;
    let shown = rest.get(..most).unwrap_or(rest);
    let next = (shown.len() < rest.len()).then(|| (from + shown.len()).to_string());
    Ok((shown, next))
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
        "parents": commit.parents,
        "message": commit.message,
        "author": user,
        "committer": user,
    })
}
