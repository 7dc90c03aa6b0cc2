use super::*;
use rig_wire::agent::UpdateOutcome;

fn tried(error: &str, seen: Option<&str>) -> Tried {
    let outcome = UpdateOutcome { status: "idle".into(), error: error.into(), errno: None, duration_us: 1 };
    Tried { outcome, wanted: Some("1.5.07".into()), seen: seen.map(Into::into) }
}

fn told(tried: Tried) -> Told {
    Told { before: Some("1.5.06".into()), remaining: (Some(16), Some(15)), updates: vec![tried], ..Told::default() }
}

fn unmet(scenario: &Scenario, told: &Told) -> Vec<String> {
    checks(scenario, told, "the log").into_iter().filter(|c| !c.met).map(|c| c.name).collect()
}

fn expecting(update: UpdateEnding) -> Scenario {
    let mut scenario = Scenario::default();
    scenario.expect.update = update;
    scenario
}

const FAILED: &str = "transferring:firmware-invalid";

#[test]
fn an_update_meets_its_expectation() {
    let scenario = expecting(UpdateEnding::Updated);
    assert_eq!(unmet(&scenario, &told(tried("", Some("1.5.07")))), [] as [&str; 0]);
    let unchanged = expecting(UpdateEnding::Unchanged);
    assert_eq!(unmet(&unchanged, &told(tried(FAILED, Some("1.5.06")))), [] as [&str; 0]);
    let lost = expecting(UpdateEnding::Lost);
    assert_eq!(unmet(&lost, &told(tried(FAILED, None))), [] as [&str; 0]);
}

#[test]
fn an_update_misses_its_expectation() {
    let scenario = expecting(UpdateEnding::Updated);
    assert_eq!(unmet(&scenario, &told(tried("", Some("1.5.06")))), ["module_after"]);
    assert!(unmet(&scenario, &told(tried("", None))).contains(&"last update".to_owned()));
    assert!(unmet(&scenario, &told(tried(FAILED, Some("1.5.06")))).contains(&"last update".to_owned()));
    let unchanged = expecting(UpdateEnding::Unchanged);
    assert_eq!(unmet(&unchanged, &told(tried(FAILED, None))), ["last update"]);
    assert_eq!(unmet(&unchanged, &told(tried("", Some("1.5.07")))), ["last update"]);
    assert_eq!(unmet(&unchanged, &told(tried(FAILED, Some("1.5.07")))), ["last update"]);
}

#[test]
fn an_absent_interface_is_an_outcome() {
    let absent = Told { absent: true, ..Told::default() };
    assert_eq!(unmet(&expecting(UpdateEnding::Absent), &absent), [] as [&str; 0]);
    assert_eq!(unmet(&expecting(UpdateEnding::Updated), &absent), ["update interface"]);
    let offered = told(tried("", Some("1.5.07")));
    assert_eq!(unmet(&expecting(UpdateEnding::Absent), &offered), ["update interface"]);
}

#[test]
fn the_number_of_updates_before_a_failure_counts() {
    let mut scenario = expecting(UpdateEnding::Lost);
    scenario.expect.succeeded = Some(1);
    let mut told = told(tried("", Some("1.5.07")));
    told.updates.push(tried(FAILED, None));
    assert_eq!(unmet(&scenario, &told), [] as [&str; 0]);
    scenario.expect.succeeded = Some(2);
    assert_eq!(unmet(&scenario, &told), ["updates"]);
}

#[test]
fn a_cpu_that_is_refused_must_have_been_meant_to() {
    let refused = |errno| CpuSwitch { cpu: 2, to: CpuState::Online, when: crate::scenario::Moment::After, errno };
    let mut told = told(tried("", Some("1.5.07")));
    told.switches = vec![(refused(Some(19)), Some(19)), (refused(None), None)];
    assert_eq!(unmet(&Scenario::default(), &told), [] as [&str; 0]);
    told.switches = vec![(refused(Some(19)), None), (refused(None), Some(19)), (refused(Some(5)), Some(19))];
    assert_eq!(unmet(&Scenario::default(), &told), ["CPU 2 online"; 3]);
}

#[test]
fn the_database_must_shrink() {
    let mut told = told(tried("", Some("1.5.07")));
    told.remaining = (Some(16), Some(16));
    assert_eq!(unmet(&Scenario::default(), &told), ["num_remaining_updates"]);
}

#[test]
fn lines_and_errors_are_looked_for() {
    let mut scenario = expecting(UpdateEnding::Lost);
    scenario.expect.console = vec!["the log".into(), "another".into()];
    scenario.expect.update_error = Some("firmware-invalid".into());
    assert_eq!(unmet(&scenario, &told(tried(FAILED, None))), ["kernel log"]);
    assert_eq!(unmet(&scenario, &told(tried("transferring:hw-error", None))), ["upload error", "kernel log"]);
}

fn report(operations: u64, first_error: Option<&str>) -> rig_wire::agent::LoadReport {
    let first_error = first_error.map(str::to_owned);
    let errors = u64::from(first_error.is_some());
    let (counts, chains) = (Vec::new(), Vec::new());
    rig_wire::agent::LoadReport {
        name: "reader".into(),
        operations,
        errors,
        first_error,
        counts,
        chains,
        elapsed_ms: 5,
    }
}

fn reading(only: &[&str]) -> Scenario {
    let only = only.iter().map(|s| (*s).to_owned()).collect();
    let load = rig_wire::agent::Load::Reader { paths: vec!["/sys/x".into()], threads: 1, only };
    Scenario { load: vec![load], ..Scenario::default() }
}

#[test]
fn a_load_that_did_nothing_is_a_failure() {
    let mut told = told(tried("", Some("1.5.07")));
    told.loads = vec![report(0, Some("none there"))];
    assert_eq!(unmet(&reading(&[]), &told), ["load reader"]);
    told.loads = vec![report(3, Some("none there"))];
    assert_eq!(unmet(&reading(&[]), &told), [] as [&str; 0]);
}

#[test]
fn a_reader_that_saw_something_else_is_a_failure() {
    let mut told = told(tried("", Some("1.5.07")));
    told.loads = vec![report(3, None)];
    assert_eq!(unmet(&reading(&["1.5.06"]), &told), [] as [&str; 0]);
    told.loads = vec![report(3, Some("version holds \"1.6.06\""))];
    assert_eq!(unmet(&reading(&["1.5.06"]), &told), ["load reader"]);
}

fn verdict(outcome: Outcome) -> Verdict {
    Verdict::unjudged(Facts::default(), outcome, "because", None)
}

#[test]
fn an_expected_hang_passes_and_a_pass_instead_fails() {
    let mut scenario = Scenario::default();
    scenario.expect.verdict = Ending::Hung;
    let hung = against_expectation(&scenario, verdict(Outcome::Hung));
    assert_eq!((hung.verdict, hung.exit_code), (Outcome::Passed, 0));
    let passed = against_expectation(&scenario, verdict(Outcome::Passed));
    assert_eq!((passed.verdict, passed.exit_code), (Outcome::Failed, 1));
    let error = against_expectation(&scenario, verdict(Outcome::RigError));
    assert_eq!(error.verdict, Outcome::RigError, "trouble of the rig is never what was expected");
}

#[test]
fn the_panic_is_found_on_the_console() {
    let console = "[ 1.0] hello\n[ 1.2] Kernel panic - not syncing: Fatal exception\n[ 1.3] end";
    assert_eq!(panic_line(console).as_deref(), Some("[ 1.2] Kernel panic - not syncing: Fatal exception"));
    assert_eq!(panic_line("all is well"), None);
}
