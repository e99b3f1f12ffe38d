//! The decisions of the release train, as pure functions over values.
//!
//! Nothing here does I/O: no SDK crate is named, no clock, environment or random source is read. What a decision needs, the
//! time included, is an argument; what comes back is a value that says what to do and why.
//!
//! | module | what it decides or holds |
//! |---|---|
//! | [`names`] | names, ARNs and tokens; everything that AWS uses to make a second try harmless |
//! | [`lineage`] | why a model was trained, as it travels in an execution's description |
//! | [`metrics`] | the numbers of an evaluation |
//! | [`notice`] | a message to people, fit for SNS |
//! | [`package`] | a version in the model registry, and what the train writes on it |
//! | [`event`] | EventBridge events, read leniently, refused precisely |
//! | [`job`] | a CodePipeline job and its user parameters |

pub mod event;
pub mod job;
pub mod lineage;
pub mod metrics;
pub mod names;
pub mod notice;
pub mod package;
