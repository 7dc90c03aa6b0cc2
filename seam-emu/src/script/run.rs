//! Executing a script.

use super::Machine;
use super::program::{Instruction, MAGIC, Op};
use crate::abi::Status;
use sha2::{Digest as _, Sha384};
use zerocopy::{FromZeros, IntoBytes};

/// TDVMCALL subfunctions. Source: Intel Guest-Host-Communication Interface (344426), Linux `shared/tdx.h`.
const HLT: u64 = 12;
const IO: u64 = 30;
const MAP_GPA: u64 = 0x1_0001;

/// An address that the TD cannot reach now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The access ends in an EPT violation. `rwx`: what the entries on the way allow, bits 2:0; `details`: the rest of
    /// the exit's extended qualification.
    Violation { rwx: u8, details: u64 },
    /// The module gives the TD a #VE instead.
    Ve,
}

/// The TD's private memory. Accesses do not cross pages.
pub(crate) trait Memory {
    fn read(&mut self, gpa: u64, buf: &mut [u8]) -> Result<(), Reach>;
    fn write(&mut self, gpa: u64, data: &[u8]) -> Result<(), Reach>;
    /// TDG.MEM.PAGE.ACCEPT of a guest-physical address with its level in bits 2:0: its status.
    fn accept(&mut self, page: u64) -> Result<Status, Reach>;
}

/// Why a vCPU leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The slice is used up.
    SliceEnd,
    /// It cannot go on without a page at this address; it will try again. `rwx` and `details` as in [`Reach`].
    Violation { gpa: u64, write: bool, rwx: u8, details: u64 },
    /// An exception came that it cannot handle: it has no handlers.
    TripleFault,
    /// TDG.VP.VMCALL with R10 to R15.
    Vmcall([u64; 6]),
}

/// An instruction's effect on the flow.
enum Flow {
    Next,
    To(u64),
    /// Leaves, the instruction done.
    Leave(Exit),
}

/// Runs until an exit or for `steps` instructions.
pub(crate) fn run(machine: &mut Machine, memory: &mut dyn Memory, steps: u32) -> Exit {
    for _ in 0..steps {
        match step(machine, memory) {
            Ok(Flow::Next) => machine.position = machine.position.wrapping_add(1),
            Ok(Flow::To(position)) => machine.position = position,
            Ok(Flow::Leave(exit)) => {
                machine.position = machine.position.wrapping_add(1);
                machine.executed += 1;
                return exit;
            }
            Err(violation) => return violation,
        }
        machine.executed += 1;
    }
    Exit::SliceEnd
}

/// One instruction. On error the machine is unchanged.
fn step(machine: &mut Machine, memory: &mut dyn Memory) -> Result<Flow, Exit> {
    let Some((op, r, value)) = fetch(machine, memory)? else {
        // The position stays, so the vCPU halts for good.
        machine.position = machine.position.wrapping_sub(1);
        return Ok(Flow::Leave(Exit::Vmcall([0, HLT, 0, 0, 0, 0])));
    };
    let violation = |write: bool, gpa: u64| move |reach: Reach| exit_for(reach, gpa, write);
    match op {
        Op::End => unreachable!("fetch() gives none for it"),
        Op::Set => machine.registers[r] = value,
        Op::Add => machine.registers[r] = machine.registers[r].wrapping_add(value),
        Op::Load => {
            let mut word = [0; 8];
            memory.read(value & !7, &mut word).map_err(violation(false, value))?;
            machine.registers[r] = u64::from_le_bytes(word);
        }
        Op::Store => {
            let word = machine.registers[r].to_le_bytes();
            memory.write(value & !7, &word).map_err(violation(true, value))?;
        }
        Op::Hash => {
            let mut page = [0; 4096];
            memory.read(value & !0xFFF, &mut page).map_err(violation(false, value))?;
            machine.chain = Sha384::new().chain_update(machine.chain).chain_update(page).finalize().into();
        }
        Op::Jump => return Ok(Flow::To(value)),
        Op::Loop => {
            machine.registers[r] = machine.registers[r].wrapping_sub(1);
            return Ok(if machine.registers[r] == 0 { Flow::Next } else { Flow::To(value) });
        }
        Op::Accept => {
            match memory.accept(value).map_err(violation(true, value))? {
                Status::SUCCESS => {}
                status if status.class() == Status::OPERAND_BUSY => return Ok(Flow::To(machine.position)),
                status if status.is_error() => machine.registers[r] = status.0,
                // It was accepted before.
                _ => {}
            }
        }
        Op::Index => machine.registers[r] = machine.index.into(),
        Op::StoreChain => {
            let chain = machine.chain;
            memory.write(value & !0x3F, &chain).map_err(violation(true, value))?;
        }
        Op::Halt => return Ok(vmcall(machine, None, [0, HLT, 0, 0, 0, 0])),
        Op::Out => {
            let byte = machine.registers[r] & 0xFF;
            return Ok(vmcall(machine, None, [0, IO, 1, 1, value & 0xFFFF, byte]));
        }
        Op::MapGpa => {
            let size = machine.registers[r];
            return Ok(vmcall(machine, Some(r as u8), [0, MAP_GPA, value, size, 0, 0]));
        }
        Op::Vmcall => {
            let [_, _, _, _, r12, r13, r14, r15] = machine.registers;
            return Ok(vmcall(machine, Some(r as u8), [0, value, r12, r13, r14, r15]));
        }
    }
    Ok(Flow::Next)
}

/// Why a vCPU leaves that cannot reach an address.
fn exit_for(reach: Reach, gpa: u64, write: bool) -> Exit {
    match reach {
        Reach::Violation { rwx, details } => Exit::Violation { gpa, write, rwx, details },
        Reach::Ve => Exit::TripleFault,
    }
}

/// A TDVMCALL whose status goes to a register.
fn vmcall(machine: &mut Machine, status_to: Option<u8>, operands: [u64; 6]) -> Flow {
    machine.status_to = status_to;
    Flow::Leave(Exit::Vmcall(operands))
}

/// The instruction at the position; none where the script ends or is none.
fn fetch(machine: &Machine, memory: &mut dyn Memory) -> Result<Option<(Op, usize, u64)>, Exit> {
    let mut read = |gpa: u64, buf: &mut [u8]| memory.read(gpa, buf).map_err(|reach| exit_for(reach, gpa, false));
    if machine.position == 0 {
        let mut magic = [0; 16];
        read(machine.base & !0xF, &mut magic)?;
        if magic != MAGIC {
            return Ok(None);
        }
    }
    let offset = machine.position.wrapping_add(1).wrapping_mul(size_of::<Instruction>() as u64);
    let mut instruction = Instruction::new_zeroed();
    read((machine.base & !0xF).wrapping_add(offset), instruction.as_mut_bytes())?;
    let op = Op::ALL.get(usize::from(instruction.op.get())).copied().filter(|op| *op != Op::End);
    Ok(op.map(|op| (op, usize::from(instruction.register.get() & 7), instruction.value.get())))
}
