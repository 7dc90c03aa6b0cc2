//! XSETBV in a TD. Source: SDM volume 2 on XSETBV, and ABI: XCR0 enables nothing beyond the TD's XFAM.

use crate::event::Event;
use crate::td::{Next, Td, gpr};

const X87: u64 = 1;
const SSE: u64 = 1 << 1;
const AVX: u64 = 1 << 2;
/// What the stub saves and restores for a TD, whatever its XFAM allows beyond.
pub const SWITCHED: u64 = X87 | SSE | AVX;
/// Bytes of the instruction.
const LENGTH: u64 = 3;

pub(super) fn serve(td: &mut Td<'_>) -> Next {
    let (index, wanted) = (td.gprs[gpr::RCX] as u32, td.pair());
    let allowed = td.vcpu.about.xfam & SWITCHED;
    let consistent = wanted & X87 != 0 && (wanted & AVX == 0 || wanted & SSE != 0);
    if index != 0 || wanted & !allowed != 0 || !consistent {
        return td.inject(Event::GP);
    }
    td.advance(LENGTH);
    td.vcpu.xcr0 = wanted;
    Next::ResumeWith(wanted)
}

/// Bytes of the area that XSAVE needs for these components (SDM volume 1, 13.4: the legacy area and the header, then AVX's).
pub(super) const fn area(xcr0: u64) -> u32 {
    if xcr0 & AVX != 0 { 0x340 } else { 0x240 }
}
