//! decide-approval: the approval page.
//!
//! GET and HEAD show the evidence and change nothing, because mail scanners open links before people do. POST decides: first in
//! the pipeline, which takes one answer and refuses every other, then in the registry; where the second fails, sync-approval does
//! it when the pipeline's event arrives. Whoever comes second is shown the decision that stands. The link in the mail about a
//! deployment opens another page, which [takes the version back](take_back).

use std::collections::BTreeMap;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_lambda_events::lambda_function_urls::LambdaFunctionUrlRequest;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::counts::{APPROVAL_WAIT, EmbeddedMetrics, Measure};
use signalbox_aws::endpoints::{Endpoints, ReadEndpoints};
use signalbox_aws::evidence::{Policies, champion_with_metrics, lineage_of, metrics_of};
use signalbox_aws::log;
use signalbox_aws::macs::{Macs, VerifyMac};
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::releases::{
    APPROVAL, AnswerApprovals, ReadApprovals, ReadReleases, Releases, StartRollbacks, Waiting,
};
use signalbox_aws::runtime::Function;
use signalbox_aws::storage::{ReadObjects, S3};
use signalbox_aws::training::{Pipelines, ReadTrainings};
use signalbox_model::decision::{Asked, Decided, Decision, vote, vote_key};
use signalbox_model::link::{self, Claims, Expected, Refusal, SignedLink};
use signalbox_model::metrics::Metrics;
use signalbox_model::package::{ApprovalStatus, ModelPackage, Outcome, key};
use signalbox_model::page::{self, Answer, Page};
use signalbox_model::settle::{Approval, superseding, waited};
use signalbox_model::undo;

mod take_back;

/// How many of the newest versions the charts show.
const HISTORY_MAX: u8 = 6;

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What people are shown of every candidate.
    pub policies: Policies,
    /// The release pipeline.
    pub release_pipeline: String,
    /// The pipeline that takes a deployed version back.
    pub rollback_pipeline: String,
}

/// The function.
#[derive(Debug)]
pub struct DecideApproval {
    settings: Settings,
    registry: Registry,
    objects: S3,
    releases: Releases,
    trainings: Pipelines,
    macs: Macs,
    endpoints: Endpoints,
    counts: EmbeddedMetrics,
}

