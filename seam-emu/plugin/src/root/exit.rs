//! SEAMRET: the stub asks what is next.

use super::hidden::Hidden;
use super::stub::Place;
use super::{Root, Run, back, layout};
use crate::emulator::Emulator;
use crate::memory::Physical;
use seam_emu::{Regs, TdcallEnd, Translation};
use seam_td::exit::Access;
use seam_td::hidden::{context, linear};
use seam_td::td::{Leave, Next, Td, gpr};
use seam_td::{serve, tdcall, vmcb};
use std::sync::atomic::Ordering::Relaxed;

/// Serves the stub's SEAMRET at this address. Returns the address to go on at.
pub(crate) fn seamret(emulator: &Emulator, root: &Root, lp: usize, pc: u64) -> Option<u64> {
    let next = match Place::site(pc.wrapping_sub(linear(root.levels()))) {
        Some(Place::SiteExit) => exited(emulator, root, lp),
        Some(Place::SiteAcknowledged) => acknowledged(emulator, root, lp),
        Some(Place::SiteBack) => return back::back(emulator, root, lp),
        other => panic!("the stub has no SEAMRET at {pc:#x}: {other:?}"),
    };
    Some(root.address(next))
}

/// The TD has left.
fn exited(emulator: &Emulator, root: &Root, lp: usize) -> Place {
    let mut run = root.run(lp);
    let run = run.as_mut().expect("the stub runs on behalf of a vCPU");
    let hidden = root.hidden();
    let next = match serve::serve(&mut run.guest.td(hidden)) {
        Next::Missing(access) => missing(emulator, root, lp, run, access),
        Next::Firmware => call(emulator, lp, &mut run.guest.td(hidden)),
        Next::Cpuid { leaf, subleaf } => {
            let answer = emulator.firmware().td_cpuid(lp, leaf, subleaf);
            serve::cpuid::finish(&mut run.guest.td(hidden), (leaf, subleaf), answer)
        }
        next => next,
    };
    match next {
        Next::Resume => resume(run, hidden, Place::Run),
        Next::ResumeWith(xcr0) => {
            hidden.word(layout::place(lp).context() + context::TD_XCR0).store(xcr0, Relaxed);
            resume(run, hidden, Place::SetXcr0)
        }
        Next::Acknowledge => Place::Acknowledge,
        Next::Leave(leave) => leave_with(run, &leave),
        Next::Missing(_) | Next::Cpuid { .. } | Next::Firmware | Next::Broken(_) => {
            let (tdr, state) = (run.guest.tdr, run.guest.td(hidden).state());
            panic!("a TD of TDR {tdr:#x} left by what it cannot: {next:x?}; {state}")
        }
    }
}

/// The TD goes on.
fn resume(run: &mut Run, hidden: &Hidden, place: Place) -> Place {
    let mut nmi = run.guest.nmi;
    serve::resume(&mut run.guest.td(hidden), &mut nmi);
    run.guest.nmi = nmi;
    place
}

/// The nested page tables lack an entry: the firmware's secure EPT, or the VMM's, has it or has not.
fn missing(emulator: &Emulator, root: &Root, lp: usize, run: &mut Run, access: Access) -> Next {
    let mut firmware = emulator.firmware();
    match firmware.translate(lp, &mut Physical, access.gpa, access.write) {
        Translation::Page { pa, writable } => {
            root.guests.map(root.hidden(), run.guest.tdr, access.gpa, (pa, writable));
            Next::Resume
        }
        Translation::Violation { rwx, details } => Next::Leave(serve::violation(access, rwx, details)),
        Translation::Ve => serve::pending(&mut run.guest.td(root.hidden()), access),
    }
}

/// A TDCALL that the firmware serves.
fn call(emulator: &Emulator, lp: usize, td: &mut Td<'_>) -> Next {
    let mut regs = regs_of(td.gprs, td.vmcb.get(vmcb::RAX));
    let access = |gpa| Access { gpa, write: true, fetch: false, table: false };
    match emulator.firmware().tdcall(lp, &mut Physical, &mut regs) {
        TdcallEnd::Done => {
            for (number, value) in operands(&regs) {
                td.gprs[number] = value;
            }
            tdcall::finish(td, regs.rax);
            Next::Resume
        }
        TdcallEnd::Violation { gpa, rwx, details } => Next::Leave(serve::violation(access(gpa), rwx, details)),
        TdcallEnd::Ve { gpa } => serve::pending(td, access(gpa)),
    }
}

/// What was pending has been taken, if it still was.
fn acknowledged(emulator: &Emulator, root: &Root, lp: usize) -> Place {
    let vector = root.hidden().half(layout::place(lp).context() + context::VECTOR).swap(0, Relaxed);
    if vector & context::INTERRUPTED == 0 {
        return Place::Run;
    }
    let vector = vector as u8;
    let mut run = root.run(lp);
    let run = run.as_mut().expect("the stub runs on behalf of a vCPU");
    if let Some(posted) = emulator.firmware().posted(lp, &mut Physical, vector) {
        serve::posted(&mut run.guest.td(root.hidden()), posted);
        return resume(run, root.hidden(), Place::Dismiss);
    }
    leave_with(run, &serve::acknowledged(vector))
}

fn leave_with(run: &mut Run, leave: &Leave) -> Place {
    run.after = Some(regs_of(&leave.gprs, leave.rax));
    Place::Leave
}

/// Registers by their numbers in an instruction's encoding, and RAX, as the firmware has them.
fn regs_of(gprs: &[u64; 16], rax: u64) -> Regs {
    let [_, rcx, rdx, rbx, _, _, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] = *gprs;
    Regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 }
}

/// Those that a TDCALL of the firmware's may change, by [`gpr`].
fn operands(regs: &Regs) -> [(usize, u64); 6] {
    let Regs { rcx, rdx, r8, r9, r10, r11, .. } = *regs;
    [(gpr::RCX, rcx), (gpr::RDX, rdx), (gpr::R8, r8), (gpr::R9, r9), (gpr::R10, r10), (gpr::R11, r11)]
}
