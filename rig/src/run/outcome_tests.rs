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

#[test]
fn a_load_that_did_nothing_is_a_failure() {
    let mut told = told(tried("", Some("1.5.07")));
    told.loads = vec![rig_wire::agent::LoadReport {
        name: "reader".into(),
        operations: 0,
        errors: 9,
        first_error: None,
        elapsed_ms: 5,
    }];
    assert_eq!(unmet(&Scenario::default(), &told), ["load reader"]);
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
