//! What the picture of a run shows, and what it leaves out.

use super::edit::call;
use rig_judge::scene::{Lane, Scene};
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_judge::{Setup, Step, SubjectNames};
use rig_wire::event::{Kind, Mark, NO_LP, Record};
use rstest::rstest;

/// Of calls outside updates a run under load has more than anybody looks at: the first twenty thousand are drawn.
#[test]
fn too_many_calls_are_left_out_and_counted() {
    let mut run = Synthetic::new(2);
    run.records = (0..20_003).flat_map(|n| call(n % 2, Leaf::VP_ENTER, 0)).collect();
    run.renumber();
    let scene = Scene::of(&run.setup, run.records.clone(), &run.console);
    assert_eq!((scene.lanes[0].calls.len(), scene.lanes[1].calls.len(), scene.calls_left_out), (10_000, 10_000, 3));
}

/// Whether the guest's clock was read is a property of the run: its first event of the guest decides, and no other.
#[test]
fn the_guests_first_event_says_whether_its_clock_was_read() {
    let mark = Record { kind: Kind::Mark as u16, lp: NO_LP, ..Record::default() };
    let idle = |guest_ns: u64| Record { kind: Kind::Idle as u16, guest_ns, ..Record::default() };
    let has_time = |records: [Record; 3]| Scene::of(&Setup::new(1, SubjectNames::in_tree()), records, &[]).guest_time;
    assert!(has_time([mark, idle(5), idle(0)]));
    assert!(!has_time([mark, idle(0), idle(5)]));
}

/// Where the state is watched, a step begins for a CPU when it reads the state, and not with a SEAMCALL.
#[test]
fn a_cpu_that_has_not_read_the_state_is_in_no_such_step() {
    let run = Synthetic::new(3).boot().twist(Twist::AckUnread(Step::CpuInstall)).update();
    let scene = Scene::of(&run.setup, run.records.clone(), &run.console);
    let begins_before_its_call = |lane: &Lane| {
        let call = lane.calls.iter().find(|call| call.leaf == "INSTALL").unwrap();
        lane.steps.iter().any(|slice| slice.step == Step::CpuInstall && slice.begin_ns <= call.begin_ns)
    };
    assert_eq!(scene.lanes.iter().map(begins_before_its_call).collect::<Vec<_>>(), [true, true, false]);
}

const DEAD: u64 = 0x4000_0002_0000_0000;
const BUSY: u64 = 0x8000_0202_0000_0000;

/// A TD's exit without the error bit is no failure of the call; the same number from another leaf is one.
#[rstest]
#[case(Leaf::VP_ENTER, 0, false)]
#[case(Leaf::VP_ENTER, DEAD, false)]
#[case(Leaf::VP_ENTER, BUSY, true)]
#[case(Leaf::SYS_RD, 0, false)]
#[case(Leaf::SYS_RD, DEAD, true)]
fn a_calls_status_is_shown_if_it_failed(#[case] leaf: Leaf, #[case] status: u64, #[case] is_shown: bool) {
    let mut run = Synthetic::new(1);
    run.records = call(0, leaf, 0).to_vec();
    run.records[1].b = status;
    run.renumber();
    let scene = Scene::of(&run.setup, run.records.clone(), &run.console);
    assert_eq!(scene.lanes[0].calls[0].status.is_some(), is_shown, "{:?}", scene.lanes[0].calls[0]);
}

/// Marks, holds, changes of the module's state and instructions that the emulator could not follow are moments. The run's end
/// is none, and neither is a CPU that goes idle.
#[test]
fn what_happens_at_one_point_is_a_moment() {
    let mark = |mark: Mark| Record { kind: Kind::Mark as u16, a: mark as u64, lp: NO_LP, ..Record::default() };
    let of = |kind: Kind| Record { kind: kind as u16, ..Record::default() };
    let kinds = [Kind::HoldBegin, Kind::HoldEnd, Kind::ModuleState, Kind::Unknown, Kind::Idle].map(of);
    let records = [mark(Mark::Ready)].into_iter().chain(kinds).chain([mark(Mark::RunEnd)]);
    let scene = Scene::of(&Setup::new(1, SubjectNames::in_tree()), records, &[]);
    let whats: Vec<&str> = scene.moments.iter().map(|moment| moment.what.as_str()).collect();
    assert_eq!(whats.len(), 5, "{whats:?}");
    assert_eq!(whats[..3], ["the agent is ready", "hold 0 begins", "hold 0 ends"]);
}

/// A call ends with the first end of its own leaf.
#[test]
fn a_call_is_ended_once_and_by_its_own_leaf() {
    let [enter, exit] = call(0, Leaf::SYS_RD, 0);
    let [_, other] = call(0, Leaf::SYS_INIT, 0);
    let end = |ends: [Record; 2]| {
        let records = [enter, ends[0], ends[1]].into_iter().zip(1..);
        let records = records.map(|(record, n)| Record { guest_ns: n * 10, ..record });
        Scene::of(&Setup::new(1, SubjectNames::in_tree()), records, &[]).lanes[0].calls[0].end_ns
    };
    assert_eq!(end([other, exit]), Some(30));
    assert_eq!(end([exit, exit]), Some(20));
    assert_eq!(end([other, other]), None);
}
