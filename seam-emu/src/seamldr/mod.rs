//! P-SEAMLDR. Source: the public loader 1.5.02 (intel/tdx-loader, `p-seam-loader/src/pseamldr_dispatcher`), and what
//! the Linux review said of its predecessors.

mod candidate;
mod cleanup;
mod info;
mod install;
mod layout;
mod loader;
mod manifest;
mod seaminfo;
mod session;
mod shutdown;

use crate::abi::{Leaf, Status};
use crate::context::Context;
use crate::{LoaderGeneration, Regs};

pub(crate) use candidate::Candidate;
pub(crate) use install::{install, publish};
pub(crate) use layout::Layout;
pub(crate) use loader::Loader;

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
