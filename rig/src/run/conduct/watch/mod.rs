//! The watching of a machine: whether it makes progress, and how much it leaves behind.

pub(super) mod bound;
pub(super) mod stall;
pub(super) mod watched;
