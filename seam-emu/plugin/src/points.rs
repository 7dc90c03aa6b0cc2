//! Where an LP stands, for the engine of holds.

use crate::decode;
use crate::emulator::Emulator;
use crate::ffi;
use crate::memory;
use crate::registers::{self, GPR, RFLAGS_IF, Reg};
use rig_wire::event::{Kind, Mark, flags};
use rig_wire::plan::Point;
use seam_backend::holds::{Change, Now};

/// The PAUSE instruction.
const PAUSE: [u8; 2] = [0xf3, 0x90];

/// Must this LP stay at these points? Records when a hold begins and ends.
pub(crate) fn held_at(emulator: &Emulator, lp: usize, points: &[Point]) -> bool {
    let record = |kind, hold: usize, end| emulator.recorder.record(lp as u16, kind, 0, [hold as u64, end, 0, 0]);
    let clock = &emulator.recorder.clock;
    let now = Now {
        ns: if emulator.plan.deterministic { clock.holding_ns() } else { clock.now_ns() },
        instructions: &|lp| clock.instructions(usize::from(lp)),
    };
    let decision = emulator.holds().at(lp as u16, points, &now);
    for change in decision.changes {
        match change {
            Change::Began(hold) => record(Kind::HoldBegin, hold, 0),
            Change::Ended(hold, end) => record(Kind::HoldEnd, hold, end as u64),
        }
    }
    if decision.stay && emulator.plan.deterministic {
        clock.count_turn();
        emulator.identity.give_way();
    } else if decision.stay {
        std::thread::yield_now();
    }
    decision.stay
}

/// An instrumented instruction is about to execute: true when it must be executed again.
pub(crate) fn before_instruction(emulator: &Emulator, lp: usize, pc: u64) -> bool {
    if !emulator.holding() {
        return false;
    }
    let mut points = vec![Point::Pc { address: pc }];
    points.extend(emulator.sight(lp).fresh.iter().cloned());
    let code = memory::read_code::<15>(pc);
    if code.starts_with(&PAUSE) {
        points.push(Point::Pause);
    }
    for access in decode::accesses(&code, pc, |number| registers::read(GPR[usize::from(number)])) {
        if let Some(watch) = emulator.watchlist().watch_at(access.address) {
            points.extend(access.loads.then_some(Point::Load { watch }));
            points.extend(access.stores.then_some(Point::Store { watch }));
        }
    }
    if held_at(emulator, lp, &points) {
        return true;
    }
    emulator.sight(lp).fresh.clear();
    false
}

/// An instrumented instruction touched a watched word.
pub(crate) fn after_access(emulator: &Emulator, lp: usize, pc: u64, address: u64, (store, value): (bool, u64)) {
    let Some(watch) = emulator.watchlist().watch_at(address) else { return };
    if emulator.holding() {
        let point = if store { Point::Store { watch } } else { Point::Load { watch } };
        emulator.holds().passed(lp as u16, &point);
    }
    if !store && !emulator.sight(lp).load(watch, value) {
        return end_if_stalled(emulator, lp);
    }
    let (flag, value) = if store { (flags::STORE, stored(emulator, lp, pc, watch, value)) } else { (0, value) };
    emulator.recorder.record(lp as u16, Kind::Watch, flag | interrupts(), [watch as u64, value, address, pc]);
}

/// [`flags::IF`], where interrupts are enabled on the LP whose callback is running.
pub(crate) fn interrupts() -> u32 {
    if registers::read(Reg::Eflags) & RFLAGS_IF == 0 { 0 } else { flags::IF }
}

/// An LP spins. When nothing but that has happened for too long, a deterministic machine ends here, at this instruction: an
/// end that the host chose would come elsewhere each time.
fn end_if_stalled(emulator: &Emulator, lp: usize) {
    let Some(limit_ns) = emulator.plan.stall_ns.filter(|_| emulator.plan.deterministic) else { return };
    let idle_ns = emulator.recorder.idle_ns();
    if idle_ns >= limit_ns {
        emulator.recorder.record(lp as u16, Kind::Mark, 0, [Mark::Stalled as u64, idle_ns, 0, 0]);
        ffi::end_at_once();
    }
}

/// The value that a store left in a word; a locked instruction loaded the word just before.
fn stored(emulator: &Emulator, lp: usize, pc: u64, watch: usize, reported: u64) -> u64 {
    if !emulator.is_parallel() {
        return reported;
    }
    let loaded = emulator.sight(lp).loaded.get(&watch).copied();
    decode::stored(&memory::read_code::<15>(pc), pc, loaded, reported)
}

/// [`flags::IF`], where interrupts were enabled when the LP whose callback is running was interrupted at `pc`. The handler's
/// stack has, from its top: an error code for some exceptions, RIP, CS, RFLAGS (Intel SDM volume 3, "IA-32e Mode Stack Frame").
pub(crate) fn interrupted(pc: u64) -> u32 {
    let frame = memory::read_virtual::<32>(registers::read(Reg::Rsp));
    let rflags = frame.and_then(|frame| interrupted_rflags(&frame, pc));
    if rflags.is_some_and(|rflags| rflags & RFLAGS_IF != 0) { flags::IF } else { 0 }
}

/// Longest instruction, bytes.
const MAX_INSTRUCTION: u64 = 15;

/// RFLAGS in such a stack. RIP is `pc` or, behind a trap such as INT3, the instruction after it.
fn interrupted_rflags(frame: &[u8; 32], pc: u64) -> Option<u64> {
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| frame[at * 8 + byte]));
    let is_rip = |at: &usize| word(*at).wrapping_sub(pc) <= MAX_INSTRUCTION;
    [0, 1].into_iter().find(is_rip).map(|rip| word(rip + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rflags_are_found_with_and_without_an_error_code() {
        const PC: u64 = 0xffff_ffff_8108_57b2;
        let frame = |words: [u64; 4]| {
            let mut bytes = [0; 32];
            bytes.chunks_exact_mut(8).zip(words).for_each(|(place, word)| place.copy_from_slice(&word.to_le_bytes()));
            bytes
        };
        assert_eq!(interrupted_rflags(&frame([PC, 0x10, 0x246, 9]), PC), Some(0x246));
        assert_eq!(interrupted_rflags(&frame([PC + 1, 0x10, 0x246, 9]), PC), Some(0x246), "behind INT3");
        assert_eq!(interrupted_rflags(&frame([0, PC, 0x10, 0x46]), PC), Some(0x46), "with an error code");
        assert_eq!(interrupted_rflags(&frame([0, PC + 16, 0x10, 0x46]), PC), None);
    }
}
