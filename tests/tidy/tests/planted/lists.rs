//! The list of exceptions and the block of ARCHITECTURE.md themselves.

use crate::common::{none, one};
use tidy::allowed::Allowed;
use tidy::architecture::{Architecture, ArchitectureError};
use tidy::check::reasons;

fn entry(reason: &str) -> Allowed {
    let entry = format!("[[homonym]]\ncrate-name = \"a\"\nname = \"T\"\nmodules = []\nreason = \"{reason}\"");
    Allowed::parse(&entry).unwrap()
}

#[test]
fn an_exception_without_a_reason_is_a_fault() {
    none(&reasons(&entry("for compatibility")));
    one(&reasons(&entry(" ")), &["tests/tidy/allowed.toml", "T gives no reason"]);
}

#[test]
fn a_misspelt_list_is_refused() {
    assert!(Allowed::parse("[[cycel]]\n").is_err());
    assert!(matches!(Architecture::parse("# Map\n"), Err(ArchitectureError::Missing)));
    let half = "```toml tidy\n[arrows]\n```\n";
    assert!(matches!(Architecture::parse(half), Err(ArchitectureError::Malformed(_))));
}
