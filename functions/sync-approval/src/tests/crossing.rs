//! Two decisions, by two doors, that know nothing of each other.

use super::*;

/// In which order the events of both doors, and the sweep, may come; each more than once.
const ORDERS: [[&str; 3]; 4] = [
    ["registry", "pipeline", "sweep"],
    ["pipeline", "registry", "sweep"],
    ["sweep", "registry", "pipeline"],
    ["sweep", "pipeline", "registry"],
];

struct Case {
    /// What somebody has said in the registry.
    said: ApprovalStatus,
    /// So many seconds after the approval's end.
    seconds: i64,
    /// How the approval ended.
    seen: Seen,
    /// How it comes out.
    approval: ApprovalStatus,
    outcome: Option<Outcome>,
    by: &'static str,
    started: usize,
    told: &'static [&'static str],
}

fn cases() -> Vec<Case> {
    let (approved, rejected) = (ApprovalStatus::Approved, ApprovalStatus::Rejected);
    let approve = || train(ActionStatus::Succeeded, &by_link(Decision::Approve).description());
    let reject = || train(ActionStatus::Failed, &by_link(Decision::Reject).description());
    let expire = || console(ActionStatus::Failed, "");
    let stop = || console(ActionStatus::Abandoned, "");
    let supersede = || train(ActionStatus::Failed, "superseded by v8");
    let (registry, link) = ("cy in the model registry", "ada@example.com");
    let case = |said, seconds, seen, approval, outcome, by, told| Case {
        said,
        seconds,
        seen,
        approval,
        outcome,
        by,
        started: 0,
        told,
    };
    let anew = |seconds, seen, told| Case {
        started: 1,
        ..case(approved, seconds, seen, approved, None, registry, told)
    };
    let (ended, expired, made_way) = (
        Some(Outcome::Rejected),
        Some(Outcome::Expired),
        Some(Outcome::Superseded),
    );
    const CROSSED: &str = "v7: two decisions crossed";
    vec![
        // They agree: nobody need be told more than how it ends.
        case(approved, -10, approve(), approved, None, registry, &[]),
        case(approved, 10, approve(), approved, None, link, &[]),
        case(rejected, -10, reject(), rejected, ended, registry, &["v7 rejected"]),
        case(rejected, 10, reject(), rejected, ended, link, &["v7 rejected"]),
        // They don't: the first stands, and the second is told.
        case(
            rejected,
            -10,
            approve(),
            rejected,
            ended,
            registry,
            &["v7 rejected", CROSSED],
        ),
        case(rejected, 10, approve(), approved, None, link, &[CROSSED]),
        anew(-10, reject(), &[CROSSED]),
        case(approved, 10, reject(), rejected, ended, link, &["v7 rejected", CROSSED]),
        // At the same moment, no is no.
        case(
            rejected,
            0,
            approve(),
            rejected,
            ended,
            registry,
            &["v7 rejected", CROSSED],
        ),
        case(approved, 0, reject(), rejected, ended, link, &["v7 rejected", CROSSED]),
        // Whoever approves what has expired or was stopped wants it released after all.
        anew(-10, expire(), &[]),
        anew(10, expire(), &[]),
        anew(-10, stop(), &[]),
        anew(10, stop(), &[]),
        case(rejected, -10, expire(), rejected, ended, registry, &["v7 rejected"]),
        case(rejected, 10, expire(), rejected, expired, TRAIN, &["v7 expired"]),
        case(rejected, -10, stop(), rejected, ended, registry, &["v7 rejected"]),
        case(rejected, 10, stop(), rejected, ended, TRAIN, &["v7 stopped"]),
        // A newer candidate took its place, unless it was approved before.
        anew(-10, supersede(), &[]),
        case(
            approved,
            10,
            supersede(),
            rejected,
            made_way,
            TRAIN,
            &["v7 superseded by v8", CROSSED],
        ),
        case(rejected, -10, supersede(), rejected, ended, registry, &["v7 rejected"]),
        case(
            rejected,
            10,
            supersede(),
            rejected,
            made_way,
            TRAIN,
            &["v7 superseded by v8"],
        ),
    ]
}

impl Case {
    fn world(&self) -> World {
        let world = World::ended(self.seen.clone());
        world.decide(self.said, Some("in Studio"), self.seconds);
        world
    }

    fn event(&self, door: &str) -> &'static str {
        match (door, self.said, self.seen.status) {
            ("registry", ApprovalStatus::Rejected, _) => REJECTED,
            ("registry", ..) => APPROVED,
            ("sweep", ..) => SWEEP,
            (_, _, ActionStatus::Succeeded) => ACTION_SUCCEEDED,
            (_, _, ActionStatus::Abandoned) => ACTION_ABANDONED,
            _ => ACTION_FAILED,
        }
    }

    fn check(&self, world: &World, what: &str) {
        let package = world.package();
        assert_eq!(
            (package.approval, package.outcome_of(&release())),
            (self.approval, self.outcome),
            "{what}"
        );
        let decision = match self.approval {
            ApprovalStatus::Approved => Decision::Approve,
            _ => Decision::Reject,
        };
        assert_eq!(package.decision_of(&release()), Some(decision), "{what}");
        assert_eq!(package.metadata[key::DECIDED_BY], self.by, "{what}");
        assert_eq!(world.releases.started().len(), self.started, "{what}");
    }
}

