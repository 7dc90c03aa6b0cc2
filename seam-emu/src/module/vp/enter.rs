//! TDH.VP.ENTER: runs a vCPU until it exits.

use super::private::{EEQ_ACCEPT, EEQ_TYPE, Private};
use super::{code, posted, vmcs};
use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::td::vcpu::Engine;
use crate::script::{self, Exit};

/// Exit reasons of VMX.
const EXTERNAL_INTERRUPT: u64 = 1;
const TDCALL: u64 = 77;
const EPT_VIOLATION: u64 = 48;
const TRIPLE_FAULT: u64 = 2;
/// RCX: reserved bits.
const RESERVED: u64 = 0xFFC0_0000_0000_0FFF;
/// RCX: a hint of recovery after a trap, and resuming after a nested VM: for exits that scripts do not make.
const FLAGS: u64 = 0b11 << 52;
/// RCX mask of TDG.VP.VMCALL: R10 to R15 go to the VMM.
const VMCALL_MASK: u64 = 0xFC00;
/// Interruption information of the exit that ends a time slice: valid, external interrupt, the vector that Linux uses
/// for a rescheduling interrupt, which may come at any time without harm. On hardware it is what the LP received.
const SLICE_END: u64 = 1 << 31 | 0xFD;

/// RCX: the vCPU's TDVPR; after a TDVMCALL R10 to R15: its outputs. RAX out: exit reason; RCX, RDX, R8 and R9: details,
/// or RCX the mask and R10 to R15 the operands of a TDVMCALL.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let invalid = Status::OPERAND_INVALID.operand(Operand::Rcx);
    if regs.rcx & RESERVED != 0 {
        return Err(invalid);
    }
    let (tdvpr, tdr) = cx.lock_vcpu(regs.rcx & !FLAGS, Operand::Rcx, Mode::Shared)?;
    cx.check_td(tdr, Leaf::VpEnter, Some(Mode::Shared))?;
    cx.check_tdvps(tdvpr)?;
    // Held by the vCPU while it runs: another LP that enters it finds it associated.
    cx.check_and_associate(tdvpr, false)?;
    if regs.rcx & FLAGS != 0 {
        return Err(invalid);
    }
    let suspect = suspicion(cx, tdvpr, tdr)?;
    let epoch = enter_epoch(cx, tdr)?;
    cx.vcpu(tdvpr).epoch = epoch;
    // The operation state is unlocked before the vCPU runs.
    cx.locks.release(LockId::OpState(tdr), cx.lp);
    cx.at_end.td_exit = Some((tdr, epoch));
    if code::engine(cx, tdvpr, tdr) == Engine::Code {
        cx.entry = Some(code::enter(cx, tdvpr, tdr));
        return Ok(());
    }
    let exit = match suspect {
        Some(exit) => exit,
        None => run_script(cx, tdvpr, tdr, regs),
    };
    deliver(cx, tdvpr, regs, exit)
}

/// Before a vCPU that often faulted at one instruction runs: all pages of these faults must be in its reach, or it leaves at
/// once, as if it had written to the first that is not. To look at them takes the lock of the whole secure EPT. Source: TDX
/// module `td_entry_stepping_filter`, `emulate_ept_violation_td_exit`.
fn suspicion(cx: &mut Context<'_>, tdvpr: u64, tdr: u64) -> Result<Option<Exit>, Status> {
    let vcpu = cx.vcpu(tdvpr);
    let pages = vcpu.zero_step.enter(vcpu.machine.position()).to_vec();
    if pages.is_empty() {
        return Ok(None);
    }
    cx.lock(LockId::SeptTree(tdr), Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::SeptTree))?;
    cx.locks.release(LockId::SeptTree(tdr), cx.lp);
    let td = cx.td(tdr);
    let out_of_reach = pages.into_iter().find(|gpa| td.sept.translate(*gpa, td.settings.root_level()).is_err());
    Ok(out_of_reach.map(|gpa| Exit::Violation { gpa, write: true, rwx: 0, details: 0 }))
}

