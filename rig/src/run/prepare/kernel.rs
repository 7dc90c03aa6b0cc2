//! The kernel of a run: which one it is, and what is known of it.

use super::guest_files::initramfs;
use super::learn;
use crate::file_hash::sha256_of_file;
use crate::scenario::kernel::{DEBIAN, PROFILE};
use crate::scenario::{Scenario, Subject};
use crate::symbols::Symbols;
use crate::trouble::{Exit, Trouble};
use rig_images::{Fragment, Images, ImagesError, Kernel, KernelRequest, Progress};
use rig_judge::origin::KernelImage;
use std::path::Path;
use std::process::Command;

/// The kernel at the path that the scenario gives; none if it is one that the rig builds or fetches. Needs nothing from the
/// cache, so that a wrong path or name is refused before anything is built.
pub(super) fn given(scenario: &Scenario) -> Result<Option<Kernel>, ImagesError> {
    let Some(path) = scenario.kernel.as_deref() else { return Ok(None) };
    let name = path.to_string_lossy();
    if let Some(profile) = name.strip_prefix(PROFILE) {
        return KernelRequest::profile(profile).map(|_| None);
    }
    match scenario.subject {
        Subject::Kmod if name.starts_with(DEBIAN) => Ok(None),
        Subject::Kmod => Kernel::from_path_any(path).map(Some),
        Subject::InTree => Kernel::from_path(path).map(Some),
    }
}

/// Builds or fetches the kernel that the scenario names by another name than a path.
pub(super) fn provide(images: &Images, scenario: &Scenario) -> Result<Kernel, ImagesError> {
    let name = scenario.kernel.as_deref().map(Path::to_string_lossy);
    let mut request = match name.as_deref().map(|name| (name, name.strip_prefix(PROFILE))) {
        None => KernelRequest::default(),
        Some((_, Some(profile))) => KernelRequest::profile(profile)?,
        Some((name, None)) => return images.debian_kernel(name.parse()?),
    };
    request.profile.extend(Fragment::added(&scenario.kconfig));
    images.kernel(&request)
}

/// Refuses a kernel that cannot have the scenario's CPUs: the firmware's initialisation would fail, which says nothing of why. One
/// that has enough for others skips the scenario.
pub(super) fn check_cpus(kernel: &Kernel, scenario: &Scenario) -> Result<(), Trouble> {
    let Some(most) = kernel.most_cpus().filter(|most| *most < scenario.cpus) else { return Ok(()) };
    let exit = if most < Scenario::default().cpus { Exit::Usage } else { Exit::Skipped };
    let (name, cpus) = (&scenario.name, scenario.cpus);
    let cause = format!("the kernel has CONFIG_NR_CPUS={most}, and {name} has {cpus} CPUs");
    Err(Trouble {
        exit,
        cause,
        help: format!("build it with CONFIG_NR_CPUS={cpus} or more, or run with --cpus {most}"),
    })
}

/// Path and hash of the file that QEMU starts, as it is now. In a build tree that is not always the compressed image, which may
/// be older than the `vmlinux` beside it.
pub(super) fn image(kernel: &Kernel) -> KernelImage {
    let path = kernel.starts_from().to_owned();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_kernel_is_refused_before_anything_is_made() {
        let given = |kernel: &str, subject| {
            given(&Scenario { kernel: Some(kernel.into()), subject, ..Scenario::default() })
                .map(|kernel| kernel.is_some())
        };
        let folder = tempfile::tempdir().unwrap();
        for subject in [Subject::InTree, Subject::Kmod] {
            let source = given(folder.path().to_str().unwrap(), subject).unwrap_err();
            assert!(matches!(source, ImagesError::NoKernelImage(_)), "{source}");
            assert!(matches!(given("profile:none", subject), Err(ImagesError::NoProfile { .. })));
            assert!(matches!(given("profile:debug", subject), Ok(false)));
        }
        assert!(matches!(given("debian:6.12", Subject::Kmod), Ok(false)));
        assert!(matches!(super::given(&Scenario::default()), Ok(None)));
    }

    #[test]
    fn a_kernel_for_fewer_cpus_names_the_option() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join(".config");
        let refused = |limit: u32, cpus| {
            std::fs::write(&config, format!("CONFIG_NR_CPUS={limit}\n")).unwrap();
            let kernel = Kernel {
                bzimage: "/k/bzImage".into(),
                system_map: None,
                vmlinux: None,
                modules: Vec::new(),
                release: "7.3.4".into(),
                config: Some(config.clone()),
                tree: None,
            };
            check_cpus(&kernel, &Scenario { cpus, ..Scenario::default() })
                .map_err(|trouble| (trouble.exit, trouble.cause))
        };
        assert_eq!(refused(4, 4), Ok(()));
        let (exit, cause) = refused(2, 4).unwrap_err();
        assert!(exit == Exit::Usage && cause.contains("CONFIG_NR_CPUS=2"), "{cause}");
        assert_eq!(refused(8, 16).unwrap_err().0, Exit::Skipped);
    }
}
