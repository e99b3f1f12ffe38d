//! Whole trains and releases of the project's own template, with what runs outside played by the tests.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cloud::codepipeline::start_from_event;
use crate::cloud::effect::{self, BuildOutcome, Effect};
use crate::cloud::testing::{call, differs};
use crate::cloud::{ApiError, Caller, Cloud, Push, Service};
use crate::shapes;
use crate::template::{Resource, Stack, Target, TemplateError};

const TEMPLATE: &str = include_str!("../../../../template.yaml");
const PARAMETERS: &str = include_str!("../../../../parameters/local.json");
const PACKAGE: &str = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/fraud/7";

fn stack() -> Stack {
    let mut parameters = BTreeMap::new();
    for pair in serde_json::from_str::<Vec<BTreeMap<String, String>>>(PARAMETERS).unwrap() {
        parameters.insert(pair["ParameterKey"].clone(), pair["ParameterValue"].clone());
    }
    parameters.insert("ModelName".into(), "fraud".into());
    parameters.insert("ApprovalTimeoutMinutes".into(), "10080".into());
    // The tests answer the jobs, and end no run.
    parameters.insert("HandleOneAtATime".into(), "false".into());
    let mut stack = Stack::load(TEMPLATE, &parameters, &target()).unwrap();
    // The tests push what they need.
    let repository = resource(&mut stack, "Repository").properties.as_object_mut();
    repository.unwrap().remove("Code");
    stack.resources.retain(|resource| {
        let kinds = [
            "AWS::Code",
            "AWS::IAM::",
            "AWS::KMS::",
            "AWS::Logs::",
            "AWS::S3::Bucket",
            "AWS::SNS::Topic",
            "AWS::Lambda::Function",
        ];
        kinds.iter().any(|kind| resource.kind.starts_with(kind))
    });
    stack
}

fn target() -> Target {
    Target {
        account: "123456789012".into(),
        region: "eu-west-1".into(),
        stack_name: "signalbox".into(),
        base_url: "http://127.0.0.1:4566".into(),
    }
}

fn resource<'a>(stack: &'a mut Stack, id: &str) -> &'a mut Resource {
    stack
        .resources
        .iter_mut()
        .find(|resource| resource.logical_id == id)
        .unwrap()
}

/// A deployed stack, and what it told.
struct Bench {
    cloud: Cloud,
    pushes: u32,
}

impl Bench {
    fn new() -> Self {
        Self::of(stack())
    }

    fn of(stack: Stack) -> Self {
        let cloud = Self::deploy(stack).unwrap();
        Self { cloud, pushes: 0 }
    }

    fn deploy(stack: Stack) -> Result<Cloud, TemplateError> {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        Cloud::deploy(stack, target(), now, 7)
    }

    fn events(&self) -> Vec<(String, Value)> {
        let events = crate::cloud::events::put_so_far(&self.cloud).iter();
        events
            .map(|event| {
                (
                    event["detail-type"].as_str().unwrap().to_owned(),
                    event["detail"].clone(),
                )
            })
            .collect()
    }

    fn messages(&self) -> Vec<(String, Option<String>, Value)> {
        let read = |text: &str| serde_json::from_str(text).unwrap();
        let published = crate::cloud::sns::published_so_far(&self.cloud).iter();
        published
            .map(|(to, subject, text)| (to.clone(), subject.clone(), read(text)))
            .collect()
    }

    fn object(&self, key: &str) -> Option<Bytes> {
        crate::cloud::s3::get(&self.cloud, &self.bucket(), key)
    }

