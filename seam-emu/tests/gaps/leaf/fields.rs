//! TDH.MNG.RD, TDH.VP.RD and TDH.VP.WR. Sources: TDX module `tdh_mng_rd_wr.c`, `tdh_vp_rd_wr.c`, `metadata_td.c`,
//! `metadata_vp.c`, `td_vmcs_fields_lookup.c`.

use super::status;
use crate::common::td::{Td, params};
use crate::common::{Answer, Machine, call};
use seam_emu::Regs;
use seam_emu::abi::td_params::TdParams;
use seam_emu::abi::{Leaf, Status};
use seam_emu::script::Script;

fn running() -> (Machine, Td) {
    let mut m = Machine::new(1);
    m.boot_linux();
    let td = m.td(0, &[0], &Script::new());
    (m, td)
}

/// A TD with these parameters.
fn with_params(params: &TdParams) -> (Machine, Td) {
    let mut m = Machine::new(1);
    m.boot_linux();
    let td = m.td_initialized(params, 0);
    (m, td)
}

/// Field id of `CPUID_VALUES`, the first half of a row.
fn cpuid(leaf: u64, subleaf: Option<u64>) -> u64 {
    0x9410_0003_0000_0000 | (leaf & 0x7F) << 9 | (leaf >> 31) << 16 | subleaf.map_or(0x1FE, |subleaf| subleaf << 1)
}

/// EAX to EDX of a row, as the TD sees it.
fn row(m: &mut Machine, td: &Td, leaf: u64, subleaf: Option<u64>) -> [u32; 4] {
    let mut half = |second| {
        m.ok(0, Regs { rcx: td.tdr, rdx: cpuid(leaf, subleaf) | second, ..call(Leaf::MngRd) });
        [m.regs.r8 as u32, (m.regs.r8 >> 32) as u32]
    };
    let ([eax, ebx], [ecx, edx]) = (half(0), half(1));
    [eax, ebx, ecx, edx]
}

#[test]
fn a03_kvm_can_read_leaf_0_and_every_other_row() {
    let (mut m, td) = with_params(&params());
    assert_eq!(row(&mut m, &td, 0, None), [0x23, 0x756E_6547, 0x6C65_746E, 0x4965_6E69], "GenuineIntel");
    assert_eq!(row(&mut m, &td, 0x8000_0000, None)[0], 0x8000_0008);
    for leaf in [1, 3, 5, 8, 0xA, 0xE, 0x11, 0x12, 0x13, 0x15, 0x19, 0x1C, 0x1E, 0x20, 0x22, 0x8000_0001, 0x8000_0007] {
        row(&mut m, &td, leaf, None);
    }
    let with_subleaves = [(4, 4), (7, 2), (0xD, 18), (0x14, 1), (0x1D, 1), (0x21, 0), (0x23, 3)];
    for (leaf, subleaf) in with_subleaves.into_iter().flat_map(|(leaf, last)| (0..=last).map(move |n| (leaf, n))) {
        row(&mut m, &td, leaf, Some(subleaf));
    }
    assert_eq!(row(&mut m, &td, 0x15, None), [1, 100, 25_000_000, 0], "the clock that was asked for");
}

