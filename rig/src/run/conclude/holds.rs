//! What became of the holds of a plan, by the timeline.

use crate::scenario::Scenario;
use rig_judge::verdict::HoldReport;
use rig_wire::event::{HoldEnd, Kind, Mark, Record};
use rig_wire::plan::{Hold, Point, Until, Watch};
use std::collections::BTreeMap;

/// The holds that the scenario requires and that did not come true, of reports in the order of the plan.
pub(crate) fn unmet<'a>(scenario: &Scenario, reports: &'a [HoldReport]) -> Vec<&'a HoldReport> {
    let of_update = |number| scenario.holds.iter().filter(move |hold| hold.update.is_none_or(|u| u == number));
    let required = (1..=scenario.updates).flat_map(of_update).map(|hold| hold.required);
    let unmet = reports.iter().zip(required).filter(|(report, required)| *required && report.end != SATISFIED);
    unmet.map(|(report, _)| report).collect()
}

/// What became of the holds of these updates, in the order of the plan. Watches name the words.
pub(crate) fn report(
    schedules: &[Vec<Hold>],
    watches: &[Watch],
    records: impl IntoIterator<Item = Record>,
) -> Vec<HoldReport> {
    // By update and hold: when it began, and when and how it ended.
    type Span = (u64, Option<(u64, u64)>);
    let mut spans: BTreeMap<(usize, u64), Span> = BTreeMap::new();
    let mut update = 0;
    for record in records {
        match Kind::from_u16(record.kind) {
            Some(Kind::Mark) if record.a == Mark::UpdateBegin as u64 => update += 1,
            Some(Kind::HoldBegin) => _ = spans.insert((update, record.a), (record.guest_ns, None)),
            Some(Kind::HoldEnd) => {
                if let Some(hold) = spans.get_mut(&(update, record.a)) {
                    hold.1 = Some((record.guest_ns, record.b));
                }
            }
            _ => {}
        }
    }
    let all = schedules.iter().enumerate().flat_map(|(u, holds)| holds.iter().enumerate().map(move |h| (u + 1, h)));
    all.map(|(update, (index, hold))| {
        let (end, held_us) = match spans.get(&(update, index as u64)) {
            None => ("never reached", None),
            Some((_, None)) => ("not ended", None),
            Some((begin_ns, Some((end_ns, how)))) => (ending(*how), Some(end_ns.saturating_sub(*begin_ns) / 1000)),
        };
        let number = u32::try_from(update).unwrap_or(u32::MAX);
        HoldReport { update: number, lp: hold.lp, what: describe(hold, watches), end: end.to_owned(), held_us }
    })
    .collect()
}

fn ending(number: u64) -> &'static str {
    if number == HoldEnd::Satisfied as u64 { SATISFIED } else { "expired" }
}

/// How a hold ends that did what it was for.
pub(crate) const SATISFIED: &str = "satisfied";

/// A hold in words.
fn describe(hold: &Hold, watches: &[Watch]) -> String {
    let until = match &hold.until {
        Until::Passed { lp, at, nth, .. } => format!("CPU {lp} passes {}", words(at, *nth, watches)),
        Until::Instructions { lp, count } => format!("CPU {lp} has executed {count} instructions"),
        Until::ElapsedNs(ns) => format!("{} us are over", ns / 1000),
    };
    format!("CPU {} at {} until {until}", hold.lp, words(&hold.at, hold.nth, watches))
}

fn words(point: &Point, nth: u32, watches: &[Watch]) -> String {
    let leaf = |number: u64| rig_judge::timeline::Leaf(number).name();
    let word = |index: usize| watches.get(index).map_or_else(|| format!("word {index}"), |watch| watch.name.clone());
    let what = match point {
        Point::SeamcallEnter { leaf: number } => format!("the entry of {}", leaf(*number)),
        Point::SeamcallExit { leaf: number } => format!("the exit of {}", leaf(*number)),
        Point::Pc { address } => format!("{address:#x}"),
        Point::Load { watch } => format!("a load of {}", word(*watch)),
        Point::Store { watch } => format!("a store to {}", word(*watch)),
        Point::Saw { value, .. } => format!("state {value}"),
        Point::Pause => "PAUSE".to_owned(),
    };
    if nth == 1 { what } else { format!("{what} (pass {nth})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::prepare::holds::tests::resolve;

    #[test]
    fn what_became_of_each_hold_is_reported() {
        let (lists, observation) = resolve(
            "[[hold]]\ncpu = 1\nat = \"state:1\"\nuntil = { time_us = 1 }\n\
             [[hold]]\ncpu = 2\nat = \"state:2\"\nuntil = { time_us = 1 }\n",
        )
        .unwrap();
        let record = |kind: Kind, a, b, guest_ns| Record { kind: kind as u16, a, b, guest_ns, ..Record::default() };
        let begin = record(Kind::Mark, Mark::UpdateBegin as u64, 1, 0);
        let records = [
            begin,
            record(Kind::HoldBegin, 0, 0, 5000),
            record(Kind::HoldEnd, 0, HoldEnd::Satisfied as u64, 9000),
            begin,
            record(Kind::HoldBegin, 1, 0, 5000),
            record(Kind::HoldEnd, 1, HoldEnd::Expired as u64, 6000),
        ];
        let reports = report(&lists, &observation.watches, records);
        let ends: Vec<_> = reports.iter().map(|h| (h.update, h.end.as_str(), h.held_us)).collect();
        let never = "never reached";
        assert_eq!(ends, [(1, SATISFIED, Some(4)), (1, never, None), (2, never, None), (2, "expired", Some(1))]);
    }

    #[test]
    fn words_have_their_names() {
        let (lists, observation) = resolve(
            "[[hold]]\ncpu = 2\nat = \"mem:update_ctrl.num_ack:store\"\nnth = 2\n\
             until = { cpu = 1, passes = \"mem:update_ctrl.state:load\" }\n",
        )
        .unwrap();
        let reports = report(&lists, &observation.watches, []);
        assert_eq!(
            reports[0].what,
            "CPU 2 at a store to update_ctrl.num_ack (pass 2) until CPU 1 passes a load of update_ctrl.state"
        );
    }

    #[test]
    fn only_required_holds_are_missed() {
        let hold = |cpu: u32, more: &str| {
            format!("[[hold]]\ncpu = {cpu}\nat = \"state:1\"\nuntil = {{ time_us = 1 }}\n{more}\n")
        };
        let text = hold(1, "update = 2") + &hold(2, "required = false") + &hold(3, "");
        let scenario = crate::scenario::from_text(&format!("name = \"x\"\nupdates = 2\n{text}"), "x.toml").unwrap();
        let (lists, observation) = resolve(&text).unwrap();
        let mut reports = report(&lists, &observation.watches, []);
        let missed = |reports: &[HoldReport]| {
            unmet(&scenario, reports).iter().map(|hold| (hold.update, hold.lp)).collect::<Vec<_>>()
        };
        assert_eq!(missed(&reports), [(1, 3), (2, 1), (2, 3)], "CPU 2 is free to miss");
        for hold in &mut reports {
            SATISFIED.clone_into(&mut hold.end);
        }
        assert_eq!(missed(&reports), []);
    }
}
