//! A counterexample as a scenario that a whole machine replays: holds in place of the search's choices.

use super::order::waits;
use crate::scenario::{Budget, Clock, FaultSpec, HoldSpec, Location, Place, Scenario, Since, UntilSpec};
use crate::symbols::{Observation, Symbols};
use rig_interleave::report::Counterexample;
use rig_interleave::search::{Act, Deed};
use rig_wire::plan::Watch;
use seam_emu::abi::Leaf;
use seam_emu::{FaultAction, FaultPoint};
use std::collections::HashMap;

/// Time of the machine after which a hold lets go, as on a kernel that is repaired.
const LIMIT_MS: u32 = 5;
/// Guest time in which the update only spins after which the run is a hang, microseconds: longer than a hold. What the CPUs do behind
/// the breach is of no interest, and each turn of a loop on a watched word is an event.
const STALL_GUEST_US: u32 = 10_000;
/// What the run may record, MB: many times what leads to the breach.
const EVIDENCE_MB: u32 = 32;

/// The kernel's names, and what the rig watches in it.
#[derive(Debug)]
pub(crate) struct ObservedKernel {
    pub(crate) symbols: Symbols,
    pub(crate) seen: Observation,
}

impl ObservedKernel {
    /// The watched word that an operation at `at` on this memory touches, by its place among them.
    pub(super) fn watch(&self, at: u64, address: u64) -> Option<(usize, &Watch)> {
        let is_it = |watch: &Watch| {
            let covers = (watch.address..watch.address + u64::from(watch.size)).contains(&address);
            covers && watch.within.iter().any(|(start, end)| (*start..*end).contains(&at))
        };
        self.seen.watches.iter().enumerate().find(|(_, watch)| is_it(watch))
    }

    fn symbol(&self, address: u64) -> Option<Location> {
        self.symbols.name_of(address)?.parse().ok()
    }

    fn place(&self, act: &Act) -> Option<Place> {
        match act.deed {
            Deed::Enter { rax, .. } => Some(Place::Seamcall { leaf: Leaf::from_number(rax)?, exit: false }),
            Deed::Leave { rax, .. } => Some(Place::Seamcall { leaf: Leaf::from_number(rax)?, exit: true }),
            Deed::Read { address, .. } | Deed::Write { address, .. } => match self.watch(act.at, address) {
                Some((_, watch)) => {
                    let store = matches!(act.deed, Deed::Write { .. });
                    Some(Place::Memory { word: watch.name.parse().ok()?, store })
                }
                None => self.symbol(act.at).map(Place::Symbol),
            },
            Deed::Exchange { .. } | Deed::Fence => self.symbol(act.at).map(Place::Symbol),
            Deed::Flush { .. } => None,
        }
    }
}

/// Each operation's place, and on which of the CPU's passes there it is done.
struct Places<'a> {
    observed: &'a ObservedKernel,
    passes: HashMap<(u8, Place), u32>,
    last: HashMap<u8, Act>,
}

impl Places<'_> {
    /// The place of the CPU's next operation. It counts as a pass from then on.
    fn next(&mut self, act: &Act) -> Option<(Place, u32)> {
        let place = self.observed.place(act)?;
        let before = self.last.insert(act.cpu, *act);
        let nth = self.passes.entry((act.cpu, place.clone())).or_insert(0);
        // The store of an instruction that read before is no other pass of that instruction.
        let is_rest = before.is_some_and(|before| before.at == act.at)
            && matches!(act.deed, Deed::Write { .. })
            && matches!(place, Place::Symbol(_));
        *nth += u32::from(!is_rest);
        Some((place, *nth))
    }
}

/// The scenario that forces the counterexample's order on a machine; or why there is none.
pub(crate) fn scenario(found: &Counterexample, cpus: usize, observed: &ObservedKernel) -> Result<Scenario, String> {
    if found.acts.iter().any(|act| matches!(act.deed, Deed::Flush { .. })) {
        return Err("the emulated machine has no store buffers".into());
    }
    let mut places = Places { observed, passes: HashMap::new(), last: HashMap::new() };
    let no_place = |act: &Act| format!("no place is known for the operation of CPU {} at {:#x}", act.cpu, act.at);
    let mut at = Vec::new();
    for act in &found.acts {
        at.push(places.next(act).ok_or_else(|| no_place(act))?);
    }
    let mut holds = Vec::new();
    let hold = |cpu: u8, (place, nth): &(Place, u32), until: usize| {
        let (passes, times) = at[until].clone();
        let other = found.acts[until].cpu.into();
        let until = UntilSpec::Passed { cpu: other, passes, nth: times, since: Since::Update };
        let spec = HoldSpec::new(cpu.into(), place.clone(), until);
        HoldSpec { nth: *nth, limit_ms: LIMIT_MS, required: false, ..spec }
    };
    for wait in waits(&found.acts, cpus) {
        holds.push(hold(found.acts[wait.later].cpu, &at[wait.later], wait.earlier));
    }
    // Those that are under way when the rule breaks stay where they are. A state from which there is no way out needs no help.
    let is_stuck = found.note.is_some();
    if let (Some(last), false) = (found.acts.len().checked_sub(1), is_stuck) {
        let others = found.next.iter().flatten().filter(|act| act.cpu != found.acts[last].cpu);
        for act in others {
            holds.push(hold(act.cpu, &places.next(act).ok_or_else(|| no_place(act))?, last));
        }
    }
    Ok(Scenario {
        name: format!("prove-{}", found.rule),
        why: format!("A counterexample of rig prove: it breaks {} ({}).", found.rule, found.meaning),
        cpus: u32::try_from(cpus).expect("few CPUs"),
        clock: Clock::Deterministic,
        faults: faults(&found.acts)?,
        holds,
        budget: Budget { stall_guest_us: Some(STALL_GUEST_US), evidence_mb: Some(EVIDENCE_MB), ..Budget::default() },
        ..Scenario::default()
    })
}

