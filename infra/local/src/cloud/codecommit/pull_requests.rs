//! Pull requests, and who approves of them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::effect::Effect;
use super::super::iam::identity;
use super::super::{ApiError, Caller, Cloud};
use super::api::{Page, page, required};
use super::comments::Comment;
use super::{asked_before, branch_of, history, move_branch, no_repository, remember, seconds, tell};

/// The most open pull requests that a repository may have.
const OPEN_MAX: usize = 1000;
/// The ids that are shown at once where the caller does not say.
const PAGE: usize = 100;

/// A pull request.
#[derive(Debug)]
pub(super) struct PullRequest {
    /// Its id.
    pub(super) number: u64,
    /// The repository's name.
    pub(super) repository: String,
    pub(super) title: String,
    pub(super) description: Option<String>,
    /// The ARN of who made it.
    pub(super) author: String,
    pub(super) created: Timestamp,
    /// When it last changed.
    pub(super) modified: Timestamp,
    /// The branch that is to be merged.
    pub(super) source: String,
    /// Its tip; its last while it was there.
    pub(super) source_commit: String,
    /// The branch that it is to be merged into.
    pub(super) destination: String,
    /// Its tip; of a closed pull request, its last before.
    pub(super) destination_commit: String,
    pub(super) is_open: bool,
    /// The ARN of who merged it.
    pub(super) merged_by: Option<String>,
    /// The last is the current one.
    revisions: Vec<Revision>,
    /// In the order in which they were made.
    pub(super) comments: Vec<Comment>,
    token: Option<String>,
}

/// What a pull request has been between two changes of its source branch.
#[derive(Debug)]
struct Revision {
    id: String,
    /// The ARNs of those who approve.
    approvals: BTreeSet<String>,
}

impl PullRequest {
    /// The current revision's id.
    pub(super) fn revision(&self) -> &str {
        self.revisions.last().map_or("", |revision| revision.id.as_str())
    }

    /// Begins a revision. Nobody has approved of it yet.
    fn revise(&mut self) {
        let (count, commit) = (self.revisions.len(), &self.source_commit);
        let text = format!("{}/{}/{count}/{commit}", self.repository, self.number);
        let digest = Sha256::digest(text);
        self.revisions.push(Revision {
            id: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            approvals: BTreeSet::new(),
        });
    }
}

/// The repository of a pull request, by its id.
pub(crate) fn repository_of<'a>(cloud: &'a Cloud, id: &str) -> Option<&'a str> {
    let found = cloud.codecommit.pull_requests.get(&id.parse().ok()?);
    found.map(|found| found.repository.as_str())
}

/// The number of the pull request that a call names.
///
/// # Errors
/// `PullRequestIdRequiredException`, `InvalidPullRequestIdException`, `PullRequestDoesNotExistException`.
pub(super) fn named(cloud: &Cloud, input: &Value) -> Result<u64, ApiError> {
    let id = required(input, "pullRequestId", "PullRequestIdRequiredException")?;
    let number: u64 = id.parse().map_err(|_| {
        ApiError::new(
            "InvalidPullRequestIdException",
            format!("The pull request ID is not valid: {id}"),
        )
    })?;
    get(cloud, number).map(|found| found.number)
}

/// The pull request of that number.
///
/// # Errors
/// `PullRequestDoesNotExistException`.
pub(super) fn get(cloud: &Cloud, number: u64) -> Result<&PullRequest, ApiError> {
    cloud.codecommit.pull_requests.get(&number).ok_or_else(|| {
        let message = format!("The pull request ID could not be found: {number}");
        ApiError::new("PullRequestDoesNotExistException", message)
    })
}

fn change(cloud: &mut Cloud, number: u64, change: impl FnOnce(&mut PullRequest)) {
    let now = cloud.now;
    if let Some(found) = cloud.codecommit.pull_requests.get_mut(&number) {
        change(found);
        found.modified = now;
    }
}

/// The call names another repository than the pull request's.
pub(super) fn check_repository(found: &PullRequest, name: &str) -> Result<(), ApiError> {
    if found.repository == name {
        return Ok(());
    }
    Err(ApiError::new(
        "RepositoryNotAssociatedWithPullRequestException",
        format!(
            "The repository {name} does not contain any pull requests with that pull request ID: {}",
            found.number
        ),
    ))
}

