//! What the rules remember. No CPU reads it; it is a part of the state that is explored.

use super::rule::Rule;
use crate::call::{Call, DONE, Step};
use crate::firmware::Failure;
use crate::pack::Packer;

/// Most CPUs.
const CPUS: usize = 8;

/// Events so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ghost {
    /// The step that each CPU last saw, and the last that it acknowledged.
    seen: [Step; CPUS],
    acknowledged: [Step; CPUS],
    /// CPUs that called INSTALL, and LP.INIT, as bits.
    installed: u8,
    initialized: u8,
    /// SHUTDOWN, SYS.INIT and UPDATE were called, as bits 0 to 2.
    once: u8,
    /// The step of the first call that failed; 0 if none did.
    failed: Step,
    /// SYS.INIT failed: no CPU may make LP.INIT any more.
    init_failed: bool,
    /// What the search made fail.
    injected: Injected,
}

/// What the search made fail, as far as it matters later. Which call it was and how it failed shows in [`Ghost::failed`] and in
/// what the CPUs do; the rules ask for no more than this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Injected {
    /// Nothing yet.
    #[default]
    Nothing,
    /// A call.
    Call,
    /// A read of the version, with an error: the kernel warns, and does not know the version.
    Version,
}

/// What the search found when every CPU had left.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    /// What each CPU's function returned.
    pub returns: &'a [u32],
    /// What the uploader gets for each of these.
    pub uploader_results: &'a dyn Fn(u32) -> u32,
    /// Whether a CPU executed a warning.
    pub warned: bool,
    /// Whether the new module runs.
    pub updated: bool,
    /// Whether the kernel's own record says that the update succeeded.
    pub recorded: bool,
}

impl Ghost {
    /// `cpu` read the state.
    pub fn read_state(&mut self, cpu: usize, cpus: usize, step: Step) -> Option<Rule> {
        if step < self.seen[cpu] {
            return Some(Rule::Lockstep);
        }
        if step == self.seen[cpu] {
            return None;
        }
        self.seen[cpu] = step;
        if self.failed != 0 && step > self.failed {
            return Some(Rule::StopOnFailure);
        }
        (0..cpus).any(|other| self.acknowledged[other] + 1 < step).then_some(Rule::Lockstep)
    }

    /// `cpu` counted its acknowledgement, as the `count`-th of this step. Each CPU acknowledges a step once, and the count says
    /// how many did.
    pub fn acknowledge(&mut self, cpu: usize, cpus: usize, count: u64) -> Option<Rule> {
        let step = self.seen[cpu];
        if self.acknowledged[cpu] == step {
            return Some(Rule::Lockstep);
        }
        self.acknowledged[cpu] = step;
        let counted = (0..cpus).filter(|other| self.acknowledged[*other] == step).count();
        (count != counted as u64).then_some(Rule::Lockstep)
    }

    /// A CPU stores the step `to` where `from` was: the state goes up by one, when every CPU acknowledged it.
    pub fn store_state(&self, cpus: usize, from: u64, to: u64) -> Option<Rule> {
        let behind = (0..cpus).any(|cpu| u64::from(self.acknowledged[cpu]) < from);
        (to != from + 1 || behind).then_some(Rule::Lockstep)
    }

    /// What tells `cpu` from others in the same private state.
    pub fn rank(&self, cpu: usize) -> u64 {
        let bit = |mask: u8| u64::from(mask >> cpu & 1);
        u64::from(self.seen[cpu]) << 16
            | u64::from(self.acknowledged[cpu]) << 8
            | bit(self.installed) << 1
            | bit(self.initialized)
    }

    /// Exchanges two CPUs, neither of which is the lead.
    pub fn swap(&mut self, one: usize, other: usize) {
        self.seen.swap(one, other);
        self.acknowledged.swap(one, other);
        for mask in [&mut self.installed, &mut self.initialized] {
            *mask = swapped(*mask, one, other);
        }
    }

    /// `cpu` begins a call; `refused`: because of the firmware's state it will not be done.
    pub fn enter(&mut self, cpu: usize, cpus: usize, call: Call, loader_busy: bool, refused: bool) -> Option<Rule> {
        let Some(step) = call.step() else { return Some(Rule::UpdateOnly) };
        let broken = self.is_repeated(cpu, call).or_else(|| {
            let behind = (0..cpus).any(|other| other != cpu && self.acknowledged[other] + 1 < step);
            match () {
                () if loader_busy && call.is_of_loader() => Some(Rule::SerialLoader),
                () if self.failed != 0 && step > self.failed || self.init_failed && call == Call::LpInit => {
                    Some(Rule::StopOnFailure)
                }
                () if behind || self.acknowledged[cpu] >= step => Some(Rule::Lockstep),
                () if refused => Some(Rule::Succeeds),
                () => None,
            }
        });
        // A failed state of the firmware refuses later calls, which a CPU may still be about to make in the same step.
        broken.filter(|rule| *rule != Rule::Succeeds || self.failed == 0)
    }

