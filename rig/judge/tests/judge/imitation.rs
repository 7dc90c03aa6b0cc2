//! The imitated kernel does what its faults say, and nothing else.

use super::edit::{is_mark, last_call};
use rig_judge::SubjectNames;
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_wire::event::{Kind, Mark, NO_LP, Record, flags};
use rstest::rstest;

const EBADHASH: u64 = 0x8000_0000_0002_0001;
const DEAD: u64 = 0x4000_0002_0000_0000;

/// Each TD's digests: which TD, at SHUTDOWN (1) or UPDATE (2), and the digest.
fn digests(twist: Option<Twist>) -> Vec<(u64, u64, u64)> {
    let run = twist.into_iter().fold(Synthetic::new(4).boot().tds(2), Synthetic::twist).update();
    let all = run.records.iter().filter(|r| r.kind == Kind::TdDigest as u16);
    all.map(|r| ((r.a - 0x1_0000_0000) / 0x10_0000, r.c, r.b)).collect()
}

#[rstest]
#[case::sound(None, &[(0, 1, 0), (1, 1, 1), (0, 2, 0), (1, 2, 1)])]
#[case::altered(Some(Twist::AlteredTd), &[(0, 1, 0), (1, 1, 1), (0, 2, 1), (1, 2, 1)])]
#[case::lost(Some(Twist::LostTd), &[(0, 1, 0), (1, 1, 1), (1, 2, 1)])]
fn tds_have_digests_at_shutdown_and_update(#[case] twist: Option<Twist>, #[case] expected: &[(u64, u64, u64)]) {
    let expected: Vec<_> = expected.iter().map(|(td, when, more)| (*td, *when, 0xd19e_5700 + more)).collect();
    assert_eq!(digests(twist), expected);
}

/// The CPU that failed, and no other, returns an error from the section; entries carry no value.
#[test]
fn a_cpu_that_failed_returns_an_error() {
    let run = Synthetic::new(4).boot().fault(Leaf::INSTALL, 2, EBADHASH).update();
    let values = |kind: Kind| {
        let all = run.records.iter().filter(move |r| r.kind == kind as u16);
        all.filter(|r| r.b != 0).map(|r| (r.lp, r.a, (r.b as u32).cast_signed())).collect::<Vec<_>>()
    };
    assert_eq!(values(Kind::FunctionExit), [(2, 0, -5), (2, 1, -5)]);
    assert_eq!(values(Kind::FunctionEnter), []);
}

/// TDs that die do so in the update.
#[test]
fn tds_live_until_the_update() {
    let run = Synthetic::new(4).boot().tds(2).twist(Twist::DeadTd);
    let run = run.tds(2).update();
    let exits = run.records.iter().filter(|r| Leaf::of(r) == Leaf::VP_ENTER && r.kind == Kind::SeamcallExit as u16);
    assert_eq!(exits.map(|r| r.b).collect::<Vec<_>>(), [0, 0, 0, 0, DEAD, DEAD]);
}

/// Durations lie within what each kind of call is given, and no two runs of one seed differ.
#[test]
fn calls_take_their_time() {
    let run = Synthetic::plain(4, 1);
    for (leaf, lp, base_ns) in [
        (Leaf::SHUTDOWN, 0, 400_000),
        (Leaf::INSTALL, 3, 120_000),
        (Leaf::LP_INIT, 2, 40_000),
        (Leaf::UPDATE, 0, 900_000),
    ] {
        let (enter, exit) = last_call(&run, lp, leaf);
        let took_ns = run.records[exit].guest_ns - run.records[enter].guest_ns;
        assert!((base_ns..base_ns * 3 / 2).contains(&took_ns), "{}: {took_ns}", leaf.name());
    }
    assert_eq!(run.records, Synthetic::plain(4, 1).records);
}

