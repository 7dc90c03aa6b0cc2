//! Which instructions the emulation intercepts, and where control goes after a SEAMCALL. Pure.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register,
    UsedMemory,
};
use rig_wire::exchange::INSTRUCTION as EXCHANGE;

/// An instruction that the emulation handles instead of, or beside, TCG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intercept {
    /// `66 0F 01 CF`.
    Seamcall,
    /// VMXON m64.
    Vmxon,
    /// VMXOFF.
    Vmxoff,
    /// `mov %cr4, r64`, with the general register's number.
    ReadCr4(u8),
    /// `mov r64, %cr4`, with the general register's number.
    WriteCr4(u8),
    /// RDMSR.
    Rdmsr,
    /// WRMSR.
    Wrmsr,
    /// PAUSE.
    Pause,
    /// HLT.
    Halt,
    /// INVEPT or INVVPID.
    Invalidate,
    /// MOVDIR64B.
    Movdir64b,
    /// The agent speaks to the rig ([`rig_wire::exchange`]).
    Exchange,
    /// `66 0F 01 CC`.
    Tdcall,
    /// `66 0F 01 CD`.
    Seamret,
    /// Another instruction of VMX or SEAM that TCG lacks: it will raise #UD and is reported.
    Unhandled,
}

/// SEAMCALL's length in bytes.
pub(crate) const SEAMCALL_LEN: u64 = 4;

/// Classifies an instruction by its first bytes (as many as TCG saw, which for an opcode that it does not know may be
/// fewer than the instruction has).
pub(crate) fn classify(bytes: &[u8]) -> Option<Intercept> {
    match bytes {
        bytes if bytes.starts_with(&EXCHANGE) => Some(Intercept::Exchange),
        [0x66, 0x0f, 0x01, 0xcf, ..] => Some(Intercept::Seamcall),
        [0x66, 0x0f, 0x01, 0xcc, ..] => Some(Intercept::Tdcall),
        [0x66, 0x0f, 0x01, 0xcd, ..] => Some(Intercept::Seamret),
        // SEAMOPS.
        [0x66, 0x0f, 0x01, 0xce, ..] => Some(Intercept::Unhandled),
        [0x0f, 0x01, 0xc4, ..] => Some(Intercept::Vmxoff),
        // VMLAUNCH and VMRESUME, VMREAD and VMWRITE. VMCALL is left to TCG.
        [0x0f, 0x01, 0xc2 | 0xc3, ..] | [0x0f, 0x78 | 0x79, ..] | [0x40..=0x4f, 0x0f, 0x78 | 0x79, ..] => {
            Some(Intercept::Unhandled)
        }
        [0xf3, 0x0f, 0xc7, modrm, ..] | [0xf3, 0x40..=0x4f, 0x0f, 0xc7, modrm, ..]
            if is_memory(*modrm) && reg(*modrm) == 6 =>
        {
            Some(Intercept::Vmxon)
        }
        [0x66, 0x0f, 0xc7, modrm, ..] | [0x66, 0x40..=0x4f, 0x0f, 0xc7, modrm, ..]
            if is_memory(*modrm) && reg(*modrm) == 6 =>
        {
            Some(Intercept::Unhandled)
        }
        [0x0f, 0xc7, modrm, ..] | [0x40..=0x4f, 0x0f, 0xc7, modrm, ..] if is_memory(*modrm) && reg(*modrm) >= 6 => {
            Some(Intercept::Unhandled)
        }
        [0x66, 0x0f, 0x38, 0x80 | 0x81, ..] | [0x66, 0x40..=0x4f, 0x0f, 0x38, 0x80 | 0x81, ..] => {
            Some(Intercept::Invalidate)
        }
        [0x66, 0x0f, 0x38, 0xf8, ..] | [0x66, 0x40..=0x4f, 0x0f, 0x38, 0xf8, ..] => Some(Intercept::Movdir64b),
        [0x0f, 0x32, ..] => Some(Intercept::Rdmsr),
        [0x0f, 0x30, ..] => Some(Intercept::Wrmsr),
        [0xf3, 0x90, ..] => Some(Intercept::Pause),
        [0xf4, ..] => Some(Intercept::Halt),
        [0x0f, 0x20, modrm, ..] if reg(*modrm) == 4 => Some(Intercept::ReadCr4(modrm & 7)),
        [0x0f, 0x22, modrm, ..] if reg(*modrm) == 4 => Some(Intercept::WriteCr4(modrm & 7)),
        [0x41, 0x0f, 0x20, modrm, ..] if reg(*modrm) == 4 => Some(Intercept::ReadCr4(modrm & 7 | 8)),
        [0x41, 0x0f, 0x22, modrm, ..] if reg(*modrm) == 4 => Some(Intercept::WriteCr4(modrm & 7 | 8)),
        _ => None,
    }
}

