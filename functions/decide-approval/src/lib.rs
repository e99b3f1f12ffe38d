//! decide-approval: the approval page.
//!
//! GET and HEAD show the evidence and change nothing, because mail scanners open links before people do. POST decides: first in
//! the registry, then in the pipeline; where the second fails, sync-approval does it when the registry's event arrives, and so does
//! the next try by the same link. The first decision stands, whoever comes second is shown it. The link in the mail about a
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
use signalbox_aws::endpoints::{Endpoints, ReadEndpoints};
use signalbox_aws::evidence::{Policies, champion_with_metrics, metrics_of};
use signalbox_aws::macs::{Macs, VerifyMac};
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::releases::{APPROVAL, AnswerApprovals, ReadApprovals, Releases, StartRollbacks};
use signalbox_aws::runtime::Function;
use signalbox_aws::storage::{ReadObjects, S3};
use signalbox_model::decision::Decision;
use signalbox_model::evidence::Evidence;
use signalbox_model::link::{Expected, Refusal, SignedLink, Waiting};
use signalbox_model::metrics::Metrics;
use signalbox_model::package::{ApprovalStatus, ModelPackage, Outcome, key};
use signalbox_model::page::{self, Answer, Page};
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
    macs: Macs,
    endpoints: Endpoints,
}

