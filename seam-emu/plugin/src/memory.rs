//! The guest's memory, by physical and by virtual address, from inside a vCPU's callback.

#![allow(unsafe_code, reason = "memory access goes through QEMU's C interface")]

use crate::bytes;
use crate::ffi::{
    qemu_plugin_read_memory_hwaddr, qemu_plugin_read_memory_vaddr, qemu_plugin_write_memory_hwaddr,
    qemu_plugin_write_memory_vaddr,
};
use seam_emu::{BadAddress, GuestMemory};

/// Guest physical memory as the current vCPU sees it.
#[derive(Debug)]
pub(crate) struct Physical;

const OK: u32 = 0;

impl GuestMemory for Physical {
    fn read(&self, pa: u64, buf: &mut [u8]) -> Result<(), BadAddress> {
        if buf.is_empty() {
            return Ok(());
        }
        let len = buf.len();
        bytes::filled(
            // SAFETY: the buffer is this thread's; QEMU checks the address.
            |array| unsafe { qemu_plugin_read_memory_hwaddr(pa, array, len) } == OK,
            |data| buf.copy_from_slice(data),
        )
        .ok_or(BadAddress(pa))
    }

    fn write(&mut self, pa: u64, data: &[u8]) -> Result<(), BadAddress> {
        if data.is_empty() {
            return Ok(());
        }
        // SAFETY: as above.
        let result = bytes::with(data, |array| unsafe { qemu_plugin_write_memory_hwaddr(pa, array) });
        if result == OK { Ok(()) } else { Err(BadAddress(pa)) }
    }

    /// In one step where this QEMU tells where its memory lies, as all that have machine code in TDs do; else in two.
    fn clear_bits(&mut self, pa: u64, bits: u64) -> Result<u64, BadAddress> {
        if let Some(functions) = map::functions() {
            return functions.clear_bits(pa, bits).ok_or(BadAddress(pa));
        }
        let mut word = [0; 8];
        self.read(pa, &mut word)?;
        let before = u64::from_le_bytes(word);
        self.write(pa, &(before & !bits).to_le_bytes())?;
        Ok(before)
    }
}

/// Guest memory by its host address. Types are those of QEMU 11.1's `include/system/memory.h`.
mod map {
    use crate::exported;
    use std::ffi::c_void;
    use std::mem::transmute;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// `MemTxAttrs` without any: at most 8 bytes, so it is passed in a register.
    const NO_ATTRIBUTES: u64 = 0;
    const WORD: u64 = 8;

    pub(super) struct Functions {
        /// `address_space_memory`, all that the machine's processors reach.
        space: usize,
        map: extern "C" fn(*mut c_void, u64, *mut u64, bool, u64) -> *mut c_void,
        unmap: extern "C" fn(*mut c_void, *mut c_void, u64, bool, u64),
    }

    pub(super) fn functions() -> Option<&'static Functions> {
        static FOUND: OnceLock<Option<Functions>> = OnceLock::new();
        let find = || {
            let names = [c"address_space_memory", c"address_space_map", c"address_space_unmap"];
            let [space, map, unmap] = exported::find(names)?;
            // SAFETY: functions of these names have these types in QEMU 11.1.
            let (map, unmap) = unsafe {
                (
                    transmute::<*mut c_void, extern "C" fn(*mut c_void, u64, *mut u64, bool, u64) -> *mut c_void>(map),
                    transmute::<*mut c_void, extern "C" fn(*mut c_void, *mut c_void, u64, bool, u64)>(unmap),
                )
            };
            Some(Functions { space: space as usize, map, unmap })
        };
        FOUND.get_or_init(find).as_ref()
    }

    impl Functions {
        /// Clears bits of a word and gives it as it was; none where there is no RAM.
        pub(super) fn clear_bits(&self, pa: u64, bits: u64) -> Option<u64> {
            assert!(pa.is_multiple_of(WORD), "{pa:#x} is aligned");
            let space = self.space as *mut c_void;
            let mut length = WORD;
            let host = (self.map)(space, pa, &raw mut length, true, NO_ATTRIBUTES);
            if host.is_null() {
                return None;
            }
            if length != WORD {
                (self.unmap)(space, host, length, true, 0);
                return None;
            }
            // SAFETY: QEMU has mapped so many bytes for writing; processors write there as other threads do, in one step each.
            let word = unsafe { AtomicU64::from_ptr(host.cast()) };
            let before = word.fetch_and(!bits, Ordering::SeqCst);
            (self.unmap)(space, host, length, true, WORD);
            Some(before)
        }
    }
}

/// Reads at a virtual address of the current vCPU: none when it is not mapped.
pub(crate) fn read_virtual<const N: usize>(address: u64) -> Option<[u8; N]> {
    bytes::filled(
        // SAFETY: as above.
        |array| unsafe { qemu_plugin_read_memory_vaddr(address, array, N) },
        |data| data.try_into().ok(),
    )
    .flatten()
}

/// Reads this many bytes at a virtual address of the current vCPU: none when one of them is not mapped.
pub(crate) fn read_virtual_bytes(address: u64, length: usize) -> Option<Vec<u8>> {
    if length == 0 {
        return Some(Vec::new());
    }
    bytes::filled(
        // SAFETY: as above.
        |array| unsafe { qemu_plugin_read_memory_vaddr(address, array, length) },
        <[u8]>::to_vec,
    )
}

/// Writes at a virtual address of the current vCPU: false when it is not mapped.
pub(crate) fn write_virtual(address: u64, data: &[u8]) -> bool {
    // SAFETY: as above.
    bytes::with(data, |array| unsafe { qemu_plugin_write_memory_vaddr(address, array) })
}

/// Reads up to `N` bytes of code, fewer when the next page is not mapped.
pub(crate) fn read_code<const N: usize>(address: u64) -> Vec<u8> {
    let to_page_end = (0x1000 - (address & 0xfff)) as usize;
    let read = |len: usize| {
        bytes::filled(
            // SAFETY: as above.
            |array| unsafe { qemu_plugin_read_memory_vaddr(address, array, len) },
            <[u8]>::to_vec,
        )
    };
    read(N).or_else(|| read(N.min(to_page_end))).unwrap_or_default()
}