    fn bucket(&self) -> String {
        let pipeline = self.ok("GetPipeline", json!({"name": "fraud-train"}));
        pipeline["pipeline"]["artifactStore"]["location"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn wait(&mut self, seconds: i64) {
        let now = self.cloud.now() + SignedDuration::from_secs(seconds);
        self.cloud.advance(now);
    }

    fn push(&mut self) -> String {
        self.pushes += 1;
        let commit = format!("{:040x}", self.pushes);
        let push = Push {
            repository: "fraud".into(),
            branch: "main".into(),
            commit: commit.clone(),
            parent: (self.pushes > 1).then(|| format!("{:040x}", self.pushes - 1)),
            author: "Ada <ada@example.com>".into(),
            message: format!("Try number {}", self.pushes),
            zip: Bytes::from(format!("zip {}", self.pushes)),
        };
        self.cloud.push(push).unwrap();
        commit
    }

    /// An administrator's call, with the input and the output checked against the service's model.
    fn call(&mut self, service: Service, operation: &str, input: Value) -> Result<Value, ApiError> {
        call(&mut self.cloud, service, operation, &input)
    }

    fn pipeline(&mut self, operation: &str, input: Value) -> Result<Value, ApiError> {
        self.call(Service::CodePipeline, operation, input)
    }

    /// A call that only reads.
    fn ok(&self, operation: &str, input: Value) -> Value {
        shapes::validate(Service::CodePipeline, operation, &input).unwrap();
        let answer = super::api::read(&self.cloud, operation, &input).unwrap().unwrap();
        let checked = shapes::check_output(Service::CodePipeline, operation, &answer);
        checked.unwrap_or_else(|fault| panic!("{operation}: {fault}: {answer}"));
        answer
    }

    fn start_train(&mut self) -> String {
        start_from_event(
            &mut self.cloud,
            "arn:aws:codepipeline:eu-west-1:123456789012:fraud-train",
        )
        .unwrap();
        self.executions("fraud-train")[0].clone()
    }

    fn release_input(token: &str) -> Value {
        json!({
            "name": "fraud-release",
            "clientRequestToken": token,
            "variables": [{"name": "ModelPackageArn", "value": PACKAGE}, {"name": "ModelVersion", "value": "7"}],
        })
    }

    fn start_release(&mut self, token: &str) -> String {
        let started = self
            .pipeline("StartPipelineExecution", Self::release_input(token))
            .unwrap();
        started["pipelineExecutionId"].as_str().unwrap().to_owned()
    }

    /// The ids of a pipeline's executions, the newest first.
    fn executions(&self, pipeline: &str) -> Vec<String> {
        let listed = self.ok("ListPipelineExecutions", json!({"pipelineName": pipeline}));
        let listed = listed["pipelineExecutionSummaries"].as_array().unwrap();
        listed
            .iter()
            .map(|execution| execution["pipelineExecutionId"].as_str().unwrap().to_owned())
            .collect()
    }

    fn status(&self, pipeline: &str, execution: &str) -> String {
        let input = json!({"pipelineName": pipeline, "pipelineExecutionId": execution});
        self.ok("GetPipelineExecution", input)["pipelineExecution"]["status"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn stage(&self, pipeline: &str, stage: usize) -> Value {
        self.ok("GetPipelineState", json!({"name": pipeline}))["stageStates"][stage].clone()
    }

    fn latest(&self, pipeline: &str, stage: usize) -> Value {
        self.stage(pipeline, stage)["actionStates"][0]["latestExecution"].clone()
    }

    /// The runs of an execution's actions, the first first: `stage:status`.
    fn runs(&self, pipeline: &str, execution: &str) -> Vec<Value> {
        let input = json!({"pipelineName": pipeline, "filter": {"pipelineExecutionId": execution}});
        let mut runs = self.ok("ListActionExecutions", input)["actionExecutionDetails"]
            .as_array()
            .unwrap()
            .clone();
        runs.reverse();
        runs
    }

    fn build(&mut self) -> effect::Build {
        let effects = self.cloud.take_effects();
        let [Effect::Build(build)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        build.clone()
    }

    /// The one function invoked, and its job.
    fn job(&mut self) -> (String, Value) {
        let effects = self.cloud.take_effects();
        let [Effect::Invoke(invoke)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        (invoke.function.clone(), invoke.payload["CodePipeline.job"].clone())
    }

    fn approve(&mut self, token: &str, approved: bool) -> Result<Value, ApiError> {
        let status = if approved { "Approved" } else { "Rejected" };
        let input = json!({
            "pipelineName": "fraud-release", "stageName": "Approve", "actionName": "Approve", "token": token,
            "result": {"summary": format!("{status} by Ada"), "status": status},
        });
        self.pipeline("PutApprovalResult", input)
    }

    fn token(&self) -> String {
        self.latest("fraud-release", 1)["token"].as_str().unwrap().to_owned()
    }

    /// What happened at CodePipeline, in short.
    fn told(&mut self) -> Vec<String> {
        let happenings = self.cloud.take_happenings();
        let of_pipeline = happenings
            .iter()
            .filter(|happening| happening.service == "codepipeline");
        of_pipeline
            .map(|happening| match happening.data.get("stage").and_then(Value::as_str) {
                Some(stage) => format!("{} {stage}", happening.what),
                None => happening.what.to_owned(),
            })
            .collect()
    }
}

// ---- Events against AWS's own samples

fn samples(kind: &str) -> Vec<Value> {
    let texts: &[&str] = match kind {
        "CodePipeline Pipeline Execution State Change" => &[
            include_str!("samples/codepipeline_pipeline_execution_started.json"),
            include_str!("samples/codepipeline_pipeline_execution_failed.json"),
            include_str!("samples/codepipeline_pipeline_execution_stopping.json"),
            include_str!("samples/codepipeline_pipeline_execution_succeeded.json"),
        ],
        "CodePipeline Stage Execution State Change" => &[
            include_str!("samples/codepipeline_stage_execution_started.json"),
            include_str!("samples/codepipeline_stage_execution_stopped.json"),
        ],
        "CodePipeline Action Execution State Change" => &[
            include_str!("samples/codepipeline_action_execution_started.json"),
            include_str!("samples/codepipeline_action_execution_failed.json"),
            include_str!("samples/codepipeline_action_execution_succeeded.json"),
            include_str!("samples/codepipeline_action_execution_abandoned.json"),
        ],
        "CodeCommit Repository State Change" => &[
            include_str!("samples/codecommit_repository_reference_created.json"),
            include_str!("samples/codecommit_repository_reference_updated.json"),
        ],
        "CodeBuild Build State Change" => &[include_str!("samples/codebuild_build_state_change.json")],
        "CodeBuild Build Phase Change" => &[include_str!("samples/codebuild_build_phase_change.json")],
        other => panic!("no sample of {other}"),
    };
    texts
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).unwrap()["detail"].clone())
        .collect()
}

fn check_events(bench: &Bench) -> Vec<String> {
    let mut names = Vec::new();
    for (kind, detail) in bench.events() {
        let samples = samples(&kind);
        let references: Vec<&Value> = samples.iter().collect();
        assert_eq!(differs("detail", &detail, &references), None, "{kind}: {detail:#}");
        let (first, others) = samples.split_first().unwrap();
        for required in first.as_object().unwrap().keys() {
            if others.iter().all(|other| other.get(required).is_some()) {
                assert!(detail.get(required).is_some(), "{kind} without {required}: {detail:#}");
            }
        }
        let state = detail
            .get("state")
            .or(detail.get("event"))
            .or(detail.get("build-status"));
        let state = state.or(detail.get("completed-phase")).unwrap().as_str().unwrap();
        names.push(format!(
            "{} {state}",
            kind.split(' ').take(2).collect::<Vec<_>>().join(" ")
        ));
    }
    names
}

// ---- Trains

#[test]
fn pipeline_and_jobs_name_the_key_of_the_artifacts() {
    let key = json!({"id": "arn:aws:kms:eu-west-1:123456789012:key/k", "type": "KMS"});
    let mut stack = stack();
    resource(&mut stack, "TrainPipeline").properties["ArtifactStore"]["EncryptionKey"] =
        json!({"Id": key["id"], "Type": key["type"]});
    // The roles of the template may use its own key alone.
    let used = json!({"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key["id"]});
    let policy = json!({"PolicyName": "key", "PolicyDocument": {"Statement": used}});
    for role in ["PipelineRole", "BuildRole"] {
        let policies = resource(&mut stack, role).properties["Policies"].as_array_mut();
        policies.unwrap().push(policy.clone());
    }
    let mut bench = Bench::of(stack);
    let shown = bench.ok("GetPipeline", json!({"name": "fraud-train"}));
    assert_eq!(shown["pipeline"]["artifactStore"]["encryptionKey"], key);
    bench.push();
    bench.start_train();
    bench.wait(1);
    let build = bench.build();
    let built = BuildOutcome::Succeeded(Bytes::from_static(b"built"));
    bench.cloud.finish_build(build.id, built);
    let (_, job) = bench.job();
    assert_eq!(job["data"]["encryptionKey"], key);
}

#[test]
fn a_push_is_built_and_its_training_started() {
    let mut bench = Bench::new();
    let commit = bench.push();
    let execution = bench.start_train();
    assert_eq!(bench.latest("fraud-train", 0)["status"], "InProgress");
    bench.wait(1);
    let source = bench.latest("fraud-train", 0);
    assert_eq!(
        (&source["status"], &source["summary"]),
        (&json!("Succeeded"), &json!("Try number 1"))
    );
    assert_eq!(source["externalExecutionId"], commit.as_str());

    let build = bench.build();
    assert_eq!(
        (build.project.as_str(), &build.source[..]),
        ("fraud-build", &b"zip 1"[..])
    );
    assert_eq!(build.buildspec.as_deref(), Some("buildspec.yml"));
    assert_eq!(build.environment["MODEL_NAME"], "fraud");
    assert_eq!(build.environment["CODEBUILD_RESOLVED_SOURCE_VERSION"], commit);
    assert_eq!(build.environment["CODEBUILD_INITIATOR"], "codepipeline/fraud-train");
    assert_eq!(
        bench.latest("fraud-train", 1)["externalExecutionId"],
        build.build_id.as_str()
    );
    bench.wait(90);
    bench
        .cloud
        .finish_build(build.id, BuildOutcome::Succeeded(Bytes::from_static(b"built")));

    let (function, job) = bench.job();
    assert_eq!(function, "fraud-start-training");
    let configuration = &job["data"]["actionConfiguration"]["configuration"];
    let parameters: Value = serde_json::from_str(configuration["UserParameters"].as_str().unwrap()).unwrap();
    assert_eq!(parameters, json!({"execution": execution, "commit": commit}));
    let input = &job["data"]["inputArtifacts"][0];
    assert_eq!(
        (&input["name"], &input["location"]["type"]),
        (&json!("Build"), &json!("S3"))
    );
    let key = input["location"]["s3Location"]["objectKey"].as_str().unwrap();
    assert_eq!(
        key.rsplit_once('/').map(|(folder, file)| (folder, file.len())),
        Some(("fraud-train/Build", 7))
    );
    assert_eq!(bench.object(key).as_deref(), Some(&b"built"[..]));

    let success = json!({
        "jobId": job["id"],
        "executionDetails": {"summary": "started", "externalExecutionId": "arn:pipeline/x", "percentComplete": 100},
        "outputVariables": {"ExecutionArn": "arn:x"},
    });
    bench.pipeline("PutJobSuccessResult", success.clone()).unwrap();
    assert_eq!(bench.status("fraud-train", &execution), "Succeeded");
    assert_eq!(
        bench.pipeline("PutJobSuccessResult", success).unwrap_err().code,
        "InvalidJobStateException"
    );
    let train = bench.latest("fraud-train", 2);
    assert_eq!(
        (&train["summary"], &train["percentComplete"]),
        (&json!("started"), &json!(100))
    );
    let runs = bench.runs("fraud-train", &execution);
    assert_eq!(runs.len(), 3);
    assert_eq!(runs[0]["output"]["outputVariables"]["BranchName"], "main");
    assert_eq!(
        runs[0]["output"]["outputVariables"]["AuthorDate"],
        "2026-03-02T09:00:00Z"
    );
    assert_eq!(runs[2]["output"]["outputVariables"], json!({"ExecutionArn": "arn:x"}));
    assert_eq!(
        runs[2]["input"]["resolvedConfiguration"]["UserParameters"],
        configuration["UserParameters"]
    );
    let shown = bench.ok(
        "GetPipelineExecution",
        json!({"pipelineName": "fraud-train", "pipelineExecutionId": execution}),
    );
    assert_eq!(
        shown["pipelineExecution"]["artifactRevisions"][0]["revisionId"],
        commit.as_str()
    );
    assert_eq!(
        shown["pipelineExecution"]["trigger"],
        json!({"triggerType": "CloudWatchEvent"})
    );

    assert_eq!(
        bench.told(),
        [
            "execution-started",
            "stage-started Source",
            "action-started Source",
            "action-succeeded Source",
            "stage-succeeded Source",
            "stage-started Build",
            "action-started Build",
            "action-succeeded Build",
            "stage-succeeded Build",
            "stage-started Train",
            "action-started Train",
            "action-succeeded Train",
            "stage-succeeded Train",
            "execution-succeeded",
        ]
    );
    let events = check_events(&bench);
    assert_eq!(events[0], "CodeCommit Repository referenceCreated");
    assert_eq!(
        events.iter().filter(|name| name.starts_with("CodePipeline")).count(),
        14
    );
    assert_eq!(
        events
            .iter()
            .filter(|name| name.starts_with("CodeBuild Build "))
            .count(),
        2 + 11
    );
    // Time that passes changes nothing more: no timer of what has ended does anything.
    bench.wait(3 * 86_400);
    assert_eq!((bench.told(), bench.cloud.take_effects().len()), (vec![], 0));
}

#[test]
fn the_job_is_as_aws_sends_it() {
    let mut bench = Bench::new();
    let (_, job) = train_to_job(&mut bench);
    let first: Value = serde_json::from_str(include_str!("samples/codepipeline_job_lambda_first_call.json")).unwrap();
    let again: Value = serde_json::from_str(include_str!("samples/codepipeline_job_lambda.json")).unwrap();
    let (first, again) = (&first["CodePipeline.job"], &again["CodePipeline.job"]);
    assert_eq!(differs("job", &job, &[first, again]), None);
    assert!(job["data"].get("continuationToken").is_none());
    bench
        .pipeline(
            "PutJobSuccessResult",
            json!({"jobId": job["id"], "continuationToken": "step-2"}),
        )
        .unwrap();
    bench.wait(30);
    let (_, job) = bench.job();
    assert_eq!(differs("job", &job, &[first, again]), None);
    assert_eq!(job["data"]["continuationToken"], "step-2");
}

/// A train that has come to its function.
fn train_to_job(bench: &mut Bench) -> (String, Value) {
    bench.push();
    let execution = bench.start_train();
    bench.wait(1);
    let build = bench.build();
    bench
        .cloud
        .finish_build(build.id, BuildOutcome::Succeeded(Bytes::from_static(b"built")));
    let (_, job) = bench.job();
    (execution, job)
}

#[test]
fn a_build_that_fails_fails_the_train() {
    let mut bench = Bench::new();
    bench.push();
    let execution = bench.start_train();
    bench.wait(1);
    let build = bench.build();
    bench.wait(20);
    let outcome = BuildOutcome::Failed {
        phase: "BUILD".into(),
        message: "COMMAND_EXECUTION_ERROR: Error while executing command: python3 -m unittest. Reason: exit status 1"
            .into(),
        log_tail: "FAILED (failures=1)".into(),
    };
    bench.cloud.finish_build(build.id, outcome.clone());
    // A second report changes nothing.
    bench
        .cloud
        .finish_build(build.id, BuildOutcome::Succeeded(Bytes::new()));
    assert_eq!(bench.status("fraud-train", &execution), "Failed");
    let latest = bench.latest("fraud-train", 1);
    let message = "Build terminated with state: FAILED. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: \
                   Error while executing command: python3 -m unittest. Reason: exit status 1";
    assert_eq!(latest["errorDetails"], json!({"code": "JobFailed", "message": message}));
    let failed = bench
        .events()
        .into_iter()
        .rev()
        .find(|(_, detail)| detail["state"] == "FAILED" && detail["action"] == "Build");
    let result = &failed.unwrap().1["execution-result"];
    assert_eq!(result["external-execution-summary"], message);
    assert_eq!(
        (&result["error-code"], &result["external-execution-id"]),
        (&json!("JobFailed"), &json!(build.build_id))
    );
    check_events(&bench);
    let noted = bench
        .cloud
        .take_happenings()
        .into_iter()
        .find(|happening| happening.what == "build-failed")
        .unwrap();
    assert_eq!(
        (noted.subject.as_str(), &noted.data["phase"]),
        ("fraud-build", &json!("BUILD"))
    );
    assert_eq!(noted.data["log_tail"], "FAILED (failures=1)");

    let builds = bench
        .call(
            Service::CodeBuild,
            "BatchGetBuilds",
            json!({"ids": [build.build_id, "fraud-build:none"]}),
        )
        .unwrap();
    assert_eq!(builds["buildsNotFound"], json!(["fraud-build:none"]));
    let shown = &builds["builds"][0];
    assert_eq!(
        (&shown["buildStatus"], &shown["currentPhase"]),
        (&json!("FAILED"), &json!("COMPLETED"))
    );
    let phases: Vec<(&str, &str, u64)> = shown["phases"].as_array().unwrap()[3..]
        .iter()
        .map(|phase| {
            let text = |name: &str| phase[name].as_str().unwrap_or_default();
            (
                text("phaseType"),
                text("phaseStatus"),
                phase["durationInSeconds"].as_u64().unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        ("DOWNLOAD_SOURCE", "SUCCEEDED", 0),
        ("INSTALL", "SUCCEEDED", 0),
        ("PRE_BUILD", "SUCCEEDED", 0),
        ("BUILD", "FAILED", 20),
        ("POST_BUILD", "SUCCEEDED", 0),
        ("FINALIZING", "SUCCEEDED", 0),
        ("COMPLETED", "", 0),
    ];
    assert_eq!(phases, expected);
    // The train is free for the next one.
    bench.push();
    bench.start_train();
    bench.wait(1);
    assert_eq!(bench.build().source, Bytes::from_static(b"zip 2"));
}

#[test]
fn a_build_takes_no_longer_than_its_project_allows() {
    let mut bench = Bench::new();
    bench.push();
    let execution = bench.start_train();
    bench.wait(1);
    let build = bench.build();
    bench.wait(30 * 60 - 1);
    assert_eq!(bench.status("fraud-train", &execution), "InProgress");
    bench.wait(1);
    assert_eq!(bench.status("fraud-train", &execution), "Failed");
    bench
        .cloud
        .finish_build(build.id, BuildOutcome::Succeeded(Bytes::new()));
    assert_eq!(bench.status("fraud-train", &execution), "Failed");
    let builds = bench
        .call(Service::CodeBuild, "BatchGetBuilds", json!({"ids": [build.build_id]}))
        .unwrap();
    assert_eq!(builds["builds"][0]["buildStatus"], "TIMED_OUT");
    check_events(&bench);
}

#[test]
fn a_source_without_a_commit_fails() {
    let mut bench = Bench::new();
    let execution = bench.start_train();
    assert_eq!(bench.status("fraud-train", &execution), "Failed");
    let error = bench.latest("fraud-train", 0)["errorDetails"].clone();
    assert_eq!(error["code"], "ConfigurationError");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("no branch named main was found"),
        "{error}"
    );
    check_events(&bench);
}

#[test]
fn a_start_may_name_its_commit() {
    let mut bench = Bench::new();
    let first = bench.push();
    bench.push();
    let start = |value: &str| {
        let revision = json!({"actionName": "Source", "revisionType": "COMMIT_ID", "revisionValue": value});
        json!({"name": "fraud-train", "sourceRevisions": [revision]})
    };
    bench.pipeline("StartPipelineExecution", start(&first)).unwrap();
    bench.wait(1);
    assert_eq!(bench.build().source, Bytes::from_static(b"zip 1"));
    let mut other = Bench::new();
    other.push();
    other.pipeline("StartPipelineExecution", start("feed")).unwrap();
    assert_eq!(other.latest("fraud-train", 0)["status"], "Failed");
}

#[test]
fn a_function_that_is_not_there_fails_the_action() {
    let mut stack = stack();
    resource(&mut stack, "TrainPipeline").properties["Stages"][2]["Actions"][0]["Configuration"]["FunctionName"] =
        json!("no-such-function");
    // IAM is asked first: the role may invoke it, were it there.
    let policies = resource(&mut stack, "PipelineRole").properties["Policies"].as_array_mut();
    let invoke = json!({"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"});
    let policy = json!({"PolicyName": "invoke", "PolicyDocument": {"Statement": invoke}});
    policies.unwrap().push(policy);
    let mut bench = Bench::of(stack);
    bench.push();
    let execution = bench.start_train();
    bench.wait(1);
    let build = bench.build();
    bench
        .cloud
        .finish_build(build.id, BuildOutcome::Succeeded(Bytes::new()));
    assert_eq!(bench.status("fraud-train", &execution), "Failed");
    assert_eq!(
        bench.latest("fraud-train", 2)["errorDetails"]["code"],
        "ConfigurationError"
    );
}

// ---- Jobs

#[test]
fn a_job_that_is_not_answered_fails_after_20_minutes() {
    let mut bench = Bench::new();
    let (execution, job) = train_to_job(&mut bench);
    bench.wait(20 * 60 - 1);
    assert_eq!(bench.status("fraud-train", &execution), "InProgress");
    // Each answer with a token gives 20 minutes to the next job.
    let details = json!({"summary": "half", "percentComplete": 50});
    let input = json!({"jobId": job["id"], "continuationToken": "t", "executionDetails": details});
    bench.pipeline("PutJobSuccessResult", input).unwrap();
    let latest = bench.latest("fraud-train", 2);
    assert_eq!(
        (&latest["status"], &latest["summary"]),
        (&json!("InProgress"), &json!("half"))
    );
    assert_eq!(latest["percentComplete"], 50);
    bench.wait(30);
    let (_, again) = bench.job();
    assert_ne!(again["id"], job["id"]);
    bench.wait(20 * 60);
    assert_eq!(bench.status("fraud-train", &execution), "Failed");
    let error = bench.latest("fraud-train", 2)["errorDetails"].clone();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("did not report within 20 minutes"),
        "{error}"
    );
    let late = bench.pipeline("PutJobSuccessResult", json!({"jobId": again["id"]}));
    assert_eq!(late.unwrap_err().code, "InvalidJobStateException");
    check_events(&bench);
}

#[test]
fn an_action_takes_no_longer_than_a_day() {
    let mut bench = Bench::new();
    let (execution, mut job) = train_to_job(&mut bench);
    let start = bench.cloud.now();
    while bench.status("fraud-train", &execution) == "InProgress" {
        let _ = bench.pipeline(
            "PutJobSuccessResult",
            json!({"jobId": job["id"], "continuationToken": "t"}),
        );
        bench.wait(30);
        if let [Effect::Invoke(invoke)] = bench.cloud.take_effects().as_slice() {
            job = invoke.payload["CodePipeline.job"].clone();
        }
        bench.wait(570);
    }
    let hours = bench.cloud.now().duration_since(start).as_hours();
    assert_eq!(
        (bench.status("fraud-train", &execution).as_str(), hours),
        ("Failed", 24)
    );
    assert_eq!(bench.latest("fraud-train", 2)["errorDetails"]["code"], "TimedOut");
}

#[test]
fn a_job_may_fail() {
    let mut bench = Bench::new();
    let (execution, job) = train_to_job(&mut bench);
    let details = json!({"type": "ConfigurationError", "message": "no definition", "externalExecutionId": "x-1"});
    bench
        .pipeline(
            "PutJobFailureResult",
            json!({"jobId": job["id"], "failureDetails": details}),
        )
        .unwrap();
    assert_eq!(bench.status("fraud-train", &execution), "Failed");
    let latest = bench.latest("fraud-train", 2);
    assert_eq!(
        latest["errorDetails"],
        json!({"code": "ConfigurationError", "message": "no definition"})
    );
    let (_, event) = bench
        .events()
        .into_iter()
        .find(|(_, detail)| detail["action"] == "StartTraining" && detail["state"] == "FAILED")
        .unwrap();
    let result = json!({
        "external-execution-summary": "no definition", "external-execution-id": "x-1", "error-code": "ConfigurationError",
    });
    assert_eq!(event["execution-result"], result);
    check_events(&bench);
}

#[test]
fn answers_that_do_not_fit_are_refused() {
    let mut bench = Bench::new();
    let (_, job) = train_to_job(&mut bench);
    let id = job["id"].clone();
    let unknown = "00000000-0000-4000-8000-000000000000";
    let failure = json!({"type": "JobFailed", "message": "m"});
    let big: BTreeMap<String, String> = (0..13).map(|n| (format!("v{n}"), "x".repeat(10_000))).collect();
    for (operation, input, code) in [
        ("PutJobSuccessResult", json!({"jobId": unknown}), "JobNotFoundException"),
        (
            "PutJobFailureResult",
            json!({"jobId": unknown, "failureDetails": failure}),
            "JobNotFoundException",
        ),
        (
            "PutJobSuccessResult",
            json!({"jobId": id, "continuationToken": "t", "outputVariables": {"A": "b"}}),
            "ValidationException",
        ),
        (
            "PutJobSuccessResult",
            json!({"jobId": id, "outputVariables": big}),
            "OutputVariablesSizeExceededException",
        ),
    ] {
        let error = bench.pipeline(operation, input.clone()).unwrap_err();
        assert_eq!(error.code, code, "{operation} {input}");
    }
    // None of them was an answer.
    bench
        .pipeline("PutJobFailureResult", json!({"jobId": id, "failureDetails": failure}))
        .unwrap();
    for operation in ["PutJobSuccessResult", "PutJobFailureResult"] {
        let error = bench
            .pipeline(operation, json!({"jobId": id, "failureDetails": failure}))
            .unwrap_err();
        assert_eq!(error.code, "InvalidJobStateException");
    }
}

// ---- Releases

#[test]
fn a_release_is_approved_and_deployed() {
    let mut bench = Bench::new();
    bench.push();
    let release = bench.start_release("token-1");
    assert_eq!(bench.start_release("token-1"), release);
    assert_eq!(bench.executions("fraud-release"), std::slice::from_ref(&release));
    bench.wait(1);
    let shown = bench.ok(
        "GetPipelineExecution",
        json!({"pipelineName": "fraud-release", "pipelineExecutionId": release}),
    );
    let expected = json!([
        {"name": "ModelPackageArn", "resolvedValue": PACKAGE},
        {"name": "ModelVersion", "resolvedValue": "7"},
        {"name": "Reason", "resolvedValue": "not given"},
    ]);
    assert_eq!(shown["pipelineExecution"]["variables"], expected);

    let [(topic, subject, message)] = &bench.messages()[..] else {
        panic!("{:?}", bench.messages())
    };
    assert_eq!(topic, "arn:aws:sns:eu-west-1:123456789012:fraud-approval-requests");
    assert!(subject.as_ref().unwrap().contains("APPROVAL NEEDED"));
    let sample: Value = serde_json::from_str(include_str!("samples/codepipeline_approval_sns_message.json")).unwrap();
    assert_eq!(differs("message", message, &[&sample]), None);
    let approval = &message["approval"];
    assert_eq!(approval["expires"], "2026-03-09T09:00Z");
    let custom: Value = serde_json::from_str(approval["customData"].as_str().unwrap()).unwrap();
    assert_eq!(custom, json!({"modelPackage": PACKAGE, "release": release}));
    assert_eq!(
        bench.stage("fraud-release", 1)["latestExecution"],
        json!({"pipelineExecutionId": release, "status": "InProgress"})
    );
    let token = bench.token();
    assert_eq!(approval["token"], token.as_str());
    let link = approval["approvalReviewLink"].as_str().unwrap();
    assert!(
        link.ends_with(&format!("#/view/fraud-release/Approve/Approve/approve/{token}")),
        "{link}"
    );

    bench.wait(3600);
    let answer = bench.approve(&token, true).unwrap();
    assert_eq!(answer["approvedAt"], 1_772_445_601.0);
    let latest = bench.latest("fraud-release", 1);
    assert_eq!(
        (&latest["status"], &latest["summary"]),
        (&json!("Succeeded"), &json!("Approved by Ada"))
    );
    assert_eq!(latest["lastUpdatedBy"], "arn:aws:iam::123456789012:user/administrator");
    assert!(latest.get("token").is_none());
    assert_eq!(
        bench.approve(&token, false).unwrap_err().code,
        "ApprovalAlreadyCompletedException"
    );

    let mut ids = Vec::new();
    for round in 0..3 {
        let (function, job) = bench.job();
        assert_eq!(function, "fraud-update-endpoint");
        let continuation = job["data"].get("continuationToken").cloned();
        assert_eq!(continuation, (round > 0).then(|| json!(format!("round-{round}"))));
        ids.push(job["id"].clone());
        if round == 2 {
            bench
                .pipeline("PutJobSuccessResult", json!({"jobId": job["id"]}))
                .unwrap();
        } else {
            let next = format!("round-{}", round + 1);
            bench
                .pipeline(
                    "PutJobSuccessResult",
                    json!({"jobId": job["id"], "continuationToken": next}),
                )
                .unwrap();
            bench.wait(29);
            assert!(bench.cloud.take_effects().is_empty());
            bench.wait(1);
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert_eq!(bench.status("fraud-release", &release), "Succeeded");
    let runs = bench.runs("fraud-release", &release);
    assert_eq!(
        runs[1]["output"]["executionResult"],
        json!({"externalExecutionSummary": "Approved by Ada"})
    );
    check_events(&bench);
    // Still the same execution for the same token.
    assert_eq!(bench.start_release("token-1"), release);
}

#[test]
fn who_answers_is_kept() {
    let mut bench = Bench::new();
    bench.push();
    bench.start_release("t");
    bench.wait(1);
    let name = "fraud-decide-approval";
    let functions = &bench.cloud.stack().resources;
    let function = functions
        .iter()
        .find(|function| function.properties["FunctionName"] == name);
    let role_arn = function.unwrap().properties["Role"].as_str().unwrap().to_owned();
    let role = role_arn.rsplit_once('/').unwrap().1.to_owned();
    let caller = Caller::Function {
        name: name.to_owned(),
        role_arn,
    };
    let input = json!({
        "pipelineName": "fraud-release", "stageName": "Approve", "actionName": "Approve", "token": bench.token(),
        "result": {"summary": "", "status": "Approved"},
    });
    bench
        .cloud
        .call(&caller, Service::CodePipeline, "PutApprovalResult", &input)
        .unwrap();
    let latest = bench.latest("fraud-release", 1);
    let arn = format!("arn:aws:sts::123456789012:assumed-role/{role}/{name}");
    assert_eq!(
        (latest["lastUpdatedBy"].as_str(), latest.get("summary")),
        (Some(arn.as_str()), None)
    );
}

#[test]
fn a_rejection_fails_the_release_and_lets_the_next_in() {
    let mut bench = Bench::new();
    bench.push();
    let first = bench.start_release("one");
    bench.wait(1);
    let second = bench.start_release("two");
    let third = bench.start_release("three");
    bench.wait(1);
    assert_eq!(
        bench.stage("fraud-release", 1)["inboundExecutions"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    bench.wait(1);
    // Each waits before the approval with the stage before it free for the others.
    let waiting = bench.stage("fraud-release", 1);
    let inbound: Vec<&Value> = waiting["inboundExecutions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|execution| &execution["pipelineExecutionId"])
        .collect();
    assert_eq!(inbound, [&json!(second), &json!(third)]);
    assert_eq!(waiting["latestExecution"]["pipelineExecutionId"], first.as_str());
    assert_eq!(bench.messages().len(), 1);
    let token = bench.token();
    bench.approve(&token, false).unwrap();
    assert_eq!(bench.status("fraud-release", &first), "Failed");
    let run = bench.runs("fraud-release", &first)[1].clone();
    assert_eq!(
        (
            &run["status"],
            &run["output"]["executionResult"]["externalExecutionSummary"]
        ),
        (&json!("Failed"), &json!("Rejected by Ada"))
    );
    assert_eq!(bench.messages().len(), 2);
    assert_eq!(
        bench.stage("fraud-release", 1)["latestExecution"]["pipelineExecutionId"],
        second.as_str()
    );
    let next = bench.token();
    assert_ne!(next, token);
    assert_eq!(
        bench.approve(&token, true).unwrap_err().code,
        "ApprovalAlreadyCompletedException"
    );
    bench.approve(&next, true).unwrap();
    let (_, job) = bench.job();
    // The third waits for its approval while the second is deployed, and for the deployment after it.
    let token = bench.token();
    bench.approve(&token, true).unwrap();
    assert!(bench.cloud.take_effects().is_empty());
    assert_eq!(
        bench.stage("fraud-release", 2)["inboundExecution"]["pipelineExecutionId"],
        third.as_str()
    );
    bench
        .pipeline("PutJobSuccessResult", json!({"jobId": job["id"]}))
        .unwrap();
    let (_, job) = bench.job();
    assert!(
        job["data"]["actionConfiguration"]["configuration"]["UserParameters"]
            .as_str()
            .unwrap()
            .contains(&third)
    );
    assert_eq!(bench.status("fraud-release", &second), "Succeeded");
    check_events(&bench);
}

#[test]
fn an_approval_expires() {
    let mut bench = Bench::new();
    bench.push();
    let release = bench.start_release("t");
    bench.wait(1);
    let token = bench.token();
    bench.wait(10_080 * 60 - 1);
    assert_eq!(bench.status("fraud-release", &release), "InProgress");
    bench.wait(1);
    assert_eq!(bench.status("fraud-release", &release), "Failed");
    let result = bench.runs("fraud-release", &release)[1]["output"]["executionResult"].clone();
    assert_eq!(
        result,
        json!({"errorDetails": {"code": "TimedOut", "message": "The approval timed out."}})
    );
    assert_eq!(
        bench.approve(&token, true).unwrap_err().code,
        "InvalidApprovalTokenException"
    );
    check_events(&bench);
}

#[test]
fn approvals_that_do_not_fit_are_refused() {
    let mut bench = Bench::new();
    bench.push();
    bench.start_release("t");
    bench.wait(1);
    let token = bench.token();
    let other = "00000000-0000-4000-8000-000000000000";
    for (pipeline, stage, action, token, code) in [
        (
            "nope",
            "Approve",
            "Approve",
            token.as_str(),
            "PipelineNotFoundException",
        ),
        ("fraud-release", "Nope", "Approve", &token, "StageNotFoundException"),
        ("fraud-release", "Approve", "Nope", &token, "ActionNotFoundException"),
        (
            "fraud-release",
            "Deploy",
            "UpdateEndpoint",
            &token,
            "ActionNotFoundException",
        ),
        (
            "fraud-release",
            "Approve",
            "Approve",
            other,
            "InvalidApprovalTokenException",
        ),
    ] {
        let input = json!({
            "pipelineName": pipeline, "stageName": stage, "actionName": action, "token": token,
            "result": {"summary": "s", "status": "Approved"},
        });
        assert_eq!(
            bench.pipeline("PutApprovalResult", input).unwrap_err().code,
            code,
            "{pipeline}/{stage}/{action}"
        );
    }
    assert_eq!(bench.latest("fraud-release", 1)["status"], "InProgress");
}

// ---- Executions among each other

#[test]
fn superseded_executions_end() {
    let mut stack = stack();
    resource(&mut stack, "TrainPipeline").properties["ExecutionMode"] = json!("SUPERSEDED");
    let mut bench = Bench::of(stack);
    bench.push();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(bench.start_train());
        bench.wait(1);
    }
    let statuses: Vec<String> = ids.iter().map(|id| bench.status("fraud-train", id)).collect();
    assert_eq!(statuses, ["InProgress", "Superseded", "Superseded", "InProgress"]);
    let build = bench.build();
    bench
        .cloud
        .finish_build(build.id, BuildOutcome::Succeeded(Bytes::new()));
    assert_eq!(
        bench.stage("fraud-train", 1)["latestExecution"]["pipelineExecutionId"],
        ids[3].as_str()
    );
    let superseded = bench
        .told()
        .iter()
        .filter(|what| *what == "execution-superseded")
        .count();
    assert_eq!(superseded, 2);
    check_events(&bench);
}

#[test]
fn executions_are_stopped() {
    // Whether actions are abandoned, what the release is then, and what it is once the approval is answered.
    for (abandon, then, after, run) in [
        (false, "Stopping", "Stopped", "Succeeded"),
        (true, "Stopped", "Stopped", "Abandoned"),
    ] {
        let mut bench = Bench::new();
        bench.push();
        let first = bench.start_release("one");
        bench.wait(1);
        let second = bench.start_release("two");
        bench.wait(1);
        let token = bench.token();
        let stop = |id: &str| json!({"pipelineName": "fraud-release", "pipelineExecutionId": id, "abandon": abandon, "reason": "why"});
        bench.pipeline("StopPipelineExecution", stop(&first)).unwrap();
        assert_eq!(bench.status("fraud-release", &first), then);
        let again = bench.pipeline("StopPipelineExecution", stop(&first)).unwrap_err().code;
        assert_eq!(
            again,
            if abandon {
                "PipelineExecutionNotStoppableException"
            } else {
                "DuplicatedStopRequestException"
            }
        );
        assert_eq!(bench.approve(&token, true).is_ok(), !abandon);
        assert_eq!(bench.status("fraud-release", &first), after);
        assert_eq!(bench.runs("fraud-release", &first)[1]["status"], run);
        assert!(bench.cloud.take_effects().is_empty(), "nothing is deployed");
        assert_eq!(
            bench.stage("fraud-release", 1)["latestExecution"]["pipelineExecutionId"],
            second.as_str()
        );
        // One that waits stops at once.
        let third = bench.start_release("three");
        bench.wait(1);
        bench.pipeline("StopPipelineExecution", stop(&third)).unwrap();
        assert_eq!(bench.status("fraud-release", &third), "Stopped");
        assert!(bench.stage("fraud-release", 1).get("inboundExecutions").is_none());
        let listed = bench.ok("ListPipelineExecutions", json!({"pipelineName": "fraud-release"}));
        assert_eq!(
            listed["pipelineExecutionSummaries"][0]["stopTrigger"],
            json!({"reason": "why"})
        );
        check_events(&bench);
    }
}

#[test]
fn actions_of_one_order_run_side_by_side() {
    let mut stack = stack();
    let train = &mut resource(&mut stack, "TrainPipeline").properties["Stages"][2]["Actions"];
    let mut actions = Vec::new();
    for (name, order) in [("Last", 2), ("A", 1), ("B", 1)] {
        let mut action = train[0].clone();
        action["Name"] = json!(name);
        action["RunOrder"] = json!(order);
        action.as_object_mut().unwrap().remove("Namespace");
        actions.push(action);
    }
    *train = json!(actions);
    for b_fails in [false, true] {
        let mut bench = Bench::of(Stack {
            resources: stack.resources.clone(),
            ..Stack::default()
        });
        bench.push();
        let execution = bench.start_train();
        bench.wait(1);
        let build = bench.build();
        bench
            .cloud
            .finish_build(build.id, BuildOutcome::Succeeded(Bytes::new()));
        let jobs: Vec<Value> = bench
            .cloud
            .take_effects()
            .into_iter()
            .map(|effect| match effect {
                Effect::Invoke(invoke) => invoke.payload["CodePipeline.job"]["id"].clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(jobs.len(), 2);
        let failure = json!({"jobId": jobs[1], "failureDetails": {"type": "JobFailed", "message": "m"}});
        if b_fails {
            bench.pipeline("PutJobFailureResult", failure).unwrap();
            // The other one is waited for.
            assert_eq!(bench.status("fraud-train", &execution), "InProgress");
            bench
                .pipeline("PutJobSuccessResult", json!({"jobId": jobs[0]}))
                .unwrap();
            assert_eq!(bench.status("fraud-train", &execution), "Failed");
            assert!(bench.cloud.take_effects().is_empty());
        } else {
            bench
                .pipeline("PutJobSuccessResult", json!({"jobId": jobs[1]}))
                .unwrap();
            assert!(bench.cloud.take_effects().is_empty());
            bench
                .pipeline("PutJobSuccessResult", json!({"jobId": jobs[0]}))
                .unwrap();
            let (_, job) = bench.job();
            bench
                .pipeline("PutJobSuccessResult", json!({"jobId": job["id"]}))
                .unwrap();
            assert_eq!(bench.status("fraud-train", &execution), "Succeeded");
        }
    }
}

#[test]
fn starts_that_do_not_fit_are_refused() {
    let mut bench = Bench::new();
    let package = json!({"name": "ModelPackageArn", "value": PACKAGE});
    let version = json!({"name": "ModelVersion", "value": "7"});
    for (input, code, says) in [
        (json!({"name": "nope"}), "PipelineNotFoundException", "'nope'"),
        (
            json!({"name": "fraud-release"}),
            "ValidationException",
            "ModelPackageArn, ModelVersion",
        ),
        (
            json!({"name": "fraud-release", "variables": [package]}),
            "ValidationException",
            "ModelVersion",
        ),
        (
            json!({"name": "fraud-release", "variables": [package, version, {"name": "Nope", "value": "x"}]}),
            "ValidationException",
            "Nope",
        ),
        (
            json!({"name": "fraud-release", "variables": [package, package, version]}),
            "ValidationException",
            "twice",
        ),
        (
            json!({
                "name": "fraud-train",
                "sourceRevisions": [{"actionName": "Nope", "revisionType": "COMMIT_ID", "revisionValue": "x"}],
            }),
            "ValidationException",
            "no source action Nope",
        ),
    ] {
        let error = bench.pipeline("StartPipelineExecution", input.clone()).unwrap_err();
        assert_eq!(error.code, code, "{input}");
        assert!(error.message.contains(says), "{input}: {error}");
    }
    assert!(
        start_from_event(
            &mut bench.cloud,
            "arn:aws:codepipeline:eu-west-1:123456789012:fraud-release"
        )
        .is_err()
    );
    assert_eq!((bench.executions("fraud-release").len(), bench.told().len()), (0, 0));
}

/// The stack with a third pipeline, whose source is followed by a function and nothing else, and whose variables have default values.
fn with_update_pipeline() -> Stack {
    let mut stack = stack();
    let mut update = resource(&mut stack, "ReleasePipeline").clone();
    update.logical_id = "UpdatePipeline".into();
    update.physical_id = "fraud-update".into();
    update.properties["Name"] = json!("fraud-update");
    update.properties["Variables"] = json!([
        {"Name": "EndpointConfig", "DefaultValue": "-"},
        {"Name": "Instances", "DefaultValue": 2},
        {"Name": "Blank", "DefaultValue": " "},
    ]);
    let stages = update.properties["Stages"].as_array_mut().unwrap();
    stages.remove(1);
    stages[1]["Actions"][0]["Configuration"]["UserParameters"] =
        json!("#{variables.EndpointConfig}|#{variables.Instances}|#{variables.Blank}|#{codepipeline.ExecutionMode}");
    stack.resources.push(update);
    stack
}

fn start_update(bench: &mut Bench, token: &str, variables: Value) -> String {
    let mut input = json!({"name": "fraud-update", "clientRequestToken": token});
    super::set(&mut input, "variables", (!variables.is_null()).then_some(variables));
    let started = bench.pipeline("StartPipelineExecution", input).unwrap();
    started["pipelineExecutionId"].as_str().unwrap().to_owned()
}

#[test]
fn a_function_may_follow_the_source_at_once_with_variables_by_default() {
    let mut bench = Bench::of(with_update_pipeline());
    bench.push();
    bench.wait(2);
    // What the push started is not looked at here.
    bench.cloud.take_effects();
    let given = json!([{"name": "EndpointConfig", "value": "fraud-v8"}, {"name": "Instances", "value": "3"}]);
    let first = start_update(&mut bench, "one", Value::Null);
    let second = start_update(&mut bench, "two", given);
    assert_eq!(
        start_update(&mut bench, "one", json!([{"name": "Instances", "value": "9"}])),
        first,
        "the token decides, whatever else is said"
    );
    assert_eq!(bench.executions("fraud-update"), [second.clone(), first.clone()]);
    bench.wait(2);
    // QUEUED: the second waits before the stage that the first is in.
    let (function, job) = bench.job();
    assert_eq!(function, "fraud-update-endpoint");
    let parameters = "/data/actionConfiguration/configuration/UserParameters";
    assert_eq!(job.pointer(parameters).unwrap(), "-|2| |QUEUED");
    let stage = bench.stage("fraud-update", 1);
    assert_eq!(stage["latestExecution"]["pipelineExecutionId"], first.as_str());
    assert_eq!(stage["inboundExecutions"][0]["pipelineExecutionId"], second.as_str());
    bench.wait(600);
    assert!(bench.cloud.take_effects().is_empty());
    // A start that comes again while it waits is still that one.
    assert_eq!(start_update(&mut bench, "two", Value::Null), second);
    bench
        .pipeline("PutJobSuccessResult", json!({"jobId": job["id"]}))
        .unwrap();
    let (_, job) = bench.job();
    assert_eq!(job.pointer(parameters).unwrap(), "fraud-v8|3| |QUEUED");
    let failure = json!({"jobId": job["id"], "failureDetails": {"type": "JobFailed", "message": "no"}});
    bench.pipeline("PutJobFailureResult", failure).unwrap();
    assert_eq!(bench.status("fraud-update", &first), "Succeeded");
    assert_eq!(bench.status("fraud-update", &second), "Failed");
    assert_eq!(
        start_update(&mut bench, "one", Value::Null),
        first,
        "when it is over too"
    );
    assert_eq!(bench.executions("fraud-update").len(), 2);
    let shown = bench.ok(
        "GetPipelineExecution",
        json!({"pipelineName": "fraud-update", "pipelineExecutionId": first}),
    );
    assert_eq!(
        shown["pipelineExecution"]["variables"],
        json!([{"name": "EndpointConfig", "resolvedValue": "-"}, {"name": "Instances", "resolvedValue": "2"},
            {"name": "Blank", "resolvedValue": " "}])
    );
}

#[test]
fn a_token_is_the_pipelines_own() {
    let mut bench = Bench::of(with_update_pipeline());
    bench.push();
    let update = start_update(&mut bench, "one", Value::Null);
    assert_ne!(bench.start_release("one"), update);
    // Without a token every start is another.
    for expected in 2..4 {
        bench
            .pipeline("StartPipelineExecution", json!({"name": "fraud-update"}))
            .unwrap();
        assert_eq!(bench.executions("fraud-update").len(), expected);
    }
    // A value is one to 1000 characters, here as in the declaration.
    for value in [String::new(), "x".repeat(1001)] {
        let variables = json!([{"name": "Blank", "value": value}]);
        let input = json!({"name": "fraud-update", "variables": variables});
        let error = bench.pipeline("StartPipelineExecution", input).unwrap_err();
        assert_eq!(error.code, "ValidationException");
    }
    // All variables have default values: a rule may start it.
    start_from_event(
        &mut bench.cloud,
        "arn:aws:codepipeline:eu-west-1:123456789012:fraud-update",
    )
    .unwrap();
}

#[test]
fn a_queue_is_not_endless() {
    let mut bench = Bench::new();
    bench.push();
    for n in 0..50 {
        bench.start_release(&format!("t{n}"));
    }
    let error = bench
        .pipeline("StartPipelineExecution", Bench::release_input("more"))
        .unwrap_err();
    assert_eq!(error.code, "ConcurrentPipelineExecutionsLimitExceededException");
    bench.wait(3600);
    assert_eq!(
        bench.stage("fraud-release", 1)["inboundExecutions"]
            .as_array()
            .map(Vec::len),
        Some(49)
    );
}

#[test]
fn lists_come_in_pages() {
    let mut bench = Bench::new();
    bench.push();
    let ids: Vec<String> = (0..5).map(|n| bench.start_release(&format!("t{n}"))).collect();
    let mut seen = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut input = json!({"pipelineName": "fraud-release", "maxResults": 2});
        if !token.is_null() {
            input["nextToken"] = token;
        }
        let listed = bench.ok("ListPipelineExecutions", input);
        for execution in listed["pipelineExecutionSummaries"].as_array().unwrap() {
            seen.push(execution["pipelineExecutionId"].as_str().unwrap().to_owned());
        }
        token = listed.get("nextToken").cloned().unwrap_or_default();
        if token.is_null() {
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, ids);
    bench.wait(60);
    let filter =
        |stage: &str| json!({"pipelineName": "fraud-release", "filter": {"succeededInStage": {"stageName": stage}}});
    let listed = bench.ok("ListPipelineExecutions", filter("Source"));
    assert_eq!(listed["pipelineExecutionSummaries"].as_array().map(Vec::len), Some(5));
    let listed = bench.ok("ListPipelineExecutions", filter("Approve"));
    assert_eq!(listed["pipelineExecutionSummaries"].as_array().map(Vec::len), Some(0));
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (operation, input, code) in [
        ("ListPipelineExecutions", filter("Nope"), "StageNotFoundException"),
        (
            "ListPipelineExecutions",
            json!({"pipelineName": "nope"}),
            "PipelineNotFoundException",
        ),
        (
            "ListPipelineExecutions",
            json!({"pipelineName": "fraud-train", "nextToken": "x"}),
            "InvalidNextTokenException",
        ),
        (
            "ListActionExecutions",
            json!({"pipelineName": "fraud-train", "filter": {"pipelineExecutionId": unknown}}),
            "PipelineExecutionNotFoundException",
        ),
        (
            "GetPipelineExecution",
            json!({"pipelineName": "fraud-train", "pipelineExecutionId": unknown}),
            "PipelineExecutionNotFoundException",
        ),
        ("GetPipelineState", json!({"name": "nope"}), "PipelineNotFoundException"),
        ("GetPipeline", json!({"name": "nope"}), "PipelineNotFoundException"),
        (
            "GetPipeline",
            json!({"name": "fraud-train", "version": 2}),
            "PipelineVersionNotFoundException",
        ),
        (
            "StopPipelineExecution",
            json!({"pipelineName": "fraud-train", "pipelineExecutionId": unknown}),
            "PipelineExecutionNotStoppableException",
        ),
    ] {
        assert_eq!(
            bench.pipeline(operation, input.clone()).unwrap_err().code,
            code,
            "{operation} {input}"
        );
    }
    let listed = bench.ok("ListPipelines", json!({}));
    let names: Vec<&Value> = listed["pipelines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pipeline| &pipeline["name"])
        .collect();
    assert_eq!(names, ["fraud-release", "fraud-rollback", "fraud-train"]);
    let pipeline = bench.ok("GetPipeline", json!({"name": "fraud-release"}));
    assert_eq!(
        pipeline["pipeline"]["stages"][1]["actions"][0]["timeoutInMinutes"],
        10_080
    );
}

// ---- The template

#[test]
fn what_is_not_understood_is_named() {
    let action = "/Stages/2/Actions/0";
    for (id, pointer, member, value, says) in [
        (
            "TrainPipeline",
            "",
            "ExecutionMode",
            json!("PARALLEL"),
            "ExecutionMode PARALLEL",
        ),
        ("TrainPipeline", "", "PipelineType", json!("V1"), "PipelineType V1"),
        (
            "TrainPipeline",
            "",
            "RestartExecutionOnUpdate",
            json!(true),
            "RestartExecutionOnUpdate",
        ),
        (
            "TrainPipeline",
            "/ArtifactStore",
            "EncryptionKey",
            json!({"Id": "k", "Type": "OWN"}),
            "EncryptionKey of Type OWN",
        ),
        ("TrainPipeline", "/Stages/1", "OnFailure", json!({}), "OnFailure"),
        ("TrainPipeline", action, "Region", json!("eu-west-2"), "Region"),
        ("TrainPipeline", action, "Name", json!("a b"), "a b"),
        (
            "TrainPipeline",
            &format!("{action}/ActionTypeId"),
            "Provider",
            json!("StepFunctions"),
            "Invoke/AWS/StepFunctions/1",
        ),
        (
            "TrainPipeline",
            &format!("{action}/Configuration"),
            "Qualifier",
            json!("x"),
            "Qualifier",
        ),
        (
            "TrainPipeline",
            &format!("{action}/Configuration"),
            "FunctionName",
            json!(""),
            "FunctionName",
        ),
        (
            "TrainPipeline",
            &format!("{action}/Configuration"),
            "UserParameters",
            json!("#{Nope.X}"),
            "#{Nope.X}",
        ),
        (
            "TrainPipeline",
            &format!("{action}/Configuration"),
            "UserParameters",
            json!("#{variables.X}"),
            "#{variables.X}",
        ),
        (
            "TrainPipeline",
            &format!("{action}/Configuration"),
            "UserParameters",
            json!("x".repeat(1001)),
            "1000 characters",
        ),
        (
            "TrainPipeline",
            action,
            "InputArtifacts",
            json!([{"Name": "Nope"}]),
            "artifact Nope",
        ),
        (
            "TrainPipeline",
            action,
            "OutputArtifacts",
            json!([{"Name": "Build"}]),
            "made twice",
        ),
        (
            "TrainPipeline",
            action,
            "Namespace",
            json!("Source"),
            "namespace `Source`",
        ),
        ("TrainPipeline", action, "RunOrder", json!(1000), "RunOrder 1000"),
        (
            "TrainPipeline",
            action,
            "TimeoutInMinutes",
            json!("4"),
            "TimeoutInMinutes 4",
        ),
        ("TrainPipeline", action, "TimeoutInMinutes", json!("soon"), "soon"),
        (
            "TrainPipeline",
            "/Stages/0/Actions/0/Configuration",
            "PollForSourceChanges",
            json!(true),
            "PollForSourceChanges",
        ),
        (
            "TrainPipeline",
            "/Stages/0/Actions/0",
            "OutputArtifacts",
            json!([]),
            "0 output artifacts",
        ),
        ("TrainPipeline", "/Stages/1", "Name", json!("Source"), "stage `Source`"),
        (
            "ReleasePipeline",
            "/Variables/2",
            "DefaultValue",
            json!(""),
            "DefaultValue of the variable Reason is not 1 to 1000 characters",
        ),
        (
            "ReleasePipeline",
            "/Variables/2",
            "DefaultValue",
            json!("x".repeat(1001)),
            "DefaultValue of the variable Reason is not 1 to 1000 characters",
        ),
        (
            "ReleasePipeline",
            "/Variables/2",
            "Description",
            json!("x".repeat(201)),
            "Description of the variable Reason is longer than 200 characters",
        ),
        (
            "ReleasePipeline",
            "",
            "Variables",
            (0..51).map(|n| json!({"Name": format!("V{n}")})).collect(),
            "at most 50 variables",
        ),
        ("ReleasePipeline", "", "Name", json!("fraud-train"), "two pipelines"),
        ("Build", "", "Cache", json!({}), "Cache"),
        ("Build", "/Source", "Type", json!("S3"), "Source of Type S3"),
        (
            "Build",
            "/Environment",
            "RegistryCredential",
            json!({}),
            "RegistryCredential",
        ),
        (
            "Build",
            "/Environment/EnvironmentVariables/0",
            "Type",
            json!("PARAMETER_STORE"),
            "PARAMETER_STORE",
        ),
        ("Build", "", "TimeoutInMinutes", json!(4), "TimeoutInMinutes 4"),
        ("Repository", "", "Code", json!({}), "Code"),
        ("Repository", "", "RepositoryName", json!("a b"), "a b"),
    ] {
        let mut stack = stack();
        let place = resource(&mut stack, id).properties.pointer_mut(pointer).unwrap();
        place[member] = value;
        let error = Bench::deploy(stack).unwrap_err().to_string();
        assert!(
            error.contains(says) && error.contains(id),
            "{id}{pointer}/{member}: {error}"
        );
    }
    for kind in [
        "AWS::CodePipeline::Webhook",
        "AWS::CodeBuild::Fleet",
        "AWS::CodeCommit::Trigger",
    ] {
        let mut stack = stack();
        stack.resources[0].kind = kind.into();
        assert!(Bench::deploy(stack).unwrap_err().to_string().contains(kind));
    }
}

// ---- CodeCommit and CodeBuild

#[test]
fn pushes_move_branches() {
    let mut bench = Bench::new();
    let (first, second) = (bench.push(), bench.push());
    // What the branch points to already is no push.
    bench.pushes -= 1;
    bench.push();
    assert_eq!(
        check_events(&bench),
        [
            "CodeCommit Repository referenceCreated",
            "CodeCommit Repository referenceUpdated"
        ]
    );
    let (_, detail) = bench.events().pop().unwrap();
    assert_eq!(
        (&detail["commitId"], &detail["oldCommitId"]),
        (&json!(second), &json!(first))
    );
    assert_eq!(detail["referenceFullName"], "refs/heads/main");
    let pushed = bench.cloud.take_happenings();
    assert_eq!(pushed.len(), 2);
    let noted = json!({"branch": "main", "commit": first, "author": "Ada <ada@example.com>", "message": "Try number 1", "default": true});
    assert_eq!((pushed[0].what, &pushed[0].data), ("pushed", &noted));

    let branch = json!({"repositoryName": "fraud", "branchName": "main"});
    let answer = bench.call(Service::CodeCommit, "GetBranch", branch).unwrap();
    assert_eq!(answer, json!({"branch": {"branchName": "main", "commitId": second}}));
    let commit = json!({"repositoryName": "fraud", "commitId": second});
    let answer = bench.call(Service::CodeCommit, "GetCommit", commit).unwrap();
    assert_eq!(answer["commit"]["parents"], json!([first]));
    let author = json!({"name": "Ada", "email": "ada@example.com", "date": "1772442000 +0000"});
    assert_eq!(answer["commit"]["author"], author);
    let answer = bench
        .call(Service::CodeCommit, "GetRepository", json!({"repositoryName": "fraud"}))
        .unwrap();
    assert_eq!(answer["repositoryMetadata"]["defaultBranch"], "main");
    let answer = bench.call(Service::CodeCommit, "ListRepositories", json!({})).unwrap();
    assert_eq!(answer["repositories"][0]["repositoryName"], "fraud");
    for (operation, input, code) in [
        (
            "GetBranch",
            json!({"branchName": "main"}),
            "RepositoryNameRequiredException",
        ),
        (
            "GetBranch",
            json!({"repositoryName": "fraud"}),
            "BranchNameRequiredException",
        ),
        (
            "GetBranch",
            json!({"repositoryName": "nope", "branchName": "main"}),
            "RepositoryDoesNotExistException",
        ),
        (
            "GetBranch",
            json!({"repositoryName": "fraud", "branchName": "nope"}),
            "BranchDoesNotExistException",
        ),
        (
            "GetCommit",
            json!({"repositoryName": "fraud", "commitId": "feed"}),
            "CommitIdDoesNotExistException",
        ),
        (
            "GetRepository",
            json!({"repositoryName": "nope"}),
            "RepositoryDoesNotExistException",
        ),
    ] {
        assert_eq!(
            bench
                .call(Service::CodeCommit, operation, input.clone())
                .unwrap_err()
                .code,
            code,
            "{operation} {input}"
        );
    }
    for (repository, branch, commit, code) in [
        ("nope", "main", "feed", "RepositoryDoesNotExistException"),
        ("fraud", "refs/heads/main", "feed", "InvalidBranchNameException"),
        ("fraud", "main", "not hex", "InvalidCommitIdException"),
    ] {
        let push = Push {
            repository: repository.into(),
            branch: branch.into(),
            commit: commit.into(),
            parent: None,
            author: "Ada".into(),
            message: String::new(),
            zip: Bytes::new(),
        };
        assert_eq!(bench.cloud.push(push).unwrap_err().code, code);
    }
}

#[test]
fn projects_and_builds_are_shown() {
    let mut bench = Bench::new();
    let list = json!({"projectName": "fraud-build"});
    assert_eq!(
        bench
            .call(Service::CodeBuild, "ListBuildsForProject", list.clone())
            .unwrap(),
        json!({})
    );
    let (_, _) = train_to_job(&mut bench);
    let answer = bench.call(Service::CodeBuild, "ListBuildsForProject", list).unwrap();
    let id = answer["ids"][0].as_str().unwrap().to_owned();
    assert!(id.starts_with("fraud-build:"));
    let answer = bench
        .call(Service::CodeBuild, "BatchGetBuilds", json!({"ids": [id]}))
        .unwrap();
    assert_eq!(
        (&answer["builds"][0]["buildStatus"], &answer["builds"][0]["buildNumber"]),
        (&json!("SUCCEEDED"), &json!(1))
    );
    let answer = bench.call(Service::CodeBuild, "ListProjects", json!({})).unwrap();
    assert_eq!(answer, json!({"projects": ["fraud-build", "fraud-check"]}));
    let answer = bench
        .call(
            Service::CodeBuild,
            "BatchGetProjects",
            json!({"names": ["fraud-build", "nope"]}),
        )
        .unwrap();
    assert_eq!(
        answer["projects"][0]["source"],
        json!({"type": "CODEPIPELINE", "buildspec": "buildspec.yml"})
    );
    assert_eq!(answer["projectsNotFound"], json!(["nope"]));
    let error = bench
        .call(
            Service::CodeBuild,
            "ListBuildsForProject",
            json!({"projectName": "nope"}),
        )
        .unwrap_err();
    assert_eq!(error.code, "ResourceNotFoundException");
}

#[test]
fn an_action_may_add_variables_to_its_build() {
    let with = |text: &str| {
        let mut stack = stack();
        let configuration =
            &mut resource(&mut stack, "TrainPipeline").properties["Stages"][1]["Actions"][0]["Configuration"];
        configuration["EnvironmentVariables"] = json!(text);
        let mut bench = Bench::of(stack);
        bench.push();
        bench.start_train();
        bench.wait(1);
        bench
    };
    let mut bench =
        with(r##"[{"name": "MODEL_NAME", "value": "other"}, {"name": "COMMIT", "value": "#{Source.CommitId}"}]"##);
    let build = bench.build();
    assert_eq!(
        (
            build.environment["MODEL_NAME"].as_str(),
            build.environment["COMMIT"].len()
        ),
        ("other", 40)
    );
    for wrong in [
        "not json",
        r#"[{"name": "A", "value": "b", "type": "SECRETS_MANAGER"}]"#,
    ] {
        let bench = with(wrong);
        let error = bench.latest("fraud-train", 1)["errorDetails"].clone();
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .starts_with("Error calling startBuild"),
            "{error}"
        );
    }
}
