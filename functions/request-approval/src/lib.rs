//! request-approval
