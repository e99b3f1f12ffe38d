use jiff::Timestamp;
use serde_json::json;
use signalbox_aws::error::AwsError;
use signalbox_aws::memory::{FiringAlarms, JobAnswers, OneEndpoint, Packages, Topics};
use signalbox_model::endpoint::{Endpoint, Pending, Status};
use signalbox_model::job::FailureType;
use signalbox_model::rollout::{Plan, Routing, Strategy, Traffic};

use super::*;

const JOB: &str = include_str!("../../../events/update-endpoint-job.json");
const CONTINUATION: &str = include_str!("../../../events/update-endpoint-continuation.json");

const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
const NEW: &str = "churn-v7-01234567";
const OLD: &str = "churn-v6-89abcdef";
const NOW: &str = "2026-03-01T12:30:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn arn(version: u32) -> ModelPackageArn {
    format!("arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/{version}")
        .parse()
        .unwrap()
}

struct World {
    settings: Settings,
    jobs: JobAnswers,
    packages: Packages,
    endpoint: OneEndpoint,
    alarms: FiringAlarms,
    topics: Topics,
}

impl World {
    /// Version 7 is approved; there is no endpoint.
    fn new() -> Self {
        let rollout = Policy {
            strategy: Strategy::Canary,
            step_percent: 25,
            wait_seconds: 600,
            bake_seconds: 600,
            timeout_seconds: 3600,
            alarms: vec!["churn-5xx".into(), "churn-latency".into()],
        };
        let settings = Settings {
            model: "churn".parse().unwrap(),
            notices_topic_arn: "arn:aws:sns:eu-west-1:123456789012:churn-notices".into(),
            execution_role_arn: "arn:aws:iam::123456789012:role/churn-sagemaker-eu-west-1".into(),
            instance_type: "ml.m5.large".into(),
            instance_count: 4,
            variant_name: "AllTraffic".into(),
            rollout,
        };
        let world = Self {
            settings,
            jobs: JobAnswers::default(),
            packages: Packages::default(),
            endpoint: OneEndpoint::default(),
            alarms: FiringAlarms::default(),
            topics: Topics::default(),
        };
        let metadata = [
            (key::GATE, "held: metrics.accuracy = 0.93"),
            (key::COMMIT, "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a"),
            (key::DECIDED_BY, "ada@example.com"),
            (key::RELEASE, RELEASE),
        ];
        world.packages.put(ModelPackage {
            arn: arn(7),
            approval: ApprovalStatus::Approved,
            approval_description: None,
            metrics_uri: None,
            generated_by: None,
            metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            containers: vec![Container {
                image: "image".into(),
                model_data_url: Some("s3://bucket/training/model.tar.gz".into()),
                environment: BTreeMap::new(),
            }],
            created_at: None,
        });
        world
    }

    /// The same, and version 6 serves.
    fn serving() -> Self {
        let world = Self::new();
        world.set(Status::InService, OLD, None);
        world
    }

    fn set(&self, status: Status, config: &str, pending: Option<(&str, &str)>) {
        let pending = pending.map(|(config, phase)| Pending {
            config: config.into(),
            phase: Some(phase.into()),
            message: None,
            since: Some(time("2026-03-01T12:26:00Z")),
        });
        let modified_at = Some(time("2026-03-01T12:25:00Z"));
        self.endpoint.set(Endpoint {
            status,
            config: config.into(),
            failure_reason: None,
            pending,
            modified_at,
        });
    }

    fn failed_because(&self, reason: &str) {
        let mut endpoint = self.endpoint.get().unwrap();
        endpoint.failure_reason = Some(reason.into());
        self.endpoint.set(endpoint);
    }

    fn change(&self, change: impl FnOnce(&mut ModelPackage)) {
        let mut package = self.packages.get(&arn(7)).unwrap();
        change(&mut package);
        self.packages.put(package);
    }

    /// Handles a job and returns how it was answered.
    async fn handle(&self, event: &str) -> Result<Answer, Failure> {
        self.handle_with(&self.endpoint, event).await
    }

