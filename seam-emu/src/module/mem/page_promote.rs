//! TDH.MEM.PAGE.PROMOTE: makes one large page of the 512 that a table maps.

use super::{Ask, Target, check_entry, check_untranslated, target};
use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::protected::PageType;
use crate::module::td::sept::{Entry, EntryState, span};

/// R9 to R11 out, version 1: no page.
const NULL_PA: u64 = u64::MAX;

/// RCX: guest-physical address, level 1 (2 MB) or 2 (1 GB); RDX: the TD's TDR. RCX out: the page of the table, which is free
/// again; version 1 also gives R9 to R11, the tables of nested VMs, of which there are none. Source: TDX module
/// `tdh_mem_page_promote.c`, `pamt_promote` (2.0 tree; in 1.5.01 unverified). Interrupts, after which the call is to be made
/// again, come by fault only.
pub(in crate::module) fn run(cx: &mut Context<'_>, version: u8, regs: &mut Regs) -> Outcome {
    let leaf = Leaf::MemPagePromote;
    if version > 0 {
        (regs.r9, regs.r10, regs.r11) = (NULL_PA, NULL_PA, NULL_PA);
    }
    let target = target(cx, regs, &Ask { leaf, tree: Mode::Shared, levels: 1..=2 })?;
    check_entry(cx, regs, &target, leaf)?;
    let table = target.walked.entry.pa;
    let busy = Status::OPERAND_BUSY.operand(Operand::Rcx);
    cx.lock(LockId::Pamt(table), Mode::Exclusive, busy)?;
    check_untranslated(cx, regs, &target, table)?;
    let first = mergeable(cx, &target).map_err(|status| {
        (regs.rcx, regs.rdx) = cx.details(target.walked);
        status.operand(Operand::Rcx)
    })?;
    let level = target.walked.level;
    cx.lock_pamt(first.pa, level, Mode::Exclusive, busy)?;
    for offset in (0..span(level)).step_by(span(level - 1) as usize) {
        cx.free_page(first.pa + offset);
        cx.td(target.tdr).sept.set(target.gpa + offset, level - 1, Entry { state: EntryState::Free, pa: 0 });
    }
    cx.free_page(table);
    cx.give_range(first.pa, level, PageType::Reg, target.tdr);
    cx.td(target.tdr).sept.set(target.gpa, level, first);
    regs.rcx = table;
    Ok(())
}

/// The first of the table's 512 entries, if all map pages in one state that lie one after the other, from a place where the large
/// page can begin. Source: `is_sept_page_valid_for_merge`.
fn mergeable(cx: &mut Context<'_>, target: &Target) -> Result<Entry, Status> {
    let level = target.walked.level;
    let mut first = Entry { state: EntryState::Free, pa: 0 };
    for offset in (0..span(level)).step_by(span(level - 1) as usize) {
        let gpa = target.gpa + offset;
        let id = LockId::SeptEntry { tdr: target.tdr, gpa, level: level - 1 };
        if cx.locks.is_held(id) {
            cx.contended = true;
            return Err(Status::OPERAND_BUSY);
        }
        let entry = cx.td(target.tdr).sept.entry(gpa, level - 1);
        if offset == 0 {
            first = entry;
        }
        let can_begin =
            first.pa.is_multiple_of(span(level)) && matches!(first.state, EntryState::Mapped | EntryState::Pending);
        if !can_begin || entry != (Entry { pa: first.pa + offset, ..first }) {
            return Err(Status::EPT_INVALID_PROMOTE_CONDITIONS);
        }
    }
    Ok(first)
}
