//! update-endpoint
