//! What one operation of a CPU does to the state.

use crate::machine::{Cpu, Phase, Place, State, is_over};
use crate::{Machine, Op, Step, Twin, Word};

impl Machine {
    pub(crate) fn stop(&self, state: &mut State) {
        state.phase = Phase::Running;
        // Before the others can see it, hence without a queue.
        state.shared.increment(Word::Step);
        for cpu in (0..self.cpus).filter(|cpu| state.chosen & (1 << cpu) != 0) {
            state.cpus[cpu].place = Place::Look;
        }
    }

    pub(crate) fn go(&self, state: &mut State, cpu: usize) {
        match state.cpus[cpu].place {
            Place::Look => self.look(state, cpu),
            Place::At(at) => self.operate(state, cpu, at, false),
            Place::Check => self.check(state, cpu),
            Place::Outside => unreachable!("nobody outside goes on"),
        }
    }

    fn look(&self, state: &mut State, cpu: usize) {
        let step = state.shared.load(cpu, Word::Step);
        if step == state.cpus[cpu].step {
            state.cpus[cpu].place = Place::Check;
            return;
        }
        state.cpus[cpu].step = step;
        state.broken = state.ghost.begin(state.chosen, step);
        if state.broken.is_none() {
            self.settle(state, cpu, 0);
        }
    }

    fn check(&self, state: &mut State, cpu: usize) {
        let over = state.cpus[cpu].step == Step::Done as u8 || state.shared.load(cpu, Word::NumFailed) != 0;
        state.cpus[cpu].place = if over { Place::Outside } else { Place::Look };
        if is_over(state) {
            let told = self.twin != Some(Twin::SwallowedFailure) && state.cpus.iter().any(|cpu| cpu.failed);
            state.broken = state.ghost.end(state.online, told);
        }
    }

    /// Goes to operation `at`, past those that a CPU that did not fail has no part in.
    fn settle(&self, state: &mut State, cpu: usize, mut at: usize) {
        let program = self.program(state, cpu);
        let failed = state.cpus[cpu].failed;
        let counts_failure = |op: &Op| matches!(op, Op::LoadFailed | Op::StoreFailed | Op::AddFailed);
        while !failed && program.get(at).is_some_and(counts_failure) {
            at += 1;
        }
        if at < program.len() {
            state.cpus[cpu].place = Place::At(at);
        } else {
            // What it loaded is of no more use, and states that differ in nothing else are the same.
            state.cpus[cpu].register = 0;
            state.cpus[cpu].place = Place::Check;
        }
    }

    pub(crate) fn operate(&self, state: &mut State, cpu: usize, at: usize, fails: bool) {
        let op = self.op(state, cpu).expect("a CPU in its program is at an operation");
        let State { shared, ghost, cpus, broken, .. } = state;
        let Cpu { step, register, failed, .. } = &mut cpus[cpu];
        let mut skip = 0;
        match op {
            Op::Take(lock) => _ = shared.increment(lock),
            Op::Release(lock) => shared.store(cpu, lock, 0),
            Op::Enter(leaf) => *broken = ghost.enter(cpu, *step, leaf),
            Op::Exit { leaf, .. } => {
                *failed |= fails;
                ghost.exit(cpu, *step, leaf, fails);
            }
            Op::LoadFailed => *register = shared.load(cpu, Word::NumFailed),
            Op::StoreFailed => shared.store(cpu, Word::NumFailed, *register + 1),
            Op::AddFailed => _ = shared.increment(Word::NumFailed),
            Op::LoadAck => *register = shared.load(cpu, Word::NumAck),
            Op::StoreAck => {
                *register += 1;
                shared.store(cpu, Word::NumAck, *register);
                ghost.acknowledge(cpu, *step);
            }
            Op::AddAck => {
                *register = shared.increment(Word::NumAck);
                ghost.acknowledge(cpu, *step);
            }
            Op::SkipIfOver(ops) if shared.load(cpu, Word::Step) != *step => skip = ops,
            Op::SkipUnlessLast { needed, skip: ops }
                if *register != needed || shared.load(cpu, Word::NumFailed) != 0 =>
            {
                skip = ops;
            }
            Op::SkipIfOver(_) | Op::SkipUnlessLast { .. } => {}
            Op::Reset => shared.store(cpu, Word::NumAck, 0),
            Op::Advance => {
                let next = shared.load(cpu, Word::Step) + 1;
                shared.store(cpu, Word::Step, next);
            }
        }
        self.settle(state, cpu, at + 1 + skip);
    }
}
