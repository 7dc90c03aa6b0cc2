//! The emulated platform inside one QEMU process: firmware, CPU facade, recorder, plan.

use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::in_flight::InFlight;
use crate::instruction_log::Log;
use crate::recorder::Recorder;
use crate::rewind;
use crate::root::Root;
use crate::sight::Sight;
use crate::ticks::Ticks;
use crate::vmx_state::Facade;
use crate::watch::Watchlist;
use rig_wire::event::{Kind, NO_LP};
use rig_wire::plan::{Function, Hold, PLAN_VERSION, Plan, Watch};
use rig_wire::ring::Ring;
use seam_backend::events;
use seam_backend::holds::Holds;
use seam_emu::{Config, Firmware, Note};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// Everything that the callbacks share.
pub(crate) struct Emulator {
    /// What the rig asked for.
    pub(crate) plan: Plan<Config>,
    /// The SEAM firmware. Held for one call at a time, never across `set_pc`.
    firmware: Mutex<Firmware>,
    /// What each vCPU believes of VMX.
    pub(crate) facade: Facade,
    /// The first ticks of secondary vCPUs.
    pub(crate) ticks: Ticks,
    /// Where events go.
    pub(crate) recorder: Recorder,
    /// Which vCPU runs a callback.
    pub(crate) identity: Identity,
    /// The agent's stream, where it has no port.
    pub(crate) exchange: Option<Exchange>,
    /// Where TDs with machine code run, if the plan has them.
    pub(crate) root: Option<Root>,
    /// The log of single instructions, if the plan has one.
    pub(crate) log: Option<Log>,
    /// What each vCPU remembers while its SEAMCALL is in flight.
    in_flight: Vec<Mutex<InFlight>>,
    /// What each vCPU last saw of the watched words.
    sights: Vec<Mutex<Sight>>,
    /// What is watched.
    watchlist: RwLock<Arc<Watchlist>>,
    holds: Mutex<Holds>,
    /// There are holds in some update; read before every instrumented instruction.
    holding: AtomicBool,
}

/// Why the plugin refuses to load.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// The plan is no plan.
    #[error("the plan {path} is malformed: {source}")]
    Plan { path: PathBuf, source: serde_json::Error },
    /// The plan is of another version of the rig.
    #[error("the plan is of version {0}, this plugin reads version {PLAN_VERSION}")]
    PlanVersion(u32),
    /// The plan's platform and QEMU's disagree.
    #[error("the plan describes {planned} LPs, QEMU has {actual} vCPUs")]
    LpCount { planned: usize, actual: usize },
    /// The event ring cannot be mapped.
    #[error("cannot open the event ring {path}: {source}")]
    Ring { path: PathBuf, source: std::io::Error },
    /// The firmware does not start with this module image or configuration.
    #[error("the firmware does not start: {0}")]
    Boot(#[from] seam_emu::BootError),
    /// The log of instructions cannot be made.
    #[error("cannot make the log of instructions {path}: {source}")]
    Log { path: PathBuf, source: std::io::Error },
    /// This QEMU lacks what the mode needs.
    #[error("{0}")]
    Qemu(&'static str),
    /// A saved state does not fit.
    #[error("the saved state {path} cannot be used: {cause}")]
    Restore { path: PathBuf, cause: String },
}

/// State beside a snapshot.
#[derive(Serialize, Deserialize)]
struct Saved {
    firmware: Vec<u8>,
    facade: Vec<u8>,
    in_flight: Vec<InFlight>,
    now_ns: u64,
}

static EMULATOR: OnceLock<Emulator> = OnceLock::new();

/// The one emulator of this process.
pub(crate) fn get() -> &'static Emulator {
    EMULATOR.get().expect("callbacks run after the plugin was installed")
}

/// Builds the emulator from the plan file, for a machine with this many vCPUs.
pub(crate) fn install(plan_path: &Path, vcpus: usize) -> Result<&'static Emulator, LoadError> {
    let bytes = read(plan_path)?;
    let plan: Plan<Config> =
        serde_json::from_slice(&bytes).map_err(|source| LoadError::Plan { path: plan_path.to_owned(), source })?;
    if plan.version != PLAN_VERSION {
        return Err(LoadError::PlanVersion(plan.version));
    }
    if plan.firmware.lps.len() < vcpus {
        return Err(LoadError::LpCount { planned: plan.firmware.lps.len(), actual: vcpus });
    }
    let ring = match &plan.ring {
        Some(path) => Some(Ring::open(path).map_err(|source| LoadError::Ring { path: path.clone(), source })?),
        None => None,
    };
    if plan.schedules.iter().any(|holds| !holds.is_empty()) && !rewind::is_possible() {
        return Err(LoadError::Qemu(rewind::IMPOSSIBLE));
    }
    let root = root(&plan, vcpus).map_err(LoadError::Qemu)?;
    let log = plan.instruction_log.clone().map(|wanted| {
        let path = wanted.file.clone();
        Log::create(wanted, vcpus).map_err(|source| LoadError::Log { path, source })
    });
    let identity = Identity::new(plan.deterministic, vcpus).map_err(LoadError::Qemu)?;
    let (firmware, saved) = start(&plan, vcpus)?;
    let holds = Holds::new(plan.schedules.clone(), plan.update_function.is_some());
    let emulator = Emulator {
        sights: (0..vcpus).map(|_| Mutex::default()).collect(),
        watchlist: RwLock::new(Arc::new(Watchlist::new(&plan.watches, &plan.functions, &plan.schedules))),
        holding: AtomicBool::new(!holds.is_empty()),
        holds: Mutex::new(holds),
        firmware: Mutex::new(firmware),
        facade: Facade::restore(&saved.facade),
        ticks: Ticks::new(tick_stretch(&plan), vcpus),
        recorder: Recorder::new(ring, Clock::new(plan.deterministic, (plan.counts_instructions, vcpus), saved.now_ns)),
        identity,
        exchange: plan.exchange.is_some().then(Exchange::new),
        root,
        log: log.transpose()?,
        in_flight: saved.in_flight.into_iter().map(Mutex::new).collect(),
        plan,
    };
    Ok(EMULATOR.get_or_init(|| emulator))
}

