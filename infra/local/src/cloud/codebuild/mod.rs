//! CodeBuild: projects, and builds that CodePipeline or a caller of `StartBuild` starts.
//!
//! [`project`] is a project of the template; [`start`] are the two doors that builds come in by; [`run`] begins and ends them,
//! [`role`] is what they do in the project's role; [`api`] answers the calls; [`tell`] puts events. A build itself runs outside, as an
//! [`Effect::Build`](super::effect::Effect::Build); its phases before the source is there take no time, and all the time of the rest is
//! that of the phase in which it ended.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::effect::EffectId;

mod api;
mod project;
mod role;
mod run;
mod start;
mod tell;
#[cfg(test)]
mod tests;

pub(crate) use self::api::call;
pub(crate) use self::project::deploy;
pub(crate) use self::run::{code_and_message, console_link, on_timer};
pub(crate) use self::start::start;

/// How long a build may take where the project does not say, in minutes.
const TIMEOUT_MINUTES: u32 = 60;

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    projects: BTreeMap<String, Project>,
    builds: BTreeMap<String, Build>,
    by_effect: BTreeMap<EffectId, String>,
    /// What `StartBuild` was asked under each idempotency token, while that is valid.
    asked: BTreeMap<String, Asked>,
}

/// One call of `StartBuild` that had a token.
#[derive(Debug)]
struct Asked {
    time: Timestamp,
    input: Value,
    build: String,
}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// A build's time is up.
    Timeout(String),
    /// A build finds that its source is not there, or that its role lacks what it needs.
    Broken {
        /// The build.
        build: String,
        /// The phase that fails.
        phase: &'static str,
        /// Code and message.
        message: String,
    },
}

/// What CodePipeline asks for.
#[derive(Debug)]
pub(crate) struct Request {
    /// The project's name.
    pub(crate) project: String,
    /// Who starts the build: `codepipeline/PIPELINE`.
    pub(crate) initiator: String,
    /// The source, a zip.
    pub(crate) source: Bytes,
    /// Where the source is: `BUCKET/KEY`.
    pub(crate) source_location: String,
    /// The commit that the source comes from.
    pub(crate) revision: Option<String>,
    /// Where the output goes: `BUCKET/KEY`.
    pub(crate) output_location: Option<String>,
    /// The action's `EnvironmentVariables`: a JSON list of `{name, value, type}`.
    pub(crate) environment: Option<String>,
    /// The key of KMS that artifacts are encrypted with, where it is not the bucket's own.
    pub(crate) key: Option<String>,
}

#[derive(Debug)]
struct Project {
    name: String,
    arn: String,
    description: Option<String>,
    role: String,
    source: Source,
    buildspec: Option<String>,
    kind: String,
    compute: String,
    image: String,
    privileged: bool,
    variables: Vec<Variable>,
    timeout_minutes: u32,
    /// The log group, where the builds' logs are kept.
    log_group: Option<String>,
    /// The key of KMS that output is encrypted with, where a pipeline has none for it, by id, ARN or alias.
    key: Option<String>,
    created: Timestamp,
    /// By start.
    builds: Vec<String>,
}

/// Where a project's builds take their source from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// An artifact of the pipeline that starts the build; its output becomes one.
    CodePipeline,
    /// The repository at this clone URL. There is no output.
    CodeCommit(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Debug)]
struct Build {
    id: String,
    arn: String,
    number: usize,
    project: String,
    started: Timestamp,
    ended: Option<Timestamp>,
    status: &'static str,
    phases: Vec<Phase>,
    initiator: String,
    /// The version of the source as it was asked for.
    source_version: Option<String>,
    /// The commit that this is.
    revision: Option<String>,
    output_location: Option<String>,
    /// The key of KMS that the output is encrypted with, where it is not the bucket's own.
    key: Option<String>,
    variables: Vec<Variable>,
}

#[derive(Debug, Clone)]
struct Phase {
    name: &'static str,
    status: &'static str,
    started: Timestamp,
    ended: Timestamp,
    /// Code and message of a phase that failed.
    context: Option<(String, String)>,
}
