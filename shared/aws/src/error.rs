//! The failures of AWS, told apart by what a caller can do about them.

use std::error::Error;

use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use signalbox_model::trial;

use crate::dry_run::Held;

/// What can be done about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// What was named does not exist.
    NotFound,
    /// What should be made exists already: an earlier try has made it.
    Exists,
    /// The resource is in the middle of another operation.
    Busy,
    /// The request itself is wrong, and would be again.
    Invalid,
    /// The role lacks a permission.
    Denied,
    /// Another writer was faster, or the state has moved on.
    Conflict,
    /// AWS is throttling, failing, or did not answer; whether the call took effect is unknown. Worth another try.
    Transient,
    /// None of these.
    Other,
}

/// A failed call to AWS.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {code}: {message}")]
pub struct AwsError {
    /// The operation, `sagemaker:UpdateEndpoint` for one.
    pub operation: &'static str,
    /// What can be done about it.
    pub kind: ErrorKind,
    /// The service's error code, or a word for what went wrong before the service answered.
    pub code: String,
    /// The service's message.
    pub message: String,
}

impl AwsError {
    /// An error as a port's twin or a caller makes it.
    pub fn new(operation: &'static str, kind: ErrorKind, code: &str, message: impl Into<String>) -> Self {
        Self {
            operation,
            kind,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// An answer without a member that the service always sends.
    #[must_use]
    pub fn incomplete(operation: &'static str, member: &str) -> Self {
        Self::new(
            operation,
            ErrorKind::Other,
            "IncompleteAnswer",
            format!("the answer has no `{member}`"),
        )
    }

    /// Reads what the SDK says.
    pub fn of<E, R>(operation: &'static str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata,
    {
        let (code, message) = match error {
            SdkError::ServiceError(service) => {
                let metadata = service.err().meta();
                (
                    metadata.code().unwrap_or("Unknown"),
                    metadata.message().unwrap_or("no message").to_owned(),
                )
            }
            SdkError::TimeoutError(_) => ("Timeout", "no answer in time".to_owned()),
            SdkError::DispatchFailure(failure) => match held(failure) {
                Some(held) => (trial::HELD, held.to_string()),
                None => ("Dispatch", format!("{failure:?}")),
            },
            SdkError::ResponseError(_) => ("Response", "the answer could not be read".to_owned()),
            _ => ("Construction", "the request could not be built".to_owned()),
        };
        Self {
            operation,
            kind: kind(code, &message),
            code: code.to_owned(),
            message,
        }
    }

    /// Whether another try may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind == ErrorKind::Transient
    }

    /// Whether the call has done nothing, and would do nothing again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self.kind, ErrorKind::Transient | ErrorKind::Busy | ErrorKind::Exists)
    }
}

/// Why a dry run has held the call back, where it has.
fn held(failure: &DispatchFailure) -> Option<&Held> {
    failure.as_connector_error()?.source()?.downcast_ref()
}

/// SageMaker has no modelled errors for "not found", "exists" and "busy": they are `ValidationException`s, told apart by how
/// their message begins.
fn kind(code: &str, message: &str) -> ErrorKind {
    match code {
        "ValidationException" | "ValidationError" | "InvalidParameterValue" | "InvalidParameterException" => {
            validation_kind(message)
        }
        "AccessDeniedException" | "AccessDenied" | "AuthorizationError" | "AuthorizationErrorException" => {
            ErrorKind::Denied
        }
        "ConflictException"
        | "ConcurrentModificationException"
        | "ConcurrentPipelineExecutionsLimitExceededException" => ErrorKind::Conflict,
        "ResourceInUse" => ErrorKind::Exists,
        // Lambda's, of a version that is not ready yet.
        "ResourceConflictException" | "ResourceNotReadyException" => ErrorKind::Busy,
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "SlowDown"
        | "RequestLimitExceeded"
        | "InternalFailure"
        | "InternalServiceFault"
        | "InternalServiceException"
        | "ConcurrentUpdateException"
        | "InternalServerError"
        | "InternalError"
        | "InternalErrorException"
        | "KMSInternalException"
        | "ServiceException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "Timeout"
        | "Dispatch"
        // As if it had not come through: what a handler does then, it does in a dry run.
        | trial::HELD
        | "Response"
        | "DependencyTimeoutException" => ErrorKind::Transient,
        "NoSuchKey" | "NoSuchBucket" | "NotFound" => ErrorKind::NotFound,
        _ if code.starts_with("ResourceNotFound") || code.ends_with("NotFoundException") => ErrorKind::NotFound,
        // CodeCommit's.
        _ if code.ends_with("DoesNotExistException") => ErrorKind::NotFound,
        _ => ErrorKind::Other,
    }
}

fn validation_kind(message: &str) -> ErrorKind {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| message.starts_with(prefix));
    if starts(&["Could not find", "Requested resource not found"]) || message.contains("does not exist") {
        ErrorKind::NotFound
    } else if starts(&["Cannot create already existing"]) || message.contains("already exists") {
        ErrorKind::Exists
    } else if starts(&["Cannot update in-progress"]) {
        ErrorKind::Busy
    } else {
        ErrorKind::Invalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_failures_apart() {
        let table = [
            (
                "ValidationException",
                "Could not find endpoint \"arn:…\".",
                ErrorKind::NotFound,
            ),
            (
                "ValidationException",
                "Could not find endpoint configuration \"arn:…\".",
                ErrorKind::NotFound,
            ),
            (
                "ValidationException",
                "Cannot create already existing model \"arn:…\".",
                ErrorKind::Exists,
            ),
            (
                "ValidationException",
                "Cannot update in-progress endpoint \"arn:…\".",
                ErrorKind::Busy,
            ),
            (
                "ValidationException",
                "1 validation error detected: …",
                ErrorKind::Invalid,
            ),
            ("ThrottlingException", "Rate exceeded", ErrorKind::Transient),
            (
                "AccessDeniedException",
                "User: … is not authorized to perform: …",
                ErrorKind::Denied,
            ),
            ("ResourceNotFound", "Model Package … was not found", ErrorKind::NotFound),
            ("PipelineNotFoundException", "", ErrorKind::NotFound),
            ("PullRequestDoesNotExistException", "", ErrorKind::NotFound),
            ("InvalidApprovalTokenException", "", ErrorKind::Other),
        ];
        for (code, message, expected) in table {
            assert_eq!(kind(code, message), expected, "{code}: {message}");
        }
    }

    /// What is busy or exists may be an earlier try's doing, and what has failed on the way may have been done.
    #[test]
    fn is_final_where_nothing_was_done() {
        for (kind, expected) in [
            (ErrorKind::NotFound, true),
            (ErrorKind::Exists, false),
            (ErrorKind::Busy, false),
            (ErrorKind::Invalid, true),
            (ErrorKind::Denied, true),
            (ErrorKind::Conflict, true),
            (ErrorKind::Transient, false),
            (ErrorKind::Other, true),
        ] {
            let error = AwsError::new("sagemaker:UpdateEndpoint", kind, "Code", "words");
            assert_eq!(error.is_final(), expected, "{kind:?}");
        }
    }
}
