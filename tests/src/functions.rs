//! The real functions, in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result};
use aws_config::SdkConfig;
use futures::FutureExt;
use local::cloud::effect::{InvocationOutcome, Invoke};
use serde_json::Value;
use signalbox_aws::config::Environment;
use signalbox_aws::log::{Invocation, Lines, Origin};
use signalbox_aws::runtime::{self, Function};

/// Handles an event, with Lambda's request id and the version of the function.
type Handler = Box<dyn Fn(Value, &str, &str) -> Handling + Send + Sync>;

/// An event that is being handled.
pub(crate) type Handling = Pin<Box<dyn Future<Output = Result<Value, Failed>> + Send>>;

/// What Lambda is told of a handler that has failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) kind: String,
    pub(crate) message: String,
}

/// The functions of a stack, by their names.
#[derive(Clone, Default)]
pub(crate) struct Functions {
    handlers: Arc<RwLock<BTreeMap<String, Handler>>>,
    /// Versions that end as soon as they begin.
    broken: Arc<RwLock<BTreeSet<(String, String)>>>,
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Functions").finish_non_exhaustive()
    }
}

impl Functions {
    /// Starts a function; what it logs is kept in the lines.
    ///
    /// # Errors
    /// Where its configuration is wrong.
    pub(crate) fn add<F: Function + 'static>(
        &self,
        name: &str,
        environment: &Environment,
        sdk: &SdkConfig,
        lines: &Lines,
    ) -> Result<()> {
        let (function, origin, lines) = (
            Arc::new(F::new(environment, sdk)?),
            Origin::of(environment),
            Lines::clone(lines),
        );
        let handler: Handler = Box::new(move |event, request, version| {
            let function = Arc::clone(&function);
            let origin = Origin {
                function_version: version.to_owned(),
                ..origin.clone()
            };
            let invocation = Invocation::new(&origin, request).kept(&lines);
            Box::pin(async move {
                let handled = runtime::handle(&*function, invocation, event).await;
                handled.map_err(|failed| Failed {
                    kind: failed.error_type,
                    message: failed.error_message,
                })
            })
        });
        let mut handlers = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
        handlers.insert(name.to_owned(), handler);
        Ok(())
    }

    /// Ends them all. Their clients' way into the cloud has the functions, which Lambda's Invoke runs: without this nothing of a world
    /// would ever be freed.
    pub(crate) fn clear(&self) {
        self.handlers.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// From now on that version ends as soon as it begins.
    pub(crate) fn break_version(&self, name: &str, version: &str) {
        let mut broken = self.broken.write().unwrap_or_else(PoisonError::into_inner);
        broken.insert((name.to_owned(), version.to_owned()));
    }

    /// The name of the function of that binary.
    pub(crate) fn of_binary(&self, binary: &str) -> Option<String> {
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        let of_binary = |name: &&String| name.strip_suffix(binary).is_some_and(|rest| rest.ends_with('-'));
        handlers.keys().find(of_binary).cloned()
    }

    /// Has a function handle an event. Nothing, where it was killed: every call is answered at once, so that a future that is not ready
    /// has been killed.
    pub(crate) fn handle(
        &self,
        name: &str,
        version: &str,
        event: Value,
        request: &str,
    ) -> Result<Option<Result<Value, Failed>>> {
        Ok(self.begin(name, version, event, request)?.now_or_never())
    }

    /// Has a function begin to handle an event.
    pub(crate) fn begin(&self, name: &str, version: &str, event: Value, request: &str) -> Result<Handling> {
        let key = (name.to_owned(), version.to_owned());
        if self
            .broken
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&key)
        {
            let ended = Failed {
                kind: "Runtime.ExitError".to_owned(),
                message: "RequestId: local Error: Runtime exited with error: exit status 1".to_owned(),
            };
            return Ok(Box::pin(std::future::ready(Err(ended))));
        }
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        let handler = handlers.get(name).with_context(|| format!("no function `{name}`"))?;
        Ok(handler(event, request, version))
    }

    /// Runs what Lambda's `Invoke` waits for.
    pub(crate) fn run(&self, invoke: &Invoke) -> InvocationOutcome {
        let handled = self.handle(
            &invoke.function,
            &invoke.version,
            invoke.payload.clone(),
            &invoke.request_id,
        );
        outcome(handled.unwrap_or_else(|error| {
            Some(Err(Failed {
                kind: "ResourceNotFoundException".to_owned(),
                message: error.to_string(),
            }))
        }))
    }
}

/// What Lambda is told.
pub(crate) fn outcome(handled: Option<Result<Value, Failed>>) -> InvocationOutcome {
    match handled {
        Some(Ok(answer)) => InvocationOutcome::Answer(answer),
        Some(Err(Failed { kind, message })) => InvocationOutcome::Error { kind, message },
        None => InvocationOutcome::Killed("killed by the test".into()),
    }
}
