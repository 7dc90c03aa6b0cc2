//! What the rig needs to know of ELF files.

use crate::version::version_key;
use object::{Object, ObjectSection, ObjectSymbol};

/// The newest version of glibc whose symbols the library wants, such as `2.34`; `None` when it wants none.
///
/// The names of wanted versions (`GLIBC_2.34`) stand in `.dynstr`, where only version names look like that.
pub(crate) fn newest_glibc(library: &[u8]) -> Option<String> {
    let file = object::File::parse(library).ok()?;
    let strings = file.section_by_name(".dynstr")?.data().ok()?;
    let names = strings.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
    names.filter_map(|name| name.strip_prefix("GLIBC_")).map(String::from).max_by_key(|version| version_key(version))
}

/// Whether an ELF file has a symbol of this name.
pub(crate) fn has_symbol(data: &[u8], name: &str) -> bool {
    object::File::parse(data).is_ok_and(|file| file.symbols().any(|symbol| symbol.name() == Ok(name)))
}

/// What a kernel module says it depends on: names with underscores or dashes, as `modinfo` prints them.
pub(crate) fn module_depends(data: &[u8]) -> Option<Vec<String>> {
    let file = object::File::parse(data).ok()?;
    let info = file.section_by_name(".modinfo")?.data().ok()?;
    let mut fields = info.split(|byte| *byte == 0).filter_map(|field| std::str::from_utf8(field).ok());
    let depends = fields.find_map(|field| field.strip_prefix("depends="))?;
    Some(depends.split(',').filter(|name| !name.is_empty()).map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_read_the_needs_of_a_real_program() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let newest = newest_glibc(&own).expect("tests are linked dynamically");
        assert!(version_key(&newest) >= version_key("2.17"), "{newest}");
        assert!(has_symbol(&own, "main"));
        assert!(!has_symbol(&own, "no_such_symbol"));
        assert_eq!(module_depends(&own), None);
    }

    #[test]
    fn cannot_read_what_is_no_elf_file() {
        assert_eq!(newest_glibc(b"text"), None);
        assert!(!has_symbol(b"text", "main"));
    }
}
