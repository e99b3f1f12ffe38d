use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Waker};

use jiff::Timestamp;
use serde_json::json;
use signalbox_aws::configurations::{Changes, NewConfig, tag};
use signalbox_aws::error::{AwsError, ErrorKind};
use signalbox_aws::memory::{
    JobAnswers, OneEndpoint, OneKey, Packages, ReleaseTrain, ScaledVariants, SomeAlarms, Tally, Topics,
};
use signalbox_model::capacity::{Capacity, Scaling};
use signalbox_model::endpoint::{Endpoint, Pending, Status};
use signalbox_model::job::FailureType;
use signalbox_model::package::{ApprovalStatus, Container, ModelPackage, Outcome, key};
use signalbox_model::rollout::{Plan, Policy, Routing, Strategy, Traffic, Update};

use super::*;

mod approval;
mod clear;
mod ends;
mod release;
mod rollback;
mod scaling;
mod settings;

const JOB: &str = include_str!("../../../events/update-endpoint-job.json");
const CONTINUATION: &str = include_str!("../../../events/update-endpoint-continuation.json");
const ROLLBACK: &str = include_str!("../../../events/update-endpoint-rollback.json");

const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
/// A configuration of somebody else's.
const THIRD: &str = "churn-v8-00000008";
/// The configurations of versions 5, 6 and 7, each of which has replaced the one before it.
const OLDER: &str = "churn-v5-76543210";
const OLD: &str = "churn-v6-89abcdef";
const NEW: &str = "churn-v7-01234567";
const NOW: &str = "2026-03-01T12:30:00Z";

const CANARY: &str =
    "Baking for 600 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s).";
const FULL: &str =
    "Baking for 600 seconds (TerminationWaitInSeconds) with traffic enabled on full capacity of 4 instance(s).";
/// How a release that has come to a good end is answered.
const DONE: &str = "churn-v7 serves all traffic, by churn-v7-01234567";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn arn(version: u32) -> ModelPackageArn {
    format!("arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/{version}")
        .parse()
        .unwrap()
}

/// A configuration with one variant of four instances.
fn config(name: &str, model: &str, replaces: Option<&str>) -> NewConfig {
    NewConfig {
        name: name.to_owned(),
        base: None,
        changes: Some(Changes {
            variant: "AllTraffic".into(),
            model: model.to_owned(),
            instance_type: "ml.m5.large".into(),
            instance_count: 4,
            volume_gb: None,
            volume_key: None,
            capture: None,
        }),
        tags: replaces
            .map(|replaced| (tag::REPLACES.to_owned(), replaced.to_owned()))
            .into_iter()
            .collect(),
    }
}

/// A topic that can be out of order.
#[derive(Default)]
struct Voice {
    topics: Topics,
    lost: bool,
}

impl Publish for Voice {
    async fn publish(
        &self,
        topic_arn: &str,
        notice: &Notice,
        attributes: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        if self.lost {
            return Err(AwsError::new(
                "sns:Publish",
                ErrorKind::Transient,
                "Throttled",
                "no voice",
            ));
        }
        self.topics.publish(topic_arn, notice, attributes).await
    }
}

struct World {
    settings: Settings,
    jobs: JobAnswers,
    packages: Packages,
    endpoint: OneEndpoint,
    alarms: SomeAlarms,
    voice: Voice,
    releases: ReleaseTrain,
    scaling: ScaledVariants,
    tally: Tally,
    now: Timestamp,
}

impl Tools for World {
    type Registry = Packages;
    type Endpoints = OneEndpoint;
    type Alarms = SomeAlarms;
    type Notices = Voice;
    type Rollbacks = ReleaseTrain;
    type Scaling = ScaledVariants;
    type Macs = OneKey;
    type Counts = Tally;
    type Clock = Timestamp;

    fn registry(&self) -> &Packages {
        &self.packages
    }

    fn endpoints(&self) -> &OneEndpoint {
        &self.endpoint
    }

