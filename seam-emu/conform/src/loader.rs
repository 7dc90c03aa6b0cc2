//! Loads a module as P-SEAMLDR does in SEAMLDR.INSTALL, for the first time or as an update.
//!
//! Source: P-SEAMLDR 1.5.02 `seamldr_install.c`, `seam_memory_map.c`, `elf.c`, `helpers.c`.

use crate::layout::Layout;
use crate::module_file::{ModuleFile, PAGE};
use crate::paging::{self, Builder, bit};
use crate::platform::{MODULE_LIMIT, SEAM_RANGE, Topology, without_keyid};
use crate::sizes::Sizes;
use crate::sysinfo;
use crate::vmcs::Vmcs;
use seam_emu::{BadAddress, GuestMemory};
use std::collections::HashMap;
use thiserror::Error;

/// Bytes of the header of handoff data: valid, reserved, version, size of the rest.
const HANDOFF_HEADER: u64 = 8;

/// Why P-SEAMLDR does not load a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LoadError {
    #[error("there is no valid handoff data for an update: the module was not shut down")]
    NoHandoff,
    #[error("the handoff data has version {found}, and the module takes {least} to {most}")]
    HandoffVersion { found: u16, least: u16, most: u16 },
    #[error("the handoff data has {size} bytes and does not fit into its {pages} pages")]
    HandoffSize { size: u64, pages: u64 },
    #[error(transparent)]
    NoRam(#[from] BadAddress),
}

/// A module in memory.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Where it lies.
    pub layout: Layout,
    /// The LPs' SEAM VMCSs, by physical address.
    pub vmcss: HashMap<u64, Vmcs>,
}

/// Loads a module into empty SEAM memory, or with `update` beside the handoff data of the module that was there.
pub fn load(
    memory: &mut dyn GuestMemory,
    topology: Topology,
    module: &ModuleFile,
    sizes: Sizes,
    random: u64,
    update: bool,
) -> Result<Loaded, LoadError> {
    let layout = Layout::plan(topology, sizes, random);
    if update {
        let kept = check_handoff(memory, &layout)?;
        zero(memory, SEAM_RANGE.base, layout.data_pa)?;
        zero(memory, layout.data_pa + kept, MODULE_LIMIT)?;
    } else {
        zero(memory, SEAM_RANGE.base, MODULE_LIMIT)?;
    }
    map(memory, &layout, module)?;
    memory.write(layout.code_pa, &relocated(module, layout.linear.code))?;
    memory.write(layout.sysinfo_pa, &sysinfo::table(topology, &layout, module.pages()))?;
    let vmcss = (0..layout.lps as u32)
        .map(|apic_id| (layout.vmcs_of(apic_id), Vmcs::of_lp(&layout, module.entry, apic_id)))
        .collect();
    Ok(Loaded { layout, vmcss })
}

/// Checks handoff data against the table of the module that wrote it and the versions that its successor takes. Gives the
/// bytes that are kept.
fn check_handoff(memory: &dyn GuestMemory, layout: &Layout) -> Result<u64, LoadError> {
    let mut table = [0; PAGE as usize];
    memory.read(layout.sysinfo_pa, &mut table)?;
    let mut header = [0; HANDOFF_HEADER as usize];
    memory.read(layout.data_pa, &mut header)?;
    let [valid, _, hv_0, hv_1, size @ ..] = header;
    if valid != 1 {
        return Err(LoadError::NoHandoff);
    }
    let found = u16::from_le_bytes([hv_0, hv_1]);
    let (least, most) = (layout.sizes.min_update_hv, layout.sizes.module_hv);
    if !(least..=most).contains(&found) {
        return Err(LoadError::HandoffVersion { found, least, most });
    }
    let size = u64::from(u32::from_le_bytes(size));
    let pages = sysinfo::handoff_pages(&table) + 1;
    if size + HANDOFF_HEADER > pages * PAGE {
        return Err(LoadError::HandoffSize { size, pages });
    }
    Ok(size + HANDOFF_HEADER)
}

