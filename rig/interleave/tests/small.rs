//! The search on machine code of a few bytes, whose states can be counted by hand.

use rig_interleave::Unprovable;
use rig_interleave::contract::{Contract, Contracts, Effect};
use rig_interleave::firmware::Small;
use rig_interleave::image::{ElfImage, Memory, Symbols};
use rig_interleave::local::{Facts, Interpreter, Layout, RETURN, Vcpu, stack};
use rig_interleave::rules::Rule;
use rig_interleave::search::{Explored, Explorer, Job, OneByOne, Options, Section, Workers};
use std::collections::BTreeMap;

const CODE: u64 = 0x1000;
const COUNTER: u64 = 0x2000;

/// lock inc dword [COUNTER]
const LOCK_INC: &[u8] = &[0xf0, 0xff, 0x04, 0x25, 0x00, 0x20, 0x00, 0x00];
/// inc dword [COUNTER]
const INC: &[u8] = &[0xff, 0x04, 0x25, 0x00, 0x20, 0x00, 0x00];
/// l: mov eax, [COUNTER]; cmp eax, 2; jne l
const WAIT_FOR_TWO: &[u8] = &[0x8b, 0x04, 0x25, 0x00, 0x20, 0x00, 0x00, 0x83, 0xf8, 0x02, 0x75, 0xf4];
/// xor eax, eax; ret
const LEAVE: &[u8] = &[0x31, 0xc0, 0xc3];

/// Explores `cpus` CPUs that all run `code`.
fn explore(cpus: usize, code: &[&[u8]], keeps_dead: bool, memory_mib: usize) -> Result<Explored, Unprovable> {
    explore_by(&OneByOne, cpus, code, Options { failures: false, keeps_dead, symmetry: false, memory_mib })
}

/// The same, with workers and options of the caller's choice.
fn explore_by(workers: &dyn Workers, cpus: usize, code: &[&[u8]], options: Options) -> Result<Explored, Unprovable> {
    let symbols = Symbols::new([("counter".into(), COUNTER, 16), ("sleep".into(), 0x1800, 1)]);
    let mut text = code.concat();
    text.resize(0x1000, 0xf4);
    let image = ElfImage::from_parts(vec![(CODE, text), (COUNTER, vec![0; 64])], symbols);
    let mut memory = Memory::new(image);
    let mut starts = Vec::new();
    for cpu in 0..cpus as u8 {
        memory.zero(stack(cpu));
        let top = stack(cpu).end - 0x100;
        memory.fill(top, 8, RETURN)?;
        let mut vcpu = Vcpu::new(cpu, CODE);
        vcpu.registers.gpr[4] = top;
        starts.push(Some(vcpu));
    }
    let sleep = Contract { function: "sleep", effect: Effect::Forbidden, reason: "it sleeps" };
    let contracts = Contracts::new(&[sleep], |_| Some(0x1800));
    let mut interpreter =
        Interpreter::new(memory, contracts, Layout::made(vec![0; cpus]), Facts::new(options.keeps_dead));
    let section = Section { starts, control: None, record: None, nodes: vec![], uploader_results: BTreeMap::new() };
    Explorer::new(&mut interpreter, &Small, &section, options).explore(workers, &mut |_| {})
}

const PLAIN: Options = Options { failures: false, keeps_dead: false, symmetry: false, memory_mib: 64 };

/// Each job on a thread of its own.
struct Threads(usize);

impl Workers for Threads {
    fn count(&self) -> usize {
        self.0
    }

    fn run(&self, jobs: Vec<Job<'_>>) {
        std::thread::scope(|scope| jobs.into_iter().for_each(|job| drop(scope.spawn(job))));
    }
}

/// All of a result that can be compared.
fn outline(explored: &Explored) -> impl PartialEq + std::fmt::Debug + use<> {
    let Explored { states, transitions, depth, ends, returns, finding, .. } = explored.clone();
    (states, transitions, depth, ends, returns.into_iter().collect::<Vec<_>>(), finding)
}

/// Increments that are locked and counted up to by everybody, and increments that are not.
const PROGRAMS: [&[&[u8]]; 3] =
    [&[LOCK_INC, WAIT_FOR_TWO, LEAVE], &[INC, WAIT_FOR_TWO, LEAVE], &[LOCK_INC, INC, LEAVE]];

#[test]
fn the_number_of_workers_changes_nothing() {
    for code in PROGRAMS {
        for cpus in 1..=4 {
            let one = explore_by(&OneByOne, cpus, code, PLAIN).unwrap();
            for workers in [2, 3, 16] {
                let many = explore_by(&Threads(workers), cpus, code, PLAIN).unwrap();
                assert_eq!(outline(&one), outline(&many), "{cpus} CPUs, {workers} workers");
            }
        }
    }
}

#[test]
fn exchanging_cpus_changes_no_verdict() {
    for code in PROGRAMS {
        for cpus in 1..=4 {
            let full = explore_by(&OneByOne, cpus, code, PLAIN).unwrap();
            let reduced = explore_by(&OneByOne, cpus, code, Options { symmetry: true, ..PLAIN }).unwrap();
            let verdict = |explored: &Explored| {
                let finding = explored.finding.as_ref();
                finding.map(|finding| (finding.rule, finding.acts.len()))
            };
            assert_eq!(verdict(&full), verdict(&reduced), "{cpus} CPUs");
            assert!(reduced.states <= full.states && (reduced.states < full.states) == (cpus > 2), "{cpus} CPUs");
            assert_eq!(full.depth, reduced.depth);
        }
    }
}

