//! One passage from a step to the next as code, under loom's exploration of the C11 memory model.
//!
//! Each CPU works, acknowledges, looks at the step word once, and if the step advanced begins the next one, where it checks
//! that it sees all CPUs' work of the step before, and acknowledges again. Nobody spins: a loop of two spinning CPUs has no
//! end under loom, and the loads of a spinning CPU before the one that sees the advance could only order more, not less.
//! When each CPU looks is up to the exploration, which so covers every moment of a spinning CPU's last load.
//!
//! If an ordering is too weak there is an execution in which a CPU does not see work that was done: on a machine, or with a
//! compiler, that makes use of the freedom it begins a step while another's work of the step before is yet to take effect.

use crate::Ack;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize as Counter;
use std::time::{Duration, Instant};

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// How acknowledgements are counted.
    pub ack: Ack,
    /// CPUs, 2 to 4.
    pub cpus: usize,
    /// The CPU that fails in the first step, if any.
    pub fails: Option<usize>,
    /// How each access is ordered.
    pub orders: Orders,
    /// Most preemptions in one execution; none: all executions are tried.
    pub preemptions: Option<usize>,
}

/// How accesses are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orders {
    /// The load of the step word in the loop.
    pub look: Ordering,
    /// The store of the next step.
    pub advance: Ordering,
    /// The increments of the counters, where they are atomic.
    pub count: Ordering,
    /// Whether the counter is reset before the step advances.
    pub reset_first: bool,
}

impl Orders {
    /// Those of `guest-kmod/lockstep.c`. `atomic_inc_return()` orders more than this says.
    pub const KMOD: Self =
        Self { look: Ordering::Acquire, advance: Ordering::Release, count: Ordering::AcqRel, reset_first: true };
    /// Those of Linux 7.3: `READ_ONCE()` and a plain store under the lock.
    pub const LINUX: Self =
        Self { look: Ordering::Relaxed, advance: Ordering::Relaxed, count: Ordering::AcqRel, reset_first: true };
}

/// What an exploration came to.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Executions that were tried.
    pub executions: usize,
    /// Time that it took.
    pub took: Duration,
    /// What was wrong in the first execution with something wrong.
    pub broken: Option<String>,
}

struct Lockstep {
    passage: Passage,
    step: AtomicUsize,
    num_ack: AtomicUsize,
    num_failed: AtomicUsize,
    lock: Mutex<()>,
    /// Done in the first step, by CPU.
    work: Vec<AtomicBool>,
}

/// How far a CPU came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// It did not see the step advance.
    First,
    /// It acknowledged the second step.
    Second,
}

/// Tries all executions that `passage` allows.
pub fn explore(passage: Passage) -> Explored {
    let start = Instant::now();
    let executions = std::sync::Arc::new(Counter::new(0));
    let counter = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = passage.preemptions;
    builder.max_branches = 10_000;
    let result = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            execute(passage);
        });
    }));
    let broken = result.err().map(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "a panic without text".into(), |t| (*t).into()),
    });
    Explored { executions: executions.load(std::sync::atomic::Ordering::Relaxed), took: start.elapsed(), broken }
}

fn execute(passage: Passage) {
    let lockstep = Arc::new(Lockstep {
        passage,
        step: AtomicUsize::new(1),
        num_ack: AtomicUsize::new(0),
        num_failed: AtomicUsize::new(0),
        lock: Mutex::new(()),
        work: (0..passage.cpus).map(|_| AtomicBool::new(false)).collect(),
    });
    let others: Vec<_> = (1..passage.cpus)
        .map(|cpu| {
            let lockstep = lockstep.clone();
            thread::spawn(move || lockstep.run(cpu))
        })
        .collect();
    let mut reached = vec![lockstep.run(0)];
    reached.extend(others.into_iter().map(|other| other.join().expect("a broken invariant ends the execution")));
    lockstep.judge_end(reached.iter().filter(|reached| **reached == Reached::Second).count());
}

impl Lockstep {
    fn run(&self, cpu: usize) -> Reached {
        self.work[cpu].store(true, Ordering::Relaxed);
        self.acknowledge(self.passage.fails == Some(cpu), 1);
        if self.step.load(self.passage.orders.look) == 1 {
            return Reached::First;
        }
        assert!(self.passage.fails.is_none(), "stop-on-failure: a CPU begins a step after one failed");
        let seen = self.work.iter().all(|done| done.load(Ordering::Relaxed));
        assert!(seen, "lockstep: a CPU begins a step and does not see all work of the one before");
        self.acknowledge(false, 2);
        Reached::Second
    }

    /// All CPUs are joined, so that nothing is stale.
    fn judge_end(&self, in_second: usize) {
        let Passage { cpus, fails, .. } = self.passage;
        let step = self.step.load(Ordering::Relaxed);
        let num_ack = self.num_ack.load(Ordering::Relaxed);
        let (expected_step, expected_ack) = match (fails, in_second) {
            (Some(_), _) => (1, cpus),
            (None, all) if all == cpus => (3, 0),
            (None, some) => (2, some),
        };
        assert!(
            step == expected_step && num_ack == expected_ack,
            "progress: {in_second} CPUs acknowledged the second step, but it is step {step} with {num_ack}"
        );
    }

    /// `lockstep_ack_step()`.
    fn acknowledge(&self, failed: bool, step: usize) {
        let count = self.passage.orders.count;
        match self.passage.ack {
            Ack::Lock => {
                let _guard = self.lock.lock().expect("no CPU dies with the lock");
                increment_if(&self.num_failed, failed);
                increment_if(&self.num_ack, true);
                self.advance_if_last(self.num_ack.load(Ordering::Relaxed), step);
            }
            Ack::Atomic => {
                if failed {
                    self.num_failed.fetch_add(1, count);
                }
                self.advance_if_last(self.num_ack.fetch_add(1, count) + 1, step);
            }
        }
    }

    fn advance_if_last(&self, acks: usize, step: usize) {
        if acks != self.passage.cpus || self.num_failed.load(Ordering::Relaxed) > 0 {
            return;
        }
        let Orders { advance, reset_first, .. } = self.passage.orders;
        if reset_first {
            self.num_ack.store(0, Ordering::Relaxed);
        }
        self.step.store(step + 1, advance);
        if !reset_first {
            self.num_ack.store(0, Ordering::Relaxed);
        }
    }
}

/// What a plain increment under a lock is.
fn increment_if(counter: &AtomicUsize, really: bool) {
    if really {
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}
