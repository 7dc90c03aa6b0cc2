//! What a scenario expects against what was seen of a run: a check for each thing that is expected. Pure.

use super::check::{check, words_of};
use super::seen::Seen;
use super::{client_checks, holds, hw_checks, load_checks, recorded, td_checks, update_checks};
use crate::run::record::told::Told;
use crate::scenario::{Act, Ending, Expect, Moment, Scenario};
use rig_judge::verdict::{Check, HoldReport};
use rig_judge::{Finding, Invariant, RunEnd, Standing};

/// Every check of a scenario's expectation.
pub(super) fn checks(scenario: &Scenario, seen: &Seen<'_>) -> Vec<Check> {
    let expect = &scenario.expect;
    // Half of a run tells nothing of what its end would have been.
    if expect.verdict != Ending::Passed {
        return [lines(expect, seen.log), demanded(scenario, seen)].concat();
    }
    if *seen.end != RunEnd::Finished {
        return Vec::new();
    }
    let Seen { told, .. } = seen;
    let mut checks = update_checks::checks(scenario, seen);
    checks.extend(lines(expect, seen.log));
    checks.extend(during(scenario, told));
    checks.extend(switches(scenario, told));
    checks.extend(scenario.tds.as_ref().map(|asked| td_checks::checks(asked, expect, &told.tds)).unwrap_or_default());
    checks.extend(hw_checks::checks(&scenario.hw, &told.hw));
    checks.extend(client_checks::checks(&scenario.clients, &told.clients));
    checks.extend(load_checks::checks(scenario, &told.loads, told.after.is_some()));
    if !seen.exploring {
        checks.extend(faults(scenario, seen));
        checks.extend(kept_holds(scenario, seen.holds));
        checks.extend(demanded(scenario, seen));
    }
    checks.extend(update_checks::recorded(scenario, seen));
    checks
}

/// Lines that the kernel must have logged.
fn lines(expect: &Expect, log: &str) -> Vec<Check> {
    let seen = |line: &str| if log.contains(line) { line.to_owned() } else { "no such line".into() };
    expect.console.iter().map(|line| check("kernel log", line, &seen(line))).collect()
}

/// What others tried during the first update; what came too late to be tried is told.
fn during(scenario: &Scenario, told: &Told) -> Vec<Check> {
    let seen = |at: usize| told.during.get(at).map_or("not tried".into(), |errno| words_of(*errno));
    let name = |act: Act| if act == Act::Upload { "another upload" } else { "unloading" };
    let asked = scenario.during.iter().enumerate();
    asked.map(|(at, during)| check(name(during.act), &words_of(Some(during.errno)), &seen(at))).collect()
}

/// CPUs that were switched. They are told in the order in which they are made.
fn switches(scenario: &Scenario, told: &Told) -> Vec<Check> {
    let of = |when: Moment| scenario.switches.iter().filter(move |switch| switch.when == when);
    let asked = of(Moment::Before).chain(of(Moment::During)).chain(of(Moment::After)).enumerate();
    asked
        .map(|(at, switch)| {
            let seen = told.switches.get(at).map_or("not tried".to_owned(), |(_, errno)| words_of(*errno));
            check(&format!("CPU {} {}", switch.cpu, switch.to.name()), &words_of(switch.errno), &seen)
        })
        .collect()
}

/// Faults that never struck: then the scenario tested nothing of what it is for.
fn faults(scenario: &Scenario, seen: &Seen<'_>) -> Vec<Check> {
    if seen.blind {
        return Vec::new();
    }
    let all = scenario.faults.iter().enumerate().filter(|(_, fault)| fault.required);
    all.map(|(at, fault)| {
        let struck = seen.recorded.strikes.get(at).is_some_and(|struck| *struck > 0);
        check(&recorded::describe(fault), "struck", if struck { "struck" } else { "never struck" })
    })
    .collect()
}

/// Holds that the scenario requires must have come true.
fn kept_holds(scenario: &Scenario, reports: &[HoldReport]) -> Vec<Check> {
    let unmet = holds::unmet(scenario, reports);
    unmet.into_iter().map(|hold| check(&hold.what, holds::SATISFIED, &hold.end)).collect()
}

/// Invariants that must have been seen to hold. One that broke speaks for itself.
fn demanded(scenario: &Scenario, seen: &Seen<'_>) -> Vec<Check> {
    if seen.blind {
        return Vec::new();
    }
    let of = |invariant: Invariant| {
        let name = format!("invariant {invariant}");
        let finding = seen.findings.invariants.get(&invariant);
        match finding.map(Finding::standing) {
            Some(Standing::Held) => Some(check(&name, HELD, HELD)),
            Some(Standing::Broken) if !scenario.expect.broken.contains(&invariant) => None,
            Some(Standing::Broken) => Some(check(&name, HELD, "broken")),
            _ => {
                let reasons = seen.findings.not_observed();
                let why = reasons.iter().find(|unseen| unseen.invariant == invariant);
                let why = why.map_or("the judge does not know it", |unseen| unseen.reason.as_str());
                Some(check(&name, HELD, &format!("not judged: {why}")))
            }
        }
    };
    scenario.demands().held.into_iter().filter_map(of).collect()
}

const HELD: &str = "held";
