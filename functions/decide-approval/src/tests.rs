use std::pin::pin;
use std::task::{Context as TaskContext, Waker};

use proptest::prelude::*;
use signalbox_aws::error::{AwsError, ErrorKind};
use signalbox_aws::macs::GenerateMac;
use signalbox_aws::memory::{Objects, OneEndpoint, OneKey, Packages, ReleaseTrain, Tally, Trainings};
use signalbox_aws::registry::PackageSummary;
use signalbox_aws::releases::{Recent, Standing};
use signalbox_model::lineage::{Lineage, Trigger};
use signalbox_model::link::token_digest;
use signalbox_model::names::{ModelPackageArn, ReleaseId};
use signalbox_model::package::metadata_value;
use signalbox_model::rollout::{Policy, Strategy};
use signalbox_model::settle::{ActionStatus, Seen};
use signalbox_model::training::{Execution, Status};

use super::*;

mod decisions;
mod quorum;
mod refusals;
mod take_back;
mod together;

const GET: &str = include_str!("../../../events/decide-approval-get.json");
const POST: &str = include_str!("../../../events/decide-approval-post.json");
const TAKE_BACK: &str = include_str!("../../../events/decide-approval-take-back.json");

const TOKEN: &str = "1a2b3c4d-573f-4ea7-a67e-9d2a4e0d5b57";
const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
const TRAINING: &str = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn/execution/p4jn9xou8a8s";
const ADA: &str = "ada@example.com";
const BO: &str = "bo@example.com";
/// Somebody with access to registry and console.
const CY: &str = "arn:aws:iam::123456789012:user/cy";
const APPROVE: &str = "decision=approve&comment=Fine.";
const REJECT: &str = "decision=reject&comment=Too+slow%21";

fn arn(version: u32) -> ModelPackageArn {
    format!("arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/{version}")
        .parse()
        .unwrap()
}

fn release() -> ReleaseId {
    RELEASE.parse().unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn expires() -> Timestamp {
    time("2026-03-08T11:45:00Z")
}

/// An answer in CodePipeline's console.
fn console(status: ActionStatus, summary: &str) -> Seen {
    Seen {
        since: None,
        status,
        summary: summary.into(),
        identity: Some(CY.into()),
        at: time("2026-03-01T12:00:00Z"),
    }
}

/// The registry, which may be out of order for those who write.
struct Registry<'a> {
    packages: &'a Packages,
    refuses: bool,
}

impl Registry<'_> {
    fn written(&self) -> Result<(), AwsError> {
        if self.refuses {
            let (kind, code) = (ErrorKind::Transient, "ThrottlingException");
            return Err(AwsError::new(
                "sagemaker:UpdateModelPackage",
                kind,
                code,
                "Rate exceeded",
            ));
        }
        Ok(())
    }
}

impl ReadPackages for Registry<'_> {
    async fn package(&self, arn: &ModelPackageArn) -> Result<ModelPackage, AwsError> {
        self.packages.package(arn).await
    }

    async fn newest_packages(
        &self,
        group: &str,
        approval: Option<ApprovalStatus>,
        count_max: u8,
    ) -> Result<Vec<PackageSummary>, AwsError> {
        self.packages.newest_packages(group, approval, count_max).await
    }
}

impl WritePackages for Registry<'_> {
    async fn decide(
        &self,
        arn: &ModelPackageArn,
        approval: ApprovalStatus,
        description: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        self.written()?;
        self.packages.decide(arn, approval, description, metadata).await
    }

    async fn mark(&self, arn: &ModelPackageArn, metadata: &BTreeMap<String, String>) -> Result<(), AwsError> {
        self.written()?;
        self.packages.mark(arn, metadata).await
    }
}

/// The pipeline, which may be out of order for those who answer, or have something happen just after an answer.
struct Pipeline<'a> {
    releases: &'a ReleaseTrain,
    refuses: bool,
    then: &'a (dyn Fn() + Sync),
}

