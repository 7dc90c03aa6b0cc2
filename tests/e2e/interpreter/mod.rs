//! The interpreter of `rig prove` beside QEMU: real updates, each instruction that a CPU executes in the update's section from
//! `multi_cpu_stop()` on, with all registers and accesses to memory. `rig/interleave/tests/forms` has each form beside a
//! processor.

mod erring;
#[path = "../../../rig/interleave/tests/forms/renamed.rs"]
mod renamed;
mod replay;

use crate::prove::{kernel, prove, vmlinux};
use erring::Erring;
use replay::{Counts, Replay};
use rig::symbols::Symbols;
use rig_interleave::Request;
use rig_interleave::image::Source;
use rig_interleave::kernel::Entry;
use rig_tests::{Rig, take_host};
use rig_wire::instructions::Logged;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The function that CPUs enter when they gather, and with which their logs begin.
const FIRST: &str = "multi_cpu_stop";

/// The functions whose instructions a proof executes, whether a call fails or not. One that the compiler split has several parts under
/// one name, and is left out.
fn functions() -> Vec<String> {
    let request = Request { cpus: 2, failures: true, entry: Entry::StopMachine, ..Request::default() };
    let report = prove(kernel(), request).expect("there is a verdict");
    let bytes = std::fs::read(vmlinux()).expect("vmlinux is read");
    let symbols = Symbols::from_vmlinux(&bytes).expect("it is an ELF file");
    let names = report.coverage.into_iter().map(|row| row.function);
    let (whole, split): (Vec<_>, Vec<_>) =
        names.filter(|name| name != FIRST).partition(|name| symbols.ranges(name).len() == 1);
    println!("{} functions, without {split:?}", whole.len());
    whole
}

/// Runs a scenario, a file or one of the catalogue, that ends as it expects, with a log of instructions.
fn log(rig: &Rig, scenario: &str, functions: &[String]) -> PathBuf {
    let log = rig.path("instructions");
    let words = ["run", "--json", "--clock", "deterministic", scenario, "--instructions", log.to_str().unwrap(), FIRST];
    let words: Vec<&str> = words.into_iter().chain(functions.iter().map(String::as_str)).collect();
    rig.go(&words).expect(0);
    log
}

/// Compares a log with the interpreter, or with one that has an error.
fn replay(log: &Path, functions: &[String], erring: Option<Erring>) -> Counts {
    let image = kernel();
    let extent = |name: &String| {
        let (start, size) = image.symbols().extent(name).expect("the kernel has the function");
        start..start + size
    };
    let ranges = functions.iter().chain([&FIRST.to_owned()]).map(extent).collect();
    let mut replay = Replay::new(image.clone(), ranges, erring);
    let mut file = BufReader::new(File::open(log).expect("the log is there"));
    while let Some(logged) = Logged::read(&mut file).expect("the log is whole") {
        replay.take(logged);
    }
    replay.counts
}

/// Expects no difference, and that nothing was left out.
fn expect_alike(counts: &Counts) {
    assert!(counts.differences.is_empty(), "{}", counts.differences.join("\n"));
    assert!(counts.unknown.is_empty(), "instructions that the interpreter does not know: {:?}", counts.unknown);
}

#[test]
fn an_update_is_executed_as_qemu_executes_it() {
    let _host = take_host();
    let (rig, functions) = (Rig::default(), functions());
    let scenario = rig.file("scenario.toml", "name = \"instructions\"\ncpus = 4\n");
    let log = log(&rig, scenario.to_str().unwrap(), &functions);
    let counts = replay(&log, &functions, None);
    println!("{counts}");
    expect_alike(&counts);
    assert!(counts.compared > 2_000, "{counts}");
    assert!(counts.seamcalls > 12, "each CPU makes three: {counts}");
    for erring in Erring::ALL {
        let counts = replay(&log, &functions, Some(erring));
        assert!(!counts.differences.is_empty(), "{erring:?} is not found");
        println!("{erring:?}: {}", counts.differences[0]);
    }
}

/// Updates in which a call fails somewhere, by their names in the catalogue.
const FAILURES: [&str; 7] = [
    "install-fails",
    "install-vmfail",
    "update-fails",
    "lp-init-fails",
    "entropy-update",
    "entropy-sys-init-gone",
    "shutdown-busy",
];
/// Runs of updates that succeed, at most.
const MOST_RUNS: u32 = 20;

#[test]
#[ignore = "some minutes of updates: run it after a change of the interpreter"]
fn a_million_instructions_are_executed_as_qemu_executes_them() {
    let _host = take_host();
    let functions = functions();
    let mut all = Counts::default();
    let mut one = |scenario: &str| {
        let rig = Rig::default();
        let many = rig.file("scenario.toml", "name = \"instructions\"\ncpus = 16\nupdates = 20\n");
        let scenario = if scenario.is_empty() { many.to_str().unwrap() } else { scenario };
        let counts = replay(&log(&rig, scenario, &functions), &functions, None);
        println!("{scenario}: {counts}");
        expect_alike(&counts);
        all.add(counts);
        all.compared
    };
    for scenario in FAILURES {
        one(scenario);
    }
    let runs = (1..=MOST_RUNS).find(|_| one("") >= 1_000_000);
    println!("{all}");
    assert!(runs.is_some(), "{all}");
}
