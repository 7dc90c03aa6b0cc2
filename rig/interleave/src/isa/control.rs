//! Where execution goes: branches, calls, conditions.

use super::bus::{Bus, Next};
use super::instruction::Execution;
use super::registers::flag::{CF, OF, PF, SF, ZF};
use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind, RflagsBits};

const FLAGS: [(u32, u8); 6] = [
    (RflagsBits::CF, CF),
    (RflagsBits::PF, PF),
    (RflagsBits::AF, super::registers::flag::AF),
    (RflagsBits::ZF, ZF),
    (RflagsBits::SF, SF),
    (RflagsBits::OF, OF),
];

fn ours(flags: u32) -> u8 {
    FLAGS.iter().filter(|(theirs, _)| flags & theirs != 0).map(|(_, ours)| ours).sum()
}

/// Flags that `instruction` leaves undefined. A shift by CL leaves flags alone if CL is zero, which is no reason to depend on
/// them.
pub(super) fn undefined_by(instruction: &Instruction) -> u8 {
    ours(instruction.rflags_undefined())
}

impl<B: Bus> Execution<'_, B> {
    /// Whether it depends on a flag whose value the instruction set does not define. PUSHF stores such flags as they are.
    pub(super) fn needs_undefined_flag(&self) -> bool {
        let reads = ours(self.instruction.rflags_read());
        self.instruction.mnemonic() != Mnemonic::Pushfq && reads & self.registers.undefined != 0
    }

    /// Jumps, calls and returns; none if the instruction is something else.
    pub(super) fn control(&mut self) -> Result<Option<Next>, B::Stop> {
        let i = self.instruction;
        let near = i.op_count() > 0 && i.op0_kind() == OpKind::NearBranch64;
        let next = match i.mnemonic() {
            Mnemonic::Jmp if near => i.near_branch64(),
            Mnemonic::Jmp if i.is_jmp_near_indirect() && self.size() == 8 => self.get(0)?,
            // A far call has another memory operand, and a near one of 16 bits another size.
            Mnemonic::Call if near || i.is_call_near_indirect() && self.size() == 8 => {
                let target = if near { i.near_branch64() } else { self.get(0)? };
                self.push(i.next_ip())?;
                target
            }
            Mnemonic::Ret if i.op_count() == 0 && self.moves_stack_by(8) => self.pop()?,
            _ if i.is_jcc_short_or_near() && near => {
                if self.holds() {
                    i.near_branch64()
                } else {
                    i.next_ip()
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(Next::At(next)))
    }

    /// Whether the instruction's condition holds.
    pub(super) fn holds(&self) -> bool {
        let is = |flag: u8| self.registers.flags & flag != 0;
        match self.instruction.condition_code() {
            ConditionCode::None => unreachable!("only conditional instructions ask"),
            ConditionCode::o => is(OF),
            ConditionCode::no => !is(OF),
            ConditionCode::b => is(CF),
            ConditionCode::ae => !is(CF),
            ConditionCode::e => is(ZF),
            ConditionCode::ne => !is(ZF),
            ConditionCode::be => is(CF) || is(ZF),
            ConditionCode::a => !is(CF) && !is(ZF),
            ConditionCode::s => is(SF),
            ConditionCode::ns => !is(SF),
            ConditionCode::p => is(PF),
            ConditionCode::np => !is(PF),
            ConditionCode::l => is(SF) != is(OF),
            ConditionCode::ge => is(SF) == is(OF),
            ConditionCode::le => is(ZF) || is(SF) != is(OF),
            ConditionCode::g => !is(ZF) && is(SF) == is(OF),
        }
    }
}
