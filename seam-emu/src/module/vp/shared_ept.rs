//! The EPT that the VMM keeps for a TD's shared memory. Source: SDM volume 3, 29.3.2.
//!
//! It is walked at each access, so there is nothing to invalidate. Accessed and dirty bits are not set, and an entry
//! without access is a violation for the VMM, never a #VE in the TD, whatever its suppress-#VE bit says.

use crate::context::Context;

const READ: u64 = 1;
const WRITE: u64 = 1 << 1;
const EXECUTE: u64 = 1 << 2;
/// The entry maps a page, not a table; above the lowest level.
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;

/// The physical address of a shared guest-physical address. On the error side, if the VMM has to map it first: what all
/// entries on the way allow, in bits 2:0.
pub(super) fn translate(cx: &mut Context<'_>, pointer: u64, levels: u8, gpa: u64, write: bool) -> Result<u64, u8> {
    let needed = if write { READ | WRITE } else { READ };
    let mut table = pointer & ADDRESS;
    let mut allowed = READ | WRITE | EXECUTE;
    for level in (0..levels).rev() {
        let shift = 12 + 9 * u32::from(level);
        let entry = entry(cx, table + (gpa >> shift & 0x1FF) * 8).ok_or(0)?;
        allowed &= entry;
        if entry & (READ | WRITE | EXECUTE) == 0 || entry & needed != needed {
            return Err(allowed as u8);
        }
        if level == 0 || entry & LARGE != 0 {
            let offset = gpa & ((1 << shift) - 1);
            return Ok(entry & ADDRESS & !((1 << shift) - 1) | offset);
        }
        table = entry & ADDRESS;
    }
    Err(0)
}

/// An entry of a table; none where no shared memory is.
fn entry(cx: &mut Context<'_>, pa: u64) -> Option<u64> {
    let pa = cx.platform.shared_pa(pa, 8)?;
    let mut bytes = [0; 8];
    cx.read(pa.0, &mut bytes);
    Some(u64::from_le_bytes(bytes))
}
