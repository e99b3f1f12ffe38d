//! How a release ends: rolled back, superseded, taken back at once; and what a repeated job says of it.

use super::*;

impl World {
    /// SageMaker has rolled the update back, and says so.
    fn rolled_back(&self, reason: Option<&str>) {
        self.set(Status::InService, OLD, None);
        self.failed_because(reason);
    }
}

#[tokio::test]
async fn a_rollback_fails_the_action_and_says_all_that_is_known() {
    const FIRED: &str = "The following alarms fired: churn-5xx. Rolling back the deployment.";
    const BY_ALARM: &str = "churn-v7 was rolled back by the alarm churn-5xx; churn-v6-89abcdef serves";
    const SAW: &str = "It saw: Threshold Crossed: 1 datapoint [0.2] was greater than the threshold (0.02).";
    // SageMaker's reason, the alarms that fire now, what was kept; in the answer, in the notice, and not in it.
    type Row<'a> = (
        Option<&'a str>,
        &'a [&'a str],
        Option<(&'a str, &'a str)>,
        &'a str,
        &'a [&'a str],
        &'a [&'a str],
    );
    let table: [Row<'_>; 9] = [
        (
            Some(FIRED),
            &[],
            None,
            BY_ALARM,
            &["Alarm: churn-5xx", FIRED],
            &["It saw"],
        ),
        (
            Some(FIRED),
            &["churn-5xx"],
            None,
            BY_ALARM,
            &["Alarm: churn-5xx", SAW],
            &[],
        ),
        // It has gone quiet since; what it saw was kept when it fired.
        (
            Some(FIRED),
            &[],
            Some((key::ALARM, "01234567: churn-5xx: one datapoint 0.31")),
            BY_ALARM,
            &["Alarm: churn-5xx", "It saw: one datapoint 0.31"],
            &[],
        ),
        (
            Some(FIRED),
            &[],
            Some((key::ALARM, "01234567: churn-latency: 9 s")),
            BY_ALARM,
            &["Alarm: churn-5xx"],
            &["It saw"],
        ),
        // It was kept for another release of the version.
        (
            Some(FIRED),
            &[],
            Some((key::ALARM, "11111111: churn-5xx: one datapoint 0.31")),
            BY_ALARM,
            &["Alarm: churn-5xx"],
            &["It saw"],
        ),
        (
            Some("Alarms fired"),
            &["churn-latency"],
            None,
            "rolled back by the alarm churn-latency; churn-v6-89abcdef serves. SageMaker says: Alarms fired",
            &["Alarm: churn-latency", SAW],
            &[],
        ),
        (
            Some("no capacity"),
            &[],
            None,
            "churn-v7 was rolled back; churn-v6-89abcdef serves. SageMaker says: no capacity",
            &["Alarm: none was named", "Reason: no capacity"],
            &["It saw"],
        ),
        // The endpoint has forgotten why; an event of it was kept.
        (
            None,
            &[],
            Some((key::FAILURE, "01234567: The alarm churn-5xx fired.")),
            BY_ALARM,
            &["Alarm: churn-5xx"],
            &[],
        ),
        (
            None,
            &[],
            Some((key::FAILURE, "11111111: The alarm churn-5xx fired.")),
            "churn-v7 was rolled back; churn-v6-89abcdef serves. SageMaker says: SageMaker gives no reason",
            &["Alarm: none was named"],
            &["churn-5xx"],
        ),
    ];
    for (reason, firing, kept, words, told, untold) in table {
        let world = World::serving();
        world.rolled_back(reason);
        firing.iter().for_each(|alarm| world.alarms.set(alarm, true));
        if let Some((key, value)) = kept {
            world.change(7, |package| drop(package.metadata.insert(key.into(), value.into())));
        }
        let first = failure(world.handle(CONTINUATION).await);
        assert_eq!(first.kind, FailureType::JobFailed);
        contains(&first.message, &[words]);
        let package = world.package(7);
        assert_eq!(
            (package.outcome(), package.approval),
            (Some(Outcome::RolledBack), ApprovalStatus::Rejected)
        );
        assert_eq!(package.metadata[key::RELEASE], RELEASE);
        let failure_kept = package.failure_of(&RELEASE.parse().unwrap()).unwrap();
        let expected = match (reason, kept) {
            (Some(reason), _) => reason,
            (None, Some((_, kept))) => kept.strip_prefix("01234567: ").unwrap_or("SageMaker gives no reason"),
            (None, None) => unreachable!(),
        };
        assert_eq!(failure_kept, expected);
        contains(&package.metadata[key::REASON], &[failure_kept]);
        contains(package.approval_description.as_deref().unwrap(), &["rolled back"]);
        // Whoever asks again is told the same, and nobody else is told again.
        let second = failure(world.handle(CONTINUATION).await);
        contains(&second.message, &["churn-v7 was taken back: rolled back", failure_kept]);
        let notices = world.notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        let counted = ["Releases Outcome=rolled-back", "Rollbacks Cause=deployment"];
        assert_eq!(world.tally.counted(), counted, "once");
        contains(&notices[0], told);
        contains(
            &notices[0],
            &[
                "churn v7 rolled back",
                "v6 serves all traffic again",
                "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/churn",
            ],
        );
        untold
            .iter()
            .for_each(|word| assert!(!notices[0].contains(word), "{word}: {}", notices[0]));
        assert!(world.is_untouched(), "it is not tried again by itself");
    }
}

