//! The emulated platform: firmware, holds, events, and what is remembered of each LP.

use crate::in_flight::InFlight;
use crate::rewrite::{self, RewriteError};
use crate::sight::Sight;
use crate::{
    Access, Code, Events, Exit, FindError, KernelImage, KernelMap, Operation, Ram, Sites, Subject, UnknownExit, find,
};
use kvm_bindings::kvm_regs;
use rig_wire::event::{Kind, flags};
use rig_wire::plan::{Hold, Point, Until};
use seam_backend::events::of_notes;
use seam_backend::holds::{Change, Holds, Now};
use seam_emu::{Firmware, GuestMemory, Note};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is to be seen of the kernel.
    pub subject: Subject,
    /// Holds of each update in turn.
    pub schedules: Vec<Vec<Hold>>,
    /// Index in the subject's functions of the one that every CPU enters once in an update; none: the first schedule is
    /// in force at once.
    pub update_function: Option<usize>,
    /// LPs.
    pub lps: usize,
    /// Where the kernel lies.
    pub map: KernelMap,
    /// Whether the LPs are in VMX root operation, with CR4.VMXE set, when they begin.
    pub in_vmx_root: bool,
}

/// Why there is no emulator.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The sites cannot be known.
    #[error(transparent)]
    Find(#[from] FindError),
    /// They cannot be rewritten.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// A watched word cannot be accessed here.
    #[error("the watched word at {address:#x} is no whole word of the kernel's image in guest memory")]
    Word {
        /// Guest virtual address.
        address: u64,
    },
    /// A hold is at a place that is no site, or waits for something that is not counted.
    #[error("a hold names {0}, where no site is")]
    Hold(String),
    /// TDs are to run machine code, which needs a processor that this backend has not.
    #[error("machine code in TDs needs the plugin in QEMU: leave out machine_code")]
    MachineCode,
}

/// What is remembered of one LP.
#[derive(Debug, Default)]
pub(crate) struct Lp {
    pub(crate) in_flight: InFlight,
    pub(crate) sight: Sight,
    /// CR4.VMXE, which KVM does not know of.
    pub(crate) vmxe: bool,
    /// It executed VMXON and not VMXOFF since.
    pub(crate) in_vmx_root: bool,
}

/// Everything that the vCPUs' threads share.
#[derive(Debug)]
pub struct Emulator {
    sites: Sites,
    ram: Ram,
    map: KernelMap,
    firmware: Mutex<Firmware>,
    holds: Mutex<Holds>,
    /// There are holds in some update.
    holding: AtomicBool,
    events: Events,
    lps: Vec<Mutex<Lp>>,
    update_function: Option<usize>,
    /// Held for one access to a watched word and its record, so that the order of the records is that of the accesses.
    words: Mutex<()>,
    /// A watched word was stored.
    stored: Condvar,
}

impl Emulator {
    /// Finds the sites of `image` and rewrites them in `ram`, where the kernel lies. No vCPU may be running.
    pub fn new(
        image: &KernelImage,
        ram: Ram,
        firmware: Firmware,
        events: Events,
        options: Options,
    ) -> Result<Self, SetupError> {
        if firmware.config().machine_code {
            return Err(SetupError::MachineCode);
        }
        let sites = find(image, &options.subject)?;
        check_words(&sites, &ram, options.map)?;
        rewrite::rewrite(&ram, options.map, &sites)?;
        let lp = || Mutex::new(Lp { vmxe: options.in_vmx_root, in_vmx_root: options.in_vmx_root, ..Lp::default() });
        let holds = Holds::new(Vec::new(), options.update_function.is_some());
        let emulator = Self {
            sites,
            ram,
            map: options.map,
            firmware: Mutex::new(firmware),
            holding: AtomicBool::new(false),
            holds: Mutex::new(holds),
            events,
            lps: (0..options.lps).map(|_| lp()).collect(),
            update_function: options.update_function,
            words: Mutex::new(()),
            stored: Condvar::new(),
        };
        emulator.set_schedules(options.schedules)?;
        Ok(emulator)
    }

    /// The sites.
    pub fn sites(&self) -> &Sites {
        &self.sites
    }

    /// Guest memory.
    pub fn ram(&self) -> &Ram {
        &self.ram
    }

    /// Where records go.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The firmware, for the length of one call. A poisoned lock means that a thread of a vCPU panicked.
    pub fn firmware(&self) -> MutexGuard<'_, Firmware> {
        self.firmware.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this LP is in VMX root operation, and whether its CR4.VMXE is set.
    pub fn vmx(&self, lp: u16) -> (bool, bool) {
        let lp = self.lp(lp);
        (lp.in_vmx_root, lp.vmxe)
    }

    /// Replaces the schedules, from the next update on.
    pub fn set_schedules(&self, schedules: Vec<Vec<Hold>>) -> Result<(), SetupError> {
        for hold in schedules.iter().flatten() {
            self.check(hold)?;
        }
        let holds = Holds::new(schedules, self.update_function.is_some());
        self.holding.store(!holds.is_empty(), Ordering::Relaxed);
        *self.holds() = holds;
        Ok(())
    }

