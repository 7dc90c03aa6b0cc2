//! Guest-physical memory, which the guest writes at the same time.

#![allow(unsafe_code, reason = "memory that a guest changes at any time is reached through raw pointers and atomics")]

use memmap2::{MmapMut, MmapRaw};
use seam_emu::{BadAddress, GuestMemory};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Memory from guest-physical address 0 on. A clone is the same memory. All accesses are atomic, since the guest's are
/// not ours to order; bytes may tear between words, as on hardware.
#[derive(Clone, Debug)]
pub struct Ram {
    map: Arc<MmapRaw>,
}

impl Ram {
    /// Zeros, of which the host gives a page when it is first touched. `bytes`: a multiple of 4096.
    pub fn new(bytes: usize) -> io::Result<Self> {
        assert!(bytes.is_multiple_of(4096) && bytes > 0, "whole pages only, not {bytes} bytes");
        Ok(Self { map: Arc::new(MmapMut::map_anon(bytes)?.into()) })
    }

    /// How much it is, bytes.
    pub fn size(&self) -> u64 {
        self.map.len() as u64
    }

    /// Where it lies in this process.
    pub fn host_address(&self) -> u64 {
        self.map.as_ptr() as u64
    }

    /// The value of the word of `size` bytes, 4 or 8, at its natural alignment; none where no memory is.
    pub fn load(&self, pa: u64, size: u8) -> Option<u64> {
        match size {
            4 => Some(self.word32(pa)?.load(Ordering::SeqCst).into()),
            8 => Some(self.word64(pa)?.load(Ordering::SeqCst)),
            _ => None,
        }
    }

    /// Stores the lower `size` bytes, 4 or 8, of `value`; false, and nothing is stored, where [`Ram::load`] gives none.
    pub fn store(&self, pa: u64, size: u8, value: u64) -> bool {
        match size {
            4 => self.word32(pa).is_some_and(|word| {
                word.store(value as u32, Ordering::SeqCst);
                true
            }),
            8 => self.word64(pa).is_some_and(|word| {
                word.store(value, Ordering::SeqCst);
                true
            }),
            _ => false,
        }
    }

    /// The place of `len` bytes, of which there may be none.
    fn place(&self, pa: u64, len: usize) -> Option<*mut u8> {
        let from = usize::try_from(pa).ok()?;
        let fits = from.checked_add(len).is_some_and(|end| end <= self.map.len());
        fits.then(|| self.map.as_mut_ptr().wrapping_add(from))
    }

    fn word32(&self, pa: u64) -> Option<&AtomicU32> {
        let place = self.place(pa, 4).filter(|_| pa.is_multiple_of(4))?;
        // SAFETY: in bounds and aligned, by the checks; the mapping lives as long as `self`; all accesses are atomic.
        Some(unsafe { AtomicU32::from_ptr(place.cast()) })
    }

    fn word64(&self, pa: u64) -> Option<&AtomicU64> {
        let place = self.place(pa, 8).filter(|_| pa.is_multiple_of(8))?;
        // SAFETY: as above.
        Some(unsafe { AtomicU64::from_ptr(place.cast()) })
    }

    fn byte(&self, pa: u64) -> Option<&AtomicU8> {
        let place = self.place(pa, 1)?;
        // SAFETY: as above.
        Some(unsafe { AtomicU8::from_ptr(place) })
    }
}

impl GuestMemory for Ram {
    fn read(&self, pa: u64, buf: &mut [u8]) -> Result<(), BadAddress> {
        self.place(pa, buf.len()).ok_or(BadAddress(pa))?;
        let (mut at, mut rest) = (pa, buf);
        while !rest.is_empty() {
            let whole = at.is_multiple_of(8) && rest.len() >= 8;
            let (now, later) = rest.split_at_mut(if whole { 8 } else { 1 });
            match self.word64(at).filter(|_| whole) {
                Some(word) => now.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()),
                None => now[0] = self.byte(at).ok_or(BadAddress(at))?.load(Ordering::Relaxed),
            }
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn write(&mut self, pa: u64, data: &[u8]) -> Result<(), BadAddress> {
        self.place(pa, data.len()).ok_or(BadAddress(pa))?;
        let (mut at, mut rest) = (pa, data);
        while let Some(first) = rest.first() {
            if let Some((bytes, word)) = rest.first_chunk().filter(|_| at.is_multiple_of(8)).zip(self.word64(at)) {
                word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
                (at, rest) = (at + 8, &rest[8..]);
            } else {
                self.byte(at).ok_or(BadAddress(at))?.store(*first, Ordering::Relaxed);
                (at, rest) = (at + 1, &rest[1..]);
            }
        }
        Ok(())
    }

    fn clear_bits(&mut self, pa: u64, bits: u64) -> Result<u64, BadAddress> {
        Ok(self.word64(pa).ok_or(BadAddress(pa))?.fetch_and(!bits, Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_at_any_alignment() {
        let mut ram = Ram::new(8192).unwrap();
        let data: Vec<u8> = (0..100).collect();
        for pa in [0, 1, 7, 4090, 8092] {
            ram.write(pa, &data).unwrap();
            let mut back = vec![0; 100];
            ram.read(pa, &mut back).unwrap();
            assert_eq!(back, data);
        }
    }

    #[test]
    fn words_have_their_size_and_alignment() {
        let ram = Ram::new(4096).unwrap();
        assert!(ram.store(8, 8, 0x0102_0304_0506_0708) && ram.store(8, 4, 0xffff_ffff_0000_0001));
        assert_eq!(
            (ram.load(8, 8), ram.load(8, 4), ram.load(12, 4)),
            (Some(0x0102_0304_0000_0001), Some(1), Some(0x0102_0304))
        );
        for (pa, size) in [(9, 4), (12, 8), (4096, 4), (4094, 4), (u64::MAX, 4), (0, 2)] {
            assert!(ram.load(pa, size).is_none() && !ram.store(pa, size, 0), "{pa:#x}");
        }
    }

    #[test]
    fn nothing_is_reached_beyond_the_end() {
        let mut ram = Ram::new(4096).unwrap();
        for (pa, len) in [(4096, 1), (4095, 2), (u64::MAX, 1), (u64::MAX - 3, 8), (0, 4097)] {
            assert_eq!(ram.read(pa, &mut vec![0; len]), Err(BadAddress(pa)));
            assert_eq!(ram.write(pa, &vec![1; len]), Err(BadAddress(pa)));
        }
        let mut all = vec![1; 4096];
        ram.read(0, &mut all).unwrap();
        assert!(all.iter().all(|byte| *byte == 0), "a refused write wrote nothing");
    }
}
