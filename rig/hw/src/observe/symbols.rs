//! The running kernel's symbols (`/proc/kallsyms`), which root may see.

use crate::host::Host;
use crate::trouble::Trouble;

/// What is probed or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Symbols {
    /// The function that every CPU runs inside `stop_machine`, and compilers' clones of what it calls for a state: name, address
    /// and size in bytes.
    pub(crate) functions: Vec<(String, u64, u64)>,
    /// `update_ctrl`; none where the kernel keeps no symbols of data (`CONFIG_KALLSYMS_ALL`).
    pub(crate) update_ctrl: Option<u64>,
}

/// Functions that touch `update_ctrl` inside the section; compilers inline all but the first.
const TOUCH: [&str; 3] = ["do_seamldr_install_module", "ack_state", "__set_target_state"];
/// What must be there to be probed.
const NEEDED: [&str; 5] =
    ["do_seamldr_install_module", "multi_cpu_stop", "set_cpu_online", "__seamcall", "__seamcall_ret"];

impl Symbols {
    /// Reads them.
    pub(crate) fn read(host: &Host) -> Result<Self, Trouble> {
        let path = host.path("/proc/kallsyms");
        let text = std::fs::read_to_string(&path).map_err(|e| Trouble::file("read", &path, &e))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, Trouble> {
        let mut all: Vec<(u64, &str)> = text.lines().filter_map(line).collect();
        all.sort_unstable();
        let help = "boot Linux 7.2 or later with CONFIG_INTEL_TDX_HOST and CONFIG_KALLSYMS, or go without: --blind";
        if let Some(name) = NEEDED.iter().find(|name| !all.iter().any(|(_, n)| n == *name)) {
            return Err(Trouble::host(format!("the kernel has no symbol {name}"), help));
        }
        if all.iter().all(|(address, _)| *address == 0) {
            let help = "be root, with kernel.kptr_restrict at 0 or 1 (sysctl), or go without: --blind";
            return Err(Trouble::host("the kernel hides the addresses of its symbols", help));
        }
        let is_touch = |name: &str| {
            let rest = TOUCH.iter().find_map(|touch| name.strip_prefix(touch));
            rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with('.') && !rest.contains(".cold")))
        };
        let size = |address: u64| all.iter().find(|(a, _)| *a > address).map_or(0, |(next, _)| next - address);
        let functions = all.iter().filter(|(_, name)| is_touch(name));
        // multi_cpu_stop's own ack_state() has the same name: what touches no word of update_ctrl is left alone later.
        let functions = functions.map(|(address, name)| ((*name).to_owned(), *address, size(*address))).collect();
        let update_ctrl = all.iter().find(|(_, name)| *name == "update_ctrl").map(|(address, _)| *address);
        Ok(Self { functions, update_ctrl })
    }
}

/// `ffffffff81074530 t do_seamldr_install_module`; names in modules have a third part.
fn line(line: &str) -> Option<(u64, &str)> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let name = words.nth(1)?;
    words.next().is_none().then_some((address, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
ffffffff81074300 T __seamcall
ffffffff81074350 T __seamcall_ret
ffffffff81074530 t do_seamldr_install_module
ffffffff81074650 T seamldr_get_info
ffffffff8107d8f0 T set_cpu_online
ffffffff81113400 t ack_state
ffffffff81113500 t multi_cpu_stop
ffffffff81113600 t do_seamldr_install_module.cold
ffffffff817c5d40 b update_ctrl
ffffffffc0000000 t update_ctrl	[some_module]
";

    #[test]
    fn functions_end_where_the_next_begins() {
        let symbols = Symbols::parse(TEXT).unwrap();
        let install = ("do_seamldr_install_module".to_owned(), 0xffff_ffff_8107_4530, 0x120);
        assert_eq!(symbols.functions, [install, ("ack_state".to_owned(), 0xffff_ffff_8111_3400, 0x100)]);
        assert_eq!(symbols.update_ctrl, Some(0xffff_ffff_817c_5d40));
    }

    #[test]
    fn cannot_probe_what_is_not_there_or_hidden() {
        let without = Symbols::parse(&TEXT.replace("multi_cpu_stop", "x")).unwrap_err();
        assert!(without.cause.contains("multi_cpu_stop"), "{without}");
        let zeros: Vec<String> = TEXT.lines().map(|line| format!("0000000000000000{}", &line[16..])).collect();
        assert!(Symbols::parse(&zeros.join("\n")).unwrap_err().help.contains("kptr_restrict"));
        assert_eq!(Symbols::parse(&TEXT.replace(" b update_ctrl", " b other")).unwrap().update_ctrl, None);
    }
}
