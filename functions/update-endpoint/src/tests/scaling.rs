//! Having the variant scaled.

use signalbox_model::endpoint::Variant;

use super::release::variant;
use super::*;

const SCALING: Scaling = Scaling {
    min: 2,
    max: 8,
    invocations_per_instance: 600,
};
/// What was registered before the template was changed, or by hand.
const EARLIER: Scaling = Scaling {
    min: 1,
    max: 4,
    invocations_per_instance: 100,
};
/// The configuration that a rollback brings.
const BACK: &str = "churn-v6-fedcba98";

impl World {
    /// The template says that the variant is scaled.
    fn with_scaling(mut self) -> Self {
        self.settings.capacity.scaling = Some(SCALING);
        self
    }

    /// The same, and it is scaled already, by earlier bounds.
    async fn scaled(self) -> Self {
        let world = self.with_scaling();
        world.scaling.scale("churn", "AllTraffic", &EARLIER).await.unwrap();
        world
    }

    /// The same, and the next version gets another instance type.
    async fn on_another_type(self) -> Self {
        let mut world = self.scaled().await;
        world.settings.instance_type = "ml.c5.xlarge".into();
        world
    }

    fn scales(&self) -> Option<Scaling> {
        self.scaling.of("churn", "AllTraffic")
    }

    /// Version 7 was rolled back by SageMaker.
    fn is_back(&self) {
        self.set(Status::InService, OLD, None);
        self.failed_because(Some("no capacity"));
    }

    /// SageMaker says so to whoever updates the endpoint.
    fn refused(self, kind: ErrorKind) -> Self {
        self.endpoint.refuse("sagemaker:UpdateEndpoint", kind);
        self
    }
}

#[tokio::test]
async fn the_variant_is_scaled_as_the_template_says_once_the_version_serves() {
    for world in [World::new(), World::serving()] {
        let world = world.with_scaling();
        let (token, _) = going(world.handle(JOB).await);
        assert_eq!(
            world.scales(),
            None,
            "an endpoint that is created or updated is not scaled"
        );
        world.serves();
        for event in [again(JOB, &token), JOB.to_owned()] {
            done(world.handle(&event).await);
            assert_eq!(world.scales(), Some(SCALING));
        }
        assert_eq!(world.subjects(), ["v7 begins to take over", "v7 deployed"]);
    }
    // Where something went wrong at the very end, the version serves until it is taken back.
    let world = World::serving().with_scaling();
    going(world.handle(JOB).await);
    world.serves();
    world.alarms.set("churn-5xx", true);
    done(world.handle(CONTINUATION).await);
    assert_eq!((world.scales(), world.releases.rolled_back().len()), (Some(SCALING), 1));
}

#[tokio::test]
async fn what_the_template_does_not_scale_is_left_alone() {
    let mut world = World::serving();
    world.scaling.scale("churn", "AllTraffic", &EARLIER).await.unwrap();
    world.scaling.refuse(ErrorKind::Denied);
    world.settings.instance_type = "ml.c5.xlarge".into();
    going(world.handle(JOB).await);
    world.serves();
    done(world.handle(CONTINUATION).await);
    going(world.handle(ROLLBACK).await);
    world.set(Status::InService, BACK, None);
    done(world.handle(ROLLBACK).await);
    assert_eq!(world.scales(), Some(EARLIER));
    assert!(!world.subjects().contains(&"is not scaled".to_owned()));
}

#[tokio::test]
async fn a_scaled_variant_is_scaled_through_the_update_and_by_the_new_bounds_after_it() {
    let world = World::serving().scaled().await;
    let mut endpoint = world.endpoint.get().unwrap();
    endpoint.desired_counts = vec![("AllTraffic".into(), 6)];
    world.endpoint.set(endpoint);
    going(world.handle(JOB).await);
    assert!(world.endpoint.updates()[0].keep_count);
    assert_eq!(world.scales(), Some(EARLIER));
    world.serves();
    done(world.handle(CONTINUATION).await);
    assert_eq!(world.scales(), Some(SCALING));
}

