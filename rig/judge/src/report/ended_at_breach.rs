//! What the reports say of a run that was ended early.

/// What a dash means in the report of a run that broke.
pub(super) const ENDED_AT_BREACH: &str =
    "The machine was ended at the breach: what is marked with a dash had not been seen by then.";
