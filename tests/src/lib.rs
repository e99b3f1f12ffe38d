//! What crosses crates: the whole train, in process.
//!
//! [`world::World`] is a stack deployed to the local cloud, with the real functions in it: their SDK clients have an HTTP client
//! ([`connector`]) that hands each request to the cloud's core, a time source that reads its virtual clock and a sleep that takes
//! no time. Nothing waits, nothing is random but by the seed, and a whole release takes milliseconds.

pub mod candidate;
pub mod connector;
pub mod world;

/// Builds the workspace's binaries and returns the path of the local cloud's: beside the test's own.
///
/// # Errors
/// Where cargo can't build them.
pub fn local_cloud() -> anyhow::Result<std::path::PathBuf> {
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // The selection of packages that `cargo test --workspace` has built already.
    let mut build = std::process::Command::new(env!("CARGO"));
    let built = build
        .current_dir(workspace)
        .args(["build", "--workspace", "--bins"])
        .status()?;
    anyhow::ensure!(built.success(), "the binaries can't be built");
    let test = std::env::current_exe()?;
    let folder = test.ancestors().nth(2).map(std::path::Path::to_owned);
    Ok(folder.unwrap_or_default().join("local"))
}
