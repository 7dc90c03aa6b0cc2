use super::*;
use crate::fake::Fake;
use rstest::rstest;

fn of(fake: &Fake) -> Vec<Condition> {
    conditions(&Facts::of(&fake.host()))
}

#[test]
fn a_host_that_has_all_is_ready() {
    let conditions = of(&Fake::new());
    assert!(conditions.iter().all(|c| c.standing == Standing::Good && c.remedy.is_empty()), "{conditions:#?}");
    assert!(is_ready(&conditions));
}

/// Each condition that is not met is reported with what was found and what repairs it; the others are unaffected.
#[rstest]
#[case::vendor(|f: &Fake| change(f, "/proc/cpuinfo", "GenuineIntel", "AuthenticAMD"), "processor", "AuthenticAMD", "Xeon")]
#[case::no_seam(|f: &Fake| change(f, "/proc/cpuinfo", "tdx_host_platform", ""), "processor", "no SEAM", "firmware setup")]
#[case::release(|f: &Fake| f.put("/proc/sys/kernel/osrelease", "6.12.9-amd64"), "kernel", "6.12.9", "7.2")]
#[case::option(|f: &Fake| change(f, "/boot/config-7.3.4", "CONFIG_FW_UPLOAD", "X"), "configuration", "CONFIG_FW_UPLOAD", "build")]
#[case::device(|f: &Fake| f.put("/sys/devices/faux/tdx_host/version", "none"), "TDX module", "none", "log")]
#[case::lost(Fake::lose_module, "TDX module", "ENXIO", "reboot")]
#[case::erratum(|f: &Fake| change(f, "/proc/cpuinfo", "bugs :", "bugs : seamret_invd_vmcs"), "erratum", "clears", "BIOS")]
#[case::no_interface(|f: &Fake| f.remove("/sys/class/firmware/tdx_module"), "update interface", "none", "preserve")]
#[case::busy(|f: &Fake| f.put("/sys/class/firmware/tdx_module/status", "transferring"), "update interface", "transferring", "wait")]
#[case::seamldr(|f: &Fake| f.remove("/sys/devices/faux/tdx_host/seamldr_version"), "P-SEAMLDR", "cannot be read", "root")]
#[case::used_up(|f: &Fake| f.put("/sys/devices/faux/tdx_host/num_remaining_updates", "0"), "remaining updates", "lose", "reboot")]
#[case::unread(|f: &Fake| f.remove("/sys/devices/faux/tdx_host/num_remaining_updates"), "remaining updates", "cannot", "root")]
#[case::offline(|f: &Fake| f.put("/sys/devices/system/cpu/online", "0-1,3"), "CPUs", "2 offline", "for c in 2;")]
fn what_is_missing_is_reported_with_its_remedy(
    #[case] spoil: fn(&Fake),
    #[case] name: &str,
    #[case] seen: &str,
    #[case] remedy: &str,
) {
    let fake = Fake::new();
    spoil(&fake);
    let conditions = of(&fake);
    assert!(!is_ready(&conditions));
    let bad: Vec<&Condition> = conditions.iter().filter(|c| c.standing == Standing::Missing).collect();
    assert_eq!(bad[0].name, name, "{bad:#?}");
    assert!(bad[0].seen.contains(seen) && bad[0].remedy.contains(remedy), "{:#?}", bad[0]);
    // A lost module has no interface worth speaking of, and reads no version.
    assert!(bad.len() == 1 || name == "TDX module", "{bad:#?}");
}

/// What makes an update worse, but not impossible.
#[rstest]
#[case::last(|f: &Fake| f.put("/sys/devices/faux/tdx_host/num_remaining_updates", "1"), "remaining updates", "last one", "--last")]
#[case::probes(|f: &Fake| f.remove("/sys/kernel/tracing"), "observation", "kprobe_events", "mount")]
#[case::locked(|f: &Fake| f.put("/sys/kernel/security/lockdown", "none integrity [confidentiality]"), "observation", "lockdown", "--blind")]
#[case::tds(|f: &Fake| tds_run(f, "tdx 2"), "trust domains", "2", "--with-tds")]
#[case::no_probes(|f: &Fake| change(f, "/boot/config-7.3.4", "CONFIG_KPROBE_EVENTS", "X"), "configuration", "observed", "build")]
fn what_is_weak_is_reported_with_its_remedy(
    #[case] spoil: fn(&Fake),
    #[case] name: &str,
    #[case] seen: &str,
    #[case] remedy: &str,
) {
    let fake = Fake::new();
    spoil(&fake);
    let conditions = of(&fake);
    assert!(is_ready(&conditions));
    let weak: Vec<&Condition> = conditions.iter().filter(|c| c.standing == Standing::Weak).collect();
    assert!(weak.len() == 1 && weak[0].name == name, "{weak:#?}");
    assert!(weak[0].seen.contains(seen) && weak[0].remedy.contains(remedy), "{weak:#?}");
}

#[test]
fn a_machine_without_the_device_misses_the_module_first() {
    let fake = Fake::new();
    fake.remove("/sys/devices/faux/tdx_host");
    fake.remove("/sys/class/firmware/tdx_module");
    let conditions = of(&fake);
    let first = conditions.iter().find(|c| c.standing == Standing::Missing).unwrap();
    assert!(first.name == "TDX module" && first.remedy.contains("modprobe tdx-host"), "{first:#?}");
}

#[test]
fn what_no_file_says_is_unknown() {
    let fake = Fake::new();
    fake.remove("/boot/config-7.3.4");
    let conditions = of(&fake);
    assert!(is_ready(&conditions));
    assert_eq!(conditions.iter().filter(|c| c.standing == Standing::Unknown).count(), 1);
}

fn change(fake: &Fake, path: &str, from: &str, to: &str) {
    let text = fake.host().read(path).unwrap();
    assert!(text.contains(from));
    fake.put(path, text.replace(from, to));
}

fn tds_run(fake: &Fake, current: &str) {
    fake.put("/sys/module/kvm_intel/parameters/tdx", "Y");
    fake.put("/sys/fs/cgroup/misc.current", current);
}
