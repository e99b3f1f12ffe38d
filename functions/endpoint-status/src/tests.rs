use jiff::Timestamp;
use serde_json::json;
use signalbox_aws::configurations::NewConfig;
use signalbox_aws::error::AwsError;
use signalbox_aws::memory::{FiringAlarms, OneEndpoint, Packages, ReleaseTrain, Topics};
use signalbox_model::endpoint::Pending;
use signalbox_model::names::{ModelPackageArn, ReleaseId};
use signalbox_model::package::{ApprovalStatus, ModelPackage, Outcome};

use super::*;

const ROLLING_BACK: &str = include_str!("../../../events/endpoint-status-rolling-back.json");
const UPDATE_ROLLBACK_FAILED: &str = include_str!("../../../events/endpoint-status-update-rollback-failed.json");
const FAILED: &str = include_str!("../../../events/endpoint-status-failed.json");
const IN_SERVICE: &str = include_str!("../../../events/endpoint-status-in-service.json");
const SWEEP: &str = include_str!("../../../events/endpoint-status-sweep.json");
const ALARM: &str = include_str!("../../../events/endpoint-status-alarm.json");
const ROLLBACK_FAILED: &str = include_str!("../../../events/endpoint-status-rollback-failed.json");

const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
/// The configurations of version 7 and of the one that it replaced.
const NEW: &str = "churn-v7-01234567";
const OLD: &str = "churn-v6-89abcdef";
/// When the configuration of version 7 was made, when the version was deployed, and when the endpoint was scaled since; the alarm's
/// event is of 13:10:40.
const MADE: &str = "2026-03-01T12:30:00Z";
const DEPLOYED: &str = "2026-03-01T12:45:00Z";
const SCALED: &str = "2026-03-01T13:10:00Z";

fn settings() -> Settings {
    Settings {
        model: "churn".parse().unwrap(),
        group: "arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/churn"
            .parse()
            .unwrap(),
        notices_topic_arn: "arn:aws:sns:eu-west-1:123456789012:churn-notices".into(),
        rollback_pipeline: "churn-rollback".into(),
        guard: SignedDuration::from_mins(60),
        alarms: vec!["churn-5xx".into(), "churn-latency".into()],
    }
}

fn arn(version: u32) -> ModelPackageArn {
    settings().group.version(version)
}

struct World {
    packages: Packages,
    endpoint: OneEndpoint,
    alarms: FiringAlarms,
    releases: ReleaseTrain,
    topics: Topics,
}

impl World {
    /// Version 7 serves, and has replaced version 6.
    fn new() -> Self {
        let world = Self {
            packages: Packages::default(),
            endpoint: OneEndpoint::default(),
            alarms: FiringAlarms::default(),
            releases: ReleaseTrain::default(),
            topics: Topics::default(),
        };
        for version in [6, 7] {
            world.packages.put(ModelPackage {
                arn: arn(version),
                approval: ApprovalStatus::Approved,
                approval_description: None,
                metrics_uri: None,
                generated_by: None,
                metadata: BTreeMap::new(),
                containers: Vec::new(),
                created_at: None,
                modified_at: None,
                modified_by: None,
            });
        }
        world.write(7, &deployed(RELEASE, DEPLOYED));
        world.make(NEW, MADE, &[(tag::RELEASE, RELEASE), (tag::REPLACES, OLD)]);
        world.serve(NEW, SCALED);
        world
    }

    /// The same while version 7 is deployed: version 6 serves.
    fn deploying(config: &str) -> Self {
        let world = Self::new();
        world.write(7, &[]);
        world.serve(OLD, "2026-03-01T13:00:00Z");
        let pending = Pending {
            config: config.into(),
            ..Pending::default()
        };
        world.change(|endpoint| (endpoint.status, endpoint.pending) = (Status::Updating, Some(pending)));
        world
    }

    /// Puts a configuration there that was made then, with those tags.
    fn make(&self, name: &str, made_at: &str, tags: &[(&str, &str)]) {
        let config = NewConfig {
            name: name.into(),
            base: None,
            changes: None,
            tags: owned(tags).into_iter().collect(),
        };
        self.endpoint.put_config(config, made_at.parse().unwrap());
    }

    /// Writes that, and nothing else, on a version.
    fn write(&self, version: u32, metadata: &[(&str, &str)]) {
        let mut package = self.packages.get(&arn(version)).unwrap();
        package.metadata = owned(metadata);
        self.packages.put(package);
    }