#[test]
fn cpus_that_are_not_alike_end_a_proof_with_symmetry() {
    // mov [COUNTER], rsp: each CPU has its own stack
    let code: &[&[u8]] = &[&[0x48, 0x89, 0x24, 0x25, 0x00, 0x20, 0x00, 0x00], LEAVE];
    assert!(explore_by(&OneByOne, 3, code, PLAIN).is_ok());
    let error = explore_by(&OneByOne, 3, code, Options { symmetry: true, ..PLAIN }).unwrap_err();
    assert!(matches!(error, Unprovable::Access { what: "CPUs that are taken as alike do something different", .. }));
}

#[test]
fn states_are_those_counted_by_hand() {
    let explored = explore(2, &[LOCK_INC, WAIT_FOR_TWO, LEAVE], false, 64).unwrap();
    // Each CPU is before its increment, waits, or has left; the counter follows from that: none, one of two, both, one of two
    // has left, both have.
    assert_eq!(explored.states, 1 + 2 + 1 + 2 + 1);
    assert_eq!(explored.finding, None);
    assert_eq!(explored.ends, 1);
    // Two increments from the first state. From each of the next two: the other's increment, and a look at a 1. From the fourth
    // two looks at a 2; from each of the next two the other's.
    assert_eq!(explored.transitions, 2 + 2 * 2 + 2 + 2);
}

#[test]
fn an_increment_that_is_not_locked_loses_one() {
    let explored = explore(2, &[INC, WAIT_FOR_TWO, LEAVE], false, 64).unwrap();
    let finding = explored.finding.expect("the counter can stay at 1");
    assert_eq!(finding.rule, Rule::Progress);
    // Both have read before either wrote: whatever follows, the counter becomes 1.
    assert_eq!(finding.steps.len() - 1, 2, "{:#?}", finding.steps);
    assert!(finding.steps[0].contains("reads 0x0 from counter"), "{:#?}", finding.steps);
}

#[test]
fn verdicts_do_not_depend_on_what_is_dropped() {
    for code in [&[LOCK_INC, WAIT_FOR_TWO, LEAVE], &[INC, WAIT_FOR_TWO, LEAVE]] {
        let [dropped, kept] = [false, true].map(|keeps_dead| explore(2, code, keeps_dead, 64).unwrap());
        assert_eq!(dropped.finding.map(|f| (f.rule, f.steps.len())), kept.finding.map(|f| (f.rule, f.steps.len())));
        assert!(dropped.states <= kept.states);
    }
}

#[test]
fn three_cpus_overrun_a_count_of_two() {
    let finding = explore(3, &[LOCK_INC, WAIT_FOR_TWO, LEAVE], false, 64).unwrap().finding;
    assert_eq!(finding.map(|finding| finding.rule), Some(Rule::Progress), "the counter passes 2 while a CPU waits");
}

#[test]
fn an_instruction_that_is_not_known_ends_the_proof() {
    // cpuid
    let error = explore(2, &[LOCK_INC, &[0x0f, 0xa2], LEAVE], false, 64).unwrap_err();
    assert!(matches!(&error, Unprovable::Instruction { address: 0x1008, .. }), "{error:?}");
    assert!(error.to_string().contains("Cpuid"), "{error}");
}

#[test]
fn a_shared_access_across_words_ends_the_proof() {
    // inc qword [COUNTER + 4]
    let error = explore(2, &[&[0x48, 0xff, 0x04, 0x25, 0x04, 0x20, 0x00, 0x00], LEAVE], false, 64).unwrap_err();
    assert!(matches!(error, Unprovable::Access { address: 0x2004, .. }), "{error:?}");
}

#[test]
fn memory_that_is_not_known_ends_the_proof() {
    // mov eax, [0x5000]
    let error = explore(1, &[&[0x8b, 0x04, 0x25, 0x00, 0x50, 0x00, 0x00], LEAVE], false, 64).unwrap_err();
    assert!(matches!(error, Unprovable::Access { address: 0x5000, .. }), "{error:?}");
}

#[test]
fn what_lies_below_the_stack_pointer_is_not_read() {
    // push rax; pop rax; mov rax, [rsp - 8]
    let error = explore(1, &[&[0x50, 0x58, 0x48, 0x8b, 0x44, 0x24, 0xf8], LEAVE], false, 64).unwrap_err();
    assert!(matches!(error, Unprovable::Access { what: "it reads below its stack pointer", .. }), "{error:?}");
}

#[test]
fn what_must_not_be_called_breaks_a_rule() {
    // call sleep
    let finding = explore(1, &[&[0xe8, 0xfb, 0x07, 0x00, 0x00], LOCK_INC, LEAVE], false, 64).unwrap().finding;
    // One CPU shares nothing, so the call lies in its first private run, before any operation that is explored.
    assert_eq!(finding.map(|finding| finding.rule), Some(Rule::InterruptsOff));
}

#[test]
fn a_wait_for_what_nobody_writes_is_stuck() {
    // l: cmp dword [COUNTER], 0; je l
    let wait = [0x83, 0x3c, 0x25, 0x00, 0x20, 0x00, 0x00, 0x00, 0x74, 0xf6];
    let finding = explore(1, &[&wait, LEAVE], false, 64).unwrap().finding;
    assert_eq!(finding.map(|finding| finding.rule), Some(Rule::Progress));
}

#[test]
fn a_loop_that_waits_for_nothing_ends_the_proof() {
    // l: jmp l
    let error = explore(1, &[&[0xeb, 0xfe]], false, 64).unwrap_err();
    assert!(matches!(error, Unprovable::Access { what: "a loop without a shared access", .. }), "{error:?}");
}

#[test]
fn more_memory_than_allowed_ends_the_proof() {
    assert!(matches!(
        explore(2, &[LOCK_INC, WAIT_FOR_TWO, LEAVE], false, 0).unwrap_err(),
        Unprovable::Memory { limit_mib: 0, .. }
    ));
}