/// The failure that the search chose, if it chose one.
fn faults(acts: &[Act]) -> Result<Vec<FaultSpec>, String> {
    let mut faults = Vec::new();
    for (place, act) in acts.iter().enumerate() {
        let Deed::Leave { rax, reply, injected: true } = act.deed else { continue };
        let leaf = Leaf::from_number(rax).ok_or("a leaf without a name failed")?;
        if leaf == Leaf::SysRd {
            return Err("the boot reads fields of the module, too, so faults cannot count those of the update".into());
        }
        let is_same =
            |other: &&Act| other.cpu == act.cpu && matches!(other.deed, Deed::Enter { rax: r, .. } if r == rax);
        let calls = acts[..place].iter().filter(is_same).count();
        // The boot initialises each LP, and the module once.
        let (lp, boot) = match leaf {
            Leaf::SysLpInit => (Some(act.cpu.into()), 1),
            Leaf::SysInit => (None, 1),
            _ => (Some(act.cpu.into()), 0),
        };
        let action = reply.rax.map_or(FaultAction::VmFailInvalid, FaultAction::Status);
        let nth = u32::try_from(calls + boot).expect("few calls");
        let (leaf, at) = (leaf.name().to_owned(), FaultPoint::default());
        faults.push(FaultSpec { leaf, lp, nth, times: 1, at, action, required: false });
    }
    Ok(faults)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::symbols::observe_update;
    use rig_interleave::firmware::Reply;

    pub(crate) fn observed() -> ObservedKernel {
        let symbols = Symbols::from_system_map(crate::symbols::tests::MAP);
        let seen = observe_update(&symbols).expect("the map has the update");
        ObservedKernel { symbols, seen }
    }

    /// Within `do_seamldr_install_module`, and `update_ctrl.num_ack`.
    const AT: u64 = 0xffff_ffff_8107_8640;
    const NUM_ACK: u64 = 0xffff_ffff_817c_7d64;

    pub(crate) const fn count(cpu: u8, write: Option<u64>) -> Act {
        let (address, size) = (NUM_ACK, 4);
        let deed = match write {
            Some(value) => Deed::Write { address, size, value },
            None => Deed::Read { address, size, value: 0 },
        };
        Act { cpu, at: AT, deed, interrupts: false }
    }

    pub(crate) fn found(acts: Vec<Act>, next: Vec<Option<Act>>) -> Counterexample {
        Counterexample { rule: "lockstep", meaning: "in step", steps: Vec::new(), note: None, acts, next }
    }

    #[test]
    fn a_lost_acknowledgement_becomes_the_two_holds_of_the_documents() {
        let acts = vec![count(0, None), count(1, None), count(0, Some(1)), count(1, Some(1))];
        let scenario = scenario(&found(acts, vec![None, None]), 2, &observed()).unwrap();
        let words: Vec<String> = scenario.holds.iter().map(|h| format!("{} {} {}", h.cpu, h.at, h.until)).collect();
        assert_eq!(
            words,
            [
                "0 mem:update_ctrl.num_ack:store CPU 1 has passed mem:update_ctrl.num_ack:load",
                "1 mem:update_ctrl.num_ack:store CPU 0 has passed mem:update_ctrl.num_ack:store",
            ]
        );
        assert_eq!((scenario.cpus, scenario.clock), (2, Clock::Deterministic));
        let text = toml::to_string_pretty(&scenario).unwrap();
        assert_eq!(crate::scenario::from_text(&text, "x.toml").unwrap(), scenario, "the rig takes what it wrote");
    }

    #[test]
    fn who_is_not_there_yet_stays_away() {
        let next = vec![Some(count(0, None)), None];
        let scenario = scenario(&found(vec![count(1, None), count(1, Some(1))], next), 2, &observed()).unwrap();
        let [hold] = &scenario.holds[..] else { panic!("{:?}", scenario.holds) };
        assert_eq!((hold.cpu, hold.at.to_string().as_str()), (0, "mem:update_ctrl.num_ack:load"));
        assert_eq!(hold.until.to_string(), "CPU 1 has passed mem:update_ctrl.num_ack:store");
    }

    #[test]
    fn a_failure_becomes_a_fault() {
        let rax = Leaf::SysLpInit.number();
        let act = |deed| Act { cpu: 1, at: AT, deed, interrupts: false };
        let reply = Reply::INVALID;
        let acts = vec![act(Deed::Enter { rax, rdx: 0 }), act(Deed::Leave { rax, reply, injected: true })];
        let scenario = scenario(&found(acts, vec![None, None]), 2, &observed()).unwrap();
        let [fault] = &scenario.faults[..] else { panic!("{:?}", scenario.faults) };
        assert_eq!((fault.lp, fault.nth, fault.action), (Some(1), 2, FaultAction::VmFailInvalid));
    }

    #[test]
    fn what_a_machine_cannot_do_is_said() {
        let flush = Act { deed: Deed::Flush { address: NUM_ACK, size: 4, value: 1 }, ..count(0, None) };
        assert!(scenario(&found(vec![flush], vec![None]), 1, &observed()).unwrap_err().contains("store buffers"));
        let rax = Leaf::SysRd.number();
        let reply = Reply::INVALID;
        let read = Act { deed: Deed::Leave { rax, reply, injected: true }, ..count(0, None) };
        assert!(scenario(&found(vec![read], vec![None]), 1, &observed()).unwrap_err().contains("boot reads"));
    }
}