impl ReadApprovals for Pipeline<'_> {
    async fn standing(&self, pipeline: &str) -> Result<Standing, AwsError> {
        self.releases.standing(pipeline).await
    }
}

impl ReadReleases for Pipeline<'_> {
    async fn package_of(&self, pipeline: &str, release: &ReleaseId) -> Result<Option<ModelPackageArn>, AwsError> {
        self.releases.package_of(pipeline, release).await
    }

    async fn approval_of(&self, pipeline: &str, release: &ReleaseId) -> Result<Option<Seen>, AwsError> {
        self.releases.approval_of(pipeline, release).await
    }

    async fn recent_approvals(&self, pipeline: &str) -> Result<Vec<Recent>, AwsError> {
        self.releases.recent_approvals(pipeline).await
    }
}

impl AnswerApprovals for Pipeline<'_> {
    async fn answer(&self, pipeline: &str, token: &str, approved: bool, summary: &str) -> Result<bool, AwsError> {
        if self.refuses {
            let (kind, code) = (ErrorKind::Transient, "ThrottlingException");
            return Err(AwsError::new(
                "codepipeline:PutApprovalResult",
                kind,
                code,
                "Rate exceeded",
            ));
        }
        let first = self.releases.answer(pipeline, token, approved, summary).await;
        (self.then)();
        first
    }
}

impl StartRollbacks for Pipeline<'_> {
    async fn roll_back(
        &self,
        pipeline: &str,
        version: u32,
        deployed: &ReleaseId,
        reason: &str,
    ) -> Result<ReleaseId, AwsError> {
        self.releases.roll_back(pipeline, version, deployed, reason).await
    }
}

struct World {
    settings: Settings,
    packages: Packages,
    objects: Objects,
    releases: ReleaseTrain,
    trainings: Trainings,
    endpoint: OneEndpoint,
    tally: Tally,
}

impl World {
    /// Version 7 waits, version 6 serves, version 5 was rejected.
    fn new() -> Self {
        let rollout = Policy {
            strategy: Strategy::Canary,
            step_percent: 25,
            wait_seconds: 600,
            bake_seconds: 600,
            timeout_seconds: 3600,
            alarms: vec!["churn-5xx".into()],
            unguarded_serverless: false,
        };
        let policies = Policies {
            model: "churn".parse().unwrap(),
            accuracy_threshold: 0.85,
            rollout,
            instance_count: 4,
            approvers: vec![ADA.into(), BO.into()],
            approvals_needed: 1,
        };
        let world = Self {
            settings: Settings {
                policies,
                release_pipeline: "churn-release".into(),
                rollback_pipeline: "churn-rollback".into(),
            },
            packages: Packages::default(),
            objects: Objects::default(),
            releases: ReleaseTrain::default(),
            trainings: Trainings::default(),
            endpoint: OneEndpoint::default(),
            tally: Tally::default(),
        };
        for (version, accuracy, approval) in [
            (5, "0.88", ApprovalStatus::Rejected),
            (6, "0.91", ApprovalStatus::Approved),
            (7, "0.93", ApprovalStatus::PendingManualApproval),
        ] {
            let uri = format!("s3://bucket/training/{version}/evaluation/evaluation.json");
            world
                .objects
                .put(&uri, format!("{{\"metrics\": {{\"accuracy\": {accuracy}}}}}"));
            world.packages.put(ModelPackage {
                arn: arn(version),
                approval,
                approval_description: None,
                metrics_uri: Some(uri),
                generated_by: None,
                metadata: BTreeMap::from([(key::GATE.to_owned(), "held: metrics.accuracy = 0.93".to_owned())]),
                containers: Vec::new(),
                created_at: None,
                modified_at: None,
                modified_by: None,
            });
        }
        world.note(6, key::OUTCOME, "deployed");
        let mut lineage = Lineage::of(Trigger::Push);
        lineage.set_commit_words(Some("Al <al@example.com>"), Some("Weigh recent calls more"));
        let execution = Execution {
            arn: TRAINING.into(),
            status: Status::Succeeded,
            description: Some(lineage.to_description()),
            started_at: None,
            failure_reason: None,
        };
        world.trainings.put(execution, Vec::new());
        world.change(7, |package| package.generated_by = Some(TRAINING.into()));
        world.wait(RELEASE, 7, TOKEN);
        world
    }

