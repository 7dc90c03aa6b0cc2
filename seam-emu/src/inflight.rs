//! Calls that last: what an LP inside SEAM will leave with.

use crate::abi::Leaf;
use crate::{Completion, Regs};
use serde::{Deserialize, Serialize};

/// A call that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InFlight {
    /// None for a number that is no leaf.
    pub(crate) leaf: Option<Leaf>,
    /// Registers as the guest passed them; tell the call from another that an interrupt handler makes.
    pub(crate) input: Regs,
    /// When the LP leaves SEAM, in nanoseconds.
    pub(crate) until_ns: u64,
    pub(crate) phase: Phase,
}

/// What is left to do when a call ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AtEnd {
    /// SHUTDOWN failed: the module opens again.
    pub(crate) reopen: bool,
    /// A vCPU leaves: its TD, and the TLB epoch in which it entered.
    pub(crate) td_exit: Option<(u64, u64)>,
}

/// How far a call is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Its work begins when the time is up: a fault delays it.
    Delayed,
    /// Its work is done, its locks are held until the time is up.
    Working { output: Regs, completion: Completion, at_end: AtEnd },
    /// The time was up and the locks are released; the guest has not yet executed the instruction again.
    Finished { output: Regs, completion: Completion },
    /// It never ends.
    Never,
    /// The LP runs a TD's machine code.
    InTd { tdvpr: u64, at_end: AtEnd },
}

impl InFlight {
    /// Whether the LP is inside SEAM.
    pub(crate) fn is_inside(&self) -> bool {
        !matches!(self.phase, Phase::Finished { .. })
    }

    /// Whether it is inside the TDX module.
    pub(crate) fn is_in_module(&self) -> bool {
        self.is_inside() && self.input.rax >> 63 == 0
    }
}

/// The calls of an LP: at most one inside SEAM, and finished ones that the guest has not collected. There can be more
/// than one because an interrupt may come between two executions of the same SEAMCALL instruction, which on hardware is
/// one execution that no interrupt divides, and its handler may make SEAMCALLs of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LpCalls(Vec<InFlight>);

impl LpCalls {
    /// The call that is inside SEAM.
    pub(crate) fn inside(&self) -> Option<&InFlight> {
        self.0.last().filter(|call| call.is_inside())
    }

    /// Adds a call; none may be inside SEAM.
    pub(crate) fn push(&mut self, call: InFlight) {
        debug_assert!(self.inside().is_none(), "an LP is inside SEAM once");
        self.0.push(call);
    }

    /// The call inside SEAM, to be changed.
    pub(crate) fn inside_mut(&mut self) -> Option<&mut InFlight> {
        self.0.last_mut().filter(|call| call.is_inside())
    }

    /// Removes the call inside SEAM.
    pub(crate) fn pop_inside(&mut self) -> Option<InFlight> {
        self.inside()?;
        self.0.pop()
    }

    /// Removes the finished call that was made with these registers.
    pub(crate) fn collect(&mut self, input: &Regs) -> Option<(Regs, Completion)> {
        let found = self.0.iter().rposition(|call| !call.is_inside() && call.input == *input)?;
        match self.0.remove(found).phase {
            Phase::Finished { output, completion } => Some((output, completion)),
            _ => unreachable!("only finished calls are not inside"),
        }
    }

    /// Whether there is no call.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