fn is_memory(modrm: u8) -> bool {
    modrm >> 6 != 3
}

fn reg(modrm: u8) -> u8 {
    modrm >> 3 & 7
}

fn decode(code: &[u8], address: u64) -> Option<Instruction> {
    let instruction = Decoder::with_ip(64, code, address, DecoderOptions::NONE).decode();
    (instruction.code() != Code::INVALID).then_some(instruction)
}

/// Length in bytes of the instruction at the start of `code`.
pub(crate) fn length(code: &[u8], address: u64) -> Option<u64> {
    decode(code, address).map(|i| i.len() as u64)
}

/// Where control goes after an instruction that sets CF, as the conditional jump on CF behind it decides.
///
/// TCG keeps the arithmetic flags in a form that the plugin interface cannot write, so the jump is taken here, on TCG's
/// behalf. None when the code behind is not `jc` or `jnc`: that is reported, never guessed.
pub(crate) fn after_carry(code: &[u8], address: u64, carry: bool) -> Option<u64> {
    let jump = decode(code, address)?;
    let taken = match jump.code() {
        Code::Jb_rel8_64 | Code::Jb_rel32_64 => carry,
        Code::Jae_rel8_64 | Code::Jae_rel32_64 => !carry,
        _ => return None,
    };
    Some(if taken { jump.near_branch_target() } else { jump.next_ip() })
}

/// Where control goes after a VMX instruction that succeeded, which clears CF and ZF.
///
/// As with [`after_carry`] the flags cannot be written, so the `jna` that the kernel puts there is not taken on TCG's
/// behalf. None for any other instruction.
pub(crate) fn after_success(code: &[u8], address: u64) -> Option<u64> {
    let jump = decode(code, address)?;
    matches!(jump.code(), Code::Jbe_rel8_64 | Code::Jbe_rel32_64).then(|| jump.next_ip())
}

/// Offset from RDI of the 32-bit field into which a function's code ORs ESI, if it does so first of all.
pub(crate) fn field_that_is_ored(code: &[u8]) -> Option<usize> {
    let or = Decoder::new(64, code, DecoderOptions::NONE).into_iter().find(|i| i.code() != Code::Endbr64)?;
    let is_it = or.code() == Code::Or_rm32_r32 && or.op1_register() == Register::ESI;
    let plain = or.memory_base() == Register::RDI && or.memory_index() == Register::None && !or.has_segment_prefix();
    (is_it && plain).then(|| usize::try_from(or.memory_displacement64()).ok()).flatten()
}

/// A MOVDIR64B: its length in bytes, and the linear addresses of source and destination. `read` as for [`accesses`].
pub(crate) fn movdir64b(code: &[u8], address: u64, read: impl Fn(u8) -> u64) -> Option<(u64, u64, u64)> {
    let instruction = decode(code, address).filter(|i| i.code() == Code::Movdir64b_r64_m512)?;
    let linear = |register: Register| if register.is_gpr64() { Some(read(register.number() as u8)) } else { Some(0) };
    let source = instruction.virtual_address(1, 0, |register, _, _| linear(register))?;
    Some((instruction.len() as u64, source, read(instruction.op0_register().number() as u8)))
}

/// A memory operand, and what the instruction does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Effective address.
    pub(crate) address: u64,
    /// The instruction reads it.
    pub(crate) loads: bool,
    /// The instruction writes it.
    pub(crate) stores: bool,
}

