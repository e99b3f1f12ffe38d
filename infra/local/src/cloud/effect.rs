//! What the cloud wants done outside, and how it is told what came of it.
//!
//! The core does no I/O. It queues effects; the front end takes them with [`Cloud::take_effects`](super::Cloud::take_effects),
//! does them, and reports with the method named at each.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

/// The id under which an effect is reported on.
pub type EffectId = u64;

/// Something to be done outside.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Run a function; report with [`finish_invocation`](super::Cloud::finish_invocation).
    Invoke(Invoke),
    /// Run a build; report with [`finish_build`](super::Cloud::finish_build).
    Build(Build),
    /// Run a processing or training job; report with [`finish_job`](super::Cloud::finish_job).
    Job(Job),
    /// Start one instance of an endpoint's fleet; report with [`finish_start`](super::Cloud::finish_start).
    StartInstance(StartInstance),
    /// Stop an instance; nothing to report.
    StopInstance {
        /// The id of its [`StartInstance`].
        id: EffectId,
    },
    /// A merge has moved a branch of a repository; nothing to report.
    MoveBranch {
        /// The repository's name.
        repository: String,
        /// The branch's name.
        branch: String,
        /// The commit that it pointed to.
        from: String,
        /// The commit that it points to now.
        to: String,
    },
    /// A mail has been delivered; nothing to report. It is also kept in the cloud's inbox.
    Mail(Mail),
}

/// One invocation of a function.
#[derive(Debug, Clone)]
pub struct Invoke {
    /// The invocation.
    pub id: EffectId,
    /// The function's name.
    pub function: String,
    /// The alias or version that was asked for, if any.
    pub qualifier: Option<String>,
    /// The version that runs: its number, or `$LATEST`.
    pub version: String,
    /// `AwsRequestId`.
    pub request_id: String,
    /// The event.
    pub payload: Value,
    /// How long it may run.
    pub timeout_seconds: u32,
}

/// What came of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub enum InvocationOutcome {
    /// The function answered.
    Answer(Value),
    /// The function answered with an error.
    Error {
        /// `errorType`.
        kind: String,
        /// `errorMessage`.
        message: String,
    },
    /// The function was killed: its time was up, or its process ended.
    Killed(String),
}

/// One build of a CodeBuild project.
#[derive(Debug, Clone)]
pub struct Build {
    /// The build.
    pub id: EffectId,
    /// The project's name.
    pub project: String,
    /// The CodeBuild build id, `PROJECT:UUID`.
    pub build_id: String,
    /// The source artifact, a zip.
    pub source: Bytes,
    /// The buildspec's path within the source, or its text where the project has it inline.
    pub buildspec: Option<String>,
    /// Environment variables, the project's and CodeBuild's own.
    pub environment: BTreeMap<String, String>,
    /// Whether the buildspec's artifact is wanted. Where it is not, nothing is looked for, and the outcome has an empty one.
    pub has_artifact: bool,
}

/// What came of a build.
#[derive(Debug, Clone, PartialEq)]
pub enum BuildOutcome {
    /// It passed; here is the output artifact, a zip, if one is wanted.
    Succeeded(Bytes),
    /// It failed.
    Failed {
        /// The phase: `DOWNLOAD_SOURCE`, `INSTALL`, `PRE_BUILD`, `BUILD`, `POST_BUILD`, `UPLOAD_ARTIFACTS`.
        phase: String,
        /// `COMMAND_EXECUTION_ERROR` and the like, with what was run.
        message: String,
        /// The end of the build's log.
        log_tail: String,
    },
}

/// What kind of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// A processing job: `/opt/ml/processing/…`.
    Processing,
    /// A training job in script mode: `SM_CHANNEL_*`, `SM_MODEL_DIR`, hyperparameters.
    Training,
}

/// A SageMaker job: what is in its container and what is run there.
#[derive(Debug, Clone)]
pub struct Job {
    /// The job.
    pub id: EffectId,
    /// Which kind.
    pub kind: JobKind,
    /// The job's name.
    pub name: String,
    /// What is run. Paths below `/opt/ml` are those of the container; a front end without containers replaces the prefix.
    pub command: Vec<String>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Hyperparameters (training).
    pub hyperparameters: BTreeMap<String, String>,
    /// Files to be there before: container path and content. Archives in script mode's `sourcedir.tar.gz` come unpacked by the
    /// front end: see [`source_archive`](Self::source_archive).
    pub inputs: Vec<(String, Bytes)>,
    /// Script mode's archive with the code.
    pub source_archive: Option<Bytes>,
    /// What to bring back: name and container path. Processing outputs are folders; a training job's `model` is `/opt/ml/model`.
    pub outputs: Vec<(String, String)>,
    /// How long it may run.
    pub timeout_seconds: u64,
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum JobOutcome {
    /// Exit code 0; the files of each output by name: path relative to the output's folder, and content.
    Succeeded(BTreeMap<String, Vec<(String, Bytes)>>),
    /// Another exit code, or the time was up.
    Failed {
        /// What SageMaker would say: `AlgorithmError: …, exit code: 1`.
        reason: String,
    },
}

/// One instance of a fleet: a server that answers `GET /ping` and `POST /invocations`.
#[derive(Debug, Clone)]
pub struct StartInstance {
    /// The instance, until it is stopped.
    pub id: EffectId,
    /// The endpoint.
    pub endpoint: String,
    /// The endpoint configuration.
    pub config: String,
    /// The model archive, a tar.gz; unpacked to `/opt/ml/model`.
    pub model_archive: Bytes,
    /// The container's environment.
    pub environment: BTreeMap<String, String>,
}

/// A mail, as SNS sends it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mail {
    /// The inbox's number for it, from 1.
    pub number: usize,
    /// When it was sent.
    pub time: jiff::Timestamp,
    /// The address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub body: String,
    /// The topic.
    pub topic_arn: String,
}
