//! From the holds of a scenario to those of a plan, and from the timeline to what became of them.

use crate::scenario::{HoldSpec, Location, Place, Scenario, UntilSpec};
use crate::symbols::{Observation, Symbols};
use crate::trouble::Trouble;
use rig_judge::verdict::HoldReport;
use rig_wire::event::{HoldEnd, Kind, Mark, Record};
use rig_wire::plan::{Hold, Point, Until, Watch};
use std::collections::BTreeMap;

/// Bytes of a word that a scenario names by address.
const WORD_SIZE: u8 = 4;

/// The schedules of all updates. Words that the scenario names and nobody watches yet are watched then.
pub(super) fn schedules(
    scenario: &Scenario,
    seen: &mut Observation,
    symbols: &Symbols,
) -> Result<Vec<Vec<Hold>>, Trouble> {
    let mut resolved = Vec::new();
    for spec in &scenario.holds {
        resolved.push((spec.update, hold(spec, seen, symbols)?));
    }
    if resolved.is_empty() {
        return Ok(Vec::new());
    }
    let of_update = |number| resolved.iter().filter(move |(update, _)| update.is_none_or(|u| u == number));
    Ok((1..=scenario.updates).map(|number| of_update(number).map(|(_, hold)| hold.clone()).collect()).collect())
}

/// One schedule, for words and addresses that are watched already.
pub(super) fn schedule(holds: &[HoldSpec], seen: &Observation, symbols: &Symbols) -> Result<Vec<Hold>, Trouble> {
    let mut more = seen.clone();
    let resolved = holds.iter().map(|spec| hold(spec, &mut more, symbols)).collect::<Result<_, _>>()?;
    match more.watches.get(seen.watches.len()) {
        Some(word) => {
            let help = "name words that the rig watches anyway, such as `update_ctrl.num_ack`";
            Err(Trouble::usage(format!("nobody watches `{}`", word.name), help))
        }
        None => Ok(resolved),
    }
}

/// Whether some hold waits for instructions to be counted.
pub(super) fn count_instructions(schedules: &[Vec<Hold>]) -> bool {
    schedules.iter().flatten().any(|hold| matches!(hold.until, Until::Instructions { .. }))
}

fn hold(spec: &HoldSpec, seen: &mut Observation, symbols: &Symbols) -> Result<Hold, Trouble> {
    let (at, nth) = point(&spec.at, spec.nth, seen, symbols)?;
    let until = match &spec.until {
        UntilSpec::Passed { cpu, passes, nth, since } => {
            let (at, nth) = point(passes, *nth, seen, symbols)?;
            Until::Passed { lp: lp(*cpu), at, nth, since: *since }
        }
        UntilSpec::Instructions { cpu, instructions } => Until::Instructions { lp: lp(*cpu), count: *instructions },
        UntilSpec::Time { time_us } => Until::ElapsedNs(time_us.saturating_mul(1000)),
    };
    // A hold for a time ends by that time, so its bound must lie beyond.
    let least_ns = if let Until::ElapsedNs(ns) = until { ns.saturating_mul(2) } else { 0 };
    let limit_ns = (u64::from(spec.limit_ms) * 1_000_000).max(least_ns);
    Ok(Hold { lp: lp(spec.cpu), at, nth, until, limit_ns })
}

fn lp(cpu: u32) -> u16 {
    u16::try_from(cpu).expect("scenarios have at most 512 CPUs")
}

/// The point of a place, and which of its passes is meant.
fn point(place: &Place, nth: u32, seen: &mut Observation, symbols: &Symbols) -> Result<(Point, u32), Trouble> {
    Ok(match place {
        Place::Seamcall { leaf, exit: false } => (Point::SeamcallEnter { leaf: leaf.number() }, nth),
        Place::Seamcall { leaf, exit: true } => (Point::SeamcallExit { leaf: leaf.number() }, nth),
        Place::Symbol(location) => (Point::Pc { address: address(location, symbols)? }, nth),
        Place::Memory { word, store } => {
            let watch = watch(word, seen, symbols)?;
            (if *store { Point::Store { watch } } else { Point::Load { watch } }, nth)
        }
        Place::State(value) => (Point::Saw { watch: 0, value: *value }, nth),
        Place::Pause(n) => (Point::Pause, *n),
    })
}

fn address(location: &Location, symbols: &Symbols) -> Result<u64, Trouble> {
    let found = symbols.address(&location.symbol);
    let help = "look the name up in the kernel's System.map";
    let begin = found.ok_or_else(|| Trouble::usage(format!("the kernel has no symbol `{}`", location.symbol), help))?;
    Ok(begin + location.offset)
}

/// The watch of a word: by its name, by its address, or a new one.
fn watch(word: &Location, seen: &mut Observation, symbols: &Symbols) -> Result<usize, Trouble> {
    if let Some(index) = seen.watches.iter().position(|w| w.name == word.symbol && word.offset == 0) {
        return Ok(index);
    }
    let address = address(word, symbols)?;
    let covers = |w: &Watch| (w.address..w.address + u64::from(w.size)).contains(&address);
    if let Some(index) = seen.watches.iter().position(covers) {
        return Ok(index);
    }
    let within = seen.watches.first().map(|w| w.within.clone()).unwrap_or_default();
    seen.watches.push(Watch { name: word.to_string(), address, size: WORD_SIZE, within });
    Ok(seen.watches.len() - 1)
}

