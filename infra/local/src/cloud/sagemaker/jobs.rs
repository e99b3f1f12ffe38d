//! Processing and training jobs: made of a step's arguments, and what came of them brought to S3.
//!
//! A job is kept as its description, the answer of `DescribeProcessingJob` or `DescribeTrainingJob`: the steps after it refer to
//! members of that.

use std::collections::BTreeMap;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value, json};

use super::super::s3;
use super::definition::as_text;
use super::{Cloud, bucket_and_key, epoch_seconds, list_of, only, role, set, text};
use crate::cloud::effect::{EffectId, Job, JobKind};

/// SageMaker's default for `MaxRuntimeInSeconds`: a day.
const RUNTIME_SECONDS_DEFAULT: u64 = 86_400;

/// A job that was made, before it is run.
pub(super) struct Made {
    pub(super) job: Job,
    pub(super) description: Value,
}

/// The name of a step's job: `pipelines-EXECUTION-STEP-RANDOM`, at most 63 characters.
pub(super) fn job_name(cloud: &mut Cloud, execution_id: &str, step: &str) -> String {
    let step: String = step
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .collect();
    let room = 63_usize.saturating_sub("pipelines---".len() + execution_id.len() + 10);
    let step: String = step.chars().take(room).collect();
    format!("pipelines-{execution_id}-{step}-{}", cloud.token(10))
}

/// Makes a processing job. The error is the job's failure reason.
pub(super) fn processing(cloud: &Cloud, name: &str, role: &str, arguments: &Value) -> Result<Made, String> {
    let arn = cloud.arn("sagemaker", &format!("processing-job/{}", name.to_lowercase()));
    let mut environment = environment(cloud, arguments);
    environment.insert("PROCESSING_JOB_NAME".to_owned(), name.to_owned());
    let application = arguments.get("AppSpecification").unwrap_or(&Value::Null);
    let command: Vec<String> = list_of(application, "ContainerEntrypoint")
        .chain(list_of(application, "ContainerArguments"))
        .map(as_text)
        .collect();
    if list_of(application, "ContainerEntrypoint").next().is_none() {
        return Err(
            "ClientError: AppSpecification has no ContainerEntrypoint: the local cloud runs commands, not images"
                .to_owned(),
        );
    }
    let mut inputs = Vec::new();
    for input in list_of(arguments, "ProcessingInputs") {
        let Some(source) = input.get("S3Input") else {
            return Err(format!(
                "ClientError: input {} has no S3Input",
                text(input, "InputName")
            ));
        };
        inputs.extend(download(cloud, text(source, "S3Uri"), text(source, "LocalPath"))?);
    }
    let mut outputs = Vec::new();
    for output in list_of(
        arguments.get("ProcessingOutputConfig").unwrap_or(&Value::Null),
        "Outputs",
    ) {
        let place = output.pointer("/S3Output/LocalPath").map(as_text).unwrap_or_default();
        outputs.push((text(output, "OutputName").to_owned(), place));
    }
    let mut description = only(
        arguments,
        &[
            "AppSpecification",
            "Environment",
            "ExperimentConfig",
            "NetworkConfig",
            "ProcessingInputs",
            "ProcessingOutputConfig",
            "ProcessingResources",
            "RoleArn",
            "StoppingCondition",
        ],
    );
    if description.get("RoleArn").is_none() {
        set(&mut description, "RoleArn", json!(role));
    }
    set(&mut description, "ProcessingJobName", json!(name));
    set(&mut description, "ProcessingJobArn", json!(arn));
    set(&mut description, "ProcessingJobStatus", json!("InProgress"));
    for time in ["CreationTime", "LastModifiedTime", "ProcessingStartTime"] {
        set(&mut description, time, json!(epoch_seconds(cloud.now)));
    }
    let job = Job {
        id: 0,
        kind: JobKind::Processing,
        name: name.to_owned(),
        command,
        environment,
        hyperparameters: BTreeMap::new(),
        inputs,
        source_archive: None,
        outputs,
        timeout_seconds: runtime_seconds(arguments),
    };
    Ok(Made { job, description })
}