#[tokio::test]
async fn the_first_decision_stands_in_whatever_order_the_events_come() {
    for case in cases() {
        for order in ORDERS {
            let what = format!("{:?} {} {:?} {order:?}", case.said, case.seconds, case.seen);
            let world = case.world();
            for door in order.iter().chain(&order) {
                world.handle(case.event(door)).await.unwrap();
                case.check(&world, &what);
                assert_eq!(world.subjects(), case.told, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn whoever_came_second_is_told_both_decisions_and_what_to_do() {
    for (said, seconds, status, words) in [
        (
            ApprovalStatus::Rejected,
            10,
            ActionStatus::Succeeded,
            &[
                "Stands: approved by ada@example.com",
                "Changed nothing: rejected by cy in the model registry",
                "To stop it, reject the version in the model registry",
            ][..],
        ),
        (
            ApprovalStatus::Approved,
            -10,
            ActionStatus::Failed,
            &[
                "Stands: approved by cy in the model registry",
                "Changed nothing: rejected by ada@example.com",
            ],
        ),
        (
            ApprovalStatus::Approved,
            10,
            ActionStatus::Failed,
            &[
                "Stands: rejected by ada@example.com",
                "Changed nothing: approved by cy in the model registry",
                "To release it after all, approve the version in the model registry again.",
            ],
        ),
    ] {
        let decision = match status {
            ActionStatus::Succeeded => Decision::Approve,
            _ => Decision::Reject,
        };
        let world = World::ended(train(status, &by_link(decision).description()));
        world.decide(said, Some("in Studio"), seconds);
        world.handle(SWEEP).await.unwrap();
        let notice = world.notices().pop().unwrap();
        contains(&notice, words);
        contains(&notice, &["in Studio", "so be it", "11:50 UTC"]);
    }
}

#[tokio::test]
async fn what_is_released_anew_is_settled_by_itself() {
    let of_later = |event: &str| event.replace(RELEASE, LATER);
    let later: ReleaseId = LATER.parse().unwrap();
    for (said, approved, told) in [
        (None, true, &["v7: two decisions crossed"][..]),
        // Whoever changes their mind before the pipeline has taken the approval once more.
        (
            Some(ApprovalStatus::Rejected),
            false,
            &["v7: two decisions crossed", "v7 rejected"],
        ),
    ] {
        let world = World::ended(train(ActionStatus::Failed, &by_link(Decision::Reject).description()));
        world.decide(ApprovalStatus::Approved, Some("in Studio"), -10);
        world.handle_twice(ACTION_FAILED).await;
        assert_eq!(world.releases.started(), [arn(7)]);
        let waits = Waiting {
            release: later.clone(),
            token: TOKEN.into(),
            since: Some(time("2026-03-01T11:55:00Z")),
        };
        world.releases.wait(waits, arn(7));
        if let Some(said) = said {
            world.decide(said, Some("not after all"), 60);
        }
        // The registry's event is none, or of a release that goes on; and that of the later one may be lost.
        world.handle_twice(REJECTED).await;
        world.handle_twice(SWEEP).await;
        let answered = world.releases.answer_of(&later).unwrap();
        assert_eq!(answered.0, approved, "{}", answered.1);
        contains(&answered.1, &["by cy in the model registry"]);
        for event in [of_later(ACTION_SUCCEEDED), ACTION_FAILED.to_owned(), SWEEP.to_owned()] {
            world.handle_twice(&event).await;
            let package = world.package();
            assert_eq!(package.decision_of(&later) == Some(Decision::Approve), approved);
            assert_eq!(package.outcome_of(&later).is_none(), approved);
            assert_eq!(world.subjects(), told);
            assert_eq!(world.releases.started(), [arn(7)]);
        }
    }
}

/// The gate stands above all that people decide.
#[tokio::test]
async fn what_has_not_passed_its_gate_is_not_released_anew() {
    for seen in [
        console(ActionStatus::Failed, ""),
        console(ActionStatus::Abandoned, ""),
        train(
            ActionStatus::Failed,
            "the version has not passed the gate; it can't be released",
        ),
    ] {
        let world = World::ended(seen.clone());
        world.note(key::GATE, "not held: metrics.accuracy = 0.8");
        world.decide(ApprovalStatus::Approved, Some("in Studio"), -10);
        for event in [APPROVED, SWEEP, ACTION_FAILED] {
            world.handle(event).await.unwrap();
            assert!(world.releases.started().is_empty(), "{seen:?}");
            assert_eq!(world.subjects().len(), 2, "{:?}", world.subjects());
            assert_eq!(world.package().approval, ApprovalStatus::Rejected);
        }
    }
}

/// Whatever the function was about when it died, the next try comes to the same end; people may be told twice, but not more, and
/// never not at all.
#[tokio::test]
async fn it_can_die_before_any_call() {
    for case in cases() {
        for first in ["registry", "pipeline", "sweep"] {
            for again in ["registry", "pipeline", "sweep"] {
                let what = format!("{:?} {} {:?} {first} {again}", case.said, case.seconds, case.seen);
                let mut calls = 0;
                loop {
                    let world = case.world();
                    let over = world.handle_and_die(calls, case.event(first));
                    world.handle(case.event(again)).await.unwrap();
                    case.check(&world, &what);
                    let subjects = world.subjects();
                    for told in case.told {
                        let times = subjects.iter().filter(|subject| subject == told).count();
                        assert!((1..=2).contains(&times), "{what}: {subjects:?}");
                    }
                    assert!(
                        subjects.iter().all(|subject| case.told.contains(&subject.as_str())),
                        "{what}: {subjects:?}"
                    );
                    if over {
                        break;
                    }
                    calls += 1;
                }
                assert!(calls > 2, "{what}");
            }
        }
    }
}
