//! Twin of the release pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use jiff::Timestamp;
use signalbox_model::names::{ModelPackageArn, ReleaseId};
use signalbox_model::settle::{ActionStatus, Seen};

use super::{lock, pause};
use crate::error::{AwsError, ErrorKind};
use crate::releases::{
    AnswerApprovals, FailedRollback, ReadApprovals, ReadExecutions, ReadReleases, ReadRollbacks, ReadUndecided, Recent,
    Standing, StartReleases, StartRollbacks, Waiting,
};

/// Twin of [`Releases`](crate::releases::Releases).
#[derive(Debug, Default)]
pub struct ReleaseTrain(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    started: Vec<ModelPackageArn>,
    tokens: Vec<String>,
    rolled_back: Vec<(u32, String)>,
    packages: BTreeMap<ReleaseId, ModelPackageArn>,
    waiting: Option<Waiting>,
    /// In the order in which they ended.
    ended: Vec<(ReleaseId, Seen)>,
    /// The executions that are over.
    over: BTreeSet<ReleaseId>,
    /// Why deployments have failed.
    failures: BTreeMap<ReleaseId, String>,
    failed_rollback: Option<FailedRollback>,
}

impl ReleaseTrain {
    /// Lets a release of the version wait for its approval.
    pub fn wait(&self, waiting: Waiting, package: ModelPackageArn) {
        let mut state = lock(&self.0);
        state.packages.insert(waiting.release.clone(), package);
        state.waiting = Some(waiting);
    }

    /// Ends the wait of whatever waits, as CodePipeline or somebody there does.
    pub fn end(&self, seen: Seen) {
        let mut state = lock(&self.0);
        if let Some(waiting) = state.waiting.take() {
            let since = seen.since.or(waiting.since);
            state.ended.push((waiting.release, Seen { since, ..seen }));
        }
    }

    /// Ends an execution.
    pub fn finish(&self, execution: &ReleaseId) {
        lock(&self.0).over.insert(execution.clone());
    }

    /// Has the deployment of a release fail, as CodePipeline does that got no answer.
    pub fn fail_deployment(&self, release: &ReleaseId, reason: &str) {
        lock(&self.0).failures.insert(release.clone(), reason.to_owned());
    }

    /// Has the newest rollback be one that has failed.
    pub fn fail_rollback(&self, failed: FailedRollback) {
        lock(&self.0).failed_rollback = Some(failed);
    }

    /// Ends the wait of whatever waits, as CodePipeline does when its time is over.
    pub fn expire(&self, at: Timestamp) {
        self.end(Seen {
            status: ActionStatus::Failed,
            summary: String::new(),
            identity: None,
            since: None,
            at,
        });
    }

    /// The versions whose releases were started; a second start with one token is none.
    pub fn started(&self) -> Vec<ModelPackageArn> {
        lock(&self.0).started.clone()
    }

    /// The versions whose rollbacks were started, with why; a second start with one token is none.
    pub fn rolled_back(&self) -> Vec<(u32, String)> {
        lock(&self.0).rolled_back.clone()
    }

    /// Whether a release was approved, and with which summary, once it was answered.
    pub fn answer_of(&self, release: &ReleaseId) -> Option<(bool, String)> {
        let state = lock(&self.0);
        let (_, seen) = state.ended.iter().find(|(of, _)| of == release)?;
        Some((seen.status == ActionStatus::Succeeded, seen.summary.clone()))
    }
}

impl StartReleases for ReleaseTrain {
    async fn start(
        &self,
        _pipeline: &str,
        package: &ModelPackageArn,
        ended: Option<&ReleaseId>,
        _reason: &str,
    ) -> Result<ReleaseId, AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        let token = ended.map_or_else(|| package.release_token(), |ended| package.release_token_after(ended));
        if !state.tokens.contains(&token) {
            state.tokens.push(token);
            state.started.push(package.clone());
        }
        let id = format!("00000000-0000-0000-0000-{:012}", package.version());
        id.parse()
            .map_err(|_| AwsError::new("codepipeline:StartPipelineExecution", ErrorKind::Other, "Id", id))
    }
}

