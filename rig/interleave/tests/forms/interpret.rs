//! The interpreter on a case.

use super::case::{After, Case, DATA};
use super::planted::Planted;
use rig_interleave::isa::{Access, Bus, Next, execute};

/// The case's memory.
struct Window(Vec<u8>);

impl Window {
    fn bytes(&mut self, access: Access) -> Option<&mut [u8]> {
        let at = usize::try_from(access.address.checked_sub(DATA)?).ok()?;
        self.0.get_mut(at..at.checked_add(access.size.into())?)
    }
}

/// The instruction touched other memory.
struct Outside;

impl Bus for Window {
    type Stop = Outside;

    fn load(&mut self, access: Access) -> Result<u64, Outside> {
        let bytes = self.bytes(access).ok_or(Outside)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn store(&mut self, access: Access, value: u64) -> Result<(), Outside> {
        let bytes = self.bytes(access).ok_or(Outside)?;
        bytes.copy_from_slice(&value.to_le_bytes()[..bytes.len()]);
        Ok(())
    }
}

/// What the interpreter makes of a case; none if it does not know the instruction.
pub(super) fn interpret(case: &Case, planted: Option<Planted>) -> Option<After> {
    let instruction = planted.map_or(case.instruction, |planted| planted.taken_for(case.instruction));
    let mut registers = case.registers.clone();
    let mut memory = Window(case.memory.clone());
    let next = execute(&mut registers, &instruction, case.gs_base, &mut memory);
    match next {
        Ok(Next::At(rip)) => registers.rip = rip,
        Ok(Next::Seamcall | Next::Undefined | Next::Unknown) => return None,
        Err(Outside) => return Some(After { registers, memory: None }),
    }
    if let Some(planted) = planted {
        planted.spoil(case, &mut registers);
    }
    Some(After { registers, memory: Some(memory.0) })
}
