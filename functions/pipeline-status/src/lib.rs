//! pipeline-status