    fn is_repeated(&self, cpu: usize, call: Call) -> Option<Rule> {
        let bit = 1 << cpu;
        let lead = matches!(call, Call::Shutdown | Call::Update | Call::ReadHandoff | Call::ReadVersion(_));
        let again = |mask: u8| self.once & mask != 0;
        match call {
            _ if lead && cpu != 0 => Some(Rule::LeadOnly),
            Call::Shutdown if again(1) => Some(Rule::LeadOnly),
            Call::SysInit if again(2) => Some(Rule::LeadOnly),
            Call::Update if again(4) => Some(Rule::LeadOnly),
            Call::Install if self.installed & bit != 0 => Some(Rule::Participation),
            Call::LpInit if self.initialized & bit != 0 => Some(Rule::Participation),
            _ => None,
        }
    }

    /// A call of `cpu` came back. A call without entropy was not made: the kernel may call again.
    pub fn leave(&mut self, cpu: usize, call: Call, failure: Option<Failure>, success: bool) {
        match failure {
            Some(Failure::Status | Failure::VmfailInvalid) if matches!(call, Call::ReadVersion(_)) => {
                self.injected = Injected::Version;
            }
            Some(_) => self.injected = Injected::Call,
            None => {}
        }
        if failure == Some(Failure::NoEntropy) {
            return;
        }
        let bit = 1 << cpu;
        match call {
            Call::Shutdown => self.once |= 1,
            Call::SysInit => self.once |= 2,
            Call::Update => self.once |= 4,
            Call::Install => self.installed |= bit,
            Call::LpInit => self.initialized |= bit,
            _ => {}
        }
        // A version that cannot be read is warned about and stops nothing.
        if !success && self.failed == 0 && !matches!(call, Call::ReadVersion(_)) {
            self.failed = call.step().unwrap_or(DONE);
        }
        self.init_failed |= !success && call == Call::SysInit;
    }

    /// Whether a call may still be made to fail.
    pub fn may_fail(&self) -> bool {
        self.injected == Injected::Nothing
    }

    /// Every CPU left.
    pub fn end(&self, cpus: usize, outcome: &Outcome<'_>) -> Option<Rule> {
        let failures = || outcome.returns.iter().filter(|code| **code != 0);
        let version = self.injected == Injected::Version;
        if outcome.warned != version {
            return Some(Rule::QuietKernel);
        }
        if self.failed != 0 {
            // stop_machine hands on one of the errors, and which one depends on the order.
            let is_reported =
                failures().next().is_some() && failures().all(|code| (outcome.uploader_results)(*code) != 0);
            return (!is_reported).then_some(Rule::StopOnFailure);
        }
        let all = ((1_u16 << cpus) - 1) as u8;
        if (0..cpus).any(|cpu| self.acknowledged[cpu] != DONE) {
            return Some(Rule::Progress);
        }
        if self.once != 7 {
            return Some(Rule::LeadOnly);
        }
        if self.installed != all || self.initialized != all {
            return Some(Rule::Participation);
        }
        if failures().next().is_some() || (outcome.uploader_results)(0) != 0 || !outcome.updated {
            return Some(Rule::Succeeds);
        }
        (!version && !outcome.recorded).then_some(Rule::RecordAfter)
    }

    /// All of it, for fingerprints.
    pub(crate) fn write(&self, bytes: &mut Packer) {
        bytes.all(&self.seen);
        bytes.all(&self.acknowledged);
        let marks = u8::from(self.init_failed) << 4 | self.injected as u8;
        bytes.all(&[self.installed, self.initialized, self.once, self.failed, marks]);
    }
}

/// `mask` with two bits exchanged.
pub(crate) const fn swapped(mask: u8, one: usize, other: usize) -> u8 {
    let differ = (mask >> one ^ mask >> other) & 1;
    mask ^ (differ << one | differ << other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two CPUs that have read the first step.
    fn begun() -> Ghost {
        let mut ghost = Ghost::default();
        assert_eq!((ghost.read_state(0, 2, 1), ghost.read_state(1, 2, 1)), (None, None));
        ghost
    }

    #[test]
    fn acknowledgements_count_up_once_each() {
        let mut ghost = begun();
        assert_eq!(ghost.acknowledge(1, 2, 1), None);
        assert_eq!(ghost.store_state(2, 1, 2), Some(Rule::Lockstep), "CPU 0 has not acknowledged");
        assert_eq!(ghost.acknowledge(0, 2, 2), None);
        assert_eq!(ghost.store_state(2, 1, 2), None);
        assert_eq!(ghost.store_state(2, 1, 3), Some(Rule::Lockstep), "a step is left out");
        assert_eq!(ghost.acknowledge(0, 2, 3), Some(Rule::Lockstep), "a second time");
    }

    #[test]
    fn a_lost_acknowledgement_is_a_wrong_count() {
        let mut ghost = begun();
        assert_eq!(ghost.acknowledge(1, 2, 1), None);
        assert_eq!(ghost.acknowledge(0, 2, 1), Some(Rule::Lockstep));
    }

    #[test]
    fn exchanged_cpus_take_their_past_along() {
        let mut ghost = Ghost { seen: [1, 2, 3, 0, 0, 0, 0, 0], installed: 0b010, ..Ghost::default() };
        let ranks = [1, 2].map(|cpu| ghost.rank(cpu));
        ghost.swap(1, 2);
        assert_eq!([2, 1].map(|cpu| ghost.rank(cpu)), ranks);
        assert_eq!(ghost.installed, 0b100);
    }
}