    fn alarms(&self) -> &SomeAlarms {
        &self.alarms
    }

    fn notices(&self) -> &Voice {
        &self.voice
    }

    fn rollbacks(&self) -> &ReleaseTrain {
        &self.releases
    }

    fn scaling(&self) -> &ScaledVariants {
        &self.scaling
    }

    fn macs(&self) -> &OneKey {
        &OneKey
    }

    fn counts(&self) -> &Tally {
        &self.tally
    }

    fn clock(&self) -> &Timestamp {
        &self.now
    }
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
            unguarded_serverless: false,
        };
        let settings = Settings {
            model: "churn".parse().unwrap(),
            group: "arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/churn"
                .parse()
                .unwrap(),
            notices_topic_arn: "arn:aws:sns:eu-west-1:123456789012:churn-notices".into(),
            tells_each_shift: true,
            release_pipeline: "churn-release".into(),
            rollback_pipeline: "churn-rollback".into(),
            page_url: "https://page.example/".into(),
            execution_role_arn: "arn:aws:iam::123456789012:role/churn-sagemaker-eu-west-1".into(),
            variant_name: "AllTraffic".into(),
            instance_type: "ml.m5.large".into(),
            capacity: Capacity {
                count: 4,
                scaling: None,
            },
            volume_gb: None,
            volume_key: None,
            capture: None,
            network: None,
            rollout,
            keep_previous: 2,
        };
        let world = Self {
            settings,
            jobs: JobAnswers::default(),
            packages: Packages::default(),
            endpoint: OneEndpoint::default(),
            alarms: SomeAlarms::new(&[("churn-5xx", false), ("churn-latency", false)]),
            voice: Voice::default(),
            releases: ReleaseTrain::default(),
            scaling: ScaledVariants::default(),
            tally: Tally::default(),
            now: time(NOW),
        };
        let metadata = [
            (key::GATE, "held: metrics.accuracy = 0.93"),
            (key::COMMIT, "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a"),
            (key::DECIDED_BY, "ada@example.com"),
            (key::DECIDED_AT, "2026-03-01T12:20:44Z"),
            (key::DECISION, "01234567: approved 2026-03-01T12:20:44Z"),
        ];
        world.packages.put(ModelPackage {
            arn: arn(7),
            approval: ApprovalStatus::Approved,
            approval_description: Some("approved by ada@example.com: fine".into()),
            metrics_uri: None,
            generated_by: None,
            metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            containers: vec![Container {
                image: "image".into(),
                model_data_url: Some("s3://bucket/training/model.tar.gz".into()),
                environment: BTreeMap::new(),
            }],
            created_at: None,
            modified_at: None,
            modified_by: None,
        });
        world
    }

    /// The same, and version 6 serves, which has replaced version 5.
    fn serving() -> Self {
        let world = Self::new();
        for version in [5, 6] {
            let package = world.package(7);
            world.packages.put(ModelPackage {
                arn: arn(version),
                metadata: BTreeMap::from([(key::OUTCOME.to_owned(), "deployed".to_owned())]),
                ..package
            });
            world
                .endpoint
                .put_model(&format!("churn-v{version}"), Default::default());
        }
        let older = config(OLDER, "churn-v5", None);
        world.endpoint.put_config(older, time("2026-03-01T10:00:00Z"));
        let old = config(OLD, "churn-v6", Some(OLDER));
        world.endpoint.put_config(old, time("2026-03-01T11:00:00Z"));
        world.set(Status::InService, OLD, None);
        world
    }

    /// The same, and version 7 was released after it.
    fn deployed() -> Self {
        let world = Self::serving();
        let new = config(NEW, "churn-v7", Some(OLD));
        world.endpoint.put_config(new, time("2026-03-01T12:20:00Z"));
        world.endpoint.put_model("churn-v7", Default::default());
        world.set(Status::InService, NEW, None);
        world.change(7, |package| {
            package.metadata.insert(key::OUTCOME.into(), "deployed".into());
            package.metadata.insert(key::RELEASE.into(), RELEASE.into());
            package.metadata.insert(key::REASON.into(), format!("served by {NEW}"));
        });
        world
    }

    fn set(&self, status: Status, config: &str, pending: Option<Pending>) {
        self.endpoint.set(Endpoint {
            status,
            config: config.into(),
            failure_reason: None,
            pending,
            modified_at: Some(time("2026-03-01T12:25:00Z")),
            desired_counts: vec![("AllTraffic".into(), 4)],
        });
    }

    /// The version serves since the last look.
    fn serves(&self) {
        self.set(Status::InService, NEW, None);
    }

    fn failed_because(&self, reason: Option<&str>) {
        let mut endpoint = self.endpoint.get().unwrap();
        endpoint.failure_reason = reason.map(str::to_owned);
        self.endpoint.set(endpoint);
    }

    fn change(&self, version: u32, change: impl FnOnce(&mut ModelPackage)) {
        let mut package = self.package(version);
        change(&mut package);
        self.packages.put(package);
    }

    fn package(&self, version: u32) -> ModelPackage {
        self.packages.get(&arn(version)).unwrap()
    }

    fn outcome(&self, version: u32) -> Option<Outcome> {
        self.package(version).outcome()
    }

    /// Handles a job and returns how it was answered.
    async fn handle(&self, event: &str) -> Result<Answer, Failure> {
        let before = self.jobs.given().len();
        handle(&self.settings, &self.jobs, self, serde_json::from_str(event).unwrap())
            .await
            .unwrap();
        let given = self.jobs.given();
        assert_eq!(given.len(), before + 1, "each job has one answer");
        given.last().unwrap().clone()
    }

    /// Handles a job, until it has made so many calls: before the next the function dies. Says whether it came to its end.
    fn handle_and_die(&self, calls: usize, event: &str) -> bool {
        let event = serde_json::from_str(event).unwrap();
        let mut handling = pin!(handle(&self.settings, &self.jobs, self, event));
        let mut context = Context::from_waker(Waker::noop());
        // Each call of a twin's lets others go first, once.
        (0..=calls).any(|_| handling.as_mut().poll(&mut context).is_ready())
    }

    fn notices(&self) -> Vec<String> {
        let published = self.voice.topics.published();
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        published
            .iter()
            .map(|p| format!("{}: {}", p.notice.subject(), one_line(p.notice.body())))
            .collect()
    }

    fn subjects(&self) -> Vec<String> {
        let published = self.voice.topics.published();
        published
            .iter()
            .map(|p| p.notice.subject().trim_start_matches("[signalbox] churn ").to_owned())
            .collect()
    }

    /// The configuration of that name.
    fn config(&self, name: &str) -> NewConfig {
        let found = self.endpoint.configs().into_iter().find(|config| config.name == name);
        found.unwrap_or_else(|| panic!("there is no configuration {name}"))
    }

    /// The names of all configurations, in the alphabet's order.
    fn configs(&self) -> Vec<String> {
        self.endpoint.configs().into_iter().map(|config| config.name).collect()
    }

    /// Nothing was made for a release, and what served serves.
    fn is_untouched(&self) -> bool {
        let ours = |name: &String| name == NEW || name == "churn-v7";
        !self.configs().iter().any(ours)
            && !self.endpoint.models().keys().any(ours)
            && self.endpoint.updates().is_empty()
    }
}

