//! Changes of pictures of hosts, whose kernel takes an image and does what the test says.

use super::*;
use crate::fake::{Fake, lose_module};
use crate::journal::{self, Last};
use crate::lock::Lock;
use crate::restore::pending;
use crate::trouble::{Exit, Trouble};
use nix::sys::signal::{Signal, raise};
use rig_judge::{Invariant, Outcome, Standing, Verdict};
use seam_emu::image::{ImageSpec, build};
use std::fs;
use std::path::Path;
use std::sync::Mutex;

const ERROR: &str = "/sys/class/firmware/tdx_module/error";
const OPTIMIZATION: &str = "/proc/sys/debug/kprobes-optimization";
const PROBES: &str = "/sys/kernel/tracing/kprobe_events";
const TRACE: &str = "/sys/kernel/tracing/instances/seamrig/trace";
const ONLINE: &str = "/sys/devices/system/cpu/online";
const FULL: &str = "/var/lib/seamrig/journal.full";

/// A host with an image of version 1.5.`to`, and a request to install it so often, without observation.
fn host(to: u16, updates: u32) -> (Fake, Request) {
    let fake = Fake::new();
    let spec = ImageSpec { major: 1, minor: 5, update: to, cpuids: vec![0x0008_06f0], ..ImageSpec::default() };
    let image = fake.host().path(&format!("/tdx_module_{}.blob", spec.version_string()));
    fs::write(&image, build(&spec)).unwrap();
    let request = Request {
        what: if updates == 1 { "update" } else { "stress" },
        image: Some(image),
        updates,
        yes: true,
        blind: true,
        out: Some(fake.host().path("/out")),
        ..Request::default()
    };
    (fake, request)
}

/// The same, observed by probes that show nothing.
fn observed(to: u16, updates: u32) -> (Fake, Request) {
    let (fake, request) = host(to, updates);
    fake.put_symbols();
    fake.put(OPTIMIZATION, "1\n");
    (fake, Request { blind: false, ..request })
}

fn made(fake: &Fake, request: &Request) -> Verdict {
    made_and(fake, request, |_| {})
}

/// `then` gets the line of each step that is under way.
fn made_and(fake: &Fake, request: &Request, then: impl Fn(&str)) -> Verdict {
    let verdict = make(&fake.host(), request, &then).unwrap();
    let out = fake.host().path("/out");
    for name in ["verdict.json", "junit.xml", "ktap.txt", "report.html"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    assert_eq!(on_disk(&out)["exit_code"], verdict.exit_code);
    verdict
}

fn on_disk(out: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(out.join("verdict.json")).unwrap()).unwrap()
}

fn reason(verdict: &Verdict) -> &str {
    verdict.reason.as_deref().unwrap_or("")
}

/// What a file holds from the moment on in which an update begins.
fn at_update(fake: &Fake, number: u32, path: &str, text: &str) {
    let (path, text) = (fake.host().path(path), text.to_owned());
    fake.on_update(move |begun| {
        if begun == number {
            fs::write(&path, &text).unwrap();
        }
    });
}

#[test]
fn the_journal_has_each_step_before_it_is_taken() {
    let (fake, request) = host(5, 1);
    let verdict = made(&fake, &request);
    assert_eq!((verdict.facts.updates, fake.begun()), (1, 1), "{:?}", verdict.reason);
    let steps: Vec<String> = journal::entries(&fake.host()).into_iter().map(|entry| entry.step).collect();
    assert_eq!(steps, ["begin", "upload", "read the outcome", "stop observing", "done"]);
    assert!(fake.host().path("/out/events.bin").is_file());
}

/// What was checked is uploaded, whatever becomes of the file meanwhile.
#[test]
fn the_bytes_that_were_checked_are_uploaded() {
    let (fake, request) = host(5, 1);
    let file = request.image.clone().unwrap();
    let checked = fs::read(&file).unwrap();
    made_and(&fake, &request, |_| fs::write(&file, "something else").unwrap());
    assert_eq!(fs::read(fake.host().path("/sys/class/firmware/tdx_module/data")).unwrap(), checked);
}

/// Nothing was observed but the log, so nothing else held.
#[test]
fn what_was_not_observed_did_not_hold() {
    let (fake, request) = host(5, 1);
    let verdict = made(&fake, &request);
    let held = verdict.invariants.iter().filter(|(_, standing)| **standing != Standing::NotApplicable);
    assert!(held.map(|(invariant, _)| *invariant).all(|i| i == Invariant::QuietKernel), "{:?}", verdict.invariants);
    assert!(verdict.why_not_observed(Invariant::Lockstep).unwrap().contains("--blind"));
}

