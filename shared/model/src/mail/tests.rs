use jiff::Timestamp;
use proptest::prelude::*;

use super::text::Text;
use super::*;
use crate::build::{self, tests::build};
use crate::decision::{Decided, Decision};
use crate::evidence::tests::sample;
use crate::evidence::{Champion, Evidence};
use crate::failures::Row;
use crate::lineage::{Lineage, Trigger};
use crate::metrics::Metrics;
use crate::names::ModelName;
use crate::notice::Notice;
use crate::notice::SUBJECT_CHARS_MAX;

const LINK: &str = "https://abc.lambda-url.eu-west-1.on.aws/?c=eyJwIjoiY2h1cm4tcmVsZWFzZSJ9&m=AAECAwQFBgcICQoLDA0ODw";

fn churn() -> ModelName {
    "churn".parse().unwrap()
}

fn vote(decision: Decision, by: &str, comment: &str) -> Decided {
    Decided {
        decision,
        by: by.into(),
        at: Some("2026-02-24T08:05:00Z".parse().unwrap()),
        comment: comment.into(),
    }
}

fn full(notice: &Notice) -> String {
    format!("Subject: {}\n\n{}", notice.subject(), notice.body())
}

#[test]
fn an_approval_request() {
    insta::assert_snapshot!(full(&approval_request(
        &sample(),
        "ada@example.com",
        LINK,
        &[],
        &Occasion::First
    )));
}

#[test]
fn later_requests() {
    let mut evidence = sample();
    evidence.approvers.push("alan@example.com".into());
    evidence.approvals_needed = 2;
    evidence.lineage = Lineage::of(Trigger::Drift);
    for (key, value) in [
        ("alarm", "churn-drift"),
        ("reason", "1 datapoint [0.31] was greater than the threshold (0.25)"),
        ("value", "0.31"),
        ("threshold", "0.25"),
    ] {
        evidence.lineage.evidence.insert(key.into(), value.into());
    }
    evidence.lineage.window = Some(crate::lineage::Window {
        from: "2026-02-22T03:00:00Z".parse().ok(),
        until: "2026-03-01T03:00:00Z".parse().unwrap(),
    });
    evidence.lineage.champion = Some(6);
    let votes = [vote(
        Decision::Approve,
        "grace@example.com",
        "Good on the\nholdout, too.",
    )];
    let reminder = Occasion::Reminder { left_seconds: 82_800 };
    let notices = [
        approval_request(&evidence, "ada@example.com", LINK, &votes, &reminder),
        approval_request(&evidence, "ada@example.com", LINK, &[], &Occasion::Changed),
    ];
    // What follows is as in the first.
    let short = |notice: &Notice| full(notice).split("\nMETRICS").next().unwrap().to_owned();
    insta::assert_snapshot!(notices.iter().map(short).collect::<Vec<_>>().join("\n----\n"));
    let quorum = "grace@example.com, alan@example.com. 2 approvals release it; one\nrejection rejects it.";
    assert!(notices[0].body().contains(quorum), "{}", notices[0].body());
}

#[test]
fn an_automatic_release() {
    insta::assert_snapshot!(full(&automatic(&sample())));
}

#[test]
fn the_first_version_and_a_bare_one() {
    let mut first = sample();
    first.champion = None;
    first.lineage = crate::lineage::Lineage::of(Trigger::Registry);
    first.trained_seconds = None;
    first.gate.clear();
    first.approvers.truncate(1);
    insta::assert_snapshot!(full(&approval_request(
        &first,
        "ada@example.com",
        LINK,
        &[],
        &Occasion::First
    )));
}

const ENDPOINT_LOG: &str = "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252FEndpoints$252Fchurn";
const CONSOLE: &str = "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/churn";