/// Another seed draws other durations; the same seed twice is none, so that each of a seed's bits counts.
#[test]
fn seeds_draw_durations() {
    let of = |seeds: &[u64]| seeds.iter().copied().fold(Synthetic::new(2), Synthetic::seed).boot().update().records;
    let plain = of(&[]);
    for seed in [1, 5, u64::MAX] {
        assert_ne!(of(&[seed]), plain, "{seed}");
        assert_eq!(of(&[seed, seed]), plain, "{seed}");
    }
}

/// The console's lines have the guest's time, as the kernel prints it.
#[test]
fn console_lines_are_stamped() {
    let run = Synthetic::plain(1, 1);
    let lines: Vec<&Record> = run.records.iter().filter(|r| r.kind == Kind::Console as u16).collect();
    assert_eq!(lines.len(), run.console.len());
    for (n, record) in lines.into_iter().enumerate() {
        assert_eq!(record.lp, NO_LP);
        assert_eq!(record.a, n as u64);
        let (s, us) = (record.guest_ns / 1_000_000_000, record.guest_ns / 1000 % 1_000_000);
        assert!(run.console[n].starts_with(&format!("[{s:5}.{us:06}] ")), "{}", run.console[n]);
    }
    assert!(run.records.iter().all(|r| r.host_ns < r.guest_ns && r.host_ns >= r.guest_ns / 10 * 9));
    assert!(run.records.iter().all(|r| r.kind != Kind::Mark as u16 || r.lp == NO_LP));
    let marks: Vec<u64> = run.records.iter().filter(|r| is_mark(r, Mark::UpdateBegin)).map(|r| r.b).collect();
    assert_eq!(marks, [1]);
}

/// The CPU that comes online does so while the lead is inside INSTALL.
#[test]
fn a_cpu_comes_online_while_the_lead_installs() {
    let run = Synthetic::new(4).boot().twist(Twist::Hotplug).update();
    let (enter, exit) = last_call(&run, 0, Leaf::INSTALL);
    let comes = |r: &Record| r.kind == Kind::FunctionEnter as u16 && r.a == 2;
    let places: Vec<usize> = (0..run.records.len()).filter(|at| comes(&run.records[*at])).collect();
    assert_eq!(places.len(), 1);
    assert!((enter..exit).contains(&places[0]));
    let record = run.records[places[0]];
    assert_eq!((record.lp, record.c, record.d), (3, 4, 1));
}

/// Without the kernel's lock some CPU meets another inside P-SEAMLDR, and is refused; with it none is.
#[test]
fn the_loader_refuses_whoever_comes_second() {
    let refused = |run: &Synthetic| {
        let both = flags::VMFAIL_INVALID | flags::CONTENDED;
        run.records.iter().filter(|r| Leaf::of(r) == Leaf::INSTALL && r.flags & both == both).count()
    };
    assert!(refused(&Synthetic::new(4).boot().twist(Twist::UnlockedLoader).update()) > 0);
    assert_eq!(refused(&Synthetic::plain(4, 1)), 0);
}

/// Reads name their fields: those of the boot are twelve that follow each other.
#[test]
fn reads_name_their_fields() {
    let run = Synthetic::new(2).boot();
    let reads = run.records.iter().filter(|r| Leaf::of(r) == Leaf::SYS_RD && r.kind == Kind::SeamcallEnter as u16);
    assert_eq!(reads.map(|r| r.c - 0x9100_0001_0000_0008).collect::<Vec<_>>(), (0..12).collect::<Vec<u64>>());
}

/// The same words in the same order have names of the module's own.
#[test]
fn the_modules_words_have_its_names() {
    let names = SubjectNames::kmod(false);
    assert_eq!((names.subject.as_str(), names.install_function.as_str()), ("kmod", "lockstep_run"));
    let words = [names.state, names.num_ack, names.num_failed];
    assert_eq!(words, ["lockstep.step", "lockstep.num_ack", "lockstep.num_failed"]);
    assert!(!names.counts_acks_under_lock && SubjectNames::kmod(true).counts_acks_under_lock);
}

