//! Where everything stands in a machine that makes no progress.

pub(super) mod diagnose;
mod stack;
