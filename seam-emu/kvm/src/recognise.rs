//! Which instructions concern SEAM or a watched word. Pure; the bytes may be anything.

use crate::{Access, Effect, Operand, Operation};
use iced_x86::{Code as Opcode, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use rig_wire::plan::Watch;

/// The instruction at the start of `code`, as it is executed at `address` in 64-bit mode; none: it is no whole
/// instruction.
pub(crate) fn decode(code: &[u8], address: u64) -> Option<Instruction> {
    let instruction = Decoder::with_ip(64, code, address, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// What a SEAMCALL, VMXON, VMXOFF or move from or to CR4 at the start of `code` does, and its length in bytes; none: it
/// is something else.
pub fn facade(code: &[u8]) -> Option<(Operation, usize)> {
    let instruction = decode(code, 0)?;
    let operation = match instruction.code() {
        Opcode::Seamcall => Operation::Seamcall,
        Opcode::Vmxon_m64 => Operation::Vmxon,
        Opcode::Vmxoff => Operation::Vmxoff,
        Opcode::Mov_cr_r64 if instruction.op0_register() == Register::CR4 => {
            Operation::WriteCr4(number(instruction.op1_register()))
        }
        Opcode::Mov_r64_cr if instruction.op1_register() == Register::CR4 => {
            Operation::ReadCr4(number(instruction.op0_register()))
        }
        _ => return None,
    };
    Some((operation, instruction.len()))
}

/// What the instruction does to a watched word; none: it names none. An error says in words why an instruction that
/// names one cannot be carried out here.
pub fn access(instruction: &Instruction, watches: &[Watch]) -> Result<Option<Access>, &'static str> {
    let Some(address) = address(instruction) else {
        let taken = immediates(instruction).any(|value| watches.iter().any(|watch| covers(watch, value, 1)));
        return if taken { Err("it takes the address of a watched word") } else { Ok(None) };
    };
    let size = instruction.memory_size().size() as u64;
    let Some(watch) = watches.iter().position(|watch| covers(watch, address, size)) else { return Ok(None) };
    if instruction.mnemonic() == Mnemonic::Lea {
        return Err("it takes the address of a watched word");
    }
    let whole = watches[watch].address == address && u64::from(watches[watch].size) == size;
    if !whole || !matches!(size, 4 | 8) {
        return Err("it accesses a part of a watched word, or more than one");
    }
    if instruction.has_segment_prefix() {
        return Err("it has a segment prefix");
    }
    let effect = effect(instruction).ok_or("its effect is not known here")?;
    Ok(Some(Access { watch, address, size: size as u8, effect }))
}

fn covers(watch: &Watch, address: u64, size: u64) -> bool {
    address < watch.address.saturating_add(watch.size.into()) && address.saturating_add(size.max(1)) > watch.address
}

/// The address of the memory operand where no register decides it.
fn address(instruction: &Instruction) -> Option<u64> {
    (0..instruction.op_count()).find(|operand| instruction.op_kind(*operand) == OpKind::Memory)?;
    if instruction.is_ip_rel_memory_operand() {
        return Some(instruction.ip_rel_memory_address());
    }
    let plain = instruction.memory_base() == Register::None && instruction.memory_index() == Register::None;
    let own = !matches!(instruction.memory_segment(), Register::FS | Register::GS);
    (plain && own).then(|| instruction.memory_displacement64())
}

fn immediates(instruction: &Instruction) -> impl Iterator<Item = u64> + '_ {
    let is_immediate = |kind| {
        matches!(
            kind,
            OpKind::Immediate8
                | OpKind::Immediate16
                | OpKind::Immediate32
                | OpKind::Immediate64
                | OpKind::Immediate8to16
                | OpKind::Immediate8to32
                | OpKind::Immediate8to64
                | OpKind::Immediate32to64
        )
    };
    (0..instruction.op_count())
        .filter(move |operand| is_immediate(instruction.op_kind(*operand)))
        .map(|operand| instruction.immediate(operand))
}

/// What an instruction of 4 or 8 bytes does, one of whose operands is memory.
fn effect(instruction: &Instruction) -> Option<Effect> {
    let to_memory = instruction.op0_kind() == OpKind::Memory;
    if instruction.op_count() == 1 {
        return match instruction.mnemonic() {
            Mnemonic::Inc if to_memory => Some(Effect::Increment),
            Mnemonic::Dec if to_memory => Some(Effect::Decrement),
            _ => None,
        };
    }
    if instruction.op_count() != 2 {
        return None;
    }
    if to_memory {
        let operand = operand(instruction, 1)?;
        return match (instruction.mnemonic(), operand) {
            (Mnemonic::Mov, _) => Some(Effect::Store(operand)),
            (Mnemonic::Add, _) => Some(Effect::Add(operand)),
            (Mnemonic::Sub, _) => Some(Effect::Subtract(operand)),
            (Mnemonic::Cmp, _) => Some(Effect::Compare(operand)),
            (Mnemonic::Xadd, Operand::Register(register)) => Some(Effect::ExchangeAdd(register)),
            (Mnemonic::Xchg, Operand::Register(register)) => Some(Effect::Exchange(register)),
            _ => None,
        };
    }
    let Operand::Register(register) = operand(instruction, 0)? else { return None };
    match instruction.mnemonic() {
        Mnemonic::Mov => Some(Effect::Load(register)),
        Mnemonic::Add => Some(Effect::AddTo(register)),
        Mnemonic::Cmp => Some(Effect::CompareTo(register)),
        _ => None,
    }
}

fn operand(instruction: &Instruction, index: u32) -> Option<Operand> {
    if instruction.op_kind(index) == OpKind::Register {
        let register = instruction.op_register(index);
        let is_whole = register.is_gpr32() || register.is_gpr64();
        return is_whole.then(|| Operand::Register(number(register)));
    }
    instruction.try_immediate(index).ok().map(Operand::Immediate)
}

/// The number of a general register in an encoding.
fn number(register: Register) -> u8 {
    register.number() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: u64 = 0x2000;

    /// Bytes, and what they are.
    type Row = (&'static [u8], Option<(Operation, usize)>);

    fn watches() -> Vec<Watch> {
        let watch = |address, name: &str| Watch { name: name.into(), address, size: 4, within: vec![] };
        vec![watch(0x1000, "other"), watch(WORD, "word")]
    }

    /// An instruction at 0x100 whose last four bytes but `behind` are the distance to the word.
    fn at_word(head: &[u8], behind: &[u8]) -> Vec<u8> {
        let end = 0x100 + head.len() as u64 + 4 + behind.len() as u64;
        let distance = WORD.wrapping_sub(end) as u32;
        [head, &distance.to_le_bytes(), behind].concat()
    }

    fn seen(code: &[u8]) -> Result<Option<Access>, &'static str> {
        access(&decode(code, 0x100).expect("a whole instruction"), &watches())
    }

    #[test]
    fn instructions_of_vmx_and_seam_are_told_by_their_bytes() {
        let table: &[Row] = &[
            (&[0x66, 0x0f, 0x01, 0xcf], Some((Operation::Seamcall, 4))),
            (&[0xf3, 0x0f, 0xc7, 0x74, 0x24, 0x08], Some((Operation::Vmxon, 6))),
            (&[0x0f, 0x01, 0xc4], Some((Operation::Vmxoff, 3))),
            (&[0x0f, 0x22, 0xe7], Some((Operation::WriteCr4(7), 3))),
            (&[0x41, 0x0f, 0x22, 0xe1], Some((Operation::WriteCr4(9), 4))),
            (&[0x0f, 0x20, 0xe0], Some((Operation::ReadCr4(0), 3))),
            (&[0x0f, 0x22, 0xd8], None),       // to CR3
            (&[0x66, 0x0f, 0x01, 0xcc], None), // TDCALL
            (&[0x66, 0x0f, 0x01], None),
            (&[], None),
        ];
        for (code, expected) in table {
            assert_eq!(facade(code), *expected, "{code:02x?}");
        }
    }

    #[test]
    fn accesses_of_the_kernels_section_are_known() {
        let one = Operand::Immediate(1);
        let table = [
            (at_word(&[0x8b, 0x05], &[]), Effect::Load(0)),
            (at_word(&[0x8b, 0x1d], &[]), Effect::Load(3)),
            (at_word(&[0x44, 0x8b, 0x0d], &[]), Effect::Load(9)),
            (at_word(&[0x03, 0x15], &[]), Effect::AddTo(2)),
            (at_word(&[0x89, 0x15], &[]), Effect::Store(Operand::Register(2))),
            (at_word(&[0x83, 0x05], &[1]), Effect::Add(one)),
            (at_word(&[0xc7, 0x05], &[0, 0, 0, 0]), Effect::Store(Operand::Immediate(0))),
            (at_word(&[0xff, 0x05], &[]), Effect::Increment),
            (at_word(&[0xf0, 0xff, 0x05], &[]), Effect::Increment),
            (at_word(&[0xff, 0x0d], &[]), Effect::Decrement),
            (at_word(&[0x83, 0x3d], &[0xff]), Effect::Compare(Operand::Immediate(u64::MAX))),
            (at_word(&[0x3b, 0x05], &[]), Effect::CompareTo(0)),
            (at_word(&[0x83, 0x2d], &[1]), Effect::Subtract(one)),
            (at_word(&[0xf0, 0x0f, 0xc1, 0x05], &[]), Effect::ExchangeAdd(0)),
            (at_word(&[0x87, 0x05], &[]), Effect::Exchange(0)),
            (vec![0x8b, 0x04, 0x25, 0, 0x20, 0, 0], Effect::Load(0)),
        ];
        for (code, effect) in table {
            let expected = Access { watch: 1, address: WORD, size: 4, effect };
            assert_eq!(seen(&code), Ok(Some(expected)), "{code:02x?}");
        }
    }

    #[test]
    fn an_instruction_that_names_a_word_and_is_not_known_is_an_error() {
        let table = [
            at_word(&[0x48, 0x8d, 0x05], &[]),       // lea
            vec![0x48, 0xc7, 0xc7, 0, 0x20, 0, 0],   // mov $word, %rdi
            at_word(&[0x48, 0x8b, 0x05], &[]),       // eight bytes
            at_word(&[0x8a, 0x05], &[]),             // one byte
            at_word(&[0x0f, 0xaf, 0x05], &[]),       // imul
            at_word(&[0xf0, 0x0f, 0xb1, 0x0d], &[]), // cmpxchg
            at_word(&[0xf7, 0x25], &[]),             // mul
            at_word(&[0x2e, 0x8b, 0x05], &[]),       // a segment prefix
        ];
        for code in table {
            assert!(seen(&code).is_err(), "{code:02x?}: {:?}", seen(&code));
        }
    }

    #[test]
    fn what_names_no_watched_word_is_left_alone() {
        // %gs:word is the CPU's own; mov (%rax), %eax is somewhere; mov $1, %eax and ret are nowhere.
        let mut own = at_word(&[0x65, 0x8b, 0x04, 0x25], &[]);
        own[4..].copy_from_slice(&0x2000_u32.to_le_bytes());
        for code in [own, vec![0x8b, 0], vec![0xb8, 1, 0, 0, 0], vec![0xc3], vec![0x8b, 0x05, 0, 0, 0, 0]] {
            assert_eq!(seen(&code), Ok(None), "{code:02x?}");
        }
    }
}
