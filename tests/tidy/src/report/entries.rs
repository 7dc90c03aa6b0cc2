//! What is there today as entries of `allowed.toml`, to copy from when a cycle or homonym has shrunk.

use crate::check::{FILE_LINES, FUNCTION_LINES, known_cycles, known_homonyms, lines};
use crate::graph::Lost;
use crate::workspace::Workspace;
use std::fmt::Write as _;

/// An entry for each cycle, long file, long function and homonym. The reasons are for a person to write.
pub fn entries(workspace: &Workspace) -> Result<String, Lost> {
    let mut text = String::new();
    for cycle in known_cycles(workspace)? {
        let modules = array(cycle.modules.iter());
        let _ =
            writeln!(text, "[[cycle]]\ncrate-name = \"{}\"\nmodules = {modules}\nreason = \"\"\n", cycle.crate_name);
    }
    for (path, lines) in lines(workspace).into_iter().filter(|(_, lines)| *lines > FILE_LINES) {
        let _ = writeln!(text, "[[file]]\npath = \"{path}\"\nat-most = {lines}\nreason = \"\"\n");
    }
    for (path, source) in &workspace.sources {
        for one in source.functions.iter().filter(|function| function.lines > FUNCTION_LINES) {
            let (name, lines) = (&one.name, one.lines);
            let _ = writeln!(
                text,
                "[[function]]\npath = \"{path}\"\nname = \"{name}\"\nat-most = {lines}\nreason = \"\"\n"
            );
        }
    }
    for homonym in known_homonyms(workspace) {
        let modules = array(homonym.modules.keys());
        let (label, name) = (&homonym.crate_name, &homonym.name);
        let _ = writeln!(
            text,
            "[[homonym]]\ncrate-name = \"{label}\"\nname = \"{name}\"\nmodules = {modules}\nreason = \"\"\n"
        );
    }
    Ok(text)
}

fn array<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", names.join(", "))
}
