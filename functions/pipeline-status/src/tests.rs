use serde_json::json;
use signalbox_aws::error::{AwsError, ErrorKind};
use signalbox_aws::memory::{Objects, OneEndpoint, Packages, ReleaseTrain, Tally, Topics, Trainings};
use signalbox_aws::registry::PackageSummary;
use signalbox_aws::releases::Waiting;
use signalbox_aws::storage::ObjectUri;
use signalbox_model::lineage::{Trigger, Window};
use signalbox_model::names::ReleaseId;
use signalbox_model::training::{Execution, Status, Step};

use super::*;

const SUCCEEDED: &str = include_str!("../../../events/pipeline-status-succeeded.json");
const FAILED: &str = include_str!("../../../events/pipeline-status-failed.json");
const STOPPED: &str = include_str!("../../../events/pipeline-status-stopped.json");
const REGISTERED: &str = include_str!("../../../events/pipeline-status-registered.json");
const SWEEP: &str = include_str!("../../../events/pipeline-status-sweep.json");

/// A release that waits for its approval.
const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
const COMMIT: &str = "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a";
const DEFAULT_GATE: &str = "champion == null || metrics.accuracy > champion.accuracy";

/// Everything that the handler sees and does.
struct World {
    settings: Settings,
    trainings: Trainings,
    packages: Packages,
    objects: Objects,
    releases: ReleaseTrain,
    endpoint: OneEndpoint,
    topics: Topics,
    tally: Tally,
}

impl World {
    fn new() -> Self {
        let settings = Settings {
            model: "churn".parse().unwrap(),
            bucket: "bucket".into(),
            release_pipeline: "churn-release".into(),
            notices_topic_arn: "arn:aws:sns:eu-west-1:123456789012:churn-notices".into(),
            accuracy_threshold: 0.85,
            gate: DEFAULT_GATE.into(),
            supersede: true,
        };
        Self {
            settings,
            trainings: Trainings::default(),
            packages: Packages::default(),
            objects: Objects::default(),
            releases: ReleaseTrain::default(),
            endpoint: OneEndpoint::default(),
            topics: Topics::default(),
            tally: Tally::default(),
        }
    }

    /// Registers a version with that evaluation report.
    fn register(&self, version: u32, report: &str) -> ModelPackage {
        self.objects.put(&report_uri(version), report);
        let package = ModelPackage {
            arn: arn(version),
            approval: ApprovalStatus::PendingManualApproval,
            approval_description: None,
            metrics_uri: Some(report_uri(version)),
            generated_by: None,
            metadata: BTreeMap::new(),
            containers: Vec::new(),
            created_at: None,
            modified_at: None,
            modified_by: None,
        };
        self.packages.put(package.clone());
        package
    }

    /// A version that serves.
    fn champion(&self, version: u32, report: &str) {
        let mut package = self.register(version, report);
        package.approval = ApprovalStatus::Approved;
        package.metadata.insert(key::OUTCOME.into(), "deployed".into());
        self.packages.put(package);
    }

    /// Puts the execution there that the event is about.
    fn train(&self, event: &str, status: Status, steps: Vec<Step>) -> String {
        let event: Value = serde_json::from_str(event).unwrap();
        let arn = event["detail"]["pipelineExecutionArn"].as_str().unwrap().to_owned();
        let description = event["detail"]["pipelineExecutionDescription"]
            .as_str()
            .map(str::to_owned);
        let failure_reason =
            (status == Status::Failed).then(|| "Step failure: One or multiple steps failed.".to_owned());
        self.trainings.put(
            Execution {
                arn: arn.clone(),
                status,
                description,
                started_at: None,
                failure_reason,
            },
            steps,
        );
        arn
    }

    async fn handle(&self, event: &str) -> Result<Value, anyhow::Error> {
        self.handle_with(&self.objects, serde_json::from_str(event).unwrap())
            .await
    }

