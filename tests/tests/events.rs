//! The sample events: each is JSON, belongs to one function, and is read by that function's tests.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The names in a directory below the root, in order.
fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn events() -> Vec<String> {
    names("events")
        .into_iter()
        .filter(|name| name.ends_with(".json"))
        .collect()
}

fn tests_of(function: &str) -> String {
    fs::read_to_string(root().join("functions").join(function).join("src/tests.rs")).unwrap()
}

#[test]
fn every_event_is_json_and_is_read_by_its_functions_tests() {
    let functions = names("functions");
    for event in events() {
        let text = fs::read_to_string(root().join("events").join(&event)).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{event}: {error}"));
        assert!(
            value.as_object().is_some_and(|members| !members.is_empty()),
            "{event} is no object"
        );
        let function = functions
            .iter()
            .find(|function| event.starts_with(&format!("{function}-")));
        let function = function.unwrap_or_else(|| panic!("{event} begins with no function's name"));
        let include = format!("include_str!(\"../../../events/{event}\")");
        assert!(
            tests_of(function).contains(&include),
            "the tests of {function} do not read {event}"
        );
    }
}

#[test]
fn every_function_has_events_and_its_readme_names_them() {
    for function in names("functions") {
        let readme = fs::read_to_string(root().join("functions").join(&function).join("README.md")).unwrap();
        let own: Vec<String> = events()
            .into_iter()
            .filter(|event| event.starts_with(&format!("{function}-")))
            .collect();
        assert!(!own.is_empty(), "{function} has no event");
        for event in own {
            let name = event.trim_end_matches(".json");
            assert!(readme.contains(name), "the README of {function} does not name {event}");
        }
    }
}

#[test]
fn the_events_are_of_one_account_and_hold_no_key() {
    for event in events() {
        let text = fs::read_to_string(root().join("events").join(&event)).unwrap();
        assert!(!text.contains("AKIA"), "{event} holds an access key");
        for arn in text.split("arn:aws:").skip(1) {
            let account = arn.split(':').nth(2).unwrap_or_default();
            assert!(
                ["123456789012", ""].contains(&account),
                "{event}: an ARN of account {account}"
            );
        }
    }
}