/// What a locked instruction stored, from what TCG reports when vCPUs run in parallel (`accel/tcg/atomic_template.h` and
/// `target/i386/tcg/emit.c.inc` of QEMU 11.1): of XADD the value before and the addend, of other arithmetic the value after and the
/// operand, of the rest the value that is stored.
pub(crate) fn stored(code: &[u8], address: u64, loaded: Option<u64>, reported: u64) -> u64 {
    let locked = decode(code, address).filter(Instruction::has_lock_prefix);
    let (Some(instruction), Some(loaded)) = (locked, loaded) else { return reported };
    match instruction.mnemonic() {
        Mnemonic::Xadd => loaded.wrapping_add(reported),
        Mnemonic::Xchg | Mnemonic::Cmpxchg => reported,
        _ => loaded,
    }
}

/// The explicit memory operands of the instruction at the start of `code`, before it executes. `read` yields the value of
/// a 64-bit general register by its number in an encoding.
pub(crate) fn accesses(code: &[u8], address: u64, read: impl Fn(u8) -> u64) -> Vec<Access> {
    let Some(instruction) = decode(code, address) else { return Vec::new() };
    let mut factory = InstructionInfoFactory::new();
    let memory = factory.info(&instruction).used_memory();
    memory.iter().filter_map(|m| access(m, &read)).collect()
}

fn access(memory: &UsedMemory, read: impl Fn(u8) -> u64) -> Option<Access> {
    let address = memory.virtual_address(0, |register, _, _| {
        if register.is_gpr64() {
            Some(read(register.number() as u8))
        } else if matches!(register, Register::FS | Register::GS) {
            None // a per-CPU word: not watched
        } else {
            Some(0) // flat segments
        }
    })?;
    let (loads, stores) = match memory.access() {
        OpAccess::Read | OpAccess::CondRead => (true, false),
        OpAccess::Write | OpAccess::CondWrite => (false, true),
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => (true, true),
        OpAccess::None | OpAccess::NoMemAccess => return None,
    };
    Some(Access { address, loads, stores })
}

