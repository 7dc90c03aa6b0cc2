//! States as 128 bits. Two states with one fingerprint would be taken for one: for 10^8 states the chance is about 10^-23.

use super::state::State;
use crate::Packer;
use crate::firmware::Firmware;
use xxhash_rust::xxh3::xxh3_128;

/// The fingerprint of a state with this many CPUs and shared words. `bytes` is memory for it to use.
pub(super) fn of<F: Firmware>(
    state: &State<F::State>,
    cpus: usize,
    words: usize,
    firmware: &F,
    bytes: &mut Packer,
) -> u128 {
    bytes.clear();
    for local in &state.locals[..cpus] {
        bytes.all(&local.to_le_bytes());
    }
    for word in &state.words[..words] {
        bytes.all(&word.to_le_bytes());
    }
    bytes.all(&state.dead.to_le_bytes());
    bytes.all(&state.sweeps.to_le_bytes());
    firmware.write(&state.firmware, bytes);
    state.ghost.write(bytes);
    xxh3_128(bytes.bytes())
}