    async fn handle_with(&self, objects: &impl ReadObjects, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            pipelines: &self.trainings,
            registry: &self.packages,
            objects,
            releases: &self.releases,
            endpoints: &self.endpoint,
            notices: &self.topics,
            counts: &self.tally,
        };
        handle(&self.settings, &ports, event).await
    }

    /// Subjects and texts of the notices, with the line breaks taken out.
    fn notices(&self) -> Vec<String> {
        let published = self.topics.published();
        assert!(
            published
                .iter()
                .all(|published| published.topic_arn == self.settings.notices_topic_arn)
        );
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        published
            .iter()
            .map(|p| format!("{}: {}", p.notice.subject(), one_line(p.notice.body())))
            .collect()
    }

    /// A release of the version waits for its approval.
    fn wait(&self, version: u32) {
        let waits = Waiting {
            release: RELEASE.parse().unwrap(),
            token: "1a2b3c4d-573f-4ea7-a67e-9d2a4e0d5b57".into(),
            since: None,
        };
        self.releases.wait(waits, arn(version));
    }

    fn answered(&self) -> Option<(bool, String)> {
        let release: ReleaseId = RELEASE.parse().unwrap();
        self.releases.answer_of(&release)
    }

    async fn handled(&self, arn: &str) -> bool {
        self.trainings.execution(arn).await.unwrap().lineage().handled
    }
}

fn arn(version: u32) -> ModelPackageArn {
    format!("arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/{version}")
        .parse()
        .unwrap()
}

fn report_uri(version: u32) -> String {
    format!("s3://bucket/training/execution-{version}/evaluation/evaluation.json")
}

fn accuracy(value: f64) -> String {
    json!({"metrics": {"accuracy": value}}).to_string()
}

fn step(name: &str, status: &str, reason: Option<&str>, registered: Option<u32>) -> Step {
    Step {
        name: name.into(),
        status: status.into(),
        failure_reason: reason.map(str::to_owned),
        registered: registered.map(|version| arn(version).to_string()),
        started_at: None,
        ended_at: None,
        trains: false,
        job: None,
    }
}

/// A step that trains from nine o'clock on, until then; it goes on where that is not known.
fn trains(until: Option<&str>) -> Step {
    let time = |time: &str| time.parse().ok();
    Step {
        started_at: time("2026-03-01T09:00:00Z"),
        ended_at: until.and_then(time),
        trains: true,
        ..step("Train", "Succeeded", None, None)
    }
}

fn registers(version: u32) -> Step {
    step("Register", "Succeeded", None, Some(version))
}

#[tokio::test]
async fn a_version_that_passes_is_released_once_however_often_it_is_told() {
    for (champion, verdict) in [(None, "held"), (Some(0.91), "held: metrics.accuracy = 0.93")] {
        let world = World::new();
        world.register(7, &accuracy(0.93));
        if let Some(champion) = champion {
            world.champion(6, &accuracy(champion));
        }
        let execution = world.train(
            SUCCEEDED,
            Status::Succeeded,
            vec![step("Train", "Succeeded", None, None), registers(7)],
        );
        for _ in 0..2 {
            world.handle(SUCCEEDED).await.unwrap();
        }
        assert_eq!(world.releases.started(), [arn(7)]);
        assert_eq!(world.notices(), Vec::<String>::new());
        assert!(world.handled(&execution).await);
        let package = world.packages.get(&arn(7)).unwrap();
        assert_eq!(
            package.approval,
            ApprovalStatus::PendingManualApproval,
            "passing the gate approves nothing"
        );
        assert!(package.gate_held() && package.outcome().is_none());
        assert_eq!(
            (package.lineage().trigger, package.lineage().commit.as_deref()),
            (Trigger::Push, Some(COMMIT))
        );
        assert!(
            package.metadata[key::GATE].starts_with(verdict),
            "{}",
            package.metadata[key::GATE]
        );
    }
}

/// When it was last changed tells which of two decisions on it came first.
struct WrittenOnce<'a>(&'a Packages);

impl ReadPackages for WrittenOnce<'_> {
    async fn package(&self, arn: &ModelPackageArn) -> Result<ModelPackage, AwsError> {
        self.0.package(arn).await
    }

    async fn newest_packages(
        &self,
        group: &str,
        approval: Option<ApprovalStatus>,
        count_max: u8,
    ) -> Result<Vec<PackageSummary>, AwsError> {
        self.0.newest_packages(group, approval, count_max).await
    }
}

