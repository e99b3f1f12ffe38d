//! Builds of a repository's branches, with what runs outside played by the tests. Those of pipelines are tested with CodePipeline.

use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::cloud::effect::{Build, BuildOutcome, Effect};
use crate::cloud::testing::{call, deploy, differs, events};
use crate::cloud::{ApiError, Caller, Cloud, Push, Service};

const TEMPLATE: &str = r"
Resources:
  Repository:
    Type: AWS::CodeCommit::Repository
    Properties: {RepositoryName: fraud}
  Checks:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: checks
      ServiceRole: checks-role
      Source: {Type: CODECOMMIT, Location: !GetAtt Repository.CloneUrlHttp, BuildSpec: checks.yml, GitCloneDepth: 1}
      Artifacts: {Type: NO_ARTIFACTS}
      TimeoutInMinutes: 10
      Environment:
        Type: LINUX_CONTAINER
        ComputeType: BUILD_GENERAL1_SMALL
        Image: aws/codebuild/amazonlinux2-x86_64-standard:5.0
        EnvironmentVariables: [{Name: MODEL_NAME, Value: fraud}, {Name: KEPT, Value: here}]
  Train:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: train
      ServiceRole: train-role
      Source: {Type: CODEPIPELINE}
      Artifacts: {Type: CODEPIPELINE}
      Environment: {Type: LINUX_CONTAINER, ComputeType: BUILD_GENERAL1_SMALL, Image: i}
";

const URL: &str = "http://127.0.0.1:4566/git/fraud";

struct Bench {
    cloud: Cloud,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            cloud: deploy(TEMPLATE).unwrap(),
        };
        bench.push("main", 1);
        bench.push("topic/x", 2);
        bench
    }

    fn push(&mut self, branch: &str, commit: u8) {
        let push = Push {
            repository: "fraud".into(),
            branch: branch.into(),
            commit: id(commit),
            parent: None,
            author: "Ada <ada@example.com>".into(),
            message: "Try".into(),
            zip: Bytes::from(format!("zip {commit}")),
        };
        self.cloud.push(push).unwrap();
    }

    fn call(&mut self, operation: &str, input: &Value) -> Result<Value, ApiError> {
        call(&mut self.cloud, Service::CodeBuild, operation, input)
    }

    fn start(&mut self, input: &Value) -> Result<String, ApiError> {
        let answer = self.call("StartBuild", input)?;
        Ok(answer["build"]["id"].as_str().unwrap().to_owned())
    }

    fn shown(&mut self, id: &str) -> Value {
        let answer = self.call("BatchGetBuilds", &json!({"ids": [id]})).unwrap();
        answer["builds"][0].clone()
    }

    fn builds(&mut self) -> Vec<Build> {
        let built = |effect| match effect {
            Effect::Build(build) => Some(build),
            _ => None,
        };
        self.cloud.take_effects().into_iter().filter_map(built).collect()
    }

    fn wait(&mut self, seconds: i64) {
        let now = self.cloud.now() + SignedDuration::from_secs(seconds);
        self.cloud.advance(now);
    }

    /// The states and phases told, in order; each event against AWS's samples.
    fn told(&self) -> Vec<String> {
        let samples = |kind: &str| -> Vec<Value> {
            let of_repository = include_str!("samples/build_phase_change_of_a_repository.json");
            let documented = match kind {
                "CodeBuild Build State Change" => {
                    include_str!("../codepipeline/samples/codebuild_build_state_change.json")
                }
                _ => include_str!("../codepipeline/samples/codebuild_build_phase_change.json"),
            };
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap()["detail"].clone();
            vec![read(documented), read(of_repository)]
        };
        let of_codebuild = |(kind, detail): (String, Value)| {
            if !kind.starts_with("CodeBuild") {
                return None;
            }
            let samples = samples(&kind);
            let references: Vec<&Value> = samples.iter().collect();
            assert_eq!(differs("detail", &detail, &references), None, "{kind}: {detail:#}");
            let text = |member: &str| detail.get(member).and_then(Value::as_str).unwrap_or_default();
            Some(match text("build-status") {
                "" => format!("{} {}", text("completed-phase"), text("completed-phase-status")),
                status => status.to_owned(),
            })
        };
        events(&self.cloud).into_iter().filter_map(of_codebuild).collect()
    }
}

