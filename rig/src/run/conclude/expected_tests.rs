use super::*;
use crate::run::conclude::recorded::Recorded;
use crate::run::record::guest_report::GuestReport;
use crate::run::record::upload::tests::upload;
use crate::scenario::{CpuSwitch, from_text};
use rig_judge::synthetic::Synthetic;
use rig_judge::verdict::{Check, HoldReport};
use rig_judge::{Finding, Findings, RunEnd};
use std::collections::BTreeMap;

const FAILED: &str = "transferring:firmware-invalid";

/// All that was observed of one run.
struct Run {
    guest: GuestReport,
    end: RunEnd,
    findings: Findings,
    recorded: Recorded,
    holds: Vec<HoldReport>,
    log: String,
    unobservable: BTreeMap<Invariant, String>,
    blind: bool,
}

impl Run {
    /// One update from 1.5.06 to 1.5.07 on a kernel without fault.
    fn updated() -> Self {
        let run = Synthetic::new(4).boot().update();
        let guest = GuestReport {
            before: Some("1.5.06".into()),
            after: Some("1.5.07".into()),
            remaining: (Some(Ok(16)), Some(Ok(15))),
            updates: vec![upload("", Some("1.5.07"))],
            ..GuestReport::default()
        };
        let mut findings = run.judge().0;
        findings.invariants.insert(Invariant::QuietKernel, findings.invariants[&Invariant::Lockstep].clone());
        let recorded = Recorded { strikes: Vec::new(), update_calls: 6 };
        Self {
            guest,
            end: run.end.clone(),
            findings,
            recorded,
            holds: Vec::new(),
            log: "a line\n".into(),
            unobservable: BTreeMap::new(),
            blind: false,
        }
    }

    /// One update that ends so.
    fn failed(after: Option<&str>) -> Self {
        let mut run = Self::updated();
        run.guest.updates = vec![upload(FAILED, after)];
        run.guest.after = after.map(Into::into);
        run.guest.remaining = (Some(Ok(16)), Some(Ok(16)));
        run
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn not_applicable(mut self, invariant: Invariant) -> Self {
        self.findings.invariants.insert(invariant, Finding::NotApplicable { reason: "nobody looked".into() });
        self
    }

    fn verdict(&self, scenario: &str) -> Verdict {
        let scenario = from_text(&format!("name = \"x\"\n{scenario}"), "x.toml").unwrap();
        verdict(&scenario, Facts::default(), &self.evidence())
    }

    fn evidence(&self) -> Evidence<'_> {
        let Self { guest, end, findings, recorded, holds, log, unobservable, blind } = self;
        Evidence { guest, end, findings, recorded, holds, log, unobservable, blind: *blind, exploring: false }
    }

    fn outcome(&self, scenario: &str) -> Outcome {
        self.verdict(scenario).verdict
    }

    /// Names of checks that are not met.
    fn unmet(&self, scenario: &str) -> Vec<String> {
        let checks = self.verdict(scenario).facts.checks;
        checks.into_iter().filter(|check| !check.met).map(|check: Check| check.name).collect()
    }
}

#[test]
fn what_cannot_be_observed_is_not_demanded_unless_the_scenario_names_it() {
    let unseen = || Run::updated().not_applicable(Invariant::Lockstep);
    let blind = unseen().with(|run| _ = run.unobservable.insert(Invariant::Lockstep, "no words".into()));
    assert_eq!(unseen().outcome(""), Outcome::Failed);
    assert_eq!(blind.outcome(""), Outcome::Passed);
    assert_eq!(blind.outcome("expect.held = [\"lockstep\"]\n"), Outcome::Failed);
}

#[test]
fn a_run_that_shows_all_that_is_demanded_passes() {
    let verdict = Run::updated().verdict("");
    assert_eq!((verdict.verdict, verdict.exit_code, verdict.reason), (Outcome::Passed, 0, None));
}