    async fn handle_with(
        &self,
        endpoints: &(impl ReadEndpoints + MakeConfigs + CreateEndpoints + UpdateEndpoints),
        event: &str,
    ) -> Result<Answer, Failure> {
        let clock = time(NOW);
        let ports = Ports {
            registry: &self.packages,
            endpoints,
            alarms: &self.alarms,
            notices: &self.topics,
            clock: &clock,
        };
        let before = self.jobs.given().len();
        handle(&self.settings, &self.jobs, &ports, serde_json::from_str(event).unwrap())
            .await
            .unwrap();
        let given = self.jobs.given();
        assert_eq!(given.len(), before + 1, "each job has one answer");
        given.last().unwrap().clone()
    }

    fn notices(&self) -> Vec<String> {
        let published = self.topics.published();
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        published
            .iter()
            .map(|p| format!("{}: {}", p.notice.subject(), one_line(p.notice.body())))
            .collect()
    }

    fn outcome(&self) -> Option<Outcome> {
        self.packages.get(&arn(7)).unwrap().outcome()
    }

    /// Nothing was made for the release, and what served serves.
    fn is_untouched(&self) -> bool {
        self.endpoint.models().is_empty() && self.endpoint.configs().is_empty() && self.endpoint.plans().is_empty()
    }
}

/// The token and the summary of an answer that goes on.
fn going(answer: Result<Answer, Failure>) -> (String, String) {
    match answer {
        Ok(Answer::Continue {
            token,
            summary,
            percent,
        }) if percent < 100 => (token, summary),
        other => panic!("{other:?}"),
    }
}

