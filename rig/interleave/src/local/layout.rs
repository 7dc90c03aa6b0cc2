//! Where each CPU's own memory lies.

use super::vcpu::{AREA_STRIDE, area, stack};
use std::ops::Range;

/// Stack, own area and GS base of each CPU, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// What is added to the address of a per-CPU variable.
    pub gs_bases: Vec<u64>,
    /// Stacks, which only their CPUs use.
    pub stacks: Vec<Range<u64>>,
    /// The CPU's own copies of per-CPU variables.
    pub areas: Vec<Range<u64>>,
}

impl Layout {
    /// Stacks and areas where the proof puts them, since no machine has any.
    pub fn made(gs_bases: Vec<u64>) -> Self {
        let cpus = 0..gs_bases.len() as u8;
        Self { gs_bases, stacks: cpus.clone().map(stack).collect(), areas: cpus.map(area).collect() }
    }

    /// The GS base of `cpu`.
    pub fn gs_base(&self, cpu: u8) -> u64 {
        self.gs_bases[usize::from(cpu)]
    }

    /// The stack of `cpu`.
    pub fn stack(&self, cpu: u8) -> &Range<u64> {
        &self.stacks[usize::from(cpu)]
    }

    /// The area of `cpu`.
    pub fn area(&self, cpu: usize) -> &Range<u64> {
        &self.areas[cpu]
    }

    /// An address in one CPU's area as the same in another's; other addresses stay.
    pub fn moved(&self, address: u64, from: usize, to: usize) -> u64 {
        let (here, there) = (self.area(from), self.area(to));
        if here.contains(&address) { address - here.start + there.start } else { address }
    }
}

const _: () = assert!(stack(1).start > stack(0).end && area(1).start == area(0).start + AREA_STRIDE);
