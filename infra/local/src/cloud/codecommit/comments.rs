//! What is said on pull requests.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::iam::identity;
use super::super::{ApiError, Caller, Cloud};
use super::api::{Page, page, required};
use super::differences::{File, files, no_commit, no_path};
use super::pull_requests::{check_repository, get, named, note};
use super::{asked_before, invalid_commit_id, is_commit_id, no_repository, remember, seconds, tell};

/// How long a comment may be, in characters.
const CHARACTERS_MAX: usize = 10_240;
/// The comments that are shown at once where the caller does not say, and the most that it may say.
const PAGE: usize = 100;
const PAGE_MAX: usize = 500;

/// A comment on a pull request.
#[derive(Debug, Clone)]
pub(super) struct Comment {
    pub(super) id: String,
    /// The ARN of who made it.
    pub(super) author: String,
    content: String,
    created: Timestamp,
    /// The commit of the destination branch that it is about.
    pub(super) before: String,
    /// The commit of the source branch that it is about.
    pub(super) after: String,
    /// `filePath`, `filePosition`, `relativeFileVersion`.
    location: Option<Value>,
    /// The blobs of the file, if it is about one.
    blobs: Vec<(&'static str, String)>,
    token: Option<String>,
}

/// Answers `PostCommentForPullRequest`.
pub(super) fn post(cloud: &mut Cloud, caller: &Caller, input: &Value) -> Result<Value, ApiError> {
    let author = identity(cloud, caller).0;
    let number = named(cloud, input)?;
    let name = required(input, "repositoryName", "RepositoryNameRequiredException")?;
    if let Some(made) = asked_before(cloud, &author, "PostCommentForPullRequest", input)? {
        let comments = &get(cloud, number)?.comments;
        if let Some(comment) = comments.iter().find(|comment| comment.id == made) {
            return Ok(show_post(name, number, comment));
        }
    }
    let repository = cloud.codecommit.repositories.get(name);
    let repository = repository.ok_or_else(|| no_repository(name))?;
    check_repository(get(cloud, number)?, name)?;
    let before = required(input, "beforeCommitId", "CommitIdRequiredException")?;
    let after = required(input, "afterCommitId", "CommitIdRequiredException")?;
    if before == after {
        return Err(ApiError::new(
            "BeforeCommitIdAndAfterCommitIdAreSameException",
            "The before commit ID and the after commit ID are the same, which is not valid.",
        ));
    }
    for id in [before, after] {
        if !is_commit_id(id) {
            return Err(invalid_commit_id(id));
        }
        if !repository.commits.contains_key(id) {
            return Err(no_commit(id));
        }
    }
    let content = required(input, "content", "CommentContentRequiredException")?;
    if content.chars().count() > CHARACTERS_MAX {
        return Err(ApiError::new(
            "CommentContentSizeLimitExceededException",
            "The comment is too large. Comments are limited to 10,240 characters.",
        ));
    }
    let location = input.get("location").cloned();
    let blobs = match &location {
        None => Vec::new(),
        Some(location) => {
            let find = |id: &str| repository.commits.get(id).map_or_else(|| Err(no_commit(id)), files);
            let path = required(location, "filePath", "PathRequiredException")?;
            let file = |id: &str| Ok::<_, ApiError>(find(id)?.get(path).map(|(_, file)| file.clone()));
            check_location(location, path, file(before)?, file(after)?)?
        }
    };
    let (first, second) = (cloud.uuid(), cloud.uuid());
    let comment = Comment {
        id: format!("{first}:{second}"),
        author: author.clone(),
        content: content.to_owned(),
        created: cloud.now,
        before: before.to_owned(),
        after: after.to_owned(),
        location,
        blobs,
        token: input
            .get("clientRequestToken")
            .and_then(Value::as_str)
            .map(str::to_owned),
    };
    if let Some(found) = cloud.codecommit.pull_requests.get_mut(&number) {
        found.modified = comment.created;
        found.comments.push(comment.clone());
    }
    remember(cloud, &author, "PostCommentForPullRequest", input, comment.id.clone());
    note(
        cloud,
        number,
        "pull-request-comment",
        &author,
        Some(("content", &comment.content)),
    );
    tell::comment(cloud, number, &comment);
    Ok(show_post(name, number, &comment))
}

/// The blobs of the file that a comment is about.
fn check_location(
    location: &Value,
    path: &str,
    before: Option<File>,
    after: Option<File>,
) -> Result<Vec<(&'static str, String)>, ApiError> {
    let version = location.get("relativeFileVersion").and_then(Value::as_str);
    let commented = if version == Some("BEFORE") { &before } else { &after };
    let commented = commented.as_ref().ok_or_else(|| no_path(path))?;
    let position = location.get("filePosition").and_then(Value::as_u64).unwrap_or_default();
    if usize::try_from(position).is_ok_and(|position| position > commented.lines) {
        return Err(ApiError::new(
            "InvalidFilePositionException",
            "The position is not valid. Make sure that the line number exists in the version of the file you want to comment on.",
        ));
    }
    let blobs = [("beforeBlobId", before), ("afterBlobId", after)];
    let blobs = blobs
        .into_iter()
        .filter_map(|(member, file)| Some((member, file?.blob)));
    Ok(blobs.collect())
}

/// Answers `GetCommentsForPullRequest`, the oldest first.
pub(super) fn get_all(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let found = get(cloud, named(cloud, input)?)?;
    let commits = (text("beforeCommitId"), text("afterCommitId"));
    // The one is required where the others are.
    if text("repositoryName").is_some() || commits.0.is_some() || commits.1.is_some() {
        let name = required(input, "repositoryName", "RepositoryNameRequiredException")?;
        let repository = cloud.codecommit.repositories.get(name);
        let repository = repository.ok_or_else(|| no_repository(name))?;
        check_repository(found, name)?;
        required(input, "beforeCommitId", "CommitIdRequiredException")?;
        required(input, "afterCommitId", "CommitIdRequiredException")?;
        for id in [commits.0, commits.1].into_iter().flatten() {
            if !repository.commits.contains_key(id) {
                return Err(no_commit(id));
            }
        }
    }
    let wanted = |comment: &&Comment| {
        commits.0.is_none_or(|before| before == comment.before) && commits.1.is_none_or(|after| after == comment.after)
    };
    let comments: Vec<Value> = found
        .comments
        .iter()
        .filter(wanted)
        .map(|comment| {
            let mut shown = show_place(&found.repository, found.number, comment);
            shown.insert("comments".into(), json!([show(comment)]));
            shown.into()
        })
        .collect();
    let asked = Page {
        most: input.get("maxResults"),
        token: text("nextToken"),
        default: PAGE,
        limit: PAGE_MAX,
    };
    let (shown, next) = page(&comments, &asked)?;
    let mut answer = json!({ "commentsForPullRequestData": shown });
    if let (Some(next), Some(members)) = (next, answer.as_object_mut()) {
        members.insert("nextToken".into(), next.into());
    }
    Ok(answer)
}

fn show_post(repository: &str, number: u64, comment: &Comment) -> Value {
    let mut shown = show_place(repository, number, comment);
    shown.insert("comment".into(), show(comment));
    shown.into()
}

fn show_place(repository: &str, number: u64, comment: &Comment) -> serde_json::Map<String, Value> {
    let mut shown = serde_json::Map::new();
    for (member, value) in [
        ("repositoryName", repository),
        ("pullRequestId", &number.to_string()),
        ("beforeCommitId", &comment.before),
        ("afterCommitId", &comment.after),
    ] {
        shown.insert(member.into(), value.into());
    }
    for (member, blob) in &comment.blobs {
        shown.insert((*member).into(), blob.as_str().into());
    }
    if let Some(location) = &comment.location {
        shown.insert("location".into(), location.clone());
    }
    shown
}

fn show(comment: &Comment) -> Value {
    let mut shown = json!({
        "commentId": comment.id,
        "content": comment.content,
        "creationDate": seconds(comment.created),
        "lastModifiedDate": seconds(comment.created),
        "authorArn": comment.author,
        "deleted": false,
        "callerReactions": [],
        "reactionCounts": {},
    });
    if let (Some(token), Some(members)) = (&comment.token, shown.as_object_mut()) {
        members.insert("clientRequestToken".into(), token.as_str().into());
    }
    shown
}
