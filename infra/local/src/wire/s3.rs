//! S3's REST, path style: `/BUCKET/KEY`.
//!
//! The operations are called with the members that the SDKs know; an object's content is base64 in `Body`.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::xml::Xml;
use super::{Answer, Backend, access_key, chunked, header, query, with_length};
use crate::cloud::{ApiError, Service};

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// What `encoding-type=url` escapes.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// Answers one request.
pub(super) fn call(backend: &mut impl Backend, request: &Request<Bytes>, request_id: &str) -> Answer {
    let answer = answered(backend, request).unwrap_or_else(|error| refusal(request, &error, request_id));
    answer.header("x-amz-request-id", request_id)
}

fn refusal(request: &Request<Bytes>, error: &ApiError, request_id: &str) -> Answer {
    // These have no body, and a client would take one for the next answer's beginning.
    if request.method() == Method::HEAD || error.status == 304 {
        return Answer {
            status: error.status,
            ..Answer::default()
        };
    }
    let mut xml = Xml::new();
    xml.open("Error", "");
    xml.element("Code", &error.code);
    xml.element("Message", &error.message);
    xml.element("Resource", request.uri().path());
    xml.element("RequestId", request_id);
    xml.close("Error");
    Answer::new(error.status, "application/xml", xml.finish())
}

fn error(status: u16, code: &str, message: &str) -> ApiError {
    ApiError {
        status,
        ..ApiError::new(code, message)
    }
}

fn answered(backend: &mut impl Backend, request: &Request<Bytes>) -> Result<Answer, ApiError> {
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(String::from)
            .map_err(|_| error(400, "InvalidURI", "Couldn't parse the specified URI."))
    };
    let path = request.uri().path();
    let path = path.strip_prefix('/').unwrap_or(path);
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let (bucket, key) = (decoded(bucket)?, decoded(key)?);
    let parameters: HashMap<String, String> =
        form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let target = Target {
        request,
        bucket,
        key,
        parameters,
    };
    target.check_parameters()?;
    let key = access_key(request).map_err(|_| error(403, "AccessDenied", "Access Denied"))?;
    let mut call = |operation: &str, input: Value| backend.call(&key, Service::S3, operation, &input);
    match (
        request.method().as_str(),
        target.bucket.is_empty(),
        target.key.is_empty(),
    ) {
        ("GET", true, _) => Ok(buckets(&call("ListBuckets", json!({}))?)),
        ("HEAD", false, true) => call("HeadBucket", json!({"Bucket": target.bucket})).map(|_| Answer::empty()),
        ("GET", false, true) if target.parameters.get("list-type").is_some_and(|kind| kind == "2") => {
            let output = call("ListObjectsV2", target.list_input()?)?;
            Ok(target.objects(&output))
        }
        ("GET", false, false) => target.content(&call("GetObject", target.read_input())?, true),
        ("HEAD", false, false) => target.content(&call("HeadObject", target.read_input())?, false),
        ("PUT", false, false) if header(request, "x-amz-copy-source").is_empty() => {
            let output = call("PutObject", target.put_input()?)?;
            Ok(object_headers(with_length(Answer::empty(), 0), &output))
        }
        ("DELETE", false, false) => {
            let output = call("DeleteObject", json!({"Bucket": target.bucket, "Key": target.key}))?;
            Ok(object_headers(
                Answer {
                    status: 204,
                    ..Answer::default()
                },
                &output,
            ))
        }
        _ => Err(not_implemented()),
    }
}

fn not_implemented() -> ApiError {
    error(
        501,
        "NotImplemented",
        "A header you provided implies functionality that is not implemented",
    )
}

/// What a request is about.
struct Target<'a> {
    request: &'a Request<Bytes>,
    bucket: String,
    key: String,
    parameters: HashMap<String, String>,
}

