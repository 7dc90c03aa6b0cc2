//! What goes to stdout.

use serde::Serialize;
use std::io::Write;

/// Writes one JSON value and a line end. Where stdout is closed it is dropped.
pub(super) fn json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("output is plain data");
    text_line(&text);
}

/// Writes a line.
pub(super) fn text_line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
