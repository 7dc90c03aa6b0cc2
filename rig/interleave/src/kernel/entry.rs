//! The CPUs at the section's entry.

use super::begun::Begun;
use super::setting::{Entry, Locking, Setting, made_regions};
use super::{Subject, boot, pending_loop, standing, uploader};
use crate::contract::{Contracts, HEAP};
use crate::error::Unprovable;
use crate::image::{Memory, Source};
use crate::isa::{flag, gpr};
use crate::local::{Facts, Interpreter, Layout, Machine, RETURN, STACK_SIZE, Vcpu, stack};
use crate::search::{Control, QueueNode, Record, Section};

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

const STOP_DATA: u64 = HEAP + 0x2_0000;

/// Brings a kernel to the section's entry.
pub fn prepare<S: Source>(source: S, setting: Setting) -> Result<Prepared<S>, Unprovable> {
    let mut memory = Memory::new(source);
    let shortens = !setting.keeps_pending_loop && setting.lock == Locking::Real;
    let changes = if shortens && pending_loop::shorten(&mut memory) { vec![pending_loop::ARGUMENT] } else { vec![] };
    let begun =
        if memory.source().cpus().is_empty() { boots(memory, setting) } else { standing::begin(memory, setting) };
    let Begun { memory, layout, starts, uploader_results, assumptions } = begun?;
    let control = control(&memory, setting.subject)?;
    let symbols = memory.source().symbols();
    let there = |address: u64| layout.gs_bases.iter().map(move |base| address.wrapping_add(*base));
    let record = if setting.subject.records() {
        Some(Record {
            lps: there(symbols.address("tdx_lp_initialized")?).collect(),
            initialized: symbols.address("tdx_module_state")?,
            version: symbols.address("tdx_sysinfo")?,
        })
    } else {
        None
    };
    let nodes = symbols.find("qnodes").into_iter().flat_map(there).map(|start| QueueNode { start }).collect();
    let section = Section { starts, control: Some(control), record, nodes, uploader_results };
    let contracts = Contracts::new(&setting.subject.section_contracts(), |name| symbols.find(name));
    let digest = memory.digest();
    let acquires = match setting.lock {
        Locking::Real => 0..0,
        Locking::Contract => {
            let (start, size) = symbols.extent("_raw_spin_lock")?;
            start..start + size
        }
    };
    let mut interpreter = Interpreter::new(memory, contracts, layout, Facts::new(setting.keeps_dead));
    interpreter.setting = Machine { store_buffers: setting.store_buffers, acquires };
    Ok(Prepared { interpreter, section, assumptions, digest, changes })
}

/// A kernel's file, filled in as a boot and the uploader would leave it.
fn boots<S: Source>(mut memory: Memory<S>, setting: Setting) -> Result<Begun<S>, Unprovable> {
    if setting.subject != Subject::InTree {
        return Err(Unprovable::Machine("the update module is known in a machine only, where it is loaded".into()));
    }
    for region in made_regions(setting.cpus) {
        memory.zero(region);
    }
    let boot::Boot { gs_bases, mut assumptions } = boot::fill(&mut memory, setting.cpus)?;
    let (mut memory, started) = uploader::run(memory, gs_bases[0], setting)?;
    for (address, value) in &started.words {
        memory.set(*address, *value);
    }
    let starts = starts(&mut memory, &started, setting)?;
    if setting.entry == Entry::Section {
        assumptions.push("each CPU begins with interrupts disabled, as multi_cpu_stop() leaves them".into());
    } else {
        assumptions.push("struct multi_stop_data has the layout of Linux 7.3, and its state is that in which stop_machine wakes the CPUs".into());
    }
    let uploader_results = started.uploader_results;
    Ok(Begun { memory, layout: Layout::made(gs_bases), starts, uploader_results, assumptions })
}

/// The state machine, which must be as the section expects it.
fn control<S: Source>(memory: &Memory<S>, subject: Subject) -> Result<Control, Unprovable> {
    let (name, least, begins) = subject.control();
    let (state, size) = memory.source().symbols().extent(name)?;
    let found = (0..4).map(|field| memory.value(state + field * 4, 4));
    if size < least || !found.eq(begins.map(Some)) {
        let error = format!("{name} does not begin with {begins:?}, of 4 bytes each, when the section begins");
        return Err(Unprovable::Uploader(error));
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