/// Zeroes `[from, to)`.
fn zero(memory: &mut dyn GuestMemory, from: u64, to: u64) -> Result<(), BadAddress> {
    let zeros = [0; PAGE as usize];
    let mut at = from;
    while at < to {
        let length = (PAGE - at % PAGE).min(to - at);
        memory.write(at, &zeros[..length as usize])?;
        at += length;
    }
    Ok(())
}

/// The pages with the load address in every relocated word.
fn relocated(module: &ModuleFile, base: u64) -> Vec<u8> {
    let mut image = module.image.clone();
    for relocation in &module.relocations {
        let at = relocation.offset as usize;
        image[at..at + 8].copy_from_slice(&base.wrapping_add(relocation.addend).to_le_bytes());
    }
    image
}

/// Makes the page tables.
fn map(memory: &mut dyn GuestMemory, layout: &Layout, module: &ModuleFile) -> Result<(), BadAddress> {
    use bit::{ACCESSED, DIRTY, NO_EXECUTE, PRESENT, USER, WRITABLE};
    const DATA: u64 = PRESENT | WRITABLE | ACCESSED | DIRTY | NO_EXECUTE;
    const SHADOW_STACK: u64 = PRESENT | ACCESSED | DIRTY | NO_EXECUTE;
    let linear = &layout.linear;
    let mut tables = Builder::new(memory, layout.pml4_pa);
    tables.map_range(linear.code, layout.code_pa, module.pages() * PAGE, PRESENT | ACCESSED)?;
    tables.map_range(linear.data, layout.data_pa, layout.data_size(), DATA)?;
    let stack = Sizes::bytes(layout.sizes.stack);
    for lp in 0..layout.lps {
        let offset = lp * layout.sizes.stack_of_lp();
        tables.map_range(linear.stack + offset, layout.stack_pa + offset, stack, DATA)?;
        tables.map_range(linear.stack + offset + stack, layout.stack_pa + offset + stack, PAGE, SHADOW_STACK)?;
    }
    tables.map(linear.sysinfo, layout.sysinfo_pa | PRESENT | ACCESSED | NO_EXECUTE, 0)?;
    let (mut last, mut edit) = (None, linear.keyhole_edit);
    for offset in (0..layout.keyhole_size()).step_by(PAGE as usize) {
        let table = tables.map(linear.keyhole + offset, 0, NO_EXECUTE)?;
        if last != Some(table) {
            tables.map(edit, table | DATA | USER, 0)?;
            (last, edit) = (Some(table), edit + PAGE);
        }
    }
    Ok(())
}

