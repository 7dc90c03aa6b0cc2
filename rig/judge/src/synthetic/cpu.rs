//! One CPU of the imitated kernel: `do_seamldr_install_module()` as the compiler orders its memory accesses.

use super::Twist;
use crate::Step;
use crate::timeline::Leaf;
use std::collections::VecDeque;

/// Locks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// `update_ctrl.lock`.
    Ack,
    /// `seamldr_lock`.
    Loader,
    /// `sysinit_lock`.
    SysInit,
}

/// One thing that a CPU does, with at most one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    EnterStop,
    EnterInstall,
    ReadState,
    StoreState(u64),
    ReadFailed,
    Acquire(Lock),
    Release(Lock),
    /// SYS.INIT unless some CPU did it already.
    SysInitOnce,
    CallEnter(Leaf, u64),
    CallExit(Leaf, u64),
    LoadAck,
    LoadOnline,
    LoadFailed,
    StoreFailed,
    StoreAck,
    /// Advances the state if this was the last acknowledgement.
    Advance,
    LeaveInstall,
    LeaveStop,
}

/// One CPU.
#[derive(Clone, Debug, Default)]
pub(super) struct Cpu {
    pub(super) todo: VecDeque<Op>,
    /// Guest time at which it does the next thing, nanoseconds.
    pub(super) ready_ns: u64,
    /// `curstate`.
    pub(super) current: u64,
    /// `ret`.
    pub(super) result: i32,
    /// What it loaded of `num_ack` and `num_failed` in `ack_state()`.
    pub(super) loaded_ack: u64,
    pub(super) loaded_failed: u64,
    /// What it loaded of `state` last, since repeated loads of one value are recorded once.
    pub(super) seen: Option<u64>,
    pub(super) seen_failed: Option<u64>,
}

impl Cpu {
    /// A CPU about to be stopped.
    pub(super) fn stopped(ready_ns: u64) -> Self {
        let todo = [Op::EnterStop, Op::EnterInstall, Op::ReadState].into();
        Self { todo, ready_ns, ..Self::default() }
    }

    /// The work of a step and its acknowledgement, in order.
    pub(super) fn begin(&mut self, step: u64, is_lead: bool, is_last: bool, twist: Option<Twist>) {
        self.current = step;
        // A kernel that advances too early may get past its last state, for which it has no work.
        let step = Step::from_number(step).unwrap_or(Step::Done);
        let mut work = work(step, is_lead || twist == Some(Twist::LeadStepEverywhere), twist);
        if twist == Some(Twist::SkipInstall) && is_last && step == Step::CpuInstall {
            work.clear();
        }
        work.retain(|op| !is_skipped(*op, twist));
        if twist == Some(Twist::StateBackwards(step)) && is_lead {
            work.splice(0..0, [Op::StoreState(step.number() - 1), Op::StoreState(step.number())]);
        }
        if twist == Some(Twist::InitTwice) && is_last && step == Step::CpuInit {
            work.extend(call(Leaf::LP_INIT, 0));
        }
        if twist == Some(Twist::UpdateTwice) && is_lead && step == Step::RunUpdate {
            work.extend(call(Leaf::UPDATE, 0));
        }
        if twist == Some(Twist::ForeignCall(step)) && is_last {
            work.extend(call(Leaf(37), 0));
        }
        if twist == Some(Twist::AckBeforeWork) {
            self.todo.extend(acknowledge(twist));
            self.todo.extend(work);
        } else {
            self.todo.extend(work);
            self.todo.extend(acknowledge(twist));
        }
        let leaves = twist == Some(Twist::LeaveAfter(step));
        self.todo.push_back(if leaves { Op::LeaveInstall } else { Op::ReadFailed });
        self.todo.extend(leaves.then_some(Op::LeaveStop));
    }

    /// A SEAMCALL of the step failed: what is left of its work is not done.
    pub(super) fn fail(&mut self) {
        self.result = -5;
        let held = self.todo.iter().take_while(|op| **op != Op::LoadAck).filter(|op| matches!(op, Op::Release(_)));
        let held: Vec<Op> = held.copied().collect();
        while self.todo.front().is_some_and(|op| !matches!(op, Op::Acquire(Lock::Ack) | Op::LoadAck)) {
            self.todo.pop_front();
        }
        held.into_iter().rev().for_each(|op| self.todo.push_front(op));
    }

    /// It leaves the section.
    pub(super) fn leave(&mut self) {
        self.todo = [Op::LeaveInstall, Op::LeaveStop].into();
    }
}

fn work(step: Step, does_lead_work: bool, twist: Option<Twist>) -> Vec<Op> {
    match step {
        Step::Shutdown if does_lead_work => {
            [call(Leaf::SYS_RD, 0x8900_0001_0000_0000), call(Leaf::SHUTDOWN, 0)].concat()
        }
        Step::CpuInstall if twist == Some(Twist::UnlockedLoader) => call(Leaf::INSTALL, 0),
        Step::CpuInstall => locked(Lock::Loader, &call(Leaf::INSTALL, 0)),
        Step::CpuInit => [locked(Lock::SysInit, &[Op::SysInitOnce]), call(Leaf::LP_INIT, 0)].concat(),
        Step::RunUpdate if does_lead_work => {
            let fields = [0x0800_0001_0000_0003, 0x0800_0001_0000_0004, 0x0800_0001_0000_0005];
            let reads = fields.map(|field| call(Leaf::SYS_RD, field)).concat();
            [call(Leaf::UPDATE, 0), reads].concat()
        }
        _ => Vec::new(),
    }
}

fn is_skipped(op: Op, twist: Option<Twist>) -> bool {
    let leaf = match op {
        Op::CallEnter(leaf, _) | Op::CallExit(leaf, _) => leaf,
        Op::SysInitOnce => Leaf::SYS_INIT,
        _ => return false,
    };
    twist == Some(Twist::Skip(leaf)) || twist == Some(Twist::UpdateBehind) && leaf == Leaf::UPDATE
}

fn call(leaf: Leaf, field: u64) -> Vec<Op> {
    vec![Op::CallEnter(leaf, field), Op::CallExit(leaf, field)]
}

fn locked(lock: Lock, ops: &[Op]) -> Vec<Op> {
    [&[Op::Acquire(lock)], ops, &[Op::Release(lock)]].concat()
}

/// `ack_state()`, inlined. The order of its loads and stores is that of the compiled function.
fn acknowledge(twist: Option<Twist>) -> Vec<Op> {
    let ops = [Op::LoadAck, Op::LoadOnline, Op::LoadFailed, Op::StoreFailed, Op::StoreAck, Op::Advance];
    if twist == Some(Twist::UnlockedAck) { ops.to_vec() } else { locked(Lock::Ack, &ops) }
}
