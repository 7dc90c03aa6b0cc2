//! A TD's vCPU that has just exited, and how it goes on.

use crate::event::Event;
use crate::exit::{Access, Exit};
use crate::vcpu::Vcpu;
use crate::ve::VeInfo;
use crate::vmcb::{self, Vmcb};

/// Numbers of general-purpose registers in an instruction's encoding. RAX and RSP are in the VMCB.
pub mod gpr {
    #![expect(missing_docs, reason = "the names are the architecture's own")]
    pub const RCX: usize = 1;
    pub const RDX: usize = 2;
    pub const RBX: usize = 3;
    pub const RSP: usize = 4;
    pub const RSI: usize = 6;
    pub const RDI: usize = 7;
    pub const R8: usize = 8;
    pub const R9: usize = 9;
    pub const R10: usize = 10;
    pub const R11: usize = 11;
    pub const R12: usize = 12;
    pub const R15: usize = 15;
}

/// A TD's vCPU that has just exited.
#[derive(Debug)]
pub struct Td<'a> {
    /// What the processor switches.
    pub vmcb: Vmcb<'a>,
    /// General-purpose registers, by [`gpr`].
    pub gprs: &'a mut [u64; 16],
    /// What the module keeps.
    pub vcpu: &'a mut Vcpu,
}

/// How a TD's vCPU goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// VMRUN again.
    Resume,
    /// VMRUN again with this XCR0.
    ResumeWith(u64),
    /// The VMM gets these registers from TDH.VP.ENTER.
    Leave(Leave),
    /// An interrupt or NMI is pending: take it, and leave with [`crate::serve::acknowledged`].
    Acknowledge,
    /// CPUID that the firmware answers: [`crate::serve::cpuid::finish`].
    Cpuid {
        /// EAX.
        leaf: u32,
        /// ECX.
        subleaf: u32,
    },
    /// A TDCALL that the firmware serves: [`crate::tdcall::finish`] with its status, or leave at the same instruction.
    Firmware,
    /// The nested page tables lack an entry: fill it and resume, or leave with [`crate::serve::violation`].
    Missing(Access),
    /// Our own mistake, with the exit that cannot be.
    Broken(Exit),
}

/// Outputs of TDH.VP.ENTER.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leave {
    /// Status and exit reason.
    pub rax: u64,
    /// Others, by [`gpr`]; those that are no outputs are 0.
    pub gprs: [u64; 16],
}

impl Td<'_> {
    /// What VMRUN looks at, for messages about our own mistakes.
    pub fn state(&self) -> String {
        let fields = [
            ("RIP", vmcb::RIP),
            ("RFLAGS", vmcb::RFLAGS),
            ("CR0", vmcb::CR0),
            ("CR3", vmcb::CR3),
            ("CR4", vmcb::CR4),
            ("EFER", vmcb::EFER),
            ("DR6", vmcb::DR6),
            ("DR7", vmcb::DR7),
            ("event", vmcb::EVENT_INJECTION),
            ("interrupted", vmcb::EXIT_INTERRUPTION),
            ("details", vmcb::EXIT_INFO_1),
        ];
        fields.map(|(name, field)| format!("{name} {:#x}", self.vmcb.get(field))).join(", ")
    }

    /// Goes on behind an instruction of this length.
    pub(crate) fn advance(&mut self, length: u64) {
        let next = self.vmcb.get(vmcb::RIP).wrapping_add(length);
        self.vmcb.set(vmcb::RIP, next);
        self.vmcb.set(vmcb::INTERRUPT_SHADOW, 0);
    }

    /// Delivers an event at the next entry.
    pub(crate) fn inject(&mut self, event: Event) -> Next {
        self.vmcb.set(vmcb::EVENT_INJECTION, event.encode());
        Next::Resume
    }

    /// Delivers #VE, or #DF if the TD has not asked about the last one (SDM 7.15, TDX module `tdx_inject_ve`).
    pub(crate) fn ve(&mut self, info: VeInfo) -> Next {
        if self.vcpu.ve.is_some() {
            return self.inject(Event::DF);
        }
        self.vcpu.ve = Some(info);
        self.inject(Event::VE)
    }

    /// EDX:EAX.
    pub(crate) fn pair(&self) -> u64 {
        self.vmcb.get(vmcb::RAX) & 0xFFFF_FFFF | self.gprs[gpr::RDX] << 32
    }

    /// Sets R8 to R11 to zero, which most leaves of TDCALL use for outputs.
    pub(crate) fn clear_outputs(&mut self) {
        self.gprs[gpr::R8..=gpr::R11].fill(0);
    }
}
