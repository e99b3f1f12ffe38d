//! The local cloud: the stack of `infra/template.yaml` on one machine.
//!
//! [`template`] reads the template as CloudFormation and SAM do. [`cloud`] is the stack once deployed: a deterministic state
//! machine over a virtual clock and a seed, that does no I/O; what it wants done outside (a function run, a training script, a
//! mail) it says as an [`Effect`](cloud::effect::Effect), and is told what came of it. A front end drives it: HTTP in scaled real
//! time, or a test in process.

pub mod binaries;
pub mod cloud;
pub mod demo;
mod drop_folder;
pub mod front;
mod git;
mod inbox;
mod jobs;
pub mod news;
pub mod pattern;
mod processes;
mod server;
pub mod shapes;
pub mod template;
pub mod wire;
