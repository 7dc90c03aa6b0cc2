//! Leaves about physical pages.

pub(super) mod rdmd;
