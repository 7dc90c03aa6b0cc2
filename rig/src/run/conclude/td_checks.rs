//! Checks of the trust domains of a run. Pure.

use super::check::check;
use crate::run::record::tds::TdReports;
use crate::scenario::{Expect, Leaked, TdRefusal, Tds};
use crate::tds;
use rig_judge::verdict::Check;
use rig_wire::td::{ChurnReport, Placement, TdReport, Usage};

/// From so many cycles on, a leak of a page for each TD would stand out of what a guest's free memory varies by itself.
const MEASURABLE: u32 = 500;
/// A page, KiB.
const PAGE_KIB: u64 = 4;
/// What a TD must say.
const PREDICTED: &str = "as predicted";

/// What was asked of the TDs, and what came of it.
pub(super) fn checks(asked: &Tds, expect: &Expect, reports: &TdReports) -> Vec<Check> {
    let refusal = expect.td_refused.as_ref();
    let mut checks = Vec::new();
    if asked.count > 0 {
        checks.extend(long_lived(asked, expect, reports));
    }
    if asked.churn > 0 {
        checks.push(said("TDs come and gone", asked, refusal, reports.churn.as_ref()));
        checks.push(refusals("TDs come and gone: refused", asked, refusal, &[&reports.churn]));
        checks.extend(given_up("TDs come and gone: given up", asked, reports.churn.as_ref()));
        let completed = reports.churn.as_ref().is_some_and(|report| report.completed > 0);
        checks.push(check("TDs completed", "some", if completed { "some" } else { "none" }));
    }
    if asked.cycles > 0 {
        checks.push(said("TDs before the cycles", asked, refusal, reports.warm_up.as_ref()));
        checks.push(said("TDs in cycles", asked, refusal, reports.cycles.as_ref()));
        checks.push(refusals("TDs in cycles: refused", asked, refusal, &[&reports.warm_up, &reports.cycles]));
        checks.extend(given_up("TDs in cycles: given up", asked, reports.cycles.as_ref()));
        checks.extend(number(asked, refusal, reports.cycles.as_ref()));
        checks.extend((asked.cycles >= MEASURABLE).then(|| memory(asked, reports.free_kib)));
    }
    checks.extend(refusal.map(|refusal| refused(refusal, reports)));
    checks.push(left(expect, reports.usage.as_ref()));
    checks
}

/// The TDs that were to live through the updates.
fn long_lived(asked: &Tds, expect: &Expect, reports: &TdReports) -> Vec<Check> {
    let built = match &reports.not_built {
        Some(why) if is_expected(expect.td_refused.as_ref(), why) => return Vec::new(),
        Some(why) => why.clone(),
        None => reports.long_lived.len().to_string(),
    };
    let is_lost = |td: &&TdReport| td.vcpus.iter().any(|vcpu| vcpu.error.is_some());
    let lost = reports.long_lived.iter().filter(is_lost).count();
    let expected = expect.tds_lost.unwrap_or(0);
    let finished: Vec<(usize, &TdReport)> =
        reports.long_lived.iter().enumerate().filter(|(_, td)| !is_lost(td)).collect();
    let vcpus = finished.iter().map(|(_, td)| td.vcpus.len()).sum::<usize>();
    let first_error = reports.long_lived.iter().flat_map(|td| &td.vcpus).find_map(|vcpu| vcpu.error.as_deref());
    let why = first_error.map_or_else(String::new, |error| format!(" ({error})"));
    let mut checks = vec![
        check("TDs built", &asked.count.to_string(), &built),
        Check {
            name: "TDs lost".into(),
            expected: expected.to_string(),
            seen: format!("{lost}{why}"),
            met: lost == expected as usize,
        },
        check(
            "vCPUs of TDs that ended",
            &(asked.count.saturating_sub(expected) * asked.vcpus).to_string(),
            &vcpus.to_string(),
        ),
        check("TDs' hash chains", PREDICTED, &chains(asked, &finished)),
    ];
    if asked.placement == Placement::Migrating {
        let still = finished.iter().flat_map(|(_, td)| &td.vcpus).filter(|vcpu| vcpu.moves == 0).count();
        checks.push(check("vCPUs of TDs that never moved", "0", &still.to_string()));
    }
    checks
}

