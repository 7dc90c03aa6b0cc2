//! The model as a subject.

use super::answer::Answer;
use super::initialize_tdmr;
use super::step::Step;
use super::subject::Subject;
use crate::platform::Topology;
use seam_emu::abi::seamldr::InstallParams;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::{Caller, Firmware, Generation, GuestMemory, Outcome, Regs, Reply, SparseMemory, TdExit, image};
use zerocopy::{FromZeros, IntoBytes};

/// Where INSTALL's operands and the image lie, beyond what sequences use.
const PARAMS: u64 = 0x6000_0000;
const IMAGE: u64 = 0x6100_0000;
/// Scenario of INSTALL: update.
const UPDATE: u32 = 1;

/// The model with a module of one generation, and the module that comes next.
#[derive(Clone)]
pub struct Model {
    firmware: Firmware,
    memory: SparseMemory,
    now_ns: u64,
    /// The image of the next module.
    next: Vec<u8>,
}

impl Model {
    /// A platform with this module. Dates and numbers of builds, and SVNs, are alike in all modules, so that none is refused
    /// for them.
    pub fn new(topology: Topology, module: Generation, next: Generation) -> Self {
        let mut config = topology.model_config();
        // Every call takes time, so that another can come between its beginning and its end.
        config.durations.default_ns = 1;
        let size = config.memory.last().expect("there is memory").end();
        let firmware =
            Firmware::boot(config, &image::build(&spec(module))).expect("the platform takes every generation");
        Self { firmware, memory: SparseMemory::new(size), now_ns: 0, next: image::build(&spec(next)) }
    }

    /// The firmware's whole state, to tell models apart.
    pub(crate) fn state(&self) -> Vec<u8> {
        self.firmware.save()
    }

    /// One execution of the instruction; none: the call takes longer.
    fn execute(&mut self, lp: usize, mut regs: Regs) -> Option<Answer> {
        let caller = Caller { lp, in_vmx_root: true, cpl: 0, long_mode: true };
        Some(match self.firmware.seamcall(caller, &mut regs, &mut self.memory, self.now_ns) {
            Reply::Done(completion) if completion.outcome == Outcome::Return => Answer::Returned(regs),
            Reply::Done(completion) => Answer::Refused(format!("{:?}", completion.outcome)),
            Reply::Enter(_) => {
                self.firmware.leave_td(lp, TdExit::default());
                Answer::Entered
            }
            Reply::Wait { .. } => return None,
            Reply::Never => unreachable!("there are no faults"),
        })
    }

    /// A call to its end.
    fn call(&mut self, lp: usize, regs: Regs) -> Answer {
        loop {
            if let Some(answer) = self.execute(lp, regs) {
                return answer;
            }
            self.now_ns += 1;
        }
    }

    /// What two calls of different LPs may come to when they are made at the same time: one after the other, or one while the
    /// other lasts. With each outcome the model that it leaves.
    pub fn at_once(&self, calls: [(usize, Regs); 2]) -> Vec<([Answer; 2], Self)> {
        let mut outcomes = Vec::new();
        for first in [0, 1] {
            for overlaps in [false, true] {
                let mut model = self.clone();
                let ((lp, regs), (other, others)) = (calls[first], calls[1 - first]);
                let begun = if overlaps { model.execute(lp, regs) } else { Some(model.call(lp, regs)) };
                let second = model.call(other, others);
                let answer = begun.unwrap_or_else(|| model.call(lp, regs));
                let answers = if first == 0 { [answer, second] } else { [second, answer] };
                outcomes.push((answers, model));
            }
        }
        outcomes
    }

    /// INSTALL on all LPs.
    fn install(&mut self) -> Answer {
        let file = self.next.clone();
        let mut params = InstallParams::new_zeroed();
        params.scenario = UPDATE;
        params.sigstruct_pa = IMAGE + 4096;
        params.num_module_pages = (file.len() / 4096 - 2) as u64;
        for (i, pa) in params.module_pages_pa[..params.num_module_pages as usize].iter_mut().enumerate() {
            *pa = IMAGE + 4096 * (i as u64 + 2);
        }
        self.memory.write(IMAGE, &file).expect("RAM");
        self.memory.write(PARAMS, params.as_bytes()).expect("RAM");
        let regs = Regs { rax: Leaf::LdrInstall.number(), rcx: PARAMS, ..Regs::default() };
        for lp in 0..self.firmware.config().lps.len() {
            match self.call(lp, regs) {
                Answer::Returned(after) if after.rax == Status::SUCCESS.0 => {}
                Answer::Returned(after) => return Answer::Refused(format!("INSTALL gave {:#x}", after.rax)),
                other => return other,
            }
        }
        Answer::Installed
    }
}

/// A module of this generation.
fn spec(generation: Generation) -> ImageSpec {
    ImageSpec { minor_svn: 5, build_num: 0, ..ImageSpec::of(generation) }
}

impl Subject for Model {
    fn step(&mut self, step: &Step) -> Answer {
        match step {
            Step::Call { lp, regs } => self.call(*lp, *regs),
            Step::Put { pa, bytes } => {
                self.memory.write(*pa, bytes).expect("sequences write to RAM");
                Answer::Written
            }
            Step::InitializeTdmr { lp, base } => initialize_tdmr(*base, |regs| self.call(*lp, regs)),
            Step::Install => self.install(),
        }
    }

    fn memory(&self, pa: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory.read(pa, &mut bytes).expect("sequences read from RAM");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPOLOGY: Topology = Topology { packages: 1, lps_per_package: 2 };

    #[test]
    fn two_calls_at_once_may_be_one_after_the_other_or_meet() {
        let model = Model::new(TOPOLOGY, Generation::V1_5_05, Generation::V1_5_05);
        let init = Regs { rax: Leaf::SysInit.number(), ..Regs::default() };
        let status = |answer: &Answer| match answer {
            Answer::Returned(after) => Status(after.rax),
            other => panic!("{other:?}"),
        };
        let outcomes = model.at_once([(0, init), (1, init)]);
        let statuses: Vec<_> = outcomes.iter().map(|(answers, _)| [status(&answers[0]), status(&answers[1])]).collect();
        let (ok, busy, late) = (Status::SUCCESS, Status::SYS_BUSY, Status::SYS_INIT_NOT_PENDING);
        assert_eq!(statuses, [[ok, late], [ok, busy], [late, ok], [busy, ok]]);
    }
}
