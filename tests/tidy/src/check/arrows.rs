//! The arrows between crates are those that ARCHITECTURE.md has.

use crate::architecture::{Architecture, FILE};
use crate::violation::Violation;
use crate::workspace::Workspace;
use std::collections::{BTreeMap, BTreeSet};

/// Compares each package's needs with the promise, in both directions.
pub fn arrows(workspace: &Workspace, promised: &Architecture) -> Vec<Violation> {
    let packages = &workspace.packages;
    let product = packages.iter().map(|package| (package.name.as_str(), &package.needs)).collect();
    let tests = packages.iter().map(|package| (package.name.as_str(), &package.tests_need)).collect();
    let mut violations = compare(&product, &promised.arrows, "arrows");
    violations.extend(compare(&tests, &promised.arrows_of_tests, "arrows-of-tests"));
    violations
}

fn compare(
    found: &BTreeMap<&str, &BTreeSet<String>>,
    promised: &BTreeMap<String, BTreeSet<String>>,
    table: &str,
) -> Vec<Violation> {
    let none = BTreeSet::new();
    let mut violations = Vec::new();
    for (name, needs) in found {
        let promised = promised.get(*name).unwrap_or(&none);
        for foreign in needs.difference(promised) {
            let text = format!("needs {foreign}, an arrow that [{table}] in {FILE} lacks");
            violations.push(Violation::at(*name, text));
        }
    }
    for (name, promised) in promised {
        let needs = found.get(name.as_str()).copied();
        if needs.is_none() {
            violations
                .push(Violation::at(name, format!("[{table}] in {FILE} has this package, the workspace has not")));
        }
        for gone in promised.difference(needs.unwrap_or(&none)) {
            violations.push(Violation::at(name, format!("does not need {gone}, as [{table}] in {FILE} says")));
        }
    }
    violations
}