/// A kernel that logs nothing is not a quiet one.
#[test]
fn a_log_that_shows_nothing_is_not_judged() {
    let (fake, request) = host(5, 1);
    fake.remove("/dev/kmsg");
    std::os::unix::fs::symlink("/dev/null", fake.host().path("/dev/kmsg")).unwrap();
    let verdict = made(&fake, &request);
    assert!(verdict.why_not_observed(Invariant::QuietKernel).unwrap().contains("does not show a line"));
}

#[test]
fn an_update_that_changes_nothing_has_failed() {
    let (fake, request) = host(6, 1);
    let verdict = made(&fake, &request);
    assert_eq!(verdict.verdict, Outcome::Failed);
    assert!(reason(&verdict).contains("expected 1.5.06, seen 1.5.05"), "{verdict:?}");
}

/// The kernel says success, and the module is gone: also where the version of the image is not known.
#[test]
fn a_success_without_a_module_is_none() {
    let (fake, request) = host(6, 1);
    let nameless = fake.host().path("/image.bin");
    fs::copy(request.image.as_ref().unwrap(), &nameless).unwrap();
    let root = fake.host().path("/");
    fake.on_update(move |_| lose_module(&root));
    let verdict = made(&fake, &Request { image: Some(nameless), force: true, ..request });
    assert_eq!(verdict.verdict, Outcome::Failed);
    assert!(reason(&verdict).contains("expected one that runs, seen no module"), "{verdict:?}");
}

#[test]
fn an_update_that_the_kernel_refuses_is_explained() {
    let (fake, request) = host(6, 1);
    at_update(&fake, 1, ERROR, "transferring:firmware-invalid");
    let verdict = made(&fake, &request);
    assert_eq!((verdict.verdict, verdict.facts.updates), (Outcome::Failed, 0));
    assert!(reason(&verdict).contains("before any SEAMCALL") && verdict.remedy.is_some());
}

#[test]
fn time_ends_a_stress() {
    let (fake, request) = host(5, 5);
    let (within, loads) = (Some(Duration::ZERO), vec!["page-fault".into()]);
    let verdict = made(&fake, &Request { within, loads, ..request });
    assert_eq!((verdict.facts.updates, verdict.verdict), (0, Outcome::Failed), "none was made: nothing was shown");
    assert!(verdict.facts.load[0].counts["operations"] > 0, "{:?}", verdict.facts.load);
}

/// A second command does not even look at the host, so it cannot go on later with what it saw.
#[test]
fn the_lock_comes_before_the_first_look() {
    let (fake, request) = host(5, 1);
    let held = Lock::take(&fake.host()).unwrap();
    fake.put(ONLINE, "0-2");
    let refused = make(&fake.host(), &request, &|_| {}).unwrap_err();
    assert!(refused.exit == Exit::Refused && refused.cause.contains("another rig-hw"), "{refused}");
    drop(held);
    assert!(make(&fake.host(), &request, &|_| {}).unwrap_err().cause.contains("3 offline"));
    assert_eq!(fake.begun(), 0);
}

/// The host is looked at before each update, not once for all.
#[test]
fn a_stress_ends_when_the_host_is_no_longer_as_planned() {
    for (path, text, why) in [
        (ONLINE, "0-1,3", "CPUs [2] are offline"),
        ("/sys/devices/faux/tdx_host/num_remaining_updates", "1", "1 update(s) are left"),
        ("/sys/class/firmware/tdx_module/status", "receiving", "the upload device is not idle: receiving"),
        ("/sys/devices/faux/tdx_host/version", "1.5.04", "module 1.5.04 runs, not module 1.5.05 as planned"),
        ("/sys/fs/cgroup/misc.current", "tdx 1", "trust domains run on this host (1)"),
    ] {
        let (fake, request) = host(5, 5);
        fake.put("/sys/module/kvm_intel/parameters/tdx", "Y");
        fake.put("/sys/fs/cgroup/misc.current", "tdx 0");
        // As another program could, between two updates and after the first look at them.
        let verdict = made_and(&fake, &request, |doing| {
            if doing.starts_with("update 2 of") {
                fake.put(path, text);
            }
        });
        assert_eq!((fake.begun(), verdict.facts.updates, verdict.verdict), (1, 1, Outcome::RigError), "{path}");
        assert!(reason(&verdict).contains(&format!("update 2 was not begun: {why}")), "{verdict:?}");
        assert_eq!(
            fake.host().read("/sys/class/firmware/tdx_module/loading").unwrap(),
            "-1",
            "the image is taken back"
        );
        assert_eq!(journal::last(&fake.host()), Last::Done);
    }
}

