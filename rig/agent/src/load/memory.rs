//! Page faults.

use memmap2::MmapMut;

const PAGE: usize = 4096;

/// Maps `kib` KiB, writes one byte to each page and unmaps it. One operation.
pub(super) fn map_touch_unmap(kib: u32) -> Result<u64, String> {
    let length = kib as usize * 1024;
    let mut mapping = MmapMut::map_anon(length).map_err(|e| format!("map {kib} KiB: {e}"))?;
    for page in mapping.chunks_mut(PAGE) {
        page[0] = 1;
    }
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_touch_a_mapping_that_ends_within_a_page() {
        assert_eq!(map_touch_unmap(5), Ok(1));
    }
}
