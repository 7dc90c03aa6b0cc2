//! Whether somebody's own kernel can be tried by the rig, without running it.

mod files;
mod needs;

use crate::doctor::{Item, State};
use crate::scenario::Scenario;
use crate::trouble::{Exit, Trouble};
use rig_images::{Kernel, KernelConfig};
use serde::Serialize;
use std::path::Path;

/// How a kernel fits.
#[derive(Debug, Serialize)]
pub(crate) struct FitReport {
    /// What was looked at.
    pub(crate) items: Vec<Item>,
}

impl FitReport {
    /// Failed if runs do not work until something is mended.
    pub(crate) fn exit(&self) -> Exit {
        if self.items.iter().any(|item| item.state == State::Missing) { Exit::Failed } else { Exit::Passed }
    }
}

/// Looks at a build tree, or at an image with what lies beside it.
pub(crate) fn examine(path: &Path) -> Result<FitReport, Trouble> {
    path.metadata().map_err(|e| Trouble { exit: Exit::Usage, ..Trouble::file("read", path, &e) })?;
    let mut items = Vec::new();
    let kernel = Kernel::from_path_any(path);
    let config = match &kernel {
        Ok(kernel) => kernel.config.clone(),
        Err(_) => Some(path.join(".config")).filter(|config| config.is_file()),
    };
    let config = config.map(|config| KernelConfig::read(&config)).transpose()?;
    if let Some(config) = &config {
        items.extend(needs::items(config, Scenario::default().cpus));
    } else {
        let found = "there is no .config with the kernel, so its options are not known";
        items.push(Item::note("configuration", found, "give the build tree, or put .config beside the image"));
    }
    match &kernel {
        Ok(kernel) => items.extend(files::items(kernel, &config.unwrap_or_default())),
        Err(error) => items.push(Item::missing("image", error.to_string(), error.remedy())),
    }
    Ok(FitReport { items })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_nothing_but_a_configuration_is_looked_at_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".config"), "CONFIG_SMP=y\nCONFIG_NR_CPUS=2\n").unwrap();
        let report = examine(folder.path()).unwrap();
        assert_eq!(report.exit(), Exit::Failed);
        let names: Vec<_> = report.items.iter().map(|item| item.name).collect();
        for name in ["CONFIG_NR_CPUS", "CONFIG_INTEL_TDX_HOST", "image"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(!names.contains(&"CONFIG_SMP"));
    }

    #[test]
    fn a_path_that_is_not_there_is_a_slip_of_the_caller() {
        assert_eq!(examine(Path::new("/nowhere/linux")).unwrap_err().exit, Exit::Usage);
    }
}