    fn wait(&self, release: &str, version: u32, token: &str) {
        let waits = Waiting {
            release: release.parse().unwrap(),
            token: token.into(),
            since: Some(time("2026-03-01T11:45:01Z")),
        };
        self.releases.wait(waits, arn(version));
    }

    fn change(&self, version: u32, change: impl FnOnce(&mut ModelPackage)) {
        let mut package = self.packages.get(&arn(version)).unwrap();
        change(&mut package);
        self.packages.put(package);
    }

    fn note(&self, version: u32, key: &str, value: &str) {
        self.change(version, |package| {
            package.metadata.insert(key.to_owned(), value.to_owned());
        });
    }

    /// Somebody decides in the registry.
    fn decide_in_registry(&self, approval: ApprovalStatus, words: Option<&str>) {
        self.change(7, |package| {
            package.approval = approval;
            package.approval_description = words.map(str::to_owned);
            package.modified_by = Some(CY.into());
            package.modified_at = Some(time("2026-03-01T12:00:00Z"));
        });
    }

    /// The digest of what would be shown now.
    async fn digest(&self) -> String {
        let policies = &self.settings.policies;
        let package = self.package();
        let lineage = lineage_of(&policies.model, &package, &self.trainings).await.unwrap();
        let metrics = metrics_of(&package, &self.objects).await.unwrap();
        let champion = champion_with_metrics(&package, &self.packages, &self.endpoint, &self.objects)
            .await
            .unwrap();
        policies
            .evidence(&package, lineage, metrics, champion, expires())
            .digest()
    }

    /// The claims of the link that request-approval would mail.
    async fn claims(&self, approver: &str) -> Claims {
        Claims {
            pipeline: "churn-release".into(),
            stage: APPROVAL.into(),
            action: APPROVAL.into(),
            token_digest: token_digest(TOKEN),
            release: release(),
            package: arn(7),
            approver: approver.into(),
            expires: expires(),
            evidence: self.digest().await,
        }
    }

    async fn link(&self, approver: &str) -> SignedLink {
        signed(self.claims(approver).await).await
    }

    fn registry(&self) -> Registry<'_> {
        Registry {
            packages: &self.packages,
            refuses: false,
        }
    }

    fn pipeline(&self) -> Pipeline<'_> {
        Pipeline {
            releases: &self.releases,
            refuses: false,
            then: &|| {},
        }
    }

    fn ports<'a>(
        &'a self,
        registry: &'a Registry<'a>,
        releases: &'a Pipeline<'a>,
    ) -> Ports<'a, Registry<'a>, Objects, Pipeline<'a>, Trainings, OneKey, OneEndpoint, Tally> {
        Ports {
            registry,
            objects: &self.objects,
            releases,
            trainings: &self.trainings,
            macs: &OneKey,
            endpoints: &self.endpoint,
            counts: &self.tally,
        }
    }

    async fn open(&self, event: Value) -> (u64, String) {
        self.open_with(&self.registry(), &self.pipeline(), event).await
    }

    async fn open_with(&self, registry: &Registry<'_>, releases: &Pipeline<'_>, event: Value) -> (u64, String) {
        let answer = handle(&self.settings, &self.ports(registry, releases), event)
            .await
            .unwrap();
        assert_eq!(answer["headers"]["cache-control"], "no-store");
        assert!(
            answer["headers"]["content-security-policy"]
                .as_str()
                .unwrap()
                .contains("default-src 'none'")
        );
        let (status, html) = (
            answer["statusCode"].as_u64().unwrap(),
            answer["body"].as_str().unwrap().to_owned(),
        );
        assert!(!html.contains(TOKEN), "the token is on the page");
        (status, html)
    }

    /// Opens the link by a method that must not write anything: where it does, AWS refuses that, and the page says so.
    async fn look(&self, method: &str, link: &SignedLink) -> (u64, String) {
        let registry = Registry {
            refuses: true,
            ..self.registry()
        };
        let pipeline = Pipeline {
            refuses: true,
            ..self.pipeline()
        };
        let mut event = get(link);
        event["requestContext"]["http"]["method"] = method.into();
        self.open_with(&registry, &pipeline, event).await
    }

    /// Handles an event, until it has made so many calls: before the next the function dies. Says whether it came to its end.
    fn open_and_die(&self, calls: usize, event: Value) -> bool {
        let (registry, pipeline) = (self.registry(), self.pipeline());
        let ports = self.ports(&registry, &pipeline);
        let mut handling = pin!(handle(&self.settings, &ports, event));
        let mut context = TaskContext::from_waker(Waker::noop());
        // Each call of a twin's lets others go first, once.
        (0..=calls).any(|_| handling.as_mut().poll(&mut context).is_ready())
    }

    fn package(&self) -> ModelPackage {
        self.packages.get(&arn(7)).unwrap()
    }

    fn answered(&self) -> Option<(bool, String)> {
        self.releases.answer_of(&release())
    }

    fn is_undecided(&self) -> bool {
        self.package().approval == ApprovalStatus::PendingManualApproval && self.answered().is_none()
    }
}

