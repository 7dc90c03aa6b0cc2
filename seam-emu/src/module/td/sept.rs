//! Secure EPT: what a TD's private guest-physical addresses map to.

use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Secure EPT of a TD: entries that are not free, by level and guest-physical address. A level-0 entry maps a 4 KB
/// page; an entry of level n maps a table of level n - 1, or a page of 2 MB (level 1) or 1 GB (level 2). The root table
/// is the TDCS's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sept {
    entries: BTreeMap<(u8, u64), Entry>,
}

/// An entry that is not free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) state: EntryState,
    /// Page or table, by physical address.
    pub(crate) pa: u64,
}

/// State of an entry; those of migration and of nested TDs are not modelled. Source: TDX module `sept_state_lookup.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EntryState {
    Free,
    /// Maps a table.
    TableMapped,
    TableBlocked,
    Mapped,
    Blocked,
    Pending,
    PendingBlocked,
}

use EntryState as S;

/// Which states of an entry a leaf takes. Rows of TDX module `sept_state_lookup.c`.
const ALLOWED: &[(Leaf, &[EntryState])] = &[
    (Leaf::MemPageAdd, &[S::Free]),
    (Leaf::MemSeptAdd, &[S::Free, S::TableMapped]),
    (Leaf::MemPageAug, &[S::Free]),
    (Leaf::MemRangeBlock, &[S::TableMapped, S::Mapped, S::Pending]),
    (Leaf::MrExtend, &[S::Mapped]),
    (Leaf::MemPageDemote, &[S::Mapped, S::Blocked, S::Pending, S::PendingBlocked]),
    (Leaf::MemPagePromote, &[S::TableMapped, S::TableBlocked]),
    (Leaf::MemPageRemove, &[S::Mapped, S::Blocked, S::Pending, S::PendingBlocked]),
    (Leaf::MemRangeUnblock, &[S::TableBlocked, S::Blocked, S::PendingBlocked]),
];

impl EntryState {
    /// Whether the leaf takes an entry in this state.
    pub(crate) fn allows(self, leaf: Leaf) -> bool {
        ALLOWED.iter().any(|(row, states)| *row == leaf && states.contains(&self))
    }

    /// Whether it is blocked.
    pub(crate) fn is_blocked(self) -> bool {
        matches!(self, S::TableBlocked | S::Blocked | S::PendingBlocked)
    }

    /// The blocked form of a state that can be blocked.
    pub(crate) fn blocked(self) -> Self {
        match self {
            S::TableMapped => S::TableBlocked,
            S::Mapped => S::Blocked,
            S::Pending => S::PendingBlocked,
            other => other,
        }
    }

    /// The form before it was blocked.
    pub(crate) fn unblocked(self) -> Self {
        match self {
            S::TableBlocked => S::TableMapped,
            S::Blocked => S::Mapped,
            S::PendingBlocked => S::Pending,
            other => other,
        }
    }

    /// Number in bits 15:8 of the second word of details (`public_state`; bit 7 marks a table, which the
    /// specification's own numbers do not have and Linux does not see).
    pub(crate) fn public(self) -> u64 {
        match self {
            S::Free => 0,
            S::Blocked => 1,
            S::Pending => 2,
            S::PendingBlocked => 3,
            S::Mapped => 4,
            S::TableBlocked => 129,
            S::TableMapped => 132,
        }
    }
}

impl EntryState {
    /// Whether the entry maps a page; a free entry does not.
    pub(crate) fn is_leaf(self) -> bool {
        matches!(self, S::Mapped | S::Blocked | S::Pending | S::PendingBlocked)
    }

    /// The entry's permissions as the processor sees them, bits 2:0.
    pub(crate) fn rwx(self) -> u8 {
        if matches!(self, S::Mapped | S::TableMapped) { 0b111 } else { 0 }
    }
}

/// Bits of an entry that maps a page, whatever its state: suppress #VE, memory type write-back, no other by PAT, leaf.
const LEAF: u64 = 1 << 63 | 1 << 7 | 1 << 6 | 6 << 3;

/// Where a walk ended: an entry, present or free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    pub(crate) level: u8,
    pub(crate) entry: Entry,
}

impl Walked {
    /// RCX and RDX that tell about the entry; `mapped`: the permissions that one has which is mapped. Source:
    /// `set_arch_septe_details_in_vmm_regs`; the masks in `sept_manager.h` hide where a table is.
    pub(crate) fn details(self, mapped: u64) -> (u64, u64) {
        let state = self.entry.state;
        let entry = match state {
            S::Free => 1 << 63,
            _ if state.is_leaf() => self.entry.pa | LEAF,
            _ => 0,
        };
        let permissions = if state.rwx() == 0 { 0 } else { mapped };
        (entry | permissions, u64::from(self.level) | state.public() << 8)
    }
}

