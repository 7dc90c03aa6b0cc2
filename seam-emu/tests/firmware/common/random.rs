//! Calls chosen at random, most of them nearly right.

use super::{GLOBAL_KEYID, td};
use seam_emu::Regs;
use seam_emu::abi::Leaf;

/// A small generator (splitmix64), so that a seed gives the same calls everywhere.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to `n` - 1.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// One of them.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// An operand: a page of the pool, a guest address with a level, a large page, a KeyID, a field, or anything.
fn operand(random: &mut Random) -> u64 {
    match random.below(16) {
        0..=8 => td::POOL + 4096 * random.below(48),
        9 => td::SCRIPT_GPA,
        10 => (random.below(4) << 12) | random.below(4),
        11 => (random.below(3) * 0x20_0000) | 1,
        12 => GLOBAL_KEYID + random.below(4),
        13 => 0,
        14 => random.pick(&[
            td::LARGE,
            td::LARGE + 0x20_0000,
            td::TD_PARAMS,
            td::SOURCE,
            super::BUFFER,
            super::PARAMS,
            0x0800_0001_0000_0003,
        ]),
        _ => random.next() >> random.below(64),
    }
}

/// Calls without end, by LP. INSTALL, SHUTDOWN and the like come too, rarely.
pub(crate) fn calls(seed: u64, lps: u64) -> impl Iterator<Item = (usize, Regs)> {
    let mut random = Random::new(seed);
    std::iter::repeat_with(move || {
        let lp = random.below(lps) as usize;
        let leaf = random.pick(Leaf::ALL);
        let rare = leaf.is_seamldr() || matches!(leaf, Leaf::SysShutdown | Leaf::SysDisable);
        let leaf = if rare && random.below(50) != 0 { Leaf::MemPageAug } else { leaf };
        let version = if random.below(8) == 0 { 1 << 16 } else { 0 };
        let mut o = || operand(&mut random);
        let regs = Regs {
            rax: leaf.number() | version,
            rcx: o(),
            rdx: o(),
            r8: o(),
            r9: o(),
            r10: o(),
            r11: o(),
            ..Regs::default()
        };
        (lp, regs)
    })
}
