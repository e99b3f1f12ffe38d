//! Takes a deployed version back: the configuration that served well before it serves again.
//!
//! A release of its own, in a pipeline of its own, so that no approval that waits stands in its way. Its configuration is a copy of
//! the one that served well, named after this execution, so that the reconciler sees whose update is whose.

use std::collections::BTreeMap;

use signalbox_aws::alarms::ReadAlarms;
use signalbox_aws::clock::Clock;
use signalbox_aws::configurations::{MakeConfigs, NewConfig, ReadConfigs, ReadTags, WriteTags, tag};
use signalbox_aws::counts::{Count, RELEASES, ROLLBACKS};
use signalbox_aws::endpoints::{ReadEndpoints, UpdateEndpoints};
use signalbox_aws::error::{AwsError, ErrorKind};
use signalbox_aws::job::{Answer, Failure};
use signalbox_aws::log;
use signalbox_aws::registry::{ReadPackages, WritePackages};
use signalbox_aws::scaling::ScaleVariants;
use signalbox_model::endpoint::{Endpoint, Status};
use signalbox_model::mail::{self, TakenBack};
use signalbox_model::names::ModelPackageArn;
use signalbox_model::package::{ApprovalStatus, ModelPackage, Outcome, key};
use signalbox_model::reconcile::{self, Progress, Step, Wanted};
use signalbox_model::rollout;
use signalbox_model::undo::{Cause, Undoes, told_failure};

use crate::{Tools, Work};

/// How many configurations back the last good version is looked for.
const LOOKED_BACK_MAX: usize = 10;

/// What is taken back, and by what.
struct Exchange {
    /// The configuration that is taken back.
    undone: String,
    /// Its version.
    version: u32,
    /// The configuration that this rollback brings.
    config: String,
    /// The configuration of which it is a copy.
    good: Good,
}

/// A configuration that served well.
struct Good {
    name: String,
    version: u32,
    /// What it replaced itself.
    replaced: Option<String>,
}

