//! What becomes of a TD's RDMSR and WRMSR, by register. Source of all rows: TDX module `msr_config_lookup.c`; what has no row
//! raises #VE. Of the rows of features that depend on XFAM or ATTRIBUTES only those are here that Linux asks for; the others'
//! registers raise #VE in place of #GP.

use Rule::{Fixed, Gp, Kept, Special, Ve};

/// What becomes of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The TD's own register, whose value nothing here depends on: it reads what it wrote.
    Kept,
    /// It reads this value.
    Fixed(u64),
    /// Code of its own serves it.
    Special,
    /// #GP.
    Gp,
    /// #VE.
    Ve,
}

/// `IA32_MISC_ENABLE` without ATTRIBUTES.PERFMON: fast strings as on the platform, no performance monitoring, no PEBS
/// (`rdmsr_ia32_misc_enables`).
const MISC_ENABLE: u64 = 1 << 12 | 1;
/// `IA32_XAPIC_DISABLE_STATUS`: the APIC stays in x2APIC mode.
const LEGACY_XAPIC_DISABLED: u64 = 1;

/// First and last register, RDMSR, WRMSR; ascending.
const ROWS: &[(u32, u32, Rule, Rule)] = &[
    (0x10, 0x10, Special, Ve),                      // IA32_TIME_STAMP_COUNTER
    (0x48, 0x48, Kept, Kept),                       // IA32_SPEC_CTRL
    (0x49, 0x49, Gp, Kept),                         // IA32_PRED_CMD, for writing alone
    (0x8C, 0x8F, Gp, Gp),                           // IA32_SGXLEPUBKEYHASHx
    (0x98, 0x9B, Gp, Gp),                           // WBINVDP, WBNOINVDP, INTR_PENDING, IA32_SMM_MONITOR_CTL
    (0x9E, 0x9E, Gp, Gp),                           // IA32_SMBASE
    (0xBC, 0xBC, Fixed(0), Ve),                     // IA32_MISC_PACKAGE_CTLS
    (0xBD, 0xBD, Fixed(LEGACY_XAPIC_DISABLED), Gp), // IA32_XAPIC_DISABLE_STATUS
    (0xC1, 0xC8, Gp, Gp),                           // IA32_PMCx, without PERFMON
    (0x10A, 0x10A, Special, Gp),                    // IA32_ARCH_CAPABILITIES
    (0x10B, 0x10B, Gp, Kept),                       // IA32_FLUSH_CMD, for writing alone
    (0x122, 0x122, Gp, Gp),                         // IA32_TSX_CTRL, without TSX
    (0x186, 0x18D, Gp, Gp),                         // IA32_PERFEVTSELx
    (0x1A0, 0x1A0, Fixed(MISC_ENABLE), Ve),         // IA32_MISC_ENABLE
    (0x1A6, 0x1A7, Gp, Gp),                         // OFFCORE_RSPx
    (0x1D9, 0x1D9, Kept, Special),                  // IA32_DEBUGCTL
    (0x276, 0x276, Gp, Gp),                         // SLAM_ENABLE
    (0x277, 0x277, Kept, Kept),                     // IA32_PAT
    (0x309, 0x310, Gp, Gp),                         // IA32_FIXED_CTRx
    (0x329, 0x329, Gp, Gp),                         // IA32_PERF_METRICS
    (0x345, 0x345, Fixed(0), Gp),                   // IA32_PERF_CAPABILITIES
    (0x38D, 0x392, Gp, Gp),                         // IA32_FIXED_CTR_CTRL, IA32_PERF_GLOBAL_x
    (0x3F1, 0x3F2, Gp, Gp),                         // IA32_PEBS_ENABLE
    (0x3F6, 0x3F7, Gp, Gp),                         // PEBS
    (0x500, 0x500, Gp, Gp),                         // IA32_SGX_SVN_STATUS
    (0x600, 0x600, Kept, Kept),                     // IA32_DS_AREA
    (0x800, 0x801, Gp, Gp),                         // reserved
    (0x804, 0x807, Gp, Gp),                         // reserved
    (0x808, 0x808, Special, Special),               // IA32_X2APIC_TPR
    (0x80A, 0x80A, Special, Gp),                    // IA32_X2APIC_PPR
    (0x80B, 0x80B, Gp, Special),                    // IA32_X2APIC_EOI, for writing alone
    (0x810, 0x817, Special, Gp),                    // IA32_X2APIC_ISRx
    (0x818, 0x81F, Fixed(0), Gp),                   // IA32_X2APIC_TMRx: posted interrupts are edges
    (0x820, 0x827, Special, Gp),                    // IA32_X2APIC_IRRx
    (0x829, 0x82E, Gp, Gp),                         // reserved
    (0x831, 0x831, Gp, Gp),                         // reserved
    (0x83F, 0x83F, Gp, Special),                    // IA32_X2APIC_SELF_IPI, for writing alone
    (0x840, 0x8FF, Gp, Gp),                         // reserved
    (0x981, 0x984, Gp, Gp),                         // IA32_TME_x, without CPUID(7).ECX.TME
    (0xC80, 0xC80, Fixed(0), Ve),                   // IA32_DEBUG_INTERFACE
    (0xD90, 0xD90, Gp, Gp),                         // IA32_BNDCFGS
    (0xD93, 0xD93, Gp, Gp),                         // IA32_PASID
    (0xDA0, 0xDA0, Kept, Special),                  // IA32_XSS
    (0xC000_0080, 0xC000_0080, Special, Special),   // IA32_EFER
];

/// What becomes of an access.
pub(super) fn rule(msr: u32, write: bool) -> Rule {
    let row = ROWS.iter().find(|(first, last, ..)| (*first..=*last).contains(&msr));
    row.map_or(Ve, |(.., read, written)| if write { *written } else { *read })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_ascend_and_do_not_overlap() {
        assert!(ROWS.iter().all(|(first, last, ..)| first <= last));
        assert!(ROWS.windows(2).all(|pair| pair[0].1 < pair[1].0));
        assert!(ROWS.iter().all(|(.., write)| !matches!(write, Fixed(_))), "nobody writes a value that is fixed");
    }

    #[test]
    fn what_has_no_row_raises_ve() {
        for (msr, read, write) in [
            (0x1B, Ve, Ve),        // IA32_APIC_BASE
            (0x80F, Ve, Ve),       // IA32_X2APIC_SPIV, the VMM's
            (0x830, Ve, Ve),       // IA32_X2APIC_ICR
            (0x838, Ve, Ve),       // IA32_X2APIC_INIT_COUNT
            (0x6E0, Ve, Ve),       // IA32_TSC_DEADLINE, which CPUID has
            (0x4000_0000, Ve, Ve), // none of a processor's
            (0x80A, Special, Gp),
            (0x8FF, Gp, Gp),
        ] {
            assert_eq!((rule(msr, false), rule(msr, true)), (read, write), "{msr:#x}");
        }
    }
}
