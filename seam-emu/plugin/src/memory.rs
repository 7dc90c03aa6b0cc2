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
