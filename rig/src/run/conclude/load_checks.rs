//! Checks of a scenario's loads after the run.

use crate::run::scripted;
use crate::scenario::Scenario;
use rig_judge::verdict::Check;
use rig_wire::agent::{Load, LoadReport};

/// What a reader that knows its values must say.
const ONLY_ALLOWED: &str = "only what may be read";
/// What a load without failures must say.
const NO_FAILURE: &str = "no failure";
/// What scripted virtual CPUs must say.
const AS_PREDICTED: &str = "as predicted";

/// What each load was to do, and what it did. Where the module is lost in the end, its SEAMCALLs fail by right.
pub(crate) fn checks(scenario: &Scenario, reports: &[LoadReport], module_lives: bool) -> Vec<Check> {
    let asked = scenario.load.iter().enumerate();
    asked
        .flat_map(|(at, asked)| match reports.get(at) {
            Some(report) => checks_of(asked, report, module_lives),
            None => vec![Check {
                name: format!("load {}", at + 1),
                expected: "work done".into(),
                seen: "no report of it".into(),
                met: false,
            }],
        })
        .collect()
}

fn checks_of(asked: &Load, report: &LoadReport, module_lives: bool) -> Vec<Check> {
    let name = format!("load {}", report.name);
    let check = |expected: &str, seen: &str| Check {
        name: name.clone(),
        expected: expected.into(),
        seen: seen.into(),
        met: expected == seen,
    };
    let worked = |work: u64| if work > 0 { "work done" } else { "no work done" };
    let mut checks = vec![check("work done", worked(report.operations))];
    let no_failure = || check(NO_FAILURE, report.first_error.as_deref().unwrap_or(NO_FAILURE));
    match asked {
        Load::Reader { only, .. } if !only.is_empty() => {
            checks.push(check(ONLY_ALLOWED, report.first_error.as_deref().unwrap_or(ONLY_ALLOWED)));
        }
        Load::Seamcall { process_hz, timer_hz, ipi_hz, stand_aside } => {
            for (context, rate_hz) in [("process", process_hz), ("timer", timer_hz), ("ipi", ipi_hz)] {
                let work = worked(count(report, &format!("{context}.success")));
                let expected = if *rate_hz > 0 { "work done" } else { "no work done" };
                checks.push(check(&format!("{context}: {expected}"), &format!("{context}: {work}")));
            }
            checks.extend((*stand_aside).then(no_failure));
        }
        Load::TrustDomain { .. } if module_lives => {
            checks.push(no_failure());
            checks.push(check(AS_PREDICTED, &chains(report)));
        }
        Load::Clocksource { .. }
        | Load::TextPatching { .. }
        | Load::MemoryPressure { .. }
        | Load::Hotplug { between_updates: true, .. } => {
            checks.push(no_failure());
        }
        Load::CpuArrival {} | Load::ModuleLoop { .. } if module_lives => checks.push(no_failure()),
        _ => {}
    }
    checks
}

/// What the virtual CPUs reported against what they must have computed.
fn chains(report: &LoadReport) -> String {
    let wrong = |chain: &&rig_wire::agent::Chain| !scripted::is_right(chain);
    match report.chains.iter().find(wrong) {
        None if report.chains.is_empty() => "no chain was reported".into(),
        None => AS_PREDICTED.into(),
        Some(chain) => {
            format!(
                "virtual CPU {} of TD {} reported a wrong chain after {} rounds",
                chain.vcpu, chain.td, chain.rounds
            )
        }
    }
}

/// A count of the load, 0 where it does not have it.
fn count(report: &LoadReport, name: &str) -> u64 {
    report.counts.iter().find(|(own, _)| own == name).map_or(0, |(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;
    use rig_wire::agent::Chain;

    fn report(name: &str) -> LoadReport {
        LoadReport {
            name: name.into(),
            operations: 9,
            errors: 0,
            first_error: None,
            counts: Vec::new(),
            chains: Vec::new(),
            elapsed_ms: 5,
        }
    }

    fn unmet(asked: &Load, report: &LoadReport) -> Vec<String> {
        checks_of(asked, report, true).into_iter().filter(|c| !c.met).map(|c| c.seen).collect()
    }

    #[test]
    fn a_load_of_seamcalls_must_work_in_each_context_it_has() {
        let asked = load("profile = \"seamcall\"\nipi_hz = 0");
        let counts =
            |process, timer| vec![("process.success".to_owned(), process), ("timer.success".to_owned(), timer)];
        let worked = LoadReport { counts: counts(1, 1), ..report("seamcall") };
        assert!(unmet(&asked, &worked).is_empty());
        let half = LoadReport { counts: counts(1, 0), ..report("seamcall") };
        assert_eq!(unmet(&asked, &half), ["timer: no work done"]);
        let torn = LoadReport { first_error: Some("torn".into()), ..worked };
        assert_eq!(unmet(&asked, &torn), ["torn"]);
        assert!(unmet(&load("profile = \"seamcall\"\nipi_hz = 0\nstand_aside = false"), &torn).is_empty());
    }

    #[test]
    fn trust_domains_must_report_what_was_predicted() {
        let asked = load("profile = \"trust-domain\"\ntds = 1\nvcpus = 1");
        let chain = Chain { td: 0, vcpu: 0, rounds: 2, words: scripted::predicted(0, 0, 2) };
        let right = LoadReport { chains: vec![chain.clone()], ..report("trust-domain") };
        assert!(unmet(&asked, &right).is_empty());
        assert_eq!(unmet(&asked, &report("trust-domain")), ["no chain was reported"]);
        let wrong = LoadReport { chains: vec![Chain { rounds: 3, ..chain }], ..report("trust-domain") };
        assert_eq!(unmet(&asked, &wrong), ["virtual CPU 0 of TD 0 reported a wrong chain after 3 rounds"]);
        assert_eq!(checks_of(&asked, &wrong, false).iter().filter(|c| !c.met).count(), 0, "the module is lost");
    }
}
