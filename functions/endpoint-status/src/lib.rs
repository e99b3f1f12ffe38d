//! endpoint-status: watches the endpoint during and after a release.
//!
//! Tells when an update is being rolled back, or when the endpoint is in a state that only a person can mend. When an alarm fires
//! within the guard time after a deployment, it brings back the configuration that served before, marks the version, and tells.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_config::SdkConfig;
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::endpoints::{Endpoints, ReadEndpoints, ReadReplaced, UpdateEndpoints};
use signalbox_aws::error::ErrorKind;
use signalbox_aws::notices::{Publish, Sns};
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::runtime::Function;
use signalbox_model::endpoint::Status;
use signalbox_model::event::Event;
use signalbox_model::mail;
use signalbox_model::names::{ModelName, ModelPackageArn, version_of_config};
use signalbox_model::notice::Notice;
use signalbox_model::package::{ApprovalStatus, Outcome, key};
use signalbox_model::rollout::{Plan, Routing, Traffic};
use signalbox_model::watch::{self, Reaction};

/// How an alarm brings the version before back.
const ROLLBACK: Plan = Plan {
    traffic: Traffic::BlueGreen {
        routing: Routing::AllAtOnce,
        wait_seconds: 0,
        termination_wait_seconds: 0,
    },
    timeout_seconds: 3600,
    // The alarm that asks for this fires now, and would roll it back.
    alarms: Vec::new(),
};

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model, and so the endpoint.
    pub model: ModelName,
    /// Where notices go.
    pub notices_topic_arn: String,
    /// How long after a deployment an alarm brings the version before back.
    pub guard: SignedDuration,
}

/// The function.
#[derive(Debug)]
pub struct EndpointStatus {
    settings: Settings,
    registry: Registry,
    endpoints: Endpoints,
    notices: Sns,
}

