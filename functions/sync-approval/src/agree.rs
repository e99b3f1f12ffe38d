//! Has registry, pipeline and people agree on one release.

use std::collections::BTreeMap;

use signalbox_aws::counts::{APPROVAL_WAIT, Count, Measure, RELEASES};
use signalbox_aws::log;
use signalbox_aws::notices::Publish;
use signalbox_aws::registry::{ReadPackages, WritePackages};
use signalbox_aws::releases::{AnswerApprovals, ReadApprovals, ReadReleases, StartReleases};
use signalbox_model::decision::{Decided, Decision, TRAIN};
use signalbox_model::mail;
use signalbox_model::names::{ModelName, ModelPackageArn, ReleaseId};
use signalbox_model::notice::Notice;
use signalbox_model::package::{ApprovalStatus, ModelPackage, key};
use signalbox_model::settle::{Approval, Ending, Seen, Step, settle, waited};

use crate::{Ports, Settings};

/// How many steps one event takes at most: answer, record, and see that it is so.
const STEPS_MAX: usize = 4;

/// What came of it.
pub(crate) struct Agreed {
    /// Whether there was anything to be done.
    pub(crate) changed: bool,
    /// The version as it is, where it was read and nothing was done.
    pub(crate) package: Option<ModelPackage>,
}

impl Agreed {
    const CHANGED: Self = Self {
        changed: true,
        package: None,
    };
}

