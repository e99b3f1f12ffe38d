//! What a push brings: the built zip, the pipeline's definition in it, and the paths of its files against the model's globs (one list,
//! and a path on each line after it).

#![no_main]

#[path = "../../../shared/aws/src/archive.rs"]
mod archive;

use archive::{FILES_MAX, UNPACKED_BYTES_MAX, tar_gz, unzip};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signalbox_model::definition::{DEFINITION_BYTES_MAX, Defaults, SCHEMA_VERSION, WINDOW_PARAMETERS, prepare};
use signalbox_model::paths::ModelPaths;

fuzz_target!(|data: &[u8]| {
    unpacked(data);
    if let Ok(text) = std::str::from_utf8(data) {
        prepared(text);
        let mut lines = text.lines();
        belongs(lines.next().unwrap_or_default(), &lines.collect::<Vec<_>>());
    }
});

/// What is unpacked is bounded and lies where it seems to; packed again, it is the same bytes each time.
fn unpacked(data: &[u8]) {
    let Ok(files) = unzip(data) else { return };
    assert!(files.len() <= FILES_MAX);
    assert!(files.iter().map(|(_, content)| content.len() as u64).sum::<u64>() <= UNPACKED_BYTES_MAX);
    for (path, _) in &files {
        let outside = path.starts_with('/') || path.split('/').any(|part| part == "..") || path.contains('\0');
        assert!(!outside, "{path:?}");
    }
    let pack = || tar_gz(files.iter().map(|(path, content)| (path.as_str(), content.as_slice()))).ok();
    assert_eq!(pack(), pack());
}

/// A definition that is used is bound by the stack's values, wherever it declares them, and is the same when it is used again.
fn prepared(text: &str) {
    let defaults = Defaults {
        role_arn: "arn:aws:iam::123456789012:role/r".to_owned(),
        image_uri: "image".to_owned(),
        instance_type: "ml.m5.large".to_owned(),
        code_uri: "s3://b/code/0f".to_owned(),
        data_uri: "s3://b/data".to_owned(),
        artifact_uri: "s3://b/training".to_owned(),
        accuracy_threshold: 0.85,
        model_package_group_name: "churn".to_owned(),
    };
    let Ok(prepared) = prepare(text, &defaults) else { return };
    assert!(prepared.len() <= DEFINITION_BYTES_MAX);
    assert_eq!(prepare(&prepared, &defaults).ok().as_ref(), Some(&prepared));
    let definition: Value = serde_json::from_str(&prepared).unwrap_or_default();
    assert_eq!(definition.get("Version").and_then(Value::as_str), Some(SCHEMA_VERSION));
    let parameters = definition
        .get("Parameters")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let values = |name: &str| -> Vec<Option<Value>> {
        let named = parameters
            .iter()
            .filter(|parameter| parameter.get("Name").and_then(Value::as_str) == Some(name));
        named.map(|parameter| parameter.get("DefaultValue").cloned()).collect()
    };
    assert_eq!(values("AccuracyThreshold"), [Some(Value::from(0.85))]);
    assert_eq!(values("ModelPackageGroupName"), [Some(Value::from("churn"))]);
    for name in WINDOW_PARAMETERS {
        assert_eq!(values(name), [Some(Value::from(""))], "{name}");
    }
    for (name, value) in [
        ("RoleArn", &defaults.role_arn),
        ("CodeUri", &defaults.code_uri),
        ("DataUri", &defaults.data_uri),
    ] {
        assert!(
            values(name)
                .iter()
                .all(|found| found.as_ref().and_then(Value::as_str) == Some(value)),
            "{name}"
        );
    }
}

/// A file belongs to the model as the globs say, read one by one; a glob with a `!` never adds one; and a push of nothing is trained.
fn belongs(list: &str, files: &[&str]) {
    let Ok(paths) = list.parse::<ModelPaths>() else { return };
    assert!(paths.are_touched([]));
    let globs: Vec<&str> = list.split(',').map(str::trim).filter(|glob| !glob.is_empty()).collect();
    let simple = |glob: &&str| glob.chars().all(|c| c.is_ascii_alphanumeric() || "/!*?._-".contains(c));
    // What stands between other letters than a folder's ends is no `**`: globset has its own ideas of those.
    let simple = globs
        .iter()
        .all(|glob| simple(glob) && !glob.contains("***") && doubles_are_folders(glob));
    let fewer = format!(
        "{list},!{}",
        files
            .first()
            .unwrap_or(&"x")
            .replace([',', '\\', '[', '{', '*', '?'], "")
    );
    let fewer = fewer.parse::<ModelPaths>().ok();
    for file in files.iter().filter(|file| is_path(file)) {
        let contained = paths.contains(file);
        assert!(contained || !paths.is_everything());
        assert!(
            contained || !fewer.as_ref().is_some_and(|fewer| fewer.contains(file)),
            "{list}: {file}"
        );
        if simple {
            let matched = |out: bool| {
                globs
                    .iter()
                    .any(|glob| glob.starts_with('!') == out && is_match(without_mark(glob), file))
            };
            let expected = globs.is_empty() || (matched(false) && !matched(true));
            assert_eq!(contained, expected, "{list}: {file}");
        }
    }
    let any = files.is_empty() || files.iter().any(|file| paths.contains(file));
    assert_eq!(paths.are_touched(files.iter().copied()), any);
}

/// A file's path as git has it, of characters that stand for themselves.
fn is_path(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    path.split('/').all(part)
}

/// What a glob with a `!` takes out: the mark is one letter, and what follows stands for itself, even if it is a `!` again.
fn without_mark(glob: &str) -> &str {
    glob.strip_prefix('!').unwrap_or(glob)
}

fn doubles_are_folders(glob: &str) -> bool {
    let glob = without_mark(glob);
    !glob.is_empty()
        && glob
            .split('/')
            .all(|part| !part.is_empty() && (part == "**" || !part.contains("**")))
}

/// `.gitignore`'s globs, as far as they are made of `*`, `?` and `**`.
fn is_match(glob: &str, path: &str) -> bool {
    let parts: Vec<&str> = glob.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    if let [only] = parts.as_slice() {
        return *only == "**" || path.last().is_some_and(|name| fits(only.as_bytes(), name.as_bytes()));
    }
    folders(&parts, &path)
}

fn folders(glob: &[&str], path: &[&str]) -> bool {
    match (glob, path) {
        ([], []) => true,
        // At the end it is everything below, and not the folder itself.
        (["**"], path) => !path.is_empty(),
        (["**", rest @ ..], path) => {
            (0..=path.len()).any(|skipped| folders(rest, path.get(skipped..).unwrap_or_default()))
        }
        ([part, rest @ ..], [name, below @ ..]) => fits(part.as_bytes(), name.as_bytes()) && folders(rest, below),
        _ => false,
    }
}

fn fits(glob: &[u8], name: &[u8]) -> bool {
    match (glob, name) {
        ([], []) => true,
        ([b'*', rest @ ..], name) => (0..=name.len()).any(|taken| fits(rest, name.get(taken..).unwrap_or_default())),
        ([b'?', rest @ ..], [_, name @ ..]) => fits(rest, name),
        ([letter, rest @ ..], [other, name @ ..]) => letter == other && fits(rest, name),
        _ => false,
    }
}
