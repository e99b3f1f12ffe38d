//! The time, by the server's clock.
//!
//! Every answer of AWS bears a `Date`. Comparing AWS's timestamps with AWS's own clock saves a handler from its host's, and lets
//! the local cloud, whose hours pass faster, tell its time the way AWS does.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use jiff::Timestamp;

/// Knows the time.
pub trait Clock: Send + Sync {
    /// Now, to the second.
    fn now(&self) -> Timestamp;
}

/// The time of the newest answer from AWS; the host's clock before the first.
#[derive(Debug, Clone, Default)]
pub struct ServerClock {
    /// Seconds since the epoch; zero before the first answer.
    seconds: Arc<AtomicI64>,
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        match self.seconds.load(Ordering::Relaxed) {
            0 => Timestamp::now(),
            seconds => Timestamp::from_second(seconds).unwrap_or_else(|_| Timestamp::now()),
        }
    }
}

impl Clock for Timestamp {
    fn now(&self) -> Timestamp {
        *self
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "ServerClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(time) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) {
            self.seconds.store(time.timestamp().as_second(), Ordering::Relaxed);
        }
        Ok(())
    }
}
