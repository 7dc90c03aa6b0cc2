//! What a leaf function works on.

use crate::abi::Status;
use crate::abi::status::Operand;
use crate::entry::VpEntry;
use crate::inflight::{AtEnd, InFlight, LpCalls};
use crate::locks::{LockId, Locks, Mode};
use crate::module::td::digest;
use crate::platform::{Platform, SharedPa};
use crate::world::World;
use crate::{Config, Corruption, FaultPoint, GuestMemory, Note};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// Result of a leaf: success, or the status that RAX gets.
pub(crate) type Outcome = Result<(), Status>;

/// What a leaf function works on; made anew for each call.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    pub(crate) platform: &'a Platform,
    pub(crate) world: &'a mut World,
    pub(crate) locks: &'a mut Locks,
    pub(crate) mem: &'a mut dyn GuestMemory,
    pub(crate) notes: &'a mut Vec<Note>,
    /// The LP that calls.
    pub(crate) lp: usize,
    /// Calls in flight, by LP.
    pub(crate) calls: &'a [LpCalls],
    /// Pages touched so far; makes the call longer.
    pub(crate) pages: u64,
    /// A lock was refused because another LP holds it.
    pub(crate) contended: bool,
    /// The leaf is not modelled.
    pub(crate) unmodelled: bool,
    /// What is left to do when the call ends.
    pub(crate) at_end: AtEnd,
    /// The vCPU whose machine code the LP runs next.
    pub(crate) entry: Option<VpEntry>,
    /// What an UPDATE is to spoil.
    pub(crate) corruption: Option<Corruption>,
    /// The failure that this call meets in the middle of its work ([`crate::FaultAction::internal_failure`]).
    pub(crate) internal_failure: Option<(FaultPoint, Status)>,
}

impl Context<'_> {
    /// Takes a lock until the call ends, or gives `busy`.
    pub(crate) fn lock(&mut self, id: LockId, mode: Mode, busy: Status) -> Outcome {
        if self.locks.try_lock(id, mode, self.lp) {
            return Ok(());
        }
        self.contended = true;
        Err(busy)
    }

    /// Takes the module's global lock, or gives `SYS_BUSY`.
    pub(crate) fn lock_global(&mut self, mode: Mode) -> Outcome {
        self.lock(LockId::Global, mode, Status::SYS_BUSY)
    }

    /// Checks an alleged address of shared memory for a module leaf.
    pub(crate) fn shared(&self, alleged: u64, size: u64, operand: Operand) -> Result<SharedPa, Status> {
        self.platform.shared_pa(alleged, size).ok_or(Status::OPERAND_INVALID.operand(operand))
    }

    /// Fills `buf` from memory. Where there is no RAM the bus returns ones.
    pub(crate) fn read(&mut self, pa: u64, buf: &mut [u8]) {
        self.pages += (buf.len() as u64).div_ceil(4096);
        if self.mem.read(pa, buf).is_err() {
            buf.fill(0xFF);
        }
    }

    /// Reads a structure from memory.
    pub(crate) fn read_as<T: FromBytes + FromZeros + IntoBytes>(&mut self, pa: SharedPa) -> T {
        let mut value = T::new_zeroed();
        self.read(pa.0, value.as_mut_bytes());
        value
    }

    /// Writes to memory. Where there is no RAM the bus drops the write.
    pub(crate) fn write(&mut self, pa: u64, data: &[u8]) {
        self.pages += (data.len() as u64).div_ceil(4096);
        // A write outside RAM has no effect that firmware could notice.
        let _ = self.mem.write(pa, data);
    }

    /// Clears bits of a word of memory, as [`crate::GuestMemory::clear_bits`]. Where there is no RAM the bus returns ones.
    pub(crate) fn clear_bits(&mut self, pa: u64, bits: u64) -> u64 {
        self.mem.clear_bits(pa, bits).unwrap_or(u64::MAX)
    }

    /// Writes a structure to memory.
    pub(crate) fn write_as<T: IntoBytes + Immutable>(&mut self, pa: SharedPa, value: &T) {
        self.write(pa.0, value.as_bytes());
    }
}

impl Context<'_> {
    /// Where the leaf meets this failure in the middle of its work, if the plan has it so.
    pub(crate) fn internal_failure(&self, status: Status) -> Option<FaultPoint> {
        self.internal_failure.filter(|(_, struck)| *struck == status).map(|(at, _)| at)
    }

    /// Whether another LP is inside the module (`lp_is_busy`).
    pub(crate) fn others_busy(&self) -> bool {
        let busy = |calls: &LpCalls| calls.inside().is_some_and(InFlight::is_in_module);
        self.calls.iter().enumerate().any(|(other, calls)| other != self.lp && busy(calls))
    }

    /// The module; calls reach it only when there is one.
    pub(crate) fn module(&mut self) -> &mut crate::module::Module {
        self.world.module.as_mut().expect("SEAM_READY is set only while a module is there")
    }
}

impl Context<'_> {
    /// Notes every TD's digest, before and after its module is replaced.
    pub(crate) fn note_digests(&mut self) {
        let digests = digest::all(&self.world.protected, &*self.mem);
        self.notes.extend(digests.into_iter().map(|(tdr, digest)| Note::TdDigest { tdr, digest }));
    }
}
