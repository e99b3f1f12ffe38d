//! AWS's own clients against the local cloud: unmodified boto3 and the AWS CLI, by `conformance/clients.py`.
//!
//! They are not needed to build or test the rest, and so not required: without them this says so and holds. The project's check
//! script installs them.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::path::Path;
use std::process::{Command, Stdio};

use tests::up::Up;

/// The workspace, from where this test is built.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A Python that has boto3, and the folder with the AWS CLI: those of the folder that SIGNALBOX_TOOLS names, or the system's.
fn python() -> Option<String> {
    let tools = std::env::var("SIGNALBOX_TOOLS").map(|folder| format!("{folder}/bin/python3"));
    let pythons = tools.into_iter().chain(["python3".to_owned()]);
    pythons.into_iter().find(|python| {
        let import = Command::new(python)
            .args(["-c", "import boto3, awscli"])
            .stderr(Stdio::null())
            .status();
        import.is_ok_and(|status| status.success())
    })
}

#[test]
fn boto3_and_the_aws_cli_are_served_as_by_aws() {
    let Some(python) = python() else {
        eprintln!(
            "skipped: no python3 with boto3 and awscli; pip install boto3 awscli, or name a virtual environment in SIGNALBOX_TOOLS"
        );
        return;
    };
    let up = Up::start(&[]).unwrap();
    let clients = workspace().join("tests/conformance/clients.py");
    let run = Command::new(&python)
        .arg(clients)
        .args([up.url.as_str(), "tumour"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{told}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains("0 failed"), "{told}");
}