/// Whether each vCPU says what it must.
fn chains(asked: &Tds, reports: &[(usize, &TdReport)]) -> String {
    let vcpus = reports.iter().flat_map(|(td, report)| (0..).zip(&report.vcpus).map(move |vcpu| (*td as u64, vcpu)));
    let mut wrong = vcpus.filter_map(|(td, (vcpu, report))| tds::wrong(asked.guest, (td, vcpu), &report.said));
    wrong.next().unwrap_or_else(|| PREDICTED.to_owned())
}

/// What TDs said that were built, run and destroyed in loops. A refusal that the scenario expects is no failure of theirs.
fn said(name: &str, asked: &Tds, refusal: Option<&TdRefusal>, report: Option<&ChurnReport>) -> Check {
    let Some(report) = report else { return check(name, PREDICTED, "no report of them") };
    let expected = tds::churn_says(asked);
    let other = report.said.iter().any(|(said, _)| *said != expected);
    let seen = match &report.error {
        Some(error) if !is_expected(refusal, error) => error.as_str(),
        _ if other => "a TD has another hash chain",
        _ => PREDICTED,
    };
    check(name, PREDICTED, seen)
}

/// Whether TDs were refused for want of what comes back, such as KeyIDs.
fn refusals(name: &str, asked: &Tds, refusal: Option<&TdRefusal>, reports: &[&Option<ChurnReport>]) -> Check {
    let all = reports.iter().filter_map(|report| report.as_ref()).flat_map(|report| &report.refused);
    let first = all.into_iter().find(|(why, _)| !is_expected(refusal, why));
    let words = |refused: bool| if refused { "some" } else { "none" };
    let seen = match first {
        Some((why, times)) if !asked.refusals => format!("{why} ({times} times)"),
        first => words(first.is_some()).to_owned(),
    };
    check(name, words(asked.refusals), &seen)
}

/// Whether TDs were given up half-way, where that was asked.
fn given_up(name: &str, asked: &Tds, report: Option<&ChurnReport>) -> Option<Check> {
    let some = report.is_some_and(|report| report.abandoned > 0);
    (asked.abandon_every > 0).then(|| check(name, "some", if some { "some" } else { "none" }))
}

/// How many cycles there were; a refusal of a kind that cannot be tried again ends them early.
fn number(asked: &Tds, refusal: Option<&TdRefusal>, report: Option<&ChurnReport>) -> Option<Check> {
    let report = report?;
    if report.error.as_ref().is_some_and(|error| is_expected(refusal, error)) {
        return None;
    }
    let refused: u64 = report.refused.iter().map(|(_, times)| times).sum();
    Some(check("cycles", &asked.cycles.to_string(), &(report.completed + report.abandoned + refused).to_string()))
}

fn memory(asked: &Tds, free_kib: Option<(Option<u64>, Option<u64>)>) -> Check {
    let bound_kib = u64::from(asked.cycles) * PAGE_KIB;
    let expected = format!("less than a page for each TD ({bound_kib} KiB)");
    let seen = match free_kib {
        Some((Some(before), Some(after))) => match before.saturating_sub(after) {
            lost if lost < bound_kib => expected.clone(),
            lost => format!("{lost} KiB"),
        },
        _ => "not read: /proc/meminfo does not say".into(),
    };
    check("guest memory lost", &expected, &seen)
}

/// Whether this is the refusal that the scenario expects.
fn is_expected(refusal: Option<&TdRefusal>, why: &str) -> bool {
    refusal
        .is_some_and(|TdRefusal { errno, words }| why.contains(&format!("(os error {errno})")) && why.contains(words))
}

/// Whether the refusal that the scenario expects came.
fn refused(refusal: &TdRefusal, reports: &TdReports) -> Check {
    let churns = || [&reports.warm_up, &reports.churn, &reports.cycles].into_iter().flatten();
    let reasons = churns().flat_map(|report| report.refused.iter().map(|(why, _)| why));
    let mut all = reports.not_built.iter().chain(churns().filter_map(|report| report.error.as_ref())).chain(reasons);
    let expected = format!("errno {} {}", refusal.errno, refusal.words);
    let other = all.clone().next().map_or("none", String::as_str);
    let seen = if all.any(|why| is_expected(Some(refusal), why)) { &expected } else { other };
    check("a TD refused", expected.trim_end(), seen.trim_end())
}

