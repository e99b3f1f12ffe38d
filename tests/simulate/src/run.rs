//! One seed, from the first push until nothing is under way any more.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use local::cloud::{Happening, Service};
use serde_json::json;
use tests::world::World;

use crate::MODEL;
use crate::faults::{Deviation, Fault, Faults, Line, Script, Tally};
use crate::laws::{End, Laws, Violation};
use crate::load::{self, Act, Planned};
use crate::people::{Decision, People, set_in_registry};
use crate::schedule::Schedule;

/// How a run is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// The faults that may happen.
    pub faults: Vec<Fault>,
    /// Whether the timeline is kept.
    pub timeline: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            faults: Fault::ALL.to_vec(),
            timeline: false,
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The law that was broken, and when.
    pub violation: Option<(Timestamp, Violation)>,
    /// The deviations that there were, by their names: acts, what people did, faults.
    pub names: Vec<String>,
    /// What the faults came to.
    pub tally: Tally,
    /// How many releases ended, by how. A release is a version that was registered.
    pub outcomes: BTreeMap<String, u64>,
    /// How many steps were made and looked at.
    pub steps: u64,
    /// What it came to in the end, where it got there.
    pub end: Option<End>,
    /// The timeline, where one was kept.
    pub lines: Vec<Line>,
}

/// How long the train has, when faults and people have stopped, until everything must have ended.
const QUIET_HOURS: i64 = 48;
/// How long it is then watched on: two sweeps of every function.
const AFTERWARDS: SignedDuration = SignedDuration::from_mins(35);

/// What is done in a run that leaves nothing to chance.
#[derive(Debug, Clone)]
pub struct Story {
    /// The stack's parameters.
    pub parameters: Vec<(&'static str, &'static str)>,
    /// What is done when. Whoever is asked first approves by their link.
    pub planned: Vec<Planned>,
}

/// Runs a seed.
#[must_use]
pub fn run(schedule: &Schedule, options: &Options) -> Report {
    let faults = Faults::new(schedule, &options.faults, options.timeline);
    let story = Story {
        parameters: load::parameters(load::stack(schedule)),
        planned: load::plan(schedule),
    };
    perform(schedule, story, &faults, People::default())
}

/// Runs a story, with one thing at most that goes wrong.
#[must_use]
pub fn tell(story: &Story, deviation: Option<Deviation>, timeline: bool) -> (Report, Script) {
    let faults = Faults::scripted(deviation, timeline);
    let report = perform(&Schedule::default(), story.clone(), &faults, People::obliging());
    let script = faults.state().script.take().unwrap_or_default();
    (report, script)
}

fn perform(schedule: &Schedule, story: Story, faults: &Faults, people: People) -> Report {
    let mut run = Run {
        schedule,
        story,
        faults: faults.clone(),
        people,
        laws: Laws::default(),
        ends: Vec::new(),
        noted: 0,
        steps: 0,
        end: None,
        now: Timestamp::UNIX_EPOCH,
        names: Vec::new(),
    };
    // A handler that panics is a finding, and takes the run with it.
    let ended = catch_unwind(AssertUnwindSafe(|| run.go()));
    let broken = match ended {
        Ok(Ok(())) => None,
        Ok(Err(Stop::Broken(violation))) => Some(violation),
        Ok(Err(Stop::Failed(error))) => Some(Violation {
            law: "9 runs",
            message: format!("{error:#}"),
        }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(Violation {
                law: "9 runs",
                message: format!("a panic: {}", text.unwrap_or_default()),
            })
        }
    };
    let mut state = faults.state();
    let mut names = std::mem::take(&mut run.names);
    names.append(&mut run.people.names);
    names.append(&mut state.tally.names);
    Report {
        seed: schedule.seed,
        violation: broken.map(|violation| (run.now, violation)),
        names,
        tally: std::mem::take(&mut state.tally),
        outcomes: std::mem::take(&mut run.laws.outcomes),
        steps: run.steps,
        end: run.end.take(),
        lines: state.lines.take().unwrap_or_default(),
    }
}

/// Why a run does not go on.
enum Stop {
    Broken(Violation),
    Failed(anyhow::Error),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

struct Run<'a> {
    schedule: &'a Schedule,
    story: Story,
    faults: Faults,
    people: People,
    laws: Laws,
    /// Alarms that become calm again: when, and which.
    ends: Vec<(Timestamp, String)>,
    /// How many happenings the timeline has.
    noted: usize,
    steps: u64,
    end: Option<End>,
    now: Timestamp,
    names: Vec<String>,
}