impl Target<'_> {
    /// A parameter may name a part of a bucket or object (`?acl`, `?uploads`), which makes it quite another operation.
    fn check_parameters(&self) -> Result<(), ApiError> {
        let listing = self.key.is_empty() && self.request.method() == Method::GET;
        let known = |name: &str| match name {
            "x-id" | "versionId" => true,
            "list-type" | "prefix" | "delimiter" | "start-after" | "continuation-token" | "max-keys"
            | "encoding-type" | "fetch-owner" => listing,
            name => name.starts_with("X-Amz-") || name.starts_with("response-"),
        };
        if self.parameters.keys().all(|name| known(name)) {
            Ok(())
        } else {
            Err(not_implemented())
        }
    }

    /// The headers that make a read or a write depend on what is there.
    fn conditions(&self, input: &mut Map<String, Value>) {
        for (name, member) in [("if-match", "IfMatch"), ("if-none-match", "IfNoneMatch")] {
            let value = header(self.request, name);
            if !value.is_empty() {
                input.insert(member.to_owned(), value.into());
            }
        }
    }

    fn object(&self) -> Map<String, Value> {
        let mut input = Map::new();
        input.insert("Bucket".to_owned(), self.bucket.as_str().into());
        input.insert("Key".to_owned(), self.key.as_str().into());
        self.conditions(&mut input);
        input
    }

    fn read_input(&self) -> Value {
        let mut input = self.object();
        if let Some(version) = self.parameters.get("versionId") {
            input.insert("VersionId".to_owned(), version.as_str().into());
        }
        Value::Object(input)
    }

    fn put_input(&self) -> Result<Value, ApiError> {
        let mut input = self.object();
        input.insert("Body".to_owned(), STANDARD.encode(self.sent()?).into());
        let content_type = header(self.request, "content-type");
        if !content_type.is_empty() {
            input.insert("ContentType".to_owned(), content_type.into());
        }
        let mut metadata = Map::new();
        for (name, value) in self.request.headers() {
            if let (Some(name), Ok(value)) = (name.as_str().strip_prefix("x-amz-meta-"), value.to_str()) {
                metadata.insert(name.to_owned(), value.into());
            }
        }
        if !metadata.is_empty() {
            input.insert("Metadata".to_owned(), Value::Object(metadata));
        }
        Ok(Value::Object(input))
    }

    /// The content that was sent, freed of its transfer's chunks and held against its checksum.
    fn sent(&self) -> Result<Bytes, ApiError> {
        let encodings = header(self.request, "content-encoding");
        let is_chunked = encodings
            .split(',')
            .any(|encoding| encoding.trim().eq_ignore_ascii_case("aws-chunked"))
            || header(self.request, "x-amz-content-sha256").starts_with("STREAMING-");
        let (content, trailers) = if is_chunked {
            let decoded = chunked::decode(self.request.body()).map_err(|message| {
                error(
                    400,
                    "IncompleteBody",
                    &format!("The body is not aws-chunked: {message}"),
                )
            })?;
            (Bytes::from(decoded.content), decoded.trailers)
        } else {
            (self.request.body().clone(), Vec::new())
        };
        let length = header(self.request, "x-amz-decoded-content-length");
        if is_chunked && !length.is_empty() && length.parse() != Ok(content.len()) {
            let message = "You did not provide the number of bytes specified by the Content-Length HTTP header";
            return Err(error(400, "IncompleteBody", message));
        }
        let name = "x-amz-checksum-crc32";
        let trailing = trailers
            .iter()
            .find(|(trailer, _)| trailer == name)
            .map(|(_, value)| value.as_str());
        let wanted = trailing.unwrap_or_else(|| header(self.request, name));
        let mut crc = flate2::Crc::new();
        if !wanted.is_empty() {
            crc.update(&content);
            if STANDARD.encode(crc.sum().to_be_bytes()) != wanted {
                let message = "The CRC32 you specified did not match the calculated checksum.";
                return Err(error(400, "BadDigest", message));
            }
        }
        Ok(content)
    }

    /// The answer to a read. A HEAD's has the headers alone.
    fn content(&self, output: &Value, with_body: bool) -> Result<Answer, ApiError> {
        let content = output
            .get("Body")
            .and_then(Value::as_str)
            .map(|body| STANDARD.decode(body));
        let content = content
            .transpose()
            .map_err(|_| error(500, "InternalError", "The object's content is not base64."))?;
        let content = content.map(Bytes::from);
        let length = match &content {
            Some(content) => content.len() as u64,
            None => output.get("ContentLength").and_then(Value::as_u64).unwrap_or(0),
        };
        let mut answer = Answer::empty();
        answer.body = content.filter(|_| with_body).unwrap_or_default();
        let mut sent = length;
        match range(header(self.request, "range"), length) {
            Range::Whole => {}
            Range::Part(first, last) => {
                answer.status = 206;
                if with_body {
                    // Within the content by `range`'s word; usize is as large as what lies in memory.
                    answer.body = answer.body.slice(first as usize..=last as usize);
                }
                sent = last - first + 1;
                answer = answer.header("content-range", &format!("bytes {first}-{last}/{length}"));
            }
            Range::Beyond => return Err(error(416, "InvalidRange", "The requested range is not satisfiable")),
        }
        let content_type = output
            .get("ContentType")
            .and_then(Value::as_str)
            .unwrap_or("binary/octet-stream");
        let answer = with_length(answer, sent)
            .header("content-type", content_type)
            .header("accept-ranges", "bytes");
        Ok(object_headers(answer, output))
    }

    fn list_input(&self) -> Result<Value, ApiError> {
        let mut input = Map::new();
        input.insert("Bucket".to_owned(), self.bucket.as_str().into());
        for (name, member) in [
            ("prefix", "Prefix"),
            ("delimiter", "Delimiter"),
            ("start-after", "StartAfter"),
            ("continuation-token", "ContinuationToken"),
        ] {
            if let Some(value) = self.parameters.get(name) {
                input.insert(member.to_owned(), value.as_str().into());
            }
        }
        if let Some(value) = self.parameters.get("max-keys") {
            let message = "Provided max-keys not an integer or within integer range";
            let value: u32 = value.parse().map_err(|_| error(400, "InvalidArgument", message))?;
            input.insert("MaxKeys".to_owned(), value.into());
        }
        if self
            .parameters
            .get("encoding-type")
            .is_some_and(|encoding| encoding != "url")
        {
            return Err(error(
                400,
                "InvalidArgument",
                "Invalid Encoding Method specified in Request",
            ));
        }
        Ok(Value::Object(input))
    }

    fn objects(&self, output: &Value) -> Answer {
        let encoded = self.parameters.contains_key("encoding-type");
        let name_text = |text: &str| {
            if encoded {
                utf8_percent_encode(text, ESCAPED).to_string()
            } else {
                text.to_owned()
            }
        };
        let list = |name: &str| {
            output
                .get(name)
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default()
        };
        let mut xml = Xml::new();
        xml.open("ListBucketResult", NAMESPACE);
        xml.element("Name", &self.bucket);
        let prefix = self.parameters.get("prefix").map(String::as_str).unwrap_or_default();
        xml.element("Prefix", &name_text(prefix));
        for (name, element) in [("delimiter", "Delimiter"), ("start-after", "StartAfter")] {
            if let Some(value) = self.parameters.get(name).filter(|value| !value.is_empty()) {
                xml.element(element, &name_text(value));
            }
        }
        if let Some(token) = self.parameters.get("continuation-token") {
            xml.element("ContinuationToken", token);
        }
        if let Some(token) = output.get("NextContinuationToken").and_then(Value::as_str) {
            xml.element("NextContinuationToken", token);
        }
        if encoded {
            xml.element("EncodingType", "url");
        }
        let (contents, prefixes) = (list("Contents"), list("CommonPrefixes"));
        let asked = self.parameters.get("max-keys").map_or("1000", String::as_str);
        xml.element("MaxKeys", asked);
        xml.element("KeyCount", &(contents.len() + prefixes.len()).to_string());
        let truncated = output.get("IsTruncated").and_then(Value::as_bool).unwrap_or(false);
        xml.element("IsTruncated", if truncated { "true" } else { "false" });
        for object in contents {
            xml.open("Contents", "");
            if let Some(key) = object.get("Key").and_then(Value::as_str) {
                xml.element("Key", &name_text(key));
            }
            member(&mut xml, object, "LastModified");
            member(&mut xml, object, "ETag");
            member(&mut xml, object, "Size");
            let class = object.get("StorageClass").and_then(Value::as_str).unwrap_or("STANDARD");
            xml.element("StorageClass", class);
            xml.close("Contents");
        }
        for prefix in prefixes {
            if let Some(prefix) = prefix.get("Prefix").and_then(Value::as_str) {
                xml.open("CommonPrefixes", "");
                xml.element("Prefix", &name_text(prefix));
                xml.close("CommonPrefixes");
            }
        }
        xml.close("ListBucketResult");
        Answer::new(200, "application/xml", xml.finish())
    }
}

