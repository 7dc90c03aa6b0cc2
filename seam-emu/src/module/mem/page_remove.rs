//! TDH.MEM.PAGE.REMOVE: takes a page from a TD.

use super::{Ask, check_entry, check_untranslated, target};
use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::td::sept::{Entry, EntryState};

/// RCX: guest-physical address, level 0 to 2; RDX: the TD's TDR. RCX out: the page.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let leaf = Leaf::MemPageRemove;
    let target = target(cx, regs, &Ask { leaf, tree: Mode::Shared, levels: 0..=2 })?;
    check_entry(cx, regs, &target, leaf)?;
    let entry = target.walked.entry;
    let level = target.walked.level;
    // The entry is found without a walk, so those above it are not locked (`pamt_implicit_get_and_lock`).
    let id = if level == 0 { LockId::Pamt(entry.pa) } else { LockId::PamtRange { base: entry.pa, level } };
    cx.lock(id, Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::Rcx))?;
    check_untranslated(cx, regs, &target, entry.pa)?;
    cx.td(target.tdr).sept.set(target.gpa, level, Entry { state: EntryState::Free, pa: 0 });
    cx.free_page(entry.pa);
    regs.rcx = entry.pa;
    Ok(())
}
