//! Bringing an approved version to the endpoint.

use signalbox_aws::configurations::{Capture, Network, ServedConfig};
use signalbox_aws::macs::VerifyMac;
use signalbox_model::endpoint::{Configuration, Variant};
use signalbox_model::undo::Claims;

use super::*;

fn canary() -> Update {
    let traffic = Traffic::BlueGreen {
        routing: Routing::Canary(25),
        wait_seconds: 600,
        termination_wait_seconds: 600,
    };
    Update {
        deployment: Some(Plan {
            traffic,
            timeout_seconds: 3600,
            alarms: vec!["churn-5xx".into(), "churn-latency".into()],
        }),
        keep_count: false,
    }
}

impl World {
    /// Version 6 serves by a configuration with these variants.
    pub(super) fn serve_variants(&self, variants: Vec<Variant>) {
        let facts = Configuration {
            name: OLD.into(),
            made_at: None,
            variants,
        };
        let served = NewConfig {
            base: Some(ServedConfig::of(facts)),
            changes: None,
            ..config(OLD, "churn-v6", Some(OLDER))
        };
        self.endpoint.put_config(served, time("2026-03-01T11:00:00Z"));
    }
}

pub(super) fn variant(name: &str, model: &str) -> Variant {
    Variant {
        name: name.into(),
        model: model.into(),
        instance_type: Some("ml.m5.large".into()),
        initial_count: Some(4),
        serverless: false,
    }
}

fn serverless() -> Variant {
    Variant {
        instance_type: None,
        initial_count: None,
        serverless: true,
        ..variant("AllTraffic", "churn-v6")
    }
}