fn buckets(output: &Value) -> Answer {
    let mut xml = Xml::new();
    xml.open("ListAllMyBucketsResult", NAMESPACE);
    xml.open("Buckets", "");
    for bucket in output.get("Buckets").and_then(Value::as_array).into_iter().flatten() {
        xml.open("Bucket", "");
        member(&mut xml, bucket, "Name");
        member(&mut xml, bucket, "CreationDate");
        xml.close("Bucket");
    }
    xml.close("Buckets");
    xml.close("ListAllMyBucketsResult");
    Answer::new(200, "application/xml", xml.finish())
}

/// A member as an element of its name, if there is one. The dates are S3's only members of this kind.
fn member(xml: &mut Xml, of: &Value, name: &str) {
    match of.get(name) {
        Some(Value::String(text)) => xml.element(name, text),
        Some(Value::Number(seconds)) if matches!(name, "LastModified" | "CreationDate") => {
            xml.element(name, &query::iso(seconds));
        }
        Some(Value::Number(number)) => xml.element(name, &number.to_string()),
        _ => {}
    }
}

/// The headers that say what an object is.
fn object_headers(mut answer: Answer, output: &Value) -> Answer {
    for (member, name) in [("ETag", "etag"), ("VersionId", "x-amz-version-id")] {
        if let Some(value) = output.get(member).and_then(Value::as_str) {
            answer = answer.header(name, value);
        }
    }
    if output.get("DeleteMarker").and_then(Value::as_bool) == Some(true) {
        answer = answer.header("x-amz-delete-marker", "true");
    }
    let modified = output.get("LastModified").and_then(Value::as_f64);
    let modified = modified.and_then(|seconds| Timestamp::from_second(seconds as i64).ok());
    if let Some(date) = modified.and_then(|time| DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()) {
        answer = answer.header("last-modified", &date);
    }
    for (name, value) in output.get("Metadata").and_then(Value::as_object).into_iter().flatten() {
        answer = answer.header(&format!("x-amz-meta-{name}"), value.as_str().unwrap_or_default());
    }
    answer
}

