//! The whole firmware: one value that answers every SEAMCALL of the platform.

use crate::abi::{Leaf, Status};
use crate::entry::VpEntry;
use crate::faults::Striker;
use crate::image::{Image, ImageError};
use crate::inflight::{AtEnd, InFlight, LpCalls, Phase};
use crate::internal_failure;
use crate::locks::{LockId, Locks, Mode};
use crate::module::td::digest;
use crate::module::{self, Handoff, Protected, SysState};
use crate::platform::Platform;
use crate::seamldr::{self, Candidate, Layout, Loader};
use crate::world::{SeamDb, World};
use crate::{
    Caller, Completion, Config, ConfigError, FaultAction, FaultPoint, GuestMemory, Note, Outcome, Regs, Reply,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha384};
use thiserror::Error;

/// Number that [`Firmware::module_state`] gives when no module can be called.
const NOT_LOADED: u64 = 5;

/// P-SEAMLDR, the TDX module, the SEAM database and the platform beneath them.
#[derive(Clone, Debug)]
pub struct Firmware {
    pub(crate) config: Config,
    pub(crate) platform: Platform,
    pub(crate) state: State,
    pub(crate) notes: Vec<Note>,
}

/// All that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) locks: Locks,
    /// Calls that last, by LP.
    pub(crate) calls: Vec<LpCalls>,
    pub(crate) striker: Striker,
    /// No call in flight ends before this time, in nanoseconds.
    next_end_ns: u64,
}

