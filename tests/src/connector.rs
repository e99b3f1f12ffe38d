//! The SDK's way into the local cloud without a socket, and the place where calls go wrong on purpose.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use jiff::Timestamp;
use local::cloud::Cloud;
use local::wire::{self, Routed};

use crate::functions::Functions;
use crate::pacing::{self, Answer, Answering, Director, Due, Fate, Kill, Pacing, Reaching, Seen};

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// AWS throttles: the call is not done.
    Throttled,
    /// AWS does what was asked, and answers that it failed.
    FailedAfterDoing,
    /// The function is killed before the call is made.
    KilledBefore,
    /// The function is killed after the call was done, before it has the answer.
    KilledAfter,
}

/// Which calls go wrong: counted from 0 over all functions.
#[derive(Debug, Default)]
pub struct Faults {
    plan: Vec<(u64, Fault)>,
    calls: u64,
}

impl Faults {
    /// Plans a fault.
    pub fn plan(&mut self, call: u64, fault: Fault) {
        self.plan.push((call, fault));
    }

    /// How many calls were made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    fn next(&mut self) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        let planned = self.plan.iter().position(|(planned, _)| *planned == call)?;
        Some(self.plan.swap_remove(planned).1)
    }
}

/// A call as it went over the wire.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What was sent.
    pub request: http::Request<Bytes>,
    /// What came back.
    pub response: http::Response<Bytes>,
}

/// The HTTP client, time source and sleep of the SDK clients in process.
#[derive(Debug, Clone)]
pub struct InProcess {
    cloud: Arc<Mutex<Cloud>>,
    /// What is called, where that is kept.
    exchanges: Arc<Mutex<Option<Vec<Exchange>>>>,
    faults: Arc<Mutex<Faults>>,
    functions: Functions,
    /// Where calls take their time.
    pacing: Arc<Mutex<Option<Pacing>>>,
}

impl InProcess {
    /// A way into that cloud.
    #[must_use]
    pub fn new(cloud: Cloud) -> Self {
        Self {
            cloud: Arc::new(Mutex::new(cloud)),
            exchanges: Arc::default(),
            faults: Arc::default(),
            functions: Functions::default(),
            pacing: Arc::default(),
        }
    }

    /// From now on calls take their time, as the director says.
    pub(crate) fn direct(&self, director: Box<dyn Director>) {
        *self.pacing() = Some(Pacing::new(director));
    }

    /// The calls under way, where they take their time.
    pub(crate) fn pacing(&self) -> MutexGuard<'_, Option<Pacing>> {
        self.pacing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cloud. The guard must not be held while a function runs.
    pub fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The faults.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The functions, which Lambda's Invoke runs.
    pub(crate) fn functions(&self) -> &Functions {
        &self.functions
    }

    /// What was called since this was last asked, and from now on is kept.
    pub(crate) fn take_exchanges(&self) -> Vec<Exchange> {
        let mut kept = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        kept.replace(Vec::new()).unwrap_or_default()
    }

    fn answer(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = in_memory(request)?;
        let kept = || self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept().as_ref().map(Vec::len);
        let response = self.ask(request.clone());
        if let (Some(before), Some(kept)) = (before, &mut *kept()) {
            // What a function called that this call has run is not this function's.
            kept.truncate(before);
            let response = response.clone();
            kept.push(Exchange { request, response });
        }
        answered(response)
    }

    fn ask(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        let routed = wire::route(&mut self.cloud(), request);
        match routed {
            Routed::Answer(response) => response,
            Routed::Invoke(pending) => {
                // Unlocked: the function makes calls of its own.
                let outcome = self.functions.run(&pending.invoke);
                pending.finish(&mut self.cloud(), outcome)
            }
        }
    }

    /// A request that was on its way has reached AWS. When its answer is back, and the function ends in the meantime or not.
    pub(crate) fn reach(&self, reaching: Reaching) -> (Option<(Duration, Due)>, Option<Kill>) {
        let Reaching {
            run,
            function,
            operation,
            request,
            fate,
            to,
        } = reaching;
        let response = self.reached(run, &function, &operation, request, fate);
        let returns = fate.returns.filter(|_| fate.kill.is_none());
        let due = returns.map(|after| (after, Due::Return(run, Box::new(Answering { to, response }))));
        (due, fate.kill)
    }

