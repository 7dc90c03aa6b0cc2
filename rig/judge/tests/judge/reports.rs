//! What people and their tools see of a verdict.

use rig_judge::attempt::FailedCall;
use rig_judge::origin::{KernelImage, RigBuild};
use rig_judge::report::{Look, junit, ktap, terminal};
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::verdict::{Backend, Check, Start, Timing};
use rig_judge::{Attempt, AttemptOutcome, Facts, Invariant, Outcome, RunEnd, Verdict};
use rstest::rstest;

fn facts() -> Facts {
    Facts {
        scenario: "plain".into(),
        cpus: 4,
        updates: 1,
        module_before: Some("1.5.06".into()),
        module_after: Some("1.5.07".into()),
        kernel: Some("7.3.4".into()),
        kernel_image: Some(KernelImage {
            path: "/build/bzImage".into(),
            build: Some("#32 SMP PREEMPT Sat Nov 28".into()),
            sha256: Some("24c4759b1f2e5d5c".into()),
        }),
        rig: RigBuild { version: "0.1.0".into(), revision: "fe535c9".into() },
        attempts: vec![attempt(1, "1.5.07")],
        backend: Backend { name: "tcg".into(), reason: "no usable KVM".into() },
        subject: "in-tree".into(),
        clock: "parallel".into(),
        timing_ms: Timing { boot: 2930, update: 80, machine: 3100, total: 3456 },
        run_dir: Some("runs/1".into()),
        ..Facts::default()
    }
}

/// A successful one.
fn attempt(number: u32, to: &str) -> Attempt {
    Attempt {
        number,
        from: Some("1.5.06".into()),
        to: Some(to.into()),
        outcome: AttemptOutcome::Done,
        error: None,
        failed_call: None,
        tds_lost: 0,
    }
}

fn verdict(run: &Synthetic, facts: Facts) -> Verdict {
    let (findings, _) = run.judge();
    Verdict::new(facts, &findings, &run.end)
}

fn passed() -> Verdict {
    verdict(&Synthetic::plain(4, 1), facts())
}

fn failed() -> Verdict {
    verdict(&Synthetic::new(4).boot().twist(Twist::AdvanceEarly).update(), facts())
}

#[test]
fn a_passed_run_reads_well() {
    let text = terminal(&passed(), Look::PLAIN);
    let expected = "\
PASSED  plain: 1 update on 4 CPUs

  kernel   Linux 7.3.4 #32 SMP PREEMPT Sat Nov 28, subject in-tree
           /build/bzImage, sha256 24c4759b1f2e
  rig      0.1.0 (fe535c9)
  CPUs     4
  module   1.5.06 -> 1.5.07
  updates  update 1 to 1.5.07 done

  ok   participation    each online CPU does each all-CPU step exactly once per update
  ok   lockstep         no CPU begins a step before every CPU acknowledged the previous one
  ok   lead-only        the steps of one CPU run once, on the lead CPU
  ok   update-only      from SHUTDOWN's start to UPDATE's end only the update's own SEAMCALLs run
  ok   interrupts-off   interrupts are disabled at all that is recorded of the lockstep region
  ok   serial-loader    never two LPs inside P-SEAMLDR
  ok   progress         each step ends within its budget and every CPU leaves the section
  -    stop-on-failure  no CPU failed in an update
  -    preservation     no TD lived through an update
  -    concurrency      the scenario has no load of SEAMCALLs
  ok   stable-cpus      the online set does not change during an update
  ok   quiet-kernel     the kernel reports no bug, warning, lockup, stall, lockdep or KCSAN finding

  boot 2.93 s, update 0.08 s, total 3.45 s
  runs/1
";
    assert_eq!(text, expected);
    assert!(text.is_ascii());
    let rich = terminal(&passed(), Look::RICH);
    assert!(rich.contains('✓') && rich.contains('–') && rich.contains("1.5.06 → 1.5.07") && rich.contains("\u{1b}["));
}

#[test]
fn how_a_run_was_made_is_told_when_asked_for() {
    let start = Start { from: Start::SNAPSHOT.into(), reason: "one".into() };
    let verdict = verdict(&Synthetic::plain(4, 1), Facts { start, ..facts() });
    let text = terminal(&verdict, Look { verbose: true, ..Look::PLAIN });
    assert!(text.contains("\n  backend  tcg, parallel clock: no usable KVM\n"), "{text}");
    assert!(text.contains("\n  restore 2.93 s, update 0.08 s, total 3.45 s\n"), "{text}");
}