    fn serve(&self, config: &str, since: &str) {
        self.endpoint.set(Endpoint {
            status: Status::InService,
            config: config.into(),
            failure_reason: None,
            pending: None,
            modified_at: Some(since.parse::<Timestamp>().unwrap()),
            desired_counts: Vec::new(),
        });
    }

    fn change(&self, change: impl FnOnce(&mut Endpoint)) {
        let mut endpoint = self.endpoint.get().unwrap();
        change(&mut endpoint);
        self.endpoint.set(endpoint);
    }

    async fn handle(&self, event: &str) -> Result<Value, anyhow::Error> {
        self.handle_with(&self.releases, event).await
    }

    async fn handle_with(
        &self,
        rollbacks: &(impl StartRollbacks + ReadRollbacks),
        event: &str,
    ) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            registry: &self.packages,
            endpoints: &self.endpoint,
            alarms: &self.alarms,
            rollbacks,
            notices: &self.topics,
        };
        handle(&settings(), &ports, serde_json::from_str(event).unwrap()).await
    }

    fn notices(&self) -> Vec<String> {
        let published = self.topics.published();
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        published
            .iter()
            .map(|p| format!("{}: {}", p.notice.subject(), one_line(p.notice.body())))
            .collect()
    }

    /// What was written on a version.
    fn metadata(&self, version: u32) -> BTreeMap<String, String> {
        self.packages.get(&arn(version)).unwrap().metadata
    }

    /// Neither version has anything that this function writes.
    fn is_unmarked(&self) -> bool {
        let ours = |key: &String| key == key::ALARM || key == key::FAILURE;
        ![6, 7].iter().any(|version| self.metadata(*version).keys().any(ours))
    }

    /// Nothing was asked of anybody, nobody was told, nothing was marked.
    fn is_untouched(&self) -> bool {
        self.endpoint.updates().is_empty()
            && self.releases.rolled_back().is_empty()
            && self.notices().is_empty()
            && self.is_unmarked()
    }
}

fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    pairs.collect()
}

/// What a release that has come to a good end writes on its version.
fn deployed<'a>(release: &'a str, at: &'a str) -> [(&'static str, &'a str); 3] {
    let outcome = Outcome::Deployed.as_str();
    [(key::RELEASE, release), (key::OUTCOME, outcome), (key::DEPLOYED_AT, at)]
}

#[track_caller]
fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[tokio::test]
async fn troubles_that_a_person_must_know_of_are_told() {
    let of_status = |status: &str| IN_SERVICE.replace("IN_SERVICE", status);
    for (event, words) in [
        (
            ROLLING_BACK.to_owned(),
            &["[signalbox] churn is rolling back", OLD, "churn-5xx"][..],
        ),
        (
            UPDATE_ROLLBACK_FAILED.to_owned(),
            &[
                "churn endpoint is stuck between two versions",
                "InsufficientInstanceCapacity",
            ],
        ),
        (
            FAILED.to_owned(),
            &["churn endpoint has failed", "delete it", "ping health check"],
        ),
        (
            of_status("Failed"),
            &["churn endpoint has failed", "SageMaker gives no reason"],
        ),
    ] {
        let world = World::new();
        world.handle(&event).await.unwrap();
        let notices = world.notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        contains(&notices[0], words);
    }
    for status in [
        "IN_SERVICE",
        "CREATING",
        "UPDATING",
        "SYSTEM_UPDATING",
        "DELETING",
        "OUT_OF_SERVICE",
        "ON_FIRE",
    ] {
        let world = World::new();
        world.handle(&of_status(status)).await.unwrap();
        assert!(world.is_untouched(), "{status}");
    }
}

