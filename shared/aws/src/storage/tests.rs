use proptest::prelude::*;

use super::*;
use crate::recorded::{Answer, Recorded, text};

fn object() -> ObjectUri {
    ObjectUri::parse("s3://artifacts/churn/evaluation report.json").unwrap()
}

#[test]
fn addresses_are_read_and_written() {
    for (uri, expected) in [
        ("s3://bucket/key", Some(("bucket", "key"))),
        ("s3://bucket/a/b c", Some(("bucket", "a/b c"))),
        ("s3://bucket/", None),
        ("s3://bucket", None),
        ("s3:///key", None),
        ("https://bucket/key", None),
    ] {
        let read = ObjectUri::parse(uri);
        let parts = read.as_ref().map(|read| (read.bucket.as_str(), read.key.as_str()));
        assert_eq!(parts, expected, "{uri}");
        if let Some(read) = read {
            assert_eq!(read.to_string(), uri);
        }
    }
}

proptest! {
    /// Whoever registers a version may name any address for its report.
    #[test]
    fn an_address_that_is_read_is_written_as_it_was(uri in "(s3://)?(?s).{0,40}") {
        if let Some(read) = ObjectUri::parse(&uri) {
            prop_assert_eq!(read.to_string(), uri);
            prop_assert!(!read.bucket.is_empty() && !read.bucket.contains('/') && !read.key.is_empty());
        }
    }
}

#[tokio::test]
async fn an_object_is_read() {
    let recorded = Recorded::new([text("content")]);
    let content = S3::new(&recorded.sdk()).read(&object(), 7).await.unwrap();
    assert_eq!(content, b"content");
    insta::assert_snapshot!(recorded.requests(), @"GET /artifacts/churn/evaluation%20report.json?x-id=GetObject");
}

#[tokio::test]
async fn an_object_that_is_too_large_is_not_read() {
    let recorded = Recorded::new([text("content")]);
    let error = S3::new(&recorded.sdk()).read(&object(), 6).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Invalid, "TooLarge"));
    assert!(
        error.message.contains("s3://artifacts/churn/evaluation report.json"),
        "{error}"
    );
}

#[tokio::test]
async fn an_object_is_written() {
    let recorded = Recorded::new([text("")]);
    let s3 = S3::new(&recorded.sdk());
    s3.write(&object(), b"new content".to_vec()).await.unwrap();
    insta::assert_snapshot!(recorded.requests(), @r"
    PUT /artifacts/churn/evaluation%20report.json?x-id=PutObject
    new content
    ");
}

fn page(objects: &[(&str, &str)], next: Option<&str>) -> Answer {
    let object = |(key, modified): &(&str, &str)| {
        format!("<Contents><Key>{key}</Key><LastModified>{modified}</LastModified><Size>1</Size></Contents>")
    };
    let objects: String = objects.iter().map(object).collect();
    let next = next.map(|token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    let truncated = next.is_some();
    let next = next.unwrap_or_default();
    text(format!(
        "<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{next}{objects}</ListBucketResult>"
    ))
}

const BEFORE: &str = "2026-03-20T09:46:40.000Z";
const AFTER: &str = "2026-03-20T09:46:41.500Z";

#[tokio::test]
async fn a_page_is_listed() {
    let recorded = Recorded::new([
        page(&[("data/", BEFORE), ("data/a b.csv", AFTER)], Some("more/+=")),
        page(&[], None),
    ]);
    let s3 = S3::new(&recorded.sdk());
    let first = s3.list("lake", "data/", None).await.unwrap();
    let object = |key: &str, modified: &str| Listed {
        key: key.to_owned(),
        bytes: 1,
        modified: modified.parse().unwrap(),
    };
    let expected = Page {
        objects: vec![object("data/", BEFORE), object("data/a b.csv", AFTER)],
        more: true,
    };
    assert_eq!(first, expected);
    let second = s3.list("lake", "data/", Some("data/a b.csv")).await.unwrap();
    assert_eq!(second, Page::default());
    insta::assert_snapshot!(recorded.requests(), @r"
    GET /lake/?list-type=2&prefix=data%2F

    GET /lake/?list-type=2&prefix=data%2F&start-after=data%2Fa%20b.csv
    ");
}
