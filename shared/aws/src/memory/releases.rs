//! Twin of the release pipeline.

use std::collections::BTreeMap;
use std::sync::Mutex;

use signalbox_model::names::{ModelPackageArn, ReleaseId};

use super::{lock, pause};
use crate::error::{AwsError, ErrorKind};
use crate::releases::{
    AnswerApprovals, Approval, ReadApprovals, ReadReleases, StartReleases, StartRollbacks, WaitingApproval,
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
    waiting: Option<WaitingApproval>,
    answered: BTreeMap<ReleaseId, Approval>,
}

impl ReleaseTrain {
    /// Lets a release wait for its approval.
    pub fn wait(&self, waiting: WaitingApproval) {
        let mut state = lock(&self.0);
        state.packages.insert(waiting.release.clone(), waiting.package.clone());
        state.waiting = Some(waiting);
    }

    /// Ends the wait of whatever waits, as CodePipeline does when its time is over.
    pub fn expire(&self) {
        let mut state = lock(&self.0);
        if let Some(waiting) = state.waiting.take() {
            state.answered.insert(
                waiting.release,
                Approval {
                    approved: false,
                    summary: String::new(),
                },
            );
        }
    }

    /// The versions whose releases were started; a second start with one token is none.
    pub fn started(&self) -> Vec<ModelPackageArn> {
        lock(&self.0).started.clone()
    }

    /// The versions whose rollbacks were started, with why; a second start with one token is none.
    pub fn rolled_back(&self) -> Vec<(u32, String)> {
        lock(&self.0).rolled_back.clone()
    }

    /// How a release was answered.
    pub fn answer_of(&self, release: &ReleaseId) -> Option<Approval> {
        lock(&self.0).answered.get(release).cloned()
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

impl ReadApprovals for ReleaseTrain {
    async fn waiting(&self, _pipeline: &str) -> Result<Option<(ReleaseId, String)>, AwsError> {
        pause().await;
        let state = lock(&self.0);
        Ok(state
            .waiting
            .as_ref()
            .map(|waiting| (waiting.release.clone(), waiting.token.clone())))
    }
}

impl ReadReleases for ReleaseTrain {
    async fn package_of(&self, _pipeline: &str, release: &ReleaseId) -> Result<Option<ModelPackageArn>, AwsError> {
        pause().await;
        Ok(lock(&self.0).packages.get(release).cloned())
    }

    async fn approval_of(&self, _pipeline: &str, release: &ReleaseId) -> Result<Option<Approval>, AwsError> {
        pause().await;
        Ok(lock(&self.0).answered.get(release).cloned())
    }
}

impl AnswerApprovals for ReleaseTrain {
    async fn answer(&self, _pipeline: &str, token: &str, approved: bool, summary: &str) -> Result<bool, AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        let Some(waiting) = state.waiting.take_if(|waiting| waiting.token == token) else {
            return Ok(false);
        };
        state.answered.insert(
            waiting.release,
            Approval {
                approved,
                summary: summary.to_owned(),
            },
        );
        Ok(true)
    }
}
