//! Physical pages: what their PAMT entries say, who has them, and the locks on the entries.

use super::sept::span;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::{Held, LockId, Mode};
use crate::module::protected::{PageType, PamtEntry};

impl Context<'_> {
    /// Checks and locks a page of 4 KB that must be of `kind`. Source: TDX module `check_and_lock_explicit_4k_private_hpa`.
    pub(crate) fn lock_page(
        &mut self,
        alleged: u64,
        operand: Operand,
        mode: Mode,
        kind: PageType,
    ) -> Result<u64, Status> {
        let page = self.platform.private_pa(alleged).ok_or(Status::OPERAND_INVALID.operand(operand))?.0;
        let found = self.page(page).ok_or(Status::OPERAND_ADDR_RANGE_ERROR.operand(operand))?;
        self.lock_pamt(page, found.level, mode, Status::OPERAND_BUSY.operand(operand))?;
        // A part of a larger page is a private page, which no caller asks for.
        if found.kind != kind {
            return Err(Status::PAGE_METADATA_INCORRECT.operand(operand));
        }
        Ok(page)
    }

    /// Checks and locks a range of this level in which all is free. Source: TDX module `check_and_lock_free_range_hpa`.
    pub(crate) fn lock_free_range(&mut self, alleged: u64, operand: Operand, level: u8) -> Result<u64, Status> {
        if level == 0 {
            return self.lock_page(alleged, operand, Mode::Exclusive, PageType::Nda);
        }
        let base = self.platform.private_pa(alleged).filter(|pa| pa.0.is_multiple_of(span(level)));
        let base = base.ok_or(Status::OPERAND_INVALID.operand(operand))?.0;
        self.page(base).ok_or(Status::OPERAND_ADDR_RANGE_ERROR.operand(operand))?;
        self.lock_pamt(base, level, Mode::Exclusive, Status::OPERAND_BUSY.operand(operand))?;
        let mut pages = (base..base + span(level)).step_by(4096);
        let is_free = |page| self.page(page).is_some_and(|entry| entry.kind == PageType::Nda);
        if pages.all(is_free) { Ok(base) } else { Err(Status::PAGE_METADATA_INCORRECT.operand(operand)) }
    }

    /// PAMT entry of a page, which may be a larger page's; none if no initialised TDMR covers it.
    pub(crate) fn page(&mut self, page: u64) -> Option<PamtEntry> {
        let reserved = self.module().tdmrs.iter().find(|tdmr| tdmr.is_usable(page))?.is_reserved(page);
        let kind = if reserved { PageType::Rsvd } else { PageType::Nda };
        let pamt = &self.world.protected.pamt;
        let found = (0..=2).find_map(|level| {
            let entry = pamt.get(&(page / span(level) * span(level)))?;
            (entry.level >= level).then_some(*entry)
        });
        Some(found.unwrap_or(PamtEntry::small(kind, 0)))
    }

    /// Locks the PAMT entry of a page of this level. A walk to a page holds the larger entries above it shared, so that whoever
    /// works on a large entry and whoever works on a page in its range exclude each other. Source: TDX module `pamt_walk`,
    /// `pamt_promote`, `pamt_demote`.
    pub(crate) fn lock_pamt(&mut self, page: u64, level: u8, mode: Mode, busy: Status) -> Outcome {
        let id = if level == 0 {
            LockId::Pamt(page)
        } else {
            LockId::PamtRange { base: page / span(level) * span(level), level }
        };
        if self.locks.held().iter().any(|held| excludes(held, id, mode)) {
            self.contended = true;
            return Err(busy);
        }
        self.lock(id, mode, busy)
    }

    /// Gives a page of 4 KB to a TD.
    pub(crate) fn give_page(&mut self, page: u64, kind: PageType, owner: u64) {
        self.give_range(page, 0, kind, owner);
    }

    /// Gives a page of this level to a TD.
    pub(crate) fn give_range(&mut self, page: u64, level: u8, kind: PageType, owner: u64) {
        let entry = PamtEntry { level, ..PamtEntry::small(kind, owner) };
        let before = self.world.protected.pamt.insert(page, entry);
        assert_eq!(before, None, "only free pages are given away");
        if kind != PageType::Tdr {
            self.td(owner).children += entry.pages();
        }
    }

    /// Takes a page back from its TD.
    pub(crate) fn free_page(&mut self, page: u64) {
        let entry = self.world.protected.pamt.remove(&page).expect("only a TD's pages are taken back");
        if entry.kind != PageType::Tdr {
            self.td(entry.owner).children -= entry.pages();
        }
    }
}

/// Whether a lock on one PAMT entry keeps another from being taken that is above or beneath it.
fn excludes(held: &Held, id: LockId, mode: Mode) -> bool {
    let range = |id| match id {
        LockId::Pamt(page) => Some((page, 0)),
        LockId::PamtRange { base, level } => Some((base, level)),
        _ => None,
    };
    let (Some((held_base, held_level)), Some((base, level))) = (range(held.id), range(id)) else { return false };
    let (larger, smaller, mode) = match held_level.cmp(&level) {
        std::cmp::Ordering::Greater => ((held_base, held_level), base, held.mode),
        std::cmp::Ordering::Less => ((base, level), held_base, mode),
        std::cmp::Ordering::Equal => return false,
    };
    mode == Mode::Exclusive && smaller / span(larger.1) * span(larger.1) == larger.0
}
