//! What the benchmark of the functions' starts replays: for each function an event, and what AWS answers to the calls for it.
//!
//! Snapshots beside the benchmark, so that what it measures is what the functions do now: with each change of their calls they are
//! reviewed and kept anew.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tests::candidate::Candidate;
use tests::connector::Exchange;
use tests::world::{Recorded, World};

/// The benchmark's clock is the machine's, and no link must have expired by it.
const BEGINS: &str = "2099-03-02T09:00:00Z";

/// A body as text, or else as base64.
fn body(bytes: &Bytes) -> (&'static str, Value) {
    // The SDK's maps are in another order each time; these are not.
    if let Ok(json) = serde_json::from_slice::<Value>(bytes) {
        return ("text", json.to_string().into());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => ("text", text.into()),
        Err(_) => ("base64", BASE64_STANDARD.encode(bytes).into()),
    }
}

fn headers(headers: &http::HeaderMap, names: &[&str]) -> BTreeMap<String, String> {
    let wanted = headers.iter().filter(|(name, _)| names.contains(&name.as_str()));
    wanted
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()))
        .collect()
}

fn call(exchange: &Exchange) -> Value {
    let Exchange { request, response } = exchange;
    let ((sent, request_body), (got, response_body)) = (body(request.body()), body(response.body()));
    json!({
        "request": {
            "method": request.method().as_str(),
            "path": request.uri().path_and_query().map_or("/", |path| path.as_str()),
            "headers": headers(request.headers(), &["x-amz-target", "content-type", "smithy-protocol"]),
            sent: request_body,
        },
        "response": {
            "status": response.status().as_u16(),
            "headers": headers(response.headers(), &["content-type", "smithy-protocol", "etag"]),
            got: response_body,
        },
    })
}

/// A second release, a push aside, a new version of a function, half an hour of sweeps.
fn story() -> (World, Vec<Recorded>) {
    let mut world = World::deploy_at(BEGINS, 3, &[], None).unwrap().without_traffic();
    for version in 1..=2 {
        if version == 2 {
            world.record();
        }
        let accuracy = 0.90 + 0.02 * f64::from(version);
        let link = world.propose(&Candidate::of_accuracy(accuracy)).unwrap();
        world.open(&link).unwrap();
        world.decide(&link, "approve", "fine").unwrap();
        world.until_outcome(version, "deployed").unwrap();
    }
    world.push_to("experiment", &Candidate::of_accuracy(0.95)).unwrap();
    world.cloud().update_function("tumour-sync-approval").unwrap();
    world.run_for(SignedDuration::from_mins(30)).unwrap();
    let recorded = world.take_recorded();
    (world, recorded)
}

#[test]
fn the_benchmark_of_starts_replays_what_the_functions_do() {
    let (world, recorded) = story();
    let mut busiest: BTreeMap<&str, &Recorded> = BTreeMap::new();
    for handled in &recorded {
        let name = handled.function.trim_start_matches("tumour-");
        let known = busiest.entry(name).or_insert(handled);
        if handled.exchanges.len() > known.exchanges.len() {
            *known = handled;
        }
    }
    assert_eq!(busiest.len(), world.cloud().functions().len(), "{:?}", busiest.keys());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../bench/exchanges");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    for (name, handled) in busiest {
        let environment = world.cloud().function_environment(&handled.function).unwrap();
        let calls: Vec<Value> = handled.exchanges.iter().map(call).collect();
        let replayed = json!({"environment": environment, "event": handled.event, "calls": calls});
        insta::assert_snapshot!(name, serde_json::to_string_pretty(&replayed).unwrap());
    }
}
