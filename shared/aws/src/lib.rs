//! What the functions may do to the world: ports of one capability each, and their adapters to the AWS SDK.
//!
//! A port is a trait of a few methods, named for what it lets its holder do; a handler's bounds then read like its IAM policy.
//! Nothing outside this crate names an SDK client. Every port has an in-memory twin in [`memory`], so that a handler can be
//! tested without HTTP.
//!
//! | module | what it lets one do |
//! |---|---|
//! | [`registry`] | read and mark versions in the model registry |
//! | [`storage`] | read, write and list objects in S3 |
//! | [`archive`] | unpack and pack what code travels in |
//! | [`commits`] | read who wrote a commit and why, and what has changed |
//! | [`builds`] | start and read the builds of CodeBuild |
//! | [`pull_requests`] | read pull requests, and say something on them |
//! | [`training`] | define, start and read SageMaker pipelines |
//! | [`releases`] | start the release and the rollback pipeline; read and answer an approval |
//! | [`executions`] | see when an execution of CodePipeline began |
//! | [`evidence`] | gather what a decision about a version rests on |
//! | [`deployments`] | read what CodeDeploy deploys, and answer its hooks |
//! | [`versions`] | invoke a version of a function |
//! | [`macs`] | authenticate approval links by KMS |
//! | [`endpoints`] | see, create and update endpoints |
//! | [`configurations`] | see, make and clear away what they are made of |
//! | [`alarms`] | see whether alarms fire |
//! | [`scaling`] | have a variant scaled |
//! | [`notices`] | tell people |
//! | [`counts`] | count and measure what happens, for CloudWatch |
//! | [`job`] | answer a CodePipeline job, exactly once and whatever happens |
//! | [`clock`] | know the time, by the server's clock |
//! | [`log`] | say what happens, with what it is about |
//! | [`config`] | read a function's configuration from its environment |
//! | [`runtime`] | be a Lambda function |
//! | [`dry_run`] | have an event handled without effects |
//! | [`http`] | reach AWS |
//! | [`error`] | tell the failures of AWS apart |

pub mod alarms;
pub mod archive;
pub mod builds;
pub mod clock;
pub mod commits;
pub mod config;
pub mod configurations;
pub mod counts;
pub mod deployments;
pub mod dry_run;
pub mod endpoints;
pub mod error;
pub mod evidence;
pub mod executions;
pub mod http;
pub mod job;
pub mod log;
pub mod macs;
pub mod memory;
pub mod notices;
pub mod pull_requests;
#[cfg(test)]
mod recorded;
pub mod refusal;
pub mod registry;
pub mod releases;
pub mod runtime;
pub mod scaling;
pub mod storage;
pub mod training;
pub mod versions;