#[test]
fn a_demanded_invariant_that_was_not_judged_is_no_pass() {
    for invariant in [Invariant::Lockstep, Invariant::LeadOnly, Invariant::StableCpus, Invariant::QuietKernel] {
        let verdict = Run::updated().not_applicable(invariant).verdict("");
        assert_eq!(verdict.verdict, Outcome::Failed);
        let reason = verdict.reason.unwrap();
        assert_eq!(reason, format!("invariant {invariant}: expected held, seen not judged: nobody looked"));
    }
    let unseen = Run::updated().not_applicable(Invariant::Lockstep);
    assert_eq!(unseen.outcome("expect.held = [\"progress\"]"), Outcome::Passed, "who writes demands gets those");
    assert_eq!(unseen.unmet("expect.held = [\"progress\", \"concurrency\"]"), ["invariant concurrency"]);
}

#[test]
fn what_the_recording_lacks_is_no_pass() {
    let none = Run::updated().with(|run| run.findings.updates = 0);
    assert_eq!(none.unmet(""), ["updates in the recording"]);
    assert_eq!(none.outcome(""), Outcome::Failed, "its SEAMCALLs are there, but no section");
    assert_eq!(Run::updated().with(|run| run.findings.updates = 2).unmet(""), ["updates in the recording"]);
    let silent = Run::updated().with(|run| (run.findings.updates, run.recorded.update_calls) = (0, 0));
    let verdict = silent.verdict("");
    assert_eq!((verdict.verdict, verdict.exit_code), (Outcome::RigError, 5), "{:?}", verdict.reason);
}

/// A kernel that leaves the update out and reports success: nothing was recorded because nothing was done.
#[test]
fn a_kernel_that_only_says_done_fails() {
    let idle = Run::updated().with(|run| {
        (run.findings.updates, run.recorded.update_calls) = (0, 0);
        run.guest.updates = vec![upload("", Some("1.5.06"))];
        run.guest.after = run.guest.before.clone();
    });
    let verdict = idle.verdict("");
    assert_eq!((verdict.verdict, verdict.exit_code), (Outcome::Failed, 1), "{:?}", verdict.reason);
    assert!(idle.unmet("").contains(&"updates in the recording".into()), "{:?}", idle.unmet(""));
}

#[test]
fn an_upload_that_is_refused_early_opens_no_update() {
    let unchanged = "expect = { update = \"unchanged\", held = [] }";
    for judged in [0, 1] {
        let run = Run::failed(Some("1.5.06")).with(|run| run.findings.updates = judged);
        assert_eq!(run.outcome(unchanged), Outcome::Passed, "{judged}");
    }
    assert_eq!(
        Run::failed(Some("1.5.06")).with(|run| run.findings.updates = 2).unmet(unchanged),
        ["updates in the recording"]
    );
    let lost = "expect = { update = \"lost\", held = [] }";
    assert_eq!(Run::failed(None).with(|run| run.findings.updates = 0).unmet(lost), ["updates in the recording"]);
}

#[test]
fn a_run_that_records_nothing_is_not_judged() {
    let blind = Run::updated().with(|run| {
        run.blind = true;
        run.findings.updates = 0;
        for invariant in Invariant::ALL {
            run.findings.invariants.insert(invariant, Finding::NotApplicable { reason: "nothing was recorded".into() });
        }
    });
    let verdict = blind.verdict("");
    assert_eq!((verdict.verdict, verdict.exit_code), (Outcome::Unjudged, 77));
    assert_eq!(
        blind.unmet("expect.update = \"unchanged\""),
        ["last update"],
        "what the guest reported is checked all the same"
    );
}

const DEFECT: &str = "expect = { update = \"lost\", held = [], known_defect = \"finding 2\", \
    repaired = { update = \"unchanged\", held = [] } }";

#[test]
fn a_known_defect_is_neither_a_pass_nor_a_failure() {
    let verdict = Run::failed(None).verdict(DEFECT);
    assert_eq!((verdict.verdict, verdict.exit_code), (Outcome::Xfail, 0));
    let reason = verdict.reason.unwrap();
    assert!(reason.contains("finding 2") && reason.contains("no module runs"), "{reason}");
    assert_eq!(verdict.facts.known_defect.as_deref(), Some("finding 2"));
}

#[test]
fn a_repaired_kernel_is_reported_as_xpass() {
    let verdict = Run::failed(Some("1.5.06")).verdict(DEFECT);
    assert_eq!((verdict.verdict, verdict.exit_code), (Outcome::Xpass, 1));
    assert!(verdict.reason.unwrap().contains("does not have its known defect, finding 2"));
    assert!(verdict.remedy.unwrap().contains("known_defect"));
}

