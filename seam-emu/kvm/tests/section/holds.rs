//! vCPUs that are held at a place.

use crate::harness::case::Case;
use crate::harness::kernel::{NUM_ACK, STATE};
use crate::harness::outcome::Outcome;
use crate::updates::assert_held;
use rig_wire::event::{HoldEnd, Kind, Record};
use rig_wire::plan::{Hold, HoldStart, Point, Since, Until};
use rstest::rstest;
use seam_emu::abi::Leaf;
use seam_kvm::SetupError;
use std::time::Duration;

const HELD_NS: u64 = 30_000_000;

fn hold(lp: u16, at: Point, until: Until) -> Hold {
    Hold { lp, at, nth: 1, from: HoldStart::Section, until, limit_ns: 10_000_000_000 }
}

fn install() -> Point {
    Point::SeamcallEnter { leaf: Leaf::LdrInstall.number() }
}

/// When the hold began and ended, and how.
fn held(outcome: &Outcome) -> (Record, Record) {
    let find = |kind: Kind| *outcome.records.iter().find(|r| r.kind == kind as u16).expect("the hold came to pass");
    (find(Kind::HoldBegin), find(Kind::HoldEnd))
}

/// The vCPU stands there for the time that was asked for, though its owner wants the thread back all the time, and then
/// goes on as if nothing had been.
#[rstest]
#[case::before_a_seamcall(install(), Some(Duration::from_millis(2)))]
#[case::behind_a_seamcall(Point::SeamcallExit { leaf: Leaf::SysLpInit.number() }, Some(Duration::from_millis(2)))]
#[case::before_an_acknowledgement(Point::Store { watch: NUM_ACK }, Some(Duration::from_millis(2)))]
#[case::before_a_look_at_the_state(Point::Load { watch: STATE }, Some(Duration::from_millis(2)))]
#[case::behind_a_look_at_the_state(Point::Saw { watch: STATE, value: 3 }, Some(Duration::from_millis(2)))]
#[case::without_kicks(install(), None)]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn a_held_vcpu_stays_beneath_kicks(#[case] at: Point, #[case] kicks: Option<Duration>) {
    let schedules = vec![vec![hold(1, at, Until::ElapsedNs(HELD_NS))]];
    let outcome = Case { schedules, kicks, ..Case::new(2) }.go().unwrap();
    assert!(outcome.succeeded(1), "{:?}", outcome.walks);
    assert_held(&outcome);
    let (began, ended) = held(&outcome);
    assert_eq!((began.lp, ended.lp, ended.b), (1, 1, HoldEnd::Satisfied as u64));
    assert!(ended.host_ns - began.host_ns >= HELD_NS);
    assert_eq!(kicks.is_some(), outcome.kicks > 2, "{} kicks", outcome.kicks);
    // The vCPU did nothing meanwhile.
    let between = outcome.records.iter().filter(|r| (began.seq + 1..ended.seq).contains(&r.seq));
    assert_eq!(between.filter(|r| r.lp == 1).count(), 0);
}

#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn a_hold_lasts_until_another_vcpu_has_passed() {
    // No lock of the kernel is held around this call.
    let leaf = Leaf::SysLpInit.number();
    let until = Until::Passed { lp: 0, at: Point::SeamcallExit { leaf }, nth: 1, since: Since::Update };
    let held = hold(1, Point::SeamcallEnter { leaf }, until);
    let outcome = Case { schedules: vec![vec![held]], ..Case::new(2) }.go().unwrap();
    assert!(outcome.succeeded(1));
    assert_held(&outcome);
    let of = |kind: Kind| {
        let is_it = |r: &&Record| r.kind == kind as u16 && r.a == leaf;
        outcome.records.iter().filter(is_it).map(|r| r.lp).collect::<Vec<_>>()
    };
    assert_eq!((of(Kind::SeamcallEnter), of(Kind::SeamcallExit)), (vec![0, 1], vec![0, 1]));
}

/// Each update has its own holds.
#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn holds_are_of_one_update() {
    let once = vec![hold(0, install(), Until::ElapsedNs(1_000_000))];
    let case = Case { schedules: vec![vec![], once, vec![]], updates: 3, ..Case::new(2) };
    let outcome = case.go().unwrap();
    assert!(outcome.succeeded(3));
    let (began, _) = held(&outcome);
    let before = outcome.records.iter().filter(|r| r.seq < began.seq && r.kind == Kind::Mark as u16).count();
    assert_eq!(before, 3, "the first update's begin and end, and the second one's begin");
    assert_eq!(outcome.records.iter().filter(|r| r.kind == Kind::HoldBegin as u16).count(), 1);
}

/// A hold where no vCPU leaves the guest would never begin, without a word.
#[test]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn a_hold_where_no_site_is_is_refused() {
    let refused = [
        hold(0, Point::Pause, Until::ElapsedNs(1)),
        hold(0, Point::Pc { address: 0x1000 }, Until::ElapsedNs(1)),
        hold(0, Point::Store { watch: 3 }, Until::ElapsedNs(1)),
        hold(0, install(), Until::Instructions { lp: 1, count: 1 }),
        hold(0, install(), Until::Passed { lp: 1, at: Point::Pause, nth: 1, since: Since::Update }),
    ];
    for hold in refused {
        let error = Case { schedules: vec![vec![hold.clone()]], ..Case::new(1) }.prepare().err();
        assert!(matches!(error, Some(SetupError::Hold(_))), "{hold:?}: {error:?}");
    }
}
