//! Edits of an imitated recording, and what is broken in it then.

use rig_judge::synthetic::Synthetic;
use rig_judge::timeline::Leaf;
use rig_judge::{Findings, Invariant};
use rig_wire::event::{Kind, Mark, Record, flags};
use std::collections::BTreeSet;

/// The invariants that break.
pub(crate) fn broken(findings: &Findings) -> BTreeSet<Invariant> {
    findings.breaches().iter().map(|b| b.invariant).collect()
}

/// What the breach of this invariant says was seen.
pub(crate) fn seen(findings: &Findings, invariant: Invariant) -> String {
    let breaches = findings.breaches();
    let breach = breaches.iter().find(|breach| breach.invariant == invariant);
    breach.unwrap_or_else(|| panic!("{invariant} does not break: {breaches:#?}")).seen.clone()
}

/// Why this invariant could not be judged.
pub(crate) fn why_not(findings: &Findings, invariant: Invariant) -> String {
    let all = findings.not_observed();
    let why = all.iter().find(|n| n.invariant == invariant);
    why.unwrap_or_else(|| panic!("{invariant}: {:?}", findings.invariants[&invariant])).reason.clone()
}

pub(crate) fn insert(run: &mut Synthetic, at: usize, records: impl IntoIterator<Item = Record>) {
    run.records.splice(at..at, records);
    run.renumber();
}

/// Leaves out all that this rejects from the place on.
pub(crate) fn keep_from(run: &mut Synthetic, at: usize, accept: impl Fn(&Record) -> bool) {
    let mut rest = run.records.split_off(at);
    rest.retain(accept);
    run.records.append(&mut rest);
    run.renumber();
}

/// Whether a record stores to the subject's word of this name.
pub(crate) fn stores(run: &Synthetic, record: &Record, name: &str) -> bool {
    let word = run.setup.watches.iter().position(|w| w.name == name).unwrap() as u64;
    record.kind == Kind::Watch as u16 && record.a == word && record.flags & flags::STORE != 0
}

pub(crate) fn is_mark(record: &Record, mark: Mark) -> bool {
    record.kind == Kind::Mark as u16 && record.a == mark as u64
}

/// Where the last call of this leaf on this LP begins and ends.
pub(crate) fn last_call(run: &Synthetic, lp: u16, leaf: Leaf) -> (usize, usize) {
    let place = |kind: Kind| {
        let is_it = |r: &Record| r.lp == lp && r.kind == kind as u16 && Leaf::of(r) == leaf;
        run.records.iter().rposition(is_it).unwrap()
    };
    (place(Kind::SeamcallEnter), place(Kind::SeamcallExit))
}

/// The records of a call that succeeds, with this operand.
pub(crate) fn call(lp: u16, leaf: Leaf, operand: u64) -> [Record; 2] {
    let enter = Record { lp, kind: Kind::SeamcallEnter as u16, a: leaf.0, c: operand, ..Record::default() };
    [enter, Record { kind: Kind::SeamcallExit as u16, c: 0, ..enter }]
}
