use std::collections::BTreeMap;

use serde_json::{Value, json};
use signalbox_model::package::ModelPackage;

use super::*;
use crate::error::ErrorKind;
use crate::memory::{Packages, ReleaseTrain};
use crate::recorded::{Recorded, SECONDS, output, refusal, time};

const RELEASE: &str = "0c9e6c1a-7d2f-4f0b-9a55-2f6d1f0a3b4c";
const EARLIER: &str = "11111111-2222-3333-4444-555555555555";
const PACKAGE: &str = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn/7";

fn release() -> ReleaseId {
    RELEASE.parse().unwrap()
}

fn package() -> ModelPackageArn {
    PACKAGE.parse().unwrap()
}

#[tokio::test]
async fn a_release_starts_with_a_token_that_follows_from_its_version() {
    let recorded = Recorded::new([
        output(json!({"pipelineExecutionId": RELEASE})),
        output(json!({"pipelineExecutionId": RELEASE})),
    ]);
    let releases = Releases::new(&recorded.sdk());
    let started = releases.start("train", &package(), None, "registered").await;
    assert_eq!(started.unwrap(), release());
    let ended = EARLIER.parse().unwrap();
    let started = releases.start("train", &package(), Some(&ended), "approved").await;
    assert_eq!(started.unwrap(), release());
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / CodePipeline_20150709.StartPipelineExecution
    {
      "clientRequestToken": "churn-v7",
      "name": "train",
      "variables": [
        {
          "name": "ModelPackageArn",
          "value": "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn/7"
        },
        {
          "name": "ModelVersion",
          "value": "7"
        },
        {
          "name": "Reason",
          "value": "registered"
        }
      ]
    }

    POST / CodePipeline_20150709.StartPipelineExecution
    {
      "clientRequestToken": "churn-v7-after-11111111-2222-3333-4444-555555555555",
      "name": "train",
      "variables": [
        {
          "name": "ModelPackageArn",
          "value": "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn/7"
        },
        {
          "name": "ModelVersion",
          "value": "7"
        },
        {
          "name": "Reason",
          "value": "approved"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn a_rollback_starts_with_a_token_that_follows_from_the_release() {
    let recorded = Recorded::new([output(json!({"pipelineExecutionId": EARLIER}))]);
    let reason = "the alarm \"churn-5xx\" fired:\n[0.2] > 0.02 #{variables.Undoes}";
    let started = Releases::new(&recorded.sdk())
        .roll_back("churn-rollback", 7, &release(), reason)
        .await;
    assert_eq!(started.unwrap().as_str(), EARLIER);
    // The reason stands inside of JSON, and is no variable of CodePipeline's.
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / CodePipeline_20150709.StartPipelineExecution
    {
      "clientRequestToken": "undo-0c9e6c1a-7d2f-4f0b-9a55-2f6d1f0a3b4c",
      "name": "churn-rollback",
      "variables": [
        {
          "name": "Undoes",
          "value": "7"
        },
        {
          "name": "Reason",
          "value": "the alarm 'churn-5xx' fired: [0.2] > 0.02  {variables.Undoes}"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn a_reason_is_cut_to_what_a_variable_takes() {
    for (chars, expected) in [(999, 999), (1000, 1000), (1001, 1000)] {
        let recorded = Recorded::new([output(json!({"pipelineExecutionId": RELEASE}))]);
        let releases = Releases::new(&recorded.sdk());
        releases
            .start("train", &package(), None, &"é".repeat(chars))
            .await
            .unwrap();
        assert_eq!(recorded.requests().matches('é').count(), expected, "{chars}");
    }
    // Beside the reason of a rollback, its user parameters have more to hold.
    let recorded = Recorded::new([output(json!({"pipelineExecutionId": RELEASE}))]);
    let releases = Releases::new(&recorded.sdk());
    releases
        .roll_back("rollback", 7, &release(), &"é".repeat(301))
        .await
        .unwrap();
    assert_eq!(recorded.requests().matches('é').count(), 300);
}

#[tokio::test]
async fn an_answer_without_a_release_is_incomplete() {
    for answer in [json!({}), json!({"pipelineExecutionId": "not a UUID"})] {
        let recorded = Recorded::new([output(answer.clone()), output(answer)]);
        let releases = Releases::new(&recorded.sdk());
        let started = [
            releases.start("train", &package(), None, "").await,
            releases.roll_back("rollback", 7, &release(), "").await,
        ];
        for started in started {
            assert_eq!(started.unwrap_err().code, "IncompleteAnswer");
        }
    }
}

fn state(latest: Value) -> Value {
    json!({"pipelineName": "train", "stageStates": [
        {"stageName": "Source", "latestExecution": {"pipelineExecutionId": EARLIER, "status": "Succeeded"}, "actionStates": [
            {"actionName": "Source", "latestExecution": {"status": "InProgress", "token": "of another stage"}},
        ]},
        {"stageName": "Approve", "latestExecution": {"pipelineExecutionId": RELEASE, "status": "InProgress"}, "actionStates": [
            {"actionName": "Request", "latestExecution": {"status": "Succeeded", "token": "of another action"}},
            {"actionName": "Approve", "latestExecution": latest},
        ]},
    ]})
}

fn waits(since: Option<Timestamp>) -> Waiting {
    Waiting {
        release: release(),
        token: "secret".to_owned(),
        since,
    }
}

#[tokio::test]
async fn what_waits_is_the_release_in_the_approval_stage() {
    let token = |status: &str| state(json!({"status": status, "token": "secret"}));
    let table = [
        (
            "waits",
            state(json!({"status": "InProgress", "token": "secret", "lastStatusChange": SECONDS})),
            Some(waits(Some(time()))),
        ),
        ("waits, nobody says since when", token("InProgress"), Some(waits(None))),
        (
            "waits, but the token is not there yet",
            state(json!({"status": "InProgress", "lastStatusChange": SECONDS})),
            None,
        ),
        ("answered", token("Succeeded"), None),
        ("refused", token("Failed"), None),
        ("stopped", token("Abandoned"), None),
        (
            "never ran",
            json!({"stageStates": [{"stageName": "Approve", "actionStates": [{"actionName": "Approve"}]}]}),
            None,
        ),
        ("no such stage", json!({"stageStates": [{"stageName": "Source"}]}), None),
        ("nothing", json!({}), None),
    ];
    for (case, answer, expected) in table {
        let recorded = Recorded::new([output(answer)]);
        let waiting = Releases::new(&recorded.sdk()).waiting("train").await.unwrap();
        assert_eq!(waiting, expected, "{case}");
        let request = "POST / CodePipeline_20150709.GetPipelineState\n{\n  \"name\": \"train\"\n}";
        assert_eq!(recorded.requests(), request, "{case}");
    }
}

#[tokio::test]
async fn a_release_under_way_has_moved_when_any_of_its_actions_has() {
    let stage = |name: &str, release: &str, status: &str, changes: &[f64]| {
        let action =
            |change: &f64| json!({"actionName": "A", "latestExecution": {"lastStatusChange": SECONDS + change}});
        json!({"stageName": name, "latestExecution": {"pipelineExecutionId": release, "status": status},
            "actionStates": changes.iter().map(action).collect::<Vec<_>>()})
    };
    let source = |release| stage("Source", release, "Succeeded", &[60.0]);
    for (case, stages, expected) in [
        (
            "waits",
            vec![source(RELEASE), stage("Approve", RELEASE, "InProgress", &[300.0])],
            Some(300),
        ),
        // Its stage has begun, and its action has not.
        (
            "between two actions",
            vec![source(RELEASE), stage("Approve", RELEASE, "InProgress", &[])],
            Some(60),
        ),
        (
            "of two actions the newer",
            vec![stage("Approve", RELEASE, "InProgress", &[9.0, 7.0])],
            Some(9),
        ),
        (
            "of two releases the one that has stood longer",
            vec![
                source(EARLIER),
                stage("Approve", EARLIER, "InProgress", &[300.0]),
                stage("Deploy", RELEASE, "InProgress", &[120.0]),
            ],
            Some(120),
        ),
        (
            "what has ended is not under way",
            vec![
                source(RELEASE),
                stage("Approve", RELEASE, "Succeeded", &[300.0]),
                stage("Deploy", RELEASE, "Failed", &[400.0]),
            ],
            None,
        ),
        (
            "nobody says when",
            vec![stage("Approve", RELEASE, "InProgress", &[])],
            None,
        ),
        ("never ran", vec![json!({"stageName": "Source"})], None),
        ("nothing", vec![], None),
    ] {
        let recorded = Recorded::new([output(json!({"stageStates": stages}))]);
        let standing = Releases::new(&recorded.sdk()).standing("train").await.unwrap();
        let after = standing.moved.map(|moved| moved.duration_since(time()).as_secs());
        assert_eq!(after, expected, "{case}");
        recorded.requests();
        let now = time() + jiff::SignedDuration::from_secs(1000);
        let idle = expected.map_or(0, |expected| 1000 - expected.unsigned_abs());
        assert_eq!(standing.idle_seconds(now), idle, "{case}");
        assert_eq!(standing.idle_seconds(time()), 0, "{case}: a clock that is behind");
    }
}

#[test]
fn what_waits_hides_its_token() {
    let debug = format!("{:?}", waits(Some(time())));
    assert!(
        debug.contains(RELEASE) && debug.contains("2026") && !debug.contains("secret"),
        "{debug}"
    );
}

#[tokio::test]
async fn undecided_is_what_has_not_passed_the_approval() {
    let stage = |name: &str, member: &str, status: &str| {
        let execution = json!({"pipelineExecutionId": RELEASE, "status": status});
        let several = member == "inboundExecutions";
        json!({"stageName": name, member: if several { json!([execution]) } else { execution }})
    };
    let latest = |name: &str, status: &str| stage(name, "latestExecution", status);
    for (stages, expected) in [
        (json!([latest("Source", "InProgress"), {"stageName": "Approve"}]), true),
        (
            json!([latest("Source", "Succeeded"), latest("Approve", "InProgress")]),
            true,
        ),
        (
            json!([{"stageName": "Source"}, stage("Approve", "inboundExecution", "InProgress")]),
            true,
        ),
        (
            json!([stage("Source", "inboundExecutions", "InProgress"), {"stageName": "Approve"}]),
            true,
        ),
        (
            json!([latest("Source", "Succeeded"), latest("Approve", "Succeeded")]),
            false,
        ),
        (json!([latest("Source", "Failed"), latest("Approve", "Stopped")]), false),
        // Decided, and on its way to the endpoint.
        (
            json!([{"stageName": "Source"}, latest("Approve", "Succeeded"), latest("Deploy", "InProgress")]),
            false,
        ),
        (json!([]), false),
    ] {
        let recorded = Recorded::new([output(json!({"stageStates": stages}))]);
        let undecided = Releases::new(&recorded.sdk()).undecided("train").await.unwrap();
        assert_eq!(undecided, expected.then(release), "{stages}");
        let request = "POST / CodePipeline_20150709.GetPipelineState\n{\n  \"name\": \"train\"\n}";
        assert_eq!(recorded.requests(), request);
    }
}

#[tokio::test]
async fn a_release_names_its_version() {
    let variables = |variables: Value| json!({"pipelineExecution": {"variables": variables}});
    let table = [
        (
            variables(json!([
                {"name": "Reason", "resolvedValue": "registered"},
                {"name": "ModelPackageArn", "resolvedValue": PACKAGE},
            ])),
            Some(package()),
        ),
        (
            variables(json!([{"name": "ModelPackageArn", "resolvedValue": "none"}])),
            None,
        ),
        (variables(json!([{"name": "ModelPackageArn"}])), None),
        (variables(json!([])), None),
        (json!({}), None),
    ];
    for (answer, expected) in table {
        let recorded = Recorded::new([output(answer.clone())]);
        let named = Releases::new(&recorded.sdk()).package_of("train", &release()).await;
        assert_eq!(named.unwrap(), expected, "{answer}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(recorded.requests(), @r#"
            POST / CodePipeline_20150709.GetPipelineExecution
            {
              "pipelineExecutionId": "0c9e6c1a-7d2f-4f0b-9a55-2f6d1f0a3b4c",
              "pipelineName": "train"
            }
            "#);
        }
    }
}

/// An approval as ListActionExecutions shows it.
fn listed(release: &str, status: &str, more: Value) -> Value {
    let mut action = json!({
        "pipelineExecutionId": release, "stageName": "Approve", "actionName": "Approve", "status": status,
        "startTime": SECONDS - 60.0, "lastUpdateTime": SECONDS,
    });
    let more = more.as_object().unwrap().clone();
    action.as_object_mut().unwrap().extend(more);
    action
}

/// What others do in the same release.
fn neighbours() -> [Value; 2] {
    let of = |stage: &str, action: &str| {
        let result = json!({"executionResult": {"externalExecutionSummary": "not an approval"}});
        listed(
            RELEASE,
            "Failed",
            json!({"stageName": stage, "actionName": action, "output": result}),
        )
    };
    [of("Deploy", "Approve"), of("Approve", "Request")]
}

#[tokio::test]
async fn an_approval_is_seen_with_who_answered_it_and_when() {
    let bob = "arn:aws:iam::111122223333:user/bob";
    let said =
        |summary: &str| json!({"updatedBy": bob, "output": {"executionResult": {"externalExecutionSummary": summary}}});
    let seen = |status, summary: &str, identity: Option<&str>| {
        Some(Seen {
            status,
            summary: summary.to_owned(),
            identity: identity.map(str::to_owned),
            since: Some(time() - jiff::SignedDuration::from_mins(1)),
            at: time(),
        })
    };
    let table = [
        (
            listed(RELEASE, "Succeeded", said("fine")),
            seen(ActionStatus::Succeeded, "fine", Some(bob)),
        ),
        (
            listed(RELEASE, "Failed", said("no")),
            seen(ActionStatus::Failed, "no", Some(bob)),
        ),
        // Nobody has answered in time.
        (
            listed(RELEASE, "Failed", json!({"output": {"executionResult": {}}})),
            seen(ActionStatus::Failed, "", None),
        ),
        (
            listed(RELEASE, "InProgress", json!({})),
            seen(ActionStatus::InProgress, "", None),
        ),
        (
            listed(RELEASE, "Abandoned", json!({"output": {}})),
            seen(ActionStatus::Abandoned, "", None),
        ),
        (listed(RELEASE, "Dreaming", json!({})), None),
        (listed(RELEASE, "Succeeded", json!({"lastUpdateTime": null})), None),
        (listed("not a UUID", "Succeeded", json!({})), None),
    ];
    for (approval, expected) in table {
        let [deploy, request] = neighbours();
        let details = json!({"actionExecutionDetails": [deploy, request, approval]});
        let recorded = Recorded::new([output(details)]);
        let found = Releases::new(&recorded.sdk()).approval_of("train", &release()).await;
        assert_eq!(found.unwrap(), expected, "{approval}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(recorded.requests(), @r#"
            POST / CodePipeline_20150709.ListActionExecutions
            {
              "filter": {
                "pipelineExecutionId": "0c9e6c1a-7d2f-4f0b-9a55-2f6d1f0a3b4c"
              },
              "maxResults": 100,
              "pipelineName": "train"
            }
            "#);
        }
    }
}

#[tokio::test]
async fn of_an_approval_that_was_retried_the_newest_counts() {
    let details = json!({"actionExecutionDetails": [
        listed(RELEASE, "InProgress", json!({})),
        listed(RELEASE, "Failed", json!({"lastUpdateTime": SECONDS - 600.0})),
    ]});
    let recorded = Recorded::new([output(details)]);
    let found = Releases::new(&recorded.sdk()).approval_of("train", &release()).await;
    assert_eq!(found.unwrap().unwrap().status, ActionStatus::InProgress);
}

#[tokio::test]
async fn the_newest_approvals_are_listed_in_one_page() {
    let [deploy, request] = neighbours();
    let details = json!({
        "actionExecutionDetails": [
            request,
            listed(RELEASE, "InProgress", json!({})),
            deploy,
            listed(EARLIER, "Abandoned", json!({"lastUpdateTime": SECONDS - 600.0})),
        ],
        // What is older than the newest hundred is not asked for.
        "nextToken": "more",
    });
    let recorded = Recorded::new([output(details), output(json!({}))]);
    let releases = Releases::new(&recorded.sdk());
    let seen = |status, at| Seen {
        status,
        summary: String::new(),
        identity: None,
        since: Some(time() - jiff::SignedDuration::from_mins(1)),
        at,
    };
    let before = time() - jiff::SignedDuration::from_mins(10);
    let recent = |release, approval, failure: Option<&str>| Recent {
        release,
        approval,
        failure: failure.map(str::to_owned),
    };
    assert_eq!(
        releases.recent_approvals("train").await.unwrap(),
        [
            recent(
                release(),
                seen(ActionStatus::InProgress, time()),
                Some("not an approval")
            ),
            recent(EARLIER.parse().unwrap(), seen(ActionStatus::Abandoned, before), None),
        ]
    );
    assert_eq!(releases.recent_approvals("train").await.unwrap(), []);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / CodePipeline_20150709.ListActionExecutions
    {
      "maxResults": 100,
      "pipelineName": "train"
    }

    POST / CodePipeline_20150709.ListActionExecutions
    {
      "maxResults": 100,
      "pipelineName": "train"
    }
    "#);
}

#[tokio::test]
async fn an_approval_is_answered() {
    let recorded = Recorded::new([output(json!({"approvedAt": 1_774_000_000})), output(json!({}))]);
    let releases = Releases::new(&recorded.sdk());
    assert!(releases.answer("train", "secret", true, "ada: fine").await.unwrap());
    let long = format!("ada: {}", "no".repeat(SUMMARY_CHARS_MAX));
    assert!(releases.answer("train", "secret", false, &long).await.unwrap());
    let requests = recorded.requests().replace(&"no".repeat(250), "(250 times no)");
    insta::assert_snapshot!(requests, @r#"
    POST / CodePipeline_20150709.PutApprovalResult
    {
      "actionName": "Approve",
      "pipelineName": "train",
      "result": {
        "status": "Approved",
        "summary": "ada: fine"
      },
      "stageName": "Approve",
      "token": "secret"
    }

    POST / CodePipeline_20150709.PutApprovalResult
    {
      "actionName": "Approve",
      "pipelineName": "train",
      "result": {
        "status": "Rejected",
        "summary": "ada: (250 times no)nononon"
      },
      "stageName": "Approve",
      "token": "secret"
    }
    "#);
}

#[tokio::test]
async fn an_approval_that_was_answered_before_is_not_an_error() {
    for code in ["InvalidApprovalTokenException", "ApprovalAlreadyCompletedException"] {
        let recorded = Recorded::new([refusal(code, "too late")]);
        let answered = Releases::new(&recorded.sdk())
            .answer("train", "secret", true, "ada")
            .await;
        assert!(!answered.unwrap(), "{code}");
    }
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (code, expected) in [
        ("ThrottlingException", ErrorKind::Transient),
        ("AccessDeniedException", ErrorKind::Denied),
        ("PipelineNotFoundException", ErrorKind::NotFound),
        (
            "ConcurrentPipelineExecutionsLimitExceededException",
            ErrorKind::Conflict,
        ),
    ] {
        let recorded = Recorded::new(std::iter::repeat_n(refusal(code, "no"), 7));
        let releases = Releases::new(&recorded.sdk());
        let errors = [
            releases.start("train", &package(), None, "").await.unwrap_err(),
            releases.roll_back("rollback", 7, &release(), "").await.unwrap_err(),
            releases.waiting("train").await.unwrap_err(),
            releases.package_of("train", &release()).await.unwrap_err(),
            releases.approval_of("train", &release()).await.unwrap_err(),
            releases.recent_approvals("train").await.unwrap_err(),
            releases.answer("train", "secret", true, "ada").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(
                (error.kind, error.code.as_str(), error.message.as_str()),
                (expected, code, "no"),
                "{error}"
            );
        }
        recorded.requests();
    }
}

/// Version 7 waits.
fn train(approval: ApprovalStatus) -> (ReleaseTrain, Packages) {
    let (releases, packages) = (ReleaseTrain::default(), Packages::default());
    releases.wait(waits(Some(time())), package());
    packages.put(ModelPackage {
        arn: package(),
        approval,
        approval_description: None,
        metrics_uri: None,
        generated_by: None,
        metadata: BTreeMap::new(),
        containers: Vec::new(),
        created_at: None,
        modified_at: None,
        modified_by: None,
    });
    (releases, packages)
}

#[tokio::test]
async fn an_older_version_that_waits_makes_way_for_a_newer_one() {
    let (pending, approved, rejected) = (
        ApprovalStatus::PendingManualApproval,
        ApprovalStatus::Approved,
        ApprovalStatus::Rejected,
    );
    for (approval, newer, expected) in [
        (pending, 8, true),
        (pending, 7, false),
        (pending, 6, false),
        // What was decided by another door is not taken back by this one.
        (approved, 8, false),
        (rejected, 8, false),
    ] {
        let (releases, packages) = train(approval);
        let newer = package().with_version(newer);
        let answered = supersede_waiting(&releases, &packages, "train", &newer).await;
        assert_eq!(answered.unwrap(), expected, "{approval:?} {newer}");
        let answer = expected.then(|| (false, "superseded by v8".to_owned()));
        assert_eq!(releases.answer_of(&release()), answer, "{approval:?} {newer}");
        assert_eq!(packages.get(&package()).unwrap().approval, approval);
    }
}

#[tokio::test]
async fn where_nothing_waits_nothing_makes_way() {
    let (releases, packages) = train(ApprovalStatus::PendingManualApproval);
    let newer = package().with_version(8);
    for expected in [true, false] {
        let answered = supersede_waiting(&releases, &packages, "train", &newer).await;
        assert_eq!(answered.unwrap(), expected);
    }
    // A release without a version is none of the train's.
    let recorded = Recorded::new([
        output(state(json!({"status": "InProgress", "token": "secret"}))),
        output(json!({"pipelineExecution": {}})),
    ]);
    let answered = supersede_waiting(&Releases::new(&recorded.sdk()), &packages, "train", &newer).await;
    assert!(!answered.unwrap());
    recorded.requests();
}
