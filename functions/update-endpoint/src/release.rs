//! Brings an approved version to the endpoint.

use std::collections::BTreeMap;

use signalbox_aws::alarms::ReadAlarms;
use signalbox_aws::clock::Clock;
use signalbox_aws::configurations::{
    MakeConfigs, NewConfig, NewModel, ReadConfigs, ReadTags, ServedConfig, WriteTags, tag,
};
use signalbox_aws::counts::{Count, Measure, PUSH_TO_SERVING, RELEASES, ROLLBACKS, TRIGGER_TO_SERVING};
use signalbox_aws::endpoints::{CreateEndpoints, ReadEndpoints, UpdateEndpoints};
use signalbox_aws::error::{AwsError, ErrorKind};
use signalbox_aws::job::{Answer, Failure};
use signalbox_aws::log;
use signalbox_aws::macs::GenerateMac;
use signalbox_aws::registry::{ReadPackages, WritePackages};
use signalbox_aws::releases::StartRollbacks;
use signalbox_aws::scaling::ScaleVariants;
use signalbox_model::capacity::{self, Fleet};
use signalbox_model::decision::Decision;
use signalbox_model::endpoint::Endpoint;
use signalbox_model::happening::Shift;
use signalbox_model::lineage::Trigger;
use signalbox_model::mail::{self, TakeBack, TakenBack};
use signalbox_model::names::ModelPackageArn;
use signalbox_model::notice::Notice;
use signalbox_model::package::{ApprovalStatus, Container, ModelPackage, Outcome, key, of_release};
use signalbox_model::reconcile::{self, Progress, Step, Wanted};
use signalbox_model::rollout::{self, Update};
use signalbox_model::undo::{Cause, Claims, LINK_LIFETIME, alarm_fired, was_rejected};

use crate::{Tools, Work, clear};

/// Takes the next step of the release of a version.
///
/// # Errors
/// Where the release has ended without the version serving.
pub(crate) async fn bring<T: Tools>(work: &Work<'_, T>, arn: &ModelPackageArn) -> Result<Answer, Failure> {
    let Work {
        settings,
        tools,
        id,
        progress,
    } = work;
    if arn.group() != settings.model.as_str() {
        let reason = format!(
            "`modelPackage` is a version of `{}`, not of `{}`",
            arn.group(),
            settings.model
        );
        return Err(Failure::configuration(reason));
    }
    log::version(arn);
    let config = arn.endpoint_config_name(id);
    // The endpoint first: what fires until then is on the version when that is read.
    let endpoint = tools.endpoints().endpoint(settings.model.as_str()).await?;
    let decide = |wanted: &Wanted<'_>| {
        let now = tools.clock().now();
        reconcile::decide(endpoint.as_ref(), wanted, progress, &settings.rollout, now)
    };
    let wanted = Wanted {
        config: &config,
        made_at: None,
        serving_made_at: None,
        failure: None,
    };
    // While it waits, and it mostly does, the version need not be read.
    if let Step::Wait {
        summary,
        percent,
        shift,
    } = decide(&wanted)
    {
        return Ok(wait(work, arn.version(), summary, percent, shift).await);
    }
    let package = tools.registry().package(arn).await?;
    let release = Release {
        work,
        package: &package,
        config: &config,
        endpoint: endpoint.as_ref(),
    };
    if let Some(ended) = release.ended() {
        ended?;
        // It may have ended by the configuration of the release that it was for.
        let serving = release.serving_it().unwrap_or(&config);
        return release.by(serving).after_deployed(true).await;
    }
    let wanted = Wanted {
        failure: package.failure_of(id),
        ..wanted
    };
    let mut step = decide(&wanted);
    // Nor does a release end here whose approval the registry does not know yet: what is marked as ended is not settled any more.
    if matches!(step, Step::Create | Step::Update { .. } | Step::Stuck { .. })
        && let Some(not_yet) = release.unless_settled().await?
    {
        return Ok(not_yet);
    }
    if matches!(step, Step::Create | Step::Update { .. }) {
        work.unless_ended(&settings.release_pipeline).await?;
        if let Some(serving) = release.unfinished().await? {
            return release.adopt(serving).await;
        }
        let prepared = match release.prepare(&step).await? {
            Ok(prepared) => prepared,
            Err(refusal) => {
                let what_to_do = "Mend it, deploy the stack if a parameter was changed, and retry the stage.";
                return release.fail(&refusal, what_to_do).await;
            }
        };
        // The configuration was there: whether the update was asked for before is known by its age.
        step = decide(&Wanted {
            made_at: prepared.made_at,
            serving_made_at: prepared.serving_made_at,
            ..wanted
        });
        match &step {
            Step::Create => return release.create(&prepared).await,
            Step::Update { from } => return release.update(&prepared, from).await,
            _ => {}
        }
    }
    match step {
        Step::Serving => release.served().await,
        Step::RolledBack { serving, reason } => release.rolled_back(&serving, &reason).await,
        Step::Superseded { serving } => release.superseded(&serving).await,
        Step::Stuck { reason } => release.fail(&reason, "See the reason for what to do.").await,
        Step::Wait {
            summary,
            percent,
            shift,
        } => Ok(wait(work, arn.version(), summary, percent, shift).await),
        // Decided above, and taken.
        Step::Create | Step::Update { .. } => Ok(work.going_on(progress, format!("{config}: looking again"), 0)),
    }
}

