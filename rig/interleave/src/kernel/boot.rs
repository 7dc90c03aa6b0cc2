//! What a boot leaves behind, as far as the section can tell: filled into the memory of an ELF file.
//!
//! A machine that runs has all of this by itself. Each value here is an assumption, which the report lists.

use crate::error::Unprovable;
use crate::image::{Memory, Source};
use crate::local::{AREA_STRIDE, area};

/// Disabled once, by the stopper thread, and no need to reschedule (the top bit, which is inverted).
const PREEMPTION_OFF: u64 = 1;

/// What was filled in.
pub(super) struct Boot {
    pub(super) gs_bases: Vec<u64>,
    pub(super) assumptions: Vec<String>,
}

/// Fills in the state of a kernel that has booted on `cpus` CPUs and initialised TDX.
pub(super) fn fill<S: Source>(memory: &mut Memory<S>, cpus: usize) -> Result<Boot, Unprovable> {
    let mut gs_bases = Vec::new();
    for cpu in 0..cpus as u64 {
        gs_bases.push(fill_area(memory, cpu)?);
    }
    let all = (1 << cpus) - 1;
    for (name, value) in
        [("nr_cpu_ids", cpus as u64), ("__num_online_cpus", cpus as u64), ("__num_possible_cpus", cpus as u64)]
    {
        // Older kernels count the possible CPUs when they need to.
        if let Some(address) = memory.source().symbols().find(name) {
            memory.fill(address, 4, value)?;
        }
    }
    for name in ["__cpu_online_mask", "__cpu_possible_mask"] {
        let address = memory.source().symbols().address(name)?;
        memory.fill(address, 8, all)?;
    }
    let (module, size) = memory.source().symbols().extent("tdx_module_state")?;
    if size != 8 {
        return Err(Unprovable::Symbol("tdx_module_state of 8 bytes".into()));
    }
    // initialized, sysinit_done, sysinit_ret of Linux's tdx.c.
    memory.fill(module, 8, 0x0101)?;
    let assumptions = vec![
        "code is that of the ELF file: alternatives are not applied, and static branches go the way of a machine that has just begun to boot, which is that of bare metal for spin locks".into(),
        "boot_cpu_data and all variables that are not named here have the ELF file's values: the CPU has no feature and no bug".into(),
        format!("CPUs 0 to {} are online and possible, each with its own copy of the per-CPU section; preemption is disabled once", cpus - 1),
        "TDX is initialised on every CPU: tdx_module_state and tdx_lp_initialized say so".into(),
    ];
    Ok(Boot { gs_bases, assumptions })
}

/// One CPU's own area; returns its GS base, which is what is added to an address of the per-CPU section.
fn fill_area<S: Source>(memory: &mut Memory<S>, cpu: u64) -> Result<u64, Unprovable> {
    let symbols = memory.source().symbols();
    let (start, end) = (symbols.address("__per_cpu_start")?, symbols.address("__per_cpu_end")?);
    let number = symbols.address("cpu_number")?;
    let own_offset = symbols.address("this_cpu_off")?;
    let (preemption, size) = symbols.extent("__preempt_count")?;
    let lp = symbols.address("tdx_lp_initialized")?;
    let offsets = symbols.address("__per_cpu_offset")?;
    let base = area(cpu as u8).start;
    if end.saturating_sub(start) >= AREA_STRIDE || start & 7 != 0 {
        return Err(Unprovable::Symbol("__per_cpu_start and __per_cpu_end of a usual per-CPU section".into()));
    }
    for word in (start..end + 8).step_by(8) {
        let value = memory.word(word).unwrap_or(0);
        memory.set(base + (word - start), value);
    }
    let gs_base = base.wrapping_sub(start);
    let there = |address: u64| address.wrapping_add(gs_base);
    memory.fill(there(number), 4, cpu)?;
    memory.fill(there(own_offset), 8, gs_base)?;
    let size = if size == 8 { 8 } else { 4 };
    memory.fill(there(preemption), size, PREEMPTION_OFF | 1 << (u32::from(size) * 8 - 1))?;
    memory.fill(there(lp), 1, 1)?;
    memory.fill(offsets + cpu * 8, 8, gs_base)?;
    Ok(gs_base)
}
