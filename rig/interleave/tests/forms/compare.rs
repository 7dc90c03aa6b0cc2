//! What two executions of a case have different.

use super::case::{After, Case, DATA};
use nix::sys::signal::Signal;
use rig_interleave::isa::flag;

/// The differences in words; none if there are none. Flags count that the instruction set defines.
pub(super) fn difference(case: &Case, interpreted: &After, executed: &Result<After, Signal>) -> Option<String> {
    let what = case.instruction.code();
    let executed = match executed {
        Ok(executed) => executed,
        Err(signal) => return Some(format!("{what:?} {:02x?}: it raises an exception ({signal})", case.bytes)),
    };
    let (ours, theirs) = (&interpreted.registers, &executed.registers);
    let mut parts = Vec::new();
    for (number, (ours, theirs)) in ours.gpr.iter().zip(theirs.gpr).enumerate() {
        if *ours != theirs {
            parts.push(format!("register {number} is {ours:#x}, should be {theirs:#x}"));
        }
    }
    if ours.rip != theirs.rip {
        parts.push(format!("RIP is {:#x}, should be {:#x}", ours.rip, theirs.rip));
    }
    let defined = (flag::ARITHMETIC | flag::IF) & !ours.undefined;
    if (ours.flags ^ theirs.flags) & defined != 0 {
        parts.push(format!("flags are {:#x}, should be {:#x}", ours.flags & defined, theirs.flags & defined));
    }
    parts.extend(memory_difference(interpreted, executed));
    (!parts.is_empty())
        .then(|| format!("{what:?} {:02x?}: {}; before: {:x?}", case.bytes, parts.join(", "), case.registers))
}

fn memory_difference(interpreted: &After, executed: &After) -> Option<String> {
    let theirs = executed.memory.as_ref().expect("the processor's memory was read");
    let Some(ours) = &interpreted.memory else { return Some("it touched memory outside of its window".into()) };
    let at = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs)?;
    Some(format!("the byte at {:#x} is {:#x}, should be {:#x}", DATA + at as u64, ours[at], theirs[at]))
}