async fn signed(claims: Claims) -> SignedLink {
    let mac = OneKey.generate(claims.message()).await.unwrap();
    SignedLink { claims, mac }
}

fn event(text: &str, query: &str) -> Value {
    let mut event: Value = serde_json::from_str(text).unwrap();
    event["rawQueryString"] = query.into();
    event
}

fn get(link: &SignedLink) -> Value {
    event(GET, link.url("").trim_start_matches('?'))
}

/// A POST with a form that is not encoded.
fn post(link: &SignedLink, form: &str) -> Value {
    let mut event = event(POST, link.url("").trim_start_matches('?'));
    event["body"] = form.into();
    event["isBase64Encoded"] = false.into();
    event
}

fn contains(html: &str, words: &[&str]) {
    for word in words {
        let main = html.split("<main>").nth(1);
        assert!(html.contains(word), "`{word}` is not on the page: {main:?}");
    }
}

#[tokio::test]
async fn looking_changes_nothing() {
    let world = World::new();
    let link = world.link(ADA).await;
    for method in ["GET", "HEAD", "GET"] {
        let before = world.package();
        let (status, html) = world.look(method, &link).await;
        assert_eq!(status, 200, "{html}");
        assert!(world.is_undecided() && world.package() == before, "{method}");
        let words = [
            ADA,
            BO,
            "Approve churn v7?",
            "0.9300",
            "0.9100",
            "<form method=\"post\"",
            "<svg",
        ];
        contains(&html, &words);
        contains(&html, &["Al &lt;al@example.com&gt;", "Weigh recent calls more"]);
    }
}

#[tokio::test]
async fn versions_without_usable_metrics_are_left_out_of_the_charts() {
    let world = World::new();
    let link = world.link(ADA).await;
    world.change(5, |package| package.metrics_uri = None);
    assert_eq!(world.open(get(&link)).await.0, 200);
}

