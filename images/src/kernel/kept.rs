//! What of a built tree a run needs.

use crate::ImagesError;
use std::fs;
use std::path::{Path, PathBuf};

/// What that is beside the modules.
const KEPT: [&str; 5] = ["arch/x86/boot/bzImage", "System.map", "vmlinux", ".config", "modules.order"];

/// Copies it from the build tree `out` below `folder`, in the form of a build tree.
pub(super) fn copy(out: &Path, folder: &Path) -> Result<(), ImagesError> {
    let order = out.join("modules.order");
    let modules = fs::read_to_string(&order).map_err(ImagesError::io(&order))?;
    let modules = modules.lines().map(|line| Path::new(line).with_extension("ko"));
    for file in KEPT.iter().map(PathBuf::from).chain(modules) {
        let (from, to) = (out.join(&file), folder.join(&file));
        let parent = to.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent).map_err(ImagesError::io(parent))?;
        fs::copy(&from, &to).map_err(ImagesError::io(&from))?;
    }
    Ok(())
}
