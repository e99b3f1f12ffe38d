//! One end-to-end run: the demo, with the real binaries over HTTP, real scripts, real git, real requests.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

use serde_json::Value;

#[test]
fn the_story_of_the_demo_holds() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let mut demo = tests::local_cloud().unwrap();
    let output = demo
        .args(["demo", "--port", "0", "--report"])
        .arg(&report)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{errors}");

    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let stops = report["stops"].as_array().unwrap();
    assert!(
        stops.len() >= 7 && stops.iter().all(|stop| stop["held"] == true),
        "{stops:#?}"
    );
    let releases = report["releases"].as_array().unwrap();
    let outcomes: Vec<&str> = releases
        .iter()
        .filter_map(|release| release["outcome"].as_str())
        .collect();
    for outcome in [
        "deployed",
        "rolled-back",
        "rejected",
        "expired",
        "build-failed",
        "training-failed",
        "gate-not-met",
    ] {
        let below_threshold = outcome == "training-failed" && outcomes.contains(&"gate-not-met");
        assert!(
            outcomes.contains(&outcome) || below_threshold,
            "{outcome}: {outcomes:?}"
        );
    }
    // The template's default, which the local parameters leave as it is.
    for outcome in ["deployed", "rolled-back"] {
        let by_canary = |release: &Value| release["outcome"] == outcome && release["strategy"] == "canary";
        assert!(releases.iter().any(by_canary), "{outcome}: {releases:#?}");
    }
    for release in releases {
        schema(release);
    }
    let served: u64 = releases
        .iter()
        .filter_map(|release| release["traffic"]["served"].as_u64())
        .sum();
    assert!(served > 100, "the endpoint was used: {served} requests");
}

/// Every release has every member, of the type that the report promises.
fn schema(release: &Value) {
    let one_of = |member: &str, words: &[&str]| {
        let word = release[member].as_str().unwrap_or("null");
        assert!(words.contains(&word), "{member} is {word}: {release:#}");
    };
    one_of("trigger", &["push", "schedule", "data", "drift", "registry"]);
    one_of("decision", &["approved", "rejected", "expired", "null"]);
    let ends = [
        "deployed",
        "rolled-back",
        "rejected",
        "expired",
        "build-failed",
        "training-failed",
        "gate-not-met",
    ];
    one_of("outcome", &ends);
    assert!(
        release["version"].is_u64() || release["version"].is_null(),
        "{release:#}"
    );
    for member in ["metrics", "traffic", "calls", "invocations"] {
        assert!(release[member].is_object(), "{member}: {release:#}");
    }
    assert!(
        release["traffic"]["served"].is_u64() && release["traffic"]["failed"].is_u64(),
        "{release:#}"
    );
    assert!(
        release["traffic"]["shares"]
            .as_array()
            .unwrap()
            .iter()
            .all(|share| share.as_array().unwrap().len() == 2)
    );
    one_of(
        "strategy",
        &[
            "create",
            "all-at-once",
            "blue-green",
            "canary",
            "linear",
            "rolling",
            "null",
        ],
    );
    assert!(release.get("commit").is_some() && release.get("reason").is_some() && release.get("strategy").is_some());
}