/// Takes the next step of the rollback.
///
/// # Errors
/// Where it has ended without the last good version serving.
pub(crate) async fn take_back<T: Tools>(work: &Work<'_, T>, undoes: Undoes, reason: &str) -> Result<Answer, Failure> {
    let Work { settings, tools, .. } = work;
    let model = &settings.model;
    let Some(endpoint) = tools.endpoints().endpoint(model.as_str()).await? else {
        return fail(work, "there is no endpoint", "Release a version.").await;
    };
    let mine = |config: &str| {
        let ours = config.ends_with(&format!("-{}", work.id.short()));
        ours.then(|| model.version_of_config(config)).flatten()
    };
    let pending = endpoint.pending.as_ref().map(|pending| pending.config.as_str());
    // Named after this execution: it was made by an earlier try, and is on its way or there.
    let begun = [Some(endpoint.config.as_str()), pending]
        .into_iter()
        .flatten()
        .find(|config| mine(config).is_some());
    if let Some(config) = begun {
        // Where another's update is under way from it, it serves until then: a release that has waited was faster than this look.
        let followed = endpoint.config == config && pending.is_some_and(|pending| mine(pending).is_none());
        return match next(work, &endpoint, config, None).await {
            Step::Serving => {
                let answer = done(work, config, reason).await?;
                work.scale().await?;
                Ok(answer)
            }
            _ if followed => done(work, config, reason).await,
            step => over(work, step).await,
        };
    }
    if work.progress.asked
        && let Some(config) = served_before(work, &endpoint.config, mine).await?
    {
        return done(work, &config, reason).await;
    }
    if !can_be_updated(&endpoint) {
        // Whatever it is, it ends first; a configuration that nobody wants is never in flight.
        return over(work, next(work, &endpoint, "", None).await).await;
    }
    work.unless_ended(&settings.rollback_pipeline).await?;
    let exchange = match find(work, &endpoint, undoes).await? {
        Found::Exchange(exchange) => exchange,
        Found::Nothing(summary) => {
            tracing::info!(summary, "nothing to take back");
            return Ok(Answer::Done {
                summary,
                external_id: None,
                variables: BTreeMap::new(),
            });
        }
        Found::NoWay(reason, what_to_do) => return fail(work, &reason, &what_to_do).await,
    };
    let step = next(work, &endpoint, &exchange.config, None).await;
    if !matches!(step, Step::Update { .. }) {
        return over(work, step).await;
    }
    let Some(base) = tools.endpoints().config(&exchange.good.name).await? else {
        let reason = format!(
            "the configuration {} of the last good version is gone",
            exchange.good.name
        );
        let what_to_do = "Approve that version, or a better one, in the model registry: its release makes a new one.";
        return fail(work, &reason, what_to_do).await;
    };
    let serverless = base.facts.variants.iter().any(|variant| variant.serverless);
    let alarms = tools.alarms().alarms(&settings.rollout.alarms).await?;
    let mut update = rollout::rescue(&settings.rollout, &alarms);
    if serverless {
        update.deployment = None;
        update.keep_count = false;
    }
    if settings.capacity.scaling.is_some() {
        // The instance type that served well may be another one, and SageMaker refuses that while the variant is scaled.
        let (endpoint, variant) = (model.as_str(), settings.variant_name.as_str());
        match tools.scaling().stop_scaling(endpoint, variant).await {
            // A rescue is not held up by what may not matter: SageMaker says so if it does.
            Err(error) if !error.is_transient() => tracing::error!(%error, "the variant is still scaled"),
            done => done?,
        }
    }
    let made_at = tools.endpoints().make_config(&exchange.new_config(work, base)).await?;
    // The configuration was there: an earlier try made it, and may have asked.
    let step = next(work, &endpoint, &exchange.config, made_at).await;
    let Step::Update { from } = step else {
        return over(work, step).await;
    };
    let (version, back_to) = (exchange.version, exchange.good.version);
    let notes = [format!("v{version} is taken back: {reason}")];
    let started = mail::rollout_started(model, back_to, Some(version), None, "all at once", &notes);
    let updated = tools
        .endpoints()
        .update(model.as_str(), &exchange.config, &update)
        .await;
    if updated.as_ref().is_err_and(AwsError::is_final) {
        // What serves goes on serving, and is scaled as before.
        work.scale().await?;
    }
    match updated {
        Ok(()) => {
            tracing::info!(config = exchange.config, undone = exchange.undone, "asked for");
            work.mention(&started).await;
            let progress = Progress {
                asked: true,
                from: Some(from),
                ..Progress::default()
            };
            Ok(work.going_on(
                &progress,
                format!("taking v{version} back: v{back_to} is asked for"),
                10,
            ))
        }
        // Another update was faster, or an earlier try of this one: the next look tells which.
        Err(error) if error.kind == ErrorKind::Busy => {
            let progress = work.progress.refused(Some(&endpoint));
            Ok(work.going_on(&progress, format!("waiting: {}", error.message), 0))
        }
        Err(error) if matches!(error.kind, ErrorKind::Invalid | ErrorKind::NotFound) => {
            fail(work, &error.message, "Release a good version again.").await
        }
        Err(error) => Err(error.into()),
    }
}

impl Exchange {
    fn new_config<T>(&self, work: &Work<'_, T>, base: signalbox_aws::configurations::ServedConfig) -> NewConfig {
        let package = work.settings.group.version(self.good.version).to_string();
        let tags = [
            (tag::MODEL_PACKAGE, Some(package)),
            (tag::RELEASE, Some(work.id.to_string())),
            (tag::UNDOES, Some(self.undone.clone())),
            // What is taken back is nothing to go back to.
            (tag::REPLACES, self.good.replaced.clone()),
        ];
        let tags = tags
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        NewConfig {
            name: self.config.clone(),
            base: Some(base),
            changes: None,
            tags: tags.collect(),
        }
    }
}

/// The configuration of this rollback among those that served before: a release that has waited for it may be done before it looks again.
async fn served_before<T: Tools>(
    work: &Work<'_, T>,
    serving: &str,
    mine: impl Fn(&str) -> Option<u32>,
) -> Result<Option<String>, Failure> {
    let Work { settings, tools, .. } = work;
    let mut config = serving.to_owned();
    for _ in 0..LOOKED_BACK_MAX {
        if settings.model.version_of_config(&config).is_none() {
            break;
        }
        let arn = settings.group.endpoint_config_arn(&config);
        let Some(replaced) = tools.endpoints().tags(&arn).await?.remove(tag::REPLACES) else {
            break;
        };
        if mine(&replaced).is_some() {
            return Ok(Some(replaced));
        }
        config = replaced;
    }
    Ok(None)
}

/// What [`find`] finds.
enum Found {
    Exchange(Exchange),
    /// What should be taken back does not serve.
    Nothing(String),
    /// There is nothing to go back to: why, and what to do.
    NoWay(String, String),
}

/// Whether an update can be asked for.
fn can_be_updated(endpoint: &Endpoint) -> bool {
    endpoint.is_idle() || endpoint.status == Status::UpdateRollbackFailed
}