/// Makes a training job in script mode. The error is the job's failure reason.
pub(super) fn training(cloud: &Cloud, name: &str, role: &str, arguments: &Value) -> Result<Made, String> {
    let arn = cloud.arn("sagemaker", &format!("training-job/{}", name.to_lowercase()));
    let empty = Map::new();
    let given = arguments
        .get("HyperParameters")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let texts: BTreeMap<String, String> = given
        .iter()
        .map(|(name, value)| (name.clone(), as_text(value)))
        .collect();
    // SageMaker's SDK writes each value as JSON, but takes a plain string too.
    let values: BTreeMap<&str, Value> = texts
        .iter()
        .map(|(name, text)| {
            (
                name.as_str(),
                serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            )
        })
        .collect();
    let own = |name: &str| values.get(name).map(as_text);
    let Some(program) = own("sagemaker_program") else {
        return Err(
            "ClientError: there is no hyperparameter sagemaker_program: the local cloud trains in script mode only"
                .to_owned(),
        );
    };
    let archive = own("sagemaker_submit_directory").unwrap_or_default();
    let Some(source) = bucket_and_key(&archive).and_then(|(bucket, key)| s3::get(cloud, bucket, key)) else {
        return Err(format!(
            "AlgorithmError: framework error: botocore.exceptions.ClientError: An error occurred (404) when calling the HeadObject \
             operation: Not Found ({archive}), exit code: 1"
        ));
    };
    let hyperparameters: BTreeMap<&str, &Value> = values
        .iter()
        .filter(|(name, _)| !name.starts_with("sagemaker_"))
        .map(|(name, value)| (*name, value))
        .collect();
    let script_arguments: Vec<String> = hyperparameters
        .iter()
        .flat_map(|(name, value)| [flag(name), python_text(value)])
        .collect();

    let mut inputs = Vec::new();
    let mut channels = Vec::new();
    for channel in list_of(arguments, "InputDataConfig") {
        let channel_name = text(channel, "ChannelName").to_owned();
        let uri = channel
            .pointer("/DataSource/S3DataSource/S3Uri")
            .map(as_text)
            .unwrap_or_default();
        inputs.extend(download(cloud, &uri, &format!("/opt/ml/input/data/{channel_name}"))?);
        channels.push(channel_name);
    }
    channels.sort();
    let resources = json!({"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"});
    for (file, content) in [("hyperparameters", json!(texts)), ("resourceconfig", resources.clone())] {
        inputs.push((
            format!("/opt/ml/input/config/{file}.json"),
            Bytes::from(content.to_string()),
        ));
    }

    let mut environment = environment(cloud, arguments);
    for (variable, value) in [
        ("SM_MODEL_DIR", "/opt/ml/model".to_owned()),
        ("SM_INPUT_DIR", "/opt/ml/input".to_owned()),
        ("SM_INPUT_CONFIG_DIR", "/opt/ml/input/config".to_owned()),
        ("SM_OUTPUT_DIR", "/opt/ml/output".to_owned()),
        ("SM_OUTPUT_DATA_DIR", "/opt/ml/output/data".to_owned()),
        ("SM_CHANNELS", json!(channels).to_string()),
        ("SM_HPS", json!(hyperparameters).to_string()),
        ("SM_USER_ARGS", json!(script_arguments).to_string()),
        ("SM_USER_ENTRY_POINT", program.clone()),
        ("SM_MODULE_DIR", archive),
        ("SM_MODULE_NAME", program.trim_end_matches(".py").to_owned()),
        ("SM_CURRENT_HOST", "algo-1".to_owned()),
        ("SM_HOSTS", json!(["algo-1"]).to_string()),
        ("SM_NETWORK_INTERFACE_NAME", "eth0".to_owned()),
        ("SM_RESOURCE_CONFIG", resources.to_string()),
        (
            "SM_LOG_LEVEL",
            own("sagemaker_container_log_level").unwrap_or_else(|| "20".to_owned()),
        ),
        ("SM_NUM_GPUS", "0".to_owned()),
        ("SM_NUM_CPUS", "1".to_owned()),
        ("TRAINING_JOB_NAME", name.to_owned()),
        ("TRAINING_JOB_ARN", arn.clone()),
    ] {
        environment.insert(variable.to_owned(), value);
    }
    for channel in &channels {
        let variable = format!("SM_CHANNEL_{}", channel.to_uppercase());
        environment.insert(variable, format!("/opt/ml/input/data/{channel}"));
    }
    for (name, value) in &hyperparameters {
        environment.insert(
            format!("SM_HP_{}", name.to_uppercase().replace('-', "_")),
            as_text(value),
        );
    }
    let mut command = vec!["python3".to_owned(), format!("/opt/ml/code/{program}")];
    command.extend(script_arguments);

    let mut description = only(
        arguments,
        &[
            "AlgorithmSpecification",
            "Environment",
            "ExperimentConfig",
            "InputDataConfig",
            "OutputDataConfig",
            "ResourceConfig",
            "RoleArn",
            "StoppingCondition",
            "VpcConfig",
        ],
    );
    if description.get("RoleArn").is_none() {
        set(&mut description, "RoleArn", json!(role));
    }
    if description.get("StoppingCondition").is_none() {
        set(
            &mut description,
            "StoppingCondition",
            json!({"MaxRuntimeInSeconds": RUNTIME_SECONDS_DEFAULT}),
        );
    }
    let folder = arguments
        .pointer("/OutputDataConfig/S3OutputPath")
        .map(as_text)
        .unwrap_or_default();
    if bucket_and_key(&folder).is_none() {
        return Err(format!(
            "ClientError: S3OutputPath `{folder}` is not the URI of a folder in S3"
        ));
    }
    let model = format!("{}/{name}/output/model.tar.gz", folder.trim_end_matches('/'));
    set(&mut description, "HyperParameters", json!(texts));
    set(&mut description, "ModelArtifacts", json!({"S3ModelArtifacts": model}));
    set(&mut description, "TrainingJobName", json!(name));
    set(&mut description, "TrainingJobArn", json!(arn));
    set(&mut description, "TrainingJobStatus", json!("InProgress"));
    set(&mut description, "SecondaryStatus", json!("Training"));
    for time in ["CreationTime", "LastModifiedTime", "TrainingStartTime"] {
        set(&mut description, time, json!(epoch_seconds(cloud.now)));
    }
    let job = Job {
        id: 0,
        kind: JobKind::Training,
        name: name.to_owned(),
        command,
        environment,
        hyperparameters: hyperparameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), as_text(value)))
            .collect(),
        inputs,
        source_archive: Some(source),
        outputs: vec![("model".to_owned(), "/opt/ml/model".to_owned())],
        timeout_seconds: runtime_seconds(arguments),
    };
    Ok(Made { job, description })
}

