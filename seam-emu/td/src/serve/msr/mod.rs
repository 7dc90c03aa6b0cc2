//! RDMSR and WRMSR in a TD, by the module's table of registers. Registers that are switched with the vCPU do not exit
//! ([`crate::permissions`]). Source: TDX module `td_msr_access.c`.

mod table;

use crate::event::Event;
use crate::td::{Next, Td, gpr};
use crate::ve::{VeInfo, reason};
use crate::vmcb;
use table::Rule;

/// Registers that code serves.
mod register {
    pub(super) const ARCH_CAPABILITIES: u32 = 0x10A;
    pub(super) const DEBUGCTL: u32 = 0x1D9;
    pub(super) const TPR: u32 = 0x808;
    pub(super) const PPR: u32 = 0x80A;
    pub(super) const EOI: u32 = 0x80B;
    pub(super) const ISR: u32 = 0x810;
    pub(super) const IRR: u32 = 0x820;
    pub(super) const SELF_IPI: u32 = 0x83F;
    pub(super) const XSS: u32 = 0xDA0;
    pub(super) const EFER: u32 = 0xC000_0080;
}
/// Bits of EFER: SCE, which a TD may change; LMA, which is the processor's; SVME, which is on and not the TD's to know.
const SCE: u64 = 1;
const LMA: u64 = 1 << 10;
const SVME: u64 = 1 << 12;
/// Bits of `IA32_DEBUGCTL` that exist: LBR, BTF, 6 to 12, 14 and 15 (`wrmsr_ia32_debugctl`; that TCG does none of it is not told).
const DEBUGCTL_BITS: u64 = 0b1101_1111_1100_0011;
/// Bits of XFAM that `IA32_XSS` enables; the others are XCR0's (SDM volume 1, 13.3).
const SUPERVISOR_STATE: u64 = 0x1_DD00;
/// Bytes of either instruction.
const LENGTH: u64 = 2;

/// What an access comes to.
enum Access {
    Value(u64),
    Done,
    Gp,
    Ve,
}

pub(super) fn serve(td: &mut Td<'_>, write: bool) -> Next {
    let msr = td.gprs[gpr::RCX] as u32;
    match access(td, msr, write) {
        Access::Value(value) => {
            td.vmcb.set(vmcb::RAX, value & 0xFFFF_FFFF);
            td.gprs[gpr::RDX] = value >> 32;
        }
        Access::Done => {}
        Access::Gp => return td.inject(Event::GP),
        Access::Ve => {
            let reason = if write { reason::WRMSR } else { reason::RDMSR };
            return td.ve(VeInfo::of(reason, LENGTH as u32));
        }
    }
    td.advance(LENGTH);
    Next::Resume
}

fn access(td: &mut Td<'_>, msr: u32, write: bool) -> Access {
    match table::rule(msr, write) {
        Rule::Kept if write => {
            td.vcpu.msrs.insert(msr, td.pair());
            Access::Done
        }
        Rule::Kept => Access::Value(td.vcpu.msrs.get(&msr).copied().unwrap_or(0)),
        Rule::Fixed(value) => Access::Value(value),
        Rule::Special if write => written(td, msr),
        Rule::Special => read(td, msr),
        Rule::Gp => Access::Gp,
        Rule::Ve => Access::Ve,
    }
}

fn read(td: &Td<'_>, msr: u32) -> Access {
    let apic = &td.vcpu.apic;
    Access::Value(match msr {
        register::ARCH_CAPABILITIES => td.vcpu.about.arch_capabilities,
        register::TPR => apic.task_priority().into(),
        register::PPR => apic.processor_priority().into(),
        isr @ register::ISR..=0x817 => apic.register(false, isr - register::ISR),
        irr @ register::IRR..=0x827 => apic.register(true, irr - register::IRR),
        register::EFER => td.vmcb.get(vmcb::EFER) & !SVME,
        // The permission map lets the TD read its counter.
        other => unreachable!("no code for reading {other:#x}"),
    })
}

fn written(td: &mut Td<'_>, msr: u32) -> Access {
    let value = td.pair();
    let allowed = match msr {
        register::DEBUGCTL => DEBUGCTL_BITS,
        register::XSS => td.vcpu.about.xfam & SUPERVISOR_STATE,
        register::TPR | register::SELF_IPI => 0xFF,
        register::EOI => 0,
        _ => u64::MAX,
    };
    if value & !allowed != 0 {
        return Access::Gp;
    }
    let apic = &mut td.vcpu.apic;
    match msr {
        register::DEBUGCTL | register::XSS => _ = td.vcpu.msrs.insert(msr, value),
        register::TPR => apic.set_task_priority(value as u8),
        register::EOI => apic.end_of_interrupt(),
        register::SELF_IPI => apic.request_one(value as u8),
        register::EFER => return write_efer(td, value),
        other => unreachable!("no code for writing {other:#x}"),
    }
    Access::Done
}

/// A TD that changes another bit gets a #VE (`wrmsr_ia32_efer`).
fn write_efer(td: &mut Td<'_>, wanted: u64) -> Access {
    let efer = td.vmcb.get(vmcb::EFER);
    if (wanted ^ efer & !SVME) & !(SCE | LMA) != 0 {
        return Access::Ve;
    }
    td.vmcb.set(vmcb::EFER, efer & !SCE | wanted & SCE);
    Access::Done
}