#[tokio::test]
async fn who_died_while_a_rollback_was_told_tells_it_at_the_next_try() {
    for calls in 0.. {
        let world = World::serving();
        world.rolled_back(Some("no capacity"));
        let over = world.handle_and_die(calls, CONTINUATION);
        failure(world.handle(CONTINUATION).await);
        assert_eq!(world.outcome(7), Some(Outcome::RolledBack));
        let counted = world.tally.counted();
        let counted = counted.iter().filter(|counted| counted.starts_with("Releases")).count();
        assert!(
            (1..=2).contains(&counted),
            "never lost, and once more at most: {counted}"
        );
        let told = world.subjects();
        assert!(
            !told.is_empty() && told.len() <= 2 && told.iter().all(|subject| subject == "v7 rolled back"),
            "{told:?}"
        );
        if over {
            assert!(calls > 4, "{calls}");
            break;
        }
    }
}

#[tokio::test]
async fn a_lost_token_is_made_up_for_by_the_configurations_age() {
    for (made_at, serving_made_at, kept, expected) in [
        (
            "2026-03-01T12:24:59Z",
            "2026-03-01T11:00:00Z",
            None,
            Some(Outcome::RolledBack),
        ),
        ("2026-03-01T12:25:00Z", "2026-03-01T11:00:00Z", None, None),
        ("2026-03-01T12:26:00Z", "2026-03-01T11:00:00Z", None, None),
        // What serves was made after ours, by somebody else.
        (
            "2026-03-01T12:24:58Z",
            "2026-03-01T12:24:59Z",
            None,
            Some(Outcome::Superseded),
        ),
        (
            "2026-03-01T12:24:58Z",
            "2026-03-01T12:24:59Z",
            Some("01234567: alarm"),
            Some(Outcome::RolledBack),
        ),
    ] {
        let world = World::serving();
        world.failed_because(Some("an alarm"));
        world
            .endpoint
            .put_config(config(OLD, "churn-v6", None), time(serving_made_at));
        world
            .endpoint
            .put_config(config(NEW, "churn-v7", Some(OLD)), time(made_at));
        world.change(7, |package| {
            package
                .metadata
                .extend(kept.map(|kept| (key::FAILURE.to_owned(), kept.to_owned())));
        });
        let answer = world.handle(JOB).await;
        assert_eq!(world.outcome(7), expected, "{made_at}: {answer:?}");
        assert_eq!(answer.is_err(), expected.is_some(), "{made_at}");
        assert_eq!(
            world.endpoint.updates().len(),
            usize::from(expected.is_none()),
            "{made_at}"
        );
    }
}

#[tokio::test]
async fn another_update_that_came_after_is_told_and_nothing_is_done_about_it() {
    let world = World::serving();
    world
        .endpoint
        .put_config(config(THIRD, "churn-v8", Some(OLD)), time("2026-03-01T12:20:00Z"));
    world.set(Status::InService, THIRD, None);
    for _ in 0..2 {
        let failure = failure(world.handle(CONTINUATION).await);
        assert_eq!(failure.kind, FailureType::JobFailed);
        contains(
            &failure.message,
            &["churn-v7 was superseded", "churn-v8-00000008 serves"],
        );
    }
    let package = world.package(7);
    assert_eq!(
        (package.outcome(), package.approval),
        (Some(Outcome::Superseded), ApprovalStatus::Approved)
    );
    assert_eq!(world.subjects(), ["v7 superseded"]);
    assert!(world.is_untouched() && world.releases.rolled_back().is_empty());
}