impl Function for DecideApproval {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            settings: Settings {
                policies: Policies::from_environment(environment)?,
                release_pipeline: environment.required("RELEASE_PIPELINE")?.to_owned(),
                rollback_pipeline: environment.required("ROLLBACK_PIPELINE")?.to_owned(),
            },
            registry: Registry::new(sdk),
            objects: S3::new(sdk),
            releases: Releases::new(sdk),
            macs: Macs::new(sdk, environment.required("LINK_KEY_ID")?),
            endpoints: Endpoints::new(sdk),
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            registry: &self.registry,
            objects: &self.objects,
            releases: &self.releases,
            macs: &self.macs,
            endpoints: &self.endpoints,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, R, O, A, M, E> {
    /// Read and write versions.
    pub registry: &'a R,
    /// Read evaluation reports.
    pub objects: &'a O,
    /// See and answer what waits.
    pub releases: &'a A,
    /// Check MACs.
    pub macs: &'a M,
    /// See what serves.
    pub endpoints: &'a E,
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
pub async fn handle<R, O, A, M, E>(
    settings: &Settings,
    ports: &Ports<'_, R, O, A, M, E>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    A: ReadApprovals + AnswerApprovals + StartRollbacks,
    M: VerifyMac,
    E: ReadEndpoints,
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

async fn respond<R, O, A, M, E>(
    settings: &Settings,
    ports: &Ports<'_, R, O, A, M, E>,
    request: &Request,
) -> Result<Page, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    A: ReadApprovals + AnswerApprovals,
    M: VerifyMac,
{
    let Ok(link) = SignedLink::parse(&request.query) else {
        return Ok(page::invalid_link());
    };
    if !ports.macs.verify(link.claims.message(), link.mac.clone()).await? {
        tracing::warn!("a link whose MAC is not ours");
        return Ok(page::invalid_link());
    }
    let now = request.time;
    let package = ports.registry.package(&link.claims.package).await?;
    let waiting = ports.releases.waiting(&settings.release_pipeline).await?;
    // The pipeline waits for one release at a time; the claims say which release is which version's.
    let waiting = waiting.filter(|(release, _)| *release == link.claims.release);

    if package.outcome() == Some(Outcome::Expired) {
        return Ok(page::refused(Refusal::Expired));
    }
    if let Some(decided) = decision_of(&package) {
        // Decided by some door. Where the pipeline does not know yet, it is told; the first decision stands.
        if let Some((_, token)) = &waiting {
            decided.tell(settings, ports, token).await?;
        }
        return Ok(decided.page(settings, &package));
    }
    let evidence = evidence(settings, ports, &package, link.claims.expires).await?;
    let digest = evidence.digest();
    let expected = Expected {
        pipeline: &settings.release_pipeline,
        stage: APPROVAL,
        action: APPROVAL,
        model: &settings.policies.model,
        waiting: waiting.as_ref().map(|(release, token)| Waiting {
            token,
            release,
            package: &link.claims.package,
            evidence: &digest,
        }),
    };
    if let Err(refusal) = link.check(now, &expected) {
        tracing::info!(version = package.arn.label(), approver = link.claims.approver, %refusal, "refused");
        return Ok(page::refused(refusal));
    }
    if request.method != "POST" {
        let history = history(ports, &package, &evidence.metrics).await?;
        return Ok(page::review(&evidence, &link.claims.approver, &history));
    }
    let answer = match Answer::parse(&request.body) {
        Ok(answer) => answer,
        Err(error) => return Ok(page::invalid_form(error)),
    };
    let Some((_, token)) = &waiting else {
        return Ok(page::refused(Refusal::Superseded));
    };
    let decided = Decided {
        decision: answer.decision,
        by: link.claims.approver.clone(),
        at: Some(now),
        comment: answer.comment,
    };
    let (approval, description) = (decided.status(), decided.description());
    let metadata = BTreeMap::from([
        (key::DECIDED_BY.to_owned(), decided.by.clone()),
        (key::DECIDED_AT.to_owned(), now.to_string()),
        (key::RELEASE.to_owned(), link.claims.release.to_string()),
    ]);
    ports
        .registry
        .decide(&package.arn, approval, &description, &metadata)
        .await?;
    tracing::info!(version = package.arn.label(), by = decided.by, decision = ?decided.decision, "decided");
    decided.tell(settings, ports, token).await?;
    Ok(decided.page(settings, &package))
}

async fn evidence<R, O, A, M, E>(
    settings: &Settings,
    ports: &Ports<'_, R, O, A, M, E>,
    package: &ModelPackage,
    expires: Timestamp,
) -> Result<Evidence, anyhow::Error>
where
    R: ReadPackages,
    O: ReadObjects,
{
    let metrics = metrics_of(package, ports.objects).await?;
    let champion = champion_with_metrics(package, ports.registry, ports.objects).await?;
    Ok(settings.policies.evidence(package, metrics, champion, expires))
}

/// The metrics of the newest versions, oldest first, for the charts.
async fn history<R, O, A, M, E>(
    ports: &Ports<'_, R, O, A, M, E>,
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
            Err(error) => tracing::info!(version = other.arn.label(), %error, "left out of the charts"),
        }
    }
    history.sort_by_key(|(version, _)| *version);
    Ok(history)
}

/// A decision, by whichever door.
struct Decided {
    decision: Decision,
    by: String,
    at: Option<Timestamp>,
    comment: String,
}

fn decision_of(package: &ModelPackage) -> Option<Decided> {
    let decision = match package.approval {
        ApprovalStatus::PendingManualApproval => return None,
        ApprovalStatus::Approved => Decision::Approve,
        ApprovalStatus::Rejected => Decision::Reject,
    };
    let by = package.metadata.get(key::DECIDED_BY).cloned();
    let description = package.approval_description.clone().unwrap_or_default();
    // What the page itself wrote is "approved by WHO: COMMENT".
    let comment = match &by {
        Some(by) => description
            .split_once(&format!("{by}: "))
            .map(|(_, comment)| comment.to_owned())
            .unwrap_or_default(),
        None => description,
    };
    Some(Decided {
        decision,
        by: by.unwrap_or_else(|| "the model registry".to_owned()),
        at: package.metadata.get(key::DECIDED_AT).and_then(|at| at.parse().ok()),
        comment,
    })
}

impl Decided {
    fn status(&self) -> ApprovalStatus {
        match self.decision {
            Decision::Approve => ApprovalStatus::Approved,
            Decision::Reject => ApprovalStatus::Rejected,
        }
    }

    /// For the registry and the pipeline's summary: who, and why.
    fn description(&self) -> String {
        let done = match self.decision {
            Decision::Approve => "approved",
            Decision::Reject => "rejected",
        };
        if self.comment.is_empty() {
            format!("{done} by {}", self.by)
        } else {
            format!("{done} by {}: {}", self.by, self.comment)
        }
    }

    async fn tell<R, O, A, M, E>(
        &self,
        settings: &Settings,
        ports: &Ports<'_, R, O, A, M, E>,
        token: &str,
    ) -> Result<(), anyhow::Error>
    where
        A: AnswerApprovals,
    {
        let approved = self.decision == Decision::Approve;
        ports
            .releases
            .answer(&settings.release_pipeline, token, approved, &self.description())
            .await?;
        Ok(())
    }

    fn page(&self, settings: &Settings, package: &ModelPackage) -> Page {
        let at = self.at.or(package.created_at).unwrap_or_default();
        page::decided(
            &settings.policies.model,
            package.arn.version(),
            self.decision,
            &self.by,
            at,
            &self.comment,
        )
    }
}

#[cfg(test)]
mod tests;
