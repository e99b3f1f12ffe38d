//! pipeline-status: judges what a training has registered.
//!
//! Woken by the end of a SageMaker pipeline execution, by a version that something else has registered, and by a sweep over the
//! recent ones of both, because SageMaker's events may be lost. A version that passes the threshold and the gate has its release started; another is rejected; where nothing was
//! registered, somebody is told why. That an execution was dealt with is noted in its description, last of all: until then, running
//! it again does the same again.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::counts::{Count, EmbeddedMetrics, RELEASES};
use signalbox_aws::endpoints::{Endpoints, ReadEndpoints};
use signalbox_aws::evidence::{REPORT_BYTES_MAX, ReportError, champion_with_metrics, metrics_of};
use signalbox_aws::log;
use signalbox_aws::notices::{Publish, Sns};
use signalbox_aws::refusal::refuse_approval;
use signalbox_aws::registry::{ReadPackages, Registry, WritePackages};
use signalbox_aws::releases::{
    AnswerApprovals, ReadApprovals, ReadReleases, Releases, StartReleases, supersede_waiting,
};
use signalbox_aws::runtime::Function;
use signalbox_aws::storage::{ObjectUri, ReadObjects, S3};
use signalbox_aws::training::{ListTrainings, NoteTrainings, Pipelines, ReadTrainings};
use signalbox_model::event::Event;
use signalbox_model::evidence::{Champion, why};
use signalbox_model::failures::{self, Telling};
use signalbox_model::gate;
use signalbox_model::lineage::{Lineage, Told};
use signalbox_model::mail;
use signalbox_model::metrics::Metrics;
use signalbox_model::names::{ModelName, ModelPackageArn};
use signalbox_model::package::{ApprovalStatus, ModelPackage, Outcome, key, metadata_value};
use signalbox_model::training::{Ending, Execution, ending, has_trained, trained_seconds};

/// How many of the newest executions a sweep looks at: as many as one call lists. A training of days is among them, however many came
/// after it, unless those were a hundred.
const SWEPT_MAX: u8 = 100;
/// How many of the newest versions a sweep looks at, and how old they may be: what waits longer unjudged was looked at before.
const VERSIONS_SWEPT_MAX: u8 = 20;
const VERSIONS_SWEPT_AGE: SignedDuration = SignedDuration::from_hours(24);
/// After how long the event of an approval in the registry, which sync-approval takes, is held for lost.
const APPROVAL_ARRIVES: SignedDuration = SignedDuration::from_mins(5);

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model.
    pub model: ModelName,
    /// Where the trainings write.
    pub bucket: String,
    /// The release pipeline.
    pub release_pipeline: String,
    /// Where notices go.
    pub notices_topic_arn: String,
    /// What the accuracy must be greater than.
    pub accuracy_threshold: f64,
    /// The gate's expression.
    pub gate: String,
    /// Whether a version that passes takes an older one's place that still waits for its approval.
    pub supersede: bool,
}

/// The function.
#[derive(Debug)]
pub struct PipelineStatus {
    settings: Settings,
    pipelines: Pipelines,
    registry: Registry,
    objects: S3,
    releases: Releases,
    endpoints: Endpoints,
    notices: Sns,
    counts: EmbeddedMetrics,
}

impl Function for PipelineStatus {
    fn new(environment: &Environment, sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let model: ModelName = environment.parsed("MODEL_NAME")?;
        Ok(Self {
            counts: EmbeddedMetrics::new(model.as_str()),
            settings: Settings {
                model,
                bucket: environment.required("ARTIFACT_BUCKET")?.to_owned(),
                release_pipeline: environment.required("RELEASE_PIPELINE")?.to_owned(),
                notices_topic_arn: environment.required("NOTICES_TOPIC_ARN")?.to_owned(),
                accuracy_threshold: environment.parsed("ACCURACY_THRESHOLD")?,
                gate: environment.required("GATE")?.to_owned(),
                supersede: environment.parsed("SUPERSEDE_WAITING")?,
            },
            pipelines: Pipelines::new(sdk),
            registry: Registry::new(sdk),
            objects: S3::new(sdk),
            releases: Releases::new(sdk),
            endpoints: Endpoints::new(sdk),
            notices: Sns::new(environment, sdk)?,
        })
    }

    async fn handle(&self, event: Value) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            pipelines: &self.pipelines,
            registry: &self.registry,
            objects: &self.objects,
            releases: &self.releases,
            endpoints: &self.endpoints,
            notices: &self.notices,
            counts: &self.counts,
        };
        handle(&self.settings, &ports, event).await
    }
}

