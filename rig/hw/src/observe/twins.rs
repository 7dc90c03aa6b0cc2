//! What probes report of an update by two CPUs, line by line, and of busted ones: exactly the broken invariant must be found.

use super::records::Converter;
use super::trace::parse;
use crate::facts::Facts;
use crate::fake::Fake;
use rig_judge::{Findings, Invariant, Judge, RunEnd, Setup, Standing};
use rig_wire::plan::{Function, Watch};
use rstest::rstest;
use std::collections::BTreeSet;

/// CPU and event, in their order. Leaves: SHUTDOWN, INSTALL, SYS.INIT, LP.INIT, UPDATE.
const SOUND: [&str; 43] = [
    "0 enter1 a=0x1 b=0x0",
    "1 enter1 a=0x1 b=0x0",
    "0 enter0 a=0x1 b=0x0",
    "1 enter0 a=0x1 b=0x0",
    "0 saw2 state=0x1",
    "1 saw2 state=0x1",
    "1 ack0 ack=0x1 failed=0x0",
    "0 call fn=0x34 fl=0x46",
    "0 end ret=0x0",
    "0 ack0 ack=0x2 failed=0x0",
    "0 state1 state=0x2",
    "0 saw2 state=0x2",
    "1 saw2 state=0x2",
    "0 call fn=0x8000000000000001 fl=0x46",
    "0 end ret=0x0",
    "1 call fn=0x8000000000000001 fl=0x46",
    "1 end ret=0x0",
    "0 ack0 ack=0x1 failed=0x0",
    "1 ack0 ack=0x2 failed=0x0",
    "1 state1 state=0x3",
    "1 saw2 state=0x3",
    "0 saw2 state=0x3",
    "1 call fn=0x21 fl=0x46",
    "1 end ret=0x0",
    "1 call fn=0x23 fl=0x46",
    "0 call fn=0x23 fl=0x46",
    "0 end ret=0x0",
    "1 end ret=0x0",
    "0 ack0 ack=0x1 failed=0x0",
    "1 ack0 ack=0x2 failed=0x0",
    "1 state1 state=0x4",
    "0 saw2 state=0x4",
    "1 saw2 state=0x4",
    "1 ack0 ack=0x1 failed=0x0",
    "0 call fn=0x10035 fl=0x46",
    "0 end ret=0x0",
    "0 ack0 ack=0x2 failed=0x0",
    "0 state1 state=0x5",
    "0 saw2 state=0x5",
    "1 saw2 state=0x5",
    "0 ack0 ack=0x1 failed=0x0",
    "1 ack0 ack=0x2 failed=0x0",
    "1 state1 state=0x6",
];

/// How both leave.
const LEAVE: [&str; 4] = ["0 leave0 ret=0x0", "1 leave0 ret=0x0", "0 leave1 ret=0x0", "1 leave1 ret=0x0"];

fn setup() -> Setup {
    let fake = Fake::new();
    let watch = |name: &&str| Watch { name: (*name).into(), address: 0, size: 4, within: Vec::new() };
    let function = |name: &&str| Function { name: (*name).into(), range: (0, 0) };
    Setup {
        lps: 2,
        online: vec![0, 1],
        watches: super::WORDS.iter().map(watch).collect(),
        functions: super::FUNCTIONS.iter().map(function).collect(),
        unobservable: super::unobservable(&fake.host(), true),
        ..super::setup(&fake.host(), &Facts::of(&fake.host()), None)
    }
}

fn judge(lines: &[String]) -> Findings {
    let text: String = lines.iter().enumerate().fold(String::new(), |text, (time, line)| {
        let (cpu, rest) = line.split_once(' ').unwrap();
        let (event, values) = rest.split_once(' ').unwrap();
        let operands = if event == "call" { " rcx=0x0 rdx=0x0 r8=0x0" } else { "" };
        text + &format!("m/{cpu}-1 [00{cpu}] d.... {time}: {event}: (f+0x0/0x1) {values}{operands}\n")
    });
    let trace = parse(&text);
    assert_eq!(trace.garbage, None);
    let mut converter = Converter::new(2);
    let mut judge = Judge::new(setup());
    trace.lines.iter().for_each(|line| converter.take(line, line.time));
    let (records, unreadable) = converter.finish();
    assert_eq!(unreadable, 0);
    for (record, seq) in records.into_iter().zip(0..) {
        judge.observe(&rig_wire::event::Record { seq, ..record });
    }
    judge.finish(&RunEnd::Finished)
}

fn sound() -> Vec<String> {
    SOUND.iter().chain(&LEAVE).map(ToString::to_string).collect()
}

#[test]
fn a_sound_update_holds() {
    let findings = judge(&sound());
    assert_eq!(findings.breaches(), []);
    for invariant in [
        Invariant::Participation,
        Invariant::Lockstep,
        Invariant::LeadOnly,
        Invariant::UpdateOnly,
        Invariant::InterruptsOff,
        Invariant::SerialLoader,
        Invariant::Progress,
        Invariant::StableCpus,
    ] {
        assert_eq!(findings.invariants[&invariant].standing(), Standing::Held, "{invariant:?}");
    }
    for invariant in [Invariant::Preservation, Invariant::Concurrency] {
        assert_eq!(findings.invariants[&invariant].standing(), Standing::NotApplicable, "{invariant:?}");
    }
}

fn wrong_lead(lines: &mut Vec<String>) {
    let on_cpu_1 = ["1 call fn=0x34 fl=0x46", "1 end ret=0x0", "1 ack0 ack=0x1 failed=0x0"];
    lines.splice(6..9, on_cpu_1.map(str::to_owned));
}

#[rstest]
// The state advances before CPU 1 acknowledged.
#[case::early(|l: &mut Vec<String>| l.swap(18, 19), Invariant::Lockstep)]
// An acknowledgement is lost.
#[case::lost_ack(|l: &mut Vec<String>| l[18] = "1 ack0 ack=0x1 failed=0x0".into(), Invariant::Lockstep)]
// CPU 1 installs while CPU 0 is inside.
#[case::unlocked(|l: &mut Vec<String>| l.swap(14, 15), Invariant::SerialLoader)]
#[case::interrupts(|l: &mut Vec<String>| l[13] = l[13].replace("0x46", "0x246"), Invariant::InterruptsOff)]
// CPU 1 makes the lead's step.
#[case::wrong_lead(wrong_lead, Invariant::LeadOnly)]
// A SEAMCALL that is no part of an update: TDH.MNG.CREATE.
#[case::stranger(|l: &mut Vec<String>| l.insert(22, "0 call fn=0x9 fl=0x46".into()), Invariant::UpdateOnly)]
#[case::twice(|l: &mut Vec<String>| l[25] = "0 call fn=0x21 fl=0x46".into(), Invariant::Participation)]
// A CPU comes online.
#[case::hotplug(|l: &mut Vec<String>| l.insert(20, "0 enter2 a=0x3 b=0x1".into()), Invariant::StableCpus)]
fn a_busted_one_is_caught(#[case] bust: fn(&mut Vec<String>), #[case] expected: Invariant) {
    let mut lines = sound();
    bust(&mut lines);
    let broken: BTreeSet<Invariant> = judge(&lines).breaches().iter().map(|b| b.invariant).collect();
    assert_eq!(broken, [expected].into());
}
