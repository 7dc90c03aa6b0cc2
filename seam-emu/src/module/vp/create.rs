//! TDH.VP.CREATE: makes a vCPU's root page.

use crate::Regs;
use crate::abi::Leaf;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::protected::PageType;
use crate::module::td::vcpu::Vcpu;

/// RCX: the page; RDX: the TD's TDR.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let tdr = cx.lock_td(regs.rdx, Operand::Rdx, Mode::Shared)?;
    cx.check_td(tdr, Leaf::VpCreate, Some(Mode::Shared))?;
    let page = cx.lock_page(regs.rcx, Operand::Rcx, Mode::Exclusive, PageType::Nda)?;
    cx.world.protected.vcpus.insert(page, Vcpu::new(tdr, page));
    cx.give_page(page, PageType::Tdvpr, tdr);
    Ok(())
}
