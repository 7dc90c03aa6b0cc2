//! A way through the states: as operations, and in words.

use super::act::{Act, Deed};
use super::choice::Choice;
use super::explore::Finding;
use super::explorer::Explorer;
use super::operation::Taken;
use super::state::State;
use crate::call::Call;
use crate::firmware::Firmware;
use crate::image::Source;
use crate::isa::flag;
use crate::local::{Input, Pending, Stop};
use crate::rules::Rule;

impl<S: Source, F: Firmware> Explorer<'_, S, F> {
    /// What the CPUs do on a way from the first state that breaks a rule, and where each is at its end.
    pub(super) fn finding(
        &mut self,
        first: &State<F::State>,
        actions: &[usize],
        rule: Rule,
        note: Option<String>,
    ) -> Result<Finding, Stop> {
        let (mut state, mut out) = (*first, *first);
        let choices = self.choices();
        // Who is meant by each place in the state: CPUs that are alike change places.
        let mut who: Vec<usize> = (0..self.cpus()).collect();
        let (mut acts, mut inside) = (Vec::new(), vec![0; self.cpus()]);
        for action in actions {
            let (cpu, choice) = (action / choices.len(), choices[action % choices.len()]);
            let taken = self.take_executing(&state, cpu, choice, &mut out)?;
            assert_ne!(taken, Taken::Disabled, "the way was found before");
            let act = self.act(&state, cpu, choice, inside[who[cpu]])?;
            if let Some(Deed::Enter { rax, .. }) = act.map(|act| act.deed) {
                inside[who[cpu]] = rax;
            }
            acts.extend(act.map(|act| Act { cpu: who[cpu] as u8, ..act }));
            if self.options.symmetry {
                out.sort(self.cpus(), &self.families, self.firmware, |one, other| who.swap(one, other));
            }
            std::mem::swap(&mut state, &mut out);
        }
        let mut steps: Vec<String> = acts.iter().map(|act| self.say(act)).collect();
        let place = |cpu: usize| who.iter().position(|meant| *meant == cpu).expect("each CPU has its place");
        let places: Vec<String> = (0..self.cpus()).map(|cpu| self.place(&state, place(cpu), cpu)).collect();
        steps.push(places.join(", "));
        let mut next = Vec::new();
        for (cpu, rax) in inside.iter().enumerate() {
            let act = self.act(&state, place(cpu), Choice::Plain, *rax);
            next.push(act.ok().flatten().map(|act| Act { cpu: cpu as u8, ..act }));
        }
        Ok(Finding { rule, acts, next, steps, note })
    }

    /// As [`Explorer::take`], and executes what was not executed yet.
    pub(super) fn take_executing(
        &mut self,
        state: &State<F::State>,
        cpu: usize,
        choice: Choice,
        out: &mut State<F::State>,
    ) -> Result<Taken, Stop> {
        loop {
            match self.take(state, cpu, choice, out) {
                Err(Stop::Unexecuted { local, input }) => self.locals.execute(local, input, self.interpreter)?,
                taken => return taken,
            }
        }
    }

    /// The operation that a CPU does in a state; none if it has returned. `rax`: with which it entered its last SEAMCALL.
    fn act(&self, state: &State<F::State>, cpu: usize, choice: Choice, rax: u64) -> Result<Option<Act>, Stop> {
        let local = self.locals.get(state.locals[cpu]);
        let registers = &local.any().registers;
        let deed = match self.pending(state, cpu) {
            _ if choice == Choice::Flush => {
                let write = local.buffer()[0];
                Deed::Flush { address: write.address, size: write.size, value: write.value }
            }
            Pending::Load { address, size } => {
                Deed::Read { address, size, value: self.view(state, state.locals[cpu], address, size)? }
            }
            Pending::Store(write) => Deed::Write { address: write.address, size: write.size, value: write.value },
            Pending::Locked { address, size } | Pending::Acquire { address, size } => {
                let value = self.read(state, address, size)?;
                let done = self.locals.step(state.locals[cpu], Input::Value(value));
                let written = done.ok().and_then(|successor| successor.write).map(|write| write.value);
                Deed::Exchange { address, size, value, written }
            }
            Pending::Fence => Deed::Fence,
            Pending::Enter { rax, rdx } => Deed::Enter { rax, rdx },
            Pending::Leave => {
                let failure = choice.failure();
                let reply = self.firmware.leave(&mut state.firmware.clone(), cpu, failure)?;
                Deed::Leave { rax, reply, injected: failure.is_some() }
            }
            Pending::Done { .. } | Pending::Start => return Ok(None),
        };
        let interrupts = registers.flags & flag::IF != 0;
        Ok(Some(Act { cpu: cpu as u8, at: registers.rip, deed, interrupts }))
    }

    fn place(&self, state: &State<F::State>, place: usize, cpu: usize) -> String {
        let local = self.locals.get(state.locals[place]);
        match local.pending {
            Pending::Done { returned } => format!("CPU {cpu} has returned {}", returned.cast_signed()),
            _ => format!("CPU {cpu} is at {}", self.symbol(local.any().registers.rip)),
        }
    }

    fn say(&self, act: &Act) -> String {
        let deed = match act.deed {
            Deed::Read { address, value, .. } => format!("reads {value:#x} from {}", self.variable(address)),
            Deed::Write { address, value, .. } => format!("writes {value:#x} to {}", self.variable(address)),
            Deed::Exchange { address, value, .. } => {
                format!("exchanges {}, which was {value:#x}", self.variable(address))
            }
            Deed::Flush { address, value, .. } => {
                return format!("CPU {}'s write of {value:#x} to {} becomes visible", act.cpu, self.variable(address));
            }
            Deed::Fence => "waits for its writes to be visible".into(),
            Deed::Enter { rax, rdx } => format!("enters {}", Call::new(rax, rdx).name()),
            Deed::Leave { reply, injected, .. } => {
                let how = match reply.rax {
                    Some(0) => "with success".into(),
                    Some(status) => format!("with status {status:#x}"),
                    None => "with VMfailInvalid".to_owned(),
                };
                let why = if injected { ", the failure of this run" } else { "" };
                format!("comes back from its SEAMCALL {how}{why}")
            }
        };
        format!("CPU {} {deed}, at {}", act.cpu, self.symbol(act.at))
    }

    fn symbol(&self, address: u64) -> String {
        self.interpreter.memory.source().symbols().name(address)
    }

    /// A variable for people; those of one CPU by that CPU.
    fn variable(&self, address: u64) -> String {
        let layout = &self.interpreter.layout;
        if let Some(cpu) = layout.stacks.iter().position(|stack| stack.contains(&address)) {
            return format!("the stack of CPU {cpu}");
        }
        let symbols = self.interpreter.memory.source().symbols();
        let bases = layout.gs_bases.iter().enumerate();
        for (cpu, base) in bases {
            if let (true, Some((name, offset @ 0..=255))) = (*base != 0, symbols.around(address.wrapping_sub(*base)))
                && symbols.around(address).is_none()
            {
                let offset = if offset == 0 { String::new() } else { format!("+{offset:#x}") };
                return format!("{name}{offset} of CPU {cpu}");
            }
        }
        symbols.name(address)
    }
}
