//! Files that the guest boots with: the initramfs, and kernel modules in it.

use crate::trouble::Trouble;
use rig_images::{Images, ImagesError, Kernel, Userspace};
use std::path::{Path, PathBuf};

/// The agent's list of modules to load before it looks for its port.
const BOOT_LIST: &str = "lib/modules/rig/boot";

/// Modules without which the agent of this kernel cannot reach the rig, in the order of loading; none if they are built in.
fn boot_modules(kernel: &Kernel) -> Result<Vec<PathBuf>, ImagesError> {
    let mut files = Vec::new();
    for name in ["virtio_pci", "virtio_console"] {
        if kernel.module(name).is_some() {
            files.extend(kernel.load_order(name)?.into_iter().filter(|file| !files.contains(file)).collect::<Vec<_>>());
        }
    }
    Ok(files)
}

/// The initramfs with the agent, these modules, those that it needs itself, and other files, on a userspace if there is one.
pub(crate) fn initramfs(
    images: &Images,
    kernel: &Kernel,
    modules: &[PathBuf],
    mut extra: Vec<(String, Vec<u8>)>,
    userspace: Option<&Userspace>,
) -> Result<PathBuf, ImagesError> {
    let boot = boot_modules(kernel)?;
    let list: String = boot.iter().map(|file| stem(file) + "\n").collect();
    if !boot.is_empty() {
        extra.push((BOOT_LIST.to_owned(), list.into_bytes()));
    }
    images.initramfs(&images.agent()?, &[&boot, modules].concat(), &extra, userspace)
}

/// These modules of guest-kmod, built for this kernel, in this order. To find the build is to hash the kernel, so all
/// are asked for at once.
pub(crate) fn own_modules(images: &Images, kernel: &Kernel, names: &[&str]) -> Result<Vec<PathBuf>, Trouble> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace");
    let built = images.build_modules(kernel, &workspace.join("guest-kmod"))?;
    let find = |name: &&str| {
        let help = "remove the entry from the cache (`cargo rig images clean`) and let the rig build it again";
        let missing = || Trouble::environment(format!("the build of guest-kmod has no {name}.ko"), help);
        built.iter().find(|file| stem(file) == *name).cloned().ok_or_else(missing)
    };
    names.iter().map(find).collect()
}

/// The name of a module's file without its ending.
pub(crate) fn stem(file: &Path) -> String {
    rig_images::file_stem(file)
}