/// The job with its id.
pub(super) fn with_id(job: Job, id: EffectId) -> Job {
    Job { id, ..job }
}

/// Brings a job's outputs to S3. The error is the job's failure reason.
pub(super) fn upload(
    cloud: &mut Cloud,
    kind: JobKind,
    description: &Value,
    outputs: &BTreeMap<String, Vec<(String, Bytes)>>,
) -> Result<(), String> {
    let none = Vec::new();
    let mut objects = Vec::new();
    match kind {
        JobKind::Processing => {
            for output in list_of(
                description.get("ProcessingOutputConfig").unwrap_or(&Value::Null),
                "Outputs",
            ) {
                let folder = output.pointer("/S3Output/S3Uri").map(as_text).unwrap_or_default();
                for (path, content) in outputs.get(text(output, "OutputName")).unwrap_or(&none) {
                    objects.push((format!("{}/{path}", folder.trim_end_matches('/')), content.clone()));
                }
            }
        }
        JobKind::Training => {
            let place = description
                .pointer("/ModelArtifacts/S3ModelArtifacts")
                .map(as_text)
                .unwrap_or_default();
            let archive = archive(outputs.get("model").unwrap_or(&none))
                .map_err(|error| format!("ClientError: the model can't be archived: {error}"))?;
            objects.push((place, archive));
        }
    }
    let places = objects.iter().filter_map(|(uri, _)| bucket_and_key(uri));
    role::upload(cloud, kind, description, places)?;
    for (uri, content) in objects {
        let Some((bucket, key)) = bucket_and_key(&uri) else {
            return Err(format!(
                "ClientError: Failed to upload output: `{uri}` is not a place in S3"
            ));
        };
        s3::put(cloud, bucket, key, content);
    }
    Ok(())
}

