//! What writing logs asks for: of whoever writes, and of the key of the log group.

use super::super::Cloud;
use super::ask::Ask;
use super::service::in_own_name;
use crate::template::Resource;

/// What CloudWatch Logs needs of a log group's key
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html>).
const KEY_ACTIONS: &[&str] = &[
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:GenerateDataKey",
    "kms:DescribeKey",
];

/// Keeps which log groups the stack declares, and their keys.
pub(crate) fn declare(cloud: &mut Cloud, resources: &[Resource]) {
    for resource in resources
        .iter()
        .filter(|resource| resource.kind == "AWS::Logs::LogGroup")
    {
        let key = resource.properties.get("KmsKeyId").and_then(serde_json::Value::as_str);
        let name = resource.physical_id.clone();
        cloud.iam.log_groups.insert(name, key.map(str::to_owned));
    }
}

/// What is asked of whoever writes to a log stream. A log group that the stack does not declare has to be made first.
pub(crate) fn asks(cloud: &Cloud, group: &str, stream: &str) -> Vec<Ask> {
    let mut asks = Vec::with_capacity(3);
    // CloudWatch Logs has a stream in the ARN of every one of these, were it an empty one.
    let arn = |stream: &str| cloud.arn("logs", &format!("log-group:{group}:log-stream:{stream}"));
    if !cloud.iam.log_groups.contains_key(group) {
        asks.push(Ask::new("logs:CreateLogGroup", arn("")));
    }
    asks.push(Ask::new("logs:CreateLogStream", arn(stream)));
    asks.push(Ask::new("logs:PutLogEvents", arn(stream)));
    asks
}

/// Something is written to a log group: CloudWatch Logs uses the group's key. What it may not use is kept among the refusals; the
/// lines are lost.
pub(crate) fn written(cloud: &mut Cloud, group: &str) {
    let Some(Some(key)) = cloud.iam.log_groups.get(group).cloned() else {
        return;
    };
    let key = super::super::kms::arn_of(cloud, &key);
    let group = cloud.arn("logs", &format!("log-group:{group}"));
    let service = format!("logs.{}.amazonaws.com", cloud.target().region);
    for action in KEY_ACTIONS {
        let ask = Ask::new(*action, key.as_str()).with("kms:EncryptionContext:aws:logs:arn", group.as_str());
        drop(in_own_name(cloud, &service, &group, &ask));
    }
}
