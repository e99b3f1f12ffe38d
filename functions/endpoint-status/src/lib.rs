//! endpoint-status
