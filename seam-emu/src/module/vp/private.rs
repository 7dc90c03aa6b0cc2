//! A TD's memory as its vCPUs reach it.

use super::shared_ept;
use crate::context::Context;
use crate::module::td::sept::{Entry, EntryState, Walked};
use crate::script::{Memory, Reach};

/// Bits that an EPT violation's extended qualification begins with (`vmx_eeq_type_t`).
const EEQ_ACCEPT: u64 = 1;
const EEQ_PENDING: u64 = 6;

/// A TD's memory as a vCPU reaches it.
pub(super) struct Private<'a, 'b> {
    pub(super) cx: &'a mut Context<'b>,
    pub(super) tdr: u64,
    /// What the VMM wrote into `SHARED_EPT_POINTER`, if it did.
    pub(super) shared_ept: Option<u64>,
}

/// A violation without more to tell.
const PLAIN: Reach = Reach::Violation { rwx: 0, details: 0 };

impl Private<'_, '_> {
    /// The physical address that an access reaches.
    pub(super) fn translate(&mut self, gpa: u64, write: bool) -> Result<u64, Reach> {
        let td = self.cx.td(self.tdr);
        if gpa & td.settings.shared_bit() != 0 {
            let levels = td.settings.root_level() + 1;
            let pointer = self.shared_ept.ok_or(PLAIN)?;
            let found = shared_ept::translate(self.cx, pointer, levels, gpa, write);
            return found.map_err(|rwx| Reach::Violation { rwx, details: 0 });
        }
        let root = td.settings.root_level();
        let page = td.sept.translate(gpa / 4096 * 4096, root).map_err(|stopped| match stopped.entry.state {
            // Source: `td_ept_violation_exit`, by TD_CTLS.PENDING_VE_DISABLE, which is SEPT_VE_DISABLE at first.
            EntryState::Pending if td.settings.gets_ve_for_pending() => Reach::Ve,
            EntryState::Pending => Reach::Violation { rwx: 0, details: EEQ_PENDING },
            _ => PLAIN,
        })?;
        Ok(page + gpa % 4096)
    }
}

impl Memory for Private<'_, '_> {
    fn read(&mut self, gpa: u64, buf: &mut [u8]) -> Result<(), Reach> {
        let pa = self.translate(gpa, false)?;
        self.cx.read(pa, buf);
        Ok(())
    }

    fn write(&mut self, gpa: u64, data: &[u8]) -> Result<(), Reach> {
        let pa = self.translate(gpa, true)?;
        self.cx.write(pa, data);
        Ok(())
    }

    /// Source: `tdg_mem_page_accept.c`, for 4 KB.
    fn accept(&mut self, gpa: u64) -> Result<bool, Reach> {
        let td = self.cx.td(self.tdr);
        let walked = td.sept.walk(gpa, 0, td.settings.root_level()).map_err(no_page_to_accept)?;
        let entry = walked.entry;
        match entry.state {
            EntryState::Mapped => return Ok(false),
            EntryState::Pending => {}
            _ => return Err(no_page_to_accept(walked)),
        }
        td.sept.set(gpa, 0, Entry { state: EntryState::Mapped, ..entry });
        self.cx.write(entry.pa, &[0; 4096]);
        Ok(true)
    }
}

/// The exit of TDG.MEM.PAGE.ACCEPT for level 0 that finds no pending page: where, and what it found
/// (`async_tdexit_ept_violation`).
fn no_page_to_accept(stopped: Walked) -> Reach {
    let state = stopped.entry.state;
    let info = u64::from(stopped.level) << 3 | state.public() << 6 | u64::from(state.is_leaf()) << 14;
    Reach::Violation { rwx: state.rwx(), details: EEQ_ACCEPT | info << 32 }
}
