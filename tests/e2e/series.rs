//! A patch series on the rig's own kernel.

use rig_tests::{Rig, take_host};
use serde_json::Value;
use std::path::Path;

/// One patch repairs finding 9, one makes the state advance too early, one changes a comment. Only real kernels show that an
/// incremental build has in it what the patch says, and nothing of the one before.
#[test]
fn a_series_that_repairs_breaks_and_does_nothing_is_told_so() {
    let _host = take_host();
    let rig = Rig::default();
    let patches = Path::new(env!("CARGO_MANIFEST_DIR")).join("series");
    let scenarios = ["--scenario", "plain", "--scenario", "bad-image-no-sigstruct"];
    let arguments = [&["series", patches.to_str().unwrap(), "--json"], &scenarios[..]].concat();
    let first = rig.go(&arguments).json(1);
    let rows = first["report"]["rows"].as_array().unwrap();
    let of = |row: &Value| {
        let change = &row["differences"][0];
        let words = [&row["standing"], &change["before"]["outcome"], &change["after"]["outcome"]];
        words.map(|word| word.as_str().unwrap_or("-").to_owned())
    };
    let expected = [["better", "xfail", "xpass"], ["worse", "passed", "failed"], ["same", "-", "-"]];
    assert_eq!(rows.iter().map(of).collect::<Vec<_>>(), expected, "{first:#}");
    let broken = &rows[1]["differences"][0]["after"]["by"];
    assert!(broken.as_array().unwrap().iter().any(|name| name == "lockstep"), "{broken}");
    assert_eq!(rig.go(&arguments).json(1), first, "nothing is built or run again");
}
