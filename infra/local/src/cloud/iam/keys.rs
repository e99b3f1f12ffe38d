//! What encryption asks of KMS: who reads or writes what a key encrypts has to be allowed to use the key, through that service.
//!
//! The actions are those of
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html>,
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html> and
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html>.

use super::super::{Cloud, kms, s3, sns, sqs};
use super::ask::{Ask, Asker};

/// What is asked besides, where the resource is encrypted with a key of one's own.
pub(super) fn asks(cloud: &Cloud, asker: &Asker<'_>, ask: &Ask) -> Vec<Ask> {
    const READ: &[&str] = &["kms:Decrypt"];
    const WRITE: &[&str] = &["kms:GenerateDataKey"];
    const SEND: &[&str] = &["kms:GenerateDataKey", "kms:Decrypt"];
    let resource = ask.resource.as_str();
    let bucket = || resource.strip_prefix("arn:aws:s3:::")?.split('/').next();
    let (service, key, actions, context) = match ask.action.as_ref() {
        "s3:GetObject" => (
            "s3",
            bucket().and_then(|name| s3::key_of(cloud, name)),
            READ,
            "kms:EncryptionContext:aws:s3:arn",
        ),
        "s3:PutObject" => (
            "s3",
            bucket().and_then(|name| s3::key_of(cloud, name)),
            WRITE,
            "kms:EncryptionContext:aws:s3:arn",
        ),
        "sns:Publish" => (
            "sns",
            sns::key_of(cloud, resource),
            SEND,
            "kms:EncryptionContext:aws:sns:topicArn",
        ),
        "sqs:SendMessage" => (
            "sqs",
            sqs::key_of(cloud, resource),
            SEND,
            "kms:EncryptionContext:aws:sqs:arn",
        ),
        _ => return Vec::new(),
    };
    let Some(key) = ask.key.as_deref().or(key) else {
        return Vec::new();
    };
    // AWS's own key of a service lets in whoever the account lets use the service; services of AWS in their own names it does not.
    let is_services_own = key.contains("alias/aws/");
    if is_services_own && !matches!(asker, Asker::Service { .. }) {
        return Vec::new();
    }
    let arn = kms::arn_of(cloud, key);
    let via = format!("{service}.{}.amazonaws.com", cloud.target().region);
    let ask = |action: &&'static str| {
        let ask = Ask::new(*action, arn.as_str()).with("kms:ViaService", via.as_str());
        ask.with(context, resource)
    };
    actions.iter().map(ask).collect()
}
