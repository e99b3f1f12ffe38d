//! request-approval: one mail per approver, with the evidence and a link of their own.
//!
//! Woken by the approval action's SNS message. Where the registry has decided already, the policy is automatic, or a newer candidate
//! waits behind this one, the action is answered at once. Otherwise each approver is sent a link whose claims KMS has authenticated
//! for that approver, that version and that approval alone; the approval's token is in the link as a digest only.
//!
//! That the approvers were asked, and on what, is noted on the version. By that a sweep sees whether a request was lost, whether
//! what they were shown is no longer so and they have to be asked anew, and whether it is time to remind them.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_lambda_events::sns::SnsEvent;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::counts::{EmbeddedMetrics, Measure, RELEASE_IDLE};
use signalbox_aws::endpoints::{Endpoints, ReadEndpoints};
use signalbox_aws::evidence::{Policies, champion_with_metrics, lineage_of, metrics_of};
use signalbox_aws::log;
use signalbox_aws::macs::{GenerateMac, Macs};
use signalbox_aws::notices::{Publish, Sns};
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::releases::{APPROVAL, AnswerApprovals, ReadApprovals, ReadReleases, Releases, Waiting};
use signalbox_aws::runtime::Function;
use signalbox_aws::storage::{ReadObjects, S3};
use signalbox_aws::training::{Pipelines, ReadTrainings};
use signalbox_model::approval::{Message, MessageError};
use signalbox_model::decision::{AUTOMATIC, Asked, Decided, Decision};
use signalbox_model::event::Event;
use signalbox_model::link::{Claims, SignedLink, token_digest};
use signalbox_model::mail::{self, Occasion};
use signalbox_model::names::{ModelPackageArn, ReleaseId};
use signalbox_model::package::{ApprovalStatus, key};
use signalbox_model::settle::superseded_by;

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
    /// Where it is told what was released without asking.
    pub notices_topic_arn: String,
    /// Who answers.
    pub mode: Mode,
    /// Whether a newer candidate takes an older one's place that still waits.
    pub supersede: bool,
    /// How long an approval waits.
    pub timeout: SignedDuration,
    /// How long before the end the approvers are reminded; zero for never.
    pub reminder: SignedDuration,
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
    trainings: Pipelines,
    endpoints: Endpoints,
    macs: Macs,
    topics: Sns,
    counts: EmbeddedMetrics,
}

