use serde_json::json;
use signalbox_aws::memory::{SomeDeployments, SomeVersions};
use signalbox_model::trial::{Invocation, Report};

use super::*;

const BEFORE_TRAFFIC: &str = include_str!("../../../events/check-version-before-traffic.json");

struct World {
    settings: Settings,
    deployments: SomeDeployments,
    versions: SomeVersions,
}

impl World {
    /// One in which version 4 of that function is to get traffic.
    fn deploying(function: &str) -> Self {
        let world = Self {
            settings: Settings {
                model: "tumour".parse().unwrap(),
                group: "arn:aws-cn:sagemaker:cn-north-1:999988887777:model-package-group/tumour"
                    .parse()
                    .unwrap(),
                bucket: "tumour-artifacts".into(),
            },
            deployments: SomeDeployments::default(),
            versions: SomeVersions::default(),
        };
        let target = json!({"Name": function, "Alias": "live", "CurrentVersion": "3", "TargetVersion": "4"});
        world.put(&json!({
            "version": "0.0", "Hooks": [{"BeforeAllowTraffic": "tumour-check-version"}],
            "Resources": [{function: {"Type": "AWS::Lambda::Function", "Properties": target}}],
        }));
        world
    }

    fn put(&self, app_spec: &Value) {
        self.deployments.put("d-ABCDEF123", &app_spec.to_string());
    }

    /// One in which version 4 of retrain answers so.
    fn answering(report: Report) -> Self {
        Self::invoked(Ok(Invocation {
            function_error: None,
            payload: report.answer(),
        }))
    }

    fn invoked(answer: Result<Invocation, ErrorKind>) -> Self {
        let world = Self::deploying("tumour-retrain");
        world.versions.put("tumour-retrain", "4", answer);
        world
    }

    async fn run(&self) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            deployments: &self.deployments,
            versions: &self.versions,
        };
        handle(&self.settings, &ports, serde_json::from_str(BEFORE_TRAFFIC).unwrap()).await
    }

    /// What CodeDeploy was told, if anything.
    fn told(&self) -> Option<bool> {
        let answers = self.deployments.answers();
        assert!(answers.len() < 2);
        let hook: Hook = serde_json::from_str(BEFORE_TRAFFIC).unwrap();
        answers.into_iter().next().map(|(answered, go_on)| {
            assert_eq!(answered, hook);
            go_on
        })
    }

    async fn reasons(&self) -> String {
        let ports = Ports {
            deployments: &self.deployments,
            versions: &self.versions,
        };
        let hook: Hook = serde_json::from_str(BEFORE_TRAFFIC).unwrap();
        match check(&self.settings, &ports, &hook).await {
            Ok(reasons) => reasons.join("; "),
            Err(untried) => format!("{:#}", anyhow::Error::from(untried)),
        }
    }
}

fn names(operations: &[&str]) -> Vec<String> {
    operations.iter().map(|operation| (*operation).to_owned()).collect()
}

fn good() -> Report {
    Report {
        version: "4".into(),
        read: names(&["sagemaker:ListPipelineExecutions"]),
        refused: names(&["s3:GetObject"]),
        ..Report::default()
    }
}

#[tokio::test]
async fn a_good_version_gets_traffic() {
    let would_start = Report {
        held: names(&["sagemaker:StartPipelineExecution"]),
        error: Some("sagemaker:StartPipelineExecution: Held: held back".into()),
        ..good()
    };
    for report in [good(), would_start] {
        let world = World::answering(report);
        world.run().await.unwrap();
        assert_eq!(world.told(), Some(true));
        let [(version, event)] = world.versions.invoked().try_into().unwrap();
        assert_eq!(version, "tumour-retrain:4");
        assert_eq!(event["signalbox:dry-run"]["detail"], json!({"trigger": "data"}));
    }
}

#[tokio::test]
async fn a_bad_version_gets_none() {
    let failed = |payload| {
        Ok(Invocation {
            function_error: Some("Unhandled".into()),
            payload,
        })
    };
    let crash = json!({"errorType": "Runtime.ExitError", "errorMessage": "RequestId: 1 Error: Runtime exited with error: exit status 1"});
    for (world, expected) in [
        (
            World::answering(Report {
                version: "3".into(),
                ..good()
            }),
            "version `3` has answered where version `4` was invoked",
        ),
        (
            World::answering(Report {
                refused: names(&["s3:ListObjectsV2"]),
                ..good()
            }),
            "AWS refuses `s3:ListObjectsV2`: add the permission to the function's role",
        ),
        (
            World::answering(Report {
                held: names(&["sns:Publish"]),
                ..good()
            }),
            "it would call `sns:Publish`, which is not among the calls that are expected of it: add that to the samples of check-version if \
             it is meant",
        ),
        (
            World::answering(Report {
                error: Some("event `Retrain` from `signalbox`: field `detail`".into()),
                ..good()
            }),
            "the handler failed, and not for what was held back: event `Retrain` from `signalbox`: field `detail`",
        ),
        (
            World::invoked(failed(crash)),
            "it ended with `Runtime.ExitError` instead of answering: RequestId: 1 Error: Runtime exited with error: exit status 1; see the \
             version's log",
        ),
        (
            World::invoked(Ok(Invocation::default())),
            "it knows no dry run: it answered with JSON of type null",
        ),
        (
            World::deploying("tumour-retrain"),
            "lambda:Invoke: ResourceNotFoundException: no tumour-retrain:4",
        ),
        (
            World::invoked(Err(ErrorKind::Denied)),
            "lambda:Invoke: Failing: no tumour-retrain:4",
        ),
    ] {
        assert_eq!(world.reasons().await, expected);
        world.run().await.unwrap();
        assert_eq!(world.told(), Some(false), "{expected}");
    }
}

