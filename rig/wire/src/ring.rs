//! The event ring: a file that the emulator and the rig both map.
//!
//! One ring serves all vCPUs, and the slot that a writer draws from one atomic counter *is* the global order: nothing
//! has to be merged afterwards. The writers never wait. When the reader falls a whole ring behind, the record is counted
//! as lost, and the run must end with an error; nothing is dropped silently.
//!
//! Layout: a header page of 4096 bytes, then `capacity` slots of 64 bytes. A slot's first word holds `seq + 1` once its
//! record is complete, so that a zeroed file is an empty ring.

#![allow(
    unsafe_code,
    reason = "memory shared with another process is read and written through raw pointers and atomics"
)]

use crate::event::Record;
use memmap2::MmapRaw;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const MAGIC: u64 = u64::from_le_bytes(*b"SEAMRNG1");
const HEADER_SIZE: usize = 4096;
const SLOT_WORDS: usize = Record::SIZE / 8;

/// Word offsets in the header page, one cache line apart from one another.
mod header {
    pub(super) const MAGIC: usize = 0;
    pub(super) const CAPACITY: usize = 1;
    pub(super) const NEXT: usize = 8;
    pub(super) const CONSUMED: usize = 16;
    pub(super) const LOST: usize = 24;
}

/// The mapped ring, for either side.
#[derive(Debug)]
pub struct Ring {
    map: MmapRaw,
    capacity: u64,
}

impl Ring {
    /// Creates the file with room for `capacity` records (a power of two) and maps it.
    pub fn create(path: &Path, capacity: u64) -> io::Result<Self> {
        assert!(capacity.is_power_of_two(), "the ring's capacity must be a power of two, not {capacity}");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len(HEADER_SIZE as u64 + capacity * Record::SIZE as u64)?;
        let ring = Self { map: MmapRaw::map_raw(&file)?, capacity };
        ring.word(header::CAPACITY).store(capacity, Ordering::Relaxed);
        ring.word(header::MAGIC).store(MAGIC, Ordering::Release);
        Ok(ring)
    }