#[test]
fn a03_rows_follow_xfam_attributes_and_configuration() {
    let mut wanted = TdParams { xfam: 0x6_02E7, ..params() };
    wanted.attributes |= 1 << 30;
    // CPUID(1).ECX bit 3 (MONITOR), CPUID(7, 0): HLE and RTM, LA57.
    wanted.cpuid_values[0][2] = 8;
    wanted.cpuid_values[5] = [0, 1 << 4 | 1 << 11, 1 << 16, 0];
    let (mut rich, td) = with_params(&wanted);
    let (mut poor, other) = with_params(&params());
    assert_eq!(row(&mut rich, &td, 0xD, Some(0)), [0x6_02E7, 0, 0x2B00, 0]);
    assert_eq!(row(&mut poor, &other, 0xD, Some(0)), [3, 0, 0x240, 0]);
    assert_eq!(row(&mut rich, &td, 0xD, Some(2)), [0x100, 0x240, 0, 0]);
    assert_eq!(row(&mut poor, &other, 0xD, Some(2)), [0; 4]);
    assert_eq!(row(&mut rich, &td, 0x1D, Some(0))[0], 1, "AMX");
    assert_eq!(row(&mut poor, &other, 0x1D, Some(0)), [0; 4]);
    assert_ne!(row(&mut rich, &td, 5, None), [0; 4], "MONITOR");
    assert_eq!(row(&mut poor, &other, 5, None), [0; 4]);
    assert_eq!(row(&mut rich, &td, 0x8000_0008, None)[0] >> 8 & 0xFF, 57, "LA57");
    assert_eq!(row(&mut poor, &other, 0x8000_0008, None)[0] >> 8 & 0xFF, 48);
    // CPUID(7, 0): AVX2 in EBX 5, PKS in ECX 31, AMX in EDX 24.
    let [_, ebx, ecx, edx] = row(&mut rich, &td, 7, Some(0));
    assert_eq!((ebx >> 5 & 1, ecx >> 31, edx >> 24 & 1, ebx & 0x810), (1, 1, 1, 0x810));
    let [_, ebx, ecx, edx] = row(&mut poor, &other, 7, Some(0));
    assert_eq!((ebx >> 5 & 1, ecx >> 31, edx >> 24 & 1, ebx & 0x810), (0, 0, 0, 0));
    assert_eq!(row(&mut poor, &other, 1, None)[0], 0x000C_06F2, "the platform's own");
}

#[test]
fn a03_rows_that_give_a_ve_cannot_be_read() {
    let (mut m, td) = with_params(&params());
    let mut read = |id| m.call(0, Regs { rcx: td.tdr, rdx: id, ..call(Leaf::MngRd) });
    for id in [cpuid(6, None), cpuid(0x1F, Some(0)), cpuid(0x1F, Some(5)), cpuid(0x8000_0006, None)] {
        assert_eq!(read(id), status(Status::METADATA_FIELD_NOT_READABLE, 0), "{id:#x}");
    }
    for id in [cpuid(2, None), cpuid(0x1F, Some(6)), cpuid(7, Some(3)), cpuid(0, None) | 1 << 17] {
        assert_eq!(read(id), status(Status::METADATA_FIELD_ID_INCORRECT, 0), "{id:#x}");
    }
}

/// TDH.VP.WR of a field under a mask.
fn write(m: &mut Machine, td: &Td, field: u64, value: u64, mask: u64) -> Answer {
    m.call(0, Regs { rcx: td.vcpus[0], rdx: field, r8: value, r9: mask, ..call(Leaf::VpWr) })
}

#[test]
fn a09_posted_interrupts_need_vector_and_descriptor_first() {
    let (mut m, td) = running();
    let missing = |field: u64| Answer::Status(Status(0xC000_0730_0000_0000 | field));
    assert_eq!(write(&mut m, &td, 0x4000, 0x80, 0x80), missing(0x0002));
    assert_eq!(write(&mut m, &td, 0x0002, 0xF2, 0xFFFF), status(Status::SUCCESS, 0));
    assert_eq!(write(&mut m, &td, 0x4000, 0x80, 0x80), missing(0x2016));
    assert_eq!(write(&mut m, &td, 0x2016, 0x60_0040, u64::MAX), status(Status::SUCCESS, 0));
    assert_eq!(write(&mut m, &td, 0x4000, 0x80, 0x80), status(Status::SUCCESS, 0));
}

