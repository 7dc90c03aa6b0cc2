//! Handoff data: what a module leaves for its successor, byte for byte. TDs live in memory and need no export.
//!
//! Source: TDX module 1.5.34 `handoff_constants.h`, which asserts every offset, and 1.5.28 `preserving.c`; 1.5.05
//! `prepare_handoff_data` copies the same, up to the package bitmap. The two sizes were seen in runs of 1.5.05 and 1.5.25.

use super::{KeyState, Module, Tdmr};
use crate::abi::PAGE_SIZE;
use crate::abi::seamldr::MAX_PACKAGES;
use crate::abi::tdmr::{GRANULE, MAX_RESERVED_AREAS, MAX_TDMRS};
use serde::{Deserialize, Serialize};
use std::mem::{offset_of, size_of};
use zerocopy::byteorder::little_endian as le;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of the header: valid, reserved, version, size.
pub(crate) const HEADER_SIZE: u64 = 8;
/// KeyIDs that the module has room for. Source: TDX module `MAX_HKIDS`.
pub(crate) const MAX_KEYIDS: usize = 2048;
/// Pages that header and data of any module take. Source: 1.5.05 `TDX_MIN_HANDOFF_PAGES`, 1.5.28
/// `TD_PRESERVING_HANDOFF_PAGE_COUNT`.
pub(crate) const PAGES: u64 = (HEADER_SIZE + size_of::<Data>() as u64).div_ceil(PAGE_SIZE);

/// The handoff area at the start of the module's data region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handoff {
    pub(crate) valid: bool,
    /// Handoff version of `bytes`.
    pub(crate) hv: u16,
    /// The data after the header; bytes that follow are zero, because P-SEAMLDR clears them.
    pub(crate) bytes: Vec<u8>,
}

impl Handoff {
    /// Bytes of header and data.
    pub(crate) fn size_with_header(&self) -> u64 {
        HEADER_SIZE + self.bytes.len() as u64
    }

    /// As INSTALL with scenario LOAD leaves it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// `td_preserving_hod_t` without its header and padding.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Data {
    kot: [Kot; MAX_KEYIDS],
    wbt: [Wbt; MAX_PACKAGES],
    tdmrs: [TdmrEntry; MAX_TDMRS as usize],
    num_tdmrs: le::U32,
    keyid: le::U16,
    packages: le::U32,
    // From here on only modules that count TDs under construction.
    dynamic_pamt: u8,
    td_build_count: le::U16,
    mig_interrupted_count: le::U16,
}

/// `kot_entry_t`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Kot {
    wbinvd_bitmap: le::U32,
    state: u8,
    padding: [u8; 3],
}

/// `wbt_entry_t`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Wbt {
    intr_point: le::U64,
    hkid_flushed: [u8; MAX_KEYIDS],
    lock: le::U64,
}

/// `tdmr_entry_t`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct TdmrEntry {
    base: le::U64,
    size: le::U64,
    last_initialized: le::U64,
    /// PAMTs for 1 GB, 2 MB and 4 KB pages.
    pamts: [le::U64; 3],
    num_of_pamt_blocks: le::U32,
    num_of_rsvd_areas: le::U32,
    /// Offset and size.
    rsvd_areas: [[le::U64; 2]; MAX_RESERVED_AREAS],
    lock: le::U64,
}

const fn at(offset_in_data: usize) -> usize {
    HEADER_SIZE as usize + offset_in_data
}
const _: () = assert!(at(offset_of!(Data, wbt)) == 0x4008);
const _: () = assert!(at(offset_of!(Data, tdmrs)) == 0x8088);
const _: () = assert!(at(offset_of!(Data, num_tdmrs)) == 0xD088);
const _: () = assert!(at(offset_of!(Data, keyid)) == 0xD08C);
const _: () = assert!(at(offset_of!(Data, packages)) == 0xD08E);
const _: () = assert!(at(offset_of!(Data, dynamic_pamt)) == 0xD092);
const _: () = assert!(at(offset_of!(Data, td_build_count)) == 0xD093);
const _: () = assert!(at(offset_of!(Data, mig_interrupted_count)) == 0xD095);
const _: () = assert!(offset_of!(Data, dynamic_pamt) == 53_386 && size_of::<Data>() == 53_391 && PAGES == 14);