/// What the handler may do.
#[derive(Debug)]
pub struct Ports<'a, P, R, O, S, E, N, C> {
    /// Read, list and note trainings.
    pub pipelines: &'a P,
    /// Read and write versions.
    pub registry: &'a R,
    /// Read evaluation reports.
    pub objects: &'a O,
    /// Start releases; see and answer what waits.
    pub releases: &'a S,
    /// See what serves: the champion.
    pub endpoints: &'a E,
    /// Tell people.
    pub notices: &'a N,
    /// Count what is rejected.
    pub counts: &'a C,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecutionEnded {
    pipeline_execution_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PackageChanged {
    model_package_arn: ModelPackageArn,
}

/// Handles one event.
///
/// # Errors
/// Where the event is none that this function takes, or AWS fails: Lambda then tries again.
pub async fn handle<P, R, O, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, P, R, O, S, E, N, C>,
    event: Value,
) -> Result<Value, anyhow::Error>
where
    P: ReadTrainings + ListTrainings + NoteTrainings,
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    S: StartReleases + ReadApprovals + ReadReleases + AnswerApprovals,
    E: ReadEndpoints,
    N: Publish,
    C: Count,
{
    let event = Event::parse(event)?;
    match event.kind() {
        ("aws.sagemaker", "SageMaker Model Building Pipeline Execution Status Change") => {
            let ExecutionEnded { pipeline_execution_arn } = event.detail()?;
            settle(settings, ports, &pipeline_execution_arn).await?;
        }
        ("aws.sagemaker", "SageMaker Model Package State Change") => {
            let PackageChanged { model_package_arn } = event.detail()?;
            registered(settings, ports, &model_package_arn, None).await?;
        }
        ("signalbox", "Sweep") => {
            for execution in ports.pipelines.executions(settings.model.as_str(), SWEPT_MAX).await? {
                if execution.status.has_ended() && !execution.lineage().handled {
                    tracing::info!(execution = execution.arn, "found by the sweep");
                    settle(settings, ports, &execution.arn).await?;
                }
            }
            let group = settings.model.as_str();
            for summary in ports.registry.newest_packages(group, None, VERSIONS_SWEPT_MAX).await? {
                let age = event.time.zip(summary.created_at);
                let recent = age.is_none_or(|(now, created)| now.duration_since(created) < VERSIONS_SWEPT_AGE);
                if recent && summary.approval != ApprovalStatus::Rejected {
                    registered(settings, ports, &summary.arn, event.time).await?;
                }
            }
        }
        _ => return Err(event.unknown().into()),
    }
    Ok(Value::Null)
}

/// Judges a version that nobody's execution of the model's pipeline has registered: a notebook, another pipeline, another orchestrator.
/// The sweep, which says what time it is, also finds approvals of what the gate has not passed.
async fn registered<P, R, O, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, P, R, O, S, E, N, C>,
    arn: &ModelPackageArn,
    swept_at: Option<Timestamp>,
) -> Result<(), anyhow::Error>
where
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    S: StartReleases + ReadApprovals + ReadReleases + AnswerApprovals,
    E: ReadEndpoints,
    N: Publish,
    C: Count,
{
    log::anew();
    log::version(arn);
    if arn.group() != settings.model.as_str() {
        tracing::info!(group = arn.group(), "a version of another group");
        return Ok(());
    }
    let package = ports.registry.package(arn).await?;
    let changed_long_ago = || {
        let ago = swept_at
            .zip(package.modified_at)
            .map(|(now, at)| now.duration_since(at));
        ago.is_some_and(|ago| ago > APPROVAL_ARRIVES)
    };
    if package.outcome() == Some(Outcome::GateNotMet)
        && package.approval == ApprovalStatus::Approved
        && changed_long_ago()
    {
        let (model, topic) = (&settings.model, &settings.notices_topic_arn);
        refuse_approval(model, &package, ports.registry, ports.notices, topic).await?;
        return Ok(());
    }
    if package.metadata.contains_key(key::GATE) || package.outcome().is_some() {
        return Ok(());
    }
    if package.own_execution(&settings.model).is_some() {
        tracing::info!("the end of its execution will judge it");
        return Ok(());
    }
    judge(settings, ports, arn, &package.lineage(), None).await
}

