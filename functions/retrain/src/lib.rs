//! retrain
