//! What a SEAMCALL through the mailbox costs, as a distribution, beside the floor: two threads that pass one cache line.
//!
//! `cargo bench -p seam-mailbox`. The callers are threads, so that no virtual machine is needed; a guest adds the #UD and, where
//! the server sleeps, the exit of its doorbell. With fewer host cores than callers and server, the scheduler is measured too.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{LP_INIT, Quiet, SYS_INIT, SYS_RD, leaf, seamcall};
use hdrhistogram::Histogram;
use seam_emu::Regs;
use seam_mailbox::slots::Caller;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};
use std::time::{Duration, Instant};

/// How long each row is measured.
const TIME: Duration = Duration::from_secs(3);
/// Spins before a waiting thread gives its core away, where there are more threads than cores.
const SPINS: u32 = 100;

fn main() {
    let cores = available_parallelism().map_or(1, usize::from);
    println!("{cores} host cores; nanoseconds per round trip");
    println!("{:<28} {:>10} {:>10} {:>10} {:>12}", "what", "median", "p99", "max", "per second");
    row("floor: one cache line", 1, &floor(cores < 2));
    for callers in [1, 2, 4, 16] {
        row(&format!("SYS.RD, {callers} LPs"), callers, &mailbox(callers, callers + 1 > cores));
    }
}

fn row(what: &str, callers: usize, times: &Histogram<u64>) {
    let [median, p99] = [0.5, 0.99].map(|q| times.value_at_quantile(q));
    let rate = times.len() / TIME.as_secs();
    println!("{what:<28} {median:>10} {p99:>10} {:>10} {rate:>12}", times.max());
    assert!(times.len() >= callers as u64, "{what}: nobody came through");
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are possible")
}

fn relax(spun: &mut u32, crowded: bool) {
    *spun += 1;
    if crowded && spun.is_multiple_of(SPINS) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

fn floor(crowded: bool) -> Histogram<u64> {
    let (line, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut times = histogram();
    scope(|scope| {
        scope.spawn(|| {
            let mut spun = 0;
            while !stop.load(Ordering::Relaxed) {
                let value = line.load(Ordering::Acquire);
                if value % 2 == 1 {
                    line.store(value + 1, Ordering::Release);
                }
                relax(&mut spun, crowded);
            }
        });
        let (start, mut value, mut spun) = (Instant::now(), 0, 0);
        while start.elapsed() < TIME {
            let began = Instant::now();
            line.store(value + 1, Ordering::Release);
            while line.load(Ordering::Acquire) != value + 2 {
                relax(&mut spun, crowded);
            }
            value += 2;
            times.record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)).expect("it grows as needed");
        }
        stop.store(true, Ordering::Relaxed);
    });
    times
}

fn mailbox(callers: usize, crowded: bool) -> Histogram<u64> {
    let mut quiet = Quiet::new(callers, |plan| plan.ring = None);
    quiet.call(0, leaf(SYS_INIT));
    for cpu in 0..callers {
        quiet.call(cpu, leaf(LP_INIT));
    }
    let posts: Vec<Caller> = (0..callers).map(|cpu| quiet.caller(cpu)).collect();
    let left = AtomicU64::new(callers as u64);
    let mut all = histogram();
    scope(|scope| {
        let running: Vec<_> = posts
            .into_iter()
            .map(|caller| {
                let left = &left;
                scope.spawn(move || {
                    let times = call_on(&caller, crowded);
                    left.fetch_sub(1, Ordering::Release);
                    times
                })
            })
            .collect();
        let mut spun = 0;
        while left.load(Ordering::Acquire) > 0 {
            if quiet.handler.serve(&quiet.slots).answered == 0 {
                relax(&mut spun, crowded);
            }
        }
        for times in running {
            all.add(times.join().expect("a caller does not panic")).expect("the same form");
        }
    });
    all
}

fn call_on(caller: &Caller, crowded: bool) -> Histogram<u64> {
    let request = seamcall(Regs { rdx: 0x0800_0001_0000_0004, ..leaf(SYS_RD) });
    let (mut times, mut spun, start) = (histogram(), 0, Instant::now());
    while start.elapsed() < TIME {
        let began = Instant::now();
        let (number, _) = caller.post(&request);
        while caller.collect(number).is_none() {
            relax(&mut spun, crowded);
        }
        times.record(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)).expect("it grows as needed");
    }
    times
}
