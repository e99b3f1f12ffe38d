//! The pull requests of a CodeCommit repository.

use aws_sdk_codecommit::types::{self, ApprovalState, PullRequestStatusEnum};
use signalbox_model::pull_request::{Comment, Posted, PullRequest};

use crate::error::{AwsError, ErrorKind};
use crate::registry::timestamp;

/// How many comments a page of GetCommentsForPullRequest has at most.
const COMMENTS_PAGE: i32 = 500;
/// How many such pages are read.
pub const COMMENTS_PAGES_MAX: usize = 2;

/// Lets one read pull requests.
pub trait ReadPullRequests: Send + Sync {
    /// The numbers of a repository's open pull requests, those opened last first, from one page of at most `count_max`.
    ///
    /// # Errors
    /// Whatever CodeCommit says.
    fn open(&self, repository: &str, count_max: u8) -> impl Future<Output = Result<Vec<String>, AwsError>> + Send;

    /// A pull request of the repository, as it is now; none where there is no such.
    ///
    /// # Errors
    /// Whatever CodeCommit says.
    fn pull_request(
        &self,
        repository: &str,
        id: &str,
    ) -> impl Future<Output = Result<Option<PullRequest>, AwsError>> + Send;

    /// What was posted on a pull request, up to a thousand comments: who posts once more after that relies on the comment's token.
    ///
    /// # Errors
    /// Whatever CodeCommit says.
    fn posted(&self, id: &str) -> impl Future<Output = Result<Vec<Posted>, AwsError>> + Send;
}

/// Whether a judgement on a pull request counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It does.
    Done,
    /// The pull request is at another revision by now, or closed: what was to be said is out of date.
    Outdated,
    /// CodeCommit does not take it from this caller, for this reason: who has opened a pull request can't approve it.
    NotCounted(String),
}

/// Lets one say something on pull requests.
pub trait TellPullRequests: Send + Sync {
    /// Approves the revision, or takes an approval of it back. Twice is once.
    ///
    /// # Errors
    /// Whatever else CodeCommit says.
    fn judge(&self, pull_request: &PullRequest, approve: bool)
    -> impl Future<Output = Result<Judged, AwsError>> + Send;

    /// Posts a comment on the difference that the pull request makes now. One with the same token is posted once, for as long as
    /// CodeCommit keeps the token.
    ///
    /// # Errors
    /// Whatever CodeCommit says.
    fn post(
        &self,
        repository: &str,
        pull_request: &PullRequest,
        comment: &Comment,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// CodeCommit.
#[derive(Debug, Clone)]
pub struct PullRequests(aws_sdk_codecommit::Client);

impl PullRequests {
    /// The port over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_codecommit::Client::new(sdk))
    }
}

impl ReadPullRequests for PullRequests {
    async fn open(&self, repository: &str, count_max: u8) -> Result<Vec<String>, AwsError> {
        let request = self.0.list_pull_requests().repository_name(repository);
        let request = request
            .pull_request_status(PullRequestStatusEnum::Open)
            .max_results(count_max.into());
        let answer = request.send().await;
        let answer = answer.map_err(|error| AwsError::of("codecommit:ListPullRequests", &error))?;
        let mut ids = answer.pull_request_ids;
        // In which order they are answered is not documented; they are numbered as they are opened.
        ids.sort_by_key(|id| std::cmp::Reverse(id.parse::<u64>().unwrap_or_default()));
        ids.truncate(count_max.into());
        Ok(ids)
    }

    async fn pull_request(&self, repository: &str, id: &str) -> Result<Option<PullRequest>, AwsError> {
        let operation = "codecommit:GetPullRequest";
        let answer = self.0.get_pull_request().pull_request_id(id).send().await;
        let answer = match answer.map_err(|error| AwsError::of(operation, &error)) {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let found = answer
            .pull_request
            .ok_or_else(|| AwsError::incomplete(operation, "pullRequest"))?;
        let ours = |target: &&types::PullRequestTarget| target.repository_name() == Some(repository);
        let Some(target) = found.pull_request_targets().iter().find(ours) else {
            return Ok(None);
        };
        let missing = |member| AwsError::incomplete(operation, member);
        let commit = |commit: Option<&str>, member| {
            let commit = commit.and_then(|commit| commit.parse().ok());
            commit.ok_or_else(|| missing(member))
        };
        Ok(Some(PullRequest {
            id: id.to_owned(),
            open: found.pull_request_status() == Some(&PullRequestStatusEnum::Open),
            revision: found
                .revision_id()
                .ok_or_else(|| missing("pullRequest.revisionId"))?
                .to_owned(),
            source_commit: commit(target.source_commit(), "pullRequest.pullRequestTargets.sourceCommit")?,
            destination_commit: commit(
                target.destination_commit(),
                "pullRequest.pullRequestTargets.destinationCommit",
            )?,
            active_at: found.last_activity_date().and_then(timestamp),
        }))
    }

    async fn posted(&self, id: &str) -> Result<Vec<Posted>, AwsError> {
        let (mut posted, mut next) = (Vec::new(), None);
        for _ in 0..COMMENTS_PAGES_MAX {
            let request = self.0.get_comments_for_pull_request().pull_request_id(id);
            let answer = request.max_results(COMMENTS_PAGE).set_next_token(next).send().await;
            let answer = answer.map_err(|error| AwsError::of("codecommit:GetCommentsForPullRequest", &error))?;
            let comments = answer.comments_for_pull_request_data().iter();
            posted.extend(comments.flat_map(|data| data.comments()).map(|comment| Posted {
                token: comment.client_request_token().map(str::to_owned),
                text: comment.content().map(str::to_owned),
            }));
            next = answer.next_token;
            if next.is_none() {
                break;
            }
        }
        Ok(posted)
    }
}

impl TellPullRequests for PullRequests {
    async fn judge(&self, pull_request: &PullRequest, approve: bool) -> Result<Judged, AwsError> {
        let state = if approve {
            ApprovalState::Approve
        } else {
            ApprovalState::Revoke
        };
        let request = self.0.update_pull_request_approval_state();
        let request = request
            .pull_request_id(&pull_request.id)
            .revision_id(&pull_request.revision)
            .approval_state(state);
        let answer = request.send().await;
        match answer.map_err(|error| AwsError::of("codecommit:UpdatePullRequestApprovalState", &error)) {
            Ok(_) => Ok(Judged::Done),
            Err(error) => match error.code.as_str() {
                "RevisionNotCurrentException" | "PullRequestAlreadyClosedException" => Ok(Judged::Outdated),
                "PullRequestCannotBeApprovedByAuthorException" | "MaximumNumberOfApprovalsExceededException" => {
                    Ok(Judged::NotCounted(error.to_string()))
                }
                _ => Err(error),
            },
        }
    }

    async fn post(&self, repository: &str, pull_request: &PullRequest, comment: &Comment) -> Result<(), AwsError> {
        let request = self.0.post_comment_for_pull_request();
        let request = request
            .repository_name(repository)
            .pull_request_id(&pull_request.id)
            .before_commit_id(pull_request.destination_commit.as_str())
            .after_commit_id(pull_request.source_commit.as_str())
            .content(&comment.text)
            .client_request_token(&comment.token);
        let answer = request.send().await;
        match answer.map_err(|error| AwsError::of("codecommit:PostCommentForPullRequest", &error)) {
            // Posted with this token before, while the destination was at another commit or the train had other words for it.
            Err(error) if error.code == "IdempotencyParameterMismatchException" => Ok(()),
            answer => answer.map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests;
