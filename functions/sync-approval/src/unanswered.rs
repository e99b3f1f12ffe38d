//! A deployment that CodePipeline has given up: its job got no answer, because the function that does it died each time it was tried, or
//! could not be run.

use std::collections::BTreeMap;

use signalbox_aws::counts::{Count, RELEASES};
use signalbox_aws::endpoints::ReadEndpoints;
use signalbox_aws::notices::Publish;
use signalbox_aws::registry::WritePackages;
use signalbox_aws::releases::StartReleases;
use signalbox_model::decision::Decision;
use signalbox_model::endpoint::Status;
use signalbox_model::mail;
use signalbox_model::names::ReleaseId;
use signalbox_model::package::{ModelPackage, Outcome, key};

use crate::{Ports, Settings};

/// Ends a release whose deployment has failed, where the version has no outcome of it: whoever answers the job marks the version before. What the endpoint is busy with ends first; where the
/// version serves all the same, it is released anew, so that what belongs to a deployment is done.
pub(crate) async fn end<R, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, R, S, E, N, C>,
    release: &ReleaseId,
    package: &ModelPackage,
    failure: &str,
) -> Result<(), anyhow::Error>
where
    R: WritePackages,
    S: StartReleases,
    E: ReadEndpoints,
    N: Publish,
    C: Count,
{
    let (model, arn) = (&settings.model, &package.arn);
    // What was rejected is told where that is settled.
    if package.decision_of(release) != Some(Decision::Approve) {
        return Ok(());
    }
    let config = arn.endpoint_config_name(release);
    if let Some(endpoint) = ports.endpoints.endpoint(model.as_str()).await? {
        let pending = endpoint
            .pending
            .as_ref()
            .is_some_and(|pending| pending.config == config);
        // Done again, it goes on with the configuration of the first time.
        let unfinished =
            package.outcome().is_none() && model.version_of_config(&endpoint.config) == Some(arn.version());
        let ours = endpoint.config == config || unfinished;
        let stuck = matches!(
            endpoint.status,
            Status::Failed | Status::OutOfService | Status::UpdateRollbackFailed
        );
        if pending || (ours && !endpoint.is_idle() && !stuck) {
            tracing::info!(config, "its deployment got no answer, and goes on");
            return Ok(());
        }
        if ours && !stuck {
            let reason = "it serves, and its deployment got no answer";
            let anew = ports
                .releases
                .start(&settings.release_pipeline, arn, Some(release), reason)
                .await?;
            tracing::warn!(%anew, "released anew, unless it had been: {reason}");
            return Ok(());
        }
    }
    let what_to_do = format!(
        "Look at the log of {model}-update-endpoint and at the dead letters; then retry the stage Deploy of this release in CodePipeline."
    );
    let notice = mail::release_failed(model, arn.version(), failure, &what_to_do, "");
    // Told and counted first and marked then: who dies in between tells again, but nobody stays untold.
    ports
        .notices
        .publish(&settings.notices_topic_arn, &notice, &BTreeMap::new())
        .await?;
    ports.counts.one(&RELEASES, &[Outcome::Failed.as_str()]);
    let metadata = BTreeMap::from([
        (key::RELEASE.to_owned(), release.to_string()),
        (key::OUTCOME.to_owned(), Outcome::Failed.as_str().to_owned()),
        (key::REASON.to_owned(), failure.to_owned()),
    ]);
    ports.registry.mark(arn, &metadata).await?;
    tracing::error!(failure, "its deployment got no answer");
    Ok(())
}
