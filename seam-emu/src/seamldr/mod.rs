//! P-SEAMLDR. Source: the public loader 1.5.02 (intel/tdx-loader, `p-seam-loader/src/pseamldr_dispatcher`), and what
//! the Linux review said of its predecessors.

mod cleanup;
mod info;
mod install;
mod layout;
mod manifest;
mod seaminfo;
mod shutdown;

use crate::abi::seamldr::SeamExtend;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::{Config, LoaderGeneration, Regs};
use serde::{Deserialize, Serialize};

pub(crate) use install::{Candidate, install, publish};
pub(crate) use layout::Layout;

/// P-SEAMLDR's data (`pseamldr_data_t`), as far as leaves depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loader {
    /// Which kind of session is under way; 1.5.02 only, older ones see only INSTALL and SHUTDOWN sessions.
    pub(crate) flow: Flow,
    /// LPs that called INSTALL in this session.
    pub(crate) install_lps: Vec<bool>,
    /// LPs that called SHUTDOWN.
    pub(crate) shutdown_lps: Vec<bool>,
    /// LPs that finished CLEANUP in this session.
    pub(crate) cleanup_lps: Vec<bool>,
    /// SEAMEXTEND as it was when the session began.
    pub(crate) snapshot: SeamExtend,
    /// Free entries of the SEAM database, as P-SEAMLDR counts them.
    pub(crate) remaining_updates: u32,
    /// An INSTALL reached its last LP once.
    pub(crate) init_done: bool,
    /// By package: TDX keys may be in use.
    pub(crate) keys_dirty: Vec<bool>,
    /// By package (the cache domain here): caches may hold TDX data.
    pub(crate) cache_dirty: Vec<bool>,
}

/// Kinds of sessions that span all LPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flow {
    Ready,
    Install,
    Shutdown,
    Cleanup,
}

impl Loader {
    /// P-SEAMLDR after it was loaded, before any module.
    pub(crate) fn new(config: &Config, remaining_updates: u32) -> Self {
        let lps = vec![false; config.lps.len()];
        let packages = vec![false; config.packages() as usize];
        Self {
            flow: Flow::Ready,
            install_lps: lps.clone(),
            shutdown_lps: lps.clone(),
            cleanup_lps: lps,
            snapshot: SeamExtend::ZERO,
            remaining_updates,
            init_done: false,
            keys_dirty: packages.clone(),
            cache_dirty: packages,
        }
    }

    /// Whether keys or caches hold what CLEANUP would wipe.
    pub(crate) fn is_dirty(&self) -> bool {
        self.keys_dirty.contains(&true) || self.cache_dirty.contains(&true)
    }
}

/// Runs a P-SEAMLDR leaf. RAX is a leaf number with bit 63 set; unknown numbers are bad parameters.
pub(crate) fn dispatch(cx: &mut Context<'_>, leaf: Option<Leaf>, regs: &mut Regs) -> Status {
    let outcome = match leaf {
        Some(Leaf::LdrInfo) => info::run(cx, regs),
        Some(Leaf::LdrInstall) => install::run(cx, regs),
        Some(Leaf::LdrShutdown) => shutdown::run(cx),
        Some(Leaf::LdrSeamInfo) => seaminfo::run(cx, regs),
        Some(Leaf::LdrCleanup) if cx.config.loader >= LoaderGeneration::V1_5_02 => cleanup::run(cx),
        _ => Err(Status::EBADPARAM),
    };
    outcome.err().unwrap_or(Status::SUCCESS)
}

/// A session of another kind may not be under way (1.5.02).
fn check_flow(cx: &Context<'_>, flow: Flow) -> Outcome {
    let current = cx.world.loader.flow;
    if cx.config.loader >= LoaderGeneration::V1_5_02 && current != Flow::Ready && current != flow {
        return Err(Status::EBADCALL);
    }
    Ok(())
}