impl WritePackages for WrittenOnce<'_> {
    async fn decide(
        &self,
        _arn: &ModelPackageArn,
        _approval: ApprovalStatus,
        _description: &str,
        _metadata: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        panic!("nothing is decided here")
    }

    async fn mark(&self, arn: &ModelPackageArn, metadata: &BTreeMap<String, String>) -> Result<(), AwsError> {
        let before = self.0.get(arn).unwrap().metadata;
        assert!(!before.contains_key(key::GATE), "written again: {metadata:?}");
        self.0.mark(arn, metadata).await
    }
}

#[tokio::test]
async fn a_version_that_is_judged_again_is_not_written_again() {
    let mut world = World::new();
    // SageMaker keeps the verdict with other characters than it was written with.
    world.settings.gate = "metrics.accuracy > 0.9 && metrics.f1 >= 0.5".into();
    world.register(7, &json!({"metrics": {"accuracy": 0.93, "f1": 0.5}}).to_string());
    let execution = world.train(
        SUCCEEDED,
        Status::Succeeded,
        vec![trains(Some("2026-03-01T09:01:30Z")), registers(7)],
    );
    let description = world.trainings.execution(&execution).await.unwrap().description;
    let registry = WrittenOnce(&world.packages);
    let ports = Ports {
        pipelines: &world.trainings,
        registry: &registry,
        objects: &world.objects,
        releases: &world.releases,
        endpoints: &world.endpoint,
        notices: &world.topics,
        counts: &world.tally,
    };
    for _ in 0..2 {
        let event = serde_json::from_str(SUCCEEDED).unwrap();
        handle(&world.settings, &ports, event).await.unwrap();
        // As if the function had died before it noted that.
        world
            .trainings
            .describe(&execution, description.as_deref().unwrap())
            .await
            .unwrap();
    }
    assert!(world.packages.get(&arn(7)).unwrap().gate_held());
    assert_eq!(world.releases.started(), [arn(7)]);
}

#[tokio::test]
async fn how_long_its_training_took_is_kept() {
    for (steps, expected) in [
        (vec![trains(Some("2026-03-01T09:01:30Z")), registers(7)], Some("90")),
        (
            vec![
                trains(Some("2026-03-01T09:01:30Z")),
                trains(Some("2026-03-01T09:00:30Z")),
                registers(7),
            ],
            Some("120"),
        ),
        (vec![trains(None), registers(7)], None),
        (vec![registers(7)], None),
    ] {
        for report in [accuracy(0.93), accuracy(0.5)] {
            let world = World::new();
            world.register(7, &report);
            world.train(SUCCEEDED, Status::Succeeded, steps.clone());
            world.handle(SUCCEEDED).await.unwrap();
            let package = world.packages.get(&arn(7)).unwrap();
            let kept = package.metadata.get(key::TRAINED_SECONDS).map(String::as_str);
            assert_eq!(kept, expected);
        }
    }
}

#[tokio::test]
async fn a_version_that_passes_takes_the_place_of_an_older_one_that_waits() {
    type Change = fn(&mut World);
    let table: [(&str, u32, Change, bool); 6] = [
        ("an older one waits", 6, |_| {}, true),
        ("switched off", 6, |world| world.settings.supersede = false, false),
        (
            "it does not pass",
            6,
            |world| world.settings.gate = "false".into(),
            false,
        ),
        (
            "somebody has decided on the older one",
            6,
            |world| {
                let mut package = world.packages.get(&arn(6)).unwrap();
                package.approval = ApprovalStatus::Approved;
                world.packages.put(package);
            },
            false,
        ),
        ("its own release waits", 7, |_| {}, false),
        ("a newer one waits", 8, |_| {}, false),
    ];
    for (what, waits, change, makes_way) in table {
        let mut world = World::new();
        for version in [6, 7, 8] {
            world.register(version, &accuracy(0.93));
        }
        world.wait(waits);
        change(&mut world);
        let before = world.packages.get(&arn(waits)).unwrap();
        world.train(SUCCEEDED, Status::Succeeded, vec![registers(7)]);
        for _ in 0..2 {
            world.handle(SUCCEEDED).await.unwrap();
        }
        let answer = makes_way.then(|| (false, "superseded by v7".to_owned()));
        assert_eq!(world.answered(), answer, "{what}");
        let passes = what != "it does not pass";
        assert_eq!(world.releases.started().len(), usize::from(passes), "{what}");
        // The pipeline's event tells people, and marks the older one.
        assert_eq!(world.notices().len(), usize::from(!passes), "{what}");
        if waits != 7 {
            assert_eq!(world.packages.get(&arn(waits)).unwrap(), before, "{what}");
        }
    }
}

