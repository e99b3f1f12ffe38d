//! The project's own template, whole: what AWS's services do for a train is refused nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::testing::call;
use super::*;
use crate::cloud::effect::{BuildOutcome, Effect, InvocationOutcome, Job, JobOutcome};
use crate::cloud::{Push, Service};
use crate::template::{Stack, Target};

const TEMPLATE: &str = include_str!("../../../../template.yaml");
const PARAMETERS: &str = include_str!("../../../../parameters/local.json");
const DEFINITION: &str = include_str!("../../../../model-repository/pipeline-definition.json");

/// The stack, whose functions only say yes.
struct Train {
    cloud: Cloud,
    commits: u32,
}

impl Train {
    fn new(others: &[(&str, &str)]) -> Self {
        let target = Target {
            account: "123456789012".into(),
            region: "eu-west-1".into(),
            stack_name: "signalbox".into(),
            base_url: "http://127.0.0.1:4566".into(),
        };
        let mut parameters = BTreeMap::new();
        for pair in serde_json::from_str::<Vec<BTreeMap<String, String>>>(PARAMETERS).unwrap() {
            parameters.insert(pair["ParameterKey"].clone(), pair["ParameterValue"].clone());
        }
        let others = others
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        parameters.extend(others);
        let mut stack = Stack::load(TEMPLATE, &parameters, &target).unwrap();
        for resource in &mut stack.resources {
            if resource.kind == "AWS::CodeCommit::Repository" {
                // The test pushes what it needs.
                resource.properties.as_object_mut().unwrap().remove("Code");
            }
        }
        let cloud = Cloud::deploy(stack, target, "2026-03-02T09:00:00Z".parse().unwrap(), 7).unwrap();
        Self { cloud, commits: 0 }
    }

    fn resource(&self, logical_id: &str) -> &Resource {
        let mut resources = self.cloud.stack().resources.iter();
        resources.find(|resource| resource.logical_id == logical_id).unwrap()
    }