/// Answers `CreatePullRequest`.
pub(super) fn create(cloud: &mut Cloud, caller: &Caller, input: &Value) -> Result<Value, ApiError> {
    let author = identity(cloud, caller).0;
    if let Some(made) = asked_before(cloud, &author, "CreatePullRequest", input)? {
        let number = made.parse().unwrap_or_default();
        return Ok(json!({"pullRequest": show(cloud, number)?}));
    }
    let title = required(input, "title", "TitleRequiredException")?;
    let targets = input.get("targets").and_then(Value::as_array).map(Vec::as_slice);
    let target = match targets.unwrap_or_default() {
        [] => {
            return Err(ApiError::new(
                "TargetsRequiredException",
                "An array of target objects is required. It cannot be empty or null.",
            ));
        }
        [target] => target,
        _ => {
            return Err(ApiError::new(
                "InvalidTargetsException",
                "The targets for the pull request is not valid: a pull request has one",
            ));
        }
    };
    let name = required(target, "repositoryName", "RepositoryNameRequiredException")?;
    let repository = cloud.codecommit.repositories.get(name);
    let repository = repository.ok_or_else(|| no_repository(name))?;
    let source = branch_of(required(target, "sourceReference", "ReferenceNameRequiredException")?);
    let destination = target.get("destinationReference").and_then(Value::as_str);
    let destination = destination.map(branch_of).or(repository.default_branch.as_deref());
    let destination = destination.unwrap_or_default();
    let tip = |branch: &str| repository.branches.get(branch).ok_or_else(|| no_reference(branch));
    let (source_commit, destination_commit) = (tip(source)?, tip(destination)?);
    if source == destination {
        return Err(ApiError::new(
            "SourceAndDestinationAreSameException",
            "The source branch and destination branch for the pull request are the same. You must specify different branches for \
             the source and destination.",
        ));
    }
    let open = cloud.codecommit.pull_requests.values();
    if open.filter(|open| open.is_open && open.repository == name).count() >= OPEN_MAX {
        return Err(ApiError::new(
            "MaximumOpenPullRequestsExceededException",
            "You cannot create the pull request because the repository has too many open pull requests.",
        ));
    }
    let last = cloud.codecommit.pull_requests.last_key_value();
    let number = last.map_or(1, |(number, _)| number + 1);
    let text = |member: &str| input.get(member).and_then(Value::as_str).map(str::to_owned);
    let mut made = PullRequest {
        number,
        repository: name.to_owned(),
        title: title.to_owned(),
        description: text("description"),
        author: author.clone(),
        created: cloud.now,
        modified: cloud.now,
        source: source.to_owned(),
        source_commit: source_commit.clone(),
        destination: destination.to_owned(),
        destination_commit: destination_commit.clone(),
        is_open: true,
        merged_by: None,
        revisions: Vec::new(),
        comments: Vec::new(),
        token: text("clientRequestToken"),
    };
    made.revise();
    cloud.codecommit.pull_requests.insert(number, made);
    remember(cloud, &author, "CreatePullRequest", input, number.to_string());
    note(cloud, number, "pull-request-created", &author, None);
    tell::pull_request(cloud, number, "pullRequestCreated", &author, None);
    Ok(json!({"pullRequest": show(cloud, number)?}))
}

/// Answers `ListPullRequests`: ids, the newest first.
pub(super) fn list(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let name = required(input, "repositoryName", "RepositoryNameRequiredException")?;
    if !cloud.codecommit.repositories.contains_key(name) {
        return Err(no_repository(name));
    }
    let wanted = |found: &&PullRequest| {
        found.repository == name
            && text("pullRequestStatus").is_none_or(|status| status == status_of(found))
            && text("authorArn").is_none_or(|author| author == found.author)
    };
    let found = cloud.codecommit.pull_requests.values().rev().filter(wanted);
    let ids: Vec<String> = found.map(|found| found.number.to_string()).collect();
    let asked = Page {
        most: input.get("maxResults"),
        token: text("nextToken"),
        default: PAGE,
        limit: usize::MAX,
    };
    let (shown, next) = page(&ids, &asked)?;
    let mut answer = json!({ "pullRequestIds": shown });
    if let (Some(next), Some(members)) = (next, answer.as_object_mut()) {
        members.insert("nextToken".into(), next.into());
    }
    Ok(answer)
}

/// Answers `UpdatePullRequestStatus`.
pub(super) fn update_status(cloud: &mut Cloud, caller: &Caller, input: &Value) -> Result<Value, ApiError> {
    let number = named(cloud, input)?;
    let closes = required(input, "pullRequestStatus", "PullRequestStatusRequiredException")? == "CLOSED";
    match (get(cloud, number)?.is_open, closes) {
        (true, true) => {
            let caller = identity(cloud, caller).0;
            close(cloud, number, &caller);
        }
        (false, false) => {
            return Err(ApiError::new(
                "InvalidPullRequestStatusUpdateException",
                "The pull request status update is not valid. The only valid update is from OPEN to CLOSED.",
            ));
        }
        _ => {}
    }
    Ok(json!({"pullRequest": show(cloud, number)?}))
}

