//! Timelines that were recorded from Linux 7.3 (`in-tree` subject), and the same with one edit each: exactly the invariant
//! that the edit breaks must say so.
//!
//! `tests/data/README.md` tells how they were recorded.

use rig_judge::report::perfetto;
use rig_judge::scene::Scene;
use rig_judge::timeline::{Decoder, Event, EventsReader, Leaf, What, Word};
use rig_judge::{Facts, Findings, Invariant, Judge, RunEnd, Setup, Standing, Verdict, check};
use rig_wire::event::{Kind, Record, flags};
use rstest::rstest;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A recorded run, to be edited.
#[derive(Clone)]
struct Run {
    setup: Setup,
    records: Vec<Record>,
    console: Vec<String>,
    end: RunEnd,
}

impl Run {
    fn recorded(lps: u16) -> Self {
        let reader = EventsReader::open(&data(&format!("in-tree-{lps}.events.bin"))).unwrap();
        let setup = reader.setup().clone();
        let records = reader.map(Result::unwrap).collect();
        let console = std::fs::read_to_string(data(&format!("in-tree-{lps}.kmsg.log"))).unwrap();
        Self { setup, records, console: console.lines().map(str::to_string).collect(), end: RunEnd::Finished }
    }

    fn judge(&self) -> Findings {
        let mut judge = Judge::new(self.setup.clone());
        for (record, seq) in self.records.iter().zip(0..) {
            if record.kind == Kind::Console as u16 {
                judge.console_line(&self.console[record.a as usize]);
            }
            judge.observe(&Record { seq, ..*record });
        }
        judge.finish(&self.end)
    }

