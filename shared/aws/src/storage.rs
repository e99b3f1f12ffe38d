//! Objects in S3.

use aws_sdk_s3::primitives::ByteStream;

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

/// Lets one count objects.
pub trait CountObjects: Send + Sync {
    /// How many objects under the prefix are newer than `since`; stops at `count_max`, and after ten pages of a thousand.
    ///
    /// # Errors
    /// Whatever S3 says.
    fn count_newer(
        &self,
        bucket: &str,
        prefix: &str,
        since: jiff::Timestamp,
        count_max: u32,
    ) -> impl Future<Output = Result<u32, AwsError>> + Send;
}

/// How many pages of a thousand objects are read to count what is new.
const PAGES_MAX: u32 = 10;

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

impl CountObjects for S3 {
    async fn count_newer(
        &self,
        bucket: &str,
        prefix: &str,
        since: jiff::Timestamp,
        count_max: u32,
    ) -> Result<u32, AwsError> {
        let (mut count, mut token) = (0, None);
        for _ in 0..PAGES_MAX {
            let request = self
                .0
                .list_objects_v2()
                .bucket(bucket)
                .prefix(prefix)
                .set_continuation_token(token.take());
            let answer = request
                .send()
                .await
                .map_err(|error| AwsError::of("s3:ListBucket", &error))?;
            let newer = answer.contents().iter().filter(|object| {
                // A folder that the console made is an empty object whose key ends so.
                let folder = object.key().is_some_and(|key| key.ends_with('/'));
                !folder
                    && object
                        .last_modified()
                        .and_then(timestamp)
                        .is_some_and(|modified| modified > since)
            });
            count += u32::try_from(newer.count()).unwrap_or(u32::MAX);
            token = answer.next_continuation_token;
            if count >= count_max || token.is_none() {
                break;
            }
        }
        Ok(count.min(count_max))
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
