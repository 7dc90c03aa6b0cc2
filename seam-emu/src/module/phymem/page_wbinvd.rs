//! TDH.PHYMEM.PAGE.WBINVD: writes back and invalidates the cache lines of a page that is no TD's. Caches are not
//! modelled, so only its checks are.

use crate::Regs;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::protected::PageType;

/// RCX: the page with a KeyID.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let keyid_bits = ((1 << cx.platform.keyid_bits) - 1) << cx.platform.pa_bits;
    cx.lock_page(regs.rcx & !keyid_bits, Operand::Rcx, Mode::Shared, PageType::Nda)?;
    Ok(())
}
