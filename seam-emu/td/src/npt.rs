//! Nested page tables. Source: APM 15.25 and 5.3 (their form is that of ordinary long-mode tables); all walks of guests count as
//! user accesses (15.25.5), so each entry needs the U bit.
//!
//! They are a cache of the secure EPT: filled when a guest faults, emptied when the VMM takes translations away.

/// Present, writable, user.
const TABLE: u64 = 0b111;
/// Present, user, accessed and dirty, so that the processor need not write.
const LEAF: u64 = 0b110_0101;
const WRITABLE: u64 = 0b10;
const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
const PRESENT: u64 = 1;

/// Memory in which tables lie, by physical address.
pub trait Tables {
    /// Entry at this address.
    fn read(&self, at: u64) -> u64;
    /// Sets the entry at this address, at once.
    fn write(&mut self, at: u64, entry: u64);
    /// A page of zeros for a table; none when there is no room.
    fn allocate(&mut self) -> Option<u64>;
}

/// There is no room for another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfTables;

/// Tables of one guest, with 4 levels, or 5 where the host has 5 (VMRUN takes the host's mode, APM 15.25.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NestedTables {
    /// Physical address of the top table: `N_CR3`.
    pub root: u64,
    /// 4 or 5.
    pub levels: u8,
}

impl NestedTables {
    /// Tables that map nothing.
    pub fn new(tables: &mut impl Tables, levels: u8) -> Result<Self, OutOfTables> {
        Ok(Self { root: tables.allocate().ok_or(OutOfTables)?, levels })
    }

    /// Maps a 4 KB page, in place of what its guest-physical address had.
    pub fn map(self, tables: &mut impl Tables, gpa: u64, page: u64, writable: bool) -> Result<(), OutOfTables> {
        let mut table = self.root;
        for level in (1..self.levels).rev() {
            let at = slot(table, gpa, level);
            let mut entry = tables.read(at);
            if entry & PRESENT == 0 {
                entry = tables.allocate().ok_or(OutOfTables)? | TABLE;
                tables.write(at, entry);
            }
            table = entry & ADDRESS;
        }
        let leaf = if writable { LEAF | WRITABLE } else { LEAF };
        tables.write(slot(table, gpa, 0), page & ADDRESS | leaf);
        Ok(())
    }

    /// Where a guest-physical address leads.
    pub fn translate(self, tables: &impl Tables, gpa: u64) -> Option<u64> {
        let mut table = self.root;
        for level in (0..self.levels).rev() {
            let entry = tables.read(slot(table, gpa, level));
            if entry & PRESENT == 0 {
                return None;
            }
            table = entry & ADDRESS;
        }
        Some(table | gpa & 0xFFF)
    }

    /// Takes away all that is mapped from this guest-physical address on. The tables stay.
    pub fn clear(self, tables: &mut impl Tables, from: u64) {
        clear(tables, self.root, self.levels - 1, from);
    }
}

/// Address of the entry for a guest-physical address in a table of this level.
const fn slot(table: u64, gpa: u64, level: u8) -> u64 {
    table + (gpa >> (12 + 9 * level as u32) & 511) * 8
}

