//! Objects in S3.

use aws_sdk_s3::primitives::ByteStream;
use signalbox_model::arrivals::{Listed, Page};

use crate::error::{AwsError, ErrorKind};
use crate::registry::timestamp;

/// The place of an object, `s3://BUCKET/KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectUri {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
}

impl ObjectUri {
    /// Reads `s3://BUCKET/KEY`.
    #[must_use]
    pub fn parse(uri: &str) -> Option<Self> {
        let (bucket, key) = uri.strip_prefix("s3://")?.split_once('/')?;
        let whole = !bucket.is_empty() && !key.is_empty();
        whole.then(|| Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }
}

impl std::fmt::Display for ObjectUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// Lets one read objects.
pub trait ReadObjects: Send + Sync {
    /// The object's content, of at most `bytes_max`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is none, [`ErrorKind::Invalid`] where it is larger, and whatever S3 says.
    fn read(&self, object: &ObjectUri, bytes_max: usize) -> impl Future<Output = Result<Vec<u8>, AwsError>> + Send;
}

/// Lets one write objects.
pub trait WriteObjects: Send + Sync {
    /// Puts the object there, over what was there.
    ///
    /// # Errors
    /// Whatever S3 says.
    fn write(&self, object: &ObjectUri, content: Vec<u8>) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// Lets one list objects.
pub trait ListObjects: Send + Sync {
    /// One page of the objects under the prefix, by key: at most a thousand, those after the key `after`.
    ///
    /// # Errors
    /// Whatever S3 says.
    fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Page, AwsError>> + Send;
}

/// S3.
#[derive(Debug, Clone)]
pub struct S3(pub(crate) aws_sdk_s3::Client);

impl S3 {
    /// The port over the SDK. Path-style addresses, so that any endpoint serves.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        let config = aws_sdk_s3::config::Builder::from(sdk).force_path_style(true).build();
        Self(aws_sdk_s3::Client::from_conf(config))
    }
}

impl ReadObjects for S3 {
    async fn read(&self, object: &ObjectUri, bytes_max: usize) -> Result<Vec<u8>, AwsError> {
        let operation = "s3:GetObject";
        let request = self.0.get_object().bucket(&object.bucket).key(&object.key);
        let answer = request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        let mut content = Vec::new();
        let mut body = answer.body;
        while let Some(chunk) = body.next().await {
            let broken = |_| {
                AwsError::new(
                    operation,
                    ErrorKind::Transient,
                    "Response",
                    "the object's body broke off",
                )
            };
            content.extend_from_slice(&chunk.map_err(broken)?);
            if content.len() > bytes_max {
                return Err(too_large(operation, object, bytes_max));
            }
        }
        Ok(content)
    }
}

impl ListObjects for S3 {
    async fn list(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, AwsError> {
        let request = self.0.list_objects_v2().bucket(bucket).prefix(prefix);
        let answer = request.set_start_after(after.map(str::to_owned)).send().await;
        let answer = answer.map_err(|error| AwsError::of("s3:ListBucket", &error))?;
        let listed = |object: aws_sdk_s3::types::Object| {
            Some(Listed {
                modified: object.last_modified().and_then(timestamp)?,
                bytes: object.size().and_then(|size| size.try_into().ok()).unwrap_or(0),
                key: object.key?,
            })
        };
        Ok(Page {
            more: answer.is_truncated() == Some(true),
            objects: answer
                .contents
                .unwrap_or_default()
                .into_iter()
                .filter_map(listed)
                .collect(),
        })
    }
}

impl WriteObjects for S3 {
    async fn write(&self, object: &ObjectUri, content: Vec<u8>) -> Result<(), AwsError> {
        let request = self
            .0
            .put_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .body(ByteStream::from(content));
        request
            .send()
            .await
            .map_err(|error| AwsError::of("s3:PutObject", &error))?;
        Ok(())
    }
}

/// The error for an object that is larger than its reader takes.
pub(crate) fn too_large(operation: &'static str, object: &ObjectUri, bytes_max: usize) -> AwsError {
    let message = format!("{object} is larger than the {bytes_max} bytes that are read of such an object");
    AwsError::new(operation, ErrorKind::Invalid, "TooLarge", message)
}

#[cfg(test)]
mod tests;
