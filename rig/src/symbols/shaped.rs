//! What to watch of an update of any shape: as much as its symbols and a profile tell.

use super::subject::{ONLINE_COUNT, REGION, preempt_count};
use super::{Observation, SubjectError, Symbols, observe_update};
use crate::scenario::{Location, Shape, ShapeWords};
use rig_judge::{Invariant, SubjectNames};
use rig_wire::plan::{Function, Watch};
use std::collections::BTreeMap;

/// The functions around every SEAMCALL (`arch/x86/virt/vmx/tdx/seamcall.S`): a kernel without them has no TDX host support.
const SEAMCALL: &str = "__seamcall";

/// Finds what there is to watch of a kernel's update. Without a shape, that of Linux 7.2 is looked for, then those of the other
/// profiles; of a kernel that has none of them SEAMCALLs are seen, and functions of the kernel's own.
pub fn observe_any(symbols: &Symbols, shape: Option<&Shape>) -> Result<Observation, SubjectError> {
    if let Some(shape) = shape {
        return observe_shape(symbols, shape);
    }
    let error = match observe_update(symbols) {
        Ok(observation) => return Ok(observation),
        Err(error) => error,
    };
    if symbols.address(SEAMCALL).is_none() {
        return Err(error);
    }
    let section = Some(REGION[0]).filter(|name| symbols.function(name).is_some());
    let by_profile = Shape::profiles().into_iter().skip(1).find(|shape| shape.section.as_deref() == section);
    let named = by_profile.filter(|_| symbols.address("tdp_data").is_some());
    let unknown = Shape { name: "unknown".into(), section: section.map(Into::into), ..Shape::default() };
    let why = match error {
        SubjectError::Missing(name) => format!("the kernel has no `{name}`, and no shape was named"),
        error => error.to_string(),
    };
    let shape = named.unwrap_or(Shape { unwatched: why, ..unknown });
    observe_shape(symbols, &shape)
}

/// Finds what this shape names; a symbol that is not there is an error.
fn observe_shape(symbols: &Symbols, shape: &Shape) -> Result<Observation, SubjectError> {
    let known = SubjectNames::in_tree();
    let section = shape.section.as_deref().map(|name| function(symbols, name)).transpose()?;
    let around = REGION[1..].iter().filter_map(|name| symbols.function(name));
    let functions: Vec<Function> = section.clone().into_iter().chain(around).collect();
    let watches = match (&shape.words, &section) {
        (Some(words), Some(section)) => watches(symbols, words, &code(symbols, shape, section))?,
        _ => Vec::new(),
    };
    let names = SubjectNames {
        install_function: shape.section.clone().unwrap_or_default(),
        counts_acks_under_lock: shape.words.as_ref().is_none_or(|words| !words.atomic),
        ..known
    };
    let has = |name: &str| functions.iter().any(|function| function.name == name);
    let unobservable = unobservable(shape, has(&names.set_online_function));
    Ok(Observation { watches, functions, preempt_count_offset: preempt_count(symbols), names, unobservable })
}

fn function(symbols: &Symbols, name: &str) -> Result<Function, SubjectError> {
    symbols.function(name).ok_or_else(|| SubjectError::NotOfShape(name.to_owned()))
}

/// The code that touches the words.
fn code(symbols: &Symbols, shape: &Shape, section: &Function) -> Vec<(u64, u64)> {
    let names = std::iter::once(&section.name).chain(&shape.code);
    names.flat_map(|name| symbols.ranges(name)).collect()
}

/// The words under the names that the judge and holds know, whatever the kernel calls them.
fn watches(symbols: &Symbols, words: &ShapeWords, within: &[(u64, u64)]) -> Result<Vec<Watch>, SubjectError> {
    let names = SubjectNames::in_tree();
    let names = [names.state, names.num_ack, names.num_failed];
    let watch = |name: String, address| Watch { name, address, size: 4, within: within.to_vec() };
    let mut watches = Vec::new();
    for (name, (_, place)) in names.into_iter().zip(words.places()) {
        let location: Location = place.parse().map_err(SubjectError::NotOfShape)?;
        let begin = symbols.address(&location.symbol).ok_or(SubjectError::NotOfShape(location.symbol))?;
        watches.push(watch(name, begin + location.offset));
    }
    watches.extend(symbols.address(ONLINE_COUNT).map(|address| watch(ONLINE_COUNT.to_owned(), address)));
    Ok(watches)
}

