//! How boot, update and each step grow with the number of vCPUs. `cargo bench -p rig-tests --bench scale [-- RUNS CPUS...]`.
//!
//! For each number of vCPUs one machine boots, and then RUNS machines are restored. Steps are in guest time.

use rig_tests::Rig;
use serde_json::Value;
use std::time::Instant;

const CPUS: [u32; 8] = [1, 4, 16, 32, 64, 128, 255, 512];
const STEPS: [&str; 5] = ["SHUTDOWN", "CPU_INSTALL", "CPU_INIT", "RUN_UPDATE", "DONE"];

fn main() {
    let numbers: Vec<u32> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let (runs, asked) = numbers.split_first().map_or((3, &[][..]), |(runs, cpus)| (*runs as usize, cpus));
    let all = if asked.is_empty() { &CPUS[..] } else { asked };
    println!(
        "| vCPUs | cold: start to verdict | of it boot | warm: start to verdict | of it restore | update | gathering (stop_machine) | {} | warm runs |",
        STEPS.join(" | ")
    );
    println!("|{}", " --- |".repeat(8 + STEPS.len()));
    for cpus in all {
        row(*cpus, runs);
    }
}

fn row(cpus: u32, runs: usize) {
    let cold = measure(cpus, &["--cold"]);
    // The first one may boot, to make the snapshot.
    measure(cpus, &[]);
    let warm: Vec<Run> = (0..runs.max(1)).map(|_| measure(cpus, &[])).collect();
    let of = |figure: &dyn Fn(&Run) -> f64| spread(warm.iter().map(figure).collect());
    let steps: Vec<String> = (0..STEPS.len()).map(|step| format!("{} ms", of(&|run| run.steps_ms[step]))).collect();
    println!(
        "| {cpus} | {:.1} s | {:.1} s | {} s | {} s | {} s | {} ms | {} | {runs} |",
        cold.total_s,
        cold.boot_s,
        of(&|run| run.total_s),
        of(&|run| run.boot_s),
        of(&|run| run.update_s),
        of(&|run| run.gathering_ms),
        steps.join(" | ")
    );
}

/// The median, with the least and the most where they differ.
fn spread(mut figures: Vec<f64>) -> String {
    figures.sort_unstable_by(f64::total_cmp);
    let [least, median, most] = [0, figures.len() / 2, figures.len() - 1].map(|at| format!("{:.2}", figures[at]));
    if least == most { median } else { format!("{median} ({least} .. {most})") }
}

/// What one run took.
struct Run {
    /// The whole command.
    total_s: f64,
    /// Until the agent was ready.
    boot_s: f64,
    /// From the upload to its end.
    update_s: f64,
    /// `stop_machine`'s gathering of the CPUs, in guest time.
    gathering_ms: f64,
    /// Each of [`STEPS`], in guest time.
    steps_ms: [f64; 5],
}

fn measure(cpus: u32, more: &[&str]) -> Run {
    let rig = Rig::default();
    let cpus = cpus.to_string();
    let arguments: Vec<&str> = ["run", "--json", "--cpus", &cpus].iter().chain(more).copied().collect();
    let start = Instant::now();
    let verdict = rig.go(&arguments).json(0);
    let total_s = start.elapsed().as_secs_f64();
    let phase = |name: &str| verdict["timing_ms"][name].as_f64().expect("a verdict has its times") / 1e3;
    let steps = verdict["statistics"]["steps"].as_array().expect("a verdict has its steps");
    let step = |name: &str| {
        let own = |step: &&Value| step["step"] == name;
        steps.iter().find(own).and_then(|step| step["took_ns"].as_f64()).expect("the update did each step") / 1e6
    };
    let gathering = &verdict["statistics"]["updates"][0]["gathering"]["took_ns"];
    let gathering_ms = gathering.as_f64().expect("the gathering was seen") / 1e6;
    Run { gathering_ms, total_s, boot_s: phase("boot"), update_s: phase("update"), steps_ms: STEPS.map(step) }
}