impl Function for RequestApproval {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let settings = Settings {
            policies: Policies::from_environment(environment)?,
            release_pipeline: environment.required("RELEASE_PIPELINE")?.to_owned(),
            approvals_topic_arn: environment.required("APPROVALS_TOPIC_ARN")?.to_owned(),
            notices_topic_arn: environment.required("NOTICES_TOPIC_ARN")?.to_owned(),
            mode: environment.parsed("APPROVAL_MODE")?,
            supersede: environment.parsed("SUPERSEDE_WAITING")?,
            timeout: SignedDuration::from_mins(environment.parsed("APPROVAL_TIMEOUT_MINUTES")?),
            reminder: SignedDuration::from_mins(environment.parsed("REMINDER_MINUTES")?),
            page_url: environment.required("PAGE_URL")?.to_owned(),
        };
        Ok(Self {
            counts: EmbeddedMetrics::new(settings.policies.model.as_str()),
            settings,
            registry: Registry::new(sdk),
            objects: S3::new(sdk),
            releases: Releases::new(sdk),
            trainings: Pipelines::new(sdk),
            endpoints: Endpoints::new(sdk),
            macs: Macs::new(sdk, environment.required("LINK_KEY_ID")?),
            topics: Sns::new(environment, sdk)?,
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            registry: &self.registry,
            objects: &self.objects,
            releases: &self.releases,
            trainings: &self.trainings,
            endpoints: &self.endpoints,
            macs: &self.macs,
            topics: &self.topics,
            counts: &self.counts,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, R, O, A, T, E, M, N, C> {
    /// Read and write versions.
    pub registry: &'a R,
    /// Read evaluation reports.
    pub objects: &'a O,
    /// See and answer what waits.
    pub releases: &'a A,
    /// Read why versions were trained.
    pub trainings: &'a T,
    /// See what serves: the champion.
    pub endpoints: &'a E,
    /// Make MACs.
    pub macs: &'a M,
    /// Mail the approvers, and tell people.
    pub topics: &'a N,
    /// Say how long the release under way has not moved.
    pub counts: &'a C,
}

/// An approval that waits.
struct Request {
    release: ReleaseId,
    package: ModelPackageArn,
    /// What answers it. A secret.
    token: String,
    /// Since when it waits, where that is known.
    since: Option<Timestamp>,
    /// Until when.
    expires: Timestamp,
}

/// Handles one event: CodePipeline's by SNS, or the sweep's.
///
/// # Errors
/// Where the message is no approval of this pipeline's, or AWS fails: Lambda then tries again.
pub async fn handle<R, O, A, T, E, M, N, C>(
    settings: &Settings,
    ports: &Ports<'_, R, O, A, T, E, M, N, C>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    A: ReadApprovals + ReadReleases + AnswerApprovals,
    T: ReadTrainings,
    E: ReadEndpoints,
    M: GenerateMac,
    N: Publish,
    C: Measure,
{
    if event.get("Records").is_some() {
        let event: SnsEvent = serde_json::from_value(event).context("not an SNS event")?;
        for record in event.records {
            let published = Timestamp::from_millisecond(record.sns.timestamp.timestamp_millis()).ok();
            let request = read(settings, &record.sns.message, published)?;
            ask(settings, ports, &request, published).await?;
        }
        return Ok(Value::Null);
    }
    let event = Event::parse(event)?;
    if event.kind() != ("signalbox", "Sweep") {
        return Err(event.unknown().into());
    }
    let standing = ports.releases.standing(&settings.release_pipeline).await?;
    if let Some(now) = event.time {
        ports.counts.seconds(&RELEASE_IDLE, standing.idle_seconds(now));
    }
    let Some(waits) = standing.waiting else {
        return Ok(Value::Null);
    };
    if let Some(request) = waiting(settings, ports.releases, waits).await? {
        ask(settings, ports, &request, event.time).await?;
    }
    Ok(Value::Null)
}

/// Reads CodePipeline's message.
fn read(settings: &Settings, message: &str, since: Option<Timestamp>) -> Result<Request, MessageError> {
    let Message {
        release,
        package,
        token,
        expires,
    } = Message::parse(message, &settings.release_pipeline)?;
    Ok(Request {
        release,
        package,
        token,
        since,
        expires,
    })
}

/// What waits, as the pipeline shows it: for the sweep, which has no message.
async fn waiting(
    settings: &Settings,
    releases: &impl ReadReleases,
    waits: Waiting,
) -> Result<Option<Request>, anyhow::Error> {
    let package = releases.package_of(&settings.release_pipeline, &waits.release).await?;
    Ok(package.zip(waits.since).map(|(package, since)| Request {
        release: waits.release,
        package,
        token: waits.token,
        since: Some(since),
        expires: whole_minutes(since.saturating_add(settings.timeout).unwrap_or(since)),
    }))
}

/// As CodePipeline's message tells the time, so that the links of an approval are the same whichever event they are made for.
fn whole_minutes(time: Timestamp) -> Timestamp {
    let second = time.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(time)
}

/// Answers the approval, or asks those who do, unless they were asked and nothing has changed.
async fn ask<R, O, A, T, E, M, N, C>(
    settings: &Settings,
    ports: &Ports<'_, R, O, A, T, E, M, N, C>,
    request: &Request,
    now: Option<Timestamp>,
) -> Result<(), anyhow::Error>
where
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    A: AnswerApprovals,
    T: ReadTrainings,
    E: ReadEndpoints,
    M: GenerateMac,
    N: Publish,
{
    let Request {
        release, package: arn, ..
    } = request;
    log::version(arn);
    log::release(release);
    let model = &settings.policies.model;
    // Whether this was the first answer.
    let answer = async |approved: bool, summary: &str| -> Result<bool, anyhow::Error> {
        let token = &request.token;
        let first = ports
            .releases
            .answer(&settings.release_pipeline, token, approved, summary)
            .await?;
        tracing::info!(approved, first, summary, "answered");
        Ok(first)
    };

    let package = ports.registry.package(arn).await?;
    if !package.metadata.contains_key(key::GATE) {
        // The verdict is written before the release is started, and a read may show what was before. No version is rejected for that, nor is
        // anybody asked: the sweep looks again.
        tracing::warn!("the version shows no verdict of its gate yet");
        return Ok(());
    }
    if !package.gate_held() {
        let summary = "the version has not passed the gate; it can't be released";
        return answer(false, summary).await.map(drop);
    }
    if let Some(decided) = package.decided(model) {
        let approved = decided.decision == Decision::Approve;
        return answer(approved, &decided.description()).await.map(drop);
    }
    if settings.supersede
        && let Some(newer) = newer_candidate(ports.registry, arn).await?
    {
        return answer(false, &superseded_by(newer)).await.map(drop);
    }
    let metrics = match metrics_of(&package, ports.objects).await {
        Ok(metrics) => metrics,
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => {
            let summary = format!("nobody can judge it: {:#}", anyhow::Error::new(error));
            return answer(false, &summary).await.map(drop);
        }
    };
    let lineage = lineage_of(model, &package, ports.trainings).await?;
    let champion = champion_with_metrics(&package, ports.registry, ports.endpoints, ports.objects).await?;
    let asked = package.asked().filter(|asked| asked.release == *release);
    // The time that was told first stays, so that a second look at the same evidence has the same digest.
    let expires = asked.as_ref().map_or(request.expires, |asked| asked.expires);
    let evidence = settings
        .policies
        .evidence(&package, lineage, metrics, champion, expires);

    if settings.mode == Mode::Automatic {
        // Told first and decided then: who dies in between tells again, but nobody stays untold.
        let notice = mail::automatic(&evidence);
        ports
            .topics
            .publish(&settings.notices_topic_arn, &notice, &BTreeMap::new())
            .await?;
        let decided = Decided {
            decision: Decision::Approve,
            by: AUTOMATIC.to_owned(),
            at: now,
            comment: "it has passed the gate".to_owned(),
        };
        let description = decided.description();
        // The pipeline takes one answer. Where another was faster, there or in the registry, which stands is sync-approval's to say.
        if answer(true, &description).await?
            && ports.registry.package(arn).await?.approval == ApprovalStatus::PendingManualApproval
        {
            let metadata = decided.metadata(release, now);
            ports
                .registry
                .decide(arn, ApprovalStatus::Approved, &description, &metadata)
                .await?;
        }
        return Ok(());
    }

    let digest = evidence.digest();
    let occasion = match &asked {
        None => Occasion::First,
        Some(asked) if !asked.saw(&digest) => Occasion::Changed,
        Some(asked) => match left_to_remind(settings, request, asked, now) {
            Some(left_seconds) => Occasion::Reminder { left_seconds },
            None => return Ok(()),
        },
    };
    let reminds = matches!(occasion, Occasion::Reminder { .. });
    let votes = if occasion == Occasion::Changed {
        Vec::new()
    } else {
        package.votes(release, &settings.policies.approvers)
    };
    for approver in &settings.policies.approvers {
        if reminds && votes.iter().any(|vote| vote.by == *approver) {
            continue;
        }
        let claims = Claims {
            pipeline: settings.release_pipeline.clone(),
            stage: APPROVAL.to_owned(),
            action: APPROVAL.to_owned(),
            token_digest: token_digest(&request.token),
            release: release.clone(),
            package: arn.clone(),
            approver: approver.clone(),
            expires,
            evidence: digest.clone(),
        };
        let mac = ports.macs.generate(claims.message()).await?;
        let link = SignedLink { claims, mac }.url(&settings.page_url);
        let notice = mail::approval_request(&evidence, approver, &link, &votes, &occasion);
        // The topic's subscriptions filter by this attribute, so that nobody gets another's link.
        let attributes = BTreeMap::from([("approver".to_owned(), approver.clone())]);
        ports
            .topics
            .publish(&settings.approvals_topic_arn, &notice, &attributes)
            .await?;
    }
    let asked = Asked::now(release, expires, &digest);
    let asked = Asked {
        // Who is asked as late as that needs no other mail.
        reminded: reminds || left_to_remind(settings, request, &asked, now).is_some(),
        ..asked
    };
    let metadata = BTreeMap::from([(key::ASKED.to_owned(), asked.to_text())]);
    ports.registry.mark(arn, &metadata).await?;
    tracing::info!(approvers = settings.policies.approvers.len(), ?occasion, "asked");
    Ok(())
}

/// How many of the newest versions are looked at for a newer candidate: more than are trained while one waits.
const NEWER_MAX: u8 = 20;

/// A newer version that has passed its gate and whose release has not ended: it takes the place of the one that waits.
async fn newer_candidate(registry: &impl ReadPackages, arn: &ModelPackageArn) -> Result<Option<u32>, anyhow::Error> {
    for newer in registry.newest_packages(arn.group(), None, NEWER_MAX).await? {
        if newer.arn.version() <= arn.version() {
            break;
        }
        if newer.approval == ApprovalStatus::Rejected {
            continue;
        }
        let package = registry.package(&newer.arn).await?;
        if package.gate_held() && package.outcome().is_none() {
            return Ok(Some(newer.arn.version()));
        }
    }
    Ok(None)
}

/// How many seconds are left, where it is time to remind the approvers: a while before the end, but not in the first half of the
/// wait, and once.
fn left_to_remind(settings: &Settings, request: &Request, asked: &Asked, now: Option<Timestamp>) -> Option<u64> {
    let now = now?;
    if asked.reminded || settings.reminder.is_zero() {
        return None;
    }
    let left = asked.expires.duration_since(now);
    let half = request.since.map(|since| asked.expires.duration_since(since) / 2);
    let due = left <= settings.reminder && half.is_none_or(|half| left <= half);
    u64::try_from(left.as_secs()).ok().filter(|left| due && *left > 0)
}

#[cfg(test)]
mod tests;