/// The description of a job that ended: with a failure reason, or well.
pub(super) fn ended(cloud: &Cloud, kind: JobKind, description: &mut Value, status: &str, failure: Option<&str>) {
    let now = json!(epoch_seconds(cloud.now));
    match kind {
        JobKind::Processing => {
            set(description, "ProcessingJobStatus", json!(status));
            set(description, "ProcessingEndTime", now.clone());
        }
        JobKind::Training => {
            set(description, "TrainingJobStatus", json!(status));
            set(description, "SecondaryStatus", json!(status));
            set(description, "TrainingEndTime", now.clone());
        }
    }
    set(description, "LastModifiedTime", now);
    set(description, "FailureReason", json!(failure));
}

/// The files as a tar.gz that is the same for the same files: sorted, and without times or owners.
fn archive(files: &[(String, Bytes)]) -> std::io::Result<Bytes> {
    let files: BTreeMap<&String, &Bytes> = files.iter().map(|(path, content)| (path, content)).collect();
    let mut builder = tar::Builder::new(GzBuilder::new().mtime(0).write(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        header.set_mode(0o644);
        header.set_mtime(0);
        builder.append_data(&mut header, path, content.as_ref())?;
    }
    Ok(Bytes::from(builder.into_inner()?.finish()?))
}

/// What a prefix in S3 holds, as files below a folder. As with SageMaker, a prefix need not end at a slash.
fn download(cloud: &Cloud, uri: &str, folder: &str) -> Result<Vec<(String, Bytes)>, String> {
    let Some((bucket, prefix)) = bucket_and_key(uri) else {
        return Err(format!("ClientError: `{uri}` is not a place in S3"));
    };
    let mut files = Vec::new();
    for key in s3::keys(cloud, bucket, prefix) {
        let rest = key.strip_prefix(prefix).unwrap_or_default();
        let path = match rest.strip_prefix('/') {
            Some(path) => path,
            None if prefix.is_empty() || prefix.ends_with('/') => rest,
            None => prefix.rfind('/').and_then(|slash| key.get(slash + 1..)).unwrap_or(&key),
        };
        // A key that ends with a slash is a folder's marker, of the console's making.
        if path.is_empty() || path.ends_with('/') {
            continue;
        }
        if let Some(content) = s3::get(cloud, bucket, &key) {
            files.push((format!("{}/{path}", folder.trim_end_matches('/')), content));
        }
    }
    if files.is_empty() {
        return Err(format!(
            "ClientError: Data download failed:No S3 objects found under S3 URL \"{uri}\" given in input data source. Please ensure that \
             the bucket exists in the selected region ({}), that objects exist under that S3 prefix",
            cloud.target.region
        ));
    }
    Ok(files)
}

fn environment(cloud: &Cloud, arguments: &Value) -> BTreeMap<String, String> {
    let given = arguments
        .get("Environment")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let mut environment: BTreeMap<String, String> = given.map(|(name, value)| (name.clone(), as_text(value))).collect();
    let region = cloud.target.region.clone();
    environment.entry("AWS_REGION".to_owned()).or_insert(region);
    environment
}

fn runtime_seconds(arguments: &Value) -> u64 {
    let limit = arguments.pointer("/StoppingCondition/MaxRuntimeInSeconds");
    limit.and_then(Value::as_u64).unwrap_or(RUNTIME_SECONDS_DEFAULT)
}

/// A hyperparameter's name on the command line, as SageMaker's training toolkit has it.
fn flag(name: &str) -> String {
    if name.chars().count() > 1 {
        format!("--{name}")
    } else {
        format!("-{name}")
    }
}

/// A hyperparameter's value on the command line, as SageMaker's training toolkit has it: what Python's `str` makes of it.
fn python_text(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        Value::Object(members) => {
            let pairs = members
                .iter()
                .map(|(name, value)| format!("{name}={}", python_text(value)));
            pairs.collect::<Vec<_>>().join(",")
        }
        other => as_text(other),
    }
}
