//! The imitated kernel's part of one update: the shared words, the locks, and who acts next.

use super::Twist;
use super::cpu::{Cpu, Lock, Op};
use super::recording::{Synthetic, tdr};
use crate::Step;
use crate::timeline::Leaf;
use rig_wire::event::{Kind, Record, flags};

/// Place of the words in the plan that [`super::watches`] makes.
mod word {
    pub(super) const STATE: u64 = 0;
    pub(super) const NUM_ACK: u64 = 1;
    pub(super) const NUM_FAILED: u64 = 2;
    pub(super) const NUM_ONLINE: u64 = 3;
}

/// Place of the functions in the plan that [`super::functions`] makes.
mod place {
    pub(super) const INSTALL: u64 = 0;
    pub(super) const STOP: u64 = 1;
    pub(super) const SET_ONLINE: u64 = 2;
}

/// `TDX_RND_NO_ENTROPY`.
const RND_NO_ENTROPY: u64 = 0x8000_0203_0000_0000;

/// Guest time after which a run without progress counts as hung.
const PATIENCE_NS: u64 = 100_000_000;

/// `update_ctrl`, and the CPUs that work on it.
pub(super) struct Kernel<'a> {
    run: &'a mut Synthetic,
    cpus: Vec<Cpu>,
    state: u64,
    num_ack: u64,
    num_failed: u64,
    online: u64,
    ack_lock: Option<u16>,
    loader_lock: Option<u16>,
    sys_init_lock: Option<u16>,
    sys_init_done: bool,
    /// LPs inside P-SEAMLDR.
    in_loader: u32,
    retries: u32,
    started_ns: u64,
}

impl<'a> Kernel<'a> {
    pub(super) fn new(run: &'a mut Synthetic) -> Self {
        let started_ns = run.now_ns;
        let miscounted = usize::from(run.twist == Some(Twist::MiscountedCpus));
        let stopped = run.setup.online.len() - miscounted;
        let cpus: Vec<Cpu> = (0..stopped).map(|_| Cpu::stopped(started_ns + 40_000 + run.draw(60_000))).collect();
        let online = cpus.len() as u64;
        Self {
            run,
            cpus,
            state: 1,
            num_ack: 0,
            num_failed: 0,
            online,
            ack_lock: None,
            loader_lock: None,
            sys_init_lock: None,
            sys_init_done: false,
            in_loader: 0,
            retries: 0,
            started_ns,
        }
    }

    /// Runs the update. None: it hangs; else whether it failed.
    pub(super) fn run(mut self) -> Option<bool> {
        self.prepare();
        while let Some(lp) = self.next() {
            if self.run.now_ns > self.started_ns + PATIENCE_NS {
                return None;
            }
            self.act(lp);
        }
        self.behind();
        let hangs = self.cpus.iter().any(|cpu| !cpu.todo.is_empty());
        (!hangs).then_some(self.cpus.iter().any(|cpu| cpu.result != 0))
    }

    /// What the lead does when everybody has left.
    fn behind(&mut self) {
        let (first, twist) = (self.run.setup.lead, self.run.twist);
        let leaf = match twist {
            Some(Twist::UpdateBehind) => Leaf::UPDATE,
            Some(Twist::InstallBehind) => Leaf::INSTALL,
            _ => return,
        };
        self.run.call(first, leaf, 0, 1000);
    }

    fn is(&self, twist: Twist) -> bool {
        self.run.twist == Some(twist)
    }

    /// `init_state()` on the CPU that uploads.
    fn prepare(&mut self) {
        let lp = (self.cpus.len() - 1) as u16;
        self.word(lp, word::STATE, 1, flags::STORE);
        self.word(lp, word::NUM_FAILED, 0, flags::STORE);
        if self.is(Twist::OneCpuOnly) {
            self.cpus.iter_mut().skip(1).for_each(|cpu| cpu.todo.clear());
        }
    }

    /// The CPU that is ready first, and can act.
    fn next(&mut self) -> Option<u16> {
        let can = |cpu: &Cpu| match cpu.todo.front() {
            None => false,
            Some(Op::Acquire(lock)) => self.holder(*lock).is_none(),
            Some(_) => true,
        };
        let ready = self.cpus.iter().enumerate().filter(|(_, cpu)| can(cpu)).min_by_key(|(_, cpu)| cpu.ready_ns)?;
        let lp = ready.0 as u16;
        self.run.now_ns = self.run.now_ns.max(ready.1.ready_ns);
        Some(lp)
    }

