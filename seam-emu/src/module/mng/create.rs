//! TDH.MNG.CREATE: makes a TD's root page.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::KeyState;
use crate::module::protected::PageType;
use crate::module::td::Td;

/// RCX: the page; RDX: the TD's KeyID.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    if regs.rdx > u64::from(u16::MAX) || !cx.platform.is_private_keyid(regs.rdx as u16) {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rdx));
    }
    let keyid = regs.rdx as u16;
    let tdr = cx.lock_page(regs.rcx, Operand::Rcx, Mode::Exclusive, PageType::Nda)?;
    cx.lock(LockId::Kot, Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::Kot))?;
    let lowest = cx.platform.private_keyid_min;
    let key = cx.module().key(keyid, lowest);
    if *key != KeyState::Free {
        return Err(Status::HKID_NOT_FREE);
    }
    *key = KeyState::Assigned;
    let translations = cx.new_translations();
    cx.world.protected.tds.insert(tdr, Td { translations, ..Td::new(keyid) });
    cx.give_page(tdr, PageType::Tdr, 0);
    Ok(())
}
