//! From the holds of a scenario to those of a plan.

use crate::scenario::{HoldSpec, Location, Place, Scenario, UntilSpec};
use crate::symbols::{Observation, Symbols};
use crate::trouble::Trouble;
use rig_wire::plan::{Hold, Point, Until, Watch};

/// Bytes of a word that a scenario names by address.
const WORD_SIZE: u8 = 4;

/// The schedules of all updates. Words that the scenario names and that are not watched yet are added to the watches.
pub(crate) fn schedules(
    scenario: &Scenario,
    observation: &mut Observation,
    symbols: &Symbols,
) -> Result<Vec<Vec<Hold>>, Trouble> {
    let mut resolved = Vec::new();
    for spec in &scenario.holds {
        resolved.push((spec.update, hold(spec, observation, symbols)?));
    }
    if resolved.is_empty() {
        return Ok(Vec::new());
    }
    let of_update = |number| resolved.iter().filter(move |(update, _)| update.is_none_or(|u| u == number));
    Ok((1..=scenario.updates).map(|number| of_update(number).map(|(_, hold)| hold.clone()).collect()).collect())
}

/// One schedule, for words and addresses that are watched already.
pub(crate) fn schedule(holds: &[HoldSpec], observation: &Observation, symbols: &Symbols) -> Result<Vec<Hold>, Trouble> {
    let mut more = observation.clone();
    let resolved = holds.iter().map(|spec| hold(spec, &mut more, symbols)).collect::<Result<_, _>>()?;
    match more.watches.get(observation.watches.len()) {
        Some(word) => {
            let help = "name words that the rig watches anyway, such as `update_ctrl.num_ack`";
            Err(Trouble::usage(format!("nobody watches `{}`", word.name), help))
        }
        None => Ok(resolved),
    }
}

/// Whether some hold waits for instructions to be counted.
pub(crate) fn count_instructions(schedules: &[Vec<Hold>]) -> bool {
    schedules.iter().flatten().any(|hold| matches!(hold.until, Until::Instructions { .. }))
}

fn hold(spec: &HoldSpec, observation: &mut Observation, symbols: &Symbols) -> Result<Hold, Trouble> {
    let (at, nth) = point(&spec.at, spec.nth, observation, symbols)?;
    let until = match &spec.until {
        UntilSpec::Passed { cpu, passes, nth, since } => {
            let (at, nth) = point(passes, *nth, observation, symbols)?;
            Until::Passed { lp: lp(*cpu), at, nth, since: *since }
        }
        UntilSpec::Instructions { cpu, instructions } => Until::Instructions { lp: lp(*cpu), count: *instructions },
        UntilSpec::Time { time_us } => Until::ElapsedNs(time_us.saturating_mul(1000)),
    };
    // A hold for a time ends by that time, so its bound must lie beyond.
    let least_ns = if let Until::ElapsedNs(ns) = until { ns.saturating_mul(2) } else { 0 };
    let limit_ns = (u64::from(spec.limit_ms) * 1_000_000).max(least_ns);
    Ok(Hold { lp: lp(spec.cpu), at, nth, from: spec.from, until, limit_ns })
}

fn lp(cpu: u32) -> u16 {
    u16::try_from(cpu).expect("scenarios have at most 512 CPUs")
}

/// The point of a place, and which of its passes is meant.
fn point(place: &Place, nth: u32, observation: &mut Observation, symbols: &Symbols) -> Result<(Point, u32), Trouble> {
    Ok(match place {
        Place::Seamcall { leaf, exit: false } => (Point::SeamcallEnter { leaf: leaf.number() }, nth),
        Place::Seamcall { leaf, exit: true } => (Point::SeamcallExit { leaf: leaf.number() }, nth),
        Place::Symbol(location) => (Point::Pc { address: address(location, symbols)? }, nth),
        Place::Memory { word, store } => {
            let watch = watch(word, observation, symbols)?;
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
fn watch(word: &Location, observation: &mut Observation, symbols: &Symbols) -> Result<usize, Trouble> {
    if let Some(index) = observation.watches.iter().position(|w| w.name == word.symbol && word.offset == 0) {
        return Ok(index);
    }
    let address = address(word, symbols)?;
    let covers = |w: &Watch| (w.address..w.address + u64::from(w.size)).contains(&address);
    if let Some(index) = observation.watches.iter().position(covers) {
        return Ok(index);
    }
    let within = observation.watches.first().map(|w| w.within.clone()).unwrap_or_default();
    observation.watches.push(Watch { name: word.to_string(), address, size: WORD_SIZE, within });
    Ok(observation.watches.len() - 1)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::scenario::HoldStart;
    use crate::symbols::observe_update;
    use crate::symbols::tests::MAP;

    pub(crate) fn resolve(holds: &str) -> Result<(Vec<Vec<Hold>>, Observation), Trouble> {
        let scenario = crate::scenario::from_text(&format!("name = \"x\"\nupdates = 2\n{holds}"), "x.toml")?;
        let symbols = Symbols::from_system_map(MAP);
        let mut observation = observe_update(&symbols).unwrap();
        Ok((schedules(&scenario, &mut observation, &symbols)?, observation))
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
        assert_eq!(
            lists[0][0],
            Hold { lp: 2, at: store, nth: 3, from: HoldStart::Section, until, limit_ns: 500_000_000 }
        );
        assert_eq!(lists[1][1].at, Point::Pc { address: 0xffff_ffff_8107_8640 });
    }

    #[test]
    fn a_word_that_nobody_watches_is_watched() {
        let (lists, observation) =
            resolve("[[hold]]\ncpu = 1\nat = \"mem:seamldr_lock:load\"\nuntil = { cpu = 0, instructions = 9 }\n")
                .unwrap();
        assert_eq!(observation.watches.last().unwrap().name, "seamldr_lock");
        assert_eq!(lists[0][0].at, Point::Load { watch: observation.watches.len() - 1 });
        assert!(count_instructions(&lists));
    }

    #[test]
    fn an_unknown_symbol_is_the_callers_mistake() {
        let trouble = resolve("[[hold]]\ncpu = 1\nat = \"sym:nowhere\"\nuntil = { time_us = 1 }\n").unwrap_err();
        assert!(trouble.cause.contains("no symbol `nowhere`"), "{}", trouble.cause);
    }
}
