//! Bad input: each kind gets a clear error with a remedy and the right exit code, and loses nothing.

use rig_images::{Images, Progress};
use rig_tests::{Rig, share_host};
use rstest::rstest;
use seam_emu::image::{ImageSpec, build};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn next_module() -> Vec<u8> {
    build(&ImageSpec { update: 7, ..ImageSpec::default() })
}

/// Runs one update with these bytes as the image.
fn upload(image: &[u8], update: &str) -> serde_json::Value {
    let rig = Rig::default();
    let file = rig.file("image.bin", image);
    let scenario = rig.file(
        "scenario.toml",
        format!(
            "name = \"image\"\n[image]\nfile = {:?}\n[expect]\nupdate = \"{update}\"\nupdate_error = \"firmware-invalid\"\n",
            file.display().to_string()
        ),
    );
    rig.go(&["run", scenario.to_str().unwrap(), "--json"]).json(0)
}

/// Only the kernel decides what it takes: a truncated image is refused before SHUTDOWN, so the old module still runs.
#[test]
fn a_truncated_module_image_changes_nothing() {
    let _host = share_host();
    let image = next_module();
    let verdict = upload(&image[..image.len() - 4096], "unchanged");
    assert_eq!(verdict["module_before"], verdict["module_after"], "{verdict:#}");
}

/// What only P-SEAMLDR can see (a changed byte under the hash) is found after SHUTDOWN, when the old module is gone.
#[test]
fn an_altered_module_image_costs_the_module() {
    let _host = share_host();
    let mut image = next_module();
    let last = image.len() - 1;
    image[last] ^= 1;
    let verdict = upload(&image, "lost");
    assert_ne!(verdict["module_before"], verdict["module_after"], "{verdict:#}");
}

/// A file that cannot be read is the caller's mistake, and no machine is started for it.
#[test]
fn a_missing_module_image_is_named() {
    let rig = Rig::default();
    let scenario = rig.file("s.toml", "name = \"image\"\n[image]\nfile = \"nowhere.bin\"\n");
    let finished = rig.go(&["run", scenario.to_str().unwrap()]);
    finished.says(&["nowhere.bin"]);
    assert!([2, 5].contains(&finished.code), "{finished}");
}

/// The kernel's symbols show that it cannot do the update, before a machine is started.
#[test]
fn a_kernel_without_tdx_host_support_is_refused() {
    let rig = Rig::default();
    let images = Images::open(Progress::silent()).unwrap();
    let kernel = images.kernel(&rig_images::KernelRequest::default()).unwrap();
    let map = std::fs::read_to_string(kernel.system_map.unwrap()).unwrap();
    let without: Vec<&str> = map.lines().filter(|l| !l.contains("seamldr")).collect();
    let bzimage = rig.file("bzImage", std::fs::read(kernel.bzimage).unwrap());
    rig.file("System.map", without.join("\n"));
    rig.go(&["run", "--kernel", bzimage.to_str().unwrap()]).expect(2).says(&["tdx"]);
}

#[rstest]
#[case("name = \"x\"\ncpu = 4\n", &["cpu", ".toml:2:", "cpus"])]
#[case("name = \"x\"\n[expect]\nverdikt = \"passed\"\n", &["verdikt", ".toml:3:", "verdict"])]
#[case("name = \"x\"\ncpus = 0\n", &["cpus"])]
#[case("name = \"x\"\ncpus = \"many\"\n", &[".toml:2:"])]
#[case("name = ", &[".toml:1:"])]
fn a_wrong_scenario_names_the_key_the_line_and_the_nearest_key(#[case] text: &str, #[case] words: &[&str]) {
    let rig = Rig::default();
    let scenario = rig.file("scenario.toml", text);
    let finished = rig.go(&["run", scenario.to_str().unwrap()]);
    finished.expect(2);
    assert!(finished.stderr.contains("error:") && finished.stderr.contains("help:"), "{finished}");
    for word in words {
        assert!(finished.stderr.contains(word), "'{word}': {finished}");
    }
}

