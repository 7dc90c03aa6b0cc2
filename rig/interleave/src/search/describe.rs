//! A way through the states, in words.

use super::explorer::Explorer;
use super::operation::Taken;
use super::state::State;
use crate::call::Call;
use crate::firmware::{Failure, Firmware};
use crate::image::Source;
use crate::local::{Pending, Stop, stack};

impl<S: Source, F: Firmware> Explorer<'_, S, F> {
    /// What the CPUs do on a way from the first state, and where each is at its end.
    pub(super) fn describe(&mut self, first: &State<F::State>, actions: &[u8]) -> Result<Vec<String>, Stop> {
        let (mut state, mut out) = (*first, *first);
        let kinds = self.kinds();
        let mut steps = Vec::new();
        for action in actions {
            let (cpu, failure) = (usize::from(*action) / kinds.len(), kinds[usize::from(*action) % kinds.len()]);
            steps.push(self.say(&state, cpu, failure));
            let taken = self.take(&state, cpu, failure, &mut out)?;
            assert_ne!(taken, Taken::Disabled, "the way was found before");
            std::mem::swap(&mut state, &mut out);
        }
        let places: Vec<String> = (0..self.cpus()).map(|cpu| self.place(&state, cpu)).collect();
        steps.push(places.join(", "));
        Ok(steps)
    }

    fn place(&self, state: &State<F::State>, cpu: usize) -> String {
        let local = self.locals.get(state.locals[cpu]);
        match local.pending {
            Pending::Done { returned } => format!("CPU {cpu} has returned {}", returned.cast_signed()),
            _ => format!("CPU {cpu} is at {}", self.symbol(local.vcpu.registers.rip)),
        }
    }

    fn say(&self, state: &State<F::State>, cpu: usize, failure: Option<Failure>) -> String {
        let local = self.locals.get(state.locals[cpu]);
        let now = |address: u64, size: u8| state.load(self.slot(address), address, size);
        let deed = match local.pending {
            Pending::Load { address, size } => {
                format!("reads {:#x} from {}", now(address, size), self.variable(address))
            }
            Pending::Store(write) => format!("writes {:#x} to {}", write.value, self.variable(write.address)),
            Pending::Locked { address, size } => {
                format!("exchanges {}, which was {:#x}", self.variable(address), now(address, size))
            }
            Pending::Enter { rax, rdx } => format!("enters {}", Call::new(rax, rdx).name()),
            Pending::Leave => {
                let call = self.firmware.call(&state.firmware, cpu).map_or("no call", Call::name);
                let how = failure.map_or(String::new(), |failure| format!(" with {}", failure.name()));
                format!("leaves {call}{how}")
            }
            Pending::Done { .. } | Pending::Start => "does nothing".into(),
        };
        format!("CPU {cpu} {deed}, at {}", self.symbol(local.vcpu.registers.rip))
    }

    fn symbol(&self, address: u64) -> String {
        self.interpreter.memory.source().symbols().name(address)
    }

    /// A variable for people; those of one CPU by that CPU.
    fn variable(&self, address: u64) -> String {
        if let Some(cpu) = (0..self.cpus()).find(|cpu| stack(*cpu as u8).contains(&address)) {
            return format!("the stack of CPU {cpu}");
        }
        let symbols = self.interpreter.memory.source().symbols();
        let bases = self.interpreter.gs_bases.iter().enumerate();
        for (cpu, base) in bases {
            if let (true, Some((name, 0..=255))) = (*base != 0, symbols.around(address.wrapping_sub(*base)))
                && symbols.around(address).is_none()
            {
                let offset = symbols.around(address.wrapping_sub(*base)).map_or(0, |(_, offset)| offset);
                let offset = if offset == 0 { String::new() } else { format!("+{offset:#x}") };
                return format!("{name}{offset} of CPU {cpu}");
            }
        }
        symbols.name(address)
    }
}
