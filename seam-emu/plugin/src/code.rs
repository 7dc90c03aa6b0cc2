//! Tells QEMU at once which guest memory holds code.
//!
//! The first time that QEMU translates code of a page it has all vCPUs notice writes to that page, and to that end walks the software
//! TLBs of all of them (`tlb_protect_code()` of QEMU 11.1's `accel/tcg/cputlb.c`): some MiB of memory at 64 vCPUs, under the page's
//! lock, for which others spin. A restored machine has nothing translated and pays for each page anew. Asked for the kernel's whole text before,
//! while the TLBs are empty, it finds nothing to do later. Pages without code come to no harm: the first write to one takes it out again.
//!
//! In a machine that boots such writes come twice: when the kernel is loaded, and when the boot CPU has put the alternatives for
//! this processor into its text. So it is told again behind each, before the other vCPUs run.

#![allow(unsafe_code, reason = "QEMU's function is looked up by name")]

use crate::exported;
use rig_wire::plan::PhysicalRange;
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Once;
use std::sync::atomic::{AtomicU8, Ordering};

/// `physical_memory_test_and_clear_dirty(start, length, client, dest)` of QEMU 11.1's `system/physmem.c`; the rig asks for it of that
/// version only. Addresses are RAM offsets, which for a q35's memory below the PCI hole are guest-physical addresses.
type TestAndClearDirty = extern "C" fn(start: u64, length: u64, client: u32, dest: *mut u64) -> bool;

/// `DIRTY_MEMORY_CODE` of `include/system/ramlist.h`.
const DIRTY_MEMORY_CODE: u32 = 1;

static TOLD: Once = Once::new();
/// vCPUs that translated code of the kernel's, the first two of them.
static IN_KERNEL: AtomicU8 = AtomicU8::new(0);

thread_local! {
    static WAS_IN_KERNEL: Cell<bool> = const { Cell::new(false) };
}

/// Call before the block at `pc` is translated: this memory holds code. A QEMU that does not export what that takes is only slower.
pub(crate) fn announce(code: &[PhysicalRange], pc: u64) {
    TOLD.call_once(|| tell(code));
    let is_kernels = pc.cast_signed() < 0;
    if is_kernels && !WAS_IN_KERNEL.replace(true) && IN_KERNEL.load(Ordering::Relaxed) < 2 {
        IN_KERNEL.fetch_add(1, Ordering::Relaxed);
        tell(code);
    }
}

fn tell(code: &[PhysicalRange]) {
    let Some([found]) = exported::find([c"physical_memory_test_and_clear_dirty"]) else { return };
    // SAFETY: the function of this name has this type in QEMU 11.1. A block is being translated, so the memory is there; it takes
    // the TLBs' locks only, which no translation holds.
    let clear = unsafe { std::mem::transmute::<*mut c_void, TestAndClearDirty>(found) };
    for range in code {
        clear(range.start, range.length, DIRTY_MEMORY_CODE, std::ptr::null_mut());
    }
}
