//! Counting what has arrived: the calls of [`signalbox_model::arrivals`].

use jiff::Timestamp;
use signalbox_aws::error::{AwsError, ErrorKind};
use signalbox_aws::storage::{ListObjects, ObjectUri, ReadObjects, WriteObjects};
use signalbox_model::arrivals::{Count, KEPT_BYTES_MAX, Progress};

use crate::Settings;

/// Where it is kept how far a prefix was counted that one look does not get through.
const KEPT_KEY: &str = "state/arrivals.json";

/// Counts what is newer than `since`, with a bounded number of calls.
pub(crate) async fn count(
    settings: &Settings,
    objects: &(impl ListObjects + ReadObjects + WriteObjects),
    since: Timestamp,
) -> Result<Count, AwsError> {
    let place = ObjectUri {
        bucket: settings.bucket.clone(),
        key: KEPT_KEY.to_owned(),
    };
    let kept = kept(objects, &place).await?;
    let mut count = Count::new(since, settings.thresholds, kept.clone());
    while let Some(after) = count.to_list() {
        let page = objects.list(&settings.bucket, &settings.data_prefix, after).await?;
        count.take(page);
    }
    // Two looks at the same time each write what is true; the later one stands.
    if let Some(progress) = count.keep().filter(|progress| kept.as_ref() != Some(*progress)) {
        // Strings and numbers can always be written as JSON.
        objects
            .write(&place, serde_json::to_vec(progress).unwrap_or_default())
            .await?;
    }
    Ok(count)
}

/// How far an earlier look has come, where one has noted it.
async fn kept(objects: &impl ReadObjects, place: &ObjectUri) -> Result<Option<Progress>, AwsError> {
    match objects.read(place, KEPT_BYTES_MAX).await {
        Ok(json) => {
            let progress = serde_json::from_slice(&json);
            let unread =
                |error: &serde_json::Error| tracing::warn!(%error, "{place} can't be read; counting begins anew");
            Ok(progress.inspect_err(unread).ok())
        }
        // S3 does not tell those who may not list that an object is missing: it denies them the access.
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Denied) => Ok(None),
        Err(error) => Err(error),
    }
}
