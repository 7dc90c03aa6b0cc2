//! The smallest firmware that can tell whether an update's calls come in an order that works.
//!
//! It decides at the entry whether a call is right in this state, and makes the effect at the exit. seam-emu has the layouts,
//! locks and statuses; `docs/proofs.md` says what that leaves out.

use super::interface::{Failure, Firmware, Operands, Reply};
use crate::Packer;
use crate::call::Call;
use crate::error::Unprovable;
use crate::rules::swapped;
use seam_emu::abi::Status;

/// Most CPUs.
const CPUS: usize = 8;

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Small;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Phase {
    #[default]
    Old,
    ShutDown,
    Installed,
    Updated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verdict {
    Right,
    Wrong,
    Busy,
}

/// The state of [`Small`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SmallState {
    phase: Phase,
    initialized: bool,
    all: u8,
    /// CPUs that called INSTALL, and LP.INIT, as bits.
    installed: u8,
    lps: u8,
    inside: [Option<(Call, Verdict)>; CPUS],
}

impl SmallState {
    fn verdict(&self, cpu: usize, call: Call) -> Verdict {
        let bit = 1 << cpu;
        let in_loader = |inside: &Option<(Call, Verdict)>| inside.is_some_and(|(call, _)| call.is_of_loader());
        if call.is_of_loader() && self.inside.iter().any(in_loader) {
            return Verdict::Busy;
        }
        let right = match call {
            Call::Shutdown => self.phase == Phase::Old,
            Call::Install => self.phase == Phase::ShutDown && self.installed & bit == 0,
            Call::SysInit => self.phase == Phase::Installed && !self.initialized,
            Call::LpInit => self.phase == Phase::Installed && self.initialized && self.lps & bit == 0,
            Call::Update => self.phase == Phase::Installed && self.lps == self.all,
            Call::ReadHandoff | Call::ReadVersion(_) => matches!(self.phase, Phase::Old | Phase::Updated),
            Call::Info => true,
            Call::Other => false,
        };
        if right { Verdict::Right } else { Verdict::Wrong }
    }

    fn done(&mut self, cpu: usize, call: Call) {
        let bit = 1 << cpu;
        match call {
            Call::Shutdown => self.phase = Phase::ShutDown,
            Call::Install => {
                self.installed |= bit;
                if self.installed == self.all {
                    self.phase = Phase::Installed;
                }
            }
            Call::SysInit => self.initialized = true,
            Call::LpInit => self.lps |= bit,
            Call::Update => self.phase = Phase::Updated,
            Call::ReadHandoff | Call::ReadVersion(_) | Call::Info | Call::Other => {}
        }
    }
}

/// A call that is under way, as a byte.
fn code(inside: Option<(Call, Verdict)>) -> u8 {
    inside.map_or(0, |(call, verdict)| call.code() << 2 | verdict as u8)
}

impl Firmware for Small {
    type State = SmallState;

