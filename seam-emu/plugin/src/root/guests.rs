//! TDs' vCPUs that run machine code, and the nested page tables of their TDs.

use super::hidden::Hidden;
use seam_emu::{Firmware, Start, VpEntry};
use seam_td::hidden::{IOPM, MSRPM, PAGE, TABLES, VcpuPlace};
use seam_td::npt::{NestedTables, OutOfTables, Tables};
use seam_td::reset::{self, Maps};
use seam_td::td::Td;
use seam_td::vcpu::{About, Vcpu};
use seam_td::vmcb::{self, Vmcb};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A TD's vCPU that runs machine code.
#[derive(Debug)]
pub(super) struct Guest {
    /// Its TDVPR and its TD's TDR, physical addresses.
    pub(super) tdvpr: u64,
    pub(super) tdr: u64,
    /// Where the processor keeps its state.
    pub(super) place: VcpuPlace,
    /// What the module keeps.
    pub(super) vcpu: Vcpu,
    /// A non-maskable interrupt waits for it.
    pub(super) nmi: bool,
}

impl Guest {
    /// As seam-td sees it.
    pub(super) fn td<'a>(&'a mut self, hidden: &'a Hidden) -> Td<'a> {
        let (page, gprs) = hidden.registers(&mut self.place);
        Td { vmcb: Vmcb::new(page), gprs, vcpu: &mut self.vcpu }
    }
}

/// A TD's nested page tables.
#[derive(Debug)]
struct Domain {
    tables: NestedTables,
    /// Pages that the tables take, by physical address.
    pages: Vec<u64>,
    /// Number of the translations that are in the tables ([`VpEntry::translations`]).
    translations: u64,
    /// How often a VMM had invalidated its own translations.
    invalidations: u64,
    /// First address of shared memory.
    shared: u64,
}

#[derive(Debug, Default)]
struct Inner {
    /// vCPUs that no LP runs, by their TDVPR.
    resting: HashMap<u64, Guest>,
    domains: HashMap<u64, Domain>,
    free_places: Vec<VcpuPlace>,
    places: usize,
    free_tables: Vec<u64>,
    tables: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Guests(Mutex<Inner>);

impl Guests {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vCPU that an LP has entered. What must not be used any more is taken out of its TD's nested page tables. Call while the
    /// firmware that gave the entry is held.
    pub(super) fn take(
        &self,
        hidden: &Hidden,
        (firmware, entry): (&Firmware, &VpEntry),
        levels: u8,
        invalidations: u64,
    ) -> Guest {
        let mut inner = self.lock();
        if entry.start.is_some() {
            inner.forget_the_dead(firmware, entry);
        }
        let root = inner.refresh(hidden, entry, levels, invalidations).expect(NO_ROOM);
        let mut guest = match &entry.start {
            Some(start) => inner.begin(hidden, entry, start, root),
            None => inner.resting.remove(&entry.tdvpr).expect("a vCPU that was entered before is kept"),
        };
        guest.vcpu.about.vcpus = entry.vcpus;
        guest.nmi |= entry.nmi;
        guest
    }

    /// An LP has left it.
    pub(super) fn put(&self, guest: Guest) {
        self.lock().resting.insert(guest.tdvpr, guest);
    }

    /// Maps a page of a TD. Call while the firmware that named the page is held.
    pub(super) fn map(&self, hidden: &Hidden, tdr: u64, gpa: u64, (page, writable): (u64, bool)) {
        let mut inner = self.lock();
        let Inner { domains, free_tables, tables, .. } = &mut *inner;
        let domain = domains.get_mut(&tdr).expect("a TD that runs has tables");
        let mut arena = Arena { hidden, free: free_tables, used: tables, owned: &mut domain.pages };
        domain.tables.map(&mut arena, gpa, page, writable).expect(NO_ROOM);
    }
}

const NO_ROOM: &str = "hidden memory has room for the nested page tables of all TDs";

impl Inner {
    /// Frees what belongs to vCPUs and TDs that are gone, and to the one that begins anew.
    fn forget_the_dead(&mut self, firmware: &Firmware, begins: &VpEntry) {
        let lives = |guest: &Guest| guest.tdvpr != begins.tdvpr && firmware.has_vcpu(guest.tdvpr);
        let dead = self.resting.extract_if(|_, guest| !lives(guest));
        self.free_places.extend(dead.map(|(_, guest)| guest.place));
        let dead = self.domains.extract_if(|tdr, _| !firmware.has_td(*tdr));
        self.free_tables.extend(dead.flat_map(|(_, domain)| domain.pages));
    }

