//! The CPUs where the proof begins, however they came there.

use crate::image::Memory;
use crate::local::{Layout, Vcpu};
use std::collections::BTreeMap;

/// CPUs and memory where the proof begins.
pub(super) struct Begun<S> {
    pub(super) memory: Memory<S>,
    pub(super) layout: Layout,
    /// By number; none: it takes no part.
    pub(super) starts: Vec<Option<Vcpu>>,
    /// What the uploader gets for each value that the section returns.
    pub(super) uploader_results: BTreeMap<u32, u32>,
    /// What was taken for given, in words.
    pub(super) assumptions: Vec<String>,
}
