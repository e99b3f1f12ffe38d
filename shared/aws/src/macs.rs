//! Message authentication codes by a KMS key that never leaves KMS.

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::MacAlgorithmSpec;

use crate::error::AwsError;

/// Lets one make a MAC.
pub trait GenerateMac: Send + Sync {
    /// The MAC of a message of 1 to 4096 bytes.
    ///
    /// # Errors
    /// Whatever KMS says.
    fn generate(&self, message: Vec<u8>) -> impl Future<Output = Result<Vec<u8>, AwsError>> + Send;
}

/// Lets one check a MAC.
pub trait VerifyMac: Send + Sync {
    /// Whether the MAC is the message's.
    ///
    /// # Errors
    /// Whatever KMS says, except that the MAC is wrong.
    fn verify(&self, message: Vec<u8>, mac: Vec<u8>) -> impl Future<Output = Result<bool, AwsError>> + Send;
}

/// KMS, with one HMAC key.
#[derive(Debug, Clone)]
pub struct Macs {
    client: aws_sdk_kms::Client,
    key_id: String,
}

impl Macs {
    /// The ports over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig, key_id: &str) -> Self {
        Self {
            client: aws_sdk_kms::Client::new(sdk),
            key_id: key_id.to_owned(),
        }
    }
}

impl GenerateMac for Macs {
    async fn generate(&self, message: Vec<u8>) -> Result<Vec<u8>, AwsError> {
        let operation = "kms:GenerateMac";
        let request = self
            .client
            .generate_mac()
            .key_id(&self.key_id)
            .mac_algorithm(MacAlgorithmSpec::HmacSha256);
        let answer = request
            .message(Blob::new(message))
            .send()
            .await
            .map_err(|error| AwsError::of(operation, &error))?;
        answer
            .mac
            .map(Blob::into_inner)
            .ok_or_else(|| AwsError::incomplete(operation, "Mac"))
    }
}

impl VerifyMac for Macs {
    async fn verify(&self, message: Vec<u8>, mac: Vec<u8>) -> Result<bool, AwsError> {
        let request = self
            .client
            .verify_mac()
            .key_id(&self.key_id)
            .mac_algorithm(MacAlgorithmSpec::HmacSha256);
        let answer = request.message(Blob::new(message)).mac(Blob::new(mac)).send().await;
        match answer.map_err(|error| AwsError::of("kms:VerifyMac", &error)) {
            Ok(answer) => Ok(answer.mac_valid()),
            // KMS raises an error instead of answering `MacValid: false`.
            Err(error) if error.code == "KMSInvalidMacException" => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
