//! Differences that are accepted, each with its reason. FIDELITY.md has the same table, and a test compares the two.

use super::difference::Difference;
use super::step::Step;
use seam_emu::abi::Leaf;

/// An accepted difference.
pub struct Accepted {
    /// What FIDELITY.md calls it.
    pub name: &'static str,
    /// Why the model stays as it is.
    pub reason: &'static str,
    applies: fn(&Step, &Difference) -> bool,
}

/// All of them.
pub const ACCEPTED: &[Accepted] = &[
    Accepted {
        name: "date and number of the build",
        reason: "whoever built the module chose them",
        applies: |step, difference| is_field(step, difference, &[0x8800_0002_0000_0001, 0x8800_0001_0000_0002]),
    },
    Accepted {
        name: "HLE, RTM and LA57 among the configurable bits of CPUID leaf 7",
        reason: "the software CPU has no transactions, and the loader makes page tables of four levels",
        applies: |step, difference| {
            is_field(step, difference, &[0x9900_0003_0000_050A, 0x9900_0003_0000_050B])
                && matches!(difference, Difference::Register { module, model, .. } if ABSENT.contains(&(module ^ model)))
        },
    },
    Accepted {
        name: "the multiplier of a TD's TSC",
        reason: "in the model the processor's TSC has the frequency that the TD asks for",
        applies: |step, difference| {
            let Step::Call { regs, .. } = step else { return false };
            step.leaf() == Some(Leaf::MngRd)
                && regs.rdx == 0x9110_0003_0000_000B
                && matches!(difference, Difference::Register { name: "r8", .. })
        },
    },
    Accepted {
        name: "user mode in entries of a secure EPT that a module before 1.5.16 made",
        reason: "after an update they are as that module made them; the model does not remember who made an entry",
        applies: |_, difference| {
            matches!(difference, Difference::Register { name: "rcx", module, model }
                if module & USER_EXECUTE == 0 && module | USER_EXECUTE == *model)
        },
    },
    Accepted {
        name: "the owner of a page that was given back",
        reason: "the module leaves the last one; the model has none",
        applies: |step, difference| {
            step.leaf() == Some(Leaf::PhymemPageRdmd)
                && matches!(difference, Difference::Register { name: "rdx", model: 0, .. })
        },
    },
    Accepted {
        name: "the next field of TDH.MNG.RD and TDH.VP.RD, version 1",
        reason: "Linux does not list fields, and the model does not have all of a TD's",
        applies: |step, difference| {
            matches!(step.leaf(), Some(Leaf::MngRd | Leaf::VpRd))
                && matches!(difference, Difference::Register { name: "rdx", model: u64::MAX, .. })
        },
    },
];

/// An entry's bit that lets user mode execute.
const USER_EXECUTE: u64 = 1 << 10;
/// Bits of HLE and RTM in EBX, and of LA57 in ECX: as pairs of words that begin with EAX, ECX or EBX.
const ABSENT: [u64; 3] = [0x810 << 32, 1 << 16, 1 << 48 | 0x810];

/// Whether a difference in a register is accepted.
pub(crate) fn is_accepted(step: &Step, difference: &Difference) -> bool {
    ACCEPTED.iter().any(|accepted| (accepted.applies)(step, difference))
}

/// Whether a difference of a word that a leaf wrote is accepted. The date of the build is a decimal number of 8 digits, in
/// TDH.SYS.INFO with the build's number behind it.
pub(crate) fn word_is_accepted(module: [u8; 8], model: [u8; 8]) -> bool {
    let (module, model) = (u64::from_le_bytes(module), u64::from_le_bytes(model));
    let date = |word: u64| (20_000_101..21_000_101).contains(&(word & 0xFFFF_FFFF));
    let same_version = module >> 48 == model >> 48;
    date(module) && date(model) && same_version || ABSENT.contains(&(module ^ model))
}

/// TDH.SYS.RD of one of these fields, whose value differs.
fn is_field(step: &Step, difference: &Difference, fields: &[u64]) -> bool {
    let Step::Call { regs, .. } = step else { return false };
    step.leaf() == Some(Leaf::SysRd)
        && fields.contains(&regs.rdx)
        && matches!(difference, Difference::Register { name: "r8", .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use seam_emu::Regs;

    fn read(field: u64, module: u64, model: u64) -> bool {
        let step = Step::Call { lp: 0, regs: Regs { rax: Leaf::SysRd.number(), rdx: field, ..Regs::default() } };
        is_accepted(&step, &Difference::Register { name: "r8", module, model })
    }

    #[test]
    fn only_what_the_build_chooses_may_differ() {
        assert!(read(0x8800_0002_0000_0001, 20_260_101, 20_250_101));
        assert!(!read(0x0800_0001_0000_0005, 5, 6), "the version is no choice");
        assert!(word_is_accepted(20_260_101u64.to_le_bytes(), 20_250_101u64.to_le_bytes()));
        assert!(!word_is_accepted(((1 << 48) + 20_260_101u64).to_le_bytes(), 20_250_101u64.to_le_bytes()));
    }

    #[test]
    fn only_the_bits_that_the_cpu_lacks_may_differ() {
        assert!(read(0x9900_0003_0000_050A, 0xDC2B_9308 << 32, 0xDC2B_9B18 << 32));
        assert!(!read(0x9900_0003_0000_050A, 0xDC2B_9300 << 32, 0xDC2B_9B18 << 32), "and one more");
        assert!(!read(0x9900_0003_0000_0508, 0, 1 << 16), "another row");
        let row = |ecx: u64, ebx: u64| (ecx << 32 | ebx).to_le_bytes();
        assert!(word_is_accepted(row(0x0240_7F65, 0xDC2B_9308), row(0x0241_7F65, 0xDC2B_9B18)));
    }
}
