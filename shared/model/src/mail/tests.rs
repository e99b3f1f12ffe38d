use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::evidence::tests::sample;
use crate::evidence::{Champion, Evidence};
use crate::lineage::Trigger;
use crate::metrics::Metrics;
use crate::names::ModelName;
use crate::notice::Notice;
use crate::notice::SUBJECT_CHARS_MAX;

const LINK: &str = "https://abc.lambda-url.eu-west-1.on.aws/?c=eyJwIjoiY2h1cm4tcmVsZWFzZSJ9&m=AAECAwQFBgcICQoLDA0ODw";

fn churn() -> ModelName {
    "churn".parse().unwrap()
}

fn full(notice: &Notice) -> String {
    format!("Subject: {}\n\n{}", notice.subject(), notice.body())
}

#[test]
fn an_approval_request() {
    insta::assert_snapshot!(full(&approval_request(&sample(), "ada@example.com", LINK)));
}

#[test]
fn the_first_version_and_a_bare_one() {
    let mut first = sample();
    first.champion = None;
    first.lineage = crate::lineage::Lineage::of(Trigger::Registry);
    first.trained_seconds = None;
    first.gate.clear();
    first.approvers.truncate(1);
    insta::assert_snapshot!(full(&approval_request(&first, "ada@example.com", LINK)));
}

const CONSOLE: &str = "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/churn";

#[test]
fn outcomes() {
    let evidence = sample();
    let execution = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn/execution/abcdefghijkl";
    let notices = [
        rollout_started(
            &churn(),
            7,
            Some(6),
            "canary: 25 % of the traffic, 1 of 4 instances, for 5 min",
            &["6 instances are kept: the endpoint was scaled from 2".to_owned()],
        ),
        traffic_shifted(&churn(), 7, 25, Some(300)),
        deployed(&churn(), 1, None, "all at once", "", None),
        deployed(
            &churn(),
            7,
            Some(6),
            "canary: 10 % for 5 min",
            "4 instances, baked 10 min without an alarm",
            Some(&TakeBack {
                link: LINK,
                pipeline: "churn-rollback",
            }),
        ),
        rolled_back(
            &churn(),
            2,
            &TakenBack {
                serving: Some(1),
                alarm: Some("churn-5xx"),
                numbers: Some("1 datapoint [0.12] was greater than the threshold (0.02)"),
                reason: "the alarm churn-5xx is in ALARM",
                endpoint_url: CONSOLE,
            },
        ),
        rolled_back(&churn(), 2, &TakenBack::default()),
        superseded(&churn(), 2, "churn-v3-01234567"),
        rollback_failed(
            &churn(),
            "v1 is the first that served",
            "Release a better version.",
            CONSOLE,
        ),
        not_scaled(
            &churn(),
            "application-autoscaling:RegisterScalableTarget: AccessDeniedException: no permission",
        ),
        rejected(&churn(), 3, "ada@example.com", "The log loss is worse\nthan it looks."),
        expired(&churn(), 4, evidence.expires, &evidence.approvers),
        gate_not_met(
            &churn(),
            5,
            "accuracy 0.8 is not above 0.85",
            &evidence.metrics,
            evidence.champion.as_ref(),
        ),
        training_failed(
            &churn(),
            Trigger::Schedule,
            Some("4c1d0b9"),
            Some("AccuracyCondition"),
            "accuracy 0.7 is not above 0.85",
            Some(&evidence.metrics),
            execution,
        ),
        training_failed(&churn(), Trigger::Push, None, None, "stopped by ada", None, execution),
        release_failed(&churn(), 6, "no capacity for ml.m5.large", "Retry the Deploy stage."),
    ];
    insta::assert_snapshot!(notices.iter().map(full).collect::<Vec<_>>().join("\n----\n"));
}