#[tokio::test]
async fn a_version_that_does_not_pass_is_rejected_and_told_once_with_the_numbers() {
    for (report, champion, gate, words) in [
        (
            accuracy(0.90),
            Some(0.95),
            DEFAULT_GATE,
            &["metrics.accuracy = 0.9", "champion.accuracy = 0.95"][..],
        ),
        (
            accuracy(0.95),
            Some(0.95),
            DEFAULT_GATE,
            &["not held", "champion.accuracy = 0.95"],
        ),
        (
            accuracy(0.80),
            None,
            DEFAULT_GATE,
            &["accuracy 0.8 is not greater than the threshold 0.85"],
        ),
        (
            accuracy(0.85),
            None,
            DEFAULT_GATE,
            &["accuracy 0.85 is not greater than the threshold 0.85"],
        ),
        (
            json!({"metrics": {"f1": 0.9}}).to_string(),
            None,
            DEFAULT_GATE,
            &["the evaluation report has no `accuracy`"],
        ),
        (
            "{\"metrics\": {\"accuracy\": NaN}}".into(),
            None,
            DEFAULT_GATE,
            &["evaluation.json can't be used", "not JSON"],
        ),
        (
            "{\"metrics\": {\"accuracy\": \"high\"}}".into(),
            None,
            DEFAULT_GATE,
            &["metric `accuracy`", "not a finite number"],
        ),
        ("{}".into(), Some(0.9), DEFAULT_GATE, &["holds no metrics"]),
        (
            accuracy(0.93),
            None,
            "metrics.accuracy >",
            &["does not parse", "mend the parameter GateExpression"],
        ),
        (
            accuracy(0.93),
            None,
            "metrics.recal > 0.5",
            &["names `metrics.recal`", "it has accuracy"],
        ),
        (
            accuracy(0.93),
            None,
            "metrics.accuracy",
            &["not true or false", "mend the parameter GateExpression"],
        ),
    ] {
        let mut world = World::new();
        world.settings.gate = gate.into();
        world.register(7, &report);
        if let Some(champion) = champion {
            world.champion(6, &accuracy(champion));
        }
        let execution = world.train(SUCCEEDED, Status::Succeeded, vec![registers(7)]);
        for _ in 0..2 {
            world.handle(SUCCEEDED).await.unwrap();
        }
        assert_eq!(world.releases.started(), [], "{words:?}");
        let package = world.packages.get(&arn(7)).unwrap();
        assert_eq!(
            (package.approval, package.outcome()),
            (ApprovalStatus::Rejected, Some(Outcome::GateNotMet)),
            "{words:?}"
        );
        assert!(!package.gate_held(), "{words:?}");
        let notices = world.notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(
            notices[0].starts_with("[signalbox] churn v7 gate not met"),
            "{notices:?}"
        );
        let description = package.approval_description.unwrap();
        for word in words {
            assert!(notices[0].contains(word), "{word}: {}", notices[0]);
            assert!(description.contains(word), "{word}: {description}");
        }
        assert!(world.handled(&execution).await);
    }
}

#[tokio::test]
async fn a_version_without_a_readable_report_is_rejected() {
    for (uri, words) in [
        (
            None,
            "ModelMetrics.ModelQuality.Statistics; the RegisterModel step has to set it",
        ),
        (Some("https://bucket/report"), "is not s3://BUCKET/KEY"),
        (Some("s3://bucket/absent.json"), "s3://bucket/absent.json can't be read"),
    ] {
        let world = World::new();
        let mut package = world.register(7, "{}");
        package.metrics_uri = uri.map(str::to_owned);
        world.packages.put(package);
        world.train(SUCCEEDED, Status::Succeeded, vec![registers(7)]);
        world.handle(SUCCEEDED).await.unwrap();
        assert_eq!(world.packages.get(&arn(7)).unwrap().approval, ApprovalStatus::Rejected);
        assert!(
            world
                .packages
                .get(&arn(7))
                .unwrap()
                .approval_description
                .unwrap()
                .contains(words),
            "{words}"
        );
        assert_eq!((world.releases.started().len(), world.notices().len()), (0, 1));
    }
}

