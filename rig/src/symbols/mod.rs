//! The kernel's symbols: where its functions and variables lie, from System.map or vmlinux.

mod kmod;
mod module;
mod shaped;
mod subject;

pub use kmod::KmodPlan;
pub use module::ModuleSymbols;
pub use shaped::observe_any;
pub use subject::{Observation, SubjectError, observe_update};

use crate::trouble::Trouble;
use object::{Object, ObjectSymbol};
use rig_wire::plan::Function;
use std::path::Path;

/// How the names of pieces end that a compiler moved away from a function, because they are seldom executed.
const COLD: &str = ".cold";

/// One symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Guest virtual address (or offset, for per-CPU variables of kernels before 6.15).
    pub address: u64,
    /// Name as the linker knows it, such as `ack_state.isra.0`.
    pub name: String,
}

/// A kernel's symbols, ordered by address.
#[derive(Clone, Debug, Default)]
pub struct Symbols(Vec<Symbol>);

impl Symbols {
    /// Reads the text of a System.map: lines of `address type name`.
    pub fn from_system_map(text: &str) -> Self {
        let parse = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let name = words.nth(1)?.to_owned();
            Some(Symbol { address, name })
        };
        Self::from_list(text.lines().filter_map(parse).collect())
    }

    /// Reads the symbol table of a vmlinux.
    pub fn from_vmlinux(bytes: &[u8]) -> Result<Self, object::Error> {
        let file = object::File::parse(bytes)?;
        let named = |s: object::Symbol| Some(Symbol { address: s.address(), name: s.name().ok()?.to_owned() });
        let useful = |s: &Symbol| !s.name.is_empty() && s.address != 0;
        Ok(Self::from_list(file.symbols().filter_map(named).filter(useful).collect()))
    }

    /// Reads the System.map, or else the vmlinux, of a kernel.
    pub fn load(system_map: Option<&Path>, vmlinux: Option<&Path>) -> Result<Self, Trouble> {
        let help = "build the kernel with CONFIG_KALLSYMS and keep its System.map beside the bzImage";
        let symbols = match (system_map, vmlinux) {
            (Some(map), _) => {
                let text = std::fs::read(map).map_err(|e| Trouble::file("read", map, &e))?;
                Self::from_system_map(&String::from_utf8_lossy(&text))
            }
            (None, Some(elf)) => {
                let bytes = std::fs::read(elf).map_err(|e| Trouble::file("read", elf, &e))?;
                let bad = |e| Trouble::usage(format!("{} is no ELF file: {e}", elf.display()), help);
                Self::from_vmlinux(&bytes).map_err(bad)?
            }
            (None, None) => return Err(Trouble::usage("the kernel has neither System.map nor vmlinux", help)),
        };
        if symbols.0.is_empty() {
            let path = system_map.or(vmlinux).unwrap_or(Path::new("")).display().to_string();
            return Err(Trouble::usage(format!("{path} holds no symbols"), help));
        }
        Ok(symbols)
    }

    fn from_list(mut list: Vec<Symbol>) -> Self {
        list.sort_by_key(|s| s.address);
        Self(list)
    }

    /// Address of the symbol with exactly this name.
    pub fn address(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|s| s.name == name).map(|s| s.address)
    }

    /// `[start, end)` of each symbol with this name or a compiler's clone of it (`name.isra.0`, `name.constprop.1`). A
    /// symbol ends where the next one begins.
    pub fn ranges(&self, name: &str) -> Vec<(u64, u64)> {
        let is_it = |s: &Symbol| s.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.0.iter().filter(|s| is_it(s)).filter_map(|s| Some((s.address, self.next_after(s.address)?))).collect()
    }

    /// The function of this name, or the first clone of it. What the compiler put elsewhere (`name.cold`) may lie before it, and
    /// is not it.
    pub fn function(&self, name: &str) -> Option<Function> {
        let is_piece =
            |own: &str| own.strip_prefix(name).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(COLD));
        let is_it = |own: &str| {
            own == name || own.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')) && !is_piece(own)
        };
        let range = |symbol: &Symbol| Some((symbol.address, self.next_after(symbol.address)?));
        let exact = self.0.iter().find(|symbol| symbol.name == name);
        let whole = exact.or_else(|| self.0.iter().find(|symbol| is_it(&symbol.name)))?;
        Some(Function { name: name.to_owned(), range: range(whole)? })
    }

    /// The symbol that holds this address, as `name+0x12`; none below the first symbol.
    pub fn name_of(&self, address: u64) -> Option<String> {
        let after = self.0.partition_point(|s| s.address <= address);
        let symbol = &self.0[after.checked_sub(1)?];
        Some(format!("{}+{:#x}", symbol.name, address - symbol.address))
    }

    /// Whether the address lies in the kernel's code.
    pub fn is_code(&self, address: u64) -> bool {
        let bound = |name| self.address(name).unwrap_or(0);
        (bound("_stext")..bound("_etext")).contains(&address)
    }

    fn next_after(&self, address: u64) -> Option<u64> {
        self.0.get(self.0.partition_point(|s| s.address <= address)).map(|s| s.address)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An excerpt of the System.map of a 7.3.4 build.
    pub(crate) const MAP: &str = "\
ffffffff81000000 T _stext
ffffffff81001930 T asm_exc_nmi
ffffffff81001960 T asm_exc_double_fault
ffffffff81078630 t do_seamldr_install_module
ffffffff81078750 T seamldr_get_info
ffffffff810787c0 T seamldr_install_module
ffffffff81078990 t tdmr_get_pamt
ffffffff810819f0 T set_cpu_online
ffffffff81081a60 T init_cpu_present
ffffffff81118700 t multi_cpu_stop
ffffffff81118820 T stop_two_cpus
ffffffff81200000 T _etext
ffffffff816cdf40 D __num_online_cpus
ffffffff817a9020 D __preempt_count
ffffffff817c7d60 b update_ctrl
ffffffff817c7d70 b seamldr_lock
";

    #[test]
    fn a_symbol_ends_where_the_next_begins() {
        let symbols = Symbols::from_system_map(MAP);
        assert_eq!(symbols.ranges("do_seamldr_install_module"), [(0xffff_ffff_8107_8630, 0xffff_ffff_8107_8750)]);
        assert_eq!(symbols.ranges("do_seamldr"), []);
        assert_eq!(symbols.ranges("seamldr_lock"), [], "nothing follows it");
    }

    #[test]
    fn clones_belong_to_their_function() {
        let text = "10 t ack_state.isra.0\n20 t ack_state\n30 t ack_state_more\n40 t end\n";
        assert_eq!(Symbols::from_system_map(text).ranges("ack_state"), [(0x10, 0x20), (0x20, 0x30)]);
    }

    #[test]
    fn what_is_seldom_executed_is_not_the_function() {
        let text = "10 t f.cold\n20 t g\n30 t f\n40 t f.isra.0.cold\n50 t f_more.cold\n60 t end\n70 t last\n";
        let symbols = Symbols::from_system_map(text);
        assert_eq!(symbols.function("f").unwrap().range, (0x30, 0x40));
        let clone = Symbols::from_system_map("10 t f.isra.0.cold\n20 t f.isra.0\n30 t end\n").function("f").unwrap();
        assert_eq!(clone.range, (0x20, 0x30));
        assert_eq!(symbols.function("nowhere"), None);
    }

    #[test]
    fn addresses_get_names() {
        let symbols = Symbols::from_system_map(MAP);
        assert_eq!(symbols.name_of(0xffff_ffff_8111_8712).as_deref(), Some("multi_cpu_stop+0x12"));
        assert_eq!(symbols.name_of(0x1000), None);
        assert!(symbols.is_code(0xffff_ffff_8111_8712));
        assert!(!symbols.is_code(0xffff_ffff_817c_7d60));
    }

    #[test]
    fn garbage_holds_no_symbols() {
        let dir = tempfile::tempdir().unwrap();
        let map = dir.path().join("System.map");
        std::fs::write(&map, "this is\nno map\n").unwrap();
        assert!(Symbols::load(Some(&map), None).unwrap_err().cause.contains("holds no symbols"));
        assert!(Symbols::load(None, Some(&map)).unwrap_err().cause.contains("no ELF file"));
        assert!(Symbols::load(None, None).is_err());
    }
}
