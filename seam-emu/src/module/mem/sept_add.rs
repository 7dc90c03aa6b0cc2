//! TDH.MEM.SEPT.ADD: adds a table to a TD's secure EPT.

use super::{Ask, check_entry, target};
use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::protected::PageType;
use crate::module::td::sept::{Entry, EntryState};

/// RDX bit 0: succeed if the table is there already.
const ALLOW_EXISTING: u64 = 1;

/// No page.
const NULL_PA: u64 = u64::MAX;
/// R8 to R11 out, version 1: the page was not used.
const UNUSED: u64 = 1 << 63;

/// RCX: address and level of the entry that is to map the table; RDX: the TD's TDR; R8: page for the table. Version 1: R9
/// to R11: pages for tables of nested VMs, which are not modelled, or all ones; R8 to R11 out: the pages that were not
/// used. Source: TDX module `tdh_mem_sept_add.c`.
pub(in crate::module) fn run(cx: &mut Context<'_>, version: u8, regs: &mut Regs) -> Outcome {
    if version == 0 {
        return add(cx, None, regs).map(drop);
    }
    let told = |page: u64| if page == NULL_PA { page } else { page & !UNUSED };
    let nested = [regs.r9, regs.r10, regs.r11].map(told);
    regs.r8 = told(regs.r8);
    let result = add(cx, Some(nested), regs);
    if result == Ok(true) {
        regs.r8 = NULL_PA;
    }
    [regs.r9, regs.r10, regs.r11] = nested;
    result.map(drop)
}

/// Adds the table; false if it was there. `nested`: pages for nested VMs, in version 1.
fn add(cx: &mut Context<'_>, nested: Option<[u64; 3]>, regs: &mut Regs) -> Result<bool, Status> {
    let leaf = Leaf::MemSeptAdd;
    let allow_existing = regs.rdx & ALLOW_EXISTING != 0;
    regs.rdx &= !ALLOW_EXISTING;
    let target = target(cx, regs, &Ask { leaf, tree: Mode::Shared, levels: 1..=u8::MAX })?;
    check_entry(cx, regs, &target, leaf)?;
    // Source: `process_l1_page`.
    if nested.is_none() && regs.r8 == NULL_PA {
        return Err(Status::OPERAND_INVALID.operand(Operand::R8));
    }
    let exists = target.walked.entry.state == EntryState::TableMapped;
    // Version 1 may give no page where a table exists.
    let none_given = nested.is_some() && regs.r8 == NULL_PA;
    if exists != none_given && !(exists && allow_existing) {
        (regs.rcx, regs.rdx) = cx.details(target.walked);
        return Err(Status::EPT_ENTRY_STATE_INCORRECT.operand(Operand::Rcx));
    }
    if exists && nested.is_some() {
        regs.r8 |= UNUSED;
    }
    let page = if exists { None } else { Some(cx.lock_page(regs.r8, Operand::R8, Mode::Exclusive, PageType::Nda)?) };
    // No TD has nested VMs here.
    let operands = [Operand::R9, Operand::R10, Operand::R11];
    if let Some((_, operand)) = nested.into_iter().flatten().zip(operands).find(|(page, _)| *page != NULL_PA) {
        return Err(Status::OPERAND_INVALID.operand(operand));
    }
    let Some(page) = page else { return Ok(false) };
    cx.give_page(page, PageType::Ept, target.tdr);
    let entry = Entry { state: EntryState::TableMapped, pa: page };
    cx.td(target.tdr).sept.set(target.gpa, target.walked.level, entry);
    Ok(true)
}
