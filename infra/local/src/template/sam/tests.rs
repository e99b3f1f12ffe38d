//! What SAM's own translator makes of a template, and what is made of it here: the same.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

use crate::template::{Stack, Target, TemplateError};

fn load(template: &str, parameters: &[(&str, &str)]) -> Result<Stack, TemplateError> {
    let parameters: BTreeMap<String, String> = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let target = Target {
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        stack_name: "train".to_owned(),
        base_url: "http://127.0.0.1:4566".to_owned(),
    };
    Stack::load(template, &parameters, &target)
}

/// Without what can't be the same: the digits of a version's logical id follow from where the code is, and the code is a binary
/// here. The names of inline policies, the version of a policy's language and an empty map of destinations are SAM's own.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let left_out = |name: &str, value: &Value| {
                matches!(name, "Code" | "PolicyName" | "Version") || name == "DestinationConfig" && *value == json!({})
            };
            let members = members.iter().filter(|(name, value)| !left_out(name, value));
            let members: Map<String, Value> = members.map(|(name, value)| (name.clone(), plain(value))).collect();
            Value::Object(members)
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

/// Every resource with its type, its properties, its update policy and what it is called.
fn made(stack: &Stack) -> BTreeMap<String, Value> {
    let digits = Regex::new("Version[0-9a-f]{10}$").unwrap();
    let resources = stack.resources.iter().map(|resource| {
        let made = json!({
            "Type": resource.kind,
            "Properties": plain(&resource.properties),
            "UpdatePolicy": stack.update_policies.get(&resource.logical_id),
            "Ref": resource.physical_id,
        });
        (digits.replace(&resource.logical_id, "Version").into_owned(), made)
    });
    resources.collect()
}

#[test]
fn the_translator_makes_the_same() {
    let deployment = (
        include_str!("../samples/deployment.yaml"),
        include_str!("../samples/deployment.json"),
    );
    let conditions = (
        include_str!("../samples/deployment_conditions.yaml"),
        include_str!("../samples/deployment_conditions.json"),
    );
    for ((ours, theirs), parameters, count) in [
        (deployment, &[][..], 45),
        (conditions, &[], 16),
        (conditions, &[("Switch", "something")], 11),
        (conditions, &[("Switch", "off")], 4),
    ] {
        let [ours, theirs] = [ours, theirs].map(|template| load(template, parameters).unwrap());
        let (found, expected) = (made(&ours), made(&theirs));
        let names = |made: &BTreeMap<String, Value>| made.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&expected), "{parameters:?}");
        for (logical_id, expected) in &expected {
            assert_eq!(&found[logical_id], expected, "{logical_id} with {parameters:?}");
        }
        assert_eq!(ours.outputs, theirs.outputs, "{parameters:?}");
        assert_eq!(found.len(), count, "{parameters:?}");
    }
}

#[test]
fn a_new_version_follows_from_the_code_the_environment_and_the_memory_or_from_all() {
    let version = |properties: &str| {
        let function = format!(
            "{{Type: AWS::Serverless::Function, Properties: {{Runtime: r, Handler: h, AutoPublishAlias: live, {properties}}}}}"
        );
        let stack = load(
            &format!("{{Transform: AWS::Serverless-2016-10-31, Resources: {{F: {function}}}}}"),
            &[],
        )
        .unwrap();
        let ids = stack.resources.iter().map(|resource| resource.logical_id.clone());
        ids.into_iter().find(|id| id.starts_with("FVersion")).unwrap()
    };
    let first = version("CodeUri: a");
    for (properties, is_same) in [
        ("CodeUri: a", true),
        ("CodeUri: a, Timeout: 5", true),
        ("CodeUri: b", false),
        ("CodeUri: a, MemorySize: 512", false),
        ("CodeUri: a, Environment: {Variables: {A: b}}", false),
    ] {
        assert_eq!(version(properties) == first, is_same, "{properties}");
    }
    let first = version("CodeUri: a, AutoPublishAliasAllProperties: true");
    for (properties, is_same) in [
        ("CodeUri: a", true),
        ("CodeUri: a, Timeout: 5", false),
        ("CodeUri: a, Tags: {a: b}", false),
        ("CodeUri: a, Role: r", false),
        ("CodeUri: a, VersionDescription: another", true),
    ] {
        let found = version(&format!("{properties}, AutoPublishAliasAllProperties: true"));
        assert_eq!(found == first, is_same, "{properties}");
    }
}
