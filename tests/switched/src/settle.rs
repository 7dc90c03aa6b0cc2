//! Makes one program of all mutants of a crate: what does not compile in it is left out until the rest does.

use crate::blame;
use crate::compile::{self, Compiled, Recipe};
use crate::lines::Lines;
use crate::list::Mutant;
use crate::places::{self, Places};
use crate::render::{self, LeftOut, Rendered};
use crate::sites::{self, NONE, Site};
use crate::tree::Tree;
use crate::trouble::Trouble;
use cargo_metadata::Package;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A program with all mutants that compile together.
#[derive(Debug)]
pub struct Settled {
    /// What cargo made.
    pub compiled: Compiled,
    /// The switch of each mutant in it, by name.
    pub switches: BTreeMap<String, u32>,
    /// Mutants that have none.
    pub unswitched: BTreeSet<String>,
}

struct SourceFile {
    text: String,
    places: Places,
    sites: Vec<Site>,
}

/// Rewrites the sources of `package` in `tree` and compiles them. `progress` is called with a line about each try.
pub fn settle(
    tree: &Tree,
    recipe: &Recipe,
    mutants: &[Mutant],
    progress: &mut dyn FnMut(String),
) -> Result<Settled, Trouble> {
    let package = compile::package(tree, &recipe.package)?;
    let roots = roots(tree, &package);
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    let mut unswitched = BTreeSet::new();
    let mut files: BTreeMap<String, SourceFile> = BTreeMap::new();
    let mut next = NONE + 1;
    for file in mutants.iter().map(|mutant| &mutant.file).collect::<BTreeSet<_>>() {
        let text = tree.read(file)?;
        let parsed = syn::parse_file(&text).map_err(|cause| Trouble::NotRust { file: file.clone(), cause })?;
        let places = places::of(&parsed, &Lines::of(&text));
        let own: Vec<&Mutant> = mutants.iter().filter(|mutant| mutant.file == *file).collect();
        let (sites, named, without) = sites::of(&text, &places, &own, next)?;
        next += named.len() as u32;
        names.extend(named);
        unswitched.extend(without);
        files.insert(file.clone(), SourceFile { text, places, sites });
    }
    for root in &roots {
        if !files.contains_key(root) {
            let text = tree.read(root)?;
            files.insert(root.clone(), SourceFile { text, places: Places::default(), sites: Vec::new() });
        }
    }
    let mut left_out = LeftOut::default();
    loop {
        let rendered = write(tree, &files, &roots, &left_out)?;
        let checked = compile::check(tree, recipe)?;
        progress(format!("{} errors, {} mutants left out", checked.errors.len(), left_out.switches.len()));
        let errors = if checked.errors.is_empty() {
            let compiled = compile::build(tree, recipe)?;
            if compiled.errors.is_empty() {
                return Ok(settled(compiled, &rendered, names, unswitched));
            }
            compiled.errors
        } else {
            checked.errors
        };
        let mut is_less = false;
        for error in &errors {
            is_less |= blame::leave_out(error, &rendered, &mut left_out);
        }
        if !is_less {
            let texts = errors.iter().map(|error| error.rendered.clone().unwrap_or_else(|| error.message.clone()));
            return Err(Trouble::NeverCompiles(texts.take(3).collect()));
        }
    }
}

/// The files at which the package's library and programs begin.
fn roots(tree: &Tree, package: &Package) -> BTreeSet<String> {
    let is_root = |target: &&cargo_metadata::Target| {
        !(target.is_test() || target.is_bench() || target.is_example() || target.is_custom_build())
    };
    let relative = |target: &cargo_metadata::Target| {
        target.src_path.strip_prefix(&tree.root).expect("its own files are in the workspace").to_string()
    };
    package.targets.iter().filter(is_root).map(relative).collect()
}

fn write(
    tree: &Tree,
    files: &BTreeMap<String, SourceFile>,
    roots: &BTreeSet<String>,
    left_out: &LeftOut,
) -> Result<BTreeMap<String, Rendered>, Trouble> {
    let mut all = BTreeMap::new();
    for (name, file) in files {
        let SourceFile { text, places, sites } = file;
        let mut rendered = render::render(text, sites, &places.const_fns, &places.functions, left_out);
        if roots.contains(name) {
            rendered.text.push_str(&render::module());
        }
        tree.write(Path::new(name), rendered.text.as_bytes())?;
        all.insert(name.clone(), rendered);
    }
    Ok(all)
}

fn settled(
    compiled: Compiled,
    rendered: &BTreeMap<String, Rendered>,
    names: BTreeMap<u32, String>,
    mut unswitched: BTreeSet<String>,
) -> Settled {
    let marks = rendered.values().flat_map(|file| &file.marks);
    let used: BTreeSet<u32> = marks.flat_map(|mark| mark.switches.iter().copied()).collect();
    let mut switches = BTreeMap::new();
    for (switch, name) in names {
        if used.contains(&switch) {
            switches.insert(name, switch);
        } else {
            unswitched.insert(name);
        }
    }
    Settled { compiled, switches, unswitched }
}
