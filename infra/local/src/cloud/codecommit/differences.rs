//! The files of commits, and how they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};

use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use zip::ZipArchive;

use super::super::{ApiError, Cloud};
use super::api::{Page, page, required};
use super::{Commit, no_repository};

/// What the files of a commit may hold, in bytes: a small zip may claim to hold the world.
const BYTES_MAX: u64 = 1 << 30;
/// The differences that are shown at once where the caller does not say.
const PAGE: usize = 100;

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// `100644`, `100755`, or `120000` for a link.
    mode: &'static str,
    /// Git's id of its content.
    pub(super) blob: String,
    /// How many lines it has.
    pub(super) lines: usize,
}

/// Answers `GetDifferences`.
pub(super) fn get_differences(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let name = required(input, "repositoryName", "RepositoryNameRequiredException")?;
    let after = required(input, "afterCommitSpecifier", "CommitRequiredException")?;
    let repository = cloud
        .codecommit
        .repositories
        .get(name)
        .ok_or_else(|| no_repository(name))?;
    let find = |specifier: &str| {
        let found = repository.find(specifier).filter(|commit| commit.zip.is_some());
        found.ok_or_else(|| no_commit(specifier))
    };
    let all_after = files(find(after)?)?;
    let all_before = match text("beforeCommitSpecifier") {
        Some(before) => files(find(before)?)?,
        None => BTreeMap::new(),
    };
    let (mut before, mut after) = (all_before, all_after);
    match (text("beforePath"), text("afterPath")) {
        (None, None) => {}
        // A folder that has been renamed is compared name by name.
        (Some(old), Some(new)) => {
            before = below(&before, old);
            after = below(&after, new);
            if before.is_empty() || after.is_empty() {
                return Err(no_path(if before.is_empty() { old } else { new }));
            }
        }
        (Some(path), None) | (None, Some(path)) => {
            before = below(&before, path);
            after = below(&after, path);
            if before.is_empty() && after.is_empty() {
                return Err(no_path(path));
            }
        }
    }
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let compare = |name: &String| {
        let (old, new) = (before.get(name), after.get(name));
        let is_same = old.map(|(_, file)| file) == new.map(|(_, file)| file);
        let change = match (old, new) {
            (None, _) => "A",
            (_, None) => "D",
            _ => "M",
        };
        let mut difference = json!({ "changeType": change });
        for (member, found) in [("beforeBlob", old), ("afterBlob", new)] {
            if let (Some((path, file)), Some(members)) = (found, difference.as_object_mut()) {
                members.insert(
                    member.into(),
                    json!({"blobId": file.blob, "path": path, "mode": file.mode}),
                );
            }
        }
        (!is_same).then_some(difference)
    };
    let differences: Vec<Value> = names.into_iter().filter_map(compare).collect();
    let asked = Page {
        most: input.get("MaxResults"),
        token: text("NextToken"),
        default: PAGE,
        limit: usize::MAX,
    };
    let (shown, next) = page(&differences, &asked)?;
    let mut answer = json!({ "differences": shown });
    if let (Some(next), Some(members)) = (next, answer.as_object_mut()) {
        members.insert("NextToken".into(), next.into());
    }
    Ok(answer)
}

/// The files at or below a path: by the name relative to it, with the whole path.
fn below(files: &BTreeMap<String, (String, File)>, path: &str) -> BTreeMap<String, (String, File)> {
    let path = path.trim_matches('/');
    let relative = |whole: &str| {
        let rest = whole.strip_prefix(path)?;
        (path.is_empty() || rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/').to_owned())
    };
    let chosen = files
        .values()
        .filter_map(|(whole, file)| Some((relative(whole)?, (whole.clone(), file.clone()))));
    chosen.collect()
}

/// The files of a commit by path, each with its path again.
///
/// # Errors
/// `InvalidCommitException` where they can't be read.
pub(super) fn files(commit: &Commit) -> Result<BTreeMap<String, (String, File)>, ApiError> {
    let zip = commit.zip.as_deref().unwrap_or_default();
    let read = || -> Result<BTreeMap<String, (String, File)>, Box<dyn std::error::Error>> {
        let mut archive = ZipArchive::new(Cursor::new(zip))?;
        let (mut found, mut budget) = (BTreeMap::new(), BYTES_MAX);
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index)?;
            if entry.is_dir() {
                continue;
            }
            let mode = match entry.unix_mode() {
                _ if entry.is_symlink() => "120000",
                Some(mode) if mode & 0o100 != 0 => "100755",
                _ => "100644",
            };
            let mut content = Vec::new();
            let read = (&mut entry).take(budget + 1).read_to_end(&mut content)?;
            budget = budget
                .checked_sub(u64::try_from(read)?)
                .ok_or("the files are too large")?;
            let file = File {
                mode,
                blob: blob_id(&content),
                lines: content.split_inclusive(|byte| *byte == b'\n').count(),
            };
            let path = entry.name()?.into_owned();
            found.insert(path.clone(), (path, file));
        }
        Ok(found)
    };
    read().map_err(|error| {
        let message = format!("the files of the commit {} can't be read: {error}", commit.id);
        ApiError::new("InvalidCommitException", message)
    })
}

/// The id that git gives a file's content.
fn blob_id(content: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// There is no such commit.
pub(super) fn no_commit(specifier: &str) -> ApiError {
    let message = format!("The specified commit does not exist: {specifier}");
    ApiError::new("CommitDoesNotExistException", message)
}

/// There is no such file.
pub(super) fn no_path(path: &str) -> ApiError {
    ApiError::new(
        "PathDoesNotExistException",
        format!("The specified path does not exist: {path}"),
    )
}
