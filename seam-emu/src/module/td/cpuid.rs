//! CPUID as a TD sees it. Source: TDX module 1.5.01 `cpuid_configurations.c`, `tdh_mng_init.c`
//! (`read_and_set_cpuid_configurations`).
//!
//! The platform's processor is this model's own (unverified in detail): it has every bit that the module wants or lets
//! through, and no other. So a bit that can be configured is 1 where it is configured, whether the module calls it
//! configurable or allowable.

use crate::abi::Status;
use crate::abi::status::Operand;
use crate::image::CpuidConfig;

/// EAX, EBX, ECX, EDX.
type Values = [u32; 4];
/// The leaf has no subleaves.
const NONE: u32 = u32::MAX;

/// XFAM bits.
const AVX: u64 = 1 << 2;
const AVX512: u64 = 0b111 << 5;
const PT: u64 = 1 << 8;
const PKRU: u64 = 1 << 9;
const CET: u64 = 0b11 << 11;
const UINTR: u64 = 1 << 14;
const LBR: u64 = 1 << 15;
const AMX: u64 = 0b11 << 17;
/// ATTRIBUTES bits.
const MIGRATABLE: u64 = 1 << 29;
const PKS: u64 = 1 << 30;
const PERFMON: u64 = 1 << 63;

/// What the processor tells, as far as the module passes it on to TDs: leaf, subleaf, values. CPUID(1).EAX and what
/// depends on XFAM comes from elsewhere.
const ROWS: [(u32, u32, Values); 31] = [
    (0x0, NONE, [0x23, 0x756E_6547, 0x6C65_746E, 0x4965_6E69]),
    (0x1, NONE, [0, 0x800, 0xF7FE_FF9F, 0xBFED_FBFF]),
    (0x3, NONE, [0; 4]),
    (0x4, 0, [0, 0x3F, 0, 0]),
    (0x4, 1, [0, 0x3F, 0, 0]),
    (0x4, 2, [0, 0x3F, 0, 0]),
    (0x4, 3, [0, 0x3F, 0, 0]),
    (0x4, 4, [0; 4]),
    (0x5, NONE, [0x40, 0x40, 3, 0]),
    (0x7, 0, [2, 0xFFBF_BFF9, 0x9B41_7FEF, 0xFFDD_453C]),
    (0x7, 1, [0x1D30, 0, 0, 0]),
    (0x7, 2, [0, 0, 0, 0x3F]),
    (0x8, NONE, [0; 4]),
    (0xA, NONE, [0x0730_0805, 0, 7, 0x8604]),
    (0xE, NONE, [0; 4]),
    (0x11, NONE, [0; 4]),
    (0x12, NONE, [0; 4]),
    (0x13, NONE, [0; 4]),
    (0x15, NONE, [1, 0, 25_000_000, 0]),
    (0x19, NONE, [0; 4]),
    (0x1C, NONE, [0xFF, 0, 0, 0]),
    (0x1E, NONE, [0, 0x4010, 0, 0]),
    (0x20, NONE, [0; 4]),
    (0x21, 0, [0, 0x6574_6E49, 0x2020_2020, 0x5844_546C]),
    (0x22, NONE, [0; 4]),
    (0x23, 0, [0xF, 0, 0, 0]),
    (0x23, 1, [0xFF, 0xF, 0, 0]),
    (0x23, 2, [0; 4]),
    (0x23, 3, [0; 4]),
    (0x8000_0000, NONE, [0x8000_0008, 0, 0, 0]),
    (0x8000_0001, NONE, [0, 0, 0x121, 0x2C10_0800]),
];

