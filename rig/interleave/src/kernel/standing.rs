//! A machine that stands: each of its CPUs is about to enter the function in which the proof begins.

use super::begun::Begun;
use super::setting::{Setting, made_regions};
use super::uploader;
use crate::error::Unprovable;
use crate::image::{Memory, Source, StandingCpu};
use crate::isa::{flag, gpr};
use crate::local::{Layout, RETURN, STACK_SIZE, Vcpu};

/// RFLAGS.IF.
const RFLAGS_IF: u64 = 1 << 9;

/// Takes CPUs and memory from the machine.
pub(super) fn begin<S: Source>(mut memory: Memory<S>, setting: Setting) -> Result<Begun<S>, Unprovable> {
    let cpus = memory.source().cpus().to_vec();
    let function = setting.entry.function(setting.subject);
    check(&memory, &cpus, setting, function)?;
    let layout = layout(&memory, &cpus)?;
    for region in made_regions(setting.cpus) {
        let mut pages = region.clone().step_by(4096);
        if let Some(place) = pages.find(|page| memory.source().bytes(*page).is_some()) {
            return Err(not_understood(format!("its memory is at {place:#x}, where the proof puts its own")));
        }
        memory.zero(region);
    }
    let (mut memory, started) = uploader::run(memory, layout.gs_bases[0], setting)?;
    let mut starts = Vec::new();
    for (number, cpu) in cpus.iter().enumerate() {
        memory.fill(cpu.gpr[gpr::RSP], 8, RETURN)?;
        starts.push(Some(vcpu(number as u8, cpu)));
    }
    let assumptions = vec![
        format!(
            "registers, memory and code are those of a machine that was stopped when each of its CPUs was about to enter {function}(): alternatives, static branches and static calls are as they run there, and the processor's features are those of the emulated one"
        ),
        "the kernel lies at the addresses for which it was linked (nokaslr)".into(),
        format!("a CPU has left when {function}() returns: its return address was replaced"),
    ];
    Ok(Begun { memory, layout, starts, uploader_results: started.uploader_results, assumptions })
}

fn not_understood(what: String) -> Unprovable {
    Unprovable::Machine(what)
}

/// The machine is what the proof takes it for.
fn check<S: Source>(
    memory: &Memory<S>,
    cpus: &[StandingCpu],
    setting: Setting,
    function: &str,
) -> Result<(), Unprovable> {
    if cpus.len() != setting.cpus {
        return Err(not_understood(format!("it has {} CPUs", cpus.len())));
    }
    let symbols = memory.source().symbols();
    let (entry, number) = (symbols.address(function)?, symbols.address("cpu_number")?);
    for (cpu, standing) in cpus.iter().enumerate() {
        if standing.rip != entry {
            let at = symbols.name(standing.rip);
            return Err(not_understood(format!("CPU {cpu} is at {at} and not at {function}")));
        }
        if memory.value(number.wrapping_add(standing.gs_base), 4) != Some(cpu as u64) {
            return Err(not_understood(format!("the kernel calls CPU {cpu} otherwise")));
        }
    }
    Ok(())
}

/// Stacks are aligned to their size, and a CPU that enters a function has something on it.
fn layout<S: Source>(memory: &Memory<S>, cpus: &[StandingCpu]) -> Result<Layout, Unprovable> {
    let symbols = memory.source().symbols();
    let (start, end) = (symbols.address("__per_cpu_start")?, symbols.address("__per_cpu_end")?);
    let there = |cpu: &StandingCpu, address: u64| address.wrapping_add(cpu.gs_base);
    let stack = |cpu: &StandingCpu| {
        let bottom = cpu.gpr[gpr::RSP] & !(STACK_SIZE - 1);
        bottom..bottom + STACK_SIZE
    };
    Ok(Layout {
        gs_bases: cpus.iter().map(|cpu| cpu.gs_base).collect(),
        stacks: cpus.iter().map(stack).collect(),
        areas: cpus.iter().map(|cpu| there(cpu, start)..there(cpu, end)).collect(),
    })
}

fn vcpu(number: u8, cpu: &StandingCpu) -> Vcpu {
    let mut vcpu = Vcpu::new(number, cpu.rip);
    vcpu.registers.gpr = cpu.gpr;
    vcpu.registers.flags = if cpu.rflags & RFLAGS_IF == 0 { 0 } else { flag::IF };
    // No function looks at those of its caller.
    vcpu.registers.undefined = flag::ARITHMETIC;
    vcpu
}
