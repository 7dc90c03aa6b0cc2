//! The uploader's part: `seamldr_install_module()` itself, or that of the update module, alone on CPU 0, up to where it starts the section; and its tail, for
//! each value that the section can return.

use super::setting::Setting;
use crate::contract::{Contracts, HEAP};
use crate::error::Unprovable;
use crate::image::{Memory, Source};
use crate::isa::{flag, gpr};
use crate::local::{Facts, Input, Interpreter, Layout, Pending, RETURN, Ran, Stop, Vcpu, stack};
use std::collections::BTreeMap;

/// What the section's code can return (Linux's `seamcall_internal.h` and `seamldr.c`): 0, EIO, EACCES, ENODEV, EINVAL,
/// EOPNOTSUPP.
const RETURNS: [i32; 6] = [0, -5, -13, -19, -22, -95];

/// The uploaded image: three pages, of which the header is read.
const IMAGE: u64 = HEAP + 0x1_0000;
const IMAGE_PAGES: u64 = 3;

/// How the section is started.
pub(super) struct Started {
    pub(super) function: u64,
    pub(super) argument: u64,
    /// CPUs that run the function, as bits.
    pub(super) participants: u64,
    /// What the uploader gets for each value that the section returns.
    pub(super) uploader_results: BTreeMap<u32, u32>,
    /// What it wrote.
    pub(super) words: Vec<(u64, u64)>,
}

/// Runs the uploader. Memory has the regions that it uses, and gets the image to upload.
pub(super) fn run<S: Source>(
    mut memory: Memory<S>,
    gs_base: u64,
    setting: Setting,
) -> Result<(Memory<S>, Started), Unprovable> {
    let subject = setting.subject;
    fill_image(&mut memory)?;
    let entry = memory.source().symbols().address(subject.uploader())?;
    let top = stack(0).end - 0x108;
    memory.fill(top, 8, RETURN)?;
    let contracts = Contracts::new(&subject.uploader_contracts(), |name| memory.source().symbols().find(name));
    let mut interpreter = Interpreter::new(memory, contracts, Layout::made(vec![gs_base]), Facts::new(true));
    let mut vcpu = Vcpu::new(0, entry);
    vcpu.registers.flags = flag::IF;
    vcpu.registers.gpr[gpr::RSP] = top;
    vcpu.registers.gpr[gpr::RDI] = IMAGE;
    [vcpu.registers.gpr[gpr::RSI], vcpu.registers.gpr[gpr::RDX]] = subject.uploader_arguments(IMAGE_PAGES * 4096);
    // The return address is a word of the CPU's own, as a call would have left it.
    vcpu.set_word(top, RETURN);
    let at_start = alone(&mut interpreter, vcpu, Input::Begin)?;
    if at_start.pending != Pending::Start {
        return Err(Unprovable::Uploader(format!("it does not start the section; it ends as {:?}", at_start.pending)));
    }
    let is_called = |function| interpreter.used().any(|contract| contract.function == function);
    if !subject.locks_hotplug_by().is_none_or(is_called) {
        return Err(Unprovable::Uploader("it does not lock out CPU hotplug, so the set of CPUs is not stable".into()));
    }
    let uploader_results =
        RETURNS.iter().map(|code| tail(&mut interpreter, &at_start.vcpu, *code)).collect::<Result<_, _>>()?;
    let registers = &at_start.vcpu.registers.gpr;
    let mask = registers[gpr::RDX];
    let online = (1 << setting.cpus) - 1;
    let participants = match mask {
        0 => 1,
        mask => interpreter.memory.word(mask & !7).unwrap_or(0) & online,
    };
    let (function, argument) = (registers[gpr::RDI], registers[gpr::RSI]);
    let own = stack(0);
    let words = at_start.vcpu.words.iter().copied().filter(|(address, _)| !own.contains(address)).collect();
    Ok((interpreter.memory, Started { function, argument, participants, uploader_results, words }))
}

fn fill_image<S: Source>(memory: &mut Memory<S>) -> Result<(), Unprovable> {
    // struct tdx_image_header: version, checksum, signature, pages of SIGSTRUCT and of the module.
    memory.fill(IMAGE, 2, 0x200)?;
    for (place, byte) in b"TDX-BLOB".iter().enumerate() {
        memory.fill(IMAGE + 4 + place as u64, 1, (*byte).into())?;
    }
    memory.fill(IMAGE + 12, 4, 1)?;
    memory.fill(IMAGE + 16, 4, 1)
}

/// What the uploader gets if `stop_machine_cpuslocked()` returns `code`.
fn tail<S: Source>(interpreter: &mut Interpreter<S>, at_start: &Vcpu, code: i32) -> Result<(u32, u32), Unprovable> {
    let mut vcpu = at_start.clone();
    let top = vcpu.registers.gpr[gpr::RSP];
    let back = vcpu.word(top).ok_or_else(|| Unprovable::Uploader("the section is started by a jump".into()))?;
    vcpu.registers.gpr[gpr::RAX] = code.cast_unsigned().into();
    vcpu.registers.gpr[gpr::RSP] = top + 8;
    vcpu.registers.rip = back;
    match alone(interpreter, vcpu, Input::Begin)?.pending {
        Pending::Done { returned } => Ok((code.cast_unsigned(), returned)),
        other => Err(Unprovable::Uploader(format!("after the section it comes to {other:?}"))),
    }
}

/// A run on which nothing is shared.
fn alone<S: Source>(interpreter: &mut Interpreter<S>, vcpu: Vcpu, input: Input) -> Result<Ran, Unprovable> {
    interpreter.run(vcpu, input).map_err(|stop| match stop {
        Stop::Unprovable(error) => error,
        other => Unprovable::Uploader(format!("{other:?}")),
    })
}