#[tokio::test]
async fn each_trouble_is_told_once_by_its_event_or_by_the_sweep() {
    for (status, event) in [
        (Status::RollingBack, ROLLING_BACK),
        (Status::UpdateRollbackFailed, UPDATE_ROLLBACK_FAILED),
        (Status::Failed, FAILED),
    ] {
        for events in [
            &[event, event, SWEEP][..],
            &[SWEEP, SWEEP, event],
            &[event, SWEEP, event],
        ] {
            let world = World::deploying(NEW);
            let config = serde_json::from_str::<Value>(event).unwrap()["detail"]["EndpointConfigName"].clone();
            world.change(|endpoint| {
                endpoint.status = status;
                endpoint.config = config.as_str().unwrap().to_owned();
                endpoint.failure_reason = Some("no capacity".into());
            });
            for event in events {
                world.handle(event).await.unwrap();
            }
            assert_eq!(world.notices().len(), 1, "{status:?} {:?}", world.notices());
            // A sweep over what was told writes nothing any more.
            let kept = world.metadata(7).get(key::FAILURE).cloned();
            let written = world.packages.get(&arn(7)).unwrap();
            world.write(7, &[]);
            world.handle(SWEEP).await.unwrap();
            assert!(world.metadata(7).is_empty() && world.notices().len() == 1);
            world.packages.put(written);
            assert_eq!(kept.is_some(), status == Status::RollingBack, "{kept:?}");
            // Another release comes to the same end.
            world.change(|endpoint| {
                let config = "churn-v8-76543210".to_owned();
                endpoint.pending = Some(Pending {
                    config,
                    ..Pending::default()
                });
            });
            world.handle(SWEEP).await.unwrap();
            assert_eq!(world.notices().len(), 2);
        }
    }
}

#[tokio::test]
async fn an_alarm_whose_event_was_lost_is_seen_by_the_sweep() {
    let fire = |world: &World, alarm: &str| {
        let since = "2026-03-01T13:10:40.7Z".parse().unwrap();
        world.alarms.fire(Firing::new(alarm, SAW, None, since));
    };
    let world = World::new();
    fire(&world, "churn-other");
    world.handle(SWEEP).await.unwrap();
    assert!(world.is_untouched(), "not an alarm of the endpoint");
    fire(&world, "churn-5xx");
    for event in [SWEEP, SWEEP, ALARM] {
        world.handle(event).await.unwrap();
    }
    assert_eq!(world.releases.rolled_back().len(), 1);
    assert!(world.notices().is_empty());

    // There is nothing to go back to: that is told once.
    let first = World::new();
    first.make(NEW, MADE, &[(tag::RELEASE, RELEASE)]);
    fire(&first, "churn-5xx");
    for event in [SWEEP, ALARM, SWEEP] {
        first.handle(event).await.unwrap();
    }
    assert_eq!(first.notices().len(), 1, "{:?}", first.notices());

    // An update that had just begun was rolled back for what this version does.
    let bad = World::new();
    let endpoint = bad.endpoint.get().unwrap();
    bad.endpoint.set(Endpoint {
        failure_reason: Some("the alarm churn-5xx is in ALARM".into()),
        modified_at: Some("2026-03-01T13:10:50Z".parse().unwrap()),
        ..endpoint
    });
    fire(&bad, "churn-5xx");
    for (at, rollbacks) in [("13:12:00Z", 0), ("13:27:00Z", 1), ("13:42:00Z", 1)] {
        let sweep = SWEEP.replace("12:00:00Z", at);
        bad.handle(&sweep).await.unwrap();
        assert_eq!(bad.releases.rolled_back().len(), rollbacks, "{at}");
    }

    // While an update runs, SageMaker watches.
    let deploying = World::deploying(NEW);
    fire(&deploying, "churn-5xx");
    deploying.handle(SWEEP).await.unwrap();
    assert!(deploying.is_untouched());
}

