//! Clears away what served long ago.

use signalbox_aws::configurations::{ClearConfigs, ReadTags, tag};
use signalbox_aws::endpoints::ReadEndpoints;
use signalbox_aws::error::AwsError;
use signalbox_model::names::ModelPackageArn;
use signalbox_model::retention::{Endpoints, disposable};

use crate::{Tools, Work};

/// Deletes the configurations of this model that nothing refers to, and models that only they served. A failed clean-up never fails
/// a release: the next one tries again.
pub(crate) async fn clear<T: Tools>(work: &Work<'_, T>, arn: &ModelPackageArn, serving: &str) {
    match try_to(work, arn, serving).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "endpoint configurations cleared away"),
        Err(error) => tracing::warn!(%error, "not cleared away; the next release tries again"),
    }
}

async fn try_to<T: Tools>(work: &Work<'_, T>, arn: &ModelPackageArn, serving: &str) -> Result<usize, AwsError> {
    let Work { settings, tools, .. } = work;
    let endpoints = tools.endpoints();
    let listed = endpoints.oldest(&format!("{}-v", settings.model)).await?;
    if u32::try_from(listed.len()).unwrap_or(u32::MAX) <= settings.keep_previous {
        return Ok(0);
    }
    // What serves may have changed since the release looked.
    let endpoint = endpoints.endpoint(settings.model.as_str()).await?;
    let in_use = Endpoints {
        serving: endpoint.as_ref().map_or(serving, |endpoint| endpoint.config.as_str()),
        pending: endpoint
            .as_ref()
            .and_then(|endpoint| endpoint.pending.as_ref())
            .map(|pending| pending.config.as_str()),
    };
    let mut previous = Vec::new();
    // From what serves now: a job that is repeated long after its release has others to spare.
    let mut at = in_use.serving.to_owned();
    for _ in 0..settings.keep_previous {
        // What was made by hand has none of the tags, is never deleted, and its tags can't be read.
        if settings.model.version_of_config(&at).is_none() {
            break;
        }
        match endpoints
            .tags(&arn.endpoint_config_arn(&at))
            .await?
            .remove(tag::REPLACES)
        {
            Some(replaced) => at = replaced,
            None => break,
        }
        previous.push(at.clone());
    }
    let disposable = disposable(&settings.model, &listed, &in_use, &previous);
    for (config, model) in &disposable {
        // The configuration goes last: while it is there, a clean-up that died is taken up again.
        if let Some(model) = model {
            endpoints.delete_model(model).await?;
        }
        endpoints.delete_config(config).await?;
    }
    Ok(disposable.len())
}
