//! The largest files, functions and structs.

use crate::check::lines;
use crate::workspace::Workspace;
use std::cmp::Reverse;
use std::fmt::Write as _;

/// The `count` longest files, by the lines that count.
pub fn files(workspace: &Workspace, count: usize) -> String {
    let files = lines(workspace).into_iter();
    table(files.map(|(path, lines)| (lines, path.to_owned())).collect(), count)
}

/// The `count` longest functions.
pub fn functions(workspace: &Workspace, count: usize) -> String {
    let mut functions = Vec::new();
    for (path, source) in &workspace.sources {
        let of_file = source.functions.iter();
        functions.extend(of_file.map(|one| (one.lines, format!("{path}:{} {}", one.line, one.name))));
    }
    table(functions, count)
}

/// The `count` structs that have most public fields.
pub fn fields(workspace: &Workspace, count: usize) -> String {
    let mut types = Vec::new();
    for (path, source) in &workspace.sources {
        let of_file = source.types.iter();
        types.extend(of_file.map(|one| (one.public_fields, format!("{path}:{} {}", one.line, one.name))));
    }
    table(types, count)
}

fn table(mut rows: Vec<(usize, String)>, count: usize) -> String {
    rows.sort_by_key(|(figure, name)| (Reverse(*figure), name.clone()));
    let mut text = String::new();
    for (figure, name) in rows.into_iter().take(count) {
        let _ = writeln!(text, "{figure:>6}  {name}");
    }
    text
}
