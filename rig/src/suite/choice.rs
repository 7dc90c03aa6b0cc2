//! Which scenarios a suite has.

use crate::scenario::Scenario;
use crate::trouble::Trouble;
use wildmatch::WildMatchPattern;

/// The scenarios whose names match one of the patterns, in which `*` stands for anything; all if there are no patterns. A pattern
/// that no name matches is a mistake.
pub fn named_so(scenarios: Vec<Scenario>, patterns: &[String]) -> Result<Vec<Scenario>, Trouble> {
    if let Some(pattern) = patterns.iter().find(|pattern| !scenarios.iter().any(|s| matches(pattern, &s.name))) {
        let cause = format!("no scenario of this suite is called {pattern}");
        return Err(Trouble::usage(cause, "`rig list` shows the names; --tag night has all of them"));
    }
    let is_chosen = |scenario: &Scenario| patterns.iter().any(|pattern| matches(pattern, &scenario.name));
    Ok(scenarios.into_iter().filter(|scenario| patterns.is_empty() || is_chosen(scenario)).collect())
}

/// Whether a name is the pattern, in which `*` stands for anything and nothing else has a meaning of its own: no name has a NUL.
fn matches(pattern: &str, name: &str) -> bool {
    WildMatchPattern::<'*', '\0'>::new(pattern).matches(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Tag, catalogue};

    fn chosen(patterns: &[&str]) -> Result<Vec<String>, String> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let chosen = named_so(catalogue::suite(Tag::Night), &patterns).map_err(|trouble| trouble.cause)?;
        Ok(chosen.into_iter().map(|scenario| scenario.name).collect())
    }

    #[test]
    fn patterns_choose_and_none_chooses_all() {
        let all = chosen(&[]).unwrap();
        assert_eq!(all.len(), catalogue::suite(Tag::Night).len());
        let mut few = chosen(&["plain-l*", "cpu-offline"]).unwrap();
        few.sort();
        assert_eq!(few, ["cpu-offline", "plain-loaded", "plain-loaded-16"]);
        assert!(chosen(&["td-kvm*"]).unwrap().iter().all(|name| name.starts_with("td-kvm")));
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name) in
            [("*", "x"), ("a*", "a"), ("*c", "abc"), ("a*c", "abc"), ("a*b*d", "axbyd"), ("a**c", "abc")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*c", "abd"), ("ab*ba", "aba"), ("a*b*c", "acb"), ("", "x")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_without_a_scenario_is_a_mistake() {
        assert!(chosen(&["plain", "td-kvn*"]).unwrap_err().contains("td-kvn*"));
        assert!(chosen(&["plain-"]).is_err());
    }
}