/// Takes the KeyID out of the entries of an LP's keyholes. Memory here has none, and the CPU would take its bits for an
/// address. Gives the number of entries that had one.
pub(crate) fn strip_keyholes(
    memory: &mut dyn GuestMemory,
    layout: &Layout,
    apic_id: u32,
) -> Result<u64, paging::MemoryFault> {
    let (first, entries) = layout.keyhole_entries(apic_id);
    let mut bytes = vec![0; entries as usize * 8];
    paging::read(memory, layout.pml4_pa, first, &mut bytes)?;
    let mut stripped = 0;
    for (i, entry) in bytes.chunks_exact(8).enumerate() {
        let entry = u64::from_le_bytes(entry.try_into().expect("8 bytes"));
        let address = entry & bit::ADDRESS;
        if entry & bit::PRESENT != 0 && without_keyid(address) != address {
            let plain = entry & !bit::ADDRESS | without_keyid(address);
            paging::write(memory, layout.pml4_pa, first + 8 * i as u64, &plain.to_le_bytes())?;
            stripped += 1;
        }
    }
    Ok(stripped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module_file::Relocation;
    use seam_emu::SparseMemory;

    const TOPOLOGY: Topology = Topology { packages: 1, lps_per_package: 2 };

    fn module() -> ModuleFile {
        let mut module = ModuleFile {
            entry: 0x10,
            image: vec![0; 2 * PAGE as usize],
            relocations: vec![Relocation { offset: 0x1008, addend: 0x10 }],
            ..ModuleFile::default()
        };
        module.image[0x10] = 0x90;
        module
    }

    fn memory() -> SparseMemory {
        SparseMemory::new(SEAM_RANGE.base + SEAM_RANGE.size)
    }

    fn word(memory: &SparseMemory, layout: &Layout, address: u64) -> u64 {
        let mut bytes = [0; 8];
        paging::read(memory, layout.pml4_pa, address, &mut bytes).expect("mapped");
        u64::from_le_bytes(bytes)
    }

    #[test]
    fn a_module_lies_where_its_vmcss_and_table_say() {
        let mut memory = memory();
        let loaded = load(&mut memory, TOPOLOGY, &module(), Sizes::default(), 4, false).expect("loads");
        let layout = loaded.layout;
        assert_eq!(layout.linear.code, 0xFFFF_8004_0000_0000);
        assert_eq!(word(&memory, &layout, layout.linear.code + 0x10), 0x90);
        assert_eq!(word(&memory, &layout, layout.linear.code + 0x1008), layout.linear.code + 0x10, "relocated");
        assert_eq!(word(&memory, &layout, layout.linear.sysinfo + 8), 1 << 32 | 2);
        assert_eq!(loaded.vmcss.len(), 2);
        let keyhole = paging::walk(&memory, layout.pml4_pa, layout.linear.keyhole);
        assert!(keyhole.is_err(), "keyholes lead nowhere yet");
    }

    #[test]
    fn a_keyhole_that_is_edited_leads_to_its_page_and_loses_its_keyid() {
        let mut memory = memory();
        let layout = load(&mut memory, TOPOLOGY, &module(), Sizes::default(), 0, false).expect("loads").layout;
        let (entry, _) = layout.keyhole_entries(1);
        let target = 33 << 46 | 0x1234_5000 | bit::PRESENT | bit::NO_EXECUTE;
        paging::write(&mut memory, layout.pml4_pa, entry + 8, &target.to_le_bytes()).expect("mapped");
        assert_eq!(strip_keyholes(&mut memory, &layout, 0), Ok(0), "another LP's");
        assert_eq!(strip_keyholes(&mut memory, &layout, 1), Ok(1));
        assert_eq!(word(&memory, &layout, entry + 8), 0x1234_5000 | bit::PRESENT | bit::NO_EXECUTE);
        let keyhole = layout.linear.keyhole + (128 + 1) * PAGE;
        assert_eq!(paging::walk(&memory, layout.pml4_pa, keyhole), Ok(0x1234_5000));
    }

    #[test]
    fn an_update_keeps_the_handoff_data_and_nothing_else() {
        let mut memory = memory();
        let sizes = Sizes { module_hv: 1, ..Sizes::default() };
        let layout = load(&mut memory, TOPOLOGY, &module(), Sizes::default(), 0, false).expect("loads").layout;
        let update = |memory: &mut SparseMemory, sizes| load(memory, TOPOLOGY, &module(), sizes, 0, true).map(drop);
        assert_eq!(update(&mut memory, sizes), Err(LoadError::NoHandoff));
        let mut area = vec![0xEE; 3 * PAGE as usize];
        area[..8].copy_from_slice(&[1, 0, 0, 0, 0x00, 0x10, 0, 0]);
        memory.write(layout.data_pa, &area).expect("RAM");
        let from_1 = Sizes { min_update_hv: 1, ..sizes };
        let refused = LoadError::HandoffVersion { found: 0, least: 1, most: 1 };
        assert_eq!(update(&mut memory, from_1), Err(refused));
        assert_eq!(update(&mut memory, sizes), Ok(()));
        let at = |offset: u64| paging::read_u64(&memory, layout.data_pa + offset).expect("RAM");
        assert_eq!((at(0), at(0x1000), at(0x1008)), (0x1000_0000_0001, 0xEEEE_EEEE_EEEE_EEEE, 0));
    }

    #[test]
    fn handoff_data_cannot_be_larger_than_the_area_of_the_module_that_wrote_it() {
        let mut memory = memory();
        let layout = load(&mut memory, TOPOLOGY, &module(), Sizes::default(), 0, false).expect("loads").layout;
        memory.write(layout.data_pa, &[1, 0, 0, 0, 0xF9, 0xDF, 0, 0]).expect("RAM");
        let refused = load(&mut memory, TOPOLOGY, &module(), Sizes::default(), 0, true).map(drop);
        assert_eq!(refused, Err(LoadError::HandoffSize { size: 0xDFF9, pages: 14 }));
    }
}
