//! What a breach says was expected and seen, and what it cites.

use super::edit::{call, insert, last_call, stores, why_not};
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_judge::{Breach, Invariant, Step};
use rstest::rstest;

const EBADHASH: u64 = 0x8000_0000_0002_0001;

fn twisted(twist: Twist) -> Synthetic {
    Synthetic::new(4).boot().twist(twist).update()
}

fn breach(run: &Synthetic, invariant: Invariant) -> Breach {
    let breaches = run.judge().0.breaches();
    breaches.iter().find(|breach| breach.invariant == invariant).unwrap_or_else(|| panic!("{breaches:#?}")).clone()
}

fn sys_init_twice() -> Synthetic {
    let mut run = Synthetic::plain(4, 1);
    let lp = run.records.iter().rev().find(|r| Leaf::of(r) == Leaf::SYS_INIT && r.kind == 1).unwrap().lp;
    let (enter, exit) = last_call(&run, lp, Leaf::SYS_INIT);
    let again = [run.records[enter], run.records[exit]];
    insert(&mut run, exit + 1, again);
    run
}

#[rstest]
#[case(
    twisted(Twist::InitTwice),
    Invariant::Participation,
    "SYS.LP.INIT runs once on each CPU in an update",
    "SYS.LP.INIT runs a second time in the same update"
)]
#[case(
    sys_init_twice(),
    Invariant::Participation,
    "SYS.INIT runs once on one CPU in an update",
    "SYS.INIT runs a second time in the same update"
)]
#[case(
    twisted(Twist::InstallBehind),
    Invariant::Participation,
    "INSTALL runs inside the lockstep section of an update",
    "CPU 0 runs INSTALL outside"
)]
#[case(
    twisted(Twist::RetryForEver),
    Invariant::Participation,
    "SYS.INIT is given up after 10 calls without entropy",
    "CPU "
)]
#[case(
    twisted(Twist::Skip(Leaf::SHUTDOWN)),
    Invariant::LeadOnly,
    "SYS.SHUTDOWN runs once, on CPU 0, the lead, and succeeds",
    "SYS.SHUTDOWN did not run to its end"
)]
#[case(
    twisted(Twist::Skip(Leaf::SYS_INIT)),
    Invariant::LeadOnly,
    "SYS.INIT runs once, on one CPU, and succeeds",
    "SYS.INIT did not run to its end"
)]
#[case(
    twisted(Twist::UpdateTwice),
    Invariant::LeadOnly,
    "SYS.UPDATE runs once in an update",
    "SYS.UPDATE runs a second time in the same update"
)]
#[case(
    twisted(Twist::UpdateBehind),
    Invariant::LeadOnly,
    "SYS.UPDATE runs once, on CPU 0, the lead, and succeeds",
    "SYS.UPDATE did not run"
)]
#[case(twisted(Twist::OneStateMore), Invariant::Lockstep, "the CPUs leave when DONE is acknowledged", "CPU ")]
#[case(
    twisted(Twist::StateBackwards(Step::CpuInit)),
    Invariant::Lockstep,
    "the state only ever goes up by one",
    "CPU 0 stores CPU_INSTALL while the state is CPU_INIT"
)]
#[case(
    twisted(Twist::AckUnread(Step::CpuInit)),
    Invariant::Lockstep,
    "each CPU reads a state before it acknowledges it",
    "CPU 3 acknowledges CPU_INIT, and the last state that it read is CPU_INSTALL"
)]
#[case(
    twisted(Twist::LeaveAfter(Step::RunUpdate)),
    Invariant::Lockstep,
    "the state goes from SHUTDOWN to DONE, and each CPU acknowledges DONE before it leaves",
    "they left in DONE without an acknowledgement"
)]
#[case(
    twisted(Twist::ForeignCall(Step::CpuInit)),
    Invariant::UpdateOnly,
    "from SHUTDOWN's start to UPDATE's end only the update's own SEAMCALLs run",
    "CPU 3, inside the section, runs SYS.RDALL"
)]
#[case(
    twisted(Twist::Hotplug),
    Invariant::StableCpus,
    "no CPU comes or goes during an update",
    "CPU 3 changes the online set"
)]
fn a_breach_says_what_was_expected_and_seen(
    #[case] run: Synthetic,
    #[case] invariant: Invariant,
    #[case] expected: &str,
    #[case] seen: &str,
) {
    let breach = breach(&run, invariant);
    assert_eq!(breach.expected, expected);
    assert!(breach.seen.starts_with(seen), "{}", breach.seen);
}

/// The event that begins a second section is what is cited of it.
#[test]
fn a_second_section_is_cited_by_its_first_event() {
    let run = twisted(Twist::SecondSection);
    let breach = breach(&run, Invariant::Participation);
    assert_eq!(
        (breach.expected.as_str(), breach.seen.as_str()),
        ("one upload makes one update", "another update begins in the same upload")
    );
    let state = run.setup.subject.state.clone();
    let begins: Vec<usize> = (0..run.records.len())
        .filter(|at| stores(&run, &run.records[*at], &state) && run.records[*at].b == 1)
        .collect();
    assert_eq!(breach.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [begins[1] as u64]);
}

/// The lead's calls belong to an update, and to the section.
#[test]
fn a_shutdown_outside_the_section_is_caught() {
    let mut run = Synthetic::plain(4, 1);
    run.records.extend(call(0, Leaf::SHUTDOWN, 0));
    run.renumber();
    let breach = breach(&run, Invariant::LeadOnly);
    assert_eq!(breach.expected, "SYS.SHUTDOWN runs inside the lockstep section of an update");
    assert_eq!(breach.seen, "CPU 0 runs SYS.SHUTDOWN outside");
}

/// Why something was not judged is told by what was missing of it.
#[rstest]
#[case(Synthetic::plain(4, 0), Invariant::Lockstep, "no update was seen")]
#[case(Synthetic::plain(4, 1), Invariant::StopOnFailure, "no CPU failed in an update")]
#[case(Synthetic::new(4).boot().twist(Twist::UntoldOutcome).fault(Leaf::INSTALL, 2, EBADHASH).update(), Invariant::StopOnFailure, "a CPU failed, and what the uploader was told of it was not read back")]
#[case(Synthetic::new(4).boot().fault(Leaf::SHUTDOWN, 0, EBADHASH).update(), Invariant::Participation, "no update got past a step of all CPUs")]
#[case(Synthetic::new(4).boot().fault(Leaf::SHUTDOWN, 0, EBADHASH).update(), Invariant::LeadOnly, "no update got past SHUTDOWN")]
#[case(Synthetic::new(4).boot().fault(Leaf::SHUTDOWN, 0, EBADHASH).update(), Invariant::Lockstep, "no update went from one step to the next")]
#[case(Synthetic::plain(4, 1), Invariant::Preservation, "no TD lived through an update")]
fn an_invariant_that_was_not_judged_says_why(#[case] run: Synthetic, #[case] invariant: Invariant, #[case] why: &str) {
    assert_eq!(why_not(&run.judge().0, invariant), why);
}