impl Run<'_> {
    fn go(&mut self) -> Result<(), Stop> {
        let Story { parameters, planned } = self.story.clone();
        self.laws = Laws::new(&parameters);
        let world = World::with_parameters(self.schedule.seed, &parameters)?;
        let mut world = world.with_traffic_while_failing();
        // Logging all costs a third of the time, and what is logged does not depend on much.
        if self.schedule.dice("logging").chance(0.1) {
            world = world.logging();
        }
        world.direct(Box::new(self.faults.clone()))?;
        let delay = self.faults.metrics_delay();
        world.cloud().delay_metrics(delay);
        let begin = world.cloud().now();
        self.faults.plan_outage(begin);
        self.write(begin, || format!("the stack: {parameters:?}"));
        for Planned { name, after, act } in planned {
            self.until(&mut world, begin + after)?;
            self.write(world.cloud().now(), || name.clone());
            self.names.push(name);
            self.act(&mut world, act)?;
        }
        // What was begun goes on among faults for a while.
        let rest = load::seconds(self.schedule.dice("rest").between(0, 7_200));
        let now = world.cloud().now();
        self.until(&mut world, now + rest)?;
        self.quiet(&mut world)
    }

    /// Faults stop, people sleep, time passes.
    fn quiet(&mut self, world: &mut World) -> Result<(), Stop> {
        self.faults.state().on = false;
        let begin = world.cloud().now();
        self.write(begin, || "from here on nothing goes wrong any more".to_owned());
        let end = begin + SignedDuration::from_hours(QUIET_HOURS);
        loop {
            let now = world.cloud().now();
            self.until(world, now + AFTERWARDS)?;
            if self.laws.under_way(world).is_empty() {
                // Still so after everybody has looked once more.
                self.until(world, now + AFTERWARDS + AFTERWARDS)?;
                if self.laws.under_way(world).is_empty() {
                    break;
                }
            }
            if now > end {
                break;
            }
        }
        // Events that are handled side by side may each find that nobody was told yet.
        let one_at_a_time = !self.story.parameters.contains(&("HandleOneAtATime", "false"));
        let calm = one_at_a_time && self.faults.state().are_calm();
        self.end = Some(self.laws.end(world));
        Ok(self.laws.check_end(world, calm)?)
    }

    /// Goes on until that time, step by step, with everything that people do in between.
    fn until(&mut self, world: &mut World, end: Timestamp) -> Result<(), Stop> {
        loop {
            let people = self
                .people
                .next()
                .into_iter()
                .chain(self.ends.iter().map(|(at, _)| *at))
                .min();
            let stop = people.map_or(end, |at| at.min(end));
            let stepped = world.step(stop)?;
            self.look(world)?;
            if stepped {
                continue;
            }
            world.pass_to(stop)?;
            self.look(world)?;
            if stop >= end {
                return Ok(());
            }
            let (over, lasting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.ends)
                .into_iter()
                .partition(|(at, _)| *at <= stop);
            self.ends = lasting;
            for (at, alarm) in over {
                self.write(at, || format!("{alarm} is calm again"));
                world.set_alarm(&alarm, "OK")?;
            }
            self.people.act(world)?;
            for done in std::mem::take(&mut self.people.done) {
                self.write(stop, || done);
            }
        }
    }

    /// Looks at what a step has come to.
    fn look(&mut self, world: &mut World) -> Result<(), Stop> {
        self.steps += 1;
        self.now = world.cloud().now();
        let awake = self.faults.state().on;
        self.people.look(world, self.schedule, awake);
        let mut state = self.faults.state();
        if state.lines.is_some() {
            for happening in world.happenings().get(self.noted..).unwrap_or_default() {
                state.write(happening.time, || told(happening));
            }
            self.noted = world.happenings().len();
        }
        Ok(self.laws.check(world, &self.people, &state.secrets)?)
    }

    fn write(&self, time: Timestamp, text: impl FnOnce() -> String) {
        self.faults.state().write(time, text);
    }

    fn act(&mut self, world: &mut World, act: Act) -> Result<(), Stop> {
        match act {
            Act::Push(candidate) => {
                world.push(&candidate)?;
            }
            Act::PushAside(candidate) => {
                world.push_to("experiment", &candidate)?;
            }
            Act::Data(objects) => {
                let now = world.cloud().now().as_second();
                for object in 0..objects {
                    world.put_object(&format!("data/part-{now}-{object}.csv"), "label,x\n0,1\n")?;
                }
            }
            Act::Drift(lasts) => self.alarm(world, "drift", lasts)?,
            Act::FalseAlarm(lasts) => self.alarm(world, "5xx", lasts)?,
            Act::TakeBack => {
                let input =
                    json!({"name": format!("{MODEL}-rollback"), "variables": [{"name": "Undoes", "value": "serving"}]});
                world.call(Service::CodePipeline, "StartPipelineExecution", &input)?;
                if let Some(serving) = world.serving() {
                    self.people.decided.insert((serving, Decision::TakeBack));
                }
                // Whichever serves when it comes to it is what it takes back.
                self.people.take_backs += 1;
            }
            Act::Registry { back, approves } => {
                let decision = if approves { Decision::Approve } else { Decision::Reject };
                let version = self.laws.newest().and_then(|newest| newest.checked_sub(back));
                if let Some(version) = version.filter(|version| *version > 0) {
                    self.people.decide_alone(version, decision);
                    set_in_registry(world, version, decision);
                }
            }
            Act::Notebook => {
                let input =
                    json!({"PipelineName": MODEL, "ClientRequestToken": format!("notebook-{:0>32}", self.names.len())});
                // There may be no pipeline yet.
                drop(world.call(Service::SageMaker, "StartPipelineExecution", &input));
            }
        }
        self.look(world)
    }

    fn alarm(&mut self, world: &World, name: &str, lasts: SignedDuration) -> Result<(), Stop> {
        let alarm = format!("{MODEL}-{name}");
        world.set_alarm(&alarm, "ALARM")?;
        self.ends.push((world.cloud().now() + lasts, alarm));
        Ok(())
    }
}

/// A happening, in a line.
fn told(happening: &Happening) -> String {
    format!(
        "        {} {} {} {}",
        happening.service, happening.subject, happening.what, happening.data
    )
}
