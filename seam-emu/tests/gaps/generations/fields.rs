//! SYS.RD of every field, generation by generation.

use super::pending;
use crate::common::{Answer, BUFFER, Machine, call};
use seam_emu::abi::field::NO_FIELD;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::{Config, Generation, Regs};

/// First id, number of elements, and their values; those that are not listed are like the last.
type Row = (u64, u32, &'static [u64]);

/// What all generations tell alike on a machine with one Emerald Rapids LP.
const COMMON: &[Row] = &[
    (0x0000_0002_0000_0000, 1, &[1]),
    (0x0000_0002_0000_0001, 8, &[0xC_06F2, 0]),
    (0x0800_0002_0000_0000, 1, &[0x8086]),
    (0x8800_0002_0000_0001, 1, &[20_250_101]),
    (0x8800_0001_0000_0002, 1, &[744]),
    (0x0800_0001_0000_0003, 1, &[5]),
    (0x0800_0001_0000_0004, 1, &[1]),
    (0x0800_0001_0000_0006, 1, &[0]),
    (0x8900_0001_0000_0001, 1, &[0]),
    (0x8900_0001_0000_0003, 1, &[13]),
    (0x8900_0000_0000_0004, 1, &[0]),
    (0x8900_0001_0000_0005, 1, &[0]),
    (0x8900_0002_0000_0006, 1, &[0]),
    (0x0A00_0002_0000_0000, 1, &[0]),
    (0x0A00_0000_0000_0001, 1, &[1]),
    (0x9000_0001_0000_0000, 1, &[32]),
    (0x9000_0003_0000_0080, 32, &[0x10_0000, 0]),
    (0x9000_0003_0000_0100, 32, &[0x7FF0_0000, 0]),
    (0x9100_0001_0000_0008, 1, &[64]),
    (0x9100_0001_0000_0009, 1, &[16]),
    (0x9100_0001_0000_0010, 1, &[16]),
    (0x9100_0001_0000_0011, 1, &[16]),
    (0x9100_0001_0000_0012, 1, &[16]),
    (0x9800_0001_0000_0000, 1, &[0x1000]),
    (0x9800_0001_0000_0100, 1, &[0x6000]),
    (0x9800_0001_0000_0101, 1, &[0x1000]),
    (0x9800_0001_0000_0200, 1, &[0x6000]),
    (0x9800_0001_0000_0201, 1, &[0x3000]),
    (0x1900_0003_0000_0001, 1, &[0]),
    (0x1900_0003_0000_0002, 1, &[0x6_DBE7]),
    (0x1900_0003_0000_0003, 1, &[3]),
    (0x9900_0003_0000_0007, 1, &[0]),
    (0x9900_0003_0000_0600, 1, &[0x118_0010]),
    (0x9900_0001_0000_0800, 1, &[2]),
    (0x9900_0001_0000_0801, 1, &[0]),
    (0x9900_0003_0000_0810, 64, &[0xC_06F2, 0x8_06F8, 0]),
    (0x9900_0003_0000_0850, 64, &[0]),
    (0xA000_0003_0000_0000, 1, &[0]),
    (0x2000_0001_0000_0001, 4, &[0]),
    (0xA000_0001_0000_0010, 1, &[512]),
    (0xA000_0000_0000_0021, 1, &[2]),
    (0xA100_0001_0000_0000, 1, &[1]),
    (0xA100_0003_0000_0001, 1, &[0x07FF_0000_0001]),
    (0xA100_0003_0000_0002, 1, &[0]),
    (0xA200_0001_0000_0000, 1, &[0x807F]),
    (0xA200_0003_0000_0001, 1, &[1]),
    (0xA200_0003_0000_0002, 1, &[0]),
    (0xA200_0003_0000_0003, 1, &[3]),
    (0xA200_0003_0000_0004, 1, &[0]),
    (0xA200_0003_0000_0005, 1, &[7]),
    (0xA200_0003_0000_0006, 1, &[0]),
];

/// Leaves and subleaves of CPUID that may be configured, in their order. Each generation has so many of them.
const LEAVES: [u64; 28] = [
    0xFFFF_FFFF_0000_0001,
    0x4,
    0x1_0000_0004,
    0x2_0000_0004,
    0x3_0000_0004,
    0x7,
    0x1_0000_0007,
    0xFFFF_FFFF_0000_000A,
    0xFFFF_FFFF_0000_001C,
    0xFFFF_FFFF_8000_0008,
    0x2_0000_0007,
    0x23,
    0x1F,
    0x1_0000_001F,
    0x2_0000_001F,
    0x3_0000_001F,
    0x4_0000_001F,
    0x5_0000_001F,
    0xFFFF_FFFF_0000_0019,
    0x18,
    0x1_0000_0018,
    0x2_0000_0018,
    0x3_0000_0018,
    0x4_0000_0018,
    0x5_0000_0018,
    0x6_0000_0018,
    0x7_0000_0018,
    0x8_0000_0018,
];

/// What a generation tells of its own.
struct Own {
    generation: Generation,
    /// All elements.
    elements: usize,
    rows: &'static [Row],
    leaves: usize,
    /// EAX and EBX, ECX and EDX of the first rows; of those that follow up to `leaves`, see [`values_from`].
    values: &'static [[u64; 2]],
}

const CACHE: [u64; 2] = [0xFFFF_F000_FFFF_C3FF, 0xFFFF_FFFB_FFFF_FFFF];
const CACHE_3: [u64; 2] = [0xFFFF_F000_FFFF_C3FF, 0x7_FFFF_FFFF];

const OWN: [Own; 4] = [
    Own {
        generation: Generation::V1_5_01,
        elements: 354,
        rows: &[
            (0x0800_0001_0000_0005, 1, &[1]),
            (0x8900_0001_0000_0000, 1, &[0]),
            (0x8900_0000_0000_0002, 1, &[0]),
            (0x0A00_0003_0000_0008, 1, &[0xF_0FBF]),
            (0x1900_0003_0000_0000, 1, &[0x8000_0000_7000_0001]),
            (0x9900_0003_0000_0006, 1, &[7]),
            (0xA000_0000_0000_0020, 1, &[3]),
            (0xA000_0000_0000_0022, 1, &[5]),
        ],
        leaves: 12,
        // Only what may be configured whatever the CPU has.
        values: &[
            [0x00FF_0000_0FFF_3FFF, 0],
            CACHE,
            CACHE,
            CACHE,
            CACHE_3,
            [0; 2],
            [0; 2],
            [0; 2],
            [0; 2],
            [0; 2],
            [0; 2],
            [0; 2],
        ],
    },
    Own {
        generation: Generation::V1_5_05,
        elements: 355,
        rows: &[
            (0x0800_0001_0000_0005, 1, &[5]),
            (0x8900_0001_0000_0000, 1, &[0]),
            (0x8900_0000_0000_0002, 1, &[0]),
            (0x0A00_0003_0000_0008, 1, &[0x1F_0FBF]),
            (0x1900_0003_0000_0000, 1, &[0x8000_0000_7000_0001]),
            (0x9900_0003_0000_0006, 1, &[7]),
            (0x9900_0001_0000_0008, 1, &[576]),
            (0xA000_0000_0000_0020, 1, &[4]),
            (0xA000_0000_0000_0022, 1, &[5]),
        ],
        leaves: 18,
        values: &[
            [0x00FF_0000_0FFF_3FFF, 0xB844_0000_3104_4D88],
            CACHE,
            CACHE,
            CACHE,
            CACHE_3,
            [0xDC2B_9B18_0000_0000, 0x0005_411C_0241_7F65],
            [0x0400_1D30, 0x430_0000_0000],
            [0; 2],
            [0xFF, 0],
            [0x200_0000_0000, 0],
            [0, 0x28_0000_0000],
            [0xF, 0],
        ],
    },
    Own {
        generation: Generation::V1_5_16,
        elements: 357,
        rows: &[
            (0x0800_0001_0000_0005, 1, &[16]),
            (0x8900_0001_0000_0000, 1, &[0]),
            (0x8900_0000_0000_0002, 1, &[0]),
            (0x0A00_0003_0000_0008, 1, &[0x22_6F3F_0FBF]),
            (0x1900_0003_0000_0000, 1, &[0x8000_0000_7001_0001]),
            (0x9900_0003_0000_0006, 1, &[0x1F]),
            (0x9900_0001_0000_0008, 1, &[576]),
            (0x9900_0000_0000_0009, 1, &[45]),
            (0x9900_0001_0000_000A, 1, &[512]),
            (0xA000_0000_0000_0020, 1, &[4]),
            (0xA000_0000_0000_0022, 1, &[9]),
        ],
        leaves: 28,
        values: &[
            [0x00FF_0000_0FFF_3FFF, 0xB844_5080_3104_4D88],
            CACHE_3,
            CACHE_3,
            CACHE_3,
            CACHE_3,
            [0xDC2B_9B18_0000_0000, 0x4005_411C_0241_7F65],
            [0x0488_1DB0, 0x2_4430_0000_0000],
            [0; 2],
            [0xFF, 0],
            [0x200_0000_00FF, 0],
            [0, 0x28_0000_0000],
            [0xF, 0],
        ],
    },
    Own {
        generation: Generation::V1_5_25,
        elements: 359,
        rows: &[
            (0x0800_0001_0000_0005, 1, &[25]),
            (0x8900_0001_0000_0000, 1, &[1]),
            (0x8900_0000_0000_0002, 1, &[1]),
            (0x0A00_0003_0000_0008, 1, &[0xD132_6F3F_0FBF]),
            (0x9100_0000_0000_0013, 1, &[1]),
            (0x9100_0000_0000_0014, 1, &[4]),
            (0x1900_0003_0000_0000, 1, &[0x8000_0000_7001_0001]),
            (0x9900_0003_0000_0006, 1, &[0x1F]),
            (0x9900_0001_0000_0008, 1, &[576]),
            (0x9900_0000_0000_0009, 1, &[45]),
            (0x9900_0001_0000_000A, 1, &[512]),
            (0xA000_0000_0000_0020, 1, &[4]),
            (0xA000_0000_0000_0022, 1, &[9]),
        ],
        leaves: 28,
        values: &[
            [0x00FF_0000_0FFF_3FFF, 0xB844_5080_3104_4D88],
            CACHE_3,
            CACHE_3,
            CACHE_3,
            CACHE_3,
            [0xDC2B_9B18_0000_0000, 0x4005_411C_0241_7F65],
            [0x0488_1DB0, 0x2_4430_0000_0000],
            [0; 2],
            [0xFF, 0],
            [0x200_0000_00FF, 0],
            [0, 0x28_0000_0000],
            [0xF, 0],
        ],
    },
];

/// Values of a row of CPUID beyond those that a generation lists: the topology, address translation, and key locker.
fn values_from(row: usize) -> [u64; 2] {
    match row {
        12..=17 => [0xFFFF_0000_001F, 0xFFFF],
        19..28 => [0, 0x03FF_C000_0000_0000],
        _ => [0; 2],
    }
}

/// All elements that a generation must tell: id and value.
fn expected(own: &Own) -> Vec<(u64, u64)> {
    let rows = COMMON.iter().chain(own.rows);
    let mut all: Vec<(u64, u64)> = rows
        .flat_map(|&(first, count, values)| {
            let value = move |i: u32| *values.get(i as usize).or(values.last()).expect("a value");
            (0..count).map(move |i| (first + u64::from(i), value(i)))
        })
        .collect();
    let leaf = |row: usize| if row < own.leaves { LEAVES[row] } else { u64::MAX };
    all.push((0x9900_0001_0000_0004, own.leaves as u64));
    all.extend((0..32).map(|row| (0x9900_0003_0000_0400 + row as u64, leaf(row))));
    for row in 0..32 {
        let beyond = if row < own.leaves { values_from(row) } else { [0; 2] };
        let [low, high] = own.values.get(row).copied().unwrap_or(beyond);
        let id = 0x9900_0003_0000_0500 + 2 * row as u64;
        all.extend([(id, low), (id + 1, high)]);
    }
    let class_and_code = |id: u64| (id >> 56 & 0x3F) << 24 | id & 0xFF_FFFF;
    all.sort_by_key(|(id, _)| class_and_code(*id));
    all
}

#[test]
fn e07_to_e11_every_field_of_every_generation_has_its_value() {
    for own in &OWN {
        let mut m = pending(own.generation);
        m.init_lps();
        let mut told = Vec::new();
        let first = m.call(0, Regs { rdx: NO_FIELD, ..call(Leaf::SysRd) });
        assert_eq!(first, Answer::Status(Status::METADATA_FIRST_FIELD_ID_IN_CONTEXT));
        let mut id = m.regs.rdx;
        while id != NO_FIELD {
            told.push((id, m.field(id)));
            id = m.regs.rdx;
        }
        let expected = expected(own);
        assert_eq!(expected.len(), own.elements, "{:?}: the table is whole", own.generation);
        for (told, expected) in told.iter().zip(&expected) {
            assert_eq!(told, expected, "{:?}: {:#x}, {:#x}", own.generation, told.0, told.1);
        }
        assert_eq!(told.len(), own.elements, "{:?}", own.generation);
    }
}

#[test]
fn e10_a_field_that_a_generation_has_not_does_not_exist() {
    for (generation, id) in [
        (Generation::V1_5_01, 0x9900_0001_0000_0008),
        (Generation::V1_5_16, 0x9100_0000_0000_0013),
        (Generation::V1_5_05, 0x9900_0001_0000_000A),
        (Generation::Configurable, 0x9900_0000_0000_0009),
    ] {
        let mut m = pending(generation);
        m.init_lps();
        let answer = m.call(0, Regs { rdx: id, ..call(Leaf::SysRd) });
        assert_eq!(answer, Answer::Status(Status::METADATA_FIELD_ID_INCORRECT), "{generation:?} {id:#x}");
        let list = m.call(0, Regs { rdx: BUFFER, r8: id, ..call(Leaf::SysRdall) });
        assert_eq!(list, Answer::Status(Status::METADATA_FIELD_ID_INCORRECT), "{generation:?} {id:#x}");
    }
}

#[test]
fn e08_allowed_cpus_have_their_steppings() {
    for (fms, allowed) in [(0x8_06F6, &[0x8_06F6][..]), (0xC_06F1, &[0xC_06F1, 0x8_06F8])] {
        let config = Config { cpuid_1_eax: fms, ..Config::for_lps(1) };
        let mut m = Machine::with(config, &ImageSpec::of(Generation::V1_5_16));
        m.init_lps();
        assert_eq!(m.field(0x9900_0001_0000_0800), allowed.len() as u64);
        for (i, fms) in allowed.iter().enumerate() {
            assert_eq!(m.field(0x9900_0003_0000_0810 + i as u64), *fms);
        }
    }
}

#[test]
fn a17_constants_of_the_build_are_told_whatever_the_sigstruct_says() {
    let spec = ImageSpec { module_hv: 2, ..ImageSpec::default() };
    let mut file = seam_emu::image::Image::parse(&crate::common::image(&spec)).expect("valid");
    (file.sigstruct.min_update_hv, file.sigstruct.no_downgrade) = (1.into(), 1);
    file.sign();
    let mut m = Machine::new(1);
    m.ok(0, call(Leaf::LdrCleanup));
    assert_eq!(m.install(&file.to_file(), 0), Answer::Status(Status::SUCCESS));
    m.boot_linux();
    let told = [0x8900_0001_0000_0000, 0x8900_0001_0000_0001, 0x8900_0000_0000_0002].map(|id| m.field(id));
    assert_eq!(told, [2, 0, 0], "as built");
    let lower = m.call(0, Regs { rcx: 1, ..call(Leaf::SysShutdown) });
    assert_eq!(lower, super::invalid(seam_emu::abi::status::Operand::Rcx), "as signed");
}

#[test]
fn a21_sys_info_of_1_5_01_tells_more_cpuid_bits_than_sys_rd() {
    let mut m = pending(Generation::V1_5_01);
    m.init_lps();
    m.ok(0, Regs { rcx: BUFFER, rdx: 1024, r8: BUFFER + 4096, r9: 32, ..call(Leaf::SysInfo) });
    // The first row: leaf, subleaf, EAX to EDX.
    let row: [u32; 6] = m.get(BUFFER + 132);
    assert_eq!(row, [1, u32::MAX, 0x0FFF_3FFF, 0x00FF_0000, 0x3104_4D88, 0xB844_0000]);
    assert_eq!(m.field(0x9900_0003_0000_0501), 0, "ECX and EDX, which depend on the CPU");
}
