//! Trust domains that Linux's own KVM builds and runs, through updates of the module beneath them.

use rig_tests::{Rig, share_host};
use rstest::rstest;
use serde_json::Value;

fn check<'a>(verdict: &'a Value, name: &str) -> &'a Value {
    let checks = verdict["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name}: {verdict:#}"))
}

/// Only Linux's complete TDX stack shows that TDs which KVM built run through updates: both the firmware's digests and what
/// the TDs say themselves must agree.
#[test]
fn tds_notice_nothing_of_updates() {
    let _host = share_host();
    let asked = ["run", "td-kvm", "--tds", "3", "--td-vcpus", "2", "--updates", "3", "--json"];
    let verdict = Rig::default().go(&asked).json(0);
    assert_eq!(verdict["verdict"], "passed", "{verdict:#}");
    for name in ["preservation", "update-only", "quiet-kernel"] {
        assert_eq!(verdict["invariants"][name], "held", "{name}: {verdict:#}");
    }
    assert_eq!(check(&verdict, "vCPUs of TDs that ended")["seen"], "6");
    assert_eq!(check(&verdict, "TDs' hash chains")["seen"], "as predicted");
    assert_eq!(check(&verdict, "left in the firmware")["seen"], "0 TDs, 0 pages, 0 KeyIDs");
}

/// Only TDs with state of their own show that `preservation` would see it if that state were lost.
#[rstest]
#[case("td-kvm-flip-bit")]
#[case("td-kvm-forget-registers")]
#[case("td-kvm-drop-keyid")]
fn a_spoilt_td_is_noticed(#[case] scenario: &str) {
    let _host = share_host();
    let verdict = Rig::default().go(&["run", scenario, "--json"]).json(0);
    assert_eq!(verdict["invariants"]["preservation"], "broken", "{verdict:#}");
    let others = verdict["invariants"].as_object().unwrap().iter().filter(|(name, _)| *name != "preservation");
    assert!(others.clone().all(|(_, found)| *found != "broken"), "{verdict:#}");
}

/// Only KVM on a platform with few KeyIDs shows that it refuses, and that what it refuses leaves nothing behind.
#[test]
fn keyids_run_out_and_come_back() {
    let _host = share_host();
    let verdict = Rig::default().go(&["run", "td-kvm-keyids", "--json"]).json(0);
    assert_eq!(check(&verdict, "TDs come and gone: refused")["seen"], "some", "{verdict:#}");
    assert_eq!(check(&verdict, "left in the firmware")["met"], true, "{verdict:#}");
}