#[tokio::test]
async fn a_champion_whose_report_is_gone_lets_nobody_pass_unseen() {
    let world = World::new();
    world.register(7, &accuracy(0.93));
    world.champion(6, "not a report");
    world.train(SUCCEEDED, Status::Succeeded, vec![registers(7)]);
    world.handle(SUCCEEDED).await.unwrap();
    assert_eq!(world.releases.started(), []);
    let notices = world.notices();
    assert!(
        notices.len() == 1 && notices[0].contains("there is nothing to compare with"),
        "{notices:?}"
    );
    assert_eq!(world.packages.get(&arn(7)).unwrap().approval, ApprovalStatus::Rejected);
}

#[tokio::test]
async fn each_registered_version_is_judged_by_itself() {
    let world = World::new();
    world.register(7, &accuracy(0.93));
    world.register(8, &accuracy(0.5));
    world.train(SUCCEEDED, Status::Succeeded, vec![registers(8), registers(7)]);
    world.handle(SUCCEEDED).await.unwrap();
    assert_eq!(world.releases.started(), [arn(7)]);
    assert_eq!(world.packages.get(&arn(8)).unwrap().approval, ApprovalStatus::Rejected);
    assert_eq!(world.notices().len(), 1);
}

#[tokio::test]
async fn a_version_whose_release_has_ended_is_not_judged_again() {
    let world = World::new();
    let mut package = world.register(7, &accuracy(0.5));
    package.metadata.insert(key::OUTCOME.into(), "rolled-back".into());
    world.packages.put(package.clone());
    let execution = world.train(SUCCEEDED, Status::Succeeded, vec![registers(7)]);
    world.handle(SUCCEEDED).await.unwrap();
    assert_eq!(world.packages.get(&arn(7)), Some(package));
    assert_eq!((world.releases.started().len(), world.notices().len()), (0, 0));
    assert!(world.handled(&execution).await);
}

#[tokio::test]
async fn a_training_without_a_version_is_told_once_with_step_and_reason() {
    let trained = || step("Train", "Succeeded", None, None);
    let failed = step("Evaluate", "Failed", Some("AlgorithmError: exit code: 1"), None);
    for (event, status, steps, words) in [
        (
            FAILED,
            Status::Failed,
            vec![trained(), failed],
            &["Step: Evaluate", "AlgorithmError: exit code: 1"][..],
        ),
        (
            FAILED,
            Status::Failed,
            vec![trained()],
            &["Step failure: One or multiple steps failed."],
        ),
        (
            STOPPED,
            Status::Stopped,
            vec![step("Train", "Stopped", None, None)],
            &["somebody stopped the execution"],
        ),
        (
            SUCCEEDED,
            Status::Succeeded,
            vec![trained()],
            &["the pipeline ended well but registered no version"],
        ),
    ] {
        let world = World::new();
        let execution = world.train(event, status, steps);
        for _ in 0..2 {
            world.handle(event).await.unwrap();
        }
        let notices = world.notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        for word in words
            .iter()
            .chain(&["[signalbox] churn training failed", COMMIT, execution.as_str()])
        {
            assert!(notices[0].contains(word), "{word}: {}", notices[0]);
        }
        assert!(world.handled(&execution).await);
        assert_eq!(world.releases.started(), []);
    }
}