/// Invariants of which only a part can be seen, and which part.
fn unobservable(shape: &Shape, has_set_online: bool) -> BTreeMap<Invariant, String> {
    let mut all = BTreeMap::new();
    let why = if shape.unwatched.is_empty() { "the shape names no words" } else { &shape.unwatched };
    if shape.words.is_none() {
        let seen = "the order of SEAMCALLs was judged, acknowledgements were not";
        all.insert(Invariant::Lockstep, format!("{seen}: {why}"));
        let seen = "that no CPU makes a call of a later step was judged, what its state machine does was not";
        all.insert(Invariant::StopOnFailure, format!("{seen}: {why}"));
    }
    if shape.section.is_none() {
        let why = "the function that every CPU runs in an update is not known";
        all.insert(Invariant::Progress, format!("whether each CPU leaves was not seen: {why}"));
        all.insert(Invariant::InterruptsOff, format!("only SEAMCALLs of the update were judged: {why}"));
    }
    if !has_set_online {
        let why = "the kernel's symbols have no `set_cpu_online`".to_owned();
        all.insert(Invariant::StableCpus, why);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::tests::MAP;
    use super::*;

    fn renamed() -> String {
        MAP.replace("update_ctrl", "renamed_ctrl") + "ffffffff81083670 T __seamcall\n"
    }

    #[test]
    fn a_kernel_of_another_shape_is_observed_as_far_as_its_symbols_go() {
        let observation = observe_any(&Symbols::from_system_map(&renamed()), None).unwrap();
        assert!(observation.watches.is_empty());
        let functions: Vec<&str> = observation.functions.iter().map(|function| function.name.as_str()).collect();
        assert_eq!(functions, REGION);
        let why = &observation.unobservable[&Invariant::Lockstep];
        assert!(why.contains("acknowledgements were not") && why.contains("update_ctrl"), "{why}");
        assert!(!observation.unobservable.contains_key(&Invariant::Progress));
        let other = renamed().replace("do_seamldr_install_module", "other_section");
        let observation = observe_any(&Symbols::from_system_map(&other), None).unwrap();
        assert!(observation.unobservable.contains_key(&Invariant::Progress));
        assert_eq!(observation.names.install_function, "");
    }

    #[test]
    fn an_earlier_revision_has_its_profile() {
        let map = MAP.replace("update_ctrl", "tdp_data") + "ffffffff81083670 T __seamcall\n";
        let observation = observe_any(&Symbols::from_system_map(&map), None).unwrap();
        let why = &observation.unobservable[&Invariant::Lockstep];
        assert!(why.contains("`tdp_data.thread_ack` counts down"), "{why}");
        assert_eq!(observation.names.install_function, "do_seamldr_install_module");
    }

    #[test]
    fn words_that_are_named_are_watched_under_the_names_that_are_known() {
        let symbols = Symbols::from_system_map(&renamed());
        let mut shape = Shape::profiles().remove(0);
        let words = shape.words.as_mut().unwrap();
        (words.state, words.acknowledged, words.failed) =
            ("renamed_ctrl".into(), "renamed_ctrl+4".into(), "renamed_ctrl+8".into());
        let observation = observe_any(&symbols, Some(&shape)).unwrap();
        let known = observe_update(&Symbols::from_system_map(MAP)).unwrap();
        assert_eq!(
            observation.watches.iter().map(|w| (&w.name, w.address)).collect::<Vec<_>>(),
            known.watches.iter().map(|w| (&w.name, w.address)).collect::<Vec<_>>()
        );
        assert_eq!(observation.functions, known.functions);
        assert!(observation.unobservable.is_empty(), "{:?}", observation.unobservable);
        shape.section = Some("nowhere".into());
        assert_eq!(observe_any(&symbols, Some(&shape)).unwrap_err(), SubjectError::NotOfShape("nowhere".into()));
    }

    #[test]
    fn a_kernel_without_tdx_is_refused() {
        let without = MAP.replace("update_ctrl", "renamed_ctrl");
        let error = observe_any(&Symbols::from_system_map(&without), None).unwrap_err();
        assert_eq!(error, SubjectError::Missing("update_ctrl"));
    }
}
