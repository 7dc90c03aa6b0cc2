//! TDH.VP.ENTER: runs a vCPU until it exits.

use super::{posted, shared_ept, vmcs};
use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::td::sept::{Entry, EntryState, Walked, check_gpa, span};
use crate::script::{self, Exit, Memory, Reach};

/// Exit reasons of VMX.
const EXTERNAL_INTERRUPT: u64 = 1;
const TDCALL: u64 = 77;
const EPT_VIOLATION: u64 = 48;
const TRIPLE_FAULT: u64 = 2;
/// Bits that an EPT violation's extended qualification begins with (`vmx_eeq_type_t`).
const EEQ_ACCEPT: u64 = 1;
const EEQ_PENDING: u64 = 6;
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
    let shared_ept = vcpu.vmcs.get(&vmcs::SHARED_EPT_POINTER).copied();
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

/// A TD's memory as its script reaches it.
struct Private<'a, 'b> {
    cx: &'a mut Context<'b>,
    tdr: u64,
    /// What the VMM wrote into `SHARED_EPT_POINTER`, if it did.
    shared_ept: Option<u64>,
}

/// A violation without more to tell.
const PLAIN: Reach = Reach::Violation { rwx: 0, details: 0 };

impl Private<'_, '_> {
    fn translate(&mut self, gpa: u64, write: bool) -> Result<u64, Reach> {
        let td = self.cx.td(self.tdr);
        if gpa & td.settings.shared_bit() != 0 {
            let levels = td.settings.root_level() + 1;
            let pointer = self.shared_ept.ok_or(PLAIN)?;
            let found = shared_ept::translate(self.cx, pointer, levels, gpa, write);
            return found.map_err(|rwx| Reach::Violation { rwx, details: 0 });
        }
        let root = td.settings.root_level();
        td.sept.translate(gpa, root).map_err(|stopped| match stopped.entry.state {
            // Source: `td_ept_violation_exit`, by TD_CTLS.PENDING_VE_DISABLE, which is SEPT_VE_DISABLE at first.
            EntryState::Pending if td.settings.gets_ve_for_pending() => Reach::Ve,
            EntryState::Pending => Reach::Violation { rwx: 0, details: EEQ_PENDING },
            _ => PLAIN,
        })
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

    /// Source: `tdg_mem_page_accept.c`. It takes no time here, so the VMM never meets the lock that it takes on the entry.
    fn accept(&mut self, page: u64) -> Result<Status, Reach> {
        let td = self.cx.td(self.tdr);
        let invalid = Status::OPERAND_INVALID.operand(Operand::Rcx);
        let Ok((gpa, level)) = check_gpa(page, 0..=1) else { return Ok(invalid) };
        if gpa >= td.settings.shared_bit() {
            return Ok(invalid);
        }
        let walked = match td.sept.walk(gpa, level, td.settings.root_level()) {
            Ok(walked) => walked,
            Err(above) if above.entry.state == EntryState::Mapped => {
                return Ok(detail(Status::PAGE_ALREADY_ACCEPTED, above));
            }
            Err(above) => return Err(no_page_to_accept(level, above)),
        };
        if self.cx.locks.is_held(LockId::SeptEntry { tdr: self.tdr, gpa, level }) {
            return Ok(Status::OPERAND_BUSY.operand(Operand::Rcx));
        }
        let entry = walked.entry;
        match entry.state {
            EntryState::Mapped => return Ok(detail(Status::PAGE_ALREADY_ACCEPTED, walked)),
            EntryState::TableMapped | EntryState::TableBlocked => {
                return Ok(detail(Status::PAGE_SIZE_MISMATCH, walked));
            }
            EntryState::Pending => {}
            _ => return Err(no_page_to_accept(level, walked)),
        }
        self.cx.td(self.tdr).sept.set(gpa, level, Entry { state: EntryState::Mapped, ..entry });
        for pa in (entry.pa..entry.pa + span(level)).step_by(4096) {
            self.cx.write(pa, &[0; 4096]);
        }
        Ok(Status::SUCCESS)
    }
}

/// A status that tells at which level the walk ended.
fn detail(status: Status, walked: Walked) -> Status {
    Status(status.0 | u64::from(walked.level))
}

/// The exit of TDG.MEM.PAGE.ACCEPT for `level` that finds no pending page: where, and what it found
/// (`async_tdexit_ept_violation`).
fn no_page_to_accept(level: u8, stopped: Walked) -> Reach {
    let state = stopped.entry.state;
    let info =
        u64::from(level) | u64::from(stopped.level) << 3 | state.public() << 6 | u64::from(state.is_leaf()) << 14;
    Reach::Violation { rwx: state.rwx(), details: EEQ_ACCEPT | info << 32 }
}