#[tokio::test]
async fn a_rollback_that_failed_untold_is_told_once_by_its_event_or_by_the_sweep() {
    let rollback: ReleaseId = "89abcdef-0123-4567-89ab-cdef01234567".parse().unwrap();
    let failed = |at: &str| FailedRollback {
        rollback: rollback.clone(),
        began: at.parse::<Timestamp>().unwrap() - SignedDuration::from_mins(20),
        at: at.parse().unwrap(),
        reason: "the function failed to return a result".into(),
    };
    let endpoint = settings().group.endpoint_arn("churn");
    for events in [
        [ROLLBACK_FAILED, ROLLBACK_FAILED, SWEEP],
        [SWEEP, SWEEP, ROLLBACK_FAILED],
    ] {
        let world = World::new();
        world.releases.fail_rollback(failed("2026-03-01T11:55:00Z"));
        for event in events {
            world.handle(event).await.unwrap();
        }
        let notices = world.notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        let words = [
            "ROLLBACK FAILED",
            "failed to return a result",
            "churn-update-endpoint",
            "TakeBack",
            "churn-rollback",
        ];
        contains(&notices[0], &words);
        // Somebody retries the stage, and it fails again.
        world.releases.fail_rollback(failed("2026-03-01T12:25:00Z"));
        for event in events {
            world.handle(event).await.unwrap();
        }
        assert_eq!(world.notices().len(), 2);
    }

    // What the rollback itself told, what is no news, another pipeline's, or another state's.
    let told = World::new();
    told.releases.fail_rollback(failed("2026-03-01T11:55:00Z"));
    let note = told_failure(&rollback, "2026-03-01T11:54:00Z".parse().unwrap());
    told.endpoint.tag(&endpoint, tag::TOLD_ROLLBACK, &note).await.unwrap();
    let old = World::new();
    old.releases.fail_rollback(failed("2026-02-28T12:00:00Z"));
    for world in [told, old] {
        world.handle(SWEEP).await.unwrap();
        assert!(world.is_untouched());
    }
    let other = World::new();
    other.releases.fail_rollback(failed("2026-03-01T14:09:00Z"));
    for event in [
        ROLLBACK_FAILED.replace("\"churn-rollback\"", "\"churn-train\""),
        ROLLBACK_FAILED.replace("FAILED", "SUCCEEDED"),
    ] {
        other.handle(&event).await.unwrap();
        assert!(other.is_untouched());
    }

    // Without an endpoint nothing serves that should not, and nothing can be noted.
    let nothing = World {
        endpoint: OneEndpoint::default(),
        ..World::new()
    };
    nothing.releases.fail_rollback(failed("2026-03-01T11:55:00Z"));
    for event in [ROLLBACK_FAILED, SWEEP] {
        nothing.handle(event).await.unwrap();
        assert!(nothing.is_untouched());
    }
}

#[tokio::test]
async fn a_sweep_over_what_is_well_or_not_there_does_nothing() {
    let world = World::new();
    world.handle(SWEEP).await.unwrap();
    assert!(world.is_untouched());
    let nothing = World {
        packages: Packages::default(),
        endpoint: OneEndpoint::default(),
        alarms: FiringAlarms::default(),
        releases: ReleaseTrain::default(),
        topics: Topics::default(),
    };
    for event in [SWEEP, ALARM] {
        nothing.handle(event).await.unwrap();
    }
    assert!(nothing.notices().is_empty() && nothing.releases.rolled_back().is_empty());
}

/// What the sample's alarm saw.
const SAW: &str = "Threshold Crossed: 1 out of the last 1 datapoints [0.31] was greater than the threshold (0.02)";

#[tokio::test]
async fn an_alarm_soon_after_the_deployment_has_the_version_taken_back_once() {
    let world = World::new();
    for _ in 0..3 {
        world.handle(ALARM).await.unwrap();
    }
    let started = world.releases.rolled_back();
    assert_eq!(started.len(), 1, "{started:?}");
    assert_eq!(started[0].0, 7);
    contains(
        &started[0].1,
        &["the alarm churn-5xx fired after the deployment: ", SAW],
    );
    // The rollback itself updates, marks and tells.
    assert!(world.endpoint.updates().is_empty() && world.notices().is_empty() && world.is_unmarked());
    // Another alarm soon after is about the same deployment.
    world
        .handle(&ALARM.replace("churn-5xx", "churn-latency"))
        .await
        .unwrap();
    assert_eq!(world.releases.rolled_back().len(), 1);
}

