use signalbox_aws::macs::GenerateMac;
use signalbox_aws::memory::{Objects, OneEndpoint, OneKey, Packages, ReleaseTrain};
use signalbox_aws::releases::{Approval, WaitingApproval};
use signalbox_model::link::{Claims, token_digest};
use signalbox_model::names::{ModelPackageArn, ReleaseId};
use signalbox_model::rollout::{Policy, Strategy};

use super::*;

mod take_back;

const GET: &str = include_str!("../../../events/decide-approval-get.json");
const POST: &str = include_str!("../../../events/decide-approval-post.json");
const TAKE_BACK: &str = include_str!("../../../events/decide-approval-take-back.json");

const TOKEN: &str = "1a2b3c4d-573f-4ea7-a67e-9d2a4e0d5b57";
const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
const ADA: &str = "ada@example.com";
const BO: &str = "bo@example.com";

fn arn(version: u32) -> ModelPackageArn {
    format!("arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/{version}")
        .parse()
        .unwrap()
}

fn release() -> ReleaseId {
    RELEASE.parse().unwrap()
}

fn waiting(release: &str, version: u32, token: &str) -> WaitingApproval {
    WaitingApproval {
        release: release.parse().unwrap(),
        package: arn(version),
        token: token.into(),
    }
}

fn expires() -> Timestamp {
    "2026-03-08T11:45:00Z".parse().unwrap()
}

