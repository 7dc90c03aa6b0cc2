//! A sequence: what a VMM does, step by step.

use super::answer::Answer;
use seam_emu::Regs;
use seam_emu::abi::Leaf;
use std::fmt;

/// One thing that a VMM does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A SEAMCALL.
    Call {
        /// The LP that makes it.
        lp: usize,
        /// Leaf and operands.
        regs: Regs,
    },
    /// It writes to memory.
    Put {
        /// Physical address.
        pa: u64,
        /// What it writes.
        bytes: Vec<u8>,
    },
    /// It makes TDH.SYS.TDMR.INIT again and again, until the TDMR is initialised or a call fails.
    InitializeTdmr {
        /// The LP that makes the calls.
        lp: usize,
        /// The TDMR's first byte.
        base: u64,
    },
    /// It installs the next module by SEAMLDR.INSTALL on all LPs.
    Install,
}

impl Step {
    /// The leaf that a step calls.
    pub fn leaf(&self) -> Option<Leaf> {
        match self {
            Self::Call { regs, .. } => leaf(regs.rax),
            Self::InitializeTdmr { .. } => Some(Leaf::SysTdmrInit),
            Self::Put { .. } | Self::Install => None,
        }
    }
}

/// Calls of [`Step::InitializeTdmr`] at most: a TDMR of 1 GB takes 256.
const TDMR_CALLS: usize = 1024;

/// Makes the calls of [`Step::InitializeTdmr`]. Gives the last one's answer.
pub(crate) fn initialize_tdmr(base: u64, mut call: impl FnMut(Regs) -> Answer) -> Answer {
    let regs = Regs { rax: Leaf::SysTdmrInit.number(), rcx: base, ..Regs::default() };
    let mut answer = call(regs);
    for _ in 0..TDMR_CALLS {
        match &answer {
            Answer::Returned(after) if after.rax == 0 && after.rdx == base => answer = call(regs),
            _ => break,
        }
    }
    answer
}

/// The leaf of the TDX module that RAX asks for.
fn leaf(rax: u64) -> Option<Leaf> {
    Leaf::ALL.iter().copied().find(|leaf| !leaf.is_seamldr() && leaf.number() == rax & 0xFFFF)
}

/// The registers that are not 0, as in a Rust expression.
pub(crate) struct Operands<'a>(pub(crate) &'a Regs);

impl fmt::Display for Operands<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regs {{ rax: {:#x}", self.0.rax)?;
        for (name, value) in named(self.0).into_iter().skip(1).filter(|(_, value)| *value != 0) {
            write!(f, ", {name}: {value:#x}")?;
        }
        write!(f, ", ..Regs::default() }}")
    }
}

/// All registers with their names, RAX first.
pub(crate) fn named(regs: &Regs) -> [(&'static str, u64); 14] {
    [
        ("rax", regs.rax),
        ("rcx", regs.rcx),
        ("rdx", regs.rdx),
        ("rbx", regs.rbx),
        ("rsi", regs.rsi),
        ("rdi", regs.rdi),
        ("r8", regs.r8),
        ("r9", regs.r9),
        ("r10", regs.r10),
        ("r11", regs.r11),
        ("r12", regs.r12),
        ("r13", regs.r13),
        ("r14", regs.r14),
        ("r15", regs.r15),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_written_as_rust() {
        let regs = Regs { rax: 34, rdx: 0x0800_0001_0000_0004, ..Regs::default() };
        assert_eq!(Operands(&regs).to_string(), "Regs { rax: 0x22, rdx: 0x800000100000004, ..Regs::default() }");
    }

    #[test]
    fn the_leaf_is_known_whatever_its_version() {
        let call = |rax| Step::Call { lp: 0, regs: Regs { rax, ..Regs::default() } };
        assert_eq!(call(0x1_0016).leaf(), Some(Leaf::VpInit));
        assert_eq!(call(999).leaf(), None);
        assert_eq!(Step::Install.leaf(), None);
    }
}