#[tokio::test]
async fn a_job_that_is_repeated_long_after_answers_by_how_the_release_ended() {
    for (outcome, approval, expected) in [
        ("deployed", ApprovalStatus::Approved, Ok(DONE)),
        (
            "rolled-back",
            ApprovalStatus::Rejected,
            Err("churn-v7 was taken back: too slow"),
        ),
    ] {
        for event in [JOB, CONTINUATION] {
            let world = World::deployed();
            world.set(Status::InService, THIRD, None);
            world.change(7, |package| {
                package.approval = approval;
                package.metadata.insert(key::OUTCOME.into(), outcome.into());
                package.metadata.insert(key::REASON.into(), "too slow".into());
            });
            let (package, configs) = (world.package(7), world.configs());
            let answer = match world.handle(event).await {
                Ok(Answer::Done { summary, .. }) => Ok(summary),
                Err(failure) => Err(failure.message),
                other => panic!("{other:?}"),
            };
            assert_eq!(answer, expected.map(str::to_owned).map_err(str::to_owned));
            assert_eq!((world.package(7), world.configs()), (package, configs));
            assert!(world.notices().is_empty() && world.endpoint.updates().is_empty());
            assert!(world.releases.rolled_back().is_empty());
        }
    }
    let world = World::deployed();
    world.change(7, |package| {
        package.metadata.insert(key::OUTCOME.into(), "rolled-back".into());
        package.metadata.remove(key::REASON);
    });
    assert_eq!(
        failure(world.handle(JOB).await).message,
        "churn-v7 was taken back: rolled back; no reason is kept"
    );
    // How another release of the same version ended says nothing of this one.
    let world = World::serving();
    world.change(7, |package| {
        package.metadata.insert(key::OUTCOME.into(), "rolled-back".into());
        package
            .metadata
            .insert(key::RELEASE.into(), "11111111-2222-3333-4444-555555555555".into());
    });
    assert!(asked(&going(world.handle(JOB).await).0));
}

#[tokio::test]
async fn what_went_wrong_at_the_very_end_is_taken_back_at_once() {
    type Change = fn(&World);
    fn keep(world: &World, kept: &str) {
        world.change(7, |package| {
            drop(package.metadata.insert(key::ALARM.into(), kept.into()))
        });
    }
    let table: [(Change, &str); 6] = [
        (
            |world| world.alarms.set("churn-latency", true),
            "the alarm churn-latency fired as the version took over: Threshold Crossed: 1 datapoint [0.2]",
        ),
        // It has gone quiet since, and was too late for SageMaker.
        (
            |world| keep(world, "01234567: churn-5xx: one datapoint: 0.31"),
            "the alarm churn-5xx fired as the version took over: one datapoint: 0.31",
        ),
        (
            |world| {
                keep(world, "01234567: churn-5xx: one datapoint 0.31");
                world.alarms.set("churn-latency", true);
            },
            "the alarm churn-latency fired as the version took over: Threshold Crossed",
        ),
        (
            |world| {
                keep(world, "01234567: churn-5xx: one datapoint 0.31");
                world.change(7, |package| package.approval = ApprovalStatus::Rejected);
            },
            "the alarm churn-5xx fired as the version took over: one datapoint 0.31",
        ),
        (
            |world| world.change(7, |package| package.approval = ApprovalStatus::Rejected),
            "rejected in the model registry while it was deployed",
        ),
        (
            |world| {
                world.alarms.set("churn-5xx", true);
                world.change(7, |package| package.approval = ApprovalStatus::Rejected);
            },
            "the alarm churn-5xx fired as the version took over",
        ),
    ];
    for (change, words) in table {
        let mut world = World::serving();
        world.settings.keep_previous = 1;
        let (token, _) = going(world.handle(JOB).await);
        change(&world);
        world.set(Status::Updating, OLD, pending(NEW, "Baking", FULL));
        let (token, _) = going(world.handle(&again(JOB, &token)).await);
        assert!(world.releases.rolled_back().is_empty(), "an update can't be called off");
        world.serves();
        for _ in 0..2 {
            assert_eq!(done(world.handle(&again(JOB, &token)).await), DONE);
            let started = world.releases.rolled_back();
            assert_eq!(started.len(), 1, "{started:?}");
            assert_eq!(started[0].0, 7);
            contains(&started[0].1, &[words]);
        }
        assert_eq!(world.outcome(7), Some(Outcome::Deployed), "the rollback marks it");
        assert_eq!(
            world.configs(),
            [OLDER, OLD, NEW],
            "nothing is cleared away that may be gone back to"
        );
    }
}