/// What is left in the firmware. A TD that is lost leaves its KeyID and pages, of which there are as many as it used.
fn left(expect: &Expect, usage: Option<&Result<Usage, String>>) -> Check {
    let name = "left in the firmware";
    let lost = expect.tds_lost.unwrap_or(0) as usize;
    let usage = match usage {
        Some(Ok(usage)) => usage,
        Some(Err(why)) => return check(name, "a count", &format!("not read: {why}")),
        None => return check(name, "a count", "not counted"),
    };
    match (expect.leaked, lost) {
        (None, 1..) => Check {
            name: name.into(),
            expected: format!("{lost} TDs with their pages, {lost} KeyIDs"),
            seen: usage.in_words(),
            met: (usage.tds, usage.keyids) == (lost, lost) && usage.pages >= lost && usage.wrong.is_empty(),
        },
        (leaked, _) => {
            let Leaked { tds, pages, keyids } = leaked.unwrap_or_default();
            check(name, &Usage { tds, pages, keyids, wrong: Vec::new() }.in_words(), &usage.in_words())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_wire::td::VcpuReport;

    fn report(td: u64, rounds: u64) -> TdReport {
        TdReport { vcpus: vec![VcpuReport { said: tds::predict(td, 0, rounds).words(), ..VcpuReport::default() }] }
    }

    fn dead() -> TdReport {
        TdReport { vcpus: vec![VcpuReport { error: Some("KVM_RUN: I/O error".into()), ..VcpuReport::default() }] }
    }

    fn unmet(asked: &Tds, expect: &Expect, reports: &TdReports) -> Vec<String> {
        checks(asked, expect, reports).into_iter().filter(|check| !check.met).map(|check| check.name).collect()
    }

    fn reports(long_lived: Vec<TdReport>, usage: Usage) -> TdReports {
        TdReports { long_lived, usage: Some(Ok(usage)), ..TdReports::default() }
    }

    fn sound(asked: &Tds, completed: u64) -> ChurnReport {
        ChurnReport { completed, said: vec![(tds::churn_says(asked), completed)], ..ChurnReport::default() }
    }

    #[test]
    fn chains_are_held_against_the_prediction() {
        let of = |reports: &[TdReport]| chains(&Tds::default(), &reports.iter().enumerate().collect::<Vec<_>>());
        assert_eq!(of(&[report(0, 3), report(1, 5)]), PREDICTED);
        assert!(of(&[report(1, 3)]).contains("vCPU 0 of TD 0 has another"));
        assert!(of(&[report(0, 0)]).contains("no round"));
    }

    #[test]
    fn tds_that_die_must_be_as_many_as_expected() {
        let two = Tds { count: 2, ..Tds::default() };
        let lost = |number| Expect { tds_lost: Some(number), ..Expect::default() };
        let leaked = |number| Usage { tds: number, pages: 9 * number, keyids: number, wrong: Vec::new() };
        assert!(unmet(&two, &Expect::default(), &reports(vec![report(0, 1), report(1, 1)], leaked(0))).is_empty());
        assert!(unmet(&two, &lost(2), &reports(vec![dead(), dead()], leaked(2))).is_empty());
        assert!(unmet(&two, &lost(1), &reports(vec![dead(), report(1, 1)], leaked(1))).is_empty());
        assert!(unmet(&two, &lost(1), &reports(vec![dead(), dead()], leaked(1))).contains(&"TDs lost".to_owned()));
        assert!(
            unmet(&two, &Expect::default(), &reports(vec![dead(), report(1, 1)], leaked(0)))
                .contains(&"TDs lost".into())
        );
        assert_eq!(unmet(&two, &lost(2), &reports(vec![dead(), dead()], leaked(0))), ["left in the firmware"]);
        let wrong = Usage { wrong: vec!["a page of nobody".into()], ..leaked(2) };
        assert_eq!(unmet(&two, &lost(2), &reports(vec![dead(), dead()], wrong)), ["left in the firmware"]);
    }

    #[test]
    fn what_leaks_must_be_what_was_expected() {
        let one = Tds::default();
        let leaking = Expect { leaked: Some(Leaked { pages: 1, ..Leaked::default() }), ..Expect::default() };
        let reports = |pages| reports(vec![report(0, 1)], Usage { pages, ..Usage::default() });
        assert!(unmet(&one, &leaking, &reports(1)).is_empty());
        assert_eq!(unmet(&one, &leaking, &reports(0)), ["left in the firmware"]);
        assert_eq!(unmet(&one, &Expect::default(), &reports(1)), ["left in the firmware"]);
    }

    #[test]
    fn what_was_not_reported_is_no_pass() {
        let asked = Tds { count: 1, churn: 1, cycles: MEASURABLE, ..Tds::default() };
        let names = unmet(&asked, &Expect::default(), &TdReports::default());
        let all = [
            "TDs built",
            "vCPUs of TDs that ended",
            "TDs come and gone",
            "TDs completed",
            "TDs before the cycles",
            "TDs in cycles",
            "guest memory lost",
            "left in the firmware",
        ];
        assert_eq!(names, all);
        let unread = TdReports { usage: Some(Err("nonsense".into())), ..reports(vec![report(0, 1)], Usage::default()) };
        assert_eq!(unmet(&Tds::default(), &Expect::default(), &unread), ["left in the firmware"]);
    }

    #[test]
    fn a_leak_and_a_wrong_chain_in_cycles_are_no_pass() {
        let asked = Tds { count: 0, cycles: MEASURABLE, ..Tds::default() };
        let reports = |report: ChurnReport, free_kib: (u64, u64)| TdReports {
            warm_up: Some(sound(&asked, 8)),
            cycles: Some(report),
            free_kib: Some((Some(free_kib.0), Some(free_kib.1))),
            ..reports(Vec::new(), Usage::default())
        };
        let unmet = |reports: &TdReports| unmet(&asked, &Expect::default(), reports);
        let all = u64::from(MEASURABLE);
        assert!(unmet(&reports(sound(&asked, all), (100, 90))).is_empty());
        assert_eq!(unmet(&reports(sound(&asked, all), (9000, 50))), ["guest memory lost"]);
        assert_eq!(unmet(&reports(sound(&asked, 9), (0, 0))), ["cycles"]);
        let other = ChurnReport { said: vec![(vec![vec![1]], all)], ..sound(&asked, all) };
        assert_eq!(unmet(&reports(other, (0, 0))), ["TDs in cycles"]);
    }

    #[test]
    fn a_td_that_must_not_be_built_is_refused_with_its_errno_and_words() {
        let why = "KVM_TDX_INIT_VM: I/O error (os error 5)";
        let expect = |errno, words: &str| Expect {
            td_refused: Some(TdRefusal { errno, words: words.into() }),
            ..Expect::default()
        };
        let asked = Tds { count: 0, cycles: 4, ..Tds::default() };
        let refused = ChurnReport { error: Some(format!("TD 0: {why}")), ..ChurnReport::default() };
        let reports = |warm_up| TdReports {
            warm_up: Some(warm_up),
            cycles: Some(sound(&asked, 4)),
            ..reports(Vec::new(), Usage::default())
        };
        assert!(unmet(&asked, &expect(5, "INIT_VM"), &reports(refused.clone())).is_empty());
        let both = ["TDs before the cycles", "a TD refused"];
        assert_eq!(unmet(&asked, &expect(11, "INIT_VM"), &reports(refused.clone())), both);
        assert_eq!(unmet(&asked, &expect(5, "INIT_VCPU"), &reports(refused.clone())), both);
        assert_eq!(unmet(&asked, &expect(5, ""), &reports(sound(&asked, 8))), ["a TD refused"]);
        assert_eq!(unmet(&asked, &Expect::default(), &reports(refused)), ["TDs before the cycles"]);
        let one = Tds::default();
        let not_built =
            TdReports { not_built: Some(why.into()), ..super::tests::reports(Vec::new(), Usage::default()) };
        assert!(unmet(&one, &expect(5, ""), &not_built).is_empty());
        assert!(unmet(&one, &Expect::default(), &not_built).contains(&"TDs built".into()));
    }
}
