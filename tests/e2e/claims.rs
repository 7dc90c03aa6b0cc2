//! Claims, with and without what they claim.

use rig_tests::{Finished, Rig, take_host};
use std::path::Path;

fn claim(name: &str, flags: &[&str]) -> Finished {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/claims").join(name);
    let rig = Rig::default();
    let words = [&["claim", file.to_str().unwrap(), "--json", "--out", "claim"], flags].concat();
    rig.go(&words)
}

/// Only the kernel with and without its lock shows that the answer is about the lock, and not about the way of asking.
#[test]
fn the_race_that_a_lock_closed_is_there_without_it() {
    let _host = take_host();
    let open = claim("version-reader-unlocked.toml", &[]).json(1);
    assert_eq!(open["answer"], "reproduced", "{open:#}");
    let closed = claim("version-reader.toml", &["--runs", "3"]).json(6);
    assert_eq!(closed["answer"], "not-reproduced", "{closed:#}");
    assert_eq!(closed["evidence"]["runs"].as_array().map(Vec::len), Some(3), "{closed:#}");
}

/// Only a kernel that passes the flag shows that the module would have refused.
#[test]
#[ignore = "builds a kernel of its own, in some minutes on a busy host"]
fn an_update_beside_half_built_tds_is_refused_only_with_the_flag() {
    let _host = take_host();
    assert_eq!(claim("compat-sensitive.toml", &[]).json(1)["answer"], "reproduced");
    assert_eq!(claim("compat-sensitive-flag.toml", &["--runs", "2"]).json(6)["answer"], "not-reproduced");
}

/// Only the whole command shows that a proof answers a claim about the very kernel that was run.
#[test]
fn every_order_refutes_a_lost_acknowledgement() {
    let _host = take_host();
    let answer = claim("lost-acknowledgement.toml", &["--runs", "1"]).json(0);
    assert_eq!(answer["answer"], "refuted", "{answer:#}");
    assert!(answer["evidence"]["proof"]["states"].as_u64().unwrap() > 1000, "{answer:#}");
}
