//! Releases that go wrong, by the million.
//!
//! A seed is a stack, a few hours of load on it and everything that goes wrong meanwhile. The functions are the real ones, behind the
//! real SDK clients; the cloud is the local one, in process and in virtual time; nothing is random but by the seed. After every step
//! the [`laws`] are asked, and in the end, when faults have stopped, whether everything has ended and everybody was told.
//!
//! | module | |
//! |---|---|
//! | [`schedule`] | the seed's choices, by name, so that they can be left out one by one |
//! | [`load`] | stacks, pushes, data, drift, alarms, operators |
//! | [`people`] | approvers by every door, and forgers |
//! | [`faults`] | what goes wrong between the functions and AWS |
//! | [`run`] | one seed |
//! | [`shrink`] | a shorter schedule that still fails |
//! | [`many`] | many seeds, side by side |
//! | [`exhaustive`] | one thing that goes wrong, everywhere |

pub mod exhaustive;
pub mod faults;
pub mod laws;
pub mod load;
pub mod many;
pub mod people;
pub mod run;
pub mod schedule;
pub mod shrink;

/// The stack's model.
pub const MODEL: &str = "tumour";
