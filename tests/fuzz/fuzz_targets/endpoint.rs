//! The endpoint as SageMaker tells of it, in statuses, phases and sentences, and what an update does next.

#![no_main]

use fuzz::{Hostile, Time};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use signalbox_model::endpoint::{Endpoint, Pending, Status};
use signalbox_model::happening::happening;
use signalbox_model::reconcile::{Progress, Step, Wanted, decide};
use signalbox_model::rollout::{Policy, Strategy};

#[derive(Debug, Arbitrary)]
struct Input {
    status: u8,
    config: Config,
    failure_reason: Option<Hostile>,
    pending: Option<Coming>,
    times: [Option<Time>; 3],
    kept_failure: Option<Hostile>,
    asked: bool,
    from: Option<Config>,
    policy: (u8, u32, u32, u32, u32),
    now: Time,
}

/// The deployment that is under way.
#[derive(Debug, Arbitrary)]
struct Coming {
    config: Config,
    phase: Option<Phase>,
    sentence: Option<Sentence>,
    since: Option<Time>,
    desired_count: Option<u32>,
}

/// A configuration's name: ours, another's, or anything.
#[derive(Debug, Arbitrary)]
enum Config {
    Ours,
    Before,
    Words(Hostile),
}

/// A variant status.
#[derive(Debug, Arbitrary)]
enum Phase {
    Creating,
    ActivatingTraffic,
    Baking,
    Deleting,
    Words(Hostile),
}

/// SageMaker's sentence about it.
#[derive(Debug, Arbitrary)]
enum Sentence {
    Baking(u64, u64),
    Some(u64, u64),
    Words(Hostile),
}

const OURS: &str = "churn-v7-01234567";

fuzz_target!(|input: Input| {
    let Input { policy, now, .. } = input;
    let now = now.0;
    let strategies = [
        Strategy::AllAtOnce,
        Strategy::BlueGreen,
        Strategy::Canary,
        Strategy::Linear,
        Strategy::Rolling,
    ];
    let Some(strategy) = strategies.get(usize::from(policy.0 % 5)) else {
        return;
    };
    let policy = Policy {
        strategy: *strategy,
        step_percent: policy.1,
        wait_seconds: policy.2,
        bake_seconds: policy.3,
        timeout_seconds: policy.4,
        alarms: vec!["churn-5xx".to_owned()],
        unguarded_serverless: false,
    };
    let pending = input.pending.as_ref().map(Coming::pending);
    if let Some(pending) = &pending {
        let happening = happening(pending, &policy, now);
        assert!(
            happening.percent < 100,
            "it is not done while it goes on: {happening:?}"
        );
        assert!(happening.shift.is_none_or(|shift| shift.share <= 100), "{happening:?}");
        assert!(happening.summary.starts_with(&format!("{strategy}")));
    }
    let Some(status) = Status::ALL.get(usize::from(input.status) % Status::ALL.len()) else {
        return;
    };
    // The API's word and the events' are one.
    assert_eq!(Status::parse(status.as_str()), Some(*status));
    let endpoint = Endpoint {
        status: *status,
        config: input.config.text(),
        failure_reason: input.failure_reason.as_ref().map(|reason| reason.0.clone()),
        pending,
        modified_at: input.times[0].map(|time| time.0),
        desired_counts: Vec::new(),
    };
    let wanted = Wanted {
        config: OURS,
        made_at: input.times[1].map(|time| time.0),
        serving_made_at: input.times[2].map(|time| time.0),
        failure: input.kept_failure.as_ref().map(Hostile::as_str),
    };
    let progress = Progress {
        asked: input.asked,
        from: input.from.as_ref().map(Config::text),
        ..Progress::default()
    };
    next(&endpoint, &wanted, &progress, &policy, now);
    if let Some(words) = input.failure_reason {
        let read = Status::parse(words.as_str());
        assert!(read.is_none_or(|status| words.as_str().replace('_', "").eq_ignore_ascii_case(status.as_str())));
    }
});

/// Nothing is updated while something is under way, what serves is said to serve, and what was asked for is not asked for again.
fn next(endpoint: &Endpoint, wanted: &Wanted<'_>, progress: &Progress, policy: &Policy, now: jiff::Timestamp) {
    let step = decide(Some(endpoint), wanted, progress, policy, now);
    let idle = matches!(endpoint.status, Status::InService) && endpoint.pending.is_none();
    match &step {
        Step::Create => panic!("it is there"),
        Step::Update { from } => {
            assert!(idle && endpoint.config != OURS || endpoint.status == Status::UpdateRollbackFailed);
            assert!(!progress.asked);
            assert_eq!(from, &endpoint.config);
        }
        Step::Wait { percent, shift, .. } => {
            assert!(!idle && *percent < 100);
            assert!(shift.is_none_or(|shift| shift.share <= 100));
        }
        Step::Serving => assert!(idle && endpoint.config == OURS),
        Step::RolledBack { serving, .. } | Step::Superseded { serving } => {
            assert!(idle && endpoint.config != OURS && serving == &endpoint.config);
        }
        Step::Stuck { reason } => assert!(!idle && !reason.is_empty()),
    }
    // The token may be lost, but what it holds comes back as it was, and is decided on alike.
    let read = Progress::parse(Some(&progress.token()));
    assert_eq!(&read, progress);
    assert_eq!(decide(Some(endpoint), wanted, &read, policy, now), step);
}

impl Coming {
    fn pending(&self) -> Pending {
        Pending {
            config: self.config.text(),
            phase: self.phase.as_ref().map(Phase::text),
            message: self.sentence.as_ref().map(Sentence::text),
            since: self.since.map(|since| since.0),
            desired_count: self.desired_count,
        }
    }
}

impl Config {
    fn text(&self) -> String {
        match self {
            Self::Ours => OURS.to_owned(),
            Self::Before => "churn-v6-76543210".to_owned(),
            Self::Words(words) => words.0.clone(),
        }
    }
}

impl Phase {
    fn text(&self) -> String {
        match self {
            Self::Creating => "Creating".to_owned(),
            Self::ActivatingTraffic => "ActivatingTraffic".to_owned(),
            Self::Baking => "Baking".to_owned(),
            Self::Deleting => "Deleting".to_owned(),
            Self::Words(words) => words.0.clone(),
        }
    }
}

impl Sentence {
    fn text(&self) -> String {
        match self {
            Self::Baking(seconds, instances) => format!(
                "Baking for {seconds} seconds (TerminationWaitInSeconds) with traffic enabled on canary capacity of {instances} \
                 instance(s)."
            ),
            Self::Some(some, all) => format!("Traffic enabled on {some} of {all} instance(s)"),
            Self::Words(words) => words.0.clone(),
        }
    }
}
