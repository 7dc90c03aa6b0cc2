//! A counterexample as a recording, and what the judge says of it.

use super::replay::ObservedKernel;
use rig_interleave::report::Counterexample;
use rig_interleave::search::{Act, Deed};
use rig_judge::{Examination, Finding, Invariant, RunEnd, Setup, SubjectNames};
use rig_wire::event::{Kind, Mark, NO_LP, Record, flags};
use serde::Serialize;
use std::collections::HashMap;

/// What the judge says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OrderJudgement {
    /// The invariant that it finds broken; none if it finds none.
    pub(crate) broken: Option<&'static str>,
    /// What it expected, and what it saw in its place.
    pub(crate) why: String,
    /// Whether that is the rule of the counterexample; none for a rule that the judge does not have.
    pub(crate) agrees: Option<bool>,
}

/// Lets the judge judge the operations of a counterexample by themselves, as if a machine had recorded them.
pub(crate) fn judge(found: &Counterexample, cpus: usize, observed: &ObservedKernel) -> OrderJudgement {
    let mut setup = Setup::new(u16::try_from(cpus).expect("few CPUs"), SubjectNames::in_tree());
    setup.watches.clone_from(&observed.seen.watches);
    setup.functions.clone_from(&observed.seen.functions);
    let mut recording = Recording { observed, records: Vec::new(), loaded: HashMap::new() };
    recording.begin(cpus);
    found.acts.iter().for_each(|act| recording.act(act));
    let mut examination = Examination::new(setup);
    let mut breach = None;
    for record in &recording.records {
        breach = breach.or(examination.record(record, None));
    }
    if breach.is_none() {
        // From a state without a way out nothing more would be recorded.
        let stuck = found.note.clone().map(|what| RunEnd::Hung { what });
        let findings = examination.finish(&stuck.unwrap_or(RunEnd::Stopped)).findings;
        let is_broken = |finding: Finding| if let Finding::Broken(breach) = finding { Some(*breach) } else { None };
        breach = findings.invariants.into_values().find_map(is_broken);
    }
    let has_rule = Invariant::ALL.iter().any(|invariant| invariant.name() == found.rule);
    let broken = breach.as_ref().map(|breach| breach.invariant.name());
    let why = breach.map_or_else(String::new, |breach| format!("{}; but {}", breach.expected, breach.seen));
    OrderJudgement { broken, why, agrees: has_rule.then_some(broken == Some(found.rule)) }
}

/// What a machine would record.
struct Recording<'a> {
    observed: &'a ObservedKernel,
    records: Vec<Record>,
    /// What each CPU loaded last of each watched word: repeated loads are recorded once.
    loaded: HashMap<(u8, usize), u64>,
}

impl Recording<'_> {
    /// The upload begins, CPU 0 prepares the state machine, and all CPUs enter the section.
    fn begin(&mut self, cpus: usize) {
        self.push(Record {
            lp: NO_LP,
            kind: Kind::Mark as u16,
            a: Mark::UpdateBegin as u64,
            b: 1,
            ..Record::default()
        });
        for (watch, value) in [(0, 1), (2, 0)] {
            let (kind, flags) = (Kind::Watch as u16, flags::STORE);
            self.push(Record { kind, flags, a: watch, b: value, ..Record::default() });
        }
        // The functions of an observation: the section, stop_machine's around it.
        for function in [1, 0] {
            for lp in 0..cpus {
                let lp = u16::try_from(lp).expect("few CPUs");
                self.push(Record { lp, kind: Kind::FunctionEnter as u16, a: function, ..Record::default() });
            }
        }
    }

    fn act(&mut self, act: &Act) {
        match act.deed {
            Deed::Read { address, value, .. } => self.watched(act, address, value, false),
            Deed::Write { address, value, .. } => self.watched(act, address, value, true),
            Deed::Exchange { address, value, written, .. } => {
                self.watched(act, address, value, false);
                if let Some(written) = written {
                    self.watched(act, address, written, true);
                }
            }
            Deed::Enter { rax, rdx } => {
                let flags = if act.interrupts { flags::IF } else { 0 };
                self.of(act, Record { kind: Kind::SeamcallEnter as u16, flags, a: rax, c: rdx, ..Record::default() });
            }
            Deed::Leave { rax, reply, injected } => {
                let failed = if reply.rax.is_none() { flags::VMFAIL_INVALID } else { 0 };
                // The model refuses a call in this way only where another CPU is inside.
                let why = match (injected, reply.rax) {
                    (true, _) => flags::FAULT,
                    (false, None) => flags::CONTENDED,
                    (false, Some(_)) => 0,
                };
                let (kind, flags, status) = (Kind::SeamcallExit as u16, failed | why, reply.rax.unwrap_or(rax));
                self.of(act, Record { kind, flags, a: rax, b: status, ..Record::default() });
            }
            // A store is recorded when it is made, as the rules judge it; the way to here has that before.
            Deed::Flush { .. } | Deed::Fence => {}
        }
    }

    fn watched(&mut self, act: &Act, address: u64, value: u64, store: bool) {
        let Some((place, _)) = self.observed.watch(act.at, address) else { return };
        let known = self.loaded.insert((act.cpu, place), value) == Some(value);
        if store || !known {
            let (kind, flags) = (Kind::Watch as u16, if store { flags::STORE } else { 0 });
            self.of(act, Record { kind, flags, a: place as u64, b: value, c: address, d: act.at, ..Record::default() });
        }
    }

    fn of(&mut self, act: &Act, record: Record) {
        self.push(Record { lp: act.cpu.into(), ..record });
    }

    fn push(&mut self, record: Record) {
        let seq = self.records.len() as u64;
        let guest_ns = (seq + 1) * 1_000;
        self.records.push(Record { seq, guest_ns, host_ns: guest_ns, ..record });
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay::tests::{count, found, observed};
    use super::*;

    /// `update_ctrl.state`
    fn reads_state(cpu: u8, value: u64) -> Act {
        let deed = Deed::Read { address: 0xffff_ffff_817c_7d60, size: 4, value };
        Act { deed, ..count(cpu, None) }
    }

    #[test]
    fn the_judge_finds_a_lost_acknowledgement() {
        let begin = [reads_state(0, 1), reads_state(1, 1), count(0, None), count(1, None)];
        let acts = [begin.as_slice(), &[count(0, Some(1)), count(1, Some(1))]].concat();
        let judgement = judge(&found(acts, vec![None, None]), 2, &observed());
        assert_eq!((judgement.broken, judgement.agrees), (Some("lockstep"), Some(true)), "{}", judgement.why);
    }

    #[test]
    fn the_judge_does_not_agree_with_what_is_no_error() {
        let acts = vec![reads_state(0, 1), count(0, None), count(0, Some(1))];
        let judgement = judge(&found(acts, vec![None, None]), 2, &observed());
        assert_eq!((judgement.broken, judgement.agrees), (None, Some(false)), "{}", judgement.why);
    }

    #[test]
    fn a_rule_that_the_judge_lacks_is_no_disagreement() {
        let found = Counterexample { rule: "succeeds", ..found(vec![reads_state(0, 1)], vec![None, None]) };
        assert_eq!(judge(&found, 2, &observed()).agrees, None);
    }
}
