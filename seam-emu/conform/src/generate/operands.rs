//! Operands: of the kinds that leaves take, most of them right.

use super::view::{TdView, View};
use crate::compare::BUFFER;
use crate::platform::MKTME_KEYIDS;
use fastrand::Rng;

/// First page of the TDMR.
pub(super) const TDMR: u64 = 1 << 30;
/// Pages of the TDMR that sequences give to TDs: those that one TDH.SYS.TDMR.INIT initialises, about 4 MB.
pub(super) const POOL_PAGES: u64 = 900;
/// Where the VMM keeps the addresses of TDMRs and the TDMR itself.
pub(super) const TDMR_ARRAY: u64 = 0x40_0000;
pub(super) const TDMR_INFO: u64 = 0x40_1000;
/// Where it keeps parameters of TDs: so many variants, one page each.
pub(super) const TD_PARAMS: u64 = 0x50_0000;
pub(super) const PARAMS_VARIANTS: u64 = 6;
/// Where it keeps the contents of pages.
pub(super) const SOURCE: u64 = 0x58_0000;
/// The module's own KeyID.
pub(super) const GLOBAL_KEYID: u64 = MKTME_KEYIDS as u64 + 1;

/// Fields of TDs and of vCPUs that the model knows.
const TD_FIELDS: [u64; 16] = [
    0x8010_0000_0000_0001,
    0x8010_0002_0000_0002,
    0x8010_0003_0000_0004,
    0x9010_0002_0000_0001,
    0x9010_0002_0000_0002,
    0x1110_0003_0000_0000,
    0x1110_0003_0000_0001,
    0x1110_0002_0000_0002,
    0x9110_0000_0000_0003,
    0x1310_0003_0000_0000,
    0x1310_0003_0000_0005,
    0x1310_0003_0000_0010,
    0x9110_0003_0000_000B,
    0x9110_0001_0000_000C,
    0x1110_0003_0000_0016,
    u64::MAX,
];
const VCPU_FIELDS: [u64; 7] = [
    0x0024_0001_0000_0002,
    0x0024_0002_0000_4000,
    0x0024_0002_0000_401E,
    0x0024_0003_0000_2016,
    0x0024_0003_0000_203C,
    0x2020_0000_0000_000B,
    u64::MAX,
];

/// A kind of operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Zero,
    /// The TD's TDR.
    Tdr,
    /// A vCPU's TDVPR.
    Tdvpr,
    /// A page of the TDMR that no TD was given by this generator.
    Fresh,
    /// A page that a TD has.
    Taken,
    /// A guest page, of level 0.
    Gpa,
    /// A guest page that was added.
    Mapped,
    /// A guest range with the level of the next table, or one above.
    Table,
    /// 256 bytes of a guest page that was added.
    Chunk,
    KeyId,
    Params,
    Source,
    TdField,
    VcpuField,
    /// A small number.
    Small,
    /// Anything.
    Any,
}

/// What operands are chosen from.
pub(super) struct Chooser<'a> {
    pub(super) random: &'a mut Rng,
    pub(super) view: &'a View,
    pub(super) next_fresh: &'a mut u64,
}

impl Chooser<'_> {
    /// One of them.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.random.usize(..from.len())])
    }

    /// An operand for a call about `td`.
    pub(super) fn operand(&mut self, kind: Kind, td: Option<&TdView>) -> u64 {
        let vcpus: Vec<u64> = td.iter().flat_map(|td| &td.vcpus).map(|vcpu| vcpu.tdvpr).collect();
        let mapped: Vec<u64> = td.map(|td| td.mapped.clone()).unwrap_or_default();
        let found = match kind {
            Kind::Zero => Some(0),
            Kind::Tdr => td.map(|td| td.tdr),
            Kind::Tdvpr => self.pick(&vcpus),
            Kind::Fresh => Some(self.fresh()),
            Kind::Taken => {
                let pages: Vec<u64> =
                    self.view.tds.iter().flat_map(|td| td.pages.iter().copied().chain([td.tdr])).collect();
                self.pick(&pages)
            }
            Kind::Gpa => Some(self.random.u64(0..8) << 12),
            Kind::Mapped => self.pick(&mapped),
            Kind::Table => td.map(|td| self.random.u64(0..2).max(td.table_level.saturating_sub(1)).clamp(1, 3)),
            Kind::Chunk => self.pick(&mapped).map(|gpa| gpa + 256 * self.random.u64(0..16)),
            Kind::KeyId => Some(GLOBAL_KEYID + 1 + self.random.u64(0..6)),
            Kind::Params => Some(TD_PARAMS + 4096 * self.random.u64(0..PARAMS_VARIANTS)),
            Kind::Source => Some(SOURCE),
            Kind::TdField => self.pick(&TD_FIELDS),
            Kind::VcpuField => self.pick(&VCPU_FIELDS),
            Kind::Small => Some(self.random.u64(0..4)),
            Kind::Any => Some(self.anything()),
        };
        found.unwrap_or_else(|| self.anything())
    }

    /// A page that was not given away.
    pub(super) fn fresh(&mut self) -> u64 {
        *self.next_fresh = (*self.next_fresh + 1) % POOL_PAGES;
        TDMR + 4096 * *self.next_fresh
    }

    /// An operand that may be of no kind.
    pub(super) fn anything(&mut self) -> u64 {
        match self.random.u8(0..12) {
            0 => 0,
            1 => u64::MAX,
            2 => TDMR + 4096 * self.random.u64(0..POOL_PAGES),
            3 => GLOBAL_KEYID + self.random.u64(0..8),
            4 => BUFFER,
            5 => self.random.u64(..) >> self.random.u32(0..64),
            6 => 1 << self.random.u32(0..64),
            7 => 0x8000_0000 + 4096 * self.random.u64(0..16),
            8 => self.random.u64(0..4) << 12 | self.random.u64(0..5),
            9 => self.random.u64(0..3) << 21 | 1,
            10 => TDMR + (1 << 30),
            _ => self.random.u64(0..64),
        }
    }

    /// An operand with an error in it.
    pub(super) fn spoil(&mut self, value: u64) -> u64 {
        if self.random.bool() { value ^ 1 << self.random.u32(0..64) } else { self.anything() }
    }
}
