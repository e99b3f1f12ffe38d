//! The calls: `Invoke` and `GetAlias`.

use serde_json::{Value, json};

use super::super::effect::Invoke;
use super::super::{ApiError, Caller, Cloud, Service};
use super::versions::{Named, show, version_to_run};
use super::{begin, invocation, invoke, is_full, not_found, rate_exceeded};

/// The largest event of a synchronous and of an asynchronous invocation, in bytes.
const LARGEST: (usize, usize) = (6 * 1024 * 1024, 1024 * 1024);

/// What came of an `Invoke`.
#[derive(Debug, Clone)]
pub enum Started {
    /// `DryRun`: it could be done.
    Checked,
    /// `Event`: it is queued, and nobody waits for it.
    Accepted,
    /// `RequestResponse`: the caller waits. Whoever made the call runs this, which is not among the cloud's effects, and reports
    /// with [`finish_invocation`](Cloud::finish_invocation).
    Run(Invoke),
}

impl Cloud {
    /// `Invoke`. The input has the members of the model but the payload, which comes as it is; an empty one is `{}`.
    ///
    /// # Errors
    /// What Lambda refuses, in its words; what the local cloud does not understand (the tail of the log, a client context).
    pub fn invoke_function(&mut self, caller: &Caller, input: &Value, payload: &[u8]) -> Result<Started, ApiError> {
        self.admit(caller, Service::Lambda, "Invoke", input)?;
        let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
        let invalid = |message: String| ApiError::new("InvalidParameterValueException", message);
        for (member, fits) in [
            ("LogType", "None"),
            ("ClientContext", ""),
            ("TenantId", ""),
            ("DurableExecutionName", ""),
        ] {
            if !text(member).is_empty() && text(member) != fits {
                return Err(invalid(format!(
                    "The local cloud does not understand {member} `{}`.",
                    text(member)
                )));
            }
        }
        let name = Named::parse(text("FunctionName"), Some(text("Qualifier")))?;
        let largest = if text("InvocationType") == "Event" {
            LARGEST.1
        } else {
            LARGEST.0
        };
        if payload.len() > largest {
            let error = ApiError::new(
                "RequestTooLargeException",
                format!("Request must be smaller than {largest} bytes for the InvokeFunction operation"),
            );
            return Err(ApiError { status: 413, ..error });
        }
        let payload = if payload.is_empty() {
            json!({})
        } else {
            serde_json::from_slice(payload).map_err(|error| {
                let message = format!("Could not parse request body into json: {error}");
                ApiError::new("InvalidRequestContentException", message)
            })?
        };
        match text("InvocationType") {
            "DryRun" => match version_to_run(self, &name) {
                Some(_) => Ok(Started::Checked),
                None => Err(not_found(self, &name.to_string())),
            },
            "Event" => invoke(self, name, payload, Some(0)).map(|_| Started::Accepted),
            _ => {
                let invocation = invocation(self, name, payload, None)?;
                if is_full(self, &invocation.function) {
                    return Err(rate_exceeded());
                }
                Ok(Started::Run(begin(self, invocation)))
            }
        }
    }
}

/// The ARN that permissions on a call are asked for: of the function, or of what the qualifier names.
pub(crate) fn arn_asked(cloud: &Cloud, name_or_arn: &str, qualifier: &str) -> String {
    let name =
        Named::parse(name_or_arn, Some(qualifier)).map_or_else(|_| name_or_arn.to_owned(), |name| name.to_string());
    cloud.arn("lambda", &format!("function:{name}"))
}

/// Answers one call. `Invoke` may have to wait for a function, and so is [`Cloud::invoke_function`].
pub(crate) fn call(cloud: &mut Cloud, _caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    match operation {
        "GetAlias" => {
            let name = Named::parse(text("FunctionName"), None)?;
            let arn = cloud.arn("lambda", &format!("function:{}:{}", name.function, text("Name")));
            let function = cloud.lambda.functions.get(&name.function);
            let alias = function.and_then(|function| function.aliases.get(text("Name")));
            match alias {
                Some(alias) => Ok(show(arn, text("Name"), alias)),
                None => {
                    let error = ApiError::new("ResourceNotFoundException", format!("Cannot find alias arn: {arn}"));
                    Err(ApiError { status: 404, ..error })
                }
            }
        }
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("{operation} is not answered here"),
        )),
    }
}
