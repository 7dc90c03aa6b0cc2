//! The archive for hosts without Rust.

use flate2::read::GzDecoder;
use rig_images::{Images, KernelRequest, Progress};
use rig_tests::Rig;
use std::fs::File;
use std::process::Command;

/// What is tried in a Debian that has neither Rust nor anything of this machine.
const TRY: &str = r#"cd /src/seamrig-*
command -v cargo rustc && echo "there is Rust"
bin/rig-hw --version
bin/rig-hw check; echo "check ended with $?"
bin/rig-hw update --mapping none.json; echo "update ended with $?"
bin/rig-agent; echo "agent ended with $?"
RIG_HW=$PWD/bin/rig-hw sh kselftest/rig_hw.sh; echo "kselftest ended with $?"
cat > /tmp/stub <<'END'
#!/bin/sh
[ "$1" = check ] && exit 0
while [ "$1" != --out ]; do shift; done
[ "$STUB" = refused ] && { echo "error: it is unsafe"; exit 6; }
printf 'KTAP version 1\n1..1\n%s 1 lockstep\n' "$STUB" > "$2/ktap.txt"
[ "$STUB" = ok ]
END
chmod +x /tmp/stub
export RIG_HW=/tmp/stub
sh kselftest/rig_hw.sh; echo "kselftest without a word ended with $?"
export TDX_YES=1
for STUB in ok "not ok" refused; do
    export STUB
    TDX_IMAGE=x sh kselftest/rig_hw.sh; echo "kselftest of $STUB ended with $?"
done
for file in licences/LICENSE-MIT licences/LICENSE-APACHE guest-kmod/COPYING scenarios/plain.toml README.md; do
    test -s $file || echo "no $file"
done
"#;

/// Only a Debian without Rust shows that the archive needs nothing that is not in it.
#[test]
fn the_archive_runs_in_a_clean_debian() {
    let rig = Rig::default();
    let packed = rig.go(&["dist", "--out", "dist", "--deb"]);
    let files: Vec<&str> = packed.expect(0).stdout.lines().collect();
    assert_eq!(files.len(), 2, "{packed}");
    let unpacked = rig.path("unpacked");
    let archive = File::open(rig.path(files[0])).unwrap();
    tar::Archive::new(GzDecoder::new(archive)).unpack(&unpacked).unwrap();

    let images = Images::open(Progress::stderr()).unwrap();
    let said = images.run_in_debian(&unpacked, &["sh", "-c", TRY]).unwrap();
    let has = |line: &str| assert!(said.iter().any(|said| said.contains(line)), "{line}: {said:#?}");
    has(concat!("rig-hw ", env!("CARGO_PKG_VERSION")));
    // Whatever this machine is, /sys of a TDX host is not shown in the container.
    has("LACK  TDX module");
    has("check ended with 5");
    has("update ended with 5");
    has("agent ended with 2");
    has("1..0 # SKIP");
    has("kselftest ended with 4");
    has("kselftest without a word ended with 4");
    has("not ok 1 lockstep");
    has("kselftest of ok ended with 0");
    has("kselftest of not ok ended with 1");
    has("1..0 # SKIP the update was refused: it is unsafe");
    has("kselftest of refused ended with 4");
    for wrong in ["there is Rust", "no licences", "no guest-kmod", "no scenarios", "no README"] {
        assert!(!said.iter().any(|line| line.contains(wrong)), "{said:#?}");
    }

    // The package has the same program, and the module sources where DKMS looks for them.
    let list = Command::new("dpkg-deb").arg("--contents").arg(rig.path(files[1])).output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    for path in
        ["./usr/sbin/rig-hw", "./usr/src/seamrig-0.1.0/dkms.conf", "./usr/share/seamrig/licences/DEPENDENCIES.md"]
    {
        assert!(list.contains(path), "{path}: {list}");
    }

    // And the sources are complete.
    let kernel = images.kernel(&KernelRequest::default()).unwrap();
    let folder = std::fs::read_dir(&unpacked).unwrap().next().unwrap().unwrap().path();
    let modules = images.build_modules(&kernel, &folder.join("guest-kmod")).unwrap();
    assert!(modules.iter().any(|module| module.ends_with("tdx_update.ko")), "{modules:?}");
}
