//! What a scenario expects against what was observed of a run: a check for each thing that is expected. Pure.

use super::check::{check, words_of};
use super::evidence::Evidence;
use super::{client_checks, holds, hw_checks, load_checks, recorded, td_checks, update_checks};
use crate::run::record::guest_report::GuestReport;
use crate::scenario::{Act, CpuSwitch, Ending, Expect, Scenario};
use rig_judge::verdict::{Check, HoldReport};
use rig_judge::{Finding, Invariant, RunEnd, Standing};

/// Every check of a scenario's expectation.
pub(super) fn checks(scenario: &Scenario, evidence: &Evidence<'_>) -> Vec<Check> {
    let expect = &scenario.expect;
    // A run that was cut off says nothing of what a whole one would have shown.
    if expect.verdict != Ending::Passed {
        return [lines(expect, evidence.log), demanded(scenario, evidence)].concat();
    }
    if *evidence.end != RunEnd::Finished {
        return Vec::new();
    }
    let Evidence { guest, .. } = evidence;
    let mut checks = update_checks::checks(scenario, evidence);
    checks.extend(lines(expect, evidence.log));
    checks.extend(during(scenario, guest));
    checks.extend(switches(scenario, guest));
    checks.extend(scenario.tds.as_ref().map(|asked| td_checks::checks(asked, expect, &guest.tds)).unwrap_or_default());
    checks.extend(hw_checks::checks(&scenario.hw, &guest.hw));
    checks.extend(client_checks::checks(&scenario.clients, &guest.clients));
    checks.extend(load_checks::checks(scenario, &guest.loads, guest.after.is_some()));
    if !evidence.exploring {
        checks.extend(faults(scenario, evidence));
        checks.extend(kept_holds(scenario, evidence.holds));
        checks.extend(demanded(scenario, evidence));
    }
    checks.extend(update_checks::recorded(scenario, evidence));
    checks
}

/// Lines that the kernel must have logged.
fn lines(expect: &Expect, log: &str) -> Vec<Check> {
    let seen = |line: &str| if log.contains(line) { line.to_owned() } else { "no such line".into() };
    expect.console.iter().map(|line| check("kernel log", line, &seen(line))).collect()
}

/// What others tried during the first update; an attempt that came too late is not met.
fn during(scenario: &Scenario, guest: &GuestReport) -> Vec<Check> {
    let seen = |at: usize| guest.during.get(at).map_or("not tried".into(), |errno| words_of(*errno));
    let name = |act: Act| if act == Act::Upload { "another upload" } else { "unloading" };
    let asked = scenario.during.iter().enumerate();
    asked.map(|(at, during)| check(name(during.act), &words_of(Some(during.errno)), &seen(at))).collect()
}

/// CPUs that were switched. One that the guest does not report was not tried. What the kernel must answer is the
/// scenario's, which may be that for a repaired kernel.
fn switches(scenario: &Scenario, guest: &GuestReport) -> Vec<Check> {
    let mut made: Vec<_> = guest.switches.iter().collect();
    let asked = scenario.switches.iter();
    asked
        .map(|switch| {
            let same = |reported: &CpuSwitch| CpuSwitch { errno: switch.errno, ..reported.clone() } == *switch;
            let own = made.iter().position(|(reported, _)| same(reported));
            let seen = own.map_or("not tried".to_owned(), |at| words_of(made.remove(at).1));
            check(&format!("CPU {} {}", switch.cpu, switch.to.name()), &words_of(switch.errno), &seen)
        })
        .collect()
}

/// A required fault must strike, or the scenario did not test what it is for.
fn faults(scenario: &Scenario, evidence: &Evidence<'_>) -> Vec<Check> {
    if evidence.blind {
        return Vec::new();
    }
    let all = scenario.faults.iter().enumerate().filter(|(_, fault)| fault.required);
    all.map(|(at, fault)| {
        let struck = evidence.recorded.strikes.get(at).is_some_and(|struck| *struck > 0);
        check(&recorded::describe(fault), "struck", if struck { "struck" } else { "never struck" })
    })
    .collect()
}

/// Holds that the scenario requires must have come true.
fn kept_holds(scenario: &Scenario, reports: &[HoldReport]) -> Vec<Check> {
    let unmet = holds::unmet(scenario, reports);
    unmet.into_iter().map(|hold| check(&hold.what, holds::SATISFIED, &hold.end)).collect()
}

/// Invariants that must have been observed to hold. For one that broke the breach itself is reported, and no check.
fn demanded(scenario: &Scenario, evidence: &Evidence<'_>) -> Vec<Check> {
    if evidence.blind {
        return Vec::new();
    }
    let demands = scenario.demands();
    let of = |invariant: Invariant| {
        let name = format!("invariant {invariant}");
        let finding = evidence.findings.invariants.get(&invariant);
        match finding.map(Finding::standing) {
            Some(Standing::Held) => Some(check(&name, HELD, HELD)),
            Some(Standing::Broken) if !scenario.expect.broken.contains(&invariant) => None,
            Some(Standing::Broken) => Some(check(&name, HELD, "broken")),
            // The verdict has why.
            _ if !demands.written && evidence.unobservable.contains_key(&invariant) => None,
            _ => {
                let reasons = evidence.findings.not_observed();
                let why = reasons.iter().find(|unseen| unseen.invariant == invariant);
                let why = why.map_or("the judge does not know it", |unseen| unseen.reason.as_str());
                Some(check(&name, HELD, &format!("not judged: {why}")))
            }
        }
    };
    demands.held.iter().copied().filter_map(of).collect()
}

const HELD: &str = "held";