#[tokio::test]
async fn scaling_stops_before_the_instance_type_changes_and_goes_on_at_any_end() {
    let served: fn(&World) = World::serves;
    for (end, outcome) in [(served, Outcome::Deployed), (World::is_back, Outcome::RolledBack)] {
        let world = World::serving().on_another_type().await;
        let (token, _) = going(world.handle(JOB).await);
        assert_eq!((world.scales(), world.endpoint.updates().len()), (None, 1));
        world.set(Status::Updating, OLD, pending(NEW, "Baking", FULL));
        let (token, _) = going(world.handle(&again(JOB, &token)).await);
        assert_eq!(world.scales(), None);
        end(&world);
        drop(world.handle(&again(JOB, &token)).await);
        assert_eq!((world.outcome(7), world.scales()), (Some(outcome), Some(SCALING)));
    }
    // Several types become the template's one.
    let world = World::serving().scaled().await;
    world.serve_variants(vec![Variant {
        instance_type: None,
        ..variant("AllTraffic", "churn-v6")
    }]);
    going(world.handle(JOB).await);
    assert_eq!((world.scales(), world.endpoint.updates().len()), (None, 1));
    // SageMaker refuses the type while the variant is scaled: what can't be stopped is not asked for.
    for (kind, failed) in [(ErrorKind::Transient, false), (ErrorKind::Denied, true)] {
        let world = World::serving().on_another_type().await;
        world.scaling.refuse(kind);
        let answer = world.handle(JOB).await;
        assert_eq!(answer.is_err(), failed, "{kind:?}: {answer:?}");
        assert!(world.endpoint.updates().is_empty() && world.notices().is_empty());
        world.scaling.refuse(None);
        going(world.handle(JOB).await);
        assert_eq!((world.scales(), world.endpoint.updates().len()), (None, 1));
    }
}

#[tokio::test]
async fn what_goes_on_serving_as_the_update_is_refused_goes_on_being_scaled() {
    for kind in [ErrorKind::Invalid, ErrorKind::Denied, ErrorKind::Other] {
        let world = World::serving().on_another_type().await.refused(kind);
        failure(world.handle(JOB).await);
        assert_eq!(world.scales(), Some(SCALING), "{kind:?}");
        let world = World::deployed().scaled().await.refused(kind);
        failure(world.handle(ROLLBACK).await);
        assert_eq!(world.scales(), Some(SCALING), "{kind:?}");
    }
    // It is tried again, and may have been asked for.
    for kind in [ErrorKind::Busy, ErrorKind::Transient] {
        let world = World::serving().on_another_type().await.refused(kind);
        going(world.handle(JOB).await);
        assert_eq!(world.scales(), None, "{kind:?}");
        let world = World::deployed().scaled().await.refused(kind);
        going(world.handle(ROLLBACK).await);
        assert_eq!(world.scales(), None, "{kind:?}");
    }
}

#[tokio::test]
async fn a_version_that_is_brought_back_is_scaled_again() {
    let world = World::deployed().scaled().await;
    let (token, _) = going(world.handle(ROLLBACK).await);
    // What served well may have had another instance type.
    assert_eq!((world.scales(), world.endpoint.updates().len()), (None, 1));
    world.set(Status::InService, BACK, None);
    for event in [again(ROLLBACK, &token), ROLLBACK.to_owned()] {
        done(world.handle(&event).await);
        assert_eq!(world.scales(), Some(SCALING));
    }
    assert_eq!(world.subjects(), ["v6 begins to take over", "v7 rolled back"]);
    // SageMaker takes the rollback itself back.
    let world = World::deployed().scaled().await;
    let (token, _) = going(world.handle(ROLLBACK).await);
    world.set(Status::InService, NEW, None);
    world.failed_because(Some("no capacity"));
    failure(world.handle(&again(ROLLBACK, &token)).await);
    assert_eq!(world.scales(), Some(SCALING));
    // Nothing to take back, and nothing to go back to: nothing is stopped.
    for change in [
        |world: &World| world.set(Status::InService, OLD, None),
        |world: &World| world.endpoint.put_config(config(NEW, "churn-v7", None), time(NOW)),
    ] {
        let world = World::deployed().scaled().await;
        change(&world);
        drop(world.handle(ROLLBACK).await);
        assert_eq!(world.scales(), Some(EARLIER));
    }
}

