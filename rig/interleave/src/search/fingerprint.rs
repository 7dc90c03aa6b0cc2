//! States as 128 bits. Two states with one fingerprint would be taken for one: for 10^8 states the chance is about 10^-23.

use super::state::State;
use crate::firmware::Firmware;
use std::hash::{BuildHasherDefault, Hasher};
use xxhash_rust::xxh3::xxh3_128;

/// A table of fingerprints; these are hashes already.
pub(super) type Table = hashbrown::HashMap<u128, u32, BuildHasherDefault<Identity>>;

#[derive(Debug, Default)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are hashed");
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The fingerprint of a state with this many CPUs and shared words. `bytes` is memory for it to use.
pub(super) fn of<F: Firmware>(
    state: &State<F::State>,
    cpus: usize,
    words: usize,
    firmware: &F,
    bytes: &mut Vec<u8>,
) -> u128 {
    bytes.clear();
    for local in &state.locals[..cpus] {
        bytes.extend(local.to_le_bytes());
    }
    for word in &state.words[..words] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(state.dead.to_le_bytes());
    firmware.write(&state.firmware, bytes);
    state.ghost.write(bytes);
    xxh3_128(bytes)
}