    /// Brings a TD's tables up to date. Returns the physical address of their root.
    fn refresh(
        &mut self,
        hidden: &Hidden,
        entry: &VpEntry,
        levels: u8,
        invalidations: u64,
    ) -> Result<u64, OutOfTables> {
        let Self { domains, free_tables, tables: used, .. } = self;
        let shared = entry.start.map(|start| first_shared(start.gpaw, levels));
        let Some(domain) = domains.get_mut(&entry.tdr) else {
            let mut pages = Vec::new();
            let mut arena = Arena { hidden, free: free_tables, used, owned: &mut pages };
            let tables = NestedTables::new(&mut arena, levels)?;
            let shared = shared.expect("a TD's tables are made when the first of its vCPUs begins");
            let translations = entry.translations;
            domains.insert(entry.tdr, Domain { tables, pages, translations, invalidations, shared });
            return Ok(tables.root);
        };
        // Another TD may have the same TDR by now, since a TD's end is seen only when a vCPU begins.
        domain.shared = shared.unwrap_or(domain.shared);
        let mut arena = Arena { hidden, free: free_tables, used, owned: &mut domain.pages };
        if domain.translations != entry.translations {
            domain.tables.clear(&mut arena, 0);
        } else if domain.invalidations != invalidations {
            domain.tables.clear(&mut arena, domain.shared);
        }
        (domain.translations, domain.invalidations) = (entry.translations, invalidations);
        Ok(domain.tables.root)
    }

    /// A vCPU that is entered for the first time.
    fn begin(&mut self, hidden: &Hidden, entry: &VpEntry, start: &Start, root: u64) -> Guest {
        let place = self.free_places.pop().or_else(|| {
            self.places += 1;
            VcpuPlace::of(self.places - 1)
        });
        let about = About {
            gpaw: start.gpaw,
            attributes: start.attributes,
            xfam: start.xfam,
            vcpus: entry.vcpus,
            max_vcpus: start.max_vcpus,
            index: start.index,
            cpuid_1_eax: start.cpuid_1_eax,
            arch_capabilities: start.arch_capabilities,
        };
        let mut guest = Guest {
            tdvpr: entry.tdvpr,
            tdr: entry.tdr,
            place: place.expect("hidden memory has room for the vCPUs of all TDs"),
            vcpu: Vcpu::new(about),
            nmi: false,
        };
        hidden.clear_page(guest.place.gprs());
        reset::xsave(hidden.xsave(&mut guest.place));
        let maps = Maps { iopm: hidden.physical + IOPM, msrpm: hidden.physical + MSRPM, nested_cr3: root };
        let td = guest.td(hidden);
        let (mut block, gprs, vcpu) = (td.vmcb, td.gprs, &*td.vcpu);
        reset::reset(&mut block, gprs, vcpu, maps, start.initial_rcx);
        debug_assert_ne!(block.get(vmcb::NESTED_CR3), 0);
        guest
    }
}

/// First address of shared memory, which the nested page tables must tell from private memory.
fn first_shared(gpaw: u8, levels: u8) -> u64 {
    const BITS_OF_PAGE: u8 = 12;
    const BITS_OF_LEVEL: u8 = 9;
    let reach = BITS_OF_PAGE + BITS_OF_LEVEL * levels;
    assert!(gpaw <= reach, "a TD with {gpaw} address bits needs a VMM with page tables of 5 levels (CR4.LA57)");
    1 << (gpaw - 1)
}

/// Hidden memory as far as tables lie in it.
struct Arena<'a> {
    hidden: &'a Hidden,
    free: &'a mut Vec<u64>,
    /// Bytes that were ever used.
    used: &'a mut u64,
    owned: &'a mut Vec<u64>,
}

