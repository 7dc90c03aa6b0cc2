//! Places in the kernel's text that concern SEAM.

use crate::Operation;
use std::collections::HashMap;
use std::fmt;

/// Longest instruction, bytes.
pub(crate) const LONGEST: usize = 15;

/// The bytes of one instruction, 1 to 15.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    bytes: [u8; LONGEST],
    len: u8,
}

impl Code {
    /// These bytes; none: there are none, or more than an instruction has.
    pub fn new(code: &[u8]) -> Option<Self> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..code.len()).filter(|place| !place.is_empty())?.copy_from_slice(code);
        Some(Self { bytes, len: code.len() as u8 })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// How many there are.
    pub fn length(&self) -> u64 {
        self.len.into()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.as_slice().iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&words.join(" "))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// One instruction that is to be carried out here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its guest virtual address.
    pub address: u64,
    /// Its bytes in the kernel's file.
    pub code: Code,
    /// What it does.
    pub operation: Operation,
}

impl Site {
    /// The address behind it, where a vCPU stands that left the guest there.
    pub fn end(&self) -> u64 {
        self.address.wrapping_add(self.code.length())
    }
}

/// All sites of a kernel, by where a vCPU stands behind them.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    all: Vec<Site>,
    by_end: HashMap<u64, usize>,
}

impl Sites {
    /// These sites. Of two with one end the first counts.
    pub fn new(all: Vec<Site>) -> Self {
        let mut by_end = HashMap::new();
        for (index, site) in all.iter().enumerate() {
            by_end.entry(site.end()).or_insert(index);
        }
        Self { all, by_end }
    }

    /// All of them, in order.
    pub fn all(&self) -> &[Site] {
        &self.all
    }

    /// The site that ends at this address.
    pub fn ending_at(&self, address: u64) -> Option<&Site> {
        self.by_end.get(&address).map(|index| &self.all[*index])
    }

    /// The site at this address.
    pub fn at(&self, address: u64) -> Option<&Site> {
        self.all.iter().find(|site| site.address == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_one_instruction() {
        assert_eq!(Code::new(&[]), None);
        assert_eq!(Code::new(&[0; 16]), None);
        let code = Code::new(&[0x66, 0x0f, 0x01, 0xcf]).unwrap();
        assert_eq!((code.length(), code.to_string()), (4, "66 0f 01 cf".into()));
    }

    #[test]
    fn a_site_is_found_by_its_end() {
        let code = Code::new(&[0x66, 0x0f, 0x01, 0xcf]).unwrap();
        let sites = Sites::new(vec![Site { address: 0x1000, code, operation: Operation::Seamcall }]);
        assert_eq!(sites.ending_at(0x1004), sites.at(0x1000));
        assert!(sites.at(0x1000).is_some());
        assert_eq!((sites.ending_at(0x1000), sites.at(0x1004)), (None, None));
    }
}
