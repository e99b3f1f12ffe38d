//! S3: buckets and objects.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ApiError, Caller, Cloud, iam};
use crate::template::{Resource, TemplateError};

/// The service's state: buckets by name.
#[derive(Debug, Default)]
pub(crate) struct State {
    buckets: BTreeMap<String, BTreeMap<String, Object>>,
}

#[derive(Debug, Clone)]
struct Object {
    content: Bytes,
    modified: Timestamp,
    etag: String,
    content_type: Option<String>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::S3::Bucket" => {
            // What concerns encryption, ownership and public access has no bearing on one machine's own requests.
            let known = [
                "BucketName",
                "BucketEncryption",
                "LifecycleConfiguration",
                "OwnershipControls",
                "PublicAccessBlockConfiguration",
                "Tags",
                "VersioningConfiguration",
            ];
            let properties = resource.properties.as_object();
            let unknown = properties
                .into_iter()
                .flat_map(serde_json::Map::keys)
                .find(|name| !known.contains(&name.as_str()));
            if let Some(unknown) = unknown {
                return Err(resource.unsupported(format!("the property `{unknown}`")));
            }
            cloud.s3.buckets.insert(resource.physical_id.clone(), BTreeMap::new());
            Ok(())
        }
        "AWS::S3::BucketPolicy" => Ok(()),
        _ => Err(resource.unsupported("this resource type")),
    }
}

/// An object's content.
pub(crate) fn get(cloud: &Cloud, bucket: &str, key: &str) -> Option<Bytes> {
    Some(cloud.s3.buckets.get(bucket)?.get(key)?.content.clone())
}

/// Puts an object; a bucket that isn't there is noted.
pub(crate) fn put(cloud: &mut Cloud, bucket: &str, key: &str, content: Bytes) {
    if store(cloud, bucket, key, content, None).is_none() {
        cloud.note("s3", bucket, "lost", json!({"key": key}));
    }
}

/// The keys that begin so, in order.
pub(crate) fn keys(cloud: &Cloud, bucket: &str, prefix: &str) -> Vec<String> {
    let objects = cloud
        .s3
        .buckets
        .get(bucket)
        .into_iter()
        .flat_map(|objects| objects.range(prefix.to_owned()..));
    objects
        .map(|(key, _)| key.clone())
        .take_while(|key| key.starts_with(prefix))
        .collect()
}

fn store(cloud: &mut Cloud, bucket: &str, key: &str, content: Bytes, content_type: Option<String>) -> Option<String> {
    let modified = cloud.now();
    let objects = cloud.s3.buckets.get_mut(bucket)?;
    // S3's own is an MD5; all that anybody may do with it is to compare it.
    let digest = Sha256::digest(&content);
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{hex}\"");
    objects.insert(
        key.to_owned(),
        Object {
            content,
            modified,
            etag: etag.clone(),
            content_type,
        },
    );
    Some(etag)
}

impl Cloud {
    /// Puts an object, as the person at the machine does.
    ///
    /// # Errors
    /// Where there is no such bucket.
    pub fn put_object(&mut self, bucket: &str, key: &str, content: Bytes) -> Result<(), ApiError> {
        store(self, bucket, key, content, None)
            .map(|_| ())
            .ok_or_else(no_such_bucket)
    }
}

fn error(status: u16, code: &str, message: &str) -> ApiError {
    ApiError {
        status,
        ..ApiError::new(code, message)
    }
}

fn no_such_bucket() -> ApiError {
    error(404, "NoSuchBucket", "The specified bucket does not exist")
}

