//! What can go wrong while images are made: a cause and a remedy, one line each.

use std::io;
use std::path::{Path, PathBuf};

/// Why an image could not be provided.
///
/// `Display` is the cause in one line; [`ImagesError::remedy`] is what to do about it, also in one line.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// Nothing in the environment says where the cache may lie.
    #[error("there is no folder for the cache: neither RIG_CACHE nor XDG_CACHE_HOME nor HOME names one")]
    NoCacheFolder,
    /// Other users could put programs into the cache, which the rig would run.
    #[error("the cache {} is not safe from other users: {}: {why}", .root.display(), .folder.display())]
    SharedCache {
        /// The cache.
        root: PathBuf,
        /// The folder that lets others in: the cache or one on the way to it.
        folder: PathBuf,
        /// How.
        why: &'static str,
    },
    /// An entry of the cache is damaged, and others use it.
    #[error("{what} in the cache is damaged ({why}), and other processes use it: {}", .path.display())]
    DamagedInUse {
        /// The entry in words.
        what: String,
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The host lacks programs that the builder calls.
    #[error("this host lacks {}", .0.join(", "))]
    MissingHostTools(Vec<String>),
    /// Neither the environment nor the host's apt names a Debian mirror.
    #[error("no Debian mirror is known to this host's apt")]
    NoMirror,
    /// The archive's public keys are neither installed nor available from the host's own archive.
    #[error("the Debian archive keyring is missing: {0}")]
    NoKeyring(String),
    /// The network, or the mirror, does not answer.
    #[error("the package archive cannot be reached: {0}")]
    NoNetwork(String),
    /// The archive was reached, but a signature or a checksum is wrong.
    #[error("the package archive is not to be trusted: {0}")]
    Untrusted(String),
    /// No version of a needed package is in the archive.
    #[error("package {0} is not in the archive")]
    NoPackage(String),
    /// Debian has no kernel of the series that was asked for.
    #[error("Debian has no kernel {wanted} for amd64; it has {known}")]
    NoDebianSeries {
        /// The series, such as `9.9`.
        wanted: String,
        /// The series that there are.
        known: String,
    },
    /// The file system of the cache is full.
    #[error("no space left on the disk that holds {}", .0.display())]
    DiskFull(PathBuf),
    /// Ordinary users may not make namespaces, and this user is not root.
    #[error("a private mount namespace is refused: {0}")]
    NoNamespace(String),
    /// A program of the host or of the tool root failed.
    #[error("{program} failed: {detail}")]
    Program {
        /// What was run.
        program: String,
        /// Its last meaningful line.
        detail: String,
        /// Where all it said is kept, if anywhere.
        log: Option<PathBuf>,
    },
    /// A demanded line is not in the configuration that Kconfig resolved.
    #[error("the kernel configuration lacks the demanded line `{line}` of fragment {fragment}")]
    ConfigLine {
        /// The fragment that demands it.
        fragment: String,
        /// The line itself.
        line: String,
    },
    /// No fragment has this name.
    #[error("there is no kernel fragment named {name:?}")]
    NoFragment {
        /// The name.
        name: String,
        /// The names that there are.
        known: &'static [&'static str],
    },
    /// No kernel profile has this name.
    #[error("there is no kernel profile {name:?}")]
    NoProfile {
        /// The name.
        name: String,
        /// The names that there are.
        known: &'static [&'static str],
    },
    /// A source edit cannot be applied.
    #[error("the edit of {file} cannot be applied: {detail}")]
    Edit {
        /// Path in the kernel source.
        file: String,
        /// Why not.
        detail: String,
    },
    /// What was given names no series of Debian's kernels.
    #[error("{0:?} names no kernel of Debian's")]
    NoDebianKernel(String),
    /// The given path holds no kernel image.
    #[error("no kernel image at {}", .0.display())]
    NoKernelImage(PathBuf),
    /// The kernel has no symbols beside it.
    #[error("no System.map or vmlinux belongs to {}", .0.display())]
    NoSymbols(PathBuf),
    /// The kernel cannot be the subject.
    #[error("the kernel at {} has no TDX host support ({})", .path.display(), .evidence)]
    NoTdxHost {
        /// The kernel asked about.
        path: PathBuf,
        /// What shows it.
        evidence: String,
    },
    /// The kernel has no module of this name.
    #[error("the kernel at {} has no module {name}", .path.display())]
    NoModule {
        /// The kernel asked about.
        path: PathBuf,
        /// The module.
        name: String,
    },
    /// A folder is neither a kernel's source nor a build folder of one.
    #[error("{} is neither a kernel's source nor a folder that `make O=` made for one", .0.display())]
    NoKernelSource(PathBuf),
    /// A build folder without a configuration.
    #[error("there is no .config in {}", .0.display())]
    NoConfig(PathBuf),
    /// The kernel's build tree cannot take modules of others.
    #[error("modules cannot be built against {}: {lack}", .path.display())]
    NoModuleBuild {
        /// The kernel asked about.
        path: PathBuf,
        /// What is missing.
        lack: String,
        /// What brings it.
        remedy: String,
    },
    /// The compiler that built the kernel is not here.
    #[error("modules cannot be built against {}: it was built with `{wanted}`, but {instead}", .path.display())]
    NoCompiler {
        /// The kernel asked about.
        path: PathBuf,
        /// The compiler, as it calls itself.
        wanted: String,
        /// Which ones there are.
        instead: String,
    },
    /// The program was moved away from its workspace, and no built part lies beside it.
    #[error("{0} is neither beside this program nor can it be built, because its workspace is gone")]
    NoWorkspace(String),
    /// QEMU of the tool root cannot load a library that this host's linker made.
    #[error("{} needs glibc {needs}, but QEMU of the tool root runs on {has}", .path.display())]
    HostTooNew {
        /// The library.
        path: PathBuf,
        /// Version it was linked against.
        needs: String,
        /// Version in the tool root.
        has: String,
    },
    /// What makes the thing itself failed, and says why elsewhere.
    #[error("{0} was not made")]
    Unmade(String),
    /// Reading or writing failed.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ImagesError {
    /// What the person can do about it: one line.
    pub fn remedy(&self) -> String {
        match self {
            Self::NoCacheFolder => "set RIG_CACHE to a folder of your own, or HOME to your home folder".into(),
            Self::SharedCache { .. } => {
                "point RIG_CACHE at a folder that only you can write to, below folders that only you and root can write to".into()
            }
            Self::DamagedInUse { .. } => {
                "end the other runs of the rig; the next one removes the entry and makes it again".into()
            }
            Self::MissingHostTools(tools) => missing_remedy(tools),
            Self::NoMirror => "set RIG_DEBIAN_MIRROR to the URL of a Debian archive (the folder that holds dists/)".into(),
            Self::NoKeyring(_) => "install the package debian-archive-keyring".into(),
            Self::NoNetwork(_) => "connect the network (or set RIG_DEBIAN_MIRROR) and run the command again; it resumes".into(),
            Self::Untrusted(_) => {
                "check RIG_DEBIAN_MIRROR, any proxy in between, the host's clock, and update debian-archive-keyring".into()
            }
            Self::NoPackage(_) => "use a mirror that carries Debian trixie and trixie-backports (RIG_DEBIAN_MIRROR)".into(),
            Self::NoDebianSeries { .. } => "name one of those, as in --kernel debian:6.12".into(),
            Self::DiskFull(_) => {
                "free some space (`cargo rig images clean`), or point RIG_CACHE at a larger disk (6 GB are enough)".into()
            }
            Self::NoNamespace(_) => {
                "run as root, or allow user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 kernel.unprivileged_userns_clone=1".into()
            }
            Self::Program { log: Some(log), .. } => format!("read {}", log.display()),
            Self::Program { log: None, .. } => "read the line above; nothing half-made was kept, so run it again once mended".into(),
            Self::ConfigLine { .. } => "give the fragment what this option depends on, or drop the line".into(),
            Self::NoFragment { known, .. } | Self::NoProfile { known, .. } => format!("use one of: {}", known.join(", ")),
            Self::Edit { .. } => "compare the edit with the file of this kernel version".into(),
            Self::NoDebianKernel(_) => "name a series, such as debian:6.12".into(),
            Self::NoKernelImage(_) => {
                "give a kernel build tree after `make bzImage modules` (built with O=? give that folder), or a bzImage file".into()
            },
            Self::NoSymbols(_) => "put System.map (or System.map-RELEASE, or vmlinux) beside the bzImage".into(),
            Self::NoTdxHost { .. } => "take Linux 7.2 or later, configured with images/kernels/tdx-host.config".into(),
            Self::NoModule { .. } => {
                "run `make modules` in its tree, or put the .ko files beside the image; `rig kernel check` says what it lacks".into()
            },
            Self::NoKernelSource(_) => "give the folder in which `make` leaves the kernel".into(),
            Self::NoConfig(_) => "begin with `make defconfig` or `make tinyconfig` there".into(),
            Self::NoModuleBuild { remedy, .. } => remedy.clone(),
            Self::NoCompiler { .. } => "install that compiler, or build the kernel with one that is here".into(),
            Self::NoWorkspace(_) => "run it from a checkout, or keep the built parts beside the program".into(),
            Self::HostTooNew { .. } => "build on a host with an older glibc, such as Debian trixie".into(),
            Self::Unmade(_) => "read the line above".into(),
            Self::Io { .. } => "check that the path exists and may be read and written".into(),
        }
    }

    /// Wraps what the system said about `path`; a full disk becomes [`ImagesError::DiskFull`].
    pub(crate) fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(path),
            _ => Self::Io { path, source },
        }
    }
}

fn missing_remedy(tools: &[String]) -> String {
    let mut packages: Vec<&str> = tools.iter().filter_map(|tool| crate::tools::package_of(tool)).collect();
    packages.dedup();
    format!("on Debian or Ubuntu: apt-get install {}", packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_full_disk_is_distinguished_from_other_trouble() {
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = full.write_all(b"x").map_err(ImagesError::io("/cache/file")).unwrap_err();
        assert!(matches!(&error, ImagesError::DiskFull(path) if path.ends_with("file")), "{error}");
        let error = std::fs::read("/nonexistent").map_err(ImagesError::io("/nonexistent")).unwrap_err();
        assert!(matches!(error, ImagesError::Io { .. }), "{error}");
    }
}
