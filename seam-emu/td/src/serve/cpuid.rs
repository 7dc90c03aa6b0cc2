//! CPUID in a TD. Only leaf 0x21 is the module's here; all others raise #VE, as those do that a module does not virtualise. The
//! tables of virtual CPUID values are not there yet.

use crate::td::{Next, Td, gpr};
use crate::ve::{VeInfo, reason};
use crate::vmcb;

/// Leaf that tells a TD what it is (Intel TDX Virtual Firmware Design Guide; Linux `TDX_CPUID_LEAF_ID`).
const TDX: u32 = 0x21;
/// "Inte", "lTDX", "    ".
const NAME: [u32; 3] = [0x6574_6E49, 0x5844_546C, 0x2020_2020];
/// Bytes of the instruction.
const LENGTH: u64 = 2;

pub(super) fn serve(td: &mut Td<'_>) -> Next {
    let (leaf, subleaf) = (td.vmcb.get(vmcb::RAX) as u32, td.gprs[gpr::RCX] as u32);
    if leaf != TDX || subleaf != 0 {
        return td.ve(VeInfo::of(reason::CPUID, LENGTH as u32));
    }
    let [ebx, edx, ecx] = NAME.map(u64::from);
    td.vmcb.set(vmcb::RAX, 0);
    (td.gprs[gpr::RBX], td.gprs[gpr::RDX], td.gprs[gpr::RCX]) = (ebx, edx, ecx);
    td.advance(LENGTH);
    Next::Resume
}