/// Rows that come after [`ROWS`] and their XFAM bits: without all of them the row is zero. The size and offset of extended
/// state are those of the processors that have TDX.
const STATE_ROWS: [(u32, u32, Values, u64); 19] = [
    (0xD, 2, [0x100, 0x240, 0, 0], AVX),
    (0xD, 3, [0; 4], 1 << 3),
    (0xD, 4, [0; 4], 1 << 4),
    (0xD, 5, [0x40, 0x440, 0, 0], 1 << 5),
    (0xD, 6, [0x200, 0x480, 0, 0], 1 << 6),
    (0xD, 7, [0x400, 0x680, 0, 0], 1 << 7),
    (0xD, 8, [0x80, 0, 1, 0], PT),
    (0xD, 9, [8, 0xA80, 0, 0], PKRU),
    (0xD, 10, [0; 4], 1 << 10),
    (0xD, 11, [0x10, 0, 1, 0], 1 << 11),
    (0xD, 12, [0x18, 0, 1, 0], 1 << 12),
    (0xD, 13, [0; 4], 1 << 13),
    (0xD, 14, [0x30, 0, 1, 0], UINTR),
    (0xD, 15, [0x328, 0, 1, 0], LBR),
    (0xD, 16, [0; 4], 1 << 16),
    (0xD, 17, [0x40, 0xAC0, 2, 0], 1 << 17),
    (0xD, 18, [0x2000, 0xB00, 6, 0], 1 << 18),
    (0x14, 0, [1, 0x1F, 0xF, 0], PT),
    (0x14, 1, [0x0249_0002, 0x003F_1FFF, 0, 0], PT),
];
const AMX_ROWS: [(u32, u32, Values); 2] = [(0x1D, 0, [1, 0, 0, 0]), (0x1D, 1, [0x0400_2000, 0x0008_0040, 0x10, 0])];
const LAST_ROWS: [(u32, u32, Values); 2] =
    [(0x8000_0007, NONE, [0, 0, 0, 0x100]), (0x8000_0008, NONE, [0x3034, 0x200, 0, 0])];

/// Rows that the module has and does not tell, because a TD that asks for them gets a #VE: first and last subleaf.
const FAULTING: [(u32, u32, u32); 3] = [(0x6, NONE, NONE), (0x1F, 0, 5), (0x8000_0006, NONE, NONE)];

/// Bits of CPUID(7, 0) EBX, ECX and EDX that need XFAM bits.
const FEATURES_BY_XFAM: [(u64, [u32; 3]); 8] = [
    (AVX, [0x20, 0x600, 0]),
    (AVX512, [0xDC23_0000, 0x5842, 0x80_010C]),
    (PT, [0x200_0000, 0, 0]),
    (PKRU, [0, 8, 0]),
    (CET, [0, 0x80, 0x10_0000]),
    (UINTR, [0, 0, 0x20]),
    (LBR, [0, 0, 0x8_0000]),
    (AMX, [0, 0, 0x340_0000]),
];

/// What a TD's CPUID depends on, but for its configuration.
#[derive(Clone, Copy)]
pub(crate) struct Traits {
    pub(crate) attributes: u64,
    pub(crate) xfam: u64,
    pub(crate) tsc_frequency: u16,
    /// CPUID(1).EAX of the platform.
    pub(crate) platform_eax: u32,
}

/// Leaf, subleaf and values of the rows that can be configured, as the VMM wants them. On error RCX may tell the leaf and
/// subleaf.
pub(super) fn configure(
    traits: &Traits,
    configs: &[CpuidConfig],
    wanted: &[Values],
    rcx: &mut u64,
) -> Result<Vec<[u32; 6]>, Status> {
    let mut rows = Vec::with_capacity(configs.len());
    for (config, wanted) in configs.iter().zip(wanted) {
        let mask = [config.eax, config.ebx, config.ecx, config.edx];
        if wanted.iter().zip(mask).any(|(value, mask)| value & !mask != 0) {
            *rcx = config.leaf_and_subleaf();
            return Err(refused());
        }
        let (leaf, subleaf) = (config.leaf, config.subleaf);
        let native = native(leaf, subleaf, traits.xfam).unwrap_or_default();
        let mut values = std::array::from_fn(|i| native[i] & !mask[i] | wanted[i]);
        adjust(traits, (leaf, subleaf), &mut values, rcx)?;
        rows.push([leaf, subleaf, values[0], values[1], values[2], values[3]]);
    }
    let (monitor, la57) = other_rows(&rows, traits);
    for [leaf, _, values @ ..] in &mut rows {
        follow(*leaf, values, monitor, la57);
    }
    Ok(rows)
}

