//! TDH.SYS.DISABLE: ends the module for good; Linux calls it on shutdown and kexec.
//!
//! In no public source; from Linux's use of it (`tdx_sys_disable`): it may be busy, after which no new TDH.SYS call begins
//! until it succeeds, and nothing but a new INSTALL helps afterwards. Unverified: that those calls get `SYS_BUSY`, and that
//! the state it leaves answers as `SYS_SHUTDOWN` does.

use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::SysState;

/// FEATURES0 bit 53: the leaf exists.
const SYS_DISABLE: u64 = 1 << 53;

/// No operands.
pub(in crate::module) fn run(cx: &mut Context<'_>) -> Outcome {
    if cx.module().identity.descriptor.features0 & SYS_DISABLE == 0 {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rax));
    }
    cx.module().is_being_disabled = true;
    cx.lock_global(Mode::Exclusive)?;
    if cx.others_busy() {
        cx.contended = true;
        return Err(Status::SYS_BUSY);
    }
    cx.module().state = SysState::Shutdown;
    Ok(())
}