#[tokio::test]
async fn an_alarm_of_another_release_takes_nothing_back() {
    for kept in [
        "11111111: churn-5xx: one datapoint 0.31",
        "churn-5xx: one datapoint 0.31",
        "",
    ] {
        let world = World::serving();
        world.change(7, |package| {
            drop(package.metadata.insert(key::ALARM.into(), kept.into()))
        });
        going(world.handle(JOB).await);
        world.serves();
        assert_eq!(done(world.handle(CONTINUATION).await), DONE);
        assert!(world.releases.rolled_back().is_empty(), "{kept}");
    }
}

#[tokio::test]
async fn who_died_before_taking_it_back_does_so_at_the_next_try() {
    for calls in 0.. {
        let world = World::serving();
        going(world.handle(JOB).await);
        world.change(7, |package| {
            drop(
                package
                    .metadata
                    .insert(key::ALARM.into(), "01234567: churn-5xx: 0.31".into()),
            )
        });
        world.serves();
        let over = world.handle_and_die(calls, CONTINUATION);
        for _ in 0..2 {
            assert_eq!(done(world.handle(CONTINUATION).await), DONE);
        }
        let started = world.releases.rolled_back();
        assert_eq!(started.len(), 1, "after {calls} calls: {started:?}");
        assert_eq!(world.outcome(7), Some(Outcome::Deployed));
        if over {
            assert!(calls > 6, "{calls}");
            break;
        }
    }
}

impl World {
    /// Version 7 was deployed, and taken back before its release has looked again.
    fn taken_back_at_once(&self, undone: &str) {
        let mut back = config(BACK, "churn-v6", Some(OLDER));
        back.tags.push((tag::UNDOES.into(), undone.into()));
        self.endpoint.put_config(back, time("2026-03-01T12:24:59Z"));
        self.set(Status::InService, BACK, None);
    }
}

/// The configuration of a rollback to version 6.
const BACK: &str = "churn-v6-fedcba98";

#[tokio::test]
async fn a_rollback_that_was_faster_marks_and_tells_itself() {
    let made = |world: &World| {
        let new = config(NEW, "churn-v7", Some(OLD));
        world.endpoint.put_config(new, time("2026-03-01T12:20:00Z"));
    };
    // By the token, or where it was lost by the configurations' age.
    for event in [CONTINUATION, JOB] {
        let world = World::serving();
        made(&world);
        world.taken_back_at_once(NEW);
        let package = world.package(7);
        for _ in 0..2 {
            let failure = failure(world.handle(event).await);
            assert_eq!(failure.kind, FailureType::JobFailed);
            assert_eq!(
                failure.message,
                "churn-v7 was deployed and taken back at once; churn-v6-fedcba98 serves"
            );
        }
        assert_eq!(world.package(7), package, "{event}");
        assert!(world.notices().is_empty() && world.endpoint.updates().is_empty());
        assert!(world.releases.rolled_back().is_empty());
        // Once the rollback has marked it, that is what is said.
        world.change(7, |package| {
            package.approval = ApprovalStatus::Rejected;
            package.metadata.insert(key::OUTCOME.into(), "rolled-back".into());
            package.metadata.insert(key::RELEASE.into(), RELEASE.into());
            package
                .metadata
                .insert(key::REASON.into(), "the alarm churn-5xx".into());
        });
        let failure = failure(world.handle(event).await);
        assert_eq!(failure.message, "churn-v7 was taken back: the alarm churn-5xx");
    }
    // While it is on its way, it is waited for.
    let world = World::serving();
    made(&world);
    world.set(Status::Updating, NEW, pending(BACK, "Creating", ""));
    contains(&going(world.handle(CONTINUATION).await).1, &["waiting for churn-v6"]);
    // The rollback of something else is an update like any other.
    for undone in [THIRD, OLD] {
        let world = World::serving();
        made(&world);
        world.taken_back_at_once(undone);
        let failure = failure(world.handle(CONTINUATION).await);
        contains(&failure.message, &["churn-v7 was superseded", BACK]);
        assert_eq!(world.outcome(7), Some(Outcome::Superseded));
        assert_eq!(world.subjects(), ["v7 superseded"]);
    }
}
