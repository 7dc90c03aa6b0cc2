//! SEAMCALL: from the instruction to the firmware and back.

use crate::decode::{self, SEAMCALL_LEN};
use crate::emulator::Emulator;
use crate::in_flight::InFlight;
use crate::memory::{self, Physical};
use crate::points;
use crate::registers::{self, RFLAGS_IF, Reg};
use crate::root;
use rig_wire::event::{Kind, flags};
use rig_wire::plan::Point;
use seam_backend::events::{exit_flags, leaf};
use seam_emu::{Caller, Completion, Outcome, Regs, Reply};
use std::time::Duration;

const EFER_LMA: u64 = 1 << 10;
/// Waits longer than this let the host thread sleep between two executions of the instruction.
const SLEEP_ABOVE_NS: u64 = 1_000_000;
const SLEEP: Duration = Duration::from_micros(50);

/// Serves a SEAMCALL at `pc`. Returns where to go on, or none to let TCG raise #UD.
pub(crate) fn execute(emulator: &Emulator, vcpu: usize, pc: u64) -> Option<u64> {
    let lp = vcpu as u16;
    let before = registers::operands();
    let eflags = registers::read(Reg::Eflags);
    let selector = registers::read(Reg::Cs);
    let mut flight = *emulator.in_flight(vcpu);
    if let Some(done) = flight.done {
        return leave(emulator, vcpu, pc, flight, done);
    }
    if !flight.active {
        if emulator.holding() && points::held_at(emulator, vcpu, &[Point::SeamcallEnter { leaf: leaf(before.rax) }]) {
            return Some(pc);
        }
        flight.interrupts = eflags & RFLAGS_IF != 0;
        flight.context = context_flags(emulator, flight.interrupts, selector);
        emulator.recorder.record(
            lp,
            Kind::SeamcallEnter,
            flight.context,
            [before.rax, before.rcx, before.rdx, before.r8],
        );
    }
    let caller = Caller {
        lp: vcpu,
        in_vmx_root: emulator.facade.in_vmx_root(vcpu),
        cpl: (selector & 3) as u8,
        long_mode: registers::read(Reg::Efer) & EFER_LMA != 0,
    };
    let mut after = before;
    let now_ns = emulator.recorder.clock.now_ns();
    let (reply, entered, notes) = {
        let mut firmware = emulator.firmware();
        let reply = firmware.seamcall(caller, &mut after, &mut Physical, now_ns);
        let entered = match (&reply, &emulator.root) {
            (Reply::Enter(entry), Some(root)) => Some((root, root.take(&firmware, entry))),
            _ => None,
        };
        (reply, entered, firmware.take_notes())
    };
    emulator.record_notes(lp, before.rax, notes);
    match reply {
        Reply::Done(completion) => leave(emulator, vcpu, pc, flight, (before, after, completion)),
        Reply::Wait { until_ns } => {
            hold(emulator, vcpu, flight, eflags, until_ns.saturating_sub(now_ns));
            Some(pc)
        }
        Reply::Never => {
            hold(emulator, vcpu, flight, eflags, u64::MAX);
            Some(pc)
        }
        Reply::Enter(_) => {
            let (root, entered) = entered.expect("only a plan with machine code lets a vCPU be entered");
            *emulator.in_flight(vcpu) = InFlight::default();
            Some(root::enter(root, vcpu, pc, (before, flight), entered))
        }
    }
}

/// The firmware is done: holds the LP if a schedule says so, else lets it go on.
fn leave(
    emulator: &Emulator,
    vcpu: usize,
    pc: u64,
    mut flight: InFlight,
    done: (Regs, Regs, Completion),
) -> Option<u64> {
    let eflags = registers::read(Reg::Eflags);
    let (before, after, completion) = done;
    let exit = Point::SeamcallExit { leaf: leaf(before.rax) };
    if emulator.holding() && points::held_at(emulator, vcpu, &[exit]) {
        flight.done = Some(done);
        if flight.active {
            *emulator.in_flight(vcpu) = flight;
        } else {
            hold(emulator, vcpu, flight, eflags, 0);
        }
        return Some(pc);
    }
    *emulator.in_flight(vcpu) = InFlight::default();
    if flight.active && flight.interrupts {
        registers::write(Reg::Eflags, eflags | RFLAGS_IF);
    }
    registers::write_operands(&before, &after);
    finish(emulator, vcpu as u16, pc, completion, (&before, &after), flight.context)
}

