//! Page tables of 64-bit paging (Intel's manual, volume 3, section "4-level paging and 5-level paging").

use super::physical::StandingMachine;

/// `CR4.LA57`: there is a fifth level.
const LA57: u64 = 1 << 12;
const PRESENT: u64 = 1;
/// Of an entry of the second or third level: it maps a page and is no table.
const LARGE: u64 = 1 << 7;
/// Bits 51:12 of an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The physical address of a virtual one, and the bytes from there to the end of its page.
pub(super) fn translate(machine: &StandingMachine, address: u64) -> Option<(u64, u64)> {
    let [cr3, cr4] = machine.paging;
    let top = if cr4 & LA57 == 0 { 4 } else { 5 };
    let bits = 12 + 9 * top;
    let extended = (address << (64 - bits)).cast_signed() >> (64 - bits);
    if extended.cast_unsigned() != address {
        return None;
    }
    let mut table = cr3 & ADDRESS;
    for level in (1..=top).rev() {
        let shift = 12 + 9 * (level - 1);
        let entry = machine.word(table + (address >> shift & 0x1ff) * 8)?;
        if entry & PRESENT == 0 {
            return None;
        }
        if level == 1 || level <= 3 && entry & LARGE != 0 {
            let size = 1 << shift;
            let within = address & (size - 1);
            return Some(((entry & ADDRESS & !(size - 1)) + within, size - within));
        }
        table = entry & ADDRESS;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables at 0x1000, 0x2000, 0x3000 and 0x4000 of physical memory, and what they map.
    fn machine() -> StandingMachine {
        let mut memory = vec![0; 0x6000];
        let mut set = |at: usize, entry: u64| memory[at - 0x1000..at - 0xff8].copy_from_slice(&entry.to_le_bytes());
        // 0xffff800000000000: the upper half's first entry of each table.
        set(0x1000 + 256 * 8, 0x2000 | PRESENT);
        set(0x2000, 0x3000 | PRESENT);
        set(0x3000, 0x4000 | PRESENT);
        set(0x4000, 0x5000 | PRESENT | 1 << 63);
        set(0x4008, 0x6000);
        // The second entry of the third table: a page of 2 MiB.
        set(0x3008, 0x20_0000 | PRESENT | LARGE | 1 << 12);
        let ranges = vec![(0x1000..0x7000, 0)];
        StandingMachine { bytes: memory, ranges, paging: [0x1000, 0], ..StandingMachine::default() }
    }

    const HALF: u64 = 0xffff_8000_0000_0000;

    #[test]
    fn small_and_large_pages_are_found() {
        let machine = machine();
        assert_eq!(translate(&machine, HALF + 0x123), Some((0x5123, 0xedd)));
        assert_eq!(translate(&machine, HALF + 0x21_2345), Some((0x21_2345, 0x1e_dcbb)));
    }

    #[test]
    fn what_is_not_present_is_not_there() {
        let machine = machine();
        assert_eq!(translate(&machine, HALF + 0x1000), None, "not present");
        assert_eq!(translate(&machine, HALF + 0x40_0000), None, "no table");
        assert_eq!(translate(&machine, 0x8000_0000_0000), None, "not canonical");
    }
}
