//! Finds which of the mutants without a switch do not compile, many at a time.
//!
//! Functions are checked one by one, and a mutant changes nothing of its function's signature. So one mutant of each function
//! is put into the program at a time, as cargo-mutants would put it there alone, and an error in a function is due to its
//! mutant.

use crate::compile::{self, Recipe};
use crate::lines::Lines;
use crate::list::Mutant;
use crate::places;
use crate::sites::extent;
use crate::tree::Tree;
use crate::trouble::Trouble;
use cargo_metadata::diagnostic::{Diagnostic, DiagnosticSpan};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

/// A mutant in its function.
struct Placed<'m> {
    mutant: &'m Mutant,
    /// The text that it replaces.
    extent: Range<usize>,
    /// The outermost function around it.
    function: Range<usize>,
}

/// The names of those of `mutants` that do not compile. One that is not among them may compile.
pub fn unviable(tree: &Tree, recipe: &Recipe, mutants: &[&Mutant]) -> Result<BTreeSet<String>, Trouble> {
    let mut texts = BTreeMap::new();
    let mut rounds: Vec<Vec<Placed<'_>>> = Vec::new();
    let mut found = BTreeSet::new();
    for mutant in mutants {
        if !texts.contains_key(&mutant.file) {
            texts.insert(mutant.file.clone(), tree.read(&mutant.file)?);
        }
        let text = &texts[&mutant.file];
        if let Some(placed) = place(text, mutant)? {
            let is_free = |round: &&mut Vec<Placed<'_>>| {
                round.iter().all(|one| (&one.mutant.file, &one.function) != (&mutant.file, &placed.function))
            };
            match rounds.iter_mut().find(is_free) {
                Some(round) => round.push(placed),
                None => rounds.push(vec![placed]),
            }
        }
    }
    for mut round in rounds {
        loop {
            let functions = write(tree, &texts, &round)?;
            let errors = compile::check(tree, recipe)?.errors;
            let blamed: BTreeSet<&str> = errors.iter().filter_map(|error| blamed(error, &functions)).collect();
            if blamed.is_empty() {
                break;
            }
            round.retain(|one| !blamed.contains(one.mutant.name.as_str()));
            found.extend(blamed.into_iter().map(str::to_owned));
        }
    }
    for (file, text) in &texts {
        tree.write(Path::new(file), text.as_bytes())?;
    }
    Ok(found)
}

fn place<'m>(text: &str, mutant: &'m Mutant) -> Result<Option<Placed<'m>>, Trouble> {
    let lines = Lines::of(text);
    let extent = extent(mutant, &lines)?;
    let parsed = syn::parse_file(text).map_err(|cause| Trouble::NotRust { file: mutant.file.clone(), cause })?;
    let functions = places::of(&parsed, &lines).functions;
    let around = functions.into_iter().filter(|one| one.start <= extent.start && extent.end <= one.end);
    let function = around.max_by_key(ExactSizeIterator::len);
    // What the compiler knows of these depends on their bodies, so that an error may show elsewhere.
    let is_open = |function: &Range<usize>| {
        let head = &text[function.start..extent.start];
        head.contains("-> impl ") || head.contains("const fn ")
    };
    let function = function.filter(|function| !is_open(function));
    Ok(function.map(|function| Placed { mutant, extent, function }))
}

/// Where the functions of a round's mutants are in the files that are written, by file.
type Functions<'m> = BTreeMap<&'m str, Vec<(Range<usize>, &'m str)>>;

fn write<'m>(tree: &Tree, texts: &BTreeMap<String, String>, round: &[Placed<'m>]) -> Result<Functions<'m>, Trouble> {
    let mut functions = Functions::new();
    for (file, text) in texts {
        let mut own: Vec<&Placed<'_>> = round.iter().filter(|one| one.mutant.file == *file).collect();
        own.sort_by_key(|one| one.extent.start);
        let mut written = String::new();
        let mut at = 0;
        for one in own {
            written.push_str(&text[at..one.function.start]);
            let start = written.len();
            written.push_str(&text[one.function.start..one.extent.start]);
            written.push_str(&one.mutant.replacement);
            written.push_str(&text[one.extent.end..one.function.end]);
            at = one.function.end;
            functions.entry(&one.mutant.file).or_default().push((start..written.len(), &one.mutant.name));
        }
        written.push_str(&text[at..]);
        tree.write(Path::new(file), written.as_bytes())?;
    }
    Ok(functions)
}

fn blamed<'m>(error: &Diagnostic, functions: &Functions<'m>) -> Option<&'m str> {
    let primary = error.spans.iter().filter(|span| span.is_primary);
    primary.chain(error.spans.iter().filter(|span| !span.is_primary)).find_map(|span| in_function(span, functions))
}

fn in_function<'m>(span: &DiagnosticSpan, functions: &Functions<'m>) -> Option<&'m str> {
    let at = span.byte_start as usize;
    let own = functions.get(span.file_name.as_str());
    let found = own.and_then(|own| own.iter().find(|(function, _)| function.contains(&at))).map(|(_, name)| *name);
    found.or_else(|| in_function(&span.expansion.as_ref()?.span, functions))
}
