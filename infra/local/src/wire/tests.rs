use super::*;
use crate::cloud::effect::Invoke;

/// A cloud that says what it is told to, and keeps what it was asked.
struct Script {
    answer: Result<Value, ApiError>,
    calls: Vec<(String, Service, String, Value)>,
}

impl Script {
    fn new(answer: Result<Value, ApiError>) -> Self {
        Self {
            answer,
            calls: Vec::new(),
        }
    }

    fn answers(answer: Value) -> Self {
        Self::new(Ok(answer))
    }
}

impl Backend for Script {
    fn now(&self) -> Timestamp {
        "2026-03-02T09:00:00Z".parse().unwrap()
    }

    fn request_id(&mut self) -> String {
        "r".to_owned()
    }

    fn call(&mut self, access_key: &str, service: Service, operation: &str, input: &Value) -> Result<Value, ApiError> {
        self.calls
            .push((access_key.to_owned(), service, operation.to_owned(), input.clone()));
        self.answer.clone()
    }

    fn invoke(&mut self, access_key: &str, input: &Value, payload: &[u8]) -> Result<Started, ApiError> {
        let mut asked = input.clone();
        asked["Payload"] = json!(String::from_utf8_lossy(payload));
        self.call(access_key, Service::Lambda, "Invoke", &asked)?;
        Ok(match input["InvocationType"].as_str() {
            Some("Event") => Started::Accepted,
            Some("DryRun") => Started::Checked,
            _ => Started::Run(Invoke {
                id: 1,
                function: "f".to_owned(),
                qualifier: None,
                version: "7".to_owned(),
                request_id: "invocation".to_owned(),
                payload: json!({}),
                timeout_seconds: 3,
            }),
        })
    }
}

/// The answer to a request that waits for nothing.
fn answer(script: &mut Script, request: &Request<Bytes>) -> Response<Bytes> {
    match routed(script, request) {
        Routed::Answer(response) => response,
        Routed::Invoke(pending) => panic!("{pending:?}"),
    }
}

/// A request as it stands on the wire. `SIGNED` is the signature's header for the service after it.
fn request(head: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let mut lines = head.lines().map(str::trim);
    let (method, uri) = lines.next().unwrap().split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        request = match line.split_once(": ").unwrap() {
            ("SIGNED", service) => request.header(
                "Authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDLOCAL/20260302/eu-west-1/{service}/aws4_request, \
                     SignedHeaders=content-type;host;x-amz-date, Signature=26fd1a69"
                ),
            ),
            (name, value) => request.header(name, value),
        };
    }
    request.body(body.into()).unwrap()
}

fn text(response: &Response<Bytes>) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

/// Whether the response has these headers.
fn assert_headers(response: &Response<Bytes>, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(
            response.headers().get(*name).map(|value| value.to_str().unwrap()),
            Some(*value),
            "{name}"
        );
    }
}

fn only_call(script: &Script) -> (Service, &str, Value) {
    let [(key, service, operation, input)] = script.calls.as_slice() else {
        panic!("{:?}", script.calls)
    };
    assert_eq!(key, "AKIDLOCAL");
    (*service, operation, input.clone())
}