/// The second update fails, as the scenario expects.
fn as_expected() -> Verdict {
    let failed_call = Some(FailedCall { lp: 2, leaf: "INSTALL".into(), status: "ENOENTROPY (0x1)".into() });
    let outcome = AttemptOutcome::Lost;
    let lost = Attempt { outcome, to: None, failed_call, tds_lost: 2, ..attempt(2, "") };
    let attempts = vec![attempt(1, "1.5.07"), lost];
    verdict(&Synthetic::plain(4, 2), Facts { attempts, module_after: None, ..facts() })
}

#[test]
fn a_failure_that_is_expected_is_no_success() {
    let verdict = as_expected();
    let lost = "update 2 LOST the module (CPU 2: INSTALL ENOENTROPY) and 2 TDs";
    let text = terminal(&verdict, Look::PLAIN);
    let head = format!("AS EXPECTED  plain: update 1 to 1.5.07 done; {lost}\n");
    assert!(text.starts_with(&head), "{text}");
    assert!(text.contains(&format!("\n  updates  update 1 to 1.5.07 done\n           {lost}\n")), "{text}");
    assert_eq!((verdict.verdict, verdict.exit_code), (Outcome::Passed, 0));
    let json = serde_json::to_value(&verdict).unwrap();
    assert_eq!((&json["attempts"][1]["outcome"], &json["attempts"][1]["tds_lost"]), (&"lost".into(), &2.into()));
    assert_eq!(json["attempts"][1]["failed_call"]["lp"], 2);
    assert!(ktap(&verdict).contains(&format!("# as expected: update 1 to 1.5.07 done; {lost}\nok 1 plain\n")));
    assert!(junit(&verdict).contains(lost));
}

