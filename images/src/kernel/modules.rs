//! A kernel's modules, and in which order they can be loaded.

use super::Kernel;
use super::module_file::{file_stem, read_module};
use crate::{ImagesError, elf};
use std::path::{Path, PathBuf};

impl Kernel {
    /// The module named `name` (`tdx-host` and `tdx_host` are the same) and before it all it depends on, in the
    /// order in which they must be loaded.
    pub fn load_order(&self, name: &str) -> Result<Vec<PathBuf>, ImagesError> {
        let mut order = Vec::new();
        self.visit(name, &mut order)?;
        Ok(order)
    }

    /// The same for a driver with this option; nothing is to be loaded if it is built in. What an earlier build left of it as a
    /// module would not go with this kernel.
    pub fn driver_order(&self, name: &str, option: &str) -> Result<Vec<PathBuf>, ImagesError> {
        if self.is_configured(&format!("{option}=y")) { Ok(Vec::new()) } else { self.load_order(name) }
    }

    /// How many CPUs it can have, as its configuration says; none without one.
    pub fn most_cpus(&self) -> Option<u32> {
        let config = std::fs::read_to_string(self.config.as_ref()?).ok()?;
        config.lines().find_map(|line| line.strip_prefix("CONFIG_NR_CPUS="))?.parse().ok()
    }

    fn visit(&self, name: &str, order: &mut Vec<PathBuf>) -> Result<(), ImagesError> {
        let missing = || ImagesError::NoModule { path: self.place().to_owned(), name: name.to_owned() };
        let path = self.module(name).ok_or_else(missing)?;
        if order.contains(path) {
            return Ok(());
        }
        let data = read_module(path)?;
        // Kbuild refuses cyclic dependencies, so this ends.
        for needed in elf::module_depends(&data).unwrap_or_default() {
            self.visit(&needed, order)?;
        }
        order.push(path.clone());
        Ok(())
    }

    /// The file of the module named `name`.
    pub fn module(&self, name: &str) -> Option<&PathBuf> {
        self.modules.iter().find(|path| module_name(path) == name.replace('-', "_"))
    }
}

/// Name of a module as the kernel shows it: the file's, with underscores.
pub(crate) fn module_name(path: &Path) -> String {
    file_stem(path).replace('-', "_")
}
