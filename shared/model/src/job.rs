//! A CodePipeline job: what an Invoke action hands to its function.
//!
//! The event carries live credentials for the artifacts. They are not read (each function's own role reads the artifact bucket),
//! so that they can't be logged by accident either.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A job as the functions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The job's id. A continuation arrives as a new job with a new id.
    pub id: String,
    /// The action's `UserParameters`, up to 1000 characters.
    pub user_parameters: Option<String>,
    /// Where the action's input artifacts are, in the action's order.
    pub input_artifacts: Vec<Artifact>,
    /// What the last answer left to be continued with.
    pub continuation_token: Option<String>,
}

/// An artifact in S3: a zip file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The artifact's name in the pipeline.
    pub name: String,
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
}

/// A job that can't be done as it is.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Not a CodePipeline job event, so that there is no job to answer.
    #[error("not a CodePipeline job event")]
    NotAJob(#[source] serde_json::Error),
    /// The Invoke action has no `UserParameters`.
    #[error("the action's UserParameters are missing; the template sets them as JSON")]
    NoUserParameters,
    /// The Invoke action's `UserParameters` are not what the function takes.
    #[error("the action's UserParameters are wrong: {0}")]
    UserParameters(serde_json::Error),
}

impl Job {
    /// Reads the event of an Invoke action.
    ///
    /// # Errors
    /// [`JobError::NotAJob`] where the event is none.
    pub fn parse(event: serde_json::Value) -> Result<Self, JobError> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(rename = "CodePipeline.job")]
            job: WireJob,
        }
        #[derive(Deserialize)]
        struct WireJob {
            id: String,
            data: WireData,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct WireData {
            #[serde(default)]
            action_configuration: WireActionConfiguration,
            #[serde(default)]
            input_artifacts: Vec<WireArtifact>,
            continuation_token: Option<String>,
        }
        #[derive(Deserialize, Default)]
        struct WireActionConfiguration {
            #[serde(default)]
            configuration: WireConfiguration,
        }
        #[derive(Deserialize, Default)]
        struct WireConfiguration {
            #[serde(rename = "UserParameters")]
            user_parameters: Option<String>,
        }
        #[derive(Deserialize)]
        struct WireArtifact {
            name: String,
            location: WireLocation,
        }
        #[derive(Deserialize)]
        struct WireLocation {
            #[serde(rename = "s3Location")]
            s3: WireS3,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct WireS3 {
            bucket_name: String,
            object_key: String,
        }
        let Wire { job } = serde_json::from_value(event).map_err(JobError::NotAJob)?;
        let artifact = |artifact: WireArtifact| Artifact {
            name: artifact.name,
            bucket: artifact.location.s3.bucket_name,
            key: artifact.location.s3.object_key,
        };
        Ok(Self {
            id: job.id,
            user_parameters: job.data.action_configuration.configuration.user_parameters,
            input_artifacts: job.data.input_artifacts.into_iter().map(artifact).collect(),
            continuation_token: job.data.continuation_token,
        })
    }

    /// Reads the user parameters, which the template writes as a JSON object.
    ///
    /// # Errors
    /// Where they are missing, not JSON, or not what `T` takes; the message names the field.
    pub fn parameters<T: DeserializeOwned>(&self) -> Result<T, JobError> {
        let text = self.user_parameters.as_deref().ok_or(JobError::NoUserParameters)?;
        serde_json::from_str(text).map_err(JobError::UserParameters)
    }
}

/// The error type of a failed job, of PutJobFailureResult's `failureDetails.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureType {
    /// What was asked could not be done.
    JobFailed,
    /// The action, the template or the repository asks for something wrong: a person must mend it.
    ConfigurationError,
    /// A role lacks a permission.
    PermissionError,
    /// AWS itself is failing.
    SystemUnavailable,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(user_parameters: &serde_json::Value) -> serde_json::Value {
        json!({"CodePipeline.job": {
            "id": "11111111-abcd-1111-abcd-111111abcdef",
            "accountId": "111111111111",
            "data": {
                "actionConfiguration": {"configuration": {"FunctionName": "f", "UserParameters": user_parameters}},
                "inputArtifacts": [{"name": "Build", "revision": null, "location": {
                    "type": "S3", "s3Location": {"bucketName": "bucket", "objectKey": "key"}}}],
                "outputArtifacts": [],
                "artifactCredentials": {"accessKeyId": "A", "secretAccessKey": "S", "sessionToken": "T"},
                "encryptionKey": {"id": "k", "type": "KMS"}
            }
        }})
    }

    #[derive(Debug, Deserialize)]
    struct Parameters {
        commit: String,
    }

    #[test]
    fn reads_a_job_without_its_credentials() {
        let job = Job::parse(event(&json!(r#"{"commit": "0f3c"}"#))).unwrap();
        assert_eq!(job.parameters::<Parameters>().unwrap().commit, "0f3c");
        assert_eq!(job.input_artifacts.len(), 1);
        assert!(!format!("{job:?}").contains("\"S\""));
    }

    #[test]
    fn says_what_is_wrong_with_the_parameters() {
        for (parameters, message) in [
            (
                json!(null),
                "the action's UserParameters are missing; the template sets them as JSON",
            ),
            (
                json!("main"),
                "the action's UserParameters are wrong: expected value at line 1 column 1",
            ),
            (
                json!("{}"),
                "the action's UserParameters are wrong: missing field `commit` at line 1 column 2",
            ),
        ] {
            let job = Job::parse(event(&parameters)).unwrap();
            assert_eq!(job.parameters::<Parameters>().unwrap_err().to_string(), message);
        }
        assert!(Job::parse(json!({"Records": []})).is_err());
    }
}