#[tokio::test]
async fn the_notice_has_the_numbers_where_the_training_came_that_far() {
    for (report, words) in [
        (Some("{\"metrics\": {\"accuracy\": 0.71}}"), "accuracy: 0.7100"),
        (
            Some("{\"metrics\": {\"accuracy\": NaN}}"),
            "registered no version. The evaluation: the evaluation report is not JSON",
        ),
        (None, "There are no metrics"),
    ] {
        let world = World::new();
        let execution = world.train(
            SUCCEEDED,
            Status::Succeeded,
            vec![step("Evaluate", "Succeeded", None, None)],
        );
        if let Some(report) = report {
            let id = execution.rsplit('/').next().unwrap();
            world
                .objects
                .put(&format!("s3://bucket/training/{id}/evaluation/evaluation.json"), report);
        }
        world.handle(SUCCEEDED).await.unwrap();
        assert!(world.notices()[0].contains(words), "{words}: {:?}", world.notices());
    }
}

#[tokio::test]
async fn an_execution_that_goes_on_is_left_alone() {
    // An event that comes late or too early: what counts is the execution as it is.
    for status in [Status::Executing, Status::Stopping] {
        let world = World::new();
        world.register(7, &accuracy(0.93));
        let execution = world.train(SUCCEEDED, status, vec![registers(7)]);
        world.handle(SUCCEEDED).await.unwrap();
        assert_eq!((world.releases.started().len(), world.notices().len()), (0, 0));
        assert!(!world.handled(&execution).await);
    }
}

#[tokio::test]
async fn a_notebooks_execution_is_the_registrys_and_keeps_its_description() {
    let world = World::new();
    world.register(7, &accuracy(0.93));
    let event = SUCCEEDED.replace(
        "\"pipelineExecutionDescription\": \"",
        "\"pipelineExecutionDescription\": \"by hand ",
    );
    let execution = world.train(&event, Status::Succeeded, vec![registers(7)]);
    world.handle(&event).await.unwrap();
    assert_eq!(
        world.packages.get(&arn(7)).unwrap().lineage().trigger,
        Trigger::Registry
    );
    let lineage = world.trainings.execution(&execution).await.unwrap().lineage();
    assert!(
        lineage.handled && lineage.evidence["description"].starts_with("by hand"),
        "{lineage:?}"
    );
}

#[tokio::test]
async fn the_sweep_finds_what_no_event_told_and_is_quiet_afterwards() {
    let world = World::new();
    world.register(7, &accuracy(0.93));
    let executions = [
        world.train(SUCCEEDED, Status::Succeeded, vec![registers(7)]),
        world.train(FAILED, Status::Failed, vec![]),
        world.train(STOPPED, Status::Executing, vec![]),
    ];
    for round in 0..3 {
        world.handle(SWEEP).await.unwrap();
        assert_eq!(
            (world.releases.started(), world.notices().len()),
            (vec![arn(7)], 1),
            "round {round}"
        );
    }
    // The event that was late after all.
    world.handle(SUCCEEDED).await.unwrap();
    world.handle(FAILED).await.unwrap();
    assert_eq!((world.releases.started().len(), world.notices().len()), (1, 1));
    let mut handled = Vec::new();
    for execution in &executions {
        handled.push(world.handled(execution).await);
    }
    assert_eq!(handled, [true, true, false]);
}

#[tokio::test]
async fn a_version_that_something_else_has_registered_is_judged_like_any_other() {
    for event in [REGISTERED, SWEEP] {
        let world = World::new();
        world.register(7, &accuracy(0.93));
        for _ in 0..2 {
            world.handle(event).await.unwrap();
        }
        assert_eq!(world.releases.started(), [arn(7)], "{event}");
        let package = world.packages.get(&arn(7)).unwrap();
        assert!(package.gate_held());
        assert_eq!(package.lineage(), Lineage::of(Trigger::Registry));

        let poor = World::new();
        poor.register(7, &accuracy(0.5));
        for _ in 0..2 {
            poor.handle(event).await.unwrap();
        }
        let package = poor.packages.get(&arn(7)).unwrap();
        assert_eq!(
            (package.approval, package.outcome()),
            (ApprovalStatus::Rejected, Some(Outcome::GateNotMet))
        );
        assert_eq!((poor.notices().len(), poor.releases.started()), (1, vec![]));
        assert_eq!(poor.tally.counted(), ["Releases Outcome=gate-not-met"]);
    }
}

