//! Executions, driven as the front end does.

use std::io::Read;

use flate2::read::GzDecoder;

use super::super::testing::{BUCKET, TOKEN, call, cloud, get, jobs, ok, put, refused, told, wait};
use super::*;
use crate::cloud::effect::Job;
use crate::cloud::iam::refusals;
use crate::cloud::testing::{deploy_strictly, deploy_without};

const EXECUTION_EVENT: &str = "SageMaker Model Building Pipeline Execution Status Change";
const STEP_EVENT: &str = "SageMaker Model Building Pipeline Execution Step Status Change";

/// Preprocess → train → evaluate → good enough? → register, or fail.
fn definition() -> Value {
    let processing = |script: &str, inputs: Value, outputs: Value| {
        json!({
            "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}},
            "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["python3", script],
                "ContainerArguments": ["--mode", {"Get": "Parameters.Mode"}]},
            "RoleArn": "arn:aws:iam::123456789012:role/train",
            "Environment": {"EXECUTION": {"Get": "Execution.PipelineExecutionId"}},
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {"Outputs": outputs},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        })
    };
    let input = |name: &str, uri: Value| json!({"InputName": name, "S3Input": {"S3Uri": uri, "S3DataType": "S3Prefix", "LocalPath": format!("/opt/ml/processing/{name}")}});
    let output = |name: &str| {
        let uri = json!({"Std:Join": {"On": "/", "Values": ["s3:/", BUCKET, {"Get": "Execution.PipelineExecutionId"}, name]}});
        json!({"OutputName": name, "S3Output": {"S3Uri": uri, "S3UploadMode": "EndOfJob", "LocalPath": format!("/opt/ml/processing/{name}")}})
    };
    json!({
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [
            {"Name": "Mode", "Type": "String", "DefaultValue": "full"},
            {"Name": "Epochs", "Type": "Integer", "DefaultValue": 5},
        ],
        "Steps": [
            {"Name": "Preprocess", "Type": "Processing", "Arguments": processing("/opt/ml/processing/code/preprocess.py",
                json!([input("raw", json!(format!("s3://{BUCKET}/raw"))), input("code", json!(format!("s3://{BUCKET}/code/preprocess.py")))]),
                json!([output("train")]))},
            {"Name": "Train", "Type": "Training", "Arguments": {
                "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
                "OutputDataConfig": {"S3OutputPath": format!("s3://{BUCKET}/models/")},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
                "RoleArn": "arn:aws:iam::123456789012:role/train",
                "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix",
                    "S3Uri": {"Get": "Steps.Preprocess.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri"}}}}],
                "HyperParameters": {"sagemaker_program": "\"train.py\"",
                    "sagemaker_submit_directory": format!("\"s3://{BUCKET}/code/sourcedir.tar.gz\""),
                    "epochs": {"Get": "Parameters.Epochs"}, "shuffle": "true", "learning-rate": "0.1"},
            }},
            {"Name": "Evaluate", "Type": "Processing",
                "Arguments": processing("/opt/ml/processing/code/evaluate.py",
                    json!([input("model", json!({"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}))]), json!([output("report")])),
                "PropertyFiles": [{"PropertyFileName": "Report", "OutputName": "report", "FilePath": "evaluation.json"}]},
            {"Name": "Check", "Type": "Condition", "Arguments": {
                "Conditions": [{"Type": "GreaterThan", "RightValue": 0.85,
                    "LeftValue": {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}, "Path": "metrics.accuracy"}}}],
                "IfSteps": [{"Name": "Register", "Type": "RegisterModel", "Arguments": {
                    "ModelPackageGroupName": "churn",
                    "ModelApprovalStatus": "PendingManualApproval",
                    "CustomerMetadataProperties": {"epochs": {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Epochs"}]}}},
                    "InferenceSpecification": {"Containers": [{"Image": "image",
                        "ModelDataUrl": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}}]},
                }}],
                "ElseSteps": [{"Name": "TooLow", "Type": "Fail", "Arguments": {"ErrorMessage":
                    {"Std:Join": {"On": " ", "Values": ["too low in", {"Get": "Execution.PipelineName"}]}}}}],
            }},
        ],
    })
}

fn create(cloud: &mut Cloud, definition: &Value) {
    put(cloud, "raw/a.csv", b"1,2\n");
    put(cloud, "raw/deep/b.csv", b"3,4\n");
    put(cloud, "code/preprocess.py", b"print()");
    put(cloud, "code/sourcedir.tar.gz", b"archive");
    let input = json!({"PipelineName": "churn-train", "ClientRequestToken": TOKEN, "RoleArn": "arn:aws:iam::123456789012:role/train",
        "PipelineDefinition": definition.to_string()});
    ok(cloud, "CreatePipeline", &input);
}

fn start(cloud: &mut Cloud, extra: &Value) -> String {
    let mut input = json!({"PipelineName": "churn-train", "ClientRequestToken": TOKEN});
    for (member, value) in extra.as_object().unwrap() {
        input[member] = value.clone();
    }
    let arn = text(&ok(cloud, "StartPipelineExecution", &input), "PipelineExecutionArn").to_owned();
    wait(cloud, 1);
    arn
}

/// The only job that waits, which must be of the step.
fn job(cloud: &mut Cloud, step: &str) -> Job {
    let mut jobs = jobs(cloud);
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let job = jobs.pop().unwrap();
    assert!(job.name.contains(&format!("-{step}-")), "{}", job.name);
    job
}

fn done(output: &str, path: &str, content: &[u8]) -> JobOutcome {
    let files = vec![(path.to_owned(), Bytes::copy_from_slice(content))];
    JobOutcome::Succeeded(BTreeMap::from([(output.to_owned(), files)]))
}

fn failed(reason: &str) -> JobOutcome {
    JobOutcome::Failed {
        reason: reason.to_owned(),
    }
}

/// Name, status, reason of the steps that were started, in that order.
fn steps(cloud: &mut Cloud, arn: &str) -> Vec<(String, String, String)> {
    let input = json!({"PipelineExecutionArn": arn, "SortOrder": "Ascending", "MaxResults": 100});
    let answer = ok(cloud, "ListPipelineExecutionSteps", &input);
    let of = |step: &Value, member: &str| text(step, member).to_owned();
    let steps = list_of(&answer, "PipelineExecutionSteps");
    steps
        .map(|step| (of(step, "StepName"), of(step, "StepStatus"), of(step, "FailureReason")))
        .collect()
}

fn execution(cloud: &mut Cloud, arn: &str) -> Value {
    ok(
        cloud,
        "DescribePipelineExecution",
        &json!({"PipelineExecutionArn": arn}),
    )
}

/// Runs the jobs up to the evaluation, which reports so.
fn run_to_evaluation(cloud: &mut Cloud, report: &[u8]) {
    let preprocess = job(cloud, "Preprocess");
    cloud.finish_job(preprocess.id, done("train", "train.csv", b"1"));
    let train = job(cloud, "Train");
    cloud.finish_job(train.id, done("model", "model.json", b"{}"));
    let evaluate = job(cloud, "Evaluate");
    cloud.finish_job(evaluate.id, done("report", "evaluation.json", report));
}

#[test]
fn a_good_model_is_registered() {
    let mut cloud = cloud();
    create(&mut cloud, &definition());
    let arn = start(
        &mut cloud,
        &json!({"PipelineExecutionDescription": "why", "PipelineExecutionDisplayName": "run-1",
        "PipelineParameters": [{"Name": "Epochs", "Value": "7"}]}),
    );
    let id = arn.rsplit('/').next().unwrap().to_owned();

    let preprocess = job(&mut cloud, "Preprocess");
    assert_eq!(
        preprocess.command,
        ["python3", "/opt/ml/processing/code/preprocess.py", "--mode", "full"]
    );
    assert_eq!(preprocess.environment["EXECUTION"], id);
    assert_eq!(preprocess.timeout_seconds, 600);
    let places: Vec<&str> = preprocess.inputs.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(
        places,
        [
            "/opt/ml/processing/raw/a.csv",
            "/opt/ml/processing/raw/deep/b.csv",
            "/opt/ml/processing/code/preprocess.py"
        ]
    );
    assert_eq!(
        preprocess.outputs,
        [("train".to_owned(), "/opt/ml/processing/train".to_owned())]
    );
    let described = ok(
        &mut cloud,
        "DescribeProcessingJob",
        &json!({"ProcessingJobName": preprocess.name}),
    );
    assert_eq!(described["ProcessingJobStatus"], "InProgress");
    cloud.finish_job(preprocess.id, done("train", "train.csv", b"1,2"));
    assert_eq!(get(&cloud, &format!("{id}/train/train.csv")).unwrap(), "1,2");

    let train = job(&mut cloud, "Train");
    assert_eq!(
        train.command,
        [
            "python3",
            "/opt/ml/code/train.py",
            "--epochs",
            "7",
            "--learning-rate",
            "0.1",
            "--shuffle",
            "True"
        ]
    );
    assert_eq!(train.source_archive.as_deref(), Some(&b"archive"[..]));
    assert_eq!(
        train.inputs[0],
        ("/opt/ml/input/data/train/train.csv".to_owned(), Bytes::from("1,2"))
    );
    for (variable, expected) in [
        ("SM_CHANNEL_TRAIN", "/opt/ml/input/data/train"),
        ("SM_CHANNELS", r#"["train"]"#),
        ("SM_MODEL_DIR", "/opt/ml/model"),
        ("SM_HPS", r#"{"epochs":7,"learning-rate":0.1,"shuffle":true}"#),
        ("SM_HP_LEARNING_RATE", "0.1"),
        ("SM_NUM_GPUS", "0"),
        ("SM_MODULE_NAME", "train"),
    ] {
        assert_eq!(train.environment[variable], expected, "{variable}");
    }
    cloud.finish_job(train.id, done("model", "model.json", b"{}"));
    let archive = get(&cloud, &format!("models/{}/output/model.tar.gz", train.name)).unwrap();
    let mut archive = tar::Archive::new(GzDecoder::new(&archive[..]));
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(entry.path().unwrap().to_str(), Some("model.json"));
    assert_eq!(entry.header().mtime().unwrap(), 0);
    let mut content = String::new();
    entry.read_to_string(&mut content).unwrap();
    assert_eq!(content, "{}");

    let evaluate = job(&mut cloud, "Evaluate");
    assert_eq!(evaluate.inputs[0].0, "/opt/ml/processing/model/model.tar.gz");
    cloud.finish_job(
        evaluate.id,
        done("report", "evaluation.json", br#"{"metrics": {"accuracy": 0.9}}"#),
    );

    let statuses = ["Preprocess", "Train", "Evaluate", "Check", "Register"]
        .map(|name| (name.to_owned(), "Succeeded".to_owned(), String::new()));
    assert_eq!(steps(&mut cloud, &arn), statuses);
    let described = execution(&mut cloud, &arn);
    assert_eq!(described["PipelineExecutionStatus"], "Succeeded");
    assert_eq!(described["PipelineVersionId"], 1);
    let package = ok(
        &mut cloud,
        "DescribeModelPackage",
        &json!({"ModelPackageName": "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/1"}),
    );
    assert_eq!(package["MetadataProperties"]["GeneratedBy"], arn);
    assert_eq!(package["CustomerMetadataProperties"]["epochs"], "7");
    assert_eq!(
        package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"],
        format!("s3://{BUCKET}/models/{}/output/model.tar.gz", train.name)
    );
    let listed = ok(
        &mut cloud,
        "ListPipelineExecutionSteps",
        &json!({"PipelineExecutionArn": arn}),
    );
    assert_eq!(
        listed["PipelineExecutionSteps"][0]["Metadata"]["RegisterModel"]["Arn"],
        package["ModelPackageArn"]
    );
    assert_eq!(
        listed["PipelineExecutionSteps"][1]["Metadata"]["Condition"]["Outcome"],
        "True"
    );
    let parameters = ok(
        &mut cloud,
        "ListPipelineParametersForExecution",
        &json!({"PipelineExecutionArn": arn}),
    );
    assert_eq!(
        parameters["PipelineParameters"],
        json!([{"Name": "Epochs", "Value": "7"}, {"Name": "Mode", "Value": "full"}])
    );
}

#[test]
fn events_have_their_documented_shape() {
    let mut cloud = cloud();
    create(&mut cloud, &definition());
    let arn = start(&mut cloud, &json!({"PipelineExecutionDescription": "why"}));
    let pipeline = "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn-train";
    let begun = told(&mut cloud, EXECUTION_EVENT);
    assert_eq!(
        begun,
        [
            json!({"pipelineArn": pipeline, "pipelineExecutionArn": arn, "pipelineExecutionDescription": "why",
        "currentPipelineExecutionStatus": "Executing", "executionStartTime": "2026-11-02T08:00:00Z"})
        ]
    );
    let preprocess = job(&mut cloud, "Preprocess");
    wait(&mut cloud, 60);
    cloud.finish_job(preprocess.id, failed("AlgorithmError: , exit code: 1"));
    let steps = told(&mut cloud, STEP_EVENT);
    assert_eq!(
        steps.last(),
        Some(
            &json!({"pipelineArn": pipeline, "pipelineExecutionArn": arn, "stepName": "Preprocess",
        "stepType": "Processing", "previousStepStatus": "Executing", "currentStepStatus": "Failed",
        "failureReason": "AlgorithmError: , exit code: 1", "stepStartTime": "2026-11-02T08:00:01Z", "stepEndTime": "2026-11-02T08:01:01Z",
        "metadata": {"processingJob": {"arn":
            format!("arn:aws:sagemaker:eu-west-1:123456789012:processing-job/{}", preprocess.name.to_lowercase())}}})
        )
    );
}

#[test]
fn an_execution_fails_with_the_step_that_failed() {
    let low = br#"{"metrics": {"accuracy": 0.5}}"#;
    for (report, step, reason) in [
        (&low[..], "TooLow", "too low in churn-train"),
        (b"{}", "Check", "has nothing at `metrics.accuracy`"),
        (b"no json", "Check", "is not JSON"),
    ] {
        let mut cloud = cloud();
        create(&mut cloud, &definition());
        let arn = start(&mut cloud, &json!({}));
        run_to_evaluation(&mut cloud, report);
        let (name, status, found) = steps(&mut cloud, &arn).pop().unwrap();
        assert_eq!((name.as_str(), status.as_str()), (step, "Failed"));
        assert!(found.contains(reason), "{found:?} does not say {reason:?}");
        let described = execution(&mut cloud, &arn);
        assert_eq!(described["PipelineExecutionStatus"], "Failed");
        assert_eq!(
            described["FailureReason"],
            "Step failure: One or multiple steps failed."
        );
        let packages = ok(
            &mut cloud,
            "ListModelPackages",
            &json!({"ModelPackageGroupName": "churn"}),
        );
        assert_eq!(packages["ModelPackageSummaryList"], json!([]));
    }
}

#[test]
fn what_is_missing_in_s3_fails_the_step() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str, &str); 4] = [
        (
            |definition| {
                definition["Steps"][0]["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"] =
                    json!("s3://train-data/nowhere")
            },
            "Preprocess",
            "No S3 objects found under S3 URL \"s3://train-data/nowhere\"",
        ),
        (
            |definition| {
                definition["Steps"][1]["Arguments"]["HyperParameters"]["sagemaker_submit_directory"] =
                    json!("s3://train-data/nowhere")
            },
            "Train",
            "(404) when calling the HeadObject operation: Not Found (s3://train-data/nowhere)",
        ),
        (
            |definition| definition["Steps"][1]["Arguments"]["HyperParameters"] = json!({}),
            "Train",
            "sagemaker_program",
        ),
        (
            |definition| {
                definition["Steps"][1]["Arguments"]["InputDataConfig"][0]["DataSource"] = json!({"S3DataSource":
            {"S3Uri": {"Get": "Steps.Preprocess.Nothing"}}})
            },
            "Train",
            "`Steps.Preprocess.Nothing` has no value",
        ),
    ];
    for (change, step, reason) in changes {
        let mut cloud = cloud();
        let mut definition = definition();
        change(&mut definition);
        create(&mut cloud, &definition);
        let arn = start(&mut cloud, &json!({}));
        for job in jobs(&mut cloud) {
            cloud.finish_job(job.id, done("train", "train.csv", b"1"));
        }
        let (name, status, found) = steps(&mut cloud, &arn).pop().unwrap();
        assert_eq!((name.as_str(), status.as_str()), (step, "Failed"), "{found}");
        assert!(found.contains(reason), "{found:?} does not say {reason:?}");
        assert_eq!(execution(&mut cloud, &arn)["PipelineExecutionStatus"], "Failed");
    }
}

/// `One` and `Two` are independent, `Three` needs both, `Four` only `One`.
fn parallel() -> Value {
    let step = |name: &str, needs: Value| {
        json!({"Name": name, "Type": "Processing", "DependsOn": needs, "Arguments": {
            "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}},
            "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["true"]}}})
    };
    json!({"Version": "2020-12-01", "Steps": [step("Three", json!(["One", "Two"])), step("One", json!([])), step("Two", json!([])),
        step("Four", json!(["One"]))]})
}

fn nothing() -> JobOutcome {
    JobOutcome::Succeeded(BTreeMap::new())
}

fn names(jobs: &[Job]) -> Vec<String> {
    jobs.iter()
        .map(|job| job.name.split('-').nth(2).unwrap().to_owned())
        .collect()
}

#[test]
fn steps_run_side_by_side_as_far_as_they_may() {
    let mut cloud = cloud();
    create(&mut cloud, &parallel());
    let arn = start(&mut cloud, &json!({}));
    let first = jobs(&mut cloud);
    assert_eq!(names(&first), ["One", "Two"]);
    cloud.finish_job(first[0].id, nothing());
    let second = jobs(&mut cloud);
    assert_eq!(names(&second), ["Four"]);
    // Reported again, and never heard of.
    cloud.finish_job(first[0].id, failed("late"));
    cloud.finish_job(9999, failed("unknown"));
    assert_eq!(jobs(&mut cloud).len(), 0);
    cloud.finish_job(first[1].id, nothing());
    let third = jobs(&mut cloud);
    assert_eq!(names(&third), ["Three"]);
    assert_eq!(execution(&mut cloud, &arn)["PipelineExecutionStatus"], "Executing");
    cloud.finish_job(third[0].id, nothing());
    cloud.finish_job(second[0].id, nothing());
    assert_eq!(execution(&mut cloud, &arn)["PipelineExecutionStatus"], "Succeeded");

    let input = json!({"ClientRequestToken": format!("{TOKEN}2"), "ParallelismConfiguration": {"MaxParallelExecutionSteps": 1}});
    start(&mut cloud, &input);
    assert_eq!(names(&jobs(&mut cloud)), ["One"]);
}

#[test]
fn a_failed_step_lets_the_others_end_but_none_begin() {
    let mut cloud = cloud();
    create(&mut cloud, &parallel());
    let arn = start(&mut cloud, &json!({}));
    let first = jobs(&mut cloud);
    cloud.finish_job(first[1].id, failed("AlgorithmError: , exit code: 2"));
    assert_eq!(execution(&mut cloud, &arn)["PipelineExecutionStatus"], "Executing");
    cloud.finish_job(first[0].id, nothing());
    assert_eq!(jobs(&mut cloud).len(), 0);
    assert_eq!(execution(&mut cloud, &arn)["PipelineExecutionStatus"], "Failed");
    let described = ok(
        &mut cloud,
        "DescribeProcessingJob",
        &json!({"ProcessingJobName": first[1].name}),
    );
    assert_eq!(described["ProcessingJobStatus"], "Failed");
    assert_eq!(described["FailureReason"], "AlgorithmError: , exit code: 2");
}

#[test]
fn an_execution_is_stopped() {
    let mut cloud = cloud();
    create(&mut cloud, &parallel());
    let arn = start(&mut cloud, &json!({}));
    let running = jobs(&mut cloud);
    let input = json!({"PipelineExecutionArn": arn, "ClientRequestToken": TOKEN});
    ok(&mut cloud, "StopPipelineExecution", &input);
    assert_eq!(execution(&mut cloud, &arn)["PipelineExecutionStatus"], "Stopping");
    // Too late: the step is stopping already.
    cloud.finish_job(running[0].id, nothing());
    wait(&mut cloud, 5);
    cloud.finish_job(running[1].id, nothing());
    assert_eq!(execution(&mut cloud, &arn)["PipelineExecutionStatus"], "Stopped");
    assert_eq!(jobs(&mut cloud).len(), 0);
    assert!(steps(&mut cloud, &arn).iter().all(|(_, status, _)| status == "Stopped"));
    let statuses: Vec<String> = told(&mut cloud, EXECUTION_EVENT)
        .iter()
        .map(|detail| text(detail, "currentPipelineExecutionStatus").to_owned())
        .collect();
    assert_eq!(statuses, ["Executing", "Stopping", "Stopped"]);
    let refusal = refused(&mut cloud, "StopPipelineExecution", &input);
    assert!(refusal.contains("is Stopped"), "{refusal}");
}

#[test]
fn starting_is_idempotent_and_pins_a_version() {
    let mut cloud = cloud();
    create(&mut cloud, &parallel());
    let updated = ok(
        &mut cloud,
        "UpdatePipeline",
        &json!({"PipelineName": "churn-train", "PipelineDefinition": definition().to_string()}),
    );
    assert_eq!(updated["PipelineVersionId"], 2);
    let first = start(&mut cloud, &json!({"PipelineVersionId": 1}));
    assert_eq!(start(&mut cloud, &json!({})), first);
    assert_eq!(execution(&mut cloud, &first)["PipelineVersionId"], 1);
    let described = ok(
        &mut cloud,
        "DescribePipelineDefinitionForExecution",
        &json!({"PipelineExecutionArn": first}),
    );
    assert_eq!(described["PipelineDefinition"], parallel().to_string());
    let second = start(&mut cloud, &json!({"ClientRequestToken": format!("{TOKEN}2")}));
    assert_ne!(second, first);
    assert_eq!(execution(&mut cloud, &second)["PipelineVersionId"], 2);
    let answer = ok(
        &mut cloud,
        "ListPipelineExecutions",
        &json!({"PipelineName": "churn-train", "MaxResults": 1}),
    );
    assert_eq!(answer["PipelineExecutionSummaries"][0]["PipelineExecutionArn"], second);
    let next = json!({"PipelineName": "churn-train", "NextToken": answer["NextToken"]});
    let answer = ok(&mut cloud, "ListPipelineExecutions", &next);
    assert_eq!(answer["PipelineExecutionSummaries"][0]["PipelineExecutionArn"], first);
    assert_eq!(answer.get("NextToken"), None);
    let versions = ok(
        &mut cloud,
        "ListPipelineVersions",
        &json!({"PipelineName": "churn-train"}),
    );
    assert_eq!(
        versions["PipelineVersionSummaries"][0]["LastExecutionPipelineExecutionArn"],
        second
    );
}

#[test]
fn parameters_are_those_of_the_version_that_is_asked_for() {
    let mut cloud = cloud();
    let mut declares = parallel();
    create(&mut cloud, &declares);
    declares["Parameters"] = json!([{"Name": "DataFrom", "Type": "String", "DefaultValue": ""}]);
    let update = json!({"PipelineName": "churn-train", "PipelineDefinition": declares.to_string()});
    assert_eq!(ok(&mut cloud, "UpdatePipeline", &update)["PipelineVersionId"], 2);
    let input = |digit: u8, version: Option<u8>| {
        let mut input = json!({"PipelineName": "churn-train", "ClientRequestToken": format!("{TOKEN}{digit}"),
            "PipelineParameters": [{"Name": "DataFrom", "Value": "2026-03-02T09:00:00Z"}]});
        if let Some(version) = version {
            input["PipelineVersionId"] = version.into();
        }
        input
    };
    let found = refused(&mut cloud, "StartPipelineExecution", &input(1, Some(1)));
    assert!(found.contains("no parameter `DataFrom`"), "{found}");
    for version in [Some(2), None] {
        let arn = ok(&mut cloud, "StartPipelineExecution", &input(2, version))["PipelineExecutionArn"].clone();
        let shown = ok(
            &mut cloud,
            "ListPipelineParametersForExecution",
            &json!({"PipelineExecutionArn": arn}),
        );
        let expected = json!([{"Name": "DataFrom", "Value": "2026-03-02T09:00:00Z"}]);
        assert_eq!(shown["PipelineParameters"], expected);
    }
    // A refusal uses no token up, and starts nothing.
    let error = call(&mut cloud, "StartPipelineExecution", &input(3, Some(9))).unwrap_err();
    assert_eq!(error.code, "ResourceNotFound");
    let listed = |cloud: &mut Cloud| {
        let answer = ok(cloud, "ListPipelineExecutions", &json!({"PipelineName": "churn-train"}));
        answer["PipelineExecutionSummaries"].as_array().unwrap().len()
    };
    assert_eq!(listed(&mut cloud), 1);
    ok(&mut cloud, "StartPipelineExecution", &input(1, Some(2)));
    assert_eq!(listed(&mut cloud), 2);
}

#[test]
fn a_repeated_token_answers_with_the_first_execution_whatever_else_is_asked() {
    let mut cloud = cloud();
    create(&mut cloud, &definition());
    let first = start(&mut cloud, &json!({"PipelineExecutionDescription": "first"}));
    for extra in [
        json!({"PipelineExecutionDescription": "second"}),
        json!({"PipelineParameters": [{"Name": "Colour", "Value": "red"}]}),
        json!({"PipelineVersionId": 9}),
    ] {
        assert_eq!(start(&mut cloud, &extra), first, "{extra}");
    }
    assert_eq!(execution(&mut cloud, &first)["PipelineExecutionDescription"], "first");
}

#[test]
fn executions_are_listed_a_hundred_at_a_time() {
    let mut cloud = cloud();
    create(&mut cloud, &parallel());
    let started: Vec<String> = (0..230)
        .map(|number| {
            start(
                &mut cloud,
                &json!({"ClientRequestToken": format!("{TOKEN}{number:03}")}),
            )
        })
        .collect();
    let mut input =
        json!({"PipelineName": "churn-train", "MaxResults": 100, "SortBy": "CreationTime", "SortOrder": "Descending"});
    let mut listed = Vec::new();
    for expected in [100, 100, 30] {
        let answer = ok(&mut cloud, "ListPipelineExecutions", &input);
        let page: Vec<String> = list_of(&answer, "PipelineExecutionSummaries")
            .map(|summary| text(summary, "PipelineExecutionArn").to_owned())
            .collect();
        assert_eq!(
            (page.len(), answer.get("NextToken").is_some()),
            (expected, expected == 100)
        );
        listed.extend(page);
        input["NextToken"] = answer["NextToken"].clone();
    }
    listed.reverse();
    assert_eq!(listed, started);
    input["NextToken"] = Value::Null;
    input["MaxResults"] = 101.into();
    assert!(call(&mut cloud, "ListPipelineExecutions", &input).is_err());
}

#[test]
fn wrong_input_is_refused() {
    let mut cloud = cloud();
    create(&mut cloud, &definition());
    let mut tuning = definition();
    tuning["Steps"][0]["Type"] = json!("Tuning");
    let name = "churn-train";
    let role = "arn:aws:iam::123456789012:role/churn-train";
    let other = "fedcba9876543210fedcba9876543210";
    for (operation, input, expected) in [
        (
            "CreatePipeline",
            json!({"PipelineName": name, "ClientRequestToken": other, "RoleArn": role, "PipelineDefinition": "{}"}),
            "Pipeline names must be unique",
        ),
        (
            "CreatePipeline",
            json!({"PipelineName": "new", "ClientRequestToken": other, "RoleArn": role}),
            "must be specified",
        ),
        (
            "UpdatePipeline",
            json!({"PipelineName": name, "PipelineDefinition": tuning.to_string()}),
            "the type `Tuning`",
        ),
        (
            "UpdatePipeline",
            json!({"PipelineName": name, "PipelineDefinitionS3Location": {"Bucket": BUCKET, "ObjectKey": "nowhere"}}),
            "s3://train-data/nowhere",
        ),
        (
            "StartPipelineExecution",
            json!({"PipelineName": name, "ClientRequestToken": other, "PipelineParameters":
            [{"Name": "Colour", "Value": "red"}]}),
            "no parameter `Colour`",
        ),
        (
            "StartPipelineExecution",
            json!({"PipelineName": name, "ClientRequestToken": other, "PipelineParameters":
            [{"Name": "Epochs", "Value": "many"}]}),
            "not a value for parameter `Epochs`",
        ),
        (
            "StartPipelineExecution",
            json!({"PipelineName": name, "ClientRequestToken": other, "PipelineParameters":
            [{"Name": "Epochs", "Value": "1"}, {"Name": "Epochs", "Value": "2"}]}),
            "passed twice",
        ),
        (
            "StartPipelineExecution",
            json!({"PipelineName": name, "ClientRequestToken": other, "RoleArn": role}),
            "RoleArn can't be specified",
        ),
    ] {
        let found = refused(&mut cloud, operation, &input);
        assert!(found.contains(expected), "{found:?} does not say {expected:?}");
    }
    for (operation, input) in [
        ("DescribePipeline", json!({"PipelineName": "none"})),
        (
            "DescribePipeline",
            json!({"PipelineName": name, "PipelineVersionId": 9}),
        ),
        (
            "StartPipelineExecution",
            json!({"PipelineName": "none", "ClientRequestToken": TOKEN}),
        ),
        (
            "DescribePipelineExecution",
            json!({"PipelineExecutionArn": "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/none/execution/abcdefghijkl"}),
        ),
    ] {
        assert_eq!(
            call(&mut cloud, operation, &input).unwrap_err().code,
            "ResourceNotFound",
            "{operation}"
        );
    }
    put(&mut cloud, "definition.json", parallel().to_string().as_bytes());
    let place = json!({"PipelineName": name, "PipelineDefinitionS3Location": {"Bucket": BUCKET, "ObjectKey": "definition.json"}});
    assert_eq!(ok(&mut cloud, "UpdatePipeline", &place)["PipelineVersionId"], 2);
}

#[test]
fn pipelines_executions_and_jobs_are_described() {
    let mut cloud = cloud();
    create(&mut cloud, &definition());
    let arn = start(&mut cloud, &json!({}));
    let renamed = json!({"PipelineExecutionArn": arn, "PipelineExecutionDisplayName": "renamed"});
    ok(&mut cloud, "UpdatePipelineExecution", &renamed);
    assert_eq!(execution(&mut cloud, &arn)["PipelineExecutionDisplayName"], "renamed");
    let pipeline = ok(&mut cloud, "DescribePipeline", &json!({"PipelineName": "churn-train"}));
    assert_eq!(pipeline["PipelineDefinition"], definition().to_string());
    assert_eq!(pipeline["LastRunTime"], pipeline["CreationTime"]);
    let same = ok(
        &mut cloud,
        "DescribePipeline",
        &json!({"PipelineName": pipeline["PipelineArn"]}),
    );
    assert_eq!(same, pipeline);
    for (prefix, expected) in [("churn", 1), ("other", 0)] {
        let listed = ok(&mut cloud, "ListPipelines", &json!({"PipelineNamePrefix": prefix}));
        assert_eq!(
            listed["PipelineSummaries"].as_array().unwrap().len(),
            expected,
            "{prefix}"
        );
    }
    let preprocess = job(&mut cloud, "Preprocess");
    cloud.finish_job(preprocess.id, done("train", "train.csv", b"1"));
    let train = job(&mut cloud, "Train");
    wait(&mut cloud, 30);
    cloud.finish_job(train.id, nothing());
    let described = ok(
        &mut cloud,
        "DescribeTrainingJob",
        &json!({"TrainingJobName": train.name}),
    );
    assert_eq!(described["TrainingJobStatus"], "Completed");
    let seconds = described["TrainingEndTime"].as_f64().unwrap() - described["TrainingStartTime"].as_f64().unwrap();
    assert!((seconds - 30.0).abs() < 0.001, "{seconds}");
    refused(&mut cloud, "DescribeTrainingJob", &json!({"TrainingJobName": "none"}));
}

/// The stack of a role that trains, and what a pipeline needs of it.
const STRICT: &str = r#"
Resources:
  Group: {Type: AWS::SageMaker::ModelPackageGroup, Properties: {ModelPackageGroupName: churn}}
  Bucket: {Type: AWS::S3::Bucket, Properties: {BucketName: train-data}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: train
      AssumeRolePolicyDocument: {Statement: {Effect: Allow, Principal: {Service: sagemaker.amazonaws.com}, Action: sts:AssumeRole}}
      Policies:
        - PolicyName: train
          PolicyDocument:
            Statement:
              - {Effect: Allow, Resource: "arn:aws:sagemaker:*:*:processing-job/pipelines-*",
                 Action: [sagemaker:CreateProcessingJob, sagemaker:DescribeProcessingJob]}
              - {Effect: Allow, Resource: "arn:aws:sagemaker:*:*:training-job/pipelines-*",
                 Action: [sagemaker:CreateTrainingJob, sagemaker:DescribeTrainingJob]}
              - {Effect: Allow, Resource: "arn:aws:sagemaker:*:*:*-job/pipelines-*", Action: sagemaker:AddTags}
              - {Effect: Allow, Resource: "arn:aws:sagemaker:*:*:model-package-group/churn", Action: sagemaker:CreateModelPackage}
              - {Effect: Allow, Resource: "arn:aws:sagemaker:*:*:model-package/churn/*",
                 Action: [sagemaker:CreateModelPackage, sagemaker:DescribeModelPackage]}
              - {Effect: Allow, Resource: "arn:aws:iam::123456789012:role/train",
                 Action: iam:PassRole, Condition: {StringEquals: {"iam:PassedToService": sagemaker.amazonaws.com}}}
              - {Effect: Allow, Resource: !GetAtt Bucket.Arn, Action: s3:ListBucket}
              - {Effect: Allow, Resource: !Sub "${Bucket.Arn}/*", Action: [s3:GetObject, s3:PutObject]}
              - {Effect: Allow, Resource: "*", Action: ecr:GetAuthorizationToken}
              - {Effect: Allow, Resource: "arn:aws:ecr:eu-west-1:1:repository/own/image",
                 Action: [ecr:BatchCheckLayerAvailability, ecr:BatchGetImage, ecr:GetDownloadUrlForLayer]}
              - {Effect: Allow, Resource: "arn:aws:logs:*:*:log-group:/aws/sagemaker/*",
                 Action: [logs:CreateLogGroup, logs:CreateLogStream, logs:PutLogEvents]}
              - {Effect: Allow, Resource: "*",
                 Action: cloudwatch:PutMetricData, Condition: {StringLike: {"cloudwatch:namespace": "/aws/sagemaker/*"}}}
"#;

/// Runs a whole pipeline: how its execution ends, and the first reason of a step that failed.
fn run(mut cloud: Cloud) -> (String, String, Cloud) {
    let text_of_definition = definition().to_string();
    let image = text_of_definition.replace("\"image\"", "\"1.dkr.ecr.eu-west-1.amazonaws.com/own/image:2\"");
    create(&mut cloud, &serde_json::from_str(&image).unwrap());
    let arn = start(&mut cloud, &json!({}));
    for (output, path, content) in [
        ("train", "train.csv", &b"1"[..]),
        ("model", "model.json", b"{}"),
        ("report", "evaluation.json", br#"{"metrics": {"accuracy": 0.9}}"#),
    ] {
        for job in jobs(&mut cloud) {
            cloud.finish_job(job.id, done(output, path, content));
        }
    }
    let described = execution(&mut cloud, &arn);
    let reasons = steps(&mut cloud, &arn).into_iter().map(|(_, _, reason)| reason);
    let reason = reasons
        .into_iter()
        .find(|reason| !reason.is_empty())
        .unwrap_or_default();
    (text(&described, "PipelineExecutionStatus").to_owned(), reason, cloud)
}

#[test]
fn a_pipeline_needs_every_grant_of_its_role_and_its_jobs_role() {
    let (status, reason, whole) = run(deploy_strictly(STRICT).unwrap());
    assert_eq!((status.as_str(), reason.as_str()), ("Succeeded", ""));
    assert_eq!(refusals(&whole), [""; 0]);
    let mut lines = Vec::new();
    for grant in whole.grants() {
        let id = grant.id.to_string();
        assert!(grant.needed, "{id}");
        let (status, reason, cloud) = run(deploy_without(STRICT, &id));
        assert_eq!(cloud.denials()[0].action, grant.id.action, "{id}");
        // What a job can't log or measure, it can do all the same.
        let goes_on = grant.id.action.starts_with("logs:") || grant.id.action.starts_with("cloudwatch:");
        assert_eq!(status, if goes_on { "Succeeded" } else { "Failed" }, "{id}");
        lines.push(format!("{id}\n    {reason}").trim_end().to_owned());
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn jobs_are_stopped_in_the_pipelines_role() {
    let mut cloud = deploy_strictly(STRICT).unwrap();
    create(&mut cloud, &serde_json::from_str(&definition().to_string()).unwrap());
    let arn = start(&mut cloud, &json!({}));
    let input = json!({"PipelineExecutionArn": arn, "ClientRequestToken": TOKEN});
    ok(&mut cloud, "StopPipelineExecution", &input);
    let [denial] = cloud.denials() else {
        panic!("{:?}", cloud.denials())
    };
    assert_eq!(denial.action, "sagemaker:StopProcessingJob");
    assert!(denial.resource.contains(":processing-job/pipelines-"), "{denial:?}");
    wait(&mut cloud, 5);
    assert_eq!(execution(&mut cloud, &arn)["PipelineExecutionStatus"], "Stopped");
}