/// States in the KeyID ownership table. Source: TDX module `tdx_global_data.h`.
const KEY_FREE: u8 = 0;
const KEY_ASSIGNED: u8 = 1;
const KEY_FLUSHED: u8 = 2;
const KEY_RESERVED: u8 = 3;

/// What the module hands off. `lowest` is the lowest TDX KeyID.
pub(crate) fn export(module: &Module, lowest: u16) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<Data>()];
    let data = Data::mut_from_bytes(&mut bytes).expect("the size is right, and nothing needs alignment");
    for (entry, key) in data.kot[usize::from(lowest)..].iter_mut().zip(&module.kot) {
        (entry.state, entry.wbinvd_bitmap) = match *key {
            KeyState::Free => (KEY_FREE, 0.into()),
            KeyState::Assigned => (KEY_ASSIGNED, 0.into()),
            KeyState::Flushed { packages } => (KEY_FLUSHED, u32::from(packages).into()),
            KeyState::Reserved => (KEY_RESERVED, 0.into()),
        };
    }
    for (entry, package) in data.wbt.iter_mut().zip(&module.wbt) {
        entry.intr_point = u64::from(package.interrupted).into();
        for &slot in &package.flushed {
            entry.hkid_flushed[usize::from(lowest + slot)] = 1;
        }
    }
    for (entry, tdmr) in data.tdmrs.iter_mut().zip(&module.tdmrs) {
        *entry = TdmrEntry::of(tdmr);
    }
    data.num_tdmrs = (module.tdmrs.len() as u32).into();
    data.keyid = module.keyid.into();
    data.packages = u32::from(module.packages()).into();
    data.td_build_count = module.td_build_count.into();
    if !module.identity.counts_builds() {
        bytes.truncate(offset_of!(Data, dynamic_pamt));
    }
    bytes
}

/// Takes over what the predecessor handed off. A count that the predecessor did not write is 0 (1.5.28 `preserving.c`:
/// bytes that P-SEAMLDR cleared).
pub(crate) fn import(module: &mut Module, lowest: u16, bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    bytes.resize(size_of::<Data>(), 0);
    let data = Data::ref_from_bytes(&bytes).expect("the size is right, and nothing needs alignment");
    for (key, entry) in module.kot.iter_mut().zip(&data.kot[usize::from(lowest)..]) {
        *key = match entry.state {
            KEY_ASSIGNED => KeyState::Assigned,
            KEY_FLUSHED => KeyState::Flushed { packages: entry.wbinvd_bitmap.get() as u8 },
            KEY_RESERVED => KeyState::Reserved,
            _ => KeyState::Free,
        };
    }
    for (package, entry) in module.wbt.iter_mut().zip(&data.wbt) {
        package.interrupted = entry.intr_point.get() != 0;
        let flushed =
            entry.hkid_flushed[usize::from(lowest)..].iter().zip(0u16..).filter(|(flushed, _)| **flushed != 0);
        package.flushed = flushed.map(|(_, slot)| slot).collect();
    }
    module.tdmrs = data.tdmrs[..data.num_tdmrs.get() as usize].iter().map(TdmrEntry::tdmr).collect();
    module.keyid = data.keyid.get();
    for (package, configured) in module.package_configured.iter_mut().enumerate() {
        *configured = data.packages.get() >> package & 1 != 0;
    }
    module.td_build_count = if module.identity.counts_builds() { data.td_build_count.get() } else { 0 };
}

impl TdmrEntry {
    fn of(tdmr: &Tdmr) -> Self {
        let mut rsvd_areas = [[le::U64::ZERO; 2]; MAX_RESERVED_AREAS];
        for (area, &(offset, size)) in rsvd_areas.iter_mut().zip(&tdmr.reserved) {
            *area = [offset.into(), size.into()];
        }
        Self {
            base: tdmr.base.into(),
            size: tdmr.size.into(),
            last_initialized: tdmr.initialized_to.into(),
            pamts: tdmr.pamts.map(Into::into),
            num_of_pamt_blocks: ((tdmr.size / GRANULE) as u32).into(),
            num_of_rsvd_areas: (tdmr.reserved.len() as u32).into(),
            rsvd_areas,
            lock: le::U64::ZERO,
        }
    }