    /// Maps a ring that [`Ring::create`] made.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let map = MmapRaw::map_raw(&file)?;
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        if map.len() < HEADER_SIZE {
            return Err(bad("too short for an event ring"));
        }
        let mut ring = Self { map, capacity: 0 };
        if ring.word(header::MAGIC).load(Ordering::Acquire) != MAGIC {
            return Err(bad("not an event ring"));
        }
        ring.capacity = ring.word(header::CAPACITY).load(Ordering::Relaxed);
        let slots = ((ring.map.len() - HEADER_SIZE) / Record::SIZE) as u64;
        if !ring.capacity.is_power_of_two() || ring.capacity != slots {
            return Err(bad("the event ring's size contradicts its header"));
        }
        Ok(ring)
    }

    /// Appends a record; its `seq` is set here. Returns false, and counts the loss, when the reader is a ring behind.
    pub fn push(&self, record: &Record) -> bool {
        let next = self.word(header::NEXT);
        let mut seq = next.load(Ordering::Relaxed);
        loop {
            let consumed = self.word(header::CONSUMED).load(Ordering::Acquire);
            if seq < consumed {
                // Others appended, and the reader took it, since `next` was read.
                seq = next.load(Ordering::Relaxed);
                continue;
            }
            if seq - consumed >= self.capacity {
                self.word(header::LOST).fetch_add(1, Ordering::Relaxed);
                return false;
            }
            match next.compare_exchange_weak(seq, seq + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seq = now,
            }
        }
        let bytes = record.to_bytes();
        for (i, chunk) in bytes.chunks_exact(8).enumerate().skip(1) {
            let word = u64::from_ne_bytes(chunk.try_into().expect("eight bytes"));
            self.slot_word(seq, i).store(word, Ordering::Relaxed);
        }
        self.slot_word(seq, 0).store(seq + 1, Ordering::Release);
        true
    }

    /// Takes the next complete record, in order. For one reader only.
    pub fn pop(&self) -> Option<Record> {
        let consumed = self.word(header::CONSUMED);
        let seq = consumed.load(Ordering::Relaxed);
        if self.slot_word(seq, 0).load(Ordering::Acquire) != seq + 1 {
            return None;
        }
        let mut bytes = [0; Record::SIZE];
        for (i, chunk) in bytes.chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&self.slot_word(seq, i).load(Ordering::Relaxed).to_ne_bytes());
        }
        consumed.store(seq + 1, Ordering::Release);
        Some(Record { seq, ..Record::from_bytes(&bytes) })
    }

    /// How many records were lost because the reader was too slow. Anything but 0 must end the run.
    pub fn lost(&self) -> u64 {
        self.word(header::LOST).load(Ordering::Relaxed)
    }

    /// How many records were ever appended.
    pub fn appended(&self) -> u64 {
        self.word(header::NEXT).load(Ordering::Relaxed)
    }

    /// How many records the reader took.
    pub fn consumed(&self) -> u64 {
        self.word(header::CONSUMED).load(Ordering::Relaxed)
    }

    /// Draws a place and leaves it empty, as a writer does that is killed at this moment: for tests of readers.
    pub fn leave_hole(&self) {
        self.word(header::NEXT).fetch_add(1, Ordering::AcqRel);
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index * 8 < HEADER_SIZE, "word {index} is outside the header page");
        self.at(index)
    }

    fn slot_word(&self, seq: u64, word: usize) -> &AtomicU64 {
        let slot = (seq & (self.capacity - 1)) as usize;
        self.at(HEADER_SIZE / 8 + slot * SLOT_WORDS + word)
    }

    fn at(&self, index: usize) -> &AtomicU64 {
        assert!((index + 1) * 8 <= self.map.len(), "word {index} is outside the mapping");
        #[expect(clippy::cast_ptr_alignment, reason = "a mapping starts at a page boundary")]
        let words = self.map.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the index was checked to lie in the mapping, which lives as long as `self`; every access by either
        // process is atomic, and any bit pattern is a valid word.
        unsafe { &*words.add(index) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(capacity: u64) -> (tempfile::TempDir, Ring) {
        let dir = tempfile::tempdir().unwrap();
        let ring = Ring::create(&dir.path().join("ring"), capacity).unwrap();
        (dir, ring)
    }

    #[test]
    fn records_come_out_in_the_order_they_went_in() {
        let (_dir, ring) = ring(8);
        for round in 0..5 {
            for i in 0..6 {
                assert!(ring.push(&Record { a: round * 6 + i, ..Record::default() }));
            }
            for i in 0..6 {
                let record = ring.pop().unwrap();
                assert_eq!((record.seq, record.a), (round * 6 + i, round * 6 + i));
            }
            assert_eq!(ring.pop(), None);
        }
    }

    #[test]
    fn a_full_ring_counts_what_it_lost() {
        let (_dir, ring) = ring(4);
        let pushed = (0..6).filter(|_| ring.push(&Record::default())).count();
        assert_eq!((pushed, ring.lost()), (4, 2));
    }

    #[test]
    fn writers_on_many_threads_lose_and_repeat_nothing() {
        let (dir, ring) = ring(1 << 16);
        let other = Ring::open(&dir.path().join("ring")).unwrap();
        std::thread::scope(|scope| {
            for lp in 0..4 {
                let ring = &ring;
                scope.spawn(move || (0..5000).for_each(|a| assert!(ring.push(&Record { lp, a, ..Record::default() }))));
            }
        });
        let mut next = [0; 4];
        while let Some(record) = other.pop() {
            assert_eq!(record.a, next[usize::from(record.lp)]);
            next[usize::from(record.lp)] += 1;
        }
        assert_eq!(next, [5000; 4]);
    }

    #[test]
    fn a_reader_that_keeps_up_loses_nothing() {
        let (dir, ring) = ring(1 << 16);
        let other = Ring::open(&dir.path().join("ring")).unwrap();
        std::thread::scope(|scope| {
            for lp in 0..4 {
                let ring = &ring;
                scope.spawn(move || (0..15_000).for_each(|a| _ = ring.push(&Record { lp, a, ..Record::default() })));
            }
            let mut taken = 0;
            while taken < 4 * 15_000 && ring.lost() == 0 {
                taken += usize::from(other.pop().is_some());
            }
        });
        // The ring has room for all of them.
        assert_eq!(ring.lost(), 0);
    }

    #[test]
    fn cannot_open_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, vec![0; 8192]).unwrap();
        assert_eq!(Ring::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(Ring::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
