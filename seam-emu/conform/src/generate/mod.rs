//! Sequences that are random and make sense: the generator sees the module's answers and mostly calls what comes next in the
//! module's life or a TD's, now and then something else, and now and then with an error in an operand.

mod life;
mod operands;
mod setup;
mod view;

use crate::compare::{Answer, BUFFER, Step};
use crate::platform::Topology;
use fastrand::Rng;
use operands::{Chooser, Kind, TDMR};
use seam_emu::Regs;
use seam_emu::abi::Leaf;
use view::{Phase, Stage, TdView, View};

pub use setup::setup;

/// Most TDs at a time.
const TDS: usize = 4;
/// One in so many steps of a module that is ready shuts it down.
const SHUTDOWN_ONE_IN: u32 = 600;
/// One in so many steps is about nothing in particular, and one in so many operands is spoilt.
const STRAY_ONE_IN: u32 = 6;
const SPOILT_ONE_IN: u32 = 40;
/// One in so many calls has version 1.
const VERSION_1_ONE_IN: u32 = 8;

/// Makes the steps of one sequence.
pub struct Generator {
    random: Rng,
    topology: Topology,
    view: View,
    next_fresh: u64,
    /// Handoff version that the module produces.
    hv: u16,
    updates: bool,
}

impl Generator {
    /// The sequence of a seed. `hv` is the module's handoff version; with `updates` it is replaced now and then.
    pub fn new(seed: u64, topology: Topology, hv: u16, updates: bool) -> Self {
        let view = View { next_field: u64::MAX, ..View::default() };
        Self { random: Rng::with_seed(seed), topology, view, next_fresh: 0, hv, updates }
    }

    /// Learns what the last step came to.
    pub fn learn(&mut self, step: &Step, answer: &Answer) {
        self.view.learn(step, answer, self.topology);
    }

    /// The next step.
    pub fn next_step(&mut self) -> Step {
        if self.view.phase == Phase::ShutDown && self.one_in(2) {
            return Step::Install;
        }
        let any_lp = self.random.usize(..self.topology.lps());
        if self.view.phase == Phase::Ready && !self.view.tdmr_ready {
            return Step::InitializeTdmr { lp: any_lp, base: TDMR };
        }
        let (lp, mut regs) = if self.one_in(STRAY_ONE_IN) {
            (any_lp, self.stray())
        } else {
            match self.module_step() {
                Some((lp, regs)) => (lp.unwrap_or(any_lp), regs),
                None => self.td_step(any_lp),
            }
        };
        self.spoil(&mut regs);
        Step::Call { lp, regs }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.u32(..n) == 0
    }

