//! Taking a deployed version back.

use signalbox_aws::configurations::{ReadTags, ServedConfig, tag};
use signalbox_model::endpoint::{Configuration, Variant};

use super::*;

/// The rollback's execution, and the configuration that it brings.
const EXECUTION: &str = "fedcba98-7654-3210-fedc-ba9876543210";
const BACK: &str = "churn-v6-fedcba98";
const REASON: &str = "the alarm churn-5xx fired after the deployment";
const SUMMARY: &str = "v6 serves again; v7 was taken back: ";

/// All at once, watched by those alarms.
fn rescue(alarms: &[&str]) -> Update {
    let traffic = Traffic::BlueGreen {
        routing: Routing::AllAtOnce,
        wait_seconds: 0,
        termination_wait_seconds: 0,
    };
    Update {
        deployment: Some(Plan {
            traffic,
            timeout_seconds: 3600,
            alarms: alarms.iter().map(|&alarm| alarm.to_owned()).collect(),
        }),
        keep_count: true,
    }
}

/// The job of a rollback of what is named.
fn rollback(execution: &str, undoes: &str, token: Option<&str>) -> String {
    let parameters = json!({"release": execution, "undoes": undoes, "reason": REASON}).to_string();
    job(parameters.into(), token)
}

fn asked_for() -> String {
    again(ROLLBACK, r#"{"asked":true,"from":"churn-v7-01234567"}"#)
}

impl World {
    /// Nothing was made for the rollback, asked for or marked.
    fn is_as_deployed(&self) -> bool {
        self.configs() == [OLDER, OLD, NEW]
            && self.endpoint.updates().is_empty()
            && [5, 6, 7].map(|version| self.outcome(version)) == [Some(Outcome::Deployed); 3]
    }
}

#[tokio::test]
async fn the_last_good_version_serves_again_and_the_bad_one_is_marked() {
    let world = World::deployed();
    world.alarms.set("churn-5xx", true);
    let (token, summary) = going(world.handle(ROLLBACK).await);
    assert_eq!(token, r#"{"asked":true,"from":"churn-v7-01234567"}"#);
    assert_eq!(summary, "taking v7 back: v6 is asked for");
    // The alarm that fires now would roll the rescue back to what it rescues from.
    assert_eq!(world.endpoint.updates(), [rescue(&["churn-latency"])]);
    assert_eq!(world.endpoint.get().unwrap().pending.unwrap().config, BACK);
    let config = world.config(BACK);
    assert_eq!(
        (config.base.unwrap().facts.name.as_str(), config.changes),
        (OLD, None),
        "a copy"
    );
    let tags = [
        (tag::MODEL_PACKAGE, arn(6).to_string()),
        (tag::RELEASE, EXECUTION.into()),
        (tag::UNDOES, NEW.into()),
        // What is taken back is nothing to go back to.
        (tag::REPLACES, OLDER.into()),
    ];
    assert_eq!(config.tags, tags.map(|(key, value)| (key.to_owned(), value)));
    world.set(
        Status::Updating,
        NEW,
        pending(BACK, "Creating", "Creating 4 new instance(s)."),
    );
    let (token, summary) = going(world.handle(&again(ROLLBACK, &token)).await);
    contains(&summary, &["starting 4 new instances"]);
    assert_eq!(world.outcome(7), Some(Outcome::Deployed), "not before it is so");
    world.set(Status::InService, BACK, None);
    for event in [again(ROLLBACK, &token), again(ROLLBACK, &token), ROLLBACK.to_owned()] {
        let Ok(Answer::Done {
            summary,
            external_id,
            variables,
        }) = world.handle(&event).await
        else {
            panic!()
        };
        contains(&summary, &[SUMMARY, REASON, "[0.31]"]);
        assert_eq!(external_id.as_deref(), Some(BACK));
        assert_eq!(variables["EndpointConfigName"], BACK);
    }
    let counted = ["Releases Outcome=rolled-back", "Rollbacks Cause=alarm"];
    assert_eq!(world.tally.counted(), counted, "once");
    let package = world.package(7);
    assert_eq!(
        (package.outcome(), package.approval),
        (Some(Outcome::RolledBack), ApprovalStatus::Rejected)
    );
    for (key, value) in [(key::UNDONE_BY, EXECUTION), (key::RELEASE, RELEASE)] {
        assert_eq!(package.metadata[key], value);
    }
    contains(&package.metadata[key::REASON], &[REASON]);
    contains(
        package.approval_description.as_deref().unwrap(),
        &["rolled back", REASON, "[0.31]"],
    );
    assert_eq!(world.outcome(6), Some(Outcome::Deployed));
    let notices = world.notices();
    assert_eq!(world.subjects(), ["v6 begins to take over", "v7 rolled back"]);
    contains(
        &notices[0],
        &[
            "v6 begins to take over from v7",
            "How: all at once",
            "v7 is taken back",
            REASON,
        ],
    );
    contains(
        &notices[1],
        &[
            "v6 serves all traffic again",
            "Alarm: churn-5xx",
            "[0.31]",
            "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/churn",
        ],
    );
    // The release's own job, repeated now, does not bring it again.
    contains(
        &failure(world.handle(JOB).await).message,
        &["churn-v7 was taken back: ", REASON],
    );
}

#[tokio::test]
async fn a_persons_reason_names_no_alarm() {
    let world = World::deployed();
    let event = ROLLBACK.replace("the alarm churn-5xx fired after the deployment", "wrong prices");
    let (token, _) = going(world.handle(&event).await);
    assert_eq!(world.endpoint.updates(), [rescue(&["churn-5xx", "churn-latency"])]);
    world.set(Status::InService, BACK, None);
    done(world.handle(&again(&event, &token)).await);
    contains(&world.notices()[1], &["Alarm: none was named", "Reason: wrong prices"]);
    assert_eq!(
        world.tally.counted(),
        ["Releases Outcome=rolled-back", "Rollbacks Cause=person"]
    );
}

#[tokio::test]
async fn a_try_that_died_anywhere_is_made_up_for() {
    let mut calls = 0;
    loop {
        let world = World::deployed();
        let mut over = world.handle_and_die(calls, ROLLBACK);
        let (token, _) = going(world.handle(ROLLBACK).await);
        assert_eq!(world.endpoint.updates().len(), 1, "after {calls} calls");
        world.set(Status::Updating, NEW, pending(BACK, "Creating", ""));
        over &= world.handle_and_die(calls, &again(ROLLBACK, &token));
        world.set(Status::InService, BACK, None);
        over &= world.handle_and_die(calls, &again(ROLLBACK, &token));
        contains(&done(world.handle(&again(ROLLBACK, &token)).await), &[SUMMARY]);
        assert_eq!(world.outcome(7), Some(Outcome::RolledBack));
        assert_eq!(
            (world.configs().len(), world.endpoint.updates().len()),
            (4, 1),
            "after {calls} calls"
        );
        let mut subjects = world.subjects();
        let all = subjects.len();
        subjects.dedup();
        // Who died between the update and the notice does not tell of the start: the end is told in any case.
        assert_eq!(subjects.last().map(String::as_str), Some("v7 rolled back"));
        assert!(all <= 4, "told and not yet marked, each can be told again once: {all}");
        if over {
            break;
        }
        calls += 1;
    }
    assert!(calls >= 10, "{calls}");
}

#[tokio::test]
async fn what_does_not_serve_is_not_taken_back() {
    for undoes in ["6", "v6", "8"] {
        let world = World::deployed();
        let summary = done(world.handle(&rollback(EXECUTION, undoes, None)).await);
        contains(&summary, &["nothing to take back: v7 serves, not v"]);
        assert!(world.is_as_deployed() && world.notices().is_empty(), "{undoes}");
    }
    // A second execution for what the first has taken back.
    let world = World::deployed();
    going(world.handle(ROLLBACK).await);
    world.set(Status::InService, BACK, None);
    done(world.handle(&asked_for()).await);
    let (package, subjects) = (world.package(7), world.subjects());
    let second = "aaaaaaaa-7654-3210-fedc-ba9876543210";
    assert_eq!(
        done(world.handle(&rollback(second, "7", None)).await),
        "nothing to take back: v6 serves, not v7"
    );
    assert_eq!((world.package(7), world.subjects()), (package, subjects));
    assert_eq!(world.endpoint.updates().len(), 1);
}

#[tokio::test]
async fn whatever_serves_is_taken_back_unless_it_was_brought_back_itself() {
    let world = World::deployed();
    let (token, _) = going(world.handle(&rollback(EXECUTION, "serving", None)).await);
    world.set(Status::InService, BACK, None);
    done(world.handle(&rollback(EXECUTION, "serving", Some(&token))).await);
    assert_eq!(world.outcome(7), Some(Outcome::RolledBack));
    // Somebody presses the button twice: they hardly mean version 6 too.
    let second = "aaaaaaaa-7654-3210-fedc-ba9876543210";
    let failure = failure(world.handle(&rollback(second, "serving", None)).await);
    contains(
        &failure.message,
        &[
            "v6 was brought back by a rollback itself",
            "--variables name=Undoes,value=6",
        ],
    );
    assert_eq!(world.subjects().last().unwrap(), "ROLLBACK FAILED");
    // Noted, so that nobody tells it again.
    let endpoint = arn(7).endpoint_arn("churn");
    let note = &world.endpoint.tags(&endpoint).await.unwrap()[tag::TOLD_ROLLBACK];
    assert!(note.starts_with(&format!("{second} ")), "{note}");
    assert_eq!(
        (world.endpoint.updates().len(), world.outcome(6)),
        (1, Some(Outcome::Deployed))
    );
    // Who names it means it.
    let (token, summary) = going(world.handle(&rollback(second, "6", None)).await);
    assert_eq!(summary, "taking v6 back: v5 is asked for");
    let config = world.config("churn-v5-aaaaaaaa");
    assert_eq!(config.base.unwrap().facts.name, OLDER);
    assert!(config.tags.contains(&(tag::UNDOES.into(), BACK.into())));
    assert!(
        config.tags.iter().all(|(key, _)| key != tag::REPLACES),
        "nothing served before it"
    );
    world.set(Status::InService, "churn-v5-aaaaaaaa", None);
    done(world.handle(&rollback(second, "6", Some(&token))).await);
    assert_eq!(
        [5, 6].map(|version| world.outcome(version)),
        [Some(Outcome::Deployed), Some(Outcome::RolledBack)]
    );
}

#[tokio::test]
async fn a_predecessor_that_is_no_good_is_passed_over() {
    type Change = fn(&mut World);
    let table: [Change; 5] = [
        |world| world.change(6, |package| package.approval = ApprovalStatus::Rejected),
        |world| world.change(6, |package| package.approval = ApprovalStatus::PendingManualApproval),
        |world| {
            world.change(6, |package| {
                drop(package.metadata.insert(key::OUTCOME.into(), "rolled-back".into()))
            })
        },
        |world| world.change(6, |package| package.metadata.clear()),
        |world| {
            let packages = Packages::default();
            packages.put(world.package(5));
            packages.put(world.package(7));
            world.packages = packages;
        },
    ];
    for (number, change) in table.into_iter().enumerate() {
        let mut world = World::deployed();
        change(&mut world);
        let (_, summary) = going(world.handle(ROLLBACK).await);
        assert_eq!(summary, "taking v7 back: v5 is asked for", "{number}");
        let config = world.config("churn-v5-fedcba98");
        assert_eq!(config.base.unwrap().facts.name, OLDER);
        assert!(config.tags.contains(&(tag::UNDOES.into(), NEW.into())));
    }
}

/// What served before the version was the version itself, with other instances perhaps.
#[tokio::test]
async fn what_is_taken_back_is_nothing_to_go_back_to() {
    let world = World::deployed();
    let first = "churn-v7-76543210";
    world
        .endpoint
        .put_config(config(first, "churn-v7", Some(OLD)), time(NOW));
    world
        .endpoint
        .put_config(config(NEW, "churn-v7", Some(first)), time(NOW));
    let (_, summary) = going(world.handle(ROLLBACK).await);
    assert_eq!(summary, "taking v7 back: v6 is asked for");
}

#[tokio::test]
async fn where_there_is_nothing_to_go_back_to_people_are_told_what_to_do() {
    type Change = fn(&mut World);
    let table: [(Change, &[&str]); 9] = [
        (
            |world| world.endpoint = OneEndpoint::default(),
            &["there is no endpoint", "Release a version"],
        ),
        (
            |world| world.set(Status::InService, "by-hand", None),
            &[
                "by-hand serves, which is no configuration of the train's",
                "aws sagemaker update-endpoint",
            ],
        ),
        (
            |world| world.set(Status::InService, "other-v7-01234567", None),
            &["other-v7-01234567 serves, which is no configuration of the train's"],
        ),
        (
            |world| world.endpoint.put_config(config(NEW, "churn-v7", None), time(NOW)),
            &[
                "nothing served before v7 that can be gone back to.",
                "v7 goes on serving",
            ],
        ),
        (
            |world| {
                world
                    .endpoint
                    .put_config(config(NEW, "churn-v7", Some("by-hand")), time(NOW))
            },
            &["can be gone back to but by-hand, which is not of the train"],
        ),
        (
            |world| {
                world.change(6, |package| package.approval = ApprovalStatus::Rejected);
                world.change(5, |package| {
                    drop(package.metadata.insert(key::OUTCOME.into(), "superseded".into()))
                });
            },
            &["but v6, which is Rejected, v5, which is superseded"],
        ),
        (
            |world| {
                world.change(6, |package| package.metadata.clear());
                world.endpoint.put_config(config(OLD, "churn-v6", None), time(NOW));
            },
            &["but v6, which is not known to have served through a release"],
        ),
        (
            |world| {
                let packages = Packages::default();
                packages.put(world.package(7));
                world.packages = packages;
            },
            &["but v6, which is gone from the registry, v5, which is gone from the registry"],
        ),
        (
            |world| {
                world
                    .endpoint
                    .put_config(config(NEW, "churn-v7", Some("churn-v6-deadbeef")), time(NOW))
            },
            &[
                "the configuration churn-v6-deadbeef of the last good version is gone",
                "Approve that version",
            ],
        ),
    ];
    for (change, words) in table {
        let mut world = World::deployed();
        change(&mut world);
        let (before, configs) = (world.endpoint.get(), world.configs());
        let failure = failure(world.handle(ROLLBACK).await);
        assert_eq!(failure.kind, FailureType::JobFailed, "{words:?}");
        contains(&failure.message, words);
        let notices = world.notices();
        assert_eq!(world.subjects(), ["ROLLBACK FAILED"]);
        contains(&notices[0], &["may still serve", "What to do:", "#/endpoints/churn"]);
        assert_eq!((world.endpoint.get(), world.configs()), (before, configs));
        assert_eq!(world.outcome(7), Some(Outcome::Deployed));
    }
}

#[tokio::test]
async fn another_update_is_waited_for() {
    for (status, config, pending, words) in [
        (
            Status::Updating,
            NEW,
            pending(THIRD, "Baking", ""),
            "waiting for churn-v8, which is being rolled out",
        ),
        (
            Status::InService,
            NEW,
            pending(THIRD, "Creating", ""),
            "waiting for churn-v8",
        ),
        (
            Status::Updating,
            OLD,
            pending(NEW, "Baking", ""),
            "waiting for churn-v7",
        ),
        (Status::Updating, NEW, None, "being updated or scaled"),
        (
            Status::RollingBack,
            NEW,
            pending(THIRD, "Deleting", ""),
            "is being rolled back",
        ),
        (Status::SystemUpdating, NEW, None, "SageMaker's own maintenance"),
        (Status::Creating, NEW, None, "waiting for churn-v7"),
        (Status::Deleting, NEW, None, "waiting for the endpoint's deletion"),
    ] {
        let world = World::deployed();
        world.set(status, config, pending);
        let (token, summary) = going(world.handle(ROLLBACK).await);
        assert!(!asked(&token), "{words}");
        contains(&summary, &[words]);
        assert!(world.is_as_deployed() && world.notices().is_empty());
    }
    for (status, words) in [
        (Status::Failed, "a failed endpoint can only be deleted"),
        (Status::OutOfService, "the endpoint is out of service"),
    ] {
        let world = World::deployed();
        world.set(status, NEW, None);
        contains(&failure(world.handle(ROLLBACK).await).message, &[words]);
        assert!(world.is_as_deployed());
        assert_eq!(world.subjects(), ["ROLLBACK FAILED"]);
    }
}

#[tokio::test]
async fn a_rescue_that_sagemaker_rolls_back_is_told_and_marks_nothing() {
    let world = World::deployed();
    going(world.handle(ROLLBACK).await);
    world.set(Status::RollingBack, NEW, pending(BACK, "Deleting", ""));
    world.failed_because(Some("no capacity"));
    contains(
        &going(world.handle(&asked_for()).await).1,
        &["rolling back: no capacity"],
    );
    world.set(Status::InService, NEW, None);
    world.failed_because(Some("no capacity"));
    let failure = failure(world.handle(&asked_for()).await);
    contains(
        &failure.message,
        &[
            "SageMaker took the rollback itself back, and churn-v7-01234567 serves: no capacity",
            "release a good version",
        ],
    );
    assert_eq!(world.subjects(), ["v6 begins to take over", "ROLLBACK FAILED"]);
    assert_eq!(
        (world.outcome(7), world.endpoint.updates().len()),
        (Some(Outcome::Deployed), 1)
    );
}

#[tokio::test]
async fn a_lost_token_is_made_up_for_by_the_configurations_age() {
    // The endpoint was changed at 12:25.
    for (made_at, rolled_back) in [("2026-03-01T12:24:59Z", true), ("2026-03-01T12:25:00Z", false)] {
        let world = World::deployed();
        world.failed_because(Some("an alarm"));
        let made = NewConfig {
            tags: vec![(tag::UNDOES.into(), NEW.into())],
            ..config(BACK, "churn-v6", None)
        };
        world.endpoint.put_config(made, time(made_at));
        let answer = world.handle(ROLLBACK).await;
        assert_eq!(answer.is_err(), rolled_back, "{made_at}: {answer:?}");
        assert_eq!(world.endpoint.updates().len(), usize::from(!rolled_back), "{made_at}");
    }
}

#[tokio::test]
async fn what_was_left_between_two_versions_is_mended() {
    for pending in [None, pending(THIRD, "Baking", "")] {
        let world = World::deployed();
        world.set(Status::UpdateRollbackFailed, NEW, pending);
        assert!(asked(&going(world.handle(ROLLBACK).await).0));
        assert_eq!(world.endpoint.updates().len(), 1);
    }
    // Unless it was the rollback itself that was left so.
    let world = World::deployed();
    world.set(Status::UpdateRollbackFailed, NEW, None);
    contains(
        &failure(world.handle(&asked_for()).await).message,
        &["so did its rollback", "release a good version"],
    );
    assert!(world.is_as_deployed());
}

#[tokio::test]
async fn another_update_that_came_after_is_left_alone() {
    for (undoes, words) in [
        ("7", "nothing to take back: v8 serves, not v7"),
        (
            "serving",
            "superseded: another update came after it, and churn-v8-00000008 serves",
        ),
    ] {
        // A release, or another rollback.
        for tag in [tag::COMMIT, tag::UNDOES] {
            let world = World::deployed();
            let mut third = config(THIRD, "churn-v8", Some(NEW));
            third.tags.push((tag.into(), NEW.into()));
            world.endpoint.put_config(third, time(NOW));
            world.set(Status::InService, THIRD, None);
            let token = r#"{"asked":true,"from":"churn-v7-01234567"}"#;
            let summary = done(world.handle(&rollback(EXECUTION, undoes, Some(token))).await);
            assert_eq!(summary, words);
            assert!(world.endpoint.updates().is_empty() && world.notices().is_empty());
        }
    }
}

#[tokio::test]
async fn each_kind_of_refusal_has_its_answer() {
    for (kind, expected) in [
        (ErrorKind::Busy, Ok("waiting: the service's words")),
        (ErrorKind::Transient, Ok("trying again")),
        (ErrorKind::Denied, Err(FailureType::PermissionError)),
        (ErrorKind::Invalid, Err(FailureType::JobFailed)),
        (ErrorKind::NotFound, Err(FailureType::JobFailed)),
        (ErrorKind::Other, Err(FailureType::JobFailed)),
    ] {
        let world = World::deployed();
        world.endpoint.refuse("sagemaker:UpdateEndpoint", kind);
        match (world.handle(ROLLBACK).await, expected) {
            (Ok(Answer::Continue { token, summary, .. }), Ok(words)) => {
                contains(&summary, &[words]);
                assert!(!asked(&token), "{kind:?}");
                world.endpoint.refuse_nothing();
                assert!(
                    asked(&going(world.handle(&again(ROLLBACK, &token)).await).0),
                    "{kind:?}"
                );
            }
            (Err(failure), Err(expected)) => {
                assert_eq!(failure.kind, expected, "{kind:?}");
                contains(&failure.message, &["the service's words"]);
            }
            (other, _) => panic!("{kind:?}: {other:?}"),
        }
        let told = world.subjects().contains(&"ROLLBACK FAILED".to_owned());
        assert_eq!(
            told,
            matches!(kind, ErrorKind::Invalid | ErrorKind::NotFound),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_serverless_endpoint_is_brought_back_without_guardrails() {
    let world = World::deployed();
    let facts = Configuration {
        name: OLD.into(),
        made_at: None,
        variants: vec![Variant {
            name: "AllTraffic".into(),
            model: "churn-v6".into(),
            instance_type: None,
            initial_count: None,
            serverless: true,
        }],
    };
    let serverless = NewConfig {
        base: Some(ServedConfig::of(facts)),
        changes: None,
        ..config(OLD, "churn-v6", None)
    };
    world.endpoint.put_config(serverless, time("2026-03-01T11:00:00Z"));
    going(world.handle(ROLLBACK).await);
    let unguarded = Update {
        deployment: None,
        keep_count: false,
    };
    assert_eq!(world.endpoint.updates(), [unguarded]);
}

#[tokio::test]
async fn a_version_that_the_registry_has_lost_is_taken_back_all_the_same() {
    let world = World::deployed();
    let (token, _) = going(world.handle(ROLLBACK).await);
    world.set(Status::InService, BACK, None);
    let packages = Packages::default();
    packages.put(world.package(6));
    let world = World { packages, ..world };
    contains(&done(world.handle(&again(ROLLBACK, &token)).await), &[SUMMARY]);
}

/// The rollback may be faster than the release's own look: then nobody else says whose outcome it is, and who approves the version
/// anew starts the release after that one.
#[tokio::test]
async fn what_is_taken_back_is_the_release_that_brought_it() {
    let earlier = "11111111-2222-3333-4444-555555555555";
    let of_release = vec![
        (tag::REPLACES.to_owned(), OLD.to_owned()),
        (tag::RELEASE.to_owned(), RELEASE.to_owned()),
    ];
    // It was brought back itself, by another rollback.
    let of_rollback = vec![
        (tag::REPLACES.to_owned(), OLD.to_owned()),
        (tag::RELEASE.to_owned(), earlier.to_owned()),
        (tag::UNDOES.to_owned(), THIRD.to_owned()),
    ];
    for (tags, before, expected) in [
        (of_release.clone(), None, Some(RELEASE)),
        (of_release, Some(earlier), Some(RELEASE)),
        (of_rollback, Some(RELEASE), Some(RELEASE)),
        (vec![(tag::REPLACES.to_owned(), OLD.to_owned())], None, None),
    ] {
        let world = World::deployed();
        let served = NewConfig {
            tags,
            ..config(NEW, "churn-v7", None)
        };
        world.endpoint.put_config(served, time("2026-03-01T12:20:00Z"));
        world.change(7, |package| {
            package.metadata.remove(key::OUTCOME);
            package.metadata.remove(key::RELEASE);
            let before = before.map(|before| (key::RELEASE.to_owned(), before.to_owned()));
            package.metadata.extend(before);
        });
        let (token, _) = going(world.handle(ROLLBACK).await);
        world.set(Status::InService, BACK, None);
        done(world.handle(&again(ROLLBACK, &token)).await);
        let package = world.package(7);
        assert_eq!(package.outcome(), Some(Outcome::RolledBack));
        let release = package.metadata.get(key::RELEASE).map(String::as_str);
        assert_eq!(release, expected, "{before:?}");
    }
}

/// A release that waited for the endpoint begins as soon as the rollback's update is done, which may be before the rollback looks again.
#[tokio::test]
async fn a_release_that_is_faster_than_the_next_look_changes_nothing_about_what_was_taken_back() {
    const NEXT: &str = "churn-v8-00000008";
    let next = (NEXT, "churn-v8");
    for done in [false, true] {
        let world = World::deployed();
        going(world.handle(ROLLBACK).await);
        world
            .endpoint
            .make_config(&config(next.0, next.1, Some(BACK)))
            .await
            .unwrap();
        if done {
            world.set(Status::InService, NEXT, None);
        } else {
            world.set(
                Status::Updating,
                BACK,
                pending(NEXT, "Creating", "Creating 4 new instance(s)."),
            );
        }
        let updates = world.endpoint.updates();
        let summary = super::done(world.handle(&asked_for()).await);
        contains(&summary, &[SUMMARY]);
        assert_eq!(world.outcome(7), Some(Outcome::RolledBack), "{done}");
        assert!(world.subjects().contains(&"v7 rolled back".to_owned()), "{done}");
        assert_eq!(world.endpoint.updates(), updates, "the release goes on");
    }
}

/// Lambda may deliver the event of a job again when its execution is long over: `serving` then means another version.
#[tokio::test]
async fn nothing_is_begun_for_an_execution_that_has_ended() {
    let world = World::deployed();
    world.releases.finish(&EXECUTION.parse().unwrap());
    let event = rollback(EXECUTION, "serving", None);
    contains(&failure(world.handle(&event).await).message, &["has ended"]);
    assert!(world.is_as_deployed() && world.notices().is_empty());
    let world = World::serving();
    world.releases.finish(&RELEASE.parse().unwrap());
    contains(&failure(world.handle(JOB).await).message, &["has ended"]);
    assert!(world.is_untouched() && world.notices().is_empty());
}