/// A TD's vCPU has left to the VMM whose SEAMCALL was at `pc`, and none of the operands is in its register: as [`leave`].
pub(crate) fn returned(
    emulator: &Emulator,
    vcpu: usize,
    pc: u64,
    flight: InFlight,
    done: (Regs, Regs, Completion),
) -> Option<u64> {
    let (before, after, completion) = done;
    if emulator.holding() && points::held_at(emulator, vcpu, &[Point::SeamcallExit { leaf: leaf(before.rax) }]) {
        registers::write_all_operands(&before);
        let eflags = registers::read(Reg::Eflags);
        let interrupts = eflags & RFLAGS_IF != 0;
        hold(emulator, vcpu, InFlight { done: Some(done), interrupts, ..flight }, eflags, 0);
        return Some(pc);
    }
    registers::write_all_operands(&after);
    finish(emulator, vcpu as u16, pc, completion, (&before, &after), flight.context)
}

/// Keeps the vCPU at its SEAMCALL without interrupts.
fn hold(emulator: &Emulator, vcpu: usize, mut flight: InFlight, eflags: u64, remaining_ns: u64) {
    if !flight.active {
        flight.active = true;
        *emulator.in_flight(vcpu) = flight;
        if flight.interrupts {
            registers::write(Reg::Eflags, eflags & !RFLAGS_IF);
        }
    }
    if emulator.plan.deterministic {
        // Time passes with instructions; the host's scheduler must not matter.
        emulator.identity.give_way();
    } else if remaining_ns > SLEEP_ABOVE_NS {
        std::thread::sleep(SLEEP);
    } else {
        std::thread::yield_now();
    }
}

fn finish(
    emulator: &Emulator,
    lp: u16,
    pc: u64,
    completion: Completion,
    (before, after): (&Regs, &Regs),
    context: u32,
) -> Option<u64> {
    let all = exit_flags(context, &completion);
    emulator.recorder.record(lp, Kind::SeamcallExit, all, [before.rax, after.rax, after.rcx, after.rdx]);
    // #GP(0) cannot be raised through the plugin interface; TCG raises #UD for both (see FIDELITY.md).
    if matches!(completion.outcome, Outcome::Ud | Outcome::Gp) {
        return None;
    }
    let next = pc + SEAMCALL_LEN;
    let code = memory::read_code::<8>(next);
    let carry = completion.outcome == Outcome::VmFailInvalid;
    if let Some(target) = decode::after_carry(&code, next, carry) {
        return Some(target);
    }
    report_unknown(emulator, lp, next, &code);
    Some(next)
}

/// Records an instruction that the emulation cannot follow.
pub(crate) fn report_unknown(emulator: &Emulator, lp: u16, pc: u64, code: &[u8]) {
    let mut bytes = [0; 8];
    let n = code.len().min(8);
    bytes[..n].copy_from_slice(&code[..n]);
    emulator.recorder.record(lp, Kind::Unknown, 0, [pc, u64::from_be_bytes(bytes), 0, 0]);
}

fn context_flags(emulator: &Emulator, interrupts: bool, selector: u64) -> u32 {
    let mut context = if interrupts { flags::IF } else { 0 };
    if selector & 3 != 0 {
        return context | flags::USER;
    }
    if let Some(offset) = emulator.plan.preempt_count_offset {
        let address = registers::read(Reg::GsBase).wrapping_add(offset);
        if let Some(count) = memory::read_virtual::<4>(address).map(u32::from_le_bytes) {
            context |= flags::CONTEXT_KNOWN;
            if count & emulator.plan.hardirq_mask != 0 {
                context |= flags::HARDIRQ;
            }
        }
    }
    context
}