#[tokio::test]
async fn what_the_pipeline_registers_waits_for_the_end_of_its_execution() {
    let execution = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn/execution/p4jn9xou8a8s";
    let other = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/other/execution/p4jn9xou8a8s";
    for (by, judged) in [(execution, false), (other, true), ("a notebook", true)] {
        for event in [REGISTERED, SWEEP] {
            let world = World::new();
            let mut package = world.register(7, &accuracy(0.93));
            package.generated_by = Some(by.into());
            world.packages.put(package);
            world.handle(event).await.unwrap();
            assert_eq!(world.releases.started().len(), usize::from(judged), "{by}");
        }
    }
}

#[tokio::test]
async fn the_sweep_leaves_old_and_rejected_versions_alone() {
    let now: jiff::Timestamp = serde_json::from_str::<Value>(SWEEP).unwrap()["time"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    for (hours, approval, judged) in [
        (23, ApprovalStatus::PendingManualApproval, true),
        (23, ApprovalStatus::Approved, true),
        (23, ApprovalStatus::Rejected, false),
        (24, ApprovalStatus::PendingManualApproval, false),
    ] {
        let world = World::new();
        let mut package = world.register(7, &accuracy(0.93));
        (package.approval, package.created_at) = (approval, Some(now - SignedDuration::from_hours(hours)));
        world.packages.put(package);
        world.handle(SWEEP).await.unwrap();
        assert_eq!(
            world.releases.started().len(),
            usize::from(judged),
            "{hours} {approval:?}"
        );
    }
    let world = World::new();
    let foreign = REGISTERED.replace("model-package/churn/7", "model-package/other/7");
    world.handle(&foreign).await.unwrap();
    assert_eq!(world.releases.started(), []);
}

/// sync-approval takes such an approval's event, which may be lost.
#[tokio::test]
async fn the_sweep_refuses_what_was_approved_against_the_gate() {
    let now: jiff::Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    for (minutes, approval, gate, refused) in [
        (6, ApprovalStatus::Approved, 0.5, true),
        // Its event may be on its way.
        (4, ApprovalStatus::Approved, 0.5, false),
        (6, ApprovalStatus::PendingManualApproval, 0.5, false),
        (6, ApprovalStatus::Approved, 0.93, false),
    ] {
        let world = World::new();
        world.register(7, &accuracy(gate));
        world.handle(REGISTERED).await.unwrap();
        let told = world.notices().len();
        let mut package = world.packages.get(&arn(7)).unwrap();
        (package.approval, package.modified_at) = (approval, Some(now - SignedDuration::from_mins(minutes)));
        world.packages.put(package);
        for _ in 0..2 {
            world.handle(SWEEP).await.unwrap();
        }
        let package = world.packages.get(&arn(7)).unwrap();
        assert_eq!(
            package.approval == ApprovalStatus::Rejected,
            refused,
            "{minutes} {gate}"
        );
        let notices = world.notices();
        assert_eq!(notices.len() - told, usize::from(refused), "{notices:?}");
        if refused {
            let description = package.approval_description.unwrap();
            assert!(
                notices.last().unwrap().contains("approved in vain") && description.contains("changed nothing"),
                "{notices:?} {description}"
            );
        }
    }
}

#[tokio::test]
async fn failures_in_a_row_are_told_once_a_day_with_their_count() {
    let world = World::new();
    let start: jiff::Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    for hour in 0..50 {
        let mut lineage = Lineage::of(Trigger::Schedule);
        let until = start + SignedDuration::from_hours(hour);
        lineage.window = Some(Window { from: None, until });
        let arn = format!("arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn/execution/{hour}");
        let execution = Execution {
            arn: arn.clone(),
            status: Status::Failed,
            description: Some(lineage.to_description()),
            started_at: Some(until),
            failure_reason: Some("Step failure: One or multiple steps failed.".into()),
        };
        let job = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/pipelines-1-Train-2";
        let failed = Step {
            trains: true,
            job: Some(job.into()),
            ..step("Train", "Failed", Some("AlgorithmError: exit code: 1"), None)
        };
        world.trainings.put(execution, vec![failed]);
        let mut event: Value = serde_json::from_str(FAILED).unwrap();
        event["detail"]["pipelineExecutionArn"] = arn.as_str().into();
        for _ in 0..2 {
            world.handle(&event.to_string()).await.unwrap();
        }
        assert!(world.handled(&arn).await);
    }
    let notices = world.notices();
    let expected = [
        &[
            "training failed: A",
            "Step: Train",
            "AlgorithmError",
            "TrainingJobs$3FlogStreamNameFilter$3Dpipelines-1-Train-2",
        ][..],
        &[
            "training failed, 25 in a row",
            "You were not told of 23 of those",
            "since Sunday 1 March 2026, 00:00 UTC",
        ],
        &["training failed, 49 in a row", "You were not told of 23 of those"],
    ];
    assert_eq!(notices.len(), expected.len(), "{notices:#?}");
    for (notice, words) in notices.iter().zip(expected) {
        for word in words {
            assert!(notice.contains(word), "{word}: {notice}");
        }
    }
}

#[tokio::test]
async fn it_is_noted_whether_a_model_came_of_it() {
    for (steps, trained) in [
        (vec![step("Preprocess", "Failed", Some("no data"), None)], false),
        (
            vec![
                trains(Some("2026-03-01T09:10:00Z")),
                step("Threshold", "Failed", Some("0.8"), None),
            ],
            true,
        ),
    ] {
        let world = World::new();
        let execution = world.train(FAILED, Status::Failed, steps);
        world.handle(FAILED).await.unwrap();
        let lineage = world.trainings.execution(&execution).await.unwrap().lineage();
        assert_eq!((lineage.trained, lineage.told), (trained, Some(Told::Notice)));
    }
}

/// S3 on a bad day.
struct Failing(ErrorKind);

impl ReadObjects for Failing {
    async fn read(&self, _object: &ObjectUri, _bytes_max: usize) -> Result<Vec<u8>, AwsError> {
        Err(AwsError::new(
            "s3:GetObject",
            self.0,
            "SlowDown",
            "Please reduce your request rate.",
        ))
    }
}

#[tokio::test]
async fn where_aws_fails_nothing_is_judged_and_the_next_try_comes_to_the_same_end() {
    let world = World::new();
    world.register(7, &accuracy(0.93));
    let execution = world.train(SUCCEEDED, Status::Succeeded, vec![registers(7)]);
    let event: Value = serde_json::from_str(SUCCEEDED).unwrap();
    let error = world
        .handle_with(&Failing(ErrorKind::Transient), event)
        .await
        .unwrap_err();
    assert!(format!("{error:#}").contains("s3:GetObject"), "{error:#}");
    assert_eq!(
        world.packages.get(&arn(7)).unwrap().approval,
        ApprovalStatus::PendingManualApproval
    );
    assert!(world.notices().is_empty() && !world.handled(&execution).await);
    world.handle(SUCCEEDED).await.unwrap();
    assert_eq!(world.releases.started(), [arn(7)]);
}

#[tokio::test]
async fn what_is_not_there_is_an_error_and_stays_unhandled() {
    let world = World::new();
    let error = world.handle(SUCCEEDED).await.unwrap_err();
    assert!(
        error.to_string().contains("sagemaker:DescribePipelineExecution"),
        "{error}"
    );
    let execution = world.train(SUCCEEDED, Status::Succeeded, vec![registers(7)]);
    let error = world.handle(SUCCEEDED).await.unwrap_err();
    assert!(error.to_string().contains("sagemaker:DescribeModelPackage"), "{error}");
    assert!(!world.handled(&execution).await);
}

#[tokio::test]
async fn wrong_events_are_errors_that_say_what_is_wrong() {
    let kind = "SageMaker Model Building Pipeline Execution Status Change";
    for (event, words) in [
        (json!([]), &["not an EventBridge event"][..]),
        (
            json!({"detail-type": kind, "detail": {}}),
            &["field `source` is missing"],
        ),
        (
            json!({"source": "aws.sagemaker", "detail-type": kind}),
            &["field `detail` is missing"],
        ),
        (
            json!({"source": "aws.sagemaker", "detail-type": kind, "detail": {}}),
            &["aws.sagemaker", kind, "detail.pipelineExecutionArn is missing"],
        ),
        (
            json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {}}),
            &["aws.s3", "Object Created", "none that this function takes"],
        ),
    ] {
        let world = World::new();
        let error = world.handle_with(&world.objects, event).await.unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