fn close(cloud: &mut Cloud, number: u64, caller: &str) {
    change(cloud, number, |found| found.is_open = false);
    note(cloud, number, "pull-request-closed", caller, None);
    tell::pull_request(cloud, number, "pullRequestStatusChanged", caller, None);
}

/// Answers `MergePullRequestByFastForward`.
pub(super) fn merge(cloud: &mut Cloud, caller: &Caller, input: &Value) -> Result<Value, ApiError> {
    let number = named(cloud, input)?;
    let name = required(input, "repositoryName", "RepositoryNameRequiredException")?;
    let repository = cloud.codecommit.repositories.get(name);
    let repository = repository.ok_or_else(|| no_repository(name))?;
    let found = get(cloud, number)?;
    check_repository(found, name)?;
    check_open(found)?;
    let expected = input.get("sourceCommitId").and_then(Value::as_str);
    if expected.is_some_and(|expected| expected != found.source_commit) {
        return Err(ApiError::new(
            "TipOfSourceReferenceIsDifferentException",
            "The tip of the source branch in the destination repository does not match the tip of the source branch specified in \
             your request. The pull request might have been updated. Make sure that you have the latest changes.",
        ));
    }
    let (before, after) = (found.destination_commit.clone(), found.source_commit.clone());
    if !history::is_fast_forward(&repository.commits, &before, &after) {
        return Err(ApiError::new(
            "ManualMergeRequiredException",
            "The pull request cannot be merged automatically into the destination branch. You must manually merge the branches \
             and resolve any conflicts.",
        ));
    }
    let destination = found.destination.clone();
    let caller = identity(cloud, caller).0;
    // Closed first: it is not to follow the branch that it moves.
    merged(cloud, number, &caller);
    move_branch(cloud, name, &destination, Some(after.clone()), &caller, Some(&before));
    tell::pull_request(cloud, number, "pullRequestMergeStatusUpdated", &caller, None);
    let repository = name.to_owned();
    cloud.effect(|_| Effect::MoveBranch {
        repository,
        branch: destination,
        from: before,
        to: after,
    });
    Ok(json!({"pullRequest": show(cloud, number)?}))
}

fn merged(cloud: &mut Cloud, number: u64, caller: &str) {
    change(cloud, number, |found| {
        found.is_open = false;
        found.merged_by = Some(caller.to_owned());
    });
    note(cloud, number, "pull-request-merged", caller, None);
}

fn check_open(found: &PullRequest) -> Result<(), ApiError> {
    if found.is_open {
        return Ok(());
    }
    Err(ApiError::new(
        "PullRequestAlreadyClosedException",
        "The pull request status cannot be updated because it is already closed.",
    ))
}

/// The pull requests of a branch that points elsewhere now follow it. One whose branch is deleted is closed, and so is one that was
/// merged by a push without a commit of its own, as
/// [the user guide](https://docs.aws.amazon.com/codecommit/latest/userguide/how-to-merge-pull-request.html) says.
pub(super) fn branch_moved(cloud: &mut Cloud, repository: &str, branch: &str, to: Option<&str>, caller: &str) {
    let concerned = |found: &&PullRequest| {
        found.is_open
            && found.repository == repository
            && [&found.source, &found.destination].iter().any(|own| *own == branch)
    };
    let all = cloud.codecommit.pull_requests.values().filter(concerned);
    let numbers: Vec<u64> = all.map(|found| found.number).collect();
    for number in numbers {
        let Ok(found) = get(cloud, number) else { continue };
        let Some(to) = to else {
            close(cloud, number, caller);
            continue;
        };
        if found.source == branch {
            change(cloud, number, |found| {
                to.clone_into(&mut found.source_commit);
                found.revise();
            });
            note(cloud, number, "pull-request-updated", caller, None);
            tell::pull_request(cloud, number, "pullRequestSourceBranchUpdated", caller, None);
            continue;
        }
        let commits = cloud
            .codecommit
            .repositories
            .get(repository)
            .map(|found| &found.commits);
        if commits.is_some_and(|commits| history::is_on_line(commits, &found.source_commit, to)) {
            merged(cloud, number, caller);
            tell::pull_request(cloud, number, "pullRequestMergeStatusUpdated", caller, None);
        } else if let Some(found) = cloud.codecommit.pull_requests.get_mut(&number) {
            to.clone_into(&mut found.destination_commit);
        }
    }
}