/// Goes on, and tells of a share of the traffic that was not told of yet.
async fn wait<T: Tools>(
    work: &Work<'_, T>,
    version: u32,
    summary: String,
    percent: u8,
    shift: Option<Shift>,
) -> Answer {
    let mut progress = work.progress.clone();
    if let Some(shift) = shift.filter(|shift| progress.told != Some(*shift)) {
        let model = &work.settings.model;
        let notice = mail::traffic_shifted(model, version, shift.share, shift.watched_seconds);
        work.mention(&notice).await;
        progress.told = Some(shift);
    }
    work.going_on(&progress, summary, percent)
}

/// One release of one version.
struct Release<'a, T> {
    work: &'a Work<'a, T>,
    package: &'a ModelPackage,
    /// The endpoint configuration that it brings.
    config: &'a str,
    /// The endpoint as it was seen.
    endpoint: Option<&'a Endpoint>,
}

/// What an update needs, all of it there.
struct Prepared {
    fleet: Fleet,
    update: Update,
    /// What is worth telling of the plan.
    notes: Vec<String>,
    /// Whether the variant is scaled, and gets another instance type.
    changes_instance_type: bool,
    made_at: Option<jiff::Timestamp>,
    serving_made_at: Option<jiff::Timestamp>,
}

impl<T: Tools> Release<'_, T> {
    /// How this very release has ended, if it has: the event that starts it may be repeated long after, when another version serves.
    fn ended(&self) -> Option<Result<(), Failure>> {
        let label = self.package.arn.label();
        match self.package.outcome_of(self.work.id)? {
            Outcome::Deployed => Some(Ok(())),
            Outcome::RolledBack => {
                let reason = self.package.metadata.get(key::REASON);
                let reason = reason.map_or("rolled back; no reason is kept", String::as_str);
                Some(Err(Failure::failed(format!("{label} was taken back: {reason}"))))
            }
            // A failed stage is retried, and what stood in its way may be gone.
            _ => None,
        }
    }

    /// The configuration that serves, where it is one of this version.
    fn serving_it(&self) -> Option<&str> {
        let serving = self.endpoint.filter(|endpoint| endpoint.is_idle())?.config.as_str();
        let version = self.work.settings.model.version_of_config(serving)?;
        (version == self.package.arn.version()).then_some(serving)
    }

    /// The same release, by another configuration.
    fn by<'b>(&'b self, config: &'b str) -> Release<'b, T> {
        Release { config, ..*self }
    }

    /// What serves, where that is the version already, by a release that never came to say so: its deployment got no answer.
    async fn unfinished(&self) -> Result<Option<&str>, Failure> {
        let Some(serving) = self.serving_it().filter(|_| self.package.outcome().is_none()) else {
            return Ok(None);
        };
        // What was made by hand may have such a name.
        let config_arn = self.package.arn.endpoint_config_arn(serving);
        let tags = self.work.tools.endpoints().tags(&config_arn).await?;
        Ok(tags.contains_key(tag::RELEASE).then_some(serving))
    }

    /// Ends what another release has begun: an update from the version to itself, rolled back, would leave it serving and say that it
    /// does not. The configuration is this release's from now on.
    async fn adopt(&self, serving: &str) -> Result<Answer, Failure> {
        let Work { tools, id, .. } = self.work;
        tracing::info!(config = serving, "the version serves already");
        let config_arn = self.package.arn.endpoint_config_arn(serving);
        tools.endpoints().tag(&config_arn, tag::RELEASE, id.as_str()).await?;
        self.by(serving).served().await
    }

    /// Nothing is begun before registry and pipeline agree on the approval, which the event of its end sees to, or after somebody
    /// has rejected the version since.
    async fn unless_settled(&self) -> Result<Option<Answer>, Failure> {
        let Work {
            settings, id, progress, ..
        } = self.work;
        let arn = &self.package.arn;
        let Some(decision) = self.package.decision_of(id) else {
            let summary = "waiting until the model registry knows of the approval, too".to_owned();
            return Ok(Some(self.work.going_on(progress, summary, 0)));
        };
        if decision == Decision::Approve && self.package.approval != ApprovalStatus::Rejected {
            return Ok(None);
        }
        let rejected = self.package.decided(&settings.model);
        let reason = match rejected.filter(|decided| decided.decision == Decision::Reject) {
            Some(decided) => {
                // Who has changed their mind is who decided.
                let metadata = decided.metadata(id, decided.at);
                let notice = mail::rejected(
                    &settings.model,
                    arn.version(),
                    &decided.by,
                    decided.at,
                    &decided.comment,
                );
                self.end(Outcome::Rejected, &decided.description(), metadata, &notice)
                    .await?;
                decided.description()
            }
            // Approved again since: that asks for another release. Of this one it was told when it was marked.
            None => {
                let reason = self.package.metadata.get(key::REASON);
                reason.cloned().unwrap_or_else(|| "rejected".to_owned())
            }
        };
        let label = arn.label();
        Err(Failure::configuration(format!("{label} is not deployed: {reason}")))
    }

    /// Only what was approved and has passed the gate ever takes traffic.
    fn may_be_deployed(&self) -> Result<&Container, String> {
        let label = self.package.arn.label();
        if self.package.approval != ApprovalStatus::Approved {
            let status = self.package.approval.as_str();
            return Err(format!(
                "{label} is {status} in the model registry; only an approved version is deployed"
            ));
        }
        if !self.package.gate_held() {
            return Err(format!("{label} has not passed the gate; it is not deployed"));
        }
        match self.package.containers.as_slice() {
            [container] => Ok(container),
            containers => {
                let count = containers.len();
                Err(format!(
                    "{label} has {count} containers in its inference specification; one is taken"
                ))
            }
        }
    }

    /// Makes the plan, and then, if it can work, what is to be deployed. The inner error is why it can't: nothing was made then.
    async fn prepare(&self, step: &Step) -> Result<Result<Prepared, String>, Failure> {
        let Work { settings, tools, .. } = self.work;
        let container = match self.may_be_deployed() {
            Ok(container) => container,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let serving = match step {
            Step::Update { from } => tools.endpoints().config(from).await?,
            _ => None,
        };
        let facts = serving.as_ref().map(|serving| &serving.facts);
        let served_by = facts.and_then(|facts| {
            facts
                .variants
                .iter()
                .find(|variant| variant.name == settings.variant_name)
        });
        if let (Some(facts), None) = (facts, served_by) {
            let names: Vec<_> = facts.variants.iter().map(|variant| variant.name.as_str()).collect();
            return Ok(Err(format!(
                "no variant of the endpoint is called {}, and SageMaker keeps the names in an update with alarms; set VariantName to \
                 what it has: {}",
                settings.variant_name,
                names.join(", ")
            )));
        }
        let fleet = capacity::fleet(&settings.capacity, &settings.variant_name, self.endpoint, facts);
        let alarms = tools.alarms().alarms(&settings.rollout.alarms).await?;
        let update = match rollout::plan(&settings.rollout, &fleet, &settings.instance_type, facts, &alarms) {
            Ok(update) => update,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let network = match (&settings.network, served_by) {
            (Some(network), _) => network.clone(),
            (None, Some(variant)) => tools.endpoints().network(&variant.model).await?,
            (None, None) => Default::default(),
        };
        let model = self.package.arn.model_name();
        tools
            .endpoints()
            .make_model(&NewModel {
                name: &model,
                container,
                role_arn: &settings.execution_role_arn,
                network: &network,
            })
            .await?;
        let notes = if fleet.keep && fleet.instances != settings.capacity.count {
            vec![format!(
                "{} instances are kept, as the endpoint was scaled to; the template begins with {}",
                fleet.instances, settings.capacity.count
            )]
        } else {
            Vec::new()
        };
        let serving_made_at = facts.and_then(|facts| facts.made_at);
        // Several types have no name of their own, and become one.
        let another_type = served_by.is_some_and(|variant| {
            !variant.serverless && variant.instance_type.as_deref() != Some(settings.instance_type.as_str())
        });
        let changes_instance_type = settings.capacity.scaling.is_some() && another_type;
        let config = self.new_config(serving, model, &fleet, step);
        let made_at = tools.endpoints().make_config(&config).await?;
        Ok(Ok(Prepared {
            fleet,
            update,
            notes,
            changes_instance_type,
            made_at,
            serving_made_at,
        }))
    }

    fn new_config(&self, base: Option<ServedConfig>, model: String, fleet: &Fleet, step: &Step) -> NewConfig {
        let arn = &self.package.arn;
        let metadata = |name: &str| self.package.metadata.get(name).cloned();
        let replaced = match step {
            Step::Update { from } => Some(from.clone()),
            _ => None,
        };
        let tags = [
            (tag::MODEL_PACKAGE, Some(arn.to_string())),
            (tag::RELEASE, Some(self.work.id.to_string())),
            (tag::COMMIT, metadata(key::COMMIT)),
            (tag::APPROVER, metadata(key::DECIDED_BY)),
            (tag::REPLACES, replaced),
        ];
        let tags = tags
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        NewConfig {
            name: self.config.to_owned(),
            base,
            changes: Some(self.work.settings.changes(model, fleet)),
            tags: tags.collect(),
        }
    }

    fn approved_by(&self) -> Option<&str> {
        self.package.metadata.get(key::DECIDED_BY).map(String::as_str)
    }

    async fn create(&self, prepared: &Prepared) -> Result<Answer, Failure> {
        let Work { settings, tools, .. } = self.work;
        let instances = prepared.fleet.instances;
        let plan = format!("a new endpoint with {instances} x {}", settings.instance_type);
        let version = self.package.arn.version();
        let started = mail::rollout_started(
            &settings.model,
            version,
            None,
            self.approved_by(),
            &plan,
            &prepared.notes,
        );
        let created = tools.endpoints().create(settings.model.as_str(), self.config).await;
        self.asked(created, None, &started).await
    }

    async fn update(&self, prepared: &Prepared, from: &str) -> Result<Answer, Failure> {
        let Work { settings, tools, .. } = self.work;
        let plan = match &prepared.update.deployment {
            Some(_) => settings.rollout.describe(prepared.fleet.instances),
            None => "all at once, and no alarm rolls it back, as the endpoint is serverless".to_owned(),
        };
        let serving = settings.model.version_of_config(from);
        let version = self.package.arn.version();
        let started = mail::rollout_started(
            &settings.model,
            version,
            serving,
            self.approved_by(),
            &plan,
            &prepared.notes,
        );
        if prepared.changes_instance_type {
            // SageMaker refuses another instance type while the variant is scaled; at the end it is again.
            let (endpoint, variant) = (settings.model.as_str(), settings.variant_name.as_str());
            tools.scaling().stop_scaling(endpoint, variant).await?;
        }
        let updated = tools
            .endpoints()
            .update(settings.model.as_str(), self.config, &prepared.update)
            .await;
        if prepared.changes_instance_type && updated.as_ref().is_err_and(AwsError::is_final) {
            // What serves goes on serving, and is scaled as before.
            self.work.scale().await?;
        }
        self.asked(updated, Some(from), &started).await
    }

    /// What SageMaker said to the request.
    async fn asked(&self, done: Result<(), AwsError>, from: Option<&str>, started: &Notice) -> Result<Answer, Failure> {
        let Work { settings, progress, .. } = self.work;
        let config = self.config;
        match done {
            Ok(()) => {
                tracing::info!(config, strategy = settings.rollout.strategy.as_str(), "asked for");
                self.work.mention(started).await;
                let progress = Progress {
                    asked: true,
                    from: from.map(str::to_owned),
                    ..Progress::default()
                };
                Ok(self.work.going_on(&progress, format!("{config}: asked for"), 1))
            }
            // Another update was faster, or an earlier try of this one: the next look tells which.
            Err(error) if matches!(error.kind, ErrorKind::Busy | ErrorKind::Exists) => {
                let progress = progress.refused(self.endpoint);
                Ok(self.work.going_on(&progress, format!("waiting: {}", error.message), 0))
            }
            Err(error) if error.kind == ErrorKind::Invalid => {
                self.fail(&error.message, "Mend what SageMaker refuses, and retry the stage.")
                    .await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The version serves.
    async fn served(&self) -> Result<Answer, Failure> {
        let Work {
            settings,
            tools,
            progress,
            ..
        } = self.work;
        let arn = &self.package.arn;
        let from = match &progress.from {
            Some(from) => Some(from.clone()),
            // The endpoint was created: nothing was replaced.
            None if progress.asked => None,
            // Where the token was lost, the configuration itself knows.
            None => {
                let config_arn = arn.endpoint_config_arn(self.config);
                tools.endpoints().tags(&config_arn).await?.remove(tag::REPLACES)
            }
        };
        let link = match &from {
            Some(_) => Some(self.take_back_link().await?),
            // What has replaced nothing can't be gone back from.
            None => None,
        };
        let take_back = link.as_deref().map(|link| TakeBack {
            link,
            pipeline: &settings.rollback_pipeline,
        });
        let previous = from.as_deref().and_then(|from| settings.model.version_of_config(from));
        let strategy = settings.rollout.strategy.as_str();
        let detail = format!("The endpoint configuration is {}.", self.config);
        let notice = mail::deployed(
            &settings.model,
            arn.version(),
            previous,
            self.approved_by(),
            strategy,
            &detail,
            take_back.as_ref(),
        );
        self.end(
            Outcome::Deployed,
            &format!("served by {}", self.config),
            BTreeMap::new(),
            &notice,
        )
        .await?;
        self.after_deployed(from.is_some()).await
    }

    /// The link that takes this release back.
    async fn take_back_link(&self) -> Result<String, Failure> {
        let Work {
            settings, tools, id, ..
        } = self.work;
        let now = tools.clock().now();
        let claims = Claims {
            package: self.package.arn.clone(),
            release: (*id).clone(),
            expires: now.checked_add(LINK_LIFETIME).unwrap_or(now),
        };
        let mac = tools.macs().generate(claims.message()).await?;
        Ok(claims.url(&settings.page_url, &mac))
    }

    /// What is done once the version serves: all of it can be done again. What has replaced nothing leaves nothing to clear away.
    async fn after_deployed(&self, replaced: bool) -> Result<Answer, Failure> {
        self.work.scale().await?;
        let Work {
            settings, tools, id, ..
        } = self.work;
        let arn = &self.package.arn;
        // An alarm that went off while the old fleet was taken down was too late for SageMaker, and is no change any more for the
        // rule that watches afterwards: it fires still, or was kept.
        let alarms = tools.alarms().alarms(&settings.rollout.alarms).await?;
        let firing = alarms.iter().find(|alarm| alarm.firing);
        let firing = firing.map(|alarm| (alarm.name.as_str(), alarm.reason.as_str()));
        let fired = firing.or(self.package.alarm_of(id));
        let fired = fired.map(|(alarm, saw)| alarm_fired(alarm, "as the version took over", saw));
        // An update can't be called off: who rejected the version meanwhile is heard now.
        let rejected = self.package.approval == ApprovalStatus::Rejected;
        let rejected = rejected.then(|| was_rejected(" while it was deployed"));
        if let Some(reason) = fired.or(rejected) {
            let rollback = tools
                .rollbacks()
                .roll_back(&settings.rollback_pipeline, arn.version(), id, &reason)
                .await?;
            tracing::warn!(reason, %rollback, "deployed, and taken back");
        } else if replaced {
            clear::clear(self.work, arn, self.config).await;
        }
        Ok(Answer::Done {
            summary: format!("{} serves all traffic, by {}", arn.label(), self.config),
            external_id: Some(self.config.to_owned()),
            variables: BTreeMap::from([("EndpointConfigName".to_owned(), self.config.to_owned())]),
        })
    }

    async fn rolled_back(&self, serving: &str, reason: &str) -> Result<Answer, Failure> {
        let Work { settings, tools, .. } = self.work;
        let arn = &self.package.arn;
        let alarms = tools.alarms().alarms(&settings.rollout.alarms).await?;
        // SageMaker's reason names the alarm; where it does not, the one that fires now is named.
        let alarm = alarms
            .iter()
            .find(|alarm| reason.contains(alarm.name.as_str()))
            .or(alarms.iter().find(|alarm| alarm.firing));
        let name = alarm.map(|alarm| alarm.name.as_str());
        // What it saw when it fired: its own words while it fires, what was kept of them after.
        let kept = self.package.alarm_of(self.work.id);
        let numbers = alarm.filter(|alarm| alarm.firing).map(|alarm| alarm.reason.as_str());
        let numbers = numbers.or(kept.filter(|(kept, _)| name == Some(*kept)).map(|(_, saw)| saw));
        let endpoint_url = arn.endpoint_console_url(settings.model.as_str());
        let log_url = arn.endpoint_log_url(settings.model.as_str());
        let back = TakenBack {
            serving: settings.model.version_of_config(serving),
            alarm: name,
            numbers,
            reason,
            endpoint_url: &endpoint_url,
            log_url: &log_url,
        };
        let notice = mail::rolled_back(&settings.model, arn.version(), &back);
        self.work.scale().await?;
        let by = name.map_or_else(String::new, |name| format!(" by the alarm {name}"));
        self.end(
            Outcome::RolledBack,
            &format!("rolled back{by}: {reason}"),
            BTreeMap::from([(key::FAILURE.to_owned(), of_release(self.work.id.short(), reason))]),
            &notice,
        )
        .await?;
        Err(Failure::failed(format!(
            "{} was rolled back{by}; {serving} serves. SageMaker says: {reason}",
            arn.label()
        )))
    }

    async fn superseded(&self, serving: &str) -> Result<Answer, Failure> {
        let Work { settings, tools, .. } = self.work;
        let arn = &self.package.arn;
        if settings.model.version_of_config(serving).is_some() {
            let tags = tools.endpoints().tags(&arn.endpoint_config_arn(serving)).await?;
            if tags.get(tag::UNDOES).is_some_and(|undone| undone == self.config) {
                // Faster than our look: the rollback marks the version and tells.
                return Err(Failure::failed(format!(
                    "{} was deployed and taken back at once; {serving} serves",
                    arn.label()
                )));
            }
        }
        let notice = mail::superseded(&settings.model, arn.version(), serving);
        let reason = format!("superseded: {serving} serves");
        self.end(Outcome::Superseded, &reason, BTreeMap::new(), &notice).await?;
        Err(Failure::failed(format!(
            "{} was superseded: another update came after it, and {serving} serves",
            arn.label()
        )))
    }

    async fn fail(&self, reason: &str, what_to_do: &str) -> Result<Answer, Failure> {
        let (model, arn) = (&self.work.settings.model, &self.package.arn);
        let log_url = arn.endpoint_log_url(model.as_str());
        let notice = mail::release_failed(model, arn.version(), reason, what_to_do, &log_url);
        self.end(Outcome::Failed, reason, BTreeMap::new(), &notice).await?;
        Err(Failure::configuration(format!("{reason}. {what_to_do}")))
    }

    /// Counts an end, before it is marked, and how long the way to it was.
    fn count(&self, outcome: Outcome) {
        let Work { tools, id, .. } = self.work;
        let counts = tools.counts();
        counts.one(&RELEASES, &[outcome.as_str()]);
        match outcome {
            Outcome::RolledBack => counts.one(&ROLLBACKS, &[Cause::Deployment.as_str()]),
            Outcome::Deployed => {
                if let Some((trigger, seconds)) = self.package.way(id, tools.clock().now()) {
                    let push = trigger == Trigger::Push;
                    let metric = if push { &PUSH_TO_SERVING } else { &TRIGGER_TO_SERVING };
                    counts.seconds(metric, seconds);
                }
            }
            _ => {}
        }
    }

    /// Tells, counts and marks, once: told first, so that who dies in between tells again, but nobody stays untold. `metadata` is what else
    /// is to be kept of the end.
    async fn end(
        &self,
        outcome: Outcome,
        reason: &str,
        mut metadata: BTreeMap<String, String>,
        notice: &Notice,
    ) -> Result<(), Failure> {
        let Work { tools, id, .. } = self.work;
        let kept = &self.package.metadata;
        if self.package.outcome_of(id) == Some(outcome) && kept.contains_key(key::REASON) {
            return Ok(());
        }
        self.work.tell(notice).await?;
        self.count(outcome);
        metadata.extend([
            (key::OUTCOME.to_owned(), outcome.as_str().to_owned()),
            (key::REASON.to_owned(), reason.to_owned()),
            (key::RELEASE.to_owned(), id.to_string()),
        ]);
        if outcome == Outcome::Deployed {
            metadata.insert(key::DEPLOYED_AT.to_owned(), tools.clock().now().to_string());
        }
        let arn = &self.package.arn;
        if matches!(outcome, Outcome::RolledBack | Outcome::Rejected) {
            // Quarantine: it is not deployed again by itself, and approving it anew in the registry is what releases it. Of what was
            // rejected already this keeps who did.
            tools
                .registry()
                .decide(arn, ApprovalStatus::Rejected, reason, &metadata)
                .await?;
        } else {
            tools.registry().mark(arn, &metadata).await?;
        }
        tracing::info!(outcome = outcome.as_str(), reason, "the release has ended");
        Ok(())
    }
}
