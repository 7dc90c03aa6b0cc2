//! Instructions of a TD that are served before they would exit.

use super::{Root, Run};
use crate::emulator::Emulator;
use crate::memory::Physical;
use crate::registers::{self, GPR, Reg};
use seam_emu::TdcallEnd;
use seam_td::tdcall;
use seam_td::vcpu::{Vcpu, real_cr4};

/// Bytes of TDCALL.
const LENGTH: u64 = 4;

/// TDCALL at this address: answers what needs no VMM. None: it raises #UD, which exits.
///
/// Whether the TD executes 64-bit code is known from its last exit: one that has gone to 32-bit code at the most privileged
/// level since then, and executes TDCALL there, is answered where hardware raises #UD.
pub(crate) fn tdcall(emulator: &Emulator, root: &Root, lp: usize, pc: u64) -> Option<u64> {
    let mut run = root.run(lp);
    let run = run.as_mut()?;
    let rax = registers::read(Reg::Rax);
    let mut td = run.guest.td(root.hidden());
    let is_most_privileged = registers::read(Reg::Cs).trailing_zeros() >= 2;
    if !tdcall::is_answered_at_once(rax) || !is_most_privileged || !td.vmcb.is_in_64_bit_mode() {
        td.vcpu.tdcall_at = Some(pc);
        return None;
    }
    if tdcall::is_firmwares(rax) {
        return firmwares(emulator, lp, td.vcpu, pc);
    }
    let before = tdcall::USED_AT_ONCE.map(|number| registers::read(GPR[number]));
    for (number, value) in tdcall::USED_AT_ONCE.into_iter().zip(before) {
        td.gprs[number] = value;
    }
    let status = tdcall::answer(&mut td, rax);
    for (number, value) in tdcall::USED_AT_ONCE.into_iter().zip(before) {
        if td.gprs[number] != value {
            registers::write(GPR[number], td.gprs[number]);
        }
    }
    registers::write(Reg::Rax, status);
    Some(pc + LENGTH)
}

/// Has the firmware serve it. Where the TD must leave, the instruction raises #UD, and the exit asks again.
fn firmwares(emulator: &Emulator, lp: usize, vcpu: &mut Vcpu, pc: u64) -> Option<u64> {
    let before = registers::operands();
    let mut after = before;
    match emulator.firmware().tdcall(lp, &mut Physical, &mut after) {
        TdcallEnd::Done => {
            registers::write_operands(&before, &after);
            Some(pc + LENGTH)
        }
        TdcallEnd::Violation { .. } | TdcallEnd::Ve { .. } => {
            vcpu.tdcall_at = Some(pc);
            None
        }
    }
}

/// `mov %cr4, r64` of a TD, by its shadow.
pub(crate) fn read_cr4(root: &Root, lp: usize, register: u8, next: u64) -> Option<u64> {
    with_cr4(root, lp, |run| registers::write(GPR[usize::from(register)], run.guest.vcpu.cr4))?;
    Some(next)
}

/// `mov r64, %cr4` of a TD: to its shadow, and to the real register what [`real_cr4`] makes of it. Values that the processor would
/// refuse are not checked.
pub(crate) fn write_cr4(root: &Root, lp: usize, register: u8, next: u64) -> Option<u64> {
    with_cr4(root, lp, |run| {
        let wanted = registers::read(GPR[usize::from(register)]);
        run.guest.vcpu.cr4 = wanted;
        registers::write(Reg::Cr4, real_cr4(wanted));
    })?;
    Some(next)
}

/// Outside the most privileged level TCG raises #GP.
fn with_cr4(root: &Root, lp: usize, access: impl FnOnce(&mut Run)) -> Option<()> {
    if registers::read(Reg::Cs) & 3 != 0 {
        return None;
    }
    access(root.run(lp).as_mut()?);
    Some(())
}
