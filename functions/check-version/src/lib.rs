//! check-version: tries a new version of a function before it gets traffic.
//!
//! CodeDeploy asks it, before it gives the first share of traffic to a version, whether to go on. It has the version run a sample of its
//! events dry (see [`signalbox_model::trial`]) and looks at what came of it: a version that can't start, misses a variable, is refused a
//! call, or would make one that it has no business with, gets no traffic.
//!
//! What AWS fails at is tried again by Lambda, and changes nothing: a dry run may be had any number of times, and the first answer to a
//! hook stands. CodeDeploy waits an hour for it.

use anyhow::Context;
use aws_config::SdkConfig;
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::deployments::{AnswerHooks, Deployments, Hook, ReadDeployments};
use signalbox_aws::error::{AwsError, ErrorKind};
use signalbox_aws::runtime::Function;
use signalbox_aws::versions::{InvokeVersions, Versions};
use signalbox_model::app_spec::{self, AppSpecError, Target};
use signalbox_model::names::{ModelName, ModelPackageGroupArn};
use signalbox_model::trial::{self, Expected};

pub mod samples;

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model, whose name the functions of the stack begin with.
    pub model: ModelName,
    /// Its versions' group: it has the Region and the account too.
    pub group: ModelPackageGroupArn,
    /// Where artifacts are.
    pub bucket: String,
}

/// The function.
#[derive(Debug)]
pub struct CheckVersion {
    settings: Settings,
    deployments: Deployments,
    versions: Versions,
}

impl Function for CheckVersion {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let settings = Settings {
            model: environment.parsed("MODEL_NAME")?,
            group: environment.parsed("MODEL_PACKAGE_GROUP_ARN")?,
            bucket: environment.required("ARTIFACT_BUCKET")?.to_owned(),
        };
        Ok(Self {
            settings,
            deployments: Deployments::new(sdk),
            versions: Versions::new(sdk),
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            deployments: &self.deployments,
            versions: &self.versions,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, D, V> {
    /// Read deployments, and answer their hooks.
    pub deployments: &'a D,
    /// Invoke versions.
    pub versions: &'a V,
}

/// Why a version could not be tried.
#[derive(Debug, thiserror::Error)]
enum Untried {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    AppSpec(#[from] AppSpecError),
    #[error(
        "there is no sample event for the function `{0}`: check-version checks the other functions of the model's stack"
    )]
    NoSample(String),
    #[error("the sample event can't be read")]
    Sample(#[from] serde_json::Error),
}

/// Answers one hook.
///
/// # Errors
/// Where the event is no hook's, or AWS fails: Lambda then tries again.
pub async fn handle<D, V>(settings: &Settings, ports: &Ports<'_, D, V>, event: Value) -> Result<Value, anyhow::Error>
where
    D: ReadDeployments + AnswerHooks,
    V: InvokeVersions,
{
    let hook = Hook::deserialize(&event).context("not an event of a CodeDeploy hook")?;
    let reasons = match check(settings, ports, &hook).await {
        Ok(reasons) => reasons,
        Err(Untried::Aws(error)) if passes(&error) => return Err(error.into()),
        Err(untried) => vec![format!("{:#}", anyhow::Error::from(untried))],
    };
    let deployment = &hook.deployment_id;
    if reasons.is_empty() {
        tracing::info!(deployment, "the version may have traffic");
    } else {
        tracing::error!(deployment, reasons = reasons.join("; "), "the version gets no traffic");
    }
    ports.deployments.answer(&hook, reasons.is_empty()).await?;
    Ok(Value::Null)
}

/// Has the version of the deployment run dry; why it gets no traffic, where it gets none.
async fn check<D, V>(settings: &Settings, ports: &Ports<'_, D, V>, hook: &Hook) -> Result<Vec<String>, Untried>
where
    D: ReadDeployments,
    V: InvokeVersions,
{
    let app_spec = ports.deployments.app_spec(&hook.deployment_id).await?;
    let Target { function, version } = app_spec::target(&app_spec)?;
    let Some(sample) = samples::of(&settings.model, &function) else {
        return Err(Untried::NoSample(function));
    };
    let event = trial::envelope(sample.event(&settings.group, &settings.bucket)?);
    let invocation = ports.versions.invoke(&function, &version, &event).await?;
    let expected = Expected {
        version: &version,
        held: sample.held,
        refused: sample.refused,
    };
    let faults = trial::judge(expected, &invocation);
    Ok(faults.iter().map(ToString::to_string).collect())
}

/// Whether the failure may pass. Others are a reason for the deployment to fail at once.
fn passes(error: &AwsError) -> bool {
    matches!(error.kind, ErrorKind::Transient | ErrorKind::Busy | ErrorKind::Conflict)
}

#[cfg(test)]
mod tests;