fn failure(answer: Result<Answer, Failure>) -> Failure {
    match answer {
        Err(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_version_creates_the_endpoint() {
    let world = World::new();
    // What served before would be judged by the alarms; a new endpoint is not kept from starting by them.
    let world = World {
        alarms: FiringAlarms(vec!["churn-5xx".into()]),
        ..world
    };
    assert_eq!(going(world.handle(JOB).await).0, ASKED);
    let endpoint = world.endpoint.get().unwrap();
    assert_eq!((endpoint.status, endpoint.config.as_str()), (Status::Creating, NEW));
    let configs = world.endpoint.configs();
    let config = &configs[0];
    assert_eq!(
        (config.model.as_str(), config.variant.as_str(), config.instance_count),
        ("churn-v7", "AllTraffic", 4)
    );
    for (key, value) in [
        ("signalbox:model-package", arn(7).to_string().as_str()),
        ("signalbox:release", RELEASE),
        ("signalbox:commit", "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a"),
        ("signalbox:approver", "ada@example.com"),
    ] {
        assert!(
            config.tags.contains(&(key.to_owned(), value.to_owned())),
            "{key}: {:?}",
            config.tags
        );
    }
    assert!(
        config.tags.iter().all(|(key, _)| key != REPLACES_TAG),
        "it replaces none"
    );
    assert_eq!(going(world.handle(CONTINUATION).await).0, ASKED);
    world.set(Status::InService, NEW, None);
    assert!(matches!(world.handle(CONTINUATION).await, Ok(Answer::Done { .. })));
    assert_eq!(world.outcome(), Some(Outcome::Deployed));
}

#[tokio::test]
async fn a_canary_goes_on_until_it_serves_and_is_told_once() {
    let world = World::serving();
    let (token, summary) = going(world.handle(JOB).await);
    assert_eq!(
        (token.as_str(), summary.as_str()),
        (ASKED, "churn-v7-01234567: asked for")
    );
    let traffic = Traffic::BlueGreen {
        routing: Routing::Canary(25),
        wait_seconds: 600,
        termination_wait_seconds: 600,
    };
    let alarms = vec!["churn-5xx".to_owned(), "churn-latency".to_owned()];
    assert_eq!(
        world.endpoint.plans(),
        [Plan {
            traffic,
            timeout_seconds: 3600,
            alarms
        }]
    );
    assert!(
        world.endpoint.configs()[0]
            .tags
            .contains(&(REPLACES_TAG.to_owned(), OLD.to_owned()))
    );
    for (phase, words) in [
        ("Creating", "churn-v7-01234567: Creating, for 4 min"),
        ("ActivatingTraffic", "ActivatingTraffic"),
        ("Baking", "Baking, for 4 min"),
    ] {
        world.set(Status::Updating, OLD, Some((NEW, phase)));
        let (token, summary) = going(world.handle(CONTINUATION).await);
        assert!(token == ASKED && summary.contains(words), "{words}: {summary}");
        assert!(world.notices().is_empty() && world.outcome().is_none());
    }
    world.set(Status::InService, NEW, None);
    for _ in 0..2 {
        let Ok(Answer::Done {
            external_id, variables, ..
        }) = world.handle(CONTINUATION).await
        else {
            panic!()
        };
        assert_eq!(external_id.as_deref(), Some(NEW));
        assert_eq!(variables["EndpointConfigName"], NEW);
    }
    assert_eq!(world.outcome(), Some(Outcome::Deployed));
    assert_eq!(world.endpoint.plans().len(), 1);
    let notices = world.notices();
    assert!(
        notices.len() == 1 && notices[0].contains("churn v7 deployed"),
        "{notices:?}"
    );
}

#[tokio::test]
async fn a_try_that_died_after_the_update_asks_for_nothing_twice() {
    // CodePipeline's job is the same, the continuation token was never given.
    let world = World::serving();
    going(world.handle(JOB).await);
    going(world.handle(JOB).await);
    assert_eq!(world.endpoint.plans().len(), 1);
    world.set(Status::InService, NEW, None);
    assert!(matches!(world.handle(JOB).await, Ok(Answer::Done { .. })));
    assert_eq!((world.endpoint.plans().len(), world.notices().len()), (1, 1));
}

#[tokio::test]
async fn a_rollback_fails_the_action_by_the_alarms_name() {
    for (reason, firing, words) in [
        (
            "The alarm churn-5xx fired",
            &[][..],
            &["rolled back by the alarm churn-5xx", "churn-v6-89abcdef serves"][..],
        ),
        (
            "Alarms fired",
            &["churn-latency"],
            &["rolled back by the alarm churn-latency", "Alarms fired"],
        ),
        (
            "capacity",
            &[],
            &["churn-v7 was rolled back; churn-v6-89abcdef serves", "capacity"],
        ),
    ] {
        let world = World {
            alarms: FiringAlarms(firing.iter().map(|&alarm| alarm.to_owned()).collect()),
            ..World::serving()
        };
        world.failed_because(reason);
        for _ in 0..2 {
            let failure = failure(world.handle(CONTINUATION).await);
            assert_eq!(failure.kind, FailureType::JobFailed);
            for word in words {
                assert!(failure.message.contains(word), "{word}: {}", failure.message);
            }
        }
        assert_eq!(world.outcome(), Some(Outcome::RolledBack));
        let package = world.packages.get(&arn(7)).unwrap();
        assert!(package.metadata[key::REASON].contains(reason));
        assert_eq!(package.metadata[key::RELEASE], RELEASE);
        let notices = world.notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(
            notices[0].contains("churn v7 rolled back") && notices[0].contains("v6 serves all traffic again"),
            "{notices:?}"
        );
        assert!(world.is_untouched(), "it is not tried again by itself");
    }
}

#[tokio::test]
async fn a_lost_token_is_made_up_for_by_the_configurations_age() {
    for (made_at, rolled_back) in [
        ("2026-03-01T12:24:59Z", true),
        ("2026-03-01T12:25:00Z", false),
        ("2026-03-01T12:26:00Z", false),
    ] {
        let world = World::serving();
        let config = NewConfig {
            name: NEW.into(),
            model: "churn-v7".into(),
            variant: "AllTraffic".into(),
            instance_type: "ml.m5.large".into(),
            instance_count: 4,
            tags: Vec::new(),
        };
        world.endpoint.put_config(config, time(made_at));
        let answer = world.handle(JOB).await;
        assert_eq!(answer.is_err(), rolled_back, "{made_at}: {answer:?}");
        assert_eq!(world.endpoint.plans().len(), usize::from(!rolled_back), "{made_at}");
        assert_eq!(world.outcome() == Some(Outcome::RolledBack), rolled_back, "{made_at}");
    }
}

#[tokio::test]
async fn another_update_is_waited_for() {
    for (status, config, pending, words) in [
        (
            Status::Updating,
            OLD,
            Some(("churn-v8-00000000", "Baking")),
            "waiting for the update to churn-v8-00000000",
        ),
        (
            Status::Creating,
            OLD,
            None,
            "waiting for the update to churn-v6-89abcdef",
        ),
        (Status::SystemUpdating, OLD, None, "SageMaker's own maintenance"),
        (Status::RollingBack, OLD, None, "rolls the update back"),
        (Status::Deleting, OLD, None, "waiting for the endpoint's deletion"),
    ] {
        let world = World::serving();
        world.set(status, config, pending);
        let (token, summary) = going(world.handle(JOB).await);
        assert_ne!(
            token, ASKED,
            "what is not asked for must not count as rolled back later"
        );
        assert!(summary.contains(words), "{words}: {summary}");
        assert!(world.is_untouched() && world.notices().is_empty());
    }
}

#[tokio::test]
async fn what_cannot_work_fails_at_once_with_what_to_do_and_leaves_nothing_behind() {
    type Change = fn(&mut World);
    let table: [(Change, &str, &[&str]); 6] = [
        (
            |world| world.alarms.0.push("churn-5xx".into()),
            JOB,
            &["churn-5xx is in ALARM already", "Clear the alarm, and retry"],
        ),
        (
            |world| world.settings.instance_count = 1,
            JOB,
            &["set RolloutStrategy to blue-green", "Mend the template's parameters"],
        ),
        (
            |world| world.settings.rollout.timeout_seconds = 1200,
            JOB,
            &["raise it or wait less"],
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
    ];
    for (change, event, words) in table {
        let mut world = World::serving();
        change(&mut world);
        for _ in 0..2 {
            let failure = failure(world.handle(event).await);
            assert_eq!(failure.kind, FailureType::ConfigurationError, "{words:?}");
            for word in words {
                assert!(failure.message.contains(word), "{word}: {}", failure.message);
            }
        }
        assert!(world.is_untouched(), "{words:?}");
        assert_eq!(world.outcome(), Some(Outcome::Failed));
        let notices = world.notices();
        assert!(
            notices.len() == 1 && notices[0].contains("churn v7 release failed"),
            "{notices:?}"
        );
    }
}

#[tokio::test]
async fn an_endpoint_that_vanished_while_it_was_made_is_told() {
    let world = World::new();
    let failure = failure(world.handle(CONTINUATION).await);
    assert!(
        failure
            .message
            .contains("the endpoint was deleted while it was updated"),
        "{}",
        failure.message
    );
    assert_eq!((world.notices().len(), world.endpoint.get()), (1, None));
}

#[tokio::test]
async fn only_what_was_approved_and_has_passed_the_gate_is_deployed() {
    type Change = fn(&mut ModelPackage);
    let table: [(Change, &str); 6] = [
        (
            |package| package.approval = ApprovalStatus::PendingManualApproval,
            "churn-v7 is PendingManualApproval",
        ),
        (
            |package| package.approval = ApprovalStatus::Rejected,
            "churn-v7 is Rejected in the model registry",
        ),
        (
            |package| drop(package.metadata.insert(key::GATE.into(), "not held".into())),
            "churn-v7 has not passed the gate",
        ),
        (
            |package| drop(package.metadata.remove(key::GATE)),
            "churn-v7 has not passed the gate",
        ),
        (|package| package.containers.clear(), "churn-v7 has 0 containers"),
        (
            |package| package.containers.push(package.containers[0].clone()),
            "churn-v7 has 2 containers",
        ),
    ];
    for (change, words) in table {
        for world in [World::new(), World::serving()] {
            world.change(change);
            let before = world.endpoint.get();
            let failure = failure(world.handle(JOB).await);
            assert_eq!(failure.kind, FailureType::ConfigurationError, "{words}");
            assert!(failure.message.contains(words), "{}", failure.message);
            assert!(world.is_untouched() && world.endpoint.get() == before);
        }
    }
}

#[tokio::test]
async fn wrong_parameters_fail_the_job() {
    let parameters = |text: Value| {
        let mut event: Value = serde_json::from_str(JOB).unwrap();
        event["CodePipeline.job"]["data"]["actionConfiguration"]["configuration"]["UserParameters"] = text;
        event.to_string()
    };
    let with = |package: &str, release: &str| {
        parameters(json!({"modelPackage": package, "release": release}).to_string().into())
    };
    let other = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/other/7";
    for (event, kind, words) in [
        (
            parameters(Value::Null),
            FailureType::ConfigurationError,
            "UserParameters are missing",
        ),
        (
            parameters("main".into()),
            FailureType::ConfigurationError,
            "UserParameters are wrong",
        ),
        (
            parameters("{}".into()),
            FailureType::ConfigurationError,
            "missing field `release`",
        ),
        (
            with(&arn(7).to_string(), "1"),
            FailureType::ConfigurationError,
            "`1` is not a CodePipeline execution id",
        ),
        (
            with("churn/7", RELEASE),
            FailureType::ConfigurationError,
            "`churn/7` is not the ARN",
        ),
        (
            with(other, RELEASE),
            FailureType::ConfigurationError,
            "a version of `other`, not of `churn`",
        ),
        (
            with(&arn(99).to_string(), RELEASE),
            FailureType::JobFailed,
            "Could not find model package",
        ),
    ] {
        let world = World::serving();
        let failure = failure(world.handle(&event).await);
        assert_eq!(failure.kind, kind, "{words}");
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(world.is_untouched());
    }
}

/// An endpoint that refuses to be created or updated.
struct Refusing<'a>(&'a OneEndpoint, ErrorKind);

impl Refusing<'_> {
    fn refuse(&self, operation: &'static str) -> Result<(), AwsError> {
        Err(AwsError::new(operation, self.1, "Code", "the service's words"))
    }
}

impl ReadEndpoints for Refusing<'_> {
    async fn endpoint(&self, name: &str) -> Result<Option<Endpoint>, AwsError> {
        self.0.endpoint(name).await
    }
}

impl MakeConfigs for Refusing<'_> {
    async fn make_model(&self, name: &str, container: &Container, role_arn: &str) -> Result<(), AwsError> {
        self.0.make_model(name, container, role_arn).await
    }

    async fn make_config(&self, config: &NewConfig) -> Result<Option<Timestamp>, AwsError> {
        self.0.make_config(config).await
    }
}