#[tokio::test]
async fn each_deployment_has_its_reaction() {
    const USUAL: &[(&str, &str)] = &[(tag::RELEASE, RELEASE), (tag::REPLACES, OLD)];
    /// The release of a rollback, and the tags of what it has brought back.
    const ROLLBACK: &str = "fedcba98-7654-3210-fedc-ba9876543210";
    const RESCUE: &[(&str, &str)] = &[
        (tag::RELEASE, ROLLBACK),
        (tag::REPLACES, OLD),
        (tag::UNDOES, "churn-v8-00000008"),
    ];
    let take_back = "take back";
    let brought_back =
        "churn-v7-01234567 was brought back in place of churn-v8-00000008, and the alarm fires with it too";
    let told = |at| deployed(RELEASE, at).to_vec();
    let untold = || vec![(key::GATE, "held")];
    // The configuration's tags, when it was made, what is written on the version.
    for (tags, made_at, written, expected) in [
        (USUAL, MADE, told(DEPLOYED), take_back),
        // Within the hour to the second, whenever the endpoint was scaled since and the configuration made.
        (USUAL, "2026-03-01T10:00:00Z", told("2026-03-01T12:10:40Z"), take_back),
        (USUAL, "2026-03-01T10:00:00Z", told("2026-03-01T12:10:39Z"), "nothing"),
        // It fired as the version took over, and is heard after that is told.
        (USUAL, MADE, told("2026-03-01T13:10:41Z"), take_back),
        // The release has not looked yet.
        (USUAL, MADE, untold(), take_back),
        (USUAL, "2026-03-01T13:10:40Z", untold(), take_back),
        // It fired before this configuration was made.
        (USUAL, "2026-03-01T13:10:41Z", untold(), "nothing"),
        (USUAL, "2026-03-01T13:10:41Z", told("2026-03-01T13:10:42Z"), "nothing"),
        // When another release of the version was deployed says nothing of this one: what was made is what is known.
        (
            USUAL,
            "2026-03-01T12:10:40Z",
            deployed(ROLLBACK, "2026-03-01T13:00:00Z").to_vec(),
            take_back,
        ),
        (
            USUAL,
            "2026-03-01T12:10:39Z",
            deployed(ROLLBACK, "2026-03-01T13:00:00Z").to_vec(),
            "nothing",
        ),
        (
            &[(tag::RELEASE, RELEASE)],
            MADE,
            told(DEPLOYED),
            "churn-v7-01234567 is the first that served: there is nothing to go back to",
        ),
        // Brought back by a rollback, long after its own release.
        (RESCUE, MADE, told("2026-02-01T00:00:00Z"), brought_back),
        (
            RESCUE,
            "2026-03-01T12:10:40Z",
            told("2026-02-01T00:00:00Z"),
            brought_back,
        ),
        (RESCUE, "2026-03-01T12:10:39Z", told("2026-02-01T00:00:00Z"), "nothing"),
        (
            &[(tag::RELEASE, ROLLBACK), (tag::UNDOES, "churn-v8-00000008")],
            "2026-03-01T12:10:39Z",
            told("2026-02-01T00:00:00Z"),
            "nothing",
        ),
        // Not deployed by a release, whatever it is called.
        (&[], MADE, told(DEPLOYED), "nothing"),
        (&[(tag::REPLACES, OLD)], MADE, told(DEPLOYED), "nothing"),
        (
            &[(tag::RELEASE, "by hand"), (tag::REPLACES, OLD)],
            MADE,
            told(DEPLOYED),
            "nothing",
        ),
    ] {
        let world = World::new();
        world.make(NEW, made_at, tags);
        world.write(7, &written);
        world.handle(ALARM).await.unwrap();
        match expected {
            "take back" => assert_eq!(
                world.releases.rolled_back().len(),
                1,
                "{tags:?} made {made_at}, {written:?}"
            ),
            "nothing" => assert!(world.is_untouched(), "{tags:?} made {made_at}, {written:?}"),
            reason => {
                let notices = world.notices();
                assert_eq!(notices.len(), 1, "{notices:?}");
                let told = [
                    "churn alarm churn-5xx: look at the endpoint",
                    SAW,
                    "Nothing was done about it: ",
                    reason,
                ];
                contains(&notices[0], &told);
                assert!(world.releases.rolled_back().is_empty());
            }
        }
    }
}

/// What serves is what served before; its own guard time may not be over.
#[tokio::test]
async fn an_alarm_of_an_update_that_was_rolled_back_is_not_held_against_what_serves() {
    for (modified_at, rolled_back) in [
        ("2026-03-01T13:10:39Z", 1),
        ("2026-03-01T13:10:40Z", 0),
        ("2026-03-01T13:11:00Z", 0),
    ] {
        let world = World::new();
        world.serve(NEW, modified_at);
        world.change(|endpoint| endpoint.failure_reason = Some("The alarm churn-5xx fired.".into()));
        world.handle(ALARM).await.unwrap();
        assert_eq!(world.releases.rolled_back().len(), rolled_back, "{modified_at}");
        assert!(world.notices().is_empty() && world.is_unmarked());
    }
}

