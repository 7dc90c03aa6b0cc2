//! Records in words.

use rig_wire::event::{Kind, Record};

/// A record in a few words, for a diagnosis.
pub(crate) fn describe(record: &Record) -> String {
    let kind = match Kind::from_u16(record.kind) {
        Some(kind) => format!("{kind:?}"),
        None => format!("kind {}", record.kind),
    };
    format!("{kind} {:#x} {:#x}", record.a, record.b)
}