/// What of a content is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// From the first to the last byte, both within the content.
    Part(u64, u64),
    Beyond,
}

/// Reads a `Range` header. One that S3 does not understand (several ranges, another unit) asks for the whole.
fn range(header: &str, length: u64) -> Range {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Range::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => Range::Whole,
        (Ok(first), _) if first >= length && (last.is_empty() || last.parse::<u64>().is_ok()) => Range::Beyond,
        (Ok(first), Ok(last)) => Range::Part(first, last.min(length - 1)),
        (Ok(first), Err(_)) if last.is_empty() => Range::Part(first, length - 1),
        (Err(_), Ok(count)) if first.is_empty() => {
            if count == 0 || length == 0 {
                Range::Beyond
            } else {
                Range::Part(length - count.min(length), length - 1)
            }
        }
        _ => Range::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (header, length, expected) in [
            ("", 10, Range::Whole),
            ("bytes=0-3", 10, Range::Part(0, 3)),
            ("bytes=4-", 10, Range::Part(4, 9)),
            ("bytes=4-99", 10, Range::Part(4, 9)),
            ("bytes=-3", 10, Range::Part(7, 9)),
            ("bytes=-30", 10, Range::Part(0, 9)),
            ("bytes=10-", 10, Range::Beyond),
            ("bytes=0-0", 0, Range::Beyond),
            ("bytes=-0", 10, Range::Beyond),
            ("bytes=-1", 0, Range::Beyond),
            ("bytes=3-1", 10, Range::Whole),
            ("bytes=0-1,3-4", 10, Range::Whole),
            ("lines=0-1", 10, Range::Whole),
            ("bytes=x-y", 10, Range::Whole),
            ("bytes=99999999999999999999-1", 10, Range::Whole),
        ] {
            assert_eq!(range(header, length), expected, "{header:?} of {length}");
        }
    }
}
