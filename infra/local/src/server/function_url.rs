//! Function URLs: an HTTP request as the event that Lambda makes of it, and the function's answer as the response.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The event, payload format 2.0. `prefix` is what stands in the path before the function's own.
pub(super) fn event(head: &Parts, prefix: &str, body: &[u8], now: Timestamp, request_id: &str) -> Value {
    let text = |name: &HeaderName| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let path = head.uri.path().strip_prefix(prefix).unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    let query = head.uri.query().unwrap_or_default();
    let host = text(&HOST);
    let api_id = prefix.rsplit('/').next().unwrap_or_default();

    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in &head.headers {
        if name == COOKIE {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str())
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    for (name, value) in [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "http")] {
        headers.insert(name, value.to_owned());
    }

    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": api_id,
            "domainName": host,
            "domainPrefix": api_id,
            "http": {
                "method": head.method.as_str(),
                "path": path,
                "protocol": format!("{:?}", head.version),
                "sourceIp": "127.0.0.1",
                "userAgent": text(&USER_AGENT),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "isBase64Encoded": false,
    });
    // Lambda leaves out what there is none of.
    let mut optional = Map::new();
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters
            .entry(name.into_owned())
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    if !parameters.is_empty() {
        optional.insert("queryStringParameters".to_owned(), json!(parameters));
    }
    let cookies: Vec<&str> = head
        .headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|cookie| !cookie.is_empty())
        .collect();
    if !cookies.is_empty() {
        optional.insert("cookies".to_owned(), json!(cookies));
    }
    if !body.is_empty() {
        let readable = std::str::from_utf8(body).ok().filter(|_| is_text(text(&CONTENT_TYPE)));
        let encoded = readable.map_or_else(|| BASE64_STANDARD.encode(body), str::to_owned);
        optional.insert("body".to_owned(), Value::String(encoded));
        optional.insert("isBase64Encoded".to_owned(), Value::Bool(readable.is_none()));
    }
    if let Value::Object(event) = &mut event {
        event.append(&mut optional);
    }
    event
}

/// Whether Lambda passes a body of this type as it is.
fn is_text(content_type: &str) -> bool {
    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind.starts_with("text/")
        || matches!(
            kind.as_str(),
            "application/json" | "application/javascript" | "application/xml" | "application/x-www-form-urlencoded"
        )
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
}

/// The response that a function's answer stands for. An answer without `statusCode` is the body itself, as JSON.
pub(super) fn response(answer: &Value) -> Response<Bytes> {
    let Some(status) = answer.get("statusCode") else {
        let body = match answer {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut response = Response::new(Bytes::from(body));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return response;
    };
    let status = status.as_u64().and_then(|status| u16::try_from(status).ok());
    // An informational status is no final answer.
    let Some(status) = status
        .filter(|status| *status >= 200)
        .and_then(|status| StatusCode::from_u16(status).ok())
    else {
        return failure();
    };
    let body = match answer.get("body") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) if answer.get("isBase64Encoded") == Some(&Value::Bool(true)) => {
            match BASE64_STANDARD.decode(text) {
                Ok(body) => body,
                Err(_) => return failure(),
            }
        }
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(_) => return failure(),
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let given = answer.get("headers").and_then(Value::as_object);
    for (name, value) in given.into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return failure();
        };
        // The server counts the bytes itself.
        if name != http::header::CONTENT_LENGTH && name != http::header::TRANSFER_ENCODING {
            headers.insert(name, value);
        }
    }
    for cookie in answer.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        match cookie.as_str().map(HeaderValue::try_from) {
            Some(Ok(cookie)) => headers.append(SET_COOKIE, cookie),
            _ => return failure(),
        };
    }
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

