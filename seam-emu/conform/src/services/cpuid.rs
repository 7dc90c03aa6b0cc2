//! CPUID of a processor on which modules of the 1.5 series start, with the features that a VMM may configure.
//!
//! Source of what SYS.INIT verifies: TDX module 1.5.05 `cpuid_configurations.c`, `tdh_sys_init.c`. Hardware lock elision and
//! RTM are absent, because the software CPU has no transactions, and five-level paging, which the loader does not make.

use super::Cpu;
use crate::platform::{ADDRESS_BITS, CPUID_1_EAX, Topology};
use iced_x86::Register;

/// EAX to EDX.
type Words = [u32; 4];

/// Leaf, subleaf and words of what is the same on all LPs. A leaf whose only row has subleaf 0 answers all subleaves so, if
/// it is in [`WITHOUT_SUBLEAVES`].
const ROWS: &[(u32, u32, Words)] = &[
    (0x0, 0, [0x23, 0x756E_6547, 0x6C65_746E, 0x4965_6E69]),
    (0x4, 0, [0x121, 0x02C0_003F, 0x3F, 0]),
    (0x4, 1, [0x122, 0x01C0_003F, 0x3F, 0]),
    (0x4, 2, [0x143, 0x03C0_003F, 0x7FF, 0]),
    (0x7, 0, [2, 0xFDBF_B7CB, 0x9B40_7F65, 0xFC0D_451C]),
    (0x7, 1, [0x0488_1DB0, 0, 0, 0x2_4430]),
    (0x7, 2, [0, 0, 0, 0x3F]),
    // Version 5, 8 counters of 48 bits, 3 fixed ones, AnyThread deprecated.
    (0xA, 0, [0x0830_0805, 0, 0xF, 0x8603]),
    // x87, SSE, AVX, AVX-512, PKRU, AMX.
    (0xD, 0, [0x6_02E7, 0x2B00, 0x2B00, 0]),
    // PT, CET, user interrupts and LBRs.
    (0xD, 1, [0x1F, 0x2B00, 0xD900, 0]),
    (0xD, 2, [0x100, 0x240, 0, 0]),
    (0xD, 5, [0x40, 0x440, 0, 0]),
    (0xD, 6, [0x200, 0x480, 0, 0]),
    (0xD, 7, [0x400, 0x680, 0, 0]),
    (0xD, 8, [0x80, 0, 1, 0]),
    (0xD, 9, [8, 0xA80, 0, 0]),
    (0xD, 11, [0x10, 0, 1, 0]),
    (0xD, 12, [0x18, 0, 1, 0]),
    (0xD, 14, [0x30, 0, 1, 0]),
    (0xD, 15, [0x328, 0, 1, 0]),
    (0xD, 17, [0x40, 0xAC0, 2, 0]),
    (0xD, 18, [0x2000, 0xB00, 6, 0]),
    (0x14, 0, [1, 0, 0, 0]),
    (0x15, 0, [2, 168, 25_000_000, 0]),
    (0x16, 0, [2000, 3500, 100, 0]),
    (0x1C, 0, [0xFF, 7, 3, 0]),
    (0x23, 0, [0xF, 0, 0, 0]),
    (0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
    (0x8000_0001, 0, [0, 0, 0x121, 0x2C10_0800]),
    (0x8000_0006, 0, [0, 0, 0x0800_7040, 0]),
    (0x8000_0007, 0, [0, 0, 0, 0x100]),
    (0x8000_0008, 0, [ADDRESS_BITS | 48 << 8, 0x200, 0, 0]),
];
/// Leaves that do not look at the subleaf.
const WITHOUT_SUBLEAVES: [u32; 10] =
    [0x0, 0xA, 0x15, 0x16, 0x1C, 0x8000_0000, 0x8000_0001, 0x8000_0006, 0x8000_0007, 0x8000_0008];

/// The answer that an LP gets.
fn words(topology: Topology, apic_id: u32, leaf: u32, subleaf: u32) -> Words {
    let shift = topology.package_shift();
    match (leaf, subleaf) {
        (0x1, _) => [CPUID_1_EAX, apic_id << 24 | 0x800, 0xFFFE_FFFF, 0xBFEF_FBFF],
        // The last level of caches belongs to the package.
        (0x4, 3) => [0x163 | ((1 << shift) - 1) << 14, 0x03C0_003F, 0xFFFF, 4],
        // One thread in a core; then the package's cores.
        (0xB | 0x1F, 0) => [0, 1, 1 << 8, apic_id],
        (0xB | 0x1F, 1) => [shift, topology.lps_per_package, 2 << 8 | 1, apic_id],
        (0xB | 0x1F, other) => [0, 0, other & 0xFF, apic_id],
        _ => {
            let subleaf = if WITHOUT_SUBLEAVES.contains(&leaf) { 0 } else { subleaf };
            ROWS.iter().find(|row| (row.0, row.1) == (leaf, subleaf)).map_or([0; 4], |row| row.2)
        }
    }
}

impl Cpu<'_> {
    pub(super) fn cpuid(&mut self) {
        let (leaf, subleaf) = (self.registers.get(Register::RAX) as u32, self.registers.get(Register::RCX) as u32);
        let words = words(self.platform.topology, self.lp.apic_id, leaf, subleaf);
        for (register, word) in [Register::RAX, Register::RBX, Register::RCX, Register::RDX].into_iter().zip(words) {
            self.registers.set(register, word.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPOLOGY: Topology = Topology { packages: 2, lps_per_package: 2 };

    /// Leaf, subleaf, mask and value of what SYS.INIT verifies.
    const VERIFIED: &[(u32, u32, Words, Words)] = &[
        (0x1, 0, [0, 0xFF00, 0x47FA_A217, 0x1FA9_FBFF], [0, 0x800, 0x47FA_A217, 0x1FA9_FBFF]),
        (0x4, 0, [0, 0xFFF, 0, 0], [0, 0x3F, 0, 0]),
        (0x4, 3, [0xE0, 0xFFF, 0, 1], [0x60, 0x3F, 0, 0]),
        (0x4, 4, [0x1F, 0, 0, 0], [0; 4]),
        (0x6, 0, [0x80_0000, 0, 0, 0], [0; 4]),
        (0x7, 0, [!0, 0x2194_24C3, 0x9900_0000, 0xFC08_2600], [2, 0x2194_24C3, 0x9900_0000, 0xFC08_0400]),
        (0x7, 2, [0, 0, 0, 0x17], [0, 0, 0, 0x17]),
        (0xA, 0, [0xFF00, 0, 0xFFFF_FF80, 0x8000], [0x800, 0, 0, 0x8000]),
        (0xD, 0, [3, 0, 0, 0], [3, 0, 0, 0]),
        (0xD, 1, [0xF, 0, 0x1800, 0], [0xF, 0, 0x1800, 0]),
        (0x14, 0, [!0, 0, 0, 0], [1, 0, 0, 0]),
        (0x8000_0001, 0, [0, 0, 0x121, 0x2C10_0800], [0, 0, 0x121, 0x2C10_0800]),
        (0x8000_0006, 0, [0, 0, 0xFF, 0], [0, 0, 0x40, 0]),
        (0x8000_0007, 0, [0, 0, 0, 0x100], [0, 0, 0, 0x100]),
        (0x8000_0008, 0, [0xFFFF, 0x200, 0, 0], [0x3034, 0x200, 0, 0]),
    ];

    #[test]
    fn a_module_takes_the_processor() {
        for (leaf, subleaf, mask, value) in VERIFIED {
            let words = words(TOPOLOGY, 3, *leaf, *subleaf);
            for i in 0..4 {
                assert_eq!(words[i] & mask[i], value[i], "leaf {leaf:#x}, subleaf {subleaf}, word {i}");
            }
        }
    }

    #[test]
    fn lps_differ_by_their_apic_id() {
        assert_eq!(words(TOPOLOGY, 3, 1, 0)[1] >> 24, 3);
        assert_eq!(words(TOPOLOGY, 3, 0x1F, 0), [0, 1, 0x100, 3]);
        assert_eq!(words(TOPOLOGY, 3, 0x1F, 1), [1, 2, 0x201, 3]);
        assert_eq!(words(TOPOLOGY, 3, 0x1F, 2), [0, 0, 2, 3], "no further level");
    }

    #[test]
    fn there_are_no_transactions() {
        assert_eq!(words(TOPOLOGY, 0, 7, 0)[1] & (1 << 4 | 1 << 11), 0);
    }

    #[test]
    fn leaves_without_subleaves_answer_all_alike_and_others_do_not() {
        assert_eq!(words(TOPOLOGY, 0, 0x15, 9), words(TOPOLOGY, 0, 0x15, 0));
        assert_eq!(words(TOPOLOGY, 0, 0x7, 9), [0; 4]);
    }
}
