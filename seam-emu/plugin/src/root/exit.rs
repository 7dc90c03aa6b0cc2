//! SEAMRET: the stub asks what is next.

use super::stub::Place;
use super::{Root, Run, back, layout};
use crate::emulator::Emulator;
use crate::memory::Physical;
use seam_emu::{Regs, Translation};
use seam_td::exit::Access;
use seam_td::hidden::{context, linear};
use seam_td::serve;
use seam_td::td::{Leave, Next};
use std::sync::atomic::Ordering::Relaxed;

/// Serves the stub's SEAMRET at this address. Returns the address to go on at.
pub(crate) fn seamret(emulator: &Emulator, root: &Root, lp: usize, pc: u64) -> Option<u64> {
    let next = match Place::site(pc.wrapping_sub(linear(root.levels()))) {
        Some(Place::SiteExit) => exited(emulator, root, lp),
        Some(Place::SiteAcknowledged) => acknowledged(root, lp),
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
    let mut next = serve::serve(&mut run.guest.td(hidden));
    if let Next::Missing(access) = next {
        next = missing(emulator, root, lp, run, access);
    }
    match next {
        Next::Resume | Next::ResumeWith(_) if run.guest.nmi => {
            run.guest.nmi = !serve::inject_nmi(&mut run.guest.td(hidden));
        }
        _ => {}
    }
    match next {
        Next::Resume => Place::Run,
        Next::ResumeWith(xcr0) => {
            run.guest.xcr0 = xcr0;
            hidden.word(layout::place(lp).context() + context::TD_XCR0).store(xcr0, Relaxed);
            Place::SetXcr0
        }
        Next::Acknowledge => Place::Acknowledge,
        Next::Leave(leave) => leave_with(run, &leave),
        Next::Missing(_) | Next::Broken(_) => {
            panic!("a TD of TDR {:#x} left by what it cannot: {next:x?}", run.guest.tdr)
        }
    }
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

/// What was pending has been taken, if it still was.
fn acknowledged(root: &Root, lp: usize) -> Place {
    let vector = root.hidden().half(layout::place(lp).context() + context::VECTOR).swap(0, Relaxed);
    if vector & context::INTERRUPTED == 0 {
        return Place::Run;
    }
    let mut run = root.run(lp);
    let run = run.as_mut().expect("the stub runs on behalf of a vCPU");
    leave_with(run, &serve::acknowledged(vector as u8))
}

fn leave_with(run: &mut Run, leave: &Leave) -> Place {
    let [_, rcx, rdx, rbx, _, _, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] = leave.gprs;
    let rax = leave.rax;
    run.after = Some(Regs { rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 });
    Place::Leave
}
