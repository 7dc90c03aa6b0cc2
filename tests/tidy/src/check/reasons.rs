//! Each entry of the list says why it is there.

use crate::allowed::{Allowed, FILE};
use crate::violation::Violation;

/// Complains of entries whose reason is empty.
pub fn reasons(allowed: &Allowed) -> Vec<Violation> {
    let cycles = allowed.cycle.iter().map(|entry| (&entry.crate_name, &entry.reason));
    let files = allowed.file.iter().map(|entry| (&entry.path, &entry.reason));
    let functions = allowed.function.iter().map(|entry| (&entry.path, &entry.reason));
    let homonyms = allowed.homonym.iter().map(|entry| (&entry.name, &entry.reason));
    let qemu = allowed.qemu.iter().map(|entry| (&entry.path, &entry.reason));
    let listed = cycles.chain(files).chain(functions).chain(homonyms).chain(qemu);
    let empty = listed.filter(|(_, reason)| reason.trim().is_empty());
    empty.map(|(entry, _)| Violation::at(FILE, format!("the entry for {entry} gives no reason"))).collect()
}