#[tokio::test]
async fn a_link_that_is_not_ours_is_told_nothing() {
    let world = World::new();
    let good = world.link(ADA).await;
    let flipped = {
        let mut link = good.clone();
        link.mac[0] ^= 1;
        link
    };
    let altered = |change: fn(&mut Claims)| {
        let mut link = good.clone();
        change(&mut link.claims);
        link
    };
    let links = [
        flipped,
        altered(|claims| claims.approver = BO.into()),
        altered(|claims| claims.package = arn(6)),
        altered(|claims| claims.expires = "2030-01-01T00:00:00Z".parse().unwrap()),
    ];
    let mut queries: Vec<String> = links
        .iter()
        .map(|link| link.url("").trim_start_matches('?').to_owned())
        .collect();
    queries.extend(["", "c=&m=", "c=e30&m=AAAA", "%%%"].map(str::to_owned));
    let sample: Value = serde_json::from_str(GET).unwrap();
    queries.push(sample["rawQueryString"].as_str().unwrap().to_owned());
    let mut pages = Vec::new();
    for query in &queries {
        for text in [GET, POST] {
            pages.push(world.open(event(text, query)).await);
        }
        assert!(world.is_undecided(), "{query}");
    }
    assert_eq!(pages[0].0, 403);
    assert!(
        pages.iter().all(|page| page == &pages[0]),
        "a forger learns nothing from the answers' differences"
    );
    assert!(!pages[0].1.contains("churn"));
}

#[tokio::test]
async fn a_form_that_says_nothing_decides_nothing() {
    let long = format!("decision=approve&comment={}", "x".repeat(401));
    for form in [
        "",
        "decision=maybe",
        "comment=Fine.",
        "decision=approve&decision=reject",
        &long,
    ] {
        let world = World::new();
        let (status, _) = world.open(post(&world.link(ADA).await, form)).await;
        assert_eq!(status, 400, "{form}");
        assert!(world.is_undecided(), "{form}");
    }
    let world = World::new();
    let link = world.link(ADA).await;
    for body in [Value::Null, "not base64!".into()] {
        let mut event = post(&link, "");
        event["body"] = body;
        event["isBase64Encoded"] = true.into();
        assert_eq!(world.open(event).await.0, 400);
        assert!(world.is_undecided());
    }
}

proptest! {
    /// A browser's form comes in base64 or plain, as the function URL sees fit: it is the same form.
    #[test]
    fn a_body_is_the_same_in_base64(body in any::<String>(), query in any::<String>()) {
        let read = |body: String, encoded: bool| {
            let mut event = event(POST, &query);
            event["body"] = body.into();
            event["isBase64Encoded"] = encoded.into();
            Request::read(event).unwrap()
        };
        let (plain, encoded) = (read(body.clone(), false), read(BASE64_STANDARD.encode(&body), true));
        prop_assert_eq!(&plain.body, body.as_bytes());
        prop_assert_eq!(plain.body, encoded.body);
        prop_assert_eq!([&plain.query, &encoded.query], [&query, &query]);
        // And whatever says that it is encoded and is not, is no form that decides.
        let broken = read(body.clone(), true);
        prop_assert!(broken.body.is_empty() || BASE64_STANDARD.decode(&body).is_ok());
    }
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    for method in ["PUT", "DELETE", "OPTIONS", "get"] {
        let world = World::new();
        let mut event = post(&world.link(ADA).await, "decision=approve&comment=");
        event["requestContext"]["http"]["method"] = method.into();
        assert_eq!(world.open(event).await.0, 405, "{method}");
        assert!(world.is_undecided());
    }
}

#[tokio::test]
async fn where_aws_fails_the_page_says_so_and_nothing_leaks() {
    let world = World::new();
    let mut claims = world.claims(ADA).await;
    claims.package = arn(99);
    let (status, html) = world
        .open(post(&signed(claims).await, "decision=approve&comment="))
        .await;
    assert_eq!(status, 503);
    assert!(
        html.contains("Whether your decision was taken is not certain") && !html.contains("DescribeModelPackage"),
        "{html}"
    );
    assert!(world.is_undecided());
}

#[tokio::test]
async fn what_is_no_request_is_an_error() {
    let world = World::new();
    for event in [
        json!({}),
        json!({"Records": []}),
        json!({"requestContext": {"http": {"method": "GET"}}}),
    ] {
        let (registry, pipeline) = (world.registry(), world.pipeline());
        let ports = world.ports(&registry, &pipeline);
        let error = handle(&world.settings, &ports, event).await.unwrap_err();
        assert_eq!(error.to_string(), "not a function URL's request");
    }
}
