//! What a function's start costs.
//!
//! [`exchanges`] are an event for each function and what AWS answered to its calls, as the tests keep them. [`stand`] is a Lambda
//! Runtime API and an endpoint in this process that replay them for a function's binary, and notes what the process has used by when.
//! [`bare`] makes the same calls with an HTTP client alone: what no SDK could spare.

pub mod bare;
pub mod exchanges;
pub mod stand;
