//! Memory that runs short: the kernel has to look for free pages while it updates.

use super::work::Step;
use crate::failure;
use memmap2::MmapMut;
use rig_wire::agent::Failure;
use std::collections::VecDeque;
use std::fs;

/// Bytes that are taken or given back at once.
const CHUNK: usize = 4 << 20;
const PAGE: usize = 4096;

/// One thread that leaves so much and no more. Memory is short already when this returns.
pub(super) fn steps(leave_mib: u32) -> Result<Vec<Step>, Failure> {
    let mut taken = VecDeque::new();
    let leave = u64::from(leave_mib) << 20;
    fill(&mut taken, leave).map_err(|why| failure::refused(libc::ENOMEM, why))?;
    Ok(vec![Box::new(move || take(&mut taken, leave))])
}

/// Takes chunks until the first would have to be given back.
fn fill(taken: &mut VecDeque<MmapMut>, leave: u64) -> Result<(), String> {
    loop {
        let before = taken.len();
        take(taken, leave)?;
        if taken.len() == before || before == 0 && left()? < leave {
            return Ok(());
        }
    }
}

/// Takes a chunk, after giving the oldest back where memory is short. One operation.
fn take(taken: &mut VecDeque<MmapMut>, leave: u64) -> Result<u64, String> {
    if left()? < leave + CHUNK as u64 {
        drop(taken.pop_front());
    }
    let mut chunk = MmapMut::map_anon(CHUNK).map_err(|e| format!("map {CHUNK} bytes: {e}"))?;
    for page in chunk.chunks_mut(PAGE) {
        page[0] = 1;
    }
    taken.push_back(chunk);
    Ok(1)
}

/// What the kernel has left, bytes.
fn left() -> Result<u64, String> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|e| format!("read /proc/meminfo: {e}"))?;
    available(&text).ok_or_else(|| "/proc/meminfo has no MemAvailable".to_owned())
}

/// `MemAvailable`, bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_read_what_is_left() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:     12 kB\n"), Some(12 * 1024));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn memory_that_is_short_is_given_back_first() {
        let mut taken = VecDeque::new();
        take(&mut taken, 0).unwrap();
        take(&mut taken, 0).unwrap();
        assert_eq!(taken.len(), 2);
        take(&mut taken, u64::MAX / 2).unwrap();
        assert_eq!(taken.len(), 2);
    }
}
