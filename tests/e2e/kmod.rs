//! The update kernel module: both acknowledgements pass, and each of its deliberate errors is caught by the invariant that
//! it breaks.

use clap::ValueEnum;
use rig::scenario::Twin;
use rig_tests::{Finished, HELD, Rig, share_host, take_host};
use rstest::rstest;

/// A CPU whose INSTALL fails.
const FAILURE: &str = "faults = [{ leaf = \"SEAMLDR.INSTALL\", lp = 2, action = \"vm-fail-invalid\" }]";

/// A CPU comes online as the update begins.
const ARRIVAL: &str = "updates = 20\nload = [{ profile = \"cpu-arrival\" }]";

/// What the run needs so that the error shows at all, and shows soon.
fn conditions(twin: Twin) -> &'static str {
    match twin {
        Twin::FailureIgnored | Twin::SwallowedFailure => FAILURE,
        Twin::NoLoaderLock => "platform.durations.leaf_ns.\"SEAMLDR.INSTALL\" = 1000000",
        Twin::NoHotplugLock => ARRIVAL,
        Twin::NeverAcks => "budget.stall_cpu_s = 3",
        _ => "updates = 20",
    }
}

fn run(scenario: &str) -> Finished {
    let rig = Rig::default();
    let path = rig.file("scenario.toml", format!("name = \"kmod\"\nsubject = \"kmod\"\n{scenario}\n"));
    rig.go(&["run", path.to_str().unwrap(), "--json"])
}

/// Why the twin was not caught as it should be.
fn not_caught(twin: Twin, finished: &Finished) -> Option<String> {
    let (code, verdict) = if twin == Twin::NeverAcks { (3, "hung") } else { (1, "failed") };
    let said = finished.json(code);
    let broken: Vec<&str> =
        said["breaches"].as_array().unwrap().iter().filter_map(|breach| breach["invariant"].as_str()).collect();
    let right = said["verdict"] == verdict && broken == [twin.breaks()];
    println!("{:<18} {verdict} at {broken:?} in update {}", twin.parameter(), said["updates"]);
    (!right).then(|| format!("{} must break {} alone: {said:#}", twin.parameter(), twin.breaks()))
}

fn run_twin(twin: Twin) -> Finished {
    run(&format!("twin = \"{}\"\n{}", twin.parameter(), conditions(twin)))
}

/// Only the module's own errors, on real (emulated) CPUs, show that each invariant catches what it is there for and that no
/// other is blamed. Those that need luck have 20 updates of one run to show.
#[test]
fn every_twin_is_caught_by_its_invariant() {
    let _host = take_host();
    let caught = |twin: &Twin| not_caught(*twin, &run_twin(*twin));
    let wrong: Vec<String> = Twin::value_variants().iter().filter_map(caught).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same conditions find nothing in the module as it is: it is the errors that were caught.
#[rstest]
fn the_correct_module_passes_where_its_twins_fail(#[values("lock", "atomic")] ack: &str) {
    let _host = share_host();
    for (conditions, expect, also_held) in [
        ("updates = 20", "", "lockstep"),
        (FAILURE, "expect.update = \"lost\"", "stop-on-failure"),
        ("platform.durations.leaf_ns.\"SEAMLDR.INSTALL\" = 1000000", "", "serial-loader"),
        (ARRIVAL, "", "stable-cpus"),
    ] {
        let verdict = run(&format!("ack = \"{ack}\"\n{conditions}\n{expect}")).json(0);
        assert_eq!(verdict["verdict"], "passed", "{conditions}: {verdict:#}");
        assert_eq!(verdict["invariants"][also_held], "held", "{conditions}: {verdict:#}");
    }
}

/// Only the module in a kernel shows that both acknowledgements bring 16 CPUs through, and that the words of a module that is
/// loaded while the machine runs are watched like those of the kernel.
#[rstest]
fn both_acknowledgements_bring_sixteen_cpus_through(#[values("lock", "atomic")] ack: &str) {
    let _host = share_host();
    let finished = Rig::default().go(&["run", "--subject", "kmod", "--ack", ack, "--cpus", "16", "--json"]);
    let verdict = finished.json(0);
    assert_eq!(verdict["subject"], "kmod");
    for name in HELD {
        assert_eq!(verdict["invariants"][name], "held", "{name}: {verdict:#}");
    }
}

/// Only Debian's own kernels show that the module does without everything the rig's kernel has: it makes the TDX module ready
/// itself, enters VMX operation (or leaves that to KVM, since 6.19), and brings its own upload class where there is none (6.1).
#[rstest]
fn it_runs_under_load_on_debians_kernels(
    #[values("debian:6.1", "debian:6.12", "debian:7.3")] kernel: &str,
    #[values("lock", "atomic")] ack: &str,
) {
    let _host = share_host();
    let load = format!(
        "ack = \"{ack}\"\nkernel = \"{kernel}\"\ncpus = 16\nupdates = 3\nload = [{{ profile = \"seamcall\" }}]"
    );
    let verdict = run(&load).json(0);
    let series = format!("{}.", kernel.trim_start_matches("debian:"));
    assert!(verdict["kernel"].as_str().is_some_and(|release| release.starts_with(&series)), "{verdict:#}");
    for name in HELD.into_iter().chain(["concurrency"]) {
        assert_eq!(verdict["invariants"][name], "held", "{name}: {verdict:#}");
    }
}

/// The same load on the rig's kernel, whose own TDX support has made the module ready.
#[rstest]
fn it_runs_under_load_beside_the_kernels_own_support(#[values("lock", "atomic")] ack: &str) {
    let _host = share_host();
    let load = format!("ack = \"{ack}\"\ncpus = 16\nupdates = 3\nload = [{{ profile = \"seamcall\" }}]");
    let verdict = run(&load).json(0);
    for name in HELD.into_iter().chain(["concurrency"]) {
        assert_eq!(verdict["invariants"][name], "held", "{name}: {verdict:#}");
    }
}
