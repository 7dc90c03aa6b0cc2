//! What hidden memory holds from the beginning: the stub, its gates, page tables and permission maps.

use super::hidden::Hidden;
use super::stub::{self, Place};
use seam_td::hidden::{self as map, LpPlace, context, gate, linear, thunk};
use seam_td::permissions::{IOPM_SIZE, msrpm};
use std::sync::atomic::Ordering::Relaxed;

/// Present and writable, for a table.
const TABLE: u64 = 0b11;
/// The same for a page of 2 MB, accessed and dirty already.
const LARGE_PAGE: u64 = 0b1110_0011;
const LARGE_PAGE_SIZE: u64 = 2 << 20;
/// PCD and PWT.
const UNCACHED: u64 = 0b1_1000;
/// Gates of an interrupt table.
const VECTORS: u64 = 256;

/// Fills hidden memory for a VMM with so many levels of page tables and this code segment.
pub(super) fn fill(hidden: &Hidden, levels: u8, selector: u16, lps: usize) {
    hidden.write(map::STUB, stub::code());
    let base = linear(levels);
    for vector in 0..VECTORS {
        let at = map::THUNKS + vector * 16;
        hidden.write(at, &thunk(vector as u8, at, map::STUB + Place::Gate.offset()));
        hidden.write(map::IDT + vector * 16, &gate(base + at, selector));
    }
    let entry = |to: u64, bits: u64| (hidden.physical + to) | bits;
    hidden.word(map::PML4).store(entry(map::PDPT, TABLE), Relaxed);
    hidden.word(map::PDPT).store(entry(map::PD, TABLE), Relaxed);
    for page in 0..map::SIZE / LARGE_PAGE_SIZE {
        hidden.word(map::PD + page * 8).store(entry(page * LARGE_PAGE_SIZE, LARGE_PAGE), Relaxed);
    }
    let apic = map::APIC / LARGE_PAGE_SIZE;
    hidden.word(map::PD + apic * 8).store(map::APIC_REGISTERS | LARGE_PAGE | UNCACHED, Relaxed);
    hidden.write(map::MSRPM, &msrpm());
    hidden.write(map::IOPM, &[0xFF; IOPM_SIZE]);
    for lp in 0..lps {
        fill_context(hidden, base, place(lp));
    }
}

/// An LP's place; as many LPs as have one are checked at the start.
pub(super) fn place(lp: usize) -> LpPlace {
    LpPlace::of(lp).expect("checked at the start")
}

fn fill_context(hidden: &Hidden, base: u64, place: LpPlace) {
    let at = place.context();
    for (field, value) in [
        (context::HOST_VMCB, hidden.physical + place.host_vmcb()),
        (context::HOST_SAVE, hidden.physical + place.host_save()),
        (context::HOST_XSAVE, base + place.xsave()),
        (context::APIC, base + map::APIC),
    ] {
        hidden.word(at + field).store(value, Relaxed);
    }
    let limit = (VECTORS * 16 - 1) as u16;
    hidden.write(at + context::STUB_IDTR, &limit.to_le_bytes());
    hidden.write(at + context::STUB_IDTR + 2, &(base + map::IDT).to_le_bytes());
}

/// Makes a copy of the VMM's top page table, with hidden memory in its slot. Returns its physical address, for CR3.
pub(super) fn address_space(hidden: &Hidden, levels: u8, lp: usize, top_table: &[u8]) -> u64 {
    let at = place(lp).top_table();
    hidden.write(at, top_table);
    let below = if levels == 5 { map::PML4 } else { map::PDPT };
    hidden.word(at + map::SLOT * 8).store((hidden.physical + below) | TABLE, Relaxed);
    hidden.physical + at
}

#[cfg(test)]
mod tests {
    use super::super::hidden::for_tests;
    use super::*;

    /// Walks page tables in hidden memory from a CR3.
    fn walk(hidden: &Hidden, cr3: u64, levels: u32, address: u64) -> u64 {
        let mut table = cr3;
        for level in (1..levels).rev() {
            let slot = address >> (12 + 9 * level) & 511;
            let entry = hidden.word(table - hidden.physical + slot * 8).load(Relaxed);
            assert_eq!(entry & 1, 1, "level {level}");
            if entry & 1 << 7 != 0 {
                let offset = (1 << (12 + 9 * level)) - 1;
                return entry & 0x000F_FFFF_FFFF_F000 & !offset | address & offset;
            }
            table = entry & 0x000F_FFFF_FFFF_F000;
        }
        panic!("only large pages")
    }

    #[test]
    fn hidden_memory_is_mapped_at_its_linear_address_and_the_rest_is_the_vmms() {
        for levels in [4, 5] {
            let hidden = for_tests();
            fill(&hidden, levels, 0x10, 2);
            let mut top = [0; 4096];
            top[8] = 0x67;
            let cr3 = address_space(&hidden, levels, 1, &top);
            for offset in [0, 0x1234, map::SIZE - 8] {
                let pa = walk(&hidden, cr3, levels.into(), linear(levels) + offset);
                assert_eq!(pa, hidden.physical + offset, "{levels} levels");
            }
            assert_eq!(walk(&hidden, cr3, levels.into(), linear(levels) + map::SIZE + 0xB0), 0xFEE0_00B0);
            assert_eq!(hidden.word(place(1).top_table() + 8).load(Relaxed), 0x67);
        }
    }

    #[test]
    fn gates_lead_to_the_thunk_of_their_vector() {
        let hidden = for_tests();
        fill(&hidden, 4, 0x10, 1);
        let low = hidden.word(map::IDT + 0x40 * 16).load(Relaxed);
        assert_eq!(low & 0xFFFF, map::THUNKS + 0x400);
        assert_eq!(low >> 16 & 0xFFFF, 0x10, "the code segment");
        // The operand begins 6 bytes behind the thunk's begin, and so lies in two words.
        let [first, second] = [0, 8].map(|at| hidden.word(map::THUNKS + 0x400 + at).load(Relaxed));
        assert_eq!(first >> 48 | (second & 0xFFFF) << 16, 0x8000_0040);
    }
}
