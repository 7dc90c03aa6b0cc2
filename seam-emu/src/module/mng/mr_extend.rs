//! TDH.MR.EXTEND: measures 256 bytes of a page.

use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;

/// Bytes that one call measures.
const CHUNK: u64 = 256;

/// RCX: guest-physical address, aligned to 256; RDX: the TD's TDR. On error RCX and RDX tell about the entry.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let (gpa, alleged) = (regs.rcx, regs.rdx);
    (regs.rcx, regs.rdx) = (0, 0);
    let tdr = cx.lock_td(alleged, Operand::Rdx, Mode::Exclusive)?;
    cx.check_td(tdr, Leaf::MrExtend, None)?;
    cx.check_mrtd_context(tdr)?;
    let td = cx.td(tdr);
    if !gpa.is_multiple_of(CHUNK) || gpa >= td.settings.shared_bit() {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rcx));
    }
    // The walk wants a page that the TD could reach, so nothing but a mapped one is left for the check of the entry's
    // state that follows in the source (`check_and_walk_private_gpa_to_leaf`).
    let page = td.sept.translate(gpa / 4096 * 4096, td.settings.root_level()).map_err(|stopped| {
        (regs.rcx, regs.rdx) = cx.details(stopped);
        Status::EPT_ENTRY_NOT_PRESENT.operand(Operand::Rcx)
    })?;
    let mut bytes = [0; CHUNK as usize];
    cx.read(page + gpa % 4096, &mut bytes);
    let measurement = &mut cx.td(tdr).measurement;
    measurement.extend_name("MR.EXTEND", gpa);
    measurement.extend(&bytes);
    Ok(())
}