/// Deals with the end of one execution.
async fn settle<P, R, O, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, P, R, O, S, E, N, C>,
    arn: &str,
) -> Result<(), anyhow::Error>
where
    P: ReadTrainings + ListTrainings + NoteTrainings,
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    S: StartReleases + ReadApprovals + ReadReleases + AnswerApprovals,
    E: ReadEndpoints,
    N: Publish,
    C: Count,
{
    log::anew();
    log::execution(arn);
    let execution = ports.pipelines.execution(arn).await?;
    let lineage = execution.lineage();
    log::trigger(lineage.trigger);
    if lineage.handled || !execution.status.has_ended() {
        tracing::info!(handled = lineage.handled, "nothing to do");
        return Ok(());
    }
    let steps = ports.pipelines.steps(arn).await?;
    let reason = match ending(&execution, &steps) {
        Ending::Running => return Ok(()),
        Ending::Registered(packages) => {
            for package in packages {
                judge(settings, ports, &package, &lineage, trained_seconds(&steps)).await?;
            }
            None
        }
        Ending::Nothing => Some((
            None,
            "the pipeline ended well but registered no version".to_owned(),
            None,
        )),
        Ending::Failed { step, reason, job } => Some((step, reason, job)),
        Ending::Stopped => Some((None, "somebody stopped the execution".to_owned(), None)),
    };
    let told = match reason {
        None => None,
        Some((step, reason, job)) => Some(tell(settings, ports, &execution, step, reason, job).await?),
    };
    let description = execution.handled_description(has_trained(&steps), told);
    ports.pipelines.describe(arn, &description).await?;
    Ok(())
}

/// Tells that a training ended without a version, unless it is one of many.
async fn tell<P, R, O, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, P, R, O, S, E, N, C>,
    execution: &Execution,
    step: Option<String>,
    mut reason: String,
    job: Option<String>,
) -> Result<Told, anyhow::Error>
where
    P: ListTrainings,
    O: ReadObjects,
    N: Publish,
{
    let lineage = execution.lineage();
    let others = if lineage.trigger.is_automatic() {
        ports.pipelines.executions(settings.model.as_str(), SWEPT_MAX).await?
    } else {
        Vec::new()
    };
    let arn = execution.arn.as_str();
    let telling = failures::decide(execution, &others);
    let row = match telling {
        Telling::Count => {
            tracing::warn!(step, reason, "a training failed again; it is only counted");
            return Ok(telling.told());
        }
        Telling::Notice(row) => row,
    };
    let numbers = numbers_of(settings, ports, arn, &mut reason).await?;
    let failed = mail::Failed {
        execution: arn,
        lineage: &lineage,
        step: step.as_deref(),
        reason: &reason,
        job: job.as_deref(),
        numbers: numbers.as_ref(),
        row,
    };
    let notice = mail::training_failed(&settings.model, &failed);
    let topic = &settings.notices_topic_arn;
    ports.notices.publish(topic, &notice, &BTreeMap::new()).await?;
    tracing::info!(step, reason, "told that a training ended without a version");
    Ok(telling.told())
}

