//! What runs outside of the cloud: builds, jobs, the endpoint's servers and their users.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use local::cloud::effect::{Build, BuildOutcome, EffectId, Job, JobKind, JobOutcome, StartInstance};

use super::{Due, World};
use crate::candidate::{self, Candidate};
use crate::pacing::Outside;

/// How long the start of a server takes, in seconds of virtual time.
const INSTANCE_SECONDS: i64 = 90;
/// How often the users of the endpoint call, and how often each time.
const TRAFFIC_SECONDS: i64 = 10;
const TRAFFIC_REQUESTS: usize = 12;

/// A server of the endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// The endpoint configuration that it was started for.
    pub config: String,
    /// What it serves.
    pub candidate: Candidate,
    /// Since when it serves.
    pub up: Option<Timestamp>,
}

impl Instance {
    /// The share of requests that it answers with 500.
    fn error_rate(&self, now: Timestamp) -> f64 {
        let well = SignedDuration::from_secs(self.candidate.well_seconds.into());
        match self.up {
            Some(up) if now.duration_since(up) >= well => self.candidate.error_rate,
            _ => 0.0,
        }
    }
}

/// When the endpoint's users call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Traffic {
    Never,
    /// While some of its servers fail: what is answered well changes nothing.
    WhileFailing,
    Always,
}

impl World {
    /// The servers of the endpoint.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// Starts a server.
    pub(super) fn start(&mut self, start: &StartInstance) -> Result<()> {
        let candidate = candidate::in_tar_gz(&start.model_archive).context("no candidate in the model archive")?;
        let instance = Instance {
            config: start.config.clone(),
            candidate,
            up: None,
        };
        self.instances.insert(start.id, instance);
        let time = SignedDuration::from_secs(INSTANCE_SECONDS);
        let time = self.takes(Outside::Instance, time);
        self.due_after(time, Due::Start(start.id));
        if self.traffic != Traffic::Never && !self.due_work.values().any(|due| matches!(due, Due::Traffic)) {
            self.due_after(SignedDuration::from_secs(TRAFFIC_SECONDS), Due::Traffic);
        }
        Ok(())
    }

    /// A server is up, or is not.
    pub(super) fn started(&mut self, id: EffectId) {
        let now = self.cloud().now();
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        let started = if instance.candidate.starts {
            instance.up = Some(now);
            Ok(())
        } else {
            Err(
                "The primary container for production variant AllTraffic did not pass the ping health check."
                    .to_owned(),
            )
        };
        self.cloud().finish_start(id, started);
    }

    /// The endpoint's users call, and will again as long as there are servers.
    pub(super) fn serve(&mut self) {
        self.call_endpoint();
        if !self.instances.is_empty() {
            self.due_after(SignedDuration::from_secs(TRAFFIC_SECONDS), Due::Traffic);
        }
    }

    fn call_endpoint(&mut self) {
        let now = self.cloud().now();
        let fails = |instance: &Instance| instance.error_rate(now) > 0.0;
        if self.traffic == Traffic::WhileFailing && !self.instances.values().any(fails) {
            return;
        }
        let endpoint = self.model();
        for _ in 0..TRAFFIC_REQUESTS {
            let mut cloud = self.inside.cloud();
            let Ok(route) = cloud.route(&endpoint) else { return };
            self.errors_owed += self
                .instances
                .get(&route.instance)
                .map_or(0.0, |instance| instance.error_rate(now));
            let status = if self.errors_owed >= 1.0 { 500 } else { 200 };
            if status == 500 {
                self.errors_owed -= 1.0;
                self.failed += 1;
            } else {
                self.served += 1;
            }
            cloud.record_invocation(route.instance, status, 2_000);
        }
    }
}

/// CodeBuild: the tests, then the source as it is.
pub(super) fn outcome_of_build(build: &Build) -> BuildOutcome {
    match candidate::in_zip(&build.source) {
        Some(candidate) if candidate.tests_pass => BuildOutcome::Succeeded(build.source.clone()),
        _ => BuildOutcome::Failed {
            phase: "BUILD".into(),
            message:
                "COMMAND_EXECUTION_ERROR: Error while executing command: python3 -m unittest. Reason: exit status 1"
                    .into(),
            log_tail: "FAILED (failures=1)".into(),
        },
    }
}

/// A job's container: the candidate says what its scripts would do.
pub(super) fn outcome_of_job(job: &Job) -> Result<JobOutcome> {
    let in_inputs = || job.inputs.iter().find_map(|(_, content)| Candidate::find(content));
    let candidate = job
        .source_archive
        .as_deref()
        .and_then(candidate::in_tar_gz)
        .or_else(in_inputs);
    let candidate = candidate.with_context(|| format!("no candidate in the job {}", job.name))?;
    if job.kind == JobKind::Training && !candidate.trains {
        return Ok(JobOutcome::Failed {
            reason: "AlgorithmError: ExecuteUserScriptError: no data, exit code: 1".into(),
        });
    }
    let script = Bytes::from(candidate.script());
    let mut outputs = BTreeMap::new();
    for (name, path) in &job.outputs {
        let file = match job.kind {
            JobKind::Training => ("code/serve.py".to_owned(), script.clone()),
            JobKind::Processing if path.contains("evaluation") => {
                ("evaluation.json".to_owned(), Bytes::from(candidate.report.clone()))
            }
            JobKind::Processing => ("part.csv".to_owned(), Bytes::from_static(b"label,x\n1,2\n")),
        };
        outputs.insert(name.clone(), vec![file]);
    }
    Ok(JobOutcome::Succeeded(outputs))
}
