//! RDMSR and WRMSR in a TD. EFER is served in place; MSRs that are switched do not exit; all others raise #VE, as those do that
//! a module does not virtualise. The table of the module's MSRs is not there yet.

use crate::event::Event;
use crate::td::{Next, Td, gpr};
use crate::ve::{VeInfo, reason};
use crate::vmcb;

const EFER: u32 = 0xC000_0080;
const SCE: u64 = 1;
const LME: u64 = 1 << 8;
const LMA: u64 = 1 << 10;
const NXE: u64 = 1 << 11;
const SVME: u64 = 1 << 12;
/// Bytes of either instruction.
const LENGTH: u64 = 2;

pub(super) fn serve(td: &mut Td<'_>, write: bool) -> Next {
    if td.gprs[gpr::RCX] as u32 != EFER {
        let reason = if write { reason::WRMSR } else { reason::RDMSR };
        return td.ve(VeInfo::of(reason, LENGTH as u32));
    }
    let efer = td.vmcb.get(vmcb::EFER);
    if write {
        let wanted = td.pair();
        if wanted & !(SCE | LME | LMA | NXE) != 0 {
            return td.inject(Event::GP);
        }
        // LME stays on, LMA is the processor's, SVME must be on and is not the TD's.
        td.vmcb.set(vmcb::EFER, wanted & (SCE | NXE) | efer & LMA | LME | SVME);
    } else {
        let seen = efer & !SVME;
        td.vmcb.set(vmcb::RAX, seen & 0xFFFF_FFFF);
        td.gprs[gpr::RDX] = seen >> 32;
    }
    td.advance(LENGTH);
    Next::Resume
}