#[tokio::test]
async fn a_configuration_that_is_gone_is_left_alone() {
    let world = World::new();
    world.serve("churn-v7-11111111", SCALED);
    world.handle(ALARM).await.unwrap();
    assert!(world.is_untouched());
}

#[tokio::test]
async fn only_alarms_that_fire_count() {
    for value in ["OK", "INSUFFICIENT_DATA"] {
        let event = ALARM.replace("\"value\": \"ALARM\"", &format!("\"value\": \"{value}\""));
        for world in [World::new(), World::deploying(NEW)] {
            world.handle(&event).await.unwrap();
            assert!(world.is_untouched(), "{value}");
        }
    }
}

#[tokio::test]
async fn an_alarm_during_a_deployment_is_kept_on_the_version_that_is_deployed() {
    for status in [Status::Updating, Status::InService, Status::RollingBack] {
        let world = World::deploying(NEW);
        world.change(|endpoint| endpoint.status = status);
        for _ in 0..2 {
            world.handle(ALARM).await.unwrap();
            let metadata = world.metadata(7);
            assert_eq!(metadata.len(), 1, "{metadata:?}");
            // The release that it is of reads it back, as much of it as customer metadata takes.
            let kept = world.packages.get(&arn(7)).unwrap();
            let (alarm, saw) = kept.alarm_of(&RELEASE.parse().unwrap()).unwrap();
            assert_eq!(alarm, "churn-5xx");
            contains(saw, &["Threshold Crossed: 1 out of the last 1 datapoints  0.31 "]);
            let another = "11111111-2222-3333-4444-555555555555".parse().unwrap();
            assert_eq!(kept.alarm_of(&another), None);
        }
        // SageMaker watches the same alarm, and the release tells.
        assert!(world.releases.rolled_back().is_empty() && world.notices().is_empty());
        assert!(world.metadata(6).is_empty());
    }
}

#[tokio::test]
async fn why_an_update_is_rolled_back_is_kept_before_the_endpoint_forgets_it() {
    let event = |reason: Value| {
        let mut event: Value = serde_json::from_str(ROLLING_BACK).unwrap();
        event["detail"]["FailureReason"] = reason;
        event.to_string()
    };
    for (of_endpoint, of_event, expected) in [
        (
            Some("alarm churn-5xx"),
            json!("an older reason"),
            Some("01234567: alarm churn-5xx"),
        ),
        (
            None,
            json!("alarm churn-latency"),
            Some("01234567: alarm churn-latency"),
        ),
        (None, Value::Null, None),
    ] {
        let world = World::deploying(NEW);
        world.change(|endpoint| {
            endpoint.status = Status::RollingBack;
            endpoint.failure_reason = of_endpoint.map(str::to_owned);
        });
        world.handle(&event(of_event)).await.unwrap();
        let metadata = world.metadata(7);
        assert_eq!(metadata.get(key::FAILURE).map(String::as_str), expected);
        // The release that it is of reads it back.
        let kept = world.packages.get(&arn(7)).unwrap();
        let kept = kept.failure_of(&RELEASE.parse().unwrap()).map(str::to_owned);
        assert_eq!(kept.as_deref(), expected.map(|expected| &expected[10..]));
        assert_eq!((metadata.len(), world.metadata(6).len()), (expected.iter().len(), 0));
        assert_eq!(world.notices().len(), 1);
    }
}

#[tokio::test]
async fn an_event_of_a_rollback_that_is_over_keeps_nothing() {
    let over = World::new();
    let gone = World {
        endpoint: OneEndpoint::default(),
        ..World::new()
    };
    for world in [over, gone] {
        world.handle(ROLLING_BACK).await.unwrap();
        assert!(world.is_unmarked());
        assert_eq!(world.notices().len(), 1, "it is told all the same");
    }
}

#[tokio::test]
async fn what_is_not_the_trains_is_left_alone() {
    for config in ["by-hand", "other-v7-01234567", "churn-v2-v7-01234567", "churn-v7"] {
        // Whatever its tags say: they are not the train's, and can't be read.
        let tags = [(tag::RELEASE, RELEASE), (tag::REPLACES, OLD)];
        let serving = World::new();
        serving.make(config, MADE, &tags);
        serving.serve(config, SCALED);
        let deploying = World::deploying(config);
        deploying.make(config, MADE, &tags);
        for world in [serving, deploying] {
            world.handle(ALARM).await.unwrap();
            assert!(world.is_untouched(), "{config}");
        }
        let world = World::deploying(config);
        world.change(|endpoint| endpoint.status = Status::RollingBack);
        world.handle(ROLLING_BACK).await.unwrap();
        assert!(world.is_unmarked(), "{config}");
    }
}