/// A shell script that stands in for QEMU.
fn fake_qemu(rig: &Rig, version: &str, help: &str, start: &str) -> PathBuf {
    let script = format!(
        "#!/bin/sh\ncase $1 in\n--version) echo 'QEMU emulator version {version}'; exit;;\n--help) echo '{help}'; exit;;\nesac\n{start}\n"
    );
    let path = rig.file("qemu", script);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn with_qemu(rig: &Rig, qemu: &Path) -> rig_tests::Finished {
    rig.go(&["run", "--out", "evidence", "--qemu", qemu.to_str().unwrap()])
}

#[test]
fn a_qemu_that_is_too_old_is_refused() {
    let rig = Rig::default();
    let qemu = fake_qemu(&rig, "10.0.2", "-plugin [file=]<file>", "exit 1");
    with_qemu(&rig, &qemu).expect(5).says(&["10.0", "too old"]);
}

#[test]
fn a_qemu_without_plugins_is_refused() {
    let rig = Rig::default();
    let qemu = fake_qemu(&rig, "11.1.3", "no such option", "exit 1");
    with_qemu(&rig, &qemu).expect(5).says(&["without plugins"]);
}

/// QEMU's own message is the cause of the error, and it is kept.
#[test]
fn a_qemu_that_dies_at_start_is_quoted() {
    let _host = share_host();
    let rig = Rig::default();
    let qemu = fake_qemu(&rig, "11.1.3", "-plugin [file=]<file>", "echo 'qemu: out of cheese' >&2; exit 1");
    with_qemu(&rig, &qemu).expect(5).says(&["out of cheese"]);
    assert!(std::fs::read_to_string(rig.path("evidence/qemu.log")).unwrap().contains("out of cheese"));
}

/// The real QEMU, given a plan that does not exist: the plugin refuses to load and says why.
#[test]
fn a_plugin_that_fails_to_load_is_quoted() {
    let _host = share_host();
    let rig = Rig::default();
    let real = Images::open(Progress::silent()).unwrap().tool_root().unwrap().qemu_command();
    let words: Vec<String> = std::iter::once(real.get_program())
        .chain(real.get_args())
        .map(|w| format!("'{}'", w.to_string_lossy().replace('\'', r"'\''")))
        .collect();
    let start = format!(
        "for a; do shift; case $a in *plan=*) a=\"${{a%plan=*}}plan=/nowhere/plan.json\";; esac; set -- \"$@\" \"$a\"; done\nexec {} \"$@\"",
        words.join(" ")
    );
    let qemu = fake_qemu(&rig, "11.1.3", "-plugin [file=]<file>", &start);
    with_qemu(&rig, &qemu).expect(5).says(&["/nowhere/plan.json"]);
}

/// A build that cannot finish leaves an empty cache, not half an entry.
#[test]
fn no_network_on_first_use() {
    let rig = Rig::default();
    let cache = rig.path("cache");
    let rig = rig.with_env("RIG_CACHE", &cache).with_env("RIG_DEBIAN_MIRROR", "http://127.0.0.1:9/debian");
    rig.go(&["run"]).expect(5).says(&[]);
    let entries = std::fs::read_dir(cache.join("entries")).map_or(0, Iterator::count);
    assert_eq!(entries, 0, "an entry was made of nothing");
}

/// A tmpfs of 64 KiB as the run folder's place, in a mount namespace of the test's own.
#[test]
fn no_disk_space_for_the_run_folder() {
    let rig = Rig::default();
    let disk = rig.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let line = "mount -t tmpfs -o size=64k tmpfs \"$1\" && exec \"$2\" run --out \"$1/run\"";
    let output = std::process::Command::new("unshare")
        .args(["-Urm", "sh", "-c", line, "sh"])
        .arg(&disk)
        .arg(rig_tests::binary())
        .current_dir(rig.path(""))
        .output()
        .expect("unshare of util-linux is there, as the rig needs it itself");
    rig_tests::Finished::from(output).expect(5).says(&["space"]);
}
