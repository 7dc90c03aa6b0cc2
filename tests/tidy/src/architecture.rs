//! The block of ARCHITECTURE.md that machines read.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Where it stands.
pub const FILE: &str = "ARCHITECTURE.md";
/// What the line that opens the block says behind its three backquotes.
const OPENING: &str = "```toml tidy";

/// What ARCHITECTURE.md promises, as data.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Architecture {
    /// The members of the workspace that each member needs.
    pub arrows: BTreeMap<String, BTreeSet<String>>,
    /// Those that only its tests and benchmarks need.
    pub arrows_of_tests: BTreeMap<String, BTreeSet<String>>,
    /// Where `unsafe` may be.
    #[serde(rename = "unsafe")]
    pub unsafe_code: UnsafeCode,
    /// Who knows QEMU.
    pub qemu: Qemu,
}

/// Where `unsafe` may be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsafeCode {
    /// The files' paths.
    pub files: BTreeSet<String>,
}

/// Who knows QEMU.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Qemu {
    /// The folder that knows its command line.
    pub arguments: String,
}

/// Why the block cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchitectureError {
    /// No block.
    #[error("{FILE} has no block that begins with {OPENING}")]
    Missing,
    /// It is not what it should be.
    #[error("{FILE}: the block that begins with {OPENING}: {0}")]
    Malformed(#[from] toml::de::Error),
}

impl Architecture {
    /// Reads the block in the text of ARCHITECTURE.md.
    pub fn parse(text: &str) -> Result<Self, ArchitectureError> {
        let mut lines = text.lines().skip_while(|line| *line != OPENING);
        lines.next().ok_or(ArchitectureError::Missing)?;
        let block: Vec<&str> = lines.take_while(|line| *line != "```").collect();
        Ok(toml::from_str(&block.join("\n"))?)
    }
}
