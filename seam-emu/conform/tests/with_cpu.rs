//! Runs the tests that need the software CPU, which is behind a feature that is off by default.
//!
//! They are built by a cargo of their own. Were the feature on for a member of this workspace, every build of the workspace
//! would compile the CPU, and what is linked with it would be under the GPL.

use std::process::Command;

#[test]
#[ignore = "needs cmake and a C compiler, and compiles the software CPU"]
fn the_machine_runs_a_module() {
    if cfg!(feature = "cpu") {
        // Then `tests/machine` runs beside this test.
        return;
    }
    let cmake = Command::new("cmake").arg("--version").output();
    assert!(cmake.is_ok(), "the software CPU is C that cmake builds, and there is none: apt-get install cmake");
    let tests = Command::new(env!("CARGO"))
        .args(["test", "-p", "seam-conform", "--features", "cpu", "--test", "machine"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs this test, too");
    let told = String::from_utf8_lossy(&tests.stdout);
    let errors = String::from_utf8_lossy(&tests.stderr);
    assert!(tests.status.success(), "{told}\n{errors}");
    assert!(told.contains("test result: ok") && !told.contains(" 0 passed"), "no test ran: {told}");
}