#[test]
fn what_is_neither_the_defect_nor_its_repair_fails() {
    let verdict = Run::updated().verdict(DEFECT);
    assert_eq!(verdict.verdict, Outcome::Failed);
    assert!(verdict.reason.unwrap().starts_with("last update: expected failed, no module runs"));
    let lost = Run::failed(None).with(|run| run.end = RunEnd::Lost { cause: "QEMU died".into() });
    assert_eq!(lost.outcome(DEFECT), Outcome::RigError, "trouble of the rig is no defect of the kernel");
}

#[test]
fn a_cpu_is_refused_nothing_by_a_repaired_kernel() {
    let scenario = format!("switch = [{{ cpu = 2, to = \"online\", when = \"after\", errno = 19 }}]\n{DEFECT}");
    let switch: CpuSwitch = toml::from_str("cpu = 2\nto = \"online\"\nwhen = \"after\"").unwrap();
    let run = |after, errno| Run::failed(after).with(|run| run.guest.switches = vec![(switch.clone(), errno)]);
    assert_eq!(run(None, Some(19)).outcome(&scenario), Outcome::Xfail);
    assert_eq!(run(Some("1.5.06"), None).outcome(&scenario), Outcome::Xpass);
    assert_eq!(run(Some("1.5.06"), Some(19)).outcome(&scenario), Outcome::Failed);
    assert_eq!(run(None, None).unmet(&scenario), ["CPU 2 online"]);
}

#[test]
fn a_switch_that_was_not_made_does_not_take_the_result_of_another() {
    let scenario = "switch = [{ cpu = 2, to = \"offline\", when = \"held\" }, { cpu = 1, to = \"offline\", when = \"after\" }]\n\
                    hold = [{ cpu = 1, at = \"state:2\", required = false, until = { time_us = 1 } }]";
    let last: CpuSwitch = toml::from_str("cpu = 1\nto = \"offline\"\nwhen = \"after\"").unwrap();
    let run = Run::updated().with(|run| run.guest.switches = vec![(last, None)]);
    assert_eq!(run.unmet(scenario), ["CPU 2 offline"]);
}

#[test]
fn an_expected_hang_passes_and_a_pass_instead_fails() {
    let hung = "expect.verdict = \"hung\"";
    let silence = RunEnd::Hung { what: "no progress".into() };
    let run = Run::updated().with(|run| run.end = silence.clone());
    assert_eq!((run.outcome(hung), run.outcome("")), (Outcome::Passed, Outcome::Hung));
    assert_eq!(Run::updated().unmet(hung), ["verdict"]);
    let panic = Run::updated().with(|run| run.end = RunEnd::Crashed { what: "panic".into() });
    assert_eq!(panic.outcome("expect.verdict = \"crashed\""), Outcome::Passed);
    assert_eq!(panic.unmet(hung), ["verdict"]);
    let lost = Run::updated().with(|run| run.end = RunEnd::Lost { cause: "QEMU died".into() });
    assert_eq!(lost.outcome(hung), Outcome::RigError, "trouble of the rig is never what was expected");
}

fn broken() -> Run {
    use rig_judge::synthetic::Twist;
    let run = Synthetic::new(4).boot().twist(Twist::InitTwice).update();
    Run::updated().with(|updated| (updated.findings, updated.end) = (run.judge().0, RunEnd::Stopped))
}

#[test]
fn what_breaks_must_be_what_is_named() {
    let expect = |broken: &str| format!("expect = {{ verdict = \"failed\", broken = [{broken}] }}");
    let name = broken().findings.breaches()[0].invariant;
    assert_eq!(broken().outcome(""), Outcome::Failed);
    assert_eq!(broken().outcome(&expect(&format!("\"{name}\""))), Outcome::Passed);
    assert_eq!(broken().unmet(&expect("\"stable-cpus\"")), ["verdict"]);
    assert_eq!(broken().unmet(&expect(&format!("\"{name}\", \"stable-cpus\""))), ["verdict"]);
    assert_eq!(Run::updated().unmet(&expect("\"lockstep\"")), ["verdict"], "no failure of another kind will do");
    assert_eq!(Run::failed(None).unmet(&expect("\"lockstep\"")), ["verdict"]);
}

