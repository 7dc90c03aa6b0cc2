//! CPUs that are outside the section while others update: what they do is not the update's.

use super::edit::{broken, call, insert, last_call, stores};
use rig_judge::synthetic::Synthetic;
use rig_judge::timeline::Leaf;
use rig_judge::{Invariant, Standing};
use rig_wire::event::{Kind, Record, flags};
use rstest::rstest;
use std::collections::BTreeSet;

const EBADHASH: u64 = 0x8000_0000_0002_0001;

/// Four CPUs update, and a fifth is offline at the start.
fn five() -> Synthetic {
    let mut run = Synthetic::plain(4, 1);
    run.setup.lps = 5;
    run
}

/// Where the update is prepared.
fn prepared(run: &Synthetic) -> usize {
    let failed = run.setup.subject.num_failed.clone();
    run.records.iter().position(|r| stores(run, r, &failed)).unwrap()
}

/// A CPU that comes online before SHUTDOWN initialises itself, in vain or not, outside the section.
#[rstest]
fn an_outsider_initialises_itself(#[values(0, EBADHASH)] status: u64) {
    let mut run = five();
    let at = prepared(&run);
    let calls = [Leaf::SYS_INIT, Leaf::LP_INIT].map(|leaf| {
        let [enter, exit] = call(4, leaf, 0);
        [enter, Record { b: status, ..exit }]
    });
    insert(&mut run, at + 1, calls.concat());
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}

/// What it reads and writes of the state machine's words is no acknowledgement and no step.
#[rstest]
#[case::an_acknowledgement(1, 1, flags::STORE)]
#[case::the_first_state(0, 0, flags::STORE)]
#[case::a_state_of_the_update_before(0, 6, 0)]
fn an_outsider_touches_the_words(#[case] word: u64, #[case] value: u64, #[case] flags: u32) {
    let mut run = five();
    let (_, shut_down) = last_call(&run, 0, Leaf::SHUTDOWN);
    let touches = Record { lp: 4, kind: Kind::Watch as u16, flags, a: word, b: value, ..Record::default() };
    insert(&mut run, shut_down + 1, [touches]);
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}

/// CPUs that came and went before the update are known by the kernel's own function, where its arguments are recorded.
#[rstest]
#[case::one_left(5, &[0, 1, 2, 3, 4], &[(4, 0)])]
#[case::one_left_and_the_flag_is_a_byte(5, &[0, 1, 2, 3, 4], &[(4, 0x100)])]
#[case::one_came(4, &[0, 1, 2], &[(3, 1)])]
#[case::one_left_and_came_again(4, &[0, 1, 2, 3], &[(3, 0), (3, 1)])]
#[case::the_boot_cpu_stays(4, &[0, 1, 2, 3], &[(0, 0)])]
fn the_online_set_follows_the_kernel(#[case] lps: u16, #[case] online: &[u16], #[case] changes: &[(u64, u64)]) {
    let mut run = Synthetic::new(4).boot();
    (run.setup.lps, run.setup.online, run.setup.knows_online) = (lps, online.to_vec(), true);
    let function = run.setup.functions.iter().position(|f| f.name == run.setup.subject.set_online_function).unwrap();
    let kind = Kind::FunctionEnter as u16;
    let record = |(c, d): &(u64, u64)| Record { kind, a: function as u64, c: *c, d: *d, ..Record::default() };
    let mut whole = Synthetic::plain(4, 1);
    whole.setup = run.setup.clone();
    let boot = run.records.len();
    insert(&mut whole, boot, changes.iter().map(record));
    let findings = whole.judge().0;
    assert_eq!(broken(&findings), BTreeSet::new(), "{:#?}", findings.breaches());
    assert_eq!(findings.invariants[&Invariant::StableCpus].standing(), Standing::Held);
}

/// By SEAMCALLs alone an update ends with the lead's UPDATE, and a CPU that initialises itself after that is no part of it.
#[test]
fn an_update_ends_with_the_leads_last_call() {
    let mut run = Synthetic::plain(4, 1).seamcalls_only();
    run.records.retain(|r| r.kind != Kind::Mark as u16);
    run.records.extend(call(3, Leaf::LP_INIT, 0));
    run.renumber();
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}

/// By SEAMCALLs alone a read of another CPU during SHUTDOWN is no step of the update that the wrong CPU makes.
#[test]
fn without_the_sections_function_a_foreign_read_is_no_step() {
    let mut run = Synthetic::plain(4, 1).seamcalls_only();
    let (shuts_down, _) = last_call(&run, 0, Leaf::SHUTDOWN);
    insert(&mut run, shuts_down + 1, call(2, Leaf::SYS_RD, 0));
    assert_eq!(broken(&run.judge().0), BTreeSet::from([Invariant::UpdateOnly]));
}

/// The module runs while a CPU is inside P-SEAMLDR, and the other way round, outside updates.
#[test]
fn the_module_and_the_loader_may_overlap() {
    let mut run = Synthetic::new(4).boot();
    let ([info, info_ends], [enter, exit]) = (call(0, Leaf::SEAMLDR_INFO, 0), call(1, Leaf::VP_ENTER, 0));
    let [again, again_ends] = call(2, Leaf::SEAMLDR_INFO, 0);
    run.records.extend([info, enter, info_ends, again, exit, again_ends]);
    run.renumber();
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}

/// SEAMCALLs beside an update are foreign from SHUTDOWN's start to UPDATE's end, and lawful behind it.
#[test]
fn a_call_behind_updates_end_is_not_foreign() {
    let mut run = five();
    let (_, updated) = last_call(&run, 0, Leaf::UPDATE);
    insert(&mut run, updated + 1, call(4, Leaf::VP_ENTER, 0));
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}
