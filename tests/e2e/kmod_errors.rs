//! The update kernel module under bad treatment: each gets a clean errno, a line in the log that says why, and loses nothing.

use rig_tests::{Rig, share_host};
use rstest::rstest;
use serde_json::Value;

/// Runs a scenario of the module and returns its verdict, which must be a pass: the scenario says what must go wrong.
fn passes(scenario: &str) -> Value {
    let rig = Rig::default();
    let path = rig.file("scenario.toml", format!("name = \"kmod-error\"\nsubject = \"kmod\"\n{scenario}\n"));
    rig.go(&["run", path.to_str().unwrap(), "--json"]).json(0)
}

/// Only a kernel shows what insmod gets and what is written to the log.
#[rstest]
#[case::ack("module_parameters = \"ack=mutex\"", "ack=mutex: it is lock or atomic")]
#[case::engine("module_parameters = \"engine=turbo\"", "engine=turbo: it is stop_machine, rwlock, kick or notifier")]
#[case::twin(
    "twin = \"lost-ack\"\nmodule_parameters = \"twin=none\"",
    "twin=none: no such twin, see the parameter table"
)]
fn a_bad_parameter_is_refused(#[case] keys: &str, #[case] line: &str) {
    let _host = share_host();
    passes(&format!("{keys}\n[expect]\nrefused = 22\nconsole = [\"{line}\"]"));
}

/// A machine on which the kernel has not enabled TDX: here SEAMCALL is an undefined instruction, and nothing is tried.
#[test]
fn a_kernel_without_tdx_is_refused() {
    let _host = share_host();
    let line = "no TDX module answers SEAMCALL (-13): the kernel has not enabled TDX";
    passes(&format!("kernel_arguments = \"{NO_TDX}\"\n[expect]\nrefused = 13\nconsole = [\"{line}\"]"));
}

/// Linux does without TDX on a CPU that cannot clear pages past the cache.
const NO_TDX: &str = "clearcpuid=movdir64b";

/// The module refuses what it can see to be no image before it stops anything.
#[rstest]
#[case::truncated("truncated", "it is not of the size that its header says")]
#[case::magic("magic", "it is without TDX-BLOB in its header")]
fn a_bad_image_changes_nothing(#[case] mutation: &str, #[case] line: &str) {
    let _host = share_host();
    passes(&format!(
        "[image]\nmutation = \"{mutation}\"\n[expect]\nupdate = \"unchanged\"\nupdate_error = \"firmware-invalid\"\nconsole = [\"module image refused: {line}\", \"update failed: -22\"]"
    ));
}

/// This twin waits before it stops the machine; in the proper module others have no time to try anything.
const SLOW: &str = "twin = \"no-hotplug-lock\"\nmodule_parameters = \"window_ms=3000\"\n";

/// ENODEV for the second upload's data (the kernel's upload class takes none before the first upload is through), EAGAIN for
/// the removal, and the first upload is none the worse for it.
#[test]
fn nobody_gets_between_an_update_and_its_end() {
    let _host = share_host();
    let verdict =
        passes(&format!("{SLOW}during = [{{ act = \"upload\", errno = 19 }}, {{ act = \"unload\", errno = 11 }}]"));
    assert_ne!(verdict["module_before"], verdict["module_after"], "{verdict:#}");
}

/// CPUs that come and go all the time do so before or after an update, never in one.
#[test]
fn cpu_hotplug_waits_for_the_update() {
    let _host = share_host();
    let verdict = passes(
        "updates = 10\nkeep_going = true\nload = [{ profile = \"hotplug\", pause_ms = 0 }]\nexpect.update = \"lost\"",
    );
    assert_eq!(verdict["invariants"]["stable-cpus"], "held", "{verdict:#}");
}