    fn ok(&mut self, service: Service, operation: &str, input: &Value) -> Value {
        call(&mut self.cloud, service, operation, input).unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    fn push(&mut self, branch: &str) {
        self.commits += 1;
        let push = Push {
            repository: "tumour".into(),
            branch: branch.into(),
            commit: format!("{:040x}", self.commits),
            parent: None,
            author: "Ada <ada@example.com>".into(),
            message: "Try".into(),
            zip: Bytes::from_static(b"zip"),
        };
        self.cloud.push(push).unwrap();
        self.settle();
    }

    /// Goes on until nothing is to be done outside any more.
    fn settle(&mut self) {
        loop {
            let now = self.cloud.now() + SignedDuration::from_secs(5);
            self.cloud.advance(now);
            let effects = self.cloud.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.act(effect);
            }
        }
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Build(build) => {
                let built = BuildOutcome::Succeeded(Bytes::from_static(b"built"));
                self.cloud.finish_build(build.id, built);
            }
            Effect::Invoke(invoke) => {
                if let Some(id) = invoke.payload.pointer("/CodePipeline.job/id").cloned() {
                    self.ok(Service::CodePipeline, "PutJobSuccessResult", &json!({ "jobId": id }));
                }
                let answer = InvocationOutcome::Answer(Value::Null);
                self.cloud.finish_invocation(invoke.id, answer);
            }
            Effect::Job(job) => {
                let outcome = outputs_of(&job);
                self.cloud.finish_job(job.id, outcome);
            }
            Effect::StartInstance(instance) => self.cloud.finish_start(instance.id, Ok(())),
            Effect::StopInstance { .. } | Effect::MoveBranch { .. } | Effect::Mail(_) => {}
        }
    }

    /// Trains with the model repository's definition.
    fn train(&mut self) {
        let bucket = self.resource("Bucket").physical_id.clone();
        let role = self.resource("ModelRole").arn().to_owned();
        for key in [
            "data/a.csv",
            "code/1/preprocess.py",
            "code/1/evaluate.py",
            "code/1/sourcedir.tar.gz",
        ] {
            self.cloud.put_object(&bucket, key, Bytes::from_static(b"x")).unwrap();
        }
        let token = "0123456789abcdef0123456789abcdef";
        let input = json!({"PipelineName": "tumour", "ClientRequestToken": token, "RoleArn": role, "PipelineDefinition": DEFINITION});
        self.ok(Service::SageMaker, "CreatePipeline", &input);
        let image = self.cloud.stack().parameters["ImageUri"].clone();
        let parameters = [
            ("RoleArn", role.clone()),
            ("ImageUri", image),
            ("CodeUri", format!("s3://{bucket}/code/1")),
            ("DataUri", format!("s3://{bucket}/data/")),
            ("ArtifactUri", format!("s3://{bucket}/training")),
            ("ModelPackageGroupName", "tumour".to_owned()),
        ];
        let parameters = parameters.map(|(name, value)| json!({"Name": name, "Value": value}));
        let input = json!({"PipelineName": "tumour", "ClientRequestToken": token, "PipelineParameters": parameters});
        let started = self.ok(Service::SageMaker, "StartPipelineExecution", &input);
        self.settle();
        let input = json!({"PipelineExecutionArn": started["PipelineExecutionArn"]});
        let described = self.ok(Service::SageMaker, "DescribePipelineExecution", &input);
        assert_eq!(described["PipelineExecutionStatus"], "Succeeded", "{described}");
    }

    /// Serves what was registered.
    fn serve(&mut self) {
        let role = self.resource("ModelRole").arn().to_owned();
        let bucket = self.resource("Bucket").physical_id.clone();
        let input = json!({"ModelPackageGroupName": "tumour"});
        let packages = self.ok(Service::SageMaker, "ListModelPackages", &input);
        let package = packages["ModelPackageSummaryList"][0]["ModelPackageArn"].clone();
        let model = json!({"ModelName": "tumour-v1", "ExecutionRoleArn": role, "PrimaryContainer": {"ModelPackageName": package},
            "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}});
        self.ok(Service::SageMaker, "CreateModel", &model);
        let variant = json!({"VariantName": "AllTraffic", "ModelName": "tumour-v1", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"});
        let capture = json!({"EnableCapture": true, "InitialSamplingPercentage": 5, "DestinationS3Uri": format!("s3://{bucket}/captured"),
            "KmsKeyId": self.cloud.stack().parameters["DataKeyArn"], "CaptureOptions": [{"CaptureMode": "Input"}]});
        let config =
            json!({"EndpointConfigName": "tumour-v1", "ProductionVariants": [variant], "DataCaptureConfig": capture});
        self.ok(Service::SageMaker, "CreateEndpointConfig", &config);
        let input = json!({"EndpointName": "tumour", "EndpointConfigName": "tumour-v1"});
        self.ok(Service::SageMaker, "CreateEndpoint", &input);
        self.settle();
        let described = self.ok(
            Service::SageMaker,
            "DescribeEndpoint",
            &json!({"EndpointName": "tumour"}),
        );
        assert_eq!(described["EndpointStatus"], "InService", "{described}");
    }
}

/// Something for each of a job's outputs: a report, where it is the evaluation's.
fn outputs_of(job: &Job) -> JobOutcome {
    let file = |name: &str| {
        let content = if name == "evaluation" {
            ("evaluation.json", &br#"{"metrics": {"accuracy": 0.97}}"#[..])
        } else {
            ("a", &b"x"[..])
        };
        vec![(content.0.to_owned(), Bytes::from_static(content.1))]
    };
    let outputs = job.outputs.iter().map(|(name, _)| (name.clone(), file(name)));
    JobOutcome::Succeeded(outputs.collect())
}

#[test]
fn the_services_of_a_train_are_refused_nothing() {
    let mut train = Train::new(&[
        ("DataKeyArn", "arn:aws:kms:eu-west-1:123456789012:key/data"),
        ("SubnetIds", "subnet-1"),
        ("SecurityGroupIds", "sg-1"),
    ]);
    train.push("main");
    train.push("topic");
    train.train();
    train.serve();
    let check = json!({"projectName": "tumour-check", "sourceVersion": "topic"});
    train.ok(Service::CodeBuild, "StartBuild", &check);
    let release = json!({"name": "tumour-release", "variables": [{"name": "ModelPackageArn", "value": "p"}, {"name": "ModelVersion", "value": "1"}]});
    train.ok(Service::CodePipeline, "StartPipelineExecution", &release);
    train.settle();
    let state = train.ok(
        Service::CodePipeline,
        "GetPipelineState",
        &json!({"name": "tumour-release"}),
    );
    let token = &state["stageStates"][1]["actionStates"][0]["latestExecution"]["token"];
    let approval = json!({"pipelineName": "tumour-release", "stageName": "Approve", "actionName": "Approve", "token": token,
        "result": {"summary": "yes", "status": "Approved"}});
    train.ok(Service::CodePipeline, "PutApprovalResult", &approval);
    for alarm in ["tumour-5xx", "tumour-dead-letters"] {
        let input = json!({"AlarmName": alarm, "StateValue": "ALARM", "StateReason": "in order to see"});
        train.ok(Service::CloudWatch, "SetAlarmState", &input);
    }
    train.settle();
    // The sweeps.
    let later = train.cloud.now() + SignedDuration::from_mins(16);
    train.cloud.advance(later);
    train.settle();
    // The page is the function's, or its alias's.
    let target = train.resource("DecideApprovalUrl").properties["TargetFunctionArn"].clone();
    let page = target.as_str().unwrap().rsplit("function:").next().unwrap().to_owned();
    train.cloud.invoke_url(&page, json!({})).unwrap();
    assert_eq!(refusals(&train.cloud), [""; 0]);
    for pipeline in ["tumour-train", "tumour-release"] {
        let input = json!({ "pipelineName": pipeline });
        let listed = train.ok(Service::CodePipeline, "ListPipelineExecutions", &input);
        assert_eq!(
            listed["pipelineExecutionSummaries"][0]["status"], "Succeeded",
            "{pipeline}: {listed}"
        );
    }
    let told = train
        .cloud
        .inbox()
        .iter()
        .any(|mail| mail.subject.contains("tumour-dead-letters"));
    assert!(told, "an alarm tells people");
}