    /// Where the first event after `from` that this accepts is.
    fn find(&self, from: usize, accept: impl Fn(&Event<'_>) -> bool) -> usize {
        let decoder = Decoder::new(&self.setup);
        let found = self.records[from..].iter().position(|record| accept(&decoder.decode(record)));
        from + found.expect("the recording has such an event")
    }

    /// Where the first update's state becomes this.
    fn state(&self, state: u64) -> usize {
        self.find(0, |e| e.what == What::Store(Word::State, state))
    }

    /// Where this LP enters this leaf in the first update.
    fn enter(&self, lp: u16, leaf: Leaf) -> usize {
        self.find(self.state(1), |e| e.record.lp == lp && e.what == What::CallEnter(leaf))
    }

    /// Where the call that begins at `enter` ends.
    fn exit(&self, enter: usize) -> usize {
        let (lp, leaf) = (self.records[enter].lp, Leaf::of(&self.records[enter]));
        self.find(enter, |e| e.record.lp == lp && matches!(e.what, What::CallExit(l, _) if l == leaf))
    }

    /// The LPs in the order in which they install.
    fn installers(&self) -> Vec<u16> {
        let all = self.records[..self.state(3)].iter().filter(|r| r.kind == Kind::SeamcallEnter as u16);
        all.filter(|r| Leaf::of(r) == Leaf::INSTALL).map(|r| r.lp).collect()
    }

    fn shift(&mut self, from: usize, to: usize) {
        let record = self.records.remove(from);
        self.records.insert(to, record);
    }

    fn insert(&mut self, at: usize, record: Record) {
        let now = self.records[at];
        self.records.insert(at, Record { guest_ns: now.guest_ns, host_ns: now.host_ns, ..record });
    }

    fn insert_call(&mut self, at: usize, lp: u16, leaf: Leaf) {
        self.insert(at, Record { lp, kind: Kind::SeamcallExit as u16, a: leaf.0, ..Record::default() });
        self.insert(at, Record { lp, kind: Kind::SeamcallEnter as u16, a: leaf.0, ..Record::default() });
    }
}

fn skip_init(run: &mut Run) {
    let enter = run.enter(3, Leaf::LP_INIT);
    let exit = run.exit(enter);
    run.records.remove(exit);
    run.records.remove(enter);
}

fn install_twice(run: &mut Run) {
    let enter = run.enter(2, Leaf::INSTALL);
    let after = run.exit(enter) + 1;
    run.insert_call(after, 2, Leaf::INSTALL);
}

/// The last acknowledgement of `CPU_INSTALL` comes after the state advanced.
fn advance_early(run: &mut Run) {
    let advance = run.state(3);
    let last_ack = run.records[..advance].iter().rposition(|r| r.kind == Kind::Watch as u16 && r.a == 1).unwrap();
    run.shift(last_ack, advance);
}

/// The last CPU to install does so when another is in `CPU_INIT` already.
fn install_late(run: &mut Run) {
    let last = *run.installers().last().unwrap();
    let enter = run.enter(last, Leaf::INSTALL);
    let exit = run.exit(enter);
    let later = run.find(exit, |e| e.what == What::CallEnter(Leaf::SYS_INIT));
    run.shift(exit, later);
    run.shift(enter, later - 1);
}

/// The last CPU to see SHUTDOWN runs it as well, before it acknowledges.
fn shut_down_elsewhere(run: &mut Run) {
    let advance = run.state(2);
    let loads_shutdown =
        |r: &Record| r.kind == Kind::Watch as u16 && (r.a, r.b, r.flags & flags::STORE) == (0, 1, 0) && r.lp != 0;
    let seen = run.records[..advance].iter().rposition(loads_shutdown).unwrap();
    run.insert_call(seen + 1, run.records[seen].lp, Leaf::SHUTDOWN);
}

fn foreign_call(run: &mut Run) {
    let enter = run.enter(1, Leaf::INSTALL);
    run.insert_call(enter, 1, Leaf::SEAMLDR_INFO);
}

fn interrupts_on(run: &mut Run) {
    let enter = run.enter(1, Leaf::INSTALL);
    run.records[enter].flags |= flags::IF;
}

/// The second CPU to install enters while the first is inside.
fn two_inside(run: &mut Run) {
    let order = run.installers();
    let first = run.exit(run.enter(order[0], Leaf::INSTALL));
    let second = run.enter(order[1], Leaf::INSTALL);
    run.shift(second, first);
}

fn hang_in_install(run: &mut Run) {
    let enter = run.enter(2, Leaf::INSTALL);
    run.records.truncate(enter + 1);
    run.end = RunEnd::Hung { what: "update 1".into() };
}

fn fail_and_go_on(run: &mut Run) {
    let enter = run.enter(1, Leaf::INSTALL);
    let exit = run.exit(enter);
    run.records[exit].b = 0x8000_0000_0002_0001;
}

fn alter_a_td(run: &mut Run) {
    let digest = |b, c| Record { kind: Kind::TdDigest as u16, a: 0x1234_5000, b, c, ..Record::default() };
    let shutdown = run.exit(run.enter(0, Leaf::SHUTDOWN));
    run.insert(shutdown, digest(1, 1));
    let update = run.exit(run.enter(0, Leaf::UPDATE));
    run.insert(update, digest(2, 2));
}

/// The recorded run has no load, so one that demands it misses it.
fn demand_load(run: &mut Run) {
    run.setup.load.concurrency = true;
}

fn lose_a_cpu(run: &mut Run) {
    let load = run.find(run.state(2), |e| {
        matches!(e.what, What::Load(Word::NumOnline, _)) || e.what == What::Store(Word::State, 3)
    });
    let online = run.setup.watches.iter().position(|w| w.name == run.setup.subject.num_online).unwrap() as u64;
    let lp = run.records[load].lp;
    run.insert(load, Record { lp, kind: Kind::Watch as u16, a: online, b: 1, ..Record::default() });
}

fn warn(run: &mut Run) {
    let line = run.console.last_mut().unwrap();
    *line = "[    3.1] WARNING: CPU: 1 PID: 42 at kernel/smp.c:1 smp_call+0x1/0x2".into();
}

#[rstest]
#[case::skip_init(skip_init, Invariant::Participation)]
#[case::install_twice(install_twice, Invariant::Participation)]
#[case::advance_early(advance_early, Invariant::Lockstep)]
#[case::install_late(install_late, Invariant::Lockstep)]
#[case::shut_down_elsewhere(shut_down_elsewhere, Invariant::LeadOnly)]
#[case::foreign_call(foreign_call, Invariant::UpdateOnly)]
#[case::interrupts_on(interrupts_on, Invariant::InterruptsOff)]
#[case::two_inside(two_inside, Invariant::SerialLoader)]
#[case::hang_in_install(hang_in_install, Invariant::Progress)]
#[case::fail_and_go_on(fail_and_go_on, Invariant::StopOnFailure)]
#[case::alter_a_td(alter_a_td, Invariant::Preservation)]
#[case::demand_load(demand_load, Invariant::Concurrency)]
#[case::lose_a_cpu(lose_a_cpu, Invariant::StableCpus)]
#[case::warn(warn, Invariant::QuietKernel)]
fn an_edit_is_caught_by_its_invariant(
    #[values(4, 16)] lps: u16,
    #[case] edit: fn(&mut Run),
    #[case] invariant: Invariant,
) {
    let mut run = Run::recorded(lps);
    edit(&mut run);
    let breaches = run.judge().breaches();
    let broken: BTreeSet<Invariant> = breaches.iter().map(|b| b.invariant).collect();
    assert_eq!(broken, [invariant].into(), "{breaches:#?}");
}

#[rstest]
fn everything_holds_as_recorded(#[values(4, 16)] lps: u16) {
    let checked =
        check(&data(&format!("in-tree-{lps}.events.bin")), Some(&data(&format!("in-tree-{lps}.kmsg.log")))).unwrap();
    assert_eq!((checked.end, checked.cut_short), (RunEnd::Finished, false));
    assert_eq!(checked.findings.invariants, Run::recorded(lps).judge().invariants);
    let unseen = [Invariant::StopOnFailure, Invariant::Preservation, Invariant::Concurrency];
    for (invariant, finding) in &checked.findings.invariants {
        let expected = if unseen.contains(invariant) { Standing::NotApplicable } else { Standing::Held };
        assert_eq!(finding.standing(), expected, "{invariant}");
    }
}

#[rstest]
fn the_picture_shows_every_step_of_every_cpu(#[values((4, 1), (16, 2))] (lps, updates): (u16, usize)) {
    let run = Run::recorded(lps);
    let scene = Scene::of(&run.setup, run.records.clone(), &run.console);
    assert!(scene.guest_time && scene.updates.len() == updates);
    for lane in &scene.lanes {
        assert_eq!(lane.steps.len(), 5 * updates, "CPU {}", lane.lp);
        assert!(lane.steps.iter().all(|s| s.acked_ns.is_some_and(|acked| s.begin_ns <= acked && acked <= s.end_ns)));
        assert!(lane.calls.iter().all(|c| c.end_ns.is_some()));
        let installs = lane.calls.iter().filter(|c| c.leaf == "INSTALL" && c.status.is_none());
        assert_eq!(installs.count(), updates);
    }
    let handovers: usize = scene.handovers.iter().map(|h| h.to.len()).sum();
    assert_eq!(handovers, updates * 4 * (usize::from(lps) - 1));
    let verdict = Verdict::new(Facts::default(), &run.judge(), &run.end);
    assert!(perfetto(&scene, &verdict).len() > 5_000);
}

/// LP 2's INSTALL was made to fail: a kernel that stops is right, and is judged so.
#[test]
fn a_failed_update_stops() {
    let checked = check(&data("install-fails-4.events.bin"), None).unwrap();
    let findings = &checked.findings;
    assert_eq!(findings.breaches(), []);
    for invariant in [Invariant::StopOnFailure, Invariant::Lockstep, Invariant::Progress, Invariant::UpdateOnly] {
        assert_eq!(findings.invariants[&invariant].standing(), Standing::Held, "{invariant}");
    }
    assert_eq!(findings.invariants[&Invariant::QuietKernel].standing(), Standing::NotApplicable);
}

/// LP 3's LP.INIT was made never to return: it, and no other CPU, is said to keep the rest waiting.
#[test]
fn a_hang_names_the_cpu_that_causes_it() {
    let checked = check(&data("never-returns-4.events.bin"), None).unwrap();
    assert!(matches!(checked.end, RunEnd::Hung { .. }));
    let breaches = checked.findings.breaches();
    assert_eq!(breaches.len(), 1, "{breaches:#?}");
    assert_eq!((breaches[0].invariant, breaches[0].lps.as_slice()), (Invariant::Progress, [3].as_slice()));
    assert_eq!(breaches[0].step, Some(rig_judge::Step::CpuInit));
}