/// Bytes that an entry of this level maps.
pub(crate) const fn span(level: u8) -> u64 {
    4096 << (9 * level as u64)
}

/// An alleged guest-physical address with its level in bits 2:0, checked against a range of levels.
/// Source: TDX module `verify_page_info_input`.
pub(crate) fn check_gpa(raw: u64, levels: std::ops::RangeInclusive<u8>) -> Result<(u64, u8), Status> {
    let bad = Status::OPERAND_INVALID.operand(Operand::Rcx);
    let (level, gpa) = ((raw & 0b111) as u8, raw & 0x000F_FFFF_FFFF_F000);
    if raw != gpa | u64::from(level) || !levels.contains(&level) || !gpa.is_multiple_of(span(level)) {
        return Err(bad);
    }
    Ok((gpa, level))
}

impl Sept {
    /// The entry, free if there is none.
    pub(crate) fn entry(&self, gpa: u64, level: u8) -> Entry {
        let base = gpa / span(level) * span(level);
        self.entries.get(&(level, base)).copied().unwrap_or(Entry { state: S::Free, pa: 0 })
    }

    /// Sets an entry.
    pub(crate) fn set(&mut self, gpa: u64, level: u8, entry: Entry) {
        match entry.state {
            S::Free => self.entries.remove(&(level, gpa)),
            _ => self.entries.insert((level, gpa), entry),
        };
    }

    /// Walks from the root, whose entries are of level `root`, to the entry of `level`. On the error side: where the
    /// walk could not go on.
    pub(crate) fn walk(&self, gpa: u64, level: u8, root: u8) -> Result<Walked, Walked> {
        for upper in (level + 1..=root).rev() {
            let entry = self.entry(gpa, upper);
            if entry.state != S::TableMapped {
                return Err(Walked { level: upper, entry });
            }
        }
        Ok(Walked { level, entry: self.entry(gpa, level) })
    }

    /// The physical address that a TD's access reaches, or where the walk ended.
    pub(crate) fn translate(&self, gpa: u64, root: u8) -> Result<u64, Walked> {
        // A walk to a 4 KB page ends above it at a larger page.
        let (Ok(walked) | Err(walked)) = self.walk(gpa, 0, root);
        match walked.entry.state {
            S::Mapped => Ok(walked.entry.pa + gpa % span(walked.level)),
            _ => Err(walked),
        }
    }

