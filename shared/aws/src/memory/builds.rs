//! Twin of a project's builds.

use std::sync::Mutex;

use signalbox_model::build::{Build, Status};
use signalbox_model::names::CommitId;

use super::{lock, pause};
use crate::builds::{NEWEST_MAX, ReadBuilds, StartBuilds};
use crate::error::AwsError;

/// Twin of [`Builds`](crate::builds::Builds), of one project.
#[derive(Debug, Default)]
pub struct ProjectBuilds(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// From the oldest.
    builds: Vec<Build>,
    /// The tokens that are valid, each with the build that it started.
    tokens: Vec<(String, String)>,
}

impl ProjectBuilds {
    /// Puts a build there: as the newest, or in place of the one with its id.
    pub fn put(&self, build: Build) {
        let builds = &mut lock(&self.0).builds;
        match builds.iter_mut().find(|other| other.id == build.id) {
            Some(same) => *same = build,
            None => builds.push(build),
        }
    }

    /// All builds, from the oldest.
    pub fn all(&self) -> Vec<Build> {
        lock(&self.0).builds.clone()
    }

    /// Forgets the tokens, as CodeBuild does after five minutes.
    pub fn forget_tokens(&self) {
        lock(&self.0).tokens.clear();
    }
}

impl StartBuilds for ProjectBuilds {
    async fn start(&self, project: &str, commit: &CommitId) -> Result<String, AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        let token = commit.build_token();
        if let Some((_, id)) = state.tokens.iter().find(|(other, _)| *other == token) {
            return Ok(id.clone());
        }
        let id = format!("{project}:{}", state.builds.len() + 1);
        state.tokens.push((token, id.clone()));
        state.builds.push(Build {
            id: id.clone(),
            commit: Some(commit.clone()),
            status: Status::InProgress,
            phases: Vec::new(),
            started_at: None,
            ended_at: None,
            log_url: None,
        });
        Ok(id)
    }
}

impl ReadBuilds for ProjectBuilds {
    async fn build(&self, id: &str) -> Result<Option<Build>, AwsError> {
        pause().await;
        Ok(lock(&self.0).builds.iter().find(|build| build.id == id).cloned())
    }

    async fn newest_builds(&self, _project: &str) -> Result<Vec<Build>, AwsError> {
        pause().await;
        Ok(lock(&self.0).builds.iter().rev().take(NEWEST_MAX).cloned().collect())
    }
}