impl Function for DecideApproval {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let policies = Policies::from_environment(environment)?;
        Ok(Self {
            counts: EmbeddedMetrics::new(policies.model.as_str()),
            settings: Settings {
                policies,
                release_pipeline: environment.required("RELEASE_PIPELINE")?.to_owned(),
                rollback_pipeline: environment.required("ROLLBACK_PIPELINE")?.to_owned(),
            },
            registry: Registry::new(sdk),
            objects: S3::new(sdk),
            releases: Releases::new(sdk),
            trainings: Pipelines::new(sdk),
            macs: Macs::new(sdk, environment.required("LINK_KEY_ID")?),
            endpoints: Endpoints::new(sdk),
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            registry: &self.registry,
            objects: &self.objects,
            releases: &self.releases,
            trainings: &self.trainings,
            macs: &self.macs,
            endpoints: &self.endpoints,
            counts: &self.counts,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, R, O, A, T, M, E, C> {
    /// Read and write versions.
    pub registry: &'a R,
    /// Read evaluation reports.
    pub objects: &'a O,
    /// See and answer what waits.
    pub releases: &'a A,
    /// Read why versions were trained.
    pub trainings: &'a T,
    /// Check MACs.
    pub macs: &'a M,
    /// See what serves.
    pub endpoints: &'a E,
    /// Measure how long an approval has waited.
    pub counts: &'a C,
}

/// A request to the page.
struct Request {
    method: String,
    query: String,
    body: Vec<u8>,
    time: Timestamp,
}

impl Request {
    fn read(event: Value) -> Result<Self, anyhow::Error> {
        let request: LambdaFunctionUrlRequest =
            serde_json::from_value(event).context("not a function URL's request")?;
        let body = request.body.unwrap_or_default();
        let body = if request.is_base64_encoded {
            BASE64_STANDARD.decode(body).unwrap_or_default()
        } else {
            body.into_bytes()
        };
        Ok(Self {
            method: request.request_context.http.method.unwrap_or_default(),
            query: request.raw_query_string.unwrap_or_default(),
            body,
            time: Timestamp::from_millisecond(request.request_context.time_epoch)
                .context("requestContext.timeEpoch")?,
        })
    }
}

/// Handles one request. What fails becomes a page that says so: a person waits for the answer, and nobody retries for them.
///
/// # Errors
/// Where the event is no request.
pub async fn handle<R, O, A, T, M, E, C>(
    settings: &Settings,
    ports: &Ports<'_, R, O, A, T, M, E, C>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    A: ReadApprovals + ReadReleases + AnswerApprovals + StartRollbacks,
    T: ReadTrainings,
    M: VerifyMac,
    E: ReadEndpoints,
    C: Measure,
{
    let request = Request::read(event)?;
    let page = match request.method.as_str() {
        "GET" | "HEAD" | "POST" => {
            let answered = if undo::Claims::are_in(&request.query) {
                take_back::respond(settings, ports, &request).await
            } else {
                respond(settings, ports, &request).await
            };
            answered.unwrap_or_else(|error| {
                tracing::error!(error = format!("{error:#}"), "the page failed");
                page::trouble("AWS did not answer as it should. Whether your decision was taken is not certain.")
            })
        }
        _ => Page {
            status: 405,
            html: String::new(),
        },
    };
    let headers: BTreeMap<_, _> = page::headers().into_iter().collect();
    Ok(
        json!({"statusCode": page.status, "headers": headers, "body": page.html, "cookies": [], "isBase64Encoded": false}),
    )
}

async fn respond<R, O, A, T, M, E, C>(
    settings: &Settings,
    ports: &Ports<'_, R, O, A, T, M, E, C>,
    request: &Request,
) -> Result<Page, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    A: ReadApprovals + ReadReleases + AnswerApprovals,
    T: ReadTrainings,
    M: VerifyMac,
    E: ReadEndpoints,
    C: Measure,
{
    let Ok(link) = SignedLink::parse(&request.query) else {
        return Ok(page::invalid_link());
    };
    if !ports.macs.verify(link.claims.message(), link.mac.clone()).await? {
        tracing::warn!("a link whose MAC is not ours");
        return Ok(page::invalid_link());
    }
    let (model, pipeline) = (&settings.policies.model, &settings.release_pipeline);
    let claims = &link.claims;
    // Not before the MAC has been verified: until then a stranger has written it.
    log::version(&claims.package);
    log::release(&claims.release);
    if claims.package.group() != model.as_str() {
        return Ok(page::refused(Refusal::OtherApproval));
    }
    let answer = (request.method == "POST").then(|| Answer::parse(&request.body));
    // Somebody is waiting for the page: two services are asked at the same time. Not one service twice: that takes a second connection,
    // and a handshake is dear on the fourteenth of a processor that the function has.
    let (package, waits) = tokio::try_join!(
        ports.registry.package(&claims.package),
        ports.releases.waiting(pipeline)
    )?;
    // The pipeline waits for one release at a time; the claims say which release is which version's.
    let waits = waits.filter(|waits| waits.release == claims.release);
    let opened = Opened {
        settings,
        ports,
        claims,
        since: waits.as_ref().and_then(|waits| waits.since),
        answer: answer.as_ref().and_then(|answer| answer.as_ref().ok()),
    };
    let Some(Waiting { token, .. }) = waits.as_ref().filter(|_| package.decided(model).is_none()) else {
        return opened.after(&package, waits.as_ref()).await;
    };

    if !settings.policies.approvers.contains(&claims.approver) {
        return Ok(page::refused(Refusal::NotAnApprover));
    }
    let (metrics, lineage) = tokio::join!(
        metrics_of(&package, ports.objects),
        lineage_of(model, &package, ports.trainings)
    );
    let (metrics, lineage) = (metrics?, lineage?);
    let champion = champion_with_metrics(&package, ports.registry, ports.endpoints, ports.objects).await?;
    let policies = &settings.policies;
    let evidence = policies.evidence(&package, lineage, metrics, champion, claims.expires);
    let digest = evidence.digest();
    let expected = Expected {
        pipeline,
        stage: APPROVAL,
        action: APPROVAL,
        model,
        waiting: Some(link::Waiting {
            token,
            release: &claims.release,
            package: &claims.package,
            evidence: &digest,
        }),
    };
    if let Err(refusal) = link.check(request.time, &expected) {
        tracing::info!(approver = claims.approver, %refusal, "refused");
        return Ok(page::refused(refusal));
    }
    match &answer {
        None => {
            let history = history(ports, &package, &evidence.metrics).await?;
            let shown = Asked::now(&claims.release, claims.expires, &digest);
            let votes = package.votes_on(&shown, &policies.approvers);
            Ok(page::review(&evidence, &claims.approver, &history, &votes))
        }
        Some(Err(error)) => Ok(page::invalid_form(*error)),
        Some(Ok(answer)) => opened.decide(answer, token, &digest, request.time).await,
    }
}

/// A link that is ours, opened.
struct Opened<'a, R, O, A, T, M, E, C> {
    settings: &'a Settings,
    ports: &'a Ports<'a, R, O, A, T, M, E, C>,
    claims: &'a Claims,
    /// Since when the approval waits, where it does.
    since: Option<Timestamp>,
    /// What was sent with it, where something was that can be read.
    answer: Option<&'a Answer>,
}

impl<R, O, A, T, M, E, C> Opened<'_, R, O, A, T, M, E, C>
where
    R: ReadPackages + WritePackages,
    A: ReadApprovals + ReadReleases + AnswerApprovals,
    C: Measure,
{
    /// The page for what was decided, or has ended, before.
    async fn after(&self, package: &ModelPackage, waits: Option<&Waiting>) -> Result<Page, anyhow::Error> {
        let (model, release) = (&self.settings.policies.model, &self.claims.release);
        match package.outcome_of(release) {
            Some(Outcome::Expired) => return Ok(page::refused(Refusal::Expired)),
            Some(Outcome::Superseded) => {
                let by = package.metadata.get(key::REASON).and_then(|reason| superseding(reason));
                if let Some(by) = by {
                    return Ok(page::refused(Refusal::Superseded { by }));
                }
            }
            _ => {}
        }
        if let Some(decided) = package.decided(model) {
            // By another door, a moment ago. The pipeline does not know yet, and is told; but nothing is by who only looks.
            let approved = decided.decision == Decision::Approve;
            if let (Some(waits), Some(_)) = (waits, self.answer)
                && (package.gate_held() || !approved)
            {
                self.put(&waits.token, approved, &decided.description()).await?;
            }
            return Ok(self.page(&decided));
        }
        // The pipeline is answered, and the registry does not say so yet.
        let seen = self
            .ports
            .releases
            .approval_of(&self.settings.release_pipeline, release)
            .await?;
        Ok(match seen.map(|seen| Approval::read(model, &seen)) {
            Some(Approval::Answered(decided)) => self.page(&decided),
            Some(Approval::Superseded { by, .. }) => page::refused(Refusal::Superseded { by }),
            Some(Approval::Expired { .. }) => page::refused(Refusal::Expired),
            Some(Approval::Waiting | Approval::Stopped { .. }) | None => page::refused(Refusal::NoLongerWaits),
        })
    }

    /// Decides, or counts an approval of several.
    async fn decide(&self, answer: &Answer, token: &str, digest: &str, now: Timestamp) -> Result<Page, anyhow::Error> {
        let Self {
            settings,
            ports,
            claims,
            ..
        } = self;
        let (arn, approver, policies) = (&claims.package, &claims.approver, &settings.policies);
        let mut decided = Decided {
            decision: answer.decision,
            by: approver.clone(),
            at: Some(now),
            comment: answer.comment.clone(),
        };
        if policies.approvals_needed > 1 && decided.decision == Decision::Approve {
            let votes = self.vote(&decided, digest, now).await?;
            let enough = u32::try_from(votes.len()).is_ok_and(|votes| votes >= policies.approvals_needed);
            let Some(together) = Decided::together(&votes).filter(|_| enough) else {
                return Ok(page::voted(
                    &policies.model,
                    arn.version(),
                    &votes,
                    policies.approvals_needed,
                ));
            };
            decided = together;
        }
        let approved = decided.decision == Decision::Approve;
        if !self.put(token, approved, &decided.description()).await? {
            let package = ports.registry.package(arn).await?;
            return self.after(&package, None).await;
        }
        if let Err(error) = self.record(&decided).await {
            // It is decided: the pipeline has it, and sync-approval tells the registry.
            tracing::warn!(error = format!("{error:#}"), "the registry does not know yet");
        }
        Ok(page::decided(&policies.model, arn.version(), &decided, None))
    }

    /// Writes an approval of several on the version; all that there are then.
    async fn vote(&self, decided: &Decided, digest: &str, now: Timestamp) -> Result<Vec<Decided>, anyhow::Error> {
        let Self {
            settings,
            ports,
            claims,
            ..
        } = self;
        let approvers = &settings.policies.approvers;
        let shown = Asked::now(&claims.release, claims.expires, digest);
        let vote = vote(&shown, now, &decided.comment);
        let metadata = BTreeMap::from([(vote_key(&claims.approver), vote)]);
        ports.registry.mark(&claims.package, &metadata).await?;
        tracing::info!(by = decided.by, "approved, as one of several");
        // Read again, so that of two at the same moment at least one sees both. Not by what is noted of asking: that this link's
        // evidence is asked on may be noted later.
        let package = ports.registry.package(&claims.package).await?;
        Ok(package.votes_on(&shown, approvers))
    }

    /// Answers the pipeline; whether this was the first answer.
    async fn put(&self, token: &str, approved: bool, summary: &str) -> Result<bool, anyhow::Error> {
        let pipeline = &self.settings.release_pipeline;
        let first = self.ports.releases.answer(pipeline, token, approved, summary).await?;
        let by = &self.claims.approver;
        tracing::info!(by, approved, first, "the pipeline was answered");
        Ok(first)
    }

    /// Writes the decision on the version, unless another door was faster there: which of the two stands is sync-approval's to say.
    async fn record(&self, decided: &Decided) -> Result<(), anyhow::Error> {
        let (registry, arn) = (self.ports.registry, &self.claims.package);
        if registry.package(arn).await?.approval != ApprovalStatus::PendingManualApproval {
            return Ok(());
        }
        let approval = match decided.decision {
            Decision::Approve => ApprovalStatus::Approved,
            Decision::Reject => ApprovalStatus::Rejected,
        };
        // Measured first and marked then. Who dies in between leaves it to sync-approval, which measures once more.
        if let Some(seconds) = waited(self.since, decided, None) {
            self.ports.counts.seconds(&APPROVAL_WAIT, seconds);
        }
        let metadata = decided.metadata(&self.claims.release, decided.at);
        registry
            .decide(arn, approval, &decided.description(), &metadata)
            .await?;
        Ok(())
    }

    /// The decision that stands, and what became of an answer that came after it.
    fn page(&self, decided: &Decided) -> Page {
        let sent = self.answer.map(|answer| answer.decision);
        // Sent again, as by a double click, it is the same.
        let own = decided.by.split(" and ").any(|by| by == self.claims.approver);
        let second = sent.filter(|sent| !own || *sent != decided.decision);
        let version = self.claims.package.version();
        page::decided(&self.settings.policies.model, version, decided, second)
    }
}

/// The metrics of the newest versions, oldest first, for the charts.
async fn history<R, O, A, T, M, E, C>(
    ports: &Ports<'_, R, O, A, T, M, E, C>,
    package: &ModelPackage,
    metrics: &Metrics,
) -> Result<Vec<(u32, Metrics)>, anyhow::Error>
where
    R: ReadPackages,
    O: ReadObjects,
{
    let mut history = vec![(package.arn.version(), metrics.clone())];
    for summary in ports
        .registry
        .newest_packages(package.arn.group(), None, HISTORY_MAX)
        .await?
    {
        if summary.arn.version() >= package.arn.version() {
            continue;
        }
        let other = ports.registry.package(&summary.arn).await?;
        // A version without usable metrics has no point in the chart.
        match metrics_of(&other, ports.objects).await {
            Ok(metrics) => history.push((other.arn.version(), metrics)),
            Err(error) => tracing::info!(version = other.arn.version(), %error, "left out of the charts"),
        }
    }
    history.sort_by_key(|(version, _)| *version);
    Ok(history)
}

#[cfg(test)]
mod tests;
