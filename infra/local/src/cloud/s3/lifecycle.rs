//! Lifecycle rules: read, so that a mistake in them shows. None is carried out.

use serde::Deserialize;
use serde_json::Value;

use super::super::codepipeline::declaration::optional_number;
use crate::template::{Resource, TemplateError};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Configuration {
    rules: Vec<Rule>,
}

/// A [rule](https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-s3-bucket-rule.html).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Rule {
    #[serde(rename = "Id")]
    _id: Option<String>,
    status: String,
    #[serde(rename = "Prefix")]
    _prefix: Option<String>,
    abort_incomplete_multipart_upload: Option<AbortIncompleteMultipartUpload>,
    #[serde(default, deserialize_with = "optional_number")]
    expiration_in_days: Option<u32>,
    expired_object_delete_marker: Option<Value>,
    noncurrent_version_expiration: Option<NoncurrentVersionExpiration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AbortIncompleteMultipartUpload {
    #[serde(default, deserialize_with = "optional_number")]
    days_after_initiation: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct NoncurrentVersionExpiration {
    #[serde(default, deserialize_with = "optional_number")]
    noncurrent_days: Option<u32>,
    #[serde(default, rename = "NewerNoncurrentVersions", deserialize_with = "optional_number")]
    _newer: Option<u32>,
}

/// Checks the `LifecycleConfiguration` of a bucket.
pub(super) fn check(resource: &Resource) -> Result<(), TemplateError> {
    let Some(configuration) = resource.properties.get("LifecycleConfiguration") else {
        return Ok(());
    };
    let configuration: Configuration = serde_json::from_value(configuration.clone()).map_err(|error| {
        let text = format!("LifecycleConfiguration: {error}");
        if error.to_string().starts_with("unknown field") {
            resource.unsupported(text)
        } else {
            resource.wrong(text)
        }
    })?;
    for (index, rule) in configuration.rules.iter().enumerate() {
        let wrong = |reason: &str| resource.wrong(format!("LifecycleConfiguration.Rules.{index}: {reason}"));
        if !["Enabled", "Disabled"].contains(&rule.status.as_str()) {
            return Err(wrong("Status is neither Enabled nor Disabled"));
        }
        let upload = rule.abort_incomplete_multipart_upload.as_ref();
        let noncurrent = rule.noncurrent_version_expiration.as_ref();
        let days = [
            rule.expiration_in_days,
            upload.map(|rule| rule.days_after_initiation.unwrap_or(0)),
            noncurrent.map(|rule| rule.noncurrent_days.unwrap_or(0)),
        ];
        if days.contains(&Some(0)) {
            return Err(wrong("its days are at least 1"));
        }
        if days == [None; 3] && rule.expired_object_delete_marker.is_none() {
            return Err(wrong("it has nothing to do"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::cloud::testing::deploy;

    #[test]
    fn rules_are_read() {
        for (rule, words) in [
            (
                "{Status: Enabled, AbortIncompleteMultipartUpload: {DaysAfterInitiation: 7}}",
                None,
            ),
            ("{Id: a, Status: Enabled, Prefix: logs/, ExpirationInDays: '30'}", None),
            (
                "{Status: Disabled, Prefix: s/, NoncurrentVersionExpiration: {NoncurrentDays: 1, NewerNoncurrentVersions: 3}}",
                None,
            ),
            (
                "{Status: On, ExpirationInDays: 30}",
                Some("neither Enabled nor Disabled"),
            ),
            ("{Status: Enabled, ExpirationInDays: 0}", Some("at least 1")),
            (
                "{Status: Enabled, AbortIncompleteMultipartUpload: {}}",
                Some("at least 1"),
            ),
            ("{Status: Enabled, Prefix: a/}", Some("nothing to do")),
            ("{Status: Enabled, Transitions: []}", Some("does not understand")),
            ("{ExpirationInDays: 1}", Some("missing field `Status`")),
        ] {
            let template = format!(
                "Resources: {{B: {{Type: AWS::S3::Bucket, Properties: {{LifecycleConfiguration: {{Rules: [{rule}]}}}}}}}}"
            );
            let error = deploy(&template).err().map(|error| error.to_string());
            match words {
                None => assert_eq!(error, None, "{rule}"),
                Some(words) => assert!(
                    error.as_ref().is_some_and(|error| error.contains(words)),
                    "{rule}: {error:?}"
                ),
            }
        }
    }
}