/// Does what is to be done so that registry, pipeline and people agree on a release. The approval is as it was `seen`, where it was.
pub(crate) async fn agree<R, S, E, N, C>(
    settings: &Settings,
    ports: &Ports<'_, R, S, E, N, C>,
    release: &ReleaseId,
    arn: &ModelPackageArn,
    mut seen: Option<Seen>,
) -> Result<Agreed, anyhow::Error>
where
    R: ReadPackages + WritePackages,
    S: StartReleases + ReadApprovals + ReadReleases + AnswerApprovals,
    N: Publish,
    C: Count + Measure,
{
    let Ports {
        registry,
        releases,
        notices,
        counts,
        ..
    } = *ports;
    let pipeline = &settings.release_pipeline;
    let (model, version) = (&settings.model, arn.version());
    log::version(arn);
    log::release(release);
    let tell = async |notice: &Notice| {
        let topic = &settings.notices_topic_arn;
        notices.publish(topic, notice, &BTreeMap::new()).await
    };
    for step in 0..STEPS_MAX {
        let package = registry.package(arn).await?;
        let now = match seen.take() {
            Some(seen) => Some(seen),
            None => releases.approval_of(pipeline, release).await?,
        };
        let Some(now) = now else {
            return Ok(Agreed {
                changed: false,
                package: Some(package),
            });
        };
        let approval = Approval::read(model, &now);
        // Where the decision is marked, the page has measured that.
        let measure = |stands: &Decided| {
            let waited = waited(now.since, stands, approval.ended());
            if let Some(seconds) = waited.filter(|_| package.decision_of(release).is_none()) {
                counts.seconds(&APPROVAL_WAIT, seconds);
            }
        };
        match settle(
            model,
            &package,
            release,
            &approval,
            &settings.approvers,
            settings.approvals_needed,
        ) {
            Step::Undecided | Step::Settled => {
                return Ok(Agreed {
                    changed: step > 0,
                    package: Some(package),
                });
            }
            Step::Answer(decided) => {
                let approved = decided.decision == Decision::Approve;
                let summary = decided.description();
                let waits = releases.waiting(pipeline).await?;
                if let Some(waits) = waits.filter(|waits| waits.release == *release) {
                    let first = releases.answer(pipeline, &waits.token, approved, &summary).await?;
                    tracing::info!(approved, first, summary, "the pipeline was told");
                }
            }
            Step::Approve { stands, lost } => {
                if let Some(lost) = lost {
                    tell(&crossed(model, version, &stands, &lost)).await?;
                }
                tracing::info!(by = stands.by, "approved");
                measure(&stands);
                let metadata = stands.metadata(release, approval.ended());
                registry
                    .decide(arn, ApprovalStatus::Approved, &stands.description(), &metadata)
                    .await?;
                return Ok(Agreed::CHANGED);
            }
            Step::Restart { stands, lost } => {
                let reason = stands.description();
                let anew = releases.start(pipeline, arn, Some(release), &reason).await?;
                tracing::info!(%anew, reason, "released anew, as it was approved first");
                if let Some(lost) = lost {
                    tell(&crossed(model, version, &stands, &lost)).await?;
                }
                measure(&stands);
                let metadata = stands.metadata(release, approval.ended());
                registry
                    .decide(arn, ApprovalStatus::Approved, &reason, &metadata)
                    .await?;
                return Ok(Agreed::CHANGED);
            }
            Step::End { ending, lost } => {
                // Told and counted first and marked then: who dies in between tells again, but nobody stays untold.
                tell(&ended(settings, version, &ending)).await?;
                let stands = decided(&ending);
                if let Some(lost) = lost {
                    tell(&crossed(model, version, &stands, &lost)).await?;
                }
                let (outcome, reason) = (ending.outcome().as_str(), ending.reason());
                tracing::info!(outcome, reason, "the approval has ended");
                measure(&stands);
                counts.one(&RELEASES, &[outcome]);
                let mut metadata = stands.metadata(release, approval.ended());
                metadata.insert(key::RELEASE.to_owned(), release.to_string());
                metadata.insert(key::OUTCOME.to_owned(), outcome.to_owned());
                metadata.insert(key::REASON.to_owned(), reason.clone());
                let since = package
                    .decided(model)
                    .filter(|since| since.decision == Decision::Approve);
                match since.filter(|_| package.decision_of(release).is_some()) {
                    // It was written there before people could be told, and somebody has approved the version since: another
                    // decision, whose maker would no longer be known once this is written over theirs.
                    Some(since) => {
                        metadata.insert(key::DECIDED_BY.to_owned(), since.by.clone());
                        metadata.extend(since.at.map(|at| (key::DECIDED_AT.to_owned(), at.to_string())));
                        let description = since.description();
                        registry
                            .decide(arn, ApprovalStatus::Approved, &description, &metadata)
                            .await?;
                    }
                    None => {
                        registry
                            .decide(arn, ApprovalStatus::Rejected, &reason, &metadata)
                            .await?
                    }
                }
                return Ok(Agreed::CHANGED);
            }
        }
    }
    tracing::warn!("not settled yet; the next event or sweep goes on");
    Ok(Agreed::CHANGED)
}

/// An ending as a decision: what ended without one is the train's.
fn decided(ending: &Ending) -> Decided {
    match ending {
        Ending::Rejected(decided) => decided.clone(),
        Ending::Superseded { at, .. } | Ending::Expired { at } | Ending::Stopped { at } => Decided {
            decision: Decision::Reject,
            by: TRAIN.to_owned(),
            at: Some(*at),
            comment: ending.reason(),
        },
    }
}

fn ended(settings: &Settings, version: u32, ending: &Ending) -> Notice {
    let model = &settings.model;
    match ending {
        Ending::Rejected(decided) => mail::rejected(model, version, &decided.by, decided.at, &decided.comment),
        Ending::Superseded { by, .. } => mail::superseded_by(model, version, *by),
        Ending::Expired { at } => mail::expired(model, version, *at, &settings.approvers),
        Ending::Stopped { .. } => mail::stopped(model, version),
    }
}

/// For the one whose decision came second.
fn crossed(model: &ModelName, version: u32, stands: &Decided, lost: &Decided) -> Notice {
    let what_to_do = match stands.decision {
        Decision::Approve => "To stop it, reject the version in the model registry: it is taken back then.",
        Decision::Reject => "To release it after all, approve the version in the model registry again.",
    };
    mail::crossed(model, version, stands, lost, what_to_do)
}
