//! TDH.MEM.PAGE.DEMOTE: splits a large page into 512 smaller ones.

use super::{Ask, check_entry, check_untranslated, target};
use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::protected::PageType;
use crate::module::td::sept::{Entry, EntryState, span};

/// RDX bit 0: for which nested VMs tables are added (`l2_sept_add_mode`); there are none.
const SPARSE: u64 = 1;

/// RCX: guest-physical address, level 1 (2 MB) or 2 (1 GB); RDX: the TD's TDR; R8: page for the table that will map the smaller
/// pages. R9 to R11, for nested VMs, stay as they are. A blocked page is unblocked by it. Source: TDX module
/// `tdh_mem_page_demote.c`, `pamt_demote` (2.0 tree; in 1.5.01 unverified). Interrupts, after which the call is to be made
/// again, come by fault only.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let leaf = Leaf::MemPageDemote;
    regs.rdx &= !SPARSE;
    let target = target(cx, regs, &Ask { leaf, tree: Mode::Shared, levels: 1..=2 })?;
    check_entry(cx, regs, &target, leaf)?;
    let (large, level) = (target.walked.entry, target.walked.level);
    check_untranslated(cx, regs, &target, large.pa)?;
    let table = cx.lock_page(regs.r8, Operand::R8, Mode::Exclusive, PageType::Nda)?;
    cx.lock_pamt(large.pa, level, Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::Rcx))?;
    cx.free_page(large.pa);
    cx.give_page(table, PageType::Ept, target.tdr);
    let state = large.state.unblocked();
    for offset in (0..span(level)).step_by(span(level - 1) as usize) {
        cx.give_range(large.pa + offset, level - 1, PageType::Reg, target.tdr);
        cx.td(target.tdr).sept.set(target.gpa + offset, level - 1, Entry { state, pa: large.pa + offset });
    }
    cx.td(target.tdr).sept.set(target.gpa, level, Entry { state: EntryState::TableMapped, pa: table });
    Ok(())
}
