//! The machine as a subject of comparisons.

use super::machine::{Machine, MachineError};
use crate::compare::{Answer, Step, Subject, initialize_tdmr};
use crate::module_file::ModuleFile;
use crate::platform::Topology;
use crate::search::Concurrent;
use crate::sizes::Sizes;
use seam_emu::{GuestMemory, Regs};
use std::rc::Rc;

/// Most points that an LP passes before the other may go on: a call has some dozens.
const POINTS: u64 = 12;

/// A module's file and what its sigstruct would say.
#[derive(Clone)]
pub struct Code {
    /// The file.
    pub file: Rc<ModuleFile>,
    /// Its sizes and handoff versions.
    pub sizes: Sizes,
}

/// A machine, and the module that comes next.
pub struct CodeSubject {
    machine: Machine,
    next: Code,
    /// After that the machine answers nothing any more.
    stopped: Option<String>,
}

impl CodeSubject {
    /// A new machine with a module.
    pub fn new(topology: Topology, module: &Code, next: &Code, seed: u64) -> Result<Self, MachineError> {
        let machine = Machine::new(topology, &module.file, module.sizes, seed)?;
        Ok(Self { machine, next: next.clone(), stopped: None })
    }

    fn call(&mut self, lp: usize, regs: &Regs) -> Answer {
        match self.machine.seamcall(lp, regs) {
            Ok(_) if self.machine.entered_td() => Answer::Entered,
            Ok(after) => Answer::Returned(after),
            Err(stopped) => {
                self.stopped = Some(stopped.to_string());
                Answer::Stopped(stopped.to_string())
            }
        }
    }
}

impl Subject for CodeSubject {
    fn step(&mut self, step: &Step) -> Answer {
        if let Some(stopped) = &self.stopped {
            return Answer::Stopped(stopped.clone());
        }
        match step {
            Step::Call { lp, regs } => self.call(*lp, regs),
            Step::InitializeTdmr { lp, base } => initialize_tdmr(*base, |regs| self.call(*lp, &regs)),
            Step::Put { pa, bytes } => {
                self.machine.memory().write(*pa, bytes).expect("sequences write to RAM");
                Answer::Written
            }
            Step::Install => match self.machine.update(&self.next.file, self.next.sizes) {
                Ok(()) => Answer::Installed,
                Err(error) => Answer::Refused(error.to_string()),
            },
        }
    }

    fn memory(&self, pa: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.machine.memory().read(pa, &mut bytes).expect("sequences read from RAM");
        bytes
    }
}

impl Concurrent for CodeSubject {
    fn at_once(&mut self, calls: [(usize, Regs); 2], seed: u64) -> [Answer; 2] {
        let mut random = fastrand::Rng::with_seed(seed);
        let both = self.machine.interleave(&calls, |open| {
            let call = open[random.usize(..open.len())];
            (call, random.u64(0..POINTS))
        });
        match both {
            Ok(both) => [0, 1].map(|call| {
                let (regs, entered) = both[call];
                if entered { Answer::Entered } else { Answer::Returned(regs) }
            }),
            Err(stopped) => {
                self.stopped = Some(stopped.to_string());
                [0, 1].map(|_| Answer::Stopped(stopped.to_string()))
            }
        }
    }
}
