//! Functions that callers wait for, over HTTP, with a runtime in a few lines of Python.

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::*;

const TEMPLATE: &str = r"
Transform: AWS::Serverless-2016-10-31
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      {FunctionName: f, CodeUri: f, Runtime: provided.al2023, Handler: bootstrap, AutoPublishAlias: live, FunctionUrlConfig: {AuthType: NONE}}
";

/// Answers with its version and the ARN that it was invoked by, or fails if the event says so.
const RUNTIME: &str = r#"
import json, os, urllib.request
base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"].removeprefix("http://") + "/2018-06-01/runtime/invocation/"
def post(path, body):
    urllib.request.urlopen(urllib.request.Request(base + path, json.dumps(body).encode(), method="POST"))
while True:
    with urllib.request.urlopen(base + "next") as response:
        event = json.load(response)
        request = response.headers["Lambda-Runtime-Aws-Request-Id"]
        arn = response.headers["Lambda-Runtime-Invoked-Function-Arn"]
    if event.get("fail"):
        post(request + "/error", {"errorType": "Bad", "errorMessage": "no"})
    else:
        post(request + "/response", {"version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"], "arn": arn})
"#;

async fn started(folder: &Path) -> Running {
    let (listener, target) = tests::listening().await;
    let stack = Stack::load(TEMPLATE, &BTreeMap::new(), &target).unwrap();
    let options = Options {
        port: 0,
        speed: 1.0,
        seed: 1,
        data: None,
    };
    let ground = Ground::prepare(&stack, &options).await.unwrap();
    let cloud = Cloud::deploy(stack, target, "2026-01-01T00:00:00Z".parse().unwrap(), 1).unwrap();
    let (python, workspace) = (binaries::python().unwrap(), binaries::workspace().unwrap());
    let binary = folder.join("f");
    fs::write(&binary, format!("#!{}{RUNTIME}", python.display())).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let built = BTreeMap::from([("f".to_owned(), binary)]);
    Running::run(cloud, ground, listener, &built, python, workspace, &options)
        .await
        .unwrap()
}

async fn post(running: &Running, path: &str, headers: &[(&str, &str)], body: &Value) -> Response<String> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::post(format!("{}{path}", running.base_url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(head, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_caller_waits_for_the_version_that_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let running = started(folder.path()).await;
    let signed = (
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDLOCAL/20260302/eu-west-1/lambda/aws4_request, SignedHeaders=host, Signature=26fd1a69",
    );
    let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:f");
    for (name, version, suffix) in [
        ("f", "$LATEST", ""),
        ("f:live", "1", ":live"),
        ("f%3A1", "1", ":1"),
        (
            "arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Af%3Alive",
            "1",
            ":live",
        ),
    ] {
        let path = format!("/2015-03-31/functions/{name}/invocations");
        let response = post(&running, &path, &[signed], &json!({})).await;
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(
            (
                response.status().as_u16(),
                header("x-amz-executed-version"),
                header("x-amz-function-error")
            ),
            (200, Some(version), None),
            "{name}: {}",
            response.body()
        );
        let answer: Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!(
            answer,
            json!({"version": version, "arn": format!("{arn}{suffix}")}),
            "{name}"
        );
    }
    let path = "/2015-03-31/functions/f/invocations?Qualifier=live";
    let response = post(&running, path, &[signed], &json!({"fail": true})).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-amz-function-error"]),
        (200, &http::HeaderValue::from_static("Unhandled"))
    );
    assert_eq!(response.body(), r#"{"errorMessage":"no","errorType":"Bad"}"#);
    let event = ("X-Amz-Invocation-Type", "Event");
    let response = post(&running, path, &[signed, event], &json!({})).await;
    assert_eq!((response.status().as_u16(), response.body().as_str()), (202, ""));
    let response = post(
        &running,
        "/2015-03-31/functions/f:blue/invocations",
        &[signed],
        &json!({}),
    )
    .await;
    assert_eq!(response.status(), 404);

    // The URL is the alias's, and follows it.
    running.cloud().update_function("f").unwrap();
    let response = post(&running, "/function-url/f:live/", &[], &json!({})).await;
    let answer: Value = serde_json::from_str(response.body()).unwrap();
    assert_eq!(answer["version"], "2");
    assert_eq!(post(&running, "/function-url/f/", &[], &json!({})).await.status(), 403);
    running.stop().await;
}