impl Function for EndpointStatus {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let settings = Settings {
            model: environment.parsed("MODEL_NAME")?,
            notices_topic_arn: environment.required("NOTICES_TOPIC_ARN")?.to_owned(),
            guard: SignedDuration::from_mins(environment.parsed("GUARD_MINUTES")?),
        };
        Ok(Self {
            settings,
            registry: Registry::new(sdk),
            endpoints: Endpoints::new(sdk),
            notices: Sns::new(sdk),
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        handle(&self.settings, &self.registry, &self.endpoints, &self.notices, event).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointChanged {
    endpoint_status: String,
    endpoint_config_name: Option<String>,
    failure_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlarmChanged {
    alarm_name: String,
    state: AlarmState,
}

#[derive(Debug, Deserialize)]
struct AlarmState {
    value: String,
    #[serde(default)]
    reason: String,
}

/// Handles one event.
///
/// # Errors
/// Where the event is none that this function takes, or AWS fails: Lambda then tries again.
pub async fn handle(
    settings: &Settings,
    registry: &(impl ReadPackages + WritePackages),
    endpoints: &(impl ReadEndpoints + ReadReplaced + UpdateEndpoints),
    notices: &impl Publish,
    event: Value,
) -> Result<Value, anyhow::Error> {
    let event = Event::parse(event)?;
    match event.kind() {
        ("aws.sagemaker", "SageMaker Endpoint State Change") => {
            let changed: EndpointChanged = event.detail()?;
            if let Some(notice) = notice_of(settings, &changed) {
                notices
                    .publish(&settings.notices_topic_arn, &notice, &BTreeMap::new())
                    .await?;
            }
        }
        ("aws.cloudwatch", "CloudWatch Alarm State Change") => {
            guard(settings, registry, endpoints, notices, &event).await?;
        }
        _ => return Err(event.unknown().into()),
    }
    Ok(Value::Null)
}

/// What people are told of a change. That a version serves is told by the release that brought it.
fn notice_of(settings: &Settings, changed: &EndpointChanged) -> Option<Notice> {
    let model = &settings.model;
    let config = changed.endpoint_config_name.as_deref().unwrap_or("unknown");
    let reason = changed.failure_reason.as_deref().unwrap_or("SageMaker gives no reason");
    let status = Status::parse(&changed.endpoint_status);
    tracing::info!(status = changed.endpoint_status, config, reason, "the endpoint changed");
    let (subject, text) = match status? {
        Status::RollingBack => (
            "is rolling back",
            "The update is being rolled back; the release's notice will say how it ended.",
        ),
        Status::UpdateRollbackFailed => (
            "endpoint is stuck between two versions",
            "The update failed and so did its rollback: both fleets serve. Release a good version again, which mends it.",
        ),
        Status::Failed => (
            "endpoint has failed",
            "A failed endpoint can only be deleted: delete it, and retry the Deploy stage of the release pipeline.",
        ),
        _ => return None,
    };
    let body = format!("{text}\n\nEndpoint configuration: {config}\nReason: {reason}\n");
    Some(Notice::new(&format!("[signalbox] {model} {subject}"), body))
}

/// An alarm: after a deployment, it brings the version before back.
async fn guard(
    settings: &Settings,
    registry: &(impl ReadPackages + WritePackages),
    endpoints: &(impl ReadEndpoints + ReadReplaced + UpdateEndpoints),
    notices: &impl Publish,
    event: &Event,
) -> Result<(), anyhow::Error> {
    let alarm: AlarmChanged = event.detail()?;
    if alarm.state.value != "ALARM" {
        return Ok(());
    }
    let fired = event.time.context("the alarm's event has no `time`")?;
    let name = settings.model.as_str();
    let Some(endpoint) = endpoints.endpoint(name).await? else {
        tracing::info!(alarm = alarm.alarm_name, "an alarm without an endpoint");
        return Ok(());
    };
    let arn = event.resources.first().map(String::as_str).unwrap_or_default();
    let config_arn = config_arn(arn, &endpoint.config).context("the alarm's event has no `resources`")?;
    let previous = endpoints.replaced(&config_arn).await?;
    let pending = endpoint.pending.as_ref().map(|pending| pending.config.as_str());
    let to = match watch::decide(&endpoint, previous.as_deref(), fired, settings.guard) {
        Reaction::RollBack { to } => {
            match endpoints.update(name, &to, &ROLLBACK).await {
                // Somebody was faster; the next alarm, or the release itself, looks again.
                Err(error) if error.kind == ErrorKind::Busy => return Ok(()),
                done => done?,
            }
            to
        }
        Reaction::Leave(reason) => match previous {
            // Asked for already, by another alarm or by a try that may have died before it told.
            Some(previous) if pending == Some(previous.as_str()) => previous,
            _ => {
                tracing::info!(alarm = alarm.alarm_name, reason, "nothing to do");
                return Ok(());
            }
        },
    };
    let Some((package, version)) = package_of(arn, &endpoint.config) else {
        return Ok(());
    };
    // That it is there is known by reading it: a configuration made by hand may be named after a version that never was.
    let known = match registry.package(&package).await {
        Ok(known) => Some(known),
        Err(error) if error.kind == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    if known
        .as_ref()
        .is_some_and(|known| known.outcome() == Some(Outcome::RolledBack))
    {
        tracing::info!(alarm = alarm.alarm_name, version, "told and marked before");
        return Ok(());
    }
    let reason = format!(
        "the alarm {} fired after the deployment: {}",
        alarm.alarm_name, alarm.state.reason
    );
    let serving = package_of(arn, &to).map(|(_, version)| version);
    let notice = mail::rolled_back(&settings.model, version, serving, Some(&alarm.alarm_name), &reason);
    notices
        .publish(&settings.notices_topic_arn, &notice, &BTreeMap::new())
        .await?;
    let metadata = BTreeMap::from([
        (key::OUTCOME.to_owned(), Outcome::RolledBack.as_str().to_owned()),
        (key::REASON.to_owned(), reason.clone()),
    ]);
    match known {
        // Quarantine: approving it anew in the registry is what releases it.
        Some(_) => {
            registry
                .decide(&package, ApprovalStatus::Rejected, &reason, &metadata)
                .await?
        }
        None => tracing::warn!(%package, "no such version to mark"),
    }
    Ok(())
}

/// `arn:aws:sagemaker:REGION:ACCOUNT:endpoint-config/NAME`, from the alarm's ARN, which is of the same Region and account.
fn config_arn(alarm_arn: &str, config: &str) -> Option<String> {
    let mut parts = alarm_arn.splitn(6, ':');
    let (_, partition, _, region, account) = (
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
    );
    Some(format!(
        "arn:{partition}:sagemaker:{region}:{account}:endpoint-config/{config}"
    ))
}

/// The version that a configuration, `GROUP-vN-RELEASE`, serves.
fn package_of(alarm_arn: &str, config: &str) -> Option<(ModelPackageArn, u32)> {
    let (group, version) = version_of_config(config)?;
    let arn = config_arn(alarm_arn, "")?.replace("endpoint-config/", &format!("model-package/{group}/{version}"));
    Some((arn.parse().ok()?, version))
}

#[cfg(test)]
mod tests;
