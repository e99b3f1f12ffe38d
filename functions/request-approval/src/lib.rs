//! request-approval: one mail per approver, with the evidence and a link of their own.
//!
//! Woken by the approval action's SNS message. Where the registry has decided already, or the policy is automatic, the action is
//! answered at once. Otherwise each approver is sent a link whose claims KMS has authenticated for that approver, that version and
//! that approval alone; the approval's token is in the link as a digest only.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use aws_config::SdkConfig;
use aws_lambda_events::sns::SnsEvent;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::evidence::{Policies, champion_with_metrics, metrics_of};
use signalbox_aws::macs::{GenerateMac, Macs};
use signalbox_aws::notices::{Publish, Sns};
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::releases::{AnswerApprovals, Releases};
use signalbox_aws::runtime::Function;
use signalbox_aws::storage::{ReadObjects, S3};
use signalbox_model::link::{Claims, SignedLink, token_digest};
use signalbox_model::mail;
use signalbox_model::names::{ModelPackageArn, ReleaseId};
use signalbox_model::package::{ApprovalStatus, key};

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The approvers.
    Manual,
    /// The policy: what has passed the gate is approved.
    Automatic,
}

impl std::str::FromStr for Mode {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, &'static str> {
        match word {
            "manual" => Ok(Self::Manual),
            "automatic" => Ok(Self::Automatic),
            _ => Err("write manual or automatic"),
        }
    }
}

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What people are shown of every candidate.
    pub policies: Policies,
    /// The release pipeline.
    pub release_pipeline: String,
    /// Where the mails go.
    pub approvals_topic_arn: String,
    /// Who answers.
    pub mode: Mode,
    /// The page's address.
    pub page_url: String,
}

/// The function.
#[derive(Debug)]
pub struct RequestApproval {
    settings: Settings,
    registry: Registry,
    objects: S3,
    releases: Releases,
    macs: Macs,
    approvals: Sns,
}

