//! TDH.MNG.ADDCX: gives a page to a TD's control structure.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::protected::PageType;
use crate::module::td::{Lifecycle, OpState};

/// Pages for each nested VM, of which a TD can have three (`MAX_NUM_TDCS_PAGES`).
const L2_PAGES: usize = 3;

/// RCX: the page; RDX: the TD's TDR.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let tdr = cx.lock_td(regs.rdx, Operand::Rdx, Mode::Exclusive)?;
    let needed = usize::from(cx.module().identity.descriptor.tdcs_pages);
    let td = cx.td(tdr);
    if td.lifecycle != Lifecycle::KeysConfigured {
        return Err(Status::TD_KEYS_NOT_CONFIGURED);
    }
    let (pages, op_state) = (td.tdcs_pages.len(), td.op_state);
    if pages >= needed + L2_PAGES {
        return Err(Status::TDCX_NUM_INCORRECT);
    }
    let page = cx.lock_page(regs.rcx, Operand::Rcx, Mode::Exclusive, PageType::Nda)?;
    if pages >= needed && op_state != OpState::Uninitialized {
        return Err(Status::OP_STATE_INCORRECT);
    }
    cx.td(tdr).tdcs_pages.push(page);
    cx.give_page(page, PageType::Tdcx, tdr);
    Ok(())
}
