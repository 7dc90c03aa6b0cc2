//! What to watch in the kernel so that the in-tree update's state machine can be observed from outside.

use super::Symbols;
use rig_judge::{Invariant, SubjectNames};
use rig_wire::plan::{Function, Watch};
use std::collections::BTreeMap;

/// `struct update_ctrl` of `arch/x86/virt/vmx/tdx/seamldr.c` (Linux 7.3): the state, and two counters, 4 bytes each at
/// these offsets; a raw spinlock follows. The order is the same whatever debugging makes of the lock.
const FIELDS: [(&str, u64); 3] = [("update_ctrl.state", 0), ("update_ctrl.num_ack", 4), ("update_ctrl.num_failed", 8)];
/// The fields and the smallest raw spinlock.
const MIN_SIZE: u64 = 16;
/// The fields and a raw spinlock with every debugging aid, generously.
const MAX_SIZE: u64 = 512;

/// The count of online CPUs (an `atomic_t`), against which the update's code compares acknowledgements.
pub(super) const ONLINE_COUNT: &str = "__num_online_cpus";

/// Functions that touch `update_ctrl`; compilers inline all but the first two.
const TOUCH: [&str; 5] =
    ["do_seamldr_install_module", "seamldr_install_module", "ack_state", "init_state", "__set_target_state"];
/// Functions whose entries and exits show who is in the lockstep region, and which CPUs there are.
pub(super) const REGION: [&str; 3] = ["do_seamldr_install_module", "multi_cpu_stop", "set_cpu_online"];

/// What the emulator is to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Words of `update_ctrl`.
    pub watches: Vec<Watch>,
    /// The lockstep region's functions.
    pub functions: Vec<Function>,
    /// Where a CPU's `preempt_count` lies relative to its GS base.
    pub preempt_count_offset: Option<u64>,
    /// What the judge is told that these are called.
    pub names: SubjectNames,
    /// Invariants of which this shows only a part, and which part.
    pub unobservable: BTreeMap<Invariant, String>,
}

/// Why a kernel's update cannot be observed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// No update code, or no symbols of it.
    #[error("the kernel has no `{0}`, and no `__seamcall`: it was built without CONFIG_INTEL_TDX_HOST")]
    Missing(&'static str),
    /// The structure is not what is known.
    #[error("`update_ctrl` of this kernel is {0} bytes, not {MIN_SIZE} to {MAX_SIZE}: its layout is not the known one")]
    Layout(u64),
    /// What a profile names is not in the kernel.
    #[error("the kernel has no `{0}`, which the shape names")]
    NotOfShape(String),
    /// A kernel that the update module can run on has it.
    #[error("the kernel's symbols have no `{0}`")]
    Kernel(&'static str),
    /// The module is not the one that this rig knows.
    #[error("the update module has no symbol `{0}`")]
    Module(&'static str),
}

/// Finds what there is to watch of the in-tree update.
pub fn observe_update(symbols: &Symbols) -> Result<Observation, SubjectError> {
    let (base, end) = *symbols.ranges("update_ctrl").first().ok_or(SubjectError::Missing("update_ctrl"))?;
    if !(MIN_SIZE..=MAX_SIZE).contains(&(end - base)) {
        return Err(SubjectError::Layout(end - base));
    }
    let within: Vec<(u64, u64)> = TOUCH.iter().flat_map(|name| symbols.ranges(name)).collect();
    let watch =
        |(name, address): (&str, u64)| Watch { name: name.to_owned(), address, size: 4, within: within.clone() };
    let fields = FIELDS.into_iter().map(|(name, offset)| (name, base + offset));
    let online = symbols.address(ONLINE_COUNT).map(|address| (ONLINE_COUNT, address));
    let function = |name: &'static str| symbols.function(name).ok_or(SubjectError::Missing(name));
    Ok(Observation {
        watches: fields.chain(online).map(watch).collect(),
        functions: REGION.into_iter().map(function).collect::<Result<_, _>>()?,
        preempt_count_offset: preempt_count(symbols),
        names: SubjectNames::in_tree(),
        unobservable: BTreeMap::new(),
    })
}

/// Offset of the per-CPU preemption count. Linux 6.2 to 6.14 keep it in `struct pcpu_hot`, behind the current task
/// (`arch/x86/include/asm/current.h`).
pub(super) fn preempt_count(symbols: &Symbols) -> Option<u64> {
    symbols.address("__preempt_count").or_else(|| Some(symbols.address("pcpu_hot")? + 8))
}

#[cfg(test)]
mod tests {
    use super::super::tests::MAP;
    use super::*;

    #[test]
    fn the_in_tree_update_is_found() {
        let observation = observe_update(&Symbols::from_system_map(MAP)).unwrap();
        assert_eq!(observation.watches.len(), 4);
        assert_eq!(observation.watches[1].name, "update_ctrl.num_ack");
        assert_eq!(observation.watches[1].address, 0xffff_ffff_817c_7d64);
        assert_eq!(observation.watches[0].within.len(), 2);
        assert_eq!(observation.functions[1].name, "multi_cpu_stop");
        assert_eq!(observation.preempt_count_offset, Some(0xffff_ffff_817a_9020));
    }

    #[test]
    fn a_kernel_without_tdx_is_named() {
        let without: String = MAP
            .lines()
            .filter(|l| !l.contains("seamldr") && !l.contains("update_ctrl"))
            .fold(String::new(), |text, line| text + line + "\n");
        let error = observe_update(&Symbols::from_system_map(&without)).unwrap_err();
        assert_eq!(error, SubjectError::Missing("update_ctrl"));
    }

    #[test]
    fn another_layout_is_refused() {
        let map = MAP.replace("ffffffff817c7d70 b seamldr_lock", "ffffffff817c7d68 b seamldr_lock");
        assert_eq!(observe_update(&Symbols::from_system_map(&map)).unwrap_err(), SubjectError::Layout(8));
    }
}
