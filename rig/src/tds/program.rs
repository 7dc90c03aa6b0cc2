//! What a vCPU runs.

use super::layout::Layout;
use rig_wire::td::{END_ADDRESS, REPORT_ADDRESS, SHARED};
use seam_emu::script::{Op, Script};

/// TDVMCALL subfunctions. Source: Intel Guest-Host-Communication Interface (344426).
const WRITE_MSR: u64 = 32;
const MMIO: u64 = 48;
/// x2APIC spurious-interrupt register, and the value that switches the APIC on.
const X2APIC_SPIV: u64 = 0x80F;
const APIC_ON: u64 = 0x1FF;
/// A port that no device has.
const PORT: u64 = 0x80;

/// Registers: rounds left, scratch, rounds made, status of calls; 4 to 7 are operands of calls.
const LEFT: u16 = 0;
const SIZE: u16 = 1;
const MADE: u16 = 2;
const STATUS: u16 = 3;
const WORD: u16 = 7;

/// The script: with a number, that many rounds; else until the stop word is 1.
pub(super) fn script(at: Layout, rounds: Option<u64>) -> Script {
    let begun = prologue(at, rounds.unwrap_or(0));
    let top = begun.here();
    let body = round(begun, at);
    let looped = match rounds {
        Some(_) => body.then(Op::Loop, LEFT, top),
        // A stop word of 1 counts down to 0; of 0 it wraps, and the loop goes on.
        None => body.then(Op::Load, WORD, SHARED | at.stop_word()).then(Op::Loop, WORD, top),
    };
    epilogue(looped, at)
}

/// Switches the APIC on, accepts private pages and makes one page shared.
fn prologue(at: Layout, rounds: u64) -> Script {
    call(Script::new(), WRITE_MSR, [X2APIC_SPIV, APIC_ON, 0, 0])
        .then(Op::Set, LEFT, rounds)
        .then(Op::Set, MADE, 0)
        .then(Op::Set, SIZE, 4096)
        .then(Op::MapGpa, SIZE, SHARED | at.shared())
        .then(Op::Accept, 0, at.counter())
        .then(Op::Accept, 0, at.chain())
        .then(Op::Accept, 0, at.echo())
}

/// One round; [`super::predict`] says what it does to the chain.
fn round(script: Script, at: Layout) -> Script {
    let echoed = SHARED | (at.shared() + 8);
    let converted = at.converted();
    script
        .then(Op::Add, MADE, 1)
        .then(Op::Store, MADE, at.counter())
        .then(Op::Hash, 0, at.data())
        .then(Op::Hash, 0, at.counter())
        // The round's number goes through shared memory.
        .then(Op::Store, MADE, echoed)
        .then(Op::Load, WORD, echoed)
        .then(Op::Store, WORD, at.echo())
        .then(Op::Hash, 0, at.echo())
        // A page is shared, written, and private again: it comes back empty.
        .then(Op::Set, SIZE, 4096)
        .then(Op::MapGpa, SIZE, SHARED | converted)
        .then(Op::Store, MADE, SHARED | converted)
        .then(Op::Set, SIZE, 4096)
        .then(Op::MapGpa, SIZE, converted)
        .then(Op::Accept, 0, converted)
        .then(Op::Hash, 0, converted)
        .then(Op::Store, MADE, converted)
        .then(Op::Hash, 0, converted)
        .then(Op::StoreChain, 0, at.chain())
        .then(Op::Hash, 0, at.chain())
        .then(Op::Out, MADE, PORT)
        .then(Op::Halt, 0, 0)
}

/// Says the number of rounds and the chain, and ends.
fn epilogue(script: Script, at: Layout) -> Script {
    let stored = script.then(Op::StoreChain, 0, at.chain()).then(Op::Load, WORD, at.counter());
    let said = (0..6).fold(say(stored), |script, word| say(script.then(Op::Load, WORD, at.chain() + 8 * word)));
    call(said, MMIO, [8, 1, SHARED | END_ADDRESS, 0])
}

/// Writes register [`WORD`] to the report address.
fn say(script: Script) -> Script {
    script.then(Op::Set, 4, 8).then(Op::Set, 5, 1).then(Op::Set, 6, SHARED | REPORT_ADDRESS).then(
        Op::Vmcall,
        STATUS,
        MMIO,
    )
}

/// A TDVMCALL with these operands.
fn call(script: Script, subfunction: u64, operands: [u64; 4]) -> Script {
    let set = |script: Script, (register, value): (u16, u64)| script.then(Op::Set, register, value);
    (4..8).zip(operands).fold(script, set).then(Op::Vmcall, STATUS, subfunction)
}
