//! The page that takes a deployed version back.

use signalbox_aws::endpoints::ReadEndpoints;
use signalbox_aws::log;
use signalbox_aws::macs::VerifyMac;
use signalbox_aws::registry::ReadPackages;
use signalbox_aws::releases::StartRollbacks;
use signalbox_model::package::Outcome;
use signalbox_model::page::take_back::{Over, over, reason, review, started};
use signalbox_model::page::{self, Page};
use signalbox_model::undo::Claims;

use crate::{Ports, Request, Settings};

/// Answers a request whose query has the claims of a rollback. GET and HEAD change nothing.
pub(crate) async fn respond<R, O, A, T, M, E, C>(
    settings: &Settings,
    ports: &Ports<'_, R, O, A, T, M, E, C>,
    request: &Request,
) -> Result<Page, anyhow::Error>
where
    R: ReadPackages,
    A: StartRollbacks,
    M: VerifyMac,
    E: ReadEndpoints,
{
    let Ok((claims, mac)) = Claims::parse(&request.query) else {
        return Ok(page::invalid_link());
    };
    let model = &settings.policies.model;
    if !ports.macs.verify(claims.message(), mac).await? || claims.package.group() != model.as_str() {
        tracing::warn!("a link whose MAC is not ours");
        return Ok(page::invalid_link());
    }
    log::version(&claims.package);
    log::release(&claims.release);
    let version = claims.package.version();
    let package = ports.registry.package(&claims.package).await?;
    if package.outcome_of(&claims.release) == Some(Outcome::RolledBack) {
        return Ok(over(model, version, Over::TakenBack));
    }
    if request.time >= claims.expires {
        return Ok(over(model, version, Over::Expired));
    }
    let endpoint = ports.endpoints.endpoint(model.as_str()).await?;
    // By its version: a version that was brought back has the rollback's configuration.
    let serves = endpoint.and_then(|endpoint| model.version_of_config(&endpoint.config));
    if serves != Some(version) {
        return Ok(over(model, version, Over::Replaced));
    }
    if request.method != "POST" {
        return Ok(review(model, version));
    }
    let comment = match reason(&request.body) {
        Ok(comment) => comment,
        Err(error) => return Ok(page::invalid_form(error)),
    };
    let given = if comment.is_empty() {
        "no reason given"
    } else {
        comment.as_str()
    };
    let why = format!("by the link in the mail about its deployment: {given}");
    // The release by which it serves now, which may be a later one than the mail's: each is taken back once.
    let release = package.release().filter(|_| package.was_deployed());
    let release = release.unwrap_or(claims.release);
    let rollback = ports
        .releases
        .roll_back(&settings.rollback_pipeline, version, &release, &why)
        .await?;
    tracing::info!(%rollback, "its rollback was started, unless it had been");
    Ok(started(model, version, &comment))
}
