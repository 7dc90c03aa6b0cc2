//! Checks of a TDMR, in the order of the TDX module's `check_and_set_tdmrs`.

use crate::MemoryRange;
use crate::abi::Status;
use crate::abi::tdmr::{GRANULE, PAMT_ENTRY_SIZE, TdmrInfo};
use crate::context::{Context, Outcome};

/// PAMT page sizes as statuses name them.
const PAMTS: [(u8, u64); 3] = [(0, 4 << 10), (1, 2 << 20), (2, 1 << 30)];

/// Checks the last of `infos` by itself and against those before it.
pub(super) fn check_last(cx: &Context<'_>, infos: &[TdmrInfo]) -> Outcome {
    let i = infos.len() - 1;
    check_place(cx, infos, i)?;
    check_reserved_areas(&infos[i], i as u8)?;
    check_pamts(cx, infos, i)?;
    let outside = available_areas(&infos[i]).any(|area| !is_convertible(cx, area));
    if outside { Err(Status::TDMR_OUTSIDE_CMRS.info(i as u8, 0, 0)) } else { Ok(()) }
}

/// Base and size: sorted, disjoint, whole granules, below the address limit.
fn check_place(cx: &Context<'_>, infos: &[TdmrInfo], i: usize) -> Outcome {
    let info = &infos[i];
    let invalid = Status::INVALID_TDMR.info(i as u8, 0, 0);
    let end = info.base.checked_add(info.size).ok_or(invalid)?;
    if i > 0 && info.base < infos[i - 1].base + infos[i - 1].size {
        return Err(Status::NON_ORDERED_TDMR.info(i as u8, 0, 0));
    }
    let whole = info.base.is_multiple_of(GRANULE) && info.size.is_multiple_of(GRANULE) && info.size > 0;
    if !whole || (end - 1) >> cx.platform.pa_bits != 0 {
        return Err(invalid);
    }
    Ok(())
}

/// Reserved areas: sorted, disjoint, page-aligned, inside the TDMR; null ones last.
fn check_reserved_areas(info: &TdmrInfo, i: u8) -> Outcome {
    for (j, area) in info.reserved.iter().enumerate() {
        let non_ordered = Err(Status::NON_ORDERED_RESERVED_IN_TDMR.info(i, j as u8, 0));
        let invalid = Status::INVALID_RESERVED_IN_TDMR.info(i, j as u8, 0);
        if area.size == 0 {
            if info.reserved.get(j + 1).is_some_and(|next| next.size != 0) {
                return non_ordered;
            }
            continue;
        }
        let end = area.offset.checked_add(area.size).ok_or(invalid)?;
        let before = j.checked_sub(1).map(|k| &info.reserved[k]);
        if before.is_some_and(|before| area.offset < before.offset + before.size) {
            return non_ordered;
        }
        if (area.offset | area.size) % 4096 != 0 || end > info.size {
            return Err(invalid);
        }
    }
    Ok(())
}

/// The three PAMTs, as (size code, range).
fn pamts(info: &TdmrInfo) -> [(u8, MemoryRange); 3] {
    let range = |base, size| MemoryRange { base, size };
    [
        (0, range(info.pamt_4k_base, info.pamt_4k_size)),
        (1, range(info.pamt_2m_base, info.pamt_2m_size)),
        (2, range(info.pamt_1g_base, info.pamt_1g_size)),
    ]
}

/// PAMTs: large enough, disjoint, in convertible memory that no TDMR has available.
fn check_pamts(cx: &Context<'_>, infos: &[TdmrInfo], i: usize) -> Outcome {
    // The source checks 1 GB first here and in the last loop (`check_pamt_in_cmr`), and 4 KB first elsewhere.
    for &(code, pamt) in pamts(&infos[i]).iter().rev() {
        if !pamt_is_valid(cx, pamt, PAMTS[usize::from(code)].1, infos[i].size) {
            return Err(Status::INVALID_PAMT.info(i as u8, code, 0));
        }
    }
    check_pamts_disjoint(infos, i)?;
    check_pamts_reserved(infos, i)?;
    for &(code, pamt) in pamts(&infos[i]).iter().rev() {
        if !is_convertible(cx, pamt) {
            return Err(Status::PAMT_OUTSIDE_CMRS.info(i as u8, code, 0));
        }
    }
    Ok(())
}

