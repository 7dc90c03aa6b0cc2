//! What follows an exit of a TD: the TD goes on, or its VMM hears of it. Source: TDX module `tdx_td_dispatcher.c`.

pub mod cpuid;
mod msr;
pub mod xcr0;

use crate::apic::Vectors;
use crate::event::Event;
use crate::exit::{Access, Exit};
use crate::td::{Leave, Next, Td, gpr};
use crate::tdcall;
use crate::ve::{VeInfo, reason};
use crate::vmcb;

/// `TDX_NON_RECOVERABLE_VCPU`: the vCPU is dead. Source: TDX module `tdx_error_codes_defs.h`.
pub const NON_RECOVERABLE_VCPU: u64 = 0x4000_0001_0000_0000;
/// Vector of NMIs.
const NMI_VECTOR: u8 = 2;

/// Serves an exit.
pub fn serve(td: &mut Td<'_>) -> Next {
    td.vcpu.apic.after_exit(&mut td.vmcb);
    // An event whose delivery the exit interrupted is delivered by the next VMRUN (APM 15.20).
    let interrupted = Event::decode(td.vmcb.get(vmcb::EXIT_INTERRUPTION));
    td.vmcb.set(vmcb::EVENT_INJECTION, interrupted.map_or(0, Event::encode));
    match Exit::decode(&td.vmcb) {
        Exit::Interrupt | Exit::Nmi => Next::Acknowledge,
        Exit::InvalidOpcode => invalid_opcode(td),
        Exit::Cpuid => cpuid::serve(td),
        Exit::Halt => td.ve(VeInfo::of(reason::HLT, 1)),
        Exit::Io(io) => {
            td.ve(VeInfo { qualification: io.qualification(), ..VeInfo::of(reason::IO, u32::from(io.length)) })
        }
        Exit::Msr { write } => msr::serve(td, write),
        Exit::Xsetbv => xcr0::serve(td),
        Exit::CacheFlush => td.ve(VeInfo::of(reason::WBINVD, 2)),
        Exit::Monitor => td.ve(VeInfo::of(reason::MONITOR, 3)),
        Exit::Mwait => td.ve(VeInfo::of(reason::MWAIT, 3)),
        // Without ATTRIBUTES.PERFMON a TD has no counters.
        Exit::Rdpmc => td.inject(Event::GP),
        Exit::Svm => td.inject(Event::UD),
        Exit::Shutdown => {
            td.vcpu.dead = true;
            Next::Leave(Leave { rax: NON_RECOVERABLE_VCPU | reason::TRIPLE_FAULT, ..Leave::default() })
        }
        Exit::Nested(access) => Next::Missing(access),
        broken @ (Exit::Init | Exit::MachineCheck | Exit::Invalid | Exit::Unknown(_)) => Next::Broken(broken),
    }
}

/// Passes the VMM's registers in before an entry: the answer to a TDG.VP.VMCALL. Source: ABI on TDH.VP.ENTER.
pub fn enter(td: &mut Td<'_>, vmm: &[u64; 16]) {
    if let Some(mask) = td.vcpu.vmcall.take() {
        tdcall::vmcall::finish(td, mask, vmm);
    }
}

/// The TD is about to run: delivers a non-maskable interrupt that waits, unless another event is delivered, and lets it take the
/// interrupt that comes next.
pub fn resume(td: &mut Td<'_>, nmi: &mut bool) {
    if *nmi {
        *nmi = !inject_nmi(td);
    }
    td.vcpu.apic.offer(&mut td.vmcb);
}

/// Interrupts were posted for the TD, one bit for each vector.
pub fn posted(td: &mut Td<'_>, vectors: Vectors) {
    td.vcpu.apic.request(vectors);
}

/// Registers for the VMM after a pending interrupt was taken with this vector. Source: SDM 26.9.2 for R9, the interruption
/// information.
pub fn acknowledged(vector: u8) -> Leave {
    const VALID: u64 = 1 << 31;
    const NMI: u64 = 2 << 8;
    let (rax, kind) = match vector {
        NMI_VECTOR => (reason::EXCEPTION_OR_NMI, NMI),
        _ => (reason::EXTERNAL_INTERRUPT, 0),
    };
    let mut gprs = [0; 16];
    gprs[gpr::R9] = VALID | kind | u64::from(vector);
    Leave { rax, gprs }
}

/// Registers for the VMM after an access that it has to enable. `rwx`: what the entries on the way allow; `details`: the extended
/// qualification. Source: ABI, table of TDH.VP.ENTER's outputs; as the module hides the linear address, bits 12:7 are clear
/// (`tdx_ept_violation_exit_to_vmm`).
pub fn violation(access: Access, rwx: u8, details: u64) -> Leave {
    const LINEAR_ADDRESS: u64 = 0x1F80;
    let mut gprs = [0; 16];
    gprs[gpr::RCX] = access.qualification() & !LINEAR_ADDRESS | u64::from(rwx) << 3;
    gprs[gpr::RDX] = details;
    gprs[gpr::R8] = access.gpa & !0xFFF;
    Leave { rax: reason::EPT_VIOLATION, gprs }
}

/// Delivers a #VE for an access to a page that the TD has not accepted. SVM does not tell its linear address, which is 0 here.
pub fn pending(td: &mut Td<'_>, access: Access) -> Next {
    let info =
        VeInfo { qualification: access.qualification(), gpa: access.gpa, ..VeInfo::of(reason::EPT_VIOLATION, 0) };
    td.ve(info)
}

/// Delivers a non-maskable interrupt at the next entry; false if another event is delivered then. That the TD is in a handler of
/// another one is not known.
fn inject_nmi(td: &mut Td<'_>) -> bool {
    let is_free = Event::decode(td.vmcb.get(vmcb::EVENT_INJECTION)).is_none();
    if is_free {
        td.inject(Event::NMI);
    }
    is_free
}

/// A #UD that is a TDCALL's, or the TD's own.
fn invalid_opcode(td: &mut Td<'_>) -> Next {
    let is_tdcall = td.vcpu.tdcall_at.take() == Some(td.vmcb.get(vmcb::RIP));
    if !is_tdcall || !td.vmcb.is_in_64_bit_mode() {
        return td.inject(Event::UD);
    }
    // SDM on TDCALL: #GP(0) outside the most privileged level.
    if td.vmcb.get(vmcb::CPL) != 0 {
        return td.inject(Event::GP);
    }
    tdcall::run(td)
}

#[cfg(test)]
mod tests;
