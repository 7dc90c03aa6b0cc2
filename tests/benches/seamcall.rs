//! What a SEAMCALL costs a guest, by backend: `cargo bench -p rig-tests --bench seamcall`.
//!
//! Measured in the guest and in the same way everywhere: `tdx_load` reads the kernel's clock before and behind each TDH.SYS.RD, in
//! threads and in timer interrupts, while the module is updated again and again. Where the host has no KVM that works, KVM is measured in
//! a machine whose processor TCG emulates.

use rig_tests::Rig;
use serde_json::Value;

/// Updates, which say how long the load runs.
const UPDATES: u32 = 40;
/// LPs that call, from which context, and how often a second and LP.
type Row = (u32, &'static str, u32);

/// An emulated processor gets no more through. One context in each: where both call, the judge demands that calls overlap, which so few do only
/// by luck.
const ROWS: [Row; 3] = [(1, "process", 100), (4, "process", 20), (4, "timer", 20)];
/// An emulated processor boots a guest in ten times the CPU time of a real one.
const STALL_CPU_S: u32 = 60;

fn main() {
    println!("| backend | LPs | context | calls | median | p99 |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for backend in ["tcg", "tcg-shim"] {
        for row in ROWS {
            print(backend, row, &direct(backend, row));
        }
    }
    let doctor = Rig::default().go(&["doctor", "--json"]).json(0);
    if doctor["backend"] == "kvm" {
        for row in ROWS {
            print("kvm", row, &direct("kvm", row));
        }
    } else {
        for (row, verdict) in ROWS.into_iter().zip(nested()) {
            print("kvm, nested", row, &verdict);
        }
    }
}

fn name((lps, context, _): Row) -> String {
    format!("cost-{lps}-{context}")
}

fn scenario(backend: &str, row: Row) -> String {
    let (lps, context, hz) = row;
    let hz_of = |other| if other == context { hz } else { 0 };
    let (process_hz, timer_hz) = (hz_of("process"), hz_of("timer"));
    format!(
        "name = \"{}\"\nsubject = \"kmod\"\nbackend = \"{backend}\"\ncpus = {lps}\nupdates = {UPDATES}\n\
         budget = {{ stall_cpu_s = {STALL_CPU_S} }}\n\
         load = [{{ profile = \"seamcall\", process_hz = {process_hz}, timer_hz = {timer_hz}, ipi_hz = 0 }}]\n",
        name(row)
    )
}

fn direct(backend: &str, row: Row) -> Value {
    let rig = Rig::default();
    let file = rig.file("scenario.toml", scenario(backend, row));
    rig.go(&["run", &file.display().to_string(), "--json"]).json(0)
}

/// All rows in one outer machine.
fn nested() -> Vec<Value> {
    let rig = Rig::default();
    let inner = ROWS.map(|row| format!("[[nested.scenarios]]\n{}", scenario("kvm", row))).concat();
    let warm = ROWS.map(name);
    let text =
        format!("name = \"cost\"\nsubject = \"kmod\"\n[nested]\nkernel = \"debian:7.3\"\nwarm = {warm:?}\n{inner}");
    let file = rig.file("scenario.toml", text);
    rig.go(&["run", &file.display().to_string(), "--out", "run", "--json"]).json(0);
    let verdict = |row| std::fs::read(rig.path("run").join(format!("{}.json", name(row)))).expect("the rig keeps it");
    ROWS.iter().map(|row| serde_json::from_slice(&verdict(*row)).expect("a verdict is JSON")).collect()
}

fn print(backend: &str, (lps, context, _): Row, verdict: &Value) {
    let counts = &verdict["load"][0]["counts"];
    let count = |what: &str| counts[format!("{context}.{what}")].as_u64().expect("the load counts it");
    let (calls, median, p99) = (count("success"), count("sys_rd_median_ns"), count("sys_rd_p99_ns"));
    println!("| {backend} | {lps} | {context} | {calls} | {median} ns | {p99} ns |");
}
