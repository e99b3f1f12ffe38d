use jiff::Timestamp;
use serde_json::json;
use signalbox_aws::endpoints::{NewConfig, REPLACES_TAG};
use signalbox_aws::error::AwsError;
use signalbox_aws::memory::{OneEndpoint, Packages, Topics};
use signalbox_model::endpoint::{Endpoint, Pending};
use signalbox_model::package::{ApprovalStatus, ModelPackage};

use super::*;

const ROLLING_BACK: &str = include_str!("../../../events/endpoint-status-rolling-back.json");
const UPDATE_ROLLBACK_FAILED: &str = include_str!("../../../events/endpoint-status-update-rollback-failed.json");
const FAILED: &str = include_str!("../../../events/endpoint-status-failed.json");
const IN_SERVICE: &str = include_str!("../../../events/endpoint-status-in-service.json");
const ALARM: &str = include_str!("../../../events/endpoint-status-alarm.json");

/// The configurations of version 7 and of the one that it replaced.
const NEW: &str = "churn-v7-01234567";
const OLD: &str = "churn-v6-89abcdef";

fn settings() -> Settings {
    Settings {
        model: "churn".parse().unwrap(),
        notices_topic_arn: "arn:aws:sns:eu-west-1:123456789012:churn-notices".into(),
        guard: SignedDuration::from_mins(60),
    }
}

fn arn(version: u32) -> ModelPackageArn {
    format!("arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/{version}")
        .parse()
        .unwrap()
}

fn config(name: &str, replaces: Option<&str>) -> NewConfig {
    NewConfig {
        name: name.into(),
        model: name.into(),
        variant: "AllTraffic".into(),
        instance_type: "ml.m5.large".into(),
        instance_count: 2,
        tags: replaces
            .map(|replaced| (REPLACES_TAG.to_owned(), replaced.to_owned()))
            .into_iter()
            .collect(),
    }
}

/// Two hours before anything; the alarm's event is of 13:10:40.
fn made() -> Timestamp {
    "2026-03-01T11:00:00Z".parse().unwrap()
}

struct World {
    packages: Packages,
    endpoint: OneEndpoint,
    topics: Topics,
}

impl World {
    /// Version 7 serves since 12:45, and has replaced version 6, which had replaced version 5.
    fn new() -> Self {
        let world = Self {
            packages: Packages::default(),
            endpoint: OneEndpoint::default(),
            topics: Topics::default(),
        };
        for version in [6, 7] {
            world.packages.put(ModelPackage {
                arn: arn(version),
                approval: ApprovalStatus::Approved,
                approval_description: None,
                metrics_uri: None,
                generated_by: None,
                metadata: BTreeMap::from([(key::OUTCOME.to_owned(), "deployed".to_owned())]),
                containers: Vec::new(),
                created_at: None,
            });
        }
        world
            .endpoint
            .put_config(config(OLD, Some("churn-v5-76543210")), made());
        world.endpoint.put_config(config(NEW, Some(OLD)), made());
        world.serve(NEW, "2026-03-01T12:45:00Z");
        world
    }

    fn serve(&self, config: &str, since: &str) {
        self.endpoint.set(Endpoint {
            status: Status::InService,
            config: config.into(),
            failure_reason: None,
            pending: None,
            modified_at: Some(since.parse().unwrap()),
        });
    }

    async fn handle(&self, event: &str) -> Result<Value, anyhow::Error> {
        self.handle_with(&self.endpoint, event).await
    }

    async fn handle_with(
        &self,
        endpoints: &(impl ReadEndpoints + ReadReplaced + UpdateEndpoints),
        event: &str,
    ) -> Result<Value, anyhow::Error> {
        let event = serde_json::from_str(event).unwrap();
        handle(&settings(), &self.packages, endpoints, &self.topics, event).await
    }

    fn notices(&self) -> Vec<String> {
        let published = self.topics.published();
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        published
            .iter()
            .map(|p| format!("{}: {}", p.notice.subject(), one_line(p.notice.body())))
            .collect()
    }

