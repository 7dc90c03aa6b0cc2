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
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A program with all mutants that compile together.
#[derive(Debug)]
pub struct Settled {
    /// What cargo made.
    pub compiled: Compiled,
    /// The switch of each mutant in it, by name, and the first at its site.
    pub switches: BTreeMap<String, (u32, u32)>,
    /// Mutants that have none.
    pub unswitched: BTreeSet<String>,
}

struct SourceFile {
    text: String,
    places: Places,
    sites: Vec<Site>,
}

/// All files of a crate that are written, with what can be switched in them.
struct Sources {
    files: BTreeMap<String, SourceFile>,
    roots: BTreeSet<String>,
    /// Names by switch.
    names: BTreeMap<u32, String>,
    unswitched: BTreeSet<String>,
}

impl Sources {
    fn read(tree: &Tree, package: &Package, mutants: &[Mutant]) -> Result<Self, Trouble> {
        let roots = roots(tree, package);
        let mut sources = Self { files: BTreeMap::new(), roots, names: BTreeMap::new(), unswitched: BTreeSet::new() };
        let named = mutants.iter().map(|mutant| &mutant.file).chain(&sources.roots).cloned();
        for file in named.collect::<BTreeSet<_>>() {
            let text = tree.read(&file)?;
            let parsed = syn::parse_file(&text).map_err(|cause| Trouble::NotRust { file: file.clone(), cause })?;
            let places = places::of(&parsed, &Lines::of(&text));
            let own: Vec<&Mutant> = mutants.iter().filter(|mutant| mutant.file == file).collect();
            let found = sites::of(&text, &places, &own, sources.end())?;
            sources.names.extend(found.names);
            sources.unswitched.extend(found.unswitched);
            sources.files.insert(file, SourceFile { text, places, sites: found.sites });
        }
        Ok(sources)
    }

    /// The switch behind the last.
    fn end(&self) -> u32 {
        self.names.last_key_value().map_or(NONE, |(switch, _)| *switch) + 1
    }

    fn write(&self, tree: &Tree, left_out: &LeftOut) -> Result<BTreeMap<String, Rendered>, Trouble> {
        let mut all = BTreeMap::new();
        for (name, file) in &self.files {
            let SourceFile { text, places, sites } = file;
            let mut rendered = render::render(text, sites, &places.const_fns, &places.functions, left_out);
            if self.roots.contains(name) {
                rendered.text.push_str(&render::module(self.end()));
            }
            tree.write(Path::new(name), rendered.text.as_bytes())?;
            all.insert(name.clone(), rendered);
        }
        Ok(all)
    }

    fn settled(mut self, compiled: Compiled, rendered: &BTreeMap<String, Rendered>) -> Settled {
        let marks = rendered.values().flat_map(|file| &file.marks);
        let used: BTreeSet<u32> = marks.flat_map(|mark| mark.switches.iter().copied()).collect();
        let mut switches = BTreeMap::new();
        for site in self.files.values().flat_map(|file| &file.sites) {
            let own = site.alternatives.iter().map(|alternative| alternative.switch);
            let own: Vec<u32> = own.filter(|switch| used.contains(switch)).collect();
            for switch in &own {
                let name = self.names.remove(switch).expect("each switch is one mutant's");
                switches.insert(name, (*switch, own[0]));
            }
        }
        self.unswitched.extend(self.names.into_values());
        Settled { compiled, switches, unswitched: self.unswitched }
    }
}

/// Rewrites the sources of a package in `tree` and compiles them. `progress` is called with a line about each try. What was
/// left out is kept in the file `kept`, so that another call for the same sources begins with it.
pub fn settle(
    tree: &Tree,
    recipe: &Recipe,
    mutants: &[Mutant],
    kept: &Path,
    progress: &mut dyn FnMut(String),
) -> Result<Settled, Trouble> {
    let package = compile::package(tree, &recipe.package)?;
    let sources = Sources::read(tree, &package, mutants)?;
    let mut left_out = LeftOut::default();
    // The first program is as if nothing were left out: its text is the key.
    let key = fingerprint(&sources.write(tree, &left_out)?);
    if let Some(earlier) = recall(kept, &key) {
        left_out = earlier;
    }
    loop {
        let rendered = sources.write(tree, &left_out)?;
        let checked = compile::check(tree, recipe)?;
        progress(format!("{} errors, {} mutants left out", checked.errors.len(), left_out.switches.len()));
        let errors = if checked.errors.is_empty() {
            let compiled = compile::build(tree, recipe)?;
            if compiled.errors.is_empty() {
                return Ok(sources.settled(compiled, &rendered));
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
        let text = serde_json::to_string(&(&key, &left_out)).expect("numbers and names are JSON");
        fs::write(kept, text).map_err(Trouble::file("write", kept))?;
    }
}

/// None if nothing is kept, or something else: then it is found out anew.
fn recall(kept: &Path, key: &str) -> Option<LeftOut> {
    let text = fs::read_to_string(kept).ok()?;
    let (its_key, left_out): (String, LeftOut) = serde_json::from_str(&text).ok()?;
    (its_key == key).then_some(left_out)
}

fn fingerprint(rendered: &BTreeMap<String, Rendered>) -> String {
    let mut hash = Sha256::new();
    for (name, file) in rendered {
        hash.update(format!("{name} {}\n", file.text.len()));
        hash.update(&file.text);
    }
    hex::encode(hash.finalize())
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
