//! CloudWatch Logs: the groups that the stack declares. What is logged is not kept in them: `up` writes it to files.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Cloud;
use super::codepipeline::declaration::optional_number;
use crate::template::{Resource, TemplateError};

/// How many days a group may keep its events, as
/// [PutRetentionPolicy](https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html) has it.
const RETENTION_DAYS: [u32; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/// The service's state: groups by name.
#[derive(Debug, Default)]
pub(crate) struct State {
    groups: BTreeMap<String, LogGroup>,
}

/// A log group of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogGroup {
    /// How many days events are kept; for ever where it is not said.
    pub retention_days: Option<u32>,
    /// The ARN of the key that encrypts it.
    pub kms_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Properties {
    log_group_name: Option<String>,
    #[serde(default, deserialize_with = "optional_number")]
    retention_in_days: Option<u32>,
    kms_key_id: Option<String>,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    if resource.kind != "AWS::Logs::LogGroup" {
        return Err(resource.unsupported("this resource type"));
    }
    let properties: Properties = resource.read()?;
    let name = properties
        .log_group_name
        .unwrap_or_else(|| resource.physical_id.clone());
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_/#".contains(c);
    if name.is_empty() || name.len() > 512 || !name.chars().all(allowed) {
        return Err(resource.wrong(format!(
            "LogGroupName `{name}` is not 1 to 512 of letters, digits and `.-_/#`"
        )));
    }
    let days = properties.retention_in_days;
    if let Some(days) = days.filter(|days| !RETENTION_DAYS.contains(days)) {
        return Err(resource.wrong(format!("RetentionInDays {days} is none of {RETENTION_DAYS:?}")));
    }
    let group = LogGroup {
        retention_days: days,
        kms_key: properties.kms_key_id,
    };
    match cloud.logs.groups.insert(name.clone(), group) {
        None => Ok(()),
        Some(_) => Err(resource.wrong(format!("there are two log groups `{name}`"))),
    }
}

impl Cloud {
    /// The log group of that name, if the stack declares it.
    #[must_use]
    pub fn log_group(&self, name: &str) -> Option<&LogGroup> {
        self.logs.groups.get(name)
    }
}

#[cfg(test)]
mod tests {
    use crate::cloud::testing::deploy;

    const TEMPLATE: &str = r#"
Resources:
  Group:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: /aws/lambda/look, RetentionInDays: "30", KmsKeyId: "arn:aws:kms:eu-west-1:1:key/k", Tags: [{Key: a, Value: b}]}
  Other: {Type: AWS::Logs::LogGroup}
"#;

    #[test]
    fn groups_are_declared() {
        let cloud = deploy(TEMPLATE).unwrap();
        let group = cloud.log_group("/aws/lambda/look").unwrap();
        assert_eq!(group.retention_days, Some(30));
        assert_eq!(group.kms_key.as_deref(), Some("arn:aws:kms:eu-west-1:1:key/k"));
        assert_eq!(cloud.logs.groups.len(), 2);
        assert_eq!(cloud.log_group("/aws/lambda/other"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, words) in [
            (r#""30""#, "31", "RetentionInDays 31 is none of [1, 3, 5,"),
            ("/aws/lambda/look", "'a b'", "LogGroupName `a b`"),
            (
                "Other: {Type: AWS::Logs::LogGroup}",
                "Other: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: /aws/lambda/look}}",
                "two log groups",
            ),
            ("KmsKeyId", "LogGroupClass", "LogGroupClass"),
        ] {
            let error = deploy(&TEMPLATE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
