//! The CPUs at the section's entry.

use super::{boot, pending_loop, uploader};
use crate::contract::{Contracts, HEAP, SECTION};
use crate::error::Unprovable;
use crate::image::{Memory, Source};
use crate::isa::{flag, gpr};
use crate::local::{Facts, Interpreter, Machine, RETURN, STACK_SIZE, Vcpu, stack};
use crate::search::{Control, QueueNode, Record, Section};
use serde::{Deserialize, Serialize};

/// Where the CPUs begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// At the function that the uploader gives to `stop_machine`, with interrupts disabled.
    Section,
    /// At `multi_cpu_stop()`, which disables them and gathers the CPUs.
    StopMachine,
}

/// What stands for the kernel's spin locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Locking {
    /// Their own code.
    #[default]
    Real,
    /// Their contract: the locked instruction of `_raw_spin_lock` waits until the lock is free.
    Contract,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// CPUs, 1 to 8.
    pub cpus: usize,
    /// Where they begin.
    pub entry: Entry,
    /// Whether CPUs have store buffers.
    pub store_buffers: bool,
    /// What stands for spin locks.
    pub lock: Locking,
    /// Whether what is dead stays a part of the state.
    pub keeps_dead: bool,
    /// Whether the lock's loop keeps its count.
    pub keeps_pending_loop: bool,
}

/// Ready to be explored.
#[derive(Debug)]
pub struct Prepared<S> {
    /// Code and memory.
    pub interpreter: Interpreter<S>,
    /// CPUs and addresses.
    pub section: Section,
    /// What was taken for given, in words.
    pub assumptions: Vec<String>,
    /// SHA-256 of initial memory and of where the CPUs begin.
    pub digest: String,
    /// What was changed in the code, with the argument why that is sound.
    pub changes: Vec<&'static str>,
}

const HEAP_SIZE: u64 = 0x10_0000;
const STOP_DATA: u64 = HEAP + 0x2_0000;

/// Brings a kernel to the section's entry.
pub fn prepare<S: Source>(source: S, setting: Setting) -> Result<Prepared<S>, Unprovable> {
    let mut memory = Memory::new(source);
    if memory.source().is_running() {
        return Err(Unprovable::Uploader("a stopped machine as the initial state is not supported yet".into()));
    }
    memory.zero(HEAP..HEAP + HEAP_SIZE);
    for cpu in 0..setting.cpus as u8 {
        memory.zero(stack(cpu));
    }
    let boot::Boot { gs_bases, mut assumptions } = boot::fill(&mut memory, setting.cpus)?;
    let shortens = !setting.keeps_pending_loop && setting.lock == Locking::Real;
    let changes = if shortens && pending_loop::shorten(&mut memory) { vec![pending_loop::ARGUMENT] } else { vec![] };
    let (mut memory, started) = uploader::run(memory, gs_bases[0], setting.cpus)?;
    for (address, value) in &started.words {
        memory.set(*address, *value);
    }
    let control = control(&memory)?;
    let starts = starts(&mut memory, &started, setting)?;
    if setting.entry == Entry::Section {
        assumptions.push("each CPU begins with interrupts disabled, as multi_cpu_stop() leaves them".into());
    } else {
        assumptions.push("struct multi_stop_data has the layout of Linux 7.3, and its state is that in which stop_machine wakes the CPUs".into());
    }
    let symbols = memory.source().symbols();
    let there = |address: u64| gs_bases.iter().map(move |base| address.wrapping_add(*base));
    let record = Record {
        lps: there(symbols.address("tdx_lp_initialized")?).collect(),
        initialized: symbols.address("tdx_module_state")?,
        version: symbols.address("tdx_sysinfo")?,
    };
    let nodes = symbols.find("qnodes").into_iter().flat_map(there).map(|start| QueueNode { start }).collect();
    let section = Section {
        starts,
        control: Some(control),
        record: Some(record),
        nodes,
        uploader_results: started.uploader_results,
    };
    let contracts = Contracts::new(SECTION, |name| symbols.find(name));
    let digest = memory.digest();
    let acquires = match setting.lock {
        Locking::Real => 0..0,
        Locking::Contract => {
            let (start, size) = symbols.extent("_raw_spin_lock")?;
            start..start + size
        }
    };
    let mut interpreter = Interpreter::new(memory, contracts, gs_bases, Facts::new(setting.keeps_dead));
    interpreter.setting = Machine { store_buffers: setting.store_buffers, acquires };
    Ok(Prepared { interpreter, section, assumptions, digest, changes })
}

/// `struct update_ctrl` of Linux's `seamldr.c`: `state`, `num_ack`, `num_failed`, `lock`. What the uploader made of it must fit.
fn control<S: Source>(memory: &Memory<S>) -> Result<Control, Unprovable> {
    let (state, size) = memory.source().symbols().extent("update_ctrl")?;
    let begins = (0..4).map(|field| memory.value(state + field * 4, 4)).eq([Some(1), Some(0), Some(0), Some(0)]);
    if size != 16 || !begins {
        return Err(Unprovable::Uploader(
            "update_ctrl is not (1, 0, 0, unlocked) in 16 bytes when the section begins".into(),
        ));
    }
    Ok(Control { state, acknowledged: state + 4 })
}

fn starts<S: Source>(
    memory: &mut Memory<S>,
    started: &uploader::Started,
    setting: Setting,
) -> Result<Vec<Option<Vcpu>>, Unprovable> {
    let (mut rip, mut argument, mut flags) = (started.function, started.argument, 0);
    if setting.entry == Entry::StopMachine {
        fill_stop_data(memory, started, setting.cpus as u64)?;
        rip = memory.source().symbols().address("multi_cpu_stop")?;
        (argument, flags) = (STOP_DATA, flag::IF);
    }
    let mut starts = Vec::new();
    for cpu in 0..setting.cpus as u8 {
        let top = stack(cpu).start + STACK_SIZE - 0x108;
        memory.fill(top, 8, RETURN)?;
        let mut vcpu = Vcpu::new(cpu, rip);
        vcpu.registers.flags = flags;
        vcpu.registers.gpr[gpr::RSP] = top;
        vcpu.registers.gpr[gpr::RDI] = argument;
        let takes_part = setting.entry == Entry::StopMachine || started.participants >> cpu & 1 == 1;
        starts.push(takes_part.then_some(vcpu));
    }
    Ok(starts)
}

/// `struct multi_stop_data` of Linux's `stop_machine.c` when the stopper threads are woken: `fn`, `data`, `num_threads`,
/// `active_cpus`, `state` (`MULTI_STOP_PREPARE`), `thread_ack`.
fn fill_stop_data<S: Source>(memory: &mut Memory<S>, started: &uploader::Started, cpus: u64) -> Result<(), Unprovable> {
    let mask = STOP_DATA + 0x100;
    let fields =
        [(0, 8, started.function), (8, 8, started.argument), (16, 4, cpus), (24, 8, mask), (32, 4, 1), (36, 4, cpus)];
    for (offset, size, value) in fields {
        memory.fill(STOP_DATA + offset, size, value)?;
    }
    memory.fill(mask, 8, started.participants)
}
