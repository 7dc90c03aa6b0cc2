//! Updates by programs that are not the rig's.

use rig_tests::{HELD, Rig, share_host};

/// A person may forget to write to `loading` before the image.
const FORGETFUL: &str = "cd /sys/class/firmware/tdx_module
cat /client/joined_files/1.5/tdx_module_1.5.07.blob > data
echo 0 > loading
echo done
";

/// The scenario of an administrator, with a script that is brought.
const SCENARIO: &str = r#"name = "forgetful"
updates = 0
[userspace]
packages = ["coreutils", "dash"]
brings = [{ name = "update.sh", from = "this test" }]
[[client]]
program = "/usr/bin/sh"
arguments = ["/client/update.sh"]
says = ["done"]
version = "1.5.07"
"#;

/// Only Debian's own programs on the real kernel show that the procedure of its documentation works, and that the emulator sees
/// such an update as it sees the agent's.
#[test]
fn an_update_by_a_shell_is_judged_like_any_other() {
    let _host = share_host();
    let rig = Rig::default();
    let verdict = rig.go(&["run", "client-shell", "--json", "--out", "run"]).json(0);
    for name in HELD {
        assert_eq!(verdict["invariants"][name], "held", "{name}: {verdict:#}");
    }
    assert_eq!((verdict["updates"].as_u64(), verdict["module_after"].as_str()), (Some(1), Some("1.5.07")));
    let checks = verdict["checks"].as_array().unwrap();
    assert!(checks.len() > 5 && checks.iter().all(|check| check["met"] == true), "{verdict:#}");
    let manifest = std::fs::read_to_string(rig.path("run/manifest.json")).unwrap();
    assert!(manifest.contains("\"dash\"") && manifest.contains("\"coreutils\""), "{manifest}");
}

/// The twin of the one above: only a client that does it wrong shows that its word is not believed.
#[test]
fn a_client_that_only_says_so_fails() {
    let _host = share_host();
    let rig = Rig::default();
    let (scenario, script) = (rig.file("forgetful.toml", SCENARIO), rig.file("update.sh", FORGETFUL));
    let (scenario, script) = (scenario.to_str().unwrap(), script.to_str().unwrap());
    let verdict = rig.go(&["run", scenario, "--client", script, "--json"]).json(1);
    let unmet = verdict["checks"].as_array().unwrap().iter().filter(|check| check["met"] == false);
    let unmet: Vec<&str> = unmet.filter_map(|check| check["name"].as_str()).collect();
    assert!(unmet.contains(&"version after sh /client/update.sh"), "{verdict:#}");
}

/// A scenario whose parts the user has to bring is skipped where they are missing, and that is no failure.
#[test]
fn without_its_client_a_scenario_is_skipped() {
    let rig = Rig::default();
    let finished = rig.go(&["run", "client-intel", "--json"]);
    let verdict = finished.json(77);
    assert_eq!(verdict["verdict"], "skipped", "{verdict:#}");
    assert!(finished.stderr.contains("skipped: client-intel needs version_select_and_load.py"), "{finished}");
    assert!(finished.stderr.contains("help: give it with --client PATH"), "{finished}");
    rig.go(&["run", "plain", "--client", "x"]).expect(2).says(&["--client"]);
}

/// The layout that update clients read, made without a machine.
#[test]
fn images_are_written_as_clients_read_them() {
    let rig = Rig::default();
    let made = rig.go(&["images", "module", "--out", "images", "--updates", "2"]);
    let files: Vec<&str> = made.expect(0).stdout.lines().collect();
    assert_eq!(files.len(), 4, "{made}");
    let mapping = std::fs::read(rig.path("images/mapping_file.json")).unwrap();
    let mapping: serde_json::Value = serde_json::from_slice(&mapping).unwrap();
    let releases = mapping["tdx_module_releases"].as_array().unwrap();
    for (release, version) in releases.iter().zip(["1.5.06", "1.5.07", "1.5.08"]) {
        assert_eq!(release["version"], version);
        assert!(rig.path(&format!("images/joined_files/1.5/tdx_module_{version}.blob")).is_file(), "{version}");
    }
    rig.go(&["images", "module", "--out", "images"]).expect(2).says(&["not empty"]);
}