fn refused() -> Status {
    Status::OPERAND_INVALID.operand(Operand::CpuidConfig)
}

/// A row's values, but for what follows from other rows; none if the module has no such row.
fn look_up(rows: &[[u32; 6]], traits: &Traits, leaf: u32, subleaf: u32) -> Option<Values> {
    if let Some([_, _, values @ ..]) = rows.iter().find(|row| (row[0], row[1]) == (leaf, subleaf)) {
        return Some(*values);
    }
    let mut values = native(leaf, subleaf, traits.xfam)?;
    adjust(traits, (leaf, subleaf), &mut values, &mut 0).expect("what the processor has is never refused");
    Some(values)
}

/// Whether the TD has MONITOR, and addresses of 57 bits.
fn other_rows(rows: &[[u32; 6]], traits: &Traits) -> (bool, bool) {
    let ecx = |leaf, subleaf| look_up(rows, traits, leaf, subleaf).map_or(0, |values| values[2]);
    (ecx(1, NONE) & 1 << 3 != 0, ecx(7, 0) & 1 << 16 != 0)
}

/// What follows from other rows.
fn follow(leaf: u32, values: &mut Values, monitor: bool, la57: bool) {
    match leaf {
        0x5 if !monitor => *values = [0; 4],
        0x8000_0008 => values[0] = values[0] & !0xFF00 | if la57 { 57 } else { 48 } << 8,
        _ => {}
    }
}

/// A row before it is configured; none if the module has no such row.
fn native(leaf: u32, subleaf: u32, xfam: u64) -> Option<Values> {
    let same = |row: &&(u32, u32, Values)| (row.0, row.1) == (leaf, subleaf);
    if (leaf, subleaf) == (0xD, 0) {
        return Some([xfam as u32 & 0x6_02E7, 0, state_size(xfam), 0]);
    }
    if (leaf, subleaf) == (0xD, 1) {
        let xfd = if xfam & AMX == 0 { 0 } else { 1 << 4 };
        return Some([0xF | xfd, 0, (xfam & (PT | CET | UINTR | LBR)) as u32, 0]);
    }
    if let Some((.., values, needs)) = STATE_ROWS.iter().find(|row| (row.0, row.1) == (leaf, subleaf)) {
        return Some(if xfam & needs == 0 { [0; 4] } else { *values });
    }
    if let Some((.., values)) = AMX_ROWS.iter().find(same) {
        return Some(if xfam & AMX == AMX { *values } else { [0; 4] });
    }
    ROWS.iter().chain(&LAST_ROWS).find(same).map(|row| row.2)
}

/// Bytes of the area that XSAVE needs for the user's part of XFAM: legacy area and header, then the components.
fn state_size(xfam: u64) -> u32 {
    let user = STATE_ROWS.iter().filter(|(leaf, _, values, needs)| *leaf == 0xD && values[1] != 0 && xfam & needs != 0);
    user.map(|(_, _, values, _)| values[0] + values[1]).max().unwrap_or(0x240)
}

/// What follows from XFAM, ATTRIBUTES and the platform, and its checks.
fn adjust(traits: &Traits, (leaf, subleaf): (u32, u32), values: &mut Values, rcx: &mut u64) -> Result<(), Status> {
    match (leaf, subleaf) {
        (0x1, _) => {
            values[0] = version(traits, values[0]).inspect_err(|_| *rcx = u64::from(subleaf) << 32 | 1)?;
            if traits.xfam & AVX == 0 {
                values[2] &= !0x3000_1000;
            }
        }
        (0x7, 0) => features(traits, values)?,
        (0x7, 1) if traits.xfam & AVX512 != AVX512 => values[0] &= !0x30,
        (0xA, _) if traits.attributes & PERFMON == 0 => *values = [0; 4],
        (0x15, _) => values[1] = traits.tsc_frequency.into(),
        (0x1C, _) if traits.xfam & LBR == 0 => *values = [0; 4],
        _ => {}
    }
    Ok(())
}