#[test]
fn an_update_must_come_to_what_is_said() {
    let expect = |update: &str| format!("expect = {{ update = \"{update}\", held = [] }}");
    for (run, right, wrong) in [
        (Run::updated(), ["updated", "module-runs"].as_slice(), ["unchanged", "lost"].as_slice()),
        (Run::failed(Some("1.5.06")), &["unchanged", "module-runs"], &["updated", "lost"]),
        (Run::failed(None), &["lost"], &["updated", "unchanged", "module-runs"]),
    ] {
        for update in right {
            assert_eq!(run.unmet(&expect(update)), [] as [&str; 0], "{update}");
        }
        for update in wrong {
            assert!(run.unmet(&expect(update)).contains(&"last update".to_owned()), "{update}");
        }
    }
}

#[test]
fn each_update_must_come_to_what_is_said_of_it() {
    let two = Run::updated().with(|run| {
        run.guest.updates.insert(0, upload(FAILED, Some("1.5.06")));
        run.findings.updates = 2;
    });
    let expect = |update: &str| format!("updates = 2\nkeep_going = true\nexpect = {{ update = {update}, held = [] }}");
    assert_eq!(two.outcome(&expect("[\"unchanged\", \"updated\"]")), Outcome::Passed);
    assert_eq!(two.unmet(&expect("[\"updated\", \"updated\"]")), ["update 1"]);
    assert_eq!(two.unmet(&expect("[\"updated\", \"unchanged\"]")), ["update 1", "update 2"]);
    let one = Run::updated();
    assert_eq!(one.unmet(&expect("[\"updated\", \"updated\"]")), ["update 2"], "one that was not made");
    let lying = two.with(|run| run.guest.updates[0] = upload("", Some("1.5.06")));
    assert!(lying.unmet(&expect("\"updated\"")).contains(&"update 1".to_owned()), "not only the last is looked at");
}

#[test]
fn a_number_of_updates_must_succeed() {
    let run = Run::updated().with(|run| {
        run.guest.updates.push(upload(FAILED, None));
        run.guest.after = None;
        run.findings.updates = 2;
    });
    let expect = |number: &str| format!("updates = 3\nexpect = {{ update = \"lost\", {number}, held = [] }}");
    assert_eq!(run.outcome(&expect("succeeded = 1")), Outcome::Passed);
    assert_eq!(run.unmet(&expect("succeeded = 2")), ["updates that succeed"]);
    assert_eq!(run.outcome(&expect("succeeded_at_least = 1")), Outcome::Passed);
    assert_eq!(run.unmet(&expect("succeeded_at_least = 2")), ["updates that succeed"]);
    let reason = run.verdict("updates = 3\nexpect = { update = \"lost\", succeeded = 3, held = [] }").reason.unwrap();
    assert!(reason.contains("keep_going = true"), "{reason}");
}

#[test]
fn an_upload_must_end_with_the_error_that_is_named() {
    let expect = |error: &str| format!("expect = {{ update = \"lost\", update_error = \"{error}\", held = [] }}");
    assert_eq!(Run::failed(None).outcome(&expect("firmware-invalid")), Outcome::Passed);
    assert_eq!(Run::failed(None).unmet(&expect("hw-error")), ["upload error"]);
    let silent = Run::updated().verdict("expect = { update_error = \"hw-error\" }").reason.unwrap();
    assert_eq!(silent, "upload error: expected hw-error, seen none");
}

#[test]
fn an_interface_and_a_refusal_are_looked_for() {
    let absent = Run::updated()
        .with(|run| (run.guest.absent, run.findings.updates) = (true, 0))
        .with(|run| run.guest.updates.clear());
    let expect = "expect = { update = \"absent\", held = [] }";
    assert_eq!(absent.outcome(expect), Outcome::Passed);
    assert_eq!(Run::updated().unmet(expect), ["update interface"]);
    assert_eq!(absent.unmet("expect.held = []"), ["update interface"]);
    let absent = absent.with(|run| run.log = "[    0.5] virt/tdx: initialization failed (-5)\na line\n".into());
    let reason = absent.verdict("expect.held = []").reason.unwrap();
    let words = "seen absent; the kernel's log has \"virt/tdx: initialization failed (-5)\"";
    assert!(reason.ends_with(words), "{reason}");
    assert_eq!(absent.outcome(expect), Outcome::Passed);
    let refused = absent.with(|run| run.guest.refused = Some(19));
    assert_eq!(refused.outcome("expect = { refused = 19, held = [] }"), Outcome::Passed);
    assert_eq!(refused.unmet("expect = { refused = 5, held = [] }"), ["loading the subject"]);
    assert_eq!(Run::updated().unmet("expect = { refused = 19, held = [] }"), ["loading the subject"]);
}

