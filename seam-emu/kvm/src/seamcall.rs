//! SEAMCALL: from the site to the firmware and back.

use crate::emulator::{Emulator, Lp, interrupts};
use crate::in_flight::InFlight;
use crate::registers::{self, CF, IF};
use crate::turn::Turn;
use crate::{Exception, Site};
use kvm_bindings::kvm_regs;
use rig_wire::event::{Kind, flags};
use rig_wire::plan::Point;
use seam_backend::events::{exit_flags, leaf};
use seam_emu::{Caller, Completion, Outcome, Regs, Reply};

/// Carries out the SEAMCALL of this site for an LP of this privilege level. While it lasts it is to be asked again,
/// with the same operands; the vCPU may have executed the instruction again in between.
pub(crate) fn serve(emulator: &Emulator, lp: u16, cpl: u8, site: &Site, registers: &mut kvm_regs) -> Turn {
    let before = registers::operands(registers);
    let mut flight = emulator.lp(lp).in_flight;
    if let Some(done) = flight.done {
        return leave(emulator, lp, &flight, &done, registers);
    }
    if !flight.active {
        let points = [Point::Pc { address: site.address }, Point::SeamcallEnter { leaf: leaf(before.rax) }];
        if emulator.held_at(lp, &points) {
            return Turn::Wait(0);
        }
        let context = interrupts(registers) | if cpl > 0 { flags::USER } else { 0 };
        flight = InFlight { active: true, interrupts: registers.rflags & IF != 0, context, ..InFlight::default() };
        emulator.events().record(lp, Kind::SeamcallEnter, context, [before.rax, before.rcx, before.rdx, before.r8]);
    } else if emulator.events().now_ns() < flight.until_ns {
        return Turn::Wait(flight.until_ns);
    }
    let caller = Caller { lp: usize::from(lp), in_vmx_root: emulator.lp(lp).in_vmx_root, cpl, long_mode: true };
    let mut after = before;
    let (reply, notes) = {
        let mut firmware = emulator.firmware();
        let now_ns = emulator.events().now_ns();
        let reply = firmware.seamcall(caller, &mut after, &mut emulator.ram().clone(), now_ns);
        (reply, firmware.take_notes())
    };
    emulator.record_notes(lp, before.rax, notes);
    flight.until_ns = match reply {
        Reply::Done(completion) => return leave(emulator, lp, &flight, &(before, after, completion), registers),
        Reply::Wait { until_ns } => until_ns,
        Reply::Never => u64::MAX,
        Reply::Enter(_) => unreachable!("Emulator::new() refuses machine code in TDs"),
    };
    emulator.lp(lp).in_flight = flight;
    Turn::Wait(flight.until_ns)
}

/// The firmware is done: keeps the LP if a schedule says so, else lets it go on.
fn leave(
    emulator: &Emulator,
    lp: u16,
    flight: &InFlight,
    done: &(Regs, Regs, Completion),
    registers: &mut kvm_regs,
) -> Turn {
    let (before, after, completion) = done;
    if emulator.held_at(lp, &[Point::SeamcallExit { leaf: leaf(before.rax) }]) {
        emulator.lp(lp).in_flight = InFlight { done: Some(*done), ..*flight };
        return Turn::Wait(0);
    }
    {
        let mut lp = emulator.lp(lp);
        lp.in_flight = InFlight::default();
        lp.sight.acts();
    }
    let flags = exit_flags(flight.context, completion);
    emulator.events().record(lp, Kind::SeamcallExit, flags, [before.rax, after.rax, after.rcx, after.rdx]);
    if flight.interrupts {
        registers.rflags |= IF;
    }
    match completion.outcome {
        Outcome::Return => {
            registers::write_operands(registers, after);
            registers.rflags &= !CF;
        }
        Outcome::VmFailInvalid => registers.rflags |= CF,
        Outcome::Ud => return Turn::Raise(Exception::UndefinedOpcode),
        Outcome::Gp => return Turn::Raise(Exception::GeneralProtection),
    }
    Turn::Go
}

/// What the registers must be when the vCPU is given back in the middle of the call: it must not take interrupts.
pub(crate) fn put_back(lp: &Lp, registers: &mut kvm_regs) {
    if lp.in_flight.active {
        registers.rflags &= !IF;
    }
}
