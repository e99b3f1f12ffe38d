//! start-training
