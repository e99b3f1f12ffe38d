use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;
use crate::recorded::{Recorded, SECONDS, output, refusal, time};

const COMMIT: &str = "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a";

fn whole(id: &str) -> Value {
    json!({
        "id": id, "arn": format!("arn:aws:codebuild:eu-west-1:123456789012:build/{id}"), "buildNumber": 12,
        "startTime": SECONDS, "endTime": SECONDS + 72.0, "currentPhase": "COMPLETED", "buildStatus": "FAILED",
        "sourceVersion": COMMIT, "resolvedSourceVersion": COMMIT, "projectName": "churn-check", "buildComplete": true,
        "phases": [
            {"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED", "startTime": SECONDS, "durationInSeconds": 0},
            {"phaseType": "INSTALL", "phaseStatus": "SUCCEEDED", "contexts": [{"statusCode": "", "message": ""}]},
            {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [
                {"statusCode": "COMMAND_EXECUTION_ERROR", "message": "Error while executing command: false. Reason: exit status 1"},
                {"message": "And more."},
            ]},
            {"phaseType": "COMPLETED", "startTime": SECONDS},
        ],
        "logs": {
            "groupName": "/aws/codebuild/churn-check", "streamName": "8745a7a9",
            "deepLink": "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logEvent:group=g;stream=s",
        },
    })
}

#[tokio::test]
async fn a_commits_build_is_started_with_a_token_of_its_own() {
    let recorded = Recorded::new([output(json!({"build": {"id": "churn-check:1"}})), output(json!({}))]);
    let builds = Builds::new(&recorded.sdk());
    let commit = COMMIT.parse().unwrap();
    assert_eq!(builds.start("churn-check", &commit).await.unwrap(), "churn-check:1");
    let error = builds.start("churn-check", &commit).await.unwrap_err();
    assert_eq!(error.code, "IncompleteAnswer");
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / CodeBuild_20161006.StartBuild
    {
      "idempotencyToken": "check-0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a",
      "projectName": "churn-check",
      "sourceVersion": "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a"
    }

    POST / CodeBuild_20161006.StartBuild
    {
      "idempotencyToken": "check-0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a",
      "projectName": "churn-check",
      "sourceVersion": "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a"
    }
    "#);
}

#[tokio::test]
async fn a_build_is_read() {
    let branch = json!({
        "id": "churn-check:2", "buildStatus": "IN_PROGRESS", "sourceVersion": "refs/heads/try", "resolvedSourceVersion": COMMIT,
        "logs": {"deepLink": "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logEvent:group=null;stream=null"},
    });
    let recorded = Recorded::new([
        output(json!({"builds": [whole("churn-check:1")]})),
        output(json!({"builds": [branch]})),
        output(json!({"builds": [], "buildsNotFound": ["churn-check:3"]})),
    ]);
    let builds = Builds::new(&recorded.sdk());
    let phase = |name: &str, status, says: &[&str]| Phase {
        name: name.to_owned(),
        status,
        says: says.iter().map(|text| (*text).to_owned()).collect(),
    };
    let expected = Build {
        id: "churn-check:1".into(),
        commit: Some(COMMIT.parse().unwrap()),
        status: Status::Failed,
        phases: vec![
            phase("SUBMITTED", Status::Succeeded, &[]),
            phase("INSTALL", Status::Succeeded, &[]),
            phase(
                "BUILD",
                Status::Failed,
                &[
                    "COMMAND_EXECUTION_ERROR: Error while executing command: false. Reason: exit status 1",
                    "And more.",
                ],
            ),
            phase("COMPLETED", Status::InProgress, &[]),
        ],
        started_at: Some(time()),
        ended_at: Some(time() + jiff::SignedDuration::from_secs(72)),
        log_url: Some(
            "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logEvent:group=g;stream=s".into(),
        ),
    };
    assert_eq!(builds.build("churn-check:1").await.unwrap(), Some(expected));
    let of_branch = Build {
        id: "churn-check:2".into(),
        commit: Some(COMMIT.parse().unwrap()),
        status: Status::InProgress,
        phases: Vec::new(),
        started_at: None,
        ended_at: None,
        log_url: None,
    };
    assert_eq!(builds.build("churn-check:2").await.unwrap(), Some(of_branch));
    assert_eq!(builds.build("churn-check:3").await.unwrap(), None);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / CodeBuild_20161006.BatchGetBuilds
    {
      "ids": [
        "churn-check:1"
      ]
    }

    POST / CodeBuild_20161006.BatchGetBuilds
    {
      "ids": [
        "churn-check:2"
      ]
    }

    POST / CodeBuild_20161006.BatchGetBuilds
    {
      "ids": [
        "churn-check:3"
      ]
    }
    "#);
}

#[tokio::test]
async fn the_newest_builds_come_newest_first() {
    let recorded = Recorded::new([
        output(json!({"ids": ["churn-check:2", "churn-check:1"], "nextToken": "more"})),
        output(json!({"builds": [whole("churn-check:1"), whole("churn-check:2")]})),
        output(json!({})),
    ]);
    let builds = Builds::new(&recorded.sdk());
    let newest = builds.newest_builds("churn-check").await.unwrap();
    let ids: Vec<_> = newest.iter().map(|build| build.id.as_str()).collect();
    assert_eq!(ids, ["churn-check:2", "churn-check:1"]);
    assert!(builds.newest_builds("churn-check").await.unwrap().is_empty());
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / CodeBuild_20161006.ListBuildsForProject
    {
      "projectName": "churn-check",
      "sortOrder": "DESCENDING"
    }

    POST / CodeBuild_20161006.BatchGetBuilds
    {
      "ids": [
        "churn-check:2",
        "churn-check:1"
      ]
    }

    POST / CodeBuild_20161006.ListBuildsForProject
    {
      "projectName": "churn-check",
      "sortOrder": "DESCENDING"
    }
    "#);
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (code, expected) in [
        ("ResourceNotFoundException", ErrorKind::NotFound),
        ("AccountLimitExceededException", ErrorKind::Other),
        ("ThrottlingException", ErrorKind::Transient),
        ("AccessDeniedException", ErrorKind::Denied),
    ] {
        let recorded = Recorded::new([refusal(code, "no"), refusal(code, "no"), refusal(code, "no")]);
        let builds = Builds::new(&recorded.sdk());
        let errors = [
            builds.start("churn-check", &COMMIT.parse().unwrap()).await.unwrap_err(),
            builds.build("churn-check:1").await.unwrap_err(),
            builds.newest_builds("churn-check").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind, expected, "{error}");
        }
        recorded.requests();
    }
}