/// A production host is no place to go on after an invariant broke.
#[test]
fn a_breach_ends_a_stress() {
    let (fake, request) = host(5, 5);
    let line = "4,2,2,-;WARNING: CPU: 2 PID: 1 at arch/x86/virt/vmx/tdx/seamldr.c:1 f+0x1/0x2\n";
    at_update(&fake, 2, "/dev/kmsg", &format!("6,1,1,-;{}\n{line}", "x".repeat(400)));
    let said = Mutex::new(Vec::new());
    let verdict = made_and(&fake, &request, |doing| said.lock().unwrap().push(doing.to_owned()));
    assert_eq!((fake.begun(), verdict.verdict), (2, Outcome::Failed), "{verdict:?}");
    assert_eq!(verdict.invariants[&Invariant::QuietKernel], Standing::Broken);
    assert!(said.lock().unwrap().iter().any(|line| line.starts_with("an invariant broke")), "{said:?}");
}

#[test]
fn a_kernel_log_that_is_lost_ends_a_stress() {
    let (fake, request) = host(5, 5);
    // It can be opened, and every read fails.
    fake.remove("/dev/kmsg");
    fs::create_dir(fake.host().path("/dev/kmsg")).unwrap();
    let verdict = made(&fake, &request);
    assert_eq!((fake.begun(), verdict.verdict), (0, Outcome::RigError));
    assert!(reason(&verdict).contains("the kernel's log cannot be read"), "{verdict:?}");
}

/// The module is lost, and the trace fails as well. The loss matters more, so it is reported first.
#[test]
fn the_outcome_is_reported_before_any_trouble_of_the_trace() {
    let (fake, request) = observed(6, 5);
    let host = fake.host();
    fake.on_update(move |_| {
        lose_module(&host.path("/"));
        fs::write(host.path(ERROR), "transferring:firmware-invalid").unwrap();
        fs::remove_file(host.path(TRACE)).unwrap();
    });
    let said = Mutex::new(Vec::new());
    let verdict = made_and(&fake, &request, |doing| said.lock().unwrap().push(doing.to_owned()));
    assert_eq!((fake.begun(), verdict.verdict, verdict.exit_code), (1, Outcome::Failed, 1));
    let (lost, trace) = ("this host has no TDX module now", "also: the trace cannot be read");
    assert!(reason(&verdict).find(lost) < reason(&verdict).find(trace), "{}", reason(&verdict));
    assert!(reason(&verdict).contains(lost) && verdict.remedy.as_deref().unwrap().contains("reboot"), "{verdict:?}");
    let said = said.into_inner().unwrap();
    assert!(said.iter().any(|line| line.contains("update 1 FAILED: this host has no TDX module now")), "{said:?}");
    assert!(verdict.facts.module_after.is_none());
}

#[test]
fn a_trace_that_fails_ends_a_stress() {
    let (fake, request) = observed(5, 5);
    let trace = fake.host().path(TRACE);
    fake.on_update(move |begun| {
        if begun == 2 {
            fs::remove_file(&trace).unwrap();
        }
    });
    let verdict = made(&fake, &request);
    assert_eq!((fake.begun(), verdict.facts.updates, verdict.verdict), (2, 2, Outcome::RigError));
    assert!(reason(&verdict).contains("the trace cannot be read"), "{verdict:?}");
}

/// A step that cannot be written to the journal is not done; a step that was done is reported even if the journal
/// cannot be written.
#[test]
fn a_full_disk_ends_a_stress_and_hides_nothing() {
    let (fake, request) = host(5, 5);
    let verdict = made_and(&fake, &request, |doing| {
        if doing.starts_with("update 2 of") {
            fake.put(FULL, "");
        }
    });
    assert_eq!((fake.begun(), verdict.facts.updates, verdict.verdict), (1, 1, Outcome::RigError));
    assert!(reason(&verdict).contains("journal.jsonl"), "{verdict:?}");
    let (fake, request) = host(6, 1);
    let host = fake.host();
    fake.on_update(move |_| {
        fs::write(host.path(FULL), "").unwrap();
        lose_module(&host.path("/"));
        fs::write(host.path(ERROR), "transferring:firmware-invalid").unwrap();
    });
    let verdict = made(&fake, &request);
    assert_eq!(verdict.verdict, Outcome::Failed);
    assert!(
        reason(&verdict).contains("no TDX module now") && reason(&verdict).contains("journal.jsonl"),
        "{verdict:?}"
    );
}

/// Inside an update a signal ends nothing; between two it ends the stress, and all is put back.
#[test]
fn signals_are_looked_at_between_updates() {
    let test = || {
        let (fake, request) = observed(5, 5);
        fake.on_update(|begun| {
            if begun == 2 {
                raise(Signal::SIGTERM).unwrap();
            }
        });
        let verdict = made(&fake, &request);
        assert_eq!((fake.begun(), verdict.facts.updates, verdict.verdict), (2, 2, Outcome::RigError));
        assert!(reason(&verdict).contains("stopped by SIGTERM after 2 of 5 updates"), "{verdict:?}");
        assert_eq!(fake.host().read(OPTIMIZATION).unwrap(), "1");
        assert!(pending(&fake.host()).is_empty());
    };
    std::thread::spawn(test).join().unwrap();
}

