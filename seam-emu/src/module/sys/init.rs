//! TDH.SYS.INIT: the module's global initialisation.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::handoff::{self, MAX_KEYIDS};
use crate::module::{Identity, SysState};

/// RCX: attributes, all reserved; version 1, R8: where and how fatal errors are reported, which never happens here.
/// `RND_NO_ENTROPY` only comes by a fault of the plan. Source of version 1: 1.5.28 `tdh_sys_init.c`.
pub(in crate::module) fn run(cx: &mut Context<'_>, version: u8, regs: &mut Regs) -> Outcome {
    let (attributes, reporting) = (regs.rcx, regs.r8);
    (regs.rcx, regs.rdx, regs.r8, regs.r9, regs.r10) = (0, 0, 0, 0, 0);
    if version > 1 {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rax));
    }
    cx.lock_global(Mode::Exclusive)?;
    if attributes != 0 {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rcx));
    }
    let module = cx.module();
    if module.state != SysState::InitPending {
        return Err(Status::SYS_INIT_NOT_PENDING);
    }
    // `check_key_management_config`.
    if usize::from(cx.platform.private_keyid_max) >= MAX_KEYIDS {
        return Err(Status(Status::NUM_ACTIVATED_HKIDS_NOT_SUPPORTED.0 | MAX_KEYIDS as u64));
    }
    if !sigstruct_is_compatible(&cx.module().identity) {
        return Err(Status::SYS_INCOMPATIBLE_SIGSTRUCT);
    }
    if version > 0 && !reporting_is_valid(cx, reporting) {
        return Err(Status::OPERAND_INVALID.operand(Operand::R8));
    }
    cx.module().state = SysState::InitDone;
    Ok(())
}

/// Bits 51:6: a shared cache line for what is known of the error, all ones for none; 55:54: an interrupt of this kind to the
/// other LPs, 0 for none; 63:56: its vector, if the kind is 1. What else there is is reserved. Source:
/// `configure_fatal_info_diagnostics`, and `fatal_info.h` (`fatal_error_config_t`).
fn reporting_is_valid(cx: &Context<'_>, r8: u64) -> bool {
    const LINE: u64 = 64;
    const NOWHERE: u64 = (1 << 46) - 1;
    let (line, kind, vector) = (r8 >> 6 & NOWHERE, r8 >> 54 & 0b11, r8 >> 56);
    let reserved = r8 & 0x3F | r8 & 0b11 << 52;
    reserved == 0
        && (line == NOWHERE || cx.platform.shared_pa(line << 6, LINE).is_some())
        && (kind != 1 || vector >= 16)
}

/// The sigstruct's handoff data agrees with what the module was built for (`check_module_build_time_defs`).
fn sigstruct_is_compatible(identity: &Identity) -> bool {
    let built = &identity.descriptor;
    let pages = u64::from(identity.num_handoff_pages) + 1;
    identity.module_hv == built.module_hv
        && identity.min_update_hv >= built.min_update_hv
        && (identity.no_downgrade || built.no_downgrade == 0)
        && pages >= handoff::PAGES.max(built.min_handoff_pages.into())
}