/// Does this instruction leave a function that spans `range`: a return, or a jump out of it?
pub(crate) fn leaves(code: &[u8], address: u64, range: (u64, u64)) -> bool {
    let Some(instruction) = decode(code, address) else { return false };
    match instruction.flow_control() {
        FlowControl::Return => true,
        FlowControl::UnconditionalBranch => !(range.0..range.1).contains(&instruction.near_branch_target()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_told_by_the_code_that_ors_into_it() {
        let endbr_or_32 = [0xf3, 0x0f, 0x1e, 0xfa, 0x09, 0xb7, 0xb8, 0x02, 0x00, 0x00, 0x31, 0xf6];
        assert_eq!(field_that_is_ored(&endbr_or_32), Some(0x2b8));
        assert_eq!(field_that_is_ored(&[0x09, 0x77, 0x10, 0xc3]), Some(0x10));
        let others: [&[u8]; 5] = [
            &[0x09, 0x7e, 0x10, 0xc3],       // or [rsi+0x10], edi
            &[0x48, 0x09, 0x77, 0x10, 0xc3], // or [rdi+0x10], rsi
            &[0x21, 0x77, 0x10, 0xc3],       // and [rdi+0x10], esi
            &[0x09, 0x74, 0x07, 0x10, 0xc3], // or [rdi+rax+0x10], esi
            &[0xc3],
        ];
        for code in others {
            assert_eq!(field_that_is_ored(code), None, "{code:02x?}");
        }
    }

    #[test]
    fn a_locked_instruction_stores_what_it_computes() {
        let lock_xadd = [0xf0, 0x0f, 0xc1, 0x07];
        assert_eq!(stored(&lock_xadd, 0x1000, Some(3), 1), 4);
        let lock_inc = [0xf0, 0xff, 0x07];
        assert_eq!(stored(&lock_inc, 0x1000, Some(4), 1), 4);
        let lock_cmpxchg = [0xf0, 0x0f, 0xb1, 0x0f];
        assert_eq!(stored(&lock_cmpxchg, 0x1000, Some(3), 9), 9);
        let plain_store = [0x89, 0x07];
        assert_eq!(stored(&plain_store, 0x1000, Some(3), 7), 7);
    }

    #[test]
    fn intercepts_are_told_by_their_bytes() {
        let table: &[(&[u8], Option<Intercept>)] = &[
            (&[0x66, 0x0f, 0x01, 0xcf], Some(Intercept::Seamcall)),
            (&[0x66, 0x0f, 0x01, 0xcc], Some(Intercept::Tdcall)),
            (&[0x66, 0x0f, 0x01, 0xcd], Some(Intercept::Seamret)),
            (&[0x66, 0x0f, 0x01, 0xce], Some(Intercept::Unhandled)),
            (&[0x0f, 0x01, 0xc4], Some(Intercept::Vmxoff)),
            // vmxon 0x8(%rsp), with and without the displacement that TCG does not see.
            (&[0xf3, 0x0f, 0xc7, 0x74, 0x24, 0x08], Some(Intercept::Vmxon)),
            (&[0xf3, 0x0f, 0xc7, 0x74, 0x24], Some(Intercept::Vmxon)),
            // vmread %rax,%rdx; vmwrite %r8,%rdx; vmxon (%r8); vmclear (%r9); vmptrld (%r8).
            (&[0x0f, 0x78, 0xc2], Some(Intercept::Unhandled)),
            (&[0x41, 0x0f, 0x79, 0xd0], Some(Intercept::Unhandled)),
            (&[0xf3, 0x41, 0x0f, 0xc7, 0x30], Some(Intercept::Vmxon)),
            (&[0x66, 0x41, 0x0f, 0xc7, 0x31], Some(Intercept::Unhandled)),
            (&[0x41, 0x0f, 0xc7, 0x30], Some(Intercept::Unhandled)),
            // rdrand %rax, and %eax, is no memory form; vmclear and vmptrld are not handled.
            (&[0x48, 0x0f, 0xc7, 0xf0], None),
            (&[0x0f, 0xc7, 0xf0], None),
            (&[0x66, 0x0f, 0xc7, 0x34, 0x24], Some(Intercept::Unhandled)),
            (&[0x0f, 0xc7, 0x34, 0x24], Some(Intercept::Unhandled)),
            // cmpxchg16b is not VMX.
            (&[0x48, 0x0f, 0xc7, 0x0f], None),
            (&[0x0f, 0xc7, 0x0f], None),
            // invept (%rsp),%rax; invvpid (%rsp),%r8; movdir64b (%rdx),%rax.
            (&[0x66, 0x0f, 0x38, 0x80, 0x04, 0x24], Some(Intercept::Invalidate)),
            (&[0x66, 0x44, 0x0f, 0x38, 0x81, 0x04, 0x24], Some(Intercept::Invalidate)),
            (&[0x66, 0x0f, 0x38, 0xf8, 0x02], Some(Intercept::Movdir64b)),
            (&[0x66, 0x0f, 0x38, 0x82, 0x02], None), // invpcid is TCG's
            (&[0x0f, 0x32], Some(Intercept::Rdmsr)),
            (&[0x0f, 0x30], Some(Intercept::Wrmsr)),
            (&[0xf3, 0x90], Some(Intercept::Pause)),
            (&[0xf4], Some(Intercept::Halt)),
            (&[0x90], None),
            (&EXCHANGE, Some(Intercept::Exchange)),
            (&[0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0], None), // any other long nop
            (&[0x0f, 0x20, 0xe0], Some(Intercept::ReadCr4(0))),
            (&[0x0f, 0x22, 0xe7], Some(Intercept::WriteCr4(7))),
            (&[0x41, 0x0f, 0x22, 0xe1], Some(Intercept::WriteCr4(9))),
            (&[0x0f, 0x22, 0xd8], None), // mov %rax,%cr3
            (&[0x0f, 0x01, 0xc1], None), // vmcall
            (&[], None),
        ];
        for (bytes, expected) in table {
            assert_eq!(classify(bytes), *expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn the_jump_behind_a_seamcall_is_taken_by_carry() {
        // jc +0x10, short and near; jnc +0x10.
        assert_eq!(after_carry(&[0x72, 0x10], 0x1000, true), Some(0x1012));
        assert_eq!(after_carry(&[0x72, 0x10], 0x1000, false), Some(0x1002));
        assert_eq!(after_carry(&[0x0f, 0x82, 0x10, 0, 0, 0], 0x1000, true), Some(0x1016));
        assert_eq!(after_carry(&[0x0f, 0x82, 0x10, 0, 0, 0], 0x1000, false), Some(0x1006));
        assert_eq!(after_carry(&[0x73, 0x10], 0x1000, true), Some(0x1002));
        assert_eq!(after_carry(&[0x73, 0x10], 0x1000, false), Some(0x1012));
    }

    #[test]
    fn the_jump_behind_a_vmx_instruction_is_not_taken() {
        // jna with the hint that it is not taken, near and short.
        assert_eq!(after_success(&[0x2e, 0x0f, 0x86, 0x10, 0, 0, 0], 0x1000), Some(0x1007));
        assert_eq!(after_success(&[0x76, 0x10], 0x1000), Some(0x1002));
        for code in [&[0x72, 0x10][..], &[0x0f, 0x97, 0xc0], &[]] {
            assert_eq!(after_success(code, 0x1000), None, "{code:02x?}");
        }
    }

    #[test]
    fn a_direct_store_has_a_source_and_a_destination() {
        let registers = |number: u8| 0x1_0000 * u64::from(number + 1);
        // movdir64b (%rdx),%rax; movdir64b 0x8(%rcx,%rbx,2),%r9.
        assert_eq!(movdir64b(&[0x66, 0x0f, 0x38, 0xf8, 0x02], 0, registers), Some((5, 0x3_0000, 0x1_0000)));
        let indexed = [0x66, 0x44, 0x0f, 0x38, 0xf8, 0x4c, 0x59, 0x08];
        assert_eq!(movdir64b(&indexed, 0, registers), Some((8, 0xa_0008, 0xa_0000)));
        assert_eq!(movdir64b(&[0x90], 0, registers), None);
    }

    #[test]
    fn cannot_guess_what_else_follows_a_seamcall() {
        // jz, setc, ret, a truncated jc, nothing.
        for code in [&[0x74, 0x10][..], &[0x0f, 0x92, 0xc0], &[0xc3], &[0x0f, 0x82, 0x10], &[]] {
            assert_eq!(after_carry(code, 0x1000, true), None, "{code:02x?}");
        }
    }

    #[test]
    fn the_length_includes_a_displacement() {
        assert_eq!(length(&[0xf3, 0x0f, 0xc7, 0x74, 0x24, 0x08, 0x90], 0), Some(6));
        assert_eq!(length(&[0xf3, 0x0f, 0xc7, 0x34, 0x24], 0), Some(5));
        assert_eq!(length(&[0xf3, 0x0f], 0), None);
    }

    #[test]
    fn can_see_what_an_instruction_will_touch() {
        // addl $1, 0x10(%rip); mov 0x8(%rbx), %eax; mov %eax, (%r8); mov %eax, %ebx; mov %gs:0, %rax
        let read = |number| 0x100 * u64::from(number);
        let at = |code: &[u8]| accesses(code, 0x1000, read);
        assert_eq!(at(&[0x83, 0x05, 0x10, 0, 0, 0, 0x01]), [Access { address: 0x1017, loads: true, stores: true }]);
        assert_eq!(at(&[0x8b, 0x43, 0x08]), [Access { address: 0x308, loads: true, stores: false }]);
        assert_eq!(at(&[0x41, 0x89, 0x00]), [Access { address: 0x800, loads: false, stores: true }]);
        assert_eq!(at(&[0x89, 0xc3]), []);
        assert_eq!(at(&[0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0]), []);
    }

    #[test]
    fn returns_and_jumps_out_leave_a_function() {
        assert!(leaves(&[0xc3], 0x1000, (0x1000, 0x2000)));
        assert!(leaves(&[0xe9, 0x00, 0x10, 0, 0], 0x1000, (0x1000, 0x2000)));
        assert!(!leaves(&[0xeb, 0x10], 0x1000, (0x1000, 0x2000)));
        assert!(!leaves(&[0xe8, 0x00, 0x10, 0, 0], 0x1000, (0x1000, 0x2000)));
    }
}