    fn outcome(&self, version: u32) -> Option<Outcome> {
        self.packages.get(&arn(version)).unwrap().outcome()
    }

    /// Nothing was asked of the endpoint, nobody was told, nothing was marked.
    fn is_untouched(&self) -> bool {
        let outcomes = (self.outcome(6), self.outcome(7));
        self.endpoint.plans().is_empty()
            && self.notices().is_empty()
            && outcomes == (Some(Outcome::Deployed), Some(Outcome::Deployed))
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
        for word in words {
            assert!(notices[0].contains(word), "{word}: {}", notices[0]);
        }
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
async fn an_alarm_soon_after_the_deployment_brings_the_version_before_back_once() {
    let world = World::new();
    for _ in 0..3 {
        world.handle(ALARM).await.unwrap();
    }
    let plans = world.endpoint.plans();
    let at_once = Traffic::BlueGreen {
        routing: Routing::AllAtOnce,
        wait_seconds: 0,
        termination_wait_seconds: 0,
    };
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0].traffic, at_once);
    assert_eq!(
        plans[0].alarms,
        Vec::<String>::new(),
        "the alarm that fires now would roll it back"
    );
    assert_eq!(world.endpoint.get().unwrap().pending.unwrap().config, OLD);
    assert_eq!(
        (world.outcome(7), world.outcome(6)),
        (Some(Outcome::RolledBack), Some(Outcome::Deployed))
    );
    assert!(world.packages.get(&arn(7)).unwrap().metadata[key::REASON].contains("churn-5xx"));
    let notices = world.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    for word in [
        "churn v7 rolled back",
        "v6 serves all traffic again",
        "Alarm: churn-5xx",
        "[0.31]",
    ] {
        assert!(notices[0].contains(word), "{word}: {}", notices[0]);
    }
}

#[tokio::test]
async fn who_died_between_update_and_notice_tells_at_the_next_try() {
    let world = World::new();
    let mut endpoint = world.endpoint.get().unwrap();
    endpoint.status = Status::Updating;
    endpoint.pending = Some(Pending {
        config: OLD.into(),
        phase: None,
        message: None,
        since: None,
    });
    world.endpoint.set(endpoint);
    for _ in 0..2 {
        world.handle(ALARM).await.unwrap();
    }
    assert_eq!(
        (world.outcome(7), world.notices().len()),
        (Some(Outcome::RolledBack), 1)
    );
    assert_eq!(world.endpoint.plans(), [], "the update is under way already");
}

#[tokio::test]
async fn an_alarm_that_comes_again_after_the_rollback_takes_nothing_further_back() {
    let world = World::new();
    world.handle(ALARM).await.unwrap();
    world.serve(OLD, "2026-03-01T13:18:00Z");
    world.handle(ALARM).await.unwrap();
    assert_eq!(world.endpoint.plans().len(), 1, "not on to version 5");
    assert_eq!((world.outcome(6), world.notices().len()), (Some(Outcome::Deployed), 1));
}

#[tokio::test]
async fn other_alarms_change_nothing() {
    let quiet = |value: &str| ALARM.replace("\"value\": \"ALARM\"", &format!("\"value\": \"{value}\""));
    for (event, since, expected) in [
        (ALARM.to_owned(), "2026-03-01T12:10:40Z", false),
        (ALARM.to_owned(), "2026-03-01T12:10:39Z", true),
        (quiet("OK"), "2026-03-01T12:45:00Z", true),
        (quiet("INSUFFICIENT_DATA"), "2026-03-01T12:45:00Z", true),
        // It fired before this configuration served.
        (ALARM.to_owned(), "2026-03-01T13:10:41Z", true),
    ] {
        let world = World::new();
        world.serve(NEW, since);
        world.handle(&event).await.unwrap();
        assert_eq!(world.is_untouched(), expected, "{since}");
    }
}