#[test]
fn a_breach_that_is_expected_fails_no_case() {
    let mut verdict = failed();
    (verdict.came_to, verdict.verdict, verdict.reason) = (Some(Outcome::Failed), Outcome::Passed, None);
    assert!(verdict.is_expected_breach(Invariant::Lockstep));
    let text = terminal(&verdict, Look::PLAIN);
    assert!(text.starts_with("AS EXPECTED  plain: broke, as the scenario expects: lockstep, CPU "), "{text}");
    assert!(text.contains("\n  x    lockstep         broke, as the scenario expects: no CPU begins"), "{text}");
    assert!(junit(&verdict).contains(r#"failures="0""#));
    let text = ktap(&verdict);
    assert!(
        text.contains("  ok 2 lockstep # XFAIL broke, as the scenario expects\n") && text.ends_with("\nok 1 plain\n")
    );
}

#[test]
fn a_run_that_was_ended_at_a_breach_says_what_a_dash_means() {
    let mut run = Synthetic::new(4).boot().twist(Twist::AdvanceEarly).update();
    run.end = RunEnd::Stopped;
    let unread = Some("the machine was ended at the breach".to_owned());
    let facts = Facts { module_after: None, module_unread: unread, attempts: Vec::new(), ..facts() };
    let text = terminal(&verdict(&run, facts), Look::PLAIN);
    assert!(text.contains("\n  module   1.5.06 -> not read back: the machine was ended at the breach\n"), "{text}");
    assert!(text.contains("\n  The machine was ended at the breach: what is marked with a dash"), "{text}");
    assert!(!terminal(&failed(), Look::PLAIN).contains("was ended at the breach"));
}

/// Of a run that was not judged no invariant is listed.
#[test]
fn a_run_that_was_not_judged_has_no_table() {
    let unjudged = Verdict::unjudged(facts(), Outcome::Skipped, "no usable KVM", Some("load kvm".into()));
    let text = terminal(&unjudged, Look::PLAIN);
    assert!(text.starts_with("SKIPPED  plain: no usable KVM\n  remedy: load kvm\n\n"), "{text}");
    assert!(!text.contains("participation"), "{text}");
}

#[test]
fn a_failed_run_shows_its_evidence() {
    let text = terminal(&failed(), Look::PLAIN);
    assert!(text.starts_with("FAILED  plain: lockstep, CPU "), "{text}");
    for part in
        ["FAIL lockstep", "expected: CPU_INSTALL begins after every online CPU acknowledged SHUTDOWN", "num_ack = 3"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn json_has_what_continuous_integration_reads() {
    let json = serde_json::to_value(failed()).unwrap();
    assert_eq!((&json["verdict"], &json["exit_code"]), (&"failed".into(), &1.into()));
    assert_eq!((&json["cpus"], &json["updates"]), (&4.into(), &1.into()));
    assert_eq!((&json["module_before"], &json["module_after"]), (&"1.5.06".into(), &"1.5.07".into()));
    let invariants = json["invariants"].as_object().unwrap();
    assert_eq!(invariants.len(), 12);
    assert_eq!((&invariants["lockstep"], &invariants["concurrency"]), (&"broken".into(), &"not-applicable".into()));
    assert_eq!((&json["timing_ms"]["boot"], &json["run_dir"]), (&2930.into(), &"runs/1".into()));
    assert_eq!(json["breaches"][0]["invariant"], "lockstep");
    assert!(!json["breaches"][0]["events"].as_array().unwrap().is_empty());
    let back: Verdict = serde_json::from_value(json).unwrap();
    assert_eq!(back, failed());
}

fn end_of(run: &Synthetic, end: &RunEnd) -> Outcome {
    let mut run = run.clone();
    run.end = end.clone();
    let (findings, _) = run.judge();
    Verdict::new(facts(), &findings, end).verdict
}

#[rstest]
#[case(RunEnd::Finished, Outcome::Passed, 0)]
#[case(RunEnd::Hung { what: "w".into() }, Outcome::Hung, 3)]
#[case(RunEnd::Crashed { what: "w".into() }, Outcome::GuestCrashed, 4)]
#[case(RunEnd::Lost { cause: "c".into() }, Outcome::RigError, 5)]
#[case(RunEnd::Stopped, Outcome::RigError, 5)]
fn the_runs_end_decides_when_nothing_broke(#[case] end: RunEnd, #[case] outcome: Outcome, #[case] exit_code: u8) {
    assert_eq!(end_of(&Synthetic::plain(2, 1), &end), outcome);
    assert_eq!(outcome.exit_code(), exit_code);
}

#[rstest]
#[case(RunEnd::Stopped, Outcome::Failed)]
#[case(RunEnd::Hung { what: "w".into() }, Outcome::Failed)]
#[case(RunEnd::Crashed { what: "w".into() }, Outcome::Failed)]
#[case(RunEnd::Lost { cause: "c".into() }, Outcome::RigError)]
fn a_broken_invariant_outranks_the_runs_end(#[case] end: RunEnd, #[case] outcome: Outcome) {
    assert_eq!(end_of(&Synthetic::new(2).boot().twist(Twist::InitTwice).update(), &end), outcome);
}

#[test]
fn an_unmet_expectation_fails_the_run() {
    let check = Check { name: "module_after".into(), expected: "1.5.06".into(), seen: "1.5.07".into(), met: false };
    let verdict = verdict(&Synthetic::plain(2, 1), Facts { checks: vec![check], ..facts() });
    assert_eq!(verdict.verdict, Outcome::Failed);
    let text = terminal(&verdict, Look::PLAIN);
    let expected = "\n  not as the scenario expects:\n    module_after: expected 1.5.06, seen 1.5.07\n";
    assert!(text.contains(expected), "{text}");
    assert!(verdict.reason.as_deref().unwrap().contains("module_after: expected 1.5.06, seen 1.5.07"));
}

#[test]
fn what_was_not_judged_is_never_held() {
    let verdict = Verdict::unjudged(facts(), Outcome::Skipped, "no KVM here", Some("use --backend tcg".into()));
    assert!(verdict.invariants.values().all(|s| *s == rig_judge::Standing::NotApplicable));
    let text = terminal(&verdict, Look::PLAIN);
    assert!(text.starts_with("SKIPPED  plain: no KVM here\n  remedy: use --backend tcg\n"), "{text}");
}

#[test]
fn junit_counts_cases() {
    let xml = junit(&failed());
    assert!(xml.contains(r#"tests="13""#) && xml.contains(r#"failures="2""#), "{xml}");
    assert!(xml.contains(r#"<testcase name="lockstep""#) && xml.contains("num_ack = 3"), "{xml}");
    assert!(junit(&passed()).contains(r#"failures="0""#));
}

#[test]
fn ktap_is_well_formed() {
    let text = ktap(&failed());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], ["KTAP version 1", "1..1", "  KTAP version 1", "  1..12"]);
    assert!(lines.contains(&"  not ok 2 lockstep"), "{text}");
    // The run was stopped at the breach: what the update would have shown of the others is not known.
    assert!(lines.contains(&"  ok 6 serial-loader # SKIP the update was not seen to its end"), "{text}");
    assert!(text.contains("  ok 10 concurrency # SKIP the scenario has no load"), "{text}");
    assert_eq!(*lines.last().unwrap(), "not ok 1 plain");
    assert!(ktap(&passed()).ends_with("\nok 1 plain\n"));
}
