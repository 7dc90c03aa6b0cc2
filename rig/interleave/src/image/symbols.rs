//! Names of functions and variables.

use crate::error::Unprovable;
use std::collections::BTreeMap;

/// A symbol table, in both directions.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    by_name: BTreeMap<String, (u64, u64)>,
    by_address: Vec<(u64, u64, String)>,
}

impl Symbols {
    /// Takes (name, address, size in bytes). Of several symbols with one name the first counts.
    pub fn new(symbols: impl IntoIterator<Item = (String, u64, u64)>) -> Self {
        Self::default().with(symbols.into_iter().collect())
    }

    /// These, and more.
    #[must_use]
    pub fn with(&self, more: Vec<(String, u64, u64)>) -> Self {
        let mut table = self.clone();
        for (name, address, size) in more {
            table.by_name.entry(name.clone()).or_insert((address, size));
            table.by_address.push((address, size, name));
        }
        table.by_address.sort();
        table
    }

    /// The address of `name`.
    pub fn find(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).map(|(address, _)| *address)
    }

    /// Address and size of `name`.
    pub fn extent(&self, name: &str) -> Result<(u64, u64), Unprovable> {
        self.by_name.get(name).copied().ok_or_else(|| Unprovable::Symbol(name.into()))
    }

    /// The address of `name`, without which there is no proof.
    pub fn address(&self, name: &str) -> Result<u64, Unprovable> {
        self.extent(name).map(|(address, _)| address)
    }

    /// The symbol in which `address` lies, and the offset in it.
    pub fn around(&self, address: u64) -> Option<(&str, u64)> {
        let end = self.by_address.partition_point(|(start, ..)| *start <= address);
        let near = self.by_address[..end].iter().rev().take(16);
        near.filter(|(start, size, _)| address < start + (*size).max(1))
            .map(|(start, _, name)| (name.as_str(), address - start))
            .next()
    }

    /// `address` for people: `function+0x12`, or the number.
    pub fn name(&self, address: u64) -> String {
        match self.around(address) {
            Some((name, 0)) => name.to_owned(),
            Some((name, offset)) => format!("{name}+{offset:#x}"),
            None => format!("{address:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_offset() {
        let table = Symbols::new([("f".into(), 0x100, 0x20), ("v".into(), 0x200, 8), ("f".into(), 0x300, 4)]);
        assert_eq!(table.name(0x100), "f");
        assert_eq!(table.name(0x11f), "f+0x1f");
        assert_eq!(table.name(0x120), "0x120");
        assert_eq!(table.address("f"), Ok(0x100));
        assert_eq!(table.address("g"), Err(Unprovable::Symbol("g".into())));
    }
}
