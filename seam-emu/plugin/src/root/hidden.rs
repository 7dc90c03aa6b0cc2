//! Memory that only SEAM root knows: guest RAM to QEMU, at an address that nobody told the guest.

#![allow(unsafe_code, reason = "the memory is QEMU's, reached by its host address")]

use seam_td::hidden::{PAGE, SIZE, VcpuPlace};
use seam_td::vmcb;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Hidden memory, of [`SIZE`] bytes.
#[derive(Debug)]
pub(super) struct Hidden {
    host: NonNull<u8>,
    /// Guest-physical address of its first byte.
    pub(super) physical: u64,
}

// SAFETY: RAM of the machine, which lives as long as the process. Words are accessed as atomics; whole pages only by the one LP
// to which they belong at that time.
unsafe impl Send for Hidden {}
// SAFETY: as above.
unsafe impl Sync for Hidden {}

impl Hidden {
    /// RAM at this host address.
    ///
    /// # Safety
    /// `host` leads to [`SIZE`] bytes that live as long as the process, aligned to a page, which nothing else in this process
    /// refers to.
    pub(super) unsafe fn new(host: NonNull<u8>, physical: u64) -> Self {
        Self { host, physical }
    }

    fn at(&self, offset: u64, length: u64) -> *mut u8 {
        assert!(offset.checked_add(length).is_some_and(|end| end <= SIZE), "{offset:#x} lies in hidden memory");
        // SAFETY: checked above.
        unsafe { self.host.as_ptr().add(offset as usize) }
    }

    /// A word, by offset.
    pub(super) fn word(&self, offset: u64) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8), "{offset:#x} is aligned");
        // SAFETY: in bounds and aligned; words that are shared are accessed as atomics alone.
        unsafe { AtomicU64::from_ptr(self.at(offset, 8).cast()) }
    }

    /// Half a word, by offset.
    pub(super) fn half(&self, offset: u64) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "{offset:#x} is aligned");
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).cast()) }
    }

    /// Writes bytes to a place that nobody else reads at this time.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) {
        // SAFETY: in bounds; the caller's promise keeps others away.
        unsafe { self.at(offset, bytes.len() as u64).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
    }

    /// Fills a page that nobody else reads at this time with zeros.
    pub(super) fn clear_page(&self, offset: u64) {
        // SAFETY: as above.
        unsafe { self.at(offset, PAGE).write_bytes(0, PAGE as usize) }
    }

    /// A vCPU's VMCB and general-purpose registers. Each place belongs to one vCPU, and that to the one LP that enters it.
    pub(super) fn registers<'a>(&'a self, place: &'a mut VcpuPlace) -> (&'a mut [u8; vmcb::SIZE], &'a mut [u64; 16]) {
        // SAFETY: in bounds, aligned and apart from one another; `guests.rs` makes each place once, it cannot be copied and is
        // borrowed meanwhile, and the processor reads and writes here only between VMRUN and #VMEXIT, when no callback has the place.
        unsafe { (&mut *self.at(place.vmcb(), PAGE).cast(), &mut *self.at(place.gprs(), PAGE).cast()) }
    }

    /// A vCPU's extended state, as [`Hidden::registers`].
    pub(super) fn xsave<'a>(&'a self, place: &'a mut VcpuPlace) -> &'a mut [u8; seam_td::hidden::XSAVE_SIZE] {
        // SAFETY: as above.
        unsafe { &mut *self.at(place.xsave(), seam_td::hidden::XSAVE_SIZE as u64).cast() }
    }

    /// Whether a host address leads here.
    pub(super) fn contains(&self, host: usize) -> bool {
        host.wrapping_sub(self.host.as_ptr() as usize) < SIZE as usize
    }
}

#[cfg(test)]
pub(super) fn for_tests() -> Hidden {
    use std::alloc::{Layout, alloc_zeroed};
    let layout = Layout::from_size_align(SIZE as usize, PAGE as usize).expect("a power of two");
    // SAFETY: never freed, and nothing else knows of it.
    unsafe { Hidden::new(NonNull::new(alloc_zeroed(layout)).expect("memory"), 0x20_0000_0000) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn words_and_pages_are_the_same_memory() {
        let hidden = for_tests();
        hidden.write(0x1008, &[1, 2, 0, 0, 0, 0, 0, 3]);
        assert_eq!(hidden.word(0x1008).load(Relaxed), 0x0300_0000_0000_0201);
        assert_eq!(hidden.half(0x100C).load(Relaxed), 0x0300_0000);
        hidden.clear_page(0x1000);
        assert_eq!(hidden.word(0x1008).load(Relaxed), 0);
        let mut place = VcpuPlace::of(3).unwrap();
        let (vmcb, gprs) = hidden.registers(&mut place);
        (vmcb[0], gprs[1]) = (7, 9);
        assert_eq!(hidden.word(place.vmcb()).load(Relaxed), 7);
        assert_eq!(hidden.word(place.gprs() + 8).load(Relaxed), 9);
    }

    #[test]
    #[should_panic(expected = "lies in hidden memory")]
    fn what_lies_beyond_cannot_be_reached() {
        for_tests().word(SIZE);
    }
}
