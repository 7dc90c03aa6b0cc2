//! From RAX to a leaf function.

use super::lifecycle::gate;
use super::{mem, mng, phymem, sys, vp};
use crate::abi::field::NO_FIELD;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::{Note, Regs};

/// RAX bits 31:24 and 63:32, which must be 0.
const RESERVED: u64 = !0xFF_FFFF;

/// Runs a module leaf. RAX holds the leaf's number in bits 15:0 and its version in bits 23:16. Any version of a leaf that has
/// versions comes this far, and the leaf itself refuses what it does not have. Source: TDX module `tdx_vmm_dispatcher`.
pub(crate) fn dispatch(cx: &mut Context<'_>, leaf: Option<Leaf>, regs: &mut Regs) -> Status {
    let bad_leaf = Status::OPERAND_INVALID.operand(Operand::Rax);
    let version = (regs.rax >> 16) as u8;
    let versioned = |leaf: Leaf| cx.module().identity.figures().versioned.contains(&leaf);
    if regs.rax & RESERVED != 0 || (version > 0 && !leaf.is_some_and(versioned)) {
        return bad_leaf;
    }
    if let Err(status) = gate(cx.module().state, leaf) {
        return status;
    }
    let is_locked_out = |leaf: Leaf| leaf.name().starts_with("TDH.SYS.") && leaf != Leaf::SysDisable;
    if cx.module().is_being_disabled && leaf.is_some_and(is_locked_out) {
        cx.contended = true;
        return Status::SYS_BUSY;
    }
    let outcome = match leaf {
        Some(leaf) => check_version(leaf, version, regs).and_then(|()| run(cx, leaf, version, regs)),
        None => Err(bad_leaf),
    };
    outcome.err().unwrap_or(Status::SUCCESS)
}

/// What leaves that have versions say to one that they do not have, before all else. TDH.SYS.INIT, TDH.SYS.CONFIG and
/// TDH.SYS.UPDATE say it themselves. Source: TDX module 1.5.05 `tdh_mng_rd_wr.c`, `tdh_vp_rd_wr.c`, `tdh_vp_init.c`,
/// `tdh_mem_sept_add.c`.
fn check_version(leaf: Leaf, version: u8, regs: &mut Regs) -> Outcome {
    match leaf {
        Leaf::SysInit | Leaf::SysConfig | Leaf::SysUpdate => return Ok(()),
        _ if version <= 1 => return Ok(()),
        Leaf::MngRd | Leaf::VpRd => (regs.rdx, regs.r8) = (NO_FIELD, 0),
        _ => {}
    }
    Err(Status::OPERAND_INVALID.operand(Operand::Rax))
}

/// The leaf's work.
fn run(cx: &mut Context<'_>, leaf: Leaf, version: u8, regs: &mut Regs) -> Outcome {
    match leaf {
        Leaf::SysInit => sys::init::run(cx, version, regs),
        Leaf::SysLpInit => sys::lp_init::run(cx, regs),
        Leaf::SysInfo => sys::info::run(cx, regs),
        Leaf::SysRd => sys::rd::run(cx, regs),
        Leaf::SysRdall => sys::rdall::run(cx, regs),
        Leaf::SysConfig => sys::config::run(cx, version, regs),
        Leaf::SysKeyConfig => sys::key_config::run(cx),
        Leaf::SysTdmrInit => sys::tdmr_init::run(cx, regs),
        Leaf::SysShutdown => sys::shutdown::run(cx, regs),
        Leaf::SysUpdate => sys::update::run(cx, version, regs),
        Leaf::SysDisable => sys::disable::run(cx),
        // Deprecated, and does nothing in the source.
        Leaf::SysLpShutdown => Ok(()),
        Leaf::PhymemPageRdmd => phymem::rdmd::run(cx, regs),
        Leaf::PhymemPageReclaim => phymem::page_reclaim::run(cx, regs),
        Leaf::PhymemCacheWb => phymem::cache_wb::run(cx, regs),
        Leaf::PhymemPageWbinvd => phymem::page_wbinvd::run(cx, regs),
        Leaf::MngCreate => mng::create::run(cx, regs),
        Leaf::MngKeyConfig => mng::key_config::run(cx, regs),
        Leaf::MngAddcx => mng::addcx::run(cx, regs),
        Leaf::MngInit => mng::init::run(cx, regs),
        Leaf::MngRd => mng::rd::run(cx, version, regs),
        Leaf::MngVpflushdone => mng::vpflushdone::run(cx, regs),
        Leaf::MngKeyFreeid => mng::key_freeid::run(cx, regs),
        Leaf::MrExtend => mng::mr_extend::run(cx, regs),
        Leaf::MrFinalize => mng::mr_finalize::run(cx, regs),
        Leaf::MemSeptAdd => mem::sept_add::run(cx, version, regs),
        Leaf::MemPageAdd => mem::page_add::run(cx, regs),
        Leaf::MemPageAug => mem::page_aug::run(cx, regs),
        Leaf::MemPageDemote => mem::page_demote::run(cx, regs),
        Leaf::MemPagePromote => mem::page_promote::run(cx, version, regs),
        Leaf::MemPageRemove => mem::page_remove::run(cx, regs),
        Leaf::MemRangeBlock => mem::range_block::run(cx, regs),
        Leaf::MemRangeUnblock => mem::range_unblock::run(cx, regs),
        Leaf::MemTrack => mem::track::run(cx, regs),
        Leaf::VpCreate => vp::create::run(cx, regs),
        Leaf::VpAddcx => vp::addcx::run(cx, regs),
        Leaf::VpInit => vp::init::run(cx, version, regs),
        Leaf::VpFlush => vp::flush::run(cx, regs),
        Leaf::VpRd => vp::rd_wr::read(cx, version, regs),
        Leaf::VpWr => vp::rd_wr::write(cx, regs),
        Leaf::VpEnter => vp::enter::run(cx, regs),
        unmodelled => {
            cx.unmodelled = true;
            cx.notes.push(Note::UnmodelledLeaf { leaf: unmodelled.number() });
            Err(Status::OPERAND_INVALID.operand(Operand::Rax))
        }
    }
}