fn seconds(time: Timestamp) -> i64 {
    time.as_second()
}

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let (bucket, key) = (text("Bucket"), text("Key"));
    match operation {
        "ListBuckets" => {
            let buckets = cloud
                .s3
                .buckets
                .keys()
                .map(|name| json!({"Name": name, "CreationDate": seconds(cloud.now())}));
            Ok(json!({"Buckets": buckets.collect::<Vec<_>>()}))
        }
        "HeadBucket" => {
            let there = cloud.s3.buckets.contains_key(bucket);
            if there {
                Ok(json!({}))
            } else {
                Err(error(404, "NotFound", "Not Found"))
            }
        }
        "GetObject" | "HeadObject" => {
            let objects = cloud.s3.buckets.get(bucket).ok_or_else(no_such_bucket)?;
            let Some(object) = objects.get(key) else {
                // Who may not list is not told what is missing.
                let list = iam::Ask::new("s3:ListBucket", format!("arn:aws:s3:::{bucket}"));
                return Err(if iam::allowed(cloud, caller, &list) {
                    error(404, "NoSuchKey", "The specified key does not exist.")
                } else {
                    error(403, "AccessDenied", "Access Denied")
                });
            };
            if !text("IfMatch").is_empty() && text("IfMatch") != object.etag {
                return Err(error(
                    412,
                    "PreconditionFailed",
                    "At least one of the pre-conditions you specified did not hold",
                ));
            }
            if !text("IfNoneMatch").is_empty() && text("IfNoneMatch") == object.etag {
                return Err(error(304, "NotModified", "Not Modified"));
            }
            let mut answer = json!({
                "ETag": object.etag, "LastModified": seconds(object.modified), "ContentLength": object.content.len(),
                "ContentType": object.content_type.as_deref().unwrap_or("binary/octet-stream"),
            });
            if operation == "GetObject"
                && let Some(members) = answer.as_object_mut()
            {
                members.insert("Body".to_owned(), BASE64_STANDARD.encode(&object.content).into());
            }
            Ok(answer)
        }
        "PutObject" => {
            if text("IfNoneMatch") == "*" && get(cloud, bucket, key).is_some() {
                return Err(error(
                    412,
                    "PreconditionFailed",
                    "At least one of the pre-conditions you specified did not hold",
                ));
            }
            let content = BASE64_STANDARD.decode(text("Body"));
            let content = content.map_err(|_| error(400, "InvalidRequest", "The body is not base64"))?;
            let content_type = input.get("ContentType").and_then(Value::as_str).map(str::to_owned);
            let etag = store(cloud, bucket, key, content.into(), content_type).ok_or_else(no_such_bucket)?;
            Ok(json!({"ETag": etag}))
        }
        "DeleteObject" => {
            let objects = cloud.s3.buckets.get_mut(bucket).ok_or_else(no_such_bucket)?;
            objects.remove(key);
            Ok(json!({}))
        }
        "ListObjectsV2" => list(cloud, input),
        _ => Err(error(
            501,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
        )),
    }
}

fn list(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let objects = cloud.s3.buckets.get(text("Bucket")).ok_or_else(no_such_bucket)?;
    let (prefix, delimiter) = (text("Prefix"), text("Delimiter"));
    let keys_max = input.get("MaxKeys").and_then(Value::as_u64).unwrap_or(1000).min(1000);
    let keys_max = usize::try_from(keys_max).unwrap_or(1000);
    // The token is the last key or common prefix that was listed.
    let after = match text("ContinuationToken") {
        "" => text("StartAfter").to_owned(),
        token => {
            let decoded = BASE64_STANDARD
                .decode(token)
                .ok()
                .and_then(|token| String::from_utf8(token).ok());
            decoded.ok_or_else(|| error(400, "InvalidArgument", "The continuation token provided is incorrect"))?
        }
    };
    let (mut contents, mut prefixes) = (Vec::new(), Vec::<String>::new());
    let mut last = String::new();
    let mut truncated = false;
    for (key, object) in objects
        .range(prefix.to_owned()..)
        .take_while(|(key, _)| key.starts_with(prefix))
    {
        let rest = key.get(prefix.len()..).unwrap_or_default();
        let common = if delimiter.is_empty() {
            None
        } else {
            rest.find(delimiter)
        };
        let common = common
            .and_then(|at| key.get(..prefix.len() + at + delimiter.len()))
            .map(str::to_owned);
        let listed = common.as_ref().unwrap_or(key);
        if *listed <= after || prefixes.last() == common.as_ref() && common.is_some() {
            continue;
        }
        if contents.len() + prefixes.len() == keys_max {
            truncated = true;
            break;
        }
        last.clone_from(listed);
        match common {
            Some(common) => prefixes.push(common),
            None => contents.push(json!({
                "Key": key, "Size": object.content.len(), "ETag": object.etag, "LastModified": seconds(object.modified),
            })),
        }
    }
    let mut answer = json!({
        "Contents": contents,
        "CommonPrefixes": prefixes.iter().map(|prefix| json!({"Prefix": prefix})).collect::<Vec<_>>(),
        "IsTruncated": truncated,
    });
    if truncated && let Some(members) = answer.as_object_mut() {
        members.insert("NextContinuationToken".to_owned(), BASE64_STANDARD.encode(last).into());
    }
    Ok(answer)
}
