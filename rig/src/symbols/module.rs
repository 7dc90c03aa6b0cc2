//! A kernel module's symbols: where they lie in its sections, and in the guest once it is loaded.

use crate::trouble::Trouble;
use object::{Object, ObjectSection, ObjectSymbol};
use std::collections::HashMap;
use std::path::Path;

/// Where a symbol lies: its section, the offset therein, its size in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    section: String,
    offset: u64,
    size: u64,
}

/// The symbols of one module file.
#[derive(Clone, Debug, Default)]
pub struct ModuleSymbols {
    places: HashMap<String, Place>,
    /// Sizes of the sections, bytes.
    sections: HashMap<String, u64>,
}

impl ModuleSymbols {
    /// Reads a `.ko` file.
    pub fn load(path: &Path) -> Result<Self, Trouble> {
        let bytes = std::fs::read(path).map_err(|e| Trouble::file("read", path, &e))?;
        let help = "remove it from the cache (`cargo rig images clean`) and let the rig build it again";
        Self::parse(&bytes).map_err(|e| Trouble::environment(format!("{} is no ELF file: {e}", path.display()), help))
    }

    /// Reads the bytes of a `.ko` file.
    pub fn parse(bytes: &[u8]) -> Result<Self, object::Error> {
        let file = object::File::parse(bytes)?;
        let sections = file.sections().filter_map(|s| Some((s.name().ok()?.to_owned(), s.size()))).collect();
        let place = |symbol: object::Symbol| {
            let section = file.section_by_index(symbol.section_index()?).ok()?.name().ok()?.to_owned();
            let place = Place { section, offset: symbol.address(), size: symbol.size() };
            Some((symbol.name().ok()?.to_owned(), place))
        };
        Ok(Self { places: file.symbols().filter_map(place).collect(), sections })
    }

    /// Sections whose addresses in the guest say where these symbols lie; none if a symbol does not exist.
    pub fn sections_of(&self, names: &[&str]) -> Option<Vec<String>> {
        let mut sections =
            names.iter().map(|name| Some(self.places.get(*name)?.section.clone())).collect::<Option<Vec<_>>>()?;
        sections.sort();
        sections.dedup();
        Some(sections)
    }

    /// Address range `[start, end)` of a symbol, given where sections begin.
    pub fn range(&self, name: &str, begins: &HashMap<String, u64>) -> Option<(u64, u64)> {
        let place = self.places.get(name)?;
        let start = begins.get(&place.section)? + place.offset;
        Some((start, start + place.size))
    }

    /// All symbols, with address and size in bytes, given where sections begin; those of other sections are left out.
    pub fn all(&self, begins: &HashMap<String, u64>) -> Vec<(String, u64, u64)> {
        let place = |(name, place): (&String, &Place)| {
            Some((name.clone(), begins.get(&place.section)? + place.offset, place.size))
        };
        self.places.iter().filter(|(name, _)| !name.is_empty()).filter_map(place).collect()
    }

    /// Address range `[start, end)` of the section that holds a symbol, given where sections begin.
    pub fn section_around(&self, name: &str, begins: &HashMap<String, u64>) -> Option<(u64, u64)> {
        let section = &self.places.get(name)?.section;
        let start = *begins.get(section)?;
        Some((start, start + self.sections.get(section)?))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use object::write::{Object as Writer, StandardSection, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};

    /// A relocatable file with `lockstep_run` at 0x40 of 0x100 bytes of code, and `lockstep` at 8 of `.bss`.
    pub(crate) fn module() -> Vec<u8> {
        let mut file = Writer::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let text = file.section_id(StandardSection::Text);
        let bss = file.section_id(StandardSection::UninitializedData);
        file.append_section_data(text, &[0x90; 0x100], 16);
        file.append_section_bss(bss, 0x40, 8);
        let mut add = |name: &str, value, size, kind, section| {
            file.add_symbol(Symbol {
                name: name.into(),
                value,
                size,
                kind,
                scope: SymbolScope::Compilation,
                weak: false,
                section: SymbolSection::Section(section),
                flags: SymbolFlags::None,
            });
        };
        add("lockstep_run", 0x40, 0x30, SymbolKind::Text, text);
        add("lockstep", 8, 24, SymbolKind::Data, bss);
        file.write().unwrap()
    }

    fn begins() -> HashMap<String, u64> {
        [(".text".to_owned(), 0xffff_ffff_c000_0000), (".bss".to_owned(), 0xffff_ffff_c000_4000)].into()
    }

    #[test]
    fn symbols_lie_where_their_sections_do() {
        let symbols = ModuleSymbols::parse(&module()).unwrap();
        assert_eq!(symbols.sections_of(&["lockstep", "lockstep_run"]).unwrap(), [".bss", ".text"]);
        assert_eq!(symbols.range("lockstep", &begins()), Some((0xffff_ffff_c000_4008, 0xffff_ffff_c000_4020)));
        assert_eq!(symbols.range("lockstep_run", &begins()), Some((0xffff_ffff_c000_0040, 0xffff_ffff_c000_0070)));
        let text = symbols.section_around("lockstep_run", &begins());
        assert_eq!(text, Some((0xffff_ffff_c000_0000, 0xffff_ffff_c000_0100)));
        let code = [(".text".to_owned(), 0xffff_ffff_c000_0000)].into();
        let named: Vec<_> = symbols.all(&code).into_iter().filter(|(name, ..)| name.starts_with("lockstep")).collect();
        assert_eq!(named, [("lockstep_run".to_owned(), 0xffff_ffff_c000_0040, 0x30)], "the rest lies elsewhere");
    }

    #[test]
    fn cannot_place_what_is_not_there() {
        let symbols = ModuleSymbols::parse(&module()).unwrap();
        assert_eq!(symbols.sections_of(&["lockstep", "missing"]), None);
        assert_eq!(symbols.range("missing", &begins()), None);
        assert_eq!(symbols.range("lockstep", &HashMap::new()), None, "its section was not loaded");
        assert!(ModuleSymbols::parse(b"no ELF").is_err());
    }
}
