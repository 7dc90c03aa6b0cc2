//! QEMU's command line is known in one folder.

use crate::allowed::{AllowedQemu, FILE};
use crate::architecture::Architecture;
use crate::violation::Violation;
use crate::workspace::Workspace;
use std::collections::{BTreeMap, BTreeSet};

/// Arguments of QEMU's, without their dash, that no other program which the rig starts has. (`-m`, `-c` and `-d` are
/// other programs', too.)
const ARGUMENTS: &[&str] = &[
    "accel",
    "append",
    "bios",
    "blockdev",
    "chardev",
    "cpu",
    "device",
    "display",
    "drive",
    "fsdev",
    "gdb",
    "global",
    "icount",
    "incoming",
    "initrd",
    "kernel",
    "loadvm",
    "machine",
    "mon",
    "monitor",
    "netdev",
    "no-reboot",
    "no-user-config",
    "nodefaults",
    "nographic",
    "object",
    "plugin",
    "qmp",
    "rtc",
    "serial",
    "smp",
    "virtfs",
];

/// Complains of string literals that are, or begin with, an argument of QEMU's, outside the promised folder.
pub fn qemu_arguments(workspace: &Workspace, promised: &Architecture, allowed: &[AllowedQemu]) -> Vec<Violation> {
    let home = format!("{}/", promised.qemu.arguments);
    let mut violations = Vec::new();
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, source) in workspace.sources.iter().filter(|(path, _)| !path.starts_with(&home)) {
        for text in &source.texts {
            let Some(argument) = argument(&text.value) else { continue };
            named.entry(path).or_default().insert(argument);
            let mut entries = allowed.iter().filter(|entry| entry.path == *path);
            if !entries.any(|entry| entry.arguments.contains(argument)) {
                let complaint = format!("QEMU's -{argument} outside {home} (if it has to be, say why in {FILE})");
                violations.push(Violation::on(path, text.line, complaint));
            }
        }
    }
    for entry in allowed {
        let named = named.get(entry.path.as_str());
        let gone = entry.arguments.iter().filter(|one| !named.is_some_and(|named| named.contains(one.as_str())));
        violations.extend(gone.map(|argument| {
            Violation::at(&entry.path, format!("names no -{argument} any more; take it out of {FILE}"))
        }));
    }
    violations
}

/// The argument that a text begins with.
fn argument(text: &str) -> Option<&'static str> {
    let first = text.strip_prefix('-')?.split([' ', '=', ',', '\n']).next()?;
    ARGUMENTS.iter().find(|argument| **argument == first).copied()
}