impl Function for RequestApproval {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let settings = Settings {
            policies: Policies::from_environment(environment)?,
            release_pipeline: environment.required("RELEASE_PIPELINE")?.to_owned(),
            approvals_topic_arn: environment.required("APPROVALS_TOPIC_ARN")?.to_owned(),
            mode: environment.parsed("APPROVAL_MODE")?,
            page_url: environment.required("PAGE_URL")?.to_owned(),
        };
        Ok(Self {
            settings,
            registry: Registry::new(sdk),
            objects: S3::new(sdk),
            releases: Releases::new(sdk),
            macs: Macs::new(sdk, environment.required("LINK_KEY_ID")?),
            approvals: Sns::new(sdk),
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            registry: &self.registry,
            objects: &self.objects,
            releases: &self.releases,
            macs: &self.macs,
            approvals: &self.approvals,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, R, O, A, M, N> {
    /// Read and write versions.
    pub registry: &'a R,
    /// Read evaluation reports.
    pub objects: &'a O,
    /// Answer the approval.
    pub releases: &'a A,
    /// Make MACs.
    pub macs: &'a M,
    /// Mail the approvers.
    pub approvals: &'a N,
}

/// CodePipeline's message. It has no `Debug`: the token answers the approval.
#[derive(Deserialize)]
struct ApprovalMessage {
    approval: Approval,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Approval {
    pipeline_name: String,
    stage_name: String,
    action_name: String,
    token: String,
    expires: String,
    custom_data: Option<String>,
}

/// The action's CustomData, as the template writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomData {
    model_package: ModelPackageArn,
    release: ReleaseId,
}

/// Handles one SNS event.
///
/// # Errors
/// Where the message is no approval of this pipeline's, or AWS fails: Lambda then tries again.
pub async fn handle<R, O, A, M, N>(
    settings: &Settings,
    ports: &Ports<'_, R, O, A, M, N>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    A: AnswerApprovals,
    M: GenerateMac,
    N: Publish,
{
    let event: SnsEvent = serde_json::from_value(event).context("not an SNS event")?;
    for record in event.records {
        let sns = record.sns;
        let published = Timestamp::from_millisecond(sns.timestamp.timestamp_millis()).ok();
        // serde's message would quote the text, and the text holds the token.
        let message: ApprovalMessage = serde_json::from_str(&sns.message).map_err(|error| {
            anyhow!(
                "the SNS message is not a CodePipeline approval (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        request(settings, ports, &message.approval, published).await?;
    }
    Ok(Value::Null)
}

async fn request<R, O, A, M, N>(
    settings: &Settings,
    ports: &Ports<'_, R, O, A, M, N>,
    approval: &Approval,
    now: Option<Timestamp>,
) -> Result<(), anyhow::Error>
where
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    A: AnswerApprovals,
    M: GenerateMac,
    N: Publish,
{
    if approval.pipeline_name != settings.release_pipeline {
        return Err(anyhow!(
            "the approval is of the pipeline `{}`, not `{}`",
            approval.pipeline_name,
            settings.release_pipeline
        ));
    }
    let custom_data = approval
        .custom_data
        .as_deref()
        .context("the approval has no customData; the template sets it as JSON")?;
    let CustomData { model_package, release } =
        serde_json::from_str(custom_data).context("the approval's customData")?;
    let expires = expiry(&approval.expires)?;
    let answer = async |approved: bool, summary: &str| -> Result<(), anyhow::Error> {
        let first = ports
            .releases
            .answer(&settings.release_pipeline, &approval.token, approved, summary)
            .await?;
        tracing::info!(version = model_package.label(), %release, approved, first, summary, "answered");
        Ok(())
    };

    let package = ports.registry.package(&model_package).await?;
    let by = package
        .metadata
        .get(key::DECIDED_BY)
        .map_or("the model registry", String::as_str);
    match package.approval {
        _ if !package.gate_held() => {
            return answer(false, "the version has not passed the gate; it can't be released").await;
        }
        ApprovalStatus::Approved => return answer(true, &format!("approved before by {by}")).await,
        ApprovalStatus::Rejected => return answer(false, &format!("rejected before by {by}")).await,
        ApprovalStatus::PendingManualApproval => {}
    }
    let metrics = match metrics_of(&package, ports.objects).await {
        Ok(metrics) => metrics,
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => return answer(false, &format!("nobody can judge it: {:#}", anyhow::Error::new(error))).await,
    };
    if settings.mode == Mode::Automatic {
        let mut metadata = BTreeMap::from([(key::DECIDED_BY.to_owned(), "the automatic policy".to_owned())]);
        metadata.extend(now.map(|now| (key::DECIDED_AT.to_owned(), now.to_string())));
        let description = "approved by the automatic policy: it has passed the gate";
        ports
            .registry
            .decide(&model_package, ApprovalStatus::Approved, description, &metadata)
            .await?;
        return answer(true, description).await;
    }
    let champion = champion_with_metrics(&package, ports.registry, ports.objects).await?;
    let evidence = settings.policies.evidence(&package, metrics, champion, expires);
    for approver in &settings.policies.approvers {
        let claims = Claims {
            pipeline: approval.pipeline_name.clone(),
            stage: approval.stage_name.clone(),
            action: approval.action_name.clone(),
            token_digest: token_digest(&approval.token),
            release: release.clone(),
            package: model_package.clone(),
            approver: approver.clone(),
            expires,
            evidence: evidence.digest(),
        };
        let mac = ports.macs.generate(claims.message()).await?;
        let link = SignedLink { claims, mac }.url(&settings.page_url);
        let notice = mail::approval_request(&evidence, approver, &link);
        // The topic's subscriptions filter by this attribute, so that nobody gets another's link.
        let attributes = BTreeMap::from([("approver".to_owned(), approver.clone())]);
        ports
            .approvals
            .publish(&settings.approvals_topic_arn, &notice, &attributes)
            .await?;
    }
    tracing::info!(version = model_package.label(), %release, approvers = settings.policies.approvers.len(), "asked");
    Ok(())
}

/// CodePipeline writes the time without seconds: `2016-07-07T20:22Z`.
fn expiry(text: &str) -> Result<Timestamp, anyhow::Error> {
    let with_seconds = match text.strip_suffix('Z') {
        Some(minutes) if text.len() == 17 => format!("{minutes}:00Z"),
        _ => text.to_owned(),
    };
    with_seconds
        .parse()
        .with_context(|| format!("the approval's expiry `{text}`"))
}

#[cfg(test)]
mod tests;
