//! One instruction.

use super::bus::{Bus, Next};
use super::instruction::Execution;
use super::registers::Registers;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};

/// The instruction in these bytes. A near branch with an operand-size prefix is one of 16 bits on some processors and not on others:
/// decoded in the first way it is unknown.
pub fn decode(bytes: &[u8], address: u64) -> Instruction {
    Decoder::with_ip(64, bytes, address, DecoderOptions::AMD).decode()
}

/// Executes `instruction` at `registers.rip`, which stays as it is: the result tells where execution goes on. If the bus ends
/// the instruction, or it is unknown, registers may be half changed, and the caller throws them away.
pub fn execute<B: Bus>(
    registers: &mut Registers,
    instruction: &Instruction,
    gs_base: u64,
    bus: &mut B,
) -> Result<Next, B::Stop> {
    let mut execution = Execution { registers, instruction, gs_base, bus };
    if !execution.has_known_operands() {
        return Ok(Next::Unknown);
    }
    match instruction.mnemonic() {
        Mnemonic::Seamcall => return Ok(Next::Seamcall),
        Mnemonic::Ud2 => return Ok(Next::Undefined),
        _ => {}
    }
    if execution.needs_undefined_flag() {
        return Ok(Next::Unknown);
    }
    let next = match execution.control()? {
        None => execution.data()?,
        done => done,
    };
    execution.registers.undefined |= super::control::undefined_by(instruction);
    Ok(next.unwrap_or(Next::Unknown))
}

