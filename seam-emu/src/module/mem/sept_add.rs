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

/// RCX: address and level of the entry that is to map the table; RDX: the TD's TDR; R8: page for the table. Version 1
/// adds tables for nested VMs (R9 to R11), which are not modelled: they must be all ones.
pub(in crate::module) fn run(cx: &mut Context<'_>, version: u8, regs: &mut Regs) -> Outcome {
    let leaf = Leaf::MemSeptAdd;
    let nested = [regs.r9, regs.r10, regs.r11];
    if version > 0 && nested.iter().any(|page| *page != u64::MAX) {
        cx.unmodelled = true;
        return Err(Status::OPERAND_INVALID.operand(Operand::R9));
    }
    let allow_existing = regs.rdx & ALLOW_EXISTING != 0;
    regs.rdx &= !ALLOW_EXISTING;
    let target = target(cx, regs, &Ask { leaf, tree: Mode::Shared, levels: 1..=u8::MAX })?;
    check_entry(regs, &target, leaf)?;
    if target.walked.entry.state == EntryState::TableMapped {
        if allow_existing {
            return Ok(());
        }
        (regs.rcx, regs.rdx) = target.walked.details();
        return Err(Status::EPT_ENTRY_STATE_INCORRECT.operand(Operand::Rcx));
    }
    let page = cx.lock_page(regs.r8, Operand::R8, Mode::Exclusive, PageType::Nda)?;
    cx.give_page(page, PageType::Ept, target.tdr);
    let entry = Entry { state: EntryState::TableMapped, pa: page };
    cx.td(target.tdr).sept.set(target.gpa, target.walked.level, entry);
    Ok(())
}