/// A deployment of the configuration in that phase, of four instances.
fn pending(config: &str, phase: &str, message: &str) -> Option<Pending> {
    Some(Pending {
        config: config.into(),
        phase: Some(phase.into()),
        message: Some(message.into()),
        since: Some(time("2026-03-01T12:26:00Z")),
        desired_count: Some(4),
    })
}

/// The job with other user parameters, and with that continuation token.
fn job(parameters: Value, token: Option<&str>) -> String {
    let mut event: Value = serde_json::from_str(JOB).unwrap();
    let data = &mut event["CodePipeline.job"]["data"];
    data["actionConfiguration"]["configuration"]["UserParameters"] = parameters;
    if let Some(token) = token {
        data["continuationToken"] = token.into();
    }
    event.to_string()
}

/// The same job again, with the token that the answer has left.
fn again(event: &str, token: &str) -> String {
    let mut event: Value = serde_json::from_str(event).unwrap();
    event["CodePipeline.job"]["data"]["continuationToken"] = token.into();
    event.to_string()
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

fn asked(token: &str) -> bool {
    Progress::parse(Some(token)).asked
}

/// The summary of an answer that is done.
fn done(answer: Result<Answer, Failure>) -> String {
    match answer {
        Ok(Answer::Done { summary, .. }) => summary,
        other => panic!("{other:?}"),
    }
}

fn failure(answer: Result<Answer, Failure>) -> Failure {
    match answer {
        Err(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[tokio::test]
async fn wrong_parameters_fail_the_job() {
    let with = |package: &str, release: &str| {
        job(
            json!({"modelPackage": package, "release": release}).to_string().into(),
            None,
        )
    };
    let text = |parameters: Value| job(parameters.to_string().into(), None);
    let other = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/other/7";
    let wrong = FailureType::ConfigurationError;
    for (event, kind, words) in [
        (job(Value::Null, None), wrong, "UserParameters are missing"),
        (job("main".into(), None), wrong, "UserParameters are wrong"),
        (job("{}".into(), None), wrong, "missing field `release`"),
        (
            with(&arn(7).to_string(), "1"),
            wrong,
            "`1` is not a CodePipeline execution id",
        ),
        (with("churn/7", RELEASE), wrong, "`churn/7` is not the ARN"),
        (with(other, RELEASE), wrong, "a version of `other`, not of `churn`"),
        (
            with(&arn(99).to_string(), RELEASE),
            FailureType::JobFailed,
            "Could not find model package",
        ),
        (
            text(json!({"release": RELEASE})),
            wrong,
            "`modelPackage` (to release a version) or `undoes` (to take one back)",
        ),
        (
            text(json!({"release": RELEASE, "modelPackage": arn(7), "undoes": "7"})),
            wrong,
            "`modelPackage` (to release a version) or `undoes` (to take one back)",
        ),
        (
            text(json!({"release": RELEASE, "undo": "7"})),
            wrong,
            "unknown field `undo`",
        ),
        (
            text(json!({"release": RELEASE, "undoes": "the last one"})),
            wrong,
            "the variable Undoes is wrong: `the last one` is neither `serving` nor the number of a version",
        ),
        (
            text(json!({"release": RELEASE, "undoes": "nothing"})),
            wrong,
            "the variable Undoes is wrong: it names nothing to take back",
        ),
        (
            text(json!({"release": RELEASE, "undoes": ""})),
            wrong,
            "the variable Undoes is wrong",
        ),
    ] {
        let world = World::serving();
        let failure = failure(world.handle(&event).await);
        assert_eq!(failure.kind, kind, "{words}");
        contains(&failure.message, &[words]);
        assert!(world.is_untouched() && world.notices().is_empty());
    }
}

#[tokio::test]
async fn a_job_that_was_answered_before_is_done() {
    for event in [JOB, ROLLBACK] {
        let world = World {
            jobs: JobAnswers::refusing("InvalidJobStateException"),
            ..World::serving()
        };
        let event = || serde_json::from_str(event).unwrap();
        handle(&world.settings, &world.jobs, &world, event()).await.unwrap();
        let unanswered = JobAnswers::refusing("ThrottlingException");
        let error = handle(&world.settings, &unanswered, &world, event()).await.unwrap_err();
        // Lambda tries again.
        contains(&error.to_string(), &["codepipeline:PutJobSuccessResult"]);
        let error = handle(&world.settings, &world.jobs, &world, json!({"Records": []})).await;
        assert_eq!(error.unwrap_err().to_string(), "not a CodePipeline job event");
    }
}
