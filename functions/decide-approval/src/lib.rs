//! decide-approval