    /// A hold at a place that no vCPU leaves the guest at would never begin, without a word.
    fn check(&self, hold: &Hold) -> Result<(), SetupError> {
        let watches = |watch: usize, stores: bool| {
            self.sites.all().iter().any(|site| match site.operation {
                Operation::Access(access) if access.watch == watch => {
                    if stores {
                        access.effect.stores()
                    } else {
                        access.effect.loads()
                    }
                }
                _ => false,
            })
        };
        let is_site = |point: &Point| match point {
            Point::SeamcallEnter { .. } | Point::SeamcallExit { .. } => true,
            Point::Pc { address } => self.sites.at(*address).is_some(),
            Point::Load { watch } | Point::Saw { watch, .. } => watches(*watch, false),
            Point::Store { watch } => watches(*watch, true),
            Point::Pause => false,
        };
        let refused = |what: String| Err(SetupError::Hold(what));
        match &hold.until {
            _ if !is_site(&hold.at) => refused(format!("{:?}", hold.at)),
            Until::Passed { at, .. } if !is_site(at) => refused(format!("{at:?}")),
            Until::Instructions { .. } => refused("a number of instructions, which KVM does not count,".into()),
            Until::Passed { .. } | Until::ElapsedNs(_) => Ok(()),
        }
    }

    /// What the exit is, in words that name address and bytes.
    pub fn unknown(&self, exit: Exit, registers: &kvm_regs) -> UnknownExit {
        let address = registers.rip;
        let (start, length) = match exit {
            Exit::Out(_) => (address.wrapping_sub(2), 2),
            Exit::Interrupted | Exit::Other(_) => (address, 15),
        };
        let code = self.map.physical(start).and_then(|pa| {
            let mut bytes = vec![0; length];
            self.ram.read(pa, &mut bytes).ok()?;
            Code::new(&bytes)
        });
        UnknownExit { exit, address, code }
    }

    /// What is remembered of an LP. Panics if the platform has no such LP.
    pub(crate) fn lp(&self, lp: u16) -> MutexGuard<'_, Lp> {
        self.lps[usize::from(lp)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serialises accesses to watched words.
    pub(crate) fn words(&self) -> MutexGuard<'_, ()> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a watched word was stored.
    pub(crate) fn word_stored(&self) {
        self.stored.notify_all();
    }

    /// Waits until a watched word is stored, at most so long.
    pub(crate) fn await_store<'a>(&self, words: MutexGuard<'a, ()>, at_most: Duration) -> MutexGuard<'a, ()> {
        self.stored.wait_timeout(words, at_most).unwrap_or_else(PoisonError::into_inner).0
    }

    /// The physical address of a virtual one in the kernel's image.
    pub(crate) fn physical(&self, address: u64) -> Option<u64> {
        self.map.physical(address)
    }

    /// Can any LP be held in any update?
    pub(crate) fn is_holding(&self) -> bool {
        self.holding.load(Ordering::Relaxed)
    }

    /// The LP enters this watched function.
    pub(crate) fn enters(&self, lp: u16, function: usize) {
        if self.update_function == Some(function) {
            self.holds().enters_update(lp);
        }
    }

    /// The LP has made this access.
    pub(crate) fn passed(&self, lp: u16, point: &Point) {
        if self.is_holding() {
            self.holds().passed(lp, point);
        }
    }

    /// Must this LP stay at these points? Records when a hold begins and ends.
    pub(crate) fn held_at(&self, lp: u16, points: &[Point]) -> bool {
        if !self.is_holding() {
            return false;
        }
        let now = Now { ns: self.events.now_ns(), instructions: &|_| 0 };
        let decision = self.holds().at(lp, points, &now);
        for change in decision.changes {
            match change {
                Change::Began(hold) => self.events.record(lp, Kind::HoldBegin, 0, [hold as u64, 0, 0, 0]),
                Change::Ended(hold, end) => {
                    self.events.record(lp, Kind::HoldEnd, 0, [hold as u64, end as u64, 0, 0]);
                }
            }
        }
        decision.stay
    }

    /// Records what the firmware noted while it served the call with this RAX.
    pub(crate) fn record_notes(&self, lp: u16, rax: u64, notes: Vec<Note>) {
        for (kind, fields) in of_notes(rax, notes) {
            self.events.record(lp, kind, 0, fields);
        }
    }

    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether each word that a site accesses is memory.
fn check_words(sites: &Sites, ram: &Ram, map: KernelMap) -> Result<(), SetupError> {
    let accesses = sites.all().iter().filter_map(|site| match site.operation {
        Operation::Access(access) => Some(access),
        _ => None,
    });
    for Access { address, size, .. } in accesses {
        map.physical(address).and_then(|pa| ram.load(pa, size)).ok_or(SetupError::Word { address })?;
    }
    Ok(())
}

/// [`flags::IF`], where interrupts are enabled.
pub(crate) fn interrupts(registers: &kvm_regs) -> u32 {
    if registers.rflags & crate::registers::IF == 0 { 0 } else { flags::IF }
}
