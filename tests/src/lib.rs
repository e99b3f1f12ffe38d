//! What crosses crates: the whole train, in process.
//!
//! [`world::World`] is a stack deployed to the local cloud, with the real functions in it: their SDK clients have an HTTP client
//! ([`connector`]) that hands each request to the cloud's core, a time source that reads its virtual clock and a sleep that takes
//! no time. Nothing waits, nothing is random but by the seed, and a whole release takes milliseconds.
//!
//! People meet the world by [`site::Site`], which puts its pages behind a real port, with a [`browser::Browser`].

pub mod browser;
pub mod candidate;
pub mod connector;
pub mod cost;
mod driver;
mod functions;
pub mod measure;
pub mod pacing;
pub mod site;
pub mod snapshot;
pub mod up;
pub mod world;

/// Builds the workspace's binaries and returns the command that runs the local cloud with them.
///
/// # Errors
/// Where cargo can't build them.
pub fn local_cloud() -> anyhow::Result<std::process::Command> {
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut build = std::process::Command::new(env!("CARGO"));
    let build = build.current_dir(workspace).args(["build", "--workspace", "--bins"]);
    anyhow::ensure!(build.status()?.success(), "the binaries can't be built");
    // target/debug/deps/TEST, and target/debug/local.
    let test = std::env::current_exe()?;
    let folder = test
        .ancestors()
        .nth(2)
        .map(std::path::Path::to_owned)
        .unwrap_or_default();
    let mut local = std::process::Command::new(folder.join("local"));
    local.env(local::binaries::BINARIES_VARIABLE, folder);
    Ok(local)
}
