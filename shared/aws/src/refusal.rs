//! An approval that counts for nothing.

use std::collections::BTreeMap;

use signalbox_model::mail;
use signalbox_model::names::ModelName;
use signalbox_model::package::{ApprovalStatus, ModelPackage, key};

use crate::error::AwsError;
use crate::notices::Publish;
use crate::registry::WritePackages;

/// Somebody approved in the registry what has not passed its gate: nobody can, so they are told, and the registry says again what is.
///
/// # Errors
/// Whatever SNS or SageMaker say.
pub async fn refuse_approval(
    model: &ModelName,
    package: &ModelPackage,
    registry: &impl WritePackages,
    notices: &impl Publish,
    topic_arn: &str,
) -> Result<(), AwsError> {
    let arn = &package.arn;
    let gate = package.metadata.get(key::GATE).map_or("", String::as_str);
    let notice = mail::approved_in_vain(model, arn.version(), gate);
    notices.publish(topic_arn, &notice, &BTreeMap::new()).await?;
    let description = format!("{gate}; it was approved in the registry, which changed nothing");
    registry
        .decide(arn, ApprovalStatus::Rejected, &description, &BTreeMap::new())
        .await?;
    tracing::warn!("approved, but the gate has not passed it: it is rejected again");
    Ok(())
}