#[test]
fn lines_are_demanded_or_allowed() {
    assert_eq!(Run::updated().outcome("expect.console = [\"a line\"]"), Outcome::Passed);
    assert_eq!(Run::updated().unmet("expect.console = [\"another\"]"), ["kernel log"]);
    assert_eq!(Run::updated().outcome("expect.allowed_console = [\"another\"]"), Outcome::Passed);
    let hung = Run::updated().with(|run| run.end = RunEnd::Hung { what: "no progress".into() });
    assert_eq!(
        hung.unmet("expect = { verdict = \"hung\", console = [\"another\"] }"),
        ["kernel log"],
        "in a hang, too"
    );
}

#[test]
fn a_fault_must_strike() {
    let fault =
        |more: &str| format!("faults = [{{ leaf = \"SEAMLDR.INSTALL\", lp = 2, action = {{ delay-ns = 1 }}{more} }}]");
    let struck = |number| Run::updated().with(|run| run.recorded.strikes = vec![number]);
    assert_eq!(struck(1).outcome(&fault("")), Outcome::Passed);
    let reason = struck(0).verdict(&fault("")).reason.unwrap();
    assert_eq!(reason, "fault of SEAMLDR.INSTALL on LP 2: expected struck, seen never struck");
    assert_eq!(struck(0).outcome(&fault(", required = false")), Outcome::Passed);
}

#[test]
fn holds_loads_and_acts_must_come_true() {
    let held = "hold = [{ cpu = 1, at = \"state:1\", until = { time_us = 1 } }]";
    let report =
        |end: &str| HoldReport { update: 1, lp: 1, what: "CPU 1 at state 1".into(), end: end.into(), held_us: None };
    let run = |end: &str| Run::updated().with(|run| run.holds = vec![report(end)]);
    assert_eq!(run("satisfied").outcome(held), Outcome::Passed);
    assert_eq!(run("never reached").unmet(held), ["CPU 1 at state 1"]);
    assert_eq!(Run::updated().unmet("load = [{ profile = \"timer\", period_us = 9 }]"), ["load 1"], "no report of it");
    let during = "during = [{ act = \"upload\", errno = 16 }]";
    assert_eq!(Run::updated().unmet(during), ["another upload"]);
    assert_eq!(Run::updated().with(|run| run.guest.during = vec![Some(16)]).outcome(during), Outcome::Passed);
    assert_eq!(Run::updated().with(|run| run.guest.during = vec![None]).unmet(during), ["another upload"]);
    let switch = "switch = [{ cpu = 3, to = \"offline\", when = \"after\" }]";
    assert_eq!(Run::updated().unmet(switch), ["CPU 3 offline"], "nobody tried");
}

#[test]
fn what_could_not_be_read_is_a_failed_check() {
    for remaining in
        [(Some(Ok(16)), Some(Err("errno 6".to_owned()))), (None, None), (Some(Err("errno 2".to_owned())), Some(Ok(1)))]
    {
        let run = Run::updated().with(|run| run.guest.remaining = remaining);
        let verdict = run.verdict("");
        assert_eq!(run.unmet(""), ["num_remaining_updates"]);
        assert!(verdict.reason.unwrap().contains("not read"));
    }
    let stuck = Run::updated().with(|run| run.guest.remaining = (Some(Ok(16)), Some(Ok(16))));
    assert_eq!(stuck.unmet(""), ["num_remaining_updates"], "the database must shrink");
    let none = Run::updated().with(|run| run.guest.updates.clear());
    assert!(none.unmet("").contains(&"last update".to_owned()), "no update was made");
}