#[tokio::test]
async fn the_first_version_creates_the_endpoint() {
    let world = World::new();
    // What served before would be judged by the alarms; a new endpoint is not kept from starting by them.
    world.alarms.set("churn-5xx", true);
    assert!(asked(&going(world.handle(JOB).await).0));
    let endpoint = world.endpoint.get().unwrap();
    assert_eq!((endpoint.status, endpoint.config.as_str()), (Status::Creating, NEW));
    let config = world.config(NEW);
    assert!(config.base.is_none());
    let tags = [
        (tag::MODEL_PACKAGE, arn(7).to_string()),
        (tag::RELEASE, RELEASE.into()),
        (tag::COMMIT, "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a".into()),
        (tag::APPROVER, "ada@example.com".into()),
    ];
    assert_eq!(
        config.tags,
        tags.map(|(key, value)| (key.to_owned(), value)),
        "it replaces none"
    );
    assert_eq!(world.endpoint.models()["churn-v7"], Network::default());
    let (_, summary) = going(world.handle(&again(JOB, r#"{"asked":true}"#)).await);
    assert_eq!(summary, "the endpoint is being created");
    world.serves();
    world.alarms.set("churn-5xx", false);
    assert_eq!(done(world.handle(&again(JOB, r#"{"asked":true}"#)).await), DONE);
    assert_eq!(world.outcome(7), Some(Outcome::Deployed));
    let notices = world.notices();
    assert_eq!(notices.len(), 2, "{notices:?}");
    contains(
        &notices[0],
        &["v7 begins to take over", "a new endpoint with 4 x ml.m5.large"],
    );
    contains(&notices[1], &["v7 deployed", "Served before: no version of this train"]);
    assert!(
        !notices[1].contains("taken back"),
        "there is nothing to go back to: {}",
        notices[1]
    );
}

#[tokio::test]
async fn a_canary_goes_on_until_it_serves_and_each_share_is_told_once() {
    let mut world = World::serving();
    let (mut token, summary) = going(world.handle(JOB).await);
    assert_eq!(token, r#"{"asked":true,"from":"churn-v6-89abcdef"}"#);
    assert_eq!(summary, "churn-v7-01234567: asked for");
    assert_eq!(world.endpoint.updates(), [canary()]);
    let mut told = vec!["v7 begins to take over"];
    for (phase, message, words, news) in [
        (
            "Creating",
            "Creating 4 new instance(s).",
            "canary: starting 4 new instances, for 4 min",
            None,
        ),
        (
            "ActivatingTraffic",
            "Activating traffic on canary capacity of 1 instance(s).",
            "canary 25 %: shifting",
            None,
        ),
        (
            "Baking",
            CANARY,
            "canary 25 %: baking, 4 of 10 min",
            Some("v7 takes 25 % of the traffic"),
        ),
        (
            "Baking",
            FULL,
            "canary 100 %: baking, 4 of 10 min",
            Some("v7 takes 100 % of the traffic"),
        ),
        ("Deleting", "", "canary: removing the old instances", None),
    ] {
        world.set(Status::Updating, OLD, pending(NEW, phase, message));
        told.extend(news);
        // While it waits, the endpoint is all that is looked at.
        let packages = std::mem::take(&mut world.packages);
        for _ in 0..3 {
            let summary;
            (token, summary) = going(world.handle(&again(JOB, &token)).await);
            assert!(asked(&token));
            contains(&summary, &[words]);
            assert_eq!(world.subjects(), told);
        }
        world.packages = packages;
        assert_eq!(world.outcome(7), None);
    }
    world.serves();
    told.push("v7 deployed");
    for event in [again(JOB, &token), again(JOB, &token), JOB.to_owned()] {
        let Ok(Answer::Done {
            external_id, variables, ..
        }) = world.handle(&event).await
        else {
            panic!()
        };
        assert_eq!(external_id.as_deref(), Some(NEW));
        assert_eq!(variables["EndpointConfigName"], NEW);
        assert_eq!(world.subjects(), told);
    }
    assert_eq!(world.outcome(7), Some(Outcome::Deployed));
    assert_eq!(world.endpoint.updates().len(), 1);
    let start = &world.notices()[0];
    contains(
        start,
        &[
            "v7 begins to take over from v6",
            "canary: 25 % of the traffic, 1 of 4 instances, for 10 min",
        ],
    );
    let topics = world.voice.topics.published();
    assert!(
        topics
            .iter()
            .all(|told| told.topic_arn == world.settings.notices_topic_arn)
    );
}

#[tokio::test]
async fn the_mail_about_the_deployment_says_how_to_take_it_back() {
    // Without the token, the configuration tells what it has replaced.
    for event in [CONTINUATION.to_owned(), JOB.to_owned(), again(JOB, "again")] {
        let world = World::serving();
        going(world.handle(JOB).await);
        world.serves();
        done(world.handle(&event).await);
        let published = world.voice.topics.published();
        let body = published.last().unwrap().notice.body().to_owned();
        contains(
            &body,
            &[
                "Served before: v6",
                "Strategy: canary",
                "The endpoint configuration is churn-v7-01234567.",
                "aws codepipeline start-pipeline-execution --name churn-rollback --variables name=Undoes,value=serving",
            ],
        );
        let link = body
            .lines()
            .find_map(|line| line.strip_prefix("https://page.example/?"));
        let (claims, mac) = Claims::parse(link.unwrap()).unwrap();
        assert!(OneKey.verify(claims.message(), mac).await.unwrap());
        let expected = Claims {
            package: arn(7),
            release: RELEASE.parse().unwrap(),
            expires: time("2026-03-31T12:30:00Z"),
        };
        assert_eq!(claims, expected);
    }
}

#[tokio::test]
async fn when_it_was_deployed_is_kept() {
    let mut world = World::serving();
    going(world.handle(JOB).await);
    assert!(!world.package(7).metadata.contains_key(key::DEPLOYED_AT));
    world.serves();
    let release = RELEASE.parse().unwrap();
    for now in [NOW, "2026-03-01T12:45:00Z", "2026-03-09T12:45:00Z"] {
        world.now = time(now);
        done(world.handle(CONTINUATION).await);
        assert_eq!(
            world.package(7).deployed_at(&release),
            Some(time(NOW)),
            "as it was first seen"
        );
    }
    // Nothing of the kind for another end.
    let world = World::serving();
    world.alarms.set("churn-5xx", true);
    failure(world.handle(JOB).await);
    assert!(!world.package(7).metadata.contains_key(key::DEPLOYED_AT));
}

#[tokio::test]
async fn progress_is_told_only_to_those_who_want_it() {
    let mut world = World::serving();
    world.settings.tells_each_shift = false;
    let (token, _) = going(world.handle(JOB).await);
    world.set(Status::Updating, OLD, pending(NEW, "Baking", CANARY));
    let (token, _) = going(world.handle(&again(JOB, &token)).await);
    assert!(world.notices().is_empty());
    world.serves();
    done(world.handle(&again(JOB, &token)).await);
    assert_eq!(world.subjects(), ["v7 deployed"]);
}

#[tokio::test]
async fn progress_that_cannot_be_told_holds_nothing_up_but_an_end_is_told() {
    let mut world = World::serving();
    world.voice.lost = true;
    let (token, _) = going(world.handle(JOB).await);
    assert!(asked(&token));
    world.set(Status::Updating, OLD, pending(NEW, "Baking", CANARY));
    let (token, _) = going(world.handle(&again(JOB, &token)).await);
    world.serves();
    let (same, summary) = going(world.handle(&again(JOB, &token)).await);
    assert_eq!((same, world.outcome(7)), (token.clone(), None));
    contains(&summary, &["trying again", "no voice"]);
    world.voice.lost = false;
    done(world.handle(&again(JOB, &token)).await);
    assert_eq!(
        (world.subjects(), world.outcome(7)),
        (vec!["v7 deployed".to_owned()], Some(Outcome::Deployed))
    );
}

#[tokio::test]
async fn what_serves_is_taken_over_with_what_the_template_says() {
    let mut world = World::serving();
    let capture = Capture {
        percent: 20,
        s3_uri: "s3://bucket/captured".into(),
        key: None,
    };
    world.settings.volume_gb = Some(30);
    world.settings.volume_key = Some("key".into());
    world.settings.capture = Some(capture.clone());
    world.settings.instance_type = "ml.c5.xlarge".into();
    going(world.handle(JOB).await);
    let config = world.config(NEW);
    assert_eq!(config.base.unwrap().facts.name, OLD);
    let changes = Changes {
        variant: "AllTraffic".into(),
        model: "churn-v7".into(),
        instance_type: "ml.c5.xlarge".into(),
        instance_count: 4,
        volume_gb: Some(30),
        volume_key: Some("key".into()),
        capture: Some(capture),
    };
    assert_eq!(config.changes, Some(changes));
    assert!(config.tags.contains(&(tag::REPLACES.into(), OLD.into())));
}

#[tokio::test]
async fn the_network_is_the_templates_or_that_of_what_serves() {
    let network = |subnet: &str, isolated| Network {
        subnets: vec![subnet.into()],
        security_groups: vec!["sg-1".into()],
        isolated,
    };
    for (template, serving, expected) in [
        (None, Network::default(), Network::default()),
        (None, network("theirs", true), network("theirs", true)),
        (
            Some(network("ours", false)),
            network("theirs", true),
            network("ours", false),
        ),
    ] {
        let mut world = World::serving();
        world.settings.network = template;
        world.endpoint.put_model("churn-v6", serving);
        going(world.handle(JOB).await);
        assert_eq!(world.endpoint.models()["churn-v7"], expected);
    }
}

#[tokio::test]
async fn of_several_variants_the_named_one_is_replaced() {
    let mut world = World::serving();
    world.serve_variants(vec![variant("other", "theirs"), variant("AllTraffic", "churn-v6")]);
    let network = Network {
        isolated: true,
        ..Network::default()
    };
    world.endpoint.put_model("churn-v6", network.clone());
    going(world.handle(JOB).await);
    assert_eq!(
        world.endpoint.models()["churn-v7"],
        network,
        "that of the variant it replaces"
    );
    let config = world.config(NEW);
    assert_eq!(config.base.unwrap().facts.variants.len(), 2);
    assert_eq!(config.changes.unwrap().variant, "AllTraffic");
    // SageMaker rolls out in batches to a single variant only.
    world = World::serving();
    world.serve_variants(vec![variant("other", "theirs"), variant("AllTraffic", "churn-v6")]);
    world.settings.rollout.strategy = Strategy::Rolling;
    let failure = failure(world.handle(JOB).await);
    contains(
        &failure.message,
        &["2 variants (other, AllTraffic)", "set RolloutStrategy to canary"],
    );
}

#[tokio::test]
async fn a_scaled_count_is_kept_and_told() {
    for (now, keep_count, words) in [
        (4, false, "25 % of the traffic, 1 of 4 instances"),
        (
            6,
            true,
            "Note: 6 instances are kept, as the endpoint was scaled to; the template begins with 4",
        ),
    ] {
        let world = World::serving();
        let mut endpoint = world.endpoint.get().unwrap();
        endpoint.desired_counts = vec![("AllTraffic".into(), now)];
        world.endpoint.set(endpoint);
        going(world.handle(JOB).await);
        assert_eq!(world.endpoint.updates(), [Update { keep_count, ..canary() }]);
        assert_eq!(world.config(NEW).changes.unwrap().instance_count, 4);
        let notices = world.notices();
        contains(&notices[0], &[words]);
        assert_eq!(notices[0].contains("Note:"), keep_count, "{}", notices[0]);
    }
}

#[tokio::test]
async fn a_serverless_endpoint_is_updated_only_where_the_template_says_unguarded() {
    let mut world = World::serving();
    world.settings.rollout.unguarded_serverless = true;
    world.serve_variants(vec![serverless()]);
    assert!(asked(&going(world.handle(JOB).await).0));
    let unguarded = Update {
        deployment: None,
        keep_count: false,
    };
    assert_eq!(world.endpoint.updates(), [unguarded]);
    let start = &world.notices()[0];
    contains(start, &["no alarm rolls it back, as the endpoint is serverless"]);
    assert!(!start.contains("canary"), "{start}");
}

#[tokio::test]
async fn a_try_that_died_anywhere_is_made_up_for() {
    for (what, world) in [("first", World::new as fn() -> World), ("next", World::serving)] {
        let mut calls = 0;
        loop {
            let world = world();
            let updates = world.endpoint.get().map_or(0, |_| 1);
            let mut over = world.handle_and_die(calls, JOB);
            // CodePipeline's job is the same, the continuation token was never given.
            let (token, _) = going(world.handle(JOB).await);
            assert_eq!(world.endpoint.updates().len(), updates, "{what}, after {calls} calls");
            world.serves();
            over &= world.handle_and_die(calls, &again(JOB, &token));
            assert_eq!(done(world.handle(&again(JOB, &token)).await), DONE);
            assert_eq!(world.outcome(7), Some(Outcome::Deployed));
            assert_eq!(world.endpoint.updates().len(), updates);
            let subjects = world.subjects();
            let (begins, ends): (Vec<_>, Vec<_>) = subjects.iter().partition(|subject| subject.contains("begins"));
            // The beginning is told once it is certain, and not at all by who died just then; the end may be told twice.
            assert!(begins.len() <= 1, "{subjects:?}");
            assert!((1..=2).contains(&ends.len()), "{subjects:?}");
            assert!(ends.iter().all(|subject| *subject == "v7 deployed"), "{subjects:?}");
            if over {
                break;
            }
            calls += 1;
        }
        assert!(calls > 6, "{what}: {calls}");
    }
}

/// A world in which version 7 serves by the configuration of a release before this one, with these tags on it.
fn serving_already(tags: &[(&str, &str)]) -> World {
    let world = World::serving();
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let made = NewConfig {
        tags: tags.collect(),
        ..config(EARLIER, "churn-v7", None)
    };
    world.endpoint.put_config(made, time(NOW));
    world.set(Status::InService, EARLIER, None);
    world
}

const EARLIER: &str = "churn-v7-76543210";
const EARLIER_RELEASE: &str = "76543210-89ab-cdef-0123-456789abcdef";

/// An update from a version to itself that an alarm rolls back would leave it serving, and say that it does not.
#[tokio::test]
async fn what_serves_by_a_release_that_never_came_to_say_so_is_ended_and_not_done_again() {
    let mut calls = 0;
    loop {
        let world = serving_already(&[(tag::RELEASE, EARLIER_RELEASE), (tag::REPLACES, OLD)]);
        // An alarm would refuse an update, and takes back what is deployed.
        world.alarms.set("churn-5xx", true);
        let over = world.handle_and_die(calls, JOB);
        for _ in 0..2 {
            assert_eq!(
                done(world.handle(JOB).await),
                format!("churn-v7 serves all traffic, by {EARLIER}")
            );
        }
        let release: ReleaseId = RELEASE.parse().unwrap();
        assert_eq!(world.package(7).outcome_of(&release), Some(Outcome::Deployed));
        assert!(world.endpoint.updates().is_empty() && world.endpoint.configs().len() == 3);
        let tags = world.config(EARLIER).tags;
        assert!(tags.contains(&(tag::RELEASE.into(), RELEASE.into())), "{tags:?}");
        assert!(world.subjects().iter().all(|subject| subject == "v7 deployed"));
        assert_eq!(world.rollbacks().rolled_back().len(), 1);
        if over {
            break;
        }
        calls += 1;
    }
    assert!(calls > 6, "{calls}");
}

#[tokio::test]
async fn what_serves_already_is_brought_anew_where_it_was_deployed_before_or_is_nobodys() {
    let deployed = serving_already(&[(tag::RELEASE, EARLIER_RELEASE)]);
    deployed.change(7, |package| {
        let earlier = [(key::OUTCOME, "deployed"), (key::RELEASE, EARLIER_RELEASE)];
        package
            .metadata
            .extend(earlier.map(|(key, value)| (key.to_owned(), value.to_owned())));
    });
    for world in [deployed, serving_already(&[])] {
        going(world.handle(JOB).await);
        assert_eq!(world.endpoint.updates().len(), 1);
    }
}

#[tokio::test]
async fn another_update_is_waited_for() {
    for (status, pending, words) in [
        (
            Status::Updating,
            pending(THIRD, "Baking", FULL),
            "waiting for churn-v8, which is being rolled out",
        ),
        (
            Status::Updating,
            pending("by-hand", "Creating", ""),
            "waiting for the update to by-hand",
        ),
        (
            Status::Updating,
            None,
            "waiting for the endpoint, which is being updated or scaled",
        ),
        (
            Status::Creating,
            None,
            "waiting for churn-v6, which is being rolled out",
        ),
        (Status::SystemUpdating, None, "SageMaker's own maintenance"),
        (
            Status::RollingBack,
            pending(THIRD, "Deleting", ""),
            "waiting for churn-v8",
        ),
        (Status::Deleting, None, "waiting for the endpoint's deletion"),
    ] {
        let mut world = World::serving();
        world.set(status, OLD, pending);
        // The version need not be read for that.
        world.packages = Packages::default();
        let (token, summary) = going(world.handle(JOB).await);
        assert!(
            !asked(&token),
            "what is not asked for must not count as rolled back later"
        );
        contains(&summary, &[words]);
        assert!(world.is_untouched() && world.notices().is_empty());
    }
}

#[tokio::test]
async fn what_another_left_between_two_versions_is_mended_by_the_next_update() {
    let world = World::serving();
    world.set(Status::UpdateRollbackFailed, OLD, None);
    assert!(asked(&going(world.handle(JOB).await).0));
    assert_eq!(world.endpoint.updates(), [canary()]);
}

#[tokio::test]
async fn what_cannot_work_fails_at_once_with_what_to_do_and_leaves_nothing_behind() {
    type Change = fn(&mut World);
    let table: [(Change, &str, &[&str]); 13] = [
        (
            |world| world.alarms.set("churn-5xx", true),
            JOB,
            &["churn-5xx is in ALARM already", "clear it first", "retry the stage"],
        ),
        (
            |world| world.alarms = SomeAlarms::new(&[("churn-5xx", false)]),
            JOB,
            &["the alarm churn-latency does not exist", "deploy the stack"],
        ),
        (
            |world| world.settings.rollout.wait_seconds = 30,
            JOB,
            &["needs 60 s of trouble to fire, but RolloutWaitSeconds watches for 30 s only"],
        ),
        (
            |world| world.settings.capacity.count = 1,
            JOB,
            &[
                "set RolloutStrategy to blue-green",
                "deploy the stack if a parameter was changed",
            ],
        ),
        (
            |world| world.settings.rollout.timeout_seconds = 1200,
            JOB,
            &["raise it or wait less"],
        ),
        (
            |world| {
                world.settings.variant_name = "c".into();
                world.serve_variants(vec![variant("a", "m"), variant("b", "n")]);
            },
            JOB,
            &[
                "no variant of the endpoint is called c, and SageMaker keeps the names",
                "set VariantName to what it has: a, b.",
            ],
        ),
        (
            |world| {
                world.settings.variant_name = "c".into();
                world.settings.rollout.unguarded_serverless = true;
                world.serve_variants(vec![Variant {
                    name: "a".into(),
                    ..serverless()
                }]);
            },
            JOB,
            &[
                "no variant of the endpoint is called c",
                "set VariantName to what it has: a.",
            ],
        ),
        (
            |world| world.settings.variant_name = "c".into(),
            JOB,
            &[
                "no variant of the endpoint is called c",
                "set VariantName to what it has: AllTraffic.",
            ],
        ),
        (
            |world| world.serve_variants(vec![serverless()]),
            JOB,
            &[
                "the endpoint is serverless (churn-v6-89abcdef)",
                "set ServerlessUpdates to unguarded",
            ],
        ),
        (
            |world| world.set(Status::Failed, OLD, None),
            JOB,
            &["the endpoint has failed", "delete it and retry the stage"],
        ),
        (
            |world| world.set(Status::OutOfService, OLD, None),
            JOB,
            &["out of service"],
        ),
        (
            |world| world.set(Status::UpdateRollbackFailed, OLD, None),
            CONTINUATION,
            &["so did its rollback", "release a good version"],
        ),
        (
            |world| world.endpoint = OneEndpoint::default(),
            CONTINUATION,
            &["the endpoint was deleted while it was updated"],
        ),
    ];
    for (change, event, words) in table {
        let mut world = World::serving();
        change(&mut world);
        for _ in 0..2 {
            let failure = failure(world.handle(event).await);
            assert_eq!(failure.kind, FailureType::ConfigurationError, "{words:?}");
            contains(&failure.message, words);
        }
        assert!(world.is_untouched(), "{words:?}");
        assert_eq!(world.outcome(7), Some(Outcome::Failed));
        assert_eq!(world.subjects(), ["v7 release failed"]);
    }
}

/// A failed stage is retried, once what stood in its way is gone.
#[tokio::test]
async fn a_release_that_failed_can_be_retried() {
    let world = World::serving();
    world.alarms.set("churn-5xx", true);
    failure(world.handle(JOB).await);
    world.alarms.set("churn-5xx", false);
    going(world.handle(JOB).await);
    world.serves();
    done(world.handle(CONTINUATION).await);
    assert_eq!(world.outcome(7), Some(Outcome::Deployed));
    assert_eq!(
        world.subjects(),
        ["v7 release failed", "v7 begins to take over", "v7 deployed"]
    );
}

#[tokio::test]
async fn each_kind_of_refusal_has_its_answer() {
    for world in [World::new, World::serving] {
        let refused = |kind| {
            let world = world();
            world.endpoint.refuse("sagemaker:CreateEndpoint", kind);
            world.endpoint.refuse("sagemaker:UpdateEndpoint", kind);
            world
        };
        // Somebody was faster, or AWS is busy: CodePipeline calls again.
        for kind in [ErrorKind::Busy, ErrorKind::Exists, ErrorKind::Transient] {
            let world = refused(kind);
            let (token, summary) = going(world.handle(JOB).await);
            assert!(!asked(&token), "{kind:?}: nothing was asked for");
            contains(&summary, &["the service's words"]);
            assert!(world.notices().is_empty(), "{kind:?}: it does not begin");
            world.endpoint.refuse_nothing();
            assert!(asked(&going(world.handle(&again(JOB, &token)).await).0), "{kind:?}");
            assert_eq!(world.subjects(), ["v7 begins to take over"]);
        }
        for (kind, expected, outcome) in [
            (ErrorKind::Denied, FailureType::PermissionError, None),
            (ErrorKind::Other, FailureType::JobFailed, None),
            (
                ErrorKind::Invalid,
                FailureType::ConfigurationError,
                Some(Outcome::Failed),
            ),
        ] {
            let world = refused(kind);
            let failure = failure(world.handle(JOB).await);
            assert_eq!((failure.kind, world.outcome(7)), (expected, outcome), "{kind:?}");
            contains(&failure.message, &["the service's words"]);
            let told: &[&str] = if outcome.is_some() { &["v7 release failed"] } else { &[] };
            assert_eq!(world.subjects(), told, "{kind:?}");
        }
    }
    for operation in ["sagemaker:CreateModel", "sagemaker:CreateEndpointConfig"] {
        let world = World::serving();
        world.endpoint.refuse(operation, ErrorKind::Denied);
        let failure = failure(world.handle(JOB).await);
        assert_eq!(failure.kind, FailureType::PermissionError);
        contains(&failure.message, &[operation]);
        assert!(world.notices().is_empty() && world.endpoint.updates().is_empty());
    }
}
