//! Twin of a repository's pull requests.

use std::collections::BTreeMap;
use std::sync::Mutex;

use signalbox_model::pull_request::{Comment, Posted, PullRequest};

use super::{lock, pause};
use crate::error::{AwsError, ErrorKind};
use crate::pull_requests::{Judged, ReadPullRequests, TellPullRequests};

/// Twin of [`PullRequests`](crate::pull_requests::PullRequests), of one repository.
#[derive(Debug, Default)]
pub struct SomePullRequests(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pull_requests: BTreeMap<u64, PullRequest>,
    /// The pull requests that the caller has opened.
    own: Vec<String>,
    /// Where, and what.
    comments: Vec<(String, Posted)>,
    /// Whether the caller approves a revision of a pull request.
    approved: BTreeMap<(String, String), bool>,
    forgetful: bool,
}

impl SomePullRequests {
    /// Puts a pull request there, over what was there.
    pub fn put(&self, pull_request: PullRequest) {
        let number = pull_request.id.parse().unwrap_or_default();
        lock(&self.0).pull_requests.insert(number, pull_request);
    }

    /// The same, opened by the caller.
    pub fn put_own(&self, pull_request: PullRequest) {
        lock(&self.0).own.push(pull_request.id.clone());
        self.put(pull_request);
    }

    /// Forgets the tokens of the comments, those that come too, as CodeCommit may.
    pub fn forget_tokens(&self) {
        let mut state = lock(&self.0);
        state.forgetful = true;
        state.comments.iter_mut().for_each(|(_, posted)| posted.token = None);
    }

    /// The texts that were posted on a pull request, in their order.
    pub fn comments(&self, id: &str) -> Vec<String> {
        let state = lock(&self.0);
        let of = |(pull_request, posted): &(String, Posted)| (pull_request == id).then(|| posted.text.clone())?;
        state.comments.iter().filter_map(of).collect()
    }

    /// What the caller has said of a revision of a pull request: whether it approves.
    pub fn judgement(&self, id: &str, revision: &str) -> Option<bool> {
        let key = (id.to_owned(), revision.to_owned());
        lock(&self.0).approved.get(&key).copied()
    }
}

impl ReadPullRequests for SomePullRequests {
    async fn open(&self, _repository: &str, count_max: u8) -> Result<Vec<String>, AwsError> {
        pause().await;
        let state = lock(&self.0);
        let open = state
            .pull_requests
            .values()
            .rev()
            .filter(|pull_request| pull_request.open);
        Ok(open.take(count_max.into()).map(|found| found.id.clone()).collect())
    }

    async fn pull_request(&self, _repository: &str, id: &str) -> Result<Option<PullRequest>, AwsError> {
        pause().await;
        let number = id.parse::<u64>().ok();
        Ok(number.and_then(|number| lock(&self.0).pull_requests.get(&number).cloned()))
    }

    async fn posted(&self, id: &str) -> Result<Vec<Posted>, AwsError> {
        pause().await;
        let state = lock(&self.0);
        let of = state.comments.iter().filter(|(pull_request, _)| pull_request == id);
        Ok(of.map(|(_, posted)| posted.clone()).collect())
    }
}

impl TellPullRequests for SomePullRequests {
    async fn judge(&self, pull_request: &PullRequest, approve: bool) -> Result<Judged, AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        let number = pull_request.id.parse::<u64>().unwrap_or_default();
        let now = state.pull_requests.get(&number);
        if now.is_none_or(|now| !now.open || now.revision != pull_request.revision) {
            return Ok(Judged::Outdated);
        }
        if state.own.contains(&pull_request.id) {
            return Ok(Judged::NotCounted("it is the caller's own".to_owned()));
        }
        let key = (pull_request.id.clone(), pull_request.revision.clone());
        state.approved.insert(key, approve);
        Ok(Judged::Done)
    }

    async fn post(&self, _repository: &str, pull_request: &PullRequest, comment: &Comment) -> Result<(), AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        if pull_request.source_commit == pull_request.destination_commit {
            let code = "BeforeCommitIdAndAfterCommitIdAreSameException";
            let operation = "codecommit:PostCommentForPullRequest";
            return Err(AwsError::new(operation, ErrorKind::Other, code, "they are the same"));
        }
        let token = Some(comment.token.clone());
        if state.comments.iter().any(|(_, posted)| posted.token == token) {
            return Ok(());
        }
        let posted = Posted {
            token: token.filter(|_| !state.forgetful),
            text: Some(comment.text.clone()),
        };
        state.comments.push((pull_request.id.clone(), posted));
        Ok(())
    }
}
