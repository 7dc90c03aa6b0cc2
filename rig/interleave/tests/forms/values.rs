//! Values at which arithmetic changes its behaviour.

use fastrand::Rng;

const EDGES: [u64; 22] = [
    0,
    1,
    2,
    3,
    0x0f,
    0x10,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_fffe,
    u64::MAX,
];

/// A value: three times out of four one at an edge, or an edge within random bits above it.
pub(super) fn value(random: &mut Rng) -> u64 {
    let edge = EDGES[random.usize(..EDGES.len())];
    match random.u8(..8) {
        0 | 1 => random.u64(..),
        2 => edge & 0xff | random.u64(..) << 8,
        3 => edge & 0xffff_ffff | random.u64(..) << 32,
        _ => edge,
    }
}