#[tokio::test]
async fn where_there_is_nothing_to_go_back_to_nothing_is_done() {
    let without_endpoint = World {
        endpoint: OneEndpoint::default(),
        ..World::new()
    };
    let first = World::new();
    first.endpoint.put_config(config(NEW, None), made());
    let by_hand = World::new();
    by_hand.serve("made-by-hand", "2026-03-01T12:45:00Z");
    let updating = World::new();
    let mut endpoint = updating.endpoint.get().unwrap();
    endpoint.status = Status::Updating;
    endpoint.pending = Some(Pending {
        config: "churn-v8-00000000".into(),
        phase: None,
        message: None,
        since: None,
    });
    updating.endpoint.set(endpoint);
    for (what, world) in [
        ("no endpoint", without_endpoint),
        ("first", first),
        ("by hand", by_hand),
        ("updating", updating),
    ] {
        world.handle(ALARM).await.unwrap();
        assert!(world.is_untouched(), "{what}");
    }
}

#[tokio::test]
async fn a_version_that_the_registry_has_lost_is_rolled_back_all_the_same() {
    let world = World {
        packages: Packages::default(),
        ..World::new()
    };
    world.handle(ALARM).await.unwrap();
    assert_eq!((world.endpoint.plans().len(), world.notices().len()), (1, 1));
}

/// An endpoint that refuses updates.
struct Refusing<'a>(&'a OneEndpoint, ErrorKind);

impl ReadEndpoints for Refusing<'_> {
    async fn endpoint(&self, name: &str) -> Result<Option<Endpoint>, AwsError> {
        self.0.endpoint(name).await
    }
}

impl ReadReplaced for Refusing<'_> {
    async fn replaced(&self, config_arn: &str) -> Result<Option<String>, AwsError> {
        self.0.replaced(config_arn).await
    }
}

impl UpdateEndpoints for Refusing<'_> {
    async fn update(&self, _name: &str, _config: &str, _plan: &Plan) -> Result<(), AwsError> {
        Err(AwsError::new(
            "sagemaker:UpdateEndpoint",
            self.1,
            "ValidationException",
            "refused",
        ))
    }
}

#[tokio::test]
async fn an_update_that_is_refused_tells_no_falsehood() {
    for (kind, is_error) in [
        (ErrorKind::Busy, false),
        (ErrorKind::Transient, true),
        (ErrorKind::Denied, true),
    ] {
        let world = World::new();
        let answer = world.handle_with(&Refusing(&world.endpoint, kind), ALARM).await;
        assert_eq!(answer.is_err(), is_error, "{kind:?}");
        assert!(world.is_untouched(), "{kind:?}");
    }
}

#[tokio::test]
async fn wrong_events_are_errors_that_say_what_is_wrong() {
    let (endpoint, alarm) = ("SageMaker Endpoint State Change", "CloudWatch Alarm State Change");
    let fires = json!({"alarmName": "churn-5xx", "state": {"value": "ALARM"}});
    let time = "2026-03-01T13:10:40Z";
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
            &["no `time`"],
        ),
        (
            json!({"source": "aws.cloudwatch", "detail-type": alarm, "time": time, "detail": fires}),
            &["no `resources`"],
        ),
        (
            json!({"source": "aws.sagemaker", "detail-type": "SageMaker Endpoint Deployment State Change", "detail": {}}),
            &["aws.sagemaker", "Deployment", "none that this function takes"],
        ),
    ] {
        let world = World::new();
        let error = world.handle(&event.to_string()).await.unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert!(world.is_untouched());
    }
}

#[test]
fn configurations_tell_their_version() {
    let alarm = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:churn-5xx";
    for (config, expected) in [
        (NEW, Some(7)),
        ("a-v1-v12-01234567", Some(12)),
        ("made-by-hand", None),
        ("churn-v7", None),
        ("", None),
    ] {
        assert_eq!(
            package_of(alarm, config).map(|(_, version)| version),
            expected,
            "{config}"
        );
    }
    assert_eq!(package_of(alarm, NEW).unwrap().0, arn(7));
    let config_arn = config_arn(alarm, NEW).unwrap();
    assert_eq!(
        config_arn,
        format!("arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/{NEW}")
    );
}
