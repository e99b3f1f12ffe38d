use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;
use crate::recorded::{Recorded, output, refusal};

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

fn state(status: &str, token: Option<&str>) -> Value {
    json!({"pipelineName": "train", "stageStates": [
        {"stageName": "Source", "latestExecution": {"pipelineExecutionId": EARLIER, "status": "Succeeded"}, "actionStates": [
            {"actionName": "Source", "latestExecution": {"status": "InProgress", "token": "of another stage"}},
        ]},
        {"stageName": "Approve", "latestExecution": {"pipelineExecutionId": RELEASE, "status": "InProgress"}, "actionStates": [
            {"actionName": "Request", "latestExecution": {"status": "Succeeded", "token": "of another action"}},
            {"actionName": "Approve", "latestExecution": {"status": status, "token": token}},
        ]},
    ]})
}

#[tokio::test]
async fn what_waits_is_the_release_in_the_approval_stage() {
    let table = [
        (
            "waits",
            state("InProgress", Some("secret")),
            Some((release(), "secret".to_owned())),
        ),
        ("waits, but the token is not there yet", state("InProgress", None), None),
        ("answered", state("Succeeded", Some("secret")), None),
        ("refused", state("Failed", Some("secret")), None),
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
async fn what_waits_comes_with_its_version_and_hides_its_token() {
    let recorded = Recorded::new([
        output(state("InProgress", Some("secret"))),
        output(json!({"pipelineExecution": {"variables": [{"name": "ModelPackageArn", "resolvedValue": PACKAGE}]}})),
    ]);
    let waits = waiting(&Releases::new(&recorded.sdk()), "train")
        .await
        .unwrap()
        .unwrap();
    let expected = WaitingApproval {
        release: release(),
        package: package(),
        token: "secret".to_owned(),
    };
    assert_eq!(waits, expected);
    let debug = format!("{waits:?}");
    assert!(debug.contains(RELEASE) && !debug.contains("secret"), "{debug}");
    recorded.requests();
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

#[tokio::test]
async fn an_approval_was_given_refused_or_neither() {
    let action = |stage: &str, action: &str, status: &str, summary: Option<&str>| {
        let output = summary.map(|summary| json!({"executionResult": {"externalExecutionSummary": summary}}));
        json!({"stageName": stage, "actionName": action, "status": status, "output": output})
    };
    let other = action("Deploy", "Deploy", "Failed", Some("rolled back"));
    let neighbour = action("Approve", "Request", "Succeeded", Some("asked"));
    let answered = |approved, summary: &str| {
        Some(Approval {
            approved,
            summary: summary.to_owned(),
        })
    };
    let table = [
        (
            action("Approve", "Approve", "Succeeded", Some("ada: fine")),
            answered(true, "ada: fine"),
        ),
        (
            action("Approve", "Approve", "Failed", Some("ada: no")),
            answered(false, "ada: no"),
        ),
        (action("Approve", "Approve", "Failed", None), answered(false, "")),
        (action("Approve", "Approve", "InProgress", None), None),
        (action("Approve", "Approve", "Abandoned", None), None),
        (neighbour.clone(), None),
    ];
    for (approval, expected) in table {
        let details = json!({"actionExecutionDetails": [other, neighbour, approval]});
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
              "pipelineName": "train"
            }
            "#);
        }
    }
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
        let recorded = Recorded::new(std::iter::repeat_n(refusal(code, "no"), 6));
        let releases = Releases::new(&recorded.sdk());
        let errors = [
            releases.start("train", &package(), None, "").await.unwrap_err(),
            releases.roll_back("rollback", 7, &release(), "").await.unwrap_err(),
            releases.waiting("train").await.unwrap_err(),
            releases.package_of("train", &release()).await.unwrap_err(),
            releases.approval_of("train", &release()).await.unwrap_err(),
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
