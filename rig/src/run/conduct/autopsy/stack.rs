//! Symbolised stacks of vCPUs from their registers and a piece of their stack's memory.

use crate::machine::registers::CpuRegisters;
use crate::symbols::Symbols;

/// Frames that a report shows.
const MAX_FRAMES: usize = 16;

/// The stack of one vCPU, innermost first. `words` is the memory from its stack pointer on, as far as it was read.
///
/// Follows frame pointers. Where they lead nowhere (a kernel without them, or a function that has not set its own up),
/// the return addresses that lie on the stack are listed with a question mark, as the kernel does.
pub(crate) fn stack(symbols: &Symbols, registers: &CpuRegisters, words: &[u64]) -> Vec<String> {
    if !symbols.is_code(registers.rip) {
        return vec![format!("{:#x} (not in the kernel's code)", registers.rip)];
    }
    let mut frames = vec![symbols.name_of(registers.rip).unwrap_or_default()];
    let called = by_frame_pointers(symbols, registers, words);
    if called.is_empty() {
        let guesses = words.iter().filter(|w| symbols.is_code(**w)).filter_map(|w| symbols.name_of(*w));
        frames.extend(guesses.map(|name| format!("? {name}")));
    }
    frames.extend(called);
    frames.truncate(MAX_FRAMES);
    frames
}

fn by_frame_pointers(symbols: &Symbols, registers: &CpuRegisters, words: &[u64]) -> Vec<String> {
    let mut frames = Vec::new();
    let mut frame = registers.rbp;
    while let Some((next, caller)) = frame_at(frame, registers.rsp, words) {
        let Some(name) = symbols.name_of(caller).filter(|_| symbols.is_code(caller)) else { break };
        frames.push(name);
        if next <= frame || frames.len() > MAX_FRAMES {
            break;
        }
        frame = next;
    }
    frames
}

/// The saved frame pointer and the return address of the frame at `frame`.
fn frame_at(frame: u64, base: u64, words: &[u64]) -> Option<(u64, u64)> {
    let offset = frame.checked_sub(base).filter(|o| o % 8 == 0)?;
    let index = usize::try_from(offset / 8).ok()?;
    Some((*words.get(index)?, *words.get(index + 1)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::tests::MAP;

    const STOP: u64 = 0xffff_ffff_8111_8712;
    const INSTALL: u64 = 0xffff_ffff_8107_8640;
    const BASE: u64 = 0xffff_c900_0000_0000;

    fn registers(rip: u64, rbp: u64) -> CpuRegisters {
        CpuRegisters { rip, rbp, rsp: BASE, ..CpuRegisters::default() }
    }

    #[test]
    fn frame_pointers_are_followed() {
        let symbols = Symbols::from_system_map(MAP);
        let words = [0, 0, BASE + 32, STOP, BASE + 48, 0x1234];
        let frames = stack(&symbols, &registers(INSTALL, BASE + 16), &words);
        assert_eq!(frames, ["do_seamldr_install_module+0x10", "multi_cpu_stop+0x12"]);
    }

    #[test]
    fn without_frame_pointers_guesses_are_marked() {
        let symbols = Symbols::from_system_map(MAP);
        let frames = stack(&symbols, &registers(INSTALL, 7), &[1, STOP, 2]);
        assert_eq!(frames, ["do_seamldr_install_module+0x10", "? multi_cpu_stop+0x12"]);
    }

    #[test]
    fn a_loop_of_frames_ends() {
        let symbols = Symbols::from_system_map(MAP);
        let frames = stack(&symbols, &registers(INSTALL, BASE), &[BASE, STOP]);
        assert_eq!(frames.len(), 2);
    }

    #[test]
    fn an_address_outside_the_kernel_is_printed_as_a_number() {
        let symbols = Symbols::from_system_map(MAP);
        assert_eq!(stack(&symbols, &registers(0x4000, BASE), &[]), ["0x4000 (not in the kernel's code)"]);
    }
}