/// How often each CPU begins a call of this leaf.
fn calls_of(run: &Synthetic, leaf: Leaf) -> Vec<usize> {
    let begins = |r: &&Record, lp: u16| r.lp == lp && r.kind == Kind::SeamcallEnter as u16 && Leaf::of(r) == leaf;
    (0..run.setup.lps).map(|lp| run.records.iter().filter(|r| begins(r, lp)).count()).collect()
}

/// The last CPU leaves out its INSTALL, and nothing else.
#[test]
fn the_last_cpu_skips_only_its_install() {
    let run = Synthetic::new(3).boot().twist(Twist::SkipInstall).update();
    assert_eq!(calls_of(&run, Leaf::INSTALL), [1, 1, 0]);
    let plain = Synthetic::plain(3, 1);
    for leaf in [Leaf::SHUTDOWN, Leaf::LP_INIT, Leaf::UPDATE] {
        assert_eq!(calls_of(&run, leaf), calls_of(&plain, leaf), "{}", leaf.name());
    }
    // Once in the boot, and once in the update by whoever comes first.
    assert_eq!(calls_of(&run, Leaf::SYS_INIT).iter().sum::<usize>(), 2);
}

/// SYS.INIT finds no entropy twenty times, and then some.
#[test]
fn sys_init_is_retried_twenty_times() {
    let run = Synthetic::new(2).boot().twist(Twist::RetryForEver).update();
    let in_update = calls_of(&run, Leaf::SYS_INIT).iter().sum::<usize>() - 1;
    assert_eq!(in_update, 21);
    let without = run.records.iter().filter(|r| r.b == 0x8000_0203_0000_0000 && Leaf::of(r) == Leaf::SYS_INIT);
    assert_eq!(without.count(), 20);
}

/// TDs run on the CPUs in turn.
#[test]
fn tds_run_on_the_cpus_in_turn() {
    let run = Synthetic::new(2).tds(5);
    let entries = run.records.iter().filter(|r| r.kind == Kind::SeamcallEnter as u16);
    assert_eq!(entries.map(|r| r.lp).collect::<Vec<_>>(), [0, 1, 0, 1, 0]);
}

/// Calls of the module are refused by nobody, whoever is inside P-SEAMLDR.
#[test]
fn only_the_loader_refuses_who_comes_second() {
    let run = Synthetic::new(4).boot().twist(Twist::UnlockedLoader).update();
    let refused = run.records.iter().filter(|r| r.flags & flags::CONTENDED != 0);
    assert!(refused.map(Leaf::of).all(|leaf| leaf == Leaf::INSTALL));
}

/// Between the first update and the second it sleeps, and runs again behind the second.
#[test]
fn a_td_that_sleeps_once_runs_again() {
    let entries = |run: &Synthetic| calls_of(run, Leaf::VP_ENTER).iter().sum::<usize>();
    let mut run = Synthetic::new(2).boot().tds(1).twist(Twist::TdSleepsOnce);
    for expected in [1, 1, 2] {
        assert_eq!(entries(&run), expected);
        run = run.update();
    }
    assert_eq!(entries(&run), 3);
}

/// What the lead calls behind the section begins when the last CPU has left it.
#[rstest]
#[case(Twist::UpdateBehind, Leaf::UPDATE, 1)]
#[case(Twist::InstallBehind, Leaf::INSTALL, 2)]
fn the_lead_calls_behind_the_section(#[case] twist: Twist, #[case] leaf: Leaf, #[case] calls: usize) {
    let run = Synthetic::new(3).boot().twist(twist).update();
    let left = run.records.iter().rposition(|r| r.kind == Kind::FunctionExit as u16).unwrap();
    assert_eq!(calls_of(&run, leaf)[0], calls);
    assert!(last_call(&run, 0, leaf).0 > left);
}
