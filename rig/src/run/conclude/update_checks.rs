//! The updates of a run against what its scenario expects of them: how each ended, how many there were, and that the
//! recording has them. Pure.

use super::check::{check, words_of};
use super::evidence::Evidence;
use crate::run::record::guest_report::{GuestReport, Reading};
use crate::run::record::upload::{self, Upload};
use crate::scenario::{Endings, Expect, Scenario, UpdateEnding};
use rig_judge::verdict::Check;

/// Whether updates were offered, and how each ended.
pub(super) fn checks(scenario: &Scenario, evidence: &Evidence<'_>) -> Vec<Check> {
    let (expect, guest) = (&scenario.expect, evidence.guest);
    if let Some(errno) = expect.refused {
        return vec![check("loading the subject", &words_of(Some(errno)), &words_of(guest.refused))];
    }
    if guest.absent || expect.update.is_absent() {
        return vec![interface(expect.update.is_absent(), guest.absent, evidence.log)];
    }
    if scenario.updates == 0 {
        return Vec::new();
    }
    let mut checks = endings(expect, &guest.updates);
    checks.extend(number(scenario, expect, &guest.updates));
    // An exploration does not read it at its end; where INSTALL was called in vain, the database shrank as well.
    if !evidence.exploring && guest.updates.iter().all(|made| made.ending().0 != Some(UpdateEnding::Lost)) {
        checks.push(remaining(guest));
    }
    if let Some(error) = &expect.update_error {
        let expected = error.to_string();
        let said = guest.updates.last().map_or("", |last| last.outcome.error.as_str());
        let seen = match said {
            said if error.is_said_by(said) => &expected,
            "" => "none",
            said => said,
        };
        checks.push(check("upload error", &expected, seen));
    }
    checks
}

/// Whether the kernel offers updates; where it unexpectedly does not, with its last words about TDX.
fn interface(is_absent_expected: bool, is_absent: bool, log: &str) -> Check {
    let offered = |absent| if absent { "absent" } else { "offered" };
    let mut check = check("update interface", offered(is_absent_expected), offered(is_absent));
    let last_words = log.lines().rev().find_map(|line| line.find("virt/tdx: ").map(|at| &line[at..]));
    if let Some(words) = last_words.filter(|_| !check.met && is_absent) {
        check.seen = format!("absent; the kernel's log has \"{words}\"");
    }
    check
}

/// How each update ended, or the last one. Where only the last one is named, the reports on those before it must not
/// contradict what ran afterwards.
fn endings(expect: &Expect, made: &[Upload]) -> Vec<Check> {
    let ending = |name: String, expected: UpdateEnding, made: Option<&Upload>| {
        let (kind, seen) = made.map_or((None, "not made".to_owned()), Upload::ending);
        let met = upload::is_met(expected, kind);
        Check { name, expected: upload::in_words(expected).into(), seen, met }
    };
    match &expect.update {
        Endings::Each(each) => (0..each.len().max(made.len()))
            .map(|at| match each.get(at) {
                Some(expected) => ending(format!("update {}", at + 1), *expected, made.get(at)),
                None => check(&format!("update {}", at + 1), "not made", &made[at].ending().1),
            })
            .collect(),
        Endings::Last(expected) => {
            let (last, before) = match made.split_last() {
                Some((last, before)) => (Some(last), before),
                None => (None, made),
            };
            let contradictions = before.iter().enumerate().filter(|(_, made)| made.ending().0.is_none());
            let contradictions = contradictions.map(|(at, made)| {
                check(&format!("update {}", at + 1), "an ending without contradiction", &made.ending().1)
            });
            contradictions.chain([ending("last update".into(), *expected, last)]).collect()
        }
    }
}

/// How many updates succeeded.
fn number(scenario: &Scenario, expect: &Expect, made: &[Upload]) -> Vec<Check> {
    let succeeded = made.iter().filter(|made| made.succeeded()).count();
    let all = (expect.update == Endings::Last(UpdateEnding::Updated) && expect.succeeded_at_least.is_none())
        .then_some(scenario.updates);
    let stopped = made.last().is_some_and(|last| !last.succeeded()) && made.len() < scenario.updates as usize;
    let why = if stopped { "; no update followed the first that failed (`keep_going = true` goes on)" } else { "" };
    let mut checks = Vec::new();
    if let Some(number) = expect.succeeded.or(all) {
        let met = succeeded == number as usize;
        let seen = if met { succeeded.to_string() } else { format!("{succeeded}{why}") };
        checks.push(Check { name: "updates that succeed".into(), expected: number.to_string(), seen, met });
    }
    if let Some(least) = expect.succeeded_at_least {
        let met = succeeded >= least as usize;
        let seen = if met { succeeded.to_string() } else { format!("{succeeded}{why}") };
        checks.push(Check { name: "updates that succeed".into(), expected: format!("{least} or more"), seen, met });
    }
    checks
}

/// The SEAM database shrinks by each update that succeeds.
fn remaining(guest: &GuestReport) -> Check {
    let name = "num_remaining_updates";
    let succeeded = guest.updates.iter().filter(|made| made.succeeded()).count() as u32;
    let unread = |before: &str, reading: &Option<Reading>| {
        let why = reading.as_ref().map_or("", |reading| reading.as_ref().err().map_or("", String::as_str));
        format!("{before}not read: {why}")
    };
    match &guest.remaining {
        (Some(Ok(before)), Some(Ok(after))) => {
            check(name, &before.saturating_sub(succeeded).to_string(), &after.to_string())
        }
        (Some(Ok(before)), after) => check(name, &before.saturating_sub(succeeded).to_string(), &unread("", after)),
        (before, _) => check(name, "a number before and after", &unread("before the updates ", before)),
    }
}

/// Least and most updates that a recording of this run can have; no most: `rig-hw` makes them, and judges them itself.
pub(super) fn possible_updates(scenario: &Scenario, guest: &GuestReport) -> (usize, Option<usize>) {
    let reached = |reached: &dyn Fn(Option<bool>) -> bool| {
        guest.updates.iter().filter(|made| reached(made.reached_section())).count()
    };
    let least = reached(&|reached| reached == Some(true));
    let most = reached(&|reached| reached != Some(false));
    if scenario.hw.is_empty() && scenario.clients.is_empty() {
        return (least, Some(most));
    }
    let versions = guest.hw.iter().map(|order_end| &order_end.program.version);
    let versions = versions.chain(guest.clients.iter().map(|end| &end.version));
    let changes = versions.scan(&guest.before, |before, version| Some(std::mem::replace(before, version) != version));
    let by_clients = scenario.clients.iter().map(|order| order.updates.unwrap_or(1) as usize).sum::<usize>();
    let most = scenario.hw.is_empty().then_some(most + by_clients);
    (least + changes.filter(|changed| *changed).count(), most)
}

/// The updates that the judge saw against those that were made.
pub(super) fn recorded(scenario: &Scenario, evidence: &Evidence<'_>) -> Option<Check> {
    if evidence.blind {
        return None;
    }
    let (least, most) = possible_updates(scenario, evidence.guest);
    let judged = evidence.findings.updates as usize;
    let expected = match most {
        Some(most) if most == least => least.to_string(),
        Some(most) => format!("{least} to {most}"),
        None => format!("{least} or more"),
    };
    let met = judged >= least && most.is_none_or(|most| judged <= most);
    let hint = if met || scenario.clients.is_empty() { "" } else { " (`client.updates` says how many a client makes)" };
    Some(Check { name: "updates in the recording".into(), expected, seen: format!("{judged}{hint}"), met })
}