/// Aligned, below the address limit, with room for an entry per page.
fn pamt_is_valid(cx: &Context<'_>, pamt: MemoryRange, page_size: u64, tdmr_size: u64) -> bool {
    let fits = pamt.base.checked_add(pamt.size).is_some_and(|end| (end.wrapping_sub(1)) >> cx.platform.pa_bits == 0);
    fits && (pamt.base | pamt.size).is_multiple_of(4096) && pamt.size >= tdmr_size / page_size * PAMT_ENTRY_SIZE
}

/// No PAMT overlaps another, of this TDMR or an earlier one.
fn check_pamts_disjoint(infos: &[TdmrInfo], i: usize) -> Outcome {
    let overlap = |a: MemoryRange, b: MemoryRange| a.overlaps(b.base, b.size);
    for (j, earlier) in infos[..i].iter().enumerate() {
        for (code, pamt) in pamts(&infos[i]) {
            if pamts(earlier).iter().any(|(_, other)| overlap(pamt, *other)) {
                return Err(Status::PAMT_OVERLAP.info(i as u8, code, j as u8));
            }
        }
    }
    let [p4k, p2m, p1g] = pamts(&infos[i]).map(|(_, pamt)| pamt);
    for (code, a, b) in [(0, p4k, p2m), (0, p4k, p1g), (1, p2m, p1g)] {
        if overlap(a, b) {
            return Err(Status::PAMT_OVERLAP.info(i as u8, code, i as u8));
        }
    }
    Ok(())
}

/// PAMTs of this TDMR lie in no available area of any TDMR so far, nor earlier PAMTs in one of this.
fn check_pamts_reserved(infos: &[TdmrInfo], i: usize) -> Outcome {
    let is_available = |tdmr: usize, pamt: MemoryRange| {
        available_areas(&infos[tdmr]).any(|area| area.size > 0 && pamt.overlaps(area.base, area.size))
    };
    for j in 0..=i {
        let (mine, theirs) = (pamts(&infos[i]), pamts(&infos[j]));
        if let Some((code, _)) = mine.iter().find(|(_, pamt)| is_available(j, *pamt)) {
            return Err(Status::PAMT_OVERLAP.info(i as u8, *code, j as u8));
        }
        if let Some((code, _)) = theirs.iter().find(|(_, pamt)| is_available(i, *pamt)) {
            return Err(Status::PAMT_OVERLAP.info(j as u8, *code, i as u8));
        }
    }
    Ok(())
}

/// The parts of a TDMR between its reserved areas.
fn available_areas(info: &TdmrInfo) -> impl Iterator<Item = MemoryRange> {
    let end = info.base + info.size;
    let used = info.reserved.iter().take_while(|area| area.size != 0);
    let starts = std::iter::once(info.base).chain(used.clone().map(|area| info.base + area.offset + area.size));
    let ends = used.map(|area| info.base + area.offset).chain(std::iter::once(end));
    let areas: Vec<MemoryRange> = starts
        .zip(ends)
        .filter(|(start, end)| start < end)
        .map(|(start, end)| MemoryRange { base: start, size: end - start })
        .collect();
    areas.into_iter()
}

/// Whether the range lies in convertible memory. Touching CMRs count as one.
fn is_convertible(cx: &Context<'_>, range: MemoryRange) -> bool {
    let mut merged: Option<MemoryRange> = None;
    cx.config.memory.iter().any(|cmr| {
        let start = merged.filter(|last| last.end() == cmr.base).map_or(cmr.base, |last| last.base);
        let whole = MemoryRange { base: start, size: cmr.end() - start };
        merged = Some(whole);
        whole.holds(range.base, range.size)
    })
}
