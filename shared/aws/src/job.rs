//! Answering a CodePipeline job, exactly once and whatever happens.
//!
//! CodePipeline invokes asynchronously: an error that the function returns does not fail the action, it makes Lambda retry and
//! then leaves the action hanging until it times out after 20 minutes. So the work of a job is a future that [`answer`] runs, and
//! whatever comes of it, a panic included, becomes one PutJobSuccessResult or PutJobFailureResult.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use aws_sdk_codepipeline::types::{ExecutionDetails, FailureDetails, FailureType as SdkFailureType};
use signalbox_model::job::{FailureType, Job, JobError};

use crate::error::{AwsError, ErrorKind};

/// The longest summary, in characters.
const SUMMARY_CHARS_MAX: usize = 2048;
/// The longest failure message, in characters.
const MESSAGE_CHARS_MAX: usize = 5000;
/// The continuation token of work that was interrupted before it left one of its own.
pub const AGAIN: &str = "again";

/// What to tell CodePipeline of a job that has not failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Done {
        /// What was done, for the console.
        summary: String,
        /// The id that the work has in its own service.
        external_id: Option<String>,
        /// What later actions can refer to.
        variables: BTreeMap<String, String>,
    },
    /// Going on; CodePipeline calls again with the token.
    Continue {
        /// What to go on with, 1 to 2048 characters.
        token: String,
        /// What is happening now, for the console.
        summary: String,
        /// How much is done, 0 to 100.
        percent: u8,
    },
}

/// Why a job fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault it is.
    pub kind: FailureType,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// Whether to try again instead of failing the action.
    pub transient: bool,
}

impl Failure {
    /// A failure of what was asked.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            kind: FailureType::JobFailed,
            message: message.into(),
            transient: false,
        }
    }

    /// A failure that a person must mend in template, pipeline or repository.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self {
            kind: FailureType::ConfigurationError,
            message: message.into(),
            transient: false,
        }
    }
}

impl From<AwsError> for Failure {
    fn from(error: AwsError) -> Self {
        let kind = match error.kind {
            ErrorKind::Denied => FailureType::PermissionError,
            ErrorKind::Transient => FailureType::SystemUnavailable,
            ErrorKind::Invalid => FailureType::ConfigurationError,
            ErrorKind::NotFound | ErrorKind::Exists | ErrorKind::Busy | ErrorKind::Conflict | ErrorKind::Other => {
                FailureType::JobFailed
            }
        };
        Self {
            kind,
            message: error.to_string(),
            transient: error.is_transient(),
        }
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        Self::configuration(error.to_string())
    }
}

/// Lets one answer jobs.
pub trait AnswerJobs: Send + Sync {
    /// PutJobSuccessResult.
    ///
    /// # Errors
    /// Where CodePipeline refuses or fails.
    fn succeed(&self, job_id: &str, answer: &Answer) -> impl Future<Output = Result<(), AwsError>> + Send;

    /// PutJobFailureResult.
    ///
    /// # Errors
    /// Where CodePipeline refuses or fails.
    fn fail(&self, job_id: &str, failure: &Failure) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// Runs the work of a job and answers the job with what came of it. Work that AWS interrupted (throttling, time-outs) is answered
/// with a continuation, so that CodePipeline calls again; the 24 hours of an action bound that.
///
/// # Errors
/// Only where the answer itself could not be given: then Lambda's retry runs the work again.
pub async fn answer<W>(jobs: &impl AnswerJobs, job: &Job, work: W) -> Result<(), AwsError>
where
    W: Future<Output = Result<Answer, Failure>>,
{
    let given = match unwound(work).await {
        Ok(answer) => jobs.succeed(&job.id, &answer).await,
        Err(failure) if failure.transient => {
            tracing::warn!(message = failure.message, "interrupted; asking to be called again");
            let token = job.continuation_token.clone().unwrap_or_else(|| AGAIN.to_owned());
            let summary = format!("trying again: {}", failure.message);
            jobs.succeed(
                &job.id,
                &Answer::Continue {
                    token,
                    summary,
                    percent: 0,
                },
            )
            .await
        }
        Err(failure) => {
            tracing::error!(message = failure.message, kind = ?failure.kind, "the job failed");
            jobs.fail(&job.id, &failure).await
        }
    };
    match given {
        // An earlier try of this very job has answered: what it said stands.
        Err(error) if matches!(error.code.as_str(), "InvalidJobStateException" | "JobNotFoundException") => {
            tracing::info!(job = job.id, "the job has been answered before");
            Ok(())
        }
        given => given,
    }
}

/// Runs the work, and makes a panic a failure.
async fn unwound<W>(work: W) -> Result<Answer, Failure>
where
    W: Future<Output = Result<Answer, Failure>>,
{
    let mut work = pin!(work);
    std::future::poll_fn(move |context| {
        // The future is not polled again after a panic, so that nothing half-done is seen.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(_) => std::task::Poll::Ready(Err(Failure::failed("the function panicked; its log has the place"))),
        }
    })
    .await
}

/// CodePipeline's job calls.
#[derive(Debug, Clone)]
pub struct Jobs(aws_sdk_codepipeline::Client);

impl Jobs {
    /// The port over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_codepipeline::Client::new(sdk))
    }
}

impl AnswerJobs for Jobs {
    async fn succeed(&self, job_id: &str, answer: &Answer) -> Result<(), AwsError> {
        let request = self.0.put_job_success_result().job_id(job_id);
        let details = ExecutionDetails::builder();
        let request = match answer {
            Answer::Done {
                summary,
                external_id,
                variables,
            } => {
                let details = details.summary(cut(summary, SUMMARY_CHARS_MAX)).percent_complete(100);
                let request = request.execution_details(details.set_external_execution_id(external_id.clone()).build());
                variables
                    .iter()
                    .fold(request, |request, (name, value)| request.output_variables(name, value))
            }
            Answer::Continue {
                token,
                summary,
                percent,
            } => {
                let details = details
                    .summary(cut(summary, SUMMARY_CHARS_MAX))
                    .percent_complete((*percent).min(99).into());
                request.execution_details(details.build()).continuation_token(token)
            }
        };
        request
            .send()
            .await
            .map_err(|error| AwsError::of("codepipeline:PutJobSuccessResult", &error))?;
        Ok(())
    }

    async fn fail(&self, job_id: &str, failure: &Failure) -> Result<(), AwsError> {
        let operation = "codepipeline:PutJobFailureResult";
        let kind = match failure.kind {
            FailureType::JobFailed => SdkFailureType::JobFailed,
            FailureType::ConfigurationError => SdkFailureType::ConfigurationError,
            FailureType::PermissionError => SdkFailureType::PermissionError,
            FailureType::SystemUnavailable => SdkFailureType::SystemUnavailable,
        };
        let details = FailureDetails::builder()
            .r#type(kind)
            .message(cut(&failure.message, MESSAGE_CHARS_MAX))
            .build();
        let details = details.map_err(|_| AwsError::incomplete(operation, "failureDetails"))?;
        let request = self.0.put_job_failure_result().job_id(job_id).failure_details(details);
        request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        Ok(())
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    // CodePipeline refuses an empty text.
    if text.is_empty() {
        "-".to_owned()
    } else {
        text.chars().take(chars_max).collect()
    }
}

#[cfg(test)]
mod tests;
