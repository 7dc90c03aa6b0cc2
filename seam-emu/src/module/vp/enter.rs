//! TDH.VP.ENTER: runs a vCPU until it exits.

use super::{posted, shared_ept};
use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::td::sept::EntryState;
use crate::script::{self, Exit, Memory, Reach};

/// Exit reasons of VMX.
const EXTERNAL_INTERRUPT: u64 = 1;
const TDCALL: u64 = 77;
const EPT_VIOLATION: u64 = 48;
/// RCX bits other than the TDVPR's address: reserved, or for exits that scripts do not make (a hint of recovery after a
/// trap, resuming after a nested VM), and so refused too.
const RESERVED: u64 = 0xFFF0_0000_0000_0FFF;
/// RCX mask of TDG.VP.VMCALL: R10 to R15 go to the VMM.
const VMCALL_MASK: u64 = 0xFC00;
/// Interruption information of the exit that ends a time slice: valid, external interrupt, the vector that Linux uses
/// for a rescheduling interrupt, which may come at any time without harm. On hardware it is what the LP received.
const SLICE_END: u64 = 1 << 31 | 0xFD;

/// RCX: the vCPU's TDVPR; after a TDVMCALL R10 to R15: its outputs. RAX out: exit reason; RCX, RDX, R8 and R9: details,
/// or RCX the mask and R10 to R15 the operands of a TDVMCALL.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let tdvpr = regs.rcx;
    if tdvpr & RESERVED != 0 {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rcx));
    }
    let (tdvpr, tdr) = cx.lock_vcpu(tdvpr, Operand::Rcx, Mode::Shared)?;
    cx.check_td(tdr, Leaf::VpEnter, Some(Mode::Shared))?;
    cx.check_tdvps(tdvpr)?;
    if !cx.vcpu(tdvpr).ready {
        return Err(cx.vcpu_state_incorrect(tdvpr));
    }
    // Held by the vCPU while it runs: another LP that enters it finds it associated.
    cx.associate(tdvpr)?;
    let epoch = enter_epoch(cx, tdr)?;
    cx.vcpu(tdvpr).epoch = epoch;
    // The operation state is unlocked before the vCPU runs.
    cx.locks.release(LockId::OpState(tdr), cx.lp);
    cx.at_end.td_exit = Some((tdr, epoch));
    let exit = run_script(cx, tdvpr, tdr, regs);
    deliver(cx, tdvpr, regs, exit)
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
    let shared_ept = vcpu.vmcs.get(&shared_ept::POINTER).copied();
    let mut machine = vcpu.machine.clone();
    machine.interrupt(interrupts);
    if std::mem::replace(&mut vcpu.after_vmcall, false) {
        machine.finish_vmcall([regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15]);
    }
    let steps = cx.config.script_steps;
    let exit = script::run(&mut machine, &mut Private { cx, tdr, shared_ept }, steps);
    cx.vcpu(tdvpr).machine = machine;
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
        Exit::Violation { gpa, write, pending } => {
            // Qualification: the access, and that the linear address is valid and was translated.
            regs.rcx = if write { 0b10 } else { 0b01 } | 0b11 << 7;
            regs.rdx = if pending { 6 } else { 0 };
            regs.r8 = gpa;
            Err(Status(EPT_VIOLATION))
        }
        Exit::Vmcall(operands) => {
            cx.vcpu(tdvpr).after_vmcall = true;
            regs.rcx = VMCALL_MASK;
            [regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15] = operands;
            Err(Status(TDCALL))
        }
    }
}

/// A TD's memory as its script reaches it.
struct Private<'a, 'b> {
    cx: &'a mut Context<'b>,
    tdr: u64,
    /// What the VMM wrote into `SHARED_EPT_POINTER`, if it did.
    shared_ept: Option<u64>,
}

impl Private<'_, '_> {
    fn translate(&mut self, gpa: u64, write: bool) -> Result<u64, Reach> {
        let td = self.cx.td(self.tdr);
        if gpa & td.settings.shared_bit() != 0 {
            let levels = td.settings.root_level() + 1;
            let pointer = self.shared_ept.ok_or(Reach { pending: false })?;
            return shared_ept::translate(self.cx, pointer, levels, gpa, write).ok_or(Reach { pending: false });
        }
        let page = td
            .sept
            .translate(gpa / 4096 * 4096, td.settings.root_level())
            .map_err(|stopped| Reach { pending: stopped.entry.state == EntryState::Pending })?;
        Ok(page + gpa % 4096)
    }
}

impl Memory for Private<'_, '_> {
    fn read(&mut self, gpa: u64, buf: &mut [u8]) -> Result<(), Reach> {
        let pa = self.translate(gpa, false)?;
        self.cx.read(pa, buf);
        Ok(())
    }

    fn write(&mut self, gpa: u64, data: &[u8]) -> Result<(), Reach> {
        let pa = self.translate(gpa, true)?;
        self.cx.write(pa, data);
        Ok(())
    }

    fn accept(&mut self, gpa: u64) -> Result<bool, Reach> {
        let td = self.cx.td(self.tdr);
        let walked = td.sept.walk(gpa, 0, td.settings.root_level()).map_err(|_| Reach { pending: false })?;
        let entry = walked.entry;
        match entry.state {
            EntryState::Mapped => return Ok(false),
            EntryState::Pending => {}
            _ => return Err(Reach { pending: false }),
        }
        td.sept.set(gpa, 0, crate::module::td::sept::Entry { state: EntryState::Mapped, ..entry });
        self.cx.write(entry.pa, &[0; 4096]);
        Ok(true)
    }
}
