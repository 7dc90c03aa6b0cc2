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
        "| vCPUs | restore to verdict | whole command | boot to verdict | of it boot | boot without recording | runs |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for cpus in [4, 16, 64, 255] {
        measure(cpus, &[]);
        let mut columns = [const { Vec::new() }; 5];
        for _ in 0..runs {
            let (warm, cold) = (measure(cpus, &[]), measure(cpus, &["--cold"]));
            let bare = measure(cpus, &["--no-events"]);
            let figures = [warm.machine_ms, warm.total_ms, cold.machine_ms, cold.boot_ms, bare.boot_ms];
            columns.iter_mut().zip(figures).for_each(|(column, figure)| column.push(figure));
        }
        println!("| {cpus} | {} | {runs} |", columns.map(spread).join(" | "));
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
    said["schedules_per_s"].as_f64().expect("an exploration reports its rate")
}

/// Host milliseconds of one run.
#[expect(clippy::struct_field_names, reason = "units come last in a name")]
struct Run {
    /// Until the agent was ready, or answered again.
    boot_ms: u64,
    /// From QEMU's start to the verdict.
    machine_ms: u64,
    /// The whole command.
    total_ms: u64,
}

/// The median, with the least and the most.
fn spread(mut figures: Vec<u64>) -> String {
    figures.sort_unstable();
    format!("{} ms ({} .. {})", figures[figures.len() / 2], figures[0], figures[figures.len() - 1])
}

fn measure(cpus: u32, more: &[&str]) -> Run {
    let rig = Rig::default();
    let cpus = cpus.to_string();
    let arguments: Vec<&str> = ["run", "--json", "--cpus", &cpus].iter().chain(more).copied().collect();
    let start = Instant::now();
    // What was not recorded is not judged, which is no pass.
    let code = if more.contains(&"--no-events") { 77 } else { 0 };
    let verdict = rig.go(&arguments).json(code);
    let total_ms = u64::try_from(start.elapsed().as_millis()).expect("a run ends within an age");
    let of = |part: &str| verdict["timing_ms"][part].as_u64().expect("a verdict has its times");
    Run { boot_ms: of("boot"), machine_ms: of("machine"), total_ms }
}
