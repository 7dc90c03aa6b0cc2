//! The module's life cycle, and which leaves run in which of its states.

use crate::abi::{Leaf, Status};
use serde::{Deserialize, Serialize};

/// State of the module (`sys_state`). Source: TDX module `tdx_global_data.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SysState {
    InitPending = 0,
    InitDone = 1,
    ConfigDone = 2,
    Ready = 3,
    Shutdown = 4,
}

/// Leaves that run although the module is not ready. Source: `tdx_vmm_dispatcher`; TDH.SYS.DISABLE is in no public
/// source and is assumed to be callable in any state but shutdown (unverified).
const BEFORE_READY: &[Leaf] = &[
    Leaf::SysInfo,
    Leaf::SysRd,
    Leaf::SysRdall,
    Leaf::SysInit,
    Leaf::SysLpInit,
    Leaf::SysConfig,
    Leaf::SysKeyConfig,
    Leaf::SysLpShutdown,
    Leaf::SysUpdate,
    Leaf::SysDisable,
];

/// The gate that the dispatcher puts before every leaf. `leaf` is none for a number that is no leaf.
pub(crate) fn gate(state: SysState, leaf: Option<Leaf>) -> Result<(), Status> {
    match state {
        SysState::Shutdown if leaf != Some(Leaf::SysLpShutdown) => Err(Status::SYS_SHUTDOWN),
        SysState::Ready | SysState::Shutdown => Ok(()),
        _ if leaf.is_some_and(|leaf| BEFORE_READY.contains(&leaf)) => Ok(()),
        _ => Err(Status::SYS_NOT_READY),
    }
}
