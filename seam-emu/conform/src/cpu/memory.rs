//! Physical memory that several software CPUs share.
//!
//! `unsafe` because Unicorn writes to it while a CPU runs, so it cannot be a Rust slice: it is reached by copies through its
//! address. The mapping lives as long as anybody has a handle, engines included.
#![expect(unsafe_code, reason = "memory that C code writes, and that is handed to it")]

use memmap2::MmapRaw;
use seam_emu::{BadAddress, GuestMemory};
use std::rc::Rc;
use unicorn_engine::{Permission, Unicorn, uc_error};

/// A handle on the memory.
#[derive(Clone)]
pub(super) struct SharedMemory(Rc<MmapRaw>);

impl SharedMemory {
    /// `size` bytes of zeros, which take room when they are touched.
    pub(super) fn new(size: usize) -> std::io::Result<Self> {
        Ok(Self(Rc::new(memmap2::MmapMut::map_anon(size)?.into())))
    }

    /// Where `length` bytes at a physical address lie.
    fn at(&self, pa: u64, length: usize) -> Result<*mut u8, BadAddress> {
        let end = usize::try_from(pa).ok().and_then(|start| start.checked_add(length));
        if end.is_none_or(|end| end > self.0.len()) {
            return Err(BadAddress(pa));
        }
        Ok(self.0.as_mut_ptr().wrapping_add(pa as usize))
    }

    /// Makes it the memory of a CPU, which must not outlive this handle.
    pub(super) fn map_into<D>(&self, cpu: &mut Unicorn<'_, D>) -> Result<(), uc_error> {
        // SAFETY: the mapping has this size, and the caller keeps a handle as long as the CPU.
        unsafe { cpu.mem_map_ptr(0, self.0.len(), Permission::ALL, self.0.as_mut_ptr().cast()) }
    }
}

impl GuestMemory for SharedMemory {
    fn read(&self, pa: u64, buf: &mut [u8]) -> Result<(), BadAddress> {
        let from = self.at(pa, buf.len())?;
        // SAFETY: the bytes lie in the mapping, `buf` does not, and all CPUs run on this thread, none of them now.
        unsafe { std::ptr::copy_nonoverlapping(from, buf.as_mut_ptr(), buf.len()) };
        Ok(())
    }

    fn write(&mut self, pa: u64, data: &[u8]) -> Result<(), BadAddress> {
        let to = self.at(pa, data.len())?;
        // SAFETY: as above; nobody has a reference into the mapping.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
        Ok(())
    }
}