/// The holds that the scenario requires and that did not come true, of reports in the order of the plan.
pub(super) fn unmet<'a>(scenario: &Scenario, reports: &'a [HoldReport]) -> Vec<&'a HoldReport> {
    let of_update = |number| scenario.holds.iter().filter(move |hold| hold.update.is_none_or(|u| u == number));
    let required = (1..=scenario.updates).flat_map(of_update).map(|hold| hold.required);
    let unmet = reports.iter().zip(required).filter(|(report, required)| *required && report.end != SATISFIED);
    unmet.map(|(report, _)| report).collect()
}

/// What became of the holds of these updates, in the order of the plan. Watches name the words.
pub(super) fn report(
    schedules: &[Vec<Hold>],
    watches: &[Watch],
    records: impl IntoIterator<Item = Record>,
) -> Vec<HoldReport> {
    // By update and hold: when it began, and when and how it ended.
    type Span = (u64, Option<(u64, u64)>);
    let mut seen: BTreeMap<(usize, u64), Span> = BTreeMap::new();
    let mut update = 0;
    for record in records {
        match Kind::from_u16(record.kind) {
            Some(Kind::Mark) if record.a == Mark::UpdateBegin as u64 => update += 1,
            Some(Kind::HoldBegin) => _ = seen.insert((update, record.a), (record.guest_ns, None)),
            Some(Kind::HoldEnd) => {
                if let Some(hold) = seen.get_mut(&(update, record.a)) {
                    hold.1 = Some((record.guest_ns, record.b));
                }
            }
            _ => {}
        }
    }
    let all = schedules.iter().enumerate().flat_map(|(u, holds)| holds.iter().enumerate().map(move |h| (u + 1, h)));
    all.map(|(update, (index, hold))| {
        let (end, held_us) = match seen.get(&(update, index as u64)) {
            None => ("never reached", None),
            Some((_, None)) => ("not ended", None),
            Some((began, Some((ended, how)))) => (ending(*how), Some(ended.saturating_sub(*began) / 1000)),
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
pub(super) const SATISFIED: &str = "satisfied";

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
    use crate::symbols::observe_update;
    use crate::symbols::tests::MAP;

    fn resolve(holds: &str) -> Result<(Vec<Vec<Hold>>, Observation), Trouble> {
        let scenario = crate::scenario::from_text(&format!("name = \"x\"\nupdates = 2\n{holds}"), "x.toml")?;
        let symbols = Symbols::from_system_map(MAP);
        let mut seen = observe_update(&symbols).unwrap();
        Ok((schedules(&scenario, &mut seen, &symbols)?, seen))
    }

    #[test]
    fn places_become_points() {
        let (lists, _) = resolve(
            "[[hold]]\ncpu = 2\nat = \"mem:update_ctrl.num_ack:store\"\nnth = 3\n\
             until = { cpu = 1, passes = \"mem:update_ctrl+4:store\", nth = 3 }\n\
             [[hold]]\ncpu = 0\nupdate = 2\nat = \"sym:do_seamldr_install_module+0x10\"\nuntil = { time_us = 5 }\n",
        )
        .unwrap();
        assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
        let store = Point::Store { watch: 1 };
        let until = Until::Passed { lp: 1, at: store.clone(), nth: 3, since: crate::scenario::Since::Update };
        assert_eq!(lists[0][0], Hold { lp: 2, at: store, nth: 3, until, limit_ns: 500_000_000 });
        assert_eq!(lists[1][1].at, Point::Pc { address: 0xffff_ffff_8107_8640 });
    }

    #[test]
    fn a_word_that_nobody_watches_is_watched() {
        let (lists, seen) =
            resolve("[[hold]]\ncpu = 1\nat = \"mem:seamldr_lock:load\"\nuntil = { cpu = 0, instructions = 9 }\n")
                .unwrap();
        assert_eq!(seen.watches.last().unwrap().name, "seamldr_lock");
        assert_eq!(lists[0][0].at, Point::Load { watch: seen.watches.len() - 1 });
        assert!(count_instructions(&lists));
    }

    #[test]
    fn an_unknown_symbol_is_the_callers_mistake() {
        let trouble = resolve("[[hold]]\ncpu = 1\nat = \"sym:nowhere\"\nuntil = { time_us = 1 }\n").unwrap_err();
        assert!(trouble.cause.contains("no symbol `nowhere`"), "{}", trouble.cause);
    }

    #[test]
    fn what_became_of_each_hold_is_told() {
        let (lists, seen) = resolve(
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
        let told = report(&lists, &seen.watches, records);
        let ends: Vec<_> = told.iter().map(|h| (h.update, h.end.as_str(), h.held_us)).collect();
        let never = "never reached";
        assert_eq!(ends, [(1, SATISFIED, Some(4)), (1, never, None), (2, never, None), (2, "expired", Some(1))]);
    }

    #[test]
    fn words_have_their_names() {
        let (lists, seen) = resolve(
            "[[hold]]\ncpu = 2\nat = \"mem:update_ctrl.num_ack:store\"\nnth = 2\n\
             until = { cpu = 1, passes = \"mem:update_ctrl.state:load\" }\n",
        )
        .unwrap();
        let told = report(&lists, &seen.watches, []);
        assert_eq!(
            told[0].what,
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
        let (lists, seen) = resolve(&text).unwrap();
        let mut reports = report(&lists, &seen.watches, []);
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