/// Answers `UpdatePullRequestApprovalState`.
pub(super) fn update_approval(cloud: &mut Cloud, caller: &Caller, input: &Value) -> Result<Value, ApiError> {
    let number = named(cloud, input)?;
    let revision = required(input, "revisionId", "RevisionIdRequiredException")?;
    let state = required(input, "approvalState", "ApprovalStateRequiredException")?;
    let caller = identity(cloud, caller).0;
    let found = get(cloud, number)?;
    check_open(found)?;
    if revision != found.revision() {
        return Err(if found.revisions.iter().any(|known| known.id == revision) {
            ApiError::new(
                "RevisionNotCurrentException",
                "The revision ID provided in the request does not match the current revision ID. Use GetPullRequest to retrieve \
                 the current revision ID.",
            )
        } else {
            invalid_revision()
        });
    }
    let approves = state == "APPROVE";
    if approves && caller == found.author {
        return Err(ApiError::new(
            "PullRequestCannotBeApprovedByAuthorException",
            "The approval cannot be applied because the user approving the pull request matches the user who created the pull \
             request. You cannot approve a pull request that you created.",
        ));
    }
    let mut is_new = false;
    change(cloud, number, |found| {
        if let Some(current) = found.revisions.last_mut() {
            is_new = if approves {
                current.approvals.insert(caller.clone())
            } else {
                current.approvals.remove(&caller)
            };
        }
    });
    if is_new {
        note(cloud, number, "pull-request-approval", &caller, Some(("state", state)));
        tell::pull_request(cloud, number, "pullRequestApprovalStateChanged", &caller, Some(state));
    }
    Ok(json!({}))
}

/// Answers `GetPullRequestApprovalStates`.
pub(super) fn approval_states(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let found = get(cloud, named(cloud, input)?)?;
    let id = required(input, "revisionId", "RevisionIdRequiredException")?;
    let revision = found.revisions.iter().find(|revision| revision.id == id);
    let revision = revision.ok_or_else(invalid_revision)?;
    let approvals = revision.approvals.iter();
    let approvals: Vec<Value> = approvals
        .map(|user| json!({"userArn": user, "approvalState": "APPROVE"}))
        .collect();
    Ok(json!({ "approvals": approvals }))
}

fn invalid_revision() -> ApiError {
    ApiError::new(
        "InvalidRevisionIdException",
        "The revision ID is not valid. Use GetPullRequest to determine the value.",
    )
}

fn no_reference(branch: &str) -> ApiError {
    ApiError::new(
        "ReferenceDoesNotExistException",
        format!("The specified reference does not exist: refs/heads/{branch}"),
    )
}

fn status_of(found: &PullRequest) -> &'static str {
    if found.is_open { "OPEN" } else { "CLOSED" }
}

/// A line for the timeline.
pub(super) fn note(cloud: &mut Cloud, number: u64, what: &'static str, by: &str, more: Option<(&str, &str)>) {
    let Ok(found) = get(cloud, number) else { return };
    let repository = found.repository.clone();
    let mut data = json!({
        "pull_request": number.to_string(),
        "title": found.title,
        "source": found.source,
        "destination": found.destination,
        "commit": found.source_commit,
        "by": by,
    });
    if let (Some((member, value)), Some(members)) = (more, data.as_object_mut()) {
        members.insert(member.into(), value.into());
    }
    cloud.note("codecommit", &repository, what, data);
}

/// A pull request as the calls show it.
///
/// # Errors
/// `PullRequestDoesNotExistException`.
pub(super) fn show(cloud: &Cloud, number: u64) -> Result<Value, ApiError> {
    let found = get(cloud, number)?;
    let mut merge = json!({"isMerged": found.merged_by.is_some()});
    if let (Some(by), Some(members)) = (&found.merged_by, merge.as_object_mut()) {
        members.insert("mergedBy".into(), by.as_str().into());
        members.insert("mergeOption".into(), "FAST_FORWARD_MERGE".into());
    }
    let mut target = json!({
        "repositoryName": found.repository,
        "sourceReference": format!("refs/heads/{}", found.source),
        "sourceCommit": found.source_commit,
        "destinationReference": format!("refs/heads/{}", found.destination),
        "destinationCommit": found.destination_commit,
        "mergeMetadata": merge,
    });
    let repository = cloud.codecommit.repositories.get(&found.repository);
    let base = repository.and_then(|repository| {
        history::merge_base(&repository.commits, &found.source_commit, &found.destination_commit)
    });
    if let (Some(base), Some(members)) = (base, target.as_object_mut()) {
        members.insert("mergeBase".into(), base.into());
    }
    let mut shown = json!({
        "pullRequestId": number.to_string(),
        "title": found.title,
        "creationDate": seconds(found.created),
        "lastActivityDate": seconds(found.modified),
        "pullRequestStatus": status_of(found),
        "authorArn": found.author,
        "pullRequestTargets": [target],
        "revisionId": found.revision(),
        "approvalRules": [],
    });
    if let Some(members) = shown.as_object_mut() {
        for (member, value) in [
            ("description", &found.description),
            ("clientRequestToken", &found.token),
        ] {
            if let Some(value) = value {
                members.insert(member.into(), value.as_str().into());
            }
        }
    }
    Ok(shown)
}
