//! Names of a kernel's functions and variables.

use std::collections::BTreeMap;

/// A symbol table: addresses and sizes in bytes.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    by_name: BTreeMap<String, (u64, u64)>,
    /// (address, size) of functions, sorted.
    functions: Vec<(u64, u64)>,
}

impl Symbols {
    /// Takes (name, address, size, whether it is a function). Of several symbols with one name the first counts.
    pub fn new(symbols: impl IntoIterator<Item = (String, u64, u64, bool)>) -> Self {
        let mut table = Self::default();
        for (name, address, size, is_function) in symbols {
            table.by_name.entry(name).or_insert((address, size));
            if is_function && size > 0 {
                table.functions.push((address, size));
            }
        }
        table.functions.sort_unstable();
        table
    }

    /// Reads a System.map, which has no sizes: each symbol reaches to the next one. Source: `scripts/mksysmap`, nm(1).
    /// Lines that have another form are passed over.
    pub fn of_system_map(text: &str) -> Self {
        let parse = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let kind = words.next()?.to_owned();
            Some((words.next()?.to_owned(), address, matches!(kind.as_str(), "T" | "t" | "W" | "w")))
        };
        let mut all: Vec<_> = text.lines().filter_map(parse).collect();
        all.sort_by_key(|(_, address, _)| *address);
        let starts: Vec<u64> = all.iter().map(|(_, address, _)| *address).collect();
        let size = |address: u64| {
            let next = starts.partition_point(|start| *start <= address);
            starts.get(next).map_or(0, |next| next - address)
        };
        Self::new(all.into_iter().map(|(name, address, is_function)| (name, address, size(address), is_function)))
    }

    /// Address and size of `name`.
    pub fn extent(&self, name: &str) -> Option<(u64, u64)> {
        self.by_name.get(name).copied()
    }

    /// Address and size of the function in which `address` lies; of several the largest.
    pub fn function_around(&self, address: u64) -> Option<(u64, u64)> {
        let behind = self.functions.partition_point(|(start, _)| *start <= address);
        self.functions[..behind]
            .iter()
            .filter(|(start, size)| address - start < *size)
            .max_by_key(|(_, size)| *size)
            .copied()
    }

    /// The symbol's name for people: of those that begin at or before `address` the nearest, with the distance.
    pub fn name(&self, address: u64) -> String {
        let near =
            self.by_name.iter().filter(|(_, (start, size))| address.checked_sub(*start).is_some_and(|at| at < *size));
        match near.min_by_key(|(_, (start, _))| address - start) {
            Some((name, (start, _))) if *start == address => name.clone(),
            Some((name, (start, _))) => format!("{name}+{:#x}", address - start),
            None => format!("{address:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "0000000000001000 T first\n0000000000001010 t second\n0000000000001010 t alias\n\
        not a line\n0000000000001030 D word\n0000000000001034 d last\n";

    #[test]
    fn a_system_map_gives_addresses_and_sizes() {
        let symbols = Symbols::of_system_map(MAP);
        assert_eq!(symbols.extent("first"), Some((0x1000, 0x10)));
        assert_eq!((symbols.extent("second"), symbols.extent("alias")), (Some((0x1010, 0x20)), Some((0x1010, 0x20))));
        assert_eq!((symbols.extent("word"), symbols.extent("last")), (Some((0x1030, 4)), Some((0x1034, 0))));
        assert_eq!(symbols.extent("none"), None);
    }

    #[test]
    fn the_function_around_an_address_is_found() {
        let symbols = Symbols::of_system_map(MAP);
        assert_eq!(symbols.function_around(0x1011), Some((0x1010, 0x20)));
        assert_eq!((symbols.function_around(0xfff), symbols.function_around(0x1030)), (None, None));
        assert_eq!((symbols.name(0x1004), symbols.name(0x1000)), ("first+0x4".into(), "first".into()));
        assert_eq!(symbols.name(0x5000), "0x5000");
    }

    #[test]
    fn a_function_with_many_others_in_it_is_the_one_around_all_of_them() {
        let inner = (0..100).map(|n| (format!("inner{n}"), 0x1004 + n * 4, 4, true));
        let symbols = Symbols::new(inner.chain([("outer".into(), 0x1000, 0x400, true)]));
        assert_eq!(symbols.function_around(0x1100), Some((0x1000, 0x400)));
    }
}
