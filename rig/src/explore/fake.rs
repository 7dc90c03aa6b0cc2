//! Guests without a machine, which end as a test says.

use crate::run::{Counts, EndCause, Guests, Judged, UpdatableGuest, UpdateAttempt};
use crate::scenario::HoldSpec;
use crate::trouble::Trouble;
use rig_judge::verdict::Check;
use rig_judge::{Breach, Facts, Invariant, Outcome, Verdict};
use serde_json::Value;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

/// How a guest ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// All is well to its end.
    Passes,
    /// The n-th update breaks an invariant.
    Fails(u32),
    /// The kernel warns after its last update.
    WarnsAtItsEnd,
    /// The kernel warns before the n-th update, which is not made.
    WarnsBefore(u32),
    /// The guest never becomes ready for an update.
    HangsAtItsStart,
    /// Its loads did nothing.
    IdleLoad,
    /// QEMU dies in its first update.
    Lost,
    /// QEMU dies behind its last update.
    LostAtItsEnd,
    /// A person ends it in its first update.
    Interrupted,
    /// A person ends it behind its last update.
    InterruptedAtItsEnd,
    /// There is no machine.
    Unstartable,
    /// The holds name something that is not there.
    Misused,
}

/// Where such guests come from.
pub(super) struct Fake {
    pub(super) scripts: Mutex<VecDeque<Script>>,
    pub(super) repeats: bool,
    pub(super) has_loads: bool,
    pub(super) made_of: Value,
}

impl Fake {
    /// Guests that end like this, one after another.
    pub(super) fn new(scripts: &[Script]) -> Self {
        let scripts = Mutex::new(scripts.iter().copied().collect());
        Self { scripts, repeats: false, has_loads: false, made_of: Value::Null }
    }

    /// Scripts that no guest has followed yet.
    pub(super) fn left(&self) -> usize {
        self.scripts.lock().unwrap().len()
    }
}

/// One of them.
pub(super) struct FakeGuest {
    script: Script,
    updates: u32,
}

impl Guests for Fake {
    type Guest = FakeGuest;

    fn start(&self, _folder: &Path) -> Result<FakeGuest, Trouble> {
        match self.scripts.lock().unwrap().pop_front().expect("the test writes down as many ends as guests are started")
        {
            Script::Unstartable => Err(Trouble::environment("no memory", "buy some")),
            script => Ok(FakeGuest { script, updates: 0 }),
        }
    }

    fn repeats(&self) -> bool {
        self.repeats
    }

    fn has_loads(&self) -> bool {
        self.has_loads
    }

    fn ack_word(&self) -> &'static str {
        "update_ctrl.num_ack"
    }

    fn orders(&self) -> usize {
        0
    }

    fn made_of(&self) -> &Value {
        &self.made_of
    }
}

impl UpdatableGuest for FakeGuest {
    fn ready(&mut self) -> bool {
        self.script != Script::HangsAtItsStart
    }

    fn update(&mut self, _holds: &[HoldSpec]) -> Result<UpdateAttempt, Trouble> {
        let counts = Counts::default();
        match self.script {
            Script::Misused => return Err(Trouble::usage("nobody watches `x`", "name another word")),
            Script::WarnsBefore(n) if n == self.updates + 1 => return Ok(UpdateAttempt::Last(counts)),
            _ => self.updates += 1,
        }
        let ends = match self.script {
            Script::Fails(n) => n == self.updates,
            Script::Lost | Script::Interrupted => true,
            _ => false,
        };
        Ok(if ends { UpdateAttempt::Last(counts) } else { UpdateAttempt::Passed(counts) })
    }

    fn end(self) -> Result<Judged, Trouble> {
        let (outcome, cause) = match self.script {
            Script::Fails(n) if n <= self.updates => (Outcome::Failed, EndCause::LastUpdate),
            Script::WarnsAtItsEnd | Script::WarnsBefore(_) | Script::IdleLoad => (Outcome::Failed, EndCause::NoUpdate),
            Script::HangsAtItsStart => (Outcome::Hung, EndCause::NoUpdate),
            Script::Lost => (Outcome::RigError, EndCause::LastUpdate),
            Script::LostAtItsEnd => (Outcome::RigError, EndCause::NoUpdate),
            Script::Interrupted | Script::InterruptedAtItsEnd => (Outcome::RigError, EndCause::Person),
            _ => (Outcome::Passed, EndCause::AllDone),
        };
        let mut verdict = Verdict::unjudged(Facts::default(), outcome, &format!("{:?}", self.script), None);
        let invariant = match self.script {
            Script::Fails(_) => Invariant::Lockstep,
            Script::IdleLoad => {
                let [name, expected, seen] = ["reader", "some operations", "none"].map(str::to_owned);
                verdict.facts.checks.push(Check { name, expected, seen, met: false });
                return Ok(Judged { verdict, cause });
            }
            _ => Invariant::QuietKernel,
        };
        if outcome == Outcome::Failed {
            verdict.breaches.push(breach(invariant));
        }
        Ok(Judged { verdict, cause })
    }
}

fn breach(invariant: Invariant) -> Breach {
    let (expected, seen) = ("quiet".into(), "the console says: WARNING: x".into());
    Breach { invariant, lps: Vec::new(), step: None, update: None, expected, seen, events: Vec::new() }
}