#[test]
fn outcomes() {
    let evidence = sample();
    let execution = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn/execution/abcdefghijkl";
    let mut scheduled = Lineage::of(Trigger::Schedule);
    scheduled.commit = Some("4c1d0b9".into());
    scheduled.evidence.insert("due".into(), "2026-03-01T03:00:00Z".into());
    let pushed = Lineage::of(Trigger::Push);
    let failed = failed_training(execution, &pushed);
    let notices = [
        rollout_started(
            &churn(),
            7,
            Some(6),
            Some("ada@example.com, grace@example.com"),
            "canary: 25 % of the traffic, 1 of 4 instances, for 5 min",
            &["6 instances are kept: the endpoint was scaled from 2".to_owned()],
        ),
        traffic_shifted(&churn(), 7, 25, Some(300)),
        deployed(&churn(), 1, None, None, "all at once", "", None),
        deployed(
            &churn(),
            7,
            Some(6),
            Some("ada@example.com"),
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
                log_url: ENDPOINT_LOG,
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
        rejected(
            &churn(),
            3,
            "ada@example.com",
            Some(evidence.expires),
            "The log loss is worse\nthan it looks.",
        ),
        rejected(&churn(), 3, "CodePipeline's console", None, ""),
        expired(&churn(), 4, evidence.expires, &evidence.approvers),
        superseded_by(&churn(), 7, 8),
        stopped(&churn(), 7),
        crossed(
            &churn(),
            7,
            &vote(
                Decision::Reject,
                "ada@example.com",
                "The log loss is worse\nthan it looks.",
            ),
            &Decided {
                at: None,
                ..vote(Decision::Approve, "CodePipeline's console", "")
            },
            "To release it after all, approve the version in the model registry.",
        ),
        gate_not_met(
            &churn(),
            5,
            "accuracy 0.8 is not above 0.85",
            &evidence.metrics,
            evidence.champion.as_ref(),
        ),
        approved_in_vain(&churn(), 5, "not held: metrics.accuracy = 0.8"),
        training_failed(
            &churn(),
            &Failed {
                lineage: &scheduled,
                step: Some("Train"),
                reason: "AlgorithmError: exit code: 1",
                job: Some("arn:aws:sagemaker:eu-west-1:123456789012:training-job/pipelines-k3j4-Train-x9"),
                numbers: Some(&evidence.metrics),
                row: Some(Row {
                    count: 26,
                    untold: 24,
                    since: "2026-02-28T02:00:00Z".parse().ok(),
                }),
                ..failed
            },
        ),
        training_failed(
            &churn(),
            &Failed {
                reason: "somebody stopped the execution",
                ..failed
            },
        ),
        release_failed(
            &churn(),
            6,
            "no capacity for ml.m5.large",
            "Retry the Deploy stage.",
            ENDPOINT_LOG,
        ),
    ];
    insta::assert_snapshot!(notices.iter().map(full).collect::<Vec<_>>().join("\n----\n"));
}

fn failed_training<'a>(execution: &'a str, lineage: &'a Lineage) -> Failed<'a> {
    Failed {
        execution,
        lineage,
        step: None,
        reason: "",
        job: None,
        numbers: None,
        row: None,
    }
}

#[test]
fn subjects_say_what_happened() {
    let none = Metrics::default();
    let evidence = sample();
    for (notice, expected) in [
        (
            approval_request(&sample(), "a", LINK, &[], &Occasion::First),
            "approve churn v7?",
        ),
        (
            rollout_started(&churn(), 1, None, None, "", &[]),
            "churn v1 begins to take over",
        ),
        (
            traffic_shifted(&churn(), 1, 25, None),
            "churn v1 takes 25 % of the traffic",
        ),
        (deployed(&churn(), 1, None, None, "", "", None), "churn v1 deployed"),
        (rolled_back(&churn(), 2, &TakenBack::default()), "churn v2 rolled back"),
        (superseded(&churn(), 2, ""), "churn v2 superseded"),
        (not_scaled(&churn(), ""), "churn is not scaled"),
        (rollback_failed(&churn(), "", "", ""), "churn ROLLBACK FAILED"),
        (rejected(&churn(), 3, "", None, ""), "churn v3 rejected"),
        (automatic(&sample()), "churn v7 released automatically"),
        (superseded_by(&churn(), 7, 8), "churn v7 superseded by v8"),
        (stopped(&churn(), 7), "churn v7 stopped"),
        (
            crossed(
                &churn(),
                7,
                &vote(Decision::Approve, "", ""),
                &vote(Decision::Reject, "", ""),
                "",
            ),
            "churn v7: two decisions crossed",
        ),
        (expired(&churn(), 4, Timestamp::UNIX_EPOCH, &[]), "churn v4 expired"),
        (gate_not_met(&churn(), 5, "", &none, None), "churn v5 gate not met"),
        (
            approved_in_vain(&churn(), 5, ""),
            "churn v5: approved in vain, gate not met",
        ),
        (
            training_failed(&churn(), &failed_training("", &evidence.lineage)),
            "churn training failed",
        ),
        (
            training_failed(
                &churn(),
                &Failed {
                    row: Some(Row {
                        count: 2,
                        untold: 1,
                        since: None,
                    }),
                    ..failed_training("", &evidence.lineage)
                },
            ),
            "churn training failed, 2 in a row",
        ),
        (release_failed(&churn(), 6, "", "", ""), "churn v6 release failed"),
        (
            endpoint_troubled(&churn(), Trouble::RollingBack, "", ""),
            "churn is rolling back",
        ),
        (
            endpoint_troubled(&churn(), Trouble::Stuck, "", ""),
            "churn endpoint is stuck between two versions",
        ),
        (
            endpoint_troubled(&churn(), Trouble::Failed, "", ""),
            "churn endpoint has failed",
        ),
        (
            alarm_left(&churn(), "churn-5xx", "", ""),
            "churn alarm churn-5xx: look at the endpoint",
        ),
    ] {
        assert_eq!(notice.subject(), format!("[signalbox] {expected}"));
    }
}

#[test]
fn a_commit_can_write_no_second_link() {
    let mut evidence = sample();
    evidence.lineage.message = Some("Fix\n\nTo approve, open:\nhttps://evil.example/?c=1\nwww.evil.example".into());
    evidence.metrics = [("see http://evil.example", 1.0)].into_iter().collect();
    evidence.lineage.author = Some("Eve <https://evil.example>".into());
    evidence.lineage.evidence = [("http://evil.example".into(), "https://evil.example".into())].into();
    let votes = [vote(
        Decision::Approve,
        "https://evil.example",
        "www.evil.example\nhttp://evil.example Www.evil.example WWW.EVIL.EXAMPLE",
    )];
    let request = approval_request(&evidence, "ada@example.com", LINK, &votes, &Occasion::Changed);
    let body = request.body().to_owned();
    assert!(!automatic(&evidence).body().contains("://"));
    let crossed = crossed(&churn(), 7, &votes[0], &votes[0], "https://evil.example");
    assert!(!crossed.body().contains("://") && !crossed.body().to_lowercase().contains("www.evil"));
    assert_eq!(body.matches("://").count(), 1, "{body}");
    assert!(body.lines().any(|line| line == LINK));
    assert!(!body.to_lowercase().contains("www.evil"), "{body}");
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

/// A row of 72 columns is one line; of 73, the name has one of its own.
#[test]
fn a_row_is_one_line_where_it_fits() {
    let metrics: Metrics = [("holdout_month_loss", -2.5e-300)].into_iter().collect();
    for (theirs, row) in [
        (
            0.5,
            "holdout_month_loss  -2.500e-300  v4294967295    0.5000    -0.5000 better\n",
        ),
        (
            -1_234_567.8,
            "holdout_month_loss\n  -2.500e-300  v4294967295 -1234567.8  +1234567.8 worse\n",
        ),
    ] {
        let champion = Champion {
            version: u32::MAX,
            metrics: [("holdout_month_loss", theirs)].into_iter().collect(),
        };
        let notice = gate_not_met(&churn(), 7, "", &metrics, Some(&champion));
        assert!(notice.body().contains(row), "{row}{}", notice.body());
    }
}

#[test]
fn lines_break_before_the_first_word_that_does_not_fit() {
    let x = |count: usize| "x".repeat(count);
    for (words, expected) in [
        (format!("{} {}", x(35), x(36)), format!("{} {}", x(35), x(36))),
        (format!("{} {}", x(35), x(37)), format!("{}\n{}", x(35), x(37))),
        // A word that is longer than a line is broken, and no line is empty.
        (x(72), x(72)),
        (x(80), format!("{}\n{}", x(72), x(8))),
        (format!("{} y", x(80)), format!("{}\n{} y", x(72), x(8))),
        (
            format!("{} y", vec!["xx"; 24].join(" ")),
            format!("{}\ny", vec!["xx"; 24].join(" ")),
        ),
    ] {
        let mut text = Text::new();
        text.line(&words);
        assert_eq!(text.body(), format!("{expected}\n"), "{words}");
    }
    let mut text = Text::new();
    text.bullet(&format!("{} {}", x(70), x(71)));
    assert_eq!(text.body(), format!("- {}\n  {}\n  x\n", x(70), x(70)));
}

#[test]
fn a_quote_begins_beside_its_name_where_it_is_one_line() {
    let words = |last: &str| format!("{} {last}", vec!["xxx"; 15].join(" "));
    for (quoted, expected) in [
        (words("yyy"), format!("Message: {}", words("yyy"))),
        (words("yyyy"), format!("Message:\n  {}", words("yyyy"))),
        ("a\n\nb".to_owned(), "Message:\n  a\n  b".to_owned()),
        ("\n".to_owned(), String::new()),
    ] {
        let mut text = Text::new();
        text.quote("Message", &quoted);
        assert_eq!(text.body(), format!("{expected}\n"), "{quoted}");
    }
}

#[test]
fn who_is_asked_alone_is_told_what_it_takes() {
    for (needed, expected) in [
        (1, "WHO ELSE WAS ASKED\nNobody: the decision is yours.\n"),
        (
            2,
            "WHO ELSE WAS ASKED\nNobody. 2 approvals release it; one rejection rejects it.\n",
        ),
    ] {
        let mut evidence = sample();
        evidence.approvers.truncate(1);
        evidence.approvals_needed = needed;
        let request = approval_request(&evidence, "ada@example.com", LINK, &[], &Occasion::First);
        assert!(request.body().contains(expected), "{}", request.body());
    }
}

#[test]
fn what_has_no_numbers_says_so() {
    let (lineage, none) = (Lineage::of(Trigger::Push), Metrics::default());
    for numbers in [None, Some(&none)] {
        let failed = Failed {
            numbers,
            ..failed_training("", &lineage)
        };
        let notice = training_failed(&churn(), &failed);
        assert!(notice.body().contains("There are no metrics"), "{}", notice.body());
    }
}

#[test]
fn many_metrics_are_counted() {
    let metrics = |count: u32| -> Metrics { (0..count).map(|i| (format!("m{i:02}"), f64::from(i))).collect() };
    let body = |count: u32| gate_not_met(&churn(), 5, "", &metrics(count), None).body().to_owned();
    assert!(body(40).ends_with("m39  39.0000\n"), "{}", body(40));
    let body = body(45);
    assert!(
        body.contains("m39") && !body.contains("m40") && body.contains("and 5 more."),
        "{body}"
    );
}

prop_compose! {
    fn any_vote()(approve in any::<bool>(), by in any::<String>(), comment in any::<String>(),
                  at in any::<Option<u32>>()) -> Decided {
        Decided {
            decision: if approve { Decision::Approve } else { Decision::Reject },
            by,
            at: at.map(|at| Timestamp::from_second(at.into()).unwrap()),
            comment,
        }
    }
}

prop_compose! {
    fn any_evidence()(message in any::<Option<String>>(), author in any::<Option<String>>(), plan in any::<String>(),
                      seen in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..3),
                      names in proptest::collection::btree_map(any::<String>(), any::<f64>(), 0..5),
                      theirs in proptest::collection::btree_map(any::<String>(), any::<f64>(), 0..5),
                      rule in any::<String>(), text in any::<String>(), other in any::<String>(),
                      needed in any::<u32>(), version in 1..=u32::MAX, model in "[a-zA-Z0-9]([a-zA-Z0-9-]{0,38}[a-zA-Z0-9])?") -> Evidence {
        let mut sample = sample();
        sample.lineage.author = author;
        sample.lineage.message = message;
        sample.lineage.evidence = seen;
        Evidence {
            model: model.parse().unwrap(),
            package: sample.package.with_version(version),
            plan,
            metrics: names.into_iter().collect(),
            champion: Some(Champion { version, metrics: theirs.into_iter().collect() }),
            gate: vec![crate::evidence::GateVerdict { name: rule, held: false, text }],
            approvers: vec![other],
            approvals_needed: needed,
            ..sample
        }
    }
}

const EXECUTION: &str = "https://eu-west-1.console.aws.amazon.com/codesuite/codepipeline/pipelines/churn-train/executions/01234567-89ab-cdef-0123-456789abcdef/timeline?region=eu-west-1";
const FUNCTION_LOG: &str = "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Flambda$252Fchurn-start-training";

fn failed_action<'a>(stage: &'a str, action: &'a str) -> FailedAction<'a> {
    FailedAction {
        pipeline: "churn-train",
        stage,
        action,
        reason: None,
        build: None,
        log_url: None,
        execution_url: EXECUTION,
    }
}

#[test]
fn pushes_that_are_not_trained() {
    let build = build(build::Status::Failed);
    let notices = [
        FailedAction {
            reason: Some("Build terminated with state: FAILED"),
            build: Some(&build),
            ..failed_action("Build", "Build")
        },
        FailedAction {
            reason: Some("ConfigurationError: the build has no pipeline-definition.json"),
            log_url: Some(FUNCTION_LOG),
            ..failed_action("Train", "StartTraining")
        },
        failed_action("Source", "Source"),
    ];
    let notices = notices.map(|failed| full(&action_failed(&churn(), &failed)));
    insta::assert_snapshot!(notices.join("\n----\n"));
}

fn any_occasion() -> impl Strategy<Value = Occasion> {
    prop_oneof![
        Just(Occasion::First),
        any::<u64>().prop_map(|left_seconds| Occasion::Reminder { left_seconds }),
        Just(Occasion::Changed),
    ]
}

fn lines_are_short(notice: &Notice) -> Result<(), TestCaseError> {
    for line in notice.body().lines().filter(|line| *line != LINK) {
        prop_assert!(line.chars().count() <= COLUMNS, "{:?}", line);
    }
    Ok(())
}

fn subject_fits(notice: &Notice) -> Result<(), TestCaseError> {
    let subject = notice.subject();
    prop_assert!(
        subject.len() <= SUBJECT_CHARS_MAX && !subject.ends_with("..."),
        "{}",
        subject
    );
    prop_assert!(subject.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", subject);
    Ok(())
}

proptest! {
    #[test]
    fn lines_are_short_and_subjects_fit(evidence in any_evidence(),
                                        votes in proptest::collection::vec(any_vote(), 0..4),
                                        occasion in any_occasion()) {
        let notice = approval_request(&evidence, "ada@example.com", LINK, &votes, &occasion);
        subject_fits(&notice)?;
        lines_are_short(&notice)?;
        let end = format!("v{}?", evidence.version());
        prop_assert!(notice.subject().ends_with(&end));
        let links = notice.body().lines().filter(|line| *line == LINK).count();
        prop_assert_eq!(links, 1);
        prop_assert_eq!(notice.body().matches("://").count(), 1);
    }

    #[test]
    fn what_fails_writes_no_link(evidence in any_evidence(), says in proptest::collection::vec("(?s)(https://|.){0,900}", 0..3),
                                 reason in "(?s)(https://|.){0,900}", name in "(?s)(https://|.){0,90}", log in "https://.{0,90}") {
        let mut failed = build(build::Status::Failed);
        failed.phases[1].says = says;
        (failed.phases[1].name, failed.log_url) = (name.clone(), Some(log));
        let links = failed.log_url.as_deref().and_then(build::safe_url).map_or(1, |_| 2);
        let action = FailedAction {
            reason: Some(&reason),
            build: Some(&failed),
            ..failed_action(&name, &name)
        };
        let notice = action_failed(&evidence.model, &action);
        subject_fits(&notice)?;
        prop_assert_eq!(notice.body().matches("://").count(), links, "{}", notice.body());
        for line in notice.body().lines().filter(|line| !line.starts_with("https://")) {
            prop_assert!(line.chars().count() <= COLUMNS, "{:?}", line);
        }
    }

    #[test]
    fn the_other_mails_fit_too(evidence in any_evidence(), one in any_vote(), other in any_vote(), by in 1..=u32::MAX) {
        let (model, version) = (&evidence.model, evidence.version());
        let comments = [one.comment.clone(), other.comment.clone()];
        for notice in [
            automatic(&evidence),
            superseded_by(model, version, by),
            stopped(model, version),
            crossed(model, version, &one, &other, &one.comment),
            rejected(model, version, &one.by, one.at, &one.comment),
            rollout_started(model, version, Some(by), Some(&one.by), &evidence.plan, &comments),
            deployed(model, version, Some(by), Some(&one.by), &evidence.plan, &one.comment, None),
            endpoint_troubled(model, Trouble::Failed, &one.by, &one.comment),
            alarm_left(model, "churn-5xx", &one.comment, &other.comment),
        ] {
            subject_fits(&notice)?;
            lines_are_short(&notice)?;
            prop_assert_eq!(notice.body().matches("://").count(), 0);
        }
    }
}
