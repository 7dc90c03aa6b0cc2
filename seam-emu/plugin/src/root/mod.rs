//! SEAM root: TDs with machine code run by TCG's own SVM and nested paging, in hidden memory behind SEAMCALL.
//!
//! SEAMCALL(TDH.VP.ENTER) goes on in the [`stub`], on a copy of the VMM's address space that has hidden memory in it. The stub
//! executes VMRUN and says by SEAMRET that the TD has left; [`exit`] has the crate seam-td decide what follows, and says where
//! the stub goes on. In the end [`mod@back`] restores the VMM behind its SEAMCALL. [`in_place`] serves what needs no exit.

mod back;
mod enter;
mod exit;
mod guests;
mod hidden;
mod in_place;
mod layout;
mod qemu;
mod stub;

use crate::in_flight::InFlight;
use guests::{Guest, Guests};
use hidden::Hidden;
use qemu::{PhysBits, Qemu};
use seam_emu::Regs;
use seam_td::hidden::{LpPlace, context, linear};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use stub::Place;

pub(crate) use enter::enter;
pub(crate) use exit::seamret;
pub(crate) use in_place::{read_cr4, tdcall, write_cr4};

/// SEAM root of this machine.
pub(crate) struct Root {
    qemu: Qemu,
    /// Guest-physical address of hidden memory: in the SEAM range, which no RAM and no device overlaps.
    physical: u64,
    machine: OnceLock<Machine>,
    /// Levels of the VMM's page tables and its code segment's selector, for which hidden memory is filled.
    filled: OnceLock<(u8, u16)>,
    guests: Guests,
    /// What each LP runs. Its own thread alone takes the lock.
    runs: Vec<Mutex<Option<Run>>>,
    /// How often a VMM invalidated translations of its own tables (INVEPT).
    invalidations: AtomicU64,
}

/// What there is when the first vCPU is.
struct Machine {
    hidden: Hidden,
    phys_bits: PhysBits,
}

/// A vCPU of a TD on an LP, between SEAMCALL and its return.
struct Run {
    guest: Guest,
    vmm: Vmm,
    /// What the VMM gets; none before it is decided.
    after: Option<Regs>,
}

/// The VMM as it executed SEAMCALL.
struct Vmm {
    /// SEAMCALL's address.
    pc: u64,
    before: Regs,
    rbp: u64,
    rsp: u64,
    cr3: u64,
    efer: u64,
    eflags: u64,
    phys_bits: u32,
    flight: InFlight,
}

impl Root {
    /// For a machine with so many LPs, with hidden memory at this address. The error says what this QEMU lacks. Call before a
    /// vCPU runs.
    pub(crate) fn new(lps: usize, physical: u64, is_parallel: bool) -> Result<Self, &'static str> {
        if lps > 0 && LpPlace::of(lps - 1).is_none() {
            return Err(
                "hidden memory has no room for so many LPs with machine code in TDs: give the machine at most 112",
            );
        }
        let qemu = Qemu::find()?;
        if is_parallel {
            qemu.keep_flags()?;
        }
        Ok(Self {
            qemu,
            physical,
            machine: OnceLock::new(),
            filled: OnceLock::new(),
            guests: Guests::default(),
            runs: (0..lps).map(|_| Mutex::default()).collect(),
            invalidations: AtomicU64::new(0),
        })
    }

    /// Makes hidden memory. Call from a vCPU's start callback.
    pub(crate) fn start(&self) {
        self.machine.get_or_init(|| {
            let made = self.qemu.hidden_memory(self.physical).and_then(|hidden| {
                let phys_bits = self.qemu.phys_bits()?;
                Ok(Machine { hidden, phys_bits })
            });
            made.unwrap_or_else(|cause| panic!("machine code in TDs: {cause}"))
        });
    }

    fn machine(&self) -> &Machine {
        self.machine.get().expect("made when the first vCPU started")
    }

    fn hidden(&self) -> &Hidden {
        &self.machine().hidden
    }

    /// Whether a TD's code runs on this LP, so that the instruction of a callback is not the VMM's. The stub says so: while it
    /// comes and goes, the VMM's NMI handler may run.
    pub(crate) fn is_in_td(&self, lp: usize) -> bool {
        let said = |machine: &Machine| machine.hidden.half(layout::place(lp).context() + context::IN_TD).load(Relaxed);
        self.machine.get().is_some_and(|machine| said(machine) != 0)
    }

    /// Whether the stub lies at this host address.
    pub(crate) fn has_stub_at(&self, host: usize) -> bool {
        self.machine.get().is_some_and(|machine| machine.hidden.contains(host))
    }

    /// A VMM invalidated translations of its own tables, which shared memory of TDs is reached by.
    pub(crate) fn invalidate(&self) {
        self.invalidations.fetch_add(1, Relaxed);
    }

    /// The vCPU that runs on this LP.
    fn run(&self, lp: usize) -> MutexGuard<'_, Option<Run>> {
        self.runs[lp].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Levels of the VMM's page tables.
    fn levels(&self) -> u8 {
        self.filled.get().expect("filled before the first entry").0
    }

    /// Linear address of a place of the stub.
    fn address(&self, place: Place) -> u64 {
        linear(self.levels()) + place.offset()
    }
}
