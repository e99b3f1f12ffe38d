//! What is cleared away after a release.

use super::*;

/// Version 7 has just been released; 1, 4, 2, 5 and 6 served before it, in that order; version 8 is about to be deployed, and other models
/// have configurations too.
fn after_many() -> World {
    let world = World::deployed();
    for (name, model, replaces, made_at) in [
        ("churn-v1-00000001", "churn-v1", None, "2026-01-01T00:00:00Z"),
        (
            "churn-v4-00000004",
            "churn-v4",
            Some("churn-v1-00000001"),
            "2026-01-04T00:00:00Z",
        ),
        (
            "churn-v2-00000002",
            "churn-v2",
            Some("churn-v4-00000004"),
            "2026-01-05T00:00:00Z",
        ),
        ("churn-v2-v1-00000009", "churn-v2-v1", None, "2026-01-05T00:00:00Z"),
        ("churn-very-old", "churn-very-old", None, "2026-01-05T00:00:00Z"),
        (OLDER, "churn-v5", Some("churn-v2-00000002"), "2026-02-05T00:00:00Z"),
        // About to be deployed.
        ("churn-v8-00000008", "churn-v8", Some(NEW), "2026-03-01T12:29:00Z"),
    ] {
        world.endpoint.put_config(config(name, model, replaces), time(made_at));
        world.endpoint.put_model(model, Default::default());
    }
    world
}

#[tokio::test]
async fn what_served_last_is_kept_and_what_served_before_that_goes() {
    for (keep_previous, gone) in [
        (1, &["churn-v1", "churn-v2", "churn-v4", "churn-v5"][..]),
        (2, &["churn-v1", "churn-v2", "churn-v4"]),
        (3, &["churn-v1", "churn-v4"]),
        (4, &["churn-v1"]),
        (5, &[]),
        (20, &[]),
    ] {
        let mut world = after_many();
        world.settings.keep_previous = keep_previous;
        let (configs, models) = (world.configs(), world.endpoint.models());
        for _ in 0..2 {
            done(world.handle(CONTINUATION).await);
            let is_gone = |name: &str| {
                let own = |gone: &&str| {
                    name.strip_prefix(*gone)
                        .is_some_and(|rest| rest.len() == 9 || rest.is_empty())
                };
                gone.iter().any(own)
            };
            let left: Vec<_> = configs.iter().filter(|name| !is_gone(name)).cloned().collect();
            assert_eq!(world.configs(), left, "keeping {keep_previous}");
            let left: Vec<_> = models.keys().filter(|name| !is_gone(name)).cloned().collect();
            assert_eq!(world.endpoint.models().into_keys().collect::<Vec<_>>(), left);
        }
        assert!(world.notices().is_empty(), "it was told when it was deployed");
    }
}

#[tokio::test]
async fn a_model_that_another_configuration_serves_stays() {
    let mut world = after_many();
    world.settings.keep_previous = 1;
    // Version 6 was brought back once; that configuration has served before the present one.
    let back = "churn-v6-0000000b";
    world
        .endpoint
        .put_config(config(back, "churn-v6", Some(OLD)), time("2026-03-01T12:10:00Z"));
    world
        .endpoint
        .put_config(config(NEW, "churn-v7", Some(back)), time("2026-03-01T12:20:00Z"));
    done(world.handle(CONTINUATION).await);
    assert!(!world.configs().contains(&OLD.to_owned()) && world.configs().contains(&back.to_owned()));
    assert!(world.endpoint.models().contains_key("churn-v6"));
}

#[tokio::test]
async fn the_chain_ends_at_what_was_made_by_hand() {
    let mut world = after_many();
    world.settings.keep_previous = 3;
    world.endpoint.put_config(
        config("by-hand", "by-hand", Some("churn-v4-00000004")),
        time("2026-02-20T00:00:00Z"),
    );
    world
        .endpoint
        .put_config(config(OLD, "churn-v6", Some("by-hand")), time("2026-03-01T11:00:00Z"));
    done(world.handle(CONTINUATION).await);
    // Its tags can't be read, so that what it may say of version 4 counts for nothing.
    let expected = [
        "by-hand",
        "churn-v2-v1-00000009",
        OLD,
        NEW,
        "churn-v8-00000008",
        "churn-very-old",
    ];
    assert_eq!(world.configs(), expected);
}

#[tokio::test]
async fn a_clean_up_that_fails_fails_nothing_and_is_made_up_for() {
    for operation in [
        "sagemaker:ListEndpointConfigs",
        "sagemaker:DeleteEndpointConfig",
        "sagemaker:DeleteModel",
    ] {
        for kind in [ErrorKind::Denied, ErrorKind::Transient] {
            let world = after_many();
            world.endpoint.refuse(operation, kind);
            done(world.handle(CONTINUATION).await);
            assert!(world.configs().contains(&"churn-v1-00000001".to_owned()), "{operation}");
            world.endpoint.refuse_nothing();
            done(world.handle(CONTINUATION).await);
            assert!(!world.configs().contains(&"churn-v1-00000001".to_owned()));
            assert!(!world.endpoint.models().contains_key("churn-v1"));
        }
    }
}

#[tokio::test]
async fn a_clean_up_that_dies_between_model_and_configuration_is_taken_up_again() {
    let expected = {
        let world = after_many();
        done(world.handle(CONTINUATION).await);
        (world.configs(), world.endpoint.models())
    };
    for calls in 0.. {
        let world = after_many();
        let over = world.handle_and_die(calls, CONTINUATION);
        done(world.handle(CONTINUATION).await);
        assert_eq!(
            (world.configs(), world.endpoint.models()),
            expected,
            "after {calls} calls"
        );
        if over {
            assert!(calls > 10, "it died too seldom: {calls}");
            break;
        }
    }
}

/// The release's event, repeated long after: what served before the present version is not what served before the one of the event.
#[tokio::test]
async fn a_repeated_job_spares_what_the_present_version_would_go_back_to() {
    let world = after_many();
    let present = config("churn-v9-00000009", "churn-v9", Some("churn-v8-00000008"));
    world.endpoint.put_config(present, time("2026-03-01T12:40:00Z"));
    world.set(Status::InService, "churn-v9-00000009", None);
    done(world.handle(JOB).await);
    let left = world.configs();
    for kept in ["churn-v9-00000009", "churn-v8-00000008", NEW] {
        assert!(left.contains(&kept.to_owned()), "{kept} is not in {left:?}");
    }
    assert!(!left.contains(&"churn-v1-00000001".to_owned()));
}
