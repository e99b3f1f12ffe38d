//! What the demo looks at: the cloud through its own APIs, as an administrator at the machine would.

use std::collections::BTreeMap;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::strategy::Strategy;
use super::timeline::Version;
use crate::cloud::effect::Mail;
use crate::cloud::{ApiError, Caller, Cloud, Service};

/// The keys of the metadata that the train writes on a version.
mod key {
    pub(super) const GATE: &str = "signalbox:gate";
    pub(super) const OUTCOME: &str = "signalbox:outcome";
    pub(super) const REASON: &str = "signalbox:reason";
}

/// The names in the deployed stack that the demo uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The model: repository, pipeline, package group and endpoint are called so.
    pub(crate) model: String,
    /// The branch whose pushes are released.
    pub(crate) branch: String,
    /// Who may approve.
    pub(crate) approvers: Vec<String>,
    /// The bucket that has the data.
    pub(crate) bucket: String,
    /// Where in the bucket.
    pub(crate) data_prefix: String,
    /// All of the stack's pipelines.
    pub(crate) pipelines: Vec<String>,
}

impl Names {
    /// Reads the names off the deployed stack.
    ///
    /// # Errors
    /// Where the stack has no such parameter or resource.
    pub(crate) fn of(cloud: &Cloud) -> anyhow::Result<Self> {
        let stack = cloud.stack();
        let parameter = |name: &str| {
            let value = stack.parameters.get(name).cloned();
            value.with_context(|| format!("the stack has no parameter {name}"))
        };
        let of_kind = |kind: &'static str| {
            let resources = stack.resources.iter().filter(move |resource| resource.kind == kind);
            resources.map(|resource| resource.physical_id.clone())
        };
        Ok(Self {
            model: parameter("ModelName")?,
            branch: parameter("BranchName")?,
            approvers: parameter("Approvers")?
                .split(',')
                .map(|address| address.trim().to_owned())
                .collect(),
            bucket: of_kind("AWS::S3::Bucket").next().context("the stack has no bucket")?,
            data_prefix: parameter("DataPrefix")?,
            pipelines: of_kind("AWS::CodePipeline::Pipeline").collect(),
        })
    }

    /// The pipeline that builds and trains.
    pub(crate) fn train(&self) -> String {
        format!("{}-train", self.model)
    }

    /// The pipeline that approves and deploys.
    pub(crate) fn release(&self) -> String {
        format!("{}-release", self.model)
    }

    /// The function that starts trainings without a push.
    pub(crate) fn retrain(&self) -> String {
        format!("{}-retrain", self.model)
    }

    /// The beginning of the names of a version's endpoint configurations.
    pub(crate) fn config_prefix(&self, version: u64) -> String {
        format!("{}-v{version}-", self.model)
    }
}

/// A number among the stack's parameters; `None` where it has none of the name.
pub(crate) fn parameter(cloud: &Cloud, name: &str) -> Option<f64> {
    cloud.stack().parameters.get(name)?.parse().ok()
}

/// A call as the administrator.
///
/// # Errors
/// What the service says.
pub(crate) fn call(cloud: &mut Cloud, service: Service, operation: &str, input: &Value) -> Result<Value, ApiError> {
    cloud.call(&Caller::Administrator, service, operation, input)
}

/// One run of the training pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Training {
    /// The execution's ARN.
    pub(crate) arn: String,
    /// `Executing`, `Succeeded`, `Failed` and the like.
    pub(crate) status: String,
    /// What made it start.
    pub(crate) trigger: String,
    /// How many new objects made it start, where they did.
    pub(crate) new_objects: Option<u64>,
    /// The commit that it trains.
    pub(crate) commit: Option<String>,
    /// The package that it registered.
    pub(crate) package: Option<String>,
}

impl Training {
    /// Whether it has come to its end.
    pub(crate) fn ended(&self) -> bool {
        !matches!(self.status.as_str(), "Executing" | "Stopping")
    }
}

