//! What the judge remembers: no CPU reads it.

use crate::{Invariant, Leaf, Step};

/// Events of one update so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    /// The last step that each CPU acknowledged, by CPU.
    acked: Vec<u8>,
    /// Calls that each CPU began, by CPU and leaf.
    calls: Vec<[u8; 5]>,
    /// CPUs inside P-SEAMLDR, as bits.
    inside_loader: u8,
    /// The furthest step of which a call began.
    furthest: u8,
    /// The step in which a CPU failed first.
    pub(crate) failed_in: Option<u8>,
}

impl Ghost {
    pub(crate) fn new(cpus: usize) -> Self {
        Self { acked: vec![0; cpus], calls: vec![[0; 5]; cpus], ..Self::default() }
    }

    /// `cpu`, one of `chosen` (bits), begins a step.
    pub(crate) fn begin(&self, chosen: u8, step: u8) -> Option<Invariant> {
        if self.failed_in.is_some_and(|failed| failed < step) {
            return Some(Invariant::StopOnFailure);
        }
        let behind = |cpu: usize| chosen & (1 << cpu) != 0 && self.acked[cpu] + 1 < step;
        (0..self.acked.len()).any(behind).then_some(Invariant::Lockstep)
    }

    pub(crate) fn acknowledge(&mut self, cpu: usize, step: u8) {
        self.acked[cpu] = step;
    }

    /// `cpu` begins a call in `step`.
    pub(crate) fn enter(&mut self, cpu: usize, step: u8, leaf: Leaf) -> Option<Invariant> {
        let count = &mut self.calls[cpu][leaf as usize];
        *count += 1;
        let again = *count > 1;
        let once = matches!(leaf, Leaf::Shutdown | Leaf::Update);
        let others = self.inside_loader != 0;
        if leaf == Leaf::Install {
            self.inside_loader |= 1 << cpu;
        }
        let own = step_of(leaf).map_or(step, |own| own as u8);
        let late = own < self.furthest || self.acked[cpu] >= step;
        self.furthest = self.furthest.max(own);
        match leaf {
            Leaf::Foreign => Some(Invariant::UpdateOnly),
            _ if once && (again || cpu != 0) => Some(Invariant::LeadOnly),
            _ if again => Some(Invariant::Participation),
            Leaf::Install if others => Some(Invariant::SerialLoader),
            _ => late.then_some(Invariant::Lockstep),
        }
    }

    pub(crate) fn exit(&mut self, cpu: usize, step: u8, leaf: Leaf, failed: bool) {
        if leaf == Leaf::Install {
            self.inside_loader &= !(1 << cpu);
        }
        if failed {
            self.failed_in.get_or_insert(step);
        }
    }

    /// All CPUs left; `told`: the uploader hears of a failure.
    pub(crate) fn end(&self, online: u8, told: bool) -> Option<Invariant> {
        if self.failed_in.is_some() {
            return (!told).then_some(Invariant::StopOnFailure);
        }
        let done = |leaf: Leaf, cpu: usize| self.calls[cpu][leaf as usize] == 1;
        let lead = [Leaf::Shutdown, Leaf::Update].iter().all(|leaf| done(*leaf, 0));
        let online = |cpu: &usize| online & (1 << cpu) != 0;
        let all = (0..self.calls.len()).filter(online).all(|cpu| done(Leaf::Install, cpu) && done(Leaf::Init, cpu));
        if !lead {
            return Some(Invariant::LeadOnly);
        }
        (!all).then_some(Invariant::Participation)
    }
}

/// The step to which a call belongs, whenever it is made.
fn step_of(leaf: Leaf) -> Option<Step> {
    match leaf {
        Leaf::Shutdown => Some(Step::Shutdown),
        Leaf::Install => Some(Step::Install),
        Leaf::Init => Some(Step::Init),
        Leaf::Update => Some(Step::Update),
        Leaf::Foreign => None,
    }
}
