//! start-training: brings the built definition to SageMaker and starts exactly that version.
//!
//! The job of the train pipeline's Train stage. The build's artifact is read from S3, its scripts are put where the jobs find
//! them, under the digest of their content, the definition is given the stack's values, and the execution that is started bears
//! its lineage in its description. Everything is named by content or by the CodePipeline execution, so that a second run starts
//! nothing new.

mod samples;

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::archive::{tar_gz, unzip};
use signalbox_aws::commits::{Commits, ReadChanges, ReadCommits};
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::error::ErrorKind;
use signalbox_aws::executions::{Executions, ReadExecutions};
use signalbox_aws::job::{Answer, AnswerJobs, Failure, Jobs, answer};
use signalbox_aws::log;
use signalbox_aws::runtime::Function;
use signalbox_aws::storage::{ListObjects, ObjectUri, ReadObjects, S3, WriteObjects};
use signalbox_aws::training::{DefinePipelines, ListTrainings, Pipelines, Start, StartTrainings};
use signalbox_model::definition::{Defaults, FILE_NAME, prepare};
use signalbox_model::evidence::one_line;
use signalbox_model::job::Job;
use signalbox_model::lineage::{Lineage, Trigger};
use signalbox_model::names::{ModelName, digest};
use signalbox_model::paths::ModelPaths;
use signalbox_model::training::Execution;

/// The largest artifact that is read, in bytes, packed.
const ARTIFACT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many executions are looked at for what was trained last: as many as one call lists.
const EXECUTIONS_MAX: u8 = 100;
/// How much of a list of files is shown, in characters.
const FILES_CHARS_MAX: usize = 300;

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model.
    pub model: ModelName,
    /// The pipeline that builds and trains.
    pub train_pipeline: String,
    /// The repository that is built.
    pub repository: String,
    /// Where code, data and what the jobs write are.
    pub bucket: String,
    /// The role of pipeline and jobs.
    pub role_arn: String,
    /// The image of the jobs and of the model.
    pub image_uri: String,
    /// What the jobs run on.
    pub instance_type: String,
    /// A model is registered only above it.
    pub accuracy_threshold: f64,
    /// Where in the bucket the training data is.
    pub data_prefix: String,
    /// The files that the model is made of.
    pub model_paths: ModelPaths,
    /// Whether the repository's sample data is used where there is none yet.
    pub sample_data: bool,
}

/// The function.
#[derive(Debug)]
pub struct StartTraining {
    settings: Settings,
    jobs: Jobs,
    commits: Commits,
    objects: S3,
    pipelines: Pipelines,
    executions: Executions,
}

