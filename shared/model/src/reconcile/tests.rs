use proptest::prelude::*;

use super::*;
use crate::rollout::Strategy;

const NOW: i64 = 1_800_000_000;

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn policy() -> Policy {
    Policy {
        strategy: Strategy::Canary,
        step_percent: 25,
        wait_seconds: 600,
        bake_seconds: 300,
        timeout_seconds: 3600,
        alarms: vec!["churn-5xx".into()],
        unguarded_serverless: false,
    }
}

fn pending(config: &str) -> Pending {
    Pending {
        config: config.into(),
        phase: Some("Baking".into()),
        message: Some(
            "Baking for 600 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s)."
                .into(),
        ),
        since: Some(time(NOW - 240)),
        desired_count: Some(4),
    }
}

fn endpoint(status: Status, config: &str, pending_config: Option<&str>) -> Endpoint {
    Endpoint {
        status,
        config: config.into(),
        failure_reason: Some("alarm churn-5xx".into()),
        pending: pending_config.map(pending),
        modified_at: Some(time(NOW)),
        desired_counts: vec![("AllTraffic".into(), 4)],
    }
}

const OURS: &str = "churn-v8-88888888";
const BEFORE: &str = "churn-v6-66666666";
const THIRD: &str = "churn-v7-77777777";

fn wanted() -> Wanted<'static> {
    Wanted {
        config: OURS,
        made_at: None,
        serving_made_at: None,
        failure: None,
    }
}

fn asked() -> Progress {
    Progress {
        asked: true,
        from: Some(BEFORE.into()),
        ..Progress::default()
    }
}

/// A step in one line.
fn line(step: &Step) -> String {
    match step {
        Step::Create => "create".into(),
        Step::Update { from } => format!("update from {from}"),
        Step::Wait { summary, percent, .. } => format!("wait, {percent} %: {summary}"),
        Step::Serving => "serving".into(),
        Step::RolledBack { serving, reason } => format!("rolled back to {serving}: {reason}"),
        Step::Superseded { serving } => format!("superseded by {serving}"),
        Step::Stuck { reason } => format!("stuck: {reason}"),
    }
}

