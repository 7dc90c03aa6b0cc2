//! The scenarios that come with the rig, by name: `tests/scenarios/NAME.toml`, built into the program.

use super::{Scenario, Tag, from_text};
use crate::trouble::Trouble;
use include_dir::{Dir, include_dir};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../tests/scenarios");

/// All of them, the cheapest first.
pub fn all() -> Vec<Scenario> {
    let texts = FILES.files().filter(|file| file.path().extension().is_some_and(|e| e == "toml"));
    let mut scenarios: Vec<Scenario> = texts
        .map(|file| {
            let text = file.contents_utf8().expect("scenarios are text");
            from_text(text, &file.path().display().to_string()).expect("a test reads every scenario that is built in")
        })
        .collect();
    scenarios.sort_by(|a, b| cost(a).cmp(&cost(b)).then_with(|| a.name.cmp(&b.name)));
    scenarios
}

/// Those of a suite: each suite has all of the smaller ones, too.
pub fn suite(tag: Tag) -> Vec<Scenario> {
    all().into_iter().filter(|scenario| scenario.tags.iter().any(|own| *own <= tag)).collect()
}

/// The one of this name.
pub fn named(name: &str) -> Result<Scenario, Trouble> {
    let mut all = all();
    if let Some(at) = all.iter().position(|scenario| scenario.name == name) {
        return Ok(all.swap_remove(at));
    }
    let likeness = |s: &Scenario| strsim::jaro_winkler(name, &s.name);
    let nearest = all.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|s| likeness(s) > 0.7);
    let help = match nearest {
        Some(near) => format!("did you mean `{}`? `rig list` shows all", near.name),
        None => "`rig list` shows the names; a file's path works, too".to_owned(),
    };
    Err(Trouble::usage(format!("there is no scenario and no file called {name}"), help))
}

/// The file of the one of this name, as it was written.
pub fn text(name: &str) -> Result<&'static str, Trouble> {
    let name = named(name)?.name;
    let file = FILES.get_file(format!("{name}.toml")).expect("a scenario has the name of its file");
    Ok(file.contents_utf8().expect("scenarios are text"))
}

/// What orders a suite: the budget, else a guess from the machine's size.
fn cost(scenario: &Scenario) -> u32 {
    scenario.budget.total_s.unwrap_or(5 + scenario.cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_a_scenario_named_like_it_with_a_reason_a_suite_and_a_budget() {
        let all = all();
        let files: BTreeSet<_> = FILES.files().filter_map(|f| f.path().file_stem()?.to_str()).collect();
        let names: BTreeSet<_> = all.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(files, names);
        for scenario in &all {
            assert!(scenario.why.len() > 20, "{}: say why", scenario.name);
            assert!(!scenario.tags.is_empty(), "{}: no suite has it", scenario.name);
            assert!(scenario.budget.total_s.is_some(), "{}: say its budget", scenario.name);
        }
    }

    /// The page on which a known defect is described.
    const FINDINGS: &str = include_str!("../../../docs/findings.md");

    #[test]
    fn a_known_defect_is_described_where_it_says() {
        let names: Vec<String> = all().into_iter().filter_map(|s| s.expect.known_defect).collect();
        assert!(names.len() > 20, "{names:?}");
        for name in names {
            let number = name.strip_prefix("finding ").unwrap_or_else(|| panic!("{name} is none"));
            assert!(FINDINGS.contains(&format!("\n## {number}. ")), "{name} is not described");
        }
    }

    #[test]
    fn a_run_folder_keeps_a_scenario_so_that_it_can_be_run_again() {
        for scenario in all() {
            let text = toml::to_string_pretty(&scenario).unwrap();
            assert_eq!(from_text(&text, &scenario.name).unwrap(), scenario);
        }
    }

    #[test]
    fn larger_suites_have_the_smaller_ones_and_begin_with_the_cheapest() {
        let [quick, full, night] = [Tag::Quick, Tag::Full, Tag::Night].map(suite);
        assert!(!quick.is_empty() && quick.len() < full.len() && full.len() < night.len());
        assert_eq!(night.len(), all().len());
        assert!(night.is_sorted_by_key(cost));
        assert!(quick.iter().all(|s| full.contains(s)) && full.iter().all(|s| night.contains(s)));
    }

    #[test]
    fn a_name_is_found_and_a_wrong_one_gets_the_nearest() {
        assert_eq!(named("plain").unwrap().name, "plain");
        assert!(named("plian").unwrap_err().help.contains("`plain`"));
        assert!(named("zzz").unwrap_err().help.contains("rig list"));
    }
}
