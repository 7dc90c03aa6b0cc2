//! `unsafe` is only where ARCHITECTURE.md says, and each block says why it is sound.

use crate::architecture::{Architecture, FILE};
use crate::violation::Violation;
use crate::workspace::Workspace;

/// Complains of `unsafe` in other files, of blocks without a reason, and of files on the list that have none.
pub fn unsafe_files(workspace: &Workspace, promised: &Architecture) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, source) in &workspace.sources {
        let is_listed = promised.unsafe_code.files.contains(path);
        for one in &source.unsafes {
            if !is_listed {
                let text = format!("unsafe in a file that [unsafe] in {FILE} lacks");
                violations.push(Violation::on(path, one.line, text));
            }
            if one.needs_reason && !one.has_reason {
                let text = "unsafe without a comment directly above that begins with `// SAFETY:`";
                violations.push(Violation::on(path, one.line, text));
            }
        }
    }
    let is_unsafe = |path: &str| workspace.sources.get(path).is_some_and(|source| !source.unsafes.is_empty());
    let gone = promised.unsafe_code.files.iter().filter(|path| !is_unsafe(path));
    violations
        .extend(gone.map(|path| Violation::at(path, format!("has no unsafe; take it out of [unsafe] in {FILE}"))));
    violations
}
