//! What CodePipeline says, by SNS, when an approval begins to wait.
//!
//! The message holds the token that answers the approval, so nothing here shows it: [`Message`] has no `Debug`, and an error repeats
//! no more of the text than the fields that it is about.

use jiff::Timestamp;
use serde::Deserialize;

use crate::names::{ModelPackageArn, ReleaseId};

/// CodePipeline's message about an approval of the release pipeline.
///
/// See <https://docs.aws.amazon.com/codepipeline/latest/userguide/approvals-json-format.html>.
pub struct Message {
    /// The release that waits.
    pub release: ReleaseId,
    /// The version that it would deploy.
    pub package: ModelPackageArn,
    /// What answers the approval. A secret.
    pub token: String,
    /// Until when it waits.
    pub expires: Timestamp,
}

/// A message that is no approval of the release pipeline's.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not CodePipeline's JSON. serde's message would quote the text, and the text holds the token.
    #[error("the SNS message is not a CodePipeline approval (line {line}, column {column})")]
    NoApproval {
        /// The line of the message that can't be read.
        line: usize,
        /// The column there.
        column: usize,
    },
    /// Another pipeline's.
    #[error("the approval is of the pipeline `{found}`, not `{expected}`")]
    OtherPipeline {
        /// The pipeline that it is of.
        found: String,
        /// The release pipeline.
        expected: String,
    },
    /// The action has no CustomData.
    #[error("the approval has no customData; the template sets it as JSON")]
    NoCustomData,
    /// The action's CustomData is not what the template writes.
    #[error("the approval's customData")]
    CustomData(#[source] serde_json::Error),
    /// The time until which it waits can't be read.
    #[error("the approval's expiry `{text}`")]
    Expiry {
        /// What stands there.
        text: String,
        /// What is wrong with it.
        #[source]
        cause: jiff::Error,
    },
}

impl Message {
    /// Reads the message about an approval of that pipeline.
    ///
    /// # Errors
    /// Where it is not CodePipeline's, of another pipeline, or without what the template puts into it.
    pub fn parse(message: &str, pipeline: &str) -> Result<Self, MessageError> {
        #[derive(Deserialize)]
        struct Wire {
            approval: Approval,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Approval {
            pipeline_name: String,
            token: String,
            expires: String,
            custom_data: Option<String>,
        }
        /// The action's CustomData, as the template writes it.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct CustomData {
            model_package: ModelPackageArn,
            release: ReleaseId,
        }
        let Wire { approval } = serde_json::from_str(message).map_err(|error| MessageError::NoApproval {
            line: error.line(),
            column: error.column(),
        })?;
        if approval.pipeline_name != pipeline {
            return Err(MessageError::OtherPipeline {
                found: approval.pipeline_name,
                expected: pipeline.to_owned(),
            });
        }
        let custom_data = approval.custom_data.ok_or(MessageError::NoCustomData)?;
        let CustomData { model_package, release } =
            serde_json::from_str(&custom_data).map_err(MessageError::CustomData)?;
        // Without seconds, as CodePipeline writes the time: `2016-07-07T20:22Z`.
        let expires = approval.expires.parse().map_err(|cause| MessageError::Expiry {
            text: approval.expires,
            cause,
        })?;
        Ok(Self {
            release,
            package: model_package,
            token: approval.token,
            expires,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_codepipeline_sends_is_read() {
        let event = include_str!("../../../events/request-approval-asked.json");
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        let message = event["Records"][0]["Sns"]["Message"].as_str().unwrap();
        let message = Message::parse(message, "churn-release").ok().unwrap();
        assert_eq!(message.package.label(), "churn-v7");
        assert_eq!(message.release.short(), "01234567");
        assert_eq!(message.token, "1a2b3c4d-573f-4ea7-a67e-9d2a4e0d5b57");
        assert_eq!(message.expires.to_string(), "2026-03-08T11:45:00Z");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_token() {
        let approval = json!({"pipelineName": "churn-release", "token": "s3cret", "expires": "2026-03-08T11:45Z", "customData": "{}"});
        let with = |name: &str, value: serde_json::Value| {
            let mut approval = approval.clone();
            approval[name] = value;
            json!({"approval": approval}).to_string()
        };
        let custom_data = json!({
            "modelPackage": "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7",
            "release": "01234567-89ab-cdef-0123-456789abcdef",
        });
        for (message, words) in [
            ("s3cret".to_owned(), "not a CodePipeline approval (line 1, column 1)"),
            (with("token", json!(["s3cret"])), "not a CodePipeline approval"),
            (with("pipelineName", json!("other")), "`other`, not `churn-release`"),
            (with("customData", json!(null)), "no customData"),
            (with("customData", json!("s3cret")), "customData"),
            (with("customData", json!("{}")), "customData"),
        ] {
            let error = Message::parse(&message, "churn-release").err().unwrap().to_string();
            assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
        }
        let mut late = approval.clone();
        late["customData"] = custom_data.to_string().into();
        late["expires"] = "tomorrow".into();
        let error = Message::parse(&json!({"approval": late}).to_string(), "churn-release")
            .err()
            .unwrap();
        assert_eq!(error.to_string(), "the approval's expiry `tomorrow`");
    }

    #[test]
    fn expiries_are_read_with_and_without_seconds() {
        let event = include_str!("../../../events/request-approval-asked.json");
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        let mut message: serde_json::Value =
            serde_json::from_str(event["Records"][0]["Sns"]["Message"].as_str().unwrap()).unwrap();
        for (text, expected) in [
            ("2026-03-08T11:45Z", Some("2026-03-08T11:45:00Z")),
            ("2026-03-08T11:45:30Z", Some("2026-03-08T11:45:30Z")),
            ("2026-03-08", None),
            ("", None),
        ] {
            message["approval"]["expires"] = text.into();
            let read = Message::parse(&message.to_string(), "churn-release");
            let expires = read.ok().map(|message| message.expires.to_string());
            assert_eq!(expires.as_deref(), expected, "{text}");
        }
    }
}