    fn tdmr(&self) -> Tdmr {
        let reserved = self.rsvd_areas[..self.num_of_rsvd_areas.get() as usize].iter();
        Tdmr {
            base: self.base.get(),
            size: self.size.get(),
            initialized_to: self.last_initialized.get(),
            pamts: self.pamts.map(le::U64::get),
            reserved: reserved.map(|[offset, size]| (offset.get(), size.get())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Image, ImageSpec, build};
    use crate::module::WriteBack;
    use crate::{Config, Generation, LogicalProcessor};

    /// Lowest TDX KeyID of the default configuration.
    const LOWEST: u16 = 32;

    /// A module on a machine of two packages, with something in every field.
    fn module(generation: Generation) -> Module {
        let lps = (0..2).map(|i| LogicalProcessor { apic_id: i, package: i }).collect();
        let config = Config { lps, ..Config::for_lps(2) };
        let file = build(&ImageSpec { module_pages: 2, ..ImageSpec::of(generation) });
        let image = Image::parse(&file).expect("valid");
        let mut module = Module::installed(&config, &image.sigstruct, &image.module);
        module.keyid = 32;
        module.kot[0] = KeyState::Reserved;
        module.kot[1] = KeyState::Assigned;
        module.kot[31] = KeyState::Flushed { packages: 0b10 };
        module.wbt[1] = WriteBack { interrupted: true, flushed: vec![31] };
        module.package_configured = vec![true, true];
        let pamts = [0x1000, 0x2000, 0x3000];
        let (base, size) = (1 << 30, 3 << 30);
        module.tdmrs =
            vec![Tdmr { base, size, initialized_to: 2 << 30, pamts, reserved: vec![(0, 4096), (8192, 4096)] }];
        module.td_build_count = 0x0102;
        module
    }

    /// The data as they lie in the area, with a header's room before them.
    fn area(module: &Module) -> Vec<u8> {
        [vec![0; HEADER_SIZE as usize], export(module, LOWEST)].concat()
    }

    #[test]
    fn a07_every_field_lies_where_the_source_has_it() {
        let area = area(&module(Generation::V1_5_25));
        assert_eq!(area.len(), 8 + 53_391);
        let mut expected = vec![0; area.len()];
        let mut put = |at: usize, bytes: &[u8]| expected[at..at + bytes.len()].copy_from_slice(bytes);
        // KeyIDs 32, 33 and 63, 8 bytes each.
        put(8 + 32 * 8 + 4, &[3]);
        put(8 + 33 * 8 + 4, &[1]);
        put(8 + 63 * 8, &[2, 0, 0, 0, 2]);
        // The second package's write-back: where it was interrupted, and for KeyID 63.
        put(0x4008 + 2064, &[1]);
        put(0x4008 + 2064 + 8 + 63, &[1]);
        // The TDMR, 320 bytes: base, size, how far, PAMTs, its 3 blocks and 2 reserved areas.
        for (i, value) in [1u64 << 30, 3 << 30, 2 << 30, 0x1000, 0x2000, 0x3000, 3 | 2 << 32, 0, 4096, 8192, 4096]
            .into_iter()
            .enumerate()
        {
            put(0x8088 + 8 * i, &value.to_le_bytes());
        }
        put(0xD088, &[1]);
        put(0xD08C, &[32]);
        put(0xD08E, &[0b11]);
        put(0xD093, &[2, 1]);
        let differs = area.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(differs, None, "first difference");
    }

    #[test]
    fn a07_what_is_exported_is_imported() {
        for generation in Generation::ALL {
            let old = module(generation);
            let mut new = Module { kot: vec![KeyState::Free; 32], ..module(Generation::V1_5_25) };
            (new.keyid, new.tdmrs, new.td_build_count) = (0, Vec::new(), 7);
            (new.wbt, new.package_configured) = (vec![WriteBack::default(); 2], vec![false; 2]);
            import(&mut new, LOWEST, &export(&old, LOWEST));
            let counted = if generation == Generation::V1_5_25 { 0x0102 } else { 0 };
            assert_eq!(new, Module { td_build_count: counted, ..module(Generation::V1_5_25) }, "{generation:?}");
        }
    }

    #[test]
    fn e06_older_modules_write_less() {
        for (generation, size) in [
            (Generation::V1_5_01, 53_386),
            (Generation::V1_5_05, 53_386),
            (Generation::V1_5_16, 53_386),
            (Generation::V1_5_25, 53_391),
        ] {
            assert_eq!(export(&module(generation), LOWEST).len(), size, "{generation:?}");
        }
    }
}
