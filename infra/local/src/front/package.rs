//! What `aws cloudformation package` does before a deployment, as far as a template needs it: the code that a repository is created with is
//! a path in the template, and is brought along as a zip.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;

use crate::cloud::InitialCode;
use crate::git::Repositories;
use crate::jobs::archive;
use crate::template::{Resource, Stack};

/// The largest archive that CloudFormation takes for a repository, in bytes.
const ZIP_BYTES_MAX: usize = 20_000_000;

/// The code of one repository.
struct Code {
    repository: String,
    branch: String,
    zip: Bytes,
}

/// The code of the stack's repositories by their names, without git: each commit's id follows from its files.
pub(super) fn code(stack: &Stack, folder: &Path) -> anyhow::Result<BTreeMap<String, InitialCode>> {
    let code = read(stack, folder)?.into_iter();
    Ok(code
        .map(|code| (code.repository, InitialCode::Files(code.zip)))
        .collect())
}

/// The same, committed to the git repositories. One that has branches already keeps them.
pub(super) async fn commit(
    stack: &Stack,
    folder: &Path,
    repositories: &Repositories,
) -> anyhow::Result<BTreeMap<String, InitialCode>> {
    let mut committed = BTreeMap::new();
    for Code {
        repository,
        branch,
        zip,
    } in read(stack, folder)?
    {
        let initial = repositories.begin(&repository, &branch, &zip).await?;
        committed.insert(repository, initial);
    }
    Ok(committed)
}

fn read(stack: &Stack, folder: &Path) -> anyhow::Result<Vec<Code>> {
    let repositories = stack
        .resources
        .iter()
        .filter(|resource| resource.kind == "AWS::CodeCommit::Repository");
    let code = repositories.filter_map(|resource| read_one(resource, folder).transpose());
    code.collect()
}

fn read_one(resource: &Resource, folder: &Path) -> anyhow::Result<Option<Code>> {
    let Some((branch, path)) = crate::cloud::local_code(resource)? else {
        return Ok(None);
    };
    let place = folder.join(&path);
    let zip = zipped(&place).with_context(|| format!("{}: cannot read {}", resource.logical_id, place.display()))?;
    if zip.len() > ZIP_BYTES_MAX {
        bail!(
            "{}: {} has {} bytes as a zip; CloudFormation takes {ZIP_BYTES_MAX}",
            resource.logical_id,
            place.display(),
            zip.len()
        );
    }
    let name = resource.properties.get("RepositoryName").and_then(|name| name.as_str());
    Ok(Some(Code {
        repository: name.unwrap_or_default().to_owned(),
        branch,
        zip,
    }))
}

/// A folder as a zip, or the zip that the path names.
fn zipped(place: &Path) -> std::io::Result<Bytes> {
    if place.is_file() {
        return Ok(Bytes::from(fs::read(place)?));
    }
    let files: Vec<(String, String)> = archive::files(place)?
        .into_iter()
        // A repository's own history is no file of it.
        .filter(|name| !name.starts_with(".git/"))
        .map(|name| (name.clone(), name))
        .collect();
    archive::zip(place, &files)
}
