//! Where in the update's code acknowledgements are stored and states are read, so that probes can be put there.
//!
//! `ack_state()` of `arch/x86/virt/vmx/tdx/seamldr.c` is inlined: it has no symbol. But its instructions name the words of
//! `update_ctrl`, so they are found by decoding the function. A probe stands behind the access, never on it: a probed
//! instruction is executed elsewhere, where the emulator, which watches the same words in a rehearsal, does not look.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register};

/// `struct update_ctrl` of Linux 7.3: state, acknowledgements, failures, 4 bytes each; a lock follows.
const WORDS: u64 = 12;

/// A place for a probe, as an offset into the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// An acknowledgement was stored; the lock is still held, so its number can be read from memory.
    Acknowledged(u64),
    /// A new state was stored; the lock is still held.
    Advanced(u64),
    /// A new state was read, and is in this register (as kprobes call it, such as `bx`).
    Saw(u64, &'static str),
}

/// Finds them in the bytes of a function at address `at`, with `update_ctrl` at `ctrl`.
pub(crate) fn points(bytes: &[u8], at: u64, ctrl: u64) -> Vec<Point> {
    let code: Vec<Instruction> = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).into_iter().collect();
    let mut factory = InstructionInfoFactory::new();
    let accesses: Vec<Option<Access>> = code.iter().map(|i| access(&mut factory, i, ctrl)).collect();
    let mut points = Vec::new();
    for (index, access) in accesses.iter().enumerate() {
        let point = match access {
            Some(Access { word: 4, store: true, zero: false }) => {
                behind(&code, &accesses, index, at).map(Point::Acknowledged)
            }
            Some(Access { word: 0, store: true, zero: false }) => {
                behind(&code, &accesses, index, at).map(Point::Advanced)
            }
            Some(Access { word: 0, store: false, .. }) => loaded_value_point(&code, index, at),
            _ => None,
        };
        points.extend(point);
    }
    points
}

/// What an instruction does to one of the words.
#[derive(Clone, Copy, Debug)]
struct Access {
    word: u64,
    store: bool,
    /// Zero is stored: the counter begins anew.
    zero: bool,
}

fn access(factory: &mut InstructionInfoFactory, instruction: &Instruction, ctrl: u64) -> Option<Access> {
    // The kernel addresses its data relative to RIP, or by an absolute displacement.
    let plain = instruction.memory_index() == Register::None
        && matches!(instruction.memory_base(), Register::RIP | Register::EIP | Register::None);
    let word = instruction.memory_displacement64().checked_sub(ctrl).filter(|word| plain && *word < WORDS)?;
    let memory = factory.info(instruction).used_memory().first()?.access();
    let store = matches!(memory, OpAccess::Write | OpAccess::ReadWrite | OpAccess::ReadCondWrite);
    let zero = instruction.code() == Code::Mov_rm32_imm32 && instruction.immediate32() == 0;
    Some(Access { word, store, zero })
}

/// The first instruction behind a store that touches no word, on the straight way on.
fn behind(code: &[Instruction], accesses: &[Option<Access>], store: usize, at: u64) -> Option<u64> {
    for index in store + 1..code.len() {
        if code[index - 1].flow_control() != FlowControl::Next {
            return None;
        }
        if accesses[index].is_none() {
            return Some(code[index].ip() - at);
        }
    }
    None
}

/// How many instructions may stand between the load of the state and the jump that depends on it.
const NEAR: usize = 4;

/// Where a CPU goes that has loaded a new state: `cmp` with the old one, then `je` back to the loop, or `jne` out of it.
fn loaded_value_point(code: &[Instruction], load: usize, at: u64) -> Option<Point> {
    let register = code[load].op0_register();
    let name = kprobe_name(register)?;
    let after = &code[load + 1..code.len().min(load + 1 + NEAR)];
    let compared = after.iter().position(|i| is_comparison(i, register))?;
    let jump = after[compared + 1..].iter().find(|i| i.flow_control() == FlowControl::ConditionalBranch)?;
    let target = match jump.code() {
        Code::Je_rel8_64 | Code::Je_rel32_64 => jump.next_ip(),
        Code::Jne_rel8_64 | Code::Jne_rel32_64 => jump.near_branch_target(),
        _ => return None,
    };
    let is_there = code.iter().any(|instruction| instruction.ip() == target);
    is_there.then(|| Point::Saw(target - at, name))
}

/// `cmp` of this register with another one: the state with the one before.
fn is_comparison(instruction: &Instruction, register: Register) -> bool {
    let registers = [instruction.op0_register(), instruction.op1_register()];
    matches!(instruction.code(), Code::Cmp_rm32_r32 | Code::Cmp_r32_rm32)
        && registers.contains(&register)
        && registers.iter().all(|r| *r != Register::None)
}

/// What kprobes call a register (`regs_query_register_offset()`, `arch/x86/kernel/ptrace.c`).
fn kprobe_name(register: Register) -> Option<&'static str> {
    Some(match register.full_register() {
        Register::RAX => "ax",
        Register::RBX => "bx",
        Register::RCX => "cx",
        Register::RDX => "dx",
        Register::RSI => "si",
        Register::RDI => "di",
        Register::RBP => "bp",
        Register::R8 => "r8",
        Register::R9 => "r9",
        Register::R10 => "r10",
        Register::R11 => "r11",
        Register::R12 => "r12",
        Register::R13 => "r13",
        Register::R14 => "r14",
        Register::R15 => "r15",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `do_seamldr_install_module` of a 7.3.4 build, from its symbol to the next one.
    const FUNCTION: &str = include_str!("do_seamldr_install_module.hex");
    const AT: u64 = 0xffff_ffff_8107_4530;
    const CTRL: u64 = 0xffff_ffff_817c_5d40;

    fn bytes() -> Vec<u8> {
        hex::decode(FUNCTION.split_whitespace().collect::<String>()).unwrap()
    }

    /// Offsets as a disassembler shows them: behind `mov %eax,update_ctrl+4` at 0x69, behind `movl $0,update_ctrl+4` at 0x106,
    /// and behind `je` at 0xa0, with the state in EBX.
    #[test]
    fn the_kernels_own_code_is_understood() {
        let mut points = points(&bytes(), AT, CTRL);
        points.sort_by_key(|point| format!("{point:?}"));
        assert_eq!(points, [Point::Acknowledged(0x6f), Point::Advanced(0x110), Point::Saw(0xa2, "bx")]);
    }

    #[test]
    fn other_words_are_not_these() {
        assert_eq!(points(&bytes(), AT, CTRL + 0x1000), []);
        assert_eq!(points(&[], AT, CTRL), []);
        assert_eq!(points(&[0xcc; 64], AT, CTRL), [], "somebody else's breakpoints");
    }

    /// `mov [rip+ctrl], eax` into `jmp`: nothing stands behind the store on the straight way.
    #[test]
    fn cannot_probe_behind_a_jump() {
        // lock add dword [rip+0x100+4], 1; then a jump to itself.
        let counted = [0xf0, 0x83, 0x05, 0xfd, 0x00, 0x00, 0x00, 0x01, 0xeb, 0xfe];
        let (at, ctrl) = (0x1000, 0x1000 + 8 + 0xfd - 4);
        assert_eq!(points(&counted, at, ctrl), [Point::Acknowledged(8)]);
        assert_eq!(points(&counted[..8], at, ctrl), []);
    }
}
