//! `allowed.toml`: what is there although a check forbids it, each with the reason.
//!
//! An entry that no longer describes what is there is itself a violation, so the list can only shrink, and what it
//! describes cannot grow.

use serde::Deserialize;
use std::collections::BTreeSet;

/// Where it is.
pub const FILE: &str = "tests/tidy/allowed.toml";

/// The whole list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowed {
    /// Modules that need one another in a circle.
    pub cycle: Vec<AllowedCycle>,
    /// Files that are too long.
    pub file: Vec<AllowedFile>,
    /// Functions that are too long.
    pub function: Vec<AllowedFunction>,
    /// Public types of one name in one crate.
    pub homonym: Vec<AllowedHomonym>,
    /// Files that name arguments of QEMU's.
    pub qemu: Vec<AllowedQemu>,
}

/// One strongly connected component, all of its modules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AllowedCycle {
    /// The crate, by its label.
    pub crate_name: String,
    /// The modules' paths.
    pub modules: BTreeSet<String>,
    /// Why it is there.
    pub reason: String,
}

/// A long file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AllowedFile {
    /// Its path.
    pub path: String,
    /// As many lines it may have.
    pub at_most: usize,
    /// Why it is so long.
    pub reason: String,
}

/// A long function.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AllowedFunction {
    /// The file's path.
    pub path: String,
    /// The function's name, as `name` or `Type::name`.
    pub name: String,
    /// As many lines it may have.
    pub at_most: usize,
    /// Why it is so long.
    pub reason: String,
}

/// A name of several types.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AllowedHomonym {
    /// The crate, by its label.
    pub crate_name: String,
    /// The name.
    pub name: String,
    /// The modules that define it.
    pub modules: BTreeSet<String>,
    /// Why they share it.
    pub reason: String,
}

/// A file that names arguments of QEMU's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AllowedQemu {
    /// Its path.
    pub path: String,
    /// The arguments that it may name, without their dash.
    pub arguments: BTreeSet<String>,
    /// Why it has to.
    pub reason: String,
}

impl Allowed {
    /// Reads the list.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}