/// The ARNs of all trainings so far, the newest first; none while there is no pipeline.
pub(crate) fn trainings(cloud: &mut Cloud, model: &str) -> Vec<String> {
    let input = json!({"PipelineName": model, "SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100});
    let listed = call(cloud, Service::SageMaker, "ListPipelineExecutions", &input).unwrap_or_default();
    let arns = array(&listed, "/PipelineExecutionSummaries").iter();
    arns.map(|summary| text(summary, "/PipelineExecutionArn").to_owned())
        .collect()
}

/// One training, with the lineage in its description.
pub(crate) fn training(cloud: &mut Cloud, arn: &str) -> Option<Training> {
    let input = json!({"PipelineExecutionArn": arn});
    let described = call(cloud, Service::SageMaker, "DescribePipelineExecution", &input).ok()?;
    let lineage: Value = serde_json::from_str(text(&described, "/PipelineExecutionDescription")).unwrap_or_default();
    let steps = json!({"PipelineExecutionArn": arn, "MaxResults": 100});
    let steps = call(cloud, Service::SageMaker, "ListPipelineExecutionSteps", &steps).unwrap_or_default();
    let registered = array(&steps, "/PipelineExecutionSteps")
        .iter()
        .find_map(|step| step.pointer("/Metadata/RegisterModel/Arn").and_then(Value::as_str));
    Some(Training {
        arn: arn.to_owned(),
        status: text(&described, "/PipelineExecutionStatus").to_owned(),
        trigger: text(&lineage, "/trigger").to_owned(),
        new_objects: text(&lineage, "/evidence/newObjects").parse().ok(),
        commit: lineage.get("commit").and_then(Value::as_str).map(str::to_owned),
        package: registered.map(str::to_owned),
    })
}

/// What the evaluation of a training measured: the report below the training's prefix in the bucket.
pub(crate) fn metrics(cloud: &mut Cloud, bucket: &str, execution: &str) -> BTreeMap<String, f64> {
    let id = execution.rsplit('/').next().unwrap_or_default();
    let mut token = None;
    // Each training leaves a few objects: many pages are a cloud that repeats itself.
    for _ in 0..20 {
        let mut input = json!({"Bucket": bucket, "Prefix": "training/"});
        if let (Some(token), Some(members)) = (token.take(), input.as_object_mut()) {
            members.insert("ContinuationToken".to_owned(), token);
        }
        let Ok(listed) = call(cloud, Service::S3, "ListObjectsV2", &input) else {
            break;
        };
        let mut keys = array(&listed, "/Contents").iter().map(|object| text(object, "/Key"));
        let found = keys.find(|key| key.split('/').any(|part| part == id) && key.ends_with("/evaluation.json"));
        if let Some(key) = found {
            return report_at(cloud, bucket, key);
        }
        token = listed.get("NextContinuationToken").cloned();
        if token.is_none() {
            break;
        }
    }
    BTreeMap::new()
}

/// The numbers in an evaluation report.
fn report_at(cloud: &mut Cloud, bucket: &str, key: &str) -> BTreeMap<String, f64> {
    let input = json!({"Bucket": bucket, "Key": key});
    let object = call(cloud, Service::S3, "GetObject", &input).unwrap_or_default();
    let content = STANDARD.decode(text(&object, "/Body")).unwrap_or_default();
    let report: Value = serde_json::from_slice(&content).unwrap_or_default();
    let numbers = report.get("metrics").and_then(Value::as_object).into_iter().flatten();
    numbers
        .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
        .collect()
}

/// A version in the registry.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Package {
    pub(crate) version: Option<u64>,
    /// `Approved`, `Rejected` or `PendingManualApproval`.
    pub(crate) approval: String,
    /// The verdict of the gate, in words.
    pub(crate) gate: Option<String>,
    /// What became of the last release.
    pub(crate) outcome: Option<String>,
    /// Why.
    pub(crate) reason: Option<String>,
    /// Where the evaluation report is.
    report: Option<String>,
}

/// A version by its ARN.
pub(crate) fn package(cloud: &mut Cloud, arn: &str) -> Option<Package> {
    let input = json!({"ModelPackageName": arn});
    let described = call(cloud, Service::SageMaker, "DescribeModelPackage", &input).ok()?;
    let metadata = |key: &str| {
        let value = described.get("CustomerMetadataProperties")?.get(key)?.as_str()?;
        Some(value.to_owned())
    };
    let report = text(&described, "/ModelMetrics/ModelQuality/Statistics/S3Uri");
    Some(Package {
        version: described.get("ModelPackageVersion").and_then(Value::as_u64),
        approval: text(&described, "/ModelApprovalStatus").to_owned(),
        gate: metadata(key::GATE),
        outcome: metadata(key::OUTCOME),
        reason: metadata(key::REASON),
        report: Some(report.to_owned()).filter(|uri| !uri.is_empty()),
    })
}

/// What the timeline says of a version.
pub(crate) fn version(cloud: &mut Cloud, arn: &str) -> Version {
    let package = package(cloud, arn).unwrap_or_default();
    let place = package
        .report
        .as_deref()
        .and_then(|uri| uri.strip_prefix("s3://")?.split_once('/'));
    let measured = place
        .map(|(bucket, key)| report_at(cloud, bucket, key))
        .unwrap_or_default();
    Version {
        accuracy: measured.get("accuracy").copied(),
        gate: package.gate,
        outcome: package.outcome,
    }
}

/// How many versions the registry has.
pub(crate) fn versions(cloud: &mut Cloud, model: &str) -> usize {
    let input = json!({"ModelPackageGroupName": model, "MaxResults": 100});
    let listed = call(cloud, Service::SageMaker, "ListModelPackages", &input).unwrap_or_default();
    array(&listed, "/ModelPackageSummaryList").len()
}

/// The endpoint as it is described.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) status: String,
    /// The configuration that serves.
    pub(crate) config: String,
    /// How the last update, or that under way, moves the traffic; `None` for an endpoint that was only created.
    pub(crate) strategy: Option<Strategy>,
    /// The configuration that an update under way brings.
    pub(crate) pending: Option<String>,
}

