//! The try-locks under exhaustive exploration: LPs run small programs, one execution of SEAMCALL is one step, and every
//! order of steps is tried. The firmware is a value, so a state is a clone and a visited state is its saved bytes.

use crate::common::{BUFFER, Machine, call};
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::locks::{LockId, Mode};
use seam_emu::{Config, Durations, Outcome, Regs, Reply};
use std::collections::HashSet;

/// LPs, and leaves that last two steps.
fn machine(lps: usize) -> Machine {
    let durations = Durations { default_ns: 2, ..Durations::default() };
    Machine::with(Config { durations, ..Config::for_lps(lps) }, &ImageSpec::default())
}

/// One call of a program, and the statuses that it may end with; none stands for VMfailInvalid.
#[derive(Clone)]
struct Step {
    regs: Regs,
    may_give: &'static [Option<Status>],
}

const OK: Option<Status> = Some(Status::SUCCESS);
const BUSY: Option<Status> = Some(Status::SYS_BUSY);

fn info() -> Step {
    Step { regs: Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) }, may_give: &[OK, None] }
}

fn init() -> Step {
    Step { regs: call(Leaf::SysInit), may_give: &[OK, BUSY, Some(Status::SYS_INIT_NOT_PENDING)] }
}

fn shutdown() -> Step {
    Step { regs: call(Leaf::SysShutdown), may_give: &[OK, BUSY, Some(Status::SYS_SHUTDOWN)] }
}

fn read() -> Step {
    let regs = Regs { rdx: 0x0800_0001_0000_0005, ..call(Leaf::SysRd) };
    Step { regs, may_give: &[OK, Some(Status::SYS_SHUTDOWN)] }
}

/// An exploration under way.
struct Explorer {
    programs: Vec<Vec<Step>>,
    visited: HashSet<(Vec<u8>, Vec<usize>)>,
    /// Final states of the module, by interleaving's end.
    ends: HashSet<u64>,
    check: fn(&Machine),
}

impl Explorer {
    /// Tries every order; gives the module's states at the ends and the number of states seen.
    fn run(m: &Machine, programs: &[&[Step]], check: fn(&Machine)) -> (HashSet<u64>, usize) {
        let programs: Vec<Vec<Step>> = programs.iter().map(|program| program.to_vec()).collect();
        let positions = vec![0; programs.len()];
        let mut explorer = Self { programs, visited: HashSet::new(), ends: HashSet::new(), check };
        explorer.go(m, &positions);
        (explorer.ends, explorer.visited.len())
    }

    fn go(&mut self, m: &Machine, positions: &[usize]) {
        // Time is part of the state only through the ends of calls, which the saved bytes hold; it goes on with every
        // step, so that a waiting LP is done after two.
        let mut key = m.firmware.save();
        key.extend_from_slice(&m.now_ns.to_le_bytes());
        if !self.visited.insert((key, positions.to_vec())) {
            return;
        }
        let mut ended = true;
        for lp in 0..positions.len() {
            let Some(step) = self.programs[lp].get(positions[lp]).cloned() else { continue };
            ended = false;
            let mut next = m.clone();
            next.now_ns += 1;
            let (reply, after) = next.execute(lp, step.regs);
            (self.check)(&next);
            let mut positions = positions.to_vec();
            if let Reply::Done(completion) = reply {
                let status = (completion.outcome == Outcome::Return).then_some(Status(after.rax));
                assert!(step.may_give.contains(&status), "LP {lp}: {status:?}\n{}", next.firmware.describe());
                positions[lp] += 1;
            }
            self.go(&next, &positions);
        }
        if ended {
            assert_eq!(m.firmware.held_locks(), [], "every LP left");
            self.ends.insert(m.firmware.module_state());
        }
    }
}

/// What must hold after any step.
fn consistent(m: &Machine) {
    let held = m.firmware.held_locks();
    let inside = held.iter().filter(|held| held.id == LockId::SeamLdr).count();
    assert!(inside <= 1, "{inside} LPs inside P-SEAMLDR");
    for a in held.iter().filter(|held| held.mode == Mode::Exclusive) {
        assert!(!held.iter().any(|b| b.id == a.id && b.lp != a.lp), "{:?} is exclusive and shared", a.id);
    }
    assert_eq!(m.firmware.audit(), Vec::<String>::new());
}

#[test]
fn p_seamldr_is_entered_by_one_lp_in_every_interleaving() {
    let (_, states) = Explorer::run(&machine(3), &[&[info(), info()], &[info()], &[info()]], consistent);
    assert!(states > 100, "only {states} states");
}

#[test]
fn the_module_is_initialized_once_in_every_interleaving() {
    let (ends, _) = Explorer::run(&machine(3), &[&[init()], &[init()], &[init()]], consistent);
    assert_eq!(ends, HashSet::from([1]));
}

#[test]
fn shutdown_and_reads_agree_in_every_interleaving() {
    let mut m = machine(3);
    m.boot_linux();
    let (ends, _) = Explorer::run(&m, &[&[shutdown()], &[read(), info()], &[info(), read()]], consistent);
    // It succeeds in some orders and finds a busy LP in others.
    assert_eq!(ends, HashSet::from([3, 4]));
}

#[test]
fn one_of_two_shutdowns_succeeds_in_every_interleaving() {
    let mut m = machine(2);
    m.boot_linux();
    let (ends, _) = Explorer::run(&m, &[&[shutdown()], &[shutdown()]], consistent);
    assert_eq!(ends, HashSet::from([4]));
}

#[test]
#[should_panic(expected = "two LPs share the global lock")]
fn the_exploration_finds_a_state_that_a_check_forbids() {
    // LP.INIT shares the global lock: a check that forbids it must be broken in some interleaving.
    let mut m = machine(2);
    m.ok(0, call(Leaf::SysInit));
    let lp_init = || Step { regs: call(Leaf::SysLpInit), may_give: &[OK] };
    Explorer::run(&m, &[&[lp_init()], &[lp_init()]], |m| {
        let holders = m.firmware.held_locks().iter().filter(|held| held.id == LockId::Global).count();
        assert!(holders < 2, "two LPs share the global lock");
    });
}