fn id(commit: u8) -> String {
    format!("{commit:040x}")
}

fn failed(phase: &str, message: &str) -> BuildOutcome {
    BuildOutcome::Failed {
        phase: phase.into(),
        message: message.into(),
        log_tail: "FAILED (failures=1)".into(),
    }
}

#[test]
fn a_commit_is_built() {
    let mut bench = Bench::new();
    let input = json!({"projectName": "checks", "sourceVersion": id(2), "environmentVariablesOverride":
        [{"name": "MODEL_NAME", "value": "other", "type": "PLAINTEXT"}, {"name": "PULL_REQUEST", "value": "3"}]});
    let build = bench.start(&input).unwrap();
    let shown = bench.shown(&build);
    for (member, value) in [
        ("buildStatus", json!("IN_PROGRESS")),
        ("sourceVersion", json!(id(2))),
        ("resolvedSourceVersion", json!(id(2))),
        ("initiator", json!("administrator")),
        (
            "source",
            json!({"type": "CODECOMMIT", "location": URL, "buildspec": "checks.yml"}),
        ),
        ("artifacts", json!({"location": ""})),
        ("buildComplete", json!(false)),
    ] {
        assert_eq!(shown[member], value, "{member}");
    }
    let [effect] = bench.builds().try_into().unwrap();
    assert_eq!(
        (effect.source.as_ref(), effect.buildspec.as_deref(), effect.has_artifact),
        (&b"zip 2"[..], Some("checks.yml"), false)
    );
    for (name, value) in [
        ("CODEBUILD_SOURCE_VERSION", id(2)),
        ("CODEBUILD_RESOLVED_SOURCE_VERSION", id(2)),
        ("CODEBUILD_SOURCE_REPO_URL", URL.to_owned()),
        ("CODEBUILD_BUILD_ID", build.clone()),
        ("CODEBUILD_INITIATOR", "administrator".to_owned()),
        ("MODEL_NAME", "other".to_owned()),
        ("KEPT", "here".to_owned()),
        ("PULL_REQUEST", "3".to_owned()),
    ] {
        assert_eq!(effect.environment[name], value, "{name}");
    }

    bench.wait(60);
    bench
        .cloud
        .finish_build(effect.id, BuildOutcome::Succeeded(Bytes::new()));
    let shown = bench.shown(&build);
    assert_eq!(
        (&shown["buildStatus"], &shown["currentPhase"]),
        (&json!("SUCCEEDED"), &json!("COMPLETED"))
    );
    assert_eq!(
        bench.told(),
        [
            "IN_PROGRESS",
            "SUBMITTED SUCCEEDED",
            "QUEUED SUCCEEDED",
            "PROVISIONING SUCCEEDED",
            "DOWNLOAD_SOURCE SUCCEEDED",
            "INSTALL SUCCEEDED",
            "PRE_BUILD SUCCEEDED",
            "BUILD SUCCEEDED",
            "POST_BUILD SUCCEEDED",
            "UPLOAD_ARTIFACTS SUCCEEDED",
            "FINALIZING SUCCEEDED",
            "COMPLETED SUCCEEDED",
            "SUCCEEDED"
        ]
    );
    let (_, last) = events(&bench.cloud).pop().unwrap();
    let about = &last["additional-information"];
    assert_eq!(about["source"], json!({"type": "CODECOMMIT", "location": URL}));
    assert_eq!(
        (&about["source-version"], &about["initiator"], &about["artifact"]),
        (&json!(id(2)), &json!("administrator"), &json!({"location": ""}))
    );
    let noted: Vec<_> = bench.cloud.take_happenings();
    let noted: Vec<_> = noted.iter().filter(|noted| noted.service == "codebuild").collect();
    assert_eq!(
        noted.iter().map(|noted| noted.what).collect::<Vec<_>>(),
        ["build-started", "build-succeeded"]
    );
    assert_eq!(
        noted[0].data,
        json!({"build": build, "initiator": "administrator", "commit": id(2)})
    );
    let listed = bench
        .call("ListBuildsForProject", &json!({"projectName": "checks"}))
        .unwrap();
    assert_eq!(listed["ids"], json!([build]));
    let shown = bench.call("BatchGetProjects", &json!({"names": ["checks"]})).unwrap();
    assert_eq!(shown["projects"][0]["artifacts"], json!({"type": "NO_ARTIFACTS"}));
}

