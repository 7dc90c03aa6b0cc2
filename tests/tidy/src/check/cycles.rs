//! No module needs itself by way of others.

use crate::allowed::{AllowedCycle, FILE};
use crate::graph::{Component, Lost, Tree, components, needs};
use crate::violation::Violation;
use crate::workspace::Workspace;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Modules of one crate that need one another in a circle.
#[derive(Debug)]
pub struct Cycle {
    /// The crate's label.
    pub crate_name: String,
    /// The modules' paths.
    pub modules: BTreeSet<String>,
    /// One line for each arrow among them: who needs whom, one place, what is named there, how many places.
    pub arrows: Vec<String>,
}

/// All cycles of all crates, and what is not a list of cycles because a module's file is missing.
pub fn known_cycles(workspace: &Workspace) -> Result<Vec<Cycle>, Lost> {
    let mut cycles = Vec::new();
    for target in workspace.targets() {
        let tree = Tree::of(target, workspace)?;
        let components = components(&needs(&tree));
        cycles.extend(components.iter().map(|component| cycle(&target.label, &tree, component)));
    }
    Ok(cycles)
}

/// Complains of each cycle that is not on the list just as it is, and of each entry without its cycle.
pub fn cycles(workspace: &Workspace, allowed: &[AllowedCycle]) -> Vec<Violation> {
    let found = match known_cycles(workspace) {
        Ok(found) => found,
        Err(lost) => return vec![Violation::at("modules", lost.to_string())],
    };
    let is =
        |entry: &AllowedCycle, cycle: &Cycle| entry.crate_name == cycle.crate_name && entry.modules == cycle.modules;
    let new = found.iter().filter(|cycle| !allowed.iter().any(|entry| is(entry, cycle)));
    let gone = allowed.iter().filter(|entry| !found.iter().any(|cycle| is(entry, cycle)));
    let gone = gone.map(|entry| {
        let modules = entry.modules.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let text = format!("the cycle of {modules} is no longer there as {FILE} has it; take the entry out");
        Violation::at(&entry.crate_name, text)
    });
    new.map(|cycle| complaint(cycle, allowed)).chain(gone).collect()
}

fn cycle(label: &str, tree: &Tree<'_>, component: &Component) -> Cycle {
    let path = |at: usize| tree.modules[at].path.as_str();
    let arrows = component.needs.iter().map(|need| {
        let file = tree.modules[need.from].file;
        let (from, to) = (path(need.from), path(need.to));
        format!("{from} -> {to}  {file}:{} {} ({} places)", need.line, need.path, need.places)
    });
    let modules = component.modules.iter().map(|at| path(*at).to_owned()).collect();
    Cycle { crate_name: label.to_owned(), modules, arrows: arrows.collect() }
}

fn complaint(cycle: &Cycle, allowed: &[AllowedCycle]) -> Violation {
    let of_crate = allowed.iter().filter(|entry| entry.crate_name == cycle.crate_name);
    let nearest = of_crate.max_by_key(|entry| entry.modules.intersection(&cycle.modules).count());
    let mut text = format!("{} modules need one another in a circle", cycle.modules.len());
    if let Some(entry) = nearest.filter(|entry| !entry.modules.is_disjoint(&cycle.modules)) {
        let new: Vec<&str> = cycle.modules.difference(&entry.modules).map(String::as_str).collect();
        if new.is_empty() {
            let _ =
                write!(text, "; it is smaller than its entry in {FILE}, which has to shrink to what is printed here");
        } else {
            let _ = write!(text, "; not in it before: {}", new.join(" "));
        }
    }
    for arrow in &cycle.arrows {
        let _ = write!(text, "\n    {arrow}");
    }
    Violation::at(&cycle.crate_name, text)
}
