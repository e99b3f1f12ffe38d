//! What the functions may do to the world: ports of one capability each, and their adapters to the AWS SDK.
//!
//! A port is a trait of a few methods, named for what it lets its holder do; a handler's bounds then read like its IAM policy.
//! Nothing outside this crate names an SDK client. Every port has an in-memory twin in [`memory`], so that a handler can be
//! tested without HTTP.
//!
//! | module | what it lets one do |
//! |---|---|
//! | [`registry`] | read and mark versions in the model registry |
//! | [`storage`] | read and write objects in S3 |
//! | [`notices`] | tell people |
//! | [`job`] | answer a CodePipeline job, exactly once and whatever happens |
//! | [`clock`] | know the time, by the server's clock |
//! | [`config`] | read a function's configuration from its environment |
//! | [`runtime`] | be a Lambda function |
//! | [`error`] | tell the failures of AWS apart |

pub mod clock;
pub mod config;
pub mod error;
pub mod job;
pub mod memory;
pub mod notices;
pub mod registry;
pub mod runtime;
pub mod storage;