/// Clears a table, which begins at guest-physical address 0 of its own, from one on.
fn clear(tables: &mut impl Tables, table: u64, level: u8, from: u64) {
    let span = 4096 << (9 * level);
    for index in from / span..512 {
        let at = table + index * 8;
        let entry = tables.read(at);
        if entry & PRESENT == 0 {
            continue;
        }
        if level == 0 {
            tables.write(at, 0);
        } else {
            clear(tables, entry & ADDRESS, level - 1, from.saturating_sub(index * span));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x20_0000_0000;

    struct Arena {
        words: Vec<u64>,
        room: usize,
    }

    impl Tables for Arena {
        fn read(&self, at: u64) -> u64 {
            self.words[(at - BASE) as usize / 8]
        }
        fn write(&mut self, at: u64, entry: u64) {
            self.words[(at - BASE) as usize / 8] = entry;
        }
        fn allocate(&mut self) -> Option<u64> {
            let at = self.words.len();
            (at / 512 < self.room).then(|| {
                self.words.resize(at + 512, 0);
                BASE + at as u64 * 8
            })
        }
    }

    fn tables(room: usize, levels: u8) -> (Arena, NestedTables) {
        let mut arena = Arena { words: Vec::new(), room };
        let tables = NestedTables::new(&mut arena, levels).unwrap();
        (arena, tables)
    }

    #[test]
    fn what_is_mapped_is_found_and_nothing_else() {
        for levels in [4, 5] {
            let (mut arena, tables) = tables(20, levels);
            for (gpa, page) in [(0x1000, 0x50_0000), (0xFFFF_F000, 0x60_0000), (0x8000_0020_0000, 0x70_0000)] {
                tables.map(&mut arena, gpa, page, true).unwrap();
                assert_eq!(tables.translate(&arena, gpa + 0x123), Some(page + 0x123));
            }
            assert_eq!(tables.translate(&arena, 0x2000), None);
            assert_eq!(tables.translate(&arena, 0x20_0000), None, "the shared bit is part of the address");
        }
    }

    #[test]
    fn entries_are_present_writable_and_the_users() {
        let (mut arena, tables) = tables(4, 4);
        tables.map(&mut arena, 0, 0x9_9000, true).unwrap();
        let words: Vec<u64> = arena.words.iter().copied().filter(|word| *word != 0).collect();
        assert_eq!(words, [BASE + 0x1007, BASE + 0x2007, BASE + 0x3007, 0x9_9067]);
    }

    #[test]
    fn a_page_can_be_mapped_elsewhere() {
        let (mut arena, tables) = tables(4, 4);
        tables.map(&mut arena, 0x1000, 0x50_0000, true).unwrap();
        tables.map(&mut arena, 0x1000, 0x60_0000, true).unwrap();
        assert_eq!(tables.translate(&arena, 0x1000), Some(0x60_0000));
    }

    #[test]
    fn after_clearing_nothing_is_mapped_and_no_table_is_lost() {
        let (mut arena, tables) = tables(4, 4);
        tables.map(&mut arena, 0x1000, 0x50_0000, true).unwrap();
        tables.clear(&mut arena, 0);
        assert_eq!(tables.translate(&arena, 0x1000), None);
        tables.map(&mut arena, 0x2000, 0x50_0000, true).expect("the tables of the first page serve the second");
    }

    #[test]
    fn what_is_shared_can_be_cleared_alone() {
        for levels in [4, 5] {
            let (mut arena, tables) = tables(20, levels);
            let [private, below, shared, above] = [0x1000, (1 << 47) - 4096, 1 << 47, 3 << 46];
            for gpa in [private, below, shared, above] {
                tables.map(&mut arena, gpa, 0x50_0000, true).unwrap();
            }
            tables.clear(&mut arena, 1 << 47);
            let left = [private, below, shared, above].map(|gpa| tables.translate(&arena, gpa).is_some());
            assert_eq!(left, [true, true, false, false], "{levels} levels");
            tables.clear(&mut arena, below);
            assert_eq!([private, below].map(|gpa| tables.translate(&arena, gpa).is_some()), [true, false]);
        }
    }

    #[test]
    fn a_page_can_be_for_reading_alone() {
        let (mut arena, tables) = tables(4, 4);
        tables.map(&mut arena, 0, 0x9_9000, false).unwrap();
        assert_eq!(arena.words.last_chunk::<512>().unwrap()[0], 0x9_9065);
    }

    #[test]
    fn a_lack_of_room_is_told() {
        let (mut arena, tables) = tables(3, 4);
        assert_eq!(tables.map(&mut arena, 0, 0x1000, true), Err(OutOfTables));
    }
}
