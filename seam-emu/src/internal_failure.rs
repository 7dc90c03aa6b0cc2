//! Faults of the plan that a leaf's own work meets: which calls they can strike, and what they are to them.

use crate::abi::{Leaf, Status};
use crate::module::Module;
use crate::world::World;
use crate::{Config, Corruption, FaultAction, FaultPoint};

/// Whether the call comes to where entropy could lack or an interrupt could come.
pub(crate) fn is_exposed(world: &World, config: &Config, leaf: Leaf, lp: usize) -> bool {
    match leaf {
        Leaf::LdrInstall => world.loader.is_last_to_install(lp),
        Leaf::LdrCleanup => world.loader.has_to_clean(config, lp),
        Leaf::PhymemCacheWb => world.module.as_ref().is_some_and(Module::has_flushed_keys),
        _ => false,
    }
}

/// What the leaf's own work is to meet, if the fault is an internal failure.
pub(crate) fn met_by(leaf: Option<Leaf>, fault: Option<(FaultPoint, FaultAction)>) -> Option<(FaultPoint, Status)> {
    let (at, action) = fault?;
    Some((at, action.internal_failure(leaf?)?))
}

/// How the fault spoils a TD, if it does.
pub(crate) fn corruption(fault: Option<(FaultPoint, FaultAction)>) -> Option<Corruption> {
    match fault {
        Some((_, FaultAction::CorruptTd(corruption))) => Some(corruption),
        _ => None,
    }
}
