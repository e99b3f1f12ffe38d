use super::*;
use crate::recorded::{Answer, Recorded, text, time};

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
const AFTER: &str = "2026-03-20T09:46:41.000Z";

#[tokio::test]
async fn what_is_newer_is_counted_over_all_pages() {
    let recorded = Recorded::new([
        page(
            &[("data/", AFTER), ("data/1.csv", BEFORE), ("data/2.csv", AFTER)],
            Some("more/+="),
        ),
        page(
            &[("data/3.csv", AFTER), ("data/4.csv", "2026-03-20T09:46:40.500Z")],
            None,
        ),
    ]);
    let count = S3::new(&recorded.sdk()).count_newer("lake", "data/", time(), 100).await;
    assert_eq!(count.unwrap(), 2);
    insta::assert_snapshot!(recorded.requests(), @r"
    GET /lake/?list-type=2&prefix=data%2F

    GET /lake/?list-type=2&prefix=data%2F&continuation-token=more%2F%2B%3D
    ");
}

#[tokio::test]
async fn counting_stops_at_its_bounds() {
    let full = page(
        &[("data/1.csv", AFTER), ("data/2.csv", AFTER), ("data/3.csv", AFTER)],
        Some("more"),
    );
    let old = page(&[("data/0.csv", BEFORE)], Some("more"));
    let pages = |page: &Answer, count: usize| vec![page.clone(); count];
    let table = [
        // (the pages that are read, at most, counted)
        (pages(&full, 1), 1, 1),
        (pages(&full, 1), 3, 3),
        (pages(&full, 2), 4, 4),
        (pages(&old, 10), 1, 0),
        (pages(&full, 10), u32::MAX, 30),
        (vec![page(&[], None)], 5, 0),
    ];
    for (answers, count_max, expected) in table {
        let recorded = Recorded::new(answers);
        let count = S3::new(&recorded.sdk())
            .count_newer("lake", "data/", time(), count_max)
            .await;
        assert_eq!(count.unwrap(), expected, "at most {count_max}");
        recorded.requests();
    }
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (status, code, expected) in [
        (404, "NoSuchKey", ErrorKind::NotFound),
        (404, "NoSuchBucket", ErrorKind::NotFound),
        (503, "SlowDown", ErrorKind::Transient),
        (400, "ThrottlingException", ErrorKind::Transient),
        (403, "AccessDenied", ErrorKind::Denied),
    ] {
        let answer = Answer::Refusal(status, code, "no".to_owned());
        let recorded = Recorded::new([answer.clone(), answer.clone(), answer]);
        let s3 = S3::new(&recorded.sdk());
        let errors = [
            s3.read(&object(), 1).await.unwrap_err(),
            s3.write(&object(), vec![1]).await.unwrap_err(),
            s3.count_newer("lake", "data/", time(), 1).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(
                (error.kind, error.code.as_str(), error.message.as_str()),
                (expected, code, "no"),
                "{error}"
            );
        }
        recorded.requests();
    }
}
