//! TDH.SYS.KEY.CONFIG: sets the global KeyID's key on the calling LP's package.

use crate::abi::Status;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::SysState;

/// No operands. The last package makes the module ready.
pub(in crate::module) fn run(cx: &mut Context<'_>) -> Outcome {
    cx.lock_global(Mode::Exclusive)?;
    let package = cx.config.lps[cx.lp].package as usize;
    let module = cx.module();
    if module.state != SysState::ConfigDone {
        return Err(Status::SYS_KEY_CONFIG_NOT_PENDING);
    }
    if std::mem::replace(&mut module.package_configured[package], true) {
        return Err(Status::KEY_CONFIGURED);
    }
    if !module.package_configured.contains(&false) {
        module.state = SysState::Ready;
    }
    Ok(())
}