#[tokio::test]
async fn what_it_has_no_sample_for_gets_none() {
    for function in ["tumour-check-version", "tumour-else", "churn-retrain", "tumourretrain"] {
        let world = World::deploying(function);
        let expected = format!(
            "there is no sample event for the function `{function}`: check-version checks the other functions of the model's stack"
        );
        assert_eq!(world.reasons().await, expected);
        world.run().await.unwrap();
        assert_eq!((world.told(), world.versions.invoked()), (Some(false), vec![]));
    }
    let world = World::deploying("tumour-retrain");
    world.put(&json!({"version": "0.0", "Resources": []}));
    world.run().await.unwrap();
    assert_eq!(world.told(), Some(false));
}

/// Lambda runs it again, and then it comes right.
#[tokio::test]
async fn where_aws_fails_nothing_is_said() {
    for operation in [
        "codedeploy:GetDeployment",
        "codedeploy:GetApplicationRevision",
        "codedeploy:PutLifecycleEventHookExecutionStatus",
    ] {
        let world = World::answering(good());
        world.deployments.fail(operation, ErrorKind::Transient);
        let error = world.run().await.unwrap_err();
        assert!(error.to_string().contains(operation), "{error}");
        assert_eq!(world.told(), None);
        world.run().await.unwrap();
        assert_eq!(world.told(), Some(true));
    }
    for kind in [ErrorKind::Transient, ErrorKind::Busy, ErrorKind::Conflict] {
        let world = World::invoked(Err(kind));
        world.run().await.unwrap_err();
        assert_eq!(world.told(), None);
    }
}

#[tokio::test]
async fn what_aws_refuses_for_good_fails_the_deployment() {
    let world = World::answering(good());
    world
        .deployments
        .fail("codedeploy:GetApplicationRevision", ErrorKind::Denied);
    world.run().await.unwrap();
    assert_eq!(world.told(), Some(false));
}

#[tokio::test]
async fn the_first_answer_stands() {
    let world = World::answering(good());
    world.run().await.unwrap();
    world.versions.put("tumour-retrain", "4", Ok(Invocation::default()));
    world.run().await.unwrap();
    assert_eq!(world.told(), Some(true));
}

#[tokio::test]
async fn another_event_is_refused() {
    let world = World::answering(good());
    let ports = Ports {
        deployments: &world.deployments,
        versions: &world.versions,
    };
    let error = handle(&world.settings, &ports, json!({"source": "signalbox"}))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "not an event of a CodeDeploy hook");
    assert_eq!(world.told(), None);
}

/// Nothing of the samples' own names is left in what is sent.
#[test]
fn the_samples_are_made_the_stacks() {
    let world = World::deploying("tumour-retrain");
    let settings = &world.settings;
    for function in [
        "build-status",
        "decide-approval",
        "endpoint-status",
        "pipeline-status",
        "request-approval",
        "retrain",
        "start-training",
        "sync-approval",
        "update-endpoint",
    ] {
        let sample = samples::of(&settings.model, &format!("tumour-{function}")).unwrap();
        assert_eq!(sample.function, function);
        let event = sample.event(&settings.group, &settings.bucket).unwrap().to_string();
        for name in ["churn", "123456789012", "eu-west-1", "\"bucket\"", "arn:aws:"] {
            assert!(!event.contains(name), "{name} in {event}");
        }
    }
    let sample = |function| {
        samples::of(&settings.model, function)
            .unwrap()
            .event(&settings.group, &settings.bucket)
            .unwrap()
    };
    let job = |event: &Value| event["CodePipeline.job"]["data"].clone();
    let started = job(&sample("tumour-start-training"));
    let place = json!({"bucketName": "tumour-artifacts", "objectKey": "tumour-train/Build/Zx81abc"});
    assert_eq!(started["inputArtifacts"][0]["location"]["s3Location"], place);
    let released = job(&sample("tumour-update-endpoint"));
    let parameters = released["actionConfiguration"]["configuration"]["UserParameters"]
        .as_str()
        .unwrap();
    let package = "arn:aws-cn:sagemaker:cn-north-1:999988887777:model-package/tumour/7";
    assert_eq!(
        serde_json::from_str::<Value>(parameters).unwrap()["modelPackage"],
        package
    );
}
