//! What EventBridge is told.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{Cloud, events};
use super::comments::Comment;
use super::pull_requests::PullRequest;

/// `CodeCommit Repository State Change`: a branch points to another commit than before. `merged` is the commit that both branches
/// of a pull request had, where its merge moved the branch.
pub(super) fn reference_changed(
    cloud: &mut Cloud,
    repository: &str,
    branch: &str,
    before: Option<&str>,
    after: Option<&str>,
    merged: Option<&str>,
) {
    let Some(found) = cloud.codecommit.repositories.get(repository) else {
        return;
    };
    let event = match (before, after) {
        (_, None) => "referenceDeleted",
        (None, _) => "referenceCreated",
        _ => "referenceUpdated",
    };
    let mut detail = json!({
        "event": event,
        "repositoryName": found.name,
        "repositoryId": found.id,
        "referenceType": "branch",
        "referenceName": branch,
        "referenceFullName": format!("refs/heads/{branch}"),
    });
    if let Some(members) = detail.as_object_mut() {
        let mut set = |member: &str, value: &str| members.insert(member.into(), value.into());
        if let Some(after) = after {
            set("commitId", after);
        }
        if let Some(before) = before {
            set("oldCommitId", before);
        }
        if let (Some(base), Some(before), Some(after)) = (merged, before, after) {
            set("baseCommitId", base);
            set("sourceCommitId", after);
            set("destinationCommitId", before);
            set("mergeOption", "FAST_FORWARD_MERGE");
        }
    }
    put(cloud, repository, "CodeCommit Repository State Change", detail);
}

/// `CodeCommit Pull Request State Change`.
pub(super) fn pull_request(cloud: &mut Cloud, number: u64, event: &str, caller: &str, approval: Option<&str>) {
    let Some(found) = cloud.codecommit.pull_requests.get(&number) else {
        return;
    };
    let repository = found.repository.clone();
    let mut detail = json!({
        "event": event,
        "author": found.author,
        "callerUserArn": caller,
        "creationDate": date(found.created),
        "lastModifiedDate": date(found.modified),
        "pullRequestId": number.to_string(),
        "pullRequestStatus": if found.is_open { "Open" } else { "Closed" },
        "isMerged": if found.merged_by.is_some() { "True" } else { "False" },
        "repositoryNames": [found.repository],
        "revisionId": found.revision(),
        "sourceReference": format!("refs/heads/{}", found.source),
        "sourceCommit": found.source_commit,
        "destinationReference": format!("refs/heads/{}", found.destination),
        "destinationCommit": found.destination_commit,
        "title": found.title,
        "notificationBody": notification(cloud, found, event, caller, approval),
    });
    if let Some(members) = detail.as_object_mut() {
        if let Some(description) = &found.description {
            members.insert("description".into(), description.as_str().into());
        }
        if event == "pullRequestMergeStatusUpdated" {
            members.insert("mergeOption".into(), "FAST_FORWARD_MERGE".into());
        }
        if let Some(approval) = approval {
            members.insert("approvalStatus".into(), approval.into());
        }
    }
    put(cloud, &repository, "CodeCommit Pull Request State Change", detail);
}

/// The text for people, in the words of the events that AWS documents.
fn notification(cloud: &Cloud, found: &PullRequest, event: &str, caller: &str, approval: Option<&str>) -> String {
    let PullRequest {
        repository,
        number,
        title,
        source,
        ..
    } = found;
    let what = match event {
        "pullRequestCreated" => format!(
            "User: {caller}. Event: Created. The pull request was created with the following information: Pull Request ID as \
             {number} and title as {title}."
        ),
        "pullRequestSourceBranchUpdated" => format!(
            "User: {caller}. Event: Updated.  The user updated the following pull request: {number}. The pull request was updated \
             with one or more commits to the source branch: {source}."
        ),
        "pullRequestMergeStatusUpdated" => format!(
            "{caller} updated the following PullRequest {number}. The pull request merge status has been updated. The status is \
             merged."
        ),
        "pullRequestApprovalStateChanged" => format!(
            "User: {caller}. Event: Updated. Pull request name: {number}. Additional information: A user has changed their \
             approval state for the pull request. State change: {}.",
            approval.unwrap_or_default()
        ),
        _ => format!(
            "{caller} updated the following PullRequest {number}. The pull request status has been updated. The status is closed."
        ),
    };
    format!(
        "A pull request event occurred in the following AWS CodeCommit repository: {repository}. {what} For more information, go \
         to the AWS CodeCommit console {}",
        console_link(cloud, repository, *number, "")
    )
}

/// `CodeCommit Comment on Pull Request`.
pub(super) fn comment(cloud: &mut Cloud, number: u64, made: &Comment) {
    let Some(found) = cloud.codecommit.pull_requests.get(&number) else {
        return;
    };
    let repository = found.repository.clone();
    let id = cloud
        .codecommit
        .repositories
        .get(&repository)
        .map(|found| found.id.clone());
    let place = format!("/activity#{}", made.id.replace(':', "%3A"));
    let detail = json!({
        "event": "commentOnPullRequestCreated",
        "pullRequestId": number.to_string(),
        "repositoryName": repository,
        "repositoryId": id,
        "commentId": made.id,
        "beforeCommitId": made.before,
        "afterCommitId": made.after,
        "callerUserArn": made.author,
        "notificationBody": format!(
            "A pull request event occurred in the following AWS CodeCommit repository: {repository}. The user: {} made a comment \
             or replied to a comment. The comment was made on the following Pull Request: {number}. For more information, go to \
             the AWS CodeCommit console {}",
            made.author,
            console_link(cloud, &repository, number, &place)
        ),
    });
    put(cloud, &repository, "CodeCommit Comment on Pull Request", detail);
}

fn console_link(cloud: &Cloud, repository: &str, number: u64, place: &str) -> String {
    let region = &cloud.target.region;
    format!(
        "https://{region}.console.aws.amazon.com/codesuite/codecommit/repositories/{repository}/pull-requests/{number}{place}\
         ?region={region}"
    )
}

fn put(cloud: &mut Cloud, repository: &str, kind: &str, detail: Value) {
    let arn = cloud.arn("codecommit", repository);
    events::put(cloud, "aws.codecommit", kind, vec![arn], detail);
}

/// A time as the events of pull requests write it: `Wed Nov 06 19:10:58 UTC 2019`.
fn date(time: Timestamp) -> String {
    time.strftime("%a %b %d %H:%M:%S UTC %Y").to_string()
}
