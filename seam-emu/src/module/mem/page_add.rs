//! TDH.MEM.PAGE.ADD: adds a page with contents to a TD that is being built, and measures that it was added.

use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, PAGE_SIZE, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::protected::PageType;
use crate::module::td::sept::{Entry, EntryState, check_gpa};

/// RCX: guest-physical address, level 0; RDX: the TD's TDR; R8: the page; R9: page of contents, shared. On error RCX
/// and RDX tell about the entry.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let leaf = Leaf::MemPageAdd;
    let (raw, alleged) = (regs.rcx, regs.rdx);
    (regs.rcx, regs.rdx) = (0, 0);
    let tdr = cx.lock_td(alleged, Operand::Rdx, Mode::Exclusive)?;
    cx.check_td(tdr, leaf, None)?;
    cx.check_mrtd_context(tdr)?;
    let (gpa, _) = check_gpa(raw, 0..=0)?;
    let td = cx.td(tdr);
    if gpa >= td.settings.shared_bit() {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rcx));
    }
    let walked = td.sept.walk(gpa, 0, td.settings.root_level()).map_err(|stopped| {
        (regs.rcx, regs.rdx) = cx.details(stopped);
        Status::EPT_WALK_FAILED.operand(Operand::Rcx)
    })?;
    if !walked.entry.state.allows(leaf) {
        (regs.rcx, regs.rdx) = cx.details(walked);
        return Err(Status::EPT_ENTRY_STATE_INCORRECT.operand(Operand::Rcx));
    }
    let source = cx.shared(regs.r9, PAGE_SIZE, Operand::R9)?;
    let page = cx.lock_page(regs.r8, Operand::R8, Mode::Exclusive, PageType::Nda)?;
    let mut contents = [0; PAGE_SIZE as usize];
    cx.read(source.0, &mut contents);
    cx.write(page, &contents);
    cx.give_page(page, PageType::Reg, tdr);
    let td = cx.td(tdr);
    td.sept.set(gpa, 0, Entry { state: EntryState::Mapped, pa: page });
    td.measurement.extend_name("MEM.PAGE.ADD", gpa);
    Ok(())
}
