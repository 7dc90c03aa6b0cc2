//! Try-locks: taken or refused, never waited for.
//!
//! Source: TDX module `tdx_locks.h`. A lock belongs to an LP for as long as its call lasts; all locks of a call are
//! released together when the LP leaves SEAM.

use serde::{Deserialize, Serialize};

/// What is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LockId {
    /// P-SEAMLDR: at most one LP is inside.
    SeamLdr,
    /// The TDX module's global lock.
    Global,
    /// The table of TDMRs, by index.
    Tdmr(u8),
    /// The KeyID ownership table.
    Kot,
    /// The PAMT entry of a 4 KB page, by physical address.
    Pamt(u64),
    /// A TD's operation state, by its TDR's physical address.
    OpState(u64),
    /// A TD's secure EPT.
    SeptTree(u64),
    /// An entry of a TD's secure EPT.
    #[expect(missing_docs, reason = "the entry's place")]
    SeptEntry { tdr: u64, gpa: u64, level: u8 },
    /// A TD's TLB epoch.
    TdEpoch(u64),
    /// The cache write-back of a package.
    Wbcache(u8),
    /// The PAMT entry of a 2 MB (level 1) or 1 GB page (level 2).
    #[expect(missing_docs, reason = "the entry's range")]
    PamtRange { base: u64, level: u8 },
}

/// Who else may hold the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Other shared holders.
    Shared,
    /// Nobody.
    Exclusive,
}

/// A lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What is locked.
    pub id: LockId,
    /// How.
    pub mode: Mode,
    /// The LP that holds it.
    pub lp: usize,
}

/// All locks that are held now. Few are at any time, so a list is searched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locks {
    held: Vec<Held>,
}

impl Locks {
    /// Takes the lock for `lp`, or refuses. An LP that already holds the lock is refused too: firmware would find the
    /// lock word taken.
    pub fn try_lock(&mut self, id: LockId, mode: Mode, lp: usize) -> bool {
        let shared = mode == Mode::Shared;
        let refused = self.held.iter().any(|held| held.id == id && !(shared && held.mode == Mode::Shared));
        if !refused {
            self.held.push(Held { id, mode, lp });
        }
        !refused
    }

    /// Releases one lock of `lp`, which holds it.
    pub fn release(&mut self, id: LockId, lp: usize) {
        let at = self.held.iter().position(|held| held.id == id && held.lp == lp).expect("the LP holds the lock");
        self.held.remove(at);
    }

    /// Releases every lock of `lp`.
    pub fn release_all(&mut self, lp: usize) {
        self.held.retain(|held| held.lp != lp);
    }

    /// Whether anybody holds the lock.
    pub fn is_held(&self, id: LockId) -> bool {
        self.held.iter().any(|held| held.id == id)
    }

    /// The locks that are held, oldest first.
    pub fn held(&self) -> &[Held] {
        &self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_locks_can_be_shared() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(LockId::Global, Mode::Shared, 0));
        assert!(locks.try_lock(LockId::Global, Mode::Shared, 1));
        assert!(locks.try_lock(LockId::Kot, Mode::Exclusive, 1));
    }

    #[test]
    fn exclusive_locks_cannot_be_shared() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(LockId::Global, Mode::Exclusive, 0));
        assert!(!locks.try_lock(LockId::Global, Mode::Shared, 1));
        assert!(!locks.try_lock(LockId::Global, Mode::Exclusive, 1));
        assert_eq!(locks.held().len(), 1, "a refused lock leaves no trace");
    }

    #[test]
    fn locks_are_released_by_lp() {
        let mut locks = Locks::default();
        assert!(locks.try_lock(LockId::Kot, Mode::Shared, 0));
        assert!(locks.try_lock(LockId::Kot, Mode::Shared, 1));
        locks.release_all(0);
        assert!(!locks.try_lock(LockId::Kot, Mode::Exclusive, 2), "LP 1 still holds it");
        locks.release_all(1);
        assert!(locks.try_lock(LockId::Kot, Mode::Exclusive, 2));
    }
}