/// CPUID(1).EAX: 0 is the platform's. A TD that can migrate may have a lower stepping; others are not checked against the
/// module's table of processors, which is not modelled.
fn version(traits: &Traits, eax: u32) -> Result<u32, Status> {
    const STEPPING: u32 = 0xF;
    let platform = traits.platform_eax;
    let lower = eax & !STEPPING == platform & !STEPPING && eax & STEPPING <= platform & STEPPING;
    match eax {
        0 => Ok(platform),
        same if same == platform => Ok(platform),
        older if traits.attributes & MIGRATABLE != 0 && lower => Ok(older),
        _ => Err(refused()),
    }
}

/// CPUID(7, 0).
fn features(traits: &Traits, values: &mut Values) -> Result<(), Status> {
    for (needs, masks) in FEATURES_BY_XFAM {
        if traits.xfam & needs != needs {
            (1..4).for_each(|i| values[i] &= !masks[i - 1]);
        }
    }
    // Both bits that tell of TSX (HLE and RTM) must agree.
    if (values[1] >> 4 ^ values[1] >> 11) & 1 != 0 {
        return Err(refused());
    }
    // PKS follows ATTRIBUTES; there is no key locker.
    values[2] &= !(1 << 31 | 1 << 23);
    if traits.attributes & PKS != 0 {
        values[2] |= 1 << 31;
    }
    Ok(())
}

/// One of the two halves of a row, which a field code names: element in bit 0, subleaf in 7:1, no subleaf in 8, leaf in
/// 15:9, the leaf's bit 31 in 16. Source: `md_td_get_element`.
pub(crate) fn element(rows: &[[u32; 6]], traits: &Traits, code: u32) -> Result<u64, Status> {
    if code >> 17 != 0 {
        return Err(Status::METADATA_FIELD_ID_INCORRECT);
    }
    let leaf = (code >> 9) & 0x7F | (code >> 16 & 1) << 31;
    let subleaf = if code & 0x100 != 0 { NONE } else { (code >> 1) & 0x7F };
    if is_faulting(leaf, subleaf) {
        return Err(Status::METADATA_FIELD_NOT_READABLE);
    }
    let values = row(rows, traits, leaf, subleaf).ok_or(Status::METADATA_FIELD_ID_INCORRECT)?;
    let pair = if code & 1 == 0 { [values[0], values[1]] } else { [values[2], values[3]] };
    Ok(u64::from(pair[0]) | u64::from(pair[1]) << 32)
}

/// Whether a TD that asks for this gets a #VE although the module has the row.
fn is_faulting(leaf: u32, subleaf: u32) -> bool {
    let faults =
        |&(row, first, last): &(u32, u32, u32)| row == leaf && (first == NONE || (first..=last).contains(&subleaf));
    FAULTING.iter().any(faults)
}

/// A row as it is in the end. One without subleaves answers for all of them.
fn row(rows: &[[u32; 6]], traits: &Traits, leaf: u32, subleaf: u32) -> Option<Values> {
    let found = look_up(rows, traits, leaf, subleaf).or_else(|| look_up(rows, traits, leaf, NONE));
    let mut values = found?;
    let (monitor, la57) = other_rows(rows, traits);
    follow(leaf, &mut values, monitor, la57);
    Some(values)
}

/// What the module answers to a TD's CPUID, but for what depends on the vCPU; none: #VE. Source: TDX module `td_cpuid.c`.
pub(crate) fn answer(rows: &[[u32; 6]], traits: &Traits, leaf: u32, subleaf: u32) -> Option<Values> {
    const LAST_BASIC: u32 = ROWS[0].2[0];
    const FIRST_EXTENDED: u32 = 0x8000_0000;
    const LAST_EXTENDED: u32 = 0x8000_0008;
    const HYPERVISORS: std::ops::RangeInclusive<u32> = 0x4000_0000..=0x4FFF_FFFF;
    let beyond = leaf > LAST_EXTENDED || (leaf > LAST_BASIC && leaf < FIRST_EXTENDED);
    let leaf = if beyond && !HYPERVISORS.contains(&leaf) { LAST_BASIC } else { leaf };
    if is_faulting(leaf, subleaf) { None } else { row(rows, traits, leaf, subleaf) }
}
