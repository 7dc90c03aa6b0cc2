//! The kernel of a run: which one it is, and what is known of it.

use super::guest_files::initramfs;
use super::learn;
use crate::file_hash::sha256_of_file;
use crate::scenario::kernel::{DEBIAN, PROFILE};
use crate::scenario::{Scenario, Subject};
use crate::symbols::Symbols;
use crate::trouble::Trouble;
use rig_images::{Images, ImagesError, Kernel, KernelRequest, Progress};
use rig_judge::origin::KernelImage;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Finds or builds the kernel that the scenario names.
pub(super) fn of_scenario(images: &Images, scenario: &Scenario) -> Result<Kernel, ImagesError> {
    let named = scenario.kernel.as_deref().and_then(Path::to_str);
    if let Some(profile) = named.and_then(|name| name.strip_prefix(PROFILE)) {
        return images.kernel(&KernelRequest::profile(profile)?);
    }
    match (scenario.kernel.as_deref(), scenario.subject) {
        (Some(path), Subject::Kmod) if path.to_string_lossy().starts_with(DEBIAN) => {
            images.debian_kernel(path.to_string_lossy().parse()?)
        }
        (Some(path), Subject::Kmod) => Kernel::from_path_any(path),
        (Some(path), Subject::InTree) => Kernel::from_path(path),
        (None, _) => images.kernel(&KernelRequest::default()),
    }
}

/// Path and hash of the file that QEMU starts, as it is now. In a build tree that is not always the compressed image, which may
/// be older than the `vmlinux` beside it.
pub(super) fn image(kernel: &Kernel) -> KernelImage {
    let path = boot_file(kernel);
    let sha256 = sha256_of_file(&path).ok();
    KernelImage { path, build: None, sha256 }
}

/// The kernel's symbols; one without symbols is booted once to read them.
pub(super) fn symbols(
    images: &Images,
    kernel: &Kernel,
    qemu: &Command,
    progress: &Progress,
) -> Result<Symbols, Trouble> {
    let Kernel { system_map, vmlinux, .. } = kernel;
    if system_map.is_some() || vmlinux.is_some() {
        return Symbols::load(system_map.as_deref(), vmlinux.as_deref());
    }
    let initramfs = initramfs(images, kernel, &[], Vec::new(), None)?;
    let text = learn::symbols(qemu, kernel, initramfs, progress)?;
    Symbols::load(Some(&images.keep_system_map(kernel, text.as_bytes())?), None)
}

/// QEMU starts a kernel with a PVH entry from its ELF file, which saves unpacking it on an emulated CPU.
pub(super) fn boot_file(kernel: &Kernel) -> PathBuf {
    match &kernel.vmlinux {
        Some(vmlinux) if kernel.is_configured("CONFIG_PVH=y") => vmlinux.clone(),
        _ => kernel.bzimage.clone(),
    }
}