impl Function for StartTraining {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let settings = Settings {
            model: environment.parsed("MODEL_NAME")?,
            train_pipeline: environment.required("TRAIN_PIPELINE")?.to_owned(),
            repository: environment.required("REPOSITORY_NAME")?.to_owned(),
            bucket: environment.required("ARTIFACT_BUCKET")?.to_owned(),
            role_arn: environment.required("PIPELINE_ROLE_ARN")?.to_owned(),
            image_uri: environment.required("IMAGE_URI")?.to_owned(),
            instance_type: environment.required("TRAINING_INSTANCE_TYPE")?.to_owned(),
            accuracy_threshold: environment.parsed("ACCURACY_THRESHOLD")?,
            data_prefix: environment.required("DATA_PREFIX")?.to_owned(),
            model_paths: environment.parsed("MODEL_PATHS")?,
            sample_data: environment.parsed("SAMPLE_DATA")?,
        };
        Ok(Self {
            settings,
            jobs: Jobs::new(sdk),
            commits: Commits::new(sdk),
            objects: S3::new(sdk),
            pipelines: Pipelines::new(sdk),
            executions: Executions::new(sdk),
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            jobs: &self.jobs,
            commits: &self.commits,
            objects: &self.objects,
            pipelines: &self.pipelines,
            executions: &self.executions,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// The action's user parameters.
#[derive(Debug, Deserialize)]
struct Parameters {
    /// The CodePipeline execution's id: the token that makes a second start harmless.
    execution: String,
    /// The commit that was built.
    commit: String,
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, J, C, O, P, E> {
    /// Answer the job.
    pub jobs: &'a J,
    /// Read who wrote the commit, and what it has changed.
    pub commits: &'a C,
    /// Read what was built; put the scripts where the jobs find them.
    pub objects: &'a O,
    /// Define the pipeline, and start it; see what was trained last.
    pub pipelines: &'a P,
    /// See when the push was.
    pub executions: &'a E,
}

/// Handles one job.
///
/// # Errors
/// Where the event is no job, or the job could not be answered.
pub async fn handle<J, C, O, P, E>(
    settings: &Settings,
    ports: &Ports<'_, J, C, O, P, E>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    J: AnswerJobs,
    C: ReadCommits + ReadChanges,
    O: ListObjects + ReadObjects + WriteObjects,
    P: DefinePipelines + ListTrainings + StartTrainings,
    E: ReadExecutions,
{
    let job = Job::parse(event)?;
    answer(ports.jobs, &job, train(settings, ports, &job)).await?;
    Ok(Value::Null)
}

async fn train<J, C, O, P, E>(
    settings: &Settings,
    ports: &Ports<'_, J, C, O, P, E>,
    job: &Job,
) -> Result<Answer, Failure>
where
    C: ReadCommits + ReadChanges,
    O: ListObjects + ReadObjects + WriteObjects,
    P: DefinePipelines + ListTrainings + StartTrainings,
    E: ReadExecutions,
{
    let Ports {
        commits,
        objects,
        pipelines,
        ..
    } = *ports;
    let Parameters { execution, commit } = job.parameters()?;
    log::trigger(Trigger::Push);
    if !(32..=128).contains(&execution.len()) {
        let reason = format!(
            "the action's UserParameters are wrong: `execution` is `{execution}`, not #{{codepipeline.PipelineExecutionId}}"
        );
        return Err(Failure::configuration(reason));
    }
    if let Some(others) = untouched(settings, ports, &execution, &commit).await? {
        tracing::info!(commit, others, "the push does not touch the model: not trained");
        let summary =
            format!("not trained: what has changed since the last training is no part of the model ({others})");
        return Ok(Answer::Done {
            summary,
            external_id: None,
            variables: BTreeMap::new(),
        });
    }
    let artifact = job.input_artifacts.first();
    let artifact =
        artifact.ok_or_else(|| Failure::configuration("the action has no input artifact; give it the build's"))?;
    let place = ObjectUri {
        bucket: artifact.bucket.clone(),
        key: artifact.key.clone(),
    };
    let archive = objects.read(&place, ARTIFACT_BYTES_MAX).await?;
    let files = unzip(&archive).map_err(|error| Failure::configuration(error.to_string()))?;
    let missing = || {
        let what = "the build's artifact has no";
        Failure::configuration(format!(
            "{what} {FILE_NAME}; put it at the top of the repository, and into the buildspec's artifacts"
        ))
    };
    let definition = files.iter().find(|(path, _)| path == FILE_NAME).ok_or_else(missing)?;
    let definition = std::str::from_utf8(&definition.1);
    let definition = definition.map_err(|_| Failure::configuration(format!("{FILE_NAME} is not UTF-8")))?;

    let code = Code::of(&files);
    let bucket = &settings.bucket;
    let code_prefix = format!("code/{}", code.digest());
    let defaults = Defaults {
        role_arn: settings.role_arn.clone(),
        image_uri: settings.image_uri.clone(),
        instance_type: settings.instance_type.clone(),
        code_uri: format!("s3://{bucket}/{code_prefix}"),
        data_uri: format!("s3://{bucket}/{}", settings.data_prefix.trim_end_matches('/')),
        artifact_uri: format!("s3://{bucket}/training"),
        accuracy_threshold: settings.accuracy_threshold,
        model_package_group_name: settings.model.to_string(),
    };
    // Before anything is written: a definition that can't be used leaves nothing behind.
    let definition = prepare(definition, &defaults)
        .map_err(|error| Failure::configuration(format!("{:#}", anyhow::Error::new(error))))?;
    for (name, content) in code
        .objects()
        .map_err(|error| Failure::configuration(error.to_string()))?
    {
        let place = ObjectUri {
            bucket: bucket.clone(),
            key: format!("{code_prefix}/{name}"),
        };
        objects.write(&place, content).await?;
    }
    if settings.sample_data {
        samples::put(settings, objects, pipelines, &files).await?;
    }
    let pipeline = settings.model.as_str();
    let token = digest(&[b"create", pipeline.as_bytes()]);
    let defined = pipelines
        .define(pipeline, &definition, &settings.role_arn, &token)
        .await;
    let version = defined.map_err(|error| match error.kind {
        ErrorKind::Invalid => Failure::configuration(format!("SageMaker refuses {FILE_NAME}: {}", error.message)),
        _ => error.into(),
    })?;
    let mut lineage = Lineage::of(Trigger::Push);
    lineage.commit = Some(commit.clone());
    // Two services, which neither needs the other's answer.
    let (words, began) = tokio::join!(
        commits.commit(&settings.repository, &commit),
        ports.executions.began(&settings.train_pipeline, &execution)
    );
    match words {
        Ok(words) => lineage.set_commit_words(words.author.as_deref(), words.message.as_deref()),
        // Tried again, it may be there, and the description is another then: a second start by the same token has to be the same.
        Err(error) if error.is_transient() => return Err(error.into()),
        // Only people miss it: no training fails for that.
        Err(error) => tracing::warn!(commit, %error, "who wrote the commit is not to be had"),
    }
    match began {
        Ok(began) => lineage.pushed = began,
        // As above: another try might have another description.
        Err(error) if error.is_transient() => return Err(error.into()),
        // Only a metric misses it.
        Err(error) => tracing::warn!(%error, "when the push was is not to be had"),
    }
    lineage.codepipeline_execution = Some(execution.clone());
    lineage.data = Some(defaults.data_uri);
    lineage.version = Some(version);
    let start = Start {
        pipeline,
        version: Some(version),
        token: &execution,
        display_name: &display_name(&commit),
        description: &lineage.to_description(),
        // The defaults are the stack's own values.
        parameters: &[],
    };
    let arn = pipelines.start(&start).await?;
    log::execution(&arn);
    tracing::info!(pipeline_version = version, commit, "training started");
    Ok(Answer::Done {
        summary: format!("training started from version {version} of the SageMaker pipeline {pipeline}"),
        external_id: Some(arn.clone()),
        variables: BTreeMap::from([("ExecutionArn".to_owned(), arn)]),
    })
}

/// The files that have changed since the commit that was trained last, where none of them belongs to the model.
///
/// Not since the push before: that one may have failed its tests, and this one, which only mends the tests, brings its change.
async fn untouched<J, C, O, P, E>(
    settings: &Settings,
    ports: &Ports<'_, J, C, O, P, E>,
    execution: &str,
    commit: &str,
) -> Result<Option<String>, Failure>
where
    C: ReadChanges,
    P: ListTrainings,
{
    let Settings {
        model,
        model_paths,
        repository,
        ..
    } = settings;
    if model_paths.is_everything() {
        return Ok(None);
    }
    let executions = ports.pipelines.executions(model.as_str(), EXECUTIONS_MAX).await?;
    let built = executions
        .iter()
        .map(Execution::lineage)
        .find(|lineage| lineage.commit.is_some());
    let Some(lineage) = built.filter(|lineage| lineage.codepipeline_execution.as_deref() != Some(execution)) else {
        // Nothing was trained yet, or this very job was, and its answer was lost.
        return Ok(None);
    };
    let before = lineage.commit.unwrap_or_default();
    let changed = match ports.commits.changed(repository, &before, commit).await {
        Ok(changed) => changed,
        Err(error) if error.is_transient() => return Err(error.into()),
        // A branch that was pushed over, for one. Better trained for nothing than not trained.
        Err(error) => {
            tracing::warn!(before, commit, %error, "what has changed is not to be had: it is trained");
            None
        }
    };
    let untouched = changed.filter(|changed| !model_paths.are_touched(changed.iter().map(String::as_str)));
    Ok(untouched.map(|changed| one_line(&changed.join(", "), FILES_CHARS_MAX)))
}

/// The scripts at the top of the repository, and the requirements: what goes into the jobs' containers.
struct Code<'a>(BTreeMap<&'a str, &'a [u8]>);

impl<'a> Code<'a> {
    fn of(files: &'a [(String, Vec<u8>)]) -> Self {
        let wanted = |path: &str| !path.contains('/') && (path.ends_with(".py") || path == "requirements.txt");
        let files = files.iter().filter(|(path, _)| wanted(path));
        Self(
            files
                .map(|(path, content)| (path.as_str(), content.as_slice()))
                .collect(),
        )
    }

    fn digest(&self) -> String {
        let parts: Vec<&[u8]> = self
            .0
            .iter()
            .flat_map(|(path, content)| [path.as_bytes(), content])
            .collect();
        digest(&parts)
    }

    /// Each script by itself, as processing jobs take them, and all of them as script mode's archive.
    fn objects(&self) -> std::io::Result<Vec<(String, Vec<u8>)>> {
        let archive = tar_gz(self.0.iter().map(|(path, content)| (*path, *content)))?;
        let scripts = self
            .0
            .iter()
            .map(|(path, content)| ((*path).to_owned(), content.to_vec()));
        Ok(scripts.chain([("sourcedir.tar.gz".to_owned(), archive)]).collect())
    }
}

/// SageMaker takes `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}`.
fn display_name(commit: &str) -> String {
    let commit: String = commit.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    format!("push-{commit}").trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests;