#[test]
fn everything_is_put_back() {
    let (fake, request) = observed(5, 1);
    let settings = Mutex::new(Vec::new());
    made_and(&fake, &request, |doing| {
        if doing.starts_with("update 1 of") {
            *settings.lock().unwrap() = [OPTIMIZATION, PROBES].map(|path| fake.host().read(path).unwrap()).to_vec();
        }
    });
    let settings = settings.into_inner().unwrap();
    assert!(settings[0] == "0" && settings[1].contains(":seamrig/call"), "{settings:?}");
    assert_eq!([OPTIMIZATION, PROBES].map(|path| fake.host().read(path).unwrap()), ["1", ""]);
    assert!(!fake.host().path(TRACE).exists() && pending(&fake.host()).is_empty());
}

/// What stays changed is an error of the rig, and nothing is begun before it is repaired.
#[test]
fn what_is_not_put_back_is_reported_and_must_be_repaired() {
    let (fake, request) = observed(5, 1);
    fake.fail(PROBES, "-:seamrig/end", 0, u32::MAX);
    let verdict = made(&fake, &request);
    assert_eq!((fake.begun(), verdict.verdict), (1, Outcome::RigError));
    assert!(reason(&verdict).contains("not restored: remove the probes"), "{verdict:?}");
    assert_eq!(verdict.remedy.as_deref(), Some("rig-hw check --repair"));
    let again = make(&fake.host(), &request, &|_| {}).unwrap_err();
    assert!(again.cause.contains("cut short and left") && again.help.contains("--repair"), "{again}");
    assert_eq!(fake.begun(), 1);
    fake.fail(PROBES, "-:seamrig/end", 0, 0);
    crate::repair::repair(&fake.host()).unwrap();
    assert_eq!(fake.host().read(PROBES).unwrap(), "");
    made(&fake, &request);
    assert_eq!(fake.begun(), 2);
}

/// There is a verdict of what could not even begin.
#[test]
fn what_cannot_begin_leaves_a_verdict() {
    let (fake, request) = host(5, 1);
    let Trouble { exit, cause, .. } = make(&fake.host(), &Request { blind: false, ..request }, &|_| {}).unwrap_err();
    let verdict = on_disk(&fake.host().path("/out"));
    assert_eq!((&verdict["verdict"], &verdict["exit_code"]), (&"rig-error".into(), &(exit as u8).into()));
    assert_eq!(verdict["reason"], cause);
    assert_eq!((fake.begun(), journal::last(&fake.host())), (0, Last::Done));
}

/// A stress beneath CPUs that come and go, of which one does not come back at once, or never.
fn beneath_hotplug(failures: u32) -> (Fake, Verdict) {
    let (fake, request) = host(5, 400);
    fake.put("/sys/devices/faux/tdx_host/num_remaining_updates", "2000");
    fake.fail("/sys/devices/system/cpu/cpu1/online", "1", 0, failures);
    let within = Some(Duration::from_secs(3));
    let at_begin = fake.host();
    fake.on_update(move |_| assert_eq!(at_begin.read(ONLINE).unwrap(), "0-3", "no update begins without a CPU"));
    let verdict = made(&fake, &Request { loads: vec!["hotplug".into()], within, ..request });
    (fake, verdict)
}

#[test]
fn a_cpu_that_comes_back_late_is_waited_for() {
    let (fake, verdict) = beneath_hotplug(3);
    assert!(fake.begun() > 0 && verdict.facts.updates == fake.begun(), "{verdict:?}");
    assert!(verdict.facts.load[0].counts["errors"] > 0 && verdict.facts.load[0].counts["operations"] > 0);
    assert_eq!(fake.host().read(ONLINE).unwrap(), "0-3");
    assert!(pending(&fake.host()).is_empty());
}

#[test]
fn no_update_begins_while_a_load_has_a_cpu_offline() {
    let (fake, verdict) = beneath_hotplug(u32::MAX);
    assert!(fake.begun() < 400 && verdict.verdict == Outcome::RigError);
    assert!(reason(&verdict).contains("a load took a CPU offline and cannot bring it back"), "{verdict:?}");
    assert!(reason(&verdict).contains("not restored: bring CPUs online again"), "{verdict:?}");
    // It is still on the list, and comes back when the kernel lets it.
    assert_eq!(fake.host().read(ONLINE).unwrap(), "0,2,3");
    fake.fail("/sys/devices/system/cpu/cpu1/online", "1", 0, 0);
    crate::repair::repair(&fake.host()).unwrap();
    assert_eq!(fake.host().read(ONLINE).unwrap(), "0-3");
}
