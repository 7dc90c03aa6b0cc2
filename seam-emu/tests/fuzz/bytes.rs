//! Input that is used up byte by byte.

use crate::common::random::Random;

/// What is left of an input.
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The next byte, none at the end.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next two, little-endian; zeros behind the end.
    pub(crate) fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte().unwrap_or(0), self.byte().unwrap_or(0)])
    }

    /// The next eight, little-endian; zeros behind the end.
    pub(crate) fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte().unwrap_or(0)))
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Runs a target on `count` inputs of up to `longest` bytes, always the same ones.
pub(crate) fn random_inputs(count: u64, longest: u64, check: impl Fn(&[u8]) -> Result<(), String>) {
    for seed in 0..count {
        let mut random = Random::new(seed);
        let input: Vec<u8> = (0..random.below(longest)).map(|_| random.next() as u8).collect();
        if let Err(broken) = check(&input) {
            panic!("seed {seed}: {broken}");
        }
    }
}