/// Every status, with each configuration that can serve and be pending, without and with a continuation token.
#[test]
fn the_whole_domain() {
    let mut table = String::new();
    let mut row = |what: &str, observed: Option<&Endpoint>| {
        for (token, progress) in [("fresh", Progress::default()), ("asked", asked())] {
            let step = decide(observed, &wanted(), &progress, &policy(), time(NOW));
            table.push_str(&format!("{what:<60} {token}  {}\n", line(&step)));
        }
    };
    row("absent", None);
    for status in Status::ALL {
        for config in [OURS, BEFORE, THIRD] {
            for pending in [None, Some(OURS), Some(THIRD)] {
                let short = |config: &str| match config {
                    OURS => "ours",
                    BEFORE => "before",
                    _ => "third",
                };
                let what = format!(
                    "{} serving {}, pending {}",
                    status.as_str(),
                    short(config),
                    pending.map_or("nothing", short)
                );
                row(&what, Some(&endpoint(status, config, pending)));
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_forgotten_request_is_known_by_the_configurations_age() {
    let endpoint = endpoint(Status::InService, BEFORE, None);
    for (made, serving_made, failure, expected) in [
        (
            NOW - 1,
            NOW - 99,
            None,
            "rolled back to churn-v6-66666666: alarm churn-5xx",
        ),
        (NOW, NOW - 99, None, "update from churn-v6-66666666"),
        (NOW + 1, NOW - 99, None, "update from churn-v6-66666666"),
        // What serves was not made after ours.
        (
            NOW - 2,
            NOW - 2,
            None,
            "rolled back to churn-v6-66666666: alarm churn-5xx",
        ),
        // What serves was made after ours.
        (NOW - 2, NOW - 1, None, "superseded by churn-v6-66666666"),
        (
            NOW - 2,
            NOW - 1,
            Some("kept"),
            "rolled back to churn-v6-66666666: alarm churn-5xx",
        ),
    ] {
        let wanted = Wanted {
            made_at: Some(time(made)),
            serving_made_at: Some(time(serving_made)),
            failure,
            ..wanted()
        };
        let step = decide(Some(&endpoint), &wanted, &Progress::default(), &policy(), time(NOW));
        assert_eq!(
            line(&step),
            expected,
            "made {}, serving made {}",
            made - NOW,
            serving_made - NOW
        );
    }
}

#[test]
fn scaling_is_not_taken_for_a_rollback() {
    let scaled = Endpoint {
        failure_reason: None,
        ..endpoint(Status::InService, BEFORE, None)
    };
    let wanted = Wanted {
        made_at: Some(time(NOW - 1)),
        ..wanted()
    };
    let step = |endpoint: &Endpoint, progress: &Progress| {
        line(&decide(Some(endpoint), &wanted, progress, &policy(), time(NOW)))
    };
    assert_eq!(step(&scaled, &Progress::default()), "update from churn-v6-66666666");
    // Nor where the endpoint still bears the reason of an update before ours, and scaling was why SageMaker was busy.
    let failed = endpoint(Status::InService, BEFORE, None);
    let refused = Progress::default().refused(Some(&failed));
    assert_eq!(step(&failed, &refused), "update from churn-v6-66666666");
    let anew = Endpoint {
        failure_reason: Some("another alarm".into()),
        ..failed
    };
    assert_eq!(step(&anew, &refused), "rolled back to churn-v6-66666666: another alarm");
    assert_eq!(Progress::parse(Some(&refused.token())), refused);
}

#[test]
fn a_reason_that_the_endpoint_forgot_is_taken_from_where_it_was_kept() {
    let forgotten = Endpoint {
        failure_reason: None,
        ..endpoint(Status::InService, THIRD, None)
    };
    let wanted = Wanted {
        failure: Some("the alarm churn-5xx fired"),
        ..wanted()
    };
    let step = decide(Some(&forgotten), &wanted, &asked(), &policy(), time(NOW));
    assert_eq!(
        line(&step),
        "rolled back to churn-v7-77777777: the alarm churn-5xx fired"
    );
}

#[test]
fn tokens_are_read_back_and_others_say_nothing() {
    let progress = Progress {
        told: Some(Shift {
            share: 25,
            watched_seconds: Some(600),
        }),
        ..asked()
    };
    assert!(progress.token().len() < 2048);
    assert_eq!(Progress::parse(Some(&progress.token())), progress);
    for token in [
        None,
        Some(""),
        Some("again"),
        Some("[1]"),
        Some(r#"{"asked": "perhaps"}"#),
    ] {
        assert_eq!(Progress::parse(token), Progress::default(), "{token:?}");
    }
    // An older version's token may know less, a newer one's more.
    assert!(Progress::parse(Some(r#"{"asked": true, "colour": "blue"}"#)).asked);
}

/// SageMaker, as far as the reconciler depends on it: one update at a time, which goes through its phases and ends well or is
/// rolled back, and another who updates too.
#[derive(Debug)]
struct SageMaker {
    endpoint: Option<Endpoint>,
    /// Seconds; every change takes one.
    clock: i64,
    updates: usize,
    /// When somebody else's configuration was made.
    third_made_at: Option<i64>,
}

/// What fate deals in one round.
#[derive(Debug, Clone, Copy)]
enum Deal {
    /// The update in flight goes on.
    Progress,
    /// An alarm fires.
    Alarm,
    /// Somebody else updates the endpoint.
    Other,
    /// SageMaker maintains it.
    Maintenance,
    /// The function runs; it dies before it can note what it has done.
    Forget,
    /// The function runs.
    Run,
}

impl SageMaker {
    fn begin(&mut self, config: &str) {
        if let Some(endpoint) = self.endpoint.as_mut().filter(|endpoint| endpoint.is_idle()) {
            self.updates += 1;
            if config == THIRD {
                self.third_made_at = Some(self.clock);
            }
            endpoint.status = Status::Updating;
            endpoint.failure_reason = None;
            endpoint.pending = Some(pending(config));
            endpoint.modified_at = Some(time(self.clock));
        }
    }

    fn settle(&mut self, alarm: bool) {
        let Some(endpoint) = &mut self.endpoint else { return };
        endpoint.modified_at = Some(time(self.clock));
        match (endpoint.status, endpoint.pending.clone()) {
            (Status::Updating, Some(_)) if alarm => {
                endpoint.status = Status::RollingBack;
                endpoint.failure_reason = Some("alarm".into());
            }
            (Status::Updating, Some(pending)) => {
                endpoint.config = pending.config;
                endpoint.pending = None;
                endpoint.status = Status::InService;
            }
            (Status::RollingBack | Status::SystemUpdating | Status::Creating, _) => {
                endpoint.pending = None;
                endpoint.status = Status::InService;
            }
            _ => {}
        }
    }
}

fn deals() -> impl Strategy_<Value = Vec<Deal>> {
    let deal = prop_oneof![
        Just(Deal::Progress),
        Just(Deal::Alarm),
        Just(Deal::Other),
        Just(Deal::Maintenance),
        Just(Deal::Forget),
        Just(Deal::Run),
    ];
    proptest::collection::vec(deal, 0..40)
}

use proptest::strategy::Strategy as Strategy_;

proptest! {
    /// Serving is said only of the wanted configuration with nothing pending, and an update is asked for only of an endpoint that is
    /// idle, or whose rollback has failed, whatever the endpoint looks like.
    #[test]
    fn in_service_is_not_success(
        status in 0..9usize, config in 0..3usize, pending in 0..3usize, token: bool,
        made in proptest::option::of(NOW-5..NOW+5), serving_made in proptest::option::of(NOW-5..NOW+5),
    ) {
        let config = [OURS, BEFORE, THIRD][config];
        let pending = [None, Some(OURS), Some(THIRD)][pending];
        let endpoint = endpoint(Status::ALL[status], config, pending);
        let progress = if token { asked() } else { Progress::default() };
        let wanted = Wanted { made_at: made.map(time), serving_made_at: serving_made.map(time), ..wanted() };
        let step = decide(Some(&endpoint), &wanted, &progress, &policy(), time(NOW));
        prop_assert_eq!(step == Step::Serving, config == OURS && endpoint.is_idle());
        if matches!(step, Step::Update { .. }) {
            prop_assert!(!token);
            prop_assert!(endpoint.is_idle() || endpoint.status == Status::UpdateRollbackFailed);
        }
    }

    /// Whatever fate deals, once it deals fairly the release ends, it has asked for at most one update, and what it says is true.
    #[test]
    fn with_fair_time_it_ends(first: bool, deals in deals()) {
        let mut sagemaker = SageMaker {
            endpoint: (!first).then(|| Endpoint { failure_reason: None, ..endpoint(Status::InService, BEFORE, None) }),
            clock: NOW + 1,
            updates: 0,
            third_made_at: None,
        };
        let (mut progress, mut made_at, mut asked_for) = (Progress::default(), None, 0);
        let mut end = None;
        let fair = std::iter::repeat_n([Deal::Progress, Deal::Run], 8).flatten();
        for deal in deals.into_iter().chain(fair) {
            sagemaker.clock += 1;
            match deal {
                Deal::Progress => sagemaker.settle(false),
                Deal::Alarm => sagemaker.settle(true),
                Deal::Other => sagemaker.begin(THIRD),
                Deal::Maintenance => {
                    if let Some(endpoint) = sagemaker.endpoint.as_mut().filter(|endpoint| endpoint.is_idle()) {
                        endpoint.status = Status::SystemUpdating;
                    }
                }
                Deal::Run | Deal::Forget => {
                    let observed = sagemaker.endpoint.clone();
                    let third = observed.as_ref().is_some_and(|endpoint| endpoint.config == THIRD);
                    let serving_made_at = sagemaker.third_made_at.filter(|_| third).map(time);
                    let wanted = Wanted { made_at, serving_made_at, failure: None, config: OURS };
                    let step = decide(observed.as_ref(), &wanted, &progress, &policy(), time(sagemaker.clock));
                    match &step {
                        Step::Create => {
                            made_at.get_or_insert(time(sagemaker.clock));
                            sagemaker.clock += 1;
                            asked_for += 1;
                            let made = endpoint(Status::Creating, OURS, None);
                            sagemaker.endpoint = Some(Endpoint { failure_reason: None, modified_at: Some(time(sagemaker.clock)), ..made });
                        }
                        Step::Update { from } => {
                            made_at.get_or_insert(time(sagemaker.clock));
                            sagemaker.clock += 1;
                            asked_for += 1;
                            sagemaker.begin(OURS);
                            if matches!(deal, Deal::Run) {
                                progress = Progress { asked: true, from: Some(from.clone()), ..Progress::default() };
                            }
                        }
                        Step::Wait { .. } => {}
                        over => {
                            let serving = observed.as_ref().map(|endpoint| endpoint.config.as_str());
                            prop_assert_eq!(*over == Step::Serving, serving == Some(OURS), "{:?}", over);
                            end = Some(step);
                            break;
                        }
                    }
                }
            }
        }
        prop_assert!(end.is_some(), "it waits for ever: {:?}", sagemaker);
        prop_assert!(asked_for <= 1, "asked {} times", asked_for);
    }
}