    fn reached(
        &self,
        run: u64,
        function: &str,
        operation: &str,
        request: HttpRequest,
        fate: Fate,
    ) -> Result<HttpResponse, ConnectorError> {
        let now = self.cloud().now();
        let seen = |body: &[u8], status: u16| {
            let call = pacing::Call {
                now,
                run,
                function,
                operation,
                body,
            };
            if let Some(pacing) = &mut *self.pacing() {
                pacing.director.saw(now, &Seen::Called(&call, status));
            }
        };
        let refused = |status, code| {
            seen(request.body().bytes().unwrap_or_default(), status);
            refusal(&request, status, code)
        };
        match fate.answer {
            Answer::Throttled => return refused(400, "ThrottlingException"),
            Answer::Unavailable => return refused(503, "ServiceUnavailable"),
            Answer::FailedAfterDoing => {
                let failed = refusal(&request, 500, "InternalFailure");
                let request = in_memory(request)?;
                self.show_as_before(now, fate);
                let response = self.ask(request.clone());
                seen(request.body(), response.status().as_u16());
                return failed;
            }
            Answer::Done | Answer::Stale => {}
        }
        let request = in_memory(request)?;
        if !pacing::may_lag(operation) {
            self.show_as_before(now, fate);
            let response = self.ask(request.clone());
            seen(request.body(), response.status().as_u16());
            return answered(response);
        }
        let key = (operation.to_owned(), request.body().clone());
        let stale = |pacing: &mut Option<Pacing>| {
            let (until, response) = pacing.as_ref()?.stale.get(&key)?;
            (now < *until).then(|| response.clone())
        };
        let stale = stale(&mut self.pacing()).filter(|_| fate.answer == Answer::Stale);
        let response = stale.unwrap_or_else(|| self.ask(request.clone()));
        seen(request.body(), response.status().as_u16());
        if let Some(pacing) = &mut *self.pacing() {
            pacing.remember(key, request);
        }
        answered(response)
    }

    /// Keeps what the reads would show now, as what they show for a while after the change that comes.
    fn show_as_before(&self, now: Timestamp, fate: Fate) {
        let Some(lag) = fate.lag else { return };
        let reads = match &*self.pacing() {
            Some(pacing) => pacing.reads.clone(),
            None => return,
        };
        let until = now + lag;
        let before = reads
            .into_iter()
            .map(|(key, request)| (key, (until, self.ask(request))))
            .collect();
        if let Some(pacing) = &mut *self.pacing() {
            pacing.stale = before;
        }
    }
}

/// The SDK has every body the train sends in memory.
fn in_memory(request: HttpRequest) -> Result<http::Request<Bytes>, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?;
    Ok(request.map(|body| Bytes::copy_from_slice(body.bytes().unwrap_or_default())))
}

fn answered(response: http::Response<Bytes>) -> Result<HttpResponse, ConnectorError> {
    let response = response.map(SdkBody::from);
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}

/// How a service says that it is throttling or failing, in the protocol of the request.
fn refusal(request: &HttpRequest, status: u16, code: &str) -> Result<HttpResponse, ConnectorError> {
    let headers = request.headers();
    let message = "made to fail by the test";
    let body = if headers.get("smithy-protocol") == Some("rpc-v2-cbor") {
        cbor(&[("__type", &format!("com.amazonaws#{code}")), ("message", message)])
    } else if headers.get("x-amz-target").is_some() {
        format!(r#"{{"__type": "{code}", "message": "{message}"}}"#).into_bytes()
    } else if headers
        .get("content-type")
        .is_some_and(|kind| kind.contains("form-urlencoded"))
    {
        format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>")
            .into_bytes()
    } else {
        format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>").into_bytes()
    };
    let mut response = http::Response::builder().status(status);
    if headers.get("smithy-protocol").is_some() {
        response = response.header("smithy-protocol", "rpc-v2-cbor");
    }
    let response = response
        .body(SdkBody::from(body))
        .map_err(|error| ConnectorError::user(error.into()))?;
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}

/// A CBOR map of short texts.
fn cbor(members: &[(&str, &str)]) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![0xa0 | u8::try_from(members.len()).unwrap_or(0)];
    for text in members.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend([0x78, length(text)]);
        bytes.extend(text.as_bytes());
    }
    bytes
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let now = self.cloud().now();
        if let Some(pacing) = &mut *self.pacing() {
            let answer = pacing.send(now, request);
            // What is lost on its way is waited for as long as the SDK will.
            return HttpConnectorFuture::new(async {
                match answer.await {
                    Ok(answer) => answer,
                    Err(_) => std::future::pending().await,
                }
            });
        }
        let fault = self.faults().next();
        let answer = match fault {
            None => self.answer(request),
            Some(Fault::Throttled) => refusal(&request, 400, "ThrottlingException"),
            Some(Fault::FailedAfterDoing) => {
                let failed = refusal(&request, 500, "InternalFailure");
                self.answer(request).and(failed)
            }
            // A future that never ends is a function that never goes on: the world sees it pending, and drops it.
            Some(Fault::KilledBefore) => return HttpConnectorFuture::new(std::future::pending()),
            Some(Fault::KilledAfter) => {
                let _ = self.answer(request);
                return HttpConnectorFuture::new(std::future::pending());
            }
        };
        HttpConnectorFuture::ready(answer)
    }
}

impl HttpClient for InProcess {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl TimeSource for InProcess {
    fn now(&self) -> SystemTime {
        self.cloud().now().into()
    }
}

impl AsyncSleep for InProcess {
    /// Back-off between retries takes no time, where calls take none.
    fn sleep(&self, duration: Duration) -> Sleep {
        match &mut *self.pacing() {
            None => Sleep::new(std::future::ready(())),
            Some(pacing) => {
                let over = pacing.pause(duration);
                Sleep::new(async {
                    if over.await.is_err() {
                        std::future::pending::<()>().await;
                    }
                })
            }
        }
    }
}