    fn act(&mut self, lp: u16) {
        let Some(op) = self.cpu(lp).todo.pop_front() else { return };
        let cost_ns = self.cost_ns(op);
        match op {
            Op::EnterStop => self.function(lp, place::STOP, Kind::FunctionEnter),
            Op::LeaveStop => self.function(lp, place::STOP, Kind::FunctionExit),
            Op::EnterInstall => self.function(lp, place::INSTALL, Kind::FunctionEnter),
            Op::LeaveInstall => self.function(lp, place::INSTALL, Kind::FunctionExit),
            Op::ReadState => self.read_state(lp),
            Op::StoreState(state) => self.word(lp, word::STATE, state, flags::STORE),
            Op::ReadFailed => self.read_failed(lp),
            Op::Acquire(lock) => *self.lock(lock) = Some(lp),
            Op::Release(lock) => *self.lock(lock) = None,
            Op::SysInitOnce => self.sys_init(lp),
            Op::CallEnter(leaf, field) => self.call_enter(lp, leaf, field),
            Op::CallExit(leaf, field) => self.call_exit(lp, leaf, field),
            Op::LoadAck | Op::LoadOnline | Op::LoadFailed | Op::StoreFailed | Op::StoreAck => self.count(lp, op),
            Op::Advance => self.advance(lp),
        }
        self.cpu(lp).ready_ns = self.run.now_ns + cost_ns;
    }

    /// Durations that make a readable picture; they are not measured.
    fn cost_ns(&mut self, op: Op) -> u64 {
        let base = match op {
            Op::CallEnter(Leaf::SHUTDOWN, _) => 400_000,
            Op::CallEnter(Leaf::INSTALL, _) => 120_000,
            Op::CallEnter(Leaf::SYS_INIT, _) => 90_000,
            Op::CallEnter(Leaf::LP_INIT, _) => 40_000,
            Op::CallEnter(Leaf::UPDATE, _) => 900_000,
            // The more CPUs, the coarser the imitation of their spinning.
            Op::ReadState | Op::ReadFailed => 2_000 * (1 + self.online / 8),
            _ => 300,
        };
        base + self.run.draw(base / 2)
    }

    fn read_state(&mut self, lp: u16) {
        let (state, twist) = (self.state, self.run.twist);
        let is_last = usize::from(lp) + 1 == self.cpus.len();
        let unread = is_last && Step::from_number(state).is_some_and(|step| self.is(Twist::AckUnread(step)));
        if self.cpu(lp).seen.replace(state) != Some(state) && !unread {
            self.word(lp, word::STATE, state, 0);
        }
        if self.cpu(lp).current == state {
            self.cpu(lp).todo.push_back(Op::ReadFailed);
        } else {
            let lead = lp == self.run.setup.lead;
            self.cpu(lp).begin(state, lead, is_last, twist);
        }
    }

    /// The loop's condition.
    fn read_failed(&mut self, lp: u16) {
        let last = Step::Done.number() + u64::from(self.is(Twist::OneStateMore));
        if self.cpu(lp).current == last {
            return self.cpu(lp).leave();
        }
        if self.is(Twist::IgnoreFailed) {
            return self.cpu(lp).todo.push_back(Op::ReadState);
        }
        let failed = self.num_failed;
        if self.cpu(lp).seen_failed.replace(failed) != Some(failed) {
            self.word(lp, word::NUM_FAILED, failed, 0);
        }
        if failed == 0 { self.cpu(lp).todo.push_back(Op::ReadState) } else { self.cpu(lp).leave() }
    }

    fn sys_init(&mut self, lp: u16) {
        if !std::mem::replace(&mut self.sys_init_done, true) {
            let todo = &mut self.cpu(lp).todo;
            todo.push_front(Op::CallExit(Leaf::SYS_INIT, 0));
            todo.push_front(Op::CallEnter(Leaf::SYS_INIT, 0));
        }
    }

    fn call_enter(&mut self, lp: u16, leaf: Leaf, field: u64) {
        let on = leaf.step().is_some_and(|step| self.is(Twist::InterruptsOn(step)));
        let flags = if on { flags::IF } else { 0 };
        self.record(lp, Kind::SeamcallEnter, flags, [leaf.0, 0, field, 0]);
        self.in_loader += u32::from(leaf.is_seamldr());
        let is_last = usize::from(lp) + 1 == self.cpus.len();
        if is_last && leaf.step().is_some_and(|step| self.is(Twist::NeverReturns(step))) {
            self.cpu(lp).todo = [Op::Acquire(Lock::Loader)].into();
            self.loader_lock = Some(lp);
        }
        if leaf == Leaf::INSTALL && lp == 0 {
            self.disturb();
        }
    }

    /// Things that happen elsewhere while the lead installs.
    fn disturb(&mut self) {
        let lp = (self.cpus.len() - 1) as u16;
        if self.is(Twist::Hotplug) {
            let cpu = u64::from(self.run.setup.lps);
            self.record(lp, Kind::FunctionEnter, 0, [place::SET_ONLINE, 0, cpu, 1]);
        }
    }

