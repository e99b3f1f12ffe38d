//! S3: buckets and objects.

mod lifecycle;

use std::collections::BTreeMap;
use std::ops::Bound;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ApiError, Caller, Cloud, iam};
use crate::drop_folder::Dropped;
use crate::template::{Resource, TemplateError};

/// The service's state: buckets by name.
#[derive(Debug, Default)]
pub(crate) struct State {
    buckets: BTreeMap<String, BTreeMap<String, Object>>,
    /// The keys that buckets are encrypted with, of those that have a key of KMS.
    keys: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Object {
    content: Bytes,
    modified: Timestamp,
    digest: [u8; 16],
    content_type: Option<Box<str>>,
}

impl Object {
    fn etag(&self) -> String {
        let hex: String = self.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("\"{hex}\"")
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PolicyProperties {
    bucket: String,
    policy_document: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Encryption {
    server_side_encryption_configuration: Vec<EncryptionRule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct EncryptionRule {
    server_side_encryption_by_default: Option<EncryptionDefault>,
    // With a bucket key S3 asks KMS less often, for the same.
    #[serde(rename = "BucketKeyEnabled")]
    _bucket_key: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EncryptionDefault {
    #[serde(rename = "SSEAlgorithm")]
    algorithm: String,
    #[serde(rename = "KMSMasterKeyID")]
    key: Option<String>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::S3::Bucket" => {
            // What concerns ownership and public access has no bearing on one machine's own requests.
            let known = [
                "BucketName",
                "BucketEncryption",
                "LifecycleConfiguration",
                "LoggingConfiguration",
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
            lifecycle::check(resource)?;
            if let Some(encryption) = resource.properties.get("BucketEncryption")
                && let Some(key) = read_encryption(resource, encryption)?
            {
                cloud.s3.keys.insert(resource.physical_id.clone(), key);
            }
            cloud.s3.buckets.insert(resource.physical_id.clone(), BTreeMap::new());
            Ok(())
        }
        "AWS::S3::BucketPolicy" => {
            let properties: PolicyProperties = resource.read()?;
            let arns = [format!("arn:aws:s3:::{}", properties.bucket)];
            iam::attach_policy(
                cloud,
                resource,
                "AWS::S3::BucketPolicy",
                &properties.policy_document,
                &arns,
            )
        }
        _ => Err(resource.unsupported("this resource type")),
    }
}

/// The key that a bucket encrypts with, where it is one of KMS.
fn read_encryption(resource: &Resource, encryption: &Value) -> Result<Option<String>, TemplateError> {
    let read: Encryption = serde_json::from_value(encryption.clone())
        .map_err(|error| resource.unsupported(format!("BucketEncryption: {error}")))?;
    let mut key = None;
    for rule in read.server_side_encryption_configuration {
        let Some(default) = rule.server_side_encryption_by_default else {
            continue;
        };
        key = match default.algorithm.as_str() {
            "AES256" => None,
            "aws:kms" => Some(default.key.unwrap_or_else(|| "alias/aws/s3".to_owned())),
            other => return Err(resource.unsupported(format!("SSEAlgorithm {other}"))),
        };
    }
    Ok(key)
}

/// The key that a bucket encrypts with, by id, ARN or alias, where it is one of KMS.
pub(crate) fn key_of<'a>(cloud: &'a Cloud, bucket: &str) -> Option<&'a str> {
    cloud.s3.keys.get(bucket).map(String::as_str)
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
    let mut digest = [0; 16];
    for (byte, of) in digest.iter_mut().zip(Sha256::digest(&content)) {
        *byte = of;
    }
    let object = Object {
        content,
        modified,
        digest,
        content_type: content_type.map(String::into_boxed_str),
    };
    let etag = object.etag();
    objects.insert(key.to_owned(), object);
    Some(etag)
}

impl Cloud {
    /// An object of a bucket.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        get(self, bucket, key)
    }

    /// Puts an object, as the person at the machine does. Objects of the same `content` share it.
    ///
    /// # Errors
    /// Where there is no such bucket.
    pub fn put_object(&mut self, bucket: &str, key: &str, content: Bytes) -> Result<(), ApiError> {
        store(self, bucket, key, content, None)
            .map(|_| ())
            .ok_or_else(no_such_bucket)
    }

    /// Puts what was dropped into the folder for training data, and notes it.
    pub(crate) fn drop_data(&mut self, bucket: &str, prefix: &str, dropped: Dropped) {
        let Dropped {
            objects,
            changed,
            refused,
        } = dropped;
        let bytes: usize = objects.iter().map(|(_, content)| content.len()).sum();
        let new = objects.len() - changed;
        let comes = !objects.is_empty();
        for (key, content) in objects {
            put(self, bucket, &key, content);
        }
        if comes {
            let data = json!({"new": new, "changed": changed, "bytes": bytes, "prefix": prefix});
            self.note("s3", bucket, "data-dropped", data);
        }
        for (path, reason) in refused {
            self.note("s3", bucket, "data-refused", json!({"path": path, "reason": reason}));
        }
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
            if !text("IfMatch").is_empty() && text("IfMatch") != object.etag() {
                return Err(error(
                    412,
                    "PreconditionFailed",
                    "At least one of the pre-conditions you specified did not hold",
                ));
            }
            if !text("IfNoneMatch").is_empty() && text("IfNoneMatch") == object.etag() {
                return Err(error(304, "NotModified", "Not Modified"));
            }
            let mut answer = json!({
                "ETag": object.etag(), "LastModified": seconds(object.modified), "ContentLength": object.content.len(),
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

/// Where a page begins.
enum From {
    /// After a key.
    Key(String),
    /// After all keys that begin so.
    Group(String),
}

impl From {
    /// The token says what was listed last: a key or a common prefix.
    fn read(input: &Value) -> Result<Option<Self>, ApiError> {
        let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
        match (text("ContinuationToken"), text("StartAfter")) {
            ("", "") => Ok(None),
            ("", key) => Ok(Some(Self::Key(key.to_owned()))),
            (token, _) => {
                let decoded = BASE64_STANDARD.decode(token).ok();
                let decoded = decoded.and_then(|token| String::from_utf8(token).ok());
                let from = decoded.as_deref().and_then(|token| match token.split_at_checked(1)? {
                    ("k", key) => Some(Self::Key(key.to_owned())),
                    ("p", prefix) => Some(Self::Group(prefix.to_owned())),
                    _ => None,
                });
                let wrong = || error(400, "InvalidArgument", "The continuation token provided is incorrect");
                from.map(Some).ok_or_else(wrong)
            }
        }
    }

    fn token(&self) -> String {
        BASE64_STANDARD.encode(match self {
            Self::Key(key) => format!("k{key}"),
            Self::Group(prefix) => format!("p{prefix}"),
        })
    }

    /// The bound of the keys that follow; `None` where none can.
    fn bound(&self) -> Option<Bound<String>> {
        match self {
            Self::Key(key) => Some(Bound::Excluded(key.clone())),
            Self::Group(prefix) => successor(prefix).map(Bound::Included),
        }
    }
}

/// The first text that is greater than all that begin so.
fn successor(prefix: &str) -> Option<String> {
    let mut rest = prefix.to_owned();
    while let Some(last) = rest.pop() {
        // A range of characters steps over those that are none.
        if let Some(next) = (last..=char::MAX).nth(1) {
            rest.push(next);
            return Some(rest);
        }
    }
    None
}

/// `ListObjectsV2`. It goes from one listed key or common prefix to the next, and reads nothing before or between them.
fn list(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let objects = cloud.s3.buckets.get(text("Bucket")).ok_or_else(no_such_bucket)?;
    let (prefix, delimiter) = (text("Prefix"), text("Delimiter"));
    let keys_max = input.get("MaxKeys").and_then(Value::as_u64).unwrap_or(1000).min(1000);
    let keys_max = usize::try_from(keys_max).unwrap_or(1000);
    let mut from = From::read(input)?;
    let (mut contents, mut prefixes) = (Vec::new(), Vec::<Value>::new());
    let mut truncated = false;
    'groups: loop {
        let bound = match &from {
            None => Bound::Included(prefix.to_owned()),
            Some(from) => match from.bound() {
                // What comes before the prefix is not listed.
                Some(Bound::Included(key) | Bound::Excluded(key)) if key.as_str() < prefix => {
                    Bound::Included(prefix.to_owned())
                }
                Some(bound) => bound,
                None => break,
            },
        };
        let following = objects.range((bound, Bound::Unbounded));
        for (key, object) in following.take_while(|(key, _)| key.starts_with(prefix)) {
            if contents.len() + prefixes.len() == keys_max {
                // Who asks for none is told of none.
                truncated = keys_max > 0;
                break 'groups;
            }
            let rest = key.get(prefix.len()..).unwrap_or_default();
            let end = if delimiter.is_empty() {
                None
            } else {
                rest.find(delimiter)
            };
            let common = end.and_then(|at| key.get(..prefix.len() + at + delimiter.len()));
            if let Some(common) = common {
                prefixes.push(json!({ "Prefix": common }));
                from = Some(From::Group(common.to_owned()));
                continue 'groups;
            }
            from = Some(From::Key(key.clone()));
            contents.push(json!({
                "Key": key, "Size": object.content.len(), "ETag": object.etag(), "LastModified": seconds(object.modified),
            }));
        }
        break;
    }
    let mut answer = json!({"Contents": contents, "CommonPrefixes": prefixes, "IsTruncated": truncated});
    if truncated && let (Some(members), Some(last)) = (answer.as_object_mut(), from) {
        members.insert("NextContinuationToken".to_owned(), last.token().into());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cloud::testing::deploy;

    fn bucket(keys: &[&str]) -> Cloud {
        let template = "Resources: {Data: {Type: AWS::S3::Bucket, Properties: {BucketName: data}}}";
        let mut cloud = deploy(template).unwrap();
        for key in keys {
            cloud.put_object("data", key, Bytes::from_static(b"1,2\n")).unwrap();
        }
        cloud
    }

    fn names(answer: &Value, list: &str, member: &str) -> Vec<String> {
        let items = answer[list].as_array().unwrap().iter();
        items.map(|item| item[member].as_str().unwrap().to_owned()).collect()
    }

    /// What is listed, page by page: keys and common prefixes in order.
    fn listed(cloud: &Cloud, mut input: Value) -> Vec<String> {
        let mut all = Vec::new();
        input["Bucket"] = "data".into();
        loop {
            let answer = list(cloud, &input).unwrap();
            let mut page = names(&answer, "Contents", "Key");
            page.extend(names(&answer, "CommonPrefixes", "Prefix"));
            page.sort();
            let most = input["MaxKeys"].as_u64().unwrap_or(1000);
            assert!(page.len() as u64 <= most, "{page:?}");
            all.extend(page);
            match answer.get("NextContinuationToken") {
                Some(token) => {
                    assert_eq!(answer["IsTruncated"], true);
                    // `StartAfter` stays in the request and is not looked at any more.
                    input["ContinuationToken"] = token.clone();
                }
                None => {
                    assert_eq!(answer["IsTruncated"], false);
                    return all;
                }
            }
        }
    }

    #[test]
    fn a_list_starts_after_a_key_and_groups_what_follows() {
        let cloud = bucket(&["data/a/1", "data/a/2", "data/b", "data/c/1", "data/d", "data0", "other"]);
        for (input, expected) in [
            (
                json!({"Prefix": "data/"}),
                &["data/a/1", "data/a/2", "data/b", "data/c/1", "data/d"][..],
            ),
            (
                json!({"Prefix": "data/", "Delimiter": "/"}),
                &["data/a/", "data/b", "data/c/", "data/d"],
            ),
            (
                json!({"Prefix": "data/", "StartAfter": "data/b"}),
                &["data/c/1", "data/d"],
            ),
            // A key that isn't there will do, as will one before the prefix or behind it.
            (
                json!({"Prefix": "data/", "StartAfter": "data/bb"}),
                &["data/c/1", "data/d"],
            ),
            (
                json!({"Prefix": "data/", "StartAfter": "a"}),
                &["data/a/1", "data/a/2", "data/b", "data/c/1", "data/d"],
            ),
            (json!({"Prefix": "data/", "StartAfter": "data0"}), &[]),
            (
                json!({"Prefix": "data/", "Delimiter": "/", "StartAfter": "data/b"}),
                &["data/c/", "data/d"],
            ),
            // What is left of a group makes it.
            (
                json!({"Prefix": "data/", "Delimiter": "/", "StartAfter": "data/a/1"}),
                &["data/a/", "data/b", "data/c/", "data/d"],
            ),
            (
                json!({"Prefix": "data/", "Delimiter": "/", "StartAfter": "data/a/2"}),
                &["data/b", "data/c/", "data/d"],
            ),
            (
                json!({"Prefix": "data", "Delimiter": "/", "StartAfter": "data"}),
                &["data/", "data0"],
            ),
            (json!({"Delimiter": "/"}), &["data/", "data0", "other"]),
            (
                json!({"Prefix": "data/a/", "Delimiter": "/"}),
                &["data/a/1", "data/a/2"],
            ),
            (json!({"Prefix": "none"}), &[]),
        ] {
            for keys_max in [1, 2, 3, 1000] {
                let mut input = input.clone();
                input["MaxKeys"] = keys_max.into();
                assert_eq!(listed(&cloud, input.clone()), expected, "{input}");
            }
        }
        let wrong = json!({"Bucket": "data", "ContinuationToken": "?"});
        assert_eq!(list(&cloud, &wrong).unwrap_err().code, "InvalidArgument");
        let none = json!({"Bucket": "data", "MaxKeys": 0});
        let none = list(&cloud, &none).unwrap();
        assert_eq!((&none["Contents"], &none["IsTruncated"]), (&json!([]), &json!(false)));
    }

    #[test]
    fn the_end_of_a_group_is_found() {
        for (prefix, expected) in [
            ("a/", Some("a0")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(successor(prefix).as_deref(), expected, "{prefix:?}");
        }
    }

    #[test]
    fn many_objects_share_their_content_and_are_listed_from_anywhere() {
        let mut cloud = bucket(&[]);
        let content = Bytes::from(vec![7; 4096]);
        for number in 0..50_000 {
            cloud
                .put_object("data", &format!("data/{number:06}"), content.clone())
                .unwrap();
        }
        let one = get(&cloud, "data", "data/000001").unwrap();
        assert_eq!(one.as_ptr(), get(&cloud, "data", "data/049999").unwrap().as_ptr());
        // A look at the end, as often as there are pages: each is as quick as the first.
        for number in (0..50_000).step_by(1000) {
            let after = format!("data/{:06}", number + 998);
            let input = json!({"Bucket": "data", "Prefix": "data/", "StartAfter": after, "MaxKeys": 1});
            let expected = format!("data/{:06}", number + 999);
            assert_eq!(names(&list(&cloud, &input).unwrap(), "Contents", "Key"), [expected]);
        }
        let grouped = json!({"Bucket": "data", "Delimiter": "/"});
        assert_eq!(
            names(&list(&cloud, &grouped).unwrap(), "CommonPrefixes", "Prefix"),
            ["data/"]
        );
    }

    proptest! {
        /// Pages of any size are together what one list would be.
        #[test]
        fn pages_are_what_there_is(
            keys in proptest::collection::btree_set("[ab/]{1,5}", 0..30),
            prefix in "[ab/]{0,2}",
            after in "[ab/]{0,3}",
            delimiter in prop_oneof![Just(""), Just("/"), Just("b/")],
            keys_max in 1..5_u64,
        ) {
            let cloud = bucket(&keys.iter().map(String::as_str).collect::<Vec<_>>());
            let mut expected: Vec<String> = Vec::new();
            for key in keys.iter().filter(|key| key.starts_with(&prefix) && (after.is_empty() || **key > after)) {
                let end = key[prefix.len()..].find(delimiter).filter(|_| !delimiter.is_empty());
                let item = end.map_or(key.as_str(), |at| &key[..prefix.len() + at + delimiter.len()]);
                if expected.last().is_none_or(|last| last != item) {
                    expected.push(item.to_owned());
                }
            }
            let input = json!({"Prefix": prefix, "StartAfter": after, "Delimiter": delimiter, "MaxKeys": keys_max});
            prop_assert_eq!(listed(&cloud, input), expected);
        }
    }
}
