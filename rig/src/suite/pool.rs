//! Machines side by side, within the host's cores and memory.

use crate::scenario::Scenario;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Cores of the host for one machine: fewer, and its vCPUs wait for those of another more than for each other.
const CORES_PER_MACHINE: usize = 4;
/// What QEMU and the rig need beside the guest's own memory.
const OVERHEAD_MIB: u64 = 256;

/// How much may run at once.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Machines.
    pub machines: usize,
    /// Memory for all of them, MiB. A machine that needs more runs alone.
    pub memory_mib: u64,
}

impl Room {
    /// What this host has: its cores, and half of the memory that is available.
    pub fn of_host(cores: usize, available_mib: u64) -> Self {
        Self { machines: (cores / CORES_PER_MACHINE).max(1), memory_mib: available_mib / 2 }
    }
}

/// What is left to do, and what is under way.
struct State {
    waiting: VecDeque<Scenario>,
    running: usize,
    used_mib: u64,
}

impl State {
    /// The next scenario, when there is room for it. None overtakes another.
    fn admit(&mut self, room: Room) -> Option<(Scenario, u64)> {
        let need_mib = u64::from(self.waiting.front()?.memory_mib()) + OVERHEAD_MIB;
        if self.running > 0 && self.used_mib + need_mib > room.memory_mib {
            return None;
        }
        self.running += 1;
        self.used_mib += need_mib;
        Some((self.waiting.pop_front()?, need_mib))
    }
}

/// Runs all, in their order as far as there is room, and gives what came of them in the order of their ends. `goes_on` is asked
/// before each; when it says no, the rest is left.
pub fn run_all<R: Send>(
    scenarios: Vec<Scenario>,
    room: Room,
    goes_on: impl Fn() -> bool + Sync,
    run: impl Fn(Scenario) -> R + Sync,
    report: impl FnMut(&R) + Send,
) -> Vec<R> {
    let state = Mutex::new(State { waiting: scenarios.into(), running: 0, used_mib: 0 });
    let (changed, results) = (Condvar::new(), Mutex::new((Vec::new(), report)));
    thread::scope(|threads| {
        for _ in 0..room.machines.max(1) {
            threads.spawn(|| {
                while let Some((scenario, need_mib)) = next(&state, &changed, room, &goes_on) {
                    let ran = run(scenario);
                    let mut results = lock(&results);
                    (results.1)(&ran);
                    results.0.push(ran);
                    drop(results);
                    let mut state = lock(&state);
                    state.running -= 1;
                    state.used_mib -= need_mib;
                    changed.notify_all();
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner).0
}

/// Waits for room; none when nothing is left, or the suite is to end.
fn next(
    state: &Mutex<State>,
    changed: &Condvar,
    room: Room,
    goes_on: &(impl Fn() -> bool + Sync),
) -> Option<(Scenario, u64)> {
    let mut state = lock(state);
    loop {
        if state.waiting.is_empty() || !goes_on() {
            return None;
        }
        if let Some(admitted) = state.admit(room) {
            return Some(admitted);
        }
        state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;
    use rig_judge::Outcome;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::time::Duration;

    fn scenarios(memory_mib: &[u32]) -> Vec<Scenario> {
        let one = |(at, mib): (usize, &u32)| Scenario {
            name: format!("s{at}"),
            memory_mib: Some(*mib),
            ..Scenario::default()
        };
        memory_mib.iter().enumerate().map(one).collect()
    }

    /// Most machines and most memory that were in use at once.
    fn peak(memory_mib: &[u32], room: Room) -> (usize, u64) {
        let (now, used) = (AtomicUsize::new(0), AtomicU64::new(0));
        let (most, most_mib) = (AtomicUsize::new(0), AtomicU64::new(0));
        let run = |scenario: Scenario| {
            let mib = u64::from(scenario.memory_mib()) + OVERHEAD_MIB;
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            most_mib.fetch_max(used.fetch_add(mib, Ordering::SeqCst) + mib, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(20));
            now.fetch_sub(1, Ordering::SeqCst);
            used.fetch_sub(mib, Ordering::SeqCst);
            example(&scenario.name, Outcome::Passed)
        };
        let results = run_all(scenarios(memory_mib), room, || true, run, |_| ());
        assert_eq!(results.len(), memory_mib.len());
        (most.into_inner(), most_mib.into_inner())
    }

    #[test]
    fn as_many_run_as_there_is_room_for() {
        assert_eq!(peak(&[256; 8], Room { machines: 3, memory_mib: 99999 }), (3, 3 * 512));
        assert_eq!(peak(&[256; 8], Room { machines: 8, memory_mib: 1024 }), (2, 1024));
        assert_eq!(peak(&[256; 3], Room { machines: 1, memory_mib: 99999 }).0, 1);
    }

    #[test]
    fn what_needs_more_than_there_is_runs_alone() {
        assert_eq!(peak(&[4096, 256, 4096], Room { machines: 4, memory_mib: 1024 }).0, 1);
    }

    #[test]
    fn nothing_begins_after_the_word_to_stop() {
        let begun = AtomicUsize::new(0);
        let run = |scenario: Scenario| {
            begun.fetch_add(1, Ordering::SeqCst);
            example(&scenario.name, Outcome::Passed)
        };
        let goes_on = || begun.load(Ordering::SeqCst) < 2;
        let room = Room { machines: 1, memory_mib: 99999 };
        assert_eq!(run_all(scenarios(&[256; 5]), room, goes_on, run, |_| ()).len(), 2);
    }

    #[test]
    fn a_small_host_runs_one_at_a_time() {
        assert_eq!(Room::of_host(2, 24000).machines, 1);
        assert_eq!((Room::of_host(64, 24000).machines, Room::of_host(64, 24000).memory_mib), (16, 12000));
    }
}
