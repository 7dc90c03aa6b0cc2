//! A TD's memory as its vCPUs reach it.

use super::{shared_ept, vmcs};
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::Context;
use crate::locks::LockId;
use crate::module::td::sept::{Entry, EntryState, Walked, check_gpa, span};
use crate::script::{Memory, Reach};

/// Bits that an EPT violation's extended qualification begins with (`vmx_eeq_type_t`).
pub(super) const EEQ_TYPE: u64 = 0xF;
pub(super) const EEQ_ACCEPT: u64 = 1;
const EEQ_PENDING: u64 = 6;

/// A TD's memory as a vCPU reaches it.
pub(in crate::module) struct Private<'a, 'b> {
    pub(super) cx: &'a mut Context<'b>,
    pub(super) tdr: u64,
    /// What the VMM wrote into `SHARED_EPT_POINTER`, if it did.
    pub(super) shared_ept: Option<u64>,
}

/// A violation without more to tell.
const PLAIN: Reach = Reach::Violation { rwx: 0, details: 0 };

impl<'a, 'b> Private<'a, 'b> {
    /// As this vCPU reaches it.
    pub(in crate::module) fn of(cx: &'a mut Context<'b>, tdvpr: u64) -> Self {
        let vcpu = cx.vcpu(tdvpr);
        let (tdr, shared_ept) = (vcpu.tdr, vcpu.vmcs.get(&vmcs::SHARED_EPT_POINTER).copied());
        Self { cx, tdr, shared_ept }
    }
}

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
        td.sept.translate(gpa, root).map_err(|stopped| match stopped.entry.state {
            // Source: `td_ept_violation_exit`, by TD_CTLS.PENDING_VE_DISABLE, which is SEPT_VE_DISABLE at first.
            EntryState::Pending if td.settings.gets_ve_for_pending() => Reach::Ve,
            EntryState::Pending => Reach::Violation { rwx: 0, details: EEQ_PENDING },
            _ => PLAIN,
        })
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

    /// Source: `tdg_mem_page_accept.c`. It takes no time here, so the VMM never meets the lock that it takes on the entry.
    fn accept(&mut self, page: u64) -> Result<Status, Reach> {
        let td = self.cx.td(self.tdr);
        let invalid = Status::OPERAND_INVALID.operand(Operand::Rcx);
        let Ok((gpa, level)) = check_gpa(page, 0..=1) else { return Ok(invalid) };
        if gpa >= td.settings.shared_bit() {
            return Ok(invalid);
        }
        let walked = match td.sept.walk(gpa, level, td.settings.root_level()) {
            Ok(walked) => walked,
            Err(above) if above.entry.state == EntryState::Mapped => {
                return Ok(detail(Status::PAGE_ALREADY_ACCEPTED, above));
            }
            Err(above) => return Err(no_page_to_accept(level, above)),
        };
        if self.cx.locks.is_held(LockId::SeptEntry { tdr: self.tdr, gpa, level }) {
            return Ok(Status::OPERAND_BUSY.operand(Operand::Rcx));
        }
        let entry = walked.entry;
        match entry.state {
            EntryState::Mapped => return Ok(detail(Status::PAGE_ALREADY_ACCEPTED, walked)),
            EntryState::TableMapped | EntryState::TableBlocked => {
                return Ok(detail(Status::PAGE_SIZE_MISMATCH, walked));
            }
            EntryState::Pending => {}
            _ => return Err(no_page_to_accept(level, walked)),
        }
        self.cx.td(self.tdr).sept.set(gpa, level, Entry { state: EntryState::Mapped, ..entry });
        for pa in (entry.pa..entry.pa + span(level)).step_by(4096) {
            self.cx.write(pa, &[0; 4096]);
        }
        Ok(Status::SUCCESS)
    }
}

/// A status that tells at which level the walk ended.
fn detail(status: Status, walked: Walked) -> Status {
    Status(status.0 | u64::from(walked.level))
}

/// The exit of TDG.MEM.PAGE.ACCEPT for `level` that finds no pending page: where, and what it found
/// (`async_tdexit_ept_violation`).
fn no_page_to_accept(level: u8, stopped: Walked) -> Reach {
    let state = stopped.entry.state;
    let info =
        u64::from(level) | u64::from(stopped.level) << 3 | state.public() << 6 | u64::from(state.is_leaf()) << 14;
    Reach::Violation { rwx: state.rwx(), details: EEQ_ACCEPT | info << 32 }
}