#[test]
fn json_goes_in_and_out() {
    let recorded = request(
        "POST /
         X-Amz-Target: CodePipeline_20150709.StartPipelineExecution
         Content-Type: application/x-amz-json-1.1
         SIGNED: codepipeline",
        r#"{"name": "p", "clientRequestToken": "32e57bca-194c-4825-80e8-9b8019a0a00b"}"#,
    );
    let mut script = Script::answers(json!({"pipelineExecutionId": "e"}));
    let response = answer(&mut script, &recorded);
    let input = json!({"name": "p", "clientRequestToken": "32e57bca-194c-4825-80e8-9b8019a0a00b"});
    assert_eq!(
        only_call(&script),
        (Service::CodePipeline, "StartPipelineExecution", input)
    );
    assert_eq!(
        (response.status().as_u16(), text(&response).as_str()),
        (200, r#"{"pipelineExecutionId":"e"}"#)
    );
    assert_headers(
        &response,
        &[
            ("content-type", "application/x-amz-json-1.1"),
            ("date", "Mon, 02 Mar 2026 09:00:00 GMT"),
            ("x-amzn-requestid", "r"),
        ],
    );
}

#[test]
fn every_target_finds_its_service() {
    for (target, service, scope, content_type) in [
        (
            "SageMaker.ListEndpoints",
            Service::SageMaker,
            "sagemaker",
            "application/x-amz-json-1.1",
        ),
        (
            "AWSEvents.ListRules",
            Service::Events,
            "events",
            "application/x-amz-json-1.1",
        ),
        (
            "AnyScaleFrontendService.DescribeScalingPolicies",
            Service::ApplicationAutoScaling,
            "application-autoscaling",
            "application/x-amz-json-1.1",
        ),
        (
            "TrentService.ListAliases",
            Service::Kms,
            "kms",
            "application/x-amz-json-1.1",
        ),
        (
            "CodeCommit_20150413.ListRepositories",
            Service::CodeCommit,
            "codecommit",
            "application/x-amz-json-1.1",
        ),
        (
            "CodeBuild_20161006.ListProjects",
            Service::CodeBuild,
            "codebuild",
            "application/x-amz-json-1.1",
        ),
        (
            "AmazonSQS.ListQueues",
            Service::Sqs,
            "sqs",
            "application/x-amz-json-1.0",
        ),
        (
            "GraniteServiceVersion20100801.DescribeAlarms",
            Service::CloudWatch,
            "monitoring",
            "application/x-amz-json-1.0",
        ),
    ] {
        let mut script = Script::answers(Value::Null);
        let head = format!("POST /\nX-Amz-Target: {target}\nSIGNED: {scope}");
        let response = answer(&mut script, &request(&head, ""));
        assert_eq!(
            only_call(&script),
            (service, target.split_once('.').unwrap().1, json!({}))
        );
        assert_eq!(text(&response), "{}", "{target}");
        assert_headers(&response, &[("content-type", content_type)]);
    }
}

#[test]
fn an_operation_without_an_output_answers_nothing() {
    for (head, content_type) in [
        (
            "POST /\nX-Amz-Target: SageMaker.DeleteEndpoint\nSIGNED: sagemaker",
            None,
        ),
        (
            "POST /service/CodePipeline_20150709/operation/PutJobSuccessResult\nsmithy-protocol: rpc-v2-cbor\nSIGNED: codepipeline",
            None,
        ),
    ] {
        let response = answer(&mut Script::answers(json!({})), &request(head, ""));
        assert_eq!((response.status().as_u16(), response.body().len()), (200, 0), "{head}");
        assert_eq!(response.headers().get("content-type"), content_type, "{head}");
    }
}

#[test]
fn cbor_goes_in_and_out_by_the_model() {
    let body = cbor::encode_plain(&json!({"pipelineName": "p", "stageName": "s"}));
    let recorded = request(
        "POST /service/CodePipeline_20150709/operation/PutApprovalResult
         smithy-protocol: rpc-v2-cbor
         Content-Type: application/cbor
         SIGNED: codepipeline",
        body,
    );
    let mut script = Script::answers(json!({"approvedAt": 1_772_442_000.5}));
    let response = answer(&mut script, &recorded);
    let input = json!({"pipelineName": "p", "stageName": "s"});
    assert_eq!(only_call(&script), (Service::CodePipeline, "PutApprovalResult", input));
    assert_headers(
        &response,
        &[("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")],
    );
    // A map of one, the name, and a timestamp's tag.
    let body = response.body();
    assert_eq!(
        (body[0], &body[2..12], body[12]),
        (0xa1, b"approvedAt".as_slice(), 0xc1)
    );
    assert_eq!(cbor::decode(body), Ok(json!({"approvedAt": 1_772_442_000.5})));
}

#[test]
fn queries_go_in_and_xml_comes_out() {
    let recorded = request(
        "POST /
         Content-Type: application/x-www-form-urlencoded; charset=utf-8
         SIGNED: sns",
        "Action=Publish&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A123456789012%3At&Message=hi",
    );
    let mut script = Script::answers(json!({"MessageId": "m"}));
    let response = answer(&mut script, &recorded);
    let input = json!({"TopicArn": "arn:aws:sns:eu-west-1:123456789012:t", "Message": "hi"});
    assert_eq!(only_call(&script), (Service::Sns, "Publish", input));
    assert_headers(&response, &[("content-type", "text/xml")]);
    assert!(
        text(&response).contains("<PublishResult><MessageId>m</MessageId></PublishResult>"),
        "{}",
        text(&response)
    );
    let mut script = Script::answers(json!({"Account": "1"}));
    let get = request("GET /?Action=GetCallerIdentity&Version=2011-06-15\nSIGNED: sts", "");
    assert!(text(&answer(&mut script, &get)).contains("<Account>1</Account>"));
    assert_eq!(only_call(&script), (Service::Sts, "GetCallerIdentity", json!({})));
}

#[test]
fn refusals_are_in_the_protocols_form() {
    let refusal = ApiError {
        status: 403,
        ..ApiError::new("AccessDenied", "not <you>")
    };
    let json_body = r#"{"__type":"AccessDenied","message":"not <you>"}"#;
    let query_body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
                      <Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not &lt;you&gt;</Message></Error>\
                      <RequestId>r</RequestId></ErrorResponse>";
    let s3_body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>not &lt;you&gt;</Message>\
                   <Resource>/b/k</Resource><RequestId>r</RequestId></Error>";
    for (head, body, expected) in [
        (
            "POST /\nX-Amz-Target: SageMaker.ListEndpoints\nSIGNED: sagemaker",
            "",
            json_body,
        ),
        (
            "POST /\ncontent-type: application/x-www-form-urlencoded\nSIGNED: sns",
            "Action=ListTopics&Version=2010-03-31",
            query_body,
        ),
        ("GET /b/k\nSIGNED: s3", "", s3_body),
        ("HEAD /b/k\nSIGNED: s3", "", ""),
    ] {
        let response = answer(&mut Script::new(Err(refusal.clone())), &request(head, body));
        assert_eq!(
            (response.status().as_u16(), text(&response).as_str()),
            (403, expected),
            "{head}"
        );
    }
    let head = "POST /\nX-Amz-Target: SageMaker.ListEndpoints\nSIGNED: sagemaker";
    let response = answer(&mut Script::new(Err(refusal.clone())), &request(head, ""));
    assert_headers(&response, &[("x-amzn-errortype", "AccessDenied")]);
    let head = "POST /service/CodePipeline_20150709/operation/ListPipelines\nsmithy-protocol: rpc-v2-cbor\nSIGNED: codepipeline";
    let response = answer(&mut Script::new(Err(refusal)), &request(head, ""));
    let expected = json!({"__type": "com.amazonaws.codepipeline#AccessDenied", "message": "not <you>"});
    assert_eq!(
        (response.status().as_u16(), cbor::decode(response.body())),
        (403, Ok(expected))
    );
    assert_headers(
        &response,
        &[("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")],
    );
}

#[test]
fn what_is_malformed_is_refused_before_it_is_a_call() {
    let form = "content-type: application/x-www-form-urlencoded";
    for (head, body, status, code) in [
        (
            "POST /\nX-Amz-Target: SageMaker.CreateCluster\nSIGNED: sagemaker",
            "{}",
            400,
            "UnknownOperationException",
        ),
        (
            "POST /\nX-Amz-Target: Nothing.Nothing\nSIGNED: sagemaker",
            "{}",
            404,
            "UnknownOperationException",
        ),
        (
            "POST /\nX-Amz-Target: SageMaker\nSIGNED: sagemaker",
            "{}",
            400,
            "UnknownOperationException",
        ),
        (
            "POST /\nX-Amz-Target: SageMaker.ListEndpoints\nSIGNED: sagemaker",
            "{",
            400,
            "SerializationException",
        ),
        (
            "POST /\nX-Amz-Target: SageMaker.ListEndpoints",
            "{}",
            403,
            "MissingAuthenticationTokenException",
        ),
        (
            "POST /\nX-Amz-Target: SageMaker.ListEndpoints\nAuthorization: Credential=a/b",
            "{}",
            403,
            "MissingAuthenticationTokenException",
        ),
        (
            "POST /service/CodeBuild_20161006/operation/ListProjects\nsmithy-protocol: rpc-v2-cbor\nSIGNED: codebuild",
            "\u{7f}",
            400,
            "SerializationException",
        ),
        (
            "POST /service/x\nsmithy-protocol: rpc-v2-cbor\nSIGNED: codebuild",
            "",
            404,
            "UnknownOperationException",
        ),
        (
            &format!("POST /\n{form}\nSIGNED: sns"),
            "Action=Nothing&Version=2010-03-31",
            400,
            "InvalidAction",
        ),
        (
            &format!("POST /\n{form}\nSIGNED: sns"),
            "Action=Publish&Version=2020-01-01",
            400,
            "InvalidAction",
        ),
        (&format!("POST /\n{form}\nSIGNED: sns"), "", 400, "MissingAction"),
        (
            &format!("POST /\n{form}"),
            "Action=Publish&Version=2010-03-31",
            403,
            "MissingAuthenticationToken",
        ),
        (
            &format!("POST /\n{form}\nSIGNED: ec2"),
            "Action=Publish",
            404,
            "UnknownOperationException",
        ),
        (
            "GET /schedules/default\nSIGNED: scheduler",
            "",
            404,
            "UnknownOperationException",
        ),
        ("GET /b/k", "", 403, "AccessDenied"),
        ("GET /b/%ff\nSIGNED: s3", "", 400, "InvalidURI"),
        ("GET /b?acl\nSIGNED: s3", "", 501, "NotImplemented"),
        ("POST /b/k?uploads\nSIGNED: s3", "", 501, "NotImplemented"),
        (
            "PUT /b/k?partNumber=1&uploadId=u\nSIGNED: s3",
            "",
            501,
            "NotImplemented",
        ),
        (
            "PUT /b/k\nx-amz-copy-source: /b/j\nSIGNED: s3",
            "",
            501,
            "NotImplemented",
        ),
        (
            "PUT /b/k\nx-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\nSIGNED: s3",
            "hello",
            400,
            "IncompleteBody",
        ),
        (
            "PUT /b/k\nx-amz-checksum-crc32: AAAAAA==\nSIGNED: s3",
            "hello",
            400,
            "BadDigest",
        ),
        ("GET /b?list-type=2&max-keys=-1\nSIGNED: s3", "", 400, "InvalidArgument"),
        (
            "GET /b?list-type=2&encoding-type=base64\nSIGNED: s3",
            "",
            400,
            "InvalidArgument",
        ),
    ] {
        let mut script = Script::answers(json!({}));
        let response = answer(&mut script, &request(head, body.to_owned()));
        assert_eq!(response.status().as_u16(), status, "{head}");
        let body = String::from_utf8_lossy(response.body());
        assert!(body.contains(code), "{head}: {body}");
        assert_eq!(script.calls, [], "{head}");
    }
}

#[test]
fn the_signer_is_found_wherever_the_signature_is() {
    let key = |access_key: &str, service: &str| {
        Some(Credential {
            access_key: access_key.to_owned(),
            service: service.to_owned(),
        })
    };
    for (head, expected) in [
        ("GET /\nSIGNED: s3", key("AKIDLOCAL", "s3")),
        (
            "GET /\nAuthorization: AWS4-HMAC-SHA256 Credential=a/b/20260302/eu-west-1/kms/aws4_request",
            key("a/b", "kms"),
        ),
        (
            "GET /b/k?X-Amz-Credential=K%2F20260302%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Signature=s",
            key("K", "s3"),
        ),
        ("GET /\nAuthorization: Bearer x", None),
        ("GET /\nAuthorization: AWS4-HMAC-SHA256 Credential=a/b/c", None),
        ("GET /", None),
    ] {
        assert_eq!(credential(&request(head, "")), expected, "{head}");
    }
}

#[test]
fn objects_are_written() {
    let put = json!({
        "Bucket": "b", "Key": "k/a b+ü.txt", "Body": "aGVsbG8=", "ContentType": "text/plain", "Metadata": {"a": "b"},
        "IfNoneMatch": "*"
    });
    let plain = "PUT /b/k/a%20b%2B%C3%BC.txt?x-id=PutObject\nx-amz-meta-a: b\nx-amz-checksum-crc32: NhCmhg==\n\
                 x-amz-content-sha256: 2cf24dba\ncontent-type: text/plain\nif-none-match: *\nSIGNED: s3";
    let chunked = "PUT /b/k/a%20b%2B%C3%BC.txt\nx-amz-meta-a: b\nx-amz-trailer: x-amz-checksum-crc32\ncontent-type: text/plain\n\
                   content-encoding: aws-chunked\nx-amz-decoded-content-length: 5\nif-none-match: *\nSIGNED: s3";
    for (head, body) in [
        (plain, "hello"),
        (chunked, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"),
    ] {
        let mut script = Script::answers(json!({"ETag": "\"e\"", "VersionId": "v"}));
        let response = answer(&mut script, &request(head, body));
        assert_eq!(response.status().as_u16(), 200, "{}", text(&response));
        assert_eq!(only_call(&script), (Service::S3, "PutObject", put.clone()));
        assert_headers(
            &response,
            &[("etag", "\"e\""), ("x-amz-version-id", "v"), ("content-length", "0")],
        );
    }
    let wrong = request(&chunked.replace(": 5", ": 6"), "5\r\nhello\r\n0\r\n\r\n");
    assert!(text(&answer(&mut Script::answers(json!({})), &wrong)).contains("IncompleteBody"));
}

#[test]
fn objects_are_read() {
    let object = json!({
        "Body": "aGVsbG8=", "ContentType": "text/plain", "ETag": "\"e\"", "LastModified": 1_772_442_000.7, "Metadata": {"a": "b"}
    });
    let found = json!({"Bucket": "b", "Key": "k"});
    for (head, operation, input, status, body, length) in [
        (
            "GET /b/k?x-id=GetObject\nSIGNED: s3",
            "GetObject",
            &found,
            200,
            "hello",
            "5",
        ),
        (
            "GET /b/k\nrange: bytes=1-2\nSIGNED: s3",
            "GetObject",
            &found,
            206,
            "el",
            "2",
        ),
        ("HEAD /b/k\nSIGNED: s3", "HeadObject", &found, 200, "", "5"),
        (
            "HEAD /b/k\nrange: bytes=1-2\nSIGNED: s3",
            "HeadObject",
            &found,
            206,
            "",
            "2",
        ),
        (
            "GET /b/k?versionId=v\nif-none-match: \"x\"\nSIGNED: s3",
            "GetObject",
            &json!({"Bucket": "b", "Key": "k", "VersionId": "v", "IfNoneMatch": "\"x\""}),
            200,
            "hello",
            "5",
        ),
    ] {
        let mut script = Script::answers(object.clone());
        let response = answer(&mut script, &request(head, ""));
        assert_eq!(only_call(&script), (Service::S3, operation, input.clone()), "{head}");
        assert_eq!(
            (response.status().as_u16(), text(&response).as_str()),
            (status, body),
            "{head}"
        );
        assert_headers(
            &response,
            &[
                ("content-length", length),
                ("content-type", "text/plain"),
                ("etag", "\"e\""),
                ("last-modified", "Mon, 02 Mar 2026 09:00:00 GMT"),
                ("x-amz-meta-a", "b"),
            ],
        );
    }
    let beyond = request("GET /b/k\nrange: bytes=5-\nSIGNED: s3", "");
    assert_eq!(answer(&mut Script::answers(object), &beyond).status().as_u16(), 416);
    let unchanged = ApiError {
        status: 304,
        ..ApiError::new("NotModified", "Not Modified")
    };
    let response = answer(&mut Script::new(Err(unchanged)), &request("GET /b/k\nSIGNED: s3", ""));
    assert_eq!((response.status().as_u16(), response.body().len()), (304, 0));
}

#[test]
fn buckets_are_listed_and_objects_deleted() {
    let mut script = Script::answers(json!({
        "Contents": [{"Key": "k/a b+<ü>", "Size": 5, "ETag": "\"e\"", "LastModified": 1_772_442_000}],
        "CommonPrefixes": [{"Prefix": "k/d/"}], "IsTruncated": true, "NextContinuationToken": "t2"
    }));
    let head = "GET /b?list-type=2&prefix=k%2F&delimiter=%2F&encoding-type=url&max-keys=2&continuation-token=t1&start-after=k\n\
                SIGNED: s3";
    let response = answer(&mut script, &request(head, ""));
    let input = json!({
        "Bucket": "b", "Prefix": "k/", "Delimiter": "/", "MaxKeys": 2, "ContinuationToken": "t1", "StartAfter": "k"
    });
    assert_eq!(only_call(&script), (Service::S3, "ListObjectsV2", input));
    assert_eq!(
        text(&response).split_once('\n').unwrap().1,
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix>k/</Prefix>\
         <Delimiter>/</Delimiter><StartAfter>k</StartAfter><ContinuationToken>t1</ContinuationToken>\
         <NextContinuationToken>t2</NextContinuationToken><EncodingType>url</EncodingType><MaxKeys>2</MaxKeys>\
         <KeyCount>2</KeyCount><IsTruncated>true</IsTruncated><Contents><Key>k/a%20b%2B%3C%C3%BC%3E</Key>\
         <LastModified>2026-03-02T09:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>5</Size>\
         <StorageClass>STANDARD</StorageClass></Contents><CommonPrefixes><Prefix>k/d/</Prefix></CommonPrefixes>\
         </ListBucketResult>"
    );
    for (head, operation, input, status, contained) in [
        (
            "GET /\nSIGNED: s3",
            "ListBuckets",
            json!({}),
            200,
            "<Bucket><Name>b</Name></Bucket>",
        ),
        ("HEAD /b\nSIGNED: s3", "HeadBucket", json!({"Bucket": "b"}), 200, ""),
        ("HEAD /b/\nSIGNED: s3", "HeadBucket", json!({"Bucket": "b"}), 200, ""),
        (
            "DELETE /b/k%2Fl\nSIGNED: s3",
            "DeleteObject",
            json!({"Bucket": "b", "Key": "k/l"}),
            204,
            "",
        ),
    ] {
        let mut script = Script::answers(json!({"Buckets": [{"Name": "b"}]}));
        let response = answer(&mut script, &request(head, ""));
        assert_eq!(only_call(&script), (Service::S3, operation, input), "{head}");
        assert_eq!(response.status().as_u16(), status, "{head}");
        assert!(text(&response).contains(contained), "{head}: {}", text(&response));
    }
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_answered(
        kind in 0..5usize, body: Vec<u8>, path in "/[ -~&&[^#<>\"`{}^|\\\\ ]]{0,40}", value in "[ -~]{0,60}",
    ) {
        let fixed = [
            ("x-amz-target", "SageMaker.ListEndpoints"),
            ("smithy-protocol", "rpc-v2-cbor"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("authorization", value.as_str()),
        ];
        let (name, fixed_value) = fixed[kind];
        let built = Request::builder().method("PUT").uri(&path).header(name, fixed_value)
            .header("range", &value).header("authorization", format!("Credential={value}/1/2/s3/4"))
            .body(Bytes::from(body));
        if let Ok(request) = built {
            let response = answer(&mut Script::answers(json!({"Body": "aGVsbG8="})), &request);
            proptest::prop_assert!(response.status().as_u16() >= 200);
        }
    }
}

#[test]
fn lambda_is_asked_by_path_query_and_headers() {
    let path = "/2015-03-31/functions";
    for (head, body, expected, status) in [
        (
            "POST {}/f%3Alive/invocations\nSIGNED lambda\nx-amz-invocation-type: Event",
            "{}",
            Some((
                "Invoke",
                json!({"FunctionName": "f:live", "InvocationType": "Event", "Payload": "{}"}),
            )),
            202,
        ),
        (
            "POST {}/f/invocations?Qualifier=7\nSIGNED lambda\nx-amz-invocation-type: DryRun\nx-amz-log-type: None",
            "",
            Some((
                "Invoke",
                json!({"FunctionName": "f", "Qualifier": "7", "InvocationType": "DryRun", "LogType": "None", "Payload": ""}),
            )),
            204,
        ),
        (
            "GET {}/f/aliases/live\nSIGNED lambda",
            "",
            Some(("GetAlias", json!({"FunctionName": "f", "Name": "live"}))),
            200,
        ),
        ("GET {}/f\nSIGNED lambda", "", None, 404),
        ("POST {}/f/invocations/x\nSIGNED lambda", "", None, 404),
    ] {
        let head = head.replace("{}", path).replace("SIGNED lambda", "SIGNED: lambda");
        let mut script = Script::answers(json!({"Name": "live"}));
        let response = answer(&mut script, &request(&head, body));
        assert_eq!(response.status(), status, "{head}");
        match expected {
            Some((operation, input)) => assert_eq!(only_call(&script), (Service::Lambda, operation, input)),
            None => assert_eq!(script.calls, []),
        }
    }
}

#[test]
fn lambda_refuses_in_rest_json() {
    let error = ApiError {
        status: 404,
        ..ApiError::new("ResourceNotFoundException", "Function not found: f")
    };
    let mut script = Script::new(Err(error));
    let response = answer(
        &mut script,
        &request("POST /2015-03-31/functions/f/invocations\nSIGNED: lambda", "{}"),
    );
    assert_eq!(response.status(), 404);
    assert_headers(&response, &[("x-amzn-errortype", "ResourceNotFoundException")]);
    assert_eq!(text(&response), r#"{"Message":"Function not found: f","Type":"User"}"#);
}

#[test]
fn an_invocation_that_is_waited_for_is_left_to_the_front_end() {
    let mut script = Script::answers(Value::Null);
    let request = request("POST /2015-03-31/functions/f/invocations\nSIGNED: lambda", r#"{"a":1}"#);
    let Routed::Invoke(pending) = routed(&mut script, &request) else {
        panic!("it was answered")
    };
    assert_eq!(pending.invoke.version, "7");
}