    fn chooser(&mut self) -> Chooser<'_> {
        Chooser { random: &mut self.random, view: &self.view, next_fresh: &mut self.next_fresh }
    }

    /// What brings the module on, and the LP if only one will do; none: TDs come next.
    fn module_step(&mut self) -> Option<(Option<usize>, Regs)> {
        let call = |leaf: Leaf| Regs { rax: leaf.number(), ..Regs::default() };
        let phase = self.view.phase;
        Some(match phase {
            Phase::Loaded => (None, call(Leaf::SysInit)),
            Phase::Initialized => {
                let missing: Vec<usize> =
                    (0..self.topology.lps()).filter(|lp| !self.view.lps_initialized.contains(lp)).collect();
                (self.chooser().pick(&missing), call(Leaf::SysLpInit))
            }
            Phase::LpsInitialized if self.view.updating && !self.one_in(8) => (None, call(Leaf::SysUpdate)),
            Phase::LpsInitialized => (None, setup::config_call()),
            Phase::Configured => {
                let missing = (0..self.topology.packages).find(|package| !self.view.packages_keyed.contains(package));
                let lp = missing.map(|package| (package * self.topology.lps_per_package) as usize);
                (lp, call(Leaf::SysKeyConfig))
            }
            Phase::Ready if self.updates && self.one_in(SHUTDOWN_ONE_IN) => {
                (None, Regs { rcx: self.hv.into(), ..call(Leaf::SysShutdown) })
            }
            Phase::Ready => return None,
            Phase::ShutDown => (None, self.stray()),
        })
    }

    /// Something about a TD.
    fn td_step(&mut self, any_lp: usize) -> (usize, Regs) {
        let tds = self.view.tds.len();
        if tds == 0 || tds < TDS && self.one_in(30) {
            let mut choose = self.chooser();
            let (rcx, rdx) = (choose.fresh(), choose.operand(Kind::KeyId, None));
            return (any_lp, Regs { rax: Leaf::MngCreate.number(), rcx, rdx, ..Regs::default() });
        }
        let td = self.view.tds[self.random.usize(..tds)].clone();
        let rows = if self.one_in(4) { life::ALWAYS } else { life::rows(td.stage) };
        let total: u32 = rows.iter().map(|row| row.1).sum();
        let mut at = self.random.u32(..total);
        let row = rows
            .iter()
            .find(|row| {
                let found = at < row.1;
                at = at.saturating_sub(row.1);
                found
            })
            .expect("it is less than the sum");
        let regs = self.call(row, Some(&td));
        (self.lp_for(row.0, &td, &regs, any_lp), regs)
    }

    /// The LP that a leaf needs, most of the time.
    fn lp_for(&mut self, leaf: Leaf, td: &TdView, regs: &Regs, any_lp: usize) -> usize {
        let per_package = self.topology.lps_per_package as usize;
        if self.one_in(6) {
            return any_lp;
        }
        match leaf {
            Leaf::VpEnter | Leaf::VpFlush | Leaf::VpInit | Leaf::VpRd | Leaf::VpWr => {
                td.vcpus.iter().find(|vcpu| vcpu.tdvpr == regs.rcx).map_or(any_lp, |vcpu| vcpu.lp)
            }
            Leaf::MngKeyConfig if td.stage == Stage::Created => {
                let missing =
                    (0..self.topology.packages as usize).find(|package| !td.keyed.contains(&(*package as u32)));
                missing.map_or(any_lp, |package| package * per_package)
            }
            _ => any_lp,
        }
    }

    fn call(&mut self, (leaf, _, kinds): &life::Row, td: Option<&TdView>) -> Regs {
        let mut choose = self.chooser();
        let [rcx, rdx, r8, r9] = kinds.map(|kind| choose.operand(kind, td));
        let version = if self.one_in(VERSION_1_ONE_IN) { 1 << 16 } else { 0 };
        Regs { rax: leaf.number() | version, rcx, rdx, r8, r9, ..Regs::default() }
    }

    /// A call that has nothing to do with what comes next.
    fn stray(&mut self) -> Regs {
        match self.random.u8(0..10) {
            0..6 => {
                // All fields, one after the other.
                let field = self.view.next_field;
                Regs { rax: Leaf::SysRd.number(), rdx: field, ..Regs::default() }
            }
            6 => Regs {
                rax: Leaf::SysInfo.number(),
                rcx: BUFFER,
                rdx: 1024,
                r8: BUFFER + 4096,
                r9: 32,
                ..Regs::default()
            },
            7 => {
                let rdx = if self.random.bool() { u64::MAX } else { self.view.next_field };
                Regs { rax: Leaf::SysRdall.number(), rcx: BUFFER, rdx, ..Regs::default() }
            }
            _ => {
                let row = life::ALWAYS[self.random.usize(..life::ALWAYS.len())];
                let td = self.view.tds.first().cloned();
                self.call(&row, td.as_ref())
            }
        }
    }

    /// Errors in operands.
    fn spoil(&mut self, regs: &mut Regs) {
        for register in [&mut regs.rcx, &mut regs.rdx, &mut regs.r8, &mut regs.r9] {
            if self.random.u32(..SPOILT_ONE_IN) == 0 {
                let mut choose =
                    Chooser { random: &mut self.random, view: &self.view, next_fresh: &mut self.next_fresh };
                *register = choose.spoil(*register);
            }
        }
    }
}

#[cfg(test)]
mod tests;
