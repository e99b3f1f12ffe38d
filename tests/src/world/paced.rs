//! Functions that run side by side: the world under a [`Director`].

use std::pin::Pin;
use std::task::{Context as Waking, Poll, Waker};
use std::time::Duration;

use anyhow::Result;
use jiff::SignedDuration;
use local::cloud::effect::{EffectId, InvocationOutcome, Invoke};
use serde_json::Value;

use super::{Due, World};
use crate::functions::{self, Handling};
use crate::pacing::{self, Director, Kill, Outside, RunId, Seen};

/// A function that is handling an event.
pub(super) struct Run {
    handling: Handling,
    function: String,
    /// The invocation that is told what comes of it.
    told: Option<EffectId>,
    /// Whether somebody waits for the answer at the function's URL.
    by_url: bool,
}

impl World {
    /// From now on calls take their time and functions run side by side; the director decides what becomes of them.
    ///
    /// # Errors
    /// Where a function's configuration is wrong.
    pub fn direct(&mut self, director: Box<dyn Director>) -> Result<()> {
        self.inside.direct(director);
        // Their clients get the time-outs that they have on AWS; without time they had none.
        self.load_functions()
    }

    /// Whether there is a director.
    pub(super) fn is_directed(&self) -> bool {
        self.inside.pacing().is_some()
    }

    /// How long something takes.
    pub(super) fn takes(&self, outside: Outside, otherwise: SignedDuration) -> SignedDuration {
        match &mut *self.inside.pacing() {
            Some(pacing) => signed(pacing.director.takes(outside)),
            None => otherwise,
        }
    }

    /// Has an event reach its function when and as often as the director says.
    pub(super) fn send(&mut self, invoke: Invoke) {
        let arrivals = match &mut *self.inside.pacing() {
            Some(pacing) => pacing.director.deliver(&invoke),
            None => Vec::new(),
        };
        if !arrivals.iter().any(|arrival| arrival.told) {
            // Whoever sent it knows nothing of the loss.
            self.cloud()
                .finish_invocation(invoke.id, InvocationOutcome::Answer(Value::Null));
        }
        for arrival in arrivals {
            let due = Due::Begin(Box::new(invoke.clone()), arrival.told);
            self.due_after(signed(arrival.after), due);
        }
    }

    /// A run begins.
    pub(super) fn begin(&mut self, invoke: Invoke, told: bool) -> Result<()> {
        // What is delivered twice waits for its turn as all else does, in which the cloud has no part.
        let running = self.runs.values().filter(|run| run.function == invoke.function).count();
        if self
            .reserved
            .get(&invoke.function)
            .is_some_and(|reserved| running >= *reserved)
        {
            self.due_after(SignedDuration::from_secs(1), Due::Begin(Box::new(invoke), told));
            return Ok(());
        }
        self.runs_begun += 1;
        let id = self.runs_begun;
        self.saw(&Seen::Begins(id, &invoke));
        let by_url = invoke.payload.get("requestContext").is_some();
        let functions = self.inside.functions();
        let handling = functions.begin(&invoke.function, &invoke.version, invoke.payload, &invoke.request_id)?;
        let run = Run {
            handling,
            function: invoke.function,
            told: told.then_some(invoke.id),
            by_url,
        };
        self.runs.insert(id, run);
        self.due_after(
            SignedDuration::from_secs(invoke.timeout_seconds.into()),
            Due::TimeUp(id, invoke.timeout_seconds),
        );
        self.go_on(id);
        Ok(())
    }

    /// What was under way has come.
    pub(super) fn come(&mut self, due: pacing::Due) {
        match due {
            pacing::Due::Reach(reaching) => {
                let run = reaching.run;
                let (answer, kill) = self.inside.reach(*reaching);
                if kill == Some(Kill::After) {
                    self.end(
                        run,
                        InvocationOutcome::Killed("Runtime exited without providing a reason".into()),
                    );
                }
                match answer {
                    Some((Duration::ZERO, answer)) => self.come(answer),
                    Some((after, answer)) => self.due_after(signed(after), Due::Under(answer)),
                    None => {}
                }
            }
            pacing::Due::Return(run, answering) => {
                // Nobody waits any more where the SDK's time-out was sooner.
                if answering.to.send(answering.response).is_ok() {
                    self.go_on(run);
                }
            }
            pacing::Due::Wake(run, over) => {
                if over.send(()).is_ok() {
                    self.go_on(run);
                }
            }
        }
    }

    /// A run's time is up.
    pub(super) fn time_up(&mut self, run: RunId, seconds: u32) {
        let reason = format!("Task timed out after {seconds}.00 seconds");
        self.end(run, InvocationOutcome::Killed(reason));
    }

    /// A run goes on until it waits again, or ends.
    fn go_on(&mut self, id: RunId) {
        let Some(mut run) = self.runs.remove(&id) else { return };
        if let Some(pacing) = &mut *self.inside.pacing() {
            pacing.current = Some((id, run.function.clone()));
        }
        // Whatever it waits for is looked at again each time: nothing needs to wake it.
        let poll = |handling: &mut Handling| Pin::as_mut(handling).poll(&mut Waking::from_waker(Waker::noop()));
        let handled = match &self.logs {
            Some(logs) => tracing::dispatcher::with_default(logs, || poll(&mut run.handling)),
            None => poll(&mut run.handling),
        };
        self.read_lines(&run.function);
        let (begun, killed) = match &mut *self.inside.pacing() {
            Some(pacing) => (std::mem::take(&mut pacing.begun), std::mem::take(&mut pacing.killed)),
            None => Default::default(),
        };
        for (after, due) in begun {
            self.due_after(signed(after), Due::Under(due));
        }
        match handled {
            _ if killed => {
                self.runs.insert(id, run);
                self.end(
                    id,
                    InvocationOutcome::Killed("Runtime exited without providing a reason".into()),
                );
            }
            Poll::Ready(handled) => {
                self.runs.insert(id, run);
                self.end(id, functions::outcome(Some(handled)));
            }
            Poll::Pending => {
                self.runs.insert(id, run);
            }
        }
    }

    /// A run has ended.
    fn end(&mut self, id: RunId, outcome: InvocationOutcome) {
        let Some(run) = self.runs.remove(&id) else { return };
        let said = match &outcome {
            InvocationOutcome::Answer(_) => Ok(()),
            InvocationOutcome::Error { message, .. } => Err(message.as_str()),
            InvocationOutcome::Killed(reason) => Err(reason.as_str()),
        };
        self.saw(&Seen::Ends(id, said));
        let Some(told) = run.told else { return };
        if run.by_url {
            self.url_answers.insert(told, outcome.clone());
        }
        self.cloud().finish_invocation(told, outcome);
    }

    fn saw(&self, seen: &Seen<'_>) {
        let now = self.cloud().now();
        if let Some(pacing) = &mut *self.inside.pacing() {
            pacing.director.saw(now, seen);
        }
    }

    /// Whether this has become of no use: the time of a run that has ended, a time-out of a call that was answered.
    pub(super) fn is_over(&self, due: &Due) -> bool {
        match due {
            Due::TimeUp(run, _) => !self.runs.contains_key(run),
            Due::Under(pacing::Due::Wake(_, over)) => over.is_canceled(),
            _ => false,
        }
    }
}

/// The director's times are short.
fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}
