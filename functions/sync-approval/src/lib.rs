//! sync-approval