impl Tables for Arena<'_> {
    fn read(&self, at: u64) -> u64 {
        self.hidden.word(at - self.hidden.physical).load(Relaxed)
    }

    fn write(&mut self, at: u64, entry: u64) {
        // The processor of another LP may walk here.
        self.hidden.word(at - self.hidden.physical).store(entry, std::sync::atomic::Ordering::Release);
    }

    fn allocate(&mut self) -> Option<u64> {
        let page = self.free.pop().or_else(|| {
            let offset = TABLES.start + *self.used;
            *self.used += PAGE;
            (offset + PAGE <= TABLES.end).then_some(self.hidden.physical + offset)
        })?;
        self.hidden.clear_page(page - self.hidden.physical);
        self.owned.push(page);
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hidden::for_tests;
    use super::*;

    const FIRST: VpEntry = VpEntry {
        tdvpr: 0x1000,
        tdr: 0x9000,
        vcpus: 1,
        translations: 1,
        nmi: false,
        start: Some(Start {
            gpaw: 48,
            attributes: 0,
            xfam: 7,
            max_vcpus: 1,
            index: 0,
            initial_rcx: 0xABCD,
            cpuid_1_eax: 0,
            arch_capabilities: 0,
        }),
    };
    const AGAIN: VpEntry = VpEntry { start: None, ..FIRST };
    const SHARED: u64 = 1 << 47;

    /// Tables of the TD after an entry: whether a private and a shared page are mapped.
    fn mapped(inner: &mut Inner, hidden: &Hidden, entry: &VpEntry, invalidations: u64) -> [bool; 2] {
        inner.refresh(hidden, entry, 5, invalidations).unwrap();
        let Inner { domains, free_tables, tables, .. } = inner;
        let domain = domains.get_mut(&entry.tdr).unwrap();
        let arena = Arena { hidden, free: free_tables, used: tables, owned: &mut domain.pages };
        [0x1000, SHARED].map(|gpa| domain.tables.translate(&arena, gpa).is_some())
    }

    fn map(inner: &mut Inner, hidden: &Hidden) {
        let Inner { domains, free_tables, tables, .. } = inner;
        let domain = domains.get_mut(&FIRST.tdr).unwrap();
        let mut arena = Arena { hidden, free: free_tables, used: tables, owned: &mut domain.pages };
        for gpa in [0x1000, SHARED] {
            domain.tables.map(&mut arena, gpa, 0x5000, true).unwrap();
        }
    }

    #[test]
    fn translations_go_when_they_must_not_be_used_any_more() {
        let (hidden, mut inner) = (for_tests(), Inner::default());
        assert_eq!(mapped(&mut inner, &hidden, &FIRST, 0), [false, false]);
        map(&mut inner, &hidden);
        assert_eq!(mapped(&mut inner, &hidden, &AGAIN, 0), [true, true]);
        assert_eq!(mapped(&mut inner, &hidden, &AGAIN, 1), [true, false], "the VMM changed its own tables");
        map(&mut inner, &hidden);
        let blocked = VpEntry { translations: 2, ..AGAIN };
        assert_eq!(mapped(&mut inner, &hidden, &blocked, 1), [false, false], "a range was blocked");
    }

    /// The VMM tears a TD down and builds another one on the same TDR, before any other vCPU begins.
    #[test]
    fn another_td_on_the_same_page_has_its_own_shared_memory() {
        let (hidden, mut inner) = (for_tests(), Inner::default());
        let wide = VpEntry { start: Some(Start { gpaw: 52, ..FIRST.start.unwrap() }), ..FIRST };
        mapped(&mut inner, &hidden, &wide, 0);
        let another = VpEntry { translations: 2, ..FIRST };
        assert_eq!(mapped(&mut inner, &hidden, &another, 0), [false, false]);
        map(&mut inner, &hidden);
        let again = VpEntry { start: None, ..another };
        assert_eq!(mapped(&mut inner, &hidden, &again, 1), [true, false], "the VMM changed its own tables");
    }

    #[test]
    #[should_panic(expected = "needs a VMM with page tables of 5 levels")]
    fn shared_memory_that_four_levels_take_for_private_is_refused() {
        let wide = VpEntry { start: Some(Start { gpaw: 52, ..FIRST.start.unwrap() }), ..FIRST };
        let _ = Inner::default().refresh(&for_tests(), &wide, 4, 0);
    }

    #[test]
    fn a_vcpu_begins_as_the_module_has_it() {
        let (hidden, mut inner) = (for_tests(), Inner::default());
        let root = inner.refresh(&hidden, &FIRST, 4, 0).unwrap();
        let mut guest = inner.begin(&hidden, &FIRST, &FIRST.start.unwrap(), root);
        let td = guest.td(&hidden);
        assert_eq!((td.vmcb.get(vmcb::RIP), td.vmcb.get(vmcb::NESTED_CR3)), (0xFFFF_FFF0, root));
        assert_eq!((td.gprs[1], td.gprs[3]), (0xABCD, 48));
    }

    #[test]
    fn tables_are_zero_again_when_they_are_used_again() {
        let hidden = for_tests();
        let (mut free, mut used, mut owned) = (Vec::new(), 0, Vec::new());
        let mut arena = Arena { hidden: &hidden, free: &mut free, used: &mut used, owned: &mut owned };
        let page = arena.allocate().unwrap();
        arena.write(page, 7);
        let (mut free, mut owned) = (std::mem::take(&mut owned), Vec::new());
        let mut arena = Arena { hidden: &hidden, free: &mut free, used: &mut used, owned: &mut owned };
        assert_eq!(arena.allocate(), Some(page));
        assert_eq!(arena.read(page), 0);
    }

    #[test]
    fn tables_cannot_take_more_than_there_is() {
        let hidden = for_tests();
        let (mut free, mut used, mut owned) = (Vec::new(), TABLES.end - TABLES.start - PAGE, Vec::new());
        let mut arena = Arena { hidden: &hidden, free: &mut free, used: &mut used, owned: &mut owned };
        assert!(arena.allocate().is_some());
        assert_eq!(arena.allocate(), None);
    }
}