/// The endpoint, once there is one.
pub(crate) fn endpoint(cloud: &mut Cloud, name: &str) -> Option<Endpoint> {
    let input = json!({"EndpointName": name});
    let described = call(cloud, Service::SageMaker, "DescribeEndpoint", &input).ok()?;
    let pending = described.pointer("/PendingDeploymentSummary/EndpointConfigName");
    Some(Endpoint {
        status: text(&described, "/EndpointStatus").to_owned(),
        config: text(&described, "/EndpointConfigName").to_owned(),
        strategy: described.get("LastDeploymentConfig").and_then(strategy),
        pending: pending.and_then(Value::as_str).map(str::to_owned),
    })
}

/// The strategy that a deployment configuration is of.
fn strategy(deployment: &Value) -> Option<Strategy> {
    let Some(policy) = deployment.get("BlueGreenUpdatePolicy") else {
        return deployment.get("RollingUpdatePolicy").map(|_| Strategy::Rolling);
    };
    let kept = policy.get("TerminationWaitInSeconds").and_then(Value::as_u64);
    match text(policy, "/TrafficRoutingConfiguration/Type") {
        "CANARY" => Some(Strategy::Canary),
        "LINEAR" => Some(Strategy::Linear),
        // SageMaker has one word for both: with a bake it is the other.
        "ALL_AT_ONCE" if kept.unwrap_or_default() > 0 => Some(Strategy::BlueGreen),
        "ALL_AT_ONCE" => Some(Strategy::AllAtOnce),
        _ => None,
    }
}

/// What came of an action when it last ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Action {
    /// The pipeline execution that the stage is of.
    pub(crate) execution: String,
    /// `InProgress`, `Succeeded` or `Failed`; empty before the first run.
    pub(crate) status: String,
    /// What it said: its summary, or the error.
    pub(crate) said: String,
}