/// Remembers a violation of private memory by an access. One by TDG.MEM.PAGE.ACCEPT ends with a pending page, which is not in the
/// TD's reach, so it cannot count (unverified). Of machine code the model does not know the instruction.
fn note_violation(cx: &mut Context<'_>, tdvpr: u64, tdr: u64, exit: &Exit) {
    if let Exit::Violation { gpa, details, .. } = *exit
        && details & EEQ_TYPE != EEQ_ACCEPT
        && gpa & cx.td(tdr).settings.shared_bit() == 0
    {
        let vcpu = cx.vcpu(tdvpr);
        vcpu.zero_step.violation(vcpu.machine.position(), gpa & !0xFFF);
    }
}

/// Counts the vCPU as inside the TD's epoch. Source: TDX module `adjust_tlb_tracking_state`.
fn enter_epoch(cx: &mut Context<'_>, tdr: u64) -> Result<u64, Status> {
    cx.lock(LockId::TdEpoch(tdr), Mode::Shared, Status::OPERAND_BUSY.operand(Operand::TdEpoch))?;
    cx.locks.release(LockId::TdEpoch(tdr), cx.lp);
    let td = cx.td(tdr);
    td.inside[(td.epoch & 1) as usize] += 1;
    Ok(td.epoch)
}

/// Runs the TD's script for a slice.
fn run_script(cx: &mut Context<'_>, tdvpr: u64, tdr: u64, regs: &Regs) -> Exit {
    let interrupts = posted::take(cx, tdvpr);
    let vcpu = cx.vcpu(tdvpr);
    let shared_ept = vcpu.vmcs.get(&vmcs::SHARED_EPT_POINTER).copied();
    let mut machine = vcpu.machine.clone();
    machine.interrupt(interrupts.map(u64::count_ones).iter().sum());
    if std::mem::replace(&mut vcpu.after_vmcall, false) {
        machine.finish_vmcall([regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15]);
    }
    let steps = cx.config.script_steps;
    let exit = script::run(&mut machine, &mut Private { cx, tdr, shared_ept }, steps);
    cx.vcpu(tdvpr).machine = machine;
    note_violation(cx, tdvpr, tdr, &exit);
    exit
}

/// Passes the exit to the VMM.
fn deliver(cx: &mut Context<'_>, tdvpr: u64, regs: &mut Regs, exit: Exit) -> Outcome {
    (regs.rdx, regs.r8, regs.r9, regs.rbx, regs.rsi, regs.rdi) = (0, 0, 0, 0, 0, 0);
    (regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15) = (0, 0, 0, 0, 0, 0);
    match exit {
        Exit::SliceEnd => {
            (regs.rcx, regs.r9) = (0, SLICE_END);
            Err(Status(EXTERNAL_INTERRUPT))
        }
        Exit::Violation { gpa, write, rwx, details } => {
            // Qualification: the access, and what the entries allow; bits 12:7, which tell of the linear address, are
            // cleared (`tdx_ept_violation_exit_to_vmm`).
            regs.rcx = if write { 0b10 } else { 0b01 } | u64::from(rwx) << 3;
            regs.rdx = details;
            regs.r8 = gpa & !0xFFF;
            Err(Status(EPT_VIOLATION))
        }
        Exit::TripleFault => {
            // The vCPU is over (`td_exit.c`, TDX_NON_RECOVERABLE_VCPU).
            cx.vcpu(tdvpr).disabled = true;
            regs.rcx = 0;
            Err(Status(Status::NON_RECOVERABLE_VCPU.0 | TRIPLE_FAULT))
        }
        Exit::Vmcall(operands) => {
            cx.vcpu(tdvpr).after_vmcall = true;
            regs.rcx = VMCALL_MASK;
            [regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15] = operands;
            Err(Status(TDCALL))
        }
    }
}