/// What the evaluation of a training found, where it came that far. What is wrong with the report is added to the reason.
async fn numbers_of<P, R, O, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, P, R, O, S, E, N, C>,
    arn: &str,
    reason: &mut String,
) -> Result<Option<Metrics>, anyhow::Error>
where
    O: ReadObjects,
{
    let Some(execution) = arn.rsplit('/').next() else {
        return Ok(None);
    };
    // Where the definition that every repository starts with puts it; another place is only not found here.
    let key = format!("training/{execution}/evaluation/evaluation.json");
    let report = match ports
        .objects
        .read(
            &ObjectUri {
                bucket: settings.bucket.clone(),
                key,
            },
            REPORT_BYTES_MAX,
        )
        .await
    {
        Ok(report) => report,
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    match Metrics::from_report(&report) {
        Ok(metrics) => Ok(Some(metrics)),
        Err(error) => {
            reason.push_str(&format!(". The evaluation: {error}"));
            Ok(None)
        }
    }
}

/// What came of judging a version.
struct Judgement {
    held: bool,
    /// For people.
    text: String,
    /// For the registry.
    short: String,
    metrics: Metrics,
    champion: Option<Champion>,
}

/// Judges one version, and starts its release or rejects it.
async fn judge<P, R, O, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, P, R, O, S, E, N, C>,
    arn: &ModelPackageArn,
    lineage: &Lineage,
    trained_seconds: Option<u64>,
) -> Result<(), anyhow::Error>
where
    R: ReadPackages + WritePackages,
    O: ReadObjects,
    S: StartReleases + ReadApprovals + ReadReleases + AnswerApprovals,
    E: ReadEndpoints,
    N: Publish,
    C: Count,
{
    log::version(arn);
    let package = ports.registry.package(arn).await?;
    if package.outcome().is_some() {
        tracing::info!("judged before, and its release has ended");
        return Ok(());
    }
    let judgement = weigh(settings, ports, &package).await?;
    let mut metadata = BTreeMap::from([
        (key::TRIGGER.to_owned(), lineage.trigger.as_str().to_owned()),
        (key::GATE.to_owned(), judgement.short.clone()),
    ]);
    if let Some(commit) = &lineage.commit {
        metadata.insert(key::COMMIT.to_owned(), commit.clone());
    }
    if let Some(at) = lineage.triggered_at() {
        metadata.insert(key::TRIGGERED_AT.to_owned(), at.to_string());
    }
    if let Some(seconds) = trained_seconds {
        metadata.insert(key::TRAINED_SECONDS.to_owned(), seconds.to_string());
    }
    tracing::info!(held = judgement.held, gate = judgement.text, "judged");
    if judgement.held {
        // Judged again, it is the same: when the version was last changed tells which of two decisions on it came first.
        if metadata
            .iter()
            .any(|(key, value)| package.metadata.get(key) != Some(&metadata_value(value)))
        {
            ports.registry.mark(arn, &metadata).await?;
        }
        let pipeline = &settings.release_pipeline;
        let release = ports.releases.start(pipeline, arn, None, &why(lineage)).await?;
        log::release(&release);
        tracing::info!("its release was started, unless it had been");
        if settings.supersede {
            supersede_waiting(ports.releases, ports.registry, pipeline, arn).await?;
        }
        return Ok(());
    }
    // Told and counted first and marked then: who dies in between tells again, but nobody stays untold.
    let Judgement {
        text,
        short,
        metrics,
        champion,
        ..
    } = judgement;
    let notice = mail::gate_not_met(&settings.model, arn.version(), &text, &metrics, champion.as_ref());
    ports
        .notices
        .publish(&settings.notices_topic_arn, &notice, &BTreeMap::new())
        .await?;
    ports.counts.one(&RELEASES, &[Outcome::GateNotMet.as_str()]);
    metadata.insert(key::OUTCOME.to_owned(), Outcome::GateNotMet.as_str().to_owned());
    metadata.insert(key::REASON.to_owned(), short);
    let description = format!("gate not met: {text}");
    ports
        .registry
        .decide(arn, ApprovalStatus::Rejected, &description, &metadata)
        .await?;
    Ok(())
}

/// Weighs a version against threshold and gate. What a person must mend is a judgement too: it does not pass.
async fn weigh<P, R, O, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, P, R, O, S, E, N, C>,
    package: &ModelPackage,
) -> Result<Judgement, anyhow::Error>
where
    R: ReadPackages,
    O: ReadObjects,
    E: ReadEndpoints,
{
    let refused = |text: String, metrics: Metrics, champion: Option<Champion>| {
        let short = format!("not held: {}", text.chars().take(200).collect::<String>());
        Judgement {
            held: false,
            text,
            short,
            metrics,
            champion,
        }
    };
    let metrics = match metrics_of(package, ports.objects).await {
        Ok(metrics) => metrics,
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => {
            return Ok(refused(
                format!("{:#}", anyhow::Error::new(error)),
                Metrics::default(),
                None,
            ));
        }
    };
    let champion = match champion_with_metrics(package, ports.registry, ports.endpoints, ports.objects).await {
        Ok(champion) => champion,
        Err(error) => match error.downcast_ref::<ReportError>() {
            Some(report) if !report.is_transient() => {
                let text =
                    format!("there is nothing to compare with, as the champion's metrics are not to be had: {error:#}");
                return Ok(refused(text, metrics, None));
            }
            _ => return Err(error.context("the champion")),
        },
    };
    let threshold = settings.accuracy_threshold;
    match metrics.get("accuracy") {
        Some(accuracy) if accuracy > threshold => {}
        Some(accuracy) => {
            let text = format!(
                "accuracy {} is not greater than the threshold {threshold}",
                gate::shown(accuracy)
            );
            return Ok(refused(text, metrics, champion));
        }
        None => {
            let text = "the evaluation report has no `accuracy`, which the threshold is about".to_owned();
            return Ok(refused(text, metrics, champion));
        }
    }
    match gate::evaluate(
        &settings.gate,
        &metrics,
        champion.as_ref().map(|champion| &champion.metrics),
    ) {
        Ok(gate::Verdict { held, text, short }) => Ok(Judgement {
            held,
            text,
            short,
            metrics,
            champion,
        }),
        Err(error) => Ok(refused(error.to_string(), metrics, champion)),
    }
}

#[cfg(test)]
mod tests;
