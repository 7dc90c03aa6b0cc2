//! Memory shared with a guest, mapped between pages to which all access faults.

#![allow(unsafe_code, reason = "memory that a guest changes at any time is reached through raw pointers and atomics")]

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Untouchable space on either side: whatever slips past the checks ends in it, with a signal.
const GUARD: usize = 1 << 20;

/// Anonymous memory with a file descriptor, mapped here and by QEMU. All accesses are atomic, since the guest's are not ours
/// to order; bytes may tear between words, as on hardware.
#[derive(Debug)]
pub struct Shared {
    file: OwnedFd,
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is plain memory that lives as long as the value, and every access to it is atomic.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// `len` bytes of zeros, a multiple of the page size.
    pub fn create(name: &str, len: usize) -> io::Result<Self> {
        assert!(len.is_multiple_of(4096) && len > 0, "whole pages only, not {len} bytes");
        let file = memfd_create(name, MFdFlags::MFD_CLOEXEC)?;
        ftruncate(&file, i64::try_from(len).map_err(io::Error::other)?)?;
        let base = map_between_guards(file.as_fd(), len)?;
        Ok(Self { file, base, len })
    }

    /// Memory that another made, all of its file.
    pub fn open(file: OwnedFd) -> io::Result<Self> {
        let len = usize::try_from(fstat(&file)?.st_size).map_err(io::Error::other)?;
        let base = map_between_guards(file.as_fd(), len)?;
        Ok(Self { file, base, len })
    }

    /// Its file, to be mapped by others.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: see [`Shared::create`].
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The 32-bit word at a byte offset, a multiple of 4.
    pub fn word32(&self, offset: usize) -> &AtomicU32 {
        self.check(offset, 4);
        #[expect(clippy::cast_ptr_alignment, reason = "checked; a mapping begins at a page")]
        // SAFETY: in bounds and aligned, by the check; any bit pattern is valid; all accesses are atomic.
        unsafe {
            &*self.base.as_ptr().add(offset).cast::<AtomicU32>()
        }
    }

    /// The 64-bit word at a byte offset, a multiple of 8.
    pub fn word64(&self, offset: usize) -> &AtomicU64 {
        self.check(offset, 8);
        #[expect(clippy::cast_ptr_alignment, reason = "checked; a mapping begins at a page")]
        // SAFETY: as above.
        unsafe {
            &*self.base.as_ptr().add(offset).cast::<AtomicU64>()
        }
    }

    fn byte(&self, offset: usize) -> &AtomicU8 {
        self.check(offset, 1);
        // SAFETY: as above.
        unsafe { &*self.base.as_ptr().add(offset).cast::<AtomicU8>() }
    }

    fn check(&self, offset: usize, size: usize) {
        let fits = offset.checked_add(size).is_some_and(|end| end <= self.len);
        assert!(fits && offset.is_multiple_of(size), "{size} bytes at {offset:#x} are not in {:#x}", self.len);
    }

    /// Copies from the memory; false when the range is not all in it.
    pub fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        if offset.checked_add(buf.len()).is_none_or(|end| end > self.len) {
            return false;
        }
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let n = if at.is_multiple_of(8) && rest.len() >= 8 {
                let word = self.word64(at).load(Ordering::Relaxed).to_ne_bytes();
                rest[..8].copy_from_slice(&word);
                8
            } else {
                rest[0] = self.byte(at).load(Ordering::Relaxed);
                1
            };
            at += n;
            rest = &mut rest[n..];
        }
        true
    }

    /// Copies into the memory; false, and nothing is written, when the range is not all in it.
    pub fn write(&self, offset: usize, data: &[u8]) -> bool {
        if offset.checked_add(data.len()).is_none_or(|end| end > self.len) {
            return false;
        }
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let n = if at.is_multiple_of(8) && rest.len() >= 8 {
                let word = u64::from_ne_bytes(rest[..8].try_into().expect("eight bytes"));
                self.word64(at).store(word, Ordering::Relaxed);
                8
            } else {
                self.byte(at).store(rest[0], Ordering::Relaxed);
                1
            };
            at += n;
            rest = &rest[n..];
        }
        true
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the whole reservation was made by `map_between_guards`, and nothing borrows from it any more.
        unsafe { libc::munmap(self.base.as_ptr().sub(GUARD).cast(), self.len + 2 * GUARD) };
    }
}

fn map_between_guards(file: BorrowedFd<'_>, len: usize) -> io::Result<NonNull<u8>> {
    let whole = len.checked_add(2 * GUARD).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: a new reservation without access at an address of the kernel's choice.
    let reserved = unsafe {
        libc::mmap(
            null_mut(),
            whole,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if reserved == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: replaces the middle of the reservation that was just made and that no other code knows.
    let mapped = unsafe {
        let middle = reserved.cast::<u8>().add(GUARD).cast();
        libc::mmap(middle, len, access, libc::MAP_SHARED | libc::MAP_FIXED, file.as_raw_fd(), 0)
    };
    if mapped == libc::MAP_FAILED {
        let error = io::Error::last_os_error();
        // SAFETY: gives the reservation back.
        unsafe { libc::munmap(reserved, whole) };
        return Err(error);
    }
    Ok(NonNull::new(mapped.cast()).expect("a mapping is not at 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_at_any_alignment() {
        let memory = Shared::create("test", 8192).unwrap();
        let data: Vec<u8> = (0..100).collect();
        for offset in [0, 1, 7, 4090, 8092] {
            assert!(memory.write(offset, &data));
            let mut back = vec![0; 100];
            assert!(memory.read(offset, &mut back));
            assert_eq!(back, data);
        }
        memory.word64(8).store(0x0102_0304_0506_0708, Ordering::Relaxed);
        assert_eq!(memory.word32(8).load(Ordering::Relaxed), 0x0506_0708);
    }

    #[test]
    fn nothing_is_reached_beyond_either_end() {
        let memory = Shared::create("test", 4096).unwrap();
        for (offset, len) in [(4096, 1), (4095, 2), (usize::MAX, 1), (usize::MAX - 3, 8), (0, 4097)] {
            assert!(!memory.read(offset, &mut vec![0; len]), "{offset:#x}");
            assert!(!memory.write(offset, &vec![1; len]), "{offset:#x}");
        }
        let mut all = vec![1; 4096];
        assert!(memory.read(0, &mut all));
        assert!(all.iter().all(|b| *b == 0), "a refused write wrote nothing");
    }
}