/// The first action of a pipeline's stage.
pub(crate) fn action(cloud: &mut Cloud, pipeline: &str, stage: &str) -> Action {
    let input = json!({"name": pipeline});
    let state = call(cloud, Service::CodePipeline, "GetPipelineState", &input).unwrap_or_default();
    let stages = array(&state, "/stageStates");
    let Some(stage) = stages.iter().find(|state| text(state, "/stageName") == stage) else {
        return Action::default();
    };
    let at = |path: &str| text(stage, &format!("/actionStates/0/latestExecution{path}"));
    // The console shows both; where the error is the summary, it is said once.
    let mut said = vec![at("/errorDetails/message"), at("/summary")];
    said.dedup();
    Action {
        execution: text(stage, "/latestExecution/pipelineExecutionId").to_owned(),
        status: at("/status").to_owned(),
        said: said
            .iter()
            .filter(|text| !text.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// The execution of a pipeline that runs for a commit, if there is one yet.
pub(crate) fn execution_of(cloud: &mut Cloud, pipeline: &str, commit: &str) -> Option<(String, String)> {
    let summaries = executions(cloud, pipeline);
    let mut found = summaries.iter().filter(|summary| {
        let sources = array(summary, "/sourceRevisions");
        sources.iter().any(|source| text(source, "/revisionId") == commit)
    });
    let summary = found.next()?;
    Some((
        text(summary, "/pipelineExecutionId").to_owned(),
        text(summary, "/status").to_owned(),
    ))
}

/// Whether any execution of a pipeline is under way.
pub(crate) fn runs(cloud: &mut Cloud, pipeline: &str) -> bool {
    let summaries = executions(cloud, pipeline);
    summaries
        .iter()
        .any(|summary| matches!(text(summary, "/status"), "InProgress" | "Stopping"))
}

fn executions(cloud: &mut Cloud, pipeline: &str) -> Vec<Value> {
    let input = json!({"pipelineName": pipeline, "maxResults": 100});
    let listed = call(cloud, Service::CodePipeline, "ListPipelineExecutions", &input).unwrap_or_default();
    array(&listed, "/pipelineExecutionSummaries").to_vec()
}

/// The link in a mail: the first line that is an address.
pub(crate) fn link(mail: &Mail) -> Option<&str> {
    mail.body
        .lines()
        .find(|line| line.starts_with("http://") || line.starts_with("https://"))
}

/// The text that stands behind `NAME: ` in a mail, its lines joined again.
pub(crate) fn item(body: &str, name: &str) -> Option<String> {
    let mut lines = body.lines();
    let first = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
    let is_item = |line: &str| {
        let (word, _) = line.split_once(':').unwrap_or_default();
        word.chars().next().is_some_and(char::is_uppercase) && word.chars().all(|c| c.is_ascii_alphabetic() || c == ' ')
    };
    let rest = lines.take_while(|line| !line.trim().is_empty() && !is_item(line));
    Some(
        std::iter::once(first)
            .chain(rest.map(str::trim))
            .collect::<Vec<_>>()
            .join(" "),
    )
}

/// Whether a text names a number, to the three digits behind the point that people compare.
pub(crate) fn names_number(text: &str, number: f64) -> bool {
    let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    let mut numbers = words.filter_map(|word| word.trim_matches('.').parse::<f64>().ok());
    numbers.any(|named| (named - number).abs() < 0.0006)
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn array<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value
        .pointer(path)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_a_mail() {
        let body = "A training ended.\n\nTrigger: a push\nStep: AccuracyCondition\nReason: accuracy 0.7 is not above 0.85,\n\
                    which was asked for\nExecution:\narn:aws:x\n\nMETRICS\naccuracy: 0.9312\n\nComment:\n> no\n";
        for (name, expected) in [
            ("Trigger", Some("a push")),
            ("Reason", Some("accuracy 0.7 is not above 0.85, which was asked for")),
            ("accuracy", Some("0.9312")),
            ("Gate", None),
        ] {
            assert_eq!(item(body, name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn numbers_in_a_text() {
        for (text, number, expected) in [
            ("accuracy 0.9386 is not above 0.9474.", 0.93857, true),
            ("accuracy 0.9386 is not above 0.9474.", 0.947_368, true),
            ("accuracy 0.9386 is not above 0.9474.", 0.94, false),
            ("above 0.85.", 0.85, true),
            ("v5 of 10 %", 5.0, true),
            ("nothing", 0.0, false),
            ("", 0.85, false),
        ] {
            assert_eq!(names_number(text, number), expected, "{text} {number}");
        }
    }

    #[test]
    fn the_link_is_the_line_that_is_an_address() {
        let mail = |body: &str| Mail {
            number: 1,
            time: jiff::Timestamp::UNIX_EPOCH,
            to: "lead@example.com".to_owned(),
            subject: String::new(),
            body: body.to_owned(),
            topic_arn: String::new(),
        };
        for (body, expected) in [
            (
                "Open:\n\nhttp://127.0.0.1:1/x?c=1\n\nAda: see http[:]//evil",
                Some("http://127.0.0.1:1/x?c=1"),
            ),
            ("see http://evil.example", None),
        ] {
            assert_eq!(link(&mail(body)), expected);
        }
    }
}