/// Finds what is to be taken back and the last good version before it.
async fn find<T: Tools>(work: &Work<'_, T>, endpoint: &Endpoint, undoes: Undoes) -> Result<Found, Failure> {
    let Work {
        settings,
        tools,
        id,
        progress,
    } = work;
    let model = &settings.model;
    let undone = endpoint.config.as_str();
    let Some(version) = model.version_of_config(undone) else {
        let what_to_do =
            "Update the endpoint yourself: aws sagemaker update-endpoint --endpoint-name … --endpoint-config-name …";
        return Ok(Found::NoWay(
            format!("{undone} serves, which is no configuration of the train's"),
            what_to_do.to_owned(),
        ));
    };
    log::version_number(version);
    if let Undoes::Version(wanted) = undoes
        && wanted != version
    {
        return Ok(Found::Nothing(format!(
            "nothing to take back: v{version} serves, not v{wanted}"
        )));
    }
    let mut tags = tools
        .endpoints()
        .tags(&settings.group.endpoint_config_arn(undone))
        .await?;
    if undoes == Undoes::Serving && !progress.asked && tags.contains_key(tag::UNDOES) {
        return Ok(Found::NoWay(
            format!("v{version} was brought back by a rollback itself, so that `serving` may not be meant"),
            format!("To go back further, name it: --variables name=Undoes,value={version}"),
        ));
    }
    let mut passed = Vec::new();
    for _ in 0..LOOKED_BACK_MAX {
        let Some(name) = tags.remove(tag::REPLACES) else { break };
        let Some(good) = model.version_of_config(&name) else {
            passed.push(format!("{name}, which is not of the train"));
            break;
        };
        tags = tools
            .endpoints()
            .tags(&settings.group.endpoint_config_arn(&name))
            .await?;
        if good == version {
            // Released again while it served: what is taken back is nothing to go back to.
            continue;
        }
        let arn = settings.group.version(good);
        let package = match tools.registry().package(&arn).await {
            Ok(package) => package,
            Err(error) if error.kind == ErrorKind::NotFound => {
                passed.push(format!("v{good}, which is gone from the registry"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if package.approval == ApprovalStatus::Approved && package.was_deployed() {
            return Ok(Found::Exchange(Exchange {
                undone: undone.to_owned(),
                version,
                config: arn.endpoint_config_name(id),
                good: Good {
                    name,
                    version: good,
                    replaced: tags.remove(tag::REPLACES),
                },
            }));
        }
        passed.push(format!("v{good}, which is {}", standing(&package)));
    }
    let passed = if passed.is_empty() {
        String::new()
    } else {
        format!(" but {}", passed.join(", "))
    };
    Ok(Found::NoWay(
        format!("nothing served before v{version} that can be gone back to{passed}"),
        format!("v{version} goes on serving: release a better version, or delete the endpoint if it must not serve."),
    ))
}

/// Why a version that served before is none to go back to.
fn standing(package: &ModelPackage) -> &'static str {
    match package.outcome() {
        Some(outcome) if outcome != Outcome::Deployed => outcome.as_str(),
        None if package.approval == ApprovalStatus::Approved => "not known to have served through a release",
        _ => package.approval.as_str(),
    }
}

async fn next<T: Tools>(
    work: &Work<'_, T>,
    endpoint: &Endpoint,
    config: &str,
    made_at: Option<jiff::Timestamp>,
) -> Step {
    let wanted = Wanted {
        config,
        made_at,
        serving_made_at: None,
        failure: None,
    };
    let now = work.tools.clock().now();
    reconcile::decide(Some(endpoint), &wanted, &work.progress, &work.settings.rollout, now)
}

/// Answers with a step that is no update.
async fn over<T: Tools>(work: &Work<'_, T>, step: Step) -> Result<Answer, Failure> {
    match step {
        Step::Wait { summary, percent, .. } => Ok(work.going_on(&work.progress, summary, percent)),
        Step::RolledBack { serving, reason } => {
            work.scale().await?;
            let reason = format!("SageMaker took the rollback itself back, and {serving} serves: {reason}");
            fail(
                work,
                &reason,
                "Look at the endpoint's instances and alarms, and release a good version again.",
            )
            .await
        }
        Step::Superseded { serving } => Ok(Answer::Done {
            summary: format!("superseded: another update came after it, and {serving} serves"),
            external_id: None,
            variables: BTreeMap::new(),
        }),
        Step::Stuck { reason } => fail(work, &reason, "See the reason for what to do.").await,
        // Nothing was wanted yet, and what was waited for is over by now.
        Step::Create | Step::Update { .. } | Step::Serving => {
            Ok(work.going_on(&work.progress, "looking again".to_owned(), 0))
        }
    }
}

/// The last good version serves again: what was taken back is marked, and people are told.
async fn done<T: Tools>(work: &Work<'_, T>, config: &str, reason: &str) -> Result<Answer, Failure> {
    let Work { settings, tools, .. } = work;
    let tags = tools
        .endpoints()
        .tags(&settings.group.endpoint_config_arn(config))
        .await?;
    let named = tags.get(tag::UNDOES);
    let undone = named.and_then(|undone| settings.model.version_of_config(undone));
    if let Some(version) = undone {
        log::version_number(version);
    }
    let serving = settings.model.version_of_config(config);
    if let Some((named, version)) = named.zip(undone) {
        let mut tags = tools
            .endpoints()
            .tags(&settings.group.endpoint_config_arn(named))
            .await?;
        let release = tags.remove(tag::RELEASE).filter(|_| !tags.contains_key(tag::UNDOES));
        mark(work, &settings.group.version(version), release, serving, reason).await?;
    }
    tracing::info!(config, "taken back");
    let version = |version: Option<u32>| version.map_or_else(|| "another".to_owned(), |version| format!("v{version}"));
    Ok(Answer::Done {
        summary: format!(
            "{} serves again; {} was taken back: {reason}",
            version(serving),
            version(undone)
        ),
        external_id: Some(config.to_owned()),
        variables: BTreeMap::from([("EndpointConfigName".to_owned(), config.to_owned())]),
    })
}

/// Marks a version as taken back, and tells. `release` is the one that brought it: where the rollback was faster than that one's own
/// look, nobody else has said whose outcome it is.
async fn mark<T: Tools>(
    work: &Work<'_, T>,
    arn: &ModelPackageArn,
    release: Option<String>,
    serving: Option<u32>,
    reason: &str,
) -> Result<(), Failure> {
    let Work {
        settings, tools, id, ..
    } = work;
    let package = match tools.registry().package(arn).await {
        Ok(package) => package,
        // A configuration made by hand may be named after a version that never was.
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if package.metadata.get(key::UNDONE_BY).map(String::as_str) == Some(id.as_str()) {
        return Ok(());
    }
    let alarm = settings
        .rollout
        .alarms
        .iter()
        .find(|alarm| reason.contains(alarm.as_str()));
    let endpoint_url = arn.endpoint_console_url(settings.model.as_str());
    let log_url = arn.endpoint_log_url(settings.model.as_str());
    let back = TakenBack {
        serving,
        alarm: alarm.map(String::as_str),
        numbers: None,
        reason,
        endpoint_url: &endpoint_url,
        log_url: &log_url,
    };
    // Told and counted first and marked then: who dies in between tells again, but nobody stays untold.
    work.tell(&mail::rolled_back(&settings.model, arn.version(), &back))
        .await?;
    tools.counts().one(&RELEASES, &[Outcome::RolledBack.as_str()]);
    tools.counts().one(&ROLLBACKS, &[Cause::of(reason).as_str()]);
    let mut metadata = BTreeMap::from([
        (key::OUTCOME.to_owned(), Outcome::RolledBack.as_str().to_owned()),
        (key::REASON.to_owned(), reason.to_owned()),
        (key::UNDONE_BY.to_owned(), id.to_string()),
    ]);
    metadata.extend(release.map(|release| (key::RELEASE.to_owned(), release)));
    // Quarantine: approving it anew in the registry is what releases it.
    let description = format!("rolled back: {reason}");
    tools
        .registry()
        .decide(arn, ApprovalStatus::Rejected, &description, &metadata)
        .await?;
    Ok(())
}

async fn fail<T: Tools>(work: &Work<'_, T>, reason: &str, what_to_do: &str) -> Result<Answer, Failure> {
    let Work { settings, tools, .. } = work;
    let endpoint_url = settings.group.version(1).endpoint_console_url(settings.model.as_str());
    work.tell(&mail::rollback_failed(
        &settings.model,
        reason,
        what_to_do,
        &endpoint_url,
    ))
    .await?;
    // A failure that has no such note is told by endpoint-status.
    let endpoint = settings.group.endpoint_arn(settings.model.as_str());
    let note = told_failure(work.id, tools.clock().now());
    if let Err(error) = tools.endpoints().tag(&endpoint, tag::TOLD_ROLLBACK, &note).await {
        tracing::warn!(%error, "told, and will be told again");
    }
    Err(Failure::failed(format!("{reason}. {what_to_do}")))
}