impl CreateEndpoints for Refusing<'_> {
    async fn create(&self, _name: &str, _config: &str) -> Result<(), AwsError> {
        self.refuse("sagemaker:CreateEndpoint")
    }
}

impl UpdateEndpoints for Refusing<'_> {
    async fn update(&self, _name: &str, _config: &str, _plan: &Plan) -> Result<(), AwsError> {
        self.refuse("sagemaker:UpdateEndpoint")
    }
}

#[tokio::test]
async fn each_kind_of_refusal_has_its_answer() {
    for world in [World::new(), World::serving()] {
        // Somebody was faster, or AWS is busy: CodePipeline calls again.
        for kind in [ErrorKind::Busy, ErrorKind::Exists, ErrorKind::Transient] {
            let (token, summary) = going(world.handle_with(&Refusing(&world.endpoint, kind), JOB).await);
            assert_ne!(token, ASKED, "{kind:?}: nothing was asked for");
            assert!(summary.contains("the service's words"), "{kind:?}: {summary}");
            assert!(world.notices().is_empty());
        }
        for (kind, expected, told) in [
            (ErrorKind::Denied, FailureType::PermissionError, 0),
            (ErrorKind::Other, FailureType::JobFailed, 0),
            (ErrorKind::Invalid, FailureType::ConfigurationError, 1),
        ] {
            let failure = failure(world.handle_with(&Refusing(&world.endpoint, kind), JOB).await);
            assert_eq!(failure.kind, expected, "{kind:?}");
            assert!(failure.message.contains("the service's words"), "{}", failure.message);
            assert_eq!(world.notices().len(), told, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_job_that_was_answered_before_is_done() {
    let world = World {
        jobs: JobAnswers::refusing("InvalidJobStateException"),
        ..World::serving()
    };
    let clock = time(NOW);
    let ports = Ports {
        registry: &world.packages,
        endpoints: &world.endpoint,
        alarms: &world.alarms,
        notices: &world.topics,
        clock: &clock,
    };
    handle(&world.settings, &world.jobs, &ports, serde_json::from_str(JOB).unwrap())
        .await
        .unwrap();
    let unanswered = JobAnswers::refusing("ThrottlingException");
    let error = handle(&world.settings, &unanswered, &ports, serde_json::from_str(JOB).unwrap())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("codepipeline:PutJobSuccessResult"),
        "Lambda tries again: {error}"
    );
    let error = handle(&world.settings, &world.jobs, &ports, json!({"Records": []}))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "not a CodePipeline job event");
}