struct World {
    settings: Settings,
    packages: Packages,
    objects: Objects,
    releases: ReleaseTrain,
    endpoint: OneEndpoint,
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
            endpoint: OneEndpoint::default(),
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
            });
        }
        world.change(6, |package| {
            drop(package.metadata.insert(key::OUTCOME.into(), "deployed".into()))
        });
        world.releases.wait(waiting(RELEASE, 7, TOKEN));
        world
    }

    fn change(&self, version: u32, change: impl FnOnce(&mut ModelPackage)) {
        let mut package = self.packages.get(&arn(version)).unwrap();
        change(&mut package);
        self.packages.put(package);
    }

    /// The claims of the link that request-approval would mail.
    async fn claims(&self, approver: &str) -> Claims {
        let ports = self.ports();
        let package = self.packages.get(&arn(7)).unwrap();
        Claims {
            pipeline: "churn-release".into(),
            stage: APPROVAL.into(),
            action: APPROVAL.into(),
            token_digest: token_digest(TOKEN),
            release: release(),
            package: arn(7),
            approver: approver.into(),
            expires: expires(),
            evidence: evidence(&self.settings, &ports, &package, expires())
                .await
                .unwrap()
                .digest(),
        }
    }

    async fn link(&self, approver: &str) -> SignedLink {
        signed(self.claims(approver).await).await
    }

    fn ports(&self) -> Ports<'_, Packages, Objects, ReleaseTrain, OneKey, OneEndpoint> {
        Ports {
            registry: &self.packages,
            objects: &self.objects,
            releases: &self.releases,
            macs: &OneKey,
            endpoints: &self.endpoint,
        }
    }

    async fn open(&self, event: Value) -> (u64, String) {
        let answer = handle(&self.settings, &self.ports(), event).await.unwrap();
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

    fn package(&self) -> ModelPackage {
        self.packages.get(&arn(7)).unwrap()
    }

    fn answered(&self) -> Option<Approval> {
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

#[tokio::test]
async fn looking_changes_nothing() {
    let world = World::new();
    let link = world.link(ADA).await;
    for method in ["GET", "HEAD", "GET"] {
        let mut event = get(&link);
        event["requestContext"]["http"]["method"] = method.into();
        let before = world.package();
        let (status, html) = world.open(event).await;
        assert_eq!(status, 200);
        assert!(world.is_undecided() && world.package() == before, "{method}");
        for word in [
            ADA,
            BO,
            "Approve churn v7?",
            "0.9300",
            "0.9100",
            "<form method=\"post\"",
            "<svg",
        ] {
            assert!(html.contains(word), "{word} is not on the page");
        }
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
async fn a_decision_reaches_registry_and_pipeline() {
    let base64 = |form: &str| BASE64_STANDARD.encode(form);
    for (form, status, summary) in [
        (
            "decision=approve&comment=",
            ApprovalStatus::Approved,
            "approved by ada@example.com",
        ),
        (
            "comment=Fine.&decision=approve",
            ApprovalStatus::Approved,
            "approved by ada@example.com: Fine.",
        ),
        (
            "decision=reject&comment=Too+slow%21",
            ApprovalStatus::Rejected,
            "rejected by ada@example.com: Too slow!",
        ),
    ] {
        for encoded in [false, true] {
            let world = World::new();
            let mut event = post(&world.link(ADA).await, form);
            if encoded {
                event["body"] = base64(form).into();
                event["isBase64Encoded"] = true.into();
            }
            let (code, html) = world.open(event).await;
            assert_eq!(code, 200, "{html}");
            let package = world.package();
            assert_eq!(
                (package.approval, package.approval_description.as_deref()),
                (status, Some(summary))
            );
            assert_eq!(package.metadata[key::DECIDED_BY], ADA);
            assert_eq!(package.metadata[key::DECIDED_AT], "2026-03-01T12:20:44Z");
            assert_eq!(package.metadata[key::RELEASE], RELEASE);
            let approved = status == ApprovalStatus::Approved;
            assert_eq!(
                world.answered(),
                Some(Approval {
                    approved,
                    summary: summary.to_owned()
                })
            );
            assert!(
                html.contains(if approved {
                    "churn v7 is approved"
                } else {
                    "churn v7 is rejected"
                }),
                "{html}"
            );
        }
    }
}

#[tokio::test]
async fn the_sample_form_approves_with_its_comment() {
    let world = World::new();
    let sample = event(POST, world.link(ADA).await.url("").trim_start_matches('?'));
    assert_eq!(world.open(sample).await.0, 200);
    assert_eq!(
        world.answered().unwrap().summary,
        "approved by ada@example.com: Recall is better too."
    );
}

#[tokio::test]
async fn the_first_decision_stands_and_whoever_comes_second_is_shown_it() {
    let world = World::new();
    let (ada, bo) = (world.link(ADA).await, world.link(BO).await);
    world.open(post(&ada, "decision=approve&comment=Fine.")).await;
    let (package, answered) = (world.package(), world.answered());
    for second in [
        post(&bo, "decision=reject&comment=No."),
        get(&bo),
        post(&ada, "decision=approve&comment=Again."),
    ] {
        let (status, html) = world.open(second).await;
        assert_eq!(status, 200);
        for word in ["churn v7 is approved", ADA, "Fine.", "12:20"] {
            assert!(html.contains(word), "{word}: {html}");
        }
        assert!(!html.contains("Again.") && !html.contains("<form"));
        assert_eq!((world.package(), world.answered()), (package.clone(), answered.clone()));
    }
}

#[tokio::test]
async fn a_decision_that_the_pipeline_has_not_heard_of_is_passed_on() {
    // In Studio, or by a try that died between registry and pipeline.
    for (status, metadata, description, summary) in [
        (
            ApprovalStatus::Approved,
            Some(ADA),
            "approved by ada@example.com: Fine.",
            "approved by ada@example.com: Fine.",
        ),
        (
            ApprovalStatus::Rejected,
            None,
            "too slow",
            "rejected by the model registry: too slow",
        ),
    ] {
        let world = World::new();
        let link = world.link(BO).await;
        world.change(7, |package| {
            package.approval = status;
            package.approval_description = Some(description.into());
            package
                .metadata
                .extend(metadata.map(|by| (key::DECIDED_BY.to_owned(), by.to_owned())));
        });
        let (code, _) = world.open(post(&link, "decision=approve&comment=")).await;
        assert_eq!(code, 200);
        let approved = status == ApprovalStatus::Approved;
        assert_eq!(
            world.answered(),
            Some(Approval {
                approved,
                summary: summary.to_owned()
            })
        );
        assert_eq!(world.package().approval, status);
    }
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
async fn a_link_that_no_longer_counts_says_why() {
    const OTHER: &str = "99999999-89ab-cdef-0123-456789abcdef";
    let nothing_changes = |_: &World| {};
    let nothing_waits = |world: &World| world.releases.expire();
    let another_waits = |world: &World| world.releases.wait(waiting(OTHER, 8, "another"));
    let asked_anew = |world: &World| world.releases.wait(waiting(RELEASE, 7, "another"));
    let other_champion = |world: &World| world.change(6, |package| package.metadata.clear());
    let noted_as_expired = |world: &World| {
        world.change(7, |package| {
            drop(package.metadata.insert(key::OUTCOME.into(), "expired".into()))
        });
    };
    let in_time = 1_772_367_644_000_i64;
    let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
    type Change<'a> = &'a dyn Fn(&World);
    let table: [(i64, Change<'_>, u64, Refusal); 7] = [
        (at("2026-03-08T11:45:00Z"), &nothing_changes, 410, Refusal::Expired),
        (at("2027-01-01T00:00:00Z"), &nothing_changes, 410, Refusal::Expired),
        (in_time, &nothing_waits, 409, Refusal::Superseded),
        (in_time, &another_waits, 409, Refusal::Superseded),
        (in_time, &asked_anew, 409, Refusal::Superseded),
        (in_time, &other_champion, 409, Refusal::EvidenceChanged),
        (in_time, &noted_as_expired, 410, Refusal::Expired),
    ];
    for (time, change, code, refusal) in table {
        let world = World::new();
        let link = world.link(ADA).await;
        change(&world);
        let answers_before = world.answered();
        for mut event in [get(&link), post(&link, "decision=approve&comment=")] {
            event["requestContext"]["timeEpoch"] = time.into();
            let (status, html) = world.open(event).await;
            assert_eq!(status, code, "{refusal:?}");
            assert!(html.contains(&refusal.to_string()), "{refusal:?}: {html}");
            assert_eq!(world.package().approval, ApprovalStatus::PendingManualApproval);
            assert_eq!(world.answered(), answers_before);
        }
    }
}

#[tokio::test]
async fn a_link_of_another_approval_decides_nothing_here() {
    for change in [
        (|claims: &mut Claims| claims.pipeline = "other-release".into()) as fn(&mut Claims),
        |claims| claims.stage = "Deploy".into(),
        |claims| claims.action = "Other".into(),
    ] {
        let world = World::new();
        let mut claims = world.claims(ADA).await;
        change(&mut claims);
        let (status, html) = world
            .open(post(&signed(claims).await, "decision=approve&comment="))
            .await;
        assert_eq!(status, 403);
        assert!(html.contains(&Refusal::OtherApproval.to_string()), "{html}");
        assert!(world.is_undecided());
    }
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
        let error = handle(&world.settings, &world.ports(), event).await.unwrap_err();
        assert_eq!(error.to_string(), "not a function URL's request");
    }
}