    /// All tables and pages, with their level.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u8, u64, Entry)> {
        self.entries.iter().map(|((level, gpa), entry)| (*level, *gpa, *entry))
    }

    /// All pages with their level, the smallest first, and among those of one level by guest-physical address.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u8, u64, Entry)> {
        self.entries().filter(|(_, _, entry)| entry.state.is_leaf())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_can_be_reached_through_its_tables() {
        let mut sept = Sept::default();
        for level in 1..=3 {
            sept.set(0, level, Entry { state: S::TableMapped, pa: 0x1000 * u64::from(level) });
        }
        sept.set(0x3000, 0, Entry { state: S::Mapped, pa: 0x9000 });
        assert_eq!(sept.translate(0x3000, 3), Ok(0x9000));
    }

    #[test]
    fn a_larger_page_is_reached_at_an_offset() {
        let mut sept = Sept::default();
        for level in 2..=3 {
            sept.set(0, level, Entry { state: S::TableMapped, pa: 0x1000 * u64::from(level) });
        }
        sept.set(0x20_0000, 1, Entry { state: S::Mapped, pa: 0x4000_0000 });
        assert_eq!(sept.translate(0x2F_F123, 3), Ok(0x400F_F123));
        sept.set(0x20_0000, 1, Entry { state: S::Pending, pa: 0x4000_0000 });
        assert_eq!(sept.translate(0x20_0000, 3).expect_err("pending").level, 1);
    }

    #[test]
    fn a_page_cannot_be_reached_without_or_through_blocked_tables() {
        let mut sept = Sept::default();
        sept.set(0, 3, Entry { state: S::TableMapped, pa: 0x1000 });
        let stopped = sept.walk(0, 0, 3).expect_err("no level 2 table");
        assert_eq!((stopped.level, stopped.entry.state), (2, S::Free));
        assert_eq!(stopped.details(7), (1 << 63, 2));
        sept.set(0, 3, Entry { state: S::TableBlocked, pa: 0x1000 });
        assert_eq!(sept.walk(0, 2, 3).expect_err("blocked").level, 3);
    }

    /// Every state with what it becomes when blocked and unblocked, and the second word of details at level 0.
    const STATES: [(S, S, S, u64); 7] = [
        (S::Free, S::Free, S::Free, 0),
        (S::TableMapped, S::TableBlocked, S::TableMapped, 0x8400),
        (S::TableBlocked, S::TableBlocked, S::TableMapped, 0x8100),
        (S::Mapped, S::Blocked, S::Mapped, 0x400),
        (S::Blocked, S::Blocked, S::Mapped, 0x100),
        (S::Pending, S::PendingBlocked, S::Pending, 0x200),
        (S::PendingBlocked, S::PendingBlocked, S::Pending, 0x300),
    ];

    #[test]
    fn states_can_be_blocked_and_unblocked() {
        for (state, blocked, unblocked, details) in STATES {
            assert_eq!((state.blocked(), state.unblocked()), (blocked, unblocked), "{state:?}");
            assert_eq!(state.is_blocked(), state == blocked && state != S::Free, "{state:?}");
            let walked = Walked { level: 0, entry: Entry { state, pa: 0x5000 } };
            assert_eq!(walked.details(7).1, details, "{state:?}");
        }
    }

    #[test]
    fn details_tell_of_the_entry() {
        for (state, word) in [
            (S::Free, 1 << 63),
            (S::TableMapped, 7),
            (S::TableBlocked, 0),
            (S::Mapped, 0x8000_0000_0000_50F7),
            (S::Blocked, 0x8000_0000_0000_50F0),
            (S::Pending, 0x8000_0000_0000_50F0),
            (S::PendingBlocked, 0x8000_0000_0000_50F0),
        ] {
            let walked = Walked { level: 2, entry: Entry { state, pa: 0x5000 } };
            let (first, second) = walked.details(7);
            assert_eq!((first, second & 0xFF), (word, 2), "{state:?}");
            let is_mapped = matches!(state, S::Mapped | S::TableMapped);
            assert_eq!(walked.details(0x407).0, word | if is_mapped { 0x400 } else { 0 }, "{state:?}");
        }
    }

    #[test]
    fn leaves_take_entries_as_the_table_says() {
        // Columns: the states in the order of STATES.
        for (leaf, row) in [
            (Leaf::MemPageAdd, "x......"),
            (Leaf::MemPageAug, "x......"),
            (Leaf::MemSeptAdd, "xx....."),
            (Leaf::MemRangeBlock, ".x.x.x."),
            (Leaf::MemRangeUnblock, "..x.x.x"),
            (Leaf::MemPageRemove, "...xxxx"),
            (Leaf::MrExtend, "...x..."),
            (Leaf::MemPageDemote, "...xxxx"),
            (Leaf::MemPagePromote, ".xx...."),
            (Leaf::VpEnter, "......."),
        ] {
            let cell = |(state, ..): (S, S, S, u64)| if state.allows(leaf) { 'x' } else { '.' };
            assert_eq!(STATES.map(cell).into_iter().collect::<String>(), row, "{leaf:?}");
        }
    }

    #[test]
    fn a_level_maps_512_times_the_one_below() {
        assert_eq!([0, 1, 2, 3, 4].map(span), [1 << 12, 1 << 21, 1 << 30, 1 << 39, 1 << 48]);
    }

    #[test]
    fn tables_and_pages_are_listed_apart() {
        let mut sept = Sept::default();
        let table = Entry { state: S::TableMapped, pa: 0x1000 };
        let page = Entry { state: S::Pending, pa: 0x2000 };
        sept.set(0, 1, table);
        sept.set(0x5000, 0, page);
        assert_eq!(sept.entries().collect::<Vec<_>>(), [(0, 0x5000, page), (1, 0, table)]);
        assert_eq!(sept.pages().collect::<Vec<_>>(), [(0, 0x5000, page)]);
        assert_eq!(sept.entry(0x1F_F000, 1), table, "any address that it maps");
        assert_eq!(sept.entry(0x20_0000, 1).state, S::Free);
        sept.set(0x5000, 0, Entry { state: S::Free, pa: 0 });
        assert_eq!(sept.pages().count(), 0);
    }

    #[test]
    fn addresses_cannot_be_unaligned_or_of_another_level() {
        assert_eq!(check_gpa(0x20_0001, 1..=3), Ok((0x20_0000, 1)));
        for raw in [0x1001, 0x20_0000, 0x20_0004, 0x20_0009, 1 << 52 | 1] {
            assert!(check_gpa(raw, 1..=3).is_err(), "{raw:#x}");
        }
    }
}