/// What Lambda answers for a function that failed or whose answer is none.
pub(super) fn failure() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"{\"message\":\"Internal Server Error\"}"));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn made(request: http::request::Builder, body: &[u8]) -> Value {
        let (head, ()) = request.body(()).unwrap().into_parts();
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        event(&head, "/function-url/m-decide", body, now, "r")
    }

    #[test]
    fn an_anonymous_get() {
        let request = Request::get("/function-url/m-decide/?t=a%20b&t=c")
            .header("Host", "127.0.0.1:1")
            .header("X-A", "b");
        let event = made(request, b"");
        assert_eq!(
            event,
            json!({
                "version": "2.0",
                "routeKey": "$default",
                "rawPath": "/",
                "rawQueryString": "t=a%20b&t=c",
                "headers": {"host": "127.0.0.1:1", "x-a": "b", "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http"},
                "queryStringParameters": {"t": "a b,c"},
                "requestContext": {
                    "accountId": "anonymous",
                    "apiId": "m-decide",
                    "domainName": "127.0.0.1:1",
                    "domainPrefix": "m-decide",
                    "http": {"method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
                    "requestId": "r",
                    "routeKey": "$default",
                    "stage": "$default",
                    "time": "02/Jan/2026:03:04:05 +0000",
                    "timeEpoch": 1_767_323_045_000_u64,
                },
                "isBase64Encoded": false,
            })
        );
        let bare = made(Request::get("/function-url/m-decide"), b"");
        for absent in ["body", "cookies", "queryStringParameters"] {
            assert_eq!(bare.get(absent), None, "{absent}");
        }
        assert_eq!(bare["rawPath"], "/");
    }

    #[test]
    fn bodies_and_cookies() {
        for (kind, body, expected, encoded) in [
            ("application/x-www-form-urlencoded", &b"a=b"[..], "a=b", false),
            ("text/plain; charset=utf-8", b"\xc3\xa4", "ä", false),
            ("text/plain", b"\xff", "/w==", true),
            ("application/octet-stream", b"abc", "YWJj", true),
            ("application/vnd.x+json", b"{}", "{}", false),
        ] {
            let event = made(
                Request::post("/function-url/m-decide/a").header("Content-Type", kind),
                body,
            );
            assert_eq!(
                (&event["body"], &event["isBase64Encoded"]),
                (&json!(expected), &json!(encoded)),
                "{kind}"
            );
        }
        let event = made(
            Request::get("/function-url/m-decide/").header("Cookie", "a=1; b=2"),
            b"",
        );
        assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
        assert_eq!(event["headers"].get("cookie"), None);
    }

    #[test]
    fn answers() {
        for (answer, status, body, kind) in [
            (
                json!({"statusCode": 200, "headers": {"content-type": "text/html"}, "body": "<p>"}),
                200,
                "<p>",
                "text/html",
            ),
            (json!({"statusCode": 404}), 404, "", "application/json"),
            (
                json!({"statusCode": 200, "body": "YWJj", "isBase64Encoded": true}),
                200,
                "abc",
                "application/json",
            ),
            (json!({"a": 1}), 200, "{\"a\":1}", "application/json"),
            (json!("text"), 200, "text", "application/json"),
            (
                json!({"statusCode": "x"}),
                502,
                "{\"message\":\"Internal Server Error\"}",
                "application/json",
            ),
            (
                json!({"statusCode": 100}),
                502,
                "{\"message\":\"Internal Server Error\"}",
                "application/json",
            ),
            (
                json!({"statusCode": 200, "body": 1}),
                502,
                "{\"message\":\"Internal Server Error\"}",
                "application/json",
            ),
            (
                json!({"statusCode": 200, "headers": {"a": "b\r\nc: d"}}),
                502,
                "{\"message\":\"Internal Server Error\"}",
                "application/json",
            ),
        ] {
            let response = response(&answer);
            assert_eq!(response.status().as_u16(), status, "{answer}");
            assert_eq!(response.body(), body, "{answer}");
            assert_eq!(response.headers()[CONTENT_TYPE], kind, "{answer}");
        }
        let response = response(&json!({"statusCode": 200, "cookies": ["a=1", "b=2"]}));
        assert_eq!(response.headers().get_all(SET_COOKIE).iter().count(), 2);
    }
}
