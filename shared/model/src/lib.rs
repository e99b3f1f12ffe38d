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
//! | [`definition`] | a pipeline definition, made ready for SageMaker |
//! | [`paths`] | which files of the repository the model is made of |
//! | [`training`] | how a training ended |
//! | [`failures`] | whether people are told of a training that failed again |
//! | [`gate`] | whether a version may be offered for approval |
//! | [`evidence`], [`mail`], [`page`] | what people are shown of it |
//! | [`decision`], [`settle`] | what people decide, how it is kept, and which of two decisions stands |
//! | [`link`] | the approval link: what it binds, and when it is refused |
//! | [`rollout`] | how a version takes over |
//! | [`capacity`] | on how many instances |
//! | [`endpoint`], [`reconcile`] | what an endpoint update does next |
//! | [`happening`] | what is happening to an endpoint, in words |
//! | [`alarm`] | an alarm that fires |
//! | [`watch`] | what an alarm means after a deployment |
//! | [`undo`] | taking a version back, and the link that does |
//! | [`retention`] | which configurations and models are of no use any more |
//! | [`retraining`] | whether a training starts without a push |
//! | [`arrivals`] | how much new data has arrived |
//! | [`build`] | the build of a commit that is not released: whether it is due, and how it ended |
//! | [`pull_request`] | what a pull request is told of it |
//! | [`notice`] | a message to people, fit for SNS |
//! | [`package`] | a version in the model registry, and what the train writes on it |
//! | [`event`] | EventBridge events, read leniently, refused precisely |
//! | [`job`] | a CodePipeline job and its user parameters |
//! | [`approval`] | CodePipeline's message about an approval that waits |
//! | [`trial`], [`app_spec`] | whether a new version of a function may have traffic, and which version that is |
//!
//! # Its tests, tested
//!
//! A rule that changes must be noticed here, before anything is run. `cargo mutants -p signalbox-model` changes the crate in more
//! than a thousand places, one at a time (an operator, a match arm, the answer of a function), and names each change that no unit
//! test notices: there should be none. It takes about an hour on one core, and works on a copy of the tree.
//!
//! ```text
//! cargo install --locked cargo-mutants
//! cargo mutants -p signalbox-model                              # all of it
//! cargo mutants -p signalbox-model -f shared/model/src/gate.rs  # one file
//! cargo mutants -p signalbox-model --iterate                    # what was not caught, or not tried, before
//! ```
//!
//! What was missed is in `target/mutants.out/missed.txt`. `.cargo/mutants.toml` says how it runs, and what it leaves out and why.

pub mod alarm;
pub mod app_spec;
pub mod approval;
pub mod arrivals;
pub mod build;
pub mod capacity;
pub mod decision;
pub mod definition;
pub mod endpoint;
pub mod event;
pub mod evidence;
pub mod failures;
pub mod gate;
pub mod happening;
pub mod job;
pub mod lineage;
pub mod link;
pub mod mail;
pub mod metrics;
pub mod names;
pub mod notice;
pub mod package;
pub mod page;
pub mod paths;
pub mod pull_request;
pub mod reconcile;
pub mod retention;
pub mod retraining;
pub mod rollout;
pub mod settle;
pub mod training;
pub mod trial;
pub mod undo;
pub mod watch;
