//! Which compiler a kernel was built with, and where it is.

use crate::tools;
use std::process::Command;

/// The compiler that a kernel's configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedCompiler {
    /// `CONFIG_CC_VERSION_TEXT`: the first line of its `--version`.
    pub(super) text: String,
    is_clang: bool,
    /// Whether LLVM's linker was used, too.
    with_lld: bool,
    /// Its major version, by which distributions name the program.
    major: Option<u32>,
}

impl WantedCompiler {
    /// Reads it out of a `.config`.
    pub(super) fn of(config: &str) -> Option<Self> {
        let value = |key: &str| config.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let is_set = |key: &str| value(key) == Some("y");
        let number = |key: &str| value(key).and_then(|text| text.parse::<u32>().ok()).filter(|number| *number > 0);
        let version = number("CONFIG_CLANG_VERSION").or_else(|| number("CONFIG_GCC_VERSION"));
        Some(Self {
            text: value("CONFIG_CC_VERSION_TEXT")?.trim_matches('"').to_owned(),
            is_clang: is_set("CONFIG_CC_IS_CLANG"),
            with_lld: is_set("CONFIG_LD_IS_LLD"),
            major: version.map(|version| version / 10_000),
        })
    }

    /// Whether a compiler that calls itself so is this one. GCC begins with the name by which it was called.
    pub(super) fn is(&self, text: &str) -> bool {
        let rest = |text: &str| match text.split_once(" (") {
            Some((_, rest)) if !self.is_clang => rest.to_owned(),
            _ => text.to_owned(),
        };
        rest(&self.text) == rest(text)
    }

    /// Whether the build root, which has GCC only, can have it.
    pub(super) fn is_gcc(&self) -> bool {
        !self.is_clang && !self.with_lld
    }

    /// The names by which a host may know it, the likeliest first.
    fn programs(&self) -> Vec<String> {
        let (name, called) = if self.is_clang {
            ("clang", None)
        } else {
            ("gcc", self.text.split(' ').next().filter(|word| word.contains("gcc")))
        };
        let mut all: Vec<String> = called.map(str::to_owned).into_iter().collect();
        all.push(name.to_owned());
        all.extend(self.major.map(|major| format!("{name}-{major}")));
        let mut seen = Vec::new();
        all.retain(|program| {
            !seen.contains(program) && {
                seen.push(program.clone());
                true
            }
        });
        all
    }

    /// What `make` is told to use it by.
    fn variables(&self, program: &str) -> Vec<String> {
        if !self.with_lld {
            return vec![format!("CC={program}")];
        }
        let suffix = program.strip_prefix("clang").filter(|suffix| !suffix.is_empty());
        let mut variables = vec![format!("LLVM={}", suffix.unwrap_or("1"))];
        variables.extend((!self.is_clang).then(|| format!("CC={program}")));
        variables
    }

    /// What `make` of this host is told to use it by, or what compilers of this kind the host has instead.
    pub(super) fn on_host(&self) -> Result<Vec<String>, String> {
        let found: Vec<(String, String)> =
            self.programs().into_iter().filter_map(|program| Some((version(&program)?, program))).collect();
        match found.iter().find(|(text, _)| self.is(text)) {
            Some((_, program)) => Ok(self.variables(program)),
            None if found.is_empty() => Err(format!("this host has no {}", self.programs().join(" and no "))),
            None => {
                let words: Vec<String> = found.iter().map(|(text, _)| format!("`{text}`")).collect();
                Err(format!("this host has {}", words.join(" and ")))
            }
        }
    }
}

impl WantedCompiler {
    /// Where it may be, in words.
    pub(super) fn in_words(&self) -> String {
        match self.on_host() {
            Ok(_) => format!("by `{}`, which this host has", self.text),
            Err(instead) if self.is_gcc() => {
                format!("by `{}`; {instead}, so only if the rig's own compiler has that version", self.text)
            }
            Err(instead) => format!("not here: by `{}`, but {instead}", self.text),
        }
    }
}

/// The first line of a program's `--version`, as Kconfig reads it; none if the host has no such program.
fn version(program: &str) -> Option<String> {
    let output = Command::new(tools::find(program)?).arg("--version").env("LC_ALL", "C").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GCC: &str = "CONFIG_CC_VERSION_TEXT=\"gcc (Debian 14.2.0-19) 14.2.0\"\nCONFIG_CC_IS_GCC=y\nCONFIG_GCC_VERSION=140200\nCONFIG_CLANG_VERSION=0\n";
    const CLANG: &str = "CONFIG_CC_VERSION_TEXT=\"Debian clang version 19.1.7 (3)\"\nCONFIG_CC_IS_CLANG=y\nCONFIG_GCC_VERSION=0\nCONFIG_CLANG_VERSION=190107\nCONFIG_LD_IS_LLD=y\n";

    #[test]
    fn gcc_is_the_same_by_each_of_its_names() {
        let wanted = WantedCompiler::of(GCC).unwrap();
        assert!(wanted.is_gcc());
        assert!(wanted.is("gcc (Debian 14.2.0-19) 14.2.0") && wanted.is("gcc-14 (Debian 14.2.0-19) 14.2.0"));
        assert!(!wanted.is("gcc (Debian 12.2.0-14) 12.2.0") && !wanted.is("gcc"));
        assert_eq!(wanted.programs(), ["gcc", "gcc-14"]);
        assert_eq!(wanted.variables("gcc-14"), ["CC=gcc-14"]);
        let cross = GCC.replace("\"gcc (", "\"x86_64-linux-gnu-gcc-14 (");
        assert_eq!(WantedCompiler::of(&cross).unwrap().programs(), ["x86_64-linux-gnu-gcc-14", "gcc", "gcc-14"]);
    }

    #[test]
    fn clang_brings_its_linker() {
        let wanted = WantedCompiler::of(CLANG).unwrap();
        assert!(
            !wanted.is_gcc() && wanted.is("Debian clang version 19.1.7 (3)") && !wanted.is("clang version 19.1.7 (3)")
        );
        assert_eq!(wanted.programs(), ["clang", "clang-19"]);
        assert_eq!(wanted.variables("clang-19"), ["LLVM=-19"]);
        assert_eq!(wanted.variables("clang"), ["LLVM=1"]);
        let with_ld = WantedCompiler::of(&CLANG.replace("CONFIG_LD_IS_LLD=y", "")).unwrap();
        assert_eq!(with_ld.variables("clang"), ["CC=clang"]);
    }

    #[test]
    fn a_compiler_that_no_host_has_is_named() {
        let text = GCC.replace("Debian 14.2.0-19", "Nobody's");
        let said = WantedCompiler::of(&text).unwrap().on_host().unwrap_err();
        assert!(said.starts_with("this host has "), "{said}");
        assert!(WantedCompiler::of(&text).unwrap().in_words().contains("only if the rig's own compiler"));
        assert_eq!(WantedCompiler::of("CONFIG_X=y\n"), None);
    }
}