#[test]
fn a09_values_that_a_field_cannot_have_are_refused() {
    let (mut m, td) = running();
    let success = status(Status::SUCCESS, 0);
    let (read_only, bad) =
        (status(Status::METADATA_FIELD_NOT_WRITABLE, 0), status(Status::METADATA_FIELD_VALUE_NOT_VALID, 0));
    for (field, value, mask, expected) in [
        // No bit that may be written.
        (0x0002, 0xF2, 0, read_only),
        (0x4000, 0x40, 0x40, read_only),
        (0x6000, 1, 1, read_only),
        (0x2000_0000_0000_000B, 1, 0x100, read_only),
        // A change outside of what may be written; bits that stay may be named.
        (0x4000, 0x40, 0xC0, bad),
        (0x4000, 0x01, 0x81, success),
        (0x401E, 1, 0x8000_0001, bad),
        (0x203C, 0x12_301E, u64::MAX, bad),
        (0x2000_0000_0000_000B, 0x101, 0x1FF, bad),
        // No vector; not shared memory: private KeyID, the SEAM range, beyond all address bits.
        (0x0002, 0x100, 0xFFFF, bad),
        (0x2016, 32 << 46 | 0x40, u64::MAX, bad),
        (0x203C, 0x20_0000_0000, u64::MAX, bad),
        (0x203C, 0x12_3000, u64::MAX, success),
    ] {
        assert_eq!(write(&mut m, &td, field, value, mask), expected, "{field:#x} = {value:#x} under {mask:#x}");
    }
}

#[test]
fn a09_the_vmm_can_take_back_an_nmi() {
    let (mut m, td) = running();
    let nmi = 0x2000_0000_0000_000B;
    for (value, before) in [(1, 0), (0, 1), (0, 0)] {
        assert_eq!(write(&mut m, &td, nmi, value, 1), status(Status::SUCCESS, 0));
        assert_eq!(m.regs.r8, before);
    }
}

#[test]
fn a11_metadata_statuses_name_no_operand() {
    let (mut m, td) = running();
    let wrong = status(Status::METADATA_FIELD_ID_INCORRECT, 0);
    // A class that does not exist, a reserved bit, a count of elements, a count of fields.
    for id in [0x3F10_0000_0000_0000, 0x1110_0003_0100_0000, 0x1110_0007_0000_0000, 0x1110_0043_0000_0000] {
        assert_eq!(m.call(0, Regs { rcx: td.tdr, rdx: id, ..call(Leaf::MngRd) }), wrong, "{id:#x}");
        assert_eq!(m.regs.rdx, id, "version 0 leaves RDX");
        assert_eq!(m.call(0, Regs { rcx: td.vcpus[0], rdx: id, ..call(Leaf::VpRd) }), wrong, "{id:#x}");
        assert_eq!(m.call(0, Regs { rcx: td.vcpus[0], rdx: id, r9: 1, ..call(Leaf::VpWr) }), wrong, "{id:#x}");
    }
    let unreadable = status(Status::METADATA_FIELD_NOT_READABLE, 0);
    assert_eq!(m.call(0, Regs { rcx: td.vcpus[0], rdx: 0x6000, ..call(Leaf::VpRd) }), unreadable);
}

#[test]
fn a11_version_1_tells_the_first_field() {
    let (mut m, td) = running();
    for (leaf, page, first) in
        [(Leaf::MngRd, td.tdr, 0x8010_0000_0000_0001), (Leaf::VpRd, td.vcpus[0], 0x0024_0001_0000_0002)]
    {
        let read = Regs { rax: leaf.number() | 1 << 16, rcx: page, rdx: u64::MAX, ..Regs::default() };
        assert_eq!(m.call(0, read), status(Status::METADATA_FIRST_FIELD_ID_IN_CONTEXT, 0));
        assert_eq!((m.regs.rdx, m.regs.r8), (first, 0));
        m.ok(0, Regs { rdx: first, ..read });
        let version_0 = Regs { rax: leaf.number(), ..read };
        assert_eq!(m.call(0, version_0), status(Status::METADATA_FIELD_ID_INCORRECT, 0));
    }
}

#[test]
fn a11_counts_and_measurements_have_the_ids_of_the_table() {
    let (mut m, td) = running();
    let mut read = |id| {
        m.ok(0, Regs { rcx: td.tdr, rdx: id, ..call(Leaf::MngRd) });
        m.regs.r8
    };
    assert_eq!((read(0x9010_0002_0000_0001), read(0x9010_0002_0000_0002)), (1, 1), "vCPUs, and those with an LP");
    assert_ne!(read(0x1310_0003_0000_0000), 0, "MRTD");
    assert_eq!(read(0x1310_0003_0000_0018), 0, "MROWNER");
}