/// SEAM root, if the plan has machine code. Hidden memory is in the SEAM range.
fn root(plan: &Plan<Config>, vcpus: usize) -> Result<Option<Root>, &'static str> {
    if !plan.firmware.machine_code {
        return Ok(None);
    }
    if plan.restore.is_some() {
        return Err("a saved state has no machine code in TDs: boot, or leave out machine_code");
    }
    Root::new(vcpus, plan.firmware.seamrr.base, !plan.deterministic).map(Some)
}

/// The firmware to start with, and the state of everything around it.
fn start(plan: &Plan<Config>, vcpus: usize) -> Result<(Firmware, Saved), LoadError> {
    let Some(path) = &plan.restore else {
        let image = read(&plan.module_image)?;
        let firmware = Firmware::boot(plan.firmware.clone(), &image)?;
        return Ok((firmware, Saved::power_on(vcpus)));
    };
    let unusable = |cause: String| LoadError::Restore { path: path.clone(), cause };
    let saved: Saved = postcard::from_bytes(&read(path)?).map_err(|e| unusable(e.to_string()))?;
    if saved.facade.len() != vcpus || saved.in_flight.len() != vcpus {
        return Err(unusable(format!("it is of {} vCPUs, not {vcpus}", saved.facade.len())));
    }
    let firmware = Firmware::restore(plan.firmware.clone(), &saved.firmware).map_err(|e| unusable(e.to_string()))?;
    Ok((firmware, saved))
}

/// A restored machine's vCPUs have had their first ticks. A deterministic one's clock stands still within blocks, where the timer
/// would be set.
fn tick_stretch(plan: &Plan<Config>) -> u32 {
    let boots = plan.restore.is_none() && !plan.deterministic;
    plan.shortcuts.as_ref().filter(|_| boots).map_or(1, |shortcuts| shortcuts.tick_stretch)
}

impl Saved {
    fn power_on(vcpus: usize) -> Self {
        let (facade, in_flight) = (vec![0; vcpus], vec![InFlight::default(); vcpus]);
        Self { firmware: Vec::new(), facade, in_flight, now_ns: 0 }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

impl Emulator {
    /// The firmware, for the length of one call. A poisoned lock means that a callback panicked, which aborts anyway.
    pub(crate) fn firmware(&self) -> MutexGuard<'_, Firmware> {
        self.firmware.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this LP remembers of its SEAMCALL.
    pub(crate) fn in_flight(&self, lp: usize) -> MutexGuard<'_, InFlight> {
        self.in_flight[lp].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this LP last saw of the watched words.
    pub(crate) fn sight(&self, lp: usize) -> MutexGuard<'_, Sight> {
        self.sights[lp].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is watched.
    pub(crate) fn watchlist(&self) -> Arc<Watchlist> {
        Arc::clone(&self.watchlist.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says where the watched words and functions lie; false when these are not the plan's.
    pub(crate) fn watch(&self, watches: &[Watch], functions: &[Function]) -> bool {
        let list = Watchlist::new(watches, functions, &self.plan.schedules);
        let mut current = self.watchlist.write().unwrap_or_else(PoisonError::into_inner);
        let same = current.has_names_of(&list);
        if same {
            *current = Arc::new(list);
        }
        same
    }

    /// Whether a TD's code runs on this LP.
    pub(crate) fn is_in_td(&self, lp: usize) -> bool {
        self.root.as_ref().is_some_and(|root| root.is_in_td(lp))
    }

    /// Whether several vCPUs run at the same time.
    pub(crate) fn is_parallel(&self) -> bool {
        !self.plan.deterministic && self.sights.len() > 1
    }

    /// The engine of holds.
    pub(crate) fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Can any LP be held in any update?
    pub(crate) fn holding(&self) -> bool {
        self.holding.load(Ordering::Relaxed)
    }

    /// Replaces the schedules from the next update on.
    pub(crate) fn set_schedules(&self, schedules: Vec<Vec<Hold>>) {
        let holds = Holds::new(schedules, self.plan.update_function.is_some());
        self.holding.store(!holds.is_empty(), Ordering::Relaxed);
        *self.holds() = holds;
    }

    /// Firmware and facade as bytes, to be kept beside a snapshot.
    pub(crate) fn save(&self) -> Vec<u8> {
        let in_flight = (0..self.in_flight.len()).map(|lp| *self.in_flight(lp)).collect();
        let now_ns = self.recorder.clock.now_ns();
        let saved = Saved { firmware: self.firmware().save(), facade: self.facade.save(), in_flight, now_ns };
        postcard::to_stdvec(&saved).expect("plain data can always be encoded")
    }

    /// Records what the firmware noted while it served the call with this RAX.
    pub(crate) fn record_notes(&self, lp: u16, rax: u64, notes: Vec<Note>) {
        for (kind, fields) in events::of_notes(rax, notes) {
            self.recorder.record(lp, kind, 0, fields);
        }
    }

    /// Records a mark that the rig set.
    pub(crate) fn record_mark(&self, mark: u64, argument: u64) {
        self.recorder.record(NO_LP, Kind::Mark, 0, [mark, argument, 0, 0]);
    }
}