impl<B: Bus> Execution<'_, B> {
    /// Instructions that go on behind themselves.
    fn data(&mut self) -> Result<Option<Next>, B::Stop> {
        let known = self.moves()? || self.arithmetic()? || self.bits()? || self.strings()?;
        Ok(known.then(|| Next::At(self.instruction.next_ip())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::bus::Access;
    use super::super::registers::flag::{AF, CF, OF, PF, SF, ZF};
    use super::super::registers::gpr::{RAX, RCX, RDX, RSP};
    use super::*;
    use rstest::rstest;

    /// 64 bytes of memory at address 0.
    struct Bytes([u8; 64]);

    impl Bus for Bytes {
        type Stop = std::convert::Infallible;

        fn load(&mut self, access: Access) -> Result<u64, Self::Stop> {
            let at = access.address as usize;
            Ok((0..usize::from(access.size)).map(|k| u64::from(self.0[at + k]) << (8 * k)).sum())
        }

        fn store(&mut self, access: Access, value: u64) -> Result<(), Self::Stop> {
            let at = access.address as usize;
            self.0[at..at + usize::from(access.size)].copy_from_slice(&value.to_le_bytes()[..access.size.into()]);
            Ok(())
        }
    }

    /// Executes one instruction at 0x100 with RAX, RCX, RDX as given, RSP = 32, and byte k of memory equal to k.
    fn one(code: &[u8], gpr: [u64; 3], flags: u8) -> (Next, Registers, Bytes) {
        let mut registers = Registers { rip: 0x100, flags, ..Registers::default() };
        [registers.gpr[RAX], registers.gpr[RCX], registers.gpr[RDX]] = gpr;
        registers.gpr[RSP] = 32;
        let mut memory = Bytes(std::array::from_fn(|k| k as u8));
        let instruction = decode(code, 0x100);
        let Ok(next) = execute(&mut registers, &instruction, 0x1000, &mut memory);
        (next, registers, memory)
    }

    /// RAX, RCX and the flags after it. Source: Intel SDM volume 2, the page of each instruction.
    #[rstest]
    #[case::mov_of_32_bits_clears_the_rest(&[0x89, 0xc8], [u64::MAX, 0x1_0000_0005, 0], 0, [5, 0x1_0000_0005], 0)]
    #[case::mov_of_8_bits_keeps_the_rest(&[0x88, 0xc8], [u64::MAX, 5, 0], 0, [0xffff_ffff_ffff_ff05, 5], 0)]
    #[case::mov_ah(&[0x88, 0xcc], [0, 5, 0], 0, [0x500, 5], 0)]
    #[case::movzx_byte(&[0x0f, 0xb6, 0xc1], [u64::MAX, 0x1ff, 0], 0, [0xff, 0x1ff], 0)]
    #[case::movsxd(&[0x48, 0x63, 0xc1], [0, 0x8000_0000, 0], 0, [0xffff_ffff_8000_0000, 0x8000_0000], 0)]
    #[case::cmove_not_done_clears_the_upper_half(&[0x0f, 0x44, 0xc1], [u64::MAX, 1, 0], 0, [0xffff_ffff, 1], 0)]
    #[case::cmove_done(&[0x0f, 0x44, 0xc1], [u64::MAX, 1, 0], ZF, [1, 1], ZF)]
    #[case::setb(&[0x0f, 0x92, 0xc0], [0x100, 0, 0], CF, [0x101, 0], CF)]
    #[case::inc_keeps_the_carry(&[0xff, 0xc0], [0xffff_ffff, 0, 0], CF, [0, 0], CF | ZF | PF | AF)]
    #[case::cmp_with_a_negative_immediate(&[0x83, 0xf8, 0xff], [0xffff_ffff, 0, 0], 0, [0xffff_ffff, 0], ZF | PF)]
    #[case::neg(&[0xf7, 0xd8], [1, 0, 0], 0, [0xffff_ffff, 0], CF | SF | PF | AF)]
    #[case::xadd_of_registers(&[0x0f, 0xc1, 0xc8], [3, 4, 0], 0, [7, 3], 0)]
    #[case::cmpxchg_equal(&[0x0f, 0xb1, 0xd1], [7, 7, 9], 0, [7, 9], ZF | PF)]
    #[case::cmpxchg_different(&[0x48, 0x0f, 0xb1, 0xd1], [8, 7, 9], 0, [7, 7], 0)]
    #[case::shl_of_32_bits_by_0_clears_the_upper_half(&[0xc1, 0xe0, 0], [u64::MAX, 0, 0], CF, [0xffff_ffff, 0], CF)]
    #[case::lea_has_no_segment(&[0x65, 0x48, 0x8d, 0x41, 1], [0, 2, 0], 0, [3, 2], 0)]
    #[case::shl_by_1(&[0xd1, 0xe0], [0x8000_0001, 0, 0], 0, [2, 0], CF | OF)]
    #[case::shr_by_cl_of_0_keeps_flags(&[0xd3, 0xe8], [4, 0x20, 0], CF, [4, 0x20], CF)]
    #[case::bts(&[0x0f, 0xab, 0xc8], [1, 33, 0], 0, [3, 33], 0)]
    #[case::tzcnt(&[0xf3, 0x0f, 0xbc, 0xc1], [0, 8, 0], 0, [3, 8], 0)]
    #[case::lea(&[0x8d, 0x44, 0x48, 0xff], [1, 2, 0], 0, [4, 2], 0)]
    #[case::load(&[0x8b, 0x04, 0x25, 4, 0, 0, 0], [0, 0, 0], 0, [0x0706_0504, 0], 0)]
    fn results(
        #[case] code: &[u8],
        #[case] before: [u64; 3],
        #[case] flags: u8,
        #[case] after: [u64; 2],
        #[case] flags_after: u8,
    ) {
        let (next, registers, _) = one(code, before, flags);
        assert_eq!(next, Next::At(0x100 + code.len() as u64));
        assert_eq!(registers.gpr[..2], after);
        assert_eq!(registers.flags, flags_after);
    }

    #[test]
    fn calls_and_returns_use_the_stack() {
        let (next, registers, memory) = one(&[0xe8, 0xfb, 0, 0, 0], [0; 3], 0);
        assert_eq!((next, registers.gpr[RSP]), (Next::At(0x200), 24));
        assert_eq!(memory.0[24..32], 0x105_u64.to_le_bytes());
        let (next, registers, _) = one(&[0xc3], [0; 3], 0);
        assert_eq!((next, registers.gpr[RSP]), (Next::At(0x2726_2524_2322_2120), 40));
    }

    #[test]
    fn rep_stos_writes_all_elements() {
        let (_, registers, memory) = one(&[0xf3, 0x48, 0xab], [0xabab_abab_abab_abab, 2, 0], 0);
        assert_eq!(memory.0[..17], [[0xab; 16].as_slice(), &[16]].concat());
        assert_eq!((registers.gpr[RCX], registers.gpr[7]), (0, 16));
    }

    #[rstest]
    #[case::cpuid(&[0x0f, 0xa2])]
    #[case::mov_from_cr4(&[0x0f, 0x20, 0xe0])]
    #[case::fs_segment(&[0x64, 0x8b, 0x00])]
    #[case::address_of_32_bits(&[0x67, 0x8b, 0x00])]
    #[case::bit_outside_of_the_operand(&[0x0f, 0xa3, 0x04, 0x25, 0, 0, 0, 0])]
    #[case::tzcnt_of_0(&[0xf3, 0x0f, 0xbc, 0xd2])]
    #[case::popfq(&[0x9d])]
    #[case::push_of_16_bits(&[0x66, 0x6a, 1])]
    #[case::leave_of_16_bits(&[0x66, 0xc9])]
    #[case::return_with_a_prefix(&[0x66, 0xc3])]
    #[case::far_call(&[0xff, 0x1c, 0x25, 0, 0, 0, 0])]
    #[case::loopne(&[0xe0, 0])]
    #[case::cmpxchg_different_in_a_register_of_32_bits(&[0x0f, 0xb1, 0xd1])]
    fn what_is_not_modelled_is_unknown(#[case] code: &[u8]) {
        assert_eq!(one(code, [32, 0, 0], 0).0, Next::Unknown);
    }

    #[test]
    fn an_undefined_flag_is_not_used() {
        let mut registers = Registers::default();
        let mut memory = Bytes([0; 64]);
        let mut next = |code: &[u8]| {
            let instruction = decode(code, 0);
            let Ok(next) = execute(&mut registers, &instruction, 0, &mut memory);
            next
        };
        assert_eq!(next(&[0xc1, 0xe0, 4]), Next::At(3), "shl eax, 4 leaves OF undefined");
        assert_eq!(next(&[0x70, 0]), Next::Unknown, "jo depends on it");
        assert_eq!(next(&[0x74, 0]), Next::At(2), "je does not");
        assert_eq!(next(&[0x85, 0xc0]), Next::At(2), "test defines it");
        assert_eq!(next(&[0x70, 0]), Next::At(2));
        assert_eq!(next(&[0xc0, 0xe0, 8]), Next::At(3), "shl al, 8 leaves CF undefined, too");
        assert_eq!(next(&[0x72, 0]), Next::Unknown, "jb depends on it");
    }
}
