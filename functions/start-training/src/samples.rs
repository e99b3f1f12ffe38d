//! The sample data of a new model.
//!
//! A stack that starts with the sample code has a repository, and no data: its first training would fail before it had read a line. So
//! the repository brings a little data in `data/`, and the first build of all puts it where the data belongs, if there is none. From
//! then on the bucket's data is people's, whatever the repository has.

use std::collections::BTreeSet;

use signalbox_aws::job::Failure;
use signalbox_aws::storage::{ListObjects, ObjectUri, WriteObjects};
use signalbox_aws::training::ListTrainings;

use crate::Settings;

/// Where the repository has its sample data.
const FOLDER: &str = "data/";

/// Puts the build's sample data below the data prefix, where nothing was trained yet and no other data is there.
///
/// A second run puts what the first one, killed in the midst, did not get to.
pub(crate) async fn put<O, P>(
    settings: &Settings,
    objects: &O,
    pipelines: &P,
    files: &[(String, Vec<u8>)],
) -> Result<(), Failure>
where
    O: ListObjects + WriteObjects,
    P: ListTrainings,
{
    // A README beside the data is not data.
    let samples = files
        .iter()
        .filter_map(|(path, content)| Some((path.strip_prefix(FOLDER)?, content)))
        .filter(|(name, _)| !name.to_ascii_lowercase().ends_with(".md"));
    let samples: Vec<(String, &Vec<u8>)> = samples
        .map(|(name, content)| (format!("{}{name}", settings.data_prefix), content))
        .collect();
    if samples.is_empty() {
        return Ok(());
    }
    let there = objects.list(&settings.bucket, &settings.data_prefix, None).await?;
    let there: BTreeSet<&str> = there.objects.iter().map(|object| object.key.as_str()).collect();
    let sampled: BTreeSet<&str> = samples.iter().map(|(key, _)| key.as_str()).collect();
    if there == sampled || !there.is_subset(&sampled) {
        return Ok(());
    }
    if !pipelines.executions(settings.model.as_str(), 1).await?.is_empty() {
        return Ok(());
    }
    for (key, content) in samples.iter().filter(|(key, _)| !there.contains(key.as_str())) {
        let place = ObjectUri {
            bucket: settings.bucket.clone(),
            key: key.clone(),
        };
        objects.write(&place, (*content).clone()).await?;
    }
    tracing::info!(
        files = samples.len(),
        prefix = settings.data_prefix,
        "there was no data: the repository's sample data is used"
    );
    Ok(())
}
