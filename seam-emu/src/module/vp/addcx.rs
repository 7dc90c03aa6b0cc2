//! TDH.VP.ADDCX: gives a page to a vCPU's control structure.

use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::protected::PageType;

/// Pages for each nested VM, of which a TD can have three.
const L2_PAGES: usize = 9;

/// RCX: the page; RDX: the vCPU's TDVPR.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let (tdvpr, tdr) = cx.lock_vcpu(regs.rdx, Operand::Rdx, Mode::Exclusive)?;
    cx.check_td(tdr, Leaf::VpAddcx, Some(Mode::Shared))?;
    let needed = usize::from(cx.module().identity.descriptor.tdvps_pages);
    let vcpu = cx.vcpu(tdvpr);
    if vcpu.ready {
        return Err(cx.vcpu_state_incorrect(tdvpr));
    }
    if vcpu.pages.len() >= needed + L2_PAGES {
        return Err(Status::TDCX_NUM_INCORRECT);
    }
    let page = cx.lock_page(regs.rcx, Operand::Rcx, Mode::Exclusive, PageType::Nda)?;
    cx.vcpu(tdvpr).pages.push(page);
    cx.give_page(page, PageType::Tdcx, tdr);
    Ok(())
}
