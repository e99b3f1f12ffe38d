//! KMS: HMAC keys; and symmetric keys, with which nothing is encrypted here, but whose policies are asked.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{ApiError, Caller, Cloud, iam};
use crate::template::{Resource, TemplateError};

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By key id.
    keys: BTreeMap<String, Key>,
    /// Key ids by alias.
    aliases: BTreeMap<String, String>,
}

struct Key {
    arn: String,
    description: String,
    /// What an HMAC key authenticates with; a symmetric one has none.
    material: Option<[u8; 32]>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("arn", &self.arn).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct KeyProperties {
    key_spec: Option<String>,
    key_usage: Option<String>,
    #[serde(default)]
    description: String,
    key_policy: Option<Value>,
    // Nothing is encrypted with the key, and none is ever deleted.
    #[serde(rename = "EnableKeyRotation")]
    _rotation: Option<Value>,
    #[serde(rename = "PendingWindowInDays")]
    _pending_window: Option<Value>,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AliasProperties {
    alias_name: String,
    target_key_id: String,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::KMS::Key" => {
            let properties: KeyProperties = resource.read()?;
            let spec = properties.key_spec.as_deref().unwrap_or("SYMMETRIC_DEFAULT");
            let usage = properties.key_usage.as_deref().unwrap_or("ENCRYPT_DECRYPT");
            let material = match (spec, usage) {
                ("HMAC_256", "GENERATE_VERIFY_MAC") => Some(material(cloud)),
                ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT") => None,
                _ => return Err(resource.unsupported(format!("a key of {spec} for {usage}"))),
            };
            if let Some(policy) = &properties.key_policy {
                let arns = [resource.arn().to_owned()];
                iam::attach_policy(cloud, resource, "KeyPolicy", policy, &arns)?;
            }
            let key = Key {
                arn: resource.arn().to_owned(),
                description: properties.description,
                material,
            };
            cloud.kms.keys.insert(resource.physical_id.clone(), key);
            Ok(())
        }
        "AWS::KMS::Alias" => {
            let properties: AliasProperties = resource.read()?;
            cloud
                .kms
                .aliases
                .insert(properties.alias_name, properties.target_key_id);
            Ok(())
        }
        _ => Err(resource.unsupported("this resource type")),
    }
}

fn material(cloud: &mut Cloud) -> [u8; 32] {
    let mut material = [0; 32];
    for byte in &mut material {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        let random = (cloud.chance() * 256.0) as u8;
        *byte = random;
    }
    material
}

fn key<'a>(cloud: &'a Cloud, id: &str) -> Option<(&'a str, &'a Key)> {
    // A key id, an alias, or the ARN of one of them.
    let id = if id.starts_with("arn:") {
        id.splitn(6, ':').nth(5).unwrap_or_default()
    } else {
        id
    };
    let id = id.strip_prefix("key/").unwrap_or(id);
    let id = cloud.kms.aliases.get(id).map_or(id, String::as_str);
    cloud.kms.keys.get_key_value(id).map(|(id, key)| (id.as_str(), key))
}

/// The ARN of the key that is so called.
pub(crate) fn key_arn(cloud: &Cloud, id: &str) -> Option<String> {
    key(cloud, id).map(|(_, key)| key.arn.clone())
}

/// The ARN of a key that a resource names by id, ARN or alias; of one that is not the stack's, what its ARN would be.
pub(crate) fn arn_of(cloud: &Cloud, id: &str) -> String {
    match key_arn(cloud, id) {
        Some(arn) => arn,
        None if id.starts_with("arn:") => id.to_owned(),
        None if id.starts_with("alias/") => cloud.arn("kms", id),
        None => cloud.arn("kms", &format!("key/{id}")),
    }
}

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, _caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    if operation == "ListAliases" {
        let aliases = cloud
            .kms
            .aliases
            .iter()
            .map(|(name, id)| json!({"AliasName": name, "AliasArn": cloud.arn("kms", name), "TargetKeyId": id}));
        return Ok(json!({"Aliases": aliases.collect::<Vec<_>>(), "Truncated": false}));
    }
    let missing = || ApiError::new("NotFoundException", format!("Key '{}' does not exist", text("KeyId")));
    let (id, key) = key(cloud, text("KeyId")).ok_or_else(missing)?;
    let mac = |message: &str| {
        let message = BASE64_STANDARD
            .decode(message)
            .map_err(|_| ApiError::validation("Message is not base64"))?;
        let material = key.material.as_ref().ok_or_else(|| {
            let message = format!(
                "{} key usage is ENCRYPT_DECRYPT which is not valid for this operation.",
                key.arn
            );
            ApiError::new("InvalidKeyUsageException", message)
        })?;
        let mut mac = Hmac::<Sha256>::new_from_slice(material)
            .map_err(|error| ApiError::new("KMSInternalException", error.to_string()))?;
        mac.update(&message);
        Ok::<_, ApiError>(mac)
    };
    let algorithm = text("MacAlgorithm");
    if operation.ends_with("Mac") && algorithm != "HMAC_SHA_256" {
        let message = format!("{algorithm} is not compatible with key spec HMAC_256.");
        return Err(ApiError::new("InvalidKeyUsageException", message));
    }
    match operation {
        "GenerateMac" => {
            let made = mac(text("Message"))?.finalize().into_bytes();
            Ok(json!({"Mac": BASE64_STANDARD.encode(made), "MacAlgorithm": algorithm, "KeyId": key.arn}))
        }
        "VerifyMac" => {
            let given = BASE64_STANDARD.decode(text("Mac")).unwrap_or_default();
            match mac(text("Message"))?.verify_slice(&given) {
                Ok(()) => Ok(json!({"KeyId": key.arn, "MacValid": true, "MacAlgorithm": algorithm})),
                Err(_) => Err(ApiError::new("KMSInvalidMacException", "")),
            }
        }
        "DescribeKey" => {
            let mut metadata = json!({
                "KeyId": id, "Arn": key.arn, "Description": key.description, "Enabled": true, "KeyState": "Enabled",
            });
            let particulars = match key.material {
                Some(_) => {
                    json!({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC", "MacAlgorithms": ["HMAC_SHA_256"]})
                }
                None => json!({"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT",
                    "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"]}),
            };
            if let (Value::Object(metadata), Value::Object(particulars)) = (&mut metadata, particulars) {
                metadata.extend(particulars);
            }
            Ok(json!({ "KeyMetadata": metadata }))
        }
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("the local cloud has no kms:{operation}"),
        )),
    }
}