#[tokio::test]
async fn an_alarm_without_an_endpoint_and_during_other_operations_changes_nothing() {
    let gone = World {
        endpoint: OneEndpoint::default(),
        ..World::new()
    };
    gone.handle(ALARM).await.unwrap();
    assert!(gone.is_untouched());
    for status in Status::ALL {
        let world = World::new();
        world.change(|endpoint| endpoint.status = status);
        world.handle(ALARM).await.unwrap();
        assert_eq!(world.is_untouched(), status != Status::InService, "{status:?}");
    }
}

#[tokio::test]
async fn a_version_that_the_registry_has_lost_is_no_trouble() {
    for event in [ALARM, ROLLING_BACK] {
        let world = World {
            packages: Packages::default(),
            ..World::deploying(NEW)
        };
        world.change(|endpoint| endpoint.status = Status::RollingBack);
        world.handle(event).await.unwrap();
    }
    let world = World {
        packages: Packages::default(),
        ..World::new()
    };
    world.handle(ALARM).await.unwrap();
    assert_eq!(world.releases.rolled_back().len(), 1);
}

/// A pipeline that can't be started or looked at.
struct Refusing(ErrorKind);

impl ReadRollbacks for Refusing {
    async fn failed_rollback(&self, _: &str) -> Result<Option<FailedRollback>, AwsError> {
        let words = "the service's words";
        Err(AwsError::new(
            "codepipeline:ListActionExecutions",
            self.0,
            "Code",
            words,
        ))
    }
}

impl StartRollbacks for Refusing {
    async fn roll_back(&self, _: &str, _: u32, _: &ReleaseId, _: &str) -> Result<ReleaseId, AwsError> {
        Err(AwsError::new(
            "codepipeline:StartPipelineExecution",
            self.0,
            "Code",
            "the service's words",
        ))
    }
}

#[tokio::test]
async fn a_rollback_that_cannot_be_started_or_seen_is_tried_again() {
    for kind in [ErrorKind::Transient, ErrorKind::Conflict, ErrorKind::Denied] {
        let world = World::new();
        let error = world.handle_with(&Refusing(kind), ALARM).await.unwrap_err().to_string();
        contains(&error, &["codepipeline:StartPipelineExecution", "the service's words"]);
        for event in [SWEEP, ROLLBACK_FAILED] {
            let error = world.handle_with(&Refusing(kind), event).await.unwrap_err().to_string();
            contains(&error, &["codepipeline:ListActionExecutions", "the service's words"]);
        }
        assert!(world.is_untouched(), "{kind:?}");
    }
}

#[tokio::test]
async fn wrong_events_are_errors_that_say_what_is_wrong() {
    let (endpoint, alarm) = ("SageMaker Endpoint State Change", "CloudWatch Alarm State Change");
    let fires = json!({"alarmName": "churn-5xx", "state": {"value": "ALARM"}});
    for (event, words) in [
        (
            json!({"source": "aws.sagemaker", "detail": {}}),
            &["field `detail-type` is missing"][..],
        ),
        (
            json!({"source": "aws.sagemaker", "detail-type": endpoint, "detail": {"EndpointName": "churn"}}),
            &["aws.sagemaker", endpoint, "detail.EndpointStatus is missing"],
        ),
        (
            json!({"source": "aws.cloudwatch", "detail-type": alarm, "detail": {"state": {"value": "ALARM"}}}),
            &["aws.cloudwatch", alarm, "detail.alarmName is missing"],
        ),
        (
            json!({"source": "aws.cloudwatch", "detail-type": alarm, "detail": fires}),
            &["time is missing"],
        ),
        (
            json!({"source": "aws.sagemaker", "detail-type": "SageMaker Endpoint Deployment State Change", "detail": {}}),
            &["aws.sagemaker", "Deployment", "none that this function takes"],
        ),
    ] {
        let world = World::new();
        let error = world.handle(&event.to_string()).await.unwrap_err().to_string();
        contains(&error, words);
        assert!(world.is_untouched());
    }
}
