//! How long a run takes, what recording costs, and how many schedules a second an exploration makes.
//! `cargo bench -p rig-tests --bench speed [-- RUNS]`.
//!
//! A warm cache is made first. Runs with and without recording alternate, so that a slow phase of the host meets both.

use rig_tests::Rig;
use std::time::Instant;

fn main() {
    let runs = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(7);
    measure(4, &[]);
    println!(
        "| vCPUs | restored: start to verdict, median (min .. max) | of it restore | booted: start to verdict | of it boot \
         | boot without recording | runs |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for cpus in [4, 16, 64, 255] {
        let (mut warm, mut restore) = (Vec::new(), Vec::new());
        let (mut total, mut boot, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        measure(cpus, &[]);
        for _ in 0..runs {
            let (ms, restore_ms) = measure(cpus, &[]);
            warm.push(ms);
            restore.push(restore_ms);
            let (ms, boot_ms) = measure(cpus, &["--cold"]);
            total.push(ms);
            boot.push(boot_ms);
            bare.push(measure(cpus, &["--no-events"]).1);
        }
        for figures in [&mut warm, &mut restore, &mut total, &mut boot, &mut bare] {
            figures.sort_unstable();
        }
        let median = |v: &[u64]| v[v.len() / 2];
        println!(
            "| {cpus} | {} ms ({} .. {}) | {} ms | {} ms | {} ms | {} ms | {runs} |",
            median(&warm),
            warm[0],
            warm[runs - 1],
            median(&restore),
            median(&total),
            median(&boot),
            median(&bare)
        );
    }
    explorations(runs);
}

/// Schedules of an exploration whose rate is measured.
const SCHEDULES: &str = "0..128";

/// Schedules per second at 4 vCPUs: median and spread.
fn explorations(runs: usize) {
    println!("\n| clock | schedules per second, median (min .. max) | runs |");
    println!("| --- | --- | --- |");
    for clock in ["parallel", "deterministic"] {
        let mut rates: Vec<f64> = (0..runs).map(|_| rate(clock)).collect();
        rates.sort_unstable_by(f64::total_cmp);
        println!("| {clock} | {:.1} ({:.1} .. {:.1}) | {runs} |", rates[runs / 2], rates[0], rates[runs - 1]);
    }
}

fn rate(clock: &str) -> f64 {
    let rig = Rig::default();
    let said = rig.go(&["explore", "--seeds", SCHEDULES, "--clock", clock, "--out", "rate", "--json"]).json(0);
    said["schedules_per_s"].as_f64().expect("an exploration tells its rate")
}

/// One run: host milliseconds of the whole command, and those until the agent was ready.
fn measure(cpus: u32, more: &[&str]) -> (u64, u64) {
    let rig = Rig::default();
    let cpus = cpus.to_string();
    let arguments: Vec<&str> = ["run", "--json", "--cpus", &cpus].iter().chain(more).copied().collect();
    let start = Instant::now();
    let verdict = rig.go(&arguments).json(0);
    let ms = u64::try_from(start.elapsed().as_millis()).expect("a run ends within an age");
    (ms, verdict["timing_ms"]["boot"].as_u64().expect("a verdict has its boot time"))
}