#[tokio::test]
async fn what_cannot_be_scaled_is_told_and_serves_all_the_same() {
    let failing = async || {
        let world = World::serving().with_scaling();
        let (token, _) = going(world.handle(JOB).await);
        world.scaling.refuse(ErrorKind::Invalid);
        (world, again(JOB, &token))
    };
    let (world, event) = failing().await;
    world.serves();
    assert_eq!(done(world.handle(&event).await), DONE);
    assert_eq!(world.outcome(7), Some(Outcome::Deployed));
    assert_eq!(
        world.subjects(),
        ["v7 begins to take over", "v7 deployed", "is not scaled"]
    );
    contains(
        world.notices().last().unwrap(),
        &[
            "The endpoint churn serves, but it is not scaled",
            "application-autoscaling:RegisterScalableTarget",
            "the service's words",
            "What to do:",
        ],
    );
    let (world, event) = failing().await;
    world.is_back();
    contains(&failure(world.handle(&event).await).message, &["was rolled back"]);
    assert_eq!(world.outcome(7), Some(Outcome::RolledBack));
    assert_eq!(
        world.subjects(),
        ["v7 begins to take over", "is not scaled", "v7 rolled back"]
    );
    let world = World::deployed().with_scaling();
    let (token, _) = going(world.handle(ROLLBACK).await);
    world.set(Status::InService, BACK, None);
    world.scaling.refuse(ErrorKind::Denied);
    done(world.handle(&again(ROLLBACK, &token)).await);
    assert_eq!(world.outcome(7), Some(Outcome::RolledBack));
    assert_eq!(
        world.subjects(),
        ["v6 begins to take over", "v7 rolled back", "is not scaled"]
    );
}

#[tokio::test]
async fn a_service_that_is_busy_is_asked_again() {
    for (start, token, serving) in [
        (World::serving as fn() -> World, JOB, NEW),
        (World::deployed, ROLLBACK, BACK),
    ] {
        let world = start().with_scaling();
        let event = again(token, &going(world.handle(token).await).0);
        world.set(Status::InService, serving, None);
        world.scaling.refuse(ErrorKind::Transient);
        let told = world.subjects().len() + 1;
        for _ in 0..3 {
            contains(
                &going(world.handle(&event).await).1,
                &["trying again", "the service's words"],
            );
            assert_eq!(
                world.subjects().len(),
                told,
                "the end is told once, and that it is not scaled yet is no news"
            );
        }
        world.scaling.refuse(None);
        done(world.handle(&event).await);
        assert_eq!((world.scales(), world.subjects().len()), (Some(SCALING), told));
    }
}

#[tokio::test]
async fn who_died_anywhere_leaves_it_scaled_at_the_end() {
    let served: fn(&World) = World::serves;
    for (what, end) in [("served", served), ("rolled back", World::is_back)] {
        for calls in 0.. {
            let world = World::serving().on_another_type().await;
            let mut over = world.handle_and_die(calls, JOB);
            let (token, _) = going(world.handle(JOB).await);
            assert_eq!(
                (world.scales(), world.endpoint.updates().len()),
                (None, 1),
                "{what}, after {calls} calls"
            );
            // Where the token was lost too, the configuration's age tells that it was asked for.
            let made = config(NEW, "churn-v7", Some(OLD));
            world.endpoint.put_config(made, time("2026-03-01T12:24:00Z"));
            end(&world);
            over &= world.handle_and_die(calls, &again(JOB, &token));
            drop(world.handle(&again(JOB, &token)).await);
            assert_eq!(world.scales(), Some(SCALING), "{what}, after {calls} calls");
            if over {
                break;
            }
        }
    }
    for calls in 0.. {
        let world = World::deployed().scaled().await;
        let mut over = world.handle_and_die(calls, ROLLBACK);
        let (token, _) = going(world.handle(ROLLBACK).await);
        assert_eq!(
            (world.scales(), world.endpoint.updates().len()),
            (None, 1),
            "after {calls} calls"
        );
        world.set(Status::InService, BACK, None);
        over &= world.handle_and_die(calls, &again(ROLLBACK, &token));
        done(world.handle(&again(ROLLBACK, &token)).await);
        assert_eq!(
            (world.scales(), world.outcome(7)),
            (Some(SCALING), Some(Outcome::RolledBack))
        );
        if over {
            break;
        }
    }
}