    fn call_exit(&mut self, lp: u16, leaf: Leaf, _field: u64) {
        let fault = self.run.fault.filter(|fault| fault.leaf == leaf && fault.lp == lp);
        let contended = leaf.is_seamldr() && self.in_loader > 1;
        self.in_loader -= u32::from(leaf.is_seamldr());
        self.digests(leaf);
        if leaf == Leaf::SYS_INIT && self.is(Twist::RetryForEver) && self.retries < 20 {
            self.retries += 1;
            self.record(lp, Kind::SeamcallExit, 0, [leaf.0, RND_NO_ENTROPY, 0, 0]);
            let todo = &mut self.cpu(lp).todo;
            todo.push_front(Op::CallExit(leaf, 0));
            todo.push_front(Op::CallEnter(leaf, 0));
            return;
        }
        let (status, flags) = match fault {
            Some(fault) => (fault.status, flags::FAULT),
            None if contended => (leaf.0, flags::VMFAIL_INVALID | flags::CONTENDED),
            None => (0, 0),
        };
        self.record(lp, Kind::SeamcallExit, flags, [leaf.0, status, 0, 0]);
        if status != 0 {
            self.cpu(lp).fail();
        }
    }

    fn digests(&mut self, leaf: Leaf) {
        let moment = match leaf {
            Leaf::SHUTDOWN => 1,
            Leaf::UPDATE => 2,
            _ => return,
        };
        let lost = u64::from(self.is(Twist::LostTd) && moment == 2);
        for td in lost..self.run.tds {
            let altered = u64::from(self.is(Twist::AlteredTd) && moment == 2 && td == 0);
            self.record(0, Kind::TdDigest, 0, [tdr(td), 0xd19e_5700 + td + altered, moment, 0]);
        }
    }

    /// The loads and stores of `ack_state()` up to the test.
    fn count(&mut self, lp: u16, op: Op) {
        let hidden = self.is(Twist::HideFailure);
        match op {
            Op::LoadAck => {
                let value = self.num_ack;
                self.cpu(lp).loaded_ack = value;
                self.word(lp, word::NUM_ACK, value, 0);
            }
            Op::LoadOnline => self.word(lp, word::NUM_ONLINE, self.online, 0),
            Op::LoadFailed => {
                let value = self.num_failed;
                self.cpu(lp).loaded_failed = value;
                self.word(lp, word::NUM_FAILED, value, 0);
            }
            Op::StoreFailed => {
                let cpu = self.cpu(lp);
                self.num_failed = cpu.loaded_failed + u64::from(cpu.result != 0 && !hidden);
                self.word(lp, word::NUM_FAILED, self.num_failed, flags::STORE);
            }
            _ => {
                self.num_ack = self.cpu(lp).loaded_ack + 1;
                self.word(lp, word::NUM_ACK, self.num_ack, flags::STORE);
            }
        }
    }

    fn advance(&mut self, lp: u16) {
        let wanted = self.online - u64::from(self.is(Twist::AdvanceEarly));
        if self.cpu(lp).loaded_ack + 1 == wanted && self.num_failed == 0 {
            self.word(lp, word::STATE, self.state, 0);
            self.state += 1;
            self.word(lp, word::STATE, self.state, flags::STORE);
            self.num_ack = 0;
            self.word(lp, word::NUM_ACK, 0, flags::STORE);
        }
    }

    fn holder(&self, lock: Lock) -> Option<u16> {
        match lock {
            Lock::Ack => self.ack_lock,
            Lock::Loader => self.loader_lock,
            Lock::SysInit => self.sys_init_lock,
        }
    }

    fn lock(&mut self, lock: Lock) -> &mut Option<u16> {
        match lock {
            Lock::Ack => &mut self.ack_lock,
            Lock::Loader => &mut self.loader_lock,
            Lock::SysInit => &mut self.sys_init_lock,
        }
    }

    fn function(&mut self, lp: u16, place: u64, kind: Kind) {
        let result = if kind == Kind::FunctionExit { i64::from(self.cpu(lp).result).cast_unsigned() } else { 0 };
        self.record(lp, kind, 0, [place, result, 0, 0]);
    }

    fn word(&mut self, lp: u16, word: u64, value: u64, flags: u32) {
        let address = self.run.setup.watches[word as usize].address;
        self.record(lp, Kind::Watch, flags, [word, value, address, 0xffff_ffff_8107_8630]);
    }

    fn record(&mut self, lp: u16, kind: Kind, flags: u32, [a, b, c, d]: [u64; 4]) {
        self.run.push(Record { lp, kind: kind as u16, flags, a, b, c, d, ..Record::default() });
    }

    fn cpu(&mut self, lp: u16) -> &mut Cpu {
        &mut self.cpus[usize::from(lp)]
    }
}
