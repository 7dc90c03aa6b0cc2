//! One instruction.

use super::bus::{Bus, Next};
use super::instruction::Execution;
use super::registers::Registers;
use iced_x86::{Instruction, Mnemonic};

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