/// Why the firmware did not start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BootError {
    /// The configuration describes no possible platform.
    #[error("the platform is not possible: {0}")]
    Config(#[from] ConfigError),
    /// The file is no module image.
    #[error("the module image is not usable: {0}")]
    Image(#[from] ImageError),
    /// P-SEAMLDR refuses the module.
    #[error("P-SEAMLDR refuses the module image with {0:?}: its signature, key, hash or CPU table does not fit")]
    Install(Status),
}

impl Firmware {
    /// The platform after its module was loaded (SEAMLDR.INSTALL, scenario LOAD) and before TDH.SYS.INIT.
    /// `module_image` is a file of the form that Linux takes (blob version 0x200).
    pub fn boot(config: Config, module_image: &[u8]) -> Result<Self, BootError> {
        config.validate()?;
        let image = Image::parse(module_image)?;
        let mut firmware = Self::without_module(config);
        let (world, config) = (&mut firmware.state.world, &firmware.config);
        let candidate = Candidate {
            scenario: crate::abi::seamldr::SCENARIO_LOAD,
            hash: Sha384::digest(&image.module).into(),
            sigstruct: image.sigstruct,
            module: image.module,
        };
        let layout = Layout::plan(&candidate.sigstruct, candidate.module.len() as u64, &firmware.platform, config);
        let result = seamldr::install(world, config, &candidate, &layout, None);
        seamldr::publish(world, &result);
        result.map_err(|(status, _)| BootError::Install(status))?;
        world.loader.init_done = true;
        Ok(firmware)
    }

    /// P-SEAMLDR alone.
    fn without_module(config: Config) -> Self {
        let platform = Platform::new(&config);
        // One entry of the database goes to the module that is loaded at boot.
        let seamdb = SeamDb { capacity: config.remaining_updates + 1, used: 0 };
        let mut seamextend = crate::abi::seamldr::SeamExtend::ZERO;
        seamextend.p_seamldr_ready = 1;
        let world = World {
            seamextend,
            seamdb,
            loader: Loader::new(&config, seamdb.free()),
            module: None,
            handoff: Handoff::default(),
            protected: Protected::default(),
        };
        let state = State {
            world,
            locks: Locks::default(),
            calls: vec![LpCalls::default(); config.lps.len()],
            striker: Striker::new(&config.faults),
            next_end_ns: u64::MAX,
        };
        Self { config, platform, state, notes: Vec::new() }
    }

    /// One execution of the SEAMCALL instruction by an LP, at `now_ns` of the platform's clock (never backwards).
    ///
    /// The first execution does the leaf's work. If the leaf lasts, that and later executions give [`Reply::Wait`],
    /// the LP's locks are held and it counts as busy; the first execution after the time is up gives the completion.
    /// Registers change only with a completion whose outcome is [`Outcome::Return`].
    ///
    /// Panics if the LP does not exist.
    pub fn seamcall(&mut self, caller: Caller, regs: &mut Regs, mem: &mut dyn GuestMemory, now_ns: u64) -> Reply {
        if now_ns >= self.state.next_end_ns {
            self.end_calls(now_ns);
        }
        let calls = &mut self.state.calls[caller.lp];
        if !calls.is_empty() {
            if let Some((output, completion)) = calls.collect(regs) {
                return finish(regs, output, completion);
            }
            match calls.inside() {
                Some(InFlight { phase: Phase::Never, .. }) => return Reply::Never,
                Some(call) if call.until_ns > now_ns => return Reply::Wait { until_ns: call.until_ns },
                Some(call) => {
                    let (leaf, input) = (call.leaf, call.input);
                    debug_assert_eq!(call.phase, Phase::Delayed, "ended calls are finished");
                    calls.pop_inside();
                    if input == *regs {
                        return self.work(caller.lp, regs, mem, now_ns, None);
                    }
                    // An interrupt's call came first: the delayed one does its work and waits to be collected.
                    let mut output = input;
                    match self.work(caller.lp, &mut output, mem, now_ns, None) {
                        Reply::Done(completion) => {
                            let phase = Phase::Finished { output, completion };
                            self.state.calls[caller.lp].push(InFlight { leaf, input, until_ns: now_ns, phase });
                        }
                        lasting => return lasting,
                    }
                }
                None => {}
            }
        }
        match self.gate(&caller, regs.rax) {
            Some(completion) => Reply::Done(completion),
            None => self.begin(caller.lp, regs, mem, now_ns),
        }
    }

    /// What the CPU itself checks before it enters SEAM. Source: SEAMCALL in the Intel SDM and the SEAM architecture
    /// specification.
    fn gate(&self, caller: &Caller, rax: u64) -> Option<Completion> {
        if !caller.in_vmx_root || !caller.long_mode {
            return Some(Completion::plain(Outcome::Ud));
        }
        if caller.cpl > 0 {
            return Some(Completion::plain(Outcome::Gp));
        }
        let extend = &self.state.world.seamextend;
        let to_seamldr = rax >> 63 != 0;
        let busy = to_seamldr && self.state.locks.is_held(LockId::SeamLdr);
        let ready = if to_seamldr { extend.p_seamldr_ready } else { extend.seam_ready } != 0;
        let refused = Completion { contended: ready && busy, ..Completion::plain(Outcome::VmFailInvalid) };
        (!ready || busy).then_some(refused)
    }

    /// A new call: looks for a fault, then works.
    fn begin(&mut self, lp: usize, regs: &mut Regs, mem: &mut dyn GuestMemory, now_ns: u64) -> Reply {
        let leaf = leaf_of(regs.rax);
        let fault = leaf.filter(|_| !self.config.faults.is_empty()).and_then(|leaf| {
            let exposed = internal_failure::is_exposed(&self.state.world, &self.config, leaf, lp);
            self.state.striker.strike(&self.config.faults, leaf, lp, exposed)
        });
        match fault {
            Some((FaultPoint::Before, FaultAction::DelayNs(ns))) => {
                self.enter(leaf, lp);
                self.park(lp, leaf, *regs, now_ns + ns, Phase::Delayed)
            }
            Some((FaultPoint::Before, FaultAction::NeverReturns)) => {
                self.enter(leaf, lp);
                self.park(lp, leaf, *regs, u64::MAX, Phase::Never)
            }
            fault => self.work(lp, regs, mem, now_ns, fault),
        }
    }

    /// An LP inside P-SEAMLDR keeps others out.
    fn enter(&mut self, leaf: Option<Leaf>, lp: usize) {
        if leaf.is_some_and(Leaf::is_seamldr) {
            let entered = self.state.locks.try_lock(LockId::SeamLdr, Mode::Exclusive, lp);
            assert!(entered, "the gate let only one LP into P-SEAMLDR");
        }
    }

    /// Keeps a call in flight.
    fn park(&mut self, lp: usize, leaf: Option<Leaf>, input: Regs, until_ns: u64, phase: Phase) -> Reply {
        let never = phase == Phase::Never;
        self.state.calls[lp].push(InFlight { leaf, input, until_ns, phase });
        self.state.next_end_ns = self.state.next_end_ns.min(until_ns);
        if never { Reply::Never } else { Reply::Wait { until_ns } }
    }

    /// Does the leaf's work, and its faults'.
    fn work(
        &mut self,
        lp: usize,
        regs: &mut Regs,
        mem: &mut dyn GuestMemory,
        now_ns: u64,
        fault: Option<(FaultPoint, FaultAction)>,
    ) -> Reply {
        let (leaf, input) = (leaf_of(regs.rax), *regs);
        let before = self.module_state();
        let mut done = self.run(leaf, lp, input, mem, fault);
        self.note_module_state(before);
        if let Some(entry) = done.entry {
            let phase = Phase::InTd { tdvpr: entry.tdvpr, at_end: done.at_end };
            self.state.calls[lp].push(InFlight { leaf, input, until_ns: u64::MAX, phase });
            return Reply::Enter(entry);
        }
        let duration_ns = match (leaf, fault) {
            (_, Some((_, FaultAction::TransientShutdownNs(ns)))) if done.at_end.reopen => ns,
            (Some(leaf), fault) => {
                let extra = if let Some((_, FaultAction::DelayNs(ns))) = fault { ns } else { 0 };
                self.platform.duration_ns(leaf, done.pages) + extra
            }
            (None, _) => 0,
        };
        // A leaf may fail for another reason before it comes to its internal failure.
        done.completion.by_fault = fault.is_some()
            && internal_failure::met_by(leaf, fault).is_none_or(|(_, status)| done.output.rax == status.0);
        if fault == Some((FaultPoint::After, FaultAction::NeverReturns)) {
            return self.park(lp, leaf, input, u64::MAX, Phase::Never);
        }
        if duration_ns > 0 {
            let Done { output, completion, at_end, .. } = done;
            return self.park(lp, leaf, input, now_ns + duration_ns, Phase::Working { output, completion, at_end });
        }
        self.leave(lp, done.at_end);
        finish(regs, done.output, done.completion)
    }

    /// Runs the leaf, unless a fault stands in for it.
    fn run(
        &mut self,
        leaf: Option<Leaf>,
        lp: usize,
        input: Regs,
        mem: &mut dyn GuestMemory,
        fault: Option<(FaultPoint, FaultAction)>,
    ) -> Done {
        let mut output = input;
        let mut cx = self.context(lp, mem);
        cx.corruption = internal_failure::corruption(fault);
        cx.internal_failure = internal_failure::met_by(leaf, fault);
        let to_seamldr = input.rax >> 63 != 0;
        if to_seamldr && !cx.locks.is_held(LockId::SeamLdr) {
            let entered = cx.locks.try_lock(LockId::SeamLdr, Mode::Exclusive, lp);
            assert!(entered, "nobody holds it");
        }
        let mut outcome = Outcome::Return;
        let fault = fault.filter(|_| cx.internal_failure.is_none());
        match fault {
            Some((FaultPoint::Before, FaultAction::Status(status))) => output.rax = status,
            Some((FaultPoint::Before, FaultAction::VmFailInvalid)) => outcome = Outcome::VmFailInvalid,
            Some((_, FaultAction::TransientShutdownNs(_))) if cx.module().state == SysState::Ready => {
                output.rax = module::transient_shutdown(&mut cx).0;
            }
            _ if to_seamldr => output.rax = seamldr::dispatch(&mut cx, leaf, &mut output).0,
            _ => output.rax = module::dispatch(&mut cx, leaf, &mut output).0,
        }
        match fault {
            Some((FaultPoint::After, FaultAction::Status(status))) => output.rax = status,
            Some((FaultPoint::After, FaultAction::VmFailInvalid)) => outcome = Outcome::VmFailInvalid,
            _ => {}
        }
        let completion = Completion { outcome, by_fault: false, unmodelled: cx.unmodelled, contended: cx.contended };
        Done { output, completion, pages: cx.pages, at_end: cx.at_end, entry: cx.entry }
    }

    /// The LP leaves SEAM.
    pub(crate) fn leave(&mut self, lp: usize, at_end: AtEnd) {
        self.state.locks.release_all(lp);
        let world = &mut self.state.world;
        if let Some((tdr, epoch)) = at_end.td_exit
            && let Some(td) = world.protected.tds.get_mut(&tdr)
        {
            td.inside[(epoch & 1) as usize] -= 1;
        }
        if at_end.reopen
            && let Some(module) = &mut world.module
            && module.state == SysState::Shutdown
        {
            module.state = SysState::Ready;
            self.note_module_state(SysState::Shutdown as u64);
        }
    }

    /// Ends the calls whose time is up, in the order of their ends.
    fn end_calls(&mut self, now_ns: u64) {
        let ends = |calls: &LpCalls| match calls.inside() {
            Some(InFlight { phase: Phase::Working { .. }, until_ns, .. }) if *until_ns <= now_ns => Some(*until_ns),
            _ => None,
        };
        let mut ended: Vec<(u64, usize)> =
            self.state.calls.iter().enumerate().filter_map(|(lp, calls)| Some((ends(calls)?, lp))).collect();
        ended.sort_unstable();
        for (_, lp) in ended {
            let call = self.state.calls[lp].inside_mut().expect("it was found inside");
            let Phase::Working { output, completion, at_end } = call.phase.clone() else { unreachable!("filtered") };
            call.phase = Phase::Finished { output, completion };
            self.leave(lp, at_end);
        }
        let working = |calls: &LpCalls| match calls.inside() {
            Some(InFlight { phase: Phase::Working { .. }, until_ns, .. }) => Some(*until_ns),
            _ => None,
        };
        self.state.next_end_ns = self.state.calls.iter().filter_map(working).min().unwrap_or(u64::MAX);
    }

    /// Notes a change of the module's state.
    fn note_module_state(&mut self, old: u64) {
        let new = self.module_state();
        if old != new {
            self.notes.push(Note::ModuleState { old, new });
        }
    }

    /// Value of an MSR that the SEAM platform defines; none for any other MSR.
    pub fn msr(&self, index: u32) -> Option<u64> {
        self.platform.msr(index)
    }

    /// State of the TDX module: 0 `SYSINIT_PENDING`, 1 `SYSINIT_DONE`, 2 `SYSCONFIG_DONE`, 3 `SYS_READY`,
    /// 4 `SYS_SHUTDOWN`, 5 no module can be called.
    pub fn module_state(&self) -> u64 {
        match &self.state.world.module {
            Some(module) if self.state.world.seamextend.seam_ready != 0 => module.state as u64,
            _ => NOT_LOADED,
        }
    }

    /// For each TD its TDR's physical address and a SHA-384 digest of all that belongs to it.
    pub fn td_digests(&self, mem: &dyn GuestMemory) -> Vec<(u64, [u8; 48])> {
        digest::all(&self.state.world.protected, mem)
    }

    /// What happened since the last call of this function, in order.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// The locks that are held now, oldest first.
    pub fn held_locks(&self) -> &[crate::locks::Held] {
        self.state.locks.held()
    }

    /// The platform's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A firmware with this state.
    pub(crate) fn with_state(config: Config, state: State) -> Self {
        Self { platform: Platform::new(&config), config, state, notes: Vec::new() }
    }
}

/// What a leaf's work led to.
struct Done {
    output: Regs,
    completion: Completion,
    pages: u64,
    at_end: AtEnd,
    entry: Option<VpEntry>,
}

/// The leaf that RAX names.
fn leaf_of(rax: u64) -> Option<Leaf> {
    if rax >> 63 == 0 { Leaf::from_module(rax as u16) } else { Leaf::from_seamldr(rax) }
}

/// The end of the instruction.
fn finish(regs: &mut Regs, output: Regs, completion: Completion) -> Reply {
    if completion.outcome == Outcome::Return {
        *regs = output;
    }
    Reply::Done(completion)
}