#[test]
fn subjects_say_what_happened() {
    let none = Metrics::default();
    for (notice, expected) in [
        (approval_request(&sample(), "a", LINK), "approve churn v7?"),
        (
            rollout_started(&churn(), 1, None, "", &[]),
            "churn v1 begins to take over",
        ),
        (
            traffic_shifted(&churn(), 1, 25, None),
            "churn v1 takes 25 % of the traffic",
        ),
        (deployed(&churn(), 1, None, "", "", None), "churn v1 deployed"),
        (rolled_back(&churn(), 2, &TakenBack::default()), "churn v2 rolled back"),
        (superseded(&churn(), 2, ""), "churn v2 superseded"),
        (not_scaled(&churn(), ""), "churn is not scaled"),
        (rollback_failed(&churn(), "", "", ""), "churn ROLLBACK FAILED"),
        (rejected(&churn(), 3, "", ""), "churn v3 rejected"),
        (expired(&churn(), 4, Timestamp::UNIX_EPOCH, &[]), "churn v4 expired"),
        (gate_not_met(&churn(), 5, "", &none, None), "churn v5 gate not met"),
        (
            training_failed(&churn(), Trigger::Push, None, None, "", None, ""),
            "churn training failed",
        ),
        (release_failed(&churn(), 6, "", ""), "churn v6 release failed"),
    ] {
        assert_eq!(notice.subject(), format!("[signalbox] {expected}"));
    }
}

#[test]
fn a_commit_can_write_no_second_link() {
    let mut evidence = sample();
    evidence.lineage.message = Some("Fix\n\nTo approve, open:\nhttps://evil.example/?c=1\nwww.evil.example".into());
    evidence.metrics = [("see http://evil.example", 1.0)].into_iter().collect();
    let body = approval_request(&evidence, "ada@example.com", LINK).body().to_owned();
    assert_eq!(body.matches("://").count(), 1, "{body}");
    assert!(body.lines().any(|line| line == LINK));
    assert!(!body.contains("www.evil"));
}

#[test]
fn long_names_and_wide_numbers_stay_in_the_columns() {
    let theirs: Metrics = [
        ("name-of-eighteen-c", -1e-300),
        ("balanced_accuracy_of_the_holdout", 0.5),
    ]
    .into_iter()
    .collect();
    let champion = Champion {
        version: u32::MAX,
        metrics: theirs,
    };
    let metrics = [
        ("name-of-eighteen-c", -2.5e-300),
        ("balanced_accuracy_of_the_holdout", 0.6),
        ("www.x s3://b/k", 1.0),
    ];
    let metrics = metrics.into_iter().collect();
    insta::assert_snapshot!(gate_not_met(&churn(), u32::MAX, "", &metrics, Some(&champion)).body());
}

#[test]
fn many_metrics_are_counted() {
    let metrics: Metrics = (0..45).map(|i| (format!("m{i:02}"), f64::from(i))).collect();
    let body = gate_not_met(&churn(), 5, "", &metrics, None).body().to_owned();
    assert!(
        body.contains("m39") && !body.contains("m40") && body.contains("and 5 more."),
        "{body}"
    );
}

prop_compose! {
    fn any_evidence()(message in any::<Option<String>>(), author in any::<Option<String>>(), plan in any::<String>(),
                      names in proptest::collection::btree_map(any::<String>(), any::<f64>(), 0..5),
                      theirs in proptest::collection::btree_map(any::<String>(), any::<f64>(), 0..5),
                      rule in any::<String>(), text in any::<String>(), other in any::<String>(),
                      version in 1..=u32::MAX, model in "[a-zA-Z0-9]([a-zA-Z0-9-]{0,38}[a-zA-Z0-9])?") -> Evidence {
        let mut sample = sample();
        sample.lineage.author = author;
        sample.lineage.message = message;
        Evidence {
            model: model.parse().unwrap(),
            package: sample.package.with_version(version),
            plan,
            metrics: names.into_iter().collect(),
            champion: Some(Champion { version, metrics: theirs.into_iter().collect() }),
            gate: vec![crate::evidence::GateVerdict { name: rule, held: false, text }],
            approvers: vec![other],
            ..sample
        }
    }
}

proptest! {
    #[test]
    fn lines_are_short_and_subjects_fit(evidence in any_evidence()) {
        let notice = approval_request(&evidence, "ada@example.com", LINK);
        prop_assert!(notice.subject().len() <= SUBJECT_CHARS_MAX);
        let end = format!("v{}?", evidence.version());
        prop_assert!(notice.subject().ends_with(&end));
        prop_assert!(notice.subject().bytes().all(|b| (b' '..=b'~').contains(&b)));
        let links = notice.body().lines().filter(|line| *line == LINK).count();
        prop_assert_eq!(links, 1);
        prop_assert_eq!(notice.body().matches("://").count(), 1);
        for line in notice.body().lines().filter(|line| *line != LINK) {
            prop_assert!(line.chars().count() <= COLUMNS, "{:?}", line);
        }
    }
}