    fn name(&self) -> &'static str {
        "small"
    }

    fn start(&self, cpus: usize) -> SmallState {
        assert!(cpus <= CPUS, "a caller's bound");
        SmallState { all: ((1_u16 << cpus) - 1) as u8, ..SmallState::default() }
    }

    fn enter(&self, state: &mut SmallState, cpu: usize, call: Call, _: Operands) -> Result<bool, Unprovable> {
        let verdict = state.verdict(cpu, call);
        state.inside[cpu] = Some((call, verdict));
        Ok(verdict == Verdict::Right)
    }

    fn leave(&self, state: &mut SmallState, cpu: usize, failure: Option<Failure>) -> Result<Reply, Unprovable> {
        let (call, verdict) = state.inside[cpu].take().expect("only a CPU that is inside leaves");
        let status = |status: Status| Reply::status(status.0);
        Ok(match (failure, verdict) {
            (Some(Failure::VmfailInvalid), _) | (None, Verdict::Busy) => Reply::INVALID,
            (Some(Failure::NoEntropy), _) => status(Status::RND_NO_ENTROPY),
            (Some(Failure::Status), _) | (None, Verdict::Wrong) => status(Status::SYS_STATE_INCORRECT),
            (None, Verdict::Right) => {
                state.done(cpu, call);
                let r8 = match call {
                    Call::ReadVersion(part) => self.version(state, part),
                    // The handoff version: any number will do, since both modules take it.
                    Call::ReadHandoff => Some(3),
                    _ => None,
                };
                Reply { r8, ..Reply::status(0) }
            }
        })
    }

    fn call(&self, state: &SmallState, cpu: usize) -> Option<Call> {
        state.inside[cpu].map(|(call, _)| call)
    }

    fn version(&self, state: &SmallState, part: u8) -> Option<u64> {
        Some(u64::from(part) * 10 + if state.phase == Phase::Updated { 7 } else { 5 })
    }

    fn is_updated(&self, state: &SmallState) -> bool {
        state.phase == Phase::Updated
    }

    fn rank(&self, state: &SmallState, cpu: usize) -> u64 {
        let bit = |mask: u8| u64::from(mask >> cpu & 1);
        u64::from(code(state.inside[cpu])) << 2 | bit(state.installed) << 1 | bit(state.lps)
    }

    fn swap(&self, state: &mut SmallState, one: usize, other: usize) {
        state.inside.swap(one, other);
        state.installed = swapped(state.installed, one, other);
        state.lps = swapped(state.lps, one, other);
    }

    fn write(&self, state: &SmallState, bytes: &mut Packer) {
        bytes.all(&[state.phase as u8, u8::from(state.initialized), state.installed, state.lps]);
        bytes.all(&state.inside.map(code));
    }

    fn assumptions(&self) -> Vec<String> {
        vec![
            "the firmware is the small model of rig/interleave/src/firmware/small.rs: it decides at a call's entry whether the call is right, and makes the effect at its exit".into(),
            "it reads no memory of the kernel: parameters and image are taken for right".into(),
            "a call that is made to fail has no effect".into(),
            "an error status is one value: the code branches on success, VMfailInvalid and RND_NO_ENTROPY only, and passes the rest to the log".into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(state: &mut SmallState, cpu: usize, call: Call) -> bool {
        Small.enter(state, cpu, call, Operands::default()).unwrap()
    }

    fn call(state: &mut SmallState, cpu: usize, call: Call) -> Reply {
        enter(state, cpu, call);
        Small.leave(state, cpu, None).unwrap()
    }

    #[test]
    fn an_update_in_order_succeeds() {
        let mut state = Small.start(2);
        let order = [(0, Call::ReadHandoff), (0, Call::Shutdown), (0, Call::Install), (1, Call::Install)];
        let rest = [(1, Call::SysInit), (0, Call::LpInit), (1, Call::LpInit), (0, Call::Update)];
        for (cpu, made) in order.into_iter().chain(rest) {
            assert!(call(&mut state, cpu, made).is_success(), "{made:?}");
        }
        assert!(Small.is_updated(&state));
        assert_eq!(call(&mut state, 0, Call::ReadVersion(1)).r8, Some(17));
    }

    #[test]
    fn calls_out_of_order_are_refused() {
        let mut state = Small.start(2);
        assert!(!call(&mut state, 0, Call::Install).is_success(), "the old module runs");
        call(&mut state, 0, Call::Shutdown);
        assert!(!call(&mut state, 0, Call::SysInit).is_success(), "nothing is installed");
        call(&mut state, 0, Call::Install);
        assert!(!call(&mut state, 0, Call::Install).is_success(), "this CPU did");
        call(&mut state, 1, Call::Install);
        assert!(!call(&mut state, 0, Call::Update).is_success(), "no LP is initialised");
    }

    #[test]
    fn a_second_cpu_finds_the_loader_busy() {
        let mut state = Small.start(2);
        call(&mut state, 0, Call::Shutdown);
        assert!(enter(&mut state, 0, Call::Install));
        assert!(!enter(&mut state, 1, Call::Install));
        assert_eq!(Small.leave(&mut state, 1, None).unwrap().rax, None);
        assert!(Small.leave(&mut state, 0, None).unwrap().is_success());
    }
}