#[test]
fn a_project_says_where_it_logs_and_which_key_it_has() {
    let more = "TimeoutInMinutes: 10
      EncryptionKey: alias/own
      LogsConfig: {CloudWatchLogs: {Status: ENABLED, GroupName: /signalbox/fraud}}";
    let template = TEMPLATE.replace("TimeoutInMinutes: 10", more);
    let mut bench = Bench {
        cloud: deploy(&template).unwrap(),
    };
    bench.push("main", 1);
    let shown = bench.call("BatchGetProjects", &json!({"names": ["checks"]})).unwrap();
    let project = &shown["projects"][0];
    let logs = json!({"cloudWatchLogs": {"status": "ENABLED", "groupName": "/signalbox/fraud"}});
    assert_eq!(
        (&project["encryptionKey"], &project["logsConfig"]),
        (&json!("alias/own"), &logs)
    );
    let build = bench
        .start(&json!({"projectName": "checks", "sourceVersion": "main"}))
        .unwrap();
    assert_eq!(bench.shown(&build)["logs"]["groupName"], "/signalbox/fraud");
    for (from, to, words) in [
        (
            "{CloudWatchLogs: {Status: ENABLED, GroupName: /signalbox/fraud}",
            "{S3Logs: {Status: ENABLED}",
            "S3Logs",
        ),
        ("GroupName:", "StreamName:", "StreamName"),
    ] {
        let error = deploy(&template.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_failing_command_names_phase_and_message() {
    let mut bench = Bench::new();
    let build = bench
        .start(&json!({"projectName": "checks", "sourceVersion": "topic/x"}))
        .unwrap();
    let [effect] = bench.builds().try_into().unwrap();
    bench.wait(60);
    let said = "Error while executing command: python3 -m unittest. Reason: exit status 1";
    let outcome = failed("BUILD", &format!("COMMAND_EXECUTION_ERROR: {said}"));
    bench.cloud.finish_build(effect.id, outcome.clone());
    // What comes after the end changes nothing.
    let told = bench.told();
    bench.cloud.finish_build(effect.id, outcome);
    bench.call("StopBuild", &json!({ "id": build })).unwrap();
    bench.wait(3600);
    assert_eq!(bench.told(), told);
    assert_eq!(told.last().unwrap(), "FAILED");
    assert!(told.contains(&"BUILD FAILED".to_owned()) && told.contains(&"POST_BUILD SUCCEEDED".to_owned()));

    let shown = bench.shown(&build);
    let phases = shown["phases"].as_array().unwrap();
    let phase = phases.iter().find(|phase| phase["phaseType"] == "BUILD").unwrap();
    assert_eq!(
        (&phase["phaseStatus"], &phase["durationInSeconds"], &phase["contexts"]),
        (
            &json!("FAILED"),
            &json!(60),
            &json!([{"statusCode": "COMMAND_EXECUTION_ERROR", "message": said}])
        )
    );
    let (_, last) = events(&bench.cloud).pop().unwrap();
    let phases = last["additional-information"]["phases"].as_array().unwrap();
    let phase = phases.iter().find(|phase| phase["phase-type"] == "BUILD").unwrap();
    assert_eq!(
        phase["phase-context"],
        json!([format!("COMMAND_EXECUTION_ERROR: {said}")])
    );
    let noted = bench.cloud.take_happenings().pop().unwrap();
    assert_eq!((noted.what, &noted.data["phase"]), ("build-failed", &json!("BUILD")));
}

#[test]
fn a_version_is_a_commit_or_a_branch() {
    let missing = id(9);
    for (version, expected) in [
        (None, Ok(1)),
        (Some("main"), Ok(1)),
        (Some("topic/x"), Ok(2)),
        (Some("refs/heads/topic/x"), Ok(2)),
        (Some(id(1).as_str()), Ok(1)),
        (Some(format!("refs/heads/topic/x^{{{}}}", id(2)).as_str()), Ok(2)),
        (Some(missing.as_str()), Err("object not found")),
        (Some("topic/y"), Err("reference not found")),
    ] {
        let mut bench = Bench::new();
        let mut input = json!({"projectName": "checks"});
        if let Some(version) = version {
            input["sourceVersion"] = json!(version);
        }
        let build = bench.start(&input).unwrap();
        assert_eq!(bench.shown(&build)["buildStatus"], "IN_PROGRESS", "{version:?}");
        match expected {
            Ok(commit) => {
                assert_eq!(bench.shown(&build)["resolvedSourceVersion"], json!(id(commit)));
                let [effect] = bench.builds().try_into().unwrap();
                assert_eq!(effect.source, format!("zip {commit}"));
            }
            Err(said) => {
                assert!(bench.builds().is_empty());
                bench.wait(60);
                let shown = bench.shown(&build);
                assert_eq!(shown["buildStatus"], "FAILED");
                let phases = shown["phases"].as_array().unwrap().clone();
                let names: Vec<_> = phases
                    .iter()
                    .map(|phase| phase["phaseType"].as_str().unwrap())
                    .collect();
                assert_eq!(names[3..], ["DOWNLOAD_SOURCE", "FINALIZING", "COMPLETED"]);
                let message = format!("{said} for primary source and source version {}", version.unwrap());
                assert_eq!(
                    phases[3]["contexts"],
                    json!([{"statusCode": "CLIENT_ERROR", "message": message}])
                );
                assert_eq!(bench.told().last().unwrap(), "FAILED");
            }
        }
    }
}

#[test]
fn a_token_starts_one_build() {
    let mut bench = Bench::new();
    let input = json!({"projectName": "checks", "sourceVersion": id(2), "idempotencyToken": "t"});
    let first = bench.start(&input).unwrap();
    bench.wait(299);
    assert_eq!(bench.start(&input).unwrap(), first);
    let mut other = input.clone();
    other["sourceVersion"] = json!(id(1));
    assert_eq!(bench.start(&other).unwrap_err().code, "InvalidInputException");
    assert_eq!(bench.builds().len(), 1);
    bench.wait(1);
    let second = bench.start(&other).unwrap();
    assert_ne!(second, first, "a token lasts five minutes");
    // Without one, each call is a build.
    let input = json!({"projectName": "checks"});
    assert_ne!(bench.start(&input).unwrap(), bench.start(&input).unwrap());
    assert_eq!(bench.builds().len(), 3);
}

#[test]
fn a_build_is_stopped_or_its_time_is_up() {
    for (stops, expected) in [(true, "STOPPED"), (false, "TIMED_OUT")] {
        let mut bench = Bench::new();
        let build = bench.start(&json!({"projectName": "checks"})).unwrap();
        let [effect] = bench.builds().try_into().unwrap();
        bench.wait(30);
        if stops {
            let arn = bench.shown(&build)["arn"].clone();
            let answer = bench.call("StopBuild", &json!({ "id": arn })).unwrap();
            assert_eq!(answer["build"]["buildStatus"], "STOPPED");
        }
        bench.wait(600);
        bench
            .cloud
            .finish_build(effect.id, BuildOutcome::Succeeded(Bytes::new()));
        let shown = bench.shown(&build);
        let phases = shown["phases"].as_array().unwrap();
        let phase = phases.iter().find(|phase| phase["phaseType"] == "BUILD").unwrap();
        assert_eq!(
            (&shown["buildStatus"], &phase["phaseStatus"]),
            (&json!(expected), &json!(expected))
        );
        let told = bench.told();
        assert_eq!(told.last().unwrap(), expected);
        assert_eq!(told.iter().filter(|told| *told == expected).count(), 1, "{told:?}");
    }
}

#[test]
fn starts_that_do_not_fit_are_refused() {
    let mut bench = Bench::new();
    for (operation, input, code) in [
        (
            "StartBuild",
            json!({"projectName": "nope"}),
            "ResourceNotFoundException",
        ),
        ("StartBuild", json!({"projectName": "train"}), "InvalidInputException"),
        (
            "StartBuild",
            json!({"projectName": "checks", "buildspecOverride": "other.yml"}),
            "InvalidInputException",
        ),
        (
            "StartBuild",
            json!({"projectName": "checks", "environmentVariablesOverride":
                [{"name": "A", "value": "b", "type": "SECRETS_MANAGER"}]}),
            "InvalidInputException",
        ),
        ("StartBuild", json!({}), "ValidationException"),
        ("StopBuild", json!({"id": "checks:1"}), "ResourceNotFoundException"),
    ] {
        let error = bench.call(operation, &input).unwrap_err();
        assert_eq!(error.code, code, "{operation} {input}: {error}");
    }
    assert!(bench.builds().is_empty());
    assert!(bench.told().is_empty());
}

#[test]
fn a_function_starts_builds_in_its_roles_name() {
    let role = r"
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: starts-checks
      AssumeRolePolicyDocument: {Statement: []}
      Policies:
        - PolicyName: start
          PolicyDocument:
            Statement:
              - {Effect: Allow, Action: ['codebuild:StartBuild', 'codebuild:BatchGetBuilds'], Resource: !GetAtt Checks.Arn}
";
    let mut cloud = deploy(&format!("{TEMPLATE}{role}")).unwrap();
    let function = Caller::Function {
        name: "fraud-starts".into(),
        role_arn: "arn:aws:iam::123456789012:role/starts-checks".into(),
    };
    let mut call = |operation: &str, input: Value| cloud.call(&function, Service::CodeBuild, operation, &input);
    let answer = call("StartBuild", json!({"projectName": "checks"})).unwrap();
    assert_eq!(answer["build"]["initiator"], "starts-checks/fraud-starts");
    let id = &answer["build"]["id"];
    call("BatchGetBuilds", json!({"ids": [id]})).unwrap();
    for (operation, input) in [
        ("StartBuild", json!({"projectName": "train"})),
        ("BatchGetBuilds", json!({"ids": [id, "train:1"]})),
        ("StopBuild", json!({ "id": id })),
        ("ListBuildsForProject", json!({"projectName": "checks"})),
    ] {
        let error = call(operation, input).unwrap_err();
        assert_eq!(error.code, "AccessDeniedException", "{operation}");
    }
}

#[test]
fn sources_that_are_not_known_are_named() {
    for (source, artifacts, named) in [
        ("{Type: GITHUB, Location: x}", "NO_ARTIFACTS", "Source of Type GITHUB"),
        (
            "{Type: CODECOMMIT, Location: x}",
            "S3",
            "Artifacts of Type S3 with a Source of Type CODECOMMIT",
        ),
        (
            "{Type: CODEPIPELINE}",
            "NO_ARTIFACTS",
            "Artifacts of Type NO_ARTIFACTS with a Source of Type CODEPIPELINE",
        ),
        ("{Type: CODECOMMIT}", "NO_ARTIFACTS", "has no Location"),
        ("{Type: CODEPIPELINE, Location: x}", "CODEPIPELINE", "Location"),
    ] {
        let written = format!("{source}\n      Artifacts: {{Type: {artifacts}}}");
        let template = TEMPLATE.replace("{Type: CODEPIPELINE}\n      Artifacts: {Type: CODEPIPELINE}", &written);
        let error = deploy(&template).unwrap_err().to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
    // As CodeBuild does, a build finds out that there is no such repository.
    let template = TEMPLATE.replace("!GetAtt Repository.CloneUrlHttp", "http://example.com/none");
    let mut bench = Bench {
        cloud: deploy(&template).unwrap(),
    };
    let build = bench.start(&json!({"projectName": "checks"})).unwrap();
    bench.wait(10);
    let phases = bench.shown(&build)["phases"].clone();
    assert_eq!(
        phases[3]["contexts"][0]["message"],
        "repository not found for primary source and source version"
    );
}