impl StartRollbacks for ReleaseTrain {
    async fn roll_back(
        &self,
        _pipeline: &str,
        version: u32,
        deployed: &ReleaseId,
        reason: &str,
    ) -> Result<ReleaseId, AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        let token = ModelPackageArn::rollback_token(deployed);
        if !state.tokens.contains(&token) {
            state.tokens.push(token);
            state.rolled_back.push((version, reason.to_owned()));
        }
        Ok(deployed.clone())
    }
}

impl ReadRollbacks for ReleaseTrain {
    async fn failed_rollback(&self, _pipeline: &str) -> Result<Option<FailedRollback>, AwsError> {
        pause().await;
        Ok(lock(&self.0).failed_rollback.clone())
    }
}

impl ReadUndecided for ReleaseTrain {
    async fn undecided(&self, _pipeline: &str) -> Result<Option<ReleaseId>, AwsError> {
        pause().await;
        Ok(lock(&self.0).waiting.as_ref().map(|waiting| waiting.release.clone()))
    }
}

impl ReadApprovals for ReleaseTrain {
    async fn standing(&self, _pipeline: &str) -> Result<Standing, AwsError> {
        pause().await;
        let waiting = lock(&self.0).waiting.clone();
        Ok(Standing {
            moved: waiting.as_ref().and_then(|waiting| waiting.since),
            waiting,
        })
    }
}

impl ReadExecutions for ReleaseTrain {
    async fn is_in_progress(&self, _pipeline: &str, execution: &ReleaseId) -> Result<bool, AwsError> {
        pause().await;
        Ok(!lock(&self.0).over.contains(execution))
    }
}

impl ReadReleases for ReleaseTrain {
    async fn package_of(&self, _pipeline: &str, release: &ReleaseId) -> Result<Option<ModelPackageArn>, AwsError> {
        pause().await;
        Ok(lock(&self.0).packages.get(release).cloned())
    }

    async fn approval_of(&self, _pipeline: &str, release: &ReleaseId) -> Result<Option<Seen>, AwsError> {
        pause().await;
        let state = lock(&self.0);
        let ended = state.ended.iter().find(|(of, _)| of == release);
        let waits = state.waiting.as_ref().filter(|waiting| waiting.release == *release);
        Ok(ended.map(|(_, seen)| seen.clone()).or(waits.map(in_progress)))
    }

    async fn recent_approvals(&self, _pipeline: &str) -> Result<Vec<Recent>, AwsError> {
        pause().await;
        let state = lock(&self.0);
        let waits = state
            .waiting
            .iter()
            .map(|waiting| (waiting.release.clone(), in_progress(waiting)));
        let recent = waits
            .chain(state.ended.iter().rev().cloned())
            .map(|(release, approval)| Recent {
                failure: state.failures.get(&release).cloned(),
                release,
                approval,
            });
        Ok(recent.collect())
    }
}

fn in_progress(waiting: &Waiting) -> Seen {
    Seen {
        status: ActionStatus::InProgress,
        summary: String::new(),
        identity: None,
        since: waiting.since,
        at: waiting.since.unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

impl AnswerApprovals for ReleaseTrain {
    /// Who answers is not known; the answer is given when the wait began.
    async fn answer(&self, _pipeline: &str, token: &str, approved: bool, summary: &str) -> Result<bool, AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        let Some(waiting) = state.waiting.take_if(|waiting| waiting.token == token) else {
            return Ok(false);
        };
        let seen = Seen {
            status: if approved {
                ActionStatus::Succeeded
            } else {
                ActionStatus::Failed
            },
            summary: summary.to_owned(),
            ..in_progress(&waiting)
        };
        state.ended.push((waiting.release, seen));
        Ok(true)
    }
}
